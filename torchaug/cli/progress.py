"""How far a command is: a bar, or lines where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def say(console: Console, text: str) -> None:
    """A line as it is: commands to copy must not be wrapped, nor brackets in names read as styles."""
    console.print(text, markup=False, soft_wrap=True)


@contextmanager
def bar(console: Console, text: str) -> Iterator[Callable[..., None]]:
    """A progress bar, moved by what is yielded: called with (done, total) and perhaps what was done.

    Fewer done than before begin another piece of work. Where the output is no terminal, a line now and then instead.
    """
    if not console.is_terminal:
        yield Lines(console, text)
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

        def report(done: int, total: int, what: str = "") -> None:
            if done < progress.tasks[task].completed:
                progress.reset(task)
            progress.update(task, completed=done, total=total, description=what, visible=True)

        yield report


class Lines:
    """Says how far a piece of work is every so many seconds, how long it will still take, and once that it is done."""

    def __init__(self, console: Console, text: str, every: float = 5.0) -> None:
        self.console, self.text, self.every = console, text, every
        self.start = self.said = time.monotonic()
        self.first: int | None = None  # what was done before: a resumed training has not done it now
        self.done = 0

    def __call__(self, done: int, total: int, what: str = "") -> None:
        """Says so many of so many, if it is time."""
        now = time.monotonic()
        if self.first is None:
            self.first = done
        elif done < self.done:
            self.start, self.first = now, done
        elif done == self.done == total:
            return
        self.done = done
        if done == total or now - self.said >= self.every:
            self.said = now
            left = (now - self.start) / (done - self.first) * (total - done) if done > self.first else 0.0
            ahead = f", {duration(left)} left" if left else ""
            say(self.console, f"{self.text}: {done} of {total}{ahead}{what and ', ' + what}")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(59.4), duration(3671)
    ('0:59', '1:01:11')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
