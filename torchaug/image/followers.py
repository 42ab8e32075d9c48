"""Boxes and keypoints that follow the pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.image.path import Path
from torchaug.transform import Sizes

EDGE = 8
"""Points along each edge of a box where geometry bends straight lines."""


def move_keypoints(keypoints: Tensor, path: Path) -> Tensor:
    """Keypoints (B, N, 2), pixel indices, moved to the output; those of samples that stay are bit-equal."""
    at = keypoints.to(torch.float64 if keypoints.dtype == torch.float64 else torch.float32)
    x, y = path.to_output(at[..., 0] + 0.5, at[..., 1] + 0.5)
    moved = torch.stack([x - 0.5, y - 0.5], -1)
    return _like(torch.where(path.still()[:, None, None], at, moved), keypoints)


def move_boxes(boxes: Tensor, path: Path, size: Sizes, clamp: bool = True) -> Tensor:
    """Boxes moved to the output.

    Args:
        boxes: (B, N, 4) upright: the smallest upright boxes around the moved ones come out; or (B, N, 8) corners: moved as
            they are.
        path: of the geometry.
        size: of the output.
        clamp: upright boxes to the output.
    """
    at = boxes.to(torch.float64 if boxes.dtype == torch.float64 else torch.float32)
    if boxes.shape[-1] == 8:
        return _like(_moved(at.unflatten(-1, (4, 2)), path).flatten(-2), boxes)
    outline = _moved(_outline(at, 1 if path.matrix is not None else EDGE), path)
    if not clamp:
        return _like(torch.cat([outline.amin(-2), outline.amax(-2)], -1), boxes)
    limit = torch.stack([size.width, size.height], 1)[:, None].to(at.dtype)  # (B, 1, 2)
    low, high = outline.amin(-2), outline.amax(-2)
    clamped = [torch.minimum(corner.clamp(min=0), limit) for corner in (low, high)]
    return _like(torch.cat(clamped, -1), boxes)


def _outline(boxes: Tensor, pieces: int) -> Tensor:
    """(B, N, 4 pieces, 2): points around upright boxes, corners among them."""
    share = torch.arange(pieces, device=boxes.device, dtype=boxes.dtype) / pieces
    x0, y0, x1, y1 = (edge[..., None] for edge in boxes.unbind(-1))
    across, down = (x1 - x0) * share, (y1 - y0) * share
    x = torch.cat([x0 + across, x1 + 0 * share, x1 - across, x0 + 0 * share], -1)
    y = torch.cat([y0 + 0 * share, y0 + down, y1 + 0 * share, y1 - down], -1)
    return torch.stack([x, y], -1)


def _moved(points: Tensor, path: Path) -> Tensor:
    x, y = path.to_output(points[..., 0].flatten(1), points[..., 1].flatten(1))
    return torch.stack([x, y], -1).view(points.shape)


def _like(values: Tensor, original: Tensor) -> Tensor:
    """In the caller's dtype; rounded where that holds whole pixels."""
    if original.is_floating_point():
        return values.to(original.dtype)
    return values.round().to(original.dtype)


def swap_keypoints(keypoints: Tensor, order: tuple[int, ...], chosen: Tensor, who: str) -> Tensor:
    """Keypoints (B, N, ...) of the chosen samples in another order: left and right exchanged after a flip."""
    if len(order) != keypoints.shape[1]:
        raise ValueError(f"{who}: keypoint_swap has {len(order)} places, the batch {keypoints.shape[1]} keypoints")
    swapped = torch.stack([keypoints[:, i] for i in order], 1)
    return torch.where(chosen.view(-1, *[1] * (keypoints.ndim - 1)), swapped, keypoints)


def swap_classes(mask: Tensor, pairs: tuple[tuple[int, int], ...], chosen: Tensor) -> Tensor:
    """A mask (B, N, H, W) with classes exchanged in pairs in the chosen samples."""
    swapped = mask
    for left, right in pairs:
        swapped = torch.where(mask == left, right, torch.where(mask == right, left, swapped))
    return torch.where(chosen[:, None, None, None], swapped, mask)
