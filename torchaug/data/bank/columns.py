"""How a bank stores the entries of its samples: stacked tensors, tensors of different lengths, and texts.

A column of n samples becomes tensors of a safetensors file:

- "stacked": `name` (n, ...), when every sample has the same shape;
- "ragged": `name` (total,), the samples one after the other, and `name.ends` (n,) int64, where each ends. They share
  their shape but for the last side: (C, T) waveforms of T samples;
- "text": as ragged, of UTF-8 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchaug.memory import empty

Column = Tensor | Sequence[Tensor] | Sequence[str]
Spec = dict[str, Any]
Fetch = Callable[[str], Tensor]
RESERVED = ("label", "id", "quality", "index", "source", "is_synthetic", "weight")


def encode(content: Mapping[str, Column], count: int) -> tuple[dict[str, Tensor], dict[str, Spec]]:
    """The columns of `count` samples as tensors to store, and what they are.

    Raises:
        ValueError, TypeError: naming the column and what is wrong with it.

    >>> tensors, specs = encode({"text": ["a", "bcd"]}, 2)
    >>> tensors["text.ends"].tolist(), specs
    ([1, 4], {'text': {'kind': 'text'}})
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"Bank: expected samples by column, {{'image': tensor}}, got a {type(content).__name__}")
    if not content:
        raise ValueError("Bank: expected at least one column, such as 'image', got none")
    tensors: dict[str, Tensor] = {}
    specs: dict[str, Spec] = {}
    for name, column in content.items():
        if not name.isidentifier() or name in RESERVED:
            raise ValueError(f"Bank: a column's name must be a word, and none of {', '.join(RESERVED)}, got {name!r}")
        if len(column) != count:
            raise ValueError(f"Bank: column {name!r} must hold {count} samples, as there are ids, got {len(column)}")
        parts, specs[name] = _encode(name, column)
        tensors |= {key: value.detach().cpu().contiguous() for key, value in parts.items()}
    return tensors, specs


def _encode(name: str, column: Column) -> tuple[dict[str, Tensor], Spec]:
    if isinstance(column, Tensor):
        return {name: column}, _spec("stacked", column.dtype, list(column.shape[1:]))
    texts = [value for value in column if isinstance(value, str)]
    if len(texts) == len(column):
        return _ends(name, [_bytes(name, text) for text in texts]), {"kind": "text"}
    values = [value for value in column if isinstance(value, Tensor)]
    if len(values) < len(column):
        raise TypeError(f"Bank: column {name!r} must be a tensor, a list of tensors or a list of str, got a mixture")
    first = values[0]
    for index, value in enumerate(values):
        if not value.ndim or value.dtype != first.dtype or value.shape[:-1] != first.shape[:-1]:
            raise ValueError(
                f"Bank: samples of column {name!r} must be of one dtype and one shape but for the last side, got "
                f"{value.dtype} {tuple(value.shape)} at {index} beside {first.dtype} {tuple(first.shape)} at 0"
            )
    return _ends(name, [value.flatten() for value in values]), _spec("ragged", first.dtype, list(first.shape[:-1]))


def _ends(name: str, parts: list[Tensor]) -> dict[str, Tensor]:
    return {name: torch.cat(parts), f"{name}.ends": torch.tensor([len(part) for part in parts]).cumsum(0)}


def _bytes(name: str, text: str) -> Tensor:
    try:
        return torch.tensor(list(text.encode()), dtype=torch.uint8)
    except UnicodeEncodeError as error:
        raise ValueError(f"Bank: column {name!r} must hold texts that UTF-8 has, got {text!r}: {error}") from error


def _spec(kind: str, dtype: torch.dtype, shape: list[int]) -> Spec:
    return {"kind": kind, "dtype": str(dtype).removeprefix("torch."), "shape": shape}


def stored_names(name: str, spec: Spec) -> list[str]:
    """The tensors that a column is stored as."""
    return [name] if spec["kind"] == "stacked" else [name, f"{name}.ends"]


def decode(name: str, spec: Spec, row: int, fetch: Fetch) -> Tensor | str:
    """The sample at `row`, in memory of its own.

    Args:
        name: of the column.
        spec: as `encode` gave it.
        row: place in the shard.
        fetch: gives a stored tensor by its name, memory-mapped.
    """
    stored = fetch(name)
    if spec["kind"] == "stacked":
        return stored[row].clone()
    ends = fetch(f"{name}.ends")
    part = stored[int(ends[row - 1]) if row else 0 : int(ends[row])]
    if spec["kind"] == "text":
        return part.numpy().tobytes().decode()
    return part.view(*spec["shape"], -1).clone()


def gather(name: str, spec: Spec, rows: Sequence[int], fetches: Sequence[Fetch]) -> Sequence[Tensor | str]:
    """The samples at some rows of some shards, each with a way to fetch from it: faster than one after the other.

    Tensors of one shape share memory, which nothing else has.
    """
    if spec["kind"] != "stacked":
        return [decode(name, spec, row, fetch) for row, fetch in zip(rows, fetches, strict=True)]
    first, last = rows[0], rows[0] + len(rows)
    if rows == list(range(first, last)) and len(set(fetches)) == 1:  # one piece of one shard
        return fetches[0](name)[first:last].clone().unbind()
    return torch.stack([fetch(name)[row] for row, fetch in zip(rows, fetches, strict=True)]).unbind()


def select(name: str, spec: Spec, shards: Sequence[tuple[Tensor, Fetch]]) -> Column:
    """The samples at the rows of each shard as one column, in memory of its own."""
    if spec["kind"] != "stacked":
        return [decode(name, spec, row, fetch) for rows, fetch in shards for row in rows.tolist()]  # type: ignore[return-value]
    column = empty((sum(len(rows) for rows, _ in shards), *spec["shape"]), getattr(torch, spec["dtype"]))
    for part, (rows, fetch) in zip(column.split([len(rows) for rows, _ in shards]), shards, strict=True):
        stored, first = fetch(name), int(rows[0])
        if torch.equal(rows, torch.arange(first, first + len(rows))):  # one piece: several times as fast
            part.copy_(stored[first : first + len(rows)])
        else:
            torch.index_select(stored, 0, rows, out=part)
    return column


def renumber(labels: Tensor, names: Sequence[str], classes: Sequence[str], path: Path) -> Tensor:
    """Labels of the classes `names` as places among `classes`.

    Raises:
        ValueError: a class that is wanted there and is not here.
    """
    used = labels.unique().tolist()
    lacking = [names[label] for label in used if names[label] not in classes]
    if lacking:
        raise ValueError(
            f"Bank: expected samples of the classes {', '.join(classes)} in {path}, got {', '.join(lacking)} too"
        )
    places = torch.tensor([classes.index(name) if name in classes else -1 for name in names])
    return places[labels]
