"""How the commands read the data that --data names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich.console import Console

from torchaug.cli.fit_arguments import SHORT
from torchaug.cli.progress import bar, say
from torchaug.cli.terminal import Misuse, misuse

if TYPE_CHECKING:
    from torchaug.data import TableDataset, TensorImages
    from torchaug.data.waveforms import TensorWaveforms
    from torchaug.transform import Layer

CHAINS = (".json", ".yaml", ".yml")
"""Endings of the files that hold a chain of transforms."""
COLUMNS = ("drop", "categorical", "numeric")
"""Options that name columns of a table, as `read_table` does."""


def read_samples(options: Namespace, console: Console) -> TensorImages | TensorWaveforms | TableDataset:
    """The images, table or sounds that --data names, in memory; a table's classes are in the column --label."""
    with misuse():
        from torchaug.data import FileDataset

        label = options.label
        if SHORT.get(options.kind, options.kind).startswith("table-"):
            label = label_of(options, "fit", ", or --label none")
        data = open_data(options.data, label, options.size, columns_of(options))
        if isinstance(data, FileDataset):
            with bar(console, "reading") as report:
                return data.in_memory(report)
        found: TensorImages | TensorWaveforms | TableDataset = data.in_memory()
        return found


def label_of(options: Namespace, who: str, otherwise: str = "") -> str | None:
    """--label of a table that --data names: of a file "label" by default, also where it has a column "path" or "text".

    `otherwise` is what else could be passed.
    """
    from torchaug.data.readers.columns import column_names

    path, label = Path(options.data), options.label
    if label is not None or not path.is_file():
        return None if label is None else str(label)
    names = column_names(path, who)
    if "label" not in names:
        raise Misuse(
            f"{who}: expected --label COLUMN of {path} ({', '.join(names)}){otherwise}, got none and no column 'label'"
        )
    return "label"


def columns_of(options: Namespace) -> dict[str, list[str]]:
    """Which columns of a table are to be left out, categories or numbers."""
    given = vars(options)
    return {name: given[name] for name in COLUMNS if given.get(name)}


def open_data(
    source: str,
    label: str | None,
    size: tuple[int, int] | None = None,
    columns: Mapping[str, Any] | None = None,
) -> Any:
    """The data set that --data names; with --label a table, whose classes are in that column, or nowhere if "none"."""
    from torchaug.data import load, read_table

    if label is None and not columns:
        return load(source, size=size)
    if not _is_table(source):
        name = "label" if label is not None else next(iter(columns or {}))
        raise Misuse(f"--{name} names a column of a table ({', '.join(_endings())}), got {source}; leave it out")
    if size is not None:
        raise Misuse(f"--size is for images, got the table {source}; leave it out")
    return read_table(source, label=None if label == "none" else label or "label", **(columns or {}))


def _endings() -> tuple[str, ...]:
    from torchaug.data.readers.load import TABLES

    return TABLES


def _is_table(source: str) -> bool:
    return source.lower().endswith(_endings()) or Path(source).is_file()


def class_counts(options: Namespace, table: bool) -> dict[str, int]:
    """How many samples of each class there are in what --data names; none of its images or sounds is read.

    Of a file for a generator of tables only the column --label is: the others need not be what `read_table` takes.
    """
    with misuse():
        from torchaug.data.readers.table import read_labels
        from torchaug.data.topup import frequencies

        source, label = options.data, label_of(options, "synthesize") if table else options.label
        if _is_table(source) and (table or label is not None) and label != "none":
            labels, classes = read_labels(source, label or "label")
            return dict(zip(classes, labels.bincount(minlength=len(classes)).tolist(), strict=True))
        data = open_data(source, label)
        if getattr(data, "labels", None) is None or not getattr(data, "classes", None):
            raise Misuse(f"load: expected samples with labels, got {source}, which has none")
        return {name: int(count) for name, count in frequencies(data, "load").items()}


def read_to_verify(options: Namespace) -> Any:
    """What --data names: a table where --label or other of its options say so, or nothing else has its columns."""
    with misuse():
        from torchaug.data.readers.columns import column_names

        label, columns = options.label, columns_of(options)
        of_rows = options.data.lower().endswith(_endings()) and Path(options.data).is_file()
        if of_rows and (columns or not {"path", "text"} & set(column_names(options.data, "verify"))):
            label = label_of(options, "verify", ", or --label none")
        return open_data(options.data, label, columns=columns)


def read_chain(path: str) -> Layer:
    """The chain of transforms in a file."""
    from torchaug import serial

    read = serial.from_json if path.endswith(".json") else serial.from_yaml
    return read(Path(path).read_text())


def described(data: TensorImages | TensorWaveforms | TableDataset) -> str:
    """What is in memory, in words."""
    from torchaug.data import TensorImages, TensorWaveforms

    of = f"of {len(data.classes)} classes" if data.labels is not None and data.classes else "without classes"
    if isinstance(data, (TensorImages, TensorWaveforms)):
        return f"{len(data)} {'images' if isinstance(data, TensorImages) else 'sounds'} {of}, {shape_of(data)}"
    return f"{len(data)} rows {of}, {len(data.columns)} columns"


def read_images(options: Namespace, console: Console, largest: int | None = None) -> TensorImages:
    """The images that --data names, all of --size; without it none with a side above `largest`."""
    with misuse():
        from torchaug.data import TableDataset, TensorImages, TensorWaveforms, load

        data: Any = load(options.data, size=options.size)
        image = data[0].get("image")  # items of volumes, sounds or texts have none
        if largest and not options.size and image is not None and max(image.shape[-2:]) > largest:
            say(console, f"images are shrunk to {largest} x {largest} pixels to fit the time; see --size and --minutes")
            data = load(options.data, size=(largest, largest))
        if not isinstance(data, (TensorImages, TensorWaveforms, TableDataset)):
            with bar(console, "reading images") as report:
                data = data.in_memory(report)
        if not isinstance(data, TensorImages):
            what = "table" if isinstance(data, TableDataset) else "sounds"
            raise Misuse(f"load: expected images, got the {what} {options.data}")
        return data


def read_sounds(options: Namespace, console: Console, longest: float, highest: int) -> TensorWaveforms:
    """The sounds that --data names, cut to --seconds, or to `longest` of them; of files none above `highest` Hz."""
    with misuse():
        from torchaug.data import AudioDataset, TensorWaveforms, load

        data: Any = load(options.data)
        seconds = options.seconds or longest
        if isinstance(data, AudioDataset):
            rate = min(data.sample_rate, highest)
            say(
                console,
                f"of each sound {seconds:g} s are read, at {rate} Hz, to fit the time; see --seconds, --minutes",
            )
            with bar(console, "reading sounds") as report:
                data = data.shortened(seconds, rate).in_memory(report)
        if not isinstance(data, TensorWaveforms):
            raise Misuse(f"load: expected sounds (a folder of them, vowels or spoken_digits), got {options.data}")
        return data.shortened(seconds)


def read_table_of(options: Namespace) -> TableDataset:
    """The table that --data names, with its classes in the column --label."""
    with misuse():
        from torchaug.data import TableDataset

        data = open_data(options.data, label_of(options, "demo"), columns=columns_of(options))
        if not isinstance(data, TableDataset):
            raise Misuse(f"load: expected a table (.csv, .tsv, .parquet or a named one), got {options.data}")
        return data


def shape_of(data: TensorImages | TensorWaveforms) -> str:
    """The size of images, or the length of sounds, in words."""
    from torchaug.data.waveforms import TensorWaveforms

    if isinstance(data, TensorWaveforms):
        return f"up to {data.waveforms.shape[-1] / data.sample_rate:.3g} seconds at {data.sample_rate} Hz"
    channels, height, width = data.images.shape[1:]
    return f"{height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}"
