"""Waveforms whose peaks are cut off, bent or held down."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from torchaug.audio.kinds import Wave, own_samples, power
from torchaug.audio.ranges import ordered
from torchaug.audio.statistics import ranked
from torchaug.image import arguments
from torchaug.keys import uniform
from torchaug.transform import Sizes

SILENT = 1e-12
"""An amplitude that counts as silence: 240 dB below full scale."""


class Clip(Wave):
    """Cut off what lies outside of a range. Cheap insurance against what a file of 16 bits cannot hold.

    >>> Clip(p=1.0)(torch.tensor([0.5, -1.5]))
    tensor([ 0.5000, -1.0000])

    Args:
        a_min: lower end.
        a_max: upper end, above a_min.
        p: chance per sample.
    """

    def __init__(self, a_min: float = -1.0, a_max: float = 1.0, p: float = 0.5) -> None:
        super().__init__(p)
        self.a_min, self.a_max = arguments.rising((a_min, a_max), "Clip", "(a_min, a_max)")

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        return waveform.clamp(self.a_min, self.a_max)


class ClippingDistortion(Wave):
    """Clip a drawn share of a waveform's samples: half of them at the top, half at the bottom.

    >>> ramp = torch.linspace(-1, 1, 11)
    >>> ClippingDistortion(40, 40, p=1.0)(ramp).aminmax().max.item()  # two of eleven at each end
    0.6000000238418579

    Args:
        min_percentile_threshold: least share of samples to clip, in percent of all channels' samples.
        max_percentile_threshold: greatest share.
        p: chance per sample.

    Parameters per sample: percentile_threshold, uniform. (audiomentations draws whole percents, and of odd ones loses one
    when it halves them.)
    """

    uniforms = 1

    def __init__(
        self, min_percentile_threshold: float = 0, max_percentile_threshold: float = 40, p: float = 0.5
    ) -> None:
        super().__init__(p)
        ordered(
            min_percentile_threshold, max_percentile_threshold, "ClippingDistortion", "percentile_threshold", 0, 100
        )
        self.min_percentile_threshold = min_percentile_threshold
        self.max_percentile_threshold = max_percentile_threshold

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"percentile_threshold": self._percent(u)}

    def _percent(self, u: Tensor) -> Tensor:
        return uniform(u[:, 0].to(torch.float64), self.min_percentile_threshold, self.max_percentile_threshold)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        count = lengths * waveform.shape[1]
        clipped = torch.floor(count * (self._percent(u) / 200)).to(torch.int64)
        clipped = torch.minimum(clipped, (count - 1).clamp(min=0) // 2)  # the ends meet in the median
        low, high = ranked(waveform, lengths, torch.stack([clipped, count - 1 - clipped], 1)).unbind(1)
        return torch.minimum(torch.maximum(waveform, low[:, None, None]), high[:, None, None])


class TanhDistortion(Wave):
    """Bend a waveform with a hyperbolic tangent, which adds overtones, and give it its old loudness.

    Before, it is scaled so that the sample of the drawn rank is 0.5: of distortion 0 the loudest, of distortion 1 nearly the
    softest. Afterwards its root mean square is what it was.

    >>> sound = torch.sin(torch.arange(800) / 10)
    >>> bent = TanhDistortion(0.7, 0.7, p=1.0)(sound)
    >>> round((bent.square().mean() / sound.square().mean()).item(), 4), bool(bent.max() < sound.max())
    (1.0, True)

    Args:
        min_distortion: least distortion, in [0, 1].
        max_distortion: greatest one.
        p: chance per sample.

    Parameters per sample: distortion, uniform.
    """

    uniforms = 1

    def __init__(self, min_distortion: float = 0.01, max_distortion: float = 0.7, p: float = 0.5) -> None:
        super().__init__(p)
        ordered(min_distortion, max_distortion, "TanhDistortion", "distortion", 0, 1)
        self.min_distortion, self.max_distortion = min_distortion, max_distortion

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"distortion": self._distortion(u)}

    def _distortion(self, u: Tensor) -> Tensor:
        return uniform(u[:, 0].to(torch.float64), self.min_distortion, self.max_distortion)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        count = lengths * waveform.shape[1]
        rank = torch.floor((count - 1).clamp(min=0) * (1 - 0.99 * self._distortion(u))).to(torch.int64)
        size = ranked(waveform.abs(), lengths, rank[:, None])[..., None]
        bent = torch.sigmoid(waveform * (1 / (size + 1e-6))) * 2 - 1  # tanh of half of it, three times as fast on a CPU
        before, after = power(waveform, lengths), power(bent, lengths)
        heard = (before > SILENT**2) & (after > 0)  # silence has no loudness to go back to
        ratio = torch.where(heard, before, 1) / torch.where(heard, after, 1)
        return bent * ratio.sqrt()


class Limiter(Wave):
    """Hold peaks below a threshold by turning the loudness down before each of them and up again after it.

    The level follows the peaks of all channels together. It rises before a peak, which is seen ahead, by 60 dB in the attack
    time, and falls after it by 60 dB in the release time; where it is above the threshold, the waveform is turned down by as
    much. So no sample comes out above the threshold, nothing is delayed, and the channels keep their balance.
    (audiomentations' limiter follows each channel by a recursion of its own; this one is a cumulative maximum of levels, which
    needs no loop.)

    >>> limit = Limiter(-6.0206, -6.0206, threshold_mode="absolute", p=1.0, sample_rate=8000)
    >>> round(limit(torch.sin(torch.arange(800) / 10)).max().item(), 3)
    0.5

    Args:
        min_threshold_db: least threshold in decibels.
        max_threshold_db: greatest one.
        min_attack: shortest attack in seconds, above 0.
        max_attack: longest one.
        min_release: shortest release in seconds, above 0.
        max_release: longest one.
        threshold_mode: what 0 dB is: "relative_to_signal_peak" or "absolute", where it is an amplitude of 1.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.

    Parameters per sample: threshold_db, attack and release, uniform.
    """

    uniforms = 3

    def __init__(
        self,
        min_threshold_db: float = -24.0,
        max_threshold_db: float = -2.0,
        min_attack: float = 0.0005,
        max_attack: float = 0.025,
        min_release: float = 0.05,
        max_release: float = 0.7,
        threshold_mode: Literal["relative_to_signal_peak", "absolute"] = "relative_to_signal_peak",
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        ordered(min_threshold_db, max_threshold_db, "Limiter", "threshold_db")
        for name, low, high in (("attack", min_attack, max_attack), ("release", min_release, max_release)):
            ordered(low, high, "Limiter", name)
            arguments.number(low, "Limiter", f"min_{name}", 0, above=True)
        self.min_threshold_db, self.max_threshold_db = min_threshold_db, max_threshold_db
        self.min_attack, self.max_attack = min_attack, max_attack
        self.min_release, self.max_release = min_release, max_release
        modes = ("relative_to_signal_peak", "absolute")
        self.threshold_mode = arguments.one_of(threshold_mode, "Limiter", "threshold_mode", modes)
        self.sample_rate = arguments.whole(sample_rate, "Limiter", "sample_rate", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return self._drawn(u)

    def _drawn(self, u: Tensor) -> dict[str, Tensor]:
        return {
            "threshold_db": uniform(u[:, 0], self.min_threshold_db, self.max_threshold_db),
            "attack": uniform(u[:, 1], self.min_attack, self.max_attack),
            "release": uniform(u[:, 2], self.min_release, self.max_release),
        }

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        if not waveform.shape[1] * waveform.shape[2]:
            return waveform
        drawn = {name: value.to(torch.float64)[:, None] for name, value in self._drawn(u).items()}
        own = own_samples(lengths, waveform.shape[-1])
        size = torch.where(own, waveform.abs(), torch.zeros_like(waveform)).amax(1).to(torch.float64)
        level = size.clamp(min=SILENT).log()
        rise, fall = (math.log(1000) / (drawn[name] * self.sample_rate) for name in ("attack", "release"))
        threshold = drawn["threshold_db"] * (math.log(10) / 20)
        if self.threshold_mode == "relative_to_signal_peak":
            threshold = threshold + level.amax(1, keepdim=True)
        reduced = (threshold - _followed(level, rise, fall)).clamp(max=0).exp().to(waveform.dtype)
        return waveform * reduced[:, None]


def _followed(level: Tensor, rise: Tensor, fall: Tensor) -> Tensor:
    """The least levels (B, T) at or above `level` that rise and fall by at most so much a sample, (B, 1) each.

    In float64: the slopes are taken off before the cumulative maximum and put on after it, thousands over a long sound.
    """
    time = torch.arange(level.shape[1], dtype=torch.float64, device=level.device)
    down = (level + fall * time).cummax(1).values - fall * time
    return (down - rise * time).flip(1).cummax(1).values.flip(1) + rise * time
