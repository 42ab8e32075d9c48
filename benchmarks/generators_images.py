"""Generators of digits: classifiers trained on what they make and tested on real ones, after minutes on a CPU."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np
import torch
from generators_cells import Cell, Result, Results, installed, interval_row, values
from generators_scores import Array, classifiers, nearest_ratio, told_apart
from rows import Row

from torchaug.data import TensorImages, digits

IMAGES = "generators_images:images"
STEPS = {"vae": 1000, "gan": 9500}
MINUTES = {"vae": 3, "gan": 10}
METHODS = ("real", *STEPS, "SMOTE")
MODELS = {"LR": 0.94, "SVM": 0.96}
"""The accuracy that classifiers trained on generated digits must reach."""


def halves(seed: int) -> tuple[TensorImages, TensorImages]:
    """Training and test digits, each class in its share."""
    from sklearn.model_selection import train_test_split

    data = digits()
    train, test = train_test_split(np.arange(len(data)), test_size=0.5, stratify=data.labels.numpy(), random_state=seed)
    return data.subset(train.tolist()), data.subset(test.tolist())


def images(data: str, method: str, seed: int) -> Result:
    """Accuracies on real test digits, and how the made ones compare with them."""
    train, test = halves(seed)
    if method == "real":
        return _accuracies(_levels(train.images), train.labels.numpy(), test, seed)
    start = time.process_time()
    made, labels = _smote(train, seed) if method == "SMOTE" else _ours(method, train, seed)
    seconds = time.process_time() - start
    return {
        **_accuracies(made, labels, test, seed),
        "C2ST": told_apart(_levels(test.images), made, seed),
        "nearest": nearest_ratio(_levels(train.images), _levels(test.images), made),
        "agreement": _svm().fit(_levels(train.images), train.labels.numpy()).score(made, labels),
        "seconds": seconds,
    }


def _levels(pixels: torch.Tensor) -> Array:
    """The 17 grey levels of digits, 0 to 16, (N, 64)."""
    grey: Array = (pixels.flatten(1).double() * 16 / 255).round().numpy()
    return grey


def _ours(kind: str, train: TensorImages, seed: int) -> tuple[Array, Array]:
    from torchaug.training.fit import fit
    from torchaug.training.load import load_generator

    with tempfile.TemporaryDirectory() as out:
        generator = load_generator(fit(kind, train, out=out, steps=STEPS[kind], seed=seed, every=0))
    made = generator.sample(len(train), train.labels, seed=seed)
    return _levels(made * 255), train.labels.numpy()


def _smote(train: TensorImages, seed: int) -> tuple[Array, Array]:
    from imblearn.over_sampling import SMOTE

    pixels, labels = _levels(train.images), train.labels.numpy()
    twice = {label: 2 * count for label, count in enumerate(np.bincount(labels).tolist())}
    more, names = SMOTE(sampling_strategy=twice, random_state=seed).fit_resample(pixels, labels)
    return more[len(pixels) :].round(), names[len(pixels) :]


def _svm() -> Any:
    from sklearn.svm import SVC

    return SVC()  # pixels share one scale: standardising them would blow up those of the border


def _accuracies(pixels: Array, labels: Array, test: TensorImages, seed: int) -> Result:
    models = {"LR": classifiers(seed)["LR"], "SVM": _svm(), "RF": classifiers(seed)["RF"]}
    right = test.labels.numpy()
    return {name: float(model.fit(pixels, labels).score(_levels(test.images), right)) for name, model in models.items()}


def image_cells(seeds: int, peers: bool) -> list[Cell]:
    return [
        Cell(IMAGES, "digits", method, seed)
        for method in METHODS
        for seed in range(seeds)
        if installed(method) and (peers or method != "SMOTE")
    ]


def image_rows(results: Results) -> list[Row]:
    rows: list[Row] = []
    for method in METHODS:
        if not installed(method):
            rows.append(Row(f"digits images: {method}", None, "not installed"))
            continue
        found = {
            m: values(results, IMAGES, "digits", method, m).values()
            for m in (*MODELS, "RF", "C2ST", "nearest", "agreement", "seconds")
        }
        name, ours = f"digits images: {method}", method in STEPS
        rows += [
            interval_row(f"{name}, {m}", found[m], "accuracy", at_least=b if ours else None) for m, b in MODELS.items()
        ]
        rows.append(interval_row(f"{name}, RF", found["RF"], "accuracy"))
        if method != "real":
            limit = 60 * MINUTES[method] if ours else None
            rows += [
                interval_row(f"{name}, C2ST", found["C2ST"], "AUC"),
                interval_row(f"{name}, nearest neighbour", found["nearest"], "ratio"),
                interval_row(f"C4 {name}, SVM agrees", found["agreement"], "share", at_least=0.95 if ours else None),
                interval_row(f"{name}, all of it", found["seconds"], "CPU s", at_most=limit),
            ]
    return rows
