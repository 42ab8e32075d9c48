"""Generator and discriminator of `ImageGAN`: residual bottlenecks without norms, mirrored (Huang et al., arXiv 2501.05441).

Sizes are those of `torchaug.models.networks.sizes`: each stage halves height and width, rounding up, until neither
exceeds 4 pixels.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchaug.models.gan_condition import Condition, ConditionKind
from torchaug.models.latents import latents
from torchaug.models.networks import preset_named, sizes, widths

SLOPE = 0.2


class GANPreset(NamedTuple):
    """How large the networks are.

    The width at full size doubles with each halving up to `limit`. `blocks` are those of a stage, `inner` the width
    inside a block as a share of its own, `group` the channels that a 3 x 3 convolution mixes: 0 for all of them.
    """

    width: int
    limit: int
    blocks: int
    inner: float = 0.5
    group: int = 0


GAN_PRESETS = {
    "tiny": GANPreset(64, 64, 1),  # 8 to 16 pixels, on a CPU
    "small": GANPreset(64, 128, 1),  # 32 pixels, on a CPU with patience
    "base": GANPreset(128, 256, 2, 2.0, 16),  # 64 pixels; grouped convolutions are for GPUs
    "large": GANPreset(64, 512, 2, 2.0, 16),  # 128 to 256 pixels
    "wide": GANPreset(768, 768, 2, 2.0, 16),  # 32 pixels and 50 000 images, the paper's
    "narrow": GANPreset(16, 64, 1),  # more than 16 pixels on a CPU: a step of the others takes seconds there
}


def scaled(layer: nn.Module, gain: float = 1.0, slope: float = SLOPE) -> nn.Module:
    """The layer with He's initial weights (arXiv 1502.01852) for a leaky ReLU of `slope`, times `gain`, and no bias."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    fan_in = weight[0].numel()
    nn.init.normal_(weight, std=gain * math.sqrt(2 / ((1 + slope**2) * fan_in)))
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)
    return layer


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution as a matrix product over channels, which lie last in memory in what it returns.

    In small images that is several times faster on a CPU than a convolution is; poolings and 3 x 3 convolutions that come
    after it keep the order in memory, in which they are faster, too.

    >>> Pointwise(3, 5)(torch.rand(2, 3, 4, 4)).is_contiguous(memory_format=torch.channels_last)
    True
    """

    def __init__(self, width_in: int, width: int, bias: bool = True) -> None:
        super().__init__(width_in, width, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) to (B, width, H, W)."""
        return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


class Bottleneck(nn.Module):
    """A residual block without norms, (B, width, H, W) to the same: x + 1x1(act(3x3(act(1x1(x))))).

    It starts as the identity: the last convolution is 0, and the others are scaled by depth^(-1/4), where `depth` is
    the number of blocks in the network (Fixup, arXiv 1901.09321).
    """

    def __init__(self, width: int, depth: int, preset: GANPreset) -> None:
        super().__init__()
        inner = int(width * preset.inner)
        groups = inner // preset.group if preset.group else 1
        self.enter = scaled(Pointwise(width, inner), depth**-0.25)
        self.mix = scaled(nn.Conv2d(inner, inner, 3, padding=1, groups=groups), depth**-0.25)
        self.leave = scaled(Pointwise(inner, width, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        h = F.leaky_relu(self.enter(x), SLOPE)
        out: Tensor = x + self.leave(F.leaky_relu(self.mix(h), SLOPE))
        return out


def _stages(preset: GANPreset, wide: list[int]) -> nn.ModuleList:
    depth = preset.blocks * len(wide)
    return nn.ModuleList(nn.Sequential(*(Bottleneck(w, depth, preset) for _ in range(preset.blocks))) for w in wide)


def _changes(wide: list[int]) -> nn.ModuleList:
    return nn.ModuleList(scaled(Pointwise(a, b, bias=False), slope=1.0) for a, b in pairwise(wide))


class Generator(nn.Module):
    """Latents and labels to images; a learned start grid, scaled by both, is doubled and refined stage by stage.

    Args:
        shape: channels, height and width of an image.
        num_classes: classes, or the size of another condition.
        latent: size of the latent vector.
        preset: one of `GAN_PRESETS`.
        levels: how many values a channel can take; samples are rounded to them.
        condition: what labels are, see `Condition`.

    Shape: z (B, latent) and labels to images (B, channels, height, width) in (0, 1).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        num_classes: int,
        *,
        latent: int,
        preset: str,
        levels: int = 256,
        condition: ConditionKind = "class",
    ) -> None:
        super().__init__()
        size, grids = preset_named(GAN_PRESETS, preset), sizes(*shape[1:])[::-1]
        wide = widths(size.width, size.limit, len(grids))[::-1]
        self.shape, self.latent, self.levels, self.grids = shape, latent, levels, grids
        self.condition = Condition(condition, num_classes, latent)
        self.gain = Condition(condition, num_classes, latent).zeroed()
        self.start = nn.Parameter(torch.randn(wide[0], *grids[0]))
        self.scale = scaled(nn.Linear(2 * latent, wide[0]), slope=1.0)
        self.blocks = _stages(size, wide)
        self.change = _changes(wide)
        self.out = scaled(Pointwise(wide[-1], shape[0]), slope=1.0)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """An image for each latent."""
        start = self.start * self.style(z, labels)[:, :, None, None]
        h = self.blocks[0](start.contiguous(memory_format=torch.channels_last))
        for (height, width), change, blocks in zip(self.grids[1:], self.change, self.blocks[1:], strict=True):
            h = F.interpolate(change(h), scale_factor=2.0, mode="bilinear", align_corners=False)
            h = blocks(h[..., :height, :width])
        return torch.sigmoid(self.out(h)).contiguous()

    def style(self, z: Tensor, labels: Tensor) -> Tensor:
        """What the start grid is scaled by, (B, width), affine in the latent: each label stretches it in its own way."""
        style: Tensor = self.scale(torch.cat([z * (1 + self.gain(labels)), self.condition(labels)], dim=1))
        return style

    @torch.no_grad()
    def draw(self, z: Tensor, labels: Tensor) -> Tensor:
        """An image for each latent, rounded to `levels` values."""
        top = self.levels - 1
        images: Tensor = (self(z, labels) * top).round() / top
        return images

    def latents(self, keys: Tensor) -> Tensor:
        """The latent (B, latent) of each key (B,)."""
        return latents(keys, self.latent, self.start.dtype)


class Discriminator(nn.Module):
    """How real an image with a label looks: the generator mirrored, with a projection on the label (arXiv 1802.05637).

    Shape: images (B, channels, height, width) in [0, 1] and labels to scores (B,). Trained with relativistic pairing they
    are known up to a constant for each label.
    """

    def __init__(
        self, shape: tuple[int, int, int], num_classes: int, *, preset: str, condition: ConditionKind = "class"
    ) -> None:
        super().__init__()
        size, grids = preset_named(GAN_PRESETS, preset), sizes(*shape[1:])
        wide = widths(size.width, size.limit, len(grids))
        self.shape = shape
        self.stem = scaled(Pointwise(shape[0], wide[0]), slope=1.0)
        self.blocks = _stages(size, wide)
        self.change = _changes(wide)
        self.pool = nn.Parameter(torch.randn(wide[-1], *grids[-1]) / math.sqrt(math.prod(grids[-1])))
        self.features = scaled(nn.Linear(wide[-1], wide[-1]), slope=1.0)
        self.condition = Condition(condition, num_classes, wide[-1])

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """The score of each image."""
        h = self.blocks[0](self.stem(2 * images - 1))
        for change, blocks in zip(self.change, self.blocks[1:], strict=True):
            h = blocks(change(F.avg_pool2d(h, 2, ceil_mode=True)))
        features = self.features((h * self.pool).sum((2, 3)))
        score: Tensor = (features * self.condition(labels)).sum(1) / math.sqrt(features.shape[1])
        return score
