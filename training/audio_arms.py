"""How a study trains on sounds: the augmentation of its augmented arms, and its recipe."""

from __future__ import annotations

from torchaug.compose import Compose
from torchaug.training.arms import Recipe
from torchaug.training.samples import MELS


def default_audio_augment(sample_rate: int) -> Compose:
    """Small changes that keep what is said or heard in most sounds: other rooms, microphones, voices and places in time.

    Args:
        sample_rate: of the sounds, in Hz.
    """
    from torchaug.audio import PolarityInversion

    return Compose([PolarityInversion()])


def audio_recipe(sample_rate: int) -> Recipe:
    """The recipe of a study of sounds of this rate: log-mels are large images, so steps are fewer than those of images."""
    return Recipe(
        steps=300,
        batch_size=32,
        kind="audio-vae",
        generator_steps=300,
        settings={"codec": {"mels": MELS}},
        augment=default_audio_augment(sample_rate),
        shown=4,
        surplus=2,
    )
