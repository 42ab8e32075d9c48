"""Checks of constructor arguments: each returns the value in one form, or raises an error that says who, what, got."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torchaug.image.resample import Interpolation, PaddingMode


def pair(size: int | Sequence[int], who: str, name: str) -> tuple[int, int]:
    """(height, width), both at least 1, from a pair or one number for both."""
    values = [size, size] if isinstance(size, int) else list(size)
    if len(values) == 1:
        values *= 2
    if len(values) != 2 or not all(isinstance(v, int) and v >= 1 for v in values):
        raise ValueError(f"{who}: {name} must be (height, width) or one number, at least 1, got {size!r}")
    return values[0], values[1]


def padding(value: int | Sequence[int] | None, who: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) from one number, (x, y), or all four."""
    values = [value or 0] if value is None or isinstance(value, int) else list(value)
    if len(values) not in (1, 2, 4) or not all(isinstance(v, int) and v >= 0 for v in values):
        raise ValueError(f"{who}: padding must be one, two or four whole numbers, at least 0, got {value!r}")
    left, top, right, bottom = values * (4 // len(values))
    return left, top, right, bottom


def between(values: Sequence[float], who: str, name: str, low: float, high: float) -> tuple[float, float]:
    """(low, high) in order, above `low` and at most `high`."""
    if len(values) != 2 or not low < values[0] <= values[1] <= high or math.isinf(values[1]):
        bound = f"above {low}" + ("" if math.isinf(high) else f" and at most {high}")
        raise ValueError(f"{who}: {name} must be two numbers in rising order, {bound}, got {values!r}")
    return float(values[0]), float(values[1])


def symmetric(value: float | Sequence[float], who: str, name: str) -> tuple[float, float]:
    """(low, high) from a pair in order, or (-v, v) from one number of at least 0."""
    values = [-value, value] if isinstance(value, (int, float)) else list(value)
    if len(values) != 2 or not all(map(math.isfinite, values)) or values[0] > values[1]:
        raise ValueError(f"{who}: {name} must be one number of at least 0, or two in rising order, got {value!r}")
    return float(values[0]), float(values[1])


def factor(value: float | Sequence[float] | None, who: str, name: str) -> tuple[float, float] | None:
    """The range of a factor about 1: (max(0, 1 - v), 1 + v) from one number, or a pair of at least 0; None for none."""
    if value is None or value == 0:
        return None
    values = [max(0.0, 1 - value), 1 + value] if isinstance(value, (int, float)) else list(value)
    if len(values) != 2 or not 0 <= values[0] <= values[1] or (isinstance(value, (int, float)) and value < 0):
        raise ValueError(f"{who}: {name} must be one number, or two in rising order, at least 0, got {value!r}")
    return float(values[0]), float(values[1])


def fill(value: float | Sequence[float], who: str) -> tuple[float, ...]:
    """Values in [0, 1], whatever the image's dtype."""
    values = tuple(map(float, [value] if isinstance(value, (int, float)) else value))
    if not values or not all(0 <= v <= 1 for v in values):
        raise ValueError(
            f"{who}: fill must be in [0, 1], one value or one per channel, got {value!r}; divide levels by 255"
        )
    return values


def interpolation(value: Interpolation, who: str) -> Interpolation:
    """ "nearest", "bilinear" or "bicubic"."""
    if value not in ("nearest", "bilinear", "bicubic"):
        raise ValueError(f"{who}: interpolation must be 'nearest', 'bilinear' or 'bicubic', got {value!r}")
    return value


def padding_mode(value: PaddingMode, who: str) -> PaddingMode:
    """ "constant", "edge", "reflect" or "symmetric"."""
    if value not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError(f"{who}: padding_mode must be 'constant', 'edge', 'reflect' or 'symmetric', got {value!r}")
    return value


def range_from(value: float | Sequence[float], who: str, name: str) -> tuple[float, float]:
    """(low, high) of at least 0, from a pair in order or one number for both."""
    values = [value, value] if isinstance(value, (int, float)) else list(value)
    if len(values) != 2 or not 0 <= values[0] <= values[1] or math.isinf(values[1]):
        raise ValueError(f"{who}: {name} must be a number of at least 0, or two in rising order, got {value!r}")
    return float(values[0]), float(values[1])


def order(value: Sequence[int] | None, who: str, name: str) -> tuple[int, ...] | None:
    """A permutation of 0, ..., n - 1; None for none."""
    if value is None:
        return None
    if sorted(value) != list(range(len(value))):
        raise ValueError(f"{who}: {name} must hold each index from 0 to n - 1 once, got {value!r}")
    return tuple(int(i) for i in value)


def pairs(value: Sequence[Sequence[int]] | None, who: str, name: str) -> tuple[tuple[int, int], ...] | None:
    """Pairs of numbers, each number once; None for none."""
    if value is None:
        return None
    flat = [int(number) for pair in value for number in pair]
    if any(len(pair) != 2 for pair in value) or len(set(flat)) != len(flat):
        raise ValueError(f"{who}: {name} must be pairs of numbers, each number once, got {value!r}")
    return tuple((flat[i], flat[i + 1]) for i in range(0, len(flat), 2))
