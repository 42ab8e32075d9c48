"""How far a command is, where the output is no terminal, and where it is one."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from torchaug.cli.progress import Lines, bar


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("torchaug.cli.progress.time", clock)
    return clock


def said(console: Console) -> list[str]:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_a_line_comes_every_five_seconds_with_the_time_left_and_one_at_the_end(clock: Clock) -> None:
    console = Console(file=StringIO(), width=100)
    lines = Lines(console, "training")
    for done in range(0, 21, 2):
        lines(done, 20, "loss 1")
        lines(done, 20)
        clock.now += 2
    assert said(console) == [
        "training: 6 of 20, 0:14 left, loss 1",
        "training: 12 of 20, 0:08 left, loss 1",
        "training: 18 of 20, 0:02 left, loss 1",
        "training: 20 of 20, loss 1",
    ]


def test_what_was_done_before_took_no_time_now(clock: Clock) -> None:
    console = Console(file=StringIO(), width=100)
    lines = Lines(console, "training")
    for done in (90, 95):
        lines(done, 100)
        clock.now += 5
    assert said(console) == ["training: 95 of 100, 0:05 left"]


def test_less_done_than_before_is_another_piece_of_work(clock: Clock) -> None:
    console = Console(file=StringIO(), width=100)
    lines = Lines(console, "training")
    for done, total in ((0, 4), (4, 4), (0, 1000), (100, 1000), (1000, 1000)):
        lines(done, total)
        clock.now += 10
    assert said(console) == [
        "training: 4 of 4",
        "training: 0 of 1000",
        "training: 100 of 1000, 1:30 left",
        "training: 1000 of 1000",
    ]


def test_a_bar_begins_anew_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=StringIO(), width=100, force_terminal=True)
    with bar(console, "training") as report:
        for done, total in ((0, 4), (4, 4), (0, 1000), (10, 1000)):
            report(done, total, "gamma")
    assert "10/1000" in "".join(said(console))
