"""How loud a sound is to people (ITU-R BS.1770-4), and sounds of a loudness that is drawn."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug.audio.biquads import cascade, section, warped
from torchaug.audio.kinds import Wave, amplitude, silenced, working
from torchaug.audio.ranges import ordered
from torchaug.image.arguments import whole
from torchaug.keys import uniform
from torchaug.transform import Sizes

ABSOLUTE, RELATIVE = -70.0, -10.0
"""Gates: a block below -70 LUFS, or 10 LU below the mean of the others, does not count."""
OFFSET = -0.691
"""dB, by which a sine of 997 Hz at full scale has -3.01 LUFS."""
SURROUND = (1.0, 1.0, 1.0, 1.41, 1.41)
"""Weights of five channels: left, right, centre and both surrounds; any other number of channels weigh 1 each."""
RINGS = 0.1
"""Seconds until K-weighting's impulse response is over, besides 400 samples, which matter at the lowest sample rates."""
HEAD_Q, LOW_Q, LOW_GAIN = 0.7071752369554196, 0.5003270373238773, 1.004994859


def k_weighting(sample_rate: int, device: torch.device) -> Tensor:
    """The sections (1, 2, 2, 3) of K-weighting: a shelf for what a head does, then a high-pass.

    The standard gives coefficients at 48 kHz alone. These are the filters in s that become them there by the bilinear
    transform, found by B. De Man ("Evaluation of implementations of the EBU R128 loudness measurement", AES 145, 2018).
    """
    hertz = (1681.974450955533, 38.13547087602444)
    head, low = (warped(torch.full((), f, dtype=torch.float64, device=device), sample_rate) for f in hertz)
    gain = 10 ** (3.999843853973347 / 20)
    shelf = section((gain, gain**0.4996667741545416 / HEAD_Q, 1.0), (1.0, 1 / HEAD_Q, 1.0), head)
    return torch.stack([shelf, section((LOW_GAIN, 0.0, 0.0), (1.0, 1 / LOW_Q, 1.0), low)])[None]


def loudness(waveform: Tensor, lengths: Tensor | None, sample_rate: int) -> Tensor:
    """The integrated loudness of each sound, gated, by ITU-R BS.1770-4.

    Blocks are 400 ms long, one every 100 ms (to the nearest sample). A sound shorter than a block is one by itself. Of five
    channels the last two are taken for surround channels.

    Args:
        waveform: (B, C, T) floating point, full scale is 1.
        lengths: (B,) samples of each; None where all have T.
        sample_rate: in Hz.

    Returns:
        (B,) LUFS, float32 or float64; -inf of a sound that is below -70 LUFS throughout.

    >>> tone = torch.sin(torch.arange(96000) * (2 * torch.pi * 997 / 48000))
    >>> loudness(tone[None, None], None, 48000).round(decimals=2)
    tensor([-3.0100])
    """
    whole(sample_rate, "loudness", "sample_rate", 1)
    if waveform.ndim != 3 or not waveform.is_floating_point():
        raise ValueError(
            f"loudness: waveform must be (B, C, T) floating point, got {waveform.dtype} {tuple(waveform.shape)}; "
            "add dimensions with waveform[None]"
        )
    if lengths is None:
        lengths = torch.full_like(waveform[:, 0, 0], waveform.shape[-1], dtype=torch.int64)
    weighting, rings = k_weighting(sample_rate, waveform.device), math.ceil(RINGS * sample_rate) + 400
    heard = cascade(working(waveform), lengths, weighting, rings, in_time=True)
    squares = silenced(heard, lengths).square()
    if waveform.shape[1] == len(SURROUND):
        squares = squares * squares.new_tensor(SURROUND)[:, None]
    together = squares[:, 0] if squares.shape[1] == 1 else squares.sum(1)
    power = _gated(_blocks(together, lengths, max(1, round(sample_rate / 10))))
    return torch.where(power > 0, OFFSET + 10 * torch.where(power > 0, power, 1).log10(), -math.inf)


def _blocks(squares: Tensor, lengths: Tensor, hop: int) -> Tensor:
    """Mean squares (B, blocks) of (B, T); 0 of what is no whole block, and of the whole where it is shorter than one."""
    steps = squares.shape[1] // hop
    short = squares.sum(1) / lengths.clamp(min=1)
    if steps < 4:
        return short[:, None]
    energy = squares[:, : steps * hop].unflatten(1, (steps, hop)).sum(2)
    means = energy.unfold(1, 4, 1).sum(2) / (4 * hop)
    count = (lengths // hop - 3)[:, None]
    place = torch.arange(steps - 3, device=squares.device)
    means = torch.where(place < count, means, 0)
    return torch.where((count <= 0) & (place == 0), short[:, None], means)


def _gated(power: Tensor) -> Tensor:
    """The mean (B,) of the blocks (B, blocks) that count; 0 of none."""
    heard = power > 10 ** ((ABSOLUTE - OFFSET) / 10)
    mean = torch.where(heard, power, 0).sum(1) / heard.sum(1).clamp(min=1)
    heard = heard & (power > 10 ** (RELATIVE / 10) * mean[:, None])
    return torch.where(heard, power, 0).sum(1) / heard.sum(1).clamp(min=1)


class LoudnessNormalization(Wave):
    """Bring a sound to a loudness, as audiomentations' transform of this name: by one gain, and so beyond [-1, 1] if need be.

    Parameters per sample: `lufs`. A sound below -70 LUFS throughout, silence say, stays as it is. See `loudness`.

    >>> quiet = 0.01 * torch.sin(torch.arange(8000) * (2 * torch.pi * 500 / 8000))
    >>> louder = LoudnessNormalization(-20, -20, p=1.0, sample_rate=8000)(quiet)
    >>> loudness(louder[None, None], None, 8000).round(decimals=2)
    tensor([-20.])

    Args:
        min_lufs: in LUFS, -70 to 20.
        max_lufs: likewise.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.
    """

    uniforms = 1

    def __init__(self, min_lufs: float = -31.0, max_lufs: float = -13.0, p: float = 0.5, *, sample_rate: int) -> None:
        super().__init__(p)
        self.min_lufs, self.max_lufs = ordered(min_lufs, max_lufs, "LoudnessNormalization", "lufs", ABSOLUTE, 20)
        self.sample_rate = whole(sample_rate, "LoudnessNormalization", "sample_rate", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"lufs": self.lufs(u)}

    def lufs(self, u: Tensor) -> Tensor:
        """(B,) the loudness to reach."""
        return uniform(u[:, 0], self.min_lufs, self.max_lufs)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        before = loudness(waveform, lengths, self.sample_rate)
        gain = amplitude(torch.where(before > -math.inf, self.lufs(u) - before, 0))
        return waveform * gain[:, None, None]
