"""Images that a table lists, with labels, groups and masks beside the paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from torchaug.data.decode import check_decoding, mode_of, to_tensor
from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.columns import Columns, read_columns
from torchaug.data.readers.labels import class_numbers
from torchaug.data.readers.masks import image_item, read_mask
from torchaug.data.readers.rows import some


@dataclass(frozen=True)
class Listed:
    """The files that a manifest lists, and what it says about each."""

    paths: list[Path]
    masks: list[Path] | None = None
    labels: Tensor | None = None
    classes: list[str] | None = None
    groups: Tensor | None = None
    group_names: list[str] | None = None


def read_listed(
    path: str | Path,
    who: str,
    *,
    image: str = "path",
    label: str | None = "label",
    group: str | None = None,
    mask: str | None = None,
    split: tuple[str, str | int] | None = None,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
    delimiter: str | None = None,
    duplicates: bool = False,
    check_paths: bool = True,
) -> Listed:
    """The rows of a manifest; see `read_manifest`."""
    wanted = [name for name in (image, label, group, mask, split and split[0]) if name is not None]
    columns = read_columns(path, wanted, who, delimiter=delimiter)
    folder = columns.path.parent if root is None else Path(root)
    paths = _paths(columns, image, folder, who)
    if not duplicates:
        _refuse_duplicates(columns, paths, who)
    # from all rows: a class has one number in every split
    labels, names = _numbers(columns, label, who, "label", classes)
    groups, group_names = _numbers(columns, group, who, "group")
    masks = None if mask is None else _paths(columns, mask, folder, who)
    rows = range(len(paths)) if split is None else _rows_of(columns, split, who)
    if check_paths:
        for files in (paths,) if masks is None else (paths, masks):
            _check_files(((columns.at(row), files[row]) for row in rows), columns.path, who)
    kept = torch.tensor(rows)
    return Listed(
        [paths[row] for row in rows],
        None if masks is None else [masks[row] for row in rows],
        None if labels is None else labels[kept],
        names,
        None if groups is None else groups[kept],
        group_names,
    )


class ManifestDataset(FileDataset):
    """Images that a table lists; see `read_manifest`."""

    def __init__(self, path: Path, listed: Listed, *, size: tuple[int, int] | None, fit: str, mode: str) -> None:
        self.name, self.size, self.fit = path.name, size, fit
        self.paths, self.masks = listed.paths, listed.masks
        self.labels, self.classes = listed.labels, listed.classes
        self.groups, self.group_names = listed.groups, listed.group_names
        self.mode = mode_of(self.paths, mode)

    def read(self, index: int) -> Item:
        with Image.open(self.paths[index]) as picture:
            image = to_tensor(picture, self.mode)
        path = None if self.masks is None else self.masks[index]
        return image_item(image, None if path is None else read_mask(path, path), self.size, self.fit, path)


def read_manifest(
    path: str | Path,
    *,
    image: str = "path",
    label: str | None = "label",
    group: str | None = None,
    mask: str | None = None,
    split: tuple[str, str | int] | None = None,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    mode: str = "auto",
    delimiter: str | None = None,
    duplicates: bool = False,
    check_paths: bool = True,
) -> ManifestDataset:
    """Images that a CSV or Parquet file lists: items are `{"image", "label", "group", "mask", "index"}`.

    A mask (1, H, W) is a picture of class numbers, bit for bit; with `size` it is resized with the image, each pixel to
    the nearest. Class and group numbers are made from all rows, whatever the split, so that they agree between splits.

    Args:
        path: CSV in UTF-8, names of columns in the first line; or Parquet (.parquet).
        image: the column of paths.
        label: the column of classes, names (classes in sorted order) or whole numbers from 0; None: unlabelled.
        group: the column of groups (site, device, ...), likewise.
        mask: the column of paths of masks.
        split: ("fold", "train"): only rows that have "train" in column "fold".
        root: what paths are relative to; None: the manifest's folder.
        classes: names of the classes in order; None: those that are met.
        size: height and width that every image gets.
        fit: "crop" covers that size and cuts the middle out; "pad" fits into it and adds black borders, mask 0.
        mode: "RGB", "L", or "auto": "L" when every image is grey, else "RGB"; files are opened until one is not grey.
        delimiter: between the cells of a CSV; None is a tab where the name ends in .tsv, else a comma.
        duplicates: accept paths that are listed more than once. Else they are refused, in other splits too: the same
            image in training and test would leak.
        check_paths: whether all files must exist now, at one look each; else a missing one is an error of its item.

    Raises:
        FileNotFoundError: no manifest, or files that it lists are missing.
        ValueError: what is wrong in the manifest, with the lines (Parquet: rows) at fault.
        ImportError: Parquet without pyarrow.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.new("L", (4, 3), 9).save(folder / "a.png")
    >>> _ = (folder / "list.csv").write_text("path,label\\na.png,cat\\n")
    >>> data = read_manifest(folder / "list.csv")
    >>> data[0]["image"].shape, data.classes
    (torch.Size([1, 3, 4]), ['cat'])
    """
    check_decoding(size, fit, mode, "read_manifest")
    listed = read_listed(
        path,
        "read_manifest",
        image=image,
        label=label,
        group=group,
        mask=mask,
        split=split,
        root=root,
        classes=classes,
        delimiter=delimiter,
        duplicates=duplicates,
        check_paths=check_paths,
    )
    return ManifestDataset(Path(path), listed, size=size, fit=fit, mode=mode)


def _paths(columns: Columns, name: str, folder: Path, who: str) -> list[Path]:
    cells = columns.cells[name]
    empty = [row for row, cell in enumerate(cells) if cell is None]
    if empty:
        raise ValueError(
            f"{who}: expected a path in column {name!r} of {columns.path}, got none in {some(map(columns.at, empty))}"
        )
    return [folder / str(cell) for cell in cells]


def _numbers(
    columns: Columns, name: str | None, who: str, what: str, classes: Sequence[str] | None = None
) -> tuple[Tensor | None, list[str] | None]:
    if name is None:
        return None, None
    at: Callable[[int], str] = columns.at
    return class_numbers(columns.cells[name], f"{who}: {columns.path}", what, at, classes)


def _rows_of(columns: Columns, split: tuple[str, str | int], who: str) -> list[int]:
    name, wanted = split
    cells = [str(cell) for cell in columns.cells[name]]
    rows = [row for row, cell in enumerate(cells) if cell == str(wanted)]
    if not rows:
        raise ValueError(
            f"{who}: expected rows with {wanted!r} in column {name!r} of {columns.path}, got only "
            f"{some(map(repr, sorted(set(cells))))}"
        )
    return rows


def _refuse_duplicates(columns: Columns, paths: list[Path], who: str) -> None:
    first: dict[str, int] = {}
    twice = [
        (first[normal], row)
        for row, path in enumerate(paths)
        if first.setdefault(normal := os.path.normpath(path), row) != row
    ]
    if twice:
        places = (f"{columns.at(row)} ({paths[row]}, as {columns.at(before)})" for before, row in twice)
        raise ValueError(
            f"{who}: a path must be listed once in {columns.path}, got again in {some(places)}; remove them, or pass "
            "duplicates=True"
        )


def _check_files(files: Iterable[tuple[str, Path]], manifest: Path, who: str) -> None:
    missing = [f"{at}: {path}" for at, path in files if not os.path.isfile(path)]
    if missing:
        raise FileNotFoundError(
            f"{who}: {len(missing)} of the files that {manifest} lists are missing: {some(missing)}; relative paths "
            "begin at the manifest's folder, or at root="
        )
