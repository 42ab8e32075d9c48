"""The modified discrete cosine transform, which lossy codecs quantise in."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def mdct(waveform: Tensor, size: int) -> Tensor:
    """Coefficients of overlapping windows of `size` samples, half of it apart (Princen, Johnson and Bradley, ICASSP 1987).

    The window is a sine, orthogonal to its neighbours: `inverse_mdct` gives the waveform back, and white noise of some
    power has coefficients of that power.

    Args:
        waveform: (..., T) float32 or float64.
        size: of a window, a multiple of 4.

    Returns:
        (..., 1 + ceil(2 T / size), size // 2); the first and the last window reach beyond the ends, where silence is.

    >>> mdct(torch.rand(2, 1, 4096), 2048).shape
    torch.Size([2, 1, 5, 1024])
    """
    half = size // 2
    blocks = -(-waveform.shape[-1] // half) + 2
    padded = functional.pad(waveform, (half, (blocks - 1) * half - waveform.shape[-1]))
    pieces = padded.unflatten(-1, (blocks, half))
    rise, fall = _window(size, waveform)
    first, second = pieces[..., :-1, :] * rise, pieces[..., 1:, :] * fall
    (a, b), (c, d) = first.chunk(2, -1), second.chunk(2, -1)
    return _dct4(torch.cat([-c.flip(-1) - d, a - b.flip(-1)], -1))


def inverse_mdct(coefficients: Tensor, samples: int) -> Tensor:
    """The waveform (..., samples) of coefficients (..., frames, size // 2) that `mdct` made.

    >>> sound = torch.rand(3, 5000, dtype=torch.float64)
    >>> torch.allclose(inverse_mdct(mdct(sound, 256), 5000), sound)
    True
    """
    half = coefficients.shape[-1]
    rise, fall = _window(2 * half, coefficients)
    low, high = _dct4(coefficients).chunk(2, -1)
    first = torch.cat([high, -high.flip(-1)], -1) * rise
    second = torch.cat([-low.flip(-1), -low], -1) * fall
    return (first[..., 1:, :] + second[..., :-1, :]).flatten(-2)[..., :samples]


def _window(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The rising and the falling half of a sine."""
    at = (torch.arange(size // 2, device=like.device, dtype=like.dtype) + 0.5) * (math.pi / size)
    return at.sin(), at.cos()


def _dct4(blocks: Tensor) -> Tensor:
    """The orthonormal discrete cosine transform of type 4 of (..., n), its own inverse, by one complex Fourier transform of
    n / 2: neighbours at even places go with those mirrored at odd ones."""
    n = blocks.shape[-1]
    turns = (torch.arange(n // 2, device=blocks.device, dtype=blocks.dtype) + 0.125) * (-math.pi / n)
    turn = torch.polar(torch.ones_like(turns), turns)
    both = torch.complex(blocks[..., ::2], blocks[..., 1::2].flip(-1))
    spectrum = torch.fft.fft(both * turn) * turn * math.sqrt(2 / n)
    return torch.stack([spectrum.real, -spectrum.imag.flip(-1)], -1).flatten(-2)
