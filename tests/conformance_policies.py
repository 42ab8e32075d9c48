"""Automatic policies: each operation at each bin and sign against torchvision's, timm's against PIL, mixtures whole."""

# what torchvision and PIL return has no types
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from conformance import Case, difference
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode
from zoo import images

from torchaug import Batch, Transform
from torchaug.image.augmix import AugMix
from torchaug.image.policies import AutoAugment, RandAugment, ThreeAugment, TrivialAugmentWide
from torchaug.image.policy_ops import Border
from torchaug.image.policy_tables import MIX, RAND, WIDE, Space, timm_operations
from torchaug.keys import sample_keys
from torchaug.transform import Layer, Sizes

GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
VALUES = (
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
ROUNDED: tuple[str, ...] = ()
CANVAS = (32, 36)
DTYPES = (torch.uint8, torch.float32)
MODES = {"nearest": InterpolationMode.NEAREST, "bilinear": InterpolationMode.BILINEAR}


def of_dtype(image: Tensor, dtype: torch.dtype) -> Tensor:
    return image if dtype == torch.uint8 else image.to(dtype) / 255


def at_every_bin(bins: int) -> Tensor:
    """(2 bins, 2) uniforms: each bin with either sign, the minus first."""
    level = (torch.arange(bins) + 0.5) / bins
    return torch.stack([level.repeat(2), torch.tensor([0.25, 0.75]).repeat_interleave(bins)], 1)


def torchvision_magnitudes(space: Any, name: str, bins: int) -> list[float]:
    """torchvision's own table, minus first."""
    table, signed = space[name]
    values = table(bins, *CANVAS)
    if values is None:
        return [0.0] * (2 * bins)
    return [-v if signed else v for v in values.tolist()] + values.tolist()


def each_bin(space: Space, theirs: Any, name: str, bins: int, how: str) -> Callable[[torch.dtype, torch.device], float]:
    """The largest error of an operation over all its bins and signs."""
    filled = how == "nearest"  # at a filled border torchvision's bilinear darkens: it takes the cover twice
    operation = space.operations(bins, Border(how, (0.2, 0.5, 0.7) if filled else (0.0,)))[name]  # type: ignore[arg-type]
    share = 0.002 if how == "nearest" and name in GEOMETRY else 0.0

    def error(dtype: torch.dtype, device: torch.device) -> float:
        image, u = of_dtype(images(2 * bins, *CANVAS), dtype), at_every_bin(bins)
        batch = Batch(image=image.to(device))
        out = operation.transform(batch, u.to(device), u.new_ones(len(u), dtype=torch.bool, device=device)).image
        assert out is not None
        fill = [round(v * 255) for v in (0.2, 0.5, 0.7)] if dtype == torch.uint8 else [0.2, 0.5, 0.7]
        peer = v2.RandAugment(fill=fill if filled else None)
        values = torchvision_magnitudes(theirs, name, bins)
        expected = [
            peer._apply_image_or_video_transform(one, name, value, MODES[how], peer._fill)
            for one, value in zip(image, values, strict=True)
        ]
        reference = torch.stack(expected)
        if how == "nearest" and name.startswith("Shear"):
            reference = torch.where(ties(name, values, reference), out.cpu(), reference)
        return difference(out.cpu(), reference, share=share)

    return error


def ties(name: str, values: Sequence[float], image: Tensor) -> Tensor:
    """Rows (or columns) that shift by a half: which of two pixels is nearest is rounding."""
    length = image.shape[-2 if name == "ShearX" else -1]
    shift = torch.tensor(values)[:, None] * (torch.arange(length) + 0.5)
    tie = ((shift - shift.floor()) - 0.5).abs() < 1e-4
    return (tie[:, None, :, None] if name == "ShearX" else tie[:, None, None, :]).expand_as(image)


def rows(policy: str, space: Space, theirs: Any, names: Sequence[str], bins: int) -> list[Case]:
    """A row for each operation, interpolation and dtype."""
    cases = []
    for name in names:
        for how in MODES if name in GEOMETRY else ("nearest",):
            measure = each_bin(space, theirs, name, bins, how)
            for dtype in DTYPES:
                tolerance = 1e-5 if dtype == torch.float32 else float(how == "bilinear" or name in ROUNDED)
                label = f"{policy}: {name}" + (f", {how}" if name in GEOMETRY else "")
                oracle = f"torchvision {policy}'s operation, {bins} bins and both signs"
                cases.append(Case(label, oracle, dtype, tolerance, partial(measure, dtype)))
    return cases


Records = list[dict[str, Any]]


def whole(
    name: str,
    layer: Layer,
    oracle: Callable[[Tensor, Records], Tensor],
    reference: str,
    tolerances: dict[torch.dtype, float],
    share: float,
) -> list[Case]:
    """A layer of several leaves against a function of one image and all its records."""

    def case(dtype: torch.dtype, tolerance: float) -> Case:
        def error(device: torch.device) -> float:
            image = of_dtype(images(32, *CANVAS), dtype)
            batch = Batch(image=image.to(device), key=sample_keys(torch.arange(32, device=device), seed=5))
            params = layer.draw(batch)
            out = layer.play(batch, params).image
            assert out is not None
            expected = [oracle(one, layer.describe(params, i)) for i, one in enumerate(image)]
            return difference(out.cpu(), torch.stack(expected), share=share)

        return Case(name, reference, dtype, tolerance, error)

    return [case(*item) for item in tolerances.items()]


def one_after_another(image: Tensor, records: Records) -> Tensor:
    peer = v2.RandAugment()
    for record in records:
        if record["applied"]:
            value = record.get("magnitude", 0.0)
            image = peer._apply_image_or_video_transform(
                image, record["transform"], value, InterpolationMode.NEAREST, peer._fill
            )
    return image


def mixture(augmix: AugMix) -> Callable[[Tensor, Records], Tensor]:
    """torchvision's sum, with its operations, from the record's weights and choices."""
    peer, names = v2.AugMix(), augmix.chain.names
    operations: dict[str, Transform] = MIX.operations(10, Border("bilinear", (0.0,)))

    def oracle(image: Tensor, records: Records) -> Tensor:
        (record,) = records
        total = record["share"] * image.double()
        size = Sizes.of(CANVAS, None, torch.zeros(1))
        for weight, *slots in zip(record["weights"], record["which"], record["level"], record["sign"], strict=True):
            copy = image
            for which, level, sign in zip(*slots, strict=True):
                if which >= 0:
                    drawn = operations[names[which]].drawn(torch.tensor([[level, sign]]), size)
                    value = float(drawn["magnitude"]) if drawn else 0.0
                    copy = peer._apply_image_or_video_transform(
                        copy, names[which], value, MODES["bilinear"], peer._fill
                    )
            total = total + (1 - record["share"]) * weight * copy
        return total.to(image.dtype)

    return oracle


def three(image: Tensor, records: Records) -> Tensor:
    grey, solarize, blur, _ = records
    if grey["applied"]:
        return v2.functional.rgb_to_grayscale(image, 3)
    if solarize["applied"]:
        return v2.functional.solarize(image, 128 if image.dtype == torch.uint8 else 128 / 255)
    return v2.functional.gaussian_blur(image, [13, 13], [blur["sigma"]] * 2)


def pil_enhance(kind: Any) -> Callable[[Any, float, float], Any]:
    return lambda image, level, sign: kind(image).enhance(1.8 * level + 0.1)


def pil_increasing(kind: Any) -> Callable[[Any, float, float], Any]:
    return lambda image, level, sign: kind(image).enhance(max(0.1, 1 + sign * 0.9 * level))


def pil_affine(entries: Callable[[float, int, int], tuple[float, ...]]) -> Callable[[Any, float, float], Any]:
    def oracle(image: Any, level: float, sign: float) -> Any:
        return image.transform(
            image.size,
            Image.Transform.AFFINE,
            entries(sign * level, *image.size),
            resample=Image.Resampling.NEAREST,
            fillcolor=(128, 128, 128),
        )

    return oracle


def posterize(image: Any, bits: int) -> Any:
    """PIL's refuses 0 bits, at which timm's is black."""
    return image.point([i >> (8 - bits) << (8 - bits) for i in range(256)] * 3)


def solarize_add(image: Any, level: float, sign: float) -> Any:
    return image.point([min(255, i + int(110 * level)) if i < 128 else i for i in range(256)] * 3)


TIMM: dict[str, tuple[Callable[[Any, float, float], Any], float, float]] = {
    # PIL at level = magnitude / 10, the levels it may differ by, and the share of pixels it may differ on
    "AutoContrast": (lambda image, level, sign: ImageOps.autocontrast(image), 1, 0),
    "Equalize": (lambda image, level, sign: ImageOps.equalize(image), 0, 0),
    "Invert": (lambda image, level, sign: ImageOps.invert(image), 0, 0),
    "Posterize": (lambda image, level, sign: posterize(image, int(4 * level)), 0, 0),
    "PosterizeIncreasing": (lambda image, level, sign: posterize(image, 4 - int(4 * level)), 0, 0),
    "PosterizeOriginal": (lambda image, level, sign: posterize(image, 4 + int(4 * level)), 0, 0),
    "Solarize": (lambda image, level, sign: ImageOps.solarize(image, int(256 * level)), 0, 0),
    "SolarizeIncreasing": (lambda image, level, sign: ImageOps.solarize(image, 256 - int(256 * level)), 0, 0),
    "SolarizeAdd": (solarize_add, 0, 0),
    "Desaturate": (lambda image, level, sign: ImageEnhance.Color(image).enhance(0.5 - 0.5 * level), 1, 0),
    "Color": (pil_enhance(ImageEnhance.Color), 1, 0),
    "Contrast": (pil_enhance(ImageEnhance.Contrast), 1, 0),
    "Brightness": (pil_enhance(ImageEnhance.Brightness), 1, 0),
    "Sharpness": (pil_enhance(ImageEnhance.Sharpness), 1, 0),
    "ColorIncreasing": (pil_increasing(ImageEnhance.Color), 1, 0),
    "ContrastIncreasing": (pil_increasing(ImageEnhance.Contrast), 1, 0),
    "BrightnessIncreasing": (pil_increasing(ImageEnhance.Brightness), 1, 0),
    "SharpnessIncreasing": (pil_increasing(ImageEnhance.Sharpness), 1, 0),
    "ShearX": (pil_affine(lambda v, w, h: (1, 0.3 * v, 0, 0, 1, 0)), 0, 0.005),
    "ShearY": (pil_affine(lambda v, w, h: (1, 0, 0, 0.3 * v, 1, 0)), 0, 0.005),
    "TranslateXRel": (pil_affine(lambda v, w, h: (1, 0, -0.45 * v * w, 0, 1, 0)), 0, 0.005),
    "TranslateYRel": (pil_affine(lambda v, w, h: (1, 0, 0, 0, 1, -0.45 * v * h)), 0, 0.005),
    "Rotate": (
        lambda image, level, sign: image.rotate(30 * sign * level, Image.Resampling.NEAREST, fillcolor=(128, 128, 128)),
        0,
        0.005,
    ),
}


def timm_case(name: str) -> Case:
    oracle, tolerance, share = TIMM[name]
    operation = timm_operations(Border("nearest", (128 / 255,)))[name]

    def error(device: torch.device) -> float:
        u = torch.stack([torch.arange(22) % 11 / 10, (torch.arange(22) >= 11) * 0.5 + 0.25], 1)
        image = images(len(u), *CANVAS)
        out = operation.transform(Batch(image=image.to(device)), u.to(device), (u[:, 0] >= 0).to(device)).image
        assert out is not None
        pictures = [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in image]
        expected = [oracle(p, i % 11 / 10, 1 if i >= 11 else -1) for i, p in enumerate(pictures)]
        stacked = torch.from_numpy(np.stack([np.asarray(p) for p in expected])).permute(0, 3, 1, 2)
        return difference(out.cpu(), stacked, share=share)

    reference = "PIL with timm's ranges, magnitudes 0 to 10 and both signs"
    return Case(f"timm_augment: {name}", reference, torch.uint8, tolerance, error)


_rand, _trivial, _auto, _mix = (
    kind._AUGMENTATION_SPACE for kind in (v2.RandAugment, v2.TrivialAugmentWide, v2.AutoAugment, v2.AugMix)
)
TIES = 0.02  # of the pixels: a shear by a fifth of a pixel per row shifts every fifth row by a half
EXACT = {torch.uint8: 0.0, torch.float32: 1e-5}
CHAINS: dict[str, Layer] = {
    "RandAugment(magnitude=15)": RandAugment(magnitude=15),
    "TrivialAugmentWide()": TrivialAugmentWide(),
    "AutoAugment('imagenet')": AutoAugment(),
    "AutoAugment('cifar10')": AutoAugment("cifar10"),
    "AutoAugment('svhn')": AutoAugment("svhn"),
}
_single = AugMix(severity=10, chain_depth=1)
CASES: list[Case] = [
    *rows("RandAugment", RAND, _rand, (*GEOMETRY, *VALUES), 31),
    *rows("TrivialAugmentWide", WIDE, _trivial, (*GEOMETRY, *VALUES), 31),
    *rows("AutoAugment", RAND, _auto, (*GEOMETRY, *VALUES, "Invert"), 10),
    *rows("AugMix", MIX, _mix, (*GEOMETRY, *VALUES), 10),
    *[
        case
        for name, layer in CHAINS.items()
        for case in whole(name, layer, one_after_another, "torchvision's operations, in turn", EXACT, TIES)
    ],
    *whole("AugMix", _single, mixture(_single), "torchvision's mixture", {torch.uint8: 1, torch.float32: 1e-5}, 0.0),
    *whole(
        "ThreeAugment",
        ThreeAugment(color_jitter=None),
        three,
        "torchvision grayscale, solarize or gaussian_blur",
        {torch.uint8: 1, torch.float32: 1e-5},
        0.0,
    ),
    *[timm_case(name) for name in TIMM],
]
