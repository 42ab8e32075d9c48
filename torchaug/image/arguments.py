"""Checks of constructor arguments: each returns the value in one form, or raises an error that says who, what, got."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast, get_args

from torchaug.image.axes import Interpolation, PaddingMode

Option = TypeVar("Option")


def finite(value: Any) -> list[float]:
    """The numbers of one number or several; none at all where one is not finite or no number, for callers to refuse.

    >>> finite(2), finite((0, 0.5)), finite([1, float("nan")]), finite(None), finite("12")
    ([2], [0, 0.5], [], [], [])
    """
    plain = value.tolist() if hasattr(value, "tolist") else value  # of arrays and tensors
    values = list(plain) if isinstance(plain, Iterable) and not isinstance(plain, str) else [plain]
    good = all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    return values if good else []


def whole_numbers(value: Any) -> list[int]:
    """As `finite`; none where one is not whole.

    >>> whole_numbers((1, 2)), whole_numbers(1.0)
    ([1, 2], [])
    """
    values = finite(value)
    return cast("list[int]", values) if all(isinstance(v, int) for v in values) else []


def is_one(value: Any) -> bool:
    """Whether it is a number, not several."""
    return not isinstance(value, Iterable) and len(finite(value)) == 1


def number(
    value: float, who: str, name: str, low: float = -math.inf, high: float = math.inf, *, above: bool = False
) -> float:
    """One number in [low, high], or with `above` in (low, high]."""
    if not is_one(value) or not low <= value <= high or (above and value == low):
        raise ValueError(f"{who}: {name} must be a number{_bound(low, high, above)}, got {value!r}")
    return float(value)


def whole(value: int, who: str, name: str, low: float = -math.inf, high: float = math.inf) -> int:
    """One whole number in [low, high]."""
    values = whole_numbers(value) if is_one(value) else []
    if len(values) != 1 or not low <= values[0] <= high:
        raise ValueError(f"{who}: {name} must be a whole number{_bound(low, high)}, got {value!r}")
    return values[0]


def optional_whole(value: int | None, who: str, name: str, low: float = -math.inf) -> int | None:
    """As `whole`, or None."""
    return None if value is None else whole(value, who, name, low)


def within(
    value: float | Sequence[float],
    who: str,
    name: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: bool = False,
) -> tuple[float, float]:
    """(least, greatest) in [low, high], from a pair in rising order or one number; with `above` none is `low`.

    >>> within(0.5, "RandomGamma", "gain"), within((0, 1), "RandomGamma", "gain")
    ((0.5, 0.5), (0.0, 1.0))
    """
    values = finite(value)
    values = values * 2 if is_one(value) else values
    if len(values) != 2 or not low <= values[0] <= values[1] <= high or (above and values[0] == low):
        raise ValueError(
            f"{who}: {name} must be a number{_bound(low, high, above)}, or two in rising order, got {value!r}"
        )
    return float(values[0]), float(values[1])


def whole_range(
    value: float | Sequence[float], who: str, name: str, low: int, high: float = math.inf
) -> tuple[int, int]:
    """(least, greatest) whole numbers in [low, high], from a pair in rising order or one number for both."""
    values = whole_numbers(value)
    values = values * 2 if is_one(value) else values
    if len(values) != 2 or not low <= values[0] <= values[1] <= high:
        raise ValueError(
            f"{who}: {name} must be a whole number{_bound(low, high)}, or two in rising order, got {value!r}"
        )
    return values[0], values[1]


def odd_range(value: int | Sequence[int], who: str, name: str) -> tuple[int, int]:
    """(least, greatest) odd numbers of at least 1, from a pair in rising order or one number for both."""
    low, high = whole_range(value, who, name, 1)
    if not low % 2 or not high % 2:
        raise ValueError(f"{who}: {name} must be odd, one number or two in rising order, got {value!r}")
    return low, high


def between(value: Sequence[float], who: str, name: str, low: float, high: float = math.inf) -> tuple[float, float]:
    """(least, greatest) of a pair in rising order, above `low` and at most `high`; one number is not enough."""
    values = finite(value)
    if len(values) != 2 or not low < values[0] <= values[1] <= high:
        raise ValueError(f"{who}: {name} must be two numbers in rising order,{_bound(low, high, True)}, got {value!r}")
    return float(values[0]), float(values[1])


def symmetric(value: float | Sequence[float], who: str, name: str, limit: float = math.inf) -> tuple[float, float]:
    """(low, high) from a pair in order, or (-v, v) from one number of at least 0; within [-limit, limit]."""
    values = finite(value)
    values = [-values[0], values[0]] if is_one(value) else values
    if len(values) != 2 or not -limit <= values[0] <= values[1] <= limit:
        bound = "" if math.isinf(limit) else f", within [{-limit:g}, {limit:g}]"
        raise ValueError(
            f"{who}: {name} must be one number of at least 0, or two in rising order{bound}, got {value!r}"
        )
    return float(values[0]), float(values[1])


def unit_range(value: float | Sequence[float], who: str, name: str) -> tuple[float, float]:
    """`within` [0, 1], the values of images of every dtype."""
    return _of_levels(within, value, who, name, 0, 1)


def unit_shift(value: float | Sequence[float], who: str, name: str) -> tuple[float, float]:
    """`symmetric` within [-1, 1], what may be added to images of every dtype."""
    return _of_levels(symmetric, value, who, name, 1)


def _of_levels(check: Callable[..., tuple[float, float]], *arguments: Any) -> tuple[float, float]:
    try:
        return check(*arguments)
    except ValueError as error:
        raise ValueError(f"{error}; divide levels of uint8 by 255") from None


def factor(value: float | Sequence[float] | None, who: str, name: str) -> tuple[float, float] | None:
    """The range of a factor about 1: (max(0, 1 - v), 1 + v) from one number, or a pair of at least 0; None for none."""
    if value is None or value == 0:
        return None
    values = finite(value)
    values = [max(0.0, 1 - values[0]), 1 + values[0]] if is_one(value) else values
    if len(values) != 2 or not 0 <= values[0] <= values[1]:
        raise ValueError(f"{who}: {name} must be one number, or two in rising order, at least 0, got {value!r}")
    return float(values[0]), float(values[1])


def pair(
    size: int | Sequence[int], who: str, name: str, low: int = 1, what: str = "(height, width)"
) -> tuple[int, int]:
    """Two whole numbers of at least `low`, from a pair or one number for both; `what` they are."""
    values = whole_numbers(size)
    values = values * 2 if len(values) == 1 else values
    if len(values) != 2 or min(values) < low:
        raise ValueError(f"{who}: {name} must be {what} or one whole number for both, at least {low}, got {size!r}")
    return values[0], values[1]


def two(value: float | Sequence[float], who: str, name: str, high: float = math.inf) -> tuple[float, float]:
    """(x, y) in [0, high], in any order, from a pair or one number for both."""
    values = finite(value)
    values = values * 2 if is_one(value) else values
    if len(values) != 2 or not all(0 <= v <= high for v in values):
        raise ValueError(f"{who}: {name} must be a number{_bound(0, high)}, or two (x, y), got {value!r}")
    return float(values[0]), float(values[1])


def rising(value: Sequence[float], who: str, name: str) -> tuple[float, float]:
    """(low, high) of a pair, low below high."""
    values = finite(value)
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError(f"{who}: {name} must be (low, high) in rising order, got {value!r}")
    return float(values[0]), float(values[1])


def shears(value: float | Sequence[float], who: str) -> tuple[float, float, float, float]:
    """Ranges of degrees along x and y, from one number or two for x alone, or four."""
    values = [*symmetric(value, who, "shear"), 0.0, 0.0] if is_one(value) else finite(value)
    if len(values) not in (2, 4):
        raise ValueError(f"{who}: shear must be one, two or four numbers of degrees, got {value!r}")
    low_x, high_x = symmetric(values[:2], who, "shear")
    low_y, high_y = symmetric(values[2:] or 0.0, who, "shear")
    if max(map(abs, (low_x, high_x, low_y, high_y))) >= 90:
        raise ValueError(f"{who}: shear must be between -90 and 90 degrees, got {value!r}")
    return low_x, high_x, low_y, high_y


def center(value: Sequence[float] | None, who: str) -> tuple[float, float] | None:
    """A point (x, y) in pixels; None for the middle."""
    if value is None:
        return None
    values = finite(value)
    if len(values) != 2:
        raise ValueError(f"{who}: center must be (x, y) in pixels or None, got {value!r}")
    return float(values[0]), float(values[1])


def padding(value: int | Sequence[int] | None, who: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) from one number, (x, y), or all four."""
    values = [0] if value is None else whole_numbers(value)
    if len(values) not in (1, 2, 4) or min(values) < 0:
        raise ValueError(f"{who}: padding must be one, two or four whole numbers, at least 0, got {value!r}")
    left, top, right, bottom = values * (4 // len(values))
    return left, top, right, bottom


def fill(value: float | Sequence[float], who: str, name: str = "fill") -> tuple[float, ...]:
    """Values in [0, 1], whatever the image's dtype."""
    values = tuple(map(float, finite(value)))
    if not values or not all(0 <= v <= 1 for v in values):
        raise ValueError(
            f"{who}: {name} must be in [0, 1], one value or one per channel, got {value!r}; divide levels by 255"
        )
    return values


def colored(values: Sequence[float], channels: int, who: str, name: str = "fill") -> tuple[float, ...]:
    """What `fill` returned, one value for each channel of an image."""
    if len(values) not in (1, channels):
        raise ValueError(f"{who}: {name} has {len(values)} values, the image {channels} channels")
    return tuple(values) if len(values) == channels else (values[0],) * channels


def one_of(value: Option, who: str, name: str, options: Sequence[Option]) -> Option:
    """One of the options."""
    if value not in options:
        *most, last = map(repr, options)
        raise ValueError(f"{who}: {name} must be {', '.join(most)} or {last}, got {value!r}")
    return value


def interpolation(value: Interpolation, who: str) -> Interpolation:
    """ "nearest", "bilinear" or "bicubic"."""
    return one_of(value, who, "interpolation", get_args(Interpolation))


def padding_mode(value: PaddingMode, who: str) -> PaddingMode:
    """ "constant", "edge", "reflect" or "symmetric"."""
    return one_of(value, who, "padding_mode", get_args(PaddingMode))


def order(value: Sequence[int] | None, who: str, name: str) -> tuple[int, ...] | None:
    """A permutation of 0, ..., n - 1; None for none."""
    if value is None:
        return None
    numbers = whole_numbers(value)
    if not numbers or sorted(numbers) != list(range(len(numbers))):
        raise ValueError(f"{who}: {name} must hold each index from 0 to n - 1 once, got {value!r}")
    return tuple(numbers)


def pairs(value: Sequence[Sequence[int]] | None, who: str, name: str) -> tuple[tuple[int, int], ...] | None:
    """Pairs of numbers, each number once; None for none."""
    if value is None:
        return None
    found = [tuple(whole_numbers(item)) for item in value] if isinstance(value, Iterable) else [()]
    flat = [number for item in found for number in item]
    if any(len(item) != 2 for item in found) or len(set(flat)) != len(flat):
        raise ValueError(f"{who}: {name} must be pairs of numbers, each number once, got {value!r}")
    return tuple((item[0], item[1]) for item in found)


def _bound(low: float, high: float, above: bool = False) -> str:
    """What a number must be, in words."""
    if math.isfinite(low) and math.isfinite(high) and not above:
        return f" in [{low:g}, {high:g}]"
    words = [f"{'above' if above else 'of at least'} {low:g}"] * math.isfinite(low)
    words += [f"at most {high:g}"] * math.isfinite(high)
    return " " * bool(words) + " and ".join(words)
