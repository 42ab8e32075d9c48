"""Symmetries, pads, sizes, crops and matrices: torchvision, torch.rot90, and formulae written out in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from conformance import Case, Oracle, Record, against, difference
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf
from zoo import images

from torchaug import Batch
from torchaug.image import Geometric
from torchaug.image.crops import AtLeastOneBBoxRandomCrop, BBoxSafeRandomCrop, CropNonEmptyMaskIfExists, RandomIoUCrop
from torchaug.image.pads import CropOrPad, Pad, PadIfNeeded, RandomZoomOut
from torchaug.image.perspective import RandomPerspective, RandomShear, RandomTranslate, SafeRotate, ShiftScaleRotate
from torchaug.image.sizes import LongestMaxSize, RandomResize, RandomShortestSize, ScaleJitter, SmallestMaxSize
from torchaug.image.symmetry import RandomD4, RandomRotation90, RandomTranspose
from torchaug.keys import sample_keys
from torchaug.transform import Sizes

BILINEAR = tvf.InterpolationMode.BILINEAR


def exact(transform: Geometric, oracle: Oracle, reference: str, canvas: tuple[int, int] = (32, 36)) -> list[Case]:
    """Bit for bit, on the canvas that the transform gives."""

    def placed(image: Tensor, record: Record) -> Tensor:
        return on_canvas(oracle(image, record), transform.canvas_after(canvas))

    return against(transform, placed, reference, float_tolerance=0, uint8_tolerance=0, canvas=canvas)


def resized(transform: Geometric, interpolation: tvf.InterpolationMode = BILINEAR) -> list[Case]:
    def oracle(image: Tensor, record: Record) -> Tensor:
        size = [int(record["height"]), int(record["width"])]
        return on_canvas(
            tvf.resize(image, size, interpolation=interpolation, antialias=True), transform.canvas_after((32, 36))
        )

    return against(transform, oracle, "torchvision resize, per sample, with our size")


def on_canvas(image: Tensor, canvas: tuple[int, int]) -> Tensor:
    """At the top left of a canvas of zeros."""
    padded: Tensor = tvf.pad(image, [0, 0, canvas[1] - image.shape[-1], canvas[0] - image.shape[-2]])
    return padded


def symmetry(image: Tensor, record: Record) -> Tensor:
    """Written as flips of the input, then the transposition."""
    dims = [dim for dim, name in ((-1, "flip_x"), (-2, "flip_y")) if record[name]]
    image = image.flip(dims) if dims else image
    return image.mT if record["swap"] else image


def zoomed_out(image: Tensor, record: Record) -> Tensor:
    height, width, top, left = (int(record[name]) for name in ("height", "width", "top", "left"))
    padding = [left, top, width - left - image.shape[-1], height - top - image.shape[-2]]
    padded: Tensor = tvf.pad(image, padding, fill=255 if image.dtype == torch.uint8 else 1.0)
    return padded


def sheared(image: Tensor, record: Record) -> Tensor:
    shear = [record["shear_x"], record["shear_y"]]
    out: Tensor = tvf.affine(image, 0, [0, 0], 1, shear, interpolation=BILINEAR)
    return out


def translated(image: Tensor, record: Record) -> Tensor:
    shift = [int(record["translate_x"]), int(record["translate_y"])]
    out: Tensor = tvf.affine(image, 0, shift, 1, [0, 0])
    return out


def shifted_scaled_rotated(image: Tensor, record: Record) -> Tensor:
    shift = [record["shift_x"], record["shift_y"]]
    out: Tensor = tvf.affine(image, -record["angle"], shift, record["scale"], [0, 0], interpolation=BILINEAR)
    return out


def in_perspective(image: Tensor, record: Record) -> Tensor:
    right, bottom = image.shape[-1] - 1, image.shape[-2] - 1
    start = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
    end = [[int(x), int(y)] for x, y in record["endpoints"]]
    out: Tensor = tvf.perspective(image, start, end, interpolation=BILINEAR)
    return out


def safely_rotated(image: Tensor, record: Record) -> Tensor:
    """The corners' frame in float64, then the way back for each pixel, sampled by SciPy."""
    from scipy.ndimage import map_coordinates

    height, width = image.shape[-2:]
    angle = math.radians(record["angle"])
    forth = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])  # x, y; y goes down
    corners = forth @ np.array([[width, width], [height, -height]]) / 2
    frame = 2 * np.abs(corners).max(1)
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    stretched = np.stack([x * frame[0] / width, y * frame[1] / height])
    at_x, at_y = np.einsum("ij,jhw->ihw", np.linalg.inv(forth), stretched)
    at = [at_y + height / 2 - 0.5, at_x + width / 2 - 0.5]
    planes = [map_coordinates(plane, at, order=1, mode="grid-constant") for plane in image.double().numpy()]
    out = torch.from_numpy(np.stack(planes))
    return (
        out
        if image.dtype == torch.float64
        else out.round().to(image.dtype)
        if image.dtype == torch.uint8
        else out.float()
    )


def plain(transform: Geometric) -> Geometric:
    """Without the antialiasing that torchvision's geometry has not."""
    transform.antialias = False
    return transform


def scene(count: int, device: torch.device) -> Batch:
    """Images with two boxes and a small spot on the mask each."""
    generator = torch.Generator().manual_seed(3)
    start = torch.rand(count, 2, 2, generator=generator) * 14
    boxes = torch.cat([start, start + 3 + torch.rand(count, 2, 2, generator=generator) * 14], -1).round()
    mask = torch.zeros(count, 1, 32, 36, dtype=torch.int64)
    for i in range(count):
        mask[i, 0, 3 * i % 31, 5 * i % 35] = 1
    batch = Batch(image=images(count), boxes=boxes, mask=mask, key=sample_keys(torch.arange(count), seed=5))
    return batch.to(device)


def guided(transform: Geometric) -> list[Case]:
    """The part that `guide` found, cut out by torchvision."""

    def case(make: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Case:
        def error(device: torch.device) -> float:
            batch = scene(8, device)
            batch = batch.replace(image=make(images(8)).to(device))
            u = transform.draw(batch).u[:, 1:]
            parts = transform.guide(batch, u, torch.ones_like(u[:, 0], dtype=torch.bool), Sizes.of((32, 36), None, u))
            out = transform(batch).image
            worst = 0.0
            for i, part in enumerate(parts.tolist()):
                expected = tvf.crop(make(images(8))[i], *map(int, part))
                worst = max(worst, difference(out[i].cpu(), on_canvas(expected, transform.canvas_after((32, 36)))))
            return worst

        return Case(repr(transform), "torchvision crop, per sample, with our part", dtype, 0, error)

    return [case(lambda x: x, torch.uint8), case(lambda x: x.float() / 255, torch.float32)]


CASES: list[Case] = [
    *exact(RandomTranspose(p=1.0), lambda x, _: x.mT, "torch transpose"),
    *exact(RandomRotation90(p=1.0), lambda x, r: x.rot90(int(r["times"]), (-2, -1)), "torch.rot90"),
    *exact(RandomD4(), symmetry, "torch flip and transpose"),
    *exact(RandomD4(p=0.5), symmetry, "torch flip and transpose", canvas=(32, 32)),
    *exact(Pad((1, 2, 3, 4)), lambda x, _: tvf.pad(x, [1, 2, 3, 4]), "torchvision pad"),
    *[
        case
        for mode in ("edge", "reflect", "symmetric")
        for case in exact(
            Pad((7, 20), padding_mode=mode),
            lambda x, _, mode=mode: tvf.pad(x, [7, 20], padding_mode=mode),  # type: ignore[misc]
            "torchvision pad",
        )
    ],
    *exact(PadIfNeeded(41, 30), lambda x, _: tvf.pad(x, [0, 4, 0, 5]), "torchvision pad by half of what lacks"),
    *exact(
        PadIfNeeded(None, None, 16, 16, position="bottom_right"),
        lambda x, _: tvf.pad(x, [12, 0, 0, 0]),
        "torchvision pad to the next multiple",
    ),
    *exact(CropOrPad((21, 51)), lambda x, _: tvf.center_crop(x, [21, 51]), "torchvision center_crop"),
    *exact(RandomZoomOut(1.0, p=1.0), zoomed_out, "torchvision pad, per sample, with our place"),
    *resized(LongestMaxSize(30)),
    *resized(SmallestMaxSize(41)),
    *resized(RandomShortestSize([19, 28, 40], max_size=44)),
    *resized(RandomResize(18, 60)),
    *resized(ScaleJitter((34, 30), (0.1, 2.0))),
    *resized(ScaleJitter((34, 30), (0.1, 2.0), interpolation="bicubic"), tvf.InterpolationMode.BICUBIC),
    *guided(RandomIoUCrop(sampler_options=[0.0, 0.1, 0.3, 1.0])),
    *guided(BBoxSafeRandomCrop()),
    *guided(AtLeastOneBBoxRandomCrop(20, 24)),
    *guided(CropNonEmptyMaskIfExists(9, 11)),
    *against(RandomShear((-30, 30, -20, 20)), sheared, "torchvision affine, per sample"),
    *exact(RandomTranslate((0.3, 0.4)), translated, "torchvision affine, per sample"),
    *against(plain(ShiftScaleRotate(0.2, 0.3, p=1.0)), shifted_scaled_rotated, "torchvision affine, per sample"),
    *against(plain(SafeRotate(180, p=1.0)), safely_rotated, "SciPy map_coordinates, formula in float64"),
    *against(RandomPerspective(p=1.0), in_perspective, "torchvision perspective, per sample", float_tolerance=1e-4),
    *against(
        RandomPerspective(0.9, p=1.0), in_perspective, "torchvision perspective, per sample", float_tolerance=1e-4
    ),
]
