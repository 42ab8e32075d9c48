"""Transforms of volumes (B, C, D, H, W), such as CT and MRI, on whole batches, with masks that follow.

Names and defaults are TorchIO's where it has the transform; axes are depth, height, width (0, 1, 2), lengths in voxels.
uint8 volumes count as levels of [0, 1]; floating point ones may have any range.
"""

from torchaug.volume.artefacts import RandomAnisotropy, RandomGhosting, RandomMotion, RandomSpike, RandomSwap
from torchaug.volume.geometry import CubicSymmetry, RandomAffine, RandomElasticDeformation, RandomFlip
from torchaug.volume.intensity import (
    RandomBiasField,
    RandomBlur,
    RandomGamma,
    RandomNoise,
    RescaleIntensity,
    ZNormalize,
)
from torchaug.volume.kinds import Geometric, Intensity
from torchaug.volume.shapes import CenterCrop, CropOrPad, Pad, RandomCrop, Resize

__all__ = [
    "CenterCrop",
    "CropOrPad",
    "CubicSymmetry",
    "Geometric",
    "Intensity",
    "Pad",
    "RandomAffine",
    "RandomAnisotropy",
    "RandomBiasField",
    "RandomBlur",
    "RandomCrop",
    "RandomElasticDeformation",
    "RandomFlip",
    "RandomGamma",
    "RandomGhosting",
    "RandomMotion",
    "RandomNoise",
    "RandomSpike",
    "RandomSwap",
    "RescaleIntensity",
    "Resize",
    "ZNormalize",
]
