"""What the commands share: how they print, how they fail, and how they read the data they are given."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jsonargparse import Namespace
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from torchaug.data import TableDataset, TensorImages


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
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None, visible=False)  # not before something is under way
        yield lambda done, total, what="": progress.update(
            task, completed=done, total=total, description=what, visible=True
        )


def _lines(console: Console, text: str, every: float = 5.0) -> Callable[..., None]:
    last = time.monotonic()

    def report(done: int, total: int, what: str = "") -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= every:
            last = time.monotonic()
            say(console, f"{text}: {done} of {total}{what and ', ' + what}")

    return report


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
            raise Misuse(f"load: expected images, got the sounds {options.data}")
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
