"""Displacements: fields and laws, the way back, and limits."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, index, arg-type, list-item, type-arg, operator, no-any-return, call-arg, call-overload"
from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf
from zoo import images
from zoo_warps import ZOO

from torchaug import Batch, Compose, Transform
from torchaug import image as T
from torchaug.image.distortion import ElasticTransform, GridDistortion, PiecewiseAffine, ThinPlateSpline
from torchaug.image.lenses import Fisheye, OpticalDistortion
from torchaug.image.shuffle import RandomGridShuffle
from torchaug.keys import sample_keys
from torchaug.transform import Sizes


def uniforms(transform: Transform, count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, transform.uniforms, generator=torch.Generator().manual_seed(seed))


def field(transform: ElasticTransform, u: Tensor, canvas: tuple[int, int], size: Tensor | None = None) -> Tensor:
    """The displacement of each pixel: (B, 2, H, W) in pixels."""
    return transform.numbers(u, Sizes.of(canvas, size, u))["field"]


def test_an_elastic_field_is_uniform_noise_before_the_blur() -> None:
    transform = ElasticTransform((2.0, 6.0), 0.0)
    x, y = field(transform, uniforms(transform, 4), (64, 64)).unbind(1)
    assert stats.kstest(x.flatten().numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert stats.kstest(y.flatten().numpy(), stats.uniform(-3, 6).cdf).pvalue > 1e-3
    assert abs(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1]) < 0.05


@pytest.mark.parametrize("sigma", [5.0, (3.0, 2.0)])
def test_an_elastic_field_is_blurred_as_torchvisions(sigma: float | tuple[float, float]) -> None:
    """Each axis with both sigmas, by a kernel of the length that its own sigma gives."""
    transform = ElasticTransform(50.0, sigma)
    u = uniforms(transform, 3)
    raw = field(ElasticTransform(50.0, 0.0), u, (48, 50))
    blurred = field(transform, u, (48, 50))
    for axis in (0, 1):
        taps = int(8 * transform.sigma[axis] + 1) | 1
        expected = tvf.gaussian_blur(raw[:, axis : axis + 1].double(), [taps, taps], list(transform.sigma))
        torch.testing.assert_close(blurred[:, axis : axis + 1].double(), expected, atol=2e-5, rtol=0)


def test_the_elastic_field_of_a_padded_image_is_that_of_the_image_alone() -> None:
    transform = ElasticTransform()
    u = uniforms(transform, 2)
    padded = field(transform, u, (40, 44), torch.tensor([[30, 33], [12, 9]]))
    torch.testing.assert_close(padded[:1, :, :30, :33], field(transform, u[:1], (30, 33)), atol=1e-5, rtol=0)
    torch.testing.assert_close(padded[1:, :, :12, :9], field(transform, u[1:], (12, 9)), atol=1e-5, rtol=0)


BACK = {
    **{name: t for name, t in ZOO.items() if name != "grid_shuffle"},
    "strong_grid": GridDistortion(6, 0.9, normalized=False, p=1.0),
    "strong_lens": OpticalDistortion((0.5, 2), p=1.0),
    "pincushion": OpticalDistortion((-0.4, -0.1), p=1.0),
    "strong_fisheye": Fisheye((-0.8, 0.8), 0.8, (0.3, 3), p=1.0),
}


@pytest.mark.parametrize("name", BACK)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_way_back_ends_where_the_way_began(name: str, seed: int) -> None:
    """Output coordinates -> input -> output; where a fisheye folds, any output with that input will do."""
    warp = BACK[name]
    u = uniforms(warp, 4, seed)
    path = warp.link(u, torch.tensor([True, True, True, False]), Sizes.of((32, 36), None, u))
    at = torch.rand(4, 50, 2, generator=torch.Generator().manual_seed(seed)) * torch.tensor([30.0, 26.0]) + 3
    at = at.double()
    x, y = path.to_input(at[..., 0], at[..., 1])
    again = path.to_output(x, y)
    torch.testing.assert_close(torch.stack(path.to_input(*again)), torch.stack([x, y]), atol=2e-3, rtol=0)
    if name != "strong_fisheye":
        torch.testing.assert_close(torch.stack(again, -1), at, atol=5e-3, rtol=0)
    assert torch.equal(x[3], at[3, :, 0])


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), height=st.integers(1, 20), width=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_a_shuffled_image_has_every_pixel_once(rows: int, columns: int, height: int, width: int) -> None:
    image = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width).expand(3, -1, -1, -1) + 1
    ys, xs = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    points = torch.stack([xs, ys], -1).view(1, -1, 2).expand(3, -1, -1)
    batch = Batch(image=image, keypoints=points, key=sample_keys(torch.arange(3)))
    out = RandomGridShuffle((rows, columns), p=1.0)(batch)
    for i in range(3):
        assert torch.equal(out.image[i].flatten().sort().values, image[i].flatten())
        x, y = out.keypoints[i].long().unbind(-1)
        assert torch.equal(out.image[i, 0, y, x], image[i].flatten())


def test_every_order_of_equal_tiles_is_as_likely_as_the_others() -> None:
    shuffle = RandomGridShuffle((2, 2))
    u = uniforms(shuffle, 4800)
    source = shuffle.drawn(u, Sizes.of((8, 8), None, u))["source"]
    counts = torch.bincount((source * torch.tensor([64, 16, 4, 1])).sum(1))
    counts = counts[counts > 0]
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_tiles_are_split_and_exchanged_as_albumentations() -> None:
    """Parts differ by a pixel at most, which are the longer ones is drawn, and tiles change places with their equals."""
    shuffle = RandomGridShuffle((3, 4))
    u = uniforms(shuffle, 600)
    drawn = shuffle.drawn(u, Sizes.of((20, 23), None, u))
    heights, widths = drawn["rows"].diff(), drawn["columns"].diff()
    assert torch.equal(heights.sort(1).values, torch.tensor([6.0, 7.0, 7.0]).expand(600, -1))
    assert torch.equal(widths.sort(1).values, torch.tensor([5.0, 6.0, 6.0, 6.0]).expand(600, -1))
    assert stats.chisquare((heights == 6).sum(0).numpy()).pvalue > 1e-3
    assert stats.chisquare((widths == 5).sum(0).numpy()).pvalue > 1e-3
    tall, wide = heights.repeat_interleave(4, 1), widths.repeat(1, 3)
    assert torch.equal(tall.gather(1, drawn["source"]), tall)
    assert torch.equal(wide.gather(1, drawn["source"]), wide)


def test_a_grid_without_distortion_changes_nothing() -> None:
    for grid in (GridDistortion(5, 0.0, p=1.0), GridDistortion(3, 0.0, normalized=False, p=1.0)):
        assert torch.equal(grid(images()), images())


def test_a_normalized_grid_keeps_the_corners_and_its_factors_are_uniform() -> None:
    grid = GridDistortion(4, 0.3, p=1.0)
    u = uniforms(grid, 1000)
    columns = grid.drawn(u, Sizes.of((32, 36), None, u))["columns"]
    torch.testing.assert_close(columns[:, [0, -1]], torch.tensor([[0.0, 36.0]]).expand(1000, -1))
    free = GridDistortion(4, 0.3, normalized=False)
    factors = free.drawn(u, Sizes.of((32, 36), None, u))["columns"].diff() / 9
    assert stats.kstest(factors.flatten().numpy(), stats.uniform(0.7, 0.6).cdf).pvalue > 1e-3


def test_the_points_of_a_piecewise_map_are_normal_and_stay_on_the_image() -> None:
    warp = PiecewiseAffine(0.3, 5, 4)
    u = uniforms(warp, 400)
    size = Sizes.of((320, 360), None, u)
    points = warp.drawn(u, size)["points"]
    even = warp.drawn(torch.full_like(u[:1], 0.5), size)["points"]
    inner = (points - even)[:, :, 1:-1, 1:-1].flatten() / 32  # three deviations are 0.3 * 320 pixels
    assert stats.kstest(inner.numpy(), stats.norm.cdf).pvalue > 1e-3
    assert points.min() >= 0
    assert (points.amax((0, 2, 3)) <= torch.tensor([360.0, 320.0])).all()
    absolute = PiecewiseAffine(96, 5, 4, absolute_scale=True).drawn(u, size)["points"]
    torch.testing.assert_close(absolute, points)


def test_pins_of_a_plate_carry_the_image_with_them() -> None:
    warp = ThinPlateSpline(0.3)
    u = uniforms(warp, 8)
    size = Sizes.of((32, 36), None, u)
    half = torch.tensor([18.0, 16.0], dtype=torch.float64)
    at = (warp.drawn(u, size)["pins"].double() + 1) * half
    dx, dy = warp.displacement(at[..., 0], at[..., 1], warp.numbers(u, size), size)
    expected = (torch.tensor(ThinPlateSpline.PINS, dtype=torch.float64) + 1) * half
    torch.testing.assert_close(at + torch.stack([dx, dy], -1), expected.expand(8, -1, -1), atol=1e-4, rtol=0)


def test_pins_that_all_meet_leave_the_image_as_it_is() -> None:
    warp = ThinPlateSpline(1.0)
    u = torch.tensor([[1.0, 1, 1, 0, 0, 1, 0, 0, 0.5, 0.5]])
    size = Sizes.of((32, 36), None, u)
    assert (warp.drawn(u, size)["pins"] == 0).all()
    at = torch.rand(2, 1, 40, generator=torch.Generator().manual_seed(0)) * 30
    assert torch.stack(warp.displacement(*at, warp.numbers(u, size), size)).abs().max() < 1e-5


def test_a_warp_folds_with_a_crop_into_one_resampling() -> None:
    """A crop of the warped image, which a sharper single resampling equals where the crop moves whole pixels."""
    warp, crop = ThinPlateSpline(p=1.0), T.CenterCrop((20, 22))
    chain = Compose([warp, crop])
    assert len(chain.runs()) == 1
    keys = sample_keys(torch.arange(5))
    batch = Batch(image=images().float() / 255, key=keys)
    separate = Compose([warp, crop], geometry="sequential")(batch)
    torch.testing.assert_close(chain(batch).image, separate.image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["elastic", "optical_distortion", "thin_plate", "grid_distortion", "fisheye"])
def test_a_warp_is_undone(name: str) -> None:
    """But for what two resamplings blur."""
    chain = Compose([ZOO[name]])
    ramp = torch.linspace(0, 1, 36).expand(3, 3, 32, 36)
    batch = Batch(image=ramp, keypoints=torch.tensor([[[12.0, 9.0], [20.0, 17.0]]]).expand(3, -1, -1))
    params = chain.draw(batch.replace(key=sample_keys(torch.arange(3))))
    back = chain.inverse(chain.apply(batch, params), params)
    inside = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    torch.testing.assert_close(back.image[inside], ramp[inside], atol=2e-2, rtol=0)
    torch.testing.assert_close(back.keypoints, batch.keypoints, atol=1e-2, rtol=0)


EXTREMES = {
    "elastic": ElasticTransform(1e4, (0.0, 9.0)),
    "grid": GridDistortion(50, 0.999, normalized=False, p=1.0),
    "lens": OpticalDistortion(1e3, p=1.0),
    "fisheye_lens": OpticalDistortion(1e3, "fisheye", p=1.0),
    "fisheye": Fisheye(9, 9, (1e-3, 20), p=1.0),
    "piecewise": PiecewiseAffine(90, 2, 7, p=1.0),
    "spline": ThinPlateSpline(3.0, p=1.0),
    "shuffle": RandomGridShuffle((7, 5), p=1.0),
}


@pytest.mark.parametrize("name", EXTREMES)
@given(height=st.integers(1, 9), width=st.integers(1, 9), channels=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_extreme_warps_give_no_nan(name: str, height: int, width: int, channels: int, seed: int) -> None:
    image = torch.rand(3, channels, height, width, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(3, 1, 4)
    keys = sample_keys(torch.arange(3), seed=seed)
    for pixels in (image, image.detach()):
        out = EXTREMES[name](Batch(image=pixels, keypoints=torch.rand(3, 2, 2), boxes=boxes, key=keys))
        for value in (out.image, out.keypoints, out.boxes):
            assert torch.isfinite(value).all()
        assert out.image.min() >= -1e-5
        assert out.image.max() <= 1 + 1e-5
        assert math.prod(out.image.shape) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ElasticTransform(alpha=-1), "alpha must be a number of at least 0"),
        (lambda: ElasticTransform(sigma=(1, 2, 3)), "sigma must be a number of at least 0"),
        (lambda: ElasticTransform(interpolation="cubic"), "interpolation must be"),
        (lambda: GridDistortion(0), "num_steps must be a whole number of at least 1"),
        (lambda: GridDistortion(5, 1.0), "distort_limit must be between -1 and 1"),
        (lambda: OpticalDistortion(mode="lens"), "mode must be 'camera' or 'fisheye', got 'lens'"),
        (lambda: OpticalDistortion((0.3, 0.1)), "distort_limit must be one number"),
        (lambda: Fisheye(gamma=0), "gamma must be a number above 0"),
        (lambda: PiecewiseAffine(nb_rows=1), "nb_rows must be a whole number of at least 2"),
        (lambda: PiecewiseAffine((0.2, 0.1)), "scale must be a number of at least 0"),
        (lambda: ThinPlateSpline(-0.1), "scale must be a number of at least 0, got -0.1"),
        (lambda: RandomGridShuffle((0, 2)), "grid must be"),
    ],
)
def test_wrong_arguments_of_warps_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
