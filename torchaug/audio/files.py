"""From sound in a file to a float32 waveform (C, T)."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchaug.audio import compressed
from torchaug.audio.resample import resample

EXTENSIONS = (".aif", ".aiff", ".au", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav", *compressed.EXTENSIONS)
LOUDEST = 4.0  # peaks up to here (12 dB over) come from lossy decoders and hot mixes, above from samples not scaled
SLACK = 0.05  # seconds that a segment may end after its file, as annotations are rounded
PAGE = 27 + 255 + 255 * 255  # bytes of the longest Ogg page

# What libsndfile logs of a chunk that promises more bytes than the file has: it reads what is there, without an error.
_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFF0000  # programs that write into a pipe cannot know the length, and promise the largest one


def library() -> Any:
    """The module `soundfile`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise ImportError("sound files: needs soundfile; pip install 'torchaug-synth[audio]'") from error
    return soundfile


def require(paths: Iterable[str | Path]) -> None:
    """Looks for what reads these files.

    Raises:
        ImportError: it is not installed.
    """
    for needed in {_by_torchcodec(path) for path in paths}:
        if needed:
            compressed.library()
        else:
            library()


def rate_of(path: str | Path) -> int:
    """The sample rate of a sound file in Hz, by its head alone.

    Raises:
        ValueError, OSError, soundfile.LibsndfileError: no sound file.
        ImportError: what reads it is not installed.
    """
    return compressed.rate_of(Path(path)) if _by_torchcodec(path) else int(library().info(path).samplerate)


def read_sound(
    path: str | Path,
    *,
    sample_rate: int,
    mono: bool = True,
    start: float = 0.0,
    end: float | None = None,
    seconds: float | None = None,
    offset_mode: str = "start",
) -> Tensor:
    """A segment of a sound file; of a long file only that segment is decoded, and what is before it in AAC, MP4 and WebM.

    Peaks a little over full scale, as lossy decoders and resampling make them, are clipped.

    Args:
        path: WAV (8, 16, 24, 32 bits or float), FLAC, Ogg Vorbis or Opus, MP3, AIFF, AU, by soundfile; AAC, and the sound of
            MP4 (m4a) and WebM, by torchcodec.
        sample_rate: of the waveform; a file of another rate is resampled.
        mono: the mean of the channels in their place.
        start: seconds into the file where the segment begins.
        end: where it ends; None: at the file's end.
        seconds: at most so much of it.
        offset_mode: "start" or "center", which part of a segment longer than that.

    Returns:
        (C, T) float32 in [-1, 1]; T is `round(seconds * sample_rate)` or less.

    Raises:
        ValueError: a file that was cut off, holds no samples, NaN or samples that were not scaled to [-1, 1], or ends
            before the segment; one that torchcodec cannot decode.
        soundfile.LibsndfileError: no sound file, or one that cannot be decoded.
        ImportError: what reads such files is not installed.
    """
    wanted = None if seconds is None else max(1, round(seconds * sample_rate))

    def place(frames: int, rate: int) -> tuple[int, int]:
        first, count = _segment(frames, rate, start, end)
        if wanted is not None and count > (most := -(-wanted * rate // sample_rate)):
            return first + ((count - most) // 2 if offset_mode == "center" else 0), most
        return first, count

    read = compressed.read if _by_torchcodec(path) else _read
    waveform, rate = read(Path(path), place)
    _check(waveform)
    if mono:
        waveform = waveform.mean(0, keepdim=True)
    return resample(waveform, rate, sample_rate)[:, :wanted].clamp(-1, 1)


def _by_torchcodec(path: str | Path) -> bool:
    ending = Path(path).suffix.lower()
    return ending in compressed.EXTENSIONS or (ending == ".mp3" and "MP3" not in library().available_formats())


def _read(path: Path, place: Callable[[int, int], tuple[int, int]]) -> tuple[Tensor, int]:
    """By soundfile, as `compressed.read` does."""
    with library().SoundFile(path) as file:
        _refuse_cut_off(file.extra_info, path)
        first, count = place(file.frames, file.samplerate)
        if first:  # in a FLAC that was cut off, seeking fails with an error that does not say so
            file.seek(first)
        samples = file.read(count, dtype="float32", always_2d=True)
    if len(samples) < count:
        raise ValueError(f"expected {count} samples from {first} on, got {len(samples)}: the file was cut off")
    return torch.from_numpy(samples.T.copy()), file.samplerate


def pcm_wav(waveform: Tensor, sample_rate: int) -> bytes:
    """A waveform (C, T) as a WAV file of 16 bits, which every program plays; what is beyond [-1, 1] is clipped.

    >>> len(pcm_wav(torch.zeros(2, 10), 8000)) - len(pcm_wav(torch.zeros(2, 0), 8000))
    40
    """
    pcm = (waveform.clamp(-1, 1) * 32767).round().to(torch.int16)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(len(pcm))
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm.T.contiguous().numpy().astype("<i2").tobytes())
    return content.getvalue()


def _segment(frames: int, rate: int, start: float, end: float | None) -> tuple[int, int]:
    """First sample and number of samples."""
    if not frames:
        raise ValueError("expected samples, got none")
    first, stop = round(start * rate), frames if end is None else round(end * rate)
    if first >= frames or stop > frames + SLACK * rate:
        until = "its end" if end is None else f"{end:g} s"
        raise ValueError(f"expected sound from {start:g} s to {until}, got {frames / rate:.3f} s in all")
    return first, min(stop, frames) - first


def _check(waveform: Tensor) -> None:
    peak = float(waveform.abs().amax())
    if not peak <= LOUDEST:  # NaN too
        bad = int((~torch.isfinite(waveform)).sum())
        raise ValueError(
            f"expected finite samples, got {bad} NaN or infinite"
            if bad
            else f"expected samples in [-1, 1], got a peak of {peak:g}; divide by the largest value of their type"
        )


def _refuse_cut_off(log: str, path: Path) -> None:
    for promised, there in _SHORT.findall(log):
        if int(there) < int(promised) < _STREAMED:
            raise ValueError(f"expected {promised} bytes of samples, got {there}: the file was cut off")
    if path.suffix.lower() in (".ogg", ".oga", ".opus"):
        with open(path, "rb") as file:
            file.seek(-min(PAGE, path.stat().st_size), 2)
            tail = file.read()
        page = tail[tail.rfind(b"OggS\0") :]
        segments = page[26] if len(page) > 26 else 255
        if len(page) < 27 + segments + sum(page[27 : 27 + segments]):
            raise ValueError("expected a whole last page, got a part of it: the file was cut off")
