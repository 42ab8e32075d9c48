"""How fast are transforms of sounds, and how much memory do they take? Run by `scripts/bench audio`.

Speed: 16 clips of 4 s at 16 kHz, mono but for those that need two channels, each with its own parameters, p = 1, on one thread:
from batch to batch: we and torch-audiomentations on all clips at once, audiomentations clip by clip and then collated, as a
data loader does, and once more without that ("in a list"); in turns. The ratio is a peer's time over ours, the median of turns
with its quartiles; ours is measured as it comes and compiled, but for the few that take minutes to compile.
Memory and quality of shifts of pitch and duration: `benchmarks/audio_pitch.py`.

Peers that do not work with this torch, or lack a package of their own, are told and left out.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from audio_pitch import cost, quality
from rows import Row, interleaved, keep_memory, row, write
from torch import Tensor

from torchaug import Compose
from torchaug import audio as A
from torchaug.keys import sample_keys

RATE, SECONDS, CLIPS = 16_000, 4, 16
SAMPLES = RATE * SECONDS
LONG_TO_COMPILE = ("AddShortNoises", "Resample", "TimeStretch", "PitchShift", "RepeatPart")
OURS = ("ours", "ours, compiled")
PACKAGES = ("torch", "torchaudio", "numpy", "audiomentations", "torch-audiomentations", "librosa", "python-stretch")


class Shared(NamedTuple):
    """A transform and what peers have of it: the name of their class, and how it is made."""

    ours: Callable[[], Any]
    audiomentations: tuple[str, dict[str, Any]] | None = None
    torch_audiomentations: tuple[str, dict[str, Any]] | None = None
    channels: int = 1


def voices(count: int, channels: int = 1) -> Tensor:
    """Tones with overtones and noise, (count, channels, samples)."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(SAMPLES) / RATE
    pitch = 110 + 200 * torch.rand(count, 1, 1, generator=generator)
    tones = torch.stack([torch.sin(2 * torch.pi * pitch * k * time) / k for k in range(1, 8)]).sum(0)
    return (tones + 0.1 * torch.randn(count, channels, SAMPLES, generator=generator)) / 4


def shared(folder: Path) -> dict[str, Shared]:
    """What is compared; sounds for noise and rooms are read from `folder`."""
    noises, rooms = str(folder / "noises"), str(folder / "rooms")
    rate = {"sample_rate": RATE}
    snr, ta_snr = {"min_snr_db": 5.0, "max_snr_db": 40.0}, {"min_snr_in_db": 5.0, "max_snr_in_db": 40.0}
    return {
        "AddGaussianNoise": Shared(A.AddGaussianNoise, ("AddGaussianNoise", {})),
        "AddGaussianSNR": Shared(A.AddGaussianSNR, ("AddGaussianSNR", {})),
        "AddColorNoise": Shared(A.AddColorNoise, ("AddColorNoise", {}), ("AddColoredNoise", ta_snr)),
        "AddBackgroundNoise": Shared(
            lambda: A.AddBackgroundNoise(noises, **snr, **rate),
            ("AddBackgroundNoise", {"sounds_path": noises, **snr}),
            ("AddBackgroundNoise", {"background_paths": noises, **ta_snr}),
        ),
        "AddShortNoises": Shared(lambda: A.AddShortNoises(noises, **rate), ("AddShortNoises", {"sounds_path": noises})),
        "ApplyImpulseResponse": Shared(
            lambda: A.ApplyImpulseResponse(rooms, **rate),
            ("ApplyImpulseResponse", {"ir_path": rooms}),
            ("ApplyImpulseResponse", {"ir_paths": rooms}),
        ),
        "RoomSimulator": Shared(lambda: A.RoomSimulator(**rate), ("RoomSimulator", {"leave_length_unchanged": True})),
        "Gain": Shared(A.Gain, ("Gain", {}), ("Gain", {})),
        "GainTransition": Shared(lambda: A.GainTransition(**rate), ("GainTransition", {})),
        "PeakNormalization": Shared(A.PeakNormalization, ("Normalize", {}), ("PeakNormalization", {})),
        "LoudnessNormalization": Shared(lambda: A.LoudnessNormalization(**rate), ("LoudnessNormalization", {})),
        "PolarityInversion": Shared(A.PolarityInversion, ("PolarityInversion", {}), ("PolarityInversion", {})),
        "TimeInversion": Shared(A.TimeInversion, ("Reverse", {}), ("TimeInversion", {})),
        "ShuffleChannels": Shared(A.ShuffleChannels, None, ("ShuffleChannels", {}), channels=2),
        "Shift": Shared(lambda: A.Shift(**rate), ("Shift", {}), ("Shift", {})),
        "Padding": Shared(A.Padding, ("Padding", {})),
        "TimeMask": Shared(lambda: A.TimeMask(**rate), ("TimeMask", {})),
        "RepeatPart": Shared(lambda: A.RepeatPart(**rate), ("RepeatPart", {})),
        "SpliceOut": Shared(lambda: A.SpliceOut(**rate), None, ("SpliceOut", {})),
        "Trim": Shared(A.Trim, ("Trim", {})),
        "Resample": Shared(lambda: A.Resample(**rate), ("Resample", {})),
        "TimeStretch": Shared(lambda: A.TimeStretch(**rate), ("TimeStretch", {})),
        "PitchShift": Shared(lambda: A.PitchShift(**rate), ("PitchShift", {}), ("PitchShift", {})),
        "LowPassFilter": Shared(lambda: A.LowPassFilter(**rate), ("LowPassFilter", {}), ("LowPassFilter", {})),
        "HighPassFilter": Shared(lambda: A.HighPassFilter(**rate), ("HighPassFilter", {}), ("HighPassFilter", {})),
        "BandPassFilter": Shared(lambda: A.BandPassFilter(**rate), ("BandPassFilter", {}), ("BandPassFilter", {})),
        "BandStopFilter": Shared(lambda: A.BandStopFilter(**rate), ("BandStopFilter", {}), ("BandStopFilter", {})),
        "LowShelfFilter": Shared(lambda: A.LowShelfFilter(**rate), ("LowShelfFilter", {})),
        "HighShelfFilter": Shared(lambda: A.HighShelfFilter(**rate), ("HighShelfFilter", {})),
        "PeakingFilter": Shared(lambda: A.PeakingFilter(**rate), ("PeakingFilter", {})),
        "SevenBandParametricEQ": Shared(lambda: A.SevenBandParametricEQ(**rate), ("SevenBandParametricEQ", {})),
        "AirAbsorption": Shared(lambda: A.AirAbsorption(**rate), ("AirAbsorption", {})),
        "Clip": Shared(A.Clip, ("Clip", {"a_min": -0.5, "a_max": 0.5})),
        "ClippingDistortion": Shared(A.ClippingDistortion, ("ClippingDistortion", {})),
        "TanhDistortion": Shared(A.TanhDistortion, ("TanhDistortion", {})),
        "BitCrush": Shared(A.BitCrush, ("BitCrush", {})),
        "Aliasing": Shared(lambda: A.Aliasing(**rate, max_sample_rate=RATE), ("Aliasing", {"max_sample_rate": RATE})),
    }


def write_sounds(folder: Path) -> None:
    """Noises and impulse responses as WAV files."""
    import soundfile

    generator = np.random.default_rng(0)
    for name, seconds, decay in (("noises", 5, 0.0), ("rooms", 0.5, 12.0)):
        (folder / name).mkdir()
        time = np.arange(int(seconds * RATE)) / RATE
        for number in range(4):
            sound = generator.normal(0, 0.1, len(time)) * np.exp(-decay * time)
            soundfile.write(folder / name / f"{number}.wav", sound.astype(np.float32), RATE)


def _functions(entry: Shared, problems: list[str]) -> dict[str, Callable[[], object]]:
    """One call on all clips for us and for each peer that has the transform and works."""
    random.seed(0)  # which peers draw from, and some fail at some of it
    np.random.seed(0)  # noqa: NPY002
    sounds = voices(CLIPS, entry.channels)
    step, keys = entry.ours(), sample_keys(torch.arange(CLIPS))
    step.p = 1.0
    functions: dict[str, Callable[[], object]] = {"ours": lambda: step(sounds, keys=keys)}
    if type(step).__name__ not in LONG_TO_COMPILE:
        compiled = Compose([step]).compile()
        functions["ours, compiled"] = lambda: compiled(sounds, keys=keys)
    for package, wanted in (
        ("audiomentations", entry.audiomentations),
        ("audiomentations, in a list", entry.audiomentations),
        ("torch_audiomentations", entry.torch_audiomentations),
    ):
        if wanted is None:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                functions[package] = _peer(package, *wanted, sounds)
                functions[package]()
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is told, and the others are measured
            functions.pop(package, None)
            problems.append(f"{package} {wanted[0]}: {type(error).__name__}: {str(error)[:80]}")
    return functions


def _peer(package: str, name: str, arguments: dict[str, Any], sounds: Tensor) -> Callable[[], object]:
    module = __import__(package.partition(",")[0])
    if package == "torch_audiomentations":
        layer = getattr(module, name)(**arguments, p=1.0, output_type="dict")
        return lambda: layer(sounds, sample_rate=RATE)
    step, clips = getattr(module, name)(**arguments, p=1.0), list(sounds.numpy())
    made = collated if package == "audiomentations" else list
    return lambda: made([step(clip[0] if len(clip) == 1 else clip, RATE) for clip in clips])


def collated(clips: list[np.ndarray[Any, Any]]) -> Tensor:
    """The batch that a data loader makes of clips, padded with zeros where their lengths differ."""
    longest = max(clip.shape[-1] for clip in clips)
    if all(clip.shape[-1] == longest for clip in clips):
        return torch.from_numpy(np.stack(clips))
    batch = np.zeros((len(clips), *clips[0].shape[:-1], longest), clips[0].dtype)
    for place, clip in zip(batch, clips, strict=True):
        place[..., : clip.shape[-1]] = clip
    return torch.from_numpy(batch)


def speed_rows(rounds: int, only: list[str] | None) -> list[Row]:
    """The ratio of each peer's time to ours, for each shared transform; and on how many of them we are the faster."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder, problems = Path(name), list[str]()
        write_sounds(folder)
        for transform, entry in shared(folder).items():
            if only and transform not in only:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seconds = interleaved(_functions(entry, problems), rounds)
            ours = {name: seconds.pop(name) for name in OURS if name in seconds}
            rows += [row(f"{transform}: {name}", [1e3 * s for s in times], "ms") for name, times in ours.items()]
            rows += [
                row(f"{transform}: {peer} / {name}", [t / o for t, o in zip(theirs, times, strict=True)], "x")
                for peer, theirs in seconds.items()
                for name, times in ours.items()
            ]
    rows += [Row(f"not measured: {problem}", None, "fails") for problem in problems]
    shares = _share(rows, "audiomentations", 2 / 3), _share(rows, "torch_audiomentations", 1.0)
    return [*rows, *shares, _share(rows, "audiomentations, in a list", None)]


def _share(rows: list[Row], peer: str, wanted: float | None) -> Row:
    """The share of the transforms shared with a peer on which we are the faster, eager or compiled."""
    best: dict[str, float] = {}
    for found in rows:
        transform, _, what = found.name.partition(": ")
        if what.startswith(f"{peer} / ") and found.value is not None:
            best[transform] = max(best.get(transform, 0.0), found.value)
    share = sum(ratio > 1 for ratio in best.values()) / len(best) if best else None
    name = f"faster than {peer}, share of {len(best)} transforms"
    if wanted is None:
        return Row(name, share, "")
    return Row(name, share, "", None, None, f">= {wanted:.3g}", (share or 0) >= wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", help="transforms, such as Gain,PitchShift; all by default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    only = arguments.only.split(",") if arguments.only else None
    rows = speed_rows(arguments.rounds, only)
    if only is None:
        rows += cost(7) + quality()
    write("audio", rows, PACKAGES, suffix="-part" if only else "")


if __name__ == "__main__":
    main()
