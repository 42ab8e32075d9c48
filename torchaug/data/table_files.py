"""Tables as CSV and Parquet files."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import torch

from torchaug.data.arrow import library, to_texts
from torchaug.data.files import replace_file
from torchaug.data.tables import TableDataset


def write_table(data: TableDataset, path: str | Path) -> Path:
    """Writes a table's original values to a .csv or .parquet file, which is there whole or not at all.

    Numbers have all their digits, categories are text, what is missing is null (in CSV an empty field), and labels and
    groups are columns of their own. `read_table_like(path, data)` reads values and codes back. So does `read_table`, but
    from CSV times of day and years before 1000 as text, durations as counts, and times with a zone in UTC.

    Args:
        data: the table.
        path: of the file; one that is there is replaced.

    Returns:
        The path.

    Raises:
        ValueError: another ending, categories that CSV does not keep apart ("" from a missing one, "1.0" from "1"), or
            times that it cannot hold.
        ImportError: pyarrow is not installed.

    >>> from torchaug.data import read_table_like, wine
    >>> path = write_table(wine(), Path(tempfile.mkdtemp()) / "wine.csv")
    >>> bool((read_table_like(path, wine()).numeric == wine().numeric).all())
    True
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        replace_file(path, _parquet(data.to_arrow()))
    elif path.suffix.lower() == ".csv":
        _check_texts(data)
        replace_file(path, _csv(data.to_arrow()))
    else:
        raise ValueError(f"write_table: expected a path ending in .csv or .parquet, got {path}")
    return path


def _parquet(table: Any) -> memoryview:
    import pyarrow.parquet

    sink = library().BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    return memoryview(sink.getvalue())


def _csv(table: Any) -> bytes:
    """Rows as RFC 4180 has them. Arrow's own writer leaves a row of one missing value empty, and readers skip it."""
    pa = library()
    wide = [column.cast(pa.float64()) if pa.types.is_floating(column.type) else column for column in table.columns]
    texts = [to_texts(column).to_pylist() for column in wide]  # a float32's own digits name another float64
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*texts, strict=True))
    return out.getvalue().encode()


def _check_texts(data: TableDataset) -> None:
    """Refuses texts and times that would come back as others, by writing and reading those that occur."""
    for header, numbers, names in (
        (data.label, data.labels, data.classes),
        (data.group, data.groups, data.group_names),
    ):
        if numbers is not None and names is not None and "" in {names[number] for number in numbers.unique().tolist()}:
            raise ValueError(f"write_table: column {header!r}: CSV cannot tell '' from a missing value; write .parquet")
    width = data.numeric.shape[1]
    for column, codes in zip(data.columns[width:], data.categorical.T, strict=True):
        used = codes.unique()[:, None]
        _check_column(TableDataset(torch.zeros(len(used), 0).double(), used, [column], schema=data.schema))
    types = data.types
    for column, numbers in zip(data.columns[:width], data.numeric.T, strict=True):
        there = numbers[~numbers.isnan()].unique()
        if len(there) and column.name in types and library().types.is_temporal(types[column.name]):
            there = torch.from_numpy(column.rounded(there.numpy())).unique()[:, None]
            codes = torch.zeros(len(there), 0, dtype=torch.int64)
            _check_column(TableDataset(there, codes, [column], schema=data.schema))


def _check_column(used: TableDataset) -> None:
    """Refuses a table of one column whose values would come back as others."""
    from torchaug.data.readers.like import read_table_like  # readers read banks, and a bank is written as a table

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.csv"
        file.write_bytes(_csv(used.to_arrow()))
        try:
            found = read_table_like(file, used)
        except ValueError as error:
            raise ValueError(f"write_table: CSV would change values ({error}); write .parquet") from error
    if not (torch.equal(found.categorical, used.categorical) and torch.equal(found.numeric, used.numeric)):
        raise ValueError(f"write_table: column {used.columns[0].name!r}: CSV would change values; write .parquet")
