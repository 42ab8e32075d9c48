"""Shears, shifts, turns that keep all in view, and perspective: the matrices that `geometry` has not."""

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


class RandomShear(Geometric):
    """Shear each image about its centre, as torchvision's RandomAffine does with nothing but `shear`.

    Args:
        shear: largest shear along x in degrees, or a range of it, or ranges along x and y (four numbers); below 90.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: shear_x, shear_y in degrees, uniform.

    >>> RandomShear(20)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 2

    def __init__(
        self,
        shear: float | Sequence[float],
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.shear = arguments.shears(shear, "RandomShear")
        self.interpolation = arguments.interpolation(interpolation, "RandomShear")
        self.fill = arguments.fill(fill, "RandomShear")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"shear_x": uniform(u[:, 0], *self.shear[:2]), "shear_y": uniform(u[:, 1], *self.shear[2:])}

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        drawn = self.drawn(u, size)
        x, y = (torch.deg2rad(drawn[name]).tan() for name in ("shear_x", "shear_y"))
        linear = torch.stack([1 + x * y, x, y, torch.ones_like(x)], 1).unflatten(1, (2, 2))
        return matrices.about(linear, size.width / 2, size.height / 2)


class RandomTranslate(Geometric):
    """Move each image by whole pixels, unchanged, as torchvision's RandomAffine does with nothing but `translate`.

    Args:
        translate: largest shift (across, down) as shares of width and height, in [0, 1].
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: translate_x, translate_y in pixels, to the right and down; uniform, rounded.

    >>> RandomTranslate((0.25, 0.25))(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    moves = "pixels"
    uniforms = 2

    def __init__(self, translate: tuple[float, float], fill: float | Sequence[float] = 0.0, p: float = 1.0) -> None:
        super().__init__(p)
        self.translate = arguments.two(translate, "RandomTranslate", "translate", 1)
        self.fill = arguments.fill(fill, "RandomTranslate")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        across, down = self.translate[0] * size.width, self.translate[1] * size.height
        return {
            "translate_x": uniform(u[:, 0], -across, across).round(),
            "translate_y": uniform(u[:, 1], -down, down).round(),
        }

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        drawn, one = self.drawn(u, size), torch.ones_like(size.width)
        return matrices.aligned(one, -drawn["translate_y"], one, -drawn["translate_x"])


class ShiftScaleRotate(Geometric):
    """Move, scale and turn each image about its centre, as albumentations' transform of this name.

    Args:
        shift_limit: range of the shift as a share of width and of height, or its largest size either way.
        scale_limit: range of what is added to the factor 1, or its largest size either way; above -1.
        rotate_limit: range of the counter-clockwise angle in degrees, or its largest size either way.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: shift_x, shift_y in pixels, scale, angle; all uniform.

    >>> ShiftScaleRotate(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 4

    def __init__(
        self,
        shift_limit: float | Sequence[float] = 0.0625,
        scale_limit: float | Sequence[float] = 0.1,
        rotate_limit: float | Sequence[float] = 45,
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.shift_limit = arguments.symmetric(shift_limit, "ShiftScaleRotate", "shift_limit")
        self.scale_limit = arguments.symmetric(scale_limit, "ShiftScaleRotate", "scale_limit")
        self.rotate_limit = arguments.symmetric(rotate_limit, "ShiftScaleRotate", "rotate_limit")
        if self.scale_limit[0] <= -1:
            raise ValueError(f"ShiftScaleRotate: scale_limit must be above -1, got {scale_limit!r}")
        self.interpolation = arguments.interpolation(interpolation, "ShiftScaleRotate")
        self.fill = arguments.fill(fill, "ShiftScaleRotate")

    def shrinks(self, canvas: tuple[int, int]) -> float:
        return max(1.0, 1 / (1 + self.scale_limit[0]))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {
            "shift_x": uniform(u[:, 0], *self.shift_limit) * size.width,
            "shift_y": uniform(u[:, 1], *self.shift_limit) * size.height,
            "scale": 1 + uniform(u[:, 2], *self.scale_limit),
            "angle": uniform(u[:, 3], *self.rotate_limit),
        }

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        drawn, one = self.drawn(u, size), torch.ones_like(size.width)
        linear = _rotation(drawn["angle"]) / drawn["scale"][:, None, None]
        shifted = matrices.aligned(one, -drawn["shift_y"], one, -drawn["shift_x"])
        return matrices.about(linear, size.width / 2, size.height / 2) @ shifted


class SafeRotate(Geometric):
    """Turn each image about its centre and squeeze it so that all of it stays in view. albumentations' transform.

    The smallest upright frame around the turned image is scaled to the image's size, each axis by its own factor.
    Centre and frame are exact; albumentations rounds the frame to whole pixels and moves the centre by half of one.

    Args:
        limit: range of the counter-clockwise angle in degrees, or its largest size either way.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: angle, uniform; height and width of the frame in pixels.

    >>> SafeRotate(p=1.0)(torch.rand(8, 3, 32, 48)).shape
    torch.Size([8, 3, 32, 48])
    """

    uniforms = 1

    def __init__(
        self,
        limit: float | Sequence[float] = 90,
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.limit = arguments.symmetric(limit, "SafeRotate", "limit")
        self.interpolation = arguments.interpolation(interpolation, "SafeRotate")
        self.fill = arguments.fill(fill, "SafeRotate")

    def shrinks(self, canvas: tuple[int, int]) -> float:
        """Turned by a quarter, the longer side is squeezed into the shorter; in between by both, at most this."""
        return math.hypot(1, max(canvas) / min(canvas))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        angle = uniform(u[:, 0], *self.limit)
        cos, sin = torch.deg2rad(angle).cos().abs(), torch.deg2rad(angle).sin().abs()
        return {
            "angle": angle,
            "height": size.height * cos + size.width * sin,
            "width": size.width * cos + size.height * sin,
        }

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        drawn = self.drawn(u, size)
        stretch = torch.stack([drawn["width"] / size.width, drawn["height"] / size.height], 1)
        linear = _rotation(drawn["angle"]) * stretch[:, None, :]
        return matrices.about(linear, size.width / 2, size.height / 2)


class RandomPerspective(Geometric):
    """Move the four corners inwards by chance and the rest in perspective, as torchvision's transform of this name.

    The map is solved in closed form in float64 (Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989,
    section 2.2.3). Corners that lie on a line, which only a `distortion_scale` near 1 brings about, leave the image as
    it is.

    Args:
        distortion_scale: largest way of a corner along each axis, as a share of half the side, in [0, 1].
        p: chance per sample.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.

    Parameters per sample: endpoints, where the corners go to: (4, 2) whole x, y, clockwise from the top left.

    >>> RandomPerspective(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 8
    projective = True

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__(p)
        self.distortion_scale = arguments.number(distortion_scale, "RandomPerspective", "distortion_scale", 0, 1)
        self.interpolation = arguments.interpolation(interpolation, "RandomPerspective")
        self.fill = arguments.fill(fill, "RandomPerspective")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        full = torch.stack([size.width, size.height], 1).double()[:, None]  # (B, 1, 2)
        most = (self.distortion_scale * (full / 2).floor()).floor()
        inwards = (u.double().unflatten(1, (4, 2)) * (most + 1)).floor()
        far = _corners(size)
        return {"endpoints": torch.where(far > 0, far - inwards, inwards).to(u.dtype)}

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        ends = self.drawn(u, size)["endpoints"].double()
        back = _quadrilateral_to_rectangle(ends, _corners(size)[:, 2])
        return back.to(u.dtype)


def _rotation(degrees: Tensor) -> Tensor:
    """Output -> input of a counter-clockwise turn: (B, 2, 2)."""
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)


def _corners(size: Sizes) -> Tensor:
    """Indices x, y of the corner pixels, clockwise from the top left: (B, 4, 2) float64; sides count as 2 or more."""
    right, bottom = (side.double().clamp(min=2) - 1 for side in (size.width, size.height))
    zero = torch.zeros_like(right)
    return torch.stack([zero, zero, right, zero, right, bottom, zero, bottom], 1).view(-1, 4, 2)


def _quadrilateral_to_rectangle(quad: Tensor, far: Tensor) -> Tensor:
    """(B, 3, 3) float64 that maps four corners (B, 4, 2) to those of the rectangle from 0 to `far` (B, 2).

    The unit square's map to the corners has a closed form; its adjugate is the way back, up to a factor.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(-1) for corner in quad.unbind(1))
    ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    g, h, k = sx * by - bx * sy, ax * sy - sx * ay, ax * by - bx * ay
    a, b, c = k * (x1 - x0) + g * x1, k * (x3 - x0) + h * x3, k * x0
    d, e, f = k * (y1 - y0) + g * y1, k * (y3 - y0) + h * y3, k * y0
    rows = [
        [far[:, 0] * (e * k - f * h), far[:, 0] * (c * h - b * k), far[:, 0] * (b * f - c * e)],
        [far[:, 1] * (f * g - d * k), far[:, 1] * (a * k - c * g), far[:, 1] * (c * d - a * f)],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    back = matrices.matrix(rows, k)
    determinant = a * (e * k - f * h) - b * (d * k - f * g) + c * (d * h - e * g)
    solvable = (determinant != 0) & (rows[2][2] != 0)  # whole numbers in float64: exact
    back = back / torch.where(solvable, rows[2][2], 1)[:, None, None]
    return torch.where(solvable[:, None, None], back, matrices.identity(len(k), k))
