"""Transforms that move the voxels of volumes (B, C, D, H, W); masks (B, N, D, H, W) follow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from torchaug.keys import integers, uniform
from torchaug.transform import Sizes
from torchaug.volume import arguments, matrices, resample
from torchaug.volume.arguments import Fill, Shape
from torchaug.volume.kinds import Geometric


class RandomFlip(Geometric):
    """Mirror each volume along randomly drawn axes.

    Args:
        axes: which may be mirrored; 0 is depth, 1 height, 2 width.
        flip_probability: chance of each of these axes, independent.
        p: chance per sample.

    Parameters per sample: flipped, for depth, height and width.

    >>> RandomFlip(axes=2, flip_probability=1.0)(torch.arange(3.0).view(1, 1, 1, 1, 3)).flatten()
    tensor([2., 1., 0.])
    """

    uniforms = 3
    whole = True

    def __init__(self, axes: int | Sequence[int] = (0, 1, 2), flip_probability: float = 0.5, p: float = 1.0) -> None:
        super().__init__(p)
        self.axes = arguments.axes(axes, "RandomFlip")
        self.flip_probability = arguments.number(flip_probability, "RandomFlip", "flip_probability", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        flips = [(u[:, a] < self.flip_probability) & (a in self.axes) for a in range(3)]
        return {"flipped": torch.stack(flips, 1)}

    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        return matrices.about(_mirror(drawn["flipped"], like), *[matrices.middle(shape, like)] * 2)


class CubicSymmetry(Geometric):
    """Turn and mirror each volume by one of the 48 symmetries of the cube, each as likely as the others.

    Where not all axes have the same length only those are used that keep the shape: 16 where two axes are equally
    long, 8 mirrorings where none are.

    Args:
        p: chance per sample.

    Parameters per sample: permutation, a number from 0 to 5 (its remainder counts where fewer keep the shape), in the
    order of itertools.permutations: output axis i shows input axis permutation[i]; flipped, which output axes run
    backwards.

    >>> CubicSymmetry()(torch.rand(2, 1, 8, 8, 8)).shape
    torch.Size([2, 1, 8, 8, 8])
    """

    uniforms = 4
    whole = True

    def __init__(self, p: float = 1.0) -> None:
        super().__init__(p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"permutation": integers(u[:, 0], 0, 6), "flipped": u[:, 1:] < 0.5}

    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        allowed = [order for order in permutations(range(3)) if [shape[a] for a in order] == list(shape)]
        which = drawn["permutation"] % len(allowed)  # 1, 2 and 6 divide 6: all stay equally likely
        # column i of the matrix says which input axis moves with output axis i
        columns = [
            torch.stack([sum((which == n for n, o in enumerate(allowed) if o[i] == a), which < 0) for a in range(3)], 1)
            for i in range(3)
        ]
        order = torch.stack(columns, 2).to(like.dtype)
        return matrices.about(
            matrices.product(order, _mirror(drawn["flipped"], like)), *[matrices.middle(shape, like)] * 2
        )


def _mirror(flipped: Tensor, like: Tensor) -> Tensor:
    """(B, 3, 3) diagonal matrices, -1 where `flipped` (B, 3)."""
    return torch.diag_embed(1 - 2 * flipped.to(like.dtype))


class RandomAffine(Geometric):
    """Scale, turn and shift each volume about its centre, with TorchIO's names (Perez-Garcia et al., 2021).

    Ranges are one number, (low, high) for each axis, or three pairs (or six numbers) for depth, height and width.

    Args:
        scales: factors; a number v stands for (1 - v, 1 + v). Above 1 the content grows.
        degrees: angles about the axes of depth, height and width; a number v stands for (-v, v). The rotation is
            R_z R_x R_y, as in ITK (`matrices.rotation`).
        translation: voxels; a number v stands for (-v, v).
        isotropic: one factor for all axes, drawn from the first range.
        fill: value outside the volume, or "minimum" for each sample's and channel's own least value; of [0, 1] for
            uint8 volumes.
        p: chance per sample.

    Parameters per sample: scales, degrees and translation, for depth, height and width each.

    >>> RandomAffine(degrees=15, translation=4)(torch.rand(2, 1, 16, 24, 24)).shape
    torch.Size([2, 1, 16, 24, 24])
    """

    uniforms = 9

    def __init__(
        self,
        scales: Any = 0.1,
        degrees: Any = 10,
        translation: Any = 0,
        isotropic: bool = False,
        fill: Fill = "minimum",
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.scales = arguments.ranges(scales, "RandomAffine", "scales", around=1.0)
        if min(low for low, _ in self.scales) <= 0:
            raise ValueError(f"RandomAffine: scales must be above 0, or one number below 1, got {scales!r}")
        self.degrees = arguments.ranges(degrees, "RandomAffine", "degrees")
        self.translation = arguments.ranges(translation, "RandomAffine", "translation")
        self.isotropic, self.fill = isotropic, arguments.fill(fill, "RandomAffine")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        if self.isotropic:
            scales = uniform(u[:, :1], *self.scales[0]).expand(-1, 3)
        else:
            scales = matrices.per_axis(u[:, :3], self.scales)
        degrees = matrices.per_axis(u[:, 3:6], self.degrees)
        return {"scales": scales, "degrees": degrees, "translation": matrices.per_axis(u[:, 6:], self.translation)}

    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        return matrices.rigid(drawn["degrees"], drawn["translation"], shape, drawn["scales"])


class RandomElasticDeformation(Geometric):
    """Bend each volume by a cubic B-spline of random displacements at a coarse grid of control points.

    As in TorchIO, a grid of n control points along an axis spans the volume with n - 3 cells, one control point lies
    outside at each end. In a Compose it joins the matrices before it: one resampling.

    Args:
        num_control_points: of each axis, at least 4; one number or three.
        max_displacement: in voxels; each control point moves uniformly up to it either way. One number or three. The
            volume folds over itself where it exceeds half the distance between control points.
        locked_borders: 0: all control points move; 1: not those outside of the volume; 2: nor those on its faces.
        fill: value outside the volume, or "minimum" for each sample's and channel's own least value; of [0, 1] for
            uint8 volumes.
        p: chance per sample.

    Parameters per sample: displacement (3, *num_control_points) in voxels.

    >>> RandomElasticDeformation(max_displacement=3)(torch.rand(2, 1, 16, 24, 24)).shape
    torch.Size([2, 1, 16, 24, 24])
    """

    bends = True

    def __init__(
        self,
        num_control_points: int | Sequence[int] = 7,
        max_displacement: float | Sequence[float] = 7.5,
        locked_borders: int = 2,
        fill: Fill = "minimum",
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        who = "RandomElasticDeformation"
        self.num_control_points = arguments.shape(num_control_points, who, "num_control_points")
        self.max_displacement = arguments.three(max_displacement, who, "max_displacement")
        self.locked_borders = arguments.whole(locked_borders, who, "locked_borders", 0, 2)
        if min(self.num_control_points) < max(4, 2 * locked_borders + 1):
            raise ValueError(
                f"{who}: num_control_points must be at least {max(4, 2 * locked_borders + 1)} with "
                f"locked_borders={locked_borders}, got {num_control_points!r}"
            )
        self.fill = arguments.fill(fill, who)

    @property
    def uniforms(self) -> int:  # type: ignore[override]
        """Three for each control point that moves."""
        a, b, c = self._moving
        return 3 * a * b * c

    @property
    def _moving(self) -> Shape:
        a, b, c = (n - 2 * self.locked_borders for n in self.num_control_points)
        return a, b, c

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        inner = (2 * u - 1).view(-1, 3, *self._moving)
        scaled = torch.stack([inner[:, axis] * limit for axis, limit in enumerate(self.max_displacement)], 1)
        return {"displacement": torch.nn.functional.pad(scaled, [self.locked_borders] * 6)}

    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        return matrices.identity(len(like), like)

    def displacement(self, drawn: dict[str, Tensor], shape: Shape) -> Tensor:
        field = drawn["displacement"]
        for axis in (2, 1, 0):
            field = resample.along(field, _cubic(shape[axis], self.num_control_points[axis], field), axis)
        return field


def _cubic(length: int, count: int, like: Tensor) -> Tensor:
    """(length, count): the cubic B-spline of each control point at the centre of each voxel."""
    at = (torch.arange(length, device=like.device, dtype=like.dtype) + 0.5) * ((count - 3) / length)
    distance = (at[:, None] + 1 - torch.arange(count, device=like.device, dtype=like.dtype)).abs()
    near, far = 2 / 3 - distance**2 * (1 - distance / 2), (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)
