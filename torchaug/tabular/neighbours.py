"""Nearest rows of tables with numbers and categories, some rows at a time, on the device where they are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CHUNK_BYTES = 1 << 26
"""Of distances worked out at a time."""


class Points(NamedTuple):
    """Rows as distances see them."""

    numbers: Tensor
    """(N, F) float64 without NaN."""
    codes: Tensor
    """(N, K) int64."""

    def at(self, rows: Tensor) -> Points:
        """Some of them."""
        return Points(self.numbers[rows], self.codes[rows])


def as_points(numeric: Tensor, categorical: Tensor, standardize: bool) -> Points:
    """Rows for distances: missing numbers as their column's mean, in units of its standard deviation where wanted."""
    known = ~numeric.isnan()
    mean = numeric.nansum(0) / known.sum(0).clamp(min=1)
    numbers = torch.where(known, numeric, mean) - mean  # centred: differences of large numbers would lose digits
    if standardize:
        std = (numbers.square().sum(0) / known.sum(0).clamp(min=1)).sqrt()
        numbers = numbers / torch.where(std > 0, std, 1)
    return Points(numbers, categorical)


def category_gap(numbers: Tensor) -> float:
    """What two different categories count as, in the units of the numbers (n, F) of a class: the median of its columns'
    standard deviations (Chawla et al., 2002, SMOTE-NC); 1 without numbers, which makes it the number of differences.
    """
    if not numbers.shape[1]:
        return 1.0
    return float(numbers.std(0, correction=0).quantile(0.5))


def nearest(queries: Points, places: Tensor, pool: Points, count: int, gap: float) -> Tensor:
    """The nearest rows of `pool` to each query, nearest first, but not itself.

    The distance is Euclidean in numbers, and each category that differs adds `gap` squared to its square.

    Args:
        queries: n rows.
        places: (n,) int64, where each one stands in the pool.
        pool: N rows.
        count: k, at most N - 1.
        gap: see above.

    Returns:
        (n, k) int64 places in the pool.

    >>> points = Points(torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64), torch.zeros(3, 0, dtype=torch.int64))
    >>> nearest(points, torch.arange(3), points, 1, gap=1.0).flatten().tolist()
    [1, 0, 1]
    """
    together = max(1, CHUNK_BYTES // (8 * len(pool.numbers)))
    found = []
    for rows in torch.arange(len(places), device=places.device).split(together):
        squares = _squares(queries.at(rows), pool, gap)
        squares.scatter_(1, places[rows, None], torch.inf)
        found.append(squares.topk(count, dim=1, largest=False).indices)
    return torch.cat(found) if found else places.new_zeros(0, count)


def _squares(queries: Points, pool: Points, gap: float) -> Tensor:
    """(n, N) squared distances."""
    squares = torch.cdist(queries.numbers, pool.numbers).square_()
    for own, other in zip(queries.codes.T, pool.codes.T, strict=True):
        squares.add_(own[:, None] != other, alpha=gap**2)
    return squares
