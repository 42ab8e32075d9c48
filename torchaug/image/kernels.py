"""Kernels of our own for CUDA: resampling along the axes, moving pixels, and correlating along an axis, each sample its way.

Each operator launches one kernel, that works weights and borders out from a few numbers per sample and writes nothing but
its result (docs/decisions/0012-kernels-for-cuda.md). They have no gradients: where one is needed, where triton is missing,
and for dtypes that they do not know, `resamples`, `moves` and `correlates` say no, and torch's own operators do the same.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from torchaug.image.axes import Axis, Filter, PaddingMode

Border = Literal["constant", "edge", "reflect", "symmetric", "none"]
"""`PaddingMode` with zeros for "constant"; "none": only where the kernel fits, so that the result is smaller."""


def _launchable() -> bool:
    """Whether triton is there, and what it needs to build its launcher: a C compiler and Python's headers."""
    compiler = "CC" in os.environ or shutil.which("gcc") or shutil.which("clang")
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    return find_spec("triton") is not None and bool(compiler) and headers.exists()


DEVICES = ("cuda",) if torch.version.cuda is not None and _launchable() else ()
"""Where the kernels run."""
VALUES = (torch.uint8, torch.float32, torch.float16, torch.bfloat16)
"""What they can calculate with, in float32."""
COPIED = (*VALUES, torch.bool, torch.int8, torch.int16, torch.int32, torch.int64, torch.float64)
"""What they can move."""
STEEP = 4.0
"""Where an axis shrinks more, columns and rows are resampled one after the other: taps of both no longer multiply."""


def resamples(image: Tensor, y: Axis, x: Axis) -> bool:
    """Whether `resample` serves images."""
    return image.dtype in VALUES and _serve(image, torch.float32, *_of(y), *_of(x))


def moves(image: Tensor, y: Axis, x: Axis) -> bool:
    """Whether `move` serves images."""
    return image.dtype in COPIED and _serve(image, torch.float32, *_of(y), *_of(x))


def correlates(image: Tensor, down: Tensor, across: Tensor) -> bool:
    """Whether `correlate` serves images."""
    return image.dtype in VALUES and image.is_floating_point() and _serve(image, image.dtype, down, across)


def _serve(image: Tensor, dtype: torch.dtype, *others: Tensor) -> bool:
    """Whether the kernels run where the images are, with what else goes into them, and nobody asks for a gradient."""
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (image, *others))
    known = image.ndim == 4 and all(t.dtype == dtype and len(t) in (1, len(image)) for t in others)
    return image.device.type in DEVICES and known and not learns


def _of(axis: Axis) -> list[Tensor]:
    return [axis.scale, axis.shift, axis.low, axis.high]


def resample(image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor, how: Filter) -> Tensor:
    """`resample.resize` of images (B, C, H, W) of any dtype, to that dtype: one launch, or two where it shrinks a lot."""
    steep = max(before / after for before, after in zip(image.shape[2:], canvas, strict=True))
    rest = (_of(y), _of(x), fill, how.interpolation == "bicubic", how.antialias)
    dtype, apart = image.dtype, how.antialias and steep > STEEP
    if apart:
        between = dtype if dtype == torch.uint8 else torch.float32
        image = resample_axes(image, *rest, image.shape[2], canvas[1], "columns", between)
    out: Tensor = resample_axes(image, *rest, *canvas, "rows" if apart else "both", dtype)
    return out


@torch.library.custom_op("torchaug::resample_axes", mutates_args=())
def resample_axes(
    image: Tensor,
    y: list[Tensor],
    x: list[Tensor],
    fill: Tensor,
    cubic: bool,
    antialias: bool,
    height: int,
    width: int,
    axes: str,
    dtype: torch.dtype,
) -> Tensor:
    """Columns, rows or both resampled, in one launch.

    Args:
        image: (B, C, H, W). y, x: the tensors of an `Axis`, (B,) each. fill: (1, C or 1, 1, 1).
        axes: "columns", "rows" or "both"; what is outside is filled by all but the first.
        dtype: of the result (B, C, height, width).
    """
    from torchaug.image import kernels_triton

    out = image.new_empty(image.shape[0], image.shape[1], height, width, dtype=dtype)
    if out.numel():
        options = _options(out, DOWN=axes != "columns", ACROSS=axes != "rows", CUBIC=cubic, ANTIALIAS=antialias)
        with torch.cuda.device_of(image):
            kernels_triton.resampled[_grid(out)](*_geometry(image, out, y, x, fill), **options)
    return out


@resample_axes.register_fake
def _(
    image: Tensor,
    y: list[Tensor],
    x: list[Tensor],
    fill: Tensor,
    cubic: bool,
    antialias: bool,
    height: int,
    width: int,
    axes: str,
    dtype: torch.dtype,
) -> Tensor:
    return image.new_empty(image.shape[0], image.shape[1], height, width, dtype=dtype)


def move(image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor, padding: PaddingMode) -> Tensor:
    """`resample.move_pixels`, in one launch."""
    out: Tensor = move_axes(image, _of(y), _of(x), fill.to(image.dtype), *canvas, padding)
    return out


@torch.library.custom_op("torchaug::move_axes", mutates_args=())
def move_axes(
    image: Tensor, y: list[Tensor], x: list[Tensor], fill: Tensor, height: int, width: int, padding: str
) -> Tensor:
    """The pixel under each place of a result (B, C, height, width); arguments as in `resample_axes`."""
    from torchaug.image import kernels_triton

    out = image.new_empty(image.shape[0], image.shape[1], height, width)
    if out.numel():
        given = _geometry(_bytes(image), _bytes(out), y, x, _bytes(fill))
        with torch.cuda.device_of(image):
            kernels_triton.moved[_grid(out)](*given, **_options(out, BORDER=padding))
    return out


@move_axes.register_fake
def _(image: Tensor, y: list[Tensor], x: list[Tensor], fill: Tensor, height: int, width: int, padding: str) -> Tensor:
    return image.new_empty(image.shape[0], image.shape[1], height, width)


def correlate(
    image: Tensor,
    down: Tensor,
    across: Tensor,
    size: tuple[Tensor, Tensor] | None,
    border: Border,
    chosen: Tensor | None = None,
) -> Tensor:
    """Images (B, C, H, W) correlated with `down` (B or 1, h) and `across` (B or 1, w), in two launches.

    Args:
        image: float.
        down: of an odd length, as `across`, unless the border is "none".
        across: weights along columns.
        size: heights and widths (B,) of the images where they differ, None where each fills the canvas.
        border: what lies outside.
        chosen: (B,) bool, which images are; the others come out as they are.
    """
    heights, widths = (None, None) if size is None else size
    out: Tensor = correlate_axis(image, down, heights, chosen, border, True)
    out = correlate_axis(out, across, widths, chosen, border, False)
    return out


@torch.library.custom_op("torchaug::correlate_axis", mutates_args=())
def correlate_axis(
    image: Tensor, kernels: Tensor, own: Tensor | None, chosen: Tensor | None, border: str, down: bool
) -> Tensor:
    """Correlation along the rows' axis (`down`) or the columns' of images with lengths `own` (B or 1,), in one launch."""
    from torchaug.image import kernels_triton

    taps, kernels = kernels.shape[1], kernels.detach()
    out = image.new_empty(_correlated_shape(image, kernels, border, down))
    if not out.numel():
        return out
    before = 0 if border == "none" else taps // 2
    count, channels, height, width = out.shape
    with torch.cuda.device_of(image):
        kernels_triton.correlated[_grid(out)](
            image, out, kernels, kernels if own is None else own, kernels if chosen is None else _bytes(chosen), taps, before,
            height, width, *image.shape[2:], channels, *image.stride(), _step(kernels, count), kernels.stride(1),
            0 if own is None else _step(own, count), 0 if chosen is None else _step(chosen, count),
            **_options(out, DOWN=down, BORDER=border, RAGGED=own is not None, PICKS=chosen is not None, BT=_power(taps)),
        )  # fmt: skip
    return out


@correlate_axis.register_fake
def _(image: Tensor, kernels: Tensor, own: Tensor | None, chosen: Tensor | None, border: str, down: bool) -> Tensor:
    return image.new_empty(_correlated_shape(image, kernels, border, down))


def _correlated_shape(image: Tensor, kernels: Tensor, border: str, down: bool) -> list[int]:
    shape = list(image.shape)
    shape[2 if down else 3] -= kernels.shape[1] - 1 if border == "none" else 0
    return shape


def _geometry(image: Tensor, out: Tensor, y: list[Tensor], x: list[Tensor], fill: Tensor) -> tuple[object, ...]:
    """The arguments that moving and resampling share."""
    count, channels, *canvas = out.shape
    steps = [_step(number, count) for number in (*y, *x)]
    lengths = (*canvas, *image.shape[2:], channels, *image.stride())
    return (image, out, fill, *y, *x, *steps, *lengths, _step(fill[0], channels))


def _step(tensor: Tensor, count: int) -> int:
    """Elements from what belongs to one of `count` to the next's; none where one serves all."""
    return 0 if len(tensor) < count else tensor.stride(0)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


TILE = 256
"""Pixels of a channel in a tile: two for each thread of four warps. With four, resampling takes 168 registers of a thread."""
WIDTH = 32
"""Columns of a tile: widths that networks take are multiples, and a line of float32 fills a memory transaction."""


def _options(out: Tensor, **flags: object) -> dict[str, object]:
    """What a kernel is compiled for. Products and sums stay apart, so that coordinates equal a CPU's bit for bit."""
    deep, high, wide = _shape(out)
    return {**flags, "BC": deep, "BY": high, "BX": wide, "num_warps": 4, "enable_fp_fusion": False}


def _shape(out: Tensor) -> tuple[int, int, int]:
    """Channels, rows and columns of a tile."""
    wide = min(WIDTH, _power(out.shape[3]))
    return min(4, _power(out.shape[1])), min(TILE // wide, _power(out.shape[2])), wide


def _grid(out: Tensor) -> tuple[int]:
    programs = out.shape[0]
    for length, side in zip(out.shape[1:], _shape(out), strict=True):
        programs *= -(-length // side)
    return (programs,)


def _power(value: int) -> int:
    """The power of two from a positive number on."""
    return 1 << (value - 1).bit_length()
