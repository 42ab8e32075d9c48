"""Noise that is made on the spot: white by amplitude, white by level, and coloured."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug.audio.convolve import waveform_of_spectrum
from torchaug.audio.kinds import Wave, amplitude, rms
from torchaug.audio.ranges import ordered
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes

BLOCK, FADE = 8192, 1024
"""Samples of a piece of coloured noise, and of the fade from one piece into the next."""
CORNER = 3 / 4096
"""Of the sample rate: the frequency below which coloured noise is white. What it is correlated over must fit into a fade."""
OCTAVE = 20 * math.log10(2)
"""Decibels that an octave is to an amplitude in proportion to the frequency."""


class AddGaussianNoise(Wave):
    """Add white Gaussian noise of some amplitude.

    Args:
        min_amplitude: standard deviation of the noise, at least 0.
        max_amplitude: up to which it is drawn, uniformly.
        p: chance per sample.

    Parameters per sample: amplitude.

    >>> noisy = AddGaussianNoise(0.1, 0.1, p=1.0)(torch.zeros(1, 1, 100000))
    >>> round(float(noisy.std()), 2)
    0.1
    """

    uniforms = 3

    def __init__(self, min_amplitude: float = 0.001, max_amplitude: float = 0.015, p: float = 0.5) -> None:
        super().__init__(p)
        self.min_amplitude, self.max_amplitude = ordered(
            min_amplitude, max_amplitude, "AddGaussianNoise", "amplitude", 0
        )

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"amplitude": uniform(u[:, 0], self.min_amplitude, self.max_amplitude)}

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        level = uniform(u[:, 0], self.min_amplitude, self.max_amplitude)
        return waveform + level[:, None, None] * noise(u[:, 1:], waveform.shape[1:])


class AddGaussianSNR(Wave):
    """Add white Gaussian noise at a signal-to-noise ratio.

    The ratio is that of the noise that came out: what is added is exactly so many decibels below the sound. Silence stays
    silent.

    Args:
        min_snr_db: decibels that the sound's rms is above the noise's.
        max_snr_db: up to which it is drawn, uniformly.
        p: chance per sample.

    Parameters per sample: snr_db.

    >>> tone = torch.sin(torch.arange(8000) / 3)
    >>> added = AddGaussianSNR(20, 20, p=1.0)(tone) - tone
    >>> round(float(tone.norm() / added.norm()), 3)
    10.0
    """

    uniforms = 3

    def __init__(self, min_snr_db: float = 5.0, max_snr_db: float = 40.0, p: float = 0.5) -> None:
        super().__init__(p)
        self.min_snr_db, self.max_snr_db = ordered(min_snr_db, max_snr_db, "AddGaussianSNR", "snr_db")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"snr_db": uniform(u[:, 0], self.min_snr_db, self.max_snr_db)}

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        snr = uniform(u[:, 0], self.min_snr_db, self.max_snr_db)
        return waveform + below(noise(u[:, 1:], waveform.shape[1:]), waveform, lengths, snr)


class AddColorNoise(Wave):
    """Add noise whose spectrum falls or rises by some decibels an octave, at a signal-to-noise ratio.

    Its spectrum is drawn from a normal law whose standard deviation is f^(f_decay / 6.02), piece by piece of 8192 samples,
    each faded into the next at constant power: a stationary sound that never repeats. Below 3/4096 of the sample rate
    (12 Hz at 16 kHz) the spectrum is flat.

    Args:
        min_snr_db: decibels that the sound's rms is above the noise's.
        max_snr_db: up to which it is drawn, uniformly.
        min_f_decay: decibels an octave, in [-12, 12]: -6.02 is brown, -3.01 pink, 0 white, 3.01 blue, 6.02 violet.
        max_f_decay: up to which it is drawn, uniformly.
        p: chance per sample.

    Parameters per sample: snr_db, f_decay.

    >>> AddColorNoise(min_f_decay=-3.01, max_f_decay=-3.01)(torch.rand(2, 1, 800) - 0.5).shape
    torch.Size([2, 1, 800])
    """

    uniforms = 4

    def __init__(
        self,
        min_snr_db: float = 5.0,
        max_snr_db: float = 40.0,
        min_f_decay: float = -6.0,
        max_f_decay: float = 6.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.min_snr_db, self.max_snr_db = ordered(min_snr_db, max_snr_db, "AddColorNoise", "snr_db")
        self.min_f_decay, self.max_f_decay = ordered(min_f_decay, max_f_decay, "AddColorNoise", "f_decay", -12, 12)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {
            "snr_db": uniform(u[:, 0], self.min_snr_db, self.max_snr_db),
            "f_decay": uniform(u[:, 1], self.min_f_decay, self.max_f_decay),
        }

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        snr = uniform(u[:, 0], self.min_snr_db, self.max_snr_db)
        decay = uniform(u[:, 1], self.min_f_decay, self.max_f_decay)
        colored = color_noise(u[:, 2:], decay, waveform.shape[1], waveform.shape[2])
        return waveform + below(colored, waveform, lengths, snr)


def color_noise(u: Tensor, decay: Tensor, channels: int, samples: int) -> Tensor:
    """Gaussian noise (B, channels, samples) float32 of unit variance whose amplitudes are in proportion to f^(decay / 6.02).

    The number at a place does not depend on how many samples there are.

    Args:
        u: (B, 2) uniforms, as `torchaug.keys.noise` takes them.
        decay: (B,) decibels an octave.
    """
    step = BLOCK - FADE
    blocks = max(1, -(-samples // step))
    # Real and imaginary parts lie side by side. The first and the last frequency are real: of theirs the half is unused.
    parts = noise(u, (channels, blocks, BLOCK + 2)).mul_(color_gains(decay).repeat_interleave(2, 1)[:, None, None])
    pieces = waveform_of_spectrum(torch.view_as_complex(parts.unflatten(-1, (-1, 2))), BLOCK, BLOCK)
    place = (torch.arange(FADE, device=u.device, dtype=torch.float32) + 0.5) / FADE
    # Vorbis' window: squares add up to 1, and there is no kink, which would be heard under steep spectra
    rising = torch.sin(math.pi / 2 * torch.sin(math.pi / 2 * place).square())
    pieces[..., 1:, :FADE].mul_(rising).add_(pieces[..., :-1, step:] * rising.flip(0))
    return pieces[..., :step].flatten(-2)[..., :samples]


def color_gains(decay: Tensor) -> Tensor:
    """Standard deviations (B, BLOCK // 2 + 1) of a spectrum's real and imaginary parts, for `color_noise`."""
    bins = torch.arange(BLOCK // 2 + 1, device=decay.device, dtype=torch.float32)
    gains = torch.exp2(bins.clamp(min=CORNER * BLOCK).log2() * (decay[:, None].to(torch.float32) / OCTAVE))
    gains[:, 0] = 0
    power = 2 * gains.square().sum(1, keepdim=True) - gains[:, -1:].square()
    return gains * (BLOCK / (math.sqrt(2) * power.sqrt()))


def below(sound: Tensor, waveform: Tensor, lengths: Tensor, snr_db: Tensor) -> Tensor:
    """A sound (B, 1 or C, T) so many decibels (B,) below the waveforms (B, C, T), by what both have within `lengths`."""
    return at_rms(sound, lengths, rms(waveform, lengths) * amplitude(-snr_db)[:, None, None])


def at_rms(sound: Tensor, lengths: Tensor, wanted: Tensor) -> Tensor:
    """A sound (B, C, T) at the rms `wanted` (B, 1, 1) within `lengths` (B,); silence stays silent."""
    return sound * ratio(wanted, rms(sound, lengths))


def ratio(wanted: Tensor, level: Tensor) -> Tensor:
    """wanted / level, and 0 where the level is 0: of silence no factor makes anything."""
    heard = level > 0
    return torch.where(heard, wanted / torch.where(heard, level, 1), 0)
