"""Sound files: a folder per class, a flat folder, or a CSV file that lists them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from torchaug.audio.files import EXTENSIONS, rate_of, read_sound, require
from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.labels import class_numbers
from torchaug.data.readers.layout import files_by_class
from torchaug.data.readers.rows import Row, read_rows

Span = tuple[float, float | None]


class AudioDataset(FileDataset):
    """Sounds of files: items are `{"waveform", "index"}`, and "label" and "group" where those are known.

    A waveform is (C, T) float32 in [-1, 1], of one rate, `sample_rate`. Without one given, the heads of all files are
    read for it, and nothing else; a file whose head cannot be read has no say, and is an error when its item is asked
    for, as is one that was cut off, is empty, or holds NaN.

    Args:
        paths: the file of each item.
        name: of the data set, for messages.
        sample_rate: files of another rate are resampled to it; None: the one rate that all files have.
        mono: the mean of the channels in their place.
        seconds: longer sounds are cut to it, and only that part is decoded; shorter ones stay as they are.
        offset_mode: "start" or "center", which part.
        spans: where each item begins and ends in its file, in seconds; an end of None is the file's.

    Raises:
        ValueError: files of several rates without `sample_rate`, or an argument out of its range.
        ImportError: what reads the files is not installed: soundfile, or torchcodec for AAC, MP4 and WebM.
    """

    sample_rate: int

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        name: str,
        sample_rate: int | None = None,
        mono: bool = True,
        seconds: float | None = None,
        offset_mode: str = "start",
        spans: Sequence[Span] | None = None,
    ) -> None:
        require(paths)
        if sample_rate is not None and (not isinstance(sample_rate, int) or sample_rate < 1):
            raise ValueError(
                f"{name}: sample_rate must be a whole number above 0 of samples per second, got {sample_rate!r}"
            )
        if seconds is not None and not 0 < seconds < math.inf:
            raise ValueError(f"{name}: seconds must be above 0, got {seconds!r}")
        if offset_mode not in ("start", "center"):
            raise ValueError(f"{name}: offset_mode must be 'start' or 'center', got {offset_mode!r}")
        self.paths, self.name, self.mono, self.seconds, self.offset_mode = paths, name, mono, seconds, offset_mode
        self.spans = spans
        self._resamples = sample_rate is not None
        self.sample_rate = _the_rate(paths, name) if sample_rate is None else sample_rate

    def read(self, index: int) -> Item:
        path = self.paths[index]
        if not self._resamples and (rate := rate_of(path)) != self.sample_rate:
            raise ValueError(f"expected {self.sample_rate} Hz as in the other files, got {rate} Hz; pass sample_rate=")
        start, end = (0.0, None) if self.spans is None else self.spans[index]
        waveform = read_sound(
            path,
            sample_rate=self.sample_rate,
            mono=self.mono,
            start=start,
            end=end,
            seconds=self.seconds,
            offset_mode=self.offset_mode,
        )
        return {"waveform": waveform}

    def shortened(self, seconds: float, sample_rate: int) -> AudioDataset:
        """The first `seconds` of each of these sounds, at another rate."""
        data = AudioDataset(
            self.paths,
            name=self.name,
            sample_rate=sample_rate,
            mono=self.mono,
            seconds=seconds,
            offset_mode=self.offset_mode,
            spans=self.spans,
        )
        data.labels, data.classes, data.groups, data.group_names = (
            self.labels,
            self.classes,
            self.groups,
            self.group_names,
        )
        return data


def _the_rate(paths: Sequence[Path], name: str) -> int:
    files = list(dict.fromkeys(paths))  # a manifest may have many segments of one
    counts = Counter(rate for rate in map(_rate, files) if rate is not None)
    if not counts:
        raise ValueError(f"{name}: expected sound files, got none whose head can be read, {files[0]} the first of them")
    if len(counts) > 1:
        rates = ", ".join(f"{rate} Hz in {count}" for rate, count in sorted(counts.items()))
        raise ValueError(f"{name}: expected one sample rate, got {rates} files; pass sample_rate= to resample to one")
    return next(iter(counts))


def _rate(path: Path) -> int | None:
    """By the file's head alone; one that cannot be read has no say, and is an error when its item is asked for."""
    try:
        return rate_of(path)
    except (ValueError, OSError, RuntimeError):  # libsndfile's own among them
        return None


def read_audio_folder(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    mono: bool = True,
    seconds: float | None = None,
    offset_mode: str = "start",
    min_classes: int = 1,
) -> AudioDataset:
    """The sounds of a folder with one folder per class, or of one folder of files, without labels.

    Args:
        path: the folder; the sorted names of the folders in it are the classes.
        sample_rate: see `AudioDataset`, as for `mono`, `seconds` and `offset_mode`.
        min_classes: fewer class folders than this are an error.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no sound file, too few classes or one without files, or files of several rates.

    >>> import tempfile, numpy, soundfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("hiss", "hum"):
    ...     (root / name).mkdir()
    ...     soundfile.write(root / name / "1.wav", numpy.zeros((800, 2)), 8000)
    >>> data = read_audio_folder(root)
    >>> data.sample_rate, data.classes, data[1]["waveform"].shape, data[1]["label"]
    (8000, ['hiss', 'hum'], torch.Size([1, 800]), 1)
    """
    root = Path(path)
    paths, labels, classes = files_by_class(root, EXTENSIONS, min_classes, "read_audio_folder")
    data = AudioDataset(
        paths, name=root.name, sample_rate=sample_rate, mono=mono, seconds=seconds, offset_mode=offset_mode
    )
    data.labels, data.classes = labels, classes
    return data


def read_audio_manifest(
    csv: str | Path,
    *,
    path: str = "path",
    label: str | None = "label",
    start: str | None = None,
    end: str | None = None,
    group: str | None = None,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
    sample_rate: int | None = None,
    mono: bool = True,
    seconds: float | None = None,
    offset_mode: str = "start",
) -> AudioDataset:
    """The sounds, or segments of sounds, that a CSV or TSV file lists, one a row.

    Args:
        csv: the file; see `read_rows`.
        path: the column of paths.
        label: the column of class names; None: no labels.
        start: the column of seconds where segments begin; an empty field is the file's beginning.
        end: the column of seconds where they end; an empty field is the file's end.
        group: the column of group names (site, device, speaker, ...).
        root: the folder that paths are relative to; None: that of the CSV file.
        classes: the classes in their order; None: those there, sorted.
        sample_rate: see `AudioDataset`, as for `mono`, `seconds` and `offset_mode`.

    Raises:
        FileNotFoundError: no CSV file.
        ValueError: what `read_rows` refuses; an empty path, label or group; an unknown class; a segment without length;
            files of several rates.
    """
    who, file = "read_audio_manifest", Path(csv)
    needs = [name for name in (path, label, start, end, group) if name is not None]
    rows = read_rows(file, needs=needs, who=who)
    folder = file.parent if root is None else Path(root)
    for row in rows:
        if not row.fields[path]:
            raise ValueError(f"{who}: {path!r} in {file}: expected a path, got none in line {row.line}")
    data = AudioDataset(
        [folder / row.fields[path] for row in rows],
        name=file.stem,
        sample_rate=sample_rate,
        mono=mono,
        seconds=seconds,
        offset_mode=offset_mode,
        spans=None if start is None and end is None else [_span(row, start, end, f"{who}: {file}") for row in rows],
    )
    if label is not None:
        data.labels, data.classes = _column(rows, label, classes, f"{who}: {file}")
    if group is not None:
        data.groups, data.group_names = _column(rows, group, None, f"{who}: {file}")
    return data


def _column(rows: list[Row], name: str, classes: Sequence[str] | None, who: str) -> tuple[Tensor, list[str]]:
    return class_numbers([row.fields[name] for row in rows], who, name, lambda row: f"line {rows[row].line}", classes)


def _span(row: Row, start: str | None, end: str | None, where: str) -> Span:
    first = _seconds(row, start, where)
    last = _seconds(row, end, where)
    if last is not None and last <= (first or 0.0):
        raise ValueError(
            f"{where}: expected segments that end after they begin, got {first or 0:g} to {last:g} s in line {row.line}"
        )
    return first or 0.0, last


def _seconds(row: Row, column: str | None, where: str) -> float | None:
    given = "" if column is None else row.fields[column].strip()
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{where}: expected seconds in {column!r}, 0 or above, got {given!r} in line {row.line}")
    return value
