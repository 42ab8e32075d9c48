"""Tint: transforms of colour beside torchvision's jitter, each with the oracle named in docs/conformance.md."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments, levels
from torchaug.image.channels import reordered, three
from torchaug.image.color import from_hue, hue_of, shift_hue
from torchaug.image.pointwise import LUMA, Color, Frame, Planes, Pointwise, affine, gray, pick_planes
from torchaug.image.tone import Adjustment
from torchaug.keys import permutation, uniform
from torchaug.transform import Call, Sizes


class Grayscale(Pointwise):
    """Make images grey, as torchvision's transform of this name.

    Args:
        num_output_channels: 1, or 3 equal ones.

    Images of one channel are grey already; other channel counts than 1 and 3 are an error.

    >>> Grayscale()(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 1, 32, 32])
    """

    always = True

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = int(
            arguments.one_of(num_output_channels, "Grayscale", "num_output_channels", (1, 3))
        )

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        if len(planes) not in (1, 3):
            raise ValueError(f"Grayscale: image must have 1 or 3 channels, got {len(planes)}")
        return [gray(planes)] * self.num_output_channels


class RGB(Pointwise):
    """Give grey images three equal channels, as torchvision's transform of this name; those of three or more stay.

    >>> RGB()(torch.rand(8, 1, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    always = True

    def __init__(self) -> None:
        super().__init__()

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        if len(planes) == 2:
            raise ValueError("RGB: image must have 1 channel, or 3 or more, got 2")
        return planes * 3 if len(planes) == 1 else planes


class RandomAdjustSaturation(Color):
    """Blend with the grey image: PIL's Color enhancement, torchvision's `adjust_saturation`.

    Args:
        saturation_factor: 0 is grey, 1 changes nothing, above 1 is more colourful; at least 0, or a range (low, high).
        p: chance per sample.

    Parameters per sample: saturation_factor. Images of one channel stay as they are; with other channel counts than 1
    and 3, grey is the mean of the channels.

    >>> RandomAdjustSaturation((0.5, 1.5))(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 1

    def __init__(self, saturation_factor: float | Sequence[float], p: float = 0.5) -> None:
        super().__init__(p)
        self.saturation_factor = arguments.within(saturation_factor, "RandomAdjustSaturation", "saturation_factor", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"saturation_factor": uniform(u[:, 0], *self.saturation_factor)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return _saturated(planes, numbers["saturation_factor"], numbers["chosen"], frame)

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        return _saturation(uniform(u[:, 0], *self.saturation_factor), channels)


class Desaturate(Color):
    """Take colour away: timm's operation of this name.

    Args:
        amount: 0 changes nothing, 1 is grey; in [0, 1], or a range (low, high).
        p: chance per sample.

    Parameters per sample: amount. Channels as for `RandomAdjustSaturation`.

    >>> grey = Desaturate(1.0)(torch.rand(8, 3, 32, 32))
    >>> torch.equal(grey[:, 0], grey[:, 2])
    True
    """

    uniforms = 1

    def __init__(self, amount: float | Sequence[float] = (0.0, 1.0), p: float = 1.0) -> None:
        super().__init__(p)
        self.amount = arguments.within(amount, "Desaturate", "amount", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"amount": uniform(u[:, 0], *self.amount)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return _saturated(planes, 1 - numbers["amount"], numbers["chosen"], frame)

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        return _saturation(1 - uniform(u[:, 0], *self.amount), channels)


def _saturated(planes: Planes, factor: Tensor, chosen: Tensor, frame: Frame) -> Planes:
    """uint8 images are rounded once, at the end: within a level of torchvision's and PIL's, which cut the grey too."""
    return pick_planes(chosen, levels.saturation(planes, factor, frame._replace(whole=False)), planes)


def _saturation(factor: Tensor, channels: int) -> Tensor:
    eye = torch.eye(channels, device=factor.device)
    weights = LUMA if channels == 3 else (1 / channels,) * channels
    luma = torch.stack([eye.new_full((channels,), w) for w in weights], 1)
    keep = factor[:, None, None]
    return affine(keep * eye + (1 - keep) * luma, factor.new_zeros(len(factor), channels))


class RandomPhotometricDistort(Pointwise):
    """The colour distortions of the SSD detector (Liu et al., 2016), as torchvision's transform of this name.

    Brightness, contrast, saturation, hue, and an order of the channels: each with chance `p` of its own. Contrast comes
    before saturation or after hue, with equal chances.

    Args:
        brightness: range (low, high) of the factor, at least 0.
        contrast: likewise.
        saturation: likewise.
        hue: range of the shift in turns of the colour circle, within [-0.5, 0.5].
        p: chance per sample of each of the five.

    Parameters per sample: brightness, contrast, saturation (1 where not applied), hue (0 where not), contrast_first,
    order (B, 3) of the channels.
    Images have 1 or 3 channels; those of one have no saturation, hue and order.

    >>> RandomPhotometricDistort()(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 13  # four values, five gates, one place of contrast, three scores for the order

    def __init__(
        self,
        brightness: tuple[float, float] = (0.875, 1.125),
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: tuple[float, float] = (-0.05, 0.05),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.brightness = arguments.within(brightness, "RandomPhotometricDistort", "brightness", 0)
        self.contrast = arguments.within(contrast, "RandomPhotometricDistort", "contrast", 0)
        self.saturation = arguments.within(saturation, "RandomPhotometricDistort", "saturation", 0)
        self.hue = arguments.within(hue, "RandomPhotometricDistort", "hue", -0.5, 0.5)

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        """Every sample is chosen: `p` is the chance of each distortion."""
        return [Call(u[:, 1:], chosen if self.training else torch.zeros_like(chosen))]

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        ranges = {name: getattr(self, name) for name in ("brightness", "contrast", "saturation", "hue")}
        drawn = {
            name: torch.where(u[:, 4 + i] < self.p, uniform(u[:, i], *bounds), 0.0 if name == "hue" else 1.0)
            for i, (name, bounds) in enumerate(ranges.items())
        }
        scores = torch.where(u[:, 8:9] < self.p, u[:, 10:], torch.zeros_like(u[:, 10:]))
        return drawn | {"contrast_first": u[:, 9] < 0.5, "order": permutation(scores)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        if len(planes) not in (1, 3):
            raise ValueError(f"RandomPhotometricDistort: image must have 1 or 3 channels, got {len(planes)}")
        real, first = frame._replace(whole=False), numbers["contrast_first"]  # uint8 is rounded once, at the end
        new = levels.brightness(planes, numbers["brightness"], real)
        new = levels.contrast(new, torch.where(first, numbers["contrast"], 1), real)
        if len(planes) == 3:
            new = shift_hue(
                levels.saturation(new, numbers["saturation"], real), numbers["hue"], max(map(abs, self.hue))
            )
        new = levels.contrast(new, torch.where(first, 1, numbers["contrast"]), real)
        if len(planes) == 3:
            new = reordered(new, numbers["order"])
        return pick_planes(numbers["chosen"], new, planes)


class HueSaturationValue(Adjustment):
    """Shift hue, saturation and value in HSV, as albumentations' transform of this name. Three channels.

    Pixels without saturation stay grey; saturation and value are kept in [0, 1].

    Args:
        hue_shift_limit: the shift, in turns of the colour circle, is uniform in [-v, v] or (low, high).
        sat_shift_limit: likewise, in [0, 1].
        val_shift_limit: likewise, in [0, 1].
        p: chance per sample.

    Parameters per sample: hue, saturation, value.

    >>> HueSaturationValue(0.1, 0.3, 0.2)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 3

    def __init__(
        self,
        hue_shift_limit: float | tuple[float, float] = 20 / 180,
        sat_shift_limit: float | tuple[float, float] = 30 / 255,
        val_shift_limit: float | tuple[float, float] = 20 / 255,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.hue_shift_limit = arguments.unit_shift(hue_shift_limit, "HueSaturationValue", "hue_shift_limit")
        self.sat_shift_limit = arguments.unit_shift(sat_shift_limit, "HueSaturationValue", "sat_shift_limit")
        self.val_shift_limit = arguments.unit_shift(val_shift_limit, "HueSaturationValue", "val_shift_limit")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        limits = (self.hue_shift_limit, self.sat_shift_limit, self.val_shift_limit)
        return {name: uniform(u[:, i], *limits[i]) for i, name in enumerate(("hue", "saturation", "value"))}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        turn, more, lift = (numbers[name][:, None, None] for name in ("hue", "saturation", "value"))
        hue, most, least = hue_of(three(planes, "HueSaturationValue"))
        chroma = most - least
        saturation = (chroma / most.clamp(min=1e-12) + more).clamp(0, 1)
        value = (most + lift).clamp(0, 1)
        return from_hue(hue + 6 * turn, value, torch.where(chroma > 0, value * saturation, 0))
