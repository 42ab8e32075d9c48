"""Sounds in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.images import check_labels
from torchaug.data.items import Item


class TensorWaveforms(Dataset[Item]):
    """Sounds of one rate in memory: items are `{"waveform" (C, length), "index"}`, and "label" where it is known.

    Args:
        waveforms: (N, C, T) float32 in [-1, 1]; what lies after a sound's own length is taken for silence.
        labels: (N,) int64 in [0, len(classes)), or None.
        classes: a name for each class, or None.
        sample_rate: in Hz.
        lengths: (N,) int64, samples of each sound, from 1 to T; None: T.

    Raises:
        ValueError, TypeError: shapes, dtypes, labels or lengths that are none.

    >>> data = TensorWaveforms(torch.zeros(2, 1, 800), sample_rate=8000, lengths=torch.tensor([800, 500]))
    >>> len(data), data[1]["waveform"].shape
    (2, torch.Size([1, 500]))
    """

    def __init__(
        self,
        waveforms: Tensor,
        labels: Tensor | None = None,
        classes: Sequence[str] | None = None,
        *,
        sample_rate: int,
        lengths: Tensor | None = None,
    ) -> None:
        if waveforms.ndim != 3 or waveforms.dtype != torch.float32 or not waveforms.numel():
            raise ValueError(
                "TensorWaveforms: waveforms must be (N, C, T) float32 and not empty, got "
                f"{waveforms.dtype} {tuple(waveforms.shape)}"
            )
        if (labels is None) != (classes is None) or (labels is not None and labels.shape != waveforms.shape[:1]):
            raise ValueError(
                f"TensorWaveforms: expected ({len(waveforms)},) labels and their classes, or neither, got labels "
                f"{None if labels is None else tuple(labels.shape)} and classes {classes}"
            )
        if sample_rate < 1:
            raise ValueError(f"TensorWaveforms: sample_rate must be at least 1, got {sample_rate}")
        self.waveforms, self.sample_rate = waveforms, sample_rate
        self.classes = None if classes is None else list(map(str, classes))
        self.labels = None if labels is None else check_labels(labels, self.classes or [], "TensorWaveforms")
        self.lengths = _checked(lengths, waveforms)

    @classmethod
    def of(
        cls,
        waveforms: Sequence[Tensor],
        labels: Tensor | None = None,
        classes: Sequence[str] | None = None,
        *,
        sample_rate: int,
    ) -> TensorWaveforms:
        """Sounds (C, length) float32, filled up with silence to the longest.

        >>> TensorWaveforms.of([torch.ones(1, 3), torch.ones(1, 5)], sample_rate=8000).waveforms[0]
        tensor([[1., 1., 1., 0., 0.]])
        """
        lengths = torch.tensor([waveform.shape[-1] for waveform in waveforms])
        whole = torch.zeros(len(waveforms), len(waveforms[0]), int(lengths.max()))
        for row, waveform in zip(whole, waveforms, strict=True):
            row[:, : waveform.shape[-1]] = waveform
        return cls(whole, labels, classes, sample_rate=sample_rate, lengths=lengths)

    def __len__(self) -> int:
        return len(self.waveforms)

    def __getitem__(self, index: int) -> Item:
        # a copy: a transform that works in place must not change the data set
        item: Item = {"waveform": self.waveforms[index, :, : int(self.lengths[index])].clone()}
        if self.labels is not None:
            item["label"] = int(self.labels[index])
        return item | {"index": index}

    def subset(self, indices: Tensor | Sequence[int]) -> TensorWaveforms:
        """The sounds at `indices`, with all the classes."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        labels = None if self.labels is None else self.labels[indices]
        rate, lengths = self.sample_rate, self.lengths[indices]
        return TensorWaveforms(self.waveforms[indices], labels, self.classes, sample_rate=rate, lengths=lengths)

    def shortened(self, seconds: float) -> TensorWaveforms:
        """The first `seconds` of each; itself where none is longer."""
        most = max(1, round(seconds * self.sample_rate))
        if self.waveforms.shape[2] <= most:
            return self
        waveforms, lengths = self.waveforms[..., :most], self.lengths.clamp(max=most)
        return TensorWaveforms(waveforms, self.labels, self.classes, sample_rate=self.sample_rate, lengths=lengths)

    def in_memory(self) -> TensorWaveforms:
        """Itself."""
        return self

    def windows(self) -> Tensor:
        """(N, C, T) float32: all sounds as windows of one length, silent after a sound's own end."""
        return windows(self.waveforms, self.lengths)

    def tensors(self) -> dict[str, Tensor]:
        """The content of all sounds: {"waveform": (N, C, T) float32, "lengths": (N,) int64}."""
        return {"waveform": self.waveforms, "lengths": self.lengths}


def windows(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Sounds (N, C, T), silent after their own `lengths` (N,).

    >>> windows(torch.ones(1, 1, 3), torch.tensor([2]))
    tensor([[[1., 1., 0.]]])
    """
    own = torch.arange(waveforms.shape[-1], device=waveforms.device) < lengths[:, None, None]
    return torch.where(own, waveforms, 0.0)


def _checked(lengths: Tensor | None, waveforms: Tensor) -> Tensor:
    count, _, most = waveforms.shape
    if lengths is None:
        return torch.full((count,), most)
    if lengths.shape != (count,) or lengths.dtype != torch.int64:
        raise ValueError(
            f"TensorWaveforms: lengths must be ({count},) int64, got {lengths.dtype} {tuple(lengths.shape)}"
        )
    bad = ((lengths < 1) | (lengths > most)).nonzero()
    if len(bad):
        first = int(bad[0])
        raise ValueError(
            f"TensorWaveforms: lengths must be from 1 to {most}, got {int(lengths[first])} at index {first}"
        )
    return lengths
