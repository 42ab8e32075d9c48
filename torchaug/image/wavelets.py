"""Resampling and filtering with wavelets, as adaptive discriminator augmentation does them (Karras et al., 2020)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.image import matrices
from torchaug.image.filters import bilinear, border_indices
from torchaug.transform import Sizes

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""The least asymmetric orthogonal low-pass filter with six vanishing moments (Daubechies, "Ten Lectures on Wavelets", 1992)."""
CENTRE = 5
"""Its tap at an even place of the upsampled image: upsampled, image pixel k spreads over places 2k - 5 to 2k + 6."""
OFFSET = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6) - CENTRE
"""Where the mass of that spread lies: pixel k is at place 2k + 0.098. Leaving it out would shift a flipped image."""
HALF_BAND = ((1, 9 / 32), (3, -1 / 32))
"""The low-pass H(z) H(1/z) / 2 of the sym2 wavelet is 1/2 and these taps at both sides, by distance."""
REACH = 3 * (1 + 2 + 4)
"""Taps of `band_kernel` at each side of its centre."""


def warped(image: Tensor, matrix: Tensor, size: Sizes, ragged: bool) -> Tensor:
    """Images under an affine map, resampled between a wavelet's upsampling and downsampling.

    The image goes on for ever as its mirror images. Upsampled by two it repeats with a period of four times its length less
    one, so one period holds all of it, whatever the map: no margin depends on values. The identity gives the image back.

    Args:
        image: (B, C, H, W) float.
        matrix: (B, 3, 3) output -> input, in pixels.
        size: of the images.
        ragged: whether they differ.

    Returns:
        (B, C, H, W), linear in the image and twice differentiable.
    """
    x, y = (_halves(length, image) for length in (image.shape[3], image.shape[2]))
    e = matrix.to(image.dtype)[:, :, :, None, None]
    x, y = x[None, None, :], y[None, :, None]
    at_x, at_y = (e[:, i, 0] * x + e[:, i, 1] * y + e[:, i, 2] for i in (0, 1))
    fine = upsampled(image, size, ragged)
    columns, rows = (
        (2 * at - 1 + OFFSET).remainder((4 * length[:, None, None] - 4).clamp(min=1).to(image.dtype))
        for at, length in ((at_x, size.width), (at_y, size.height))
    )
    return downsampled(_read(fine, rows, columns))


def _halves(length: int, like: Tensor) -> Tensor:
    """Coordinates of the places that a downsampling to `length` pixels reads, half a pixel apart."""
    place = torch.arange(-CENTRE, 2 * length + len(SYM6) - 2 - CENTRE, device=like.device, dtype=like.dtype)
    return (place - OFFSET) / 2 + 0.5


def _read(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear values at rows y and columns x, all inside."""
    if image.requires_grad and torch.is_grad_enabled():
        return bilinear(image, Sizes.of((image.shape[2], image.shape[3]), None, y), y, x)
    across, down = ((n - 1) / 2 for n in (image.shape[3], image.shape[2]))
    grid = torch.stack([x / across - 1, y / down - 1], -1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def upsampled(image: Tensor, size: Sizes, ragged: bool) -> Tensor:
    """(B, C, 4H - 2, 4W - 2): one period and an entry more of the mirrored images, twice as dense."""
    heights, widths = (s if ragged else s[:1] for s in (size.height, size.width))
    return _products(
        image, *(_upsampling(n, s, image) for n, s in zip(image.shape[2:], (heights, widths), strict=True))
    )


def downsampled(image: Tensor) -> Tensor:
    """(B, C, 2H + 10, 2W + 10) -> (B, C, H, W): undoes `upsampled`."""
    return _products(image, *(_downsampling(n // 2 - CENTRE, image) for n in image.shape[2:]))


def _products(image: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Matrices (1 or B, rows, H) and (1 or B, columns, W) applied to the axes: less time than strided convolutions."""
    down, across = (m[0] if len(m) == 1 else m[:, None] for m in (down, across))
    with torch.autocast(image.device.type, enabled=False):
        return torch.matmul(down, torch.matmul(image, across.mT))


def _upsampling(length: int, own: Tensor, like: Tensor) -> Tensor:
    """(1 or B, 4 length - 2, length), from the lengths `own` of the images.

    Pixel k + t, weighted with tap p - 2t + CENTRE, adds to the upsampled place 2k + p.
    """
    weights = [[math.sqrt(2) * _tap(phase - 2 * t + CENTRE) for t in range(-3, 4)] for phase in (0, 1)]
    taps = torch.stack([_taps(row, like) for row in weights])
    pixels, _ = border_indices(2 * length - 1, 3, own, "reflect")
    read = pixels.unfold(1, 7, 1)[:, :, None].expand(-1, -1, 2, -1).flatten(1, 2)
    matrix = like.new_zeros(len(pixels), 4 * length - 2, length)
    return matrix.scatter_add(2, read, taps.repeat(2 * length - 1, 1).expand(len(pixels), -1, -1))


def _downsampling(length: int, like: Tensor) -> Tensor:
    """(1, length, 2 length + 10)."""
    taps = _taps([tap / math.sqrt(2) for tap in SYM6], like)
    place = torch.arange(2 * length + 2 * CENTRE, device=like.device)
    tap = place - 2 * torch.arange(length, device=like.device)[:, None]
    return torch.where((tap >= 0) & (tap < len(taps)), taps[tap.clamp(0, len(taps) - 1)], 0)[None]


def _tap(i: int) -> float:
    return SYM6[i] if 0 <= i < len(SYM6) else 0.0


def _taps(values: list[float], like: Tensor) -> Tensor:
    """(n,) on the device, filled in place of a copy from the host, which would wait."""
    return torch.stack([like.new_full((), value) for value in values])


def band_kernel(gains: Tensor) -> Tensor:
    """Filters that amplify frequency bands: (B, 4) gains of [0, 1/8], [1/8, 1/4], [1/4, 1/2] and [1/2, 1] of the highest
    frequency -> (B, 2 REACH + 1) symmetric taps.

    With the low-pass P and the high-pass 1 - P of a perfect reconstruction pair, the band filters are 1 - P(z),
    P(z) (1 - P(z^2)), P(z) P(z^2) (1 - P(z^4)) and P(z) P(z^2) P(z^4), which sum to 1. Summed up from the lowest band:
    K <- g + P(z^s) (K - g) for s = 4, 2, 1.
    """
    impulse = (torch.arange(-REACH, REACH + 1, device=gains.device) == 0).to(gains.dtype)
    kernel = gains[:, :1] * impulse
    for band, step in ((1, 4), (2, 2), (3, 1)):
        flat = gains[:, band, None] * impulse
        kernel = flat + _low_pass(kernel - flat, step)
    return kernel


def _low_pass(taps: Tensor, step: int) -> Tensor:
    """(B, n) taps filtered with P(z^step), no wider than before: what leaves the ends is 0."""
    total = taps / 2
    for distance, weight in HALF_BAND:
        shift, n = distance * step, taps.shape[1]
        wide = F.pad(taps, (shift, shift))
        total = total + weight * (wide[:, :n] + wide[:, 2 * shift :])
    return total


def identity(matrix: Tensor) -> Tensor:
    """(B,) bool: which maps change nothing."""
    return (matrix == matrices.identity(len(matrix), matrix)).flatten(1).all(1)
