"""The data that generators are trained on: an endless, class-balanced, exactly resumable stream of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import lightning.pytorch as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from torchaug.data.leaks import fingerprint, item_hashes
from torchaug.keys import hash_int, uniforms
from torchaug.training.settings import plain
from torchaug.training.unchanged import unchanged

Balance = Literal["none", "sqrt", "full"]
_EXPONENTS = {"none": 0.0, "sqrt": 0.5, "full": 1.0}


class InMemory(Protocol):
    """Samples in memory: `torchaug.data.TensorImages`, `TableDataset`."""

    @property
    def labels(self) -> Tensor | None:
        """(N,) int64 class numbers, or None."""
        ...

    @property
    def classes(self) -> list[str] | None:
        """The name of each class."""
        ...

    def __len__(self) -> int: ...

    def tensors(self) -> dict[str, Tensor]:
        """The content of all samples, (N, ...) each: {"image"}, or {"numeric", "categorical"}."""
        ...

    def subset(self, indices: Tensor) -> Any:
        """The samples at `indices`."""
        ...


class Loadable(Protocol):
    """Samples that can be loaded into memory: `TensorImages`, `ImageFolderDataset`, `Bank`, `TableDataset`."""

    def in_memory(self) -> InMemory:
        """All of them."""
        ...


def class_weights(labels: Tensor, balance: Balance) -> Tensor:
    """The weight of each item, (N,) float64 with mean 1, so that a class of n items is drawn in proportion to

    n ("none"), the root of n ("sqrt"), or as often as any other ("full").

    >>> class_weights(torch.tensor([0, 0, 0, 1]), "full").tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    """
    if balance not in get_args(Balance):
        raise ValueError(f"class_weights: balance must be one of {', '.join(get_args(Balance))}, got {balance!r}")
    weights = torch.bincount(labels).double()[labels] ** -_EXPONENTS[balance]
    return weights / weights.mean()


def class_shares(data: InMemory) -> list[float]:
    """The share of each class; [1.0] without labels.

    >>> from torchaug.data import wine
    >>> [round(share, 3) for share in class_shares(wine())]
    [0.331, 0.399, 0.27]
    """
    if data.labels is None:
        return [1.0]
    counts = data.labels.bincount(minlength=len(data.classes or []))
    shares: list[float] = (counts / counts.sum()).tolist()
    return shares


class EndlessSampler(DistributedSampler[int]):
    """Indices without an end: passes of N draws in which item i comes up floor(w_i) or ceil(w_i) times.

    The place p of the stream is a function of the seed and p alone, so training goes on exactly where it stopped.
    It is a `DistributedSampler` because Lightning leaves those as they are: ranks take turns in the one stream.

    Args:
        weights: (N,), at least 0 with mean 1 (`class_weights`).
        seed: of the order.
        start: draws to skip, over all ranks; or what says how many, asked whenever an iterator begins.
        rank, world_size: which of how many processes this is.

    >>> from itertools import islice
    >>> sorted(islice(EndlessSampler(torch.ones(4)), 4))
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        weights: Tensor,
        *,
        seed: int = 0,
        start: int | Callable[[], int] = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if weights.ndim != 1 or not len(weights) or bool((weights < 0).any()) or float(weights.sum()) <= 0:
            raise ValueError(
                f"EndlessSampler: weights must be (N,), at least 0 and not all 0, got {tuple(weights.shape)}"
            )
        self.weights = weights.double() / weights.double().mean()
        self.seed, self.start, self.rank, self.num_replicas = seed, start, rank, world_size

    def __iter__(self) -> Iterator[int]:
        start = self.start() if callable(self.start) else self.start
        size, place = len(self.weights), start + self.rank
        while True:
            number = place // size
            order = self._pass(number)
            while place // size == number:
                yield order[place % size]
                place += self.num_replicas

    def __len__(self) -> int:
        raise TypeError("EndlessSampler: expected no question for its length, it has no end; limit the steps")

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: the stream has no epochs."""

    def _pass(self, number: int) -> list[int]:
        """One pass by systematic sampling: items in random order on a line, one point in each unit of length."""
        size = len(self.weights)
        u = uniforms(torch.tensor([hash_int(self.seed, number)]), 2 * size + 1)[0]
        items = torch.argsort(u[:size], stable=True)
        edges = self.weights[items].cumsum(0)
        points = torch.arange(size, dtype=torch.float64) + u[-1].double()
        drawn = items[torch.searchsorted(edges, points, right=True).clamp(max=size - 1)]
        return drawn[torch.argsort(u[size:-1], stable=True)].tolist()


class _Rows(Dataset[dict[str, Tensor]]):
    """Rows of tensors, fetched a batch at a time."""

    def __init__(self, data: InMemory) -> None:
        self.tensors = data.tensors() | ({} if data.labels is None else {"label": data.labels})
        self.size = len(data)

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        index = torch.tensor(indices)
        return {name: tensor[index] for name, tensor in self.tensors.items()} | {"index": index}


def _as_is(batch: Any) -> Any:
    return batch


class SynthesisDataModule(L.LightningDataModule):
    """Batches for training a generator.

    Args:
        dataset: images, rows of a table or sounds; they are held in memory.
        batch_size: samples of a batch, of each process.
        holdout: share of each class that is kept from training, in `holdout`, to judge the generator by; a class of few
            samples may keep none back.
        seed: of the order and of the split.
        balance: how classes are weighted, see `class_weights`.
        fewest: samples to keep from training; where `holdout` of them would be fewer, none is.

    Batches are {"image": (B, C, H, W) uint8} or {"numeric": (B, F) float64, "categorical": (B, K) int64}, with "label" (B,)
    int64 where there are labels, and "index" (B,), the place in the training part.
    """

    def __init__(
        self,
        dataset: Loadable,
        batch_size: int = 64,
        holdout: float = 0.0,
        seed: int = 0,
        balance: Balance = "sqrt",
        fewest: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or not 0 <= holdout < 1:
            raise ValueError(
                f"SynthesisDataModule: batch_size must be at least 1 and holdout in [0, 1), got {batch_size} and {holdout}"
            )
        batch_size, seed = plain(batch_size), plain(seed)
        self.batch_size, self.seed, self.balance = batch_size, seed, balance
        if not hasattr(dataset, "in_memory"):
            raise TypeError(
                f"{type(self).__name__}: expected a data set of torchaug, such as TensorImages or TableDataset, got a "
                f"{type(dataset).__name__}; torchaug.data.load reads files, and TensorImages and read_table take what is in memory"
            )
        data = dataset.in_memory()
        labels = torch.zeros(len(data), dtype=torch.int64) if data.labels is None else data.labels
        kept = held_out(labels, holdout, seed)
        if kept.sum() < fewest:
            kept = torch.zeros_like(kept)
        self.train: Any = data.subset((~kept).nonzero()[:, 0]) if kept.any() else data
        self.holdout: Any = data.subset(kept.nonzero()[:, 0]) if kept.any() else None
        self.weights = class_weights(labels[~kept], balance)

    @cached_property
    def trained_items(self) -> Tensor:
        """(N,) int64 hashes of the samples of the training part, by which a later leak into a test set is found."""
        return item_hashes(self.train)

    @cached_property
    def shares(self) -> list[float]:
        """The share of each class in the training part; [1.0] without classes."""
        return class_shares(self.train)

    @cached_property
    def trained_on(self) -> str:
        """`fingerprint` of the training part."""
        return fingerprint(self.train)

    def state_dict(self) -> dict[str, Any]:
        """What the stream depends on besides the samples and the seed, which the generator's checkpoint has."""
        world_size, batches = 1, 1
        if self.trainer is not None:
            world_size, batches = self.trainer.world_size, self.trainer.accumulate_grad_batches
        return {"batch size in all": self.batch_size * world_size * batches, "balance": self.balance}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuses to go on in another stream: samples would come twice, others never."""
        unchanged("SynthesisDataModule: the checkpoint", state_dict, self.state_dict())

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The endless stream, from the place that the trainer has reached, in each of its epochs."""
        rank, world_size = 0, 1
        if self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
        sampler = EndlessSampler(self.weights, seed=self.seed, start=self._drawn, rank=rank, world_size=world_size)
        rows = _Rows(self.train)
        own = torch.Generator().manual_seed(self.seed)  # else the loader draws from torch's, for workers it has not
        return DataLoader(rows, self.batch_size, sampler=sampler, collate_fn=_as_is, generator=own)

    def _drawn(self) -> int:
        """Draws that the steps of the trainer so far have taken, over all ranks. An epoch that ends amid the batches of a step
        has taken fewer; so many go unseen rather than that any comes twice."""
        if self.trainer is None:
            return 0
        batches = self.trainer.global_step * self.trainer.accumulate_grad_batches
        return batches * self.batch_size * self.trainer.world_size

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """As Lightning does, which looks for tensors in all that a batch holds, but for one that is there already."""
        parts = batch.values() if isinstance(batch, dict) else [None]
        if all(isinstance(part, Tensor) and part.device == device for part in parts):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)


def held_out(labels: Tensor, share: float, seed: int) -> Tensor:
    """Which items are kept back, (N,) bool: of each class of n, floor(share n)."""
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero()[:, 0]
        u = uniforms(torch.tensor([hash_int(seed, label)]), len(members))[0]
        kept[members[torch.argsort(u, stable=True)[: int(share * len(members))]]] = True
    return kept
