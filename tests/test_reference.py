"""Each transform against torchvision, given our drawn parameters: values, labels and the law of the parameters."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, index, arg-type, list-item, type-arg, operator, no-any-return"
from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch._inductor.utils import run_and_get_code
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tvf
from zoo import images

import torchaug
from torchaug import Batch, Compose, Transform
from torchaug import image as T
from torchaug.keys import sample_keys
from torchaug.transform import Sizes

BILINEAR, NEAREST, EXACT = InterpolationMode.BILINEAR, InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT
COUNT = 16


def drawn(transform: Transform, count: int = COUNT, canvas: tuple[int, int] = (32, 36)) -> tuple[Batch, list[dict]]:
    """The transform of a batch, and its parameters per sample."""
    batch = Batch(image=images(count, *canvas), key=sample_keys(torch.arange(count), seed=5))
    params = transform.draw(batch)
    records = [transform.describe(params, i)[0] for i in range(count)]
    return transform(batch), records


def assert_close(ours: Tensor, reference: Tensor, tolerance: float) -> None:
    """Within `tolerance` everywhere: levels for uint8."""
    difference = (ours.double() - reference.double()).abs().max()
    assert ours.shape == reference.shape
    assert ours.dtype == reference.dtype
    assert difference <= tolerance, f"largest difference {difference:.2e}, allowed {tolerance:.2e}"


def test_the_comparison_finds_a_planted_error() -> None:
    image = images(1)
    wrong = image.clone()
    wrong[0, 0, 3, 4] ^= 2
    with pytest.raises(AssertionError, match="largest difference"):
        assert_close(image, wrong, 1)


@pytest.mark.parametrize("canvas", [(32, 36), (100, 65), (20, 50)])
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("gradient", [False, True])
def test_resized_crops_equal_torchvisions(canvas: tuple[int, int], real: bool, gradient: bool) -> None:
    """On the CPU's own kernels and as matrix products (the way of a GPU and of gradients), flipped or not."""
    batch = Batch(image=images(COUNT, *canvas), key=sample_keys(torch.arange(COUNT)))
    if real or gradient:
        batch = batch.replace(image=(batch.image.double() / 255).requires_grad_(gradient))
    crop = Compose([T.RandomResizedCrop((24, 30)), T.RandomHorizontalFlip()])
    params = crop.draw(batch)
    out = crop(batch).image
    for i in range(COUNT):
        part, flip = crop.describe(params, i)
        box = [int(part[name]) for name in ("top", "left", "height", "width")]
        expected = tvf.resized_crop(batch.image[i], *box, size=[24, 30], antialias=True)
        expected = tvf.horizontal_flip(expected) if flip["applied"] else expected
        assert_close(out[i].detach(), expected.detach(), 1e-5 if real or gradient else 0)


@pytest.mark.parametrize(
    ("size", "options"),
    [((20, 41), {}), (19, {}), (19, {"max_size": 20}), ((50, 80), {}), ((20, 41), {"antialias": False})],
)
def test_resizes_equal_torchvisions(size: object, options: dict) -> None:
    real = images().double() / 255
    assert_close(T.Resize(size, **options)(real), tvf.resize(real, size, **options), 1e-5)
    assert_close(T.Resize(size, **options)(images()), tvf.resize(images(), size, **options), 1)


def test_nearest_resizes_take_the_pixel_under_the_centre() -> None:
    ours = T.Resize((20, 41), interpolation="nearest")(images())
    assert_close(ours, tvf.resize(images(), [20, 41], interpolation=EXACT), 0)


@pytest.mark.parametrize("size", [(21, 30), (32, 36), (40, 11), (50, 61), (33, 37)])
def test_centre_crops_equal_torchvisions(size: tuple[int, int]) -> None:
    assert_close(T.CenterCrop(size)(images()), tvf.center_crop(images(), list(size)), 0)


def test_random_crops_equal_torchvisions_and_are_uniform() -> None:
    crop = T.RandomCrop((30, 28), padding=(1, 2, 3, 4))
    out, records = drawn(crop, 2000)
    padded = tvf.pad(images(2000), [1, 2, 3, 4])
    for i in range(0, 2000, 97):
        top, left = int(records[i]["top"]) + 2, int(records[i]["left"]) + 1
        assert_close(out.image[i], tvf.crop(padded[i], top, left, 30, 28), 0)
    for name, places in (("top", 32 + 6 - 30 + 1), ("left", 36 + 4 - 28 + 1)):
        counts = torch.bincount(torch.tensor([int(r[name]) for r in records]) + 5)
        counts = counts[counts > 0]
        assert len(counts) == places
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_a_crop_larger_than_the_image_is_an_error_or_padded() -> None:
    with pytest.raises(
        ValueError, match=r"RandomCrop: image must be at least 40 x 40 or pad_if_needed=True, got 32 x 36"
    ):
        T.RandomCrop(40)(images())
    out, records = drawn(T.RandomCrop(40, pad_if_needed=True))
    for i, record in enumerate(records):
        padded = tvf.pad(images(COUNT)[i], [4, 8, 4, 8])
        assert_close(out.image[i], tvf.crop(padded, int(record["top"]) + 8, int(record["left"]) + 4, 40, 40), 0)


def test_the_law_of_resized_crops_is_torchvisions() -> None:
    crop = T.RandomResizedCrop(8, scale=(0.2, 0.9))
    u = torch.rand(4000, crop.uniforms, generator=torch.Generator().manual_seed(0))
    ours = crop.drawn(u, Sizes.of((50, 120), None, u))
    theirs_crop = v2.RandomResizedCrop(8, scale=(0.2, 0.9))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = [theirs_crop.make_params([torch.empty(3, 50, 120)]) for _ in range(4000)]
    for name in ("top", "left", "height", "width"):
        test = stats.ks_2samp(ours[name].numpy(), [p[name] for p in theirs])
        assert test.pvalue > 1e-3, name


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_bilinear_rotations_equal_torchvisions(fill: float) -> None:
    """With a fill only where the image covers the sample: torchvision darkens partly covered pixels twice."""
    rotation = T.RandomRotation(90, interpolation="bilinear", fill=fill)
    out, records = drawn(rotation)
    real = rotation(images(COUNT).double() / 255, keys=sample_keys(torch.arange(COUNT), seed=5))
    for i, record in enumerate(records):
        image = images(COUNT)[i].double() / 255
        expected = tvf.rotate(image, record["angle"], interpolation=BILINEAR)
        covered = tvf.rotate(torch.ones_like(image), record["angle"], interpolation=BILINEAR)
        expected = expected + (1 - covered) * fill
        assert_close(real[i], expected, 2e-5)
        assert_close(out.image[i], (expected * 255).round().to(torch.uint8), 1)


def test_nearest_rotations_equal_torchvisions_but_for_ties() -> None:
    out, records = drawn(T.RandomRotation(90))
    for i, record in enumerate(records):
        expected = tvf.rotate(images(COUNT)[i], record["angle"], interpolation=NEAREST)
        assert (out.image[i] == expected).double().mean() > 0.995


AFFINE = {"degrees": 40, "translate": (0.2, 0.1), "scale": (1.0, 1.4), "shear": (-20, 20, -10, 10)}


def affine_arguments(record: dict) -> dict:
    return {
        "angle": record["angle"],
        "translate": [record["translate_x"], record["translate_y"]],
        "scale": record["scale"],
        "shear": [record["shear_x"], record["shear_y"]],
    }


def test_affine_maps_equal_torchvisions() -> None:
    affine = T.RandomAffine(**AFFINE, interpolation="bilinear")
    _, records = drawn(affine)
    real = affine(images(COUNT).double() / 255, keys=sample_keys(torch.arange(COUNT), seed=5))
    for i, record in enumerate(records):
        expected = tvf.affine(images(COUNT)[i].double() / 255, **affine_arguments(record), interpolation=BILINEAR)
        assert_close(real[i], expected, 5e-5)


def test_an_affine_map_that_shrinks_is_antialiased() -> None:
    """A fine checkerboard shrunk to a half is grey; torchvision's affine shows whatever a sample hits."""
    board = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float().expand(1, 3, 64, 64)
    shrunk = T.RandomAffine(0, scale=(0.5, 0.5), interpolation="bilinear")(board)[0, :, 20:44, 20:44]
    assert (shrunk - 0.5).abs().max() < 0.01
    folded = Compose([T.RandomRotation((45, 45), "bilinear"), T.Resize((32, 32))])(board)[0, :, 10:22, 10:22]
    assert (folded - 0.5).abs().max() < 0.15


def test_boxes_and_keypoints_follow_as_in_torchvision() -> None:
    boxes = torch.tensor([[4.0, 5.0, 20.0, 21.0], [0.0, 0.0, 36.0, 32.0], [30.0, 1.0, 36.0, 9.0]])
    points = torch.tensor([[4.0, 5.0], [18.0, 16.0], [30.0, 1.0]])
    cases: list[tuple[Transform, object]] = [
        (T.RandomHorizontalFlip(p=1.0), lambda x, r: tvf.horizontal_flip(x)),
        (T.RandomVerticalFlip(p=1.0), lambda x, r: tvf.vertical_flip(x)),
        (T.Resize((20, 41)), lambda x, r: tvf.resize(x, [20, 41])),
        (T.CenterCrop((21, 30)), lambda x, r: tvf.center_crop(x, [21, 30])),
        (
            T.RandomResizedCrop((24, 28)),
            lambda x, r: tvf.resized_crop(
                x, int(r["top"]), int(r["left"]), int(r["height"]), int(r["width"]), size=[24, 28]
            ),
        ),
        (T.RandomRotation(50), lambda x, r: tvf.rotate(x, r["angle"])),
        (T.RandomAffine(**AFFINE), lambda x, r: tvf.affine(x, **affine_arguments(r))),
    ]
    for transform, reference in cases:
        batch = Batch(
            image=images(COUNT),
            boxes=boxes.repeat(COUNT, 1, 1),
            keypoints=points.repeat(COUNT, 1, 1),
            key=sample_keys(torch.arange(COUNT)),
        )
        params = transform.draw(batch)
        out = transform(batch)
        for i in range(COUNT):
            record = transform.describe(params, i)[0]
            theirs = reference(tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(32, 36)), record)
            torch.testing.assert_close(out.boxes[i], theirs.as_subclass(Tensor), atol=2e-3, rtol=0)
            if isinstance(transform, (T.RandomHorizontalFlip, T.RandomVerticalFlip)):
                theirs = reference(tv_tensors.KeyPoints(points, canvas_size=(32, 36)), record)
                torch.testing.assert_close(out.keypoints[i], theirs.as_subclass(Tensor), atol=1e-3, rtol=0)


def test_masks_follow_as_in_torchvision() -> None:
    mask = torch.randint(0, 5, (COUNT, 1, 32, 36), generator=torch.Generator().manual_seed(0))
    batch = Batch(image=images(COUNT), mask=mask, key=sample_keys(torch.arange(COUNT)))
    crop, rotation = T.RandomResizedCrop((24, 28)), T.RandomRotation(50)
    for transform in (crop, rotation):
        params, out = transform.draw(batch), transform(batch).mask
        for i in range(COUNT):
            r = transform.describe(params, i)[0]
            if transform is crop:
                box = [int(r[name]) for name in ("top", "left", "height", "width")]
                assert_close(out[i], tvf.resized_crop(mask[i], *box, size=[24, 28], interpolation=EXACT), 0)
            else:
                expected = tvf.rotate(mask[i], r["angle"], interpolation=NEAREST)
                assert (out[i] == expected).double().mean() > 0.995


ADJUST = (tvf.adjust_brightness, tvf.adjust_contrast, tvf.adjust_saturation, tvf.adjust_hue)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_jitter_equals_torchvisions_in_each_order(order: tuple[int, ...]) -> None:
    jitter = T.ColorJitter(0.4, 0.4, 0.4, 0.1)
    u = torch.rand(4, jitter.uniforms, generator=torch.Generator().manual_seed(sum(order)))
    u[:, 4:] = torch.tensor([order[op] / 4 + 0.1 for op in range(4)])
    image = images(4).double() / 255
    drawn = jitter.drawn(u, Sizes.of((32, 36), None, u))
    out = jitter.apply(Batch(image=image), u, torch.ones(4, dtype=torch.bool)).image
    for i in range(4):
        expected = image[i]
        for op in drawn["rank"][i].argsort().tolist():
            name = ("brightness", "contrast", "saturation", "hue")[op]
            expected = ADJUST[op](expected, float(drawn[name][i]))
        assert_close(out[i], expected, 1e-5)


@pytest.mark.parametrize("which", range(4))
def test_each_step_of_jitter_equals_torchvisions_on_uint8(which: int) -> None:
    arguments: list[object] = [None] * 4
    arguments[which] = 0.5
    jitter = T.ColorJitter(*arguments)
    out, records = drawn(jitter)
    name = ("brightness", "contrast", "saturation", "hue")[which]
    for i, record in enumerate(records):
        assert_close(out.image[i], ADJUST[which](images(COUNT)[i], record[name]), 1)


def test_the_order_of_jitter_is_uniform() -> None:
    jitter = T.ColorJitter(0.4, 0.4, 0.4, 0.1)
    u = torch.rand(4800, jitter.uniforms, generator=torch.Generator().manual_seed(0))
    orders = jitter.drawn(u, Sizes.of((8, 8), None, u))["rank"]
    _, counts = (orders @ torch.tensor([1, 4, 16, 64])).unique(return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_folded_colour_equals_the_exact_one_where_nothing_is_clamped() -> None:
    """On dull images no step clamps; hue is left out, since it turns about another axis when folded."""
    steps = [T.ColorJitter(0.1, 0.1, 0.1), T.RandomGrayscale(0.3), T.Normalize([0.5] * 3, [0.2] * 3)]
    dull = images(COUNT).double() / 255 * 0.3 + 0.3
    keys = sample_keys(torch.arange(COUNT))
    exact, folded = Compose(steps)(dull, keys=keys), Compose(steps, color="folded")(dull, keys=keys)
    torch.testing.assert_close(folded, exact, atol=2e-6, rtol=0)


def test_a_folded_turn_of_a_third_maps_red_to_green() -> None:
    jitter = Compose([T.ColorJitter(hue=(1 / 3, 1 / 3))], color="folded")
    red = torch.tensor([0.8, 0.1, 0.2]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    torch.testing.assert_close(jitter(red)[0, :, 0, 0], torch.tensor([0.2, 0.8, 0.1]), atol=1e-5, rtol=0)


def test_greyscale_equals_torchvisions() -> None:
    assert_close(T.RandomGrayscale(p=1.0)(images()), tvf.rgb_to_grayscale(images(), 3), 1)
    real = images().double() / 255
    assert_close(T.RandomGrayscale(p=1.0)(real), tvf.rgb_to_grayscale(real, 3), 1e-6)


def test_normalisation_and_dtypes_equal_torchvisions() -> None:
    real, mean, std = images().float() / 255, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    assert_close(T.Normalize(mean, std)(real), tvf.normalize(real, mean, std), 1e-6)
    assert_close(T.Normalize(mean, std)(images()), tvf.normalize(real, mean, std), 1e-6)
    assert_close(T.ToDtype(torch.float32)(images()), tvf.to_dtype(images(), torch.float32, scale=True), 1e-7)
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(T.ToDtype(torch.uint8)(T.ToDtype(torch.float16)(levels)), levels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_levels_go_in_and_what_a_network_wants_comes_out(dtype: torch.dtype, layout: torch.memory_format) -> None:
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    ready = Compose([T.Normalize(mean, std), T.ToDtype(dtype), T.ToMemoryFormat(layout)])
    expected = tvf.normalize(images().float() / 255, mean, std)
    for given in (images(), images().to(memory_format=torch.channels_last), tv_tensors.Image(images())):
        out = ready(given)
        assert (out.dtype, type(out)) == (dtype, type(given))
        assert out.is_contiguous(memory_format=layout)
        assert_close(out.as_subclass(torch.Tensor).float(), expected, torch.finfo(dtype).eps * 4)  # rounded once
    out = ready(tv_tensors.Video(images(6).unflatten(0, (2, 3))))
    assert out.flatten(0, 1).is_contiguous(memory_format=layout)


def test_a_layout_has_torchs_name() -> None:
    assert repr(T.ToMemoryFormat("contiguous_format")) == repr(T.ToMemoryFormat(torch.contiguous_format))
    for wrong in (torch.preserve_format, "nhwc", None):
        with pytest.raises(
            ValueError, match="ToMemoryFormat: memory_format must be 'channels_last' or 'contiguous_format'"
        ):
            T.ToMemoryFormat(wrong)
    with pytest.raises(TypeError, match="ToMemoryFormat: expected a batch with an image"):
        T.ToMemoryFormat()({"mask": torch.zeros(2, 8, 8)})


@pytest.mark.slow
def test_a_compiled_layout_takes_no_buffer_of_its_own() -> None:
    """The pass that normalises writes each pixel where it belongs: with the layout there are as many buffers as without."""
    steps: list[Transform] = [T.ColorJitter(0.4), T.Normalize([0.5], [0.2]), T.ToDtype(torch.bfloat16)]
    batch = Batch(image=images(4), key=sample_keys(torch.arange(4)))
    made = []
    for chain in (Compose(steps), Compose([*steps, T.ToMemoryFormat()])):
        torch._dynamo.reset()
        chain.plan()
        run = torch.compile(chain._play, fullgraph=True)
        out, codes = run_and_get_code(run, batch, chain.draw(batch).u)
        made.append("".join(codes).count("= empty_strided"))
        torch.testing.assert_close(out.image, chain(batch).image, rtol=0, atol=0.04)
        assert out.image.stride() == chain(batch).image.stride()
    assert out.image.is_contiguous(memory_format=torch.channels_last)
    assert made[0] == made[1]


def test_erasing_equals_torchvisions_and_follows_its_law() -> None:
    erasing = T.RandomErasing(p=0.7, value=0.5)
    out, records = drawn(erasing, 3000)
    for i in range(0, 3000, 211):
        r = records[i]
        box = [int(r[name]) for name in ("top", "left", "height", "width")]
        expected = tvf.erase(images(3000)[i], *box, torch.tensor(128)) if r["applied"] else images(3000)[i]
        assert_close(out.image[i], expected, 0)
    share = sum(r["applied"] for r in records) / 3000
    assert abs(share - 0.7) < 4 * math.sqrt(0.7 * 0.3 / 3000)
    theirs = v2.RandomErasing(p=1.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        boxes = [theirs.make_params([torch.empty(3, 32, 36)]) for _ in range(3000)]
    for ours, index in (("top", "i"), ("left", "j"), ("height", "h"), ("width", "w")):
        assert stats.ks_2samp([r[ours] for r in records], [b[index] for b in boxes]).pvalue > 1e-3, ours


def test_noise_has_the_asked_moments_and_another_field_for_each_sample() -> None:
    grey = torch.full((64, 3, 32, 32), 0.5)
    noise = T.GaussianNoise(mean=0.01, sigma=0.05)(grey, keys=sample_keys(torch.arange(64))) - grey
    assert abs(noise.mean() - 0.01) < 4 * 0.05 / math.sqrt(noise.numel())
    assert abs(noise.std() - 0.05) < 4 * 0.05 / math.sqrt(2 * noise.numel())
    assert stats.kstest((noise.flatten()[::7].numpy() - 0.01) / 0.05, "norm").pvalue > 1e-3
    flat = noise.flatten(1)
    assert torch.corrcoef(flat).fill_diagonal_(0).abs().max() < 0.1


def test_the_law_of_chances_is_independent_per_sample() -> None:
    applied = T.RandomHorizontalFlip(p=0.3)
    batch = Batch(image=torch.arange(2.0).expand(20000, 1, 1, 2), key=sample_keys(torch.arange(20000)))
    flipped = (applied(batch).image[:, 0, 0, 0] == 1).double()
    assert abs(flipped.mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 20000)
    assert abs(torch.corrcoef(torch.stack([flipped[1:], flipped[:-1]]))[0, 1]) < 0.03


ABSENT = {
    "AutoAugmentPolicy": "names: AutoAugment takes 'imagenet', 'cifar10' or 'svhn'",
    "InterpolationMode": "names: 'nearest', 'bilinear' or 'bicubic'",
    "RandomChoice": "OneOf, which folds and compiles",
    "ConvertImageDtype": "ToDtype; deprecated there",
    "ToTensor": "ToImage and ToDtype; deprecated there",
    "PILToTensor": "ToImage, the same for what a data set gives",
    "ToPILImage": "PIL images come back as PIL",
    "ToPureTensor": "tensors come back as what they came as",
}


def test_torchvisions_transforms_are_here_but_for_some_with_a_reason() -> None:
    theirs = {name for name in dir(v2) if isinstance(getattr(v2, name), type)}
    assert theirs - set(T.__all__) - set(torchaug.__all__) == ABSENT.keys()


def test_grey_images_get_three_channels() -> None:
    grey = images()[:, :1]
    assert torch.equal(T.RGB()(grey), tvf.grayscale_to_rgb(grey))
    assert torch.equal(T.RGB()(images()), images())
    with pytest.raises(ValueError, match="RGB: image must have 1 channel, or 3 or more, got 2"):
        T.RGB()(images()[:, :2])
