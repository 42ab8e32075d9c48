"""Columns of a table in a CSV or Parquet file, as what was written there, with the place of each row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchaug.data.readers.rows import read_header, read_rows, read_utf8

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


def read_columns(path: str | Path, wanted: Iterable[str], who: str, *, delimiter: str | None = None) -> Columns:
    """Some columns of a CSV (UTF-8, names in the first line) or Parquet file.

    Args:
        path: the file; its name ends in .csv, .tsv, .txt or .parquet.
        wanted: names of columns.
        who: for messages.
        delimiter: between the cells of a CSV; None is a tab where the name ends in .tsv, else a comma.

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


def column_names(path: str | Path, who: str, *, delimiter: str | None = None) -> list[str]:
    """The names of all columns of a CSV or Parquet file."""
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        return list(_open_parquet(path, who).schema_arrow.names)
    return read_header(read_utf8(path, who), path, who, delimiter)


def _csv(path: Path, wanted: list[str], who: str, delimiter: str | None) -> Columns:
    rows = read_rows(path, needs=wanted, who=who, delimiter=delimiter)
    rows = [row for row in rows if any(field.strip() for field in row.fields.values())]
    cells: dict[str, list[Cell]] = {name: [row.fields[name].strip() or None for row in rows] for name in wanted}
    return Columns(path, cells, [row.line for row in rows], "line")


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
