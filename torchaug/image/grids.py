"""Dropout of image parts on a grid: cells, bars, patches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.dropout import Span, lengths, span, without_holes
from torchaug.image.erasing import Erasing, Fill
from torchaug.keys import integers, noise, uniform
from torchaug.transform import Sizes


class GridDropout(Erasing):
    """Replace one rectangle in each cell of a grid, as albumentations' transform of this name.

    Args:
        ratio: side of the holes over that of the cells, above 0 and at most 1.
        random_offset: whether the holes' place in their cells is drawn per sample; else it is `shift_xy`.
        unit_size_range: (low, high) side of the cells in pixels, each as likely; None for a tenth of the image's sides.
        holes_number_xy: cells per row and per column instead.
        shift_xy: place of the holes in their cells, (x, y) pixels, without random_offset.
        fill: a value in [0, 1], or one per channel; "random" for another per pixel.
        fill_mask: class number that the masks get there; None leaves them as they are.
        p: chance per sample.

    A hole has at least one pixel, and leaves at least one of its cell, which has at least two.

    >>> GridDropout(0.5, unit_size_range=(4, 4), p=1.0)(torch.ones(2, 1, 8, 8)).sum((1, 2, 3))
    tensor([48., 48.])
    """

    uniforms = 5

    def __init__(
        self,
        ratio: float = 0.5,
        random_offset: bool = True,
        unit_size_range: tuple[int, int] | None = None,
        holes_number_xy: tuple[int, int] | None = None,
        shift_xy: tuple[int, int] = (0, 0),
        fill: Fill = 0.0,
        fill_mask: int | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(fill_mask, p)
        self.ratio = arguments.number(ratio, "GridDropout", "ratio", 0, 1, above=True)
        self.random_offset = random_offset
        self.unit_size_range, self.holes_number_xy = None, None
        if unit_size_range is not None:
            self.unit_size_range = arguments.whole_range(unit_size_range, "GridDropout", "unit_size_range", 2)
        if holes_number_xy is not None:
            self.holes_number_xy = arguments.pair(holes_number_xy, "GridDropout", "holes_number_xy", 1, "(x, y)")
        self.shift_xy = arguments.pair(shift_xy, "GridDropout", "shift_xy", 0, "(x, y)")
        self._set_fill(without_holes(fill, "GridDropout"))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        unit = self._units(u[:, 0], size)
        hole = torch.minimum((self.ratio * unit).floor().clamp(min=1), unit - 1)
        shift = torch.stack([torch.full_like(u[:, 0], s) for s in self.shift_xy[::-1]], 1)
        offset = (u[:, 1:3] * (unit - hole + 1)).floor() if self.random_offset else torch.minimum(shift, unit - hole)
        return {"unit": unit, "hole": hole, "offset": offset}

    def _units(self, u: Tensor, size: Sizes) -> Tensor:
        """(B, 2) height and width of the cells."""
        sides = size.stacked()
        if self.holes_number_xy is not None:
            numbers = torch.stack([torch.full_like(u, n) for n in self.holes_number_xy[::-1]], 1)
            return (sides / numbers).floor().clamp(min=2)
        if self.unit_size_range is not None:
            low, high = self.unit_size_range
            return integers(u, low, high + 1).to(u.dtype)[:, None].expand(-1, 2)
        return (sides / 10).floor().clamp(min=2)

    def hidden(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> Tensor:
        sides = []
        for axis, length in enumerate(shape[1:]):
            unit, hole, offset = (numbers[name][:, axis, None] for name in ("unit", "hole", "offset"))
            at = torch.arange(length, device=unit.device).remainder(unit)
            sides.append((at >= offset) & (at < offset + hole))
        return (sides[0][:, :, None] & sides[1][:, None, :])[:, None]


class GridMask(Erasing):
    """Replace the squares of a turned grid (Chen et al., "GridMask Data Augmentation", 2020).

    Args:
        unit_size: (low, high) distance between squares: whole pixels, or shares of the image's shorter side.
        ratio: share of the distance that stays between squares: (low, high), or one number.
        degrees: the grid is turned about the image's middle, uniform in [-v, v] or (low, high).
        fill: a value in [0, 1], or one per channel; "random" for another per pixel.
        fill_mask: class number that the masks get there; None leaves them as they are.
        p: chance per sample.

    >>> GridMask((4, 4), 0.5)(torch.ones(2, 1, 8, 8)).sum((1, 2, 3))
    tensor([48., 48.])
    """

    uniforms = 7

    def __init__(
        self,
        unit_size: Span = (0.4, 1.0),
        ratio: float | Sequence[float] = 0.6,
        degrees: float | Sequence[float] = 0.0,
        fill: Fill = 0.0,
        fill_mask: int | None = None,
        p: float = 1.0,
    ) -> None:
        super().__init__(fill_mask, p)
        self.unit_size = span(unit_size, "GridMask", "unit_size")
        if self.unit_size[0] <= 0:
            raise ValueError(f"GridMask: unit_size must be above 0, got {unit_size!r}")
        self.ratio = arguments.within(ratio, "GridMask", "ratio", 0, 1)
        self.degrees = arguments.symmetric(degrees, "GridMask", "degrees")
        self._set_fill(without_holes(fill, "GridMask"))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        shorter = torch.minimum(size.height, size.width)
        unit = lengths(u[:, :1], self.unit_size, shorter)[:, 0].clamp(min=1)
        kept = torch.minimum((unit * uniform(u[:, 1], *self.ratio)).ceil(), unit)
        return {
            "unit": unit,
            "hole": unit - kept,
            "offset": (u[:, 2:4] * unit[:, None]).floor(),
            "angle": uniform(u[:, 4], *self.degrees),
            "middle": (size.stacked() - 1) / 2,
        }

    def hidden(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> Tensor:
        angle = torch.deg2rad(numbers["angle"])[:, None, None]
        rows, columns = (torch.arange(n, device=angle.device) for n in shape[1:])
        middle_y, middle_x = numbers["middle"][:, :, None, None].unbind(1)
        y, x = rows[:, None] - middle_y, columns - middle_x
        turned_y = torch.sin(angle) * x + torch.cos(angle) * y + middle_y
        turned_x = torch.cos(angle) * x - torch.sin(angle) * y + middle_x
        unit, hole = (numbers[name][:, None, None] for name in ("unit", "hole"))
        offset_y, offset_x = numbers["offset"][:, :, None, None].unbind(1)
        # rounded to whole pixels, so that a grid that is not turned is exact
        down, across = (torch.round(t + o).remainder(unit) for t, o in ((turned_y, offset_y), (turned_x, offset_x)))
        return ((down < hole) & (across < hole))[:, None]


class RandomPatchDropout(Erasing):
    """Replace a share of the square patches that tile an image, as masked autoencoders do (He et al., 2022).

    Args:
        patch_size: (height, width) of a patch in pixels, or one number for both.
        ratio: share of the patches that are replaced, rounded down to whole ones; (low, high), or one number.
        fill: a value in [0, 1], or one per channel; "random" for another per pixel.
        fill_mask: class number that the masks get there; None leaves them as they are.
        p: chance per sample.

    Patches at the right and the bottom may be cut off by the border.

    >>> RandomPatchDropout(4, 0.5)(torch.ones(2, 1, 8, 8)).sum((1, 2, 3))
    tensor([32., 32.])
    """

    uniforms = 5

    def __init__(
        self,
        patch_size: int | Sequence[int] = 16,
        ratio: float | Sequence[float] = 0.5,
        fill: Fill = 0.0,
        fill_mask: int | None = None,
        p: float = 1.0,
    ) -> None:
        super().__init__(fill_mask, p)
        self.patch_size = arguments.pair(patch_size, "RandomPatchDropout", "patch_size")
        self.ratio = arguments.within(ratio, "RandomPatchDropout", "ratio", 0, 1)
        self._set_fill(without_holes(fill, "RandomPatchDropout"))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        """Which patches (B, rows, columns) bool: those with the smallest of random scores."""
        counts = [-(-side // patch) for side, patch in zip(size.canvas, self.patch_size, strict=True)]
        rows, columns = ((s / p).ceil() for s, p in zip(size[:2], self.patch_size, strict=True))
        scores = noise(u[:, 1:3], counts)
        across = torch.arange(counts[1], device=u.device) < columns[:, None, None]
        own = (torch.arange(counts[0], device=u.device)[:, None] < rows[:, None, None]) & across
        scores = torch.where(own, scores, math.inf)
        number = (uniform(u[:, 0], *self.ratio) * rows * columns).floor().to(torch.int64)
        ranked = torch.nn.functional.pad(scores.flatten(1).sort(1).values, (0, 1), value=math.inf)
        return {"dropped": scores < ranked.gather(1, number[:, None])[:, :, None]}

    def hidden(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> Tensor:
        dropped = numbers["dropped"]
        tall, wide = self.patch_size
        dropped = dropped.repeat_interleave(tall, 1)[:, : shape[1]].repeat_interleave(wide, 2)[:, :, : shape[2]]
        return dropped[:, None]
