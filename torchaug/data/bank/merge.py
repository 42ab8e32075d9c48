"""Several banks as one, and one bank without what was dropped from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from torchaug.data.bank.columns import encode, renumber
from torchaug.data.bank.format import Json, ShardStore
from torchaug.data.bank.reader import Bank
from torchaug.data.bank.writer import make_manifest, make_note


def merge(banks: Sequence[Bank], path: str | Path, *, progress: Callable[[int, int], None] | None = None) -> Bank:
    """Writes the samples of several banks into a new one; run again after a kill, it goes on where it stopped.

    Each sample keeps its id and who made it, and what that was trained on; the new bank's generation is the highest of
    them. Samples that were dropped are not written, so `merge([bank], path)` writes a bank that is rid of them. Classes
    are matched by name; those of the first bank come first.

    Args:
        banks: with the same columns and attributes.
        path: of the new bank.
        progress: called with (samples done, samples in all).

    Raises:
        ValueError: no bank, banks that do not fit each other, or another bank in the folder.

    >>> import tempfile
    >>> from torchaug.data import BankWriter
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     with BankWriter(folder / name, config={}, trained_on=None, generator=name, classes=[name]) as writer:
    ...         _ = writer.write(0, {"text": ["a", "b"]}, torch.tensor([0, 0]), torch.arange(2))
    >>> both = merge([Bank(folder / "cat"), Bank(folder / "dog")], folder / "both")
    >>> both.classes, both.labels.tolist(), [both.manifest["made_by"][m]["generator"] for m in both.makers]
    (['cat', 'dog'], [0, 0, 1, 1], ['cat', 'cat', 'dog', 'dog'])
    """
    _check(banks)
    classes = list(dict.fromkeys(name for bank in banks for name in bank.classes))
    size = max(int(bank.manifest["shard_size"]) for bank in banks)
    makers = [maker for bank in banks for maker in bank.manifest["made_by"]]
    done, total = 0, sum(map(len, banks))
    manifest = make_manifest(classes, makers, size, total, banks[0].attributes)
    manifest["merged"] = [bank.fingerprint for bank in banks]
    known = [items for bank in banks if (items := bank.trained_items) is not None]
    store = ShardStore(Path(path), manifest, torch.cat(known).unique() if known else None)
    for number, (bank, first_maker, indices) in enumerate(_parts(banks)):
        if not store.has(number):
            store.put(number, *_shard(bank, indices, classes, first_maker))
        done += len(indices)
        if progress is not None:
            progress(done, total)
    return Bank(path)


def _check(banks: Sequence[Bank]) -> None:
    if not banks or not sum(map(len, banks)):
        raise ValueError("merge: expected at least one sample to write, got none")
    first = banks[0]
    for bank in banks[1:]:
        for what in ("columns", "attributes"):
            if getattr(bank, what) != getattr(first, what):
                raise ValueError(
                    f"merge: {what} must be those of {first.path}, {getattr(first, what)}, got {getattr(bank, what)} in "
                    f"{bank.path}"
                )
        if (bank.labels is None) != (first.labels is None):
            raise ValueError(f"merge: either all banks must have labels or none, got {first.path} and {bank.path}")


def _parts(banks: Sequence[Bank]) -> Iterator[tuple[Bank, int, Tensor]]:
    """For each shard to write: the bank it comes from, the number of that bank's first maker, and the indices in it."""
    first_maker = 0
    for bank in banks:
        for indices in bank.by_shard():
            if len(indices):
                yield bank, first_maker, indices
        first_maker += len(bank.manifest["made_by"])


def _shard(bank: Bank, indices: Tensor, classes: list[str], first_maker: int) -> tuple[dict[str, Tensor], Json]:
    tensors, specs = encode(bank.take(indices), len(indices))
    tensors["id"] = bank.ids[indices]
    if bank.labels is not None:
        tensors["label"] = renumber(bank.labels[indices], bank.classes, classes, bank.path)
    if bank.quality is not None:
        tensors["quality"] = bank.quality[indices]
    return tensors, make_note(tensors, specs, first_maker + int(bank.makers[indices[0]]))
