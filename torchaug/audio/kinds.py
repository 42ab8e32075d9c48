"""The kinds of transforms of sounds, and what they have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from torchaug.audio.timeline import TimeMap, moved_labels
from torchaug.batch import Batch
from torchaug.transfer import all_of
from torchaug.transform import Call, Layer, Params, Sizes, Transform, lengths_of


class Wave(Transform):
    """A transform of waveforms that moves nothing in time. A concrete one writes `wave`.

    Padding, what lies behind a waveform's length, stays as it is, bit for bit, and so do samples that are not chosen.

    >>> class Halve(Wave):
    ...     def wave(self, waveform, lengths, u):
    ...         return waveform / 2
    >>> Halve(p=1.0)(torch.tensor([0.5, -1.0]))
    tensor([ 0.2500, -0.5000])

    Args:
        p: chance per sample.
    """

    takes = "waveform"

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    @abstractmethod
    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        """What becomes of all of (B, C, T) float32 or float64, from `lengths` (B,) int64 and `u` (B, uniforms).

        What lies behind a length may hold anything, NaN too, and must not matter: `own_samples` tells what does not.
        """

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        waveform = waveform_of(batch, self)
        lengths = lengths_of(batch)
        assert lengths is not None
        out = self.wave(working(waveform), lengths, u)
        return batch.replace(waveform=where_chosen(chosen, batch.lengths, out, waveform))


class Timed(Transform):
    """A transform that moves sound in time, and the labels with it. A concrete one writes `move` and `timeline`.

    What lies behind a waveform's length afterwards is 0. Samples that are not chosen stay; where the waveforms that come out
    are longer than those that came in, they are padded.

    >>> class Backwards(Timed):  # of waveforms without padding
    ...     keeps_length = True
    ...     def timeline(self, lengths, u):
    ...         ahead = TimeMap.linear(lengths, lengths)
    ...         return TimeMap(ahead.source, ahead.target.flip(-1))
    ...     def move(self, waveform, lengths, u, samples):
    ...         return waveform.flip(-1)
    >>> sound, beat = torch.tensor([5.0, 6.0, 7.0]), torch.tensor([0.5])
    >>> Backwards(p=1.0)({"waveform": sound, "instants": beat})
    {'waveform': tensor([7., 6., 5.]), 'instants': tensor([2.5000])}

    Args:
        p: chance per sample.
    """

    takes = "waveform"
    keeps_length: bool = False
    """True where every waveform comes out as long as it came in."""
    ends_in_silence: bool = False
    """True where what `move` gives is 0 behind the lengths already, as of `Pieces`."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def samples_after(self, samples: int) -> int:
        """T of what comes out, for T that came in, padding included: known from constructors alone, and no less than what
        the longest waveform may become, nor, where `p` may leave samples as they are, than what came in."""
        return samples

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        """(B,) int64 what lengths (B,) become."""
        return lengths

    @abstractmethod
    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        """Where each instant goes."""

    @abstractmethod
    def move(self, waveform: Tensor, lengths: Tensor, u: Tensor, samples: int) -> Tensor:
        """What becomes of all of (B, C, T), float32 or float64: (B, C, samples). Padding as in `Wave.wave`."""

    def heard(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        """`u`, or in its place what the move depends on in the sound itself: `lengths_after`, `timeline` and `move` get it."""
        return u

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        if size.lengths is None:
            return size
        u, chosen = settled(self, Call(u, chosen))
        return size._replace(lengths=torch.where(chosen, self.lengths_after(size.lengths, u), size.lengths))

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        waveform = waveform_of(batch, self)
        before = lengths_of(batch)
        assert before is not None
        sound = working(waveform)
        u, chosen = settled(self, Call(u, chosen))
        u = self.heard(sound, before, u)
        samples = self.samples_after(waveform.shape[-1])
        after = torch.where(chosen, self.lengths_after(before, u), before)
        out = self.move(sound, before, u, samples).to(waveform.dtype)
        everyone = all_of(chosen)
        if not (everyone and (self.ends_in_silence or all_of(after >= samples))):
            own = own_samples(torch.where(chosen, after, 0), samples)
            out = torch.where(own, out, 0)  # a copy: what `move` gave may be its input
            if not everyone:
                rows, common = chosen[:, None, None], min(samples, waveform.shape[-1])
                out[..., :common] = torch.where(rows, out[..., :common], waveform[..., :common])
        return batch.replace(
            waveform=out,
            lengths=batch.lengths if self.keeps_length else after,
            **self._labels(batch, before, u, chosen, samples),
        )

    def _labels(self, batch: Batch, lengths: Tensor, u: Tensor, chosen: Tensor, samples: int) -> dict[str, Tensor]:
        if batch.events is None and batch.instants is None and batch.frame_labels is None:
            return {}
        return moved_labels(batch, self.timeline(lengths, u), chosen, samples)


def settled(step: Transform, call: Call) -> Call:
    """The call itself; of a step that resizes, which no sample may escape, with those that were not chosen in the middle of
    what may be drawn: a crop is a centred one then."""
    if not step.resizes:
        return call
    return Call(torch.where(call.chosen[:, None], call.u, 0.5), torch.ones_like(call.chosen))


@runtime_checkable
class Moving(Protocol):
    """A transform that moves sound in time."""

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        """Where each instant goes."""

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        """(B,) int64 what lengths (B,) become."""


def time_map(layer: Layer, params: Params) -> TimeMap:
    """Where a transform, or all of a Compose, takes each instant, given what it drew: the product of its steps' maps.

    For annotations that are kept outside of the batch; those in it (`events`, `instants`, `frame_labels`) are moved already.

    Args:
        layer: in training, as it was applied.
        params: of `layer.draw(batch)`.
    """
    if params.lengths is None:
        raise ValueError("time_map: params must come from a batch with a waveform or a spectrogram")
    u = params.u
    lengths = params.lengths.to(u.device)
    way = TimeMap.linear(lengths, lengths)
    for leaf, call in zip(layer.leaves(), layer.route(u, u.new_ones(len(u), dtype=torch.bool)), strict=True):
        if isinstance(leaf, Moving):
            drawn, chosen = settled(leaf, call)
            way = way.then(leaf.timeline(lengths, drawn).where(chosen, lengths))
            lengths = torch.where(chosen, leaf.lengths_after(lengths, drawn), lengths)
    return way


def waveform_of(batch: Batch, step: Transform) -> Tensor:
    """The batch's waveform (B, C, T), or an error that names the step."""
    if batch.waveform is None:
        raise TypeError(
            f"{type(step).__name__}: expected a waveform: a tensor (B, C, T), (C, T) or (T,), or a dict with 'waveform'; "
            f"got {[*batch.present()]}"
        )
    return batch.waveform


def where_chosen(chosen: Tensor, lengths: Tensor | None, out: Tensor, sound: Tensor) -> Tensor:
    """`out` for the chosen samples, in the dtype of the `sound` (B, ..., T); the others, and all padding, bit for bit.

    Without lengths nothing is padding.
    """
    out = out.to(sound.dtype)
    if all_of(chosen) and (lengths is None or all_of(lengths >= sound.shape[-1])):
        return out
    ones = [1] * (sound.ndim - 2)
    if lengths is None:
        return torch.where(chosen.view(-1, *ones, 1), out, sound)
    changed = own_samples(torch.where(chosen, lengths, 0), sound.shape[-1])
    return torch.where(changed.view(len(sound), *ones, sound.shape[-1]), out, sound)


def silenced(waveform: Tensor, lengths: Tensor) -> Tensor:
    """(B, C, T) with 0 for what lies behind the lengths; the waveform itself where nothing does."""
    if all_of(lengths >= waveform.shape[-1]):
        return waveform
    return torch.where(own_samples(lengths, waveform.shape[-1]), waveform, 0)


def working(sound: Tensor) -> Tensor:
    """The sound in a precision to work in: float32, or float64 where it is."""
    return sound if sound.dtype == torch.float64 else sound.to(torch.float32)


def own_samples(lengths: Tensor, samples: int) -> Tensor:
    """(B, 1, samples) bool: what is not padding."""
    # in half the bytes of int64, which are more than the mask itself and, of one long sound, than the sound
    places = torch.arange(samples, device=lengths.device, dtype=torch.int32)
    return (places < lengths.clamp(max=samples).to(torch.int32)[:, None])[:, None]


def fitted(waveform: Tensor, samples: int) -> Tensor:
    """The first `samples` samples of (..., T), zeros after them."""
    there = waveform.shape[-1]
    return functional.pad(waveform, (0, samples - there)) if samples > there else waveform[..., :samples]


def rms(waveform: Tensor, lengths: Tensor) -> Tensor:
    """(B, 1, 1): the root of the mean square of all channels' own samples; 0 of none."""
    return root(power(waveform, lengths))


def power(waveform: Tensor, lengths: Tensor) -> Tensor:
    """(B, 1, 1): the mean square of all channels' own samples; 0 of none."""
    total = silenced(waveform, lengths).square().sum((1, 2), keepdim=True)
    return total / (lengths.clamp(min=1)[:, None, None] * max(1, waveform.shape[1]))


def root(power: Tensor) -> Tensor:
    """The square root, whose derivative is infinite at 0: there it is 0 here, so that silence has a gradient."""
    some = power != 0  # NaN too
    return torch.where(some, torch.where(some, power, 1).sqrt(), 0)


def amplitude(decibels: Tensor) -> Tensor:
    """The factor of an amplitude that so many decibels are."""
    return 10 ** (decibels / 20)


def taken(waveform: Tensor, places: Tensor) -> Tensor:
    """The samples of (B, C, T) at places (B, S), one for all channels; those beyond the ends are held."""
    if not waveform.shape[-1]:
        return waveform.new_zeros(*waveform.shape[:2], places.shape[1])
    places = places.clamp(0, waveform.shape[-1] - 1)
    return waveform.gather(2, places[:, None].expand(-1, waveform.shape[1], -1))
