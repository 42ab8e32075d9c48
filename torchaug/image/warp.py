"""Geometry: the kinds `Geometric` and `Warp`, and the run that folds neighbours into one resampling for every label."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree

from torchaug.batch import Batch
from torchaug.image import followers, kernels, matrices, resample
from torchaug.image.axes import Axis, Filter, Interpolation, PaddingMode
from torchaug.image.path import REFINED, Bend, Numbers, Path, points, turned_back
from torchaug.image.resample import Sampling, as_dtype, as_float, in_chunks, own_pixels, per_channel
from torchaug.image.resize_cpu import resize_on_cpu
from torchaug.transfer import any_of, moved
from torchaug.transform import Call, Folding, Run, Sizes, Transform, canvas_of, holds_tensors

MAX_SAMPLES = 8
"""Largest number of samples per output pixel and axis where a general geometry shrinks; beyond, it aliases."""


class Geometric(Transform):
    """A transform that moves pixels by a matrix: image, masks, boxes and keypoints follow.

    A concrete one writes `matrix`; where it sets the output size also `canvas_after`, and `rest` for what it does to
    samples that are not chosen and in evaluation (the centred crop or resize of that size).
    """

    moves: Literal["pixels", "turns", "axes", "points"] = "points"
    """"pixels": whole pixels to whole pixels (flips, crops); "turns": likewise, and axes may be exchanged; "axes": axes
    stay axes (resizes); "points": anything."""
    projective: bool = False
    """Whether the matrix has a third row of its own: a perspective."""
    interpolation: Interpolation | None = None
    """None where it moves whole pixels and so fits any."""
    antialias: bool = True
    fill: tuple[float, ...] | None = None
    """Value outside the image, in [0, 1]; None where it never looks there."""
    padding_mode: PaddingMode | None = None
    """What lies outside the image; None where it never looks there."""
    ragged: bool = False
    """Whether images of one size may come out in different sizes, on one padded canvas."""
    guided: bool = False
    """Whether it looks at the labels to draw: see `guide`."""
    keypoint_swap: tuple[int, ...] | None = None
    """The order of the keypoints after it: a mirrored left hand is a right one."""
    mask_swap: tuple[tuple[int, int], ...] | None = None
    """Pairs of classes that it exchanges in masks."""

    @abstractmethod
    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        """Output pixel -> input pixel, (B, 3, 3), from `u` (B, uniforms) and the images' sizes."""

    def rest(self, size: Sizes) -> Tensor:
        """The matrix of a sample that is not chosen."""
        return matrices.identity(len(size.height), size.height)

    def uneven(self, canvas: tuple[int, int]) -> bool:
        return self.ragged

    def guide(self, batch: Batch, u: Tensor, chosen: Tensor, size: Sizes) -> Tensor:
        """What `matrix` and `sizes` get in place of `u` (B, uniforms): numbers (B, n) drawn with a look at the labels."""
        return u

    def settle(self, before: Batch, after: Batch, u: Tensor, chosen: Tensor) -> Batch:
        """What a guided step does to the labels besides moving them: boxes that it drops, for instance."""
        return after

    def check(self, size: Sizes, ragged: bool) -> None:
        """Raise an error where the step cannot act on images of this canvas, or of different sizes on it."""

    def shrinks(self, canvas: tuple[int, int]) -> float:
        """The largest factor by which it can shrink a canvas, known from its constructor."""
        return 1.0

    def link(self, u: Tensor, chosen: Tensor, size: Sizes) -> Tensor | Bend:
        """Its part of the way from output to input coordinates."""
        m = self.matrix(u, size)
        return m if self.always else torch.where(chosen[:, None, None], m, self.rest(size))

    def run(self, folding: Folding) -> Run:
        return GeometryRun(self, folding)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return GeometryRun(self, Folding()).apply(batch, [Call(u, chosen)])


class Warp(Geometric):
    """A transform that moves pixels by a displacement that no matrix can express. A concrete one writes `displacement`.

    It folds with neighbouring geometry into one resampling. Keypoints and boxes go the other way: by fixed-point
    iteration, which needs a displacement that changes by less than a pixel per pixel, or by `back`.
    """

    def numbers(self, u: Tensor, size: Sizes) -> Numbers:
        """What `displacement` needs, (B, ...) each, made once for a batch."""
        return self.drawn(u, size)

    @abstractmethod
    def displacement(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> tuple[Tensor, Tensor]:
        """How far from output coordinates the input is.

        Args:
            x, y: (B, P) output coordinates of edges: the centre of pixel j is at j + 0.5.
            numbers: from `numbers`.
            size: of the images.

        Returns:
            (dx, dy), (B, P) each: the input is at (x + dx, y + dy).
        """

    def back(self, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> tuple[Tensor, Tensor]:
        """How far from input coordinates the output is; to be overridden where there is a formula."""
        return turned_back(self.displacement, x, y, numbers, size)

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        return self.rest(size)

    def link(self, u: Tensor, chosen: Tensor, size: Sizes) -> Tensor | Bend:
        return Bend(self.displacement, self.back, self.numbers(u, size), size, chosen)


@dataclass(frozen=True)
class _Traced:
    """A run's geometry for a batch."""

    path: Path
    axes: tuple[Axis, Axis] | None  # y, x; None where axes do not stay axes
    canvas: tuple[int, int]
    size: Tensor | None
    shrinks: float


_pytree.register_dataclass(_Traced, field_names=["path", "axes", "canvas", "size", "shrinks"])


class GeometryRun(Run):
    """Neighbouring geometric steps as one way of coordinates and one resampling."""

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
        if step.guided or self.geometric[0].guided:
            return f"{name if step.guided else type(self.steps[0]).__name__} looks at the labels"
        if {self.moves, step.moves} == {"turns", "axes"}:
            return (
                f"{name} would turn the axes of a separable resampling"
                if step.moves == "turns"
                else (f"{name} resamples along the axes, which were turned")
            )
        return self._refuses_border(step)

    def _refuses_border(self, step: Geometric) -> str | None:
        name = type(step).__name__
        for what in ("interpolation", "padding_mode", "fill"):
            ours = self._common(what)
            if ours is not None and getattr(step, what) not in (None, ours):
                return f"{name} has {what}={getattr(step, what)!r}, the run has {ours!r}"
        padding = self.padding if step.padding_mode is None else step.padding_mode
        if padding != "constant":
            if "axes" in (step.moves, self.moves):
                return f"{name} would filter across a border of padding_mode={padding!r}"
            if step.padding_mode is not None and self._common("padding_mode") is not None:
                return f"{name} would take another border for its padding_mode={padding!r}"
        return None

    def _common(self, what: str) -> object:
        for step in self.steps:  # a loop, since torch 2.11 cannot compile a generator with an assignment inside
            if getattr(step, what) is not None:
                return getattr(step, what)
        return None

    @property
    def padding(self) -> PaddingMode:
        """What lies outside the images."""
        return self._common("padding_mode") or "constant"  # type: ignore[return-value]

    @property
    def interpolation(self) -> Interpolation:
        """How values between pixels are made; nearest where there is nothing between."""
        return self._common("interpolation") or "nearest"  # type: ignore[return-value]

    @property
    def moves(self) -> str:
        """The most general of the steps' ways to move."""
        kinds = {step.moves for step in self.geometric}
        return next(kind for kind in ("points", "axes", "turns", "pixels") if kind in kinds)

    def summary(self) -> str:
        ways = {
            "pixels": "pixels moved unchanged, 1 pass",
            "turns": "pixels moved unchanged, 1 pass",
            "axes": "1 separable resampling" + (", antialiased" if self._antialias else ""),
            "points": f"1 {self.interpolation} resampling",
        }
        return ways[self.moves]

    @property
    def _antialias(self) -> bool:
        return all(step.antialias for step in self.geometric)

    def plans_apart(self, batch: Batch) -> bool:
        looks = batch.size is not None or self.geometric[0].guided
        return not looks and not any(step.dense or holds_tensors(step) for step in self.steps)

    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        canvas, first = canvas_of(batch), self.geometric[0]
        if canvas is None or batch.volume is not None:
            raise TypeError(
                f"{type(first).__name__}: expected a batch with an image or a mask, got {sorted(batch.present())}"
            )
        if first.guided:
            u, chosen = calls[0]
            calls = [Call(first.guide(batch, u, chosen, Sizes.of(canvas, batch.size, u)), chosen)]
        elif self._idle(calls):
            return batch
        traced = self._trace(calls, canvas, batch.size)
        if calls[0].u.device != batch.device:
            traced, calls = moved((traced, list(calls)), batch.device)
        after = self._follow(batch, traced, calls, self.geometric)
        return first.settle(batch, after, *calls[0]) if first.guided else after

    def _idle(self, calls: Sequence[Call]) -> bool:
        """Whether no sample is chosen for any step; asked where that waits for nothing."""
        if any(step.always or step.resizes or step.ragged for step in self.geometric):
            return False
        return not any(any_of(chosen) for _, chosen in calls)

    def _trace(self, calls: Sequence[Call], canvas: tuple[int, int], size: Tensor | None) -> _Traced:
        now = Sizes.of(canvas, size, calls[0].u)
        path = Path((), any(step.projective for step in self.geometric))
        low, high, shrinks = torch.zeros_like(now.stacked()), now.stacked(), 1.0  # (B, 2) y x: what may be seen
        padded = False
        for step, (u, chosen) in zip(self.geometric, calls, strict=True):
            step.check(now, ragged=size is not None)
            shrinks = shrinks * step.shrinks(now.canvas)
            path = path.then(step.link(u, chosen, now))
            size = None if step.resizes else size
            uneven = size is not None or step.uneven(now.canvas)
            now = step.sizes(u, chosen, now)._replace(canvas=step.canvas_after(now.canvas))
            size = now.stacked().to(torch.int64) if uneven and not step.resizes else size
            padded = padded or step.padding_mode not in (None, "constant")
            if path.matrix is not None and self.moves in ("pixels", "axes") and not padded:
                low, high = _seen(path.matrix, now.stacked(), low, high)
        axes = None
        if path.matrix is not None and self.moves in ("pixels", "axes"):
            axes = _axes(path.matrix, low, high)
        return _Traced(path, axes, now.canvas, size, shrinks)

    def undo(self, batch: Batch, calls: Sequence[Call], canvas: tuple[int, int], size: Tensor | None) -> Batch:
        now = canvas_of(batch)
        if self.geometric[0].guided:
            raise ValueError(
                f"inverse: {type(self.steps[0]).__name__} looked at labels that are not known any more; leave it out of "
                "a Compose that is to be inverted"
            )
        forth = self._trace(calls, canvas, size)
        if now is None or now != forth.canvas:
            raise ValueError(f"inverse: the batch must have the transformed canvas {forth.canvas}, got {now}")
        back, axes = forth.path.inverted(), None
        if forth.axes is not None and back.matrix is not None:
            full = Sizes.of(now, forth.size, back.matrix[:, 0, 0]).stacked()
            axes = _axes(back.matrix, torch.zeros_like(full), full)
        traced = _Traced(back, axes, canvas, size, shrinks=1.0)
        return self._follow(batch.replace(size=forth.size), traced, list(reversed(calls)), self.geometric[::-1])

    def _follow(self, batch: Batch, traced: _Traced, calls: Sequence[Call], steps: Sequence[Geometric]) -> Batch:
        """The batch after the run, with everything that follows the pixels."""
        changes: dict[str, Tensor | None] = {"size": traced.size}
        if batch.image is not None:
            changes["image"] = _within(self._image(batch.image, batch.size, traced), traced.size)
        mask, keypoints, visible = batch.mask, batch.keypoints, batch.visible
        if mask is not None:
            mask = _within(self._mask(mask, batch.size, traced), traced.size)
        if batch.boxes is not None:
            full = Sizes.of(traced.canvas, traced.size, calls[0].u)
            changes["boxes"] = followers.move_boxes(batch.boxes, traced.path, full, self.folding.clamping is not None)
        if keypoints is not None:
            keypoints = followers.move_keypoints(keypoints, traced.path)
        for step, (_, chosen) in zip(steps, calls, strict=True):
            if step.mask_swap is not None and mask is not None:
                mask = followers.swap_classes(mask, step.mask_swap, chosen)
            if step.keypoint_swap is not None and keypoints is not None:
                who = type(step).__name__
                keypoints = followers.swap_keypoints(keypoints, step.keypoint_swap, chosen, who)
                if visible is not None:
                    visible = followers.swap_keypoints(visible, step.keypoint_swap, chosen, who)
        return batch.replace(**changes, mask=mask, keypoints=keypoints, visible=visible)

    def _image(self, image: Tensor, size: Tensor | None, traced: _Traced) -> Tensor:
        fill = self._fill(image)
        if traced.axes is None:
            return self._sampled(image, size, traced, fill)
        unchanged, nearest = self.moves == "pixels", self.interpolation == "nearest"
        how = Filter(self.interpolation, self._antialias, traced.shrinks)
        if (unchanged or not nearest) and self.padding == "constant" and _has_cpu_kernels(image):
            return resize_on_cpu(image, *traced.axes, traced.canvas, fill, how)
        if unchanged or nearest:
            return resample.move_pixels(image, *traced.axes, traced.canvas, fill, self.padding)
        if kernels.resamples(image, *traced.axes):
            return kernels.resample(image, *traced.axes, traced.canvas, fill, how)
        out = resample.resize(as_float(image), *traced.axes, traced.canvas, as_float(fill), how)
        return as_dtype(out, image.dtype)

    def _sampled(self, image: Tensor, size: Tensor | None, traced: _Traced, fill: Tensor) -> Tensor:
        """By points, in pieces that stay in a CPU's cache."""
        finer = 1
        if self._antialias and self.interpolation != "nearest":
            # from constructors and shapes, never from values
            finer = min(ceil(traced.shrinks - 1e-6), MAX_SAMPLES) if traced.shrinks >= REFINED else 1
        full = Sizes.of(_canvas(image), size, traced.path.still().to(torch.float32))
        still = traced.path.still()

        def apply(rows: slice) -> Tensor:
            part, like = image[rows], full.height[rows]
            if size is not None:  # earlier steps may have written to the padding
                part = torch.where(own_pixels(part, size[rows]), part, part.new_zeros(()))
            x, y = points(traced.path.rows(rows), traced.canvas, finer, like)
            if self.interpolation == "nearest":
                return resample.sample_nearest(part, x, y, self._how(fill, full.rows(rows)))
            out = resample.sample(as_float(part), x, y, self._how(as_float(fill), full.rows(rows)))
            out = as_dtype(F.avg_pool2d(out, finer) if finer > 1 else out, image.dtype)
            if traced.canvas != _canvas(image) or not any_of(still[rows]):
                return out
            return torch.where(still[rows][:, None, None, None], part, out)  # bit-equal where nothing moves

        return in_chunks(image, apply)

    def _how(self, fill: Tensor, size: Sizes) -> Sampling:
        return Sampling(self.interpolation, self.padding, fill, not any(self._outside), size)

    @property
    def _outside(self) -> tuple[float, ...]:
        """What is seen outside the images, in [0, 1]."""
        return next((step.fill for step in self.geometric if step.fill is not None), (0.0,))

    def _fill(self, image: Tensor) -> Tensor:
        """(1, C or 1, 1, 1) in the image's dtype and range."""
        values: Sequence[float] = self._outside
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
        if traced.axes is not None:
            return resample.move_pixels(mask, *traced.axes, traced.canvas, fill, self.padding)
        full = Sizes.of(_canvas(mask), size, traced.path.still().to(torch.float32))
        x, y = points(traced.path, traced.canvas, 1, full.height)
        return resample.sample_nearest(mask, x, y, self._how(fill, full))


def _axes(m: Tensor, low: Tensor, high: Tensor) -> tuple[Axis, Axis]:
    """Of a matrix that keeps axes: y and x, seeing only inputs from `low` to `high`, (B, 2) y x each."""
    return Axis(m[:, 1, 1], m[:, 1, 2], low[:, 0], high[:, 0]), Axis(m[:, 0, 0], m[:, 0, 2], low[:, 1], high[:, 1])


def _within(plane: Tensor, size: Tensor | None) -> Tensor:
    """Zeros outside each sample's own size."""
    return plane if size is None else torch.where(own_pixels(plane, size), plane, plane.new_zeros(()))


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


def _canvas(plane: Tensor) -> tuple[int, int]:
    return plane.shape[-2], plane.shape[-1]
