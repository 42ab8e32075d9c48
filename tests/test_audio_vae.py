"""Sounds in memory, vowels made on the spot, and the VAE that varies and makes them."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from torchaug.data import Bank, TensorWaveforms, collate, export, item_hashes, read_audio_folder, vowels
from torchaug.keys import sample_keys
from torchaug.models.audio_vae import AudioVAE
from torchaug.models.spectrogram import SpectrogramCodec
from torchaug.models.vae import ImageVAE
from torchaug.training.audio import LitAudioVAE
from torchaug.training.data import SynthesisDataModule
from torchaug.training.fit import fit
from torchaug.training.load import load_generator

RATE = 8000
SMALL: dict[str, Any] = {"latent": 4, "codec": {"mels": 16}}


def tones(count: int = 6, seconds: float = 0.1) -> TensorWaveforms:
    """Two classes, 500 Hz and 2000 Hz, of varied loudness and length."""
    labels = torch.arange(count) % 2
    time = torch.arange(round(seconds * RATE)) / RATE
    pitch = torch.tensor([500.0, 2000.0])[labels, None]
    loudness = torch.linspace(0.2, 0.8, count)[:, None]
    waveforms = (loudness * torch.sin(2 * torch.pi * pitch * time))[:, None]
    lengths = len(time) - 40 * (torch.arange(count) % 6)
    return TensorWaveforms(waveforms, labels, ["low", "high"], sample_rate=RATE, lengths=lengths)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit("audio-vae", tones(), out=tmp_path_factory.mktemp("sounds"), steps=60, batch_size=8, every=0, settings=SMALL)  # fmt: skip


# --- sounds in memory ---


def test_items_have_their_own_length() -> None:
    data = tones()
    item = data[2]
    assert {name: item[name] for name in ("label", "index")} == {"label": 0, "index": 2}
    assert torch.equal(item["waveform"], data.waveforms[2, :, :720])
    item["waveform"].zero_()
    assert data.waveforms[2].any()
    some = data.subset([4, 1])
    assert (some.lengths.tolist(), some.classes, some.sample_rate) == ([640, 760], ["low", "high"], RATE)
    assert some.labels is not None
    assert some.labels.tolist() == [0, 1]
    assert torch.equal(collate([some[0], some[1]])["lengths"], some.lengths)


def test_padding_is_no_content() -> None:
    data = tones()
    other = data.waveforms.clone()
    other[2, :, 720:] = 0.5
    same = TensorWaveforms(other, data.labels, data.classes, sample_rate=RATE, lengths=data.lengths)
    assert torch.equal(item_hashes(data), item_hashes(same))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"waveforms": torch.zeros(3, 9)}, ValueError, r"\(N, C, T\) float32 .* got torch.float32 \(3, 9\)"),
        ({"waveforms": torch.zeros(0, 1, 9)}, ValueError, "not empty"),
        ({"waveforms": torch.zeros(3, 1, 9).double()}, ValueError, "got torch.float64"),
        ({"labels": torch.tensor([0, 1])}, ValueError, r"expected \(3,\) labels"),
        ({"classes": None}, ValueError, "labels and their classes, or neither"),
        ({"labels": torch.tensor([0, 1, 2])}, ValueError, r"\[0, 2\) for 2 classes, got 2 at index 2"),
        ({"sample_rate": 0}, ValueError, "at least 1, got 0"),
        ({"lengths": torch.tensor([9, 0, 9])}, ValueError, "from 1 to 9, got 0 at index 1"),
        ({"lengths": torch.tensor([9, 9, 10])}, ValueError, "from 1 to 9, got 10 at index 2"),
        ({"lengths": torch.tensor([9.0, 9.0, 9.0])}, ValueError, r"\(3,\) int64, got torch.float32"),
    ],
)
def test_sounds_that_are_none_are_refused(change: dict[str, Any], error: type[Exception], text: str) -> None:
    good: dict[str, Any] = {"waveforms": torch.zeros(3, 1, 9), "labels": torch.tensor([0, 1, 0]), "classes": ["a", "b"]}
    with pytest.raises(error, match=text):
        TensorWaveforms(**{**good, "sample_rate": RATE, **change})


def test_files_come_into_memory(tmp_path: Path) -> None:
    samples = {("hiss", 300): 0.25, ("hiss", 500): -0.5, ("hum", 400): 0.75}
    for (name, length), value in samples.items():
        (tmp_path / name).mkdir(exist_ok=True)
        soundfile.write(tmp_path / name / f"{length}.wav", np.full(length, value), RATE)
    files = read_audio_folder(tmp_path)
    data = files.in_memory()
    assert isinstance(data, TensorWaveforms)
    assert (data.waveforms.shape, data.lengths.tolist(), data.sample_rate) == ((3, 1, 500), [300, 500, 400], RATE)
    assert data.labels is not None
    assert (data.labels.tolist(), data.classes) == ([0, 0, 1], ["hiss", "hum"])
    for row, length, value in zip(data.waveforms, [300, 500, 400], [0.25, -0.5, 0.75], strict=True):
        assert row.tolist() == [[value] * length + [0.0] * (500 - length)]
    some = files.subset([2, 0]).in_memory()
    assert isinstance(some, TensorWaveforms)
    assert (some.lengths.tolist(), some.waveforms.shape[2]) == ([400, 300], 400)
    soundfile.write(tmp_path / "hum" / "stereo.wav", np.zeros((9, 2)), RATE)
    with pytest.raises(ValueError, match=r"got 2 in .*stereo.wav beside 1 in .*300.wav; pass mono=True"):
        read_audio_folder(tmp_path, mono=False).in_memory()


def test_batches_of_sounds_have_lengths() -> None:
    data = SynthesisDataModule(tones(40), batch_size=8, holdout=0.25)
    assert (len(data.train), len(data.holdout)) == (30, 10)
    batch = next(iter(data.train_dataloader()))
    assert sorted(batch) == ["index", "label", "lengths", "waveform"]
    assert torch.equal(batch["lengths"], data.train.lengths[batch["index"]])
    assert torch.equal(batch["waveform"], data.train.waveforms[batch["index"]])


# --- vowels ---


def test_vowels_are_functions_of_seed_class_and_number() -> None:
    few, more, other = vowels(2, seed=3), vowels(5, seed=3), vowels(2, seed=4)
    assert few.classes == ["a", "e", "i", "o", "u"]
    assert torch.equal(few.waveforms[2:4], more.waveforms[5:7])
    assert not torch.equal(few.waveforms, other.waveforms)
    assert len(more.waveforms.flatten(1).unique(dim=0)) == 25
    assert float(more.waveforms.abs().amax((1, 2)).min()) > 0.05
    assert float(more.waveforms.abs().max()) <= 0.9 + 1e-6
    silent = torch.arange(4000) >= more.lengths[:, None]
    assert not more.waveforms[:, 0][silent].any()


def test_vowels_have_the_formants_of_their_class() -> None:
    """The mean long-term spectrum of many voices, with the partials smoothed away, peaks near the first formant."""
    data = vowels(40, snr_db=30, seed=0)
    power = torch.fft.rfft(data.waveforms[:, 0], 4096).abs().square()
    hertz = torch.arange(power.shape[1]) * RATE / 4096
    published = {"a": 730.0, "e": 530.0, "i": 270.0, "o": 570.0, "u": 300.0}  # Peterson and Barney's first formants
    for label, (name, first) in enumerate(published.items()):
        assert data.labels is not None
        mean = (power[data.labels == label] / power[data.labels == label].sum(1, keepdim=True)).mean(0)
        low = hertz < 1300
        center = float((mean * hertz)[low].sum() / mean[low].sum())
        assert 0.55 * first < center < 1.6 * first, name


def test_vowels_of_another_rate_and_length() -> None:
    assert vowels(1, seconds=0.2, sample_rate=16000).waveforms.shape == (5, 1, 3200)
    with pytest.raises(ValueError, match=r"above 0, got 0 and 0\.5"):
        vowels(0)


# --- the model ---


def model(details: Tensor | None = None) -> AudioVAE:
    codec = SpectrogramCodec(RATE, 800, mels=16).fit(tones().waveforms, tones().lengths)
    torch.manual_seed(0)
    vae = ImageVAE(1, 16, codec.frames, num_classes=2, latent=4, likelihood="gaussian", levels=4096)
    for weight in vae.parameters():  # fresh blocks are their skip connections: nothing would depend on the class
        weight.data += 0.1 * torch.randn_like(weight)
    return AudioVAE(codec, vae, details)


DETAILS = 0.1 * torch.randn(5, 16, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("details", [None, DETAILS])
def test_a_clip_is_a_function_of_its_label_and_key(details: Tensor | None) -> None:
    audio, labels, keys = model(details).double(), torch.tensor([0, 1, 1, 0]), torch.tensor([5, 6, 7, 5])
    made = audio.generate(labels, keys)
    assert (made.shape, made.dtype) == ((4, 1, 800), torch.float64)
    assert torch.equal(made[0], made[3])
    assert not torch.equal(made[1], made[2])
    assert torch.equal(audio.generate(labels[1:3], keys[1:3]), made[1:3])


def test_a_clip_has_the_detail_of_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decoded and one of the details, each as often as the others; the codec takes what is handed to it here."""
    audio, labels, keys = model(DETAILS), torch.zeros(400, dtype=torch.int64), sample_keys(torch.arange(400))
    monkeypatch.setattr(audio.codec, "decode", lambda images: images)
    smooth = audio.vae.generate(labels, keys)
    assert torch.equal(audio.generate(labels, keys, detail=False), smooth)
    made = audio.generate(labels, keys)
    each = (smooth + DETAILS[:, None, None]).clamp(0, 1)  # (5, 400, ...)
    chosen = (made == each).flatten(2).all(2)
    assert (chosen.sum(0) == 1).all()
    assert chosen.sum(1).tolist() == pytest.approx([80] * 5, abs=4 * 8)  # four standard deviations
    latent = smooth.flatten(1).mean(1)
    means = torch.stack([latent[row].mean() for row in chosen])
    assert float(means.std()) < 0.5 * float(latent.std())  # and whatever the latent is
    with pytest.raises(ValueError, match=r"details must be \(K, 16, 7\), K at least 1, got \(5, 7, 16\)"):
        model(DETAILS.mT)


def test_on_the_way_between_clips_their_details_are_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    audio, label = model(DETAILS).double(), torch.tensor([1])
    monkeypatch.setattr(audio.codec, "decode", lambda images: images)
    first, second = torch.tensor([0]), torch.tensor([1])
    made, smooth = audio.interpolate(label, first, second, 3), audio.vae.interpolate(label, first, second, 3)
    assert made.shape == (1, 3, 1, 16, 7)
    assert torch.equal(audio.interpolate(label, first, second, 3, detail=False), smooth)
    details = [audio.generate(label, key) - audio.generate(label, key, detail=False) for key in (first, second)]
    assert not torch.allclose(details[0], details[1])
    off = (made - smooth)[0]
    assert torch.allclose(off[[0, 2]], torch.cat(details), atol=1e-12)
    inside = ((made > 0) & (made < 1))[0].all(0)  # what was not cut off at an end of the range
    assert inside.any()
    assert torch.allclose(off[1][inside], (off[0] + off[2])[inside] / 2, atol=1e-12)


def test_variations_keep_what_the_vae_does_not_know() -> None:
    audio, data, keys = model(), tones(), torch.arange(6)
    assert data.labels is not None
    images = audio.codec.encode(data.waveforms, data.lengths)
    before = images.clone()
    assert torch.allclose(audio.vary(images, data.labels, keys, 0.0), images, atol=1e-6)
    off = [float((audio.vary(images, data.labels, keys, amount) - images).abs().mean()) for amount in (0.1, 0.5, 1.0)]
    assert 0 < off[0] < off[1] < off[2]
    assert torch.equal(images, before)
    varied = audio.vary(images, data.labels, keys, 0.5)
    assert torch.allclose(audio.vary(images[2:4], data.labels[2:4], keys[2:4], 0.5), varied[2:4], atol=1e-3)
    assert (float(varied.min()) >= 0, float(varied.max()) <= 1) == (True, True)


def test_variations_of_waveforms_are_those_of_their_images() -> None:
    audio, data, keys = model(), tones(), torch.arange(6)
    assert data.labels is not None
    made = audio.variations(data.waveforms, data.labels, keys, 0.4, data.lengths)
    images = audio.codec.encode(data.waveforms, data.lengths)
    wanted = audio.codec.decode(audio.vary(images, data.labels, keys, 0.4), data.lengths)
    assert torch.equal(made, wanted)
    assert not made[5, :, 600:].any()


def test_what_does_not_fit_the_model_is_refused() -> None:
    audio = model()
    with pytest.raises(ValueError, match=r"images must be \(1, 16, 7\) as the codec's, got \(1, 8, 8\)"):
        AudioVAE(audio.codec, ImageVAE(1, 8, 8, num_classes=2))
    images = torch.rand(2, 1, 16, 7)
    with pytest.raises(ValueError, match=r"amount must be in \[0, 1\], got 2"):
        audio.vary(images, torch.tensor([0, 1]), torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match="labels must be 0 to 1, got 2 at 1"):
        audio.vary(images, torch.tensor([0, 2]), torch.tensor([0, 1]))


# --- training ---


def peak(waveforms: Tensor) -> Tensor:
    """The loudest frequency of each, in Hz."""
    size = waveforms.shape[2]
    loudest: Tensor = torch.fft.rfft(waveforms[:, 0] * torch.hann_window(size)).abs().argmax(1)
    return loudest * RATE / size


def test_a_trained_generator_sounds_like_its_classes(checkpoint: Path) -> None:
    generator = load_generator(checkpoint)
    assert isinstance(generator, LitAudioVAE)
    assert generator.attributes == {"sample_rate": RATE}
    for name, hertz in (("low", 500), ("high", 2000)):
        made = generator.sample(5, name)
        assert (made.shape, made.dtype) == ((5, 1, 800), torch.float32)
        assert (peak(made) - hertz).abs().max() < 0.25 * hertz  # the width of a mel
        assert float(made.square().mean()) > 1e-3
    assert torch.equal(generator.sample(2, "low"), generator.sample(5, "low")[:2])
    ends = generator.interpolate(0, 3, 4, labels="low")
    assert (ends.shape, ends.dtype) == ((4, 1, 800), torch.float32)
    assert torch.equal(ends[[0, 3]], generator.sample(4, "low")[[0, 3]])


def test_checkpoints_hold_what_the_vae_leaves_out(checkpoint: Path) -> None:
    generator, data = load_generator(checkpoint), tones()
    assert isinstance(generator, LitAudioVAE)
    images = generator.codec.encode(data.waveforms, data.lengths)
    assert data.labels is not None
    with torch.no_grad():
        mean, _ = generator.averaged.encode(images, data.labels)
        wanted = images - generator.averaged.decode(mean, data.labels)
    assert generator.details.shape == (256, 16, 7)
    clips = torch.arange(256) * 6 // 256
    assert torch.allclose(generator.details, wanted[clips, 0], atol=1e-5)
    assert float(generator.details.abs().mean()) > 1e-3
    assert not torch.equal(generator.sample(3, "low"), generator.sample(3, "low", detail=False))


@pytest.mark.parametrize(("seconds", "clips"), [(1.0, 256), (30.0, 46)])
def test_details_of_long_clips_are_fewer(seconds: float, clips: int) -> None:
    data = TensorWaveforms(torch.rand(2, 1, round(seconds * RATE)), sample_rate=RATE)
    module = LitAudioVAE.for_data(data, 1)
    assert len(module.details) == clips
    assert module.details.numel() <= 2**22


def test_made_clips_are_as_rough_as_real_ones(tmp_path: Path) -> None:
    """Noise: its log-mels jump from frame to frame and from mel to mel, and what a VAE expects of it does not."""
    noise = (torch.randn(24, 1, 1600, generator=torch.Generator().manual_seed(0)) / 5).clamp(-1, 1)
    data = TensorWaveforms(noise, sample_rate=RATE)
    generator = load_generator(fit("audio-vae", data, out=tmp_path, steps=60, batch_size=8, every=0, settings=SMALL))
    assert isinstance(generator, LitAudioVAE)

    def roughness(waveforms: Tensor) -> list[float]:
        images = generator.codec.encode(waveforms)[..., 1:-1]
        return [float(images.diff(dim=axis).abs().mean()) for axis in (2, 3)]

    smooth, made, real = (
        roughness(generator.sample(24, detail=False)),
        roughness(generator.sample(24)),
        roughness(noise),
    )
    for plain, ours, wanted in zip(smooth, made, real, strict=True):
        assert plain < 0.6 * wanted
        assert 0.8 * wanted < ours < 1.25 * wanted


def test_the_details_of_many_clips_have_some_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    data, labels = tones(30), torch.zeros(30, dtype=torch.int64)
    labels[[5, 6]] = 1  # of 7 clips evenly from 30 none is one of these
    data = TensorWaveforms(data.waveforms, labels, ["many", "few"], sample_rate=RATE)
    monkeypatch.setattr("torchaug.training.audio.DETAILS", 7)
    lit = LitAudioVAE.for_data(data, 1, settings=SMALL)
    lit.prepare_from(data)
    images, seen = lit.codec.encode(data.waveforms), lit.details.flatten(1)
    kept = [torch.cdist(seen, lit.audio.left_out(images[i, None], labels[i, None]).flatten(1)).amin() for i in (5, 6)]
    assert min(kept) < 1e-4


def test_score_prefers_sounds_of_the_class(checkpoint: Path) -> None:
    generator, data = load_generator(checkpoint), tones()
    assert data.labels is not None
    right, wrong = (generator.score(data.waveforms, labels) for labels in (data.labels, 1 - data.labels))
    assert right.shape == (6,)
    assert (right > wrong).all()
    with pytest.raises(TypeError, match="expected prior, truncation, detail, got tries"):
        generator.sample(1, tries=4)


class StopsAt:
    """An augmentation that changes nothing and fails in a step."""

    def __init__(self, step: int) -> None:
        self.step, self.calls = step, 0

    def __call__(self, images: Tensor, /, *, keys: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.step:
            raise RuntimeError("stopped")
        return images


def test_training_resumes_bit_for_bit(tmp_path: Path) -> None:
    def run(folder: str, stop: int = 99, resume: bool = False) -> dict[str, Any]:
        out, augment = tmp_path / folder, StopsAt(stop)
        file = fit("audio-vae", tones(), out=out, steps=8, batch_size=4, every=4, augment=augment, settings=SMALL, resume=resume)  # fmt: skip
        state: dict[str, Any] = torch.load(file, weights_only=True)
        return state

    whole = run("whole")
    with pytest.raises(RuntimeError, match="stopped"):
        run("parts", stop=6)
    assert torch.load(tmp_path / "parts" / "generator.ckpt", weights_only=True)["global_step"] == 4
    parts = run("parts", resume=True)
    assert (whole["global_step"], parts["global_step"]) == (8, 8)
    assert {"codec.mean", "codec.low"} <= whole["state_dict"].keys()
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


def test_waveforms_are_augmented_in_training(tmp_path: Path) -> None:
    """Whole windows, silent after each clip's end; and what comes back is what is learnt."""
    seen: list[Tensor] = []

    def louder(waveforms: Tensor, /, *, keys: Tensor) -> Tensor:
        seen.append(waveforms.clone())
        assert keys.shape == waveforms.shape[:1]
        return torch.cat([2 * waveforms, waveforms[..., :9]], 2)  # longer, as after a change of speed

    data = tones()
    dirty = data.waveforms.clone()
    dirty[2, :, 720:] = 0.5
    data = TensorWaveforms(dirty, data.labels, data.classes, sample_rate=RATE, lengths=data.lengths)
    plain = fit("audio-vae", data, out=tmp_path / "plain", steps=2, batch_size=6, every=0, settings=SMALL)
    file = fit(
        "audio-vae", data, out=tmp_path / "louder", steps=2, batch_size=6, every=0, settings=SMALL, augment=louder
    )
    whole = {
        (*row[0, :length].tolist(), *[0.0] * (800 - length))
        for row, length in zip(dirty, data.lengths.tolist(), strict=True)
    }
    assert len(seen) == 2
    assert {tuple(row[0].tolist()) for batch in seen for row in batch} <= whole
    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in (plain, file))
    assert any(not torch.equal(first[name], second[name]) for name in first if name.startswith("vae"))
    assert torch.equal(first["codec.mean"], second["codec.mean"])


def test_a_bank_of_sounds_does_not_depend_on_the_batch(checkpoint: Path, tmp_path: Path) -> None:
    generator = load_generator(checkpoint)
    banks = [
        generator.synthesize({"low": 5, "high": 2}, tmp_path / str(size), batch_size=size, shard_size=4)
        for size in (2, 7)
    ]
    first, second = banks
    assert isinstance(first, Bank)
    assert isinstance(second, Bank)
    assert first.attributes == {"sample_rate": RATE}
    for index in range(7):
        assert torch.equal(first[index]["waveform"], second[index]["waveform"])
    folder = tmp_path / "wavs"
    export(first, folder)
    sounds = sorted(folder.rglob("*.wav"))
    assert len(sounds) == 7
    written = [soundfile.read(path, dtype="float32", always_2d=True) for path in sounds]
    assert {rate for _, rate in written} == {RATE}
    made = {first[index]["waveform"].numpy().tobytes() for index in range(7)}
    assert {np.ascontiguousarray(samples.T).tobytes() for samples, _ in written} == made


def test_files_train_a_generator(tmp_path: Path) -> None:
    """From a folder of 16-bit files, written by another library, to a checkpoint."""
    for name, hertz in (("low", 500), ("high", 2000)):
        (tmp_path / name).mkdir()
        for number in range(2):
            with wave.open(str(tmp_path / name / f"{number}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                tone = 20000 * np.sin(2 * np.pi * hertz * np.arange(600 + 100 * number) / RATE)
                file.writeframes(struct.pack(f"<{len(tone)}h", *tone.astype(int)))
    checkpoint = fit("audio-vae", read_audio_folder(tmp_path), out=tmp_path / "out", steps=2, batch_size=4, settings=SMALL)  # fmt: skip
    generator = load_generator(checkpoint)
    assert (generator.classes, generator.sample(1, "low").shape) == (["high", "low"], (1, 1, 700))
    assert generator.trained_items is not None
    assert len(generator.trained_items) == 4


def test_sounds_without_labels_train_too(tmp_path: Path) -> None:
    data = TensorWaveforms(tones().waveforms, sample_rate=RATE)
    checkpoint = fit("audio-vae", data, out=tmp_path, steps=2, batch_size=4, every=0, settings=SMALL)
    assert load_generator(checkpoint).sample(2).shape == (2, 1, 800)


def test_data_that_it_is_not_made_for_are_refused(tmp_path: Path, checkpoint: Path) -> None:
    stereo = TensorWaveforms(torch.rand(4, 2, 800), sample_rate=RATE)
    with pytest.raises(ValueError, match="expected sounds of one channel, got 2; read them with mono=True"):
        fit("audio-vae", stereo, out=tmp_path, steps=1)
    with pytest.raises(TypeError, match="expected labelled images, got a TensorWaveforms"):
        fit("vae", tones(), out=tmp_path, steps=1)
    silent = TensorWaveforms(torch.zeros(4, 1, 800), sample_rate=RATE)
    with pytest.raises(ValueError, match="silence in all 4 clips"):
        fit("audio-vae", silent, out=tmp_path, steps=1)
    with pytest.raises(ValueError, match="objective must not be 'vq'"):
        fit("audio-vae", tones(), out=tmp_path, steps=1, settings={"objective": "vq"})
    data = tones()
    faster = TensorWaveforms(data.waveforms, data.labels, data.classes, sample_rate=16000)
    with pytest.raises(ValueError, match="sample_rate 8000, and 16000 was asked for"):
        fit("audio-vae", faster, out=checkpoint.parent, steps=100, resume=True)
