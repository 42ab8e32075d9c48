"""Short recorded noises, now and then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from torchaug.audio.background import a_layer, through
from torchaug.audio.bank import Sounds, bank_of
from torchaug.audio.kinds import Wave, amplitude, rms, silenced
from torchaug.audio.noise import ratio
from torchaug.audio.noise_row import Row, stretch_rms
from torchaug.audio.ranges import ordered
from torchaug.image.arguments import number, one_of, whole
from torchaug.keys import dense_uniforms, integers, uniform
from torchaug.transform import Layer, Sizes


class AddShortNoises(Wave):
    """Add short recorded noises with pauses between them: coughs, clicks, doors.

    A first noise begins up to `max_time_between_sounds` before or after the sound does. During each a second one may begin
    (a burst of two); then, when both are over, a pause. Each is played from its beginning, faded in and out, cut where the
    sound ends, and set to its level by the rms of what is heard of it. Of a silent sound, or of silence under "relative",
    nothing is made louder.

    Args:
        noises: as of `AddBackgroundNoise`.
        min_snr_db: decibels that the sound's rms is above the noise's, for the two ways that are relative.
        max_snr_db: up to which it is drawn, uniformly.
        min_time_between_sounds: seconds of a pause.
        max_time_between_sounds: up to which it is drawn, uniformly.
        noise_rms: "relative_to_whole_input": to the rms of the whole sound; "relative": to that of the part of it under the
            noise; or "absolute".
        min_absolute_noise_rms_db: rms of a noise in decibels below full scale, at most 0, for "absolute".
        max_absolute_noise_rms_db: up to which it is drawn, uniformly.
        add_all_noises_with_same_level: draw one level for all noises of a sound.
        burst_probability: chance of a second noise with each.
        min_pause_factor_during_burst: how far into the first noise the second begins, as a part of its length.
        max_pause_factor_during_burst: up to which it is drawn, uniformly.
        min_fade_in_time: seconds.
        max_fade_in_time: up to which it is drawn, uniformly.
        min_fade_out_time: seconds.
        max_fade_out_time: up to which it is drawn, uniformly.
        signal_gain_db_during_noise: gain of the sound under a noise, which fades with it; -100 puts noises in its place.
        noise_transform: a transform of waveforms that the noises of a sound go through, all first ones together and all second
            ones together, after the fades and before their levels are set; what it moves out of their time is cut.
        p: chance per sample.
        sample_rate: of the waveforms.

    Parameters per sample, of first and second noises: noise (place in the bank), start and length in samples (0 of none),
    level_db (an SNR, or an rms), fade_in and fade_out in samples.

    >>> clicks = AddShortNoises([torch.ones(4)], min_time_between_sounds=0.1, max_time_between_sounds=0.2, sample_rate=800)
    >>> clicks(torch.rand(2, 1, 800)).shape
    torch.Size([2, 1, 800])
    """

    def __init__(
        self,
        noises: Sounds,
        min_snr_db: float = -6.0,
        max_snr_db: float = 18.0,
        min_time_between_sounds: float = 2.0,
        max_time_between_sounds: float = 8.0,
        noise_rms: Literal["relative_to_whole_input", "relative", "absolute"] = "relative_to_whole_input",
        min_absolute_noise_rms_db: float = -50.0,
        max_absolute_noise_rms_db: float = -20.0,
        add_all_noises_with_same_level: bool = False,
        burst_probability: float = 0.22,
        min_pause_factor_during_burst: float = 0.1,
        max_pause_factor_during_burst: float = 1.1,
        min_fade_in_time: float = 0.005,
        max_fade_in_time: float = 0.08,
        min_fade_out_time: float = 0.01,
        max_fade_out_time: float = 0.1,
        signal_gain_db_during_noise: float = 0.0,
        noise_transform: Layer | None = None,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        who = "AddShortNoises"
        options = ("relative_to_whole_input", "relative", "absolute")
        self.noise_rms = one_of(noise_rms, who, "noise_rms", options)
        self.min_snr_db, self.max_snr_db = ordered(min_snr_db, max_snr_db, who, "snr_db")
        self.min_time_between_sounds, self.max_time_between_sounds = ordered(
            min_time_between_sounds, max_time_between_sounds, who, "time_between_sounds", 0
        )
        self.min_absolute_noise_rms_db, self.max_absolute_noise_rms_db = ordered(
            min_absolute_noise_rms_db, max_absolute_noise_rms_db, who, "absolute_noise_rms_db", most=0
        )
        self.min_pause_factor_during_burst, self.max_pause_factor_during_burst = ordered(
            min_pause_factor_during_burst, max_pause_factor_during_burst, who, "pause_factor_during_burst", 0
        )
        self.min_fade_in_time, self.max_fade_in_time = ordered(
            min_fade_in_time, max_fade_in_time, who, "fade_in_time", 0
        )
        self.min_fade_out_time, self.max_fade_out_time = ordered(
            min_fade_out_time, max_fade_out_time, who, "fade_out_time", 0
        )
        self.add_all_noises_with_same_level = add_all_noises_with_same_level
        self.burst_probability = number(burst_probability, who, "burst_probability", 0, 1)
        self.signal_gain_db_during_noise = number(signal_gain_db_during_noise, who, "signal_gain_db_during_noise")
        self.noise_transform = a_layer(noise_transform, who)
        self.sample_rate = whole(sample_rate, who, "sample_rate", 1)
        self.noises = bank_of(noises, sample_rate, who, "noises")
        self._inner = 0 if noise_transform is None else noise_transform.columns
        self.uniforms = 4 + 2 * self._inner

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        assert size.lengths is not None
        rows = self.rows(u, int(size.lengths.max()))  # for people: the hot path knows the samples by the shape
        return {f"{order}_{name}": v for order, row in rows.items() for name, v in row._asdict().items()}

    def rows(self, u: Tensor, samples: int) -> dict[str, Row]:
        """The "first" and "second" noises, as many as may begin within so many samples."""
        rate = self.sample_rate
        shortest = int(self.min_time_between_sounds * rate) + self.noises.shortest
        count = (samples + int(self.max_time_between_sounds * rate)) // shortest + 2
        numbers = dense_uniforms(u[:, :2], (count, 11)).unbind(2)
        levels = [u[:, 3:4].expand(-1, count)] * 2 if self.add_all_noises_with_same_level else list(numbers[2:4])
        which = [integers(part, 0, len(self.noises)) for part in numbers[:2]]
        first, second = (self.noises.lengths.to(u.device)[part] for part in which)
        second = torch.where(numbers[8] < self.burst_probability, second, 0)
        ahead = (self._between(numbers[9], "pause_factor_during_burst") * first).to(torch.int64)
        pause = (self._between(numbers[10], "time_between_sounds") * rate).to(torch.int64)
        over = torch.where(second > 0, torch.maximum(first, ahead + second), first) + pause
        latest = self.max_time_between_sounds * rate
        start = uniform(u[:, 2:3], -latest, latest).floor().to(torch.int64) + over.cumsum(1) - over
        return {
            "first": self._row(which[0], start, first, levels[0], numbers[4:6]),
            "second": self._row(which[1], start + ahead, second, levels[1], numbers[6:8]),
        }

    def _between(self, u: Tensor, name: str) -> Tensor:
        return uniform(u, getattr(self, f"min_{name}"), getattr(self, f"max_{name}"))

    def _row(self, which: Tensor, start: Tensor, length: Tensor, level: Tensor, fades: Sequence[Tensor]) -> Row:
        """Level in decibels, and fades in samples: at least half of one, within which nothing is heard of a fade."""
        decibels = self._between(level, "absolute_noise_rms_db" if self.noise_rms == "absolute" else "snr_db")
        seconds = self._between(fades[0], "fade_in_time"), self._between(fades[1], "fade_out_time")
        inside = [torch.minimum(each * self.sample_rate, length).clamp(min=0.5) for each in seconds]
        return Row(which, start, length, decibels, *inside)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        self.noises.check(waveform, "AddShortNoises", "noises")
        rows = list(self.rows(u, waveform.shape[2]).values())[: 2 if self.burst_probability else 1]
        inner = u[:, 4:].split(max(1, self._inner), dim=1) if self._inner else [u[:, 4:]] * 2
        parts = [self._noise(row, waveform, lengths, own) for row, own in zip(rows, inner, strict=False)]
        sound = waveform
        if self.signal_gain_db_during_noise != 0:
            weight = torch.stack([weight for _, weight in parts]).amax(0)[:, None].to(waveform.dtype)
            sound = waveform * (1 + (10 ** (self.signal_gain_db_during_noise / 20) - 1) * weight)
        return sum((noise for noise, _ in parts), sound)

    def _noise(self, row: Row, waveform: Tensor, lengths: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Noises as they are added, (B, 1 or C, T), and how far each place is faded in, (B, T)."""
        noise, weight = row.laid(self.noises, waveform.shape[2])
        if self.noise_transform is not None:
            noise = torch.where((weight > 0)[:, None], through(self.noise_transform, noise, lengths, u), 0)
        noise = silenced(noise.to(waveform.dtype), lengths)
        return noise * row.spread(self._gains(row, noise, waveform, lengths), waveform.shape[2])[:, None], weight

    def _gains(self, row: Row, noise: Tensor, waveform: Tensor, lengths: Tensor) -> Tensor:
        """(B, K) the factor that brings each noise, as far as it is heard, to its level."""
        begin, end = row.ends(lengths)
        if self.noise_rms == "absolute":
            wanted = amplitude(row.level_db)
        elif self.noise_rms == "relative":
            own = silenced(waveform, lengths)
            wanted = stretch_rms(own, begin, end) * amplitude(-row.level_db)
        else:
            wanted = rms(waveform, lengths)[..., 0] * amplitude(-row.level_db)
        return ratio(wanted.to(waveform.dtype), stretch_rms(noise, begin, end))
