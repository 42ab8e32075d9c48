"""Waveforms padded as part of the sound."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from torchaug.audio.cuts import static_samples
from torchaug.audio.kinds import Timed, taken
from torchaug.audio.pieces import Pieces
from torchaug.audio.ranges import ordered
from torchaug.audio.spans import lengths_in, whole_between
from torchaug.audio.timeline import TimeMap
from torchaug.image import arguments
from torchaug.transform import Sizes

Mode = Literal["silence", "wrap", "reflect"]
Side = Literal["start", "end"]
COPIES = 8
"""How often a sound is there at most where it pads itself; silence comes after that. Each copy has labels of its own."""


class Extension(NamedTuple):
    """A part of a sound, and what lies at its side until the sound has its length: (B,) int64 each.

    Args:
        first: sample of the part.
        kept: samples of it.
        total: of what comes out.
        mode: as `numpy.pad`: "wrap" repeats the part, "reflect" mirrors it at its last sample.
        side: where the padding is.
    """

    first: Tensor
    kept: Tensor
    total: Tensor
    mode: Mode
    side: Side

    def step(self) -> Tensor:
        """(B,) samples that each copy adds."""
        return (self.kept - 1).clamp(min=0) if self.mode == "reflect" else self.kept

    def _copies(self) -> tuple[Pieces, Tensor]:
        """The part and, unless the padding is silent, its copies; and which of these are backwards."""
        copy = torch.arange(1 if self.mode == "silence" else COPIES, device=self.kept.device)
        kept, total, step = self.kept[:, None], self.total[:, None], self.step()[:, None]
        target = torch.where(copy == 0, 0, kept + (copy - 1) * step)
        count = torch.minimum((total - target).clamp(min=0), torch.where(copy == 0, kept, step))
        mirrored = self.mode == "reflect"
        back = (copy % 2 == 1) & mirrored
        begin = torch.where(back, kept - 1 - count, torch.where((copy > 0) & mirrored, 1, 0))
        if self.side == "start":
            begin, target = kept - begin - count, total - target - count
        begin = self.first[:, None] + begin
        return Pieces(begin, begin + count, target), back

    def timeline(self) -> TimeMap:
        """Of the part and its copies."""
        pieces, back = self._copies()
        way = pieces.timeline()
        return TimeMap(way.source, torch.where(back[..., None], way.target.flip(-1), way.target))

    def of(self, waveform: Tensor, samples: int) -> Tensor:
        """(B, C, samples) what comes out of (B, C, T)."""
        if self.mode != "reflect":
            return self._copies()[0].of(waveform, samples)
        time = torch.arange(samples, device=waveform.device)
        kept, step = self.kept[:, None], self.step()[:, None]
        time = time if self.side == "end" else self.total[:, None] - 1 - time
        period = (2 * step).clamp(min=1)
        place = time % period
        place = torch.minimum(torch.minimum(place, period - place), (kept - 1).clamp(min=0))
        place = place if self.side == "end" else kept - 1 - place
        out = taken(waveform, self.first[:, None] + place)
        return torch.where((time < kept + (COPIES - 1) * step)[:, None], out, 0)


class Padding(Timed):
    """Replace the beginning or the end of a waveform by padding, for models that will see padded sounds.

    The waveform keeps its length. Labels of what was replaced are gone; where the padding repeats the rest, its labels are
    repeated too (up to 7 times, and then silence comes).

    >>> Padding(min_fraction=0.5, max_fraction=0.5, p=1.0)(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    tensor([0.1000, 0.2000, 0.0000, 0.0000])

    Args:
        mode: "silence"; "wrap", which repeats the rest; or "reflect", which mirrors it at its last sample.
        min_fraction: least share of a sound's own length to replace.
        max_fraction: greatest share.
        pad_section: "start" or "end".
        p: chance per sample.

    Parameters per sample: padding in samples, uniform.
    """

    uniforms = 1
    keeps_length = True

    def __init__(
        self,
        mode: Mode = "silence",
        min_fraction: float = 0.01,
        max_fraction: float = 0.7,
        pad_section: Side = "end",
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.mode = arguments.one_of(mode, "Padding", "mode", get_args(Mode))
        ordered(min_fraction, max_fraction, "Padding", "fraction", 0, 1)
        self.min_fraction, self.max_fraction = min_fraction, max_fraction
        self.pad_section = arguments.one_of(pad_section, "Padding", "pad_section", get_args(Side))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"padding": self._padding(u, lengths_in(size))}

    def _padding(self, u: Tensor, lengths: Tensor) -> Tensor:
        ends = [(lengths.to(torch.float64) * share).to(torch.int64) for share in (self.min_fraction, self.max_fraction)]
        return whole_between(u[:, 0], *ends)

    def _extension(self, lengths: Tensor, u: Tensor) -> Extension:
        padding = self._padding(u, lengths)
        first = padding if self.pad_section == "start" else torch.zeros_like(padding)
        return Extension(first, lengths - padding, lengths, self.mode, self.pad_section)

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        return self._extension(lengths, u).timeline()

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        return self._extension(lengths, u).of(waveform, samples)


class AdjustDuration(Timed):
    """Crop or pad every waveform to one duration: a random part of longer ones, padding beside shorter ones.

    In evaluation, and where it is not chosen, the part is the middle one. The padding counts as sound: all come out with this
    length. `RandomCrop` leaves short sounds at theirs.

    >>> AdjustDuration(5, padding_mode="wrap")(torch.tensor([0.1, 0.2, 0.3]))
    tensor([0.1000, 0.2000, 0.3000, 0.1000, 0.2000])

    Args:
        duration_samples: of what comes out; this or the next.
        duration_seconds: the same in seconds.
        padding_mode: "silence"; "wrap", which repeats the sound; or "reflect", which mirrors it at its last sample. Labels are
            repeated with it, up to 7 times, and then silence comes.
        padding_position: where padding is: at the "start" or the "end".
        sample_rate: of the waveforms, in Hz; needed for seconds.

    Parameters per sample: start of the part in samples, uniform.
    """

    uniforms = 1
    resizes = True

    def __init__(
        self,
        duration_samples: int | None = None,
        duration_seconds: float | None = None,
        padding_mode: Mode = "silence",
        padding_position: Side = "end",
        *,
        sample_rate: int | None = None,
    ) -> None:
        super().__init__(1.0)
        who = "AdjustDuration"
        if (duration_samples is None) == (duration_seconds is None):
            raise ValueError(
                f"{who}: expected duration_samples or duration_seconds, got {duration_samples!r} and {duration_seconds!r}"
            )
        given = "duration_samples" if duration_seconds is None else "duration_seconds"
        duration = duration_samples if duration_seconds is None else duration_seconds
        assert duration is not None
        self.samples = static_samples(duration, duration_seconds is not None, sample_rate, who, given)
        self.duration_samples, self.duration_seconds = duration_samples, duration_seconds
        self.padding_mode = arguments.one_of(padding_mode, who, "padding_mode", get_args(Mode))
        self.padding_position = arguments.one_of(padding_position, who, "padding_position", get_args(Side))
        self.sample_rate = sample_rate

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"start": self._start(u, lengths_in(size))}

    def _start(self, u: Tensor, lengths: Tensor) -> Tensor:
        return whole_between(u[:, 0], 0, lengths - self.samples)

    def _extension(self, lengths: Tensor, u: Tensor) -> Extension:
        total = torch.full_like(lengths, self.samples)
        kept = torch.minimum(lengths, total)
        return Extension(self._start(u, lengths), kept, total, self.padding_mode, self.padding_position)

    def samples_after(self, samples: int) -> int:
        return self.samples

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        return torch.full_like(lengths, self.samples)

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        return self._extension(lengths, u).timeline()

    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        return self._extension(lengths, u).of(waveform, samples)
