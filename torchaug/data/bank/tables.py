"""Banks of tables: what the columns are, as JSON in the bank's attributes, and the table itself."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torchaug.data.arrow import library
from torchaug.data.tables import Column, TableDataset

if TYPE_CHECKING:
    from torchaug.data.bank.reader import Bank


def table_attributes(data: TableDataset) -> dict[str, Any]:
    """What a table's columns are, as JSON: the attributes of a bank whose column "table" holds rows of them.

    Returns:
        "columns", their names, and "table": each column's kind, categories, decimals, range and, where it has one, grid,
        the classes, the headers of labels and groups, and the original types; "groups", the groups' names, where there
        are any.

    >>> columns = [Column("size", "numeric", decimals=1, high=9.0), Column("colour", "categorical", ("blue", "red"))]
    >>> data = TableDataset(torch.zeros(1, 1).double(), torch.zeros(1, 1).long(), columns)
    >>> attributes = table_attributes(data)
    >>> attributes["columns"], attributes["table"]["columns"][1]["categories"]
    (['size', 'colour'], ['blue', 'red'])
    """
    columns = [_described(column) for column in data.columns]
    names = {"name": data.name, "label": data.label, "group": data.group, "classes": data.classes}
    schema = None if data.schema is None else base64.b64encode(data.schema.serialize().to_pybytes()).decode()
    about: dict[str, Any] = {
        "columns": [column.name for column in data.columns],
        "table": {"columns": columns, **names, "schema": schema},
    }
    return about if data.group_names is None else about | {"groups": list(data.group_names)}


def table_columns(attributes: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns that `table_attributes` describes: the numeric ones, and then the categorical ones."""
    return tuple(map(_column, attributes["table"]["columns"]))


def _column(about: Mapping[str, Any]) -> Column:
    grid = about.get("grid")  # which older versions did not write
    own = {**about, "categories": tuple(about["categories"]), "grid": None if grid is None else tuple(grid)}
    return Column(**own)


def _described(column: Column) -> dict[str, Any]:
    about = asdict(column) | {"categories": list(column.categories)}
    grid = about.pop("grid")
    return about if grid is None else about | {"grid": list(grid)}


def make_table(
    attributes: Mapping[str, Any],
    numeric: Tensor,
    categorical: Tensor,
    labels: Tensor | None = None,
    groups: Tensor | None = None,
) -> TableDataset:
    """A table of the columns that `table_attributes` describes.

    Args:
        attributes: as `table_attributes` gives them, perhaps by way of JSON.
        numeric: (N, F) float64.
        categorical: (N, K) int64.
        labels: (N,) class numbers, or None.
        groups: (N,) group numbers, or None.
    """
    about = attributes["table"]
    return TableDataset(
        numeric,
        categorical,
        table_columns(attributes),
        labels,
        about["classes"],
        groups,
        attributes.get("groups"),
        name=about["name"],
        label=about["label"],
        group=about["group"],
        schema=_schema(about["schema"]),
    )


def _schema(text: str | None) -> Any:
    """The original types; None without pyarrow, which alone has a use for them."""
    if text is None or importlib.util.find_spec("pyarrow") is None:
        return None
    pa = library()
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def is_table(bank: Bank) -> bool:
    """Whether a bank holds rows of a table and knows its columns."""
    spec, about = bank.columns.get("table", {}), bank.attributes.get("table")
    return about is not None and spec.get("shape") == [len(about["columns"])]


def bank_table(bank: Bank) -> TableDataset:
    """The table in a bank, exactly as its generator made it.

    Raises:
        ValueError: a bank of something else, or one that does not say what its columns are.
    """
    if not is_table(bank):
        raise ValueError(
            f"Bank: expected rows of a table, and attributes of table_attributes, in {bank.path}, got the columns "
            f"{', '.join(bank.columns)} and the attributes {', '.join(bank.attributes) or 'none'}"
        )
    rows = bank.column("table")
    assert isinstance(rows, Tensor)
    return table_of(bank, rows, torch.arange(len(bank)))


def table_of(bank: Bank, rows: Tensor, indices: Tensor) -> TableDataset:
    """The rows (N, F + K) of a bank at `indices` (N,), with their labels and groups, as a table."""
    about = bank.attributes["table"]
    count = sum(column["kind"] == "numeric" for column in about["columns"])
    attributes = {**bank.attributes, "table": {**about, "classes": bank.classes or None}}
    labels, groups = (None if numbers is None else numbers[indices] for numbers in (bank.labels, bank.groups))
    numeric, codes = rows[:, :count].to(torch.float64), rows[:, count:].to(torch.int64)
    return make_table(attributes, numeric, codes, labels, groups)
