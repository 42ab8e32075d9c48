"""Folders of images, and `load`: one way in for folders, named sets and the user's own data sets."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.decode import EXTENSIONS, check_size, is_grey, resize_to, to_tensor
from torchaug.data.errors import SampleError
from torchaug.data.images import Item, TensorImages, as_images, digits

Progress = Callable[[int, int], None]  # (done, total)
NAMED: dict[str, Callable[[], TensorImages]] = {"digits": digits}


class ImageFolderDataset(Dataset[Item]):
    """Images in torchvision's ImageFolder layout, one folder per class: items are `{"image", "label", "index"}`.

    An image is decoded when its item is asked for; a file that cannot be read raises a `SampleError` with its path.

    Args:
        path: the folder that holds a folder for each class; their names in sorted order are the classes.
        mode: "RGB", "L", or "auto": "L" when every image is grey, else "RGB".
        size: height and width that every image gets; needed for `in_memory()` when they differ in size.
        fit: "crop" covers that size and cuts the middle out; "pad" fits into it and adds black borders.
        min_classes: fewer class folders than this are an error.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no class folder, too few, or one without images.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        mode: str = "auto",
        size: tuple[int, int] | None = None,
        fit: str = "crop",
        min_classes: int = 2,
    ) -> None:
        if mode not in ("auto", "L", "RGB"):
            raise ValueError(f"read_folder: mode must be 'auto', 'L' or 'RGB', got {mode!r}")
        if fit not in ("crop", "pad"):
            raise ValueError(f"read_folder: fit must be 'crop' or 'pad', got {fit!r}")
        check_size(size, "read_folder")
        self.root, self.size, self.fit = Path(path), size, fit
        files = _files_by_class(self.root, min_classes)
        self.classes = list(files)
        self.paths = [file for found in files.values() for file in found]
        counts = torch.tensor([len(found) for found in files.values()])
        self.labels: Tensor = torch.arange(len(files)).repeat_interleave(counts)
        self.mode = ("L" if self._all_grey() else "RGB") if mode == "auto" else mode

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        path = self.paths[index]
        try:
            with Image.open(path) as picture:
                image = to_tensor(picture, self.mode)
        except Exception as error:  # PIL raises many kinds, SyntaxError and struct.error among them
            raise SampleError.of(error, index=index, source=self.root.name, path=path) from error
        image = image if self.size is None else resize_to(image, self.size, self.fit)
        return {"image": image, "label": int(self.labels[index]), "index": index}

    def verify(self, progress: Progress | None = None) -> list[Path]:
        """Decode every image; the paths of those that cannot be read."""
        bad = []
        for index, path in enumerate(self.paths):
            try:
                self[index]
            except SampleError:
                bad.append(path)
            if progress is not None:
                progress(index + 1, len(self))
        return bad

    def in_memory(self, progress: Progress | None = None) -> TensorImages:
        """Every image decoded into one tensor."""
        images = []
        for index in range(len(self)):
            images.append(self[index]["image"])
            if images[-1].shape != images[0].shape:
                raise ValueError(
                    f"read_folder: images must have one size to be stacked, got {_sides(images[-1])} in "
                    f"{self.paths[index]} beside {_sides(images[0])} in {self.paths[0]}; pass size=(height, width)"
                )
            if progress is not None:
                progress(index + 1, len(self))
        return TensorImages(torch.stack(images), self.labels, self.classes)

    def _all_grey(self) -> bool:
        return all(_looks_grey(path) for path in self.paths)


def _looks_grey(path: Path) -> bool:
    """By the file's head alone; one that cannot be read has no say, and is an error when its item is asked for."""
    try:
        with Image.open(path) as picture:
            return is_grey(picture.mode)
    except Exception:  # noqa: BLE001 (PIL raises many kinds)
        return True


def _sides(image: Tensor) -> str:
    return f"{image.shape[-2]} x {image.shape[-1]}"


def _files_by_class(root: Path, min_classes: int) -> dict[str, list[Path]]:
    if not root.is_dir():
        what = "a file" if root.exists() else "nothing"
        raise FileNotFoundError(f"read_folder: expected a folder with one folder per class at {root}, got {what} there")
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    layout = "expected one folder of images per class, as root/cat/1.png and root/dog/2.png"
    if not names:
        raise ValueError(f"read_folder: {layout}, got no folder in {root}")
    if len(names) < min_classes:
        raise ValueError(
            f"read_folder: expected at least {min_classes} classes, got {len(names)} ({', '.join(names)}) in {root}"
        )
    files = {name: _images_under(root / name) for name in names}
    empty = [name for name, found in files.items() if not found]
    if empty:
        raise ValueError(
            f"read_folder: {layout}, got no image ({' '.join(EXTENSIONS)}) in {root / empty[0]}; "
            "remove the folder or put images into it"
        )
    return files


def _images_under(folder: Path) -> list[Path]:
    found = (Path(top, name) for top, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in found if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."))


def read_folder(
    path: str | Path,
    *,
    mode: str = "auto",
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    min_classes: int = 2,
) -> ImageFolderDataset:
    """The images of a folder in torchvision's ImageFolder layout; see `ImageFolderDataset`."""
    return ImageFolderDataset(path, mode=mode, size=size, fit=fit, min_classes=min_classes)


def load(source: str | Path, *, size: tuple[int, int] | None = None) -> ImageFolderDataset | TensorImages:
    """A data set by name, as the command line takes it.

    Args:
        source: a folder of images (`read_folder`); a named set, "digits"; or "module:attribute" of a map-style data set
            or of a callable that returns one (`as_images`); the working directory is searched for the module too.
        size: height and width that every image gets.

    >>> load("digits").images.shape
    torch.Size([1797, 1, 8, 8])
    """
    text = str(source)
    if Path(text).is_dir():
        return read_folder(text, size=size)
    if text in NAMED:
        return as_images(NAMED[text](), size=size)
    module, colon, attribute = text.partition(":")
    if colon and attribute and all(part.isidentifier() for part in module.split(".")):
        return as_images(_attribute(module, attribute), size=size)
    raise ValueError(
        f"load: expected an existing folder, a named set ({', '.join(NAMED)}) or module:attribute of a data set, "
        f"got {text!r}"
    )


def _attribute(module: str, attribute: str) -> Dataset[Any]:
    here = os.getcwd()
    added = here not in sys.path
    if added:  # a console script's sys.path begins with its own folder, not with the user's
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"load: cannot import {module!r} of '{module}:{attribute}': {error}") from error
    finally:
        if added:
            sys.path.remove(here)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"load: module {module!r} has no attribute {attribute!r}")
        found = getattr(found, part)
    is_maker = isinstance(found, type) or (callable(found) and not hasattr(found, "__getitem__"))
    dataset: Dataset[Any] = found() if is_maker else found
    return dataset
