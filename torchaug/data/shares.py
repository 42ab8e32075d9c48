"""What is drawn from each side of a mixture: the shares of the classes, checked against what the sources have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from torchaug.data.cells import Cell, Cells, Names
from torchaug.data.classes import ClassStream, short, water_level
from torchaug.data.pool import Pool, Side
from torchaug.data.source import Source
from torchaug.keys import hash_int

Wanted = str | Mapping[int, float] | Mapping[str, float] | Mapping[tuple[int | str, int | str], float] | None
Placed = tuple[int, Source]
Counts = dict[Cell, int]
Shares = dict[Cell, Fraction]


@dataclass(frozen=True)
class ClassShares:
    """The shares of the two sides' cells as `MixedSampler` takes them, and the least weight of an item."""

    synthetic: Wanted
    real: Wanted
    min_weight: float
    by: str = "class"

    def __post_init__(self) -> None:
        if self.by not in ("class", "class_group"):
            raise ValueError(f"MixedSampler: by must be 'class' or 'class_group', got {self.by!r}")
        if self.by_group and self.synthetic is None and self.real is None:
            raise ValueError("MixedSampler: by='class_group' is about classes= and real_classes=, got neither")

    @property
    def by_group(self) -> bool:
        """Whether the shares are of cells of class and group."""
        return self.by == "class_group"


@dataclass(frozen=True)
class Drawn:
    """The mean share of synthetic samples over a run, and which sides are drawn from at all."""

    share: float
    real: bool
    synthetic: bool


def make_sides(sources: Sequence[Source], drawn: Drawn, wanted: ClassShares, seed: int) -> tuple[Side, Side]:
    """The streams of real and of synthetic items.

    Args:
        sources: of both kinds.
        drawn: how much of each side.
        wanted: shares of the classes, or of the cells of class and group.
        seed: of the shuffles.

    Raises:
        ValueError: a side that is drawn from and has nothing, or lacks a wanted cell.
    """
    real, stored = _placed(sources)
    live = any(source.kind == "live" for source in sources)
    names = Names.of(sources, wanted.by_group)
    cells = [Cells([source for _, source in side], wanted.by_group) for side in (real, stored)]
    real_shares = _real_shares(wanted.real, cells[0], names) if drawn.real else None
    other_shares = None
    if drawn.synthetic:
        other_shares = _synthetic_shares(wanted.synthetic, cells, real_shares, drawn.share, names)
        if live:
            _check_live(other_shares, cells[1], wanted.by_group)
    shares = (real_shares, other_shares)
    pools = [
        Pool(side, cells[number], _drawn(shares[number]), hash_int(seed, number), wanted.min_weight)
        for number, side in enumerate((real, stored))
    ]
    if drawn.real:
        _check_cells("real", pools[0], real_shares, names)
    if drawn.synthetic and not live:
        _check_cells("synthetic", pools[1], other_shares, names)
    return _side(pools[0], real_shares, False), _side(pools[1], other_shares, live)


def expected_classes(
    sources: Sequence[Source], sides: Sequence[Side], share: float, min_weight: float
) -> dict[int | str, float]:
    """The share of each class in a mixture, by name, or by number where classes have no names.

    Args:
        sources: of both kinds.
        sides: of `make_sides`.
        share: of synthetic samples.
        min_weight: items that weigh less are never drawn.

    Raises:
        ValueError: a source that is drawn from as it comes and has no labels.
    """
    names = Names.of(sources, by_group=False).classes
    totals = dict.fromkeys(range(len(names)), 0.0)
    for side, part, synthetic in zip(sides, (1 - share, share), (False, True), strict=True):
        if part:
            mine = [source for source in sources if source.is_synthetic == synthetic]
            rates = side.class_rates() or _weights_of_classes(mine, min_weight)
            for number, rate in sorted(rates.items()):
                totals[number] = totals.get(number, 0.0) + part * rate / sum(rates.values())
    return {names[number] if names else number: total for number, total in sorted(totals.items())}


def _weights_of_classes(sources: Sequence[Source], min_weight: float) -> dict[int, float]:
    rates: dict[int, float] = {}
    for source in sources:
        if source.labels is None:
            raise ValueError(
                f"MixedSampler: source {source.name!r} must have labels to know the shares of classes, got none; pass "
                "labels= or classes="
            )
        weights = None if source.weights is None else source.weights.double() * (source.weights >= min_weight)
        for number, weight in enumerate(source.labels.long().bincount(weights).tolist()):
            rates[number] = rates.get(number, 0.0) + weight
    return rates


def _placed(sources: Sequence[Source]) -> tuple[list[Placed], list[Placed]]:
    """The real sources and the stored synthetic ones, each with the flat index of its first item."""
    starts = np.cumsum([0] + [source.size for source in sources]).tolist()
    placed = list(zip(starts, sources, strict=False))
    real = [(start, source) for start, source in placed if not source.is_synthetic]
    return real, [(start, source) for start, source in placed if source.kind == "bank"]


def _drawn(shares: Shares | None) -> list[Cell] | None:
    return None if shares is None else [cell for cell, share in shares.items() if share > 0]


def _side(pool: Pool, shares: Shares | None, live: bool) -> Side:
    if shares is None:
        return Side(pool, None, [], live)
    drawn = {cell: share for cell, share in shares.items() if share > 0}
    return Side(pool, ClassStream(drawn), list(drawn), live)


def _check_live(shares: Shares | None, stored: Cells, by_group: bool) -> None:
    if shares is None and stored.size:
        raise ValueError(
            "MixedSampler: with a bank and a live source, classes must say what is drawn (the bank has precedence), "
            "got classes=None; the live source would never be drawn"
        )
    if shares is not None and by_group:
        raise ValueError(
            "MixedSampler: by='class_group' needs stored synthetic samples, got a live source, which is told the class "
            "to make and not the group; make a bank of it, or pass by='class'"
        )


def _check_cells(kind: str, pool: Pool, shares: Shares | None, names: Names) -> None:
    drawn = _drawn(shares)
    for number in np.flatnonzero(pool.sizes == 0):
        raise ValueError(_nothing(kind, None if drawn is None else names.called(drawn[number])))


def _nothing(kind: str, cell: str | None) -> str:
    if cell is not None:
        return (
            f"MixedSampler: expected {kind} samples of {cell}, which is wanted, got none in the {kind} sources (or none "
            f"of enough weight); add some, {'' if 'group' in cell else 'add a live source, '}or leave the class out"
        )
    if kind == "real":
        return "MixedSampler: expected real data for a share below 1, got none; add a source, or set share=1"
    return "MixedSampler: expected synthetic data for a share above 0, got none; add a bank, or set share=0"


def _real_shares(wanted: Wanted, real: Cells, names: Names) -> Shares | None:
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return _given(wanted, names, "real_classes")
    if wanted != "balanced":
        raise ValueError(f"MixedSampler: real_classes must be None, 'balanced' or shares of classes, got {wanted!r}")
    return dict.fromkeys(real.counts, Fraction(1))


def _synthetic_shares(
    wanted: Wanted, cells: Sequence[Cells], real_shares: Shares | None, share: float, names: Names
) -> Shares | None:
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return _given(wanted, names, "classes")
    if wanted not in ("fill", "proportional"):
        raise ValueError(
            f"MixedSampler: classes must be None, 'proportional', 'fill' or shares of classes, got {wanted!r}"
        )
    real = _effective(cells[0], real_shares)
    if not real:
        raise ValueError(f"MixedSampler: classes={wanted!r} needs the labels of the real data, got none; pass labels=")
    if wanted == "proportional":
        return {cell: Fraction(count) for cell, count in real.items()}
    counts = {cell: real.get(cell, 0) for cell in sorted(real.keys() | cells[1].counts.keys())}
    if share == 1:
        return dict.fromkeys(counts, Fraction(1))
    part = short(1 - share)  # of real samples: above 0 however near the share is to 1
    amount = round((1 - part) / part * sum(real.values()))
    return water_level(counts, max(1, amount))


def _given(wanted: Mapping[Any, float], names: Names, who: str) -> Shares:
    shares: Shares = {}
    for key, share in wanted.items():
        cell = names.cell(key, who)
        if not 0 <= share < float("inf"):
            raise ValueError(f"MixedSampler: {who} must be shares of 0 or more, got {share} for {names.called(cell)}")
        if cell in shares:
            raise ValueError(f"MixedSampler: {who} must name {names.called(cell)} once, got it by number and by name")
        shares[cell] = short(share)
    if sum(shares.values()) <= 0:
        raise ValueError(f"MixedSampler: {who} must have a share above 0, got {dict(wanted)}")
    return shares


def _effective(real: Cells, shares: Shares | None) -> Counts:
    """How many real samples of each cell are drawn while as many are drawn as there are."""
    if shares is None:
        return real.counts
    total = sum(shares.values(), Fraction(0))
    return {cell: round(real.size * share / total) for cell, share in shares.items()}
