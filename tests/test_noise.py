"""Noise, dropout, compression and values: laws, labels, and what the conformance cases do not see."""

# mypy: disable-error-code="union-attr, no-untyped-call, arg-type, no-any-return"
from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conformance_noise import libjpeg
from PIL import Image as PILImage
from scipy import special, stats
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf
from zoo import images
from zoo_noise import ZOO

from torchaug import Batch, Compose, OneOf, Transform
from torchaug.image import degrade, dropout, grids, jpeg, pixels
from torchaug.image import noise as noises
from torchaug.image.erasing import RandomErasing
from torchaug.keys import noise, sample_keys, uniforms
from torchaug.transform import Layer, Sizes


def keys(count: int, seed: int = 2) -> Tensor:
    return sample_keys(torch.arange(count), seed=seed)


def draw(transform: Transform, count: int = 8000, canvas: tuple[int, int] = (32, 36)) -> dict[str, Tensor]:
    u = uniforms(keys(count), transform.uniforms)
    return transform.drawn(u, Sizes.of(canvas, None, u))


def within(values: Tensor, mean: float, std: float) -> bool:
    """Whether the mean of independent values is within 4 standard errors of what it should be."""
    return bool((values.double().mean() - mean).abs() <= 4 * std / math.sqrt(values.numel()))


# noise


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.7, 3.9, 4.1, 10.0, 80.0, 1e5])
def test_counts_are_the_inverse_distribution_function(rate: float) -> None:
    field = noise(uniforms(keys(1), 2), (50_000,))[0]
    counts = noises.poisson(torch.full_like(field, rate), field)
    expected = stats.poisson.ppf(special.ndtr(field.double().numpy()), rate)
    assert (counts.numpy() != expected).mean() <= 0.003 + 1e-7 * rate  # whole numbers of float32
    assert np.abs(counts.numpy() - expected).max() <= 1 + 1e-7 * rate
    assert within(counts, rate, math.sqrt(rate))


def test_shot_noise_keeps_the_mean_of_linear_light_and_grows_with_it() -> None:
    out = noises.ShotNoise((0.01, 0.01), p=1.0)(torch.full((4, 3, 64, 64), 0.5), keys=keys(4))
    linear = out.double() ** 2.2
    assert within(linear, 0.5**2.2, math.sqrt(0.01 * 0.5**2.2))
    assert abs(linear.var() / (0.01 * 0.5**2.2) - 1) < 0.05


def test_salt_and_pepper_come_in_the_shares_asked_for() -> None:
    out = noises.SaltAndPepper(0.3, 0.8, p=1.0)(torch.full((4, 3, 64, 64), 0.5), keys=keys(4))
    assert torch.equal(out[:, 0], out[:, 2])
    for value, share in ((1.0, 0.24), (0.0, 0.06), (0.5, 0.7)):
        assert within((out[:, 0] == value).double(), share, math.sqrt(share * (1 - share)))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("elementwise", [False, True])
def test_factors_are_uniform_and_shared_as_asked(per_channel: bool, elementwise: bool) -> None:
    transform = noises.MultiplicativeNoise((0.5, 1.5), per_channel, elementwise, p=1.0)
    out = transform(torch.full((400, 3, 6, 6), 0.5), keys=keys(400)) * 2
    assert torch.equal(out[:, 0], out[:, 1]) != per_channel
    assert bool((out == out[:, :, :1, :1]).all()) != elementwise
    assert stats.kstest(out[:, 0, 0, 0].numpy(), stats.uniform(0.5, 1).cdf).pvalue > 1e-3


def test_speckle_is_in_proportion_to_the_value() -> None:
    image = torch.full((4, 1, 64, 64), 0.4)
    image[:, :, 32:] = 0.1
    out = noises.SpeckleNoise(sigma=0.1)(image, keys=keys(4)) / image - 1
    for half in out.split(32, 2):
        assert within(half, 0, 0.1)
        assert abs(half.std() - 0.1) < 0.003


def test_gaussian_noise_has_its_moments() -> None:
    out = pixels.GaussianNoise(0.1, 0.05)(torch.full((4, 3, 64, 64), 0.4), keys=keys(4))
    assert within(out, 0.5, 0.05)
    assert abs(out.std() - 0.05) < 0.001


# erasing and dropout


def test_several_rectangles_share_the_area_as_timm_has_it() -> None:
    drawn = draw(RandomErasing(scale=(0.3, 0.3), ratio=(1, 1), count=(1, 4)), canvas=(1000, 1000))
    found = (drawn["height"] > 0).sum(1)
    assert stats.chisquare(np.unique(found, return_counts=True)[1]).pvalue > 1e-3
    area = (drawn["height"] * drawn["width"]).sum(1) / 1e6
    torch.testing.assert_close(area, torch.full_like(area, 0.3), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("mode", "colours"), [("const", 1), ("rand", 2), ("pixel", 1000)])
def test_a_mode_paints_one_colour_one_each_or_one_per_pixel(mode: Any, colours: int) -> None:
    erasing = RandomErasing(p=1.0, scale=(0.4, 0.4), ratio=(1, 1), value=0.5, mode=mode, count=2)
    out = erasing(torch.full((6, 3, 64, 64), 9.0), keys=keys(6))
    for image in out:
        found = len(image[:, (image != 9.0).all(0)].unique(dim=1).T)
        assert found > 500 if mode == "pixel" else found == colours


def test_random_colours_are_standard_normal_for_erasing_and_uniform_for_dropout() -> None:
    image = torch.full((500, 3, 8, 8), 9.0)
    erased = RandomErasing(p=1.0, scale=(0.1, 0.2), mode="rand")(image, keys=keys(500)).flatten(2).amin(2)
    assert stats.kstest(erased[:, 1].numpy(), stats.norm.cdf).pvalue > 1e-3
    for fill in ("random", "random_uniform"):
        cut = dropout.Cutout(2, fill=fill)(image, keys=keys(500))
        values = cut[:, 0][cut[:, 0] < 9].unique()
        assert stats.kstest(values.numpy(), stats.uniform.cdf).pvalue > 1e-3


MASKING = {
    "erasing": RandomErasing(p=0.5, count=2, fill_mask=7),
    "coarse_dropout": dropout.CoarseDropout((1, 8), fill_mask=7),
    "cutout": dropout.Cutout(12, fill_mask=7),
    "xy_masking": dropout.XYMasking(1, 1, 4, 0.2, fill_mask=7),
    "grid_dropout": grids.GridDropout(fill_mask=7),
    "grid_mask": grids.GridMask((8, 12), degrees=45, fill_mask=7),
    "patch_dropout": grids.RandomPatchDropout(5, fill_mask=7),
    "pixel_dropout": dropout.PixelDropout(0.2, fill_mask=7),
}


@pytest.mark.parametrize("transform", MASKING.values(), ids=MASKING)
def test_masks_are_erased_exactly_where_the_image_is(transform: Transform) -> None:
    normalize = pixels.Normalize([0.0], [0.5])
    batch = Batch(image=torch.ones(32, 3, 32, 36), mask=torch.ones(32, 2, 32, 36, dtype=torch.uint8), key=keys(32))
    for layer in (transform, Compose([normalize, transform, pixels.Denormalize([0.0], [0.5])]), OneOf([transform])):
        out = layer(batch)
        gone = out.image[:, :1] == 0
        assert 0.001 < gone.double().mean() < 0.9
        assert torch.equal(out.mask == 7, gone.expand(-1, 2, -1, -1))
    transform.eval()
    assert torch.equal(transform(batch).mask, batch.mask)
    transform.train()


def test_masks_stay_by_default() -> None:
    batch = Batch(image=torch.ones(4, 3, 8, 8), mask=torch.ones(4, 1, 8, 8, dtype=torch.int64), key=keys(4))
    assert torch.equal(dropout.Cutout(6)(batch).mask, batch.mask)


@pytest.mark.parametrize("number", [(1, 1), (2, 4), (9, 12)])
def test_coarse_dropout_makes_so_many_holes_inside_the_image(number: tuple[int, int]) -> None:
    drawn = draw(dropout.CoarseDropout(number, (3, 5), (0.1, 0.5)), canvas=(32, 36))
    found, counts = np.unique((drawn["height"] > 0).sum(1), return_counts=True)
    assert found.tolist() == list(range(number[0], number[1] + 1))
    assert len(found) == 1 or stats.chisquare(counts).pvalue > 1e-3
    assert set(drawn["height"].unique().tolist()) == {0, 3, 4, 5} - ({0} if number == (1, 1) else set())
    assert (drawn["top"] + drawn["height"]).max() == 32
    assert (drawn["left"] + drawn["width"]).max() == 36


def test_few_and_many_holes_cover_alike() -> None:
    """Up to four holes are written out, more are a matrix product."""
    sides = {name: torch.randint(0, 20, (5, 4)).float() for name in ("top", "left", "height", "width")}
    more = {name: torch.cat([side, torch.zeros(5, 3)], 1) for name, side in sides.items()}
    cutout = dropout.Cutout(1)
    assert torch.equal(cutout.hidden(sides, (3, 32, 36)), cutout.hidden(more, (3, 32, 36)))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_patch_dropout_drops_an_exact_share_of_own_patches(ratio: float) -> None:
    batch = Batch.from_images([torch.ones(1, 40, 35), torch.ones(1, 20, 20)]).replace(key=keys(2))
    out = grids.RandomPatchDropout(5, ratio)(batch).image
    assert (out[0, 0, :40:5, :35:5] == 0).sum() == int(ratio * 56)
    assert (out[1, 0, :20:5, :20:5] == 0).sum() == int(ratio * 16)


def test_pixel_dropout_drops_channels_together_or_apart() -> None:
    image = torch.ones(4, 3, 64, 64)
    together = dropout.PixelDropout(0.2, p=1.0)(image, keys=keys(4)) == 0
    apart = dropout.PixelDropout(0.2, per_channel=True, p=1.0)(image, keys=keys(4)) == 0
    assert torch.equal(together[:, 0], together[:, 2])
    assert not torch.equal(apart[:, 0], apart[:, 2])
    assert within(together[:, 0].double(), 0.2, 0.4)
    assert within(apart.double(), 0.2, 0.4)


def test_mask_dropout_takes_present_objects_each_as_often() -> None:
    mask = torch.zeros(3000, 1, 4, 4, dtype=torch.int64)
    mask[:, :, 0, 0], mask[:, :, 1, 1], mask[:, :, 2, 2] = 1, 4, 5  # 2 and 3 are absent, 5 is beyond
    batch = Batch(image=torch.ones(3000, 3, 4, 4), mask=mask, key=keys(3000))
    out = dropout.MaskDropout(1, num_objects=4, p=1.0)(batch)
    gone = out.image[:, 0] == 0
    assert gone.sum((1, 2)).eq(1).all()
    assert stats.binomtest(int(gone[:, 0, 0].sum()), 3000).pvalue > 1e-3
    assert torch.equal((out.mask == 0) & (mask != 0), gone[:, None])
    both = dropout.MaskDropout(3, num_objects=4, fill=(0.1, 0.2, 0.3), fill_mask=None, p=1.0)(batch)
    assert (both.image[:, 1] == 0.2).sum() == 6000
    assert torch.equal(both.mask, mask)


def test_mask_dropout_without_a_mask_does_nothing() -> None:
    assert dropout.MaskDropout(p=1.0)(torch.ones(2, 3, 4, 4)).min() == 1


# compression and fewer pixels


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 90, 100])
def test_jpeg_tables_are_those_in_a_file_of_that_quality(quality: int) -> None:
    buffer = io.BytesIO()
    PILImage.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    theirs: Any = getattr(PILImage.open(buffer), "quantization")  # noqa: B009
    for i, rows in enumerate((jpeg.LUMA, jpeg.CHROMA)):
        ours = jpeg._table(rows, torch.tensor([quality]), torch.zeros(1))
        assert ours.flatten().tolist() == theirs[i]


def test_most_pixels_of_a_differentiable_jpeg_are_those_of_libjpeg() -> None:
    image, quality = images(8, 64, 80), 75
    ours = degrade.JPEG(quality)(image, keys=keys(8)).int()
    assert (ours == torch.stack([libjpeg(i, quality) for i in image]).int()).double().mean() > 0.9


def test_a_jpeg_passes_gradients_through_its_roundings() -> None:
    image = (images(2).double() / 255 * 0.8 + 0.1).requires_grad_()
    (gradient,) = torch.autograd.grad(degrade.JPEG(90)(image, keys=keys(2)).sum(), image)
    assert abs(gradient.mean() - 1) < 0.1  # brighter in, brighter out


def test_the_codec_takes_padded_images_and_other_channel_counts() -> None:
    big, small = images(1, 40, 36)[0], images(1, 19, 21, seed=3)[0]
    batch = Batch.from_images([big, small]).replace(key=keys(2))
    out, before = degrade.JPEG(30, mode="codec")(batch).image, torch.as_tensor(batch.image)
    assert torch.equal(out[0], libjpeg(big, 30))
    assert torch.equal(out[1, :, :19, :21], libjpeg(small, 30))
    assert torch.equal(out[1, :, 19:], before[1, :, 19:])
    five = torch.cat([big, small.new_zeros(2, 40, 36)])
    assert torch.equal(degrade.JPEG(30, "codec")(five[None])[0, 1:2], libjpeg(five[1:2], 30))


def test_the_codec_stays_whole_in_a_compiled_graph_and_has_no_gradient() -> None:
    codec, batch = degrade.JPEG((20, 80), "codec", p=0.5), Batch(image=images(8), key=keys(8))
    params = codec.draw(batch)
    compiled = torch.compile(codec.play, fullgraph=True, backend="eager")
    assert torch.equal(compiled(batch, params).image, codec.play(batch, params).image)
    assert codec.differentiable == 0
    with pytest.raises(RuntimeError, match="no autograd formula"):
        codec(torch.rand(4, 3, 8, 8).requires_grad_(), keys=keys(4)).sum().backward()


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_a_downscale_by_one_changes_nothing(interpolation: Any) -> None:
    assert torch.equal(degrade.Downscale(1.0, interpolation, p=1.0)(images(2)), images(2))


@pytest.mark.parametrize("mode", ["green_purple", "red_blue", "random"])
def test_red_and_blue_move_as_the_mode_says(mode: Any) -> None:
    red, blue = draw(degrade.ChromaticAberration(mode=mode))["primary"].unbind(1)
    share = (red.sign() == blue.sign()).double().mean()
    assert share == {"green_purple": 1.0, "red_blue": 0.0}.get(mode, share)
    assert mode != "random" or abs(share - 0.5) < 0.03


# values


def test_denormalize_undoes_normalize_also_folded() -> None:
    statistics = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    image = images(3).float() / 255
    for color in ("exact", "folded"):
        both = Compose([pixels.Normalize(*statistics), pixels.Denormalize(*statistics)], color=color)
        torch.testing.assert_close(both(image), image)


def test_identity_and_to_image_do_nothing_to_tensors() -> None:
    image = images(2)
    for layer in (pixels.Identity(), pixels.ToImage(), Compose([pixels.Identity(), pixels.ToImage()])):
        assert torch.equal(layer(image), image)
    assert pixels.Identity()("anything with", image)[0] == "anything with"


def test_to_image_turns_pil_images_and_arrays_into_what_torchvision_makes_of_them() -> None:
    array = images(1)[0].permute(1, 2, 0).numpy()
    for value in (array, array[..., 0], PILImage.fromarray(array), PILImage.fromarray(array[..., 0])):
        assert torch.equal(pixels.ToImage()(value), tvf.to_image(value))
    both = pixels.ToImage()({"image": array, "label": 3})
    assert both["label"] == 3
    assert both["image"].shape == (3, 32, 36)


def test_a_linear_transformation_whitens_uint8_images_as_floats_and_moves_with_its_module() -> None:
    image = images(2, 3, 4)
    whiten = pixels.LinearTransformation(torch.eye(36).flip(0), torch.full((36,), 0.5))
    expected = (image.flatten(1).flip(1).float() / 255 - 0.5).view(image.shape)
    torch.testing.assert_close(whiten(image), expected)
    assert whiten.double().transformation_matrix.dtype == torch.float64
    assert not whiten.state_dict()
    with pytest.raises(ValueError, match="C H W = 36"):
        whiten(images(2, 3, 5))


# everything


@pytest.mark.parametrize("transform", ZOO.values(), ids=ZOO)
@pytest.mark.parametrize("shape", [(3, 1, 7, 9), (3, 3, 1, 1), (3, 4, 9, 1)])
def test_any_shape_gives_numbers_or_a_clear_error(transform: Layer, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    try:
        out = transform(image, keys=keys(3))
    except ValueError as error:
        assert "channels" in str(error)  # noqa: PT017
        assert shape[1] != 3
    else:
        assert torch.isfinite(out).all()


@pytest.mark.parametrize("transform", ZOO.values(), ids=ZOO)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_stays(transform: Layer, dtype: torch.dtype) -> None:
    out = transform((images(3).float() / 255).to(dtype), keys=keys(3))
    assert out.dtype == dtype
    assert torch.isfinite(out).all()


EXTREME = [
    noises.SaltAndPepper(1, 0, p=1.0),
    noises.SaltAndPepper(0, 1, p=1.0),
    noises.ShotNoise((1e-9, 1e9), p=1.0),
    noises.MultiplicativeNoise((0, 1e9), True, True, p=1.0),
    noises.SpeckleNoise(1e9, 1e9),
    RandomErasing(1.0, (1e-9, 1), (1e-6, 1e6), count=(1, 40)),
    dropout.CoarseDropout((40, 50), (0, 1000), (0.0, 1.0), fill="random_uniform", p=1.0),
    dropout.Cutout(1000),
    dropout.XYMasking(20, 20, 1000, 1.0, p=1.0),
    grids.GridDropout(1.0, unit_size_range=(2, 1000), p=1.0),
    grids.GridDropout(1e-9, False, holes_number_xy=(1000, 1000), shift_xy=(500, 500), p=1.0),
    grids.GridMask((0.001, 1.0), (0, 1), 360),
    grids.RandomPatchDropout(1000, 1.0),
    dropout.PixelDropout(1.0, p=1.0),
    degrade.JPEG((1, 100)),
    degrade.Downscale((1e-9, 1.0), "bilinear", p=1.0),
    degrade.Pixelate((1, 1000)),
    degrade.ChromaticAberration(1e6, 1e6, p=1.0),
]


@pytest.mark.parametrize("transform", EXTREME, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("shape", [(3, 3, 1, 1), (3, 3, 12, 5)])
def test_extreme_parameters_make_no_nan(transform: Layer, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = transform(image, keys=keys(3))
    assert torch.isfinite(out).all()
    if out.requires_grad:
        assert torch.isfinite(torch.autograd.grad(out.sum(), image)[0]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: noises.SaltAndPepper(1.5), r"SaltAndPepper: amount must be a number in \[0, 1\]"),
        (lambda: noises.ShotNoise(0), "scale_range must be a number above 0, or two in rising order"),
        (lambda: noises.MultiplicativeNoise((2, 1)), "multiplier must be"),
        (lambda: RandomErasing(mode="noise"), "mode must be 'const', 'rand' or 'pixel'"),
        (lambda: RandomErasing(count=0), "count must be a whole number of at least 1"),
        (lambda: dropout.CoarseDropout((3, 1)), "num_holes_range must be"),
        (
            lambda: dropout.CoarseDropout(hole_height_range=(0.5, 2.5)),
            "hole_height_range must be whole pixels, or shares",
        ),
        (lambda: dropout.Cutout(0), "Cutout: size must be"),
        (lambda: dropout.Cutout(4, fill=3), r"Cutout: fill must be in \[0, 1\]"),
        (lambda: dropout.Cutout(4, fill="inpaint"), "fill must be a number .* got 'inpaint'"),
        (lambda: dropout.XYMasking(), "num_masks_x or num_masks_y must be above 0"),
        (lambda: grids.GridDropout(0), "ratio must be a number above 0 and at most 1"),
        (lambda: grids.GridDropout(fill="random_uniform"), "or 'random', got 'random_uniform'"),
        (lambda: grids.GridDropout(unit_size_range=(1, 3)), "unit_size_range must be a whole number of at least 2"),
        (lambda: grids.GridMask(0), "unit_size must be above 0"),
        (lambda: grids.RandomPatchDropout(ratio=2), r"ratio must be a number in \[0, 1\], or two in rising order"),
        (lambda: dropout.PixelDropout(2.0), r"dropout_prob must be a number in \[0, 1\], or two in rising order"),
        (lambda: dropout.PixelDropout(0.1, per_channel=True, fill_mask=0), "fill_mask needs per_channel=False"),
        (lambda: dropout.MaskDropout(0), "max_objects must be a whole number"),
        (lambda: degrade.JPEG(0), r"JPEG: quality must be a whole number in \[1, 100\]"),
        (lambda: degrade.JPEG((50, 101)), r"quality must be a whole number in \[1, 100\], or two in rising order"),
        (lambda: degrade.JPEG(50, mode="fast"), "mode must be"),
        (lambda: degrade.Downscale(0), "scale_range must be a number above 0 and at most 1, or two in rising order"),
        (lambda: degrade.Downscale(0.5, "cubic"), "interpolation must be"),
        (lambda: degrade.ChromaticAberration(mode="blue"), "mode must be"),
        (lambda: pixels.Denormalize([0.5], []), "Denormalize: mean and std must be equally many"),
        (lambda: pixels.LinearTransformation(torch.eye(3), torch.ones(4)), r"must be \(D, D\)"),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], Layer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
