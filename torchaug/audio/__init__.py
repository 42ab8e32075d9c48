"""Transforms of waveforms (B, C, T) and spectrograms (B, C, F, T) on whole batches, each sample with numbers of its own.

Names and parameters are audiomentations' where it has the transform. Every transform heeds `lengths`, and those that move
sound in time move events, instants and frame labels with it.
"""

from torchaug.audio.codec import LossyCodec
from torchaug.audio.inversion import PolarityInversion, TimeInversion
from torchaug.audio.kinds import Timed, Wave, time_map
from torchaug.audio.masking import FrequencyMasking, TimeMasking
from torchaug.audio.packets import PacketLoss
from torchaug.audio.specaugment import SpecAugment
from torchaug.audio.speccutmix import SpecCutMix
from torchaug.audio.spectral import Spectral, TimedSpectral
from torchaug.audio.spectrogram import Framed, MelSpectrogram, Spectrogram
from torchaug.audio.telephone import TelephoneCodec
from torchaug.audio.timeline import TimeMap
from torchaug.audio.timewarp import TimeWarp

__all__ = [
    "Framed",
    "FrequencyMasking",
    "LossyCodec",
    "MelSpectrogram",
    "PacketLoss",
    "PolarityInversion",
    "SpecAugment",
    "SpecCutMix",
    "Spectral",
    "Spectrogram",
    "TelephoneCodec",
    "TimeInversion",
    "TimeMap",
    "TimeMasking",
    "TimeWarp",
    "Timed",
    "TimedSpectral",
    "Wave",
    "time_map",
]
