"""From waveforms to spectrograms, with lengths and labels."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from torchaug.audio.kinds import silenced, waveform_of, working
from torchaug.audio.mel import MelScale, mel_filters
from torchaug.audio.spectral import own_frames
from torchaug.audio.timeline import TimeMap
from torchaug.batch import Batch
from torchaug.image.arguments import number, one_of, whole
from torchaug.transform import Sizes, Transform, lengths_of


class Framed(Transform):
    """A step from waveforms (B, C, T) to spectrograms (B, C, bins, 1 + T // hop_length). A concrete one writes `heard`.

    Frame j is of the `n_fft` samples round sample j hop_length, through a Hann window; before the first sample and behind a
    waveform's length is silence. A waveform of L samples gets 1 + L // hop_length frames, one of none none; padding is 0.
    Events and instants are divided by `hop_length`; frame labels stay. The same in training and in evaluation.

    >>> class Loudness(Framed):
    ...     bins = 1
    ...     def heard(self, magnitudes):
    ...         return magnitudes.mean(2, keepdim=True)
    >>> Loudness(n_fft=64, hop_length=16, power=2.0, log_floor=None)(torch.rand(3, 2, 100)).shape
    torch.Size([3, 2, 1, 7])
    """

    always = True
    takes = "waveform"
    bins: int
    """Frequencies of what comes out."""
    window: Tensor

    def __init__(self, n_fft: int, hop_length: int | None, power: float, log_floor: float | None) -> None:
        super().__init__()
        who = type(self).__name__
        self.n_fft = whole(n_fft, who, "n_fft", 2)
        self.hop_length = self.n_fft // 4 if hop_length is None else whole(hop_length, who, "hop_length", 1)
        self.hop_length = max(1, self.hop_length)
        self.power = one_of(power, who, "power", (1.0, 2.0))
        self.log_floor = None if log_floor is None else number(log_floor, who, "log_floor", 0, above=True)
        self.register_buffer("window", torch.hann_window(self.n_fft, dtype=torch.float64), persistent=False)

    @abstractmethod
    def heard(self, magnitudes: Tensor) -> Tensor:
        """(B, C, bins, frames) of magnitudes, or their squares, (B, C, n_fft // 2 + 1, frames)."""

    def frames_after(self, samples: int) -> int:
        """Frames of so many samples."""
        return 1 + samples // self.hop_length if samples else 0

    def lengths_after(self, lengths: Tensor, u: Tensor) -> Tensor:
        """Frames (B,) int64 of waveforms of `lengths` (B,) samples."""
        return torch.where(lengths > 0, 1 + lengths // self.hop_length, 0)

    def timeline(self, lengths: Tensor, u: Tensor) -> TimeMap:
        """From samples to frames."""
        return TimeMap.linear(lengths, lengths.to(torch.float64) / self.hop_length)

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        lengths = None if size.lengths is None else self.lengths_after(size.lengths, u)
        return size._replace(lengths=lengths, bins=self.bins)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        waveform, lengths = waveform_of(batch, self), lengths_of(batch)
        assert lengths is not None
        after = self.lengths_after(lengths, u)
        spectrogram = self._spectrogram(working(waveform), lengths)
        own = own_frames(after, spectrogram.shape[-1])
        return batch.replace(
            waveform=None,
            spectrogram=torch.where(own, spectrogram, torch.zeros_like(spectrogram)).to(waveform.dtype),
            lengths=None if batch.lengths is None else after,
            events=None if batch.events is None else batch.events / self.hop_length,
            instants=None if batch.instants is None else batch.instants / self.hop_length,
        )

    def _spectrogram(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        count, channels, samples = waveform.shape
        if not waveform.numel():
            return waveform.new_zeros(count, channels, self.bins, self.frames_after(samples))
        whole = silenced(waveform, lengths).flatten(0, 1)
        window = self.window.to(whole.device, whole.dtype, non_blocking=True)
        spectra = torch.stft(
            whole, self.n_fft, self.hop_length, window=window, pad_mode="constant", return_complex=True
        ).unflatten(0, (count, channels))
        heard = self.heard(spectra.abs() if self.power == 1 else torch.view_as_real(spectra).square().sum(-1))
        return heard if self.log_floor is None else heard.clamp(min=self.log_floor).log()


class Spectrogram(Framed):
    """Magnitudes of the short-time Fourier transform: waveforms (B, C, T) to (B, C, n_fft // 2 + 1, 1 + T // hop_length).

    The same in training and in evaluation. As `torchaudio.transforms.Spectrogram(..., pad_mode="constant")`: the default
    there, mirroring a sound at its ends, cannot be done to sounds shorter than the window. Of padded sounds each comes out
    as it does alone; see `Batch` for the lengths. Events and instants are in frames afterwards.

    >>> Spectrogram(n_fft=512)(torch.rand(2, 1, 8000)).shape
    torch.Size([2, 1, 257, 63])

    Args:
        n_fft: samples of a frame, and of its Hann window.
        hop_length: samples from frame to frame; None: a quarter of `n_fft`.
        power: 1 for magnitudes, 2 for their squares (which float16 cannot hold: 65504 is its largest number).
        log_floor: the natural logarithm of the larger of a value and this one; None: no logarithm.
    """

    def __init__(
        self, n_fft: int = 1024, hop_length: int | None = None, power: float = 2.0, log_floor: float | None = None
    ) -> None:
        super().__init__(n_fft, hop_length, power, log_floor)
        self.bins = self.n_fft // 2 + 1

    def heard(self, magnitudes: Tensor) -> Tensor:
        return magnitudes


class MelSpectrogram(Framed):
    """Mel bands of the short-time Fourier transform: waveforms (B, C, T) to (B, C, n_mels, 1 + T // hop_length).

    The same in training and in evaluation. As `torchaudio.transforms.MelSpectrogram(..., norm="slaney",
    pad_mode="constant")`: triangles of equal area, silence round a sound. Of padded sounds each comes out as it does alone.
    Events and instants are in frames afterwards, so that transforms of spectrograms may follow in the same Compose:

    >>> from torchaug import Compose
    >>> from torchaug.audio import SpecAugment, TimeInversion
    >>> augment = Compose([TimeInversion(), MelSpectrogram(sample_rate=16000, log_floor=1e-10), SpecAugment()])
    >>> augment(torch.rand(2, 1, 16000)).shape
    torch.Size([2, 1, 80, 63])

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft: samples of a frame, and of its Hann window.
        hop_length: samples from frame to frame; None: a quarter of `n_fft`.
        n_mels: bands.
        f_min: where the lowest begins, in Hz.
        f_max: where the highest ends; None: half the sample rate.
        mel_scale: "slaney" or "htk", see `torchaug.audio.mel`.
        power: 1 for bands of magnitudes, 2 for bands of their squares (which float16 cannot hold).
        log_floor: the natural logarithm of the larger of a value and this one; None: no logarithm.
    """

    filters: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int = 1024,
        hop_length: int | None = None,
        n_mels: int = 80,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: MelScale = "slaney",
        power: float = 2.0,
        log_floor: float | None = None,
    ) -> None:
        super().__init__(n_fft, hop_length, power, log_floor)
        who = "MelSpectrogram"
        self.sample_rate = whole(sample_rate, who, "sample_rate", 1)
        self.n_mels = self.bins = whole(n_mels, who, "n_mels", 1)
        self.f_min = number(f_min, who, "f_min", 0)
        self.f_max = None if f_max is None else number(f_max, who, "f_max", 0)
        self.mel_scale: MelScale = mel_scale
        filters = mel_filters(
            self.n_fft, self.sample_rate, self.n_mels, low_hz=self.f_min, high_hz=self.f_max, scale=mel_scale
        )
        self.register_buffer("filters", filters, persistent=False)

    def heard(self, magnitudes: Tensor) -> Tensor:
        return self.filters.to(magnitudes.device, magnitudes.dtype, non_blocking=True) @ magnitudes
