"""Sound that soundfile cannot read: what is asked of torchcodec, what is said without it, and real files where it is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from torchaug.audio import SoundBank
from torchaug.audio.compressed import EXTENSIONS
from torchaug.audio.files import read_sound
from torchaug.data import SampleError, load, read_audio_folder

RATE = 8000
RAMP = torch.arange(RATE) / RATE
STEREO = torch.stack([RAMP, -RAMP / 2])
"""A second of two channels."""
Install = Callable[..., list[float]]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """A torchcodec that decodes STEREO from any file; returns the seconds that it was asked to decode."""

    def put(promised: float | None = 1.0, held: Tensor = STEREO, fails: str = "", opens: str = "") -> list[float]:
        asked: list[float] = []

        class AudioDecoder:
            metadata = SimpleNamespace(sample_rate=RATE, duration_seconds=promised)

            def __init__(self, source: Path) -> None:
                if opens:
                    raise RuntimeError(opens)

            def get_samples_played_in_range(self, start: float, stop: float) -> Any:
                if fails:
                    raise RuntimeError(fails)
                assert start == 0
                asked.append(stop)
                return SimpleNamespace(data=held[:, : round(stop * RATE)])

            def get_all_samples(self) -> Any:
                return self.get_samples_played_in_range(0.0, 1e6)

        package, decoders = ModuleType("torchcodec"), ModuleType("torchcodec.decoders")
        decoders.AudioDecoder = AudioDecoder  # type: ignore[attr-defined]
        package.decoders = decoders  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torchcodec", package)
        monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
        return asked

    return put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.m4a").write_bytes(b"AAC")
    return tmp_path


def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, name, None)


def test_a_segment_is_cut_from_what_torchcodec_decodes(folder: Path, install: Install) -> None:
    asked = install()
    file = folder / "a.m4a"
    assert torch.equal(read_sound(file, sample_rate=RATE, mono=False), STEREO)
    got = read_sound(file, sample_rate=RATE, mono=False, start=0.25, end=0.5)
    assert torch.equal(got, STEREO[:, 2000:4000])
    assert torch.equal(read_sound(file, sample_rate=RATE, start=0.25, end=0.5), got.mean(0, keepdim=True))
    middle = read_sound(file, sample_rate=RATE, mono=False, seconds=0.2, offset_mode="center")
    assert torch.equal(middle, STEREO[:, 3200:4800])
    assert read_sound(file, sample_rate=RATE // 2, seconds=0.5).shape == (1, 2000)
    assert all(stop < 0.7 for stop in asked[1:])  # nothing is decoded behind the segment, but for a frame or two


def test_an_aac_stream_is_as_long_as_what_it_holds(tmp_path: Path, install: Install) -> None:
    """Its head only estimates that."""
    (tmp_path / "a.aac").write_bytes(b"AAC")
    install(promised=3.0)
    assert torch.equal(read_sound(tmp_path / "a.aac", sample_rate=RATE, mono=False), STEREO)
    install(promised=None)  # as a recording of a browser has it
    (tmp_path / "a.webm").write_bytes(b"WebM")
    assert torch.equal(read_sound(tmp_path / "a.webm", sample_rate=RATE, mono=False, start=0.5), STEREO[:, 4000:])


def test_what_a_codec_adds_at_the_end_is_left_out_and_what_is_missing_is_told(folder: Path, install: Install) -> None:
    file = folder / "a.m4a"
    install(promised=0.9)
    assert read_sound(file, sample_rate=RATE).shape == (1, 7200)
    install(promised=1.04)
    assert read_sound(file, sample_rate=RATE).shape == (1, 8000)
    install(promised=1.2)
    with pytest.raises(ValueError, match="expected 9600 samples from 0 on, got 8000: the file was cut off"):
        read_sound(file, sample_rate=RATE)
    install(fails="decode_av_frame, /src/Decoder.cpp:1493, Could not push packet")
    with pytest.raises(ValueError, match="got an error: Could not push packet; the file was cut off"):
        read_sound(file, sample_rate=RATE)
    install(held=STEREO * torch.nan)
    with pytest.raises(ValueError, match="expected finite samples, got 16000 NaN"):
        read_sound(file, sample_rate=RATE)
    install(held=STEREO[:, :0], promised=0.0)
    with pytest.raises(ValueError, match="expected samples, got none"):
        read_sound(file, sample_rate=RATE)
    install()
    with pytest.raises(ValueError, match=r"expected sound from 1 s to its end, got 1.000 s in all"):
        read_sound(file, sample_rate=RATE, start=1.0)
    with pytest.raises(ValueError, match=r"expected a sound file, got nothing at .*none\.mp4"):
        read_sound(folder / "none.mp4", sample_rate=RATE)


def test_readers_and_banks_take_such_files(folder: Path, install: Install) -> None:
    install()
    soundfile.write(folder / "b.wav", RAMP.numpy(), RATE)
    data = load(folder)
    assert [path.name for path in data.paths] == ["a.m4a", "b.wav"]  # type: ignore[union-attr]
    assert data.sample_rate == RATE  # type: ignore[union-attr]
    assert torch.equal(data[0]["waveform"], STEREO.mean(0, keepdim=True))
    assert len(SoundBank.from_files(folder / "a.m4a", RATE)) == 1
    install(opens="Invalid data")
    (error,) = read_audio_folder(folder).verify()  # the rate is by the other file
    assert "a.m4a" in str(error)
    with pytest.raises(ValueError, match=r"SoundBank: expected a sound file at .*a\.m4a, got: .*Invalid data"):
        SoundBank.from_files(folder / "a.m4a", RATE)


def test_without_torchcodec_the_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch)
    text = r"need torchcodec and FFmpeg, got ModuleNotFoundError: .*torchcodec.*pip install 'torchcodec>=0.12' and install FFmpeg"
    with pytest.raises(ImportError, match=text):
        read_sound(folder / "a.m4a", sample_rate=RATE)
    with pytest.raises(ImportError, match=text):
        read_audio_folder(folder, sample_rate=RATE)
    with pytest.raises(ImportError, match=text):
        SoundBank.from_files(folder / "a.m4a", RATE)
    (folder / "a.m4a").unlink()
    soundfile.write(folder / "b.wav", RAMP.numpy(), RATE)
    assert len(read_audio_folder(folder)) == 1  # the others need none


def test_a_torchcodec_that_does_not_work_is_told_from_a_bad_file(folder: Path, install: Install) -> None:
    install(opens="Could not load libtorchcodec. Likely causes:\n 1. FFmpeg is not installed")
    for read in (lambda: read_sound(folder / "a.m4a", sample_rate=RATE), lambda: read_audio_folder(folder)):
        with pytest.raises(ImportError, match="got RuntimeError: Could not load libtorchcodec"):
            read()
    install(opens="SingleStreamDecoder, /src/Decoder.cpp:41, Could not open input file: a.m4a")
    with pytest.raises(ValueError, match=r"FFmpeg knows, got an error: Could not open input file: a.m4a"):
        read_sound(folder / "a.m4a", sample_rate=RATE)


def test_mp3_is_torchcodecs_where_soundfile_is_old(
    tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.mp3", np.zeros(RATE), RATE, format="MP3")
    asked = install()
    assert not read_sound(tmp_path / "a.mp3", sample_rate=RATE).any()
    assert asked == []
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "WAV"})
    assert torch.equal(read_sound(tmp_path / "a.mp3", sample_rate=RATE, mono=False), STEREO)


# --- the real one ---


@pytest.fixture(scope="module")
def encoder() -> Any:
    """Writes sound as the ending of a file says; skipped without torchcodec and FFmpeg."""
    encoders = pytest.importorskip("torchcodec.encoders", exc_type=ImportError)
    try:
        encoders.AudioEncoder(torch.zeros(1, 800), sample_rate=RATE).to_tensor(format="wav")
    except RuntimeError as error:
        pytest.skip(f"torchcodec finds no FFmpeg: {str(error).splitlines()[0]}")
    return encoders.AudioEncoder


TIME = torch.arange(32000) / 16000
TONES = torch.stack([0.4 * torch.sin(880 * torch.pi * TIME), 0.4 * torch.sin(2000 * torch.pi * TIME)])


@pytest.mark.parametrize("ending", EXTENSIONS)
def test_real_files_hold_what_was_written(encoder: Any, tmp_path: Path, ending: str) -> None:
    file, rate = tmp_path / f"a{ending}", 48000 if ending == ".webm" else 16000
    encoder(TONES, sample_rate=16000).to_file(file, sample_rate=rate, bit_rate=128000)
    got = read_sound(file, sample_rate=rate, mono=False)
    assert abs(got.shape[1] / rate - 2) < (
        0.2 if ending == ".aac" else 0.01
    )  # a stream begins with the codec's own silence
    for channel, hertz in zip(got[:, rate // 2 : -rate // 2].double(), (440, 1000), strict=True):
        power = torch.fft.rfft(channel * torch.hann_window(len(channel), dtype=torch.float64)).abs().square()
        near = round(hertz * len(channel) / rate)
        assert power[near - 3 : near + 4].sum() > 0.99 * power.sum()
        assert float(channel.square().mean().sqrt()) == pytest.approx(0.4 / 2**0.5, rel=0.03)
    part = read_sound(file, sample_rate=rate, mono=False, start=0.5, end=0.75)
    assert torch.equal(part, got[:, rate // 2 : rate * 3 // 4])
    data = read_audio_folder(tmp_path, seconds=0.5)
    assert data.sample_rate == rate
    assert data[0]["waveform"].shape == (1, rate // 2)


def test_real_files_that_were_cut_off_are_told(encoder: Any, tmp_path: Path) -> None:
    for ending in (".m4a", ".webm"):
        encoder(TONES, sample_rate=16000).to_file(tmp_path / f"a{ending}", sample_rate=48000)
        content = (tmp_path / f"a{ending}").read_bytes()
        (tmp_path / f"a{ending}").write_bytes(content[: len(content) // 2])
    (tmp_path / "b.m4a").write_bytes(b"no sound at all")
    data = read_audio_folder(tmp_path, sample_rate=16000)
    for index in range(3):
        with pytest.raises(SampleError, match=r"got an error|the file was cut off"):
            data[index]
