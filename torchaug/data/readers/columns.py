"""Columns of a table in a CSV or Parquet file, as what was written there, with the place of each row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Columns:
    """Some columns of a table.

    Attributes:
        path: its file.
        cells: the cells of each column, from top to bottom; None where one is empty.
        numbers: where each row is in the file: its first line in CSV, its number in Parquet, both from 1.
        unit: "line" or "row".
    """

    path: Path
    cells: dict[str, list[Cell]]
    numbers: Sequence[int]
    unit: str

    def at(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.unit} {self.numbers[row]}"


def read_columns(path: str | Path, wanted: Iterable[str], who: str, *, delimiter: str = ",") -> Columns:
    """Some columns of a CSV (UTF-8, names in the first line) or Parquet file.

    Args:
        path: the file; its name ends in .csv, .tsv, .txt or .parquet.
        wanted: names of columns.
        who: for messages.
        delimiter: between the cells of a CSV.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no table in it, a column that it lacks, or no rows.
        ImportError: Parquet without pyarrow.
    """
    path, wanted = Path(path), list(dict.fromkeys(wanted))
    if not path.is_file():
        what = "a folder" if path.exists() else "nothing"
        raise FileNotFoundError(f"{who}: expected a CSV or Parquet file at {path}, got {what} there")
    found = _parquet(path, wanted, who) if path.suffix.lower() == ".parquet" else _csv(path, wanted, who, delimiter)
    if not found.numbers:
        raise ValueError(f"{who}: expected at least one row below the names of columns in {path}, got none")
    return found


def column_names(path: str | Path, who: str, *, delimiter: str = ",") -> list[str]:
    """The names of all columns of a CSV or Parquet file."""
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        return list(_open_parquet(path, who).schema_arrow.names)
    return next((record for _, record in _records(path, who, delimiter)), [])


def some(places: Iterable[str]) -> str:
    """The first five of many places, and how many more there are.

    >>> some(f"line {number}" for number in range(2, 10))
    'line 2, line 3, line 4, line 5, line 6 and 3 more'
    """
    rest = iter(places)
    first, more = list(islice(rest, 5)), sum(1 for _ in rest)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _csv(path: Path, wanted: list[str], who: str, delimiter: str) -> Columns:
    records = _records(path, who, delimiter)
    _, names = next(records, (1, []))
    if not names:
        raise ValueError(f"{who}: expected the names of columns in the first line of {path}, got an empty file")
    _check_names(names, wanted, path, who)
    places = [names.index(name) for name in wanted]
    cells: list[list[Cell]] = [[] for _ in wanted]
    numbers = []
    for line, record in records:
        if len(record) != len(names):
            raise ValueError(
                f"{who}: expected {len(names)} cells ({', '.join(names)}) in line {line} of {path}, got {len(record)}; "
                "put cells that hold the delimiter in quotes"
            )
        numbers.append(line)
        for column, place in zip(cells, places, strict=True):
            column.append(record[place].strip() or None)
    return Columns(path, dict(zip(wanted, cells, strict=True)), numbers, "line")


def _records(path: Path, who: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with its first line."""
    line = 1
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_text_lines(file), delimiter=delimiter, skipinitialspace=True, strict=True)
            for record in reader:
                if any(cell.strip() for cell in record):
                    yield line, record
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise ValueError(f"{who}: expected UTF-8 text in {path}, got {_bad_byte(path)}; save it as UTF-8") from error
    except (csv.Error, _NoText) as error:
        raise ValueError(
            f"{who}: expected CSV in {path}, got in the row that begins in line {line}: {error}"
        ) from error


def _bad_byte(path: Path) -> str:
    """The first byte that is not UTF-8, and its line."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:  # noqa: PERF203 (a file that is not read otherwise)
                return f"the byte 0x{line[error.start]:02x} in line {number}"
    return "other bytes"


class _NoText(ValueError):
    """Bytes that no text has."""


def _text_lines(lines: Iterable[str]) -> Iterator[str]:
    """From Python 3.11 on, csv takes zeros for text."""
    for line in lines:
        if "\0" in line:
            raise _NoText("a zero byte, which no text has")
        yield line


def _parquet(path: Path, wanted: list[str], who: str) -> Columns:
    file = _open_parquet(path, who)
    _check_names(list(file.schema_arrow.names), wanted, path, who)
    try:
        table = file.read(columns=wanted)
        cells = {name: [_plain(cell) for cell in table.column(name).to_pylist()] for name in wanted}
    except OSError as error:
        raise ValueError(f"{who}: cannot read {path}: {error}") from error
    return Columns(path, cells, range(1, table.num_rows + 1), "row")


def _open_parquet(path: Path, who: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"{who}: Parquet needs pyarrow; pip install 'torchaug-synth[tabular]'") from error
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{who}: expected a Parquet file at {path}, got none: {error}") from error


def _plain(cell: Any) -> Cell:
    """NaN, which pandas writes for what is missing, and empty text are nothing."""
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if isinstance(cell, str):
        return cell.strip() or None
    return cell if cell is None or isinstance(cell, (int, float)) else str(cell)


def _check_names(names: list[str], wanted: list[str], path: Path, who: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{who}: names of columns must differ, got {', '.join(map(repr, twice))} twice in {path}")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(
            f"{who}: expected a column {' and one '.join(map(repr, missing))} in {path}, got {', '.join(map(repr, names))}"
        )
