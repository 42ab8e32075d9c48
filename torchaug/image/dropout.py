"""Dropout of image parts: holes, strips, pixels, and objects of a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments
from torchaug.image.erasing import Erasing, Fill, Holes
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
        self.num_holes_range = arguments.whole_range(num_holes_range, "CoarseDropout", "num_holes_range", 1)
        self.hole_height_range = span(hole_height_range, "CoarseDropout", "hole_height_range")
        self.hole_width_range = span(hole_width_range, "CoarseDropout", "hole_width_range")
        self._set_fill(fill)
        self.uniforms = 4 * self.num_holes_range[1] + 3

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        tall, wide, down, right = u[:, :-3].chunk(4, 1)
        holes = _kept(u[:, -3], self.num_holes_range)
        height = lengths(tall, self.hole_height_range, size.height) * holes
        width = lengths(wide, self.hole_width_range, size.width) * holes
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
        self.num_masks_x = arguments.whole_range(num_masks_x, "XYMasking", "num_masks_x", 0)
        self.num_masks_y = arguments.whole_range(num_masks_y, "XYMasking", "num_masks_y", 0)
        self.mask_x_length = span(mask_x_length, "XYMasking", "mask_x_length")
        self.mask_y_length = span(mask_y_length, "XYMasking", "mask_y_length")
        if self.num_masks_x[1] + self.num_masks_y[1] == 0:
            raise ValueError("XYMasking: num_masks_x or num_masks_y must be above 0")
        self._set_fill(fill)
        self.uniforms = 2 * (self.num_masks_x[1] + self.num_masks_y[1]) + 4

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        across, down = self.num_masks_x[1], self.num_masks_y[1]
        wide, right, tall, below = u[:, :-4].split([across, across, down, down], 1)
        kept = _kept(u[:, -4], self.num_masks_x), _kept(u[:, -3], self.num_masks_y)
        width = lengths(wide, self.mask_x_length, size.width) * kept[0]
        height = lengths(tall, self.mask_y_length, size.height) * kept[1]
        left = (right * (size.width[:, None] - width + 1)).floor()
        top = (below * (size.height[:, None] - height + 1)).floor()
        full_height, full_width = size.height[:, None].expand_as(width), size.width[:, None].expand_as(height)
        return {
            "top": torch.cat([torch.zeros_like(left), top], 1),
            "left": torch.cat([left, torch.zeros_like(top)], 1),
            "height": torch.cat([full_height, height], 1),
            "width": torch.cat([width, full_width], 1),
        }


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
        self.dropout_prob = arguments.within(dropout_prob, "PixelDropout", "dropout_prob", 0, 1)
        if per_channel and fill_mask is not None:
            raise ValueError("PixelDropout: fill_mask needs per_channel=False: a mask has no channels")
        self.per_channel = per_channel
        self._set_fill(without_holes(fill, "PixelDropout"))

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
        self.max_objects = arguments.whole_range(max_objects, "MaskDropout", "max_objects", 1)
        self.num_objects = arguments.whole(num_objects, "MaskDropout", "num_objects", 1)
        self.fill = arguments.fill(fill, "MaskDropout")
        self.fill_mask = arguments.optional_whole(fill_mask, "MaskDropout", "fill_mask")
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
        fill = arguments.colored(self.fill, image.shape[1], "MaskDropout")
        return per_channel([round(v * 255) for v in fill] if image.dtype == torch.uint8 else fill, image)


def below(field: Tensor, chance: Tensor) -> Tensor:
    """Where a standard normal field (B, ...) falls below its quantile of `chance` (B,): with that chance."""
    limit = torch.erfinv(2 * chance - 1) * math.sqrt(2)
    return field < limit.view(-1, *[1] * (field.ndim - 1))


def _kept(u: Tensor, bounds: tuple[int, int]) -> Tensor:
    """(B, N) 1.0 for the holes that a sample has, 0.0 for those up to the largest number."""
    count = integers(u, bounds[0], bounds[1] + 1)
    return (torch.arange(bounds[1], device=u.device) < count[:, None]).to(u.dtype)


def lengths(u: Tensor, bounds: tuple[float, float], side: Tensor) -> Tensor:
    """Whole lengths (B, N), at most the image's `side` (B,)."""
    low, high = bounds
    if isinstance(high, int):
        length = integers(u, int(low), high + 1).to(u.dtype)
    else:
        length = (uniform(u, low, high) * side[:, None]).floor()
    return torch.minimum(length, side[:, None])


def span(value: Span, who: str, name: str) -> tuple[float, float]:
    """(low, high), both whole pixels or both shares of a side."""
    values = arguments.finite(value)
    values = values * 2 if arguments.is_one(value) else values
    whole = all(isinstance(v, int) for v in values)
    if len(values) != 2 or not 0 <= values[0] <= values[1] or (not whole and values[1] > 1):
        raise ValueError(
            f"{who}: {name} must be whole pixels, or shares of the side in [0, 1], one or two in rising order, got {value!r}"
        )
    return (values[0], values[1]) if whole else (float(values[0]), float(values[1]))


def without_holes(fill: Fill, who: str) -> Fill:
    """A fill that needs no holes to be counted, which a colour for each would."""
    if fill == "random_uniform":
        raise ValueError(f"{who}: fill must be a number, one per channel, or 'random', got 'random_uniform'")
    return fill
