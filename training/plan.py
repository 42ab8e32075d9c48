"""What a bank is to hold, cut into shards, and which shards are whose: the same on every process, without a word."""

from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

from torchaug.keys import fold_in, sample_keys

Counts = int | Mapping[int, int] | Mapping[str, int] | Mapping[int | str, int]
"""Samples of each class, by number or name; or, without classes, how many."""


class Shard(NamedTuple):
    """The part of a plan that goes into one file: its number, and (n,) int64 each."""

    number: int
    labels: Tensor
    ids: Tensor
    keys: Tensor


@dataclass(frozen=True)
class SynthesisPlan:
    """So many samples of each class, one class after the other, in shards of equal size; the last may be smaller.

    An id is a sample's place in the plan. Its key is a function of the seed, its class and its number within the class:
    asking for more samples of one class later gives the same first ones, and changes no other class. A plan is a few
    numbers, whatever it plans, and shard j is a function of them and j alone: so the bank does not depend on how many
    processes make it, or on which of them makes what.

    Args:
        counts: samples of each class, at least one of them above 0.
        seed: of all samples.
        shard_size: samples in a shard, at least 1.

    >>> plan = SynthesisPlan((3, 0, 2), seed=0, shard_size=2)
    >>> [(shard.labels.tolist(), shard.ids.tolist()) for shard in map(plan.shard, range(len(plan)))]
    [([0, 0], [0, 1]), ([0, 2], [2, 3]), ([2], [4])]
    >>> list(plan.part(0, 2)), list(plan.part(1, 2))
    ([0, 2], [1])
    """

    counts: tuple[int, ...]
    seed: int
    shard_size: int

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ValueError(f"synthesize: shard_size must be at least 1, got {self.shard_size}")
        if min(self.counts, default=0) < 0 or self.samples == 0:
            raise ValueError(
                f"synthesize: expected at least one sample to make, got counts of {list(self.counts)}; say how many of "
                "which class"
            )

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        counts: Counts,
        *,
        seed: int = 0,
        shard_size: int = 1024,
        shares: Sequence[float] | None = None,
    ) -> SynthesisPlan:
        """The plan of `counts[c]` samples of each class c, by number or by name; or of so many without classes.

        Args:
            classes: the name of each class, or none.
            counts: whole numbers of at least 0.
            seed, shard_size: of the plan.
            shares: of each class in what the generator was trained on; None where nobody knows.

        Raises:
            ValueError: a class that is not in `classes`, is twice in `counts` or has a share of 0; a count that is no whole
                number or below 0, or none above.

        >>> SynthesisPlan.of(["cat", "dog"], {"dog": 3}).counts
        (0, 3)
        """
        if not isinstance(counts, Mapping) or not classes:
            if isinstance(counts, Mapping) or classes:
                what = (
                    f"counts of the classes {', '.join(classes)}" if classes else "a number of samples, without classes"
                )
                raise ValueError(f"synthesize: expected {what}, got {counts!r}")
            return cls((_whole(counts, ""),), seed, shard_size)
        wanted = [0] * len(classes)
        given = set()
        for name, number in counts.items():
            place, count = class_number(classes, name, "synthesize"), _whole(number, f" for class {name!r}")
            if count < 0 or place in given:
                what = str(count) if count < 0 else "two counts"
                raise ValueError(f"synthesize: expected one count of at least 0 for class {name!r}, got {what}")
            if count:
                check_seen(classes, shares, place, "synthesize")
            given.add(place)
            wanted[place] = count
        return cls(tuple(wanted), seed, shard_size)

    def __len__(self) -> int:
        """How many shards there are."""
        return math.ceil(self.samples / self.shard_size)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(self.counts)

    def size(self, number: int) -> int:
        """How many samples the shard of that number holds."""
        return min(self.shard_size, self.samples - number * self.shard_size)

    def shard(self, number: int) -> Shard:
        """The shard of that number, in [0, len(plan))."""
        if not 0 <= number < len(self):
            raise IndexError(f"SynthesisPlan: shards are 0 to {len(self) - 1}, got {number}")
        ids = number * self.shard_size + torch.arange(self.size(number))
        labels = torch.searchsorted(self._ends, ids, right=True)
        starts = self._ends - torch.tensor(self.counts)
        return Shard(number, labels, ids, class_keys(labels, ids - starts[labels], self.seed))

    def part(self, rank: int, world_size: int) -> range:
        """The numbers of the shards that process `rank` of `world_size` makes: every world_size-th, from its own on."""
        if not 0 <= rank < world_size:
            raise ValueError(f"synthesize: rank must be in [0, world_size), got {rank} and {world_size}")
        return range(rank, len(self), world_size)

    @cached_property
    def _ends(self) -> Tensor:
        return torch.tensor(self.counts).cumsum(0)


def class_keys(labels: Tensor, places: Tensor, seed: int) -> Tensor:
    """The key of each sample, (n,) int64, by its class (n,) and its place within the class (n,)."""
    return fold_in(sample_keys(places, seed=seed), labels)


def class_number(classes: Sequence[str], label: Any, who: str) -> int:
    """The number of a class, by number or name; a name that looks like a number is a name first.

    >>> class_number(["cat", "dog"], "dog", "synthesize"), class_number(["1", "0"], "0", "synthesize")
    (1, 1)
    """
    place = list(classes).index(label) if label in classes else label
    if isinstance(place, bool) or not isinstance(place, numbers.Integral) or not 0 <= int(place) < max(1, len(classes)):
        known = ", ".join(classes) or "none but 0"
        raise ValueError(f"{who}: expected a class the generator knows ({known}), got {label!r}")
    return int(place)


def check_seen(classes: Sequence[str], shares: Sequence[float] | None, number: int, who: str) -> None:
    """Refuses a class of which nothing was trained on: what a network makes of its number means nothing.

    >>> check_seen(["cat", "dog"], [0.0, 1.0], 1, "synthesize"), check_seen(["cat", "dog"], None, 0, "synthesize")
    (None, None)
    """
    if number not in seen_classes(classes, shares):
        seen = ", ".join(classes[each] for each in seen_classes(classes, shares))
        raise ValueError(
            f"{who}: expected a class the generator was trained on ({seen}), got {classes[number]!r}, of which the training "
            "data had no sample; leave it out, or train with some"
        )


def seen_classes(classes: Sequence[str], shares: Sequence[float] | None) -> list[int]:
    """The numbers of the classes that were trained on: all where their shares are not known; 0 without classes.

    >>> seen_classes(["cat", "dog"], [0.0, 1.0]), seen_classes(["cat", "dog"], None), seen_classes([], [1.0])
    ([1], [0, 1], [0])
    """
    return [number for number in range(max(1, len(classes))) if not classes or shares is None or shares[number] > 0]


def _whole(count: Any, of: str) -> int:
    """A count as an int, whatever kind of whole number it is."""
    try:
        if isinstance(count, bool):
            raise TypeError
        return operator.index(count)
    except TypeError:
        raise ValueError(f"synthesize: expected a whole number of samples{of}, got {count!r}") from None


def launched_as() -> tuple[int, int]:
    """Which of how many processes this is: by torch.distributed, else as torchrun says it; (0, 1) without them.

    Raises:
        ValueError: RANK and WORLD_SIZE of the environment make no sense together.

    >>> launched_as()
    (0, 1)
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    said = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE")}
    if said == {"RANK": None, "WORLD_SIZE": None}:
        return 0, 1
    rank, world_size = (int(text) if text and text.isdecimal() else -1 for text in said.values())
    if not 0 <= rank < world_size:
        raise ValueError(
            f"synthesize: expected RANK in [0, WORLD_SIZE) in the environment, as torchrun sets them, got {said}; unset "
            "both, or say which part to make"
        )
    return rank, world_size
