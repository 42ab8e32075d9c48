"""Transforms of waveforms (B, C, T) and spectrograms (B, C, F, T) on whole batches, each sample with numbers of its own.

Names and parameters are audiomentations' where it has the transform. Every transform heeds `lengths`, and those that move
sound in time move events, instants and frame labels with it.
"""

from torchaug.audio.inversion import PolarityInversion, TimeInversion
from torchaug.audio.kinds import Timed, Wave, time_map
from torchaug.audio.rows import resample_rows
from torchaug.audio.speed import Resample, SpeedPerturbation
from torchaug.audio.stretch import PitchShift, PitchTempo, TimeStretch
from torchaug.audio.timeline import TimeMap

__all__ = [
    "PitchShift",
    "PitchTempo",
    "PolarityInversion",
    "Resample",
    "SpeedPerturbation",
    "TimeInversion",
    "TimeMap",
    "TimeStretch",
    "Timed",
    "Wave",
    "resample_rows",
    "time_map",
]
