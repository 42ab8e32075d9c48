"""Checks of constructor arguments for volumes: each returns the value in one form, or raises an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

Shape = tuple[int, int, int]
"""Depth, height, width."""
Ranges = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""(low, high) for each axis: depth, height, width."""
Fill = float | Literal["minimum"]
"""Value outside the volume: a number, or the least value of each sample and channel."""


def shape(size: int | Sequence[int], who: str, name: str = "size") -> Shape:
    """(depth, height, width), each at least 1, from three numbers or one for all."""
    values = [size] * 3 if isinstance(size, int) else list(size)
    if len(values) != 3 or not all(isinstance(v, int) and v >= 1 for v in values):
        raise ValueError(f"{who}: {name} must be (depth, height, width) or one number, at least 1, got {size!r}")
    return values[0], values[1], values[2]


def axes(value: int | Sequence[int], who: str) -> tuple[int, ...]:
    """Axes of a volume, different ones: 0 is depth, 1 height, 2 width."""
    values = (value,) if isinstance(value, int) else tuple(value)
    if not values or len(set(values)) != len(values) or not set(values) <= {0, 1, 2}:
        raise ValueError(f"{who}: axes must be different ones of 0 (depth), 1 (height) and 2 (width), got {value!r}")
    return values


def pair(value: float | Sequence[float], who: str, name: str, lowest: float = -math.inf) -> tuple[float, float]:
    """(low, high), finite and at least `lowest`, from two numbers in rising order or one for both."""
    values = [value, value] if isinstance(value, (int, float)) else list(value)
    if len(values) != 2 or not all(map(math.isfinite, values)) or not lowest <= values[0] <= values[1]:
        bound = "" if math.isinf(lowest) else f", at least {lowest:g}"
        raise ValueError(f"{who}: {name} must be a number, or two in rising order{bound}, got {value!r}")
    return float(values[0]), float(values[1])


def whole(value: int | Sequence[int], who: str, name: str, lowest: int) -> tuple[int, int]:
    """(low, high), whole numbers of at least `lowest`, from two in rising order or one for both."""
    low, high = pair(value, who, name, lowest)
    if low != int(low) or high != int(high):
        raise ValueError(f"{who}: {name} must be whole numbers, got {value!r}")
    return int(low), int(high)


def share(value: float, who: str, name: str) -> float:
    """A number in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{who}: {name} must be in [0, 1], got {value!r}")
    return float(value)


def ranges(value: Any, who: str, name: str, around: float = 0.0, lowest: float = -math.inf) -> Ranges:
    """A range for each axis.

    Args:
        value: one number v for (around - v, around + v) on each axis, not below `lowest`; (low, high) for each axis;
            or six numbers, or three pairs, for depth, height and width.
        who: the transform.
        name: of the argument.
        around: see `value`.
        lowest: what every number must be at least.

    >>> ranges(0.1, "RandomAffine", "scales", around=1.0)[0]
    (0.9, 1.1)
    """
    if isinstance(value, (int, float)):
        flat = [max(lowest, around - value), around + value]
    else:
        flat = [v for item in value for v in (item if isinstance(item, (tuple, list)) else [item])]
    flat = flat * 3 if len(flat) == 2 else flat
    if len(flat) != 6:
        raise ValueError(f"{who}: {name} must be one number, two, or two for each axis, got {value!r}")
    low_high = [pair(flat[i : i + 2], who, name, lowest) for i in (0, 2, 4)]
    return low_high[0], low_high[1], low_high[2]


def fill(value: Fill, who: str) -> Fill:
    """ "minimum", or a finite number."""
    if value == "minimum":
        return "minimum"
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{who}: fill must be a number or 'minimum', got {value!r}")
    return float(value)


def padding(value: int | Sequence[int], who: str) -> tuple[int, int, int, int, int, int]:
    """Voxels before and after each axis, from one number, one for each axis, or all six."""
    values = [value] if isinstance(value, int) else list(value)
    if len(values) not in (1, 3, 6) or not all(isinstance(v, int) and v >= 0 for v in values):
        raise ValueError(f"{who}: padding must be one, three or six whole numbers, at least 0, got {value!r}")
    a, b, c, d, e, f = [v for v in values for _ in range(2)] if len(values) == 3 else values * (6 // len(values))
    return a, b, c, d, e, f


def three(value: float | Sequence[float], who: str, name: str) -> tuple[float, float, float]:
    """Numbers of at least 0 for depth, height and width, from three or one for all."""
    values = [value] * 3 if isinstance(value, (int, float)) else list(value)
    if len(values) != 3 or not all(math.isfinite(v) and v >= 0 for v in values):
        raise ValueError(f"{who}: {name} must be one number or three, at least 0, got {value!r}")
    return float(values[0]), float(values[1]), float(values[2])
