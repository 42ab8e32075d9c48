"""Another speed for each row of a batch, in one call: band-limited interpolation at exact places."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from torchaug.transfer import readable

WIDTH = 16  # zero crossings of the sinc on each side
ROLLOFF = 0.99  # of the lower Nyquist frequency
DEGREE = 8  # of the polynomials in the place between two samples: 1e-6 of the kernel
# What is worked out on the way need not fit into memory for all of a batch at once.
GROUPS = 8  # of rows, at most
PIECES = 32  # of a group in time, at most, in a graph, which has each of them
GROUP = 1 << 17  # samples of a group at least
LEAST = 1 << 20  # numbers that a piece works on, at least: fewer cost calls, more cost memory and leave the cache


def resample_rows(
    waveform: Tensor,
    down: Tensor,
    up: Tensor,
    samples: int,
    *,
    fastest: float,
    width: int = WIDTH,
    rolloff: float = ROLLOFF,
) -> Tensor:
    """Row b at `down[b] / up[b]` times its speed: sample j is the waveform at place `j * down / up`, by a sinc under a Hann
    window, below the lower of the two Nyquist frequencies.

    Places are whole numbers of `up`-ths of a sample, which are exact however long the sound is. Between samples the kernel
    is read from polynomials of degree 8 through its values at Chebyshev's nodes. At its own speed a row stays as it is.

    Args:
        waveform: (B, C, T) float32 or float64; it counts as 0 beyond its ends.
        down: (B,) int64 of at least 1; `down * samples` must stay below 2^63.
        up: (B,) int64 from 1 to 2^24.
        samples: of what comes out; a row that is over earlier ends in zeros.
        fastest: no smaller than any `down / up`: how much of the waveform a sample looks at depends on it.
        width: zero crossings on each side.
        rolloff: where the kernel's cutoff is, of the lower Nyquist frequency.

    Returns:
        (B, C, samples).

    >>> ramp = torch.arange(800.0).expand(2, 1, 800)
    >>> faster = resample_rows(ramp, torch.tensor([3, 2]), torch.tensor([2, 3]), 400, fastest=1.5)
    >>> faster[:, 0, 200].round().tolist()
    [300.0, 133.0]
    """
    slowest = None
    if readable(down) and len(down):  # a graph works for what might be, which can be three times as much
        slowest, own = (down / up.to(torch.float64)).aminmax()
        fastest = min(fastest, float(own))
    reach = math.ceil(width / rolloff * max(1.0, fastest))
    kernels = _kernels(down, up, reach, width, rolloff).to(waveform.dtype)[:, None]
    after = waveform.shape[-1] + reach  # from here on there is nothing more to see
    padded = functional.pad(waveform, (reach - 1, 2 * reach + 1))
    until = samples if slowest is None else min(samples, math.ceil(after / float(slowest)) + 1)
    out = waveform.new_empty(*waveform.shape[:2], samples)
    out[..., until:] = 0
    for first, stop in pieces(until, 4 * reach * waveform.shape[0] * waveform.shape[1]):
        numerator = torch.arange(first, stop, device=down.device) * down[:, None]
        place = torch.div(numerator, up[:, None], rounding_mode="floor")
        between = ((numerator - place * up[:, None]).to(waveform.dtype) * 2 / up[:, None] - 1)[:, None]
        seen = segments(padded, place.clamp(max=after)[:, None], 2 * reach)
        series = (kernels @ seen.mT).unbind(2)
        value = series[DEGREE]
        for terms in series[DEGREE - 1 :: -1]:
            value = torch.addcmul(terms, value, between)
        out[..., first:stop] = value
    return out


def in_groups(work: Callable[..., Tensor], waveform: Tensor, *rows: Tensor) -> Tensor:
    """`work(waveform, *rows)` for some rows at a time, joined: what it needs on the way, it needs for an eighth of a batch."""
    count = len(waveform)
    size = max(1, -(-count // GROUPS), GROUP // max(1, waveform[:1].numel()))
    groups = [slice(first, first + size) for first in range(0, max(1, count), size)]
    done = [work(waveform[group], *(value[group] for value in rows)) for group in groups]
    return torch.cat(done) if len(done) > 1 else done[0]


def pieces(count: int, numbers: int) -> Iterator[tuple[int, int]]:
    """Begin and end of the pieces in which to work on `count` things, for each of which so many numbers are needed: as many as
    keep a piece in cache."""
    size = max(1, LEAST // max(1, numbers))
    if torch.compiler.is_compiling():
        size = max(size, -(-count // PIECES))
    return ((first, min(first + size, count)) for first in range(0, count, size))


def segments(waveform: Tensor, starts: Tensor, size: int) -> Tensor:
    """Segments of (B, C, T) that start at (B, 1 or C, N): (B, C, N, size)."""
    rows = waveform.shape[0] * waveform.shape[1]
    offsets = torch.arange(rows, device=starts.device).view(*waveform.shape[:2], 1) * waveform.shape[2]
    flat, at = waveform.reshape(-1), (starts + offsets).flatten()
    if not rows:
        return waveform.new_zeros(*waveform.shape[:2], starts.shape[2], size)
    if flat.requires_grad:  # the derivative of a selection of overlapping views needs `size` times the waveform
        seen = flat[at[:, None] + torch.arange(size, device=at.device)]
    else:
        seen = flat.unfold(0, size, 1).index_select(0, at)
    return seen.view(*waveform.shape[:2], -1, size)


def _kernels(down: Tensor, up: Tensor, reach: int, width: int, rolloff: float) -> Tensor:
    """(B, DEGREE + 1, 2 * reach) polynomials for the weights of the samples from 1 - reach to reach, in the place between
    sample 0, which is -1, and sample 1, which is 1."""
    degree = torch.arange(DEGREE + 1, dtype=torch.float64, device=down.device)
    angle = math.pi * (degree + 0.5) / (DEGREE + 1)
    cutoff = rolloff * (up / down.to(torch.float64)).clamp(max=1)[:, None, None]
    places = torch.arange(1 - reach, reach + 1, dtype=torch.float64, device=down.device)
    distance = cutoff * (places - (angle.cos()[:, None] + 1) / 2)
    window = torch.cos(distance.clamp(-width, width) * (math.pi / 2 / width)).square()
    series = torch.cos(degree[:, None] * angle) * torch.where(degree == 0, 1.0, 2.0)[:, None] / (DEGREE + 1)
    kernels = _chebyshev(degree).T @ series @ (cutoff * torch.sinc(distance) * window)
    same = (degree[:, None] == 0) & (places == 0)
    return torch.where((down == up)[:, None, None], same.to(kernels.dtype), kernels)


def _chebyshev(degree: Tensor) -> Tensor:
    """Coefficients of Chebyshev's polynomials of degrees 0, 1, ..., (D, D): a row each, for rising powers."""
    rows = [(degree == 0).to(degree.dtype), (degree == 1).to(degree.dtype)]
    for _ in range(2, len(degree)):
        rows.append(2 * rows[-1].roll(1) - rows[-2])
    return torch.stack(rows)
