"""Sound files that libsndfile cannot read, by torchcodec and FFmpeg: AAC, and the sound of MP4 and WebM."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

EXTENSIONS = (".aac", ".m4a", ".mp4", ".webm")
SLACK = 0.05  # seconds by which such files promise more sound than they hold, since codecs begin before the sound does

_PLACE = re.compile(r"^\w+, \S+:\d+, ")  # of an error in torchcodec's own source


def library() -> Any:
    """The module `torchcodec.decoders`.

    Raises:
        ImportError: it is not installed, or is not made for this torch.
    """
    try:
        from torchcodec import decoders
    except (ImportError, OSError, RuntimeError) as error:  # an old release looks for FFmpeg here
        raise _missing(error) from error
    return decoders


def rate_of(path: Path) -> int:
    """The sample rate by a file's head, in Hz.

    Raises:
        ValueError: no sound in it, or no such file.
    """
    return int(_opened(path).metadata.sample_rate)


def read(path: Path, place: Callable[[int, int], tuple[int, int]]) -> tuple[Tensor, int]:
    """A part of a file as (C, T) float32, and its rate in Hz; what comes before the part is decoded too.

    Args:
        path: of the file.
        place: from the file's samples and rate to the first sample of the part and their number.

    Raises:
        ValueError: no sound in it, or one that was cut off; what `place` raises.
    """
    decoder = _opened(path)
    rate = int(decoder.metadata.sample_rate)
    seconds = None if path.suffix.lower() == ".aac" else decoder.metadata.duration_seconds  # which that only estimates
    if seconds is None:
        samples = _decoded(decoder.get_all_samples)
        first, count = place(samples.shape[1], rate)
    else:
        first, count = place(round(seconds * rate), rate)
        samples = _decoded(lambda: decoder.get_samples_played_in_range(0.0, (first + count) / rate + SLACK))
    part = samples[:, first : first + count]
    if part.shape[1] < count - SLACK * rate:
        raise ValueError(f"expected {count} samples from {first} on, got {part.shape[1]}: the file was cut off")
    return part, rate


def _opened(path: Path) -> Any:
    decoders = library()
    if not path.is_file():
        raise ValueError(f"expected a sound file, got nothing at {path}")
    try:
        return decoders.AudioDecoder(path)
    except (RuntimeError, ValueError) as error:
        if "load libtorchcodec" in str(error):
            raise _missing(error) from error
        raise ValueError(f"expected sound that FFmpeg knows, got an error: {_told(error)}") from error


def _decoded(decode: Callable[[], Any]) -> Tensor:
    try:
        samples: Tensor = decode().data
    except RuntimeError as error:
        raise ValueError(f"expected sound to its end, got an error: {_told(error)}; the file was cut off") from error
    return samples.to(torch.float32)


def _missing(error: Exception) -> ImportError:
    return ImportError(
        f"{', '.join(EXTENSIONS)} files: need torchcodec and FFmpeg, got {type(error).__name__}: {_told(error)}; pip install "
        "'torchcodec>=0.12' and install FFmpeg (apt install ffmpeg, brew install ffmpeg), or convert the files: ffmpeg -i "
        "a.m4a a.flac"
    )


def _told(error: Exception) -> str:
    return _PLACE.sub("", str(error)).strip().split("\n")[0]
