"""What holds for every transform of volumes, and what each is meant to do."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type, index, operator"
from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode
from zoo_volume import AGAIN, EVERY, POINTS, RESIZE, SHAPE, VALUES, WHOLE, volumes

from torchaug import Batch, Compose, Transform
from torchaug import volume as V
from torchaug.image import RandomHorizontalFlip
from torchaug.keys import sample_keys
from torchaug.transform import Layer, Sizes


def every(zoo: dict[str, Layer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("transform", zoo.values(), ids=zoo)


def labelled(count: int = 4, dtype: torch.dtype = torch.uint8) -> Batch:
    mask = torch.randint(0, 4, (count, 1, *SHAPE), generator=torch.Generator().manual_seed(1))
    volume = volumes(count)
    volume = volume if dtype == torch.uint8 else (volume.double() / 255).to(dtype)
    return Batch(volume=volume, mask=mask, key=sample_keys(torch.arange(count), seed=3))


def assert_same(a: Batch, b: Batch, atol: float = 0) -> None:
    assert a.present().keys() == b.present().keys()
    for name, value in a.present().items():
        other = b.present()[name]
        assert value.shape == other.shape, name
        assert value.dtype == other.dtype, name
        gap = (value.double() - other.double()).abs()
        assert gap.numel() == 0 or gap.max() <= (atol if value.is_floating_point() else 0), f"{name}: {gap.max()}"


@every(EVERY)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_volume_stands_alone(transform: Layer, dtype: torch.dtype) -> None:
    batch = labelled(dtype=dtype)
    together = transform(batch)
    for i in range(len(batch)):
        assert_same(together[i : i + 1], transform(batch[i : i + 1]), atol=2e-6)


@every(EVERY)
def test_permuting_the_batch_permutes_the_result(transform: Layer) -> None:
    order = torch.tensor([3, 0, 2, 1])
    assert_same(transform(labelled())[order], transform(labelled()[order]))


@every(EVERY)
def test_the_input_stays_as_it_was(transform: Layer) -> None:
    for dtype in (torch.uint8, torch.float32):
        batch = labelled(dtype=dtype)
        copy = batch.map(torch.clone)
        transform(batch)
        assert_same(batch, copy)
        assert all(value._version == 0 for value in batch.present().values())


@every({name: t for name, t in EVERY.items() if isinstance(t, Transform) and not t.always and not t.resizes})
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_samples_that_are_not_chosen_are_bit_equal(transform: Transform, dtype: torch.dtype) -> None:
    batch = labelled(dtype=dtype)
    u = torch.rand(4, transform.uniforms, generator=torch.Generator().manual_seed(0))
    some = torch.tensor([False, True, False, True])
    assert_same(transform.apply(batch, u, torch.zeros(4, dtype=torch.bool)), batch)
    assert_same(transform.apply(batch, u, some)[::2], batch[::2])


@every(EVERY)
def test_evaluation_is_deterministic_and_keeps_what_has_no_size_to_set(transform: Layer) -> None:
    transform.eval()
    try:
        first = transform(labelled().replace(key=None))
        assert_same(first, transform(labelled().replace(key=None)))
        if isinstance(transform, Transform) and not transform.always and not transform.resizes:
            assert_same(first, labelled().replace(key=None))
    finally:
        transform.train()


@every({name: t for name, t in EVERY.items() if name not in ("noise", "bias", "bias_order_1", "spike", "segmentation")})
def test_uint8_and_float_agree_within_a_level(transform: Layer) -> None:
    """Those that leave [0, 1] are clamped for uint8 alone, and are not among them."""
    whole, real = transform(labelled()).volume, transform(labelled(dtype=torch.float32)).volume
    if whole.dtype != torch.uint8:
        torch.testing.assert_close(whole, real, rtol=0, atol=1e-5)
    else:
        assert (whole.float() - real.clamp(0, 1) * 255).abs().max() <= 1.01


@every(EVERY)
def test_autocast_changes_nothing(transform: Layer) -> None:
    """A matrix in half precision would move voxels."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = transform(labelled(dtype=torch.float32))
    assert_same(out, transform(labelled(dtype=torch.float32)))


@every(EVERY)
def test_mask_labels_never_grow(transform: Layer) -> None:
    before, after = labelled().mask, transform(labelled())
    assert set(after.mask.unique().tolist()) <= set(before.unique().tolist()) | {0}
    assert after.mask.dtype == before.dtype
    assert after.mask.shape[2:] == after.volume.shape[2:]


@every(WHOLE | POINTS)
def test_a_mask_follows_its_volume(transform: Layer) -> None:
    """A ball in the volume and the same ball in the mask end up in one place."""
    z, y, x = torch.meshgrid(*(torch.arange(n) + 0.5 for n in SHAPE), indexing="ij")
    ball = ((z - 7) ** 2 + (y - 6) ** 2 + (x - 9) ** 2 < 20).expand(4, 1, *SHAPE)
    out = transform(Batch(volume=ball.float(), mask=ball.long(), key=sample_keys(torch.arange(4))))
    inside = out.volume - out.volume.amin() > 0.5
    wrong = (inside != (out.mask == 1)) & (out.volume != 0.5)
    assert wrong.float().sum() <= 0.15 * out.mask.sum()
    assert out.mask.sum() > 100


@every(EVERY)
@pytest.mark.parametrize("count", [0, 1])
def test_empty_and_one_sample_batches(transform: Layer, count: int) -> None:
    assert len(transform(labelled()[:count])) == count
    on_fake_cuda(transform, count)


@every(EVERY)
def test_a_generator_repeats_and_the_global_state_is_kept(transform: Layer) -> None:
    batch, state = labelled().replace(key=None), torch.get_rng_state()
    first = transform(batch, generator=torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(first, transform(batch, generator=torch.Generator().manual_seed(7)))


def on_fake_cuda(transform: Layer, count: int = 4) -> None:
    with FakeTensorMode():
        volume = torch.empty(count, 2, *SHAPE, device="cuda")
        mask = torch.empty(count, 1, *SHAPE, dtype=torch.int64, device="cuda")
        transform(Batch(volume=volume, mask=mask, key=torch.empty(count, dtype=torch.int64, device="cuda")))


@every(EVERY)
def test_nothing_waits_for_the_device(transform: Layer) -> None:
    """On a fake CUDA device any read of a value fails."""
    on_fake_cuda(transform)


def test_the_check_for_waiting_finds_a_planted_wait() -> None:
    class Waits(V.Intensity):
        def values(self, volume: torch.Tensor, numbers: dict[str, torch.Tensor]) -> torch.Tensor:
            return volume * float(volume.max())

    with pytest.raises(Exception, match="_local_scalar_dense"):
        on_fake_cuda(Waits())


@every({name: transform for name, transform in EVERY.items() if name not in AGAIN})
def test_the_graph_is_whole_and_equal_to_eager(transform: Layer) -> None:
    torch._dynamo.reset()
    batch = labelled(2)
    params = transform.draw(batch)
    result = torch.compile(transform.play, fullgraph=True, backend="eager")(batch, params)
    for name, value in transform.play(batch, params).present().items():
        tolerance = 1.0 if value.dtype == torch.uint8 else 1e-4
        torch.testing.assert_close(result.present()[name].double(), value.double(), rtol=0, atol=tolerance)


def test_the_path_for_gradients_compiles_too() -> None:
    torch._dynamo.reset()
    batch = labelled(2, torch.float32)
    batch = batch.replace(volume=batch.volume.clone().requires_grad_())
    params = POINTS["elastic"].draw(batch)
    result = torch.compile(POINTS["elastic"].play, fullgraph=True, backend="eager")(batch, params)
    torch.testing.assert_close(result.volume, POINTS["elastic"].play(batch, params).volume)


@every(EVERY)
def test_gradients_reach_the_volume_twice(transform: Layer) -> None:
    volume = (volumes(2).double() / 255 * 0.8 + 0.1).requires_grad_()
    out = transform(Batch(volume=volume, key=sample_keys(torch.arange(2)))).volume
    (gradient,) = torch.autograd.grad((out**3).sum(), volume, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), volume)
    for value in (gradient, second):
        assert value.isfinite().all()
        assert value.abs().sum() > 0


@every(POINTS)
def test_the_differentiable_path_equals_the_fast_one(transform: Layer) -> None:
    batch = labelled(dtype=torch.float32)
    slow = transform(batch.replace(volume=batch.volume.clone().requires_grad_())).volume
    torch.testing.assert_close(slow.detach(), transform(batch).volume, rtol=0, atol=2e-5)


@every({**POINTS, **VALUES, "flip": WHOLE["flip"]})
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    channels=st.integers(1, 5),
    level=st.sampled_from([0.0, -1000.0, 3000.0]),
    seed=st.integers(0, 999),
)
@settings(max_examples=12)
def test_volumes_of_any_shape_stay_finite(
    transform: Layer, shape: tuple[int, int, int], channels: int, level: float, seed: int
) -> None:
    """Constant ones, one voxel and the values of CT among them."""
    sizes = [getattr(leaf, "patch_size", getattr(leaf, "size", (1, 1, 1))) for leaf in transform.leaves()]
    shape = tuple(max(n, *(size[axis] for size in sizes)) for axis, n in enumerate(shape))  # type: ignore[assignment]
    volume = torch.full((2, channels, *shape), level)
    volume[1] += volumes(1, shape, seed, channels)[0]
    out = transform(volume, keys=sample_keys(torch.arange(2), seed=seed))
    assert out.shape[:2] == volume.shape[:2]
    assert out.isfinite().all()


@every({**POINTS, **RESIZE, **VALUES})
def test_a_constant_volume_of_ct_stays_constant_under_geometry(transform: Layer) -> None:
    if (
        any(
            isinstance(leaf, V.Intensity) or getattr(leaf, "fill", 0) not in (None, "minimum", 0)
            for leaf in transform.leaves()
        )
        or transform is POINTS["elastic_free"]
    ):
        pytest.skip("changes values, or fills with another one")
    out = transform(torch.full((3, 1, *SHAPE), -1000.0))
    torch.testing.assert_close(out, torch.full_like(out, -1000.0), rtol=1e-6, atol=0)


@pytest.mark.gpu
@every(EVERY)
def test_cpu_and_cuda_agree_without_a_wait(transform: Layer) -> None:
    batch = labelled(dtype=torch.float32)
    on_gpu = batch.to("cuda")
    transform(on_gpu)
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = transform(on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name, value in transform(batch).present().items():
        torch.testing.assert_close(result.present()[name].cpu().double(), value.double(), rtol=0, atol=1e-3)


KINDS = [getattr(V, name) for name in V.__all__]


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if not inspect.isabstract(kind)], ids=lambda kind: kind.__name__
)
def test_every_public_transform_documents_itself_and_keeps_its_arguments(kind: type) -> None:
    assert kind.__doc__
    assert ">>>" in kind.__doc__
    zoo = [leaf for layer in EVERY.values() for leaf in layer.leaves() if type(leaf) is kind]
    assert zoo, f"{kind.__name__} is not in the zoo"
    for name in inspect.signature(kind).parameters:
        assert name in kind.__doc__, f"{kind.__name__}: {name} is not documented"
    for transform in zoo:
        kept = {name: getattr(transform, name) for name in inspect.signature(kind).parameters}
        again = kind(**kept)
        assert {name: getattr(again, name) for name in kept} == kept


def rotated(*degrees: float) -> V.RandomAffine:
    angles = [v for d in degrees for v in (d, d)]
    return V.RandomAffine(scales=(1, 1), degrees=angles, fill=0.0)


def test_neighbouring_geometry_is_one_resampling() -> None:
    there_and_back = [rotated(30, 0, 0), V.RandomFlip(2, 1.0), V.RandomFlip(2, 1.0), rotated(-30, 0, 0)]
    volume = labelled(dtype=torch.float32).volume
    folded = Compose(there_and_back)
    assert "4 steps in 1 runs" in folded.explain()
    torch.testing.assert_close(folded(volume), volume, rtol=0, atol=1e-4)
    twice = Compose(there_and_back, geometry="sequential")(volume)
    assert (twice - volume).abs().max() > 0.1


def test_a_deformation_closes_a_run_and_folds_exactly() -> None:
    """Moving whole voxels and then bending is the same in one resampling and in two."""
    steps = [V.RandomFlip((0, 2), 0.5), V.RandomElasticDeformation(max_displacement=1)]
    batch = labelled(dtype=torch.float32)
    folded, sequential = Compose(steps), Compose(steps, geometry="sequential")
    assert len(folded.runs()) == 1
    assert_same(folded(batch), sequential(batch), atol=1e-5)
    turned = Compose([*steps, V.RandomFlip()])
    assert "bends, and can only come last" in turned.explain()


def test_different_fills_end_a_run() -> None:
    plan = Compose([V.Pad(2, fill=0.0), V.RandomAffine(fill="minimum")])
    assert "has fill='minimum', the run has 0.0" in plan.explain()


def test_a_pad_after_a_crop_does_not_show_what_was_cut_off() -> None:
    out = Compose([V.CubicSymmetry(), V.CenterCrop(6), V.Pad(1, fill=0.25)])(torch.rand(8, 1, 8, 8, 8) + 1)
    assert (out[:, :, 1:-1, 1:-1, 1:-1] >= 1).all()
    border = out.clone()
    border[:, :, 1:-1, 1:-1, 1:-1] = 0.25
    assert (border == 0.25).all()


@every({name: (WHOLE | POINTS)[name] for name in ("flip_some", "symmetry", "affine", "elastic", "spatial_chain")})
def test_geometry_can_be_undone(transform: Layer) -> None:
    """Every voxel's coordinates come back to it, but for what had left the volume. (Resampling keeps linear ramps.)"""
    plan = Compose([transform])
    coordinates = torch.stack(torch.meshgrid(*map(torch.arange, SHAPE), indexing="ij")).float()
    batch = Batch(
        volume=coordinates.expand(4, -1, -1, -1, -1), mask=torch.ones(4, 1, *SHAPE), key=sample_keys(torch.arange(4))
    )
    (run,) = plan.runs()
    back = run.undo(plan(batch), plan._calls(plan.draw(batch).u), SHAPE, None)
    assert back.volume is not None
    assert back.mask is not None
    near_an_edge = torch.nn.functional.max_pool3d(torch.nn.functional.pad(1 - back.mask, [2] * 6, value=1.0), 5, 1)
    gap = (back.volume - coordinates).abs()[(near_an_edge == 0).expand_as(back.volume)]
    assert len(gap) > 1500
    assert gap.max() < 0.05


@pytest.mark.parametrize("structure", ["tensor", "tuple", "dict", "one", "batch"])
def test_volumes_come_in_every_structure_and_leave_in_the_same(structure: str) -> None:
    flip, volume = V.RandomFlip(2, 1.0), volumes(2)
    mask = volume[:, 0] // 64
    if structure == "tensor":
        assert torch.equal(flip(volume), volume.flip(4))
    elif structure == "tuple":
        out, label = flip(volume, torch.arange(2))
        assert torch.equal(out, volume.flip(4))
        assert torch.equal(label, torch.arange(2))
    elif structure == "dict":
        both = flip({"volume": volume, "mask": mask, "name": "case"})
        assert torch.equal(both["volume"], volume.flip(4))
        assert torch.equal(both["mask"], mask.flip(3))
        assert both["name"] == "case"
    elif structure == "one":
        alone = flip({"volume": volume[1], "mask": mask[1]})
        assert torch.equal(alone["volume"], volume[1].flip(3))
        assert torch.equal(alone["mask"], mask[1].flip(2))
    else:
        assert torch.equal(flip(Batch(volume=volume)).volume, volume.flip(4))


def test_bad_volumes_say_what_was_expected() -> None:
    flip, good = V.RandomFlip(), torch.rand(2, 1, 4, 4, 4)
    for inputs, error, message in (
        ({"volume": torch.zeros(2, 1, 4, 4, 4, dtype=torch.int16)}, TypeError, r"volume.float\(\), which keeps"),
        ({"volume": torch.rand(4, 4, 4)}, ValueError, r"volume must be \(B, C, D, H, W\) or one"),
        (torch.rand(2, 1, 4, 4), TypeError, r"RandomFlip: expected a volume: a tensor \(B, C, D, H, W\)"),
        ({"volume": good, "mask": torch.zeros(2, 4, 4, 5)}, ValueError, r"mask must be \(B, N, D, H, W\)"),
        (Batch(volume=good, keypoints=torch.zeros(2, 1, 2)), TypeError, "boxes and keypoints are those of images"),
        (Batch(volume=good, boxes=torch.zeros(2, 1, 4)), TypeError, "paint them into the mask"),
    ):
        with pytest.raises(error, match=message):
            flip(inputs)
    with pytest.raises(TypeError, match="expected a batch with an image"):
        RandomHorizontalFlip()(good)
    with pytest.raises(ValueError, match=r"fill must be in \[0, 1\] for a uint8 volume, got -1000"):
        V.Pad(1, fill=-1000.0)(volumes(1))
    with pytest.raises(TypeError, match="boxes and keypoints"):
        V.Resize(3)(Batch(volume=good, boxes=torch.zeros(2, 1, 4)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: V.RandomFlip(axes=3), "axes must be different ones of 0"),
        (lambda: V.RandomFlip(axes=(0, 0)), "axes must be different"),
        (lambda: V.RandomFlip(flip_probability=1.5), r"flip_probability must be a number in \[0, 1\]"),
        (lambda: V.RandomFlip(p=-0.1), "p must be a chance"),
        (lambda: V.RandomAffine(scales=1.5), "scales must be above 0"),
        (lambda: V.RandomAffine(degrees=(10, -10)), "degrees must be a number, or two in rising order"),
        (lambda: V.RandomAffine(translation=(1, 2, 3)), "translation must be one number, two, or two for each axis"),
        (lambda: V.RandomAffine(fill="mean"), "fill must be a number or 'minimum'"),
        (lambda: V.RandomElasticDeformation(4), "num_control_points must be at least 5"),
        (lambda: V.RandomElasticDeformation(locked_borders=3), r"locked_borders must be a whole number in \[0, 2\]"),
        (lambda: V.RandomElasticDeformation(max_displacement=-1), "max_displacement must be one number or three"),
        (lambda: V.RandomCrop((4, 4)), "size must be"),
        (lambda: V.Pad((1, 2)), "padding must be one, three or six"),
        (lambda: V.RandomCrop(5)(torch.rand(1, 1, 4, 8, 8)), r"volume must be at least \(5, 5, 5\), got \(4, 8, 8\)"),
        (lambda: V.CenterCrop(5)(torch.rand(1, 1, 4, 8, 8)), "use CropOrPad"),
        (lambda: V.RandomSwap(5)(torch.rand(1, 1, 4, 8, 8)), "volume must be at least patch_size"),
        (lambda: V.RandomNoise(std=(-1, 2)), "std must be a number of at least 0, or two in rising order"),
        (lambda: V.RandomBlur(std=(-1, 2)), "std must be"),
        (lambda: V.RandomGhosting(intensity=(0.5, 1.5)), r"intensity must be a number in \[0, 1\]"),
        (lambda: V.RandomGhosting(num_ghosts=2.5), "num_ghosts must be a whole number of at least 0"),
        (lambda: V.RandomMotion(num_transforms=0), "num_transforms must be"),
        (lambda: V.RandomAnisotropy(downsampling=0.5), "downsampling must be"),
        (lambda: V.RescaleIntensity(percentiles=(99, 1)), "percentiles must be"),
        (lambda: V.RescaleIntensity(percentiles=(0, 101)), "percentiles must rise"),
        (lambda: V.RandomBiasField(order=-1), "order must be"),
    ],
)
def test_bad_arguments_say_what_was_expected(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def drawn(transform: Transform, count: int = 4000) -> dict[str, torch.Tensor]:
    u = torch.rand(count, transform.uniforms, generator=torch.Generator().manual_seed(4))
    return transform.drawn(u, Sizes.of((0, 0), None, u))


def test_parameters_follow_their_ranges() -> None:
    affine = drawn(V.RandomAffine(scales=(0.8, 1.1), degrees=20, translation=(0, 1, 2, 4, -3, 3)))
    for values, ranges in (
        (affine["scales"], [(0.8, 1.1)] * 3),
        (affine["degrees"], [(-20, 20)] * 3),
        (affine["translation"], [(0, 1), (2, 4), (-3, 3)]),
        (drawn(V.RandomMotion(num_transforms=2))["degrees"][:, 1], [(-10, 10)] * 3),
        (drawn(V.RandomBlur(2))["std"], [(0, 2)] * 3),
    ):
        for axis, (low, high) in enumerate(ranges):
            assert stats.kstest(values[:, axis].numpy(), "uniform", (low, high - low)).pvalue > 1e-3
    assert stats.kstest(drawn(V.RandomGamma(0.3))["gamma"].log().numpy(), "uniform", (-0.3, 0.6)).pvalue > 1e-3


def test_choices_are_equally_likely() -> None:
    symmetry = drawn(V.CubicSymmetry())
    code = symmetry["permutation"] * 8 + (symmetry["flipped"] * torch.tensor([4, 2, 1])).sum(1)
    ghosting = drawn(V.RandomGhosting((4, 10), axes=(0, 2)))
    for values, count in ((code, 48), (ghosting["num_ghosts"] - 4, 7), (ghosting["axis"] // 2, 2)):
        assert stats.chisquare(torch.bincount(values, minlength=count).numpy()).pvalue > 1e-3
    flips = drawn(V.RandomFlip((0, 2), 0.3))["flipped"].float().mean(0)
    assert (flips - torch.tensor([0.3, 0.0, 0.3])).abs().max() < 0.03


def test_the_symmetries_of_a_cube_are_48_and_those_of_a_box_fewer() -> None:
    for shape, count in (((4, 4, 4), 48), ((4, 5, 4), 16), ((4, 5, 6), 8)):
        volume = torch.arange(float(np.prod(shape))).view(1, 1, *shape).expand(2000, -1, -1, -1, -1)
        out = V.CubicSymmetry()(volume, keys=sample_keys(torch.arange(2000)))
        assert len(out.flatten(1).unique(dim=0)) == count
        assert torch.equal(out.flatten(1).sort(1).values, volume.flatten(1))


def test_the_noise_has_its_moments_and_differs_between_channels() -> None:
    out = V.RandomNoise(mean=(0.5, 0.5), std=0.2)(torch.zeros(8, 2, 20, 20, 20), keys=sample_keys(torch.arange(8)))
    error = 0.2 / out.numel() ** 0.5
    assert abs(float(out.mean()) - 0.5) < 4 * error
    assert abs(float(out.std()) - 0.2) < 4 * error
    assert abs(float((out[:, 0] * out[:, 1]).mean()) - 0.25) < 0.002
    assert (out[0] != out[1]).any()


def test_motion_keeps_the_sum_along_depth_and_without_movement_the_volume() -> None:
    """The centre of k-space comes from the volume as it was."""
    volume = labelled(dtype=torch.float32).volume
    out = V.RandomMotion()(volume)
    assert (out - volume).abs().max() > 0.05
    torch.testing.assert_close(out.sum(2), volume.sum(2), rtol=0, atol=1e-4)
    still = V.RandomMotion(degrees=0, translation=0)(volume)
    torch.testing.assert_close(still, volume, rtol=0, atol=1e-5)


def test_locked_borders_hold_the_border() -> None:
    """At a face a cubic B-spline is 1/6, 4/6 and 1/6 of the control points outside, on it and inside."""
    for locked, share in ((2, 1 / 6), (1, 5 / 6), (0, 1.0)):
        bend = V.RandomElasticDeformation(7, 8.0, locked_borders=locked)
        numbers = {"displacement": torch.where(drawn(bend, 2)["displacement"] == 0, 0.0, 8.0)}
        field = bend.displacement(numbers, (4001, 32, 32))
        assert float(field[:, :, 0].max()) == pytest.approx(8 * share, abs=0.01)
        assert float(field[:, :, 2000].max()) == pytest.approx(8, abs=0.01)


def test_normalised_volumes_have_no_mean_and_unit_deviation_and_constant_ones_are_zero() -> None:
    volume = torch.randn(3, 2, 8, 8, 8) * 200 - 900
    volume[0, 0] = 0.1
    out = V.ZNormalize()(volume)
    assert (out[0, 0] == 0).all()
    torch.testing.assert_close(out.mean((2, 3, 4)), torch.zeros(3, 2), rtol=0, atol=1e-5)
    torch.testing.assert_close(out[1:].std((2, 3, 4)), torch.ones(2, 2), rtol=0, atol=1e-4)
    assert V.RescaleIntensity()(volume)[0, 0].unique().tolist() == [0.0]
    assert V.ZNormalize()(volumes(2)).dtype == torch.float32


def test_describe_says_what_happened_to_a_volume() -> None:
    plan = Compose([V.RandomFlip(1, 1.0), V.RandomCrop(6), V.RandomGamma((0.1, 0.1)), V.Resize(5)])
    params = plan.draw(Batch(volume=volumes(2)))
    flip, crop, gamma, resize = plan.describe(params, 1)
    assert flip == {"transform": "RandomFlip", "applied": True, "flipped": [False, True, False]}
    assert all(0 <= share < 1 for share in crop["place"])
    assert gamma["gamma"] == pytest.approx(np.exp(0.1))
    assert resize["transform"] == "Resize"


def test_gamma_keeps_the_sign_of_values() -> None:
    values = torch.tensor([-4.0, -0.25, 0.0, 9.0]).view(1, 1, 1, 1, 4)
    root = V.RandomGamma((float(np.log(0.5)),) * 2)
    torch.testing.assert_close(root(values).flatten(), torch.tensor([-2.0, -0.5, 0.0, 3.0]))
