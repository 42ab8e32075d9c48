"""C3: the ring and the grids of SDGym, whose densities are known, and C4: is what was asked for what comes out?"""

from __future__ import annotations

import time

import numpy as np
import torch
from generators_cells import Cell, Result, Results, installed, interval_row, values
from generators_methods import DEFAULT, OURS, Array, Ours, fitted
from rows import Row

from torchaug.data.tables import Column, TableDataset

C3, C4 = "generators_modes:modes", "generators_modes:conditions"
SETS = ("ring", "grid", "gridr")
METHODS = ("real", *OURS, "CTGAN", "TVAE")
VARIANCE, ROWS, ASKED = 0.05, 10_000, 100
LIKELY = {"ring": -1.78, "gridr": -3.20}
"""At least so likely must test rows be under what was made: TVAE's published value."""


def centers(data: str) -> Array:
    """The means of the modes, (M, 2): on a circle of radius 1, on a grid of step 2, or each moved from its place."""
    if data == "ring":
        angle = 2 * np.pi * np.arange(8) / 8
        return np.stack([np.cos(angle), np.sin(angle)], 1)
    places = np.arange(-4.0, 5.0, 2.0)
    grid = np.stack(np.meshgrid(places, places, indexing="ij"), -1).reshape(-1, 2)
    return grid + (np.random.default_rng(0).random(grid.shape) - 0.5 if data == "gridr" else 0.0)


def drawn(data: str, seed: int) -> TableDataset:
    """10 000 rows without labels."""
    random, means = np.random.default_rng(seed), centers(data)
    values = means[random.integers(len(means), size=ROWS)] + random.normal(0, VARIANCE**0.5, (ROWS, 2))
    columns = [Column.of_numbers(name, values[:, place]) for place, name in enumerate("xy")]
    return TableDataset(torch.from_numpy(values), torch.zeros(ROWS, 0, dtype=torch.int64), columns)


def modes(data: str, method: str, seed: int) -> Result:
    """How likely rows are under real ones and real ones under them, and how many are of a mode."""
    train, test = drawn(data, 2 * seed), drawn(data, 2 * seed + 1)
    start = time.process_time()
    made = train if method == "real" else fitted(method, train, seed)[0].rows()
    seconds = time.process_time() - start
    made_values, test_values = made.numeric.numpy(), test.numeric.numpy()
    off = np.linalg.norm(made_values[:, None] - centers(data), axis=2)
    near = off.min(1) <= 3 * VARIANCE**0.5
    counts = np.bincount(off.argmin(1)[near], minlength=len(centers(data)))
    return {
        "Lsyn": likelihood(data, test_values, made_values, seed),
        "Ltest": likelihood(data, made_values, test_values, seed),
        "modes": float((counts >= 0.1 * ROWS / len(counts)).sum()),  # a tenth of its share: found at all
        "high quality": float(near.mean()),
        "seconds": seconds,
    }


def likelihood(data: str, fitted_to: Array, of: Array, seed: int) -> float:
    """SDGym's measure: the mean log-likelihood of rows under Gaussian mixtures fitted to other rows."""
    from sklearn.mixture import GaussianMixture

    components = (10, 30) if data == "ring" else (25,)
    models = (GaussianMixture(number, random_state=seed).fit(fitted_to) for number in components)
    return float(np.mean([model.score(of) for model in models]))


def conditions(data: str, method: str, seed: int) -> Result:
    """Of rows asked for with each value of each discrete column, the share that has it."""
    from generators_rare import rare_table

    train = rare_table(binned=True)
    train = train.subset(np.random.default_rng(seed).permutation(len(train))[:3000].tolist())
    maker = Ours(method, train, seed, steps=100) if method in OURS else fitted(method, train, seed)[0]
    numbers, shares = train.numeric.shape[1], []
    for place, column in enumerate(train.columns[numbers:]):
        for code, value in enumerate(column.categories):
            made = maker.given(column.name, str(value), ASKED)
            shares.append(float((made.categorical[:, place] == code).double().sum()) / ASKED)
    for code, value in enumerate(train.classes):
        made = maker.of_class(code, ASKED) if method in OURS else maker.given(train.label, value, ASKED)
        shares.append(float((made.labels == code).double().sum()) / ASKED)
    return {"mean": float(np.mean(shares)), "least": min(shares)}


def c3_cells(seeds: int, peers: bool) -> list[Cell]:
    return [Cell(C3, data, method, seed) for data in SETS for method in _asked(METHODS, peers) for seed in range(seeds)]


def c4_cells(seeds: int, peers: bool) -> list[Cell]:
    return [
        Cell(C4, "rare binned", method, seed) for method in _asked((*OURS, "CTGAN"), peers) for seed in range(seeds)
    ]


def _asked(methods: tuple[str, ...], peers: bool) -> list[str]:
    return [method for method in methods if installed(method) and (peers or method not in ("CTGAN", "TVAE"))]


def c3_rows(results: Results) -> list[Row]:
    rows: list[Row] = []
    for data in SETS:
        for method in METHODS:
            if not installed(method):
                rows.append(Row(f"C3 {data}: {method}", None, "not installed"))
                continue
            found = {name: values(results, C3, data, method, name).values() for name in ("Lsyn", "Ltest", "modes")}
            quality = values(results, C3, data, method, "high quality").values()
            name, bounded = f"C3 {data}: {method}", method == DEFAULT
            rows += [
                interval_row(f"{name}, Lsyn", found["Lsyn"], "nats"),
                interval_row(f"{name}, Ltest", found["Ltest"], "nats", at_least=LIKELY.get(data) if bounded else None),
                interval_row(f"{name}, modes", found["modes"], "", at_least=len(centers(data)) if bounded else None),
                interval_row(f"{name}, of a mode", quality, "share", at_least=0.95 if bounded else None),
                interval_row(f"{name}, all of it", values(results, C3, data, method, "seconds").values(), "CPU s"),
            ]
    return rows


def c4_rows(results: Results) -> list[Row]:
    rows: list[Row] = []
    for method in (*OURS, "CTGAN"):
        if not installed(method):
            rows.append(Row(f"C4 conditions: {method}", None, "not installed"))
            continue
        for name in ("least", "mean"):
            shares = values(results, C4, "rare binned", method, name).values()
            bound = 1.0 if method in OURS else None
            words = f"C4 conditions: {method}, rows as asked, {name} over values"
            rows.append(interval_row(words, shares, "share", at_least=bound))
    return rows
