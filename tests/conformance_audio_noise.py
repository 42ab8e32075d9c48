"""Noise, impulse responses and mixtures of sounds against numpy and scipy, given what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from conformance import Case
from scipy import signal, stats
from zoo_audio_noise import recorded, rooms

from torchaug import Batch, Transform
from torchaug import audio as A
from torchaug.keys import sample_keys

Array = np.ndarray[Any, Any]
Records = list[dict[str, Any]]
RATE, SAMPLES = 8000, 6000
LENGTHS = (SAMPLES, 4801, 733, SAMPLES, 2500, 5999)
NOISES = recorded(9000, 700, 31, 5200)


def sounds(channels: int = 1, samples: int = SAMPLES, lengths: tuple[int, ...] = LENGTHS) -> Batch:
    """White sounds of some lengths, NaN behind them."""
    generator = torch.Generator().manual_seed(2)
    sound = torch.randn(len(lengths), channels, samples, generator=generator) / 5
    inside = torch.arange(samples) < torch.tensor(lengths)[:, None, None]
    keys = sample_keys(torch.arange(len(lengths)), seed=5)
    return Batch(waveform=torch.where(inside, sound, torch.nan), lengths=torch.tensor(lengths), key=keys)


def run(transform: Transform, batch: Batch, device: torch.device) -> tuple[list[Array], list[Array], Records]:
    """What went in and what came out, float64, each without its padding, and the records of `describe`."""
    there = batch.to(device)
    out, params = transform.to(device)(there).to("cpu"), transform.draw(there)
    assert batch.waveform is not None
    assert batch.lengths is not None
    pairs = zip(batch.waveform.double().numpy(), batch.lengths.tolist(), strict=True)
    after = zip(out.waveform.double().numpy(), out.lengths.tolist(), strict=True)
    records = [transform.describe(params, i)[0] for i in range(len(batch))]
    return [x[:, :n] for x, n in pairs], [x[:, :n] for x, n in after], records


def rms(sound: Array) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def gap(ours: list[Array], expected: list[Array]) -> float:
    if [x.shape for x in ours] != [x.shape for x in expected]:
        return float("inf")
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, expected, strict=True))


def decibels(sound: Array, noise: Array) -> float:
    return float(20 * np.log10(rms(sound) / rms(noise)))


def gaussian(device: torch.device) -> float:
    before, after, records = run(A.AddGaussianNoise(0.01, 0.2, p=1.0), sounds(2), device)
    made = [(y - x) / r["amplitude"] for x, y, r in zip(before, after, records, strict=True)]
    return float(stats.kstest(np.concatenate([each.ravel() for each in made]), "norm").statistic)


def snr(transform: Transform) -> Callable[[torch.device], float]:
    def error(device: torch.device) -> float:
        before, after, records = run(transform, sounds(2), device)
        trio = zip(before, after, records, strict=True)
        return max(abs(decibels(x, y - x) - float(r["snr_db"])) for x, y, r in trio)

    return error


def slope(device: torch.device) -> float:
    """Of Welch's spectrum between 50 Hz and 0.45 of the sample rate, 16 kHz, in decibels an octave: the largest gap."""
    rate, lengths = 16000, (400_000,) * 4
    before, after, records = run(A.AddColorNoise(-60, -60, p=1.0), sounds(1, lengths[0], lengths), device)
    worst = 0.0
    for x, y, record in zip(before, after, records, strict=True):
        frequency, power = signal.welch((y - x)[0], rate, nperseg=8192)
        edges = 50 * 2.0 ** np.arange(0, np.log2(0.45 * rate / 50), 0.25)
        bands = [power[(frequency >= low) & (frequency < high)].mean() for low, high in pairwise(edges)]
        fit = np.polyfit(np.arange(len(bands)) / 4, 10 * np.log10(bands), 1)[0]
        worst = max(worst, abs(fit - record["f_decay"]))
    return float(worst)


def background(device: torch.device) -> float:
    before, after, records = run(A.AddBackgroundNoise(NOISES, p=1.0), sounds(2), device)
    expected = []
    for x, record in zip(before, records, strict=True):
        noise = NOISES[record["noise"]].double().numpy()
        piece = np.take(noise, record["offset"] + np.arange(x.shape[1]), axis=1, mode="wrap")
        expected.append(x + piece * rms(x) / rms(piece) / 10 ** (record["snr_db"] / 20))
    return gap(after, expected)


def short(device: torch.device) -> float:
    noises = recorded(400, 90, 1000)
    transform = A.AddShortNoises(
        noises, min_time_between_sounds=0.01, max_time_between_sounds=0.1, noise_rms="relative", p=1.0, sample_rate=RATE
    )
    before, after, records = run(transform, sounds(1), device)
    expected = []
    for x, record in zip(before, records, strict=True):
        out = x.copy()
        for order in ("first", "second"):
            names = ("which", "start", "length", "level_db", "fade_in", "fade_out")
            for numbers in zip(*(record[f"{order}_{name}"] for name in names), strict=True):
                add_one(out, x, noises, *numbers)
        expected.append(out)
    return gap(after, expected)


def add_one(
    out: Array, x: Array, noises: list[torch.Tensor], which: int, start: int, length: int, level: float, *fades: float
) -> None:
    """One noise, sample by sample."""
    begin, end = max(start, 0), min(start + length, x.shape[1])
    if begin >= end:
        return
    into = np.arange(begin, end) - start
    ramps = np.minimum((into + 0.5) / fades[0], (length - into - 0.5) / fades[1]).clip(0, 1)
    noise = noises[which].double().numpy()[:, into] * ramps
    out[:, begin:end] += noise * rms(x[:, begin:end]) / rms(noise) / 10 ** (level / 20)


def convolved(x: Array, ir: Array, wet: float) -> Array:
    """The whole of it, energies kept, with the direct sound in its place; as long as the response makes it."""
    full: Array = signal.fftconvolve(x, np.broadcast_to(ir, (len(x), ir.shape[1])), axes=1)[
        :, np.abs(ir).max(0).argmax() :
    ]
    dry = np.pad(x, ((0, 0), (0, full.shape[1] - x.shape[1])))
    out = (1 - wet) * dry + wet * full * np.linalg.norm(x) / np.linalg.norm(full)
    mixed: Array = out * np.linalg.norm(x) / np.linalg.norm(out)
    return mixed


def impulse(device: torch.device) -> float:
    responses = rooms(400, 9, 1500, channels=2)
    transform = A.ApplyImpulseResponse(responses, leave_length_unchanged=False, wet=(0.2, 1.0), p=1.0)
    before, after, records = run(transform, sounds(2), device)
    pairs = zip(before, records, strict=True)
    return gap(after, [convolved(x, responses[r["ir"]].double().numpy(), r["wet"]) for x, r in pairs])


def mixture(transform: A.SoundMix, factors: Callable[[Array, Array, dict[str, Any]], tuple[float, float]]) -> Any:
    def error(device: torch.device) -> float:
        batch = sounds(2)
        before, after, records = run(transform, batch, device)
        partner = transform.partners(transform.draw(batch).u[:, 1:]).tolist()
        expected = []
        for x, other, record in zip(before, [before[i] for i in partner], records, strict=True):
            own, theirs = factors(x, other, record)
            out = np.zeros((2, max(x.shape[1], other.shape[1])))
            out[:, : x.shape[1]] += own * x
            out[:, : other.shape[1]] += theirs * other
            expected.append(out)
        return gap(after, expected)

    return error


def between_class(x: Array, other: Array, record: dict[str, Any]) -> tuple[float, float]:
    """As the paper writes it, with gains in decibels."""
    share = record["lambda"]
    part = 1 / (1 + 10 ** (decibels(x, other) / 20) * (1 - share) / share)
    whole = np.sqrt(part**2 + (1 - part) ** 2)
    return part / whole, (1 - part) / whole


def at_snr(x: Array, other: Array, record: dict[str, Any]) -> tuple[float, float]:
    return 1.0, rms(x) / rms(other) / 10 ** (record["snr_db"] / 20)


def cutmix(device: torch.device) -> float:
    transform, batch = A.AudioCutMix(), sounds(2)
    before, after, records = run(transform, batch, device)
    expected = []
    for x, i, record in zip(before, transform.partners(transform.draw(batch).u[:, 1:]).tolist(), records, strict=True):
        both = min(x.shape[1], before[i].shape[1])
        width = int(np.floor((1 - record["lambda"]) * both + 0.5))
        begin = min(int(record["place"] * (both - width + 1)), both - width)
        out = x.copy()
        out[:, begin : begin + width] = before[i][:, begin : begin + width]
        expected.append(out)
    return gap(after, expected)


def case(name: str, oracle: str, tolerance: float, error: Callable[[torch.device], float]) -> Case:
    return Case(f"audio.{name}", oracle, torch.float32, tolerance, error)


CASES: list[Case] = [
    case("AddGaussianNoise", "normal law, Kolmogorov-Smirnov distance of 40000 numbers", 0.0069, gaussian),
    case("AddGaussianSNR", "numpy: the ratio realised, in dB", 1e-3, snr(A.AddGaussianSNR(p=1.0))),
    case("AddColorNoise", "numpy: the ratio realised, in dB", 1e-3, snr(A.AddColorNoise(p=1.0))),
    case("AddColorNoise (slope)", "scipy.signal.welch, in dB an octave", 0.3, slope),
    case("AddBackgroundNoise", "numpy take, wrapped; the ratio of its formula", 2e-6, background),
    case("AddShortNoises", "numpy, one noise after the other", 1e-5, short),
    case("ApplyImpulseResponse", "scipy.signal.fftconvolve", 1e-5, impulse),
    case("AudioMixup", "numpy", 1e-6, mixture(A.AudioMixup(alpha=0.7), lambda x, y, r: (r["lambda"], 1 - r["lambda"]))),
    case(
        "AudioMixup(level_aware=True)",
        "numpy, the paper's formula",
        2e-6,
        mixture(A.AudioMixup(level_aware=True), between_class),
    ),
    case("Mix", "numpy", 2e-6, mixture(A.Mix(p=1.0), at_snr)),
    case("AudioCutMix", "numpy slices", 0, cutmix),
]
