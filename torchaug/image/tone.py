"""Tone: how light and dark values are spread, and transforms of levels, as torchvision, PIL and timm have them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments, levels
from torchaug.image.pointwise import Frame, Pixels, Planes, Pointwise, pick, pick_planes
from torchaug.keys import integers, noise, uniform
from torchaug.transform import Sizes


class Adjustment(Pointwise):
    """A pointwise transform written as if every sample had chosen it: the others are put back."""

    @abstractmethod
    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        """The transformed channels of all samples; arguments as in `map`."""

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return pick_planes(numbers["chosen"], self.adjusted(planes, numbers, frame), planes)


class RandomInvert(Adjustment):
    """The negative of an image, as torchvision's transform of this name. Any number of channels.

    Args:
        p: chance per sample.

    >>> RandomInvert(p=1.0)(torch.zeros(1, 3, 2, 2)).mean().item()
    1.0
    """

    alike = True

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.invert(planes)


class RandomPosterize(Adjustment):
    """Keep only the highest bits of eight of each value, as torchvision's transform of this name.

    uint8 images lose their lower bits, floats are cut to multiples of 2^-bits: torchvision's rules. Any number of
    channels. No gradient passes.

    Args:
        bits: a whole number from 0 to 8, or a range (low, high) of them, both ends drawn.
        p: chance per sample.

    Parameters per sample: bits.

    >>> RandomPosterize(1, p=1.0)(torch.tensor([[[0.4, 0.6]]]))
    tensor([[[0.0000, 0.5000]]])
    """

    alike = True
    uniforms = 1
    differentiable = 0

    def __init__(self, bits: int | Sequence[int], p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = arguments.whole_range(bits, "RandomPosterize", "bits", 0, 8)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"bits": integers(u[:, 0], self.bits[0], self.bits[1] + 1)}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.posterize(planes, numbers["bits"], frame)


class RandomSolarize(Adjustment):
    """Invert the values from a threshold on, as torchvision's transform of this name. Any number of channels.

    Args:
        threshold: in [0, 1] for images of every dtype (torchvision's of a uint8 image is a level: divide by 255), or a
            range (low, high).
        p: chance per sample.

    Parameters per sample: threshold.

    >>> RandomSolarize(0.5, p=1.0)(torch.tensor([[[0.25, 0.75]]]))
    tensor([[[0.2500, 0.2500]]])
    """

    alike = True
    uniforms = 1

    def __init__(self, threshold: float | Sequence[float], p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = arguments.unit_range(threshold, "RandomSolarize", "threshold")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"threshold": uniform(u[:, 0], *self.threshold)}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.solarize(planes, numbers["threshold"], frame)


class SolarizeAdd(Adjustment):
    """Brighten the values below a threshold, at most to white: timm's operation. Any number of channels.

    Args:
        addition: what is added, in [0, 1], or a range (low, high). timm's policies go up to 110 levels of 255.
        threshold: values from it on stay as they are; in [0, 1], or a range (low, high).
        p: chance per sample.

    Parameters per sample: addition, threshold.

    >>> SolarizeAdd(0.25)(torch.tensor([[[0.25, 0.75]]]))
    tensor([[[0.5000, 0.7500]]])
    """

    alike = True
    uniforms = 2

    def __init__(
        self,
        addition: float | Sequence[float] = (0.0, 110 / 255),
        threshold: float | Sequence[float] = 128 / 255,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.addition = arguments.unit_range(addition, "SolarizeAdd", "addition")
        self.threshold = arguments.unit_range(threshold, "SolarizeAdd", "threshold")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"addition": uniform(u[:, 0], *self.addition), "threshold": uniform(u[:, 1], *self.threshold)}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.solarize_add(planes, numbers["addition"], numbers["threshold"], frame)


class RandomAutocontrast(Adjustment):
    """Stretch each channel from its least and greatest value to the whole range, as torchvision's transform.

    A channel of a single value stays as it is. Any number of channels.

    Args:
        p: chance per sample.

    >>> RandomAutocontrast(p=1.0)(torch.tensor([[[0.25, 0.5, 0.75]]]))
    tensor([[[0.0000, 0.5000, 1.0000]]])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.autocontrast(planes, frame)


class RandomEqualize(Adjustment):
    """Make the histogram of each channel flat, as torchvision's transform of this name and PIL.

    Floats are treated as 256 levels. Any number of channels. No gradient passes.

    Args:
        p: chance per sample.

    >>> RandomEqualize(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    differentiable = 0

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.equalize(planes, frame)


class RandomAdjustSharpness(Pixels):
    """Sharpen or smooth, as torchvision's transform of this name. Any number of channels; border pixels stay.

    Args:
        sharpness_factor: 0 smooths, 1 changes nothing, 2 doubles the difference from the smoothed image; at least 0, or
            a range (low, high).
        p: chance per sample.

    Parameters per sample: sharpness_factor.

    >>> RandomAdjustSharpness(2.0, p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 1

    def __init__(self, sharpness_factor: float | Sequence[float], p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = arguments.within(sharpness_factor, "RandomAdjustSharpness", "sharpness_factor", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"sharpness_factor": uniform(u[:, 0], *self.sharpness_factor)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        return pick(numbers["chosen"], levels.sharpness(image, numbers["sharpness_factor"], frame), image)


class RandomGamma(Adjustment):
    """Raise the values to a power: gain * x^gamma, as torchvision's `adjust_gamma`. Any number of channels.

    Args:
        gamma: the power, above 0, or a range (low, high). Above 1 darkens, below 1 brightens.
        gain: factor of the result, at least 0, or a range (low, high).
        p: chance per sample.

    Parameters per sample: gamma, gain.

    >>> RandomGamma(2.0, p=1.0)(torch.tensor([[[0.0, 0.5, 1.0]]]))
    tensor([[[0.0000, 0.2500, 1.0000]]])
    """

    alike = True
    uniforms = 2

    def __init__(
        self,
        gamma: float | Sequence[float] = (0.8, 1.2),
        gain: float | Sequence[float] = 1.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.gamma = arguments.within(gamma, "RandomGamma", "gamma", 1e-3)
        self.gain = arguments.within(gain, "RandomGamma", "gain", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"gamma": uniform(u[:, 0], *self.gamma), "gain": uniform(u[:, 1], *self.gain)}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return levels.gamma(planes, numbers["gamma"], numbers["gain"], frame)


class RandomToneCurve(Adjustment):
    """Bend the relation of bright and dark along a Bézier curve, as albumentations' transform of this name.

    The curve is y(x) = 3 (1-x)^2 x low + 3 (1-x) x^2 high + x^3; at low = 1/3, high = 2/3 it changes nothing.

    Args:
        scale: standard deviation of low about 0.25 and of high about 0.75, both clamped to [0, 1].
        per_channel: another curve for each channel.
        p: chance per sample.

    Parameters per sample: low, high; (B, 3) for the first three channels where `per_channel`.

    >>> RandomToneCurve(0.2)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 2

    def __init__(self, scale: float = 0.1, per_channel: bool = False, p: float = 0.5) -> None:
        super().__init__(p)
        self.scale = arguments.number(scale, "RandomToneCurve", "scale", 0)
        self.per_channel = per_channel

    def _points(self, seeds: Tensor, channels: int) -> dict[str, Tensor]:
        """Each (B, channels)."""
        low, high = noise(seeds, (channels, 2)).unbind(2)
        return {"low": (0.25 + self.scale * low).clamp(0, 1), "high": (0.75 + self.scale * high).clamp(0, 1)}

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        points = self._points(u, 3)
        return points if self.per_channel else {name: value[:, 0] for name, value in points.items()}

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"chosen": chosen, "seeds": u}

    def adjusted(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        points = self._points(numbers["seeds"], len(planes) if self.per_channel else 1)
        curves = (
            points[name].to(planes[0].dtype).expand(-1, len(planes))[:, :, None, None].unbind(1)
            for name in ("low", "high")
        )
        return [
            (3 * (1 - x) * x * torch.lerp(low, high, x) + x**3).clamp(0, 1)
            for x, low, high in zip(planes, *curves, strict=True)
        ]
