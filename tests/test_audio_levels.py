"""Levels, cuts and shifts of sounds: what they are for, what other packages got wrong, and what they refuse."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type, call-arg, index"
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from torchaug import Batch, Compose, OneOf, Transform, audio
from torchaug.audio.statistics import ranked
from torchaug.keys import sample_keys, uniforms

RATE = 8000


def noise(count: int = 1, channels: int = 1, samples: int = 4000, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, samples, generator=torch.Generator().manual_seed(seed)) / 4


def keyed(count: int, **fields: Any) -> Batch:
    return Batch(**fields, key=sample_keys(torch.arange(count), seed=2))


def draws(transform: Transform, length: int, name: str, count: int = 4000) -> np.ndarray[Any, np.dtype[Any]]:
    """A parameter's values for sounds of one length."""
    u = uniforms(sample_keys(torch.arange(count)), transform.uniforms)
    size = transform_size(length, count)
    return transform.drawn(u, size)[name].numpy()


def transform_size(length: int, count: int) -> Any:
    from torchaug.transform import Sizes

    return Sizes(torch.zeros(count), torch.zeros(count), (0, 0), torch.full((count,), length))


@pytest.mark.parametrize(
    ("transform", "name", "low", "high"),
    [
        (audio.Gain(-7, 5), "gain_db", -7, 5),
        (audio.ClippingDistortion(5, 25), "percentile_threshold", 5, 25),
        (audio.TanhDistortion(0.2, 0.4), "distortion", 0.2, 0.4),
        (audio.Limiter(-20, -3, sample_rate=RATE), "threshold_db", -20, -3),
        (audio.Limiter(min_release=0.1, max_release=0.5, sample_rate=RATE), "release", 0.1, 0.5),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_numbers_are_drawn_uniformly(transform: Transform, name: str, low: float, high: float) -> None:
    law = stats.uniform(low, high - low)
    assert stats.kstest(draws(transform, 1000, name), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("transform", "name", "low", "high"),
    [
        (audio.Shift(-0.01, 0.005, sample_rate=RATE), "shift", -10, 5),
        (audio.Shift(-3, 4, "samples", sample_rate=RATE), "shift", -3, 4),
        (audio.Shift(-0.001, 0.001, "seconds", sample_rate=RATE), "shift", -8, 8),
        (audio.RandomCrop(990), "start", 0, 10),
        (audio.AdjustDuration(993), "start", 0, 7),
        (audio.Padding(min_fraction=0.005, max_fraction=0.015), "padding", 5, 15),
        (audio.TimeMask(0.002, 0.009, sample_rate=RATE), "width", 2, 9),
        (audio.BitCrush(3, 11), "bit_depth", 3, 11),
        (audio.RepeatPart(2, 5, sample_rate=RATE), "repeats", 2, 5),
        (
            audio.GainTransition(min_duration=5, max_duration=9, duration_unit="samples", sample_rate=RATE),
            "duration",
            5,
            9,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_whole_numbers_are_drawn_alike_with_both_ends(transform: Transform, name: str, low: int, high: int) -> None:
    values, counts = np.unique(draws(transform, 1000, name), return_counts=True)
    assert values.tolist() == list(range(low, high + 1))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_mask_begins_anywhere_inside() -> None:
    begin = draws(audio.TimeMask(0.5, 0.5, sample_rate=RATE), 20, "begin")
    values, counts = np.unique(begin, return_counts=True)
    assert values.tolist() == list(range(11))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_transition_may_begin_before_the_sound_and_end_after_it() -> None:
    transition = audio.GainTransition(min_duration=6, max_duration=6, duration_unit="samples", sample_rate=RATE)
    values, counts = np.unique(draws(transition, 10, "start"), return_counts=True)
    assert values.tolist() == list(range(-4, 9))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_aliasing_rates_are_uniform_in_mel() -> None:
    rates = draws(audio.Aliasing(1000, 7000, sample_rate=RATE), 1000, "new_sample_rate")
    mel = 2595 * np.log10(1 + rates / 700)
    low, high = 2595 * np.log10(1 + np.array([1000, 7000]) / 700)
    assert stats.kstest(mel, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_fast_forward_is_a_shift_to_an_earlier_time() -> None:
    shift = audio.Shift(-0.25, -0.25, rollover=False, fade_duration=0, p=1.0, sample_rate=RATE)
    out = shift(keyed(1, waveform=torch.arange(1.0, 9)[None, None], instants=torch.tensor([[1.0, 5.0]])))
    assert out.waveform[0, 0].tolist() == [3, 4, 5, 6, 7, 8, 0, 0]
    assert out.instants.isnan().tolist() == [[True, False]]
    assert out.instants[0, 1] == 3


def test_a_roll_wraps_at_the_length_of_each_sound() -> None:
    shift = audio.Shift(2, 2, "samples", fade_duration=0, p=1.0, sample_rate=RATE)
    sound = torch.arange(1.0, 7).expand(2, 1, 6)
    out = shift(keyed(2, waveform=sound, lengths=torch.tensor([6, 4])))
    assert out.waveform[:, 0].tolist() == [[5, 6, 1, 2, 3, 4], [3, 4, 1, 2, 0, 0]]


@pytest.mark.parametrize("rollover", [True, False])
def test_a_shift_by_more_than_a_sound(rollover: bool) -> None:
    shift = audio.Shift(11, 11, "samples", rollover, 0, p=1.0, sample_rate=RATE)
    out = shift(keyed(1, waveform=torch.arange(1.0, 5)[None, None]))
    assert out.waveform[0, 0].tolist() == ([2, 3, 4, 1] if rollover else [0, 0, 0, 0])


def test_an_event_across_the_seam_becomes_two() -> None:
    shift = audio.Shift(3, 3, "samples", p=1.0, sample_rate=RATE)
    labels = {"events": torch.tensor([[[4.0, 7.0]]]), "event_labels": torch.tensor([[6]])}
    out = shift(keyed(1, waveform=torch.zeros(1, 1, 8), **labels))
    assert out.events.tolist() == [[[7, 8], [0, 2]]]
    assert out.event_labels.tolist() == [[6, 6]]


def test_the_seam_of_a_roll_makes_no_click() -> None:
    sound = torch.ones(1, 1, 800)
    sound[..., 400:] = -1
    shift = audio.Shift(100, 100, "samples", fade_duration=0.005, p=1.0, sample_rate=RATE)
    steps = shift(keyed(1, waveform=sound)).waveform[0, 0].diff().abs()
    assert steps[80:120].max() < 0.05


def test_evaluation_crops_the_middle() -> None:
    sound = torch.arange(10.0).expand(3, 1, 10)
    for crop in (audio.RandomCrop(4), audio.AdjustDuration(4)):
        out = crop.eval()(Batch(waveform=sound, lengths=torch.tensor([10, 6, 3])))
        assert out.waveform[:, 0].tolist() == [[3, 4, 5, 6], [1, 2, 3, 4], [0, 1, 2, 0]]
    assert out.lengths.tolist() == [4, 4, 4]


def test_a_crop_that_others_are_chosen_before_is_the_middle() -> None:
    one = OneOf([audio.RandomCrop(4), audio.Gain(0, 0, p=1.0)], weights=[0.0, 1.0])
    out = one(keyed(2, waveform=torch.arange(10.0).expand(2, 1, 10), instants=torch.full((2, 1), 5.0)))
    assert out.waveform.tolist() == [[[3, 4, 5, 6]], [[3, 4, 5, 6]]]
    assert out.instants.tolist() == [[2], [2]]


def test_a_crop_as_long_as_the_sound_is_the_sound() -> None:
    """torch-audiomentations' RandomCrop raises here."""
    sound = noise(2)
    assert torch.equal(audio.RandomCrop(4000)(sound), sound)
    assert torch.equal(audio.AdjustDuration(4000)(sound), sound)


@pytest.mark.parametrize("section", ["start", "end"])
def test_padding_by_nothing_keeps_the_sound(section: Any) -> None:
    """torch-audiomentations silences the whole clip, and raises where least and most are equal."""
    sound = noise(2)
    assert torch.equal(audio.Padding("silence", 0, 0, section, p=1.0)(sound), sound)
    assert not audio.Padding("silence", 1, 1, section, p=1.0)(sound).any()


def test_a_sound_pads_itself_eight_times_at_most_and_so_do_its_labels() -> None:
    sound, events = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 2.0]]])
    out = audio.AdjustDuration(20, padding_mode="wrap")(keyed(1, waveform=sound, events=events))
    assert out.waveform.flatten().tolist() == [1, 2] * 8 + [0] * 4
    assert out.events[0].tolist() == [[2 * i + 1, 2 * i + 2] for i in range(8)]


def test_a_mirrored_event_is_labelled() -> None:
    sound, events = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[0.0, 1.0]]])
    out = audio.AdjustDuration(6, padding_mode="reflect")(keyed(1, waveform=sound, events=events))
    assert out.waveform.flatten().tolist() == [1, 2, 3, 2, 1, 2]
    assert [e for e in out.events[0].tolist() if e != [0, 0]] == [[0, 1], [4, 5]]


def trimmed(sound: np.ndarray[Any, Any], top_db: float) -> tuple[int, int]:
    """What librosa.effects.trim's documentation says, frame by frame."""
    size, hop = 2048, 512
    padded = np.pad(sound, ((0, 0), (size // 2, size // 2)))
    frames = [padded[:, i * hop : i * hop + size] for i in range(1 + sound.shape[1] // hop)]
    loud = np.array([np.sqrt((frame**2).mean(1)).max() for frame in frames])
    heard = np.flatnonzero(20 * np.log10(np.maximum(loud, 1e-20) / loud.max()) > -top_db)
    return heard[0] * hop, min(sound.shape[1], (heard[-1] + 1) * hop)


def test_trim_cuts_where_the_frames_become_silent() -> None:
    count = 6
    lengths = torch.tensor([20000, 15000, 9000, 20000, 700, 3000])
    begins, ends = torch.tensor([5000, 4000, 100, 0, 100, 1100]), torch.tensor([9000, 14000, 8000, 20000, 300, 1500])
    time = torch.arange(20000)
    loud = (time >= begins[:, None]) & (time < ends[:, None])
    sound = noise(count, 2, 20000) * torch.where(loud, 1, 1e-3)[:, None] * torch.tensor([1.0, 0.2])[:, None]
    instants = begins.double()[:, None]
    out = audio.Trim(30, p=1.0)(keyed(count, waveform=sound, lengths=lengths, instants=instants))
    for i in range(count):
        begin, end = trimmed(sound[i, :, : lengths[i]].double().numpy(), 30)
        assert out.lengths[i] == end - begin
        assert torch.equal(out.waveform[i, :, : end - begin], sound[i, :, begin:end])
        assert not out.waveform[i, :, end - begin :].any()
        assert out.instants[i] == instants[i] - begin


def test_trim_leaves_silence_alone() -> None:
    out = audio.Trim(p=1.0)(keyed(1, waveform=torch.zeros(1, 1, 5000)))
    assert out.lengths.tolist() == [5000]


def test_splices_get_shorter_by_half_the_intervals_and_never_overlap() -> None:
    splice = audio.SpliceOut(6, 300, p=1.0, sample_rate=RATE)
    batch = keyed(64, waveform=noise(64, samples=8000), lengths=torch.arange(64) * 100 + 5)
    params = splice.draw(batch)
    out = splice.play(batch, params)
    for i in range(64):
        record = splice.describe(params, i)[0]
        start, cut = np.array(record["start"]), np.array(record["cut"])
        assert (start[1:] >= (start + 2 * cut)[:-1]).all()
        assert start[-1] + 2 * cut[-1] <= batch.lengths[i]
        assert out.lengths[i] == batch.lengths[i] - cut.sum()
        assert (cut <= 1200).all()


def test_repeats_are_repeated_with_their_labels() -> None:
    repeat = audio.RepeatPart(2, 2, 0.5, 0.5, crossfade_duration=0, p=1.0, sample_rate=8)
    sound = torch.arange(4.0)[None, None]
    labels = {"events": torch.tensor([[[1.0, 2.0]]]), "event_labels": torch.tensor([[3]])}
    out = repeat(keyed(1, waveform=sound, **labels))
    assert out.waveform[0, 0].tolist() == [0, 1, 2, 3] * 3
    assert out.events.tolist() == [[[1, 2], [5, 6], [9, 10]]]
    assert out.event_labels.tolist() == [[3, 3, 3]]


def test_cross_fades_of_repeats_keep_the_loudness_of_noise() -> None:
    repeat = audio.RepeatPart(3, 3, 0.1, 0.1, crossfade_duration=0.05, p=1.0, sample_rate=RATE)
    out = repeat(keyed(64, waveform=noise(64, samples=8000)))
    own = out.waveform.square().mean((0, 1))[: int(out.lengths.min())]
    assert abs(float(own.mean()) * 16 - 1) < 0.02


def test_shuffled_channels_take_every_order_equally_often() -> None:
    sound = torch.arange(3.0).view(1, 3, 1).expand(3000, 3, 1)
    orders = audio.ShuffleChannels(p=1.0)(keyed(3000, waveform=sound)).waveform[..., 0]
    _, counts = orders.unique(dim=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_dropped_channels_are_silent_and_one_is_always_left() -> None:
    out = audio.DropChannels(0.3, p=1.0)(keyed(4000, waveform=torch.ones(4000, 2, 1))).waveform[..., 0]
    left = out.sum(1)
    assert left.min() == 1
    assert abs(float((left == 1).float().mean()) - (1 - 0.7**2)) < 0.03
    for single in (audio.DropChannels(1.0, p=1.0), audio.ShuffleChannels(p=1.0)):
        mono = noise(3)
        assert torch.equal(single(mono), mono)


def test_each_channel_has_numbers_of_its_own_and_they_are_told() -> None:
    sound = noise(8, 5)
    flip = audio.PerChannel(Compose([audio.PolarityInversion(p=0.5), audio.Gain(-20, 5, p=0.7)]), p=0.8)
    batch = keyed(8, waveform=sound)
    params = flip.draw(batch)
    out = flip.play(batch, params).waveform
    factors = set()
    for i in range(8):
        told = flip.describe(params, i)[0]
        sign = 1 - 2 * torch.tensor(told["0_applied"], dtype=torch.float32)
        gain = torch.where(torch.tensor(told["1_applied"]), 10 ** (torch.tensor(told["1_gain_db"]) / 20), 1)
        factor = sign * gain if told["applied"] else torch.ones(5)
        torch.testing.assert_close(out[i], sound[i] * factor[:, None])
        factors |= set(factor.tolist())
    assert len(factors) > 20
    (alone,) = audio.PerChannel(audio.Gain(p=0.5)).describe(params, 1)
    assert len(alone["gain_db"]) == len(alone["applied"]) == 5


def test_channels_are_changed_by_their_own_chance_or_by_that_of_the_sound() -> None:
    batch = keyed(400, waveform=torch.ones(400, 2, 1))
    each = audio.PerChannel(audio.PolarityInversion(p=0.3))(batch).waveform[..., 0] < 0
    share, both = each.double().mean(), each.all(1).double().mean()
    assert abs(share - 0.3) < 0.05
    assert abs(both - 0.09) < 0.05
    whole = audio.PerChannel(audio.PolarityInversion(p=1.0), p=0.3)(batch).waveform[..., 0] < 0
    assert torch.equal(whole[:, 0], whole[:, 1])
    assert abs(whole.double().mean() - 0.3) < 0.05


def test_channels_are_kept_together_by_what_moves_time() -> None:
    with pytest.raises(
        TypeError, match=r"PerChannel: expected transforms of waveforms that move nothing.*got TimeStretch"
    ):
        audio.PerChannel(Compose([audio.Gain(), audio.TimeStretch(sample_rate=RATE)]))
    with pytest.raises(TypeError, match=r"PerChannel: channel_transform must be a transform of torchaug, got 0\.5"):
        audio.PerChannel(0.5)
    with pytest.raises(TypeError, match="drawn for a batch with a waveform"):
        audio.PerChannel(audio.Gain()).describe(audio.Gain().draw(Batch(label=torch.zeros(2))), 0)
    assert audio.PerChannel(audio.Gain()).eval()(noise(2, 3)).shape == (2, 3, 4000)


def test_only_too_loud_sounds_are_normalised() -> None:
    sound = torch.tensor([[[0.5, -0.2]], [[1.0, 0.0]], [[0.5, -2.0]]])
    out = audio.PeakNormalization("only_too_loud_sounds", p=1.0)(sound)
    assert out.tolist() == [[[0.5, pytest.approx(-0.2)]], [[1, 0]], [[0.25, -1]]]
    soft = torch.tensor([[[1e-4, -5e-5]], [[0.0, 0.0]]])
    assert audio.PeakNormalization(p=1.0)(soft).tolist() == [[[1, -0.5]], [[0, 0]]]


@pytest.mark.parametrize("percent", [1, 5, 7, 40, 100])
def test_so_many_percent_are_clipped(percent: int) -> None:
    """audiomentations clips 4 of 5 percent: it halves whole numbers."""
    sound = noise(1, 2, 10000)
    out = audio.ClippingDistortion(percent, percent, p=1.0)(sound)
    assert abs(int((out != sound).sum()) - percent / 100 * 20000) <= 2


@given(
    rows=st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30), min_size=1, max_size=4),
    share=st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_ranks_are_those_of_sorting(rows: list[list[float]], share: float) -> None:
    longest = max(map(len, rows))
    sound = torch.tensor([row + [float("nan")] * (longest - len(row)) for row in rows])[:, None]
    lengths = torch.tensor([len(row) for row in rows])
    ranks = torch.stack([((lengths - 1) * share).long(), lengths - 1], 1)
    expected = [[sorted(row)[int(k)] for k in rank] for row, rank in zip(rows, ranks, strict=True)]
    assert ranked(sound, lengths, ranks).tolist() == expected
    assert ranked(sound.requires_grad_(), lengths, ranks).tolist() == expected


@pytest.mark.parametrize("kind", ["noise", "a step in 16 samples", "steps", "silence", "padding"])
def test_ranks_of_long_sounds_are_those_of_sorting(kind: str) -> None:
    """Looked for near where every 16th sample tells: also where it tells nothing, and at both ends."""
    sound = noise(2, 2, 30000)
    if kind == "a step in 16 samples":
        sound[..., ::16] = 5
    elif kind == "steps":
        sound = sound.round(decimals=1)
    elif kind == "silence":
        sound[..., 100:] = 0
    elif kind == "padding":
        sound[..., 20000:] = torch.tensor([float("nan"), -9])[:, None, None]
    length = 20000 if kind == "padding" else 30000
    ranks = torch.tensor([[0, 1, 700, 25000, 39998, 39999], [3, 29, 5000, 20000, 30000, 39000]])
    expected = sound[..., :length].flatten(1).sort().values.gather(1, ranks)
    for values in (sound, sound.double(), sound.clone().requires_grad_()):
        assert torch.equal(ranked(values, torch.full((2,), length), ranks).float(), expected)


def test_a_limiter_lets_nothing_above_its_threshold_and_leaves_soft_sounds_alone() -> None:
    sound = noise(8, 2, 8000) * torch.linspace(0.01, 4, 8000)
    limiter = audio.Limiter(-10, -10, threshold_mode="absolute", p=1.0, sample_rate=RATE)
    out, threshold = limiter(keyed(8, waveform=sound)).waveform, 10 ** (-10 / 20)
    assert out.abs().max() <= threshold * (1 + 1e-6)
    assert out.abs().max() > threshold * 0.999
    soft = sound * (threshold / sound.abs().max())
    torch.testing.assert_close(limiter(keyed(8, waveform=soft)).waveform, soft, rtol=1e-6, atol=0)
    balance = out[:, 0] * sound[:, 1] - out[:, 1] * sound[:, 0]
    assert balance.abs().max() < 1e-6


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
@pytest.mark.parametrize("dither", [True, False])
def test_so_many_bits_are_so_many_levels(depth: int, dither: bool) -> None:
    """audiomentations makes 2^d + 3."""
    ramp = torch.linspace(-1.2, 1.2, 20000)[None, None]
    levels = audio.BitCrush(depth, depth, dither, p=1.0)(keyed(1, waveform=ramp)).waveform.unique()
    assert levels.tolist() == [k / 2 ** (depth - 1) for k in range(-(2 ** (depth - 1)), 2 ** (depth - 1))]


def test_dither_makes_the_error_independent_of_the_sound() -> None:
    """A constant between two levels comes out right on average, with noise of a quarter of a squared step."""
    step, value = 2.0**-4, 0.3 * 2.0**-4
    sound = torch.full((1, 1, 40000), value)
    error = audio.BitCrush(5, 5, True, p=1.0)(keyed(1, waveform=sound)).waveform - value
    assert abs(float(error.mean())) < 0.02 * step
    assert abs(float(error.square().mean()) / step**2 - 0.25) < 0.01
    plain = audio.BitCrush(5, 5, p=1.0)(keyed(1, waveform=sound)).waveform
    assert not plain.any()


@pytest.mark.parametrize("transform", [audio.BitCrush(3, 3, p=1.0), audio.MuLaw(16, p=1.0), audio.ALaw(16, p=1.0)])
def test_gradients_pass_steps_by_and_stop_where_it_clips(transform: Transform) -> None:
    sound = torch.tensor([0.3, -0.6, 1.5, -1.5], requires_grad=True)
    transform(sound).sum().backward()
    assert sound.grad.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("levels", [2, 37, 256])
def test_mu_law_is_torchaudios(levels: int) -> None:
    functional = pytest.importorskip("torchaudio.functional")
    sound = noise(4).clamp(-1, 1)
    expected = functional.mu_law_decoding(functional.mu_law_encoding(sound, levels), levels)
    torch.testing.assert_close(audio.MuLaw(levels, p=1.0)(sound), expected, rtol=0, atol=1e-6)


def g711_a_law(sample: int) -> int:
    """A sample of 13 bits through G.711's table of segments and back, as a whole number of 13 bits."""
    size = min(abs(sample), 4095)
    segment = max(0, size.bit_length() - 5)
    shift = max(1, segment)
    return int(np.sign(sample) or 1) * (((size >> shift) << shift) + (1 << (shift - 1)))


def g711_mu_law(sample: int) -> int:
    """The same of 14 bits for the mu-law."""
    size = min(abs(sample), 8158) + 33
    segment = size.bit_length() - 6
    return int(np.sign(sample) or 1) * (((size >> (segment + 1)) << (segment + 1)) + (1 << segment) - 33)


@pytest.mark.parametrize(("transform", "table", "bits"), [(audio.ALaw, g711_a_law, 13), (audio.MuLaw, g711_mu_law, 14)])
def test_companding_is_about_what_telephones_do(transform: type[Transform], table: Any, bits: int) -> None:
    """G.711 has straight segments in place of the curve: its error is as large as ours, at every loudness."""
    full = 2 ** (bits - 1)
    for loudness in (0.5, 0.1, 0.02):
        sound = (noise(1, 1, 20000).clamp(-1, 1) * 4 * loudness).clamp(-0.99, 0.99)
        telephone = torch.tensor([table(int(v)) for v in torch.round(sound * full).flatten()]) / full
        ours = transform(p=1.0)(sound).flatten()
        errors = [float((x - sound.flatten()).square().mean().sqrt()) for x in (ours, telephone)]
        assert 0.7 < errors[0] / errors[1] < 1.3


def test_aliasing_folds_a_tone_at_the_new_rate() -> None:
    """3000 Hz sampled at 4000 Hz is a tone of 1000 Hz."""
    time = torch.arange(RATE) / RATE
    out = audio.Aliasing(4000, 4000, p=1.0, sample_rate=RATE)(torch.sin(2 * torch.pi * 3000 * time))
    assert int(torch.fft.rfft(out).abs()[:2000].argmax()) == 1000
    same = audio.Aliasing(RATE, 30000, p=1.0, sample_rate=RATE)
    assert torch.equal(same(time), time)


def test_a_mask_fades_inside_of_what_it_silences() -> None:
    mask = audio.TimeMask(0.5, 0.5, 0.01, p=1.0, sample_rate=RATE)
    batch = keyed(8, waveform=torch.ones(8, 1, 2000))
    params = mask.draw(batch)
    for i, row in enumerate(mask.play(batch, params).waveform[:, 0]):
        record = mask.describe(params, i)[0]
        begin, end = record["begin"], record["begin"] + record["width"]
        assert (row[:begin] == 1).all()
        assert (row[end:] == 1).all()
        assert row[begin + 80 : end - 80].abs().max() < 1e-6
        assert row.diff().abs().max() < 0.03


WRONG: list[tuple[str, type[Transform], dict[str, Any]]] = [
    ("min_gain_db must be at most max_gain_db", audio.Gain, {"min_gain_db": 3, "max_gain_db": -3}),
    ("max_gain_db must be a number", audio.Gain, {"max_gain_db": float("nan")}),
    ("min_duration must be a number", audio.GainTransition, {"min_duration": 0, "sample_rate": 8000}),
    ("duration_unit must be", audio.GainTransition, {"duration_unit": "hours", "sample_rate": 8000}),
    ("sample_rate must be a whole number", audio.GainTransition, {"sample_rate": 0}),
    ("apply_to must be", audio.PeakNormalization, {"apply_to": "some"}),
    ("drop_rate must be a number", audio.DropChannels, {"drop_rate": 1.5}),
    ("min_shift must be a number", audio.Shift, {"min_shift": -1.5, "sample_rate": 8000}),
    ("shift_unit must be", audio.Shift, {"shift_unit": "frames", "sample_rate": 8000}),
    ("fade_duration must be a number", audio.Shift, {"fade_duration": -1, "sample_rate": 8000}),
    ("sample_rate must be a whole number", audio.Shift, {"sample_rate": 8000.5}),
    ("size must be a whole number", audio.RandomCrop, {"size": 2.5}),
    ("size must be a whole number", audio.RandomCrop, {"size": 0}),
    ("sample_rate must be given", audio.RandomCrop, {"size": 2.5, "size_unit": "seconds"}),
    ("size must be a number", audio.RandomCrop, {"size": 0, "size_unit": "seconds", "sample_rate": 8000}),
    ("expected duration_samples or duration_seconds", audio.AdjustDuration, {}),
    (
        "expected duration_samples or duration_seconds",
        audio.AdjustDuration,
        {"duration_samples": 3, "duration_seconds": 1, "sample_rate": 8000},
    ),
    ("padding_mode must be", audio.AdjustDuration, {"duration_samples": 3, "padding_mode": "constant"}),
    ("max_fraction must be a number", audio.Padding, {"max_fraction": 1.2}),
    ("pad_section must be", audio.Padding, {"pad_section": "middle"}),
    ("top_db must be a number", audio.Trim, {"top_db": 0}),
    ("num_time_intervals must be a whole number", audio.SpliceOut, {"num_time_intervals": 0, "sample_rate": 8000}),
    ("max_width must be a number", audio.SpliceOut, {"max_width": 0, "sample_rate": 8000}),
    ("min_band_part must be at most", audio.TimeMask, {"min_band_part": 0.5, "sample_rate": 8000}),
    ("mask_location must be", audio.TimeMask, {"mask_location": "middle", "sample_rate": 8000}),
    ("min_repeats must be a whole number", audio.RepeatPart, {"min_repeats": 0, "sample_rate": 8000}),
    ("min_repeats must be at most", audio.RepeatPart, {"min_repeats": 4, "sample_rate": 8000}),
    ("crossfade_duration must be a number", audio.RepeatPart, {"crossfade_duration": 0.2, "sample_rate": 8000}),
    ("must be \\(low, high\\) in rising order", audio.Clip, {"a_min": 1, "a_max": 1}),
    ("max_percentile_threshold must be a number", audio.ClippingDistortion, {"max_percentile_threshold": 101}),
    ("max_distortion must be a number", audio.TanhDistortion, {"max_distortion": 2}),
    ("min_attack must be a number", audio.Limiter, {"min_attack": 0, "sample_rate": 8000}),
    ("threshold_mode must be", audio.Limiter, {"threshold_mode": "rms", "sample_rate": 8000}),
    ("max_bit_depth must be a whole number", audio.BitCrush, {"max_bit_depth": 33}),
    ("min_bit_depth must be at most", audio.BitCrush, {"min_bit_depth": 12}),
    ("quantization_channels must be a whole number", audio.MuLaw, {"quantization_channels": 1}),
    ("quantization_channels must be a whole number", audio.ALaw, {"quantization_channels": 2.5}),
    ("min_sample_rate must be a number", audio.Aliasing, {"min_sample_rate": 1, "sample_rate": 8000}),
    ("p must be a chance", audio.Trim, {"p": 2}),
]


@pytest.mark.parametrize(
    ("message", "kind", "wrong"), WRONG, ids=lambda value: value if isinstance(value, str) else None
)
def test_wrong_arguments_are_refused_by_name(message: str, kind: type[Transform], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__}: .*{message}"):
        kind(**wrong)


@pytest.mark.parametrize("kind", [audio.Shift, audio.Limiter, audio.TimeMask, audio.Aliasing, audio.RepeatPart])
def test_a_sample_rate_is_asked_for(kind: type[Transform]) -> None:
    with pytest.raises(TypeError, match="sample_rate"):
        kind()


def test_images_are_refused() -> None:
    with pytest.raises(TypeError, match="Gain: expected a waveform"):
        audio.Gain()(Batch(image=torch.zeros(1, 3, 4, 4)))
