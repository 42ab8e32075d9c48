"""JSON lines: each line an object, found once and read when asked for."""

from __future__ import annotations

import json
from abc import abstractmethod
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.labels import class_numbers
from torchaug.data.readers.rows import BOM, some

Object = dict[str, Any]


class JsonLines(FileDataset):
    """A data set of the objects in a file of JSON lines (UTF-8; empty lines, CRLF and a byte order mark are taken).

    The file is read through once, which checks every line, and 16 bytes a line are kept. An item is read by seeking its
    line, in a worker process too.

    Args:
        path: the file.
        label: the field of the class, a string, a whole number or a truth value; None: no labels.
        group: that of the group.
        classes: the classes in their order; None: those there.
        who: for messages.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no lines, or lines that cannot be used: the first five are named.
    """

    def __init__(
        self, path: Path, *, label: str | None, group: str | None, classes: Sequence[str] | None, who: str
    ) -> None:
        if not path.is_file():
            what = "a folder" if path.exists() else "nothing"
            raise FileNotFoundError(f"{who}: expected a file at {path}, got {what} there")
        self.path, self.name = path, path.stem
        self._stamp = _stamp(path)
        self._offsets, self._lines = array("q"), array("q")
        names = self._look([name for name in (label, group) if name is not None], f"{who}: {path}")
        self.paths = [path] * len(self._offsets)
        if label is not None:
            self.labels, self.classes = class_numbers(names[label], f"{who}: {path}", label, self._at, classes)
        if group is not None:
            self.groups, self.group_names = class_numbers(names[group], f"{who}: {path}", group, self._at)

    @abstractmethod
    def content(self, row: Object) -> Item:
        """What an item has of a line's object; a TypeError or ValueError says what is wrong."""

    def read(self, index: int) -> Item:
        if _stamp(self.path) != self._stamp:
            raise ValueError("expected the file as it was when it was opened, got a changed one; open it again")
        with open(self.path, "rb") as file:
            file.seek(self._offsets[index])
            return self.content(_parse(file.readline()))

    def field(self, row: Object, name: str) -> Any:
        """A field of a line's object."""
        if name not in row:
            raise ValueError(f"expected a field {name!r}, got {', '.join(map(repr, row)) or 'none'}")
        return row[name]

    def name_of(self, value: Any, name: str) -> str:
        """The value of field `name` as the name of a class."""
        if isinstance(value, bool | int):
            return json.dumps(value)
        if not isinstance(value, str) or not value:
            got = repr(value) if isinstance(value, str) else type(value).__name__
            raise ValueError(f"expected a string or a whole number in {name!r}, got {got}")
        return is_text(value, name)

    def _look(self, named: list[str], where: str) -> dict[str, list[str]]:
        """Note where each object is; the names in some of their fields."""
        names: dict[str, list[str]] = {name: [] for name in named}
        problems: list[str] = []
        offset = 0
        with open(self.path, "rb") as file:
            for line, data in enumerate(file, start=1):
                try:
                    if data.removeprefix(BOM).strip():
                        self._note(data, names)
                        self._offsets.append(offset)
                        self._lines.append(line)
                except (TypeError, ValueError) as error:
                    problems.append(f"line {line}: {error}")
                offset += len(data)
        if problems:
            raise ValueError(f"{where}: expected lines that can be used, got {some(problems)}; mend or remove them")
        if not self._offsets:
            raise ValueError(f"{where}: expected one JSON object a line, got an empty file")
        return names

    def _note(self, data: bytes, names: dict[str, list[str]]) -> None:
        row = _parse(data)
        self.content(row)
        found = {name: self.name_of(self.field(row, name), name) for name in names}
        for name, value in found.items():
            names[name].append(value)

    def _at(self, index: int) -> str:
        return f"line {self._lines[index]}"


def is_text(value: Any, name: str) -> str:
    """The value of field `name` as text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise TypeError(f"expected a string in {name!r}, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        raise ValueError(f"expected text in {name!r}, got half of a surrogate pair, {half}") from error
    return value


def _parse(data: bytes) -> Object:
    try:
        row = json.loads(data.removeprefix(BOM).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8, got byte {data[error.start]:#x} at {error.start}") from error
    except (ValueError, RecursionError) as error:
        start = ascii(data[:40].decode("utf-8", "replace"))
        raise ValueError(f"expected a JSON object, got {start} ({error})") from error
    if not isinstance(row, dict):
        raise TypeError(f"expected a JSON object, got {type(row).__name__}")
    return row


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
