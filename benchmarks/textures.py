"""Surfaces that are made, not photographed: endless labelled images of parts with and without a defect.

Each image is a function of its number, its class and the seed alone, so the training images, those a classifier is
taught by and those a test is made on are never the same, however many there are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.keys import choice, fold_in, log_uniform, noise, sample_keys, uniform, uniforms

CLASSES = ("good", "scratch", "spot", "crack", "stain")
"""What an image can show; number 0 has no defect."""
KNOTS = 9


class Places(NamedTuple):
    """Coordinates of pixels about the centre of the defect, (N, H, W), in 64ths of the side: across and along it."""

    along: Tensor
    across: Tensor


def textures(ids: Tensor, labels: Tensor, *, seed: int = 0, side: int = 64) -> Tensor:
    """Images (N, 3, side, side) uint8 of items `ids` (N,) with the defects `labels` (N,), numbers of `CLASSES`.

    An item has the same surface whatever its defect: with another label, it is the same part before or after.

    >>> both = textures(torch.tensor([5, 5]), torch.tensor([0, 1]), side=32)
    >>> both.shape, bool((both[0] == both[1]).float().mean() > 0.5)
    (torch.Size([2, 3, 32, 32]), True)
    """
    keys = sample_keys(ids, seed=seed)
    image = surface(keys, side)
    places, u = _places(fold_in(keys, 1), side), uniforms(fold_in(keys, 2), 3 + KNOTS)
    for number, defect in enumerate((_scratch, _spot, _crack, _stain), 1):
        chosen = labels == number
        if bool(chosen.any()):
            image[chosen] = defect(image[chosen], Places(*(x[chosen] for x in places)), u[chosen])
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def surface(keys: Tensor, side: int) -> Tensor:
    """Surfaces (N, 3, side, side) without a defect, about in [0, 1]: cast, brushed or woven, each kind a third."""
    u = uniforms(fold_in(keys, 3), 9)
    kind = choice(u[:, 0], (1, 1, 1))
    angle, contrast = math.pi * u[:, 1], uniform(u[:, 2], 0.04, 0.08)
    stretch = torch.where(kind == 1, 8.0, 1.0)
    grain = _filtered(keys, angle, stretch, log_uniform(u[:, 3], 2.0, 5.0), side)
    threads = _woven(angle, uniform(u[:, 4], 5.0, 8.0), side)
    woven = (kind == 2)[:, None, None]
    relief = torch.where(woven, 0.5 * grain + 1.5 * threads, grain)
    colour = uniform(u[:, 5:6], 0.45, 0.65) + uniform(u[:, 6:9], -0.06, 0.06)
    return colour[:, :, None, None] + (contrast[:, None, None] * relief)[:, None]


def _filtered(keys: Tensor, angle: Tensor, stretch: Tensor, scale: Tensor, side: int) -> Tensor:
    """Normal noise (N, side, side) of mean 0 and deviation 1, smooth over `scale` pixels of 64 and longer at an angle."""
    white = noise(uniforms(fold_in(keys, 4), 2), (side, side))
    y, x = torch.meshgrid(*2 * [torch.fft.fftfreq(side, 1 / side, device=keys.device)], indexing="ij")
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = (x * cos + y * sin) * stretch[:, None, None], y * cos - x * sin
    gain = (1 + (along.square() + across.square()) * (scale[:, None, None] / 64).square()).pow(-1)
    smooth = torch.fft.ifft2(torch.fft.fft2(white) * gain).real
    smooth = smooth - smooth.mean((1, 2), keepdim=True)
    return smooth / smooth.std((1, 2), keepdim=True)


def _woven(angle: Tensor, period: Tensor, side: int) -> Tensor:
    """A plain weave (N, side, side) in about [-1, 1], of threads `period` pixels of 64 wide: each passes over, then under."""
    u, v = (x / period[:, None, None] for x in _turned(angle, angle.new_zeros(len(angle), 2), side))
    over = (u.floor() + v.floor()) % 2 == 0
    round_, bend = torch.where(over, u, v), torch.where(over, v, u)
    return 2 * (math.pi * round_).sin().abs() * (0.6 + 0.4 * (math.pi * bend).sin().abs()) - 1


def _turned(angle: Tensor, shift: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Coordinates of pixels (N, side, side) from the centre, in 64ths of the side, moved by `shift` (N, 2) and turned."""
    line = (torch.arange(side, device=angle.device) + 0.5) * (64 / side) - 32
    y, x = torch.meshgrid(line, line, indexing="ij")
    x, y = x - shift[:, 0, None, None], y - shift[:, 1, None, None]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return x * cos + y * sin, y * cos - x * sin


def _places(keys: Tensor, side: int) -> Places:
    u = uniforms(keys, 3)
    return Places(*_turned(2 * math.pi * u[:, 0], uniform(u[:, 1:], -16.0, 16.0), side))


def _drawn(distance: Tensor, half: Tensor) -> Tensor:
    """How much of a pixel a line covers, in [0, 1], by its distance (N, H, W) from the middle of the line."""
    return (half[:, None, None] + 0.5 - distance.abs()).clamp(0, 1)


def _scratch(image: Tensor, at: Places, u: Tensor) -> Tensor:
    """A thin, slightly bent, bright or dark line."""
    bend = uniform(u[:, 0], -0.006, 0.006)[:, None, None]
    length = uniform(u[:, 1], 12.0, 22.0)[:, None, None]
    fading = ((length - at.along.abs()) / 4).clamp(0, 1)
    line = _drawn(at.across - bend * at.along.square(), uniform(u[:, 2], 0.3, 0.8)) * fading
    sign = torch.where(u[:, 3] < 0.5, -1.0, 1.0)[:, None, None]
    return image + (uniform(u[:, 4], 0.22, 0.35)[:, None, None] * sign * line)[:, None]


def _spot(image: Tensor, at: Places, u: Tensor) -> Tensor:
    """A small round pit, dark, with a bright rim on one side."""
    radius = uniform(u[:, 0], 2.0, 4.5)
    distance = (at.along.square() + at.across.square()).sqrt()
    pit, rim = _drawn(distance, radius), _drawn(distance - radius[:, None, None], torch.full_like(radius, 0.6))
    light = rim * (at.along / distance.clamp(min=0.1)).clamp(min=0)
    depth = uniform(u[:, 1], 0.2, 0.35)[:, None, None]
    return image + (depth * (0.7 * light - pit))[:, None]


def _crack(image: Tensor, at: Places, u: Tensor) -> Tensor:
    """A dark jagged line that narrows towards its ends."""
    length = uniform(u[:, 0], 16.0, 26.0)[:, None, None]
    place = ((at.along / length + 1) / 2 * (KNOTS - 1)).clamp(0, KNOTS - 1 - 1e-4)
    knots = uniform(u[:, 3:], -4.5, 4.5)
    first = place.floor().long()
    low, high = (knots.gather(1, (first + step).flatten(1)).view_as(place) for step in (0, 1))
    slope = (high - low) * (KNOTS - 1) / (2 * length)
    distance = (at.across - low - (high - low) * (place - first)) / (1 + slope.square()).sqrt()
    inside = ((length - at.along.abs()) / 6).clamp(0, 1)
    line = (inside * uniform(u[:, 1], 0.9, 1.4)[:, None, None] + 0.2 - distance.abs()).clamp(0, 1) * (inside > 0)
    return image * (1 - uniform(u[:, 2], 0.6, 0.85)[:, None, None] * line)[:, None]


def _stain(image: Tensor, at: Places, u: Tensor) -> Tensor:
    """A large blot with an uneven, soft edge, through which the surface shows in another colour."""
    angle = torch.atan2(at.across, at.along)
    edge = sum(uniform(u[:, k], -2.0, 2.0)[:, None, None] * ((k + 1) * angle).cos() for k in range(1, 4))
    edge = edge + uniform(u[:, 0], 8.0, 14.0)[:, None, None]
    distance = (at.along.square() + at.across.square()).sqrt()
    blot = torch.sigmoid((edge - distance) / 0.8)
    brown = torch.tensor([0.0, 0.08, 0.2], device=u.device)
    tint = uniform(u[:, 4:5], 0.5, 0.85) + uniform(u[:, 5:8], -0.05, 0.05) - brown
    return image * (1 - blot[:, None] * (1 - tint[:, :, None, None]))
