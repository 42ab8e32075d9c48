"""A conditional VAE of sounds: an image VAE on their log-mel spectrograms, and the way to waveforms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torchaug.keys import fold_in, uniforms
from torchaug.models.spectrogram import SpectrogramCodec
from torchaug.models.vae import ImageVAE


class AudioVAE(nn.Module):
    """Makes clips of a class, and varies real ones.

    A VAE decodes what is expected: a spectrogram without partials of its own, rooms or noise, by which a classifier
    knows made clips from real ones. So made clips get the detail of real ones, whose class may be another. Noise drawn
    from the likelihood does not do: what is left out hangs together over time and frequency.

    Args:
        codec: from waveforms to images and back.
        vae: of such images: channels 1, height `codec.mels`, width `codec.frames`.
        details: (K, mels, frames), what the VAE left out of K real images; None: nothing is added to made ones.

    Shape: waveforms (B, 1, T) float in [-1, 1]; images (B, 1, mels, frames) float in [0, 1]; labels and keys (B,) int64.

    >>> codec = SpectrogramCodec(8000, 2048)
    >>> audio = AudioVAE(codec, ImageVAE(1, codec.mels, codec.frames, num_classes=3, likelihood="gaussian"))
    >>> labels, keys = torch.tensor([0, 2]), torch.tensor([7, 8])
    >>> made = audio.generate(labels, keys)
    >>> made.shape, audio.variations(made, labels, keys, amount=0.3).shape
    (torch.Size([2, 1, 2048]), torch.Size([2, 1, 2048]))
    """

    details: Tensor | None

    def __init__(self, codec: SpectrogramCodec, vae: ImageVAE, details: Tensor | None = None) -> None:
        super().__init__()
        if vae.shape != (1, codec.mels, codec.frames):
            raise ValueError(
                f"AudioVAE: the VAE's images must be (1, {codec.mels}, {codec.frames}) as the codec's, got {vae.shape}"
            )
        if details is not None and (details.ndim != 3 or details.shape[1:] != vae.shape[1:] or not len(details)):
            raise ValueError(
                f"AudioVAE: details must be (K, {codec.mels}, {codec.frames}), K at least 1, got {tuple(details.shape)}"
            )
        self.codec, self.vae = codec, vae
        self.register_buffer("details", details)

    @torch.no_grad()
    def generate(self, labels: Tensor, keys: Tensor, detail: bool = True, **settings: Any) -> Tensor:
        """A waveform (B, 1, samples) for each label, a function of the label and the key alone.

        Args:
            labels, keys: (B,) int64.
            detail: whether clips get the detail of real ones, where there is any.
            settings: of `ImageVAE.generate`, such as `prior`.
        """
        images = self.vae.generate(labels, keys, **settings)
        return self.codec.decode((images + self._detail(keys)).clamp(0, 1) if detail else images)

    @torch.no_grad()
    def interpolate(
        self, labels: Tensor, first: Tensor, second: Tensor, steps: int = 8, detail: bool = True, **settings: Any
    ) -> Tensor:
        """Waveforms on the way between those of two keys, (B, steps, 1, samples).

        Args:
            labels, first, second, steps: see `ImageVAE.interpolate`, as for `settings`.
            detail: see `generate`.
        """
        images = self.vae.interpolate(labels, first, second, steps, **settings)
        if detail:
            share = torch.linspace(0, 1, steps, dtype=images.dtype, device=images.device).view(-1, 1, 1, 1)
            details = torch.lerp(self._detail(first)[:, None], self._detail(second)[:, None], share)
            images = (images + details).clamp(0, 1)
        made: Tensor = self.codec.decode(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return made

    @torch.no_grad()
    def left_out(self, images: Tensor, labels: Tensor) -> Tensor:
        """What the VAE leaves out of real images (B, 1, mels, frames) of classes (B,): (B, mels, frames)."""
        return (images - self.vae.decode(self.vae.encode(images, labels)[0], labels))[:, 0]

    def _detail(self, keys: Tensor) -> Tensor:
        """Of the real image that each key chooses, (B, 1, mels, frames)."""
        if self.details is None:
            return torch.zeros(len(keys), *self.vae.shape, dtype=self.vae.dtype, device=keys.device)
        u = uniforms(fold_in(keys, 2), 1)[:, 0]
        return self.details[(u * len(self.details)).long()][:, None]

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
