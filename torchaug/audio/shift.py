"""Waveforms earlier or later."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.audio.kinds import Timed, taken
from torchaug.audio.pieces import Pieces
from torchaug.audio.ranges import ordered
from torchaug.audio.spans import Unit, drawn_samples, fade, lengths_in, unit, written
from torchaug.audio.timeline import TimeMap
from torchaug.image import arguments
from torchaug.transform import Sizes


class Shift(Timed):
    """Shift a waveform in time: later by amounts above 0, earlier by those below.

    "Fast-forward" is used for two things. One is a shift to an earlier time, as if the beginning had been skipped:
    `Shift(-0.3, -0.1, rollover=False, sample_rate=...)`. The other is to play faster: `SpeedPerturbation` with factors
    above 1.

    >>> Shift(-1, -1, "samples", fade_duration=0, p=1.0, sample_rate=8000)(torch.tensor([0.1, 0.2, 0.3]))
    tensor([0.2000, 0.3000, 0.1000])

    Args:
        min_shift: least shift.
        max_shift: greatest shift.
        shift_unit: of the two: "fraction" of a sound's own length, in [-1, 1], "samples" or "seconds".
        rollover: what leaves a sound at one end comes back at its other end; otherwise it is lost, and silence comes.
        fade_duration: of the fades (half a cosine) at the seam, where the end meets the beginning, in seconds.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.

    Parameters per sample: shift in samples, uniform. With rollover labels have two parts: an event across the seam becomes
    two.
    """

    uniforms = 1
    keeps_length = True
    ends_in_silence = True

    def __init__(
        self,
        min_shift: float = -0.5,
        max_shift: float = 0.5,
        shift_unit: Unit = "fraction",
        rollover: bool = True,
        fade_duration: float = 0.005,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        self.shift_unit = unit(shift_unit, "Shift", "shift_unit")
        bounds = (-1.0, 1.0) if shift_unit == "fraction" else (-float("inf"), float("inf"))
        ordered(min_shift, max_shift, "Shift", "shift", *bounds)
        self.min_shift, self.max_shift = min_shift, max_shift
        self.rollover = rollover
        self.fade_duration = arguments.number(fade_duration, "Shift", "fade_duration", 0)
        self.sample_rate = arguments.whole(sample_rate, "Shift", "sample_rate", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"shift": self._shift(u, lengths_in(size))}

    def _shift(self, u: Tensor, lengths: Tensor) -> Tensor:
        return drawn_samples(u[:, 0], self.min_shift, self.max_shift, self.shift_unit, lengths, self.sample_rate)

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        return self._pieces(self._shift(u, lengths), lengths).timeline()

    def _pieces(self, shift: Tensor, lengths: Tensor) -> Pieces:
        if not self.rollover:
            begin, end = (-shift).clamp(min=0), lengths - shift.clamp(min=0)
            return Pieces(begin[:, None], end[:, None], shift.clamp(min=0)[:, None])
        seam = shift % lengths.clamp(min=1)
        cut, none = lengths - seam, torch.zeros_like(seam)
        begin, end, target = (torch.stack(two, 1) for two in ((none, cut), (cut, lengths), (seam, none)))
        return Pieces(begin, end, target)

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        shift = self._shift(u, lengths)
        out, seam = self._pieces(shift, lengths).of(waveform, samples), shift % lengths.clamp(min=1)
        width = round(self.fade_duration * self.sample_rate)
        near = torch.arange(-width, width, device=waveform.device)
        around = torch.where(seam > 0, seam, -width)[:, None] + near  # without a seam: before the sound
        factors = fade((near + 0.5).abs().to(out.dtype), width)
        return written(out, around, taken(out, around) * factors) if width else out
