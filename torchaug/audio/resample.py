"""Another sample rate for waveforms, on any device and through gradients."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

WIDTH = 64  # zero crossings of the sinc on each side
BETA = 9.6  # of the Kaiser window: what lies above the new Nyquist frequency comes back 96 dB down
CUTOFF = 0.95  # of the lower Nyquist frequency; what lies below 0.9 of it passes
PHASES = 64  # output phases of one convolution: fewer cost calls, more cost multiplications by zeros


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Band-limited resampling: output j is the waveform at time j / to_rate, by a Kaiser-windowed sinc.

    A sine below 0.9 of the lower Nyquist frequency keeps its values to 2e-5 of its amplitude, away from the ends; beyond
    the ends the waveform counts as 0.

    Args:
        waveform: (..., T) floating point.
        from_rate: its samples per second.
        to_rate: those wanted.

    Returns:
        (..., ceil(T * to_rate / from_rate)) of the same dtype; the waveform itself where the rates are equal.

    Raises:
        TypeError: a waveform of whole numbers.
        ValueError: a rate that is no whole number above 0.

    >>> resample(torch.zeros(2, 44100), 44100, 16000).shape
    torch.Size([2, 16000])
    """
    if not waveform.is_floating_point():
        raise TypeError(f"resample: waveform must be floating point, got {waveform.dtype}; scale it to [-1, 1]")
    for rate in (from_rate, to_rate):
        if not isinstance(rate, int) or rate < 1:
            raise ValueError(f"resample: rates must be whole numbers above 0, got {from_rate!r} and {to_rate!r}")
    if from_rate == to_rate or not waveform.numel():
        return waveform
    divisor = math.gcd(from_rate, to_rate)
    down, up = from_rate // divisor, to_rate // divisor
    samples = waveform.shape[-1]
    frames = -(-samples // down)  # of `down` samples in and `up` out
    reach = _reach(up, down)
    flat = waveform.reshape(-1, 1, samples)
    flat = functional.pad(flat, (reach, frames * down - samples + down + reach))
    parts = [_phases(flat, first, up, down, frames) for first in range(0, up, PHASES)]
    whole = torch.cat(parts, dim=1).transpose(1, 2).reshape(*waveform.shape[:-1], frames * up)
    return whole[..., : -(-samples * up // down)]


def _reach(up: int, down: int) -> int:
    """Input samples on each side that an output sample looks at."""
    return math.ceil(WIDTH / (CUTOFF * min(1.0, up / down)))


def _phases(padded: Tensor, first: int, up: int, down: int, frames: int) -> Tensor:
    """Output phases from `first` on, as (B, phases, frames): a convolution with the part of the kernel that is not 0."""
    kernel = torch.from_numpy(_constant(first, up, down)).to(padded)[:, None]
    return functional.conv1d(padded[..., first * down // up :], kernel, stride=down)[..., :frames]


@lru_cache(maxsize=64)  # the files of a data set have few rates; an array, as a tensor may be one of inference mode
def _kernel(first: int, up: int, down: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    reach, begin = _reach(up, down), first * down // up
    phases = np.arange(first, min(first + PHASES, up))
    places = np.arange(begin - reach, phases[-1] * down // up + reach + 1)
    distance = phases[:, None] * down / up - places  # in samples of the input
    cutoff = CUTOFF * min(1.0, up / down)
    window = np.i0(BETA * np.sqrt((1 - (distance / reach) ** 2).clip(0))) / np.i0(BETA)
    return np.where(np.abs(distance) <= reach, cutoff * np.sinc(cutoff * distance) * window, 0.0)


# a graph holds the kernel, and not how it was made; the cache is out of sight, since tracing warns of one
_constant = torch.compiler.assume_constant_result(lambda first, up, down: _kernel(first, up, down))
