"""Axes of an aligned geometry: what each output row and column reads of an input, and with which weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils import _pytree

Interpolation = Literal["nearest", "bilinear", "bicubic"]
PaddingMode = Literal["constant", "edge", "reflect", "symmetric"]

MAX_TAPS = 16
"""Compiled, a resampling reads at most so many input pixels per output pixel one by one; beyond, a matrix product."""


def folded(at: Tensor, low: Tensor, high: Tensor, padding: PaddingMode) -> Tensor:
    """Coordinates (of pixels' edges) outside [low, high] brought inside it; all broadcast."""
    if padding == "constant":
        return at
    length = high - low
    if padding == "reflect":  # about the centres of the outermost pixels
        centre, last = at - low - 0.5, length - 1
        period = (2 * last).clamp(min=1)
        turned = torch.remainder(centre, period)
        return low + torch.minimum(turned, period - turned).minimum(last).clamp(min=0) + 0.5
    if padding == "symmetric":  # about the edges
        period = 2 * length
        turned = torch.remainder(at - low, period)
        at = low + torch.minimum(turned, period - turned)
    return torch.minimum(torch.maximum(at, low + 0.5), high - 0.5)


def kernel(distance: Tensor, interpolation: Interpolation, sharp: float) -> Tensor:
    """The weight of a pixel at a distance: a triangle, or Keys' cubic with parameter `sharp` (1981)."""
    d = distance.abs()
    if interpolation != "bicubic":
        return (1 - d).clamp(min=0)
    near = ((sharp + 2) * d - (sharp + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * (d * sharp) - 4 * sharp
    return torch.where(d < 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def sharpness(antialias: bool) -> float:
    """torch's parameter of the cubic kernel: PIL's where it averages, OpenCV's elsewhere."""
    return -0.5 if antialias else -0.75


@dataclass(frozen=True)
class Filter:
    """How values between pixels are made, and how much an axis may shrink at most, which bounds what is read."""

    interpolation: Interpolation
    antialias: bool
    shrinks: float = math.inf

    @property
    def radius(self) -> float:
        """How far it reaches, in input pixels where nothing shrinks."""
        return 2.0 if self.interpolation == "bicubic" else 1.0

    @property
    def taps(self) -> int | None:
        """How many input pixels an output pixel reads along an axis; None where too many or unknown."""
        wide = max(1.0, self.shrinks) if self.antialias else 1.0
        return math.ceil(2 * wide * self.radius) + 1 if wide <= MAX_TAPS else None


@dataclass(frozen=True)
class Axis:
    """One axis of an aligned geometry, per sample: `in = scale * out + shift`, seeing only inputs in [low, high].

    All four are (B,). Output pixels whose centre falls outside [low, high] are filled.
    """

    scale: Tensor
    shift: Tensor
    low: Tensor
    high: Tensor

    def centres(self, length: int) -> Tensor:
        """Input coordinates of the centres of `length` output pixels: (B, length)."""
        out = torch.arange(length, device=self.scale.device, dtype=self.scale.dtype) + 0.5
        return self.scale[:, None] * out + self.shift[:, None]

    def inside(self, length: int) -> Tensor:
        """(B, length) bool: which output pixels are not filled."""
        centres = self.centres(length)
        return (centres > self.low[:, None]) & (centres < self.high[:, None])

    def indices(self, length: int, limit: int, padding: PaddingMode = "constant") -> Tensor:
        """(B, length) int64: the input pixel under each output pixel's centre."""
        at = folded(self.centres(length), self.low[:, None], self.high[:, None], padding)
        return at.floor().clamp(0, limit - 1).to(torch.int64)

    def weights(self, length: int, limit: int, how: Filter) -> Tensor:
        """(B, length, limit) of PIL's and torchvision's filters, rows that sum to 1."""
        count = how.taps
        if count is None or (how.antialias and count > limit):
            pixels = torch.arange(limit, device=self.scale.device, dtype=self.scale.dtype)
            return self._antialiased(length, pixels, how.interpolation)
        pixels, weights = self.taps(length, count, how)
        dense = weights.new_zeros(len(weights), length, limit)
        return dense.scatter_add(2, pixels.clamp(0, limit - 1).to(torch.int64), weights)

    def _antialiased(self, length: int, pixels: Tensor, interpolation: Interpolation) -> Tensor:
        """Weights of input pixels (..., n) for each output pixel: (B, length, n).

        Where it shrinks the filter is as wide as in output pixels, otherwise as in input pixels. A pixel beyond what may
        be seen counts for nothing.
        """
        centres = self.centres(length)[:, :, None]
        width = self.scale.abs().clamp(min=1.0)[:, None, None]
        weights = kernel((pixels + 0.5 - centres) / width, interpolation, sharpness(antialias=True))
        low, high = self.low[:, None, None], self.high[:, None, None]
        weights = weights * ((pixels + 0.5 > low) & (pixels + 0.5 < high))
        total = weights.sum(-1, keepdim=True)
        return weights / torch.where(total.abs() < 1e-6, 1, total)

    def taps(self, length: int, count: int, how: Filter) -> tuple[Tensor, Tensor]:
        """The `count` input pixels that each output pixel reads, as (B, length, count) numbers and weights.

        Numbers may lie outside the image where the weight is 0.
        """
        scale = self.scale.abs().clamp(min=1.0) if how.antialias else torch.ones_like(self.scale)
        centres, radius = self.centres(length), how.radius * scale
        first = (centres - radius[:, None] - 0.5).ceil()
        pixels = first[:, :, None] + torch.arange(count, device=first.device, dtype=first.dtype)
        if how.antialias:
            return pixels, self._antialiased(length, pixels, how.interpolation)
        weights = kernel(pixels + 0.5 - centres[:, :, None], how.interpolation, sharpness(antialias=False))
        low, high = (self.low - 0.5).ceil()[:, None, None], (self.high - 0.5).ceil()[:, None, None] - 1
        return torch.minimum(torch.maximum(pixels, low), high), weights  # beyond the last pixel that is seen, that one


_pytree.register_dataclass(Axis, field_names=["scale", "shift", "low", "high"])
