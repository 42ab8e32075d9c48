"""Checks of constructor arguments for volumes: each returns the value in one form, or raises an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from torchaug.image.arguments import finite, is_one, number, symmetric, whole, whole_numbers, whole_range, within

__all__ = [
    "Fill",
    "Ranges",
    "Shape",
    "axes",
    "fill",
    "number",
    "padding",
    "ranges",
    "shape",
    "symmetric",
    "three",
    "whole",
    "whole_range",
    "within",
]

Shape = tuple[int, int, int]
"""Depth, height, width."""
Ranges = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""(low, high) for each axis: depth, height, width."""
Fill = float | Literal["minimum"]
"""Value outside the volume: a number, or the least value of each sample and channel."""


def shape(size: int | Sequence[int], who: str, name: str = "size") -> Shape:
    """(depth, height, width), each at least 1, from three numbers or one for all."""
    values = whole_numbers(size)
    values = values * 3 if is_one(size) else values
    if len(values) != 3 or min(values) < 1:
        raise ValueError(f"{who}: {name} must be (depth, height, width) or one number, at least 1, got {size!r}")
    return values[0], values[1], values[2]


def axes(value: int | Sequence[int], who: str) -> tuple[int, ...]:
    """Axes of a volume, different ones: 0 is depth, 1 height, 2 width."""
    values = tuple(whole_numbers(value))
    if not values or len(set(values)) != len(values) or not set(values) <= {0, 1, 2}:
        raise ValueError(f"{who}: axes must be different ones of 0 (depth), 1 (height) and 2 (width), got {value!r}")
    return values


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
    if is_one(value):
        flat = [max(lowest, around - value), around + value]
    else:
        flat = [v for item in (value if isinstance(value, (tuple, list)) else ()) for v in finite(item)]
    flat = flat * 3 if len(flat) == 2 else flat
    if len(flat) != 6:
        raise ValueError(f"{who}: {name} must be one number, two, or two for each axis, got {value!r}")
    low_high = [within(flat[i : i + 2], who, name, lowest) for i in (0, 2, 4)]
    return low_high[0], low_high[1], low_high[2]


def fill(value: Fill, who: str) -> Fill:
    """ "minimum", or a finite number."""
    if value == "minimum":
        return "minimum"
    if not is_one(value):
        raise ValueError(f"{who}: fill must be a number or 'minimum', got {value!r}")
    return float(value)


def padding(value: int | Sequence[int], who: str) -> tuple[int, int, int, int, int, int]:
    """Voxels before and after each axis, from one number, one for each axis, or all six."""
    values = whole_numbers(value)
    if len(values) not in (1, 3, 6) or min(values) < 0:
        raise ValueError(f"{who}: padding must be one, three or six whole numbers, at least 0, got {value!r}")
    a, b, c, d, e, f = [v for v in values for _ in range(2)] if len(values) == 3 else values * (6 // len(values))
    return a, b, c, d, e, f


def three(value: float | Sequence[float], who: str, name: str) -> tuple[float, float, float]:
    """Numbers of at least 0 for depth, height and width, from three or one for all."""
    values = finite(value)
    values = values * 3 if is_one(value) else values
    if len(values) != 3 or min(values) < 0:
        raise ValueError(f"{who}: {name} must be one number or three, at least 0, got {value!r}")
    return float(values[0]), float(values[1]), float(values[2])
