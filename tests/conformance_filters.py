"""Blur and sharpening against torchvision, OpenCV, kornia, albumentations and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from conformance import Case, Oracle, Record, against
from scipy import ndimage, special
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from torchaug.image.blur import AdvancedBlur, BoxBlur, GaussianBlur, MedianBlur, MotionBlur
from torchaug.image.defocus import Defocus, GlassBlur, ZoomBlur
from torchaug.image.sharpen import Emboss, RingingOvershoot, UnsharpMask
from torchaug.keys import noise

Array = np.ndarray[Any, Any]


def on_arrays(function: Callable[[Array, Record], Array]) -> Oracle:
    """An oracle of arrays (H, W, C) of the image's dtype."""

    def oracle(image: Tensor, record: Record) -> Tensor:
        out = function(image.permute(1, 2, 0).contiguous().numpy(), record)
        return torch.from_numpy(out.reshape(*image.shape[1:], -1)).permute(2, 0, 1).to(image.dtype)

    return oracle


def in_float64(function: Callable[[Array, Record], Array]) -> Oracle:
    """An oracle of one float64 plane (H, W) in [0, 1]; rounded where the image holds levels."""

    def oracle(image: Tensor, record: Record) -> Tensor:
        whole = image.dtype == torch.uint8
        planes = image.double().numpy() / (255 if whole else 1)
        out = torch.from_numpy(np.stack([function(plane, record) for plane in planes]))
        return (out.clamp(0, 1) * 255).round().to(torch.uint8) if whole else out.to(image.dtype)

    return oracle


def correlated(plane: Array, kernel: Array) -> Array:
    return np.asarray(ndimage.correlate(plane, kernel / kernel.sum(), mode="mirror"))


def grid(side: int) -> tuple[Array, Array]:
    at = np.arange(side) - side // 2
    y, x = np.meshgrid(at, at, indexing="ij")
    return y.astype(float), x.astype(float)


def gaussian_blur(image: Tensor, r: Record) -> Tensor:
    blurred: Tensor = tvf.gaussian_blur(image, [5, 9], [r["sigma"]] * 2)
    return blurred


def gaussian_blur_derived(image: Tensor, r: Record) -> Tensor:
    blurred: Tensor = tvf.gaussian_blur(image, [13, 13], [r["sigma"]] * 2)
    return blurred


def zoom_blur(plane: Array, r: Record) -> Array:
    middle = (np.array(plane.shape) - 1) / 2
    factors = [1 + (r["max_factor"] - 1) * step / 8 for step in range(9)]
    zoomed = [
        ndimage.affine_transform(plane, np.full(2, 1 / f), middle * (1 - 1 / f), order=1, mode="nearest")
        for f in factors
    ]
    return np.asarray(np.mean(zoomed, 0))


def glass_blur(plane: Array, r: Record) -> Array:
    """Displacements from the field that we drew, through scipy's normal distribution; the rest is straight loops."""
    weights = np.exp(-0.5 * (np.arange(-3, 4) / 0.7) ** 2)
    kernel = np.outer(weights, weights)
    field = noise(torch.tensor([r["seeds"]]), (4, *plane.shape))[0].double().numpy()
    moves = np.floor(special.ndtr(field) * 9).astype(int) - 4
    out = correlated(plane, kernel)
    height, width = plane.shape
    for i in range(2):
        before = out.copy()
        for y in range(height):
            for x in range(width):
                from_y = min(max(y + moves[2 * i, y, x], 0), height - 1)
                from_x = min(max(x + moves[2 * i + 1, y, x], 0), width - 1)
                out[y, x] = before[from_y, from_x]
    return correlated(out, kernel)


def advanced_blur(plane: Array, r: Record) -> Array:
    side, angle = int(r["kernel_size"]), math.radians(r["angle"])
    y, x = grid(side)
    axes = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(axes.T @ np.diag([r["sigma_x"] ** 2, r["sigma_y"] ** 2]) @ axes)
    at = np.stack([x, y], -1)
    square = np.einsum("yxi,ij,yxj->yx", at, inverse, at)
    field = np.array(r["noise"])
    edge = (len(field) - side) // 2
    return correlated(plane, np.exp(-0.5 * square ** r["beta"]) * field[edge : edge + side, edge : edge + side])


def emboss(plane: Array, r: Record) -> Array:
    s, none = r["strength"], np.zeros((3, 3))
    none[1, 1] = 1
    relief = np.array([[-1 - s, -s, 0], [-s, 1, s], [0, s, 1 + s]])
    kernel = (1 - r["alpha"]) * none + r["alpha"] * relief
    return np.asarray(ndimage.correlate(plane, kernel, mode="mirror").clip(0, 1))


def ringing_overshoot(plane: Array, r: Record) -> Array:
    cutoff, side = r["cutoff"], int(r["kernel_size"])
    distance = np.hypot(*grid(side))
    with np.errstate(invalid="ignore"):
        kernel = cutoff * special.j1(cutoff * distance) / (2 * np.pi * distance)
    kernel[side // 2, side // 2] = cutoff**2 / (4 * np.pi)
    return correlated(plane, kernel).clip(0, 1)


CASES: list[Case] = [
    *against(GaussianBlur((5, 9), (0.3, 3)), gaussian_blur, "torchvision gaussian_blur, per sample"),
    *against(GaussianBlur(sigma=(0.1, 2)), gaussian_blur_derived, "torchvision gaussian_blur, per sample"),
    *against(ZoomBlur((1.1, 1.5), p=1.0), in_float64(zoom_blur), "mean of scipy affine_transform"),
    *against(GlassBlur(p=1.0), in_float64(glass_blur), "loops over pixels, given our displacements"),
    *against(AdvancedBlur((5, 9), p=1.0), in_float64(advanced_blur), "formula in float64, scipy correlate"),
    *against(Emboss((0.2, 0.9), p=1.0), in_float64(emboss), "albumentations' matrix, scipy correlate"),
    *against(RingingOvershoot(p=1.0), in_float64(ringing_overshoot), "albumentations' kernel, scipy correlate"),
]

if find_spec("cv2"):
    import cv2

    def box_blur(image: Array, r: Record) -> Array:
        return np.asarray(cv2.blur(image, (int(r["kernel_size"]),) * 2))

    def median_blur(image: Array, r: Record) -> Array:
        return np.asarray(cv2.medianBlur(image, int(r["kernel_size"])))

    def unsharp_mask(plane: Array, r: Record) -> Array:
        size, sigma = (int(r["kernel_size"]),) * 2, r["sigma"]
        rest = plane - cv2.GaussianBlur(plane, size, sigma)
        share = cv2.GaussianBlur((np.abs(rest) * 255 > 3).astype(float), size, sigma)
        return np.asarray((plane + r["alpha"] * rest).clip(0, 1) * share + plane * (1 - share))

    CASES += [
        *against(BoxBlur((3, 7)), on_arrays(box_blur), "OpenCV blur", uint8_tolerance=0),
        *against(
            MedianBlur((3, 5), p=1.0), on_arrays(median_blur), "OpenCV medianBlur", float_tolerance=0, uint8_tolerance=0
        ),
        *against(
            MedianBlur((7, 11), p=1.0),
            on_arrays(median_blur),
            "OpenCV medianBlur",
            float_tolerance=None,
            uint8_tolerance=0,
        ),
        *against(
            UnsharpMask(alpha=(0.5, 2), threshold=3, p=1.0),
            in_float64(unsharp_mask),
            "albumentations' formula with OpenCV GaussianBlur",
        ),
    ]

if find_spec("kornia"):

    def motion_blur(image: Tensor, r: Record) -> Tensor:
        from kornia.filters import motion_blur

        whole = image.dtype == torch.uint8
        values = image[None].float() / (255 if whole else 1)
        out: Tensor = motion_blur(values, int(r["kernel_size"]), r["angle"], r["direction"], "reflect", "bilinear")[0]
        return (out * 255).round().to(torch.uint8) if whole else out

    CASES += against(MotionBlur((3, 9), p=1.0), motion_blur, "kornia motion_blur, bilinear kernel")

if find_spec("albumentations"):

    def defocus(image: Array, r: Record) -> Array:
        from albumentations.augmentations.blur.functional import defocus

        return np.asarray(defocus(image, int(r["radius"]), r["alias_blur"]))

    CASES += against(Defocus((1, 6), p=1.0), on_arrays(defocus), "albumentations defocus")
