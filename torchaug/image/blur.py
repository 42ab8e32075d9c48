"""Blurs: by a Gaussian, a box, the median, motion, and kernels of any shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.filters import blurred, bordered, filtered, gaussian, ragged
from torchaug.image.pointwise import Frame, Pixels, pick
from torchaug.keys import integers, noise, uniform
from torchaug.transfer import any_of
from torchaug.transform import Sizes


class GaussianBlur(Pixels):
    """Blur with a Gaussian whose width is drawn per sample, as torchvision's transform of this name.

    Args:
        kernel_size: odd, in pixels, one number or (width, height); None for 2 ceil(3 sigma) + 1, from the largest sigma.
        sigma: the standard deviation in pixels, or a range (low, high), above 0.
        p: chance per sample.

    The border reflects. torchvision refuses a kernel that is larger than the image; here reflections repeat.

    >>> round(GaussianBlur(3)(torch.ones(2, 3, 8, 8)).mean().item(), 5)
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
        self.sigma = arguments.within(sigma, "GaussianBlur", "sigma", 0, above=True)
        self.kernel_size = None if kernel_size is None else _odd_pair(kernel_size, "GaussianBlur")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"sigma": uniform(u[:, 0], *self.sigma)}

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        derived = 2 * math.ceil(3 * self.sigma[1]) + 1
        wide, high = self.kernel_size or (derived, derived)
        sigma = self.drawn(u, size)["sigma"]
        return {"chosen": chosen, "down": gaussian(sigma, high), "across": gaussian(sigma, wide)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        weights = numbers["down"], numbers["across"]
        return blurred(image, ragged(frame), *weights, chosen=numbers["chosen"])


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
        self.kernel_size = arguments.odd_range(kernel_size, "BoxBlur", "kernel_size")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"kernel_size": odd_sizes(u[:, 0], self.kernel_size)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        box = middle_taps(numbers["kernel_size"], self.kernel_size[1]).to(image.dtype)
        box = box / box.sum(1, keepdim=True)
        return blurred(image, ragged(frame), box, box, chosen=numbers["chosen"])


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
        self.kernel_size = arguments.odd_range(kernel_size, "MedianBlur", "kernel_size")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"kernel_size": odd_sizes(u[:, 0], self.kernel_size)}

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

    together = 16
    uniforms = 3

    def __init__(
        self,
        kernel_size: int | Sequence[int] = (3, 7),
        angle: float | Sequence[float] = 180.0,
        direction: float | Sequence[float] = 1.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.kernel_size = arguments.odd_range(kernel_size, "MotionBlur", "kernel_size")
        self.angle = arguments.symmetric(angle, "MotionBlur", "angle")
        self.direction = arguments.symmetric(direction, "MotionBlur", "direction", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {
            "kernel_size": odd_sizes(u[:, 0], self.kernel_size),
            "angle": uniform(u[:, 1], *self.angle),
            "direction": uniform(u[:, 2], *self.direction),
        }

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        kernels = self._kernels(*(numbers[name] for name in ("kernel_size", "angle", "direction")))
        return pick(numbers["chosen"], filtered(image, ragged(frame), kernels), image)

    def _kernels(self, length: Tensor, angle: Tensor, direction: Tensor) -> Tensor:
        """A line with a linear profile, turned about its middle and read bilinearly: (B, k, k)."""
        y, x = turned(angle, self.kernel_size[1])
        reach = ((length - 1) / 2)[:, None, None]
        at = torch.minimum(torch.maximum(x, -reach), reach)
        line = 0.5 - direction[:, None, None] * at / (2 * reach).clamp(min=1)
        weights = line * (1 - (x - at).abs()).clamp(min=0) * (1 - y.abs()).clamp(min=0)
        inside = middle_taps(length, self.kernel_size[1])
        weights = weights * (inside[:, :, None] & inside[:, None, :])
        return weights / weights.sum((1, 2), keepdim=True)


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

    together = 16
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
        self.kernel_size = arguments.odd_range(kernel_size, "AdvancedBlur", "kernel_size")
        self.sigma_x = arguments.within(sigma_x, "AdvancedBlur", "sigma_x", 0, above=True)
        self.sigma_y = arguments.within(sigma_y, "AdvancedBlur", "sigma_y", 0, above=True)
        self.angle = arguments.symmetric(angle, "AdvancedBlur", "angle")
        self.beta = arguments.within(beta, "AdvancedBlur", "beta", 0, above=True)
        if not self.beta[0] <= 1 <= self.beta[1]:
            raise ValueError(f"AdvancedBlur: beta must be a range (low, high) about 1, got {beta!r}")
        self.noise = arguments.within(noise, "AdvancedBlur", "noise", 0, above=True)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        flat = u[:, 4] * 2 >= 1
        part = u[:, 4] * 2 - flat.to(u.dtype)
        beta = torch.where(flat, uniform(part, 1.0, self.beta[1]), uniform(part, self.beta[0], 1.0))
        side = self.kernel_size[1]
        field = 0.5 * (1 + torch.erf(noise(u[:, 5:], (side, side)) / math.sqrt(2)))
        return {
            "kernel_size": odd_sizes(u[:, 0], self.kernel_size),
            "sigma_x": uniform(u[:, 1], *self.sigma_x),
            "sigma_y": uniform(u[:, 2], *self.sigma_y),
            "angle": uniform(u[:, 3], *self.angle),
            "beta": beta,
            "noise": uniform(field, *self.noise),
        }

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        side = self.kernel_size[1]
        y, x = turned(numbers["angle"], side)
        wide, high, beta = (numbers[name][:, None, None] for name in ("sigma_x", "sigma_y", "beta"))
        # a logarithm that is small enough for the power to vanish at the centre, and finite
        weights = torch.exp(-0.5 * ((x / wide).square() + (y / high).square()).clamp(1e-30, 1e4).pow(beta))
        inside = middle_taps(numbers["kernel_size"], side)
        weights = weights * numbers["noise"] * (inside[:, :, None] & inside[:, None, :])
        weights = weights / weights.sum((1, 2), keepdim=True)
        return pick(numbers["chosen"], filtered(image, ragged(frame), weights), image)


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


def turned(degrees: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Coordinates y, x (B, side, side) from the middle of a kernel, turned counter-clockwise by `degrees` (B,)."""
    at = torch.arange(side, device=degrees.device) - side // 2
    cos, sin = (f(torch.deg2rad(degrees))[:, None, None] for f in (torch.cos, torch.sin))
    y, x = at[:, None], at
    return sin * x + cos * y, cos * x - sin * y


def middle_taps(length: Tensor, taps: int) -> Tensor:
    """(B, taps) bool: the `length` (B,) places in the middle of an odd number of taps."""
    at = (torch.arange(taps, device=length.device) - taps // 2).abs()
    return 2 * at < length[:, None]


def odd_sizes(u: Tensor, bounds: tuple[int, int]) -> Tensor:
    """Odd whole numbers, each as likely as the others."""
    return bounds[0] + 2 * integers(u, 0, (bounds[1] - bounds[0]) // 2 + 1)


def _odd_pair(value: int | Sequence[int], who: str) -> tuple[int, int]:
    width, height = arguments.pair(value, who, "kernel_size")
    if not width % 2 or not height % 2:
        raise ValueError(f"{who}: kernel_size must be odd, one number or (width, height), got {value!r}")
    return width, height
