"""The calling convention: what goes in comes out in the same structure, and bad input is named."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, index, arg-type, list-item, type-arg, operator, no-any-return"
from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf
from zoo import images

from torchaug import Batch, Compose
from torchaug import image as T
from torchaug.packing import pack

FLIP = T.RandomHorizontalFlip(p=1.0)
Pair = namedtuple("Pair", ["picture", "target"])


def test_tensors_single_and_batched() -> None:
    batch = images(3)
    assert torch.equal(FLIP(batch), batch.flip(-1))
    assert torch.equal(FLIP(batch[0]), batch[0].flip(-1))


def test_several_inputs_come_back_as_a_tuple_and_strangers_pass_through() -> None:
    image, name = images(2), "scan"
    flipped, label, same = FLIP(image, torch.tensor([3, 4]), name)
    assert torch.equal(flipped, image.flip(-1))
    assert label.tolist() == [3, 4]
    assert same is name


def test_dicts_and_named_tuples_keep_their_form() -> None:
    image, mask = images(2), torch.arange(2 * 32 * 36).view(2, 32, 36)
    out = FLIP({"image": image, "mask": mask, "label": torch.tensor([1, 2]), "path": ["a", "b"], "n": 7})
    assert torch.equal(out["image"], image.flip(-1))
    assert torch.equal(out["mask"], mask.flip(-1))
    assert (out["path"], out["n"]) == (["a", "b"], 7)
    pair = FLIP(Pair(image, {"boxes": torch.tensor([[[1.0, 2, 5, 6]], [[0, 0, 36, 32]]])}))
    assert isinstance(pair, Pair)
    assert pair.target["boxes"].tolist() == [[[31, 2, 35, 6]], [[0, 0, 36, 32]]]


@pytest.mark.parametrize("label", [torch.tensor([3, 4]), torch.rand(2, 5), torch.rand(2)])
def test_what_follows_images_in_a_tuple_is_their_label(label: torch.Tensor) -> None:
    assert torch.equal(pack((images(2), label, label), "test")[0].label, label)
    assert torch.equal(pack(([images(2), label],), "test")[0].label, label)
    assert pack((images(2), "name", label), "test")[0].label is None
    assert pack((images(1)[0], label), "test")[0].label is None
    assert pack((images(3), label), "test")[0].label is None
    batch, unpack = pack((images(2), label), "test")
    assert torch.equal(unpack(batch.replace(label=label + 1))[1], label + 1)


def test_labels_in_a_dict_are_those_of_boxes_where_there_is_one_for_each() -> None:
    image, boxes = images(2), torch.rand(2, 3, 4)
    of_boxes, of_images = torch.ones(2, 3, dtype=torch.int64), torch.tensor([1, 2])
    batch, unpack = pack((image, {"boxes": boxes, "labels": of_boxes}), "test")
    assert torch.equal(batch.box_labels, of_boxes)
    assert batch.label is None
    assert unpack(batch.replace(box_labels=of_boxes + 1))[1]["labels"].tolist() == [[2] * 3] * 2
    assert torch.equal(pack((image, {"boxes": boxes, "labels": of_images}), "test")[0].label, of_images)
    assert torch.equal(pack(({"image": image, "labels": of_images},), "test")[0].label, of_images)
    single = tv_tensors.BoundingBoxes([[2, 3, 10, 4]], format="XYXY", canvas_size=(32, 36), dtype=torch.float32)
    batch, unpack = pack((image[0], {"boxes": single, "labels": torch.tensor([7])}), "test")
    assert batch.box_labels.tolist() == [[7]]
    assert unpack(batch)[1]["labels"].tolist() == [7]


def test_a_label_named_so_wins_over_what_follows_the_images() -> None:
    image, label, other = images(2), torch.tensor([1, 2]), torch.tensor([5, 6])
    batch, unpack = pack((tv_tensors.Image(image), other, {"label": label}), "test")
    assert torch.equal(batch.label, label)
    assert unpack(batch)[1] is other


def test_tv_tensors_keep_their_types_and_formats() -> None:
    boxes = tv_tensors.BoundingBoxes([[2, 3, 10, 4]], format="XYWH", canvas_size=(32, 36), dtype=torch.float32)
    sample = {
        "a": tv_tensors.Image(images(1)[0]),
        "b": tv_tensors.Mask(torch.ones(32, 36, dtype=torch.uint8)),
        "c": boxes,
        "d": tv_tensors.KeyPoints([[1.0, 2.0]], canvas_size=(32, 36)),
    }
    out = Compose([FLIP, T.Resize((64, 36))])(sample)
    assert [type(v).__name__ for v in out.values()] == ["Image", "Mask", "BoundingBoxes", "KeyPoints"]
    assert out["c"].format == tv_tensors.BoundingBoxFormat.XYWH
    assert out["c"].canvas_size == (64, 36)
    assert out["c"].tolist() == [[24, 6, 10, 8]]
    assert out["b"].shape == (64, 36)
    assert out["d"].tolist() == [[34, 4.5]]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pil_images_come_back_as_pil(mode: str) -> None:
    image = Image.fromarray(images(1)[0].permute(1, 2, 0).numpy()).convert(mode)
    out = FLIP(image)
    assert isinstance(out, Image.Image)
    assert out.mode == mode
    assert np.array_equal(np.asarray(out), np.asarray(image)[:, ::-1])
    assert isinstance(T.Normalize([0.5], [0.5])(image), torch.Tensor)


def test_a_list_of_images_of_different_sizes_comes_back_as_one() -> None:
    big, small = images(1, 36, 40)[0], images(1, 20, 24)[0]
    out = FLIP([big, small])
    assert torch.equal(out[0], big.flip(-1))
    assert torch.equal(out[1], small.flip(-1))
    crops = T.RandomResizedCrop(16)([big, small])
    assert [c.shape for c in crops] == [(3, 16, 16)] * 2


def test_a_transform_serves_as_a_data_sets_transform() -> None:
    augment = Compose([T.RandomResizedCrop(16), T.ToDtype(torch.float32)])
    out = augment(Image.fromarray(np.zeros((40, 30, 3), np.uint8)))
    assert out.shape == (3, 16, 16)
    assert out.dtype == torch.float32


def test_a_batch_keeps_its_other_fields() -> None:
    batch = Batch(image=images(2), label=torch.tensor([1, 2]), weight=torch.ones(2), index=torch.tensor([8, 9]))
    out = T.RandomResizedCrop(8)(batch)
    assert out.index is batch.index
    assert out.label is batch.label


def test_batches_slice_move_and_pin() -> None:
    batch = Batch(image=images(4), label=torch.arange(4))
    assert batch[1:3].label.tolist() == [1, 2]
    assert batch[torch.tensor([3, 0])].label.tolist() == [3, 0]
    assert batch.to("meta").image.device.type == "meta"
    assert len(batch) == 4


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ("text", TypeError, "expected an image among the inputs .* got str"),
        (torch.rand(4, 5), TypeError, r"expected an image .* got a tensor \(4, 5\)"),
        (
            {"image": torch.rand(2, 2, 3, 4, 5)},
            ValueError,
            r"image must be \(B, C, H, W\) or one \(C, H, W\), got \(2, 2, 3, 4, 5\)",
        ),
        (
            torch.zeros(1, 3, 4, 5, dtype=torch.int64),
            TypeError,
            "image must be uint8 or floating point .* got torch.int64",
        ),
        ({"label": torch.tensor([1])}, TypeError, "got .*label|expected a batch with an image"),
        (
            {"image": torch.rand(2, 3, 8, 8), "mask": torch.ones(3, 8, 8)},
            ValueError,
            "same number of samples .* got mask",
        ),
        (
            {"image": torch.rand(2, 3, 8, 8), "mask": torch.ones(2, 9, 8)},
            ValueError,
            "mask must be .* with the image's H and W",
        ),
        ({"image": torch.rand(2, 3, 8, 8), "boxes": torch.ones(2, 5, 3)}, ValueError, r"boxes must be \(B, N, 4\)"),
        (
            {"image": torch.rand(2, 3, 8, 8), "keypoints": torch.ones(2, 5)},
            ValueError,
            r"keypoints must be \(B, N, 2\)",
        ),
        (
            [torch.rand(3, 8, 8), torch.rand(1, 8, 8)],
            ValueError,
            r"images must be \(C, H, W\) of one dtype and channel",
        ),
        (Image.new("RGBA", (4, 4)), ValueError, "mode L or RGB, got RGBA"),
        (Batch(), ValueError, "expected at least one field, got none"),
    ],
)
def test_bad_input_says_who_expected_got(inputs: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FLIP(inputs)


def test_two_images_of_one_sample_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one image a sample, got two"):
        FLIP(tv_tensors.Image(images(1)[0]), tv_tensors.Image(images(1)[0]))


def test_images_of_other_sizes_than_they_came_in_lose_their_padding() -> None:
    turn = T.RandomRotation((30, 30), expand=True)
    images = [torch.rand(3, 20, 30), torch.rand(3, 20, 10)]
    expected = [tvf.rotate(image, 30, expand=True).shape for image in images]
    assert [image.shape for image in turn(images)] == expected
    assert turn(images[1]).shape == expected[1]
    batched = turn(Batch(image=torch.stack([images[0], images[0]])))
    assert batched.size.tolist() == [[34, 36], [34, 36]]
