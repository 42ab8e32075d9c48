"""Filters, loudness, air and rooms: what they do to sounds that show it, and what they refuse."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type"
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from conformance_audio_filters import RATE, hiss, lufs, reverberation_time
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, signal, stats

from torchaug import Batch, Compose
from torchaug import audio as A
from torchaug.audio.air import attenuation
from torchaug.audio.biquads import butterworth, butterworth_band, digital, peaking, ringing, shelf, warped
from torchaug.audio.biquads import response as gains_of
from torchaug.audio.convolve import convolve, fast_size
from torchaug.audio.recursion import space, through
from torchaug.audio.shoebox import images, longest, reflections
from torchaug.keys import sample_keys, uniforms
from torchaug.transform import Layer

KEYS = sample_keys(torch.arange(12), seed=1)


def played(layer: Layer, sound: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
    out = layer(Batch(waveform=sound, lengths=lengths, key=KEYS[: len(sound)])).waveform
    assert isinstance(out, torch.Tensor)
    return out


# --- convolution


@given(st.integers(0, 2_000_000))
def test_fast_sizes_are_even_and_of_small_factors(samples: int) -> None:
    size = rest = fast_size(samples)
    for factor in (2, 3, 5, 7):
        while rest % factor == 0:
            rest //= factor
    assert rest == 1
    assert size % (64 if samples > 1 << 15 else 2) == 0
    assert samples <= size <= 1.05 * 2 * fft.next_fast_len(max(1, (samples + 1) // 2), real=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("rows", "channels"), [(3, 2), (1, 2), (3, 1)])
def test_convolution_is_that_of_scipy(dtype: torch.dtype, tolerance: float, rows: int, channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sound = torch.randn(3, 2, 997, generator=generator, dtype=dtype)
    kernels = torch.randn(rows, channels, 230, generator=generator, dtype=dtype) / 15
    expected = signal.fftconvolve(sound.numpy(), kernels.expand(3, 2, -1).numpy(), axes=2)
    assert np.abs(convolve(sound, kernels).numpy() - expected).max() < tolerance


def test_convolution_of_nothing() -> None:
    assert convolve(torch.zeros(0, 1, 5), torch.zeros(0, 1, 3)).shape == (0, 1, 7)
    assert convolve(torch.zeros(2, 1, 0), torch.zeros(2, 1, 3)).shape == (2, 1, 2)


# --- sections


@settings(max_examples=60, deadline=None)
@given(
    st.floats(5, 20000),
    st.integers(1, 10),
    st.sampled_from([8000, 16000, 44100, 96000]),
    st.booleans(),
    st.floats(1.2, 30),
)
def test_responses_are_those_of_scipy(cutoff: float, order: int, rate: int, flag: bool, width: float) -> None:
    """In float32, at all frequencies, for all four kinds of Butterworth filters."""
    cutoff = min(cutoff, 0.3 * rate)
    low, orders = torch.tensor([cutoff], dtype=torch.float64), torch.tensor([order])
    upper = min(cutoff * width, 0.48 * rate)
    k, top = warped(low, rate), warped(torch.tensor([upper], dtype=torch.float64), rate)
    one = butterworth(k, orders, 10, high=flag)
    two = butterworth_band(k, top, (orders + 1) // 2, 5, stop=flag)
    kinds = ("high", "bandstop") if flag else ("low", "bandpass")
    for sections, edges, degree, kind in (
        (one, cutoff, order, kinds[0]),
        (two, [cutoff, upper], (order + 1) // 2, kinds[1]),
    ):
        sos = signal.butter(degree, edges, kind, fs=rate, output="sos")
        _, expected = signal.sosfreqz(sos, np.linspace(0, np.pi, 1025))
        found = gains_of(sections, 2048, torch.float32)[0].numpy()
        assert np.abs(found - expected).max() < 2e-5
        assert (
            np.abs(signal.sosfreqz(digital(sections)[0].numpy(), np.linspace(0, np.pi, 1025))[1] - expected).max()
            < 1e-5
        )


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("frequency", [20.0, 300.0, 7800.0])
def test_ringing_ends_when_it_is_said_to(frequency: float, high: bool) -> None:
    sections = butterworth(warped(torch.tensor([frequency]), RATE), torch.tensor([4]), 4, high=high)
    click = np.zeros(4 * RATE)
    click[0] = 1
    impulse = np.abs(signal.sosfilt(digital(sections)[0].numpy(), click))
    end = ringing(sections)
    assert impulse[end:].max() < 1e-6 * impulse.max()
    assert impulse[end // 3 :].max() > 1e-6 * impulse.max()  # and hardly sooner


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["low", "high", "bell", "shelf"]), min_size=1, max_size=5),
    st.integers(1, 2500),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 2**20),
)
def test_sections_in_time_are_those_of_scipy(kinds: list[str], samples: int, dtype: torch.dtype, seed: int) -> None:
    """Of other numbers in each row, for lengths that are no whole blocks and for less than a block."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for kind in kinds:
        u = torch.rand(3, 3, generator=generator, dtype=torch.float64)
        k, gain, q = warped(2 * 4000 ** u[:, 0], RATE), 24 * u[:, 1] - 12, 0.2 + 5 * u[:, 2]
        if kind in ("low", "high"):
            parts.append(butterworth(k, torch.tensor([1, 3, 4]), 4, high=kind == "high"))
        else:
            parts.append(
                peaking(k, gain, q)[:, None] if kind == "bell" else shelf(k, gain, q, high=seed % 2 > 0)[:, None]
            )
    sections = torch.cat(parts, 1)
    sound = torch.randn(3, 2, samples, generator=generator, dtype=torch.float64).to(dtype)
    expected = np.stack(
        [signal.sosfilt(sos, row.double().numpy()) for sos, row in zip(digital(sections).numpy(), sound, strict=True)]
    )
    found = through(sound, space(sections))
    assert found.dtype == dtype
    bound = (2e-6 if dtype == torch.float32 else 1e-10) * max(1.0, np.abs(expected).max())
    assert np.abs(found.numpy() - expected).max() < bound
    alike = through(sound, space(sections[1:2]))
    assert np.abs(alike[1].numpy() - expected[1]).max() < bound


def test_sections_in_time_have_gradients() -> None:
    sections = peaking(warped(torch.tensor([300.0, 2000.0]), RATE), torch.tensor([6.0, -6.0]), torch.tensor([1.0, 3.0]))
    sound = torch.randn(2, 1, 70, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: through(x, space(sections[:, None])), sound)


@pytest.mark.parametrize("kind", [A.BandPassFilter, A.BandStopFilter])
def test_a_wide_band_is_as_exact_as_a_narrow_one(kind: Any) -> None:
    """One of its sections raises hundreds of times what the other lowers."""
    band = kind(3500, 3500, 1.99, 1.99, 48, 48, p=1.0, sample_rate=RATE)
    assert (played(band, hiss(9000)) - played(band, hiss(9000).double())).abs().max() < 2e-6


STEADY: dict[str, A.Filtered] = {
    "high_pass": A.HighPassFilter(20, 20, 24, 24, p=1.0, sample_rate=RATE),
    "band_pass": A.BandPassFilter(50, 60, 0.5, 1.99, p=1.0, sample_rate=RATE),
    "zero_phase": A.HighPassFilter(20, 20, 24, 24, True, p=1.0, sample_rate=RATE),
    "shelf": A.LowShelfFilter(50, 50, 18, 18, 0.1, 0.1, p=1.0, sample_rate=RATE),
    "peak": A.PeakingFilter(50, 50, 24, 24, 5, 5, p=1.0, sample_rate=RATE),
    "equalizer": A.SevenBandParametricEQ(p=1.0, sample_rate=RATE),
}


@pytest.mark.parametrize("name", STEADY)
def test_padding_does_not_matter_to_filters_that_ring_long(name: str) -> None:
    """A constant is what a tail that is cut too short gets wrong most."""
    sound = torch.ones(3, 1, 5000)
    alone = played(STEADY[name], sound)
    padded = torch.cat([sound, torch.full((3, 1, 17777), torch.nan)], 2)
    together = played(STEADY[name], padded, torch.full((3,), 5000))
    assert (alone - together[..., :5000]).abs().max() < 2e-5
    assert together[..., 5000:].isnan().all()


@pytest.mark.parametrize("name", STEADY)
def test_filters_are_linear_and_clamp_nothing(name: str) -> None:
    """torchaudio's biquads clamp to [-1, 1]."""
    sound = hiss(4000)[:3]
    quiet, loud = played(STEADY[name], sound), played(STEADY[name], 100 * sound)
    assert loud.abs().max() > 1
    torch.testing.assert_close(loud, 100 * quiet, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["high_pass", "band_pass", "shelf", "peak", "equalizer"])
def test_a_filter_hears_nothing_of_what_comes_later(name: str) -> None:
    sound = hiss(4000)[:3]
    changed = sound.clone()
    changed[..., 2500:] += 1
    before, after = (played(STEADY[name], each) for each in (sound, changed))
    assert (before - after)[..., :2500].abs().max() < 1e-5
    assert (before - after)[..., 2500:].abs().max() > 0.1


def test_zero_phase_delays_nothing_and_doubles_the_decibels() -> None:
    tone = torch.sin(2 * torch.pi * 500 * torch.arange(RATE) / RATE)[None, None]
    out = played(A.LowPassFilter(500, 500, 24, 24, True, p=1.0, sample_rate=RATE), tone)
    middle = slice(4000, 12000)
    assert (out - tone / 2)[..., middle].abs().max() < 1e-3
    once = played(A.LowPassFilter(500, 500, 24, 24, p=1.0, sample_rate=RATE), tone)
    assert once[..., middle].std() / tone[..., middle].std() == pytest.approx(0.5**0.5, abs=1e-3)


# --- what is drawn


def test_cutoffs_are_uniform_in_mel_and_every_order_comes() -> None:
    transform = A.LowPassFilter(100, 7000, 6, 24, p=1.0, sample_rate=RATE)
    drawn = transform.settings(torch.rand(4000, 2, generator=torch.Generator().manual_seed(0)))
    mel = 2595 * np.log10(1 + drawn["cutoff_freq"].numpy() / 700)
    low, high = 2595 * np.log10(1 + np.array([100, 7000]) / 700)
    assert stats.kstest(mel, "uniform", (low, high - low)).pvalue > 0.01
    assert drawn["rolloff"].unique().tolist() == [6, 12, 18, 24]
    assert drawn["rolloff"].bincount()[6::6].min() > 850


def test_the_cutoff_is_told_after_every_call() -> None:
    """torch-audiomentations forgets a constant one after the first."""
    transform = A.LowPassFilter(500, 500, p=1.0, sample_rate=RATE)
    for _ in range(3):
        batch = Batch(waveform=hiss(500))
        params = transform.draw(batch)
        transform.play(batch, params)
        assert transform.describe(params, 0)[0]["cutoff_freq"] == pytest.approx(500)


def test_what_is_above_half_of_the_rate_is_drawn_in_below() -> None:
    u = torch.rand(500, 21, generator=torch.Generator().manual_seed(0))
    for kind in (A.LowPassFilter, A.HighShelfFilter, A.PeakingFilter):
        drawn = kind(p=1.0, sample_rate=4000).settings(u)
        assert max(drawn.get("cutoff_freq", drawn.get("center_freq")).tolist()) == pytest.approx(0.49 * 4000)
    band = A.BandPassFilter(p=1.0, sample_rate=4000).settings(u)
    assert (band["low_freq"] < band["center_freq"]).all()
    assert (band["center_freq"] < band["high_freq"]).all()
    assert band["high_freq"].max() <= 0.49 * 4000
    assert band["low_freq"].min() == 20
    seven = A.SevenBandParametricEQ(6, 6, p=1.0, sample_rate=4000).settings(u)
    assert torch.equal(seven["gain_db"] == 0, seven["center_freq"] > 0.49 * 4000)
    assert (seven["gain_db"] == 0).any()
    assert A.SevenBandParametricEQ(p=1.0, sample_rate=4000)(torch.ones(3, 1, 4000)).isfinite().all()


# --- folding

CHAIN = [
    A.HighPassFilter(20, 300, p=0.6, sample_rate=RATE),
    A.LowPassFilter(p=0.6, sample_rate=RATE),
    A.SevenBandParametricEQ(p=0.6, sample_rate=RATE),
    A.PeakingFilter(p=0.6, sample_rate=RATE),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neighbours_are_one_filter_that_does_what_they_do_in_turn(dtype: torch.dtype) -> None:
    chain = Compose(CHAIN)
    assert len(chain.runs()) == 1
    batch = Batch(waveform=hiss(6000).to(dtype), lengths=torch.arange(12) * 500 + 400, key=KEYS)
    params = chain.draw(batch)
    expected = batch
    calls = chain.route(params.u, torch.ones(12, dtype=torch.bool))
    for step, call in zip(CHAIN, calls, strict=True):
        expected = step.apply(expected, *call)
    out = chain.play(batch, params)
    torch.testing.assert_close(out.waveform, expected.waveform, rtol=0, atol=3e-6)
    untouched = ~torch.stack([call.chosen for call in calls]).any(0)
    assert torch.equal(out[untouched].waveform, batch[untouched].waveform)
    assert 0 < untouched.sum() + 1 < 12


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (A.HighPassFilter(zero_phase=True, sample_rate=RATE), "zero-phase"),
        (A.HighPassFilter(sample_rate=RATE // 2), "sample rate"),
        (A.PolarityInversion(), "PolarityInversion is no filter"),
    ],
)
def test_what_folds_with_no_filter(second: Layer, why: str) -> None:
    text = Compose([A.LowPassFilter(sample_rate=RATE), second]).explain()
    assert "2 runs" in text
    assert why in text


# --- loudness


def tone(frequency: float, rate: int, seconds: float = 3.0) -> torch.Tensor:
    time = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    return torch.sin(2 * torch.pi * frequency * time).float()[None, None]


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_loudness_has_the_standards_calibration(rate: int) -> None:
    """A sine of 997 Hz at full scale in one front channel: -3.01 LUFS."""
    assert A.loudness(tone(997, rate), None, rate).item() == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100])
def test_loudness_at_other_rates_is_that_of_the_standards_filters(rate: int) -> None:
    """Away from half of the rate, which the bilinear transform bends to: within 0.1 LU of the same sound at 48 kHz."""
    for frequency in (60, 200, 500):
        (ours,) = A.loudness(0.3 * tone(frequency, rate), None, rate).tolist()
        assert ours == pytest.approx(lufs(0.3 * tone(frequency, 48000)[0].double().numpy(), 48000), abs=0.1)


def test_loudness_counts_channels_and_gates_pauses() -> None:
    one = 0.1 * tone(997, 48000)
    base = A.loudness(one, None, 48000)
    assert (A.loudness(one.expand(1, 2, -1), None, 48000) - base).item() == pytest.approx(3.01, abs=0.01)
    pause = torch.cat([one, torch.zeros_like(one), 0.01 * one], 2)
    assert (A.loudness(pause, None, 48000) - base).abs().item() < 0.35  # the blocks that are half of the pause
    surround = torch.zeros(1, 5, one.shape[-1])
    surround[:, 4] = one[:, 0]
    assert (A.loudness(surround, None, 48000) - base).item() == pytest.approx(10 * np.log10(1.41), abs=0.01)


def test_loudness_of_silence_and_of_short_sounds() -> None:
    assert A.loudness(torch.zeros(2, 1, 9000), None, 8000).tolist() == [-torch.inf] * 2
    assert A.loudness(torch.ones(2, 1, 100), torch.tensor([0, 100]), 8000)[0] == -torch.inf
    whole, short = tone(997, 48000), tone(997, 48000, 0.2)
    assert (A.loudness(whole, None, 48000) - A.loudness(short, None, 48000)).abs() < 0.2
    padded = torch.cat([short, torch.full_like(whole, torch.nan)], 2)
    lengths = torch.tensor([short.shape[-1]])
    torch.testing.assert_close(A.loudness(padded, lengths, 48000), A.loudness(short, None, 48000), rtol=0, atol=1e-4)


def test_normalization_leaves_silence_and_has_its_gradient() -> None:
    sound = torch.cat([torch.zeros(1, 1, 8000), hiss(8000)[:1, :1]]).double().requires_grad_()
    out = A.LoudnessNormalization(-20, -20, p=1.0, sample_rate=8000)(sound)
    assert torch.equal(out[0], sound[0])
    torch.testing.assert_close(A.loudness(out[1:], None, 8000).item(), -20.0, rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad(out.square().sum(), sound)
    assert gradient.isfinite().all()


def test_loudness_refuses_what_it_cannot_measure() -> None:
    with pytest.raises(
        ValueError, match=r"loudness: waveform must be \(B, C, T\) floating point, got torch\.float32 \(5,\)"
    ):
        A.loudness(torch.zeros(5), None, 8000)
    with pytest.raises(ValueError, match=r"floating point, got torch\.int16"):
        A.loudness(torch.zeros(1, 1, 5, dtype=torch.int16), None, 8000)
    with pytest.raises(ValueError, match="sample_rate must be a whole number"):
        A.loudness(torch.zeros(1, 1, 5), None, 0.5)


# --- air and rooms


def test_dry_air_takes_more() -> None:
    """audiomentations looks at the first row of its table, whatever the humidity."""
    dry, damp = (attenuation(torch.tensor(4000.0), torch.tensor(20.0), torch.tensor(h)).item() for h in (30.0, 80.0))
    assert dry > 1.5 * damp
    sound = hiss(4000)[:2]
    out = [played(A.AirAbsorption(20, 20, h, h, 100, 100, p=1.0, sample_rate=RATE), sound) for h in (30, 80)]
    assert out[0].std() < out[1].std() < sound.std()


def test_no_way_through_air_changes_nothing() -> None:
    sound = hiss(3000)
    out = played(A.AirAbsorption(min_distance=0, max_distance=0, p=1.0, sample_rate=RATE), sound)
    assert (out - sound).abs().max() < 1e-6


def clicks(count: int, samples: int) -> torch.Tensor:
    sound = torch.zeros(count, 1, samples)
    sound[..., 0] = 1
    return sound


def test_octave_bands_ring_as_long_as_they_are_said_to() -> None:
    """1 kHz and what is below it for the time that was drawn, 4 kHz for less, in the same proportion for each octave."""
    transform = A.ParametricReverb(0.5, 0.7, -30, -30, 0.4, 0.4, p=1.0, sample_rate=RATE)
    out = played(transform, clicks(12, RATE))[:, 0, 1:].double().numpy()
    params = transform.draw(Batch(waveform=clicks(12, RATE), key=KEYS))
    rt60 = np.array([transform.describe(params, i)[0]["rt60"] for i in range(12)])
    for center, octaves in ((250, 0), (1000, 0), (2000, 1), (4000, 2)):
        band = signal.butter(4, [center / 2**0.25, center * 2**0.25], "bandpass", fs=RATE, output="sos")
        found = np.array([reverberation_time(response) for response in signal.sosfilt(band, out)])
        assert np.mean(found / (rt60 * 0.4 ** (octaves / 3))) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "transform",
    [A.ParametricReverb(p=1.0, sample_rate=RATE), A.RoomSimulator(p=1.0, sample_rate=RATE)],
    ids=["reverb", "room"],
)
def test_rooms_keep_the_level_and_the_time_of_sounds(transform: A.Wave) -> None:
    out = played(transform, clicks(12, 20000))
    torch.testing.assert_close(out.square().sum((1, 2)), torch.ones(12), rtol=2e-3, atol=0)
    assert (out.abs().argmax(2) == 0).float().mean() > 0.8  # the direct sound
    sound = hiss(20000)[:, :1].repeat(1, 2, 1)
    wet = played(transform, sound)
    assert torch.equal(wet[:, 0], wet[:, 1])
    assert (wet.std(2) / sound.std(2) - 1).abs().max() < 0.2


def test_a_reverb_longer_than_the_sound_is_that_of_a_longer_sound() -> None:
    transform = A.ParametricReverb(1.0, 1.0, p=1.0, sample_rate=RATE)
    sound = hiss(8000)[:, :1]
    torch.testing.assert_close(
        played(transform, sound[..., :700]), played(transform, sound)[..., :700], rtol=0, atol=1e-5
    )


def test_walls_that_keep_everything_leave_the_sound_as_it_is() -> None:
    transform = A.RoomSimulator(min_absorption_value=1, max_absorption_value=1, p=1.0, sample_rate=RATE)
    sound = hiss(2000)
    assert (played(transform, sound) - sound).abs().max() < 1e-5


def test_the_first_reflection_comes_from_the_floor_when_geometry_says() -> None:
    """Source and microphone 1 m over the floor and 1 m apart: by the floor it is sqrt(5) m."""
    room, source, microphone = (
        torch.tensor([[20.0, 20.0, 9.0]]),
        torch.tensor([[9.0, 9.0, 1.0]]),
        torch.tensor([[10.0, 9.0, 1.0]]),
    )
    distance, count = reflections(room.double(), source.double(), microphone.double(), 2)
    first = distance[0].sort()
    assert first.values[:2].tolist() == pytest.approx([1.0, 5**0.5])
    assert count[first.indices[:2]].tolist() == [0, 1]


@pytest.mark.parametrize("order", [1, 2, 5])
def test_images_are_all_rooms_within_the_order_once(order: int) -> None:
    away = images(order, torch.device("cpu"))
    side = range(-order, order + 1)
    expected = {(x, y, z) for x in side for y in side for z in side if abs(x) + abs(y) + abs(z) <= order}
    assert sorted(map(tuple, away.tolist())) == sorted(expected)
    assert away[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("absorption", "side"), [(0.15, 3.0), (0.3, 5.0)])
def test_rooms_ring_as_long_as_their_walls_let_them(absorption: float, side: float) -> None:
    """By Eyring's formula, which holds for sound that comes from everywhere: here a little longer, along the axes."""
    box = (side, 1.1 * side, 0.9 * side)
    transform = A.RoomSimulator(
        box, box, (0.5, 0.5, 0.5), (side, side, side), absorption, absorption, p=1.0, sample_rate=RATE
    )
    found = np.mean([reverberation_time(r) for r in played(transform, clicks(12, RATE))[:, 0].double().numpy()])
    volume, surface = np.prod(box), 2 * sum(box[i] * box[i - 1] for i in range(3))
    eyring = 24 * math.log(10) / 343 * volume / (-surface * math.log(1 - absorption))
    assert 0.9 < found / eyring < 1.4


def test_late_reverberation_follows_on_from_the_reflections_that_there_are() -> None:
    """Fewer mirror images and more noise are the same room: energies of 10 ms, over many rooms; but for low frequencies, for
    which many images add up, all of one sign."""
    options = {"p": 1.0, "sample_rate": RATE, "min_mic_distance": 1.0, "max_mic_distance": 2.0}
    few, many = (A.RoomSimulator(max_order=order, **options) for order in (3, 12))
    u = uniforms(sample_keys(torch.arange(60)), 12)
    energy = [r(u)[:, 20 : 20 + 1281].diff().square().view(60, 8, 160).sum(2) for r in (few.responses, many.responses)]
    level = [10 * torch.log10(e / e[:, :1]).mean(0) for e in energy]
    assert (level[0] - level[1]).abs().max() < 1.5
    alone = A.RoomSimulator(max_order=3, late_reverberation=False, **options).responses(u)
    assert alone.shape[1] < 0.1 * few.responses(u).shape[1]


def test_places_are_in_the_room_and_no_image_is_too_far() -> None:
    transform = A.RoomSimulator(
        (0.5, 3, 2), (9, 4, 6), (0, 0, 0), (9, 9, 9), min_mic_distance=0.1, max_mic_distance=9, p=1.0, sample_rate=RATE
    )
    drawn = transform.settings(torch.rand(3000, 10, generator=torch.Generator().manual_seed(0)))
    for name in ("source", "microphone"):
        assert drawn[name].min() >= transform.padding - 1e-6
        assert (drawn[name] <= drawn["size"] - transform.padding + 1e-6).all()
    distance, _ = reflections(drawn["size"], drawn["source"], drawn["microphone"], 4)
    assert 0.6 * longest((9, 4, 6), 4) < distance.max() < longest((9, 4, 6), 4)


# --- what is refused

MISUSE: list[tuple[Any, dict[str, Any], str]] = [
    (
        A.LowPassFilter,
        {"min_cutoff_freq": 900, "max_cutoff_freq": 100},
        "min_cutoff_freq must be at most max_cutoff_freq, got 900",
    ),
    (A.LowPassFilter, {"min_cutoff_freq": 0}, "min_cutoff_freq must be a number of at least 1, got 0"),
    (A.LowPassFilter, {"max_cutoff_freq": float("nan")}, "max_cutoff_freq must be a number"),
    (A.HighPassFilter, {"min_rolloff": 10}, "multiples of 6 dB per octave, got 10"),
    (
        A.HighPassFilter,
        {"max_rolloff": 18, "zero_phase": True},
        "multiples of 12 dB per octave where zero_phase is True",
    ),
    (A.HighPassFilter, {"min_rolloff": 24, "max_rolloff": 12}, "min_rolloff must be at most max_rolloff"),
    (A.BandPassFilter, {"max_bandwidth_fraction": 2.0}, "max_bandwidth_fraction must be a number in"),
    (A.BandStopFilter, {"min_center_freq": "low"}, "min_center_freq must be a number"),
    (A.LowShelfFilter, {"max_q": 1.5}, r"max_q must be a number in \[0.01, 1\], got 1.5"),
    (A.HighShelfFilter, {"min_gain_db": -100}, r"min_gain_db must be a number in \[-60, 60\]"),
    (A.PeakingFilter, {"min_q": 0}, "min_q must be a number"),
    (A.SevenBandParametricEQ, {"min_gain_db": 3, "max_gain_db": 1}, "min_gain_db must be at most max_gain_db"),
    (A.LoudnessNormalization, {"min_lufs": -80}, "min_lufs must be a number in"),
    (A.AirAbsorption, {"max_humidity": 120}, r"max_humidity must be a number in \[10, 100\]"),
    (A.ParametricReverb, {"min_rt60": 0}, "min_rt60 must be a number of at least 0.02"),
    (A.ParametricReverb, {"max_treble_ratio": 2}, "max_treble_ratio must be a number in"),
    (A.RoomSimulator, {"min_size": 3}, r"min_size must be three numbers of metres \(x, y, z\), got 3"),
    (A.RoomSimulator, {"max_size": (3, 2, 1)}, "min_size must be at most max_size"),
    (A.RoomSimulator, {"max_order": 40}, r"max_order must be a whole number in \[1, 20\]"),
    (A.RoomSimulator, {"padding": 2}, "padding must be a number in"),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "message"), MISUSE, ids=[f"{m[0].__name__}-{'-'.join(m[1])}" for m in MISUSE]
)
def test_arguments_that_make_no_sense_are_refused(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__}: .*{message}"):
        kind(**arguments, sample_rate=RATE)


@pytest.mark.parametrize("kind", list(dict.fromkeys(m[0] for m in MISUSE)))
def test_the_sample_rate_must_be_said(kind: Any) -> None:
    with pytest.raises(TypeError, match="sample_rate"):
        kind()
    with pytest.raises(ValueError, match=f"{kind.__name__}: sample_rate must be a whole number"):
        kind(sample_rate=44.1)
