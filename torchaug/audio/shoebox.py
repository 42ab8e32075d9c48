"""Impulse responses of rooms like shoeboxes, by mirror images of the source."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SPEED = 343.0
"""Metres per second, of sound in air at 20 degrees."""
REACH = 20
"""Samples on each side of a reflection that its windowed sinc takes."""
LONGEST = 5.0
"""Seconds that a room rings at most."""
DIRECTIONS = 128
"""In which later reflections are counted, of an eighth of the sphere: the others are like these."""


def images(order: int, device: torch.device) -> Tensor:
    """(I, 3) how many rooms away the images with up to `order` reflections are along each axis, the source itself first."""
    side = torch.arange(-order, order + 1, device=device)
    cube = torch.cartesian_prod(side, side, side)
    count = (4 * order**3 + 6 * order**2 + 8 * order + 3) // 3  # of an octahedron of lattice points
    nearest = cube.abs().sum(1).argsort(stable=True)[:count]  # which waits for no count of what a mask would leave
    return cube[nearest]


def reflections(room: Tensor, source: Tensor, microphone: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Distances (B, I) in metres of all images from the microphone, and how often (I,) each was reflected.

    Args:
        room: (B, 3) its size in metres; one corner is the origin.
        source: (B, 3) where it is.
        microphone: (B, 3) likewise.
        order: reflections at most.
    """
    away = images(order, room.device)
    mirrored = torch.where(away % 2 == 0, source[:, None], room[:, None] - source[:, None])
    place = away * room[:, None] + mirrored
    return (place - microphone[:, None]).square().sum(2).sqrt(), away.abs().sum(1)


def longest(room: tuple[float, ...], order: int) -> float:
    """Metres: no image of at most `order` reflections is farther in a room of this size, or a smaller one."""
    steps = [(i, j, order - i - j) for i in range(order + 1) for j in range(order + 1 - i)]
    return max(math.hypot(*((n + 1) * side for n, side in zip(step, room, strict=True))) for step in steps)


def response(distance: Tensor, count: Tensor, absorption: Tensor, sample_rate: int, samples: int) -> Tensor:
    """Impulse responses (B, samples + 2 REACH): sample REACH is when the direct sound arrives, and its gain is 1.

    Allen and Berkley, "Image method for efficiently simulating small-room acoustics" (JASA 65, 1979), with delays between
    samples as Peterson has them (JASA 80, 1986): each reflection is a sinc under a Hann window.

    Args:
        distance: (B, I) metres, the source first.
        count: (I,) reflections of each.
        absorption: (B,) the part of the energy that a wall keeps, in [0, 1].
        sample_rate: in Hz.
        samples: those later are left out.
    """
    direct = distance[:, :1].clamp(min=0.01)
    gain = (1 - absorption[:, None]) ** (count / 2) * direct / distance.clamp(min=0.01)
    late = (distance - distance[:, :1]) * (sample_rate / SPEED)
    first = late.floor()
    taps = torch.arange(1 - REACH, REACH + 1, device=distance.device)
    gap = (taps - (late - first)[..., None]).to(torch.float32)
    window = 0.5 + 0.5 * torch.cos(gap * (math.pi / REACH))
    values = gain[..., None].to(torch.float32) * torch.sinc(gap) * window
    places = first.to(torch.int64)[..., None] + taps + REACH
    length = samples + 2 * REACH
    out = values.new_zeros(len(distance), length + 1)  # one more, for what is left out
    return out.scatter_add(1, places.clamp(0, length).flatten(1), values.flatten(1))[:, :length]


def late_power(
    room: Tensor, direct: Tensor, absorption: Tensor, order: int, sample_rate: int, seconds: Tensor
) -> Tensor:
    """(B, S) the energy per sample that images of more than `order` reflections bring on average.

    In a direction whose cosines are c, a way of r metres passes r (c_x / L_x + c_y / L_y + c_z / L_z) walls, and images are
    as dense as rooms are: 4 pi r^2 / volume for each metre. After Lehmann and Johansson, "Diffuse reverberation model for
    efficient image-source simulation of room impulse responses" (IEEE TASLP 18, 2010).

    Args:
        room: (B, 3) its size in metres.
        direct: (B,) metres from the source to the microphone; the gain of the direct sound is 1.
        absorption: (B,) the part of the energy that a wall keeps, in [0, 1].
        order: reflections that are there already.
        sample_rate: in Hz.
        seconds: (S,) after the direct sound.
    """
    direct = direct.clamp(min=0.01)
    way = direct[:, None] + seconds * SPEED
    walls = (1 / room) @ _directions(room).T  # (B, D) for each metre
    passed = walls[:, None] * way[..., None]
    kept = torch.exp(passed * torch.log1p(-absorption)[:, None, None])
    density = 4 * math.pi * SPEED / (room.prod(1) * sample_rate) * direct.square()
    return density[:, None] * torch.where(passed > order + 0.5, kept, 0).mean(2)


def rings_for(room: tuple[float, ...], absorption: float) -> float:
    """Seconds after which a room of this size, or a smaller one, has lost all but a millionth of the energy; at most `LONGEST`."""
    seconds = torch.arange(0, LONGEST, 0.01, dtype=torch.float64)
    size, one = torch.tensor([room], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    left = late_power(size, one, absorption * one, -1, 100, seconds)[0].flip(0).cumsum(0).flip(0)
    return 0.01 * int((left > 1e-6 * left[0]).sum())


def _directions(like: Tensor) -> Tensor:
    """(D, 3) cosines of directions spread evenly over an eighth of the sphere: a spiral of golden angles."""
    place = torch.arange(DIRECTIONS, dtype=like.dtype, device=like.device)
    height = (place + 0.5) / DIRECTIONS
    turn = (place * ((math.sqrt(5) - 1) / 2)) % 1 * (math.pi / 2)
    flat = (1 - height.square()).sqrt()
    return torch.stack([flat * torch.cos(turn), flat * torch.sin(turn), height], 1)
