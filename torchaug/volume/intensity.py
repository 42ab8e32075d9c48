"""Transforms of a volume's values: contrast, noise, blur, bias field, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, floor
from typing import Any

import torch
from torch import Tensor

from torchaug.keys import noise, uniform
from torchaug.transform import Sizes
from torchaug.volume import arguments, matrices, resample
from torchaug.volume.kinds import Intensity
from torchaug.volume.resample import spatial


class RandomGamma(Intensity):
    """Raise values to a random power gamma, keeping their sign; meant for volumes in [0, 1] or [-1, 1].

    Args:
        log_gamma: range of gamma's logarithm, or one number v for (-v, v).
        p: chance per sample.

    Parameters per sample: gamma.

    >>> RandomGamma(log_gamma=(0.6931472, 0.6931472))(torch.full((1, 1, 1, 1, 2), 0.5)).flatten()
    tensor([0.2500, 0.2500])
    """

    uniforms = 1

    def __init__(self, log_gamma: float | Sequence[float] = (-0.3, 0.3), p: float = 1.0) -> None:
        super().__init__(p)
        self.log_gamma = arguments.symmetric(log_gamma, "RandomGamma", "log_gamma")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"gamma": torch.exp(uniform(u[:, 0], *self.log_gamma))}

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        gamma = numbers["gamma"].to(volume.dtype).view(-1, 1, 1, 1, 1)
        size = volume.abs()
        safe = torch.where(size > 0, size, 1.0)  # a root has no slope at 0
        return torch.where(size > 0, volume.sign() * safe**gamma, volume)


class RandomNoise(Intensity):
    """Add normal noise, another field for each sample; meant for normalised volumes.

    Args:
        mean: of the noise: a number, or a range from which each sample's is drawn.
        std: its standard deviation: a number, or a range.
        p: chance per sample.

    Parameters per sample: mean and std.

    >>> RandomNoise(std=0.1)(torch.rand(2, 1, 8, 8, 8)).shape
    torch.Size([2, 1, 8, 8, 8])
    """

    uniforms = 4

    def __init__(
        self, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = (0.0, 0.25), p: float = 1.0
    ) -> None:
        super().__init__(p)
        self.mean = arguments.within(mean, "RandomNoise", "mean")
        self.std = arguments.within(std, "RandomNoise", "std", 0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"mean": uniform(u[:, 0], *self.mean), "std": uniform(u[:, 1], *self.std)}

    def numbers(self, u: Tensor) -> dict[str, Tensor]:
        return super().numbers(u) | {"seeds": u[:, 2:]}

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        mean, std = (numbers[name].view(-1, 1, 1, 1, 1) for name in ("mean", "std"))
        field = noise(numbers["seeds"], volume.shape[1:])
        return volume + (mean + std * field).to(volume.dtype)


class RandomBlur(Intensity):
    """Blur with a Gaussian of random width along each axis: scipy's `gaussian_filter`, mode "reflect", cut off at 4 std.

    Args:
        std: standard deviation in voxels: (low, high) for each axis, three pairs (or six numbers) for depth, height and
            width, or one number v for (0, v).
        p: chance per sample.

    Parameters per sample: std, for depth, height and width.

    >>> RandomBlur(std=1)(torch.ones(1, 1, 4, 4, 4)).mean().round(decimals=4)
    tensor(1.)
    """

    uniforms = 3

    def __init__(self, std: Any = (0, 2), p: float = 1.0) -> None:
        super().__init__(p)
        self.std = arguments.ranges(std, "RandomBlur", "std", lowest=0)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"std": matrices.per_axis(u, self.std)}

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        for axis, length in enumerate(spatial(volume)):
            radius = int(4 * self.std[axis][1] + 0.5)
            if radius:
                matrix = _gaussian(numbers["std"][:, axis].to(volume.dtype), radius, length)
                volume = resample.along(volume, matrix, axis)
        return volume


def _gaussian(std: Tensor, radius: int, length: int) -> Tensor:
    """(B, length, length): a Gaussian of `std` (B,) at each voxel; what falls outside is reflected at the edges."""
    offsets = torch.arange(-radius, radius + 1, device=std.device)
    kernel = torch.exp(-0.5 * (offsets / std[:, None].clamp(min=1e-3)) ** 2)
    kernel = kernel * (offsets.abs() <= (4 * std[:, None] + 0.5).floor())
    kernel = kernel / kernel.sum(1, keepdim=True)
    voxels = torch.arange(length, device=std.device)
    at = (voxels[:, None] + offsets) % (2 * length)
    at = torch.minimum(at, 2 * length - 1 - at)  # (length, taps): the voxel that each tap reads
    taps = (at[:, :, None] == voxels).to(std.dtype)
    with torch.autocast(std.device.type, enabled=False):
        return (kernel @ taps.movedim(1, 0).flatten(1)).view(-1, length, length)


class RandomBiasField(Intensity):
    """Multiply by a smooth field, the exponential of a random polynomial (Van Leemput et al., 1999), as TorchIO's.

    The polynomial's coordinates run from -1 to 1 from the first to the last voxel of each axis.

    Args:
        coefficients: range of each monomial's coefficient, or one number v for (-v, v).
        order: highest degree of a monomial, at least 0.
        p: chance per sample.

    Parameters per sample: coefficients, one for each (i, j, k) of `self.powers`: z^i y^j x^k.

    >>> RandomBiasField()(torch.rand(2, 1, 8, 8, 8)).shape
    torch.Size([2, 1, 8, 8, 8])
    """

    def __init__(self, coefficients: float | Sequence[float] = 0.5, order: int = 3, p: float = 1.0) -> None:
        super().__init__(p)
        self.coefficients = arguments.symmetric(coefficients, "RandomBiasField", "coefficients")
        self.order = arguments.whole(order, "RandomBiasField", "order", 0)
        self.powers = [powers for powers in product(range(self.order + 1), repeat=3) if sum(powers) <= self.order]
        self.uniforms = len(self.powers)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"coefficients": uniform(u, *self.coefficients)}

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        known = dict(zip(self.powers, numbers["coefficients"].to(volume.dtype).unbind(1), strict=True))
        none, terms = numbers["coefficients"].new_zeros(len(volume)).to(volume.dtype), self.order + 1
        entries = [known.get((i, j, k), none) for i, j, k in product(range(terms), repeat=3)]
        field = torch.stack(entries, 1).view(-1, 1, terms, terms, terms)
        for axis, length in enumerate(spatial(volume)):
            at = torch.linspace(-1, 1, length, device=volume.device, dtype=volume.dtype) * (length > 1)
            field = resample.along(field, torch.stack([at**power for power in range(terms)], 1), axis)
        return volume * field.clamp(max=80).exp()  # above it float32 ends


class ZNormalize(Intensity):
    """Subtract the mean and divide by the standard deviation of each sample and channel.

    uint8 volumes come out as float32; a constant channel becomes 0.

    Args:
        above_mean: take both from the voxels above the mean alone, which leaves the background out.

    >>> ZNormalize()(torch.rand(2, 1, 8, 8, 8)).std().round(decimals=2)
    tensor(1.)
    """

    always = True

    def __init__(self, above_mean: bool = False) -> None:
        super().__init__()
        self.above_mean = above_mean

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if dtype == torch.uint8 else dtype

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        dims = (2, 3, 4)
        weight = torch.ones_like(volume)
        if self.above_mean:
            weight = (volume > volume.mean(dims, keepdim=True)).to(volume.dtype)
        count = weight.sum(dims, keepdim=True)
        centred = volume - (volume * weight).sum(dims, keepdim=True) / count.clamp(min=1)
        variance = (centred**2 * weight).sum(dims, keepdim=True) / (count - 1).clamp(min=1)
        flat = variance <= 1e-12 * volume.detach().square().amax(dims, keepdim=True)  # constant but for rounding
        return torch.where(flat, 0.0, centred / torch.where(flat, 1.0, variance).sqrt())


class RescaleIntensity(Intensity):
    """Map the values of each sample and channel linearly to a range; beyond the percentiles they are clamped.

    uint8 volumes come out as float32; a constant channel becomes the range's lower end.

    Args:
        out_min_max: the range (low, high).
        percentiles: of the values, in [0, 100], that become its ends, as numpy's linear ones.

    >>> RescaleIntensity((-1, 1))(torch.tensor([2.0, 3.0, 6.0]).view(1, 1, 1, 1, 3)).flatten()
    tensor([-1.0000, -0.5000,  1.0000])
    """

    always = True

    def __init__(
        self, out_min_max: tuple[float, float] = (0.0, 1.0), percentiles: tuple[float, float] = (0.0, 100.0)
    ) -> None:
        super().__init__()
        self.out_min_max = arguments.within(out_min_max, "RescaleIntensity", "out_min_max")
        self.percentiles = arguments.within(percentiles, "RescaleIntensity", "percentiles", 0)
        if not self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError(f"RescaleIntensity: percentiles must rise and be in [0, 100], got {percentiles!r}")

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if dtype == torch.uint8 else dtype

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        low, high = self._ends(volume)
        span = high - low
        share = (volume - low) / torch.where(span > 0, span, 1.0)
        bottom, top = self.out_min_max
        return bottom + share.clamp(0, 1) * (top - bottom)

    def _ends(self, volume: Tensor) -> list[Tensor]:
        if self.percentiles == (0, 100):
            return [volume.amin((2, 3, 4), keepdim=True), volume.amax((2, 3, 4), keepdim=True)]
        flat, ends = volume.flatten(2), []  # torch.quantile sorts, and refuses more than 16 million values
        for percentile in self.percentiles:
            place = percentile / 100 * (flat.shape[2] - 1)
            below, above = (flat.kthvalue(rank + 1, dim=2).values for rank in (floor(place), ceil(place)))
            ends.append(torch.lerp(below, above, place - floor(place))[:, :, None, None, None])
        return ends
