"""Rotations and affine maps: each writes its matrix, the kind does the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments, matrices
from torchaug.image.axes import Interpolation
from torchaug.image.warp import Geometric
from torchaug.keys import uniform
from torchaug.transform import Sizes


class RandomRotation(Geometric):
    """Turn each image about its centre, counter-clockwise, as torchvision's transform of this name.

    Args:
        degrees: range (low, high) of the angle, or its largest size either way; uniform.
        interpolation: "nearest" (torchvision's default), "bicubic", or "bilinear", which folds with bilinear crops and
            resizes.
        expand: make each image large enough to hold all of the turned one: images come out in different sizes, padded to
            the largest that `degrees` allows.
        center: x, y in pixels that stays where it is; the image's centre by default.
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    >>> RandomRotation(30)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 1

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Interpolation = "nearest",
        expand: bool = False,
        center: tuple[float, float] | None = None,
        fill: float | Sequence[float] = 0.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.degrees = arguments.symmetric(degrees, "RandomRotation", "degrees")
        self.interpolation = arguments.interpolation(interpolation, "RandomRotation")
        if expand and center is not None:
            raise ValueError(f"RandomRotation: expand=True turns about the centre of the image, got center={center}")
        self.expand = self.ragged = expand
        self.center = arguments.center(center, "RandomRotation")
        self.fill = arguments.fill(fill, "RandomRotation")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"angle": uniform(u[:, 0], *self.degrees)}

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        if not self.expand:
            return canvas
        turned = [_turned(canvas, angle) for angle in _extremes(canvas, *self.degrees)]
        return max(canvas[0], *(t[0] for t in turned)), max(canvas[1], *(t[1] for t in turned))

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        if not self.expand:
            return size
        height, width = self._expanded(torch.deg2rad(self.drawn(u, size)["angle"]), size)
        height, width = torch.where(chosen, height, size.height), torch.where(chosen, width, size.width)
        return Sizes(height, width, self.canvas_after(size.canvas))

    @staticmethod
    def _expanded(angle: Tensor, size: Sizes) -> tuple[Tensor, Tensor]:
        """Height and width that hold the turned image, by PIL's rounding, with torchvision's tolerance of 1e-4."""
        cos, sin = angle.cos().abs(), angle.sin().abs()
        made = []
        for own, other in ((size.height, size.width), (size.width, size.height)):
            reach = (cos * own + sin * other) / 2
            ends = (((own / 2 + sign * reach) * 1e4).trunc() * 1e-4 for sign in (1, -1))
            made.append(next(ends).ceil() - next(ends).floor())
        return made[0], made[1]

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        angle = torch.deg2rad(self.drawn(u, size)["angle"])
        cos, sin = angle.cos(), angle.sin()
        linear = torch.stack([cos, -sin, sin, cos], 1).unflatten(1, (2, 2))
        turn = matrices.about(linear, *_center(self.center, size))
        if not self.expand:
            return turn
        height, width = self._expanded(angle, size)
        one = torch.ones_like(angle)
        return turn @ matrices.aligned(one, (size.height - height) / 2, one, (size.width - width) / 2)


def _turned(canvas: tuple[int, int], degrees: float) -> tuple[int, int]:
    """Whole pixels that hold a canvas turned by an angle, at most one more than needed."""
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    height, width = canvas
    return math.ceil(cos * height + sin * width - 1e-3) + 1, math.ceil(cos * width + sin * height - 1e-3) + 1


def _extremes(canvas: tuple[int, int], low: float, high: float) -> list[float]:
    """The ends of a range of angles, and those inside it at which a turned canvas is tallest or widest."""
    peaks = [math.degrees(math.atan2(a, b)) for a, b in (canvas, canvas[::-1])]
    inside = [sign * peak + 180 * k for peak in peaks for sign in (1, -1) for k in range(-3, 4)]
    return [low, high, *(angle for angle in inside if low < angle < high)]


class RandomAffine(Geometric):
    """Turn, move, scale and shear each image about its centre, as torchvision's transform of this name.

    Args:
        degrees: range (low, high) of the clockwise angle, or its largest size either way.
        translate: largest shift (across, down) as shares of width and height; drawn in whole pixels.
        scale: range of the factor.
        shear: largest shear along x in degrees, or a range of it, or ranges along x and y (four numbers).
        interpolation: "nearest" (torchvision's default), "bicubic", or "bilinear", which folds with bilinear crops and
            resizes.
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        center: x, y in pixels that stays where it is; the image's centre by default.
        p: chance per sample.

    >>> RandomAffine(15, translate=(0.1, 0.1), scale=(0.8, 1.2))(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 6

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] = 0.0,
        center: tuple[float, float] | None = None,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.degrees = arguments.symmetric(degrees, "RandomAffine", "degrees")
        self.translate = arguments.two(0.0 if translate is None else translate, "RandomAffine", "translate", 1)
        self.scale = (1.0, 1.0) if scale is None else arguments.between(scale, "RandomAffine", "scale", 0)
        self.shear = arguments.shears(0.0 if shear is None else shear, "RandomAffine")
        self.interpolation = arguments.interpolation(interpolation, "RandomAffine")
        self.center = arguments.center(center, "RandomAffine")
        self.fill = arguments.fill(fill, "RandomAffine")

    def shrinks(self, canvas: tuple[int, int]) -> float:
        return max(1.0, 1 / self.scale[0])

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        across, down = (share * length for share, length in zip(self.translate, (size.width, size.height), strict=True))
        return {
            "angle": uniform(u[:, 0], *self.degrees),
            "translate_x": uniform(u[:, 1], -across, across).round(),
            "translate_y": uniform(u[:, 2], -down, down).round(),
            "scale": uniform(u[:, 3], *self.scale),
            "shear_x": uniform(u[:, 4], *self.shear[:2]),
            "shear_y": uniform(u[:, 5], *self.shear[2:]),
        }

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        values = self.drawn(u, size)
        angle, shear_x, shear_y = (torch.deg2rad(values[name]) for name in ("angle", "shear_x", "shear_y"))
        # forward: scale * rotation * shear_y * shear_x about the centre, then the shift; this is its inverse
        turn, lean = (angle - shear_y).cos() / shear_y.cos(), shear_x.tan()
        drop = (angle - shear_y).sin() / shear_y.cos()
        a, b, c, d = turn, -turn * lean - angle.sin(), drop, -drop * lean + angle.cos()
        linear = torch.stack([d, -b, -c, a], 1).unflatten(1, (2, 2)) / values["scale"][:, None, None]
        one = torch.ones_like(angle)
        back = matrices.aligned(one, -values["translate_y"], one, -values["translate_x"])
        return matrices.about(linear, *_center(self.center, size)) @ back


def _center(center: tuple[float, float] | None, size: Sizes) -> tuple[Tensor, Tensor]:
    if center is None:
        return size.width / 2, size.height / 2
    return torch.full_like(size.width, center[0]), torch.full_like(size.height, center[1])
