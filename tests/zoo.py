"""Every public transform, once or more: what the property suite runs over."""

from __future__ import annotations

import torch
import zoo_color
import zoo_filters
import zoo_geometry
import zoo_labels
import zoo_levels
import zoo_noise
import zoo_policies
import zoo_warps
import zoo_weather

from torchaug import Compose, OneOf, RandomApply, RandomOrder, SomeOf
from torchaug import image as T
from torchaug.transform import Layer

SIMCLR = [
    T.RandomResizedCrop(24),
    T.RandomHorizontalFlip(),
    T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    T.RandomGrayscale(0.2),
    T.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
]

GEOMETRY: dict[str, Layer] = {
    "hflip": T.RandomHorizontalFlip(p=1.0),
    "vflip": T.RandomVerticalFlip(p=1.0),
    "resize": T.Resize((20, 41)),
    "resize_shorter": T.Resize(19, max_size=40),
    "resize_nearest": T.Resize((20, 41), interpolation="nearest"),
    "resize_aliased": T.Resize((20, 41), antialias=False),
    "center_crop": T.CenterCrop((21, 30)),
    "random_crop": T.RandomCrop((24, 20)),
    "random_crop_padded": T.RandomCrop(32, padding=(3, 5, 2, 1), fill=0.5),
    "resized_crop": T.RandomResizedCrop((24, 28)),
    "resized_crop_nearest": T.RandomResizedCrop(24, interpolation="nearest"),
    "rotation": T.RandomRotation(180, interpolation="bilinear"),
    "rotation_expanded": T.RandomRotation((-50, 70), interpolation="bilinear", expand=True),
    "rotation_bicubic": T.RandomRotation(180, interpolation="bicubic", fill=0.2),
    "resize_bicubic": T.Resize((20, 41), interpolation="bicubic"),
    "resized_crop_bicubic": T.RandomResizedCrop((24, 28), interpolation="bicubic", antialias=False),
    "random_crop_reflected": T.RandomCrop(32, padding=(3, 5, 2, 1), padding_mode="reflect"),
    "rotation_nearest": T.RandomRotation(180, fill=0.3),
    "affine": T.RandomAffine(30, (0.1, 0.2), (0.7, 1.3), (-10, 10, -5, 5), interpolation="bilinear"),
    "affine_filled": T.RandomAffine(30, (0.1, 0.2), (0.9, 1.3), interpolation="bilinear", fill=(0.1, 0.5, 0.9)),
    **zoo_geometry.ZOO,
    **zoo_warps.ZOO,
}

PIXELS: dict[str, Layer] = {
    "jitter": T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "jitter_light": T.ColorJitter(brightness=(0.5, 2), contrast=0.5),
    "jitter_contrast_hue": T.ColorJitter(contrast=0.5, hue=0.2),
    "grayscale": T.RandomGrayscale(p=1.0),
    "noise": T.GaussianNoise(sigma=(0.05, 0.2)),
    "erasing": T.RandomErasing(p=1.0, value=(0.1, 0.2, 0.3)),
    "erasing_random": T.RandomErasing(p=1.0, value="random"),
    "to_dtype": T.ToDtype(torch.float32),
    "normalize": T.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
    **zoo_color.ZOO,
    **zoo_levels.ZOO,
    **zoo_filters.ZOO,
    **zoo_weather.ZOO,
    **zoo_noise.ZOO,
    **zoo_labels.ZOO,
}

CHAINS: dict[str, Layer] = {
    "simclr": Compose(SIMCLR),
    "simclr_folded": Compose(SIMCLR, color="folded"),
    "geometry_folded": Compose(
        [T.RandomRotation(40, "bilinear"), T.RandomResizedCrop(24), T.RandomAffine(10, interpolation="bilinear")]
    ),
    "geometry_sequential": Compose([T.RandomRotation(40, "bilinear"), T.RandomCrop(24)], geometry="sequential"),
    "one_of": OneOf([T.RandomHorizontalFlip(p=1.0), T.GaussianNoise(), T.RandomRotation(20)], weights=[2, 1, 1]),
    "some_of": SomeOf([T.RandomVerticalFlip(p=1.0), T.RandomGrayscale(p=1.0), T.RandomErasing(p=1.0)], n=2),
    "random_apply": RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.RandomRotation(20)], p=0.8),
    "random_order": RandomOrder([T.RandomRotation(20, "bilinear"), T.ColorJitter(0.4), T.RandomHorizontalFlip()]),
    **zoo_policies.ZOO,
}

EVERY = GEOMETRY | PIXELS | CHAINS


def images(count: int = 5, height: int = 32, width: int = 36, seed: int = 0) -> torch.Tensor:
    """Smooth uint8 images (count, 3, height, width): noise that a resampling can follow."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, height // 4 + 2, width // 4 + 2, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (fine * 255).round().to(torch.uint8)
