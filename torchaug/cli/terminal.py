"""What the commands share: how they print, how they fail, and how they read the data they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich.console import Console

from torchaug.cli.fit_arguments import SHORT
from torchaug.cli.progress import bar, say

if TYPE_CHECKING:
    from torchaug.data import TableDataset, TensorImages
    from torchaug.data.waveforms import TensorWaveforms
    from torchaug.transform import Layer

CHAINS = (".json", ".yaml", ".yml")
"""Endings of the files that hold a chain of transforms."""


class Misuse(Exception):
    """The command cannot work as given."""


def open_console() -> Console:
    """Where to print."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # a file or a pipe: wide enough for the tables
    return console


@contextmanager
def misuse() -> Iterator[None]:
    """What the arguments name does not fit: the command cannot work as given. A broken image is another matter."""
    from torchaug.data import SampleError

    try:
        yield
    except SampleError:
        raise
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise Misuse(str(error)) from error


def check_folder(path: Path, who: str) -> None:
    """Refuses an --out in whose way there is a file, before anything is made."""
    for each in (path, *path.parents):
        if each.exists():
            if not each.is_dir():
                raise Misuse(f"{who}: --out must be a folder, got {path}, and {each} is a file; name another --out")
            return


@contextmanager
def on_interrupt(what: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(what()) from None


def read_samples(options: Namespace, console: Console) -> TensorImages | TensorWaveforms | TableDataset:
    """The images, table or sounds that --data names, in memory; a table's classes are in the column --label."""
    with misuse():
        from torchaug.data import FileDataset
        from torchaug.data.readers.columns import column_names

        path, label = Path(options.data), options.label
        if label is None and SHORT.get(options.kind, options.kind).startswith("table-") and path.is_file():
            label = "label"  # also where it has a column "path" or "text"
            names = column_names(path, "fit")
            if label not in names:
                raise Misuse(
                    f"fit: expected --label COLUMN of {path} ({', '.join(names)}), or --label none, got neither"
                )
        data = open_data(options.data, label, options.size)
        if isinstance(data, FileDataset):
            with bar(console, "reading") as report:
                return data.in_memory(report)
        found: TensorImages | TensorWaveforms | TableDataset = data.in_memory()
        return found


def open_data(source: str, label: str | None, size: tuple[int, int] | None = None) -> Any:
    """The data set that --data names; with --label a table, whose classes are in that column, or nowhere if "none"."""
    from torchaug.data import load, read_table
    from torchaug.data.readers.load import TABLES

    if label is None:
        return load(source, size=size)
    if not source.lower().endswith(TABLES) and not Path(source).is_file():
        raise Misuse(f"--label names a column of a table ({', '.join(TABLES)}), got {source}; leave it out")
    if size is not None:
        raise Misuse(f"--size is for images, got the table {source}; leave it out")
    return read_table(source, label=None if label == "none" else label)


def class_counts(source: str, label: str | None) -> dict[str, int]:
    """How many samples of each class there are in what --data names; none of its images or sounds is read."""
    with misuse():
        from torchaug.data.topup import frequencies

        data = open_data(source, label)
        if getattr(data, "labels", None) is None or not getattr(data, "classes", None):
            raise Misuse(f"load: expected samples with labels, got {source}, which has none")
        return {name: int(count) for name, count in frequencies(data, "load").items()}


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


def read_table_of(source: str, label: str | None) -> TableDataset:
    """The table that --data names, with its classes in the column --label."""
    with misuse():
        from torchaug.data import TableDataset

        data = open_data(source, label)
        if not isinstance(data, TableDataset):
            raise Misuse(f"load: expected a table (.csv, .tsv, .parquet or a named one), got {source}")
        return data


def shape_of(data: TensorImages | TensorWaveforms) -> str:
    """The size of images, or the length of sounds, in words."""
    from torchaug.data.waveforms import TensorWaveforms

    if isinstance(data, TensorWaveforms):
        return f"up to {data.waveforms.shape[-1] / data.sample_rate:.3g} seconds at {data.sample_rate} Hz"
    channels, height, width = data.images.shape[1:]
    return f"{height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}"
