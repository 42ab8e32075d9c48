"""What holds for every transform of sounds."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type, index, operator"
from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from zoo_audio import ALONE, BINS, CHAINS, CHANNELS, EVERY, FRAMES, MIXING, SAMPLES, labelled

from torchaug import Batch, Compose, Transform, audio
from torchaug.audio import Timed, Wave
from torchaug.keys import sample_keys
from torchaug.serial import from_dict, to_dict
from torchaug.transform import Layer

SINGLE = ALONE | MIXING
STANDING_ALONE = ALONE | CHAINS
ULPS = 2e-5
"""What a Fourier transform of a batch may differ from that of a single sound."""


def every(zoo: dict[str, Layer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", zoo)


def sound_of(batch: Batch) -> Tensor:
    sound = batch.waveform if batch.spectrogram is None else batch.spectrogram
    assert sound is not None
    return sound


def assert_same(a: Batch, b: Batch, atol: float = 0) -> None:
    assert a.present().keys() == b.present().keys()
    for name, value in a.present().items():
        other = b.present()[name]
        assert value.dtype == other.dtype, name
        allowed = atol if value.is_floating_point() else 0
        torch.testing.assert_close(value, other, rtol=0, atol=allowed, equal_nan=True)


@every(STANDING_ALONE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_sound_stands_alone(name: str, dtype: torch.dtype) -> None:
    batch = labelled(name, dtype=dtype)
    together = EVERY[name](batch)
    for i in range(len(batch)):
        assert_same(together[i : i + 1], EVERY[name](batch[i : i + 1]), atol=ULPS)


@every(STANDING_ALONE)
def test_what_padding_holds_does_not_matter(name: str) -> None:
    batch = labelled(name)
    sound = sound_of(batch)
    field = "waveform" if batch.spectrogram is None else "spectrogram"
    behind = (torch.arange(sound.shape[-1]) >= batch.lengths[:, None]).view(4, *[1] * (sound.ndim - 2), -1)
    full = batch.replace(**{field: torch.where(behind, math.nan, sound)})
    ours, theirs = EVERY[name](batch), EVERY[name](full)
    assert torch.equal(ours.lengths, theirs.lengths)
    after = sound_of(ours)
    own = (torch.arange(after.shape[-1]) < ours.lengths[:, None]).view(4, *[1] * (after.ndim - 2), -1)
    assert_same(Batch(image=torch.where(own, after, 0)), Batch(image=torch.where(own, sound_of(theirs), 0)), atol=ULPS)


@every(STANDING_ALONE)
def test_lengths_are_those_of_sounds_cut_to_them(name: str) -> None:
    """A sound in a padded batch becomes what it becomes without its padding."""
    batch = labelled(name)
    together = EVERY[name](batch)
    for i in range(len(batch)):
        length = int(batch.lengths[i])
        one = batch[i : i + 1]
        field = "waveform" if batch.spectrogram is None else "spectrogram"
        alone = EVERY[name](one.replace(**{field: sound_of(one)[..., :length]}, frame_labels=None))
        assert torch.equal(alone.lengths, together.lengths[i : i + 1])
        length = int(alone.lengths[0])
        torch.testing.assert_close(
            sound_of(alone)[0, ..., :length], sound_of(together)[i, ..., :length], rtol=0, atol=ULPS
        )
        assert_same(
            Batch(events=alone.events, instants=alone.instants),
            Batch(events=together.events[i : i + 1], instants=together.instants[i : i + 1]),
            atol=1e-6,
        )


@every(EVERY)
def test_permuting_the_batch_permutes_the_result(name: str) -> None:
    order = torch.tensor([3, 0, 2, 1])
    assert_same(EVERY[name](labelled(name))[order], EVERY[name](labelled(name)[order]), atol=ULPS)


@every(EVERY)
@pytest.mark.parametrize("padded", [True, False], ids=["padded", "whole"])
def test_the_input_stays_as_it_was(name: str, padded: bool) -> None:
    batch = labelled(name)
    if not padded:  # then some passes over the sound are left out, and with them copies of it
        batch = batch.replace(lengths=None)
    before = batch.map(torch.clone)
    EVERY[name](batch)
    assert_same(batch, before)


@every({name: t for name, t in SINGLE.items() if isinstance(t, Transform) and not t.always and not t.resizes})
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_samples_that_are_not_chosen_are_bit_equal(name: str, dtype: torch.dtype) -> None:
    transform = EVERY[name]
    assert isinstance(transform, Transform)
    batch = labelled(name, dtype=dtype).replace(label=None)
    u = torch.rand(4, transform.uniforms, generator=torch.Generator().manual_seed(0))
    some = torch.tensor([False, True, False, True])
    for chosen in (torch.zeros(4, dtype=torch.bool), some):
        out = transform.apply(batch, u, chosen)
        for field, value in batch.present().items():
            after = out.present()[field][~chosen]
            if value.ndim > 1:  # longer where others of the batch have become longer
                places = (slice(None), *(slice(0, n) for n in value.shape[1:]))
                after = after[places]
            torch.testing.assert_close(after, value[~chosen], rtol=0, atol=0, equal_nan=True)
            assert after.dtype == dtype or field not in ("waveform", "spectrogram")


@every(EVERY)
def test_evaluation_is_deterministic_and_keeps_what_has_no_length_to_set(name: str) -> None:
    transform = copy.deepcopy(EVERY[name]).eval()
    batch = labelled(name).replace(key=None)
    assert_same(transform(batch), transform(batch))
    if isinstance(transform, Transform) and not transform.always and not transform.resizes:
        assert_same(transform(batch), batch)


@every(EVERY)
@pytest.mark.parametrize("count", [0, 1])
def test_empty_and_one_sound_batches(name: str, count: int) -> None:
    assert len(EVERY[name](labelled(name, count))) == count
    on_fake_cuda(name, count)


@every(STANDING_ALONE)
@pytest.mark.parametrize("case", ["silent", "one sample", "no sample", "loud"])
def test_silence_and_the_shortest_sounds_stay_finite(name: str, case: str) -> None:
    batch = labelled(name)
    field = "waveform" if batch.spectrogram is None else "spectrogram"
    sound = sound_of(batch)
    if case == "silent":
        batch = batch.replace(**{field: torch.zeros_like(sound)})
    elif case == "loud":
        batch = batch.replace(**{field: sound * 1e4})
    else:
        length = 1 if case == "one sample" else 0
        batch = batch.replace(lengths=torch.full((4,), length), frame_labels=None)
        assert sound_of(EVERY[name](batch)).isfinite().all()
        batch = batch.replace(**{field: sound[..., :1]}, lengths=torch.full((4,), length))
    out = EVERY[name](batch)
    assert sound_of(out).isfinite().all()
    assert bool((out.lengths >= 0).all())
    assert bool((out.lengths <= sound_of(out).shape[-1]).all())


@every(STANDING_ALONE)
def test_a_sound_of_nan_harms_no_other(name: str) -> None:
    batch = labelled(name)
    sound = sound_of(batch).clone()
    sound[1] = math.nan
    field = "waveform" if batch.spectrogram is None else "spectrogram"
    out, clean = EVERY[name](batch.replace(**{field: sound})), EVERY[name](batch)
    rows = torch.tensor([0, 2, 3])
    assert_same(out[rows], clean[rows], atol=ULPS)


@every(EVERY)
def test_half_precision_differs_by_its_rounding_alone(name: str) -> None:
    exact = EVERY[name](labelled(name, dtype=torch.bfloat16).map(_as_float))
    half = EVERY[name](labelled(name, dtype=torch.bfloat16))
    assert sound_of(half).dtype == torch.bfloat16
    scale = sound_of(exact).abs().max()
    steps = 1 if isinstance(EVERY[name], Transform) else 6  # a chain rounds after each step
    gap = (sound_of(half).float() - sound_of(exact)).abs().max()
    assert gap <= steps * 2**-8 * scale + 1e-6
    if steps == 1:
        assert torch.equal(half.lengths, exact.lengths)
        assert torch.equal(half.events, exact.events)


def _as_float(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.bfloat16 else value


@every(EVERY)
def test_strides_and_autocast_change_nothing(name: str) -> None:
    batch = labelled(name)
    field = "waveform" if batch.spectrogram is None else "spectrogram"
    sound = sound_of(batch)
    strided = sound.transpose(1, -1).contiguous().transpose(1, -1)
    expected = EVERY[name](batch)
    assert_same(EVERY[name](batch.replace(**{field: strided})), expected, atol=ULPS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(EVERY[name](batch), expected, atol=ULPS)


@every(EVERY)
def test_a_generator_repeats_and_the_global_state_is_kept(name: str) -> None:
    batch, state = labelled(name).replace(key=None), torch.get_rng_state()
    first = EVERY[name](batch, generator=torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(first, EVERY[name](batch, generator=torch.Generator().manual_seed(7)))


def on_fake_cuda(name: str, count: int = 4) -> None:
    """On a fake CUDA device any read of a value fails."""
    transform = copy.deepcopy(EVERY[name])
    with FakeTensorMode(allow_non_fake_inputs=True):
        lengths, key, label = (torch.empty(count, dtype=torch.int64, device="cuda") for _ in range(3))
        shape = (count, 1, BINS, FRAMES) if name.startswith("spec") else (count, CHANNELS, SAMPLES)
        field = "spectrogram" if name.startswith("spec") else "waveform"
        events = torch.empty(count, 3, 2, device="cuda")
        sound = torch.empty(shape, device="cuda")
        transform.to("cuda")
        transform(Batch(**{field: sound}, lengths=lengths, events=events, label=label, key=key))


@every(EVERY)
def test_nothing_waits_for_the_device(name: str) -> None:
    on_fake_cuda(name)


def test_the_check_for_waiting_finds_a_planted_wait() -> None:
    class Waits(Wave):
        def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
            return waveform * float(waveform.max())

    EVERY["planted"] = Waits(p=1.0)
    try:
        with pytest.raises(Exception, match="_local_scalar_dense"):
            on_fake_cuda("planted")
    finally:
        del EVERY["planted"]


@every(SINGLE | {name: CHAINS[name] for name in ("chain", "one_of") if name in CHAINS})
def test_the_graph_is_whole_and_equal_to_eager(name: str) -> None:
    transform = EVERY[name]
    Compose([transform]).plan()
    torch._dynamo.reset()
    compiled = torch.compile(transform.play, fullgraph=True, backend="eager")
    for seed in range(2):
        batch = labelled(name)
        params = transform.draw(batch, keys=sample_keys(torch.arange(4), seed=seed))
        with torch._dynamo.config.patch(error_on_recompile=seed > 0):
            assert_same(compiled(batch, params), transform.play(batch, params), atol=1e-4)


@every(SINGLE)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    """Along a random direction, in float64, as often as the transform claims."""
    transform = EVERY[name]
    assert isinstance(transform, Transform)
    batch = labelled(name, dtype=torch.float64)
    field = "waveform" if batch.spectrogram is None else "spectrogram"
    sound = (sound_of(batch) * 0.8).requires_grad_()
    out = sound_of(transform(batch.replace(**{field: sound})))
    assert out.dtype == torch.float64
    weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def value(of: Tensor) -> Tensor:
        return (sound_of(transform(batch.replace(**{field: of}))) * weights).sum()

    if transform.differentiable == 0:
        return
    (gradient,) = torch.autograd.grad(value(sound), sound)
    assert gradient.isfinite().all()
    direction = torch.randn(sound.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    slope = (gradient * direction).sum()
    found = []
    for step in (1e-6, 1e-7, 1e-8, 1e-5):
        ahead, behind = (value((sound + sign * step * direction).detach()) for sign in (1, -1))
        difference = (ahead - behind) / (2 * step)
        found.append(float((slope - difference).abs() / (1e-2 + difference.abs())))
    assert min(found) < 1e-3 or name in STRAIGHT_THROUGH, found


STRAIGHT_THROUGH = {name for name in SINGLE if getattr(SINGLE[name], "straight_through", False)}
"""Whose derivative passes roundings by."""


@every(EVERY)
def test_it_pickles_and_is_written_as_a_dict(name: str) -> None:
    expected = EVERY[name](labelled(name))
    again = pickle.loads(pickle.dumps(EVERY[name]))
    assert_same(again(labelled(name)), expected)
    if name not in NOT_WRITTEN:
        assert_same(from_dict(to_dict(EVERY[name]))(labelled(name)), expected)


NOT_WRITTEN = {name for name in EVERY if any(next(leaf.buffers(), None) is not None for leaf in EVERY[name].leaves())}
"""With sounds of their own, which no file of settings holds."""


@every({name: t for name, t in SINGLE.items() if isinstance(t, Timed) and not name.startswith("spec")})
def test_an_event_follows_the_click_in_it(name: str) -> None:
    """Bursts of a tone in silence: where an event says one is, most of the sound's energy is."""
    time = torch.arange(SAMPLES)
    begins = torch.tensor([300.0, 900.0, 1500.0, 600.0])
    inside = (time >= begins[:, None]) & (time < begins[:, None] + 400)
    burst = (torch.sin(2 * torch.pi * 0.11 * time) * inside)[:, None].expand(-1, CHANNELS, -1)
    events = torch.stack([begins, begins + 400], 1)[:, None]
    batch = Batch(waveform=burst.float().contiguous(), events=events, key=sample_keys(torch.arange(4), seed=1))
    out = EVERY[name](batch)
    at = torch.arange(out.waveform.shape[-1])
    margin = 40  # of windows and kernels
    near = (at >= out.events[..., :1] - margin) & (at < out.events[..., 1:] + margin)
    there = (near & (out.events[..., 1:] > out.events[..., :1])).any(1)
    energy = out.waveform.square().sum(1)
    total = energy.sum(1)
    share = (energy * there).sum(1) / total.clamp(min=1e-9)
    assert bool(((share > 0.97) | (total < 1e-3 * 200)).all()), share


PUBLIC = [getattr(audio, name) for name in audio.__all__]


def test_the_zoo_has_every_public_transform() -> None:
    kinds = {kind for kind in PUBLIC if isinstance(kind, type) and issubclass(kind, Transform)}
    abstract = {kind for kind in kinds if getattr(kind, "__abstractmethods__", None)}
    assert kinds - abstract - {type(layer) for layer in SINGLE.values()} == set()


@pytest.mark.parametrize("name", audio.__all__)
def test_every_public_name_documents_itself(name: str) -> None:
    thing = getattr(audio, name)
    assert thing.__doc__
    assert ">>>" in thing.__doc__ or name == "time_map"
