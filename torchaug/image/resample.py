"""A geometry applied once to pixels: three ways, from exact to general, all per sample and without a loop on a GPU.

`Axis` geometry keeps axes as axes (crops, flips, resizes): each output row and column reads a weighted span of input
rows and columns, so it is separable, antialiased where it shrinks, and bit-exact where it only moves pixels. Everything
else is `sample`d (bilinear, bicubic or nearest) at points, over a grid fine enough where it shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug import memory
from torchaug.image import kernels
from torchaug.image.axes import MAX_TAPS, Axis, Filter, Interpolation, PaddingMode, folded, kernel, sharpness
from torchaug.transform import Sizes


def move_pixels(
    image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor, padding: PaddingMode = "constant"
) -> Tensor:
    """The input pixel under each output pixel, unchanged, for any dtype: bit-exact for crops, flips and masks."""
    if kernels.moves(image, y, x):
        return kernels.move(image, y, x, canvas, fill, padding)
    rows = y.indices(canvas[0], image.shape[-2], padding)
    columns = x.indices(canvas[1], image.shape[-1], padding)
    out = take(image, rows, columns)
    return _filled(out, y, x, canvas, fill) if padding == "constant" else out


def take(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The rows and columns (B or 1, places) int64 of each image (B, C, H, W)."""
    return take_along(take_along(image, rows, 2), columns, 3)


def take_along(image: Tensor, places: Tensor, axis: int) -> Tensor:
    """`take` of one axis: 2 for rows, 3 for columns."""
    if len(places) == 1:
        return image.index_select(axis, places[0])
    shape = list(image.shape)
    shape[axis] = places.shape[1]
    return image.gather(
        axis, places[:, None, :, None].expand(shape) if axis == 2 else places[:, None, None].expand(shape)
    )


def resize(image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor, how: Filter) -> Tensor:
    """Separable resampling of float images: two batched matrix products, or compiled, two fused sums of few pixels."""
    taps = how.taps
    with torch.autocast(image.device.type, enabled=False):  # half precision would cost three levels of 255
        if taps is not None and taps <= MAX_TAPS and torch.compiler.is_compiling() and not image.requires_grad:
            out = _read(image, y, canvas[0], taps, how, -2)
            out = _read(out, x, canvas[1], taps, how, -1)
        else:
            down = y.weights(canvas[0], image.shape[-2], how).to(image.dtype)
            across = x.weights(canvas[1], image.shape[-1], how).to(image.dtype)
            out = torch.matmul(torch.matmul(down[:, None], image), across[:, None].mT)
    return _filled(out, y, x, canvas, fill)


def _read(image: Tensor, axis: Axis, length: int, taps: int, how: Filter, dim: int) -> Tensor:
    """The resampling of one axis as a sum over taps."""
    limit = image.shape[dim]
    pixels, weights = axis.taps(length, taps, how)
    shape = list(image.shape)
    shape[dim] = length
    along = (slice(None), None, slice(None), None) if dim == -2 else (slice(None), None, None, slice(None))
    out = image.new_zeros(shape)
    for tap in range(taps):
        index = pixels[:, :, tap].clamp(0, limit - 1).to(torch.int64)[along].expand(shape)
        out = out + weights[:, :, tap].to(image.dtype)[along] * image.gather(dim, index)
    return out


def _filled(out: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor) -> Tensor:
    inside = y.inside(canvas[0])[:, None, :, None] & x.inside(canvas[1])[:, None, None, :]
    return torch.where(inside, out, fill)


@dataclass(frozen=True)
class Sampling:
    """How `sample` reads: values between pixels, and what lies outside each image."""

    interpolation: Interpolation
    padding: PaddingMode
    fill: Tensor
    """(1, C or 1, 1, 1), seen where padding is "constant"."""
    black: bool
    """Whether the fill is 0, as where nothing is read."""
    size: Sizes


def sample(image: Tensor, x: Tensor, y: Tensor, how: Sampling) -> Tensor:
    """Values of float images at points.

    Args:
        image: (B, C, H, W) float, zero outside each sample's own size.
        x, y: (B, H', W') coordinates.
        how: bilinear or bicubic, and the border.
    """
    x, y = _inside(x, y, how)
    constant = how.padding == "constant"
    if (image.requires_grad and torch.is_grad_enabled()) or (not constant and how.interpolation == "bicubic"):
        out = _sample_by_taps(image, x, y, how)
    else:
        grid = torch.stack([x * (2 / image.shape[-1]) - 1, y * (2 / image.shape[-2]) - 1], -1)
        mode = how.interpolation
        out = F.grid_sample(image, grid.to(image.dtype), mode=mode, padding_mode="zeros", align_corners=False)
    if not constant or how.black:
        return out
    covered = _covered(x, how.size.width, how.interpolation) * _covered(y, how.size.height, how.interpolation)
    return out + how.fill * (1 - covered)[:, None].to(out.dtype)


def _inside(x: Tensor, y: Tensor, how: Sampling) -> tuple[Tensor, Tensor]:
    width, height = (length[:, None, None] for length in (how.size.width, how.size.height))
    zero = torch.zeros_like(width)
    return folded(x, zero, width, how.padding), folded(y, zero, height, how.padding)


def _covered(at: Tensor, length: Tensor, interpolation: Interpolation) -> Tensor:
    """The part of a sample's weight that lies on the image, along one axis."""
    length = length[:, None, None]
    if interpolation == "bilinear":
        return (at + 0.5).clamp(0, 1) * (length - at + 0.5).clamp(0, 1)
    first = (at - 0.5).floor() - 1
    total = torch.zeros_like(at)
    for tap in range(4):
        pixel = first + tap
        weight = kernel(at - 0.5 - pixel, "bicubic", sharpness(antialias=False))
        total = total + weight * ((pixel >= 0) & (pixel < length))
    return total


def _sample_by_taps(image: Tensor, x: Tensor, y: Tensor, how: Sampling) -> Tensor:
    """`grid_sample` by gathers: it has second derivatives on torch 2.11 too, which R1 and R2 penalties need."""
    b, c, h, w = image.shape
    reach = 1 if how.interpolation == "bicubic" else 0
    left, top = (x - 0.5).floor() - reach, (y - 0.5).floor() - reach
    flat = image.flatten(2)
    across = [kernel(x - 0.5 - left - i, how.interpolation, sharpness(antialias=False)) for i in range(2 + 2 * reach)]
    down = [kernel(y - 0.5 - top - i, how.interpolation, sharpness(antialias=False)) for i in range(2 + 2 * reach)]
    out = image.new_zeros(b, c, *x.shape[1:])
    for i, weight_y in enumerate(down):
        for j, weight_x in enumerate(across):
            column, row = left + j, top + i
            weight = weight_x * weight_y
            if how.padding == "constant":
                weight = weight * ((column >= 0) & (column < w) & (row >= 0) & (row < h))
            else:
                column, row = _inside(column + 0.5, row + 0.5, how)
            value = flat.gather(2, _index(column.floor(), row.floor(), h, w).expand(b, c, -1)).unflatten(2, x.shape[1:])
            out = out + value * weight[:, None].to(image.dtype)
    return out


def _index(column: Tensor, row: Tensor, height: int, width: int) -> Tensor:
    """(B, 1, P): places of pixels in a flattened image."""
    index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    flat: Tensor = index.to(torch.int64).flatten(1)[:, None]
    return flat


def sample_nearest(image: Tensor, x: Tensor, y: Tensor, how: Sampling) -> Tensor:
    """The pixel under each point, unchanged, for any dtype; arguments as in `sample`."""
    b, c, h, w = image.shape
    x, y = _inside(x, y, how)
    out: Tensor = (
        image.flatten(2).gather(2, _index(x.floor(), y.floor(), h, w).expand(b, c, -1)).unflatten(2, x.shape[1:])
    )
    if how.padding != "constant":
        return out
    inside = (x >= 0) & (y >= 0) & (x < how.size.width[:, None, None]) & (y < how.size.height[:, None, None])
    return torch.where(inside[:, None], out, how.fill)


CHUNK_BYTES = 1 << 20
"""On a CPU pixels are taken so many bytes of float image at a time: a chunk stays in a core's cache between steps.
Measured in docs/decisions/0005-work-in-cache-sized-chunks.md."""


def in_chunks(
    image: Tensor,
    function: Callable[[slice], Tensor | list[Tensor]],
    dtype: torch.dtype | None = None,
    least: int = 0,
) -> Tensor:
    """`function` of slices of the batch, joined; all at once where chunks would gain nothing.

    Nothing is gained on a GPU, inside a compiled graph (which fuses instead) or with gradients (which keep everything).

    Args:
        image: (B, ...), whose `chunks` are taken.
        function: from a slice to (b, ...), or to channels (b, ...) that are apart: these are written where they belong.
        dtype: of the result, made of float images in [0, 1] as `as_dtype` does; as they come by default.
        least: images in a chunk, at least.
    """
    parts = chunks(image, least)
    if len(parts) == 1:
        whole = stacked(function(slice(None)))
        return whole if dtype is None else as_dtype(whole, dtype)
    out = None
    for part in parts:
        made = function(part)
        planes = [made] if isinstance(made, Tensor) else made
        if out is None:
            shape = made.shape[1:] if isinstance(made, Tensor) else (len(planes), *planes[0].shape[1:])
            out = memory.empty((len(image), *shape), dtype or planes[0].dtype)
        places = [out[part]] if isinstance(made, Tensor) else out[part].unbind(1)
        for place, plane in zip(places, planes, strict=True):
            place.copy_(plane if dtype is None else rounded(plane, dtype))
    assert out is not None
    return out


def stacked(planes: Tensor | list[Tensor]) -> Tensor:
    """Images, also where their channels are apart."""
    return planes if isinstance(planes, Tensor) else torch.stack(planes, 1)


def chunks(image: Tensor, least: int = 0) -> list[slice]:
    """The slices of a batch that are worked on one after the other, of at least so many images (the last may have fewer)."""
    rows = max(1, least, CHUNK_BYTES // max(1, 4 * image.shape[1:].numel()))
    whole = image.device.type != "cpu" or (image.requires_grad and torch.is_grad_enabled())
    if whole or torch.compiler.is_compiling() or rows >= len(image):
        return [slice(None)]
    return [slice(start, start + rows) for start in range(0, len(image), rows)]


def as_float(image: Tensor) -> Tensor:
    """float32 (or float64 as it is) images in [0, 1]."""
    if image.dtype == torch.uint8:
        return torch.mul(image, 1 / 255) if torch.get_default_dtype() == torch.float32 else image.float() * (1 / 255)
    return image if image.dtype == torch.float64 else image.to(torch.float32)


def as_dtype(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Float images in [0, 1] as `dtype`: rounded to the nearest level for uint8."""
    return rounded(image, dtype).to(dtype)


def rounded(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Float images in [0, 1] as whole numbers, still float, where `dtype` holds levels of 255; else as they are."""
    return (image * 255).round_().clamp_(0, 255) if dtype == torch.uint8 else image


def own_pixels(image: Tensor, size: Tensor) -> Tensor:
    """(B, 1, H, W) bool: which pixels are an image's own, and not padding, given sizes (B, 2)."""
    rows = torch.arange(image.shape[-2], device=image.device) < size[:, :1]
    columns = torch.arange(image.shape[-1], device=image.device) < size[:, 1:]
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """Numbers as (1, n, 1, 1) in the dtype and on the device of `like`; a fill for each, since a copy would wait."""
    if len(set(values)) == 1:
        return like.new_full((1, len(values), 1, 1), values[0])
    return torch.stack([like.new_full((1, 1, 1), v) for v in values], 1)
