"""Channels: their order, their absence, and fixed mixtures and shifts of them."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.pointwise import Color, Frame, Planes, affine, pick_planes
from torchaug.image.tone import Adjustment
from torchaug.keys import integers, noise, permutation, uniform
from torchaug.transform import Sizes


def three(planes: Planes, who: str) -> Planes:
    """The planes, or an error where they are not red, green and blue."""
    check_three(len(planes), who)
    return planes


def check_three(channels: int, who: str) -> None:
    """An error where channels are not red, green and blue."""
    if channels != 3:
        raise ValueError(f"{who}: image must have 3 channels, got {channels}")


def reordered(planes: Planes, order: Tensor) -> Planes:
    """The channels in an order per sample (B, C)."""
    images = torch.stack(planes, 1)
    rows = torch.arange(len(order), device=order.device)[:, None] * len(planes) + order
    return list(images.flatten(0, 1).index_select(0, rows.flatten()).view(images.shape).unbind(1))


class RandomChannelPermutation(Adjustment):
    """Put the channels in a random order, as torchvision's transform of this name. Any number of channels.

    Args:
        p: chance per sample.

    Parameters per sample: scores (B, 3) of the first three channels; the channels are sorted by them.

    >>> RandomChannelPermutation()(torch.rand(8, 5, 32, 32)).shape
    torch.Size([8, 5, 32, 32])
    """

    together = 48
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
        self.channel_drop_range = arguments.whole_range(channel_drop_range, "ChannelDropout", "channel_drop_range", 1)
        self.fill = arguments.number(fill, "ChannelDropout", "fill", 0, 1)

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

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        check_three(channels, "ToSepia")
        rows = [torch.stack([u.new_full((len(u),), v) for v in row], 1) for row in SEPIA]
        return affine(torch.stack(rows, 1), u.new_zeros(len(u), 3))


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
        self.r_shift_limit = arguments.unit_shift(r_shift_limit, "RGBShift", "r_shift_limit")
        self.g_shift_limit = arguments.unit_shift(g_shift_limit, "RGBShift", "g_shift_limit")
        self.b_shift_limit = arguments.unit_shift(b_shift_limit, "RGBShift", "b_shift_limit")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        limits = (self.r_shift_limit, self.g_shift_limit, self.b_shift_limit)
        return {"shift": torch.stack([uniform(u[:, i], *limit) for i, limit in enumerate(limits)], 1)}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        shifts = numbers["shift"][:, :, None, None].unbind(1)
        pairs = zip(three(planes, "RGBShift"), shifts, strict=True)
        return pick_planes(numbers["chosen"], [(plane + shift).clamp(0, 1) for plane, shift in pairs], planes)

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        check_three(channels, "RGBShift")
        eye = torch.eye(3, device=u.device).expand(len(u), -1, -1)
        return affine(eye, self.drawn(u, Sizes.of((0, 0), None, u))["shift"])
