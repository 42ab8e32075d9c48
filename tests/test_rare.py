"""Scores of a rare class are scikit-learn's, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from torchaug.evaluate.rare import best_threshold, rare_scores

ROWS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=40)


@given(ROWS)
def test_scores_are_those_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    probability, rare = torch.tensor([r[0] / 12 for r in rows], dtype=torch.float64), torch.tensor([r[1] for r in rows])
    assume(0 < int(rare.sum()) < len(rare))
    found, truth, values = rare_scores(probability, rare), rare.numpy(), probability.numpy()
    assert found.average_precision == pytest.approx(metrics.average_precision_score(truth, values))
    assert found.f1 == pytest.approx(metrics.f1_score(truth, values >= 0.5, zero_division=0))
    assert found.brier == pytest.approx(metrics.brier_score_loss(truth, values))
    alarms, recall, _ = metrics.roc_curve(truth, values, drop_intermediate=False)
    assert found.recall == pytest.approx(recall[alarms <= 0.05].max())


@given(ROWS)
def test_the_best_threshold_has_the_largest_f1_of_all(rows: list[tuple[int, bool]]) -> None:
    probability, rare = torch.tensor([r[0] / 12 for r in rows], dtype=torch.float64), torch.tensor([r[1] for r in rows])
    assume(bool(rare.any()))
    found = best_threshold(probability, rare)
    score = [metrics.f1_score(rare.numpy(), (probability >= t).numpy(), zero_division=0) for t in np.arange(13) / 12]
    assert metrics.f1_score(rare.numpy(), (probability >= found).numpy()) == pytest.approx(max(score))


@pytest.mark.parametrize("rare", [[True, True], [False, False]])
def test_a_test_set_without_both_kinds_is_refused(rare: list[bool]) -> None:
    with pytest.raises(ValueError, match=r"expected probabilities .* with both kinds of rows, got"):
        rare_scores(torch.tensor([0.1, 0.2]), torch.tensor(rare))
