"""Displacements: torchvision, kornia, OpenCV, albumentations, SciPy and Matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from conformance import Case, Record, against, difference
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf
from zoo import images

from torchaug import Batch
from torchaug.image.distortion import ElasticTransform, GridDistortion, PiecewiseAffine, ThinPlateSpline
from torchaug.image.lenses import Fisheye, OpticalDistortion
from torchaug.image.shuffle import RandomGridShuffle
from torchaug.image.warp import Warp
from torchaug.keys import sample_keys
from torchaug.transform import Sizes

Map = Callable[[Record, int, int], Any]
"""A record, height and width -> the input's x and y for each output pixel, (2, H, W) float64, in indices of pixels."""


def mapped(transform: Warp, way: Map, reference: str) -> list[Case]:
    """A map in float64, read by SciPy."""

    def oracle(image: Tensor, record: Record) -> Tensor:
        from scipy.ndimage import map_coordinates

        x, y = way(record, *image.shape[-2:])
        planes = [map_coordinates(plane, [y, x], order=1, mode="grid-constant") for plane in image.double().numpy()]
        out = torch.from_numpy(np.stack(planes))
        return out.round().to(torch.uint8) if image.dtype == torch.uint8 else out.to(image.dtype)

    return against(transform, oracle, f"{reference}, SciPy map_coordinates", float_tolerance=2e-5)


def elastic(transform: ElasticTransform) -> list[Case]:
    """torchvision's `elastic` with our field, as it measures displacements: the image goes from -1 to 1."""

    def case(dtype: torch.dtype, tolerance: float) -> Case:
        def error(device: torch.device) -> float:
            image = images(4) if dtype == torch.uint8 else images(4).to(dtype) / 255
            batch = Batch(image=image.to(device), key=sample_keys(torch.arange(4, device=device), seed=5))
            u = transform.draw(batch).u[:, 1:]
            field = transform.numbers(u, Sizes.of((32, 36), None, u))["field"].double().cpu()
            scale = torch.tensor([2 / 36, 2 / 32], dtype=torch.float64)
            given = field.permute(0, 2, 3, 1) * scale
            expected = [tvf.elastic(x, d[None]) for x, d in zip(image, given, strict=True)]
            return max(difference(o.cpu(), e) for o, e in zip(transform(batch).image, expected, strict=True))

        return Case(repr(transform), "torchvision elastic, with our field", dtype, tolerance, error)

    return [case(torch.float32, 1e-5), case(torch.uint8, 1)]


def by_lines(record: Record, height: int, width: int) -> Any:
    x, y = (
        np.interp(np.arange(side) + 0.5, np.linspace(0, side, len(lines)), lines) - 0.5
        for side, lines in ((width, record["columns"]), (height, record["rows"]))
    )
    return np.stack(np.meshgrid(x, y))


def fisheye_lens(record: Record, height: int, width: int) -> Any:
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    grown = 1 + record["k"] * (x**2 + y**2) / ((width / 2) ** 2 + (height / 2) ** 2)
    return np.stack([x * grown + (width - 1) / 2, y * grown + (height - 1) / 2])


def shuffled(image: Tensor, record: Record) -> Tensor:
    """Tile by tile."""
    rows, columns, out = record["rows"], record["columns"], image.clone()
    across = len(columns) - 1
    for place, source in enumerate(record["source"]):
        (to_y, to_x), (from_y, from_x) = (
            (slice(*map(int, rows[i // across :][:2])), slice(*map(int, columns[i % across :][:2])))
            for i in (place, source)
        )
        out[:, to_y, to_x] = image[:, from_y, from_x]
    return out


CASES: list[Case] = [
    *elastic(ElasticTransform()),
    *elastic(ElasticTransform((90.0, 60.0), (7.0, 5.0))),
    *mapped(GridDistortion(p=1.0), by_lines, "numpy interp between the lines"),
    *mapped(GridDistortion(7, 0.8, normalized=False, p=1.0), by_lines, "numpy interp between the lines"),
    *mapped(OpticalDistortion((-0.4, 0.4), "fisheye", p=1.0), fisheye_lens, "formula in numpy"),
    *against(
        RandomGridShuffle((3, 5), p=1.0), shuffled, "tiles copied one by one", float_tolerance=0, uint8_tolerance=0
    ),
]

if find_spec("cv2"):

    def camera(record: Record, height: int, width: int) -> Any:
        import cv2

        matrix = np.array([[width, 0, (width - 1) / 2], [0, height, (height - 1) / 2], [0, 0, 1]])
        lens = np.array([record["k"], record["k"], 0, 0, 0])
        return cv2.initUndistortRectifyMap(matrix, lens, None, matrix, (width, height), cv2.CV_32FC1)

    CASES += mapped(OpticalDistortion((-0.4, 0.4), p=1.0), camera, "OpenCV initUndistortRectifyMap")

if find_spec("kornia"):

    def fisheye(image: Tensor, record: Record) -> Tensor:
        from kornia.augmentation import RandomFisheye

        one = torch.ones(2)
        params = {name: torch.tensor([record[name]]) for name in ("center_x", "center_y", "gamma")}
        values = image[None] if image.is_floating_point() else image[None].float()
        out: Tensor = RandomFisheye(one, one, one).apply_transform(values, params, {})[0]
        return out if image.is_floating_point() else out.round().to(torch.uint8)

    def spline(image: Tensor, record: Record) -> Tensor:
        from kornia.geometry.transform import get_tps_transform, warp_image_tps

        pins, moved = torch.tensor([ThinPlateSpline.PINS]).double(), torch.tensor([record["pins"]]).double()
        out: Tensor = warp_image_tps(image[None].double(), pins, *get_tps_transform(moved, pins))[0]
        return out.round().to(torch.uint8) if image.dtype == torch.uint8 else out.to(image.dtype)

    CASES += against(Fisheye(p=1.0), fisheye, "kornia RandomFisheye", float_tolerance=2e-5)
    CASES += against(ThinPlateSpline(p=1.0), spline, "kornia warp_image_tps", float_tolerance=1e-4)


def triangles(record: Record, height: int, width: int) -> Any:
    """Linear on the two triangles of each cell of a grid, by barycentric coordinates."""
    points = np.array(record["points"])  # (2, rows, columns)
    rows, columns = points.shape[1:]
    x, y = np.meshgrid(
        (np.arange(width) + 0.5) / width * (columns - 1), (np.arange(height) + 0.5) / height * (rows - 1)
    )
    j, i = np.minimum(x.astype(int), columns - 2), np.minimum(y.astype(int), rows - 2)
    a, b = x - j, y - i
    here, right, below, beyond = (points[:, i + di, j + dj] for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1)))
    first = here + a * (right - here) + b * (below - here)
    second = beyond + (1 - a) * (below - beyond) + (1 - b) * (right - beyond)
    return np.where(a + b <= 1, first, second) - 0.5


CASES += mapped(PiecewiseAffine((0.1, 0.3), 3, 5, p=1.0), triangles, "barycentric coordinates, by hand")

if find_spec("albumentations"):

    def swapped(image: Tensor, record: Record) -> Tensor:
        from albumentations.augmentations.geometric.functional import swap_tiles_on_image

        rows, columns, source = record["rows"], record["columns"], record["source"]
        tiles = [
            [rows[i], columns[j], rows[i + 1], columns[j + 1]]
            for i in range(len(rows) - 1)
            for j in range(len(columns) - 1)
        ]
        place_of = np.argsort(source)  # where each tile goes
        out = swap_tiles_on_image(image.permute(1, 2, 0).numpy(), np.array(tiles).astype(int), place_of.tolist())
        return torch.from_numpy(out).permute(2, 0, 1)

    CASES += against(
        RandomGridShuffle(p=1.0), swapped, "albumentations swap_tiles_on_image", float_tolerance=0, uint8_tolerance=0
    )
