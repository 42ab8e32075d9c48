"""Displacements: elastic fields, grids and splines, the same for images, masks, boxes and keypoints."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.axes import Interpolation
from torchaug.image.filters import blurred, gaussian
from torchaug.image.path import Numbers
from torchaug.image.warp import Warp
from torchaug.keys import noise, normal, uniform
from torchaug.transform import Sizes

Pair = tuple[Tensor, Tensor]
FAR = 4.0
"""Where the image goes from -1 to 1, a plate bends no further than to here: points that are sought stay finite."""


class ElasticTransform(Warp):
    """Move each pixel by a smooth random field, as torchvision's transform of this name.

    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis"
    (2003). The field is uniform noise in [-1, 1], blurred, times alpha / 2 pixels. It is a function of the sample's key
    and the place, the same on every device.

    Args:
        alpha: strength, one number or (x, y): before the blur pixels move by at most half of it.
        sigma: standard deviation of the blur in pixels, one number or (x, y); 0 blurs nothing. As in torchvision the
            field of each axis is blurred with both, by a kernel of 8 sigma + 1 pixels of its own axis.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    >>> ElasticTransform()(torch.rand(4, 3, 48, 48)).shape
    torch.Size([4, 3, 48, 48])
    """

    dense = True
    uniforms = 2

    def __init__(
        self,
        alpha: float | Sequence[float] = 50.0,
        sigma: float | Sequence[float] = 5.0,
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.alpha = arguments.two(alpha, "ElasticTransform", "alpha")
        self.sigma = arguments.two(sigma, "ElasticTransform", "sigma")
        self.interpolation = arguments.interpolation(interpolation, "ElasticTransform")
        self.fill = arguments.fill(fill, "ElasticTransform")

    def numbers(self, u: Tensor, size: Sizes) -> Numbers:
        raw = torch.erf(noise(u, (2, *size.canvas)) / math.sqrt(2))  # uniform in (-1, 1): normal noise's own ranks
        fields = [self._blurred(raw[:, axis, None], size, self.sigma[axis]) * (self.alpha[axis] / 2) for axis in (0, 1)]
        return {"field": torch.cat(fields, 1)}  # (B, 2, H, W), x and y, in pixels

    def _blurred(self, field: Tensor, size: Sizes, sigma: float) -> Tensor:
        if sigma == 0:
            return field
        taps = int(8 * sigma + 1) | 1
        across, down = (gaussian(torch.full_like(size.width, max(s, 1e-3)), taps) for s in self.sigma)
        return blurred(field, size, down, across)

    def displacement(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        field = numbers["field"]
        height, width = field.shape[-2:]
        at_x, at_y = _inside(x, size.width), _inside(y, size.height)
        grid = torch.stack([at_x * (2 / width) - 1, at_y * (2 / height) - 1], -1)[:, None].to(field.dtype)
        read = F.grid_sample(field, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]
        return read[:, 0].to(x.dtype), read[:, 1].to(y.dtype)


class GridDistortion(Warp):
    """Stretch and squeeze the columns and the rows of a grid, each by its own factor, as albumentations' of this name.

    The map is piecewise linear and continuous, and its inverse exact. (albumentations' moves pixels by up to one where
    nothing is to be distorted, at each line of the grid.)

    Args:
        num_steps: columns and rows of the grid.
        distort_limit: range of what is added to the factor 1 of each column and row, or its largest size either way;
            between -1 and 1.
        normalized: scale the factors so that the whole image stays in view.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: columns and rows, the input's place of each line of the grid, (num_steps + 1) in pixels.

    >>> GridDistortion(p=1.0)(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    def __init__(
        self,
        num_steps: int = 5,
        distort_limit: float | Sequence[float] = 0.3,
        normalized: bool = True,
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.distort_limit = arguments.symmetric(distort_limit, "GridDistortion", "distort_limit")
        if max(map(abs, self.distort_limit)) >= 1:
            raise ValueError(f"GridDistortion: distort_limit must be between -1 and 1, got {distort_limit!r}")
        self.num_steps = arguments.whole(num_steps, "GridDistortion", "num_steps", 1)
        self.normalized, self.uniforms = normalized, 2 * num_steps
        self.interpolation = arguments.interpolation(interpolation, "GridDistortion")
        self.fill = arguments.fill(fill, "GridDistortion")

    def drawn(self, u: Tensor, size: Sizes) -> Numbers:
        factors = 1 + uniform(u, *self.distort_limit)
        return {
            name: self._lines(part, length)
            for name, part, length in zip(
                ("columns", "rows"), factors.split(self.num_steps, 1), (size.width, size.height), strict=True
            )
        }

    def _lines(self, factors: Tensor, length: Tensor) -> Tensor:
        ends = factors.cumsum(1) / (factors.sum(1, keepdim=True) if self.normalized else self.num_steps)
        return torch.cat([torch.zeros_like(ends[:, :1]), ends], 1) * length[:, None]

    def displacement(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        columns, rows = numbers["columns"], numbers["rows"]
        return (
            _between(x, self._even(size.width), columns) - x,
            _between(y, self._even(size.height), rows) - y,
        )

    def back(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        columns, rows = numbers["columns"], numbers["rows"]
        return (
            _between(x, columns, self._even(size.width)) - x,
            _between(y, rows, self._even(size.height)) - y,
        )

    def _even(self, length: Tensor) -> Tensor:
        lines = torch.arange(self.num_steps + 1, device=length.device, dtype=length.dtype)
        return lines * (length / self.num_steps)[:, None]


class PiecewiseAffine(Warp):
    """Move the points of a grid by normal noise, and what is between by the two triangles of each cell.

    The law of the points is albumentations'; its pixels are a mean of all points instead.

    Args:
        scale: range of three standard deviations of the noise, as a share of the image's shorter side, or one number
            for both ends; each sample draws its own.
        nb_rows: points along the height, at least 2; the outermost lie on the image's edge and do not leave it.
        nb_cols: points along the width.
        absolute_scale: take `scale` in pixels.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: points, where the input of each grid point is: (2, nb_rows, nb_cols), x and y in pixels.

    >>> PiecewiseAffine(p=1.0)(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    def __init__(
        self,
        scale: float | Sequence[float] = (0.03, 0.05),
        nb_rows: int = 4,
        nb_cols: int = 4,
        absolute_scale: bool = False,
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.scale = arguments.within(scale, "PiecewiseAffine", "scale", 0)
        self.nb_rows = arguments.whole(nb_rows, "PiecewiseAffine", "nb_rows", 2)
        self.nb_cols = arguments.whole(nb_cols, "PiecewiseAffine", "nb_cols", 2)
        self.absolute_scale = absolute_scale
        self.uniforms = 1 + 2 * nb_rows * nb_cols
        self.interpolation = arguments.interpolation(interpolation, "PiecewiseAffine")
        self.fill = arguments.fill(fill, "PiecewiseAffine")

    def drawn(self, u: Tensor, size: Sizes) -> Numbers:
        spread = uniform(u[:, 0], *self.scale) / 3
        if not self.absolute_scale:
            spread = spread * torch.minimum(size.height, size.width)
        shift = normal(u[:, 1:]).unflatten(1, (2, self.nb_rows, self.nb_cols)) * spread[:, None, None, None]
        limit = torch.stack([size.width, size.height], 1)[:, :, None, None]
        return {"points": torch.minimum((self._grid(size) + shift).clamp(min=0), limit)}

    def _grid(self, size: Sizes) -> Tensor:
        """(B, 2, rows, columns): the points of the even grid."""
        shape = (len(size.width), self.nb_rows, self.nb_cols)
        x, y = (
            torch.arange(n, device=size.width.device, dtype=size.width.dtype) * (length / (n - 1))[:, None]
            for n, length in ((self.nb_cols, size.width), (self.nb_rows, size.height))
        )
        return torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], 1)

    def displacement(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        shift = (numbers["points"] - self._grid(size)).to(x.dtype).flatten(2)  # (B, 2, rows * columns)
        column, a = self._cell(x, size.width, self.nb_cols)
        row, b = self._cell(y, size.height, self.nb_rows)
        first = row * self.nb_cols + column
        places = (first, first + 1, first + self.nb_cols, first + self.nb_cols + 1)
        p00, p10, p01, p11 = (shift.gather(2, place[:, None].expand(-1, 2, -1)) for place in places)
        a, b = a[:, None], b[:, None]
        upper = p00 + a * (p10 - p00) + b * (p01 - p00)
        lower = p11 + (1 - a) * (p01 - p11) + (1 - b) * (p10 - p11)
        dx, dy = torch.where(a + b <= 1, upper, lower).unbind(1)
        return dx, dy

    @staticmethod
    def _cell(at: Tensor, length: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The cell that holds each coordinate, int64, and where in it, from 0 to 1; those outside count as on the edge."""
        place = (at * ((count - 1) / length)[:, None].to(at.dtype)).clamp(0, count - 1)
        cell = place.floor().clamp(max=count - 2)
        return cell.to(torch.int64), place - cell


class ThinPlateSpline(Warp):
    """Bend the image as a thin metal plate whose pins were moved, as kornia's RandomThinPlateSpline.

    Bookstein, "Principal Warps" (1989); solved in float64. The pins are the corners and the centre of the image; the
    kernels sit where they were, as in kornia.

    Args:
        scale: largest way of a pin along each axis, where the image goes from -1 to 1; uniform.
        interpolation: "bilinear", "nearest" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: pins, where the five go to: (5, 2), x and y from -1 to 1.

    >>> ThinPlateSpline(p=1.0)(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    PINS = ((-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0), (0.0, 0.0))
    uniforms = 2 * len(PINS)

    def __init__(
        self,
        scale: float = 0.2,
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.scale = arguments.number(scale, "ThinPlateSpline", "scale", 0)
        self.interpolation = arguments.interpolation(interpolation, "ThinPlateSpline")
        self.fill = arguments.fill(fill, "ThinPlateSpline")

    def drawn(self, u: Tensor, size: Sizes) -> Numbers:
        shift = uniform(u, -self.scale, self.scale).unflatten(1, (len(self.PINS), 2))
        return {"pins": self._pins(u) + shift}

    def _pins(self, like: Tensor) -> Tensor:
        """(5, 2) where the pins were."""
        return torch.stack([like.new_full((), v) for pin in self.PINS for v in pin]).view(-1, 2)

    def numbers(self, u: Tensor, size: Sizes) -> Numbers:
        """The spline's weights: (B, 5 + 3, 2), those of the kernels and of 1, x, y."""
        moved, pins = self.drawn(u, size)["pins"].double(), self._pins(u).double()
        kernels = _thin_plate((moved[:, :, None] - pins).square().sum(-1))  # (B, 5, 5)
        linear = torch.cat([torch.ones_like(moved[..., :1]), moved], -1)  # (B, 5, 3)
        corner = linear.new_zeros(len(linear), 3, 3)
        system = torch.cat([torch.cat([kernels, linear], 2), torch.cat([linear.mT, corner], 2)], 1)
        wanted = torch.cat([pins.expand_as(moved), corner[..., :2]], 1)
        weights = torch.linalg.solve_ex(system, wanted).result
        straight = torch.eye(len(pins) + 3, device=u.device, dtype=weights.dtype)[:, -2:]
        solved = weights.isfinite().flatten(1).all(1)[:, None, None]  # pins on a line have no spline
        return {"weights": torch.where(solved, weights, straight).to(u.dtype)}

    def displacement(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> Pair:
        weights = numbers["weights"].to(x.dtype)[..., None]  # (B, 8, 2, 1)
        half_x, half_y = (side[:, None].to(x.dtype) / 2 for side in (size.width, size.height))
        at_x, at_y = (x / half_x - 1).clamp(-FAR, FAR), (y / half_y - 1).clamp(-FAR, FAR)
        count = len(self.PINS)
        in_x, in_y = (
            weights[:, count, i] + weights[:, count + 1, i] * at_x + weights[:, count + 2, i] * at_y for i in (0, 1)
        )
        for i, (pin_x, pin_y) in enumerate(self.PINS):
            kernel = _thin_plate((at_x - pin_x).square() + (at_y - pin_y).square())
            in_x, in_y = in_x + weights[:, i, 0] * kernel, in_y + weights[:, i, 1] * kernel
        return (in_x - at_x) * half_x, (in_y - at_y) * half_y


def _inside(at: Tensor, length: Tensor) -> Tensor:
    """Coordinates (B, P) brought between the centres of the outermost pixels."""
    return torch.minimum(at.clamp(min=0.5), (length[:, None] - 0.5).to(at.dtype))


def _between(at: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """The broken line through (places, values), both rising, (B, n), at `at` (B, P); its ends go on straight."""
    places, values = places.to(at.dtype).contiguous(), values.to(at.dtype)
    left = (torch.searchsorted(places, at.contiguous(), right=True) - 1).clamp(0, places.shape[1] - 2)
    x0, x1, y0, y1 = (t.gather(1, i) for t in (places, values) for i in (left, left + 1))
    return y0 + (at - x0) * ((y1 - y0) / (x1 - x0))


def _thin_plate(square: Tensor) -> Tensor:
    """r^2 log r of a squared distance."""
    return 0.5 * torch.xlogy(square, square)
