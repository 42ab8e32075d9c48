"""Columns with types: of Parquet files and data frames as they come, of CSV files by what all of their fields are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from torchaug.data.arrow import library
from torchaug.data.readers.rows import delimiter_of, read_header, read_rows, read_utf8

BLOCK = 2**30  # bytes that are parsed at a time; no row may be longer
TAKEN = "numbers, text, truth values or times"
CONVERT = "pass it in drop= (--drop), or convert it, such as to text"
MOSTLY = 0.9  # a CSV column with this share of numbers is one of numbers, and its other values are mistakes
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WRITTEN = r"^[+-]?(0[0-9xX]|[0-9]{16})"  # postcodes, telephone and card numbers: digits, but no numbers


_NANOSECONDS = r"(:[0-9]{2}\.[0-9]{6})0{1,3}(Z|[+-][0-9:]+)?$"  # as Arrow writes them, where they are microseconds


def read_columns(
    given: Any,
    as_they_are: Collection[str],
    missing: Sequence[str],
    who: str,
    wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, Any]:
    """The columns of a table as Arrow's chunked arrays, by name.

    Args:
        given: a CSV, TSV or Parquet file, a `pyarrow.Table`, a `pandas.DataFrame`, or what `pyarrow.table` takes.
        as_they_are: columns of a CSV file that stay text, such as labels.
        missing: what stands in a CSV file for a number that is missing.
        who: for messages.
        wanted: which columns are looked at; the values of others, which may be anything, stay text or become null.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such table, two columns of one name, no rows, or several types in a column, with the row.
    """
    pa = library()
    if isinstance(given, (str, Path)):
        path = Path(given)
        if path.suffix.lower() in (".csv", ".tsv"):
            return _csv(path, as_they_are, missing, who, wanted)
        given = _parquet(path, who)
    if type(given).__module__.partition(".")[0] == "pandas":
        return _frame(given, who, wanted)
    table = given if isinstance(given, pa.Table) else pa.table(given)
    _check_names(table.column_names, who)
    return dict(zip(table.column_names, table.columns, strict=True))


def is_number(column: Any) -> Any:
    """Which texts of a column are numbers: an Arrow array of truth values, null where missing."""
    return library().compute.match_substring_regex(column, _NUMBER)


def first_other(column: Any, fine: Any) -> tuple[int, Any]:
    """The row, from 1, and the value of the first one of a column that is not fine; missing ones are."""
    row = library().compute.index(fine, False).as_py()
    return row + 1, column[row].as_py()


def _parquet(path: Path, who: str) -> Any:
    pa = library()
    import pyarrow.parquet

    if not path.is_file():
        what = "a folder" if path.exists() else "nothing"
        raise FileNotFoundError(f"{who}: expected a file at {path}, got {what} there")
    try:
        return pyarrow.parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{who}: expected CSV (.csv, .tsv) or Parquet in {path}, got neither: {error}") from error


def _frame(frame: Any, who: str, wanted: Callable[[str], bool]) -> dict[str, Any]:
    pa = library()
    names = [str(name) for name in frame.columns]
    _check_names(names, who)
    columns = {}
    for place, name in enumerate(names):
        series = frame.iloc[:, place]
        try:
            array = pa.Array.from_pandas(series) if wanted(name) else pa.nulls(len(series))
        except pa.ArrowException as error:
            raise ValueError(f"{who}: column {name!r}: expected {_unlike(series)}; {CONVERT}") from error
        columns[name] = pa.chunked_array([array])
    return columns


def _unlike(series: Any) -> str:
    """What was expected of a column of a data frame, and what it has instead."""
    both = enumerate(zip(series, series.isna(), strict=True), start=1)
    kinds = [(row, type(value).__name__) for row, (value, gone) in both if not gone]
    if str(series.dtype) != "object":
        return f"{TAKEN}, got {series.dtype}"
    first = kinds[0][1]
    other = next(((row, kind) for row, kind in kinds if kind != first), None)
    return (
        f"{TAKEN}, got {first}"
        if other is None
        else f"values of one type, got {first} and, in row {other[0]}, {other[1]}"
    )


def _csv(
    path: Path, as_they_are: Collection[str], missing: Sequence[str], who: str, wanted: Callable[[str], bool]
) -> dict[str, Any]:
    pa = library()
    import pyarrow.csv

    text = read_utf8(path, who)
    header = read_header(text, path, who)
    data = text.encode()
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(block_size=min(len(data) + 1, BLOCK)),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter_of(path), newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), null_values=[]),
        )
    except pa.ArrowInvalid as error:
        read_rows(path, who=who)  # says in which line
        raise ValueError(f"{who}: expected CSV in {path}, got {error}") from error
    columns = dict(zip(header, table.columns, strict=True))
    return {
        name: _no_empty(column) if name in as_they_are or not wanted(name) else _typed(column, missing)
        for name, column in columns.items()
    }


def _typed(texts: Any, missing: Sequence[str]) -> Any:
    """Texts as whole numbers, numbers, dates or times where all are such, else as they are; null where missing."""
    pa = library()
    there = without_missing(texts, missing)
    if there.null_count == len(there):
        return there
    if pa.compute.any(pa.compute.match_substring_regex(there, _WRITTEN)).as_py():
        return _no_empty(texts)
    for kind in (pa.int64(), pa.float64(), pa.date32()):
        if (typed := _cast(there, kind)) is not None:
            return typed
    times = pa.compute.replace_substring_regex(there, _NANOSECONDS, r"\1\2")
    for zone in (None, "UTC"):  # all with "Z" or an offset, or none
        for unit in ("s", "us"):
            if (typed := _cast(times, pa.timestamp(unit, zone))) is not None:
                return typed
    mostly_numbers = pa.compute.sum(is_number(there)).as_py() >= MOSTLY * (len(there) - there.null_count)
    return there if mostly_numbers else _no_empty(texts)


def without_missing(texts: Any, missing: Sequence[str]) -> Any:
    """Texts without spaces around them, null where they stand for nothing."""
    pa = library()
    trimmed = pa.compute.utf8_trim_whitespace(texts)
    gone = pa.compute.is_in(trimmed, value_set=pa.array(missing, pa.string()))
    return pa.compute.if_else(gone, pa.scalar(None, pa.string()), trimmed)


def _cast(texts: Any, kind: Any) -> Any | None:
    try:
        return texts.cast(kind)
    except library().ArrowInvalid:
        return None


def _no_empty(texts: Any) -> Any:
    pa = library()
    return pa.compute.if_else(pa.compute.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _check_names(names: list[str], who: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{who}: expected columns with different names, got {twice[0]!r} twice")
