"""A transform written to a file is read back as its equal, and a wrong file is told where it is wrong."""

# mypy: disable-error-code="union-attr, index, arg-type"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_properties import assert_same, labelled
from torch import Tensor
from zoo import EVERY

from torchaug import Batch, Compose, Lambda, OneOf, PerSample, Transform
from torchaug import image as T
from torchaug.serial import from_dict, from_json, from_yaml, to_dict, to_json, to_yaml
from torchaug.signature import arguments_text, constructor_arguments, same
from torchaug.transform import Layer


def kinds(layer: Layer) -> dict[str, type[Layer]]:
    """The classes of a layer and of all in it, by name."""
    return {type(part).__name__: type(part) for part in layer.modules() if isinstance(part, Layer)}


def round_trips(layer: Layer) -> list[Layer]:
    extra = kinds(layer)
    return [
        from_dict(to_dict(layer, extra), extra),
        from_json(to_json(layer, extra), extra),
        from_yaml(to_yaml(layer, extra), extra),
    ]


@pytest.mark.parametrize("layer", EVERY.values(), ids=EVERY)
def test_what_is_read_back_does_the_same_bit_for_bit(layer: Layer) -> None:
    expected = layer(labelled())
    for again in round_trips(layer):
        assert_same(again(labelled()), expected)
        assert to_dict(again, kinds(layer)) == to_dict(layer, kinds(layer))


@pytest.mark.parametrize(
    "layer", [leaf for leaf in EVERY.values() if isinstance(leaf, Transform)], ids=lambda leaf: type(leaf).__name__
)
def test_the_text_of_a_transform_is_its_python(layer: Transform) -> None:
    names = {"torch": torch} | kinds(layer)
    again = eval(f"{type(layer).__name__}({arguments_text(layer)})", names)
    assert_same(again(labelled()), layer(labelled()))


def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert to_dict(T.ColorJitter()) == {"version": 1, "transform": "ColorJitter"}
    assert to_dict(T.GaussianNoise(sigma=0.1, mean=0)) == {"version": 1, "transform": "GaussianNoise"}
    chain = Compose([OneOf([T.RandomRotation(10), T.RandomGrayscale(0.3)], p=0.5), T.ToDtype(torch.float16)])
    assert to_dict(chain) == {
        "version": 1,
        "transform": "Compose",
        "transforms": [
            {
                "transform": "OneOf",
                "transforms": [
                    {"transform": "RandomRotation", "degrees": [-10.0, 10.0]},
                    {"transform": "RandomGrayscale", "p": 0.3},
                ],
                "p": 0.5,
            },
            {"transform": "ToDtype", "dtype": "float16"},
        ],
    }


def test_the_ways_to_fold_are_kept() -> None:
    chain = Compose([T.RandomHorizontalFlip()], geometry="sequential", color="folded")
    for again in round_trips(chain):
        assert again.folding == chain.folding


def test_a_file_written_by_hand_is_read() -> None:
    text = """
    version: 1
    transform: Compose
    transforms:
    - {transform: RandomResizedCrop, size: 24}
    - {transform: ColorJitter, brightness: 0.4, hue: 0.1}
    - {transform: Normalize, mean: [0.5], std: [0.5]}
    - {transform: ToDtype, dtype: bfloat16}
    """
    expected = Compose(
        [
            T.RandomResizedCrop(24),
            T.ColorJitter(0.4, hue=0.1),
            T.Normalize([0.5], [0.5]),
            T.ToDtype(torch.bfloat16),
        ]
    )
    assert_same(from_yaml(text)(labelled()), expected(labelled()))


class Twice(Transform):
    """A user's own transform.

    Args:
        steps: applied in turn.
        table: a tensor.
    """

    def __init__(self, steps: list[Layer], table: Tensor | None = None, p: float = 1.0) -> None:
        super().__init__(p)
        self.steps, self.table = torch.nn.ModuleList(steps), table

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return batch


def test_own_transforms_are_named_by_the_caller_and_hold_others() -> None:
    mine = Twice([T.RandomHorizontalFlip(p=0.1), T.Resize((8, 9))])
    with pytest.raises(
        TypeError, match=r"transforms\[1\] is a Twice, which is none of torchaug's; pass extra=.'Twice'"
    ):
        to_dict(Compose([T.RandomGrayscale(), mine]))
    again = from_json(to_json(mine, {"My": Twice}), {"My": Twice})
    assert isinstance(again, Twice)
    assert to_dict(again.steps[0]) == {"version": 1, "transform": "RandomHorizontalFlip", "p": 0.1}
    assert again.steps[1].size == (8, 9)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            Compose([T.RandomGrayscale(), Lambda(abs)]),
            r"transforms\[1\]\.function must be numbers, .* got builtin_function",
        ),
        (
            Compose([PerSample(lambda x: x)]),
            r"transforms\[0\]\.function must be .* got function, which no file can hold",
        ),
        (Compose([Compose([Twice([], torch.ones(3))])]), r"transforms\[0\]\.transforms\[0\]\.table .* a tensor \(3,\)"),
    ],
)
def test_what_no_file_can_hold_is_named_with_its_place(layer: Layer, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        to_dict(layer, {"Twice": Twice})


FLIP = {"transform": "RandomHorizontalFlip"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"transform": "RandomHorizontalFlop"},
            "unknown transform 'RandomHorizontalFlop'; did you mean RandomHorizontalFlip",
        ),
        ({"transform": "os.system", "command": "ls"}, "unknown transform 'os.system'"),
        ({"transform": "Geometric"}, "unknown transform 'Geometric'"),
        (
            FLIP | {"keypointswap": 0},
            "layer: RandomHorizontalFlip has no argument 'keypointswap'; did you mean keypoint_swap",
        ),
        (FLIP | {"p": 3}, "layer: RandomHorizontalFlip: p must be a chance"),
        ({"transform": "Resize"}, "layer: .*missing 1 required positional argument: 'size'"),
        (
            {"transform": "Compose", "transforms": [FLIP, {"transform": "OneOf", "transforms": [FLIP | {"p": -1}]}]},
            r"transforms\[1\]\.transforms\[0\]: RandomHorizontalFlip: p must be",
        ),
        (
            {"transform": "Compose", "transforms": [{"size": 3}]},
            r"transforms must be callable|transforms\[0\] must have",
        ),
        ({"transform": "ToDtype", "dtype": "float31"}, "dtype must be a dtype such as float32, got 'float31'"),
        (FLIP | {"version": 2}, "version must be from 1 to 1, got 2"),
        ({"version": 1}, "layer must have a 'transform' name, got"),
    ],
)
def test_a_wrong_document_is_told_where_it_is_wrong(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(document)


@pytest.mark.parametrize(("read", "text"), [(from_json, "{"), (from_yaml, "a: [")])
def test_text_that_is_neither_json_nor_yaml_is_an_error(read: Callable[[str], Layer], text: str) -> None:
    with pytest.raises(ValueError, match=r"expected (JSON|YAML), got"):
        read(text)
    with pytest.raises(TypeError, match="document must be a mapping with 'transform', got list"):
        read("[1, 2]")


def test_yaml_makes_no_python_objects() -> None:
    with pytest.raises(ValueError, match="expected YAML, got could not determine a constructor"):
        from_yaml("!!python/object/apply:os.getcwd []")


# signatures


class Forgetful:
    def __init__(self, size: int, shear: float = 0.0, edge: str = "zeros") -> None:
        self.size, self.edge = size, edge


def test_an_argument_that_is_not_kept_is_named() -> None:
    with pytest.raises(TypeError, match=r"Forgetful: expected its constructor's arguments .* got none for shear"):
        constructor_arguments(Forgetful(3))
    assert arguments_text(Forgetful(3, edge="wrap")) == "size=3, edge='wrap'"


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ((1, 2), [1, 2], True),
        ((1, 2), [1, 2, 3], False),
        (1, 1.0, False),
        (True, 1, False),
        (torch.ones(2), torch.ones(2), True),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), False),
        (torch.ones(2), 1.0, False),
        (None, 0, False),
    ],
)
def test_equality_of_arguments(a: object, b: object, equal: bool) -> None:
    assert same(a, b) is equal
