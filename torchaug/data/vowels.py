"""Spoken vowels made on the spot: a small task of sounds that needs no download."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.data.rooms import in_noise, in_rooms
from torchaug.data.waveforms import TensorWaveforms
from torchaug.keys import log_uniform, sample_keys, uniform, uniforms

FORMANTS = {
    "a": (730.0, 1090.0, 2440.0),
    "e": (530.0, 1840.0, 2480.0),
    "i": (270.0, 2290.0, 3010.0),
    "o": (570.0, 840.0, 2410.0),
    "u": (300.0, 870.0, 2240.0),
}
"""Resonances of a man's vocal tract in Hz (Peterson and Barney, JASA 1952)."""
WIDTHS = (80.0, 100.0, 140.0)
"""Their bandwidths in Hz."""


class Speaker(NamedTuple):
    """What varies from clip to clip, (B, 1) each."""

    pitch: Tensor
    glide: Tensor
    tract: Tensor
    tilt: Tensor
    loudness: Tensor
    start: Tensor
    length: Tensor


def vowels(
    per_class: int = 40,
    *,
    seconds: float = 0.5,
    sample_rate: int = 8000,
    snr_db: float = 20.0,
    room_seconds: float = 0.0,
    seed: int = 0,
) -> TensorWaveforms:
    """Vowels of five classes by many voices: a buzz of varied pitch through resonances of a varied tract.

    A clip is a function of its number, class and seed alone. Pitch (90 to 300 Hz) and glide, length of the tract (85 to
    125 %), voice, loudness, beginning and duration vary.

    Args:
        per_class: clips of each of the classes a, e, i, o and u.
        seconds: of the longest; clips are from half as long on.
        sample_rate: in Hz.
        snr_db: by which a voice is louder than the noise in it, at least; up to 15 dB more.
        room_seconds: each voice is in a room of its own, with a reverberation of up to so long; 0: in none.
        seed: of everything.

    >>> data = vowels(2, seed=1)
    >>> data.classes, data.waveforms.shape, data.labels.tolist()
    (['a', 'e', 'i', 'o', 'u'], torch.Size([10, 1, 4000]), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    """
    samples = round(seconds * sample_rate)
    if per_class < 1 or samples < 1:
        raise ValueError(f"vowels: per_class and seconds must be above 0, got {per_class} and {seconds:g}")
    labels = torch.arange(len(FORMANTS)).repeat_interleave(per_class)
    numbers = torch.arange(per_class).repeat(len(FORMANTS)) * len(FORMANTS) + labels
    keys = sample_keys(numbers, seed=seed)
    u = uniforms(keys, 10)
    who = Speaker(
        pitch=log_uniform(u[:, :1], 90, 300),
        glide=uniform(u[:, 1:2], -0.2, 0.2),
        tract=log_uniform(u[:, 2:3], 0.85, 1.25),
        tilt=uniform(u[:, 3:4], 0.8, 1.6),
        loudness=log_uniform(u[:, 4:5], 0.1, 0.9),
        start=uniform(u[:, 5:6], 0.0, 0.1),
        length=uniform(u[:, 6:7], 0.5, 1.0),
    )
    lengths = (who.length[:, 0] * samples).round().long().clamp(1, samples)
    voices = torch.cat([  # a class at a time: a table of partials and samples is large
        _voices(torch.tensor(list(FORMANTS.values())[label]), Speaker(*(part[labels == label] for part in who)), sample_rate, samples)
        for label in range(len(FORMANTS))
    ])  # fmt: skip
    whole = in_noise(in_rooms(voices, keys, room_seconds, sample_rate), u[:, 7:], snr_db)
    whole = whole * (torch.arange(samples) < lengths[:, None])
    whole = whole * who.loudness / whole.abs().amax(1, keepdim=True)
    return TensorWaveforms(whole[:, None], labels, list(FORMANTS), sample_rate=sample_rate, lengths=lengths)


def noisy_vowels() -> TensorWaveforms:
    """The vowels of `torchaug demo --modality audio`: 160 clips of each, in rooms and noise.

    >>> len(noisy_vowels())
    800
    """
    return vowels(160, seconds=0.4, snr_db=5.0, room_seconds=0.4)


def _voices(formants: Tensor, who: Speaker, sample_rate: int, samples: int) -> Tensor:
    """Clips (B, samples) as sums of partials, each as loud as the resonances at its mean frequency let it be."""
    time = torch.arange(samples) / sample_rate
    span = who.length * samples / sample_rate
    share = (time / span).clamp(max=1)
    turns = who.pitch * (time + who.glide * (share - 1) * time / 2)  # the pitch goes from (1 - glide / 2) up
    made = torch.zeros(len(turns), samples)
    for partial in range(1, int(sample_rate / 2 / 90) + 1):
        frequency = partial * who.pitch
        heard = frequency * 1.25 < sample_rate / 2  # the highest pitch of a glide is no alias
        gain = heard * partial**-who.tilt * _resonance(frequency, formants * who.tract)
        made += gain * torch.sin(2 * math.pi * partial * turns)
    rise = ((share - who.start) / 0.1).clamp(0, 1)
    fall = ((1 - share) / 0.2).clamp(0, 1)
    return made * rise * fall


def _resonance(frequency: Tensor, formants: Tensor) -> Tensor:
    """The gain (B, 1) of resonators one after another at a frequency (B, 1), each 1 at 0 Hz."""
    widths = torch.tensor(WIDTHS)
    square, center = frequency.square(), formants.square() + (widths / 2).square()
    return (center / ((square - center).square() + square * widths.square()).sqrt()).prod(1, keepdim=True)
