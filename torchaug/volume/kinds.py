"""The two kinds of transforms of volumes, and the runs that fold neighbours: geometry and intensity."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image.pointwise import pick
from torchaug.image.resample import as_dtype, as_float, in_chunks
from torchaug.transfer import any_of
from torchaug.transform import Call, Folding, Run, Sizes, Transform
from torchaug.volume import matrices, resample
from torchaug.volume.arguments import Fill, Shape
from torchaug.volume.resample import spatial


def volume_of(batch: Batch, step: Transform) -> Tensor:
    """The batch's volume, or an error that names the step."""
    if batch.volume is None:
        raise TypeError(
            f"{type(step).__name__}: expected a volume: a tensor (B, C, D, H, W), or a dict with 'volume', (C, D, H, W) "
            f"for one sample; got {[*batch.present()]}"
        )
    return batch.volume


def movable(batch: Batch, step: Transform) -> Tensor:
    """The batch's volume, where everything that belongs to it can follow a step that moves voxels."""
    if batch.boxes is not None or batch.keypoints is not None:
        raise TypeError(
            f"{type(step).__name__}: boxes and keypoints are those of images and cannot follow a volume; paint them into "
            "the mask"
        )
    return volume_of(batch, step)


def parameters(step: Transform, u: Tensor) -> dict[str, Tensor]:
    """What a step drew. Nothing that a volume's step draws depends on the volume's size: places are shares of it."""
    return step.drawn(u, Sizes.of((0, 0), None, u))


class Intensity(Transform):
    """A transform of a volume's values, which leaves every voxel in its place. A concrete one writes `values`.

    Neighbours share one conversion to float and back. uint8 volumes count as levels of [0, 1] and are clamped to it;
    floating point ones may have any range. Masks stay.
    """

    def numbers(self, u: Tensor) -> dict[str, Tensor]:
        """What `values` needs, (B, ...) each, from `u` (B, uniforms)."""
        return parameters(self, u)

    @abstractmethod
    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        """The transformed volumes, from float ones (B, C, D, H, W)."""

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype of what comes out, given that of what goes in."""
        return dtype

    def run(self, folding: Folding) -> Run:
        return IntensityRun([self])

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return IntensityRun([self]).apply(batch, [Call(u, chosen)])


class IntensityRun(Run):
    """Neighbouring steps on values: one conversion to float and back; on a CPU one volume after the other."""

    @property
    def intensities(self) -> list[Intensity]:
        """The steps, all of which act on values."""
        return self.steps  # type: ignore[return-value]

    def refuses(self, step: Transform) -> str | None:
        return None if isinstance(step, Intensity) else f"{type(step).__name__} does more than change a volume's values"

    def summary(self) -> str:
        return f"{len(self.steps)} steps on values, one conversion"

    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        volume = volume_of(batch, self.steps[0])
        dtype = volume.dtype
        for step in self.intensities:
            dtype = step.dtype_after(dtype)
        numbers = [step.numbers(u) for step, (u, _) in zip(self.intensities, calls, strict=True)]

        def apply(rows: slice) -> Tensor:
            values = as_float(volume[rows])
            for step, call, drawn in zip(self.intensities, calls, numbers, strict=True):
                chosen = call.chosen[rows]
                if len(values) and (step.always or any_of(chosen)):  # Fourier transforms refuse empty batches
                    changed = step.values(values, {name: value[rows] for name, value in drawn.items()})
                    values = changed if step.always else pick(chosen, changed, values)
            return as_dtype(values, dtype)

        return batch.replace(volume=in_chunks(volume, apply))


class Geometric(Transform):
    """A transform that moves voxels by a matrix; masks follow, by their nearest voxels. A concrete one writes `matrix`.

    Where it sets the output's shape it also writes `shape_after`, and `rest` for samples that are not chosen.
    """

    whole: bool = False
    """True where whole voxels move to whole voxels (flips, crops): then values stay as they are."""
    bends: bool = False
    """True where it also writes `displacement`."""
    fill: Fill | None = None
    """Value outside the volume; None where it never looks there."""

    @abstractmethod
    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        """Output voxel -> input voxel, (B, 4, 4) as `matrices` has them, of the dtype of `like` (B, ...)."""

    def displacement(self, drawn: dict[str, Tensor], shape: Shape) -> Tensor:
        """(B, 3, D, H, W) voxels that the output's coordinates are bent by before the matrix."""
        raise NotImplementedError(f"{type(self).__name__} does not bend")

    def rest(self, shape: Shape, like: Tensor) -> Tensor:
        """The matrix of a sample that is not chosen."""
        return matrices.identity(len(like), like)

    def shape_after(self, shape: Shape) -> Shape:
        """Depth, height and width of what comes out."""
        return shape

    def canvas_after(self, canvas: tuple[int, ...]) -> Any:
        """`shape_after`, where the canvas is that of a volume."""
        return self.shape_after((canvas[0], canvas[1], canvas[2])) if len(canvas) == 3 else canvas

    def run(self, folding: Folding) -> Run:
        return GeometryRun(self, folding)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return GeometryRun(self, Folding()).apply(batch, [Call(u, chosen)])


@dataclass
class _Traced:
    """A run's geometry for a batch."""

    matrix: Tensor  # (B, 4, 4) output -> input
    displacement: Tensor | None  # (B, 3, D, H, W), before the matrix
    low: Tensor  # (B, 3), what may be seen of the input
    high: Tensor
    shape: Shape

    def still(self) -> Tensor:
        """(B,) bool: where nothing moves."""
        still = matrices.still(self.matrix)
        return still if self.displacement is None else still & (self.displacement == 0).flatten(1).all(1)


class GeometryRun(Run):
    """Neighbouring geometric steps as one matrix and one resampling; a deformation may close the run."""

    def __init__(self, first: Geometric, folding: Folding) -> None:
        super().__init__([first])
        self.folding = folding

    @property
    def geometric(self) -> list[Geometric]:
        """The steps, all of which are geometric."""
        return self.steps  # type: ignore[return-value]

    @property
    def _fill(self) -> Fill | None:
        return next((step.fill for step in self.geometric if step.fill is not None), None)

    @property
    def _whole(self) -> bool:
        return all(step.whole for step in self.geometric)

    def refuses(self, step: Transform) -> str | None:
        name = type(step).__name__
        if not isinstance(step, Geometric):
            return f"{name} moves no voxels by a matrix"
        if self.folding.geometry == "sequential":
            return "geometry='sequential'"
        if self.geometric[-1].bends:
            return f"{type(self.steps[-1]).__name__} bends, and can only come last"
        if None not in (self._fill, step.fill) and self._fill != step.fill:
            return f"{name} has fill={step.fill!r}, the run has {self._fill!r}"
        return None

    def summary(self) -> str:
        return "voxels moved unchanged, 1 pass" if self._whole else "1 trilinear resampling"

    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        traced = self._trace(calls, spatial(movable(batch, self.steps[0])))
        if self._whole:
            return self._move(batch, traced, self._fill)
        at = resample.points(traced.matrix, traced.shape, traced.displacement)
        return self._sample(batch, at, traced, self._fill)

    def undo(self, batch: Batch, calls: Sequence[Call], canvas: tuple[int, ...], size: Tensor | None) -> Batch:
        """Back to the shape `canvas` = (D, H, W); a deformation is inverted to about a hundredth of a voxel."""
        now = spatial(movable(batch, self.steps[0]))
        forth = self._trace(calls, (canvas[0], canvas[1], canvas[2]))
        if now != forth.shape:
            raise ValueError(f"inverse: the batch must have the transformed shape {forth.shape}, got {now}")
        back = matrices.inverse(forth.matrix)
        low, high = torch.zeros_like(forth.low), matrices.vector(now, back)
        traced = replace(forth, matrix=back, low=low, high=high, shape=(canvas[0], canvas[1], canvas[2]))
        if self._whole:
            return self._move(batch, traced, fill=None)
        at = resample.points(back, traced.shape)
        if forth.displacement is not None:
            at = _unbent(at, forth.displacement)
        return self._sample(batch, at, traced, fill=None)

    def _trace(self, calls: Sequence[Call], shape: Shape) -> _Traced:
        u = calls[0].u.new_zeros(len(calls[0].u))
        total = matrices.identity(len(u), u)
        low, high = matrices.vector((0, 0, 0), u), matrices.vector(shape, u)
        bent: Tensor | None = None
        for step, (numbers, chosen) in zip(self.geometric, calls, strict=True):
            drawn = parameters(step, numbers)
            m = step.matrix(drawn, shape, u)
            total = matrices.product(total, m if step.always else pick(chosen, m, step.rest(shape, u)))
            shape = step.shape_after(shape)
            if step.bends:
                bent = step.displacement(drawn, shape)
                bent = pick(chosen, bent, torch.zeros_like(bent))
            if self._whole:  # a later step sees no more than an earlier crop left over
                low, high = _seen(total, shape, low, high)
        return _Traced(total, bent, low, high, shape)

    @property
    def _names(self) -> str:
        return ", ".join(type(step).__name__ for step in self.steps)

    def _move(self, batch: Batch, traced: _Traced, fill: Fill | None) -> Batch:
        """Whole voxels to whole voxels."""
        volume, mask = volume_of(batch, self.steps[0]), batch.mask
        m, shape, low, high = traced.matrix, traced.shape, traced.low, traced.high
        if mask is not None:
            mask = resample.move(mask, m, shape, mask.new_zeros(()), low, high)
        return batch.replace(
            volume=resample.move(volume, m, shape, fill_of(volume, fill, self._names), low, high), mask=mask
        )

    def _sample(self, batch: Batch, at: Tensor, traced: _Traced, fill: Fill | None) -> Batch:
        """The batch at the places `at` (B, 3, D, H, W)."""
        volume, mask = volume_of(batch, self.steps[0]), batch.mask
        if mask is not None:
            mask = resample.nearest(mask, at, mask.new_zeros(()), traced.low, traced.high)
        outside = fill_of(volume, fill, self._names)
        out = as_dtype(resample.sample(as_float(volume), at, as_float(outside)), volume.dtype)
        if traced.shape == spatial(volume):
            out = pick(traced.still(), volume, out)  # bit-equal where nothing moves
        return batch.replace(volume=out, mask=mask)


def _unbent(at: Tensor, displacement: Tensor) -> Tensor:
    """The places (B, 3, ...) that `displacement` bends to `at`, by a fixed point: place = at - displacement(place)."""
    place = at
    for _ in range(12):  # it shrinks the error by the displacement's steepness each time, about a half at most
        place = at - resample.sample(displacement, place, displacement.new_zeros(()))
    return place


def fill_of(volume: Tensor, fill: Fill | None, who: str) -> Tensor:
    """The value outside of a volume, (B or 1, C or 1, 1, 1, 1) in its dtype and range."""
    if fill == "minimum":
        return volume.amin((2, 3, 4), keepdim=True)
    value = 0.0 if fill is None else fill
    if volume.dtype == torch.uint8 and not 0 <= value <= 1:
        raise ValueError(f"{who}: fill must be in [0, 1] for a uint8 volume, got {value}; divide levels by 255")
    return volume.new_full((1, 1, 1, 1, 1), round(value * 255) if volume.dtype == torch.uint8 else value)


def _seen(total: Tensor, shape: Shape, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """What may still be seen of the input, after a step whose canvas `shape` shows a part of it."""
    start = total[:, :3, 3]
    end = start + matrices.product(total[:, :3, :3], matrices.vector(shape, start)[:, :, None])[:, :, 0]
    return torch.maximum(low, torch.minimum(start, end)), torch.minimum(high, torch.maximum(start, end))
