"""A conditional VAE of sounds: an image VAE on their log-mel spectrograms, and the way to waveforms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torchaug.models.spectrogram import SpectrogramCodec
from torchaug.models.vae import ImageVAE


class AudioVAE(nn.Module):
    """Makes clips of a class, and varies real ones.

    Args:
        codec: from waveforms to images and back.
        vae: of such images: channels 1, height `codec.mels`, width `codec.frames`.

    Shape: waveforms (B, 1, T) float in [-1, 1]; images (B, 1, mels, frames) float in [0, 1]; labels and keys (B,) int64.

    >>> codec = SpectrogramCodec(8000, 2048)
    >>> audio = AudioVAE(codec, ImageVAE(1, codec.mels, codec.frames, num_classes=3, likelihood="gaussian"))
    >>> labels, keys = torch.tensor([0, 2]), torch.tensor([7, 8])
    >>> made = audio.generate(labels, keys)
    >>> made.shape, audio.variations(made, labels, keys, amount=0.3).shape
    (torch.Size([2, 1, 2048]), torch.Size([2, 1, 2048]))
    """

    def __init__(self, codec: SpectrogramCodec, vae: ImageVAE) -> None:
        super().__init__()
        if vae.shape != (1, codec.mels, codec.frames):
            raise ValueError(
                f"AudioVAE: the VAE's images must be (1, {codec.mels}, {codec.frames}) as the codec's, got {vae.shape}"
            )
        self.codec, self.vae = codec, vae

    @torch.no_grad()
    def generate(self, labels: Tensor, keys: Tensor, **settings: Any) -> Tensor:
        """A waveform (B, 1, samples) for each label, a function of the label and the key alone.

        Args:
            labels, keys: (B,) int64.
            settings: of `ImageVAE.generate`, such as `prior`.
        """
        return self.codec.decode(self.vae.generate(labels, keys, **settings))

    @torch.no_grad()
    def vary(self, images: Tensor, labels: Tensor, keys: Tensor, amount: float = 0.5) -> Tensor:
        """Other images of the same classes that look like these: for a classifier of log-mels, no waveform in between.

        What moves is what the VAE knows: each image is changed by the difference of two decoded ones, that of its
        latent blended with a draw of its class (`ImageVAE.posterior_mix`) and that of its own. The detail that the VAE
        blurs stays as it was.

        Args:
            images: (B, 1, mels, frames), of `codec.encode`.
            labels, keys: (B,) int64.
            amount: in [0, 1]; 0 changes nothing.
        """
        own = self.vae.posterior_mix(images, labels, keys, 0.0)
        return (images + self.vae.posterior_mix(images, labels, keys, amount) - own).clamp(0, 1)

    @torch.no_grad()
    def variations(
        self, waveforms: Tensor, labels: Tensor, keys: Tensor, amount: float = 0.5, lengths: Tensor | None = None
    ) -> Tensor:
        """Other clips of the same classes that sound like these, (B, 1, samples).

        Args:
            waveforms: (B, 1, T); cut or filled to the codec's `samples`.
            labels, keys, amount: see `vary`.
            lengths: (B,) samples of each clip; the rest stays silent.
        """
        images = self.codec.encode(waveforms, lengths)
        return self.codec.decode(self.vary(images, labels, keys, amount), lengths)
