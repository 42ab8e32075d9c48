"""Resizes by a factor of each image's own."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments, matrices
from torchaug.image.axes import Interpolation
from torchaug.image.pads import EPSILON
from torchaug.image.warp import Geometric
from torchaug.keys import integers, uniform
from torchaug.transform import Canvas, Sizes


class _Rescaled(Geometric):
    """A resize by a factor of each image's own, its proportions kept to a pixel; a concrete one says the factor."""

    moves = "axes"
    ragged = True
    rounds = False
    """Whether sides are rounded to the nearest whole pixel, ties to even; otherwise down."""

    def __init__(self, interpolation: Interpolation, antialias: bool) -> None:
        super().__init__()
        self.interpolation = arguments.interpolation(interpolation, type(self).__name__)
        self.antialias = antialias

    @abstractmethod
    def resting(self, size: Sizes) -> Tensor:
        """The factor in evaluation, (B,) float64."""

    @abstractmethod
    def factors(self, canvas: Canvas) -> tuple[float, float]:
        """The smallest and the largest factor for images that fill this canvas."""

    def factor(self, u: Tensor, size: Sizes) -> Tensor:
        """The factor, (B,) float64."""
        return self.resting(size)

    @property
    def acts(self) -> bool:
        return True

    def check(self, size: Sizes, ragged: bool) -> None:
        if ragged:
            raise ValueError(
                f"{type(self).__name__}: images of different sizes may come out in any size; give them one first with "
                "Resize((height, width)), or fit each into a frame with ScaleJitter((width, height), (1, 1))"
            )

    def canvas_after(self, canvas: Canvas) -> Canvas:
        height, width = (self._whole(side * self.factors(canvas)[1]) for side in canvas)
        return height, width

    def shrinks(self, canvas: Canvas) -> float:
        return max(1.0, *(side / self._whole(side * self.factors(canvas)[0]) for side in canvas))

    def _whole(self, side: float) -> int:
        return max(1, round(side) if self.rounds else math.floor(side + EPSILON))

    def _sides(self, size: Sizes, factor: Tensor) -> tuple[Tensor, Tensor]:
        """Height and width that come out."""
        sides = (size.height.double() * factor, size.width.double() * factor)
        whole = [side.round() if self.rounds else (side + EPSILON).floor() for side in sides]
        height, width = (side.clamp(min=1).to(size.height.dtype) for side in whole)
        return height, width

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        height, width = self._sides(size, self.factor(u, size))
        return {"height": height, "width": width}

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        factor = torch.where(chosen, self.factor(u, size), self.resting(size))
        return Sizes(*self._sides(size, factor), self.canvas_after(size.canvas))

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return _resized(size, *self._sides(size, self.factor(u, size)))

    def rest(self, size: Sizes) -> Tensor:
        return _resized(size, *self._sides(size, self.resting(size)))


class LongestMaxSize(_Rescaled):
    """Resize so that the longer side has a given length, as albumentations' transform of this name.

    Args:
        max_size: length of the longer side.
        interpolation: "bilinear", "nearest" or "bicubic".
        antialias: average over what an output pixel covers where the image shrinks.

    >>> LongestMaxSize(30)(torch.rand(2, 3, 40, 60)).shape
    torch.Size([2, 3, 20, 30])
    """

    always = True
    ragged = False
    rounds = True

    def __init__(self, max_size: int, interpolation: Interpolation = "bilinear", antialias: bool = True) -> None:
        super().__init__(interpolation, antialias)
        self.max_size = arguments.whole(max_size, "LongestMaxSize", "max_size", 1)

    def resting(self, size: Sizes) -> Tensor:
        return self.max_size / torch.maximum(size.height, size.width).double()

    def factors(self, canvas: Canvas) -> tuple[float, float]:
        return self.max_size / max(canvas), self.max_size / max(canvas)


class SmallestMaxSize(_Rescaled):
    """Resize so that the shorter side has a given length, as albumentations' transform of this name.

    Args:
        max_size: length of the shorter side.
        interpolation: "bilinear", "nearest" or "bicubic".
        antialias: average over what an output pixel covers where the image shrinks.

    >>> SmallestMaxSize(30)(torch.rand(2, 3, 40, 60)).shape
    torch.Size([2, 3, 30, 45])
    """

    always = True
    ragged = False
    rounds = True

    def __init__(self, max_size: int, interpolation: Interpolation = "bilinear", antialias: bool = True) -> None:
        super().__init__(interpolation, antialias)
        self.max_size = arguments.whole(max_size, "SmallestMaxSize", "max_size", 1)

    def resting(self, size: Sizes) -> Tensor:
        return self.max_size / torch.minimum(size.height, size.width).double()

    def factors(self, canvas: Canvas) -> tuple[float, float]:
        return self.max_size / min(canvas), self.max_size / min(canvas)


class RandomShortestSize(_Rescaled):
    """Resize so that the shorter side has one of some lengths, as torchvision's transform of this name.

    Images come out in different sizes, on a canvas that holds the largest; `Batch.size` has their sizes. In
    evaluation: the largest length.

    Args:
        min_size: lengths of the shorter side, each as likely as the others, or one.
        max_size: longest that the longer side may become.
        interpolation: "bilinear", "nearest" or "bicubic".
        antialias: average over what an output pixel covers where the image shrinks.

    Parameters per sample: height and width in pixels.

    >>> RandomShortestSize([8, 16, 24])(torch.rand(4, 3, 20, 30)).shape
    torch.Size([4, 3, 24, 36])
    """

    uniforms = 1

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int | None = None,
        interpolation: Interpolation = "bilinear",
        antialias: bool = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.min_size = arguments.whole_numbers(min_size)
        if not self.min_size or min(self.min_size) < 1:
            raise ValueError(
                f"RandomShortestSize: min_size must be one whole number of at least 1, or several, got {min_size!r}"
            )
        self.max_size = arguments.optional_whole(max_size, "RandomShortestSize", "max_size", 1)

    def factor(self, u: Tensor, size: Sizes) -> Tensor:
        options = torch.stack([size.height.new_full((), length) for length in self.min_size])
        return self._limited(options[integers(u[:, 0], 0, len(self.min_size))], size)

    def resting(self, size: Sizes) -> Tensor:
        return self._limited(torch.full_like(size.height, max(self.min_size)), size)

    def _limited(self, shortest: Tensor, size: Sizes) -> Tensor:
        factor = shortest.double() / torch.minimum(size.height, size.width).double()
        if self.max_size is None:
            return factor
        return torch.minimum(factor, self.max_size / torch.maximum(size.height, size.width).double())

    def factors(self, canvas: Canvas) -> tuple[float, float]:
        most = math.inf if self.max_size is None else self.max_size / max(canvas)
        low, high = min(self.min_size) / min(canvas), max(self.min_size) / min(canvas)
        return min(low, most), min(high, most)


class RandomResize(_Rescaled):
    """Resize so that the shorter side has a length from a range, as torchvision's transform of this name.

    Images come out in different sizes, on a canvas that holds the largest; `Batch.size` has their sizes. In
    evaluation: the middle of the range.

    Args:
        min_size: least length of the shorter side.
        max_size: the length that it stays below.
        interpolation: "bilinear", "nearest" or "bicubic".
        antialias: average over what an output pixel covers where the image shrinks.

    Parameters per sample: height and width in pixels.

    >>> RandomResize(8, 17)(torch.rand(4, 3, 20, 30)).shape
    torch.Size([4, 3, 16, 24])
    """

    uniforms = 1

    def __init__(
        self, min_size: int, max_size: int, interpolation: Interpolation = "bilinear", antialias: bool = True
    ) -> None:
        super().__init__(interpolation, antialias)
        self.min_size = arguments.whole(min_size, "RandomResize", "min_size", 1)
        self.max_size = arguments.whole(max_size, "RandomResize", "max_size", 1)
        if self.min_size >= self.max_size:
            raise ValueError(f"RandomResize: max_size must be above min_size, got {max_size} and {min_size}")

    def factor(self, u: Tensor, size: Sizes) -> Tensor:
        return integers(u[:, 0], self.min_size, self.max_size) / torch.minimum(size.height, size.width).double()

    def resting(self, size: Sizes) -> Tensor:
        return (self.min_size + self.max_size) // 2 / torch.minimum(size.height, size.width).double()

    def factors(self, canvas: Canvas) -> tuple[float, float]:
        return self.min_size / min(canvas), (self.max_size - 1) / min(canvas)


class ScaleJitter(_Rescaled):
    """Fit each image into a frame, times a random factor: "large scale jittering", as torchvision's of this name.

    Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation" (2021). Images of
    any sizes go in; they come out in different sizes, on a canvas that holds the largest; `Batch.size` has their sizes.
    In evaluation: the factor 1, or the nearest in the range.

    Args:
        target_size: of the frame, width before height as torchvision reads it.
        scale_range: range of the factor.
        interpolation: "bilinear", "nearest" or "bicubic".
        antialias: average over what an output pixel covers where the image shrinks.

    Parameters per sample: height and width in pixels.

    >>> ScaleJitter((30, 20), scale_range=(0.5, 1.5))(torch.rand(4, 3, 40, 40)).shape
    torch.Size([4, 3, 30, 45])
    """

    uniforms = 1

    def __init__(
        self,
        target_size: tuple[int, int],
        scale_range: Sequence[float] = (0.1, 2.0),
        interpolation: Interpolation = "bilinear",
        antialias: bool = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.target_size = arguments.pair(target_size, "ScaleJitter", "target_size")
        self.scale_range = arguments.between(scale_range, "ScaleJitter", "scale_range", 0)

    def check(self, size: Sizes, ragged: bool) -> None:
        """Images of any sizes fit."""

    def factor(self, u: Tensor, size: Sizes) -> Tensor:
        return self._fitting(size) * uniform(u[:, 0].double(), *self.scale_range)

    def resting(self, size: Sizes) -> Tensor:
        low, high = self.scale_range
        return self._fitting(size) * min(max(1.0, low), high)

    def _fitting(self, size: Sizes) -> Tensor:
        width, height = self.target_size
        return torch.minimum(height / size.height.double(), width / size.width.double())

    def factors(self, canvas: Canvas) -> tuple[float, float]:
        fitting = min(self.target_size[1] / canvas[0], self.target_size[0] / canvas[1])
        return fitting * self.scale_range[0], fitting * self.scale_range[1]

    def canvas_after(self, canvas: Canvas) -> Canvas:
        width, height = (self._whole(side * self.scale_range[1]) for side in self.target_size)
        return height, width


def _resized(size: Sizes, height: Tensor, width: Tensor) -> Tensor:
    """The matrix of a resize to height and width, (B,) each."""
    zero = torch.zeros_like(height)
    return matrices.aligned(size.height / height, zero, size.width / width, zero)
