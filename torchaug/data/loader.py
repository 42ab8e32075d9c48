"""The loader that augments: any DataLoader's batches, on the device and transformed, ahead of the step."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count, islice, repeat
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from torchaug.batch import Batch
from torchaug.data.cursor import Cursor
from torchaug.data.live import Fill, fill_live
from torchaug.data.sampler import MixedSampler, Plan, process
from torchaug.data.streams import Direct, SideStream, Staged, look_ahead
from torchaug.data.watch import Watch
from torchaug.keys import fold_in, sample_keys

CHECKS = ("off", "finite", "range")


class DeviceLoader:
    """Wraps a DataLoader: its batches come out on the device and transformed.

    On CUDA, copies and transforms run on a side stream, `depth` batches ahead of the step that uses them; for copies
    that overlap, give the DataLoader `pin_memory=True`. Batches are fresh memory, and safe to keep.

    Every sample has a key of its own, so that its augmentation does not depend on batch size, workers, ranks, depth or
    a resume: the hash of (seed, id, number of its use) under a `MixedSampler`, which draws rare items many times an
    epoch; else of (seed, epoch, id), the id being "id" or "index" of the batch, or the place in the epoch. The global
    generators are not touched.

    It is not a DataLoader, and Lightning passes it through; under DDP its DataLoader needs a `DistributedSampler`,
    which a `MixedSampler` is.

    Args:
        loader: the DataLoader; batches are dicts, tuples, tensors or `Batch`.
        transform: one of torchaug's (called with `keys=`), or any callable of a batch.
        fill: makes the live samples, where a source of the `MixedSampler` is live; see `torchaug.data.live`.
        device: "auto" is the accelerator of this process when the iteration begins, or the CPU.
        depth: batches made ahead on CUDA.
        seed: of the augmentation.
        check: "finite" raises when an image that comes out holds NaN or infinity; "range" also when a float image that
            goes in is outside [0, 1]. On CUDA nothing waits for the check, so the error may be some batches late.
        sharded: the loader takes care of ranks itself, without a `DistributedSampler`.

    >>> from torchaug.data import digits
    >>> loader = DeviceLoader(DataLoader(digits(), batch_size=64), lambda batch: batch["image"] / 255, device="cpu")
    >>> len(loader), next(iter(loader)).shape
    (29, torch.Size([64, 1, 8, 8]))
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        transform: Callable[..., Any] | None = None,
        *,
        fill: Fill | None = None,
        device: str | torch.device = "auto",
        depth: int = 2,
        seed: int = 0,
        check: str = "off",
        sharded: bool = False,
    ) -> None:
        if check not in CHECKS:
            raise ValueError(f"DeviceLoader: check must be one of {', '.join(CHECKS)}, got {check!r}")
        if depth < 0:
            raise ValueError(f"DeviceLoader: depth must be 0 or more, got {depth}")
        self.loader, self.transform, self.fill = loader, transform, fill
        self.device, self.depth, self.seed, self.check, self.sharded = device, depth, seed, check, sharded
        self._cursor = Cursor()
        self._sampler_epoch = getattr(self.sampler, "epoch", 0)
        self._lane: Direct | SideStream | None = None
        self._check_mixture()

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        self._check_ranks()
        lane = self._open()
        watch = Watch(self.check, lane)
        epoch, step = self._begin()
        lane.enter()
        for staged in look_ahead(self._staged(lane, watch, epoch, step), lane.ahead):
            batch = lane.take(staged)
            watch.examine()
            step += 1
            self._cursor.step = step  # of those handed out, never of those made ahead
            yield batch
        watch.examine(wait=True)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be of `epoch`, for the keys and for the DataLoader's sampler."""
        self._cursor.set_epoch(epoch)
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)
            self._sampler_epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, counted in batches handed out: independent of depth and workers."""
        epoch, step = self._cursor.epoch, self._cursor.step
        sampler = self.sampler
        inner = sampler.state_dict((epoch, step)) if isinstance(sampler, MixedSampler) else None
        return {"v": 1, "epoch": epoch, "step": step, "sampler": inner}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration begin where the state was taken.

        A `MixedSampler` goes there at once. Other samplers are read up to there, batch by batch.

        Raises:
            ValueError: another version, another kind of sampler, or one whose order cannot be repeated.
        """
        sampler, inner = self.sampler, state.get("sampler")
        if state.get("v") != 1 or (inner is None) == isinstance(sampler, MixedSampler):
            raise ValueError(
                f"DeviceLoader: expected a state of version 1 of a loader with a {type(sampler).__name__}, got version "
                f"{state.get('v')!r} {'with' if inner else 'without'} the state of a MixedSampler"
            )
        if isinstance(sampler, MixedSampler):
            sampler.load_state_dict(state["sampler"])
        elif state["step"] and isinstance(sampler, (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)):
            raise ValueError(
                f"DeviceLoader: the order of a {type(sampler).__name__} cannot be repeated to resume at step "
                f"{state['step']}; use a MixedSampler or a DistributedSampler, or save at the end of an epoch"
            )
        else:
            self.set_epoch(int(state["epoch"]))
        self._cursor.seek(int(state["epoch"]), int(state["step"]))

    # What Lightning, and others, look for on a loader.

    @property
    def sampler(self) -> Any:
        """The sampler of single items, also where a batch sampler wraps it."""
        return getattr(self.loader.batch_sampler, "sampler", self.loader.sampler)

    @property
    def dataset(self) -> Any:
        """The DataLoader's data set."""
        return self.loader.dataset

    @property
    def batch_size(self) -> int | None:
        """The batch size, also where a batch sampler has it."""
        size: int | None = getattr(self.loader.batch_sampler, "batch_size", self.loader.batch_size)
        return size

    @property
    def num_workers(self) -> int:
        """The DataLoader's number of workers."""
        return self.loader.num_workers

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lane": None}  # a stream belongs to its process

    def _begin(self) -> tuple[int, int]:
        """The epoch and the step of this iteration: a `MixedSampler` knows, a `DistributedSampler` may be told."""
        sampler = self.sampler
        if isinstance(sampler, MixedSampler):
            self._cursor.seek(*sampler.position)
        elif isinstance(sampler, DistributedSampler) and sampler.epoch != self._sampler_epoch:
            self._sampler_epoch = sampler.epoch
            self._cursor.set_epoch(sampler.epoch)
        try:
            steps = len(self.loader)
        except TypeError:  # an iterable data set need not know
            steps = sys.maxsize
        return self._cursor.begin(steps)

    def _staged(self, lane: Direct | SideStream, watch: Watch, epoch: int, step: int) -> Iterator[Staged]:
        """The batches from `step` on, as they are made."""
        sampler = self.sampler
        batches: Iterator[Any] = iter(self.loader)
        plans: Iterator[Plan | None] = repeat(None)
        if isinstance(sampler, MixedSampler):
            first = epoch * sampler.steps_per_epoch
            plans = sampler.plans(first + step, first + sampler.steps_per_epoch)
        else:
            batches = islice(batches, step, None)
        for number, batch, plan in zip(count(step), batches, plans, strict=False):  # the batches end first
            if plan is not None:
                _check_plan(batch, plan, number)
            yield lane.stage(partial(self._make, batch, plan, lane, watch, epoch, number), batch)

    def _make(
        self, batch: Any, plan: Plan | None, lane: Direct | SideStream, watch: Watch, epoch: int, step: int
    ) -> Any:
        """One batch on the device, filled and transformed."""
        ids = _ids(batch) if plan is None else plan.index
        keys = self._keys(batch, ids, plan, epoch, step) if hasattr(self.transform, "draw") else None
        with torch.no_grad():
            before = _to(batch, lane.device)
            if plan is not None and self.fill is not None:
                before = fill_live(before, plan, self.fill, self.sampler.most_live)
            after = before
            if self.transform is not None:
                after = self.transform(before) if keys is None else self.transform(before, keys=keys)
            watch.note(before, after, f"batch {step} of epoch {epoch}", ids)
        return after

    def _keys(self, batch: Any, ids: Tensor | None, plan: Plan | None, epoch: int, step: int) -> Tensor:
        """(B,) keys of the samples, computed where the batch is: the host."""
        if isinstance(batch, Batch) and batch.key is not None:
            return batch.key
        if plan is not None:
            return fold_in(sample_keys(plan.index, seed=self.seed), plan.use)
        if ids is None:
            rows = next(leaf for leaf in _pytree.tree_leaves(batch) if isinstance(leaf, Tensor)).shape[0]
            rank, world = process()
            ids = (step * world + rank) * (self.batch_size or rows) + torch.arange(rows)
        keys = sample_keys(ids, seed=self.seed, epoch=epoch)
        # drawn with replacement, a sample may come twice in an epoch, and is then to differ
        return fold_in(keys, step) if getattr(self.sampler, "replacement", False) else keys

    def _open(self) -> Direct | SideStream:
        """The device as it is now (a loader may be older than its process's device), and one lane for good."""
        device = torch.device(self.device) if self.device != "auto" else _accelerator()
        if self._lane is None or self._lane.device != device:
            self._lane = SideStream(device, self.depth) if device.type == "cuda" else Direct(device)
            if device.type == "cuda" and not self.loader.pin_memory:
                warnings.warn(
                    "DeviceLoader: the DataLoader has pin_memory=False, so copies to the device make the host wait; "
                    "pass pin_memory=True",
                    stacklevel=3,
                )
        return self._lane

    def _check_mixture(self) -> None:
        sampler = self.sampler
        live = isinstance(sampler, MixedSampler) and sampler.has_live
        if isinstance(sampler, MixedSampler) and sampler.batch_size != self.batch_size:
            raise ValueError(
                f"DeviceLoader: the DataLoader must have the batch size of its MixedSampler, {sampler.batch_size}, got "
                f"{self.batch_size}"
            )
        if live != (self.fill is not None):
            raise ValueError(
                f"DeviceLoader: fill= and a MixedSampler with a live source go together, got {'only' if live else 'no'} "
                f"live source{'' if live else ' for fill='}"
            )

    def _check_ranks(self) -> None:
        world = process()[1]
        if world > 1 and not self.sharded and not isinstance(self.sampler, DistributedSampler):
            raise ValueError(
                f"DeviceLoader: each of the {world} ranks would read all the data: expected a DistributedSampler or a "
                f"MixedSampler, got {type(self.sampler).__name__}; pass one to the DataLoader, or sharded=True if it "
                "takes care of ranks itself"
            )


def _accelerator() -> torch.device:
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        return torch.device("cpu")
    return torch.device(device.type, torch.accelerator.current_device_index())


def _to(tree: Any, device: torch.device) -> Any:
    """Tensors, and whatever else has `.to`, on the device; copies from pinned memory do not make the host wait."""
    waits = device.type == "mps"  # there an unfinished copy may be read (pytorch #83015)

    def move(leaf: Any) -> Any:
        return leaf.to(device, non_blocking=not waits) if hasattr(leaf, "to") else leaf

    return _pytree.tree_map(move, tree)


def _ids(batch: Any) -> Tensor | None:
    """(B,) whole numbers that name the samples, where the batch has them."""
    found = batch.index if isinstance(batch, Batch) else None
    if isinstance(batch, dict):
        found = batch.get("id", batch.get("index"))
    usable = isinstance(found, Tensor) and found.ndim == 1 and not found.is_floating_point()
    return found if usable else None


def _check_plan(batch: Any, plan: Plan, step: int) -> None:
    """The batch must hold what the plan says: its keys, and its live samples, come from there."""
    ids = batch.get("id") if isinstance(batch, dict) else None
    if ids is not None and not torch.equal(ids, plan.index):
        raise ValueError(
            f"DeviceLoader: batch {step} must hold the samples that its MixedSampler planned, got others; use the sampler "
            "as it is, in a DataLoader with in_order=True"
        )
