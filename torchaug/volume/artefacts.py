"""Artefacts of scanners, most of them of MRI: motion, ghosting, spikes, thick slices; and swapped patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchaug.image.pointwise import pick
from torchaug.keys import choice, integers, uniform
from torchaug.transform import Sizes
from torchaug.volume import arguments, matrices, resample
from torchaug.volume.arguments import Shape
from torchaug.volume.kinds import Intensity, fill_of
from torchaug.volume.resample import spatial


class RandomMotion(Intensity):
    """A patient who moves during an MRI scan: k-space is put together from the volume in several poses.

    As in TorchIO (Shaw et al., 2019) the scan fills k-space plane by plane along the depth axis, and at random times the
    pose changes; the part with the centre of k-space comes from the volume as it was. Masks stay.

    Args:
        degrees: angles of each pose about the axes of depth, height and width: a number v for (-v, v), (low, high), or
            three pairs.
        translation: of each pose in voxels, likewise.
        num_transforms: how many times the pose changes, at least 1.
        p: chance per sample.

    Parameters per sample: degrees and translation (num_transforms, 3); times (num_transforms,) in (0, 1).

    >>> RandomMotion()(torch.rand(2, 1, 8, 12, 12)).shape
    torch.Size([2, 1, 8, 12, 12])
    """

    def __init__(self, degrees: Any = 10, translation: Any = 10, num_transforms: int = 2, p: float = 1.0) -> None:
        super().__init__(p)
        self.degrees = arguments.ranges(degrees, "RandomMotion", "degrees")
        self.translation = arguments.ranges(translation, "RandomMotion", "translation")
        self.num_transforms = arguments.whole(num_transforms, "RandomMotion", "num_transforms", 1)
        self.uniforms = 7 * self.num_transforms

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        numbers = u.view(-1, self.num_transforms, 7)
        even = torch.arange(1, self.num_transforms + 1, device=u.device)
        return {
            "degrees": matrices.per_axis(numbers[..., :3], self.degrees),
            "translation": matrices.per_axis(numbers[..., 3:6], self.translation),
            "times": (even + uniform(numbers[..., 6], -0.3, 0.3)) / (self.num_transforms + 1),
        }

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        shape = spatial(volume)
        source = _pose_of_planes(numbers["times"], shape[0])
        fill = fill_of(volume, "minimum", "RandomMotion")
        total = volume.new_zeros((), dtype=torch.complex64)
        for pose in range(self.num_transforms + 1):
            seen = volume
            if pose:
                m = matrices.rigid(numbers["degrees"][:, pose - 1], numbers["translation"][:, pose - 1], shape)
                seen = resample.sample(volume, resample.points(m, shape), fill)
            planes = (source == pose).to(volume.dtype)[:, None, :, None, None]
            total = total + torch.fft.fft(seen, dim=2) * planes
        out: Tensor = torch.fft.ifft(total, dim=2).real
        return out


def _pose_of_planes(times: Tensor, planes: int) -> Tensor:
    """(B, planes): which pose each plane of k-space is taken in, 0 for the first, in the order of torch.fft."""
    plane = torch.arange(planes, device=times.device)
    part = (plane >= (times * planes).floor()[:, :, None]).sum(1)
    centre = part[:, planes // 2, None]
    swapped = torch.where(part == centre, 0, torch.where(part == 0, centre, part))
    ordered: Tensor = torch.fft.ifftshift(swapped, dim=1)
    return ordered


class RandomGhosting(Intensity):
    """Ghosts along one axis: every n-th plane of k-space is weakened, as when the patient breathes or the heart beats.

    Args:
        num_ghosts: a whole number, or a range (low, high), both included.
        axes: one of which is drawn: 0 is depth, 1 height, 2 width.
        intensity: how much of a plane is lost: a number, or a range, in [0, 1].
        restore: share of the planes about the centre of k-space that stay; the very centre always does.
        p: chance per sample.

    Parameters per sample: num_ghosts (0: nothing happens), axis, intensity.

    >>> RandomGhosting()(torch.rand(2, 1, 8, 12, 12)).shape
    torch.Size([2, 1, 8, 12, 12])
    """

    uniforms = 3

    def __init__(
        self,
        num_ghosts: int | Sequence[int] = (4, 10),
        axes: int | Sequence[int] = (0, 1, 2),
        intensity: float | Sequence[float] = (0.5, 1.0),
        restore: float = 0.02,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        who = "RandomGhosting"
        self.num_ghosts = arguments.whole_range(num_ghosts, who, "num_ghosts", 0)
        self.axes = arguments.axes(axes, who)
        self.intensity = arguments.within(intensity, who, "intensity", 0, 1)
        self.restore = arguments.number(restore, who, "restore", 0, 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        low, high = self.num_ghosts
        return {
            "num_ghosts": integers(u[:, 0], low, high + 1),
            "axis": _one_of(self.axes, u[:, 1]),
            "intensity": uniform(u[:, 2], *self.intensity),
        }

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        dims = [axis + 2 for axis in self.axes]
        spectrum = torch.fft.fftn(volume, dim=dims)
        for axis in self.axes:
            length = volume.shape[axis + 2]
            kept = torch.where(numbers["axis"][:, None] == axis, self._kept(length, numbers), 1.0).to(volume.dtype)
            spectrum = spectrum * kept.view(-1, 1, *(length if a == axis else 1 for a in range(3)))
        out: Tensor = torch.fft.ifftn(spectrum, dim=dims).real
        return out

    def _kept(self, planes: int, numbers: dict[str, Tensor]) -> Tensor:
        """(B, planes): what is left of each plane of k-space, in the order of torch.fft."""
        plane, ghosts = torch.arange(planes, device=numbers["axis"].device), numbers["num_ghosts"][:, None]
        central = (plane - planes // 2).abs() <= round(self.restore * planes) // 2
        lost = (plane % ghosts.clamp(min=1) == 0) & (ghosts > 0) & ~central
        kept: Tensor = torch.fft.ifftshift(1 - lost * numbers["intensity"][:, None], dim=1)
        return kept


class RandomSpike(Intensity):
    """Stripes all over the volume: bad points in k-space, from sparks in the scanner.

    Args:
        num_spikes: bad points: a whole number, or a range (low, high), both included.
        intensity: of a spike, as a multiple of the spectrum's largest value: a number, or a range.
        p: chance per sample.

    Parameters per sample: num_spikes; intensity; places, of each spike in depth, height and width as shares of k-space with
    its zero frequency in the middle: plane floor(place * length).

    >>> RandomSpike()(torch.rand(2, 1, 8, 12, 12)).shape
    torch.Size([2, 1, 8, 12, 12])
    """

    def __init__(
        self,
        num_spikes: int | Sequence[int] = 1,
        intensity: float | Sequence[float] = (1.0, 3.0),
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.num_spikes = arguments.whole_range(num_spikes, "RandomSpike", "num_spikes", 0)
        self.intensity = arguments.within(intensity, "RandomSpike", "intensity")
        self.uniforms = 2 + 3 * self.num_spikes[1]

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        low, high = self.num_spikes
        return {
            "num_spikes": integers(u[:, 0], low, high + 1),
            "intensity": uniform(u[:, 1], *self.intensity),
            "places": u[:, 2:].view(-1, high, 3),
        }

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        shape = spatial(volume)
        peak = torch.fft.rfftn(volume, dim=(2, 3, 4)).abs().amax((2, 3, 4), keepdim=True) / math.prod(shape)
        waves = volume.new_zeros(())
        for spike in range(self.num_spikes[1]):
            strength = numbers["intensity"] * (spike < numbers["num_spikes"])
            waves = waves + _wave(numbers["places"][:, spike], shape) * strength.view(-1, 1, 1, 1, 1)
        out: Tensor = volume + peak * waves.to(volume.dtype)
        return out  # the inverse transform of one point is a wave, and needs no transform


def _wave(place: Tensor, shape: Shape) -> Tensor:
    """(B, 1, D, H, W): the cosine whose frequency lies at `place` (B, 3) of the centred spectrum."""
    phase = place.new_zeros(())
    for axis, length in enumerate(shape):
        frequency = (place[:, axis] * length).floor() - length // 2
        turns = frequency[:, None] * torch.arange(length, device=place.device) / length
        phase = phase + (turns - turns.floor()).view(-1, 1, *(length if a == axis else 1 for a in range(3)))
    return torch.cos(2 * math.pi * phase)


class RandomAnisotropy(Intensity):
    """Thick slices: keep fewer planes along one axis (the nearest ones) and interpolate linearly between them.

    Args:
        axes: one of which is drawn: 0 is depth, 1 height, 2 width.
        downsampling: how many voxels thick a slice is: a number, or a range; at least 1.
        p: chance per sample.

    Parameters per sample: axis and downsampling.

    >>> RandomAnisotropy(axes=2, downsampling=2)(torch.arange(4.0).view(1, 1, 1, 1, 4)).flatten()
    tensor([1.0000, 1.5000, 2.5000, 3.0000])
    """

    uniforms = 2

    def __init__(
        self,
        axes: int | Sequence[int] = (0, 1, 2),
        downsampling: float | Sequence[float] = (1.5, 5.0),
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.axes = arguments.axes(axes, "RandomAnisotropy")
        self.downsampling = arguments.within(downsampling, "RandomAnisotropy", "downsampling", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"axis": _one_of(self.axes, u[:, 0]), "downsampling": uniform(u[:, 1], *self.downsampling)}

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        for axis in self.axes:
            thick = _thick(volume, numbers["downsampling"][:, None], axis)
            volume = pick(numbers["axis"] == axis, thick, volume)
        return volume


def _thick(volume: Tensor, factor: Tensor, axis: int) -> Tensor:
    """Slices `factor` (B, 1) voxels thick along an axis."""
    length = volume.shape[axis + 2]
    slices = (length / factor).floor().clamp(min=1)
    place = ((torch.arange(length, device=volume.device) + 0.5) / factor - 0.5).clamp(min=0)
    place = torch.minimum(place, slices - 1)  # (B, length), in slices
    left = place.floor()
    weight = place - left
    shape = [len(volume), 1, *(length if a == axis else 1 for a in range(3))]
    ends = []
    for number in (left, torch.minimum(left + 1, slices - 1)):
        plane = ((number + 0.5) * factor).floor().clamp(0, length - 1).to(torch.int64)
        ends.append(volume.gather(axis + 2, plane.view(shape).expand_as(volume)))
    return torch.lerp(ends[0], ends[1], weight.view(shape).to(volume.dtype))


class RandomSwap(Intensity):
    """Swap pairs of random patches, one pair after the other: a task for learning without labels (Chen et al., 2019).

    Masks stay.

    Args:
        patch_size: (depth, height, width) or one number, no more than the volume's.
        num_iterations: pairs to swap, at least 1.
        p: chance per sample.

    Parameters per sample: places (num_iterations, 2, 3): of both patches, the share of the free way in depth, height and
    width that lies before it; it starts at floor(place * (length - patch_size + 1)).

    >>> RandomSwap(patch_size=2, num_iterations=5)(torch.rand(2, 1, 8, 12, 12)).shape
    torch.Size([2, 1, 8, 12, 12])
    """

    def __init__(self, patch_size: int | Sequence[int] = 15, num_iterations: int = 100, p: float = 1.0) -> None:
        super().__init__(p)
        self.patch_size = arguments.shape(patch_size, "RandomSwap", "patch_size")
        self.num_iterations = arguments.whole(num_iterations, "RandomSwap", "num_iterations", 1)
        self.uniforms = 6 * self.num_iterations

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"places": u.view(-1, self.num_iterations, 2, 3)}

    def values(self, volume: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        shape, device = spatial(volume), volume.device
        patch = _corner_patch(self.patch_size, shape, device)
        starts = self._starts(numbers["places"], shape)
        source = torch.arange(math.prod(shape), device=device).repeat(len(volume), 1)  # where each voxel comes from
        for turn in range(self.num_iterations):
            first, second = (starts[:, turn, which, None] + patch for which in (0, 1))
            from_first, from_second = source.gather(1, first), source.gather(1, second)
            source.scatter_(1, first, from_second).scatter_(1, second, from_first)
        return volume.flatten(2).gather(2, source[:, None].expand(-1, volume.shape[1], -1)).view_as(volume)

    def _starts(self, places: Tensor, shape: Shape) -> Tensor:
        """(B, num_iterations, 2): the first voxel of each patch."""
        ways = [n - m + 1 for n, m in zip(shape, self.patch_size, strict=True)]
        if min(ways) < 1:
            raise ValueError(f"RandomSwap: volume must be at least patch_size {self.patch_size}, got {shape}")
        z, y, x = ((places[..., axis] * way).floor().to(torch.int64) for axis, way in enumerate(ways))
        return (z * shape[1] + y) * shape[2] + x


def _corner_patch(size: Shape, shape: Shape, device: torch.device) -> Tensor:
    """(voxels of the patch,): the patch in the first corner of a volume, as places in the flattened volume."""
    z, y, x = (torch.arange(n, device=device) for n in size)
    return ((z[:, None, None] * shape[1] + y[:, None]) * shape[2] + x).flatten()


def _one_of(axes: tuple[int, ...], u: Tensor) -> Tensor:
    """One of the axes per sample, (B,) int64, each as likely as the others."""
    which = choice(u, [1.0] * len(axes))
    return sum(((which == n) * axis for n, axis in enumerate(axes)), torch.zeros_like(which))
