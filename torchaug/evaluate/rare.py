"""How well a probability finds a rare class: average precision, recall at few false alarms, F1 and the Brier score."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RareScores(NamedTuple):
    """How good probabilities of a rare class are on a test set; all in [0, 1]."""

    average_precision: float
    recall: float
    f1: float
    brier: float


def rare_scores(probability: Tensor, rare: Tensor, *, threshold: float = 0.5, false_alarms: float = 0.05) -> RareScores:
    """The scores of probabilities (N,) for rows that are of the rare class or not, (N,) bool.

    - average precision: the sum over recalls of (R_k - R_k-1) P_k, thresholds falling; rows of equal probability count
      together, as scikit-learn has it.
    - recall: the largest at which at most `false_alarms` of the other rows are called rare.
    - F1: of rows with a probability of at least `threshold`.
    - Brier score: the mean of (probability - truth) squared; less is better.

    Raises:
        ValueError: shapes that differ, or a test set that lacks one of the two.

    >>> rare_scores(torch.tensor([0.9, 0.4, 0.1]), torch.tensor([True, False, False])).average_precision
    1.0
    """
    if probability.shape != rare.shape or rare.ndim != 1 or not 0 < int(rare.sum()) < len(rare):
        raise ValueError(
            f"rare_scores: expected probabilities (N,) and truth (N,) with both kinds of rows, got "
            f"{tuple(probability.shape)} and {int(rare.sum())} rare of {tuple(rare.shape)}"
        )
    probability = probability.double()
    hits, alarms = _curve(probability, rare)
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    steps = torch.diff(recall, prepend=recall.new_zeros(1))
    fine = alarms / alarms[-1] <= false_alarms
    called = probability >= threshold
    found = (called & rare).sum()
    return RareScores(
        float((steps * precision).sum()),
        float(recall[fine].max()) if bool(fine.any()) else 0.0,
        float(2 * found / (called.sum() + rare.sum())),
        float((probability - rare.double()).square().mean()),
    )


def best_threshold(probability: Tensor, rare: Tensor) -> float:
    """The threshold of the largest F1 on these rows: to be found on training rows, never on the test set.

    >>> best_threshold(torch.tensor([0.25, 0.5, 0.125]), torch.tensor([False, True, False]))
    0.5
    """
    values = probability.double().unique().flip(0)
    hits, alarms = _curve(probability.double(), rare)
    return float(values[(2 * hits / (hits + alarms + hits[-1])).argmax()])


def _curve(probability: Tensor, rare: Tensor) -> tuple[Tensor, Tensor]:
    """Rare and other rows at or above each different probability, the highest first, float64."""
    _, place = probability.unique(return_inverse=True)
    size = int(place.max()) + 1
    counts = (place[chosen].bincount(minlength=size).flip(0).cumsum(0).double() for chosen in (rare, ~rare))
    hits, alarms = counts
    return hits, alarms
