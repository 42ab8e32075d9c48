"""What tests/zoo_audio.py takes of this topic."""

from __future__ import annotations

from torchaug import audio as A
from torchaug.transform import Layer

RATE = 8000

ALONE: dict[str, Layer] = {
    "low_pass": A.LowPassFilter(p=0.7, sample_rate=RATE),
    "low_pass_zero_phase": A.LowPassFilter(300, 3000, zero_phase=True, p=1.0, sample_rate=RATE),
    "high_pass": A.HighPassFilter(min_rolloff=6, max_rolloff=36, p=1.0, sample_rate=RATE),
    "band_pass": A.BandPassFilter(p=0.7, sample_rate=RATE),
    "band_stop": A.BandStopFilter(zero_phase=True, p=1.0, sample_rate=RATE),
    "low_shelf": A.LowShelfFilter(p=0.7, sample_rate=RATE),
    "high_shelf": A.HighShelfFilter(p=1.0, sample_rate=RATE),
    "peaking": A.PeakingFilter(p=1.0, sample_rate=RATE),
    "equalizer": A.SevenBandParametricEQ(p=0.7, sample_rate=RATE),
    "loudness": A.LoudnessNormalization(p=0.7, sample_rate=RATE),
    "air": A.AirAbsorption(p=0.7, sample_rate=RATE),
    "reverb": A.ParametricReverb(p=0.7, sample_rate=RATE),
    "room": A.RoomSimulator(p=0.7, max_order=3, sample_rate=RATE),
    "room_early": A.RoomSimulator(p=0.7, max_order=3, late_reverberation=False, sample_rate=RATE),
}
MIXING: dict[str, Layer] = {}
