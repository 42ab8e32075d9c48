"""Levels and tone: torchvision and PIL on uint8 to the last bit, OpenCV, and formulae written out in numpy."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from conformance import Case, Oracle, Record, against, difference
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf
from zoo import images

from torchaug.batch import Batch
from torchaug.image.clahe import CLAHE
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
from torchaug.keys import sample_keys
from torchaug.transform import Transform


def on_pil(function: Callable[[Image.Image, Record], Image.Image]) -> Oracle:
    """An oracle for uint8 images of a function of PIL images."""

    def oracle(image: Tensor, record: Record) -> Tensor:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(np.array(function(picture, record))).permute(2, 0, 1)

    return oracle


def in_numpy(function: Callable[[Any, Record], Any]) -> Oracle:
    """An oracle of a function of float64 values in [0, 1], (C, H, W); uint8 is rounded at the end."""

    def oracle(image: Tensor, record: Record) -> Tensor:
        whole = image.dtype == torch.uint8
        values = function(image.numpy().astype(np.float64) / (255 if whole else 1), record)
        levels = torch.from_numpy(np.rint(values * 255) if whole else values)
        return levels.to(image.dtype)

    return oracle


def solarized_from(image: Tensor, record: Record) -> Tensor:
    bound = 255 if image.dtype == torch.uint8 else 1
    solarized: Tensor = tvf.solarize(image, record["threshold"] * bound)
    return solarized


def solarize_added(values: Any, record: Record) -> Any:
    return np.where(values < record["threshold"], np.minimum(values + record["addition"], 1), values)


def curved(values: Any, record: Record) -> Any:
    low, high = (np.reshape(record[name], (-1, 1, 1)) for name in ("low", "high"))
    points = [np.zeros_like(low), low, high, np.ones_like(low)]
    for _ in range(3):  # de Casteljau
        points = [(1 - values) * a + values * b for a, b in pairwise(points)]
    return points[0]


def twice(transform: Transform, oracle: Oracle, pil: Oracle, name: str, pil_tolerance: int = 0) -> list[Case]:
    """Against torchvision, to the last bit on uint8, and on uint8 against PIL too."""
    cases = against(transform, oracle, f"torchvision {name}", float_tolerance=1e-6, uint8_tolerance=0, count=32)
    return cases + against(transform, pil, f"PIL {name}", float_tolerance=None, uint8_tolerance=pil_tolerance, count=32)


CASES: list[Case] = [
    *twice(RandomInvert(p=1.0), lambda x, _: tvf.invert(x), on_pil(lambda x, _: ImageOps.invert(x)), "invert"),
    *twice(
        RandomPosterize((1, 8), p=1.0),
        lambda x, r: tvf.posterize(x, r["bits"]),
        on_pil(lambda x, r: ImageOps.posterize(x, r["bits"])),
        "posterize",
    ),
    *twice(
        RandomSolarize((0.0, 1.0), p=1.0),
        solarized_from,
        on_pil(lambda x, r: ImageOps.solarize(x, r["threshold"] * 255)),
        "solarize",
    ),
    *twice(
        RandomAutocontrast(p=1.0),
        lambda x, _: tvf.autocontrast(x),
        on_pil(lambda x, _: ImageOps.autocontrast(x)),
        "autocontrast",
        pil_tolerance=1,  # torchvision, whose last bits we have, is off by one now and then
    ),
    *twice(RandomEqualize(p=1.0), lambda x, _: tvf.equalize(x), on_pil(lambda x, _: ImageOps.equalize(x)), "equalize"),
    *twice(
        RandomAdjustSharpness((0.0, 4.0), p=1.0),
        lambda x, r: tvf.adjust_sharpness(x, r["sharpness_factor"]),
        on_pil(lambda x, r: ImageEnhance.Sharpness(x).enhance(r["sharpness_factor"])),
        "adjust_sharpness",
    ),
    *against(
        RandomGamma((0.3, 3.0), gain=(0.5, 1.5), p=1.0),
        lambda x, r: tvf.adjust_gamma(x, r["gamma"], r["gain"]),
        "torchvision adjust_gamma",
        float_tolerance=1e-6,
        count=32,
    ),
    *against(
        SolarizeAdd((0.0, 0.5), threshold=(0.2, 0.8)),
        in_numpy(solarize_added),
        "timm's definition, in float64",
        float_tolerance=1e-6,
    ),
    *against(RandomToneCurve(0.2, p=1.0), in_numpy(curved), "de Casteljau, in float64", float_tolerance=1e-6),
    *against(
        RandomToneCurve(0.2, per_channel=True, p=1.0),
        in_numpy(curved),
        "de Casteljau, in float64",
        float_tolerance=1e-6,
    ),
]

# sRGB to XYZ under D65 (IEC 61966-2-1), white at (0.950456, 1, 1.088754)
TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.950456, 1, 1.088754])[:, None, None]


def lab_of(rgb: Any) -> Any:
    """CIE L*a*b* of sRGB in [0, 1], in float64."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    t = np.einsum("ij,jhw->ihw", TO_XYZ, linear) / WHITE
    x, y, z = np.where(t > 0.008856, np.cbrt(t), 7.787037 * t + 16 / 116)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def rgb_of(lab: Any) -> Any:
    y = (lab[0] + 16) / 116
    f = np.stack([y + lab[1] / 500, y, y - lab[2] / 200])
    t = np.where(f > 6 / 29, f**3, (f - 16 / 116) / 7.787037)
    linear = np.einsum("ij,jhw->ihw", np.linalg.inv(TO_XYZ), t * WHITE).clip(0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, linear * 12.92).clip(0, 1)


if find_spec("cv2"):

    def tiles_equalized(levels: Any, clip_limit: float, grid: tuple[int, int]) -> Any:
        import cv2

        return cv2.createCLAHE(clip_limit, grid[::-1]).apply(np.ascontiguousarray(levels))

    def lightness_equalized(grid: tuple[int, int]) -> Oracle:
        def values(rgb: Any, record: Record) -> Any:
            lab = lab_of(rgb)
            levels = np.rint(lab[0] * 2.55).astype(np.uint8)
            lab[0] = tiles_equalized(levels, record["clip_limit"], grid) / 2.55
            return rgb_of(lab)

        return in_numpy(values)

    def of_one_channel(grid: tuple[int, int], canvas: tuple[int, int]) -> Case:
        transform = CLAHE((1.0, 6.0), grid, p=1.0)

        def error(device: torch.device) -> float:
            image = images(8, *canvas)[:, :1]
            batch = Batch(image=image.to(device), key=sample_keys(torch.arange(8, device=device)))
            ours, params = transform(batch).image.cpu(), transform.draw(batch)
            limits = [transform.describe(params, i)[0]["clip_limit"] for i in range(8)]
            expected = [tiles_equalized(plane.numpy(), c, grid) for (plane,), c in zip(image, limits, strict=True)]
            return difference(ours, torch.from_numpy(np.stack(expected))[:, None])

        return Case(f"{transform!r}, one channel", f"OpenCV createCLAHE on {canvas}", torch.uint8, 0, error)

    for grid, canvas in (
        ((8, 8), (32, 40)),
        ((8, 8), (61, 45)),
        ((8, 8), (32, 45)),
        ((3, 5), (33, 35)),
        ((8, 8), (5, 4)),
    ):
        CASES.append(of_one_channel(grid, canvas))
    for grid, canvas in (((8, 8), (64, 72)), ((3, 5), (50, 61))):
        CASES += against(
            CLAHE((1.0, 5.0), grid, p=1.0),
            lightness_equalized(grid),
            f"OpenCV createCLAHE on L* in float64, {canvas}",
            float_tolerance=1e-5,
            canvas=canvas,
            share=0.02,  # where L* lies between two levels a pixel may fall either way, and change its tile's table
        )

if find_spec("albumentations"):

    def by_albumentations(image: Tensor, record: Record) -> Tensor:
        from albumentations.augmentations.pixel import functional as A

        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(A.clahe(pixels, record["clip_limit"], (2, 2))).permute(2, 0, 1)

    def moved_by_albumentations(image: Tensor, record: Record) -> Tensor:
        from albumentations.augmentations.pixel import functional as A

        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(A.move_tone_curve(pixels, record["low"], record["high"])).permute(2, 0, 1)

    CASES += against(
        CLAHE((1.0, 2.0), (2, 2), p=1.0),
        by_albumentations,
        "albumentations clahe (L*a*b* in 8 bits), nine pixels of ten",
        float_tolerance=None,
        uint8_tolerance=2,
        canvas=(128, 160),
        share=0.1,
    )
    CASES += against(
        RandomToneCurve(0.2, p=1.0), moved_by_albumentations, "albumentations move_tone_curve", float_tolerance=None
    )
