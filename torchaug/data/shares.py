"""What is drawn from each side of a mixture: the shares of the classes, checked against what the sources have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from torchaug.data.classes import ClassStream, short, water_level
from torchaug.data.pool import Pool, Side
from torchaug.data.source import Source
from torchaug.keys import hash_int

Wanted = str | Mapping[int, float] | Mapping[str, float] | None
Counts = dict[int, int]
Shares = dict[int, Fraction]


@dataclass(frozen=True)
class ClassShares:
    """The class shares of the two sides as `MixedSampler` takes them, and the least weight of an item."""

    synthetic: Wanted
    real: Wanted
    min_weight: float


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
        wanted: shares of the classes.
        seed: of the shuffles.

    Raises:
        ValueError: a side that is drawn from and has nothing, or lacks a wanted class.
    """
    starts = np.concatenate([[0], np.cumsum([source.size for source in sources])]).tolist()
    placed = list(zip(starts, sources, strict=False))
    real = [(start, source) for start, source in placed if not source.is_synthetic]
    stored = [(start, source) for start, source in placed if source.kind == "bank"]
    live = any(source.kind == "live" for source in sources)
    names = next((source.classes for source in sources if source.classes is not None), None)
    real_shares = _real_shares(wanted.real, real, names) if drawn.real else None
    other_shares = None
    if drawn.synthetic:
        counts = _effective(real, real_shares) if wanted.synthetic in ("fill", "proportional") else {}
        other_shares = _synthetic_shares(wanted.synthetic, counts, drawn.share, _count(stored), names)
        if live and other_shares is None and _size(stored):
            raise ValueError(
                "MixedSampler: with a bank and a live source, classes must say what is drawn (the bank has precedence), "
                "got classes=None; the live source would never be drawn"
            )
    pools = [
        Pool(part, _numbers(shares), hash_int(seed, side), wanted.min_weight)
        for side, (part, shares) in enumerate([(real, real_shares), (stored, other_shares)])
    ]
    if drawn.real:
        _check_cells("real", pools[0], real_shares, names)
    if drawn.synthetic and not live:
        _check_cells("synthetic", pools[1], other_shares, names)
    return _side(pools[0], real_shares, False), _side(pools[1], other_shares, live)


def _numbers(shares: Shares | None) -> list[int] | None:
    return None if shares is None else [number for number, share in shares.items() if share > 0]


def _side(pool: Pool, shares: Shares | None, live: bool) -> Side:
    numbers = _numbers(shares)
    if shares is None or numbers is None:
        return Side(pool, None, [], live)
    return Side(pool, ClassStream({number: shares[number] for number in numbers}), numbers, live)


def _check_cells(kind: str, pool: Pool, shares: Shares | None, names: list[str] | None) -> None:
    numbers = _numbers(shares)
    for cell in np.flatnonzero(pool.sizes == 0):
        raise ValueError(_nothing(kind, None if numbers is None else numbers[cell], names))


def _nothing(kind: str, number: int | None, names: list[str] | None) -> str:
    if number is not None:
        return (
            f"MixedSampler: expected {kind} samples of class {_called(number, names)}, which is wanted, got none in the "
            f"{kind} sources (or none of enough weight); add some, add a live source, or leave the class out"
        )
    if kind == "real":
        return "MixedSampler: expected real data for a share below 1, got none; add a source, or set share=1"
    return "MixedSampler: expected synthetic data for a share above 0, got none; add a bank, or set share=0"


def _called(number: int, names: list[str] | None) -> str:
    return f"{number} ({names[number]!r})" if names is not None and number < len(names) else str(number)


def _real_shares(wanted: Wanted, real: list[tuple[int, Source]], names: list[str] | None) -> Shares | None:
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return _given(wanted, names, "real_classes")
    if wanted != "balanced":
        raise ValueError(f"MixedSampler: real_classes must be None, 'balanced' or shares of classes, got {wanted!r}")
    return dict.fromkeys(_count(real), Fraction(1))


def _synthetic_shares(
    wanted: Wanted, real: dict[int, int], share: float, stored: Counts, names: list[str] | None
) -> Shares | None:
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return _given(wanted, names, "classes")
    if wanted not in ("fill", "proportional"):
        raise ValueError(
            f"MixedSampler: classes must be None, 'proportional', 'fill' or shares of classes, got {wanted!r}"
        )
    if not real:
        raise ValueError(f"MixedSampler: classes={wanted!r} needs the labels of the real data, got none; pass labels=")
    if wanted == "proportional":
        return {number: Fraction(count) for number, count in real.items()}
    counts = {number: real.get(number, 0) for number in sorted(real.keys() | stored.keys())}
    if share == 1:
        return dict.fromkeys(counts, Fraction(1))
    part = short(1 - share)  # of real samples: above 0 however near the share is to 1
    amount = round((1 - part) / part * sum(real.values()))
    return water_level(counts, max(1, amount))


def _given(wanted: Mapping[int, float] | Mapping[str, float], names: list[str] | None, who: str) -> Shares:
    shares: Shares = {}
    for key, share in wanted.items():
        number = names.index(key) if isinstance(key, str) and names is not None and key in names else key
        if not isinstance(number, int):
            raise TypeError(f"MixedSampler: {who} must be class numbers or names of {names}, got {key!r}")
        if not 0 <= share < float("inf"):
            raise ValueError(f"MixedSampler: {who} must be shares of 0 or more, got {share} for class {key!r}")
        shares[number] = short(share)
    if sum(shares.values()) <= 0:
        raise ValueError(f"MixedSampler: {who} must have a share above 0, got {dict(wanted)}")
    return shares


def _count(sources: list[tuple[int, Source]]) -> Counts:
    labels = [source.labels.cpu().numpy() for _, source in sources if source.labels is not None and source.size]
    if not labels:
        return {}
    numbers, counts = np.unique(np.concatenate(labels), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _size(sources: list[tuple[int, Source]]) -> int:
    return sum(source.size for _, source in sources)


def _effective(real: list[tuple[int, Source]], shares: Shares | None) -> Counts:
    """How many real samples of each class are drawn while as many are drawn as there are."""
    if shares is None:
        return _count(real)
    total = sum(shares.values(), Fraction(0))
    return {number: round(_size(real) * share / total) for number, share in shares.items()}
