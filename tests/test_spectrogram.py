"""Sound as an image and back: the filters against torchaudio's, the way back against the sound that went in."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from torch import Tensor

from torchaug.audio.mel import MelScale, hertz_to_mel, mel_filters, mel_to_hertz
from torchaug.models.phase import griffin_lim, overlap_add, phase_from_slopes, spectrum
from torchaug.models.spectrogram import SpectrogramCodec, unmel

RATE, SAMPLES = 16000, 8192
TIME = torch.arange(SAMPLES, dtype=torch.float64) / RATE


def voice(pitch: float) -> Tensor:
    """A buzz through three resonances, with vibrato."""
    turns = (pitch * (1 + 0.02 * torch.sin(2 * math.pi * 5 * TIME))).cumsum(0) / RATE
    partials = torch.arange(1, int(7000 / pitch), dtype=torch.float64)[:, None]
    gain = sum(1 / (1 + ((partials * pitch - center) / 100) ** 2) for center in (700, 1200, 2500))
    return loud((gain / partials.sqrt() * torch.sin(2 * math.pi * partials * turns + partials**2)).sum(0))


def chirp(first: float, last: float) -> Tensor:
    return 0.5 * torch.from_numpy(signal.chirp(TIME.numpy(), first, float(TIME[-1]), last, method="logarithmic"))


def pluck(pitch: float) -> Tensor:
    """Karplus and Strong's string, as the recursive filter that it is."""
    period = round(RATE / pitch)
    burst = np.zeros(SAMPLES)
    burst[:period] = np.random.default_rng(0).uniform(-1, 1, period)
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1, -0.498, -0.498
    return loud(torch.from_numpy(signal.lfilter([1], loop, burst)))


def loud(waveform: Tensor) -> Tensor:
    return 0.7 * waveform / waveform.abs().max()


SOUNDS = {
    "voice": lambda: torch.stack([voice(110), voice(140), voice(200)]),
    "chirp": lambda: torch.stack([chirp(200, 4000), chirp(3000, 300), chirp(100, 1000)]),
    "pluck": lambda: torch.stack([pluck(110), pluck(196), pluck(330)]),
}


def sounds(kind: str) -> Tensor:
    return SOUNDS[kind]()[:, None].float()


def decibels(codec: SpectrogramCodec, first: Tensor, second: Tensor) -> float:
    """Mean difference of the log-mels of two waveforms."""
    mels = [(codec.filters @ codec.magnitudes(w)).clamp(min=codec.floor.exp()) for w in (first, second)]
    return float((20 * torch.log10(mels[0] / mels[1])).abs().mean())


def convergence(magnitude: Tensor, waveforms: Tensor, window: Tensor, hop: int) -> float:
    """Spectral convergence: how far the magnitudes of waveforms are from what was asked, as a share of it."""
    off = (spectrum(waveforms, window, hop).abs() - magnitude).norm(dim=(1, 2))
    return float((off / magnitude.norm(dim=(1, 2))).mean())


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(
    ("size", "rate", "mels", "low", "high"), [(1024, 16000, 64, 0, 8000), (512, 8000, 40, 50, 3500), (2048, 44100, 80, 0, 22050)]
)  # fmt: skip
def test_filters_are_those_of_torchaudio(
    size: int, rate: int, mels: int, low: float, high: float, scale: MelScale
) -> None:
    functional = pytest.importorskip("torchaudio.functional")
    theirs = functional.melscale_fbanks(size // 2 + 1, low, high, mels, rate, norm="slaney", mel_scale=scale)
    ours = mel_filters(size, rate, mels, low_hz=low, high_hz=high, scale=scale)
    assert (ours - theirs.T).abs().max() < 2e-5 * theirs.max()  # theirs is float32


def test_spectrogram_is_that_of_torchaudio() -> None:
    transforms = pytest.importorskip("torchaudio.transforms")
    theirs = transforms.MelSpectrogram(
        RATE, 1024, hop_length=256, n_mels=64, power=1.0, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    codec, waveforms = SpectrogramCodec(RATE, SAMPLES), sounds("voice")
    found = codec.filters @ codec.magnitudes(waveforms)
    wanted = theirs(waveforms[:, 0])[..., :-1]  # the frame centred on the end is left out
    assert found.shape == wanted.shape == (3, 64, 32)
    assert (found - wanted).abs().max() < 2e-5 * wanted.max()


def test_mel_scales_are_the_published_ones() -> None:
    hertz = torch.tensor([0.0, 500.0, 1000.0, 6400.0], dtype=torch.float64)
    assert hertz_to_mel(hertz, "slaney").tolist() == pytest.approx([0, 7.5, 15, 42])
    htk = [1127.010480 * math.log(1 + f / 700) for f in hertz.tolist()]  # the other common form of the formula
    assert hertz_to_mel(hertz, "htk").tolist() == pytest.approx(htk, rel=2e-5)


@given(st.floats(0, 22050), st.sampled_from(["slaney", "htk"]))
def test_mel_scales_are_inverted(hertz: float, scale: MelScale) -> None:
    there = hertz_to_mel(torch.tensor([hertz], dtype=torch.float64), scale)
    assert float(mel_to_hertz(there, scale)) == pytest.approx(hertz, abs=1e-6)


@settings(max_examples=20)
@given(st.sampled_from([16, 64, 256]), st.integers(1, 12), st.integers(0, 100))
def test_a_spectrum_gives_its_waveform_back(size: int, frames: int, seed: int) -> None:
    hop, window = size // 4, torch.hann_window(size, dtype=torch.float64)
    waveforms = torch.randn(2, frames * hop, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    spectra = spectrum(waveforms, window, hop)
    assert spectra.shape == (2, size // 2 + 1, frames)
    assert torch.allclose(overlap_add(spectra, window, hop), waveforms, atol=1e-9)


def test_phases_of_a_tone_advance_with_its_frequency() -> None:
    """The phase that the slopes give a steady tone at its loudest bin is its own, but for a constant."""
    size, hop, hertz = 1024, 256, 1003.0
    tone = torch.sin(2 * math.pi * hertz * TIME)[None]
    spectra = spectrum(tone, torch.hann_window(size, dtype=torch.float64), hop)[..., 4:-4]
    loudest = int(spectra.abs().sum(2).argmax())
    found = phase_from_slopes(spectra.abs(), size, hop)[0, loudest]
    wanted = 2 * math.pi * hertz * hop / RATE
    assert found.diff().sub(wanted).abs().max() < 0.05  # radians in a frame; the bin itself is 0.3 off


def test_phases_of_neighbouring_bins_belong_together() -> None:
    """Before any projection: the bins of a pluck are in step where it begins."""
    size, hop = 1024, 256
    window, waveforms = torch.hann_window(size), sounds("pluck")[:, 0]
    magnitude = spectrum(waveforms, window, hop).abs()
    made = griffin_lim(magnitude, window, hop, phase=phase_from_slopes(magnitude, size, hop), iterations=0)
    assert convergence(magnitude, made, window, hop) < 0.35  # 0.6 where every frame begins in step, not its middle


def test_the_phase_of_a_quiet_clip_does_not_depend_on_a_loud_one() -> None:
    magnitude = torch.rand(2, 33, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-9, 1.0]).view(
        2, 1, 1
    )
    alone = phase_from_slopes(magnitude[:1], size=64, hop=16)
    assert torch.equal(phase_from_slopes(magnitude, size=64, hop=16)[:1], alone)
    assert torch.allclose(phase_from_slopes(1e9 * magnitude[:1], size=64, hop=16), alone, atol=1e-2)


@pytest.mark.parametrize(("kind", "limit"), [("voice", 0.09), ("chirp", 0.11), ("pluck", 0.09)])
def test_sound_comes_back_from_magnitudes(kind: str, limit: float) -> None:
    """Nearer than without momentum, and, but for fast chirps, than from a random phase."""
    size, hop = 1024, 256
    window, waveforms = torch.hann_window(size), sounds(kind)[:, 0]
    magnitude = spectrum(waveforms, window, hop).abs()
    ours = phase_from_slopes(magnitude, size, hop)
    chance = 2 * math.pi * torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(0))

    def error(phase: Tensor, momentum: float) -> float:
        made = griffin_lim(magnitude, window, hop, phase=phase, momentum=momentum)
        return convergence(magnitude, made, window, hop)

    assert error(ours, 0.99) < limit
    assert kind == "chirp" or error(ours, 0.99) < error(chance, 0.99)
    assert error(ours, 0.99) < error(ours, 0.0)


def test_unmel_is_nearer_than_the_pseudo_inverse() -> None:
    codec = SpectrogramCodec(RATE, SAMPLES)
    for kind in SOUNDS:
        true = codec.magnitudes(sounds(kind))
        mels = codec.filters @ true
        found, simple = unmel(mels, codec.filters), (torch.linalg.pinv(codec.filters) @ mels).clamp(min=0)
        assert (found >= 0).all()
        assert (codec.filters @ found - mels).norm() < 0.01 * mels.norm()
        assert (found - true).norm() < (simple - true).norm()


@pytest.mark.parametrize(("kind", "limit"), [("voice", 1.6), ("chirp", 1.2), ("pluck", 1.6)])
def test_log_mels_survive_the_way_back(kind: str, limit: float) -> None:
    waveforms = sounds(kind)
    codec = SpectrogramCodec(RATE, SAMPLES).fit(torch.cat([sounds(name) for name in SOUNDS]))
    back = codec.decode(codec.encode(waveforms))
    assert (back.shape, back.dtype) == (waveforms.shape, torch.float32)
    assert decibels(codec, waveforms, back) < limit
    power = [float(w.square().mean()) for w in (waveforms, back)]
    assert 0.7 < power[1] / power[0] < 1.3  # partials that share a mel are spread over its bins


def test_a_tone_comes_back_at_its_pitch() -> None:
    tone = 0.5 * torch.sin(2 * math.pi * 440 * TIME).float()[None, None]
    codec = SpectrogramCodec(RATE, SAMPLES)
    back = codec.decode(codec.encode(tone))[0, 0]
    spectrum_of = torch.fft.rfft(back * torch.hann_window(SAMPLES)).abs()
    assert float(spectrum_of.argmax()) * RATE / SAMPLES == pytest.approx(440, abs=8)  # half a bin of the codec


def test_statistics_leave_padding_out_and_fill_the_range() -> None:
    short = torch.zeros(4, 1, SAMPLES)
    short[..., :4096] = sounds("voice")[:1, :, :4096] * torch.tensor([0.3, 0.5, 0.7, 1.0]).view(4, 1, 1)
    lengths = torch.full((4,), 4096)
    codec = SpectrogramCodec(RATE, SAMPLES).fit(short, lengths)
    images = codec.encode(short, lengths)
    assert float(images.min()) == 0
    assert float(images.max()) == pytest.approx(1, abs=1e-5)
    own = images[..., : 4096 // codec.hop]
    logs = codec.mean[:, None] + codec.deviation[:, None] * (codec.low + (codec.high - codec.low) * own)
    direct = (codec.filters @ codec.magnitudes(short)).clamp(min=codec.floor.exp()).log()[..., : 4096 // codec.hop]
    assert torch.allclose(logs[:, 0], direct, atol=1e-3)
    assert torch.allclose(codec.mean, direct.mean((0, 2)), atol=1e-4)
    assert torch.allclose(codec.deviation, direct.std((0, 2), correction=0).clamp(min=0.1), atol=1e-4)
    assert float(codec.floor) == pytest.approx(float(direct.max()) - 80 / 20 * math.log(10), abs=1e-4)


def test_statistics_do_not_depend_on_the_chunks() -> None:
    many = sounds("voice").repeat(50, 1, 1) * torch.linspace(0.1, 1, 150).view(-1, 1, 1)
    found = SpectrogramCodec(RATE, SAMPLES).fit(many).state_dict()
    mixed = SpectrogramCodec(RATE, SAMPLES).fit(many.flip(0)).state_dict()
    assert all(torch.allclose(found[name], mixed[name], atol=1e-5) for name in found)


def test_lengths_are_kept() -> None:
    waveforms, lengths = sounds("voice"), torch.tensor([SAMPLES, 5000, 1])
    codec = SpectrogramCodec(RATE, SAMPLES)
    dirty = waveforms.clone()
    dirty[1, :, 5000:] = 0.9  # whatever lies there is not the clip's
    silent = torch.where(torch.arange(SAMPLES) < lengths[:, None, None], waveforms, 0)
    assert torch.equal(codec.encode(dirty, lengths), codec.encode(silent))
    back = codec.decode(codec.encode(waveforms, lengths), lengths)
    assert (back[1, 0, 5000:] == 0).all()
    assert (back[1, 0, :5000] != 0).any()


def test_clips_are_cut_and_filled() -> None:
    codec = SpectrogramCodec(8000, 3000)
    assert (codec.frames, codec.mels) == (24, 48)
    long = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(0)) / 10
    assert torch.equal(codec.encode(long), codec.encode(long[..., :3000]))
    padded = torch.cat([long[..., :1000], torch.zeros(2, 1, 2000)], dim=2)
    assert torch.equal(codec.encode(long[..., :1000]), codec.encode(padded))
    assert codec.decode(codec.encode(long)).shape == (2, 1, 3000)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_waveform_does_not_depend_on_the_batch(dtype: torch.dtype) -> None:
    codec = SpectrogramCodec(8000, 2048).to(dtype)
    images = torch.rand(4, 1, 48, 16, generator=torch.Generator().manual_seed(0), dtype=dtype)
    alone = torch.cat([codec.decode(images[i : i + 1], iterations=8) for i in (2, 0)])
    assert torch.equal(codec.decode(images, iterations=8)[[2, 0]], alone)


def test_silence_stays_silent_and_inputs_stay_as_they_are() -> None:
    codec = SpectrogramCodec(8000, 2048)
    assert not codec.decode(codec.encode(torch.zeros(1, 1, 2048))).any()
    waveforms = torch.rand(1, 1, 2048)
    before, images = waveforms.clone(), codec.encode(waveforms)
    kept = images.clone()
    codec.decode(images)
    assert torch.equal(waveforms, before)
    assert torch.equal(images, kept)


def test_the_state_is_the_statistics() -> None:
    codec = SpectrogramCodec(8000, 2048).fit(torch.rand(3, 1, 2048))
    other = SpectrogramCodec(8000, 2048)
    assert sorted(other.state_dict()) == ["deviation", "floor", "high", "low", "mean"]
    other.load_state_dict(codec.state_dict())
    waveforms = torch.rand(2, 1, 2048)
    assert torch.equal(codec.encode(waveforms), other.encode(waveforms))


def test_bad_input_is_refused_in_words() -> None:
    codec = SpectrogramCodec(8000, 2048)
    with pytest.raises(ValueError, match=r"\(B, 1, T\), got torch.float32 \(2, 2, 9\); take the mean of channels"):
        codec.encode(torch.zeros(2, 2, 9))
    with pytest.raises(ValueError, match=r"floating point .* got torch.int16"):
        codec.encode(torch.zeros(2, 1, 9, dtype=torch.int16))
    with pytest.raises(ValueError, match=r"images must be \(B, 1, 48, 16\), got \(1, 1, 48, 9\)"):
        codec.decode(torch.zeros(1, 1, 48, 9))
    bad = torch.ones(3, 1, 2048)
    bad[1, 0, 5] = math.nan
    with pytest.raises(ValueError, match="NaN or infinite in clip 1"):
        codec.fit(bad)
    with pytest.raises(ValueError, match="silence in all 2 clips"):
        codec.fit(torch.zeros(2, 1, 2048))
    with pytest.raises(ValueError, match="400 mels are too many for 512 samples at 8000 Hz"):
        SpectrogramCodec(8000, 2048, mels=400)
    with pytest.raises(ValueError, match="hop from 1 to a quarter"):
        SpectrogramCodec(8000, 2048, hop=200)
    with pytest.raises(ValueError, match="at least 1, got 0 and 2048"):
        SpectrogramCodec(0, 2048)
    with pytest.raises(ValueError, match="scale must be one of slaney, htk, got 'bark'"):
        mel_filters(512, 8000, 40, scale="bark")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="low_hz < high_hz <= 4000, got 40, 0 and 5000"):
        mel_filters(512, 8000, 40, high_hz=5000, scale="htk")
