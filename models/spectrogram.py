"""Sound as an image and back: log-mel spectrograms of a fixed size, without a library and without a download."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from torchaug.audio.mel import MelScale, mel_filters
from torchaug.models.networks import at_once, in_parts
from torchaug.models.phase import griffin_lim, phase_from_slopes, spectrum

CHUNK = 64
"""Clips whose spectrograms are computed at once, at most."""


def suited_to(sample_rate: int) -> tuple[int, int, int]:
    """Transform, hop and mels for a sample rate: frames of about 64 ms, a quarter apart.

    >>> suited_to(16000), suited_to(8000)
    ((1024, 256, 64), (512, 128, 48))
    """
    size = 2 ** round(math.log2(0.064 * sample_rate))
    return size, size // 4, 64 if sample_rate >= 16000 else 48


class SpectrogramCodec(nn.Module):
    """Waveforms (B, 1, T) to log-mel images (B, 1, mels, frames) in [0, 1], and back.

    An image holds the logarithms of mel magnitudes, each mel standardised, and scaled so that what was fitted fills
    [0, 1]; 0 and 1 are the same for all mels. `fit` finds the statistics, which are buffers; before it they suit
    waveforms in [-1, 1]. The way back has no randomness: an image has one waveform, whatever the batch.

    Args:
        sample_rate: in Hz.
        samples: of a clip; longer ones are cut, shorter ones filled with silence.
        size: of the Fourier transform, in samples; None: see `suited_to`, as for `hop` and `mels`.
        hop: samples from frame to frame, at most a quarter of `size`.
        mels: rows of the image.
        scale: "slaney" or "htk".
        low_hz, high_hz: see `mel_filters`.
        floor_db: what is so far below the loudest mel that was fitted counts as silence.

    >>> codec = SpectrogramCodec(8000, 4000)
    >>> images = codec.encode(torch.randn(2, 1, 4000) / 10)
    >>> images.shape, codec.decode(images).shape
    (torch.Size([2, 1, 48, 32]), torch.Size([2, 1, 4000]))
    """

    window: Tensor
    filters: Tensor
    floor: Tensor
    mean: Tensor
    deviation: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        sample_rate: int,
        samples: int,
        *,
        size: int | None = None,
        hop: int | None = None,
        mels: int | None = None,
        scale: MelScale = "slaney",
        low_hz: float = 0.0,
        high_hz: float | None = None,
        floor_db: float = -80.0,
    ) -> None:
        super().__init__()
        if sample_rate < 1 or samples < 1:
            raise ValueError(
                f"SpectrogramCodec: sample_rate and samples must be at least 1, got {sample_rate} and {samples}"
            )
        usual = suited_to(sample_rate)
        size = usual[0] if size is None else size
        self.hop = size // 4 if hop is None else hop
        if size < 4 or not 1 <= self.hop <= size // 4 or not floor_db < 0:
            raise ValueError(
                "SpectrogramCodec: expected a size of at least 4, a hop from 1 to a quarter of it and floor_db below 0, got "
                f"{size}, {self.hop} and {floor_db:g}"
            )
        self.sample_rate, self.samples, self.size, self.floor_db = sample_rate, samples, size, floor_db
        self.mels = usual[2] if mels is None else mels
        self.frames = max(2, -(-samples // self.hop))
        filters = mel_filters(size, sample_rate, self.mels, low_hz=low_hz, high_hz=high_hz, scale=scale)
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        self.register_buffer("filters", filters.float(), persistent=False)
        full = 20 * math.log10(float(filters.amax()) * size / 4)  # dB, of a full-scale sine
        self.register_buffer("floor", torch.tensor((full + floor_db) * math.log(10) / 20))
        self.register_buffer("mean", self.floor.repeat(self.mels))
        self.register_buffer("deviation", torch.ones(self.mels))
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(-floor_db * math.log(10) / 20))

    def magnitudes(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Magnitudes, (B, size // 2 + 1, frames), of (B, 1, T); samples from `lengths` (B,) on count as silence."""
        if waveforms.ndim != 3 or waveforms.shape[1] != 1 or not waveforms.is_floating_point():
            raise ValueError(
                "SpectrogramCodec: waveforms must be floating point and (B, 1, T), got "
                f"{waveforms.dtype} {tuple(waveforms.shape)}; take the mean of channels"
            )
        whole = waveforms[:, 0, : self.samples].to(self.window.dtype)
        if lengths is not None:
            whole = whole * (torch.arange(whole.shape[1], device=whole.device) < lengths[:, None])
        whole = nn.functional.pad(whole, (0, self.frames * self.hop - whole.shape[1]))
        return spectrum(whole, self.window, self.hop).abs()

    def encode(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Images (B, 1, mels, frames) in [0, 1] of waveforms (B, 1, T), of which `lengths` (B,) samples are their own."""
        own = [] if lengths is None else [lengths]
        return in_parts(self._encoded, at_once((self.size, self.frames), CHUNK), waveforms, *own)

    def _encoded(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        mels = (self.filters @ self.magnitudes(waveforms, lengths)).clamp(min=self.floor.exp())
        standard = (mels.log() - self.mean[:, None]) / self.deviation[:, None]
        return ((standard - self.low) / (self.high - self.low)).clamp(0, 1)[:, None]

    def mels_of(self, images: Tensor) -> Tensor:
        """Mel magnitudes (B, mels, frames) of images (B, 1, mels, frames); silence is 0."""
        standard = self.low + (self.high - self.low) * images[:, 0]
        log = self.mean[:, None] + self.deviation[:, None] * standard
        return torch.where(log > self.floor + 1e-3, log.exp(), 0)

    @torch.no_grad()
    def decode(self, images: Tensor, lengths: Tensor | None = None, *, iterations: int = 32) -> Tensor:
        """Waveforms (B, 1, samples) in [-1, 1] of images (B, 1, mels, frames) in [0, 1].

        One clip at a time: else the last bits of a product would depend on the batch, and every projection on the way
        would carry them on.

        Args:
            images: (B, 1, mels, frames).
            lengths: (B,); from there on the waveform is silent.
            iterations: of `griffin_lim`.
        """
        if images.ndim != 4 or images.shape[1:] != (1, self.mels, self.frames):
            raise ValueError(
                f"SpectrogramCodec.decode: images must be (B, 1, {self.mels}, {self.frames}), got {tuple(images.shape)}"
            )
        made = images.new_zeros(len(images), 1, self.samples, dtype=self.window.dtype)
        for row, mels in zip(made, self.mels_of(images.to(self.window.dtype)), strict=True):
            linear = unmel(mels[None], self.filters)
            phase = phase_from_slopes(linear, self.size, self.hop)
            sound = griffin_lim(linear, self.window, self.hop, iterations=iterations, phase=phase)
            row.copy_(sound[:, : self.samples])
        if lengths is not None:
            made *= torch.arange(self.samples, device=made.device) < lengths[:, None, None]
        return made.clamp(-1, 1)

    @torch.no_grad()
    def fit(self, waveforms: Tensor, lengths: Tensor | None = None) -> SpectrogramCodec:
        """Finds the statistics of waveforms (N, 1, T), padding left out, and returns itself.

        Raises:
            ValueError: NaN or infinite samples, or nothing but silence.
        """
        bad = (~waveforms.isfinite()).flatten(1).any(1).nonzero()
        if len(bad):
            raise ValueError(
                f"SpectrogramCodec.fit: expected finite samples, got NaN or infinite in clip {int(bad[0])}"
            )
        chunks = [slice(start, start + CHUNK) for start in range(0, len(waveforms), CHUNK)]

        def mels(chunk: slice) -> Tensor:
            own = None if lengths is None else lengths[chunk]
            return self.filters.double() @ self.magnitudes(waveforms[chunk], own).double()

        peaks = torch.stack([mels(chunk).amax((0, 2)) for chunk in chunks]).amax(0)
        if float(peaks.amax()) <= 0:
            raise ValueError(f"SpectrogramCodec.fit: expected sound, got silence in all {len(waveforms)} clips")
        self.floor.copy_(peaks.amax().log() + self.floor_db * math.log(10) / 20)
        count, total, squares = 0, torch.zeros_like(peaks), torch.zeros_like(peaks)
        for chunk in chunks:
            off = mels(chunk).clamp(min=self.floor.exp()).log() - self.floor
            own = self._own_frames(len(off), None if lengths is None else lengths[chunk], off.device)
            count += int(own.sum())
            total += (off * own[:, None]).sum((0, 2))
            squares += (off.square() * own[:, None]).sum((0, 2))
        mean = total / count
        self.mean.copy_(self.floor + mean)
        self.deviation.copy_((squares / count - mean.square()).clamp(min=0.01).sqrt())  # a tenth of a neper at least
        self.low.copy_(((self.floor - self.mean) / self.deviation).amin())
        self.high.copy_(((peaks.log() - self.mean) / self.deviation).amax())
        return self

    def _own_frames(self, clips: int, lengths: Tensor | None, device: torch.device) -> Tensor:
        """Which frames are centred on a clip's own samples, (clips, frames) bool."""
        centres = torch.arange(self.frames, device=device) * self.hop
        if lengths is None:
            return (centres < self.samples).expand(clips, -1)
        return centres < lengths[:, None]


def unmel(mels: Tensor, filters: Tensor, iterations: int = 30) -> Tensor:
    """Magnitudes (B, bins, frames), at least 0, whose products with `filters` (mels, bins) are near to `mels`.

    There are many; multiplicative updates from a smooth start (Lee and Seung, NIPS 2000, for their divergence) find one
    that is smooth. On voices, chirps and plucked strings they end nearer to the true magnitudes, and to the mels within
    fewer steps, than projected gradients from the pseudo-inverse do.

    >>> filters = mel_filters(64, 8000, 8, scale="slaney").float()
    >>> mels = filters @ torch.rand(1, 33, 5)
    >>> bool(((filters @ unmel(mels, filters, 200) - mels).abs() < 1e-2 * mels.amax()).all())
    True
    """
    tiny = torch.finfo(mels.dtype).tiny
    shares = filters / filters.sum(0).clamp(min=tiny)  # of a bin, which filters hear it
    found = shares.T @ (mels / filters.sum(1)[:, None])
    for _ in range(iterations):
        found = found * (shares.T @ (mels / (filters @ found).clamp(min=tiny)))
    return found
