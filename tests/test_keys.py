"""Keys: distributions, independence, and agreement with an independent splitmix64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from torchaug.keys import (
    beta_quantiles,
    choice,
    fold_in,
    fresh_keys,
    hash_int,
    integers,
    log_uniform,
    noise,
    normal,
    permutation,
    quantile,
    sample_keys,
    uniforms,
)


def many(count: int = 100_000, columns: int = 1) -> torch.Tensor:
    return uniforms(sample_keys(torch.arange(count), seed=1), columns)


def splitmix64(state: int, draws: int) -> list[int]:
    """The generator of the paper, in Python's whole numbers."""
    out = []
    for _ in range(draws):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        out.append(z ^ (z >> 31))
    return out


@given(key=st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=50, deadline=None)
def test_uniforms_are_the_draws_of_splitmix64(key: int) -> None:
    drawn = uniforms(torch.tensor([key]), 5)[0].tolist()
    assert drawn == [(z >> 40) / 2**24 for z in splitmix64(key, 5)]


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 1000), n=st.integers(1, 50), k=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_a_key_depends_on_its_own_sample_alone(seed: int, epoch: int, n: int, k: int) -> None:
    ids = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    keys = sample_keys(ids, seed=seed, epoch=epoch)
    for i in range(n):
        assert torch.equal(keys[i : i + 1], sample_keys(ids[i : i + 1], seed=seed, epoch=epoch))
    assert torch.equal(uniforms(keys, k), uniforms(keys, k + 3)[:, :k])


def test_keys_differ_between_seeds_epochs_and_ids() -> None:
    keys = torch.cat([sample_keys(torch.arange(2000), seed=s, epoch=e) for s in range(5) for e in range(5)])
    assert len(keys.unique()) == len(keys)
    assert hash_int(0, 1) != hash_int(1, 0)


@pytest.mark.parametrize("column", [0, 1, 7])
def test_uniforms_are_uniform(column: int) -> None:
    drawn = many(columns=8)[:, column].numpy()
    assert stats.kstest(drawn, "uniform").pvalue > 1e-4
    assert 0 <= drawn.min() <= drawn.max() < 1


def test_columns_and_neighbouring_samples_are_uncorrelated() -> None:
    u = many(50_000, 6)
    table = torch.cat([u[1:], u[:-1]], 1)
    limit = 5 / math.sqrt(len(table))
    assert torch.corrcoef(table.T).fill_diagonal_(0).abs().max() < limit
    epochs = torch.stack([uniforms(sample_keys(torch.arange(50_000), epoch=e), 1)[:, 0] for e in range(6)])
    assert torch.corrcoef(epochs).fill_diagonal_(0).abs().max() < limit


def test_folded_keys_are_independent() -> None:
    keys = sample_keys(torch.arange(50_000))
    views = torch.stack([uniforms(fold_in(keys, view), 1)[:, 0] for view in range(4)])
    assert torch.corrcoef(views).fill_diagonal_(0).abs().max() < 5 / math.sqrt(50_000)
    per_sample = fold_in(keys, torch.arange(50_000))
    assert len(per_sample.unique()) == 50_000


def test_fresh_keys_draw_once_from_the_default_or_the_given_generator() -> None:
    torch.manual_seed(3)
    first = fresh_keys(4)
    torch.manual_seed(3)
    assert torch.equal(first, fresh_keys(4))
    state = torch.get_rng_state()
    given_one = fresh_keys(4, generator=torch.Generator().manual_seed(5))
    assert torch.equal(given_one, fresh_keys(4, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(torch.get_rng_state(), state)


def test_normal_and_log_uniform_follow_their_laws() -> None:
    u = many()[:, 0]
    assert stats.kstest(normal(u).numpy(), "norm").pvalue > 1e-4
    assert torch.isfinite(normal(torch.tensor([0.0, 1 - 2**-24]))).all()
    assert (
        stats.kstest(log_uniform(u, 0.5, 8).log().numpy(), "uniform", args=(math.log(0.5), math.log(16))).pvalue > 1e-4
    )


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.1), (0.2, 0.2), (1, 1), (0.4, 3), (2, 5), (8, 8), (100, 100)])
def test_beta_quantiles_equal_scipys(a: float, b: float) -> None:
    u = torch.linspace(0.001, 0.999, 1001)
    ours = quantile(u, beta_quantiles(a, b)).numpy()
    assert np.abs(ours - stats.beta.ppf(u.numpy(), a, b)).max() < 1e-3


def test_whole_numbers_choices_and_orders_are_as_likely_as_asked() -> None:
    u = many(60_000, 4)
    counts = torch.bincount(integers(u[:, 0], 2, 8))[2:]
    assert len(counts) == 6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4
    weights = [1, 0, 3, 2]
    counts = torch.bincount(choice(u[:, 1], weights), minlength=4)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3]].numpy(), 60_000 * np.array([1, 3, 2]) / 6).pvalue > 1e-4
    _, counts = (permutation(u) @ torch.tensor([1, 4, 16, 64])).unique(return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4
    assert integers(torch.tensor([1 - 2**-24]), 0, 2**30).item() <= 2**30 - 1


def test_dense_noise_is_normal_and_its_own_for_each_sample() -> None:
    field = noise(many(32, 2), (3, 48, 48))
    assert stats.kstest(field.flatten().numpy(), "norm").pvalue > 1e-4
    flat = field.flatten(1)
    assert torch.corrcoef(flat).fill_diagonal_(0).abs().max() < 0.08
    assert torch.corrcoef(torch.stack([flat[:, 1:].flatten(), flat[:, :-1].flatten()]))[0, 1].abs() < 0.01
    assert torch.equal(field[5:6], noise(many(32, 2)[5:6], (3, 48, 48)))


def test_bad_arguments_say_what_was_expected() -> None:
    with pytest.raises(TypeError, match=r"sample_keys: ids must be whole numbers of shape \(B,\), got torch.float32"):
        sample_keys(torch.rand(3))
    with pytest.raises(ValueError, match="beta_quantiles: a and b must be above 0"):
        beta_quantiles(0, 1)


def test_hashes_are_the_same_where_numpy_cannot_take_the_keys() -> None:
    keys = sample_keys(torch.arange(6))
    found = {"uniforms": [uniforms(keys, 3)], "folded": [fold_in(keys, 5)]}

    class Subclass(torch.Tensor):
        pass

    def inside(x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        return x.sum(), (uniforms(keys, 3), fold_in(keys, 5))

    for numbers, folded in (
        (uniforms(keys.as_subclass(Subclass), 3), fold_in(keys.as_subclass(Subclass), 5)),
        torch.func.grad(inside, has_aux=True)(torch.ones(2))[1],
        torch.func.vmap(lambda part: (uniforms(part, 3), fold_in(part, 5)))(keys.view(2, 3)),
        torch.compile(lambda keys: (uniforms(keys, 3), fold_in(keys, 5)), fullgraph=True, backend="eager")(keys),
    ):
        found["uniforms"].append(numbers.reshape(6, 3).as_subclass(torch.Tensor))
        found["folded"].append(folded.reshape(6).as_subclass(torch.Tensor))
    for values in found.values():
        assert len(values) == 5
        assert all(torch.equal(value, values[0]) for value in values)
