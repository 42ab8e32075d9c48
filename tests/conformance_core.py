"""The transforms that nearly every chain has."""

from __future__ import annotations

from itertools import permutations

import torch
from conformance import Case, Record, against, difference
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvf
from zoo import images

from torchaug import Batch
from torchaug import image as T

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def resized_crop(mode: str) -> list[Case]:
    def oracle(image: Tensor, record: Record) -> Tensor:
        box = [int(record[name]) for name in ("top", "left", "height", "width")]
        cut: Tensor = tvf.resized_crop(image, *box, size=[24, 28], interpolation=MODES[mode], antialias=True)
        return cut

    crop = T.RandomResizedCrop((24, 28), interpolation=mode)  # type: ignore[arg-type]
    return against(crop, oracle, "torchvision resized_crop, antialiased, per sample", canvas=(60, 50))


def jitter() -> list[Case]:
    """All 24 orders: float within 1e-5, and each step of uint8 within a level."""
    ops = ("brightness", "contrast", "saturation", "hue")
    transform = T.ColorJitter(0.4, 0.4, 0.4, 0.1)

    def error(device: torch.device) -> float:
        image, worst = images(1).double() / 255, 0.0
        for number, order in enumerate(permutations(range(4))):
            u = torch.rand(1, 8, generator=torch.Generator().manual_seed(number))
            u[0, 4 + torch.tensor(order)] = torch.tensor([0.1, 0.3, 0.5, 0.7])
            out = transform.apply(
                Batch(image=image.float().to(device)), u.to(device), torch.ones(1, dtype=torch.bool, device=device)
            )
            values = {name: 0.6 + 0.8 * float(u[0, i]) for i, name in enumerate(ops[:3])}
            values["hue"] = -0.1 + 0.2 * float(u[0, 3])
            expected = image[0]
            for op in sorted(range(4), key=order.__getitem__):  # each op's place
                expected = getattr(tvf, f"adjust_{ops[op]}")(expected, values[ops[op]])
            worst = max(worst, difference(out.image[0].cpu(), expected.float()))
        return worst

    cases = [
        Case("ColorJitter, all 24 orders", "torchvision adjust_*, in the sample's order", torch.float32, 1e-5, error)
    ]
    for name in ops:
        one = T.ColorJitter(**{name: 0.4})

        def oracle(image: Tensor, record: Record, name: str = name) -> Tensor:
            adjusted: Tensor = getattr(tvf, f"adjust_{name}")(image, record[name])
            return adjusted

        cases += against(one, oracle, f"torchvision adjust_{name}", float_tolerance=None)
    return cases


def gray(image: Tensor, _: Record) -> Tensor:
    grey: Tensor = tvf.rgb_to_grayscale(image, num_output_channels=3)
    return grey


def normalize(image: Tensor, _: Record) -> Tensor:
    normal: Tensor = tvf.normalize(image, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    return normal


def unchanged(image: Tensor, _: Record) -> Tensor:
    return image


def views() -> list[Case]:
    def error(device: torch.device, ten: bool) -> float:
        ours = (T.TenCrop if ten else T.FiveCrop)((20, 24))(images(2).to(device))
        theirs = (tvf.ten_crop if ten else tvf.five_crop)(images(2), [20, 24])
        return max(difference(a.cpu(), b) for a, b in zip(ours, theirs, strict=True))

    return [
        Case("FiveCrop", "torchvision five_crop", torch.uint8, 0, lambda device: error(device, ten=False)),
        Case("TenCrop", "torchvision ten_crop", torch.uint8, 0, lambda device: error(device, ten=True)),
    ]


def masked() -> list[Case]:
    """Every object of the mask goes where all may go: what is left is the background's own pixels."""

    def error(device: torch.device) -> float:
        mask = torch.randint(0, 3, (2, 1, 32, 36), generator=torch.Generator().manual_seed(0))
        batch = Batch(image=images(2).to(device), mask=mask.to(device))
        out = T.MaskDropout(max_objects=(2, 2), num_objects=2, p=1.0)(batch)
        expected = torch.where(mask.expand(-1, 3, -1, -1) > 0, 0, images(2))
        return difference(out.image.cpu(), expected)

    return [Case("MaskDropout, all objects", "numpy where", torch.uint8, 0, error)]


CASES = [
    *resized_crop("bilinear"),
    *resized_crop("bicubic"),
    *jitter(),
    *against(T.RandomGrayscale(p=0.5), gray, "torchvision rgb_to_grayscale", float_tolerance=1e-6),
    *against(
        T.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
        normalize,
        "torchvision normalize",
        float_tolerance=1e-6,
        uint8_tolerance=None,
    ),
    *against(
        T.ToDtype(torch.uint8),
        lambda image, _: tvf.to_dtype(image, torch.uint8, scale=True),
        "torchvision to_dtype from float32 (a level: it truncates)",
        float_tolerance=1,
        uint8_tolerance=0,
    ),
    *against(T.Identity(), unchanged, "the input", float_tolerance=0, uint8_tolerance=0),
    *views(),
    *masked(),
]
