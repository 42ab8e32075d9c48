"""Transforms of spectrograms against loops, scipy and F.interpolate, given what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from conformance import Case
from scipy import signal
from torch.nn import functional as F

from torchaug import Batch, Transform
from torchaug import audio as A
from torchaug.keys import sample_keys

Array = np.ndarray[Any, Any]
Record = dict[str, Any]
COUNT, BINS, FRAMES = 24, 20, 150


def spectrograms() -> Batch:
    """Of lengths from 3 to FRAMES, with two channels and 7 behind the lengths."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, FRAMES + 1, (COUNT,), generator=generator)
    sound = torch.randn(COUNT, 2, BINS, FRAMES, generator=generator)
    sound = torch.where(torch.arange(FRAMES) < lengths[:, None, None, None], sound, 7.0)
    labels = torch.randint(0, 3, (COUNT,), generator=generator)
    return Batch(spectrogram=sound, lengths=lengths, label=labels, key=sample_keys(torch.arange(COUNT), seed=4))


def covered(sound: Array, record: Record, value: float) -> Array:
    """Of one spectrogram (C, F, T), stripe by stripe."""
    out = sound.copy()
    for start, width in zip(record.get("time_start", []), record.get("time_width", []), strict=True):
        out[:, :, start : start + width] = value
    for start, width in zip(record.get("freq_start", []), record.get("freq_width", []), strict=True):
        out[:, start : start + width] = value
    return out


def warped(sound: Array, record: Record) -> Array:
    """Of one spectrogram (C, F, T) without padding: the parts before and behind the frame are resized, which both have."""
    center, target, frames = record["center"], record["center"] + record["shift"], sound.shape[-1]
    whole = torch.from_numpy(sound).double()
    before = F.interpolate(whole[..., : center + 1], size=target + 1, mode="linear", align_corners=True)
    behind = F.interpolate(whole[..., center:], size=frames - target, mode="linear", align_corners=True)
    return torch.cat([before, behind[..., 1:]], -1).numpy()


def worst(transform: Transform, oracle: Callable[[Array, Record], Array]) -> Callable[[torch.device], float]:
    """The largest difference from the oracle, which sees one spectrogram without padding; padding must stay bit-equal."""

    def error(device: torch.device) -> float:
        batch = spectrograms()
        params = transform.draw(batch)
        out = transform(batch.to(device)).spectrogram.cpu().numpy()
        gap = 0.0
        for i, (own, length) in enumerate(zip(batch.spectrogram.numpy(), batch.lengths.tolist(), strict=True)):  # type: ignore[union-attr]
            expected = oracle(own[..., :length].astype(np.float64), transform.describe(params, i)[0])
            gap = max(gap, float(abs(out[i, ..., :length] - expected).max()))
            gap = gap if (out[i, ..., length:] == 7).all() else float("inf")
        return gap

    return error


def augmented(sound: Array, record: Record) -> Array:
    moved = warped(sound, record)
    return covered(moved, record, float(moved.mean()))


def cut_mixed(device: torch.device) -> float:
    transform, batch = A.SpecCutMix(num_classes=3), spectrograms()
    u = transform.draw(batch).u[:, 1:]
    out, label = (value.cpu().numpy() for value in _of(transform(batch.to(device))))
    frames, rows = transform.rectangle(u, batch.lengths, BINS)  # type: ignore[arg-type]
    (sound, classes), partner = _of(batch), transform.partners(u)
    assert batch.lengths is not None
    gap = 0.0
    for i in range(COUNT):
        j, length = int(partner[i]), int(batch.lengths[i])
        time, band = (slice(int(s.start[i]), int(s.start[i] + s.width[i])) for s in (frames, rows))
        assert time.stop <= min(length, int(batch.lengths[j]))
        expected, count = sound[i].numpy().copy(), 0
        for t in range(FRAMES):
            for f in range(BINS):
                if time.start <= t < time.stop and band.start <= f < band.stop:
                    expected[:, f, t] = sound[j, :, f, t]
                    count += 1
        share = 1 - count / (length * BINS)
        soft = share * np.eye(3)[classes[i]] + (1 - share) * np.eye(3)[classes[j]]
        gap = max(gap, float(abs(out[i] - expected).max()), float(abs(label[i] - soft).max()))
    return gap


def _of(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    assert batch.spectrogram is not None
    assert batch.label is not None
    return batch.spectrogram, batch.label


RATE, SIZE, HOP = 16000, 512, 200


def sounds() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([8000, 5000, 199, 8000])
    sound = torch.randn(4, 1, 8000, generator=generator) * 0.3
    return torch.where(torch.arange(8000) < lengths[:, None, None], sound, float("nan")), lengths


def scipy_power(sound: Array) -> Array:
    """|STFT|^2 of one sound (T,) at every HOP, centred, silence round it."""
    window = signal.get_window("hann", SIZE)
    transform = signal.ShortTimeFFT(window, HOP, RATE)
    frames = 1 + len(sound) // HOP
    spectra: Array = transform.stft(np.pad(sound.astype(np.float64), (0, SIZE)), p0=0, p1=frames)
    return np.abs(spectra) ** 2


def slaney_filters(mels: int) -> Array:
    """Triangles of equal area, from the published scale."""
    grid = np.linspace(0, 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4), mels + 2)
    edges = np.where(grid < 15, grid * 200 / 3, 1000 * 6.4 ** ((grid - 15) / 27))
    bins = np.arange(SIZE // 2 + 1) * RATE / SIZE
    rows = [
        np.interp(bins, edges[i : i + 3], [0, 2 / (edges[i + 2] - edges[i]), 0], left=0, right=0) for i in range(mels)
    ]
    return np.stack(rows)


def spectra(transform: Transform, oracle: Callable[[Array], Array]) -> Callable[[torch.device], float]:
    """The largest difference, as a share of the largest value."""

    def error(device: torch.device) -> float:
        sound, lengths = sounds()
        out = transform(Batch(waveform=sound.to(device), lengths=lengths.to(device)))
        gap = 0.0
        for i, length in enumerate(lengths.tolist()):
            expected = oracle(sound[i, 0, :length].numpy())
            frames = int(out.lengths[i])
            assert frames == expected.shape[-1]
            assert not out.spectrogram[i, ..., frames:].any()
            gap = max(
                gap, float(abs(out.spectrogram[i, 0, :, :frames].cpu().numpy() - expected).max() / abs(expected).max())
            )
        return gap

    return error


def case(name: str, oracle: str, tolerance: float, error: Callable[[torch.device], float]) -> Case:
    return Case(f"audio.{name}", oracle, torch.float32, tolerance, error)


CASES: list[Case] = [
    case(
        "TimeMasking",
        "numpy, stripe by stripe",
        0,
        worst(A.TimeMasking(40, 2, 0.5, -3.0), lambda x, r: covered(x, r, -3)),
    ),
    case(
        "FrequencyMasking", "numpy, stripe by stripe", 0, worst(A.FrequencyMasking(9, 2), lambda x, r: covered(x, r, 0))
    ),
    case("TimeWarp", "F.interpolate of both parts, float64", 2e-6, worst(A.TimeWarp(40), warped)),
    case(
        "SpecAugment",
        "F.interpolate, then numpy with the sample's own mean",
        2e-6,
        worst(A.SpecAugment(30, 2, 40, 2, 9, 0.7, "mean"), augmented),
    ),
    case("SpecCutMix", "numpy, place by place; label by the count of places", 1e-6, cut_mixed),
    case("Spectrogram", "scipy.signal.ShortTimeFFT, float64", 2e-6, spectra(A.Spectrogram(SIZE, HOP), scipy_power)),
    case(
        "MelSpectrogram",
        "ShortTimeFFT and numpy's triangles, float64",
        2e-6,
        spectra(A.MelSpectrogram(RATE, SIZE, HOP, 40), lambda x: slaney_filters(40) @ scipy_power(x)),
    ),
    case(
        "MelSpectrogram log",
        "ShortTimeFFT and numpy's triangles, float64",
        1e-5,
        spectra(
            A.MelSpectrogram(RATE, SIZE, HOP, 40, log_floor=1e-7),
            lambda x: np.log(np.maximum(slaney_filters(40) @ scipy_power(x), 1e-7)),
        ),
    ),
]
