"""What a generator was trained on, as hashes: so that nothing it made is judged on the same data."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.items import Item, content_of
from torchaug.data.source import Source


def item_hashes(dataset: Dataset[Any]) -> Tensor:
    """A 64-bit hash of each item's content: (N,) int64. Equal content has equal hashes, whatever its label."""
    size = len(dataset)  # type: ignore[arg-type]
    hashes = [hashlib.blake2b(_bytes(dataset[index]), digest_size=8).digest() for index in range(size)]
    return torch.frombuffer(bytearray(b"".join(hashes)), dtype=torch.int64) if size else torch.zeros(0).long()


def fingerprint(dataset: Dataset[Any]) -> str:
    """A hash of a data set's content, whatever its order: what `trained_on` of a bank holds.

    >>> from torchaug.data import digits
    >>> fingerprint(digits().subset([0, 1])) == fingerprint(digits().subset([1, 0]))
    True
    """
    return _fingerprint(item_hashes(dataset))


def refuse_leak(source: Source, held_out: Dataset[Item]) -> None:
    """An error when the generator of a source was trained on held-out data, or a part of it."""
    if not source.trained_on and source.trained_items is None:
        return
    hashes = item_hashes(held_out)
    shared = torch.zeros(0, dtype=torch.bool)
    if source.trained_items is not None:
        shared = torch.isin(hashes, source.trained_items)
    known = [source.trained_on] if isinstance(source.trained_on, str) else list(source.trained_on or ())
    if _fingerprint(hashes) in known or shared.any():
        what = f"{int(shared.sum())} of the" if shared.any() else "the"
        first = f" (the first at index {int(shared.nonzero()[0])})" if shared.any() else ""
        raise ValueError(
            f"MixedDataset: the generator of source {source.name!r} was trained on {what} {len(hashes)} held-out items"
            f"{first}: the evaluation would leak through the generator; train it on the training split alone"
        )


def _fingerprint(hashes: Tensor) -> str:
    return hashlib.sha256(hashes.sort().values.numpy().tobytes()).hexdigest()[:32]


def _bytes(item: Any) -> bytes:
    parts = content_of(item)
    if not parts:
        raise TypeError(
            f"item_hashes: items must be dicts with content such as 'image', got {type(item).__name__}; wrap the data set "
            "with as_images"
        )
    return b"".join(_part(value) for value in parts.values())


def _part(value: Any) -> bytes:
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)} ".encode() + value.contiguous().numpy().tobytes()
    return repr(value).encode()
