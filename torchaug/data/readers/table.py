"""Tables of CSV and Parquet files and of data frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchaug.data.arrow import finite, is_text, library, natural_steps, to_codes, to_numbers, to_texts
from torchaug.data.readers.labels import class_numbers
from torchaug.data.readers.typed import CONVERT, MOSTLY, TAKEN, first_other, is_number, read_columns
from torchaug.data.spellings import places_of
from torchaug.data.tables import Column, TableDataset

Encoded = tuple[np.ndarray[Any, Any], Column]

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
FEW = 10  # different whole numbers, each in ten rows or more on average: names of something rather than amounts
MANY = 1000  # different texts: ids or free text rather than categories


def read_table(
    path_or_frame: Any,
    *,
    label: str | None = "label",
    group: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    missing: Sequence[str] = MISSING,
) -> TableDataset:
    """A table, with the kind of each column found from its values.

    Text and truth values are categorical. Numbers, dates and times are numeric, but a column of 0 and 1, or of at most ten
    different whole numbers that occur ten times or more on average, is categorical. In a CSV file a column is one
    of numbers, dates (2024-05-31) or times (2024-05-31 12:00:00, in UTC with a Z or an offset) where all its fields are; digits after a leading 0 and 16 or more digits are
    text, as in postcodes and card numbers. A missing number is NaN; a missing category is one of its own, the last.

    Args:
        path_or_frame: a file .csv, .tsv (UTF-8, with a header) or Parquet, a `pyarrow.Table`, a `pandas.DataFrame`
            (without its index), or anything that `pyarrow.table` takes.
        label: the column of the class, names or whole numbers; None: no labels.
        group: that of the group (site, device, sex, ...).
        numeric: columns that are numeric whatever their values.
        categorical: columns that are categorical whatever their values.
        drop: columns to leave out.
        classes: the classes in their order; None: those there, sorted; whole numbers stay as they are.
        missing: what stands in a CSV file for a missing number, date or time; of other columns only "" is missing.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no table; columns that are not there, have no values, infinite ones, several types or, of texts, more
            than 1000 different ones; a row without a label. Columns and rows, from 1, are named.
        ImportError: pyarrow is not installed.

    >>> import pyarrow
    >>> table = pyarrow.table({"age": [31, 47, None], "job": ["cook", None, "smith"], "label": ["yes", "no", "no"]})
    >>> data = read_table(table)
    >>> data[1]["table"], data[1]["label"], data.columns[1].categories
    (tensor([47.,  2.]), 0, ('cook', 'smith', None))
    """
    wanted = {
        "label": [] if label is None else [label],
        "group": [] if group is None else [group],
        "numeric": numeric,
        "categorical": categorical,
        "drop": drop,
    }
    apart = [*wanted["label"], *wanted["group"], *drop]
    columns = read_columns(path_or_frame, apart, missing, "read_table", lambda name: name not in drop)
    _check_wanted(wanted, columns)
    features = {name: column for name, column in columns.items() if name not in apart}
    features |= {name: as_numbers(name, features[name]) for name in numeric}
    numbers, codes, notes = _encode(features, numeric, categorical)
    kept = {name: column.type for name, column in (columns | features).items() if name not in drop}
    labels, names = read_classes(columns[label], label, classes) if label is not None else (None, None)
    groups, group_names = read_classes(columns[group], group, None) if group is not None else (None, None)
    rows = len(next(iter(columns.values())))
    return TableDataset(
        torch.from_numpy(np.stack([values for values, _ in numbers], axis=1) if numbers else np.empty((rows, 0))),
        torch.from_numpy(np.stack([values for values, _ in codes], axis=1) if codes else np.empty((rows, 0), np.int64)),
        [column for _, column in numbers + codes],
        labels,
        names,
        groups,
        group_names,
        name=Path(path_or_frame).stem if isinstance(path_or_frame, (str, Path)) else "table",
        label=label or "label",
        group=group or "group",
        schema=library().schema(list(kept.items())),
        notes=notes,
    )


def _check_wanted(wanted: dict[str, Sequence[str]], columns: dict[str, Any]) -> None:
    if not columns or not len(next(iter(columns.values()))):
        raise ValueError("read_table: expected at least one row of values below the names of the columns, got none")
    for kind, names in wanted.items():
        if isinstance(names, str):
            raise TypeError(f"read_table: {kind} must be a list of names, got {names!r}; pass [{names!r}]")
        for name in names:
            if name not in columns:
                there = ", ".join(map(repr, columns))
                raise ValueError(f"read_table: expected a column {name!r} for {kind}=, got {there}")
    given = [name for names in wanted.values() for name in dict.fromkeys(names)]
    twice = [name for name in given if given.count(name) > 1]
    if twice:
        kinds = " and ".join(f"{kind}=" for kind, names in wanted.items() if twice[0] in names)
        raise ValueError(f"read_table: expected each column in one place, got {twice[0]!r} in {kinds}")
    if not columns.keys() - {*wanted["label"], *wanted["group"], *wanted["drop"]}:
        raise ValueError(f"read_table: expected a column beside those for label=, group= and drop=, got {given}")


def _encode(
    features: dict[str, Any], numeric: Sequence[str], categorical: Sequence[str]
) -> tuple[list[Encoded], list[Encoded], list[str]]:
    """The numeric columns, the categorical ones, and notes on them."""
    numbers: list[Encoded] = []
    codes: list[Encoded] = []
    notes = []
    for name, given in features.items():
        where = f"read_table: column {name!r}"
        column = finite(given, where)
        if column.null_count == len(column):
            raise ValueError(f"{where}: expected values, got none in any row; pass it in drop= (--drop)")
        if name in numeric or (name not in categorical and _is_numeric(column, where)):
            numbers.append(_numbers(name, column, where))
            values, found = numbers[-1]
            gone, constant = int(np.isnan(values).sum()), found.low == found.high
        else:
            codes.append(_codes(name, column, where, name not in categorical))
            values, found = codes[-1]
            gone, constant = column.null_count, len(found.categories) - (None in found.categories) == 1
        if gone:
            notes.append(f"column {name!r}: {gone} of {len(values)} values are missing")
        if constant:
            value = column.drop_null()[0].as_py()
            notes.append(f"column {name!r}: all values are {repr(value) if isinstance(value, (str, float)) else value}")
    return numbers, codes, notes


def _is_numeric(column: Any, where: str) -> bool:
    types = library().types
    if is_text(column.type) or types.is_boolean(column.type) or types.is_dictionary(column.type):
        return False
    if types.is_temporal(column.type):
        return True
    if not (types.is_integer(column.type) or types.is_floating(column.type) or types.is_decimal(column.type)):
        raise ValueError(f"{where}: expected {TAKEN}, got {column.type}; {CONVERT}")
    values = column.cast(library().float64(), safe=False).to_numpy()
    values = values[np.isfinite(values)]
    if not np.array_equal(values, values.round()):
        return True
    different = np.unique(values)
    return not (different.tolist() == [0, 1] or 1 < len(different) <= min(FEW, len(column) // FEW))


def _numbers(name: str, column: Any, where: str) -> Encoded:
    try:
        values = to_numbers(column)
    except library().ArrowInvalid as error:
        raise ValueError(
            f"{where}: expected numbers that float64 holds, got {error}; pass it in drop= (--drop) or categorical="
        ) from error
    return values, Column.of_numbers(name, values, natural_steps(column.type))


def _codes(name: str, column: Any, where: str, guessed: bool) -> Encoded:
    if library().types.is_time(column.type) or library().types.is_duration(column.type):
        raise ValueError(f"{where}: expected times of day and durations to be numbers; leave it out of categorical=")
    if guessed and is_text(column.type):
        fine = is_number(column)
        share = (library().compute.sum(fine).as_py() or 0) / (len(column) - column.null_count)
        if MOSTLY <= share < 1:
            row, value = first_other(column, fine)
            raise ValueError(
                f"{where}: expected values of one kind, got numbers in {share:.1%} of the rows that have any, and "
                f"{value!r} in row {row}; mend it, add it to missing=, or pass the column in categorical= (--categorical)"
            )
    try:
        values, categories = to_codes(column)
    except library().ArrowException as error:
        raise ValueError(f"{where}: expected {TAKEN}, got {column.type}; {CONVERT}") from error
    if guessed and len(categories) > MANY:
        raise ValueError(
            f"{where}: expected at most {MANY} categories, got {len(categories)} in {len(column)} rows: names or free "
            "text; pass it in drop= (--drop), or in categorical= all the same"
        )
    return values, Column(name, "categorical", categories)


def as_numbers(name: str, column: Any) -> Any:
    """A column of `numeric=`: text becomes numbers."""
    if library().types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not is_text(column.type):
        return column
    fine = is_number(column)
    if library().compute.any(library().compute.invert(fine)).as_py():
        row, value = first_other(column, fine)
        raise ValueError(f"read_table: column {name!r}: expected numbers, got {value!r} in row {row}")
    return column.cast(library().float64())


def read_labels(path_or_frame: Any, label: str = "label") -> tuple[Tensor, list[str]]:
    """The class numbers (N,) of a table's rows and the names of the classes; its other columns may be anything.

    Args:
        path_or_frame: as for `read_table`.
        label: the column of the class.

    Raises:
        FileNotFoundError, ValueError, ImportError: as `read_table`.

    >>> import pyarrow
    >>> read_labels(pyarrow.table({"what": [[1], [2, 3]], "label": ["yes", "no"]}))
    (tensor([1, 0]), ['no', 'yes'])
    """
    columns = read_columns(path_or_frame, [label], MISSING, "read_table", lambda name: name == label)
    if label not in columns:
        raise ValueError(f"read_table: expected a column {label!r} for label=, got {', '.join(map(repr, columns))}")
    return read_classes(columns[label], label, None)


def read_classes(column: Any, name: str, classes: Sequence[str] | None) -> tuple[Tensor, list[str]]:
    """The class numbers of a column, and the names of the classes, see `class_numbers`."""
    found = _as_written(column, name)
    if classes is not None:  # a label stays as it is where no class is alike: it may be a number of one, or an error
        known = dict(zip(found, places_of(found, classes), strict=True))
        found = [name if (place := known[name]) is None else classes[place] for name in found]
    if classes is None and (different := len(set(found))) > MANY:
        raise ValueError(
            f"read_table: expected at most {MANY} values of {name!r}, got {different} in {len(found)} rows; pass "
            "label=None (--label none) to read it as a column like any other"
        )
    return class_numbers(found, "read_table", name, lambda row: f"row {row + 1}", classes)


def _as_written(column: Any, name: str) -> list[str | None]:
    """Labels as text."""
    pa = library()
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        column = finite(column, f"read_table: column {name!r}")
        if pa.types.is_floating(column.type):  # pandas turns whole numbers into such where one is missing
            column = column.cast(pa.int64())
        texts: list[str | None] = to_texts(column).to_pylist()
        return texts
    except pa.ArrowNotImplementedError as error:
        raise ValueError(
            f"read_table: a {name} must be a name or a whole number, got {column.type}; convert it, such as to text"
        ) from error
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"read_table: a {name} must be a name or a whole number, got {error}; pass label=None (--label none) to read "
            "it as a column like any other"
        ) from error
