"""Resampling along the axes by torch's own CPU kernels, each sample its way: uint8 stays uint8."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug import memory
from torchaug.image.axes import Axis, Filter, Interpolation
from torchaug.image.resample import as_dtype, as_float, resize


def resize_on_cpu(image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor, how: Filter) -> Tensor:
    """What `move_pixels` and `resize` compute, by torch's own CPU kernels, for uint8 and float."""
    # an operator where someone looks at operators: a compiler, or a tensor that has no values
    watched = torch.compiler.is_compiling() or type(image) is not Tensor
    resized: Callable[..., Tensor] = resize_cpu if watched else _resized
    axes = ([a.scale, a.shift, a.low, a.high] for a in (y, x))
    return resized(image, *axes, *canvas, fill, how.interpolation, how.antialias)


@torch.library.custom_op("torchaug::resize_cpu", mutates_args=())
def resize_cpu(
    image: Tensor,
    y: list[Tensor],
    x: list[Tensor],
    height: int,
    width: int,
    fill: Tensor,
    mode: str,
    antialias: bool,
) -> Tensor:
    """Crop, flip, resize and pad each image with torch's own CPU kernels: uint8 stays uint8, and nothing is moved twice.

    On a CPU a loop over samples costs microseconds each and its numbers are at hand; a custom operator keeps it whole
    inside a compiled graph. Geometry that those kernels cannot express (fractions of pixels after folding two resizes)
    takes the way of the matrix products, sample by sample.

    Args:
        image: (B, C, H, W) uint8 or float. y, x: the tensors of an `Axis`.
    """
    return _resized(image, y, x, height, width, fill, mode, antialias)


def _resized(
    image: Tensor, y: list[Tensor], x: list[Tensor], height: int, width: int, fill: Tensor, mode: str, antialias: bool
) -> Tensor:
    spans = list(zip(_spans(y, height), _spans(x, width), strict=True))
    shape = (*image.shape[:2], height, width)
    same = spans and all(pair == spans[0] for pair in spans)
    if same and spans[0][0] is not None and spans[0][1] is not None:  # one call for all
        part = _shown(image, spans[0][0], spans[0][1], mode, antialias)
        apart = part.untyped_storage().data_ptr() != image.untyped_storage().data_ptr()
        if apart and part.shape == shape and part.is_contiguous():
            return part
        out = memory.empty(shape, image.dtype)
        _place(out, part, spans[0][0], spans[0][1], fill)
        return out
    out = memory.empty(shape, image.dtype)
    for i, (vertical, horizontal) in enumerate(spans):
        if vertical is None or horizontal is None:
            down, across = (Axis(*(t[i : i + 1] for t in axis)) for axis in (y, x))
            how = Filter(_known(mode), antialias)
            part = resize(as_float(image[i : i + 1]), down, across, (height, width), as_float(fill), how)
            out[i] = as_dtype(part, image.dtype)[0]
        else:
            alone = slice(i, i + 1)
            _place(out[alone], _shown(image[alone], vertical, horizontal, mode, antialias), vertical, horizontal, fill)
    return out


def _known(mode: str) -> Interpolation:
    return "bicubic" if mode == "bicubic" else "bilinear"


@resize_cpu.register_fake
def _(
    image: Tensor, y: list[Tensor], x: list[Tensor], height: int, width: int, fill: Tensor, mode: str, antialias: bool
) -> Tensor:
    return image.new_empty(image.shape[0], image.shape[1], height, width)


class _Span(NamedTuple):
    """One axis in whole pixels: input [low, high) becomes `length` output pixels that start at `start`."""

    low: int
    high: int
    length: int
    start: int
    flipped: bool


def _spans(axis: list[Tensor], limit: int) -> list[_Span | None]:
    """Of each sample; None where it is not in whole pixels, shows nothing, or far more would be made than is shown."""
    scale, shift, low, high = (t.detach().numpy() for t in axis)
    size = np.abs(scale)
    exact = np.stack([low, high, (high - low) / size, (np.where(scale > 0, low, high) - shift) / scale])
    whole = exact.round()
    fits = (np.abs(exact - whole) <= 1e-2).all(0) & (whole[1] > whole[0]) & (whole[2] <= 8 * limit)
    columns = [fits.tolist(), *whole.astype(np.int64).tolist(), (scale < 0).tolist()]
    return [_Span(*span) if fit else None for fit, *span in zip(*columns, strict=True)]


def _shown(image: Tensor, y: _Span, x: _Span, mode: str, antialias: bool) -> Tensor:
    """What is to be seen of images (B, C, H, W) with the same spans, resized and flipped; it may lie in their memory."""
    part = image[..., y.low : y.high, x.low : x.high]
    if (y.high - y.low, x.high - x.low) != (y.length, x.length):
        part = F.interpolate(part, (y.length, x.length), mode=mode, antialias=antialias)
    if y.flipped or x.flipped:
        part = part.flip([d for d, axis in ((-2, y), (-1, x)) if axis.flipped])
    return part


def _place(out: Tensor, part: Tensor, y: _Span, x: _Span, fill: Tensor) -> None:
    """What `_shown` gave, where it belongs on the canvas."""
    height, width = out.shape[-2:]
    top, left, bottom, right = max(y.start, 0), max(x.start, 0), y.start + y.length, x.start + x.length
    if top > 0 or left > 0 or bottom < height or right < width:
        out.copy_(fill.expand_as(out))
    bottom, right = min(bottom, height), min(right, width)
    if bottom > top and right > left:
        part = part[..., top - y.start : bottom - y.start, left - x.start : right - x.start]
        # channels apart from here on; numpy takes half of torch's time for bytes that lie three apart
        np.copyto(out.numpy()[..., top:bottom, left:right], part.detach().numpy())
