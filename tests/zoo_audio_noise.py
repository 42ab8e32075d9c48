"""What tests/zoo_audio.py takes of this topic."""

from __future__ import annotations

from typing import Any

import torch

from torchaug import Compose
from torchaug import audio as A
from torchaug.transform import Layer


def recorded(*lengths: int, channels: int = 1, seed: int = 5) -> list[torch.Tensor]:
    """Noises of some lengths, white, with a level that comes and goes."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(channels, length, generator=generator) * (1.1 + torch.sin(torch.arange(length) / 90)) / 8
        for length in lengths
    ]


def rooms(*lengths: int, channels: int = 1) -> list[torch.Tensor]:
    """Impulse responses that decay, whose direct sound comes after 5 samples."""
    found = recorded(*lengths, channels=channels)
    for room in found:
        room *= torch.exp(-torch.arange(room.shape[1]) / 8)
        room[:, 5] = 1.0
    return found


NOISES = A.SoundBank(recorded(5000, 700, 31), 8000)
STEREO = A.SoundBank(recorded(4000, 50, channels=2), 8000, storage="int16")
GENTLE = Compose([A.PolarityInversion(p=0.5), A.AddGaussianNoise(0.01, 0.02, p=0.5)])
BRIEF: dict[str, Any] = {"min_time_between_sounds": 0.01, "max_time_between_sounds": 0.1, "sample_rate": 8000}
FADES: dict[str, Any] = {
    "min_fade_in_time": 0.0,
    "max_fade_in_time": 0.005,
    "min_fade_out_time": 0.001,
    "max_fade_out_time": 0.003,
}

ALONE: dict[str, Layer] = {
    "gaussian_noise": A.AddGaussianNoise(0.01, 0.05, p=0.8),
    "gaussian_snr": A.AddGaussianSNR(p=0.8),
    "color_noise": A.AddColorNoise(p=0.8),
    "background": A.AddBackgroundNoise(NOISES, noise_transform=GENTLE, p=0.8),
    "background_absolute": A.AddBackgroundNoise(STEREO, noise_rms="absolute", p=1.0),
    "short_noises": A.AddShortNoises(
        A.SoundBank(recorded(300, 31, 120)), p=1.0, noise_transform=GENTLE, **BRIEF, **FADES
    ),
    "short_noises_relative": A.AddShortNoises(
        recorded(90, 200),
        noise_rms="relative",
        signal_gain_db_during_noise=-30.0,
        p=0.8,
        burst_probability=0.5,
        **BRIEF,
    ),
    "short_noises_absolute": A.AddShortNoises(
        recorded(90),
        noise_rms="absolute",
        add_all_noises_with_same_level=True,
        burst_probability=0.0,
        p=1.0,
        **BRIEF,
    ),
    "impulse_response": A.ApplyImpulseResponse(rooms(40, 9, 25), wet=(0.3, 1.0), p=0.8),
    "impulse_response_longer": A.ApplyImpulseResponse(rooms(37, 20, channels=2), leave_length_unchanged=False, p=0.8),
    "impulse_response_later": A.ApplyImpulseResponse(rooms(40, 9), compensate_delay=False, keep_energy=False, p=0.8),
    "impulse_response_longer_later": A.ApplyImpulseResponse(
        rooms(40, 9), leave_length_unchanged=False, compensate_delay=False, p=1.0
    ),
}
MIXING: dict[str, Layer] = {
    "mixup": A.AudioMixup(alpha=0.8, num_classes=2, p=0.8),
    "mixup_level_aware": A.AudioMixup(num_classes=2, level_aware=True),
    "mix": A.Mix(num_classes=2, p=0.8),
    "mix_original": A.Mix(-5.0, 20.0, mix_target="original"),
    "cutmix": A.AudioCutMix(num_classes=2, p=0.8),
}
