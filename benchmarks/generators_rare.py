"""C2: does topping up a rare class with synthetic rows help, and against what else one could do?"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from generators_cells import Cell, Result, Results, installed, interval_row, paired, values
from generators_methods import DEFAULT, OURS, PEERS, fitted, halves, joined, on_grid
from generators_scores import Array, classifiers, corrected, features, rare_scores
from rows import Row

from torchaug.data.tables import Column, TableDataset, breast_cancer

C2 = "generators_rare:rare_class"
SETS = ("rare", "rare binned", "breast_cancer 5 %")
OTHERS = ("real", "class weights", "oversampling", "threshold")
METHODS = (*OTHERS, *PEERS, *OURS)
FACTORS = (0.1, 0.3, 1.0)
"""How much is added, of what would make the two classes equally frequent."""
METRICS = ("AP", "recall at 5 % FPR", "F1", "F1 corrected", "Brier", "Brier corrected")
BINNED, BINS = 6, 5


def rare_table(binned: bool = False) -> TableDataset:
    """6000 rows of which 3 % are of class "rare"; binned: a copy whose first six columns are categories."""
    from sklearn.datasets import make_classification

    values, labels = make_classification(
        6000, 12, n_informative=6, n_redundant=2, n_clusters_per_class=2, weights=[0.97], class_sep=0.8, flip_y=0.005,
        random_state=100,
    )  # fmt: skip
    split = BINNED if binned else 0
    codes = np.zeros((len(values), split), np.int64)
    for place in range(split):
        edges = np.quantile(values[:, place], np.linspace(0, 1, BINS + 1)[1:-1])
        codes[:, place] = np.searchsorted(edges, values[:, place])
    columns = [Column.of_numbers(f"n{place}", values[:, place]) for place in range(split, 12)]
    names = tuple("abcde"[:BINS])
    columns += [Column(f"c{place}", "categorical", names) for place in range(split)]
    numbers = torch.from_numpy(np.ascontiguousarray(values[:, split:]))
    return TableDataset(
        numbers, torch.from_numpy(codes), columns, torch.from_numpy(labels.astype(np.int64)), ["common", "rare"]
    )


def rare_halves(data: str, seed: int) -> tuple[TableDataset, TableDataset, Array]:
    """Training rows, test rows and the weights of the test rows; label 1 is the rare class.

    Breast cancer is thinned to 5 % malignant in the training half; the test half keeps all its malignant rows, which
    together weigh 5 %: so few rows alone would measure nothing.
    """
    if data != "breast_cancer 5 %":
        train, test = halves(rare_table(data == "rare binned"), seed, 0.5)
        return train, test, np.ones(len(test))
    train, test = (_malignant_last(part) for part in halves(breast_cancer(), seed, 0.5))
    rare = (train.labels == 1).nonzero()[:, 0]
    keep = round(0.05 / 0.95 * (len(train) - len(rare)))
    chosen = np.random.default_rng(seed).permutation(rare.numpy())[:keep]
    kept = np.concatenate([(train.labels == 0).nonzero()[:, 0].numpy(), chosen])
    share = float((test.labels == 1).double().mean())
    weights = np.where(test.labels.numpy() == 1, 0.05 / share, 0.95 / (1 - share))
    return train.subset(kept.tolist()), test, weights


def _malignant_last(data: TableDataset) -> TableDataset:
    """Malignant is class 0 in scikit-learn's set."""
    return TableDataset(data.numeric, data.categorical, data.columns, 1 - data.labels, data.classes[::-1])


def rare_class(data: str, method: str, seed: int) -> Result:
    """The scores of LR and HistGB on real test rows, trained on real rows and what a method makes of them."""
    train, test, weights = rare_halves(data, seed)
    common, rare = train.labels.bincount().tolist()
    share = rare / (common + rare)
    if method in OTHERS:
        return _other(method, train, test, weights, seed, share)
    start = time.process_time()
    maker, _ = fitted(method, train, seed)
    made = maker.of_class(1, common - rare)
    result: Result = {"seconds": time.process_time() - start, "made": 0.0 if made is None else float(len(made))}
    for factor in FACTORS:
        wanted = round(factor * (common - rare))
        if made is None or len(made) < wanted:
            continue  # the generator lost the class: nothing to top up with
        both = joined([train, on_grid(made.subset(torch.arange(wanted)))])
        now = (rare + wanted) / len(both)
        for name in ("LR", "HistGB"):
            model = classifiers(seed)[name].fit(features(both), both.labels.numpy())
            result |= _named(f"x{factor:g} {name}", _scores(model, test, weights, now, share))
    return result


def _other(method: str, train: TableDataset, test: TableDataset, weights: Array, seed: int, share: float) -> Result:
    """Without a generator: all real rows as they are, weighted, repeated, or with a tuned threshold."""
    x, y = features(train), train.labels.numpy()
    now = share
    if method == "oversampling":
        common, rare = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
        more = np.random.default_rng(seed).choice(rare, len(common) - len(rare))
        x, y, now = np.concatenate([x, x[more]]), np.concatenate([y, y[more]]), 0.5
    if method == "class weights":
        now = 0.5
    result: Result = {}
    for name in ("LR", "HistGB"):
        model = classifiers(seed, weighted=method == "class weights")[name]
        if method == "threshold":
            result |= _named(f"x0 {name}", _tuned(model, x, y, test, weights, seed))
        else:
            result |= _named(f"x0 {name}", _scores(model.fit(x, y), test, weights, now, share))
    return result


def _tuned(model: Any, x: Array, y: Array, test: TableDataset, weights: Array, seed: int) -> Result:
    """F1 at the threshold that is best for it in cross-validation on the training rows; all else is real only's."""
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    tuned = TunedThresholdClassifierCV(model, scoring="f1", cv=folds).fit(x, y)
    return {"F1": float(f1_score(test.labels.numpy(), tuned.predict(features(test)), sample_weight=weights))}


def _scores(model: Any, test: TableDataset, weights: Array, trained: float, real: float) -> Result:
    labels, probability = test.labels.numpy(), model.predict_proba(features(test))[:, 1]
    after = rare_scores(corrected(probability, trained, real), labels, weights)
    return {
        **rare_scores(probability, labels, weights),
        **{f"{name} corrected": after[name] for name in ("F1", "Brier")},
    }


def _named(prefix: str, scores: Result) -> Result:
    return {f"{prefix} {name}": value for name, value in scores.items()}


def c2_cells(seeds: int, peers: bool) -> list[Cell]:
    return [
        Cell(C2, data, method, seed)
        for data in SETS
        for method in METHODS
        for seed in range(seeds)
        if installed(method) and (peers or method not in PEERS)
    ]


def c2_rows(results: Results) -> list[Row]:
    rows: list[Row] = []
    for data in SETS:
        for method in METHODS:
            if not installed(method):
                rows.append(Row(f"C2 {data}: {method}", None, "not installed"))
                continue
            rows += [row for factor in _factors(method) for row in _reported(results, data, method, factor)]
            rows += _made(results, data, method)
        rows += _bounds(results, data)
    return rows


def _factors(method: str) -> list[str]:
    return ["x0"] if method in OTHERS else [f"x{factor:g}" for factor in FACTORS]


def _reported(results: Results, data: str, method: str, factor: str) -> list[Row]:
    metrics = ("F1",) if method == "threshold" else METRICS
    tried = len(values(results, C2, data, method, "made"))
    rows = []
    for model in ("HistGB", "LR"):
        for metric in metrics:
            found = values(results, C2, data, method, f"{factor} {model} {metric}").values()
            name = f"C2 {data}: {method}{'' if factor == 'x0' else ' ' + factor}, {model}, {metric}"
            # of the others too few rows of the class were made
            few = "" if len(found) >= tried else f"{len(found)} of {tried} seeds"
            rows.append(interval_row(name, found, few, missing=few or "not measured"))
    return rows


def _made(results: Results, data: str, method: str) -> list[Row]:
    if method in OTHERS:
        return []
    return [
        interval_row(f"C2 {data}: {method}, {what}", values(results, C2, data, method, key).values(), unit)
        for what, key, unit in (("rows of the rare class made", "made", ""), ("all of it", "seconds", "CPU s"))
    ]


def _bounds(results: Results, data: str) -> list[Row]:
    """HistGB with our default generator against real rows alone and against SMOTE at the same factor."""

    def of(method: str, factor: str, metric: str) -> dict[int, float]:
        return values(results, C2, data, method, f"{factor} HistGB {metric}")

    first, rows = data == SETS[0], []
    for factor in _factors(DEFAULT):
        name, ap = f"C2 {data}: {DEFAULT} {factor}, HistGB", of(DEFAULT, factor, "AP")
        better = paired(of(DEFAULT, factor, "F1 corrected"), of("SMOTE", factor, "F1 corrected"))
        worse = paired(of(DEFAULT, factor, "Brier corrected"), of("real", "x0", "Brier"))
        above = {"real only": of("real", "x0", "AP"), "SMOTE": of("SMOTE", factor, "AP")}
        rows += [
            interval_row(f"{name}, AP above {other}", paired(ap, theirs), "", at_least=0.05 if first else None)
            for other, theirs in above.items()
        ]
        rows += [
            interval_row(f"{name}, F1 corrected above SMOTE", better, "", at_least=0.0 if first else None),
            interval_row(f"{name}, Brier corrected above real only", worse, "", at_most=0.0 if first else None),
        ]
    return rows
