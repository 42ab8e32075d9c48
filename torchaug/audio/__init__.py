"""Transforms of waveforms (B, C, T) and spectrograms (B, C, F, T) on whole batches, each sample with numbers of its own.

Names and parameters are audiomentations' where it has the transform. Every transform heeds `lengths`, and those that move
sound in time move events, instants and frame labels with it.
"""

from torchaug.audio.clipping import Clip, ClippingDistortion, Limiter, TanhDistortion
from torchaug.audio.cuts import RandomCrop, SpliceOut, Trim
from torchaug.audio.gain import DropChannels, Gain, GainTransition, PeakNormalization, ShuffleChannels
from torchaug.audio.inversion import PolarityInversion, TimeInversion
from torchaug.audio.kinds import Timed, Wave, time_map
from torchaug.audio.masks import TimeMask
from torchaug.audio.pads import AdjustDuration, Padding
from torchaug.audio.quantize import ALaw, Aliasing, BitCrush, MuLaw
from torchaug.audio.repeats import RepeatPart
from torchaug.audio.shift import Shift
from torchaug.audio.timeline import TimeMap

__all__ = [
    "ALaw",
    "AdjustDuration",
    "Aliasing",
    "BitCrush",
    "Clip",
    "ClippingDistortion",
    "DropChannels",
    "Gain",
    "GainTransition",
    "Limiter",
    "MuLaw",
    "Padding",
    "PeakNormalization",
    "PolarityInversion",
    "RandomCrop",
    "RepeatPart",
    "Shift",
    "ShuffleChannels",
    "SpliceOut",
    "TanhDistortion",
    "TimeInversion",
    "TimeMap",
    "TimeMask",
    "Timed",
    "Trim",
    "Wave",
    "time_map",
]
