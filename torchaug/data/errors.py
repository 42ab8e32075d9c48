"""The error that names the sample it is about, also when it comes from a worker process."""

from __future__ import annotations

import re

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
