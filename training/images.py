"""What suits a set of images: the size of networks, and how many grey levels there are."""

from __future__ import annotations

import torch

from torchaug.data.images import TensorImages


def suited(data: TensorImages) -> tuple[str, int, int]:
    """The preset that suits these images on this machine, how many values a pixel has, and the longer side."""
    side = max(data.images.shape[-2:])
    preset = "tiny" if side <= 16 else "small" if side <= 32 else "base"
    if not torch.cuda.is_available():
        preset = "tiny"  # a step of the others takes seconds there
    return preset, grey_levels(data.images), side


def grey_levels(images: torch.Tensor) -> int:
    """How many values, evenly spaced from 0 to 255, uint8 images have: 256 where that is unclear.

    >>> grey_levels(torch.tensor([0, 255, 128], dtype=torch.uint8)), grey_levels(torch.tensor([0, 7], dtype=torch.uint8))
    (3, 256)
    """
    found = images.unique()
    for levels in range(2, 65):
        if len(found) > levels // 2 and bool(torch.isin(found, _grid(levels)).all()):
            return levels
    return 256


def check_levels(images: torch.Tensor, levels: int, who: str) -> None:
    """Refuses a number of levels of which uint8 images have other values: what is made would be told by them."""
    if levels != 256 and (levels < 2 or not bool(torch.isin(images.unique(), _grid(levels)).all())):
        raise ValueError(
            f"{who}: levels must be 256, or so many that each pixel has one of them, such as {grey_levels(images)}, got {levels}"
        )


def _grid(levels: int) -> torch.Tensor:
    """So many values, evenly spaced from 0 to 255."""
    return (torch.arange(levels) * 255 / (levels - 1)).round().to(torch.uint8)
