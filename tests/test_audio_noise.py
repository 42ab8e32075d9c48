"""Noises, impulse responses and mixtures of sounds: banks, levels, labels, and what is refused."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type, index, operator"
from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from zoo_audio_noise import recorded, rooms

from torchaug import Batch, Compose
from torchaug import audio as A
from torchaug.audio.noise import BLOCK, FADE, color_noise
from torchaug.keys import sample_keys, uniforms
from torchaug.serial import from_dict, from_yaml, to_dict, to_yaml

RATE = 8000


def keys(count: int, seed: int = 0) -> Tensor:
    return sample_keys(torch.arange(count), seed=seed)


def white(count: int = 4, channels: int = 1, samples: int = 4000) -> Tensor:
    return torch.randn(count, channels, samples, generator=torch.Generator().manual_seed(1)) / 5


def level(sound: Tensor) -> Tensor:
    return sound.double().square().mean(-1).sqrt()


def save(path: Path, sound: Any, rate: int = RATE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.asarray(sound), rate, **options)
    return path


def tone(seconds: float = 0.1, rate: int = RATE, frequency: float = 300.0) -> Any:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


# Banks


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 100), st.integers(0, 2**20))
def test_pieces_of_a_bank_are_slices_of_the_sounds_wrapped_round(lengths: list[int], samples: int, seed: int) -> None:
    sounds = [torch.arange(1, 2 * n + 1).view(2, n).float() + 100 * i for i, n in enumerate(lengths)]
    bank = A.SoundBank(sounds)
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(len(lengths), (6,), generator=generator)
    offset = (torch.rand(6, generator=generator) * bank.lengths[which]).long()
    pieces, wholes = bank.cut(which, offset, samples), bank.whole(which)
    for row, (i, begin) in enumerate(zip(which.tolist(), offset.tolist(), strict=True)):
        expected = np.take(sounds[i].numpy(), begin + np.arange(samples), axis=1, mode="wrap")
        assert np.array_equal(pieces[row].numpy(), expected)
        assert torch.equal(wholes[row, :, : lengths[i]], sounds[i])
        assert not wholes[row, :, lengths[i] :].any()
        assert torch.equal(bank.sound(i), sounds[i])
    short = min(samples, bank.shortest)
    stretches = bank.stretches(which, offset, short)
    assert stretches.shape == (6, 2, short)
    for row, (i, begin) in enumerate(zip(which.tolist(), offset.tolist(), strict=True)):
        there = sounds[i][:, begin : begin + short]
        assert torch.equal(stretches[row, :, : there.shape[1]], there)


@pytest.mark.parametrize(("storage", "of_sample", "of_peak"), [("float16", 2**-11, 2**-24), ("int16", 0, 2**-16)])
def test_half_the_memory_costs_what_the_docs_say(storage: Any, of_sample: float, of_peak: float) -> None:
    sounds = [scale * sound for scale, sound in zip((3.0, 1e-4), recorded(5000, 3000), strict=True)]
    bank, exact = A.SoundBank(sounds, storage=storage), A.SoundBank(sounds)
    assert bank.samples.element_size() == 2
    for i, sound in enumerate(sounds):
        gap = (bank.sound(i) - sound).abs()
        assert bool((gap <= (of_sample * sound.abs() + of_peak * sound.abs().max()) * 1.01).all())
    which, offset = torch.tensor([0, 1]), torch.tensor([4990, 7])
    assert torch.equal(bank.cut(which, offset, 20)[0, 0, 10:], bank.sound(0)[0, :10])
    gap = (bank.whole(which) - exact.whole(which)).abs().amax((1, 2))
    assert bool((gap < exact.whole(which).abs().amax((1, 2)) * 2**-10).all())


def test_files_are_resampled_mixed_down_and_sorted(tmp_path: Path) -> None:
    save(tmp_path / "b" / "stereo.flac", np.stack([tone(), -0.5 * tone()], 1))
    save(tmp_path / "a.WAV", tone(rate=16000), 16000, format="WAV")
    (tmp_path / "notes.txt").write_text("no sound")
    bank = A.SoundBank.from_files(tmp_path, RATE)
    assert (len(bank), bank.channels, bank.sample_rate, bank.lengths.tolist()) == (2, 1, RATE, [800, 800])
    assert np.abs(bank.sound(0)[0].numpy() - tone())[100:-100].max() < 1e-3
    assert np.abs(bank.sound(1)[0].numpy() - tone() / 4).max() < 2**-14
    stereo = A.SoundBank.from_files([tmp_path / "b", str(tmp_path / "a.WAV")], RATE, mono=False, seconds=0.05)
    assert (stereo.channels, stereo.lengths.tolist()) == (2, [400, 400])
    assert torch.equal(stereo.sound(1)[0], stereo.sound(1)[1])
    assert np.abs(stereo.sound(0)[1].numpy() + 0.5 * tone(0.05)).max() < 2**-14


def contents(bank: A.SoundBank) -> list[float]:
    """The peak of each sound, by which the files of `rotating` are known."""
    return [round(float(bank.sound(i).abs().max()), 2) for i in range(len(bank))]


def rotating(folder: Path, count: int = 8, **options: Any) -> A.SoundBank:
    """Of files of half a second, of which three fit."""
    for i in range(count):
        save(folder / f"{i}.wav", tone(0.5) * (i + 1) / 10)
    return A.SoundBank.from_files(folder, RATE, max_seconds=1.6, rotate=True, **options)


def test_a_bank_holds_other_files_in_each_epoch(tmp_path: Path) -> None:
    bank, again = rotating(tmp_path), rotating(tmp_path)
    first, seen = contents(bank), set[float]()
    for epoch in range(1, 12):
        bank.refill(epoch)
        held = contents(bank)
        assert len(held) == len(set(held)) == 3
        seen |= set(held)
        again.prepare(epoch)
        again.prepare(epoch)
        again.refill(epoch)
        assert contents(again) == held
    assert len(seen) == 8
    again.prepare(3)
    again.refill(0)  # another than was prepared
    assert contents(again) == first
    assert contents(rotating(tmp_path, seed=1)) != first


def test_a_transform_takes_from_the_files_that_its_bank_holds_now(tmp_path: Path) -> None:
    noisy = A.AddBackgroundNoise(rotating(tmp_path, storage="int16"), p=1.0)
    batch = Batch(waveform=white(20, samples=800), key=keys(20))
    before = noisy(batch).waveform
    noisy.noises.refill(5)
    after = noisy(batch).waveform
    assert not torch.equal(before, after)
    assert noisy.noises.samples.dtype == torch.int16
    written = to_dict(noisy)["noises"]
    assert written == {"files": [str(tmp_path)], "max_seconds": 1.6, "storage": "int16", "rotate": True}
    other = from_dict({**to_dict(noisy), "sample_rate": RATE})
    other.noises.refill(5)
    assert torch.equal(other(batch).waveform, after)


def test_rooms_that_come_later_have_their_own_delays(tmp_path: Path) -> None:
    for i in range(6):
        room = np.exp(-np.arange(400) / 40)
        room[: 10 * i] = 0
        save(tmp_path / f"{i}.wav", room * 0.9)
    apply = A.ApplyImpulseResponse(
        A.SoundBank.from_files(tmp_path, RATE, max_seconds=0.16, rotate=True), p=1.0, leave_length_unchanged=False
    )
    sound = white(6)
    for epoch in (0, 4, 5):
        apply.irs.refill(epoch)
        fresh = A.ApplyImpulseResponse(
            [apply.irs.sound(i) for i in range(len(apply.irs))], p=1.0, leave_length_unchanged=False
        )
        assert torch.equal(apply(sound, keys=keys(6)), fresh(sound, keys=keys(6)))


def test_a_bank_that_cannot_be_refilled_stays_as_it_is(tmp_path: Path) -> None:
    bank = rotating(tmp_path)
    bank.prepare(1)
    copied = copy.deepcopy(bank)  # while files are being read
    held = contents(bank)
    assert contents(pickle.loads(pickle.dumps(copied))) == held
    bank.refill(1)
    for file in tmp_path.glob("*.wav"):
        file.write_bytes(b"no sound")
    held = contents(bank)
    for prepared in (True, False):
        if prepared:
            bank.prepare(2)
        with pytest.raises(ValueError, match=r"expected a sound file at .*wav, got"):
            bank.refill(2)
        assert contents(bank) == held


def test_a_bank_with_room_for_all_files_keeps_them_and_a_long_file_is_cut(tmp_path: Path) -> None:
    small = rotating(tmp_path / "few", 3)
    held = contents(small)
    small.prepare(1)
    small.refill(1)
    assert contents(small) == held
    save(tmp_path / "long.wav", tone(5))
    cut = A.SoundBank.from_files(tmp_path / "long.wav", RATE, max_seconds=2, rotate=True)
    assert cut.lengths.tolist() == [2 * RATE]
    for bank in (A.SoundBank(recorded(90)), A.SoundBank.from_files(tmp_path / "long.wav", RATE)):
        for name in ("refill", "prepare"):
            with pytest.raises(ValueError, match=rf"SoundBank.{name}: expected a bank of .*rotate=True"):
                getattr(bank, name)(1)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("broken.wav", lambda path: path.write_bytes(b"RIFF no sound"), "expected a sound file at .*broken.wav, got"),
        ("none.wav", lambda path: save(path, np.zeros(0)), "none.wav, got: expected samples, got none"),
        ("still.wav", lambda path: save(path, np.zeros(100)), "still.wav must be heard, got silence"),
        ("nan.wav", lambda path: save(path, [0.1, np.nan], subtype="FLOAT"), "nan.wav, got: .* NaN"),
        ("folder", lambda path: path.mkdir(), r"expected sound files \(.*\) in .*folder, got none"),
    ],
)
def test_files_that_give_no_sound_are_named(
    tmp_path: Path, name: str, make: Callable[[Path], Any], message: str
) -> None:
    good = save(tmp_path / "good.wav", tone())
    make(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        A.SoundBank.from_files([good, tmp_path / name], RATE)


def test_a_path_that_is_not_there_and_too_much_sound(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing at .*nowhere"):
        A.AddBackgroundNoise(tmp_path / "nowhere", sample_rate=RATE)
    for i in range(3):
        save(tmp_path / f"{i}.wav", tone(0.5))
    assert len(A.SoundBank.from_files(tmp_path, RATE, max_seconds=1.5)) == 3
    with pytest.raises(ValueError, match=r"max_seconds=1 of sound, got more with file 3 of 3, .*2\.wav"):
        A.SoundBank.from_files(tmp_path, RATE, max_seconds=1.0)
    assert len(A.SoundBank.from_files(tmp_path, RATE, max_seconds=1.0, seconds=0.2)) == 3


@pytest.mark.parametrize(
    ("sounds", "error", "message"),
    [
        ([], ValueError, "at least one sound, got none"),
        (torch.zeros(3, 5), ValueError, r"\(N, C, T\) or a list of \(C, T\), got \(3, 5\)"),
        ([torch.ones(3), torch.zeros(1, 0)], ValueError, r"sound 1 must be .* with samples, got \(1, 0\)"),
        ([torch.ones(3), torch.zeros(1, 9)], ValueError, "sound 1 must be heard, got silence"),
        ([torch.tensor([1.0, torch.nan])], ValueError, "sound 0 must be finite"),
        ([torch.tensor([1, 2])], TypeError, "floating-point tensor, got torch.int64; divide"),
        ([torch.ones(2, 4), torch.ones(3, 4)], ValueError, "got 2 in sound 0 beside 3"),
    ],
)
def test_sounds_that_are_none_are_refused(sounds: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        A.SoundBank(sounds)


def test_rates_and_devices_must_agree() -> None:
    bank = A.SoundBank(recorded(50), 16000)
    with pytest.raises(ValueError, match="noises must have sample_rate=8000, got a bank of 16000 Hz"):
        A.AddBackgroundNoise(bank, sample_rate=RATE)
    with pytest.raises(ValueError, match="irs in files need sample_rate="):
        A.ApplyImpulseResponse("room.wav")
    with pytest.raises(ValueError, match=r"noises must be where the waveform is, on meta, got cpu; .*to\('meta'\)"):
        A.AddBackgroundNoise(bank).wave(torch.ones(2, 1, 9, device="meta"), torch.tensor([9, 9]), torch.rand(2, 3))


def test_mono_and_stereo() -> None:
    stereo, mono = A.SoundBank(recorded(900, channels=2)), A.SoundBank(recorded(900))
    for transform in (
        A.AddBackgroundNoise(stereo, p=1.0),
        A.ApplyImpulseResponse(stereo, p=1.0),
        A.AddShortNoises(stereo, p=1.0, sample_rate=RATE),
    ):
        with pytest.raises(ValueError, match=r"must be mono or have as many channels as the waveform, 1, got 2; make"):
            transform(white())
    sound = white(channels=2)
    added = A.AddBackgroundNoise(mono, p=1.0)(sound, keys=keys(4)) - sound
    torch.testing.assert_close(added[:, 0], added[:, 1], rtol=0, atol=1e-6)
    added = A.AddBackgroundNoise(stereo, p=1.0)(sound, keys=keys(4)) - sound
    assert (added[:, 0] - added[:, 1]).abs().amax() > 0.01


def test_a_file_of_settings_holds_paths_and_how_they_were_read(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", tone())
    save(tmp_path / "b.wav", tone(frequency=700))
    sound = white(2)
    chain = Compose(
        [A.AddBackgroundNoise(str(tmp_path), sample_rate=RATE, noise_transform=A.AddGaussianSNR(p=1.0), p=1.0)]
    )
    written = to_dict(chain)["transforms"][0]
    assert written["noises"] == [str(tmp_path)]
    assert torch.equal(from_yaml(to_yaml(chain))(sound, keys=keys(2)), chain(sound, keys=keys(2)))
    bank = A.SoundBank.from_files(tmp_path, RATE, seconds=0.02, storage="int16")
    room = A.ApplyImpulseResponse(bank, sample_rate=RATE, p=1.0)
    written = to_dict(room)
    assert written["irs"] == {"files": [str(tmp_path)], "seconds": 0.02, "storage": "int16"}
    assert torch.equal(from_dict(written)(sound, keys=keys(2)), room(sound, keys=keys(2)))
    with pytest.raises(TypeError, match="noises must be numbers, text, a dtype or transforms, got SoundBank"):
        to_dict(A.AddBackgroundNoise(recorded(90)))


# Noise


def test_colour_noise_neither_repeats_nor_bends() -> None:
    """torch-audiomentations' noise repeats after a second, and its slope doubles above 1 kHz (both of its version 0.12)."""
    sound = torch.sin(torch.arange(5 * RATE) / 3).expand(3, 1, -1)
    for decay in (-6.02, -3.01):
        made = A.AddColorNoise(20, 20, decay, decay, p=1.0)(sound, keys=keys(3)) - sound
        high = made.diff().diff()  # without the slow parts, which resemble themselves
        for lag in (RATE // 2, RATE, 2 * RATE):
            alike = (high[..., lag:] * high[..., :-lag]).mean(-1) / high.square().mean(-1)
            assert alike.abs().max() < 0.05
        power = torch.fft.rfft(made.double() * torch.hann_window(5 * RATE)).abs().square().mean((0, 1))
        bands = [power[5 * low : 5 * 2 * low].mean() for low in (500, 1000, 1900)]
        steps = [float(10 * torch.log10(b / a)) for a, b in pairwise(bands)]
        assert abs(steps[0] - decay) < 0.5
        assert abs(steps[1] - decay * np.log2(1.9)) < 0.5


@pytest.mark.parametrize("decay", [-12.0, -6.0, 12.0])
def test_pieces_of_colour_noise_join_without_a_seam(decay: float) -> None:
    step = BLOCK - FADE
    made = color_noise(uniforms(keys(256), 2), torch.full((256,), decay), 1, 4 * step)[:, 0].double()
    pieces = made.view(256, 4, step).square().mean(0)
    level = pieces.mean()
    torch.testing.assert_close(level, torch.ones_like(level), rtol=0.1, atol=0)
    for part in (pieces[1:, :FADE], pieces[1:, FADE // 4 : 3 * FADE // 4], pieces[:, FADE:]):
        torch.testing.assert_close(part.mean(), level, rtol=0.1, atol=0)
    bends = made.diff(n=4, dim=1).square().mean(0)  # what is left is of high frequencies: a jump or a kink stands out
    for seam in (step, step + FADE):
        assert bends[seam - 8 : seam + 4].max() < 1.5 * bends.mean()


def test_colour_noise_does_not_depend_on_padding() -> None:
    u, decay = uniforms(keys(3), 2), torch.tensor([-6.0, 0.0, 3.0])
    assert torch.equal(color_noise(u, decay, 2, 20_000)[..., :900], color_noise(u, decay, 2, 900))


def test_colour_noise_of_two_channels_is_two_noises() -> None:
    sound = white(2, 2)
    made = A.AddColorNoise(p=1.0)(sound, keys=keys(2)) - sound
    alike = (made[:, 0] * made[:, 1]).mean(-1) / (level(made[:, 0]) * level(made[:, 1]))
    assert alike.abs().max() < 0.2


def test_levels_heed_lengths_as_torchaudio_does() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    sound, lengths, noise = white(), torch.tensor([4000, 1000, 2500, 17]), recorded(4000)[0]
    transform = A.AddBackgroundNoise([noise], p=1.0)
    batch = Batch(waveform=sound, lengths=lengths, key=keys(4))
    params = transform.draw(batch)
    offset = torch.tensor([transform.describe(params, i)[0]["offset"] for i in range(4)])
    snr = torch.tensor([transform.describe(params, i)[0]["snr_db"] for i in range(4)])
    pieces = torch.stack([noise.roll(-int(shift), -1) for shift in offset])
    expected = functional.add_noise(sound, pieces, snr[:, None], lengths[:, None])
    out = transform(batch).waveform
    for row, length in enumerate(lengths):
        torch.testing.assert_close(out[row, :, :length], expected[row, :, :length], rtol=1e-5, atol=1e-6)


def test_pieces_of_a_longer_noise_lie_anywhere_within_it() -> None:
    """Within: where the piece of a ramp went round its end, it would fall."""
    ramp = torch.linspace(0.1, 1, 1000)
    sound = torch.full((400, 1, 900), 1e-3)
    sound[:, :, 1::2] *= -1
    lengths = torch.where(torch.arange(400) % 2 == 0, 900, 1000)
    sound = torch.nn.functional.pad(sound, (0, 100))
    transform = A.AddBackgroundNoise([ramp], 0, 0, p=1.0)
    params = transform.draw(Batch(waveform=sound, lengths=lengths, key=keys(400)))
    offsets = torch.tensor([transform.describe(params, i)[0]["offset"] for i in range(400)])
    assert offsets[lengths == 1000].eq(0).all()
    assert offsets[lengths == 900].max() > 95
    assert offsets.max() <= 100
    assert len(offsets[lengths == 900].unique()) > 60


def test_a_shorter_noise_goes_on_from_its_beginning_beside_a_longer_one() -> None:
    transform = A.AddBackgroundNoise(recorded(300, 5000), p=1.0)
    batch = Batch(waveform=white(8, 1), key=keys(8))
    which = [transform.describe(transform.draw(batch), i)[0]["noise"] for i in range(8)]
    added = transform(batch).waveform - batch.waveform
    repeats = [torch.allclose(row[..., 300:600], row[..., :300], atol=1e-6) for row in added]
    assert repeats == [noise == 0 for noise in which]
    assert 0 < sum(repeats) < 8


def test_each_piece_of_a_noise_may_come() -> None:
    sound = torch.full((200, 1, 900), 1e-3)
    transform = A.AddBackgroundNoise([recorded(902)[0]], p=1.0)
    params = transform.draw(Batch(waveform=sound, key=keys(200)))
    assert {transform.describe(params, i)[0]["offset"] for i in range(200)} == {0, 1, 2}


def test_absolute_levels_and_silence() -> None:
    """audiomentations' rule that a silent sound gets no noise, and no NaN of noise that is silent (torchaudio 2.11 has it)."""
    silent = torch.zeros(3, 1, 500)
    bank = A.SoundBank([torch.cat([torch.zeros(100_000), torch.ones(1)])])
    for noise in (recorded(200), bank):
        for kind in ("relative", "absolute"):
            out = A.AddBackgroundNoise(noise, noise_rms=kind, p=1.0)(silent, keys=keys(3))
            assert out.isfinite().all()
    out = A.AddBackgroundNoise(recorded(200), p=1.0)(silent, keys=keys(3))
    assert not out.any()
    out = A.AddBackgroundNoise(
        recorded(200), noise_rms="absolute", min_absolute_rms_db=-30, max_absolute_rms_db=-30, p=1.0
    )(silent, keys=keys(3))
    torch.testing.assert_close(20 * torch.log10(level(out)), torch.full((3, 1), -30.0).double(), rtol=0, atol=1e-3)


def test_the_gradient_of_silence_is_finite() -> None:
    for transform in (
        A.AddGaussianSNR(p=1.0),
        A.AddBackgroundNoise(recorded(200), p=1.0),
        A.ApplyImpulseResponse(rooms(40), p=1.0),
        A.AddShortNoises(recorded(200), noise_rms="relative", p=1.0, sample_rate=800),
    ):
        silent = torch.zeros(2, 1, 900, requires_grad=True)
        transform(silent, keys=keys(2)).sum().backward()
        assert silent.grad.isfinite().all()


def test_noises_go_through_a_transform_with_numbers_of_its_own() -> None:
    sound, plain = white(40), A.AddBackgroundNoise(recorded(500, 9000), p=1.0)
    flipped = A.AddBackgroundNoise(recorded(500, 9000), noise_transform=A.PolarityInversion(p=0.5), p=1.0)
    before, after = (transform(sound, keys=keys(40)) - sound for transform in (plain, flipped))
    flips = (before * after).sum((1, 2)) < 0
    torch.testing.assert_close(after, torch.where(flips[:, None, None], -before, before), rtol=0, atol=1e-6)
    assert 10 < flips.sum() < 30
    turned = A.AddBackgroundNoise(recorded(500), noise_transform=A.TimeInversion(p=1.0), p=1.0)
    lengths = torch.tensor([4000, 900])
    batch = Batch(waveform=white(2), lengths=lengths, key=keys(2))
    after = turned(batch).waveform - batch.waveform
    before = A.AddBackgroundNoise(recorded(500), p=1.0)(batch).waveform - batch.waveform
    for row, length in enumerate(lengths):
        torch.testing.assert_close(after[row, :, :length], before[row, :, :length].flip(-1), rtol=0, atol=1e-6)
    evaluated = flipped.eval()
    assert torch.equal(evaluated(sound), sound)
    with pytest.raises(TypeError, match="noise_transform must be a transform of waveforms"):
        A.AddBackgroundNoise(recorded(9), noise_transform=torch.neg)


# Short noises


def shorts(**options: Any) -> A.AddShortNoises:
    usual: dict[str, Any] = {
        "min_time_between_sounds": 0.02,
        "max_time_between_sounds": 0.1,
        "min_fade_in_time": 0.0,
        "max_fade_in_time": 0.0,
        "min_fade_out_time": 0.0,
        "max_fade_out_time": 0.0,
        "burst_probability": 0.0,
        "sample_rate": RATE,
        "p": 1.0,
    }
    return A.AddShortNoises(recorded(200, 350), **(usual | options))


def test_pauses_between_short_noises_are_as_long_as_they_should_be() -> None:
    """From what comes out, not from what was drawn: runs of places where nothing was added."""
    sound = white(20, samples=8000)
    quiet = (shorts()(sound, keys=keys(20)) - sound)[:, 0] == 0
    pauses, heard = [], []
    for row in quiet:
        edges = [0, *(row.diff().nonzero()[:, 0] + 1).tolist(), 8000]
        runs = [(begin, end) for begin, end in pairwise(edges) if end - begin > 3]
        pauses += [end - begin for begin, end in runs[1:-1] if bool(row[begin + 1])]
        heard += [end - begin for begin, end in runs[1:-1] if not bool(row[begin + 1])]
    assert min(pauses) >= 0.02 * RATE - 4
    assert max(pauses) <= 0.1 * RATE + 4
    assert max(pauses) - min(pauses) > 500
    assert {min((200, 350), key=lambda n: abs(n - each)) for each in heard if each > 150} == {200, 350}
    firsts = torch.tensor([int((~row).nonzero()[0]) for row in quiet])
    assert firsts.max() > 0.02 * RATE
    assert (firsts < 8).sum() > 3  # that began before the sound


def test_levels_of_short_noises() -> None:
    sound = white(6, samples=8000) * torch.linspace(0.1, 1, 8000)
    transform = shorts(add_all_noises_with_same_level=True, noise_rms="relative_to_whole_input")
    params = transform.draw(Batch(waveform=sound, key=keys(6)))
    added = (transform(sound, keys=keys(6)) - sound)[:, 0].double()
    for row in range(6):
        record = transform.describe(params, row)[0]
        assert len(set(record["first_level_db"])) == 1
        for start, length in zip(record["first_start"], record["first_length"], strict=True):
            piece = added[row, max(start, 0) : max(min(start + length, 8000), 0)]
            if len(piece) > 20:
                ratio = 20 * torch.log10(level(sound[row, 0]) / level(piece))
                assert abs(float(ratio) - record["first_level_db"][0]) < 1e-3


def test_bursts_overlap_and_none_come_without_chance() -> None:
    sound = torch.full((30, 1, 4000), 0.1)
    often = shorts(burst_probability=1.0, max_pause_factor_during_burst=0.5)
    record = often.describe(often.draw(Batch(waveform=sound, key=keys(30))), 0)[0]
    starts, lengths, seconds = (torch.tensor(record[n]) for n in ("first_start", "first_length", "second_start"))
    inside = (seconds - starts) / lengths
    assert 0.09 < float(inside.min()) < float(inside.max()) < 0.5
    over = torch.maximum(starts + lengths, seconds + torch.tensor(record["second_length"]))
    assert bool((starts[1:] - over[:-1] >= 0.02 * RATE - 1).all())
    never = shorts()
    assert not any(never.describe(never.draw(Batch(waveform=sound, key=keys(30))), 0)[0]["second_length"])


def test_the_sound_gives_way_to_short_noises_with_their_fades() -> None:
    sound = torch.full((8, 1, 4000), 0.1)
    fades = {"min_fade_in_time": 0.01, "max_fade_in_time": 0.01, "min_fade_out_time": 0.005, "max_fade_out_time": 0.005}
    plain = shorts(**fades, min_snr_db=300, max_snr_db=300, signal_gain_db_during_noise=-400.0)
    out = plain(sound, keys=keys(8))[:, 0]
    assert out.min() < 1e-6
    assert out.max() == 0.1
    changes = out.diff()
    down = changes[changes < -1e-4]
    torch.testing.assert_close(down.median(), torch.tensor(-0.1 / 80), rtol=1e-2, atol=0)
    torch.testing.assert_close(changes[changes > 1e-4].median(), torch.tensor(0.1 / 40), rtol=1e-2, atol=0)


# Impulse responses


def test_an_impulse_alone_changes_nothing_wherever_it_is() -> None:
    late = torch.zeros(1, 300)
    late[0, 123] = -0.01
    sound, lengths = white(3), torch.tensor([4000, 50, 700])
    batch = Batch(waveform=sound, lengths=lengths, key=keys(3))
    out = A.ApplyImpulseResponse([late], p=1.0)(batch)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(out.waveform[row, :, :length], -sound[row, :, :length], rtol=0, atol=1e-6)
        assert not out.waveform[row, :, length:].any()
    assert torch.equal(out.lengths, lengths)
    later = A.ApplyImpulseResponse([late], compensate_delay=False, keep_energy=False, p=1.0)(batch)
    torch.testing.assert_close(later.waveform[0, :, 123:], -0.01 * sound[0, :, :-123], rtol=0, atol=1e-7)
    assert later.waveform[0, :, :123].abs().max() < 1e-7


def test_rooms_change_no_level_behind_ones_back() -> None:
    """audiomentations scales every sound that comes out to a peak of 0.5."""
    sound = white(6) * torch.tensor([1e-3, 0.01, 0.1, 1, 2, 5])[:, None, None]
    responses = [room * scale for room, scale in zip(rooms(1000, 300), (30.0, 1e-3), strict=True)]
    for wet in (1.0, 0.4, (0.0, 1.0)):
        out = A.ApplyImpulseResponse(responses, wet=wet, p=1.0)(sound, keys=keys(6))
        torch.testing.assert_close(level(out), level(sound), rtol=1e-5, atol=0)
        assert (out - sound).abs().max() > 0.05
    dry = A.ApplyImpulseResponse(responses, wet=0.0, p=1.0)(sound, keys=keys(6))
    torch.testing.assert_close(dry, sound, rtol=1e-5, atol=0)


def test_tails_make_sounds_longer_and_labels_follow_a_delay() -> None:
    room = torch.zeros(1, 50)
    room[0, 20], room[0, 49] = 1.0, 0.5
    click = torch.zeros(1, 1, 100)
    click[0, 0, 30] = 1.0
    labels = {"events": torch.tensor([[[30.0, 31.0], [95.0, 100.0]]]), "instants": torch.tensor([[30.0]])}
    batch = Batch(waveform=click, **labels, lengths=torch.tensor([100]), key=keys(1))
    options: dict[str, Any] = {"keep_energy": False, "p": 1.0}
    out = A.ApplyImpulseResponse([room], leave_length_unchanged=False, **options)(batch)
    assert (out.waveform.shape[2], out.lengths.tolist()) == (149, [129])
    assert torch.equal(out.events, batch.events)
    assert out.waveform[0, 0, [30, 59]].tolist() == pytest.approx([1.0, 0.5], abs=1e-6)
    later = A.ApplyImpulseResponse([room], compensate_delay=False, **options)(batch)
    assert later.events.tolist() == [[[50.0, 51.0], [0.0, 0.0]]]
    assert (later.instants.tolist(), int(later.waveform.argmax())) == ([[50.0]], 50)
    both = A.ApplyImpulseResponse([room], leave_length_unchanged=False, compensate_delay=False, **options)(batch)
    assert (both.lengths.tolist(), both.events.tolist()) == ([149], [[[50.0, 51.0], [115.0, 120.0]]])
    alone = A.ApplyImpulseResponse([room], leave_length_unchanged=False, **options)(click[0])
    assert alone.shape == (1, 129)


# Mixtures


def pair(**fields: Any) -> Batch:
    sound = torch.zeros(2, 1, 10)
    sound[0, 0, :4], sound[1, 0, :8] = 1.0, 2.0
    return Batch(waveform=sound, lengths=torch.tensor([4, 8]), key=keys(2), **fields)


def shares(transform: A.SoundMix, batch: Batch) -> Tensor:
    params = transform.draw(batch)
    return torch.tensor([transform.describe(params, i)[0]["lambda"] for i in range(len(batch))])


def test_mixup_is_as_long_as_the_longer_and_mixes_every_label() -> None:
    frames = torch.eye(2)[torch.tensor([[0] * 5, [1] * 5])]
    batch = pair(label=torch.tensor([2, 0]), weight=torch.tensor([1.0, 3.0]), frame_labels=frames)
    transform = A.AudioMixup(num_classes=3)
    out, share = transform(batch), shares(transform, batch)
    assert out.lengths.tolist() == [8, 8]
    a, b = share.tolist()
    expected = [[a + 2 * (1 - a)] * 4 + [2 * (1 - a)] * 4 + [0] * 2, [2 * b + 1 - b] * 4 + [2 * b] * 4 + [0] * 2]
    torch.testing.assert_close(out.waveform[:, 0], torch.tensor(expected))
    torch.testing.assert_close(out.label, torch.tensor([[1 - a, 0, a], [b, 0, 1 - b]]))
    torch.testing.assert_close(out.weight, torch.tensor([a + 3 * (1 - a), 3 * b + 1 - b]))
    torch.testing.assert_close(out.frame_labels[0], torch.tensor([[a, 1 - a]] * 5))
    with pytest.raises(TypeError, match="AudioMixup: frame labels of class numbers cannot be blended"):
        transform(pair(frame_labels=torch.zeros(2, 5, dtype=torch.int64)))
    with pytest.raises(ValueError, match="class numbers need AudioMixup"):
        A.AudioMixup()(pair(label=torch.tensor([0, 1])))


def test_what_is_heard_of_a_level_aware_mixture_does_not_depend_on_levels() -> None:
    sound = white(2)
    transform = A.AudioMixup(level_aware=True)
    batch = Batch(waveform=sound, key=keys(2))
    loud = Batch(waveform=sound * torch.tensor([100.0, 1.0])[:, None, None], key=keys(2))
    share = shares(transform, batch)
    for each in (batch, loud):
        other = each.waveform.flip(0)
        out = transform(each).waveform
        gram = torch.stack([each.waveform[:, 0], other[:, 0]], 2).double()
        factors = torch.linalg.lstsq(gram, out[:, 0, :, None].double()).solution[..., 0]
        heard = factors * torch.stack([level(each.waveform)[:, 0], level(other)[:, 0]], 1)
        torch.testing.assert_close(heard[:, 0] / heard.sum(1), share.double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (torch.tensor([0, 2]), [[1.0, 0, 1], [1, 0, 1]]),
        (torch.tensor([[1.0, 0, 0.5], [0, 1, 0.2]]), [[1.0, 1, 0.5], [1, 1, 0.5]]),
    ],
)
def test_the_union_of_labels(label: Tensor, expected: Any) -> None:
    frames = torch.tensor([[[True, False]], [[False, False]]])
    events, codes, beats = (
        torch.tensor([[[1.0, 2.0]], [[5.0, 7.0]]]),
        torch.tensor([[3], [4]]),
        torch.tensor([[1.0], [6.0]]),
    )
    batch = pair(label=label, frame_labels=frames, events=events, event_labels=codes, instants=beats)
    out = A.Mix(num_classes=3, p=1.0)(batch)
    assert out.label.tolist() == torch.tensor(expected).tolist()
    assert out.frame_labels.tolist() == [[[True, False]], [[True, False]]]
    assert out.events[0].tolist() == [[1.0, 2.0], [5.0, 7.0]]
    assert out.event_labels.tolist() == [[3, 4], [4, 3]]
    assert out.instants.tolist() == [[1.0, 6.0], [6.0, 1.0]]
    same = A.Mix(mix_target="original", p=1.0)(batch)
    for name in ("label", "frame_labels", "events", "instants"):
        assert torch.equal(getattr(same, name), getattr(batch, name))
    assert not torch.equal(same.waveform, batch.waveform)
    assert torch.equal(same.waveform, out.waveform)


def test_nothing_is_mixed_with_silence_or_with_itself() -> None:
    sound = white(2)
    sound[1] = 0
    batch = Batch(waveform=sound, label=torch.tensor([0, 1]), key=keys(2))
    out = A.Mix(num_classes=2, p=1.0)(batch)
    assert torch.equal(out.waveform, sound)
    assert torch.equal(out.label, torch.eye(2))
    for transform in (A.Mix(num_classes=2, p=1.0), A.AudioMixup(num_classes=2), A.AudioCutMix(num_classes=2)):
        alone = transform(batch[:1])
        assert torch.equal(alone.waveform, sound[:1])
        assert alone.label.tolist() == [[1.0, 0.0]]
        assert torch.equal(transform.eval()(batch).label, batch.label)


def test_a_union_of_class_numbers_per_frame_is_refused() -> None:
    with pytest.raises(TypeError, match="Mix: a union needs frame labels of 0 and 1 for each class"):
        A.Mix(p=1.0)(pair(frame_labels=torch.zeros(2, 5, dtype=torch.int64)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**30))
def test_every_label_of_a_cut_mixture_is_that_of_the_sound_heard(seed: int) -> None:
    """Sounds hold the number of their sample, so that what comes out tells whose each of its samples is."""
    generator = torch.Generator().manual_seed(seed)
    count, samples = 5, 60
    lengths = torch.randint(1, samples + 1, (count,), generator=generator)
    number = torch.arange(count)[:, None]
    inside = torch.arange(samples) < lengths[:, None]
    sound = torch.where(inside, number, -1)
    begin = torch.rand(count, 1, generator=generator) * lengths[:, None]
    events = torch.stack([begin, begin + torch.rand(count, 1, generator=generator) * (lengths[:, None] - begin)], -1)
    batch = Batch(
        waveform=sound[:, None].float(),
        lengths=lengths,
        label=number[:, 0],
        events=events.double(),
        event_labels=number,
        frame_labels=sound,
        key=keys(count, seed),
    )
    transform = A.AudioCutMix(num_classes=count)
    out = transform(batch)
    assert torch.equal(out.lengths, lengths)
    whose = out.waveform[:, 0].long()
    assert torch.equal(whose < 0, ~inside)
    assert torch.equal(out.frame_labels, whose)
    counts = torch.stack([(whose == i).sum(1) for i in range(count)], 1)
    torch.testing.assert_close(out.label, counts / lengths[:, None])
    middles = torch.arange(samples) + 0.5
    for row in range(count):
        for source in range(count):
            was = (events[source, :, 0] <= middles) & (middles < events[source, :, 1]) & (whose[row] == source)
            mine = out.events[row][out.event_labels[row] == source]
            now = ((mine[:, :1] <= middles) & (middles < mine[:, 1:])).any(0)
            assert torch.equal(was, now)


def test_partners_do_not_depend_on_the_order_of_the_batch() -> None:
    sound = white(5)
    batch = Batch(waveform=sound, key=keys(5))
    order = torch.tensor([3, 1, 4, 0, 2])
    for transform in (A.AudioMixup(), A.Mix(p=1.0), A.AudioCutMix()):
        assert torch.equal(transform(batch[order]).waveform, transform(batch).waveform[order])
        assert (transform(batch).waveform != sound).any(-1).all()


# Arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: A.AddGaussianNoise(0.2, 0.1), "AddGaussianNoise: min_amplitude must be at most max_amplitude"),
        (lambda: A.AddGaussianNoise(-0.1), "min_amplitude must be .* of at least 0"),
        (lambda: A.AddGaussianSNR(float("nan")), "AddGaussianSNR: min_snr_db must be a number"),
        (lambda: A.AddColorNoise(max_f_decay=20), "AddColorNoise: max_f_decay must be .*12"),
        (lambda: A.AddColorNoise(30, 10), "min_snr_db must be at most max_snr_db, got 30 and 10"),
        (lambda: A.AddBackgroundNoise(recorded(9), max_absolute_rms_db=3), "max_absolute_rms_db must be .*0"),
        (lambda: A.AddBackgroundNoise(recorded(9), noise_rms="loud"), "noise_rms must be 'relative' or 'absolute'"),
        (lambda: A.AddBackgroundNoise(recorded(9), p=2), "p must be a chance"),
        (lambda: shorts(sample_rate=0), "AddShortNoises: sample_rate must be a whole number"),
        (lambda: shorts(burst_probability=1.5), "burst_probability must be"),
        (lambda: shorts(min_time_between_sounds=-1), "min_time_between_sounds must be"),
        (lambda: shorts(min_fade_in_time=0.2, max_fade_in_time=0.1), "min_fade_in_time must be at most"),
        (lambda: shorts(noise_rms="whole"), "noise_rms must be 'relative_to_whole_input'"),
        (lambda: A.ApplyImpulseResponse(rooms(9), wet=1.5), "wet must be"),
        (lambda: A.AudioMixup(alpha=0), "AudioMixup: alpha must be a number above 0"),
        (lambda: A.AudioCutMix(alpha=-1), "AudioCutMix: alpha must be"),
        (lambda: A.Mix(5, 0), "Mix: min_snr_db must be at most"),
        (lambda: A.Mix(mix_target="both"), "mix_target must be 'union' or 'original'"),
        (lambda: A.SoundBank(recorded(9), storage="int8"), "storage must be 'float32', 'float16' or 'int16'"),
        (lambda: A.SoundBank(recorded(9), 8000.5), "sample_rate must be a whole number"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_only_sounds_are_mixed() -> None:
    with pytest.raises(TypeError, match="AudioMixup: expected a waveform"):
        A.AudioMixup()(Batch(image=torch.rand(2, 3, 4, 4)))
