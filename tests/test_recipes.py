"""Recipes have the numbers that their sources publish, and run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo import images

from torchaug import Batch, recipes
from torchaug import image as T
from torchaug.image.labels import SanitizeBoundingBoxes
from torchaug.keys import sample_keys
from torchaug.recipes import Views
from torchaug.serial import from_dict, to_dict
from torchaug.signature import constructor_arguments
from torchaug.transform import Layer

COMPOSES = {
    "simclr": recipes.simclr(24),
    "moco_v2": recipes.moco_v2(24),
    "mae": recipes.mae(24),
    "deit": recipes.deit(24, num_classes=7),
    "three_augment": recipes.three_augment(24),
    "three_augment_simple": recipes.three_augment(24, simple_crop=True),
    "yolo": recipes.yolo(24),
    "nnunet": recipes.nnunet(24),
}
VIEWS = {"byol": recipes.byol(24), "dino": recipes.dino(24, 12, local_crops=3)}


def parts(layer: nn.Module, name: str) -> Iterator[dict[str, Any]]:
    """The arguments of each transform of a name within a layer, in order; a gate around it as its p."""
    for part in layer.modules():
        if type(part).__name__ == name:
            yield constructor_arguments(part)


def part(layer: nn.Module, name: str) -> dict[str, Any]:
    (only,) = parts(layer, name)
    return only


def test_simclr_has_the_numbers_of_appendix_a() -> None:
    recipe = recipes.simclr()
    assert part(recipe, "RandomResizedCrop") == {"size": (224, 224), "interpolation": "bicubic"}  # scale from 0.08
    assert part(recipe, "ColorJitter") == {
        "brightness": pytest.approx((0.2, 1.8)),
        "contrast": pytest.approx((0.2, 1.8)),
        "saturation": pytest.approx((0.2, 1.8)),
        "hue": pytest.approx((-0.2, 0.2)),
    }
    assert part(recipe, "RandomApply")["p"] == 0.8
    assert part(recipe, "RandomGrayscale") == {"p": 0.2}
    assert part(recipe, "GaussianBlur")["kernel_size"] == (23, 23)
    assert part(recipe, "GaussianBlur")["p"] == 0.5
    assert part(recipes.simclr(strength=0.5), "ColorJitter")["hue"] == pytest.approx((-0.1, 0.1))


def test_moco_v2_has_the_numbers_of_its_code() -> None:
    recipe = recipes.moco_v2()
    assert part(recipe, "RandomResizedCrop") == {"size": (224, 224), "scale": (0.2, 1.0)}
    assert part(recipe, "ColorJitter")["hue"] == (-0.1, 0.1)
    assert part(recipe, "ColorJitter")["saturation"] == (0.6, 1.4)
    assert part(recipe, "Normalize") == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert not list(parts(recipes.moco_v2(normalize=False), "Normalize"))


def test_byol_has_the_numbers_of_table_6() -> None:
    first, second = recipes.byol().views
    assert [part(view, "GaussianBlur").get("p", 1.0) for view in (first, second)] == [1.0, 0.1]
    assert [list(parts(view, "RandomSolarize")) for view in (first, second)] == [
        [],
        [{"threshold": (0.5, 0.5), "p": 0.2}],
    ]
    for view in (first, second):
        assert part(view, "ColorJitter")["saturation"] == (0.8, 1.2)
        assert part(view, "GaussianBlur")["kernel_size"] == (23, 23)


def test_dino_has_the_numbers_of_its_code() -> None:
    views = list(recipes.dino().views)
    assert len(views) == 10
    crops = [part(view, "RandomResizedCrop") for view in views]
    assert [crop["size"][0] for crop in crops] == [224, 224] + [96] * 8
    assert [crop["scale"] for crop in crops] == [(0.4, 1.0)] * 2 + [(0.05, 0.4)] * 8
    assert [part(view, "GaussianBlur").get("p", 1.0) for view in views] == [1.0, 0.1] + [0.5] * 8
    assert [len(list(parts(view, "RandomSolarize"))) for view in views] == [0, 1] + [0] * 8


def test_mae_deit_and_three_augment_have_the_numbers_of_their_codes() -> None:
    assert part(recipes.mae(), "RandomResizedCrop") == {
        "size": (224, 224),
        "scale": (0.2, 1.0),
        "interpolation": "bicubic",
    }
    deit = recipes.deit(num_classes=10)
    (policy,) = (step for step in deit.modules() if type(step).__name__ == "TimmRandAugment")
    assert policy.config == "rand-m9-mstd0.5-inc1"
    assert part(deit, "RandomErasing") == {"p": 0.25, "scale": (0.02, pytest.approx(1 / 3)), "mode": "pixel"}
    assert part(deit, "SwitchMix") == {"mode": "batch", "num_classes": 10}
    order = [type(step).__name__ for step in deit.transforms]
    assert order.index("Normalize") < order.index("RandomErasing") < order.index("SwitchMix")
    assert not list(parts(recipes.deit(), "SwitchMix"))
    assert next(parts(recipes.three_augment(), "ColorJitter"))["saturation"] == (0.7, 1.3)
    assert part(recipes.three_augment(simple_crop=True), "RandomCrop")["padding_mode"] == "reflect"


def test_yolo_and_nnunet_have_the_numbers_of_their_codes() -> None:
    yolo = recipes.yolo()
    assert part(yolo, "Mosaic")["size"] == (1280, 1280)
    assert part(yolo, "RandomAffine")["scale"] == (0.5, 1.5)
    assert part(yolo, "RandomAffine")["translate"] == (0.05, 0.05)
    assert part(yolo, "ColorJitter")["hue"] == (-0.015, 0.015)
    nnunet = recipes.nnunet()
    turn, scale = parts(nnunet, "RandomAffine")
    assert (turn["degrees"], turn["p"], scale["scale"], scale["p"]) == ((-180.0, 180.0), 0.2, (0.7, 1.4), 0.2)
    assert [jitter["p"] for jitter in parts(nnunet, "ColorJitter")] == [0.15, 0.15]
    assert [gate["p"] for gate in parts(nnunet, "RandomApply")] == [0.1, 0.3]


def labelled(count: int = 4) -> Batch:
    return Batch(image=images(count), label=torch.arange(count), key=sample_keys(torch.arange(count), seed=1))


@pytest.mark.parametrize("recipe", COMPOSES.values(), ids=COMPOSES)
def test_recipes_are_keyed_and_survive_a_file(recipe: Layer) -> None:
    batch = labelled() if list(parts(recipe, "SwitchMix")) else labelled().replace(label=None)
    image = recipe(batch).image
    assert image.shape == (4, 3, 24, 24)
    assert torch.isfinite(image.double()).all()
    extra = {type(m).__name__: type(m) for m in recipe.modules() if isinstance(m, Layer)}
    again = from_dict(to_dict(recipe, extra), extra)
    assert torch.equal(again(batch).image, image)


@pytest.mark.parametrize("recipe", VIEWS.values(), ids=VIEWS)
def test_views_of_a_sample_differ_and_are_the_samples_own(recipe: Views) -> None:
    batch = labelled()
    views = recipe(batch)
    assert not torch.equal(views[0].image, views[1].image)
    for view, alone in zip(views, recipe(batch[2:3]), strict=True):
        torch.testing.assert_close(view.image[2:3], alone.image, rtol=0, atol=1e-5)
    plain = recipe(batch.image, keys=batch.key)
    assert torch.equal(plain[1], views[1].image)


def test_views_of_one_transform_draw_apart_and_repeat_with_a_generator() -> None:
    crops = Views([T.RandomResizedCrop(8), T.RandomResizedCrop(8)])
    first, second = crops(images(4), generator=torch.Generator().manual_seed(0))
    assert not torch.equal(first, second)
    assert torch.equal(crops(images(4), generator=torch.Generator().manual_seed(0))[1], second)
    single = crops(images(1)[0])
    assert [view.shape for view in single] == [(3, 8, 8)] * 2
    with pytest.raises(TypeError, match="views must be transforms of torchaug, at least one, got"):
        Views([])


def test_yolo_boxes_lie_in_the_image_and_are_large_enough() -> None:
    corners: Tensor = torch.rand(6, 5, 2, generator=torch.Generator().manual_seed(0)) * 20
    batch = labelled(6).replace(
        boxes=torch.cat([corners, corners + 10], -1), box_labels=torch.ones(6, 5).long(), label=None
    )
    out = recipes.yolo(32)(batch)
    assert out.boxes.shape == (6, 20, 4)
    there = out.box_labels >= 0
    assert there.any()
    assert torch.equal(there, SanitizeBoundingBoxes(min_size=2)(out).boxes.any(-1))


def test_nnunet_moves_the_mask_with_the_image() -> None:
    image = torch.zeros(8, 1, 40, 40)
    image[:, :, 10:30, 12:26] = 1
    out = recipes.nnunet(32)({"image": image, "mask": image[:, 0].long()})
    agrees = ((out["image"][:, 0] > 0.5) == (out["mask"] == 1)).float().mean((1, 2))
    assert agrees.min() > 0.85
