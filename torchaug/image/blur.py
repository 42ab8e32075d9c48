"""Blur and sharpening: a kernel for each sample."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.filters import (
    bilinear,
    blurred,
    bordered,
    convolve_separable,
    filtered,
    gaussian,
    nearest,
    ragged,
)
from torchaug.image.pointwise import Frame, Pixels, pick
from torchaug.image.resample import any_of
from torchaug.keys import integers, noise, uniform
from torchaug.transform import Sizes


class GaussianBlur(Pixels):
    """Blur with a Gaussian whose width is drawn per sample, as torchvision's transform of this name.

    Args:
        kernel_size: odd, in pixels, one number or (width, height); None for 2 ceil(3 sigma) + 1, from the largest sigma.
        sigma: the standard deviation in pixels, or a range (low, high), above 0.
        p: chance per sample.

    The border reflects. torchvision refuses a kernel that is larger than the image; here reflections repeat.

    >>> GaussianBlur(3)(torch.ones(2, 3, 8, 8)).mean().item()
    1.0
    """

    uniforms = 1

    def __init__(
        self,
        kernel_size: int | Sequence[int] | None = None,
        sigma: float | Sequence[float] = (0.1, 2.0),
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.sigma = _above_zero(sigma, "GaussianBlur", "sigma")
        self.kernel_size = None if kernel_size is None else _odd_pair(kernel_size, "GaussianBlur")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"sigma": uniform(u[:, 0], *self.sigma)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        derived = 2 * math.ceil(3 * self.sigma[1]) + 1
        wide, high = self.kernel_size or (derived, derived)
        sigma = numbers["sigma"].to(image.dtype)
        out = blurred(image, ragged(frame), gaussian(sigma, high), gaussian(sigma, wide))
        return pick(numbers["chosen"], out, image)


class BoxBlur(Pixels):
    """Replace each pixel by the mean of a square around it, as OpenCV's `blur`.

    Args:
        kernel_size: odd side of the square in pixels, or a range (low, high) of odd numbers, each as likely.
        p: chance per sample.

    >>> BoxBlur(3)(torch.ones(2, 3, 8, 8)).mean().item()
    1.0
    """

    uniforms = 1

    def __init__(self, kernel_size: int | Sequence[int] = (3, 7), p: float = 1.0) -> None:
        super().__init__(p)
        self.kernel_size = _odd_range(kernel_size, "BoxBlur")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"kernel_size": _odd(u[:, 0], self.kernel_size)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        box = _inside(numbers["kernel_size"], self.kernel_size[1]).to(image.dtype)
        box = box / box.sum(1, keepdim=True)
        return pick(numbers["chosen"], blurred(image, ragged(frame), box, box), image)


class MedianBlur(Pixels):
    """Replace each pixel by the median of a square around it, channel by channel, as OpenCV's `medianBlur`.

    Args:
        kernel_size: odd side of the square in pixels, or a range (low, high) of odd numbers, each as likely. On a GPU
            or compiled, every size of the range is computed.
        p: chance per sample.

    The border repeats the last pixels, as OpenCV's does.

    >>> MedianBlur(3, p=1.0)(torch.ones(2, 3, 8, 8)).mean().item()
    1.0
    """

    uniforms = 1

    def __init__(self, kernel_size: int | Sequence[int] = (3, 7), p: float = 0.5) -> None:
        super().__init__(p)
        self.kernel_size = _odd_range(kernel_size, "MedianBlur")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"kernel_size": _odd(u[:, 0], self.kernel_size)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        height, width = image.shape[-2:]
        out, low, high = image, *self.kernel_size
        for side in range(low, high + 1, 2):
            these = numbers["chosen"] & (numbers["kernel_size"] == side)
            if any_of(these):
                wide = bordered(image, ragged(frame), side // 2, side // 2, "edge")
                views = [wide[..., y : y + height, x : x + width] for y in range(side) for x in range(side)]
                out = pick(these, _median(views), out)
        return out


class MotionBlur(Pixels):
    """Blur along a line, as kornia's transform of this name with bilinear kernels.

    Args:
        kernel_size: odd length of the line in pixels, or a range (low, high) of odd numbers, each as likely.
        angle: of the line in degrees, counter-clockwise: uniform in [-v, v] or (low, high).
        direction: from -1 to 1, how the weight moves from one end of the line to the other (0: spread evenly), uniform
            in [-v, v] or (low, high).
        p: chance per sample.

    The border reflects.

    >>> MotionBlur(5, angle=45, direction=0.5, p=1.0)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """

    uniforms = 3

    def __init__(
        self,
        kernel_size: int | Sequence[int] = (3, 7),
        angle: float | Sequence[float] = 180.0,
        direction: float | Sequence[float] = 1.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.kernel_size = _odd_range(kernel_size, "MotionBlur")
        self.angle = arguments.symmetric(angle, "MotionBlur", "angle")
        self.direction = arguments.symmetric(direction, "MotionBlur", "direction")
        if max(map(abs, self.direction)) > 1:
            raise ValueError(f"MotionBlur: direction must be within [-1, 1], got {direction!r}")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {
            "kernel_size": _odd(u[:, 0], self.kernel_size),
            "angle": uniform(u[:, 1], *self.angle),
            "direction": uniform(u[:, 2], *self.direction),
        }

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        kernels = self._kernels(*(numbers[name] for name in ("kernel_size", "angle", "direction")))
        return pick(numbers["chosen"], filtered(image, ragged(frame), kernels), image)

    def _kernels(self, length: Tensor, angle: Tensor, direction: Tensor) -> Tensor:
        """A line with a linear profile, turned about its middle and read bilinearly: (B, k, k)."""
        y, x = _turned(angle, self.kernel_size[1])
        reach = ((length - 1) / 2)[:, None, None]
        at = torch.minimum(torch.maximum(x, -reach), reach)
        line = 0.5 - direction[:, None, None] * at / (2 * reach).clamp(min=1)
        weights = line * (1 - (x - at).abs()).clamp(min=0) * (1 - y.abs()).clamp(min=0)
        inside = _inside(length, self.kernel_size[1])
        weights = weights * (inside[:, :, None] & inside[:, None, :])
        return weights / weights.sum((1, 2), keepdim=True)


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

    uniforms = 2

    def __init__(
        self, radius: int | Sequence[int] = (3, 10), alias_blur: float | Sequence[float] = (0.1, 0.5), p: float = 0.5
    ) -> None:
        super().__init__(p)
        self.radius = _whole_range(radius, 1, "Defocus", "radius")
        self.alias_blur = _above_zero(alias_blur, "Defocus", "alias_blur")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        low, high = self.radius
        return {"radius": integers(u[:, 0], low, high + 1), "alias_blur": uniform(u[:, 1], *self.alias_blur)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        radius, reach = numbers["radius"][:, None, None], self.radius[1] + 2
        at = torch.arange(-reach - 2, reach + 3, device=image.device)
        disc = (at[:, None].square() + at.square() <= radius.square()).to(image.dtype)
        soft = gaussian(numbers["alias_blur"].to(image.dtype), 5)
        soft = soft * (_inside(torch.where(numbers["radius"] <= 8, 3, 5), 5))
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
        self.max_factor = arguments.range_from(max_factor, "ZoomBlur", "max_factor")
        if self.max_factor[0] < 1:
            raise ValueError(f"ZoomBlur: max_factor must be at least 1, got {max_factor!r}")
        self.steps = _whole_range(steps, 1, "ZoomBlur", "steps")[0]

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
        self.sigma = _above_zero(sigma, "GlassBlur", "sigma")[0]
        self.max_delta = _whole_range(max_delta, 1, "GlassBlur", "max_delta")[0]
        self.iterations = _whole_range(iterations, 1, "GlassBlur", "iterations")[0]

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
        self.kernel_size = _odd_range(kernel_size, "UnsharpMask")
        self.sigma = None if sigma is None else _above_zero(sigma, "UnsharpMask", "sigma")
        self.alpha = arguments.range_from(alpha, "UnsharpMask", "alpha")
        self.threshold = arguments.range_from(threshold, "UnsharpMask", "threshold")[0]

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        taps = _odd(u[:, 0], self.kernel_size)
        sigma = 0.15 * taps + 0.35 if self.sigma is None else uniform(u[:, 1], *self.sigma)
        return {"kernel_size": taps, "sigma": sigma, "alpha": uniform(u[:, 2], *self.alpha)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        weights = gaussian(numbers["sigma"].to(image.dtype), self.kernel_size[1])
        weights = weights * _inside(numbers["kernel_size"], self.kernel_size[1])
        weights = weights / weights.sum(1, keepdim=True)
        size = ragged(frame)
        rest = image - blurred(image, size, weights, weights)
        sharp = (image + numbers["alpha"].to(image.dtype)[:, None, None, None] * rest).clamp(0, 1)
        edges = (rest.abs() * 255 > self.threshold).to(image.dtype)
        out = torch.lerp(image, sharp, blurred(edges, size, weights, weights))
        return pick(numbers["chosen"], out, image)


class AdvancedBlur(Pixels):
    """Blur with a turned, generalised Gaussian whose weights are noisy, as albumentations' transform of this name.

    Wang et al., "Real-ESRGAN" (2021): weights exp(-0.5 q^beta) with q the squared distance in standard deviations.

    Args:
        kernel_size: odd size of the kernel in pixels, or a range (low, high) of odd numbers, each as likely.
        sigma_x: standard deviation along the kernel's first axis, or a range (low, high), above 0.
        sigma_y: along its second.
        angle: of the axes in degrees, uniform in [-v, v] or (low, high).
        beta: the shape, below 1 peaked, above 1 flat: half the draws are below 1, half above; (low, high) about 1.
        noise: each weight is multiplied by a number from this range.
        p: chance per sample.

    The border reflects.

    >>> AdvancedBlur(p=1.0)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """

    uniforms = 7

    def __init__(
        self,
        kernel_size: int | Sequence[int] = (3, 7),
        sigma_x: float | Sequence[float] = (0.2, 1.0),
        sigma_y: float | Sequence[float] = (0.2, 1.0),
        angle: float | Sequence[float] = 90.0,
        beta: Sequence[float] = (0.5, 8.0),
        noise: Sequence[float] = (0.9, 1.1),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.kernel_size = _odd_range(kernel_size, "AdvancedBlur")
        self.sigma_x = _above_zero(sigma_x, "AdvancedBlur", "sigma_x")
        self.sigma_y = _above_zero(sigma_y, "AdvancedBlur", "sigma_y")
        self.angle = arguments.symmetric(angle, "AdvancedBlur", "angle")
        self.beta = _above_zero(beta, "AdvancedBlur", "beta")
        if not self.beta[0] <= 1 <= self.beta[1]:
            raise ValueError(f"AdvancedBlur: beta must be a range (low, high) about 1, got {beta!r}")
        self.noise = _above_zero(noise, "AdvancedBlur", "noise")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        flat = u[:, 4] * 2 >= 1
        part = u[:, 4] * 2 - flat.to(u.dtype)
        beta = torch.where(flat, uniform(part, 1.0, self.beta[1]), uniform(part, self.beta[0], 1.0))
        side = self.kernel_size[1]
        field = 0.5 * (1 + torch.erf(noise(u[:, 5:], (side, side)) / math.sqrt(2)))
        return {
            "kernel_size": _odd(u[:, 0], self.kernel_size),
            "sigma_x": uniform(u[:, 1], *self.sigma_x),
            "sigma_y": uniform(u[:, 2], *self.sigma_y),
            "angle": uniform(u[:, 3], *self.angle),
            "beta": beta,
            "noise": uniform(field, *self.noise),
        }

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        side = self.kernel_size[1]
        y, x = _turned(numbers["angle"], side)
        wide, high, beta = (numbers[name][:, None, None] for name in ("sigma_x", "sigma_y", "beta"))
        # a logarithm that is small enough for the power to vanish at the centre, and finite
        weights = torch.exp(-0.5 * ((x / wide).square() + (y / high).square()).clamp(1e-30, 1e4).pow(beta))
        inside = _inside(numbers["kernel_size"], side)
        weights = weights * numbers["noise"] * (inside[:, :, None] & inside[:, None, :])
        weights = weights / weights.sum((1, 2), keepdim=True)
        return pick(numbers["chosen"], filtered(image, ragged(frame), weights), image)


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

    uniforms = 2

    def __init__(
        self,
        alpha: float | Sequence[float] = (0.2, 0.5),
        strength: float | Sequence[float] = (0.2, 0.7),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.alpha = arguments.range_from(alpha, "Emboss", "alpha")
        self.strength = arguments.range_from(strength, "Emboss", "strength")
        if self.alpha[1] > 1:
            raise ValueError(f"Emboss: alpha must be within [0, 1], got {alpha!r}")

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

    uniforms = 2

    def __init__(
        self,
        kernel_size: int | Sequence[int] = (7, 15),
        cutoff: float | Sequence[float] = (math.pi / 4, math.pi / 2),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.kernel_size = _odd_range(kernel_size, "RingingOvershoot")
        self.cutoff = _above_zero(cutoff, "RingingOvershoot", "cutoff")
        if self.cutoff[1] > math.pi:
            raise ValueError(f"RingingOvershoot: cutoff must be at most pi, got {cutoff!r}")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"kernel_size": _odd(u[:, 0], self.kernel_size), "cutoff": uniform(u[:, 1], *self.cutoff)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        side, cutoff = self.kernel_size[1], numbers["cutoff"][:, None, None]
        at = torch.arange(side, device=image.device) - side // 2
        distance = (at[:, None].square() + at.square()).to(image.dtype).sqrt()
        phase = (cutoff * distance).clamp(min=1e-3)  # J1(x) / x is 1/2 there, to 1e-7
        weights = torch.special.bessel_j1(phase) / phase
        inside = _inside(numbers["kernel_size"], side)
        weights = weights * (inside[:, :, None] & inside[:, None, :])
        weights = weights / weights.sum((1, 2), keepdim=True)
        return pick(numbers["chosen"], filtered(image, ragged(frame), weights).clamp(0, 1), image)


def _median(values: list[Tensor]) -> Tensor:
    """The median of an odd number of tensors.

    Few are selected by comparisons alone: half of them and one more are held, the least and the greatest of these
    cannot be the median and go, another comes in, until one is left.
    """
    if len(values) > (9 if torch.compiler.is_compiling() else 25):  # compilers choke on hundreds of comparisons
        return torch.stack(values).median(0).values
    half = len(values) // 2 + 2
    held, waiting = values[:half], values[half:]
    while len(held) > 1:
        held = _without_extremes(held)
        held, waiting = held + waiting[:1], waiting[1:]
    return held[0]


def _without_extremes(values: list[Tensor]) -> list[Tensor]:
    """All but the least and the greatest, in any order, by 3 n / 2 exchanges."""
    count = len(values)
    pairs = [(values[i], values[count - 1 - i]) for i in range(count // 2)]
    low, high = [torch.minimum(a, b) for a, b in pairs], [torch.maximum(a, b) for a, b in pairs]
    low += values[count // 2 : count - count // 2]  # the middle one of an odd number
    least = low[0]
    for i in range(1, len(low)):
        least, low[i] = torch.minimum(least, low[i]), torch.maximum(least, low[i])
    if count % 2:
        high.append(low.pop())
    most = high[0]
    for i in range(1, len(high)):
        most, high[i] = torch.maximum(most, high[i]), torch.minimum(most, high[i])
    return low[1:] + high[1:]


def _turned(degrees: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Coordinates y, x (B, side, side) from the middle of a kernel, turned counter-clockwise by `degrees` (B,)."""
    at = torch.arange(side, device=degrees.device) - side // 2
    cos, sin = (f(torch.deg2rad(degrees))[:, None, None] for f in (torch.cos, torch.sin))
    y, x = at[:, None], at
    return sin * x + cos * y, cos * x - sin * y


def _inside(length: Tensor, taps: int) -> Tensor:
    """(B, taps) bool: the `length` (B,) places in the middle of an odd number of taps."""
    at = (torch.arange(taps, device=length.device) - taps // 2).abs()
    return 2 * at < length[:, None]


def _odd(u: Tensor, bounds: tuple[int, int]) -> Tensor:
    """Odd whole numbers, each as likely as the others."""
    return bounds[0] + 2 * integers(u, 0, (bounds[1] - bounds[0]) // 2 + 1)


def _odd_range(value: int | Sequence[int], who: str) -> tuple[int, int]:
    low, high = _whole_range(value, 1, who, "kernel_size")
    if not low % 2 or not high % 2:
        raise ValueError(f"{who}: kernel_size must be odd, one number or two in rising order, got {value!r}")
    return low, high


def _odd_pair(value: int | Sequence[int], who: str) -> tuple[int, int]:
    width, height = arguments.pair(value, who, "kernel_size")
    if not width % 2 or not height % 2:
        raise ValueError(f"{who}: kernel_size must be odd, one number or (width, height), got {value!r}")
    return width, height


def _whole_range(value: int | Sequence[int], least: int, who: str, name: str) -> tuple[int, int]:
    values = [value, value] if isinstance(value, int) else list(value)
    if len(values) != 2 or not all(isinstance(v, int) for v in values) or not least <= values[0] <= values[1]:
        raise ValueError(
            f"{who}: {name} must be a whole number of at least {least}, or two in rising order, got {value!r}"
        )
    return values[0], values[1]


def _above_zero(value: float | Sequence[float], who: str, name: str) -> tuple[float, float]:
    low, high = arguments.range_from(value, who, name)
    if low <= 0:
        raise ValueError(f"{who}: {name} must be above 0, one number or two in rising order, got {value!r}")
    return low, high
