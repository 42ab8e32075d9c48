"""How loud a waveform is, and what its channels have."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from torchaug.audio.kinds import Wave, amplitude
from torchaug.audio.ranges import ordered
from torchaug.audio.spans import Unit, drawn_samples, lengths_in, unit, whole_between
from torchaug.audio.statistics import peak
from torchaug.image import arguments
from torchaug.keys import dense_uniforms, permutation, uniform
from torchaug.transform import Sizes


class Gain(Wave):
    """Make a waveform louder or softer. It may come out louder than [-1, 1]: see `Clip`, `Limiter` and `PeakNormalization`.

    >>> Gain(-6.0206, -6.0206, p=1.0)(torch.tensor([0.5, -1.0]))
    tensor([ 0.2500, -0.5000])

    Args:
        min_gain_db: least gain in decibels.
        max_gain_db: greatest one.
        p: chance per sample.

    Parameters per sample: gain_db, uniform.
    """

    uniforms = 1

    def __init__(self, min_gain_db: float = -12.0, max_gain_db: float = 12.0, p: float = 0.5) -> None:
        super().__init__(p)
        ordered(min_gain_db, max_gain_db, "Gain", "gain_db")
        self.min_gain_db, self.max_gain_db = min_gain_db, max_gain_db

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"gain_db": self._gain(u)}

    def _gain(self, u: Tensor) -> Tensor:
        return uniform(u[:, 0], self.min_gain_db, self.max_gain_db)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        return waveform * amplitude(self._gain(u).to(waveform.dtype))[:, None, None]


class GainTransition(Wave):
    """Fade from one loudness to another, in decibels at an even pace, which is how loudness is heard.

    The transition may begin before the sound or end after it.

    >>> GainTransition(sample_rate=16000, p=1.0)(torch.rand(2, 1, 16000)).shape
    torch.Size([2, 1, 16000])

    Args:
        min_gain_db: least gain, before or after the transition, in decibels.
        max_gain_db: greatest one.
        min_duration: shortest transition, above 0; it lasts at least 3 samples.
        max_duration: longest one.
        duration_unit: of the two: "seconds", "samples", or "fraction" of a sound's own length.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.

    Parameters per sample: start and duration in samples, start_gain_db and end_gain_db, all uniform.
    """

    uniforms = 4

    def __init__(
        self,
        min_gain_db: float = -24.0,
        max_gain_db: float = 6.0,
        min_duration: float = 0.2,
        max_duration: float = 6.0,
        duration_unit: Unit = "seconds",
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        who = "GainTransition"
        ordered(min_gain_db, max_gain_db, who, "gain_db")
        ordered(min_duration, max_duration, who, "duration", 0)
        arguments.number(min_duration, who, "min_duration", 0, above=True)
        self.min_gain_db, self.max_gain_db = min_gain_db, max_gain_db
        self.min_duration, self.max_duration = min_duration, max_duration
        self.duration_unit = unit(duration_unit, who, "duration_unit")
        self.sample_rate = arguments.whole(sample_rate, who, "sample_rate", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return self._drawn(u, lengths_in(size))

    def _drawn(self, u: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        span = (self.min_duration, self.max_duration, self.duration_unit)
        duration = drawn_samples(u[:, 0], *span, lengths, self.sample_rate).clamp(min=3)
        return {
            "start": whole_between(u[:, 1], 2 - duration, lengths - 2),
            "duration": duration,
            "start_gain_db": uniform(u[:, 2], self.min_gain_db, self.max_gain_db),
            "end_gain_db": uniform(u[:, 3], self.min_gain_db, self.max_gain_db),
        }

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        drawn = self._drawn(u, lengths)
        ends = torch.stack([drawn["start_gain_db"], drawn["end_gain_db"]], 1).to(waveform.dtype) * (math.log2(10) / 20)
        pace = (ends[:, 1:] - ends[:, :1]) / (drawn["duration"] - 1)[:, None]
        time = torch.arange(waveform.shape[-1], dtype=waveform.dtype, device=waveform.device)
        path = time - drawn["start"][:, None].to(waveform.dtype)
        path.mul_(pace).add_(ends[:, :1])  # in place, and in powers of 2: a third of the time on a CPU
        torch.maximum(path, ends.amin(1, keepdim=True), out=path)
        torch.minimum(path, ends.amax(1, keepdim=True), out=path)
        return waveform * path.exp2_()[:, None]


class PeakNormalization(Wave):
    """Scale a waveform so that its largest sample is 1 or -1; silence stays silence. (audiomentations: `Normalize`.)

    >>> PeakNormalization(p=1.0)(torch.tensor([0.2, -0.5]))
    tensor([ 0.4000, -1.0000])

    Args:
        apply_to: "all", or "only_too_loud_sounds": those that go beyond [-1, 1].
        p: chance per sample.
    """

    def __init__(self, apply_to: Literal["all", "only_too_loud_sounds"] = "all", p: float = 0.5) -> None:
        super().__init__(p)
        self.apply_to = arguments.one_of(apply_to, "PeakNormalization", "apply_to", ("all", "only_too_loud_sounds"))

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        largest = peak(waveform, lengths)
        wanted = largest > (0 if self.apply_to == "all" else 1)
        return waveform / torch.where(wanted, largest, torch.ones_like(largest))


class ShuffleChannels(Wave):
    """Put a waveform's channels in another order, each order as likely as the others. One channel stays as it is.

    >>> stereo = torch.tensor([[[0.1], [0.2]]])
    >>> sorted(ShuffleChannels(p=1.0)(stereo).flatten().tolist()) == sorted(stereo.flatten().tolist())
    True

    Args:
        p: chance per sample; the order may turn out to be the old one.
    """

    uniforms = 2

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        order = permutation(dense_uniforms(u, waveform.shape[1:2]))
        return waveform.gather(1, order[..., None].expand_as(waveform))


class DropChannels(Wave):
    """Silence channels of a waveform, each by chance, but never all of them: one channel stays as it is.

    >>> DropChannels(drop_rate=1.0, p=1.0)(torch.ones(1, 4, 1)).sum().item()
    1.0

    Args:
        drop_rate: chance of each channel. Where all would be silenced, one drawn at random is kept.
        p: chance per sample.
    """

    uniforms = 2

    def __init__(self, drop_rate: float = 0.5, p: float = 0.5) -> None:
        super().__init__(p)
        self.drop_rate = arguments.number(drop_rate, "DropChannels", "drop_rate", 0, 1)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        luck = dense_uniforms(u, waveform.shape[1:2])[..., None]
        if not waveform.shape[1]:
            return waveform
        kept = (luck >= self.drop_rate) | (luck == luck.amax(1, keepdim=True))
        return torch.where(kept, waveform, torch.zeros_like(waveform))
