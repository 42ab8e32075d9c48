"""From a picture in a file to uint8 (C, H, W)."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")


def is_grey(mode: str) -> bool:
    """Whether a PIL mode has one channel of light: black and white, 8, 16 or 32 bits, with or without opacity."""
    return mode in ("1", "L", "LA", "La", "F") or mode.startswith("I")


def to_tensor(image: Image.Image, mode: str) -> Tensor:
    """A picture of any PIL mode as uint8 (1, H, W) for mode "L" or (3, H, W) for "RGB", upright, opacity dropped.

    16-bit grey is scaled to 8 bits (65535 becomes 255), where PIL's own conversion would clip it.
    """
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
    if fit not in ("crop", "pad"):
        raise ValueError(f"resize_to: fit must be 'crop' or 'pad', got {fit!r}")
    height, width = image.shape[-2:]
    if (height, width) == tuple(size):
        return image
    ratios = size[0] / height, size[1] / width
    scale = max(ratios) if fit == "crop" else min(ratios)
    near = [max(1, round(height * scale)), max(1, round(width * scale))]
    fitted: Tensor = tvf.center_crop(tvf.resize(image, near, antialias=True), list(size))
    return fitted


def check_size(size: tuple[int, int] | None, who: str) -> None:
    """Refuse a size that is not two whole numbers above 0."""
    if size is None:
        return
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"{who}: size must be (height, width) in pixels, both above 0, got {size!r}")
