"""Sounds for a bank, read from files: all of them, or for each epoch those that fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from torchaug.audio.files import EXTENSIONS, read_sound, require
from torchaug.keys import hash_int

Storage = Literal["float32", "float16", "int16"]


@dataclass(frozen=True)
class SoundFiles:
    """Where the sounds of a bank come from, with the arguments of `SoundBank.from_files`."""

    files: tuple[str, ...]
    sample_rate: int
    mono: bool = True
    seconds: float | None = None
    max_seconds: float = 3600.0
    storage: Storage = "float32"
    rotate: bool = False
    seed: int = 0

    def written(self) -> Any:
        """The files; with the arguments that are not at their defaults, where there are such."""
        usual = {each.name: each.default for each in fields(self)}
        others = {name: value for name, value in asdict(self).items() if value != usual[name]}
        del others["sample_rate"]  # the transform's
        files = list(others.pop("files"))
        return {"files": files, **others} if others else files

    def read(self, epoch: int) -> tuple[list[Tensor], bool]:
        """(C, T) each, and whether these are all there are; of files that rotate, some that fit, others in each epoch.

        Raises:
            FileNotFoundError, ValueError: as `SoundBank.from_files` says.
        """
        paths = [path for each in self.files for path in _found(Path(each))]
        if self.rotate:
            paths = [paths[i] for i in sorted(range(len(paths)), key=lambda i: hash_int(self.seed, epoch, i))]
        room = round(self.max_seconds * self.sample_rate)
        sounds: list[Tensor] = []
        for path, sound in self._each(paths):
            if sound.shape[1] <= room:
                room -= sound.shape[1]
                sounds.append(sound)
            elif self.rotate:
                # of a file that is longer than all the room, what there is room for
                return sounds or [checked(sound[:, :room], str(path))], False
            else:
                raise ValueError(
                    f"SoundBank: expected at most max_seconds={self.max_seconds:g} of sound, got more with file "
                    f"{len(sounds) + 1} of {len(paths)}, {path}; pass rotate=True, which takes others in each epoch, seconds=, "
                    "which cuts each file, fewer files, or more max_seconds"
                )
        return sounds, True

    def _each(self, paths: list[Path]) -> Iterator[tuple[Path, Tensor]]:
        require(paths)
        for path in paths:
            try:
                sound = read_sound(path, sample_rate=self.sample_rate, mono=self.mono, seconds=self.seconds)
            except (ValueError, RuntimeError) as error:  # libsndfile's own among them
                raise ValueError(f"SoundBank: expected a sound file at {path}, got: {error}; leave it out") from error
            yield path, checked(sound, str(path))


def checked(sound: Tensor, what: str) -> Tensor:
    """A sound as (C, T) float32, or an error where there is nothing to hear."""
    if not isinstance(sound, Tensor) or not sound.is_floating_point():
        got = sound.dtype if isinstance(sound, Tensor) else type(sound).__name__
        raise TypeError(f"SoundBank: {what} must be a floating-point tensor, got {got}; divide 16-bit samples by 32768")
    sound = sound.detach()[None] if sound.ndim == 1 else sound.detach()
    if sound.ndim != 2 or not sound.numel():
        raise ValueError(
            f"SoundBank: {what} must be (C, T) or (T,) with samples, got {tuple(sound.shape)}; leave it out"
        )
    peak = float(sound.abs().amax())
    if not math.isfinite(peak):
        raise ValueError(f"SoundBank: {what} must be finite, got NaN or infinite samples; leave it out")
    if not peak > 0:
        raise ValueError(f"SoundBank: {what} must be heard, got silence; leave it out")
    return sound.to(torch.float32)


def _found(path: Path) -> list[Path]:
    """The file, or the sound files of a folder."""
    if not path.exists():
        raise FileNotFoundError(f"SoundBank: expected a sound file or a folder of them, got nothing at {path}")
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS)
    if not found:
        raise ValueError(f"SoundBank: expected sound files ({', '.join(EXTENSIONS)}) in {path}, got none")
    return found
