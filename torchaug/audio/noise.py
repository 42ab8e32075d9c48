"""Noise that is made on the spot: white by amplitude, white by level, and coloured."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug.audio.convolve import fast_size, spectrum, waveform_of_spectrum
from torchaug.audio.kinds import Wave, amplitude, rms
from torchaug.audio.ranges import ordered
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes

TAPS = 4096
"""Of the filter that colours noise: below a few times sample_rate / TAPS Hz the spectrum is flat."""
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

    White noise goes through a zero-phase filter of 4096 taps, whose amplitude is f^(f_decay / 6.02): a stationary sound
    that never repeats. Below about 3/4096 of the sample rate (12 Hz at 16 kHz) the spectrum is flat.

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
        kernel = color_kernel(uniform(u[:, 1], self.min_f_decay, self.max_f_decay))
        samples = waveform.shape[2] + TAPS - 1
        # A cyclic convolution: what it wraps round its end falls on the first TAPS - 1 samples, which are left out.
        size = fast_size(samples)
        white = noise(u[:, 2:], (waveform.shape[1], size))
        colored = waveform_of_spectrum(spectrum(white, size) * spectrum(kernel, size)[:, None], size, samples)
        return waveform + below(colored[..., TAPS - 1 :], waveform, lengths, snr)


def color_kernel(decay: Tensor) -> Tensor:
    """Symmetric filters (B, TAPS) whose amplitudes are in proportion to f^(decay / 6.02), for decays (B,) in decibels an
    octave; their windows, von Hann's, keep what leaks from strong frequencies 18 dB an octave down.
    """
    octaves = torch.arange(1, TAPS // 2 + 1, dtype=torch.float64, device=decay.device).log2()
    gains = torch.nn.functional.pad(torch.exp2(octaves * (decay[:, None].to(torch.float64) / OCTAVE)), (1, 0))
    window = torch.hann_window(TAPS, dtype=gains.dtype, device=decay.device)
    kernel = waveform_of_spectrum(gains, TAPS, TAPS).roll(TAPS // 2, 1) * window
    unit: Tensor = kernel / torch.linalg.vector_norm(kernel, dim=1, keepdim=True)
    return unit.to(torch.float32)


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
