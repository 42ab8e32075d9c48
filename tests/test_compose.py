"""Containers: plans, switches, laws of choice, replay, inverse, description, compilation, foreign steps."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, index, arg-type, list-item, type-arg, operator, no-any-return"
from __future__ import annotations

import copy
import pickle
import random
import warnings
from collections.abc import Callable

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf
from zoo import SIMCLR, images

from torchaug import Batch, Compose, Lambda, OneOf, PerSample, RandomApply, RandomOrder, SomeOf, Transform
from torchaug import image as T
from torchaug.keys import sample_keys


class Add(Transform):
    """Adds 2^bit: shows which steps acted, and with `order` where."""

    def __init__(self, amount: float, p: float = 1.0) -> None:
        super().__init__(p)
        self.amount = amount

    def transform(self, batch: Batch, u: torch.Tensor, chosen: torch.Tensor) -> Batch:
        return batch.replace(image=torch.where(chosen[:, None, None, None], batch.image + self.amount, batch.image))


class Double(Add):
    def transform(self, batch: Batch, u: torch.Tensor, chosen: torch.Tensor) -> Batch:
        return batch.replace(image=torch.where(chosen[:, None, None, None], batch.image * 2, batch.image))


def values(layer: torch.nn.Module, count: int = 20_000) -> torch.Tensor:
    return layer(torch.zeros(count, 1, 1, 1), keys=sample_keys(torch.arange(count)))[:, 0, 0, 0]


def share(mask: torch.Tensor) -> float:
    return mask.double().mean().item()


def test_one_of_chooses_by_weight_per_sample() -> None:
    got = values(OneOf([Add(1), Add(2), Add(4)], weights=[1, 2, 1], p=0.8))
    for value, expected in ((0, 0.2), (1, 0.2), (2, 0.4), (4, 0.2)):
        assert abs(share(got == value) - expected) < 0.015, value
    assert set(got.unique().tolist()) == {0, 1, 2, 4}


def test_some_of_applies_exactly_n() -> None:
    got = values(SomeOf([Add(1), Add(2), Add(4)], n=2))
    assert set(got.unique().tolist()) == {3, 5, 6}
    for value in (3, 5, 6):
        assert abs(share(got == value) - 1 / 3) < 0.015


def test_random_apply_takes_all_or_none() -> None:
    got = values(RandomApply([Add(1), Add(2, p=0.5)], p=0.6))
    assert set(got.unique().tolist()) == {0, 1, 3}
    assert abs(share(got == 0) - 0.4) < 0.015
    assert abs(share(got == 3) - 0.3) < 0.015


def test_random_order_draws_an_order_per_sample() -> None:
    got = values(RandomOrder([Add(1), Double(0)]))
    assert set(got.unique().tolist()) == {1, 2}
    assert abs(share(got == 2) - 0.5) < 0.015
    assert set(values(RandomOrder([Add(1), Double(0)]).eval()).tolist()) == {0}


def test_nested_containers_gate_together() -> None:
    got = values(RandomApply([OneOf([Add(1), Compose([Add(2), Add(4)])])], p=0.5))
    assert set(got.unique().tolist()) == {0, 1, 6}


def test_the_plan_folds_geometry_and_colour_and_says_why_runs_end() -> None:
    plan = Compose(SIMCLR)
    assert [len(run.steps) for run in plan.runs()] == [2, 3]
    assert "2 runs" in plan.explain()
    assert "ColorJitter moves no pixels" in plan.explain()
    assert [len(r.steps) for r in Compose(SIMCLR, geometry="sequential").runs()] == [1, 1, 3]
    mixed = Compose([T.RandomRotation(9, "bilinear"), T.RandomRotation(9), T.RandomAffine(9, fill=0.5)])
    assert [len(run.steps) for run in mixed.runs()] == [1, 1, 1]
    assert "interpolation='nearest', the run has 'bilinear'" in mixed.explain()
    assert "fill=(0.5,), the run has (0.0,)" in mixed.explain()


def test_rotating_there_and_back_is_one_resampling_that_loses_nothing() -> None:
    image = images(2).float() / 255
    there_and_back = [T.RandomRotation((30, 30), "bilinear"), T.RandomRotation((-30, -30), "bilinear")]
    folded = Compose(there_and_back)(image)
    sequential = Compose(there_and_back, geometry="sequential")(image)
    assert (folded - image).abs().max() < 1e-4
    assert (sequential - image).abs().max() > 0.1


def test_sequential_geometry_equals_torchvisions_chain() -> None:
    image = images(1).double() / 255
    chain = Compose(
        [T.RandomRotation((30, 30), "bilinear"), T.Resize((20, 24)), T.CenterCrop(16)], geometry="sequential"
    )
    expected = tvf.rotate(image, 30, interpolation=tvf.InterpolationMode.BILINEAR)
    expected = tvf.center_crop(tvf.resize(expected, [20, 24]), [16, 16])
    torch.testing.assert_close(chain(image), expected, atol=2e-5, rtol=0)


def test_params_replay() -> None:
    batch = Batch(image=images())
    augment = Compose(SIMCLR)
    params = augment.draw(batch)
    assert torch.equal(augment.apply(batch, params).image, augment.apply(batch, params).image)
    with pytest.raises(ValueError, match=r"Compose.apply: params must have u of shape \(3, "):
        augment.apply(batch[:3], params)


def test_inverse_brings_labels_and_interior_back() -> None:
    smooth = Batch(
        image=torch.nn.functional.interpolate(torch.rand(6, 3, 5, 5), (40, 44), mode="bicubic").clamp(0, 1),
        mask=torch.randint(0, 3, (6, 1, 5, 5)).repeat_interleave(8, 2).repeat_interleave(9, 3)[..., :40, :44],
        keypoints=torch.rand(6, 4, 2) * 20 + 10,
        key=sample_keys(torch.arange(6)),
    )
    augment = Compose(
        [T.RandomHorizontalFlip(), T.RandomRotation(25, "bilinear"), T.RandomVerticalFlip(), T.ColorJitter(0.0)]
    )
    params = augment.draw(smooth)
    back = augment.inverse(augment.apply(smooth, params), params)
    assert back.image.shape == smooth.image.shape
    inner = (slice(None), slice(None), slice(14, 26), slice(14, 30))
    assert (back.image[inner] - smooth.image[inner]).abs().mean() < 1e-2
    assert (back.mask[inner] == smooth.mask[inner]).double().mean() > 0.9
    torch.testing.assert_close(back.keypoints, smooth.keypoints, atol=1e-3, rtol=0)


def test_inverse_of_crops_returns_to_the_original_canvas() -> None:
    batch = Batch(image=images(4).float() / 255, boxes=torch.tensor([[[12.0, 12, 20, 20]]]).repeat(4, 1, 1))
    crop = Compose([T.RandomResizedCrop(48, scale=(0.8, 1.0)), T.RandomHorizontalFlip()])
    params = crop.draw(batch)
    moved = crop.apply(batch, params)
    back = crop.inverse(moved, params)
    assert back.image.shape == (4, 3, 32, 36)
    torch.testing.assert_close(back.boxes, batch.boxes, atol=1e-3, rtol=0)
    assert (back.image[..., 12:20, 12:20] - batch.image[..., 12:20, 12:20]).abs().mean() < 0.03
    with pytest.raises(ValueError, match=r"transformed canvas \(48, 48\), got \(32, 36\)"):
        crop.inverse(batch, params)


def test_inverse_refuses_steps_it_cannot_see_into() -> None:
    augment = Compose([Lambda(lambda batch: batch)])
    batch = Batch(image=images(1))
    with pytest.raises(ValueError, match="Lambda may move pixels"):
        augment.inverse(batch, augment.draw(batch))


def test_describe_tells_what_happened_to_a_sample() -> None:
    batch = Batch(image=images(), key=sample_keys(torch.arange(5)))
    augment = Compose([T.RandomHorizontalFlip(), T.RandomResizedCrop(16), T.RandomRotation(30)])
    flip, crop, turn = augment.describe(augment.draw(batch), 2)
    assert flip == {"transform": "RandomHorizontalFlip", "applied": flip["applied"]}
    assert 0 <= crop["top"] <= 32 - crop["height"]
    assert -30 <= turn["angle"] <= 30
    assert augment.describe(augment.draw(batch), -3) == [flip, crop, turn]
    with pytest.raises(IndexError, match="sample must be below 5, got 9"):
        augment.describe(augment.draw(batch), 9)


def test_evaluation_is_the_centred_counterpart() -> None:
    image = images(2, 40, 60)
    augment = Compose([T.RandomResizedCrop(20), T.RandomHorizontalFlip(p=1.0), T.GaussianNoise()]).eval()
    assert torch.equal(augment(image), tvf.resized_crop(image, 0, 10, 40, 40, [20, 20], antialias=True))
    assert torch.equal(T.RandomCrop(20).eval()(image), tvf.center_crop(image, [20, 20]))


def test_compiled_equals_eager_and_does_not_recompile() -> None:
    torch._dynamo.reset()
    steps = [
        T.RandomHorizontalFlip(),
        T.ColorJitter(0.4),
        T.GaussianNoise(sigma=0.05),
        T.Normalize([0.5] * 3, [0.2] * 3),
    ]
    plain, compiled = Compose(steps), Compose(steps).compile()
    torch._dynamo.utils.counters.clear()
    for seed in range(20):
        batch = Batch(image=images(4, seed=seed), key=sample_keys(torch.arange(4), seed=seed))
        torch.testing.assert_close(compiled(batch).image, plain(batch).image, atol=1e-4, rtol=0)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_many_compiled_chains_and_batch_sizes_fit_one_process() -> None:
    """torch.compile allows eight graphs per code object, and fails beyond them in a full graph."""
    torch._dynamo.reset()
    for i in range(12):
        chain = Compose([T.RandomHorizontalFlip(), T.RandomErasing(p=1.0, value=i / 12)])
        compiled = copy.deepcopy(chain).compile(backend="eager", options=None)
        keys = sample_keys(torch.arange(5))
        assert torch.equal(compiled(images(), keys=keys), chain(images(), keys=keys))
    for count in range(1, 13):
        assert len(compiled(images(count))) == count


def test_without_a_compiler_there_is_one_warning_and_eager_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()

    def missing(*args: object, **options: object) -> object:
        def fail(*args: object) -> object:
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

        return fail

    monkeypatch.setattr(torch, "compile", missing)
    augment = Compose([T.RandomHorizontalFlip()]).compile()
    with pytest.warns(RuntimeWarning, match=r"no working compiler was found, running uncompiled .* install g\+\+"):
        augment(images())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert augment(images()).shape == images().shape


def test_other_failures_of_a_compiled_chain_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> object:
        def fail(*args: object) -> object:
            raise RuntimeError("something else")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(RuntimeError, match="something else"):
        Compose([T.RandomHorizontalFlip()]).compile()(images())


def test_foreign_steps_join_and_end_runs() -> None:
    augment = Compose(
        [T.RandomHorizontalFlip(), v2.RandomInvert(p=1.0), Lambda(lambda b: b.replace(image=b.image // 2))]
    )
    out = augment(images())
    assert out.shape == images().shape
    assert "PerSample" in augment.explain()
    with pytest.raises(TypeError, match="transforms must be callable, got 3 at 1"):
        Compose([T.RandomHorizontalFlip(), 3])


def test_torchvisions_transforms_follow_the_samples_key() -> None:
    augment = Compose([PerSample(v2.RandomResizedCrop(16))])
    keys = sample_keys(torch.arange(5), seed=4)
    state, python_state = torch.get_rng_state(), random.getstate()
    together = augment(images(), keys=keys)
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python_state
    for i in range(5):
        assert torch.equal(together[i : i + 1], augment(images()[i : i + 1], keys=keys[i : i + 1]))
    assert not torch.equal(together, augment(images(), keys=keys + 1))


def test_gates_reach_foreign_steps() -> None:
    got = values(RandomApply([Lambda(lambda b: b.replace(image=b.image + 1))], p=0.3), 5000)
    assert abs(share(got == 1) - 0.3) < 0.03


def test_a_compose_can_be_copied_pickled_and_printed() -> None:
    augment = Compose(SIMCLR).compile()
    keys = sample_keys(torch.arange(5))
    expected = Compose(SIMCLR)(images(), keys=keys)
    for other in (copy.deepcopy(augment), pickle.loads(pickle.dumps(augment))):
        assert torch.equal(other(images(), keys=keys), expected)
    assert "RandomResizedCrop" in repr(augment)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Compose(T.RandomHorizontalFlip()), "transforms must be a list"),
        (lambda: Compose([], geometry="lazy"), "geometry must be 'folded' or 'sequential', got 'lazy'"),
        (lambda: Compose([], color="fast"), "color must be 'exact' or 'folded', got 'fast'"),
        (lambda: OneOf([Add(1)], weights=[1, 2]), "weights must be 1 numbers"),
        (lambda: SomeOf([Add(1)], n=2), "n must be from 1 to the 1 transforms given, got 2"),
        (lambda: RandomApply([Add(1)], p=1.5), r"RandomApply: p must be a chance in \[0, 1\], got 1.5"),
        (lambda: T.RandomHorizontalFlip(p=-1), "RandomHorizontalFlip: p must be a chance"),
        (lambda: T.RandomResizedCrop(0), "RandomResizedCrop: size must be .* at least 1, got 0"),
        (lambda: T.RandomResizedCrop(8, scale=(0.9, 0.1)), "scale must be two numbers in rising order"),
        (lambda: T.Resize((4, 5, 6)), "Resize: size must be"),
        (lambda: T.Resize((4, 5), max_size=9), "max_size needs a single size"),
        (lambda: T.RandomCrop(4, padding=(1, 2, 3)), "padding must be one, two or four"),
        (lambda: T.RandomRotation(-5), "degrees must be one number of at least 0, or two in rising order"),
        (
            lambda: T.RandomRotation(5, interpolation="cubic"),
            "interpolation must be 'nearest', 'bilinear' or 'bicubic'",
        ),
        (lambda: T.RandomAffine(5, fill=127), r"fill must be in \[0, 1\]"),
        (lambda: T.RandomAffine(5, translate=(2, 0)), r"translate must be a number in \[0, 1\], or two"),
        (lambda: T.RandomAffine(5, scale=(0, 1)), "scale must be two numbers in rising order, above 0"),
        (lambda: T.ColorJitter(brightness=-1), "brightness must be"),
        (lambda: T.ColorJitter(hue=0.7), r"hue must be one number .* within \[-0.5, 0.5\]"),
        (lambda: T.GaussianNoise(sigma=-1), "sigma must be"),
        (lambda: T.RandomErasing(value="black"), "'random', got 'black'"),
        (lambda: T.Normalize([0.5], [0.0]), "std above 0"),
        (lambda: T.ToDtype(torch.int32), "ToDtype: dtype must be"),
        (lambda: T.ToDtype(torch.float32, scale=False), "scale must be True"),
    ],
)
def test_bad_arguments_say_who_expected_got(make: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize(
    ("transform", "channels", "message"),
    [
        (T.ColorJitter(hue=0.1), 4, "saturation and hue need images of 1 or 3 channels, got 4"),
        (T.RandomGrayscale(p=1.0), 2, "image must have 1 or 3 channels, got 2"),
        (T.Normalize([0.5] * 3, [0.5] * 3), 4, "mean has 3 values, the image 4 channels"),
        (
            T.RandomRotation(9, fill=(0.1, 0.2)),
            3,
            "fill must have one value, or one for each of the image's 3 channels",
        ),
        (T.RandomErasing(value=(0.1, 0.2), p=1.0), 3, "value has 2 values, the image 3 channels"),
    ],
)
def test_channels_that_do_not_fit_are_named(transform: Transform, channels: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transform(torch.rand(2, channels, 8, 8))


def test_keys_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"keys must be int64 of shape \(5,\), one per sample, got torch.int64 \(4,\)"):
        T.RandomHorizontalFlip()(images(), keys=torch.arange(4))


def test_a_model_that_holds_transforms_can_still_be_initialised() -> None:
    """`nn.Module.apply(function)` reaches every module through ours, and parameters() is nn.Module's."""
    model = torch.nn.Sequential(Compose(SIMCLR), T.RandomHorizontalFlip(), torch.nn.Linear(2, 2))
    seen = []
    model.apply(lambda module: seen.append(type(module).__name__))
    assert seen.count("RandomHorizontalFlip") == 2
    assert "Linear" in seen
    assert len(list(Compose(SIMCLR).parameters())) == 0
