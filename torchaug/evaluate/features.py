"""Features by which samples are compared where no trained network is at hand: pixels, columns, spectra."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Content = Mapping[str, Tensor]
PIXELS = 512
"""Numbers of an image's features, about: larger images are averaged down to so many."""
LEVELS = 50
"""Categories of a column that are told apart; the others, the rarest, are one."""
BANDS, FRAMES, WINDOW = 24, 16, 512
"""Of a sound: bands of frequency, frames that its time is cut into, samples of a Fourier transform."""


def features_of(train: Content, made: Content) -> Callable[[Content], Tensor]:
    """What turns content into features (N, D) float32, comparable by distance; fitted to what was trained on.

    Images become pixels in [0, 1], averaged down to about 512 numbers. Columns of tables become standardised numbers, at most
    6, with a 0 and a mark where they are missing, and one-hots whose distance is 1. Sounds become the logarithm of
    their power in 24 bands and 16 frames.

    Args:
        train: what a generator is trained on: {"image"}, {"numeric", "categorical"} or {"waveform"}.
        made: some of what it makes, as columns of a bank: {"image"}, {"table"} or {"waveform"}.

    Returns:
        A function of either.

    Raises:
        ValueError: content of another kind.

    >>> features = features_of({"image": torch.zeros(2, 1, 4, 4, dtype=torch.uint8)}, {})
    >>> features({"image": torch.full((3, 1, 4, 4), 255, dtype=torch.uint8)}).shape
    torch.Size([3, 16])
    """
    if "image" in train:
        return pixels
    if "numeric" in train:
        return TableFeatures(train["numeric"], train["categorical"])
    if "waveform" in train:
        lengths = [content["waveform"].shape[-1] for content in (train, made) if "waveform" in content]
        return lambda content: spectra(content["waveform"][..., : min(lengths)])
    raise ValueError(f"features_of: expected images, rows of a table or sounds, got {', '.join(train) or 'nothing'}")


def pixels(content: Content) -> Tensor:
    """Images (N, C, H, W), uint8 or in [0, 1], as features: averaged to at most 512 numbers or so.

    >>> pixels({"image": torch.rand(2, 3, 64, 64)}).shape
    torch.Size([2, 507])
    """
    images = content["image"]
    values = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    side = math.isqrt(PIXELS // images.shape[1])
    if max(images.shape[-2:]) > side:
        height, width = (min(side, extent) for extent in images.shape[-2:])
        values = F.adaptive_avg_pool2d(values, (height, width))
    return values.flatten(1)


def spectra(waveforms: Tensor) -> Tensor:
    """Sounds (N, C, T) as the logarithm of their power by band, the bands wider the higher they are, and by frame.

    >>> spectra(torch.rand(2, 1, 4000)).shape
    torch.Size([2, 384])
    """
    mono = waveforms.float().mean(1)
    window = torch.hann_window(WINDOW, device=mono.device)
    short = F.pad(mono, (0, max(0, WINDOW - mono.shape[1])))
    power = torch.stft(short, WINDOW, window=window, return_complex=True, pad_mode="constant").abs().square()
    edges = torch.logspace(math.log10(2), math.log10(power.shape[1]), BANDS + 1).long().clamp(max=power.shape[1])
    edges = torch.maximum(edges, torch.arange(BANDS + 1) + 2)  # a bin at least for each
    bands = [power[:, low:high].mean(1) for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    frames = F.adaptive_avg_pool1d(torch.stack(bands, 1), FRAMES)
    return (frames + 1e-5).log10().flatten(1)


class TableFeatures:
    """Rows of a table as features, by the means, deviations and categories of the training rows.

    Args:
        numeric: (N, F) float64, NaN where missing.
        categorical: (N, K) int64 codes.

    >>> features = TableFeatures(torch.tensor([[0.0], [2.0]]), torch.tensor([[0], [1]]))
    >>> features({"table": torch.tensor([[2.0, 0.0]])})
    tensor([[1.0000, 0.7071, 0.0000]])
    """

    def __init__(self, numeric: Tensor, categorical: Tensor) -> None:
        there = ~numeric.isnan()
        count = there.sum(0).clamp(min=1)
        self.mean = numeric.nan_to_num(0.0).sum(0) / count
        spread = (((numeric - self.mean).nan_to_num(0.0)).square().sum(0) / count).sqrt()
        self.spread = torch.where(spread > 0, spread, 1.0)
        self.gaps = (~there).any(0)
        self.levels = [codes.bincount().argsort(descending=True, stable=True)[:LEVELS] for codes in categorical.T]

    def __call__(self, content: Content) -> Tensor:
        """Rows, {"numeric", "categorical"} or {"table"}, as features (N, D) float32."""
        width = len(self.mean)
        rows = content.get("table")
        numeric = content["numeric"] if rows is None else rows[:, :width]
        codes = content["categorical"] if rows is None else rows[:, width:].round().long()
        mean, spread, gaps = (fitted.to(numeric.device) for fitted in (self.mean, self.spread, self.gaps))
        missing = numeric.isnan()
        parts = [((numeric - mean) / spread).clamp(-6, 6).masked_fill(missing, 0.0), missing[:, gaps].to(numeric.dtype)]
        for column, levels in zip(codes.T, self.levels, strict=True):
            same = column[:, None] == levels.to(column.device)
            parts.append(same / math.sqrt(2))  # two categories lie 1 apart
        return torch.cat([part.float() for part in parts], 1)
