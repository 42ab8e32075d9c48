"""Weather: shadows, fog, snow and sun flares. Rain and spatter are in `torchaug.image.drops`.

Names and defaults are albumentations'; colours are in [0, 1]. Every effect is a closed form of numbers drawn per sample,
so that a batch needs no loop over drops, discs or samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.color import unit
from torchaug.image.plasma import plasma
from torchaug.image.pointwise import Frame, Planes, Pointwise, pick_planes
from torchaug.keys import integers, uniform
from torchaug.transform import Sizes

Region = tuple[float, float, float, float]


def _region(value: Sequence[float], who: str, name: str) -> Region:
    """(x_min, y_min, x_max, y_max) as shares of the image."""
    values = arguments.finite(value)
    if len(values) != 4 or not (0 <= values[0] < values[2] <= 1 and 0 <= values[1] < values[3] <= 1):
        raise ValueError(f"{who}: {name} must be (x_min, y_min, x_max, y_max) in rising order in [0, 1], got {value!r}")
    return float(values[0]), float(values[1]), float(values[2]), float(values[3])


def _grid(size: Sizes) -> tuple[Tensor, Tensor]:
    """Rows (1, H, 1) and columns (1, 1, W) of the canvas."""
    rows, columns = (torch.arange(n, device=size.height.device, dtype=size.height.dtype) for n in size.canvas)
    return rows[None, :, None], columns[None, None, :]


class RandomShadow(Pointwise):
    """Darken random polygons, as albumentations' transform of this name.

    A pixel is in a polygon by the even-odd rule; where polygons overlap, both darken.

    Args:
        shadow_roi: where the corners lie, (x_min, y_min, x_max, y_max) as shares of the image.
        num_shadows_limit: least and largest number of polygons.
        shadow_dimension: corners of a polygon, at least 3.
        shadow_intensity_range: range of the share of light that a shadow takes, or one number.
        p: chance per sample.

    Parameters per sample: count; vertices (polygons, corners, 2) as x, y in whole pixels; intensity of each polygon.

    >>> RandomShadow(p=1.0)(torch.ones(8, 3, 32, 32)).amin().item() >= 0.25
    True
    """

    def __init__(
        self,
        shadow_roi: Region = (0.0, 0.5, 1.0, 1.0),
        num_shadows_limit: tuple[int, int] = (1, 2),
        shadow_dimension: int = 5,
        shadow_intensity_range: float | tuple[float, float] = (0.5, 0.5),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.shadow_roi = _region(shadow_roi, "RandomShadow", "shadow_roi")
        self.num_shadows_limit = arguments.whole_range(num_shadows_limit, "RandomShadow", "num_shadows_limit", 1)
        self.shadow_dimension = arguments.whole(shadow_dimension, "RandomShadow", "shadow_dimension", 3)
        self.shadow_intensity_range = arguments.within(
            shadow_intensity_range, "RandomShadow", "shadow_intensity_range", 0, 1
        )
        self.uniforms = 1 + self.num_shadows_limit[1] * (2 * shadow_dimension + 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        most = self.num_shadows_limit[1]
        places = u[:, 1 + most :].unflatten(1, (most, self.shadow_dimension, 2))
        x0, y0, x1, y1 = self.shadow_roi
        corners = [
            (length[:, None, None] * uniform(place, low, high)).floor()
            for length, place, low, high in (
                (size.width, places[..., 0], x0, x1),
                (size.height, places[..., 1], y0, y1),
            )
        ]
        return {
            "count": integers(u[:, 0], self.num_shadows_limit[0], most + 1),
            "intensity": uniform(u[:, 1 : 1 + most], *self.shadow_intensity_range),
            "vertices": torch.stack(corners, -1),
        }

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        light = torch.ones_like(planes[0])
        for i in range(self.num_shadows_limit[1]):
            shaded = _inside(numbers["vertices"][:, i], frame.size) & (numbers["count"] > i)[:, None, None]
            light = light * (1 - shaded * numbers["intensity"][:, i, None, None].to(light.dtype))
        return pick_planes(numbers["chosen"], [plane * light for plane in planes], planes)


def _inside(vertices: Tensor, size: Sizes) -> Tensor:
    """(B, H, W) bool: pixels in a polygon (B, n, 2) by the even-odd rule: a ray to the right crosses its edges oddly."""
    y, x = _grid(size)
    odd = torch.zeros_like(vertices[:, 0, 0], dtype=torch.bool)[:, None, None]
    corners = vertices[:, :, :, None, None].unbind(1)  # each (B, 2, 1, 1)
    for (x0, y0), (x1, y1) in zip(
        (c.unbind(1) for c in corners), (c.unbind(1) for c in corners[1:] + corners[:1]), strict=True
    ):
        rise = torch.where(y1 == y0, 1, y1 - y0)
        crosses = ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / rise)
        odd = odd ^ crosses
    return odd


class RandomFog(Pointwise):
    """Fog of uneven thickness: x (1 - d) + fog_color d, the model of Koschmieder (1924).

    The density is d = fog_coef f, where f in [0, 1] is a plasma fractal, one for all channels, as in the fog of ImageNet-C
    (Hendrycks and Dietterich, 2019). albumentations' transform of this name draws white discs instead.

    Args:
        fog_coef_range: range of the coefficient, in [0, 1], or one number; the mean density is about half of it.
        roughness: range of how much each finer level of the fractal adds, in [0, 1], or one number.
        fog_color: a level in [0, 1] for all channels, or one for each.
        p: chance per sample.

    >>> RandomFog(p=1.0)(torch.zeros(8, 3, 32, 32)).amax().item() <= 1
    True
    """

    uniforms = 4

    def __init__(
        self,
        fog_coef_range: float | tuple[float, float] = (0.3, 1.0),
        roughness: float | tuple[float, float] = (0.3, 0.6),
        fog_color: float | tuple[float, ...] = 1.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.fog_coef_range = arguments.within(fog_coef_range, "RandomFog", "fog_coef_range", 0, 1)
        self.roughness = arguments.within(roughness, "RandomFog", "roughness", 0, 1)
        self.fog_color = arguments.fill(fog_color, "RandomFog", "fog_color")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        coefficient, roughness = uniform(u[:, 2], *self.fog_coef_range), uniform(u[:, 3], *self.roughness)
        return {"seeds": u[:, :2], "fog_coef": coefficient, "roughness": roughness}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        field = plasma(numbers["seeds"], numbers["roughness"], frame.size, 1)[:, 0]
        density = (field * numbers["fog_coef"][:, None, None]).to(planes[0].dtype)
        colors = arguments.colored(self.fog_color, len(planes), "RandomFog", "fog_color")
        foggy = [plane + (color - plane) * density for plane, color in zip(planes, colors, strict=True)]
        return pick_planes(numbers["chosen"], foggy, planes)


class RandomSnow(Pointwise):
    """Whiten dark places, as albumentations' transform of this name does with its method "bleach".

    Pixels whose lightness (the mean of the largest and the least channel) is below snow_point / 2 + 1 / 3 have it
    multiplied, hue and saturation (of the HLS colour space) kept. For one channel lightness is its value.

    Args:
        brightness_coeff: what the lightness is multiplied by, at least 1.
        snow_point_range: range of the snow point, in [0, 1], or one number: the more the snowier.
        p: chance per sample.

    >>> dark = torch.full((1, 3, 4, 4), 0.25)
    >>> RandomSnow(brightness_coeff=2.0, p=1.0)(dark).unique().tolist()
    [0.5]
    """

    uniforms = 1

    def __init__(
        self,
        brightness_coeff: float = 2.5,
        snow_point_range: float | tuple[float, float] = (0.1, 0.3),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.brightness_coeff = arguments.number(brightness_coeff, "RandomSnow", "brightness_coeff", 1.0)
        self.snow_point_range = arguments.within(snow_point_range, "RandomSnow", "snow_point_range", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"snow_point": uniform(u[:, 0], *self.snow_point_range)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        values = [unit(plane) for plane in planes]
        least, most = values[0], values[0]
        for value in values[1:]:
            least, most = torch.minimum(least, value), torch.maximum(most, value)
        light = (least + most) / 2
        lighter = (light * self.brightness_coeff).clamp(max=1)
        # chroma is saturation times this; dividing by 0 where the pixel is black or white, and has no chroma
        room, now = 1 - (2 * lighter - 1).abs(), 1 - (2 * light - 1).abs()
        ratio = room / torch.where(now > 0, now, 1)
        snowy = light < (numbers["snow_point"] / 2 + 1 / 3)[:, None, None]
        snowed = [torch.where(snowy, lighter + (value - light) * ratio, value) for value in values]
        return pick_planes(numbers["chosen"], snowed, planes)


class RandomSunFlare(Pointwise):
    """A glowing sun, and discs on a line through it, as albumentations' transform of this name ("overlay").

    Discs are laid over the image one after the other. The sun's light falls off from its centre as
    exp(-n a^3 (1 - r / R)^4 / 4), n = R / 10: the limit of albumentations' stack of n discs whose opacity
    (a (1 - r / R))^3 falls with their radius r, a = min(1, 5 times the discs' mean opacity, weighted by radius).

    Args:
        flare_roi: where the sun is, (x_min, y_min, x_max, y_max) as shares of the image.
        src_radius: R, radius of the sun in pixels.
        src_color: a level in [0, 1] for all channels, or one for each; a disc's colour is up to a fifth darker.
        angle_range: range of the line's angle, in turns, or one number.
        num_flare_circles_range: least and largest number of discs.
        p: chance per sample.

    Parameters per sample: center x, y; and for each disc circle_x, circle_y, radius, alpha, shade; count of the discs.

    >>> RandomSunFlare(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        flare_roi: Region = (0.0, 0.0, 1.0, 0.5),
        src_radius: int = 400,
        src_color: float | tuple[float, ...] = 1.0,
        angle_range: float | tuple[float, float] = (0.0, 1.0),
        num_flare_circles_range: tuple[int, int] = (6, 10),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.flare_roi = _region(flare_roi, "RandomSunFlare", "flare_roi")
        self.src_radius = arguments.whole(src_radius, "RandomSunFlare", "src_radius", 1)
        self.src_color = arguments.fill(src_color, "RandomSunFlare", "src_color")
        self.angle_range = arguments.within(angle_range, "RandomSunFlare", "angle_range", 0, 1)
        self.num_flare_circles_range = arguments.whole_range(
            num_flare_circles_range, "RandomSunFlare", "num_flare_circles_range", 1
        )
        self.uniforms = 4 + 4 * self.num_flare_circles_range[1]

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        x0, y0, x1, y1 = self.flare_roi
        x = (size.width * uniform(u[:, 0], x0, x1)).floor()
        y = (size.height * uniform(u[:, 1], y0, y1)).floor()
        angle = 2 * math.pi * uniform(u[:, 2], *self.angle_range)[:, None]
        opacity, place, radius, shade = u[:, 4:].unflatten(1, (4, -1)).unbind(1)
        along = place * size.width[:, None] - x[:, None]
        widest = (size.height * 0.01).floor().clamp(min=2)[:, None]
        return {
            "center": torch.stack([x, y], 1),
            "count": integers(u[:, 3], self.num_flare_circles_range[0], self.num_flare_circles_range[1] + 1),
            "circle_x": (x[:, None] + along * angle.cos()).trunc(),
            "circle_y": (y[:, None] + along * angle.sin()).trunc(),
            "radius": (1 + (radius * widest).floor()) ** 3,
            "alpha": uniform(opacity, 0.05, 0.2),
            "shade": 0.2 * shade,
        }

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        colors = arguments.colored(self.src_color, len(planes), "RandomSunFlare", "src_color")
        flared = planes
        for i in range(self.num_flare_circles_range[1]):
            cover = self._disc(numbers, i, frame.size).to(planes[0].dtype)
            darker = (numbers["shade"][:, i, None, None] * max(colors)).to(cover.dtype)
            flared = [x + ((c - darker).clamp(min=0) - x) * cover for x, c in zip(flared, colors, strict=True)]
        glow = self._glow(numbers, frame.size).to(planes[0].dtype)
        flared = [x + (c - x) * glow for x, c in zip(flared, colors, strict=True)]
        return pick_planes(numbers["chosen"], flared, planes)

    @staticmethod
    def _disc(numbers: dict[str, Tensor], i: int, size: Sizes) -> Tensor:
        """(B, H, W) opacity of one disc."""
        y, x = _grid(size)
        at_x, at_y, radius, alpha = (
            numbers[name][:, i, None, None] for name in ("circle_x", "circle_y", "radius", "alpha")
        )
        inside = (x - at_x).square() + (y - at_y).square() <= radius.square()
        return inside * torch.where((numbers["count"] > i)[:, None, None], alpha, 0)

    def _glow(self, numbers: dict[str, Tensor], size: Sizes) -> Tensor:
        """(B, H, W) opacity of the sun."""
        there = torch.arange(self.num_flare_circles_range[1], device=size.height.device) < numbers["count"][:, None]
        radius = numbers["radius"] * there
        peak = (5 * (numbers["alpha"] * radius).sum(1) / radius.sum(1)).clamp(max=1)
        y, x = _grid(size)
        at_x, at_y = numbers["center"][:, :, None, None].unbind(1)
        distance = torch.hypot(x - at_x, y - at_y) / self.src_radius
        depth = self.src_radius / 10 * peak[:, None, None] ** 3 * (1 - distance).clamp(min=0) ** 4 / 4
        return 1 - torch.exp(-depth)
