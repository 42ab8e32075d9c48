"""What is done to one batch, in a worker or on the device: its keys, its transform, and the sample an error is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree

from torchaug.batch import Batch
from torchaug.data.errors import SampleError, sample_error
from torchaug.data.instead import Replaced
from torchaug.keys import fold_in, sample_keys


class Visit(NamedTuple):
    """One batch of a run.

    Args:
        epoch: of the run.
        step: number of the batch in the epoch, of this rank.
        place: number of the batch in the epoch, among those of all ranks.
        keys: (B,) int64 of its samples, where a sampler's plan gives them.
    """

    epoch: int
    step: int
    place: int
    keys: Tensor | None = None

    def __str__(self) -> str:
        return f"batch {self.step} of epoch {self.epoch}"


@dataclass(frozen=True)
class Stage:
    """A transform and the keys that it gets: the same wherever it runs.

    Args:
        transform: of a batch, called with `keys=` where it takes them.
        seed: of the keys.
        batch_size: of the DataLoader, for batches that do not name their samples.
        repeats: whether a sample may come twice in an epoch, and is then to differ.
        data: the data set, which knows the names of its samples.

    >>> stage = Stage(lambda batch: batch["image"] / 255, 0, None, False, [])
    >>> stage.run({"image": torch.full((1,), 51)}, None, Visit(0, 0, 0))
    tensor([0.2000])
    """

    transform: Callable[..., Any] | None
    seed: int
    batch_size: int | None
    repeats: bool
    data: Any

    @cached_property
    def keyed(self) -> bool:
        """Whether the transform takes keys."""
        return takes_keys(self.transform)

    def keys(self, batch: Any, replaced: Sequence[Replaced], visit: Visit) -> Tensor | None:
        """(B,) keys of the samples, or None where the transform takes none; call it where the batch is on the host.

        A key belongs to a slot: a sample that stands in for another is given the other's.
        """
        if not self.keyed:
            return None
        if isinstance(batch, Batch) and batch.key is not None:
            return batch.key
        if visit.keys is not None:
            return visit.keys
        ids = ids_of(batch)
        if ids is not None and replaced:
            ids = ids.clone()
            ids[[one.row for one in replaced]] = torch.tensor([one.wanted for one in replaced], dtype=ids.dtype)
        if ids is None:
            rows = rows_of(batch)
            ids = visit.place * (self.batch_size or rows) + torch.arange(rows)
        keys = sample_keys(ids, seed=self.seed, epoch=visit.epoch)
        return fold_in(keys, visit.step) if self.repeats else keys

    def run(
        self,
        batch: Any,
        keys: Tensor | None,
        visit: Visit,
        *,
        host: Any = None,
        names: Sequence[Any] | Tensor | None = None,
    ) -> Any:
        """The batch, transformed.

        Args:
            batch: where it is to be transformed.
            keys: of its samples.
            visit: for errors.
            host: the batch as it was on the host.
            names: index of each sample in the data set.

        Raises:
            SampleError: where a sample makes the transform fail on its own, too.
            Exception: of the transform's own kind, naming the batch, where none does.
        """
        if self.transform is None:
            return batch
        try:
            return self.transform(batch) if keys is None else self.transform(batch, keys=keys)
        except Exception as error:  # whatever the user's transform raises
            raise self._blame(error, batch if host is None else host, keys, visit, names) from error

    def _blame(
        self, error: Exception, batch: Any, keys: Tensor | None, visit: Visit, names: Sequence[Any] | Tensor | None
    ) -> Exception:
        """The error that names the samples that fail alone on the host; where all do, it is none of theirs."""
        rows = rows_of(batch)
        bad = [row for row in range(rows) if self._fails(type(error), batch, keys, row, rows)]
        what = f"DeviceLoader: the transform failed in {visit}"
        if not bad or len(bad) == rows > 1:
            return in_batch(error, what)
        if names is None:
            return in_batch(error, f"{what}, at places {bad[:8]}, which fail alone, too")
        guilty = [names[row] for row in bad[:9]] if not isinstance(names, Tensor) else names[bad[:9]].tolist()
        first = sample_error(error, self.data, guilty[0])
        others = f", as do samples {guilty[1:]}" if guilty[1:] else ""
        return SampleError(f"{first}; in the transform, {visit}: the sample fails alone, too{others}")

    def _fails(self, kind: type[Exception], batch: Any, keys: Tensor | None, row: int, rows: int) -> bool:
        assert self.transform is not None
        one = _alone(batch, row, rows)
        try:
            self.transform(one) if keys is None else self.transform(one, keys=keys[row : row + 1])
        except Exception as error:  # noqa: BLE001 (only whether it is the same one matters)
            return type(error) is kind
        return False


def takes_keys(transform: Callable[..., Any] | None) -> bool:
    """Whether a transform has a parameter `keys`, as all of torchaug's have.

    >>> from torchaug.image import RandomHorizontalFlip
    >>> takes_keys(RandomHorizontalFlip()), takes_keys(lambda batch: batch), takes_keys(None)
    (True, False, False)
    """
    try:
        return "keys" in signature(getattr(transform, "forward", transform)).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):  # None, and builtins that do not say
        return False


def in_batch(error: Exception, where: str) -> Exception:
    """An error of the same kind that says where it was raised; a RuntimeError for a kind that takes no message."""
    text = f"{where}: {type(error).__name__}: {error}"
    try:
        return type(error)(text)
    except Exception:  # noqa: BLE001 (a kind may want other arguments)
        return RuntimeError(text)


def rows_of(batch: Any) -> int:
    """How many samples a batch has: the length of its first tensor."""
    return next((leaf.shape[0] for leaf in _pytree.tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim), 0)


def ids_of(batch: Any) -> Tensor | None:
    """(B,) whole numbers that name the samples, where the batch has them."""
    found = batch.index if isinstance(batch, Batch) else None
    if isinstance(batch, dict):
        found = batch.get("id", batch.get("index"))
    usable = isinstance(found, Tensor) and found.ndim == 1 and not found.is_floating_point()
    return found if usable else None


def put(tree: Any, device: torch.device) -> Any:
    """Tensors, and whatever else has `.to`, on the device; copies from pinned memory do not make the host wait."""
    if type(tree) is dict:  # the usual form, without the cost of a general walk
        return {
            name: part if type(part) is Tensor and part.device == device else put(part, device)
            for name, part in tree.items()
        }
    if type(tree) is Tensor:
        return _put_leaf(tree, device)
    return _pytree.tree_map(lambda leaf: _put_leaf(leaf, device), tree)


def _put_leaf(leaf: Any, device: torch.device) -> Any:
    # on mps an unfinished copy may be read (pytorch #83015)
    return leaf.to(device, non_blocking=device.type != "mps") if hasattr(leaf, "to") else leaf


def _alone(part: Any, row: int, rows: int) -> Any:
    """One row of a batch of any form, as a batch."""
    if isinstance(part, (Batch, Tensor)):
        sliced = isinstance(part, Batch) or (part.ndim > 0 and len(part) == rows)
        return part[row : row + 1] if sliced else part
    if isinstance(part, Mapping):
        return {name: _alone(value, row, rows) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        if any(isinstance(value, (Tensor, Mapping)) for value in part):
            return type(part)(_alone(value, row, rows) for value in part)
        return part[row : row + 1] if len(part) == rows else part
    return part
