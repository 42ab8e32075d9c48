"""Speed, duration and pitch against numpy's sums and synthetic truth, given what was drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from conformance import Case
from test_audio_time import BASES, by_definition, cents, convergence, fundamental, plain, voice

from torchaug import Batch, Transform
from torchaug import audio as A
from torchaug.keys import sample_keys

RATE = 16000
Records = list[dict[str, Any]]


def drawn(transform: Transform, sounds: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, list[int], Records]:
    """What comes out of sounds (B, T), (B, S), its lengths, and the records of `describe`."""
    key = sample_keys(torch.arange(len(sounds), device=device), seed=5)
    batch = Batch(waveform=sounds[:, None].to(device), key=key)
    out, params = transform(batch), transform.draw(batch)
    records = [transform.describe(params, i)[0] for i in range(len(sounds))]
    lengths = [sounds.shape[1]] * len(sounds) if out.lengths is None else out.lengths.tolist()
    return out.waveform[:, 0].cpu(), lengths, records


def noise(samples: int = 1500) -> torch.Tensor:
    return torch.randn(4, samples, generator=torch.Generator().manual_seed(0))


def speed(device: torch.device) -> float:
    sounds = noise()
    out, lengths, records = drawn(A.SpeedPerturbation((0.9, 1.1, 1.25), p=1.0), sounds, device)
    ratios = {0.9: (9, 10), 1.1: (11, 10), 1.25: (5, 4)}
    gaps = []
    for i, record in enumerate(records):
        down, up = ratios[round(record["factor"], 2)]
        assert lengths[i] == math.ceil(1500 * up / down)
        gaps.append(gap(out[i], by_definition(sounds[i].double().numpy(), down, up, lengths[i], 16)))
    return max(gaps)


def resample(device: torch.device) -> float:
    sounds = noise()
    out, lengths, records = drawn(A.Resample(11025, 22050, sample_rate=RATE, p=1.0), sounds, device)
    rates = [int(record["target_sample_rate"]) for record in records]
    assert lengths == [math.ceil(1500 * rate / RATE) for rate in rates]
    return max(
        gap(out[i], by_definition(sounds[i].double().numpy(), RATE, rate, lengths[i], 16))
        for i, rate in enumerate(rates)
    )


def stretch(device: torch.device) -> float:
    sounds = noise(4000)
    transform = A.TimeStretch(1.5, 1.5, False, 256, phase_locking=False, sample_rate=RATE, p=1.0)
    out, lengths, _ = drawn(transform, sounds, device)
    return max(gap(out[i], plain(sounds[i].double().numpy(), 15, 256, lengths[i])) for i in range(4)) / float(
        sounds.abs().max()
    )


def shift_of(error: Callable[[torch.Tensor, float, float], float], vibrato: float) -> Callable[[torch.device], float]:
    """The largest error of voices' shifts: a function of what came out, the pitch and the semitones."""

    def measure(device: torch.device) -> float:
        sounds = torch.stack([voice(pitch, vibrato=vibrato) for pitch in BASES])
        out, _, records = drawn(A.PitchShift(sample_rate=RATE, p=1.0), sounds, device)
        return max(error(o, pitch, r["num_semitones"]) for o, pitch, r in zip(out, BASES, records, strict=True))

    return measure


def off(out: torch.Tensor, pitch: float, semitones: float) -> float:
    wanted = pitch * 2 ** (semitones / 12)
    return cents(fundamental(out, wanted), wanted)


def far(out: torch.Tensor, pitch: float, semitones: float) -> float:
    return convergence(out, voice(pitch, semitones))


def gap(out: torch.Tensor, expected: np.ndarray[Any, Any]) -> float:
    return float(np.abs(out[: len(expected)].numpy() - expected).max())


def case(name: str, oracle: str, tolerance: float, error: Callable[[torch.device], float]) -> Case:
    return Case(f"audio.{name}", oracle, torch.float32, tolerance, error)


CASES: list[Case] = [
    case("SpeedPerturbation", "numpy sum of a sinc under a Hann window, and lengths", 1e-5, speed),
    case("Resample", "numpy sum of a sinc under a Hann window, and lengths", 1e-5, resample),
    case("TimeStretch(phase_locking=False)", "numpy loop of the plain phase vocoder, of the peak", 2e-4, stretch),
    case("PitchShift", "fundamental of voices, in cents", 3.0, shift_of(off, 0.0)),
    case("PitchShift", "the voice made at the other pitch, spectral convergence", 0.03, shift_of(far, 0.03)),
]
