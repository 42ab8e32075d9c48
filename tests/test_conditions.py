"""Training-by-sampling: which rows are drawn, how often, and that they are a function of the key."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from torchaug.keys import sample_keys
from torchaug.models import conditions
from torchaug.models.conditions import ConditionSampler, Drawn


def drawn(codes: torch.Tensor, levels: list[int], count: int, frequency: str = "log", seed: int = 0) -> Drawn:
    sampler = ConditionSampler(codes, levels, frequency=frequency)  # type: ignore[arg-type]
    return sampler.sample(sample_keys(torch.arange(count), seed=seed))


@given(data=st.data(), rows=st.integers(1, 40), seed=st.integers(0, 9))
def test_a_row_has_the_category_that_it_was_drawn_by(data: st.DataObject, rows: int, seed: int) -> None:
    levels = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    columns = [data.draw(st.lists(st.integers(0, top - 1), min_size=rows, max_size=rows)) for top in levels]
    codes = torch.tensor(columns).T
    row, column, category = drawn(codes, levels, 200, seed=seed)
    assert [each.dtype for each in (row, column, category)] == [torch.int64] * 3
    assert torch.equal(codes[row, column], category)


@pytest.mark.parametrize("frequency", ["log", "true"])
def test_columns_categories_and_rows_are_as_likely_as_they_should_be(frequency: str) -> None:
    codes = torch.zeros(60, 2, dtype=torch.int64)
    codes[:1, 0], codes[1:6, 0], codes[6:, 0] = 3, 1, 2  # 0 and 4 are of no row
    codes[:, 1] = torch.arange(60) % 3
    got = drawn(codes, [5, 3], 200_000, frequency)
    weight = math.log1p if frequency == "log" else float
    expected = {(0, 3): weight(1), (0, 1): weight(5), (0, 2): weight(54)}
    total = sum(expected.values())
    shares = {pair: value / total / 2 for pair, value in expected.items()} | {(1, each): 1 / 6 for each in range(3)}
    found = Counter(zip(got.column.tolist(), got.category.tolist(), strict=True))
    assert found.keys() == shares.keys()
    assert chisquare([found[pair] for pair in shares], [200_000 * share for share in shares.values()]).pvalue > 1e-3
    of_two = got.row[(got.column == 0) & (got.category == 2)].bincount(minlength=60)[6:].numpy()
    assert chisquare(of_two).pvalue > 1e-3


def test_a_draw_is_a_function_of_the_key() -> None:
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 7, (500, 3)))
    whole = drawn(codes, [7, 7, 7], 300)
    sampler = ConditionSampler(codes, [7, 7, 7])
    keys = sample_keys(torch.arange(300))
    order = torch.from_numpy(np.random.default_rng(1).permutation(300))
    for one, all_of_them in zip(sampler.sample(keys[order][:17]), whole, strict=True):
        assert torch.equal(one, all_of_them[order][:17])
    assert not torch.equal(drawn(codes, [7, 7, 7], 300, seed=1).row, whole.row)
    assert not sampler.state_dict()  # a checkpoint does not carry the table


def test_every_row_of_a_large_table_can_be_drawn() -> None:
    """24 bits would reach only each third of 50 million rows."""
    sampler = ConditionSampler(torch.zeros(1, 1, dtype=torch.int64), [1])
    sampler.counts, sampler.rows = torch.tensor([3 << 24]), torch.arange(3, dtype=torch.uint8).repeat(1 << 24)
    thirds = sampler.sample(sample_keys(torch.arange(3000))).row
    assert chisquare(thirds.bincount(minlength=3).numpy()).pvalue > 1e-3


def test_a_category_without_rows_is_not_drawn_at_the_ends_of_a_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.tensor([[1, 0], [1, 2]])  # the first column has no 0, the second no 1
    for u, wanted in (([0.0, 0, 0, 0], [0, 0, 1]), ([0.5, 0.5, 0, 0], [1, 1, 2]), ([0.5, 0, 0, 0], [0, 1, 0])):
        monkeypatch.setattr(conditions, "uniforms", lambda keys, count, u=u: torch.tensor([u]))
        assert [int(each) for each in ConditionSampler(codes, [2, 3]).sample(torch.zeros(1).long())] == wanted


def test_what_is_refused() -> None:
    codes = torch.zeros(3, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"of at least one row and column, and levels K numbers, got \(3, 0\) and 0"):
        ConditionSampler(codes[:, :0], [])
    with pytest.raises(ValueError, match="got \\(3, 1\\) and 2 levels"):
        ConditionSampler(codes, [1, 1])
    with pytest.raises(ValueError, match="column 0: labels must be in \\[0, 0\\)"):
        ConditionSampler(codes, [0])
    with pytest.raises(ValueError, match="must be 'log' or 'true', got 'sqrt'"):
        ConditionSampler(codes, [1], frequency="sqrt")  # type: ignore[arg-type]


@pytest.mark.gpu
def test_the_device_draws_what_the_cpu_draws_and_the_host_does_not_wait() -> None:
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 7, (500, 3)))
    sampler, keys = ConditionSampler(codes, [7, 7, 7]), sample_keys(torch.arange(300))
    wanted = sampler.sample(keys)
    sampler, keys = sampler.cuda(), keys.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = sampler.sample(keys)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(a.cpu(), b) for a, b in zip(got, wanted, strict=True))
