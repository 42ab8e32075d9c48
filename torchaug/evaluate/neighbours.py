"""Distances between two sets of features, a block of rows at a time, exact: equal rows are at distance 0."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**24
"""Distances held at once, about: 64 MB of float32."""


def check_features(who: str, **sets: Tensor) -> None:
    """Refuses what is not features (N, D) of one D, floating point, on one device and finite, with a row or more.

    Raises:
        ValueError: naming the set, in the words of `who`.

    >>> check_features("density", real=torch.rand(3, 2), synthetic=torch.rand(4, 2))
    """
    first = next(iter(sets.values()))
    for name, rows in sets.items():
        if rows.ndim != 2 or not len(rows) or not rows.is_floating_point() or rows.shape[1] != first.shape[-1]:
            raise ValueError(
                f"{who}: {name} must be (N, {first.shape[-1]}) floating point with N of at least 1, got "
                f"{tuple(rows.shape)} {str(rows.dtype).removeprefix('torch.')}; flatten images first"
            )
        if rows.device != first.device:
            raise ValueError(f"{who}: all sets must be on one device, got {first.device} and {rows.device} of {name}")
        bad = int((~rows.isfinite()).any(1).sum())
        if bad:
            raise ValueError(
                f"{who}: {name} must be finite, got {bad} of {len(rows)} rows that are not; encode them first"
            )


def blocks(queries: Tensor, points: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The distances of some queries to all points, from the query of that number on: (start, (b, N)).

    Differences are squared and summed as they are. The faster way through a matrix product is off by up to 1e-2 of
    the usual distance in float32, most of all for rows that are equal, and copies are what is looked for here.

    >>> [(start, d.tolist()) for start, d in blocks(torch.tensor([[0.0], [3.0]]), torch.tensor([[3.0]]))]
    [(0, [[3.0], [0.0]])]
    """
    step = max(1, BLOCK // len(points))
    for start in range(0, len(queries), step):
        rows = queries[start : start + step]
        yield start, torch.cdist(rows, points, compute_mode="donot_use_mm_for_euclid_dist")


def blocks_within(points: Tensor) -> Iterator[tuple[int, Tensor]]:
    """As `blocks` of the points to themselves, where the distance of a point to itself is infinite."""
    for start, distances in blocks(points, points):
        own = torch.arange(len(distances), device=points.device)
        distances[own, own + start] = torch.inf
        yield start, distances


def nearest(queries: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """The distance of each query to the nearest point, (M,), and that point's number, (M,) int64.

    >>> distance, number = nearest(torch.tensor([[0.9, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    >>> round(distance.item(), 6), number.item()
    (0.1, 1)
    """
    found = [distances.min(1) for _, distances in blocks(queries, points)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def radii(points: Tensor, k: int) -> Tensor:
    """The distance of each point to the k-th nearest of the others, (N,).

    Raises:
        ValueError: there are not more than k points.

    >>> radii(torch.tensor([[0.0], [1.0], [3.0]]), 1).tolist()
    [1.0, 1.0, 2.0]
    """
    if not 1 <= k < len(points):
        raise ValueError(
            f"radii: k must be at least 1 and below the number of points, got {k} and {len(points)} points"
        )
    return torch.cat([distances.kthvalue(k, 1).values for _, distances in blocks_within(points)])
