"""What lossy codecs leave of sound that is stored or sent with few bits."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.audio.kinds import Wave, silenced
from torchaug.audio.mdct import inverse_mdct, mdct
from torchaug.image.arguments import one_of, whole, within
from torchaug.keys import uniform
from torchaug.transform import Sizes

HALVINGS = 13
"""Of the range that the loudness of the noise is sought in: to 0.03 dB."""
SHARE = 0.7
"""Noise follows the curve to this power: at 1 a wider band could take bits that louder ones need, and more bits make a sound
worse."""
OFFSET = 15.0  # dB from a masking band to what it hides
FULL_SCALE = 96.0  # dB SPL of a full-scale sine, as a loud room has it


class LossyCodec(Wave):
    """What MP3, AAC and their like leave of a sound at few bits: no high frequencies, and noise where louder sound hides it.

    The sound's modified discrete cosine transform is rounded, in each band of a Bark with a step of its own. The steps of a
    frame follow a curve of masking (what louder bands hide, and the threshold in quiet), as far below or above it as its
    bits allow; normal numbers would have that entropy. Above a frequency that falls with the bits nothing is kept. The
    window does not become shorter for transients: these get the smear ahead of them that encoders try to avoid.

    Samples stay where they are, and the gradient passes by the rounding (straight-through).

    >>> LossyCodec(16, 16, sample_rate=16000, p=1.0)(torch.rand(2, 1, 16000)).shape
    torch.Size([2, 1, 16000])

    Args:
        min_bitrate: the fewest kbit/s, for all channels together.
        max_bitrate: the most.
        sample_rate: in Hz.
        window: samples of the transform: 2048, AAC's long one, or 256, its short one, which smears less and has less left at
            the same bits.
        p: chance per sample.

    Parameters per sample: bitrate, in kbit/s.
    """

    uniforms = 1
    straight_through = True

    def __init__(
        self, min_bitrate: float = 8, max_bitrate: float = 64, *, sample_rate: int, window: int = 2048, p: float = 0.5
    ) -> None:
        super().__init__(p)
        self.min_bitrate, self.max_bitrate = within(
            (min_bitrate, max_bitrate), "LossyCodec", "(min_bitrate, max_bitrate)", 0, above=True
        )
        self.sample_rate = whole(sample_rate, "LossyCodec", "sample_rate", 1)
        self.window = one_of(window, "LossyCodec", "window", (2048, 256))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"bitrate": uniform(u[:, 0], self.min_bitrate, self.max_bitrate)}

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        if not waveform.numel():
            return waveform
        bitrate = uniform(u[:, 0], self.min_bitrate, self.max_bitrate).to(waveform.dtype)
        coefficients = mdct(silenced(waveform, lengths), self.window)
        hertz = frequencies(self.window, self.sample_rate, waveform)
        heard = hertz < cutoff(bitrate, waveform.shape[1])[:, None, None, None]
        coefficients = torch.where(heard, coefficients, torch.zeros_like(coefficients))
        steps = noise_steps(coefficients.detach(), hertz, bits=bitrate * 1000 * self.window / 2 / self.sample_rate)
        return inverse_mdct(rounded(coefficients / steps) * steps, waveform.shape[-1])


def rounded(values: Tensor) -> Tensor:
    """To whole numbers, with the gradient of the identity."""
    return values + (values.round() - values).detach()


def frequencies(window: int, sample_rate: int, like: Tensor) -> Tensor:
    """(window // 2,) Hz, of the coefficients of a window."""
    return (torch.arange(window // 2, device=like.device, dtype=like.dtype) + 0.5) * (sample_rate / window)


def cutoff(bitrate: Tensor, channels: int) -> Tensor:
    """Hz up to which encoders keep anything at so many kbit/s: of two channels about 2 kHz at 8, 11 at 64, 16 at 128.

    A curve through what LAME does with noise: from 50 to 320 kbit/s of two channels it is off by 15 % at most.
    """
    shared = 1.5 if channels == 1 else 2 / max(1, channels)
    return 20500 * (1 - torch.exp(-shared * bitrate / 85))


def bark(hertz: Tensor) -> Tensor:
    """The critical-band rate (Zwicker and Terhardt, JASA 1980)."""
    return 13 * torch.atan(0.00076 * hertz) + 3.5 * torch.atan((hertz / 7500) ** 2)


def quiet(hertz: Tensor) -> Tensor:
    """The power, 1 being full scale, of a tone that is just heard in quiet (Terhardt, 1979), up to 16 kHz."""
    khz = hertz.clamp(20, 16000) / 1000
    level = 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    return 10 ** ((level - FULL_SCALE) / 10) / 2


def noise_steps(coefficients: Tensor, hertz: Tensor, bits: Tensor) -> Tensor:
    """The steps that coefficients (B, C, frames, n) at `hertz` (n,) are rounded with, for `bits` (B,) a frame.

    The noise of a band has the power of its masking curve, to the power of `SHARE`, times a factor that is the same for all
    bands and channels of a frame: the larger, the fewer bits it takes. The factor for the bits there are is sought by halving.
    """
    band = bark(hertz).to(torch.int64)
    places = torch.arange(25, device=hertz.device)  # 24 Bark are 15.5 kHz, none lies above 25
    belongs = (band[:, None] == places).to(hertz.dtype)
    count = belongs.sum(0)
    power = coefficients.square() @ belongs / count.clamp(min=1)  # mean of a coefficient
    apart = (places - places[:, None]).to(hertz.dtype)  # up by 10 dB a Bark, down by 25
    spread = 10 ** ((-OFFSET - torch.where(apart > 0, 10 * apart, -25 * apart)) / 10)
    threshold = (quiet(hertz) @ belongs) / count.clamp(min=1)
    mask = ((power * count) @ spread / count.clamp(min=1) + threshold.clamp(min=1e-10)) ** SHARE
    factor = _affordable(power / mask, count, bits)
    return (12 * mask * factor[..., None]).sqrt()[..., band]


def _affordable(ratio: Tensor, count: Tensor, bits: Tensor) -> Tensor:
    """(B, 1, frames): the least factor of the noise at which the `bits` (B,) suffice, for ratios of powers (B, C, frames,
    bands) of `count` coefficients each. Rounded normal numbers take about half of log2(1 + 1.42 power / noise) bits: pi e / 6
    is 1.42, which is their entropy where steps are small, and where they are large nothing is left of either."""
    low = ratio.new_full((ratio.shape[0], 1, ratio.shape[2]), -40.0)
    high = -low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        needed = torch.log2(1 + 1.42 * ratio * torch.exp2(-middle)[..., None]) @ count / 2
        dear = needed.sum(1, keepdim=True) > bits[:, None, None]
        low, high = torch.where(dear, middle, low), torch.where(dear, high, middle)
    return torch.exp2(high)
