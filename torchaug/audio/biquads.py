"""Second-order sections, other ones for each sample, and what they do to a spectrum.

A section is a ratio of two polynomials, (..., 2, 3) float64: the coefficients of s^2, s and 1, above and below, of
s = j tan(w / 2), which is where the bilinear transform has the angular frequency w. So a cut-off is one number,
K = tan(pi f / rate), and nothing cancels: 20 Hz at 44.1 kHz is as exact as 2 kHz, in float32 too.

Sources: R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients" (W3C note, 2021), before
its bilinear transform; S. Butterworth's polynomials; J. O. Smith, "Introduction to digital filters" (2007), for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from torchaug.audio.convolve import shaped
from torchaug.audio.kinds import silenced
from torchaug.audio.recursion import space, through

QUIET = 1e-7
"""What is left of an impulse response when it counts as over."""
HIGHEST = 0.49
"""Of the sample rate: the highest frequency that a filter is set to, as half of it is none in discrete time."""


def warped(frequency: Tensor, sample_rate: int) -> Tensor:
    """K (...) float64 of a frequency in Hz; one above `HIGHEST` of the rate counts as that."""
    return torch.tan(math.pi / sample_rate * frequency.to(torch.float64).clamp(max=HIGHEST * sample_rate))


def section(above: tuple[Tensor | float, ...], below: tuple[Tensor | float, ...], k: Tensor) -> Tensor:
    """A section (*k.shape, 2, 3) from its polynomials at K = 1 and the K that it is moved to."""
    powers = (torch.ones_like(k), k, k * k)
    numbers = [value * power for row in (above, below) for value, power in zip(row, powers, strict=True)]
    row = torch.stack([*torch.broadcast_tensors(*numbers)], -1)
    return row.view(*row.shape[:-1], 2, 3)


def _damping(order: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The factors s^2 + g s + 1 of Butterworth polynomials, g (B, ceil(most / 2)), and 2 minus the degree of each.

    A factor of degree 1, and of 0, is one of degree 2 with g = 2 that stands over one or two times s + 1.
    """
    k = torch.arange(1, most + 1, 2, dtype=torch.float64, device=order.device)
    order = order[:, None].to(torch.float64)
    missing = (k + 1 - order).clamp(0, 2)
    return torch.where(missing == 0, 2 * torch.sin(k * math.pi / (2 * order)), 2.0), missing


def butterworth(k: Tensor, order: Tensor, most: int, *, high: bool) -> Tensor:
    """Low-pass or `high`-pass sections (B, ceil(most / 2), 2, 3) of filters of `order` (B,), at most `most`, and K (B,)."""
    damping, missing = _damping(order, most)
    squared = (missing == 2).to(k)
    above = (squared, missing, torch.ones_like(missing))
    return section(above[::-1] if high else above, (1.0, damping, 1.0), k[:, None])


def butterworth_band(low: Tensor, high: Tensor, order: Tensor, most: int, *, stop: bool) -> Tensor:
    """Band-pass or band-`stop` sections (B, 2 ceil(most / 2), 2, 3) between K (B,) `low` and `high`, as of `butterworth`.

    s becomes (s^2 + low high) / ((high - low) s), or its inverse, by which each pole becomes two.
    """
    damping, missing = _damping(order, most)
    width, middle = (high - low)[:, None], (low * high)[:, None]
    pole = torch.complex(-damping / 2, (1 - damping.square() / 4).clamp(min=0).sqrt()) * width
    root = (pole.square() - 4 * middle).sqrt()
    single = missing == 1  # a real pole, whose two make up one section, beside which another has nothing to do
    both = []
    for sign in (1, -1):
        place = (pole + sign * root) / 2
        linear = torch.where(single, width, -2 * place.real)
        constant = torch.where(single, middle, place.real.square() + place.imag.square())
        passes = (1.0, 0.0, middle) if stop else (0.0, width, 0.0)
        made = section(passes, (1.0, linear, constant), torch.ones_like(linear))
        both.append(or_neutral(made, ~((missing == 2) | (single & (sign < 0)))))
    return torch.cat(both, 1)


def peaking(k: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
    """Sections (..., 2, 3) that raise or lower what is near K by a gain."""
    gain = 10 ** (gain_db.to(torch.float64) / 40)
    return section((1.0, gain / q, 1.0), (1.0, 1 / (gain * q), 1.0), k)


def shelf(k: Tensor, gain_db: Tensor, q: Tensor, *, high: bool) -> Tensor:
    """Sections (..., 2, 3) that raise or lower what is below K, or above it, by a gain."""
    gain = 10 ** (gain_db.to(torch.float64) / 40)
    slope = gain.sqrt() / q
    up, down = (gain, gain * slope, gain * gain), (gain, slope, torch.ones_like(gain))
    return section(up[::-1], down[::-1], k) if high else section(up, down, k)


def or_neutral(sections: Tensor, chosen: Tensor) -> Tensor:
    """Sections (..., 2, 3) where `chosen`; elsewhere ones that change nothing."""
    same = torch.where(torch.arange(3, device=sections.device) == 1, 2.0, 1.0).to(sections)  # nowhere 0 over 0
    return torch.where(chosen[..., None, None], sections, same)


def digital(sections: Tensor) -> Tensor:
    """Sections (..., 2, 3) as polynomials of 1 / z, (..., 6) float64, as scipy has them: b0, b1, b2, 1, a1, a2."""
    square, linear, constant = sections.unbind(-1)
    parts = torch.stack([square + linear + constant, 2 * (constant - square), square - linear + constant], -1)
    return (parts / parts[..., 1:, :1]).flatten(-2)


def ringing(sections: Tensor) -> int:
    """Samples until the impulse responses of sections (..., 2, 3) on the host are over."""
    square, linear, constant = sections[..., 1, :].to(torch.complex128).unbind(-1)
    root = (linear.square() - 4 * square * constant).sqrt()
    places = torch.stack([-linear + root, -linear - root], -1) / (2 * square[..., None])
    radius = ((1 + places) / (1 - places)).abs().max()
    return math.ceil(math.log(QUIET) / min(-1e-9, math.log(max(1e-9, float(radius)))))


def response(sections: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """What cascades of sections (B, S, 2, 3) do to each of the size // 2 + 1 frequencies of a real Fourier transform.

    Args:
        sections: one after the other.
        size: of the transform, an even number.
        dtype: float32 or float64: the precision.

    Returns:
        (B, size // 2 + 1) complex.
    """
    return _gains(sections, _powers(size, dtype, sections.device), dtype)


def _powers(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """s^2, s and 1 on a grid of frequencies, times cos^2, by which they stay finite: (3, frequencies x 2), complex in pairs."""
    # TF32, where it is allowed, would round products of float32 matrices to three digits
    wide = torch.float64 if device.type == "cuda" else dtype
    sine = torch.sin(torch.arange(size // 2 + 1, device=device, dtype=wide) * (math.pi / size))
    cosine = sine.flip(0)  # as exact near its zero as the sine is
    powers = sine.new_zeros(3, len(sine), 2)
    powers[0, :, 0], powers[1, :, 1], powers[2, :, 0] = -sine * sine, sine * cosine, cosine * cosine
    return powers.flatten(1)


def _gains(sections: Tensor, powers: Tensor, dtype: torch.dtype) -> Tensor:
    """`response`, given its grid."""
    total: Tensor | None = None
    for each in sections.to(powers.dtype).unbind(1):
        above, below = ((each[:, i] @ powers).to(dtype).unflatten(1, (-1, 2)) for i in (0, 1))
        one = torch.view_as_complex(below).reciprocal_().mul_(torch.view_as_complex(above))
        total = one if total is None else total.mul_(one)
    assert total is not None
    return total


def cascade(
    waveform: Tensor,
    lengths: Tensor,
    sections: Tensor,
    ringing: int,
    *,
    zero_phase: bool = False,
    in_time: bool = False,
) -> Tensor:
    """Waveforms through all of their sections, from rest, by one Fourier transform each way or in time.

    Args:
        waveform: (B, C, T) float32 or float64.
        lengths: (B,) what lies behind them counts as 0.
        sections: (B, S, 2, 3); B may be 1, for the same in all.
        ringing: samples that the impulse response lasts: so many zeros keep the end of a sound from reaching its begin in a
            Fourier transform.
        zero_phase: forwards and backwards, by which nothing is delayed and all gains in decibels double.
        in_time: on a CPU section by section, in half of the time; rounding is that of the loudest sound between sections.

    Returns:
        (B, C, T), as `scipy.signal.sosfilt` has it; with `zero_phase` as `sosfiltfilt` of a sound between silences.
    """

    if in_time and not zero_phase and waveform.device.type == "cpu":
        return through(silenced(waveform, lengths), space(sections))

    def gains(size: int) -> Callable[[slice], Tensor]:
        powers = _powers(size, waveform.dtype, waveform.device)

        def of(rows: slice) -> Tensor:
            once = _gains(sections[rows], powers, waveform.dtype)
            return once.real.square() + once.imag.square() if zero_phase else once

        return of

    return shaped(waveform, lengths, ringing, gains, alike=len(sections) == 1)
