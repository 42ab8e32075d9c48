"""Transforms of spectrograms, and the way to them from waveforms."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type, index"
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from torchaug import Batch, Compose, Transform
from torchaug import audio as A
from torchaug.audio.masking import Stripes
from torchaug.audio.timewarp import Warp
from torchaug.keys import sample_keys, uniforms
from torchaug.serial import from_dict, to_dict

RATE, HOP = 8000, 128


def keys(count: int, seed: int = 0) -> Tensor:
    return sample_keys(torch.arange(count), seed=seed)


def chain() -> Compose:
    return Compose(
        [
            A.TimeInversion(p=1.0),
            A.MelSpectrogram(RATE, 512, HOP, n_mels=40, log_floor=1e-8),
            A.SpecAugment(6, 2, 8, 2, 5, 0.5, mask_value=-20.0),
        ]
    )


def waveforms() -> Batch:
    """Three sounds of 4000, 2560 (20 hops) and 1500 samples; the first event of each is a burst of a tone in near silence."""
    lengths = torch.tensor([4000, 2560, 1500])
    at = torch.arange(4000)
    begin = torch.tensor([[1024.0], [640.0], [256.0]])
    burst = torch.sin(2 * torch.pi * 0.2 * at) * ((at >= begin) & (at < begin + 512))
    sound = (burst + 1e-4 * torch.sin(0.37 * at))[:, None] * (at < lengths[:, None, None])
    events = torch.stack([begin, begin + 512], -1)
    return Batch(
        waveform=sound,
        lengths=lengths,
        events=torch.cat([events, torch.zeros_like(events)], 1),
        event_labels=torch.tensor([[3, -1]] * 3),
        instants=torch.cat([begin + 256, torch.full((3, 1), torch.nan)], 1),
        frame_labels=torch.arange(10).expand(3, 10),
        key=keys(3),
    )


def test_a_chain_from_waveforms_to_masked_spectrograms_is_one_call() -> None:
    batch, layer = waveforms(), chain()
    params = layer.draw(batch)
    out = layer(batch)
    assert out.waveform is None
    assert out.spectrogram.shape == (3, 1, 40, 1 + 4000 // HOP)
    assert out.lengths.tolist() == [1 + length // HOP for length in (4000, 2560, 1500)]
    assert out.event_labels.tolist() == [[3, -1]] * 3
    assert not out.events[:, 1].any()
    assert out.instants[:, 1].isnan().all()
    for i, length in enumerate(out.lengths.tolist()):
        _, _, record = layer.describe(params, i)
        covered = np.zeros((40, 32), dtype=bool)
        for axis, places in (("time", (slice(None),)), ("freq", ())):
            for start, width in zip(record[f"{axis}_start"], record[f"{axis}_width"], strict=True):
                covered[(*places, slice(start, start + width))] = True
        covered[:, length:] = False
        assert np.array_equal(out.spectrogram[i, 0].numpy() == -20, covered)
        assert not out.spectrogram[i, ..., length:].any()


def test_labels_follow_a_burst_through_the_whole_chain() -> None:
    """Backwards, in frames, and warped: where the event says it is, the burst is."""
    batch, layer = waveforms(), chain()
    layer.transforms[2] = A.TimeWarp(8)
    out, before = layer(batch), Compose(list(layer.transforms)[:2])(batch)
    assert not torch.equal(out.events, before.events)
    for i, length in enumerate(out.lengths.tolist()):
        loud = out.spectrogram[i, 0, :, :length].amax(0)
        begin, end = out.events[i, 0].tolist()
        middle = out.instants[i, 0].item()
        assert begin < middle < end
        # a window of 4 hops hears the burst two frames before and behind it
        assert (loud[int(begin) + 1 : int(end)] > loud.max() - 3).all()
        assert (loud[: max(0, int(begin) - 5)] < loud.max() - 6).all()
        assert (loud[int(end) + 6 :] < loud.max() - 6).all()


def test_the_time_map_of_a_chain_takes_instants_where_the_batch_has_them() -> None:
    batch, layer = waveforms(), chain()
    way = A.time_map(layer, layer.draw(batch))
    torch.testing.assert_close(way.instants(batch.instants[:, :1]), layer(batch).instants[:, :1])


def test_samples_alone_and_padded_give_the_same_frames() -> None:
    batch, layer = waveforms(), chain()
    together = layer(batch)
    for i, length in enumerate(batch.lengths.tolist()):
        one = batch[i : i + 1]
        alone = layer(one.replace(waveform=one.waveform[..., :length], lengths=None, frame_labels=None))
        frames = int(together.lengths[i])
        assert alone.lengths is None
        torch.testing.assert_close(alone.spectrogram[0], together.spectrogram[i, ..., :frames], rtol=0, atol=2e-5)


@pytest.mark.parametrize("shape", [(20, 50), (3, 20, 50), (3, 2, 20, 50)])
def test_spectrograms_of_each_rank_come_back_as_they_came(shape: tuple[int, ...]) -> None:
    sound = torch.ones(shape)
    count = 1 if len(shape) == 2 else shape[0]
    layer = A.SpecAugment(0, 1, 30, 1, 10)
    out = layer(sound, keys=keys(count))
    assert out.shape == shape
    full = sound.expand(1, 1, 20, 50) if len(shape) == 2 else sound[:, None] if len(shape) == 3 else sound
    assert torch.equal(out.reshape(full.shape), layer(Batch(spectrogram=full, key=keys(count))).spectrogram)
    assert 0 < out.mean() < 1


@pytest.mark.parametrize(
    ("shape", "after"), [((1000,), (40, 8)), ((2, 1000), (2, 40, 8)), ((3, 2, 1000), (3, 2, 40, 8))]
)
def test_waveforms_of_each_rank_become_spectrograms(shape: tuple[int, ...], after: tuple[int, ...]) -> None:
    layer = A.MelSpectrogram(RATE, 512, HOP, n_mels=40)
    sound = torch.rand(shape)
    assert layer(sound).shape == after
    out = layer({"waveform": sound, "name": "a", "label": torch.tensor(1)})
    assert [*out] == ["spectrogram", "name", "label"]
    assert torch.equal(out["spectrogram"], layer(sound))
    pair = layer(sound, "and")
    assert torch.equal(pair[0], layer(sound))
    assert pair[1] == "and"


def test_dicts_and_lists_keep_lengths_and_labels_by_name() -> None:
    layer = Compose([A.MelSpectrogram(RATE, 512, HOP, n_mels=40), A.SpecAugment(4, 1, 5, 1, 5)])
    lengths = torch.tensor([1000, 600])
    out = layer({"waveform": torch.rand(2, 1, 1000), "lengths": lengths, "events": torch.tensor([[[0.0, 512.0]]] * 2)})
    assert [*out] == ["spectrogram", "lengths", "events"]
    assert out["lengths"].tolist() == [8, 5]
    assert out["events"].shape == (2, 1, 2)
    first, second = A.MelSpectrogram(RATE, 512, HOP, n_mels=40)([torch.rand(1000), torch.rand(2, 600)[:1]])
    assert first.shape == (40, 8)
    assert second.shape == (1, 40, 5)
    nested = layer({"sound": {"waveform": torch.rand(1, 1000)}, "waveform": "a word"})
    assert [*nested["sound"]] == ["spectrogram"]
    assert nested["waveform"] == "a word"


def test_spectrograms_in_dicts() -> None:
    out = A.FrequencyMasking(10)({"spectrogram": torch.ones(20, 50), "events": torch.tensor([[2.0, 9.0]])})
    assert out["spectrogram"].shape == (20, 50)
    assert out["events"].tolist() == [[2.0, 9.0]]


def test_mel_spectrograms_are_those_of_torchaudio() -> None:
    transforms = pytest.importorskip("torchaudio.transforms")
    sound = torch.randn(2, 1, 5000, generator=torch.Generator().manual_seed(0))
    for scale, power, low, high in (("slaney", 2.0, 0.0, None), ("htk", 1.0, 60.0, 3800.0)):
        theirs = transforms.MelSpectrogram(
            RATE,
            512,
            hop_length=HOP,
            n_mels=32,
            f_min=low,
            f_max=high,
            power=power,
            norm="slaney",
            mel_scale=scale,
            pad_mode="constant",
        )
        ours: Any = A.MelSpectrogram(RATE, 512, HOP, 32, low, high, scale, power)
        torch.testing.assert_close(ours(sound), theirs(sound), rtol=1e-4, atol=1e-5 * float(theirs(sound).max()))


def test_masks_are_those_of_torchaudio_with_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    functional = pytest.importorskip("torchaudio.functional")
    sound = torch.randn(16, 1, 20, 50, generator=torch.Generator().manual_seed(0))
    for axis, layer in ((3, A.TimeMasking(30)), (2, A.FrequencyMasking(12))):
        assert isinstance(layer, Transform)
        batch = Batch(spectrogram=sound, key=keys(16))
        params, out = layer.draw(batch), layer(batch).spectrogram
        name = "time" if axis == 3 else "freq"
        for i in range(16):
            (record,) = layer.describe(params, i)
            (start,), (width,) = record[f"{name}_start"], record[f"{name}_width"]
            size, longest = sound.shape[axis], 1000
            draws = iter([(width + 0.5) / longest, (start + 0.4) / (size - width - 0.5)])
            monkeypatch.setattr(torch, "rand", lambda *_, d=draws, **__: torch.tensor([next(d)]))
            theirs = functional.mask_along_axis(sound[i], longest, 0.0, axis - 1)
            monkeypatch.undo()
            assert torch.equal(out[i], theirs), (record, axis)


@pytest.mark.parametrize(("longest", "share", "most"), [(9, 1.0, 9), (100, 0.2, 6), (100, 0.0, 0)])
def test_widths_and_starts_are_uniform(longest: int, share: float, most: int) -> None:
    count, places = 20000, 30
    u = uniforms(keys(count, seed=1), 2)
    stripes = Stripes.of(u, longest, torch.full((count,), places), share)
    widths = stripes.width[:, 0]
    found = torch.bincount(widths, minlength=most + 1)
    assert len(found) == most + 1
    assert most == 0 or stats.chisquare(found.numpy()).pvalue > 0.01
    for width in {0, most}:
        starts = torch.bincount(stripes.start[:, 0][widths == width], minlength=places - width + 1)
        assert len(starts) == places - width + 1
        assert stats.chisquare(starts.numpy()).pvalue > 0.01


def test_the_share_of_a_stripe_is_not_lost_to_rounding() -> None:
    widths = Stripes.of(uniforms(keys(4000), 2), 1000, torch.full((4000,), 100), 0.29).width
    assert widths.max() == 29  # 0.29 * 100 is a bit less than 29


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 50), st.integers(0, 30), st.integers(0, 999)
)
def test_stripes_and_warps_stay_within_lengths(lengths: list[int], most: int, wide: int, seed: int) -> None:
    """SpeechBrain masks padding (its issue 1116), and so covers less of short sounds than it says."""
    own = torch.tensor(lengths)
    u = uniforms(keys(len(lengths), seed), 6)
    stripes = Stripes.of(u[:, :4], wide, own)
    assert bool((stripes.start >= 0).all())
    assert bool((stripes.start + stripes.width <= own[:, None]).all())
    warp = Warp.of(u[:, 4:], most, own)
    target = warp.center + warp.shift
    inside = own >= 3
    assert bool(((target >= 1) & (target <= own - 2) & (warp.shift.abs() <= most))[inside].all())
    assert not warp.shift[own < 5].any()
    knots = warp.timeline(own)
    assert bool((knots.source.diff() >= 0).all())
    assert bool((knots.target.diff() >= 0).all())
    assert bool((knots.target[..., -1] == own[:, None]).all())


def test_a_warp_that_moves_nothing_changes_no_bit() -> None:
    sound = torch.randn(4, 1, 3, 30)
    still = Warp(torch.tensor([5, 10, 20, 29]), torch.zeros(4, dtype=torch.int64))
    assert torch.equal(still.move(sound, torch.tensor([30, 30, 25, 30]))[0], sound[0])


def test_warped_labels_are_where_the_frames_are() -> None:
    """A ramp in place of sound: its value is the frame that something came from."""
    ramp = torch.arange(100.0).expand(8, 1, 1, 100).contiguous()
    instants = torch.arange(10.5, 95, 10).expand(8, -1)
    batch = Batch(spectrogram=ramp, instants=instants, frame_labels=torch.arange(100).expand(8, 100), key=keys(8, 2))
    out = A.TimeWarp(30)(batch)
    for row, moved, labels in zip(out.spectrogram[:, 0, 0], out.instants, out.frame_labels, strict=True):
        back = np.interp(moved.numpy() - 0.5, np.arange(100), row.numpy())
        assert abs(back - (instants[0].numpy() - 0.5)).max() < 1e-3
        assert (labels - row).abs().max() <= 0.5 + 1e-4
    assert not torch.equal(out.instants, instants)


def test_edges_are_whole_frames_in_half_precision() -> None:
    """torchaudio counts frames in the dtype of the spectrogram: in bfloat16, 3000 frames are 700 different numbers."""
    sound = torch.ones(8, 1, 4, 3000)
    layer, key = A.SpecAugment(80, 2, 100, 1, 2), keys(8)
    whole = layer(Batch(spectrogram=sound, key=key)).spectrogram
    half = layer(Batch(spectrogram=sound.bfloat16(), key=key)).spectrogram
    assert torch.equal(whole, half.float())


def test_the_mean_is_each_samples_own() -> None:
    """torchaudio fills with the mean of the batch, padding included."""
    sound = torch.stack([torch.full((1, 10, 40), float(level)) for level in (1, 10, 100)])
    lengths = torch.tensor([40, 20, 30])
    behind = torch.arange(40) >= lengths[:, None, None, None]
    batch = Batch(spectrogram=sound.masked_fill(behind, -1000), lengths=lengths, key=keys(3))
    out = A.SpecAugment(0, 2, 20, 2, 8, mask_value="mean")(batch)
    torch.testing.assert_close(out.spectrogram, batch.spectrogram, rtol=1e-6, atol=0)


def test_all_channels_are_covered_alike() -> None:
    """torchaudio's masks differ from channel to channel."""
    out = A.SpecAugment(0, 2, 20, 2, 8)(torch.ones(6, 3, 20, 50))
    assert torch.equal(out, out[:, :1].expand(-1, 3, -1, -1))


def test_policies_are_those_of_the_paper() -> None:
    strong = A.SpecAugment.of_policy("SS", "mean", p=0.3)
    assert (strong.time_warp, strong.freq_mask_param, strong.n_freq_masks) == (40, 27, 2)
    assert (strong.time_mask_param, strong.max_time_share, strong.n_time_masks) == (70, 0.2, 2)
    assert (strong.mask_value, strong.p) == ("mean", 0.3)
    basic, double = A.SpecAugment.of_policy("LB"), A.SpecAugment.of_policy("LD")
    assert (basic.time_warp, basic.n_time_masks, basic.n_freq_masks, basic.time_mask_param) == (80, 1, 1, 100)
    assert (double.n_time_masks, double.n_freq_masks, double.max_time_share) == (2, 2, 1.0)
    assert A.SpecAugment.of_policy("SM").freq_mask_param == 15


def test_the_settings_are_written() -> None:
    for layer in (chain(), A.SpecCutMix(0.5, 7), A.Spectrogram(512, power=1.0), A.SpecAugment.of_policy("SM", "mean")):
        assert repr(from_dict(to_dict(layer))) == repr(layer)


def test_evaluation_makes_spectrograms_and_masks_nothing() -> None:
    batch, layer = waveforms(), Compose([A.MelSpectrogram(RATE, 512, HOP, 40), A.SpecAugment()]).eval()
    assert torch.equal(layer(batch).spectrogram, A.MelSpectrogram(RATE, 512, HOP, 40)(batch).spectrogram)


def mixing() -> tuple[Batch, Batch, list[int], Tensor, Tensor]:
    lengths = torch.tensor([50, 30, 50, 40])
    sound = torch.arange(4.0)[:, None, None, None].expand(4, 1, 20, 50).contiguous()
    batch = Batch(
        spectrogram=sound,
        lengths=lengths,
        label=torch.arange(4),
        events=torch.tensor([[[0.0, 50.0]], [[0.0, 30.0]], [[10.0, 20.0]], [[30.0, 35.0]]]),
        event_labels=torch.arange(4)[:, None],
        instants=torch.arange(4.0)[:, None] * 10 + 5,
        frame_labels=torch.nn.functional.one_hot(torch.arange(4), 4).float()[:, None].repeat(1, 50, 1),
        key=keys(4, 1),
    )
    layer = A.SpecCutMix(num_classes=4)
    u = layer.draw(batch).u[:, 1:]
    frames, _ = layer.rectangle(u, lengths, 20)
    return batch, layer(batch), layer.partners(u).tolist(), frames.start[:, 0], (frames.start + frames.width)[:, 0]


def test_labels_of_mixed_spectrograms_are_the_shares_that_are_seen() -> None:
    batch, out, partners, _, _ = mixing()
    for i, partner in enumerate(partners):
        length = int(batch.lengths[i])
        own = out.spectrogram[i, 0, :, :length]
        share = float((own == partner).float().mean())
        assert out.label[i, partner].item() == pytest.approx(share, abs=1e-6)
        assert out.label[i].sum().item() == pytest.approx(1)
        seen = torch.stack([(out.spectrogram[i, 0] == each).float().mean(0) for each in range(4)], -1)
        torch.testing.assert_close(out.frame_labels[i], seen)
        assert (out.spectrogram[i, 0, :, length:] == i).all()


def test_events_of_mixed_spectrograms_are_joined_where_they_are_pasted() -> None:
    batch, out, partners, first, last = mixing()
    assert torch.equal(out.events[:, :1], batch.events)
    assert torch.equal(out.instants[:, :1], batch.instants)
    for i, partner in enumerate(partners):
        begin, end = batch.events[partner, 0].clamp(float(first[i]), float(last[i])).tolist()
        assert out.events[i, 1].tolist() == ([begin, end] if end > begin else [0, 0])
        assert out.event_labels[i].tolist() == [i, partner if end > begin else -1]
        at = batch.instants[partner, 0].item()
        assert out.instants[i, 1].isnan().item() == (not first[i] <= at < last[i])


def test_class_numbers_of_frames_are_those_of_the_larger_share() -> None:
    sound = torch.zeros(2, 1, 20, 10)
    labels = torch.tensor([[0] * 10, [1] * 10])
    layer = A.SpecCutMix()
    for seed in range(20):
        batch = Batch(
            spectrogram=sound + torch.arange(2.0)[:, None, None, None], frame_labels=labels, key=keys(2, seed)
        )
        out = layer(batch)
        share = (out.spectrogram[0, 0] == 1).float().mean(0)
        assert out.frame_labels[0].tolist() == (share > 0.5).tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: A.SpecAugment(time_warp=-1), "SpecAugment: time_warp must be a whole number of at least 0, got -1"),
        (lambda: A.SpecAugment(n_time_masks=1.5), "n_time_masks must be a whole number"),
        (lambda: A.SpecAugment(max_time_share=1.2), r"max_time_share must be a number in \[0, 1\], got 1.2"),
        (lambda: A.SpecAugment(mask_value="median"), "mask_value must be a number or 'mean', got 'median'"),
        (lambda: A.SpecAugment(mask_value=float("nan")), "mask_value must be a number, got nan"),
        (lambda: A.SpecAugment.of_policy("XL"), "policy must be 'LB', 'LD', 'SM' or 'SS', got 'XL'"),
        (lambda: A.SpecAugment(p=1.5), "p must be a chance"),
        (lambda: A.TimeMasking(-3), "TimeMasking: time_mask_param must be a whole number of at least 0"),
        (lambda: A.FrequencyMasking(3, 0), "FrequencyMasking: n_masks must be a whole number of at least 1"),
        (lambda: A.TimeWarp(2.5), "TimeWarp: time_warp must be a whole number"),
        (lambda: A.SpecCutMix(alpha=0), "SpecCutMix: alpha must be a number above 0, got 0"),
        (lambda: A.Spectrogram(n_fft=1), "Spectrogram: n_fft must be a whole number of at least 2, got 1"),
        (lambda: A.Spectrogram(power=3), r"Spectrogram: power must be 1.0 or 2.0, got 3"),
        (lambda: A.Spectrogram(log_floor=0), "Spectrogram: log_floor must be a number above 0, got 0"),
        (lambda: A.MelSpectrogram(16000.5), "MelSpectrogram: sample_rate must be a whole number"),
        (lambda: A.MelSpectrogram(8000, f_max=5000), "0 <= low_hz < high_hz <= 4000"),
        (lambda: A.MelSpectrogram(16000, 256, n_mels=128), "128 mels are too many for 256 samples"),
        (lambda: A.MelSpectrogram(16000, mel_scale="bark"), "scale must be one of slaney, htk, got 'bark'"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_inputs_say_what_is_wrong() -> None:
    with pytest.raises(TypeError, match=r"SpecAugment: expected a spectrogram.*MelSpectrogram before it"):
        A.SpecAugment()(Batch(waveform=torch.rand(2, 1, 100)))
    with pytest.raises(TypeError, match="MelSpectrogram: expected a waveform"):
        A.MelSpectrogram(RATE)(Batch(spectrogram=torch.rand(2, 1, 20, 50)))
    with pytest.raises(ValueError, match="num_classes"):
        A.SpecCutMix()(torch.rand(2, 1, 20, 50), torch.tensor([0, 1]))
    layer = A.TimeMasking(5)
    with pytest.raises(
        ValueError, match="TimeMasking: its numbers are drawn for spectrograms, got a batch without one"
    ):
        layer.describe(layer.draw(Batch(waveform=torch.rand(2, 1, 100))), 0)
