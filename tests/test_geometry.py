"""Symmetries, pads, sizes, label-guided crops and perspective: labels, laws of the parameters, and limits."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, index, arg-type, list-item, type-arg, operator, no-any-return, call-arg, call-overload"
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conformance_geometry import scene
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf
from zoo import images
from zoo_geometry import ZOO

from torchaug import Batch, Compose, Transform
from torchaug import image as T
from torchaug.image import Geometric
from torchaug.image.crops import AtLeastOneBBoxRandomCrop, BBoxSafeRandomCrop, CropNonEmptyMaskIfExists, RandomIoUCrop
from torchaug.image.pads import CropOrPad, Pad, PadIfNeeded, RandomZoomOut
from torchaug.image.perspective import RandomPerspective, RandomShear, RandomTranslate, SafeRotate, ShiftScaleRotate
from torchaug.image.sizes import LongestMaxSize, RandomResize, RandomShortestSize, ScaleJitter, SmallestMaxSize
from torchaug.image.symmetry import RandomD4, RandomRotation90, RandomTranspose
from torchaug.image.views import FiveCrop, TenCrop
from torchaug.keys import sample_keys
from torchaug.transform import Sizes

GUIDED = {name: t for name, t in ZOO.items() if isinstance(t, Geometric) and t.guided}
SYMMETRIES = [RandomTranspose(p=1.0), RandomRotation90(p=1.0), RandomD4()]


def numbers(transform: Transform, count: int, canvas: tuple[int, int], seed: int = 0) -> dict[str, Tensor]:
    """Drawn parameters of many samples."""
    u = torch.rand(count, transform.uniforms, generator=torch.Generator().manual_seed(seed))
    return transform.drawn(u, Sizes.of(canvas, None, u))


def parts(crop: Geometric, batch: Batch, seed: int = 0) -> Tensor:
    """The parts that a guided crop finds: top, left, height, width, (B, 4)."""
    u = torch.rand(len(batch), crop.uniforms, generator=torch.Generator().manual_seed(seed))
    chosen = torch.ones(len(batch), dtype=torch.bool)
    return crop.guide(batch, u, chosen, Sizes.of((32, 36), batch.size, u))


def many(batch: Batch, count: int) -> Batch:
    """The first sample of a batch again and again."""
    return batch[torch.zeros(count, dtype=torch.int64)].replace(key=sample_keys(torch.arange(count)))


def theirs(transform: v2.Transform, inputs: list, count: int) -> list[dict]:
    """Parameters that torchvision draws."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [transform.make_params(inputs) for _ in range(count)]


def assert_same_law(ours: Tensor, reference: list[float], name: str) -> None:
    test = stats.ks_2samp(ours.numpy(), reference)
    assert test.pvalue > 1e-3, name


@pytest.mark.parametrize("symmetry", SYMMETRIES, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("canvas", [(7, 7), (5, 9)])
def test_keypoints_and_boxes_name_the_same_pixels_after_a_symmetry(
    symmetry: Transform, canvas: tuple[int, int]
) -> None:
    height, width = canvas
    image = torch.arange(float(height * width)).view(1, 1, height, width).expand(16, -1, -1, -1) + 1
    x, y = (t.flatten() for t in torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"))
    points = torch.stack([x, y], 1).float().expand(16, -1, -1)
    boxes = torch.cat([points, points + 1], -1)
    moved = symmetry(Batch(image=image, keypoints=points, boxes=boxes, key=sample_keys(torch.arange(16))))
    for i in range(16):
        at = moved.keypoints[i].long()
        assert torch.equal(moved.image[i, 0, at[:, 1], at[:, 0]], image[i, 0, y, x])
        assert torch.equal(moved.boxes[i], torch.cat([moved.keypoints[i], moved.keypoints[i] + 1], -1))


def test_turned_images_that_are_not_square_say_their_sizes() -> None:
    turn = RandomRotation90(times=(0, 1), p=1.0)
    batch = Batch(image=torch.ones(32, 1, 4, 6), key=sample_keys(torch.arange(32)))
    out = turn(batch)
    assert out.image.shape[-2:] == (6, 6)
    assert {tuple(size) for size in out.size.tolist()} == {(4.0, 6.0), (6.0, 4.0)}
    assert (out.image.sum((1, 2, 3)) == 24).all()
    assert turn.eval()(batch).image.shape[-2:] == (4, 6)


def test_samples_that_are_not_chosen_keep_their_size_among_turned_ones() -> None:
    batch = Batch(image=torch.ones(32, 1, 4, 6), key=sample_keys(torch.arange(32)))
    turn = RandomTranspose(p=0.5)
    out, params = turn(batch), turn.draw(batch)
    for i in range(32):
        (record,) = turn.describe(params, i)
        assert out.size[i].tolist() == ([6, 4] if record["applied"] else [4, 6])
    assert (out.image.sum((1, 2, 3)) == 24).all()


def test_every_symmetry_is_as_likely_as_the_others() -> None:
    drawn = numbers(RandomD4(), 4000, (8, 8))
    which = drawn["swap"] * 4 + drawn["flip_x"] * 2 + drawn["flip_y"]
    assert stats.chisquare(torch.bincount(which.long(), minlength=8).numpy()).pvalue > 1e-3
    times = numbers(RandomRotation90(times=(1, 3, -2)), 3000, (8, 8))["times"]
    assert stats.chisquare(torch.bincount(times, minlength=4)[1:].numpy()).pvalue > 1e-3
    assert (times != 0).all()


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge"])
def test_a_pad_wider_than_the_image_repeats_it_as_numpy_does(mode: str) -> None:
    image = images(2, 5, 4)
    out = Pad((11, 23), padding_mode=mode)(image)
    expected = np.pad(image.numpy(), [(0, 0), (0, 0), (23, 23), (11, 11)], mode=mode)
    assert np.array_equal(out.numpy(), expected)


def test_pads_of_images_of_different_sizes_are_those_of_each_alone() -> None:
    batch = Batch.from_images([images(1, 9, 5)[0], images(1, 6, 11)[0]])
    for pad in (Pad((1, 2, 3, 4), padding_mode="edge"), PadIfNeeded(8, None, pad_width_divisor=4)):
        out = pad(batch)
        for i, (height, width) in enumerate([(9, 5), (6, 11)]):
            alone = pad(batch.image[i : i + 1, :, :height, :width])
            assert out.size[i].tolist() == list(alone.shape[-2:])
            assert torch.equal(out.image[i, :, : alone.shape[-2], : alone.shape[-1]], alone[0])


@pytest.mark.parametrize(
    ("position", "padding"),
    [
        ("center", [2, 3, 3, 4]),
        ("top_left", [0, 0, 5, 7]),
        ("top_right", [5, 0, 0, 7]),
        ("bottom_left", [0, 7, 5, 0]),
        ("bottom_right", [5, 7, 0, 0]),
    ],
)
def test_the_position_says_where_a_padded_image_lies(position: str, padding: list[int]) -> None:
    pad = PadIfNeeded(40, 41, position=position, fill=0.2)
    assert torch.equal(pad(images(2, 33, 36)), tvf.pad(images(2, 33, 36), padding, fill=51))


@pytest.mark.parametrize(
    ("ours", "peer"),
    [
        (RandomShortestSize([19, 28, 40], max_size=44), v2.RandomShortestSize([19, 28, 40], max_size=44)),
        (RandomShortestSize(21), v2.RandomShortestSize(21)),
        (ScaleJitter((34, 30)), v2.ScaleJitter((34, 30))),
    ],
    ids=["shortest", "one_shortest", "jitter"],
)
def test_sizes_follow_torchvisions_law(ours: Transform, peer: v2.Transform) -> None:
    drawn = numbers(ours, 2000, (47, 60))
    sizes = [p["size"] for p in theirs(peer, [torch.empty(3, 47, 60)], 2000)]
    assert_same_law(drawn["height"], [h for h, _ in sizes], "height")
    assert_same_law(drawn["width"], [w for _, w in sizes], "width")


def test_random_resizes_take_every_length_but_the_last() -> None:
    drawn = numbers(RandomResize(5, 9), 2000, (20, 30))
    assert stats.chisquare(torch.bincount(drawn["height"].long())[5:].numpy()).pvalue > 1e-3
    assert set(drawn["height"].tolist()) == {5.0, 6.0, 7.0, 8.0}
    assert torch.equal(drawn["width"], (drawn["height"] * 1.5).floor())


@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_no_size_exceeds_its_canvas_or_falls_below_a_pixel(height: int, width: int, seed: int) -> None:
    canvas = height, width
    for t in (
        RandomShortestSize([3, 50], max_size=70),
        RandomResize(1, 60),
        ScaleJitter((40, 30)),
        RandomZoomOut(side_range=(1, 2.3)),
        LongestMaxSize(17),
        SmallestMaxSize(5),
    ):
        u = torch.rand(16, t.uniforms, generator=torch.Generator().manual_seed(seed))
        u = torch.cat([u, torch.full_like(u[:1], 1 - 2.0**-24), torch.zeros_like(u[:1])])
        sizes = t.sizes(u, torch.ones(18, dtype=torch.bool), Sizes.of(canvas, None, u))
        assert sizes.canvas == t.canvas_after(canvas)
        for own, most in ((sizes.height, sizes.canvas[0]), (sizes.width, sizes.canvas[1])):
            assert (own >= 1).all()
            assert (own <= most).all()
            assert torch.equal(own, own.round())


def test_longest_and_smallest_sides_are_albumentations() -> None:
    assert LongestMaxSize(31)(images(1, 25, 50)).shape[-2:] == (16, 31)  # 15.5: ties to even
    assert LongestMaxSize(5)(images(1, 1, 50)).shape[-2:] == (1, 5)
    assert SmallestMaxSize(10)(images(1, 20, 41)).shape[-2:] == (10, 20)


def test_boxes_are_resized_with_each_image() -> None:
    batch = scene(6, torch.device("cpu")).replace(boxes=torch.tensor([[[0.0, 0.0, 36.0, 32.0]]]).expand(6, -1, -1))
    for t in (RandomShortestSize([19, 28, 40]), ScaleJitter((40, 30)), RandomResize(10, 40)):
        out = t(batch)
        expected = torch.cat([torch.zeros(6, 2), out.size.flip(1)], 1)
        torch.testing.assert_close(out.boxes[:, 0], expected)


def test_scale_jitter_takes_images_of_any_sizes_and_the_others_say_that_they_do_not() -> None:
    batch = Batch.from_images([images(1, 10, 40)[0], images(1, 30, 12)[0]])
    fitted = ScaleJitter((20, 20), scale_range=(1, 1))(batch)
    assert fitted.size.tolist() == [[5, 20], [20, 8]]
    for t in (LongestMaxSize(20), SmallestMaxSize(20), RandomShortestSize(20), RandomResize(10, 20)):
        with pytest.raises(ValueError, match=f"{type(t).__name__}: images of different sizes"):
            t(batch)


def test_evaluation_takes_the_middle_of_random_sizes() -> None:
    for t, size in (
        (RandomShortestSize([19, 28, 40]), [40, 45]),
        (RandomResize(10, 30), [20, 22]),
        (ScaleJitter((24, 16)), [16, 18]),
        (ScaleJitter((24, 16), (1.5, 2)), [24, 27]),
    ):
        assert Compose([t]).eval()(Batch(image=images(2))).size.tolist() == [size, size]


def test_zoomed_out_canvases_follow_torchvisions_law() -> None:
    drawn = numbers(RandomZoomOut(), 2000, (40, 50))
    paddings = [p["padding"] for p in theirs(v2.RandomZoomOut(p=1.0), [torch.empty(3, 40, 50)], 2000)]
    assert_same_law(drawn["left"], [p[0] for p in paddings], "left")
    assert_same_law(drawn["top"], [p[1] for p in paddings], "top")
    assert_same_law(drawn["width"], [p[0] + p[2] + 50 for p in paddings], "width")
    assert_same_law(drawn["height"], [p[1] + p[3] + 40 for p in paddings], "height")
    places = torch.stack([drawn["top"] / (drawn["height"] - 39), drawn["left"] / (drawn["width"] - 49)])
    assert abs(torch.corrcoef(places)[0, 1]) < 0.1


@pytest.mark.parametrize("size", [(8, 9), (32, 36), (31, 5)])
def test_five_and_ten_crops_equal_torchvisions(size: tuple[int, int]) -> None:
    for ours, peer in (
        (FiveCrop(size), tvf.five_crop(images(), size)),
        (TenCrop(size), tvf.ten_crop(images(), size)),
        (TenCrop(size, vertical_flip=True), tvf.ten_crop(images(), size, vertical_flip=True)),
    ):
        crops = ours(images())
        assert len(crops) == len(peer)
        assert all(torch.equal(a, b) for a, b in zip(crops, peer, strict=True))
    with pytest.raises(ValueError, match="FiveCrop: image must be at least 40 x 40, got 32 x 36"):
        FiveCrop(40)(images())


BOXES = torch.tensor([[4.0, 5.0, 20.0, 21.0], [22.0, 10.0, 34.0, 30.0]])


def test_iou_crops_follow_torchvisions_law() -> None:
    options = [0.0, 0.3, 0.5, 1.0]
    batch = many(scene(1, torch.device("cpu")).replace(boxes=BOXES[None]), 1200)
    ours = parts(RandomIoUCrop(sampler_options=options), batch)
    boxes = tv_tensors.BoundingBoxes(BOXES, format="XYXY", canvas_size=(32, 36))
    drawn = theirs(v2.RandomIoUCrop(sampler_options=options), [torch.empty(3, 32, 36), boxes], 1200)
    whole = {"top": 0, "left": 0, "height": 32, "width": 36}
    for i, name in enumerate(whole):
        assert_same_law(ours[:, i], [(p or whole)[name] for p in drawn], name)


@given(seed=st.integers(0, 10_000), least=st.sampled_from([0.0, 0.1, 0.3, 0.5]))
@settings(max_examples=25, deadline=None)
def test_an_iou_crop_holds_a_centre_and_overlaps_its_box(seed: int, least: float) -> None:
    batch = scene(8, torch.device("cpu"))
    crop = RandomIoUCrop(sampler_options=[least])
    found = parts(crop, batch, seed)
    for (top, left, height, width), boxes in zip(found.tolist(), batch.boxes.tolist(), strict=True):
        if (height, width) == (32, 36):
            continue  # none of the trials met the option
        assert 0.5 <= width / height <= 2
        overlaps = []
        for x0, y0, x1, y1 in boxes:
            if left < (x0 + x1) / 2 < left + width and top < (y0 + y1) / 2 < top + height:
                both = (min(x1, left + width) - max(x0, left)) * (min(y1, top + height) - max(y0, top))
                overlaps.append(both / (height * width + (x1 - x0) * (y1 - y0) - both))
        assert max(overlaps) >= least - 1e-6


def test_boxes_outside_an_iou_crop_become_none() -> None:
    batch = scene(16, torch.device("cpu")).replace(box_labels=torch.tensor([[1, 2]]).expand(16, -1))
    crop = RandomIoUCrop(sampler_options=[0.0], max_scale=0.6)
    out = crop(batch)
    (u,) = crop.draw(batch).u[None, :, 1:]
    found = crop.guide(batch, u, torch.ones(16, dtype=torch.bool), Sizes.of((32, 36), None, u))
    for i, (top, left, height, width) in enumerate(found.tolist()):
        for j, (x0, y0, x1, y1) in enumerate(batch.boxes[i].tolist()):
            if left < (x0 + x1) / 2 < left + width and top < (y0 + y1) / 2 < top + height:
                cut = [max(x0 - left, 0), max(y0 - top, 0), min(x1 - left, width), min(y1 - top, height)]
                assert (out.boxes[i, j].tolist(), int(out.box_labels[i, j])) == (cut, j + 1)
            else:
                assert (out.boxes[i, j].tolist(), int(out.box_labels[i, j])) == ([0, 0, 0, 0], -1)
    assert (out.box_labels == -1).any()
    assert (out.box_labels > 0).any()


@pytest.mark.parametrize("crop", [RandomIoUCrop(), BBoxSafeRandomCrop(), AtLeastOneBBoxRandomCrop(20, 24)])
def test_crops_by_boxes_take_images_without_any(crop: Transform) -> None:
    batch = scene(4, torch.device("cpu"))
    for boxes in (torch.zeros(4, 0, 4), torch.zeros(4, 3, 4)):
        out = crop(batch.replace(boxes=boxes))
        assert out.boxes.shape == boxes.shape
        assert (out.boxes == 0).all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_no_box_is_lost_by_a_safe_crop(seed: int) -> None:
    batch = scene(8, torch.device("cpu"))
    batch = batch.replace(boxes=torch.cat([batch.boxes + 0.3, torch.zeros(8, 1, 4)], 1))
    out = BBoxSafeRandomCrop()(batch.replace(key=sample_keys(torch.arange(8), seed=seed)))
    before, after = (b[..., 2:] - b[..., :2] for b in (batch.boxes, out.boxes))
    torch.testing.assert_close(after, before)


def test_a_safe_crop_without_boxes_keeps_the_proportions() -> None:
    batch = many(scene(1, torch.device("cpu")).replace(boxes=torch.zeros(1, 2, 4)), 500)
    top, left, height, width = parts(BBoxSafeRandomCrop(erosion_rate=0.5), batch).unbind(1)
    assert set(height.tolist()) == set(map(float, range(16, 33)))
    assert torch.equal(width, (height * 36 / 32).floor())
    assert (top + height <= 32).all()
    assert (left + width <= 36).all()


@given(seed=st.integers(0, 10_000), eroded=st.sampled_from([0.0, 0.4]))
@settings(max_examples=25, deadline=None)
def test_a_crop_of_fixed_size_holds_at_least_one_box(seed: int, eroded: float) -> None:
    batch = scene(8, torch.device("cpu"))
    crop = AtLeastOneBBoxRandomCrop(20, 24, erosion_factor=eroded)
    out = crop(batch.replace(key=sample_keys(torch.arange(8), seed=seed)))
    assert out.image.shape[-2:] == (20, 24)
    kept = (out.boxes[..., 2:] - out.boxes[..., :2]) / (batch.boxes[..., 2:] - batch.boxes[..., :2])
    assert (kept.amin(-1).amax(-1) >= 1 - eroded - 1e-5).all()


def test_every_box_is_picked_as_often_as_the_others() -> None:
    corners = torch.tensor([[0.0, 0, 4, 4], [32, 0, 36, 4], [0, 28, 4, 32], [0, 0, 0, 0]])
    batch = many(scene(1, torch.device("cpu")).replace(boxes=corners[None]), 3000)
    out = AtLeastOneBBoxRandomCrop(6, 6)(batch)
    held = ((out.boxes[..., 2:] - out.boxes[..., :2]).amin(-1) == 4).sum(0)[:3]
    assert held.sum() == 3000
    assert stats.chisquare(held.numpy()).pvalue > 1e-3


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_crop_by_the_mask_shows_some_of_it(seed: int) -> None:
    batch = scene(8, torch.device("cpu")).replace(key=sample_keys(torch.arange(8), seed=seed))
    assert (CropNonEmptyMaskIfExists(3, 2)(batch).mask.sum((1, 2, 3)) == 1).all()


def test_ignored_classes_and_planes_of_a_mask_do_not_count() -> None:
    mask = torch.zeros(1, 2, 32, 36, dtype=torch.int64)
    mask[0, 0, 2, 3], mask[0, 0, 30, 4], mask[0, 1, 5, 33] = 1, 2, 1
    batch = many(scene(1, torch.device("cpu")).replace(mask=mask), 300)
    shown = {
        "all": CropNonEmptyMaskIfExists(3, 3)(batch).mask.amax((2, 3)),
        "value": CropNonEmptyMaskIfExists(3, 3, ignore_values=[2])(batch).mask.amax((2, 3)),
        "plane": CropNonEmptyMaskIfExists(3, 3, ignore_channels=[0])(batch).mask.amax((2, 3)),
    }
    assert {tuple(row) for row in shown["all"].tolist()} == {(1, 0), (2, 0), (0, 1)}
    assert {tuple(row) for row in shown["value"].tolist()} == {(1, 0), (0, 1)}
    assert {tuple(row) for row in shown["plane"].tolist()} == {(0, 1)}


def test_a_crop_by_an_empty_mask_is_uniform() -> None:
    batch = many(scene(1, torch.device("cpu")).replace(mask=torch.zeros(1, 1, 32, 36)), 2000)
    found = parts(CropNonEmptyMaskIfExists(29, 30), batch)
    for column, places in ((0, 4), (1, 7)):
        counts = torch.bincount(found[:, column].long())
        assert len(counts) == places
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("name", GUIDED)
def test_guided_crops_take_images_of_different_sizes(name: str) -> None:
    """As each alone, with boxes and masks that lie on its own pixels."""
    crop, whole = GUIDED[name], scene(2, torch.device("cpu"))
    sizes = torch.tensor([[32, 36], [27, 29]])
    mask = whole.mask.clone()
    mask[1, :, 27:], mask[1, :, :, 29:] = 3, 3  # what lies in the padding has no influence
    ragged = whole.replace(size=sizes, mask=mask, boxes=whole.boxes.clamp(max=27))
    out = crop(ragged)
    alone = crop(ragged[1:].replace(size=None, image=whole.image[1:, :, :27, :29], mask=ragged.mask[1:, :, :27, :29]))
    height, width = alone.image.shape[-2:] if alone.size is None else map(int, alone.size[0])
    assert torch.equal(out.image[1, :, :height, :width], alone.image[0, :, :height, :width])
    assert torch.equal(out.boxes[1], alone.boxes[0])


@pytest.mark.parametrize("name", GUIDED)
def test_guided_crops_are_differentiable_and_move_keypoints(name: str) -> None:
    batch = scene(4, torch.device("cpu"))
    image = (batch.image.double() / 255).requires_grad_()
    ys, xs = torch.meshgrid(torch.arange(32.0), torch.arange(36.0), indexing="ij")
    points = torch.stack([xs, ys], -1).view(1, -1, 2).expand(4, -1, -1)
    out = GUIDED[name](batch.replace(image=image, keypoints=points))
    height, width = out.image.shape[-2:]
    for i in range(4):
        x, y = out.keypoints[i].long().unbind(-1)
        shown = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        seen = out.image[i, :, y[shown], x[shown]]
        own = image[i].flatten(1)[:, shown]
        assert ((seen == own) | (seen == 0)).all()
        assert (seen == own).any()
    (gradient,) = torch.autograd.grad(out.image.square().sum(), image, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), image)
    assert second.abs().sum() > 0


@pytest.mark.parametrize("name", GUIDED)
def test_guided_crops_ask_for_their_labels_and_refuse_to_be_inverted(name: str) -> None:
    chain = Compose([GUIDED[name]])
    with pytest.raises(TypeError, match=r"expected a batch with (boxes|a mask), got \['image'\]"):
        chain(Batch(image=images()))
    batch = scene(4, torch.device("cpu"))
    with pytest.raises(ValueError, match="looked at labels that are not known any more"):
        chain.inverse(chain(batch), chain.draw(batch))


def test_crops_larger_than_the_image_are_errors() -> None:
    with pytest.raises(ValueError, match="AtLeastOneBBoxRandomCrop: image must be at least 40 x 20, got 32 x 36"):
        AtLeastOneBBoxRandomCrop(40, 20)(scene(2, torch.device("cpu")))
    with pytest.raises(ValueError, match="CropNonEmptyMaskIfExists: image must be at least"):
        CropNonEmptyMaskIfExists(20, 40)(scene(2, torch.device("cpu")))


@pytest.mark.parametrize("canvas", [(32, 36), (33, 17)])
@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0])
def test_corners_follow_torchvisions_law(canvas: tuple[int, int], scale: float) -> None:
    """The peer keeps only coefficients: we draw the corners by its documented rule in plain Python."""
    ends = numbers(RandomPerspective(scale), 2000, canvas)["endpoints"]
    generator = np.random.default_rng(0)
    for axis, side in ((0, canvas[1]), (1, canvas[0])):
        bound = int(scale * (side // 2)) + 1
        near, far = generator.integers(0, bound, 2000), generator.integers(side - bound, side, 2000)
        for corner in range(4):
            away = corner in ((1, 2) if axis == 0 else (2, 3))
            assert_same_law(ends[:, corner, axis], (far if away else near).tolist(), f"corner {corner} axis {axis}")


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.2, 0.5, 0.8]))
@settings(max_examples=30, deadline=None)
def test_points_move_in_perspective_as_torchvisions(seed: int, scale: float) -> None:
    transform = RandomPerspective(scale, p=1.0)
    u = torch.rand(1, 8, generator=torch.Generator().manual_seed(seed))
    size = Sizes.of((32, 36), None, u)
    points = torch.tensor([[[1.0, 2.0], [30.0, 20.0], [17.5, 9.25], [35.0, 31.0]]])
    # torchvision moves indices of pixels by a map between edges: half a pixel apart
    moved = transform.transform(Batch(image=images(1), keypoints=points - 0.5), u, torch.ones(1, dtype=torch.bool))
    ends = transform.drawn(u, size)["endpoints"][0].int().tolist()
    expected = tvf.perspective_keypoints(points[0], (32, 36), [[0, 0], [35, 0], [35, 31], [0, 31]], ends)
    torch.testing.assert_close(moved.keypoints[0] + 0.5, expected, atol=1e-3, rtol=1e-4)


def test_corners_on_a_line_leave_the_image_as_it_is() -> None:
    """With a distortion of 1 on an even side the near corner may pass the far one; three on a line have no map."""
    transform = RandomPerspective(1.0, p=1.0)
    top = torch.tensor([[1 - 2.0**-24, 0.0, 1 - 2.0**-24, 0.0, 1 - 2.0**-24, 0.0, 1 - 2.0**-24, 0.0]])
    out = transform.transform(Batch(image=images(1, 31, 31)), top, torch.ones(1, dtype=torch.bool))
    assert torch.equal(out.image, images(1, 31, 31))


def test_safe_rotation_keeps_the_corners_in_view() -> None:
    corners = torch.tensor([[[-0.5, -0.5], [35.5, -0.5], [35.5, 31.5], [-0.5, 31.5]]]).expand(32, -1, -1)
    batch = Batch(image=images(32), keypoints=corners, key=sample_keys(torch.arange(32)))
    moved = SafeRotate(180, p=1.0)(batch).keypoints
    assert (moved > -0.51).all()
    assert (moved < torch.tensor([35.51, 31.51])).all()
    touched = torch.stack([moved.amin(1), torch.tensor([35.0, 31.0]) - moved.amax(1)])
    torch.testing.assert_close(touched, torch.full_like(touched, -0.5), atol=1e-3, rtol=0)


EXTREMES = {
    "perspective": RandomPerspective(1.0, p=1.0),
    "shear": RandomShear(89.9),
    "translate": RandomTranslate((1.0, 1.0)),
    "shrunk": ShiftScaleRotate(5.0, (-0.999, 30), 720, p=1.0),
    "safe": SafeRotate((-1000, 1000), p=1.0),
    "jitter": ScaleJitter((3, 2), (0.001, 3)),
    "zoom": RandomZoomOut(side_range=(1, 9), p=1.0),
    "pad": Pad(50, padding_mode="reflect"),
    "crop": CropOrPad((1, 3), padding_mode="reflect"),
}


@pytest.mark.parametrize("name", EXTREMES)
@given(height=st.integers(1, 9), width=st.integers(1, 9), channels=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_extreme_geometry_gives_no_nan(name: str, height: int, width: int, channels: int, seed: int) -> None:
    image = torch.rand(3, channels, height, width, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    points = torch.rand(3, 2, 2)
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(3, 1, 4)
    keys = sample_keys(torch.arange(3), seed=seed)
    for pixels in (image, image.detach()):
        out = EXTREMES[name](Batch(image=pixels, keypoints=points, boxes=boxes, key=keys))
        for value in (out.image, out.keypoints, out.boxes):
            assert torch.isfinite(value).all()
        assert out.image.min() >= -1e-5
        assert out.image.max() <= 1 + 1e-5
        assert math.prod(out.image.shape) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomRotation90(times=[]), "times must be whole numbers"),
        (lambda: RandomRotation90(times=[0.5]), "times must be whole numbers"),
        (lambda: Pad(-1), "padding must be one, two or four whole numbers"),
        (lambda: Pad(1, padding_mode="wrap"), "padding_mode must be"),
        (lambda: PadIfNeeded(10, 10, pad_height_divisor=2), "one of min_height and pad_height_divisor"),
        (lambda: PadIfNeeded(10, None), "one of min_width and pad_width_divisor"),
        (
            lambda: PadIfNeeded(position="middle"),
            "position must be 'center', 'top_left', 'top_right', 'bottom_left' or 'bottom_right'",
        ),
        (
            lambda: RandomZoomOut(side_range=(0.5, 2)),
            "side_range must be a number of at least 1, or two in rising order",
        ),
        (lambda: LongestMaxSize(0), "max_size must be a whole number of at least 1, got 0"),
        (lambda: RandomShortestSize([]), "min_size must be one whole number of at least 1, or several"),
        (lambda: RandomResize(20, 20), "max_size must be above min_size"),
        (lambda: ScaleJitter((20, 0)), "target_size must be"),
        (lambda: ScaleJitter((20, 20), (2, 1)), "scale_range must be two numbers in rising order"),
        (lambda: RandomIoUCrop(max_scale=1.5), "scales must be two numbers"),
        (lambda: RandomIoUCrop(sampler_options=[]), "sampler_options must be overlaps"),
        (lambda: BBoxSafeRandomCrop(1.5), r"erosion_rate must be a number in \[0, 1\]"),
        (lambda: AtLeastOneBBoxRandomCrop(0, 3), "height and width must be"),
        (lambda: RandomShear(90), "shear must be between -90 and 90 degrees, got 90"),
        (lambda: RandomShear((1, 2, 3)), "one, two or four numbers"),
        (lambda: RandomTranslate((0.1, 1.1)), r"translate must be a number in \[0, 1\], or two \(x, y\)"),
        (lambda: ShiftScaleRotate(scale_limit=1), "scale_limit must be above -1, got 1"),
        (lambda: RandomPerspective(1.1), r"distortion_scale must be a number in \[0, 1\]"),
        (lambda: SafeRotate(p=2), "p must be a chance"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "crop", [T.CenterCrop((32, 36)), T.RandomCrop((32, 36)), T.Resize((32, 36)), T.CenterCrop((32, 20))]
)
@pytest.mark.parametrize("count", [1, 3])
def test_what_comes_out_of_a_crop_has_memory_of_its_own(crop: T.Geometric, count: int) -> None:
    image = images(count, 32, 36)[:, :1].contiguous()
    before = image.clone()
    crop(image).fill_(7)
    assert torch.equal(image, before)


def test_all_samples_alike_or_each_its_way_is_the_same_to_the_last_bit() -> None:
    """Where all samples move alike they are moved by one call."""
    image = images(3, 32, 36)
    for alike in (T.RandomHorizontalFlip(p=1.0), T.CenterCrop(20), T.Resize(24), T.CenterCrop(50)):
        together = alike(image)
        assert torch.equal(together, torch.cat([alike(one[None]) for one in image]))
