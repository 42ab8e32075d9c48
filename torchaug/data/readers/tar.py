"""Samples in tar archives, as webdataset lays them out, read at random."""

from __future__ import annotations

import glob
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from torchaug.data.decode import EXTENSIONS, check_decoding, mode_of, to_tensor
from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.labels import class_numbers
from torchaug.data.readers.masks import image_item, read_mask
from torchaug.data.readers.shards import Sample, read_index

SOUNDS = (".flac", ".ogg", ".wav")


class TarDataset(FileDataset):
    """Samples in tar archives; see `read_tar`.

    Attributes:
        keys: what the names of each sample's files have in common.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        *,
        label: str | None,
        group: str | None,
        mask: str | None,
        classes: Sequence[str] | None,
        size: tuple[int, int] | None,
        fit: str,
        mode: str,
    ) -> None:
        self.name = shards[0].name if len(shards) == 1 else f"{shards[0].name} to {shards[-1].name}"
        self.size, self.fit, self._mask = size, fit, mask
        self._samples = [sample for shard in shards for sample in read_index(shard)]
        self.keys = [sample.key for sample in self._samples]
        self.paths = [sample.shard / sample.key for sample in self._samples]
        if label == "cls" and not any("cls" in sample.parts for sample in self._samples):
            label = None
        if label is not None:
            values = [_cell(sample, label) for sample in self._samples]
            self.labels, self.classes = class_numbers(values, "read_tar", f"label in {label}", self._at, classes)
        if group is not None:
            values = [_cell(sample, group) for sample in self._samples]
            self.groups, self.group_names = class_numbers(values, "read_tar", f"group in {group}", self._at)
        self.mode = mode_of(self._pictures(), mode)

    def read(self, index: int) -> Item:
        sample = self._samples[index]
        item: Item = {}
        for name in self._parts(sample, EXTENSIONS):
            with Image.open(io.BytesIO(sample.read(name))) as picture:
                item |= self._with_mask(to_tensor(picture, self.mode), sample)
        for name in self._parts(sample, SOUNDS):
            item |= _waveform(sample.read(name))
        if "txt" in sample.parts:
            item["text"] = sample.read("txt").decode("utf-8")
        if "npy" in sample.parts:
            item |= _array(sample.read("npy"))
        if not item:
            raise ValueError(f"expected an image, .wav, .txt or .npy in a sample, got {', '.join(sample.parts)}")
        return item

    def _with_mask(self, image: Tensor, sample: Sample) -> Item:
        if self._mask is None:
            return image_item(image, None, self.size, self.fit)
        name = f"{sample.key}.{self._mask}"
        mask = read_mask(io.BytesIO(sample.read(self._mask)), name)
        return image_item(image, mask, self.size, self.fit, name)

    def _parts(self, sample: Sample, endings: Sequence[str]) -> list[str]:
        """The one file with such an ending, besides the mask, or none."""
        found = [name for name in sample.parts if f".{name}".endswith(tuple(endings)) and name != self._mask]
        if len(found) > 1:
            raise ValueError(f"expected one of {', '.join(found)} in a sample, got all; pass mask= where one is a mask")
        return found

    def _pictures(self) -> Iterable[io.BytesIO]:
        for sample in self._samples:
            for name in sample.parts:
                if f".{name}".endswith(EXTENSIONS) and name != self._mask:
                    yield io.BytesIO(sample.read(name))

    def _at(self, index: int) -> str:
        return str(self.paths[index])


def read_tar(
    source: str | Path | Sequence[str | Path],
    *,
    label: str | None = "cls",
    group: str | None = None,
    mask: str | None = None,
    classes: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    mode: str = "auto",
) -> TarDataset:
    """Samples in uncompressed tar archives in webdataset's layout, at random: the headers are read once for an index.

    Files whose names agree up to the first dot are a sample: `000.jpg` (or another kind of image) is its "image", `.txt`
    its "text", `.wav`, `.flac` or `.ogg` its "waveform" beside a "sample_rate", and `.npy` its "table" (F,) float32 or its
    "volume" (C, D, H, W). Nothing is unpickled. Each read opens its archive, so worker processes share nothing.

    Args:
        source: an archive, a list of them, or a pattern such as "train-*.tar", whose matches are sorted.
        label: the file that holds a sample's class, name or number: "cls" (unlabelled if there is none in any sample);
            or a field of its JSON: "json.animal". None: unlabelled.
        group: likewise.
        mask: the file with the mask of class numbers beside the image: "seg.png".
        classes: names of the classes in order; None: those that are met.
        size: height and width that every image gets, its mask with it.
        fit: "crop" covers that size and cuts the middle out; "pad" fits into it and adds black borders.
        mode: "RGB", "L", or "auto": "L" when every image is grey, else "RGB"; images are looked at until one is not grey.

    Raises:
        FileNotFoundError: no archive.
        ValueError: one that is compressed, cut short or damaged; a sample without a label.

    >>> import tarfile, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "train-000.tar"
    >>> with tarfile.open(path, "w") as archive:
    ...     for name, data in (("000.txt", b"a cat"), ("000.cls", b"1")):
    ...         head = tarfile.TarInfo(name)
    ...         head.size = len(data)
    ...         archive.addfile(head, io.BytesIO(data))
    >>> read_tar(path)[0]
    {'text': 'a cat', 'label': 1, 'index': 0}
    """
    check_decoding(size, fit, mode, "read_tar")
    return TarDataset(
        _shards(source), label=label, group=group, mask=mask, classes=classes, size=size, fit=fit, mode=mode
    )


def _shards(source: str | Path | Sequence[str | Path]) -> list[Path]:
    if not isinstance(source, (str, Path)):
        found = [Path(path) for path in source]
    elif glob.has_magic(str(source)) and not Path(source).exists():
        found = sorted(Path(path) for path in glob.glob(str(source)))
    else:
        found = [Path(source)]
    if not found:
        raise FileNotFoundError(f"read_tar: expected tar archives at {source}, got none")
    return found


def _cell(sample: Sample, name: str) -> Any:
    """What a small file of a sample holds, or a field of its JSON; None where there is none."""
    part, _, field = name.partition(".")
    is_json = part == "json" and field
    part = part if is_json else name
    if part not in sample.parts:
        return None
    try:
        data = sample.read(part).decode("utf-8")
        return json.loads(data).get(field) if is_json else data.strip()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"read_tar: cannot read .{name} of {sample.shard / sample.key}: {error}") from error


def _waveform(data: bytes) -> Item:
    try:
        import soundfile
    except ImportError as error:
        raise ImportError("read_tar: needs soundfile; pip install 'torchaug-synth[audio]'") from error
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return {"waveform": torch.from_numpy(samples.T.copy()), "sample_rate": rate}


def _array(data: bytes) -> Item:
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.ndim == 1 and array.dtype.kind in "biuf":
        return {"table": torch.from_numpy(array.astype(np.float32))}
    if array.ndim == 4 and array.dtype.kind in "biuf":
        return {"volume": torch.from_numpy(array if array.dtype == np.uint8 else array.astype(np.float32))}
    raise ValueError(f".npy must hold a table (F,) or a volume (C, D, H, W), got {array.dtype} {array.shape}")
