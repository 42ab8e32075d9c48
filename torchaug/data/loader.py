"""The loader that augments: any DataLoader's batches, on the device and transformed, ahead of the step."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from torchaug.data.checks import check_mixture, check_options, check_ranks
from torchaug.data.cursor import Cursor
from torchaug.data.errors import SampleError
from torchaug.data.instead import Replaced
from torchaug.data.live import Fill, fill_live
from torchaug.data.reader import Feed, Read, Reader, read_indices, surviving, unreadable
from torchaug.data.sampler import MixedSampler
from torchaug.data.slots import Slot, Slots
from torchaug.data.stage import Stage, ids_of, put
from torchaug.data.streams import Direct, SideStream, Staged, accelerator, look_ahead
from torchaug.data.watch import Watch


class DeviceLoader:
    """Wraps a DataLoader: its batches come out on the device and transformed.

    On CUDA, copies and transforms run on a side stream, `depth` batches ahead of the step that uses them; for copies
    that overlap, give the DataLoader `pin_memory=True`. Batches are fresh memory, and safe to keep.

    Every sample has a key of its own, so that its augmentation does not depend on batch size, workers, ranks, depth or
    a resume, nor on whether the transform runs on the device or in the workers: the hash of (seed, id, number of its
    use) under a `MixedSampler`, which draws rare items many times an epoch; else of (seed, epoch, id), the id being "id"
    or "index" of the batch, or the place in the epoch. The global generators are not touched.

    It is not a DataLoader, and Lightning passes it through; under DDP its DataLoader needs a `DistributedSampler`,
    which a `MixedSampler` is. A launcher that torch.distributed does not know, or one that shards loaders itself, as
    Accelerate's `prepare` does, is told nothing about it: pass `sampler.shard(rank, world_size)` to the DataLoader and
    `sharded=True` here, and leave the loader out of `prepare`.

    A torch DataLoader of batches of a map-style data set is read by workers of this class with its options; what its
    data set raises becomes a `SampleError` with index, source and file. Others, a subclass with an iteration of its own
    among them, are iterated as they are.

    Args:
        loader: the DataLoader; batches are dicts, tuples, tensors or `Batch`.
        transform: one of torchaug's (called with `keys=`), or any callable of a batch. When it fails, the samples at
            fault are sought one by one on the host, and named.
        fill: makes the live samples, where a source of the `MixedSampler` is live; see `torchaug.data.live`.
        device: "auto" is the accelerator of this process when the iteration begins, or the CPU.
        depth: batches made ahead on CUDA.
        seed: of the augmentation.
        check: "finite" raises when an image that comes out holds NaN or infinity; "range" also when a float image that
            goes in is outside [0, 1]. On CUDA nothing waits for the check, so the error may be some batches late.
        sharded: the loader takes care of ranks itself, without a `DistributedSampler`.
        where: the transform runs on the "device"; in the DataLoader's "worker"s, which takes it off the main process
            where the device is the CPU; or "auto": in workers where there are any and the device is the CPU. A
            transform in workers must pickle where they are spawned, and persistent workers keep the one they began with.
        on_error: "raise", or "skip_and_replace": a sample that cannot be read is replaced by the next that can, of the
            same source and label where the data set has those; after 16 in a row the first error is raised. The batch
            keeps its size and its keys, and its "index" and "id" are those of the sample that was read.

    Attributes:
        replaced: how many samples were replaced, in the batches made so far.
        skipped: {(source, index): error} of the samples that could not be read.

    Raises:
        SampleError: a sample that cannot be read, or that makes the transform fail.
        RuntimeError: a worker process that was killed, naming the batch.

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
        where: str = "device",
        on_error: str = "raise",
    ) -> None:
        check_options(loader, depth, {"check": check, "where": where, "on_error": on_error}, fill)
        self.loader, self.transform, self.fill = loader, transform, fill
        self.device, self.depth, self.seed, self.check, self.sharded = device, depth, seed, check, sharded
        self.where, self.on_error = where, on_error
        self.skipped: dict[tuple[str | None, int | None], str] = {}
        self.replaced = 0
        self._cursor = Cursor()
        self._sampler_epoch = getattr(self.sampler, "epoch", 0)
        self._lane: Direct | SideStream | None = None
        self._feed = None if unreadable(loader) else Feed(loader)
        check_mixture(self.sampler, self.batch_size, fill)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        check_ranks(self.sampler, self.sharded)
        lane = self._open()
        away = self._away(lane)
        watch = Watch("off" if away else self.check, lane)
        epoch, step = self._begin()
        lane.enter()
        made = surviving(self._staged(lane, watch, away, epoch, step), epoch, step, self.close)
        try:
            for staged in look_ahead(made, lane.ahead):
                batch = lane.take(staged)
                watch.examine()
                step += 1
                self._cursor.step = step  # of those handed out, never of those made ahead
                yield batch
            watch.examine(wait=True)
        finally:
            lane.leave()

    def close(self) -> None:
        """End persistent workers. The loader can be iterated afterwards, with new ones."""
        if self._feed is not None:
            self._feed.close()

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
        return getattr(self.batch_sampler, "sampler", self.loader.sampler)

    @property
    def batch_sampler(self) -> Any:
        """The DataLoader's sampler of batches, or None."""
        return self.loader.batch_sampler

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

    def _away(self, lane: Direct | SideStream) -> bool:
        """Whether the transform runs in the workers."""
        if self.where == "auto":
            free = self.fill is None and self._feed is not None and self.loader.num_workers > 0
            return free and lane.device.type == "cpu"
        return self.where == "worker"

    def _staged(self, lane: Direct | SideStream, watch: Watch, away: bool, epoch: int, step: int) -> Iterator[Staged]:
        """The batches from `step` on, as they are made."""
        repeats = getattr(self.sampler, "replacement", False)
        stage = Stage(self.transform, self.seed, self.batch_size, repeats, self.dataset)
        slots = Slots(self.loader, self.sampler, stage, epoch, step)
        if self._feed is None:
            reads = slots.as_they_are()
        else:
            reads = self._feed.read(self._reader(stage if away else None), slots.tickets(away))
        if away:
            stage = replace(stage, transform=None)
        idle = stage.transform is None and self.fill is None and not watch.looks
        for number, read in enumerate(reads, start=step):
            slot = slots.take(read, number)
            if read.replaced:
                self._note(read.replaced)
            make = partial(put, read.batch, lane.device)
            if not idle:
                make = partial(self._make, read, slot, stage, lane, watch)
            yield lane.stage(make, read)

    def _reader(self, stage: Stage | None) -> Reader:
        least = getattr(self.sampler, "min_weight", 0.0)
        return Reader(
            self.dataset,
            self.loader.collate_fn,
            replace=self.on_error == "skip_and_replace",
            min_weight=least,
            stage=stage,
            check=self.check,
        )

    def _make(self, read: Read, slot: Slot, stage: Stage, lane: Direct | SideStream, watch: Watch) -> Any:
        """One batch on the device, filled and transformed."""
        batch, plan, visit = read.batch, slot.plan, slot.visit
        keys = stage.keys(batch, read.replaced, visit)
        names = ids_of(batch) if slot.indices is None else read_indices(slot.indices, read.replaced)
        with torch.no_grad():
            before = put(batch, lane.device)
            if plan is not None and self.fill is not None:
                before = fill_live(before, plan, self.fill, self.sampler.most_live)
            after = stage.run(before, keys, visit, host=batch, names=names)
            if watch.looks:
                watch.note(before, after, visit, ids_of(batch) if plan is None else plan.index)
        return after

    def _note(self, replaced: Sequence[Replaced]) -> None:
        """Count the samples that were replaced, and say so once."""
        for stand_in in replaced:
            errors = [SampleError(text) for text in stand_in.errors]
            if not self.replaced:
                warnings.warn(
                    f"DeviceLoader: {errors[0]}; the next sample alike stands in for it, and will for others: see "
                    "`skipped` and `replaced` of the loader",
                    stacklevel=4,
                )
            self.replaced += 1
            self.skipped |= {(error.source, error.index): str(error) for error in errors}

    def _open(self) -> Direct | SideStream:
        """The device as it is now (a loader may be older than its process's device), and one lane for good."""
        device = torch.device(self.device) if self.device != "auto" else accelerator()
        if self._lane is None or self._lane.device != device:
            self._lane = SideStream(device, self.depth) if device.type == "cuda" else Direct(device)
            if device.type == "cuda" and not self.loader.pin_memory:
                warnings.warn(
                    "DeviceLoader: the DataLoader has pin_memory=False, so copies to the device make the host wait; "
                    "pass pin_memory=True",
                    stacklevel=3,
                )
        return self._lane
