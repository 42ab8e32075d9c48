"""What tests/zoo_audio.py takes of this topic."""

from __future__ import annotations

from torchaug import Compose
from torchaug import audio as A
from torchaug.transform import Layer

RATE = 8000

ALONE: dict[str, Layer] = {
    "polarity": A.PolarityInversion(p=1.0),
    "time_inversion": A.TimeInversion(p=0.8),
    "gain": A.Gain(),
    "gain_transition": A.GainTransition(min_duration=0.01, max_duration=0.4, p=0.8, sample_rate=RATE),
    "gain_transition_fraction": A.GainTransition(-3, 3, 0.1, 0.9, "fraction", p=1.0, sample_rate=RATE),
    "peak_normalization": A.PeakNormalization(p=0.7),
    "peak_normalization_loud": A.PeakNormalization("only_too_loud_sounds", p=1.0),
    "shuffle_channels": A.ShuffleChannels(p=0.8),
    "drop_channels": A.DropChannels(p=0.8),
    "per_channel": A.PerChannel(A.PeakNormalization(p=0.7), p=0.8),
    "per_channel_steps": A.PerChannel(
        Compose([A.Gain(p=0.5), A.AddGaussianSNR(p=0.5), A.LowPassFilter(p=0.5, sample_rate=RATE)])
    ),
    "shift": A.Shift(p=0.8, sample_rate=RATE),
    "shift_lost": A.Shift(-700, 1500, "samples", rollover=False, fade_duration=0.002, p=1.0, sample_rate=RATE),
    "shift_seconds": A.Shift(-0.5, 0.5, "seconds", fade_duration=0, p=1.0, sample_rate=RATE),
    "random_crop": A.RandomCrop(1300),
    "random_crop_long": A.RandomCrop(0.4, "seconds", sample_rate=RATE),
    "trim": A.Trim(20, p=0.8),
    "splice_out": A.SpliceOut(p=0.8, sample_rate=RATE),
    "splice_out_few": A.SpliceOut(2, 200, p=1.0, sample_rate=RATE),
    "padding": A.Padding(p=0.8),
    "padding_wrap": A.Padding("wrap", 0.4, 0.7, p=1.0),
    "padding_reflect": A.Padding("reflect", 0.4, 0.8, "start", p=1.0),
    "padding_start": A.Padding(pad_section="start", p=1.0),
    "adjust_duration": A.AdjustDuration(1500),
    "adjust_duration_wrap": A.AdjustDuration(6000, padding_mode="wrap"),
    "adjust_duration_reflect": A.AdjustDuration(None, 0.7, "reflect", "start", sample_rate=RATE),
    "time_mask": A.TimeMask(p=0.8, sample_rate=RATE),
    "time_mask_end": A.TimeMask(0.2, 0.6, 0, "end", p=1.0, sample_rate=RATE),
    "repeat_part": A.RepeatPart(1, 2, 0.02, 0.1, p=0.8, sample_rate=RATE),
    "repeat_part_replace": A.RepeatPart(2, 3, 0.02, 0.1, "replace", p=1.0, sample_rate=RATE),
    "clip": A.Clip(-0.3, 0.2, p=0.8),
    "clipping_distortion": A.ClippingDistortion(p=0.8),
    "tanh_distortion": A.TanhDistortion(p=0.8),
    "limiter": A.Limiter(p=0.8, sample_rate=RATE),
    "limiter_absolute": A.Limiter(-12, -6, threshold_mode="absolute", p=1.0, sample_rate=RATE),
    "bit_crush": A.BitCrush(p=0.8),
    "bit_crush_dither": A.BitCrush(4, 6, dither=True, p=1.0),
    "mu_law": A.MuLaw(p=0.8),
    "a_law": A.ALaw(64, p=0.8),
    "aliasing": A.Aliasing(1000, 6000, p=0.8, sample_rate=RATE),
}
MIXING: dict[str, Layer] = {}
