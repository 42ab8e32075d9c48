"""Sound as an analogue telephone line and its exchange carry it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from torchaug.audio.codec import rounded
from torchaug.audio.kinds import Wave, own_samples, silenced
from torchaug.audio.resample import resample
from torchaug.image.arguments import whole

RATE = 8000
LOW, HIGH = 300.0, 3400.0
TAPS = 255  # 60 dB down within 120 Hz of the edges
MU = 255.0


class TelephoneCodec(Wave):
    """A call by telephone: 300 to 3400 Hz at 8 kHz, in the 8 bits a sample of the mu-law (ITU-T G.711, mu = 255).

    A steep linear-phase filter; levels are those of the smooth law, 127 on each side of 0, so that silence stays silent.
    Samples above full scale are clipped. The gradient passes by the rounding (straight-through).

    >>> TelephoneCodec(sample_rate=16000, p=1.0)(torch.rand(2, 1, 16000)).shape
    torch.Size([2, 1, 16000])

    Args:
        sample_rate: of the waveforms, in Hz; they keep it.
        p: chance per sample.
    """

    straight_through = True

    def __init__(self, *, sample_rate: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.sample_rate = whole(sample_rate, "TelephoneCodec", "sample_rate", 1)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        if not waveform.numel():
            return waveform
        whole = silenced(waveform, lengths)
        line = resample(whole, self.sample_rate, RATE)
        # nothing is sent once the call is over, the ringing of the filters neither
        called = own_samples(-(-lengths * RATE // self.sample_rate), line.shape[-1])
        line = torch.where(called, line, torch.zeros_like(line))
        line = torch.where(called, mu_law(_filtered(line)), torch.zeros_like(line))
        return resample(line, RATE, self.sample_rate)[..., : waveform.shape[-1]]


def mu_law(waveform: Tensor) -> Tensor:
    """Rounded to 8 bits on the mu-law's scale, and back.

    >>> mu_law(torch.tensor([0.0, 0.01, 0.5, -2.0]))
    tensor([ 0.0000,  0.0100,  0.4953, -1.0000])
    """
    loud = waveform.clamp(-1, 1)
    scale = rounded(loud.sign() * torch.log1p(MU * loud.abs()) * (127 / math.log1p(MU))) / 127
    return scale.sign() * torch.expm1(scale.abs() * math.log1p(MU)) / MU


def _filtered(waveform: Tensor) -> Tensor:
    """What of (B, C, T) at RATE lies between LOW and HIGH, by a windowed difference of two sincs."""
    at = torch.arange(TAPS, device=waveform.device, dtype=waveform.dtype) - TAPS // 2
    window = torch.kaiser_window(TAPS, periodic=False, beta=5.65, device=waveform.device, dtype=waveform.dtype)
    low, high = 2 * LOW / RATE, 2 * HIGH / RATE
    kernel = (high * torch.sinc(high * at) - low * torch.sinc(low * at)) * window
    return functional.conv1d(waveform.flatten(0, 1)[:, None], kernel[None, None], padding=TAPS // 2).view_as(waveform)
