"""What is read from waveforms without their padding: peaks, and samples by their rank."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchaug.audio.kinds import own_samples, silenced
from torchaug.transfer import for_numpy

_DIGITS = ((21, 11, 11), (10, 11, 10), (0, 10, 0))
"""Of a 32-bit number, from the highest digit on: the shift to it, its bits, and those of the next one."""
_EACH = 16
"""Of so many samples one tells about where the others are."""


def peak(waveform: Tensor, lengths: Tensor) -> Tensor:
    """(B, 1, 1): the largest size of all channels' own samples of (B, C, T); 0 of none."""
    if not waveform.shape[1] * waveform.shape[2]:
        return waveform.new_zeros(len(waveform), 1, 1)
    own = silenced(waveform, lengths)
    return torch.maximum(own.amax((1, 2), keepdim=True), -own.amin((1, 2), keepdim=True))  # no copy, as abs() makes one


def ranked(waveform: Tensor, lengths: Tensor, ranks: Tensor) -> Tensor:
    """The samples of all channels that have `ranks` (B, R) when sorted, 0 the lowest: (B, R). Gradients go to them.

    On a CPU row by row, as far as nothing but values is wanted. Elsewhere by radix selection on the bits of float32: a few
    passes, where sorting takes ten times as long; of float64 samples that are one in float32, any.
    """
    if not waveform.shape[1] * waveform.shape[2]:
        return waveform.new_zeros(ranks.shape)
    ranks = ranks.clamp(min=0)
    if for_numpy(waveform):
        return _row_by_row(waveform, lengths, ranks)
    own = own_samples(lengths, waveform.shape[-1])
    bits = torch.where(own, waveform, torch.full_like(waveform, torch.inf)).detach().to(torch.float32)
    bits = bits.contiguous().view(torch.int32).flatten(1)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # as whole numbers they are in the order of the floats
    found = _selected(order, ranks)
    place = (order[:, None] == found[..., None]).to(torch.uint8).argmax(-1)
    return waveform.flatten(1).gather(1, place)


def _row_by_row(waveform: Tensor, lengths: Tensor, ranks: Tensor) -> Tensor:
    """`ranked` on the host; 0 of no samples."""
    found = waveform.new_zeros(ranks.shape)
    rows = zip(found.numpy(), waveform.numpy(), lengths.tolist(), ranks.tolist(), strict=True)
    for out, row, length, wanted in rows:
        values = row[:, :length].ravel()
        some = np.sort(values[::_EACH])
        out[:] = [_nth(values, some, rank) for rank in wanted] if length else 0
    return found


def _nth(values: Any, some: Any, rank: int) -> Any:
    """The value of a rank, given some of the values, sorted: between two of these there are few to look through."""
    place, margin = rank / _EACH, 2 * math.sqrt(len(some))  # four standard deviations of its place, at least
    low = some[int(place - margin)] if place > margin else -math.inf
    high = some[int(place + margin)] if place + margin < len(some) else math.inf
    within, before = values[(values >= low) & (values <= high)], int(np.count_nonzero(values < low))
    if not before <= rank < before + len(within):  # by bad luck, or for NaN
        within, before = values, 0
    return np.partition(within, rank - before)[rank - before]


def _selected(order: Tensor, ranks: Tensor) -> Tensor:
    """Of (B, N) int32 those of `ranks` (B, R): digit by digit, by counting the numbers that begin as it does."""
    least = torch.full_like(ranks[:, :1], -1 << 10)  # of the numbers, shifted, that it still may be
    for shift, bits, following in _DIGITS:
        count = 1 << bits
        digits = (order >> shift)[:, None] - least.to(torch.int32)[..., None]
        digits = digits.clamp(-1, count).to(torch.int64) + 1  # the first and the last are of other numbers
        counts = torch.zeros(*least.shape, count + 2, dtype=torch.int32, device=order.device)
        counts = counts.scatter_add(2, digits, torch.ones_like(digits, dtype=torch.int32))[..., 1:-1]
        counts = counts.expand(-1, ranks.shape[1], -1)
        below = counts.cumsum(-1)
        digit = (below <= ranks[..., None]).sum(-1).clamp(max=count - 1)
        ranks = ranks - (below - counts).gather(2, digit[..., None])[..., 0]
        least = (least + digit) << following
    return least.to(torch.int32)
