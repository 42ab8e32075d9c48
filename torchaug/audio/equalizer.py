"""Filters that raise or lower some frequencies by a gain: shelves, peaks, and seven of them as an equalizer."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.audio.biquads import HIGHEST, peaking, shelf, warped
from torchaug.audio.filtered import Filtered
from torchaug.audio.filters import LOWEST
from torchaug.audio.ranges import mel_uniform, ordered
from torchaug.keys import uniform

BANDS = (
    (42.0, 95.0),
    (91.0, 204.0),
    (196.0, 441.0),
    (421.0, 948.0),
    (909.0, 2045.0),
    (1957.0, 4404.0),
    (4216.0, 9486.0),
)
"""Hz: where audiomentations' equalizer has its centres: a low shelf, five peaks and a high shelf."""
SHELF_Q, PEAK_Q = (0.1, 0.999), (0.5, 5.0)
MAX_GAIN = 60.0
"""dB: what float32 has digits for."""


class _Bell(Filtered):
    """One section at a centre, with a gain and a quality."""

    uniforms = 3
    in_time = True
    most_q: float

    def __init__(
        self,
        center: tuple[float, float],
        gain: tuple[float, float],
        q: tuple[float, float],
        sample_rate: int,
        p: float,
    ) -> None:
        super().__init__(sample_rate, p)
        who = type(self).__name__
        self.min_center_freq, self.max_center_freq = ordered(*center, who, "center_freq", LOWEST)
        self.min_gain_db, self.max_gain_db = ordered(*gain, who, "gain_db", -MAX_GAIN, MAX_GAIN)
        self.min_q, self.max_q = ordered(*q, who, "q", 0.01, self.most_q)
        self.settle()

    def settings(self, u: Tensor) -> dict[str, Tensor]:
        center = mel_uniform(u[:, 0], self.min_center_freq, self.max_center_freq)
        return {
            "center_freq": center.clamp(max=HIGHEST * self.sample_rate),
            "gain_db": uniform(u[:, 1], self.min_gain_db, self.max_gain_db),
            "q": uniform(u[:, 2], self.min_q, self.max_q),
        }


class LowShelfFilter(_Bell):
    """Raise or lower what is below a frequency by a gain, as audiomentations' transform of this name.

    Parameters per sample: `center_freq`, where half of the gain in dB is reached, uniform on the mel scale; `gain_db`; `q`.
    A centre above 0.49 of the sample rate counts as that. Source: Bristow-Johnson's cookbook of equalizer filters.

    >>> constant = torch.ones(4000)
    >>> LowShelfFilter(500, 500, 20, 20, p=1.0, sample_rate=16000)(constant)[-1].round()
    tensor(10.)

    Args:
        min_center_freq: in Hz, at least 1.
        max_center_freq: in Hz.
        min_gain_db: of 0 Hz, in dB, within 60 of 0.
        max_gain_db: likewise.
        min_q: how steep, in [0.01, 1]; above about 0.7 the gain overshoots a little.
        max_q: likewise.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    most_q = 1.0

    def __init__(
        self,
        min_center_freq: float = 50.0,
        max_center_freq: float = 4000.0,
        min_gain_db: float = -18.0,
        max_gain_db: float = 18.0,
        min_q: float = SHELF_Q[0],
        max_q: float = SHELF_Q[1],
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        center, gain = (min_center_freq, max_center_freq), (min_gain_db, max_gain_db)
        super().__init__(center, gain, (min_q, max_q), sample_rate, p)

    def sections(self, settings: dict[str, Tensor]) -> Tensor:
        k = warped(settings["center_freq"], self.sample_rate)
        return shelf(k, settings["gain_db"], settings["q"], high=False)[:, None]


class HighShelfFilter(_Bell):
    """Raise or lower what is above a frequency by a gain, as audiomentations' transform of this name.

    Parameters per sample: `center_freq`, where half of the gain in dB is reached, uniform on the mel scale; `gain_db`; `q`.
    A centre above 0.49 of the sample rate counts as that. Source: Bristow-Johnson's cookbook of equalizer filters.

    >>> constant = torch.ones(4000)
    >>> HighShelfFilter(500, 500, 20, 20, p=1.0, sample_rate=16000)(constant)[-1].round()
    tensor(1.)

    Args:
        min_center_freq: in Hz, at least 1.
        max_center_freq: in Hz.
        min_gain_db: of the highest frequencies, in dB, within 60 of 0.
        max_gain_db: likewise.
        min_q: how steep, in [0.01, 1]; above about 0.7 the gain overshoots a little.
        max_q: likewise.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    most_q = 1.0

    def __init__(
        self,
        min_center_freq: float = 300.0,
        max_center_freq: float = 7500.0,
        min_gain_db: float = -18.0,
        max_gain_db: float = 18.0,
        min_q: float = SHELF_Q[0],
        max_q: float = SHELF_Q[1],
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        center, gain = (min_center_freq, max_center_freq), (min_gain_db, max_gain_db)
        super().__init__(center, gain, (min_q, max_q), sample_rate, p)

    def sections(self, settings: dict[str, Tensor]) -> Tensor:
        k = warped(settings["center_freq"], self.sample_rate)
        return shelf(k, settings["gain_db"], settings["q"], high=True)[:, None]


class PeakingFilter(_Bell):
    """Raise or lower what is near a frequency by a gain, as audiomentations' transform of this name.

    Parameters per sample: `center_freq`, uniform on the mel scale; `gain_db`; `q`. A centre above 0.49 of the sample rate
    counts as that. Source: Bristow-Johnson's cookbook of equalizer filters.

    >>> tone = torch.sin(torch.arange(4000) * 2 * torch.pi * 1000 / 16000)
    >>> PeakingFilter(1000, 1000, 20, 20, p=1.0, sample_rate=16000)(tone)[3000:].max().round()
    tensor(10.)

    Args:
        min_center_freq: in Hz, at least 1.
        max_center_freq: in Hz.
        min_gain_db: of the centre, in dB, within 60 of 0.
        max_gain_db: likewise.
        min_q: the centre over the width of the peak, in [0.01, 100]: a higher one is narrower.
        max_q: likewise.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    most_q = 100.0

    def __init__(
        self,
        min_center_freq: float = 50.0,
        max_center_freq: float = 7500.0,
        min_gain_db: float = -24.0,
        max_gain_db: float = 24.0,
        min_q: float = PEAK_Q[0],
        max_q: float = PEAK_Q[1],
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        center, gain = (min_center_freq, max_center_freq), (min_gain_db, max_gain_db)
        super().__init__(center, gain, (min_q, max_q), sample_rate, p)

    def sections(self, settings: dict[str, Tensor]) -> Tensor:
        k = warped(settings["center_freq"], self.sample_rate)
        return peaking(k, settings["gain_db"], settings["q"])[:, None]


class SevenBandParametricEQ(Filtered):
    """Raise or lower seven bands of frequencies, each by its own gain, as audiomentations' transform of this name.

    A low shelf, five peaks and a high shelf, with centres about an octave apart from 42 Hz to 9486 Hz. It changes the colour
    of a sound as another microphone or place does, and is one filter: it costs little more than a single band.

    Parameters per sample: `center_freq` (7), uniform on the mel scale; `gain_db` (7); `q` (7), of shelves in [0.1, 0.999], of
    peaks in [0.5, 5]. A band whose centre is above 0.49 of the sample rate is left out: its gain is 0.

    >>> SevenBandParametricEQ(p=1.0, sample_rate=16000)(torch.zeros(4, 2, 1000)).shape
    torch.Size([4, 2, 1000])

    Args:
        min_gain_db: of a band, in dB, within 60 of 0.
        max_gain_db: likewise.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    uniforms = 3 * len(BANDS)
    in_time = True

    def __init__(
        self, min_gain_db: float = -12.0, max_gain_db: float = 12.0, p: float = 0.5, *, sample_rate: int
    ) -> None:
        super().__init__(sample_rate, p)
        self.min_gain_db, self.max_gain_db = ordered(
            min_gain_db, max_gain_db, "SevenBandParametricEQ", "gain_db", -MAX_GAIN, MAX_GAIN
        )
        self.settle()

    def settings(self, u: Tensor) -> dict[str, Tensor]:
        place, gain, quality = u.unflatten(1, (len(BANDS), 3)).unbind(2)
        center = torch.stack([mel_uniform(place[:, i], *band) for i, band in enumerate(BANDS)], 1)
        ranges = [SHELF_Q, *[PEAK_Q] * (len(BANDS) - 2), SHELF_Q]
        there = center <= HIGHEST * self.sample_rate
        return {
            "center_freq": center,
            "gain_db": torch.where(there, uniform(gain, self.min_gain_db, self.max_gain_db), 0.0),
            "q": torch.stack([uniform(quality[:, i], *ends) for i, ends in enumerate(ranges)], 1),
        }

    def sections(self, settings: dict[str, Tensor]) -> Tensor:
        numbers = [warped(settings["center_freq"], self.sample_rate), settings["gain_db"], settings["q"]]
        first, middle, last = (
            [value[:, part] for value in numbers] for part in (slice(1), slice(1, -1), slice(-1, None))
        )
        return torch.cat([shelf(*first, high=False), peaking(*middle), shelf(*last, high=True)], 1)
