"""What a discriminator sees real and generated images through, made of torchaug's own transforms."""

from __future__ import annotations

import itertools
from typing import Protocol

import torch
from torch import Tensor, nn

from torchaug.keys import dense_uniforms, fold_in, uniforms
from torchaug.models.augment_checks import check_apart, check_size
from torchaug.models.gan_losses import Augment
from torchaug.transform import Layer, probability


class KeyedLayer(Protocol):
    """Images (B, C, H, W) and keys (B,) to images of the same shape."""

    def __call__(self, images: Tensor, /, *, keys: Tensor) -> Tensor:
        """The augmented images."""
        ...


class DiscriminatorAugment(nn.Module):
    """Each image is augmented with chance p, else shown as it is.

    An augmentation that is always there is learnt (arXiv 2006.06676): let p start at 0 and stay below 1.

    Args:
        transform: a torchaug transform or Compose that keeps the size of images; None: images are shown as they are. Its
            weights are not part of this module's state.
        p: chance per image, a buffer that a schedule (`p.fill_`), `AdaptiveP` or `HoldoutP` change in place.
        orders: how often each step must be differentiable: 2 for a loss with gradient penalties, 1 without.

    Raises:
        TypeError: something that is no transform of torchaug, of whose derivatives nothing is known.
        ValueError: steps that are not differentiable as often, or that mix images; they are named.

    >>> from torchaug.image import RandomHorizontalFlip
    >>> augment = DiscriminatorAugment(RandomHorizontalFlip(), p=0.5)
    >>> augment(torch.rand(4, 3, 8, 8), keys=torch.arange(4)).shape
    torch.Size([4, 3, 8, 8])
    """

    p: Tensor

    def __init__(self, transform: Layer | None, p: float = 0.0, orders: int = 2) -> None:
        super().__init__()
        if transform is not None:
            check_differentiable(transform, orders)
            check_apart(transform, "DiscriminatorAugment")
        self._transform = (transform,)  # in a tuple, so that it is no submodule and not in the checkpoint
        self.register_buffer("p", torch.tensor(probability(p, "DiscriminatorAugment")))

    @property
    def transform(self) -> Layer | None:
        """What images pass through."""
        return self._transform[0]

    def forward(self, images: Tensor, *, keys: Tensor) -> Tensor:
        """The images (B, C, H, W) in [0, 1], some of them augmented; a function of the keys (B,) alone."""
        if self.transform is None:
            return images
        augmented: Tensor = self.transform(images, keys=fold_in(keys, 0))
        check_size(images, augmented, "DiscriminatorAugment")
        chosen = uniforms(fold_in(keys, 1), 1)[:, :, None, None] < self.p
        return torch.where(chosen, augmented, images)

    def of(self, keys: Tensor) -> Augment:
        """A function of images alone: its first call draws by the keys, its second anew, and so on."""
        return anew(self, keys)


def anew(layer: KeyedLayer, keys: Tensor) -> Augment:
    """A function of images alone, each of whose calls draws other numbers by the keys (B,)."""
    calls = itertools.count()
    return lambda images: layer(images, keys=fold_in(keys, next(calls)))


def dithered(images: Tensor, /, *, keys: Tensor, levels: int) -> Tensor:
    """Uniform noise as wide as the step between two grey levels: what is rounded to levels looks like what is not.

    Args:
        images: (B, C, H, W).
        keys: (B,) int64.
        levels: how many values in [0, 1] a channel can take, at least 2.

    >>> bool(dithered(torch.zeros(2, 1, 8, 8), keys=torch.arange(2), levels=17).abs().max() <= 1 / 32)
    True
    """
    noise = dense_uniforms(uniforms(keys, 2), images.shape[1:]).sub_(0.5).mul_(1 / (levels - 1))
    return images + noise.to(images.device, images.dtype)


def check_differentiable(transform: Layer, orders: int = 2) -> None:
    """Refuses a transform some of whose steps cannot be differentiated `orders` times.

    >>> from torchaug.image import RandomPosterize
    >>> check_differentiable(RandomPosterize(4))
    Traceback (most recent call last):
    ValueError: DiscriminatorAugment: expected steps that can be differentiated 2 times, got RandomPosterize (0); leave it out
    """
    if not isinstance(transform, Layer):
        raise TypeError(
            f"DiscriminatorAugment: expected a transform of torchaug, got {type(transform).__name__}; its derivatives are "
            "not known"
        )
    few = {type(leaf).__name__: leaf.differentiable for leaf in transform.leaves() if leaf.differentiable < orders}
    if few:
        named = ", ".join(f"{name} ({count})" for name, count in few.items())
        times = "once" if orders == 1 else f"{orders} times"
        raise ValueError(
            f"DiscriminatorAugment: expected steps that can be differentiated {times}, got {named}; leave "
            f"{'it' if len(few) == 1 else 'them'} out"
        )
