"""The arguments of the command line: what each command takes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from jsonargparse import ArgumentParser

from torchaug.cli.values import columns, counts, fields, minutes, names, pairs, part, seconds, size, whole, wholes

ABOUT = """\
Make a small, imbalanced or sensitive image data set train a better model.

The road: train a generator on your images (fit), make a bank of synthetic
images with it (synthesize), mix the bank with the real data in training.
demo goes the whole road and measures whether it helped."""

SOURCE = (
    "a folder with a folder of images or sounds for each class, a .csv or .parquet, a .tar, a named set (digits, "
    "breast_cancer, vowels), or module:attribute of a Dataset"
)


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)
        self._action_max_length = 16  # argparse forgets that commands are indented, and breaks the longest one's line

    def add_argument(self, action: argparse.Action) -> None:
        if not action.dest.startswith(("model.", "trainer")):  # there are dozens: a kind names them in its last lines
            super().add_argument(action)


def build_parser(words: Sequence[str] = ()) -> ArgumentParser:
    """The arguments of all commands; of the kinds of generators only for the kind that is among the words."""
    parser = ArgumentParser(
        prog="torchaug",
        version=version("torchaug-synth"),
        description=ABOUT,
        exit_on_error=False,
        formatter_class=_Help,
    )
    commands = parser.add_subcommands(title="commands", metavar="COMMAND")
    for name, describe, text in (
        ("demo", _demo_arguments, "does synthetic data help? train seven ways, compare, and write a report"),
        ("fit", partial(_fit_arguments, words), "train a generator on your images, table or sounds"),
        ("synthesize", _synthesize_arguments, "make a bank of synthetic samples with a trained generator"),
        ("verify", _verify_arguments, "read everything in a data set or a bank, and list what is bad"),
        ("drop", _drop_arguments, "leave samples out of a bank from now on"),
        ("merge", _merge_arguments, "make one bank of several, without what was dropped"),
        ("export", _export_arguments, "write a bank as image, sound or text files, Parquet, CSV or tars"),
        ("bench-loader", _bench_loader_arguments, "where the time of a batch goes, and how to load faster"),
    ):
        command = command_parser(name, text)
        describe(command)
        commands.add_subcommand(name, command, help=text)
    return parser


def command_parser(name: str, text: str) -> ArgumentParser:
    """The parser of a command."""
    command = ArgumentParser(
        usage=f"torchaug {name} [options]",
        description=f"{text[0].upper()}{text[1:]}.",
        exit_on_error=False,
        formatter_class=_Help,
    )
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return command


def add_columns(command: ArgumentParser) -> None:
    """Options that name columns of a table."""
    for name, text in (
        ("drop", "to leave out, such as ids and free text"),
        ("categorical", "that are categories whatever they look like"),
        ("numeric", "that are numbers whatever they look like"),
    ):
        command.add_argument(f"--{name}", type=columns, metavar="COLUMN,...", help=f"columns of a table {text}")


def _demo_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--modality", choices=("image", "audio", "table"), default="image", help="what the data are (default: image)")
    add("--data", metavar="SOURCE", help=f"{SOURCE} (default: digits or vowels, made imbalanced, or transactions)")
    add("--label", metavar="COLUMN", help="of a table, with its classes (default: label)")
    add_columns(command)
    add("--size", type=size, metavar="H[xW]", help="pixels that every image gets (default: at most 16x16)")
    add("--seconds", type=seconds, metavar="T", help="of each sound, from its beginning on (default: at most 1)")
    add("--rare", type=names, metavar="CLASS,...", help="the rare classes (default: those with the fewest samples)")
    add("--seeds", type=whole(1), default=5, metavar="N", help="paired runs, as far as the time allows (default: 5)")
    add("--minutes", type=minutes, metavar="T", help="time for all of it (default: 5)")
    add("--quick", action="store_true", help="a rough answer within a minute, instead of --minutes")
    add(
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="FOLDER",
        help="gets report.html, results.json (default: demo)",
    )


def _fit_arguments(words: Sequence[str], command: ArgumentParser) -> None:
    from torchaug.cli.fit_arguments import add_kind

    add_kind(command, words)


def _synthesize_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--checkpoint", type=Path, required=True, metavar="FILE", help="what torchaug fit wrote")
    add(
        "--counts",
        type=counts,
        metavar="CLASS=N,...",
        help="of each class, or N without classes; '\"a,b=3\"' with a comma",
    )
    add("--per-class", type=whole(1), metavar="N", help="samples of every class, instead of --counts")
    add("--top-up", metavar="HOW", help="balance, sqrt or ratio:0.3: what the classes of --data lack")
    add("--data", metavar="SOURCE", help="the real data, as for fit, with --top-up; their classes are counted")
    add("--label", metavar="COLUMN", help="of a table in --data, with its classes (default: label)")
    text = "what rows of a table must have, such as job=cook; job= for none, '\"town=Bath, UK\"' with a comma"
    add("--given", type=fields, metavar="COLUMN=V,...", help=text)
    add("--set", type=pairs, metavar="NAME=V,...", help="the generator's own options, such as truncation=0.7")
    add(
        "--out",
        type=Path,
        default=Path("bank"),
        metavar="FOLDER",
        help="the bank; a rerun completes it (default: bank)",
    )
    add("--seed", type=whole(0), default=0, metavar="N", help="the same seed gives the same samples (default: 0)")
    add("--shard-size", type=whole(1), default=1024, metavar="N", help="samples in a file (default: 1024)")
    add("--batch-size", type=whole(1), default=256, metavar="N", help="samples made at once (default: 256)")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda or cuda:1 (default: a GPU, if there is one)")
    add(
        "--part",
        type=part,
        metavar="R/W",
        help="make part R, from 0, of W; torchrun needs no such option (default: 0/1)",
    )


def _verify_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--data", required=True, metavar="SOURCE", help=f"a bank, {SOURCE}")
    add("--label", metavar="COLUMN", help="a table's column of classes, or none (default: label)")
    add_columns(command)
    add("--workers", type=whole(0), default=0, metavar="N", help="that read at the same time (default: 0)")


def _drop_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--bank", type=Path, required=True, metavar="FOLDER", help="which remembers what was dropped")
    add("--decisions", type=Path, metavar="FILE", help="a review, in JSON; what it rejects is dropped")
    add("--rows", type=whole(0), nargs="+", metavar="N", help="what to drop instead, as samples.csv numbers rows")
    add("--reason", metavar="TEXT", help="why, with --rows")


def _merge_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--banks", type=Path, nargs="+", required=True, metavar="FOLDER", help="one or more, with the same columns")
    add("--out", type=Path, required=True, metavar="FOLDER", help="the new bank; a rerun completes it")


def _export_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--bank", type=Path, required=True, metavar="FOLDER", help="without what was dropped from it")
    add("--to", choices=("folder", "parquet", "csv", "webdataset"), default="folder", help="(default: folder)")
    add("--out", type=Path, required=True, metavar="FOLDER", help="that is not there yet")
    add("--per-file", type=whole(1), default=1000, metavar="N", help="samples in a Parquet file or tar (default: 1000)")


def _bench_loader_arguments(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--data", required=True, metavar="SOURCE", help=SOURCE)
    add("--size", type=size, metavar="H[xW]", help="pixels that every image gets (default: as they are)")
    add(
        "--transform",
        default="default",
        metavar="NAME",
        help="a recipe such as simclr, a .json or .yaml of a chain, or none (default: crop, flip, colour jitter)",
    )
    add(
        "--step",
        default="resnet18",
        metavar="NAME",
        help="a classifier of torchvision to train, module:attribute called with each batch, or none (default: resnet18)",
    )
    add("--batch-size", type=whole(1), default=64, metavar="N", help="samples of a batch (default: 64)")
    add("--workers", type=wholes, metavar="N,...", help="processes to try (default: 0 and 1 up to the processors)")
    add("--depth", type=wholes, default=[2], metavar="N,...", help="batches ahead to try on a GPU (default: 2)")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda or cuda:1 (default: a GPU, if there is one)")
    add("--seconds", type=whole(1), default=60, metavar="T", help="time for all of it (default: 60)")
