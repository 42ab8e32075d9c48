"""What a way through air takes away from a sound."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from torchaug.audio.convolve import shaped
from torchaug.audio.kinds import Wave
from torchaug.audio.ranges import ordered
from torchaug.image.arguments import whole
from torchaug.keys import uniform
from torchaug.transform import Sizes

RINGS = 0.05
"""Seconds until the impulse response is over."""
ROOM, TRIPLE = 293.15, 273.16
"""Kelvin: the reference temperature, and the triple point of water."""


def attenuation(frequency: Tensor, temperature: Tensor, humidity: Tensor) -> Tensor:
    """The absorption of sound by air at sea level, in dB per metre: ISO 9613-1:1993, equations 3 to 5 and B.3.

    Args:
        frequency: in Hz.
        temperature: in degrees Celsius.
        humidity: relative, in percent.

    Returns:
        Of the shape that the three broadcast to.

    >>> (1000 * attenuation(torch.tensor(1000.0), torch.tensor(20.0), torch.tensor(70.0))).round(decimals=1)
    tensor(5.)
    """
    kelvin = temperature + 273.15
    warm = kelvin / ROOM
    vapour = humidity * 10 ** (4.6151 - 6.8346 * (TRIPLE / kelvin) ** 1.261)
    oxygen = 24 + 4.04e4 * vapour * (0.02 + vapour) / (0.391 + vapour)
    nitrogen = warm**-0.5 * (9 + 280 * vapour * torch.exp(-4.17 * (warm ** (-1 / 3) - 1)))
    square = frequency.square()
    classical = 1.84e-11 * warm.sqrt()
    relaxed = 0.01275 * torch.exp(-2239.1 / kelvin) / (oxygen + square / oxygen)
    relaxed = relaxed + 0.1068 * torch.exp(-3352.0 / kelvin) / (nitrogen + square / nitrogen)
    return 8.686 * square * (classical + warm**-2.5 * relaxed)


class AirAbsorption(Wave):
    """Dampen high frequencies as a way through air does, as audiomentations' transform of this name.

    It does what ISO 9613-1 says of the temperature and the humidity that were drawn, at each frequency. The sound gets no
    quieter by its distance otherwise, and no later.

    Parameters per sample: `distance`, `temperature`, `humidity`, each uniform.

    >>> hiss = torch.tensor([1.0, -1.0]).repeat(2, 1, 4000)
    >>> AirAbsorption(min_distance=100, p=1.0, sample_rate=16000)(hiss)[..., 4000].abs().max() < 0.5
    tensor(True)

    Args:
        min_temperature: in degrees Celsius, from -20 to 50.
        max_temperature: likewise.
        min_humidity: relative, in percent, from 10 to 100.
        max_humidity: likewise.
        min_distance: in metres, at least 0.
        max_distance: likewise.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    uniforms = 3

    def __init__(
        self,
        min_temperature: float = 10.0,
        max_temperature: float = 20.0,
        min_humidity: float = 30.0,
        max_humidity: float = 90.0,
        min_distance: float = 10.0,
        max_distance: float = 100.0,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        who = "AirAbsorption"
        self.min_temperature, self.max_temperature = ordered(
            min_temperature, max_temperature, who, "temperature", -20, 50
        )
        self.min_humidity, self.max_humidity = ordered(min_humidity, max_humidity, who, "humidity", 10, 100)
        self.min_distance, self.max_distance = ordered(min_distance, max_distance, who, "distance", 0)
        self.sample_rate = whole(sample_rate, who, "sample_rate", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return self.settings(u)

    def settings(self, u: Tensor) -> dict[str, Tensor]:
        """What is drawn, (B,) each, from `u` (B, uniforms)."""
        return {
            "temperature": uniform(u[:, 0], self.min_temperature, self.max_temperature),
            "humidity": uniform(u[:, 1], self.min_humidity, self.max_humidity),
            "distance": uniform(u[:, 2], self.min_distance, self.max_distance),
        }

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        temperature, humidity, distance = (value[:, None] for value in self.settings(u).values())

        def gains(size: int) -> Callable[[slice], Tensor]:
            bins = torch.arange(size // 2 + 1, device=u.device, dtype=waveform.dtype)
            frequency = bins * (self.sample_rate / size)
            return lambda rows: (
                10 ** (attenuation(frequency, temperature[rows], humidity[rows]) * (distance[rows] / -20))
            )

        return shaped(waveform, lengths, int(RINGS * self.sample_rate) + 64, gains)
