"""Crops that come in fives and tens."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from torchaug.image import arguments


class FiveCrop(nn.Module):
    """The four corners and the centre of each image, as torchvision's transform of this name.

    It makes five images of one, whose keys and labels it could not keep: hence not a transform of ours, and to be used
    by itself, for test-time augmentation.

    Args:
        size: (height, width), or one number for both, at most the image's.

    >>> import torch
    >>> [tuple(crop.shape) for crop in FiveCrop(4)(torch.rand(2, 3, 6, 8))][:2]
    [(2, 3, 4, 4), (2, 3, 4, 4)]
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size = arguments.pair(size, "FiveCrop", "size")

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Top left, top right, bottom left, bottom right and centre of images (..., H, W): five of (..., h, w)."""
        return _five(image, self.size, "FiveCrop")


class TenCrop(nn.Module):
    """The four corners and the centre of each image, then those of its mirror image, as torchvision's of this name.

    It makes ten images of one: see `FiveCrop`.

    Args:
        size: (height, width), or one number for both, at most the image's.
        vertical_flip: mirror top and bottom instead of left and right.

    >>> import torch
    >>> len(TenCrop(4)(torch.rand(2, 3, 6, 8)))
    10
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        super().__init__()
        self.size, self.vertical_flip = arguments.pair(size, "TenCrop", "size"), vertical_flip

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The crops of images (..., H, W): ten of (..., h, w), in `FiveCrop`'s order."""
        mirrored = image.flip(-2 if self.vertical_flip else -1)
        return _five(image, self.size, "TenCrop") + _five(mirrored, self.size, "TenCrop")


def _five(image: Tensor, size: tuple[int, int], who: str) -> tuple[Tensor, ...]:
    (height, width), (full_height, full_width) = size, image.shape[-2:]
    if height > full_height or width > full_width:
        raise ValueError(f"{who}: image must be at least {height} x {width}, got {full_height} x {full_width}")
    bottom, right = full_height - height, full_width - width
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2)))
    return tuple(image[..., top : top + height, left : left + width] for top, left in corners)
