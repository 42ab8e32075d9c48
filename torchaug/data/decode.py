"""From a picture in a file to uint8 (C, H, W)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")


def is_grey(mode: str) -> bool:
    """Whether a PIL mode has one channel of light: black and white, 8, 16 or 32 bits, with or without opacity."""
    return mode in ("1", "L", "LA", "La", "F") or mode.startswith("I")


def looks_grey(path: str | Path | BinaryIO) -> bool:
    """By the file's head alone; one that cannot be read has no say, and is an error when its item is asked for."""
    try:
        with Image.open(path) as picture:
            return is_grey(picture.mode)
    except Exception:  # noqa: BLE001 (PIL raises many kinds)
        return True


def mode_of(paths: Iterable[Path | BinaryIO], mode: str = "auto") -> str:
    """The mode that images are read in: for "auto", "L" when every one is grey, else "RGB"; heads are read up to there."""
    if mode != "auto":
        return mode
    return "L" if all(looks_grey(path) for path in paths) else "RGB"


def to_tensor(image: Image.Image, mode: str, *, upright: bool = True) -> Tensor:
    """A picture of any PIL mode as uint8 (1, H, W) for mode "L" or (3, H, W) for "RGB", opacity dropped.

    16-bit grey is scaled to 8 bits (65535 becomes 255), where PIL's own conversion would clip it.

    Args:
        image: the picture.
        mode: "L" or "RGB".
        upright: turn it as its EXIF orientation says.
    """
    if upright:
        image = ImageOps.exif_transpose(image)  # a phone's portrait photograph is stored lying
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    pixels = torch.from_numpy(np.array(image.convert(mode)))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def resize_to(image: Tensor, size: tuple[int, int], fit: str = "crop") -> Tensor:
    """One size for images of any size, with their proportions kept.

    Args:
        image: (C, H, W) uint8.
        size: height and width wanted.
        fit: "crop" covers the size and cuts the middle out; "pad" fits into it and adds black borders.

    >>> resize_to(torch.full((1, 4, 8), 9, dtype=torch.uint8), (4, 4), "pad")[0, :, 0].tolist()
    [0, 9, 9, 0]
    """
    place = _place(image.shape[-2:], size, fit)
    if image.shape[-2:] == tuple(size):
        return image
    fitted: Tensor = tvf.center_crop(tvf.resize(image, list(place.sides), antialias=True), list(size))
    return fitted


def resize_mask_to(mask: Tensor, size: tuple[int, int], fit: str = "crop") -> Tensor:
    """A mask beside an image that `resize_to` resizes: each pixel gets the value nearest to it, and borders are 0.

    Args:
        mask: (..., H, W) of any dtype.
        size: height and width wanted.
        fit: "crop" or "pad", as for the image.

    >>> resize_mask_to(torch.tensor([[1, 1, 2, 2]] * 2), (2, 2), "crop").tolist()
    [[1, 2], [1, 2]]
    """
    place = _place(mask.shape[-2:], size, fit)
    if mask.shape[-2:] == tuple(size):
        return mask
    out = mask.new_zeros((*mask.shape[:-2], *size))
    (at_y, from_y), (at_x, from_x) = (
        _nearest(*line) for line in zip(mask.shape[-2:], place.sides, place.at, size, strict=True)
    )
    out[..., at_y, at_x] = mask[..., from_y, :][..., from_x]
    return out


def resize_boxes_to(boxes: Tensor, sides: tuple[int, int], size: tuple[int, int], fit: str = "crop") -> Tensor:
    """Boxes of an image that `resize_to` resizes, cut at its edges: one that lies outside has no area left.

    Args:
        boxes: (N, 4) float32 XYXY in pixels.
        sides: height and width of the image before.
        size: height and width wanted.
        fit: "crop" or "pad", as for the image.

    >>> resize_boxes_to(torch.tensor([[0.0, 0.0, 8.0, 2.0]]), (4, 8), (4, 4), "crop").tolist()
    [[0.0, 0.0, 4.0, 2.0]]
    """
    place = _place(sides, size, fit)
    scale = torch.tensor([place.sides[1] / sides[1], place.sides[0] / sides[0]] * 2)
    return (
        (boxes * scale + torch.tensor([place.at[1], place.at[0]] * 2))
        .clamp(min=0)
        .minimum(torch.tensor([size[1], size[0]] * 2))
    )


class _Place(NamedTuple):
    """Where a resized image comes to lie on the canvas that is wanted."""

    sides: tuple[int, int]
    """Height and width after resizing."""
    at: tuple[int, int]
    """Row and column of its corner on the canvas, below 0 where it is cut."""


def _place(sides: tuple[int, int] | torch.Size, size: tuple[int, int], fit: str) -> _Place:
    if fit not in ("crop", "pad"):
        raise ValueError(f"resize_to: fit must be 'crop' or 'pad', got {fit!r}")
    height, width = sides
    ratios = size[0] / height, size[1] / width
    scale = max(ratios) if fit == "crop" else min(ratios)
    near = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (_corner(side, whole) for side, whole in zip(near, size, strict=True))
    return _Place(near, (top, left))


def _corner(side: int, whole: int) -> int:
    """As torchvision's center_crop has it: a pixel left over is padded at the end, and cut to the even side."""
    return (whole - side) // 2 if side <= whole else -round((side - whole) / 2)


def _nearest(old: int, new: int, at: int, whole: int) -> tuple[slice, Tensor]:
    """For one axis: the part of the canvas that is covered, and the place in the mask that each pixel of it gets."""
    first, end = max(at, 0), min(at + new, whole)
    middles = 2 * torch.arange(first - at, end - at) + 1  # in halves of a pixel: whole numbers round nowhere
    return slice(first, end), middles * old // (2 * new)


def check_size(size: tuple[int, int] | None, who: str) -> None:
    """Refuse a size that is not two whole numbers above 0."""
    if size is None:
        return
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"{who}: size must be (height, width) in pixels, both above 0, got {size!r}")


def check_decoding(size: tuple[int, int] | None, fit: str, mode: str, who: str) -> None:
    """Refuse a mode, a fit or a size that readers of images do not know."""
    if mode not in ("auto", "L", "RGB"):
        raise ValueError(f"{who}: mode must be 'auto', 'L' or 'RGB', got {mode!r}")
    if fit not in ("crop", "pad"):
        raise ValueError(f"{who}: fit must be 'crop' or 'pad', got {fit!r}")
    check_size(size, who)
