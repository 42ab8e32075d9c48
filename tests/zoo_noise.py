from __future__ import annotations

from torchaug.image.degrade import JPEG, ChromaticAberration, Downscale, Pixelate
from torchaug.image.dropout import CoarseDropout, Cutout, MaskDropout, PixelDropout, XYMasking
from torchaug.image.erasing import RandomErasing
from torchaug.image.grids import GridDropout, GridMask, RandomPatchDropout
from torchaug.image.noise import MultiplicativeNoise, SaltAndPepper, ShotNoise, SpeckleNoise
from torchaug.image.pixels import Denormalize, Identity, ToImage, ToMemoryFormat
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {
    "erasing_many": RandomErasing(p=1.0, scale=(0.1, 0.5), mode="rand", count=(2, 6), fill_mask=0),
    "coarse_dropout": CoarseDropout((1, 8), fill_mask=0, p=1.0),
    "coarse_dropout_colours": CoarseDropout((1, 3), (4, 9), (4, 9), fill="random_uniform", p=1.0),
    "cutout": Cutout((12, 16), fill=(0.1, 0.5, 0.9)),
    "xy_masking": XYMasking((0, 2), 1, (2, 5), 0.1, p=1.0),
    "grid_dropout": GridDropout(0.5, unit_size_range=(4, 9), fill="random", p=1.0),
    "grid_dropout_cells": GridDropout(0.3, False, holes_number_xy=(4, 3), shift_xy=(1, 2), fill_mask=0, p=1.0),
    "grid_mask": GridMask((0.2, 0.6), 0.5, degrees=45),
    "patch_dropout": RandomPatchDropout(5, (0.2, 0.7)),
    "pixel_dropout": PixelDropout((0.1, 0.3), fill_mask=0, p=1.0),
    "pixel_dropout_channels": PixelDropout(0.2, per_channel=True, fill=0.5, p=1.0),
    "salt_and_pepper": SaltAndPepper((0.1, 0.4), (0.2, 0.8), p=1.0),
    "shot_noise": ShotNoise((0.001, 0.3), p=1.0),
    "multiplicative_noise": MultiplicativeNoise((0.5, 1.5), p=1.0),
    "multiplicative_noise_pixels": MultiplicativeNoise((0.5, 1.5), per_channel=True, elementwise=True, p=1.0),
    "speckle_noise": SpeckleNoise(sigma=(0.05, 0.3)),
    "denormalize": Denormalize([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]),
    "identity": Identity(),
    "to_image": ToImage(),
    "channels_last": ToMemoryFormat(),
    "jpeg": JPEG((5, 95)),
    "downscale": Downscale((0.2, 0.9), p=1.0),
    "downscale_bilinear": Downscale((0.2, 0.9), "bilinear", p=1.0),
    "pixelate": Pixelate((2, 9)),
    "chromatic_aberration": ChromaticAberration((-0.3, 0.4), 0.5, "red_blue", p=1.0),
    "mask_dropout": MaskDropout((1, 2), num_objects=3, p=1.0),
}
