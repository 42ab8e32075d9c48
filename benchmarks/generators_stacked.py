"""G1: three digits as the channels of one image, a thousand modes: how many a GAN makes after ten minutes on a GPU."""

from __future__ import annotations

import functools
import tempfile
import time
from typing import Any

import torch
import torch.nn.functional as F
from generators_cells import Cell, Result, Results, interval_row, values
from generators_gpu import NO_GPU, drawn
from rows import Row
from torch import Tensor

from torchaug.data import TensorImages, digits
from torchaug.keys import integers, sample_keys, uniforms

STACKED = "generators_stacked:stacked"
LOSSES = {"gan": "relativistic", "gan-non-saturating": "non-saturating"}
"""The recommended loss with R1 and R2, and the older one with R1 in the same time."""
METHODS = ("real", *LOSSES)
SIDE, MODES = 24, 1000
SECONDS, SAMPLES, BATCH = 570, 25_600, 1024
"""Of training, which takes ten minutes with its start; images in which modes are counted, as many to train on; how many are made at once."""


def stacked(data: str, method: str, seed: int) -> Result:
    """The modes among samples, and the divergence of their frequencies from those of all triples of digits."""
    train, modes = stacked_digits(SAMPLES, seed)
    if method == "real":
        return coverage(modes)
    start = time.perf_counter()
    generator = _trained(train, LOSSES[method], seed)
    seconds = time.perf_counter() - start
    made = drawn(generator, torch.zeros(SAMPLES, dtype=torch.int64), seed, BATCH)
    return {**coverage(modes_of(made)), "seconds": seconds}


def stacked_digits(count: int, seed: int) -> tuple[TensorImages, Tensor]:
    """Images of one class (count, 3, 24, 24), and the mode of each: the number with the digits of its channels."""
    data = digits()
    u = uniforms(sample_keys(torch.arange(count), seed=seed), 3)
    chosen = integers(u, 0, len(data))
    images = _enlarged(data.images)[:, 0][chosen]
    return TensorImages(images, torch.zeros(count, dtype=torch.int64), ["digits"]), _number(data.labels[chosen])


def _enlarged(images: Tensor) -> Tensor:
    """(N, C, 8, 8) uint8 to (N, C, 24, 24)."""
    large = F.interpolate(images.float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8)


def _number(labels: Tensor) -> Tensor:
    """The mode of three digits (N, 3), in [0, 1000)."""
    return labels @ torch.tensor([100, 10, 1])


def modes_of(images: Tensor) -> Tensor:
    """The mode (N,) of each image (N, 3, 24, 24) uint8, by a classifier of single digits."""
    rows = images.cpu().flatten(0, 1).flatten(1).numpy()
    return _number(torch.from_numpy(_classifier().predict(rows)).view(-1, 3))


@functools.cache
def _classifier() -> Any:
    """A support vector machine, taught with all real digits of the same size."""
    from sklearn.svm import SVC

    data = digits()
    return SVC().fit(_enlarged(data.images).flatten(1).numpy(), data.labels.numpy())


def coverage(modes: Tensor) -> Result:
    """How many modes (N,) there are, and the divergence in nats of their frequencies from those of the training data.

    The latter are the products of the shares of the ten digits. Of samples of that very distribution the divergence is
    about 999 / 2N, 0.02 of 25 600.
    """
    shares = digits().labels.bincount().double() / len(digits())
    expected = torch.einsum("i,j,k->ijk", shares, shares, shares).flatten()
    found = modes.bincount(minlength=MODES).double() / len(modes)
    return {"modes": float((found > 0).sum()), "KL": float(torch.xlogy(found, found / expected).sum())}


def _trained(train: TensorImages, loss: str, seed: int) -> Any:
    from torchaug.training.fit import fit
    from torchaug.training.load import load_generator

    with tempfile.TemporaryDirectory() as out:
        return load_generator(fit("gan", train, out=out, seconds=SECONDS, seed=seed, every=0, settings={"loss": loss}))


def stacked_cells(seeds: int, peers: bool) -> list[Cell]:
    return [Cell(STACKED, "digits", method, seed) for method in METHODS for seed in range(seeds)]


def stacked_rows(results: Results) -> list[Row]:
    rows = []
    for method in METHODS:
        found = {m: values(results, STACKED, "digits", method, m).values() for m in ("modes", "KL", "seconds")}
        name, bounded = f"G1 stacked digits: {method}", method == "gan"
        rows += [
            interval_row(f"{name}, modes", found["modes"], "", at_least=990 if bounded else None, missing=NO_GPU),
            interval_row(f"{name}, KL", found["KL"], "nats", at_most=0.1 if bounded else None, missing=NO_GPU),
        ]
        if method != "real":
            limit = 600 if bounded else None
            rows.append(interval_row(f"{name}, training", found["seconds"], "s", at_most=limit, missing=NO_GPU))
    return rows
