"""Transforms of tables against numpy and scipy, given what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from conformance import Case
from scipy import stats
from zoo_tabular import DATA, rows

from torchaug import Batch, Transform
from torchaug import tabular as T
from torchaug.keys import sample_keys

Array = np.ndarray[Any, Any]
Records = list[dict[str, Any]]
FILL = (None, 1.5, 0.0, -2.0, 3, 0)


def drawn(transform: Transform, values: torch.Tensor, device: torch.device) -> tuple[Array, Batch, Records]:
    """What comes out, what went in, and the records of `describe`."""
    keys = sample_keys(torch.arange(len(values), device=device), seed=5)
    batch = Batch(table=values.to(device), key=keys)
    out, params = transform(batch).table, transform.draw(batch)
    assert out is not None
    return out.cpu().numpy(), batch, [transform.describe(params, i)[0] for i in range(len(values))]


def dropout(device: torch.device) -> float:
    values = rows(40)
    out, _, records = drawn(T.FeatureDropout(FILL, 0.4), values, device)
    fill = np.array([np.nan if each is None else each for each in FILL])
    return gap(out, np.where([record["dropped"] for record in records], fill, values.numpy()))


def swap(device: torch.device) -> float:
    values = rows(40)
    out, _, records = drawn(T.SwapNoise(6, 0.4), values, device)
    swapped = np.array([record["swapped"] for record in records])
    kept = gap(np.where(swapped, 0, out), np.where(swapped, 0, values.numpy()))
    strange = [~np.isin(a, b) & ~np.isnan(a) for a, b in zip(out.T, values.numpy().T, strict=True)]
    return kept + float(np.sum(strange))


def mixup(device: torch.device) -> float:
    values, transform = rows(40).nan_to_num(), T.MixUp(4, alpha=0.7)
    out, batch, records = drawn(transform, values, device)
    partner = transform.partners(transform.draw(batch).u[:, 1:]).cpu().numpy()
    share = np.array([record["lambda"] for record in records])[:, None]
    own, other = values.double().numpy(), values.double().numpy()[partner]
    codes = np.minimum(abs(out - own), abs(out - other))[:, 4:]
    scale = np.abs(own[:, :4]).max(0) + 1e-9
    return float(max(codes.max(), (abs(out - share * own - (1 - share) * other)[:, :4] / scale).max()))


def noise(device: torch.device) -> float:
    std = T.GaussianNoise.fit(DATA).std[:3]
    keys = sample_keys(torch.arange(20000, device=device))
    out = T.GaussianNoise(std, sigma=0.3)(torch.zeros(20000, 3, device=device), keys=keys).cpu().double().numpy()
    return float(max(stats.kstest(column / (0.3 * s), "norm").statistic for column, s in zip(out.T, std, strict=True)))


def gap(out: Array, expected: Array) -> float:
    different = ~((out == expected) | (np.isnan(out) & np.isnan(expected)))
    return float(np.abs(out - expected)[different].max()) if different.any() else 0.0


def case(name: str, oracle: str, tolerance: float, error: Callable[[torch.device], float]) -> Case:
    return Case(f"tabular.{name}", oracle, torch.float32, tolerance, error)


CASES: list[Case] = [
    case("GaussianNoise", "normal law, Kolmogorov-Smirnov distance of 20000 rows", 0.0138, noise),
    case("SwapNoise", "numpy where; a value of the same column", 0, swap),
    case("FeatureDropout", "numpy where", 0, dropout),
    case("MixUp", "numpy, numbers in units of each column's largest; either row's code", 1e-6, mixup),
]
