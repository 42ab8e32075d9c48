"""Flips, crops and resizes: each writes its matrix, the kind does the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments, matrices
from torchaug.image.axes import Interpolation, PaddingMode
from torchaug.image.warp import Geometric
from torchaug.keys import uniform
from torchaug.transform import Sizes


class RandomHorizontalFlip(Geometric):
    """Mirror left and right, as torchvision's transform of this name.

    Args:
        p: chance per sample.
        keypoint_swap: the order of the keypoints in a mirrored image, as a list of indices: where the left and the
            right hand are keypoints 4 and 5, `[0, 1, 2, 3, 5, 4]`.
        mask_swap: pairs of mask classes that a mirrored image exchanges: `[(2, 3)]`.

    >>> x = torch.arange(6.0).view(1, 1, 2, 3)
    >>> torch.equal(RandomHorizontalFlip(p=1.0)(x), x.flip(-1))
    True
    """

    moves = "pixels"

    def __init__(
        self,
        p: float = 0.5,
        keypoint_swap: Sequence[int] | None = None,
        mask_swap: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(p)
        self.keypoint_swap = arguments.order(keypoint_swap, type(self).__name__, "keypoint_swap")
        self.mask_swap = arguments.pairs(mask_swap, type(self).__name__, "mask_swap")

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        one = torch.ones_like(size.width)
        return matrices.aligned(one, 0 * one, -one, size.width)


class RandomVerticalFlip(Geometric):
    """Mirror top and bottom, as torchvision's transform of this name.

    Args:
        p: chance per sample.
        keypoint_swap: the order of the keypoints in a mirrored image, as a list of indices: where the left and the
            right hand are keypoints 4 and 5, `[0, 1, 2, 3, 5, 4]`.
        mask_swap: pairs of mask classes that a mirrored image exchanges: `[(2, 3)]`.

    >>> x = torch.arange(6.0).view(1, 1, 2, 3)
    >>> torch.equal(RandomVerticalFlip(p=1.0)(x), x.flip(-2))
    True
    """

    moves = "pixels"

    def __init__(
        self,
        p: float = 0.5,
        keypoint_swap: Sequence[int] | None = None,
        mask_swap: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(p)
        self.keypoint_swap = arguments.order(keypoint_swap, type(self).__name__, "keypoint_swap")
        self.mask_swap = arguments.pairs(mask_swap, type(self).__name__, "mask_swap")

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        one = torch.ones_like(size.height)
        return matrices.aligned(-one, size.height, one, 0 * one)


class Resize(Geometric):
    """Resize to a fixed size, as torchvision's transform of this name.

    Args:
        size: (height, width), or the length of the shorter side, which keeps the proportions.
        interpolation: "bilinear", "bicubic", or "nearest" (the pixel under the centre, torchvision's NEAREST_EXACT).
        max_size: with a single `size`, the longest that the longer side may become.
        antialias: average over what an output pixel covers where the image shrinks.

    >>> Resize(16)(torch.rand(2, 3, 40, 60)).shape
    torch.Size([2, 3, 16, 24])
    """

    moves = "axes"
    always = True
    resizes = True

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: Interpolation = "bilinear",
        max_size: int | None = None,
        antialias: bool = True,
    ) -> None:
        super().__init__()
        pair = arguments.pair(size, "Resize", "size")
        self.size = size if isinstance(size, int) else pair
        if max_size is not None and not isinstance(size, int):
            raise ValueError(f"Resize: max_size needs a single size, got {max_size!r} for {size!r}")
        self.max_size = arguments.optional_whole(max_size, "Resize", "max_size", pair[0] + 1)
        self.antialias = antialias
        self.interpolation = arguments.interpolation(interpolation, "Resize")

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        if not isinstance(self.size, int):
            return self.size
        short, long = self.size, int(self.size * max(canvas) / min(canvas))
        if self.max_size is not None and long > self.max_size:
            short, long = int(self.max_size * short / long), self.max_size
        return (short, long) if canvas[0] <= canvas[1] else (long, short)

    def check(self, size: Sizes, ragged: bool) -> None:
        if ragged and isinstance(self.size, int):
            raise ValueError(
                f"Resize: images of different sizes need size=(height, width), got size={self.size}, "
                "which would give each its own shape"
            )

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        height, width = self.canvas_after(size.canvas)
        zero = torch.zeros_like(size.height)
        return matrices.aligned(size.height / height, zero, size.width / width, zero)

    def shrinks(self, canvas: tuple[int, int]) -> float:
        return _shrinks(canvas, self.canvas_after(canvas))


class CenterCrop(Geometric):
    """Cut out the centre, as torchvision's transform of this name; a smaller image is padded with the
    fill of the steps it folds with, 0 by itself.

    Args:
        size: (height, width), or one number for both.

    >>> CenterCrop(4)(torch.rand(2, 3, 6, 8)).shape
    torch.Size([2, 3, 4, 4])
    """

    moves = "pixels"
    always = True
    resizes = True

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size = arguments.pair(size, "CenterCrop", "size")

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        return self.size

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return _cut(_centred(size.height, self.size[0]), _centred(size.width, self.size[1]))


class RandomCrop(Geometric):
    """Cut out a random place, as torchvision's transform of this name. In evaluation: the centre.

    Args:
        size: (height, width), or one number for both.
        padding: added before cropping: one number, (x, y) or (left, top, right, bottom), in pixels.
        pad_if_needed: pad an image smaller than `size` on both sides by what it lacks.
        fill: of the padding, in [0, 1]: one value, or one per channel.
        padding_mode: "constant" (the fill), "edge", "reflect" or "symmetric".

    Raises:
        ValueError: for an image smaller than `size` after padding, without `pad_if_needed`.

    Parameters per sample: top and left in pixels, uniform.

    >>> RandomCrop(32, padding=4)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    moves = "pixels"
    uniforms = 2
    resizes = True

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float | Sequence[float] = 0.0,
        padding_mode: PaddingMode = "constant",
    ) -> None:
        super().__init__()
        self.padding_mode = arguments.padding_mode(padding_mode, "RandomCrop")
        self.size = arguments.pair(size, "RandomCrop", "size")
        self.padding = arguments.padding(padding, "RandomCrop")
        self.pad_if_needed = pad_if_needed
        self.fill = arguments.fill(fill, "RandomCrop")

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        return self.size

    def check(self, size: Sizes, ragged: bool) -> None:
        left, top, right, bottom = self.padding
        padded = size.canvas[0] + top + bottom, size.canvas[1] + left + right
        if not self.pad_if_needed and (padded[0] < self.size[0] or padded[1] < self.size[1]):
            raise ValueError(
                f"RandomCrop: image must be at least {self.size[0]} x {self.size[1]} or pad_if_needed=True, got "
                f"{size.canvas[0]} x {size.canvas[1]} and padding {self.padding}"
            )

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        left, top, right, bottom = self.padding
        return {
            "top": _position(u[:, 0], size.height, self.size[0], top, bottom),
            "left": _position(u[:, 1], size.width, self.size[1], left, right),
        }

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return _cut(**self.drawn(u, size))

    def rest(self, size: Sizes) -> Tensor:
        return _cut(_centred(size.height, self.size[0]), _centred(size.width, self.size[1]))


class RandomResizedCrop(Geometric):
    """Cut out a random part of random proportions and resize it, as torchvision's transform of this name.

    Szegedy et al., "Going Deeper with Convolutions" (2014). Each sample's own part is resampled with an antialiased
    filter. In evaluation: the largest centred part with the proportions of `size`.

    Args:
        size: (height, width) of what comes out, or one number for both.
        scale: range of the part's area, as a share of the image's.
        ratio: range of the part's width over its height; uniform in the logarithm.
        interpolation: "bilinear", "bicubic" or "nearest".
        antialias: average over what an output pixel covers where the part shrinks.

    Parameters per sample: top, left, height and width of the part in whole pixels; ten tries, then the centre.

    >>> RandomResizedCrop(24)(torch.rand(8, 3, 32, 40)).shape
    torch.Size([8, 3, 24, 24])
    """

    moves = "axes"
    resizes = True
    tries = 10
    uniforms = 2 * tries + 2

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: Interpolation = "bilinear",
        antialias: bool = True,
    ) -> None:
        super().__init__()
        self.size = arguments.pair(size, "RandomResizedCrop", "size")
        self.scale = arguments.between(scale, "RandomResizedCrop", "scale", 0, 1)
        self.ratio = arguments.between(ratio, "RandomResizedCrop", "ratio", 0)
        self.interpolation = arguments.interpolation(interpolation, "RandomResizedCrop")
        self.antialias = antialias

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        return self.size

    def shrinks(self, canvas: tuple[int, int]) -> float:
        return _shrinks(canvas, self.size)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        full_height, full_width = size.height[:, None], size.width[:, None]
        area = uniform(u[:, : self.tries], *self.scale) * (full_height * full_width)  # (B, tries)
        ratio = torch.exp(uniform(u[:, self.tries : -2], *(math.log(r) for r in self.ratio)))
        widths, heights = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (widths > 0) & (widths <= full_width) & (heights > 0) & (heights <= full_height)
        first = fits.to(torch.int64).argmax(1, keepdim=True)  # the first that fits, else the first of all
        centre_height, centre_width = self._centre(size, *self.ratio)
        any_fits = fits.gather(1, first)[:, 0]
        height = torch.where(any_fits, heights.gather(1, first)[:, 0], centre_height)
        width = torch.where(any_fits, widths.gather(1, first)[:, 0], centre_width)
        top = torch.where(
            any_fits, (u[:, -2] * (size.height - height + 1)).floor(), ((size.height - height) / 2).floor()
        )
        left = torch.where(any_fits, (u[:, -1] * (size.width - width + 1)).floor(), ((size.width - width) / 2).floor())
        return {"top": top, "left": left, "height": height, "width": width}

    @staticmethod
    def _centre(size: Sizes, least: float, most: float) -> tuple[Tensor, Tensor]:
        """Height and width of the largest part whose width over height lies in [least, most]."""
        height = torch.minimum(size.height, (size.width / least).round())
        width = torch.minimum(size.width, (size.height * most).round())
        return height, width

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return self._part(**self.drawn(u, size))

    def rest(self, size: Sizes) -> Tensor:
        ratio = self.size[1] / self.size[0]
        height, width = self._centre(size, ratio, ratio)
        top, left = ((size.height - height) / 2).floor(), ((size.width - width) / 2).floor()
        return self._part(top, left, height, width)

    def _part(self, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
        return matrices.aligned(height / self.size[0], top, width / self.size[1], left)


def _shrinks(before: tuple[int, int], after: tuple[int, int]) -> float:
    return max(1.0, before[0] / after[0], before[1] / after[1])


def _centred(length: Tensor, crop: int) -> Tensor:
    """Start (B,) of a centred crop along one axis, by torchvision's rounding; negative where the image is shorter."""
    spare = length - crop
    return torch.where(spare >= 0, (spare / 2).round(), (spare / 2).ceil())


def _cut(top: Tensor, left: Tensor) -> Tensor:
    """The matrix of a crop."""
    one = torch.ones_like(top)
    return matrices.aligned(one, top, one, left)


def _position(u: Tensor, length: Tensor, crop: int, before: int, after: int) -> Tensor:
    """Start of a random crop along one axis, in the coordinates of the unpadded image."""
    spare = length + (before + after - crop)
    return (u * (spare.abs() + 1)).floor() - before - (-spare).clamp(min=0)
