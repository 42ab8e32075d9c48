"""Recorded rooms: convolution with impulse responses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.audio.bank import Sounds, bank_of
from torchaug.audio.convolve import convolve
from torchaug.audio.kinds import Timed, fitted, own_samples, root, silenced, taken
from torchaug.audio.noise import ratio
from torchaug.audio.timeline import TimeMap
from torchaug.image.arguments import within
from torchaug.keys import integers, uniform
from torchaug.transform import Sizes


class ApplyImpulseResponse(Timed):
    """Play a sound in a room whose impulse response was recorded.

    Each sample is convolved with a response of its own. The reverberated sound has the energy of the dry one, and so has what
    is mixed of both, unless `keep_energy=False` leaves the responses as they were recorded. A mono response goes to all
    channels.

    Args:
        irs: a `SoundBank`; or what makes one: a tensor (N, C, T), a list of tensors (C, T), a folder, a sound file or a list
            of these.
        leave_length_unchanged: cut the tail off where the sound ended; else sounds get longer by it, and what comes out is
            padded for the longest response.
        wet: the part of the reverberated sound in what comes out, from 0 to 1, or (low, high) to draw it from.
        compensate_delay: let the direct sound, taken to be the largest sample of the response, stay where it was. Without
            it the sound comes later, and its events, instants and frame labels with it.
        keep_energy: see above.
        p: chance per sample.
        sample_rate: of the waveforms; needed for responses in files.

    Parameters per sample: ir (its place in the bank), wet.

    >>> echo = torch.zeros(1, 300)
    >>> echo[0, 0], echo[0, 200] = 1.0, 0.5
    >>> click = torch.zeros(1, 400)
    >>> click[0, 10] = 1.0
    >>> out = ApplyImpulseResponse([echo], keep_energy=False, p=1.0)(click)
    >>> out[0, 10].item(), round(out[0, 210].item(), 4)
    (1.0, 0.5)
    """

    uniforms = 2

    def __init__(
        self,
        irs: Sounds,
        leave_length_unchanged: bool = True,
        wet: float | Sequence[float] = 1.0,
        compensate_delay: bool = True,
        keep_energy: bool = True,
        p: float = 0.5,
        *,
        sample_rate: int | None = None,
    ) -> None:
        super().__init__(p)
        self.wet = within(wet, "ApplyImpulseResponse", "wet", 0, 1)
        self.leave_length_unchanged = self.keeps_length = leave_length_unchanged
        self.compensate_delay, self.keep_energy = compensate_delay, keep_energy
        self.irs = bank_of(irs, sample_rate, "ApplyImpulseResponse", "irs")
        self.sample_rate = sample_rate

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"ir": integers(u[:, 0], 0, len(self.irs)), "wet": uniform(u[:, 1], *self.wet)}

    def samples_after(self, samples: int) -> int:
        return samples if self.leave_length_unchanged else samples + self.irs.longest - 1

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        if self.leave_length_unchanged:
            return lengths
        which = integers(u[:, 0], 0, len(self.irs))
        tail = self.irs.lengths.to(u.device)[which] - 1
        tail = tail - self.irs.peaks.to(u.device)[which] if self.compensate_delay else tail
        return torch.where(lengths > 0, lengths + tail, lengths)

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        way = TimeMap.linear(lengths, lengths)
        if self.compensate_delay:
            return way
        later = self.irs.peaks.to(u.device)[integers(u[:, 0], 0, len(self.irs))]
        if not self.leave_length_unchanged:
            return TimeMap(way.source, way.target + later[:, None, None])
        stays = (lengths - later).clamp(min=0)  # what comes later than that is cut off with the tail
        way = TimeMap.linear(stays, stays)
        return TimeMap(way.source, way.target + torch.minimum(later, lengths)[:, None, None])

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        self.irs.check(waveform, "ApplyImpulseResponse", "irs")
        which, wet = integers(u[:, 0], 0, len(self.irs)), uniform(u[:, 1], *self.wet)[:, None, None]
        dry = silenced(waveform, lengths)
        heard = own_samples(self.lengths_after(lengths, u), samples)
        out = convolve(dry, self.irs.whole(which).to(dry.dtype))
        if self.compensate_delay:
            ahead = self.irs.peaks[which][:, None] + torch.arange(samples, device=u.device)
            out = taken(fitted(out, out.shape[2] + 1), ahead)  # a zero stands for all that lies behind the end
        out = torch.where(heard, fitted(out, samples), 0)
        dry = fitted(dry, samples)
        if not self.keep_energy:
            return dry + (out - dry) * wet
        level = energy(dry)
        out = out * ratio(level, energy(out))
        if self.wet == (1.0, 1.0):
            return out
        out = dry + (out - dry) * wet
        return out * ratio(level, energy(out))


def energy(waveform: Tensor) -> Tensor:
    """(B, 1, 1): the root of the sum of squares."""
    return root(waveform.square().sum((1, 2), keepdim=True))
