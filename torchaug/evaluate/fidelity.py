"""How good samples are, by distances between features of real and of synthetic samples: (N, D) on any device.

Features are what a distance means something on: flattened pixels of small images, encoded rows of a table, log-mels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.evaluate.neighbours import blocks, blocks_within, check_features, nearest, radii


def c2st(real: Tensor, synthetic: Tensor, k: int = 1) -> float:
    """Can nearest neighbours tell real from synthetic? Their leave-one-out accuracy, in [0, 1].

    About 0.5: they cannot. 1: always, the two sets lie apart. Well below 0.5: samples lie next to real rows, as copies of
    them do. Each row is judged by the nearest of all others (Lopez-Paz and Oquab, arXiv 1610.06545); with k above 1 by
    the share of its k nearest that come from its own set (Schilling's test). Neighbours weigh the inverse size of their
    set and both sets count by halves, so that unequal sizes change little; neighbours at equal distance share a vote, since tables and
    grey levels have many.

    Args:
        real: (N, D), which the generator has not seen.
        synthetic: (M, D).
        k: neighbours that judge.

    Raises:
        ValueError: features of another form, or not more than k rows of both together.

    >>> c2st(torch.randn(9, 2), torch.randn(9, 2) + 100)
    1.0
    """
    check_features("c2st", real=real, synthetic=synthetic)
    both = torch.cat([real, synthetic])
    if not 1 <= k < len(both):
        raise ValueError(f"c2st: k must be at least 1 and below the number of rows, got {k} and {len(both)} rows")
    made = torch.arange(len(both), device=both.device) >= len(real)
    weights = torch.where(made, 1 / len(synthetic), 1 / len(real))
    own = torch.cat([_own_share(d, k, made[i : i + len(d)], made, weights) for i, d in blocks_within(both)])
    return float((own[~made].mean() + own[made].mean()) / 2)


def _own_share(distances: Tensor, k: int, mine: Tensor, made: Tensor, weights: Tensor) -> Tensor:
    """The share of votes (b,) that the k nearest of each row cast for the set that the row is from."""
    radius = distances.kthvalue(k, 1, keepdim=True).values
    nearer, tied = distances < radius, distances == radius
    places = (k - nearer.sum(1, keepdim=True)) / tied.sum(1, keepdim=True)
    votes = (nearer + tied * places) * weights
    return (votes * (made == mine[:, None])).sum(1) / votes.sum(1)


def nearest_neighbour_ratio(train: Tensor, synthetic: Tensor, holdout: Tensor) -> float:
    """How close samples come to what was trained on: median distance of a sample to its nearest training row, divided

    by that of a held-out row. About 1 is good, below 0.5 is copying, far above 1 is off the data. It is a tripwire, and
    no proof of privacy.

    Args:
        train: (N, D), which the generator has seen.
        synthetic: (M, D).
        holdout: (H, D) real ones which it has not seen.

    Returns:
        The ratio; where the held-out rows are copies of training rows themselves, 1 for samples that are so too and
        infinity for others.

    Raises:
        ValueError: features of another form.

    >>> train = torch.arange(8.0)[:, None]
    >>> nearest_neighbour_ratio(train, train + 0.1, train + 0.4) < 0.5
    True
    """
    check_features("nearest_neighbour_ratio", train=train, synthetic=synthetic, holdout=holdout)
    made, usual = (float(nearest(rows, train)[0].quantile(0.5)) for rows in (synthetic, holdout))
    if usual == 0:
        return 1.0 if made == 0 else math.inf
    return made / usual


class DensityCoverage(NamedTuple):
    """density: at least 0, 1 where the sets are alike; coverage: in [0, 1], `expected_coverage` where they are."""

    density: float
    coverage: float


def density_and_coverage(real: Tensor, synthetic: Tensor, k: int = 5) -> DensityCoverage:
    """Fidelity and diversity: how thick samples lie around real ones, and how many real ones have a sample nearby.

    Around each real row lies a ball that just reaches its k-th nearest real row. Density is how many balls a sample
    lies in, divided by k; coverage is the share of balls with a sample in them. By Naeem et al., arXiv 2002.09797.

    Args:
        real: (N, D), N above k.
        synthetic: (M, D).
        k: neighbours that give a ball its size.

    Raises:
        ValueError: features of another form, or not more than k real rows.

    >>> density_and_coverage(torch.randn(20, 2), torch.randn(20, 2) + 100)
    DensityCoverage(density=0.0, coverage=0.0)
    """
    check_features("density_and_coverage", real=real, synthetic=synthetic)
    size = radii(real, k)
    inside, covered = 0, torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for _, distances in blocks(synthetic, real):
        within = distances < size
        inside += int(within.sum())
        covered |= within.any(0)
    return DensityCoverage(inside / (k * len(synthetic)), float(covered.double().mean()))


def expected_coverage(real: int, synthetic: int, k: int = 5) -> float:
    """The coverage of samples from the very distribution of the real ones: 1 only for many more samples than rows.

    >>> round(expected_coverage(400, 400), 4)
    0.9693
    """
    if not 1 <= k < real or synthetic < 1:
        raise ValueError(
            f"expected_coverage: expected more than k = {k} real rows and a sample, got {real}, {synthetic}"
        )
    return 1 - math.prod((real - i) / (synthetic + real - i) for i in range(1, k + 1))


class PrecisionRecall(NamedTuple):
    """precision: share of samples among the real ones; recall: share of real ones among the samples; in [0, 1]."""

    precision: float
    recall: float


def precision_and_recall(real: Tensor, synthetic: Tensor, k: int = 3) -> PrecisionRecall:
    """The share of samples that lie in a ball around a real row, and of real rows in a ball around a sample.

    Each ball reaches its k-th nearest row of the same set, which it holds. By Kynkäänniemi et al., arXiv 1904.06991. One outlier makes a ball
    that takes in everything: density and coverage stand that better.

    Args:
        real: (N, D), N above k.
        synthetic: (M, D), M above k.
        k: neighbours that give a ball its size.

    Raises:
        ValueError: features of another form, or not more than k rows of either.

    >>> precision_and_recall(torch.randn(9, 2), torch.randn(9, 2) + 100)
    PrecisionRecall(precision=0.0, recall=0.0)
    """
    check_features("precision_and_recall", real=real, synthetic=synthetic)
    return PrecisionRecall(_share_within(synthetic, real, k), _share_within(real, synthetic, k))


def _share_within(queries: Tensor, points: Tensor, k: int) -> float:
    size = radii(points, k)
    inside = [(distances <= size).any(1) for _, distances in blocks(queries, points)]
    return float(torch.cat(inside).double().mean())


def diversity(rows: Tensor) -> float:
    """The mean distance of two different rows of a set (N, D), N of at least 2: 0 where all are the same.

    >>> diversity(torch.tensor([[0.0], [1.0], [2.0]])) == 4 / 3
    True
    """
    check_features("diversity", rows=rows)
    if len(rows) < 2:
        raise ValueError("diversity: expected at least 2 rows, got 1")
    return sum(float(d.double().sum()) for _, d in blocks(rows, rows)) / (len(rows) * (len(rows) - 1))


def c2st_forest(real: Tensor, synthetic: Tensor, *, seed: int = 0, folds: int = 5, trees: int = 200) -> float:
    """Can a random forest tell real from synthetic? The area under its ROC curve, about 0.5 where it cannot.

    It is sharper than `c2st`: it sees single columns, and values that no real row has. So round samples to the grid of the data
    first, as `TableDataset` and uint8 images are. Each row is judged by a forest that was trained without it (mean
    over folds).

    Args:
        real: (N, D), which the generator has not seen; N at least `folds`.
        synthetic: (M, D), M at least `folds`.
        seed: of the folds and the forests.
        folds: parts, each judged once.
        trees: of a forest.

    Raises:
        ImportError: scikit-learn is not there.
        ValueError: features of another form, or too few.

    >>> c2st_forest(torch.zeros(9, 1), torch.ones(9, 1), folds=3, trees=5)
    1.0
    """
    try:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import StratifiedKFold, cross_val_score
    except ImportError as error:
        raise ImportError("c2st_forest needs scikit-learn; pip install 'torchaug-synth[demo]'") from error
    check_features("c2st_forest", real=real, synthetic=synthetic)
    if min(len(real), len(synthetic)) < folds or folds < 2:
        raise ValueError(
            f"c2st_forest: expected at least {max(folds, 2)} rows of each, one a fold, got {len(real)} real and "
            f"{len(synthetic)} synthetic"
        )
    rows = torch.cat([real, synthetic]).cpu().numpy()
    made = (torch.arange(len(rows)) >= len(real)).numpy()
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    forest = RandomForestClassifier(trees, random_state=seed)
    return float(cross_val_score(forest, rows, made, scoring="roc_auc", cv=split, error_score="raise").mean())
