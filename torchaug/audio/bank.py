"""Sounds that stay on the device, from which transforms take their noises and impulse responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, get_args

import torch
from torch import Tensor, nn

from torchaug.audio.bank_files import SoundFiles, Storage, checked
from torchaug.audio.rows import segments
from torchaug.image.arguments import number, one_of, whole

Files: TypeAlias = "str | Path | Sequence[str | Path]"


class SoundBank(nn.Module):
    """Sounds of any lengths, loaded once and resident on a device: noises, impulse responses.

    A transform that holds one takes it to its own device: `transform.to("cuda")`. Rows of a batch take what they need by
    index, without a loop and without waiting.

    Args:
        sounds: (N, C, T), or a list of (C, T) or (T,) of any lengths, floating point; of one number of channels, or mono
            beside it, which goes to all of them.
        sample_rate: of the sounds, where it is known.
        storage: "float32" as they are; "float16" or "int16" in half the memory, each sound scaled to its own peak: what
            comes out is off by 2^-11 of a sample, or 2^-16 of the peak.

    Raises:
        TypeError: sounds that are not floating point.
        ValueError: no sounds; or one that is empty, silent, not finite, or of another number of channels.

    >>> bank = SoundBank([torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, -0.5])], sample_rate=8000)
    >>> bank
    SoundBank(2 sounds, 0.000625 s, 1 channel, 8000 Hz, float32)
    >>> bank.cut(torch.tensor([0, 1]), torch.tensor([1, 0]), 4)
    tensor([[[ 0.2000,  0.3000,  0.1000,  0.2000]],
    <BLANKLINE>
            [[ 0.5000, -0.5000,  0.5000, -0.5000]]])
    """

    samples: Tensor
    """(C, all samples of all sounds, one after the other, and as many zeros as the shortest has) in the dtype of `storage`."""
    starts: Tensor
    """(N,) int64: where in `samples` each begins."""
    lengths: Tensor
    """(N,) int64: samples of each."""
    scales: Tensor
    """(N,) float32: what a stored value of each counts."""
    peaks: Tensor
    """(N,) int64: the loudest sample of each; of an impulse response the direct sound."""

    def __init__(
        self, sounds: Tensor | Sequence[Tensor], sample_rate: int | None = None, storage: Storage = "float32"
    ) -> None:
        super().__init__()
        self.sample_rate = None if sample_rate is None else whole(sample_rate, "SoundBank", "sample_rate", 1)
        self.storage: Storage = one_of(storage, "SoundBank", "storage", get_args(Storage))
        if isinstance(sounds, Tensor) and sounds.ndim != 3:
            raise ValueError(f"SoundBank: sounds must be (N, C, T) or a list of (C, T), got {tuple(sounds.shape)}")
        given = [checked(sound, f"sound {i}") for i, sound in enumerate(sounds)]
        if not given:
            raise ValueError("SoundBank: expected at least one sound, got none")
        self.channels = max(len(sound) for sound in given)
        scales = [_scale(sound, self.storage) for sound in given]
        stored = [_stored(self._widened(sound, i), scales[i], self.storage) for i, sound in enumerate(given)]
        lengths = [sound.shape[1] for sound in stored]
        self.shortest, self.longest = min(lengths), max(lengths)
        self._files: SoundFiles | None = None
        self._all = True
        self._coming: tuple[int, Future[SoundBank]] | None = None
        counts = torch.tensor(lengths)
        behind = stored[0].new_zeros(self.channels, self.shortest)  # for what `stretches` reads beyond the last
        self.register_buffer("samples", torch.cat([*stored, behind], 1), persistent=False)
        self.register_buffer("starts", counts.cumsum(0) - counts, persistent=False)
        self.register_buffer("lengths", counts, persistent=False)
        self.register_buffer("scales", torch.tensor(scales), persistent=False)
        loudest = [int(sound.abs().amax(0).argmax()) for sound in given]
        self.register_buffer("peaks", torch.tensor(loudest), persistent=False)

    @classmethod
    def from_files(
        cls,
        files: Files,
        sample_rate: int,
        *,
        mono: bool = True,
        seconds: float | None = None,
        max_seconds: float = 3600.0,
        storage: Storage = "float32",
        rotate: bool = False,
        seed: int = 0,
    ) -> SoundBank:
        """Of sound files, each read once.

        Args:
            files: a sound file, a folder of them (with those in its folders, in sorted order), or several of both.
            sample_rate: of the bank; files of other rates are resampled.
            mono: the mean of the channels in their place.
            seconds: at most so much of each file, from its beginning; None for all of it.
            max_seconds: of all sounds together, for which there must be room on the device: 230 MB an hour at 16 kHz mono.
            storage: see `SoundBank`.
            rotate: where there is more than `max_seconds`, hold some of the files, and others in each epoch (`refill`).
            seed: by which these are drawn.

        Raises:
            FileNotFoundError: a path that does not exist.
            ValueError: a folder without sound files; a file that cannot be decoded, is empty, silent or not finite, with its
                path; or more than `max_seconds` without `rotate`.
        """
        given = [files] if isinstance(files, (str, Path)) else list(files)
        rate = whole(sample_rate, "SoundBank", "sample_rate", 1)
        room = number(max_seconds, "SoundBank", "max_seconds", 0, above=True)
        return cls._of(SoundFiles(tuple(map(str, given)), rate, mono, seconds, room, storage, rotate, seed), epoch=0)

    @classmethod
    def _of(cls, source: SoundFiles, epoch: int) -> SoundBank:
        sounds, everything = source.read(epoch)
        bank = cls(sounds, source.sample_rate, source.storage)
        bank._files, bank._all = source, everything
        return bank

    def prepare(self, epoch: int) -> None:
        """Begin to read the files of an epoch, in the background: `refill` then waits only for what is not done.

        Call it when the epoch before begins. Does nothing where all files are held already.
        """
        source = self._rotating("prepare")
        if self._all or (self._coming is not None and self._coming[0] == epoch):
            return
        reader = ThreadPoolExecutor(1, "SoundBank")
        self._coming = epoch, reader.submit(self._of, source, epoch)
        reader.shutdown(wait=False)

    def refill(self, epoch: int) -> None:
        """Hold the files of an epoch, a function of the seed and the epoch alone, where the bank is now: at first those of 0.

        What it held goes; where the new files cannot be read, it stays. A chain that was compiled is compiled once more for
        a bank of another size.

        Raises:
            ValueError: a bank that was not made by `from_files(..., rotate=True)`; and what `from_files` raises.
        """
        source = self._rotating("refill")
        if self._all:
            return
        coming, self._coming = self._coming, None
        new = coming[1].result() if coming is not None and coming[0] == epoch else self._of(source, epoch)
        if new.channels != self.channels:
            raise ValueError(
                f"SoundBank.refill: expected {self.channels} channels as before, got {new.channels}; pass mono=True"
            )
        for name, value in new.named_buffers():
            setattr(self, name, value.to(self.samples.device))
        self.shortest, self.longest = new.shortest, new.longest

    def _rotating(self, what: str) -> SoundFiles:
        if self._files is None or not self._files.rotate:
            raise ValueError(f"SoundBank.{what}: expected a bank of SoundBank.from_files(..., rotate=True), got {self}")
        return self._files

    def __getstate__(self) -> dict[str, Any]:
        """Without what is being read."""
        return {**self.__dict__, "_coming": None}

    def written(self) -> Any:
        """What a transform's constructor takes in its place and a file of settings can hold: its files, where it has some,
        with what else it was made with."""
        return None if self._files is None else self._files.written()

    def __len__(self) -> int:
        return len(self.lengths)

    def sound(self, i: int) -> Tensor:
        """Sound i, (C, T) float32."""
        begin, length = int(self.starts[i]), int(self.lengths[i])
        return self.samples[:, begin : begin + length].to(torch.float32) * self.scales[i]

    def cut(self, which: Tensor, offset: Tensor, samples: int) -> Tensor:
        """Pieces of sounds, which go on from their beginning where they end: (B, C, samples) float32.

        Args:
            which: (B,) int64 sounds.
            offset: (B,) int64 where each piece begins, at least 0.
            samples: of each piece.
        """
        lengths, starts = self.lengths[which][:, None], self.starts[which][:, None]
        places = torch.arange(samples, device=offset.device, dtype=self.places)
        into = (offset[:, None].to(self.places) + places) % lengths.to(self.places)
        return self.stored(into + starts.to(self.places)) * self.scales[which][:, None, None]

    def stretches(self, which: Tensor, offset: Tensor, samples: int) -> Tensor:
        """`cut` in a quarter of the time, for `samples` that no sound has fewer of; behind a sound's end there is anything."""
        begin = self.starts[which] + offset
        found = segments(self.samples[None], begin[None, None], samples)[0].transpose(0, 1).to(torch.float32)
        return found if self.storage == "float32" else found * self.scales[which][:, None, None]

    def whole(self, which: Tensor) -> Tensor:
        """Sounds `which` (B,), padded with zeros: (B, C, longest) float32."""
        places = torch.arange(self.longest, device=which.device)
        lengths = self.lengths[which][:, None]
        there = self.stored(self.starts[which][:, None] + torch.minimum(places, lengths - 1))
        return torch.where((places < lengths)[:, None], there * self.scales[which][:, None, None], 0)

    def stored(self, places: Tensor) -> Tensor:
        """What is stored at places (B, S) of all sounds in a row, as `starts` has them: (B, C, S) float32.

        A sample is that times its sound's scale.
        """
        found = self.samples.index_select(1, places.flatten()).view(self.channels, *places.shape)
        return found.transpose(0, 1).to(torch.float32)

    @property
    def places(self) -> torch.dtype:
        """Of numbers that count all samples: int32 where they are few enough, whose remainders are found six times as fast."""
        return torch.int32 if self.samples.shape[1] + self.longest < 2**31 else torch.int64

    def check(self, waveform: Tensor, who: str, name: str) -> None:
        """An error where waveforms (B, C, T) cannot take sounds of this bank."""
        if self.channels not in (1, waveform.shape[1]):
            raise ValueError(
                f"{who}: {name} must be mono or have as many channels as the waveform, {waveform.shape[1]}, got "
                f"{self.channels}; make the bank of sound.mean(0), or of files with mono=True"
            )
        if self.samples.device != waveform.device:
            raise ValueError(
                f"{who}: {name} must be where the waveform is, on {waveform.device}, got {self.samples.device}; take the "
                f"transform there once: transform.to({waveform.device.type!r})"
            )

    def extra_repr(self) -> str:
        rate = self.sample_rate
        total = self.samples.shape[1] - self.shortest
        length = f"{total} samples" if rate is None else f"{total / rate:g} s"
        channels = f"{self.channels} channel{'s' * (self.channels > 1)}"
        return ", ".join(
            [f"{len(self)} sounds", length, channels, *([] if rate is None else [f"{rate} Hz"]), self.storage]
        )

    def _widened(self, sound: Tensor, i: int) -> Tensor:
        if len(sound) not in (1, self.channels):
            raise ValueError(
                f"SoundBank: sounds must have the same number of channels, or one, got {len(sound)} in sound {i} beside "
                f"{self.channels}"
            )
        return sound.expand(self.channels, -1)


Sounds: TypeAlias = "SoundBank | Tensor | Sequence[Tensor] | Files | Mapping[str, Any]"
"""What transforms take for a bank; a mapping has the arguments of `SoundBank.from_files`, as a file of settings holds them."""


def bank_of(sounds: Sounds, sample_rate: int | None, who: str, name: str) -> SoundBank:
    """A bank of what a transform was given under a name.

    Raises:
        ValueError: files without a sample rate, or a bank of another one.
    """
    if isinstance(sounds, Tensor) or (
        isinstance(sounds, (list, tuple)) and sounds and all(isinstance(sound, Tensor) for sound in sounds)
    ):
        return SoundBank(sounds, sample_rate)
    if isinstance(sounds, SoundBank):
        if sample_rate is not None and sounds.sample_rate not in (None, sample_rate):
            raise ValueError(
                f"{who}: {name} must have sample_rate={sample_rate}, got a bank of {sounds.sample_rate} Hz"
            )
        return sounds
    if sample_rate is None:
        raise ValueError(f"{who}: {name} in files need sample_rate=, that of the waveforms, got None")
    options = dict(sounds) if isinstance(sounds, Mapping) else {"files": sounds}
    return SoundBank.from_files(sample_rate=sample_rate, **options)


def _scale(sound: Tensor, storage: Storage) -> float:
    peak = float(sound.abs().amax())
    return {"float32": 1.0, "float16": peak, "int16": peak / 32767}[storage]


def _stored(sound: Tensor, scale: float, storage: Storage) -> Tensor:
    if storage == "float32":
        return sound
    scaled = (sound.to(torch.float64) / scale).to(torch.float32)
    return scaled.round().to(torch.int16) if storage == "int16" else scaled.to(torch.float16)
