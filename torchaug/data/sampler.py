"""An exact mixture of real and synthetic data: the sampler whose consecutive `batch_size` indices are a batch."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, distributed
from torch.utils.data import Dataset, DistributedSampler

from torchaug.data.cursor import Cursor
from torchaug.data.mixed import MixedDataset
from torchaug.data.mixture import Mixture
from torchaug.data.schedule import Mass, Schedule, mean_share
from torchaug.data.shares import ClassShares, Drawn, Wanted, expected_classes, make_sides
from torchaug.data.source import Source, check_sources
from torchaug.data.state import check_state


@dataclass(frozen=True)
class Plan:
    """What one batch holds: every field is (B,), in the order of the batch.

    Args:
        index: int64, the flat index; below 0 a live sample.
        is_synthetic: bool.
        label: int64, the class that the plan asks for; -1 where it asks for none.
        use: int64, a number that no other use of the same item has: a sample drawn twice is augmented in two ways.
        group: int64, the group that the plan asks for; -1 where it asks for none.
    """

    index: Tensor
    is_synthetic: Tensor
    label: Tensor
    use: Tensor
    group: Tensor


class MixedSampler(DistributedSampler[int]):
    """Yields flat indices of a `MixedDataset`; any `batch_size` consecutive ones are a batch of the exact mixture.

    The run is one endless stream of slots, step k of all ranks together owning slots [k G, (k + 1) G), G = B W.

    - Share: any stretch of L slots with share s holds floor(L s) or ceil(L s) synthetic ones, so that batches, global
      batches, epochs and the run all keep the share, also one that changes from step to step.
    - Class shares hold at every prefix of a side's stream to less than one sample.
    - Items of a cell (a class of a side, or its class of a group) are drawn without replacement: uses differ by at most
      one at every moment. Item weights hold exactly in each pass.
    - Ranks partition the stream, and step k is a function of (seed, k): resuming is O(1), and may change the world
      size when the global batch stays.

    It is a `DistributedSampler`, so that Lightning leaves it alone under DDP. Pass it as `sampler=` with the same
    `batch_size` (`DeviceLoader` checks that); never wrap it in another sampler.

    Args:
        sources: a `MixedDataset`, or its sources.
        share: of synthetic samples: a number, a schedule (`Linear`, `Cosine`, `Piecewise`), or a function of progress.
        batch_size: of one rank.
        steps_per_epoch: a number; "real": every real item about once; "all": every stored synthetic item too.
        epochs: of the run, by which a schedule's progress is measured; needed for schedules alone.
        classes: how synthetic samples are shared among classes. None: as they come; "proportional": as the real data;
            "fill": so that rare classes are filled up from below; or {class: share}, by number or by name.
        real_classes: the same for real samples. None: as they come; "balanced"; or {class: share}.
        by: what these shares are about. "class"; or "class_group": each group of each class, of those that occur, so
            that "fill" fills up the rare classes of each site, device or sex; shares are {(class, group): share}.
        interleave: order in a batch. "shuffle"; "even": synthetic ones evenly spread, so that equal parts of the batch
            keep the share; "block": real ones first.
        seed: of everything.
        rank, world_size: of this process; by default those of torch.distributed when the iteration begins.
        min_weight: items of a lower weight are never drawn.

    Raises:
        ValueError: a wanted class, or class of a group, that no synthetic source has; a share without a synthetic source;
            and misuse.

    >>> sampler = MixedSampler([Source("real", 60), Source("bank", 40, kind="bank")], 0.25, batch_size=8)
    >>> (torch.tensor(list(sampler)).view(-1, 8) >= 60).sum(1).tolist()
    [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    """

    def __init__(
        self,
        sources: MixedDataset | Sequence[Source],
        share: float | Schedule = 0.25,
        *,
        batch_size: int,
        steps_per_epoch: int | str = "real",
        epochs: int | None = None,
        classes: Wanted = None,
        real_classes: Wanted = None,
        by: str = "class",
        interleave: str = "shuffle",
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        min_weight: float = 0.0,
    ) -> None:
        self.sources = list(sources.sources if isinstance(sources, MixedDataset) else sources)
        if not isinstance(sources, MixedDataset):
            check_sources(self.sources)
        _check(batch_size, steps_per_epoch, epochs, interleave, share)
        dataset = sources if isinstance(sources, MixedDataset) else range(sum(s.size for s in self.sources))
        super().__init__(cast("Dataset[Any]", dataset), num_replicas=1, rank=0, seed=seed, drop_last=True)
        self.batch_size, self.interleave, self.min_weight = batch_size, interleave, min_weight
        self._share, self._epochs, self._wanted_steps = share, epochs, steps_per_epoch
        self._fixed = None if rank is None and world_size is None else _ranks(rank, world_size)
        self._mean = mean_share(share)
        self._sizes = [sum(s.size for s in self.sources if s.is_synthetic == kind) for kind in (False, True)]
        self._cursor = Cursor()
        self._bind()
        drawn = Drawn(self._mean, real=self._mass.lowest < 1, synthetic=self._mass.highest > 0)
        self._sides = make_sides(self.sources, drawn, ClassShares(classes, real_classes, min_weight, by), seed)
        if self._mass.highest > 0.5:
            warnings.warn(
                f"MixedSampler: {self._mass.highest:.0%} of a batch is synthetic; above half, synthetic data seldom "
                "helps: compare with a share of 0.25",
                stacklevel=2,
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the same in each."""
        self._bind()
        return self._steps

    @property
    def expected_share(self) -> float:
        """The share of synthetic samples over the run."""
        return self._mass.mean

    @property
    def class_shares(self) -> dict[int | str, float]:
        """The share of each class over the run, real and synthetic together, by name, or by number without names.

        It is the prior that a model is trained under: see `torchaug.data.prior_shift`.

        Raises:
            ValueError: a source that is drawn from as it comes and has no labels.
        """
        return expected_classes(self.sources, self._sides, self._mass.mean, self.min_weight)

    @property
    def has_live(self) -> bool:
        """Whether a source is live."""
        return any(source.kind == "live" for source in self.sources)

    @property
    def plans_labels(self) -> bool:
        """Whether the plan asks for a class of each synthetic sample."""
        return self._sides[1].has_classes

    @property
    def most_live(self) -> int:
        """The most live samples that a batch of this rank can have."""
        return math.ceil(self._mass.highest * self.batch_size) if self.has_live else 0

    def __len__(self) -> int:
        return self.steps_per_epoch * self.batch_size

    def __iter__(self) -> Iterator[int]:
        steps = self.steps_per_epoch
        self.epoch, step = self._cursor.begin(steps)
        first, last = self.epoch * steps + step, (self.epoch + 1) * steps
        batches = (batch for rows in self._mixture().rows(first, last) for batch in rows[0].tolist())
        for drawn, batch in enumerate(batches, start=step + 1):
            self._cursor.step = drawn
            yield from batch

    def plan(self, step: int) -> Plan:
        """What the batch of this rank at a step of the run holds (step = epoch * steps_per_epoch + step in it)."""
        return next(self.plans(step, step + 1))

    def plans(self, first: int, last: int) -> Iterator[Plan]:
        """The plans of steps [first, last) of the run: cheaper than one by one."""
        self._bind()
        mixture = self._mixture()
        cells = torch.from_numpy(mixture.cells)
        for rows in mixture.rows(first, last):
            index, synthetic, use, cell = (torch.from_numpy(row) for row in rows)
            label, group = cells[cell].unbind(-1)
            for batch in zip(index, synthetic, label, use, group, strict=True):
                yield Plan(*batch)

    def drawn(self) -> Iterator[Plan]:
        """The plans of one iteration, which is counted as one of the sampler itself: its indices are theirs."""
        steps = self.steps_per_epoch
        self.epoch, step = self._cursor.begin(steps)
        plans = self.plans(self.epoch * steps + step, (self.epoch + 1) * steps)
        for drawn, plan in enumerate(plans, start=step + 1):
            self._cursor.step = drawn
            yield plan

    def shard(self, rank: int, world_size: int) -> MixedSampler:
        """This sampler for one of `world_size` processes, for launchers that torch.distributed does not know."""
        other = copy.copy(self)
        other._cursor = copy.copy(self._cursor)
        other._fixed = _ranks(rank, world_size)
        other._bind()
        return other

    @property
    def position(self) -> tuple[int, int]:
        """The epoch and the step at which the next iteration begins."""
        return self._cursor.peek(self.steps_per_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be of `epoch`; a step loaded for that epoch is kept."""
        self._cursor.set_epoch(epoch)
        self.epoch = epoch

    def state_dict(self, position: tuple[int, int] | None = None) -> dict[str, Any]:
        """Where the run stands: less than 1 KB of JSON, the same on every rank.

        Args:
            position: epoch and step of the batches that were used; by default of those that were drawn, which is
                more when workers draw ahead. `DeviceLoader` passes it.
        """
        self._bind()
        epoch, step = (self._cursor.epoch, self._cursor.step) if position is None else position
        return {
            "v": 1,
            "seed": self.seed,
            "epoch": epoch,
            "step": step,
            "steps_per_epoch": self._steps,
            "batch_size": self.batch_size,
            "world_size": self.num_replicas,
            "sources": [[source.name, source.fingerprint, source.size] for source in self.sources],
        }

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Let the next iteration begin where the state was taken.

        Raises:
            ValueError: another seed, global batch size, epoch length or source, unless `strict=False`.
        """
        check_state(state, self.state_dict(), strict)
        self._cursor.seek(int(state["epoch"]), int(state["step"]))
        self.epoch = int(state["epoch"])

    def _bind(self) -> None:
        """Take the rank and the world size as they are now: a sampler may be older than the process group."""
        rank, world = self._fixed or process()
        if hasattr(self, "_steps") and (rank, world) == (self.rank, self.num_replicas):
            return
        self.rank, self.num_replicas = rank, world
        self._steps = self._count_steps()
        self.num_samples = self._steps * self.batch_size
        self.total_size = self.num_samples * world
        changes = callable(self._share)
        self._mass = Mass(self._share, self._steps * cast("int", self._epochs) if changes else 1)

    def _count_steps(self) -> int:
        if isinstance(self._wanted_steps, int):
            return self._wanted_steps
        per_step = self.batch_size * self.num_replicas
        wanted = [(self._sizes[0], 1 - self._mean)]
        if self._wanted_steps == "all":
            wanted.append((self._sizes[1], self._mean))
        counts = [math.ceil(round(size / (per_step * part), 9)) for size, part in wanted if size and part > 0]
        if not counts:
            raise ValueError(
                f"MixedSampler: steps_per_epoch must be a number without real data to count, got {self._wanted_steps!r}"
            )
        return max(counts)

    def _mixture(self) -> Mixture:
        ranks = (self.batch_size, self.rank, self.num_replicas)
        return Mixture(self._mass, self._sides, *ranks, self.interleave, self.seed)


def process() -> tuple[int, int]:
    """Rank and world size of this process."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if rank is None or world_size is None or not 0 <= rank < world_size:
        raise ValueError(f"MixedSampler: rank must be in [0, world_size), both given or none, got {rank}, {world_size}")
    return rank, world_size


def _check(batch_size: int, steps: int | str, epochs: int | None, interleave: str, share: float | Schedule) -> None:
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"MixedSampler: batch_size must be a whole number above 0, got {batch_size!r}")
    if steps not in ("real", "all") and (not isinstance(steps, int) or steps < 1):
        raise ValueError(f"MixedSampler: steps_per_epoch must be a number above 0, 'real' or 'all', got {steps!r}")
    if interleave not in ("shuffle", "even", "block"):
        raise ValueError(f"MixedSampler: interleave must be 'shuffle', 'even' or 'block', got {interleave!r}")
    if callable(share) and (epochs is None or epochs < 1):
        raise ValueError(
            f"MixedSampler: a share that changes needs epochs=, the length of the run, above 0, got {epochs!r}"
        )
