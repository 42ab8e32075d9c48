"""DICOM: series as volumes, or files as images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchaug.data.decode import check_decoding, resize_to
from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset

ENDINGS = (".dcm", ".dicom", ".ima", "")
GEOMETRY = ["SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"]
SHAPE = ["Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"]
NUMBERS = ["BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"]
VALUES = ["RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"]
HEAD = GEOMETRY + SHAPE
WHOLE = HEAD + NUMBERS + VALUES  # no names, dates or numbers of patients: what is not read cannot get into a message
EVEN = 0.01  # how far, of the usual distance, two slices may be off it


class SeriesDataset(FileDataset):
    """Series of DICOM slices as volumes; see `read_dicom`. The path of an item is that of its first slice.

    Attributes:
        files: the files of each volume, from its first slice to its last.
    """

    def __init__(self, folder: Path, heads: Sequence[_Head]) -> None:
        series: dict[str, list[_Head]] = {}
        for head in heads:
            series.setdefault(head.series or str(head.path), []).append(head)
        self._series = [sorted(found, key=lambda head: (head.place, head.path)) for found in series.values()]
        self.files = [[head.path for head in found] for found in self._series]
        self.name, self.paths = folder.name, [files[0] for files in self.files]

    def read(self, index: int) -> Item:
        series = self._series[index]
        if series[0].fault:
            raise ValueError(series[0].fault)
        step = _even_step(series)
        slices = [_read(head.path, WHOLE) for head in series]
        shape = (slices[0].get("Rows"), slices[0].get("Columns"))
        inside = _numbers(slices[0], "PixelSpacing") or (0, 0)
        volume = torch.empty(1, len(slices), *shape)
        for plane, head, found in zip(volume[0], series, slices, strict=True):
            values = _values(found)
            if values.shape != shape:
                raise ValueError(f"{head.path.name} is {values.shape}, {series[0].path.name} {shape} in one series")
            plane.copy_(torch.from_numpy(values))
        return {"volume": volume, "spacing": torch.tensor([step, *inside], dtype=torch.float32)}


class SliceDataset(FileDataset):
    """DICOM files as images; see `read_dicom`."""

    def __init__(
        self,
        folder: Path,
        heads: Sequence[_Head],
        *,
        window: tuple[float, float] | None,
        size: tuple[int, int] | None,
        fit: str,
    ) -> None:
        self.name, self.paths = folder.name, [head.path for head in heads]
        self.window, self.size, self.fit = window, size, fit

    def read(self, index: int) -> Item:
        found = _read(self.paths[index], WHOLE)
        values = _values(found)
        image = _windowed(values, *((*self.window, "LINEAR") if self.window else _window(values, found)))
        if found.PhotometricInterpretation == "MONOCHROME1":  # its lowest value is meant to be seen as white
            image = 255 - image
        return {"image": image if self.size is None else resize_to(image, self.size, self.fit)}


def read_dicom(
    folder: str | Path,
    *,
    slices: bool = False,
    window: tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    fit: str = "crop",
) -> SeriesDataset | SliceDataset:
    """The DICOM files in a folder and below: each series a volume, or with `slices` each file an image.

    A volume (1, D, H, W) float32 holds the values that the rescale slope and intercept make of the stored ones
    (Hounsfield units in CT), also where "MONOCHROME1" says that they are to be seen inverted. Its slices are in the order
    of their positions along the normal of the plane (row direction x column direction), whatever the names of the files
    or their numbers; missing slices and uneven distances are an error of the item. "spacing" (3,) float32 holds the
    millimetres along D, H and W, 0 where unknown; for a series of one slice, its thickness along D.

    An image (1, H, W) uint8 is what a viewer shows: the window's formula of PS3.3 C.11.2.1.2, and then "MONOCHROME1"
    inverted.

    Args:
        folder: files with the ending .dcm, .dicom, .ima or none, that are DICOM. DICOMDIR and others are left out.
        slices: images instead of volumes.
        window: centre and width in rescaled values, for images; None: the file's first window, or else its whole range.
        size: height and width that every image gets.
        fit: "crop" covers that size and cuts the middle out; "pad" fits into it and adds black borders.

    Raises:
        ImportError: pydicom is not installed.
        FileNotFoundError: no DICOM file in the folder.
        ValueError: a window or a size for volumes, or one that cannot be.
    """
    check_decoding(size, fit, "auto", "read_dicom")
    if not slices and (window is not None or size is not None):
        raise ValueError("read_dicom: window= and size= are for images; pass slices=True, or leave them out")
    if window is not None and not (len(window) == 2 and window[1] > 0):
        raise ValueError(f"read_dicom: window must be (centre, width), the width above 0, got {window!r}")
    root = Path(folder)
    heads = _heads(root)
    return SliceDataset(root, heads, window=window, size=size, fit=fit) if slices else SeriesDataset(root, heads)


@dataclass(frozen=True)
class _Head:
    """What orders a file among the others of its series; a file that cannot be read has no series."""

    path: Path
    series: str = ""
    position: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    thickness: float = 0.0
    fault: str = ""

    @property
    def place(self) -> float:
        """Millimetres along the normal of the plane."""
        if len(self.position) != 3 or len(self.orientation) != 6:
            return 0.0
        return float(np.dot(np.cross(self.orientation[:3], self.orientation[3:]), self.position))


def _heads(folder: Path) -> list[_Head]:
    _library()
    if not folder.is_dir():
        what = "a file" if folder.exists() else "nothing"
        raise FileNotFoundError(f"read_dicom: expected a folder of DICOM files at {folder}, got {what} there")
    paths = sorted(Path(top, name) for top, _, names in os.walk(folder, followlinks=True) for name in names)
    heads = [_head(path) for path in paths if is_dicom(path)]
    if not heads:
        raise FileNotFoundError(f"read_dicom: expected DICOM files (.dcm, or without an ending) in {folder}, got none")
    return heads


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its name; without an ending, by its first bytes."""
    ending = path.suffix.lower()
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or ending not in ENDINGS:
        return False
    if ending:
        return True
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def _head(path: Path) -> _Head:
    try:
        found = _read(path, HEAD)
        position, orientation = (_numbers(found, name) for name in GEOMETRY[1:3])
        thickness = next(iter(_numbers(found, "SliceThickness")), 0.0)
    except ValueError as error:  # it is an item of its own, whose error it is when it is asked for
        return _Head(path, fault=str(error))
    return _Head(path, str(found.get("SeriesInstanceUID") or ""), position, orientation, thickness)


def _numbers(found: Any, name: str) -> tuple[float, ...]:
    """The numbers of an element, none where it is empty or not there."""
    value = found.get(name)
    if value is None or value == "":
        return ()
    try:
        return tuple(map(float, [value] if isinstance(value, (str, float, int)) else value))
    except (TypeError, ValueError):
        pass  # whose message quotes the file
    raise ValueError(f"{name} must hold numbers, got something else among them")


def _read(path: Path, wanted: list[str]) -> Any:
    """Some elements of a file. An error says what kind it is and no more, since pydicom's quote what the file holds."""
    pydicom = _library()
    try:
        found = pydicom.dcmread(path, specific_tags=wanted, stop_before_pixels="PixelData" not in wanted)
        for name in wanted:  # values are converted when they are looked at
            found.get(name)
    except Exception as error:  # noqa: BLE001 (pydicom raises many kinds)
        kind = type(error).__name__
    else:
        return found
    # out here, so that the error is not in the chain of this one and printed with it
    raise ValueError(f"expected a whole DICOM file, got one in which pydicom meets {kind}")


def _library() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise ImportError("read_dicom: needs pydicom; pip install 'torchaug-synth[medical]'") from error
    return pydicom


def _even_step(series: Sequence[_Head]) -> float:
    """Millimetres from slice to slice, or an error that says which are missing or in the way."""
    if len(series) == 1:
        return series[0].thickness
    for head in series:
        if len(head.position) != 3 or len(head.orientation) != 6:
            raise ValueError(f"{head.path.name} has no position or orientation; pass slices=True for images")
        if not np.allclose(head.orientation, series[0].orientation, atol=1e-4):
            raise ValueError(f"{head.path.name} has another orientation than {series[0].path.name} in one series")
    steps = np.diff([head.place for head in series])
    usual = float(np.median(steps))
    for step, before, after in zip(steps, series, series[1:], strict=False):
        if abs(step - usual) > EVEN * usual or usual <= 0:
            raise ValueError(
                f"slices must be {usual:.4g} mm apart as most in this series are, got {step:.4g} mm between "
                f"{before.path.name} and {after.path.name}: {_gap(step, usual)}"
            )
    return float(np.mean(steps))


def _gap(step: float, usual: float) -> str:
    if abs(step) <= EVEN * abs(usual) or usual <= 0:
        return "two slices at one place"
    missing = round(step / usual) - 1
    return f"{missing} slice{'s' if missing > 1 else ''} missing" if missing > 0 else "uneven distances"


def _values(found: Any) -> NDArray[np.float32]:
    """The rescaled values (H, W) of one frame of grey."""
    frames, samples = int(found.get("NumberOfFrames") or 1), int(found.get("SamplesPerPixel") or 1)
    kind = str(found.get("PhotometricInterpretation") or "no image")
    if frames != 1 or samples != 1 or not kind.startswith("MONOCHROME"):
        raise ValueError(f"expected one grey frame, got {frames} of {samples} samples a pixel ({kind})")
    if found.get("ModalityLUTSequence"):
        raise ValueError("expected rescale slope and intercept, got a modality look-up table")
    slope, intercept = _numbers(found, "RescaleSlope") or (1,), _numbers(found, "RescaleIntercept") or (0,)
    return (_stored(found) * slope[0] + intercept[0]).astype(np.float32)


def _stored(found: Any) -> NDArray[Any]:
    try:
        pixels: NDArray[Any] = found.pixel_array
    except Exception as error:  # noqa: BLE001 (decoders raise many kinds)
        failure = type(error).__name__
    else:
        return pixels
    coding = found.file_meta.TransferSyntaxUID
    hint = "; compressed ones need pylibjpeg or gdcm" if coding.is_compressed else ""
    raise ValueError(
        f"expected pixels of {found.get('Rows')} x {found.get('Columns')}, got {failure} in decoding {coding.name}{hint}"
    )


def _windowed(values: NDArray[np.float32], centre: float, width: float, function: str) -> Tensor:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3: (1, H, W) uint8."""
    exact = torch.from_numpy(values.astype(np.float64))
    if function == "SIGMOID":
        shade = torch.sigmoid(4 * (exact - centre) / width)
    elif function == "LINEAR_EXACT" or width < 1:
        shade = (exact - centre) / width + 0.5
    elif width == 1:
        shade = (exact > centre - 0.5).double()
    else:
        shade = (exact - (centre - 0.5)) / (width - 1) + 0.5
    return (shade.clamp(0, 1) * 255).round().to(torch.uint8)[None]


def _window(values: NDArray[np.float32], found: Any) -> tuple[float, float, str]:
    """The file's first window and its function; without one, from the lowest value to the highest."""
    centre, width = _numbers(found, "WindowCenter"), _numbers(found, "WindowWidth")
    if not centre or not width:
        low, high = float(values.min()), float(values.max())
        return (low + high) / 2, max(high - low, 1e-6), "LINEAR_EXACT"
    if not width[0] > 0:
        raise ValueError(f"expected a window with a width above 0, got {width[0]}; pass window=(centre, width)")
    return centre[0], width[0], str(found.get("VOILUTFunction") or "LINEAR")
