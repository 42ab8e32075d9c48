"""Sound in files: what is decoded, what is resampled, and what is wrong with the files."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal
from torch.utils.data import DataLoader

from torchaug.audio.files import read_sound
from torchaug.data import SampleError, read_audio_folder, read_audio_manifest, resample

RATE = 8000


def tone(seconds: float = 0.1, rate: int = RATE, frequency: float = 440.0) -> Any:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def save(path: Path, samples: Any, rate: int = RATE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in (("hum", 2), ("hiss", 3)):
        for number in range(count):
            save(tmp_path / name / f"{number}.wav", tone(frequency=100.0 * (number + 1)))
    (tmp_path / "hum" / "notes.txt").write_text("no sound")
    return tmp_path


def test_a_folder_per_class_is_read_in_sorted_order(folder: Path) -> None:
    data = read_audio_folder(folder)
    assert (data.classes, data.sample_rate) == (["hiss", "hum"], RATE)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 1, 1]
    assert [path.name for path in data.paths] == ["0.wav", "1.wav", "2.wav", "0.wav", "1.wav"]
    item = data[2]
    assert {name: item[name] for name in ("label", "index")} == {"label": 0, "index": 2}
    assert (item["waveform"].shape, item["waveform"].dtype) == ((1, 800), torch.float32)
    assert np.abs(item["waveform"][0].numpy() - tone(frequency=300)).max() < 2**-15
    some = data.subset([4])
    assert (some.sample_rate, some[0]["label"]) == (RATE, 1)
    assert data.verify() == []


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    save(tmp_path / "b.flac", tone())
    save(tmp_path / "a.wav", tone())
    (tmp_path / ".hidden.wav").write_bytes(b"")
    data = read_audio_folder(tmp_path)
    assert (data.labels, data.classes) == (None, None)
    assert [path.name for path in data.paths] == ["a.wav", "b.flac"]
    assert set(data[0]) == {"waveform", "index"}


def test_folders_that_hold_no_data_set_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a folder at .*none, got nothing there"):
        read_audio_folder(tmp_path / "none")
    with pytest.raises(ValueError, match=r"at least 3 classes, got 2 \(hiss, hum\)"):
        read_audio_folder(folder, min_classes=3)
    save(folder / "loose.wav", tone())
    with pytest.raises(ValueError, match=r"got both in .*: folder 'hiss' and file 'loose.wav'"):
        read_audio_folder(folder)
    (folder / "loose.wav").unlink()
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"got no file in .*empty"):
        read_audio_folder(folder)
    with pytest.raises(ValueError, match=r"got neither in .*empty"):
        read_audio_folder(folder / "empty")


INTEGERS = {"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


@pytest.mark.parametrize("subtype", [*INTEGERS, "FLOAT", "DOUBLE"])
def test_samples_of_every_width_are_scaled_to_one(tmp_path: Path, subtype: str) -> None:
    wanted = np.stack([tone(), -tone(frequency=999)], axis=1)
    path = save(tmp_path / "a.wav", wanted, subtype=subtype)
    got = read_sound(path, sample_rate=RATE, mono=False).T.numpy()
    step = 2.0 ** (1 - min(INTEGERS.get(subtype, 24), 24))
    assert np.abs(got - wanted).max() <= step
    mono = read_sound(path, sample_rate=RATE)
    assert mono.shape == (1, len(wanted))
    assert np.abs(mono[0].numpy() - wanted.mean(1)).max() <= step


@given(
    samples=hnp.arrays(np.int16, st.tuples(st.integers(1, 40), st.integers(1, 3))),
    start=st.integers(0, 39),
    count=st.integers(1, 40),
)
def test_any_segment_holds_the_samples_that_the_wave_module_wrote(
    tmp_path_factory: pytest.TempPathFactory, samples: Any, start: int, count: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    start = min(start, len(samples) - 1)
    stop = min(start + count, len(samples))
    got = read_sound(path, sample_rate=RATE, mono=False, start=start / RATE, end=stop / RATE)
    assert np.array_equal(got.numpy(), (samples[start:stop].T / 32768).astype(np.float32))


@given(samples=hnp.arrays(np.int32, st.integers(1, 30)), kind=st.sampled_from(["WAV", "AIFF", "AU"]))
def test_wide_samples_come_back_as_soundfile_wrote_them(
    tmp_path_factory: pytest.TempPathFactory, samples: Any, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{kind.lower()}"
    soundfile.write(path, samples, RATE, subtype="PCM_32", format=kind)
    got = read_sound(path, sample_rate=RATE)
    assert np.array_equal(got[0].numpy(), (samples / 2.0**31).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.flac", {}, 2**-15),
        ("a.ogg", {"format": "OGG", "subtype": "VORBIS"}, 0.05),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}, 0.1),
        ("a.mp3", {"format": "MP3"}, 0.1),
        ("a.aiff", {}, 2**-15),
        ("a.au", {}, 2**-15),
    ],
)
def test_other_formats_are_read(tmp_path: Path, name: str, options: Any, tolerance: float) -> None:
    path = save(tmp_path / name, tone(1.0), **options)
    got = read_audio_folder(tmp_path)[0]["waveform"][0].numpy()
    assert len(got) == RATE
    middle = slice(RATE // 4, 3 * RATE // 4)
    assert np.abs(got - tone(1.0))[middle].max() < tolerance
    assert path.exists()


def test_of_a_long_file_only_the_segment_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.arange(10 * RATE) / (10 * RATE)
    save(tmp_path / "a.wav", ramp)
    asked: list[int] = []
    read = soundfile.SoundFile.read

    def counted(self: Any, frames: int, **options: Any) -> Any:
        asked.append(frames)
        return read(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    first = read_audio_folder(tmp_path, seconds=0.5)[0]["waveform"][0].numpy()
    middle = read_audio_folder(tmp_path, seconds=0.5, offset_mode="center")[0]["waveform"][0].numpy()
    halved = read_audio_folder(tmp_path, seconds=0.5, sample_rate=RATE // 2)[0]["waveform"]
    assert asked == [4000] * 3
    assert halved.shape == (1, 2000)
    assert np.abs(first - ramp[:4000]).max() < 2**-15
    assert np.abs(middle - ramp[38000:42000]).max() < 2**-15


def test_a_shorter_file_stays_as_it_is(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", tone(0.1))
    assert read_audio_folder(tmp_path, seconds=1.0, offset_mode="center")[0]["waveform"].shape == (1, 800)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100])
def test_segments_of_every_rate_have_one_length(tmp_path: Path, rate: int) -> None:
    save(tmp_path / "a.wav", tone(0.5, rate), rate)
    data = read_audio_folder(tmp_path, seconds=0.3, sample_rate=16000)
    assert data[0]["waveform"].shape == (1, 4800)
    middle = slice(1200, 3600)
    assert np.abs(data[0]["waveform"][0].numpy() - tone(0.3, 16000))[middle].max() < 1e-4


def test_without_a_rate_only_heads_are_read_and_with_one_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("samples were read"))
    assert read_audio_folder(folder).sample_rate == RATE
    monkeypatch.setattr(soundfile, "info", lambda *_: pytest.fail("a head was read"))
    assert read_audio_folder(folder, sample_rate=16000).sample_rate == 16000


def test_mixed_rates_are_listed_or_resampled(folder: Path) -> None:
    save(folder / "hum" / "9.wav", tone(rate=16000), 16000)
    with pytest.raises(ValueError, match=r"one sample rate, got 8000 Hz in 5, 16000 Hz in 1 files; pass sample_rate="):
        read_audio_folder(folder)
    data = read_audio_folder(folder, sample_rate=16000)
    assert [data[index]["waveform"].shape[1] for index in range(6)] == [1600] * 6


def test_a_file_that_changed_its_rate_is_named(folder: Path) -> None:
    data = read_audio_folder(folder)
    save(data.paths[1], tone(rate=16000), 16000)
    with pytest.raises(SampleError, match=r"index=1 .*hiss/1.wav.*expected 8000 Hz as in the other files, got 16000"):
        data[1]


def flac_half(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, RATE), RATE, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def ogg_short(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 10 * RATE), RATE, format="OGG")
    path.write_bytes(path.read_bytes()[:-200])


def cut(path: Path, size: int, kind: str = "WAV") -> None:
    soundfile.write(path, tone(), RATE, format=kind)
    path.write_bytes(path.read_bytes()[:size])


BROKEN: dict[str, tuple[Any, str]] = {
    "nothing.wav": (lambda path: path.write_bytes(b""), "Format not recognised"),
    "text.wav": (lambda path: path.write_text("no sound at all " * 9), "Format not recognised"),
    "head.wav": (lambda path: cut(path, 44), "expected 1600 bytes of samples, got 0: the file was cut off"),
    "half.wav": (lambda path: cut(path, 844), "expected 1600 bytes of samples, got 800: the file was cut off"),
    "last.wav": (lambda path: cut(path, 1643), "expected 1600 bytes of samples, got 1599: the file was cut off"),
    "half.aiff": (lambda path: cut(path, 900, "AIFF"), "the file was cut off"),
    "half.au": (lambda path: cut(path, 900, "AU"), "the file was cut off"),
    "half.flac": (flac_half, "flac decoder"),
    "short.ogg": (ogg_short, "expected a whole last page, got a part of it"),
    "none.wav": (lambda path: save(path, np.zeros(0)), "expected samples, got none"),
    "nan.wav": (
        lambda path: save(path, np.array([0.0, np.nan, np.inf]), subtype="FLOAT"),
        "expected finite samples, got 2 NaN or infinite",
    ),
    "loud.wav": (
        lambda path: save(path, 32767 * tone(), subtype="FLOAT"),
        r"expected samples in \[-1, 1\], got a peak of 163\d\d",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_the_others_are_read(folder: Path, name: str) -> None:
    make, message = BROKEN[name]
    make(folder / "hum" / name)
    data = read_audio_folder(folder)
    (error,) = data.verify()
    assert (error.index, error.path) == (list(data.paths).index(folder / "hum" / name), str(folder / "hum" / name))
    with pytest.raises(SampleError, match=message):
        data[error.index or 0]
    assert data.without([error]).verify() == []


def test_verify_and_loading_work_in_processes(folder: Path) -> None:
    (folder / "hum" / "x.wav").write_bytes(b"x")
    data = read_audio_folder(folder)
    assert [error.index for error in data.verify(workers=1)] == [5]
    with pytest.raises(SampleError, match=r"hum/x\.wav"):
        list(DataLoader(data, batch_size=None, num_workers=1))


def test_a_file_of_streamed_length_is_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", tone())
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(data)
    assert read_audio_folder(tmp_path)[0]["waveform"].shape == (1, 800)


def test_a_little_over_full_scale_is_clipped(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", 3 * tone(), subtype="FLOAT")
    got = read_audio_folder(tmp_path)[0]["waveform"][0].numpy()
    assert np.abs(got - (3 * tone()).clip(-1, 1)).max() < 1e-6


def test_no_readable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"none whose head can be read, .*a\.wav the first"):
        read_audio_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "sample_rate must be a whole number above 0"),
        ({"sample_rate": 16000.0}, "sample_rate must be a whole number"),
        ({"seconds": 0}, "seconds must be above 0"),
        ({"seconds": float("nan")}, "seconds must be above 0"),
        ({"offset_mode": "end"}, "offset_mode must be 'start' or 'center', got 'end'"),
    ],
)
def test_options_are_checked(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_audio_folder(folder, **options)


@pytest.fixture
def manifest(folder: Path) -> Path:
    save(folder / "long.wav", np.arange(RATE) / RATE)
    (folder / "all.csv").write_text(
        "path,label,start,end,speaker\nlong.wav,b,0.25,0.5,ann\nhum/0.wav,a,,,bo\nlong.wav,b,0.9,,ann\n"
    )
    return folder / "all.csv"


def test_a_manifest_lists_files_and_segments(manifest: Path) -> None:
    data = read_audio_manifest(manifest, start="start", end="end", group="speaker")
    assert (data.classes, data.group_names, data.sample_rate) == (["a", "b"], ["ann", "bo"], RATE)
    assert data.labels is not None
    assert data.groups is not None
    assert (data.labels.tolist(), data.groups.tolist()) == ([1, 0, 1], [0, 1, 0])
    ramp = np.arange(RATE) / RATE
    assert np.abs(data[0]["waveform"][0].numpy() - ramp[2000:4000]).max() < 2**-15
    assert np.abs(data[1]["waveform"][0].numpy() - tone(frequency=100)).max() < 2**-15
    assert np.abs(data[2]["waveform"][0].numpy() - ramp[7200:]).max() < 2**-15
    assert (data[2]["label"], data[2]["group"]) == (1, 0)
    whole = read_audio_manifest(manifest, label=None, root=manifest.parent)
    assert set(whole[0]) == {"waveform", "index"}
    assert whole[0]["waveform"].shape == (1, RATE)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("file,label\na,b\n", {}, "expected a column 'path' in .*, got 'file', 'label'"),
        ("path,label\na.wav,x\n,x\n", {}, "'path' in .*: expected a path, got none in line 3"),
        ("path,label\na.wav,x\na.wav,\n", {}, "expected a label for every item, got none in line 3"),
        ("path,label\na.wav,x\n", {"classes": ["y"]}, "a label must be one of 'y', or its number, got 'x' in line 2"),
        ("path,label,s\na.wav,x,-1\n", {"start": "s"}, "expected seconds in 's', 0 or above, got '-1' in line 2"),
        ("path,label,s\na.wav,x,soon\n", {"start": "s"}, "got 'soon' in line 2"),
        (
            "path,label,s,e\na.wav,x,2,1.5\n",
            {"start": "s", "end": "e"},
            "end after they begin, got 2 to 1.5 s in line 2",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(tmp_path: Path, text: str, options: Any, message: str) -> None:
    save(tmp_path / "a.wav", tone())
    (tmp_path / "all.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_audio_manifest(tmp_path / "all.csv", **options)


def test_segments_outside_their_file_are_named(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", tone(1.0))
    (tmp_path / "all.csv").write_text("path,s,e\na.wav,0.5,1.04\na.wav,1,\na.wav,0,1.1\nno.wav,0,1\n")
    data = read_audio_manifest(tmp_path / "all.csv", label=None, start="s", end="e")
    assert data[0]["waveform"].shape == (1, 4000)
    errors = data.verify()
    assert [error.index for error in errors] == [1, 2, 3]
    assert "expected sound from 1 s to its end, got 1.000 s in all" in str(errors[0])
    assert "expected sound from 0 s to 1.1 s, got 1.000 s in all" in str(errors[1])
    assert "no.wav" in str(errors[2])


RATES = [(44100, 16000), (16000, 44100), (48000, 16000), (44100, 48000), (22050, 16000), (8000, 16000), (16000, 20158)]


@pytest.mark.parametrize(("before", "after"), RATES)
def test_a_resampled_sine_is_the_sine_at_the_new_rate(before: int, after: int) -> None:
    count, nyquist = before // 4, min(before, after) / 2
    for part in (0.01, 0.3, 0.9):
        given, wanted = (np.sin(2 * np.pi * part * nyquist * np.arange(rate) / rate + 0.3) for rate in (before, after))
        got = resample(torch.from_numpy(given[:count]), before, after).numpy()
        assert len(got) == -(-count * after // before)
        middle = slice(len(got) // 4, 3 * len(got) // 4)
        assert np.abs(got - wanted[: len(got)])[middle].max() < 2e-5
        single = resample(torch.from_numpy(given[:count]).float(), before, after).numpy()
        assert np.abs(single - got)[middle].max() < 2e-5


@pytest.mark.parametrize(("before", "after"), [rates for rates in RATES if rates[0] > rates[1]])
def test_what_the_new_rate_cannot_hold_is_gone(before: int, after: int) -> None:
    for part in (1.0, 1.1, 1.5):
        sine = np.sin(np.pi * part * after * np.arange(before // 2) / before + 0.3)
        got = resample(torch.from_numpy(sine), before, after).numpy()
        assert np.abs(got[len(got) // 4 : 3 * len(got) // 4]).max() < 3e-5


@pytest.mark.parametrize(("before", "after"), RATES)
def test_noise_is_resampled_as_scipy_does(before: int, after: int) -> None:
    """Scipy's `resample_poly`, given a filter as long as ours; the pass bands of the two differ by their last part."""
    low = signal.firwin(401, 0.25)  # noise below a quarter of the Nyquist frequency
    noise = np.convolve(np.random.default_rng(0).standard_normal(before // 2), low, "same")
    up, down = after // np.gcd(before, after), before // np.gcd(before, after)
    taps = signal.firwin(2 * 70 * max(up, down) + 1, 1 / max(up, down), window=("kaiser", 9.6))
    wanted = signal.resample_poly(noise, up, down, window=taps)
    got = resample(torch.from_numpy(noise), before, after).numpy()
    assert got.shape == wanted.shape
    middle = slice(len(got) // 8, -len(got) // 8)
    assert np.abs(got - wanted)[middle].max() < 1e-4 * np.abs(wanted).max()


@given(count=st.integers(1, 300), before=st.integers(1, 200), after=st.integers(1, 200))
def test_lengths_shapes_and_rows(count: int, before: int, after: int) -> None:
    waves = torch.linspace(-1, 1, 6 * count, dtype=torch.float64).reshape(2, 3, count)
    got = resample(waves, before, after)
    assert got.shape == (2, 3, -(-count * after // before))
    assert torch.allclose(got[1, 2], resample(waves[1, 2], before, after), atol=1e-12)


def test_resampling_is_linear_has_gradients_and_leaves_its_input() -> None:
    waves = torch.randn(2, 60, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resample(x, 3, 2), (waves,))
    before = waves.detach().clone()
    resample(waves, 3, 2)
    assert torch.equal(before, waves.detach())
    assert resample(waves, 5, 5) is waves
    assert resample(waves[:, :0], 3, 2).shape == (2, 0)


def test_bad_arguments_of_resampling_are_named() -> None:
    with pytest.raises(TypeError, match=r"floating point, got torch.int16"):
        resample(torch.zeros(4, dtype=torch.int16), 3, 2)
    with pytest.raises(ValueError, match=r"whole numbers above 0, got 0 and 2"):
        resample(torch.zeros(4), 0, 2)
    with pytest.raises(ValueError, match=r"got 3 and 2.5"):
        resample(torch.zeros(4), 3, 2.5)  # type: ignore[arg-type]


def test_without_soundfile_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(ImportError, match=r"pip install 'torchaug-synth\[audio\]'"):
        read_audio_folder(folder)
