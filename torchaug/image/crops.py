"""Crops that look at the labels first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.batch import Batch
from torchaug.clips import Clips
from torchaug.image import arguments
from torchaug.image.pads import EPSILON, centred, moved
from torchaug.image.warp import Geometric
from torchaug.keys import uniform
from torchaug.transform import Sizes


class _LabelledCrop(Geometric):
    """A crop in whole pixels that `guide` has found: top, left, height and width, (B, 4).

    One for each clip of a video: it looks at the labels of all frames.
    """

    moves = "pixels"
    guided = True
    clips: Clips = "channels"

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return moved(u[:, 0], u[:, 1])


class _RaggedCrop(_LabelledCrop):
    """One of a size of each image's own."""

    ragged = True

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        return Sizes(torch.where(chosen, u[:, 2], size.height), torch.where(chosen, u[:, 3], size.width), size.canvas)


class _FixedCrop(_LabelledCrop):
    """One of a fixed size; in evaluation, and of samples that are not chosen: the centre."""

    resizes = True

    def __init__(self, height: int, width: int, p: float) -> None:
        super().__init__(p)
        self.height, self.width = arguments.pair((height, width), type(self).__name__, "height and width")

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        return self.height, self.width

    def check(self, size: Sizes, ragged: bool) -> None:
        if self.height > size.canvas[0] or self.width > size.canvas[1]:
            raise ValueError(
                f"{type(self).__name__}: image must be at least {self.height} x {self.width}, got {size.canvas[0]} x "
                f"{size.canvas[1]}; pad it first with PadIfNeeded"
            )

    def rest(self, size: Sizes) -> Tensor:
        return moved(centred(size.height, self.height), centred(size.width, self.width))

    def room(self, size: Sizes) -> tuple[Tensor, Tensor]:
        """The last top and left, (B,) each, from which a crop lies on the image; 0 where the image is smaller."""
        return (size.height - self.height).clamp(min=0), (size.width - self.width).clamp(min=0)

    def found(self, top: Tensor, left: Tensor) -> Tensor:
        """The crop at (top, left), (B,) each, as `guide` returns it."""
        return torch.stack([top, left, torch.full_like(top, self.height), torch.full_like(left, self.width)], 1)


class RandomIoUCrop(_RaggedCrop):
    """Cut out a part that overlaps a box by at least a drawn share, as torchvision's transform of this name.

    Liu et al., "SSD: Single Shot MultiBox Detector" (2015). Each sample draws `trials` parts; of the options that one of
    its parts meets, it takes one at random, and the first part that meets it. (torchvision draws parts anew for each
    option until one is met.) Boxes whose centre is outside the part become zeros, their labels -1. A sample without
    boxes stays as it is, unless an option of 1 does the same.

    Images come out in different sizes on the canvas they had; `Batch.size` has their sizes.

    Args:
        min_scale: least share of the image's height and of its width, drawn separately.
        max_scale: largest such share, at most 1.
        min_aspect_ratio: least width over height of the part.
        max_aspect_ratio: largest width over height of the part.
        sampler_options: least overlaps (intersection over union) to choose from; 1 leaves the image as it is. By
            default 0, 0.1, 0.3, 0.5, 0.7, 0.9 and 1.
        trials: parts that each sample draws.
        p: chance per sample.

    >>> boxes = torch.tensor([[[4.0, 4.0, 20.0, 20.0]]])
    >>> sample = {"image": torch.rand(1, 3, 32, 32), "boxes": boxes, "box_labels": torch.tensor([[1]])}
    >>> RandomIoUCrop()(sample)["image"].shape
    torch.Size([1, 3, 32, 32])
    """

    def __init__(
        self,
        min_scale: float = 0.3,
        max_scale: float = 1.0,
        min_aspect_ratio: float = 0.5,
        max_aspect_ratio: float = 2.0,
        sampler_options: Sequence[float] | None = None,
        trials: int = 40,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        who = "RandomIoUCrop"
        self.min_scale, self.max_scale = arguments.between((min_scale, max_scale), who, "scales", 0, 1)
        ratios = arguments.between((min_aspect_ratio, max_aspect_ratio), who, "aspect ratios", 0)
        self.min_aspect_ratio, self.max_aspect_ratio = ratios
        usual = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
        self.sampler_options = arguments.finite(usual if sampler_options is None else sampler_options)
        if not self.sampler_options or min(self.sampler_options) < 0:
            raise ValueError(
                f"{who}: sampler_options must be overlaps of at least 0, one or more, got {sampler_options!r}"
            )
        self.trials = arguments.whole(trials, who, "trials", 1)
        self.uniforms = 1 + 4 * trials

    def guide(self, batch: Batch, u: Tensor, chosen: Tensor, size: Sizes) -> Tensor:
        boxes, there = _boxes(batch, "RandomIoUCrop")
        parts, proper = self._parts(u[:, 1:].unflatten(1, (self.trials, 4)), size)
        centred_in = _contains_centres(parts[:, :, None], boxes[:, None]) & there[:, None]  # (B, trials, N)
        overlap = torch.where(centred_in, _overlap(parts[:, :, None], boxes[:, None]), -1.0)
        most = F.pad(overlap, (0, 1), value=-1.0).amax(-1)  # the padding is for batches without any box
        most = torch.where(proper, most, -1.0)
        least = torch.stack([most.new_full((), option) for option in self.sampler_options])
        meets = most[:, None] >= least[:, None]  # (B, options, trials)
        possible = meets.any(-1) | (least >= 1)
        option = _pick(u[:, 0], possible)
        first = meets.gather(1, option[:, None, None].expand(-1, 1, self.trials))[:, 0].to(torch.int64).argmax(1)
        part = parts.gather(1, first[:, None, None].expand(-1, 1, 4))[:, 0]
        whole = torch.stack([torch.zeros_like(part[:, 0])] * 2 + [size.height, size.width], 1)
        stays = (least[option] >= 1) | ~possible.any(1)
        return torch.where(stays[:, None], whole, part)

    def _parts(self, u: Tensor, size: Sizes) -> tuple[Tensor, Tensor]:
        """Parts (B, trials, 4) as top, left, height, width, and which have the proportions asked for."""
        full_height, full_width = size.height[:, None], size.width[:, None]
        width = (full_width * uniform(u[..., 0], self.min_scale, self.max_scale) + EPSILON).floor()
        height = (full_height * uniform(u[..., 1], self.min_scale, self.max_scale) + EPSILON).floor()
        left, top = ((full_width - width) * u[..., 2]).floor(), ((full_height - height) * u[..., 3]).floor()
        proper = (width >= self.min_aspect_ratio * height) & (width <= self.max_aspect_ratio * height)
        return torch.stack([top, left, height, width], -1), proper & (width > 0) & (height > 0)

    def settle(self, before: Batch, after: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if before.boxes is None or after.boxes is None:
            return after
        gone = chosen[:, None] & ~_contains_centres(u[:, None], before.boxes.to(u.dtype))
        labels, weights = after.box_labels, after.box_weights
        return after.replace(
            boxes=torch.where(gone[..., None], 0, after.boxes),
            box_labels=None if labels is None else torch.where(gone, -1, labels),
            box_weights=None if weights is None else torch.where(gone, 0, weights),
        )


class BBoxSafeRandomCrop(_RaggedCrop):
    """Cut out a part that holds all boxes, as albumentations' transform of this name.

    Each side is drawn between the image's edge and the boxes, outwards to a whole pixel. Without boxes: a part of the
    image's proportions, of at least 1 - `erosion_rate` of its height.

    Images come out in different sizes on the canvas they had; `Batch.size` has their sizes.

    Args:
        erosion_rate: share of the smallest frame around all boxes that may be cut off, half at each side, in [0, 1].
        p: chance per sample.

    >>> boxes = torch.tensor([[[4.0, 4.0, 20.0, 20.0]]])
    >>> BBoxSafeRandomCrop()({"image": torch.rand(1, 3, 32, 32), "boxes": boxes})["image"].shape
    torch.Size([1, 3, 32, 32])
    """

    uniforms = 4

    def __init__(self, erosion_rate: float = 0.0, p: float = 1.0) -> None:
        super().__init__(p)
        self.erosion_rate = arguments.number(erosion_rate, "BBoxSafeRandomCrop", "erosion_rate", 0, 1)

    def guide(self, batch: Batch, u: Tensor, chosen: Tensor, size: Sizes) -> Tensor:
        boxes, there = _boxes(batch, "BBoxSafeRandomCrop")
        full = torch.stack([size.width, size.height], 1)  # (B, 2) x y
        low, high = (
            torch.where(there[..., None], corner, far)
            for corner, far in zip(boxes.split(2, -1), (torch.inf, -torch.inf), strict=True)
        )
        none = torch.zeros_like(full)[:, None]
        low, high = torch.cat([low, full[:, None]], 1).amin(1).clamp(min=0), torch.cat([high, none], 1).amax(1)
        high = torch.minimum(high, full)
        eroded = (high - low) * (self.erosion_rate / 2)
        low, high = low + eroded, high - eroded
        start, end = (low * u[:, :2]).floor(), (high + (full - high) * u[:, 2:]).ceil()
        framed = torch.stack([start[:, 1], start[:, 0], end[:, 1] - start[:, 1], end[:, 0] - start[:, 0]], 1)
        held = there.any(1) & (high > low).all(1)
        return torch.where(held[:, None], framed, self._anywhere(u, size))

    def _anywhere(self, u: Tensor, size: Sizes) -> Tensor:
        least = (size.height * (1 - self.erosion_rate) + EPSILON).floor()
        height = (least + (size.height - least + 1) * u[:, 0]).floor().clamp(min=1)
        width = (height * size.width / size.height + EPSILON).floor().clamp(min=1)
        top, left = ((size.height - height) * u[:, 1]).floor(), ((size.width - width) * u[:, 2]).floor()
        return torch.stack([top, left, height, width], 1)


class AtLeastOneBBoxRandomCrop(_FixedCrop):
    """Cut out a part of fixed size that holds a box drawn at random, as albumentations' transform of this name.

    A box larger than the part fills it on that axis. Without boxes: anywhere. In evaluation: the centre.

    Args:
        height: of the part, at most the image's.
        width: of the part, at most the image's.
        erosion_factor: share of the box's height and width that may be cut off, in [0, 1].
        p: chance per sample.

    >>> boxes = torch.tensor([[[4.0, 4.0, 20.0, 20.0]]])
    >>> AtLeastOneBBoxRandomCrop(24, 24)({"image": torch.rand(1, 3, 32, 32), "boxes": boxes})["image"].shape
    torch.Size([1, 3, 24, 24])
    """

    uniforms = 3

    def __init__(self, height: int, width: int, erosion_factor: float = 0.0, p: float = 1.0) -> None:
        super().__init__(height, width, p)
        self.erosion_factor = arguments.number(erosion_factor, "AtLeastOneBBoxRandomCrop", "erosion_factor", 0, 1)

    def guide(self, batch: Batch, u: Tensor, chosen: Tensor, size: Sizes) -> Tensor:
        boxes, there = _boxes(batch, "AtLeastOneBBoxRandomCrop")
        nothing = torch.stack([torch.zeros_like(size.width)] * 2 + [size.width, size.height], 1)
        boxes = torch.cat([boxes, nothing[:, None]], 1)  # the image itself, taken where there is no box
        there = torch.cat([there, ~there.any(1, keepdim=True)], 1)
        picked = _pick(u[:, 0], there)
        x0, y0, x1, y1 = boxes.gather(1, picked[:, None, None].expand(-1, 1, 4))[:, 0].unbind(-1)
        bottom, right = self.room(size)
        top = self._start(u[:, 1], y0, y1, self.height, bottom)
        return self.found(top, self._start(u[:, 2], x0, x1, self.width, right))

    def _start(self, u: Tensor, low: Tensor, high: Tensor, length: int, last: Tensor) -> Tensor:
        """First pixel of the part along one axis, so that it holds what must be kept of the box from low to high."""
        kept = (high - low) * (1 - self.erosion_factor)
        ends = ((low + kept - length).ceil(), (high - kept).floor())
        least, most = (torch.minimum(end.clamp(min=0), last) for end in (torch.minimum(*ends), torch.maximum(*ends)))
        return torch.minimum((least + u * (most - least + 1)).floor(), most)


class CropNonEmptyMaskIfExists(_FixedCrop):
    """Cut out a part of fixed size that shows some of the mask, as albumentations' transform of this name.

    A pixel of the mask is drawn, each as likely as the others, then a part that holds it. Where the mask is empty:
    anywhere. In evaluation: the centre.

    Args:
        height: of the part, at most the image's.
        width: of the part, at most the image's.
        ignore_values: classes that count as empty, besides 0.
        ignore_channels: planes of the mask that do not count; not for videos.
        p: chance per sample.

    >>> mask = torch.zeros(1, 1, 32, 32, dtype=torch.int64)
    >>> mask[..., 20, 5] = 1
    >>> crop = CropNonEmptyMaskIfExists(8, 8)({"image": torch.rand(1, 3, 32, 32), "mask": mask})
    >>> crop["mask"].sum().item()
    1
    """

    uniforms = 3

    def __init__(
        self,
        height: int,
        width: int,
        ignore_values: Sequence[int] | None = None,
        ignore_channels: Sequence[int] | None = None,
        p: float = 1.0,
    ) -> None:
        super().__init__(height, width, p)
        self.ignore_values, self.ignore_channels = ignore_values, ignore_channels
        if self.ignore_channels:
            self.clips = "refused"  # the planes of all frames stand in one row

    def guide(self, batch: Batch, u: Tensor, chosen: Tensor, size: Sizes) -> Tensor:
        if batch.mask is None:
            raise TypeError(f"CropNonEmptyMaskIfExists: expected a batch with a mask, got {sorted(batch.present())}")
        shown = self._shown(batch.mask, size)
        so_far = shown.flatten(1).to(torch.int64).cumsum(1)  # (B, H W)
        count = so_far[:, -1:]
        wanted = torch.minimum((u[:, :1] * count).floor() + 1, count)
        place = (so_far < wanted).sum(1)  # the first place where as many are reached
        y, x = place // shown.shape[-1], place % shown.shape[-1]
        bottom, right = self.room(size)
        top, left = (
            torch.where(
                count[:, 0] > 0,
                torch.minimum((at - (draw * length).floor()).clamp(min=0), last),
                (draw * (last + 1)).floor(),
            )
            for at, draw, length, last in ((y, u[:, 1], self.height, bottom), (x, u[:, 2], self.width, right))
        )
        return self.found(top, left)

    def _shown(self, mask: Tensor, size: Sizes) -> Tensor:
        """(B, H, W) bool: where the mask is not empty, on the images' own pixels."""
        full = mask != 0
        for value in self.ignore_values or ():
            full = full & (mask != value)
        ignored = set(self.ignore_channels or ())
        kept = [plane for i, plane in enumerate(full.unbind(1)) if i not in ignored]
        rows, columns = (torch.arange(n, device=mask.device) for n in mask.shape[-2:])
        own = (rows < size.height[:, None])[:, :, None] & (columns < size.width[:, None])[:, None]
        return own & torch.stack(kept, 1).any(1) if kept else torch.zeros_like(own)


def _boxes(batch: Batch, who: str) -> tuple[Tensor, Tensor]:
    """Upright boxes (B, N, 4) in floating point, and (B, N) bool: which there are."""
    if batch.boxes is None:
        raise TypeError(f"{who}: expected a batch with boxes, got {sorted(batch.present())}")
    boxes = batch.boxes.to(torch.float32)
    if boxes.shape[-1] == 8:
        corners = boxes.unflatten(-1, (4, 2))
        boxes = torch.cat([corners.amin(-2), corners.amax(-2)], -1)
    return boxes, (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def _contains_centres(parts: Tensor, boxes: Tensor) -> Tensor:
    """Whether parts (..., 4), top, left, height, width, hold the centres of boxes (..., 4)."""
    top, left, height, width = parts.unbind(-1)
    x, y = (boxes[..., 0] + boxes[..., 2]) / 2, (boxes[..., 1] + boxes[..., 3]) / 2
    return (x > left) & (x < left + width) & (y > top) & (y < top + height)


def _overlap(parts: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union of parts (..., 4), top, left, height, width, and boxes (..., 4)."""
    top, left, height, width = parts.unbind(-1)
    x0, y0, x1, y1 = boxes.unbind(-1)
    across = (torch.minimum(x1, left + width) - torch.maximum(x0, left)).clamp(min=0)
    down = (torch.minimum(y1, top + height) - torch.maximum(y0, top)).clamp(min=0)
    both = across * down
    return both / (height * width + (x1 - x0) * (y1 - y0) - both).clamp(min=1e-6)


def _pick(u: Tensor, there: Tensor) -> Tensor:
    """One of those that are there (B, N), each as likely as the others: (B,) int64; 0 where there is none."""
    so_far = there.to(torch.int64).cumsum(1)
    wanted = (u[:, None] * so_far[:, -1:]).floor() + 1
    place = (so_far < wanted).sum(1)
    return torch.where(place < there.shape[1], place, 0)
