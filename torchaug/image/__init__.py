"""Transforms of images, on whole batches, with masks, boxes and keypoints that follow."""

from torchaug.image.color import ColorJitter, RandomGrayscale
from torchaug.image.erasing import RandomErasing
from torchaug.image.geometry import (
    CenterCrop,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
)
from torchaug.image.pixels import GaussianNoise, Normalize, ToDtype
from torchaug.image.pointwise import Color, Pointwise
from torchaug.image.warp import Geometric

__all__ = [
    "CenterCrop",
    "Color",
    "ColorJitter",
    "GaussianNoise",
    "Geometric",
    "Normalize",
    "Pointwise",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToDtype",
]
