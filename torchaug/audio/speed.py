"""Speed: duration and pitch together, as of a tape, another for each sample."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from torchaug import keys
from torchaug.audio.kinds import Timed, silenced
from torchaug.audio.rows import in_groups, resample_rows
from torchaug.audio.timeline import TimeMap
from torchaug.image import arguments
from torchaug.transform import Sizes

STEPS = 1 << 15  # of a factor between two whole numbers: 0.03 cent of pitch at 1
DENOMINATOR = 1000  # of a factor in a list, at most
RATES = (1.0 / 16, 16.0)  # of factors


class Paced(Timed):
    """A transform after which a sound is over sooner or later, as a whole. A concrete one writes `ratio` and `paced`.

    A sound of n samples has `ceil(n * up / down)` of them afterwards.

    Args:
        slowest: the least factor of the speed.
        keeps_length: cut or pad with zeros to the length that came in.
        p: chance per sample.
    """

    uniforms = 1

    def __init__(self, slowest: Fraction, keeps_length: bool, p: float) -> None:
        super().__init__(p)
        self.slowest = slowest.as_integer_ratio()
        self.keeps_length = bool(keeps_length)

    @abstractmethod
    def ratio(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64 `down` and `up`: the speed is `down / up`."""

    @abstractmethod
    def paced(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        """What becomes of some rows, whose padding is 0: (B, C, samples)."""

    def samples_after(self, samples: int) -> int:
        down, up = self.slowest
        return samples if self.keeps_length else max(samples, -(-samples * up // down))

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        if self.keeps_length:
            return lengths
        down, up = self.ratio(u)
        return torch.div(lengths * up + down - 1, down, rounding_mode="floor")

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        down, up = self.ratio(u)
        factor = down.to(torch.float64) / up
        if not self.keeps_length:
            return TimeMap.linear(lengths, lengths / factor)
        return TimeMap.linear(torch.minimum(lengths, lengths * factor), torch.minimum(lengths, lengths / factor))

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        def work(waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
            own = silenced(waveform, lengths)
            return self.paced(own, lengths, u, samples)

        return in_groups(work, waveform, lengths, u)


class SpeedPerturbation(Paced):
    """Play each sound faster or slower, with its pitch, as Kaldi's recipes do: by one of a few factors, or any in a range.

    >>> sound = torch.sin(torch.arange(4000) * 0.1)
    >>> SpeedPerturbation(factors=[1.25], p=1.0)(sound).shape
    torch.Size([3200])

    Args:
        factors: of the speed, each as likely as the others, as fractions whose denominator is at most 1000; above 1 it is
            faster, and the sound shorter. (0.9, 1, 1.1) where no range is given.
        min_factor: of a range to draw uniformly from, in place of `factors`; at least 1/16.
        max_factor: its end, at most 16.
        keep_length: cut or pad to the length that came in.
        p: chance per sample.

    Parameters per sample: factor. After Ko, Peddinti, Povey and Khudanpur, "Audio augmentation for speech recognition", 2015.
    """

    def __init__(
        self,
        factors: Sequence[float] | None = None,
        min_factor: float | None = None,
        max_factor: float | None = None,
        keep_length: bool = False,
        p: float = 0.5,
    ) -> None:
        who = type(self).__name__
        fractions = _factors(factors, min_factor, max_factor, who)
        super().__init__(min(fractions), keep_length, p)
        self.factors = None if min_factor is not None else tuple(map(float, fractions))
        self.min_factor, self.max_factor, self.keep_length = min_factor, max_factor, keep_length
        self.fractions = [fraction.as_integer_ratio() for fraction in fractions]
        self.slow, self.fast = float(min(fractions)), float(max(fractions))

    def ratio(self, u: Tensor) -> tuple[Tensor, Tensor]:
        if self.factors is None:
            return stepped(keys.uniform(u[:, 0], self.slow, self.fast))
        which = keys.integers(u[:, 0], 0, len(self.fractions))
        down, up = torch.zeros_like(which), torch.zeros_like(which)
        for i, (numerator, denominator) in enumerate(self.fractions):
            down, up = down + (which == i) * numerator, up + (which == i) * denominator
        return down, up

    def paced(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        return resample_rows(waveform, *self.ratio(u), samples, fastest=self.fast)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        down, up = self.ratio(u)
        return {"factor": down / up}


class Resample(Paced):
    """Resample each sound to a rate of its own, as audiomentations' Resample does: what comes out has more or fewer samples,
    and taken for sound of the old rate it is slower or faster.

    >>> sound = torch.sin(torch.arange(4000) * 0.1)
    >>> to_8_khz = Resample(8000, 8000, sample_rate=16000, p=1.0)
    >>> to_8_khz(sound).shape
    torch.Size([2000])

    Args:
        min_sample_rate: in Hz, at least a 16th of `sample_rate`.
        max_sample_rate: in Hz, at most 16 times `sample_rate`.
        p: chance per sample.
        sample_rate: of the sounds that come in, in Hz.

    Parameters per sample: target_sample_rate, each whole number of Hz as likely as the others.
    """

    def __init__(
        self, min_sample_rate: int = 8000, max_sample_rate: int = 44100, p: float = 0.5, *, sample_rate: int
    ) -> None:
        who = type(self).__name__
        rate = arguments.whole(sample_rate, who, "sample_rate", 1)
        least, most = math.ceil(rate * RATES[0]), rate * int(RATES[1])
        rates = [
            arguments.whole(value, who, name, least, most)
            for name, value in (("min_sample_rate", min_sample_rate), ("max_sample_rate", max_sample_rate))
        ]
        if rates[0] > rates[1]:
            raise ValueError(f"{who}: min_sample_rate must be at most max_sample_rate, got {rates}")
        super().__init__(Fraction(rate, rates[1]), False, p)
        self.min_sample_rate, self.max_sample_rate = rates
        self.sample_rate = rate

    def ratio(self, u: Tensor) -> tuple[Tensor, Tensor]:
        target = keys.integers(u[:, 0], self.min_sample_rate, self.max_sample_rate + 1)
        return torch.full_like(target, self.sample_rate), target

    def paced(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        return resample_rows(waveform, *self.ratio(u), samples, fastest=self.sample_rate / self.min_sample_rate)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"target_sample_rate": self.ratio(u)[1]}


def stepped(factor: Tensor) -> tuple[Tensor, Tensor]:
    """A factor (B,) as (B,) int64 `down` and `up`, to half a step."""
    down = torch.round(factor * STEPS).to(torch.int64)
    return down, torch.full_like(down, STEPS)


def factor_range(low: float, high: float, who: str, names: tuple[str, str]) -> tuple[float, float]:
    """Two factors of a speed in rising order, in [1/16, 16]."""
    low, high = (arguments.number(value, who, name, *RATES) for value, name in zip((low, high), names, strict=True))
    if low > high:
        raise ValueError(f"{who}: {names[0]} must be at most {names[1]}, got {low:g} and {high:g}")
    return low, high


def step_of(factor: float) -> Fraction:
    """The step that `stepped` takes for a factor."""
    return Fraction(round(factor * STEPS), STEPS)


def _factors(factors: Sequence[float] | None, low: float | None, high: float | None, who: str) -> tuple[Fraction, ...]:
    """Those of the list, or both ends of the range."""
    if (low is None) != (high is None) or (low is not None and factors is not None):
        raise ValueError(
            f"{who}: expected factors, or min_factor and max_factor, got factors={factors}, min_factor={low}, "
            f"max_factor={high}"
        )
    if low is not None and high is not None:
        return tuple(map(step_of, factor_range(low, high, who, ("min_factor", "max_factor"))))
    values = (0.9, 1.0, 1.1) if factors is None else arguments.finite(factors)
    if not values or not all(RATES[0] <= value <= RATES[1] for value in values):
        raise ValueError(f"{who}: factors must be numbers in [{RATES[0]:g}, {RATES[1]:g}], got {factors!r}")
    return tuple(Fraction(value).limit_denominator(DENOMINATOR) for value in values)
