"""A table read with the columns, categories and classes of another: a test set's, or rows that somebody else made."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from torchaug.data.arrow import finite, is_text, library, to_codes, to_numbers
from torchaug.data.readers.table import MISSING, as_numbers, read_classes
from torchaug.data.readers.typed import read_columns, without_missing
from torchaug.data.spellings import places_of
from torchaug.data.tables import Column, TableDataset

_WHO = "read_table_like"


def read_table_like(path_or_frame: Any, like: TableDataset) -> TableDataset:
    """The rows of a table as rows of another: same columns and kinds, same codes of categories and classes.

    Args:
        path_or_frame: as for `read_table`; columns in any order, those that `like` has not are left out. The label and
            the group may be missing.
        like: the table to follow, such as the training set.

    Raises:
        ValueError: a column that is missing, or a value that `like` has no code for; column, value and row are named.
        FileNotFoundError, ImportError: as `read_table`.

    >>> import pyarrow
    >>> from torchaug.data import read_table
    >>> train = read_table(pyarrow.table({"job": ["cook", "smith"], "age": [31.5, 47.0], "label": ["no", "yes"]}))
    >>> test = read_table_like(pyarrow.table({"age": [20.0], "job": ["smith"], "label": ["no"]}), train)
    >>> test[0]["table"], test[0]["label"]
    (tensor([20.,  1.]), 0)
    """
    of_labels, of_groups = (like.label, like.classes, like.labels), (like.group, like.group_names, like.groups)
    about = [name for name, _, numbers in (of_labels, of_groups) if numbers is not None]
    known = {*about, *(column.name for column in like.columns)}
    columns = read_columns(path_or_frame, about, MISSING, _WHO, known.__contains__)
    lacking = [column.name for column in like.columns if column.name not in columns]
    if lacking:
        raise ValueError(f"{_WHO}: expected the columns of {like.name}, got none called {', '.join(lacking)}")
    types = like.types
    values = [_values(columns[column.name], column, types.get(column.name)) for column in like.columns]
    rows, width = len(columns[like.columns[0].name]), like.numeric.shape[1]
    numbers = np.stack(values[:width], 1) if width else np.zeros((rows, 0))
    codes = np.stack(values[width:], 1) if len(values) > width else np.zeros((rows, 0), np.int64)
    classes, groups = (
        read_classes(columns[name], name, names)[0] if numbers is not None and name in columns else None
        for name, names, numbers in (of_labels, of_groups)
    )
    read = like.with_rows(torch.from_numpy(numbers), torch.from_numpy(codes), classes, groups)
    read.columns = (*map(Column.holding, like.columns[:width], values[:width]), *like.columns[width:])
    return read


def _values(column: Any, wanted: Column, kind: Any) -> np.ndarray[Any, Any]:
    """The numbers (N,) float64 or codes (N,) int64 of a column, of which `kind` is the type that the other table had."""
    pa = library()
    if kind is not None and pa.types.is_temporal(kind):
        column = _timed(column, kind, wanted.name)
    where = f"{_WHO}: column {wanted.name!r}"
    if wanted.kind == "numeric":
        return to_numbers(finite(as_numbers(wanted.name, column), where))
    column = finite(column, where)
    if pa.types.is_floating(column.type):  # pandas turns whole numbers into such where one is missing
        whole = column.drop_null().to_numpy()
        column = column.cast(pa.int64()) if np.array_equal(whole, whole.round()) else column
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    codes, categories = to_codes(column)
    places = places_of(categories, wanted.categories)
    unknown = [code for code, place in enumerate(places) if place is None]
    if unknown:
        row = int(np.isin(codes, unknown).nonzero()[0][0])
        raise ValueError(f"{where}: expected a value that is known, got {categories[codes[row]]!r} in row {row + 1}")
    found: np.ndarray[Any, Any] = np.array(places, dtype=np.int64)[codes]
    return found


def _timed(column: Any, kind: Any, name: str) -> Any:
    """A column of times, or of what CSV has for them, in the type that the other table had: numbers count its unit."""
    pa = library()
    try:
        if is_text(column.type):
            texts = without_missing(column, MISSING)
            if not pa.types.is_time(kind):
                return texts.cast(kind)
            dated = pa.compute.binary_join_element_wise("1970-01-01", texts, " ")  # Arrow has no cast of times of day
            return dated.cast(pa.timestamp("ns")).cast(pa.time64("ns")).cast(kind)
        return column.cast(kind) if pa.types.is_temporal(column.type) else column
    except pa.ArrowException as error:
        raise ValueError(f"{_WHO}: column {name!r}: expected times as {kind} holds them, got {error}") from error
