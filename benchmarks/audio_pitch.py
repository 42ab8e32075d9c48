"""How good are shifts of pitch and of duration, and what do they cost, beside torchaudio, librosa and signalsmith?

Sounds with a known truth: voices with vibrato made again at the other pitch or speed, a plucked string (Karplus and Strong),
drum hits; speech is that of `audio_speech.py`. Peers that are not installed are left out: librosa and signalsmith come through
audiomentations. A part of `scripts/bench audio`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from rows import Row, interleaved, row
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from torchaug import Batch
from torchaug.audio import PitchShift, PitchTempo, SpeedPerturbation, TimeStretch

RATE = 16000
SEMITONES = (-4.0, -1.3, 0.7, 4.0)
BASES = (110.0, 130.0, 150.0, 180.0, 220.0, 300.0)
RATES = (0.8, 1.25)
HITS = (0.2, 0.55, 0.9, 1.25, 1.6)
Shift = Callable[[Tensor, float], Tensor]
"""A mono sound (T,) and semitones, or a rate, to a sound."""


def voice(
    pitch: float, semitones: float = 0.0, rate: float = 1.0, seconds: float = 2.0, vibrato: float = 0.03
) -> Tensor:
    """Seven harmonics with vibrato, faded in and out."""
    time = torch.arange(int(seconds * RATE / rate), dtype=torch.float64) * rate / RATE
    frequency = pitch * 2 ** (semitones / 12) * (1 + vibrato * torch.sin(2 * math.pi * 5.5 * time))
    phase = 2 * math.pi * torch.cumsum(frequency, 0) / RATE
    tones = torch.stack([torch.sin(phase * k + k) / k for k in range(1, 8)]).sum(0)
    return (0.2 * tones * (torch.minimum(time, seconds - time) / 0.05).clamp(0, 1)).float()


def string(pitch: float = 196.0, seconds: float = 2.0) -> Tensor:
    """A plucked string: noise that goes round a delay line and loses its treble."""
    delay = round(RATE / pitch)
    line = np.random.default_rng(0).uniform(-1, 1, delay)
    out = np.zeros(int(seconds * RATE))
    for i in range(len(out)):
        out[i] = line[i % delay]
        line[i % delay] = 0.498 * (line[i % delay] + line[(i + 1) % delay])
    return torch.from_numpy(0.3 * np.concatenate([np.zeros(RATE // 4), out])).float()


def drums(seconds: float = 2.0) -> Tensor:
    """Hits of falling pitch with a burst of noise."""
    generator, time = torch.Generator().manual_seed(0), torch.arange(RATE // 4) / RATE
    out = torch.zeros(int(seconds * RATE))
    for hit in HITS:
        noise = 0.5 * torch.randn(len(time), generator=generator) * torch.exp(-60 * time)
        body = torch.sin(2 * math.pi * (60 + 80 * torch.exp(-30 * time)) * time) * torch.exp(-12 * time)
        out[int(hit * RATE) : int(hit * RATE) + len(time)] += 0.5 * (noise + body)
    return out


def spectrum(sound: Tensor) -> Tensor:
    return torch.stft(sound, 1024, 256, window=torch.hann_window(1024), return_complex=True).abs()


def convergence(sound: Tensor, truth: Tensor) -> float:
    samples = min(len(sound), len(truth))
    ours, theirs = spectrum(sound[:samples]), spectrum(truth[:samples])
    return float((ours - theirs).norm() / theirs.norm())


def cents(sound: Tensor, wanted: float) -> float:
    """How far the fundamental is from `wanted` Hz, by a parabola through the logarithm of the spectrum."""
    middle = sound[len(sound) // 8 : -len(sound) // 8].double().numpy()
    power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 4 * len(middle))) + 1e-12
    step = RATE / (4 * len(middle))
    first = int(wanted * 0.94 / step)
    peak = first + int(power[first : int(wanted * 1.06 / step)].argmax())
    a, b, c = np.log(power[peak - 1 : peak + 2])
    return abs(1200 * math.log2(step * (peak + 0.5 * (a - c) / (a - 2 * b + c)) / wanted))


def echo(sound: Tensor, rate: float) -> float:
    """Energy of the 28 ms before a hit beside that of the 32 ms after it began, in dB, the mean of all hits."""
    energy, places = sound.square(), [int(hit * RATE / rate) for hit in HITS]
    shares = [energy[at - 480 : at - 32].sum() / energy[at - 32 : at + 480].sum() for at in places]
    return float(torch.stack(shares).clamp(min=1e-9).log10().mean() * 10)


def level(sound: Tensor, truth: Tensor) -> float:
    return float(sound.square().mean().sqrt() / truth.square().mean().sqrt())


def shifters() -> dict[str, Shift]:
    """Ways to shift the pitch, those of the peers where they are installed."""
    ways: dict[str, Shift] = {"torchaug": lambda x, n: PitchShift(n, n, sample_rate=RATE, p=1.0)(x)}
    if find_spec("torchaudio"):
        from torchaudio import functional

        ways["torchaudio"] = lambda x, n: functional.pitch_shift(x, RATE, round(n)) if n == round(n) else x * math.nan
    if find_spec("audiomentations"):
        import audiomentations

        for method, name in (("signalsmith_stretch", "signalsmith"), ("librosa_phase_vocoder", "librosa")):
            ways[name] = lambda x, n, m=method: torch.from_numpy(  # type: ignore[misc]
                audiomentations.PitchShift(n, n, method=m, p=1.0)(x.numpy(), RATE)
            )
    return ways


def stretchers() -> dict[str, Shift]:
    """Ways to change the duration."""
    ways: dict[str, Shift] = {
        "torchaug": lambda x, r: TimeStretch(r, r, False, sample_rate=RATE, p=1.0)(x),
        "torchaug, plain": lambda x, r: TimeStretch(r, r, False, phase_locking=False, sample_rate=RATE, p=1.0)(x),
    }
    if find_spec("audiomentations"):
        import audiomentations

        for method, name in (("signalsmith_stretch", "signalsmith"), ("librosa_phase_vocoder", "librosa")):
            ways[name] = lambda x, r, m=method: torch.from_numpy(  # type: ignore[misc]
                audiomentations.TimeStretch(r, r, leave_length_unchanged=False, method=m, p=1.0)(x.numpy(), RATE)
            )
    return ways


def quality() -> list[Row]:
    """How near shifted and stretched sounds are to what they should be."""
    rows = []
    for name, shift in shifters().items():
        ours = name == "torchaug"
        steps = (-4.0, 4.0) if name == "torchaudio" else SEMITONES
        pairs = [(base, n) for base in BASES for n in steps]
        made = [(shift(voice(base), n), voice(base, n)) for base, n in pairs]
        gaps = [convergence(out, truth) for out, truth in made]
        rows.append(row(f"voices, spectral convergence, {name}", gaps, "", at_most=0.10 if ours else None))
        rows.append(Row(f"voices, spectral convergence, largest, {name}", max(gaps), ""))
        levels = [level(out, truth) for out, truth in made]
        rows.append(row(f"voices, least level, {name}", [min(levels)], "", at_least=0.95 if ours else None))
        rows.append(row(f"voices, largest level, {name}", [max(levels)], "", at_most=1.02 if ours else None))
        off = [cents(shift(voice(base, vibrato=0), n), base * 2 ** (n / 12)) for base, n in pairs]
        rows.append(
            row(f"voices, fundamental, largest error, {name}", [max(off)], "cents", at_most=3.0 if ours else None)
        )
        plucked = [shift(string(), n) for n in steps]
        rows.append(row(f"string, level, {name}", [level(out, string()) for out in plucked], ""))
        tuned = RATE / (round(RATE / 196.0) - 0.5)  # the mean of two samples is half a sample early
        off = [cents(out, tuned * 2 ** (n / 12)) for out, n in zip(plucked, steps, strict=True)]
        rows.append(row(f"string, fundamental, largest error, {name}", [max(off)], "cents"))
        rows.append(row(f"drums, energy before hits, {name}", [echo(shift(drums(), n), 1.0) for n in steps], "dB"))
    for name, stretch in stretchers().items():
        gaps = [convergence(stretch(voice(base), r), voice(base, rate=r)) for base in BASES for r in RATES]
        rows.append(row(f"stretched voices, spectral convergence, {name}", gaps, ""))
        rows.append(
            row(f"stretched drums, energy before hits, {name}", [echo(stretch(drums(), r), r) for r in RATES], "dB")
        )
    return rows


def peak_memory(call: Callable[[], object]) -> int:
    """The most bytes that tensors made in a call took at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def cost(rounds: int, clips: int = 16, seconds: int = 4) -> list[Row]:
    """Memory in units of the input, and time, of clips that each have a factor of their own."""
    sounds = torch.stack([voice(110 + 10 * i, seconds=seconds) for i in range(clips)])[:, None]
    ours = {
        "SpeedPerturbation": SpeedPerturbation(p=1.0),
        "TimeStretch": TimeStretch(sample_rate=RATE, p=1.0),
        "PitchShift": PitchShift(sample_rate=RATE, p=1.0),
        "PitchShift, formants kept": PitchShift(preserve_formants=True, sample_rate=RATE, p=1.0),
        "PitchTempo": PitchTempo(sample_rate=RATE, p=1.0),
    }
    batch, rows = Batch(waveform=sounds), []
    for name, transform in ours.items():
        share = peak_memory(lambda transform=transform: transform(batch)) / sounds.nbytes  # type: ignore[misc]
        rows.append(row(f"{name}, memory beside the input", [share], "times the input", at_most=3.0))
    calls: dict[str, Callable[[], object]] = {
        name: lambda transform=transform: transform(batch)  # type: ignore[misc]
        for name, transform in ours.items()
    }
    for name, shift in shifters().items():
        if name not in ("torchaug", "torchaudio"):
            calls[f"PitchShift, {name}"] = lambda s=shift: [s(x[0], 2.5) for x in sounds]  # type: ignore[misc]
    for name, times in interleaved(calls, rounds, warmup=1).items():
        rows.append(row(f"{name}, one clip of {seconds} s", [1000 * t / clips for t in times], "ms"))
    return rows
