"""Lossy codecs, telephone lines and lost packets."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type, index"
from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats
from torch import Tensor

from torchaug import Batch
from torchaug import audio as A
from torchaug.audio.codec import bark, cutoff, frequencies, noise_steps
from torchaug.audio.mdct import inverse_mdct, mdct
from torchaug.audio.telephone import mu_law
from torchaug.keys import sample_keys, uniforms

RATE = 16000


def voice(seconds: float = 1.0, rate: int = RATE, pitch: float = 140) -> Tensor:
    """A buzz through three resonances, with vibrato and a little breath."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    turns = (pitch * (1 + 0.02 * torch.sin(2 * torch.pi * 5 * time))).cumsum(0) / rate
    partials = torch.arange(1, int(0.45 * rate / pitch), dtype=torch.float64)[:, None]
    gain = sum(1 / (1 + ((partials * pitch - center) / 100) ** 2) for center in (700, 1200, 2500))
    sound = (gain / partials.sqrt() * torch.sin(2 * torch.pi * partials * turns + partials**2)).sum(0)
    return (0.7 * sound / sound.abs().max() + 0.003 * noise(len(time))).float()


def noise(samples: int, seed: int = 0) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pluck(rate: int = RATE) -> Tensor:
    return (0.3 * noise(rate) * torch.exp(-8 * torch.arange(rate) / rate)).float()


def decibels(clean: Tensor, heard: Tensor) -> float:
    return float(10 * torch.log10(clean.square().mean() / (heard - clean).square().mean()))


def coded(sound: Tensor, bitrate: float, window: int = 2048, rate: int = RATE) -> Tensor:
    out: Tensor = A.LossyCodec(bitrate, bitrate, sample_rate=rate, window=window, p=1.0)(sound)
    return out


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 700), st.sampled_from([4, 8, 64, 256]), st.integers(0, 99))
def test_the_inverse_gives_the_sound_back_and_the_power_stays(samples: int, size: int, seed: int) -> None:
    sound = noise(2 * samples, seed).view(2, samples).float()
    coefficients = mdct(sound, size)
    assert coefficients.shape == (2, 1 + -(-2 * samples // size), size // 2)
    assert torch.allclose(inverse_mdct(coefficients, samples), sound, rtol=0, atol=1e-5)
    energy = sound.square().sum(1)
    # orthogonal windows but for the first and the last, whose outer halves hold mirrored silence
    torch.testing.assert_close(coefficients.square().sum((1, 2)), energy, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [2048, 256])
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("make", [voice, lambda rate: (0.1 * noise(rate)).float(), pluck])
def test_more_bits_never_sound_worse(make: Any, rate: int, window: int) -> None:
    sound = make(rate=rate)
    ratios = [decibels(sound, coded(sound, bits, window, rate)) for bits in (4, 8, 16, 32, 64, 128, 256)]
    assert (np.diff(ratios) > 0).all(), ratios


@pytest.mark.parametrize("bitrate", [8, 16, 32, 64])
@pytest.mark.parametrize("make", [lambda: voice(5), lambda: (0.1 * noise(80000)).float()])
def test_what_is_left_needs_about_the_bits_there_are(make: Any, bitrate: float) -> None:
    """The entropy of the rounded coefficients, band by band."""
    coefficients, rate = mdct(make()[None, None], 2048), torch.tensor([float(bitrate)])
    hertz = frequencies(2048, RATE, coefficients)
    coefficients = coefficients * (hertz < cutoff(rate, 1))
    whole = (coefficients / noise_steps(coefficients, hertz, rate * 1000 * 1024 / RATE)).round()[0, 0]
    band, bits = bark(hertz).to(torch.int64), 0.0
    for k in band.unique():
        counts = whole[:, band == k].unique(return_counts=True)[1].numpy()
        bits += stats.entropy(counts, base=2) * int((band == k).sum())
    assert 0.6 * bitrate < bits * RATE / 1024 / 1000 < 1.03 * bitrate


def test_nothing_is_left_above_the_frequency_that_falls_with_the_bits() -> None:
    sound = (0.1 * noise(32000)).float()
    for bitrate in (8, 16, 24):
        hertz, power = signal.welch(coded(sound, bitrate).numpy(), RATE, nperseg=1024)
        limit = 20500 * (1 - np.exp(-1.5 * bitrate / 85))
        assert power[hertz > limit + 50].max() < 1e-4 * power[(hertz > 500) & (hertz < 1000)].mean()


def lame(sound: np.ndarray[Any, Any], rate: int, level: float) -> tuple[np.ndarray[Any, Any], float]:
    """A sound (T, C) through libsndfile's MP3 encoder and decoder, and its kbit/s."""
    soundfile = pytest.importorskip("soundfile")
    if "MP3" not in soundfile.available_formats():
        pytest.skip("libsndfile without MP3")
    file = io.BytesIO()
    options = {"subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": level}
    soundfile.write(file, sound, rate, format="MP3", **options)
    bitrate = len(file.getvalue()) * 8 / (len(sound) / rate) / 1000
    file.seek(0)
    return soundfile.read(file, always_2d=True)[0], bitrate


@pytest.mark.parametrize("level", [0.0, 0.5, 0.7, 0.85])
def test_frequencies_end_where_they_end_in_an_mp3(level: float) -> None:
    sound = 0.1 * noise(2 * 88200).view(-1, 2).numpy()
    heard, bitrate = lame(sound, 44100, level)
    hertz, power = signal.welch(heard[:, 0], 44100, nperseg=1024)
    limit = hertz[power > power[20:60].mean() / 100].max()
    assert float(cutoff(torch.tensor(bitrate), 2)) == pytest.approx(limit, rel=0.15)


@pytest.mark.parametrize(("make", "level"), [(voice, 0.99), (voice, 0.9), (noise, 0.99), (noise, 0.9)])
def test_noise_is_about_that_of_an_mp3(make: Any, level: float) -> None:
    """Of 8 and 25 kbit/s at 16 kHz: a loose check, since encoders differ as much."""
    sound = voice(4) if make is voice else (0.1 * noise(64000)).float()
    heard, bitrate = lame(sound[:, None].numpy(), RATE, level)
    delay = int(signal.correlate(heard[:, 0], sound.numpy(), method="fft").argmax()) - len(sound) + 1
    theirs = torch.from_numpy(heard[delay:, 0])
    count = min(len(theirs), len(sound))
    ours = decibels(sound[:count], coded(sound, bitrate)[:count])
    assert ours == pytest.approx(decibels(sound[:count], theirs[:count]), abs=6)


def test_a_long_window_smears_ahead_of_a_click_and_a_short_one_less() -> None:
    click = torch.zeros(16000)
    click[9000:9400] = 0.5 * torch.sin(torch.arange(400.0))
    long, short = (coded(click, 16, window) for window in (2048, 256))
    assert not long[:6900].any()  # two windows ahead
    assert long[7000:8700].square().sum() > 100 * short[7000:8700].square().sum()
    assert long[7000:8700].abs().max() > 1e-3


def test_silence_stays_silent_and_scale_matters_little() -> None:
    sound = voice()
    assert not coded(torch.zeros(5000), 8).any()
    assert decibels(sound * 30, coded(sound * 30, 32)) == pytest.approx(decibels(sound, coded(sound, 32)), abs=3)


def test_the_bits_are_for_all_channels_together() -> None:
    sound = voice()[None, None]
    both = coded(sound.expand(1, 2, -1), 64)
    assert decibels(both[:, 0], both[:, 1] + 1e-9) > 60
    assert decibels(sound, both[:, :1]) == pytest.approx(decibels(sound, coded(sound, 32)), abs=1.5)


def test_gradients_pass_by_the_rounding() -> None:
    """That of the codec without steps: what it does to high frequencies alone, its own transpose."""
    sound = voice()[None, None].double().requires_grad_()
    direction = noise(16000, 3)[None, None]
    (gradient,) = torch.autograd.grad((coded(sound, 16) * direction).sum(), sound)
    coefficients = mdct(direction, 2048)
    kept = coefficients * (frequencies(2048, RATE, direction) < cutoff(torch.tensor(16.0, dtype=torch.float64), 1))
    torch.testing.assert_close(gradient, inverse_mdct(kept, 16000))


@pytest.mark.parametrize(
    ("hertz", "least", "most"), [(100, -90, -50), (200, -90, -45), (400, -0.3, 0.3), (1000, -0.3, 0.3), (3000, -0.3, 0.3), (3600, -90, -45), (5000, -90, -50)]
)  # fmt: skip
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_telephone_line_carries_300_to_3400_hertz(hertz: float, least: float, most: float, rate: int) -> None:
    if hertz > 0.45 * rate:
        pytest.skip("no such tone at this rate")
    time = torch.arange(rate, dtype=torch.float64) / rate
    tone = 0.5 * torch.sin(2 * torch.pi * hertz * time)
    heard: Tensor = A.TelephoneCodec(sample_rate=rate, p=1.0)(tone)
    middle = slice(rate // 4, -rate // 4)
    phase = torch.exp(2j * torch.pi * hertz * time)[middle]
    gain = 2 * (heard[middle] * phase).mean().abs() / 0.5
    level = float(20 * torch.log10(gain))
    assert least < max(level, -89) < most


def test_a_telephone_line_has_the_noise_of_g711() -> None:
    """The decision levels of the recommendation: chords of 16 steps, each chord's twice the size of the one before."""
    table = np.array([(2 * step + 33) * 2**chord - 33 for chord in range(8) for step in range(16)]) / 8031
    table = np.unique(np.concatenate([-table, table]))
    for level in (0.001, 0.01, 0.1, 0.25):
        sound = (level * noise(20000)).clamp(-1, 1)
        theirs = table[abs(sound.numpy()[:, None] - table).argmin(1)]
        ours = decibels(sound, mu_law(sound))
        assert ours == pytest.approx(decibels(sound, torch.from_numpy(theirs)), abs=2), level
    assert len(mu_law(torch.linspace(-1.5, 1.5, 100001)).unique()) == 255


def test_a_telephone_is_silent_after_the_call() -> None:
    """The ringing of its filters must not be rounded up into sound that a sound alone would not have."""
    sound = voice()[None, None]
    batch = Batch(waveform=torch.cat([sound, torch.zeros(1, 1, 8000)], -1), lengths=torch.tensor([16000]))
    line = A.TelephoneCodec(sample_rate=RATE, p=1.0)
    torch.testing.assert_close(line(batch).waveform[..., :16000], line(sound), rtol=0, atol=2e-5)


def chain(loss: float, burst: float, count: int = 400, packets: int = 500) -> Tensor:
    layer = A.PacketLoss(loss, loss, burst, sample_rate=8000)
    return layer.lost(uniforms(sample_keys(torch.arange(count), seed=1), 3), packets)


def test_packets_are_lost_as_often_and_in_bursts_as_long_as_asked() -> None:
    for loss, burst in ((0.05, 1.5), (0.2, 4.0), (0.5, 2.0)):
        lost = chain(loss, burst)
        error = np.sqrt(loss * (1 - loss) * 2 * burst / lost.numel())
        assert float(lost.float().mean()) == pytest.approx(loss, abs=4 * error)
        assert float(lost[:, 0].float().mean()) == pytest.approx(loss, abs=4 * np.sqrt(loss * (1 - loss) / 400))
        runs = run_lengths(lost)
        assert runs.mean() == pytest.approx(burst, rel=0.1)
        edges = np.array([*range(1, 9), 10**9])
        found = np.histogram(runs, edges)[0]
        expected = np.diff(1 - (1 - 1 / burst) ** (edges - 1.0)) * len(runs)
        assert stats.chisquare(found, expected).pvalue > 0.001


def run_lengths(lost: Tensor) -> np.ndarray[Any, Any]:
    """Of bursts that end before the last packet."""
    found = []
    for row in lost.tolist():
        length = 0
        for bad in row:
            if bad:
                length += 1
            elif length:
                found.append(length)
                length = 0
    return np.array(found)


def test_shortest_bursts_are_independent_losses() -> None:
    lost = chain(0.25, 4 / 3).float()
    before, after = lost[:, :-1].flatten(), lost[:, 1:].flatten()
    assert abs(float(torch.corrcoef(torch.stack([before, after]))[0, 1])) < 4 / np.sqrt(len(before))


def test_none_and_whole_packets_are_lost() -> None:
    sound = torch.ones(8, 2, 4000)
    assert torch.equal(A.PacketLoss(0, 0, sample_rate=8000, p=1.0)(sound), sound)
    out: Tensor = A.PacketLoss(0.3, 0.3, 3.0, sample_rate=8000, p=1.0)(sound)
    packets = out.view(8, 2, 25, 160)
    assert torch.equal(packets, packets[:, :1, :, :1].expand_as(packets))
    assert 0.1 < 1 - out.mean() < 0.6


def test_the_last_packet_that_came_is_repeated() -> None:
    sound = torch.arange(1.0, 26).repeat_interleave(160)[None, None].expand(16, 1, -1)
    layer = A.PacketLoss(0.4, 0.4, 3.0, 0.02, "repeat", sample_rate=8000, p=1.0)
    batch = Batch(waveform=sound, key=sample_keys(torch.arange(16)))
    lost = layer.lost(layer.draw(batch).u[:, 1:], 25)
    assert lost[:, 0].any()
    out = layer(batch).waveform[:, 0, ::160]
    for row, bad in zip(out.tolist(), lost.tolist(), strict=True):
        last = 0.0  # silence before the first that comes
        for k in range(25):
            last = last if bad[k] else k + 1.0
            assert row[k] == last


def test_more_packets_change_none_before_them() -> None:
    layer, u = A.PacketLoss(0.1, 0.4, 2.0, sample_rate=8000), uniforms(sample_keys(torch.arange(50)), 3)
    assert torch.equal(layer.lost(u, 300)[:, :40], layer.lost(u, 40))


def test_what_was_drawn_is_told_in_the_units_of_the_user() -> None:
    batch = Batch(waveform=torch.rand(50, 1, 800), key=sample_keys(torch.arange(50)))
    codec, lossy = A.LossyCodec(8, 64, sample_rate=8000, p=1.0), A.PacketLoss(0.1, 0.3, sample_rate=8000, p=1.0)
    bitrates = [codec.describe(codec.draw(batch), i)[0]["bitrate"] for i in range(50)]
    losses = [lossy.describe(lossy.draw(batch), i)[0]["loss"] for i in range(50)]
    assert 8 <= min(bitrates) < 16
    assert 56 < max(bitrates) <= 64
    assert 0.1 <= min(losses) < max(losses) <= 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: A.LossyCodec(64, 8, sample_rate=8000),
            r"LossyCodec: \(min_bitrate, max_bitrate\) must be .*rising order",
        ),
        (lambda: A.LossyCodec(0, 8, sample_rate=8000), "above 0"),
        (lambda: A.LossyCodec(8, float("nan"), sample_rate=8000), "max_bitrate"),
        (lambda: A.LossyCodec(sample_rate=0), "LossyCodec: sample_rate must be a whole number of at least 1, got 0"),
        (lambda: A.LossyCodec(sample_rate=8000, window=512), "LossyCodec: window must be 2048 or 256, got 512"),
        (lambda: A.TelephoneCodec(sample_rate=8000.5), "TelephoneCodec: sample_rate must be a whole number"),
        (lambda: A.PacketLoss(0.3, 0.1, sample_rate=8000), r"PacketLoss: \(min_loss, max_loss\) must be"),
        (lambda: A.PacketLoss(0.1, 1.0, sample_rate=8000), "PacketLoss: max_loss must be below 1, got 1.0"),
        (
            lambda: A.PacketLoss(0.1, 0.5, 1.5, sample_rate=8000),
            "PacketLoss: burst must be at least 2 packets.*got 1.5",
        ),
        (
            lambda: A.PacketLoss(packet_duration=0, sample_rate=8000),
            "PacketLoss: packet_duration must be a number above 0",
        ),
        (
            lambda: A.PacketLoss(concealment="plc", sample_rate=8000),
            "concealment must be 'zero' or 'repeat', got 'plc'",
        ),
        (lambda: A.PacketLoss(p=-1, sample_rate=8000), "p must be a chance"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_sample_rate_is_asked_for() -> None:
    for kind in (A.LossyCodec, A.TelephoneCodec, A.PacketLoss):
        with pytest.raises(TypeError, match="sample_rate"):
            kind()  # type: ignore[call-arg]
