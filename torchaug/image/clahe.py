"""Contrast limited adaptive histogram equalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.levels import from_levels, level_index, to_levels
from torchaug.image.pointwise import Frame, Planes
from torchaug.image.tone import Adjustment
from torchaug.keys import uniform
from torchaug.transform import Sizes


class CLAHE(Adjustment):
    """Equalise the histogram of each tile of a grid, with its peaks clipped (Zuiderveld, 1994), as OpenCV does.

    Of three channels the lightness of CIE L*a*b* is equalised, in 256 levels, and colours are kept; one channel is
    equalised itself. Other channel counts are an error. No gradient passes.

    Args:
        clip_limit: peaks are cut to so many times the mean of a tile's histogram and spread over all levels; at least 1,
            or a range (low, high).
        tile_grid_size: rows and columns of tiles, or one number for both.
        p: chance per sample.

    Parameters per sample: clip_limit.

    >>> CLAHE(4.0, (4, 4))(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 1
    differentiable = 0

    def __init__(
        self,
        clip_limit: float | Sequence[float] = (1.0, 4.0),
        tile_grid_size: int | Sequence[int] = (8, 8),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.clip_limit = arguments.within(clip_limit, "CLAHE", "clip_limit", 1)
        self.tile_grid_size = arguments.pair(tile_grid_size, "CLAHE", "tile_grid_size")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"clip_limit": uniform(u[:, 0], *self.clip_limit)}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        if len(planes) not in (1, 3):
            raise ValueError(f"CLAHE: image must have 1 or 3 channels, got {len(planes)}")
        if len(planes) == 1:
            levels = level_index(planes[0], frame)
            return [from_levels(self._equalized(levels, numbers["clip_limit"], frame.size).to(planes[0].dtype))]
        lightness, a, b = to_lab(planes)
        levels = to_levels(lightness / 100).to(torch.int64).clamp(0, 255)
        equalized = self._equalized(levels, numbers["clip_limit"], frame.size).to(lightness.dtype)
        return from_lab(equalized * (100 / 255), a, b)

    def _equalized(self, levels: Tensor, clip_limit: Tensor, size: Sizes) -> Tensor:
        """Levels (B, H, W) int64 through the tables of the four nearest tiles, as whole float levels."""
        y, x = _tiles(levels.shape[1:], self.tile_grid_size, size)
        extended = levels.gather(1, y.source[:, :, None].expand(-1, -1, levels.shape[2]))
        extended = extended.gather(2, x.source[:, None].expand(-1, extended.shape[1], -1))
        tile = y.tile[:, :, None] * x.tiles + x.tile[:, None]
        used = (y.used[:, :, None] & x.used[:, None]).to(torch.int64)
        histogram = levels.new_zeros(len(levels), y.tiles * x.tiles * 256)
        histogram.scatter_add_(1, (tile * 256 + extended).flatten(1), used.flatten(1))
        area = (y.length * x.length)[:, None, None]
        table = _table(histogram.unflatten(1, (-1, 256)), area, clip_limit[:, None, None]).flatten(1)
        out = torch.zeros_like(levels, dtype=torch.float32)
        for row, down in y.neighbours():
            along = torch.zeros_like(out)
            for column, across in x.neighbours():
                at = (row[:, :, None] * x.tiles + column[:, None]) * 256 + levels
                along = along + table.gather(1, at.flatten(1)).view(at.shape) * across[:, None]
            out = out + along * down[:, :, None]
        return out.round()


class _Axis(NamedTuple):
    """The tiles along one axis, for each sample: n pixels of the canvas, m of the canvas as it is extended."""

    tiles: int
    length: Tensor
    """(B,) int64 pixels of a tile."""
    source: Tensor
    """(B, m) int64: the pixel that is seen at each place of the extended canvas."""
    tile: Tensor
    """(B, m) int64: the tile of each place."""
    used: Tensor
    """(B, m) bool: places that lie in a tile."""
    pixels: Tensor
    """(n,) float centres of pixels."""

    def neighbours(self) -> list[tuple[Tensor, Tensor]]:
        """The tiles before and after each pixel, and their weights: (B, n) each."""
        place = self.pixels * (1 / self.length.to(torch.float32))[:, None] - 0.5
        before = place.floor()
        after = place - before
        index = before.to(torch.int64)
        last = self.tiles - 1
        return [(index.clamp(0, last), 1 - after), ((index + 1).clamp(0, last), after)]


def _tiles(canvas: Sequence[int], grid: tuple[int, int], size: Sizes) -> tuple[_Axis, _Axis]:
    """Where a size is no multiple of the grid, OpenCV extends both axes, by a whole number of tiles' worth at most."""
    lengths = [side.to(torch.int64) for side in (size.height, size.width)]
    ragged = (lengths[0] % grid[0] != 0) | (lengths[1] % grid[1] != 0)
    axes = []
    for n, count, own in zip(canvas, grid, lengths, strict=True):
        length = own // count + ragged.to(torch.int64)
        at = torch.arange(n + count, device=own.device)
        period = (2 * own - 2).clamp(min=1)[:, None]
        bounce = at % period  # reflected about the last pixel, about the first, and so on
        source = torch.minimum(bounce, period - bounce)
        tile = (at // length[:, None]).clamp(max=count - 1)
        axes.append(_Axis(count, length, source, tile, at < (length * count)[:, None], at[:n].to(torch.float32)))
    return axes[0], axes[1]


def _table(histogram: Tensor, area: Tensor, clip_limit: Tensor) -> Tensor:
    """(B, tiles, 256) float whole levels: the cumulative clipped histogram.

    What is cut goes in equal shares to all levels, and the rest one by one to levels at equal distances.
    """
    limit = (clip_limit * area / 256).to(torch.int64).clamp(min=1)
    clipped = torch.minimum(histogram, limit)
    excess = (histogram - clipped).sum(2, keepdim=True)
    share = excess // 256
    rest = excess - share * 256
    step = 256 // rest.clamp(min=1)
    level = torch.arange(256, device=histogram.device)
    extra = (level % step == 0) & (level // step < rest)
    total = (clipped + share + extra.to(torch.int64)).cumsum(2)
    return (total * (255 / area.to(torch.float32))).round().clamp(0, 255)


# linear sRGB to CIE XYZ, divided by the white of D65, and back (IEC 61966-2-1)
_TO_XYZ = ((0.433953, 0.376219, 0.189828), (0.212671, 0.715160, 0.072169), (0.017758, 0.109477, 0.872766))
_FROM_XYZ = ((3.0799327, -1.537150, -0.542782), (-0.921235, 1.875992, 0.0452442), (0.0528909, -0.204043, 1.1511515))


def to_lab(planes: Planes) -> Planes:
    """L* in [0, 100], a* and b* of sRGB in [0, 1] under D65."""
    linear = [torch.where(v > 0.04045, ((v.clamp(min=0) + 0.055) / 1.055) ** 2.4, v / 12.92) for v in planes]
    x, y, z = (_root(value) for value in _mixed(_TO_XYZ, linear))
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def from_lab(lightness: Tensor, a: Tensor, b: Tensor) -> Planes:
    """sRGB, clamped to [0, 1]."""
    y = (lightness + 16) / 116
    linear = _mixed(_FROM_XYZ, [_unroot(v) for v in (y + a / 500, y, y - b / 200)])
    linear = [value.clamp(0, 1) for value in linear]
    return [torch.where(v > 0.0031308, 1.055 * v ** (1 / 2.4) - 0.055, 12.92 * v).clamp(0, 1) for v in linear]


def _mixed(matrix: Sequence[Sequence[float]], planes: Planes) -> Planes:
    x, y, z = planes
    return [i * x + j * y + k * z for i, j, k in matrix]


def _root(t: Tensor) -> Tensor:
    """The compressed scale of CIE L*a*b*: a cube root, and a line near black."""
    return torch.where(t > 216 / 24389, t.clamp(min=1e-6) ** (1 / 3), (24389 / 27 * t + 16) / 116)


def _unroot(f: Tensor) -> Tensor:
    return torch.where(f > 6 / 29, f**3, (116 * f - 16) * (27 / 24389))
