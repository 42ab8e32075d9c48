"""What the commands share: where they print, and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console


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
