"""What the commands share: how they print, how they fail, and how they read the data they are given."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jsonargparse import Namespace
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from torchaug.data import TableDataset, TensorImages
    from torchaug.data.waveforms import TensorWaveforms


class Misuse(Exception):
    """The command cannot work as given."""


def open_console() -> Console:
    """Where to print."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # a file or a pipe: wide enough for the tables
    return console


def say(console: Console, text: str) -> None:
    """A line as it is: commands to copy must not be wrapped, nor brackets in names read as styles."""
    console.print(text, markup=False, soft_wrap=True)


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


@contextmanager
def on_interrupt(what: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(what()) from None


@contextmanager
def bar(console: Console, text: str) -> Iterator[Callable[..., None]]:
    """A progress bar, moved by what is yielded: called with (done, total) and perhaps what was done.

    Where the output is no terminal, a line now and then instead.
    """
    if not console.is_terminal:
        yield _lines(console, text)
        return
    columns = (
        TextColumn(text),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None, visible=False)  # not before something is under way
        yield lambda done, total, what="": progress.update(
            task, completed=done, total=total, description=what, visible=True
        )


def _lines(console: Console, text: str, every: float = 5.0) -> Callable[..., None]:
    start = last = time.monotonic()
    first: int | None = None  # what was done before the first report: a resumed training has not done it now

    def report(done: int, total: int, what: str = "") -> None:
        nonlocal last, first
        now, first = time.monotonic(), done if first is None else first
        if done == total or now - last >= every:
            last = now
            left = (now - start) / (done - first) * (total - done) if done > first else 0.0
            ahead = f", {_duration(left)} left" if left else ""
            say(console, f"{text}: {done} of {total}{ahead}{what and ', ' + what}")

    return report


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def read_samples(options: Namespace, console: Console) -> TensorImages | TensorWaveforms | TableDataset:
    """The images, table or sounds that --data names, in memory; a table's classes are in the column --label."""
    with misuse():
        from torchaug.data import FileDataset, load, read_table

        if options.label is None:
            data = load(options.data, size=options.size)
        else:
            data = read_table(options.data, label=None if options.label == "none" else options.label)
        if isinstance(data, FileDataset):
            with bar(console, "reading") as report:
                return data.in_memory(report)
        return data.in_memory()


def described(data: TensorImages | TensorWaveforms | TableDataset) -> str:
    """What is in memory, in words."""
    from torchaug.data import TensorImages
    from torchaug.data.waveforms import TensorWaveforms

    of = f"of {len(data.classes)} classes" if data.labels is not None and data.classes else "without classes"
    if isinstance(data, TensorImages):
        return f"{len(data)} images {of}, {shape_of(data)}"
    if isinstance(data, TensorWaveforms):
        seconds = data.waveforms.shape[-1] / data.sample_rate
        return f"{len(data)} sounds {of}, up to {seconds:.3g} seconds at {data.sample_rate} Hz"
    return f"{len(data)} rows {of}, {len(data.columns)} columns"


def read_images(options: Namespace, console: Console, largest: int | None = None) -> TensorImages:
    """The images that --data names, all of --size; without it none with a side above `largest`."""
    with misuse():
        from torchaug.data import TableDataset, TensorImages, load

        data = load(options.data, size=options.size)
        image = data[0].get("image")  # items of volumes, sounds or texts have none
        if largest and not options.size and image is not None and max(image.shape[-2:]) > largest:
            say(console, f"images are shrunk to {largest} x {largest} pixels to fit the time; see --size and --minutes")
            data = load(options.data, size=(largest, largest))
        if isinstance(data, TensorImages):
            return data
        if isinstance(data, TableDataset):
            raise Misuse(f"load: expected images, got the table {options.data}")
        with bar(console, "reading images") as report:
            images = data.in_memory(report)
        if not isinstance(images, TensorImages):
            what = "table" if isinstance(images, TableDataset) else "sounds"
            raise Misuse(f"load: expected images, got the {what} {options.data}")
        return images


def read_table_of(source: str, label: str | None) -> TableDataset:
    """The table that --data names, with its classes in the column --label."""
    with misuse():
        from torchaug.data import TableDataset, load, read_table

        data = load(source) if label is None else read_table(source, label=label)
        if not isinstance(data, TableDataset):
            raise Misuse(f"load: expected a table (.csv, .tsv, .parquet or a named one), got {source}")
        return data


def shape_of(data: TensorImages) -> str:
    """The size of the images, in words."""
    channels, height, width = data.images.shape[1:]
    return f"{height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}"
