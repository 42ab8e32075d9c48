"""Geometry as a matrix: the kind `Geometric`, and the run that folds neighbours into one resampling for every label."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import matrices, resample
from torchaug.image.resample import Axis, as_dtype, as_float, own_pixels, per_channel
from torchaug.transform import Call, Folding, Run, Sizes, Transform, canvas_of

Interpolation = Literal["bilinear", "nearest"]
MAX_SAMPLES = 8
"""Largest number of samples per output pixel and axis where a general geometry shrinks; beyond, it aliases."""


class Geometric(Transform):
    """A transform that moves pixels by a matrix: image, masks, boxes and keypoints follow.

    A concrete one writes `matrix`; where it sets the output size also `canvas_after`, and `rest` for what it does to
    samples that are not chosen and in evaluation (the centred crop or resize of that size).
    """

    moves: Literal["pixels", "axes", "points"] = "points"
    """"pixels": whole pixels to whole pixels (flips, crops); "axes": axes stay axes (resizes); "points": anything."""
    interpolation: Interpolation | None = None
    """None where it moves whole pixels and so fits any."""
    antialias: bool = True
    fill: tuple[float, ...] | None = None
    """Value outside the image, in [0, 1]; None where it never looks there."""

    @abstractmethod
    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        """Output pixel -> input pixel, (B, 3, 3), from `u` (B, uniforms) and the images' sizes."""

    def rest(self, size: Sizes) -> Tensor:
        """The matrix of a sample that is not chosen."""
        return matrices.identity(len(size.height), size.height)

    def check(self, size: Sizes, ragged: bool) -> None:
        """Raise an error where the step cannot act on images of this canvas, or of different sizes on it."""

    def shrinks(self, canvas: tuple[int, int]) -> float:
        """The largest factor by which it can shrink a canvas, known from its constructor."""
        return 1.0

    def run(self, folding: Folding) -> Run:
        return GeometryRun(self, folding)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return GeometryRun(self, Folding()).apply(batch, [Call(u, chosen)])


@dataclass
class _Traced:
    """A run's geometry for a batch."""

    matrix: Tensor  # (B, 3, 3) output -> input
    y: Axis
    x: Axis
    canvas: tuple[int, int]
    size: Tensor | None


class GeometryRun(Run):
    """Neighbouring geometric steps as one matrix and one resampling."""

    def __init__(self, first: Geometric, folding: Folding) -> None:
        super().__init__([first])
        self.folding = folding

    @property
    def geometric(self) -> list[Geometric]:
        """The steps, all of which are geometric."""
        return self.steps  # type: ignore[return-value]

    def refuses(self, step: Transform) -> str | None:
        name = type(step).__name__
        if not isinstance(step, Geometric):
            return f"{name} moves no pixels"
        if self.folding.geometry == "sequential":
            return "geometry='sequential'"
        for what in ("interpolation", "fill"):
            ours = self._common(what)
            if ours is not None and getattr(step, what) not in (None, ours):
                return f"{name} has {what}={getattr(step, what)!r}, the run has {ours!r}"
        return None

    def _common(self, what: str) -> object:
        for step in self.steps:  # a loop, since torch 2.11 cannot compile a generator with an assignment inside
            if getattr(step, what) is not None:
                return getattr(step, what)
        return None

    @property
    def moves(self) -> str:
        """The most general of the steps' ways to move."""
        kinds = {step.moves for step in self.geometric}
        return next(kind for kind in ("points", "axes", "pixels") if kind in kinds)

    def summary(self) -> str:
        ways = {
            "pixels": "pixels moved unchanged, 1 pass",
            "axes": "1 separable resampling" + (", antialiased" if self._antialias else ""),
            "points": f"1 {self._common('interpolation')} resampling",
        }
        return ways[self.moves]

    @property
    def _antialias(self) -> bool:
        return all(step.antialias for step in self.geometric)

    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        canvas = canvas_of(batch)
        if canvas is None:
            who = type(self.steps[0]).__name__
            raise TypeError(f"{who}: expected a batch with an image or a mask, got {sorted(batch.present())}")
        traced = self._trace(calls, canvas, batch.size, len(batch))
        shrinks = 1.0
        for step in self.geometric:
            shrinks, canvas = shrinks * step.shrinks(canvas), step.canvas_after(canvas)
        return self._warp(batch, traced, shrinks)

    def _trace(self, calls: Sequence[Call], canvas: tuple[int, int], size: Tensor | None, count: int) -> _Traced:
        now = Sizes.of(canvas, size, calls[0].u)
        total = matrices.identity(count, now.height)
        low, high = torch.zeros_like(now.stacked()), now.stacked()  # what may be seen of the input, (B, 2) y x
        for i, (step, (u, chosen)) in enumerate(zip(self.geometric, calls, strict=True)):
            step.check(now, ragged=size is not None)
            m = step.matrix(u, now)
            if not step.always:
                m = torch.where(chosen[:, None, None], m, step.rest(now))
            total = total @ m if i else m
            if step.resizes:
                size = None
                now = Sizes.of(step.canvas_after(now.canvas), None, now.height)
            if self.moves != "points":
                low, high = _seen(total, now.stacked(), low, high)
        canvas = now.canvas
        y = Axis(total[:, 1, 1], total[:, 1, 2], low[:, 0], high[:, 0])
        x = Axis(total[:, 0, 0], total[:, 0, 2], low[:, 1], high[:, 1])
        return _Traced(total, y, x, canvas, size)

    def undo(self, batch: Batch, calls: Sequence[Call], canvas: tuple[int, int], size: Tensor | None) -> Batch:
        now = canvas_of(batch)
        forth = self._trace(calls, canvas, size, len(batch))
        if now is None or now != forth.canvas:
            raise ValueError(f"inverse: the batch must have the transformed canvas {forth.canvas}, got {now}")
        back = matrices.inverse(forth.matrix)
        height, width, _ = Sizes.of(now, None, back[:, 0, 0])
        zero = torch.zeros_like(height)
        y = Axis(back[:, 1, 1], back[:, 1, 2], zero, height)
        x = Axis(back[:, 0, 0], back[:, 0, 2], zero, width)
        return self._warp(batch, _Traced(back, y, x, canvas, size), shrinks=1.0)

    def _warp(self, batch: Batch, traced: _Traced, shrinks: float) -> Batch:
        changes: dict[str, Tensor | None] = {"size": traced.size}
        if batch.image is not None:
            changes["image"] = self._image(batch.image, batch.size, traced, shrinks)
        if batch.mask is not None:
            changes["mask"] = self._mask(batch.mask, batch.size, traced)
        if batch.boxes is not None or batch.keypoints is not None:
            to_output = matrices.inverse(traced.matrix)
            if batch.boxes is not None:
                changes["boxes"] = _move_boxes(batch.boxes, to_output, traced)
            if batch.keypoints is not None:
                changes["keypoints"] = _move_keypoints(batch.keypoints, to_output)
        return batch.replace(**changes)

    def _image(self, image: Tensor, size: Tensor | None, traced: _Traced, shrinks: float) -> Tensor:
        fill, nearest = self._fill(image), self._common("interpolation") == "nearest"
        if self.moves == "points":
            return self._sampled(image, size, traced, fill, finer=1 if nearest else self._finer(shrinks))
        unchanged = self.moves == "pixels"
        if (unchanged or not nearest) and _has_cpu_kernels(image):
            return resample.on_cpu(image, traced.y, traced.x, traced.canvas, fill, self._antialias)
        if unchanged or nearest:
            return resample.move_pixels(image, traced.y, traced.x, traced.canvas, fill)
        out = resample.resize(as_float(image), traced.y, traced.x, traced.canvas, as_float(fill), self._antialias)
        return as_dtype(out, image.dtype)

    def _finer(self, shrinks: float) -> int:
        """Samples per output pixel and axis: from constructors and shapes, never from values."""
        return min(ceil(shrinks - 1e-6), MAX_SAMPLES) if self._antialias else 1

    def _sampled(self, image: Tensor, size: Tensor | None, traced: _Traced, fill: Tensor, finer: int) -> Tensor:
        full = Sizes.of(_canvas(image), size, traced.matrix[:, 0, 0])
        if size is not None:  # earlier steps may have written to the padding
            image = torch.where(own_pixels(image, size), image, image.new_zeros(()))
        x, y = _points(traced.matrix, traced.canvas, finer)
        if self._common("interpolation") == "nearest":
            return resample.sample_nearest(image, x, y, fill, full)
        out = resample.sample(as_float(image), x, y, as_float(fill), full)
        out = as_dtype(F.avg_pool2d(out, finer) if finer > 1 else out, image.dtype)
        if traced.canvas != _canvas(image):
            return out
        return torch.where(_still(traced.matrix)[:, None, None, None], image, out)  # bit-equal where nothing moves

    def _fill(self, image: Tensor) -> Tensor:
        """(1, C or 1, 1, 1) in the image's dtype and range."""
        values: Sequence[float] = next((step.fill for step in self.geometric if step.fill is not None), (0.0,))
        if len(values) not in (1, image.shape[1]):
            raise ValueError(
                f"{type(self.steps[0]).__name__}: fill must have one value, or one for each of the image's "
                f"{image.shape[1]} channels, got {len(values)}"
            )
        if image.dtype == torch.uint8:
            values = [round(v * 255) for v in values]
        return per_channel(values, image)

    def _mask(self, mask: Tensor, size: Tensor | None, traced: _Traced) -> Tensor:
        fill = mask.new_zeros(1, 1, 1, 1)
        if self.moves != "points":
            return resample.move_pixels(mask, traced.y, traced.x, traced.canvas, fill)
        x, y = _points(traced.matrix, traced.canvas, 1)
        full = Sizes.of(_canvas(mask), size, traced.matrix[:, 0, 0])
        return resample.sample_nearest(mask, x, y, fill, full)


def _has_cpu_kernels(image: Tensor) -> bool:
    needs_gradient = image.requires_grad and torch.is_grad_enabled()
    dtypes = (torch.uint8, torch.float32, torch.float64)
    return image.device.type == "cpu" and not needs_gradient and image.dtype in dtypes


def _seen(total: Tensor, full: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """What may still be seen of the input, (B, 2) y x, after a step whose canvas `full` shows a part of it."""
    scale = torch.stack([total[:, 1, 1], total[:, 0, 0]], 1)
    start = torch.stack([total[:, 1, 2], total[:, 0, 2]], 1)
    end = start + scale * full
    return torch.maximum(low, torch.minimum(start, end)), torch.minimum(high, torch.maximum(start, end))


def _points(m: Tensor, canvas: tuple[int, int], finer: int) -> tuple[Tensor, Tensor]:
    """Input coordinates x, y of `finer` samples per output pixel and axis: (B, H finer, W finer) each.

    They spread over what the pixel covers beyond one input pixel, since the bilinear sample itself covers one: a sample
    that does not shrink takes them all at the centre, and is not blurred.
    """
    e = m[:, :, :, None, None]
    covers_x, covers_y = (m[:, :2, axis].norm(dim=1)[:, None].clamp(min=1) for axis in (0, 1))  # (B, 1) input pixels
    xs = _spread(canvas[1], finer, 1 - 1 / covers_x)[:, None, :]
    ys = _spread(canvas[0], finer, 1 - 1 / covers_y)[:, :, None]
    return e[:, 0, 0] * xs + (e[:, 0, 1] * ys + e[:, 0, 2]), e[:, 1, 0] * xs + (e[:, 1, 1] * ys + e[:, 1, 2])


def _spread(length: int, finer: int, width: Tensor) -> Tensor:
    """Centres of pixels, `finer` of each spread over `width` (B, 1) of it: (B, length * finer)."""
    at = torch.arange(length * finer, device=width.device)
    inside = (at % finer + 0.5) / finer - 0.5
    return (at // finer).to(width.dtype) + 0.5 + inside * width


def _still(m: Tensor) -> Tensor:
    """(B,) bool: which matrices change nothing."""
    return (m == matrices.identity(len(m), m)).flatten(1).all(1)


def _canvas(plane: Tensor) -> tuple[int, int]:
    return plane.shape[-2], plane.shape[-1]


def _move_keypoints(keypoints: Tensor, to_output: Tensor) -> Tensor:
    points = keypoints.to(to_output.dtype)
    moved = matrices.move(points + 0.5, to_output) - 0.5
    return _like(torch.where(_still(to_output)[:, None, None], points, moved), keypoints)


def _move_boxes(boxes: Tensor, to_output: Tensor, traced: _Traced) -> Tensor:
    """The smallest upright boxes (B, N, 4) around the moved corners, clamped to each sample's canvas."""
    x0, y0, x1, y1 = boxes.to(to_output.dtype).unbind(-1)
    corners = torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], -1).unflatten(-1, (4, 2))
    moved = matrices.move(corners.flatten(1, 2), to_output).unflatten(1, corners.shape[1:3])
    full = Sizes.of(traced.canvas, traced.size, to_output[:, 0, 0])
    limit = torch.stack([full.width, full.height], 1)[:, None]  # (B, 1, 2)
    low, high = moved.amin(-2), moved.amax(-2)
    clamped = [torch.minimum(corner.clamp(min=0), limit) for corner in (low, high)]
    return _like(torch.cat(clamped, -1), boxes)


def _like(values: Tensor, original: Tensor) -> Tensor:
    """In the caller's dtype; rounded where that holds whole pixels."""
    if original.is_floating_point():
        return values.to(original.dtype)
    return values.round().to(original.dtype)
