"""Convolution of whole batches, each waveform with a kernel of its own, by one Fourier transform each way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from torchaug.audio.kinds import silenced
from torchaug.image.resample import chunks

ODD: list[int] = [3**i * 5**j * 7**k for i in range(7) for j in range(5) for k in range(3)]
"""Odd parts of fast sizes; larger ones are seldom the nearest."""
LONG = 1 << 15
"""Samples from which on only multiples of 64 are fast: 100352 takes two thirds of the time that 101250, twice an odd number, does."""


def fast_size(samples: int) -> int:
    """The next even number that Fourier transforms are fast at: of factors 2, 3, 5 and 7, at least `samples`.

    >>> fast_size(64007), fast_size(0)
    (64512, 2)
    """
    unit = 64 if samples > LONG else 2
    units = max(1, -(-samples // unit))
    return unit * min(odd << (-(-units // odd) - 1).bit_length() for odd in ODD)


def spectrum(waveform: Tensor, size: int) -> Tensor:
    """The real Fourier transform of (..., T) floating point, filled up with zeros to `size`: (..., size // 2 + 1) complex."""
    if not waveform.numel():  # which MKL refuses
        return torch.zeros(
            (*waveform.shape[:-1], size // 2 + 1), dtype=waveform.dtype.to_complex(), device=waveform.device
        )
    transformed: Tensor = torch.fft.rfft(waveform, size)
    return transformed


def waveform_of_spectrum(spectrum: Tensor, size: int, samples: int) -> Tensor:
    """The first `samples` samples of the inverse of `spectrum`: (..., samples)."""
    if not spectrum.numel():
        return spectrum.real.new_zeros((*spectrum.shape[:-1], samples))
    waveform: Tensor = torch.fft.irfft(spectrum, size)
    return waveform[..., :samples]


def convolve(waveform: Tensor, kernels: Tensor) -> Tensor:
    """The full convolution of each waveform with its kernel, as `scipy.signal.fftconvolve`.

    Padding counts as sound here: fill what lies behind the lengths with 0 first, and nothing of it comes out.

    Args:
        waveform: (B, C, T) float32 or float64.
        kernels: (B, C, K) of that dtype; B or C may be 1, for one kernel for all samples or channels.

    Returns:
        (B, C, T + K - 1); sample j is the sum of waveform[j - k] kernels[k], to the rounding of the dtype.

    >>> convolve(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 0.0, -1.0]]])).round(decimals=4)
    tensor([[[ 1.,  2., -1., -2.]]])
    """
    samples = max(0, waveform.shape[-1] + kernels.shape[-1] - 1)
    size = fast_size(samples)
    return waveform_of_spectrum(spectrum(waveform, size) * spectrum(kernels, size), size, samples)


def shaped(
    waveform: Tensor,
    lengths: Tensor,
    ringing: int,
    gains: Callable[[int], Callable[[slice], Tensor]],
    alike: bool = False,
) -> Tensor:
    """Waveforms whose spectra are multiplied by gains, by one Fourier transform each way.

    Args:
        waveform: (B, C, T) float32 or float64.
        lengths: (B,) what lies behind them counts as 0.
        ringing: samples that the impulse response of the gains lasts: so many zeros keep a sound's end from its begin.
        gains: from the size of the transform to a function of rows: their (b, size // 2 + 1), real or complex.
        alike: whether (1, size // 2 + 1) for all rows is enough.

    Returns:
        (B, C, T).
    """
    samples = waveform.shape[-1]
    size = fast_size(samples + ringing)
    transformed, of = spectrum(silenced(waveform, lengths), size), gains(size)
    # gains by rows that stay in cache, transforms at once, as each call has its price
    for rows in [slice(None)] if alike else chunks(waveform):
        transformed[rows].mul_(of(rows)[:, None])
    return waveform_of_spectrum(transformed, size, samples)
