"""Sharpening, embossing and the ringing of sharp filters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.blur import middle_taps, odd_sizes
from torchaug.image.filters import blurred, filtered, gaussian, ragged
from torchaug.image.pointwise import Frame, Pixels, pick
from torchaug.keys import uniform
from torchaug.transform import Sizes


class UnsharpMask(Pixels):
    """Sharpen where an image differs from its blurred self by more than a threshold, as albumentations' transform.

    Args:
        kernel_size: odd size of the Gaussian in pixels, or a range (low, high) of odd numbers, each as likely.
        sigma: its standard deviation, or a range (low, high), above 0; None for 0.15 kernel_size + 0.35, OpenCV's rule.
        alpha: how much of the difference is added, or a range (low, high).
        threshold: differences up to so many levels of 255 are taken for noise.
        p: chance per sample.

    The result is kept in [0, 1].

    >>> UnsharpMask(p=1.0)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """

    uniforms = 3

    def __init__(
        self,
        kernel_size: int | Sequence[int] = (3, 7),
        sigma: float | Sequence[float] | None = None,
        alpha: float | Sequence[float] = (0.2, 0.5),
        threshold: float = 10,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.kernel_size = arguments.odd_range(kernel_size, "UnsharpMask", "kernel_size")
        self.sigma = None if sigma is None else arguments.within(sigma, "UnsharpMask", "sigma", 0, above=True)
        self.alpha = arguments.within(alpha, "UnsharpMask", "alpha", 0)
        self.threshold = arguments.number(threshold, "UnsharpMask", "threshold", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        taps = odd_sizes(u[:, 0], self.kernel_size)
        sigma = 0.15 * taps + 0.35 if self.sigma is None else uniform(u[:, 1], *self.sigma)
        return {"kernel_size": taps, "sigma": sigma, "alpha": uniform(u[:, 2], *self.alpha)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        weights = gaussian(numbers["sigma"].to(image.dtype), self.kernel_size[1])
        weights = weights * middle_taps(numbers["kernel_size"], self.kernel_size[1])
        weights = weights / weights.sum(1, keepdim=True)
        size = ragged(frame)
        rest = image - blurred(image, size, weights, weights)
        sharp = (image + numbers["alpha"].to(image.dtype)[:, None, None, None] * rest).clamp(0, 1)
        edges = (rest.abs() * 255 > self.threshold).to(image.dtype)
        out = torch.lerp(image, sharp, blurred(edges, size, weights, weights))
        return pick(numbers["chosen"], out, image)


class Emboss(Pixels):
    """Blend an image with its relief, as albumentations' transform of this name.

    Args:
        alpha: share of the relief, or a range (low, high) within [0, 1].
        strength: of the relief, or a range (low, high).
        p: chance per sample.

    The border reflects; the result is kept in [0, 1].

    >>> Emboss(p=1.0)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """

    together = 16
    uniforms = 2

    def __init__(
        self,
        alpha: float | Sequence[float] = (0.2, 0.5),
        strength: float | Sequence[float] = (0.2, 0.7),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.alpha = arguments.within(alpha, "Emboss", "alpha", 0, 1)
        self.strength = arguments.within(strength, "Emboss", "strength", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"alpha": uniform(u[:, 0], *self.alpha), "strength": uniform(u[:, 1], *self.strength)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        alpha, strength = numbers["alpha"], numbers["strength"]
        none, one = torch.zeros_like(alpha), torch.ones_like(alpha)
        side, corner = alpha * strength, alpha * (1 + strength)
        kernels = torch.stack([-corner, -side, none, -side, one, side, none, side, corner], 1).view(-1, 3, 3)
        return pick(numbers["chosen"], filtered(image, ragged(frame), kernels).clamp(0, 1), image)


class RingingOvershoot(Pixels):
    """Filter with a sharp low pass that rings at edges, as albumentations' transform of this name.

    The kernel is the circular sinc, J1(cutoff r) cutoff / (2 pi r), cut off and normalised.

    Args:
        kernel_size: odd size of the kernel in pixels, or a range (low, high) of odd numbers, each as likely.
        cutoff: frequency in radians per pixel, or a range (low, high), above 0 and at most pi.
        p: chance per sample.

    The border reflects; the result is kept in [0, 1].

    >>> RingingOvershoot(p=1.0)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """

    together = 16
    uniforms = 2

    def __init__(
        self,
        kernel_size: int | Sequence[int] = (7, 15),
        cutoff: float | Sequence[float] = (math.pi / 4, math.pi / 2),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.kernel_size = arguments.odd_range(kernel_size, "RingingOvershoot", "kernel_size")
        self.cutoff = arguments.within(cutoff, "RingingOvershoot", "cutoff", 0, math.pi, above=True)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"kernel_size": odd_sizes(u[:, 0], self.kernel_size), "cutoff": uniform(u[:, 1], *self.cutoff)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        side, cutoff = self.kernel_size[1], numbers["cutoff"][:, None, None]
        at = torch.arange(side, device=image.device) - side // 2
        distance = (at[:, None].square() + at.square()).to(image.dtype).sqrt()
        phase = (cutoff * distance).clamp(min=1e-3)  # J1(x) / x is 1/2 there, to 1e-7
        weights = torch.special.bessel_j1(phase) / phase
        inside = middle_taps(numbers["kernel_size"], side)
        weights = weights * (inside[:, :, None] & inside[:, None, :])
        weights = weights / weights.sum((1, 2), keepdim=True)
        return pick(numbers["chosen"], filtered(image, ragged(frame), weights).clamp(0, 1), image)
