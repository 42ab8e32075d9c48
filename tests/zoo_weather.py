"""Illumination, weather, and the augmentations of GAN training."""

from __future__ import annotations

from torchaug.image.ada import ADA
from torchaug.image.diffaugment import DiffAugment
from torchaug.image.drops import RandomRain, RandomSpatter
from torchaug.image.illumination import (
    RandomGaussianIllumination,
    RandomLinearCornerIllumination,
    RandomLinearIllumination,
)
from torchaug.image.plasma import RandomPlasmaBrightness, RandomPlasmaContrast, RandomPlasmaShadow
from torchaug.image.weather import RandomFog, RandomShadow, RandomSnow, RandomSunFlare
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {
    "linear_illumination": RandomLinearIllumination(gain=(0.1, 0.5), p=1.0),
    "corner_illumination": RandomLinearCornerIllumination(gain=(0.1, 0.5), p=1.0),
    "gaussian_illumination": RandomGaussianIllumination(gain=(0.1, 0.5), p=1.0),
    "plasma_brightness": RandomPlasmaBrightness(p=1.0),
    "plasma_contrast": RandomPlasmaContrast(p=1.0),
    "plasma_shadow": RandomPlasmaShadow(p=1.0),
    "shadow": RandomShadow(num_shadows_limit=(1, 3), shadow_intensity_range=(0.2, 0.8), p=1.0),
    "fog": RandomFog(p=1.0),
    "rain": RandomRain(p=1.0),
    "rain_heavy": RandomRain(drop_length=9, drop_width=2, blur_value=3, rain_type="heavy", p=1.0),
    "snow": RandomSnow(p=1.0),
    "sun_flare": RandomSunFlare(src_radius=12, p=1.0),
    "spatter_rain": RandomSpatter(gauss_sigma=(1, 2), p=1.0),
    "spatter_mud": RandomSpatter(mode="mud", p=1.0),
    # those of their steps that leave pixels where they are; the others, which refuse masks and boxes, are in test_ada.py
    "ada": ADA("color", strengths={"imgfilter": 1, "noise": 1, "cutout": 1}, p=0.7),
    "diffaugment": DiffAugment("color,cutout"),
}
