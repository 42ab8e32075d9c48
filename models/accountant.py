"""What a training with noisy gradients costs in privacy: the Renyi accountant of the subsampled Gaussian mechanism.

Each step takes every row with chance q (Poisson sampling), clips what a row adds at norm C and adds normal noise of
deviation sigma C. Its Renyi divergence of order a (Mironov, Talwar and Zhang, arXiv 1908.10530) is

    R(a) = log E[((1 - q) + q exp((2 z - 1) / (2 sigma^2)))^a] / (a - 1),  z normal of deviation sigma.

Steps add up, and the sum gives (epsilon, delta) for every order (Canonne, Kamath and Steinke, arXiv 2004.00010):

    epsilon = R(a) + log((a - 1) / a) - (log delta + log a) / (a - 1).

Neighbouring data sets differ by one row that is there or not. The expectation is a sum over evenly spaced z, whose error
falls exponentially with the spacing since the function is analytic: no series that alternates or overflows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch

ORDERS = (*(1 + i / 10 for i in range(1, 100)), *range(11, 64), *(2**i for i in range(6, 11)))
"""Orders over which the least epsilon is looked for."""
LOWEST_NOISE, HIGHEST_NOISE = 0.05, 1e6
"""Below the first nothing is private any more; none is asked for above the second."""


@lru_cache(maxsize=4096)
def renyi_divergence(noise: float, rate: float, order: float) -> float:
    """The Renyi divergence of one step, in nats.

    Args:
        noise: deviation of the noise over the clipping norm, at least 0.05.
        rate: chance q of a row to be in the step, in [0, 1].
        order: above 1.

    Without sampling it is that of two normal distributions, a / (2 sigma^2):

    >>> renyi_divergence(noise=2.0, rate=1.0, order=4.0)
    0.5
    """
    _check(noise, rate)
    if not order > 1:
        raise ValueError(f"renyi_divergence: order must be above 1, got {order}")
    if rate == 0:
        return 0.0
    if rate == 1:
        return order / (2 * noise**2)
    variance = noise**2
    # the integrand is analytic in a strip of pi variance about the line, and no narrower than the normal's deviation
    step = min(noise, variance) / 4
    z = torch.arange(-14 * noise, order + 14 * noise, step, dtype=torch.float64)
    density = -z.square() / (2 * variance) - math.log(noise * math.sqrt(2 * math.pi)) + math.log(step)
    stays = torch.full_like(z, math.log1p(-rate))
    ratio = torch.logaddexp(stays, math.log(rate) + (2 * z - 1) / (2 * variance))
    return max(0.0, float(torch.logsumexp(density + order * ratio, 0))) / (order - 1)


def spent(noise: float, rate: float, steps: int, delta: float, *, counted: float | None = None) -> float:
    """The epsilon of a training of so many steps.

    Args:
        noise, rate: of each step, see `renyi_divergence`.
        steps: at least 0.
        delta: chance that the bound does not hold, in (0, 1); well below one over the number of rows.
        counted: deviation of the normal noise with which the rows of each class were counted, once; None: they were not.

    >>> round(spent(noise=1.1, rate=256 / 60_000, steps=10_000, delta=1e-5), 2)
    2.16
    """
    return spent_over(ORDERS, noise, rate, steps, delta, counted=counted)


def spent_over(
    orders: Sequence[float], noise: float, rate: float, steps: int, delta: float, *, counted: float | None = None
) -> float:
    """`spent`, the least over given orders."""
    if steps < 0 or not 0 < delta < 1:
        raise ValueError(f"spent: steps must be at least 0 and delta in (0, 1), got {steps} and {delta}")
    _check(noise, rate)
    if steps == 0 and counted is None:
        return 0.0
    return min(
        max(0.0, steps * renyi_divergence(noise, rate, order) + _of_counting(counted, order) + _tail(order, delta))
        for order in orders
    )


def noise_for(epsilon: float, delta: float, rate: float, steps: int, *, counted: float | None = None) -> float:
    """The least noise, to a thousandth, with which a training of so many steps costs at most `epsilon`.

    Raises:
        ValueError: no noise is enough: where classes were counted with less noise than epsilon allows.

    >>> noise = noise_for(2.0, 1e-5, rate=0.01, steps=1000)
    >>> spent(noise, 0.01, 1000, 1e-5) <= 2.0 < spent(0.99 * noise, 0.01, 1000, 1e-5)
    True
    """
    if not epsilon > 0:
        raise ValueError(f"noise_for: epsilon must be above 0, got {epsilon}")
    low, high = LOWEST_NOISE, 1.0
    while spent(high, rate, steps, delta, counted=counted) > epsilon:
        low, high = high, 2 * high
        if high > HIGHEST_NOISE:
            raise ValueError(
                f"noise_for: expected an epsilon that some noise reaches, got {epsilon} at delta {delta}"
                f"{'' if counted is None else f', after classes counted with noise {counted:g}'}; raise epsilon"
            )
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle, rate, steps, delta, counted=counted) > epsilon else (low, middle)
    return high


def _of_counting(counted: float | None, order: float) -> float:
    """A row is one more in one count: sensitivity 1."""
    return 0.0 if counted is None else order / (2 * counted**2)


def _tail(order: float, delta: float) -> float:
    return math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)


def _check(noise: float, rate: float) -> None:
    if not noise >= LOWEST_NOISE or not 0 <= rate <= 1:
        raise ValueError(
            f"accountant: noise must be at least {LOWEST_NOISE} and rate in [0, 1], got {noise} and {rate}"
        )
