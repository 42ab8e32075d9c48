"""NIfTI and DICOM: axes, spacing, values, and files that are wrong."""

from __future__ import annotations

import gzip
import importlib
import struct
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import FileDataset as DicomFile
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid
from torch.utils.data import DataLoader

from torchaug.data import SampleError, collate, load, read_dicom, read_nifti

nibabel: Any = importlib.import_module("nibabel")  # has types in parts only
RNG = np.random.default_rng(0)
STORED = RNG.integers(-900, 900, (5, 4, 3)).astype(np.int16)  # x, y, z
AFFINE = np.diag([0.5, 0.75, 3.0, 1.0])
SECRET = "Zebrowski^Quentin"


def nifti(path: Path, values: Any = STORED, affine: Any = AFFINE, **header: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units(header.pop("units", "mm"))
    if header:
        image.header.set_slope_inter(header["slope"], header["inter"])
    nibabel.save(image, path)
    return path


def raw(path: Path) -> tuple[Any, list[float], float, float]:
    """A NIfTI-1 file read by its own definition: x runs fastest. Values, millimetres, slope and intercept."""
    data = path.read_bytes() if path.suffix == ".nii" else gzip.decompress(path.read_bytes())
    dim = struct.unpack("<8h", data[40:56])
    pixdim = struct.unpack("<8f", data[76:108])
    offset, slope, inter = struct.unpack("<3f", data[108:120])
    values = np.frombuffer(data, dtype="<i2", offset=int(offset), count=int(np.prod(dim[1 : 1 + dim[0]])))
    return values.reshape(dim[1 : 1 + dim[0]][::-1]), list(pixdim[1:4]), slope, inter


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_volume_is_z_y_x_scaled_as_the_header_says(tmp_path: Path, name: str) -> None:
    path = nifti(tmp_path / "in" / name, slope=2.0, inter=-1000.0)
    values, millimetres, slope, inter = raw(path)
    assert values.shape == (3, 4, 5)
    item = read_nifti(tmp_path)[0]
    volume = item["volume"]
    assert (volume.shape, volume.dtype, volume.is_contiguous()) == ((1, 3, 4, 5), torch.float32, True)
    assert np.array_equal(volume[0].numpy(), (values * (slope or 1) + inter).astype(np.float32))
    assert item["spacing"].tolist() == pytest.approx(millimetres[::-1])
    assert item["spacing"].tolist() == [3.0, 0.75, 0.5]
    assert volume[0, 2, 1, 4] == pytest.approx(float(nibabel.load(path).get_fdata()[4, 1, 2]))
    assert load(path)[0]["volume"].shape == load(tmp_path)[0]["volume"].shape
    with pytest.raises(ValueError, match="size= is for images"):
        load(tmp_path, size=(2, 2))


def test_channels_times_planes_and_units(tmp_path: Path) -> None:
    def read(values: Any, units: str = "mm") -> Any:
        return read_nifti(nifti(tmp_path / "a.nii", values, units=units))[0]

    channels = RNG.normal(size=(5, 4, 3, 2)).astype(np.float32)
    assert np.array_equal(read(channels)["volume"].numpy(), channels.transpose(3, 2, 1, 0))
    assert np.array_equal(read(channels[:, :, :, None])["volume"].numpy(), channels.transpose(3, 2, 1, 0))
    assert read(STORED[:, :, 0])["volume"].shape == (1, 1, 4, 5)
    assert read(STORED, "micron")["spacing"].tolist() == pytest.approx([0.003, 0.00075, 0.0005])
    assert read(STORED, "meter")["spacing"].tolist() == pytest.approx([3000, 750, 500])
    with pytest.raises(SampleError, match="one axis of channels or of times"):
        read(np.zeros((2, 2, 2, 2, 2), dtype=np.float32))
    with pytest.raises(SampleError, match="a number for each voxel"):
        read(np.zeros((2, 2, 2), dtype=np.complex64))


def test_canonical_axes_go_right_front_and_up(tmp_path: Path) -> None:
    turned = np.array([[0, 0, 3.0, 0], [-0.5, 0, 0, 0], [0, 0.75, 0, 0], [0, 0, 0, 1]])  # x is P, y is S, z is R
    nifti(tmp_path / "a.nii", affine=turned)
    item = read_nifti(tmp_path, canonical=True)[0]
    # right is the stored z, front is minus the stored x, up is the stored y
    assert np.array_equal(item["volume"][0].numpy(), STORED[::-1].transpose(1, 0, 2).astype(np.float32))
    assert item["spacing"].tolist() == [0.75, 0.5, 3.0]
    assert read_nifti(tmp_path)[0]["spacing"].tolist() == [3.0, 0.75, 0.5]


def test_label_maps_are_masks(tmp_path: Path) -> None:
    numbers = RNG.integers(0, 300, STORED.shape).astype(np.int16)
    for name in ("a.nii.gz", "b.nii.gz"):
        nifti(tmp_path / "images" / name)
        nifti(tmp_path / "images" / "masks" / name, numbers)
    data = read_nifti(tmp_path / "images", masks=tmp_path / "images" / "masks", canonical=True)
    assert [path.name for path in data.paths] == ["a.nii.gz", "b.nii.gz"]
    mask = data[1]["mask"]
    assert (mask.dtype, mask.shape) == (torch.int32, (1, 3, 4, 5))
    assert np.array_equal(mask[0].numpy(), numbers.transpose(2, 1, 0))
    batch = next(iter(DataLoader(data, batch_size=2, collate_fn=collate)))
    assert (batch["mask"].shape, batch["spacing"].shape) == ((2, 1, 3, 4, 5), (2, 3))
    masks = tmp_path / "images" / "masks"
    nifti(masks / "a.nii.gz", numbers[:4])
    nifti(masks / "b.nii.gz", numbers, np.diag([0.5, 0.75, 2.0, 1.0]))
    first, second = data.verify()
    assert "a.nii.gz must have the volume's shape, (5, 4, 3), got (4, 4, 3)" in str(first)
    assert "must lie where the volume lies" in str(second)
    nifti(masks / "a.nii.gz", numbers + np.float32(0.5))
    assert "must hold class numbers, got float" in str(data.verify()[0])
    (masks / "a.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"got none for 1: .*masks/a.nii.gz"):
        read_nifti(tmp_path / "images", masks=masks)


def test_a_manifest_of_volumes(tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii"):
        nifti(tmp_path / name)
    nifti(tmp_path / "m.nii", STORED.astype(np.uint8))
    (tmp_path / "list.csv").write_text("path,label,mask,fold\na.nii,sick,m.nii,1\nb.nii,well,m.nii,2\n")
    item = read_nifti(tmp_path / "list.csv", mask="mask", split=("fold", 2))[0]
    assert (item["label"], item["mask"].dtype) == (1, torch.uint8)
    with pytest.raises(FileNotFoundError, match=r"read_nifti: 2 of the files .*line 2"):
        read_nifti(tmp_path / "list.csv", root=tmp_path / "none")
    with pytest.raises(TypeError, match="group are columns of a manifest"):
        read_nifti(tmp_path, group="site")
    with pytest.raises(TypeError, match="pass mask=, not masks="):
        read_nifti(tmp_path / "list.csv", masks=tmp_path)
    assert [path.name for path in read_nifti([tmp_path / "b.nii", tmp_path / "a.nii"]).paths] == ["b.nii", "a.nii"]


def test_broken_nifti_files_are_listed(tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii.gz", "c.nii", "d.nii"):
        nifti(tmp_path / name)
    for name, length in (("a.nii", 400), ("b.nii.gz", 60), ("c.nii", 0)):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:length])
    data = read_nifti(tmp_path)
    assert [error.index for error in data.verify()] == [0, 1, 2]
    assert [str(error) for error in data.verify(workers=1)] == [str(error) for error in data.verify()]
    for folder in (tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(FileNotFoundError, match="read_nifti: expected"):
            read_nifti(folder)
        (tmp_path / "empty").mkdir(exist_ok=True)


def dicom(path: Path, values: Any = None, **elements: Any) -> DicomFile:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = DicomFile(path, {}, file_meta=meta, preamble=b"\0" * 128)
    found.PatientName, found.PatientID = SECRET, SECRET
    values = np.zeros((4, 5), dtype=np.int16) if values is None else values
    found.Rows, found.Columns = values.shape
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated, found.BitsStored, found.HighBit = 16, 16, 15
    found.PixelRepresentation = int(values.dtype == np.int16)
    found.PixelData = values.tobytes()
    for name, value in elements.items():
        setattr(found, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return found


def series(folder: Path, uid: str, places: list[float], row: Any = (1, 0, 0), column: Any = (0, 1, 0)) -> Any:
    """Slices at places along the normal, in files whose names are in another order; their stored values in order."""
    normal = np.cross(row, column)
    values = [RNG.integers(-1000, 1000, (4, 5)).astype(np.int16) for _ in places]
    for number, (place, slice_) in enumerate(zip(places, values, strict=True)):
        dicom(
            folder / f"{(7 * number) % 10}-{uid[-3:]}.dcm",
            slice_,
            SeriesInstanceUID=uid,
            InstanceNumber=(3 * number) % 5,
            ImagePositionPatient=[float(c) for c in np.array([5, -7, 9]) + place * normal],
            ImageOrientationPatient=[*map(float, row), *map(float, column)],
            PixelSpacing=[0.8, 0.6],
            RescaleSlope=2,
            RescaleIntercept=-24,
        )
    return np.stack(values)


@pytest.mark.parametrize(
    ("row", "column"), [((1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, -1)), ((0.8, 0.6, 0), (-0.6, 0.8, 0))]
)
def test_slices_are_ordered_along_the_normal(tmp_path: Path, row: Any, column: Any) -> None:
    stored = series(tmp_path, "1.2.3.111", [-4.0, -1.5, 1.0, 3.5], row, column)
    item = read_dicom(tmp_path)[0]
    assert torch.equal(item["volume"], torch.from_numpy(stored.astype(np.float32) * 2 - 24)[None])
    assert item["volume"].dtype == torch.float32
    assert item["spacing"].tolist() == pytest.approx([2.5, 0.8, 0.6])


def test_each_series_is_a_volume(tmp_path: Path) -> None:
    first = series(tmp_path / "x", "1.2.3.111", [0.0, 2.0])
    second = series(tmp_path / "x", "1.2.3.222", [0.0, 1.0, 2.0])
    (tmp_path / "x" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "x" / "README").write_text("not DICOM")
    (tmp_path / "x" / "notes.txt").write_text("nor this")
    (tmp_path / "x" / "0-222.dcm").rename(tmp_path / "x" / "IM0")  # without an ending
    data = load(tmp_path)
    assert len(data) == 2
    found = {data[index]["volume"].shape[1]: data[index]["volume"][0] for index in range(2)}
    assert np.array_equal(found[2].numpy(), first * np.float32(2) - 24)
    assert np.array_equal(found[3].numpy(), second * np.float32(2) - 24)
    batch = next(iter(DataLoader(data, batch_size=2, collate_fn=collate, num_workers=1)))
    assert sorted(batch["volume_size"].tolist()) == [[2, 4, 5], [3, 4, 5]]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (
            [0.0, 2.0, 4.0, 8.0, 10.0],
            r"2 mm apart as most .*, got 4 mm between \d-111.dcm and \d-111.dcm: 1 slice missing",
        ),
        ([0.0, 2.0, 4.0, 10.0], r"got 6 mm between .*: 2 slices missing"),
        ([0.0, 2.0, 4.0, 6.5], r"got 2.5 mm between .*: uneven distances"),
        ([0.0, 2.0, 2.0, 4.0, 6.0], r"got 0 mm between .*: two slices at one place"),
        ([3.0, 3.0], r"got 0 mm between .*: two slices at one place"),
    ],
)
def test_missing_slices_are_named(tmp_path: Path, places: list[float], message: str) -> None:
    series(tmp_path, "1.2.3.111", places)
    with pytest.raises(SampleError, match=message):
        read_dicom(tmp_path)[0]
    assert len(read_dicom(tmp_path).verify()) == 1
    assert read_dicom(tmp_path, slices=True).verify() == []


def test_series_that_make_no_volume_are_named(tmp_path: Path) -> None:
    place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    higher = place | {"ImagePositionPatient": [0, 0, 1]}
    turned = higher | {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}
    wide = np.zeros((4, 6), dtype=np.int16)
    for name, first, second, message in (
        ("flat", {}, {}, "1.dcm has no position or orientation; pass slices=True"),
        ("turned", place, turned, "has another orientation than"),
        ("wide", place, higher | {"values": wide}, r"2.dcm is \(4, 6\), 1.dcm \(4, 5\) in one series"),
        ("frames", place, higher | {"NumberOfFrames": 2}, "one grey frame, got 2 of 1 samples a pixel"),
        (
            "colour",
            place,
            higher | {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
            r"1 of 3 samples .*\(RGB\)",
        ),
    ):
        for number, elements in enumerate((first, second), start=1):
            dicom(tmp_path / name / f"{number}.dcm", SeriesInstanceUID="1.2.3", **elements)
        with pytest.raises(SampleError, match=message):
            read_dicom(tmp_path / name)[0]


def test_one_slice_has_its_thickness(tmp_path: Path) -> None:
    dicom(tmp_path / "1.dcm", SeriesInstanceUID="1.2.3", SliceThickness=1.25)
    item = read_dicom(tmp_path)[0]
    assert (item["volume"].shape, item["spacing"].tolist()) == ((1, 1, 4, 5), [1.25, 0, 0])


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(40, 400), (-600.5, 1500), (10, 2), (0, 1)])
def test_images_are_windowed_as_pydicom_windows_them(
    tmp_path: Path, function: str | None, centre: float, width: float
) -> None:
    values = RNG.integers(-1000, 1000, (40, 50)).astype(np.int16)
    values[0, :11] = np.arange(-5, 6) + int(centre)
    elements = {} if function is None else {"VOILUTFunction": function}
    found = dicom(
        tmp_path / "1.dcm", values, WindowCenter=[centre, 7], WindowWidth=[width, 9], RescaleSlope=0.5,
        RescaleIntercept=-3, **elements,
    )  # fmt: skip
    found.BitsStored = 16
    rescaled = apply_modality_lut(values, found)
    with np.errstate(over="ignore"):  # its sigmoid of what is far below
        wanted = apply_windowing(rescaled, found, index=0)  # to the range of the stored values, after rescaling
    low, high = wanted_range(found)
    image = read_dicom(tmp_path, slices=True)[0]["image"]
    assert (image.shape, image.dtype) == ((1, 40, 50), torch.uint8)
    scaled = (wanted - low) / (high - low) * 255
    assert np.abs(image[0].numpy() - scaled).max() <= 0.5 + 1e-6


def wanted_range(found: Any) -> tuple[float, float]:
    """The output range of pydicom's windowing: that of signed stored values, rescaled."""
    low, high = -(2 ** (found.BitsStored - 1)), 2 ** (found.BitsStored - 1) - 1
    return low * found.RescaleSlope + found.RescaleIntercept, high * found.RescaleSlope + found.RescaleIntercept


def test_windows_of_the_user_of_none_and_inverted(tmp_path: Path) -> None:
    values = np.arange(20, dtype=np.uint16).reshape(4, 5) * 10
    dicom(tmp_path / "1.dcm", values, SeriesInstanceUID="1.2.3")
    ramp = read_dicom(tmp_path, slices=True)[0]["image"]
    assert ramp.flatten().tolist() == np.round(np.arange(20) / 19 * 255).astype(int).tolist()
    own = read_dicom(tmp_path, slices=True, window=(95, 100))[0]["image"]
    assert own.flatten().tolist() == [
        round(min(max((x - 94.5) / 99 + 0.5, 0), 1) * 255) for x in values.flatten().tolist()
    ]
    dicom(tmp_path / "1.dcm", values, SeriesInstanceUID="1.2.3", PhotometricInterpretation="MONOCHROME1")
    assert torch.equal(read_dicom(tmp_path, slices=True)[0]["image"], 255 - ramp)
    assert torch.equal(read_dicom(tmp_path)[0]["volume"][0, 0], torch.from_numpy(values.astype(np.float32)))
    assert read_dicom(tmp_path, slices=True, size=(2, 2))[0]["image"].shape == (1, 2, 2)
    dicom(tmp_path / "1.dcm", np.full((4, 5), 3, dtype=np.uint16))
    assert read_dicom(tmp_path, slices=True)[0]["image"].unique().numel() == 1
    dicom(tmp_path / "1.dcm", values, WindowCenter=3, WindowWidth=0)
    with pytest.raises(SampleError, match=r"a width above 0, got 0.0; pass window="):
        read_dicom(tmp_path, slices=True)[0]


def test_compressed_pixels(tmp_path: Path) -> None:
    values = RNG.integers(0, 1000, (4, 5)).astype(np.uint16)
    found = dicom(tmp_path / "1.dcm", values)
    found.compress(RLELossless)
    found.save_as(tmp_path / "1.dcm")
    assert torch.equal(read_dicom(tmp_path)[0]["volume"][0, 0], torch.from_numpy(values.astype(np.float32)))
    found.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    found.save_as(tmp_path / "1.dcm")
    with pytest.raises(SampleError, match=r"decoding JPEG Lossless.*; compressed ones need pylibjpeg or gdcm"):
        read_dicom(tmp_path)[0]


def what_it_raises(data: Any, index: int) -> str:
    try:
        data[index]
    except SampleError as error:
        return "".join(traceback.format_exception(error))
    return ""


def test_broken_files_are_listed_and_no_message_holds_the_patient(tmp_path: Path) -> None:
    good = tmp_path / "1.dcm"
    dicom(good, SeriesInstanceUID="1.2.3", ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    whole = good.read_bytes()
    lengths = range(0, len(whole), 23)
    for length in lengths:
        (tmp_path / f"cut-{length:04}.dcm").write_bytes(whole[:length])
    for name in (b"1.2.3", b"\\1\\0\\0\\0"):
        (tmp_path / f"junk-{len(name)}.dcm").write_bytes(whole.replace(name, SECRET.encode()[: len(name)]))
    for slices in (True, False):
        data = read_dicom(tmp_path, slices=slices)
        texts = [text for index in range(len(data)) if (text := what_it_raises(data, index))]
        assert len(texts) >= (len(lengths) if slices else 5)
        assert not any(part in text for text in texts for part in ("Zebr", "Quentin"))
    assert read_dicom(tmp_path, slices=True).verify()[0].path == str(tmp_path / "cut-0000.dcm")


def test_a_slice_whose_place_cannot_be_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    series(tmp_path, "1.2.3.111", [0.0, 1.0, 2.0])
    last = tmp_path / "4-111.dcm"
    data = last.read_bytes()
    assert b"5.0\\-7.0\\11.0" in data
    last.write_bytes(data.replace(b"5.0\\-7.0\\11.0", b"5.0\\    \\11.0"))
    found = read_dicom(tmp_path)
    assert sorted(map(len, found.files)) == [1, 2]  # type: ignore[union-attr]
    (error,) = found.verify()
    assert error.path == str(last)
    assert "ImagePositionPatient must hold numbers" in str(error)


def test_no_element_about_the_patient_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series(tmp_path, "1.2.3.111", [0.0, 1.0])
    read, seen = pydicom.dcmread, []

    def spy(*given: Any, **named: Any) -> Any:
        seen.append(read(*given, **named))
        return seen[-1]

    monkeypatch.setattr(pydicom, "dcmread", spy)
    read_dicom(tmp_path)[0]
    assert len(seen) == 4
    assert not any("PatientName" in found or "PatientID" in found for found in seen)


def test_options_and_folders_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        read_dicom(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="expected DICOM files"):
        read_dicom(tmp_path)
    dicom(tmp_path / "1.dcm")
    with pytest.raises(FileNotFoundError, match="got a file there"):
        read_dicom(tmp_path / "1.dcm")
    with pytest.raises(ValueError, match="pass slices=True"):
        read_dicom(tmp_path, window=(0, 1))
    with pytest.raises(ValueError, match="the width above 0"):
        read_dicom(tmp_path, slices=True, window=(0, 0))
    for name in ("pydicom", "nibabel"):
        monkeypatch.setitem(sys.modules, name, None)
    for read in (read_dicom, read_nifti):
        with pytest.raises(ImportError, match=r"pip install 'torchaug-synth\[medical\]'"):
            read(tmp_path)
