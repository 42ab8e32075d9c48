"""Transforms of waveforms (B, C, T) and spectrograms (B, C, F, T) on whole batches, each sample with numbers of its own.

Names and parameters are audiomentations' where it has the transform. Every transform heeds `lengths`, and those that move
sound in time move events, instants and frame labels with it.
"""

from torchaug.audio.air import AirAbsorption
from torchaug.audio.background import AddBackgroundNoise
from torchaug.audio.bank import SoundBank
from torchaug.audio.clipping import Clip, ClippingDistortion, Limiter, TanhDistortion
from torchaug.audio.codec import LossyCodec
from torchaug.audio.cuts import RandomCrop, SpliceOut, Trim
from torchaug.audio.equalizer import HighShelfFilter, LowShelfFilter, PeakingFilter, SevenBandParametricEQ
from torchaug.audio.filtered import Filtered
from torchaug.audio.filters import BandPassFilter, BandStopFilter, HighPassFilter, LowPassFilter
from torchaug.audio.gain import DropChannels, Gain, GainTransition, PeakNormalization, ShuffleChannels
from torchaug.audio.impulse import ApplyImpulseResponse
from torchaug.audio.inversion import PolarityInversion, TimeInversion
from torchaug.audio.kinds import Timed, Wave, time_map
from torchaug.audio.loudness import LoudnessNormalization, loudness
from torchaug.audio.masking import FrequencyMasking, TimeMasking
from torchaug.audio.masks import TimeMask
from torchaug.audio.mixing import AudioCutMix, AudioMixup, Mix, SoundMix
from torchaug.audio.noise import AddColorNoise, AddGaussianNoise, AddGaussianSNR
from torchaug.audio.packets import PacketLoss
from torchaug.audio.pads import AdjustDuration, Padding
from torchaug.audio.per_channel import PerChannel
from torchaug.audio.quantize import ALaw, Aliasing, BitCrush, MuLaw
from torchaug.audio.repeats import RepeatPart
from torchaug.audio.reverb import ParametricReverb
from torchaug.audio.rooms import RoomSimulator
from torchaug.audio.rows import resample_rows
from torchaug.audio.shift import Shift
from torchaug.audio.short_noises import AddShortNoises
from torchaug.audio.specaugment import SpecAugment
from torchaug.audio.speccutmix import SpecCutMix
from torchaug.audio.spectral import Spectral, TimedSpectral
from torchaug.audio.spectrogram import Framed, MelSpectrogram, Spectrogram
from torchaug.audio.speed import Resample, SpeedPerturbation
from torchaug.audio.stretch import PitchShift, PitchTempo, TimeStretch
from torchaug.audio.telephone import TelephoneCodec
from torchaug.audio.timeline import TimeMap
from torchaug.audio.timewarp import TimeWarp

__all__ = [
    "ALaw",
    "AddBackgroundNoise",
    "AddColorNoise",
    "AddGaussianNoise",
    "AddGaussianSNR",
    "AddShortNoises",
    "AdjustDuration",
    "AirAbsorption",
    "Aliasing",
    "ApplyImpulseResponse",
    "AudioCutMix",
    "AudioMixup",
    "BandPassFilter",
    "BandStopFilter",
    "BitCrush",
    "Clip",
    "ClippingDistortion",
    "DropChannels",
    "Filtered",
    "Framed",
    "FrequencyMasking",
    "Gain",
    "GainTransition",
    "HighPassFilter",
    "HighShelfFilter",
    "Limiter",
    "LossyCodec",
    "LoudnessNormalization",
    "LowPassFilter",
    "LowShelfFilter",
    "MelSpectrogram",
    "Mix",
    "MuLaw",
    "PacketLoss",
    "Padding",
    "ParametricReverb",
    "PeakNormalization",
    "PeakingFilter",
    "PerChannel",
    "PitchShift",
    "PitchTempo",
    "PolarityInversion",
    "RandomCrop",
    "RepeatPart",
    "Resample",
    "RoomSimulator",
    "SevenBandParametricEQ",
    "Shift",
    "ShuffleChannels",
    "SoundBank",
    "SoundMix",
    "SpecAugment",
    "SpecCutMix",
    "Spectral",
    "Spectrogram",
    "SpeedPerturbation",
    "SpliceOut",
    "TanhDistortion",
    "TelephoneCodec",
    "TimeInversion",
    "TimeMap",
    "TimeMask",
    "TimeMasking",
    "TimeStretch",
    "TimeWarp",
    "Timed",
    "TimedSpectral",
    "Trim",
    "Wave",
    "loudness",
    "resample_rows",
    "time_map",
]
