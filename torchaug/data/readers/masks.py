"""Pictures of class numbers, and items of an image and its mask."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from torchaug.data.decode import resize_mask_to, resize_to
from torchaug.data.items import Item


def read_mask(file: Path | BinaryIO, name: object) -> Tensor:
    """A picture of class numbers as (1, H, W): uint8, or int32 where it has 16 bits. A palette's colours are ignored.

    Args:
        file: the picture's.
        name: of the file, for messages.
    """
    with Image.open(file) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.mode not in ("L", "P", "1") and not picture.mode.startswith("I"):
            raise ValueError(
                f"mask {name} must hold class numbers in one channel (mode L, P, 1 or I), got mode {picture.mode}; "
                "turn colours into class numbers"
            )
        pixels = np.array(picture)
    return torch.from_numpy(pixels.astype(np.int32 if pixels.itemsize > 1 else np.uint8))[None]


def image_item(image: Tensor, mask: Tensor | None, size: tuple[int, int] | None, fit: str, name: object = "") -> Item:
    """`{"image", "mask"}`, both brought to `size`, or an error that names a mask of other sides than the image's."""
    item = {"image": image if size is None else resize_to(image, size, fit)}
    if mask is None:
        return item
    if mask.shape[-2:] != image.shape[-2:]:
        raise ValueError(
            f"mask {name} must have the image's height and width, {tuple(image.shape[-2:])}, got "
            f"{tuple(mask.shape[-2:])}"
        )
    return item | {"mask": mask if size is None else resize_mask_to(mask, size, fit)}
