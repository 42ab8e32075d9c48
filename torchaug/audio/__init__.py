"""Transforms of waveforms (B, C, T) and spectrograms (B, C, F, T) on whole batches, each sample with numbers of its own.

Names and parameters are audiomentations' where it has the transform. Every transform heeds `lengths`, and those that move
sound in time move events, instants and frame labels with it.
"""

from torchaug.audio.air import AirAbsorption
from torchaug.audio.equalizer import HighShelfFilter, LowShelfFilter, PeakingFilter, SevenBandParametricEQ
from torchaug.audio.filtered import Filtered
from torchaug.audio.filters import BandPassFilter, BandStopFilter, HighPassFilter, LowPassFilter
from torchaug.audio.inversion import PolarityInversion, TimeInversion
from torchaug.audio.kinds import Timed, Wave, time_map
from torchaug.audio.loudness import LoudnessNormalization, loudness
from torchaug.audio.reverb import ParametricReverb
from torchaug.audio.rooms import RoomSimulator
from torchaug.audio.timeline import TimeMap

__all__ = [
    "AirAbsorption",
    "BandPassFilter",
    "BandStopFilter",
    "Filtered",
    "HighPassFilter",
    "HighShelfFilter",
    "LoudnessNormalization",
    "LowPassFilter",
    "LowShelfFilter",
    "ParametricReverb",
    "PeakingFilter",
    "PolarityInversion",
    "RoomSimulator",
    "SevenBandParametricEQ",
    "TimeInversion",
    "TimeMap",
    "Timed",
    "Wave",
    "loudness",
    "time_map",
]
