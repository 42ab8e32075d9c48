"""Transforms that look at one pixel at a time, and the run that applies neighbours in one pass over float images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image.resample import as_dtype, as_float, own_pixels
from torchaug.transform import Call, Folding, Run, Transform

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601), as torchvision has them."""


class Pointwise(Transform):
    """A transform of each pixel, given its place and the sample's numbers. A concrete one writes `map`.

    Neighbours share one conversion to float and back; compiled, they are one pass over memory.
    """

    @abstractmethod
    def map(self, image: Tensor, u: Tensor, chosen: Tensor, own: Tensor | None) -> Tensor:
        """The transformed image.

        Args:
            image: (B, C, H, W) float; in [0, 1] unless normalised before.
            u: (B, uniforms).
            chosen: (B,) bool; the others come out bit-equal.
            own: (B, 1, H, W) bool where images of different sizes are padded: True on their own pixels.
        """

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype of what comes out, given that of what goes in."""
        return dtype

    def run(self, folding: Folding) -> Run:
        return PointwiseRun(self, folding)

    def apply(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return PointwiseRun(self, Folding()).apply(batch, [Call(u, chosen)])


class Color(Pointwise):
    """A pointwise transform that is affine in the channels: it also writes `matrix`, so that neighbours can fold."""

    @abstractmethod
    def matrix(self, u: Tensor, mean: Tensor) -> Tensor:
        """(B, C + 1, C + 1) on (channels, 1), from `u` (B, uniforms) and the image's channel means (B, C)."""


class PointwiseRun(Run):
    """Neighbouring pointwise steps in one pass."""

    def __init__(self, first: Pointwise, folding: Folding) -> None:
        super().__init__([first])
        self.folding = folding

    @property
    def pointwise(self) -> list[Pointwise]:
        """The steps, all of which are pointwise."""
        return self.steps  # type: ignore[return-value]

    def refuses(self, step: Transform) -> str | None:
        if not isinstance(step, Pointwise):
            return f"{type(step).__name__} looks at more than one pixel"
        last = self.pointwise[-1]
        if last.dtype_after(torch.float32) == torch.uint8:
            return f"{type(last).__name__} rounds to uint8"
        return None

    def summary(self) -> str:
        colors = sum(isinstance(step, Color) for step in self.steps)
        if self.folding.color == "folded" and colors:
            return f"1 pass; {colors} colour steps as one matrix, clamped once"
        return "1 pass when compiled; " + (f"{colors} colour steps, clamped between" if colors else "no colour step")

    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        image = batch.image
        if image is None:
            raise TypeError(f"{type(self.steps[0]).__name__}: expected a batch with an image, got {[*batch.present()]}")
        own = None if batch.size is None else own_pixels(image, batch.size)
        dtype, out = image.dtype, as_float(image)
        steps = list(zip(self.pointwise, calls, strict=True))
        while steps:
            colors = _leading_colors(steps) if self.folding.color == "folded" else []
            if colors:
                out, steps = _folded(out, colors, own), steps[len(colors) :]
                continue
            (step, (u, chosen)), *steps = steps
            out = step.map(out, u, chosen, own)
        for point in self.pointwise:
            dtype = point.dtype_after(dtype)
        return batch.replace(image=as_dtype(out, dtype))


def _leading_colors(steps: Sequence[tuple[Pointwise, Call]]) -> list[tuple[Color, Call]]:
    colors: list[tuple[Color, Call]] = []
    for step, call in steps:
        if not isinstance(step, Color):
            break
        colors.append((step, call))
    return colors


def _folded(image: Tensor, colors: Sequence[tuple[Color, Call]], own: Tensor | None) -> Tensor:
    """One matrix for all steps, clamped once. The mean of an affine map is the affine map of the mean."""
    count, channels = image.shape[:2]
    mean = channel_means(image, own).to(torch.float32)
    eye = torch.eye(channels + 1, device=image.device).expand(count, -1, -1)
    total = eye
    for step, (u, chosen) in colors:
        m = torch.where(chosen[:, None, None], step.matrix(u, mean), eye)
        mean = (m[:, :-1, :-1] @ mean[:, :, None] + m[:, :-1, -1:])[:, :, 0]
        total = m @ total
    return apply_matrix(image, total.to(image.dtype)).clamp(0, 1)


def apply_matrix(image: Tensor, matrix: Tensor) -> Tensor:
    """An affine map (B, C + 1, C + 1) of the channels of an image (B, C, H, W)."""
    linear, offset = matrix[:, :-1, :-1], matrix[:, :-1, -1:]
    if torch.compiler.is_compiling():  # written out, it fuses with its neighbours; a matrix product does not
        terms = [linear[:, :, c, None, None] * image[:, c : c + 1] for c in range(image.shape[1])]
        return sum(terms, start=offset[..., None])
    with torch.autocast(image.device.type, enabled=False):
        return torch.baddbmm(offset, linear, image.flatten(2)).view(image.shape)


def channel_means(image: Tensor, own: Tensor | None) -> Tensor:
    """(B, C) means over each image's own pixels."""
    if own is None:
        return image.mean((2, 3))
    return (image * own).sum((2, 3)) / own.sum((2, 3)).clamp(min=1)


def gray(image: Tensor) -> Tensor:
    """(B, 1, H, W): torchvision's grey value of three channels, or else the mean of the channels."""
    if image.shape[1] != 3:
        return image if image.shape[1] == 1 else image.mean(1, keepdim=True)
    red, green, blue = image.split(1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
