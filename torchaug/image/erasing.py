"""Erasing: rectangles of an image replaced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.pointwise import Frame, Planes, Pointwise
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

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
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

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"chosen": chosen, "seeds": u[:, -2:]} | self.drawn(u, size)

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        height, width = planes[0].shape[1:]
        top, left, tall, wide = (numbers[name][:, None] for name in ("top", "left", "height", "width"))
        rows, columns = (torch.arange(n, device=top.device) for n in (height, width))
        inside = ((rows >= top) & (rows < top + tall))[:, :, None] & ((columns >= left) & (columns < left + wide))[
            :, None
        ]
        erased = inside & numbers["chosen"][:, None, None]
        values = self._values(planes, numbers["seeds"])
        return [torch.where(erased, v, plane) for v, plane in zip(values, planes, strict=True)]

    def _values(self, planes: Planes, seeds: Tensor) -> Sequence[Tensor | float]:
        if isinstance(self.value, str):
            return noise(seeds, (len(planes), *planes[0].shape[1:])).to(planes[0].dtype).unbind(1)
        values = self.value if isinstance(self.value, tuple) else (float(self.value),) * len(planes)
        if len(values) != len(planes):
            raise ValueError(f"RandomErasing: value has {len(values)} numbers, the image {len(planes)} channels")
        return values
