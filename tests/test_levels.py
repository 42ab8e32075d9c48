"""Functions of levels against torchvision to the last bit, and what the conformance cases do not ask of tone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf
from zoo_color import ZOO as COLOR
from zoo_levels import ZOO as LEVELS

from torchaug.image import levels
from torchaug.image.clahe import CLAHE
from torchaug.image.pointwise import Frame, Planes
from torchaug.image.resample import as_dtype, as_float, own_pixels
from torchaug.image.tone import (
    RandomAdjustSharpness,
    RandomGamma,
    RandomPosterize,
    RandomSolarize,
    RandomToneCurve,
    SolarizeAdd,
)
from torchaug.transform import Layer, Sizes, Transform

ZOO = LEVELS | COLOR


def noise(count: int = 16, channels: int = 3, height: int = 33, width: int = 37, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def frame_of(image: Tensor, size: Tensor | None = None) -> Frame:
    own = None if size is None else own_pixels(image, size)[:, 0]
    sizes = Sizes.of((image.shape[-2], image.shape[-1]), size, torch.zeros(len(image)))
    return Frame(sizes, own, image.dtype == torch.uint8)


def on_images(function: Callable[..., Planes], image: Tensor, *parameters: Tensor) -> Tensor:
    planes = list(as_float(image).unbind(1))
    return as_dtype(torch.stack(function(planes, *parameters, frame_of(image)), 1), image.dtype)


def sharpened(image: Tensor, factor: Tensor) -> Tensor:
    return as_dtype(levels.sharpness(as_float(image), factor, frame_of(image)), image.dtype)


IMAGES = {
    "noise": noise(),
    "grey": noise(channels=1).expand(-1, 3, -1, -1),
    "one channel": noise(channels=1),
    "flat": torch.arange(0, 256, 16, dtype=torch.uint8)[:, None, None, None].expand(16, 3, 8, 8),
    "dark": noise() // 16,
    "two by two": noise(height=2, width=2),
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_blend_equals_torchvision_to_the_last_bit(image: Tensor, name: str, dtype: torch.dtype) -> None:
    image = image if dtype == torch.uint8 else image / 255
    factors = torch.linspace(0, 3, len(image))
    ours = sharpened(image, factors) if name == "sharpness" else on_images(getattr(levels, name), image, factors)
    adjust = getattr(tvf, f"adjust_{name}")
    expected = torch.stack([adjust(x, f) for x, f in zip(image, factors.tolist(), strict=True)])
    # the last few values, which a CPU's vectors leave over, torchvision rounds another way: no exactness on 2 x 2
    exact = 0 if image.shape[-1] > 2 else 1
    assert (ours.double() - expected.double()).abs().max() <= (exact if dtype == torch.uint8 else 1e-6)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_operation_on_levels_equals_torchvision_to_the_last_bit(image: Tensor, dtype: torch.dtype) -> None:
    image = image if dtype == torch.uint8 else image / 255
    bits, thresholds = torch.arange(16) % 9, torch.arange(0, 256, 17)
    bound = 255 if dtype == torch.uint8 else 1
    pairs: list[tuple[Tensor, Callable[[Tensor, int], Tensor]]] = [
        (on_images(levels.posterize, image, bits), lambda x, i: tvf.posterize(x, int(bits[i]))),
        (on_images(levels.autocontrast, image), lambda x, i: tvf.autocontrast(x)),
        (on_images(levels.equalize, image), lambda x, i: tvf.equalize(x)),
        (
            on_images(levels.solarize, image, thresholds / 255),
            lambda x, i: tvf.solarize(x, float(thresholds[i] / 255) * bound if bound == 1 else float(thresholds[i])),
        ),
    ]
    for ours, theirs in pairs:
        expected = torch.stack([theirs(x, i) for i, x in enumerate(image)])
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_padding_has_no_part_in_statistics(name: str) -> None:
    image, size = (noise(2) // 2).clamp(max=40), torch.tensor([[30, 30], [33, 18]])
    image = torch.where(own_pixels(image, size), image, 255)  # brighter than all of the image's own
    planes = getattr(levels, name)(list(as_float(image).unbind(1)), frame_of(image, size))
    for i, (height, width) in enumerate(size.tolist()):
        alone = getattr(tvf, name)(image[i, :, :height, :width])
        assert torch.equal(as_dtype(torch.stack(planes, 1), torch.uint8)[i, :, :height, :width], alone)


def test_nan_pixels_do_not_crash_a_histogram() -> None:
    image = torch.full((2, 3, 4, 4), torch.nan)
    for name in ("equalize", "clahe"):
        ZOO[name](image)


EXTREMES: dict[str, Layer] = ZOO | {
    "gamma_extreme": RandomGamma((1e-3, 100.0), gain=(0.0, 1e4), p=1.0),
    "posterize_all": RandomPosterize((0, 8), p=1.0),
    "sharpness_extreme": RandomAdjustSharpness((0.0, 1e4), p=1.0),
    "solarize_all": RandomSolarize(0.0, p=1.0),
    "tone_extreme": RandomToneCurve(100.0, per_channel=True, p=1.0),
    "clahe_one_tile": CLAHE((1.0, 1e4), 1, p=1.0),
}
FLAT = {"black": 0.0, "white": 1.0, "grey": 0.5}


@pytest.mark.parametrize("transform", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("value", FLAT.values(), ids=FLAT)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 9)])
def test_flat_and_tiny_images_stay_finite_and_in_range(transform: Layer, value: float, shape: tuple[int, int]) -> None:
    out = transform(torch.full((4, 3, *shape), value))
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("transform", ZOO.values(), ids=ZOO)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_any_image_comes_out_finite_in_range_and_in_its_dtype(transform: Layer, data: Any) -> None:
    height, width, count = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)), data.draw(st.integers(0, 3)))
    dtype = data.draw(st.sampled_from([torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64]))
    image = noise(count, 3, height, width, seed=data.draw(st.integers(0, 1000)))
    image = image if dtype == torch.uint8 else (image / 255).to(dtype)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    out = transform(image, generator=generator)
    assert out.dtype == dtype
    assert torch.isfinite(out.float()).all()
    if count:
        assert out.min() >= 0
        assert out.max() <= (255 if dtype == torch.uint8 else 1)


@pytest.mark.parametrize("name", [n for n, t in ZOO.items() if isinstance(t, Transform) and t.differentiable])
@pytest.mark.parametrize("value", FLAT.values(), ids=FLAT)
def test_gradients_of_flat_images_are_finite_twice(name: str, value: float) -> None:
    image = torch.full((4, 3, 5, 6), value, requires_grad=True)
    (gradient,) = torch.autograd.grad((ZOO[name](image) ** 3).sum(), image, create_graph=True)
    assert torch.isfinite(gradient).all()
    if gradient.requires_grad:
        (second,) = torch.autograd.grad(gradient.square().sum(), image, allow_unused=True)
        assert second is None or torch.isfinite(second).all()


@pytest.mark.parametrize("transform", ZOO.values(), ids=ZOO)
def test_a_transform_can_be_made_again_from_its_attributes(transform: Layer) -> None:
    arguments = {name: getattr(transform, name) for name in inspect.signature(type(transform)).parameters}
    again = type(transform)(**arguments)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    first, second = (t(noise(4), generator=g) for t, g in zip((transform, again), generators, strict=True))
    assert torch.equal(first, second)


ANY_CHANNELS = [name for name in LEVELS if not name.startswith(("clahe", "superpixels"))]  # these look at all together


@pytest.mark.parametrize("name", ANY_CHANNELS)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_tone_takes_any_number_of_channels_one_like_the_other(name: str, channels: int) -> None:
    """Equal channels come out equal, unless each has its own curve; and the first three as they do without the rest."""
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    image = noise(4, channels)
    out = LEVELS[name](image, generator=generators[0])
    first = LEVELS[name](image[:, :1], generator=generators[1])
    assert torch.equal(out[:, :1], first)
    assert out.shape == image.shape


def test_clahe_refuses_channels_that_have_no_lightness() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, got 4"):
        LEVELS["clahe"](noise(2, 4))


def drawn(transform: Transform, count: int = 20000) -> dict[str, Tensor]:
    u = torch.rand(count, transform.uniforms, generator=torch.Generator().manual_seed(0))
    return transform.drawn(u, Sizes.of((8, 8), None, u))


def test_bits_are_equally_likely() -> None:
    counts = torch.bincount(drawn(RandomPosterize((2, 5)))["bits"], minlength=9)
    assert counts[[0, 1, 6, 7, 8]].sum() == 0
    assert ((counts[2:6] - 5000).double().square() / 5000).sum() < 16.3  # chi-square, 3 degrees, p = 0.001


@pytest.mark.parametrize(
    ("transform", "ranges"),
    [
        (RandomSolarize((0.2, 0.6)), {"threshold": (0.2, 0.6)}),
        (RandomGamma((0.5, 2.0), gain=(0.9, 1.1)), {"gamma": (0.5, 2.0), "gain": (0.9, 1.1)}),
        (SolarizeAdd((0.1, 0.3), threshold=(0.4, 0.5)), {"addition": (0.1, 0.3), "threshold": (0.4, 0.5)}),
        (RandomAdjustSharpness((0.0, 3.0)), {"sharpness_factor": (0.0, 3.0)}),
        (CLAHE((1.0, 4.0)), {"clip_limit": (1.0, 4.0)}),
    ],
    ids=lambda x: type(x).__name__,
)
def test_factors_are_uniform_in_their_range(transform: Transform, ranges: dict[str, tuple[float, float]]) -> None:
    values = drawn(transform)
    assert values.keys() == ranges.keys()
    for name, (low, high) in ranges.items():
        place = ((values[name].double() - low) / (high - low)).sort().values
        even = torch.arange(20000) / 20000
        assert (place - even).abs().max() < 1.95 / 20000**0.5, name  # Kolmogorov and Smirnov, p = 0.001


def test_the_points_of_a_tone_curve_are_normal() -> None:
    values = drawn(RandomToneCurve(0.05, per_channel=True))
    for name, mean in (("low", 0.25), ("high", 0.75)):
        assert values[name].shape == (20000, 3)
        assert (values[name].mean(0) - mean).abs().max() < 4 * 0.05 / 20000**0.5
        assert (values[name].std(0) - 0.05).abs().max() < 4 * 0.05 / 40000**0.5
    together = torch.corrcoef(torch.cat([values["low"], values["high"]], 1).T) - torch.eye(6)
    assert together.abs().max() < 4 / 20000**0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomPosterize(9), r"RandomPosterize: bits must be a whole number in \[0, 8\]"),
        (lambda: RandomPosterize(2.5), r"bits must be a whole number in \[0, 8\], or two in rising order"),  # type: ignore[arg-type]
        (lambda: RandomSolarize(128), "got 128; divide levels of uint8 by 255"),
        (lambda: RandomSolarize((0.6, 0.4)), "rising order"),
        (lambda: SolarizeAdd(-0.1), "addition"),
        (lambda: RandomGamma(0.0), "gamma must be .* at least 0.001"),
        (lambda: RandomGamma((1.0, float("inf"))), "gamma"),
        (lambda: RandomAdjustSharpness(-1.0), "sharpness_factor"),
        (lambda: RandomAdjustSharpness(float("nan")), "sharpness_factor"),
        (lambda: RandomToneCurve(-1.0), "scale"),
        (lambda: CLAHE(0.5), "clip_limit"),
        (lambda: CLAHE(2.0, (0, 8)), "tile_grid_size"),
        (lambda: RandomPosterize(3, p=1.5), "p must be a chance"),
    ],
)
def test_a_wrong_argument_is_named(make: Callable[[], Transform], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
