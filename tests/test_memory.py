"""Memory for results, and compiled chains that write to it."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from torchaug import Batch, Compose
from torchaug import image as T
from torchaug.keys import sample_keys
from torchaug.memory import Room, empty
from torchaug.transform import Layer

DTYPES = [torch.uint8, torch.bfloat16, torch.float16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_room_is_one_memory_seen_twice(dtype: torch.dtype) -> None:
    room = Room.of((2, 3, 4, 5), dtype)
    for c, plane in enumerate(room.planes):
        plane.fill_(c)
    assert room.whole.dtype == dtype
    assert room.whole.is_contiguous()
    assert torch.equal(room.whole, torch.arange(3).to(dtype)[None, :, None, None].expand(2, 3, 4, 5))
    assert Room.of((0, 3, 4, 5), dtype).planes[2].shape == (0, 4, 5)


def test_empty_is_a_tensor_as_any_other() -> None:
    made = empty((64, 3, 224, 224), torch.float32).fill_(2)
    assert made.is_contiguous()
    assert torch.equal(torch.stack([made, made])[1], made)
    assert made.clone().add_(1).mean() == 3


CHAINS: dict[str, list[Layer]] = {
    "planes": [T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.Normalize([0.5] * 3, [0.2] * 3)],
    "bfloat16": [T.ColorJitter(0.4), T.ToDtype(torch.bfloat16)],
    "whole_levels": [T.ColorJitter(0.4, 0.4)],
    "one_channel": [T.RandomResizedCrop(12), T.Grayscale(1), T.ToDtype(torch.float32)],
    "neighbours_last": [T.RandomInvert(), T.GaussianBlur(3)],
    "geometry_last": [T.RandomInvert(), T.RandomHorizontalFlip()],
    "mixing_last": [T.RandomInvert(), T.Normalize([0.5] * 3, [0.2] * 3), T.MixUp(num_classes=4)],
}


def batch_of(count: int, dtype: torch.dtype = torch.uint8) -> Batch:
    generator = torch.Generator().manual_seed(count)
    image = torch.randint(0, 256, (count, 3, 16, 20), dtype=torch.uint8, generator=generator)
    image = image if dtype == torch.uint8 else image.to(dtype) / 255
    return Batch(image=image, label=torch.arange(count) % 4, key=sample_keys(torch.arange(count)))


@pytest.mark.parametrize(("name", "color"), [*((name, "exact") for name in CHAINS), ("planes", "folded")])
def test_compiled_chains_write_what_eager_ones_return(name: str, color: Literal["exact", "folded"]) -> None:
    chain = Compose(CHAINS[name], color=color)
    compiled = Compose(CHAINS[name], color=color).compile(backend="eager", options=None)
    for count in (5, 3, 0) if name == "one_channel" else (5,):
        expected, found = chain(batch_of(count)), compiled(batch_of(count))
        assert found.image.dtype == expected.image.dtype
        levels = 1.0 if expected.image.dtype == torch.uint8 else 1e-2 if "16" in str(expected.image.dtype) else 1e-5
        torch.testing.assert_close(found.image.double(), expected.image.double(), rtol=0, atol=levels)
        torch.testing.assert_close(found.label, expected.label)


def test_results_of_two_calls_are_apart_and_gradients_flow() -> None:
    chain = Compose([T.GaussianNoise(), T.Normalize([0.5] * 3, [0.2] * 3)]).compile(backend="eager", options=None)
    first: Tensor = chain(batch_of(4)).image
    kept = first.clone()
    chain(batch_of(4, torch.float32).replace(key=sample_keys(torch.arange(4), seed=1)))
    assert torch.equal(first, kept)
    real = batch_of(4, torch.float32)
    assert real.image is not None
    image = real.image.requires_grad_()
    chain(real.replace(image=image)).image.sum().backward()
    assert image.grad is not None


def test_another_mode_and_another_size_get_room_of_their_own() -> None:
    chain = Compose([T.RandomCrop(8), T.Normalize([0.5] * 3, [0.2] * 3)]).compile(backend="eager", options=None)
    assert chain(batch_of(2)).image.shape == (2, 3, 8, 8)
    chain.eval()
    expected = Compose([T.CenterCrop(8), T.Normalize([0.5] * 3, [0.2] * 3)])(batch_of(2)).image
    torch.testing.assert_close(chain(batch_of(2)).image, expected)
    keeps = Compose([T.ColorJitter(0.2)]).compile(backend="eager", options=None)
    for size in (6, 9):
        assert keeps(torch.rand(2, 3, size, size)).shape == (2, 3, size, size)
