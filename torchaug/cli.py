"""The command line, and the only place that prints.

Exit codes: 0 done; 1 it started and failed; 2 it cannot work as given (the arguments, or what they name); 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from torchaug.data import TensorImages
    from torchaug.evaluate.results import Interval, StudyResult

ABOUT = """\
Make a small, imbalanced or sensitive image data set train a better model.

The road: train a generator on your images (fit), make a bank of synthetic
images with it (synthesize), mix the bank with the real data in training.
demo goes the whole road and measures whether it helped."""

SOURCE = "a folder with a folder of images for each class, the named set digits, or module:attribute of a Dataset"
Report = Callable[[int, int], None]


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
        commands[options.subcommand](chosen, Console(highlight=False))
    except KeyboardInterrupt as interrupt:
        return _fail(130, f"interrupted; {interrupt or 'nothing was written'}")
    except Exception as error:
        if chosen.debug:
            raise
        return _fail(2 if isinstance(error, Misuse) else 1, _line(error))
    return 0


def fit(options: Namespace, console: Console) -> None:
    """torchaug fit."""
    data = _data(options, console)
    with _misuse():
        from torchaug.training.fit import FILE, fit

        file = options.out / FILE
        if file.exists() and not options.resume:
            raise Misuse(f"fit: {file} is already there; go on from it with --resume, or name another --out")
        console.print(f"{len(data)} images of {len(data.classes)} classes, {_shape(data)}; kind {options.kind}")
        try:
            with _bar(console, "training") as report:
                fit(
                    options.kind,
                    data,
                    out=options.out,
                    steps=options.steps,
                    seed=options.seed,
                    augment=None,
                    resume=options.resume,
                    progress=lambda done, total, _: report(done, total),
                )
        except KeyboardInterrupt:
            kept = f"{file} is kept, go on from it with --resume" if file.exists() else "it was too early for a checkpoint"
            raise KeyboardInterrupt(kept) from None
    console.print(f"the generator is in {file}, grids of samples beside it; next:", markup=False)
    console.print(f"  torchaug synthesize --checkpoint {shlex.quote(str(file))} --per-class 100 --out bank", markup=False)


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
        with _bar(console, "making images") as report, _kept(kept):
            bank = synthesize(generator, counts, options.out, seed=options.seed, progress=report)
    table = Table("class", "images", box=box.SIMPLE)
    for name, count in zip(bank.classes, bank.labels.bincount(minlength=len(bank.classes)).tolist(), strict=True):
        table.add_row(escape(name), str(count))
    console.print(table)
    console.print(f"{len(bank)} images in {escape(str(options.out))}; mix them with real data:")
    console.print(
        f"  from torchaug.data import Bank, MixedDataset, MixedSampler, Source\n"
        f"  data = MixedDataset([Source.real(your_data), Source.bank(Bank({str(options.out)!r}))])",
        markup=False,
    )


def _data(options: Namespace, console: Console) -> TensorImages:
    with _misuse():
        from torchaug.data import TensorImages, load

        data = load(options.data, size=options.size)
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
def _kept(text: str) -> Iterator[None]:
    """Ctrl-C says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(text) from None


@contextmanager
def _bar(console: Console, text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, moved by what is yielded: called with (done, total)."""
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


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


def build_parser() -> ArgumentParser:
    """The arguments of all commands."""
    parser = _parser(ABOUT, prog="torchaug", version=version("torchaug-synth"))
    commands = parser.add_subcommands(title="commands", metavar="COMMAND")
    for name, describe, text in (
        ("demo", _demo_arguments, "does synthetic data help? train six ways, compare, and write a report"),
        ("fit", _fit_arguments, "train a generator on your images"),
        ("synthesize", _synthesize_arguments, "make a bank of synthetic images with a trained generator"),
    ):
        command = _parser(f"{text[0].upper()}{text[1:]}.", usage=f"torchaug {name} [options]")
        describe(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        commands.add_subcommand(name, command, help=text)
    return parser


def _parser(description: str, **more: str) -> ArgumentParser:
    return ArgumentParser(
        description=description,
        exit_on_error=False,
        formatter_class=_Help,
        default_env=False,
        **more,
    )


def _demo_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--data", default="digits", metavar="SOURCE", help=f"{SOURCE} (default: digits, made imbalanced)")
    add("--size", type=_size, metavar="H[xW]", help="pixels that every image gets (default: 32 for a folder)")
    add("--rare", type=_names, metavar="CLASS,...", help="the rare classes (default: those with the fewest images)")
    add("--seeds", type=_whole(1), default=5, metavar="N", help="paired runs, as far as the time allows (default: 5)")
    add("--minutes", type=_minutes, default=5.0, metavar="T", help="time for all of it (default: 5)")
    add("--quick", action="store_true", help="a rough answer within a minute")
    add("--out", type=Path, default=Path("demo"), metavar="FOLDER", help="gets report.html, results.json (default: demo)")


def _fit_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--data", required=True, metavar="SOURCE", help=SOURCE)
    add("--size", type=_size, metavar="H[xW]", help="pixels that every image gets, 8 to 128 (default: as they are)")
    add("--kind", choices=("vae", "gan"), default="vae", help="of the generator; gan is sharper and slower (default: vae)")
    add("--steps", type=_whole(1), default=2000, metavar="N", help="of the optimiser (default: 2000)")
    add("--seed", type=_whole(0), default=0, metavar="N", help="the same seed gives the same generator (default: 0)")
    add("--out", type=Path, default=Path("generator"), metavar="FOLDER", help="gets the checkpoint (default: generator)")
    add("--resume", action="store_true", help="go on from the checkpoint in the folder, after Ctrl-C or a kill")


def _synthesize_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--checkpoint", type=Path, required=True, metavar="FILE", help="what torchaug fit wrote")
    add("--counts", type=_counts, metavar="CLASS=N,...", help="images of each class, such as 3=100,7=100")
    add("--per-class", type=_whole(1), metavar="N", help="images of every class, instead of --counts")
    add("--out", type=Path, default=Path("bank"), metavar="FOLDER", help="the bank; a rerun completes it (default: bank)")
    add("--seed", type=_whole(0), default=0, metavar="N", help="the same seed gives the same images (default: 0)")


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)


def _from_text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A type for the parser, which also calls it on defaults and on what it returned before."""
    return lambda value: parse(value) if isinstance(value, str) else value


def _whole(low: int) -> Callable[[Any], Any]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {low}, got {text!r}")
        return int(text)

    return _from_text(parse)


@_from_text
def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of minutes above 0, got {text!r}")
    return minutes


@_from_text
def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    sides = (height, width or height)
    if not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"expected pixels such as 32, or 32x48 for height x width, got {text!r}")
    return int(sides[0]), int(sides[1])


@_from_text
def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected class names with commas between, got {text!r}")
    return names


@_from_text
def _counts(text: str) -> dict[str, int]:
    counts = {}
    for part in text.split(","):
        name, sign, number = (piece.strip() for piece in part.rpartition("="))
        if not (sign and name and number.isdecimal()):
            raise argparse.ArgumentTypeError(f"expected CLASS=N with commas between, such as 3=100,7=100, got {part!r}")
        counts[name] = int(number)
    return counts
