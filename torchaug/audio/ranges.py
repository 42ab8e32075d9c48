"""Checks and draws of ranges that a constructor takes as two arguments, `min_...` and `max_...`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug.image.arguments import number
from torchaug.keys import uniform


def ordered(
    low: float, high: float, who: str, name: str, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """(low, high) within [least, most], or an error that names `min_<name>` or `max_<name>`.

    >>> ordered(1, 2, "Gain", "gain_db")
    (1.0, 2.0)
    """
    low, high = number(low, who, f"min_{name}", least, most), number(high, who, f"max_{name}", least, most)
    if low > high:
        raise ValueError(f"{who}: min_{name} must be at most max_{name}, got {low:g} and {high:g}")
    return low, high


def mel_uniform(u: Tensor, low: float, high: float) -> Tensor:
    """Frequencies in Hz in [low, high), uniform on the mel scale 2595 log10(1 + f / 700).

    >>> mel_uniform(torch.tensor([0.0, 0.5]), 100.0, 1500.0).round()
    tensor([100., 627.])
    """
    return 700 * torch.expm1(uniform(u, math.log1p(low / 700), math.log1p(high / 700)))
