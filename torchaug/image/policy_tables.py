"""What the published policies consist of: their operations with the laws of the magnitudes, and AutoAugment's choices.

AutoAugment: Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data" (2018), tables 7 to 9. RandAugment:
Cubuk et al. (2019). TrivialAugment: Mueller and Hutter (2021), the wide space. AugMix: Hendrycks et al. (2019). The values
per bin are those of torchvision's transforms; timm's ranges and sets of operations are those that its documentation and its
configuration strings name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torchaug.image import policy_ops as ops
from torchaug.image.policy_ops import Bins, BitBins, Border, Level, Magnitude, RandomRadius, ShareBins
from torchaug.transform import Transform


@dataclass(frozen=True)
class Space:
    """The largest magnitudes of one of torchvision's policies.

    Args:
        shear: in pixels per row or column.
        shift: in pixels, or as a share of the image's side (numerator, denominator).
        rotate: in degrees.
        enhance: either way from a factor of 1.
        bits: kept at the first bin,
        drop: fewer at the last.
    """

    shear: float
    shift: float | tuple[int, int]
    rotate: float
    enhance: float
    bits: int
    drop: int

    def operations(self, bins: int, border: Border) -> dict[str, Transform]:
        """The operations by name, in torchvision's order; `Invert` is AutoAugment's alone."""
        shear = Bins(0.0, self.shear, bins, signed=True)
        enhance = Bins(0.0, self.enhance, bins, signed=True)
        return {
            "ShearX": ops.ShearX(shear, border),
            "ShearY": ops.ShearY(shear, border),
            "TranslateX": ops.TranslateX(self._shift(bins, wide=True), border),
            "TranslateY": ops.TranslateY(self._shift(bins, wide=False), border),
            "Rotate": ops.Rotate(Bins(0.0, self.rotate, bins, signed=True), border),
            "Brightness": ops.Brightness(enhance),
            "Color": ops.Color(enhance),
            "Contrast": ops.Contrast(enhance),
            "Sharpness": ops.Sharpness(enhance),
            "Posterize": ops.Posterize(BitBins(self.bits, self.drop, bins)),
            "Solarize": ops.Solarize(Bins(1.0, 0.0, bins)),
            "AutoContrast": ops.AutoContrast(),
            "Equalize": ops.Equalize(),
            "Invert": ops.Invert(),
        }

    def _shift(self, bins: int, wide: bool) -> Magnitude:
        if isinstance(self.shift, tuple):
            return ShareBins(self.shift, "width" if wide else "height", bins)
        return Bins(0.0, self.shift, bins, signed=True, whole=True)


RAND = Space(shear=0.3, shift=(150, 331), rotate=30.0, enhance=0.9, bits=8, drop=4)
"""Of AutoAugment and RandAugment."""
WIDE = Space(shear=0.99, shift=32.0, rotate=135.0, enhance=0.99, bits=8, drop=6)
"""Of TrivialAugment."""
MIX = Space(shear=0.3, shift=(1, 3), rotate=30.0, enhance=0.9, bits=4, drop=4)
"""Of AugMix."""


class Step(NamedTuple):
    """One operation of a sub-policy: its name, its chance in tenths, and its magnitude from 0 to 10."""

    name: str
    tenths: int
    magnitude: int


SubPolicies = list[list[Step]]


def subpolicies(text: str) -> SubPolicies:
    """Sub-policies from lines such as "Posterize 4 8, Rotate 6 9": name, chance in tenths, magnitude (0: has none)."""
    lines = [line.split(",") for line in text.strip().splitlines()]
    return [[Step(name, int(p), int(m)) for name, p, m in (part.split() for part in line)] for line in lines]


IMAGENET = """
Posterize 4 8, Rotate 6 9
Solarize 6 5, AutoContrast 6 0
Equalize 8 0, Equalize 6 0
Posterize 6 7, Posterize 6 6
Equalize 4 0, Solarize 2 4
Equalize 4 0, Rotate 8 8
Solarize 6 3, Equalize 6 0
Posterize 8 5, Equalize 10 0
Rotate 2 3, Solarize 6 8
Equalize 6 0, Posterize 4 6
Rotate 8 8, Color 4 0
Rotate 4 9, Equalize 6 0
Equalize 0 0, Equalize 8 0
Invert 6 0, Equalize 10 0
Color 6 4, Contrast 10 8
Rotate 8 8, Color 10 2
Color 8 8, Solarize 8 7
Sharpness 4 7, Invert 6 0
ShearX 6 5, Equalize 10 0
Color 4 0, Equalize 6 0
Equalize 4 0, Solarize 2 4
Solarize 6 5, AutoContrast 6 0
Invert 6 0, Equalize 10 0
Color 6 4, Contrast 10 8
Equalize 8 0, Equalize 6 0
"""

CIFAR10 = """
Invert 1 0, Contrast 2 6
Rotate 7 2, TranslateX 3 9
Sharpness 8 1, Sharpness 9 3
ShearY 5 8, TranslateY 7 9
AutoContrast 5 0, Equalize 9 0
ShearY 2 7, Posterize 3 7
Color 4 3, Brightness 6 7
Sharpness 3 9, Brightness 7 9
Equalize 6 0, Equalize 5 0
Contrast 6 7, Sharpness 6 5
Color 7 7, TranslateX 5 8
Equalize 3 0, AutoContrast 4 0
TranslateY 4 3, Sharpness 2 6
Brightness 9 6, Color 2 8
Solarize 5 2, Invert 0 0
Equalize 2 0, AutoContrast 6 0
Equalize 2 0, Equalize 6 0
Color 9 9, Equalize 6 0
AutoContrast 8 0, Solarize 2 8
Brightness 1 3, Color 7 0
Solarize 4 5, AutoContrast 9 0
TranslateY 9 9, TranslateY 7 9
AutoContrast 9 0, Solarize 8 3
Equalize 8 0, Invert 1 0
TranslateY 7 9, AutoContrast 9 0
"""

SVHN = """
ShearX 9 4, Invert 2 0
ShearY 9 8, Invert 7 0
Equalize 6 0, Solarize 6 6
Invert 9 0, Equalize 6 0
Equalize 6 0, Rotate 9 3
ShearX 9 4, AutoContrast 8 0
ShearY 9 8, Invert 4 0
ShearY 9 5, Solarize 2 6
Invert 9 0, AutoContrast 8 0
Equalize 6 0, Rotate 9 3
ShearX 9 4, Solarize 3 3
ShearY 8 8, Invert 7 0
Equalize 9 0, TranslateY 6 6
Invert 9 0, Equalize 6 0
Contrast 3 3, Rotate 8 4
Invert 8 0, TranslateY 0 2
ShearY 7 6, Solarize 4 8
Invert 6 0, Rotate 8 4
ShearY 3 7, TranslateX 9 3
ShearX 1 6, Invert 6 0
Solarize 7 2, TranslateY 6 7
ShearY 8 4, Invert 8 0
ShearX 7 9, TranslateY 8 3
ShearY 8 5, AutoContrast 7 0
ShearX 7 2, Invert 1 0
"""

POLICIES = {"imagenet": IMAGENET, "cifar10": CIFAR10, "svhn": SVHN}

V0 = """
Equalize 8 1, ShearY 8 4
Color 4 9, Equalize 6 3
Color 4 1, Rotate 6 8
Solarize 8 3, Equalize 4 7
Solarize 4 2, Solarize 6 2
Color 2 0, Equalize 8 8
Equalize 4 8, SolarizeAdd 8 3
ShearX 2 9, Rotate 6 8
Color 6 1, Equalize 10 2
Invert 4 9, Rotate 6 0
Equalize 10 9, ShearY 6 3
Color 4 7, Equalize 6 0
Posterize 4 6, AutoContrast 4 7
Solarize 6 8, Color 6 9
Solarize 2 4, Rotate 8 9
Rotate 10 7, TranslateYRel 8 9
ShearX 0 0, Solarize 8 4
ShearY 8 0, Color 6 4
Color 10 0, Rotate 6 2
Equalize 8 4, Equalize 0 8
Equalize 10 4, AutoContrast 6 2
ShearY 4 7, SolarizeAdd 6 7
Posterize 8 2, Solarize 6 10
Solarize 6 8, Equalize 6 1
Color 8 6, Rotate 4 5
"""
"""Of the TPU's EfficientNet (Tan and Le, 2019)."""

THREE = """
Solarize 10 5
Desaturate 10 10
BlurRandomly 10 10
"""
"""DeiT III's three."""

TIMM_POLICIES = {
    "original": IMAGENET.replace("Posterize", "PosterizeOriginal"),
    "originalr": IMAGENET.replace("Posterize", "PosterizeIncreasing"),
    "v0": V0,
    "v0r": V0.replace("Posterize", "PosterizeIncreasing"),
    "3a": THREE,
}

_GEOMETRY = "Rotate ShearX ShearY TranslateXRel TranslateYRel"
_SAME = "AutoContrast Equalize Invert SolarizeAdd"
_INCREASING = (
    "PosterizeIncreasing SolarizeIncreasing ColorIncreasing ContrastIncreasing BrightnessIncreasing SharpnessIncreasing"
)
TIMM_RAND = f"{_SAME} Posterize Solarize Color Contrast Brightness Sharpness {_GEOMETRY}".split()
TIMM_INCREASING = f"{_SAME} {_INCREASING} {_GEOMETRY}".split()
TIMM_AUGMIX = f"AutoContrast Equalize {_INCREASING} {_GEOMETRY}".split()
TIMM_THREE = ["SolarizeIncreasing", "Desaturate", "Blur"]


def weights(text: str) -> dict[str, float]:
    """Weights from text such as "3 Rotate, 2 ShearX ShearY": one for several names."""
    parts = [part.split() for part in text.split(",")]
    return {name: float(weight) for weight, *names in parts for name in names}


TIMM_WEIGHTS = weights("""
    3 Rotate, 2 ShearX ShearY, 1 TranslateXRel TranslateYRel, 0.25 ColorIncreasing SharpnessIncreasing AutoContrast,
    0.05 SolarizeIncreasing SolarizeAdd ContrastIncreasing BrightnessIncreasing Equalize PosterizeIncreasing Invert
""")
TIMM_THREE_WEIGHTS = weights("""
    6 SolarizeIncreasing Desaturate Blur, 3 Rotate, 2 ShearX ShearY,
    1 PosterizeIncreasing AutoContrast ColorIncreasing SharpnessIncreasing ContrastIncreasing BrightnessIncreasing,
    1 Equalize Invert
""")


def timm_operations(border: Border) -> dict[str, Transform]:
    """timm's operations by its names, with its laws of the magnitude."""
    shear = Level(slope=0.3, signed=True)
    enhance = Level(start=-0.9, slope=1.8)  # a factor from 0.1 to 1.9
    away = Level(slope=0.9, signed=True, least=-0.9)  # from a factor of 1, either way
    return {
        "AutoContrast": ops.AutoContrast(),
        "Equalize": ops.Equalize(),
        "Invert": ops.Invert(),
        "Rotate": ops.Rotate(Level(slope=30.0, signed=True), border),
        "ShearX": ops.ShearX(shear, border),
        "ShearY": ops.ShearY(shear, border),
        "TranslateXRel": ops.TranslateX(Level(slope=0.45, signed=True, side="width"), border),
        "TranslateYRel": ops.TranslateY(Level(slope=0.45, signed=True, side="height"), border),
        "Posterize": ops.Posterize(Level(slope=4.0, whole=True, most=8.0)),
        "PosterizeIncreasing": ops.Posterize(Level(start=4.0, slope=-4.0, whole=True, least=0.0)),
        "PosterizeOriginal": ops.Posterize(Level(start=4.0, slope=4.0, whole=True, most=8.0)),
        "Solarize": ops.Solarize(Level(start=-0.5, slope=256.0, whole=True, over=255.0)),
        "SolarizeIncreasing": ops.Solarize(Level(start=255.5, slope=-256.0, whole=True, over=255.0)),
        "SolarizeAdd": ops.SolarizeAdd(Level(slope=110.0, whole=True, most=128.0, over=255.0)),
        "Desaturate": ops.Color(Level(start=-0.5, slope=-0.5, least=-1.0)),
        "Blur": ops.Blur(Level(start=0.1, slope=1.9, most=2.0)),
        "BlurRandomly": ops.Blur(RandomRadius(0.1, 2.0)),
        "Color": ops.Color(enhance),
        "Contrast": ops.Contrast(enhance),
        "Brightness": ops.Brightness(enhance),
        "Sharpness": ops.Sharpness(enhance),
        "ColorIncreasing": ops.Color(away),
        "ContrastIncreasing": ops.Contrast(away),
        "BrightnessIncreasing": ops.Brightness(away),
        "SharpnessIncreasing": ops.Sharpness(away),
    }
