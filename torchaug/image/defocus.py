"""Blurs of optics: a lens out of focus, a zoom during the exposure, frosted glass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.blur import middle_taps
from torchaug.image.filters import bilinear, blurred, convolve_separable, filtered, gaussian, nearest, ragged
from torchaug.image.pointwise import Frame, Pixels, pick
from torchaug.keys import integers, noise, uniform
from torchaug.transform import Sizes


class Defocus(Pixels):
    """Blur with a disc whose rim is softened: a lens out of focus, as albumentations' transform of this name.

    Args:
        radius: of the disc in whole pixels, or a range (low, high), each as likely.
        alias_blur: standard deviation of the Gaussian that softens the rim, or a range (low, high), above 0.
        p: chance per sample.

    The border reflects.

    >>> Defocus(2, p=1.0)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """

    together = 16
    uniforms = 2

    def __init__(
        self, radius: int | Sequence[int] = (3, 10), alias_blur: float | Sequence[float] = (0.1, 0.5), p: float = 0.5
    ) -> None:
        super().__init__(p)
        self.radius = arguments.whole_range(radius, "Defocus", "radius", 1)
        self.alias_blur = arguments.within(alias_blur, "Defocus", "alias_blur", 0, above=True)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        low, high = self.radius
        return {"radius": integers(u[:, 0], low, high + 1), "alias_blur": uniform(u[:, 1], *self.alias_blur)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        radius, reach = numbers["radius"][:, None, None], self.radius[1] + 2
        at = torch.arange(-reach - 2, reach + 3, device=image.device)
        disc = (at[:, None].square() + at.square() <= radius.square()).to(image.dtype)
        soft = gaussian(numbers["alias_blur"].to(image.dtype), 5)
        soft = soft * (middle_taps(torch.where(numbers["radius"] <= 8, 3, 5), 5))
        soft = soft / soft.sum(1, keepdim=True)
        disc = convolve_separable((disc / disc.sum((1, 2), keepdim=True))[:, None], soft, soft)[:, 0]
        return pick(numbers["chosen"], filtered(image, ragged(frame), disc), image)


class ZoomBlur(Pixels):
    """The mean of an image and of copies that grow about its centre: a zoom during the exposure.

    Args:
        max_factor: the largest magnification, or a range (low, high), at least 1.
        steps: copies, whose magnifications are evenly spaced from 1 (excluded) to the largest.
        p: chance per sample.

    albumentations' transform of this name draws the spacing, and with it the number of copies.

    >>> ZoomBlur(1.2, p=1.0)(torch.ones(2, 3, 8, 8)).mean().item()
    1.0
    """

    uniforms = 1

    def __init__(self, max_factor: float | Sequence[float] = (1.0, 1.31), steps: int = 8, p: float = 0.5) -> None:
        super().__init__(p)
        self.max_factor = arguments.within(max_factor, "ZoomBlur", "max_factor", 1)
        self.steps = arguments.whole(steps, "ZoomBlur", "steps", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"max_factor": uniform(u[:, 0], *self.max_factor)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        middle = [((side - 1) / 2)[:, None] for side in (frame.size.height, frame.size.width)]
        places = [torch.arange(side, device=image.device) for side in image.shape[-2:]]
        total = image
        for step in range(1, self.steps + 1):
            factor = 1 + (numbers["max_factor"][:, None] - 1) * (step / self.steps)
            y, x = ((at - centre) / factor + centre for at, centre in zip(places, middle, strict=True))
            y, x = y[:, :, None].expand(-1, -1, x.shape[1]), x[:, None, :].expand(-1, y.shape[1], -1)
            total = total + bilinear(image, frame.size, y, x)
        return pick(numbers["chosen"], total / (self.steps + 1), image)


class GlassBlur(Pixels):
    """Blur, move each pixel to a place nearby, blur again: frosted glass (Hendrycks and Dietterich, 2019).

    Args:
        sigma: standard deviation of the two blurs in pixels, above 0.
        max_delta: farthest move along each axis, in whole pixels.
        iterations: how often pixels move.
        p: chance per sample.

    All pixels move at once, each to a value drawn from the square around it; the original swaps them one by one, which
    has the same law of displacements but for pixels that are moved twice.

    >>> GlassBlur(p=1.0)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """

    uniforms = 2

    def __init__(self, sigma: float = 0.7, max_delta: int = 4, iterations: int = 2, p: float = 0.5) -> None:
        super().__init__(p)
        self.sigma = arguments.number(sigma, "GlassBlur", "sigma", 0, above=True)
        self.max_delta = arguments.whole(max_delta, "GlassBlur", "max_delta", 1)
        self.iterations = arguments.whole(iterations, "GlassBlur", "iterations", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"seeds": u}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        weights = gaussian(image.new_full((len(image),), self.sigma), 2 * math.ceil(3 * self.sigma) + 1)
        out = blurred(image, ragged(frame), weights, weights)
        height, width = image.shape[-2:]
        fields = noise(numbers["seeds"], (2 * self.iterations, height, width))
        moves = torch.floor(0.5 * (1 + torch.erf(fields / math.sqrt(2))) * (2 * self.max_delta + 1)) - self.max_delta
        rows, columns = torch.arange(height, device=image.device)[:, None], torch.arange(width, device=image.device)
        last_row, last_column = (side[:, None, None] - 1 for side in (frame.size.height, frame.size.width))
        for i in range(self.iterations):
            y = torch.minimum((rows + moves[:, 2 * i]).clamp(min=0), last_row)
            x = torch.minimum((columns + moves[:, 2 * i + 1]).clamp(min=0), last_column)
            out = nearest(out, y, x)
        return pick(numbers["chosen"], blurred(out, ragged(frame), weights, weights), image)
