"""What becomes of labels when pixels of two images are joined: soft labels, and the boxes and keypoints still seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.batch import Batch
from torchaug.transfer import readable


def soft(label: Tensor, num_classes: int | None, who: str) -> Tensor:
    """Labels that can be mixed: class numbers (B,) as rows of 0 and 1 (B, num_classes) float32, soft ones as they are.

    Class numbers are checked where that waits for nothing, on a CPU outside a graph; elsewhere one that is out of range
    becomes a row of zeros.

    Raises:
        TypeError: for whole numbers that are not one per sample.
        ValueError: for class numbers without `num_classes` or not below it, or soft labels of another width.

    >>> soft(torch.tensor([2, 0]), 3, "MixUp").tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if label.is_floating_point():
        if label.ndim == 2 and num_classes not in (None, label.shape[1]):
            raise ValueError(f"{who}: soft labels must be (B, num_classes={num_classes}), got {tuple(label.shape)}")
        return label
    if label.ndim != 1:
        raise TypeError(
            f"{who}: label must be class numbers (B,) or floating-point soft labels (B, num_classes), got {label.dtype} "
            f"{tuple(label.shape)}; convert soft labels with label.float()"
        )
    if num_classes is None:
        raise ValueError(
            f"{who}: class numbers need {who}(num_classes=...) to become soft labels, got num_classes=None"
        )
    if readable(label) and len(label):
        low, high = int(label.min()), int(label.max())
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"{who}: class numbers must be from 0 to num_classes - 1 = {num_classes - 1}, got {low} to {high}"
            )
    return (label[:, None] == torch.arange(num_classes, device=label.device)).to(torch.float32)


def smooth(label: Tensor, smoothing: float, who: str) -> Tensor:
    """Soft labels (B, K) with a share `smoothing` spread evenly over all classes (Szegedy et al., 2015)."""
    if label.ndim != 2:
        raise ValueError(f"{who}: soft labels to be smoothed must be (B, num_classes), got {tuple(label.shape)}")
    return label * (1 - smoothing) + smoothing / label.shape[-1]


def mixed(values: Tensor, parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """`values` (B, ...) mixed of `parts`: whose (B,), and with which share (B,)."""
    shape = (-1, *[1] * (values.ndim - 1))
    return torch.stack([values[whose] * share.view(shape) for whose, share in parts]).sum(0)


class Boxes(NamedTuple):
    """Boxes (B, N, 4), and their labels and weights (B, N), where they have these."""

    boxes: Tensor
    box_labels: Tensor | None = None
    box_weights: Tensor | None = None

    def of(self, whose: Tensor) -> Boxes:
        """Those of other samples (B,)."""
        return Boxes(*(None if value is None else value[whose] for value in self))  # type: ignore[arg-type]

    def kept(self, boxes: Tensor, where: Tensor) -> Boxes:
        """`boxes` in the place of its own where (B, N); else none: zeros, -1 and 0."""
        labels, weights = self.box_labels, self.box_weights
        return Boxes(
            torch.where(where[..., None], boxes, 0),
            None if labels is None else torch.where(where, labels, -1),
            None if weights is None else torch.where(where, weights, 0),
        )

    def weighing(self, share: Tensor | None) -> Boxes:
        """With weights times a share (B,); as they are where there is none."""
        if share is None or self.box_weights is None:
            return self
        return self._replace(box_weights=self.box_weights * share[:, None].to(self.box_weights.dtype))

    def fields(self) -> dict[str, Tensor]:
        """What a batch gets of them."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def boxes_of(batch: Batch) -> Boxes:
    """Those of a batch that has some."""
    assert batch.boxes is not None
    return Boxes(batch.boxes, batch.box_labels, batch.box_weights)


def joined(parts: Sequence[Boxes]) -> Boxes:
    """Boxes of several images as those of one."""
    columns = ([value for value in values if value is not None] for values in zip(*parts, strict=True))
    return Boxes(*(torch.cat(column, 1) if column else None for column in columns))  # type: ignore[arg-type]


def visible_boxes(boxes: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """What is left of boxes where only some pixels are seen.

    Args:
        boxes: (B, N, 4) x0, y0, x1, y1.
        seen: (B, H, W) bool.

    Returns:
        (B, N, 4) the tight box around the seen pixels of each box, no larger than the box; and (B, N), the seen
        share of its pixels (those that it touches, outside the image too).

    >>> seen = torch.ones(1, 8, 8, dtype=torch.bool)
    >>> seen[:, :, 4:] = False
    >>> visible_boxes(torch.tensor([[[2.0, 0, 6, 8]]]), seen)
    (tensor([[[2., 0., 4., 8.]]]), tensor([[0.5000]]))
    """
    at = boxes if boxes.dtype == torch.float64 else boxes.to(torch.float32)
    low, high = at[..., :2].floor(), at[..., 2:].ceil()
    touched = (high - low).clamp(min=0).prod(-1)
    (left, right), (top, bottom) = ((torch.stack([low[..., i], high[..., i]])).unbind(0) for i in (0, 1))
    per_row = _counts(seen, left, right, top, bottom)  # (B, H, N)
    per_column = _counts(seen.mT, top, bottom, left, right)  # (B, W, N)
    x0, x1 = _extent(per_column)
    y0, y1 = _extent(per_row)
    tight = torch.stack(
        [
            torch.maximum(at[..., 0], x0),
            torch.maximum(at[..., 1], y0),
            torch.minimum(at[..., 2], x1),
            torch.minimum(at[..., 3], y1),
        ],
        -1,
    )
    return tight.to(boxes.dtype), per_row.sum(1) / touched.clamp(min=1)


def _counts(seen: Tensor, start: Tensor, stop: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Seen pixels (B, H, N) of each row from column `start` to `stop` (B, N), in the rows from `first` to `last`."""
    height, width = seen.shape[-2:]
    before = F.pad(seen.cumsum(2, dtype=torch.int32), (1, 0))  # (B, H, W + 1)
    start, stop = (
        before.gather(2, at.clamp(0, width).to(torch.int64)[:, None].expand(-1, height, -1)) for at in (start, stop)
    )
    rows = torch.arange(height, device=seen.device)[:, None]
    return (stop - start).clamp(min=0) * ((rows >= first[:, None]) & (rows < last[:, None]))


def _extent(counts: Tensor) -> tuple[Tensor, Tensor]:
    """From the first to after the last of L places (B, L, N) with a count above 0: (B, N) each."""
    places = torch.arange(counts.shape[1], device=counts.device)[:, None]
    some = counts > 0
    return torch.where(some, places, counts.shape[1]).amin(1), torch.where(some, places + 1, 0).amax(1)


def boxes_around(boxes: Tensor, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """What is left of boxes (B, N, 4) whose objects' masks (B, N, H, W) bool have lost pixels.

    Returns:
        (B, N, 4) the part of each box around its pixels `after`, or the box itself where it lost none; and (B, N) the share
        of its pixels that is left.
    """
    left, had = after.sum((2, 3)), before.sum((2, 3))
    share = torch.where(left == had, 1.0, left / had.clamp(min=1))
    (x0, x1), (y0, y1) = (_extent(after.any(dim).to(torch.int32).mT) for dim in (2, 3))
    low, high = torch.stack([x0, y0], -1), torch.stack([x1, y1], -1)
    tight = torch.cat([torch.maximum(boxes[..., :2], low), torch.minimum(boxes[..., 2:], high)], -1)
    return torch.where((left == had)[..., None], boxes, tight.to(boxes.dtype)), share


def visible_points(points: Tensor, seen: Tensor) -> Tensor:
    """(B, N) bool: which keypoints (B, N, 2) lie on pixels that are seen (B, H, W)."""
    height, width = seen.shape[-2:]
    x, y = (points + 0.5).floor().unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).to(torch.int64)
    return inside & seen.flatten(1).gather(1, index)


def large_enough(boxes: Tensor, share: Tensor, min_area: float, min_visibility: float) -> Tensor:
    """(B, N) bool: which boxes have an area of at least `min_area` pixels, and are seen by at least `min_visibility`."""
    wide, tall = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).unbind(-1)
    area = wide * tall
    return (area > 0) & (area >= min_area) & (share > 0) & (share >= min_visibility)


def check(batch: Batch, who: str, *, ragged: bool = False) -> Tensor:
    """The image, or an error where the batch has something that cannot be mixed."""
    if batch.image is None:
        raise TypeError(f"{who}: expected a batch with an image, got {sorted(batch.present())}")
    if batch.size is not None and not ragged:
        raise ValueError(f"{who}: images must have one size, got padded ones; resize or crop them before")
    if batch.boxes is not None and batch.boxes.shape[-1] != 4:
        raise ValueError(
            f"{who}: boxes must be upright (B, N, 4), got {tuple(batch.boxes.shape)}; leave rotated ones out"
        )
    if batch.keypoints is not None and batch.visible is None:
        raise ValueError(
            f"{who}: keypoints need visible (B, N) bool beside them, where hidden ones are marked, got none; "
            "pass torch.ones(keypoints.shape[:2], dtype=torch.bool)"
        )
    return batch.image
