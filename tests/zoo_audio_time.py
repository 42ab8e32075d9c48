"""What tests/zoo_audio.py takes of this topic."""

from __future__ import annotations

from torchaug import audio as A
from torchaug.transform import Layer

ALONE: dict[str, Layer] = {
    "speed": A.SpeedPerturbation((0.8, 1.0, 1.25), p=0.8),
    "speed_range": A.SpeedPerturbation(min_factor=0.7, max_factor=1.5, keep_length=True, p=1.0),
    "resample": A.Resample(6000, 12000, sample_rate=8000, p=1.0),
    "time_stretch": A.TimeStretch(0.8, 1.25, leave_length_unchanged=False, sample_rate=8000, p=0.8),
    "time_stretch_kept": A.TimeStretch(0.7, 1.5, n_fft=128, phase_locking=False, sample_rate=8000, p=1.0),
    "pitch_shift": A.PitchShift(sample_rate=8000, p=0.8),
    "pitch_shift_formants": A.PitchShift(-12, 12, preserve_formants=True, sample_rate=8000, p=1.0),
    "pitch_tempo": A.PitchTempo(sample_rate=8000, p=1.0),
    "pitch_tempo_longer": A.PitchTempo(0.7, 1.5, leave_length_unchanged=False, sample_rate=8000, p=1.0),
}
MIXING: dict[str, Layer] = {}
