"""Files in folders: one folder per class, or one folder without classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


def files_by_class(
    root: Path, extensions: Sequence[str], min_classes: int, who: str
) -> tuple[list[Path], Tensor | None, list[str] | None]:
    """The files under `root` in sorted order, class by class, with their class numbers and the classes' names.

    Args:
        root: a folder of folders, whose sorted names are the classes, or of files alone, which then have no labels.
        extensions: lower-case endings of the files wanted; names that begin with a dot are left out.
        min_classes: fewer class folders than this are an error.
        who: for messages.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no file, files beside the folders, too few folders, or one without files.
    """
    if not root.is_dir():
        what = "a file" if root.exists() else "nothing"
        raise FileNotFoundError(f"{who}: expected a folder at {root}, got {what} there")
    layout = f"expected one folder of files ({' '.join(extensions)}) per class, or one folder of files alone"
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    loose = [path for path in sorted(root.iterdir()) if path.is_file() and _is_wanted(path, extensions)]
    if names and loose:
        raise ValueError(f"{who}: {layout}, got both in {root}: folder {names[0]!r} and file {loose[0].name!r}")
    if not names and not loose:
        raise ValueError(f"{who}: {layout}, got neither in {root}")
    if loose:
        return loose, None, None
    if len(names) < min_classes:
        raise ValueError(
            f"{who}: expected at least {min_classes} classes, got {len(names)} ({', '.join(names)}) in {root}"
        )
    found = [files_under(root / name, extensions) for name in names]
    for name, files in zip(names, found, strict=True):
        if not files:
            raise ValueError(f"{who}: {layout}, got no file in {root / name}; remove it or put files into it")
    labels = torch.arange(len(names)).repeat_interleave(torch.tensor([len(files) for files in found]))
    return [path for files in found for path in files], labels, names


def files_under(folder: Path, extensions: Sequence[str]) -> list[Path]:
    """The files in a folder and below with one of the endings, sorted; names that begin with a dot are left out."""
    found = (Path(top, name) for top, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in found if _is_wanted(path, extensions))


def _is_wanted(path: Path, extensions: Sequence[str]) -> bool:
    return path.suffix.lower() in extensions and not path.name.startswith(".")
