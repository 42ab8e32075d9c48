"""Laws of illumination and weather, their limits, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from torchaug import Batch, Transform
from torchaug.image.drops import RandomRain, RandomSpatter
from torchaug.image.filters import gaussian
from torchaug.image.illumination import (
    RandomGaussianIllumination,
    RandomLinearCornerIllumination,
    RandomLinearIllumination,
)
from torchaug.image.plasma import RandomPlasmaBrightness, RandomPlasmaContrast, RandomPlasmaShadow, plasma
from torchaug.image.weather import RandomFog, RandomShadow, RandomSnow, RandomSunFlare
from torchaug.keys import sample_keys, uniforms
from torchaug.transform import Sizes


def drawn(transform: Transform, count: int = 4000, canvas: tuple[int, int] = (40, 60)) -> dict[str, Tensor]:
    u = uniforms(sample_keys(torch.arange(count), seed=9), transform.uniforms)
    return transform.drawn(u, Sizes.of(canvas, None, u))


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    assert stats.kstest(values.double().numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3


def fractals(count: int, canvas: tuple[int, int], roughness: float = 0.5, channels: int = 1) -> Tensor:
    u = uniforms(sample_keys(torch.arange(count), seed=2), 2)
    return plasma(u, torch.full((count,), roughness), Sizes.of(canvas, None, u), channels)


@pytest.mark.parametrize("kind", [RandomLinearIllumination, RandomLinearCornerIllumination])
def test_light_comes_from_each_side_alike_and_brightens_half_of_the_time(kind: Callable[..., Transform]) -> None:
    numbers = drawn(kind(gain=(0.1, 0.4)))
    assert_uniform(numbers["gain"], 0.1, 0.4)
    assert stats.chisquare(torch.bincount(numbers["direction"], minlength=4).numpy()).pvalue > 1e-3
    assert stats.binomtest(int((numbers["sign"] > 0).sum()), 4000).pvalue > 1e-3
    assert (drawn(kind(sign=-0.5))["sign"] == -1).all()


def test_the_spot_of_light_is_drawn_along_both_axes_and_peaks_where_it_says() -> None:
    light = RandomGaussianIllumination(gain=0.5, sign=1.0, center=(0.2, 0.8), sigma=(0.1, 0.3), p=1.0)
    numbers = drawn(light)
    for axis in (0, 1):
        assert_uniform(numbers["center"][:, axis], 0.2, 0.8)
        assert_uniform(numbers["sigma"][:, axis], 0.1, 0.3)
    batch = Batch(image=torch.zeros(20, 1, 40, 60), key=sample_keys(torch.arange(20)))
    params = light.draw(batch)
    image = light(batch).image
    assert image is not None
    torch.testing.assert_close(image.amax((1, 2, 3)), torch.full((20,), 0.5))
    assert (image.amin((1, 2, 3)) == 0).all()
    centre = light.drawn(params.u[:, 1:], Sizes.of((40, 60), None, params.u))["center"]
    peak = image.flatten(1).argmax(1)
    assert ((peak // 60 + 0.5 - centre[:, 0] * 40).abs() <= 0.51).all()
    assert ((peak % 60 + 0.5 - centre[:, 1] * 60).abs() <= 0.51).all()


@pytest.mark.parametrize("sigma", [0.0, 1e-6, 1.0])
def test_a_spot_of_any_width_stays_finite(sigma: float) -> None:
    out = RandomGaussianIllumination(gain=1.0, sign=1.0, sigma=sigma, p=1.0)(torch.zeros(50, 1, 9, 12))
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out.amax((1, 2, 3)), torch.ones(50))


def test_a_fractal_has_the_law_of_its_draws() -> None:
    field = fractals(2000, (33, 33))
    assert field.min() >= 0
    assert field.max() <= 1
    assert_uniform(field[:, 0, 0, 0], 0, 1)
    assert_uniform(field[:, 0, 32, 32], 0, 1)
    assert abs(field.mean() - 0.5) < 0.01
    centre = field[:, 0, 16, 16]  # the mean of four draws
    assert abs(centre.std() - math.sqrt(1 / 12 / 4)) < 0.005


def test_a_fractal_is_the_rougher_the_more_its_roughness() -> None:
    steps = [fractals(200, (33, 33), roughness).diff(dim=-1).abs().mean() for roughness in (0.0, 0.3, 0.6, 0.9)]
    assert steps == sorted(steps)


@given(height=st.integers(1, 20), width=st.integers(1, 20), more_rows=st.integers(0, 30), more=st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_a_fractal_does_not_depend_on_the_canvas(height: int, width: int, more_rows: int, more: int) -> None:
    u = uniforms(sample_keys(torch.arange(3)), 2)
    roughness, size = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([[height, width]] * 3)
    alone = plasma(u, roughness, Sizes.of((height, width), None, u), 2)
    padded = plasma(u, roughness, Sizes.of((height + more_rows, width + more), size, u), 2)
    torch.testing.assert_close(padded[..., :height, :width], alone)


def test_channels_of_plasma_brightness_differ_and_shadows_do_not() -> None:
    grey = torch.full((4, 3, 16, 16), 0.5)
    bright = RandomPlasmaBrightness(intensity=0.4, p=1.0)(grey)
    assert not torch.allclose(bright[:, 0], bright[:, 1])
    shaded = RandomPlasmaShadow(shade_intensity=-0.25, shade_quantity=0.5, p=1.0)(grey)
    assert torch.equal(shaded[:, 0], shaded[:, 1])
    assert shaded.unique().tolist() == [0.25, 0.5]
    assert 0.3 < (shaded < 0.5).float().mean() < 0.7
    assert torch.equal(RandomPlasmaContrast(p=1.0)(grey), grey)


def test_shadows_lie_in_their_region() -> None:
    shadow = RandomShadow(shadow_roi=(0.25, 0.5, 0.75, 1.0), num_shadows_limit=(1, 4), p=1.0)
    numbers = drawn(shadow, canvas=(40, 80))
    assert stats.chisquare(torch.bincount(numbers["count"], minlength=5)[1:].numpy()).pvalue > 1e-3
    x, y = numbers["vertices"].unbind(-1)
    assert [float(v) for v in (x.min(), x.max(), y.min(), y.max())] == [20, 59, 20, 39]
    out = shadow(torch.ones(50, 1, 40, 80))
    assert (out[..., :20, :] == 1).all()
    assert (out[..., :20] == 1).all()
    assert (out[..., 60:] == 1).all()
    assert (out.amin((1, 2, 3)) < 1).float().mean() > 0.9


def test_fog_of_coefficient_0_is_none_and_fog_whitens_by_half_its_coefficient() -> None:
    image = torch.rand(200, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(RandomFog(fog_coef_range=0.0, p=1.0)(image), image)
    black = RandomFog(fog_coef_range=0.8, p=1.0)(torch.zeros(500, 1, 16, 16))
    assert abs(black.mean() - 0.4) < 0.02
    tinted = RandomFog(fog_coef_range=1.0, fog_color=(0.9, 0.5, 0.1), p=1.0)(torch.zeros(50, 3, 16, 16))
    torch.testing.assert_close(tinted[:, 1] / 0.5, tinted[:, 2] / 0.1)


def test_each_kind_of_rain_has_its_number_of_drops() -> None:
    kinds: tuple[tuple[Literal["drizzle", "default", "heavy", "torrential"], int], ...]
    kinds = (("drizzle", 10), ("default", 13), ("heavy", 40), ("torrential", 80))
    for kind, drops in kinds:
        rain = RandomRain(
            slant_range=0.0,
            drop_length=1,
            drop_color=1.0,
            blur_value=1,
            brightness_coefficient=1.0,
            rain_type=kind,
            p=1.0,
        )
        wet = rain(torch.zeros(20, 1, 40, 400)).sum((1, 2, 3)) / 2  # a drop of length 1 goes on to a second row
        assert (wet <= drops).all()
        assert wet.float().mean() > 0.95 * drops - 1


def test_drops_slant_and_have_their_length_and_width() -> None:
    rain = RandomRain(
        (8, 8), drop_length=16, drop_width=3, drop_color=1.0, blur_value=1, brightness_coefficient=1.0, p=1.0
    )
    assert rain(torch.zeros(200, 1, 3, 30)).amax() == 1  # drops longer than the image are cut
    one = RandomRain((8, 8), drop_length=16, blur_value=1, brightness_coefficient=1.0, p=1.0)
    wet = one(torch.zeros(100, 1, 20, 400))[:, 0] > 0
    shifted = wet[:, 1:, 1:] & wet[:, :-1, :-1]  # down and to the right: half of the steps
    against = wet[:, 1:, :-1] & wet[:, :-1, 1:]
    assert shifted.sum() > 10 * against.sum()


def test_snow_lightens_dark_pixels_and_keeps_their_hue() -> None:
    image = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    snowed = RandomSnow(snow_point_range=0.2, p=1.0)(image)
    light = (image.amax(1) + image.amin(1)) / 2
    dark = light < 0.2 / 2 + 1 / 3
    bright = (~dark)[:, None].expand_as(image)
    assert torch.equal(snowed[bright], image[bright])
    after = (snowed.amax(1) + snowed.amin(1)) / 2
    torch.testing.assert_close(after[dark], (2.5 * light[dark]).clamp(max=1))
    assert torch.equal(image.argmax(1)[dark & (after < 1)], snowed.argmax(1)[dark & (after < 1)])


def test_the_sun_is_brightest_at_its_centre_and_close_to_a_stack_of_discs() -> None:
    flare = RandomSunFlare(src_radius=60, num_flare_circles_range=(6, 6), p=1.0)
    batch = Batch(image=torch.zeros(5, 1, 80, 80), key=sample_keys(torch.arange(5)))
    params = flare.draw(batch)
    numbers = flare.drawn(params.u[:, 1:], Sizes.of((80, 80), None, params.u))
    assert (drawn(flare)["count"] == 6).all()
    glow = flare._glow(numbers, Sizes.of((80, 80), None, params.u))
    alpha, radius = numbers["alpha"], numbers["radius"]
    peak = (5 * (alpha * radius).sum(1) / radius.sum(1)).clamp(max=1)
    rows, columns = torch.meshgrid(torch.arange(80), torch.arange(80), indexing="ij")
    for i in range(5):
        x, y = numbers["center"][i]
        distance = torch.hypot(columns - x, rows - y)
        light = torch.ones(80, 80)
        rings = torch.linspace(1, 60, 60)
        for ring in rings:  # ten times as many as albumentations, each a tenth as strong
            light = torch.where(distance <= ring, light * (1 - (peak[i] * (1 - ring / 60)) ** 3 / 10), light)
        torch.testing.assert_close(glow[i], 1 - light, atol=0.03, rtol=0)
        assert glow[i].argmax() == int(y) * 80 + int(x)


def test_liquid_covers_the_share_of_the_noise_above_the_threshold() -> None:
    spatter = RandomSpatter(intensity=1.0, mode="mud", color=1.0, p=1.0)
    out = spatter(torch.zeros(60, 1, 48, 48))
    weights = gaussian(torch.tensor([2.0]), 13)
    spread = 0.3 * float(weights.square().sum())
    assert abs(out.mean() - (1 - NormalDist(0.65, spread).cdf(0.68))) < 0.01
    assert out.max() <= 1 + 1e-6
    assert RandomSpatter(cutout_threshold=9.0, p=1.0)(torch.zeros(2, 3, 9, 9)).abs().max() == 0


WEATHER: dict[str, Callable[..., Transform]] = {
    kind.__name__: kind
    for kind in (
        RandomLinearIllumination,
        RandomLinearCornerIllumination,
        RandomGaussianIllumination,
        RandomPlasmaBrightness,
        RandomPlasmaContrast,
        RandomPlasmaShadow,
        RandomShadow,
        RandomFog,
        RandomRain,
        RandomSnow,
        RandomSunFlare,
        RandomSpatter,
    )
}


@pytest.mark.parametrize("kind", WEATHER.values(), ids=WEATHER)
def test_any_number_of_channels_and_any_float_dtype_will_do(kind: Callable[..., Transform]) -> None:
    for channels in (1, 2, 5):
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            image = torch.rand(2, channels, 9, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
            out = kind(p=1.0)(image)
            assert out.dtype == dtype
            assert torch.isfinite(out).all()
            assert out.min() >= 0
            assert out.max() <= 1


@pytest.mark.parametrize("kind", WEATHER.values(), ids=WEATHER)
def test_half_of_the_samples_are_transformed_by_default(kind: Callable[..., Transform]) -> None:
    image = torch.full((400, 3, 24, 24), 0.3)
    image[:, :, ::2] = 0.6
    changed = (kind()(image, keys=sample_keys(torch.arange(400))) != image).flatten(1).any(1).sum()
    assert 120 < changed < 250  # a shadow may fall nowhere


EXTREMES: dict[str, Transform] = {
    "plasma": RandomPlasmaBrightness(roughness=1.0, intensity=1e6, p=1.0),
    "shade": RandomPlasmaShadow(roughness=0.0, shade_intensity=-1.0, shade_quantity=(0.0, 1.0), p=1.0),
    "spot": RandomGaussianIllumination(gain=1.0, center=(0.0, 1.0), sigma=(0.0, 1.0), p=1.0),
    "shadow": RandomShadow((0.0, 0.0, 1.0, 1.0), (1, 5), 3, (0.0, 1.0), p=1.0),
    "rain": RandomRain((-500, 500), drop_width=4, blur_value=9, rain_type="torrential", p=1.0),
    "long_rain": RandomRain((0, 0), drop_length=99, p=1.0),
    "snow": RandomSnow(1e6, (0.0, 1.0), p=1.0),
    "sun": RandomSunFlare((0.0, 0.0, 1.0, 1.0), src_radius=1, num_flare_circles_range=(1, 1), p=1.0),
    "spatter": RandomSpatter((0.0, 9.0), (0.0, 9.0), (0.001, 5.0), (0.0, 9.0), (0.0, 1.0), p=1.0),
}


@pytest.mark.parametrize("transform", EXTREMES.values(), ids=EXTREMES)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    seed=st.integers(0, 2**31),
    value=st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=15, deadline=None)
def test_extreme_arguments_give_finite_images(
    transform: Transform, height: int, width: int, seed: int, value: float
) -> None:
    image = torch.full((3, 3, height, width), value)
    image[1] = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    out = transform(image, keys=sample_keys(torch.arange(3), seed=seed))
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RandomLinearIllumination(gain=(0.3, 0.1)), r"gain must be a number in \[0, 1\]"),
        (lambda: RandomLinearIllumination(sign=2.0), r"sign must be a number in \[-1, 1\]"),
        (lambda: RandomGaussianIllumination(center=(0.1, 1.1)), "center must be"),
        (lambda: RandomPlasmaBrightness(intensity=-1.0), "intensity must be a number of at least 0"),
        (lambda: RandomPlasmaShadow(shade_intensity=0.5), "shade_intensity must be"),
        (lambda: RandomShadow(shadow_roi=(0.5, 0, 0.5, 1)), "shadow_roi must be"),
        (lambda: RandomShadow(shadow_dimension=2), "shadow_dimension must be a whole number of at least 3"),
        (lambda: RandomShadow(num_shadows_limit=(0, 2)), "num_shadows_limit must be"),
        (lambda: RandomFog(fog_color=2.0), "fog_color must be in"),
        (lambda: RandomFog(p=1.5), "p must be a chance"),
        (lambda: RandomRain(blur_value=4), "blur_value must be odd"),
        (lambda: RandomRain(drop_width=0), "drop_width must be"),
        (lambda: RandomRain(rain_type="fine"), "rain_type must be 'drizzle', 'default', 'heavy' or 'torrential'"),  # type: ignore[arg-type]
        (lambda: RandomSnow(brightness_coeff=0.5), "brightness_coeff must be a number of at least 1"),
        (lambda: RandomSunFlare(src_radius=0), "src_radius must be"),
        (lambda: RandomSpatter(gauss_sigma=0.0), "gauss_sigma must be"),
        (lambda: RandomSpatter(mode="dust"), "mode must be"),  # type: ignore[arg-type]
        (lambda: RandomFog(fog_color=(1.0, 0.5), p=1.0)(torch.rand(1, 3, 4, 4)), "2 values, the image 3 channels"),
    ],
)
def test_wrong_arguments_are_refused_by_name(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
