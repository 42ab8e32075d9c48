"""Time of a spectrogram stretched in one part and squeezed in the other (Park et al., "SpecAugment", 2019)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.audio.spectral import TimedSpectral, extent
from torchaug.audio.timeline import TimeMap
from torchaug.image.arguments import whole
from torchaug.keys import integers
from torchaug.transform import Sizes


class TimeWarp(TimedSpectral):
    """Stretch time before a frame and squeeze it behind, or the other way, within the spectrogram's length.

    A frame drawn from the inside moves by up to `time_warp` frames, ahead or back; the first and the last stay where they
    are, and time is linear between the three. Shorter spectrograms move by less, those below 5 frames not at all. Events,
    instants and frame labels move along.

    >>> TimeWarp(time_warp=20)(torch.rand(2, 80, 300)).shape
    torch.Size([2, 80, 300])

    Args:
        time_warp: W, frames that one moves at most; centres are at least as far from both ends.
        p: chance per sample.

    Parameters per sample: center, the frame that moves, and shift, by how many frames.
    """

    uniforms = 2

    def __init__(self, time_warp: int = 80, p: float = 1.0) -> None:
        super().__init__(p)
        self.time_warp = whole(time_warp, "TimeWarp", "time_warp", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return Warp.of(u, self.time_warp, extent(size, self)[0])._asdict()

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        return Warp.of(u, self.time_warp, lengths).timeline(lengths)

    def spectrum(self, spectrogram: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        return Warp.of(u, self.time_warp, lengths).move(spectrogram, lengths)


class Warp(NamedTuple):
    """Frame `center` (B,) goes to frame `center + shift`; the first and the last stay, between them time is linear."""

    center: Tensor
    shift: Tensor

    @staticmethod
    def of(u: Tensor, most: int, lengths: Tensor) -> Warp:
        """From `u` (B, 2): shifts of up to `most` frames, by as much less as there is room for in `lengths` (B,)."""
        reach = ((lengths - 3) // 2).clamp(0, most)
        center = reach + 1 + integers(u[:, 0], 0, (lengths - 2 - 2 * reach).clamp(min=1))
        center = torch.minimum(center, (lengths - 1).clamp(min=0))
        return Warp(center, integers(u[:, 1], 0, 2 * reach + 1) - reach)

    def timeline(self, lengths: Tensor) -> TimeMap:
        """Of instants: frame j is in the middle of the time from j to j + 1."""
        end = lengths.to(torch.float64)
        first = torch.full_like(end, 0.5)
        knots = [
            torch.stack([torch.zeros_like(end), first, center + 0.5, end - 0.5, end], -1).clamp(min=0)[:, None]
            for center in (self.center, self.center + self.shift)
        ]
        return TimeMap(*(torch.minimum(knot, end[:, None, None]) for knot in knots))

    def move(self, spectrogram: Tensor, lengths: Tensor) -> Tensor:
        """(B, C, F, T) in which each frame lies between two of those that came in. Places are whole numbers and shares of
        them: in float32 they would be off by more than the last bits."""
        center, target, last = (each[:, None] for each in (self.center, self.center + self.shift, lengths - 1))
        at = torch.arange(spectrogram.shape[-1], device=lengths.device)
        ahead = at <= target
        over = torch.where(ahead, at * center, (at - target) * (last - center))
        under = torch.where(ahead, target, last - target).clamp(min=1)
        before = torch.where(ahead, 0, center) + over // under
        rest = (over % under).to(spectrogram.dtype) / under
        left, right = (_frames(spectrogram, place, last) for place in (before, before + 1))
        return torch.lerp(left, right, rest[:, None, None])


def _frames(spectrogram: Tensor, places: Tensor, last: Tensor) -> Tensor:
    """The frames of (B, C, F, T) at places (B, T), held at 0 and at `last` (B, 1)."""
    places = torch.minimum(places, last).clamp(min=0)
    return spectrogram.gather(3, places[:, None, None].expand(spectrogram.shape))
