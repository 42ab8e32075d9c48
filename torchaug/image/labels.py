"""Boxes and keypoints put in order: clamped to the image, dropped where nothing is left of them, in another format."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.boxes import BoxForm, BoxFormat, Clamping, clamp_boxes, sides
from torchaug.image import arguments
from torchaug.transform import Folding, Transform, canvas_of


class ClampBoundingBoxes(Transform):
    """Clamp boxes to their images, as torchvision's transform of this name.

    Upright boxes (B, N, 4) are clamped by every geometric transform already; rotated ones (B, N, 8) only here, and where
    tv_tensors go back to the caller. Boxes wholly outside become zeros or a line: they have no area.

    Args:
        clamping_mode: for rotated boxes, which keep their angle: "soft": the smallest box around what lies within the
            image; "hard": the largest within the image; None leaves all boxes as they are.

    >>> batch = Batch(image=torch.zeros(1, 3, 8, 8), boxes=torch.tensor([[[-3.0, 2.0, 5.0, 9.0]]]))
    >>> ClampBoundingBoxes()(batch).boxes.tolist()
    [[[0.0, 2.0, 5.0, 8.0]]]
    """

    always = True

    def __init__(self, clamping_mode: Clamping = "soft") -> None:
        super().__init__()
        self.clamping_mode = arguments.one_of(
            clamping_mode, "ClampBoundingBoxes", "clamping_mode", ("soft", "hard", None)
        )

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if batch.boxes is None:
            return batch
        height, width = heights_and_widths(batch, "ClampBoundingBoxes")
        return batch.replace(boxes=clamp_boxes(batch.boxes, height, width, self.clamping_mode))


class SetClampingMode(Transform):
    """Set how the steps after it keep boxes within their images, as torchvision's transform of this name.

    Upright boxes are clamped by every run of geometric steps, or with None by none of those that follow in a `Compose`.
    Rotated boxes are clamped once, where tv_tensors go back to the caller, by the mode that was set last. tv_tensors get
    the mode as their `clamping_mode`.

    Args:
        clamping_mode: "soft", "hard" or None: see `ClampBoundingBoxes`.

    >>> from torchaug import Compose
    >>> from torchaug.image import RandomTranslate
    >>> batch = Batch(image=torch.zeros(1, 3, 8, 8), boxes=torch.tensor([[[-3.0, 2.0, 5.0, 9.0]]]))
    >>> Compose([SetClampingMode(None), RandomTranslate((0.0, 0.0))])(batch).boxes.tolist()
    [[[-3.0, 2.0, 5.0, 9.0]]]
    """

    always = True
    clips = "whole"

    def __init__(self, clamping_mode: Clamping) -> None:
        super().__init__()
        modes: tuple[Clamping, ...] = ("soft", "hard", None)
        self.clamping_mode: Clamping = arguments.one_of(clamping_mode, "SetClampingMode", "clamping_mode", modes)

    @property
    def box_form(self) -> BoxForm:
        return BoxForm(clamping=self.clamping_mode)

    def folding_after(self, before: Folding) -> Folding:
        return replace(before, clamping=self.clamping_mode)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return batch


class ConvertBoundingBoxFormat(Transform):
    """Give boxes back in another format, as torchvision's transform of this name.

    tv_tensors change their format; plain tensors of boxes, which come in as XYXY or as corners, come out in it. Wherever it
    stands in a `Compose`, it acts at the end: the other steps, and a `Batch` that is passed, have XYXY or corners.

    Args:
        format: "XYXY", "XYWH" or "CXCYWH" for upright boxes, "XYWHR", "CXCYWHR" or "XYXYXYXY" for rotated ones; or
            torchvision's `BoundingBoxFormat`.

    >>> sample = {"image": torch.zeros(3, 8, 8), "boxes": torch.tensor([[1.0, 2.0, 5.0, 8.0]])}
    >>> ConvertBoundingBoxFormat("XYWH")(sample)["boxes"].tolist()
    [[1.0, 2.0, 4.0, 6.0]]
    """

    always = True
    acts = False

    def __init__(self, format: BoxFormat) -> None:
        super().__init__()
        name: BoxFormat = getattr(format, "value", format)
        name = name.upper() if isinstance(name, str) else name  # type: ignore[assignment]
        self.format: BoxFormat = arguments.one_of(name, "ConvertBoundingBoxFormat", "format", get_args(BoxFormat))

    @property
    def box_form(self) -> BoxForm:
        return BoxForm(format=self.format)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return batch


class ClampKeyPoints(Transform):
    """Clamp keypoints to the centres of their image's pixels, as torchvision's transform of this name.

    >>> batch = Batch(image=torch.zeros(1, 3, 8, 8), keypoints=torch.tensor([[[-3.0, 9.0]]]))
    >>> ClampKeyPoints()(batch).keypoints.tolist()
    [[[0.0, 7.0]]]
    """

    always = True

    def __init__(self) -> None:
        super().__init__()

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if batch.keypoints is None:
            return batch
        height, width = heights_and_widths(batch, "ClampKeyPoints")
        last = torch.stack([width - 1, height - 1], -1).to(batch.keypoints.dtype)  # (B, 1, 2)
        return batch.replace(keypoints=torch.minimum(batch.keypoints.clamp(min=0), last))


class SanitizeBoundingBoxes(Transform):
    """Drop boxes that are too small or reach out of their image, as torchvision's transform of this name.

    A batch has a fixed number of places for boxes, so that nothing waits for the device: a dropped box becomes zeros,
    its class -1 and its weight 0.

    Args:
        min_size: least width and height in pixels, at least 1.
        min_area: least area in pixels, at least 1.
        compact: move the boxes that are kept to the front, in their order, and their classes and weights with them.
        instance_masks: the planes of the mask (B, N, H, W) belong to the boxes: they are emptied, and move, with them.

    Call `ClampBoundingBoxes` before where rotated boxes that reach out of the image should be kept.

    >>> boxes = torch.tensor([[[2.0, 2.0, 2.5, 6.0], [1.0, 1.0, 4.0, 4.0]]])
    >>> batch = Batch(image=torch.zeros(1, 3, 8, 8), boxes=boxes, box_labels=torch.tensor([[5, 7]]))
    >>> out = SanitizeBoundingBoxes(compact=True)(batch)
    >>> out.boxes.tolist(), out.box_labels.tolist()
    ([[[1.0, 1.0, 4.0, 4.0], [0.0, 0.0, 0.0, 0.0]]], [[7, -1]])
    """

    always = True

    def __init__(
        self, min_size: float = 1.0, min_area: float = 1.0, compact: bool = False, instance_masks: bool = False
    ) -> None:
        super().__init__()
        self.min_size = arguments.number(min_size, "SanitizeBoundingBoxes", "min_size", 1)
        self.min_area = arguments.number(min_area, "SanitizeBoundingBoxes", "min_area", 1)
        self.compact, self.instance_masks = compact, instance_masks

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        boxes = batch.boxes
        if boxes is None:
            return batch
        valid = self._valid(boxes, *heights_and_widths(batch, "SanitizeBoundingBoxes"))
        changes: dict[str, Tensor | None] = {"boxes": _blanked(boxes, valid, 0)}
        if batch.box_labels is not None:
            changes["box_labels"] = _blanked(batch.box_labels, valid, -1)
        if batch.box_weights is not None:
            changes["box_weights"] = _blanked(batch.box_weights, valid, 0)
        if self.instance_masks and batch.mask is not None:
            if batch.mask.shape[1] != boxes.shape[1]:
                raise ValueError(
                    "SanitizeBoundingBoxes: instance_masks=True needs a mask with a plane for each of the "
                    f"{boxes.shape[1]} boxes, got {batch.mask.shape[1]}"
                )
            changes["mask"] = _blanked(batch.mask, valid, 0)
        if self.compact:
            order = (~valid).to(torch.uint8).argsort(dim=1, stable=True)
            changes = {name: _reordered(value, order) for name, value in changes.items() if value is not None}
        return batch.replace(**changes)

    def _valid(self, boxes: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """(B, N) bool: which boxes are large enough and within their image."""
        wide, tall = sides(boxes)
        limits = torch.stack([width, height], -1).repeat(1, 1, boxes.shape[-1] // 2).to(wide.dtype)  # (B, 1, 4 or 8)
        within = ((boxes >= 0) & (boxes <= limits)).all(-1)
        return within & (wide >= self.min_size) & (tall >= self.min_size) & (wide * tall >= self.min_area)


class SanitizeKeyPoints(Transform):
    """Drop keypoints outside their image, as torchvision's transform of this name.

    A batch has a fixed number of places for keypoints: a dropped one becomes x = y = 0 and is no longer visible, as COCO
    marks a keypoint that is not labelled. `visible` is added to the batch where it had none.

    >>> batch = Batch(image=torch.zeros(1, 3, 8, 8), keypoints=torch.tensor([[[-3.0, 9.0], [2.0, 7.5]]]))
    >>> out = SanitizeKeyPoints()(batch)
    >>> out.keypoints.tolist(), out.visible.tolist()
    ([[[0.0, 0.0], [2.0, 7.5]]], [[False, True]])
    """

    always = True

    def __init__(self) -> None:
        super().__init__()

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if batch.keypoints is None:
            return batch
        height, width = heights_and_widths(batch, "SanitizeKeyPoints")
        x, y = batch.keypoints.unbind(-1)
        within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        visible = within if batch.visible is None else batch.visible & within
        return batch.replace(keypoints=_blanked(batch.keypoints, within, 0), visible=visible)


def heights_and_widths(batch: Batch, who: str) -> tuple[Tensor, Tensor]:
    """(B, 1) float32 heights and widths of the images."""
    canvas = canvas_of(batch)
    if canvas is None:
        raise TypeError(f"{who}: expected a batch with an image or a mask, got {sorted(batch.present())}")
    if batch.size is not None:
        height, width = batch.size.to(torch.float32).split(1, 1)
        return height, width
    any_field = next(iter(batch.present().values()))
    height, width = (any_field.new_full((len(batch), 1), length, dtype=torch.float32) for length in canvas)
    return height, width


def _blanked(values: Tensor, valid: Tensor, blank: int) -> Tensor:
    """`values` (B, N, ...) where `valid` (B, N), else `blank`."""
    return torch.where(valid.view(*valid.shape, *[1] * (values.ndim - 2)), values, values.new_full((), blank))


def _reordered(values: Tensor, order: Tensor) -> Tensor:
    """`values` (B, N, ...) in the order (B, N) along their second axis."""
    index = order.view(*order.shape, *[1] * (values.ndim - 2)).expand_as(values)
    return values.gather(1, index)
