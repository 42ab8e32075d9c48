"""4 x 4 matrices (B, 4, 4) that map output coordinates to input coordinates: `in = m @ (z_out, y_out, x_out, 1)`.

Axes are in the order of a volume's: depth, height, width. Coordinates are edges of voxels: an axis of length n goes
from 0 to n, the centre of voxel j is at j + 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.volume.arguments import Ranges, Shape


def identity(count: int, like: Tensor) -> Tensor:
    """(count, 4, 4) that change nothing."""
    return torch.eye(4, device=like.device, dtype=like.dtype).expand(count, 4, 4)


def product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` of (B, n, m) and (B, m, k), written out: autocast or TF32 would move voxels by a visible part of one."""
    return (a[:, :, :, None] * b[:, None]).sum(2)


def still(m: Tensor) -> Tensor:
    """(B,) bool: which matrices change nothing."""
    return (m == identity(len(m), m)).flatten(1).all(1)


def affine(linear: Tensor, offset: Tensor) -> Tensor:
    """`in = linear @ out + offset`, from (B, 3, 3) and (B, 3)."""
    top = torch.cat([linear, offset[:, :, None]], 2)
    return torch.cat([top, identity(len(top), top)[:, 3:]], 1)


def about(linear: Tensor, centre_in: Tensor, centre_out: Tensor) -> Tensor:
    """A linear map (B, 3, 3) that takes one point (B, 3) of the output to one of the input."""
    return affine(linear, centre_in - product(linear, centre_out[:, :, None])[:, :, 0])


def shift(offset: Tensor) -> Tensor:
    """`in = out + offset`, from (B, 3)."""
    return affine(identity(len(offset), offset)[:, :3, :3], offset)


def vector(values: Sequence[float], like: Tensor) -> Tensor:
    """Three numbers as (B, 3), on the device of `like` (B, ...) without a copy from the host."""
    return torch.stack([like.new_full(like.shape[:1], v) for v in values], 1)


def middle(shape: Shape, like: Tensor) -> Tensor:
    """(B, 3): the centre of a volume."""
    return vector([n / 2 for n in shape], like)


def per_axis(u: Tensor, ranges: Ranges) -> Tensor:
    """(..., 3) uniform in the range of each axis, from uniforms (..., 3)."""
    return torch.stack([low + (high - low) * u[..., axis] for axis, (low, high) in enumerate(ranges)], -1)


def rotation(degrees: Tensor) -> Tensor:
    """(B, 3, 3) rotations R_z R_x R_y (input to output) by angles (B, 3) about the axes z, y, x of depth, height, width.

    This order is that of ITK's Euler3DTransform. Positive angles turn x towards y (about z), z towards x (about y) and y
    towards z (about x).
    """
    radians = torch.deg2rad(degrees)
    cos, sin = radians.cos().unbind(1), radians.sin().unbind(1)
    about_z, about_y, about_x = (
        _plane(c, s, *turns) for c, s, turns in zip(cos, sin, ((2, 1), (0, 2), (1, 0)), strict=True)
    )
    return product(product(about_z, about_x), about_y)


def _plane(cos: Tensor, sin: Tensor, first: int, second: int) -> Tensor:
    """(B, 3, 3) that turn one axis towards another."""
    one, zero = torch.ones_like(cos), torch.zeros_like(cos)
    entries = {(first, first): cos, (second, second): cos, (second, first): sin, (first, second): -sin}
    rows = [[entries.get((i, j), one if i == j else zero) for j in range(3)] for i in range(3)]
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def rigid(degrees: Tensor, translation: Tensor, shape: Shape, scales: Tensor | None = None) -> Tensor:
    """Scale by `scales` (B, 3), turn about the centre by `degrees` (B, 3), then shift by `translation` (B, 3) voxels."""
    linear = rotation(degrees).mT
    if scales is not None:
        linear = linear / scales[:, :, None]
    centre = middle(shape, degrees)
    return about(linear, centre, centre + translation)


def inverse(m: Tensor) -> Tensor:
    """The inverse of (B, 4, 4); without the check for singular ones, which would wait for the device."""
    inverted: Tensor = torch.linalg.inv_ex(m).inverse
    return inverted
