"""Superpixels: regions of like colour, some of them replaced by their means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.pointwise import Frame, Pixels
from torchaug.keys import integers, noise, uniform
from torchaug.transform import Sizes

ROUNDS = 10
"""Of assignment and update; Achanta et al. found ten to suffice."""
FINE = 16
"""Parts of a level of 255 in which colours are compared."""


class Superpixels(Pixels):
    """Replace random superpixels by their mean colours, as albumentations' transform of this name.

    Superpixels are those of Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods" (2012):
    k-means of colour and place from a grid of cells, in which a pixel looks at its cell and the eight around it (Ren and
    Reid, "gSLIC", 2011). Distances are whole numbers, so that the segments are the same on every device. Unlike
    albumentations, colours count as in the paper (its own segments are nearly squares), and where a smaller image is
    segmented, pixels that are not replaced stay as they are.

    Args:
        p_replace: chance of each superpixel to be replaced, or a range (low, high) from which each sample's is drawn.
        n_segments: how many superpixels at most, or a range (low, high).
        max_size: images with a longer side are segmented at a fraction 1 / k of it; None for never.
        compactness: the paper's m, from 1 to 100: how far apart in colour, of 100 from black to white, counts as much as the
            side of a cell. Small values follow edges, large ones give squares.
        p: chance per sample.

    Segments need not be connected. Their means are differentiable, their outlines not. Any number of channels.

    Parameters per sample: p_replace, n_segments, seeds (B, 2) of the field that tells which are replaced.

    >>> Superpixels(1.0, 16, p=1.0)(torch.rand(2, 1, 32, 32)).unique().numel() <= 32
    True
    """

    uniforms = 4

    def __init__(
        self,
        p_replace: float | Sequence[float] = (0.0, 0.1),
        n_segments: int | Sequence[int] = (100, 100),
        max_size: int | None = 128,
        compactness: float = 10.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.p_replace = arguments.within(p_replace, "Superpixels", "p_replace", 0, 1)
        self.n_segments = arguments.whole_range(n_segments, "Superpixels", "n_segments", 1)
        self.max_size = arguments.optional_whole(max_size, "Superpixels", "max_size", 1)
        self.compactness = arguments.number(compactness, "Superpixels", "compactness", 1, 100)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        low, high = self.n_segments
        return {
            "p_replace": uniform(u[:, 0], *self.p_replace),
            "n_segments": integers(u[:, 1], low, high + 1),
            "seeds": u[:, 2:],
        }

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        most = self.n_segments[1]
        segment = self.segments(image, numbers["n_segments"], frame.own).flatten(1)[:, None]  # (B, 1, P)
        replaced = 0.5 * (1 + torch.erf(noise(numbers["seeds"], (most + 1,)) / math.sqrt(2)))
        replaced = (replaced < numbers["p_replace"][:, None]) & numbers["chosen"][:, None]
        flat = image.flatten(2)
        places = segment.expand_as(flat)
        count = torch.zeros(len(image), 1, most + 1, dtype=image.dtype, device=image.device)
        total = count.expand(-1, flat.shape[1], -1).scatter_add(2, places, flat)
        count = count.scatter_add(2, segment, torch.ones_like(flat[:, :1]))
        means = (total / count.clamp(min=1)).gather(2, places)
        return torch.where(replaced[:, None].gather(2, segment), means, flat).view(image.shape)

    def segments(self, image: Tensor, count: Tensor, own: Tensor | None = None) -> Tensor:
        """The superpixel of each pixel.

        Args:
            image: (B, C, H, W) float in [0, 1].
            count: (B,) int64, how many at most.
            own: (B, H, W) bool, where images are padded: True on their own pixels.

        Returns:
            (B, H, W) int64 below `count`; `n_segments[1]` in the padding.
        """
        height, width = image.shape[2:]
        mine = torch.ones_like(image[:, 0], dtype=torch.bool) if own is None else own
        step = 1 if self.max_size is None else max(1, math.ceil(max(height, width) / self.max_size))
        small, known = _shrunk(image.detach(), mine, step)
        found = slic(small, known, count, self.compactness, self.n_segments[1])
        whole = found.repeat_interleave(step, 1).repeat_interleave(step, 2)[:, :height, :width] if step > 1 else found
        return torch.where(mine, whole, self.n_segments[1])


def _shrunk(image: Tensor, own: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Means of the own pixels of squares, (B, C, h, w), and (B, h, w) bool: which squares have some."""
    if step == 1:
        return image, own
    beyond = (0, -image.shape[3] % step, 0, -image.shape[2] % step)
    weight = own[:, None].to(image.dtype)
    total, share = (F.avg_pool2d(F.pad(plane, beyond), step) for plane in (image * weight, weight))
    return total / share.clamp(min=1e-6), share[:, 0] > 0


class _Grid(NamedTuple):
    """The cells in which a clustering starts, of each sample."""

    cells: Tensor
    """(B,) int64: how many."""
    near: Tensor
    """(B, 9, P) int64: the cells around each pixel, its own first."""


def _grid(height: Tensor, width: Tensor, count: Tensor, shape: tuple[int, int]) -> _Grid:
    """At most `count` (B,) nearly square cells over images of `height` and `width` (B,) int64 on a canvas of `shape`."""
    proportion = height.to(torch.float32) / width.clamp(min=1)
    rows = (count * proportion).sqrt().floor().to(torch.int64).clamp(min=1)
    rows = torch.minimum(torch.minimum(rows, count), height.clamp(min=1))
    columns = torch.minimum(count // rows, width.clamp(min=1)).clamp(min=1)
    y, x = (torch.arange(n, device=count.device) for n in shape)
    rows, columns = rows[:, None], columns[:, None]
    down = torch.minimum(y * rows // height.clamp(min=1)[:, None], rows - 1)
    across = torch.minimum(x * columns // width.clamp(min=1)[:, None], columns - 1)
    around = [(0, 0), (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    near = []
    for dy, dx in around:  # beyond the border: the cell at it, which is there anyway
        row, column = (down + dy).clamp(min=0).minimum(rows - 1), (across + dx).clamp(min=0).minimum(columns - 1)
        near.append((row[:, :, None] * columns[:, :, None] + column[:, None]).flatten(1))
    return _Grid((rows * columns)[:, 0], torch.stack(near, 1))


@torch.library.custom_op("torchaug::slic", mutates_args=())
def slic(image: Tensor, own: Tensor, count: Tensor, compactness: float, most: int) -> Tensor:
    """(B, H, W) int64: the cluster of each pixel, of those that its cell and the cells around it started.

    An operator of its own: its rounds of gathers and scatters take a compiler a minute, and gain nothing by it.
    """
    height, width = own.any(2).sum(1), own.any(1).sum(1)
    grid = _grid(height, width, count, (image.shape[2], image.shape[3]))
    features = _features(image, height * width, grid, compactness)
    inside = own.flatten(1)
    weighed = torch.cat([features, torch.ones_like(features[:, :1])], 1) * inside[:, None]
    order = torch.arange(9, device=image.device)[:, None]
    label, centres = (
        grid.near[:, 0],
        torch.zeros(len(image), features.shape[1], most, dtype=torch.int64, device=image.device),
    )
    for turn in range(ROUNDS + 1):
        if turn:
            apart = _apart(features, centres, grid.near)
            first = (apart * 16 + order).amin(1, keepdim=True) & 15  # of the nearest
            label = grid.near.gather(1, first)[:, 0]
        sums = torch.zeros(len(image), weighed.shape[1], most, dtype=torch.int64, device=image.device)
        sums = sums.scatter_add(2, label[:, None].expand_as(weighed), weighed)
        total, members = sums[:, :-1], sums[:, -1:]
        centres = torch.where(members > 0, (2 * total + members) // (2 * members).clamp(min=1), centres)
    return label.view(own.shape)


@slic.register_fake
def _(image: Tensor, own: Tensor, count: Tensor, compactness: float, most: int) -> Tensor:
    return own.new_empty(own.shape, dtype=torch.int64)


def _features(image: Tensor, area: Tensor, grid: _Grid, compactness: float) -> Tensor:
    """(B, C + 2, P) int64: channels, and coordinates in which a cell's side is `compactness` percent of black to white."""
    colours = (image.clamp(0, 1) * (255 * FINE)).round().to(torch.int64).flatten(2)
    side = (area / grid.cells).sqrt().clamp(min=1)
    scale = (compactness / 100 * 255 * FINE * math.sqrt(image.shape[1]) / side)[:, None]
    y, x = ((torch.arange(n, device=image.device) * scale).round().to(torch.int64) for n in image.shape[2:])
    shape = (len(image), *image.shape[2:])
    places = [y[:, :, None].expand(shape).flatten(1), x[:, None].expand(shape).flatten(1)]
    return torch.cat([colours, torch.stack(places, 1)], 1)


def _apart(features: Tensor, centres: Tensor, near: Tensor) -> Tensor:
    """(B, 9, P) int64 squared distances of pixels from the clusters around them."""
    total = torch.zeros_like(near)
    for feature, centre in zip(features.unbind(1), centres.unbind(1), strict=True):
        there = centre.gather(1, near.flatten(1)).view(near.shape)
        total = total + (there - feature[:, None]).square()
    return total
