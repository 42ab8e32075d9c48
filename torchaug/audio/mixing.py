"""Sounds mixed with others of their batch, and their labels with them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from torchaug.audio.kinds import amplitude, rms, silenced, waveform_of, working
from torchaug.audio.noise import ratio
from torchaug.audio.ranges import ordered
from torchaug.audio.timeline import TimeMap, moved_labels
from torchaug.batch import Batch
from torchaug.image import mix, mix_labels
from torchaug.image.arguments import number, one_of
from torchaug.keys import beta_quantiles, integers, uniform
from torchaug.transform import Sizes, lengths_of

_FILLS = {"events": 0.0, "event_labels": -1, "instants": torch.nan}
"""What stands for none of each."""


class SoundMix(mix.Mix):
    """A transform that mixes each sound with another of its batch; a concrete one writes `mixed`.

    Partners are drawn by key, as in `torchaug.image.Mix`: a sound is never mixed with itself, and alone in its batch it
    stays as it is. Where sounds get longer by it, `lengths` says so; the batch stays as long as it is.

    >>> class Half(SoundMix):
    ...     uniforms = 2
    ...     def mixed(self, batch, partner, mixes, u):
    ...         both = (batch.waveform + batch.waveform[partner]) / 2
    ...         return batch.replace(waveform=torch.where(mixes[:, None, None], both, batch.waveform))
    >>> Half()(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]))[0]
    tensor([[2., 3.]])

    Args:
        num_classes: needed where labels are class numbers.
        p: chance per sample.
    """

    takes = "waveform"

    @abstractmethod
    def mixed(self, batch: Batch, partner: Tensor, mixes: Tensor, u: Tensor) -> Batch:
        """The batch after it: each sound mixed with `partner` (B,) where `mixes` (B,), from `u` (B, uniforms)."""

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if not self.training:
            return batch
        waveform_of(batch, self)
        partner = self.partners(u)
        return self.mixed(batch, partner, chosen & (partner != torch.arange(len(partner), device=partner.device)), u)

    def added(self, batch: Batch, partner: Tensor, mixes: Tensor, own: Tensor, other: Tensor) -> dict[str, Tensor]:
        """Waveform and lengths where `own` and `other` (B,) are the factors of both sounds."""
        waveform, lengths = waveform_of(batch, self), _lengths(batch)
        sound = silenced(working(waveform), lengths)
        both = sound * own[:, None, None] + sound[partner] * other[:, None, None]
        changes = {"waveform": torch.where(mixes[:, None, None], both.to(waveform.dtype), waveform)}
        if batch.lengths is not None:
            changes["lengths"] = torch.where(mixes, torch.maximum(lengths, lengths[partner]), batch.lengths)
        return changes

    def joined(self, batch: Batch, partner: Tensor, mixes: Tensor) -> dict[str, Tensor]:
        """Events and instants of both sounds: twice as many, of which the partner's come last."""
        changes = {}
        for name, fill in _FILLS.items():
            value: Tensor | None = getattr(batch, name)
            if value is not None:
                theirs = torch.where(mixes.view(-1, *[1] * (value.ndim - 1)), value[partner], fill)
                changes[name] = torch.cat([value, theirs.to(value.dtype)], 1)
        return changes


class AudioMixup(SoundMix):
    """Blend each sound and its label with another's (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017).

    What comes out is lambda times the sound plus 1 - lambda times the other, as long as the longer of both. Labels are mixed
    by lambda: class numbers (B,) become soft labels (B, num_classes), for samples that are not chosen too; floating-point
    labels, `weight` and floating-point frame labels are mixed as they are. Events and instants of both are joined, (B, N) to
    (B, 2N).

    Args:
        alpha: of the Beta(alpha, alpha) law of lambda.
        num_classes: needed where labels are class numbers.
        level_aware: weigh sounds so that lambda is what is heard, whatever their levels, and keep the energy (Tokozume et
            al., "Learning from between-class examples for deep sound recognition", 2018, with rms for their A-weighted
            level); else lambda weighs samples.
        p: chance per sample.

    Parameters per sample: lambda. `partners(u)` tells with whom.

    Raises:
        TypeError: frame labels of whole numbers, which cannot be blended.

    >>> sounds, labels = AudioMixup(num_classes=3)(torch.rand(4, 1, 800), torch.tensor([0, 1, 2, 0]))
    >>> sounds.shape, labels.shape
    (torch.Size([4, 1, 800]), torch.Size([4, 3]))
    """

    uniforms = 3

    def __init__(
        self, alpha: float = 1.0, num_classes: int | None = None, level_aware: bool = False, p: float = 1.0
    ) -> None:
        super().__init__(num_classes, p)
        self.alpha = number(alpha, "AudioMixup", "alpha", 0, above=True)
        self.level_aware = level_aware
        self.register_buffer("quantiles", beta_quantiles(self.alpha, self.alpha), persistent=False)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"lambda": mix.beta(u[:, 2], self.quantiles)}

    def mixed(self, batch: Batch, partner: Tensor, mixes: Tensor, u: Tensor) -> Batch:
        share = torch.where(mixes, mix.beta(u[:, 2], self.quantiles), 1)
        whose = torch.arange(len(partner), device=partner.device)
        parts = [(whose, share), (partner, 1 - share)]
        changes = self.added(batch, partner, mixes, *self._factors(batch, partner, share))
        changes |= self.labels(batch, parts) | self.joined(batch, partner, mixes)
        if batch.frame_labels is not None:
            if not batch.frame_labels.is_floating_point():
                raise TypeError(
                    f"AudioMixup: frame labels of class numbers cannot be blended, got {batch.frame_labels.dtype}; pass "
                    "one_hot(frame_labels).float(), or use AudioCutMix"
                )
            changes["frame_labels"] = mix_labels.mixed(batch.frame_labels, parts).to(batch.frame_labels.dtype)
        return batch.replace(**changes)

    def _factors(self, batch: Batch, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        if not self.level_aware:
            return share, 1 - share
        level = rms(working(waveform_of(batch, self)), _lengths(batch))[:, 0, 0]
        own, other = share * level[partner], (1 - share) * level  # their ratio is that of the shares over the levels
        whole = (own.square() + other.square()).sqrt()
        return torch.where(whole > 0, ratio(own, whole), share), torch.where(whole > 0, ratio(other, whole), 1 - share)


class Mix(SoundMix):
    """Add another sound of the batch below each one, at a signal-to-noise ratio, as torch-audiomentations' transform.

    What comes out is as long as the longer of both. Nothing is mixed with silence.

    Args:
        min_snr_db: decibels that the sound's rms is above that of the other.
        max_snr_db: up to which it is drawn, uniformly.
        mix_target: "union": what is labelled in either sound is labelled in what comes out: class numbers (B,) become rows of
            0 and 1 (B, num_classes) with one or two 1, floating-point labels and frame labels the larger of both, bool ones
            either; events and instants of both are joined, (B, N) to (B, 2N). "original": labels stay the sound's own.
        num_classes: needed for a union of class numbers.
        p: chance per sample.

    Parameters per sample: snr_db. `partners(u)` tells with whom.

    Raises:
        TypeError: a union of frame labels of whole numbers.

    >>> sounds, labels = Mix(num_classes=2, p=1.0)(torch.rand(2, 1, 800), torch.tensor([0, 1]))
    >>> labels
    tensor([[1., 1.],
            [1., 1.]])
    """

    uniforms = 3

    def __init__(
        self,
        min_snr_db: float = 0.0,
        max_snr_db: float = 5.0,
        mix_target: Literal["union", "original"] = "union",
        num_classes: int | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(num_classes, p)
        self.min_snr_db, self.max_snr_db = ordered(min_snr_db, max_snr_db, "Mix", "snr_db")
        self.mix_target = one_of(mix_target, "Mix", "mix_target", ("union", "original"))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"snr_db": uniform(u[:, 2], self.min_snr_db, self.max_snr_db)}

    def mixed(self, batch: Batch, partner: Tensor, mixes: Tensor, u: Tensor) -> Batch:
        level = rms(working(waveform_of(batch, self)), _lengths(batch))[:, 0, 0]
        mixes = mixes & (level > 0) & (level[partner] > 0)
        snr = uniform(u[:, 2], self.min_snr_db, self.max_snr_db)
        factor = ratio(level * amplitude(-snr), level[partner])
        changes = self.added(batch, partner, mixes, torch.ones_like(factor), factor)
        if self.mix_target == "union":
            changes |= self.joined(batch, partner, mixes)
            if batch.label is not None:
                label = mix_labels.soft(batch.label, self.num_classes, "Mix")
                changes["label"] = _united(label, partner, mixes)
            if batch.frame_labels is not None:
                changes["frame_labels"] = self._frames(batch.frame_labels, partner, mixes)
        return batch.replace(**changes)

    def _frames(self, labels: Tensor, partner: Tensor, mixes: Tensor) -> Tensor:
        if labels.is_floating_point() or labels.dtype == torch.bool:
            return _united(labels, partner, mixes)
        raise TypeError(
            f"Mix: a union needs frame labels of 0 and 1 for each class, bool or floating point, got {labels.dtype}; pass "
            "one_hot(frame_labels).bool(), or mix_target='original'"
        )


class AudioCutMix(SoundMix):
    """Put a stretch of another sound in the place of a sound's own, and mix the labels by time (after Yun et al., "CutMix",
    2019).

    The stretch lies where both have sound, at the same place in both, and is 1 - lambda of the shorter one long, anywhere in it
    with equal chance. Frame labels, of any dtype, are those of the sound that is heard in their middle; events and instants
    are what is left of both, (B, N, 2) events as (B, 3N, 2): those before the stretch, behind it, and in it. Labels (B, ...)
    and `weight` are mixed by the part of the sound that is each one's: class numbers become soft labels as in `AudioMixup`.

    Args:
        alpha: of the Beta(alpha, alpha) law of lambda.
        num_classes: needed where labels are class numbers.
        p: chance per sample.

    Parameters per sample: lambda, and place, where the stretch lies between the earliest (0) and the latest (1).
    `partners(u)` tells from whom it is.

    >>> frames = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]])
    >>> out = AudioCutMix()({"waveform": frames[:, None].float(), "frame_labels": frames})
    >>> torch.equal(out["waveform"][:, 0].long(), out["frame_labels"])
    True
    """

    uniforms = 4

    def __init__(self, alpha: float = 1.0, num_classes: int | None = None, p: float = 1.0) -> None:
        super().__init__(num_classes, p)
        self.alpha = number(alpha, "AudioCutMix", "alpha", 0, above=True)
        self.register_buffer("quantiles", beta_quantiles(self.alpha, self.alpha), persistent=False)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"lambda": mix.beta(u[:, 2], self.quantiles), "place": u[:, 3]}

    def mixed(self, batch: Batch, partner: Tensor, mixes: Tensor, u: Tensor) -> Batch:
        waveform, lengths = waveform_of(batch, self), _lengths(batch)
        begin, end = self._stretch(torch.minimum(lengths, lengths[partner]), u)
        share = torch.where(mixes & (lengths > 0), 1 - (end - begin) / lengths.clamp(min=1), 1)
        whose = torch.arange(len(partner), device=partner.device)
        time = torch.arange(waveform.shape[2], device=waveform.device)
        inside = mixes[:, None] & (time >= begin[:, None]) & (time < end[:, None])
        return batch.replace(
            waveform=torch.where(inside[:, None], waveform[partner], waveform),
            **self.labels(batch, [(whose, share), (partner, 1 - share)]),
            **_cut(batch, partner, mixes, begin, end),
        )

    def _stretch(self, common: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64 the first sample that is the partner's, and the first one after them."""
        part = 1 - mix.beta(u[:, 2], self.quantiles)
        width = torch.minimum((part * common + 0.5).to(torch.int64), common)
        begin = integers(u[:, 3], 0, common - width + 1)
        return begin, begin + width


def _lengths(batch: Batch) -> Tensor:
    lengths = lengths_of(batch)
    assert lengths is not None
    return lengths


def _united(label: Tensor, partner: Tensor, mixes: Tensor) -> Tensor:
    return torch.where(mixes.view(-1, *[1] * (label.ndim - 1)), torch.maximum(label, label[partner]), label)


def _cut(batch: Batch, partner: Tensor, mixes: Tensor, begin: Tensor, end: Tensor) -> dict[str, Tensor]:
    """Events, instants and frame labels: the sample's own before `begin` and from `end` on, its partner's between them."""
    assert batch.waveform is not None
    samples = batch.waveform.shape[2]
    last = torch.full_like(end, samples)
    before, behind, between = (_kept(*ends) for ends in ((torch.zeros_like(begin), begin), (end, last), (begin, end)))
    times = batch.replace(frame_labels=None)
    changes = moved_labels(times, TimeMap.joined([before, behind]), mixes, samples)
    labels = {name: value[partner] for name, value in times.present().items() if name in _FILLS}
    others = Batch(waveform=batch.waveform, **labels)
    for name, theirs in moved_labels(others, between, mixes, samples).items():
        theirs = torch.where(mixes.view(-1, *[1] * (theirs.ndim - 1)), theirs, _FILLS[name]).to(theirs.dtype)
        changes[name] = torch.cat([changes[name], theirs], 1)
    frames = batch.frame_labels
    if frames is not None:
        middles = (torch.arange(frames.shape[1], device=begin.device) + 0.5) * (samples / max(1, frames.shape[1]))
        inside = mixes[:, None] & (middles >= begin[:, None]) & (middles < end[:, None])
        changes["frame_labels"] = torch.where(
            inside.view(*inside.shape, *[1] * (frames.ndim - 2)), frames[partner], frames
        )
    return changes


def _kept(begin: Tensor, end: Tensor) -> TimeMap:
    """Stays where it is, from `begin` (B,) to `end` (B,)."""
    ends = torch.stack([begin, end], -1)[:, None].to(torch.float64)
    return TimeMap(ends, ends)
