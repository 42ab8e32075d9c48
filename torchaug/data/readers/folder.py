"""Folders of images, one folder per class."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from torchaug.data.decode import EXTENSIONS, check_decoding, mode_of, resize_to, to_tensor
from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.layout import files_under


class ImageFolderDataset(FileDataset):
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

    labels: Tensor
    classes: list[str]

    def __init__(
        self,
        path: str | Path,
        *,
        mode: str = "auto",
        size: tuple[int, int] | None = None,
        fit: str = "crop",
        min_classes: int = 2,
    ) -> None:
        check_decoding(size, fit, mode, "read_folder")
        self.root, self.size, self.fit = Path(path), size, fit
        self.name = self.root.name
        files = _files_by_class(self.root, min_classes)
        self.classes = list(files)
        self.paths = [file for found in files.values() for file in found]
        counts = torch.tensor([len(found) for found in files.values()])
        self.labels = torch.arange(len(files)).repeat_interleave(counts)
        self.mode = mode_of(self.paths, mode)

    def read(self, index: int) -> Item:
        with Image.open(self.paths[index]) as picture:
            image = to_tensor(picture, self.mode)
        return {"image": image if self.size is None else resize_to(image, self.size, self.fit)}


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
    files = {name: files_under(root / name, EXTENSIONS) for name in names}
    empty = [name for name, found in files.items() if not found]
    if empty:
        raise ValueError(
            f"read_folder: {layout}, got no image ({' '.join(EXTENSIONS)}) in {root / empty[0]}; "
            "remove the folder or put images into it"
        )
    return files


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
