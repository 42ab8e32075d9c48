"""Dropout of image parts: holes, grids, strips, patches, pixels, and objects of a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments
from torchaug.image.erasing import Erasing, Fill, Holes, count_range
from torchaug.image.resample import per_channel
from torchaug.keys import integers, noise, uniform
from torchaug.transform import Sizes, Transform

Span = int | float | Sequence[int] | Sequence[float]
"""Lengths: whole numbers are pixels, others a share of the image's side."""


class CoarseDropout(Holes):
    """Replace a number of rectangles, as albumentations' transform of this name.

    Args:
        num_holes_range: (low, high) rectangles, each number as likely.
        hole_height_range: (low, high): whole pixels, or shares of the image's height.
        hole_width_range: likewise of its width.
        fill: a value in [0, 1], or one per channel; "random" for another per pixel, "random_uniform" for one per hole.
        fill_mask: class number that the masks get there; None leaves them as they are.
        p: chance per sample.

    >>> CoarseDropout(hole_height_range=(4, 4), hole_width_range=(2, 2), num_holes_range=(1, 1), p=1.0)(
    ...     torch.ones(2, 3, 8, 8)
    ... ).sum((1, 2, 3))
    tensor([168., 168.])
    """

    def __init__(
        self,
        num_holes_range: tuple[int, int] = (1, 2),
        hole_height_range: Span = (0.1, 0.2),
        hole_width_range: Span = (0.1, 0.2),
        fill: Fill = 0.0,
        fill_mask: int | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(fill_mask, p)
        self.num_holes_range = count_range(num_holes_range, 1, "CoarseDropout", "num_holes_range")
        self.hole_height_range = _span(hole_height_range, "CoarseDropout", "hole_height_range")
        self.hole_width_range = _span(hole_width_range, "CoarseDropout", "hole_width_range")
        self._set_fill(fill)
        self.uniforms = 4 * self.num_holes_range[1] + 3

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        tall, wide, down, right = u[:, :-3].chunk(4, 1)
        holes = _kept(u[:, -3], self.num_holes_range)
        height = _length(tall, self.hole_height_range, size.height) * holes
        width = _length(wide, self.hole_width_range, size.width) * holes
        return {
            "top": (down * (size.height[:, None] - height + 1)).floor(),
            "left": (right * (size.width[:, None] - width + 1)).floor(),
            "height": height,
            "width": width,
        }


class Cutout(Holes):
    """Replace one rectangle whose centre is anywhere in the image, so that a part may lie outside (DeVries, 2017).

    Args:
        size: (height, width) in pixels, or one number for both.
        fill: a value in [0, 1], or one per channel; "random" for another per pixel, "random_uniform" for one per hole.
        fill_mask: class number that the masks get there; None leaves them as they are.
        p: chance per sample.

    >>> Cutout(4, fill=0.5)(torch.zeros(2, 3, 8, 8)).amax().item()
    0.5
    """

    uniforms = 4

    def __init__(
        self, size: int | Sequence[int], fill: Fill = 0.0, fill_mask: int | None = None, p: float = 1.0
    ) -> None:
        super().__init__(fill_mask, p)
        self.size = arguments.pair(size, "Cutout", "size")
        self._set_fill(fill)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        height, width = self.size
        return {
            "top": (u[:, 0] * size.height).floor() - height // 2,
            "left": (u[:, 1] * size.width).floor() - width // 2,
            "height": torch.full_like(size.height, height),
            "width": torch.full_like(size.width, width),
        }


class XYMasking(Holes):
    """Replace strips that cross the whole image, as albumentations' transform of this name; of spectrograms: SpecAugment.

    Args:
        num_masks_x: strips side by side, or a range (low, high), each number as likely.
        num_masks_y: strips one above the other, likewise.
        mask_x_length: width of the former: whole pixels or shares of the image's width, one number or (low, high).
        mask_y_length: height of the latter.
        fill: a value in [0, 1], or one per channel; "random" for another per pixel, "random_uniform" for one per strip.
        fill_mask: class number that the masks get there; None leaves them as they are.
        p: chance per sample.

    Strips that are longer than the image's side hide all of it.

    >>> XYMasking(num_masks_x=1, mask_x_length=2, p=1.0)(torch.ones(2, 1, 8, 8)).sum((1, 2, 3))
    tensor([48., 48.])
    """

    def __init__(
        self,
        num_masks_x: int | Sequence[int] = 0,
        num_masks_y: int | Sequence[int] = 0,
        mask_x_length: Span = 0,
        mask_y_length: Span = 0,
        fill: Fill = 0.0,
        fill_mask: int | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(fill_mask, p)
        self.num_masks_x = count_range(num_masks_x, 0, "XYMasking", "num_masks_x")
        self.num_masks_y = count_range(num_masks_y, 0, "XYMasking", "num_masks_y")
        self.mask_x_length = _span(mask_x_length, "XYMasking", "mask_x_length")
        self.mask_y_length = _span(mask_y_length, "XYMasking", "mask_y_length")
        if self.num_masks_x[1] + self.num_masks_y[1] == 0:
            raise ValueError("XYMasking: num_masks_x or num_masks_y must be above 0")
        self._set_fill(fill)
        self.uniforms = 2 * (self.num_masks_x[1] + self.num_masks_y[1]) + 4

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        across, down = self.num_masks_x[1], self.num_masks_y[1]
        wide, right, tall, below = u[:, :-4].split([across, across, down, down], 1)
        kept = _kept(u[:, -4], self.num_masks_x), _kept(u[:, -3], self.num_masks_y)
        width = _length(wide, self.mask_x_length, size.width) * kept[0]
        height = _length(tall, self.mask_y_length, size.height) * kept[1]
        left = (right * (size.width[:, None] - width + 1)).floor()
        top = (below * (size.height[:, None] - height + 1)).floor()
        full_height, full_width = size.height[:, None].expand_as(width), size.width[:, None].expand_as(height)
        return {
            "top": torch.cat([torch.zeros_like(left), top], 1),
            "left": torch.cat([left, torch.zeros_like(top)], 1),
            "height": torch.cat([full_height, height], 1),
            "width": torch.cat([width, full_width], 1),
        }


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
        if not 0 < ratio <= 1:
            raise ValueError(f"GridDropout: ratio must be above 0 and at most 1, got {ratio!r}")
        self.ratio, self.random_offset = float(ratio), random_offset
        self.unit_size_range, self.holes_number_xy = None, None
        if unit_size_range is not None:
            self.unit_size_range = count_range(unit_size_range, 2, "GridDropout", "unit_size_range")
        if holes_number_xy is not None:
            x, y = (count_range(n, 1, "GridDropout", "holes_number_xy")[0] for n in holes_number_xy)
            self.holes_number_xy = (x, y)
        x, y = (count_range(n, 0, "GridDropout", "shift_xy")[0] for n in shift_xy)
        self.shift_xy = (x, y)
        self._set_fill(_no_holes(fill, "GridDropout"))

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
        self.unit_size = _span(unit_size, "GridMask", "unit_size")
        if self.unit_size[0] <= 0:
            raise ValueError(f"GridMask: unit_size must be above 0, got {unit_size!r}")
        self.ratio = arguments.range_from(ratio, "GridMask", "ratio")
        if self.ratio[1] > 1:
            raise ValueError(f"GridMask: ratio must be within [0, 1], got {ratio!r}")
        self.degrees = arguments.symmetric(degrees, "GridMask", "degrees")
        self._set_fill(_no_holes(fill, "GridMask"))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        shorter = torch.minimum(size.height, size.width)
        unit = _length(u[:, :1], self.unit_size, shorter)[:, 0].clamp(min=1)
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
        self.ratio = arguments.range_from(ratio, "RandomPatchDropout", "ratio")
        if self.ratio[1] > 1:
            raise ValueError(f"RandomPatchDropout: ratio must be within [0, 1], got {ratio!r}")
        self._set_fill(_no_holes(fill, "RandomPatchDropout"))

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


class PixelDropout(Erasing):
    """Replace single pixels, as albumentations' transform of this name.

    Args:
        dropout_prob: chance of each pixel, or a range (low, high) from which each sample's is drawn.
        per_channel: whether each channel is drawn for itself.
        fill: a value in [0, 1], or one per channel; "random" for another per pixel.
        fill_mask: class number that the masks get there; None leaves them as they are. Not with per_channel.
        p: chance per sample.

    >>> PixelDropout(1.0, p=1.0)(torch.ones(2, 1, 8, 8)).sum().item()
    0.0
    """

    uniforms = 5

    def __init__(
        self,
        dropout_prob: float | Sequence[float] = 0.01,
        per_channel: bool = False,
        fill: Fill = 0.0,
        fill_mask: int | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(fill_mask, p)
        self.dropout_prob = arguments.range_from(dropout_prob, "PixelDropout", "dropout_prob")
        if self.dropout_prob[1] > 1:
            raise ValueError(f"PixelDropout: dropout_prob must be within [0, 1], got {dropout_prob!r}")
        if per_channel and fill_mask is not None:
            raise ValueError("PixelDropout: fill_mask needs per_channel=False: a mask has no channels")
        self.per_channel = per_channel
        self._set_fill(_no_holes(fill, "PixelDropout"))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"dropout_prob": uniform(u[:, 0], *self.dropout_prob), "places": u[:, 1:3]}

    def hidden(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> Tensor:
        planes = shape[0] if self.per_channel else 1
        return below(noise(numbers["places"], (planes, *shape[1:])), numbers["dropout_prob"])


class MaskDropout(Transform):
    """Replace whole objects, those that the mask numbers from 1, as albumentations' transform of this name.

    Args:
        max_objects: how many objects are replaced, or a range (low, high), each number as likely; fewer where there are
            fewer.
        num_objects: the largest number that an object may have; others are never replaced. albumentations finds
            connected parts instead, which are as many as they are.
        fill: a value in [0, 1], or one per channel.
        fill_mask: class number that the masks get there; None leaves them as they are.
        p: chance per sample.

    Without a mask nothing happens. Boxes and keypoints stay.

    >>> sample = {"image": torch.ones(1, 1, 2, 2), "mask": torch.tensor([[[0, 1], [0, 2]]])}
    >>> out = MaskDropout(2, num_objects=2, p=1.0)(sample)
    >>> out["image"].flatten().tolist(), out["mask"].flatten().tolist()
    ([1.0, 0.0, 1.0, 0.0], [0, 0, 0, 0])
    """

    def __init__(
        self,
        max_objects: int | Sequence[int] = 1,
        num_objects: int = 16,
        fill: float | Sequence[float] = 0.0,
        fill_mask: int | None = 0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.max_objects = count_range(max_objects, 1, "MaskDropout", "max_objects")
        self.num_objects = count_range(num_objects, 1, "MaskDropout", "num_objects")[0]
        self.fill, self.fill_mask = arguments.fill(fill, "MaskDropout"), fill_mask
        self.uniforms = 1 + self.num_objects

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"max_objects": integers(u[:, 0], self.max_objects[0], self.max_objects[1] + 1), "scores": u[:, 1:]}

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if batch.mask is None or batch.image is None:
            return batch
        objects = [batch.mask == number for number in range(1, self.num_objects + 1)]
        present = torch.stack([which.flatten(1).any(1) for which in objects], 1)
        drawn = self.drawn(u, Sizes.of((0, 0), None, u))
        scores = torch.where(present, drawn["scores"], -1.0)
        rank = torch.argsort(scores, dim=1, descending=True).argsort(1)
        dropped = present & (rank < drawn["max_objects"][:, None]) & chosen[:, None]  # (B, objects)
        hidden = torch.zeros_like(objects[0])
        for which, gone in zip(objects, dropped.unbind(1), strict=True):
            hidden = hidden | (which & gone[:, None, None, None])
        image = torch.where(hidden.any(1, keepdim=True), self._value(batch.image), batch.image)
        mask = batch.mask
        if self.fill_mask is not None:
            mask = torch.where(hidden, mask.new_full((), self.fill_mask), mask)
        return batch.replace(image=image, mask=mask)

    def _value(self, image: Tensor) -> Tensor:
        if len(self.fill) not in (1, image.shape[1]):
            raise ValueError(f"MaskDropout: fill has {len(self.fill)} numbers, the image {image.shape[1]} channels")
        whole = image.dtype == torch.uint8
        return per_channel([round(v * 255) for v in self.fill] if whole else self.fill, image)


def below(field: Tensor, chance: Tensor) -> Tensor:
    """Where a standard normal field (B, ...) falls below its quantile of `chance` (B,): with that chance."""
    limit = torch.erfinv(2 * chance - 1) * math.sqrt(2)
    return field < limit.view(-1, *[1] * (field.ndim - 1))


def _kept(u: Tensor, bounds: tuple[int, int]) -> Tensor:
    """(B, N) 1.0 for the holes that a sample has, 0.0 for those up to the largest number."""
    count = integers(u, bounds[0], bounds[1] + 1)
    return (torch.arange(bounds[1], device=u.device) < count[:, None]).to(u.dtype)


def _length(u: Tensor, bounds: tuple[float, float], side: Tensor) -> Tensor:
    """Whole lengths (B, N), at most the image's `side` (B,)."""
    low, high = bounds
    if isinstance(high, int):
        length = integers(u, int(low), high + 1).to(u.dtype)
    else:
        length = (uniform(u, low, high) * side[:, None]).floor()
    return torch.minimum(length, side[:, None])


def _span(value: Span, who: str, name: str) -> tuple[float, float]:
    """(low, high), both whole pixels or both shares of a side."""
    values = [value, value] if isinstance(value, (int, float)) else list(value)
    whole = all(isinstance(v, int) for v in values)
    if len(values) != 2 or not 0 <= values[0] <= values[1] or (not whole and values[1] > 1):
        raise ValueError(
            f"{who}: {name} must be whole pixels, or shares of the side in [0, 1], one or two in rising order, got {value!r}"
        )
    return (values[0], values[1]) if whole else (float(values[0]), float(values[1]))


def _no_holes(fill: Fill, who: str) -> Fill:
    if fill == "random_uniform":
        raise ValueError(f"{who}: fill must be a number, one per channel, or 'random', got 'random_uniform'")
    return fill
