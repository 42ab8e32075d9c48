"""Light and sensor: the colour of the illuminant, the principal components of colour, the noise of a camera."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.channels import check_three, three
from torchaug.image.color import from_hue, hue_of
from torchaug.image.pointwise import Color, Frame, Planes, affine, channel_means, pick_planes
from torchaug.image.tone import Adjustment
from torchaug.keys import noise, normal, uniform
from torchaug.transform import Sizes

_STEP = 500.0  # kelvin between the entries of the tables

# Red, green, blue of illuminants from 3000 K (black body) and 4000 K (CIE daylight) up to 15000 K, as published with
# Zini et al., "Planckian Jitter: countering the color-crippling effects of color jitter", ICLR 2023.
# fmt: off
_BLACKBODY = (
    (0.6743, 0.4029, 0.0013), (0.6281, 0.4241, 0.1665), (0.5919, 0.4372, 0.2513), (0.5623, 0.4457, 0.3154),
    (0.5376, 0.4515, 0.3672), (0.5163, 0.4555, 0.4103), (0.4979, 0.4584, 0.4468), (0.4816, 0.4604, 0.4782),
    (0.4672, 0.4619, 0.5053), (0.4542, 0.4630, 0.5289), (0.4426, 0.4638, 0.5497), (0.4320, 0.4644, 0.5681),
    (0.4223, 0.4648, 0.5844), (0.4135, 0.4651, 0.5990), (0.4054, 0.4653, 0.6121), (0.3980, 0.4654, 0.6239),
    (0.3911, 0.4655, 0.6346), (0.3847, 0.4656, 0.6444), (0.3787, 0.4656, 0.6532), (0.3732, 0.4656, 0.6613),
    (0.3680, 0.4655, 0.6688), (0.3632, 0.4655, 0.6756), (0.3586, 0.4655, 0.6820), (0.3544, 0.4654, 0.6878),
    (0.3503, 0.4653, 0.6933),
)
_DAYLIGHT = (
    (0.5829, 0.4421, 0.2288), (0.5510, 0.4514, 0.2948), (0.5246, 0.4576, 0.3488), (0.5021, 0.4618, 0.3941),
    (0.4826, 0.4646, 0.4325), (0.4654, 0.4667, 0.4654), (0.4502, 0.4681, 0.4938), (0.4364, 0.4692, 0.5186),
    (0.4240, 0.4700, 0.5403), (0.4127, 0.4705, 0.5594), (0.4023, 0.4709, 0.5763), (0.3928, 0.4713, 0.5914),
    (0.3839, 0.4715, 0.6049), (0.3757, 0.4716, 0.6171), (0.3681, 0.4717, 0.6281), (0.3609, 0.4718, 0.6380),
    (0.3543, 0.4719, 0.6472), (0.3480, 0.4719, 0.6555), (0.3421, 0.4719, 0.6631), (0.3365, 0.4719, 0.6702),
    (0.3313, 0.4719, 0.6766), (0.3263, 0.4719, 0.6826), (0.3217, 0.4719, 0.6882),
)
# fmt: on
_ILLUMINANTS = {"blackbody": (3000.0, _BLACKBODY), "cied": (4000.0, _DAYLIGHT)}


class PlanckianJitter(Color):
    """Change the colour of the light, along black bodies or daylight (Zini et al., ICLR 2023). Three channels.

    Red and blue are scaled by what a light of the drawn temperature has of them beside green; green stays.

    Args:
        mode: "blackbody", from 3000 K, or "cied" for the CIE's daylight, from 4000 K; both up to 15000 K.
        temperature_limit: range (low, high) in kelvin within that; all of it by default.
        p: chance per sample.

    Parameters per sample: temperature; gain (B, 2) of red and blue, read linearly from the published table.

    >>> PlanckianJitter("cied")(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 1

    def __init__(
        self,
        mode: Literal["blackbody", "cied"] = "blackbody",
        temperature_limit: tuple[float, float] | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.mode = arguments.one_of(mode, "PlanckianJitter", "mode", [*_ILLUMINANTS])
        lowest = _ILLUMINANTS[mode][0]
        limit = (lowest, 15000.0) if temperature_limit is None else temperature_limit
        self.temperature_limit = arguments.within(limit, "PlanckianJitter", "temperature_limit", lowest, 15000.0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        lowest, table = _ILLUMINANTS[self.mode]
        temperature = uniform(u[:, 0], *self.temperature_limit)
        place = (temperature - lowest) / _STEP
        left = place.floor().clamp(0, len(table) - 2).to(torch.int64)
        gains = []
        for channel in (0, 2):  # filled number by number: a copy from the host would wait
            column = torch.stack([u.new_full((), row[channel] / row[1]) for row in table])
            gains.append(torch.lerp(column[left], column[left + 1], place - left))
        return {"temperature": temperature, "gain": torch.stack(gains, 1)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        red, green, blue = three(planes, "PlanckianJitter")
        of_red, of_blue = numbers["gain"][:, :, None, None].unbind(1)
        lit = [(red * of_red).clamp(0, 1), green, (blue * of_blue).clamp(0, 1)]
        return pick_planes(numbers["chosen"], lit, planes)

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        check_three(channels, "PlanckianJitter")
        of_red, of_blue = self.drawn(u, Sizes.of((0, 0), None, u))["gain"].unbind(1)
        scales = torch.stack([of_red, torch.ones_like(of_red), of_blue], 1)
        return affine(torch.diag_embed(scales), torch.zeros_like(scales))


IMAGENET_EIGENVALUES = (0.2175, 0.0188, 0.0045)
"""Of the covariance of ImageNet's colours in [0, 1], as published with fb.resnet.torch."""

IMAGENET_EIGENVECTORS = ((-0.5675, -0.5808, -0.5836), (0.7192, -0.0045, -0.6948), (0.4009, -0.8140, 0.4203))
"""One row of red, green and blue for each eigenvalue."""


class FancyPCA(Color):
    """Shift the colour of an image along the principal components of a data set's colours.

    The shift is sum_i alpha_i lambda_i e_i, with alpha_i normal (Krizhevsky, Sutskever and Hinton, "ImageNet
    classification with deep convolutional neural networks", 2012, section 4.1), also known as PCA lighting. Any number of
    channels, given components for it.

    Args:
        alpha: standard deviation of the alpha_i.
        eigenvalues: of the covariance of the data set's colours in [0, 1]; ImageNet's by default.
        eigenvectors: a row of as many numbers as there are channels for each eigenvalue.
        p: chance per sample.

    Parameters per sample: alphas (B, components).

    >>> FancyPCA(0.1)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        alpha: float = 0.1,
        eigenvalues: Sequence[float] = IMAGENET_EIGENVALUES,
        eigenvectors: Sequence[Sequence[float]] = IMAGENET_EIGENVECTORS,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.alpha = arguments.number(alpha, "FancyPCA", "alpha", 0)
        self.eigenvalues = tuple(arguments.finite(eigenvalues))
        self.eigenvectors = tuple(
            tuple(arguments.finite(row)) for row in (() if eigenvectors is None else eigenvectors)
        )
        self.uniforms = len(self.eigenvalues)
        widths = {len(row) for row in self.eigenvectors}
        if not self.uniforms or len(self.eigenvectors) != self.uniforms or len(widths) != 1 or 0 in widths:
            raise ValueError(
                "FancyPCA: eigenvalues must be numbers, and eigenvectors one row for each of them, of equal length, got "
                f"{eigenvalues!r} and {eigenvectors!r}"
            )

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"alphas": self.alpha * normal(u)}

    def _shift(self, alphas: Tensor, channels: int) -> Planes:
        """(B,) for each channel."""
        if channels != len(self.eigenvectors[0]):
            raise ValueError(
                f"FancyPCA: image must have {len(self.eigenvectors[0])} channels, as the eigenvectors have, got {channels}"
            )
        scales = [alpha * value for alpha, value in zip(alphas.unbind(1), self.eigenvalues, strict=True)]
        columns = zip(*self.eigenvectors, strict=True)
        return [torch.stack([s * e for s, e in zip(scales, column, strict=True)]).sum(0) for column in columns]

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        shifts = self._shift(numbers["alphas"], len(planes))
        new = [(plane + shift[:, None, None]).clamp(0, 1) for plane, shift in zip(planes, shifts, strict=True)]
        return pick_planes(numbers["chosen"], new, planes)

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        eye = torch.eye(channels, device=u.device).expand(len(u), -1, -1)
        return affine(eye, torch.stack(self._shift(self.alpha * normal(u), channels), 1))


class ISONoise(Adjustment):
    """The noise of a camera's sensor at high sensitivity, as albumentations' transform of this name. Three channels.

    In hue, lightness and saturation: hue turns by normal noise, and lightness L gains k * intensity * (1 - L) with k of
    a Poisson distribution whose mean is intensity times the standard deviation of the image's lightness.

    Args:
        color_shift: range (low, high) of the noise of the hue: its standard deviation is color_shift * intensity turns
            of the colour circle. (albumentations 2.0.8 adds as many degrees, which cannot be seen, and documents turns.)
        intensity: range (low, high), in [0, 1].
        p: chance per sample.

    Parameters per sample: color_shift, intensity, seeds (B, 4) of the two fields of `torchaug.keys.noise`: hue's, and
    lightness', of which the normal distribution function makes uniform numbers.

    >>> ISONoise(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 6
    fresh = slice(2, 6)

    def __init__(
        self,
        color_shift: float | Sequence[float] = (0.01, 0.05),
        intensity: float | Sequence[float] = (0.1, 0.5),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.color_shift = arguments.within(color_shift, "ISONoise", "color_shift", 0)
        self.intensity = arguments.within(intensity, "ISONoise", "intensity", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {
            "color_shift": uniform(u[:, 0], *self.color_shift),
            "intensity": uniform(u[:, 1], *self.intensity),
            "seeds": u[:, 2:],
        }

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        hue, most, least = hue_of(three(planes, "ISONoise"))
        seeds, shape, dtype = numbers["seeds"], hue.shape[1:], hue.dtype
        intensity = numbers["intensity"].to(dtype)[:, None, None]
        turns = numbers["color_shift"].to(dtype)[:, None, None] * intensity * noise(seeds[:, :2], shape).to(dtype)
        lightness, chroma = (most + least) / 2, most - least
        counts = _poisson(noise(seeds[:, 2:], shape), _deviation(lightness.detach(), frame.own) * numbers["intensity"])
        brighter = (lightness + counts.to(dtype) * intensity * (1 - lightness)).clamp(0, 1)
        # the saturation of HLS stays: chroma in proportion to the widest that a lightness allows
        width, wider = _widest(lightness), _widest(brighter)
        chroma = chroma * torch.where(width > 0, wider / torch.where(width > 0, width, 1), 0)
        return [plane.clamp(0, 1) for plane in from_hue(hue + 6 * turns, brighter + chroma / 2, chroma)]


def _widest(lightness: Tensor) -> Tensor:
    return 1 - (2 * lightness - 1).abs()


def _deviation(values: Tensor, own: Tensor | None) -> Tensor:
    """(B,) standard deviations over own pixels (B, H, W)."""
    mean = channel_means(values[:, None], own)[:, :, None].to(values.dtype)
    return channel_means((values - mean).square()[:, None], own)[:, 0].sqrt()


def _poisson(field: Tensor, rate: Tensor) -> Tensor:
    """Poisson numbers of a standard normal field (B, H, W) and rates (B,) of at most 0.5, by the inverse distribution.

    The chance of more than seven is below 1e-7.
    """
    u = 0.5 * (1 + torch.erf(field / math.sqrt(2)))
    term = torch.exp(-rate)
    below, count = term, torch.zeros_like(u)
    for k in range(1, 8):
        count = count + (u > below[:, None, None]).to(u.dtype)
        term = term * rate / k
        below = below + term
    return count
