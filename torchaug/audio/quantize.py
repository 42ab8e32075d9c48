"""Waveforms of fewer levels and fewer samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug.audio.kinds import Wave, taken
from torchaug.audio.ranges import mel_uniform, ordered
from torchaug.image import arguments
from torchaug.keys import dense_uniforms, integers
from torchaug.transform import Sizes

A = 87.6
"""Of G.711's A-law."""


def _passed(levels: Tensor, waveform: Tensor) -> Tensor:
    """`levels`, to the last bit, with the gradient of `waveform`: straight-through, since steps have none."""
    return levels.detach() + (waveform - waveform.detach())


class BitCrush(Wave):
    """Round a waveform to fewer bits: 2^d levels from -1 up to 1 - 2^(1-d), as an integer file of d bits has.

    What lies outside is clipped. Gradients pass the rounding by. (audiomentations' steps make 2^d + 3 levels.)

    >>> BitCrush(3, 3, p=1.0)(torch.tensor([0.3, -1.0, 1.0]))
    tensor([ 0.2500, -1.0000,  0.7500])

    Args:
        min_bit_depth: least depth, at least 1.
        max_bit_depth: greatest depth, at most 32.
        dither: add triangular noise of two steps before rounding, so that the error is noise and no distortion of the sound
            (Lipshitz, Wannamaker and Vanderkooy, "Quantization and Dither", 1992).
        p: chance per sample.

    Parameters per sample: bit_depth, uniform.
    """

    straight_through = True

    def __init__(self, min_bit_depth: int = 5, max_bit_depth: int = 10, dither: bool = False, p: float = 0.5) -> None:
        super().__init__(p)
        self.min_bit_depth = arguments.whole(min_bit_depth, "BitCrush", "min_bit_depth", 1, 32)
        self.max_bit_depth = arguments.whole(max_bit_depth, "BitCrush", "max_bit_depth", 1, 32)
        ordered(min_bit_depth, max_bit_depth, "BitCrush", "bit_depth")
        self.dither = dither
        self.uniforms = 5 if dither else 1

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"bit_depth": self._depth(u)}

    def _depth(self, u: Tensor) -> Tensor:
        return integers(u[:, 0], self.min_bit_depth, self.max_bit_depth + 1)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        # a shift makes powers of two that are exact in every dtype
        steps = (torch.ones_like(lengths) << (self._depth(u) - 1)).to(waveform.dtype)[:, None, None]
        levels = _held(waveform.detach() * steps, steps)
        if self.dither:
            first, second = (dense_uniforms(u[:, i : i + 2], waveform.shape[1:]) for i in (1, 3))
            levels = _held(levels.add_((first - second).to(waveform.dtype)), steps)
        levels = levels.round_().mul_(1 / steps)
        if not waveform.requires_grad:
            return levels
        return _passed(levels, torch.minimum(waveform.clamp(min=-1), 1 - 1 / steps))


def _held(levels: Tensor, steps: Tensor) -> Tensor:
    """Levels within those that there are, in place: each pass that makes a tensor of its own takes three times as long."""
    torch.maximum(levels, -steps, out=levels)
    return torch.minimum(levels, steps - 1, out=levels)


class MuLaw(Wave):
    """Through the mu-law of telephones and back: fine steps for soft samples, coarse ones for loud ones.

    The companding formula of G.711, with levels spaced evenly in it, as torchaudio's encoding and decoding have them. What lies
    outside of [-1, 1] is clipped. Gradients pass the steps by.

    >>> MuLaw(256, p=1.0)(torch.tensor([0.5, -0.01]))
    tensor([ 0.4967, -0.0102])

    Args:
        quantization_channels: number of levels, at least 2.
        p: chance per sample.
    """

    straight_through = True

    def __init__(self, quantization_channels: int = 256, p: float = 0.5) -> None:
        super().__init__(p)
        self.quantization_channels = arguments.whole(quantization_channels, "MuLaw", "quantization_channels", 2)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        mu = self.quantization_channels - 1.0
        inside = waveform.clamp(-1, 1)
        size = _stepped(inside.sign() * torch.log1p(mu * inside.abs()) / math.log1p(mu), self.quantization_channels)
        return _passed(size.sign() * torch.expm1(size.abs() * math.log1p(mu)) / mu, inside)


class ALaw(Wave):
    """Through the A-law of European telephones and back: as `MuLaw`, with a linear part for the softest samples.

    The companding formula of G.711 with A = 87.6, and levels spaced evenly in it.

    >>> ALaw(256, p=1.0)(torch.tensor([0.5, -0.01]))
    tensor([ 0.5032, -0.0100])

    Args:
        quantization_channels: number of levels, at least 2.
        p: chance per sample.
    """

    straight_through = True

    def __init__(self, quantization_channels: int = 256, p: float = 0.5) -> None:
        super().__init__(p)
        self.quantization_channels = arguments.whole(quantization_channels, "ALaw", "quantization_channels", 2)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        inside = waveform.clamp(-1, 1)
        grown, scale = A * inside.abs(), 1 + math.log(A)
        squeezed = torch.where(grown < 1, grown, 1 + grown.clamp(min=1).log()) / scale
        size = _stepped(inside.sign() * squeezed, self.quantization_channels)
        grown = size.abs() * scale
        return _passed(size.sign() * torch.where(grown < 1, grown, (grown - 1).exp()) / A, inside)


def _stepped(companded: Tensor, levels: int) -> Tensor:
    """Values in [-1, 1] at the nearest of so many evenly spaced levels, both ends among them."""
    return torch.floor((companded + 1) / 2 * (levels - 1) + 0.5) / (levels - 1) * 2 - 1


class Aliasing(Wave):
    """Sample a waveform at a lower rate without a filter, and hold each sample: high tones come back as wrong low ones.

    >>> Aliasing(4000, 4000, p=1.0, sample_rate=8000)(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    tensor([0.1000, 0.1000, 0.3000, 0.3000])

    Args:
        min_sample_rate: least rate in Hz, at least 2.
        max_sample_rate: greatest one. Waveforms stay as they are at rates of their own and above.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.

    Parameters per sample: new_sample_rate, a whole number, uniform on the mel scale.
    """

    uniforms = 1

    def __init__(
        self, min_sample_rate: int = 8000, max_sample_rate: int = 30000, p: float = 0.5, *, sample_rate: int
    ) -> None:
        super().__init__(p)
        ordered(min_sample_rate, max_sample_rate, "Aliasing", "sample_rate", 2)
        self.min_sample_rate, self.max_sample_rate = min_sample_rate, max_sample_rate
        self.sample_rate = arguments.whole(sample_rate, "Aliasing", "sample_rate", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"new_sample_rate": self._rate(u)}

    def _rate(self, u: Tensor) -> Tensor:
        rate = mel_uniform(u[:, 0].to(torch.float64), self.min_sample_rate, self.max_sample_rate)
        return torch.round(rate).to(torch.int64)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        # floors of quotients of whole numbers below 2^53: exact in float64, and faster than whole division
        rate = self._rate(u).clamp(max=self.sample_rate).to(torch.float64)[:, None]
        time = torch.arange(waveform.shape[-1], dtype=torch.float64, device=waveform.device)
        tick = torch.floor(time * rate / self.sample_rate)
        return taken(waveform, torch.ceil(tick * self.sample_rate / rate).to(torch.int64))
