"""The ways to train a classifier of tables that a study compares, and one training of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchaug.data.tables import TableDataset
from torchaug.data.topup import TopUp, prior_correct, prior_shift
from torchaug.evaluate.rare import RareScores, best_threshold, rare_scores

FOLDS = 5
MOST_CODES = 255
"""Categories of a column that the trees take as such; columns with more are taken as numbers."""


@dataclass(frozen=True)
class TableArm:
    """One way to train the classifier.

    Args:
        name: in tables.
        text: a sentence for a reader.
        weighted: rows weigh by the inverse of their class's count.
        tuned: the threshold with the best F1 in cross-validation on the training rows, in place of a half.
        added: what the rare class is topped up with: "" (nothing), "oversampling" (copies), "smote" or "synthetic".
        top_up: up to what, see `TopUp`.
    """

    name: str
    text: str
    weighted: bool = False
    tuned: bool = False
    added: str = ""
    top_up: str = "balance"


TABLE_ARMS = (
    TableArm("real", "The training rows as they are."),
    TableArm("real + class weights", "Rare rows weigh more in the loss.", weighted=True),
    TableArm(
        "real + threshold tuning", "As real, called rare above the threshold that cross-validation chose.", tuned=True
    ),
    TableArm("real + oversampling", "Rare rows are repeated until there are as many as others.", added="oversampling"),
    TableArm(
        "real + SMOTE", "Rows between a rare row and its rare neighbours, until there are as many.", added="smote"
    ),
    TableArm(
        "real + some synthetic",
        "Generated rare rows, until there are 0.3 times as many.",
        added="synthetic",
        top_up="ratio:0.3",
    ),
    TableArm("real + synthetic", "Generated rare rows, until there are as many as others.", added="synthetic"),
)
"""Where the class frequencies were changed, by weights or by rows, probabilities are corrected for it (`prior_correct`)."""


def train_table_arm(
    arm: TableArm,
    train: TableDataset,
    test: TableDataset,
    extra: Mapping[str, TableDataset],
    rare: Sequence[int],
    seed: int,
) -> RareScores:
    """Trains a gradient-boosted classifier of rare rows against all others in one way, and scores it on the test set.

    Args:
        arm: the way.
        train, test: with labels.
        extra: "smote" and "synthetic": rows of rare classes, as many as balance; an arm takes the first of each class. One
            that has nothing to add needs none.
        rare: the numbers of the rare classes.
        seed: of the classifier.
    """
    rows, labels = features(train), is_rare(train, rare)
    wanted = rows_to_add(arm, int((~labels).sum()), int(labels.sum()))
    if not wanted:
        more = rows[:0]
    elif arm.added == "oversampling":
        members = labels.nonzero()[:, 0]
        more = rows[members[torch.arange(wanted) % len(members)]]
    else:
        more = features(extra[arm.added].subset(torch.arange(wanted)))
    every, truth = torch.cat([rows, more]), torch.cat([labels, labels.new_ones(len(more))])
    weights = _balanced(truth) if arm.weighted else torch.ones(len(truth), dtype=torch.float64)
    shift = prior_shift([weights[~truth].sum(), weights[truth].sum()], [(~labels).sum(), labels.sum()])
    model = _fit(train, every, truth, weights, seed)
    probability = prior_correct(_probability(model, features(test)), shift, probabilities=True)
    threshold = _tuned(train, rows, labels, seed) if arm.tuned else 0.5
    return rare_scores(probability, is_rare(test, rare), threshold=threshold)


def rows_to_add(arm: TableArm, others: int, rare: int) -> int:
    """How many rare rows a way to train adds to so many; 0 where they are as frequent as it would make them.

    >>> [rows_to_add(TABLE_ARMS[5], 100, rare) for rare in (10, 30, 60)]
    [20, 0, 0]
    """
    return TopUp(arm.top_up).counts([others, rare]).get(1, 0) if arm.added else 0


def features(data: TableDataset) -> Tensor:
    """Numbers and codes, (N, F + K) float64."""
    return torch.cat([data.numeric, data.categorical.double()], 1)


def is_rare(data: TableDataset, rare: Sequence[int]) -> Tensor:
    """(N,) bool."""
    if data.labels is None:
        raise ValueError("run_table_study: expected a table with labels, got none; name their column with label=")
    return torch.isin(data.labels, torch.tensor(list(rare)))


def _balanced(truth: Tensor) -> Tensor:
    share = truth.double().mean()
    return torch.where(truth, 0.5 / share, 0.5 / (1 - share))


def _fit(data: TableDataset, rows: Tensor, truth: Tensor, weights: Tensor, seed: int) -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise ImportError("run_table_study: needs scikit-learn; pip install 'torchaug-synth[demo]'") from error
    codes = [c.kind == "categorical" and len(c.categories) <= MOST_CODES for c in data.columns]
    model = HistGradientBoostingClassifier(categorical_features=codes, random_state=seed)
    return model.fit(rows.numpy(), truth.numpy(), sample_weight=weights.numpy())


def _probability(model: Any, rows: Tensor) -> Tensor:
    return torch.from_numpy(model.predict_proba(rows.numpy())[:, 1]).clamp(1e-12, 1 - 1e-12)


def _tuned(data: TableDataset, rows: Tensor, truth: Tensor, seed: int) -> float:
    """The threshold that is best on training rows which the model did not see."""
    folds = np.random.default_rng(seed).permutation(len(rows))
    folds = folds[np.argsort(truth.numpy()[folds], kind="stable")]  # rare rows spread evenly over the folds
    part = np.empty(len(rows), dtype=np.int64)
    part[folds] = np.arange(len(rows)) % min(FOLDS, int(truth.sum()))
    held = torch.from_numpy(part)
    probability = torch.zeros(len(rows), dtype=torch.float64)
    for fold in range(int(held.max()) + 1):
        kept, out = held != fold, held == fold
        weights = torch.ones(int(kept.sum()), dtype=torch.float64)
        probability[out] = _probability(_fit(data, rows[kept], truth[kept], weights, seed), rows[out])
    return best_threshold(probability, truth)
