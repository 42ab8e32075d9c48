"""Rectangles of spectrograms pasted into others, and the labels with them."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.audio.masking import Stripes
from torchaug.audio.spectral import spectrogram_of
from torchaug.batch import Batch
from torchaug.image.arguments import number
from torchaug.image.mix import Mix, beta
from torchaug.keys import beta_quantiles, integers
from torchaug.transform import Sizes, lengths_of


class SpecCutMix(Mix):
    """Paste a rectangle of another spectrogram, at its own time and frequency, and mix the labels by area.

    CutMix (Yun et al., 2019) for sound: frequencies stay where they are, since a voice an octave up is another voice. The
    rectangle lies within the lengths of both. Class numbers and soft labels become soft labels, as in `torchaug.image.Mix`,
    which also says how partners are drawn. Events and instants of the other one are added, (B, N, ...) becomes (B, 2N, ...),
    as far as they lie in the pasted frames; its own stay, since they go on at other frequencies. Frame labels of floating
    point are mixed by the share of frequencies that was pasted into each frame; class numbers are those of the larger share.

    Args:
        alpha: of the Beta(alpha, alpha) law of the share that stays, where both are equally long.
        num_classes: needed where labels are class numbers.
        p: chance per sample.

    Parameters per sample: lambda, the share drawn. `partners(u)` tells with whom, `rectangle(...)` which frames and
    frequencies; the labels get the share of a sample's own frames and frequencies that is outside it.

    >>> spectrogram, label = SpecCutMix(num_classes=10)(torch.rand(8, 1, 80, 300), torch.arange(8))
    >>> spectrogram.shape, label.shape
    (torch.Size([8, 1, 80, 300]), torch.Size([8, 10]))
    """

    uniforms = 5
    takes = "spectrogram"

    def __init__(self, alpha: float = 1.0, num_classes: int | None = None, p: float = 1.0) -> None:
        super().__init__(num_classes, p)
        self.alpha = number(alpha, "SpecCutMix", "alpha", 0, above=True)
        self.register_buffer("quantiles", beta_quantiles(self.alpha, self.alpha), persistent=False)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"lambda": beta(u[:, 2], self.quantiles)}

    def rectangle(self, u: Tensor, lengths: Tensor, bins: int) -> tuple[Stripes, Stripes]:
        """Frames and frequencies (B, 1) that are pasted, from `u` (B, uniforms) and the batch's `lengths` (B,)."""
        side = (1 - beta(u[:, 2], self.quantiles)).sqrt()
        both = torch.minimum(lengths, lengths[self.partners(u)])
        frames, rows = (
            Stripes(integers(place, 0, whole - width + 1)[:, None], width[:, None])
            for place, whole in ((u[:, 3], both), (u[:, 4], torch.full_like(lengths, bins)))
            for width in [(side * whole).round().to(torch.int64)]
        )
        return frames, rows

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if not self.training:
            return batch
        spectrogram, lengths = spectrogram_of(batch, self), lengths_of(batch)
        assert lengths is not None
        bins, most = spectrogram.shape[2:]
        partner = self.partners(u)
        own = torch.arange(len(partner), device=partner.device)
        frames, rows = self.rectangle(u, lengths, bins)
        frames = frames._replace(width=frames.width * (chosen & (partner != own))[:, None])
        region = frames.covered(most)[:, None, None] & rows.covered(bins)[:, None, :, None]
        share = 1 - (frames.width * rows.width)[:, 0] / (lengths * bins).clamp(min=1)
        return batch.replace(
            spectrogram=torch.where(region, spectrogram[partner], spectrogram),
            **self.labels(batch, [(own, share), (partner, 1 - share)]),
            **_events(batch, partner, frames),
            **_frame_labels(batch, partner, frames, rows.width / max(1, bins)),
        )


def _events(batch: Batch, partner: Tensor, frames: Stripes) -> dict[str, Tensor]:
    """Events and instants, and those of the partner in the pasted frames."""
    changes: dict[str, Tensor] = {}
    first, last = frames.start, frames.start + frames.width
    if batch.events is not None:
        begin, end = batch.events[partner].unbind(-1)
        begin, end = torch.maximum(begin, first), torch.minimum(end, last)
        there = end > begin
        added = torch.where(there[..., None], torch.stack([begin, end], -1), 0).to(batch.events.dtype)
        changes["events"] = torch.cat([batch.events, added], 1)
        if batch.event_labels is not None:
            labels = torch.where(there, batch.event_labels[partner], -1)
            changes["event_labels"] = torch.cat([batch.event_labels, labels], 1)
    if batch.instants is not None:
        instants = batch.instants[partner]
        there = (instants >= first) & (instants < last)
        changes["instants"] = torch.cat([batch.instants, torch.where(there, instants, torch.nan)], 1)
    return changes


def _frame_labels(batch: Batch, partner: Tensor, frames: Stripes, share: Tensor) -> dict[str, Tensor]:
    """Frame labels, mixed where their middle is in the pasted frames: `share` (B, 1) of the frequencies is."""
    labels, spectrogram = batch.frame_labels, batch.spectrogram
    if labels is None or spectrogram is None:
        return {}
    count = labels.shape[1]
    middles = (
        (torch.arange(count, dtype=torch.float64, device=labels.device) + 0.5) * spectrogram.shape[3] / max(1, count)
    )
    inside = (middles >= frames.start) & (middles < frames.start + frames.width)
    weight = torch.where(inside, share, 0).view(*inside.shape, *[1] * (labels.ndim - 2))
    if labels.is_floating_point():
        both = torch.lerp(labels, labels[partner], weight.to(labels.dtype))
        return {"frame_labels": torch.where(weight > 0, both, labels)}  # 0 times NaN is NaN
    return {"frame_labels": torch.where(weight > 0.5, labels[partner], labels)}
