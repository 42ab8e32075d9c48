"""Pads: borders around images, whole pixels only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from torchaug.image import arguments, matrices
from torchaug.image.axes import PaddingMode
from torchaug.image.warp import Geometric
from torchaug.keys import uniform
from torchaug.transform import Canvas, Sizes

Side = TypeVar("Side", int, Tensor)
Position = Literal["center", "top_left", "top_right", "bottom_left", "bottom_right"]
EPSILON = 1e-6
"""Added before rounding down, so that 49 * (20 / 49) is 20 pixels."""


class Pad(Geometric):
    """Add a border, as torchvision's transform of this name.

    Args:
        padding: pixels added: one number, (x, y) or (left, top, right, bottom).
        fill: of the border, in [0, 1]: one value, or one per channel; masks get 0.
        padding_mode: "constant" (the fill), "edge", "reflect" or "symmetric".

    >>> Pad((1, 2), fill=1.0)(torch.zeros(1, 1, 3, 3)).sum((2, 3)).item()
    26.0
    """

    moves = "pixels"
    always = True

    def __init__(
        self,
        padding: int | Sequence[int],
        fill: float | Sequence[float] = 0.0,
        padding_mode: PaddingMode = "constant",
    ) -> None:
        super().__init__()
        self.padding = arguments.padding(padding, "Pad")
        self.fill = arguments.fill(fill, "Pad")
        self.padding_mode = arguments.padding_mode(padding_mode, "Pad")

    def canvas_after(self, canvas: Canvas) -> Canvas:
        left, top, right, bottom = self.padding
        return canvas[0] + top + bottom, canvas[1] + left + right

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        left, top, right, bottom = self.padding
        return Sizes(size.height + (top + bottom), size.width + (left + right), self.canvas_after(size.canvas))

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return moved(torch.full_like(size.height, -self.padding[1]), torch.full_like(size.width, -self.padding[0]))


class PadIfNeeded(Geometric):
    """Add a border to images that are too small, as albumentations' transform of this name.

    Args:
        min_height: least height that comes out; None where the divisor says it.
        min_width: likewise.
        pad_height_divisor: instead of `min_height`: the height becomes the next multiple of it.
        pad_width_divisor: likewise.
        position: of the image in the padded one: "center", "top_left", "top_right", "bottom_left" or "bottom_right".
        fill: of the border, in [0, 1]: one value, or one per channel; masks get 0.
        padding_mode: "constant" (the fill), "edge", "reflect" or "symmetric".

    >>> PadIfNeeded(None, None, pad_height_divisor=16, pad_width_divisor=16)(torch.rand(2, 3, 20, 32)).shape
    torch.Size([2, 3, 32, 32])
    """

    moves = "pixels"
    always = True

    def __init__(
        self,
        min_height: int | None = 1024,
        min_width: int | None = 1024,
        pad_height_divisor: int | None = None,
        pad_width_divisor: int | None = None,
        position: Position = "center",
        fill: float | Sequence[float] = 0.0,
        padding_mode: PaddingMode = "constant",
    ) -> None:
        super().__init__()
        for axis, least, divisor in (
            ("height", min_height, pad_height_divisor),
            ("width", min_width, pad_width_divisor),
        ):
            given = [n for n in (least, divisor) if n is not None]
            if len(given) != 1 or not arguments.whole_numbers(given[0]) or given[0] < 1:
                raise ValueError(
                    f"PadIfNeeded: one of min_{axis} and pad_{axis}_divisor must be a whole number of at least 1, got "
                    f"{least!r} and {divisor!r}; set the other to None"
                )
        self.min_height, self.min_width = min_height, min_width
        self.pad_height_divisor, self.pad_width_divisor = pad_height_divisor, pad_width_divisor
        self.position: Position = arguments.one_of(position, "PadIfNeeded", "position", get_args(Position))
        self.fill = arguments.fill(fill, "PadIfNeeded")
        self.padding_mode = arguments.padding_mode(padding_mode, "PadIfNeeded")

    def canvas_after(self, canvas: Canvas) -> Canvas:
        height = _enough(canvas[0], self.min_height, self.pad_height_divisor)
        return height, _enough(canvas[1], self.min_width, self.pad_width_divisor)

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        height = _enough(size.height, self.min_height, self.pad_height_divisor)
        width = _enough(size.width, self.min_width, self.pad_width_divisor)
        return Sizes(height, width, self.canvas_after(size.canvas))

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        height, width = self.sizes(u, u, size)[:2]
        above, before = height - size.height, width - size.width
        if self.position == "center":
            return moved(-(above / 2).floor(), -(before / 2).floor())
        return moved(-above * ("bottom" in self.position), -before * ("right" in self.position))


class CropOrPad(Geometric):
    """Cut out the centre, or pad about it, axis by axis: every image comes out with one size and nothing is resampled.

    Args:
        size: (height, width), or one number for both.
        fill: of the border, in [0, 1]: one value, or one per channel; masks get 0.
        padding_mode: "constant" (the fill), "edge", "reflect" or "symmetric".

    >>> CropOrPad((4, 10))(torch.rand(2, 3, 6, 8)).shape
    torch.Size([2, 3, 4, 10])
    """

    moves = "pixels"
    always = True
    resizes = True

    def __init__(
        self, size: int | Sequence[int], fill: float | Sequence[float] = 0.0, padding_mode: PaddingMode = "constant"
    ) -> None:
        super().__init__()
        self.size = arguments.pair(size, "CropOrPad", "size")
        self.fill = arguments.fill(fill, "CropOrPad")
        self.padding_mode = arguments.padding_mode(padding_mode, "CropOrPad")

    def canvas_after(self, canvas: Canvas) -> Canvas:
        return self.size

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return moved(centred(size.height, self.size[0]), centred(size.width, self.size[1]))


class RandomZoomOut(Geometric):
    """Place each image somewhere on a larger canvas of its proportions, as torchvision's transform of this name.

    Liu et al., "SSD: Single Shot MultiBox Detector" (2015). Images come out in different sizes, on a canvas that holds
    the largest; `Batch.size` has their sizes.

    Args:
        fill: of the canvas, in [0, 1]: one value, or one per channel; masks get 0.
        side_range: range of its sides, as multiples of the image's, at least 1.
        p: chance per sample.

    Parameters per sample: height and width of the canvas, top and left of the image on it, in pixels.

    >>> RandomZoomOut(side_range=(1, 2), p=1.0)(torch.rand(4, 3, 16, 20)).shape
    torch.Size([4, 3, 32, 40])
    """

    moves = "pixels"
    uniforms = 3
    ragged = True

    def __init__(
        self,
        fill: float | Sequence[float] = 0.0,
        side_range: Sequence[float] = (1.0, 4.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.fill = arguments.fill(fill, "RandomZoomOut")
        self.side_range = arguments.within(side_range, "RandomZoomOut", "side_range", 1)

    def canvas_after(self, canvas: Canvas) -> Canvas:
        height, width = (int(side * self.side_range[1] + EPSILON) for side in canvas)
        return height, width

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        factor = uniform(u[:, 0].double(), *self.side_range)
        height, width = ((side * factor + EPSILON).floor() for side in (size.height, size.width))
        top, left = ((height - size.height) * u[:, 1]).floor(), ((width - size.width) * u[:, 2]).floor()
        drawn = {"height": height, "width": width, "top": top, "left": left}
        return {name: value.to(u.dtype) for name, value in drawn.items()}

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        drawn = self.drawn(u, size)
        height = torch.where(chosen, drawn["height"], size.height)
        return Sizes(height, torch.where(chosen, drawn["width"], size.width), self.canvas_after(size.canvas))

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        drawn = self.drawn(u, size)
        return moved(-drawn["top"], -drawn["left"])


def _enough(side: Side, least: int | None, divisor: int | None) -> Side:
    """At least `least`, and a multiple of `divisor`."""
    side = side.clamp(min=least or 1) if isinstance(side, Tensor) else max(side, least or 1)
    return -(-side // (divisor or 1)) * (divisor or 1)


def moved(top: Tensor, left: Tensor) -> Tensor:
    """The matrix that shows the input from row `top` and column `left` on, (B,) each."""
    one = torch.ones_like(top)
    return matrices.aligned(one, top, one, left)


def centred(length: Tensor, crop: int) -> Tensor:
    """Start (B,) of a centred crop along one axis, by torchvision's rounding; negative where the image is shorter."""
    spare = length - crop
    return torch.where(spare >= 0, (spare / 2).round(), (spare / 2).ceil())
