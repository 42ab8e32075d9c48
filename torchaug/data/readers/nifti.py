"""Volumes in NIfTI files, with label maps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.manifest import Listed, read_listed
from torchaug.data.readers.rows import some

ENDINGS = (".nii", ".nii.gz")
TABLES = (".csv", ".tsv", ".txt", ".parquet")
MILLIMETRES = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
SAME_PLACE = 1e-3  # millimetres, or parts of one per voxel, that a label map's affine may be off


class NiftiDataset(FileDataset):
    """Volumes in NIfTI files; see `read_nifti`."""

    def __init__(self, name: str, listed: Listed, *, canonical: bool) -> None:
        self.name, self.canonical = name, canonical
        self.paths, self.masks = listed.paths, listed.masks
        self.labels, self.classes = listed.labels, listed.classes
        self.groups, self.group_names = listed.groups, listed.group_names

    def read(self, index: int) -> Item:
        picture = self._open(self.paths[index])
        values = np.asarray(picture.dataobj, dtype=np.float32)  # with the header's slope and intercept
        item = {"volume": _axes_of_torch(values), "spacing": _spacing(picture)}
        if self.masks is not None:
            item["mask"] = self._mask(self.masks[index], picture)
        return item

    def _open(self, path: Path) -> Any:
        nibabel = _library()
        picture = nibabel.load(path)
        kind = picture.get_data_dtype()
        if kind.kind not in "biuf":
            raise ValueError(f"expected a number for each voxel, got {kind}")
        return nibabel.as_closest_canonical(picture) if self.canonical else picture

    def _mask(self, path: Path, beside: Any) -> Tensor:
        picture = self._open(path)
        if picture.shape[:3] != beside.shape[:3]:
            raise ValueError(f"mask {path} must have the volume's shape, {beside.shape[:3]}, got {picture.shape[:3]}")
        if not np.allclose(picture.affine, beside.affine, atol=SAME_PLACE):
            raise ValueError(f"mask {path} must lie where the volume lies, got another affine; resample it first")
        values = np.asanyarray(picture.dataobj)
        whole = values.astype(np.uint8 if values.dtype == np.uint8 else np.int32)
        if not np.array_equal(whole, values):
            raise ValueError(f"mask {path} must hold class numbers, got {values.dtype} with others among them")
        return _axes_of_torch(whole)


def read_nifti(
    source: str | Path | Sequence[str | Path],
    *,
    masks: str | Path | None = None,
    canonical: bool = False,
    **columns: Any,
) -> NiftiDataset:
    """Volumes in NIfTI files (.nii, .nii.gz): items are `{"volume", "spacing", "mask", "label", "group", "index"}`.

    A volume is (C, D, H, W) float32, scaled as its header says. NIfTI stores x, y, z and channels: D is z, H is y and W
    is x, and `volume[c, z, y, x]` is NIfTI's `[x, y, z, c]`. "spacing" (3,) float32 holds the millimetres between voxels
    along D, H and W. A mask is a label map (1, D, H, W), uint8 or int32.

    Args:
        source: a folder, searched through and through; a list of files; or a manifest (.csv, .parquet).
        masks: a folder with a label map of the same name for each file.
        canonical: flip and swap axes so that x goes to the right, y to the front and z up (RAS); else as stored.
        **columns: of a manifest, as `read_manifest` has them: image, label, group, mask, split, root, classes, ...

    Raises:
        ImportError: nibabel is not installed.
        FileNotFoundError: no NIfTI files there, or label maps are missing.
        TypeError: columns without a manifest.

    >>> import nibabel, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> image = nibabel.Nifti1Image(np.zeros((4, 3, 2), dtype=np.int16), np.diag([1.0, 1.0, 5.0, 1.0]))
    >>> nibabel.save(image, folder / "a.nii")
    >>> item = read_nifti(folder)[0]
    >>> item["volume"].shape, item["spacing"].tolist()
    (torch.Size([1, 2, 3, 4]), [5.0, 1.0, 1.0])
    """
    _library()
    if isinstance(source, (str, Path)) and str(source).lower().endswith(TABLES):
        if masks is not None:
            raise TypeError("read_nifti: a manifest names masks in a column: pass mask=, not masks=")
        return NiftiDataset(Path(source).name, read_listed(source, "read_nifti", **columns), canonical=canonical)
    if columns:
        raise TypeError(f"read_nifti: {', '.join(columns)} are columns of a manifest (.csv, .parquet), got {source}")
    is_one = isinstance(source, (str, Path))
    paths = _files_under(Path(source), masks) if is_one else [Path(path) for path in source]  # type: ignore[arg-type, union-attr]
    name = Path(source).name if is_one else paths[0].parent.name  # type: ignore[arg-type]
    return NiftiDataset(name, Listed(paths, _masks_of(paths, masks)), canonical=canonical)


def _library() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise ImportError("read_nifti: needs nibabel; pip install 'torchaug-synth[medical]'") from error
    return nibabel


def _axes_of_torch(values: Any) -> Tensor:
    """From NIfTI's x, y, z and then time or channels, some of which may be missing, to C, D, H, W."""
    shape = values.shape + (1,) * (3 - values.ndim)
    spatial, rest = shape[:3], [side for side in shape[3:] if side != 1]
    if len(rest) > 1:
        raise ValueError(f"expected x, y, z and one axis of channels or of times, got {values.shape}")
    turned = values.reshape(*spatial, *(rest or [1])).transpose(3, 2, 1, 0)
    return torch.from_numpy(np.ascontiguousarray(turned))


def _spacing(picture: Any) -> Tensor:
    scale = MILLIMETRES[picture.header.get_xyzt_units()[0]]
    steps = [float(step) * scale for step in picture.header.get_zooms()[:3]]
    return torch.tensor((steps + [1.0] * (3 - len(steps)))[::-1], dtype=torch.float32)


def _files_under(folder: Path, masks: str | Path | None) -> list[Path]:
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise FileNotFoundError(f"read_nifti: expected a folder of NIfTI files at {folder}, got nothing there")
    found = (Path(top, name) for top, _, names in os.walk(folder, followlinks=True) for name in names)
    paths = sorted(path for path in found if path.name.lower().endswith(ENDINGS) and not path.name.startswith("."))
    if masks is not None:
        paths = [path for path in paths if Path(masks).resolve() not in path.resolve().parents]
    if not paths:
        raise FileNotFoundError(f"read_nifti: expected files {' or '.join(ENDINGS)} in {folder}, got none")
    return paths


def _masks_of(paths: list[Path], folder: str | Path | None) -> list[Path] | None:
    if folder is None:
        return None
    masks = [Path(folder) / path.name for path in paths]
    missing = [str(mask) for mask in masks if not mask.is_file()]
    if missing:
        raise FileNotFoundError(
            f"read_nifti: expected a label map of the same name for each volume in {folder}, got none for "
            f"{len(missing)}: {some(missing)}"
        )
    return masks
