"""A bank's images or sounds in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from torchaug.data.bank.media import sample_rate
from torchaug.data.images import TensorImages
from torchaug.data.waveforms import TensorWaveforms

if TYPE_CHECKING:
    from torchaug.data.bank.reader import Bank


def bank_images(bank: Bank) -> TensorImages:
    """The images, where they have one size and labels."""
    images = bank.column("image")
    if not isinstance(images, Tensor) or bank.labels is None:
        raise ValueError(f"Bank: expected images of one size with labels in {bank.path}, got others")
    return TensorImages(images, bank.labels, bank.classes)


def bank_sounds(bank: Bank) -> TensorWaveforms:
    """The sounds, filled up with silence to the longest."""
    waveforms: list[Tensor] = list(bank.column("waveform"))  # type: ignore[arg-type]
    classes = None if bank.labels is None else bank.classes
    return TensorWaveforms.of(waveforms, bank.labels, classes, sample_rate=sample_rate(bank))
