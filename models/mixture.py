"""Mixtures of Gaussians of one dimension: fitted to many columns at once, sized by BIC, and how many peaks they have."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

MOST_MODES = 10
VALLEY, SHALLOW = 0.7, 0.85
"""How deep the valley between two peaks of a column is, and at the first look."""
_POINTS = 256  # a column is fitted through the middles of so many equal parts of its sorted values
_JUDGES = 4096  # and judged by so many, lest a component fits the choice of the first
_ROUNDS = 100
_NARROWEST = 0.03  # a component's deviation beside the column's, and the step of whole numbers: one value is no mode
_KERNELS, _WIDTH = 128, 0.08  # of the first look: narrow ones, which show more peaks than there are
_LEAST = 0.05  # mass of a peak


def fit_mixture(values: Tensor) -> Tensor:
    """The mixture of 1 to 10 Gaussians with the least BIC (Schwarz 1978), by EM (Dempster, Laird and Rubin 1977).

    Nothing is random: EM starts from means at even steps of the quantiles, and of the range.

    Args:
        values: (N,) float64, finite, at least two different ones.

    Returns:
        (3, K) float64: weights, means and standard deviations, by rising mean.

    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> values = torch.cat([torch.randn(500), 20 + torch.randn(500)]).double()
    >>> weights, means, deviations = fit_mixture(values)
    >>> weights.tolist(), means.round().tolist(), deviations.round().tolist()
    ([0.5, 0.5], [0.0, 20.0], [1.0, 1.0])
    """
    center, spread = values.mean(), values.std(correction=0)
    narrowest = max(_NARROWEST, float(values.unique().diff().median() / spread))
    scaled = ((values - center) / spread).sort().values
    points, judges = _even(scaled, _POINTS), _even(scaled, _JUDGES)
    started = [_start(points, count, even) for count in range(1, MOST_MODES + 1) for even in (False, True)]
    weights, means, deviations = (torch.stack(parts) for parts in zip(*started, strict=True))  # (S, K)
    for _ in range(_ROUNDS):
        weights, means, deviations = _step(points, weights, means, deviations, narrowest)
    likelihood = _log_density(judges, weights, means, deviations).logsumexp(1).mean(1) * len(values)
    used = (weights > 0).sum(1)
    best = int(((3 * used - 1) * math.log(len(values)) - 2 * likelihood).argmin())
    kept = weights[best] > 0
    weights, means, deviations = weights[best, kept], means[best, kept], deviations[best, kept]
    order = means.argsort()
    return torch.stack([weights, means * spread + center, deviations * spread])[:, order]


def kernels(values: Tensor) -> Tensor:
    """A density estimate of 128 narrow Gaussians, as a mixture (3, 128): a fast first look, for `peaks`."""
    means = _even(values.sort().values, _KERNELS)
    width = _WIDTH * float(values.std(correction=0))
    return torch.stack([torch.full_like(means, 1 / len(means)), means, torch.full_like(means, width)])


def peaks(mixture: Tensor, valley_share: float = VALLEY) -> int:
    """How many peaks the density of a mixture (3, K) has that are apart and hold 5 % of its mass or more.

    Two peaks are apart where the density between them falls below `valley_share` of the lower one.

    >>> peaks(torch.tensor([[0.5, 0.5], [0.0, 20.0], [1.0, 1.0]])), peaks(torch.tensor([[0.5, 0.5], [0.0, 1.0], [1.0, 1.0]]))
    (2, 1)
    """
    weights, means, deviations = mixture
    grid = (means + deviations * torch.linspace(-3, 3, 25, dtype=mixture.dtype)[:, None]).flatten().sort().values
    density = _log_density(grid, weights[None], means[None], deviations[None]).logsumexp(1)[0].exp().tolist()
    below = torch.special.ndtr((grid[:, None] - means) / deviations) @ weights
    edges, top, valley, lowest = [0.0], 0.0, 0.0, 0
    for place, height in enumerate(density):
        if height < valley:
            valley, lowest = height, place
        if valley < valley_share * min(top, height):  # a new peak rises beyond the valley
            edges.append(float(below[lowest]))
            top = valley = height
        elif height > top:
            top = valley = height
    return sum(right - left >= _LEAST for left, right in pairwise([*edges, 1.0]))


def _even(values: Tensor, count: int) -> Tensor:
    """The middle ones of `count` equal parts of sorted values."""
    if len(values) <= count:
        return values
    return values[(2 * torch.arange(count) + 1) * len(values) // (2 * count)]


def _start(points: Tensor, count: int, even: bool) -> tuple[Tensor, Tensor, Tensor]:
    steps = (torch.arange(count, dtype=points.dtype) + 0.5) / count
    means = torch.lerp(points[0], points[-1], steps) if even else points.quantile(steps)
    spare = (0, MOST_MODES - count)
    weights = torch.nn.functional.pad(points.new_full((count,), 1 / count), spare)
    return weights, torch.nn.functional.pad(means, spare), points.new_full((MOST_MODES,), 1 / count)


def _log_density(points: Tensor, weights: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
    """(S, K, N): the logarithm of each component's share of the density at each point."""
    scaled = (points - means[..., None]) / deviations[..., None]
    return (weights.log() - deviations.log() - 0.5 * math.log(2 * math.pi))[..., None] - 0.5 * scaled.square()


def _step(
    points: Tensor, weights: Tensor, means: Tensor, deviations: Tensor, narrowest: float
) -> tuple[Tensor, Tensor, Tensor]:
    belong = _log_density(points, weights, means, deviations).softmax(1) / len(points)
    mass = belong.sum(2)
    held = mass.clamp(min=1e-12)
    means = belong @ points / held
    variance = (belong * (points - means[..., None]).square()).sum(2) / held
    return mass, means, variance.sqrt().clamp(min=narrowest)
