"""Many small tensors, one copy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from torchaug import Batch, Compose
from torchaug import image as T
from torchaug.keys import sample_keys
from torchaug.transfer import moved, parcelled, unparcelled

DTYPES = [torch.bool, torch.uint8, torch.int32, torch.int64, torch.bfloat16, torch.float32, torch.float64]


@given(
    st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)), max_size=6), st.integers(0)
)
def test_a_parcel_holds_what_was_put_in(kinds: list[tuple[torch.dtype, list[int]]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed % 2**31)
    tensors = [(torch.rand(shape, generator=generator) * 5).to(dtype) for dtype, shape in kinds]
    tensors += [torch.rand(3, 4).mT, torch.eye(3).expand(2, 3, 3)]  # neither contiguous
    for before, after in zip(tensors, unparcelled(parcelled(tensors), tensors), strict=True):
        assert before.dtype == after.dtype
        assert torch.equal(before, after)


def test_what_is_there_already_stays_the_same_object() -> None:
    tree = ({"a": torch.rand(3)}, "name", None)
    assert moved(tree, torch.device("cpu")) is tree


def test_one_copy_for_a_tree() -> None:
    class Copies(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            self.count += func._schema.name in ("aten::_to_copy", "aten::copy_")
            return out

    with FakeTensorMode(), Copies() as copies:  # type: ignore[no-untyped-call]
        tree = {"angle": torch.rand(4), "chosen": torch.rand(4) < 0.5, "who": "flip", "at": (torch.arange(3), None)}
        there = moved(tree, torch.device("cuda:0"))
    assert copies.count == 1
    assert {there[name].device.type for name in ("angle", "chosen")} == {"cuda"}  # type: ignore[attr-defined]
    assert there["who"] == "flip"


def test_params_stay_with_their_keys_and_pictures_where_they_were() -> None:
    chain = Compose([T.RandomResizedCrop(16), T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4, 0.4, 0.1)])
    with FakeTensorMode():
        batch = Batch(image=torch.empty(8, 3, 32, 36, dtype=torch.uint8, device="cuda"))
        for device in ("cpu", "cuda"):
            params = chain.draw(batch, keys=torch.empty(8, dtype=torch.int64, device=device))
            assert params.u.device.type == device
            out = chain.apply(batch, params)
            assert out.image is not None
            assert out.image.device.type == "cuda"


@pytest.mark.gpu
def test_numbers_of_the_host_give_what_those_of_the_device_give() -> None:
    chain = Compose([T.RandomAffine(20), T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.GaussianBlur(5)])
    images = torch.rand(8, 3, 32, 32, device="cuda")
    keys = sample_keys(torch.arange(8))
    torch.testing.assert_close(chain(images, keys=keys), chain(images, keys=keys.cuda()), rtol=0, atol=1e-4)


@pytest.mark.gpu
def test_a_capture_refuses_numbers_of_the_host() -> None:
    flip, images = T.RandomHorizontalFlip(), torch.rand(4, 3, 8, 8, device="cuda")
    with pytest.raises(RuntimeError, match="keys on the device"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        flip(images, keys=sample_keys(torch.arange(4)))
