"""Columns of a table as a model sees them, and back: numbers about 1 in size, and choices as one-hots.

What is fitted lies in float64 buffers, which keep their precision whatever a model is converted to: a whole number of
2**53 would not survive bfloat16. What the buffers' sizes follow from is in `config`, which JSON holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from torchaug.data import Column
from torchaug.models.mixture import SHALLOW, fit_mixture, kernels, peaks
from torchaug.tabular.columns import on_grid

CLIP = 4.0
"""Numbers of a quantile-normal column lie in [-4, 4]."""
WIDEST = 50
"""Categories up to which a column is one one-hot."""

_TINY = torch.finfo(torch.float64).tiny
_KNOTS = 1001  # of a quantile-normal column: a standard normal's range in steps of 0.008
_ATOM = 0.05  # share of a column from which on one value may be an atom,
_STANDS_OUT = 8  # and times that it then occurs as often as the column's other values do on average
_TWO = 2  # different values: a choice
_SCALE = 25  # different values up to which they are steps of a scale, and no peaks
_MANY = 400  # values from which on peaks are looked for: fewer have peaks by chance


class FittedColumn(nn.Module):
    """What is fitted to a column; the sizes of its buffers follow from `config`.

    Attributes:
        name: of the column.
        numbers: 1 where it becomes a number, before the choices; else 0.
        sizes: of the one-hots that it becomes.
    """

    numbers: int
    sizes: list[int]

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config, self.name = dict(config), str(config["name"])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FittedColumn:
        """Moves the buffers, in float64: `.half()` and `.to(torch.bfloat16)` are meant for weights."""
        before = dict(self.named_buffers())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, moved in dict(self.named_buffers()).items():
            if moved.dtype != before[name].dtype:
                setattr(self, name, before[name].to(moved.device))
        return self


class NumberColumn(FittedColumn):
    """A column of numbers: a number about 1 in size, and a choice of a mode, an atom (one value that occurs often) or missing.

    - "quantile": Phi^-1 of the share of values below, linear between some 1000 knots, in [-4, 4]; a value that occurs often
      takes up its share of the normal distribution, and its middle stands for it;
    - "modes": (x - mean_k) / deviation_k of the likeliest component k of a mixture of Gaussians, over the deviation of
      all such numbers; the choice says which k;
    - "standard": (x - mean) / deviation;
    - "atoms": no number, only the choice.

    Args:
        config: name, encoding, decimals, and the numbers of knots, modes and atoms; whether values may be missing; the grid
            of those that have one.
    """

    span: Tensor
    atoms: Tensor
    knots: Tensor
    modes: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.register_buffer("span", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("atoms", torch.zeros(config["atoms"], dtype=torch.float64))
        self.register_buffer("knots", torch.zeros(2, config["knots"], dtype=torch.float64))
        self.register_buffer("modes", torch.zeros(4, config["modes"], dtype=torch.float64))
        self.numbers = int(config["encoding"] != "atoms")
        self._bodies = max(config["modes"], self.numbers)  # choices that a number belongs to
        self.missing = bool(config["missing"])
        ways = self._bodies + config["atoms"] + self.missing
        self.sizes = [ways] if ways > 1 else []

    @classmethod
    def fit(cls, column: Column, values: Tensor, encoding: str) -> NumberColumn:
        """The column of `values` (N,) float64, NaN where missing."""
        there = values[~values.isnan()]
        encoding, atoms, rest, mixture = _parted(there, _tractable(column.name, there, encoding))
        knots = _knots(rest) if encoding == "quantile" else rest.new_zeros(2, 0)
        modes = _modes(rest, encoding, mixture) if encoding in ("modes", "standard") else rest.new_zeros(4, 0)
        sizes = {"knots": knots.shape[1], "modes": modes.shape[1], "atoms": len(atoms)}
        about = {"name": column.name, "encoding": encoding, "decimals": column.decimals}
        grid = {} if column.grid is None else {"grid": list(column.grid)}
        fitted = cls(about | sizes | {"missing": len(there) < len(values)} | grid)
        fitted.atoms, fitted.knots, fitted.modes = atoms, knots, modes
        if len(there):
            fitted.span = torch.stack([there.min(), there.max()])
        return fitted

    def encode(self, values: Tensor) -> Tensor:
        """(B,) float64 as (B, numbers + choices) float32."""
        gone = values.isnan()
        inside = torch.where(gone, self.span[0], values).clamp(self.span[0], self.span[1])
        parts = []
        choice = torch.zeros(len(values), dtype=torch.int64, device=values.device)
        if self.numbers:
            number, choice = self._number(inside)
        if len(self.atoms):
            distance = (inside[:, None] - self.atoms).abs()
            nearest = distance.argmin(1)
            is_atom = distance.amin(1) == 0 if self.numbers else torch.ones_like(gone)
            choice = torch.where(is_atom, self._bodies + nearest, choice)
        if self.missing:
            choice = torch.where(gone, self._bodies + len(self.atoms), choice)
        if self.numbers:
            parts.append(torch.where(choice < self._bodies, number, 0.0).float()[:, None])
        parts += [one_hot(choice, size).float() for size in self.sizes]
        return torch.cat(parts, 1) if parts else values.new_zeros(len(values), 0, dtype=torch.float32)

    def decode(self, encoded: Tensor) -> Tensor:
        """(B, numbers + choices) as (B,) float64: the choice with the highest score, and its number."""
        choice = torch.zeros(len(encoded), dtype=torch.int64, device=encoded.device)
        if self.sizes:
            choice = encoded[:, self.numbers :].argmax(1)
        values = self.span[0].expand(len(encoded))
        if self.numbers:
            values = self._value(encoded[:, 0].double(), choice.clamp(max=self._bodies - 1))
        values = self._rounded(values).clamp(self.span[0], self.span[1])
        if len(self.atoms):
            place = choice - self._bodies
            of_atom = self.atoms[place.clamp(0, len(self.atoms) - 1)]
            values = torch.where((place >= 0) & (place < len(self.atoms)), of_atom, values)
        if self.missing:
            values = torch.where(choice == self._bodies + len(self.atoms), torch.nan, values)
        return values

    def _rounded(self, values: Tensor) -> Tensor:
        """Values to the column's decimals, and on its grid, in the range where it has places there."""
        if self.config["decimals"] is not None:
            values = values.round(decimals=self.config["decimals"])
        if "grid" not in self.config:  # as in what was fitted by an older version
            return values
        step, offset = self.config["grid"]
        first, last = ((self.span - offset) / step).unbind()  # bounds that somebody chose may lie beside the grid
        return on_grid(values, (step, offset)).clamp(first.ceil() * step + offset, last.floor() * step + offset)

    def _number(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of values, and the modes that they belong to."""
        if self.config["encoding"] == "quantile":
            first, last = (_interpolate(values, *self.knots, right=right) for right in (False, True))
            middle = torch.special.ndtri((torch.special.ndtr(first) + torch.special.ndtr(last)) / 2)
            return torch.where(first == last, first, middle), torch.zeros_like(values, dtype=torch.int64)
        return _offsets(values, self.modes)

    def _value(self, numbers: Tensor, mode: Tensor) -> Tensor:
        if self.config["encoding"] == "quantile":
            return _interpolate(numbers, *self.knots.flip(0))
        _, means, _, units = self.modes
        values: Tensor = means[mode] + numbers * units[mode]
        return values


class ChoiceColumn(FittedColumn):
    """A column of categories: a one-hot of up to 50 levels, else two or more one-hots, the digits of the level's rank.

    Levels are ranked by how often they occur, so the first digit says how common a level is, and its value 0 is that of
    nearly all rows where few levels are common. n levels need about 2 sqrt(n) numbers (1000 levels: 64), and every
    level, rare ones too, keeps a spelling of its own.

    Args:
        config: name, the number of levels and, in those that are fitted, the codes of levels without a row.
    """

    order: Tensor
    rank: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.numbers, self.levels = 0, int(config["levels"])
        self.unseen = frozenset(config.get("unseen", ()))  # what was fitted by an older version does not know
        digits, base = 1, self.levels
        while base > WIDEST:
            digits += 1
            base = next(size for size in count(2) if size**digits >= self.levels)
        self._units = [base**place for place in reversed(range(digits))]
        self.sizes = [-(-self.levels // self._units[0]), *[base] * (digits - 1)]
        self.register_buffer("order", torch.arange(self.levels))
        self.register_buffer("rank", torch.arange(self.levels))

    @classmethod
    def fit(cls, column: Column, codes: Tensor) -> ChoiceColumn:
        """The column of `codes` (N,) int64."""
        often = codes.bincount(minlength=len(column.categories))
        unseen = (often == 0).nonzero()[:, 0].tolist()
        fitted = cls({"name": column.name, "levels": len(column.categories), "unseen": unseen})
        if len(fitted.sizes) > 1:
            fitted.order = often.argsort(descending=True, stable=True)
            fitted.rank = fitted.order.argsort()
        return fitted

    def encode(self, codes: Tensor) -> Tensor:
        """(B,) int64 as (B, sum of sizes) float32."""
        left, digits = self.rank[codes], []
        for unit, size in zip(self._units, self.sizes, strict=True):
            digits.append(one_hot(left // unit, size).float())
            left = left % unit
        return torch.cat(digits, 1)

    def decode(self, encoded: Tensor) -> Tensor:
        """(B, sum of sizes) as (B,) int64: digit by digit the one with the highest score of those that a level has."""
        rank = torch.zeros(len(encoded), dtype=torch.int64, device=encoded.device)
        for unit, scores in zip(self._units, encoded.split(self.sizes, 1), strict=True):
            first = rank[:, None] + unit * torch.arange(scores.shape[1], device=encoded.device)
            digit = scores.masked_fill(first >= self.levels, -torch.inf).argmax(1)
            rank = rank + unit * digit
        codes: Tensor = self.order[rank]
        return codes


def _parted(values: Tensor, encoding: str) -> tuple[str, Tensor, Tensor, Tensor | None]:
    """The encoding of a column, the values of it that are choices of their own, those that become numbers, and the mixture
    of these where one was fitted to decide.

    Atoms need no choice among quantiles, where they are as wide as they are frequent.
    """
    different, counts = values.unique(return_counts=True)
    if len(different) <= _TWO:
        return "atoms", different, values[:0], None
    if encoding == "quantile":
        return encoding, values[:0], values, None
    atoms = counts >= _ATOM * len(values)
    atoms &= counts >= _STANDS_OUT * counts[~atoms].double().mean()  # no: where all are as frequent
    rest = values[~torch.isin(values, different[atoms])]
    mixture = _peaked(rest) if encoding == "auto" and len(rest) >= _MANY else None
    if encoding == "auto" and mixture is None:
        return "quantile", values[:0], values, None
    if int((~atoms).sum()) < _TWO:
        return "atoms", different, values[:0], None
    return "modes" if encoding == "auto" else encoding, different[atoms], rest, mixture


def _peaked(values: Tensor) -> Tensor | None:
    """The mixture of values of which three or more peaks are well apart, and more than the steps of a scale; else None."""
    if len(values.unique()) <= _SCALE or peaks(kernels(values), SHALLOW) < 3:  # a mixture takes seconds to fit
        return None
    mixture = fit_mixture(values)
    return mixture if peaks(mixture) >= 3 else None


def _tractable(name: str, values: Tensor, encoding: str) -> str:
    """The encoding, where numbers have a deviation; else the one that needs none."""
    deviation = float(values.std(correction=0)) if len(values.unique()) > 1 else 1.0
    if 0 < deviation < math.inf or encoding == "quantile":  # else the square of a difference is beyond float64
        return encoding
    if encoding != "auto":
        raise ValueError(
            f"TableCodec: column {name!r}: encoding {encoding!r} needs a deviation that float64 holds, got {deviation} for "
            f"numbers of {float(values.min())} to {float(values.max())}; use 'quantile'"
        )
    return "quantile"


def _modes(values: Tensor, encoding: str, mixture: Tensor | None) -> Tensor:
    """(4, n): weights, means, deviations and units of modes, or of all values as one."""
    if encoding == "standard":
        mean, deviation = values.mean(), values.std(correction=0)
        return torch.stack([torch.ones_like(mean), mean, deviation, deviation])[:, None]
    mixture = fit_mixture(values) if mixture is None else mixture
    modes = torch.cat([mixture, mixture[2:]])
    modes = modes[:, _offsets(values, modes)[1].unique()]  # those that are some value's likeliest
    modes[3] *= _offsets(values, modes)[0].std(correction=0)
    return modes


def _offsets(values: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    """How far values are from the mean of their likeliest mode, in its units, and which mode that is."""
    weights, means, deviations, units = modes
    off = values[:, None] - means
    mode = (weights.log() - deviations.log() - (off / deviations).square() / 2).argmax(1)
    return (off / units).gather(1, mode[:, None])[:, 0], mode


def _knots(values: Tensor) -> Tensor:
    """(2, n) float64: values, and Phi^-1 of their share, at the first and the last of equal ones; the second row rises
    strictly, and is of float32 numbers.
    """
    different, counts = values.unique(return_counts=True)
    last = counts.cumsum(0).double() - 0.5
    share = torch.stack([last - counts + 1, last], 1).flatten() / len(values)
    normal = torch.special.ndtri(share)
    clipped = normal.abs() > CLIP - 0.01  # a knot closer to the end would leave float32 no room between them
    normal = torch.where(clipped, CLIP * normal.sign(), normal).float().double()
    different = different.repeat_interleave(2)
    if len(different) > 2 * _KNOTS:
        step = 2 * CLIP / (_KNOTS - 1)
        wanted = torch.linspace(-CLIP, CLIP, _KNOTS, dtype=torch.float64)
        flat = (normal[1::2] - normal[::2] > step).nonzero()[:, 0] * 2
        ends = torch.tensor([0, len(normal) - 1])
        kept = torch.cat([torch.searchsorted(normal, wanted).clamp(max=len(normal) - 1), flat, flat + 1, ends]).unique()
        different, normal = different[kept], normal[kept]
    rising = torch.cat([torch.ones(1, dtype=torch.bool), normal.diff() > 0])  # what is clipped has one number
    top = different[-1]
    different = different[rising]
    different[-1] = top
    return torch.stack([different, normal[rising]])


def _interpolate(x: Tensor, known: Tensor, wanted: Tensor, *, right: bool = True) -> Tensor:
    """Linear between knots; halved, since the distance of two numbers may be beyond float64.

    Of equal knots the last one counts, or, unless `right`, the first.
    """
    above = torch.searchsorted(known, x.contiguous(), right=right).clamp(1, len(known) - 1)
    low, high = known[above - 1] / 2, known[above] / 2
    share = ((x / 2 - low) / (high - low).clamp(min=_TINY)).clamp(0, 1)
    share = torch.where(high > low, share, float(right))
    start, end = wanted[above - 1], wanted[above]
    return torch.where(start == end, start, start * (1 - share) + end * share)
