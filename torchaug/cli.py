"""The command line, and the only place that prints.

Exit codes: 0 done; 1 it started and failed; 2 it cannot work as given (the arguments, or what they name); 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from torchaug.arguments import build_parser

if TYPE_CHECKING:
    from torchaug.data import TensorImages
    from torchaug.evaluate.results import Interval, StudyResult
    from torchaug.training.study import Provider

DEMO_SIDE = 16  # larger images are shrunk to this in a demo: a study of them would take hours on a CPU
DIGITS_RARE = [3, 7, 8]
QUICK_SECONDS = 56.0
END_SECONDS = 5.0  # of the time, kept for ending the processes and for the report
TOO_SHORT = (
    "The time allowed {} of the usual {} optimiser steps, and as small a share of the generator's: too few to judge by. "
    "Augmentation and synthetic data, which need more of them, look worse here than they are."
)


class Misuse(Exception):
    """The command cannot work as given."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; `torchaug --help` lists them.

    Args:
        argv: the arguments; None: those of the process.

    Returns:
        The exit code.
    """
    commands = {"demo": demo, "fit": fit, "synthesize": synthesize}
    parser = build_parser()
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    try:
        options = parser.parse_args(argv)
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    except argparse.ArgumentError as error:
        return _fail(2, f"{_line(error)}; see torchaug --help")
    chosen: Namespace = options[options.subcommand]
    try:
        commands[options.subcommand](chosen, _console())
    except KeyboardInterrupt as interrupt:
        return _fail(130, f"interrupted; {str(interrupt) or 'nothing was written'}")
    except Exception as error:
        if chosen.debug:
            raise
        return _fail(2 if isinstance(error, Misuse) else 1, _line(error))
    return 0


def demo(options: Namespace, console: Console) -> None:
    """torchaug demo."""
    start = time.monotonic()
    data = _data(options, console, largest=DEMO_SIDE)
    with _misuse():
        import torch

        from torchaug.training.study import ARMS, Recipe, run_study

        torch.set_num_threads(1)  # the study's processes have one each, and its plan is timed in this one
        rare = _rare(options, data)
        provider, note = _provider(options, data, rare)
        provider(0)  # a split that cannot be made is known before anything is trained
        options.out.mkdir(parents=True, exist_ok=True)
    seconds = QUICK_SECONDS if options.quick else 60 * options.minutes
    _say(console, f"{options.data}: {len(data)} images of {len(data.classes)} classes, {_shape(data)}")
    _say(console, f"rare classes: {', '.join(data.classes[c] for c in rare)}")
    _say(console, f"{len(ARMS)} ways to train at equal steps, up to {options.seeds} seeds, {seconds / 60:.2g} minutes")
    kept = f"a study is whole or nothing, and what {options.out} held before is unchanged"
    with _bar(console, "training") as report, _kept(lambda: kept):
        result = run_study(
            provider,
            rare=rare,
            seeds=range(options.seeds),
            seconds=max(1.0, seconds - END_SECONDS - (time.monotonic() - start)),
            data=options.data,
            progress=report,
        )
    usual = Recipe().steps
    caution = TOO_SHORT.format(result.steps, usual) if result.steps < usual else ""
    _show(console, replace(result, notes=(*result.notes, note), caution=caution), options.out)
    if options.data == "digits":
        _say(console, "next, the same with your own images:\n  torchaug demo --data FOLDER")
    else:
        _say(console, "next, a generator to keep:")
        _say(console, f"  torchaug fit --data {shlex.quote(options.data)} --out generator")


def _show(console: Console, result: StudyResult, out: Path) -> None:
    """Writes a study down, the numbers first, and prints it."""
    from torchaug.data.files import replace_file
    from torchaug.explore.report import headline, verdicts, write_report

    replace_file(out / "results.json", (json.dumps(result.to_json(), indent=1) + "\n").encode())
    base = result.arms[0].name
    table = Table("trained on", "accuracy", "macro F1", "rare-class recall", f"against {base}", box=box.SIMPLE)
    styles = {"helped": "green", "hurt": "red", "no measurable difference": "dim"}
    for arm in result.arms:
        difference = result.difference(arm.name, base)
        verdict = difference.verdict if difference else ""
        cells = (_cell(interval) for interval in (arm.accuracy, arm.macro_f1, arm.rare_recall))
        table.add_row(arm.name, *cells, verdict, style="bold" if arm is result.best() else styles.get(verdict))
    console.print(table)
    _say(console, f"mean ± half of the 95 % interval, {len(result.seeds)} paired seeds, {result.seconds:.0f} seconds")
    for line in ("", headline(result), *(f"- {verdict}" for verdict in verdicts(result)), "", *result.notes, ""):
        console.print(line, markup=False)
    report = write_report(result, out / "report.html")
    _say(console, f"report: {report}\nnumbers: {out / 'results.json'}")


def _cell(interval: Interval) -> str:
    half = (interval.high - interval.low) / 2
    return f"{interval.mean:.3f}" if math.isnan(half) else f"{interval.mean:.3f} ± {half:.3f}"


def _rare(options: Namespace, data: TensorImages) -> list[int]:
    """The numbers of the rare classes."""
    from torchaug.evaluate.holdout import rarest

    unknown = [name for name in options.rare or [] if name not in data.classes]
    if unknown or (options.rare and len(set(options.rare)) == len(data.classes)):
        got = repr(unknown[0]) if unknown else "all of them"
        raise Misuse(f"demo: --rare must name some of the classes {', '.join(data.classes)}, got {got}")
    if options.rare:
        return sorted({data.classes.index(name) for name in options.rare})
    return DIGITS_RARE if options.data == "digits" else rarest(data.labels, len(data.classes))


def _provider(options: Namespace, data: TensorImages, rare: list[int]) -> tuple[Provider, str]:
    """What a seed trains and tests on, and what a reader should know about it."""
    from torchaug.evaluate.holdout import holdout
    from torchaug.training.study import ImbalancedDraw

    if options.data == "digits":
        return ImbalancedDraw(data, tuple(rare)), (
            "The intervals cover what changes from seed to seed: the draw of training images and the training itself. "
            "The test images are the same in every seed, so they say little about other data."
        )
    return partial(holdout, data), (
        "Each seed holds out another 30 % of each class to test. The training sets of different seeds overlap, which "
        "makes the intervals somewhat too narrow."
    )


def fit(options: Namespace, console: Console) -> None:
    """torchaug fit."""
    data = _data(options, console)
    with _misuse():
        from torchaug.training.arms import default_augment
        from torchaug.training.fit import FILE, fit

        file = options.out / FILE
        if file.exists() and not options.resume:
            raise Misuse(f"fit: {file} is already there; go on from it with --resume, or name another --out")
        _say(console, f"{len(data)} images of {len(data.classes)} classes, {_shape(data)}; kind {options.kind}")
        with _bar(console, "training") as report, _kept(lambda: _checkpoint_kept(file)):
            fit(
                options.kind,
                data,
                out=options.out,
                steps=options.steps,
                seed=options.seed,
                augment=default_augment() if options.kind == "gan" else None,  # a GAN copies few images without it
                resume=options.resume,
                progress=lambda done, total, _: report(done, total),
            )
    _say(console, f"the generator is in {file}, grids of samples beside it; next:")
    _say(console, f"  torchaug synthesize --checkpoint {shlex.quote(str(file))} --per-class 100 --out bank")


def _checkpoint_kept(file: Path) -> str:
    if file.exists():
        return f"{file} is kept, go on from it with --resume"
    return "it was too early for a checkpoint"


def synthesize(options: Namespace, console: Console) -> None:
    """torchaug synthesize."""
    if (options.counts is None) == (options.per_class is None):
        raise Misuse("synthesize: expected either --counts or --per-class; pass one of them")
    with _misuse():
        from torchaug.training.load import load_generator
        from torchaug.training.synthesize import synthesize

        generator = load_generator(options.checkpoint)
        counts = options.counts or dict.fromkeys(generator.classes, options.per_class)
        kept = f"finished shards in {options.out} are kept, and the same command goes on from them"
        with _bar(console, "making images") as report, _kept(lambda: kept):
            bank = synthesize(generator, counts, options.out, seed=options.seed, progress=report)
    table = Table("class", "images", box=box.SIMPLE)
    for name, count in zip(bank.classes, bank.labels.bincount(minlength=len(bank.classes)).tolist(), strict=True):
        table.add_row(escape(name), str(count))
    console.print(table)
    _say(console, f"{len(bank)} images in {options.out}; mix them with real data:")
    _say(console, "  from torchaug.data import Bank, MixedDataset, Source")
    _say(console, f"  data = MixedDataset([Source.real(your_data), Source.bank(Bank({str(options.out)!r}))])")


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # a file or a pipe: wide enough for the tables
    return console


def _say(console: Console, text: str) -> None:
    """A line as it is: commands to copy must not be wrapped, nor brackets in names read as styles."""
    console.print(text, markup=False, soft_wrap=True)


def _data(options: Namespace, console: Console, largest: int | None = None) -> TensorImages:
    """The images that --data names, all of --size; without it none with a side above `largest`."""
    with _misuse():
        from torchaug.data import TensorImages, load

        data = load(options.data, size=options.size)
        image = data[0].get("image")  # items of volumes have none, which in_memory says
        if largest and not options.size and image is not None and max(image.shape[-2:]) > largest:
            _say(
                console, f"images are shrunk to {largest} x {largest} pixels to fit the time; see --size and --minutes"
            )
            data = load(options.data, size=(largest, largest))
        if isinstance(data, TensorImages):
            return data
        with _bar(console, "reading images") as report:
            return data.in_memory(report)


def _shape(data: TensorImages) -> str:
    channels, height, width = data.images.shape[1:]
    return f"{height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}"


@contextmanager
def _misuse() -> Iterator[None]:
    """What the arguments name does not fit: the command cannot work as given. A broken image is another matter."""
    from torchaug.data import SampleError

    try:
        yield
    except SampleError:
        raise
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise Misuse(str(error)) from error


@contextmanager
def _kept(what: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(what()) from None


@contextmanager
def _bar(console: Console, text: str) -> Iterator[Callable[..., None]]:
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
            _say(console, f"{text}: {done} of {total}{what and ', ' + what}")

    return report


def _fail(code: int, text: str) -> int:
    print(f"torchaug: {text}", file=sys.stderr)
    return code


def _line(error: Exception) -> str:
    """An error in one line; one that no check of ours foresaw also says its type and how to see more."""
    text = " ".join(str(error).split())
    if isinstance(error, argparse.ArgumentError):  # says "fit.data" of an argument that is missing
        return re.sub(r"\b(?:demo|fit|synthesize)\.(\w+)", r"--\1", text)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{text}; what was made is kept: make room and run the same command again"
    if isinstance(error, (Misuse, ValueError, OSError, ImportError)) and text:
        return text
    return f"{type(error).__name__}: {text}; --debug shows where"
