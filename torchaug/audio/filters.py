"""Butterworth filters: what is above, below, within or outside of frequencies that differ from sample to sample."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.audio.biquads import HIGHEST, butterworth, butterworth_band, warped
from torchaug.audio.filtered import Filtered
from torchaug.audio.ranges import mel_uniform, ordered
from torchaug.keys import integers, uniform

LOWEST = 1.0
"""Hz: a filter set lower would ring for longer than most sounds last."""
EDGE = 20.0
"""Hz: the lower edge of a band is no lower, unless its centre is."""
CENTER = 0.9 * HIGHEST
"""Of the sample rate: the highest centre of a band, which leaves room for its upper edge."""


class _Butterworth(Filtered):
    """A Butterworth filter of an order that is drawn too."""

    def __init__(self, rolloff: tuple[int, int], zero_phase: bool, sample_rate: int, p: float) -> None:
        super().__init__(sample_rate, p)
        who = type(self).__name__
        self.zero_phase, self.step = bool(zero_phase), 12 if zero_phase else 6
        low, high = ordered(*rolloff, who, "rolloff", self.step)
        if low % self.step or high % self.step:
            raise ValueError(
                f"{who}: min_rolloff and max_rolloff must be multiples of {self.step} dB per octave"
                f"{' where zero_phase is True' if zero_phase else ''}, got {low:g} and {high:g}"
            )
        self.min_rolloff, self.max_rolloff = int(low), int(high)

    @property
    def orders(self) -> tuple[int, int]:
        """Least and greatest."""
        return self.min_rolloff // self.step, self.max_rolloff // self.step

    def rolloff(self, u: Tensor) -> Tensor:
        """(B,) dB per octave, from uniforms (B,)."""
        low, high = self.orders
        return integers(u, low, high + 1) * self.step


class _OneSided(_Butterworth):
    """A low-pass or a high-pass filter."""

    uniforms = 2
    in_time = True
    high: bool

    def __init__(
        self, cutoff: tuple[float, float], rolloff: tuple[int, int], zero_phase: bool, sample_rate: int, p: float
    ) -> None:
        super().__init__(rolloff, zero_phase, sample_rate, p)
        self.min_cutoff_freq, self.max_cutoff_freq = ordered(*cutoff, type(self).__name__, "cutoff_freq", LOWEST)
        self.settle()

    def settings(self, u: Tensor) -> dict[str, Tensor]:
        cutoff = mel_uniform(u[:, 0], self.min_cutoff_freq, self.max_cutoff_freq)
        return {"cutoff_freq": cutoff.clamp(max=HIGHEST * self.sample_rate), "rolloff": self.rolloff(u[:, 1])}

    def sections(self, settings: dict[str, Tensor]) -> Tensor:
        k = warped(settings["cutoff_freq"], self.sample_rate)
        return butterworth(k, settings["rolloff"] // self.step, self.orders[1], high=self.high)


class LowPassFilter(_OneSided):
    """Take away what is above a cut-off frequency, by a Butterworth filter, as audiomentations' transform of this name.

    Parameters per sample: `cutoff_freq`, uniform on the mel scale, and `rolloff`. A cut-off above 0.49 of the sample rate
    counts as that. The filter starts from rest: before its begin a sound is silent.

    >>> hiss = torch.tensor([1.0, -1.0]).repeat(2, 1, 800)
    >>> LowPassFilter(200, 800, p=1.0, sample_rate=16000)(hiss)[..., 400:].abs().max() < 1e-3
    tensor(True)

    Args:
        min_cutoff_freq: in Hz, at least 1: where the gain is -3 dB, or -6 dB with `zero_phase`.
        max_cutoff_freq: in Hz.
        min_rolloff: how steep, in dB per octave: a multiple of 6, or of 12 with `zero_phase`.
        max_rolloff: likewise.
        zero_phase: filter forwards and backwards, by which nothing is delayed.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    high = False

    def __init__(
        self,
        min_cutoff_freq: float = 150.0,
        max_cutoff_freq: float = 7500.0,
        min_rolloff: int = 12,
        max_rolloff: int = 24,
        zero_phase: bool = False,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__((min_cutoff_freq, max_cutoff_freq), (min_rolloff, max_rolloff), zero_phase, sample_rate, p)


class HighPassFilter(_OneSided):
    """Take away what is below a cut-off frequency, by a Butterworth filter, as audiomentations' transform of this name.

    Parameters per sample: `cutoff_freq`, uniform on the mel scale, and `rolloff`. A cut-off above 0.49 of the sample rate
    counts as that. The filter starts from rest: before its begin a sound is silent.

    >>> hum = torch.sin(torch.arange(4000) * 2 * torch.pi * 50 / 16000)
    >>> HighPassFilter(1000, 2000, p=1.0, sample_rate=16000)(hum)[2000:].abs().max() < 0.01
    tensor(True)

    Args:
        min_cutoff_freq: in Hz, at least 1: where the gain is -3 dB, or -6 dB with `zero_phase`.
        max_cutoff_freq: in Hz.
        min_rolloff: how steep, in dB per octave: a multiple of 6, or of 12 with `zero_phase`.
        max_rolloff: likewise.
        zero_phase: filter forwards and backwards, by which nothing is delayed.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    high = True

    def __init__(
        self,
        min_cutoff_freq: float = 20.0,
        max_cutoff_freq: float = 2400.0,
        min_rolloff: int = 12,
        max_rolloff: int = 24,
        zero_phase: bool = False,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__((min_cutoff_freq, max_cutoff_freq), (min_rolloff, max_rolloff), zero_phase, sample_rate, p)


class _Banded(_Butterworth):
    """A band-pass or a band-stop filter."""

    uniforms = 3
    stop: bool

    def __init__(
        self,
        center: tuple[float, float],
        fraction: tuple[float, float],
        rolloff: tuple[int, int],
        zero_phase: bool,
        sample_rate: int,
        p: float,
    ) -> None:
        super().__init__(rolloff, zero_phase, sample_rate, p)
        who = type(self).__name__
        self.min_center_freq, self.max_center_freq = ordered(*center, who, "center_freq", LOWEST)
        self.min_bandwidth_fraction, self.max_bandwidth_fraction = ordered(
            *fraction, who, "bandwidth_fraction", 0.01, 1.999
        )
        self.settle()

    def settings(self, u: Tensor) -> dict[str, Tensor]:
        center = mel_uniform(u[:, 0], self.min_center_freq, self.max_center_freq).clamp(max=CENTER * self.sample_rate)
        half = center * uniform(u[:, 1], self.min_bandwidth_fraction, self.max_bandwidth_fraction) / 2
        low = torch.maximum(center - half, (center / 2).clamp(max=EDGE))
        high = (center + half).clamp(max=HIGHEST * self.sample_rate)
        return {"center_freq": center, "low_freq": low, "high_freq": high, "rolloff": self.rolloff(u[:, 2])}

    def sections(self, settings: dict[str, Tensor]) -> Tensor:
        low, high = (warped(settings[name], self.sample_rate) for name in ("low_freq", "high_freq"))
        return butterworth_band(low, high, settings["rolloff"] // self.step, self.orders[1], stop=self.stop)


class BandPassFilter(_Banded):
    """Keep what is in a band of frequencies, by a Butterworth filter, as audiomentations' transform of this name.

    Parameters per sample: `center_freq`, uniform on the mel scale, `low_freq` and `high_freq`, its edges, and `rolloff`. The
    upper edge is at most 0.49 of the sample rate, the centre at most 0.441 of it, and the lower edge at least 20 Hz or half
    of the centre, whichever is less.

    >>> hum = torch.sin(torch.arange(4000) * 2 * torch.pi * 50 / 16000)
    >>> BandPassFilter(1000, 2000, 0.5, 1.0, p=1.0, sample_rate=16000)(hum)[2000:].abs().max() < 0.01
    tensor(True)

    Args:
        min_center_freq: in Hz, at least 1.
        max_center_freq: in Hz.
        min_bandwidth_fraction: the width of the band, as a part of its centre, in [0.01, 1.999].
        max_bandwidth_fraction: likewise.
        min_rolloff: how steep, in dB per octave: a multiple of 6, or of 12 with `zero_phase`.
        max_rolloff: likewise.
        zero_phase: filter forwards and backwards, by which nothing is delayed; the edges are at -6 dB, not -3 dB.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    stop = False

    def __init__(
        self,
        min_center_freq: float = 200.0,
        max_center_freq: float = 4000.0,
        min_bandwidth_fraction: float = 0.5,
        max_bandwidth_fraction: float = 1.99,
        min_rolloff: int = 12,
        max_rolloff: int = 24,
        zero_phase: bool = False,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        center, fraction = (min_center_freq, max_center_freq), (min_bandwidth_fraction, max_bandwidth_fraction)
        super().__init__(center, fraction, (min_rolloff, max_rolloff), zero_phase, sample_rate, p)


class BandStopFilter(_Banded):
    """Take away what is in a band of frequencies, by a Butterworth filter, as audiomentations' transform of this name.

    Parameters per sample: `center_freq`, uniform on the mel scale, `low_freq` and `high_freq`, its edges, and `rolloff`. The
    upper edge is at most 0.49 of the sample rate, the centre at most 0.441 of it, and the lower edge at least 20 Hz or half
    of the centre, whichever is less.

    >>> tone = torch.sin(torch.arange(4000) * 2 * torch.pi * 1000 / 16000)
    >>> BandStopFilter(1100, 1100, 1.0, 1.0, p=1.0, sample_rate=16000)(tone)[2000:].abs().max() < 0.1
    tensor(True)

    Args:
        min_center_freq: in Hz, at least 1.
        max_center_freq: in Hz.
        min_bandwidth_fraction: the width of the band, as a part of its centre, in [0.01, 1.999].
        max_bandwidth_fraction: likewise.
        min_rolloff: how steep, in dB per octave: a multiple of 6, or of 12 with `zero_phase`.
        max_rolloff: likewise.
        zero_phase: filter forwards and backwards, by which nothing is delayed; the edges are at -6 dB, not -3 dB.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    stop = True

    def __init__(
        self,
        min_center_freq: float = 200.0,
        max_center_freq: float = 4000.0,
        min_bandwidth_fraction: float = 0.5,
        max_bandwidth_fraction: float = 1.99,
        min_rolloff: int = 12,
        max_rolloff: int = 24,
        zero_phase: bool = False,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        center, fraction = (min_center_freq, max_center_freq), (min_bandwidth_fraction, max_bandwidth_fraction)
        super().__init__(center, fraction, (min_rolloff, max_rolloff), zero_phase, sample_rate, p)
