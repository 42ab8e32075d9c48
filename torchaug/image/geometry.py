"""Flips, crops, resizes, rotations and affine maps: each writes its matrix, the kind does the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments, matrices
from torchaug.image.resample import Interpolation, PaddingMode
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
        if max_size is not None and (not isinstance(size, int) or max_size <= size):
            raise ValueError(f"Resize: max_size needs a single size and must be above it, got {max_size} for {size}")
        self.max_size, self.antialias = max_size, antialias
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
        self.ratio = arguments.between(ratio, "RandomResizedCrop", "ratio", 0, math.inf)
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


class RandomRotation(Geometric):
    """Turn each image about its centre, counter-clockwise, as torchvision's transform of this name.

    Args:
        degrees: range (low, high) of the angle, or its largest size either way; uniform.
        interpolation: "nearest" (torchvision's default), "bicubic", or "bilinear", which folds with bilinear crops and
            resizes.
        expand: make each image large enough to hold all of the turned one: images come out in different sizes, padded to
            the largest that `degrees` allows.
        center: x, y in pixels that stays where it is; the image's centre by default.
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    >>> RandomRotation(30)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 1

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Interpolation = "nearest",
        expand: bool = False,
        center: tuple[float, float] | None = None,
        fill: float | Sequence[float] = 0.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.degrees = arguments.symmetric(degrees, "RandomRotation", "degrees")
        self.interpolation = arguments.interpolation(interpolation, "RandomRotation")
        if expand and center is not None:
            raise ValueError(f"RandomRotation: expand=True turns about the centre of the image, got center={center}")
        self.expand = self.ragged = expand
        self.center, self.fill = center, arguments.fill(fill, "RandomRotation")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"angle": uniform(u[:, 0], *self.degrees)}

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        if not self.expand:
            return canvas
        turned = [_turned(canvas, angle) for angle in _extremes(canvas, *self.degrees)]
        return max(canvas[0], *(t[0] for t in turned)), max(canvas[1], *(t[1] for t in turned))

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        if not self.expand:
            return size
        height, width = self._expanded(torch.deg2rad(self.drawn(u, size)["angle"]), size)
        height, width = torch.where(chosen, height, size.height), torch.where(chosen, width, size.width)
        return Sizes(height, width, self.canvas_after(size.canvas))

    @staticmethod
    def _expanded(angle: Tensor, size: Sizes) -> tuple[Tensor, Tensor]:
        """Height and width that hold the turned image, by PIL's rounding, with torchvision's tolerance of 1e-4."""
        cos, sin = angle.cos().abs(), angle.sin().abs()
        made = []
        for own, other in ((size.height, size.width), (size.width, size.height)):
            reach = (cos * own + sin * other) / 2
            ends = (((own / 2 + sign * reach) * 1e4).trunc() * 1e-4 for sign in (1, -1))
            made.append(next(ends).ceil() - next(ends).floor())
        return made[0], made[1]

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        angle = torch.deg2rad(self.drawn(u, size)["angle"])
        cos, sin = angle.cos(), angle.sin()
        linear = torch.stack([cos, -sin, sin, cos], 1).unflatten(1, (2, 2))
        turn = matrices.about(linear, *_center(self.center, size))
        if not self.expand:
            return turn
        height, width = self._expanded(angle, size)
        one = torch.ones_like(angle)
        return turn @ matrices.aligned(one, (size.height - height) / 2, one, (size.width - width) / 2)


def _turned(canvas: tuple[int, int], degrees: float) -> tuple[int, int]:
    """Whole pixels that hold a canvas turned by an angle, at most one more than needed."""
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    height, width = canvas
    return math.ceil(cos * height + sin * width - 1e-3) + 1, math.ceil(cos * width + sin * height - 1e-3) + 1


def _extremes(canvas: tuple[int, int], low: float, high: float) -> list[float]:
    """The ends of a range of angles, and those inside it at which a turned canvas is tallest or widest."""
    peaks = [math.degrees(math.atan2(a, b)) for a, b in (canvas, canvas[::-1])]
    inside = [sign * peak + 180 * k for peak in peaks for sign in (1, -1) for k in range(-3, 4)]
    return [low, high, *(angle for angle in inside if low < angle < high)]


class RandomAffine(Geometric):
    """Turn, move, scale and shear each image about its centre, as torchvision's transform of this name.

    Args:
        degrees: range (low, high) of the clockwise angle, or its largest size either way.
        translate: largest shift (across, down) as shares of width and height; drawn in whole pixels.
        scale: range of the factor.
        shear: largest shear along x in degrees, or a range of it, or ranges along x and y (four numbers).
        interpolation: "nearest" (torchvision's default), "bicubic", or "bilinear", which folds with bilinear crops and
            resizes.
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        center: x, y in pixels that stays where it is; the image's centre by default.
        p: chance per sample.

    >>> RandomAffine(15, translate=(0.1, 0.1), scale=(0.8, 1.2))(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 6

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] = 0.0,
        center: tuple[float, float] | None = None,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.degrees = arguments.symmetric(degrees, "RandomAffine", "degrees")
        self.translate = (0.0, 0.0) if translate is None else tuple(map(float, translate))
        if len(self.translate) != 2 or not all(0 <= t <= 1 for t in self.translate):
            raise ValueError(f"RandomAffine: translate must be two shares in [0, 1], got {translate}")
        self.scale = (1.0, 1.0) if scale is None else arguments.between(scale, "RandomAffine", "scale", 0, math.inf)
        self.shear = _shears(shear)
        self.interpolation = arguments.interpolation(interpolation, "RandomAffine")
        self.center, self.fill = center, arguments.fill(fill, "RandomAffine")

    def shrinks(self, canvas: tuple[int, int]) -> float:
        return max(1.0, 1 / self.scale[0])

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        across, down = (share * length for share, length in zip(self.translate, (size.width, size.height), strict=True))
        return {
            "angle": uniform(u[:, 0], *self.degrees),
            "translate_x": uniform(u[:, 1], -across, across).round(),
            "translate_y": uniform(u[:, 2], -down, down).round(),
            "scale": uniform(u[:, 3], *self.scale),
            "shear_x": uniform(u[:, 4], *self.shear[:2]),
            "shear_y": uniform(u[:, 5], *self.shear[2:]),
        }

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        values = self.drawn(u, size)
        angle, shear_x, shear_y = (torch.deg2rad(values[name]) for name in ("angle", "shear_x", "shear_y"))
        # forward: scale * rotation * shear_y * shear_x about the centre, then the shift; this is its inverse
        turn, lean = (angle - shear_y).cos() / shear_y.cos(), shear_x.tan()
        drop = (angle - shear_y).sin() / shear_y.cos()
        a, b, c, d = turn, -turn * lean - angle.sin(), drop, -drop * lean + angle.cos()
        linear = torch.stack([d, -b, -c, a], 1).unflatten(1, (2, 2)) / values["scale"][:, None, None]
        one = torch.ones_like(angle)
        back = matrices.aligned(one, -values["translate_y"], one, -values["translate_x"])
        return matrices.about(linear, *_center(self.center, size)) @ back


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


def _center(center: tuple[float, float] | None, size: Sizes) -> tuple[Tensor, Tensor]:
    if center is None:
        return size.width / 2, size.height / 2
    return torch.full_like(size.width, center[0]), torch.full_like(size.height, center[1])


def _shears(shear: float | Sequence[float] | None) -> tuple[float, float, float, float]:
    """Ranges along x and y."""
    if shear is None:
        return 0.0, 0.0, 0.0, 0.0
    if isinstance(shear, Sequence) and len(shear) == 4:
        x, y = (arguments.symmetric(pair, "RandomAffine", "shear") for pair in (shear[:2], shear[2:]))
        return *x, *y
    return *arguments.symmetric(shear, "RandomAffine", "shear"), 0.0, 0.0
