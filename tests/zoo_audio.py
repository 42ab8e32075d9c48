"""Every public transform of sounds, once or more: what tests/test_audio.py runs over."""

from __future__ import annotations

from importlib import import_module

import torch

from torchaug import Batch, Compose, OneOf, RandomApply, SomeOf
from torchaug.keys import sample_keys
from torchaug.transform import Layer

TOPICS = ("noise", "levels", "time", "filters", "codecs", "spectral")
RATE, SAMPLES, CHANNELS, BINS, FRAMES = 8000, 2400, 2, 20, 50

ALONE: dict[str, Layer] = {}
"""Whose samples stand each alone; those of spectrograms begin with "spec"."""
MIXING: dict[str, Layer] = {}
"""Whose samples get something of the others."""
for _topic in TOPICS:
    _zoo = import_module(f"zoo_audio_{_topic}")
    ALONE |= _zoo.ALONE
    MIXING |= _zoo.MIXING


_FEW = [ALONE[name] for name in ("gaussian_snr", "time_inversion", "polarity", "color_noise")]
CHAINS: dict[str, Layer] = {
    "chain": Compose(_FEW),
    "one_of": OneOf(_FEW, weights=list(range(1, len(_FEW) + 1))),
    "some_of": SomeOf(_FEW, n=1),
    "random_apply": RandomApply(_FEW, p=0.5),
}
EVERY = ALONE | MIXING | CHAINS


def voices(count: int = 4, samples: int = SAMPLES, channels: int = CHANNELS, seed: int = 0) -> torch.Tensor:
    """Sounds with a pitch of their own, overtones and some noise, (count, channels, samples) float32 in [-0.9, 0.9]."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / RATE
    pitch = 110 + 120 * torch.rand(count, 1, 1, generator=generator)
    tones = sum(torch.sin(2 * torch.pi * pitch * k * time) / k for k in range(1, 8))
    noise = torch.randn(count, channels, samples, generator=generator)
    sound = (tones * torch.tensor([1.0, 0.7])[:channels, None] + 0.1 * noise) / 3
    return sound.clamp(-0.9, 0.9)


LENGTHS = (SAMPLES, SAMPLES - 701, SAMPLES, 900)


def labelled(name: str, count: int = 4, dtype: torch.dtype = torch.float32) -> Batch:
    """A batch that the transform of this name takes, with labels of every sort; padding is 0.

    Where samples mix, frame labels are soft: class numbers cannot be blended.
    """
    batch = _labelled(name, count, dtype)
    if name not in MIXING or batch.frame_labels is None:
        return batch
    return batch.replace(frame_labels=torch.nn.functional.one_hot(batch.frame_labels, 25).to(torch.float32))


def _labelled(name: str, count: int, dtype: torch.dtype) -> Batch:
    lengths = torch.tensor(LENGTHS)[:count]
    key = sample_keys(torch.arange(count), seed=3)
    label = torch.arange(count) % 2
    if name.startswith("spec"):
        generator = torch.Generator().manual_seed(1)
        lengths = lengths * FRAMES // SAMPLES
        inside = torch.arange(FRAMES) < lengths[:, None, None, None]
        sound = torch.randn(count, 1, BINS, FRAMES, generator=generator) * inside
        return Batch(spectrogram=sound.to(dtype), lengths=lengths, label=label, key=key, **_labels(lengths, FRAMES))
    inside = torch.arange(SAMPLES) < lengths[:, None, None]
    sound = voices(max(count, 1))[:count] * inside
    return Batch(waveform=sound.to(dtype), lengths=lengths, label=label, key=key, **_labels(lengths, SAMPLES))


def _labels(lengths: torch.Tensor, samples: int) -> dict[str, torch.Tensor]:
    ends = torch.tensor([[0.1, 0.3], [0.3, 0.85], [0.0, 0.0]], dtype=torch.float64) * lengths[:, None, None]
    return {
        "events": ends,
        "event_labels": torch.tensor([4, 7, -1]).expand(len(lengths), 3),
        "instants": torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64) * lengths[:, None],
        "frame_labels": torch.arange(25).expand(len(lengths), 25)
        if len(lengths)
        else torch.zeros(0, 25, dtype=torch.int64),
    }
