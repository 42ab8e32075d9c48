"""Columns of Arrow tables as numbers and codes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torchaug.data.tables import TableDataset


def library() -> Any:
    """The module `pyarrow`, with its `compute`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError as error:
        raise ImportError("tables: needs pyarrow; pip install 'torchaug-synth[tabular]'") from error
    return pyarrow


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of text."""
    return str(kind) in ("string", "large_string", "string_view")


def natural_steps(kind: Any) -> list[int]:
    """A millisecond, second, minute, hour and day as `to_numbers` counts times of an Arrow type: those above 1."""
    pa = library()
    if not pa.types.is_temporal(kind) or pa.types.is_date32(kind):
        return []
    second = {"s": 1, "ms": 1000}.get(getattr(kind, "unit", "ms"), 10**6)
    return [step for step in (second // 1000, second, 60 * second, 3600 * second, 86400 * second) if step > 1]


def to_numbers(column: Any) -> np.ndarray[Any, Any]:
    """A column as (N,) float64, NaN where missing; times as counts of their unit, nanoseconds as microseconds.

    Raises:
        ValueError: whole numbers beyond 2**53, nanoseconds that are no whole microseconds, or text that is no number.
    """
    pa = library()
    kind = column.type
    if pa.types.is_temporal(kind):
        if getattr(kind, "unit", "") == "ns":
            column = column.cast(_in_microseconds(kind))
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    if pa.types.is_decimal(kind):
        column = column.cast(pa.string())  # Arrow's own way from decimals rounds twice, and misses the nearest number
    numbers: np.ndarray[Any, Any] = column.cast(pa.float64()).to_numpy()
    return numbers


def from_numbers(values: np.ndarray[Any, Any], kind: Any) -> Any:
    """(N,) float64 as an Arrow array of type `kind`, null where NaN."""
    pa = library()
    array = pa.array(values, from_pandas=True)  # NaN becomes null
    if not pa.types.is_temporal(kind):
        return array.cast(kind)
    counts = array.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    return counts.cast(_in_microseconds(kind) if getattr(kind, "unit", "") == "ns" else kind).cast(kind)


def finite(column: Any, where: str) -> Any:
    """A column where, if it is one of floats, NaN is null and -0.0 is 0.0: as categories they would be values of their own.

    Raises:
        ValueError: an infinite number; `where` is how its message begins.
    """
    pa = library()
    if not pa.types.is_floating(column.type):
        return column
    kind = pa.float32() if pa.types.is_float16(column.type) else column.type  # Arrow neither adds nor sorts half floats
    wide = column.cast(pa.float64())
    infinite = np.isinf(wide.to_numpy()).nonzero()[0]
    if len(infinite):
        value = wide[int(infinite[0])].as_py()
        raise ValueError(f"{where}: expected finite numbers, got {value} in row {infinite[0] + 1}")
    plain = pa.compute.add(wide, pa.scalar(0.0, wide.type))
    return pa.compute.if_else(pa.compute.is_nan(wide), pa.scalar(None, wide.type), plain).cast(kind)


def to_codes(column: Any) -> tuple[np.ndarray[Any, Any], tuple[str | None, ...]]:
    """A column as (N,) int64 codes, and the categories in the values' own order, None the last where values are missing."""
    pa = library()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        column = column.cast(pa.string())
    encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    order = pa.compute.sort_indices(encoded.dictionary).to_numpy()
    names = to_texts(encoded.dictionary.take(pa.array(order))).to_pylist()
    places = np.empty(len(order) + 1, dtype=np.int64)
    places[order] = np.arange(len(order))
    places[-1] = len(order)  # of -1, which stands for what is missing
    codes = places[encoded.indices.fill_null(-1).to_numpy()]
    return codes, (*names, None) if column.null_count else tuple(names)


def to_texts(column: Any) -> Any:
    """A column as text, which `read_table` and Python's own `str` have too: times without zeros that say nothing."""
    pa = library()
    if pa.types.is_duration(column.type) and column.type.unit == "ns":
        column = column.cast(pa.duration("us"))  # what comes back is a count of the unit that numbers have
    texts = column.cast(pa.string())
    if not (pa.types.is_timestamp(column.type) or pa.types.is_time(column.type)):
        return texts
    for zeros in (r"\.0+(Z|[+-][0-9]{4})?()$", r"(\.[0-9]{6})0+(Z|[+-][0-9]{4})?$"):
        texts = pa.compute.replace_substring_regex(texts, zeros, r"\1\2")
    return texts


def from_codes(codes: np.ndarray[Any, Any], categories: tuple[str | None, ...], kind: Any) -> Any:
    """(N,) codes as an Arrow array of type `kind`, null where the category is None."""
    pa = library()
    values = pa.array(categories, pa.string()).take(pa.array(codes))
    if pa.types.is_dictionary(kind):
        return values.cast(kind.value_type).dictionary_encode().cast(kind)
    return values.cast(kind)


def to_arrow(table: TableDataset) -> Any:
    """See `TableDataset.to_arrow`."""
    pa = library()
    types = table.types
    arrays: dict[str, Any] = {}
    values = [*table.numeric.T.numpy(), *table.categorical.T.numpy()]
    for column, of_column in zip(table.columns, values, strict=True):
        if column.kind == "categorical":
            arrays[column.name] = from_codes(of_column, column.categories, types.get(column.name, pa.string()))
            continue
        own = pa.int64() if column.integer else pa.float64()
        arrays[column.name] = from_numbers(column.rounded(of_column), types.get(column.name, own))
    for header, numbers, names in (
        (table.label, table.labels, table.classes),
        (table.group, table.groups, table.group_names),
    ):
        if numbers is not None and names is not None:
            arrays[header] = from_codes(numbers.numpy(), tuple(names), types.get(header, pa.string()))
    order = [name for name in types if name in arrays] or list(arrays)
    return pa.table({name: arrays[name] for name in order})


def _in_microseconds(kind: Any) -> Any:
    pa = library()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us")
