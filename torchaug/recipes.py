"""Ready recipes: published augmentations with their published settings, each with its source.

Each makes a `Compose` (or `Views` of several) that takes uint8 images or floats in [0, 1]. Where the source ends by
subtracting ImageNet's mean, so does the recipe: `normalize=False` leaves that to you. Put a recipe into a `Compose` of your
own to add steps: they fold into one plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchaug.compose import Compose, OneOf, RandomApply
from torchaug.image.blur import GaussianBlur
from torchaug.image.color import ColorJitter, RandomGrayscale
from torchaug.image.degrade import Downscale
from torchaug.image.erasing import RandomErasing
from torchaug.image.geometry import (
    CenterCrop,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
)
from torchaug.image.labels import SanitizeBoundingBoxes
from torchaug.image.mixing import SwitchMix
from torchaug.image.mosaic import Mosaic
from torchaug.image.pixels import GaussianNoise, Normalize
from torchaug.image.policies import ThreeAugment
from torchaug.image.rotation import RandomAffine
from torchaug.image.sizes import LongestMaxSize
from torchaug.image.timm import timm_augment
from torchaug.image.tone import RandomGamma, RandomInvert, RandomSolarize
from torchaug.keys import fold_in, fresh_keys
from torchaug.packing import pack
from torchaug.transform import Layer

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = 128 / 255
"""PIL's threshold of a solarisation."""
GREY = 114 / 255
"""What YOLO fills with."""


class Views(nn.Module):
    """Several augmentations of each sample, for learning by comparing them: one result per view.

    Args:
        views: what makes each view. Each view draws numbers of its own from the sample's key.

    >>> crops = Views([RandomResizedCrop(8), RandomResizedCrop(4)])
    >>> [view.shape for view in crops(torch.rand(2, 3, 16, 16))]
    [torch.Size([2, 3, 8, 8]), torch.Size([2, 3, 4, 4])]
    """

    def __init__(self, views: Sequence[Layer]) -> None:
        super().__init__()
        if not views or not all(isinstance(view, Layer) for view in views):
            raise TypeError(f"Views: views must be transforms of torchaug, at least one, got {views!r}")
        self.views = nn.ModuleList(views)

    def forward(self, *inputs: Any, keys: Tensor | None = None, generator: torch.Generator | None = None) -> list[Any]:
        """A list with the result of each view, each in the structure of the inputs; see `Layer.forward`."""
        if keys is None:
            batch, _ = pack(inputs, "Views", plain=self.views[0].plain)  # type: ignore[arg-type]
            keys = batch.key if generator is None else None
            keys = fresh_keys(len(batch), batch.device, generator) if keys is None else keys
        return [view(*inputs, keys=fold_in(keys, i)) for i, view in enumerate(self.views)]


def _ending(normalize: bool) -> list[Layer]:
    return [Normalize(IMAGENET_MEAN, IMAGENET_STD)] if normalize else []


def _kernel(size: int) -> int:
    """An odd kernel of a tenth of the image's side: 23 of 224."""
    return size // 10 // 2 * 2 + 1


def simclr(size: int = 224, strength: float = 1.0) -> Compose:
    """SimCLR: Chen et al., "A Simple Framework for Contrastive Learning" (2020), appendix A, and its code.

    Args:
        size: of the square crops.
        strength: of the colour distortion; the paper has 1 for ImageNet and 0.5 for CIFAR-10 (without blur there).

    >>> simclr(32)(torch.rand(2, 3, 40, 48)).shape
    torch.Size([2, 3, 32, 32])
    """
    s = strength
    return Compose(
        [
            RandomResizedCrop(size, interpolation="bicubic"),
            RandomHorizontalFlip(),
            RandomApply([ColorJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s)], p=0.8),
            RandomGrayscale(p=0.2),
            GaussianBlur(_kernel(size), (0.1, 2.0), p=0.5),
        ]
    )


def moco_v2(size: int = 224, normalize: bool = True) -> Compose:
    """MoCo v2: Chen, Fan, Girshick and He, "Improved Baselines with Momentum Contrastive Learning" (2020) and its code.

    Args:
        size: of the square crops.
        normalize: by ImageNet's mean and standard deviation.

    >>> moco_v2(32)(torch.rand(2, 3, 40, 48)).shape
    torch.Size([2, 3, 32, 32])
    """
    return Compose(
        [
            RandomResizedCrop(size, scale=(0.2, 1.0)),
            RandomApply([ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            RandomGrayscale(p=0.2),
            GaussianBlur(None, (0.1, 2.0), p=0.5),
            RandomHorizontalFlip(),
            *_ending(normalize),
        ]
    )


def byol(size: int = 224, normalize: bool = True) -> Views:
    """BYOL's two views: Grill et al., "Bootstrap Your Own Latent" (2020), table 6.

    Args:
        size: of the square crops.
        normalize: by ImageNet's mean and standard deviation.

    >>> [view.shape for view in byol(32)(torch.rand(2, 3, 40, 48))]
    [torch.Size([2, 3, 32, 32]), torch.Size([2, 3, 32, 32])]
    """

    def view(blur: float, *solarized: Layer) -> Compose:
        return Compose(
            [
                RandomResizedCrop(size, interpolation="bicubic"),
                RandomHorizontalFlip(),
                *_softer_color(),
                GaussianBlur(_kernel(size), (0.1, 2.0), p=blur),
                *solarized,
                *_ending(normalize),
            ]
        )

    return Views([view(1.0), view(0.1, RandomSolarize(0.5, p=0.2))])


def _softer_color() -> list[Layer]:
    """The colour distortion of BYOL and DINO."""
    return [RandomApply([ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8), RandomGrayscale(p=0.2)]


def dino(
    size: int = 224,
    local_size: int = 96,
    local_crops: int = 8,
    global_scale: tuple[float, float] = (0.4, 1.0),
    local_scale: tuple[float, float] = (0.05, 0.4),
    normalize: bool = True,
) -> Views:
    """DINO's multi-crop: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (2021) and its code.

    Args:
        size: of the two global crops.
        local_size: of the local ones.
        local_crops: how many.
        global_scale: range of a global crop's share of the image.
        local_scale: range of a local one's.
        normalize: by ImageNet's mean and standard deviation.

    >>> [view.shape[-1] for view in dino(32, 16, local_crops=2)(torch.rand(2, 3, 40, 48))]
    [32, 32, 16, 16]
    """

    def view(side: int, scale: tuple[float, float], blur: float, *solarized: Layer) -> Compose:
        return Compose(
            [
                RandomResizedCrop(side, scale, interpolation="bicubic"),
                RandomHorizontalFlip(),
                *_softer_color(),
                GaussianBlur(None, (0.1, 2.0), p=blur),
                *solarized,
                *_ending(normalize),
            ]
        )

    second = view(size, global_scale, 0.1, RandomSolarize(HALF, p=0.2))
    local = [view(local_size, local_scale, 0.5) for _ in range(local_crops)]
    return Views([view(size, global_scale, 1.0), second, *local])


def mae(size: int = 224, normalize: bool = True) -> Compose:
    """MAE's pre-training: He et al., "Masked Autoencoders Are Scalable Vision Learners" (2022), table 8 and its code.

    Args:
        size: of the square crops.
        normalize: by ImageNet's mean and standard deviation.

    >>> mae(32)(torch.rand(2, 3, 40, 48)).shape
    torch.Size([2, 3, 32, 32])
    """
    crop = RandomResizedCrop(size, scale=(0.2, 1.0), interpolation="bicubic")
    return Compose([crop, RandomHorizontalFlip(), *_ending(normalize)])


def deit(size: int = 224, num_classes: int | None = None, normalize: bool = True) -> Compose:
    """DeiT: Touvron et al., "Training data-efficient image transformers" (2021), table 9, as timm has its parts.

    Args:
        size: of the square crops.
        num_classes: of the labels, for MixUp and CutMix with label smoothing, which come last; None leaves them out.
        normalize: by ImageNet's mean and standard deviation, before erasing.

    Repeated augmentation is the sampler's: let each index come three times.

    >>> images, labels = deit(32, num_classes=10)(torch.rand(4, 3, 40, 48), torch.arange(4))
    >>> images.shape, labels.shape
    (torch.Size([4, 3, 32, 32]), torch.Size([4, 10]))
    """
    steps: list[Layer] = [
        RandomResizedCrop(size, interpolation="bicubic"),
        RandomHorizontalFlip(),
        timm_augment("rand-m9-mstd0.5-inc1", "bicubic", IMAGENET_MEAN),
        *_ending(normalize),
        RandomErasing(p=0.25, scale=(0.02, 1 / 3), mode="pixel"),
    ]
    if num_classes is not None:
        steps.append(SwitchMix(0.8, 1.0, mode="batch", label_smoothing=0.1, num_classes=num_classes))
    return Compose(steps)


def three_augment(size: int = 224, simple_crop: bool = False, normalize: bool = True) -> Compose:
    """DeiT III's 3-Augment: Touvron, Cord and Jegou, "DeiT III: Revenge of the ViT" (2022), section 4.2, and its code.

    Args:
        size: of the square crops.
        simple_crop: resize the shorter side and crop (the paper's choice for ImageNet-21k), in place of a random resized
            crop.
        normalize: by ImageNet's mean and standard deviation.

    >>> three_augment(32)(torch.rand(2, 3, 40, 48)).shape
    torch.Size([2, 3, 32, 32])
    """
    crop: list[Layer] = [RandomResizedCrop(size, interpolation="bicubic")]
    if simple_crop:
        crop = [Resize(size, interpolation="bicubic"), RandomCrop(size, padding=4, padding_mode="reflect")]
    return Compose([*crop, RandomHorizontalFlip(), ThreeAugment(0.3), *_ending(normalize)])


def yolo(size: int = 640) -> Compose:
    """YOLOv5's and its followers' training: mosaic, scale and shift, colour, flip, with Ultralytics' default numbers.

    Mosaic: Bochkovskiy et al., "YOLOv4" (2020). Boxes follow, and are dropped below two pixels. The gains of saturation
    and value act as `ColorJitter` has them, about the grey image, and not in HSV; the hue is shifted by up to 0.015 of the
    colour circle, where Ultralytics scales it by up to 1.5 %.

    Args:
        size: of the square images that come out.

    >>> batch = {"image": torch.rand(4, 3, 40, 48), "boxes": torch.rand(4, 2, 4).cumsum(-1) * 8}
    >>> out = yolo(32)(batch)
    >>> out["image"].shape, out["boxes"].shape
    (torch.Size([4, 3, 32, 32]), torch.Size([4, 8, 4]))
    """
    return Compose(
        [
            LongestMaxSize(size),
            Mosaic(2 * size, (0.25, 0.75), fill=GREY, p=1.0),
            RandomAffine(0, (0.05, 0.05), (0.5, 1.5), interpolation="bilinear", fill=GREY),  # shares of twice the size
            CenterCrop(size),
            SanitizeBoundingBoxes(min_size=2),
            ColorJitter(brightness=0.4, saturation=0.7, hue=0.015),
            RandomHorizontalFlip(),
        ]
    )


def nnunet(size: int | tuple[int, int] = 256, std: float = 0.2) -> Compose:
    """nnU-Net's 2-D training: Isensee et al., "nnU-Net" (Nature Methods, 2021), as version 2 of its code has the numbers.

    It was made for z-scores: here images are in [0, 1], the noise is scaled by `std`, and gamma does not restore mean and
    deviation. Blur and low resolution act on all channels of an image alike, with the chance that each channel has there.

    Args:
        size: of the patches.
        std: typical standard deviation of the images' values.

    >>> out = nnunet(32)({"image": torch.rand(2, 1, 40, 48), "mask": torch.zeros(2, 40, 48)})
    >>> out["image"].shape, out["mask"].shape
    (torch.Size([2, 1, 32, 32]), torch.Size([2, 32, 32]))
    """

    def gamma() -> Layer:
        return OneOf([RandomGamma((0.7, 1.0), p=1.0), RandomGamma((1.0, 1.5), p=1.0)])

    return Compose(
        [
            RandomAffine(180, interpolation="bilinear", p=0.2),
            RandomAffine(0, scale=(0.7, 1.4), interpolation="bilinear", p=0.2),
            RandomCrop(size, pad_if_needed=True),
            GaussianNoise(sigma=(0.0, 0.1 * std), p=0.1),
            GaussianBlur(None, (0.5, 1.0), p=0.1),
            ColorJitter(brightness=0.25, p=0.15),
            ColorJitter(contrast=0.25, p=0.15),
            Downscale((0.5, 1.0), "bilinear", p=0.125),
            RandomApply([RandomInvert(p=1.0), gamma(), RandomInvert(p=1.0)], p=0.1),
            RandomApply([gamma()], p=0.3),
            RandomHorizontalFlip(),
            RandomVerticalFlip(),
        ]
    )


RECIPES: dict[str, Callable[[int], nn.Module]] = {
    recipe.__name__: recipe for recipe in (simclr, moco_v2, byol, dino, mae, deit, three_augment, yolo, nnunet)
}
"""Each of them by name, a function of the size."""
