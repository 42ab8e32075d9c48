"""Noise, dropout, compression and values against torchvision, OpenCV, albumentations, scipy and plain loops."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import torch
from conformance import Case, Record, against
from conformance_filters import Array, in_float64, on_arrays
from PIL import Image as PILImage
from scipy import ndimage, special, stats
from slic_loops import slic
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf
from zoo import images

from torchaug import Batch, Transform
from torchaug.image.degrade import JPEG, ChromaticAberration, Downscale, Pixelate
from torchaug.image.dropout import CoarseDropout, Cutout, PixelDropout, XYMasking
from torchaug.image.erasing import RandomErasing
from torchaug.image.grids import GridDropout, GridMask, RandomPatchDropout
from torchaug.image.noise import MultiplicativeNoise, SaltAndPepper, ShotNoise, SpeckleNoise
from torchaug.image.pixels import Denormalize, GaussianNoise, LinearTransformation
from torchaug.image.superpixels import Superpixels
from torchaug.keys import noise, sample_keys


def field(r: Record, *shape: int) -> Array:
    """The standard normal numbers that we drew, in float64."""
    return np.asarray(noise(torch.tensor([r["seeds"]]), shape)[0].double().numpy())


def as_levels(out: Array, image: Tensor) -> Tensor:
    """An image (C, H, W) in [0, 1] in the dtype of `image`."""
    result = torch.from_numpy(np.ascontiguousarray(out))
    return (result * 255).round().to(torch.uint8) if image.dtype == torch.uint8 else result.to(image.dtype)


def values(image: Tensor) -> Array:
    return np.asarray(image.double().numpy() / (255 if image.dtype == torch.uint8 else 1))


def gaussian_noise(image: Tensor, r: Record) -> Tensor:
    return as_levels((values(image) + 0.1 + r["sigma"] * field(r, *image.shape)).clip(0, 1), image)


def speckle_noise(image: Tensor, r: Record) -> Tensor:
    return as_levels((values(image) * (1 + r["sigma"] * field(r, *image.shape))).clip(0, 1), image)


def multiplicative_noise(image: Tensor, r: Record) -> Tensor:
    factors = 0.5 + special.ndtr(field(r, *image.shape))
    return as_levels((values(image) * factors).clip(0, 1), image)


def shot_noise(image: Tensor, r: Record) -> Tensor:
    scale = r["scale"]
    counts = stats.poisson.ppf(special.ndtr(field(r, *image.shape)), values(image) ** 2.2 / scale)
    return as_levels((counts * scale).clip(0, 1) ** (1 / 2.2), image)


def erased(image: Tensor, r: Record) -> Tensor:
    for top, left, height, width in holes(r):
        image = tvf.erase(image, top, left, height, width, torch.zeros(1, 1, 1, dtype=image.dtype))
    return image


def holes(r: Record) -> list[list[int]]:
    """Each hole's top, left, height and width."""
    sides = [r[name] if isinstance(r[name], list) else [r[name]] for name in ("top", "left", "height", "width")]
    return [[int(n) for n in hole] for hole in zip(*sides, strict=True) if hole[2] * hole[3] > 0]


def grid_mask(image: Tensor, r: Record) -> Tensor:
    cos, sin = math.cos(math.radians(r["angle"])), math.sin(math.radians(r["angle"]))
    (mid_y, mid_x), (off_y, off_x) = r["middle"], r["offset"]
    out = image.clone()
    for i in range(image.shape[1]):
        for j in range(image.shape[2]):
            y, x = sin * (j - mid_x) + cos * (i - mid_y) + mid_y, cos * (j - mid_x) - sin * (i - mid_y) + mid_x
            if round(y + off_y) % r["unit"] < r["hole"] and round(x + off_x) % r["unit"] < r["hole"]:
                out[:, i, j] = 0
    return out


def patch_dropout(image: Tensor, r: Record) -> Tensor:
    out = image.clone()
    for i, row in enumerate(r["dropped"]):
        for j, dropped in enumerate(row):
            if dropped:
                out[:, 5 * i : 5 * i + 5, 5 * j : 5 * j + 5] = 0
    return out


def pixelate(plane: Array, r: Record) -> Array:
    out, side = plane.copy(), r["block_size"]
    for i in range(0, plane.shape[0], side):
        for j in range(0, plane.shape[1], side):
            out[i : i + side, j : j + side] = plane[i : i + side, j : j + side].mean()
    return out


def chromatic_aberration(image: Tensor, r: Record) -> Tensor:
    planes = values(image).copy()
    height, width = image.shape[1:]
    y, x = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    square = (y / height) ** 2 + (x / width) ** 2
    for i, channel in ((0, 0), (1, 2)):
        factor = 1 + r["primary"][i] * square + r["secondary"][i] * square**2
        at = np.stack([y * factor + (height - 1) / 2, x * factor + (width - 1) / 2])
        planes[channel] = ndimage.map_coordinates(planes[channel], at, order=1, mode="nearest")
    return as_levels(planes, image)


def denormalize(image: Tensor, r: Record) -> Tensor:
    mean, std = [0.1, 0.2, 0.3], [0.2, 0.3, 0.4]
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    result: Tensor = tvf.normalize(image, [-m / s for m, s in zip(mean, std, strict=True)], [1 / s for s in std])
    return result


GENERATOR = torch.Generator().manual_seed(0)
MATRIX, MEAN = torch.randn(36, 36, generator=GENERATOR) / 6, torch.rand(36, generator=GENERATOR)


def linear_transformation(image: Tensor, r: Record) -> Tensor:
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    result: Tensor = v2.LinearTransformation(MATRIX, MEAN)(image)
    return result


def libjpeg(image: Tensor, quality: int) -> Tensor:
    """A uint8 image (1 or 3, H, W) through a file that PIL writes and reads."""
    pixels, file = image.permute(1, 2, 0).squeeze(2).numpy(), io.BytesIO()
    PILImage.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(PILImage.open(file)).reshape(*image.shape[1:], -1)).permute(2, 0, 1)


def mean_error(transform: Transform, canvas: tuple[int, int], channels: int, tolerance: float) -> Case:
    """The mean difference from libjpeg over images of many qualities, in levels."""

    def error(device: torch.device) -> float:
        batch = Batch(
            image=images(32, *canvas)[:, :channels].to(device), key=sample_keys(torch.arange(32, device=device))
        )
        params = transform.draw(batch)
        out = transform.play(batch, params).image
        assert out is not None
        assert batch.image is not None
        worst = 0.0
        for i, (image, ours) in enumerate(zip(batch.image.cpu(), out.cpu(), strict=True)):
            theirs = libjpeg(image, int(transform.describe(params, i)[0]["quality"]))
            worst = max(worst, float((ours.double() - theirs.double()).abs().mean()))
        return worst

    name = f"{transform}, {channels} channels, {canvas[0]}x{canvas[1]}"
    return Case(name, "libjpeg through PIL, mean over an image", torch.uint8, tolerance, error)


def codec(image: Tensor, r: Record) -> Tensor:
    whole = image if image.dtype == torch.uint8 else (image * 255).round().to(torch.uint8)
    out = libjpeg(whole, int(r["quality"]))
    return out if image.dtype == torch.uint8 else out.to(image.dtype) / 255


CASES: list[Case] = [
    *against(GaussianNoise(0.1, (0.05, 0.2)), gaussian_noise, "torchvision's formula in float64, given our field"),
    *against(SpeckleNoise(sigma=(0.05, 0.3)), speckle_noise, "formula in float64, given our field"),
    *against(
        MultiplicativeNoise((0.5, 1.5), True, True, p=1.0), multiplicative_noise, "formula in float64, given our field"
    ),
    *against(ShotNoise((0.001, 0.3), p=1.0), shot_noise, "scipy poisson.ppf, given our field", share=0.003),
    *against(RandomErasing(p=1.0), erased, "torchvision erase, given the box", float_tolerance=0, uint8_tolerance=0),
    *against(
        RandomErasing(p=1.0, count=(1, 5)),
        erased,
        "torchvision erase, given boxes",
        float_tolerance=0,
        uint8_tolerance=0,
    ),
    *against(
        GridMask((4, 12), 0.5, 45), grid_mask, "loops over pixels", float_tolerance=0, uint8_tolerance=0, share=0.003
    ),
    *against(RandomPatchDropout(5, (0.2, 0.8)), patch_dropout, "loops", float_tolerance=0, uint8_tolerance=0),
    *against(Pixelate((2, 9)), in_float64(pixelate), "loops over blocks"),
    *against(ChromaticAberration(0.4, 0.5, "random", p=1.0), chromatic_aberration, "scipy map_coordinates"),
    *against(JPEG((5, 95), "codec"), codec, "libjpeg through PIL", float_tolerance=1e-6, uint8_tolerance=0),
    mean_error(JPEG((1, 100)), (32, 36), 3, 2.0),
    mean_error(JPEG((1, 100)), (33, 47), 1, 2.0),
    mean_error(JPEG((1, 100)), (65, 50), 3, 2.0),
    *against(
        Denormalize([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]),
        denormalize,
        "torchvision normalize, inverted",
        uint8_tolerance=None,
    ),
    *(
        replace(case, devices=("cpu",))  # the matrix moves with the module, not with the batch
        for case in against(
            LinearTransformation(MATRIX, MEAN),
            linear_transformation,
            "torchvision LinearTransformation",
            uint8_tolerance=None,
            canvas=(3, 4),
        )
    ),
]


def superpixels(image: Tensor, _: Record) -> Tensor:
    """Each pixel the mean of its segment, of the 3 x 4 that 12 are on this canvas."""
    label = slic(
        (image * 255).round().numpy().astype(np.uint8) if image.is_floating_point() else image.numpy(), 3, 4, 10.0
    )
    plain, out = image.double().numpy() / (1 if image.is_floating_point() else 255), np.zeros(image.shape)
    for k in np.unique(label):
        out[:, label == k] = plain[:, label == k].mean(1, keepdims=True)
    return as_levels(out, image)


CASES += against(Superpixels(1.0, 12, p=1.0), superpixels, "SLIC in loops (Achanta et al., 2012)")

if find_spec("cv2"):
    import cv2

    def small(plane: Array, r: Record) -> Array:
        return np.asarray(cv2.resize(plane, (int(r["width"]), int(r["height"])), interpolation=cv2.INTER_AREA))

    def downscale(plane: Array, r: Record) -> Array:
        size = plane.shape
        enlarged = tvf.resize(torch.from_numpy(small(plane, r))[None], list(size), v2.InterpolationMode.NEAREST_EXACT)
        return np.asarray(enlarged[0].numpy())

    def downscale_bilinear(plane: Array, r: Record) -> Array:
        return np.asarray(cv2.resize(small(plane, r), plane.shape[::-1], interpolation=cv2.INTER_LINEAR))

    reference = "OpenCV INTER_AREA, then torch's nearest-exact"
    CASES += against(Downscale((0.2, 0.9), p=1.0), in_float64(downscale), reference)
    reference = "OpenCV INTER_AREA, then INTER_LINEAR"
    CASES += against(Downscale((0.2, 0.9), "bilinear", p=1.0), in_float64(downscale_bilinear), reference)

if find_spec("albumentations"):

    def cut(image: Array, boxes: list[list[int]]) -> Array:
        from albumentations.augmentations.dropout.functional import cutout

        height, width = image.shape[:2]
        corners = [[max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)] for y, x, h, w in boxes]
        return np.asarray(cutout(image, np.array(corners).reshape(-1, 4), 0, np.random.default_rng(0)))

    def dropped_holes(image: Array, r: Record) -> Array:
        return cut(image, holes(r))

    def grid_dropout(image: Array, r: Record) -> Array:
        (high, wide), (tall, broad), (down, right) = ([int(n) for n in r[name]] for name in ("unit", "hole", "offset"))
        cells = [(y, x) for y in range(0, image.shape[0], high) for x in range(0, image.shape[1], wide)]
        boxes = [[y + down, x + right, tall, broad] for y, x in cells]
        return cut(image, [b for b in boxes if b[0] < image.shape[0] and b[1] < image.shape[1]])

    def pixel_dropout(image: Array, r: Record) -> Array:
        from albumentations.augmentations.pixel.functional import pixel_dropout

        where = noise(torch.tensor([r["places"]]), (1, *image.shape[:2]))[0, 0].numpy()
        return np.asarray(
            pixel_dropout(image, (special.ndtr(where) < r["dropout_prob"])[..., None], np.zeros_like(image))
        )

    def salt_and_pepper(image: Array, r: Record) -> Array:
        from albumentations.augmentations.pixel.functional import apply_salt_and_pepper

        chance = special.ndtr(field(r, *image.shape[:2]))
        salt = chance < r["amount"] * r["salt_vs_pepper"]
        return np.asarray(apply_salt_and_pepper(image, salt, (chance < r["amount"]) & ~salt))

    for transform in (
        CoarseDropout((1, 6), p=1.0),
        CoarseDropout((2, 3), (3, 8), (4, 9), p=1.0),
        Cutout((12, 16)),
        XYMasking((0, 3), (1, 2), (2, 5), 0.1, p=1.0),
    ):
        reference = "albumentations cutout, given the holes"
        CASES += against(transform, on_arrays(dropped_holes), reference, float_tolerance=0, uint8_tolerance=0)
    for grid in (GridDropout(0.5, unit_size_range=(4, 9), p=1.0), GridDropout(0.3, False, None, (4, 3), (1, 2), p=1.0)):
        reference = "albumentations cutout, given the cells"
        CASES += against(grid, on_arrays(grid_dropout), reference, float_tolerance=0, uint8_tolerance=0)
    CASES += against(
        PixelDropout((0.1, 0.3), p=1.0),
        on_arrays(pixel_dropout),
        "albumentations pixel_dropout",
        float_tolerance=0,
        uint8_tolerance=0,
        share=1e-3,
    )
    CASES += against(
        SaltAndPepper((0.1, 0.4), (0.2, 0.8), p=1.0),
        on_arrays(salt_and_pepper),
        "albumentations apply_salt_and_pepper",
        float_tolerance=0,
        uint8_tolerance=0,
        share=1e-3,
    )
