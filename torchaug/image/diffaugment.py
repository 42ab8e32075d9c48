"""Differentiable augmentation for GANs: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments
from torchaug.image.ada import refuse_labels
from torchaug.image.pointwise import pick
from torchaug.image.resample import as_dtype, as_float, in_chunks, own_pixels
from torchaug.keys import integers, uniform
from torchaug.transform import Sizes, Transform

PARTS = ("color", "translation", "cutout")


class DiffAugment(Transform):
    """Colour, translation and cutout of real and generated images alike, twice differentiable.

    - color: brightness x + b, b uniform in [-1/4, 1/4]; saturation m + s (x - m) with the pixel's mean m of its channels, s
      uniform in [0, 2]; contrast m + c (x - m) with the image's mean m, c uniform in [1/2, 3/2].
    - translation: by whole pixels, up to 1/8 of the height and the width, mid-level around.
    - cutout: a rectangle of half the height and the width around any pixel, mid-level.

    Numbers are for values in [0, 1], twice as large for [-1, 1], as in the paper. Floating point images are not clamped.
    Images of one channel have no saturation. Masks, boxes and keypoints do not follow a translation: with them it raises a
    TypeError.

    Args:
        policy: some of "color", "translation", "cutout" with commas between, in the order in which they are applied.
        value_range: the values of floating point images that stand for black and white; (-1, 1) for many generators.
        p: chance per sample.

    Parameters per sample: brightness, saturation, contrast; translation x, y in pixels; cutout: left, top, right, bottom.

    >>> DiffAugment("color,cutout")(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 7

    def __init__(
        self,
        policy: str = "color,translation,cutout",
        value_range: tuple[float, float] = (0.0, 1.0),
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.parts = tuple(part.strip() for part in policy.split(","))
        if not set(self.parts) <= set(PARTS) or len(set(self.parts)) < len(self.parts):
            raise ValueError(f"DiffAugment: policy must be some of {','.join(PARTS)} once each, got {policy!r}")
        self.policy, self.value_range = policy, arguments.rising(value_range, "DiffAugment", "value_range")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        full = torch.stack([size.width, size.height], 1)
        reach = (full / 8 + 0.5).floor()
        hole = (full / 2 + 0.5).floor()
        centre = (u[:, 5:7] * (full + 1 - hole % 2)).floor()
        found = {
            "brightness": u[:, 0] - 0.5,
            "saturation": uniform(u[:, 1], 0.0, 2.0),
            "contrast": uniform(u[:, 2], 0.5, 1.5),
            "translation": torch.stack([integers(u[:, 3 + i], 0, 2 * reach[:, i] + 1) for i in (0, 1)], 1) - reach,
            "cutout": torch.cat([centre - (hole / 2).floor(), centre - (hole / 2).floor() + hole], 1),
        }
        names = {"color": ("brightness", "saturation", "contrast")}
        return {name: found[name] for part in self.parts for name in names.get(part, (part,))}

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        image = batch.image
        if image is None:
            raise TypeError(f"DiffAugment: expected a batch with an image, got {[*batch.present()]}")
        if "translation" in self.parts:
            refuse_labels(batch, "DiffAugment")
        size = Sizes.of((image.shape[-2], image.shape[-1]), batch.size, u)
        own = None if batch.size is None else own_pixels(image, batch.size)[:, 0]
        drawn = self.drawn(u, size)

        def apply(rows: slice) -> Tensor:
            x = as_float(image[rows])
            low, high = (0.0, 1.0) if image.dtype == torch.uint8 else self.value_range
            half, middle = (high - low) / 2, (high + low) / 2
            y, part = (x - middle) / half, size.rows(rows)
            numbers = {name: value[rows].to(x.dtype) for name, value in drawn.items()}
            for step in self.parts:
                if step == "color":
                    y = _colored(y, numbers, None if own is None else own[rows])
                elif step == "translation":
                    y = _translated(y, numbers["translation"], part)
                else:
                    y = y * ~_inside(numbers["cutout"], part)
            return as_dtype(pick(chosen[rows], y * half + middle, x), image.dtype)

        return batch.replace(image=in_chunks(image, apply))


def _colored(x: Tensor, numbers: dict[str, Tensor], own: Tensor | None) -> Tensor:
    brightness, saturation, contrast = (
        numbers[name][:, None, None, None] for name in ("brightness", "saturation", "contrast")
    )
    x = x + brightness
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * saturation
    mean = _mean(x, own)[:, None, None, None]
    return mean + (x - mean) * contrast


def _mean(x: Tensor, own: Tensor | None) -> Tensor:
    """(B,) means over each image's own pixels, in the dtype of the images."""
    if own is None:
        return x.mean((1, 2, 3))
    return (x.mean(1) * own).sum((1, 2)) / own.sum((1, 2)).clamp(min=1)


def _translated(x: Tensor, shift: Tensor, size: Sizes) -> Tensor:
    """Moved by whole pixels (B, 2) x, y; 0 where nothing comes from."""
    b, c, h, w = x.shape
    columns = torch.arange(w, device=x.device) - shift[:, :1]
    rows = torch.arange(h, device=x.device) - shift[:, 1:]
    inside_x = (columns >= 0) & (columns < size.width[:, None])
    inside_y = (rows >= 0) & (rows < size.height[:, None])
    rows, columns = (at.clamp(0, n - 1).to(torch.int64) for at, n in ((rows, h), (columns, w)))
    moved = x.gather(2, rows[:, None, :, None].expand(b, c, h, w))
    moved = moved.gather(3, columns[:, None, None, :].expand(b, c, h, w))
    return moved * (inside_y[:, None, :, None] & inside_x[:, None, None, :])


def _inside(corners: Tensor, size: Sizes) -> Tensor:
    """(B, 1, H, W) bool: pixels inside rectangles (B, 4) left, top, right, bottom."""
    rows, columns = (torch.arange(n, device=corners.device) for n in size.canvas)
    left, top, right, bottom = corners[:, :, None].unbind(1)
    across, down = (columns >= left) & (columns < right), (rows >= top) & (rows < bottom)
    return (down[:, :, None] & across[:, None, :])[:, None]
