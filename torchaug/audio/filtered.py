"""The kind of filters: sections of each sample's own, in one call for a whole batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import product
from typing import cast

import torch
from torch import Tensor

from torchaug.audio.biquads import cascade, or_neutral, ringing
from torchaug.audio.kinds import Wave, waveform_of, where_chosen, working
from torchaug.batch import Batch
from torchaug.image.arguments import whole
from torchaug.transform import Call, Folding, Run, Sizes, Transform, lengths_of


class Filtered(Wave):
    """A filter of second-order sections of the sample's own. A concrete one writes `settings` and `sections`.

    Neighbours in a Compose are one filter, at the cost of one. A sound counts as silent before its begin and after its end.

    >>> from torchaug.audio.biquads import peaking, warped
    >>> class Bell(Filtered):
    ...     uniforms = 1
    ...     def __init__(self, sample_rate):
    ...         super().__init__(sample_rate, p=1.0)
    ...         self.settle()
    ...     def settings(self, u):
    ...         return {"center_freq": 500 + 500 * u[:, 0]}
    ...     def sections(self, settings):
    ...         k = warped(settings["center_freq"], self.sample_rate)[:, None]
    ...         return peaking(k, gain_db=torch.full_like(k, 6.0), q=torch.ones_like(k))
    >>> Bell(8000)(torch.zeros(3, 1, 100)).shape
    torch.Size([3, 1, 100])

    Args:
        sample_rate: of the waveforms, in Hz.
        p: chance per sample.
    """

    zero_phase: bool = False
    """Whether it goes forwards and backwards, by which nothing is delayed and its gains in decibels double."""
    in_time: bool = False
    """Whether it is worked out in time on a CPU, which is faster: right where no section raises by far what others lower, as
    those of a wide band do."""
    ringing: int = 0
    """Samples until its longest impulse response is over: what `settle` finds."""

    def __init__(self, sample_rate: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.sample_rate = whole(sample_rate, type(self).__name__, "sample_rate", 1)

    @abstractmethod
    def settings(self, u: Tensor) -> dict[str, Tensor]:
        """What is drawn, in users' units, (B, ...) each, from `u` (B, uniforms)."""

    @abstractmethod
    def sections(self, settings: dict[str, Tensor]) -> Tensor:
        """(B, S, 2, 3) float64, as `torchaug.audio.biquads` has them."""

    def settle(self) -> None:
        """Find out how long it rings: the last thing that a constructor does.

        The pole nearest to the unit circle is found where all numbers are at their least or greatest. Uniforms are up to
        three to a section, in the same order for each.
        """
        ends = torch.tensor([*product((0.0, 1.0), repeat=3)], device="cpu")
        u = ends.repeat(1, -(-self.uniforms // 3))[:, : self.uniforms]
        self.ringing = ringing(self.sections(self.settings(u)))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return self.settings(u)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        sections = self.sections(self.settings(u))
        return cascade(waveform, lengths, sections, self.ringing, zero_phase=self.zero_phase, in_time=self.in_time)

    def run(self, folding: Folding) -> Run:
        return FilterRun([self])


class FilterRun(Run):
    """Neighbouring filters as one: the product of what they do to each frequency."""

    def refuses(self, step: Transform) -> str | None:
        last = cast(Filtered, self.steps[-1])
        if not isinstance(step, Filtered):
            return f"{type(step).__name__} is no filter"
        if last.zero_phase or step.zero_phase:  # it would hear what the others do before the begin and after the end
            return "a zero-phase filter folds with nothing"
        if step.sample_rate != last.sample_rate:
            return "its sample rate is another one"
        return None

    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        if len(self.steps) == 1:
            return self.steps[0].transform(batch, *calls[0])
        waveform, lengths = waveform_of(batch, self.steps[0]), lengths_of(batch)
        assert lengths is not None
        steps = cast(Sequence[Filtered], self.steps)
        sections = torch.cat(
            [
                or_neutral(step.sections(step.settings(u)), chosen[:, None])
                for step, (u, chosen) in zip(steps, calls, strict=True)
            ],
            1,
        )
        rings, in_time = sum(step.ringing for step in steps), all(step.in_time for step in steps)
        out = cascade(working(waveform), lengths, sections, rings, in_time=in_time)
        chosen = torch.stack([call.chosen for call in calls]).any(0)
        return batch.replace(waveform=where_chosen(chosen, batch.lengths, out, waveform))

    def summary(self) -> str:
        return "one filter"
