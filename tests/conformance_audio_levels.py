"""Levels, cuts and shifts of sounds against numpy, given what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from conformance import Case
from zoo_audio import LENGTHS, voices

from torchaug import Batch, Transform
from torchaug import audio as A
from torchaug.keys import sample_keys

RATE = 8000
Array = Any
Oracle = Callable[[Array, dict[str, Any]], Array]


def against(transform: Transform, oracle: Oracle, reference: str, tolerance: float = 1e-6) -> Case:
    """A transform of sounds of several lengths against a function of one of them (C, T) and of what was drawn."""

    def error(device: torch.device) -> float:
        count = 2 * len(LENGTHS)
        sound, lengths = voices(count), torch.tensor(LENGTHS * 2)
        keys = sample_keys(torch.arange(count, device=device), seed=5)
        batch = Batch(waveform=sound.to(device), lengths=lengths.to(device), key=keys)
        out, params = transform(batch), transform.draw(batch)
        worst = 0.0
        for i in range(count):
            (record,) = transform.describe(params, i)
            one = sound[i, :, : lengths[i]].double().numpy()
            expected = oracle(one, record) if record["applied"] else one
            assert out.waveform is not None
            assert out.lengths is not None
            ours = out.waveform[i].double().cpu().numpy()
            if out.lengths[i] != expected.shape[1] or not np.isfinite(ours).all():
                return float("inf")
            worst = max(worst, float(np.nanmax(np.abs(ours[:, : expected.shape[1]] - expected))))
        return worst

    return Case(f"audio.{transform!r}", reference, torch.float32, tolerance, error)


def factor(decibels: Any) -> Any:
    return 10 ** (np.asarray(decibels) / 20)


def transition(x: Array, r: dict[str, Any]) -> Array:
    ends = [r["start_gain_db"], r["end_gain_db"]]
    return x * factor(np.interp(np.arange(x.shape[1]), [r["start"], r["start"] + r["duration"] - 1], ends))


def roll(x: Array, r: dict[str, Any]) -> Array:
    return np.roll(x, r["shift"], 1)


def faded_roll(width: int) -> Oracle:
    def oracle(x: Array, r: dict[str, Any]) -> Array:
        seam = r["shift"] % x.shape[1]
        gap = np.abs(np.arange(x.shape[1]) + 0.5 - seam)
        return roll(x, r) * (0.5 - 0.5 * np.cos(np.pi * np.minimum(gap / width, 1)) if seam else 1)

    return oracle


def lost(x: Array, r: dict[str, Any]) -> Array:
    out, shift = np.zeros_like(x), int(np.clip(r["shift"], -x.shape[1], x.shape[1]))
    if shift >= 0:
        out[:, shift:] = x[:, : x.shape[1] - shift]
    else:
        out[:, :shift] = x[:, -shift:]
    return out


def crop(size: int) -> Oracle:
    return lambda x, r: x[:, r["start"] : r["start"] + size]


def padded(mode: Any, side: str) -> Oracle:
    def oracle(x: Array, r: dict[str, Any]) -> Array:
        n = r["padding"]
        kept = x[:, n:] if side == "start" else x[:, : x.shape[1] - n]
        return np.pad(kept, ((0, 0), (n, 0) if side == "start" else (0, n)), mode)

    return oracle


def adjusted(size: int, mode: Any, side: str) -> Oracle:
    def oracle(x: Array, r: dict[str, Any]) -> Array:
        x = x[:, r["start"] : r["start"] + size]
        n = size - x.shape[1]
        return np.pad(x, ((0, 0), (n, 0) if side == "start" else (0, n)), mode)

    return oracle


def masked(x: Array, r: dict[str, Any]) -> Array:
    out = x.copy()
    out[:, r["begin"] : r["begin"] + r["width"]] = 0
    return out


def spliced(x: Array, r: dict[str, Any]) -> Array:
    """One interval after the other, from the last to the first, as the paper has it."""
    for start, cut in list(zip(r["start"], r["cut"], strict=True))[::-1]:
        share = 0.5 - 0.5 * np.cos(np.pi * (np.arange(cut) + 0.5) / max(cut, 1))
        mixed = x[:, start : start + cut] * (1 - share) + x[:, start + cut : start + 2 * cut] * share
        x = np.concatenate([x[:, :start], mixed, x[:, start + 2 * cut :]], 1)
    return x


def repeated(mode: str) -> Oracle:
    def oracle(x: Array, r: dict[str, Any]) -> Array:
        end = r["start"] + r["duration"]
        part = x[:, r["start"] : end]
        if mode == "insert":
            return np.concatenate([x[:, :end], *[part] * r["repeats"], x[:, end:]], 1)
        over = np.concatenate([x[:, :end], *[part] * r["repeats"]], 1)[:, : x.shape[1]]
        return np.concatenate([over, x[:, over.shape[1] :]], 1)

    return oracle


def clipped(x: Array, r: dict[str, Any]) -> Array:
    count = int(x.size * r["percentile_threshold"] / 200)
    ordered = np.sort(x, axis=None)
    return np.clip(x, ordered[count], ordered[x.size - 1 - count])


def bent(x: Array, r: dict[str, Any]) -> Array:
    size = np.percentile(np.abs(x), 100 - 99 * r["distortion"], method="lower")
    out = np.tanh(x * 0.5 / (size + 1e-6))
    return out * np.sqrt((x**2).mean() / (out**2).mean())


def limited(x: Array, r: dict[str, Any]) -> Array:
    """Sample by sample, in decibels."""
    level = 20 * np.log10(np.maximum(np.abs(x).max(0), 1e-12))
    threshold = r["threshold_db"] + level.max()
    for order, name in ((range(1, len(level)), "release"), (range(len(level) - 2, -1, -1), "attack")):
        for t in order:
            before = level[t - 1] if name == "release" else level[t + 1]
            level[t] = max(level[t], before - 60 / (r[name] * RATE))
    return x * factor(np.minimum(threshold - level, 0))


def crushed(x: Array, r: dict[str, Any]) -> Array:
    steps = 2.0 ** (r["bit_depth"] - 1)
    return np.clip(np.round(x * steps), -steps, steps - 1) / steps


def coded(y: Array) -> Array:
    """The nearest of 256 levels; NaN, for either, where a rounding in float32 may take the other one."""
    code = (y + 1) / 2 * 255
    border = np.abs(code % 1 - 0.5) < 1e-4
    return np.where(border, np.nan, 2 * np.round(code) / 255 - 1)


def mu_law(x: Array, r: dict[str, Any]) -> Array:
    y = coded(np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256))
    return np.sign(y) * (256 ** np.abs(y) - 1) / 255


def a_law(x: Array, r: dict[str, Any]) -> Array:
    size, scale = np.abs(x), 1 + np.log(87.6)
    y = np.sign(x) * np.where(size < 1 / 87.6, 87.6 * size, 1 + np.log(np.maximum(87.6 * size, 1))) / scale
    y = coded(y)
    size = np.abs(y)
    return np.sign(y) * np.where(size < 1 / scale, size * scale / 87.6, np.exp(size * scale - 1) / 87.6)


def held(x: Array, r: dict[str, Any]) -> Array:
    out, rate = x.copy(), r["new_sample_rate"]
    for t in range(1, x.shape[1]):
        if t * rate // RATE == (t - 1) * rate // RATE:
            out[:, t] = out[:, t - 1]
    return out


def peak(x: Array, r: dict[str, Any]) -> Array:
    return x / np.abs(x).max()


CASES: list[Case] = [
    against(A.PolarityInversion(), lambda x, r: -x, "numpy", 0),
    against(A.TimeInversion(), lambda x, r: x[:, ::-1], "numpy flip", 0),
    against(A.Gain(p=1.0), lambda x, r: x * factor(r["gain_db"]), "closed form"),
    against(A.GainTransition(max_duration=0.3, sample_rate=RATE), transition, "numpy interp in decibels"),
    against(A.PeakNormalization(), peak, "numpy, largest size 1"),
    against(A.Shift(fade_duration=0, sample_rate=RATE), roll, "numpy roll", 0),
    against(A.Shift(fade_duration=0.01, sample_rate=RATE), faded_roll(80), "numpy roll, half a cosine at the seam"),
    against(A.Shift(-0.2, 0.3, "seconds", False, 0, sample_rate=RATE), lost, "numpy slices", 0),
    against(A.RandomCrop(1200), crop(1200), "numpy slice", 0),
    against(A.Padding(p=0.8), padded("constant", "end"), "numpy pad", 0),
    against(A.Padding("wrap", pad_section="start", p=0.8), padded("wrap", "start"), "numpy pad", 0),
    against(A.Padding("reflect", p=0.8), padded("reflect", "end"), "numpy pad", 0),
    against(A.AdjustDuration(2000, padding_mode="wrap"), adjusted(2000, "wrap", "end"), "numpy slice and pad", 0),
    against(
        A.AdjustDuration(3000, padding_mode="reflect", padding_position="start"),
        adjusted(3000, "reflect", "start"),
        "numpy slice and pad",
        0,
    ),
    against(A.TimeMask(0, 0.6, 0, sample_rate=RATE), masked, "numpy slice", 0),
    against(A.SpliceOut(4, 100, p=1.0, sample_rate=RATE), spliced, "numpy, one interval after the other"),
    against(A.RepeatPart(1, 3, 0.02, 0.1, crossfade_duration=0, sample_rate=RATE), repeated("insert"), "numpy", 0),
    against(A.RepeatPart(1, 3, 0.02, 0.1, "replace", 0, sample_rate=RATE), repeated("replace"), "numpy", 0),
    against(A.Clip(-0.2, 0.3), lambda x, r: np.clip(x, -0.2, 0.3), "numpy clip"),
    against(A.ClippingDistortion(p=1.0), clipped, "numpy sort and clip"),
    against(A.TanhDistortion(p=1.0), bent, "numpy percentile and tanh", 2e-6),
    against(A.Limiter(p=1.0, sample_rate=RATE), limited, "the recursion, sample by sample", 1e-6),
    against(A.BitCrush(p=1.0), crushed, "numpy round", 0),
    against(A.MuLaw(p=1.0), mu_law, "the formula in float64", 1e-6),
    against(A.ALaw(p=1.0), a_law, "the formula in float64", 1e-6),
    against(A.Aliasing(1000, 7000, p=1.0, sample_rate=RATE), held, "a loop that holds samples", 0),
]
