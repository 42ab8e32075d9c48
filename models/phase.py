"""From spectrograms without phase back to sound: a phase from the magnitudes' slopes, then projections.

Frames are those of `torch.stft(..., center=True, pad_mode="constant")` with a Hann window as long as the transform.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HANN = 0.25645
"""The Gaussian that fits a Hann window of L samples best is exp(-pi t^2 / (HANN L^2)) (Prusa et al. 2017, table 1)."""
RANGE = 1e-7
"""Magnitudes below this share of the loudest say nothing of the phase."""


def spectrum(waveforms: Tensor, window: Tensor, hop: int) -> Tensor:
    """The short-time Fourier transform of (B, T): (B, bins, T // hop) complex; T is a multiple of `hop`.

    The last frame, which is centred on the end, is left out: the others overlap it.
    """
    size = len(window)
    full = torch.stft(waveforms, size, hop, window=window, pad_mode="constant", return_complex=True)
    return full[..., :-1]


def overlap_add(spectra: Tensor, window: Tensor, hop: int) -> Tensor:
    """The waveform (B, T) whose `spectrum` is nearest to (B, bins, T // hop)."""
    return torch.istft(spectra, len(window), hop, window=window, length=spectra.shape[-1] * hop)


def phase_from_slopes(magnitude: Tensor, size: int, hop: int) -> Tensor:
    """A phase for a magnitude spectrogram (B, bins, frames), by the slope of its logarithm along frequency.

    For a Gaussian window that slope is how far the frequency of what is there lies from the bin's (Prusa, Balazs and
    Sondergaard, IEEE/ACM TASLP 2017); summed over time it gives the phase. Their heap, which orders the bins by loudness,
    is left out: `griffin_lim` mends what it would, and all clips of a batch go in step.

    >>> phase_from_slopes(torch.rand(2, 9, 5), size=16, hop=4).shape
    torch.Size([2, 9, 5])
    """
    loudest = magnitude.amax((1, 2), keepdim=True)
    log = torch.maximum(magnitude, RANGE * loudest).clamp(min=torch.finfo(magnitude.dtype).tiny).log()
    slope = torch.zeros_like(log)
    slope[:, 1:-1] = (log[:, 2:] - log[:, :-2]) / 2
    bins = torch.arange(magnitude.shape[1], device=magnitude.device, dtype=magnitude.dtype)[:, None]
    advance = 2 * math.pi * hop / size * bins + hop / (HANN * size) * slope
    steps = (advance[..., 1:] + advance[..., :-1]) / 2
    # frames count from their first sample and the window is centred half a transform later: pi more per bin
    return torch.cat([torch.zeros_like(steps[..., :1]), steps], dim=2).cumsum(2) + math.pi * bins


def griffin_lim(
    magnitude: Tensor, window: Tensor, hop: int, *, iterations: int = 32, momentum: float = 0.99, phase: Tensor
) -> Tensor:
    """A waveform (B, T) whose spectrogram is near to `magnitude` (B, bins, T // hop).

    The fast Griffin-Lim algorithm (Perraudin, Balazs and Sondergaard, WASPAA 2013): project in turn on the spectra that
    some waveform has and on those of this magnitude, and overshoot.

    Args:
        magnitude: at least 0.
        window: (size,); bins are size // 2 + 1.
        hop: samples from frame to frame.
        iterations: pairs of projections.
        momentum: 0 is Griffin and Lim's own algorithm (1984), which is slower.
        phase: to begin with, of the shape of `magnitude`.
    """
    tiny = torch.finfo(magnitude.dtype).tiny
    spectra = torch.polar(magnitude, phase)
    before = torch.zeros_like(spectra)
    for _ in range(iterations):
        consistent = spectrum(overlap_add(spectra, window, hop), window, hop)
        ahead = consistent + momentum * (consistent - before)
        before = consistent
        spectra = magnitude * (ahead / ahead.abs().clamp(min=tiny))
    return overlap_add(spectra, window, hop)
