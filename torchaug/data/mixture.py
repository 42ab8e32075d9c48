"""What the batches of a run hold, as a function of the seed and the step: many steps are planned at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchaug.data.permutation import fold, shuffles
from torchaug.data.pool import Side
from torchaug.data.schedule import ONE, Mass
from torchaug.keys import hash_int

_Array = np.ndarray[Any, Any]
_PLANNED_SLOTS = 1 << 14  # batches are planned together: numpy's cost per call is shared
_ORDER = 2  # what the seed's hashes are for: 0 real items, 1 synthetic items, 2 the order in a batch


@dataclass(frozen=True)
class Mixture:
    """The batches of one rank of a run.

    Args:
        mass: of synthetic samples at each step.
        sides: the real and the synthetic items.
        batch_size: of the rank.
        rank, world_size: which part of each step.
        interleave: order in a batch: "shuffle", "even" or "block".
        seed: of the order.
    """

    mass: Mass
    sides: tuple[Side, Side]
    batch_size: int
    rank: int
    world_size: int
    interleave: str
    seed: int

    @property
    def cells(self) -> _Array:
        """(cells, 2) class and group of each cell, the real ones first; -1 for any."""
        return np.array([*self.sides[0].cells, *self.sides[1].cells], dtype=np.int64)

    def rows(self, first: int, last: int) -> Iterator[tuple[_Array, ...]]:
        """Index, is_synthetic, use and place in `cells` of the samples of steps [first, last): (steps, B) each, some
        steps at a time.
        """
        together = max(1, _PLANNED_SLOTS // self.batch_size)
        for start in range(first, last, together):
            yield self._plan(start, min(together, last - start))

    def _plan(self, first: int, count: int) -> tuple[_Array, ...]:
        size = self.batch_size
        steps = np.arange(first, first + count)
        slots = self.rank * size + np.arange(size + 1)
        synthetic, number = self._synthetic(first, steps, slots)
        real = (steps * size * self.world_size)[:, None] + slots[:-1] - number
        rows = [np.empty((count, size), dtype=np.int64) for _ in range(3)]
        for side, mine, places in zip(self.sides, (~synthetic, synthetic), (real, number), strict=True):
            if mine.any():
                for row, values in zip(rows, side.at(places[mine]), strict=True):
                    row[mine] = values
        rows[2] += synthetic * len(self.sides[0].cells)
        order = self._order(steps, synthetic)
        index, use, cell = (np.take_along_axis(row, order, axis=1) for row in rows)
        return index, np.take_along_axis(synthetic, order, axis=1), use, cell

    def _synthetic(self, first: int, steps: _Array, slots: _Array) -> tuple[_Array, _Array]:
        """Whether each slot is synthetic, and how many synthetic slots the stream has before it."""
        all_ranks = self.batch_size * self.world_size
        before, rest = divmod(self.mass.before(first) * all_ranks + ONE // 2, ONE)  # in Python: never overflows
        share = self.mass.share(steps)
        mass = rest + (share.cumsum() - share) * all_ranks
        number = (mass[:, None] + share[:, None] * slots) >> 32
        return np.diff(number, axis=1).astype(bool), before + number[:, :-1]

    def _order(self, steps: _Array, synthetic: _Array) -> _Array:
        if self.interleave == "shuffle":
            return shuffles(fold(fold(hash_int(self.seed, _ORDER), steps), self.rank), self.batch_size)
        if self.interleave == "block":
            return np.argsort(synthetic, axis=1, kind="stable")
        return np.broadcast_to(np.arange(self.batch_size), synthetic.shape)
