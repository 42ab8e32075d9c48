"""Training of the conditional VAE of sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from torchaug.data.waveforms import TensorWaveforms, windows
from torchaug.models.audio_vae import AudioVAE
from torchaug.models.fitted import FITTED_AT_ONCE
from torchaug.models.networks import at_once
from torchaug.models.spectrogram import SpectrogramCodec
from torchaug.models.vae import ImageVAE
from torchaug.training.data import InMemory
from torchaug.training.generator import KeyedAugment
from torchaug.training.synthesizer import Columns, check_settings
from torchaug.training.vae import LitVAE, labels_of, some_of_each

LEVELS = 4096
"""Values of a mel: rounded, its image does not depend on the last bits of a network, nor does the waveform."""
DETAILS, NUMBERS = 256, 2**22
"""Training clips whose detail is kept for made ones, and numbers of all of them, at most."""
LOUDEST = 32767
"""Waveforms are rounded to those of 16 bits, for the same reason."""


class LitAudioVAE(LitVAE):
    """An `AudioVAE` in training: a `LitVAE` of the log-mel images of sounds.

    Train it with a `SynthesisDataModule` of `TensorWaveforms` or an `AudioDataset`, as `torchaug.training.fit.fit` does. Its
    checkpoints hold the statistics of the spectrograms too, and what the VAE leaves out of up to 256 training clips: a made
    clip has the detail of one of them, without which classifiers learn nothing from it (`detail=False` leaves it out).

    Args:
        shape: 1, mels and frames of the codec.
        classes: the name of each class; none for sounds without labels.
        steps: optimiser steps.
        augment: applied to the waveforms in training, (B, 1, T), silence after a clip's own end included; not part of the
            checkpoint. What it adds, such as noise, is learnt as if it were in the clips.
        sample_rate, samples: of a clip.
        codec: other arguments of `SpectrogramCodec`.
        settings: of `LitVAE`; any objective but "vq".
    """

    kind = "audio-vae"
    content = "waveform"
    details: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: Sequence[str],
        steps: int,
        augment: KeyedAugment | None = None,
        *,
        sample_rate: int,
        samples: int,
        codec: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        if settings.get("objective") == "vq":
            raise ValueError("LitAudioVAE: objective must not be 'vq', whose codes cannot be mixed to vary a clip")
        super().__init__(shape, classes, steps, augment, **settings)
        self.codec = SpectrogramCodec(sample_rate, samples, **(codec or {}))
        clips = max(1, min(DETAILS, NUMBERS // (shape[1] * shape[2])))
        self.register_buffer("details", torch.zeros(clips, *shape[1:]))

    @classmethod
    def made_for(cls, data: InMemory, steps: int, augment: KeyedAugment | None, settings: dict[str, Any]) -> Self:
        sounds = sounds_in(data, cls.__name__)
        codec = SpectrogramCodec(settings["sample_rate"], settings["samples"], **(settings.get("codec") or {}))
        module = cls((1, codec.mels, codec.frames), sounds.classes or [], steps, augment, **settings)
        module.codec.fit(sounds.waveforms, sounds.lengths)
        return module

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """Settings that suit sounds of this rate and length, on this machine.

        >>> from torchaug.data import vowels
        >>> found = LitAudioVAE.default_settings(vowels(1))
        >>> found["sample_rate"], found["samples"], found["likelihood"]
        (8000, 4000, 'gaussian')
        """
        sounds = sounds_in(data, cls.__name__)
        settings: dict[str, Any] = {"sample_rate": sounds.sample_rate, "samples": sounds.waveforms.shape[2]}
        preset = "small" if torch.cuda.is_available() else "tiny"
        return settings | {"preset": preset, "latent": 32, "likelihood": "gaussian", "levels": LEVELS}

    @classmethod
    def described(cls, data: InMemory) -> dict[str, Any]:
        sounds = sounds_in(data, cls.__name__)
        return {"classes": list(sounds.classes or []), "sample_rate": sounds.sample_rate}

    @property
    def attributes(self) -> dict[str, Any]:
        """The rate of the sounds."""
        return {"sample_rate": self.codec.sample_rate}

    @property
    def audio(self) -> AudioVAE:
        """The VAE with averaged weights, the codec, and the detail of training clips."""
        vae = self.averaged
        assert isinstance(vae, ImageVAE)
        return AudioVAE(self.codec, vae, self.details)

    @property
    def sampling(self) -> Sequence[str]:  # type: ignore[override]
        return *super().sampling, "detail"

    def prepare_from(self, train: InMemory) -> None:
        """Fits the aggregated posterior, and keeps the detail of training clips."""
        super().prepare_from(train)
        rows = _evenly(labels_of(train), len(self.details))
        parts = rows.split(at_once(self.shape, FITTED_AT_ONCE))
        self.details.copy_(torch.cat([self.audio.left_out(*self._training_images(train, part)) for part in parts]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What samples are made of is as new as the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["state_dict"]["details"] = self.details.detach().clone()

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings(f"{type(self).__name__}.make", settings, self.sampling)
        return {"waveform": _rounded(self.audio.generate(labels, keys, **settings))}

    def interpolate(
        self, first: int, second: int, steps: int = 8, *, labels: int | str = 0, seed: int = 0, **settings: Any
    ) -> Tensor:
        """Waveforms on the way between two of a class, from sample number `first` to number `second`, (steps, 1, T)."""
        return _rounded(self.audio.interpolate(*self._ends(first, second, labels, seed), steps, **settings)[0])

    @torch.no_grad()
    def score(self, content: Tensor, labels: Tensor | None = None) -> Tensor:
        """A lower bound of log p(log-mels | label) in nats, (B,), of waveforms (B, 1, T)."""
        images = self.codec.encode(content.to(self.device)).to(self.dtype)
        return self.averaged.score(images, self.labels_to_score(labels, len(images)))

    def augmented(self, batch: dict[str, Tensor], keys: Tensor) -> Tensor:
        if self.augment is None:
            return self.images_of(batch)
        waveforms = batch["waveform"]
        if "lengths" in batch:
            waveforms = windows(waveforms, batch["lengths"])
        return self.images_of({"waveform": self.augment(waveforms, keys=keys)})

    def images_of(self, batch: dict[str, Tensor]) -> Tensor:
        """The log-mel images of the batch's waveforms, as long as its "lengths" say where it has them."""
        with torch.no_grad():
            return self.codec.encode(batch["waveform"], batch.get("lengths")).to(self.dtype)


def sounds_in(data: InMemory, who: str) -> TensorWaveforms:
    """The data as sounds of one channel, or an error."""
    if not isinstance(data, TensorWaveforms):
        raise TypeError(f"{who}: expected sounds, got a {type(data).__name__}; choose a kind made for these")
    if data.waveforms.shape[1] != 1:
        raise ValueError(
            f"{who}: expected sounds of one channel, got {data.waveforms.shape[1]}; read them with mono=True"
        )
    return data


def _evenly(labels: Tensor, count: int) -> Tensor:
    """So many places of samples of classes (N,), evenly, one of each class among them; of few samples some twice.

    >>> _evenly(torch.tensor([0, 1, 0, 0, 0, 0, 0, 0]), 4).tolist()
    [0, 0, 1, 4]
    """
    rows = torch.arange(count) * len(labels) // count
    first = some_of_each(labels, 0)
    if len(labels[rows].unique()) == len(first):
        return rows
    if len(first) >= count:
        return first[torch.arange(count) * len(first) // count]
    rest = count - len(first)
    return torch.cat([first, torch.arange(rest) * len(labels) // rest]).sort().values


def _rounded(waveforms: Tensor) -> Tensor:
    return ((waveforms * LOUDEST).round() / LOUDEST).float()
