"""A study of sounds: the arms, what a reader sees and hears, and the data that it is made on."""

from __future__ import annotations

import base64
import io
import json
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import fftconvolve
from test_report import Page
from torch import Tensor

from torchaug.audio import PolarityInversion
from torchaug.audio.files import pcm_wav
from torchaug.data import Bank, BankWriter, TensorWaveforms, digits, imbalanced_split, load, spoken, vowels
from torchaug.data.rooms import in_noise, in_rooms
from torchaug.data.spoken import DIGITS
from torchaug.evaluate.results import Sheet, StudyResult
from torchaug.explore.report import headline, render
from torchaug.keys import uniforms
from torchaug.training.arms import batches, train_arm
from torchaug.training.audio_arms import audio_recipe, default_audio_augment
from torchaug.training.fit import fit
from torchaug.training.load import load_generator
from torchaug.training.samples import classifier, content
from torchaug.training.sound_sheets import sound_sheets
from torchaug.training.study import ARMS, ImbalancedDraw, affordable, recipe_for, run_study
from torchaug.training.synthesize import synthesize

RATE = 8000
RARE = (1, 3)
DRAW = ImbalancedDraw(vowels(8, seconds=0.2, seed=5), RARE, n_rare=2, n_common=4)
RECIPE = replace(audio_recipe(RATE), steps=3, generator_steps=2, batch_size=8, shown=2, surplus=1)
ARM = {arm.name: arm for arm in ARMS}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("study")
    path = fit(RECIPE.kind, DRAW(0)[0], out=folder, steps=2, batch_size=8, every=0, settings=RECIPE.settings)
    return synthesize(load_generator(path), {1: 8, 3: 8}, folder / "bank")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def result(kept: Path) -> StudyResult:
    return run_study(DRAW, rare=RARE, seeds=(0, 1), recipe=RECIPE, data="vowels", out=kept, workers=1)


def stream(name: str, bank: Bank | None = None, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    return list(batches(ARM[name], *DRAW(seed), bank, RECIPE, seed))


def decoded(address: str) -> tuple[np.ndarray, int]:
    """What a player plays, read by libsndfile."""
    kind, content = address.split(",", 1)
    assert kind == "data:audio/wav;base64"
    return soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="int16", always_2d=True)  # type: ignore[no-any-return]


# --- the study ---


def test_every_arm_of_sounds_is_scored_and_compared(result: StudyResult) -> None:
    assert [arm.name for arm in result.arms] == [arm.name for arm in ARMS]
    for arm in result.arms:
        for metric in ("accuracy", "macro_f1", "rare_recall"):
            assert len(arm.values[metric]) == 2
            assert 0 <= arm.interval(metric).mean <= 1
    assert (result.unit, result.main, result.steps) == ("clip", "rare_recall", 3)
    assert (result.train_counts, result.test_counts) == ((4, 2, 4, 2, 4), (4,) * 5)
    pairs = {(d.arm, d.baseline) for d in result.differences}
    assert ("real + augmentation + synthetic", "real + oversampling + augmentation") in pairs
    json.dumps(result.to_json(), allow_nan=False)


def test_a_study_of_sounds_is_a_function_of_its_seeds(result: StudyResult) -> None:
    again = run_study(DRAW, rare=RARE, seeds=(1,), recipe=RECIPE, workers=1, arms=ARMS[:1] + ARMS[4:])
    for arm in again.arms:
        assert arm.values["accuracy"] == result.arm(arm.name).values["accuracy"][1:]


def test_the_usual_recipe_follows_the_data() -> None:
    assert recipe_for(DRAW(0)[0]).kind == "audio-vae"
    assert recipe_for(digits()).kind == "vae"


def test_arms_share_the_stream_of_real_clips(bank: Bank) -> None:
    plain, weighted, augmented = (stream(f"real{more}") for more in ("", " + class weights", " + augmentation"))
    train, _ = DRAW(0)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(plain, weighted, strict=True))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(plain, augmented, strict=True))
    assert all(
        a[0].shape == (8, 1, 1600) and not torch.equal(a[0], b[0]) for a, b in zip(plain, augmented, strict=True)
    )
    real = {clip.numpy().tobytes() for clip in content(train)}
    made = {clip.numpy().tobytes() for clip in content(bank.in_memory())}
    mixed = [clip.numpy().tobytes() for clips, _ in stream("real + synthetic", bank) for clip in clips]
    assert {clip.numpy().tobytes() for clips, _ in plain for clip in clips} <= real
    assert set(mixed) <= real | made
    assert sum(clip in made for clip in mixed) == pytest.approx(len(mixed) * 4 / 20, abs=1)


def test_a_bank_whose_generator_heard_the_test_set_is_refused(tmp_path: Path) -> None:
    train, test = DRAW(0)
    leaky = fit("audio-vae", test, out=tmp_path, steps=1, batch_size=8, every=0, settings=RECIPE.settings)
    bank = synthesize(load_generator(leaky), {1: 2}, tmp_path / "bank")
    with pytest.raises(ValueError, match="was trained on 20 of the 20 held-out items"):
        train_arm(ARM["real + synthetic"], train, test, bank, RARE, RECIPE, 0)


def test_what_lies_behind_a_clip_is_not_heard() -> None:
    train, test = DRAW(0)
    dirty = train.waveforms.clone()
    dirty[torch.arange(1600) >= train.lengths[:, None, None].expand_as(dirty)] = 0.7
    other = TensorWaveforms(dirty, train.labels, train.classes, sample_rate=RATE, lengths=train.lengths)
    clean = train_arm(ARM["real"], train, test, None, RARE, RECIPE, 0)
    assert train_arm(ARM["real"], other, test, None, RARE, RECIPE, 0) == clean


def test_the_classifier_tells_pitches_apart() -> None:
    """Noisy tones of two pitches, in any phase and as loud as they like."""
    noise = np.random.default_rng(0)
    time = np.arange(1600) / RATE

    def tones(count: int) -> TensorWaveforms:
        labels = np.arange(count) % 2
        hertz, phase = np.where(labels, 700, 500)[:, None], noise.uniform(0, 7, (count, 1))
        loud = noise.uniform(0.1, 0.9, (count, 1))
        sound = loud * (np.sin(2 * np.pi * hertz * time + phase) + 0.3 * noise.normal(size=(count, 1600))) / 2.5
        return TensorWaveforms(
            torch.tensor(sound, dtype=torch.float32)[:, None], torch.tensor(labels), ["low", "high"], sample_rate=RATE
        )

    recipe = replace(RECIPE, steps=40)
    assert train_arm(ARM["real"], tones(40), tones(60), None, [1], recipe, 0).accuracy > 0.95
    assert (
        train_arm(ARM["real + oversampling + augmentation"], tones(40), tones(60), None, [1], recipe, 0).accuracy > 0.9
    )


def test_channels_are_heard_together() -> None:
    mono, _ = DRAW(0)
    two = torch.cat([2 * mono.waveforms, torch.zeros_like(mono.waveforms)], 1) / 2
    stereo = TensorWaveforms(2 * two.clamp(-1, 1), mono.labels, mono.classes, sample_rate=RATE, lengths=mono.lengths)
    torch.manual_seed(0)
    one = classifier(mono).eval()
    torch.manual_seed(0)
    other = classifier(stereo).eval()
    torch.testing.assert_close(one(content(mono)), other(content(stereo)), atol=1e-4, rtol=1e-4)


def test_the_time_for_waveforms_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = (ARM["real"], ARM["real + synthetic"])
    assert affordable(RECIPE, arms, DRAW(0), RARE, seconds=1000.0) == RECIPE
    asked = "torchaug.training.study.seconds_of_waveforms"
    monkeypatch.setattr(asked, lambda *_: 10.0)  # 40 of them
    assert affordable(RECIPE, arms, DRAW(0), RARE, seconds=1000.0) == RECIPE
    cut = affordable(RECIPE, arms, DRAW(0), RARE, seconds=400.0)
    assert (cut.steps, cut.generator_steps) == (1, 1)
    assert affordable(RECIPE, arms[:1], DRAW(0), RARE, seconds=400.0) == RECIPE


def test_sounds_without_labels_are_refused() -> None:
    bare = TensorWaveforms(torch.rand(4, 1, 800), sample_rate=RATE)
    with pytest.raises(ValueError, match="expected samples with labels, got none"):
        run_study(lambda _: (bare, bare), rare=(0,))
    with pytest.raises(ValueError, match="expected samples with labels, got none"):
        imbalanced_split(bare, rare=[0], n_rare=1, n_common=1, seed=0)
    with pytest.raises(ValueError, match=r"rare classes must be among 0 to 4, got \[5\]"):
        run_study(DRAW, rare=(5,))


# --- the augmentation ---


def test_the_default_augmentation_keeps_the_window_and_changes_most_clips() -> None:
    sounds = content(DRAW(0)[0])
    made = default_audio_augment(RATE)(sounds, keys=torch.arange(len(sounds)))
    assert made.shape[:2] == sounds.shape[:2]
    assert made.shape[2] >= sounds.shape[2]
    assert made.isfinite().all()
    made = made[..., : sounds.shape[2]]
    assert float((made - sounds).flatten(1).abs().amax(1).gt(1e-4).float().mean()) > 0.8
    assert torch.equal(
        default_audio_augment(RATE)(sounds, keys=torch.arange(len(sounds)))[..., : sounds.shape[2]], made
    )
    assert default_audio_augment(22050)(torch.rand(2, 1, 30000), keys=torch.arange(2)).shape[0] == 2


# --- what a reader sees and hears ---


def test_sheets_hold_clips_of_the_rare_classes(result: StudyResult, kept: Path) -> None:
    train, _ = DRAW(0)
    made: TensorWaveforms = Bank(kept / "seed-0" / "bank").in_memory()
    for name, source in (("real", train), ("synthetic", made)):
        sheet = result.sheets[name]
        assert sheet.labels == (1, 1, 3, 3)
        assert sheet.sounds is not None
        assert source.labels is not None
        rows = [int(row) for c in RARE for row in (source.labels == c).nonzero()[:2, 0]]
        assert torch.equal(sheet.sounds, source.windows()[rows])
        assert (sheet.sample_rate, sheet.images.dtype, sheet.images.shape[:3]) == (RATE, torch.uint8, (4, 1, 48))
    augmented, real = result.sheets["augmented"], result.sheets["real"]
    assert augmented.sounds is not None
    assert real.sounds is not None
    assert not torch.equal(augmented.sounds, real.sounds)


def test_beside_a_synthetic_clip_is_the_nearest_training_clip(result: StudyResult) -> None:
    train, _ = DRAW(0)
    everything = sound_sheets(train, None, range(5), replace(RECIPE, shown=99), 0)["real"]
    sheet = result.sheets["synthetic"]
    assert sheet.nearest is not None
    assert sheet.nearest_sounds is not None
    assert everything.sounds is not None
    for image, near, sound, distance in zip(
        sheet.images, sheet.nearest, sheet.nearest_sounds, sheet.distances, strict=True
    ):
        offs = ((everything.images.double() - image.double()) / 255).square().sum((1, 2, 3)).sqrt()
        assert distance == pytest.approx(offs.min().item())
        assert torch.equal(near, everything.images[offs.argmin()])
        assert torch.equal(sound, everything.sounds[offs.argmin()])


def test_pictures_have_low_frequencies_below() -> None:
    time = torch.arange(1600) / RATE
    tones = torch.stack([torch.sin(2 * torch.pi * hertz * time) / 2 for hertz in (200, 1000, 3500)])[:, None]
    data = TensorWaveforms(tones, torch.arange(3), ["a", "b", "c"], sample_rate=RATE)
    pictures = sound_sheets(data, None, [0, 1, 2], replace(RECIPE, augment=PolarityInversion()), 0)["real"].images
    rows = pictures[:, 0, :, 4].argmax(1).tolist()
    assert rows == sorted(rows, reverse=True)
    assert rows[0] > 40
    assert rows[2] < 8


def test_long_and_fine_sounds_are_heard_in_short() -> None:
    time = torch.arange(4 * 44100) / 44100
    data = TensorWaveforms(
        torch.sin(2 * torch.pi * 1000 * time).expand(2, 1, -1) / 2, torch.tensor([0, 1]), ["a", "b"], sample_rate=44100
    )
    recipe = replace(RECIPE, augment=PolarityInversion())
    sheet = sound_sheets(data, None, [1], recipe, 0)["real"]
    assert sheet.sounds is not None
    assert (sheet.sounds.shape, sheet.sample_rate) == ((1, 1, 48000), 16000)
    spectrum = np.abs(np.fft.rfft(sheet.sounds[0, 0].numpy()))
    assert spectrum.argmax() / 3 == pytest.approx(1000, abs=1)


def test_the_report_plays_what_the_sheets_hold(result: StudyResult) -> None:
    html = render(result)
    assert Page(html).open == []
    players = re.findall(r'<audio controls preload="none" src="([^"]+)">', html)
    pictures = re.findall(r'<img src="(data:image/png[^"]+)"', html)
    assert len(players) == len(pictures) == 3 * 4 + 2 * 4
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(address.startswith(("data:audio/wav;base64,", "data:image/png;base64,")) for address in addresses)
    first = result.sheets["real"].sounds
    assert first is not None
    samples, rate = decoded(players[0])
    assert rate == RATE
    np.testing.assert_array_equal(samples[:, 0], np.round(first[0, 0].numpy() * 32767).astype(np.int16))
    made = result.sheets["synthetic"]
    closest = int(np.argmin(made.distances))
    for address, sounds in zip(players[12:14], (made.sounds, made.nearest_sounds), strict=True):
        assert sounds is not None
        heard = decoded(address)[0][:, 0]
        np.testing.assert_array_equal(heard, np.round(sounds[closest, 0].numpy() * 32767).astype(np.int16))
    for words in ("training clips", "log-mels", "The distance of log-mels finds copies", "vowels"):
        assert words in html
    assert "Pixel distance" not in html
    assert "training image" not in html
    assert "recall" in headline(result)


def test_images_have_no_players() -> None:
    sheet = Sheet(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), (0,))
    assert sheet.sounds is None


def test_a_wav_of_16_bits_is_what_another_library_reads() -> None:
    sound = torch.tensor([[0.0, 0.5, -1.0, 1.7], [1.0, -0.25, 0.1, -3.0]])
    samples, rate = soundfile.read(io.BytesIO(pcm_wav(sound, 22050)), dtype="int16", always_2d=True)
    assert rate == 22050
    assert samples.T.tolist() == [[0, 16384, -32767, 32767], [32767, -8192, 3277, -32767]]


# --- sounds of banks and files ---


def test_a_bank_of_sounds_comes_into_memory(tmp_path: Path) -> None:
    sounds = [torch.full((1, length), value) for length, value in ((5, 0.5), (8, -0.25), (3, 1.0))]
    made: dict[str, Any] = {"generator": "g", "config": {}, "trained_on": None}
    with BankWriter(tmp_path / "bank", classes=["x", "y"], attributes={"sample_rate": RATE}, **made) as writer:
        writer.write(0, {"waveform": sounds}, torch.tensor([0, 1, 1]), torch.arange(3))
    data = Bank(tmp_path / "bank").in_memory()
    assert isinstance(data, TensorWaveforms)
    assert (data.sample_rate, data.lengths.tolist(), data.classes) == (RATE, [5, 8, 3], ["x", "y"])
    assert data.waveforms[:, 0].tolist() == [[0.5] * 5 + [0.0] * 3, [-0.25] * 8, [1.0] * 3 + [0.0] * 5]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 1]
    with BankWriter(tmp_path / "bare", classes=[], **made) as writer:
        writer.write(0, {"waveform": sounds}, None, torch.arange(3))
    with pytest.raises(ValueError, match="Bank: expected attributes with a 'sample_rate'"):
        Bank(tmp_path / "bare").in_memory()


def test_shortened_sounds_begin_as_before() -> None:
    data = vowels(2, seconds=0.3)
    short = data.shortened(0.1)
    assert torch.equal(short.waveforms, data.waveforms[..., :800])
    assert short.lengths.tolist() == [min(800, length) for length in data.lengths.tolist()]
    assert data.shortened(9.0) is data


# --- made-up rooms ---


def test_an_echo_dies_away_as_its_room_says() -> None:
    """Schroeder's integral of what a click becomes: 60 dB within the longest time, and not within a fifth of the shortest."""
    clicks = torch.zeros(40, 8000)
    clicks[:, 0] = 1.0
    heard = in_rooms(clicks, torch.arange(40), 0.4, RATE).numpy()
    echo = heard[:, 1:] ** 2
    left = 10 * np.log10(np.cumsum(echo[:, ::-1], 1)[:, ::-1] / echo.sum(1, keepdims=True) + 1e-12)
    times = np.array([(np.argmax(row < -20) - np.argmax(row < -5)) / RATE * 4 for row in left])  # 15 dB, times four
    assert times.min() > 0.06
    assert times.max() < 0.48
    assert times.max() / times.min() > 2.5
    direct = 10 * np.log10(heard[:, 0] ** 2 / echo.sum(1))
    assert direct.min() > -0.5
    assert direct.max() < 12.5
    np.testing.assert_allclose((heard**2).sum(1), 1.0, rtol=1e-4)


def test_a_room_is_a_convolution() -> None:
    keys = torch.tensor([3, 4])
    click = torch.zeros(2, 4000).index_fill(1, torch.tensor([0]), 1.0)
    response = in_rooms(click, keys, 0.3, RATE).double().numpy()
    sound = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    found = in_rooms(sound, keys, 0.3, RATE).double().numpy()
    wanted = fftconvolve(sound.double().numpy(), response, axes=1)[:, :4000]
    wanted *= np.sqrt((sound.double().numpy() ** 2).mean(1, keepdims=True) / (wanted**2).mean(1, keepdims=True))
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())
    assert in_rooms(sound, keys, 0.0, RATE) is sound


def test_noise_is_as_far_below_as_asked() -> None:
    tone = torch.sin(torch.arange(8000) * 0.3).expand(50, -1) * torch.linspace(0.1, 1, 50)[:, None]
    added = in_noise(tone, uniforms(torch.arange(50), 3), 10.0) - tone
    snr = 10 * torch.log10(tone.square().mean(1) / added.square().mean(1))
    assert float(snr.min()) == pytest.approx(10.0, abs=0.8)
    assert float(snr.max()) == pytest.approx(25.0, abs=0.8)


def test_vowels_of_the_demo_are_the_same_every_time() -> None:
    data = load("vowels")
    assert isinstance(data, TensorWaveforms)
    assert torch.equal(data.waveforms, load("vowels").in_memory().waveforms)  # type: ignore[union-attr]
    assert data.labels is not None
    assert data.labels.bincount().tolist() == [160] * 5


# --- spoken words ---

FAKE = """#!{python}
import math, struct, sys, wave
words = sys.argv[1:]
with open({log!r}, "a") as file:
    file.write(" ".join(words) + "\\n")
value = 0 if "mute" in words else 12000
pitch = 100 + 2 * int(words[words.index("-p") + 1])
tone = [0] * 500 + [int(value * math.sin(pitch * i / 2000)) for i in range(2000)] + [0] * 900
with wave.open(words[words.index("-w") + 1], "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    file.writeframes(struct.pack("<%dh" % len(tone), *tone))
if "broken" in words:
    sys.exit("no such voice")
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """A program in the place of espeak-ng; returns what it was asked for."""
    program, log = tmp_path / "espeak-ng", tmp_path / "log"
    program.write_text(FAKE.format(python=sys.executable, log=str(log)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    return lambda: [line.split() for line in log.read_text().splitlines()]


def test_words_are_said_in_many_voices(said: Callable[[], list[list[str]]]) -> None:
    data = spoken(["yes", "no"], 6, seconds=0.2, snr_db=60.0, seed=1)
    assert (data.classes, data.sample_rate, data.waveforms.shape) == (["yes", "no"], RATE, (12, 1, 1600))
    calls = said()
    assert sorted(call[-1] for call in calls) == ["no"] * 6 + ["yes"] * 6
    assert len({tuple(call[:6]) for call in calls}) > 8
    for call in calls:
        assert call[0:5:2] == ["-v", "-p", "-s"]
        assert 20 <= int(call[3]) < 80
        assert 120 <= int(call[5]) < 230
    assert ((data.lengths - 2000 * RATE / 22050).abs() < 40).all()  # the silence around a word is no part of it
    again = spoken(["yes", "no"], 6, seconds=0.2, snr_db=60.0, seed=1)
    assert torch.equal(data.waveforms, again.waveforms)
    assert not torch.equal(data.waveforms, spoken(["yes", "no"], 6, seconds=0.2, snr_db=60.0, seed=2).waveforms)
    peaks = data.waveforms.abs().amax((1, 2))
    assert float(peaks.min()) >= 0.1 - 1e-6
    assert float(peaks.max()) <= 0.9 + 1e-6


def test_a_spoken_clip_does_not_depend_on_others(said: Callable[[], list[list[str]]]) -> None:
    few, more = (spoken(["yes", "no"], count, seconds=0.2, room_seconds=0.2) for count in (2, 4))
    assert torch.equal(few.waveforms[2:4], more.waveforms[4:6])
    cut = spoken(["yes"], 2, seconds=0.05)
    assert cut.lengths.tolist() == [400, 400]


def test_what_the_program_cannot_do_is_said(
    said: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match=r"espeak-ng -v .* could not say 'broken': no such voice"):
        spoken(["broken"], 1)
    with pytest.raises(RuntimeError, match="gave silence in place of a word"):
        spoken(["mute"], 1)
    for words, count in (([], 1), (["a", "a"], 1), (["a"], 0)):
        with pytest.raises(ValueError, match="expected different words, per_class and seconds above 0"):
            spoken(words, count)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"needs the program espeak-ng, .* or take vowels\(\)"):
        load("spoken_digits")


@pytest.mark.skipif(not __import__("shutil").which("espeak-ng"), reason="espeak-ng is not installed")
def test_espeak_speaks_digits() -> None:
    data = spoken(DIGITS, 2, seconds=1.5)
    assert data.waveforms.shape == (20, 1, 12000)
    assert 1600 < float(data.lengths.float().mean()) < 8000
    assert len(data.waveforms.flatten(1).unique(dim=0)) == 20
