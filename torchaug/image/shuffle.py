"""Tiles that change places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.path import Numbers
from torchaug.image.warp import Warp
from torchaug.keys import permutation
from torchaug.transform import Sizes


class RandomGridShuffle(Warp):
    """Cut the image into tiles and shuffle those of one size, as albumentations' transform of this name.

    Where a side is no multiple of the grid, rows (columns) of tiles drawn at random are one pixel higher (wider). No
    pixel is lost, repeated or changed. Keypoints follow their tile; a box that is cut becomes the smallest upright one
    around the pieces of its outline.

    Args:
        grid: (rows, columns) of tiles.
        p: chance per sample.

    Parameters per sample: rows and columns, the edges of the tiles in pixels; source, for each tile (row by row) the
    number of the tile that it shows.

    >>> x = torch.arange(16.0).view(1, 1, 4, 4)
    >>> RandomGridShuffle((2, 2), p=1.0)(x).sum().item()
    120.0
    """

    interpolation = "nearest"

    def __init__(self, grid: Sequence[int] = (3, 3), p: float = 0.5) -> None:
        super().__init__(p)
        self.grid = arguments.pair(grid, "RandomGridShuffle", "grid")
        self.uniforms = sum(self.grid) + self.grid[0] * self.grid[1]

    def drawn(self, u: Tensor, size: Sizes) -> Numbers:
        of_rows, of_columns, of_tiles = u.split([*self.grid, self.grid[0] * self.grid[1]], 1)
        rows, tall = _cut(of_rows, size.height)
        columns, wide = _cut(of_columns, size.width)
        kind = (2 * tall[:, :, None] + wide[:, None, :]).flatten(1)  # of each tile: 0 to 3
        places = torch.argsort(kind, stable=True)
        shuffled = torch.argsort(kind + of_tiles, stable=True)
        return {"rows": rows, "columns": columns, "source": torch.zeros_like(places).scatter(1, places, shuffled)}

    def displacement(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> tuple[Tensor, Tensor]:
        return self._offset(x, y, numbers, numbers["source"])

    def back(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> tuple[Tensor, Tensor]:
        return self._offset(x, y, numbers, torch.argsort(numbers["source"]))

    def _offset(self, x: Tensor, y: Tensor, numbers: Numbers, other: Tensor) -> tuple[Tensor, Tensor]:
        """The way from the tile under each point to the tile `other` (B, tiles) that belongs to it."""
        rows, columns = numbers["rows"].to(y.dtype), numbers["columns"].to(x.dtype)
        row, column = _tile(y, rows), _tile(x, columns)
        there = other.gather(1, row * self.grid[1] + column)
        dx = columns.gather(1, there % self.grid[1]) - columns.gather(1, column)
        return dx, rows.gather(1, there // self.grid[1]) - rows.gather(1, row)


def _cut(u: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """A length in n parts of whole pixels, drawn from `u` (B, n): edges (B, n + 1), and 1 for the longer parts, (B, n)."""
    count = u.shape[1]
    least = (length / count).floor()
    longer = (permutation(u) < (length - least * count)[:, None]).to(length.dtype)
    ends = (least[:, None] + longer).cumsum(1)
    return torch.cat([torch.zeros_like(ends[:, :1]), ends], 1), longer


def _tile(at: Tensor, edges: Tensor) -> Tensor:
    """The part that holds each coordinate (B, P), int64; the first or last one for those outside."""
    parts = edges.shape[1] - 1
    return (torch.searchsorted(edges.contiguous(), at.contiguous(), right=True) - 1).clamp(0, parts - 1)
