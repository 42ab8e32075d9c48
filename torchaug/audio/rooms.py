"""Rooms like shoeboxes, another one for each sample."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from torchaug.audio.convolve import convolve
from torchaug.audio.kinds import Wave, silenced
from torchaug.audio.ranges import ordered
from torchaug.audio.shoebox import REACH, SPEED, late_power, longest, reflections, response, rings_for
from torchaug.image.arguments import finite, number, whole
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes

Metres = tuple[float, float, float]
STEP = 64
"""Samples from one point to the next at which the energy of later reflections is worked out."""


class RoomSimulator(Wave):
    """Put each sound into a shoebox room of its own size, walls and places.

    What audiomentations' transform of this name does by pyroomacoustics, one clip at a time: early reflections by mirror
    images, up to an order, and in the place of ray tracing normal noise with the energy that all later images have on average.
    All walls keep the same part of the energy at all frequencies. The direct sound arrives when it did: nothing is delayed,
    and what rings after a sound's end, or longer than 5 s, is cut off. The response has the energy 1, so noise keeps its
    level. All channels hear the same room.

    Parameters per sample: `size`, `source` and `microphone` (3 each, in metres), `absorption`; each is uniform, and the
    microphone in any direction from the source, but within the room.

    >>> RoomSimulator(p=1.0, sample_rate=16000)(torch.randn(4, 1, 8000)).shape
    torch.Size([4, 1, 8000])

    Args:
        min_size: of the room along x, y and z, in metres, at least 0.5 each.
        max_size: likewise.
        min_source: where the source is at least, from one corner of the room, along x, y and z.
        max_source: where it is at most; it is never nearer to a wall than `padding`.
        min_absorption_value: the part of the energy that walls keep, in [0, 1]: 0.05 of a factory, 0.4 of a studio.
        max_absorption_value: likewise.
        min_mic_distance: of the microphone from the source, in metres, above 0.
        max_mic_distance: likewise.
        max_order: reflections at most, from 1 to 20; time and memory grow with its third power.
        padding: metres from the walls to source and microphone, at least.
        late_reverberation: what comes after the reflections of `max_order`: the larger part of what is heard of a room that
            keeps little. Off, it takes less time and memory.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    def __init__(
        self,
        min_size: Sequence[float] = (3.6, 3.6, 2.4),
        max_size: Sequence[float] = (5.6, 3.9, 3.0),
        min_source: Sequence[float] = (0.1, 0.1, 1.0),
        max_source: Sequence[float] = (3.5, 2.7, 2.1),
        min_absorption_value: float = 0.075,
        max_absorption_value: float = 0.4,
        min_mic_distance: float = 0.15,
        max_mic_distance: float = 0.35,
        max_order: int = 6,
        padding: float = 0.1,
        late_reverberation: bool = True,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        who = "RoomSimulator"
        self.min_size, self.max_size = _box(min_size, max_size, "size", 0.5)
        self.min_source, self.max_source = _box(min_source, max_source, "source", 0)
        absorption = ordered(min_absorption_value, max_absorption_value, who, "absorption_value", 0, 1)
        self.min_absorption_value, self.max_absorption_value = absorption
        self.min_mic_distance, self.max_mic_distance = ordered(
            min_mic_distance, max_mic_distance, who, "mic_distance", 0.01
        )
        self.max_order = whole(max_order, who, "max_order", 1, 20)
        self.padding = number(padding, who, "padding", 0, 0.45 * min(self.min_size))
        self.sample_rate = whole(sample_rate, who, "sample_rate", 1)
        self.late_reverberation = late_reverberation
        self.uniforms = 12 if late_reverberation else 10
        seconds = longest(self.max_size, self.max_order) / SPEED
        if late_reverberation:
            seconds = max(seconds, rings_for(self.max_size, self.min_absorption_value))
        self.samples = math.ceil(seconds * self.sample_rate) + 1

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return self.settings(u)

    def settings(self, u: Tensor) -> dict[str, Tensor]:
        """What is drawn, (B,) or (B, 3) each, from `u` (B, uniforms)."""
        room = torch.stack([uniform(u[:, i], self.min_size[i], self.max_size[i]) for i in range(3)], 1)
        last = room - self.padding
        low, high = [], []
        for i in range(3):
            high.append(last[:, i].clamp(max=max(self.padding, self.max_source[i])))
            low.append(torch.minimum(high[i], torch.full_like(high[i], max(self.padding, self.min_source[i]))))
        source = uniform(u[:, 3:6], torch.stack(low, 1), torch.stack(high, 1))
        distance = uniform(u[:, 6:7], self.min_mic_distance, self.max_mic_distance)
        microphone = source + distance * _direction(u[:, 7], u[:, 8])
        microphone = torch.minimum(microphone.clamp(min=self.padding), last)
        absorption = uniform(u[:, 9], self.min_absorption_value, self.max_absorption_value)
        return {"size": room, "source": source, "microphone": microphone, "absorption": absorption}

    def responses(self, u: Tensor) -> Tensor:
        """(B, samples) float32 impulse responses of energy 1; the direct sound is at sample `REACH`."""
        settings = {name: value.to(torch.float64) for name, value in self.settings(u).items()}
        distance, count = reflections(settings["size"], settings["source"], settings["microphone"], self.max_order)
        found = response(distance, count, settings["absorption"], self.sample_rate, self.samples)
        if self.late_reverberation:
            late = noise(u[:, 10:12], (self.samples,)) * self._late(settings, distance[:, 0])
            found = found + functional.pad(late, (REACH, REACH))
        return found / found.square().sum(1, keepdim=True).sqrt()

    def _late(self, settings: dict[str, Tensor], direct: Tensor) -> Tensor:
        """(B, samples) the amplitude of what comes later."""
        count = -(-self.samples // STEP) + 1
        seconds = torch.arange(count, device=direct.device, dtype=torch.float32) * (STEP / self.sample_rate)
        room, absorption, direct = (v.to(torch.float32) for v in (settings["size"], settings["absorption"], direct))
        level = late_power(room, direct, absorption, self.max_order, self.sample_rate, seconds).sqrt()
        between = functional.interpolate(level[:, None], (count - 1) * STEP + 1, mode="linear", align_corners=True)
        return between[:, 0, : self.samples]

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        samples = waveform.shape[-1]
        responses = self.responses(u)[:, None, : samples + REACH].to(waveform.dtype)
        return convolve(silenced(waveform, lengths), responses)[..., REACH : REACH + samples]


def _box(low: Sequence[float], high: Sequence[float], name: str, least: float) -> tuple[Metres, Metres]:
    """The least and greatest of three coordinates each."""
    pairs = []
    for side, values in (("min", low), ("max", high)):
        if len(finite(values)) != 3:
            raise ValueError(f"RoomSimulator: {side}_{name} must be three numbers of metres (x, y, z), got {values!r}")
    for a, b in zip(finite(low), finite(high), strict=True):
        pairs.append(ordered(a, b, "RoomSimulator", name, least))
    (x0, x1), (y0, y1), (z0, z1) = pairs
    return (x0, y0, z0), (x1, y1, z1)


def _direction(u: Tensor, v: Tensor) -> Tensor:
    """(B, 3) points on the unit sphere, as likely everywhere."""
    height = 2 * u - 1
    flat, turn = (1 - height.square()).clamp(min=0).sqrt(), 2 * math.pi * v
    return torch.stack([flat * torch.cos(turn), flat * torch.sin(turn), height], 1)
