"""Which class each slot of a source gets, so that every prefix of the stream holds the wanted class shares."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import TypeVar

import numpy as np

from torchaug.data.permutation import Ints

Name = TypeVar("Name", bound=Hashable)
LONGEST = 1 << 16  # slots in a cycle; shares that need a longer one are rounded to this denominator


class ClassStream:
    """An endless stream of classes in which class c has q_c * t of the first t slots, to less than one slot.

    Earliest deadline first: the k-th item of class c is released at floor((k - 1) / q_c) and due at ceil(k / q_c).
    Liu and Layland (J. ACM 20, 1973) give the schedule, and no deadline is ever missed, since the shares sum to 1
    (Baruah, Cohen, Plaxton and Varvel, "Proportionate progress", Algorithmica 15, 1996).

    Args:
        shares: a share for each class, in proportion: they need not sum to 1. Above a common denominator of 65536 they
            are rounded to it, and a class that is wanted keeps at least one slot.

    Raises:
        ValueError: more than 65536 classes.

    >>> ClassStream({"a": 2, "b": 1}).at(np.arange(6))[0].tolist()
    [0, 0, 1, 0, 0, 1]
    """

    def __init__(self, shares: Mapping[Name, float | Fraction]) -> None:
        if len(shares) > LONGEST:
            raise ValueError(f"ClassStream: expected at most {LONGEST} classes with a share, got {len(shares)}")
        self.counts = _whole_shares(list(shares.values()))
        self._cycle = _earliest_deadline_first(self.counts)
        per_class = np.array(self.counts)
        self._per_class = per_class
        order = np.argsort(self._cycle, kind="stable")  # slots by class, in order of time
        starts = np.concatenate([[0], per_class.cumsum()[:-1]])
        self._rank = np.empty_like(self._cycle)
        self._rank[order] = np.arange(len(order)) - np.repeat(starts, per_class)

    def at(self, slots: Ints) -> tuple[Ints, Ints]:
        """The place of each slot's class among the shares, and how many slots that class had before."""
        turn, place = np.divmod(slots, len(self._cycle))
        chosen = self._cycle[place]
        return chosen, turn * self._per_class[chosen] + self._rank[place]


def water_level(counts: Mapping[Name, int], amount: int) -> dict[Name, Fraction]:
    """How `amount` things fill up unequal `counts` from below: class c gets max(0, T - n_c), which sum to `amount`.

    >>> [int(extra) for extra in water_level({0: 5000, 1: 900, 2: 120, 3: 40}, 1000).values()]
    [0, 0, 460, 540]
    """
    ordered = sorted(counts.values())
    level, below = Fraction(0), 0
    for filled, count in enumerate(ordered, start=1):
        below += count
        level = Fraction(amount + below, filled)
        if filled == len(ordered) or level <= ordered[filled]:
            break
    return {name: max(Fraction(0), level - count) for name, count in counts.items()}


def short(share: float | Fraction) -> Fraction:
    """A share as the short fraction that was meant: 0.3 is 3/10. What is above 0 stays so.

    >>> short(0.3), short(1e-9) > 0
    (Fraction(3, 10), True)
    """
    if isinstance(share, Fraction):
        return share
    return Fraction(share).limit_denominator(1 << 20) or Fraction(share)


def _whole_shares(shares: list[float | Fraction]) -> list[int]:
    """The shares as whole numbers with a sum of at most `LONGEST`."""
    exact = [short(share) for share in shares]
    if math.lcm(*(share.denominator for share in exact)) > 1 << 40:  # sums of such fractions would take seconds
        exact = [Fraction(math.ceil(share * (1 << 40)), 1 << 40) for share in exact]
    total = sum(exact, Fraction(0))
    exact = [share / total for share in exact]
    denominator = math.lcm(*(share.denominator for share in exact))
    if denominator <= LONGEST:
        return [int(share * denominator) for share in exact]
    floors = [max(int(share * LONGEST), int(share > 0)) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda c: floors[c] - exact[c] * LONGEST)
    missing = LONGEST - sum(floors)  # below 0 when many tiny classes were lifted to one slot: the largest gives it
    if missing < 0:
        floors[floors.index(max(floors))] += missing
    for c in by_remainder[: max(0, missing)]:
        floors[c] += 1
    return floors


def _earliest_deadline_first(counts: list[int]) -> Ints:
    length = sum(counts)
    waiting = [(0, c, 1) for c, count in enumerate(counts) if count]  # (release, class, number of its item)
    ready: list[tuple[int, int, int]] = []  # (deadline, class, number)
    cycle = np.empty(length, dtype=np.int64)
    heapq.heapify(waiting)
    for slot in range(length):
        while waiting and waiting[0][0] <= slot:
            _, c, number = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-number * length // counts[c]), c, number))
        _, c, number = heapq.heappop(ready)
        cycle[slot] = c
        if number < counts[c]:
            heapq.heappush(waiting, (number * length // counts[c], c, number + 1))
    return cycle
