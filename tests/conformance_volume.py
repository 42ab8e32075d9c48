"""Transforms of volumes against scipy, numpy and torch, given the parameters that we drew.

TorchIO itself is not at hand in the test environment: its formulae are written out here in numpy, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from conformance import Case
from scipy import interpolate, ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional as F
from zoo_volume import volumes

from torchaug import Batch, Transform
from torchaug import volume as V
from torchaug.keys import sample_keys

Array = npt.NDArray[np.float64]
Record = dict[str, Any]
Oracle = Callable[[Array, Record], Array]
"""Takes one channel (D, H, W) in [0, 1] and the record that `describe` gives, and returns what it should become."""

SHAPE = (14, 15, 16)


def against(
    transform: Transform, oracle: Oracle, reference: str, tolerance: float = 1e-5, shape: tuple[int, int, int] = SHAPE
) -> list[Case]:
    """Cases for float32 at `tolerance` and for uint8 at one level, or exactly where `tolerance` is 0."""

    def case(dtype: torch.dtype, allowed: float) -> Case:
        def error(device: torch.device) -> float:
            volume = volumes(6, shape)
            volume = volume if dtype == torch.uint8 else (volume.double() / 255).to(dtype)
            batch = Batch(volume=volume.to(device), key=sample_keys(torch.arange(6, device=device), seed=5))
            out, params = transform(batch).volume.cpu(), transform.draw(batch)
            in_levels = out.dtype == torch.uint8
            worst = 0.0
            for i in range(len(volume)):
                (record,) = transform.describe(params, i)
                for channel, ours in zip(_unit(volume[i]), out[i].double().numpy(), strict=True):
                    expected = oracle(channel, record)
                    expected = np.clip(expected, 0, 1).round(8) * 255 if in_levels else expected
                    if ours.shape != expected.shape:
                        return float("inf")
                    gap = np.abs(ours - expected)
                    worst = max(worst, float(gap.max()) if np.isfinite(gap).all() else float("inf"))
            return worst

        return Case(f"volume.{transform!r}", reference, dtype, allowed, error)

    leaves_levels = isinstance(transform, (V.ZNormalize, V.RescaleIntensity))
    uint8_tolerance = tolerance if leaves_levels else 1.0 if tolerance else 1e-5  # oracles divide by 255, and multiply
    return [case(torch.float32, tolerance), case(torch.uint8, uint8_tolerance)]


def _unit(volume: Tensor) -> Array:
    """Channels in [0, 1] as float64."""
    values: Array = volume.double().numpy() / (255 if volume.dtype == torch.uint8 else 1)
    return values


def labels(transform: Transform, oracle: Oracle, reference: str) -> Case:
    """The share of labels that differ from the oracle's, which reads the nearest voxel."""

    def error(device: torch.device) -> float:
        blobs = (volumes(6, SHAPE, channels=1) // 64).to(torch.int64)
        batch = Batch(volume=blobs.float(), mask=blobs, key=sample_keys(torch.arange(6), seed=5)).to(device)
        out, params = transform(batch).mask, transform.draw(batch)
        assert out is not None
        wrong = [
            np.not_equal(
                out[i, 0].cpu().numpy(), oracle(blobs[i, 0].double().numpy(), transform.describe(params, i)[0])
            )
            for i in range(6)
        ]
        return float(np.mean(wrong))

    return Case(f"volume.{transform!r}, labels", f"{reference}; share of labels", torch.int64, 1e-3, error)


def flip(volume: Array, record: Record) -> Array:
    out: Array = np.flip(volume, tuple(axis for axis in range(3) if record["flipped"][axis]))
    return out


def symmetry(volume: Array, record: Record) -> Array:
    orders = [o for o in permutations(range(3)) if volume.transpose(o).shape == volume.shape]
    return flip(volume.transpose(orders[record["permutation"] % len(orders)]), record)


def cut(size: tuple[int, int, int]) -> Oracle:
    def oracle(volume: Array, record: Record) -> Array:
        starts = [int(u * (n - m + 1)) for u, n, m in zip(record["place"], volume.shape, size, strict=True)]
        return volume[tuple(slice(s, s + m) for s, m in zip(starts, size, strict=True))]

    return oracle


def crop_or_pad(volume: Array, record: Record) -> Array:
    """To (20, 9, 16) of (14, 15, 16): 3 more at both ends, 3 less at both, nothing."""
    return np.pad(volume[:, 3:-3], ((3, 3), (0, 0), (0, 0)), constant_values=0.25)


def rotation(degrees: list[float]) -> Array:
    """R_z R_x R_y on x, y, z, by scipy, with its axes in the order z, y, x."""
    z, y, x = degrees
    matrix: Array = Rotation.from_euler("ZXY", [z, x, y], degrees=True).as_matrix()
    return matrix[::-1, ::-1]


def moved(volume: Array, record: Record, order: int = 1, fill: float | None = None) -> Array:
    """Scale, turn, shift about the centre, as scipy's affine_transform has it: voxel centres at whole numbers."""
    forward = rotation(record["degrees"]) @ np.diag(record.get("scales", [1.0, 1.0, 1.0]))
    back = np.linalg.inv(forward)
    centre = (np.array(volume.shape) - 1) / 2
    offset = centre - back @ (centre + record["translation"])
    cval = volume.min() if fill is None else fill
    out: Array = ndimage.affine_transform(volume, back, offset, order=order, mode="grid-constant", cval=cval)
    return out


def moved_labels(volume: Array, record: Record) -> Array:
    return moved(volume, record, order=0, fill=0.0)


def bent(volume: Array, record: Record, order: int = 1, fill: float | None = None) -> Array:
    """Displaced by cubic B-splines, by scipy's basis and map_coordinates."""
    coarse = np.array(record["displacement"])  # (3, n, n, n)
    basis = []
    for length, count in zip(volume.shape, coarse.shape[1:], strict=True):
        at = (np.arange(length) + 0.5) * (count - 3) / length
        splines = [
            interpolate.BSpline.basis_element(np.arange(-2.0, 3.0) + i - 1, extrapolate=False) for i in range(count)
        ]
        basis.append(np.nan_to_num(np.stack([spline(at) for spline in splines], 1)))
    field = np.einsum("cijk,zi,yj,xk->czyx", coarse, *basis)
    at = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij")) + field
    cval = volume.min() if fill is None else fill
    out: Array = ndimage.map_coordinates(volume, at, order=order, mode="grid-constant", cval=cval)
    return out


def bent_labels(volume: Array, record: Record) -> Array:
    return bent(volume, record, order=0, fill=0.0)


def resized_up(volume: Array, record: Record) -> Array:
    out: Array = F.interpolate(torch.from_numpy(volume)[None, None], (17, 30, 16), mode="trilinear")[0, 0].numpy()
    return out


def resized_down(volume: Array, record: Record) -> Array:
    """torch's antialiased kernel for images, twice."""
    planes = torch.from_numpy(volume.copy())[None]
    planes = F.interpolate(planes, (15, 7), mode="bilinear", antialias=True).transpose(1, 2)  # (1, H, D, 7)
    out: Array = F.interpolate(planes, (5, 7), mode="bilinear", antialias=True).transpose(1, 2)[0].numpy()
    return out


def gamma(volume: Array, record: Record) -> Array:
    out: Array = np.sign(volume) * np.abs(volume) ** record["gamma"]
    return out


def blur(volume: Array, record: Record) -> Array:
    out: Array = ndimage.gaussian_filter(volume, record["std"], mode="reflect", truncate=4)
    return out


def bias(volume: Array, record: Record) -> Array:
    """TorchIO's loops: a polynomial in coordinates from -1 to 1."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in volume.shape), indexing="ij")
    powers = [p for p in product(range(4), repeat=3) if sum(p) <= 3]
    field = sum(c * z**i * y**j * x**k for c, (i, j, k) in zip(record["coefficients"], powers, strict=True))
    out: Array = volume * np.exp(field)
    return out


def motion(volume: Array, record: Record) -> Array:
    """TorchIO's composition of whole spectra, by numpy."""
    poses = [{"degrees": d, "translation": t} for d, t in zip(record["degrees"], record["translation"], strict=True)]
    spectra = [np.fft.fftshift(np.fft.fftn(v)) for v in [volume, *(moved(volume, pose) for pose in poses)]]
    ends = [int(time * len(volume)) for time in record["times"]]
    central = sum(end <= len(volume) // 2 for end in ends)
    spectra[0], spectra[central] = spectra[central], spectra[0]
    result = np.empty_like(spectra[0])
    for spectrum, start, end in zip(spectra, [0, *ends], [*ends, None], strict=True):
        result[start:end] = spectrum[start:end]
    out: Array = np.fft.ifftn(np.fft.ifftshift(result)).real
    return out


def ghosting(volume: Array, record: Record) -> Array:
    """TorchIO's: every n-th plane of the centred spectrum weakened, the centre restored (here always one plane)."""
    axis = record["axis"]
    spectrum = np.moveaxis(np.fft.fftshift(np.fft.fftn(volume)), axis, 0)
    planes, middle = len(spectrum), len(spectrum) // 2
    half = round(0.3 * planes) // 2
    restored = spectrum[middle - half : middle + half + 1].copy()
    spectrum[:: record["num_ghosts"]] *= 1 - record["intensity"]
    spectrum[middle - half : middle + half + 1] = restored
    out: Array = np.fft.ifftn(np.fft.ifftshift(np.moveaxis(spectrum, 0, axis))).real
    return out


def spikes(volume: Array, record: Record) -> Array:
    """TorchIO's: points of the centred spectrum raised by a multiple of its largest value."""
    spectrum = np.fft.fftshift(np.fft.fftn(volume))
    peak = np.abs(spectrum).max() * record["intensity"]
    for place in record["places"][: record["num_spikes"]]:
        spectrum[tuple(int(u * n) for u, n in zip(place, volume.shape, strict=True))] += peak
    out: Array = np.fft.ifftn(np.fft.ifftshift(spectrum)).real
    return out


def thick(volume: Array, record: Record) -> Array:
    """The nearest planes, and numpy's linear interpolation between them."""
    axis, factor = record["axis"], record["downsampling"]
    length = volume.shape[axis]
    centres = (np.arange(max(1, int(length / factor))) + 0.5) * factor
    planes = np.moveaxis(volume, axis, 0)[centres.astype(int)].reshape(len(centres), -1)
    at = np.arange(length) + 0.5
    columns = [np.interp(at, centres, column) for column in planes.T]
    shape = (length, *np.delete(volume.shape, axis))
    out: Array = np.moveaxis(np.stack(columns, 1).reshape(shape), 0, axis)
    return out


def swapped(volume: Array, record: Record) -> Array:
    out = volume.copy()
    for pair in record["places"]:
        starts = [[int(u * (n - m + 1)) for u, n, m in zip(p, out.shape, (4, 5, 6), strict=True)] for p in pair]
        first, second = (tuple(slice(s, s + m) for s, m in zip(start, (4, 5, 6), strict=True)) for start in starts)
        patches = out[first].copy(), out[second].copy()
        out[first] = patches[1]
        out[second] = patches[0]
    return out


def normalized(above_mean: bool) -> Oracle:
    def oracle(volume: Array, record: Record) -> Array:
        kept = volume[volume > volume.mean()] if above_mean else volume
        out: Array = (volume - kept.mean()) / kept.std(ddof=1)
        return out

    return oracle


def rescaled(volume: Array, record: Record) -> Array:
    low, high = np.percentile(volume, (1, 98.5))
    return np.interp(volume, (low, high), (-1.0, 2.0))


AFFINE = V.RandomAffine(scales=0.2, degrees=(-40, 40), translation=(-3, 3, -2, 2, 0, 4))
ELASTIC = V.RandomElasticDeformation((7, 5, 6), (3, 2, 1), locked_borders=1)
SCIPY, TORCHIO = "scipy.ndimage", "TorchIO's formula in numpy"

CASES: list[Case] = [
    *against(V.RandomFlip(), flip, "numpy.flip", 0),
    *against(V.CubicSymmetry(), symmetry, "numpy transpose, cube", 0, (12, 12, 12)),
    *against(V.CubicSymmetry(), symmetry, "numpy transpose, one axis longer", 0, (12, 15, 12)),
    *against(V.RandomCrop((4, 15, 9)), cut((4, 15, 9)), "slices", 0),
    *against(V.CenterCrop((4, 15, 9)), lambda v, _: v[5:9, :, 4:13], "slices", 0),
    *against(V.CropOrPad((20, 9, 16), fill=0.25), crop_or_pad, "numpy.pad", 1e-8),
    *against(V.Pad((1, 0, 2, 3, 0, 4)), lambda v, _: np.pad(v, ((1, 0), (2, 3), (0, 4))), "numpy.pad", 0),
    *against(AFFINE, moved, f"{SCIPY}.affine_transform"),
    labels(AFFINE, moved_labels, f"{SCIPY}.affine_transform"),
    *against(ELASTIC, bent, f"scipy's B-splines, {SCIPY}.map_coordinates"),
    labels(ELASTIC, bent_labels, f"scipy's B-splines, {SCIPY}.map_coordinates"),
    *against(V.Resize((17, 30, 16)), resized_up, "torch interpolate, trilinear"),
    *against(V.Resize((5, 15, 7)), resized_down, "torch interpolate, antialiased, axis by axis"),
    *against(V.RandomGamma(), gamma, "numpy power"),
    *against(V.RandomBlur((0, 3)), blur, f"{SCIPY}.gaussian_filter"),
    *against(V.RandomBiasField(), bias, TORCHIO),
    *against(V.RandomMotion(num_transforms=3, translation=3), motion, TORCHIO, 1e-4),
    *against(V.RandomGhosting((2, 5), restore=0.3), ghosting, TORCHIO),
    *against(V.RandomSpike((1, 3), (0.1, 0.2)), spikes, TORCHIO, 1e-4),
    *against(V.RandomAnisotropy(), thick, "nearest planes, numpy.interp"),
    *against(V.RandomSwap((4, 5, 6), num_iterations=9), swapped, "slices, one pair after the other", 0),
    *against(V.ZNormalize(), normalized(above_mean=False), "numpy", 1e-4),
    *against(V.ZNormalize(above_mean=True), normalized(above_mean=True), "numpy", 1e-4),
    *against(V.RescaleIntensity((-1, 2), (1, 98.5)), rescaled, "numpy.percentile"),
]
