"""Uneven light: ramps and spots that brighten or darken."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.color import unit
from torchaug.image.pointwise import Frame, Planes, Pointwise, pick_planes
from torchaug.keys import integers, uniform
from torchaug.transform import Sizes


class _Illumination(Pointwise):
    """Add a field of light `gain * shape`, where the sign of a draw from `sign` says whether it brightens or darkens."""

    def __init__(self, gain: float | Sequence[float], sign: float | Sequence[float], p: float) -> None:
        super().__init__(p)
        who = type(self).__name__
        self.gain = arguments.within(gain, who, "gain", 0, 1)
        self.sign = arguments.within(sign, who, "sign", -1.0, 1.0)

    @abstractmethod
    def shape(self, numbers: dict[str, Tensor], size: Sizes) -> Tensor:
        """(B, H, W) in [0, 1], on each sample's own pixels from 0 to 1."""

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        sign = 2 * (uniform(u[:, 1], *self.sign) >= 0).to(u.dtype) - 1
        return {"gain": uniform(u[:, 0], *self.gain), "sign": sign}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        light = (numbers["gain"] * numbers["sign"])[:, None, None] * self.shape(numbers, frame.size)
        light = light.to(planes[0].dtype)
        return pick_planes(numbers["chosen"], [unit(unit(plane) + light) for plane in planes], planes)


class RandomLinearIllumination(_Illumination):
    """Brighten or darken towards one edge of the image, linearly, as kornia's transform of this name.

    Args:
        gain: range of the light at that edge, in [0, 1], or one number.
        sign: a number is drawn from this range in [-1, 1]; below 0 it darkens, else it brightens.
        p: chance per sample.

    Parameters per sample: gain, sign, and the direction: 0 bottom, 1 top, 2 right, 3 left is the edge with the most.

    >>> RandomLinearIllumination(gain=0.2, sign=1.0, p=1.0)(torch.zeros(1, 1, 5, 5)).amax().item()
    0.20000000298023224
    """

    uniforms = 3

    def __init__(
        self,
        gain: float | tuple[float, float] = (0.01, 0.2),
        sign: float | tuple[float, float] = (-1.0, 1.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(gain, sign, p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return super().drawn(u, size) | {"direction": integers(u[:, 2], 0, 4)}

    def shape(self, numbers: dict[str, Tensor], size: Sizes) -> Tensor:
        direction = numbers["direction"]
        backwards = direction % 2 == 1
        down = _ramp(size.height, size.canvas[0], backwards)[:, :, None]
        across = _ramp(size.width, size.canvas[1], backwards)[:, None, :]
        return torch.where((direction < 2)[:, None, None], down, across)


class RandomLinearCornerIllumination(_Illumination):
    """Brighten or darken towards one corner of the image, linearly, as kornia's transform of this name.

    Args:
        gain: range of the light at that corner, in [0, 1], or one number.
        sign: a number is drawn from this range in [-1, 1]; below 0 it darkens, else it brightens.
        p: chance per sample.

    Parameters per sample: gain, sign, and the direction: 0 bottom right, 1 bottom left, 2 top right, 3 top left.

    >>> RandomLinearCornerIllumination(gain=0.2, sign=1.0, p=1.0)(torch.zeros(1, 1, 5, 5)).amax().item()
    0.20000000298023224
    """

    uniforms = 3

    def __init__(
        self,
        gain: float | tuple[float, float] = (0.01, 0.2),
        sign: float | tuple[float, float] = (-1.0, 1.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(gain, sign, p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return super().drawn(u, size) | {"direction": integers(u[:, 2], 0, 4)}

    def shape(self, numbers: dict[str, Tensor], size: Sizes) -> Tensor:
        direction = numbers["direction"]
        down = _ramp(size.height, size.canvas[0], direction >= 2)[:, :, None]
        across = _ramp(size.width, size.canvas[1], direction % 2 == 1)[:, None, :]
        axes = (size.height > 1).to(down.dtype) + (size.width > 1).to(down.dtype)
        return (down + across) / axes.clamp(min=1)[:, None, None]


def _ramp(length: Tensor, canvas: int, backwards: Tensor) -> Tensor:
    """(B, canvas): 0 at the first of `length` (B,) pixels, 1 at the last; the other way round where `backwards` (B,)."""
    at = torch.arange(canvas, device=length.device, dtype=length.dtype)
    last = length[:, None] - 1
    return torch.where(backwards[:, None], last - at, at) / last.clamp(min=1)


class RandomGaussianIllumination(_Illumination):
    """Brighten or darken around a spot with the profile of a normal distribution, as kornia's transform of this name.

    The profile is scaled to reach from 0 to 1 within the image, then multiplied by the gain. (kornia divides by a range
    that is 1e-6 too large, which weakens the light on large images: at 512 x 512 by 6 percent to a half.)

    Args:
        gain: range of the light at its peak, in [0, 1], or one number.
        center: range of the peak's place along each axis, as a share of the axis, in [0, 1].
        sigma: range of the standard deviation along each axis, as a share of the axis, in [0, 1].
        sign: a number is drawn from this range in [-1, 1]; below 0 it darkens, else it brightens.
        p: chance per sample.

    Parameters per sample: gain, sign, center and sigma (each y, x).

    >>> RandomGaussianIllumination(gain=0.2, sign=-1.0, p=1.0)(torch.ones(1, 1, 5, 5)).amin().item()
    0.800000011920929
    """

    uniforms = 6

    def __init__(
        self,
        gain: float | tuple[float, float] = (0.01, 0.15),
        center: float | tuple[float, float] = (0.1, 0.9),
        sigma: float | tuple[float, float] = (0.2, 1.0),
        sign: float | tuple[float, float] = (-1.0, 1.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(gain, sign, p)
        self.center = arguments.within(center, "RandomGaussianIllumination", "center", 0, 1)
        self.sigma = arguments.within(sigma, "RandomGaussianIllumination", "sigma", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        places = {"center": uniform(u[:, 2:4], *self.center), "sigma": uniform(u[:, 4:6], *self.sigma)}
        return super().drawn(u, size) | places

    def shape(self, numbers: dict[str, Tensor], size: Sizes) -> Tensor:
        (y, x), (tall, wide) = numbers["center"].unbind(1), numbers["sigma"].unbind(1)
        down, lowest = _bell(y, tall, size.height, size.canvas[0])
        across, left = _bell(x, wide, size.width, size.canvas[1])
        least = (lowest * left)[:, None, None]
        return (down[:, :, None] * across[:, None, :] - least) / (1 - least).clamp(min=1e-12)


def _bell(center: Tensor, sigma: Tensor, length: Tensor, canvas: int) -> tuple[Tensor, Tensor]:
    """(B, canvas) a normal profile that is 1 at the pixel nearest its centre, and (B,) its least value on own pixels."""
    at = torch.arange(canvas, device=length.device, dtype=length.dtype) + 0.5
    middle = (center * length)[:, None]
    nearest = (middle - 0.5).round().clamp(min=0)
    nearest = torch.minimum(nearest, length[:, None] - 1) + 0.5
    width = (sigma * length)[:, None].clamp(min=1e-3)

    def profile(place: Tensor) -> Tensor:
        return torch.exp(((nearest - middle).square() - (place - middle).square()) / (2 * width.square()))

    ends = torch.cat([torch.full_like(middle, 0.5), length[:, None] - 0.5], 1)
    return profile(at).clamp(max=1), profile(ends).amin(1)
