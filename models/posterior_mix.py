"""Augmentation of real images by a VAE that knows them: others of the same class that look much like them."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.keys import normal
from torchaug.models.vae import ImageVAE
from torchaug.transform import Transform


class PosteriorMix(Transform):
    """Replaces an image by a variation of it: its latent, blended with a draw of its class's latents, decoded.

    The class stays what it is, so this augments the training images of a classifier of the same classes. It makes
    synthetic images: never let it near validation data. It goes into a `Compose` like any transform; images of another
    size than the VAE's are refused.

    Args:
        vae: with a fitted aggregated posterior, such as `load_generator(path).averaged`; copied and frozen.
        amount: in [0, 1]; at 0 the VAE's reconstruction, at 1 a sample that knows of the image no more than where in its
            class it lies.
        p: chance that an image is replaced.

    >>> mix = PosteriorMix(ImageVAE(1, 8, 8, num_classes=3, latent=4), amount=0.4, p=0.5)
    >>> batch = {"image": torch.rand(2, 1, 8, 8), "label": torch.tensor([0, 2])}
    >>> mix(batch, keys=torch.tensor([3, 4]))["image"].shape
    torch.Size([2, 1, 8, 8])
    """

    differentiable = 0  # samples are rounded to the levels of the images

    def __init__(self, vae: ImageVAE, amount: float = 0.5, p: float = 0.5) -> None:
        super().__init__(p)
        if not 0 <= amount <= 1:
            raise ValueError(f"PosteriorMix: amount must be in [0, 1], got {amount}")
        self.vae = deepcopy(vae).requires_grad_(False).eval()
        self.amount, self.uniforms = float(amount), vae.latent

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        image, label = batch.image, batch.label
        if image is None or label is None or label.dtype != torch.int64 or label.ndim != 1:
            found = "none" if label is None else f"{label.dtype} {tuple(label.shape)}"
            raise ValueError(
                f"PosteriorMix: expected images with class numbers (B,) int64 as labels, got labels {found}"
            )
        if image.shape[1:] != torch.Size(self.vae.shape):
            raise ValueError(
                f"PosteriorMix: images must be {self.vae.shape}, got {tuple(image.shape[1:])}; resize before"
            )
        whole = image.dtype == torch.uint8
        dtype = self.vae.dtype
        z = normal(u.to(image.device, dtype))
        varied = self.vae.blended(image.to(dtype) / 255 if whole else image.to(dtype), label, z, self.amount)
        varied = (varied * 255).round().to(torch.uint8) if whole else varied.to(image.dtype)
        return batch.replace(image=torch.where(chosen[:, None, None, None], varied, image))

    def extra_repr(self) -> str:
        return f"amount={self.amount}, p={self.p}"
