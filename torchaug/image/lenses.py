"""Displacements by lenses, with their inverses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.axes import Interpolation
from torchaug.image.path import Numbers
from torchaug.image.warp import Warp
from torchaug.keys import uniform
from torchaug.transform import Sizes

Pair = tuple[Tensor, Tensor]


class OpticalDistortion(Warp):
    """Bend the image as a lens does, about its centre, as albumentations' transform of this name.

    "camera" is the radial part of Brown's model (1966) as in OpenCV, with k1 = k2 = k and the image's width and height
    as focal lengths: a point at a distance r from the centre, in these units, shows the input at r (1 + k r^2 + k r^4).
    "fisheye": at r (1 + k r^2), with half the diagonal as unit.

    Args:
        distort_limit: range of k, or its largest size either way. Above 0 the image shrinks towards the centre.
        mode: "camera" or "fisheye".
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: k, uniform.

    >>> OpticalDistortion(0.5, p=1.0)(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    uniforms = 1

    def __init__(
        self,
        distort_limit: float | Sequence[float] = 0.05,
        mode: Literal["camera", "fisheye"] = "camera",
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.distort_limit = arguments.symmetric(distort_limit, "OpticalDistortion", "distort_limit")
        self.mode: Literal["camera", "fisheye"] = arguments.one_of(
            mode, "OpticalDistortion", "mode", ("camera", "fisheye")
        )
        self.interpolation = arguments.interpolation(interpolation, "OpticalDistortion")
        self.fill = arguments.fill(fill, "OpticalDistortion")

    def drawn(self, u: Tensor, size: Sizes) -> Numbers:
        return {"k": uniform(u[:, 0], *self.distort_limit)}

    def displacement(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        k = numbers["k"][:, None].to(x.dtype)
        dx, dy, square = self._polar(x, y, size)
        grown = k * square * (1 + square) if self.mode == "camera" else k * square
        return dx * grown, dy * grown

    def back(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        k = numbers["k"][:, None].to(x.dtype)
        dx, dy, square = self._polar(x, y, size)

        def reached(share: Tensor) -> Tensor:
            at = square * share * share
            return share * (1 + (k * at * (1 + at) if self.mode == "camera" else k * at))

        share = _share_that_reaches_one(reached, torch.zeros_like(x), torch.full_like(x, 2))
        return dx * (share - 1), dy * (share - 1)

    def _polar(self, x: Tensor, y: Tensor, size: Sizes) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets from the centre in pixels, and the squared distance in the model's units."""
        width, height = size.width[:, None].to(x.dtype), size.height[:, None].to(x.dtype)
        dx, dy = x - width / 2, y - height / 2
        if self.mode == "camera":
            return dx, dy, (dx / width).square() + (dy / height).square()
        return dx, dy, (dx.square() + dy.square()) * 4 / (width.square() + height.square())


class Fisheye(Warp):
    """Bend the image as a wide lens does, as kornia's RandomFisheye.

    In coordinates from -1 to 1 between the centres of the outermost pixels, (x, y) shows the input at
    (x, y) (1 + r^gamma), where r is its distance from a drawn centre.

    Args:
        center_x: range of the centre's x, from -1 to 1 across the image, or its largest size either way.
        center_y: range of the centre's y.
        gamma: range of the exponent, above 0, or one number for both ends.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: center_x, center_y, gamma, uniform.

    >>> Fisheye(p=1.0)(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    uniforms = 3

    def __init__(
        self,
        center_x: float | Sequence[float] = 0.3,
        center_y: float | Sequence[float] = 0.3,
        gamma: float | Sequence[float] = (0.9, 1.0),
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.center_x = arguments.symmetric(center_x, "Fisheye", "center_x")
        self.center_y = arguments.symmetric(center_y, "Fisheye", "center_y")
        self.gamma = arguments.within(gamma, "Fisheye", "gamma", 0, above=True)
        self.interpolation = arguments.interpolation(interpolation, "Fisheye")
        self.fill = arguments.fill(fill, "Fisheye")

    def drawn(self, u: Tensor, size: Sizes) -> Numbers:
        ranges = {"center_x": self.center_x, "center_y": self.center_y, "gamma": self.gamma}
        return {name: uniform(u[:, i], *ends) for i, (name, ends) in enumerate(ranges.items())}

    def displacement(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        at_x, at_y, half_x, half_y = self._normalized(x, y, size)
        grown = self._grown(at_x, at_y, numbers)
        return at_x * grown * half_x, at_y * grown * half_y

    def back(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        """Along the ray from the middle: the first share of the way at which the input is reached."""
        at_x, at_y, half_x, half_y = self._normalized(x, y, size)

        def reached(share: Tensor) -> Tensor:
            return share * (1 + self._grown(share * at_x, share * at_y, numbers))

        share = _share_that_reaches_one(reached, torch.zeros_like(x), torch.ones_like(x))
        return at_x * half_x * (share - 1), at_y * half_y * (share - 1)

    @staticmethod
    def _grown(x: Tensor, y: Tensor, numbers: Numbers) -> Tensor:
        center_x, center_y, gamma = (numbers[name][:, None].to(x.dtype) for name in ("center_x", "center_y", "gamma"))
        return (torch.hypot(x - center_x, y - center_y) ** gamma).clamp(max=1e6)  # infinity times 0 is none

    @staticmethod
    def _normalized(x: Tensor, y: Tensor, size: Sizes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x and y from -1 to 1, and half the ways between the outermost centres, in pixels."""
        half_x, half_y = ((side[:, None].to(x.dtype) - 1).clamp(min=1) / 2 for side in (size.width, size.height))
        return (x - 0.5) / half_x - 1, (y - 0.5) / half_y - 1, half_x, half_y


def _share_that_reaches_one(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Where a rising function is 1, by bisection to 24 bits."""
    for _ in range(24):
        middle = (low + high) / 2
        below = function(middle) < 1
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
