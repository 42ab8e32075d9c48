"""What is left of labels after a transform: boxes lost, mask area kept, keypoints out of frame, clipped pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.boxes import sides
from torchaug.compose import Compose, Container
from torchaug.image.labels import heights_and_widths
from torchaug.image.resample import own_pixels
from torchaug.transform import Layer, Params, canvas_of

GRID = 16
"""Points across and down a box whose share in view stands for its area's."""


@dataclass(frozen=True)
class LabelSurvival:
    """What is left of a batch's labels; a field is None where the batch has no such labels.

    Args:
        image_kept: (B,) share of the image that is still in view.
        boxes_before: (B,) boxes with area; boxes_lost: (B,) how many of them have none afterwards.
        box_area_kept: (B, N) share of each box's area still in view; NaN for a box without area.
        classes: (K,) classes of the mask, 0 (background) left out; any value but 0 is one class, 1, in a float mask.
        mask_area_kept: (B, K) share of each class's area still in view; NaN where a sample has none of it.
        keypoints_before: (B,) keypoints seen; keypoints_out: (B,) how many of them are out of frame afterwards.
        clipped: (B,) share of the values in view that came to lie at an end of the range, 0 or 1 (255), beyond those that
            lay there before; None where a normalisation left that range.
    """

    image_kept: Tensor
    boxes_before: Tensor | None = None
    boxes_lost: Tensor | None = None
    box_area_kept: Tensor | None = None
    classes: Tensor | None = None
    mask_area_kept: Tensor | None = None
    keypoints_before: Tensor | None = None
    keypoints_out: Tensor | None = None
    clipped: Tensor | None = None

    def summary(self) -> str:
        """A line for each kind of label: the whole batch, and the sample that lost most."""
        lines = [f"image: {_kept(self.image_kept[:, None])}"]
        if self.boxes_before is not None and self.boxes_lost is not None and self.box_area_kept is not None:
            lines.append(f"boxes: {_of(self.boxes_lost, self.boxes_before)} lost; area {_kept(self.box_area_kept)}")
        if self.classes is not None and self.mask_area_kept is not None:
            for name, share in zip(self.classes.tolist(), self.mask_area_kept.unbind(1), strict=True):
                lines.append(f"mask class {name}: area {_kept(share[:, None])}")
        if self.keypoints_before is not None and self.keypoints_out is not None:
            lines.append(f"keypoints: {_of(self.keypoints_out, self.keypoints_before)} out of frame")
        if self.clipped is not None:
            lines.append(f"pixels: {_percent(self.clipped.mean())} clipped on average")
        return "\n".join(lines)


def _percent(share: Tensor) -> str:
    return f"{100 * float(share):.1f} %"


def _of(part: Tensor, whole: Tensor) -> str:
    return f"{int(part.sum())} of {int(whole.sum())}"


def _kept(shares: Tensor) -> str:
    """In words, from (B, n) with NaN where there is nothing to keep."""
    if bool(shares.isnan().all()):
        return "none to keep"
    least = torch.nan_to_num(shares, nan=2.0).amin(1)
    worst = int(least.argmin())
    return f"{_percent(shares.nanmean())} kept on average, at least {_percent(least[worst])} (sample {worst})"


def label_survival(layer: Layer, params: Params, batch: Batch) -> LabelSurvival:
    """What a transform leaves of a batch's labels: before a training run, for people and logs.

    Shares of area are counted on the original image: which of its pixels come to lie within the output. Scaling thus
    loses nothing. Erasing and mixing hide pixels without moving labels, and are not counted.

    Args:
        layer: the transform, or a container of transforms.
        params: from `layer.draw(batch)`.
        batch: before the transform.

    Raises:
        TypeError: for a batch without image and mask, or of videos.

    >>> from torchaug.image import CenterCrop
    >>> boxes = torch.tensor([[[0.0, 0.0, 4.0, 8.0], [0.0, 0.0, 2.0, 2.0]]])
    >>> batch = Batch(image=torch.zeros(1, 3, 8, 8), boxes=boxes)
    >>> crop = CenterCrop(4)
    >>> found = label_survival(crop, crop.draw(batch), batch)
    >>> found.boxes_lost.tolist(), found.box_area_kept.tolist()
    ([1], [[0.25, 0.0]])
    """
    if batch.video is not None:
        raise TypeError("label_survival: expected images, got a video; pass its frames as a batch of images")
    if canvas_of(batch) is None:
        raise TypeError(f"label_survival: expected a batch with an image or a mask, got {sorted(batch.present())}")
    container = layer if isinstance(layer, Container) else Compose([layer])
    with torch.no_grad():
        after = container.play(batch, params)
        visible = _visible(container, params, batch, after)
        kept = visible.flatten(1).sum(1) / _own(batch).flatten(1).sum(1)
        return LabelSurvival(
            kept.to(torch.float32),
            **_boxes(batch, after, visible),
            **_masks(batch, visible),
            **_keypoints(batch, after),
            clipped=_clipped(container, params, batch, after),
        )


def _own(batch: Batch) -> Tensor:
    """(B, 1, H, W) uint8: 1 on each image's own pixels."""
    canvas = canvas_of(batch) or (0, 0)
    ones = torch.ones(len(batch), 1, *canvas, dtype=torch.uint8, device=batch.device)
    return ones if batch.size is None else ones * own_pixels(ones, batch.size)


def _visible(container: Container, params: Params, batch: Batch, after: Batch) -> Tensor:
    """(B, 1, H, W) bool: which of the original pixels lie within the output."""
    back = container.inverse(Batch(mask=_own(after), size=after.size), params).present()["mask"]
    return (_own(batch) * back).bool()


def _boxes(batch: Batch, after: Batch, visible: Tensor) -> dict[str, Tensor]:
    if batch.boxes is None or after.boxes is None:
        return {}
    before, now = (_has_area(boxes) for boxes in (batch.boxes, after.boxes))
    if batch.boxes.shape[-1] == 8:
        origin, second, _, fourth = batch.boxes.float().split(2, -1)
    else:
        x0, y0, x1, y1 = batch.boxes.float().split(1, -1)
        origin, second, fourth = torch.cat([x0, y0], -1), torch.cat([x1, y0], -1), torch.cat([x0, y1], -1)
    at = (torch.arange(GRID, device=batch.device) + 0.5) / GRID
    s, t = torch.meshgrid(at, at, indexing="xy")
    s, t = s.flatten()[:, None], t.flatten()[:, None]
    points = origin[:, :, None] + s * (second - origin)[:, :, None] + t * (fourth - origin)[:, :, None]
    share = _looked_up(visible, points.flatten(1, 2)).unflatten(1, (-1, GRID * GRID)).mean(-1)
    lost = (before.sum(1) - now.sum(1)).clamp(min=0)
    return {
        "boxes_before": before.sum(1),
        "boxes_lost": lost,
        "box_area_kept": torch.where(before, share, torch.nan),
    }


def _has_area(boxes: Tensor) -> Tensor:
    wide, tall = sides(boxes)
    return (wide > 0) & (tall > 0)


def _looked_up(visible: Tensor, points: Tensor) -> Tensor:
    """(B, P) float: 1 where the pixel under a point (B, P, 2) is visible; points beyond the image are at its edge."""
    height, width = visible.shape[-2:]
    x, y = (
        axis.floor().clamp(0, length - 1).long()
        for axis, length in zip(points.unbind(-1), (width, height), strict=True)
    )
    return visible.flatten(1).gather(1, y * width + x).to(torch.float32)


def _masks(batch: Batch, visible: Tensor) -> dict[str, Tensor]:
    if batch.mask is None:
        return {}
    mask = (batch.mask != 0).to(torch.uint8) if batch.mask.is_floating_point() else batch.mask.to(torch.int64)
    mask = mask * _own(batch)
    found = mask.unique()
    classes = found[found != 0]
    shares = []
    for value in classes:
        here = mask == value
        shares.append((here & visible).flatten(1).sum(1) / here.flatten(1).sum(1))  # 0 / 0 is NaN: none of the class
    kept = torch.stack(shares, 1) if shares else visible.new_zeros(len(batch), 0, dtype=torch.float32)
    return {"classes": classes, "mask_area_kept": kept}


def _keypoints(batch: Batch, after: Batch) -> dict[str, Tensor]:
    if batch.keypoints is None or after.keypoints is None:
        return {}
    before, now = _seen(batch, batch.keypoints).sum(1), _seen(after, after.keypoints).sum(1)
    return {"keypoints_before": before, "keypoints_out": (before - now).clamp(min=0)}


def _seen(batch: Batch, keypoints: Tensor) -> Tensor:
    """(B, N) bool: which keypoints are visible and on a pixel of their image."""
    height, width = heights_and_widths(batch, "label_survival")
    x, y = (keypoints + 0.5).unbind(-1)
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return within if batch.visible is None else within & batch.visible


def _clipped(container: Container, params: Params, batch: Batch, after: Batch) -> Tensor | None:
    if batch.image is None or after.image is None:
        return None
    in_view = container.play(batch.replace(mask=_own(batch)), params).mask
    before, now = _at_ends(batch.image, _own(batch)), _at_ends(after.image, in_view)
    return None if before is None or now is None else (now - before).clamp(min=0)


def _at_ends(image: Tensor, within: Tensor | None) -> Tensor | None:
    """(B,) share of values at an end of the range; None where an image leaves it."""
    top = 255 if image.dtype == torch.uint8 else 1
    if within is None or bool(((image < -1e-3) | (image > top + 1e-3)).any()):
        return None
    ends = ((image <= 0) | (image >= top)) & (within != 0)
    return ends.flatten(1).sum(1) / (within != 0).expand_as(image).flatten(1).sum(1).clamp(min=1)
