"""Items of different sizes as one batch."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, default_collate

from torchaug import Compose
from torchaug import image as T
from torchaug.data import collate

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 3))


def test_equal_items_are_stacked_as_torch_stacks_them() -> None:
    items = [
        {
            "image": torch.full((3, 2, 2), n),
            "label": n,
            "share": n / 2,
            "new": n > 1,
            "table": np.full(3, n),
            "pair": (n, n),
        }
        for n in range(3)
    ]
    batch, wanted = collate(items), default_collate(items)
    assert list(batch) == list(wanted)
    for name, value in wanted.items():
        if name == "pair":
            assert [part.tolist() for part in batch[name]] == [part.tolist() for part in value]
            continue
        assert torch.equal(batch[name], value)
        assert batch[name].dtype == value.dtype
    with_text = collate([{"text": "a", "file": Path("x")}, {"text": "bc", "file": Path("y")}])
    assert with_text == {"text": ["a", "bc"], "file": [Path("x"), Path("y")]}
    assert pickle.loads(pickle.dumps(collate)) is collate


@given(st.lists(SHAPES, min_size=1, max_size=5))
def test_every_items_own_comes_back_and_the_rest_is_empty(shapes: list[tuple[int, int, int]]) -> None:
    items = [
        {
            "image": torch.randint(1, 255, (3, height, width), dtype=torch.uint8),
            "mask": torch.randint(1, 9, (count, height, width), dtype=torch.uint8),
            "boxes": torch.rand(count, 4) + 1,
            "box_labels": torch.randint(0, 9, (count,)),
            "keypoints": torch.rand(count, 2) + 1,
            "waveform": torch.rand(2, 3 * width) + 1,
        }
        for height, width, count in shapes
    ]
    kept = [{name: value.clone() for name, value in item.items()} for item in items]
    batch = collate(items)
    empty = {"box_labels": -1}
    for name in items[0]:
        assert batch[name].dtype == items[0][name].dtype
        for row, item in zip(batch[name], items, strict=True):
            own = tuple(slice(side) for side in item[name].shape)
            assert torch.equal(row[own], item[name])
            rest = row.clone()
            rest[own] = empty.get(name, 0)
            assert (rest == empty.get(name, 0)).all()
    sizes = [[height, width] for height, width, _ in shapes]
    differ = any(size != sizes[0] for size in sizes)
    assert ("size" in batch) == differ
    assert not differ or batch["size"].tolist() == sizes
    assert ("lengths" in batch) == (len({width for _, width in sizes}) > 1)
    assert "lengths" not in batch or batch["lengths"].tolist() == [3 * width for _, width in sizes]
    counts = [count for _, _, count in shapes]
    assert ("visible" in batch) == (len(set(counts)) > 1)
    assert "visible" not in batch or batch["visible"].sum(1).tolist() == counts
    assert all(torch.equal(a[name], b[name]) for a, b in zip(items, kept, strict=True) for name in a)


def test_volumes_are_filled_up_along_all_axes() -> None:
    volumes = [torch.rand(1, 2, 5, 4), torch.rand(1, 3, 4, 4)]
    batch = collate([{"volume": volume, "mask": volume.int() + 1} for volume in volumes])
    assert batch["volume"].shape == batch["mask"].shape == (2, 1, 3, 5, 4)
    assert batch["volume_size"].tolist() == [[2, 5, 4], [3, 4, 4]]
    assert torch.equal(batch["volume"][1, :, :3, :4], volumes[1])
    assert batch["volume"][0, 0, 2].sum() == batch["mask"][1, 0, :, 4].sum() == 0
    own = collate([{"keypoints": torch.ones(n, 2), "visible": torch.tensor([True, False][:n])} for n in (1, 2)])
    assert own["visible"].tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize(
    ("items", "kind", "message"),
    [
        ([], ValueError, "at least one item, got none"),
        ([(1, 2)], TypeError, "items as dicts, got tuple at 0"),
        ([{"a": 1}, 3], TypeError, "items as dicts, got int at 1"),
        (
            [{"a": 1, "b": 1}, {"a": 1, "index": 7}],
            ValueError,
            r"have 'b' or none, got item 1 \(index 7\) and 0 more of 2",
        ),
        ([{"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}], ValueError, "have 'b' or none, got item 0 and 0 more of 3"),
        ([{"a": 1}, {"b": 2}], ValueError, "have 'a' or none, got item 1"),
        (
            [{"label": torch.ones(3)}, {"label": torch.ones(4)}],
            ValueError,
            r"'label' must have one dtype and shape, got .*\(4,\)",
        ),
        (
            [{"image": torch.ones(3, 4, 4)}, {"image": torch.ones(1, 4, 4), "index": 9}],
            ValueError,
            "have 'index' or none",
        ),
        (
            [{"image": torch.ones(3, 4, 4), "index": 8}, {"image": torch.ones(1, 4, 4), "index": 9}],
            ValueError,
            r"shape but for the axes 1, 2, got .*\(1, 4, 4\) in item 1 \(index 9\) beside .*\(3, 4, 4\) in item 0 \(index 8\)",
        ),
        ([{"image": torch.ones(3, 4, 4)}, {"image": torch.ones(4, 4)}], ValueError, r"got torch.float32 \(4, 4\)"),
        (
            [{"image": torch.ones(3, 4, 4)}, {"image": torch.ones(3, 4, 4).byte()}],
            ValueError,
            r"one dtype .* got torch.uint8",
        ),
        (
            [{"boxes": torch.ones(1, 4)}, {"boxes": [1, 2]}],
            TypeError,
            "'boxes' must be a tensor in every item, got list",
        ),
        ([{"site": None}, {"site": None}], TypeError, "cannot stack 'site' of NoneType"),
    ],
)
def test_items_that_make_no_batch_are_named(items: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        collate(items)


class Scenes(torch.utils.data.Dataset[Any]):
    """Images of different sizes, each with as many painted boxes as its number."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        height, width = 10 + index, 14 - 2 * index
        boxes = torch.tensor([[n, n, n + 2 + index, n + 3] for n in range(index)], dtype=torch.float32).view(-1, 4)
        image = torch.zeros(3, height, width)
        for x0, y0, x1, y1 in boxes.int().tolist():
            image[:, y0:y1, x0:x1] = 1
        return {"image": image, "boxes": boxes, "box_labels": torch.arange(index), "index": index}


def test_a_detection_batch_is_flipped_each_image_in_its_own_width() -> None:
    data = Scenes()
    batch = next(iter(DataLoader(data, batch_size=4, collate_fn=collate, num_workers=1)))
    out = Compose([T.RandomHorizontalFlip(p=1)])(batch)
    assert out["size"].tolist() == batch["size"].tolist()
    for index in range(len(data)):
        item = data[index]
        height, width = item["image"].shape[-2:]
        assert torch.equal(out["image"][index, :, :height, :width], item["image"].flip(-1))
        assert out["image"][index, :, height:].sum() == out["image"][index, :, :, width:].sum() == 0
        x0, y0, x1, y1 = item["boxes"].unbind(1)
        assert torch.equal(out["boxes"][index, :index], torch.stack([width - x1, y0, width - x0, y1], 1))
        assert out["box_labels"][index].tolist() == [*range(index), *[-1] * (3 - index)]
        rest = out["boxes"][index, index:]
        assert ((rest[:, 2:] - rest[:, :2]) <= 0).any(1).all()


def test_equal_images_take_no_call_of_torch_more_than_torchs_own() -> None:
    items = [{"image": torch.zeros(3, 8, 8, dtype=torch.uint8), "label": n, "index": n} for n in range(64)]

    class Calls(TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "get" not in (name := getattr(function, "__name__", "")):  # but for dtype, shape and their like
                self.names.append(name)
            return function(*args, **(kwargs or {}))

    calls: dict[Any, list[str]] = {}
    for function in (collate, default_collate):
        with Calls() as counted:
            function(items)
        calls[function] = counted.names
    assert "stack" in calls[collate]
    assert calls[collate] == calls[default_collate]
