"""torchaug verify, export, merge and drop."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace
from rich.console import Console

from torchaug.cli.progress import bar, say
from torchaug.cli.reading import COLUMNS, read_to_verify
from torchaug.cli.terminal import Misuse, check_folder, misuse, on_interrupt

if TYPE_CHECKING:
    from torchaug.data import Bank


class Bad(ValueError):
    """Something that was verified is not as it should be."""


def verify(options: Namespace, console: Console) -> None:
    """torchaug verify."""
    from torchaug.data.bank import is_bank

    if is_bank(options.data):
        for name in ("label", *COLUMNS):
            if getattr(options, name) is not None:
                raise Misuse(f"verify: --{name} is for tables, got it for the bank {options.data}; leave it out")
    with bar(console, "reading") as report:
        bad = _verify_bank(options, report) if is_bank(options.data) else _verify_items(options, report)
    for line in bad:
        say(console, line)
    if bad:
        raise Bad(f"verify: {len(bad)} bad in {options.data}")
    say(console, f"all of {options.data} can be read")


def _verify_bank(options: Namespace, report: Callable[[int, int], None]) -> list[str]:
    """What is wrong with a bank: a changed file, or shards that are not there."""
    from torchaug.data import Bank
    from torchaug.data.bank import damaged

    bad = damaged(options.data, report, workers=options.workers)
    if not bad:
        try:
            Bank(options.data)
        except (ValueError, OSError) as error:
            bad = [str(error)]
    return bad


def _verify_items(options: Namespace, report: Callable[[int, int], None]) -> list[str]:
    """The items of any other data set that cannot be read."""
    from torchaug.data import FileDataset

    data = read_to_verify(options)
    if not isinstance(data, FileDataset):
        return []  # what is in memory was read
    return [f"{error.path}: {error}" for error in data.verify(report, workers=options.workers)]


def export(options: Namespace, console: Console) -> None:
    """torchaug export."""
    with misuse():
        from torchaug.data.bank import export

        bank = _open(options.bank)
        if options.out.exists():
            raise Misuse(f"export: {options.out} is already there; name another --out")
        check_folder(options.out, "export")
        with bar(console, "exporting") as report, on_interrupt(lambda: f"there is no {options.out} yet"):
            export(bank, options.out, options.to, per_file=options.per_file, progress=report)
    say(console, f"{len(bank)} samples in {options.out}")


def merge(options: Namespace, console: Console) -> None:
    """torchaug merge."""
    kept = f"finished shards in {options.out} are kept, and the same command goes on from them"
    with misuse():
        from torchaug.data.bank import merge

        check_folder(options.out, "merge")
        banks = [_open(path) for path in options.banks]
        with bar(console, "merging") as report, on_interrupt(lambda: kept):
            merged = merge(banks, options.out, progress=report)
    say(console, f"{len(merged)} samples in {options.out}, of {len(banks)} banks")


def drop(options: Namespace, console: Console) -> None:
    """torchaug drop."""
    if (options.decisions is None) == (options.rows is None):
        raise Misuse("drop: expected either --decisions or --rows; pass one of them")
    if options.rows is not None and not options.reason:
        raise Misuse("drop: expected a --reason, which the bank remembers")
    with misuse():
        bank = _open(options.bank)
        if options.decisions is not None:
            less = bank.drop_reviewed(options.decisions)
        else:
            less = bank.drop(_indices(bank, options.rows), options.reason)
    say(
        console,
        f"{len(bank) - len(less)} samples were dropped, {len(less)} are left in {options.bank}; to be rid of them:",
    )
    say(console, f"  torchaug merge --banks {shlex.quote(str(options.bank))} --out NEW")


def _indices(bank: Bank, rows: list[int]) -> list[int]:
    """The places of rows, as `samples.csv` and reviews call them."""
    places = {row: index for index, row in enumerate(bank.rows.tolist())}
    unknown = [row for row in rows if row not in places]
    if unknown:
        raise Misuse(f"drop: --rows must be rows of {bank.path} that were not dropped, got {unknown[0]}")
    return [places[row] for row in rows]


def _open(path: Path) -> Bank:
    from torchaug.data import Bank

    return Bank(path)
