"""Short noises that follow one another: what is heard of each, and where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from torchaug.audio.bank import SoundBank
from torchaug.audio.kinds import root
from torchaug.transfer import readable


class Row(NamedTuple):
    """Noises of each sample that follow one another and do not overlap: K of them, (B, K) each; times in samples, int64.

    Where the times can be read, each noise is worked on by itself; elsewhere all places at once, which takes ten times as
    long on a CPU and on a GPU waits for nothing.
    """

    which: Tensor
    start: Tensor
    length: Tensor
    """0 of none."""
    level_db: Tensor
    fade_in: Tensor
    """float32, above 0."""
    fade_out: Tensor

    def laid(self, bank: SoundBank, samples: int) -> tuple[Tensor, Tensor]:
        """The faded noises of a bank, (B, C, samples), and how far each place is faded in, (B, samples) in [0, 1]."""
        return self._copied(bank, samples) if readable(self.start) else self._gathered(bank, samples)

    def spread(self, values: Tensor, samples: int) -> Tensor:
        """(B, samples): of the values of all noises, (B, K), that of the one that is heard at each place."""
        if not readable(self.start) or values.requires_grad:
            return values.gather(1, self._at(samples))
        out = values.new_zeros(len(values), samples)
        for row, place, begin, end in self._pieces(samples):
            out[row, begin:end] = values[row, place]
        return out

    def ends(self, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K) int64 begin and end of what is heard of each within lengths (B,)."""
        begin = torch.minimum(self.start.clamp(min=0), lengths[:, None])
        return begin, torch.minimum((self.start + self.length).clamp(min=0), lengths[:, None])

    def _pieces(self, samples: int) -> Iterator[tuple[int, int, int, int]]:
        """Of each noise that is heard: its sample, its place in the row, its begin and its end."""
        begin, end = self.ends(torch.full_like(self.start[:, 0], samples))
        return heard(begin, end)

    def _copied(self, bank: SoundBank, samples: int) -> tuple[Tensor, Tensor]:
        noise = torch.zeros(len(self.start), bank.channels, samples)
        weight = torch.zeros(len(self.start), samples)
        begins, scales = bank.starts[self.which] - self.start, bank.scales[self.which]
        for row, place, begin, end in self._pieces(samples):
            into = torch.arange(begin, end) - self.start[row, place]
            fades = _fades(into, *(value[row, place] for value in (self.length, self.fade_in, self.fade_out)))
            weight[row, begin:end] = fades
            first = int(begins[row, place])
            stored = bank.samples[:, first + begin : first + end].to(torch.float32)
            noise[row, :, begin:end] = stored * (fades * scales[row, place])
        return noise, weight

    def _gathered(self, bank: SoundBank, samples: int) -> tuple[Tensor, Tensor]:
        slot = self._at(samples)
        into = torch.arange(samples, device=slot.device) - self.start.gather(1, slot)
        weight = _fades(into, *(value.gather(1, slot) for value in (self.length, self.fade_in, self.fade_out)))
        begin, scale = (of[self.which].gather(1, slot) for of in (bank.starts, bank.scales))
        return bank.stored(torch.where(weight > 0, begin + into, 0)) * (weight * scale)[:, None], weight

    def _at(self, samples: int) -> Tensor:
        """(B, samples) int64: which of the K is the last that has begun at each place, or the first where none has."""
        begun = torch.zeros(len(self.start), samples + 1, dtype=torch.int64, device=self.start.device)
        begun = begun.scatter_add(1, self.start.clamp(0, samples), torch.ones_like(self.start))
        return begun.cumsum(1)[:, :samples].sub(1).clamp(min=0)


def _fades(into: Tensor, length: Tensor, fade_in: Tensor, fade_out: Tensor) -> Tensor:
    """In [0, 1] at so many samples into a noise: 1 between its fades, which are straight lines, and 0 outside of it."""
    after = into.to(torch.float32) + 0.5
    return torch.minimum(after / fade_in, (length - after) / fade_out).clamp(0, 1)


def heard(begin: Tensor, end: Tensor) -> Iterator[tuple[int, int, int, int]]:
    """Row, column, begin and end of each of (B, K) int64 stretches that is not empty; read from the host."""
    for row, (begins, ends) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
        for place, (first, last) in enumerate(zip(begins, ends, strict=True)):
            if first < last:
                yield row, place, first, last


def stretch_rms(sound: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """(B, K) the rms of (B, C, T) from `begin` to `end`, (B, K) int64 in [0, T]; 0 of none."""
    if readable(begin) and not sound.requires_grad:
        within = torch.zeros(begin.shape, dtype=torch.float64)
        for row, place, first, last in heard(begin, end):
            within[row, place] = sound[row, :, first:last].square().sum(dtype=torch.float64) / sound.shape[1]
    else:
        power = functional.pad(sound.square().mean(1).cumsum(1, dtype=torch.float64), (1, 0))
        within = (power.gather(1, end) - power.gather(1, begin)).clamp(min=0)
    return root(within / (end - begin).clamp(min=1)).to(sound.dtype)
