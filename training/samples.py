"""What a study does with the kinds of data that a small network classifies: images, and sounds as windows of one length."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from torchaug.data import TensorImages, TensorWaveforms
from torchaug.evaluate.utility import SmallCNN
from torchaug.models.spectrogram import SpectrogramCodec

Samples = TensorImages | TensorWaveforms
Data = TypeVar("Data", TensorImages, TensorWaveforms)
MELS = 32
"""Of the log-mels that a classifier of sounds sees: fewer than those of a generator by default, since it costs as many."""


class SoundCNN(nn.Module):
    """`SmallCNN` on the log-mels of sounds.

    Shape: (B, C, T) floating point, of which the codec's samples count, to logits (B, num_classes).

    >>> SoundCNN(SpectrogramCodec(8000, 4000, mels=32), 5)(torch.randn(2, 1, 4000)).shape
    torch.Size([2, 5])
    """

    def __init__(self, codec: SpectrogramCodec, num_classes: int) -> None:
        super().__init__()
        self.codec, self.cnn = codec, SmallCNN(1, num_classes)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Logits of each sound."""
        logits: Tensor = self.cnn(self.codec.encode(waveforms.mean(1, keepdim=True)))
        return logits


def classifier(train: Samples) -> nn.Module:
    """The network that a study trains on such data, its weights by torch's generator."""
    _, classes = labelled(train)
    if isinstance(train, TensorImages):
        return SmallCNN(train.images.shape[1], len(classes))
    codec = SpectrogramCodec(train.sample_rate, train.waveforms.shape[2], mels=MELS)
    return SoundCNN(codec.fit(train.waveforms.mean(1, keepdim=True), train.lengths), len(classes))


def labelled(data: Samples) -> tuple[Tensor, list[str]]:
    """The labels (N,) and the classes, or an error."""
    if data.labels is None or data.classes is None:
        raise ValueError("run_study: expected samples with labels, got none; put each class in a folder of its own")
    return data.labels, data.classes


def content(data: Samples) -> Tensor:
    """Images (N, C, H, W) uint8, or sounds (N, C, T) float32, silent after their own end."""
    return data.images if isinstance(data, TensorImages) else data.windows()


def seen(rows: Tensor) -> Tensor:
    """Some of the content as a network sees it: images float in [0, 1], sounds as they are."""
    return rows.float() / 255 if rows.dtype == torch.uint8 else rows
