"""What tests/zoo_audio.py takes of this topic."""

from __future__ import annotations

from torchaug import audio as A
from torchaug.transform import Layer

ALONE: dict[str, Layer] = {
    "spec_augment": A.SpecAugment(8, 2, 10, 2, 5),
    "spec_augment_mean": A.SpecAugment(0, 3, 10, 1, 5, 0.2, "mean", p=0.8),
    "spec_time_masking": A.TimeMasking(12, 2, 0.5, -1.5),
    "spec_frequency_masking": A.FrequencyMasking(6, 2, "mean"),
    "spec_time_warp": A.TimeWarp(8),
    "waveform_to_spectrogram": A.Spectrogram(n_fft=256, hop_length=100, power=1.0),
    "waveform_to_mels": A.MelSpectrogram(8000, 512, n_mels=40, log_floor=1e-6),
}
MIXING: dict[str, Layer] = {"spec_cut_mix": A.SpecCutMix(num_classes=2, p=0.8)}
