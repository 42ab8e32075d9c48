"""torchaug fit and torchaug synthesize."""

from __future__ import annotations

import shlex
from pathlib import Path

from jsonargparse import Namespace
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torchaug.cli.terminal import Misuse, bar, misuse, on_interrupt, read_images, say, shape_of


def fit(options: Namespace, console: Console) -> None:
    """torchaug fit."""
    data = read_images(options, console)
    with misuse():
        from torchaug.training.arms import default_augment
        from torchaug.training.fit import FILE, fit

        file = options.out / FILE
        if file.exists() and not options.resume:
            raise Misuse(f"fit: {file} is already there; go on from it with --resume, or name another --out")
        say(console, f"{len(data)} images of {len(data.classes)} classes, {shape_of(data)}; kind {options.kind}")
        with bar(console, "training") as report, on_interrupt(lambda: _checkpoint_kept(file)):
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
    say(console, f"the generator is in {file}, grids of samples beside it; next:")
    say(console, f"  torchaug synthesize --checkpoint {shlex.quote(str(file))} --per-class 100 --out bank")


def _checkpoint_kept(file: Path) -> str:
    if file.exists():
        return f"{file} is kept, go on from it with --resume"
    return "it was too early for a checkpoint"


def synthesize(options: Namespace, console: Console) -> None:
    """torchaug synthesize."""
    if (options.counts is None) == (options.per_class is None):
        raise Misuse("synthesize: expected either --counts or --per-class; pass one of them")
    with misuse():
        from torchaug.training.load import load_generator
        from torchaug.training.plan import launched_as
        from torchaug.training.synthesize import synthesize

        rank, world_size = options.part or launched_as()
        generator = load_generator(options.checkpoint)
        counts = options.counts or dict.fromkeys(generator.classes, options.per_class)
        kept = f"finished shards in {options.out} are kept, and the same command goes on from them"
        part = f"part {rank} of {world_size}" if world_size > 1 else ""
        with bar(console, f"making images{part and ', ' + part}") as report, on_interrupt(lambda: kept):
            bank = synthesize(
                generator,
                counts,
                options.out,
                rank=rank,
                world_size=world_size,
                seed=options.seed,
                shard_size=options.shard_size,
                batch_size=options.batch_size,
                device=options.device,
                progress=report,
            )
    if part:
        say(console, f"{part} is done")
    if bank is None:
        say(console, f"{options.out} is not whole yet: other parts are being made, or have to be run again")
        return
    table = Table("class", "images", box=box.SIMPLE)
    for name, count in bank.counts().items():
        table.add_row(escape(name), str(count))
    console.print(table)
    say(console, f"{len(bank)} images in {options.out}; mix them with real data:")
    say(console, "  from torchaug.data import Bank, MixedDataset, Source")
    say(console, f"  data = MixedDataset([Source.real(your_data), Source.bank(Bank({str(options.out)!r}))])")
