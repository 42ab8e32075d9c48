"""C1: train on synthetic rows, test on real ones."""

from __future__ import annotations

import time

import numpy as np
import torch
from generators_cells import Cell, Result, Results, installed, interval_row, paired, ratios, values
from generators_methods import DEFAULT, OURS, PEERS, fitted, halves, on_grid
from generators_scores import accuracies, c2st, copies, nearest, real_classifier
from rows import Row

from torchaug.data.tables import Column, TableDataset, breast_cancer, wine

C1 = "generators_tables:real_test"
C1_METHODS = ("real", *OURS, *PEERS, "Gaussian")
BELOW = {"breast_cancer": 0.01, "wine": 0.03, "digits": 0.035}
"""How far below training on real rows the mean accuracy may be."""
MODELS = ("LR", "RF", "HistGB")


def digits_table() -> TableDataset:
    """Scikit-learn's digits as a table of 64 whole numbers."""
    from sklearn.datasets import load_digits

    data = load_digits()
    columns = [Column.of_numbers(name, data.data[:, place]) for place, name in enumerate(data.feature_names)]
    empty, labels = torch.zeros(len(data.data), 0, dtype=torch.int64), torch.from_numpy(data.target.astype(np.int64))
    names = [str(name) for name in data.target_names]
    return TableDataset(torch.from_numpy(data.data), empty, columns, labels, names, name="digits", label="digit")


def real_test(data: str, method: str, seed: int) -> Result:
    """The accuracies of classifiers trained on rows of a method, and how the rows compare with real ones."""
    source = {"breast_cancer": breast_cancer, "wine": wine, "digits": digits_table}[data]()
    train, test = halves(source, seed, 0.5 if data == "digits" else 0.3)
    if method == "real":
        return accuracies(train, test, seed)
    maker, fit_seconds = fitted(method, train, seed)
    start = time.process_time()
    made = on_grid(maker.rows())
    seconds = {"seconds": fit_seconds + time.process_time() - start, "fit seconds": fit_seconds}
    return {
        **accuracies(made, test, seed),
        "C2ST": c2st(test, made, seed),
        "nearest": nearest(train, test, made),
        "copies": copies(train, made),
        "agreement": real_classifier(train, made),
        **seconds,
    }


def c1_cells(seeds: int, peers: bool) -> list[Cell]:
    return [
        Cell(C1, data, method, seed)
        for data in BELOW
        for method in C1_METHODS
        for seed in range(seeds)
        if installed(method) and (peers or method not in PEERS)
    ]


def c1_rows(results: Results) -> list[Row]:
    rows: list[Row] = []
    for data in BELOW:
        for method in C1_METHODS:
            if not installed(method):
                rows.append(Row(f"C1 {data}: {method}", None, "not installed"))
                continue
            found = {m: values(results, C1, data, method, m) for m in (*MODELS, "mean")}
            rows += [interval_row(f"C1 {data}: {method}, {m}", v.values(), "accuracy") for m, v in found.items()]
            if method != "real":
                rows += _against_real(results, data, method)
        rows += [r for peer in ("CTGAN", "TVAE") for r in _against_peer(results, data, peer)]
    return rows


def _against_real(results: Results, data: str, method: str) -> list[Row]:
    def of(metric: str, method: str = method) -> dict[int, float]:
        return values(results, C1, data, method, metric)

    bounded, name = method == DEFAULT, f"C1 {data}: {method}"
    below, tables = paired(of("mean", "real"), of("mean")), data != "digits"
    return [
        interval_row(f"{name}, mean below real", below, "accuracy", at_most=BELOW[data] if bounded else None),
        interval_row(f"{name}, C2ST", of("C2ST").values(), "AUC", at_most=0.7 if bounded and tables else None),
        interval_row(f"{name}, nearest neighbour", of("nearest").values(), "ratio", at_least=0.7 if bounded else None),
        interval_row(f"{name}, exact copies", of("copies").values(), "share"),
        interval_row(
            f"{'C4' if data == 'digits' else 'C1'} {data}: {method}, classifier of real rows agrees with the label",
            of("agreement").values(),
            "share",
            at_least=0.95 if bounded and data == "digits" else None,
        ),
        interval_row(f"{name}, training and sampling", of("seconds").values(), "CPU s"),
    ]


def _against_peer(results: Results, data: str, peer: str) -> list[Row]:
    if not installed(peer):
        return []
    rows = []
    for metric in (*MODELS, "mean"):
        ours, theirs = (values(results, C1, data, method, metric) for method in (DEFAULT, peer))
        name = f"C1 {data}: {DEFAULT} above {peer}, {metric}"
        rows.append(interval_row(name, paired(ours, theirs), "accuracy", at_least=0.0))
    ours, theirs = (values(results, C1, data, method, "seconds") for method in (DEFAULT, peer))
    rows.append(interval_row(f"C1 {data}: {DEFAULT} / {peer}, time", ratios(ours, theirs), "ratio", at_most=1.0))
    return rows
