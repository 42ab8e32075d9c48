"""Real images that a discriminator is not trained on, to tell how far it overfits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchaug.keys import integers, uniforms
from torchaug.training.data import SynthesisDataModule


class HeldOut:
    """The images that a data module kept back, drawn by class.

    Args:
        data: a `SynthesisDataModule` with `holdout` above 0.
        condition: of the GAN; scores of a relativistic discriminator compare within a class alone.
        device: where images go.

    Raises:
        ValueError: no images held back, of some class or at all, or a condition that is not a class.

    >>> from torchaug.data import digits
    >>> held_out = HeldOut(SynthesisDataModule(digits(), holdout=0.1), "class", torch.device("cpu"))
    >>> held_out.images_for(torch.tensor([3, 3, 7]), keys=torch.arange(3)).shape
    torch.Size([3, 1, 8, 8])
    """

    def __init__(self, data: Any, condition: str, device: torch.device) -> None:
        if condition != "class":
            raise ValueError(
                f"LitGAN: adaptive augmentation of a relativistic GAN compares scores within classes, got the condition "
                f"{condition}; use adaptive=False or another loss"
            )
        if not isinstance(data, SynthesisDataModule) or data.holdout is None:
            raise ValueError(
                "LitGAN: adaptive augmentation of a relativistic GAN needs images held back, got none; pass a "
                "SynthesisDataModule with holdout=0.1"
            )
        labels, classes = data.holdout.labels, data.train.classes
        counts = labels.bincount(minlength=len(classes))
        had = data.train.labels.bincount(minlength=len(classes))
        missing = [classes[place] for place in ((had > 0) & (counts == 0)).nonzero()[:, 0].tolist()]
        if missing:
            raise ValueError(
                f"LitGAN: adaptive augmentation needs an image held back of each class, got none of {', '.join(missing)}; "
                "hold back more, or use adaptive=False"
            )
        order = labels.argsort(stable=True)
        self.images = data.holdout.images[order].to(device)
        self.counts, self.first = counts.to(device), (counts.cumsum(0) - counts).to(device)

    def images_for(self, labels: Tensor, keys: Tensor) -> Tensor:
        """An image of each label (B,), float in [0, 1], drawn with the keys (B,)."""
        place = integers(uniforms(keys, 1)[:, 0], 0, self.counts[labels])
        images: Tensor = self.images[self.first[labels] + place]
        return images.float() / 255 if images.dtype == torch.uint8 else images
