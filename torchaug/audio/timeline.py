"""Where each instant of a sound goes, and labels that go with it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.batch import Batch


class TimeMap(NamedTuple):
    """A map from instants of what went in to instants of what comes out, in samples: R parts, each piecewise linear.

    Most sounds come out in one part. One that is rolled round its end has two; one of which a piece is repeated has more.
    What lies outside of all parts was cut away. A piece whose targets are equal was cut out of the middle.

    Args:
        source: (B, R, K) float64 instants of what went in, rising within a part.
        target: (B, R, K) float64 where they are in what comes out, rising or falling.

    >>> twice_as_fast = TimeMap.linear(torch.tensor([8.0]), torch.tensor([4.0]))
    >>> twice_as_fast.instants(torch.tensor([[2.0, 9.0]]))
    tensor([[1., nan]])
    """

    source: Tensor
    target: Tensor

    @staticmethod
    def linear(source: Tensor, target: Tensor) -> TimeMap:
        """From [0, source] to [0, target], (B,) each."""
        ends = [torch.stack([torch.zeros_like(end), end], -1)[:, None].to(torch.float64) for end in (source, target)]
        return TimeMap(*ends)

    @staticmethod
    def joined(parts: list[TimeMap]) -> TimeMap:
        """Of parts with the same number of knots."""
        return TimeMap(torch.cat([part.source for part in parts], 1), torch.cat([part.target for part in parts], 1))

    def there(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Instants (B, N) as each part has them, (B, R, N), its ends standing for what lies outside; and whether they lie in
        a piece that was cut out of the middle."""
        return _interpolated(self.source, self.target, times.to(torch.float64)[:, None])

    def instants(self, times: Tensor) -> Tensor:
        """Instants (B, N) as (B, R N), in their dtype; NaN where they were cut away."""
        moved, cut = self.there(times)
        at, first, last = times.to(torch.float64)[:, None], self.source[..., :1], self.source[..., -1:]
        there = (at >= first) & (at <= last) & (last > first) & ~cut
        return torch.where(there, moved, torch.nan).to(times.dtype).flatten(1)

    def events(self, events: Tensor) -> Tensor:
        """Events (B, N, 2) as (B, R N, 2), in their dtype; zeros where nothing is left of one."""
        begin, end = (self.there(events[..., side])[0] for side in (0, 1))
        moved = torch.stack([torch.minimum(begin, end), torch.maximum(begin, end)], -1).flatten(1, 2)
        return torch.where(moved[..., 1:] > moved[..., :1], moved, 0).to(events.dtype)

    def back(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Where instants (B, N) of what comes out were in what went in, (B, N), and whether (B, N) they were there at all."""
        falls = self.target[..., :1] > self.target[..., -1:]
        target = torch.where(falls, self.target.flip(-1), self.target)
        source = torch.where(falls, self.source.flip(-1), self.source)
        times = times.to(torch.float64)[:, None]
        was, _ = _interpolated(target, source, times)
        inside = (times >= target[..., :1]) & (times < target[..., -1:])
        part = inside.to(torch.int64).argmax(1, keepdim=True)
        return was.gather(1, part)[:, 0], inside.any(1)

    def then(self, after: TimeMap) -> TimeMap:
        """The map that does this one and then another: each part of one through each part of the other."""
        pairs = [
            _through(self.source[:, [i]], self.target[:, [i]], after.source[:, [j]], after.target[:, [j]])
            for i in range(self.source.shape[1])
            for j in range(after.source.shape[1])
        ]
        return TimeMap.joined(pairs)

    def where(self, chosen: Tensor, lengths: Tensor) -> TimeMap:
        """Itself where `chosen` (B,), else the identity of sounds of `lengths` (B,), in its first part."""
        none = chosen[:, None, None]
        whole = lengths.to(torch.float64)[:, None, None]
        steps = torch.linspace(0, 1, self.source.shape[-1], dtype=torch.float64, device=whole.device)
        same = whole * steps
        first = torch.arange(self.source.shape[1], device=whole.device)[:, None] == 0
        empty = torch.zeros_like(same)
        return TimeMap(
            torch.where(none, self.source, torch.where(first, same, empty)),
            torch.where(none, self.target, torch.where(first, same, empty)),
        )


def _interpolated(x: Tensor, y: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Piecewise linear functions through knots x, y (B, R, K) at (B, 1, N), held at their ends, and whether they are flat.

    A product of maps may have a knot twice, and rounds what is flat: pieces narrower than 1e-6 samples are none, and those of
    a slope below 1e-6 are flat.
    """
    at = at.expand(*x.shape[:2], -1).contiguous()
    right = torch.searchsorted(x.contiguous(), at, right=True).clamp(1, x.shape[-1] - 1)
    x0, x1, y0, y1 = x.gather(-1, right - 1), x.gather(-1, right), y.gather(-1, right - 1), y.gather(-1, right)
    width = x1 - x0
    share = ((at - x0) / torch.where(width > 0, width, 1)).clamp(0, 1)
    flat = (width > 1e-6) & ((y1 - y0).abs() < 1e-6 * width)
    return torch.where(share == 1, y1, y0 + (y1 - y0) * share), flat


def _through(source: Tensor, middle: Tensor, middle_after: Tensor, target: Tensor) -> TimeMap:
    """One part (B, 1, K) after another: knots of both, those that the other does not see at its ends."""
    first, second = TimeMap(source, middle), TimeMap(middle_after, target)
    was, _ = first.back(middle_after[:, 0])
    low = was.amin(-1, keepdim=True)
    high = was.amax(-1, keepdim=True)
    knots = torch.cat([source[:, 0].clamp(low, high), was], -1).sort(-1).values
    seen = first.there(knots)[0][:, 0]
    reaches = torch.minimum(middle.amax(-1), middle_after.amax(-1)) > torch.maximum(
        middle.amin(-1), middle_after.amin(-1)
    )
    target = second.there(seen)[0]
    return TimeMap(torch.where(reaches[..., None], knots[:, None], 0), torch.where(reaches[..., None], target, 0))


def moved_labels(batch: Batch, way: TimeMap, chosen: Tensor, samples: int) -> dict[str, Tensor]:
    """Events, instants and frame labels of a batch whose `chosen` (B,) sounds went `way`; what others have stays as it is.

    Args:
        batch: with the sounds as they came in.
        way: with R parts; there are R times as many events and instants afterwards, with room for the pieces of each.
        chosen: (B,) bool.
        samples: of the sounds that come out, padding included.
    """
    changes: dict[str, Tensor] = {}
    parts = way.source.shape[1]
    if batch.events is not None:
        events = way.events(batch.events)
        changes["events"] = _chosen(chosen, events, _filled(batch.events, parts * batch.events.shape[1], 0))
        if batch.event_labels is not None:
            labels = torch.where(events[..., 1] > events[..., 0], batch.event_labels.repeat(1, parts), -1)
            before = _filled(batch.event_labels, labels.shape[1], -1)
            changes["event_labels"] = _chosen(chosen, labels, before)
    if batch.instants is not None:
        before = _filled(batch.instants, parts * batch.instants.shape[1], torch.nan)
        changes["instants"] = _chosen(chosen, way.instants(batch.instants), before)
    if batch.frame_labels is not None:
        fill = 0 if batch.frame_labels.is_floating_point() or batch.frame_labels.dtype == torch.bool else -1
        frames = _frames(batch, way, samples, fill)
        changes["frame_labels"] = _chosen(chosen, frames, _filled(batch.frame_labels, frames.shape[1], fill))
    return changes


def _chosen(chosen: Tensor, moved: Tensor, before: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (moved.ndim - 1)), moved, before)


def _filled(labels: Tensor, count: int, fill: float) -> Tensor:
    """The first `count` of labels (B, N, ...), and `fill` where there are fewer."""
    more = labels.new_full((len(labels), max(0, count - labels.shape[1]), *labels.shape[2:]), fill)
    return torch.cat([labels[:, :count], more], 1)


def _frames(batch: Batch, way: TimeMap, samples: int, fill: int) -> Tensor:
    """As many frame labels as a sound of `samples` samples has: each that of the frame in whose time its middle was, or
    `fill` where there was none."""
    labels = batch.frame_labels
    sound = batch.waveform if batch.waveform is not None else batch.spectrogram
    assert labels is not None
    assert sound is not None
    hop = sound.shape[-1] / max(1, labels.shape[1])
    count = max(1, round(samples / hop)) if labels.shape[1] else 0
    middles = (torch.arange(count, dtype=torch.float64, device=labels.device) + 0.5) * hop
    was, there = way.back(middles.expand(len(labels), -1))
    place = (was / hop).floor().to(torch.int64).clamp(0, max(0, labels.shape[1] - 1))
    shape = (-1, -1, *[1] * (labels.ndim - 2))
    moved = labels.gather(1, place.view(*place.shape, *shape[2:]).expand(-1, -1, *labels.shape[2:]))
    return torch.where(there.view(*there.shape, *[1] * (labels.ndim - 2)), moved, moved.new_full((), fill))
