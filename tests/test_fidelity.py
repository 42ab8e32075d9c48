from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchaug.evaluate import neighbours
from torchaug.evaluate.fidelity import (
    c2st,
    c2st_forest,
    density_and_coverage,
    diversity,
    expected_coverage,
    nearest_neighbour_ratio,
    precision_and_recall,
)
from torchaug.evaluate.neighbours import nearest, radii


def normal(count: int, width: int = 4, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def pair(a: Tensor, b: Tensor) -> float:
    return math.dist(a.tolist(), b.tolist())


def kth_other(rows: Tensor, i: int, k: int) -> float:
    return sorted(pair(rows[i], rows[j]) for j in range(len(rows)) if j != i)[k - 1]


# Against loops written down from the definitions

sizes = st.tuples(st.integers(7, 14), st.integers(7, 14), st.integers(1, 5), st.integers(0, 10**6))


@settings(max_examples=25, deadline=None)
@given(sizes)
def test_density_and_coverage_are_those_of_the_definition(size: tuple[int, int, int, int]) -> None:
    n, m, k, seed = size
    real, made = normal(n, 2, seed), normal(m, 2, seed + 1)
    balls = [kth_other(real, i, k) for i in range(n)]
    within = [[pair(y, real[i]) < balls[i] for i in range(n)] for y in made]
    found = density_and_coverage(real, made, k)
    assert found.density == pytest.approx(sum(map(sum, within)) / (k * m))
    assert found.coverage == pytest.approx(sum(any(row[i] for row in within) for i in range(n)) / n)


@settings(max_examples=25, deadline=None)
@given(sizes)
def test_precision_and_recall_are_those_of_the_definition(size: tuple[int, int, int, int]) -> None:
    n, m, k, seed = size
    real, made = normal(n, 2, seed), normal(m, 2, seed + 1)

    def share(queries: Tensor, points: Tensor) -> float:
        balls = [kth_other(points, i, k) for i in range(len(points))]
        return sum(any(pair(q, p) <= b for p, b in zip(points, balls, strict=True)) for q in queries) / len(queries)

    assert precision_and_recall(real, made, k) == pytest.approx((share(made, real), share(real, made)))


@settings(max_examples=25, deadline=None)
@given(sizes)
def test_c2st_is_the_leave_one_out_accuracy_of_nearest_neighbours(size: tuple[int, int, int, int]) -> None:
    n, m, _, seed = size
    real, made = normal(n, 2, seed), normal(m, 2, seed + 1)
    both = [*real, *made]
    hits: dict[bool, list[bool]] = {False: [], True: []}
    for i, row in enumerate(both):
        best = min((j for j in range(n + m) if j != i), key=lambda j: pair(row, both[j]))
        hits[i >= n].append((best >= n) == (i >= n))
    assert c2st(real, made) == pytest.approx((np.mean(hits[False]) + np.mean(hits[True])) / 2)


def test_with_more_neighbours_it_is_the_share_from_the_own_set() -> None:
    from sklearn.neighbors import NearestNeighbors

    real, made = normal(40), normal(40, seed=1, shift=0.6)
    rows, labels = torch.cat([real, made]).numpy(), np.repeat([0, 1], 40)
    found = NearestNeighbors(n_neighbors=5).fit(rows).kneighbors(return_distance=False)
    assert c2st(real, made, k=5) == pytest.approx((labels[found] == labels[:, None]).mean())


@settings(max_examples=25, deadline=None)
@given(sizes)
def test_the_ratio_is_one_of_two_medians(size: tuple[int, int, int, int]) -> None:
    n, m, _, seed = size
    train, made, held = normal(n, 2, seed), normal(m, 2, seed + 1), normal(9, 2, seed + 2)
    medians = [np.median([min(pair(row, t) for t in train) for row in rows]) for rows in (made, held)]
    assert nearest_neighbour_ratio(train, made, held) == pytest.approx(medians[0] / medians[1])


def test_diversity_is_the_mean_over_pairs() -> None:
    from scipy.spatial.distance import pdist

    rows = normal(30)
    assert diversity(rows) == pytest.approx(pdist(rows.numpy()).mean())
    assert diversity(torch.ones(5, 3)) == 0


# Known values


def test_sets_of_one_distribution_score_as_their_closed_forms_say() -> None:
    density, coverage = np.mean(
        [density_and_coverage(normal(200, 3, 2 * s), normal(200, 3, 2 * s + 1)) for s in range(30)], axis=0
    )
    assert density == pytest.approx(1.0, abs=0.03)
    assert coverage == pytest.approx(expected_coverage(200, 200), abs=0.006)
    accuracies = [c2st(normal(200, 3, 2 * s), normal(200, 3, 2 * s + 1)) for s in range(30)]
    assert np.mean(accuracies) == pytest.approx(398 / (2 * 399), abs=0.015)
    ratios = [
        nearest_neighbour_ratio(normal(200, 3, s), normal(200, 3, s + 50), normal(200, 3, s + 99)) for s in range(30)
    ]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.04)


def test_the_expected_coverage_is_the_published_formula_and_grows_with_the_samples() -> None:
    assert expected_coverage(400, 400) == pytest.approx(0.9693, abs=5e-5)
    by_hand = 1 - (9 / 19) * (8 / 18)
    assert expected_coverage(10, 10, k=2) == pytest.approx(by_hand)
    assert expected_coverage(10, 10_000) > 0.9999
    with pytest.raises(ValueError, match=r"more than k = 5 real rows and a sample, got 5, 10"):
        expected_coverage(5, 10)


def test_sets_that_lie_apart() -> None:
    real, made = normal(30), normal(40, seed=1, shift=1000.0)
    assert c2st(real, made) == c2st(real, made, k=3) == 1.0
    assert density_and_coverage(real, made) == (0.0, 0.0)
    assert precision_and_recall(real, made) == (0.0, 0.0)
    assert nearest_neighbour_ratio(real, made, normal(30, seed=2)) > 100


def test_copies_of_the_real_rows() -> None:
    real = normal(50)
    assert c2st(real, real) == 0.0
    assert density_and_coverage(real, real).coverage == 1.0
    assert density_and_coverage(real, real).density == pytest.approx(
        1.0
    )  # itself, and k - 1 that are nearer than the k-th
    assert precision_and_recall(real, real) == (1.0, 1.0)
    assert nearest_neighbour_ratio(real, real[:20], normal(20, seed=1)) == 0.0
    near = real + 1e-4 * normal(50, seed=3)
    assert nearest_neighbour_ratio(real, near, normal(50, seed=1)) < 0.01


def test_copies_are_at_distance_zero_in_float32_far_from_the_origin() -> None:
    rows = (normal(100, 64) + 1000).float()
    distance, number = nearest(rows, rows)
    assert distance.max() == 0
    assert torch.equal(number, torch.arange(100))


def test_a_generator_that_makes_one_sample_covers_nothing() -> None:
    real = normal(100)
    middle = real.norm(dim=1).argmin()
    collapsed = real[middle] + 1e-3 * normal(100, seed=1)
    density, coverage = density_and_coverage(real, collapsed)
    assert density > 0.9
    assert coverage < 0.2


def test_the_ratio_where_held_out_rows_are_copies_themselves() -> None:
    train = torch.tensor([[0.0], [1.0]])
    assert nearest_neighbour_ratio(train, train, train) == 1.0
    assert nearest_neighbour_ratio(train, train + 0.5, train) == math.inf


def test_rows_at_equal_distance_share_a_vote() -> None:
    one = torch.zeros(10, 2)
    assert c2st(one, one) == pytest.approx(9 / 19)  # 9 of the 19 others are of the own set
    real, made = torch.tensor([[0.0], [5.0]]), torch.tensor([[0.0], [0.0], [5.0]])
    # each real row has samples alone at its place; a sample at 0 has a sample (weight 1/3) and a real row (weight 1/2)
    assert c2st(real, made) == pytest.approx((0 + (0.4 + 0.4 + 0) / 3) / 2)
    grid = normal(300, 2).round()
    assert c2st(grid, normal(300, 2, seed=1).round()) == pytest.approx(0.5, abs=0.03)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 20.0), st.integers(0, 5))
def test_scores_do_not_change_with_order_scale_place_or_unequal_sizes(seed: int, scale: float, shift: int) -> None:
    real, made, held = normal(20, 3, seed), normal(30, 3, seed + 1), normal(15, 3, seed + 2)

    def scores(real: Tensor, made: Tensor, held: Tensor) -> list[float]:
        found = [c2st(real, made), nearest_neighbour_ratio(real, made, held)]
        return [*found, *density_and_coverage(real, made), *precision_and_recall(real, made)]

    moved = [rows.flip(0) * scale + shift for rows in (real, made, held)]
    assert scores(*moved) == pytest.approx(scores(real, made, held))


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = normal(23), normal(31, seed=1)

    def scores() -> list[float]:
        found = [c2st(real, made, 3), nearest_neighbour_ratio(real, made, made), diversity(real)]
        return [*found, *density_and_coverage(real, made), *precision_and_recall(real, made)]

    whole = scores()
    monkeypatch.setattr(neighbours, "BLOCK", 70)
    assert scores() == pytest.approx(whole, rel=1e-12)


def test_inputs_and_global_random_state_are_left_alone() -> None:
    real, made = normal(20), normal(20, seed=1)
    before, state = (real.clone(), made.clone()), torch.get_rng_state()
    (
        c2st(real, made),
        density_and_coverage(real, made),
        precision_and_recall(real, made),
        c2st_forest(real, made, trees=2),
    )
    assert torch.equal(real, before[0])
    assert torch.equal(made, before[1])
    assert torch.equal(torch.get_rng_state(), state)


# The forest


def test_the_forest_sees_what_is_there_and_nothing_else() -> None:
    real = normal(150)
    assert c2st_forest(real, normal(150, seed=1), trees=50) == pytest.approx(0.5, abs=0.12)
    assert c2st_forest(real, normal(150, seed=1, shift=3.0), trees=50) > 0.98
    off_grid = normal(150, seed=1) + 0.01
    assert c2st_forest(real.round(), off_grid, trees=50) > 0.98  # no real row has such values
    assert c2st_forest(real.round(), off_grid.round(), trees=50) == pytest.approx(0.5, abs=0.12)


def test_the_forest_is_the_same_for_the_same_seed() -> None:
    real, made = normal(40), normal(40, seed=1, shift=0.5)
    assert c2st_forest(real, made, seed=3, trees=9) == c2st_forest(real, made, seed=3, trees=9)
    assert c2st_forest(real, made, seed=3, trees=9) != c2st_forest(real, made, seed=4, trees=9)


def test_without_scikit_learn_the_forest_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ImportError, match=r"needs scikit-learn; pip install 'torchaug-synth\[demo\]'"):
        c2st_forest(normal(9), normal(9))


# What is refused


def test_what_is_not_features_is_refused_and_named() -> None:
    real = normal(10)
    with pytest.raises(
        ValueError, match=r"density_and_coverage: synthetic must be \(N, 4\) floating point .* got \(10, 3\)"
    ):
        density_and_coverage(real, normal(10, 3))
    with pytest.raises(ValueError, match=r"c2st: real must be .*got \(2, 1, 8, 8\) float32; flatten images first"):
        c2st(torch.rand(2, 1, 8, 8), torch.rand(2, 64))
    with pytest.raises(ValueError, match="int64"):
        c2st(torch.arange(8)[:, None], torch.arange(8)[:, None])
    with pytest.raises(ValueError, match=r"synthetic must be .* N of at least 1, got \(0, 4\)"):
        precision_and_recall(real, real[:0])
    spoiled = real.clone()
    spoiled[3, 1] = torch.nan
    with pytest.raises(ValueError, match="holdout must be finite, got 1 of 10 rows that are not"):
        nearest_neighbour_ratio(real, real, spoiled)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1 and below the number of points, got 5 and 5 points"):
        density_and_coverage(normal(5), normal(9))
    with pytest.raises(ValueError, match="below the number of rows, got 2 and 2 rows"):
        c2st(normal(1), normal(1), k=2)
    with pytest.raises(ValueError, match="got 0 and 3 points"):
        radii(normal(3), 0)
    with pytest.raises(ValueError, match="at least 5 rows of each, one a fold, got 10 real and 4 synthetic"):
        c2st_forest(normal(10), normal(4))
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        diversity(normal(1))
