"""Odd arguments, shapes and dtypes: every transform says clearly what is wrong, or gives finite images."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
import zoo_volume
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zoo import EVERY

from torchaug import Batch, Transform
from torchaug.transform import Layer

NUMBERS = [-1, 0, 1, 2, 3, 64, -0.5, 0.0, 1e-3, 0.5, 1.0, 2.5, 20.0, math.nan, math.inf]


def odd(value: Any) -> st.SearchStrategy[Any]:
    """Arguments near a good one, many of them wrong."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, str):
        return st.sampled_from([value, "nonsense"])
    if isinstance(value, (int, float)):
        return st.sampled_from([value, *NUMBERS, None, "text"])
    if isinstance(value, (tuple, list)) and value and all(isinstance(v, (int, float)) for v in value):
        return st.one_of(
            st.sampled_from([value, tuple(reversed(value)), value[:1], (), None]),
            st.tuples(*[st.sampled_from([v, *NUMBERS]) for v in value]),
        )
    return st.sampled_from([value, None])


def remake(transform: Transform, data: st.DataObject) -> Transform:
    """The same kind with one or two odd arguments."""
    kept = {name: getattr(transform, name) for name in inspect.signature(type(transform)).parameters}
    changed = data.draw(st.lists(st.sampled_from(sorted(kept)), min_size=1, max_size=2, unique=True)) if kept else []
    return type(transform)(**kept | {name: data.draw(odd(kept[name])) for name in changed})


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Small images of odd shapes, with labels now and then."""
    count, channels = draw(st.sampled_from([0, 1, 3])), draw(st.sampled_from([1, 3, 4]))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    dtype = draw(st.sampled_from([torch.uint8, torch.float32, torch.bfloat16, torch.float64]))
    flat = draw(st.booleans())  # images of one value are where divisions by a range go wrong
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    image = torch.rand(count, channels, height, width, generator=generator)
    image = torch.full_like(image, draw(st.sampled_from([0.0, 0.5, 1.0]))) if flat else image
    image = (image * 255).to(dtype) if dtype == torch.uint8 else image.to(dtype)
    size = None
    if draw(st.booleans()) and count:
        size = torch.stack([torch.randint(1, n + 1, (count,), generator=generator) for n in (height, width)], 1)
    mask = torch.randint(0, 3, (count, 1, height, width), generator=generator) if draw(st.booleans()) else None
    boxes = torch.rand(count, 2, 4, generator=generator) * 20 - 4 if draw(st.booleans()) else None  # outside, inverted
    keypoints = torch.rand(count, 3, 2, generator=generator) * 20 - 4 if draw(st.booleans()) else None
    return Batch(image=image, size=size, mask=mask, boxes=boxes, keypoints=keypoints)


@st.composite
def volumes(draw: st.DrawFn) -> Batch:
    """Small volumes of odd shapes."""
    shape = (draw(st.sampled_from([0, 1, 2])), draw(st.sampled_from([1, 2])), *(draw(st.integers(1, 8)) for _ in "zyx"))
    dtype = draw(st.sampled_from([torch.uint8, torch.float32, torch.bfloat16, torch.float64]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    volume = torch.rand(shape, generator=generator) if draw(st.booleans()) else torch.ones(shape)
    volume = (volume * 255).to(dtype) if dtype == torch.uint8 else volume.to(dtype)
    return Batch(volume=volume, mask=torch.zeros_like(volume[:, :1], dtype=torch.int64))


def says_who(error: Exception, names: set[str]) -> None:
    """An error that is meant for people names the transform."""
    if not any(name in str(error) for name in names):
        raise AssertionError(f"an error that does not say who: {error}") from error


def finite(transform: Layer, batch: Batch) -> None:
    """It works and gives finite images, or says who it is and what it needs."""
    try:
        out = transform(batch, generator=torch.Generator().manual_seed(0))
    except (ValueError, TypeError) as error:
        says_who(error, {type(leaf).__name__ for leaf in transform.leaves()} | {type(transform).__name__})
        return
    pixels = out.volume if batch.image is None else out.image
    assert torch.isfinite(pixels.float()).all()
    assert len(out) == len(batch)


CASES = {name: (t, batches()) for name, t in EVERY.items()}
CASES |= {f"volume_{name}": (t, volumes()) for name, t in zoo_volume.EVERY.items()}


@pytest.mark.parametrize(("transform", "drawn"), CASES.values(), ids=CASES)
@given(data=st.data())
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_odd_images_give_finite_images_or_a_clear_error(
    transform: Layer, drawn: st.SearchStrategy[Batch], data: st.DataObject
) -> None:
    finite(transform, data.draw(drawn))


SINGLES = {name: case for name, case in CASES.items() if isinstance(case[0], Transform)}


@pytest.mark.parametrize(("transform", "drawn"), SINGLES.values(), ids=SINGLES)
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_odd_arguments_are_refused_clearly_or_work(
    transform: Transform, drawn: st.SearchStrategy[Batch], data: st.DataObject
) -> None:
    try:
        made = remake(transform, data)
    except (ValueError, TypeError) as error:
        says_who(error, {kind.__name__ for kind in type(transform).__mro__ if issubclass(kind, Transform)})
        return
    finite(made, data.draw(drawn))


def test_the_check_finds_a_planted_nan_and_a_planted_crash() -> None:
    class Divides(Transform):
        def transform(self, batch: Batch, u: torch.Tensor, chosen: torch.Tensor) -> Batch:
            assert batch.image is not None
            return batch.replace(image=batch.image.float() / batch.image.float().amax())

    with pytest.raises(AssertionError):
        finite(Divides(), Batch(image=torch.zeros(1, 3, 4, 4)))

    class Crashes(Transform):
        def transform(self, batch: Batch, u: torch.Tensor, chosen: torch.Tensor) -> Batch:
            raise ValueError("boom")

    with pytest.raises(AssertionError, match="does not say who"):
        finite(Crashes(), Batch(image=torch.zeros(1, 3, 4, 4)))
