"""Drops: rain that falls, and spatter of rain or mud on the lens. Names and defaults are albumentations'."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.filters import convolve_separable, gaussian
from torchaug.image.pointwise import Frame, Pixels, pick
from torchaug.image.resample import per_channel
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes

DROPS_PER_ROW = {"drizzle": 1 / 4, "default": 1 / 3, "heavy": 1.0, "torrential": 2.0}
SPATTER_COLORS = {"rain": (238 / 255, 238 / 255, 175 / 255), "mud": (20 / 255, 42 / 255, 63 / 255)}


class RandomRain(Pixels):
    """Slanted streaks, blurred, added to a darkened image, as albumentations' transform of this name.

    All drops of an image have one slant and one length. The image plus the blurred streaks is clamped to [0, 1], then
    multiplied by the brightness.

    Args:
        slant_range: range of the columns that a drop crosses on its way down, or one number; below 0 to the left.
        drop_length: rows that a drop crosses; None for an eighth of the image's height.
        drop_width: thickness of a drop in pixels.
        drop_color: a level in [0, 1] for all channels, or one for each.
        blur_value: side of the box that blurs the drops, odd; 1 for none.
        brightness_coefficient: what the image is multiplied by.
        rain_type: "drizzle", "default", "heavy" or "torrential": a quarter, a third, one or two drops per row.
        p: chance per sample.

    Parameters per sample: slant; seeds of the drops' places.

    >>> RandomRain(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 3

    def __init__(
        self,
        slant_range: float | tuple[float, float] = (-10.0, 10.0),
        drop_length: int | None = None,
        drop_width: int = 1,
        drop_color: float | tuple[float, ...] = 200 / 255,
        blur_value: int = 7,
        brightness_coefficient: float = 0.7,
        rain_type: Literal["drizzle", "default", "heavy", "torrential"] = "default",
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.slant_range = arguments.within(slant_range, "RandomRain", "slant_range")
        self.drop_color = arguments.fill(drop_color, "RandomRain", "drop_color")
        self.brightness_coefficient = arguments.number(
            brightness_coefficient, "RandomRain", "brightness_coefficient", 0.0
        )
        self.drop_length = arguments.optional_whole(drop_length, "RandomRain", "drop_length", 1)
        self.drop_width = arguments.whole(drop_width, "RandomRain", "drop_width", 1)
        self.blur_value, _ = arguments.odd_range(
            arguments.whole(blur_value, "RandomRain", "blur_value", 1), "RandomRain", "blur_value"
        )
        self.rain_type = arguments.one_of(rain_type, "RandomRain", "rain_type", [*DROPS_PER_ROW])

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"slant": uniform(u[:, 0], *self.slant_range), "seeds": u[:, 1:]}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        color = per_channel(arguments.colored(self.drop_color, image.shape[1], "RandomRain", "drop_color"), image)
        streaks = self._streaks(numbers, frame).to(image.dtype) * color
        return pick(numbers["chosen"], (image + streaks).clamp(0, 1) * self.brightness_coefficient, image)

    def _streaks(self, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        """(B, 1, H, W): 1 on drops, 0 elsewhere, blurred."""
        height, width = frame.size.canvas
        x, y, there = self._lines(numbers, frame.size)
        place = torch.where(there, y * width + x, height * width).flatten(1)  # what is not there lands behind the image
        layer = x.new_zeros(len(x), height * width + 1, dtype=torch.float32).scatter(1, place, 1.0)
        layer = layer[:, :-1].view(-1, 1, height, width)
        if self.drop_width > 1:
            before, after = (self.drop_width - 1) // 2, self.drop_width // 2
            layer = F.max_pool2d(F.pad(layer, (before, after, before, after)), self.drop_width, 1)
            layer = layer if frame.own is None else layer * frame.own[:, None]
        return F.avg_pool2d(layer, self.blur_value, 1, self.blur_value // 2) if self.blur_value > 1 else layer

    def _lines(self, numbers: dict[str, Tensor], size: Sizes) -> tuple[Tensor, Tensor, Tensor]:
        """Columns and rows (B, drops, steps) of the pixels of each drop, and which of them there are."""
        ratio = DROPS_PER_ROW[self.rain_type]
        height, width = size.height[:, None], size.width[:, None]
        eighth = (height / 8).floor().clamp(min=1)
        length = eighth if self.drop_length is None else torch.full_like(height, self.drop_length)
        slant = numbers["slant"][:, None].to(height.dtype)
        most = max(self.drop_length or size.canvas[0] // 8, *(math.ceil(abs(s)) for s in self.slant_range), 1)
        steps = torch.maximum(length, slant.abs().ceil())[:, :, None]  # so many moves take the drop to its end
        drops = max(1, math.floor(size.canvas[0] * ratio))
        at = noise(numbers["seeds"], (2, drops)).to(height.dtype)
        at = 0.5 * (1 + torch.erf(at * math.sqrt(0.5)))
        start_x, start_y = (at[:, 0] * width).floor(), (at[:, 1] * (height - length).clamp(min=1)).floor()
        step = torch.arange(most + 1, device=slant.device, dtype=slant.dtype)
        share = (step / steps).clamp(max=1)
        x = (start_x[:, :, None] + slant[:, :, None] * share).round()
        y = (start_y[:, :, None] + length[:, :, None] * share).round()
        counted = torch.arange(drops, device=slant.device)[None, :] < (height * ratio).floor()
        there = (x >= 0) & (x < width[:, :, None]) & (y < height[:, :, None]) & counted[:, :, None]
        return x.to(torch.int64), y.to(torch.int64), there


class RandomSpatter(Pixels):
    """Drops of rain or mud on the lens, after the spatter of ImageNet-C (Hendrycks and Dietterich, 2019).

    A layer of normal noise is blurred; where it exceeds the threshold there is liquid, whose edges are blurred again: m in
    [0, 1]. Mud covers, x (1 - k m) + color k m; rain adds light, x + color k m, clamped to [0, 1]; k is the intensity.
    (albumentations' rain also embosses its drops by an edge detector.)

    Args:
        mean: of the noise: a range, or one number.
        std: its standard deviation before the blur: a range, or one number.
        gauss_sigma: of the blurs in pixels: a range above 0, or one number.
        cutout_threshold: a range, or one number: lower for more liquid.
        intensity: a range in [0, 1], or one number.
        mode: "rain" or "mud".
        color: a level in [0, 1] for all channels, or one for each; None for albumentations' (238, 238, 175) / 255 (rain) or
            (20, 42, 63) / 255 (mud), and for their mean where there are not three channels.
        p: chance per sample.

    Parameters per sample: mean, std, sigma, threshold, intensity; seeds of the noise.

    >>> RandomSpatter(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 7

    def __init__(
        self,
        mean: float | tuple[float, float] = 0.65,
        std: float | tuple[float, float] = 0.3,
        gauss_sigma: float | tuple[float, float] = 2.0,
        cutout_threshold: float | tuple[float, float] = 0.68,
        intensity: float | tuple[float, float] = 0.6,
        mode: Literal["rain", "mud"] = "rain",
        color: float | tuple[float, ...] | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.mean, self.std, self.cutout_threshold = (
            arguments.within(value, "RandomSpatter", name, 0.0)
            for name, value in (("mean", mean), ("std", std), ("cutout_threshold", cutout_threshold))
        )
        self.intensity = arguments.within(intensity, "RandomSpatter", "intensity", 0, 1)
        self.gauss_sigma = arguments.within(gauss_sigma, "RandomSpatter", "gauss_sigma", 1e-3)
        self.mode = arguments.one_of(mode, "RandomSpatter", "mode", [*SPATTER_COLORS])
        self.color = None if color is None else arguments.fill(color, "RandomSpatter", "color")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        ranges = {
            "mean": self.mean,
            "std": self.std,
            "sigma": self.gauss_sigma,
            "threshold": self.cutout_threshold,
            "intensity": self.intensity,
        }
        return {name: uniform(u[:, i], *bounds) for i, (name, bounds) in enumerate(ranges.items())} | {
            "seeds": u[:, 5:]
        }

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        liquid = self._liquid(numbers, frame.size).to(image.dtype)
        color = per_channel(self._levels(image.shape[1]), image)
        wet = (image + color * liquid).clamp(0, 1) if self.mode == "rain" else image + (color - image) * liquid
        return pick(numbers["chosen"], wet, image)

    def _levels(self, channels: int) -> tuple[float, ...]:
        if self.color is not None:
            return arguments.colored(self.color, channels, "RandomSpatter", "color")
        color = SPATTER_COLORS[self.mode]
        return color if channels == 3 else (sum(color) / 3,) * channels

    def _liquid(self, numbers: dict[str, Tensor], size: Sizes) -> Tensor:
        """(B, 1, H, W). Noise reaches beyond the image, so that the blurs meet no border."""
        margin = math.ceil(3 * self.gauss_sigma[1])
        weights = gaussian(numbers["sigma"], 2 * margin + 1)
        field = noise(numbers["seeds"], [n + 4 * margin for n in size.canvas])[:, None]
        mean, std, threshold, intensity = (
            numbers[name][:, None, None, None] for name in ("mean", "std", "threshold", "intensity")
        )
        wet = convolve_separable(field, weights, weights) * std + mean > threshold
        return convolve_separable(wet.to(torch.float32), weights, weights) * intensity
