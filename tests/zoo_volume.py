"""Every public transform of volumes, once or more: what tests/test_volume.py runs over."""

from __future__ import annotations

import torch

from torchaug import Compose, OneOf
from torchaug import volume as V
from torchaug.transform import Layer

SHAPE = (12, 14, 16)

WHOLE: dict[str, Layer] = {
    "flip": V.RandomFlip(flip_probability=1.0),
    "flip_some": V.RandomFlip(axes=(0, 2)),
    "symmetry": V.CubicSymmetry(),
    "pad": V.Pad((1, 0, 2, 3, 0, 4), fill=0.5),
    "crop_or_pad": V.CropOrPad((15, 9, 16), fill="minimum"),
    "center_crop": V.CenterCrop((12, 9, 10)),
    "random_crop": V.RandomCrop((7, 14, 9)),
}

POINTS: dict[str, Layer] = {
    "affine": V.RandomAffine(scales=0.2, degrees=40, translation=3),
    "affine_isotropic": V.RandomAffine(scales=(0.8, 1.3), degrees=(-30, 30, 0, 20, 5, 9), isotropic=True, fill=0.3),
    "elastic": V.RandomElasticDeformation(max_displacement=(2, 1, 2)),
    "elastic_free": V.RandomElasticDeformation((5, 4, 6), 1.5, locked_borders=0, fill=0.0),
    "spatial_chain": Compose(
        [
            V.RandomFlip(),
            V.RandomAffine(degrees=20),
            V.RandomCrop((10, 11, 12)),
            V.RandomElasticDeformation(max_displacement=1),
        ]
    ),
}

RESIZE: dict[str, Layer] = {
    "resize_up": V.Resize((13, 20, 31)),
    "resize_down": V.Resize((5, 14, 7)),
    "resize_aliased": V.Resize((5, 6, 7), antialias=False),
}

VALUES: dict[str, Layer] = {
    "gamma": V.RandomGamma((0.4, 0.8)),
    "noise": V.RandomNoise(mean=(-0.1, 0.1), std=(0.05, 0.2)),
    "blur": V.RandomBlur(((0.5, 2), (0, 1), (0, 0))),
    "bias": V.RandomBiasField(),
    "bias_order_1": V.RandomBiasField((-0.9, 0.2), order=1),
    "motion": V.RandomMotion(num_transforms=3, translation=2),
    "ghosting": V.RandomGhosting((2, 4)),
    "ghosting_one_axis": V.RandomGhosting(3, axes=1, intensity=0.7, restore=0.3),
    "spike": V.RandomSpike((1, 3), (0.1, 0.2)),
    "anisotropy": V.RandomAnisotropy(),
    "swap": V.RandomSwap((4, 5, 6), num_iterations=4),
    "z_normalize": V.ZNormalize(),
    "z_normalize_foreground": V.ZNormalize(above_mean=True),
    "rescale": V.RescaleIntensity((-1, 1)),
    "rescale_percentiles": V.RescaleIntensity(percentiles=(1, 98.5)),
}

CHAINS: dict[str, Layer] = {
    "segmentation": Compose([V.RandomAffine(), V.RandomFlip(), V.RandomNoise(), V.RandomGamma(), V.ZNormalize()]),
    "one_of": OneOf([V.RandomGhosting(axes=0), V.RandomFlip(), V.RandomBiasField(order=1)]),
}

AGAIN = {
    "flip_some",
    "affine_isotropic",
    "elastic_free",
    "resize_up",
    "resize_aliased",
    "bias_order_1",
    "ghosting_one_axis",
}
"""Those that differ from another one by numbers alone."""
EVERY = WHOLE | POINTS | RESIZE | VALUES | CHAINS


def volumes(count: int = 4, shape: tuple[int, int, int] = SHAPE, seed: int = 0, channels: int = 2) -> torch.Tensor:
    """Smooth uint8 volumes (count, channels, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, *(n // 4 + 2 for n in shape), generator=generator)
    fine = torch.nn.functional.interpolate(coarse, shape, mode="trilinear", align_corners=True)
    return (fine * 255).round().to(torch.uint8)
