"""Copies of training rows are told from fresh ones, and nothing else is, whatever the columns are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from torchaug.data import Column, TableDataset
from torchaug.models.table_codec import TableCodec
from torchaug.training.novelty import Distance, Novelty, distances


def table(count: int, numbers: int, categories: int = 0, seed: int = 0, skewed: bool = False) -> TableDataset:
    random = np.random.default_rng(seed)
    drawn = random.normal(size=(count, numbers))
    values = torch.from_numpy(np.exp(1.5 * drawn) if skewed else drawn)
    codes = torch.from_numpy(random.integers(3, size=(count, categories)))
    columns = [Column.of_numbers(f"x{place}", values[:, place].numpy()) for place in range(numbers)]
    columns += [Column(f"c{place}", "categorical", ("a", "b", "c")) for place in range(categories)]
    return TableDataset(values, codes, columns)


def novelty(train: TableDataset) -> Novelty:
    codec = TableCodec.fit(train)
    return Novelty(train, codec, codec.encode(train.numeric, train.categorical))


def of(measure: Novelty, numeric: Tensor, codes: Tensor) -> Distance:
    found = measure.of(numeric, codes)
    assert found is not None
    return found


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize(("numbers", "categories"), [(1, 0), (1, 1), (2, 0), (3, 2), (10, 0)])
def test_fresh_rows_of_the_same_kind_are_no_copies(numbers: int, categories: int, skewed: bool) -> None:
    for seed in range(6):
        rows = table(728, numbers, categories, seed, skewed)
        train, fresh = rows.subset(torch.arange(600)), rows.subset(torch.arange(600, 728))
        found = of(novelty(train), fresh.numeric, fresh.categorical)
        assert not found.copies(0.7)
        assert found.ratio > 0.7


@pytest.mark.parametrize("numbers", [1, 2, 6])
def test_what_a_codec_makes_of_noise_is_no_copy_of_a_table_without_ties(numbers: int) -> None:
    """The best that a generator could do, which lies between values that there are."""
    for seed in range(6):
        train = table(600, numbers, seed=seed)
        codec = TableCodec.fit(train)
        measure = Novelty(train, codec, codec.encode(train.numeric, train.categorical))
        noise = torch.randn(128, numbers, generator=torch.Generator().manual_seed(seed))
        assert not of(measure, *codec.decode(noise)).copies(0.7)


@pytest.mark.parametrize(("numbers", "categories"), [(1, 0), (1, 1), (2, 0), (3, 2), (10, 0)])
def test_copies_are_found_and_so_are_near_copies(numbers: int, categories: int) -> None:
    train = table(600, numbers, categories)
    measure = novelty(train)
    rows = torch.arange(0, 600, 4)
    exact = of(measure, train.numeric[rows], train.categorical[rows])
    assert exact.ratio == 0
    assert exact.copies(0.7)
    near = train.numeric[rows] * (1 + (1e-4 if numbers < 3 else 0.03))
    assert of(measure, near, train.categorical[rows]).copies(0.7)
    assert not of(measure, near, train.categorical[rows]).copies(0.0)


def test_the_ratio_is_that_of_the_medians_and_the_deviations_those_of_the_rank_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    train, fresh = table(60, 4), table(40, 4, seed=1)
    found = of(novelty(train), fresh.numeric, fresh.categorical)
    mean, spread = train.numeric.mean(0), train.numeric.std(0, correction=0)
    known, made = ((rows.numeric - mean) / spread for rows in (train, fresh))
    usual = [float((row - torch.cat([known[:n], known[n + 1 :]])).norm(dim=1).min()) for n, row in enumerate(known)]
    nearest = [float((row - known).norm(dim=1).min()) for row in made]

    def median(values: list[float]) -> float:
        return sorted(values)[(len(values) - 1) // 2]  # torch's, the lower of the two in the middle

    assert found.ratio == pytest.approx(median(nearest) / median(usual), rel=1e-4)
    test = stats.mannwhitneyu(usual, nearest, alternative="greater", method="asymptotic", use_continuity=False)
    assert found.deviations == pytest.approx(stats.norm.isf(test.pvalue), abs=1e-3)


def test_of_few_rows_a_low_ratio_is_chance() -> None:
    assert not Distance(0.5, 2.0).copies(0.7)
    assert Distance(0.5, 3.5).copies(0.7)
    assert not Distance(0.75, 9.0).copies(0.7)


def test_rows_that_are_there_more_than_once_tell_nothing() -> None:
    train = table(40, 2)
    twice = train.subset(torch.arange(80) % 40)
    assert novelty(twice).of(train.numeric, train.categorical) is None


def test_small_distances_are_not_lost() -> None:
    rows = torch.linspace(5, 6, 1000)[:, None]
    found = distances(rows, rows + 1e-5).amin(1)
    assert float(found.median()) == pytest.approx(1e-5, rel=0.1)
