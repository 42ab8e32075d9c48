"""Erasing: rectangles of an image replaced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.pointwise import Pointwise
from torchaug.image.resample import per_channel
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes


class RandomErasing(Pointwise):
    """Replace a random rectangle, as torchvision's transform of this name (Zhong et al., 2017). Labels stay.

    Args:
        p: chance per sample.
        scale: range of the rectangle's area, as a share of the image's.
        ratio: range of its height over its width; uniform in the logarithm.
        value: one value, or one per channel, of images in [0, 1] (or as they are after Normalize); "random" for
            standard normal noise, another for each sample.

    Parameters per sample: top, left, height and width in whole pixels; height 0 where ten tries found none that fits.

    >>> RandomErasing(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    tries = 10
    uniforms = 2 * tries + 4

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Sequence[float] | Literal["random"] = 0.0,
    ) -> None:
        super().__init__(p)
        self.scale = arguments.between(scale, "RandomErasing", "scale", 0, 1)
        self.ratio = arguments.between(ratio, "RandomErasing", "ratio", 0, math.inf)
        if isinstance(value, str) and value != "random":
            raise ValueError(f"RandomErasing: value must be a number, one per channel, or 'random', got {value!r}")
        self.value = value if isinstance(value, (str, int, float)) else tuple(map(float, value))

    def parameters(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        full_height, full_width = size.height[:, None], size.width[:, None]
        area = uniform(u[:, : self.tries], *self.scale) * (full_height * full_width)  # (B, tries)
        ratio = torch.exp(uniform(u[:, self.tries : 2 * self.tries], *(math.log(r) for r in self.ratio)))
        heights, widths = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (heights < full_height) & (widths < full_width)
        first = fits.to(torch.int64).argmax(1, keepdim=True)
        found = fits.gather(1, first)[:, 0]
        height = torch.where(found, heights.gather(1, first)[:, 0], 0)
        width = torch.where(found, widths.gather(1, first)[:, 0], 0)
        top = (u[:, -4] * (size.height - height + 1)).floor()
        left = (u[:, -3] * (size.width - width + 1)).floor()
        return {"top": top, "left": left, "height": height, "width": width}

    def map(self, image: Tensor, u: Tensor, chosen: Tensor, own: Tensor | None) -> Tensor:
        size = _own_sizes(image, u, own)
        top, left, height, width = (v[:, None] for v in self.parameters(u, size).values())
        rows = torch.arange(image.shape[-2], device=image.device)
        columns = torch.arange(image.shape[-1], device=image.device)
        inside = ((rows >= top) & (rows < top + height))[:, :, None] & ((columns >= left) & (columns < left + width))[
            :, None
        ]
        return torch.where((inside & chosen[:, None, None])[:, None], self._values(image, u), image)

    def _values(self, image: Tensor, u: Tensor) -> Tensor:
        if isinstance(self.value, str):
            return noise(u[:, -2:], image.shape[1:]).to(image.dtype)
        values = self.value if isinstance(self.value, tuple) else (float(self.value),)
        if len(values) not in (1, image.shape[1]):
            raise ValueError(f"RandomErasing: value has {len(values)} numbers, the image {image.shape[1]} channels")
        return per_channel(values, image)


def _own_sizes(image: Tensor, u: Tensor, own: Tensor | None) -> Sizes:
    canvas = (image.shape[-2], image.shape[-1])
    if own is None:
        return Sizes.of(canvas, None, u)
    return Sizes(own[:, 0, :, 0].sum(1).to(u.dtype), own[:, 0, 0].sum(1).to(u.dtype), canvas)
