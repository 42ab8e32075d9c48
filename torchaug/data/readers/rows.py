"""Rows of CSV and TSV files, with the line of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """A row: the line of the file where it begins, from 1, and its fields by the names in the header."""

    line: int
    fields: dict[str, str]


def read_rows(path: str | Path, *, needs: Sequence[str] = (), who: str, delimiter: str | None = None) -> list[Row]:
    r"""The rows of a CSV file in UTF-8 and with a header.

    Fields may be quoted and hold line ends; a byte order mark, CRLF and empty lines are taken.

    Args:
        path: the file.
        needs: columns that must be there.
        who: for messages.
        delimiter: between fields; None is a tab where the name ends in .tsv, else a comma.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty file, no rows, another encoding, NUL bytes, columns that are missing or twice there, a row
            with more or fewer fields than the header, or an open quote, with the line.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "few.csv"
    >>> _ = path.write_text("name,age\nAnn,31\n\n\"Li, Bo\",27\n")
    >>> read_rows(path, needs=["name"], who="example")[1]
    Row(line=4, fields={'name': 'Li, Bo', 'age': '27'})
    """
    path = Path(path)
    records = _records(read_utf8(path, who), path, who, delimiter)
    header = _header(records, path, who)
    missing = [name for name in needs if name not in header]
    if missing:
        raise ValueError(f"{who}: expected a column {missing[0]!r} in {path}, got {', '.join(map(repr, header))}")
    rows = []
    for line, fields in records:
        if len(fields) != len(header):
            raise ValueError(
                f"{who}: {path}: expected {len(header)} fields as in the header, got {len(fields)} in line {line}"
            )
        rows.append(Row(line, dict(zip(header, fields, strict=True))))
    if not rows:
        raise ValueError(f"{who}: expected rows below the header in {path}, got none")
    return rows


def read_header(text: str, path: Path, who: str, delimiter: str | None = None) -> list[str]:
    """The names of the columns of a CSV or TSV file with this text; a ValueError where there are none, or one twice.

    So it is where there is one, and something else than the delimiter stands between fields, as in what German programs
    save.
    """
    records = _records(text, path, who, delimiter)
    header = _header(records, path, who)
    between = delimiter or delimiter_of(path)
    row = between.join(next(records, (0, []))[1]) if len(header) == 1 else ""
    other = next((mark for mark in ",;\t|" if mark != between and 0 < header[0].count(mark) == row.count(mark)), None)
    if other is not None:
        raise ValueError(
            f"{who}: expected {between!r} between the fields of {path}, got {other!r} in its header {header[0]!r}; save it "
            f"with {between!r}, or read a table as pandas.read_csv({path.name!r}, sep={other!r})"
        )
    return header


def delimiter_of(path: Path) -> str:
    """A tab where the name ends in .tsv, else a comma."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def read_utf8(path: Path, who: str) -> str:
    """The text of a file, without a byte order mark; see `read_rows` for what is refused."""
    if not path.is_file():
        what = "a folder" if path.exists() else "nothing"
        raise FileNotFoundError(f"{who}: expected a file at {path}, got {what} there")
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{who}: expected UTF-8 in {path}, got UTF-16; save it as UTF-8")
    data = data.removeprefix(BOM)
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise ValueError(f"{who}: expected text in {path}, got a NUL byte in line {line}; save it as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise ValueError(
            f"{who}: expected UTF-8 in {path}, got byte {byte:#x} in line {line}; save it as UTF-8"
        ) from error


def _header(records: Iterator[tuple[int, list[str]]], path: Path, who: str) -> list[str]:
    header = next(records, (0, []))[1]
    if not header:
        raise ValueError(f"{who}: expected a header and rows in {path}, got an empty file")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{who}: expected columns with different names in {path}, got {twice[0]!r} twice")
    return header


def _records(text: str, path: Path, who: str, delimiter: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """The line where each record begins, and its fields."""
    # csv refuses fields above 128 KiB, and only a setting of the whole process changes that
    before = csv.field_size_limit(2**31 - 1)
    line = 1
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or delimiter_of(path), strict=True)
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{who}: {path}: expected quoted fields that end, got {error} in line {line}") from error
    finally:
        csv.field_size_limit(before)


def some(places: Iterable[str]) -> str:
    """The first five of many, and how many more there are.

    >>> some(f"line {number}" for number in range(2, 10))
    'line 2, line 3, line 4, line 5, line 6 and 3 more'
    """
    rest = iter(places)
    first, more = list(islice(rest, 5)), sum(1 for _ in rest)
    return ", ".join(first) + (f" and {more} more" if more else "")
