"""One way in for files, folders, named sets and the user's own data sets, as the command line's `--data` takes it."""

from __future__ import annotations

import glob
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from torchaug.data.decode import EXTENSIONS
from torchaug.data.images import TensorImages, as_images, digits
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.coco import read_coco
from torchaug.data.readers.columns import column_names
from torchaug.data.readers.dicom import read_dicom
from torchaug.data.readers.folder import read_folder
from torchaug.data.readers.hub import read_hub
from torchaug.data.readers.manifest import read_manifest
from torchaug.data.readers.nifti import read_nifti
from torchaug.data.readers.tar import read_tar

Size = tuple[int, int] | None
Reader = Callable[[str, Size], FileDataset]

NAMED: dict[str, Callable[[], TensorImages]] = {"digits": digits}
TAKES = (
    f"a folder (a folder of images for each class, .nii, .dcm, or saved by datasets), a .csv or .parquet with a column "
    f"path, .tar, annotations.json:FOLDER, a named set ({', '.join(NAMED)}) or module:attribute of a data set"
)


def load(source: str | Path, *, size: Size = None) -> FileDataset | TensorImages:
    """A data set by name, as the command line takes it.

    Args:
        source: a folder: images, one folder per class (`read_folder`); NIfTI (`read_nifti`) or DICOM files
            (`read_dicom`); or what `save_to_disk` of `datasets` wrote (`read_hub`). A file: a manifest, .csv, .tsv or
            .parquet with columns "path" and "label" (`read_manifest`); .tar, or a pattern of several (`read_tar`); or
            "annotations.json:FOLDER", COCO's JSON and the folder of its images (`read_coco`). A named set, "digits". Or
            "module:attribute" of a map-style data set or of a callable that returns one (`as_images`); the working
            directory is searched for the module too.
        size: height and width that every image gets.

    Raises:
        FileNotFoundError: a file or a folder without what its reader needs.
        ValueError: nothing of these, and what was found there.

    >>> load("digits").images.shape
    torch.Size([1797, 1, 8, 8])
    """
    text = str(source)
    path = Path(text)
    if path.is_dir():
        return _folder_reader(path)(text, size)
    if path.is_file():
        return _file_reader(path)(text, size)
    if text in NAMED:
        return as_images(NAMED[text](), size=size)
    before, colon, after = text.rpartition(":")
    if colon and before.lower().endswith(".json") and Path(before).is_file():
        return read_coco(before, after, size=size)
    if text.lower().endswith(".tar") and glob.glob(text):
        return read_tar(text, size=size)
    module, colon, attribute = text.partition(":")
    if colon and attribute and all(part.isidentifier() for part in module.split(".")):
        return as_images(_attribute(module, attribute), size=size)
    raise ValueError(f"load: expected {TAKES}, got {text!r}, which is none of these")


def _without_size(read: Callable[[str], FileDataset]) -> Reader:
    def reader(source: str, size: Size) -> FileDataset:
        if size is not None:
            raise ValueError(f"load: size= is for images, got {size} for {source}; leave it out")
        return read(source)

    return reader


def _image_reader(read: Callable[..., FileDataset]) -> Reader:
    return lambda source, size: read(source, size=size)


def _table(source: str, size: Size) -> FileDataset:
    names = column_names(source, "load")
    if "path" not in names:
        got = ", ".join(map(repr, names)) or "none"
        raise ValueError(
            f"load: expected a column 'path' in {source}, got {got}; read_manifest(image=...) takes others"
        )
    return read_manifest(source, size=size)


OF_FOLDER: dict[tuple[str, ...], Reader] = {
    (".nii", ".nii.gz"): _without_size(read_nifti),
    (".dcm", ".dicom", ".ima"): _without_size(read_dicom),
    EXTENSIONS: _image_reader(read_folder),
}
"""By the endings of the files in a folder and below."""

OF_FILE: dict[tuple[str, ...], Reader] = {
    (".csv", ".tsv", ".parquet"): _table,
    (".tar",): _image_reader(read_tar),
    (".nii", ".nii.gz"): _without_size(read_nifti),
}
"""By the ending of a file."""


def _folder_reader(folder: Path) -> Reader:
    """By the first file in sorted order that any reader takes."""
    if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
        return _image_reader(read_hub)
    for _, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            for endings, reader in OF_FOLDER.items():
                if name.lower().endswith(endings) and not name.startswith("."):
                    return reader
    return _image_reader(read_folder)  # whose error says what such a folder looks like


def _file_reader(path: Path) -> Reader:
    for endings, reader in OF_FILE.items():
        if path.name.lower().endswith(endings):
            return reader
    if path.suffix.lower() == ".json":
        raise ValueError(f"load: {path} needs the folder of its images: {path}:FOLDER")
    raise ValueError(f"load: expected {TAKES}, got the file {path}")


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
