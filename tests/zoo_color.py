from __future__ import annotations

from torchaug.image.channels import ChannelDropout, RandomChannelPermutation, RGBShift, ToSepia
from torchaug.image.light import FancyPCA, ISONoise, PlanckianJitter
from torchaug.image.tint import (
    RGB,
    Desaturate,
    Grayscale,
    HueSaturationValue,
    RandomAdjustSaturation,
    RandomPhotometricDistort,
)
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {
    "gray": Grayscale(),
    "rgb": RGB(),
    "gray_of_three": Grayscale(num_output_channels=3),
    "saturation": RandomAdjustSaturation((0.0, 2.5), p=1.0),
    "desaturate": Desaturate(),
    "photometric_distort": RandomPhotometricDistort(hue=(-0.3, 0.3), p=0.7),
    "channel_permutation": RandomChannelPermutation(),
    "channel_dropout": ChannelDropout((1, 2), fill=0.3, p=1.0),
    "sepia": ToSepia(p=1.0),
    "rgb_shift": RGBShift(0.3, (-0.2, 0.1), 0.2, p=1.0),
    "hsv": HueSaturationValue(0.3, 0.4, 0.3, p=1.0),
    "planckian": PlanckianJitter(p=1.0),
    "planckian_daylight": PlanckianJitter("cied", p=1.0),
    "fancy_pca": FancyPCA(0.8, p=1.0),
    "iso_noise": ISONoise((0.01, 0.1), (0.2, 1.0), p=1.0),
}
