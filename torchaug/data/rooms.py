"""What makes made-up sounds like recorded ones: a room around each, and noise in it.

Of their own, and not by the transforms that do the like: an augmentation is not to be judged on sounds that it made.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.keys import fold_in, log_uniform, noise, uniform, uniforms


def in_rooms(waveforms: Tensor, keys: Tensor, seconds: float, sample_rate: int) -> Tensor:
    """Each waveform (N, T) in a room of its own: itself, and an echo that dies away as noise does.

    Args:
        waveforms: (N, T) floating point.
        keys: (N,) int64, the randomness of each.
        seconds: until the echo of the most reverberant room is 60 dB down; of others, from a fifth of it on. 0: no rooms.
        sample_rate: in Hz.

    Returns:
        (N, T), each as loud as before; the echo after T is cut off.

    >>> click = torch.zeros(1, 800).index_fill(1, torch.tensor([0]), 1.0)
    >>> echo = in_rooms(click, torch.tensor([7]), 0.05, 8000)[0]
    >>> bool(echo[1:400].square().mean() > 100 * echo[400:].square().mean())
    True
    """
    if not seconds:
        return waveforms
    u = uniforms(fold_in(keys, 1), 4)
    decay = log_uniform(u[:, :1], seconds / 5, seconds)
    time = torch.arange(waveforms.shape[1]) / sample_rate
    echo = noise(u[:, 2:], time.shape) * 10 ** (-3 * time / decay)
    echo = echo / echo.square().sum(1, keepdim=True).sqrt()
    response = echo * 10 ** (-uniform(u[:, 1:2], 0.0, 12.0) / 20)  # the direct sound is up to 12 dB louder
    response[:, 0] = 1.0
    size = 2 * waveforms.shape[1]
    heard: Tensor = torch.fft.irfft(torch.fft.rfft(waveforms, size) * torch.fft.rfft(response, size), size)
    heard = heard[:, : waveforms.shape[1]]
    return heard * (_power(waveforms) / _power(heard).clamp(min=1e-12)).sqrt()


def in_noise(waveforms: Tensor, u: Tensor, snr_db: float) -> Tensor:
    """Waveforms (N, T) in white noise, `snr_db` to 15 dB more below them; `u` (N, 3) are its uniforms."""
    amount = 10 ** (-uniform(u[:, :1], snr_db, snr_db + 15) / 20)
    return waveforms + amount * noise(u[:, 1:], waveforms.shape[1:]) * _power(waveforms).sqrt()


def _power(waveforms: Tensor) -> Tensor:
    return waveforms.square().mean(1, keepdim=True)
