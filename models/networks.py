"""Convolutional pieces for images of 8 to 256 pixels, any channel count, any height and width.

Sizes: each stage halves height and width, rounding up, until neither exceeds 4 pixels; the way back doubles and crops,
so a 13 x 20 image passes 13 x 20, 7 x 10, 4 x 5, 2 x 3 and returns to 13 x 20.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchaug.keys import hash_int

SMALLEST = 4
NUMBERS = 2**20
"""Of samples that go through networks at once: on the way they become half a gigabyte in the smallest, two in the largest."""
Size = TypeVar("Size")


class Preset(NamedTuple):
    """How large a network is: the width at full size, its limit further down, and the blocks of each stage."""

    width: int
    limit: int
    blocks: int


PRESETS = {
    "tiny": Preset(16, 64, 1),  # 8 to 16 pixels
    "small": Preset(64, 128, 1),  # 32 pixels
    "base": Preset(64, 256, 2),  # 64 to 128 pixels
}


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Makes the first weights of networks built inside a function of the seed; torch's generator is put back after.

    >>> with seeded_weights(3):
    ...     first = nn.Linear(2, 2).weight
    >>> with seeded_weights(3):
    ...     torch.equal(first, nn.Linear(2, 2).weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(hash_int(seed))
        yield


def preset_named(presets: Mapping[str, Size], name: str) -> Size:
    """The preset of that name.

    >>> preset_named(PRESETS, "tiny").width
    16
    """
    if name not in presets:
        raise ValueError(f"preset: expected one of {', '.join(presets)}, got {name!r}")
    return presets[name]


def at_once(shape: Sequence[int], most: int) -> int:
    """How many samples of a shape may go through networks at once, at least 1.

    >>> at_once((1, 8, 8), most=512), at_once((3, 256, 256), most=512)
    (512, 5)
    """
    return max(1, min(most, NUMBERS // math.prod(shape)))


def in_parts(function: Callable[..., Tensor], size: int, *rows: Tensor) -> Tensor:
    """What a function that treats each row alone makes of rows (B, ...), so many at once.

    >>> in_parts(torch.add, 2, torch.arange(5), torch.ones(5)).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    return torch.cat([function(*part) for part in zip(*(each.split(size) for each in rows), strict=True)])


def check_sizes(who: str, shape: tuple[int, int, int], num_classes: int, latent: int, levels: int) -> None:
    """Refuses sizes that no image generator can have."""
    if min(*shape, num_classes, latent) < 1 or levels < 2:
        channels, height, width = shape
        raise ValueError(
            f"{who}: channels, height, width, num_classes and latent must be at least 1 and levels at least 2, "
            f"got {channels}, {height}, {width}, {num_classes}, {latent} and {levels}"
        )


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width at each stage, the largest first.

    >>> sizes(13, 20)
    [(13, 20), (7, 10), (4, 5), (2, 3)]
    """
    if height < 1 or width < 1:
        raise ValueError(f"sizes: height and width must be at least 1, got {height} x {width}")
    found = [(height, width)]
    while max(found[-1]) > SMALLEST:
        found.append((-(-found[-1][0] // 2), -(-found[-1][1] // 2)))
    return found


def widths(width: int, limit: int, stages: int) -> list[int]:
    """Channels at each stage, the one of full size first: doubled with each halving, up to the limit.

    >>> widths(64, 256, 4)
    [64, 128, 256, 256]
    """
    return [min(width * 2**stage, limit) for stage in range(stages)]


class FilmBlock(nn.Module):
    """A pre-activation residual block whose second norm is scaled and shifted by the class (FiLM, arXiv 1709.07871).

    Shape: x (B, width_in, H, W) and embedding (B, embedding) to (B, width, H, W). It starts as its skip connection.
    """

    def __init__(self, width_in: int, width: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, width_in), nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        self.skip = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)
        for weight in (self.conv2.weight, self.conv2.bias, self.film.weight, self.film.bias):
            if weight is not None:
                nn.init.zeros_(weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """The block's output."""
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        out: Tensor = self.skip(x) + h
        return out


class Encoder(nn.Module):
    """Images and class embeddings to features.

    Shape: x (B, channels, height, width) and embedding (B, embedding) to (B, features).
    """

    def __init__(self, channels: int, height: int, width: int, embedding: int, preset: Preset) -> None:
        super().__init__()
        grids = sizes(height, width)
        wide = widths(preset.width, preset.limit, len(grids))
        self.stem = nn.Conv2d(channels, wide[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(FilmBlock(w, w, embedding) for _ in range(preset.blocks)) for w in wide
        )
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(wide))
        self.features = wide[-1] * grids[-1][0] * grids[-1][1]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Features of each image."""
        h = self.stem(x)
        for stage, blocks in enumerate(self.blocks):
            if stage:
                h = self.down[stage - 1](h)
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
        return F.silu(h).flatten(1)


class Decoder(nn.Module):
    """Latents and class embeddings to images: the encoder mirrored, nearest-neighbour upsampling.

    Shape: z (B, latent) and embedding (B, embedding) to (B, channels, height, width), unbounded.
    """

    def __init__(self, latent: int, channels: int, height: int, width: int, embedding: int, preset: Preset) -> None:
        super().__init__()
        self.grids = sizes(height, width)[::-1]
        wide = widths(preset.width, preset.limit, len(self.grids))[::-1]
        self.start = nn.Linear(latent + embedding, wide[0] * self.grids[0][0] * self.grids[0][1])
        self.blocks = nn.ModuleList(
            nn.ModuleList(FilmBlock(a if i == 0 else b, b, embedding) for i in range(preset.blocks))
            for a, b in zip(wide[:1] + wide[:-1], wide, strict=True)
        )
        self.norm = nn.GroupNorm(8, wide[-1])
        self.out = nn.Conv2d(wide[-1], channels, 3, padding=1)

    def forward(self, z: Tensor, embedding: Tensor) -> Tensor:
        """An image for each latent."""
        height, width = self.grids[0]
        h = self.start(torch.cat([z, embedding], dim=1)).unflatten(1, (-1, height, width))
        for (height, width), blocks in zip(self.grids, self.blocks, strict=True):
            if h.shape[-2:] != (height, width):
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")[..., :height, :width]
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
        out: Tensor = self.out(F.silu(self.norm(h)))
        return out
