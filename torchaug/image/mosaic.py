"""Mosaic: four images of a batch on one canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments, mix_labels
from torchaug.image.mix import Irreversible, Mix, behind, limits, ranked, rectangle, sizes_of
from torchaug.image.resample import per_channel
from torchaug.keys import uniform
from torchaug.transform import Folding, Run, Sizes


class _Tile(NamedTuple):
    """One image on the canvas of a mosaic, (B,) each: whose, where its corner is, and the part of the canvas it fills."""

    source: Tensor
    left: Tensor
    top: Tensor
    x0: Tensor
    y0: Tensor
    x1: Tensor
    y1: Tensor

    def area(self) -> Tensor:
        """(B,) pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)


class Mosaic(Mix):
    """Four images around a random point, at their own scale (Bochkovskiy et al., "YOLOv4", 2020).

    A sample is at the top left; those before it in the batch's random order come to the top right, the bottom left and
    the bottom right (again from the first, in a batch of fewer than four). Each touches the point with a corner; what lies
    beyond the canvas is cut off. Images of different sizes are welcome. Ultralytics' mosaic is `Mosaic((2 * s, 2 * s),
    (0.25, 0.75))`, followed by an affine transform and a crop to s.

    Boxes (B, N, 4) become (B, 4N, 4), clipped; keypoints likewise; masks follow, 0 where there is no image; labels and
    weights are mixed by area, as `Mix` says. A sample that is not chosen, and all of them in evaluation, is cut out at the
    centre, or padded with the fill; in evaluation boxes stay (B, N, 4) and class numbers what they are.

    Args:
        size: (height, width) of what comes out, or one number for both.
        center_range: of the point, as shares of height and width.
        fill: where there is no image, in [0, 1]: one value, or one per channel.
        num_classes: needed where labels are class numbers.
        min_area: boxes of which less is left, in pixels, are dropped.
        min_visibility: boxes of which a smaller share is left are dropped.
        p: chance per sample.

    Parameters per sample: center_x and center_y in whole pixels. `partners(u)` tells the second of the four.

    >>> Mosaic(32, p=1.0)(torch.rand(8, 3, 24, 40)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 4
    resizes = True

    def __init__(
        self,
        size: int | Sequence[int],
        center_range: tuple[float, float] = (0.3, 0.7),
        fill: float | Sequence[float] = 0.0,
        num_classes: int | None = None,
        min_area: float = 1.0,
        min_visibility: float = 0.1,
        p: float = 0.5,
    ) -> None:
        super().__init__(num_classes, p)
        self.size = arguments.pair(size, "Mosaic", "size")
        self.center_range = arguments.within(center_range, "Mosaic", "center_range", 0, 1)
        self.fill = arguments.fill(fill, "Mosaic")
        self.min_area, self.min_visibility = limits(min_area, min_visibility, "Mosaic")

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        return self.size

    def run(self, folding: Folding) -> Run:
        return Irreversible(self)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        height, width = self.size
        return {
            "center_x": (uniform(u[:, 2], *self.center_range) * width).round(),
            "center_y": (uniform(u[:, 3], *self.center_range) * height).round(),
        }

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        image = mix_labels.check(batch, "Mosaic", ragged=True)
        tiles = self._tiles(u, chosen & self.training, sizes_of(batch, u))
        changes: dict[str, Tensor | None] = {"size": None, "image": _laid(image, tiles, self.size, self._fill(image))}
        if self.training:
            areas = torch.stack([tile.area() for tile in tiles], 1)
            shares = (areas / areas.sum(1, keepdim=True).clamp(min=1)).unbind(1)
            changes |= self.labels(batch, [(tile.source, share) for tile, share in zip(tiles, shares, strict=True)])
        if batch.mask is not None:
            changes["mask"] = _laid(batch.mask, tiles, self.size, batch.mask.new_zeros(1))
        if batch.boxes is not None:
            boxes = mix_labels.boxes_of(batch)
            changes |= mix_labels.joined([self._boxes(boxes, tile) for tile in tiles]).fields()
        if batch.keypoints is not None and batch.visible is not None:
            points = [_points(batch.keypoints, batch.visible, tile) for tile in tiles]
            changes["keypoints"], changes["visible"] = (torch.cat(part, 1) for part in zip(*points, strict=True))
        return batch.replace(**changes)

    def _fill(self, image: Tensor) -> Tensor:
        if len(self.fill) not in (1, image.shape[1]):
            raise ValueError(
                f"Mosaic: fill has {len(self.fill)} numbers, the image {image.shape[1]} channels (of all frames, in a video)"
            )
        return per_channel([round(v * 255) if image.dtype == torch.uint8 else v for v in self.fill], image)

    def _tiles(self, u: Tensor, chosen: Tensor, size: Sizes) -> list[_Tile]:
        """Top left, top right, bottom left, bottom right; the first alone, at the centre, where a sample is not chosen."""
        (height, width), order, centre = self.size, ranked(u), self.drawn(u, size)
        x, y = torch.where(chosen, centre["center_x"], width), torch.where(chosen, centre["center_y"], height)
        tiles = []
        for i in range(4 if self.training else 1):
            source = behind(order, i)
            tall, wide = size.height[source], size.width[source]
            left = x if i % 2 else torch.where(chosen, x - wide, -_centred(wide, width))
            top = y if i // 2 else torch.where(chosen, y - tall, -_centred(tall, height))
            x0, x1 = _overlap(left, wide, x, width, after=bool(i % 2))
            y0, y1 = _overlap(top, tall, y, height, after=bool(i // 2))
            tiles.append(_Tile(source, left, top, x0, y0, x1, y1))
        return tiles

    def _boxes(self, boxes: mix_labels.Boxes, tile: _Tile) -> mix_labels.Boxes:
        """A tile's boxes on the canvas, clipped to the part that it fills."""
        boxes = boxes.of(tile.source)
        moved = boxes.boxes + torch.stack([tile.left, tile.top] * 2, 1)[:, None]
        low, high = torch.stack([tile.x0, tile.y0], 1)[:, None], torch.stack([tile.x1, tile.y1], 1)[:, None]
        corners = [torch.minimum(torch.maximum(corner, low), high) for corner in (moved[..., :2], moved[..., 2:])]
        clipped = torch.cat(corners, -1)
        share = (corners[1] - corners[0]).prod(-1) / (moved[..., 2:] - moved[..., :2]).prod(-1).clamp(min=1e-12)
        kept = mix_labels.large_enough(clipped, share, self.min_area, self.min_visibility)
        return boxes.kept(clipped.to(boxes.boxes.dtype), kept)


def _centred(length: Tensor, crop: int) -> Tensor:
    """Start (B,) of a centred crop along one axis, by torchvision's rounding; negative where the image is shorter."""
    spare = length - crop
    return torch.where(spare >= 0, (spare / 2).round(), (spare / 2).ceil())


def _overlap(start: Tensor, length: Tensor, split: Tensor, end: int, *, after: bool) -> tuple[Tensor, Tensor]:
    """Where an image that starts at `start` fills its half of an axis from 0 to `end`, divided at `split`."""
    low, high = (split, torch.full_like(split, end)) if after else (torch.zeros_like(split), split)
    first = torch.maximum(start, low)
    return first, torch.maximum(torch.minimum(start + length, high), first)


def _laid(plane: Tensor, tiles: list[_Tile], canvas: tuple[int, int], fill: Tensor) -> Tensor:
    """Images or masks (B, C, H, W) laid on a canvas, pixels unchanged."""
    (count, channels, tall, wide), (height, width) = plane.shape, canvas
    rows, columns = (torch.arange(length, device=plane.device) for length in canvas)
    out = fill
    for tile in tiles:
        row = (rows - tile.top[:, None]).clamp(0, tall - 1).to(torch.int64)
        column = (columns - tile.left[:, None]).clamp(0, wide - 1).to(torch.int64)
        part = plane[tile.source].gather(2, row[:, None, :, None].expand(count, channels, height, wide))
        part = part.gather(3, column[:, None, None].expand(count, channels, height, width))
        box = torch.stack([tile.x0, tile.y0, tile.x1, tile.y1], 1)
        out = torch.where(rectangle(box, canvas)[:, None], part, out)
    return out


def _points(points: Tensor, visible: Tensor, tile: _Tile) -> tuple[Tensor, Tensor]:
    """A tile's keypoints on the canvas, and whether they can be seen."""
    moved = points[tile.source] + torch.stack([tile.left, tile.top], 1)[:, None]
    x, y = (moved + 0.5).unbind(-1)
    inside = (x >= tile.x0[:, None]) & (x < tile.x1[:, None]) & (y >= tile.y0[:, None]) & (y < tile.y1[:, None])
    return moved.to(points.dtype), visible[tile.source] & inside
