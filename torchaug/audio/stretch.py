"""Duration without pitch, pitch without duration, and both, another for each sample, by a phase vocoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug import keys
from torchaug.audio.kinds import Wave, silenced
from torchaug.audio.rows import in_groups, resample_rows
from torchaug.audio.speed import Paced, factor_range, step_of, stepped
from torchaug.audio.vocoder import Formants, stretched, window_size
from torchaug.image import arguments
from torchaug.transform import Sizes

ENVELOPE = 0.002  # seconds of the cepstrum that are the envelope, the rest is pitch: voices up to 500 Hz


class TimeStretch(Paced):
    """Play each sound faster or slower at the same pitch.

    >>> sound = torch.sin(torch.arange(4000) * 0.1)
    >>> faster = TimeStretch(1.25, 1.25, leave_length_unchanged=False, sample_rate=16000, p=1.0)
    >>> faster(sound).shape
    torch.Size([3200])

    Args:
        min_rate: the least factor of the speed, at least 1/16; above 1 it is faster, and the sound shorter.
        max_rate: the largest one, at most 16.
        leave_length_unchanged: cut or pad to the length that came in.
        n_fft: samples of a window, a multiple of 16: more for bass and music, fewer for drums. None: about 48 ms, which
            suits speech.
        phase_locking: False for the plain phase vocoder, as torchaudio has it, which blurs.
        p: chance per sample.
        sample_rate: in Hz.

    Parameters per sample: rate. A phase vocoder whose peaks are tracked and their neighbourhoods locked to them, after Laroche
    and Dolson, "Improved phase vocoder time-scale modification of audio", 1999.
    """

    def __init__(
        self,
        min_rate: float = 0.8,
        max_rate: float = 1.25,
        leave_length_unchanged: bool = True,
        n_fft: int | None = None,
        phase_locking: bool = True,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        who = type(self).__name__
        low, high = factor_range(min_rate, max_rate, who, ("min_rate", "max_rate"))
        super().__init__(step_of(low), leave_length_unchanged, p)
        self.min_rate, self.max_rate = low, high
        self.leave_length_unchanged = leave_length_unchanged
        self.n_fft, self.window = n_fft, _window(n_fft, sample_rate, who)
        self.phase_locking = phase_locking
        self.sample_rate = sample_rate

    def ratio(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return stepped(keys.uniform(u[:, 0], self.min_rate, self.max_rate))

    def paced(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        return stretched(waveform, *self.ratio(u), samples, self.window, locked=self.phase_locking)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        down, up = self.ratio(u)
        return {"rate": down / up}


class PitchShift(Wave):
    """Shift the pitch of each sound at the same speed.

    >>> sound = torch.sin(torch.arange(4000) * 0.1)
    >>> higher = PitchShift(12, 12, sample_rate=16000, p=1.0)(sound)
    >>> expected = torch.sin(torch.arange(4000) * 0.2)
    >>> round(float((higher.diff().sign().diff() != 0).sum() / (expected.diff().sign().diff() != 0).sum()), 1)
    1.0

    Args:
        min_semitones: at least -24.
        max_semitones: at most 24.
        n_fft: samples of a window; see `TimeStretch`.
        preserve_formants: keep the envelope of the spectrum, and so whose voice it seems to be, where it is.
        p: chance per sample.
        sample_rate: in Hz.

    Parameters per sample: num_semitones. A phase vocoder (see `TimeStretch`), and then as much faster or slower.
    """

    uniforms = 1

    def __init__(
        self,
        min_semitones: float = -4.0,
        max_semitones: float = 4.0,
        n_fft: int | None = None,
        preserve_formants: bool = False,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        who = type(self).__name__
        self.min_semitones, self.max_semitones = _semitones(min_semitones, max_semitones, who)
        self.n_fft, self.window = n_fft, _window(n_fft, sample_rate, who)
        self.preserve_formants = preserve_formants
        self.sample_rate = sample_rate

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        def work(waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
            own = silenced(waveform, lengths)
            pitch = stepped(self._factor(u))
            formants = Formants(self._factor(u), self._order) if self.preserve_formants else None
            highest = 2 ** (self.max_semitones / 12)
            same = torch.ones_like(pitch[0])
            return shifted(own, (same, same), pitch, waveform.shape[-1], self.window, highest, formants)

        return in_groups(work, waveform, lengths, u)

    @property
    def _order(self) -> int:
        return round(ENVELOPE * self.sample_rate)

    def _factor(self, u: Tensor) -> Tensor:
        return torch.exp2(self.drawn(u, Sizes.of((0, 0), None, u))["num_semitones"] / 12)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"num_semitones": keys.uniform(u[:, 0], self.min_semitones, self.max_semitones)}


class PitchTempo(Paced):
    """Shift the pitch and change the duration of each sound, independently, in one pass.

    >>> sound = torch.sin(torch.arange(4000) * 0.1)
    >>> both = PitchTempo(1.25, 1.25, 3, 3, leave_length_unchanged=False, sample_rate=16000, p=1.0)
    >>> both(sound).shape
    torch.Size([3200])

    Args:
        min_rate: the least factor of the speed; see `TimeStretch`.
        max_rate: the largest one.
        min_semitones: at least -24.
        max_semitones: at most 24.
        leave_length_unchanged: cut or pad to the length that came in.
        n_fft: samples of a window; see `TimeStretch`.
        preserve_formants: see `PitchShift`.
        p: chance per sample.
        sample_rate: in Hz.

    Parameters per sample: rate, num_semitones.
    """

    uniforms = 2

    def __init__(
        self,
        min_rate: float = 0.8,
        max_rate: float = 1.25,
        min_semitones: float = -4.0,
        max_semitones: float = 4.0,
        leave_length_unchanged: bool = True,
        n_fft: int | None = None,
        preserve_formants: bool = False,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        who = type(self).__name__
        low, high = factor_range(min_rate, max_rate, who, ("min_rate", "max_rate"))
        super().__init__(step_of(low), leave_length_unchanged, p)
        self.min_rate, self.max_rate = low, high
        self.min_semitones, self.max_semitones = _semitones(min_semitones, max_semitones, who)
        self.leave_length_unchanged = leave_length_unchanged
        self.n_fft, self.window = n_fft, _window(n_fft, sample_rate, who)
        self.preserve_formants = preserve_formants
        self.sample_rate = sample_rate

    def ratio(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return stepped(keys.uniform(u[:, 0], self.min_rate, self.max_rate))

    def paced(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        factor = torch.exp2(keys.uniform(u[:, 1], self.min_semitones, self.max_semitones) / 12)
        formants = Formants(factor, round(ENVELOPE * self.sample_rate)) if self.preserve_formants else None
        highest = 2 ** (self.max_semitones / 12)
        return shifted(waveform, self.ratio(u), stepped(factor), samples, self.window, highest, formants)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        down, up = self.ratio(u)
        return {"rate": down / up, "num_semitones": keys.uniform(u[:, 1], self.min_semitones, self.max_semitones)}


def shifted(
    waveform: Tensor,
    pace: tuple[Tensor, Tensor],
    pitch: tuple[Tensor, Tensor],
    samples: int,
    n_fft: int,
    highest: float,
    formants: Formants | None,
) -> Tensor:
    """Rows at a speed and a pitch of their own, factors `down / up`: a stretch to what the resampling after it undoes.

    Args:
        waveform: (B, C, T).
        pace: (B,) int64 each.
        pitch: (B,) int64 each.
        samples: of what comes out.
        n_fft: samples of a window.
        highest: no smaller than any factor of the pitch.
        formants: see `stretched`.
    """
    between = math.ceil((samples + n_fft) * highest)  # so that the last sample sees what follows it
    long = stretched(waveform, pace[0] * pitch[1], pace[1] * pitch[0], between, n_fft, formants=formants)
    return resample_rows(long, *pitch, samples, fastest=highest * (1 + 1e-4))


def _window(n_fft: int | None, sample_rate: int, who: str) -> int:
    rate = arguments.whole(sample_rate, who, "sample_rate", 1)
    if n_fft is None:
        return window_size(rate)
    if arguments.whole(n_fft, who, "n_fft", 32) % 16:
        raise ValueError(f"{who}: n_fft must be a multiple of 16, got {n_fft}")
    return n_fft


def _semitones(low: float, high: float, who: str) -> tuple[float, float]:
    low, high = (
        arguments.number(value, who, name, -24, 24) for value, name in ((low, "min_semitones"), (high, "max_semitones"))
    )
    if low > high:
        raise ValueError(f"{who}: min_semitones must be at most max_semitones, got {low:g} and {high:g}")
    return low, high
