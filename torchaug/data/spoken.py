"""Words spoken by `espeak-ng`, a small program that many systems have: a task of sounds that needs no download."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchaug.audio.kinds import fitted
from torchaug.audio.resample import resample
from torchaug.data.rooms import in_noise, in_rooms
from torchaug.data.waveforms import TensorWaveforms
from torchaug.keys import integers, log_uniform, sample_keys, uniforms

PROGRAM = "espeak-ng"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland")
SPEAKERS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
QUIET = 0.01
"""Of a word's peak: what is below it at the ends is no part of the word."""


class Voice(NamedTuple):
    """How a word is spoken: a voice of espeak-ng, its pitch from 0 to 99, and words a minute."""

    name: str
    pitch: int
    speed: int


def spoken(
    words: Sequence[str] = DIGITS,
    per_class: int = 40,
    *,
    seconds: float = 0.8,
    sample_rate: int = 8000,
    snr_db: float = 20.0,
    room_seconds: float = 0.0,
    seed: int = 0,
) -> TensorWaveforms:
    """English words by `espeak-ng`: 36 voices, of varied pitch, speed and loudness.

    A clip is a function of its number, class and seed, and of the version of the program: what depends on this data set may
    differ between machines, unlike what depends on `vowels`.

    Args:
        words: each is a class.
        per_class: clips of each.
        seconds: of the longest clip; the end of a longer word is cut off.
        sample_rate: in Hz.
        snr_db: see `vowels`, as for `room_seconds`.
        seed: of everything.

    Raises:
        FileNotFoundError: the program is not installed.
        RuntimeError: it failed; with what it said.
    """
    samples = round(seconds * sample_rate)
    if not words or len(set(words)) < len(words) or per_class < 1 or samples < 1:
        raise ValueError(
            f"spoken: expected different words, per_class and seconds above 0, got {list(words)}, {per_class} and {seconds:g}"
        )
    program = shutil.which(PROGRAM)
    if program is None:
        raise FileNotFoundError(
            f"spoken: needs the program {PROGRAM}, and it was not found; install it (apt install {PROGRAM}, brew install "
            f"{PROGRAM}), or take vowels(), which needs none"
        )
    labels = torch.arange(len(words)).repeat_interleave(per_class)
    keys = sample_keys(torch.arange(per_class).repeat(len(words)) * len(words) + labels, seed=seed)
    u = uniforms(keys, 8)
    texts = [words[label] for label in labels.tolist()]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        files = [Path(folder) / f"{number}.wav" for number in range(len(texts))]
        said = list(pool.map(say, [program] * len(texts), texts, _voices(u), files))
    clips = [_word(resample(sound, rate, sample_rate))[:samples] for sound, rate in said]
    lengths = torch.tensor([len(clip) for clip in clips])
    words_alone = torch.stack([fitted(clip, samples) for clip in clips])
    sound = in_noise(in_rooms(words_alone, keys, room_seconds, sample_rate), u[:, 5:], snr_db)
    sound = sound * (torch.arange(samples) < lengths[:, None])
    sound = sound * log_uniform(u[:, 4:5], 0.1, 0.9) / sound.abs().amax(1, keepdim=True)
    return TensorWaveforms(sound[:, None], labels, list(words), sample_rate=sample_rate, lengths=lengths)


def spoken_digits() -> TensorWaveforms:
    """The words of `torchaug demo --modality audio --data spoken_digits`: 60 clips of each digit, in rooms and noise."""
    return spoken(DIGITS, 60, seconds=0.6, snr_db=5.0, room_seconds=0.4)


def _voices(u: Tensor) -> list[Voice]:
    accent, speaker = integers(u[:, 0], 0, len(ACCENTS)), integers(u[:, 1], 0, len(SPEAKERS))
    pitch, speed = integers(u[:, 2], 20, 80), integers(u[:, 3], 120, 230)
    rows = zip(accent.tolist(), speaker.tolist(), pitch.tolist(), speed.tolist(), strict=True)
    return [Voice(f"{ACCENTS[a]}+{SPEAKERS[s]}", p, w) for a, s, p, w in rows]


def say(program: str, text: str, voice: Voice, file: Path) -> tuple[Tensor, int]:
    """A word as (T,) in [-1, 1], and its rate in Hz."""
    how = ["-v", voice.name, "-p", str(voice.pitch), "-s", str(voice.speed)]
    done = subprocess.run(
        [program, *how, "-w", str(file), "--", text],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode or not file.exists():
        raise RuntimeError(f"spoken: {PROGRAM} {' '.join(how)} could not say {text!r}: {done.stderr.strip()}")
    with wave.open(str(file), "rb") as sound:
        pcm = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
        return torch.from_numpy(pcm.astype(np.float32) / 32768), sound.getframerate()


def _word(sound: Tensor) -> Tensor:
    """Without the silence before and after it."""
    loud = (sound.abs() > QUIET * sound.abs().amax()).nonzero()[:, 0]
    if not len(loud):
        raise RuntimeError(f"spoken: {PROGRAM} gave silence in place of a word; say each class in letters")
    return sound[int(loud[0]) : int(loud[-1]) + 1]
