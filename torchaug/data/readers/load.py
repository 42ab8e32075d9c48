"""One way in for files, folders, named sets and the user's own data sets, as the command line's `--data` takes it."""

from __future__ import annotations

import glob
import importlib
import os
import sys
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

from torchaug.audio import files as sound_files
from torchaug.data.bank import Bank
from torchaug.data.bank.format import MANIFEST
from torchaug.data.decode import EXTENSIONS
from torchaug.data.images import TensorImages, as_images, digits
from torchaug.data.items import content_of
from torchaug.data.readers.audio import read_audio_folder, read_audio_manifest
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.coco import read_coco
from torchaug.data.readers.columns import column_names, read_columns
from torchaug.data.readers.dicom import read_dicom
from torchaug.data.readers.folder import read_folder
from torchaug.data.readers.hub import read_hub
from torchaug.data.readers.manifest import read_manifest
from torchaug.data.readers.nifti import read_nifti
from torchaug.data.readers.table import read_table
from torchaug.data.readers.tar import read_tar
from torchaug.data.readers.text import read_text
from torchaug.data.spoken import spoken_digits
from torchaug.data.tables import TableDataset, breast_cancer, wine
from torchaug.data.transactions import transactions
from torchaug.data.vowels import noisy_vowels
from torchaug.data.waveforms import TensorWaveforms

Size = tuple[int, int] | None
Loaded = FileDataset | TensorImages | TensorWaveforms | TableDataset | Bank
Reader = Callable[[str, Size], Loaded]

NAMED: dict[str, Callable[[], TensorImages | TensorWaveforms | TableDataset]] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    "wine": wine,
    "transactions": transactions,
    "vowels": noisy_vowels,
    "spoken_digits": spoken_digits,
}
TAKES = (
    "an existing folder (of images or sounds, a folder for each class; of .nii, .dcm or .txt files; a bank; or what datasets saved), "
    "a .csv, .tsv or .parquet (of paths, of texts or of a table), .jsonl, .tar, annotations.json:FOLDER, a named set "
    f"({', '.join(NAMED)}) or module:attribute of a data set"
)


def load(source: str | Path, *, size: Size = None) -> Loaded:
    """A data set by name, as the command line takes it.

    Args:
        source: one of

            - a folder: images, one folder per class (`read_folder`); sounds (`read_audio_folder`); texts (`read_text`);
              NIfTI (`read_nifti`) or DICOM files (`read_dicom`); a bank (`Bank`); or what `save_to_disk` of `datasets`
              wrote (`read_hub`);
            - a file .csv, .tsv or .parquet: with a column "path" it lists images (`read_manifest`) or sounds
              (`read_audio_manifest`); with a column "text" it holds texts (`read_text`); else it is a table with a
              column "label" (`read_table`);
            - a file .jsonl of texts, a .tar or a pattern of several (`read_tar`), or a NIfTI file;
            - "annotations.json:FOLDER", COCO's JSON and the folder of its images (`read_coco`);
            - a named set: "digits", "breast_cancer", "wine", "transactions", "vowels" or "spoken_digits";
            - "module:attribute" of a map-style data set, or of a callable that returns one: one of dicts with content,
              or one of images and class numbers (`as_images`). The working directory is searched for the module too.
        size: height and width that every image gets.

    Raises:
        FileNotFoundError: a file or a folder without what its reader needs.
        ValueError: nothing of these, and what was found there; a size for what is no image.

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
        return _own(NAMED[text](), text, size)
    before, colon, after = text.rpartition(":")
    if colon and before.lower().endswith(".json") and Path(before).is_file():
        return read_coco(before, after, size=size)
    if text.lower().endswith(".tar") and glob.glob(text):
        return read_tar(text, size=size)
    module, colon, attribute = text.partition(":")
    if colon and attribute and all(part.isidentifier() for part in module.split(".")):
        found = find_attribute(module, attribute, "load")
        is_maker = isinstance(found, type) or (callable(found) and not hasattr(found, "__getitem__"))
        return _own(found() if is_maker else found, text, size)
    raise ValueError(f"load: expected {TAKES}, got {text!r}, which is none of these")


def _own(data: Any, source: str, size: Size) -> Loaded:
    """A data set that exists: images and class numbers go into memory, items with other content stay as they are."""
    has_items = hasattr(data, "__getitem__") and isinstance(data, Sized) and len(data)
    if not has_items or not content_of(data[0]).keys() - {"image"}:
        return as_images(data, size=size)
    _refuse_size(size, source)
    own: Loaded = data
    return own


def _refuse_size(size: Size, source: str) -> None:
    if size is not None:
        raise ValueError(f"load: size= is for images, got {size} for {source}; leave it out")


def _without_size(read: Callable[[str], Loaded]) -> Reader:
    def reader(source: str, size: Size) -> Loaded:
        _refuse_size(size, source)
        return read(source)

    return reader


def _image_reader(read: Callable[..., Loaded]) -> Reader:
    return lambda source, size: read(source, size=size)


def _bank(source: str, size: Size) -> Bank:
    if size is not None:
        raise ValueError(f"load: expected no size= for a bank, whose samples keep theirs, got {size} for {source}")
    return Bank(source)


def _listed(source: str, size: Size) -> Loaded:
    """What a file of rows holds, by the names of its columns."""
    names = column_names(source, "load")
    if "path" in names:
        first = str(read_columns(source, ["path"], "load").cells["path"][0])
        if first.lower().endswith(sound_files.EXTENSIONS):
            return _without_size(read_audio_manifest)(source, size)
        return read_manifest(source, size=size)
    if "text" in names:
        return _without_size(read_text)(source, size)
    if "label" in names:
        return _without_size(read_table)(source, size)
    got = ", ".join(map(repr, names)) or "none"
    raise ValueError(
        f"load: expected a column 'path', 'text' or 'label' in {source}, got {got}; read_manifest, read_text and "
        "read_table take columns of other names"
    )


OF_FOLDER: dict[tuple[str, ...], Reader] = {
    (".nii", ".nii.gz"): _without_size(read_nifti),
    (".dcm", ".dicom", ".ima"): _without_size(read_dicom),
    sound_files.EXTENSIONS: _without_size(read_audio_folder),
    EXTENSIONS: _image_reader(read_folder),
    (".txt",): _without_size(read_text),
}
"""By the endings of the files in a folder and below."""

TABLES = (".csv", ".tsv", ".parquet")
"""Endings of files of rows."""

OF_FILE: dict[tuple[str, ...], Reader] = {
    TABLES: _listed,
    (".jsonl", ".ndjson"): _without_size(read_text),
    (".tar",): _image_reader(read_tar),
    (".nii", ".nii.gz"): _without_size(read_nifti),
}
"""By the ending of a file."""


def _folder_reader(folder: Path) -> Reader:
    """By what marks a folder as a whole, else by the first file in sorted order that any reader takes."""
    if (folder / MANIFEST).is_file():
        return _bank
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


def find_attribute(module: str, attribute: str, who: str) -> Any:
    """What a module holds under a name, perhaps a dotted one; the working directory is searched for the module too.

    Raises:
        ValueError: no such module, or no such attribute.
    """
    here = os.getcwd()
    added = here not in sys.path
    if added:  # a console script's sys.path begins with its own folder, not with the user's
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"{who}: cannot import {module!r} of '{module}:{attribute}': {error}") from error
    finally:
        if added:
            sys.path.remove(here)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{who}: module {module!r} has no attribute {attribute!r}")
        found = getattr(found, part)
    return found
