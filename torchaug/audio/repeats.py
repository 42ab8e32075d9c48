"""Parts of waveforms that come again."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from torchaug.audio.kinds import Timed, taken
from torchaug.audio.pieces import Pieces
from torchaug.audio.ranges import ordered
from torchaug.audio.spans import drawn_samples, lengths_in, whole_between, written
from torchaug.audio.timeline import TimeMap
from torchaug.image import arguments
from torchaug.keys import integers
from torchaug.transform import Sizes


class RepeatPart(Timed):
    """Repeat a random part of a waveform, as a stutter or a needle that sticks does.

    At the seams one sound is cross-faded into the other at equal power. The labels of the part are repeated with it.

    >>> from torchaug import Batch
    >>> repeat = RepeatPart(1, 1, 0.25, 0.25, p=1.0, sample_rate=8000)
    >>> out = repeat(Batch(waveform=torch.rand(2, 1, 8000), instants=torch.rand(2, 3) * 8000))
    >>> out.waveform.shape, out.lengths.tolist(), out.instants.shape
    (torch.Size([2, 1, 10000]), [10000, 10000], torch.Size([2, 6]))

    Args:
        min_repeats: least number of times that the part comes again, at least 1.
        max_repeats: greatest one.
        min_part_duration: shortest part, in seconds. In a shorter sound the part is the whole sound.
        max_part_duration: longest part.
        mode: "insert": what lies behind the part comes later, and the waveform becomes longer; or "replace": the repeats lie
            over it, and the waveform keeps its length.
        crossfade_duration: in seconds, at most half of min_part_duration.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.

    Parameters per sample: start and duration of the part in samples, and repeats, all uniform.
    """

    uniforms = 3

    def __init__(
        self,
        min_repeats: int = 1,
        max_repeats: int = 3,
        min_part_duration: float = 0.25,
        max_part_duration: float = 1.2,
        mode: Literal["insert", "replace"] = "insert",
        crossfade_duration: float = 0.005,
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        who = "RepeatPart"
        self.min_repeats = arguments.whole(min_repeats, who, "min_repeats", 1)
        self.max_repeats = arguments.whole(max_repeats, who, "max_repeats", 1)
        ordered(min_repeats, max_repeats, who, "repeats")
        ordered(min_part_duration, max_part_duration, who, "part_duration")
        self.min_part_duration = arguments.number(min_part_duration, who, "min_part_duration", 0, above=True)
        self.max_part_duration = max_part_duration
        self.mode = arguments.one_of(mode, who, "mode", ("insert", "replace"))
        self.crossfade_duration = arguments.number(
            crossfade_duration, who, "crossfade_duration", 0, min_part_duration / 2
        )
        self.sample_rate = arguments.whole(sample_rate, who, "sample_rate", 1)
        self.keeps_length = mode == "replace"
        self.ends_in_silence = not self.keeps_length  # a fade may reach over the end of a sound that is cut off there

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        start, duration, repeats = self._part(u, lengths_in(size))
        return {"start": start, "duration": duration, "repeats": repeats}

    def _part(self, u: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low, high = self.min_part_duration, self.max_part_duration
        duration = drawn_samples(u[:, 0], low, high, "seconds", lengths, self.sample_rate).clamp(min=1)
        duration = torch.minimum(duration, lengths)
        start = whole_between(u[:, 1], 0, lengths - duration)
        return start, duration, integers(u[:, 2], self.min_repeats, self.max_repeats + 1)

    def samples_after(self, samples: int) -> int:
        longest = min(samples, max(1, round(self.max_part_duration * self.sample_rate)))
        return samples if self.keeps_length else samples + self.max_repeats * longest

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        _, duration, repeats = self._part(u, lengths)
        return lengths if self.keeps_length else lengths + repeats * duration

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        return self._pieces(lengths, u).timeline()

    def _pieces(self, lengths: Tensor, u: Tensor) -> Pieces:
        start, duration, repeats = (drawn[:, None] for drawn in self._part(u, lengths))
        copy = torch.arange(self.max_repeats + 1, device=u.device)
        end = start + duration
        begin = torch.where(copy == 0, 0, start)
        if self.keeps_length:
            target = begin + copy * duration
            end = torch.minimum(end, lengths[:, None] - copy * duration)  # what is cut off at the end of the sound
            end = torch.where(copy <= repeats, end, begin)
            rest = start + (repeats + 1) * duration
            begin, target = torch.cat([begin, rest], 1), torch.cat([target, rest], 1)
            return Pieces(begin, torch.cat([end, lengths[:, None]], 1), target)
        end = torch.where(copy < repeats, end, lengths[:, None])
        return Pieces(begin, torch.where(copy <= repeats, end, begin), begin + copy * duration)

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        start, duration, repeats = (drawn[:, None] for drawn in self._part(u, lengths))
        seam = torch.arange(1, self.max_repeats + 1 + self.keeps_length, device=u.device)
        goes_on = seam > repeats  # behind the last repeat, where it lies over the sound
        jumps = torch.where(goes_on, repeats * duration, -duration)
        half = round(self.crossfade_duration * self.sample_rate / 2)
        none = samples + half  # where neither a jump nor a cross-fade is heard
        at = torch.where(seam <= repeats + self.keeps_length, start + seam * duration, none)
        out = self._pieces(lengths, u).of(waveform, samples)

        near = torch.arange(-half, half, device=u.device)
        width = (duration // 2).clamp(max=2 * half)[..., None]
        places = at[..., None] + near
        before = places - ((seam - 1) * duration)[..., None]
        after = before + jumps[..., None]
        ends = (lengths - 1).clamp(min=0)[:, None]
        soft, loud = (taken(waveform, torch.minimum(side.flatten(1).clamp(min=0), ends)) for side in (before, after))
        share = ((near + 0.5) / width.clamp(min=1) + 0.5).clamp(0, 1).to(out.dtype)
        share = share.expand_as(places).flatten(1)[:, None]
        soft, loud = soft * torch.cos(share * (math.pi / 2)), loud * torch.sin(share * (math.pi / 2))
        fading = torch.where((2 * near + 1).abs() < width, places, -1).flatten(1)
        return written(out, fading, soft + loud)
