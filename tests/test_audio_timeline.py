"""Where time maps take instants, events and frame labels: against maps worked out by hand, and against moving step by step."""

# fields of a Batch that the test itself has set
# mypy: disable-error-code="union-attr, arg-type"
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchaug import Batch, Compose, OneOf, audio
from torchaug.audio import TimeMap, time_map
from torchaug.audio.timeline import moved_labels
from torchaug.keys import sample_keys
from torchaug.transform import Layer

RATE = 1000


def one(source: list[list[float]], target: list[list[float]]) -> TimeMap:
    """The map of one sound, from the knots of its parts."""
    return TimeMap(*(torch.tensor([knots], dtype=torch.float64) for knots in (source, target)))


def times(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def found(way: TimeMap, *values: float) -> list[list[float]]:
    """For each instant where the parts have it, without those that do not."""
    moved = way.instants(times(*values))[0].view(-1, len(values))
    return [[x for x in column if not math.isnan(x)] for column in moved.T.tolist()]


TWICE_AS_FAST = one([[0, 8]], [[0, 4]])
BACKWARDS = one([[0, 8]], [[8, 0]])
ROLLED = one([[0, 5], [5, 8]], [[3, 8], [0, 3]])
CUT_OUT = one([[0, 2, 5, 8]], [[0, 2, 2, 5]])  # [2, 5) is gone
CROPPED = one([[2, 6]], [[0, 4]])
REPEATED = one([[0, 6], [4, 8]], [[0, 6], [6, 10]])
PADDED = one([[0, 8]], [[3, 11]])
EVERY = {
    "fast": TWICE_AS_FAST,
    "backwards": BACKWARDS,
    "rolled": ROLLED,
    "cut out": CUT_OUT,
    "cropped": CROPPED,
    "repeated": REPEATED,
    "padded": PADDED,
}


def test_instants() -> None:
    assert found(TWICE_AS_FAST, 0, 3, 8, 8.5) == [[0], [1.5], [4], []]
    assert found(BACKWARDS, 0, 3, 8, -1) == [[8], [5], [0], []]
    assert found(ROLLED, 1, 6, 8) == [[4], [1], [3]]
    assert found(CUT_OUT, 1, 2, 4.9, 5, 8) == [[1], [], [], [2], [5]]
    assert found(CROPPED, 1, 2, 5, 6, 7) == [[], [0], [3], [4], []]
    assert found(REPEATED, 1, 5, 7) == [[1], [5, 7], [9]]
    assert found(PADDED, 0, 8, math.nan) == [[3], [11], []]


def test_a_part_of_no_duration_has_no_instants() -> None:
    assert found(one([[0, 0], [0, 8]], [[0, 0], [0, 8]]), 0, 8) == [[0], [8]]


def test_knots_that_come_twice_lose_no_instant() -> None:
    assert found(one([[0, 0, 4, 4, 8, 8]], [[0, 0, 2, 2, 4, 4]]), 0, 4, 8) == [[0], [2], [4]]


def test_events() -> None:
    def moved(way: TimeMap, begin: float, end: float) -> list[list[float]]:
        pieces = way.events(times(begin, end)[:, None])[0].tolist()
        return [piece for piece in pieces if piece != [0, 0]]

    assert moved(TWICE_AS_FAST, 2, 6) == [[1, 3]]
    assert moved(BACKWARDS, 2, 5) == [[3, 6]]
    assert moved(ROLLED, 4, 7) == [[7, 8], [0, 2]]
    assert moved(ROLLED, 0, 5) == [[3, 8]]
    assert moved(CUT_OUT, 1, 3) == [[1, 2]]
    assert moved(CUT_OUT, 3, 6) == [[2, 3]]
    assert moved(CUT_OUT, 2.5, 4.5) == []
    assert moved(CUT_OUT, 1, 7) == [[1, 4]]
    assert moved(CROPPED, 0, 3) == [[0, 1]]
    assert moved(CROPPED, 0, 2) == []
    assert moved(REPEATED, 3, 5) == [[3, 5], [6, 7]]


def test_back_says_where_each_instant_was() -> None:
    def was(way: TimeMap, *values: float) -> list[float | None]:
        source, there = way.back(times(*values))
        return [x if known else None for x, known in zip(source[0].tolist(), there[0].tolist(), strict=True)]

    assert was(TWICE_AS_FAST, 0, 3, 4) == [0, 6, None]
    assert was(BACKWARDS, 0.5, 7.5, 8.5) == [7.5, 0.5, None]
    assert was(ROLLED, 0.5, 3.5) == [5.5, 0.5]
    assert was(CUT_OUT, 1.5, 2, 2.5, 4.5, 5.5) == [1.5, 5, 5.5, 7.5, None]
    assert was(CROPPED, 0, 3.5, 4.5) == [2, 5.5, None]
    assert was(REPEATED, 5.5, 6.5, 9.5) == [5.5, 4.5, 7.5]
    assert was(PADDED, 1, 3, 10.5, 11.5) == [None, 0, 7.5, None]


@pytest.mark.parametrize("name", EVERY)
def test_frame_labels_are_those_of_the_frames_that_were_there(name: str) -> None:
    way = EVERY[name]
    samples = int(way.target.max())
    batch = Batch(waveform=torch.zeros(1, 1, 8), frame_labels=torch.arange(8)[None])
    labels = moved_labels(batch, way, torch.tensor([True]), samples)["frame_labels"][0].tolist()
    by_hand = {
        "fast": [1, 3, 5, 7],
        "backwards": [7, 6, 5, 4, 3, 2, 1, 0],
        "rolled": [5, 6, 7, 0, 1, 2, 3, 4],
        "cut out": [0, 1, 5, 6, 7],
        "cropped": [2, 3, 4, 5],
        "repeated": [0, 1, 2, 3, 4, 5, 4, 5, 6, 7],
        "padded": [-1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7],
    }
    assert labels == by_hand[name]


def test_frame_labels_of_every_shape_and_dtype() -> None:
    way, chosen = one([[0, 4]], [[4, 8]]), torch.tensor([True])
    sound = torch.zeros(1, 1, 8)
    for labels, fill in ((torch.rand(1, 4, 3, 2), 0.0), (torch.ones(1, 4, dtype=torch.bool), False)):
        moved = moved_labels(Batch(waveform=sound, frame_labels=labels), way, chosen, 8)["frame_labels"]
        assert moved.dtype == labels.dtype
        assert torch.equal(moved[:, :2], torch.full_like(labels[:, :2], fill))
        assert torch.equal(moved[:, 2:], labels[:, :2])


def test_sounds_that_are_not_chosen_keep_their_labels() -> None:
    way = TimeMap(*(torch.cat([knots, knots]) for knots in REPEATED))
    batch = Batch(
        waveform=torch.zeros(2, 1, 8),
        events=torch.tensor([[[3.0, 5.0]]] * 2),
        event_labels=torch.tensor([[9], [9]]),
        instants=torch.tensor([[5.0], [5.0]]),
        frame_labels=torch.arange(8).expand(2, 8),
    )
    moved = moved_labels(batch, way, torch.tensor([True, False]), 10)
    assert moved["events"].tolist() == [[[3, 5], [6, 7]], [[3, 5], [0, 0]]]
    assert moved["event_labels"].tolist() == [[9, 9], [9, -1]]
    assert moved["instants"].nan_to_num(-1).tolist() == [[5, 7], [5, -1]]
    assert moved["frame_labels"][1].tolist() == [*range(8), -1, -1]


@st.composite
def maps(draw: st.DrawFn) -> TimeMap:
    """Of one sound, of one to three parts that may be cut, stretched, turned round, or have a piece cut out of the middle."""
    parts = draw(st.integers(1, 3))
    numbers = st.integers(0, 64)
    sources, targets = [], []
    for _ in range(parts):
        source = sorted(draw(st.lists(numbers, min_size=4, max_size=4)))
        target = sorted(draw(st.lists(numbers, min_size=4, max_size=4)))
        sources.append([float(x) for x in source])
        targets.append([float(x) for x in (target[::-1] if draw(st.booleans()) else target)])
    return one(sources, targets)


def proper(way: TimeMap) -> TimeMap:
    """Without jumps: a map goes through its knots, so those of equal sources have equal targets."""
    source, target = way.source.clone(), way.target.clone()
    for k in range(1, source.shape[-1]):
        same = source[..., k] == source[..., k - 1]
        target[..., k] = torch.where(same, target[..., k - 1], target[..., k])
    return TimeMap(source, target)


@given(first=maps(), second=maps(), at=st.lists(st.floats(0, 64), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_the_product_of_maps_is_one_map_after_the_other(first: TimeMap, second: TimeMap, at: list[float]) -> None:
    first, second = proper(first), proper(second)
    where = [x for x in at if not near_a_knot(x, first, second)]
    if where:
        product = found(first.then(second), *where)
        for x, moved in zip(where, product, strict=True):
            expected = [z for y in found(first, x)[0] for z in found(second, y)[0]]
            np.testing.assert_allclose(sorted(moved), sorted(expected), rtol=0, atol=1e-6)


def near_a_knot(at: float, first: TimeMap, second: TimeMap) -> bool:
    """Where both answers are right: an instant at the border of what is cut off."""
    if (first.source - at).abs().min() < 1e-6:
        return True
    between = [y for y in first.instants(times(at))[0].tolist() if not math.isnan(y)]
    return any((second.source - y).abs().min() < 1e-6 for y in between)


@given(first=maps(), second=maps(), ends=st.tuples(st.integers(0, 64), st.integers(0, 64)))
@settings(max_examples=80, deadline=None)
def test_the_product_moves_as_much_of_an_event(first: TimeMap, second: TimeMap, ends: tuple[int, int]) -> None:
    first, second = proper(first), proper(second)
    event = times(*map(float, sorted(ends)))[:, None]
    by_steps, at_once = second.events(first.events(event)), first.then(second).events(event)
    for side in (by_steps, at_once):
        assert bool((side[..., 1] >= side[..., 0]).all())
    durations = [(moved[..., 1] - moved[..., 0]).sort(-1).values[0].tolist() for moved in (by_steps, at_once)]
    stepwise, whole = ([d for d in row if d > 1e-9] for row in durations)
    np.testing.assert_allclose(whole, stepwise, atol=1e-9)


def test_the_ends_of_a_sound_survive_a_product() -> None:
    way = TWICE_AS_FAST.then(one([[0, 4]], [[4, 0]]))
    assert found(way, 0, 8) == [[4], [0]]
    assert found(CUT_OUT.then(one([[0, 5]], [[0, 10]])), 0, 5, 8) == [[0], [4], [10]]


def test_what_the_second_map_cuts_off_is_gone_at_the_very_ends_too() -> None:
    assert found(one([[0, 0, 8, 8]], [[0, 0, 8, 8]]).then(CROPPED), 0, 2, 6, 8) == [[], [0], [4], []]


MOVING: list[Layer] = [
    audio.TimeInversion(p=1.0),
    audio.Shift(fade_duration=0, p=1.0, sample_rate=RATE),
    audio.Shift(rollover=False, fade_duration=0, p=1.0, sample_rate=RATE),
    audio.RandomCrop(600),
    audio.SpliceOut(3, p=1.0, sample_rate=RATE),
    audio.Padding("silence", p=1.0),
    audio.Padding("wrap", pad_section="start", p=1.0),
    audio.Padding("reflect", p=1.0),
    audio.AdjustDuration(1500, padding_mode="wrap", padding_position="start"),
    audio.AdjustDuration(1500, padding_mode="reflect"),
    audio.RepeatPart(1, 3, 0.05, 0.2, crossfade_duration=0, p=1.0, sample_rate=RATE),
    audio.RepeatPart(1, 3, 0.05, 0.2, "replace", crossfade_duration=0, p=1.0, sample_rate=RATE),
]


@pytest.mark.parametrize("layer", MOVING, ids=repr)
def test_the_sound_went_where_the_map_says(layer: Layer) -> None:
    """Of a sound whose samples are their own times, what comes out says where it was."""
    batch = sounds()
    clock = (torch.arange(1000) + 0.5).expand(16, 1, 1000)
    params = layer.draw(batch)
    out = layer.play(batch.replace(waveform=clock), params)
    assert out.waveform is not None
    assert batch.lengths is not None
    middles = torch.arange(out.waveform.shape[-1]) + 0.5
    was, there = time_map(layer, params).back(middles.expand(16, -1))
    wrong = (out.waveform[:, 0] - torch.where(there, was, 0)).abs() > 1e-3
    own = middles < (batch.lengths if out.lengths is None else out.lengths)[:, None]
    faded = torch.zeros_like(wrong)
    if isinstance(layer, audio.SpliceOut):
        for i in range(16):
            record = layer.describe(params, i)[0]
            begins = np.array(record["start"]) - np.cumsum([0, *record["cut"][:-1]])
            for begin, cut in zip(begins, record["cut"], strict=True):
                faded[i, begin : begin + cut] = True
        assert faded.float().mean() < 0.5
    assert not (wrong & own & ~faded).any()


def test_the_identity_where_a_sound_is_not_chosen() -> None:
    chosen = torch.tensor([False])
    way = ROLLED.where(chosen, torch.tensor([8]))
    assert found(way, 0, 5, 8) == [[0], [5], [8]]
    assert found(ROLLED.where(~chosen, torch.tensor([8])), 1, 6) == [[4], [1]]


CHAIN: list[Layer] = [
    audio.Shift(p=0.7, sample_rate=RATE),
    audio.TimeInversion(p=0.5),
    audio.Gain(),
    audio.RandomCrop(600),
    OneOf([audio.RepeatPart(1, 2, 0.05, 0.2, sample_rate=RATE), audio.SpliceOut(3, sample_rate=RATE)]),
    audio.Padding("reflect", 0.2, 0.4, p=0.6),
]


def sounds(count: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(300, 1000, (count,), generator=generator)
    inside = torch.rand(count, 5, 2, generator=generator, dtype=torch.float64) * lengths[:, None, None]
    return Batch(
        waveform=torch.rand(count, 1, 1000, generator=generator),
        lengths=lengths,
        events=inside.sort(-1).values,
        instants=inside[..., 0],
        key=sample_keys(torch.arange(count), seed=4),
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_map_of_a_chain_is_what_happens_in_the_batch(training: bool) -> None:
    chain, batch = Compose(CHAIN).train(training), sounds()
    params = chain.draw(batch)
    out, way = chain.play(batch, params), time_map(chain, params)
    moved, expected = way.instants(batch.instants), out.instants
    for ours, theirs in zip(moved, expected, strict=True):
        at_once, stepwise = (sorted(x[~x.isnan()].tolist()) for x in (ours, theirs))
        np.testing.assert_allclose(at_once, stepwise, atol=1e-6)
    pieces = way.events(batch.events)
    for ours, theirs in zip(pieces, out.events, strict=True):
        at_once, stepwise = (sorted(map(tuple, e[e[:, 1] - e[:, 0] > 1e-6].tolist())) for e in (ours, theirs))
        np.testing.assert_allclose(at_once, stepwise, atol=1e-6)


def test_a_map_needs_a_sound() -> None:
    layer = audio.Shift(sample_rate=RATE)
    params = layer.draw(Batch(label=torch.zeros(2)))
    with pytest.raises(ValueError, match="must come from a batch with a waveform"):
        time_map(layer, params)


def test_a_map_cannot_tell_what_depends_on_the_sound() -> None:
    layer = Compose([audio.Trim(p=1.0)])
    with pytest.raises(TypeError, match=r"Trim cuts off what the sound itself says.*in the batch"):
        time_map(layer, layer.draw(sounds()))
