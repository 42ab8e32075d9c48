"""Parts cut out of waveforms."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from torchaug.audio.kinds import Timed, own_samples, taken
from torchaug.audio.pieces import Pieces
from torchaug.audio.spans import fade, lengths_in, whole_between, written
from torchaug.audio.timeline import TimeMap
from torchaug.image import arguments
from torchaug.transform import Sizes

HOP, BLOCKS = 512, 4
"""Samples between the windows in which `Trim` measures loudness, and how many of these a window has."""


class RandomCrop(Timed):
    """Cut out a random part of one size. In evaluation, and where it is not chosen: the middle.

    A waveform that is shorter than the part is kept whole, and padded: its length says so.

    >>> RandomCrop(1.5, "seconds", sample_rate=16000)(torch.rand(8, 1, 48000)).shape
    torch.Size([8, 1, 24000])

    Args:
        size: of the part: a whole number of samples, or seconds.
        size_unit: "samples" or "seconds".
        sample_rate: of the waveforms, in Hz; needed for seconds.

    Parameters per sample: start in samples, uniform.
    """

    uniforms = 1
    resizes = True
    ends_in_silence = True

    def __init__(
        self, size: float, size_unit: Literal["samples", "seconds"] = "samples", *, sample_rate: int | None = None
    ) -> None:
        super().__init__(1.0)
        self.size = size
        self.size_unit = arguments.one_of(size_unit, "RandomCrop", "size_unit", ("samples", "seconds"))
        self.sample_rate = sample_rate
        self.samples = static_samples(size, size_unit == "seconds", sample_rate, "RandomCrop", "size")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"start": self._start(u, lengths_in(size))}

    def _start(self, u: Tensor, lengths: Tensor) -> Tensor:
        return whole_between(u[:, 0], 0, lengths - self.samples)

    def samples_after(self, samples: int) -> int:
        return self.samples

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        return lengths.clamp(max=self.samples)

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        return self._part(lengths, u).timeline()

    def _part(self, lengths: Tensor, u: Tensor) -> Pieces:
        start = self._start(u, lengths)[:, None]
        return Pieces(start, start + lengths.clamp(max=self.samples)[:, None], torch.zeros_like(start))

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        return self._part(lengths, u).of(waveform, samples)


def static_samples(duration: float, seconds: bool, sample_rate: int | None, who: str, name: str) -> int:
    """A duration in samples, at least 1, known when a transform is made."""
    if sample_rate is not None:
        arguments.whole(sample_rate, who, "sample_rate", 1)
    if not seconds:
        return arguments.whole(cast("int", duration), who, name, 1)
    if sample_rate is None:
        raise ValueError(f"{who}: sample_rate must be given for {name} in seconds, got None")
    return max(1, round(arguments.number(duration, who, name, 0, above=True) * sample_rate))


class Trim(Timed):
    """Cut off silence at both ends of a waveform: what is `top_db` below its loudest part.

    Loudness is measured in windows of 2048 samples every 512, all channels together, as librosa.effects.trim does. A
    waveform that is silent throughout stays as it is. What is cut off depends on the sound, so `time_map` cannot tell it:
    put Trim first, or keep what should move in the batch.

    >>> from torchaug import Batch
    >>> sound = torch.cat([torch.zeros(4096), torch.ones(4096), torch.zeros(4096)])
    >>> out = Trim(p=1.0)(Batch(waveform=sound[None, None], instants=torch.tensor([[4096.0]])))
    >>> out.waveform.shape, out.lengths.item(), out.instants.item()
    (torch.Size([1, 1, 12288]), 5632, 512.0)

    Args:
        top_db: decibels below the loudest window at which silence begins, above 0.
        p: chance per sample.
    """

    ends_in_silence = True

    def __init__(self, top_db: float = 30.0, p: float = 0.5) -> None:
        super().__init__(p)
        self.top_db = arguments.number(top_db, "Trim", "top_db", 0, above=True)

    def heard(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        blocks = -(-waveform.shape[-1] // HOP) + 1  # one for the window that is centred on the end
        own = own_samples(lengths, waveform.shape[-1])
        power = torch.where(own, waveform, torch.zeros_like(waveform)).detach().square()
        power = functional.pad(power, (0, blocks * HOP - waveform.shape[-1])).unflatten(-1, (blocks, HOP)).sum(-1)
        windows = functional.pad(power, (BLOCKS // 2, BLOCKS // 2 - 1)).unfold(-1, BLOCKS, 1).sum(-1).amax(1)
        at = torch.arange(blocks, device=waveform.device)
        windows = torch.where(at <= lengths[:, None] // HOP, windows, torch.zeros_like(windows))
        loud = windows > windows.amax(1, keepdim=True) * 10 ** (-self.top_db / 10)
        first, last = loud.to(torch.uint8).argmax(1), blocks - 1 - loud.flip(1).to(torch.uint8).argmax(1)
        end = torch.minimum((last + 1) * HOP, lengths)
        return torch.stack([torch.minimum(first * HOP, end), end], 1)

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        return size

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        return u[:, 1] - u[:, 0]

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        if u.shape[1] != 2:
            raise TypeError(
                "time_map: Trim cuts off what the sound itself says, not numbers drawn; put events, instants or frame_labels "
                "in the batch, where they move with it"
            )
        return self._part(u).timeline()

    def _part(self, ends: Tensor) -> Pieces:
        return Pieces(ends[:, :1], ends[:, 1:], torch.zeros_like(ends[:, :1]))

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        return self._part(u).of(waveform, samples)


class SpliceOut(Timed):
    """Cut short pieces out of a waveform and join what is left: it becomes shorter, as if spoken in a hurry.

    Jain et al., "SpliceOut: A Simple and Efficient Audio Augmentation Method" (2021). Each interval is replaced by the
    cross-fade (half a cosine) of its first half into its second one, so half of its width goes. Intervals do not overlap; in
    short sounds they are narrower, so that all together they cover at most the whole sound.

    >>> from torchaug import Batch
    >>> lengths = torch.tensor([16000, 900])
    >>> out = SpliceOut(p=1.0, sample_rate=16000)(Batch(waveform=torch.rand(2, 1, 16000), lengths=lengths))
    >>> out.waveform.shape, bool((out.lengths < lengths).all())
    (torch.Size([2, 1, 16000]), True)

    Args:
        num_time_intervals: how many.
        max_width: of an interval, in milliseconds; each width from 0 to it is as likely as the others.
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.

    Parameters per sample: start in samples and cut, the samples taken out of each interval, (num_time_intervals,) each.
    """

    ends_in_silence = True

    def __init__(
        self, num_time_intervals: int = 8, max_width: float = 400.0, p: float = 0.5, *, sample_rate: int
    ) -> None:
        super().__init__(p)
        self.num_time_intervals = arguments.whole(num_time_intervals, "SpliceOut", "num_time_intervals", 1)
        self.max_width = arguments.number(max_width, "SpliceOut", "max_width", 0, above=True)
        self.sample_rate = arguments.whole(sample_rate, "SpliceOut", "sample_rate", 1)
        self.uniforms = 2 * self.num_time_intervals

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        begin, cut = self._cuts(u, lengths_in(size))
        return {"start": begin + cut.cumsum(1) - cut, "cut": cut}

    def _cuts(self, u: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Where cross-fades begin in what comes out, rising, and how long they and what is cut out are, (B, N) each."""
        count = self.num_time_intervals
        widest = (lengths // (2 * count)).clamp(max=self._widest(1 << 62))
        cut = whole_between(u[:, :count], 0, widest[:, None])
        kept = lengths[:, None] - 2 * cut.sum(1, keepdim=True)
        between = whole_between(u[:, count:], 0, kept).sort(1).values
        return between + cut.cumsum(1) - cut, cut

    def _widest(self, samples: int) -> int:
        """Of a cross-fade in a sound of so many samples."""
        return min(samples // (2 * self.num_time_intervals), round(self.max_width * self.sample_rate / 2000))

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        return lengths - self._cuts(u, lengths)[1].sum(1)

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        begin, cut = self._cuts(u, lengths)
        middle = begin + cut / 2
        out = cut.cumsum(1)
        ends = lengths[:, None] - torch.stack([lengths * 0, out[:, -1]], 1)
        source = torch.stack([middle + out - cut, middle + out], -1).flatten(1)
        target = torch.stack([middle, middle], -1).flatten(1)
        knots = [
            torch.cat([torch.zeros_like(end), part, end], 1)
            for part, end in ((source, ends[:, :1]), (target, ends[:, 1:]))
        ]
        return TimeMap(*(knot[:, None].to(torch.float64) for knot in knots))

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        begin, cut = self._cuts(u, lengths)
        none = torch.zeros_like(begin[:, :1])
        target, ahead = torch.cat([none, begin], 1), torch.cat([none, cut.cumsum(1)], 1)
        end = torch.cat([begin + ahead[:, :-1], lengths[:, None]], 1)
        out = Pieces(target + ahead, end, target).of(waveform, samples)
        since = torch.arange(self._widest(samples), device=waveform.device)
        at = begin[..., None] + since
        before = at + ahead[:, :-1, None]
        share = fade((since + 0.5).to(out.dtype), cut[..., None]).flatten(1)[:, None]
        soft, loud = (taken(waveform, places.flatten(1)) for places in (before, before + cut[..., None]))
        fading = torch.where(since < cut[..., None], at, -1).flatten(1)
        return written(out, fading, soft * (1 - share) + loud * share)
