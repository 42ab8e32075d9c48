"""The privacy accountant against opacus, closed forms and the divergence that privacy is defined by."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchaug.models.accountant import ORDERS, noise_for, renyi_divergence, spent, spent_over

NORMAL = statistics.NormalDist()
SETTINGS = [(1.1, 0.01), (0.6, 0.05), (2.0, 0.2), (5.0, 0.001), (0.4, 0.01), (0.3, 0.3), (1.0, 0.9), (20.0, 0.5)]


@pytest.mark.parametrize(("noise", "rate"), SETTINGS)
def test_divergences_are_those_of_opacus(noise: float, rate: float) -> None:
    rdp = pytest.importorskip("opacus.accountants.analysis.rdp")
    for order in (1.1, 1.5, 2.0, 2.3, 3.7, 5.0, 10.9, 16.0, 32.0, 63.0):
        theirs = float(rdp.compute_rdp(q=rate, noise_multiplier=noise, steps=1, orders=order))
        assert renyi_divergence(noise, rate, order) == pytest.approx(theirs, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("noise", "rate", "steps"), [(1.1, 256 / 60_000, 10_000), (0.8, 0.05, 300), (3.0, 0.5, 40)])
def test_epsilon_is_that_of_opacus(noise: float, rate: float, steps: int) -> None:
    rdp = pytest.importorskip("opacus.accountants.analysis.rdp")
    orders = [float(order) for order in ORDERS if order < 100]
    theirs = rdp.compute_rdp(q=rate, noise_multiplier=noise, steps=steps, orders=orders)
    epsilon, _ = rdp.get_privacy_spent(orders=orders, rdp=theirs, delta=1e-5)
    assert spent_over(orders, noise, rate, steps, 1e-5) == pytest.approx(float(epsilon), rel=1e-6)


@pytest.mark.parametrize(("noise", "rate"), SETTINGS)
def test_divergence_of_order_two_in_closed_form(noise: float, rate: float) -> None:
    # E[((1-q) + q L)^2] under the first normal, where E[L] = 1 and E[L^2] = exp(1 / noise^2)
    second = 1 + rate**2 * math.expm1(1 / noise**2)
    assert renyi_divergence(noise, rate, 2.0) == pytest.approx(math.log(second), rel=1e-9)


def delta_of(epsilon: float, noise: float, rate: float) -> float:
    """The least delta of one step, both ways, by its definition: the mass above e^epsilon times the other."""
    z = torch.linspace(-12 * noise, 1 + 12 * noise, 400_001, dtype=torch.float64)
    without = torch.exp(-z.square() / (2 * noise**2))
    with_row = (1 - rate) * without + rate * torch.exp(-(z - 1).square() / (2 * noise**2))
    unit = float(z[1] - z[0]) / (noise * math.sqrt(2 * math.pi))
    above = [
        (a - math.exp(epsilon) * b).clamp(min=0).sum() * unit for a, b in ((with_row, without), (without, with_row))
    ]
    return float(max(above))


@pytest.mark.parametrize(("noise", "rate"), SETTINGS)
@pytest.mark.parametrize("delta", [1e-3, 1e-5])
def test_one_step_keeps_what_it_promises(noise: float, rate: float, delta: float) -> None:
    epsilon = spent(noise, rate, 1, delta)
    assert delta_of(epsilon, noise, rate) <= delta


@pytest.mark.parametrize(("noise", "steps"), [(2.0, 1), (5.0, 10), (30.0, 1000)])
def test_many_steps_without_sampling_against_the_exact_gaussian(noise: float, steps: int) -> None:
    # steps of noise s are one of noise s / sqrt(steps), whose delta is known exactly (arXiv 1805.06530)
    epsilon, one = spent(noise, 1.0, steps, 1e-5), noise / math.sqrt(steps)
    exact = NORMAL.cdf(0.5 / one - epsilon * one) - math.exp(epsilon) * NORMAL.cdf(-0.5 / one - epsilon * one)
    assert 1e-6 < exact <= 1e-5


@settings(deadline=None)
@given(st.floats(0.5, 10), st.floats(1e-4, 0.5), st.integers(1, 5000))
def test_more_noise_costs_less_and_more_steps_and_rows_cost_more(noise: float, rate: float, steps: int) -> None:
    few = (2.0, 4.5, 16.0, 63.0)
    cost = spent_over(few, noise, rate, steps, 1e-5)
    assert spent_over(few, 1.2 * noise, rate, steps, 1e-5) <= cost
    assert spent_over(few, noise, rate, 2 * steps, 1e-5) >= cost
    assert spent_over(few, noise, min(1.0, 1.5 * rate), steps, 1e-5) >= cost


@pytest.mark.parametrize("counted", [None, 20.0])
def test_noise_for_is_the_least(counted: float | None) -> None:
    noise = noise_for(3.0, 1e-5, 0.02, 500, counted=counted)
    assert spent(noise, 0.02, 500, 1e-5, counted=counted) <= 3.0
    assert spent(0.995 * noise, 0.02, 500, 1e-5, counted=counted) > 3.0


def test_counting_costs_what_one_step_without_sampling_costs() -> None:
    assert spent(1.0, 0.0, 0, 1e-5, counted=4.0) == pytest.approx(spent(4.0, 1.0, 1, 1e-5))
    assert spent(1.0, 0.1, 0, 1e-5) == 0.0


def test_what_cannot_be_accounted_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise must be at least 0\.05"):
        spent(0.0, 0.1, 10, 1e-5)
    with pytest.raises(ValueError, match=r"rate in \[0, 1\], got 1\.0 and 1\.5"):
        renyi_divergence(1.0, 1.5, 2.0)
    with pytest.raises(ValueError, match="delta in"):
        spent(1.0, 0.1, 10, 0.0)
    with pytest.raises(ValueError, match=r"classes counted with noise 0\.5; raise epsilon"):
        noise_for(1.0, 1e-5, 0.1, 10, counted=0.5)
