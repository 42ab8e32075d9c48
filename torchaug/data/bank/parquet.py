"""A bank as Parquet, with images and sounds as Hugging Face's datasets read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchaug.data.bank.media import as_file, content_columns, facts, parts, provenance, sample_rate
from torchaug.data.bank.reader import Bank
from torchaug.data.bank.tables import is_table, table_of

ABOUT = ("label", "group", "id", "row", "generator", "quality")
_SAME = {"float": "float32", "double": "float64", "halffloat": "float16"}  # pyarrow's names, and Hugging Face's


def write_parquet(bank: Bank, folder: Path, per_file: int, report: Callable[[int], None]) -> None:
    """Writes `part-00000.parquet`, ...

    Args:
        bank: to write.
        folder: that gets the files.
        per_file: samples in a file.
        report: called with the number of samples that were just written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("export: needs pyarrow; pip install 'torchaug-synth[tabular]'") from error
    if not len(bank):
        return
    about = {"torchaug": json.dumps(provenance(bank))}
    if is_table(bank):
        schema = _rows(bank, torch.arange(1)).schema.with_metadata(about)
    else:
        types, features = _schema(bank, pa)
        schema = pa.schema(types, metadata=about | {"huggingface": json.dumps({"info": {"features": features}})})
    for number, group in groupby(parts(bank, per_file), key=lambda part: part[0]):
        with pq.ParquetWriter(folder / f"part-{number:05d}.parquet", schema) as file:
            for _, indices in group:
                rows = _rows(bank, indices) if is_table(bank) else pa.table(_columns(bank, indices), schema=schema)
                file.write_table(rows.replace_schema_metadata(schema.metadata))
                report(len(indices))


def _rows(bank: Bank, indices: Tensor) -> Any:
    """The original values of rows of a table, as an Arrow table."""
    rows = bank.take(indices, ["table"])["table"]
    assert isinstance(rows, Tensor)
    return table_of(bank, rows, indices).to_arrow()


def _schema(bank: Bank, pa: Any) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    """The type of each column, and what it is to Hugging Face."""
    media = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    types: list[tuple[str, Any]] = []
    features: dict[str, Any] = {}
    for name in content_columns(bank):
        spec = bank.columns[name]
        if name == "image":
            types.append((name, media))
            features[name] = {"_type": "Image"}
        elif name == "waveform":
            types.append((name, media))
            features[name] = {"sampling_rate": sample_rate(bank), "_type": "Audio"}
        elif name == "table" and spec["kind"] == "stacked" and len(spec["shape"]) == 1:
            types += [(column, pa.type_for_alias(spec["dtype"])) for column in _names(bank)]
        else:
            types.append((name, pa.string() if spec["kind"] == "text" else pa.binary()))
    numbers = {"id": pa.int64(), "row": pa.int64(), "quality": pa.float32()}
    types += [(name, numbers.get(name, pa.string())) for name in _about(bank)]
    said = {name: _SAME.get(str(kind), str(kind)) for name, kind in types}
    return types, {name: {"dtype": kind, "_type": "Value"} for name, kind in said.items()} | features


def _about(bank: Bank) -> list[str]:
    known = {"label": bank.labels, "group": bank.groups, "quality": bank.quality}
    return [name for name in ABOUT if known.get(name, ()) is not None]


def _names(bank: Bank) -> list[str]:
    """A name for each number of a row of the table."""
    width = bank.columns["table"]["shape"][0]
    names = bank.attributes.get("columns", [f"table_{number}" for number in range(width)])
    taken = {*names} & {*bank.columns, *ABOUT} - {"table"}
    if len(names) != width or len({*names}) < width or taken or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"export: attributes['columns'] of {bank.path} must be {width} different names and none of "
            f"{', '.join(sorted({*bank.columns, *ABOUT} - {'table'}))}, got {names}"
        )
    return list(names)


def _columns(bank: Bank, indices: Tensor) -> dict[str, Any]:
    """The samples at `indices`, as Parquet has them."""
    columns: dict[str, Any] = {}
    known = [facts(bank, index) for index in indices.tolist()]
    for name, column in bank.take(indices, content_columns(bank)).items():
        if name == "table" and isinstance(column, Tensor) and column.ndim == 2:
            columns |= dict(zip(_names(bank), column.T.contiguous().numpy(), strict=True))
        elif bank.columns[name]["kind"] == "text":
            columns[name] = column
        else:
            files = [as_file(bank, name, value) for value in column]
            named = [f"{about['row']:08d}.{ending}" for about, (ending, _) in zip(known, files, strict=True)]
            media = [{"bytes": data, "path": path} for path, (_, data) in zip(named, files, strict=True)]
            columns[name] = media if name in ("image", "waveform") else [data for _, data in files]
    return columns | {name: [about[name] for about in known] for name in _about(bank)}
