"""How a study trains on sounds: the augmentation of its augmented arms, and its recipe."""

from __future__ import annotations

from torchaug.audio import (
    AddGaussianSNR,
    Gain,
    ParametricReverb,
    PitchShift,
    SevenBandParametricEQ,
    Shift,
    SpeedPerturbation,
)
from torchaug.compose import Compose
from torchaug.training.arms import Recipe
from torchaug.training.samples import MELS


def default_audio_augment(sample_rate: int) -> Compose:
    """Small changes that keep what is said or heard in most sounds: their place, pace, pitch, colour, room, level and noise.

    Args:
        sample_rate: of the sounds, in Hz.

    >>> import torch
    >>> default_audio_augment(8000)(torch.rand(2, 1, 4000), keys=torch.arange(2)).shape
    torch.Size([2, 1, 4000])
    """
    return Compose(
        [
            Shift(-0.1, 0.1, rollover=False, sample_rate=sample_rate),
            SpeedPerturbation(min_factor=0.9, max_factor=1.1, keep_length=True),
            PitchShift(-2.0, 2.0, sample_rate=sample_rate),
            SevenBandParametricEQ(-6.0, 6.0, sample_rate=sample_rate),
            ParametricReverb(0.1, 0.5, 0.0, 12.0, sample_rate=sample_rate),
            Gain(-6.0, 6.0),
            AddGaussianSNR(5.0, 30.0),
        ]
    )


def audio_recipe(sample_rate: int) -> Recipe:
    """The recipe of a study of sounds of this rate: log-mels are large images, so steps are fewer than those of images."""
    return Recipe(
        steps=200,
        batch_size=32,
        kind="audio-vae",
        generator_steps=250,
        settings={"codec": {"mels": MELS}},
        augment=default_audio_augment(sample_rate),
        shown=4,
        surplus=2,
    )
