"""Second-order sections in time, in blocks: what a filter does is a matrix to a few samples, and a state goes from block to block.

A Fourier transform has to have room for all that a filter rings, half of a sound for a narrow one; matrices do not. On a CPU they
take half of the time, and round half as much away, as long as no section raises by far what the others lower. A section's states
are those of poles of frequency 1 under the bilinear transform, by which they are as large as the sound is, down to cut-offs of 1 Hz
(V. Zavalishin, "The art of VA filter design", 2018).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from torchaug.audio.kinds import fitted

BLOCK = 32
"""Samples to a block."""
WIDE = 32
"""Numbers of states, at least, that go through a matrix together."""


class Space(NamedTuple):
    """A filter as x' = A x + B u, y = C x + D u: (B, n, n), (B, n, 1), (B, 1, n) and (B, 1, 1) float64."""

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor

    def then(self, other: Space) -> Space:
        """This filter and then another one."""
        above = functional.pad(self.a, (0, other.a.shape[-1]))
        return Space(
            torch.cat([above, torch.cat([other.b @ self.c, other.a], 2)], 1),
            torch.cat([self.b, other.b @ self.d], 1),
            torch.cat([other.d @ self.c, other.c], 2),
            other.d @ self.d,
        )


def space(sections: Tensor) -> Space:
    """The states of sections (B, S, 2, 3), one after the other; stable ones, none of whose lower coefficients is 0."""
    found: Space | None = None
    for each in sections.unbind(1):
        one = _section(each)
        found = one if found is None else found.then(one)
    assert found is not None
    return found


def _section(section: Tensor) -> Space:
    """Of (B, 2, 3): in p = s / w, w the frequency of its poles, they are those of p^2 + g p + 1."""
    above, below = (section / section[:, 1:, :1]).unbind(1)
    w = below[:, 2].sqrt()
    damping, square = below[:, 1] / w, above[:, 0]
    linear, constant = above[:, 1] / w - square * damping, above[:, 2] / w.square() - square
    # with s = (z - 1) / (z + 1): the inverse of 1 - w [[0, 1], [-1, -g]], and from it all the rest
    over = 1 / (1 + w * damping + w * w)
    inverse = torch.stack([1 + w * damping, w, -w, torch.ones_like(w)], 1).unflatten(1, (2, 2)) * over[:, None, None]
    state = torch.stack([constant, linear], 1)[:, None]
    b = inverse[..., 1:] * w[:, None, None]
    same = torch.eye(2, dtype=w.dtype, device=w.device)
    return Space(2 * inverse - same, 2 * b, state @ inverse, square[:, None, None] + state @ b)


def through(waveform: Tensor, filters: Space) -> Tensor:
    """Waveforms (B, C, T) without padding, from rest, through filters (B or 1): (B, C, T).

    >>> mean_of_two = Space(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 0.5))
    >>> through(torch.tensor([[[1.0, 2.0, 4.0]]]), mean_of_two)
    tensor([[[0.5000, 1.5000, 3.0000]]])
    """
    samples, dtype = waveform.shape[-1], waveform.dtype
    if not waveform.numel():
        return waveform
    count = -(-samples // BLOCK)
    blocks = fitted(waveform, count * BLOCK).reshape(len(filters.a), -1, BLOCK)
    powers = _powers(filters.a, BLOCK)
    *early, after = powers.unbind(1)
    soon = torch.stack(early, 1)
    # (B, BLOCK, n): what is left of a sample in a state, and of a state in a sample, so many samples later
    kept = (soon.flatten(1, 2) @ filters.b).view(soon.shape[:3])
    seen = (filters.c @ soon.transpose(1, 2).flatten(2)).view(soon.shape[:3])
    response = torch.cat([filters.d, kept[:, :-1] @ filters.c.mT], 1)[..., None]
    states = _states((blocks @ kept.flip(1).to(dtype)).unflatten(1, (-1, count)), after).flatten(1, 2)
    out = torch.baddbmm(blocks @ _lower(response.to(dtype)).mT, states, seen.mT.to(dtype))
    return out.view(*waveform.shape[:2], -1)[..., :samples]


def _states(carried: Tensor, a: Tensor) -> Tensor:
    """x of x_{k+1} = A x_k + carried_k, from 0: (B, C, K, n) for (B, C, K, n) and A (B, n, n)."""
    channels, count, n = carried.shape[1:]
    if count == 1:
        return torch.zeros_like(carried)
    size = min(count, max(2, WIDE // n))
    groups = -(-count // size)
    powers = _powers(a, size)
    shares = powers.to(carried.dtype)
    within = _lower(torch.cat([torch.zeros_like(shares[:, :1]), shares[:, :-1]], 1))[..., : size * n]
    rows = fitted(carried.flatten(2), groups * size * n).reshape(len(a), -1, size * n)
    found, ends = (rows @ within.mT).split([size * n, n], -1)
    if groups > 1:
        before = _states(ends.unflatten(1, (channels, groups)), powers[:, size]).flatten(1, 2)
        found = torch.baddbmm(found, before, shares[:, :size].flatten(1, 2).mT)
    states: Tensor = found.reshape(len(a), channels, -1, n)[:, :, :count]
    return states


def _powers(a: Tensor, most: int) -> Tensor:
    """A^0, ..., A^most of (B, n, n): (B, most + 1, n, n)."""
    found = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand_as(a)[:, None]
    while found.shape[1] <= most:
        found, a = torch.cat([found, (found.flatten(1, 2) @ a).view_as(found)], 1), a @ a
    return found[:, : most + 1]


def _lower(blocks: Tensor) -> Tensor:
    """The matrix (B, K p, K q) whose part (i, j) is block i - j of (B, K, p, q), and 0 above its diagonal."""
    count, p, q = blocks.shape[1:]
    place = torch.arange(count, device=blocks.device)
    lag = place[:, None] - place
    parts = torch.where((lag >= 0)[:, :, None, None], blocks[:, lag.clamp(min=0)], 0)
    return parts.transpose(2, 3).reshape(-1, count * p, count * q)
