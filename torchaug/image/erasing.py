"""Erasing: parts of an image replaced. The kinds `Erasing` and `Holes`, and random erasing."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments
from torchaug.image.pointwise import Frame, Planes, Pointwise
from torchaug.keys import integers, noise, uniform
from torchaug.transform import Call, Folding, Params, Sizes, Transform, canvas_of

Fill = float | Sequence[float] | Literal["random", "random_uniform"]


class Erasing(Pointwise):
    """A transform that replaces some pixels, in the image and, where asked for, in the masks; boxes and keypoints stay.

    A concrete one writes `drawn` and `hidden`, and lets its `uniforms` end with two for the seeds of random values.
    """

    values: tuple[float, ...] = (0.0,)
    """What constant pixels get, one number or one per channel."""
    paint: Literal["const", "rand", "pixel"] = "const"
    """Constant, one random colour for each hole, or another for each pixel."""

    def __init__(self, fill_mask: int | None, p: float) -> None:
        super().__init__(p)
        self.fill_mask = arguments.optional_whole(fill_mask, type(self).__name__, "fill_mask")
        self._on_masks = None if fill_mask is None else EraseMasks(self, fill_mask)

    @abstractmethod
    def hidden(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> Tensor:
        """Which pixels are replaced, (B, 1 or C, H, W) bool, in images of `shape` (C, H, W)."""

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"chosen": chosen, "seeds": u[:, -2:]} | self.drawn(u, size)

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        shape = (len(planes), planes[0].shape[1], planes[0].shape[2])
        hidden = self.hidden(numbers, shape) & numbers["chosen"][:, None, None, None]
        values = self._colours(numbers, shape)
        return [
            torch.where(which, value.to(plane.dtype) if isinstance(value, Tensor) else value, plane)
            for which, value, plane in zip(hidden.expand(-1, shape[0], -1, -1).unbind(1), values, planes, strict=True)
        ]

    def _colours(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> Sequence[Tensor | float]:
        """What each channel's pixels get where they are replaced."""
        if self.paint == "pixel":
            return self.spread(noise(numbers["seeds"], shape)).unbind(1)
        return arguments.colored(self.values, shape[0], type(self).__name__, self._called)

    _called = "fill"
    """How the constructor calls the values."""

    def spread(self, field: Tensor) -> Tensor:
        """Random values from standard normal ones: uniform in [0, 1)."""
        return 0.5 * (1 + torch.erf(field * math.sqrt(0.5)))

    def _set_fill(self, fill: Fill) -> None:
        """Take values in [0, 1] or the name of a way to draw them."""
        if isinstance(fill, str):
            if fill not in ("random", "random_uniform"):
                raise ValueError(
                    f"{type(self).__name__}: fill must be a number in [0, 1], one per channel, 'random' or "
                    f"'random_uniform', got {fill!r}"
                )
            self.paint = "pixel" if fill == "random" else "rand"
            self.fill: tuple[float, ...] | str = fill
        else:
            self.fill = self.values = arguments.fill(fill, type(self).__name__)

    def leaves(self) -> list[Transform]:
        return [self] if self._on_masks is None else [self, self._on_masks]

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        return super().route(u, chosen) * len(self.leaves())

    def play(self, batch: Batch, params: Params) -> Batch:
        if not self.acts:
            return batch
        calls = self.route(params.u, params.u.new_ones(len(params.u), dtype=torch.bool))
        for leaf, call in zip(self.leaves(), calls, strict=True):
            batch = leaf.run(Folding()).play(batch, [call])
        return batch


class EraseMasks(Transform):
    """What an `Erasing` does to the masks: the same pixels get one class. It follows the erasing as a step of its own.

    Args:
        erasing: whose draws it shares.
        fill_mask: the class number.
    """

    uniforms = 0

    def __init__(self, erasing: Erasing, fill_mask: int) -> None:
        super().__init__()
        self._erasing = (erasing,)  # in a tuple, or each module would be the other's child
        self.fill_mask = fill_mask

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        canvas = canvas_of(batch)
        if batch.mask is None or canvas is None:
            return batch
        (erasing,) = self._erasing
        numbers = erasing.numbers(u, chosen, Sizes.of(canvas, batch.size, u))
        hidden = erasing.hidden(numbers, (1, *canvas)) & chosen[:, None, None, None]
        return batch.replace(mask=torch.where(hidden, batch.mask.new_full((), self.fill_mask), batch.mask))


class Holes(Erasing):
    """An erasing of rectangles: `drawn` gives top, left, height and width, (B,) or (B, N) whole pixels as float.

    Holes beyond the number drawn for a sample have no height. Later ones lie on top.
    """

    def hidden(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> Tensor:
        rows, columns = self._sides(numbers, shape)
        if rows.shape[1] <= 4:
            return reduce(torch.logical_or, self._each(rows, columns))[:, None]
        touching = torch.matmul(rows.mT.to(torch.float32), columns.to(torch.float32))  # how many holes lie on a pixel
        return touching[:, None] > 0.5

    def _sides(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Which rows (B, N, H) and columns (B, N, W) each hole covers."""
        sides = (numbers[name] for name in ("top", "left", "height", "width"))
        top, left, height, width = (s[..., None] if s.ndim == 2 else s[:, None, None] for s in sides)
        rows, columns = (torch.arange(n, device=top.device) for n in shape[1:])
        return (rows >= top) & (rows < top + height), (columns >= left) & (columns < left + width)

    @staticmethod
    def _each(rows: Tensor, columns: Tensor) -> list[Tensor]:
        """(B, H, W) of each hole."""
        return [r[:, :, None] & c[:, None, :] for r, c in zip(rows.unbind(1), columns.unbind(1), strict=True)]

    def _colours(self, numbers: dict[str, Tensor], shape: tuple[int, int, int]) -> Sequence[Tensor | float]:
        if self.paint != "rand":
            return super()._colours(numbers, shape)
        rows, columns = self._sides(numbers, shape)
        colours = self.spread(noise(numbers["seeds"], (rows.shape[1], shape[0])))[..., None, None]
        planes = colours[:, 0]
        for i, hole in enumerate(self._each(rows, columns)):
            planes = torch.where(hole[:, None], colours[:, i], planes)
        return planes.unbind(1)


class RandomErasing(Holes):
    """Replace random rectangles, as torchvision's and timm's transforms of this name (Zhong et al., 2017).

    Args:
        p: chance per sample.
        scale: range of the rectangle's area, as a share of the image's (of all rectangles together, where `count` is
            more than 1, as timm has it).
        ratio: range of its height over its width; uniform in the logarithm.
        value: one value, or one per channel, of images in [0, 1] (or as they are after Normalize); "random" is
            torchvision's name for the mode "pixel".
        mode: "const" for `value`; "rand" for one standard normal number per rectangle and channel; "pixel" for one per
            pixel.
        count: rectangles, or a range (low, high), each number as likely.
        fill_mask: class number that the masks get there; None leaves them as they are.

    Boxes and keypoints stay.

    Parameters per sample: top, left, height and width in whole pixels; height 0 where ten tries found none that fits.

    >>> RandomErasing(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    tries = 10
    _called = "value"

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Sequence[float] | Literal["random"] = 0.0,
        mode: Literal["const", "rand", "pixel"] = "const",
        count: int | Sequence[int] = 1,
        fill_mask: int | None = None,
    ) -> None:
        super().__init__(fill_mask, p)
        self.scale = arguments.between(scale, "RandomErasing", "scale", 0, 1)
        self.ratio = arguments.between(ratio, "RandomErasing", "ratio", 0)
        if value != "random" and not arguments.finite(value):
            raise ValueError(f"RandomErasing: value must be a number, one per channel, or 'random', got {value!r}")
        self.mode = arguments.one_of(mode, "RandomErasing", "mode", ("const", "rand", "pixel"))
        self.paint = "pixel" if value == "random" else mode
        self.value: tuple[float, ...] | str = value if isinstance(value, str) else tuple(arguments.finite(value))
        if not isinstance(self.value, str):
            self.values = self.value
        self.count = arguments.whole_range(count, "RandomErasing", "count", 1)
        self.uniforms = self.count[1] * (2 * self.tries + 2) + 3

    def spread(self, field: Tensor) -> Tensor:
        return field

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        most = self.count[1]
        count = integers(u[:, -3], self.count[0], most + 1)[:, None]
        full_height, full_width = size.height[:, None, None], size.width[:, None, None]
        areas, ratios, tops, lefts = u[:, :-3].split([most * self.tries, most * self.tries, most, most], 1)
        area = uniform(areas.unflatten(1, (most, -1)), *self.scale) * (full_height * full_width) / count[:, :, None]
        ratio = torch.exp(uniform(ratios.unflatten(1, (most, -1)), *(math.log(r) for r in self.ratio)))
        heights, widths = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()  # (B, N, tries)
        fits = (heights < full_height) & (widths < full_width)
        first = fits.to(torch.int64).argmax(2, keepdim=True)
        found = fits.gather(2, first)[:, :, 0] & (torch.arange(most, device=u.device) < count)
        height = torch.where(found, heights.gather(2, first)[:, :, 0], 0)
        width = torch.where(found, widths.gather(2, first)[:, :, 0], 0)
        top = (tops * (full_height[:, 0] - height + 1)).floor()
        left = (lefts * (full_width[:, 0] - width + 1)).floor()
        drawn = {"top": top, "left": left, "height": height, "width": width}
        return drawn if most > 1 else {name: value[:, 0] for name, value in drawn.items()}
