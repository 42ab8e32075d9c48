"""Waveforms upside down and backwards."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.audio.kinds import Timed, Wave, taken
from torchaug.audio.timeline import TimeMap
from torchaug.transfer import all_of


class PolarityInversion(Wave):
    """Flip the sign of a waveform, which nobody hears and no model should.

    >>> PolarityInversion(p=1.0)(torch.tensor([0.5, -1.0]))
    tensor([-0.5000,  1.0000])

    Args:
        p: chance per sample.
    """

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        return -waveform


class TimeInversion(Timed):
    """Play a waveform backwards, each within its own length.

    >>> TimeInversion(p=1.0)(torch.tensor([[0.1, 0.2, 0.3]]))
    tensor([[0.3000, 0.2000, 0.1000]])

    Args:
        p: chance per sample.
    """

    keeps_length = True

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        ahead = TimeMap.linear(lengths, lengths)
        return TimeMap(ahead.source, ahead.target.flip(-1))

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        if all_of(lengths >= samples):
            return waveform.flip(-1)
        return taken(waveform, lengths[:, None] - 1 - torch.arange(samples, device=waveform.device))
