"""Noise that depends on the image or replaces it: salt and pepper, shot noise, factors. `GaussianNoise` is in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.dropout import below
from torchaug.image.pointwise import Frame, Planes, Pointwise, pick_planes
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes


class SaltAndPepper(Pointwise):
    """Make some pixels white and some black, as albumentations' transform of this name.

    Args:
        amount: share of the pixels that are changed, or a range (low, high) from which each sample's is drawn.
        salt_vs_pepper: share of white among these, or a range (low, high).
        p: chance per sample.

    All channels of a pixel change together.

    >>> SaltAndPepper(1.0, 1.0, p=1.0)(torch.zeros(2, 3, 8, 8)).mean().item()
    1.0
    """

    uniforms = 4
    fresh = slice(2, 4)

    def __init__(
        self,
        amount: float | Sequence[float] = (0.01, 0.06),
        salt_vs_pepper: float | Sequence[float] = (0.4, 0.6),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.amount = arguments.within(amount, "SaltAndPepper", "amount", 0, 1)
        self.salt_vs_pepper = arguments.within(salt_vs_pepper, "SaltAndPepper", "salt_vs_pepper", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        amount, salt = uniform(u[:, 0], *self.amount), uniform(u[:, 1], *self.salt_vs_pepper)
        return {"amount": amount, "salt_vs_pepper": salt, "seeds": u[:, 2:]}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        field = noise(numbers["seeds"], planes[0].shape[1:])
        changed = below(field, numbers["amount"])
        white = below(field, numbers["amount"] * numbers["salt_vs_pepper"]).to(planes[0].dtype)
        changed = changed & numbers["chosen"][:, None, None]
        return [torch.where(changed, white, plane) for plane in planes]


class ShotNoise(Pointwise):
    """Count photons: a Poisson number for each value, in linear light, as albumentations' transform of this name.

    A value x becomes (scale Poisson(x^2.2 / scale))^(1 / 2.2).

    Args:
        scale_range: (low, high) of the scale, above 0; 1 / scale photons make white. Large scales are noisy.
        p: chance per sample.

    Counts are the inverse distribution function at a uniform number: summed up to an expectation of 4, by the expansion
    of Giles, "Approximation of the inverse Poisson cumulative distribution function" (2016), above; there one count in
    500 or fewer is off by one. Values are taken to be in [0, 1].

    >>> ShotNoise(p=1.0)(torch.zeros(2, 3, 8, 8)).sum().item()
    0.0
    """

    uniforms = 3
    fresh = slice(1, 3)
    differentiable = 0

    def __init__(self, scale_range: float | Sequence[float] = (0.1, 0.3), p: float = 0.5) -> None:
        super().__init__(p)
        self.scale_range = arguments.within(scale_range, "ShotNoise", "scale_range", 0, above=True)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"scale": uniform(u[:, 0], *self.scale_range), "seeds": u[:, 1:]}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        scale = numbers["scale"][:, None, None]
        fields = noise(numbers["seeds"], (len(planes), *planes[0].shape[1:])).unbind(1)
        noisy = []
        for plane, field in zip(planes, fields, strict=True):
            counts = poisson(plane.to(torch.float32).clamp(0, 1).pow(2.2) / scale, field)
            noisy.append((counts * scale).clamp(0, 1).pow(1 / 2.2).to(plane.dtype))
        return pick_planes(numbers["chosen"], noisy, planes)


class MultiplicativeNoise(Pointwise):
    """Multiply by random factors, as albumentations' transform of this name.

    Args:
        multiplier: range (low, high) of the factor.
        per_channel: whether each channel has its own.
        elementwise: whether each pixel has its own, and each frame of a video.
        p: chance per sample.

    The result is kept in [0, 1].

    >>> MultiplicativeNoise((0.5, 0.5), p=1.0)(torch.ones(2, 3, 8, 8)).mean().item()
    0.5
    """

    uniforms = 2

    def __init__(
        self,
        multiplier: float | Sequence[float] = (0.9, 1.1),
        per_channel: bool = False,
        elementwise: bool = False,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.multiplier = arguments.within(multiplier, "MultiplicativeNoise", "multiplier", 0)
        self.per_channel, self.elementwise = per_channel, elementwise
        self.fresh = slice(0, 2) if elementwise else None

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"seeds": u}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        height, width = planes[0].shape[1:] if self.elementwise else (1, 1)
        field = noise(numbers["seeds"], (len(planes) if self.per_channel else 1, height, width))
        factors = uniform(0.5 * (1 + torch.erf(field * math.sqrt(0.5))), *self.multiplier).to(planes[0].dtype)
        factors = factors.expand(-1, len(planes), -1, -1)
        changed = [(plane * f).clamp(0, 1) for plane, f in zip(planes, factors.unbind(1), strict=True)]
        return pick_planes(numbers["chosen"], changed, planes)


class SpeckleNoise(Pointwise):
    """Add normal noise in proportion to the value, as a coherent light or sound source makes it: x (1 + n).

    Args:
        mean: of the noise n.
        sigma: its standard deviation, or a range (low, high) from which each sample's is drawn.
        clip: keep the result in [0, 1].
        p: chance per sample.

    >>> SpeckleNoise()(torch.zeros(2, 3, 8, 8)).sum().item()
    0.0
    """

    uniforms = 3
    fresh = slice(1, 3)

    def __init__(
        self, mean: float = 0.0, sigma: float | Sequence[float] = 0.1, clip: bool = True, p: float = 1.0
    ) -> None:
        super().__init__(p)
        self.mean, self.clip = arguments.number(mean, "SpeckleNoise", "mean"), clip
        self.sigma = arguments.within(sigma, "SpeckleNoise", "sigma", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"sigma": uniform(u[:, 0], *self.sigma), "seeds": u[:, 1:]}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        sigma = numbers["sigma"][:, None, None]
        fields = noise(numbers["seeds"], (len(planes), *planes[0].shape[1:])).to(planes[0].dtype).unbind(1)
        noisy = [plane * (1 + self.mean + field * sigma) for plane, field in zip(planes, fields, strict=True)]
        if self.clip:
            noisy = [plane.clamp(0, 1) for plane in noisy]
        return pick_planes(numbers["chosen"], noisy, planes)


SUMMED = 4.0
"""Expectation up to which Poisson's distribution is summed."""
TERMS = 20
"""How many terms: at this expectation more counts have a chance of 1e-9."""


def poisson(rate: Tensor, field: Tensor) -> Tensor:
    """Poisson numbers of the expectations `rate`, by the inverse distribution function, from standard normal ones."""
    small, large = rate.clamp(max=SUMMED), rate.clamp(min=SUMMED)
    u = 0.5 * (1 + torch.erf(field * math.sqrt(0.5)))
    term = torch.exp(-small)
    total, count = term, torch.zeros_like(term)
    for k in range(1, TERMS + 1):
        count = count + (u > total).to(count.dtype)
        term = term * small / k
        total = total + term
    w, spread = field, large.sqrt()
    expansion = large + spread * w + (2 + w.square()) / 6 - (2 * w + w.pow(3)) / (72 * spread)
    expansion = expansion + (-16 + 7 * w.square() + 3 * w.pow(4)) / (810 * large)
    return torch.where(rate <= SUMMED, count, expansion.floor().clamp(min=0))
