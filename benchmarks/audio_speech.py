"""How good are shifts of the pitch of speech, beside librosa and signalsmith?

Sentences by espeak-ng, six voices; without that program there is one row, which says so. Speech has no truth at another pitch,
but resampled it has that pitch and those formants, too early: its spectrum there, at the time that belongs to each frame, is
what a shift should have. The fundamental is followed by autocorrelation, in the frames where the sentence is voiced.
"""

from __future__ import annotations

import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import torch
from audio_pitch import RATE, SEMITONES, convergence, level, shifters
from rows import Row, row, write
from torch import Tensor

from torchaug.data import resample
from torchaug.data.spoken import PROGRAM, Voice, say

VOICES = ("en-us+m1", "en-us+m3", "en-gb+m7", "en-us+f1", "en-us+f3", "en-gb+f5")
SENTENCES = ("The quick brown fox jumps over the lazy dog.", "We were away a year ago, and will remain a while.")
SIZE, HOP = 1024, 256
WINDOW, LOW, HIGH = 640, 60, 500
"""Samples that the fundamental is looked for in, and its range in Hz."""
VOICED = 0.8
"""Least correlation of a period with the next one."""
PACKAGES = ("torch", "numpy", "audiomentations", "librosa", "python-stretch")


def spoken(voice: str, sentence: str) -> Tensor:
    """A sentence at 16 kHz, (T,)."""
    with tempfile.TemporaryDirectory() as folder:
        samples, rate = say(PROGRAM, sentence, Voice(voice, pitch=50, speed=175), Path(folder) / "speech.wav")
    return resample(samples, rate, RATE)


def spectrum_at(sound: Tensor, centres: Tensor) -> Tensor:
    """Magnitudes of frames about these samples, (bins, frames)."""
    whole = torch.nn.functional.pad(sound, (SIZE, 2 * SIZE))
    frames = whole[(centres[:, None] + torch.arange(SIZE) + SIZE // 2).clamp(max=len(whole) - 1)]
    return torch.fft.rfft(frames * torch.hann_window(SIZE)).abs().T


def gap(shifted: Tensor, sound: Tensor, semitones: float) -> float:
    """Spectral convergence of a shifted sound to the resampled one, frame by frame."""
    factor = Fraction(2 ** (semitones / 12)).limit_denominator(500)  # within a hundredth of a cent
    early = resample(sound, factor.numerator, factor.denominator)
    centres = torch.arange(0, len(sound), HOP)
    ours, theirs = spectrum_at(shifted, centres), spectrum_at(early, (centres / float(factor)).round().long())
    return float((ours - theirs).norm() / theirs.norm())


def periods(sound: Tensor) -> tuple[Tensor, Tensor]:
    """The fundamental in Hz and how periodic the sound is, of each frame, by normalised autocorrelation."""
    frames = sound.double().unfold(0, 2 * WINDOW, HOP)
    lags = torch.arange(RATE // HIGH, RATE // LOW)
    first = torch.fft.rfft(frames[:, :WINDOW], 4 * WINDOW).conj()
    products = torch.fft.irfft(first * torch.fft.rfft(frames, 4 * WINDOW))[:, lags]
    sums = torch.nn.functional.pad(frames.square().cumsum(1), (1, 0))
    energy = sums[:, lags + WINDOW] - sums[:, lags]
    same = products / ((sums[:, WINDOW, None] * energy).clamp(min=0).sqrt() + 1e-6)
    good = same > 0.9 * same.amax(1, keepdim=True)  # the first good one: multiples of a period are as good
    inner = torch.nn.functional.pad((same[:, 1:-1] >= same[:, :-2]) & (same[:, 1:-1] >= same[:, 2:]), (1, 1))
    place = (good & inner).int().argmax(1).clamp(1, len(lags) - 2)
    a, b, c = (same.gather(1, place[:, None] + step)[:, 0] for step in (-1, 0, 1))
    lag = lags[place] + 0.5 * (a - c) / (a - 2 * b + c - 1e-12)
    return RATE / lag, b


def cents(shifted: Tensor, sound: Tensor, semitones: float) -> Tensor:
    """How far the fundamental of each voiced frame is from where it should be."""
    (before, sure), (after, _) = periods(sound), periods(shifted[: len(sound)])
    count = min(len(before), len(after))
    voiced = sure[:count] > VOICED
    return 1200 * (after[:count] / before[:count]).log2()[voiced] - 100 * semitones


def speech_rows() -> list[Row]:
    """Of each way to shift: the spectrum beside that of resampled speech, the fundamental, the level, and there and back."""
    if shutil.which(PROGRAM) is None:
        return [Row("speech", None, f"{PROGRAM} is not installed")]
    sounds = [spoken(voice, sentence) for voice in VOICES for sentence in SENTENCES]
    rows = []
    for name, shift in shifters().items():
        if name == "torchaudio":  # which needs minutes for these, and is told of voices and drums
            continue
        pairs = [(x, n) for x in sounds for n in SEMITONES]
        made = [shift(x, n) for x, n in pairs]
        gaps = [gap(out, x, n) for out, (x, n) in zip(made, pairs, strict=True)]
        off = torch.cat([cents(out, x, n) for out, (x, n) in zip(made, pairs, strict=True)])
        levels = [level(out, x) for out, (x, _) in zip(made, pairs, strict=True)]
        back = [convergence(shift(out, -n), x) for out, (x, n) in zip(made, pairs, strict=True)]
        rows += [
            row(f"speech, spectral convergence, {name}", gaps, ""),
            Row(f"speech, spectral convergence, largest, {name}", max(gaps), ""),
            Row(f"speech, fundamental, mean error, {name}", float(off[off.abs() < 100].mean()), "cents"),
            Row(f"speech, fundamental, median of errors' sizes, {name}", float(off.abs().median()), "cents"),
            Row(f"speech, frames off by a semitone or more, {name}", float((off.abs() >= 100).double().mean()), ""),
            Row(f"speech, least level, {name}", min(levels), ""),
            Row(f"speech, largest level, {name}", max(levels), ""),
            row(f"speech, there and back, spectral convergence, {name}", back, ""),
        ]
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    write("audio_speech", speech_rows(), PACKAGES)
