"""The batches of one iteration as the host knows them: which samples, by which plan, with which keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice, repeat
from typing import Any, NamedTuple

import torch
from torch.utils.data import BatchSampler, DataLoader

from torchaug.data.reader import Read, Ticket
from torchaug.data.sampler import MixedSampler, Plan, process
from torchaug.data.stage import Stage, Visit
from torchaug.keys import fold_in, sample_keys


class Slot(NamedTuple):
    """One batch, before it is read.

    Args:
        visit: which batch it is.
        plan: of a `MixedSampler`, or None.
        indices: of its samples, where they are known before it is read.
    """

    visit: Visit
    plan: Plan | None
    indices: Sequence[Any] | None


class Slots:
    """The slots of one iteration, made as the DataLoader asks for them and kept until their batches arrive.

    Args:
        loader: the DataLoader.
        sampler: of its single items.
        stage: whose seed and transform say what keys are needed.
        epoch: of the run.
        step: of the first batch.
    """

    def __init__(self, loader: DataLoader[Any], sampler: Any, stage: Stage, epoch: int, step: int) -> None:
        self._loader, self._sampler, self._stage = loader, sampler, stage
        self._epoch, self._step = epoch, step
        self._rank, self._world = process()
        self._open: dict[int, Slot] = {}

    def tickets(self, away: bool) -> Iterator[Ticket]:
        """What each batch is to hold; keys go along where workers need them."""
        for step, (indices, plan) in enumerate(self._drawn(), start=self._step):
            visit = self._add(step, plan, indices)
            yield Ticket(indices, visit if away or visit.keys is None else visit._replace(keys=None))

    def as_they_are(self) -> Iterator[Read]:
        """The batches of a DataLoader that is iterated as it is."""
        batches: Iterator[Any] = iter(self._loader)
        plans: Iterator[Plan | None] = repeat(None)
        if isinstance(self._sampler, MixedSampler):
            plans = self._plans()
        else:
            batches = islice(batches, self._step, None)
        for step, batch, plan in zip(count(self._step), batches, plans, strict=False):  # the batches end first
            self._add(step, plan, None)
            yield Read(step, batch)

    def take(self, read: Read, step: int) -> Slot:
        """The slot of a batch that has arrived as the one of `step`.

        Raises:
            ValueError: a batch that does not hold what its plan says: its keys and its live samples come from there.
        """
        slot = self._open.pop(read.step)
        if slot.plan is not None and not (read.step == step and _holds(read, slot.plan)):
            raise ValueError(
                f"DeviceLoader: batch {step} must hold the samples that its MixedSampler planned, got others; use the "
                "sampler as it is, in a DataLoader with in_order=True"
            )
        return slot

    def _add(self, step: int, plan: Plan | None, indices: Sequence[Any] | None) -> Visit:
        keys = None
        if plan is not None and self._stage.keyed:
            keys = fold_in(sample_keys(plan.index, seed=self._stage.seed), plan.use)
        visit = Visit(self._epoch, step, step * self._world + self._rank, keys)
        self._open[step] = Slot(visit, plan, indices)
        return visit

    def _drawn(self) -> Iterator[tuple[Any, Plan | None]]:
        """The indices of each batch, and its plan."""
        batches: Any = self._loader.batch_sampler
        if not isinstance(self._sampler, MixedSampler):
            return zip(islice(batches, self._step, None), repeat(None))
        if type(batches) is BatchSampler:  # its batches are those of the plans, which need not be worked out twice
            return ((plan.index.tolist(), plan) for plan in self._sampler.drawn())
        return zip(batches, self._plans(), strict=False)

    def _plans(self) -> Iterator[Plan]:
        first = self._epoch * self._sampler.steps_per_epoch
        plans: Iterator[Plan] = self._sampler.plans(first + self._step, first + self._sampler.steps_per_epoch)
        return plans


def _holds(read: Read, plan: Plan) -> bool:
    """Whether a batch that tells the ids of its samples has those of its plan, and of stand-ins where there are any."""
    ids = read.batch.get("id") if isinstance(read.batch, dict) else None
    if ids is None:
        return True
    wanted = plan.index
    if read.replaced:
        wanted = wanted.clone()
        for stand_in in read.replaced:
            wanted[stand_in.row] = stand_in.read
    return torch.equal(ids, wanted)
