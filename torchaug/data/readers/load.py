"""One way in for folders, named sets and the user's own data sets, as the command line's `--data` takes it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from torchaug.data.images import TensorImages, as_images, digits
from torchaug.data.readers.folder import ImageFolderDataset, read_folder

NAMED: dict[str, Callable[[], TensorImages]] = {"digits": digits}


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
