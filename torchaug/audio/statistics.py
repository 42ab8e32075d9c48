"""What is read from waveforms without their padding: peaks, and samples by their rank."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.audio.kinds import own_samples, silenced

_DIGITS = ((21, 11, 11), (10, 11, 10), (0, 10, 0))
"""Of a 32-bit number, from the highest digit on: the shift to it, its bits, and those of the next one."""


def peak(waveform: Tensor, lengths: Tensor) -> Tensor:
    """(B, 1, 1): the largest size of all channels' own samples of (B, C, T); 0 of none."""
    if not waveform.shape[1] * waveform.shape[2]:
        return waveform.new_zeros(len(waveform), 1, 1)
    return silenced(waveform, lengths).abs().amax((1, 2), keepdim=True)


def ranked(waveform: Tensor, lengths: Tensor, ranks: Tensor) -> Tensor:
    """The samples of all channels that have `ranks` (B, R) when sorted, 0 the lowest: (B, R). Gradients go to them.

    Radix selection on the bits of float32: a few passes, where sorting takes ten times as long. Of float64 samples that are
    one in float32, any.
    """
    if not waveform.shape[1] * waveform.shape[2]:
        return waveform.new_zeros(ranks.shape)
    own = own_samples(lengths, waveform.shape[-1])
    bits = torch.where(own, waveform, torch.full_like(waveform, torch.inf)).detach().to(torch.float32)
    bits = bits.contiguous().view(torch.int32).flatten(1)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # as whole numbers they are in the order of the floats
    found = _selected(order, ranks.clamp(min=0))
    place = (order[:, None] == found[..., None]).to(torch.uint8).argmax(-1)
    return waveform.flatten(1).gather(1, place)


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
