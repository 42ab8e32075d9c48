"""Boxes in every format, clamped and sanitised; keypoints that change sides; and what survives an augmentation."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, index, arg-type, no-any-return"
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conformance_labels import ROUNDED
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import tv_tensors
from torchvision.transforms import v2

from torchaug import Batch, Compose, Lambda, OneOf, RandomApply, SomeOf, Transform
from torchaug import image as T
from torchaug.boxes import clamp_boxes, clockwise, convert_boxes, rectangle, sides
from torchaug.image.labels import ClampBoundingBoxes, ClampKeyPoints, SanitizeBoundingBoxes, SanitizeKeyPoints
from torchaug.image.survival import label_survival
from torchaug.keys import sample_keys

FORMATS = ("XYXY", "XYWH", "CXCYWH"), ("XYWHR", "CXCYWHR", "XYXYXYXY")
HEIGHT, WIDTH = 24, 30
EVERY: list[Transform] = [
    ClampBoundingBoxes(),
    ClampBoundingBoxes("hard"),
    ClampKeyPoints(),
    SanitizeBoundingBoxes(compact=True, instance_masks=True),
    SanitizeKeyPoints(),
]


def rotated(seed: int, count: int = 1, spread: float = 1.2) -> Tensor:
    """Corners (count, 8) of rotated boxes about the canvas, float64."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.tensor([WIDTH / 2, HEIGHT / 2], dtype=torch.float64)
    drawn = torch.rand(count, 5, generator=generator, dtype=torch.float64)
    centre = middle + (drawn[:, :2] - 0.5) * spread * 2 * middle
    return convert_boxes(
        torch.cat([centre, 1 + 12 * drawn[:, 2:4], 360 * drawn[:, 4:] - 180], 1), "CXCYWHR", "XYXYXYXY"
    )


def labelled() -> Batch:
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(3, 4, 2, generator=generator) * 40 - 6
    return Batch(
        image=torch.rand(3, 3, HEIGHT, WIDTH, generator=generator),
        mask=torch.randint(0, 5, (3, 4, HEIGHT, WIDTH), generator=generator),
        boxes=torch.cat([corners, corners + 9 * torch.rand(3, 4, 2, generator=generator)], -1),
        box_labels=torch.arange(12).view(3, 4),
        keypoints=torch.rand(3, 5, 2, generator=generator) * 40 - 6,
        key=sample_keys(torch.arange(3)),
    )


# formats


@given(seed=st.integers(0, 2**31), kind=st.sampled_from([0, 1]), data=st.data())
@settings(max_examples=50, deadline=None)
def test_every_format_comes_back_from_every_other(seed: int, kind: int, data: st.DataObject) -> None:
    old, new = (data.draw(st.sampled_from(FORMATS[kind])) for _ in range(2))
    corners = rotated(seed, 20)
    boxes = convert_boxes(corners, "XYXYXYXY", old) if kind else convert_boxes(corners[:, :4].abs(), "XYWH", old)
    back = convert_boxes(convert_boxes(boxes, old, new), new, old)
    torch.testing.assert_close(back, boxes, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("boxes", "old", "new", "message"),
    [
        (torch.zeros(2, 4), "XYXY", "XYYX", "format must be one of XYXY, .* got 'XYYX'"),
        (torch.zeros(2, 5), "XYXY", "XYWH", r"XYXY boxes must be \(..., 4\), got \(2, 5\)"),
        (torch.zeros(2, 4), "XYXY", "XYWHR", "between upright and rotated boxes, got XYXY to XYWHR"),
        (torch.zeros(2, 5, dtype=torch.int64), "XYWHR", "CXCYWHR", "must be floating point, got torch.int64"),
    ],
)
def test_impossible_conversions_say_why(boxes: Tensor, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert_boxes(boxes, old, new)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_a_rectangle_holds_its_parallelogram_and_is_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shear = torch.eye(2, dtype=torch.float64) + 0.8 * (torch.rand(2, 2, generator=generator, dtype=torch.float64) - 0.5)
    sheared = clockwise((rotated(seed, 20).unflatten(-1, (4, 2)) @ shear.mT).flatten(-2))
    found = rectangle(sheared)
    a, b, c, d = found.split(2, -1)
    torch.testing.assert_close(a + c, b + d, rtol=0, atol=1e-9)
    assert ((b - a) * (d - a)).sum(-1).abs().max() < 1e-9
    torch.testing.assert_close(a + c, sheared[:, :2] + sheared[:, 4:6], rtol=0, atol=1e-9)
    s, t = own_coordinates(found, sheared.unflatten(-1, (4, 2)))
    for share in (s, t):
        torch.testing.assert_close(share.amin(1), torch.zeros(20, dtype=torch.float64), rtol=0, atol=1e-9)
        torch.testing.assert_close(share.amax(1), torch.ones(20, dtype=torch.float64), rtol=0, atol=1e-9)


def own_coordinates(boxes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Points (N, P, 2) along the sides of boxes (N, 8), from their first corners: (N, P) each."""
    origin, second, _, fourth = boxes.split(2, -1)
    frame = torch.stack([second - origin, fourth - origin], -1)
    s, t = torch.linalg.solve(frame, (points - origin[:, None]).mT).unbind(1)
    return s, t


def test_a_mirrored_box_is_read_clockwise_again() -> None:
    corners = rotated(3, 30)
    mirrored = corners.clone()
    mirrored[:, 0::2] *= -1
    assert torch.equal(clockwise(corners), corners)
    assert torch.equal(clockwise(mirrored), mirrored[:, [2, 3, 0, 1, 6, 7, 4, 5]])


def test_batches_take_upright_boxes_and_corners_alone() -> None:
    Batch(image=torch.zeros(1, 3, 8, 8), boxes=torch.zeros(1, 2, 8)).check("here")
    with pytest.raises(ValueError, match=r"boxes must be \(B, N, 4\) or \(B, N, 8\), got \(1, 2, 5\)"):
        Batch(image=torch.zeros(1, 3, 8, 8), boxes=torch.zeros(1, 2, 5)).check("here")


@pytest.mark.parametrize("name", FORMATS[0] + FORMATS[1])
def test_tv_tensors_that_nothing_moved_are_the_callers_own(name: str) -> None:
    plain = rotated(1, 3).float() if name == "XYXYXYXY" else torch.rand(3, 5)[:, : 4 + (name in FORMATS[1])]
    boxes = tv_tensors.BoundingBoxes(plain, format=name, canvas_size=(8, 8))
    assert T.ColorJitter(0.4)({"image": torch.rand(3, 8, 8), "boxes": boxes})["boxes"] is boxes


def test_rotated_tv_tensors_keep_their_clamping_mode_and_are_clamped_by_it() -> None:
    for mode in ("soft", "hard", None):
        boxes = tv_tensors.BoundingBoxes(
            torch.tensor([[6.0, 4.0, 8.0, 4.0, 30.0]]), format="CXCYWHR", canvas_size=(8, 8), clamping_mode=mode
        )
        out = T.RandomHorizontalFlip(p=1.0)({"image": torch.rand(3, 8, 8), "boxes": boxes})["boxes"]
        assert out.clamping_mode == mode
        corners = convert_boxes(out.as_subclass(Tensor), "CXCYWHR", "XYXYXYXY")
        area = math.prod(float(side) for side in sides(corners))
        assert (area < 32 - 1) == (mode is not None)
        assert bool(((corners > -1e-4) & (corners < 8 + 1e-4)).all()) == (mode == "hard")


@pytest.mark.parametrize("old", FORMATS[0] + FORMATS[1])
@pytest.mark.parametrize("new", FORMATS[0] + FORMATS[1])
def test_conversions_of_tv_tensors_are_torchvisions(old: str, new: str) -> None:
    sample = {"image": torch.rand(3, HEIGHT, WIDTH), "boxes": boxes_in(old), "n": 3}
    if (old in FORMATS[0]) != (new in FORMATS[0]):
        with pytest.raises(ValueError, match=rf"boxes must be \w+ to become {new} \(ConvertBoundingBoxFormat\), got"):
            T.ConvertBoundingBoxFormat(new)(sample)
        return
    for ours in (
        T.ConvertBoundingBoxFormat(new),
        Compose([T.ConvertBoundingBoxFormat(old), T.ConvertBoundingBoxFormat(new)]),
    ):
        theirs = v2.ConvertBoundingBoxFormat(new)(sample)["boxes"]
        same_boxes(ours(sample)["boxes"], theirs, ROUNDED if new in FORMATS[0] else 1e-4)


def boxes_in(name: str, mode: str | None = "soft") -> tv_tensors.BoundingBoxes:
    corners = rotated(1, 7).float()
    plain = (
        convert_boxes(corners, "XYXYXYXY", name)
        if name in FORMATS[1]
        else convert_boxes(torch.cat([corners[:, :2], corners[:, :2] + 1 + corners[:, 2:4].abs()], 1), "XYXY", name)
    )
    return tv_tensors.BoundingBoxes(plain, format=name, canvas_size=(HEIGHT, WIDTH), clamping_mode=mode)


def same_boxes(ours: tv_tensors.BoundingBoxes, theirs: tv_tensors.BoundingBoxes, atol: float = 0) -> None:
    assert type(ours) is type(theirs)
    assert (ours.format, ours.canvas_size, ours.clamping_mode) == (
        theirs.format,
        theirs.canvas_size,
        theirs.clamping_mode,
    )
    torch.testing.assert_close(ours.as_subclass(Tensor), theirs.as_subclass(Tensor), rtol=0, atol=atol)


def test_a_format_and_a_mode_may_be_torchvisions_own() -> None:
    for name in ("cxcywh", tv_tensors.BoundingBoxFormat.CXCYWH):
        assert T.ConvertBoundingBoxFormat(name).format == "CXCYWH"
    for wrong in ("XYYX", None, 4):
        with pytest.raises(ValueError, match=r"ConvertBoundingBoxFormat: format must be 'XYXY', .* got"):
            T.ConvertBoundingBoxFormat(wrong)
    with pytest.raises(ValueError, match="SetClampingMode: clamping_mode must be 'soft', 'hard' or None, got 'auto'"):
        T.SetClampingMode("auto")


@pytest.mark.parametrize("name", FORMATS[0])
def test_moved_boxes_come_out_in_the_last_format_that_was_asked_for(name: str) -> None:
    sample = {"image": torch.rand(3, HEIGHT, WIDTH), "boxes": boxes_in("XYWH")}
    steps = [T.ConvertBoundingBoxFormat("XYXY"), T.RandomHorizontalFlip(p=1.0), T.ConvertBoundingBoxFormat(name)]
    theirs = [v2.ConvertBoundingBoxFormat("XYXY"), v2.RandomHorizontalFlip(p=1.0), v2.ConvertBoundingBoxFormat(name)]
    unclamped = Compose([T.SetClampingMode(None), *steps])(sample)["boxes"]  # torchvision's flip clamps nothing
    unclamped.clamping_mode = "soft"
    same_boxes(unclamped, v2.Compose(theirs)(sample)["boxes"], 1e-5)
    assert Compose([Compose(steps), T.Normalize([0.5], [0.5])])(sample)["boxes"].format.value == name


def test_plain_boxes_come_out_in_the_format_and_a_batch_keeps_its_own() -> None:
    image, boxes = torch.rand(2, 3, 8, 8), torch.tensor([[[1.0, 2, 5, 8]]]).repeat(2, 1, 1)
    convert = Compose([T.RandomHorizontalFlip(p=1.0), T.ConvertBoundingBoxFormat("CXCYWH")])
    assert convert({"image": image, "boxes": boxes})["boxes"][0].tolist() == [[5.0, 5.0, 4.0, 6.0]]
    assert T.ConvertBoundingBoxFormat("CXCYWH")({"image": image, "boxes": boxes})["boxes"][0].tolist() == [
        [3.0, 5, 4, 6]
    ]
    assert convert(Batch(image=image, boxes=boxes)).boxes[0].tolist() == [[3.0, 2, 7, 8]]
    corners = torch.tensor([[[1.0, 2, 5, 2, 5, 8, 1, 8]]]).repeat(2, 1, 1)
    turned = T.ConvertBoundingBoxFormat("XYWHR")({"image": image, "boxes": corners})["boxes"]
    torch.testing.assert_close(turned[0], torch.tensor([[1.0, 2, 4, 6, 0]]))


@pytest.mark.parametrize("mode", ["soft", "hard", None])
@pytest.mark.parametrize("name", FORMATS[0] + FORMATS[1])
def test_a_clamping_mode_is_set_as_torchvision_sets_it(mode: str | None, name: str) -> None:
    sample = {"image": torch.rand(3, HEIGHT, WIDTH), "boxes": boxes_in(name, "soft" if mode != "soft" else None)}
    same_boxes(T.SetClampingMode(mode)(sample)["boxes"], v2.SetClampingMode(mode)(sample)["boxes"])
    assert sample["boxes"].clamping_mode != mode


@pytest.mark.parametrize("mode", ["soft", "hard", None])
@pytest.mark.parametrize("name", FORMATS[0])
def test_upright_boxes_are_clamped_by_the_mode_as_torchvision_clamps_them(mode: str | None, name: str) -> None:
    sample = {"image": torch.rand(3, HEIGHT, WIDTH), "boxes": boxes_in(name)}
    ours = Compose([T.SetClampingMode(mode), T.CenterCrop((12, 10))])(sample)["boxes"]
    theirs = v2.Compose([v2.SetClampingMode(mode), v2.CenterCrop((12, 10))])(sample)["boxes"]
    same_boxes(ours, theirs, 1e-5)


def test_a_mode_holds_for_the_steps_after_it_alone() -> None:
    batch = Batch(image=torch.rand(1, 3, 8, 8), boxes=torch.tensor([[[-3.0, 2, 5, 9]]]))
    flip = T.RandomHorizontalFlip(p=1.0)
    free, clamped = T.SetClampingMode(None), [3.0, 2.0, 8.0, 8.0]
    assert Compose([free, flip])(batch).boxes[0, 0].tolist() == [3.0, 2.0, 11.0, 9.0]
    assert Compose([flip, free])(batch).boxes[0, 0].tolist() == clamped
    assert Compose([Compose([free]), flip])(batch).boxes[0, 0].tolist() == [3.0, 2.0, 11.0, 9.0]
    assert Compose([free, flip, T.SetClampingMode("soft"), flip, flip])(batch).boxes[0, 0].tolist() == clamped
    chain = Compose([free, flip])
    back = chain.inverse(chain(batch), chain.draw(batch))
    assert torch.equal(back.boxes, batch.boxes)  # nothing was cut off


@pytest.mark.parametrize("step", [T.SetClampingMode(None), T.ConvertBoundingBoxFormat("XYWH")], ids=repr)
def test_no_chance_decides_on_the_form_of_boxes(step: Transform) -> None:
    for container in (RandomApply([step]), SomeOf([step, step], 1), Compose([OneOf([Compose([step])])])):
        with pytest.raises(ValueError, match=r"\w+: steps that set the form of boxes must stand in a Compose"):
            container({"image": torch.rand(3, 8, 8), "boxes": torch.rand(2, 4)})


# clamping


@given(seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_softly_clamped_box_is_the_smallest_around_what_lies_within(seed: int) -> None:
    """The reference: 400 x 400 points of the box, those within the image, and how far they reach along its sides."""
    box = rotated(seed)
    at = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    s, t = (grid.flatten() for grid in torch.meshgrid(at, at, indexing="ij"))
    origin, second, _, fourth = box[0].split(2)
    points = origin + s[:, None] * (second - origin) + t[:, None] * (fourth - origin)
    within = ((points >= 0) & (points <= torch.tensor([WIDTH, HEIGHT]))).all(1)
    clamped = clamp_boxes(box, HEIGHT, WIDTH, "soft")
    if not within.any():
        assert math.prod(float(side) for side in sides(clamped[0])) <= 0.06  # a sliver between the points
        return
    ours = own_coordinates(box, clamped.unflatten(-1, (4, 2)))
    for share, mine in zip((s[within], t[within]), ours, strict=True):
        assert -0.05 < share.min() - mine.min() < 0.05
        assert mine.min() <= share.min() + 1e-3
        assert mine.max() >= share.max() - 1e-3
        assert mine.max() <= share.max() + 0.05


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_hard_clamped_box_lies_within_the_box_and_the_image(seed: int) -> None:
    boxes = rotated(seed, 20)
    clamped = clamp_boxes(boxes, HEIGHT, WIDTH, "hard")
    there = (clamped != 0).any(1)
    x, y = clamped[there, 0::2], clamped[there, 1::2]
    assert ((x >= -2e-3) & (x <= WIDTH + 2e-3) & (y >= -2e-3) & (y <= HEIGHT + 2e-3)).all()
    for share in own_coordinates(boxes[there], clamped[there].unflatten(-1, (4, 2))):
        assert ((share > -1e-6) & (share < 1 + 1e-6)).all()


def test_a_box_cut_at_one_side_keeps_as_much_area_as_any_within() -> None:
    """The reference tries 2000 ways to share the cut between width and height."""
    boxes = rotated(11, 400, spread=0.8)
    x, y = boxes[:, 0::2], boxes[:, 1::2]
    left = (x.amin(1) < 0) & (x.amax(1) < WIDTH) & (y.amin(1) > 0) & (y.amax(1) < HEIGHT) & (x.amax(1) > 0.5)
    assert left.sum() > 5
    clamped = clamp_boxes(boxes[left], HEIGHT, WIDTH, "hard")
    for box, mine in zip(boxes[left], clamped, strict=True):
        (wide,), (tall,) = (side.view(1) for side in sides(box))
        reach = (box[2] - box[0]).abs() + (box[6] - box[0]).abs() + x.new_tensor(0.0)
        lean = float((box[2] - box[0]).abs()), float((box[6] - box[0]).abs())
        lacks = -float(box[0::2].min())
        best = 0.0
        for off_wide in np.linspace(0, 1, 2000):
            off_tall = max(0.0, (lacks - off_wide * lean[0]) / max(lean[1], 1e-9))
            if off_tall <= 1:
                best = max(best, (1 - off_wide) * (1 - off_tall))
        assert reach > 0
        assert math.prod(float(side) for side in sides(mine)) >= best * float(wide * tall) - 1e-2


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_boxes_within_stay_bit_equal_and_those_outside_become_zeros(mode: str) -> None:
    within = convert_boxes(torch.tensor([[14.0, 12.0, 8.0, 5.0, 33.0]]), "CXCYWHR", "XYXYXYXY")
    outside = within - 100
    clamped = clamp_boxes(torch.cat([within, outside]), HEIGHT, WIDTH, mode)
    assert torch.equal(clamped[0], within[0])
    assert not clamped[1].any()
    assert clamp_boxes(outside, HEIGHT, WIDTH, None) is outside


def test_each_image_of_a_padded_batch_clamps_to_its_own_size() -> None:
    batch = Batch.from_images([torch.zeros(3, 10, 20), torch.zeros(3, 16, 12)])
    full = torch.tensor([[[-5.0, -5.0, 50.0, 50.0]]]).repeat(2, 1, 1)
    out = ClampBoundingBoxes()(batch.replace(boxes=full, keypoints=full[..., 2:]))
    assert out.boxes.tolist() == [[[0, 0, 20, 10]], [[0, 0, 12, 16]]]
    assert ClampKeyPoints()(out).keypoints.tolist() == [[[19, 9]], [[11, 15]]]
    turned = ClampBoundingBoxes("hard")(batch.replace(boxes=rotated(5, 8).float().expand(2, 8, 8)))
    x, y = turned.boxes[..., 0::2].amax((1, 2)), turned.boxes[..., 1::2].amax((1, 2))
    assert (x <= torch.tensor([20.01, 12.01])).all()
    assert (y <= torch.tensor([10.01, 16.01])).all()


# dropping


def test_dropped_boxes_leave_zeros_and_take_their_classes_and_masks_with_them() -> None:
    boxes = torch.tensor([[[1.0, 1, 5, 5], [2, 2, 2.5, 9], [-1, 0, 4, 4], [3, 3, 8, 9]]])
    planes = torch.arange(1, 5).view(1, 4, 1, 1).expand(1, 4, 12, 12)
    batch = Batch(image=torch.zeros(1, 3, 12, 12), boxes=boxes, box_labels=torch.tensor([[5, 6, 7, 8]]), mask=planes)
    out = SanitizeBoundingBoxes()(batch)
    assert out.boxes[0].any(1).tolist() == [True, False, False, True]
    assert out.box_labels.tolist() == [[5, -1, -1, 8]]
    assert out.mask is planes
    out = SanitizeBoundingBoxes(compact=True, instance_masks=True)(batch)
    assert torch.equal(out.boxes[0, :2], boxes[0, [0, 3]])
    assert out.box_labels.tolist() == [[5, 8, -1, -1]]
    assert out.mask[0, :, 0, 0].tolist() == [1, 4, 0, 0]


def test_dropped_keypoints_are_no_longer_visible() -> None:
    points = torch.tensor([[[0.0, 0.0], [7.5, 3.0], [8.0, 3.0], [2.0, -0.1]]])
    batch = Batch(image=torch.zeros(1, 3, 8, 8), keypoints=points, visible=torch.tensor([[False, True, True, True]]))
    out = SanitizeKeyPoints()(batch)
    assert out.visible.tolist() == [[False, True, False, False]]
    assert out.keypoints.tolist() == [[[0, 0], [7.5, 3], [0, 0], [0, 0]]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SanitizeBoundingBoxes(min_size=0.5), "min_size must be a number of at least 1"),
        (lambda: SanitizeBoundingBoxes(min_area=math.nan), "min_area must be a number of at least 1"),
        (lambda: ClampBoundingBoxes("firm"), "clamping_mode must be 'soft', 'hard' or None, got 'firm'"),
        (lambda: clamp_boxes(torch.zeros(1, 4), 8, 8, "auto"), "mode must be 'soft', 'hard' or None, got 'auto'"),
        (
            lambda: SanitizeBoundingBoxes(instance_masks=True)(labelled().replace(mask=labelled().mask[:, :1])),
            "a plane for each of the 4 boxes, got 1",
        ),
    ],
)
def test_wrong_arguments_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("transform", EVERY, ids=repr)
def test_labels_without_a_canvas_are_an_error_and_no_labels_are_none(transform: Transform) -> None:
    bare = Batch(image=torch.zeros(2, 3, 8, 8))
    assert transform(bare) is bare
    waves = Batch(waveform=torch.zeros(3, 1, 8), boxes=torch.zeros(3, 1, 4), keypoints=torch.zeros(3, 1, 2))
    with pytest.raises(TypeError, match=r"expected a batch with an image or a mask, got .*boxes"):
        transform(waves)


@pytest.mark.parametrize("transform", EVERY, ids=repr)
@pytest.mark.parametrize("corners", [False, True])
def test_nothing_waits_and_the_graph_is_whole(transform: Transform, corners: bool) -> None:
    batch = labelled()
    if corners:
        batch = batch.replace(boxes=rotated(4, 12).float().view(3, 4, 8))
    params = transform.draw(batch)
    torch._dynamo.reset()
    compiled = torch.compile(transform.play, fullgraph=True, backend="eager")(batch, params)
    for name, value in transform.play(batch, params).present().items():
        torch.testing.assert_close(compiled.present()[name], value)
    with FakeTensorMode():
        transform(batch.map(lambda value: torch.empty(value.shape, dtype=value.dtype, device="cuda")))


@pytest.mark.parametrize("transform", EVERY, ids=repr)
def test_each_sample_stands_alone_and_the_input_stays(transform: Transform) -> None:
    batch, copy = labelled(), labelled()
    together = transform(batch)
    for i in range(3):
        for name, value in transform(batch[i : i + 1]).present().items():
            assert torch.equal(together.present()[name][i : i + 1], value), name
    for name, value in copy.present().items():
        assert torch.equal(batch.present()[name], value), name
    assert len(transform(batch[:0])) == 0


# sides


def test_a_flip_exchanges_left_and_right_of_the_chosen_samples_alone() -> None:
    points = torch.tensor([[[1.0, 2.0], [6.0, 5.0], [3.0, 3.0]]]).repeat(2, 1, 1)
    visible = torch.tensor([[True, False, True]]).repeat(2, 1)
    batch = Batch(image=torch.zeros(2, 3, 8, 8), keypoints=points, visible=visible)
    flip = T.RandomHorizontalFlip(keypoint_swap=[1, 0, 2])
    u = torch.zeros(2, 0)
    out = flip.apply(batch, u, torch.tensor([True, False]))
    assert out.keypoints[0].tolist() == [[1, 5], [6, 2], [4, 3]]
    assert out.visible.tolist() == [[False, True, True], [True, False, True]]
    assert torch.equal(out.keypoints[1], points[1])
    again = flip.apply(out, u, torch.tensor([True, False]))
    assert torch.equal(again.keypoints, points)
    assert torch.equal(again.visible, visible)


def test_two_flips_that_fold_exchange_twice() -> None:
    points = torch.rand(2, 4, 2) * 7
    twice = Compose([T.RandomHorizontalFlip(1.0, keypoint_swap=[3, 2, 1, 0])] * 2)
    out = twice(Batch(image=torch.zeros(2, 3, 8, 8), keypoints=points))
    torch.testing.assert_close(out.keypoints, points)


def test_a_swap_of_another_length_than_the_keypoints_is_an_error() -> None:
    flip = T.RandomHorizontalFlip(1.0, keypoint_swap=[1, 0])
    with pytest.raises(ValueError, match="keypoint_swap has 2 places, the batch 3 keypoints"):
        flip(Batch(image=torch.zeros(1, 3, 8, 8), keypoints=torch.zeros(1, 3, 2)))
    with pytest.raises(ValueError, match="keypoint_swap"):
        T.RandomHorizontalFlip(keypoint_swap=[0, 0])


# survival


def test_a_crop_loses_what_it_cuts_off() -> None:
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.int64)
    mask[..., :4, :] = 3
    mask[..., 4:8, :8] = 9
    batch = Batch(
        image=torch.full((1, 3, 16, 16), 0.5),
        mask=mask,
        boxes=torch.tensor([[[0.0, 0, 8, 8], [0, 0, 4, 4], [4, 4, 8, 8], [0, 0, 0, 0]]]),
        keypoints=torch.tensor([[[5.0, 5.0], [1.0, 1.0], [11.0, 4.0], [2.0, 2.0]]]),
        visible=torch.tensor([[True, True, True, False]]),
    )
    crop = T.CenterCrop(8)
    found = label_survival(crop, crop.draw(batch), batch)
    assert found.image_kept.tolist() == [0.25]
    assert (found.boxes_before.tolist(), found.boxes_lost.tolist()) == ([3], [1])
    assert found.box_area_kept[0, :3].tolist() == [0.25, 0, 1]
    assert found.box_area_kept[0, 3].isnan()
    assert found.classes.tolist() == [3, 9]
    assert found.mask_area_kept.tolist() == [[0, 0.5]]
    assert (found.keypoints_before.tolist(), found.keypoints_out.tolist()) == ([3], [1])
    assert found.clipped.tolist() == [0]
    assert found.summary().splitlines() == [
        "image: 25.0 % kept on average, at least 25.0 % (sample 0)",
        "boxes: 1 of 3 lost; area 41.7 % kept on average, at least 0.0 % (sample 0)",
        "mask class 3: area 0.0 % kept on average, at least 0.0 % (sample 0)",
        "mask class 9: area 50.0 % kept on average, at least 50.0 % (sample 0)",
        "keypoints: 1 of 3 out of frame",
        "pixels: 0.0 % clipped on average",
    ]


def test_flips_and_resizes_lose_nothing() -> None:
    batch = labelled()
    within = ClampBoundingBoxes()(ClampKeyPoints()(batch))
    chain = Compose([T.RandomHorizontalFlip(p=1.0), T.Resize((11, 50)), T.RandomVerticalFlip(p=1.0)])
    found = label_survival(chain, chain.draw(within), within)
    assert found.image_kept.tolist() == [1, 1, 1]
    assert not found.boxes_lost.any()
    assert torch.nan_to_num(found.box_area_kept, nan=1.0).eq(1).all()
    assert torch.nan_to_num(found.mask_area_kept, nan=1.0).eq(1).all()
    assert not found.keypoints_out.any()


def test_the_share_of_a_rotated_box_is_its_own_and_not_that_of_the_box_around_it() -> None:
    """A diamond whose upper right quarter leaves the image when that is shifted up; the box around it loses more."""
    diamond = torch.tensor([[[8.0, 0.0, 16.0, 8.0, 8.0, 16.0, 0.0, 8.0]]])
    batch = Batch(image=torch.zeros(1, 1, 16, 16), boxes=diamond)
    crop = T.RandomCrop((8, 16))
    params = crop.draw(batch)
    found = label_survival(crop, params, batch)
    (record,) = crop.describe(params, 0)
    top = record["top"]
    lost = top**2 / 128 + (8 - top) ** 2 / 128  # of the area 128, a triangle above and one below
    assert float(found.box_area_kept) == pytest.approx(1 - lost, abs=0.06)


def test_brightness_clips_and_a_normalised_image_has_no_ends() -> None:
    image = torch.linspace(0.1, 0.9, 64).view(1, 1, 8, 8)
    batch = Batch(image=torch.cat([image, image * 0.5]))
    bright = T.ColorJitter(brightness=(1.5, 1.5))
    found = label_survival(bright, bright.draw(batch), batch)
    assert found.clipped.tolist() == pytest.approx([float((image >= 1 / 1.5).float().mean()), 0])
    whole = Batch(image=(torch.cat([image, image * 0.5]) * 255).round().to(torch.uint8))
    assert label_survival(bright, bright.draw(whole), whole).clipped[0] > 0.2
    chain = Compose([bright, T.Normalize([0.5], [0.1])])
    assert label_survival(chain, chain.draw(batch), batch).clipped is None
    turn = T.RandomRotation((45, 45))  # its black corners are no clipped pixels
    assert not label_survival(turn, turn.draw(batch), batch).clipped.any()


def test_padding_counts_neither_before_nor_after() -> None:
    batch = Batch.from_images([torch.zeros(1, 8, 8), torch.zeros(1, 4, 8)])
    batch = batch.replace(mask=torch.ones(2, 1, 8, 8, dtype=torch.int64))
    flip = T.RandomHorizontalFlip(p=1.0)
    found = label_survival(flip, flip.draw(batch), batch)
    assert found.image_kept.tolist() == [1, 1]
    assert found.mask_area_kept.tolist() == [[1], [1]]
    crop = T.CenterCrop((4, 4))
    assert label_survival(crop, crop.draw(batch), batch).image_kept.tolist() == [0.25, 0.5]
    wider = T.CenterCrop((8, 8))  # shows two rows of the second image's padding
    assert label_survival(wider, wider.draw(batch), batch).image_kept.tolist() == [1, 1]


def test_a_sample_without_a_class_has_no_share_of_it() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, 0, 2:6, 2:6] = 0.7
    crop = T.CenterCrop(4)
    batch = Batch(mask=mask)
    found = label_survival(crop, crop.draw(batch), batch)
    assert (found.classes.tolist(), found.mask_area_kept[0].tolist()) == ([1], [1])
    assert found.mask_area_kept[1].isnan().all()
    assert found.clipped is None
    empty = Batch(mask=torch.zeros(2, 1, 8, 8, dtype=torch.int64), boxes=torch.zeros(2, 1, 4))
    assert "boxes: 0 of 0 lost; area none to keep" in label_survival(crop, crop.draw(empty), empty).summary()


def test_survival_needs_a_canvas_and_known_geometry() -> None:
    crop = T.CenterCrop(4)
    waves = Batch(waveform=torch.zeros(2, 1, 8))
    with pytest.raises(TypeError, match=r"expected a batch with an image or a mask, got .*waveform"):
        label_survival(crop, crop.draw(waves), waves)
    foreign = Compose([Lambda(lambda batch: batch)])
    batch = Batch(image=torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match="Lambda may move pixels in ways unknown"):
        label_survival(foreign, foreign.draw(batch), batch)


def test_a_dropped_box_weighs_nothing_and_weights_move_with_their_boxes() -> None:
    weights = torch.arange(1.0, 13).view(3, 4)
    for transform in (SanitizeBoundingBoxes(2.0, compact=True), T.RandomIoUCrop(sampler_options=[0.0])):
        out = transform(labelled().replace(box_weights=weights))
        gone = out.box_labels < 0
        assert gone.any()
        assert not gone.all()
        assert torch.equal(out.box_weights, torch.where(gone, 0, out.box_labels + 1.0))
