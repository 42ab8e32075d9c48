"""What a reader sees and hears of a study of sounds: clips of the rare classes, and what a waveform costs to make."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.audio.resample import resample
from torchaug.data import Bank, TensorWaveforms
from torchaug.evaluate.results import Sheet
from torchaug.keys import sample_keys
from torchaug.models.spectrogram import SpectrogramCodec
from torchaug.training.arms import Recipe
from torchaug.training.samples import Samples, labelled
from torchaug.training.sheets import first_of, nearest

SECONDS, RATE = 3.0, 16000
"""Of a player, at most: a report holds all that is heard in it."""
_TIMED = 2
"""Waveforms by whose time a study is planned."""


def sound_sheets(
    train: TensorWaveforms, bank: Bank | None, rare: Sequence[int], recipe: Recipe, seed: int
) -> dict[str, Sheet]:
    """Real, augmented and synthetic clips of the rare classes, and beside the synthetic ones the nearest training clip.

    Pictures are log-mels, low frequencies below; distances are those of pictures.
    """
    codec = SpectrogramCodec(train.sample_rate, train.waveforms.shape[2])
    mono = train.windows().mean(1, keepdim=True)
    codec.fit(mono, train.lengths)
    labels, _ = labelled(train)
    every = _pictures(codec, mono)
    rows = first_of(labels, rare, recipe.shown)
    shown = tuple(labels[rows].tolist())
    changed = recipe.augment(train.windows()[rows], keys=sample_keys(rows, seed=seed)).mean(1, keepdim=True)
    sheets = {
        "real": _sheet(every[rows], shown, mono[rows], train.sample_rate),
        "augmented": _sheet(_pictures(codec, changed), shown, changed, train.sample_rate),
    }
    if bank is not None:
        made = bank.in_memory()
        rows = first_of(made.labels, rare, recipe.shown)
        sounds = made.windows()[rows]
        pictures = _pictures(codec, sounds)
        place, distance = nearest(pictures, every)
        near = (every[place], tuple(distance.tolist()), _heard(mono[place], train.sample_rate))
        sheets["synthetic"] = _sheet(pictures, tuple(made.labels[rows].tolist()), sounds, train.sample_rate, *near)
    return sheets


def _sheet(
    pictures: Tensor,
    labels: tuple[int, ...],
    sounds: Tensor,
    sample_rate: int,
    near: Tensor | None = None,
    distances: tuple[float, ...] = (),
    near_sounds: Tensor | None = None,
) -> Sheet:
    heard = _heard(sounds, sample_rate)
    return Sheet(pictures, labels, near, distances, heard, near_sounds, min(sample_rate, RATE))


def _heard(sounds: Tensor, sample_rate: int) -> Tensor:
    """Sounds (N, 1, T) as a report has them."""
    return resample(sounds[..., : round(SECONDS * sample_rate)], sample_rate, min(sample_rate, RATE))


def _pictures(codec: SpectrogramCodec, sounds: Tensor) -> Tensor:
    """Sounds (N, 1, T) as (N, 1, mels, frames) uint8."""
    return (codec.encode(sounds).flip(2) * 255).round().to(torch.uint8)


def seconds_of_waveforms(train: Samples, recipe: Recipe) -> float:
    """How long it takes to make a waveform of a log-mel image here, as a bank is made; 0 for images."""
    if not isinstance(train, TensorWaveforms):
        return 0.0
    codec = SpectrogramCodec(train.sample_rate, train.waveforms.shape[2], **recipe.settings.get("codec", {}))
    codec.fit(train.waveforms[:_TIMED], train.lengths[:_TIMED]).double()  # banks are computed in double precision
    images = codec.encode(train.waveforms[:_TIMED])
    start = time.perf_counter()
    codec.decode(images)
    return (time.perf_counter() - start) / _TIMED
