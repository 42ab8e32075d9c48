"""Plasma: fractal fields, and the brightness, contrast and shadows that follow them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.color import unit
from torchaug.image.pointwise import Frame, Planes, Pointwise, pick_planes
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes


def plasma(seeds: Tensor, roughness: Tensor, size: Sizes, channels: int) -> Tensor:
    """Plasma fractals in [0, 1] by the diamond-square algorithm (Fournier, Fussell and Carpenter, 1982).

    The grid of a sample has 2^a + 1 rows and 2^b + 1 columns and covers its own pixels. The corners of its square cells of
    2^min(a, b) pixels are uniform draws. Each level halves the cells: a new node is (1 - s) times the mean of its
    neighbours plus s times a draw, with s = 0 at the first level and roughness^k at level k after it. That is
    `kornia.contrib.diamond_square`, given the same draws. A draw is a function of the sample's seeds and the place.

    Args:
        seeds: (B, 2) uniforms.
        roughness: (B,) in [0, 1].
        size: of the images.
        channels: independent fields per sample.

    Returns:
        (B, channels, H, W) float32.
    """
    rows, columns = (max(1, math.ceil(math.log2(max(n, 3) - 1))) for n in size.canvas)
    draws = noise(seeds, (channels, 2**rows + 1, 2**columns + 1))
    draws = 0.5 * (1 + torch.erf(draws * math.sqrt(0.5)))
    down, across = _exponent(size.height, rows), _exponent(size.width, columns)
    own = torch.minimum(down, across)
    step = 2 ** min(rows, columns)
    field = draws[..., ::step, ::step]
    while step > 1:
        step //= 2
        level = own - 1 - math.log2(step)  # below 0 where the sample's own cells are smaller: its nodes are draws
        share = torch.where(level > 0, roughness ** level.clamp(min=0), (level < 0).to(roughness.dtype))
        ends = (2**down / (2 * step), 2**across / (2 * step))
        field = _refined(field, draws[..., ::step, ::step], share[:, None, None, None], *ends)
    return field[..., : size.canvas[0], : size.canvas[1]]


def _exponent(length: Tensor, limit: int) -> Tensor:
    """(B,) the smallest a >= 1 with 2^a + 1 >= length, at most `limit`: exact, as a logarithm may not be."""
    larger = [(length - 1 > 2**a).to(length.dtype) for a in range(1, limit)]
    return sum(larger, torch.ones_like(length))


def _refined(field: Tensor, draws: Tensor, share: Tensor, end_row: Tensor, end_column: Tensor) -> Tensor:
    """One level of diamond-square: (B, C, h, w) -> (B, C, 2h - 1, 2w - 1).

    A node on the first or last row or column of the sample's own grid (`end_row`, `end_column` (B,)) has three neighbours.
    """
    keep = 1 - share
    across, down = field[..., :, :-1] + field[..., :, 1:], field[..., :-1, :] + field[..., 1:, :]
    centre = keep * (across[..., :-1, :] + across[..., 1:, :]) / 4 + share * draws[..., 1::2, 1::2]
    flat = _beside(centre, -2, end_row)
    horizontal = keep * (across + flat[0]) / flat[1] + share * draws[..., ::2, 1::2]
    flat = _beside(centre, -1, end_column)
    vertical = keep * (down + flat[0]) / flat[1] + share * draws[..., 1::2, ::2]
    finer = torch.empty_like(draws)
    finer[..., ::2, ::2], finer[..., 1::2, 1::2] = field, centre
    finer[..., ::2, 1::2], finer[..., 1::2, ::2] = horizontal, vertical
    return finer


def _beside(centre: Tensor, axis: int, end: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the one or two centres beside each edge along an axis, and the count of all its neighbours."""
    count = centre.shape[axis]
    at = torch.arange(count + 1, device=centre.device)
    shape = (-1, 1, count + 1, 1) if axis == -2 else (-1, 1, 1, count + 1)
    before, after = (at > 0).expand(len(end), -1).reshape(shape), (at < end[:, None]).reshape(shape)
    first, last = centre.narrow(axis, 0, 1), centre.narrow(axis, count - 1, 1)
    total = torch.cat([first, centre], axis) * before + torch.cat([centre, last], axis) * after
    return total, 2 + before.to(centre.dtype) + after.to(centre.dtype)


class _Plasma(Pointwise):
    """A step that acts by a plasma fractal; two numbers seed it, one says how rough it is."""

    def __init__(self, roughness: float | Sequence[float], p: float) -> None:
        super().__init__(p)
        self.roughness = arguments.within(roughness, type(self).__name__, "roughness", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"seeds": u[:, :2], "roughness": uniform(u[:, 2], *self.roughness)}

    @abstractmethod
    def act(self, plane: Tensor, field: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        """A plane (B, H, W) in [0, 1] changed by a field in [0, 1]; clamped afterwards."""

    fields: int | None = None
    """Independent fields per sample; None for one per channel."""

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        count = self.fields or len(planes)
        fields = plasma(numbers["seeds"], numbers["roughness"], frame.size, count).to(planes[0].dtype).unbind(1)
        fields = fields * (len(planes) // count)
        changed = [unit(self.act(unit(x), field, numbers)) for x, field in zip(planes, fields, strict=True)]
        return pick_planes(numbers["chosen"], changed, planes)


class RandomPlasmaBrightness(_Plasma):
    """Brighten and darken by a plasma fractal, another for each channel, as kornia's transform of this name.

    x + intensity (2 f - 1) with a fractal f in [0, 1] (`plasma`; Nicolaou et al., "TorMentor", 2022).

    Args:
        roughness: range of how much each finer level of the fractal adds, in [0, 1], or one number.
        intensity: range of the largest change, of at least 0, or one number.
        p: chance per sample.

    >>> RandomPlasmaBrightness(p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 4

    def __init__(
        self,
        roughness: float | tuple[float, float] = (0.1, 0.7),
        intensity: float | tuple[float, float] = (0.0, 1.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(roughness, p)
        self.intensity = arguments.within(intensity, "RandomPlasmaBrightness", "intensity", 0.0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return super().drawn(u, size) | {"intensity": uniform(u[:, 3], *self.intensity)}

    def act(self, plane: Tensor, field: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        return plane + (2 * field - 1) * numbers["intensity"][:, None, None]


class RandomPlasmaContrast(_Plasma):
    """Change contrast by a plasma fractal, another for each channel, as kornia's transform of this name.

    0.5 + 4 f (x - 0.5) with a fractal f in [0, 1] (`plasma`).

    Args:
        roughness: range of how much each finer level of the fractal adds, in [0, 1], or one number.
        p: chance per sample.

    >>> RandomPlasmaContrast(p=1.0)(torch.full((1, 3, 8, 8), 0.5)).unique().tolist()
    [0.5]
    """

    uniforms = 3

    def __init__(self, roughness: float | tuple[float, float] = (0.1, 0.7), p: float = 0.5) -> None:
        super().__init__(roughness, p)

    def act(self, plane: Tensor, field: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        return (plane - 0.5) * (4 * field) + 0.5


class RandomPlasmaShadow(_Plasma):
    """Darken where a plasma fractal is low, all channels alike, as kornia's transform of this name.

    Args:
        roughness: range of how much each finer level of the fractal adds, in [0, 1], or one number.
        shade_intensity: range of what is added in the shade, in [-1, 0], or one number.
        shade_quantity: range of the bound below which the fractal gives shade, in [0, 1], or one number.
        p: chance per sample.

    >>> RandomPlasmaShadow(shade_intensity=-0.25, shade_quantity=1.0, p=1.0)(torch.ones(1, 1, 8, 8)).mean().item()
    0.75
    """

    uniforms = 5
    fields = 1

    def __init__(
        self,
        roughness: float | tuple[float, float] = (0.1, 0.7),
        shade_intensity: float | tuple[float, float] = (-1.0, 0.0),
        shade_quantity: float | tuple[float, float] = (0.0, 1.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(roughness, p)
        self.shade_intensity = arguments.within(shade_intensity, "RandomPlasmaShadow", "shade_intensity", -1.0, 0.0)
        self.shade_quantity = arguments.within(shade_quantity, "RandomPlasmaShadow", "shade_quantity", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        intensity, quantity = uniform(u[:, 3], *self.shade_intensity), uniform(u[:, 4], *self.shade_quantity)
        return super().drawn(u, size) | {"shade_intensity": intensity, "shade_quantity": quantity}

    def act(self, plane: Tensor, field: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        shaded = field < numbers["shade_quantity"][:, None, None]
        return plane + shaded * numbers["shade_intensity"][:, None, None].to(plane.dtype)
