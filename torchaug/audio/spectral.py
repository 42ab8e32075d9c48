"""The kinds of transforms of spectrograms, and what they have in common."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from torchaug.audio.kinds import own_samples, where_chosen, working
from torchaug.audio.timeline import TimeMap, moved_labels
from torchaug.batch import Batch
from torchaug.transform import Sizes, Transform, lengths_of


class Spectral(Transform):
    """A transform of spectrograms (B, C, F, T) that moves nothing in time. A concrete one writes `spectrum`.

    Padding, what lies behind a spectrogram's length in frames, stays as it is, bit for bit, and so do samples that are not
    chosen.

    >>> import torch
    >>> class Louder(Spectral):
    ...     def spectrum(self, spectrogram, lengths, u):
    ...         return spectrogram + 1
    >>> Louder()(torch.tensor([[0.5, -1.0]]))
    tensor([[1.5000, 0.0000]])

    Args:
        p: chance per sample.
    """

    takes = "spectrogram"

    @abstractmethod
    def spectrum(self, spectrogram: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        """What becomes of all of (B, C, F, T) float32 or float64, from `lengths` (B,) int64 in frames and `u` (B, uniforms).

        Padding as in `Wave.wave`: it may hold anything, NaN too, and must not matter.
        """

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        spectrogram = spectrogram_of(batch, self)
        lengths = lengths_of(batch)
        assert lengths is not None
        out = self.spectrum(working(spectrogram), lengths, u)
        return batch.replace(spectrogram=where_chosen(chosen, batch.lengths, out, spectrogram))


class TimedSpectral(Spectral):
    """A `Spectral` that moves sound in time within its length, and the labels with it. A concrete one writes `timeline` too.

    >>> import torch
    >>> class Backwards(TimedSpectral):  # of spectrograms without padding
    ...     def timeline(self, lengths, u):
    ...         ahead = TimeMap.linear(lengths, lengths)
    ...         return TimeMap(ahead.source, ahead.target.flip(-1))
    ...     def spectrum(self, spectrogram, lengths, u):
    ...         return spectrogram.flip(-1)
    >>> Backwards()({"spectrogram": torch.tensor([[5.0, 6.0, 7.0]]), "instants": torch.tensor([0.5])})
    {'spectrogram': tensor([[7., 6., 5.]]), 'instants': tensor([2.5000])}

    Args:
        p: chance per sample.
    """

    @abstractmethod
    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        """Where each instant goes, in frames; frame j covers the time from j to j + 1."""

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        """As they were."""
        return lengths

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        out, lengths = super().transform(batch, u, chosen), lengths_of(batch)
        assert lengths is not None
        frames = spectrogram_of(batch, self).shape[-1]
        return out.replace(**moved_labels(batch, self.timeline(lengths, u), chosen, frames))


def spectrogram_of(batch: Batch, step: Transform) -> Tensor:
    """The batch's spectrogram (B, C, F, T), or an error that names the step."""
    if batch.spectrogram is None:
        raise TypeError(
            f"{type(step).__name__}: expected a spectrogram: a tensor (B, C, F, T), (B, F, T) or (F, T), or a dict with "
            f"'spectrogram'; got {[*batch.present()]}; a MelSpectrogram before it makes one of a waveform"
        )
    return batch.spectrogram


def extent(size: Sizes, step: Transform) -> tuple[Tensor, int]:
    """Frames (B,) and frequencies of the spectrograms that numbers are drawn for."""
    if size.lengths is None or size.bins is None:
        raise ValueError(f"{type(step).__name__}: its numbers are drawn for spectrograms, got a batch without one")
    return size.lengths, size.bins


def own_frames(lengths: Tensor, frames: int) -> Tensor:
    """(B, 1, 1, frames) bool: what is not padding."""
    return own_samples(lengths, frames)[:, None]
