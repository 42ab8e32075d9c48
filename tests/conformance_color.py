"""Colour: torchvision, PIL, OpenCV, kornia, albumentations, and formulae written out in numpy."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from conformance import Case, Record, against
from conformance_levels import in_numpy, on_pil
from PIL import ImageEnhance
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from torchaug.image.channels import ChannelDropout, RandomChannelPermutation, RGBShift, ToSepia
from torchaug.image.light import FancyPCA, ISONoise, PlanckianJitter
from torchaug.image.tint import (
    Desaturate,
    Grayscale,
    HueSaturationValue,
    RandomAdjustSaturation,
    RandomPhotometricDistort,
)
from torchaug.keys import noise


def distorted(image: Tensor, record: Record) -> Tensor:
    """torchvision's steps on float images; uint8, which torchvision cuts after each step, is rounded at the end."""
    values: Tensor = image if image.is_floating_point() else image.double() / 255
    values = tvf.adjust_brightness(values, record["brightness"])
    if record["contrast_first"]:
        values = tvf.adjust_contrast(values, record["contrast"])
    values = tvf.adjust_hue(tvf.adjust_saturation(values, record["saturation"]), record["hue"])
    if not record["contrast_first"]:
        values = tvf.adjust_contrast(values, record["contrast"])
    ordered: Tensor = tvf.permute_channels(values, record["order"])
    return ordered if image.is_floating_point() else (ordered * 255).round().to(torch.uint8)


def dropped(values: Any, record: Record) -> Any:
    gone = np.argsort(record["scores"])[: record["count"]]
    values = values.copy()
    values[gone] = 0.25
    return values


def browned(values: Any, record: Record) -> Any:
    sepia = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
    return np.minimum(np.einsum("ij,jhw->ihw", sepia, values), 1)


def shifted(values: Any, record: Record) -> Any:
    return np.clip(values + np.reshape(record["shift"], (3, 1, 1)), 0, 1)


def in_hsv(values: Any, record: Record) -> Any:
    """By the standard library, pixel by pixel."""
    import colorsys

    def pixel(rgb: Any) -> tuple[float, float, float]:
        h, s, v = colorsys.rgb_to_hsv(*rgb)
        s = np.clip(s + record["saturation"], 0, 1) if s else 0.0
        return colorsys.hsv_to_rgb((h + record["hue"]) % 1, s, np.clip(v + record["value"], 0, 1))

    return np.apply_along_axis(pixel, 0, values)


def lightened(values: Any, record: Record) -> Any:
    """PCA lighting with the numbers of fb.resnet.torch."""
    eigenvalues = np.array([0.2175, 0.0188, 0.0045])
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    shift = vectors @ (np.array(record["alphas"]) * eigenvalues)
    return np.clip(values + shift[:, None, None], 0, 1)


def noisy(values: Any, record: Record) -> Any:
    """In HLS by the standard library, with Poisson numbers by SciPy; only the normal fields are ours."""
    import colorsys

    from scipy import stats

    seeds, shape = torch.tensor([record["seeds"]]), values.shape[1:]
    turns = noise(seeds[:, :2], shape)[0].numpy() * record["color_shift"] * record["intensity"]
    uniform = stats.norm.cdf(noise(seeds[:, 2:], shape)[0].double().numpy())
    lightness = (values.max(0) + values.min(0)) / 2
    counts = stats.poisson.ppf(uniform, lightness.std() * record["intensity"])

    def pixel(six: Any) -> tuple[float, float, float]:
        hue, light, saturation = colorsys.rgb_to_hls(*six[:3])
        light = min(light + six[4] * record["intensity"] * (1 - light), 1)
        return colorsys.hls_to_rgb((hue + six[3]) % 1, light, saturation)

    return np.apply_along_axis(pixel, 0, np.concatenate([values, turns[None], counts[None]])).clip(0, 1)


CASES: list[Case] = [
    *against(Grayscale(), lambda x, _: tvf.rgb_to_grayscale(x), "torchvision rgb_to_grayscale", float_tolerance=1e-6),
    *against(Grayscale(3), lambda x, _: tvf.rgb_to_grayscale(x, 3), "torchvision rgb_to_grayscale"),
    *against(
        RandomAdjustSaturation((0.0, 2.0), p=1.0),
        lambda x, r: tvf.adjust_saturation(x, r["saturation_factor"]),
        "torchvision adjust_saturation",
        float_tolerance=1e-6,
        uint8_tolerance=2,
    ),
    *against(
        RandomAdjustSaturation((0.0, 2.0), p=1.0),
        on_pil(lambda x, r: ImageEnhance.Color(x).enhance(r["saturation_factor"])),
        "PIL Color",
        float_tolerance=None,
    ),
    *against(
        Desaturate(),
        on_pil(lambda x, r: ImageEnhance.Color(x).enhance(1 - r["amount"])),
        "PIL Color, as timm uses it",
        float_tolerance=None,
    ),
    *against(RandomPhotometricDistort(hue=(-0.5, 0.5), p=0.7), distorted, "torchvision's steps, on floats", count=32),
    *against(
        RandomChannelPermutation(),
        lambda x, r: tvf.permute_channels(x, torch.tensor(r["scores"]).argsort().tolist()),
        "torchvision permute_channels",
        float_tolerance=0,
        uint8_tolerance=0,
    ),
    *against(ChannelDropout((1, 2), fill=0.25, p=1.0), in_numpy(dropped), "numpy", float_tolerance=0),
    *against(ToSepia(p=1.0), in_numpy(browned), "the matrix, in float64", float_tolerance=1e-6),
    *against(RGBShift(0.3, (-0.2, 0.1), 0.2, p=1.0), in_numpy(shifted), "numpy", float_tolerance=1e-6),
    *against(
        HueSaturationValue(0.5, 0.4, 0.3, p=1.0),
        in_numpy(in_hsv),
        "colorsys, in float64",
        canvas=(16, 18),
    ),
    *against(FancyPCA(0.5, p=1.0), in_numpy(lightened), "numpy, ImageNet's components", float_tolerance=1e-6),
    *against(
        ISONoise((0.01, 0.1), (0.2, 1.0), p=1.0),
        in_numpy(noisy),
        "colorsys and SciPy, in float64",
        canvas=(16, 18),
        share=0.002,  # a count may fall either way where the uniform number is at a step
    ),
]

if find_spec("kornia"):

    def lit(kornia_mode: str, lowest: float) -> Any:
        def oracle(image: Tensor, record: Record) -> Tensor:
            from kornia.augmentation._2d.intensity.planckian_jitter import get_planckian_coeffs

            table = get_planckian_coeffs(kornia_mode).double().numpy()
            place = (record["temperature"] - lowest) / 500
            red, blue = (np.interp(place, np.arange(len(table)), table[:, i]) for i in (0, 1))
            return in_numpy(lambda x, _: (x * np.reshape([red, 1, blue], (3, 1, 1))).clip(0, 1))(image, record)

        return oracle

    CASES += [
        *against(
            PlanckianJitter("blackbody", p=1.0),
            lit("blackbody", 3000),
            "kornia's table, linearly",
            float_tolerance=1e-6,
        ),
        *against(PlanckianJitter("cied", p=1.0), lit("CIED", 4000), "kornia's table, linearly", float_tolerance=1e-6),
    ]

if find_spec("albumentations"):

    def shifted_by_albumentations(image: Tensor, record: Record) -> Tensor:
        from albumentations.augmentations.pixel import functional as A

        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        shifts = record["hue"] * 180, record["saturation"] * 255, record["value"] * 255
        return torch.from_numpy(A.shift_hsv(pixels, *map(round, shifts))).permute(2, 0, 1)

    CASES += against(
        HueSaturationValue(p=1.0),
        shifted_by_albumentations,
        "albumentations shift_hsv (HSV in 8 bits, hue in steps of 2 degrees), nine pixels of ten",
        float_tolerance=None,
        uint8_tolerance=2,
        share=0.1,
    )
