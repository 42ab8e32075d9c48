from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from torchaug.evaluate.utility import (
    SmallCNN,
    confusion,
    mean_interval,
    paired_difference,
    score_classifier,
    scores,
    student_quantile,
    train_classifier,
)
from torchaug.models.networks import seeded_weights


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = (list(column) for column in zip(*pairs, strict=True))
    rare = [labels[0]]
    found = scores(confusion(torch.tensor(predicted), torch.tensor(labels), 4), rare)
    assert found.accuracy == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(
        sklearn.metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    )
    recall = sklearn.metrics.recall_score(labels, predicted, labels=rare, average="macro", zero_division=0)
    assert found.rare_recall == pytest.approx(recall)


def test_confusion_has_the_true_class_in_its_rows() -> None:
    labels, predicted = np.array([0, 1, 1, 2, 2, 2]), np.array([1, 1, 0, 2, 0, 2])
    found = confusion(torch.tensor(predicted), torch.tensor(labels), 3)
    np.testing.assert_array_equal(found.numpy(), sklearn.metrics.confusion_matrix(labels, predicted))


def test_scores_refuse_what_cannot_be_scored() -> None:
    counts = confusion(torch.tensor([0, 1]), torch.tensor([0, 1]), 3)
    with pytest.raises(ValueError, match=r"rare class needs test samples, got none of classes \[2\]"):
        scores(counts, rare=[1, 2])
    with pytest.raises(ValueError, match="at least one test sample"):
        scores(torch.zeros(2, 2, dtype=torch.int64), rare=[0])
    with pytest.raises(ValueError, match="classes must be 0 to 1, got 0 to 2"):
        confusion(torch.tensor([2]), torch.tensor([0]), 2)
    with pytest.raises(ValueError, match=r"must be \(N,\), got \(2,\) and \(1,\)"):
        confusion(torch.tensor([0, 0]), torch.tensor([0]), 2)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30, 101])
def test_student_quantiles_are_those_of_scipy(freedom: int) -> None:
    for probability in (0.5, 0.6, 0.9, 0.975, 0.9995):
        expected = scipy.stats.t.ppf(probability, freedom)
        assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_interval_is_that_of_scipy() -> None:
    values = [0.81, 0.84, 0.79, 0.9, 0.86]
    low, high = scipy.stats.t.interval(0.95, 4, loc=np.mean(values), scale=scipy.stats.sem(values))
    found = mean_interval(values)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    inside = [
        found.low <= 0 <= found.high for found in (mean_interval(rng.normal(size=4).tolist()) for _ in range(2000))
    ]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_one_run_has_no_interval_and_proves_nothing() -> None:
    assert math.isnan(mean_interval([0.8]).low)
    assert paired_difference([0.9], [0.1])[1] == "no measurable difference"
    with pytest.raises(ValueError, match="at least one value"):
        mean_interval([])


def test_two_runs_prove_nothing_however_well_they_agree() -> None:
    for two in ([0.25, 0.25], [0.75, 0.75]):
        interval, verdict = paired_difference(two, [0.5, 0.5])
        assert interval.low == interval.high == two[0] - 0.5
        assert verdict == "no measurable difference"
        assert paired_difference([*two, two[0]], [0.5] * 3)[1] != "no measurable difference"


def test_verdicts_say_helped_hurt_or_nothing() -> None:
    base = [0.8, 0.82, 0.78, 0.81]
    better, worse = [v + 0.05 + 0.01 * i for i, v in enumerate(base)], [v - 0.05 for v in base]
    mixed = [v + d for v, d in zip(base, (0.1, -0.1, 0.08, -0.09), strict=True)]
    assert paired_difference(better, base)[1] == "helped"
    assert paired_difference(worse, base)[1] == "hurt"
    assert paired_difference(mixed, base)[1] == "no measurable difference"
    with pytest.raises(ValueError, match="one baseline a value, got 4 and 3"):
        paired_difference(base, base[:3])


def test_pairing_finds_what_the_spread_between_seeds_hides() -> None:
    base = [0.5, 0.7, 0.9]
    better = [0.52, 0.721, 0.919]
    assert mean_interval(better).low < mean_interval(base).high
    assert paired_difference(better, base)[1] == "helped"


def halves(count: int) -> tuple[Tensor, Tensor]:
    """Images that are brighter on the left (class 0) or on the right (class 1)."""
    generator = torch.Generator().manual_seed(count)
    labels = torch.randint(0, 2, (count,), generator=generator)
    images = 0.5 * torch.rand(count, 1, 8, 8, generator=generator)
    images[labels == 0, :, :, :4] += 0.5
    images[labels == 1, :, :, 4:] += 0.5
    return images, labels


def test_a_classifier_learns_in_exactly_so_many_steps() -> None:
    with seeded_weights(0):
        model = SmallCNN(1, 2, width=8)
    counter = itertools.count(2)
    assert train_classifier(model, (halves(i) for i in counter), 30) is model
    assert next(counter) == 32
    assert not model.training
    images, labels = halves(200)
    assert score_classifier(model, images, labels, [1], 2, batch_size=64).accuracy > 0.95


def test_class_weights_move_the_decision() -> None:
    recalls = []
    for weights in (None, torch.tensor([0.02, 1.0])):
        with seeded_weights(0):
            model = SmallCNN(1, 2, width=8)
        noise = [(torch.rand(32, 1, 8, 8), (torch.arange(32) % 4 == 0).long()) for _ in range(20)]
        train_classifier(model, noise, 20, class_weights=weights)
        recalls.append(score_classifier(model, torch.rand(50, 1, 8, 8), torch.ones(50, dtype=torch.int64), [1], 2)[2])
    assert recalls == [pytest.approx(0, abs=0.2), pytest.approx(1, abs=0.2)]


def test_too_few_batches_are_an_error_and_not_a_shorter_training() -> None:
    with pytest.raises(ValueError, match="expected 5 batches, got 3"):
        train_classifier(SmallCNN(1, 2), [halves(8)] * 3, 5)


@pytest.mark.parametrize("shape", [(3, 13, 20), (1, 8, 8), (2, 64, 32)])
def test_the_classifier_takes_images_of_any_size(shape: tuple[int, int, int]) -> None:
    assert SmallCNN(shape[0], 7)(torch.rand(2, *shape)).shape == (2, 7)
