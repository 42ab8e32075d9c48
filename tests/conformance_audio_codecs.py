"""Codecs against their definitions, loops and scipy, given what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from conformance import Case, difference
from scipy import optimize, signal

from torchaug import Batch
from torchaug import audio as A
from torchaug.audio.codec import frequencies, noise_steps
from torchaug.audio.mdct import inverse_mdct, mdct
from torchaug.keys import dense_uniforms, sample_keys

Array = np.ndarray[Any, Any]
COUNT, SAMPLES = 6, 6000


def sounds(device: torch.device | str = "cpu") -> Batch:
    """Coloured noise with a swell, loud and soft, of different lengths; behind them are 7s."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([6000, 5999, 4097, 1000, 3, 6000], device=device)
    white = torch.randn(COUNT, 2, SAMPLES, generator=generator).numpy()
    swell = np.sin(np.linspace(0, 9, SAMPLES)) ** 2 * np.logspace(-2, 0, COUNT)[:, None, None]
    sound = torch.from_numpy(signal.lfilter([0.3], [1, -0.8], white) * swell).float().to(device)
    sound = torch.where(torch.arange(SAMPLES, device=device) < lengths[:, None, None], sound, 7.0)
    return Batch(waveform=sound, lengths=lengths, key=sample_keys(torch.arange(COUNT, device=device), seed=2))


def silent_behind(batch: Batch) -> torch.Tensor:
    """The sounds with zeros for padding, on the host."""
    sound, lengths = batch.waveform, batch.lengths
    assert sound is not None
    assert lengths is not None
    return torch.where(torch.arange(SAMPLES, device=lengths.device) < lengths[:, None, None], sound, 0).cpu()


@lru_cache
def mdct_matrix(size: int) -> Array:
    """The definition, with its window: (size / 2, size)."""
    half, at = size // 2, np.arange(size)
    angle = np.pi / half * np.outer(np.arange(half) + 0.5, at + 0.5 + half / 2)
    return np.asarray(np.sqrt(2 / half) * np.cos(angle) * np.sin(np.pi * (at + 0.5) / size))


def defined_mdct(sound: Array, size: int) -> Array:
    """Of (..., T) float64: (..., frames, size / 2), window by window."""
    half = size // 2
    frames = 1 + -(-sound.shape[-1] // half)
    padded = np.zeros((*sound.shape[:-1], (frames + 1) * half))
    padded[..., half : half + sound.shape[-1]] = sound
    windows = [padded[..., i * half : i * half + size] for i in range(frames)]
    return np.stack([window @ mdct_matrix(size).T for window in windows], -2)


def transform(size: int) -> Callable[[torch.device], float]:
    """Of the transform from its definition, and of the way back from the sound."""

    def error(device: torch.device) -> float:
        sound = silent_behind(sounds())
        ours = mdct(sound.to(device), size)
        gap = abs(ours.cpu().numpy() - defined_mdct(sound.double().numpy(), size)).max()
        return float(max(gap, (inverse_mdct(ours, SAMPLES).cpu() - sound).abs().max()))

    return error


RATE, WINDOW = 16000, 256


def affordable_steps(coefficients: Array, bits: float) -> Array:
    """The steps of one frame (C, n): band by band, and the factor by Brent's method."""
    n = coefficients.shape[-1]
    hertz = (np.arange(n) + 0.5) * RATE / (2 * n)
    band = (13 * np.arctan(0.00076 * hertz) + 3.5 * np.arctan((hertz / 7500) ** 2)).astype(int)
    khz = np.clip(hertz, 20, 16000) / 1000
    quiet = 10 ** ((3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4 - 96) / 10) / 2
    used = np.unique(band)
    mask, power = np.zeros((len(coefficients), n)), np.zeros((len(coefficients), n))
    for c, sound in enumerate(coefficients):
        energy = {k: (sound[band == k] ** 2).sum() for k in used}
        for k in used:
            hidden = sum(e * 10 ** (-(15 + (10 * (k - j) if k > j else 25 * (j - k))) / 10) for j, e in energy.items())
            count = (band == k).sum()
            mask[c, band == k] = (hidden / count + max(quiet[band == k].mean(), 1e-10)) ** 0.7
            power[c, band == k] = energy[k] / count

    def excess(log: float) -> float:
        return float(0.5 * np.log2(1 + np.pi * np.e / 6 * power / mask / 2**log).sum() - bits)

    lowest = excess(-40) <= 0
    return np.asarray(np.sqrt(12 * mask * 2 ** (-40 if lowest else optimize.brentq(excess, -40, 40))))


def steps(device: torch.device) -> float:
    """Of the steps, as a share of each."""
    coefficients = mdct(silent_behind(sounds()).double(), WINDOW)[:, :, ::7]
    bits = torch.linspace(10, 500, COUNT, dtype=torch.float64)
    hertz = frequencies(WINDOW, RATE, coefficients)
    ours = noise_steps(coefficients.float().to(device), hertz.float().to(device), bits.float().to(device)).cpu()
    gap = 0.0
    for i in range(COUNT):
        for frame in range(coefficients.shape[2]):
            expected = affordable_steps(coefficients[i, :, frame].numpy(), float(bits[i]))
            gap = max(gap, float(abs(ours[i, :, frame].numpy() / expected - 1).max()))
    return gap


def lossy(device: torch.device) -> float:
    """Of what comes out, given the steps, as a share of the codec's own noise: a coefficient may fall to the other side."""
    codec, batch = A.LossyCodec(8, 64, sample_rate=RATE, p=1.0), sounds(device)
    params, out = codec.draw(batch), codec(batch).waveform
    sound, gap = silent_behind(batch).double().numpy(), 0.0
    for i, length in enumerate([6000, 5999, 4097, 1000, 3, 6000]):
        bitrate = codec.describe(params, i)[0]["bitrate"]
        coefficients = defined_mdct(sound[i], 2048)
        hertz = (np.arange(1024) + 0.5) * RATE / 2048
        coefficients *= hertz < 20500 * (1 - np.exp(-bitrate / 85))
        like = torch.from_numpy(coefficients)[None]
        bits = torch.tensor([bitrate * 1000 * 1024 / RATE], dtype=torch.float64)
        step = noise_steps(like, frequencies(2048, RATE, like), bits)[0].numpy()
        rounded = np.round(coefficients / step) * step
        windows, expected = rounded @ mdct_matrix(2048), np.zeros((2, (rounded.shape[1] + 1) * 1024))
        for frame in range(rounded.shape[1]):
            expected[:, frame * 1024 : frame * 1024 + 2048] += windows[:, frame]
        wanted = expected[:, 1024 : 1024 + length]
        error = np.linalg.norm(out[i, :, :length].cpu().numpy() - wanted)
        error /= np.linalg.norm(wanted - sound[i, :, :length])
        gap = max(gap, float(error))
    return gap


def telephone(device: torch.device) -> float:
    """Of 8 kHz sounds; a thousandth may fall to the next level."""
    batch = sounds(device)
    out, sound = A.TelephoneCodec(sample_rate=8000, p=1.0)(batch).waveform, silent_behind(batch).double().numpy()
    taps = signal.firwin(255, [300, 3400], window=("kaiser", 5.65), pass_zero=False, scale=False, fs=8000)
    gap = 0.0
    for i, length in enumerate([6000, 5999, 4097, 1000, 3, 6000]):
        line = np.stack([np.convolve(channel[:length], taps)[127 : 127 + length] for channel in sound[i]])
        level = np.round(127 * np.sign(line) * np.log1p(255 * abs(line.clip(-1, 1))) / np.log(256)) / 127
        expected = torch.from_numpy(np.sign(level) * (256 ** abs(level) - 1) / 255).float()
        gap = max(gap, difference(out[i, :, :length].cpu(), expected, share=0.001))
    return gap


def packets(concealment: Any) -> Callable[[torch.device], float]:
    """Packet by packet, from the same numbers."""

    def error(device: torch.device) -> float:
        layer = A.PacketLoss(0.1, 0.5, 2.5, 0.01, concealment, sample_rate=8000, p=1.0)
        batch = sounds(device)
        params, out = layer.draw(batch), layer(batch).waveform.cpu()
        coins = dense_uniforms(params.u[:, 2:], (75,)).tolist()
        gap = 0.0
        for i, own in enumerate(silent_behind(batch)):
            loss = layer.describe(params, i)[0]["loss"]
            assert batch.lengths is not None
            expected, lost, last, length = own.clone(), False, None, int(batch.lengths[i])
            for k, coin in enumerate(coins[i]):
                chance = loss if k == 0 else 1 - 1 / 2.5 if lost else loss / (1 - loss) / 2.5
                lost, place = coin < chance, slice(k * 80, k * 80 + 80)
                if not lost:
                    last = own[:, place]
                else:
                    expected[:, place] = last if concealment == "repeat" and last is not None else 0
            gap = max(gap, float((out[i, :, :length] - expected[:, :length]).abs().max()))
            gap = gap if bool((out[i, :, length:] == 7).all()) else float("inf")
        return gap

    return error


def case(name: str, oracle: str, tolerance: float, error: Callable[[torch.device], float]) -> Case:
    return Case(f"audio.{name}", oracle, torch.float32, tolerance, error)


CASES: list[Case] = [
    case("mdct 2048", "the definition as a matrix, float64, and the sound from the way back", 1e-5, transform(2048)),
    case("mdct 256", "the definition as a matrix, float64, and the sound from the way back", 1e-5, transform(256)),
    case("noise_steps", "numpy band by band, the factor by Brent's method; share of a step", 5e-3, steps),
    case("LossyCodec", "the definition as a matrix, rounded, overlap-added, float64; share of its noise", 0.1, lossy),
    case("TelephoneCodec", "scipy.signal.firwin, numpy convolve and mu-law; 0.1 % may be a level off", 1e-5, telephone),
    case("PacketLoss zero", "a loop over packets, same numbers", 0, packets("zero")),
    case("PacketLoss repeat", "a loop over packets, same numbers", 0, packets("repeat")),
]
