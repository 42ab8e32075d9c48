"""Tint: transforms of colour beside torchvision's jitter, each with the oracle named in docs/conformance.md."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments, levels
from torchaug.image.color import from_hue, hue_of, shift_hue
from torchaug.image.pointwise import LUMA, Color, Frame, Planes, Pointwise, gray, pick_planes
from torchaug.image.tone import Adjustment, within
from torchaug.keys import integers, noise, permutation, uniform
from torchaug.transform import Call, Sizes


def three(planes: Planes, who: str) -> Planes:
    """The planes, or an error where they are not red, green and blue."""
    if len(planes) != 3:
        raise ValueError(f"{who}: image must have 3 channels, got {len(planes)}")
    return planes


def reordered(planes: Planes, order: Tensor) -> Planes:
    """The channels in an order per sample (B, C)."""
    rows = torch.arange(len(order), device=order.device)[:, None]
    return list(torch.stack(planes, 1)[rows, order].unbind(1))


def affine(linear: Tensor, offset: Tensor) -> Tensor:
    """(B, C + 1, C + 1) of a linear map (B, C, C) and an offset (B, C)."""
    top = torch.cat([linear, offset[:, :, None]], 2)
    bottom = torch.cat([torch.zeros_like(offset), torch.ones_like(offset[:, :1])], 1)
    return torch.cat([top, bottom[:, None]], 1)


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
        if num_output_channels not in (1, 3):
            raise ValueError(f"Grayscale: num_output_channels must be 1 or 3, got {num_output_channels}")
        self.num_output_channels = num_output_channels

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        if len(planes) not in (1, 3):
            raise ValueError(f"Grayscale: image must have 1 or 3 channels, got {len(planes)}")
        return [gray(planes)] * self.num_output_channels


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
        self.saturation_factor = within(saturation_factor, "RandomAdjustSaturation", "saturation_factor", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"saturation_factor": uniform(u[:, 0], *self.saturation_factor)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return _saturated(planes, numbers["saturation_factor"], numbers["chosen"], frame)

    def matrix(self, u: Tensor, mean: Tensor) -> Tensor:
        return _saturation(uniform(u[:, 0], *self.saturation_factor), mean)


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
        self.amount = within(amount, "Desaturate", "amount", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"amount": uniform(u[:, 0], *self.amount)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return _saturated(planes, 1 - numbers["amount"], numbers["chosen"], frame)

    def matrix(self, u: Tensor, mean: Tensor) -> Tensor:
        return _saturation(1 - uniform(u[:, 0], *self.amount), mean)


def _saturated(planes: Planes, factor: Tensor, chosen: Tensor, frame: Frame) -> Planes:
    """uint8 images are rounded once, at the end: within a level of torchvision's and PIL's, which cut the grey too."""
    return pick_planes(chosen, levels.saturation(planes, factor, frame._replace(whole=False)), planes)


def _saturation(factor: Tensor, mean: Tensor) -> Tensor:
    channels = mean.shape[1]
    eye = torch.eye(channels, device=mean.device)
    weights = LUMA if channels == 3 else (1 / channels,) * channels
    luma = torch.stack([eye.new_full((channels,), w) for w in weights], 1)
    factor = factor[:, None, None]
    return affine(factor * eye + (1 - factor) * luma, torch.zeros_like(mean))


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
        self.brightness = within(brightness, "RandomPhotometricDistort", "brightness", 0)
        self.contrast = within(contrast, "RandomPhotometricDistort", "contrast", 0)
        self.saturation = within(saturation, "RandomPhotometricDistort", "saturation", 0)
        self.hue = within(hue, "RandomPhotometricDistort", "hue", -0.5, 0.5)

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
            new = shift_hue(levels.saturation(new, numbers["saturation"], real), numbers["hue"])
        new = levels.contrast(new, torch.where(first, 1, numbers["contrast"]), real)
        if len(planes) == 3:
            new = reordered(new, numbers["order"])
        return pick_planes(numbers["chosen"], new, planes)


class RandomChannelPermutation(Adjustment):
    """Put the channels in a random order, as torchvision's transform of this name. Any number of channels.

    Args:
        p: chance per sample.

    Parameters per sample: scores (B, 3) of the first three channels; the channels are sorted by them.

    >>> RandomChannelPermutation()(torch.rand(8, 5, 32, 32)).shape
    torch.Size([8, 5, 32, 32])
    """

    uniforms = 2

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"scores": noise(u, (3,))}

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"chosen": chosen, "seeds": u}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return reordered(planes, permutation(noise(numbers["seeds"], (len(planes),))))


class ChannelDropout(Adjustment):
    """Fill random channels with one value, as albumentations' transform of this name.

    Args:
        channel_drop_range: how many channels at least and at most; fewer than the image has, which needs two or more.
        fill: the value, in [0, 1].
        p: chance per sample.

    Parameters per sample: count, and scores (B, 3) of the first three channels: those with the lowest are filled.

    >>> ChannelDropout(p=1.0)(torch.ones(8, 3, 2, 2)).mean((1, 2, 3))[0].item()
    0.6666666865348816
    """

    uniforms = 3

    def __init__(self, channel_drop_range: tuple[int, int] = (1, 1), fill: float = 0.0, p: float = 0.5) -> None:
        super().__init__(p)
        low, high = within(channel_drop_range, "ChannelDropout", "channel_drop_range", 1)
        if low != int(low) or high != int(high):
            raise ValueError(f"ChannelDropout: channel_drop_range must be whole numbers, got {channel_drop_range!r}")
        self.channel_drop_range = (int(low), int(high))
        (self.fill,) = arguments.fill(fill, "ChannelDropout")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        low, high = self.channel_drop_range
        return {"count": integers(u[:, 0], low, high + 1), "scores": noise(u[:, 1:], (3,))}

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"chosen": chosen, "seeds": u[:, 1:], "count": self.drawn(u, size)["count"]}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        if len(planes) <= self.channel_drop_range[1]:
            raise ValueError(
                f"ChannelDropout: image must have more than {self.channel_drop_range[1]} channels, got {len(planes)}"
            )
        rank = permutation(permutation(noise(numbers["seeds"], (len(planes),))))
        dropped = (rank < numbers["count"][:, None])[:, :, None, None].unbind(1)
        return [torch.where(gone, self.fill, plane) for gone, plane in zip(dropped, planes, strict=True)]


SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))


class ToSepia(Color):
    """Brown the colours like an old photograph, with the customary matrix; values above 1 are cut. Three channels.

    Args:
        p: chance per sample.

    >>> ToSepia(p=1.0)(torch.full((1, 3, 1, 1), 0.5)).flatten()
    tensor([0.6755, 0.6015, 0.4685])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        red, green, blue = three(planes, "ToSepia")
        brown = [(r * red + g * green + b * blue).clamp(0, 1) for r, g, b in SEPIA]
        return pick_planes(numbers["chosen"], brown, planes)

    def matrix(self, u: Tensor, mean: Tensor) -> Tensor:
        three(list(mean.unbind(1)), "ToSepia")
        rows = [torch.stack([mean.new_full((len(mean),), v) for v in row], 1) for row in SEPIA]
        return affine(torch.stack(rows, 1), torch.zeros_like(mean))


class RGBShift(Color):
    """Add a number to each of red, green and blue, as albumentations' transform of this name. Three channels.

    Args:
        r_shift_limit: red's shift, in [0, 1] for images of every dtype, is uniform in [-v, v] or (low, high).
        g_shift_limit: likewise green's.
        b_shift_limit: likewise blue's.
        p: chance per sample.

    Parameters per sample: shift (B, 3).

    >>> RGBShift(0.2, 0.1, 0.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 3

    def __init__(
        self,
        r_shift_limit: float | tuple[float, float] = 20 / 255,
        g_shift_limit: float | tuple[float, float] = 20 / 255,
        b_shift_limit: float | tuple[float, float] = 20 / 255,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.r_shift_limit = shift_range(r_shift_limit, "RGBShift", "r_shift_limit")
        self.g_shift_limit = shift_range(g_shift_limit, "RGBShift", "g_shift_limit")
        self.b_shift_limit = shift_range(b_shift_limit, "RGBShift", "b_shift_limit")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        limits = (self.r_shift_limit, self.g_shift_limit, self.b_shift_limit)
        return {"shift": torch.stack([uniform(u[:, i], *limit) for i, limit in enumerate(limits)], 1)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        shifts = numbers["shift"][:, :, None, None].unbind(1)
        pairs = zip(three(planes, "RGBShift"), shifts, strict=True)
        return pick_planes(numbers["chosen"], [(plane + shift).clamp(0, 1) for plane, shift in pairs], planes)

    def matrix(self, u: Tensor, mean: Tensor) -> Tensor:
        three(list(mean.unbind(1)), "RGBShift")
        eye = torch.eye(3, device=mean.device).expand(len(mean), -1, -1)
        return affine(eye, self.drawn(u, Sizes.of((0, 0), None, u))["shift"])


def shift_range(value: float | Sequence[float], who: str, name: str) -> tuple[float, float]:
    """(low, high) within [-1, 1], from a pair in rising order, or (-v, v) from one number."""
    low, high = arguments.symmetric(value, who, name)
    if not -1 <= low <= high <= 1:
        raise ValueError(f"{who}: {name} must be within [-1, 1], got {value!r}; divide levels of uint8 by 255")
    return low, high


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
        self.hue_shift_limit = shift_range(hue_shift_limit, "HueSaturationValue", "hue_shift_limit")
        self.sat_shift_limit = shift_range(sat_shift_limit, "HueSaturationValue", "sat_shift_limit")
        self.val_shift_limit = shift_range(val_shift_limit, "HueSaturationValue", "val_shift_limit")

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
