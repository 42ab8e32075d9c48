"""Speed, duration and pitch with a factor of its own for each sound: against formulas, loops and synthetic truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from torchaug import Batch, Transform
from torchaug.audio import PitchShift, PitchTempo, Resample, SpeedPerturbation, TimeStretch, resample_rows
from torchaug.audio.vocoder import _scanned, _sources, stretched, window_size

Array = np.ndarray[Any, Any]
RATE = 16000
SEMITONES = (-4.0, -1.3, 0.7, 4.0)
BASES = (130.0, 150.0, 180.0, 220.0)


def voice(pitch: float, semitones: float = 0.0, seconds: float = 2.0, vibrato: float = 0.03) -> Tensor:
    """A voice with vibrato and seven harmonics, faded in and out over 50 ms."""
    time = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    frequency = pitch * 2 ** (semitones / 12) * (1 + vibrato * torch.sin(2 * math.pi * 5.5 * time))
    phase = 2 * math.pi * torch.cumsum(frequency, 0) / RATE
    tones = sum(torch.sin(phase * k + k) / k for k in range(1, 8))
    assert isinstance(tones, Tensor)
    return (0.2 * tones * (torch.minimum(time, seconds - time) / 0.05).clamp(max=1)).float()


def spectrum(sound: Tensor, n_fft: int = 1024) -> Tensor:
    window = torch.hann_window(n_fft)
    return torch.stft(sound, n_fft, n_fft // 4, window=window, return_complex=True).abs()


def convergence(sound: Tensor, truth: Tensor) -> float:
    return float((spectrum(sound) - spectrum(truth)).norm() / spectrum(truth).norm())


def fundamental(sound: Tensor, near: float) -> float:
    """In Hz: the largest frequency within 6 % of one, by a parabola through the logarithm of the spectrum."""
    middle = sound[len(sound) // 8 : -len(sound) // 8].double().numpy()
    power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 4 * len(middle))) + 1e-12
    step = RATE / (4 * len(middle))
    first = int(near * 0.94 / step)
    peak = first + int(power[first : int(near * 1.06 / step)].argmax())
    a, b, c = np.log(power[peak - 1 : peak + 2])
    return float(step * (peak + 0.5 * (a - c) / (a - 2 * b + c)))


def cents(measured: float, wanted: float) -> float:
    return abs(1200 * math.log2(measured / wanted))


def on(transform: Transform, sounds: Tensor, values: list[list[float]]) -> Batch:
    """What becomes of (B, T) or (B, C, T) with the uniforms given."""
    sounds = sounds if sounds.ndim == 3 else sounds[:, None]
    u = torch.tensor(values)
    batch: Batch = transform.apply(Batch(waveform=sounds), u, torch.ones(len(u), dtype=torch.bool))
    return batch


def drawing(value: float, low: float, high: float) -> float:
    """The uniform that draws a value."""
    return min((value - low) / (high - low), 1 - 2**-24)


# --- resampling ---


def by_definition(sound: Array, down: int, up: int, samples: int, width: int) -> Array:
    """The sum over all samples, of a sinc under a Hann window."""
    cutoff = 0.99 * min(1, up / down)
    places = np.arange(samples) * down / up
    distance = cutoff * (np.arange(len(sound))[None] - places[:, None])
    window = np.where(np.abs(distance) < width, np.cos(np.pi * distance / (2 * width)) ** 2, 0)
    out: Array = (cutoff * np.sinc(distance) * window) @ sound
    return out


@pytest.mark.parametrize("width", [6, 16])
def test_each_row_is_resampled_by_its_own_ratio(width: int) -> None:
    sounds = torch.randn(6, 2, 1500, generator=torch.Generator().manual_seed(0))
    down, up = torch.tensor([9, 11, 160, 16000, 1, 29491]), torch.tensor([10, 10, 147, 11025, 2, 32768])
    out = resample_rows(sounds, down, up, 1700, fastest=1.5, width=width)
    for i in range(6):
        for channel in range(2):
            wanted = by_definition(sounds[i, channel].double().numpy(), int(down[i]), int(up[i]), 1700, width)
            assert np.abs(out[i, channel].numpy() - wanted).max() < 1e-5


def test_resampling_is_torchaudios() -> None:
    functional = pytest.importorskip("torchaudio").functional
    sounds = torch.randn(4, 1, 16000, generator=torch.Generator().manual_seed(0))
    down, up = torch.tensor([9, 11, 160, 16000]), torch.tensor([10, 10, 147, 11025])
    out = resample_rows(sounds, down, up, 18000, fastest=1.5, width=6)
    for i in range(4):
        wanted = functional.resample(sounds[i].double(), int(down[i]), int(up[i]))
        assert (out[i, :, : wanted.shape[1]] - wanted).abs().max() < 1e-5


def test_places_are_exact_after_minutes() -> None:
    """In float32, or with a factor of it, a place after two minutes would be off by a tenth of a sample."""
    places = torch.arange(2_000_000, dtype=torch.float64)
    sound = torch.sin(0.5 * places)[None, None].float()
    out = resample_rows(sound, torch.tensor([147]), torch.tensor([160]), 2_100_000, fastest=1.0)
    wanted = torch.sin(0.5 * 147 / 160 * torch.arange(2_100_000, dtype=torch.float64))
    assert (out[0, 0, -9000:] - wanted[-9000:]).abs().max() < 2e-4


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 400), st.integers(1, 400))
def test_any_ratio_of_any_length(down: int, up: int, before: int, after: int) -> None:
    sound = torch.randn(1, 1, before, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if down == up:
        return
    fastest = max(down / up, 1.0)
    out = resample_rows(sound, torch.tensor([down]), torch.tensor([up]), after, fastest=fastest)
    assert np.abs(out[0, 0].numpy() - by_definition(sound[0, 0].numpy(), down, up, after, 16)).max(initial=0) < 2e-5


# --- speed ---


def test_faster_is_shorter_and_higher() -> None:
    """The peers' other meaning (speechbrain #2993): there 1.1 is slower."""
    sounds = voice(200, vibrato=0)[None].expand(3, -1)
    out = on(SpeedPerturbation([0.9, 1.0, 1.1]), sounds, [[0.1], [0.5], [0.9]])
    assert out.lengths is not None
    assert out.waveform is not None
    assert out.lengths.tolist() == [math.ceil(32000 / 0.9), 32000, math.ceil(32000 / 1.1)]
    for row, length, factor in zip(out.waveform, out.lengths.tolist(), (0.9, 1.0, 1.1), strict=True):
        assert cents(fundamental(row[0, :length], 200 * factor), 200 * factor) < 1


def test_a_sound_at_its_own_speed_stays_as_it_is() -> None:
    sounds = torch.randn(2, 1, 3000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(
        resample_rows(sounds, torch.tensor([7, 8]), torch.tensor([7, 7]), 3000, fastest=2.0)[0], sounds[0]
    )


def test_a_length_that_is_kept_cuts_or_pads() -> None:
    out = on(
        SpeedPerturbation(min_factor=0.5, max_factor=2.0, keep_length=True), torch.ones(2, 900), [[0.0], [1 - 1e-6]]
    )
    assert out.waveform is not None
    assert out.waveform.shape == (2, 1, 900)
    assert (out.waveform[0, 0, 30:870] - 1).abs().max() < 0.01
    assert (out.waveform[1, 0, 30:420] - 1).abs().max() < 0.01
    assert out.waveform[1, 0, 480:].abs().max() < 1e-6


def test_resample_keeps_the_sound_at_the_new_rate() -> None:
    time = torch.arange(16000) / 16000
    transform = Resample(8000, 32000, sample_rate=16000)
    out = on(transform, torch.sin(2 * math.pi * 440 * time)[None].expand(2, -1), [[0.0], [1 - 2**-24]])
    assert out.waveform is not None
    assert out.lengths is not None
    assert out.lengths.tolist() == [8000, 32000]
    for row, rate in zip(out.waveform[:, 0], (8000, 32000), strict=True):
        wanted = torch.sin(2 * math.pi * 440 * torch.arange(rate) / rate)
        assert (row[:rate] - wanted)[200:-200].abs().max() < 4e-4


# --- the phase vocoder ---


def plain(sound: Array, tenths: int, n_fft: int, samples: int) -> Array:
    """The phase vocoder of the textbooks, frame by frame: bins for themselves, magnitudes between two frames."""
    hop, window = n_fft // 4, np.hanning(n_fft + 1)[:-1]
    padded = np.pad(sound, (n_fft // 2, 4 * n_fft))
    frames = [np.fft.rfft(window * padded[i * hop : i * hop + n_fft]) for i in range((len(sound) + 2 * n_fft) // hop)]
    out, weight = np.zeros(samples + 3 * n_fft), np.zeros(samples + 3 * n_fft)
    phase = np.angle(frames[0])
    for step in range((samples + n_fft) // hop):
        left, share = step * tenths // 10, step * tenths % 10 / 10
        size = (1 - share) * np.abs(frames[left]) + share * np.abs(frames[left + 1])
        out[step * hop : step * hop + n_fft] += window * np.fft.irfft(size * np.exp(1j * phase))
        weight[step * hop : step * hop + n_fft] += window**2
        phase += np.angle(frames[left + 1]) - np.angle(frames[left])
    whole: Array = (out / np.maximum(weight, 1e-9))[n_fft // 2 :][:samples]
    return whole


def test_without_locking_it_is_the_plain_phase_vocoder() -> None:
    sounds = torch.randn(3, 1, 4000, generator=torch.Generator().manual_seed(0))
    down, up = torch.tensor([8, 13, 10]), torch.tensor([10, 10, 10])
    out = stretched(sounds, down, up, 3000, 256, locked=False)
    for i in range(3):
        wanted = plain(sounds[i, 0].double().numpy(), int(down[i]), 256, 3000)
        assert np.abs(out[i, 0].numpy() - wanted).max() < 2e-4 * np.abs(wanted).max()


def test_without_locking_it_is_torchaudios() -> None:
    functional = pytest.importorskip("torchaudio").functional
    sounds = torch.randn(3, 1, 8000, generator=torch.Generator().manual_seed(0))
    down, up = torch.tensor([8, 13, 10]), torch.tensor([10, 10, 10])
    out = stretched(sounds, down, up, 8000, 512, locked=False)
    window, advance = torch.hann_window(512, dtype=torch.float64), torch.linspace(0, math.pi * 128, 257)[:, None]
    for i in range(3):
        spectra = torch.stft(sounds[i].double(), 512, 128, window=window, pad_mode="constant", return_complex=True)
        wanted = torch.istft(
            functional.phase_vocoder(spectra, int(down[i]) / 10, advance.double()), 512, 128, window=window
        )
        samples = min(8000, wanted.shape[1] - 300)
        assert (out[i, :, :samples] - wanted[:, :samples]).abs().max() < 2e-4 * wanted.abs().max()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 1000))
def test_the_scan_is_the_loop_over_time(frames: int, bins: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    sources = torch.randint(bins, (2, frames, bins), generator=generator)
    turns = torch.polar(torch.ones(2, frames, bins), torch.rand(2, frames, bins, generator=generator) * 7)
    out = _scanned(sources, turns)
    turned = turns[:, 0]
    for step in range(1, frames):
        turned = turned.gather(1, sources[:, step]) * turns[:, step]
        torch.testing.assert_close(out[:, step], turned, rtol=0, atol=1e-5)


def test_a_bin_turns_with_the_nearest_peak_of_five() -> None:
    power = torch.rand(3, 1, 6, 33, generator=torch.Generator().manual_seed(0))
    spectra = torch.complex(power.sqrt(), torch.zeros_like(power))
    sources = _sources(spectra, spectra)
    for b in range(3):
        for t in range(6):
            row = power[b, 0, t].numpy()
            peaks = [k for k in range(33) if row[k] == row[max(0, k - 2) : k + 3].max()]
            distance = [min(abs(k - peak) for peak in peaks) for k in range(33)]
            assert all(int(s) in peaks for s in sources[b, t, :33])
            assert [abs(k - int(s)) for k, s in enumerate(sources[b, t, :33])] == distance
    begins = _sources(spectra * 0.5 * 0.99, spectra)
    assert not bool((_sources(spectra * 0.5 * 1.01, spectra)[..., :33] == 33).any())
    assert bool((begins == 33).all())


def test_at_speed_one_nothing_changes() -> None:
    sounds = torch.randn(2, 2, 3000, generator=torch.Generator().manual_seed(0))
    out = on(TimeStretch(1.0, 1.0, sample_rate=RATE), sounds, [[0.5], [0.5]])
    assert out.waveform is not None
    assert (out.waveform - sounds).abs().max() < 2e-5


def test_a_stretch_keeps_pitch_and_level() -> None:
    sounds = torch.stack([voice(pitch, vibrato=0) for pitch in BASES])
    rates = (0.8, 0.93, 1.1, 1.25)
    u = [[drawing(rate, 0.8, 1.25)] for rate in rates]
    out = on(TimeStretch(leave_length_unchanged=False, sample_rate=RATE), sounds, u)
    assert out.waveform is not None
    assert out.lengths is not None
    for i, (pitch, rate) in enumerate(zip(BASES, rates, strict=True)):
        length = int(out.lengths[i])
        assert abs(length - 32000 / rate) <= 2
        row = out.waveform[i, 0, :length]
        assert cents(fundamental(row, pitch), pitch) < 3
        assert 0.95 < float(row.square().mean().sqrt() / sounds[i].square().mean().sqrt()) < 1.02


def shift_all(transform: Transform, sounds: Tensor) -> Tensor:
    out = on(transform, sounds, [[drawing(semitone, -4, 4)] for semitone in SEMITONES])
    assert out.waveform is not None
    return out.waveform[:, 0]


def test_a_shift_is_the_voice_at_the_other_pitch() -> None:
    """Fundamental within 3 cents, level within 0.95 to 1.02, spectral convergence below 0.03 (signalsmith: 0.023 to 0.058)."""
    for pitch in BASES:
        shifted = shift_all(PitchShift(sample_rate=RATE), voice(pitch).expand(4, -1))
        steady = shift_all(PitchShift(sample_rate=RATE), voice(pitch, vibrato=0).expand(4, -1))
        for semitone, out, even in zip(SEMITONES, shifted, steady, strict=True):
            truth, factor = voice(pitch, semitone), 2 ** (semitone / 12)
            assert convergence(out, truth) < 0.03
            assert 0.95 < float(out.norm() / truth.norm()) < 1.02
            assert cents(fundamental(even, pitch * factor), pitch * factor) < 3


def test_locking_is_better_than_the_plain_vocoder() -> None:
    locked, loose = (
        on(TimeStretch(0.8, 0.8, False, phase_locking=locking, sample_rate=RATE), voice(150)[None], [[0.0]]).waveform
        for locking in (True, False)
    )
    assert locked is not None
    assert loose is not None
    time = torch.arange(40000, dtype=torch.float64) * 0.8 / RATE
    phase = 2 * math.pi * torch.cumsum(150 * (1 + 0.03 * torch.sin(2 * math.pi * 5.5 * time)), 0) / RATE
    tones = sum(torch.sin(phase * k + k) / k for k in range(1, 8))
    assert isinstance(tones, Tensor)
    truth = (0.2 * tones * (torch.minimum(time, 2 - time) / 0.05).clamp(max=1)).float()
    assert convergence(locked[0, 0], truth) < 0.03
    assert convergence(loose[0, 0], truth) > 0.06


@pytest.mark.parametrize("semitones", [-4.0, 4.0])
def test_a_low_voice_may_glide(semitones: float) -> None:
    """From 64 to 127 Hz and back, as speech does; a window of 32 ms has 0.25 and 0.31, and mixes the partials up."""
    time = torch.arange(32000, dtype=torch.float64) / RATE

    def made(higher: float) -> Tensor:
        pitch = 90 * 2 ** (higher / 12 + 0.5 * torch.sin(1.4 * math.pi * time))
        phase = 2 * math.pi * torch.cumsum(pitch, 0) / RATE
        tones = torch.stack([torch.sin(k * phase + k) / k for k in range(1, 8)]).sum(0)
        return (0.2 * tones * (torch.minimum(time, 2 - time) / 0.05).clamp(max=1)).float()

    out = on(PitchShift(semitones, semitones, sample_rate=RATE), made(0.0)[None, None], [[0.0]]).waveform
    assert out is not None
    assert convergence(out[0, 0], made(semitones)) < 0.15


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_a_drum_has_no_echo_before_it(rate: float) -> None:
    """Energy of the 28 ms before a hit, beside that of the 32 ms after it began; the plain vocoder has -14 and -17 dB."""
    time = torch.arange(4000) / RATE
    generator = torch.Generator().manual_seed(0)
    sound, hits = torch.zeros(32000), (3200, 8800, 14400, 20000, 25600)
    for hit in hits:
        noise = 0.5 * torch.randn(4000, generator=generator) * torch.exp(-60 * time)
        body = torch.sin(2 * math.pi * (60 + 80 * torch.exp(-30 * time)) * time) * torch.exp(-12 * time)
        sound[hit : hit + 4000] += noise + body
    out = on(TimeStretch(rate, rate, False, sample_rate=RATE), sound[None], [[0.0]]).waveform
    assert out is not None
    energy = out[0, 0].square()
    places = [int(hit / rate) for hit in hits]
    echoes = [10 * math.log10(energy[at - 480 : at - 32].sum() / energy[at - 32 : at + 480].sum()) for at in places]
    assert sum(echoes) / len(echoes) < -33


def test_both_channels_keep_their_places() -> None:
    left = voice(150)
    out = on(PitchShift(3, 3, sample_rate=RATE), torch.stack([left, -0.5 * left])[None], [[0.0]]).waveform
    assert out is not None
    assert (out[0, 1] + 0.5 * out[0, 0]).abs().max() < 1e-5


def test_a_silent_channel_does_not_lead() -> None:
    sound = torch.stack([torch.zeros(32000), voice(150)])[None]
    out = on(PitchShift(4, 4, sample_rate=RATE), sound, [[0.0]]).waveform
    assert out is not None
    assert convergence(out[0, 1], voice(150, 4)) < 0.03
    assert not bool(out[0, 0].any())


def vowel(pitch: float) -> Tensor:
    """Harmonics under formants at 700, 1200 and 2600 Hz."""
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    harmonics = torch.arange(1, int(7000 / pitch), dtype=torch.float64)[:, None] * pitch
    level = sum(a / (1 + ((harmonics - f) / 120) ** 2) for a, f in ((1.0, 700), (0.7, 1200), (0.3, 2600)))
    return (0.2 * (level * torch.sin(2 * math.pi * harmonics * time + harmonics)).sum(0)).float()


@pytest.mark.parametrize("semitones", [-4, 4])
def test_formants_stay_where_they_are(semitones: int) -> None:
    sound = vowel(120)

    def envelope(of: Tensor) -> Tensor:
        """In dB, of thirds of octaves from 400 to 3000 Hz, about its mean."""
        power = (
            torch.fft.rfft(of[2000:-2000].double() * torch.hann_window(len(of) - 4000, dtype=torch.float64)).abs() ** 2
        )
        frequency = torch.fft.rfftfreq(len(of) - 4000, 1 / RATE)
        edges = 400 * 2 ** (torch.arange(10) / 3)
        bands = [power[(frequency >= a) & (frequency < b)].sum() for a, b in pairwise(edges)]
        level = 10 * torch.log10(torch.stack(bands))
        return level - level.mean()

    moved, kept = (
        on(PitchShift(semitones, semitones, preserve_formants=keep, sample_rate=RATE), sound[None], [[0.0]]).waveform
        for keep in (False, True)
    )
    assert moved is not None
    assert kept is not None
    pitch = 120 * 2 ** (semitones / 12)
    truth = envelope(vowel(pitch))
    assert cents(fundamental(kept[0, 0], pitch), pitch) < 3
    gaps = [float((envelope(of[0, 0]) - truth).square().mean().sqrt()) for of in (moved, kept)]
    assert gaps[1] < 0.5 * gaps[0], gaps


def test_pitch_and_tempo_are_independent() -> None:
    transform = PitchTempo(0.8, 1.25, -4, 4, leave_length_unchanged=False, sample_rate=RATE)
    wanted = [(0.8, 4.0), (1.25, -4.0), (1.1, 2.0)]
    u = [[drawing(rate, 0.8, 1.25), drawing(semitone, -4, 4)] for rate, semitone in wanted]
    out = on(transform, voice(180, vibrato=0).expand(3, -1), u)
    assert out.waveform is not None
    assert out.lengths is not None
    for row, length, (rate, semitone) in zip(out.waveform[:, 0], out.lengths.tolist(), wanted, strict=True):
        assert abs(length - 32000 / rate) <= 2
        pitch = 180 * 2 ** (semitone / 12)
        assert cents(fundamental(row[:length], pitch), pitch) < 3
        assert 0.95 < float(row[:length].square().mean().sqrt() / voice(180, vibrato=0).square().mean().sqrt()) < 1.02


@pytest.mark.parametrize(
    "make",
    [
        lambda: SpeedPerturbation([0.8]),
        lambda: TimeStretch(0.8, 0.8, False, sample_rate=RATE),
        lambda: PitchTempo(0.8, 0.8, 3, 3, False, sample_rate=RATE),
        lambda: PitchShift(3, 3, sample_rate=RATE),
    ],
)
def test_clicks_are_where_their_instants_say(make: Callable[[], Transform]) -> None:
    instants = torch.tensor([[2000.0, 5000.0, 7777.0]], dtype=torch.float64)
    sound = torch.zeros(1, 1, 10000)
    sound[0, 0, instants[0].long()] = 1.0
    transform = make()
    u = torch.zeros(1, transform.uniforms)
    out = transform.apply(Batch(waveform=sound, instants=instants), u, torch.ones(1, dtype=torch.bool))
    assert out.waveform is not None
    for instant in out.instants[0].tolist():
        low = round(instant) - 400
        found = low + int(out.waveform[0, 0, low : round(instant) + 400].abs().argmax())
        assert abs(found - instant) < 40


def test_what_is_cut_off_takes_its_labels_with_it() -> None:
    slower = SpeedPerturbation([0.5], keep_length=True)
    batch = Batch(
        waveform=torch.ones(1, 1, 1000),
        instants=torch.tensor([[100.0, 499.0, 501.0]]),
        events=torch.tensor([[[400.0, 600.0], [600.0, 700.0]]]),
        event_labels=torch.tensor([[3, 4]]),
    )
    out = slower.apply(batch, torch.zeros(1, 1), torch.ones(1, dtype=torch.bool))
    torch.testing.assert_close(out.instants, torch.tensor([[200.0, 998.0, math.nan]]), equal_nan=True)
    assert out.events.tolist() == [[[800.0, 1000.0], [0.0, 0.0]]]
    assert out.event_labels.tolist() == [[3, -1]]


# --- cost ---


def peak_memory(call: Callable[[], object]) -> int:
    """The most bytes that tensors made in a call took at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        call()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@pytest.mark.slow
@pytest.mark.parametrize(
    "transform",
    [
        SpeedPerturbation([0.9, 1.0, 1.1], p=1.0),
        TimeStretch(sample_rate=RATE, p=1.0),
        PitchShift(sample_rate=RATE, p=1.0),
        PitchTempo(sample_rate=RATE, p=1.0),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_memory_is_below_three_times_the_input(transform: Transform) -> None:
    batch = Batch(waveform=torch.randn(16, 1, 64000))
    assert batch.waveform is not None
    assert peak_memory(lambda: transform(batch)) < 3 * batch.waveform.nbytes


# --- misuse ---


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpeedPerturbation([]), "factors must be numbers"),
        (lambda: SpeedPerturbation([0.0, 1.0]), "factors must be numbers"),
        (lambda: SpeedPerturbation([float("nan")]), "factors must be numbers"),
        (lambda: SpeedPerturbation(min_factor=0.9), "expected factors, or min_factor and max_factor"),
        (lambda: SpeedPerturbation([1.0], 0.9, 1.1), "expected factors, or min_factor and max_factor"),
        (lambda: SpeedPerturbation(min_factor=1.1, max_factor=0.9), "min_factor must be at most max_factor"),
        (lambda: Resample(9000, 8000, sample_rate=8000), "min_sample_rate must be at most max_sample_rate"),
        (lambda: Resample(10, 8000, sample_rate=8000), "min_sample_rate must be a whole number"),
        (lambda: Resample(sample_rate=0), "sample_rate must be a whole number"),
        (lambda: TimeStretch(1.2, 0.8, sample_rate=8000), "min_rate must be at most max_rate"),
        (lambda: TimeStretch(0.0, 1.0, sample_rate=8000), "min_rate must be a number"),
        (lambda: TimeStretch(n_fft=100, sample_rate=8000), "n_fft must be a multiple of 16"),
        (lambda: TimeStretch(sample_rate=8000.5), "sample_rate must be a whole number"),  # type: ignore[arg-type]
        (lambda: PitchShift(3, 2, sample_rate=8000), "min_semitones must be at most max_semitones"),
        (lambda: PitchShift(-30, 2, sample_rate=8000), "min_semitones must be a number"),
        (lambda: PitchTempo(min_semitones=float("nan"), sample_rate=8000), "min_semitones must be a number"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], Transform], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_sample_rate_must_be_said() -> None:
    with pytest.raises(TypeError, match="sample_rate"):
        PitchShift()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("rate", "size"), [(16000, 768), (8000, 384), (44100, 2048), (48000, 2048), (22050, 1024), (32000, 1536), (800, 64)]
)
def test_windows_are_about_48_ms(rate: int, size: int) -> None:
    assert window_size(rate) == size
