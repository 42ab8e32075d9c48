"""A geometry applied once to pixels: three ways, from exact to general, all per sample and without a loop on a GPU.

`Axis` geometry keeps axes as axes (crops, flips, resizes): each output row and column reads a weighted span of input
rows and columns, so it is separable, antialiased where it shrinks, and bit-exact where it only moves pixels. Everything
else is `sample`d bilinearly (or nearest) at points, over a grid fine enough where it shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree

from torchaug.transform import Sizes


@dataclass(frozen=True)
class Axis:
    """One axis of an aligned geometry, per sample: `in = scale * out + shift`, seeing only inputs in [low, high].

    All four are (B,). Output pixels whose centre falls outside [low, high] are filled.
    """

    scale: Tensor
    shift: Tensor
    low: Tensor
    high: Tensor

    def centres(self, length: int) -> Tensor:
        """Input coordinates of the centres of `length` output pixels: (B, length)."""
        out = torch.arange(length, device=self.scale.device, dtype=self.scale.dtype) + 0.5
        return self.scale[:, None] * out + self.shift[:, None]

    def inside(self, length: int) -> Tensor:
        """(B, length) bool: which output pixels are not filled."""
        centres = self.centres(length)
        return (centres > self.low[:, None]) & (centres < self.high[:, None])

    def indices(self, length: int, limit: int) -> Tensor:
        """(B, length) int64: the input pixel under each output pixel's centre."""
        return self.centres(length).floor().clamp(0, limit - 1).to(torch.int64)

    def weights(self, length: int, limit: int, antialias: bool) -> Tensor:
        """(B, length, limit) of the triangle filter, rows that sum to 1: PIL's and torchvision's bilinear filter.

        Where it shrinks, an antialiased triangle is as wide as two output pixels; otherwise as two input pixels.
        """
        centres = self.centres(length)[:, :, None]
        pixels = torch.arange(limit, device=centres.device, dtype=centres.dtype) + 0.5
        width = self.scale.abs().clamp(min=1.0)[:, None, None] if antialias else 1.0
        weights = (1 - (pixels - centres).abs() / width).clamp(min=0)
        seen = (pixels > self.low[:, None]) & (pixels < self.high[:, None])
        weights = weights * seen[:, None]
        return weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)


_pytree.register_dataclass(Axis, field_names=["scale", "shift", "low", "high"])


def move_pixels(image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor) -> Tensor:
    """The input pixel under each output pixel, unchanged, for any dtype: bit-exact for crops, flips and masks."""
    rows, columns = y.indices(canvas[0], image.shape[-2]), x.indices(canvas[1], image.shape[-1])
    b, c, _, w = image.shape
    out = image.gather(2, rows[:, None, :, None].expand(b, c, canvas[0], w))
    out = out.gather(3, columns[:, None, None, :].expand(b, c, *canvas))
    return _filled(out, y, x, canvas, fill)


def resize(image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor, antialias: bool) -> Tensor:
    """Separable bilinear resampling of float images as two batched matrix products."""
    down = y.weights(canvas[0], image.shape[-2], antialias).to(image.dtype)
    across = x.weights(canvas[1], image.shape[-1], antialias).to(image.dtype)
    with torch.autocast(image.device.type, enabled=False):  # half precision would cost three levels of 255
        out = torch.matmul(torch.matmul(down[:, None], image), across[:, None].mT)
    return _filled(out, y, x, canvas, fill)


def _filled(out: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor) -> Tensor:
    inside = y.inside(canvas[0])[:, None, :, None] & x.inside(canvas[1])[:, None, None, :]
    return torch.where(inside, out, fill)


def on_cpu(image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor, antialias: bool) -> Tensor:
    """What `move_pixels` and `resize` compute, by torch's own CPU kernels, for uint8 and float."""
    axes = ([a.scale, a.shift, a.low, a.high] for a in (y, x))
    out: Tensor = resize_cpu(image, *axes, *canvas, fill, antialias)
    return out


@torch.library.custom_op("torchaug::resize_cpu", mutates_args=())
def resize_cpu(
    image: Tensor,
    y: list[Tensor],
    x: list[Tensor],
    height: int,
    width: int,
    fill: Tensor,
    antialias: bool,
) -> Tensor:
    """Crop, flip, resize and pad each image with torch's own CPU kernels: uint8 stays uint8, and nothing is moved twice.

    On a CPU a loop over samples costs microseconds each and its numbers are at hand; a custom operator keeps it whole
    inside a compiled graph. Geometry that those kernels cannot express (fractions of pixels after folding two resizes)
    takes the way of the matrix products, sample by sample.

    Args:
        image: (B, C, H, W) uint8 or float. y, x: the tensors of an `Axis`.
    """
    out = image.new_empty(image.shape[0], image.shape[1], height, width)
    rows, columns = torch.stack(y, 1).tolist(), torch.stack(x, 1).tolist()
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        vertical, horizontal = _span(row, height), _span(column, width)
        if vertical is None or horizontal is None:
            down, across = (Axis(*(t[i : i + 1] for t in axis)) for axis in (y, x))
            part = resize(as_float(image[i : i + 1]), down, across, (height, width), as_float(fill), antialias)
            out[i] = as_dtype(part, image.dtype)[0]
        else:
            _place(out[i], image[i], vertical, horizontal, fill[0], antialias)
    return out


@resize_cpu.register_fake
def _(
    image: Tensor, y: list[Tensor], x: list[Tensor], height: int, width: int, fill: Tensor, antialias: bool
) -> Tensor:
    return image.new_empty(image.shape[0], image.shape[1], height, width)


@dataclass(frozen=True)
class _Span:
    """One axis in whole pixels: input [low, high) becomes `length` output pixels that start at `start`."""

    low: int
    high: int
    length: int
    start: int
    flipped: bool


def _span(axis: list[float], limit: int) -> _Span | None:
    scale, shift, low, high = axis
    length, start = (high - low) / abs(scale), ((low if scale > 0 else high) - shift) / scale
    span = _Span(round(low), round(high), round(length), round(start), flipped=scale < 0)
    exact, whole = (low, high, length, start), (span.low, span.high, span.length, span.start)
    if any(abs(a - b) > 1e-2 for a, b in zip(exact, whole, strict=True)):
        return None
    if span.high <= span.low or span.length > 8 * limit:  # nothing to see, or far more made than shown
        return None
    return span


def _place(out: Tensor, image: Tensor, y: _Span, x: _Span, fill: Tensor, antialias: bool) -> None:
    part = image[:, y.low : y.high, x.low : x.high]
    if part.shape[-2:] != (y.length, x.length):
        part = F.interpolate(part[None], (y.length, x.length), mode="bilinear", antialias=antialias)[0]
    dims = [d for d, axis in ((-2, y), (-1, x)) if axis.flipped]
    part = part.flip(dims) if dims else part
    height, width = out.shape[-2:]
    top, left, bottom, right = max(y.start, 0), max(x.start, 0), y.start + y.length, x.start + x.length
    if top > 0 or left > 0 or bottom < height or right < width:
        out.copy_(fill.expand_as(out))
    bottom, right = min(bottom, height), min(right, width)
    if bottom > top and right > left:
        out[:, top:bottom, left:right] = part[:, top - y.start : bottom - y.start, left - x.start : right - x.start]


def sample(image: Tensor, x: Tensor, y: Tensor, fill: Tensor, size: Sizes) -> Tensor:
    """Bilinear values of float images at points.

    Args:
        image: (B, C, H, W) float, zero outside each sample's own size.
        x, y: (B, H', W') coordinates.
        fill: (1, C or 1, 1, 1).
        size: of the images.
    """
    if image.requires_grad and torch.is_grad_enabled():
        out = _sample_twice_differentiable(image, x, y)
    else:
        grid = torch.stack([x * (2 / image.shape[-1]) - 1, y * (2 / image.shape[-2]) - 1], -1)
        out = F.grid_sample(image, grid.to(image.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)
    covered = _covered(x, size.width) * _covered(y, size.height)
    return out + fill * (1 - covered)[:, None].to(out.dtype)


def _covered(at: Tensor, length: Tensor) -> Tensor:
    """The part of a bilinear sample's weight that lies on the image, along one axis."""
    return (at + 0.5).clamp(0, 1) * (length[:, None, None] - at + 0.5).clamp(0, 1)


def _sample_twice_differentiable(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`grid_sample` by gathers: it has second derivatives on torch 2.11 too, which R1 and R2 penalties need."""
    b, c, h, w = image.shape
    left, top = (x - 0.5).floor(), (y - 0.5).floor()
    flat = image.flatten(2)
    out = image.new_zeros(b, c, *x.shape[1:])
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = left + dx, top + dy
            weight = (1 - (x - 0.5 - column).abs()) * (1 - (y - 0.5 - row).abs())
            weight = weight * ((column >= 0) & (column < w) & (row >= 0) & (row < h))
            index = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).to(torch.int64).flatten(1)
            value = flat.gather(2, index[:, None].expand(b, c, -1)).unflatten(2, x.shape[1:])
            out = out + value * weight[:, None].to(image.dtype)
    return out


def sample_nearest(image: Tensor, x: Tensor, y: Tensor, fill: Tensor, size: Sizes) -> Tensor:
    """The pixel under each point, unchanged, for any dtype; arguments as in `sample`."""
    b, c, h, w = image.shape
    index = (y.floor().clamp(0, h - 1) * w + x.floor().clamp(0, w - 1)).to(torch.int64).flatten(1)
    out = image.flatten(2).gather(2, index[:, None].expand(b, c, -1)).unflatten(2, x.shape[1:])
    inside = (x >= 0) & (y >= 0) & (x < size.width[:, None, None]) & (y < size.height[:, None, None])
    return torch.where(inside[:, None], out, fill)


def as_float(image: Tensor) -> Tensor:
    """float32 (or float64 as it is) images in [0, 1]."""
    if image.dtype == torch.uint8:
        return image.to(torch.float32) * (1 / 255)
    return image if image.dtype == torch.float64 else image.to(torch.float32)


def as_dtype(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Float images in [0, 1] as `dtype`: rounded to the nearest level for uint8."""
    if dtype == torch.uint8:
        return (image * 255).round_().clamp_(0, 255).to(torch.uint8)
    return image.to(dtype)


def own_pixels(image: Tensor, size: Tensor) -> Tensor:
    """(B, 1, H, W) bool: which pixels are an image's own, and not padding, given sizes (B, 2)."""
    rows = torch.arange(image.shape[-2], device=image.device) < size[:, :1]
    columns = torch.arange(image.shape[-1], device=image.device) < size[:, 1:]
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """Numbers as (1, n, 1, 1) in the dtype and on the device of `like`; a fill for each, since a copy would wait."""
    return torch.stack([like.new_full((1, 1, 1), v) for v in values], 1)
