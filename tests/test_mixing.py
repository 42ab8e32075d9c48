"""What holds for every mix operation, and where each of its pixels, boxes and points comes from."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type, index, operator, list-item"
from __future__ import annotations

import copy
import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode
from zoo import images

from torchaug import Batch, Compose, RandomApply
from torchaug import image as T
from torchaug.image import mix, mix_labels
from torchaug.image.detection_mix import CopyPaste, DetectionMixUp, RandomTransplantation
from torchaug.image.mixing import CutMix, LabelSmoothing, MixUp, SwitchMix, cut_box
from torchaug.image.mosaic import Mosaic
from torchaug.image.patches import PatchMix, RandomJigsaw
from torchaug.keys import sample_keys
from torchaug.transform import Sizes, Transform

CLASSES = 4
MAKERS: dict[str, Callable[[], Transform]] = {
    "mixup": lambda: MixUp(num_classes=CLASSES),
    "cutmix": lambda: CutMix(num_classes=CLASSES),
    "switch": lambda: SwitchMix(num_classes=CLASSES),
    "switch_pair": lambda: SwitchMix(mode="pair", num_classes=CLASSES),
    "switch_batch": lambda: SwitchMix(mode="batch", correct_lam=False, num_classes=CLASSES),
    "switch_cutmix": lambda: SwitchMix(mixup_alpha=0, num_classes=CLASSES),
    "smoothing": lambda: LabelSmoothing(0.2, CLASSES),
    "patches": lambda: PatchMix((3, 5), num_classes=CLASSES),
    "jigsaw": lambda: RandomJigsaw((3, 5), p=1.0),
    "mosaic": lambda: Mosaic((30, 38), num_classes=CLASSES, p=1.0),
    "copy_paste": lambda: CopyPaste(),
    "instances": lambda: CopyPaste(0.7),
    "detection_mixup": lambda: DetectionMixUp(num_classes=CLASSES),
    "transplantation": lambda: RandomTransplantation(CLASSES, [0], p=1.0),
}
BLENDS = ("mixup", "switch", "switch_pair", "switch_batch", "detection_mixup")
PAIRS = tuple(name for name in MAKERS if name not in ("smoothing", "jigsaw", "mosaic"))


def every(names: tuple[str, ...] = tuple(MAKERS)) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", names)


def labelled(name: str, count: int = 6, height: int = 32, width: int = 36, seed: int = 1) -> Batch:
    """A batch with every label that the transform takes; the last box of each image is none."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, min(height, width) - 6, (count, 3, 2), generator=generator)
    sides = torch.randint(3, 14, (count, 3, 2), generator=generator)
    limit = torch.tensor([width, height])
    boxes = torch.cat([corner, torch.minimum(corner + sides, limit)], -1).float()
    boxes[:, 2] = 0
    box_labels = torch.randint(0, 9, (count, 3), generator=generator)
    box_labels[:, 2] = -1
    mask = torch.randint(0, CLASSES, (count, 1, height // 4, width // 4), generator=generator)
    mask = mask.repeat_interleave(4, 2).repeat_interleave(4, 3)
    mask = torch.nn.functional.pad(mask, (0, width - mask.shape[3], 0, height - mask.shape[2]))
    points = torch.rand(count, 5, 2, generator=generator) * (limit - 1)
    batch = Batch(
        image=images(count, height, width),
        mask=mask.float() / CLASSES if name in BLENDS else mask,
        boxes=boxes,
        box_labels=box_labels,
        box_weights=(torch.rand(count, 3, generator=generator) + 0.5) * (box_labels >= 0),
        keypoints=points.round(),
        visible=torch.rand(count, 5, generator=generator) < 0.8,
        label=torch.randint(0, CLASSES, (count,), generator=generator),
        weight=torch.rand(count, generator=generator) + 0.5,
        key=sample_keys(torch.arange(count), seed=3),
    )
    if name == "jigsaw":
        return batch.replace(boxes=None, box_labels=None, box_weights=None)
    if name == "instances":
        return batch.replace(mask=_objects(boxes, height, width))
    return batch


def _objects(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Ellipses that fill their boxes (B, N, H, W)."""
    y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    x0, y0, x1, y1 = boxes[..., None, None].unbind(2)
    across, down = (x1 - x0).clamp(min=1e-3) / 2, (y1 - y0).clamp(min=1e-3) / 2
    return ((x - (x0 + x1) / 2) / across) ** 2 + ((y - (y0 + y1) / 2) / down) ** 2 <= 1


def as_float(batch: Batch, dtype: torch.dtype = torch.float32) -> Batch:
    return batch.replace(image=(batch.image.double() / 255).to(dtype))


def assert_same(a: Batch, b: Batch, atol: float = 0) -> None:
    assert a.present().keys() == b.present().keys()
    for name, value in a.present().items():
        torch.testing.assert_close(value, b.present()[name], rtol=0, atol=atol if value.is_floating_point() else 0)


def uniforms_of(transform: Transform, count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, transform.uniforms, generator=torch.Generator().manual_seed(seed))


@every()
def test_permuting_the_batch_permutes_the_result_bit_for_bit(name: str) -> None:
    transform, batch, order = MAKERS[name](), labelled(name, 5), torch.tensor([3, 0, 4, 1, 2])
    for given_batch in (batch, as_float(batch)):
        assert_same(transform(given_batch)[order], transform(given_batch[order]))


@every()
def test_the_input_stays_as_it_was(name: str) -> None:
    for batch in (labelled(name), as_float(labelled(name))):
        before = copy.deepcopy(batch)
        versions = {field: value._version for field, value in batch.present().items()}
        MAKERS[name]()(batch)
        assert_same(batch, before)
        assert versions == {field: value._version for field, value in batch.present().items()}


@every(tuple(name for name in MAKERS if name != "mosaic"))
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
def test_samples_that_are_not_chosen_are_bit_equal_and_their_labels_soft(name: str, dtype: torch.dtype) -> None:
    transform, batch = MAKERS[name](), labelled(name)
    batch = batch if dtype == torch.uint8 else as_float(batch, dtype)
    if batch.boxes is not None:
        batch.boxes[:, 1] = torch.tensor([-30.0, -20, -9, 0.5])  # outside
        batch.boxes[:, 0] = torch.tensor([3.0, 3, 3.5, 3.5])  # tiny
    if name in BLENDS and dtype != torch.uint8:
        batch.image[0, 0, 0, 0] = float("inf")  # and its neighbour stays as it is nevertheless
    out = transform.apply(batch, uniforms_of(transform, 6, 0), torch.zeros(6, dtype=torch.bool))
    count = batch.boxes.shape[1] if batch.boxes is not None else 0
    joined = name in PAIRS
    for field, value in batch.present().items():
        new = out.present()[field]
        if field == "label" and not (name in ("jigsaw", "copy_paste", "instances", "transplantation")):
            smoothing = 0.1 if name.startswith("switch") else 0
            hard = torch.nn.functional.one_hot(value, CLASSES) * (1 - smoothing) + smoothing / CLASSES
            torch.testing.assert_close(new, hard.float(), rtol=0, atol=1e-7)
        elif (joined and field in ("boxes", "box_labels", "box_weights", "keypoints", "visible")) or (name, field) == (
            "instances",
            "mask",
        ):
            assert torch.equal(new[:, : value.shape[1]], value), field
        else:
            assert torch.equal(new, value), field
    if joined:
        assert not out.boxes[:, count:].any()
        assert (out.box_labels[:, count:] == -1).all()
        assert not out.box_weights[:, count:].any()
        assert not out.visible[:, 5:].any()


@every(tuple(name for name in MAKERS if name != "mosaic"))
def test_in_evaluation_nothing_is_changed(name: str) -> None:
    batch = labelled(name)
    assert_same(MAKERS[name]().eval()(batch), batch)
    assert_same(Compose([MAKERS[name]()]).eval()(batch), batch)


@pytest.mark.parametrize("size", [(20, 25), (21, 24), (40, 45), (39, 30)])
def test_a_mosaic_in_evaluation_is_the_centre(size: tuple[int, int]) -> None:
    batch = labelled("mosaic").replace(visible=torch.ones(6, 5, dtype=torch.bool))
    expected = T.CenterCrop(size)(batch)
    for mosaic in (Mosaic(size, p=1.0).eval(), Mosaic(size, p=0.0, num_classes=CLASSES)):
        out = mosaic(batch)
        assert torch.equal(out.image, expected.image)
        assert torch.equal(out.mask, expected.mask)
        assert torch.equal(out.keypoints[:, :5], expected.keypoints)
        x, y = expected.keypoints.unbind(-1)
        inside = (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
        assert torch.equal(out.visible[:, :5], inside)
        kept = out.box_labels[:, :3] >= 0
        limit = torch.tensor([size[1], size[0]] * 2)
        clamped = torch.minimum(expected.boxes.clamp(min=0), limit)
        assert torch.equal(out.boxes[:, :3][kept], clamped[kept])
        assert kept.sum() > 4


@every()
def test_one_sample_stays_as_it_is_and_an_empty_batch_is_welcome(name: str) -> None:
    batch = labelled(name)
    assert len(MAKERS[name]()(batch[:0])) == 0
    if name not in ("mosaic", "jigsaw"):
        out = MAKERS[name]()(batch[:1])
        assert torch.equal(out.image, batch.image[:1])
        assert batch.boxes is None or torch.equal(out.boxes[:, :3], batch.boxes[:1])


@every()
def test_a_generator_repeats_and_the_global_state_is_kept(name: str) -> None:
    transform, batch = MAKERS[name](), labelled(name).replace(key=None)
    state = torch.get_rng_state()
    first = transform(batch, generator=torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(first, transform(batch, generator=torch.Generator().manual_seed(7)))


@every()
def test_uint8_and_float_agree_within_a_level(name: str) -> None:
    whole, real = MAKERS[name]()(labelled(name)), MAKERS[name]()(as_float(labelled(name)))
    assert (whole.image - real.image * 255).abs().max() <= 0.51
    assert_same(whole.replace(image=None), real.replace(image=None))


@every()
def test_labels_sum_to_one(name: str) -> None:
    label = MAKERS[name]()(labelled(name)).label
    if label.ndim == 2:
        assert label.dtype == torch.float32
        torch.testing.assert_close(label.sum(1), torch.ones(6))


@every()
def test_nothing_waits_for_the_device(name: str) -> None:
    """On a fake CUDA device any read of a value fails."""
    with FakeTensorMode():
        transform = MAKERS[name]().to("cuda")
        fields = {
            field: torch.empty(value.shape, dtype=value.dtype, device="cuda")
            for field, value in labelled(name).present().items()
        }
        transform(Batch(**fields))
        MAKERS[name]()(Batch(**fields))  # its tables are on the CPU still


@every()
def test_the_graph_is_whole_and_equal_to_eager(name: str) -> None:
    torch._dynamo.reset()
    transform, batch = MAKERS[name](), labelled(name)
    batch = batch if name in ("mixup", "mosaic") else as_float(batch)  # both dtypes, one compilation each
    params = transform.draw(batch)
    compiled = torch.compile(transform.play, fullgraph=True, backend="eager")
    assert_same(compiled(batch, params), transform.play(batch, params), atol=1e-6)


@every(tuple(name for name in MAKERS if name != "smoothing"))
def test_gradients_of_the_image_can_be_differentiated(name: str) -> None:
    batch = as_float(labelled(name, 4), torch.float64)
    image = (batch.image * 0.8 + 0.1).requires_grad_()
    out = MAKERS[name]()(batch.replace(image=image)).image
    (gradient,) = torch.autograd.grad((out**3).sum(), image, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), image)
    for value in (gradient, second):
        assert torch.isfinite(value).all()
        assert value.abs().sum() > 0


@every(tuple(name for name in MAKERS if name not in ("mosaic", "smoothing")))
def test_images_of_different_sizes_are_refused_with_advice(name: str) -> None:
    batch = labelled(name)
    with pytest.raises(ValueError, match="one size, got padded ones; resize or crop"):
        MAKERS[name]()(batch.replace(size=torch.full((6, 2), 20)))


@pytest.mark.gpu
@every()
@pytest.mark.parametrize("moved", [True, False])
def test_cpu_and_cuda_agree_without_a_wait(name: str, moved: bool) -> None:
    batch = as_float(labelled(name))
    transform, on_gpu = MAKERS[name](), batch.to("cuda")
    if moved:
        transform = transform.to("cuda")
    transform(on_gpu)
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = transform(on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_same(MAKERS[name]()(batch), out.to("cpu"), atol=1e-5)


# Where things come from.


def numbered(batch: Batch) -> Batch:
    """Images whose pixels say where they are from: sample, row, column (uint8; 255 is nowhere)."""
    count, _, height, width = batch.image.shape
    sample, y, x = torch.meshgrid(torch.arange(count), torch.arange(height), torch.arange(width), indexing="ij")
    return batch.replace(image=torch.stack([sample, y, x], 1).to(torch.uint8))


def origin(out: Batch) -> np.ndarray:
    """(B, H, W, 3) sample, row and column of each pixel."""
    return out.image.permute(0, 2, 3, 1).numpy().astype(int)


def seen_box(source: int, box: torch.Tensor, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """The tight box, on a canvas, around the pixels (H, W, 3) of a source's box, and which share of them there is."""
    x0, y0, x1, y1 = box.numpy()
    sample, row, column = (pixels[..., i] for i in range(3))
    rows, columns = np.nonzero((sample == source) & (row >= y0) & (row < y1) & (column >= x0) & (column < x1))
    if not len(rows):
        return np.zeros(4), 0.0
    tight = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return tight, len(rows) / ((x1 - x0) * (y1 - y0))


def sources_of(transform: Transform, u: torch.Tensor) -> list[list[int]]:
    """Whose boxes and points each sample's are, in order."""
    partner = transform.partners(u).tolist()
    chains = [[i, partner[i]] for i in range(len(u))]
    if isinstance(transform, Mosaic):
        chains = [[i, a, partner[a], partner[partner[a]]] for i, a in chains]
    return chains


TRACED = ("cutmix", "switch_cutmix", "patches", "mosaic", "copy_paste", "transplantation")


@every(TRACED)
@given(seed=st.integers(0, 2**31), height=st.integers(9, 40), width=st.integers(9, 40))
@settings(max_examples=15)
def test_every_pixel_box_point_and_label_is_traced_to_its_source(name: str, seed: int, height: int, width: int) -> None:
    transform = MAKERS[name]()
    batch = numbered(labelled(name, 4, height, width, seed))
    batch.keypoints[:, 4] = torch.tensor([-3.0, 2.0])  # outside
    u = uniforms_of(transform, 4, seed)
    out = transform.apply(batch, u, torch.ones(4, dtype=torch.bool))
    pixels, areas = origin(out), np.zeros((4, 4))
    for i, sources in enumerate(sources_of(transform, u)):
        if name != "mosaic":
            y, x = np.mgrid[:height, :width]
            assert (pixels[i, ..., 1] == y).all()
            assert (pixels[i, ..., 2] == x).all()
            assert np.isin(pixels[i, ..., 0], sources).all()
        filled = _filled(pixels[i], out.image[i])
        for part, source in enumerate(sources):
            areas[i, source] = ((pixels[i, ..., 0] == source) & filled).mean() if filled.any() else 0
            shown = np.where(filled[..., None], pixels[i], -1)
            for n in range(3):
                slot = 3 * part + n
                tight, share = seen_box(source, batch.boxes[source, n], shown)
                area = (tight[2] - tight[0]) * (tight[3] - tight[1])
                if abs(share - 0.1) < 1e-6:
                    continue
                kept = share >= 0.1 and area >= 1
                assert out.boxes[i, slot].tolist() == (tight.tolist() if kept else [0, 0, 0, 0])
                assert out.box_labels[i, slot] == (batch.box_labels[source, n] if kept else -1)
                assert out.box_weights[i, slot] == (batch.box_weights[source, n] if kept else 0)
            for n in range(5):
                slot = 5 * part + n
                x, y = out.keypoints[i, slot].long().tolist()
                here = 0 <= y < shown.shape[0] and 0 <= x < shown.shape[1]
                px, py = batch.keypoints[source, n].long().tolist()
                really = here and shown[y, x].tolist() == [source, py, px]
                assert bool(out.visible[i, slot]) == bool(batch.visible[source, n] and really)
    _masks_follow(batch, out, pixels)
    if name not in ("copy_paste", "transplantation"):
        _labels_follow(name, batch, out, areas)


def _filled(pixels: np.ndarray, image: torch.Tensor) -> np.ndarray:
    """(H, W): where there is an image at all. The fill, 0, would be the first pixel of the first sample."""
    zeros = (image == 0).all(0).numpy()
    if zeros.sum() <= 1:
        return np.ones_like(zeros)
    filled = ~zeros
    for y, x in np.argwhere(zeros):  # the pixel itself, which has its neighbour to the right or below
        right = pixels[y, x + 1].tolist() if x + 1 < zeros.shape[1] else None
        below = pixels[y + 1, x].tolist() if y + 1 < zeros.shape[0] else None
        filled[y, x] = right == [0, 0, 1] or below == [0, 1, 0]
    return filled


def _masks_follow(batch: Batch, out: Batch, pixels: np.ndarray) -> None:
    sample, row, column = (torch.from_numpy(pixels[..., i]) for i in range(3))
    expected = batch.mask[sample, 0, row, column]
    filled = torch.from_numpy(np.stack([_filled(p, image) for p, image in zip(pixels, out.image, strict=True)]))
    assert torch.equal(out.mask[:, 0], torch.where(filled, expected, 0))


def _labels_follow(name: str, batch: Batch, out: Batch, areas: np.ndarray) -> None:
    share = torch.from_numpy(areas / areas.sum(1, keepdims=True)).float()
    hard = torch.nn.functional.one_hot(batch.label, CLASSES).float()
    smoothing = 0.1 if name.startswith("switch") else 0
    expected = share @ (hard * (1 - smoothing) + smoothing / CLASSES)
    torch.testing.assert_close(out.label, expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(out.weight, share @ batch.weight, rtol=0, atol=2e-6)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15)
def test_pasted_instances_and_what_they_cover_are_traced(seed: int) -> None:
    transform = CopyPaste(0.7)
    batch = numbered(labelled("instances", 4, seed=seed))
    u = uniforms_of(transform, 4, seed)
    out = transform.apply(batch, u, torch.ones(4, dtype=torch.bool))
    picked, partner, pixels = transform.instances(u, 3), transform.partners(u), origin(out)
    for i, j in enumerate(partner.tolist()):
        pasted = (batch.mask[j] & picked[i, :, None, None]).any(0).numpy()
        assert (pixels[i, ..., 0] == np.where(pasted, j, i)).all()
        for n in range(3):
            assert torch.equal(out.mask[i, 3 + n], batch.mask[j, n] & picked[i, n])
            there = bool(out.mask[i, 3 + n].any())
            assert out.boxes[i, 3 + n].tolist() == (batch.boxes[j, n].tolist() if there else [0] * 4)
            assert out.box_labels[i, 3 + n] == (batch.box_labels[j, n] if there else -1)
            assert out.box_weights[i, 3 + n] == (batch.box_weights[j, n] if there else 0)
            had, left = batch.mask[i, n].numpy(), batch.mask[i, n].numpy() & ~pasted
            kept = had.any() and left.sum() / max(had.sum(), 1) >= 0.1
            assert (out.mask[i, n].numpy() == (left if kept else np.zeros_like(left))).all()
            rows, columns = np.nonzero(left)
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if kept else [0] * 4
            untouched = (had == left).all()
            assert out.boxes[i, n].tolist() == (batch.boxes[i, n].tolist() if untouched else tight)


def test_instances_are_picked_by_chance_whatever_their_number() -> None:
    u = uniforms_of(CopyPaste(), 4000, 0)
    assert CopyPaste(0.3).instances(u, 5).float().mean() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(CopyPaste(0.3).instances(u, 5)[:, :2], CopyPaste(0.3).instances(u, 2))
    assert CopyPaste(1.0).instances(u, 5).all()
    assert not CopyPaste(0.0).instances(u, 5).any()


@given(seed=st.integers(0, 2**31), count=st.integers(2, 9))
def test_partners_form_one_random_cycle(seed: int, count: int) -> None:
    partner = MixUp().partners(uniforms_of(MixUp(), count, seed))
    at, seen = 0, []
    for _ in range(count):
        at = int(partner[at])
        seen.append(at)
    assert sorted(seen) == list(range(count))
    pairs = SwitchMix(mode="pair").partners(uniforms_of(SwitchMix(), count, seed))
    assert torch.equal(pairs[pairs], torch.arange(count))
    assert (pairs == torch.arange(count)).sum() == count % 2


def test_every_other_sample_is_as_likely_a_partner() -> None:
    transform = MixUp()
    partner = torch.stack([transform.partners(uniforms_of(transform, 5, seed)) for seed in range(2000)])
    counts = torch.stack([(partner[:, 0] == j).sum() for j in range(1, 5)])
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0, 32.0])
def test_lambda_follows_its_beta_law(alpha: float) -> None:
    size = Sizes.of((32, 36), None, torch.zeros(20000, 1))
    for transform in (MixUp(alpha), DetectionMixUp(alpha), SwitchMix(alpha, 0)):
        share = transform.drawn(uniforms_of(transform, 20000, 4), size)["lambda"]
        at = np.linspace(0.001, 0.999, 200)  # what is nearer to 1 than 6e-8 is 1 in float32
        found = (share.numpy()[:, None] <= at).mean(0)
        assert np.abs(found - stats.beta(alpha, alpha).cdf(at)).max() < 1.95 / 20000**0.5  # Kolmogorov, 1 in 1000


def test_mixing_and_switching_happen_as_often_as_said() -> None:
    size = Sizes.of((32, 36), None, torch.zeros(20000, 1))
    transform = SwitchMix(prob=0.6, switch_prob=0.3)
    numbers = transform.drawn(uniforms_of(transform, 20000, 4), size)
    assert numbers["cuts"].float().mean() == pytest.approx(0.3, abs=0.012)
    assert (numbers["lambda"] == 1).float().mean() == pytest.approx(0.4, abs=0.03)


@given(share=st.floats(0, 1), u=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), height=st.integers(1, 70))
def test_the_rectangle_of_cutmix_has_torchvisions_and_timms_edges(
    share: float, u: tuple[float, float], height: int
) -> None:
    share = round(share * 64) / 64
    width = 36
    size = Sizes.of((height, width), None, torch.zeros(1, 1))
    box = cut_box(torch.tensor([share]), torch.tensor([u]), size)[0]
    y, x = int(np.float32(u[0]) * np.float32(height)), int(np.float32(u[1]) * np.float32(width))
    half = 0.5 * (1 - share) ** 0.5
    half_height, half_width = int(half * height), int(half * width)
    assert half_height == int(height * (1 - share) ** 0.5) // 2  # timm's
    expected = [
        max(x - half_width, 0),
        max(y - half_height, 0),
        min(x + half_width, width),
        min(y + half_height, height),
    ]
    assert box.tolist() == expected


def test_samples_of_a_pair_and_of_a_batch_share_their_numbers() -> None:
    for mode, groups in (("pair", 4), ("batch", 1), ("elem", 8)):
        transform = SwitchMix(mode=mode)
        u = uniforms_of(transform, 8, 0)
        leaders = transform.leaders(u)
        assert len(leaders.unique()) == groups
        if mode == "pair":
            assert torch.equal(leaders[transform.partners(u)], leaders)


def test_a_patch_is_taken_whole_and_as_many_as_lambda_says() -> None:
    transform = PatchMix((4, 4))
    numbers = transform.drawn(uniforms_of(transform, 500, 0), Sizes.of((32, 36), None, torch.zeros(500, 1)))
    assert torch.equal(numbers["lambda"], 1 - numbers["patches"].float().mean((1, 2)))
    assert stats.kstest(numbers["lambda"].numpy(), stats.uniform(-1 / 32, 1 + 1 / 16).cdf).pvalue > 1e-4
    assert numbers["patches"].float().mean(0).sub(0.5).abs().max() < 0.1


@given(seed=st.integers(0, 2**31), grid=st.tuples(st.integers(1, 4), st.integers(1, 4)))
@settings(max_examples=40)
def test_a_jigsaw_moves_each_patch_once_and_points_with_it(seed: int, grid: tuple[int, int]) -> None:
    if grid == (1, 1):
        return
    transform, batch = RandomJigsaw(grid, p=1.0), numbered(labelled("jigsaw", 3, 21, 26, seed))
    u = uniforms_of(transform, 3, seed)
    out = transform.apply(batch, u, torch.ones(3, dtype=torch.bool))
    pixels = origin(out)
    for i in range(3):
        assert sorted(map(tuple, pixels[i].reshape(-1, 3))) == sorted(map(tuple, origin(batch)[i].reshape(-1, 3)))
        assert (pixels[i] != origin(batch)[i]).any()
        for (x, y), point in zip(out.keypoints[i].long().tolist(), batch.keypoints[i].long().tolist(), strict=True):
            assert pixels[i, y, x].tolist() == [i, point[1], point[0]]
        tall, wide = 21 // grid[0], 26 // grid[1]
        assert (pixels[i, :tall, :wide] - pixels[i, 0, 0] == origin(batch)[i, :tall, :wide] - [i, 0, 0]).all()
    _masks_follow(batch, out, pixels)


def test_a_jigsaw_may_leave_all_in_place_only_when_allowed() -> None:
    u = torch.linspace(0, 0.9, 4)[None]
    size = Sizes.of((8, 8), None, u)
    assert RandomJigsaw((2, 2), ensure_perm=False).drawn(u, size)["order"].tolist() == [[0, 1, 2, 3]]
    assert RandomJigsaw((2, 2)).drawn(u, size)["order"].tolist() == [[3, 0, 1, 2]]


def test_transplanted_classes_are_drawn_evenly_from_those_that_are_there() -> None:
    transform = RandomTransplantation(6, [1], p=1.0)
    mask = torch.tensor([1, 0, 3, 3, 3, 255, 5, 3]).view(1, 1, 2, 4).repeat(3000, 1, 1, 1)
    batch = Batch(image=torch.rand(3000, 1, 2, 4), mask=mask)
    u = uniforms_of(transform, 3000, 0)
    region = transform.mixture(batch, transform.partners(u), u).region
    drawn = mask[:, 0].where(region, -1).amax((1, 2))
    assert sorted(drawn.unique().tolist()) == [0, 3, 5]
    assert stats.chisquare([(drawn == c).sum() for c in (0, 3, 5)]).pvalue > 1e-4
    nothing = batch.replace(mask=torch.full_like(mask, 255))
    assert torch.equal(transform(nothing).image, batch.image)


def test_a_mosaic_takes_padded_images_at_their_own_size() -> None:
    sizes = [(20, 30), (33, 18), (25, 25), (40, 35)]
    padded = Batch.from_images([torch.full((3, *size), i, dtype=torch.uint8) for i, size in enumerate(sizes, 1)])
    dirty = padded.replace(image=torch.where(padded.image == 0, 200, padded.image))
    u = uniforms_of(Mosaic(32), 4, 0)
    out = Mosaic((50, 60), fill=1.0).apply(dirty, u, torch.ones(4, dtype=torch.bool))
    numbers = Mosaic((50, 60)).drawn(u, None)
    assert out.size is None
    partner = Mosaic(32).partners(u)
    for i in range(4):
        x, y = int(numbers["center_x"][i]), int(numbers["center_y"][i])
        expected = torch.full((50, 60), 255)
        for part in range(4):
            j = i
            for _ in range(part):
                j = int(partner[j])
            height, width = sizes[j]
            rows = slice(y, y + height) if part // 2 else slice(max(y - height, 0), y)
            columns = slice(x, x + width) if part % 2 else slice(max(x - width, 0), x)
            expected[rows, columns] = j + 1
        assert torch.equal(out.image[i, 0].long(), expected)


def test_boxes_of_both_images_stay_in_a_blend_and_none_is_joined_to_itself() -> None:
    batch = labelled("detection_mixup")
    out = DetectionMixUp(num_classes=CLASSES)(batch)
    partner = DetectionMixUp().partners(DetectionMixUp().draw(batch).u[:, 1:])
    assert torch.equal(out.boxes, torch.cat([batch.boxes, batch.boxes[partner]], 1))
    assert torch.equal(out.box_labels, torch.cat([batch.box_labels, batch.box_labels[partner]], 1))
    alone = DetectionMixUp()(batch[:1].replace(label=None))
    assert not alone.boxes[:, 3:].any()


@pytest.mark.parametrize("name", ["detection_mixup", "mixup", "switch"])
def test_a_boxs_weight_is_its_images_share_of_the_pixels(name: str) -> None:
    """lambda and 1 - lambda where two images are blended, all of it where one is pasted."""
    transform, batch = MAKERS[name](), labelled(name, 64)
    u = uniforms_of(transform, 64, 2)
    out = transform.apply(batch, u, torch.arange(64) % 4 > 0)
    drawn = transform.drawn(u[transform.leaders(u)] if name == "switch" else u, Sizes.of((32, 36), None, u))
    share = torch.where(torch.arange(64) % 4 > 0, drawn["lambda"], 1)
    blended = (share < 1) & ~drawn.get("cuts", torch.zeros(64, dtype=torch.bool))
    own, added = torch.where(blended, share, 1.0), torch.where(blended, 1 - share, 1.0)
    expected = torch.cat(
        [batch.box_weights * own[:, None], batch.box_weights[transform.partners(u)] * added[:, None]], 1
    )
    there = out.box_labels >= 0
    assert there[:, :3].any()
    assert there[blended, 3:].any()
    torch.testing.assert_close(out.box_weights, torch.where(there, expected, 0), rtol=0, atol=1e-6)


@given(data=st.data(), height=st.integers(1, 12), width=st.integers(1, 12))
def test_visible_boxes_are_those_that_counting_pixels_gives(data: st.DataObject, height: int, width: int) -> None:
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    seen = torch.tensor(bits).view(1, height, width)
    edge = st.floats(-3, 15, width=16)
    corner, side = (
        data.draw(st.tuples(edge, edge)),
        data.draw(st.tuples(st.floats(0, 9, width=16), st.floats(0, 9, width=16))),
    )
    box = torch.tensor([[[*corner, corner[0] + side[0], corner[1] + side[1]]]])
    tight, share = mix_labels.visible_boxes(box, seen)
    x0, y0, x1, y1 = box[0, 0].tolist()
    columns = range(int(np.floor(x0)), int(np.ceil(x1)))
    rows = range(int(np.floor(y0)), int(np.ceil(y1)))
    found = [(y, x) for y in rows for x in columns if 0 <= y < height and 0 <= x < width and seen[0, y, x]]
    assert float(share) == pytest.approx(len(found) / max(len(rows) * len(columns), 1))
    if found:
        ys, xs = zip(*found, strict=True)
        expected = [max(x0, min(xs)), max(y0, min(ys)), min(x1, max(xs) + 1), min(y1, max(ys) + 1)]
        assert tight[0, 0].tolist() == pytest.approx(expected)


# Labels and calling.


def test_a_pair_and_a_dict_carry_their_labels() -> None:
    image, label = images(4), torch.tensor([0, 1, 2, 3])
    mixed_image, soft = MixUp(num_classes=CLASSES)(image, label)
    assert mixed_image.shape == image.shape
    assert soft.shape == (4, CLASSES)
    again = MixUp()({"image": image, "labels": soft})
    assert again["labels"].shape == (4, CLASSES)
    assert not torch.equal(again["labels"], soft)
    assert torch.is_tensor(CutMix()(image))


def test_it_joins_a_compose_and_containers_gate_it() -> None:
    batch = labelled("cutmix")
    chain = Compose([T.RandomHorizontalFlip(), CutMix(num_classes=CLASSES), T.Normalize([0.5], [0.5])])
    assert chain(batch).image.dtype == torch.float32
    assert "CutMix" in chain.explain()
    out = RandomApply([CutMix(num_classes=CLASSES)], p=0.0)(batch)
    assert torch.equal(out.image, batch.image)


def test_describe_says_what_was_drawn() -> None:
    transform, batch = CutMix(num_classes=CLASSES), labelled("cutmix")
    params = transform.draw(batch)
    (record,) = transform.describe(params, 2)
    x0, y0, x1, y1 = record["box"]
    assert record["lambda"] == pytest.approx(1 - (x1 - x0) * (y1 - y0) / (32 * 36))


def test_float_targets_of_a_regression_are_mixed() -> None:
    batch = Batch(image=images(4), label=torch.tensor([1.0, 2.0, 4.0, 8.0]), key=sample_keys(torch.arange(4)))
    transform = MixUp()
    u = transform.draw(batch).u[:, 1:]
    share = transform.drawn(u, Sizes.of((32, 36), None, u))["lambda"]
    expected = batch.label * share + batch.label[transform.partners(u)] * (1 - share)
    assert torch.equal(transform(batch).label, expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda b: MixUp()(b), ValueError, r"class numbers need MixUp\(num_classes=...\)"),
        (
            lambda b: CutMix(num_classes=2)(b),
            ValueError,
            "class numbers must be from 0 to num_classes - 1 = 1, got 0 to 3",
        ),
        (
            lambda b: MixUp(num_classes=4)(b),
            TypeError,
            "masks of class numbers cannot be blended, got torch.int64.*CutMix",
        ),
        (lambda b: CutMix(num_classes=4)(b.replace(visible=None)), ValueError, r"keypoints need visible \(B, N\) bool"),
        (lambda b: CutMix(num_classes=4)(b.replace(boxes=torch.rand(6, 2, 8))), ValueError, r"boxes must be upright"),
        (
            lambda b: CutMix(num_classes=4)(b.replace(label=torch.rand(6, 3))),
            ValueError,
            r"num_classes=4\), got \(6, 3\)",
        ),
        (lambda b: CutMix(num_classes=4)(b.replace(label=torch.ones(6, 4).long())), TypeError, r"label.float\(\)"),
        (lambda b: CutMix()(Batch(label=b.label)), TypeError, "expected a batch with an image"),
        (lambda b: SwitchMix()(b.replace(label=b.weight, mask=None)), ValueError, "soft labels to be smoothed must be"),
        (lambda b: LabelSmoothing()(b.replace(label=None)), TypeError, "expected a batch with a label"),
        (lambda b: CopyPaste()(b.replace(boxes=None, box_labels=None)), TypeError, "boxes or bool masks of instances"),
        (lambda b: CopyPaste()(b.replace(mask=torch.ones(6, 2, 32, 36).bool())), ValueError, "one plane per box"),
        (lambda b: DetectionMixUp()(Batch(image=b.image)), TypeError, "expected a batch with boxes.*use MixUp"),
        (
            lambda b: RandomTransplantation(4, p=1.0)(Batch(image=b.image)),
            TypeError,
            "mask of class numbers .* got none",
        ),
        (lambda b: RandomJigsaw(p=1.0)(b), TypeError, "boxes would fall to pieces"),
        (lambda b: Mosaic(32, fill=(0.1, 0.2))(b.replace(label=None)), ValueError, "fill has 2 numbers, the image 3"),
        (lambda b: MixUp(alpha=0), ValueError, "alpha must be a number above 0, got 0"),
        (lambda b: SwitchMix(0, 0), ValueError, "mixup_alpha or cutmix_alpha must be above 0"),
        (lambda b: SwitchMix(mode="each"), ValueError, "mode must be 'elem', 'pair' or 'batch', got 'each'"),
        (lambda b: SwitchMix(prob=1.5), ValueError, r"prob must be a number in \[0, 1\]"),
        (lambda b: CutMix(min_area=-1), ValueError, "min_area must be a number of at least 0"),
        (lambda b: CutMix(num_classes=0), ValueError, "num_classes must be a whole number of at least 1"),
        (lambda b: Mosaic(32, center_range=(0.8, 0.2)), ValueError, r"center_range must be a number in \[0, 1\]"),
        (lambda b: RandomTransplantation(3, [3]), ValueError, "excluded_labels must be class numbers below 3"),
        (lambda b: RandomJigsaw((1, 1)), ValueError, "one order alone"),
    ],
)
def test_bad_input_says_who_expected_got(call: Callable[[Batch], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(labelled("cutmix"))


@pytest.mark.parametrize("channels", [1, 2, 7])
@every(tuple(name for name in MAKERS if name != "smoothing"))
def test_any_number_of_channels_and_one_pixel_images(name: str, channels: int) -> None:
    for shape in ((5, 7), (1, 1)):
        image = torch.rand(3, channels, *shape)
        mask = torch.ones(3, 1, *shape, dtype=torch.int64)
        boxes = torch.tensor([[[0.0, 0, 1, 1]]]).repeat(3, 1, 1) if name not in ("jigsaw",) else None
        batch = Batch(image=image, boxes=boxes, mask=mask if name not in BLENDS else None)
        assert torch.isfinite(MAKERS[name]()(batch).image).all()


def test_ties_of_the_first_numbers_are_broken_by_the_second() -> None:
    u = torch.tensor([[0.5, 0.3], [0.5, 0.1], [0.5, 0.2]])
    assert mix.ranked(u).tolist() == [1, 2, 0]
    assert mix.behind(mix.ranked(u), 1).tolist() == [2, 0, 1]


def test_a_planted_error_in_a_box_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's own check: boxes that are not shrunk to what is seen do not pass as traced."""
    traced = test_every_pixel_box_point_and_label_is_traced_to_its_source.hypothesis.inner_test
    traced("cutmix", seed=0, height=32, width=36)
    monkeypatch.setattr(mix_labels, "visible_boxes", lambda boxes, seen: (boxes, torch.ones(boxes.shape[:2])))
    with pytest.raises(AssertionError):
        traced("cutmix", seed=0, height=32, width=36)


@every()
def test_a_transform_is_made_again_from_its_attributes(name: str) -> None:
    transform = MAKERS[name]()
    arguments = {key: getattr(transform, key) for key in inspect.signature(type(transform)).parameters}
    assert_same(type(transform)(**arguments)(labelled(name)), transform(labelled(name)))


@pytest.mark.parametrize(
    ("name", "transform"),
    [
        ("mixup", MixUp(0.01, CLASSES)),
        ("mixup", MixUp(1000.0, CLASSES)),
        ("cutmix", CutMix(0.01, CLASSES, min_area=0, min_visibility=0)),
        ("cutmix", CutMix(1000.0, CLASSES, min_visibility=1)),
        ("switch", SwitchMix(label_smoothing=1.0, num_classes=CLASSES)),
        ("patches", PatchMix((100, 1), 0.01, CLASSES)),
        ("mosaic", Mosaic((1, 90), (0.0, 0.0), num_classes=CLASSES, p=1.0)),
        ("mosaic", Mosaic((90, 1), (1.0, 1.0), num_classes=CLASSES, p=1.0)),
        ("jigsaw", RandomJigsaw((100, 100), p=1.0)),
        ("transplantation", RandomTransplantation(4, [0, 1, 2, 3], p=1.0)),
    ],
)
def test_extreme_arguments_give_numbers(name: str, transform: Transform) -> None:
    for batch in (labelled(name), as_float(labelled(name))):
        for field, value in transform(batch).present().items():
            assert torch.isfinite(value).all(), field


@pytest.mark.parametrize("transform", [Mosaic(32), RandomJigsaw((2, 2))])
def test_what_moves_pixels_about_cannot_be_inverted(transform: Transform) -> None:
    batch, chain = Batch(image=images(4)), Compose([transform])
    with pytest.raises(ValueError, match="cannot be taken back; leave it out"):
        chain.inverse(batch, chain.draw(batch))
