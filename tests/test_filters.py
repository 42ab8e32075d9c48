"""Neighbourhoods, blur and sharpening: what the property suite and the conformance cases do not see."""

# mypy: disable-error-code="union-attr, no-untyped-call, arg-type"
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor
from zoo import images
from zoo_filters import ZOO

from torchaug import Batch, Transform
from torchaug.image import blur, defocus, filters, sharpen
from torchaug.image.axes import PaddingMode
from torchaug.image.filters import bilinear, blurred, bordered, convolve, convolve_separable, gaussian
from torchaug.keys import sample_keys, uniforms
from torchaug.transform import Layer, Sizes

MODES = ("reflect", "edge", "constant", "symmetric")
every = pytest.mark.parametrize("transform", ZOO.values(), ids=ZOO)


def sizes(*pairs: tuple[int, int]) -> Sizes:
    height, width = torch.tensor(pairs, dtype=torch.float32).unbind(1)
    return Sizes(height, width, (int(height.max()), int(width.max())))


@pytest.mark.parametrize("mode", MODES)
@given(height=st.integers(1, 7), width=st.integers(1, 7), y=st.integers(0, 17), x=st.integers(0, 17))
@settings(max_examples=40, deadline=None)
def test_a_border_is_that_of_numpy_however_wide(mode: Any, height: int, width: int, y: int, x: int) -> None:
    image = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (y, y), (x, x)), mode)
    np.testing.assert_array_equal(bordered(image, None, y, x, mode).numpy(), expected)


@pytest.mark.parametrize("mode", MODES)
@given(height=st.integers(1, 6), width=st.integers(1, 8), margin=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_the_border_of_a_padded_image_is_its_own(mode: PaddingMode, height: int, width: int, margin: int) -> None:
    image = torch.rand(2, 1, 6, 8, generator=torch.Generator().manual_seed(0))
    image[1, :, height:], image[1, :, :, width:] = 9, 9
    out = bordered(image, sizes((6, 8), (height, width)), margin, margin, mode)
    alone = bordered(image[1:, :, :height, :width], None, margin, margin, mode)
    assert torch.equal(out[1:, :, : height + 2 * margin, : width + 2 * margin], alone)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 80), st.integers(1, 40)),
    taps=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_each_image_is_convolved_with_its_own_kernel(shape: tuple[int, ...], taps: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(shape, generator=generator, dtype=torch.float64)
    down, across = (torch.rand(shape[0], 2 * t + 1, generator=generator, dtype=torch.float64) for t in taps)
    wide = bordered(image, None, *taps)
    kernels = down[:, :, None] * across[:, None, :]
    expected = np.stack(
        [
            [ndimage.correlate(plane, kernel, mode="mirror") for plane in planes]
            for planes, kernel in zip(image.numpy(), kernels.numpy(), strict=True)
        ]
    )
    for out in (convolve(wide, kernels), convolve_separable(wide, down, across)):
        np.testing.assert_allclose(out.numpy(), expected, atol=1e-11)


def test_kernels_written_out_for_a_compiler_equal_banded_matrices() -> None:
    image, kernels = torch.rand(2, 3, 70, 20, dtype=torch.float64), torch.rand(2, 9, dtype=torch.float64)
    torch.testing.assert_close(filters._tapped(image, kernels, 2), filters._banded(image, kernels))


@pytest.mark.parametrize("mode", ["reflect", "edge", "symmetric"])
def test_a_border_folded_into_the_matrix_equals_one_that_is_written(mode: PaddingMode) -> None:
    """The way of a GPU, for images that fill the canvas and for smaller ones."""
    image = torch.rand(4, 3, 30, 25)
    down, across = (filters.gaussian(torch.tensor([0.3, 1.0, 2.0, 5.0]), taps) for taps in (9, 13))
    assert_close(filters._dense(image, None, down, across, mode), blurred(image, None, down, across, mode), 1e-6)
    size = Sizes(torch.tensor([30.0, 20, 10, 7]), torch.tensor([25.0, 3, 25, 1]), (30, 25))
    ours, expected = filters._dense(image, size, down, across, mode), blurred(image, size, down, across, mode)
    for i, (height, width) in enumerate(size.stacked().long().tolist()):
        assert_close(ours[i, :, :height, :width], expected[i, :, :height, :width], 1e-6)


@pytest.mark.parametrize("size", [(30, 25), (30, 7), (5, 1)])
def test_a_graph_blurs_the_chosen_and_no_others_and_its_border_is_the_same(size: tuple[int, int]) -> None:
    torch._dynamo.reset()
    image, chosen = torch.rand(4, 3, *size), torch.tensor([True, False, True, False])
    down, across = (filters.gaussian(torch.tensor([0.3, 1.0, 2.0, 5.0]), taps) for taps in (9, 13))
    graph = torch.compile(blurred, fullgraph=True, backend="eager")
    out = graph(image, None, down, across, chosen=chosen)
    assert_close(out, blurred(image, None, down, across, chosen=chosen), 1e-6)
    assert torch.equal(out[~chosen], image[~chosen])


def assert_close(ours: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)


def test_an_empty_batch_is_convolved() -> None:
    empty = torch.zeros(0, 3, 6, 8)
    assert convolve(empty, torch.zeros(0, 3, 5)).shape == (0, 3, 4, 4)
    assert convolve_separable(empty, torch.zeros(0, 3), torch.zeros(0, 5)).shape == (0, 3, 4, 4)


@given(y=st.floats(-5, 12), x=st.floats(-5, 12))
@settings(max_examples=50, deadline=None)
def test_values_between_pixels_are_bilinear_and_end_at_the_border(y: float, x: float) -> None:
    image = torch.rand(1, 2, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    at = torch.tensor([[[y]]], dtype=torch.float64), torch.tensor([[[x]]], dtype=torch.float64)
    out = bilinear(image, sizes((7, 6)), *at)[0, :, 0, 0]
    expected = [ndimage.map_coordinates(plane, [[y], [x]], order=1, mode="nearest")[0] for plane in image[0].numpy()]
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-6)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=25).filter(lambda v: len(v) % 2 == 1))
@settings(max_examples=100, deadline=None)
def test_selection_finds_the_median(numbers: list[int]) -> None:
    assert float(blur._median([torch.tensor(float(n)) for n in numbers])) == np.median(numbers)


def test_a_gaussian_has_its_standard_deviation() -> None:
    sigma = torch.tensor([0.9, 2.0], dtype=torch.float64)
    weights, at = gaussian(sigma, 31), torch.arange(31) - 15
    torch.testing.assert_close((weights * at.square()).sum(1).sqrt(), sigma, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("transform", "name", "low", "high"),
    [
        (blur.GaussianBlur(sigma=(0.3, 2.5)), "sigma", 0.3, 2.5),
        (blur.MotionBlur(angle=90), "angle", -90, 90),
        (blur.MotionBlur(direction=(-0.5, 1)), "direction", -0.5, 1),
        (defocus.ZoomBlur((1.1, 1.4)), "max_factor", 1.1, 1.4),
        (sharpen.Emboss(strength=(0.2, 0.9)), "strength", 0.2, 0.9),
    ],
)
def test_parameters_are_uniform(transform: Transform, name: str, low: float, high: float) -> None:
    drawn = draw(transform)[name]
    assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize("kind", [blur.BoxBlur, blur.MedianBlur, blur.MotionBlur, sharpen.RingingOvershoot])
def test_kernel_sizes_are_odd_and_each_as_likely(kind: Callable[..., Transform]) -> None:
    found, counts = np.unique(draw(kind((3, 9)))["kernel_size"], return_counts=True)
    assert found.tolist() == [3, 5, 7, 9]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_shape_of_an_advanced_blur_is_peaked_as_often_as_flat() -> None:
    beta = draw(blur.AdvancedBlur(beta=(0.5, 8.0)))["beta"]
    assert abs((beta < 1).double().mean() - 0.5) < 0.02
    assert 0.5 <= beta.min() < 0.51
    assert 7.9 < beta.max() <= 8


def draw(transform: Transform, count: int = 8000) -> dict[str, Tensor]:
    u = uniforms(sample_keys(torch.arange(count), seed=2), transform.uniforms)
    return transform.drawn(u, Sizes.of((32, 36), None, u))


@every
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_filters_take_any_number_of_channels(transform: Layer, channels: int) -> None:
    """Each channel comes out as it does among three."""
    image, keys = images(3).float() / 255, sample_keys(torch.arange(3))
    out = transform(image[:, torch.arange(channels) % 3], keys=keys)
    torch.testing.assert_close(out, transform(image, keys=keys)[:, torch.arange(channels) % 3], atol=1e-6, rtol=0)


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_filters_keep_the_dtype(transform: Layer, dtype: torch.dtype) -> None:
    image, keys = images(3).float() / 255, sample_keys(torch.arange(3))
    image = (image * 64).round() / 64  # exact in every dtype
    out = transform(image.to(dtype), keys=keys)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), transform(image, keys=keys), atol=4e-3, rtol=0)


@every
def test_an_even_image_stays_even(transform: Layer) -> None:
    """Every kernel here sums to 1, and every border continues the image."""
    if isinstance(transform, sharpen.Emboss):
        pytest.skip("its relief brightens")
    out = transform(torch.full((4, 3, 9, 11), 0.5), keys=sample_keys(torch.arange(4)))
    torch.testing.assert_close(out, torch.full_like(out, 0.5), atol=1e-5, rtol=0)


EXTREME = [
    blur.GaussianBlur(1, 1e-3),
    blur.GaussianBlur(31, 1e4),
    blur.BoxBlur(31),
    blur.MedianBlur(13, p=1.0),
    blur.MotionBlur(1, p=1.0),
    blur.MotionBlur(31, 720, 1, p=1.0),
    defocus.Defocus((1, 30), (1e-3, 50), p=1.0),
    defocus.ZoomBlur(1e6, p=1.0),
    defocus.ZoomBlur(1.0, p=1.0),
    defocus.GlassBlur(0.01, 100, 5, p=1.0),
    sharpen.UnsharpMask((1, 31), 1e-3, 1e6, 0, p=1.0),
    blur.AdvancedBlur((1, 9), (1e-3, 1e3), (1e-3, 1e3), 360, (0.01, 100), (1e-3, 1e3), p=1.0),
    sharpen.Emboss(1, 1e6, p=1.0),
    sharpen.RingingOvershoot((1, 21), (1e-3, math.pi), p=1.0),
]


@pytest.mark.parametrize("transform", EXTREME, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("shape", [(3, 3, 1, 1), (3, 1, 1, 9), (3, 3, 12, 5)])
def test_extreme_parameters_make_no_nan(transform: Layer, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = transform(image, keys=sample_keys(torch.arange(3)))
    assert torch.isfinite(out).all()
    (gradient,) = torch.autograd.grad(out.sum(), image)
    assert torch.isfinite(gradient).all()


def test_only_chosen_samples_are_filtered() -> None:
    batch = Batch(image=images(64), key=sample_keys(torch.arange(64)))
    same = (blur.GaussianBlur(9, 3, p=0.5)(batch).image == batch.image).flatten(1).all(1)
    assert 15 < same.sum() < 49


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: blur.GaussianBlur(4), "GaussianBlur: kernel_size must be odd"),
        (lambda: blur.GaussianBlur((3, 5, 7)), "kernel_size must be"),
        (lambda: blur.GaussianBlur(3, sigma=0), "sigma must be a number above 0, or two in rising order"),
        (lambda: blur.GaussianBlur(3, sigma=(2, 1)), "sigma must be"),
        (lambda: blur.BoxBlur((3, 4)), "BoxBlur: kernel_size must be odd"),
        (lambda: blur.MedianBlur((5, 3)), "MedianBlur: kernel_size must be a whole number of at least 1"),
        (lambda: blur.MotionBlur(0), "kernel_size"),
        (lambda: blur.MotionBlur(3, direction=1.5), "direction must be one number of at least 0"),
        (lambda: defocus.Defocus(0), "Defocus: radius must be a whole number of at least 1"),
        (lambda: defocus.ZoomBlur(0.9), "max_factor must be a number of at least 1, or two in rising order"),
        (lambda: defocus.GlassBlur(max_delta=0), "max_delta must be a whole number"),
        (lambda: sharpen.UnsharpMask(alpha=-1), "alpha must be"),
        (lambda: blur.AdvancedBlur(beta=(2, 3)), "beta must be a range"),
        (lambda: sharpen.Emboss(alpha=(0.5, 1.5)), r"alpha must be a number in \[0, 1\], or two in rising order"),
        (
            lambda: sharpen.RingingOvershoot(cutoff=4.0),
            r"cutoff must be a number above 0 and at most 3\.14159, or two in rising order",
        ),
        (lambda: blur.BoxBlur(3, p=2), "BoxBlur: p must be a chance"),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], Layer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
