"""The operations of automatic augmentation policies: each gets its magnitude from a law, and the policy gates it.

Magnitudes are those of torchvision's policies: pixels, degrees, shear factors, what is added to an enhancement factor
of 1, bits, thresholds in [0, 1].
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import inf, isinf
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from torchaug.image import levels, matrices
from torchaug.image.axes import Interpolation
from torchaug.image.filters import blurred, gaussian, ragged
from torchaug.image.pointwise import Frame, Pixels, Planes, pick
from torchaug.image.tone import Adjustment
from torchaug.image.warp import Geometric
from torchaug.keys import integers, normal
from torchaug.transform import Sizes


class Magnitude(Protocol):
    """From uniforms to magnitudes: `u` is (B, 2), for the level and the sign. Returns (B,)."""

    def __call__(self, u: Tensor, size: Sizes) -> Tensor:
        """The magnitude of each sample."""


@dataclass(frozen=True)
class Bins:
    """torchvision's law: one of `count` numbers, evenly spaced from `low` to `high`.

    Args:
        low: at the first bin.
        high: at the last.
        count: of bins, at least 2.
        signed: with either sign, each as likely.
        whole: cut to a whole number.
    """

    low: float
    high: float
    count: int
    signed: bool = False
    whole: bool = False

    def __call__(self, u: Tensor, size: Sizes) -> Tensor:
        table = torch.linspace(self.low, self.high, self.count, device=u.device)
        value = table[integers(u[:, 0], 0, self.count)]
        value = value.trunc() if self.whole else value
        return with_sign(value, u) if self.signed else value


@dataclass(frozen=True)
class ShareBins:
    """torchvision's law of a shift: bins from 0 to a share of the image's width or height, cut to pixels, either sign.

    Args:
        share: numerator and denominator: floats would make 149 pixels of 150.
        side: "width" or "height".
        count: of bins.
    """

    share: tuple[int, int]
    side: Literal["width", "height"]
    count: int

    def __call__(self, u: Tensor, size: Sizes) -> Tensor:
        longest = getattr(size, self.side) * self.share[0] / self.share[1]
        return with_sign((longest * integers(u[:, 0], 0, self.count) / (self.count - 1)).trunc(), u)


@dataclass(frozen=True)
class BitBins:
    """torchvision's law of posterisation: from `most` bits at the first bin down to `most - drop` at the last."""

    most: int
    drop: int
    count: int

    def __call__(self, u: Tensor, size: Sizes) -> Tensor:
        return (self.most - integers(u[:, 0], 0, self.count) / ((self.count - 1) / self.drop)).round()


@dataclass(frozen=True)
class Level:
    """timm's law: `start + slope * t`, for a level t = u[:, 0] that is 1 at timm's magnitude 10.

    Args:
        start: at level 0.
        slope: from level 0 to level 1.
        signed: the slope with either sign, each as likely.
        whole: the slope's part cut to a whole number.
        least: what comes out is at least this,
        most: and at most this.
        over: what comes out is divided by this.
        side: what comes out is a share of this side.
    """

    start: float = 0.0
    slope: float = 0.0
    signed: bool = False
    whole: bool = False
    least: float = -inf
    most: float = inf
    over: float = 1.0
    side: Literal["width", "height"] | None = None

    def __call__(self, u: Tensor, size: Sizes) -> Tensor:
        part = u[:, 0] * self.slope
        part = part.trunc() if self.whole else part
        part = with_sign(part, u) if self.signed else part
        value = (part + self.start).clamp(self.least, self.most) / self.over
        return value if self.side is None else value * getattr(size, self.side)


@dataclass(frozen=True)
class RandomRadius:
    """timm's law of a blur: uniform from `least` to `most` times the level."""

    least: float
    most: float

    def __call__(self, u: Tensor, size: Sizes) -> Tensor:
        return self.least + (self.most * u[:, 0] - self.least).clamp(min=0) * u[:, 1]


def with_sign(values: Tensor, u: Tensor) -> Tensor:
    """Values with the sign that u[:, 1] gives them."""
    return torch.where(u[:, 1] < 0.5, -values, values)


@dataclass(frozen=True)
class Strength:
    """timm's noise on magnitudes from 0 to 10.

    Args:
        std: of the normal noise; infinite: uniform from 0 to the magnitude.
        most: largest magnitude.
    """

    std: float = 0.0
    most: float = 10.0

    def level(self, magnitude: Tensor | float, u: Tensor) -> Tensor:
        """The level of a `Level`, from uniforms `u` of any shape."""
        if isinf(self.std):
            noisy = magnitude * u
        else:
            noisy = magnitude + (self.std * normal(u) if self.std else torch.zeros_like(u))
        return noisy.clamp(0, self.most) / 10


class Border(NamedTuple):
    """How geometric operations read between pixels, and what they find outside the image."""

    interpolation: Interpolation
    fill: tuple[float, ...]


class Move(Geometric):
    """A geometric operation. A concrete one writes `moved`."""

    uniforms = 2

    def __init__(self, magnitude: Magnitude, border: Border) -> None:
        super().__init__()
        self.magnitude, self.border = magnitude, border
        self.interpolation, self.fill = border

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"magnitude": self.magnitude(u, size)}

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return self.moved(self.magnitude(u, size), size)

    @abstractmethod
    def moved(self, magnitude: Tensor, size: Sizes) -> Tensor:
        """Output pixel -> input pixel, (B, 3, 3), from the magnitudes (B,)."""


class ShearX(Move):
    """Lean along x by `magnitude` pixels per row, about the upper left corner."""

    def moved(self, magnitude: Tensor, size: Sizes) -> Tensor:
        return matrices.matrix([[1.0, magnitude, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], magnitude)


class ShearY(Move):
    """Lean along y by `magnitude` pixels per column, about the upper left corner."""

    def moved(self, magnitude: Tensor, size: Sizes) -> Tensor:
        return matrices.matrix([[1.0, 0.0, 0.0], [magnitude, 1.0, 0.0], [0.0, 0.0, 1.0]], magnitude)


class TranslateX(Move):
    """Shift to the right by `magnitude` pixels."""

    def moved(self, magnitude: Tensor, size: Sizes) -> Tensor:
        return matrices.matrix([[1.0, 0.0, -magnitude], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], magnitude)


class TranslateY(Move):
    """Shift down by `magnitude` pixels."""

    def moved(self, magnitude: Tensor, size: Sizes) -> Tensor:
        return matrices.matrix([[1.0, 0.0, 0.0], [0.0, 1.0, -magnitude], [0.0, 0.0, 1.0]], magnitude)


class Rotate(Move):
    """Turn counter-clockwise about the centre by `magnitude` degrees."""

    def moved(self, magnitude: Tensor, size: Sizes) -> Tensor:
        angle = torch.deg2rad(magnitude)
        cos, sin = angle.cos(), angle.sin()
        linear = torch.stack([cos, -sin, sin, cos], 1).unflatten(1, (2, 2))
        return matrices.about(linear, size.width / 2, size.height / 2)


class Change(Adjustment):
    """An operation on values; one without a magnitude does the same to all."""

    uniforms = 2

    def __init__(self, magnitude: Magnitude | None = None) -> None:
        super().__init__()
        self.magnitude = magnitude

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {} if self.magnitude is None else {"magnitude": self.magnitude(u, size)}


def factor(numbers: dict[str, Tensor]) -> Tensor:
    """1 + magnitude, in float64: torchvision blends with the rest, 1 - factor, which float32 would round."""
    return 1 + numbers["magnitude"].double()


class Brightness(Change):
    """Brightness by the factor 1 + magnitude."""

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.brightness(planes, 1 + numbers["magnitude"], frame)


class Color(Change):
    """Saturation by the factor 1 + magnitude."""

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.saturation(planes, factor(numbers), frame)


class Contrast(Change):
    """Contrast by the factor 1 + magnitude."""

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.contrast(planes, factor(numbers), frame)


class Posterize(Change):
    """Keep the highest bits of eight, as many as the magnitude says."""

    differentiable = 0

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.posterize(planes, numbers["magnitude"].to(torch.int64), frame)


class Solarize(Change):
    """Invert the values from the magnitude, in [0, 1], on."""

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        threshold = numbers["magnitude"]
        if frame.whole:  # the bin at 0.4 is a little above level 102, which torchvision therefore leaves
            threshold = (threshold * 255).ceil() / 255
        return levels.solarize(planes, threshold, frame)


class SolarizeAdd(Change):
    """Add the magnitude to the values below 128 / 255."""

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        added = numbers["magnitude"]
        return levels.solarize_add(planes, added, torch.full_like(added, 128 / 255), frame)


class AutoContrast(Change):
    """Stretch each channel to the whole range."""

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.autocontrast(planes, frame)


class Equalize(Change):
    """Make each channel's histogram flat."""

    differentiable = 0

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.equalize(planes, frame)


class Invert(Change):
    """The negative."""

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.invert(planes)


class Look(Pixels):
    """An operation that looks at neighbouring pixels. A concrete one writes `pixels`."""

    uniforms = 2

    def __init__(self, magnitude: Magnitude) -> None:
        super().__init__()
        self.magnitude = magnitude

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"magnitude": self.magnitude(u, size)}


class Sharpness(Look):
    """Sharpness by the factor 1 + magnitude."""

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        sharp = levels.sharpness(image, factor(numbers), frame)
        return pick(numbers["chosen"], sharp, image)


class Blur(Look):
    """Blur with a Gaussian of a standard deviation of at most 2 pixels: the magnitude."""

    taps = 13

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        kernel = gaussian(numbers["magnitude"].to(image.dtype), self.taps)
        return blurred(image, ragged(frame), kernel, kernel, chosen=numbers["chosen"])
