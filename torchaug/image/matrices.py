"""3 x 3 matrices (B, 3, 3) that map output coordinates to input coordinates: `in = m @ (x_out, y_out, 1)`.

Coordinates are edges of pixels: an image of width W covers x from 0 to W, the centre of pixel j is at j + 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def matrix(rows: Sequence[Sequence[Tensor | float]], like: Tensor) -> Tensor:
    """Rows of entries, numbers or tensors (B,), as (B, 3, 3) on the device of `like` (B,)."""
    entries = [e if isinstance(e, Tensor) else like.new_full(like.shape, e) for row in rows for e in row]
    return torch.stack(entries, -1).view(*like.shape, 3, 3)


def identity(count: int, like: Tensor) -> Tensor:
    """(count, 3, 3) that change nothing."""
    return torch.eye(3, device=like.device, dtype=like.dtype).expand(count, 3, 3)


def aligned(scale_y: Tensor, shift_y: Tensor, scale_x: Tensor, shift_x: Tensor) -> Tensor:
    """x_in = scale_x * x_out + shift_x, and y likewise, from tensors (B,)."""
    return matrix([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y], [0.0, 0.0, 1.0]], scale_y)


def about(linear: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A linear map (B, 2, 2) about the point (x, y), each (B,), as (B, 3, 3)."""
    (a, b), (c, d) = linear[:, 0].unbind(-1), linear[:, 1].unbind(-1)
    return matrix([[a, b, x - a * x - b * y], [c, d, y - c * x - d * y], [0.0, 0.0, 1.0]], x)


def inverse(m: Tensor) -> Tensor:
    """The inverse of (B, 3, 3); without the check for singular ones, which would wait for the device."""
    inverted: Tensor = torch.linalg.inv_ex(m).inverse
    return inverted


def transform(x: Tensor, y: Tensor, m: Tensor, projective: bool = False) -> tuple[Tensor, Tensor]:
    """Points x, y (B, P) moved by matrices (B, 3, 3); by their third row too where they are projective."""
    e = m.to(x.dtype)[:, :, :, None]
    moved_x, moved_y = (e[:, i, 0] * x + e[:, i, 1] * y + e[:, i, 2] for i in (0, 1))
    if not projective:
        return moved_x, moved_y
    depth = e[:, 2, 0] * x + e[:, 2, 1] * y + e[:, 2, 2]
    depth = torch.where(depth.abs() < 1e-6, 1e-6, depth)  # a point at infinity lands far outside instead
    return moved_x / depth, moved_y / depth
