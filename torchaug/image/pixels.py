"""Values: noise, normalisation and dtypes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.pointwise import Frame, Planes, Pointwise, pick_planes
from torchaug.keys import noise, uniform
from torchaug.transform import Sizes


class GaussianNoise(Pointwise):
    """Add normal noise, another field for each sample, as torchvision's transform of this name.

    The noise is a function of the sample's key and the place, the same on every device and in every batch.

    Args:
        mean: of the noise, for values in [0, 1].
        sigma: its standard deviation, or a range (low, high) from which each sample's is drawn.
        clip: keep the result in [0, 1].
        p: chance per sample.

    >>> GaussianNoise(sigma=0.05)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 3

    def __init__(
        self, mean: float = 0.0, sigma: float | tuple[float, float] = 0.1, clip: bool = True, p: float = 1.0
    ) -> None:
        super().__init__(p)
        self.sigma = arguments.range_from(sigma, "GaussianNoise", "sigma")
        self.mean, self.clip = float(mean), clip

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"sigma": uniform(u[:, 0], *self.sigma)}

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"chosen": chosen, "seeds": u[:, 1:]} | self.drawn(u, size)

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        sigma = numbers["sigma"][:, None, None]
        fields = noise(numbers["seeds"], (len(planes), *planes[0].shape[1:])).to(planes[0].dtype).unbind(1)
        noisy = [plane + (field * sigma + self.mean) for plane, field in zip(planes, fields, strict=True)]
        if self.clip:
            noisy = [plane.clamp(0, 1) for plane in noisy]
        return pick_planes(numbers["chosen"], noisy, planes)


class Normalize(Pointwise):
    """Subtract the mean and divide by the standard deviation of each channel, as torchvision's transform of this name.

    uint8 images are scaled to [0, 1] first and come out as float32.

    Args:
        mean: one value per channel, or one for all, of images in [0, 1].
        std: likewise, above 0.

    >>> Normalize([0.5], [0.5])(torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)).mean().item()
    1.0
    """

    always = True

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        mean, std = [float(m) for m in mean], [float(s) for s in std]
        if not mean or len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f"Normalize: mean and std must be equally many, std above 0, got {mean} and {std}")
        self.mean, self.std = mean, std

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if dtype == torch.uint8 else dtype

    def levels(self) -> tuple[Sequence[float], Sequence[float]]:
        return [1 / s for s in self.std], [-m / s for m, s in zip(self.mean, self.std, strict=True)]

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        if len(self.mean) not in (1, len(planes)):
            raise ValueError(f"Normalize: mean has {len(self.mean)} values, the image {len(planes)} channels")
        repeat = len(planes) // len(self.mean)
        scale, shift = (list(values) * repeat for values in self.levels())
        return [plane * a + b for plane, a, b in zip(planes, scale, shift, strict=True)]

    def extra_repr(self) -> str:
        return f"mean={self.mean}, std={self.std}"


class ToDtype(Pointwise):
    """Convert images between uint8 in [0, 255] and floating point in [0, 1], as torchvision's with `scale=True`.

    Args:
        dtype: torch.uint8, float16, bfloat16, float32 or float64.
        scale: must stay True: floating point images are in [0, 1] everywhere here.

    >>> ToDtype(torch.float32)(torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)).mean().item()
    1.0
    """

    always = True

    def __init__(self, dtype: torch.dtype, scale: bool = True) -> None:
        super().__init__()
        if dtype != torch.uint8 and not dtype.is_floating_point:
            raise ValueError(f"ToDtype: dtype must be torch.uint8 or a floating point one, got {dtype}")
        if not scale:
            raise ValueError("ToDtype: scale must be True: floating point images are in [0, 1], uint8 in [0, 255]")
        self.dtype = dtype

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        return self.dtype

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return [plane.double() for plane in planes] if self.dtype == torch.float64 else planes

    def extra_repr(self) -> str:
        return f"{self.dtype}"
