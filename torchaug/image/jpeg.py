"""JPEG compression as tensor code, with a quality for each sample: libjpeg's steps, its roundings included.

The arithmetic is that of ITU-T T.81 (tables of Annex K) with libjpeg's choices: chroma at half the resolution by means of
2 x 2 pixels, triangle filters on the way back, edges repeated. A rounding passes gradients on as if it were not there
(Bengio et al., "Estimating or propagating gradients through stochastic neurons", 2013).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug.image.resample import take
from torchaug.transform import Sizes


def _packed(*rows: tuple[int, ...]) -> tuple[int, ...]:
    """The rows of a table, each as the bytes of one number: a GPU gets numbers as arguments, so nothing is copied."""
    return tuple(int.from_bytes(bytes(row), "little") for row in rows)


LUMA = _packed(
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = _packed(
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *[(99,) * 8] * 4,
)
SCALE = 4.0
"""Fixed point between the passes of the transform: two bits."""
TIE = 1e-4
"""Lifts halves, which are common among what is scaled by powers of two, over what float arithmetic loses."""


def compressed(image: Tensor, quality: Tensor, size: Sizes) -> Tensor:
    """Images (B, C, H, W) in [0, 1] as they come out of a JPEG file of `quality` (B,) from 1 to 100.

    Three channels are red, green and blue; others are grey images, one each.
    """
    levels = image * 255
    luma_table, chroma_table = (_table(rows, quality, image) for rows in (LUMA, CHROMA))
    if image.shape[1] != 3:
        return _cropped(_coded(_luma_blocks(levels, size), luma_table), image).clamp(0, 255) / 255
    red, green, blue = levels.split(1, 1)
    luma = _whole(0.299 * red + 0.587 * green + 0.114 * blue)
    # half a level rounds down in libjpeg's chroma
    cb = _whole(-0.168735892 * red - 0.331264108 * green + 0.5 * blue + (128 - 4 * TIE))
    cr = _whole(0.5 * red - 0.418687589 * green - 0.081312411 * blue + (128 - 4 * TIE))
    luma = _cropped(_coded(_luma_blocks(luma, size), luma_table), image)
    chroma = _coded(_halved(torch.cat([cb, cr], 1), size), chroma_table)
    cb, cr = (_cropped(_doubled(chroma, size), image) - 128).split(1, 1)
    out = torch.cat(
        [
            luma + _whole(1.402 * cr),
            luma + _whole(-0.344136286 * cb - 0.714136286 * cr),
            luma + _whole(1.772 * cb),
        ],
        1,
    )
    return out.clamp(0, 255) / 255


def _whole(values: Tensor) -> Tensor:
    """Rounded half up, with the gradient of the values themselves."""
    return values + ((values + (0.5 + TIE)).floor() - values).detach()


def _table(rows: tuple[int, ...], quality: Tensor, like: Tensor) -> Tensor:
    """(B, 8, 8) divisors: the table for quality 50, scaled as libjpeg scales it."""
    packed = torch.stack([quality.new_full((), row, dtype=torch.int64) for row in rows])
    base = (packed[:, None] >> (8 * torch.arange(8, device=quality.device))) & 255
    quality = quality.to(torch.int64)[:, None, None]
    scale = torch.where(quality < 50, 5000 // quality.clamp(min=1), 200 - 2 * quality)
    return ((base * scale + 50) // 100).clamp(1, 255).to(like.dtype)


def _clamped(place: Tensor, own: Tensor) -> Tensor:
    """Places (n,) or (B, n) held within lengths `own` (B,): (B, n) int64."""
    return torch.minimum(place.clamp(min=0), own.to(torch.int64)[:, None] - 1)


def _luma_blocks(plane: Tensor, size: Sizes) -> Tensor:
    """Whole blocks: the last row and column repeated."""
    rows, columns = (torch.arange(-(-side // 8) * 8, device=plane.device) for side in plane.shape[2:])
    return take(plane, _clamped(rows, size.height), _clamped(columns, size.width))


def _halved(plane: Tensor, size: Sizes) -> Tensor:
    """Means of 2 x 2 pixels in whole blocks; libjpeg rounds half down in even columns and half up in odd ones.

    Columns are repeated before, rows after taking means.
    """
    tall, wide = (torch.arange(-(-side // 16) * 8, device=plane.device) for side in plane.shape[2:])
    top = 2 * _clamped(tall, (size.height / 2).ceil())
    left = 2 * wide
    total = sum(
        take(plane, rows, _clamped(columns, size.width))
        for rows in (top, _clamped(top + 1, size.height))
        for columns in (left, left + 1)
    )
    mean = total / 4
    return mean + ((mean + (1 + wide % 2) / 4).floor() - mean).detach()


def _doubled(plane: Tensor, size: Sizes) -> Tensor:
    """Twice as many rows and columns: three parts of the nearest value and one of the next, along both axes."""
    rows, columns = (torch.arange(2 * side, device=plane.device) for side in plane.shape[2:])
    all_rows, all_columns = rows[None], columns[None, ::2] // 2
    near, after = _near_and_next(rows, (size.height / 2).ceil())
    plane = 3 * take(plane, near, all_columns) + take(plane, after, all_columns)
    near, after = _near_and_next(columns, (size.width / 2).ceil())
    plane = (3 * take(plane, all_rows, near) + take(plane, all_rows, after)) / 16
    return plane + ((plane + (8 - columns % 2) / 16).floor() - plane).detach()


def _near_and_next(place: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """For each fine place the coarse one that holds it and the one beside that, on its side."""
    near = place // 2
    return _clamped(near, own), _clamped(near + 2 * (place % 2) - 1, own)


def _cropped(plane: Tensor, like: Tensor) -> Tensor:
    return plane[:, :, : like.shape[2], : like.shape[3]]


def _coded(plane: Tensor, table: Tensor) -> Tensor:
    """Cosine transform of 8 x 8 blocks, divided by a table (B, 8, 8), rounded, and all the way back.

    The scales and roundings between are those of libjpeg's integer transform ("islow").
    """
    at = torch.arange(8, device=plane.device, dtype=plane.dtype)
    basis = torch.cos((2 * at + 1) * at[:, None] * (math.pi / 16)) * torch.where(at == 0, 1, math.sqrt(2))[:, None]
    blocks = (plane - 128).unflatten(2, (-1, 8)).unflatten(4, (-1, 8)).transpose(3, 4)  # (B, C, h, w, 8, 8)
    divisors = 8 * table[:, None, None, None]
    with torch.autocast(plane.device.type, enabled=False):
        parts = _whole(basis @ _whole(blocks @ basis.mT * SCALE) / SCALE) / divisors
        parts = parts + (parts.sign() * (parts.abs() + (0.5 + TIE)).floor() - parts).detach()
        values = _whole(_whole(basis.mT @ (parts * divisors) * (SCALE / 8)) @ basis / (8 * SCALE))
    return (values.transpose(3, 4).flatten(4).flatten(2, 3) + 128).clamp(0, 255)
