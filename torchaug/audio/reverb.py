"""Reverberation of rooms that are given by how long they ring, not by where their walls are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug.audio.convolve import convolve, fast_size, spectrum, waveform_of_spectrum
from torchaug.audio.kinds import Wave, silenced
from torchaug.audio.ranges import ordered
from torchaug.image.arguments import whole
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes

MIDDLE, TREBLE = 1000.0, 8000.0
"""Hz: up to one octave band all ring alike, and three octaves above it they ring by the treble's share."""
SLOPE = 1 / 6
"""Octaves from one band to the next: narrow, so that one hardly rings in the other's time."""


class ParametricReverb(Wave):
    """Put each sound into a room of its own, made of noise that dies away: no impulse response is read from a file.

    The room's response is the direct path, then normal noise, of which each octave band falls by 60 dB in a time of its own.
    All channels hear the same room. The response has the energy 1, so noise keeps its level; what rings after a sound's end
    is cut off. Nothing is delayed.

    Parameters per sample, each uniform: `rt60` of the octave of 1 kHz and all below it; `treble_ratio`, by which that of
    8 kHz is shorter, and those between and above in the same proportion per octave; `drr_db`.

    Source: J. A. Moorer, "About this reverberation business" (1979), in octave bands.

    >>> ParametricReverb(p=1.0, sample_rate=16000)(torch.randn(8, 1, 16000)).shape
    torch.Size([8, 1, 16000])

    Args:
        min_rt60: seconds in which the reverberation falls by 60 dB, at least 0.02.
        max_rt60: likewise; a long one costs time and memory.
        min_drr_db: energy of the direct path over that of all the rest, in dB, within 60 of 0.
        max_drr_db: likewise.
        min_treble_ratio: the decay time at 8 kHz over that at 1 kHz, in [0.05, 1].
        max_treble_ratio: likewise.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    uniforms = 5

    def __init__(
        self,
        min_rt60: float = 0.2,
        max_rt60: float = 0.8,
        min_drr_db: float = -6.0,
        max_drr_db: float = 12.0,
        min_treble_ratio: float = 0.4,
        max_treble_ratio: float = 0.9,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        who = "ParametricReverb"
        self.min_rt60, self.max_rt60 = ordered(min_rt60, max_rt60, who, "rt60", 0.02)
        self.min_drr_db, self.max_drr_db = ordered(min_drr_db, max_drr_db, who, "drr_db", -60, 60)
        self.min_treble_ratio, self.max_treble_ratio = ordered(
            min_treble_ratio, max_treble_ratio, who, "treble_ratio", 0.05, 1
        )
        self.sample_rate = whole(sample_rate, who, "sample_rate", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return self.settings(u)

    def settings(self, u: Tensor) -> dict[str, Tensor]:
        """What is drawn, (B,) each, from `u` (B, uniforms), besides the noise."""
        return {
            "rt60": uniform(u[:, 2], self.min_rt60, self.max_rt60),
            "drr_db": uniform(u[:, 3], self.min_drr_db, self.max_drr_db),
            "treble_ratio": uniform(u[:, 4], self.min_treble_ratio, self.max_treble_ratio),
        }

    def responses(self, u: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, samples) the impulse responses, the direct path first."""
        rt60, drr_db, treble_ratio = self.settings(u).values()
        size = fast_size(math.ceil(self.max_rt60 * self.sample_rate))
        tail = decaying(noise(u[:, :2], (size,)).to(dtype), rt60, treble_ratio, self.sample_rate)
        energy = tail.square().sum(1, keepdim=True).clamp(min=torch.finfo(dtype).tiny)
        rest = 10 ** (drr_db[:, None] / -10)
        direct = (1 + rest).rsqrt()
        return torch.cat([direct, tail * (direct * (rest / energy).sqrt())], 1).to(dtype)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        samples = waveform.shape[-1]
        responses = self.responses(u, waveform.dtype)[:, None, : max(1, samples)]
        return convolve(silenced(waveform, lengths), responses)[..., :samples]


def decaying(noise: Tensor, rt60: Tensor, treble_ratio: Tensor, sample_rate: int) -> Tensor:
    """Noise (B, N), N even, whose octave bands fall by 60 dB in `rt60` (B,) seconds, at 8 kHz in `treble_ratio` of that."""
    size = noise.shape[1]
    octaves = math.log2(TREBLE / MIDDLE)
    bands = max(1, math.ceil(math.log2(max(1.0, sample_rate / 2 / MIDDLE)) + 0.5))
    frequency = torch.arange(size // 2 + 1, device=noise.device) * (sample_rate / size / MIDDLE)
    place = torch.log2(frequency.clamp(min=1 / 16)).to(noise.dtype)
    time = torch.arange(size, device=noise.device, dtype=noise.dtype) * (-3 * math.log(10) / sample_rate)
    whole = spectrum(noise, size)
    total = torch.zeros_like(noise)
    for band in range(bands):
        share = _above(place, band - 0.5) if band else torch.ones_like(place)
        share = share - _above(place, band + 0.5) if band < bands - 1 else share
        seconds = (rt60 * treble_ratio ** (band / octaves)).to(noise.dtype)
        total = total + waveform_of_spectrum(whole * share, size, size) * torch.exp(time / seconds[:, None])
    return total


def _above(place: Tensor, edge: float) -> Tensor:
    """How much of each frequency lies above an edge, both in octaves: 0 to 1, over a `SLOPE`."""
    return 0.5 - 0.5 * torch.cos(math.pi * ((place - edge) / SLOPE + 0.5).clamp(0, 1))
