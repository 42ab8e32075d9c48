"""A conditional GAN for small image sets: any channel count, height and width, presets from 8 to 256 pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from torchaug.keys import fold_in
from torchaug.models.gan_condition import ConditionKind
from torchaug.models.gan_losses import Critic, Loss
from torchaug.models.gan_networks import Discriminator, Generator
from torchaug.models.latents import on_circle, way
from torchaug.models.networks import at_once, check_sizes, in_parts

SCORED_AT_ONCE = 512
"""Images that the discriminator looks at at once for `score`, at most."""


class ImageGAN(nn.Module):
    """A generator and its discriminator, for images of any channel count, height and width from 8 to 256.

    Args:
        channels, height, width: of the images.
        num_classes: labels are 0 to num_classes - 1; 1 for images without classes. For other conditions: how many labels
            or numbers a sample has.
        latent: size of the latent vector.
        preset: size of the networks, one of `torchaug.models.gan_networks.GAN_PRESETS`.
        levels: how many values a channel can take; samples are rounded to them.
        condition: "class": labels (B,) int64; "multi-label": (B, num_classes) of 0 and 1; "continuous":
            (B, num_classes) numbers of about unit variance.

    >>> gan = ImageGAN(3, 13, 20, num_classes=2)
    >>> gan.generate(torch.tensor([0, 1]), keys=torch.tensor([7, 8])).shape
    torch.Size([2, 3, 13, 20])
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        num_classes: int,
        *,
        latent: int = 64,
        preset: str = "tiny",
        levels: int = 256,
        condition: ConditionKind = "class",
    ) -> None:
        super().__init__()
        check_sizes("ImageGAN", (channels, height, width), num_classes, latent, levels)
        self.shape, self.num_classes = (channels, height, width), num_classes
        self.generator = Generator(
            self.shape, num_classes, latent=latent, preset=preset, levels=levels, condition=condition
        )
        self.discriminator = Discriminator(self.shape, num_classes, preset=preset, condition=condition)

    def generate(self, labels: Tensor, keys: Tensor, truncation: float = 1.0, tries: int = 1) -> Tensor:
        """`generate` with these two networks."""
        return generate(self.generator, self.discriminator, labels, keys, truncation, tries)

    def interpolate(self, labels: Tensor, first: Tensor, second: Tensor, steps: int = 8) -> Tensor:
        """`interpolate` with this generator."""
        return interpolate(self.generator, labels, first, second, steps)

    @torch.no_grad()
    def score(self, images: Tensor, labels: Tensor) -> Tensor:
        """How real images (B, C, H, W) in [0, 1] look for their labels, (B,): comparable within a label alone."""
        return in_parts(self.discriminator, at_once(images.shape[1:], SCORED_AT_ONCE), images, labels)


@torch.no_grad()
def generate(
    generator: Generator,
    critic: Critic,
    labels: Tensor,
    keys: Tensor,
    truncation: float = 1.0,
    tries: int = 1,
) -> Tensor:
    """An image for each label, a function of the label and the key alone.

    Args:
        generator, critic: what makes images, and what ranks the tries.
        labels: (B,) int64, or what the generator's condition takes.
        keys: (B,) int64.
        truncation: latents are multiplied by it: below 1 samples are more typical and less diverse, at 0 all of a label
            are alike. The style that scales the start grid is affine in the latent, so this is also the way of the
            style towards its mean over the label's samples.
        tries: of so many candidates for each sample, the one of the highest score is taken; their mean is paid for in
            time, and diversity falls with it.

    Returns:
        (B, C, H, W) in [0, 1], rounded to the generator's levels.

    >>> gan = ImageGAN(1, 8, 8, num_classes=2)
    >>> labels, keys = torch.tensor([0, 1]), torch.tensor([7, 8])
    >>> best = gan.generate(labels, keys, truncation=0.7, tries=4)
    >>> bool((gan.score(best, labels) >= gan.score(gan.generate(labels, keys, 0.7), labels)).all())
    True
    """
    generator.condition.check("generate", labels, keys)
    if not 0 <= truncation < math.inf:
        raise ValueError(f"generate: truncation must be at least 0, usually at most 1, got {truncation}")
    if isinstance(tries, bool) or not isinstance(tries, int) or tries < 1:
        raise ValueError(f"generate: tries must be a whole number of at least 1, got {tries!r}")
    images = generator.draw(truncation * generator.latents(keys), labels)
    if tries == 1:
        return images
    best = critic(images, labels)
    for number in range(1, tries):
        other = generator.draw(truncation * generator.latents(fold_in(keys, number)), labels)
        score = critic(other, labels)
        better = score > best
        images, best = torch.where(better[:, None, None, None], other, images), torch.where(better, score, best)
    return images


@torch.no_grad()
def interpolate(generator: Generator, labels: Tensor, first: Tensor, second: Tensor, steps: int = 8) -> Tensor:
    """Images on the great circle between the latents of two keys, both ends included.

    Args:
        generator: what makes images.
        labels: (B,) int64, or what the generator's condition takes: of each row of images.
        first, second: (B,) int64 keys; the ends are the samples of these keys.
        steps: images of a row, at least 2.

    Returns:
        (B, steps, C, H, W) in [0, 1].

    >>> gan = ImageGAN(1, 8, 8, num_classes=2)
    >>> gan.interpolate(torch.tensor([1]), torch.tensor([7]), torch.tensor([8]), steps=5).shape
    torch.Size([1, 5, 1, 8, 8])
    """
    for keys in (first, second):
        generator.condition.check("interpolate", labels, keys)
    a, b = generator.latents(first), generator.latents(second)
    rows = [generator.draw(on_circle(a, b, share), labels) for share in way("interpolate", steps)]
    return torch.stack(rows, 1)


def default_gamma(height: int, width: int, loss: Loss = "relativistic") -> float:
    """A weight of the loss's penalties to start from, by resolution.

    Of R1 and R2: on a straight line in the logarithms through the published 0.05 at 32 pixels and 150 at 256, and not
    below 0.5: the small sets that this is for need more than 50 000 images do (measured in
    docs/decisions/0023-what-the-discriminator-sees.md). Of the interpolates of "wasserstein": 20, that is the published
    lambda of 10, at any resolution.

    >>> default_gamma(8, 8), round(default_gamma(256, 256)), default_gamma(8, 8, "wasserstein")
    (0.5, 150, 20.0)
    """
    if loss == "wasserstein":
        return 20.0
    slope = math.log(150 / 0.05) / math.log(256 / 32)
    return max(0.5, 0.05 * math.pow(math.sqrt(height * width) / 32, slope))
