"""How good rows are: classifiers trained on them, and what tells them from real ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchaug.data.tables import TableDataset
from torchaug.data.topup import prior_correct, prior_shift

Array = np.ndarray[Any, Any]


def features(data: TableDataset) -> Array:
    """Numbers as they are and categories as one-hots, (N, D) float64."""
    parts = [data.numeric.numpy()]
    for place, column in enumerate(data.columns[data.numeric.shape[1] :]):
        parts.append(np.eye(len(column.categories))[data.categorical[:, place].numpy()])
    return np.concatenate(parts, 1) + 0.0  # no negative zero, which would be another byte


def classifiers(seed: int, weighted: bool = False) -> dict[str, Any]:
    """The classifiers of the studies, with scikit-learn's defaults."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weights = "balanced" if weighted else None
    return {
        "LR": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight=weights)),
        "RF": RandomForestClassifier(200, random_state=seed, class_weight=weights),
        "HistGB": HistGradientBoostingClassifier(random_state=seed, class_weight=weights),
    }


def accuracies(train: TableDataset, test: TableDataset, seed: int) -> dict[str, float]:
    """Accuracy on `test` of each classifier trained on `train`, and their mean."""
    x, y = features(train), train.labels.numpy()
    test_x, test_y = features(test), test.labels.numpy()
    if len(np.unique(y)) < 2:  # a generator that lost all classes but one: what says only that
        found = dict.fromkeys(("LR", "RF", "HistGB"), float((test_y == y[0]).mean()))
    else:
        found = {name: float(model.fit(x, y).score(test_x, test_y)) for name, model in classifiers(seed).items()}
    return {**found, "mean": float(np.mean(list(found.values())))}


def real_classifier(train: TableDataset, made: TableDataset) -> float:
    """How often an SVM trained on real rows sees in a made row the class that was asked for."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    # pixels share one scale: standardising them would blow up those of the border
    model = SVC() if train.name == "digits" else make_pipeline(StandardScaler(), SVC())
    model.fit(features(train), train.labels.numpy())
    return float(model.score(features(made), made.labels.numpy()))


def c2st(real: TableDataset, made: TableDataset, seed: int) -> float:
    """The area under the curve with which a forest tells real test rows from as many made ones; 0.5 is the best."""
    return told_apart(features(real), features(made), seed)


def told_apart(real: Array, made: Array, seed: int) -> float:
    """`c2st` of features (N, D) and (M, D); out-of-fold scores of five folds."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    random = np.random.default_rng(seed)
    count = min(len(real), len(made))
    x = np.concatenate([random.permutation(all_)[:count] for all_ in (real, made)])
    y = np.repeat([0, 1], count)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    forest = RandomForestClassifier(200, random_state=seed)
    return float(roc_auc_score(y, cross_val_predict(forest, x, y, cv=folds, method="predict_proba")[:, 1]))


def nearest(train: TableDataset, test: TableDataset, made: TableDataset) -> float:
    """How far made rows are from training rows, over how far test rows are: about 1 is new, below 0.5 copied."""
    return nearest_ratio(*map(features, (train, test, made)))


def nearest_ratio(train: Array, test: Array, made: Array) -> float:
    """The ratio of the medians of the distances to the nearest training row, columns standardised."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    near = NearestNeighbors(n_neighbors=1).fit(scaler.transform(train))
    far = [float(np.median(near.kneighbors(scaler.transform(rows))[0])) for rows in (made, test)]
    return far[0] / max(far[1], 1e-12)


def copies(train: TableDataset, made: TableDataset) -> float:
    """The share of made rows that are training rows, value for value."""
    there = {row.tobytes() for row in np.ascontiguousarray(features(train))}
    return float(np.mean([row.tobytes() in there for row in np.ascontiguousarray(features(made))]))


def rare_scores(probability: Array, labels: Array, weights: Array) -> dict[str, float]:
    """Ranking and calibration of the probability of the rare class, label 1."""
    from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_curve

    false, true, _ = roc_curve(labels, probability, sample_weight=weights)
    return {
        "AP": float(average_precision_score(labels, probability, sample_weight=weights)),
        "recall at 5 % FPR": float(true[false <= 0.05].max()),
        "F1": float(f1_score(labels, probability > 0.5, sample_weight=weights)),
        "Brier": float(brier_score_loss(labels, probability, sample_weight=weights)),
    }


def corrected(probability: Array, trained: float, real: float) -> Array:
    """Probabilities of a classifier trained where a share `trained` is rare, for data in which a share `real` is."""
    shift = prior_shift([1 - trained, trained], [1 - real, real])
    found: Array = prior_correct(probability, shift, probabilities=True)
    return found
