"""The mel scale, and the triangles that hear it."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

MelScale = Literal["slaney", "htk"]


def hertz_to_mel(hertz: Tensor, scale: MelScale) -> Tensor:
    """Frequencies on the mel scale: "htk" 2595 log10(1 + f / 700), "slaney" 3 f / 200, from 1 kHz on 27 steps to 6.4 kHz.

    >>> hertz_to_mel(torch.tensor([0.0, 1000.0, 6400.0]), "slaney")
    tensor([ 0., 15., 42.])
    """
    if scale == "htk":
        return 2595 * torch.log10(1 + hertz / 700)
    return torch.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * (hertz.clamp(min=1000) / 1000).log() / math.log(6.4))


def mel_to_hertz(mel: Tensor, scale: MelScale) -> Tensor:
    """The inverse of `hertz_to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return torch.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel.clamp(min=15) - 15) / 27))


def mel_filters(
    size: int, sample_rate: int, mels: int, *, low_hz: float = 0.0, high_hz: float | None = None, scale: MelScale
) -> Tensor:
    """Triangles, evenly spaced in mel and of equal area: (mels, size // 2 + 1) float64, for magnitudes of `size` samples.

    Args:
        size: of the Fourier transform.
        sample_rate: in Hz.
        mels: how many.
        low_hz, high_hz: where the first begins and the last ends; None: half the sample rate.
        scale: "slaney" or "htk".

    Raises:
        ValueError: an unknown scale, a bad range, or triangles that lie between two bins and would always be silent.

    >>> mel_filters(1024, 16000, 64, scale="slaney").shape
    torch.Size([64, 513])
    """
    high_hz = sample_rate / 2 if high_hz is None else high_hz
    if scale not in get_args(MelScale):
        raise ValueError(f"mel_filters: scale must be one of {', '.join(get_args(MelScale))}, got {scale!r}")
    if not 0 <= low_hz < high_hz <= sample_rate / 2 or mels < 1:
        raise ValueError(
            f"mel_filters: expected mels of at least 1 and 0 <= low_hz < high_hz <= {sample_rate / 2:g}, got {mels}, "
            f"{low_hz:g} and {high_hz:g}"
        )
    lowest, highest = hertz_to_mel(torch.tensor([low_hz, high_hz], dtype=torch.float64), scale).tolist()
    edges = mel_to_hertz(torch.linspace(lowest, highest, mels + 2, dtype=torch.float64), scale)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = torch.arange(size // 2 + 1, dtype=torch.float64) * sample_rate / size
    filters = torch.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clamp(min=0)
    empty = (filters.sum(1) == 0).nonzero()
    if len(empty):
        raise ValueError(
            f"mel_filters: {mels} mels are too many for {size} samples at {sample_rate} Hz, number {int(empty[0])} has "
            "no bin; use fewer mels or a larger transform"
        )
    return filters * 2 / (high - low)
