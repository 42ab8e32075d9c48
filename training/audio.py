"""Training of the conditional VAE of sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from torchaug.data.waveforms import TensorWaveforms
from torchaug.models.audio_vae import AudioVAE
from torchaug.models.spectrogram import SpectrogramCodec
from torchaug.training.data import InMemory, SynthesisDataModule
from torchaug.training.generator import KeyedAugment
from torchaug.training.synthesizer import Columns, check_settings
from torchaug.training.vae import FITTED, LitVAE

LEVELS = 4096
"""Values of a mel: so that its image, and with it the waveform, does not depend on the last bits of a network."""
LOUDEST = 32767
"""Waveforms are rounded to those of 16 bits, for the same reason."""


class LitAudioVAE(LitVAE):
    """An `AudioVAE` in training: a `LitVAE` of the log-mel images of sounds.

    Train it with a `SynthesisDataModule` of a `TensorWaveforms` or an `AudioDataset`; `torchaug.training.fit.fit` does.
    A checkpoint has the statistics of the spectrograms with it.

    Args:
        codec: arguments of `SpectrogramCodec`; "sample_rate" and "samples" at least.
        classes, steps, augment, settings: see `LitVAE`; `augment` gets log-mel images.
    """

    kind = "audio-vae"

    def __init__(
        self,
        codec: Mapping[str, Any],
        classes: Sequence[str],
        steps: int,
        augment: KeyedAugment | None = None,
        **settings: Any,
    ) -> None:
        made = SpectrogramCodec(**codec)
        super().__init__((1, made.mels, made.frames), classes, steps, augment, **settings)
        self.save_hyperparameters({"codec": dict(codec)})
        self.codec = made

    @classmethod
    def for_data(
        cls,
        data: InMemory,
        steps: int,
        *,
        augment: KeyedAugment | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        sounds = sounds_in(data, cls.__name__)
        chosen = {**cls.default_settings(data), **(settings or {}), "seed": seed}
        module = cls(classes=sounds.classes or [], steps=steps, augment=augment, **chosen)
        module.codec.fit(sounds.waveforms, sounds.lengths)
        return module

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """Settings that suit sounds of this rate and length.

        >>> from torchaug.data import vowels
        >>> LitAudioVAE.default_settings(vowels(1))["codec"]
        {'sample_rate': 8000, 'samples': 4000}
        """
        sounds = sounds_in(data, cls.__name__)
        codec = {"sample_rate": sounds.sample_rate, "samples": sounds.waveforms.shape[2]}
        preset = "small" if torch.cuda.is_available() else "tiny"
        return {"codec": codec, "preset": preset, "latent": 32, "likelihood": "gaussian", "levels": LEVELS}

    @classmethod
    def described(cls, data: InMemory) -> dict[str, Any]:
        return {"classes": list(sounds_in(data, cls.__name__).classes or [])}

    @property
    def attributes(self) -> dict[str, Any]:
        """The rate of the sounds."""
        return {"sample_rate": self.codec.sample_rate}

    @property
    def audio(self) -> AudioVAE:
        """The VAE with averaged weights, and the codec."""
        return AudioVAE(self.codec, self.averaged)

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings(f"{type(self).__name__}.make", settings, self.sampling)
        waveforms = self.audio.generate(labels, keys, **settings)
        return {"waveform": ((waveforms * LOUDEST).round() / LOUDEST).float()}

    def images_of(self, batch: dict[str, Tensor]) -> Tensor:
        """The log-mel images of the batch's waveforms."""
        with torch.no_grad():
            return self.codec.encode(batch["waveform"], batch["lengths"]).to(self.dtype)

    def prepare_samples(self) -> None:
        data = getattr(self._trainer, "datamodule", None)  # `trainer` raises where there is none
        if isinstance(data, SynthesisDataModule):
            chosen = slice(None, None, -(-len(data.train) // FITTED))
            parts = {name: tensor[chosen].to(self.device) for name, tensor in data.train.tensors().items()}
            self.averaged.fit_posterior(self.images_of(parts), data.train.labels[chosen].to(self.device))


def sounds_in(data: InMemory, who: str) -> TensorWaveforms:
    """The data as labelled sounds of one channel, or an error."""
    if not isinstance(data, TensorWaveforms):
        raise TypeError(f"{who}: expected labelled sounds, got a {type(data).__name__}; choose a kind made for these")
    if data.labels is None or data.waveforms.shape[1] != 1:
        found = "none" if data.labels is None else f"{data.waveforms.shape[1]} channels"
        raise ValueError(f"{who}: expected sounds of one channel with labels, got {found}; read them with mono=True")
    return data
