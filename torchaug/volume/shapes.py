"""Transforms that set the shape of volumes (B, C, D, H, W): pads, crops, resizes; masks (B, N, D, H, W) follow."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image.resample import as_dtype, as_float
from torchaug.transform import Sizes, Transform
from torchaug.volume import arguments, matrices, resample
from torchaug.volume.arguments import Fill, Shape
from torchaug.volume.kinds import Geometric, movable
from torchaug.volume.resample import spatial


class Pad(Geometric):
    """Add a border to every volume.

    Args:
        padding: voxels: one number, three for depth, height and width, or six for before and after each.
        fill: value of the border, or "minimum" for each sample's and channel's own least value; of [0, 1] for uint8.

    >>> Pad((0, 1, 2))(torch.rand(2, 1, 4, 4, 4)).shape
    torch.Size([2, 1, 4, 6, 8])
    """

    always = True
    resizes = True
    whole = True

    def __init__(self, padding: int | Sequence[int], fill: Fill = 0.0) -> None:
        super().__init__()
        self.padding, self.fill = arguments.padding(padding, "Pad"), arguments.fill(fill, "Pad")

    def shape_after(self, shape: Shape) -> Shape:
        d, h, w = (n + self.padding[2 * i] + self.padding[2 * i + 1] for i, n in enumerate(shape))
        return d, h, w

    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        return matrices.shift(matrices.vector([-before for before in self.padding[::2]], like))


class CropOrPad(Geometric):
    """Crop or pad every axis about its centre to a given length.

    Args:
        size: (depth, height, width), or one number.
        fill: value of the border, or "minimum" for each sample's and channel's own least value; of [0, 1] for uint8.

    >>> CropOrPad((4, 8, 16))(torch.rand(2, 1, 10, 10, 10)).shape
    torch.Size([2, 1, 4, 8, 16])
    """

    always = True
    resizes = True
    whole = True

    def __init__(self, size: int | Sequence[int], fill: Fill = 0.0) -> None:
        super().__init__()
        self.size, self.fill = arguments.shape(size, "CropOrPad"), arguments.fill(fill, "CropOrPad")

    def shape_after(self, shape: Shape) -> Shape:
        return self.size

    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        return _centred(self.size, shape, like)


class CenterCrop(Geometric):
    """Cut the middle out of every volume.

    Args:
        size: (depth, height, width), or one number; no more than the volume's.

    >>> CenterCrop(4)(torch.rand(2, 1, 10, 10, 10)).shape
    torch.Size([2, 1, 4, 4, 4])
    """

    always = True
    resizes = True
    whole = True

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size = arguments.shape(size, "CenterCrop")

    def shape_after(self, shape: Shape) -> Shape:
        return self.size

    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        _check_crop(self.size, shape, "CenterCrop")
        return _centred(self.size, shape, like)


class RandomCrop(Geometric):
    """Cut a part of a given size out of each volume, at a random place; samples that are not chosen: the middle.

    Args:
        size: (depth, height, width), or one number; no more than the volume's.
        p: chance per sample of a random place.

    Parameters per sample: place, the share of the free way in depth, height and width that lies before the crop: it
    starts at floor(place * (length - size + 1)).

    >>> RandomCrop((4, 8, 8))(torch.rand(2, 1, 10, 10, 10)).shape
    torch.Size([2, 1, 4, 8, 8])
    """

    uniforms = 3
    resizes = True
    whole = True

    def __init__(self, size: int | Sequence[int], p: float = 1.0) -> None:
        super().__init__(p)
        self.size = arguments.shape(size, "RandomCrop")

    def shape_after(self, shape: Shape) -> Shape:
        return self.size

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"place": u}

    def matrix(self, drawn: dict[str, Tensor], shape: Shape, like: Tensor) -> Tensor:
        _check_crop(self.size, shape, "RandomCrop")
        ways = matrices.vector([n - m + 1 for n, m in zip(shape, self.size, strict=True)], like)
        return matrices.shift((drawn["place"] * ways).floor())

    def rest(self, shape: Shape, like: Tensor) -> Tensor:
        return _centred(self.size, shape, like)


def _centred(size: Shape, shape: Shape, like: Tensor) -> Tensor:
    """The odd voxel is cut off, or added, at the front, as in TorchIO."""
    before = [ceil((n - m) / 2) if n > m else floor((n - m) / 2) for n, m in zip(shape, size, strict=True)]
    return matrices.shift(matrices.vector(before, like))


def _check_crop(size: Shape, shape: Shape, who: str) -> None:
    if any(m > n for n, m in zip(shape, size, strict=True)):
        raise ValueError(f"{who}: volume must be at least {size}, got {shape}; use CropOrPad")


class Resize(Transform):
    """Resample every volume to a given shape, linearly along each axis, antialiased where it shrinks; masks nearest.

    It folds with nothing: an antialiased resampling is one small matrix for each axis.

    Args:
        size: (depth, height, width), or one number.
        antialias: average over what an output voxel covers.

    >>> Resize((4, 8, 16))(torch.rand(2, 1, 10, 10, 10)).shape
    torch.Size([2, 1, 4, 8, 16])
    """

    always = True
    resizes = True

    def __init__(self, size: int | Sequence[int], antialias: bool = True) -> None:
        super().__init__()
        self.size, self.antialias = arguments.shape(size, "Resize"), antialias

    def canvas_after(self, canvas: tuple[int, ...]) -> Any:
        return self.size if len(canvas) == 3 else canvas

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        volume, mask = movable(batch, self), batch.mask
        values, shape = as_float(volume), spatial(volume)
        for axis, (length, limit) in enumerate(zip(self.size, shape, strict=True)):
            if length != limit:
                values = resample.along(values, resample.triangle(length, limit, values, self.antialias), axis)
            if mask is not None:
                centres = (torch.arange(length, device=mask.device) * 2 + 1) * limit // (2 * length)
                mask = mask.index_select(axis + 2, centres)
        return batch.replace(volume=as_dtype(values, volume.dtype), mask=mask)
