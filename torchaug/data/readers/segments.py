"""COCO's segmentations, polygons and run lengths, as masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


def segment(given: Any, height: int, width: int) -> Mask:
    """A COCO segmentation as (height, width) of 0 and 1.

    Args:
        given: polygons, each [x0, y0, x1, y1, ...] in pixels; or {"size": [height, width], "counts": runs}, the lengths
            of runs of 0 and 1 in turn, down the columns, as a list or in COCO's compressed text.
        height: of the image.
        width: of the image.

    Raises:
        ValueError: neither of the two, runs for another size, or too many or too few of them.

    >>> segment([[1, 0, 3, 0, 3, 2, 1, 2]], 2, 4).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    >>> segment({"size": [2, 3], "counts": [1, 3, 2]}, 2, 3).tolist()
    [[0, 1, 0], [1, 1, 0]]
    """
    if isinstance(given, dict) and {"counts", "size"} <= given.keys():
        if list(given["size"]) != [height, width]:
            raise ValueError(f"run lengths must be for an image of {height} x {width}, got size {given['size']}")
        counts = given["counts"]
        return _from_runs(_decompress(counts) if isinstance(counts, (str, bytes)) else counts, height, width)
    if isinstance(given, list) and given and all(_is_polygon(polygon) for polygon in given):
        mask = np.zeros((height, width), dtype=np.uint8)
        for polygon in given:
            mask |= _inside(np.asarray(polygon, dtype=np.float64).reshape(-1, 2), height, width)
        return mask
    raise ValueError("expected a segmentation of polygons [[x, y, ...], ...] or of run lengths {'size', 'counts'}")


def _is_polygon(given: Any) -> bool:
    numbers = isinstance(given, list) and all(isinstance(number, (int, float)) for number in given)
    return numbers and len(given) >= 6 and len(given) % 2 == 0


def _inside(points: NDArray[np.float64], height: int, width: int) -> Mask:
    """The pixels whose centre is inside a polygon, by the even-odd rule: right of an odd number of its edges."""
    crossed = np.zeros((height, width + 1), dtype=np.int64)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = (int(np.ceil(np.clip(y - 0.5, 0, height))) for y in sorted((y0, y1)))
        if low == high:
            continue
        rows = np.arange(low, high)
        x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        crossed[rows, np.ceil(np.clip(x - 0.5, 0, width)).astype(np.int64)] += 1
    return (crossed.cumsum(axis=1)[:, :width] % 2).astype(np.uint8)


def _from_runs(counts: Sequence[int], height: int, width: int) -> Mask:
    runs = np.asarray(counts, dtype=np.int64)
    if runs.sum() != height * width or (runs < 0).any():
        raise ValueError(f"run lengths must sum to {height} x {width} pixels, got {int(runs.sum())}")
    values = np.arange(len(runs)) % 2
    return np.repeat(values, runs).astype(np.uint8).reshape(width, height).T


def _decompress(text: str | bytes) -> list[int]:
    """COCO's text: little-endian groups of 5 bits in printable characters; from the fourth on, less the one two before."""
    codes = [code - 48 for code in (text.encode("ascii") if isinstance(text, str) else text)]
    counts: list[int] = []
    value = shift = 0
    for code in codes:
        if not 0 <= code < 64:
            raise ValueError(f"compressed run lengths hold the characters '0' to 'o', got {chr(code + 48)!r}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:  # more groups follow
            continue
        if code & 16:  # the sign
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths end in the middle of a number")
    return counts
