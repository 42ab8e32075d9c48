"""Volumes read at other places: at points, or along one axis at a time by small matrices."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.volume.arguments import Shape


def spatial(volume: Tensor) -> Shape:
    """Depth, height and width of (B, C, D, H, W)."""
    return volume.shape[2], volume.shape[3], volume.shape[4]


def points(m: Tensor, shape: Shape, displacement: Tensor | None = None) -> Tensor:
    """Input coordinates (B, 3, D, H, W) of the centres of output voxels, bent by (B, 3, D, H, W) and moved by `m`."""
    places = [torch.arange(n, device=m.device, dtype=m.dtype) + 0.5 for n in shape]
    z, y, x = places[0][:, None, None], places[1][:, None], places[2]
    if displacement is not None:
        z, y, x = z + displacement[:, 0], y + displacement[:, 1], x + displacement[:, 2]
    e = m[:, :3, :, None, None, None]
    rows = [e[:, i, 0] * z + e[:, i, 1] * y + (e[:, i, 2] * x + e[:, i, 3]) for i in range(3)]
    return torch.stack(rows, 1)


def sample(volume: Tensor, at: Tensor, fill: Tensor) -> Tensor:
    """Trilinear values of float volumes at points.

    Args:
        volume: (B, C, D, H, W).
        at: (B, 3, D', H', W') coordinates; on the way out of the volume values fade to `fill` over one voxel.
        fill: (B or 1, C or 1, 1, 1, 1).
    """
    volume = volume - fill
    if volume.requires_grad and torch.is_grad_enabled():
        return _sample_twice_differentiable(volume, at) + fill
    limits = torch.stack([at.new_full((1, 1, 1), 2 / n) for n in spatial(volume)])
    grid = (at * limits - 1).flip(1).movedim(1, -1)  # x, y, z
    out = F.grid_sample(volume, grid.to(volume.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)
    return out + fill


def _sample_twice_differentiable(volume: Tensor, at: Tensor) -> Tensor:
    """`grid_sample` by gathers, since torch's own has no second derivatives for volumes."""
    depth, height, width = spatial(volume)
    flat, corner = volume.flatten(2), (at - 0.5).floor()
    out = volume.new_zeros(*volume.shape[:2], *at.shape[2:])
    for number in range(8):
        z, y, x = (corner[:, axis] + (number >> axis & 1) for axis in range(3))
        weight = (1 - (at[:, 0] - 0.5 - z).abs()) * (1 - (at[:, 1] - 0.5 - y).abs()) * (1 - (at[:, 2] - 0.5 - x).abs())
        inside = (z >= 0) & (z < depth) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        value = _read(flat, z, y, x, (depth, height, width))
        out = out + value * (weight * inside)[:, None].to(volume.dtype)
    return out


def nearest(volume: Tensor, at: Tensor, fill: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The voxel under each point, unchanged, for any dtype; `fill` outside of low..high (B, 3)."""
    z, y, x = at.floor().unbind(1)
    out = _read(volume.flatten(2), z, y, x, spatial(volume))
    inside = (at > low[:, :, None, None, None]) & (at < high[:, :, None, None, None])
    return torch.where(inside.all(1, keepdim=True), out, fill)


def move(volume: Tensor, m: Tensor, shape: Shape, fill: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`nearest` at the `points` of a matrix that takes whole voxels to whole voxels and axes to axes, in any order.

    Each output axis then moves along one input axis, so that places are sums of three short tables.
    """
    limits = volume.shape[2:]
    stride = (limits[1] * limits[2], limits[2], 1)
    index, inside = [], []
    for axis, length in enumerate(shape):
        places = torch.arange(length, device=m.device, dtype=m.dtype) + 0.5
        at = m[:, :3, axis, None] * places + m[:, :3, 3, None]  # (B, 3, length), on each input axis
        along_it = (m[:, :3, axis] != 0)[:, :, None]
        seen = ((at > low[:, :, None]) & (at < high[:, :, None])) | ~along_it
        steps = [at[:, i].floor().clamp(0, n - 1).to(torch.int64) * stride[i] for i, n in enumerate(limits)]
        view = (-1, *(length if a == axis else 1 for a in range(3)))
        index.append((torch.stack(steps, 1) * along_it).sum(1).view(view))
        inside.append(seen.all(1).view(view))
    flat = (index[0] + index[1] + index[2]).flatten(1)
    out = volume.flatten(2).gather(2, flat[:, None].expand(-1, volume.shape[1], -1)).unflatten(2, shape)
    return torch.where((inside[0] & inside[1] & inside[2])[:, None], out, fill)


def _read(flat: Tensor, z: Tensor, y: Tensor, x: Tensor, shape: Shape) -> Tensor:
    """The voxels (B, C, D', H', W') of `flat` (B, C, D H W) at whole places (B, D', H', W'), clamped to the volume."""
    depth, height, width = shape
    row = z.clamp(0, depth - 1).to(torch.int64) * height + y.clamp(0, height - 1).to(torch.int64)
    index = (row * width + x.clamp(0, width - 1).to(torch.int64)).flatten(1)
    out: Tensor = flat.gather(2, index[:, None].expand(-1, flat.shape[1], -1)).unflatten(2, z.shape[1:])
    return out


def along(volume: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """A matrix (B, n', n), or one for all (n', n), applied along an axis 0, 1 or 2 of (B, C, D, H, W), of length n."""
    rows = volume.movedim(axis + 2, -1)
    shape = rows.shape[:-1]
    with torch.autocast(volume.device.type, enabled=False):
        out = rows.reshape(len(rows), shape[1:].numel(), rows.shape[-1]) @ matrix.mT.to(volume.dtype)
    return out.view(*shape, matrix.shape[-2]).movedim(-1, axis + 2)


def triangle(length: int, limit: int, like: Tensor, antialias: bool = True) -> Tensor:
    """(length, limit): linear resampling of an axis from `limit` to `length` voxels, rows that sum to 1.

    Where it shrinks, an antialiased triangle is as wide as two output voxels, as PIL's and torchvision's.
    """
    scale = limit / length
    centres = (torch.arange(length, device=like.device, dtype=like.dtype) + 0.5) * scale
    voxels = torch.arange(limit, device=like.device, dtype=like.dtype) + 0.5
    width = max(scale, 1.0) if antialias else 1.0
    weights = (1 - (voxels - centres[:, None]).abs() / width).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
