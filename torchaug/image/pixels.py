"""Values: noise, normalisation, whitening, dtypes and their layout; the identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree

from torchaug.batch import Batch
from torchaug.image import arguments
from torchaug.image.pointwise import Frame, Pixels, Planes, Pointwise, levels_of, pick_planes
from torchaug.keys import noise, uniform
from torchaug.packing import is_pil
from torchaug.transform import Sizes, Transform


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
    fresh = slice(1, 3)

    def __init__(
        self, mean: float = 0.0, sigma: float | tuple[float, float] = 0.1, clip: bool = True, p: float = 1.0
    ) -> None:
        super().__init__(p)
        self.sigma = arguments.within(sigma, "GaussianNoise", "sigma", 0)
        self.mean, self.clip = arguments.number(mean, "GaussianNoise", "mean"), clip

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"sigma": uniform(u[:, 0], *self.sigma), "seeds": u[:, 1:]}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        sigma = numbers["sigma"][:, None, None]
        fields = noise(numbers["seeds"], (len(planes), *planes[0].shape[1:])).to(planes[0].dtype).unbind(1)
        noisy = [plane + (field * sigma + self.mean) for plane, field in zip(planes, fields, strict=True)]
        if self.clip:
            noisy = [plane.clamp(0, 1) for plane in noisy]
        return pick_planes(numbers["chosen"], noisy, planes)


class _Scaled(Pointwise):
    """One factor and one shift for each channel, from a mean and a standard deviation."""

    always = True

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        means, stds = arguments.finite(mean), arguments.finite(std)
        if not means or len(means) != len(stds) or min(stds) <= 0:
            who = type(self).__name__
            raise ValueError(f"{who}: mean and std must be equally many numbers, std above 0, got {mean!r} and {std!r}")
        self.mean, self.std = [*map(float, means)], [*map(float, stds)]

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if dtype == torch.uint8 else dtype

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        scale, shift = levels_of(self, len(planes)) or ((), ())
        return [plane * a + b for plane, a, b in zip(planes, scale, shift, strict=True)]


class Normalize(_Scaled):
    """Subtract the mean and divide by the standard deviation of each channel, as torchvision's transform of this name.

    uint8 images are scaled to [0, 1] first and come out as float32.

    Args:
        mean: one value per channel, or one for all, of images in [0, 1].
        std: likewise, above 0.

    >>> Normalize([0.5], [0.5])(torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)).mean().item()
    1.0
    """

    def levels(self) -> tuple[Sequence[float], Sequence[float]]:
        return [1 / s for s in self.std], [-m / s for m, s in zip(self.mean, self.std, strict=True)]


class Denormalize(_Scaled):
    """Multiply by the standard deviation of each channel and add the mean: what `Normalize` did, undone.

    Args:
        mean: one value per channel, or one for all, as `Normalize` had it.
        std: likewise, above 0.

    >>> Denormalize([0.5], [0.25])(torch.ones(2, 1, 4, 4)).mean().item()
    0.75
    """

    def levels(self) -> tuple[Sequence[float], Sequence[float]]:
        return self.std, self.mean


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
        if dtype != torch.uint8 and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise ValueError(f"ToDtype: dtype must be torch.uint8 or a floating point one, got {dtype}")
        if not scale:
            raise ValueError("ToDtype: scale must be True: floating point images are in [0, 1], uint8 in [0, 255]")
        self.dtype, self.scale = dtype, scale

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        return self.dtype

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        return [plane.double() for plane in planes] if self.dtype == torch.float64 else planes


class ToMemoryFormat(Transform):
    """Lay images out in memory as a network wants them; no value changes.

    As the last step of a compiled `Compose` it costs nothing: the pass before it writes so. Uncompiled, it is a pass.

    Args:
        memory_format: torch.channels_last: the channels of a pixel side by side, which convolutions in half precision are
            fastest with; torch.contiguous_format: plane after plane. Or these names.

    >>> ToMemoryFormat()(torch.rand(2, 3, 4, 4)).is_contiguous(memory_format=torch.channels_last)
    True
    """

    always = True

    def __init__(self, memory_format: torch.memory_format | str = "channels_last") -> None:
        super().__init__()
        name = str(memory_format).removeprefix("torch.")
        self.memory_format = arguments.one_of(name, "ToMemoryFormat", "memory_format", tuple(_FORMATS))

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if batch.image is None:
            raise TypeError(f"ToMemoryFormat: expected a batch with an image, got {sorted(batch.present())}")
        return batch.replace(image=batch.image.contiguous(memory_format=_FORMATS[self.memory_format]))


_FORMATS = {"channels_last": torch.channels_last, "contiguous_format": torch.contiguous_format}


class LinearTransformation(Pixels):
    """Subtract a vector from each flattened image and multiply by a matrix: whitening, as torchvision's transform.

    uint8 images are scaled to [0, 1] first and come out as float32, so statistics must be those of images in [0, 1].

    Args:
        transformation_matrix: (D, D), D = C H W, on the device of the images: it moves with the module.
        mean_vector: (D,).

    >>> LinearTransformation(2 * torch.eye(12), torch.zeros(12))(torch.ones(2, 3, 2, 2)).mean().item()
    2.0
    """

    always = True
    transformation_matrix: Tensor
    mean_vector: Tensor

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        wide = mean_vector.numel()
        if mean_vector.shape != (wide,) or transformation_matrix.shape != (wide, wide):
            raise ValueError(
                "LinearTransformation: transformation_matrix must be (D, D) and mean_vector (D,), got "
                f"{tuple(transformation_matrix.shape)} and {tuple(mean_vector.shape)}"
            )
        self.register_buffer("transformation_matrix", transformation_matrix, persistent=False)
        self.register_buffer("mean_vector", mean_vector, persistent=False)

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if dtype == torch.uint8 else dtype

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        wide = len(self.mean_vector)
        if frame.own is not None or image[0:1].numel() not in (0, wide) or self.mean_vector.device != image.device:
            raise ValueError(
                f"LinearTransformation: images must have C H W = {wide} values on {self.mean_vector.device} and one size, "
                f"got {tuple(image.shape)} on {image.device}"
            )
        flat = image.flatten(1) - self.mean_vector.to(image.dtype)
        with torch.autocast(image.device.type, enabled=False):
            return (flat @ self.transformation_matrix.to(image.dtype)).view(image.shape)


class Identity(Transform):
    """Leave everything as it is: a place in a list that chooses, as torchvision's transform of this name.

    >>> Identity()(torch.ones(2, 1, 4, 4)).mean().item()
    1.0
    """

    always = True
    acts = False

    def __init__(self) -> None:
        super().__init__()

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return batch


class ToImage(Transform):
    """Turn PIL images and numpy arrays (H, W) or (H, W, C) into tensors (C, H, W), as torchvision's transform.

    Tensors stay as they are. It works on what a call is given, so it is called by itself, as a data set's transform for
    example; within a `Compose`, which takes PIL images anyway and gives them back as such, it changes nothing.

    >>> import numpy as np
    >>> ToImage()(np.zeros((4, 6, 3), np.uint8)).shape
    torch.Size([3, 4, 6])
    """

    always = True
    acts = False

    def __init__(self) -> None:
        super().__init__()

    def forward(self, *inputs: Any, keys: Tensor | None = None, generator: torch.Generator | None = None) -> Any:
        """The inputs with tensors for PIL images and numpy arrays; keys and generator are not used."""
        return _pytree.tree_map(_to_tensor, inputs[0] if len(inputs) == 1 else inputs)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return batch


def _to_tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray) and not is_pil(value):
        return value
    pixels = np.array(value)
    if pixels.ndim not in (2, 3):
        raise ValueError(f"ToImage: a numpy array must be (H, W) or (H, W, C), got {pixels.shape}")
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1).contiguous()
