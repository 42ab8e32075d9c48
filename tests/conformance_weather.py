"""Illumination and weather against kornia, scipy and plain formulae; ADA and DiffAugment against their papers' formulae."""

# numbers of a record are Any, and so are arrays made with them
# mypy: disable-error-code="no-any-return, call-overload"
from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from conformance import Case, Oracle, Record, against
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from torchaug.image.ada import ADA
from torchaug.image.diffaugment import DiffAugment
from torchaug.image.drops import RandomRain, RandomSpatter
from torchaug.image.illumination import (
    RandomGaussianIllumination,
    RandomLinearCornerIllumination,
    RandomLinearIllumination,
)
from torchaug.image.plasma import RandomPlasmaBrightness, RandomPlasmaContrast, RandomPlasmaShadow
from torchaug.image.wavelets import SYM6
from torchaug.image.weather import RandomFog, RandomShadow, RandomSnow, RandomSunFlare
from torchaug.keys import noise

Array = NDArray[np.float64]


def in_numpy(function: Callable[[Array, Record], Array]) -> Oracle:
    """An oracle from a function of float64 images in [0, 1]."""

    def oracle(image: Tensor, record: Record) -> Tensor:
        whole = image.dtype == torch.uint8
        out = torch.from_numpy(function(image.double().numpy() / (255 if whole else 1), record))
        return (out * 255).round().clamp(0, 255).to(torch.uint8) if whole else out.to(image.dtype)

    return oracle


def seeded(record: Record, shape: tuple[int, ...], name: str = "seeds") -> Array:
    """The normal noise that a sample's seeds stand for."""
    return noise(torch.tensor([record[name]]), shape)[0].double().numpy()


def uniform_places(record: Record, shape: tuple[int, ...]) -> Array:
    field: Array = 0.5 * (1 + torch.erf(torch.from_numpy(seeded(record, shape)) / math.sqrt(2))).numpy()
    return field


# Illumination: the fields by numpy, added and clamped by kornia


def kornia_step(name: str, image: Array, **params: float | Array) -> Array:
    import kornia.augmentation as K

    def batched(value: float | Array) -> Tensor:
        return torch.as_tensor(np.asarray(value)).double()[None]

    given = {key: batched(value) for key, value in params.items()}
    out: Tensor = getattr(K, name)(p=1.0).apply_transform(torch.from_numpy(image)[None], given, {})
    return out[0].numpy()


def linear(image: Array, record: Record) -> Array:
    down, across = (np.linspace(0, 1, n) for n in image.shape[1:])
    ramps = [down[:, None], down[::-1, None], across[None], across[None, ::-1]]
    ramp = np.broadcast_to(ramps[record["direction"]], image.shape[1:])
    return kornia_step("RandomLinearIllumination", image, gradient=record["sign"] * record["gain"] * ramp[None])


def corner(image: Array, record: Record) -> Array:
    from kornia.enhance import normalize_min_max

    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in image.shape[1:]), indexing="ij")
    base = [x + y, -x + y, x - y, 1 - (x + y)][record["direction"]]
    ramp = normalize_min_max(torch.from_numpy(base)[None, None])[0].numpy()
    return kornia_step("RandomLinearCornerIllumination", image, gradient=record["sign"] * record["gain"] * ramp)


def gaussian(image: Array, record: Record) -> Array:
    from kornia.filters.kernels import gaussian as kernel

    profiles = []
    for length, center, sigma in zip(image.shape[1:], record["center"], record["sigma"], strict=True):
        middle = torch.tensor([[center * length - (0.5 if length % 2 else 0.0)]], dtype=torch.float64)
        profiles.append(kernel(length, torch.tensor([[sigma * length]], dtype=torch.float64), mean=middle)[0].numpy())
    spot = np.outer(*profiles)
    spot = (spot - spot.min()) / (spot.max() - spot.min())
    return kornia_step("RandomGaussianIllumination", image, gradient=record["sign"] * record["gain"] * spot[None])


def kornia_plasma(record: Record, channels: int, canvas: tuple[int, int]) -> Array:
    """kornia's fractal, fed with our draws."""
    from kornia.contrib import diamond_square

    sides = [2 ** math.ceil(math.log2(max(n, 3) - 1)) for n in canvas]
    draws = torch.from_numpy(uniform_places(record, (channels, sides[0] + 1, sides[1] + 1)))[:, None]
    calls = []

    def random(shape: Any, **_: Any) -> Tensor:
        calls.append(shape)
        step = min(sides) if len(calls) == 1 else sides[0] // (shape[2] - 1)
        field = draws[..., ::step, ::step]
        return field.mT if len(calls) == 1 and field.shape[-1] == 2 else field

    roughness = torch.tensor([record["roughness"]], dtype=torch.float64)
    field: Tensor = diamond_square((1, channels, *canvas), roughness, random_fn=random, dtype=torch.float64)
    return field[0].numpy()


def plasma_step(name: str, *numbers: str, channels: int | None = None) -> Oracle:
    def step(image: Array, record: Record) -> Array:
        field = kornia_plasma(record, channels or len(image), image.shape[1:])
        return kornia_step(name, image, plasma=field, **{key: record[key] for key in numbers})

    return in_numpy(step)


def snow(image: Array, record: Record) -> Array:
    point = record["snow_point"] / 2 + 1 / 3
    return kornia_step("RandomSnow", image, snow_coefficient=point, brightness=2.5)


def fog(image: Array, record: Record) -> Array:
    density = record["fog_coef"] * kornia_plasma(record, 1, image.shape[1:])
    return image * (1 - density) + density


# Weather, pixel by pixel


def shadow(image: Array, record: Record) -> Array:
    out = image.copy()
    for polygon, intensity in list(zip(record["vertices"], record["intensity"], strict=True))[: record["count"]]:
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                edges = zip(polygon, polygon[1:] + polygon[:1], strict=True)
                crossings = [
                    x0 + (y - y0) * (x1 - x0) / (y1 - y0) for (x0, y0), (x1, y1) in edges if (y0 > y) != (y1 > y)
                ]
                if sum(x < crossing for crossing in crossings) % 2:
                    out[:, y, x] *= 1 - intensity
    return out


def opencv_shadow(image: Tensor, record: Record) -> Tensor:
    import cv2

    out = image.permute(1, 2, 0).numpy().astype(np.float32)
    for polygon, intensity in list(zip(record["vertices"], record["intensity"], strict=True))[: record["count"]]:
        mask = np.zeros(out.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.array(polygon, np.int32)], 1)
        out[mask == 1] *= 1 - intensity
    return torch.from_numpy(out).permute(2, 0, 1).to(image.dtype)


def rain(image: Array, record: Record) -> Array:
    height, width = image.shape[1:]
    length = height // 8
    start = uniform_places(record, (2, height // 3))
    layer = np.zeros((height, width))
    moves = max(length, math.ceil(abs(record["slant"])))
    for at_x, at_y in start.T.astype(np.float32):
        x0, y0 = math.floor(at_x * width), math.floor(at_y * (height - length))
        for step in range(moves + 1):
            x = round(float(np.float32(x0) + np.float32(record["slant"]) * (np.float32(step) / np.float32(moves))))
            y = round(float(np.float32(y0) + np.float32(length) * (np.float32(step) / np.float32(moves))))
            if 0 <= x < width and y < height:
                layer[y, x] = 1
    streaks = ndimage.uniform_filter(layer, 7, mode="constant")
    return np.clip(image + streaks * 200 / 255, 0, 1) * 0.7


def sun_flare(image: Array, record: Record) -> Array:
    y, x = np.mgrid[: image.shape[1], : image.shape[2]]
    out = image.copy()
    for i in range(record["count"]):
        near = (x - record["circle_x"][i]) ** 2 + (y - record["circle_y"][i]) ** 2 <= record["radius"][i] ** 2
        alpha = record["alpha"][i] * near
        out = out * (1 - alpha) + (1 - record["shade"][i]) * alpha
    radius, alpha = (np.array(record[name][: record["count"]]) for name in ("radius", "alpha"))
    peak = min(1, 5 * (radius * alpha).sum() / radius.sum())
    distance = np.hypot(x - record["center"][0], y - record["center"][1]) / 12
    light = np.exp(-12 / 10 * (peak**3) * np.clip(1 - distance, 0, None) ** 4 / 4)
    return out * light + 1 - light


def spatter(mode: str) -> Oracle:
    def step(image: Array, record: Record) -> Array:
        reach = 6
        layer = seeded(record, tuple(n + 4 * reach for n in image.shape[1:]))
        blur = {"sigma": record["sigma"], "radius": reach}
        wet = ndimage.gaussian_filter(layer, **blur) * record["std"] + record["mean"] > record["threshold"]
        liquid = ndimage.gaussian_filter(wet.astype(float), **blur)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
        liquid = liquid * record["intensity"]
        if mode == "rain":
            return np.clip(image + liquid * np.array([238, 238, 175])[:, None, None] / 255, 0, 1)
        return image * (1 - liquid) + liquid * np.array([20, 42, 63])[:, None, None] / 255

    return in_numpy(step)


# ADA: the paper's appendix B, step by step, in float64


def scale2d(x: float, y: float) -> Array:
    return np.diag([x, y, 1.0])


def rotate2d(angle: float) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def translate2d(x: float, y: float) -> Array:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def ada_geometry(record: Record) -> Array:
    """The paper's G, from input to output, about the centre."""
    g = scale2d(1 - 2 * record["xflip"], 1)
    g = rotate2d(-np.pi / 2 * record["rotate90"]) @ g
    g = translate2d(*record["xint"]) @ g
    g = scale2d(record["scale"], record["scale"]) @ g
    g = rotate2d(-record["pre_rotation"]) @ g
    g = scale2d(record["aniso"], 1 / record["aniso"]) @ g
    g = rotate2d(-record["post_rotation"]) @ g
    return translate2d(*record["xfrac"]) @ g


def along(image: Array, axis: int, function: Callable[[Array], Array]) -> Array:
    return np.apply_along_axis(function, axis, image)


def ada_warp(image: Array, g: Array, margin: int = 160) -> Array:
    """Pad, upsample, look up, downsample, crop."""
    h = np.array(SYM6)
    centre = (h * np.arange(12)).sum() / h.sum()  # pixel k of the padded image is at place 2k + centre
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")

    def upsample(line: Array) -> Array:
        spaced = np.zeros(2 * len(line))
        spaced[::2] = line
        return np.convolve(spaced, h) * np.sqrt(2)

    fine = along(along(padded, 1, upsample), 2, upsample)
    height, width = image.shape[1:]
    middle_x, middle_y = width / 2 - 0.5, height / 2 - 0.5
    places_y, places_x = np.mgrid[: 2 * height + 10, : 2 * width + 10]
    points = np.stack([(places_x - centre) / 2 - middle_x, (places_y - centre) / 2 - middle_y, np.ones(places_x.shape)])
    x, y, _ = np.tensordot(np.linalg.inv(g), points, 1)
    at = [2 * (y + middle_y + margin) + centre, 2 * (x + middle_x + margin) + centre]
    read = np.stack([ndimage.map_coordinates(plane, at, order=1, mode="constant", cval=np.nan) for plane in fine])

    def downsample(line: Array) -> Array:
        return np.convolve(line, h[::-1], mode="valid")[::2] / np.sqrt(2)

    return along(along(read, 1, downsample), 2, downsample)


def ada_color(record: Record) -> Array:
    v = np.ones(3) / np.sqrt(3)
    c = np.eye(4)
    move = np.eye(4)
    move[:3, 3] = record["brightness"]
    c = move @ c
    c = np.diag([record["contrast"]] * 3 + [1.0]) @ c
    linear_parts = [
        np.eye(3) - 2 * np.outer(v, v) * record["lumaflip"],
        Rotation.from_rotvec(v * record["hue"]).as_matrix(),
        np.outer(v, v) + (np.eye(3) - np.outer(v, v)) * record["saturation"],
    ]
    for part in linear_parts:
        full = np.eye(4)
        full[:3, :3] = part
        c = full @ c
    return c


def ada_filter(image: Array, gains: list[float]) -> Array:
    root = np.sqrt(3)
    h = np.array([1 + root, 3 + root, 3 - root, 1 - root]) / (4 * np.sqrt(2))
    low = np.convolve(h, h[::-1]) / 2
    high = low * (-1.0) ** np.arange(-3, 4)

    def spaced(taps: Array, step: int) -> Array:
        out = np.zeros((len(taps) - 1) * step + 1)
        out[::step] = taps
        return out

    lows, highs = ([spaced(taps, 2**i) for i in range(3)] for taps in (low, high))
    lowest = np.convolve(np.convolve(lows[0], lows[1]), lows[2])
    second = np.convolve(np.convolve(lows[0], lows[1]), highs[2])
    bands = [lowest, second, np.convolve(lows[0], highs[1]), highs[0]]
    kernel = sum(gain * np.pad(band, (43 - len(band)) // 2) for gain, band in zip(gains, bands, strict=True))
    padded = np.pad(image, ((0, 0), (21, 21), (21, 21)), mode="reflect")
    filtered = along(padded, 1, lambda line: np.convolve(line, kernel, mode="valid"))
    return along(filtered, 2, lambda line: np.convolve(line, kernel, mode="valid"))


def ada(image: Array, record: Record) -> Array:
    """All switches of a record, on an image in [0, 1]."""
    y = 2 * image - 1
    if "xflip" in record:
        y = ada_warp(y, ada_geometry(record))
    if "brightness" in record:
        y = np.tensordot(ada_color(record), np.concatenate([y, np.ones_like(y[:1])]), 1)[:3]
    if "gains" in record:
        y = ada_filter(y, record["gains"])
    if "noise" in record:
        y = y + record["noise"] * seeded(record, y.shape, "noise_seeds")
    if "cutout" in record:
        left, top, right, bottom = (max(0, int(v)) for v in record["cutout"])
        y = y.copy()
        y[:, top:bottom, left:right] = 0
    return (y + 1) / 2


def diffaugment(image: Array, record: Record) -> Array:
    y = 2 * image - 1 + record["brightness"]
    grey = y.mean(0, keepdims=True)
    y = (y - grey) * record["saturation"] + grey
    y = (y - y.mean()) * record["contrast"] + y.mean()
    shift_x, shift_y = (int(v) for v in record["translation"])
    moved = np.zeros_like(y)
    height, width = y.shape[1:]
    for row in range(height):
        for column in range(width):
            if 0 <= row - shift_y < height and 0 <= column - shift_x < width:
                moved[:, row, column] = y[:, row - shift_y, column - shift_x]
    left, top, right, bottom = (max(0, int(v)) for v in record["cutout"])
    moved[:, top:bottom, left:right] = 0
    return (moved + 1) / 2


CASES: list[Case] = [
    *against(
        RandomShadow(num_shadows_limit=(1, 3), shadow_intensity_range=(0.2, 0.8), p=1.0),
        in_numpy(shadow),
        "polygons by the even-odd rule, pixel by pixel",
    ),
    *against(RandomRain(p=1.0), in_numpy(rain), "drops drawn one by one, scipy uniform_filter"),
    *against(RandomSunFlare(src_radius=12, p=1.0), in_numpy(sun_flare), "discs laid over one by one, float64"),
    *against(RandomSpatter(p=1.0), spatter("rain"), "scipy gaussian_filter, given the noise"),
    *against(RandomSpatter(mode="mud", p=1.0), spatter("mud"), "scipy gaussian_filter, given the noise"),
    *against(ADA("bg"), in_numpy(ada), "the paper's appendix B, float64", float_tolerance=1e-4),
    *against(ADA("color"), in_numpy(ada), "the paper's appendix B, float64", float_tolerance=1e-4),
    *against(ADA("filter"), in_numpy(ada), "the paper's appendix B, float64", float_tolerance=1e-4),
    *against(ADA("bgcfnc", p=0.6), in_numpy(ada), "the paper's appendix B, float64", float_tolerance=1e-4),
    *against(DiffAugment(), in_numpy(diffaugment), "the paper's formulae, pixel by pixel"),
]

if find_spec("kornia"):
    CASES += [
        *against(RandomLinearIllumination(p=1.0), in_numpy(linear), "kornia, given the ramp"),
        *against(RandomLinearCornerIllumination(p=1.0), in_numpy(corner), "kornia, given the ramp"),
        *against(
            RandomGaussianIllumination(p=1.0),
            in_numpy(gaussian),
            "kornia's Gaussian profiles, scaled exactly to [0, 1]",
        ),
        *against(
            RandomPlasmaBrightness(p=1.0),
            plasma_step("RandomPlasmaBrightness", "intensity"),
            "kornia, diamond_square fed with our draws",
        ),
        *against(
            RandomPlasmaContrast(p=1.0),
            plasma_step("RandomPlasmaContrast"),
            "kornia, diamond_square fed with our draws",
        ),
        *against(
            RandomPlasmaShadow(p=1.0),
            plasma_step("RandomPlasmaShadow", "shade_intensity", "shade_quantity", channels=1),
            "kornia, diamond_square fed with our draws",
        ),
        *against(
            RandomPlasmaBrightness(p=1.0),
            plasma_step("RandomPlasmaBrightness", "intensity"),
            "kornia, diamond_square fed with our draws",
            canvas=(130, 33),
            count=2,
            name="RandomPlasmaBrightness on tall images",
        ),
        *against(RandomSnow(p=1.0), in_numpy(snow), "kornia at its snow_coefficient = snow_point / 2 + 1 / 3"),
        *against(
            RandomFog(p=1.0), in_numpy(fog), "Koschmieder's formula with kornia's diamond_square, fed with our draws"
        ),
    ]

if find_spec("cv2"):
    CASES += against(
        RandomShadow(p=1.0),
        opencv_shadow,
        "OpenCV fillPoly, which also fills the pixels that an edge touches",
        share=0.1,
        canvas=(64, 72),
        name="RandomShadow beside its edges",
    )
