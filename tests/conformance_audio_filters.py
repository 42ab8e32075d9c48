"""Filters, loudness, air and rooms against scipy and numpy loops, given what was drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from conformance import Case
from scipy import signal

from torchaug import Batch, Transform
from torchaug import audio as A
from torchaug.audio.shoebox import late_power
from torchaug.keys import sample_keys

Array = np.ndarray[Any, Any]
Record = dict[str, Any]
RATE, COUNT = 16000, 12


def drawn(transform: Transform, sound: torch.Tensor, device: torch.device) -> tuple[Array, list[Record]]:
    """What comes out of (B, C, T), and the records of `describe`."""
    batch = Batch(waveform=sound.to(device), key=sample_keys(torch.arange(len(sound), device=device), seed=5))
    params = transform.draw(batch)
    out = transform(batch).waveform
    assert out is not None
    return out.cpu().double().numpy(), [transform.describe(params, i)[0] for i in range(len(sound))]


def hiss(samples: int = RATE) -> torch.Tensor:
    """White noise, (COUNT, 2, samples) float32 of RMS 0.3."""
    return 0.3 * torch.randn(COUNT, 2, samples, generator=torch.Generator().manual_seed(0))


def filtering(transform: Transform, oracle: Callable[[Array, Record], Array]) -> Callable[[torch.device], float]:
    """The largest difference from a function of a sound (C, T) float64 and a record, over the oracle's largest value."""

    def error(device: torch.device) -> float:
        sound = hiss()
        out, records = drawn(transform, sound, device)
        pairs = [(out[i], oracle(sound[i].double().numpy(), records[i])) for i in range(len(sound))]
        return max(float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max())) for ours, theirs in pairs)

    return error


def butter(kind: str, zero_phase: bool = False) -> Callable[[Array, Record], Array]:
    def oracle(sound: Array, record: Record) -> Array:
        order = record["rolloff"] // (12 if zero_phase else 6)
        edges = record["cutoff_freq"] if "cutoff_freq" in record else (record["low_freq"], record["high_freq"])
        sos = signal.butter(order, edges, kind, fs=RATE, output="sos")
        if not zero_phase:
            return np.asarray(signal.sosfilt(sos, sound))
        quiet = np.zeros((len(sound), 4 * RATE))  # silence on both sides, in which nothing is left at the ends
        both = signal.sosfiltfilt(sos, np.concatenate([quiet, sound, quiet], 1), padtype=None)
        return np.asarray(both[:, 4 * RATE : -4 * RATE])

    return oracle


def cookbook(kind: str, frequency: float, gain_db: float, q: float) -> Array:
    """Coefficients b0, b1, b2, a0, a1, a2, as Bristow-Johnson prints them."""
    w, a = 2 * np.pi * frequency / RATE, 10 ** (gain_db / 40)
    c, alpha = np.cos(w), np.sin(w) / (2 * q)
    if kind == "peak":
        rows = (1 + alpha * a, -2 * c, 1 - alpha * a, 1 + alpha / a, -2 * c, 1 - alpha / a)
        return np.asarray(np.array(rows) / rows[3])
    s, beta = (1 if kind == "low" else -1), 2 * np.sqrt(a) * alpha
    rows = (
        a * ((a + 1) - s * (a - 1) * c + beta),
        s * 2 * a * ((a - 1) - s * (a + 1) * c),
        a * ((a + 1) - s * (a - 1) * c - beta),
        (a + 1) + s * (a - 1) * c + beta,
        -s * 2 * ((a - 1) + s * (a + 1) * c),
        (a + 1) + s * (a - 1) * c - beta,
    )
    return np.asarray(np.array(rows) / rows[3])


def bell(kind: str) -> Callable[[Array, Record], Array]:
    def oracle(sound: Array, record: Record) -> Array:
        sos = cookbook(kind, record["center_freq"], record["gain_db"], record["q"])
        return np.asarray(signal.sosfilt(sos[None], sound))

    return oracle


def seven(sound: Array, record: Record) -> Array:
    kinds = ["low", *["peak"] * 5, "high"]
    numbers = zip(kinds, record["center_freq"], record["gain_db"], record["q"], strict=True)
    return np.asarray(signal.sosfilt(np.array([cookbook(*each) for each in numbers if each[1] < RATE / 2]), sound))


def lufs(sound: Array, rate: int) -> float:
    """ITU-R BS.1770-4 in loops, by the coefficients that the standard prints: at 48 kHz alone."""
    assert rate == 48000
    head = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585]
    low = [1, -2, 1, 1, -1.99004745483398, 0.99007225036621]
    heard = signal.sosfilt([head, low], sound)
    weights = [1, 1, 1, 1.41, 1.41]
    powers: list[float] = []
    for begin in range(0, sound.shape[1] - 19200 + 1, 4800):
        block = heard[:, begin : begin + 19200]
        powers.append(sum(w * float(np.mean(channel**2)) for w, channel in zip(weights, block, strict=False)))

    def level(power: float) -> float:
        return -0.691 + 10 * math.log10(power) if power else -math.inf

    above = [power for power in powers if level(power) > -70]
    gate = level(float(np.mean(above))) - 10 if above else 0
    return level(float(np.mean([power for power in above if level(power) > gate]))) if above else -math.inf


def loudness(device: torch.device) -> float:
    """LU between ours and the loops: a sound that is loud, quiet, then silent, in 1, 2 and 5 channels."""
    time = torch.arange(48000 * 3 // 2) / 48000
    level = torch.tensor([1.0, 0.05, 0.0]).repeat_interleave(24000)
    errors: list[float] = []
    for channels in (1, 2, 5):
        sound = torch.sin(2 * torch.pi * 300 * time * (1 + time)) * level * torch.linspace(0.8, 0.2, channels)[:, None]
        sound = torch.cat([sound[:, :24000], sound], 1)
        (ours,) = A.loudness(sound[None].to(device), None, 48000).tolist()
        errors.append(abs(ours - lufs(sound.double().numpy(), 48000)))
    return max(errors)


def normalized(device: torch.device) -> float:
    sound = hiss(48000) * torch.logspace(-2, 0, COUNT)[:, None, None]
    out, records = drawn(A.LoudnessNormalization(p=1.0, sample_rate=48000), sound, device)
    return float(max(abs(lufs(out[i], 48000) - records[i]["lufs"]) for i in range(COUNT)))


TABLE = {
    (10, 70): (0.1, 0.4, 1.0, 1.9, 3.7, 9.7, 32.8, 117),
    (20, 70): (0.1, 0.3, 1.1, 2.8, 5.0, 9.0, 22.9, 76.6),
    (30, 70): (0.1, 0.3, 1.0, 3.1, 7.4, 12.7, 23.1, 59.3),
    (15, 20): (0.3, 0.6, 1.2, 2.7, 8.2, 28.2, 88.8, 202),
    (15, 50): (0.1, 0.5, 1.2, 2.2, 4.2, 10.8, 36.2, 129),
    (15, 80): (0.1, 0.3, 1.1, 2.4, 4.1, 8.3, 23.7, 82.8),
}
"""dB per kilometre in octaves from 63 Hz, by temperature and humidity: ISO 9613-2:1996, table 2."""


def air(device: torch.device) -> float:
    """dB between tones after 200 m and the standard's table, whose numbers are rounded."""
    octaves = 1000 * 10 ** (0.3 * np.arange(-4, 4))  # the bands' exact middles, for which the table is
    time = torch.arange(RATE * 2, dtype=torch.float64) / (2 * RATE)
    tones = torch.sin(2 * torch.pi * torch.from_numpy(octaves)[:, None] * time)[:, None]
    worst = 0.0
    for (temperature, humidity), row in TABLE.items():
        ends = (temperature, temperature, humidity, humidity, 200, 200)
        out = A.AirAbsorption(*ends, p=1.0, sample_rate=2 * RATE)(tones.to(device)).cpu()
        inside = slice(RATE // 2, -RATE // 2)
        lost = 20 * (tones[..., inside].std(-1) / out[..., inside].std(-1)).log10().flatten().numpy()
        worst = max(worst, float(np.abs(lost - np.array(row) / 5).max()))
    return worst


def room(device: torch.device) -> float:
    """Against loops over mirror images and convolution by sums, relative to the largest value."""
    sound = hiss(3000)[:6, :1]
    transform = A.RoomSimulator(max_order=3, late_reverberation=False, p=1.0, sample_rate=RATE)
    out, records = drawn(transform, sound, device)
    worst = 0.0
    for i, record in enumerate(records):
        response = shoebox(record, 3)
        wet = signal.fftconvolve(sound[i, 0].double().numpy(), response)[40 : 40 + 3000]
        worst = max(worst, float(np.abs(out[i, 0] - wet).max() / np.abs(wet).max()))
    return worst


def shoebox(record: Record, order: int) -> Array:
    """The response of a room, image by image; the direct sound is at sample 40."""
    size, source, microphone = (np.array(record[name]) for name in ("size", "source", "microphone"))
    direct = float(np.linalg.norm(source - microphone))
    response, at = np.zeros(4000), np.arange(4000) - 40
    for way in itertools.product(range(-order, order + 1), repeat=3):
        walls = sum(map(abs, way))
        if walls > order:
            continue
        place = [n * side + (s if n % 2 == 0 else side - s) for n, side, s in zip(way, size, source, strict=True)]
        distance = float(np.linalg.norm(np.array(place) - microphone))
        gap = at - (distance - direct) / 343 * RATE
        kernel = np.where(np.abs(gap) < 20, np.sinc(gap) * (0.5 + 0.5 * np.cos(np.pi * gap / 20)), 0)
        response += (1 - record["absorption"]) ** (walls / 2) * direct / distance * kernel
    return np.asarray(response / np.sqrt((response**2).sum()))


def later(device: torch.device) -> float:
    """The energy of reflections after the third, in decibels, from 40 ms to 60 and to 80, against the sum over the images of
    the fourth to the sixteenth, which are all there are until then; the mean over 200 rooms."""
    random, samples = np.random.default_rng(0), RATE * 8 // 100
    room = random.uniform(3.5, 5, (200, 3))
    source, microphone = (room * random.random((200, 3)) for _ in range(2))
    direct = np.linalg.norm(source - microphone, axis=1)
    seconds = (torch.arange(samples, dtype=torch.float64) + 0.5) / RATE
    sizes, first, absorption = (torch.from_numpy(each).to(device) for each in (room, direct, np.full(200, 0.2)))
    power = late_power(sizes, first, absorption, 3, RATE, seconds.to(device)).cpu().numpy().mean(0)
    expected = np.zeros(samples)
    ways = np.stack(np.meshgrid(*[np.arange(-16, 17)] * 3, indexing="ij"), -1).reshape(-1, 3)
    walls = np.abs(ways).sum(1)
    ways, walls = ways[(walls > 3) & (walls <= 16)], walls[(walls > 3) & (walls <= 16)]
    for size, s, m, d in zip(room, source, microphone, direct, strict=True):
        distance = np.linalg.norm(ways * size + np.where(ways % 2 == 0, s, size - s) - m, axis=1)
        at = ((distance - d) / 343 * RATE).astype(int)
        np.add.at(expected, at[at < samples], (0.8**walls * (d / distance) ** 2 / 200)[at < samples])
    windows = [10 * np.log10(energy[samples // 2 :].reshape(2, -1).sum(1)) for energy in (power, expected)]
    return float(np.abs(windows[0] - windows[1]).max())


def decay(device: torch.device) -> float:
    """The relative error of the reverberation time, by Schroeder's backward integral, from -5 dB to -35 dB."""
    transform = A.ParametricReverb(0.3, 0.6, -20, -20, 1.0, 1.0, p=1.0, sample_rate=RATE)
    click = torch.zeros(24, 1, RATE)
    click[..., 0] = 1
    out, records = drawn(transform, click, device)
    errors = [reverberation_time(out[i, 0, 1:]) / records[i]["rt60"] - 1 for i in range(len(click))]
    return float(np.abs(errors).max())


def reverberation_time(response: Array, rate: int = RATE) -> float:
    """Seconds for 60 dB, by a line through the decay curve from -5 to -35 dB."""
    curve = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / (response**2).sum() + 1e-30)
    places = np.flatnonzero((curve < -5) & (curve > -35))
    slope = np.polyfit(places / rate, curve[places], 1)[0]
    return float(-60 / slope)


def direct_ratio(device: torch.device) -> float:
    """dB between the drawn ratio of direct to reverberant energy and that of the response to a click."""
    click = torch.zeros(12, 1, RATE)
    click[..., 0] = 1
    out, records = drawn(A.ParametricReverb(p=1.0, sample_rate=RATE), click, device)
    found = 10 * np.log10(out[:, 0, 0] ** 2 / (out[:, 0, 1:] ** 2).sum(1))
    return float(np.abs(found - [record["drr_db"] for record in records]).max())


def case(name: str, oracle: str, tolerance: float, error: Callable[[torch.device], float]) -> Case:
    return Case(f"audio.{name}", oracle, torch.float32, tolerance, error)


SOSFILT, ZERO = "scipy sosfilt of butter", "scipy sosfiltfilt of butter, between silences"
COOKBOOK = "scipy sosfilt of the cookbook's coefficients"
CASES: list[Case] = [
    case(
        "LowPassFilter",
        SOSFILT,
        1e-6,
        filtering(A.LowPassFilter(20, 9000, 6, 48, p=1.0, sample_rate=RATE), butter("low")),
    ),
    case(
        "HighPassFilter",
        SOSFILT,
        1e-6,
        filtering(A.HighPassFilter(20, 7000, 6, 48, p=1.0, sample_rate=RATE), butter("high")),
    ),
    case(
        "BandPassFilter",
        SOSFILT,
        1e-6,
        filtering(A.BandPassFilter(min_rolloff=6, p=1.0, sample_rate=RATE), butter("bandpass")),
    ),
    case(
        "BandStopFilter",
        SOSFILT,
        1e-6,
        filtering(A.BandStopFilter(max_rolloff=30, p=1.0, sample_rate=RATE), butter("bandstop")),
    ),
    case(
        "LowPassFilter(zero_phase)",
        ZERO,
        1e-6,
        filtering(A.LowPassFilter(zero_phase=True, p=1.0, sample_rate=RATE), butter("low", True)),
    ),
    case(
        "HighPassFilter(zero_phase)",
        ZERO,
        1e-6,
        filtering(A.HighPassFilter(zero_phase=True, p=1.0, sample_rate=RATE), butter("high", True)),
    ),
    case(
        "BandPassFilter(zero_phase)",
        ZERO,
        1e-6,
        filtering(A.BandPassFilter(zero_phase=True, p=1.0, sample_rate=RATE), butter("bandpass", True)),
    ),
    case(
        "BandStopFilter(zero_phase)",
        ZERO,
        1e-6,
        filtering(A.BandStopFilter(zero_phase=True, p=1.0, sample_rate=RATE), butter("bandstop", True)),
    ),
    case("LowShelfFilter", COOKBOOK, 1e-6, filtering(A.LowShelfFilter(p=1.0, sample_rate=RATE), bell("low"))),
    case("HighShelfFilter", COOKBOOK, 1e-6, filtering(A.HighShelfFilter(p=1.0, sample_rate=RATE), bell("high"))),
    case("PeakingFilter", COOKBOOK, 1e-6, filtering(A.PeakingFilter(p=1.0, sample_rate=RATE), bell("peak"))),
    case("SevenBandParametricEQ", COOKBOOK, 2e-6, filtering(A.SevenBandParametricEQ(p=1.0, sample_rate=RATE), seven)),
    case("loudness", "BS.1770-4 in loops, in LU", 1e-3, loudness),
    case("LoudnessNormalization", "BS.1770-4 in loops, in LU", 1e-3, normalized),
    case("AirAbsorption", "ISO 9613-2's table, dB after 200 m; it is rounded to 0.1 and 1 dB per km", 0.1, air),
    case("ParametricReverb", "Schroeder's reverberation time of 24 rooms, relative", 0.05, decay),
    case("ParametricReverb(drr_db)", "energies of the response to a click, in dB", 1e-3, direct_ratio),
    case("RoomSimulator", "numpy loops over mirror images, relative", 1e-5, room),
    case("RoomSimulator (late)", "numpy sums over mirror images of high orders, energy in decibels", 0.3, later),
]
