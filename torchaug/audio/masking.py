"""Stripes of a spectrogram that are covered (Park et al., "SpecAugment", 2019)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from torchaug.audio.spectral import Spectral, extent, own_frames
from torchaug.image.arguments import number, whole
from torchaug.keys import integers
from torchaug.transform import Sizes

MaskValue = float | Literal["mean"]


class TimeMasking(Spectral):
    """Cover stripes of frames, all frequencies of them, the same in all channels, each within the spectrogram's length.

    >>> spectrogram = torch.ones(2, 80, 300)
    >>> TimeMasking(time_mask_param=40)(spectrogram).shape
    torch.Size([2, 80, 300])

    Args:
        time_mask_param: frames that a stripe covers at most; widths are uniform from 0 to it.
        n_masks: stripes; they may overlap.
        max_time_share: the share of a spectrogram's own frames that one stripe covers at most.
        mask_value: what is put there: a number, or "mean", that of each sample's own frames before.
        p: chance per sample.

    Parameters per sample: time_start and time_width of each stripe, in frames.
    """

    def __init__(
        self,
        time_mask_param: int,
        n_masks: int = 1,
        max_time_share: float = 1.0,
        mask_value: MaskValue = 0.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.time_mask_param = whole(time_mask_param, "TimeMasking", "time_mask_param", 0)
        self.n_masks = whole(n_masks, "TimeMasking", "n_masks", 1)
        self.max_time_share = number(max_time_share, "TimeMasking", "max_time_share", 0, 1)
        self.mask_value = checked_value(mask_value, "TimeMasking")
        self.uniforms = 2 * self.n_masks

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return named("time", self._stripes(u, extent(size, self)[0]))

    def _stripes(self, u: Tensor, lengths: Tensor) -> Stripes:
        return Stripes.of(u, self.time_mask_param, lengths, self.max_time_share)

    def spectrum(self, spectrogram: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        covered = self._stripes(u, lengths).covered(spectrogram.shape[3])
        return fill(spectrogram, covered[:, None, None], lengths, self.mask_value)


class FrequencyMasking(Spectral):
    """Cover stripes of neighbouring frequencies, in all frames, the same in all channels.

    >>> spectrogram = torch.ones(2, 80, 300)
    >>> FrequencyMasking(freq_mask_param=27)(spectrogram).shape
    torch.Size([2, 80, 300])

    Args:
        freq_mask_param: frequencies that a stripe covers at most; widths are uniform from 0 to it.
        n_masks: stripes; they may overlap.
        mask_value: as in `TimeMasking`.
        p: chance per sample.

    Parameters per sample: freq_start and freq_width of each stripe, in rows of the spectrogram.
    """

    def __init__(self, freq_mask_param: int, n_masks: int = 1, mask_value: MaskValue = 0.0, p: float = 1.0) -> None:
        super().__init__(p)
        self.freq_mask_param = whole(freq_mask_param, "FrequencyMasking", "freq_mask_param", 0)
        self.n_masks = whole(n_masks, "FrequencyMasking", "n_masks", 1)
        self.mask_value = checked_value(mask_value, "FrequencyMasking")
        self.uniforms = 2 * self.n_masks

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return named("freq", self._stripes(u, *extent(size, self)))

    def _stripes(self, u: Tensor, lengths: Tensor, bins: int) -> Stripes:
        return Stripes.of(u, self.freq_mask_param, torch.full_like(lengths, bins))

    def spectrum(self, spectrogram: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        covered = self._stripes(u, lengths, spectrogram.shape[2]).covered(spectrogram.shape[2])
        return fill(spectrogram, covered[:, None, :, None], lengths, self.mask_value)


class Stripes(NamedTuple):
    """n stripes of each sample: where they begin and how many places they cover, (B, n) int64 each."""

    start: Tensor
    width: Tensor

    @staticmethod
    def of(u: Tensor, longest: int, places: Tensor, share: float = 1.0) -> Stripes:
        """From `u` (B, 2n): widths are 0, ..., `longest` or that share of `places` (B,), starts wherever they fit."""
        n = u.shape[1] // 2
        # the smallest bit more, as 0.29 * 100 is 28.999999999999996
        most = (places.to(torch.float64) * share + 1e-6).floor().to(torch.int64).clamp(max=longest)[:, None]
        width = integers(u[:, :n], 0, most + 1)
        return Stripes(integers(u[:, n:], 0, places[:, None] - width + 1), width)

    def covered(self, places: int) -> Tensor:
        """(B, places) bool."""
        at = torch.arange(places, device=self.start.device)
        start = self.start[..., None]
        return ((at >= start) & (at < start + self.width[..., None])).any(1)


def fill(spectrogram: Tensor, covered: Tensor, lengths: Tensor, value: MaskValue) -> Tensor:
    """(B, C, F, T) with a value where `covered`, which broadcasts to it; "mean": that of each sample's own frames."""
    if value == "mean":
        own = torch.where(own_frames(lengths, spectrogram.shape[-1]), spectrogram, torch.zeros_like(spectrogram))
        count = lengths * (spectrogram.shape[1] * spectrogram.shape[2])
        mean = own.sum((1, 2, 3), keepdim=True) / count.clamp(min=1)[:, None, None, None]
        return torch.where(covered, mean, spectrogram)
    return torch.where(covered, value, spectrogram)


def checked_value(value: MaskValue, who: str) -> MaskValue:
    """A number or "mean"."""
    if isinstance(value, str):
        if value != "mean":
            raise ValueError(f"{who}: mask_value must be a number or 'mean', got {value!r}")
        return value
    return number(value, who, "mask_value")


def named(axis: str, stripes: Stripes) -> dict[str, Tensor]:
    """Starts and widths by their names in `describe`."""
    return {f"{axis}_{name}": value for name, value in stripes._asdict().items()}
