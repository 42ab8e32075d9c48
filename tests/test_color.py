"""Laws of colour transforms, their matrices, and their rules for channels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf
from zoo_color import ZOO

from torchaug import Compose
from torchaug.image.channels import ChannelDropout, RandomChannelPermutation, RGBShift, ToSepia
from torchaug.image.color import shift_hue
from torchaug.image.light import FancyPCA, ISONoise, PlanckianJitter, _poisson
from torchaug.image.pointwise import Color
from torchaug.image.tint import (
    Desaturate,
    Grayscale,
    HueSaturationValue,
    RandomAdjustSaturation,
    RandomPhotometricDistort,
)
from torchaug.keys import noise, normal
from torchaug.transform import Sizes, Transform


def drawn(transform: Transform, count: int = 20000) -> dict[str, Tensor]:
    u = torch.rand(count, transform.uniforms, generator=torch.Generator().manual_seed(0))
    return transform.drawn(u, Sizes.of((8, 8), None, u))


def far_from_bounds(channels: int = 3) -> Tensor:
    return 0.4 + 0.2 * torch.rand(6, channels, 16, 18, generator=torch.Generator().manual_seed(0))


AFFINE: dict[str, Color] = {
    "saturation": RandomAdjustSaturation((0.0, 1.5), p=0.7),
    "desaturate": Desaturate(p=0.7),
    "sepia": ToSepia(p=0.7),
    "shift": RGBShift(0.2, (-0.1, 0.2), 0.1, p=0.7),
    "planckian": PlanckianJitter("cied", p=0.7),
    "pca": FancyPCA(0.2, p=0.7),
}


@pytest.mark.parametrize("transform", AFFINE.values(), ids=AFFINE)
def test_where_nothing_is_clamped_a_matrix_says_the_same_as_the_map(transform: Color) -> None:
    image = far_from_bounds()
    folded = Compose([transform], color="folded")(image, generator=torch.Generator().manual_seed(1))
    exact = Compose([transform])(image, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(exact, image)
    torch.testing.assert_close(folded, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 5])
def test_saturation_of_other_channel_counts_is_a_matrix_too(channels: int) -> None:
    image = far_from_bounds(channels)
    results = [
        Compose([Desaturate()], color=color)(image, generator=torch.Generator().manual_seed(1))
        for color in ("folded", "exact")
    ]
    torch.testing.assert_close(*results, rtol=0, atol=1e-6)
    assert torch.equal(results[1], image) == (channels == 1)


def test_each_distortion_has_its_own_chance() -> None:
    values = drawn(RandomPhotometricDistort(p=0.3))
    error = 4 * math.sqrt(0.25 / 20000)
    applied = {name: values[name] != 1 for name in ("brightness", "contrast", "saturation")}
    applied["hue"] = values["hue"] != 0
    for name, done in applied.items():
        assert abs(done.double().mean() - 0.3) < error, name
    for (a, first), (b, second) in itertools.combinations(applied.items(), 2):
        assert abs((first & second).double().mean() - 0.09) < error, (a, b)
    assert abs(values["contrast_first"].double().mean() - 0.5) < error
    steps = torch.stack([values[name].double() for name in (*applied, "contrast_first")])
    assert (torch.corrcoef(steps) - torch.eye(5)).abs().max() < 4 / 20000**0.5
    moved = (values["order"] != torch.arange(3)).any(1).double().mean()
    assert abs(moved - 0.3 * 5 / 6) < error
    assert values["contrast"][applied["contrast"]].min() >= 0.5
    assert values["contrast"].max() <= 1.5


def test_a_distortion_that_never_happens_keeps_every_bit() -> None:
    image = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(RandomPhotometricDistort(p=0.0)(image), image)
    assert torch.equal(RandomPhotometricDistort(p=1.0).eval()(image), image)


def test_every_order_of_channels_is_equally_likely() -> None:
    marks = torch.tensor([0.0, 0.25, 0.5])[None, :, None, None].expand(12000, -1, 1, 1)
    out = RandomChannelPermutation()(marks, generator=torch.Generator().manual_seed(0))[..., 0, 0]
    codes = (out * 4).long() @ torch.tensor([9, 3, 1])
    counts = torch.stack([(codes == code).sum() for code in codes.unique()])
    assert len(counts) == 6
    assert ((counts - 2000.0).square() / 2000).sum() < 20.5  # chi-square, 5 degrees, p = 0.001


def test_every_channel_is_dropped_equally_often_and_as_many_as_asked() -> None:
    ones = torch.ones(12000, 4, 1, 1)
    out = ChannelDropout((1, 3), p=1.0)(ones, generator=torch.Generator().manual_seed(0))[..., 0, 0]
    gone = (out == 0).sum(1)
    assert set(gone.tolist()) == {1, 2, 3}
    counts = torch.bincount(gone)[1:]
    assert ((counts - 4000.0).square() / 4000).sum() < 13.8  # chi-square, 2 degrees, p = 0.001
    assert ((out == 0).double().mean(0) - 0.5).abs().max() < 4 * 0.5 / 12000**0.5


def test_the_first_channels_are_treated_as_without_the_others() -> None:
    """Scores belong to channels: `describe` shows those of the first three, whatever the image has."""
    scores = drawn(RandomChannelPermutation(), 5)["scores"]
    u = torch.rand(20000, 2, generator=torch.Generator().manual_seed(0))[:5]
    assert torch.equal(noise(u, (7,))[:, :3], scores)


def test_poisson_numbers_have_their_mean_and_variance() -> None:
    field = normal(torch.rand(3, 400, 500, generator=torch.Generator().manual_seed(0)))
    rates = torch.tensor([0.0, 0.1, 0.5])
    counts = _poisson(field, rates).double().flatten(1)
    error = 5 * (rates / 200000).sqrt()
    assert ((counts.mean(1) - rates).abs() <= error).all()
    assert ((counts.var(1) - rates).abs() <= 5 * ((rates + 2 * rates**2) / 200000).sqrt()).all()


def test_the_hue_of_iso_noise_spreads_as_documented() -> None:
    red = torch.tensor([1.0, 0.2, 0.2])[None, :, None, None].expand(1, -1, 200, 200)
    out = ISONoise(0.1, 0.2, p=1.0)(red)  # one lightness only: no noise of the lightness
    turn = torch.where(out[:, 1] > 0.2 + 1e-5, out[:, 1] - 0.2, 0.2 - out[:, 2]) / 0.8 / 6
    assert abs(turn.std() - 0.02) < 5e-4
    assert abs(turn.mean()) < 5e-4


def test_light_is_neutral_where_its_table_is() -> None:
    """Daylight of 6500 K has as much red as green as blue."""
    image = torch.full((1, 3, 2, 2), 0.5)
    out = PlanckianJitter("cied", (6500.0, 6500.0), p=1.0)(image)
    assert (out - image).abs().max() < 0.002
    warm, cold = (PlanckianJitter("blackbody", (t, t), p=1.0)(image)[0, :, 0, 0] for t in (3000.0, 15000.0))
    assert warm[0] > 0.8
    assert warm[2] < 0.01
    assert cold[0] < 0.4
    assert cold[2] > 0.7


def test_components_of_another_data_set_suit_its_channels() -> None:
    spectral = FancyPCA(1.0, eigenvalues=[0.1], eigenvectors=[[0.5, 0.5, 0.5, 0.5]], p=1.0)
    image = torch.full((3, 4, 2, 2), 0.5)
    shift = (spectral(image) - image)[:, :, 0, 0]
    assert shift.abs().min() > 0
    torch.testing.assert_close(shift, shift[:, :1].expand(-1, 4))
    with pytest.raises(ValueError, match="4 channels, as the eigenvectors have, got 3"):
        spectral(torch.rand(2, 3, 4, 4))


def test_grey_pixels_stay_grey_in_hsv() -> None:
    grey = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    out = HueSaturationValue(0.5, (0.5, 1.0), 0.2, p=1.0)(grey)
    torch.testing.assert_close(out, out[:, :1].expand(-1, 3, -1, -1), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["gray", "gray_of_three", "saturation", "desaturate", "photometric_distort"])
def test_one_channel_is_grey_and_stays_so(name: str) -> None:
    image = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    out = ZOO[name](image)
    assert out.shape[1] == (3 if name == "gray_of_three" else 1)
    if name != "photometric_distort":
        torch.testing.assert_close(out, image.expand_as(out))


@pytest.mark.parametrize("name", ["sepia", "rgb_shift", "hsv", "planckian", "fancy_pca", "iso_noise"])
def test_what_needs_red_green_and_blue_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=r"3 channels.*got 4"):
        ZOO[name](torch.rand(2, 4, 6, 6))


@pytest.mark.parametrize(
    ("transform", "channels", "message"),
    [
        (Grayscale(), 2, "1 or 3 channels, got 2"),
        (RandomPhotometricDistort(), 5, "1 or 3 channels, got 5"),
        (ChannelDropout((1, 2), p=1.0), 2, "more than 2 channels, got 2"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_an_image_that_does_not_fit_is_refused(transform: Transform, channels: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transform(torch.rand(2, channels, 6, 6))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grayscale(2), "num_output_channels must be 1 or 3, got 2"),
        (lambda: RandomAdjustSaturation(-1.0), "saturation_factor"),
        (lambda: Desaturate(1.5), r"amount must be .* in \[0, 1\]"),
        (lambda: RandomPhotometricDistort(hue=(-0.7, 0.1)), "hue"),
        (lambda: ChannelDropout((0, 1)), "channel_drop_range"),
        (lambda: ChannelDropout(fill=3.0), "fill"),
        (lambda: RGBShift(20), "got 20; divide levels of uint8 by 255"),
        (lambda: HueSaturationValue(sat_shift_limit=(0.3, 0.1)), "sat_shift_limit"),
        (lambda: PlanckianJitter("candle"), "mode"),  # type: ignore[arg-type]
        (lambda: PlanckianJitter("cied", (3000.0, 5000.0)), r"temperature_limit .* \[4000, 15000\]"),
        (lambda: FancyPCA(-0.1), "alpha"),
        (
            lambda: FancyPCA(eigenvectors=[[1.0, 0.0, 0.0]]),
            "eigenvalues must be numbers, and eigenvectors one row for each of them, of equal length",
        ),
        (lambda: ISONoise(intensity=1.5), "intensity"),
    ],
)
def test_a_wrong_argument_is_named(make: Callable[[], Transform], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("widest", [0.1, 1 / 6, 0.5])
def test_a_hue_turns_as_torchvision_s_at_every_angle(widest: float) -> None:
    """Also where a turn is a third or a sixth of the circle, on grey, on pure colours and where two channels are equal."""
    turns = torch.cat([torch.linspace(-widest, widest, 25), torch.tensor([0.0, 1.0, -1.0, 0.5]) * min(widest, 1 / 3)])
    levels = torch.tensor([0.0, 0.25, 0.5, 1.0])
    any_colours = torch.rand(3, 1, 200, generator=torch.Generator().manual_seed(0)).sqrt()
    colours = torch.cat([torch.cartesian_prod(levels, levels, levels).T[:, None], any_colours], 2)
    images = colours.expand(len(turns), -1, -1, -1)
    found = torch.stack(shift_hue(list(images.unbind(1)), turns, widest), 1)
    expected = torch.stack([tvf.adjust_hue(colours, float(turn)) for turn in turns])
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    assert torch.equal(found[turns == 0], images[turns == 0])
