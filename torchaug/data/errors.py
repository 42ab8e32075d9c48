"""The error that names the sample it is about, also when it comes from a worker process."""

from __future__ import annotations

import re
from typing import Any

_TEXT = re.compile(r"sample index=(-?\d+) source='(.*?)'(?: path='(.*?)')?: ")


class SampleError(ValueError):
    """A sample could not be read.

    A DataLoader rebuilds a worker's error as `type(error)(message)`, so attributes would be lost on the way: the
    message is all there is, and `index`, `source` and `path` are read from it.

    >>> error = SampleError.of(ValueError("bad jpeg"), index=7, source="bank", path="a/b.jpg")
    >>> str(error)
    "sample index=7 source='bank' path='a/b.jpg': ValueError: bad jpeg"
    >>> error.index, error.source, error.path
    (7, 'bank', 'a/b.jpg')
    """

    @classmethod
    def of(cls, error: Exception, *, index: int, source: str, path: object = None) -> SampleError:
        """The error `error`, with the sample it came from."""
        where = "" if path is None else f" path='{path}'"
        return cls(f"sample index={index} source='{source}'{where}: {type(error).__name__}: {error}")

    @property
    def index(self) -> int | None:
        """Place of the sample in its source."""
        found = self._find()
        return int(found[1]) if found else None

    @property
    def source(self) -> str | None:
        """Name of the source."""
        found = self._find()
        return found[2] if found else None

    @property
    def path(self) -> str | None:
        """File of the sample, where it has one."""
        found = self._find()
        return found[3] if found else None

    def _find(self) -> re.Match[str] | None:
        return _TEXT.search(str(self))


def sample_error(error: Exception, data: Any, index: Any, name: str | None = None) -> SampleError:
    """The error of `data[index]`, with the name of the source and the file, where the data set knows them.

    A mixture says which source an index is of (`MixedDataset.origin`).

    >>> str(sample_error(IndexError("list index out of range"), [1, 2], 5))
    "sample index=5 source='list': IndexError: list index out of range; there are 2 items now: did the data set shrink?"
    """
    if hasattr(data, "origin"):
        data, name, index = data.origin(index)
    if is_past_end(error, data, index):
        error = IndexError(f"{error}; there are {len(data)} items now: did the data set shrink?")
    paths: Any = getattr(data, "paths", None)
    known = isinstance(index, int) and index >= 0 and hasattr(paths, "__len__") and index < len(paths)
    source = getattr(data, "name", type(data).__name__) if name is None else name
    return SampleError.of(error, index=index, source=source, path=paths[index] if known else None)


def is_past_end(error: Exception, data: Any, index: Any) -> bool:
    """Whether the error is that of an index which the data set, as long as it is now, does not have."""
    return isinstance(error, IndexError) and isinstance(index, int) and hasattr(data, "__len__") and index >= len(data)
