"""What holds for every public transform."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, index, arg-type, list-item, type-arg, operator, no-any-return"
from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from zoo import CHAINS, EVERY, GEOMETRY, PIXELS, images

import torchaug
import torchaug.image
from torchaug import Batch, Transform
from torchaug.compose import Compose
from torchaug.keys import sample_keys
from torchaug.transform import Layer, Params


def every(zoo: dict[str, Layer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("transform", zoo.values(), ids=zoo)


def labelled(count: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        image=images(count),
        mask=torch.randint(0, 4, (count, 1, 32, 36), generator=generator),
        boxes=torch.tensor([[4.0, 5.0, 20.0, 21.0], [0.0, 0.0, 36.0, 32.0]]).repeat(count, 1, 1),
        keypoints=torch.rand(count, 6, 2, generator=generator) * 30,
        key=sample_keys(torch.arange(count), seed=3),
    )


def assert_same(a: Batch, b: Batch, atol: float = 0) -> None:
    assert a.present().keys() == b.present().keys()
    for name, value in a.present().items():
        exact = 0 if not value.is_floating_point() else atol
        other = b.present()[name]
        assert value.shape == other.shape, name
        assert torch.allclose(value, other, rtol=0, atol=exact), f"{name}: differs by {(value - other).abs().max()}"


def level(image: torch.Tensor) -> torch.Tensor:
    """Images in levels of 255, as float."""
    return image.float() if image.dtype == torch.uint8 else image * 255


def as_float(batch: Batch) -> Batch:
    return batch.replace(image=batch.image.float() / 255)


@every(EVERY)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_sample_stands_alone(transform: Layer, dtype: torch.dtype) -> None:
    """Sample i of a batch equals sample i transformed alone with its key; a matrix product may round another way."""
    batch = labelled() if dtype == torch.uint8 else as_float(labelled())
    together = transform(batch)
    for i in range(len(batch)):
        assert_same(together[i : i + 1], transform(batch[i : i + 1]), atol=1e-6)


@every(EVERY)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pieces_of_a_batch_are_put_where_they_belong(
    transform: Layer, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU takes large batches in pieces of a few images: the same comes out as of all at once."""
    batch = labelled(7) if dtype == torch.uint8 else as_float(labelled(7))
    together = transform(batch)
    monkeypatch.setattr(torchaug.image.resample, "CHUNK_BYTES", 1)
    assert_same(transform(batch), together, atol=1e-6)


@every(EVERY)
def test_permuting_the_batch_permutes_the_result(transform: Layer) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    assert_same(transform(labelled())[order], transform(labelled()[order]))


@every(EVERY)
def test_the_input_stays_as_it_was(transform: Layer) -> None:
    for batch in (labelled(), as_float(labelled())):
        versions = {name: value._version for name, value in batch.present().items()}
        copies = {name: value.clone() for name, value in batch.present().items()}
        transform(batch)
        for name, value in batch.present().items():
            assert value._version == versions[name], name
            torch.testing.assert_close(value, copies[name], rtol=0, atol=0)


def keeps_the_size(transform: Layer) -> bool:
    single = isinstance(transform, Transform)
    return single and not (transform.always or transform.resizes or transform.uneven((32, 36)))


@every({name: t for name, t in EVERY.items() if keeps_the_size(t)})
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_samples_that_are_not_chosen_are_bit_equal(transform: Transform, dtype: torch.dtype) -> None:
    batch = labelled()
    image = batch.image if dtype == torch.uint8 else (batch.image.float() / 255).to(dtype)
    batch = batch.replace(image=image)
    u = torch.rand(5, transform.uniforms, generator=torch.Generator().manual_seed(0))
    assert_same(transform.apply(batch, u, torch.zeros(5, dtype=torch.bool)), batch)


@every(EVERY)
def test_evaluation_is_deterministic_and_keeps_what_has_no_size_to_set(transform: Layer) -> None:
    transform.eval()
    try:
        first = transform(labelled().replace(key=None))
        assert_same(first, transform(labelled().replace(key=None)))
        if isinstance(transform, Transform) and not transform.acts:
            assert_same(first, labelled().replace(key=None))
    finally:
        transform.train()


@every({name: t for name, t in EVERY.items() if name != "erasing_random"})  # its noise leaves uint8's range
def test_uint8_and_float_agree_within_a_level(transform: Layer) -> None:
    """Not across edges that a rounding moves: hence smooth images, and a share of pixels for nearest sampling."""
    whole, real = transform(labelled()).image, transform(as_float(labelled())).image
    if whole.dtype == torch.uint8:
        real = real.clamp(0, 1)  # a cubic filter overshoots
    difference = (
        (level(whole) - level(real)).abs() if real.min() >= -0.01 and real.max() <= 1.01 else (whole - real).abs()
    )
    steps = sum(isinstance(t, (torchaug.image.Geometric, torchaug.image.Pointwise)) for t in transform.leaves())
    cubic = any(getattr(t, "interpolation", None) == "bicubic" for t in transform.leaves())
    # torch's and PIL's cubic filters for uint8 clamp to levels between the two axes
    assert difference.max() <= (6.0 if cubic else 1.01 if steps == 1 else 4.0)


@every(EVERY)
def test_mask_labels_never_grow(transform: Layer) -> None:
    before, after = labelled().mask, transform(labelled()).mask
    assert set(after.unique().tolist()) <= set(before.unique().tolist()) | {0}
    assert after.dtype == before.dtype


@every(EVERY)
@pytest.mark.parametrize("count", [0, 1])
def test_empty_and_one_sample_batches(transform: Layer, count: int) -> None:
    assert len(transform(labelled()[:count])) == count


@every(EVERY)
def test_a_generator_repeats_and_the_global_state_is_kept(transform: Layer) -> None:
    batch = labelled().replace(key=None)
    state = torch.get_rng_state()
    first = transform(batch, generator=torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(first, transform(batch, generator=torch.Generator().manual_seed(7)))


def test_manual_seed_repeats_a_bare_call() -> None:
    flip = torchaug.image.RandomResizedCrop(8)
    results = []
    for _ in range(2):
        torch.manual_seed(11)
        results.append(flip(images()))
    assert torch.equal(*results)
    assert not torch.equal(results[1], flip(images()))


def unguided(zoo: dict[str, Layer]) -> dict[str, Layer]:
    """Those that do not look at labels to draw: tests/test_geometry.py has these tests, with labels, for those that do."""
    return {name: t for name, t in zoo.items() if not any(getattr(leaf, "guided", False) for leaf in t.leaves())}


def draws(transform: Layer, seed: int) -> torch.Tensor:
    return torch.rand(1, transform.columns, generator=torch.Generator().manual_seed(seed))


@every(unguided(GEOMETRY) | {"chain": CHAINS["geometry_folded"]})
@given(x=st.integers(12, 23), y=st.integers(12, 19), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_a_keypoint_follows_the_dot_under_it(transform: Layer, x: int, y: int, seed: int) -> None:
    """The centre of mass of a dot painted at a keypoint is where the moved keypoint says."""
    image = torch.zeros(1, 3, 32, 36)
    image[0, :, y - 1 : y + 2, x - 1 : x + 2] = 1
    batch = Batch(image=image, keypoints=torch.tensor([[[float(x), float(y)]]]))
    params = Params(draws(transform, seed), (32, 36))
    moved = transform.play(batch, params)
    fill = transform.play(Batch(image=torch.zeros(1, 3, 32, 36)), params).image
    mass = (moved.image - fill)[0, 0].clamp(min=0)
    height, width = mass.shape
    at = moved.keypoints[0, 0]
    nearest_edge = min(float(at[0]), float(at[1]), width - 1 - float(at[0]), height - 1 - float(at[1]))
    if nearest_edge < 6:  # part of the dot has left the canvas
        return
    ys, xs = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    centre = torch.stack([(mass * xs).sum(), (mass * ys).sum()]) / mass.sum()
    sharp = "nearest" not in str([getattr(leaf, "interpolation", None) for leaf in transform.leaves()])
    torch.testing.assert_close(centre, at, atol=0.3 if sharp else 0.75, rtol=0)


@every({"rotation": GEOMETRY["rotation"], "crop": GEOMETRY["resized_crop"], "chain": CHAINS["geometry_folded"]})
@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_a_box_contains_the_mask_it_was_drawn_around(transform: Layer, seed: int) -> None:
    mask = torch.zeros(1, 1, 32, 36, dtype=torch.int64)
    mask[..., 8:20, 10:25] = 1
    batch = Batch(image=torch.zeros(1, 3, 32, 36), mask=mask, boxes=torch.tensor([[[10.0, 8.0, 25.0, 20.0]]]))
    moved = transform.play(batch, Params(draws(transform, seed), (32, 36)))
    rows, columns = moved.mask[0, 0].nonzero(as_tuple=True)
    if len(rows):
        x0, y0, x1, y1 = moved.boxes[0, 0].tolist()
        assert x0 <= columns.min() + 0.501
        assert y0 <= rows.min() + 0.501
        assert x1 >= columns.max() + 0.499
        assert y1 >= rows.max() + 0.499


@every(EVERY)
def test_nothing_waits_for_the_device(transform: Layer) -> None:
    """On a fake CUDA device any read of a value (`.item()`, `.tolist()`, a boolean index, a copy from the host) fails."""
    with FakeTensorMode():
        transform(on_fake_cuda(8).replace(key=torch.empty(8, dtype=torch.int64, device="cuda")))


def on_fake_cuda(count: int) -> Batch:
    return Batch(
        image=torch.empty(count, 3, 32, 36, dtype=torch.uint8, device="cuda"),
        mask=torch.empty(count, 1, 32, 36, dtype=torch.int64, device="cuda"),
        boxes=torch.empty(count, 2, 4, device="cuda"),
        keypoints=torch.empty(count, 6, 2, device="cuda"),
    )


class WorkOfTheHost(TorchDispatchMode):
    """The bytes of the largest tensor that is made on the host."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = [t.numel() * t.element_size() for t in tree_leaves(out) if isinstance(t, torch.Tensor) and t.is_cpu]
        self.most = max(self.most, *made, 0)
        return out


@every(EVERY)
def test_numbers_of_the_host_reach_a_device_and_are_few(transform: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With keys on the host parameters are worked out there, but nothing of an image's size."""
    monkeypatch.setattr(
        "torchaug.image.warp.any_of", lambda values: True
    )  # fake numbers cannot be read, the host's can
    with FakeTensorMode(), WorkOfTheHost() as work:  # type: ignore[no-untyped-call]
        transform(on_fake_cuda(8), keys=torch.empty(8, dtype=torch.int64))
    assert work.most < 8 * 3 * 32 * 36


def test_the_check_for_waiting_finds_a_planted_wait() -> None:
    class Waits(Transform):
        def transform(self, batch: Batch, u: torch.Tensor, chosen: torch.Tensor) -> Batch:
            return batch if chosen.any() else batch.replace(image=batch.image + 1)

    with pytest.raises(Exception, match="_local_scalar_dense"):
        test_nothing_waits_for_the_device(Waits())


@pytest.mark.parametrize(("name", "transform"), EVERY.items(), ids=EVERY)
def test_the_graph_is_whole_equal_to_eager_and_made_once(name: str, transform: Layer) -> None:
    """One full graph of the pure part, which serves other numbers too. Geometry differs between uint8 and float."""
    Compose([transform]).plan()  # outside the graph, as compile() does
    for batch in (labelled(), as_float(labelled()))[0 if name in GEOMETRY else 1 :]:
        torch._dynamo.reset()
        compiled = torch.compile(transform.play, fullgraph=True, backend="eager")
        for seed in range(3):
            params = transform.draw(batch, keys=sample_keys(torch.arange(len(batch)), seed=seed))
            with torch._dynamo.config.patch(error_on_recompile=seed > 0):
                result, expected = compiled(batch, params), transform.play(batch, params)
            for field, value in expected.present().items():
                tolerance = 1.0 if value.dtype == torch.uint8 else 1e-4
                got = result.present()[field].double()
                torch.testing.assert_close(got, value.double(), rtol=0, atol=tolerance)


@every({name: CHAINS[name] for name in ("simclr", "geometry_folded", "rand_augment")})
def test_one_graph_serves_a_hundred_batches(transform: Layer) -> None:
    Compose([transform]).plan()
    torch._dynamo.reset()
    compiled = torch.compile(transform.play, fullgraph=True, backend="eager")
    compiled(labelled(), transform.draw(labelled()))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(100):
            batch = labelled().replace(image=images(5, seed=seed), key=sample_keys(torch.arange(5), seed=seed))
            compiled(batch, transform.draw(batch))


@pytest.mark.gpu
@every(EVERY)
def test_a_captured_cuda_graph_replays_with_other_numbers(transform: Layer) -> None:
    batch = as_float(labelled()).to("cuda")
    transform.to("cuda")
    ids = torch.arange(5, device="cuda")  # numbers of the host would be those of the capture for ever
    params, others = (transform.draw(batch, keys=sample_keys(ids, seed=seed)) for seed in (0, 1))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        transform.play(batch, params)  # what is made once is made before the capture
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = transform.play(batch, params)
    params.u.copy_(others.u)
    graph.replay()
    for name, value in transform.play(batch, others).present().items():
        torch.testing.assert_close(result.present()[name].double(), value.double(), rtol=0, atol=1e-4)


@every({**unguided(GEOMETRY), **PIXELS, "simclr": CHAINS["simclr"], "folded": CHAINS["geometry_folded"]})
def test_gradients_reach_the_image_as_often_as_claimed(transform: Layer) -> None:
    orders = min(leaf.differentiable for leaf in transform.leaves())
    if orders == 0:
        pytest.skip("not differentiable, as it says")
    image = (images(2).double() / 255 * 0.8 + 0.1).requires_grad_()
    batch = Batch(image=image, key=sample_keys(torch.arange(2)))
    out = transform(batch).image
    (gradient,) = torch.autograd.grad((out.double() ** 3).sum(), image, create_graph=orders == 2)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    if orders == 1:
        return
    (second,) = torch.autograd.grad(gradient.square().sum(), image)
    assert torch.isfinite(second).all()
    assert second.abs().sum() > 0


@every(GEOMETRY)
def test_the_differentiable_path_equals_the_fast_one(transform: Layer) -> None:
    batch = as_float(labelled())
    fast = transform(batch).image
    slow = transform(batch.replace(image=batch.image.clone().requires_grad_())).image
    torch.testing.assert_close(slow.detach(), fast, rtol=0, atol=2e-5)


KEEPS_PROPORTIONS = {"LongestMaxSize", "SmallestMaxSize", "RandomShortestSize", "RandomResize"}


@every(unguided(EVERY))
def test_images_of_different_sizes_keep_to_their_own_pixels(transform: Layer) -> None:
    """A padded image comes out as it does alone: what lies in the padding has no influence."""
    names = {type(leaf).__name__ for leaf in transform.leaves()}
    resize = any(isinstance(leaf, torchaug.image.Resize) and isinstance(leaf.size, int) for leaf in transform.leaves())
    if resize or names & KEEPS_PROPORTIONS:
        pytest.skip("gives each image a shape of its own, and says so")
    big, small = images(1, 36, 40)[0], images(1, 33, 35, seed=5)[0]
    batch = Batch.from_images([big, small]).replace(key=sample_keys(torch.arange(2)))
    dirty = torch.where(torch.arange(40) < batch.size[:, 1, None, None, None], batch.image, 200)
    for padded in (batch, batch.replace(image=dirty)):
        out = transform(padded)
        alone = transform(small[None], keys=batch.key[1:])
        height, width = alone.shape[-2:]
        difference = (level(out.image[1:, :, :height, :width]) - level(alone)).abs()
        assert difference.max() <= 1.01


def test_a_one_pixel_image_passes_every_pixel_transform_without_nan() -> None:
    for transform in PIXELS.values():
        out = transform(torch.full((2, 3, 1, 1), 0.5))
        assert torch.isfinite(out).all()


@pytest.mark.gpu
@every(EVERY)
def test_cpu_and_cuda_agree_without_a_wait(transform: Layer) -> None:
    batch = as_float(labelled())
    on_gpu = batch.to("cuda")
    for keys in (on_gpu.key, batch.key):
        transform(on_gpu, keys=keys)
        torch.cuda.set_sync_debug_mode("error")
        try:
            result = transform(on_gpu, keys=keys)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        for name, value in transform(batch).present().items():
            torch.testing.assert_close(result.present()[name].cpu().double(), value.double(), rtol=0, atol=1e-3)


PUBLIC = [getattr(torchaug.image, name) for name in torchaug.image.__all__]
PUBLIC += [getattr(torchaug, name) for name in torchaug.__all__]


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_every_public_transform_documents_itself(kind: type) -> None:
    if inspect.isabstract(kind) or kind in (torchaug.Batch, torchaug.Params, torchaug.image.LabelSurvival):
        return
    assert kind.__doc__, kind
    parameters = [name for name in inspect.signature(kind).parameters if name != "args"]
    for name in parameters:
        assert f"{name}" in kind.__doc__, f"{kind.__name__}: {name} is not documented"
    assert ">>>" in kind.__doc__, f"{kind.__name__} has no example"


def test_the_zoo_has_every_public_transform() -> None:
    shown = {type(leaf) for layer in EVERY.values() for leaf in layer.leaves()} | {
        type(layer) for layer in EVERY.values()
    }
    elsewhere = {torchaug.Lambda, torchaug.PerSample}  # functions of the caller's
    elsewhere |= {torchaug.image.LinearTransformation}  # holds real tensors, which cannot be on a fake device
    elsewhere |= {torchaug.image.UniformTemporalSubsample}  # tests/test_video.py has what takes videos alone
    # tests/test_mixing.py has the suite of those that join samples of a batch, or act on their labels
    elsewhere |= {torchaug.image.LabelSmoothing, torchaug.image.RandomJigsaw}
    missing = {kind for kind in PUBLIC if inspect.isclass(kind) and issubclass(kind, Layer)} - shown - elsewhere
    missing = {k for k in missing if not inspect.isabstract(k) and not issubclass(k, torchaug.image.Mix)}
    assert not missing
