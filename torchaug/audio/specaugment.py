"""All of SpecAugment in one step."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from torchaug.audio.masking import MaskValue, Stripes, checked_value, fill, named
from torchaug.audio.spectral import TimedSpectral, extent
from torchaug.audio.timeline import TimeMap
from torchaug.audio.timewarp import Warp
from torchaug.image.arguments import number, one_of, whole
from torchaug.transform import Sizes

Policy = Literal["LB", "LD", "SM", "SS"]
POLICIES: dict[Policy, tuple[int, int, int, int, int, float]] = {
    "LB": (80, 1, 100, 1, 27, 1.0),
    "LD": (80, 2, 100, 2, 27, 1.0),
    "SM": (40, 2, 70, 2, 15, 0.2),
    "SS": (40, 2, 70, 2, 27, 0.2),
}
"""W, mT, T, mF, F and p of the paper's table 1."""


class SpecAugment(TimedSpectral):
    """Warp time, then cover stripes of frequencies and of frames (Park et al., "SpecAugment", 2019).

    For log-mel spectrograms of 10 ms a frame, the paper's defaults. The same for all channels; warps and stripes heed the
    lengths. Events, instants and frame labels move with the warp.

    >>> import torch
    >>> SpecAugment()(torch.rand(2, 80, 300)).shape
    torch.Size([2, 80, 300])
    >>> SpecAugment.of_policy("SM", mask_value="mean")
    SpecAugment(time_warp=40, time_mask_param=70, freq_mask_param=15, max_time_share=0.2, mask_value='mean')

    Args:
        time_warp: W, see `TimeWarp`; 0 for none.
        n_time_masks: mT, stripes of frames; 0 for none.
        time_mask_param: T, frames that one covers at most; widths are uniform from 0 to it.
        n_freq_masks: mF, stripes of frequencies; 0 for none.
        freq_mask_param: F, frequencies that one covers at most.
        max_time_share: the paper's p, the share of a spectrogram's own frames that one stripe covers at most.
        mask_value: what is put there: a number, or "mean", that of each sample's own frames. 0 is the mean of standardised
            spectrograms, but of others it may be loud: log-mels of [-1, 1] waveforms are mostly below 0.
        p: chance per sample that anything of this happens.

    Parameters per sample: center and shift of the warp, freq_start and freq_width, time_start and time_width of the stripes,
    in frames and in rows of the spectrogram.
    """

    def __init__(
        self,
        time_warp: int = 80,
        n_time_masks: int = 2,
        time_mask_param: int = 100,
        n_freq_masks: int = 2,
        freq_mask_param: int = 27,
        max_time_share: float = 1.0,
        mask_value: MaskValue = 0.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.time_warp = whole(time_warp, "SpecAugment", "time_warp", 0)
        self.n_time_masks = whole(n_time_masks, "SpecAugment", "n_time_masks", 0)
        self.time_mask_param = whole(time_mask_param, "SpecAugment", "time_mask_param", 0)
        self.n_freq_masks = whole(n_freq_masks, "SpecAugment", "n_freq_masks", 0)
        self.freq_mask_param = whole(freq_mask_param, "SpecAugment", "freq_mask_param", 0)
        self.max_time_share = number(max_time_share, "SpecAugment", "max_time_share", 0, 1)
        self.mask_value = checked_value(mask_value, "SpecAugment")
        self.uniforms = 2 + 2 * self.n_freq_masks + 2 * self.n_time_masks

    @classmethod
    def of_policy(cls, policy: Policy, mask_value: MaskValue = 0.0, p: float = 1.0) -> SpecAugment:
        """One of the paper's: "LB" LibriSpeech basic, "LD" double, "SM" Switchboard mild, "SS" strong."""
        return cls(*POLICIES[one_of(policy, "SpecAugment", "policy", get_args(Policy))], mask_value, p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        warp, frequencies, frames = self._numbers(u, *extent(size, self))
        return warp._asdict() | named("freq", frequencies) | named("time", frames)

    def _numbers(self, u: Tensor, lengths: Tensor, bins: int) -> tuple[Warp, Stripes, Stripes]:
        warp, frequencies, frames = u.split([2, 2 * self.n_freq_masks, 2 * self.n_time_masks], dim=1)
        return (
            Warp.of(warp, self.time_warp, lengths),
            Stripes.of(frequencies, self.freq_mask_param, lengths.new_full(lengths.shape, bins)),
            Stripes.of(frames, self.time_mask_param, lengths, self.max_time_share),
        )

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        return Warp.of(u[:, :2], self.time_warp, lengths).timeline(lengths)

    def spectrum(self, spectrogram: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        bins, most = spectrogram.shape[2:]
        warp, frequencies, frames = self._numbers(u, lengths, bins)
        if self.time_warp:
            spectrogram = warp.move(spectrogram, lengths)
        covered = frequencies.covered(bins)[:, None, :, None] | frames.covered(most)[:, None, None]
        return fill(spectrogram, covered, lengths, self.mask_value)
