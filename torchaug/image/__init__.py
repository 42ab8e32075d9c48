"""Transforms of images, on whole batches, with masks, boxes, keypoints and labels that follow."""

from torchaug.image.ada import ADA
from torchaug.image.adaptive import AdaptiveP, HoldoutP
from torchaug.image.augmix import AugMix
from torchaug.image.blur import AdvancedBlur, BoxBlur, GaussianBlur, MedianBlur, MotionBlur
from torchaug.image.channels import ChannelDropout, RandomChannelPermutation, RGBShift, ToSepia
from torchaug.image.clahe import CLAHE
from torchaug.image.color import ColorJitter, RandomGrayscale
from torchaug.image.crops import AtLeastOneBBoxRandomCrop, BBoxSafeRandomCrop, CropNonEmptyMaskIfExists, RandomIoUCrop
from torchaug.image.defocus import Defocus, GlassBlur, ZoomBlur
from torchaug.image.degrade import JPEG, ChromaticAberration, Downscale, Pixelate
from torchaug.image.detection_mix import CopyPaste, DetectionMixUp, RandomTransplantation
from torchaug.image.diffaugment import DiffAugment
from torchaug.image.distortion import ElasticTransform, GridDistortion, PiecewiseAffine, ThinPlateSpline
from torchaug.image.dropout import CoarseDropout, Cutout, MaskDropout, PixelDropout, XYMasking
from torchaug.image.drops import RandomRain, RandomSpatter
from torchaug.image.erasing import RandomErasing
from torchaug.image.geometry import (
    CenterCrop,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
)
from torchaug.image.grids import GridDropout, GridMask, RandomPatchDropout
from torchaug.image.illumination import (
    RandomGaussianIllumination,
    RandomLinearCornerIllumination,
    RandomLinearIllumination,
)
from torchaug.image.labels import (
    ClampBoundingBoxes,
    ClampKeyPoints,
    ConvertBoundingBoxFormat,
    SanitizeBoundingBoxes,
    SanitizeKeyPoints,
    SetClampingMode,
)
from torchaug.image.lenses import Fisheye, OpticalDistortion
from torchaug.image.light import FancyPCA, ISONoise, PlanckianJitter
from torchaug.image.mix import Mix
from torchaug.image.mixing import CutMix, LabelSmoothing, MixUp, SwitchMix
from torchaug.image.mosaic import Mosaic
from torchaug.image.noise import MultiplicativeNoise, SaltAndPepper, ShotNoise, SpeckleNoise
from torchaug.image.pads import CropOrPad, Pad, PadIfNeeded, RandomZoomOut
from torchaug.image.patches import PatchMix, RandomJigsaw
from torchaug.image.perspective import RandomPerspective, RandomShear, RandomTranslate, SafeRotate, ShiftScaleRotate
from torchaug.image.pixels import (
    Denormalize,
    GaussianNoise,
    Identity,
    LinearTransformation,
    Normalize,
    ToDtype,
    ToImage,
    ToMemoryFormat,
)
from torchaug.image.plasma import RandomPlasmaBrightness, RandomPlasmaContrast, RandomPlasmaShadow
from torchaug.image.pointwise import Color, Pixels, Pointwise
from torchaug.image.policies import AutoAugment, RandAugment, ThreeAugment, TrivialAugmentWide
from torchaug.image.rotation import RandomAffine, RandomRotation
from torchaug.image.sharpen import Emboss, RingingOvershoot, UnsharpMask
from torchaug.image.shuffle import RandomGridShuffle
from torchaug.image.sizes import LongestMaxSize, RandomResize, RandomShortestSize, ScaleJitter, SmallestMaxSize
from torchaug.image.superpixels import Superpixels
from torchaug.image.survival import LabelSurvival, label_survival
from torchaug.image.symmetry import RandomD4, RandomRotation90, RandomTranspose
from torchaug.image.timm import TimmAugMix, TimmAutoAugment, TimmRandAugment, timm_augment
from torchaug.image.tint import (
    RGB,
    Desaturate,
    Grayscale,
    HueSaturationValue,
    RandomAdjustSaturation,
    RandomPhotometricDistort,
)
from torchaug.image.tone import (
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGamma,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
    RandomToneCurve,
    SolarizeAdd,
)
from torchaug.image.video import UniformTemporalSubsample
from torchaug.image.views import FiveCrop, TenCrop
from torchaug.image.warp import Geometric, Warp
from torchaug.image.weather import RandomFog, RandomShadow, RandomSnow, RandomSunFlare

__all__ = [
    "ADA",
    "CLAHE",
    "JPEG",
    "RGB",
    "AdaptiveP",
    "AdvancedBlur",
    "AtLeastOneBBoxRandomCrop",
    "AugMix",
    "AutoAugment",
    "BBoxSafeRandomCrop",
    "BoxBlur",
    "CenterCrop",
    "ChannelDropout",
    "ChromaticAberration",
    "ClampBoundingBoxes",
    "ClampKeyPoints",
    "CoarseDropout",
    "Color",
    "ColorJitter",
    "ConvertBoundingBoxFormat",
    "CopyPaste",
    "CropNonEmptyMaskIfExists",
    "CropOrPad",
    "CutMix",
    "Cutout",
    "Defocus",
    "Denormalize",
    "Desaturate",
    "DetectionMixUp",
    "DiffAugment",
    "Downscale",
    "ElasticTransform",
    "Emboss",
    "FancyPCA",
    "Fisheye",
    "FiveCrop",
    "GaussianBlur",
    "GaussianNoise",
    "Geometric",
    "GlassBlur",
    "Grayscale",
    "GridDistortion",
    "GridDropout",
    "GridMask",
    "HoldoutP",
    "HueSaturationValue",
    "ISONoise",
    "Identity",
    "LabelSmoothing",
    "LabelSurvival",
    "LinearTransformation",
    "LongestMaxSize",
    "MaskDropout",
    "MedianBlur",
    "Mix",
    "MixUp",
    "Mosaic",
    "MotionBlur",
    "MultiplicativeNoise",
    "Normalize",
    "OpticalDistortion",
    "Pad",
    "PadIfNeeded",
    "PatchMix",
    "PiecewiseAffine",
    "PixelDropout",
    "Pixelate",
    "Pixels",
    "PlanckianJitter",
    "Pointwise",
    "RGBShift",
    "RandAugment",
    "RandomAdjustSaturation",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomAutocontrast",
    "RandomChannelPermutation",
    "RandomCrop",
    "RandomD4",
    "RandomEqualize",
    "RandomErasing",
    "RandomFog",
    "RandomGamma",
    "RandomGaussianIllumination",
    "RandomGrayscale",
    "RandomGridShuffle",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomIoUCrop",
    "RandomJigsaw",
    "RandomLinearCornerIllumination",
    "RandomLinearIllumination",
    "RandomPatchDropout",
    "RandomPerspective",
    "RandomPhotometricDistort",
    "RandomPlasmaBrightness",
    "RandomPlasmaContrast",
    "RandomPlasmaShadow",
    "RandomPosterize",
    "RandomRain",
    "RandomResize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomRotation90",
    "RandomShadow",
    "RandomShear",
    "RandomShortestSize",
    "RandomSnow",
    "RandomSolarize",
    "RandomSpatter",
    "RandomSunFlare",
    "RandomToneCurve",
    "RandomTranslate",
    "RandomTransplantation",
    "RandomTranspose",
    "RandomVerticalFlip",
    "RandomZoomOut",
    "Resize",
    "RingingOvershoot",
    "SafeRotate",
    "SaltAndPepper",
    "SanitizeBoundingBoxes",
    "SanitizeKeyPoints",
    "ScaleJitter",
    "SetClampingMode",
    "ShiftScaleRotate",
    "ShotNoise",
    "SmallestMaxSize",
    "SolarizeAdd",
    "SpeckleNoise",
    "Superpixels",
    "SwitchMix",
    "TenCrop",
    "ThinPlateSpline",
    "ThreeAugment",
    "TimmAugMix",
    "TimmAutoAugment",
    "TimmRandAugment",
    "ToDtype",
    "ToImage",
    "ToMemoryFormat",
    "ToSepia",
    "TrivialAugmentWide",
    "UniformTemporalSubsample",
    "UnsharpMask",
    "Warp",
    "XYMasking",
    "ZoomBlur",
    "label_survival",
    "timm_augment",
]
