"""What each transform claims of its derivatives is what finite differences say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from zoo import EVERY, images

from torchaug.batch import Batch
from torchaug.compose import Compose
from torchaug.foreign import Lambda, PerSample
from torchaug.keys import sample_keys
from torchaug.transform import Layer

STEPS = (1e-6, 1e-7, 1e-5, 3e-5, 1e-4, 1e-3)
"""Kinks want small steps, means that are taken in float32 large ones; a wrong derivative agrees with none."""
GUIDED = ("iou_crop", "safe_crop", "one_box_crop", "mask_crop")
CLAIMS = {name: min(leaf.differentiable for leaf in layer.leaves()) for name, layer in EVERY.items()}
SURROGATE = {"jpeg", "to_dtype"}
"""JPEG's derivative passes its roundings by; ToDtype's results are float32. Both are tested apart."""

Values = Callable[[Tensor], Tensor]


def smooth() -> Tensor:
    """Two float64 images whose values are all different and stay away from 0 and 1, where results are cut off, and from
    grey, where hues turn sharply."""
    noise = torch.rand(2, 3, 32, 36, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    channel = torch.tensor([0.35, 0.2, 0.05], dtype=torch.float64)[:, None, None]
    return 0.1 + channel + 0.2 * images(2, 32, 36, seed=2).double() / 255 + 0.01 * noise


def shown(name: str, layer: Layer, image: Tensor) -> Tensor:
    batch = Batch(image=image, key=sample_keys(torch.arange(2), seed=3))
    if name in GUIDED:
        mask = torch.zeros(2, 1, 32, 36, dtype=torch.int64)
        mask[..., 10:20, 10:25] = 1
        batch = batch.replace(mask=mask, boxes=torch.tensor([[[10.0, 10.0, 25.0, 20.0]]]).expand(2, 1, 4))
    out = layer(batch).image
    assert isinstance(out, Tensor)
    return out.double()


def agreement(value: Values, gradient: Tensor, image: Tensor) -> float:
    """How far the slope along a random direction, which moves means too, is from differences of the values, relative,
    at the best step."""
    direction = torch.rand(image.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    slope, found = (gradient * direction).sum(), []
    for step in STEPS:
        # with requires_grad on both sides: without it a faster kernel may be chosen
        ahead, behind = (value((image + sign * step * direction).requires_grad_()).detach() for sign in (1, -1))
        difference = (ahead - behind) / (2 * step)
        found.append(float((slope - difference).abs() / (1e-2 + difference.abs())))
        if found[-1] < 1e-6:
            break
    return min(found)


def objective(name: str, layer: Layer, image: Tensor) -> Values:
    """A weighted sum of cubes of what comes out, so that its own second derivative is not 0."""
    out = shown(name, layer, image)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    return lambda x: (weights * shown(name, layer, x) ** 3).sum()


def penalty(value: Values) -> Values:
    """The squared norm of the gradient, as R1 takes it."""

    def norm(x: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(value(x), x, create_graph=True)
        return gradient.square().sum()

    return norm


def slope_of(value: Values, image: Tensor) -> Tensor:
    x = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(x), x)
    return gradient


@pytest.mark.parametrize("name", [name for name, claim in CLAIMS.items() if claim and name not in SURROGATE])
def test_derivatives_are_as_many_and_as_right_as_claimed(name: str) -> None:
    image = smooth()
    value = objective(name, EVERY[name], image)
    gradient = slope_of(value, image)
    assert gradient.abs().sum() > 0
    assert agreement(value, gradient, image) < 1e-2
    if CLAIMS[name] == 2:
        assert agreement(penalty(value), slope_of(penalty(value), image), image) < 3e-2


@pytest.mark.parametrize("name", [name for name, claim in CLAIMS.items() if claim < 2])
def test_what_claims_less_than_two_is_no_chain_of_steps_that_all_claim_two(name: str) -> None:
    assert any(leaf.differentiable < 2 for leaf in EVERY[name].leaves())


def test_a_wrong_derivative_is_found() -> None:
    image = smooth()

    def value(x: Tensor) -> Tensor:
        return (x**2 * x.detach()).sum()  # 2/3 of the slope

    assert agreement(value, slope_of(value, image), image) > 0.1


def test_nothing_is_claimed_for_functions_that_are_not_ours() -> None:
    chain = Compose([Lambda(lambda batch: batch), PerSample(lambda image: image)])
    assert [leaf.differentiable for leaf in chain.leaves()] == [0, 0]
