"""torchaug fit and torchaug synthesize."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torchaug.cli.fit_arguments import SHORT
from torchaug.cli.terminal import CHAINS, Misuse, bar, described, misuse, on_interrupt, read_chain, read_samples, say


def fit(options: Namespace, console: Console) -> None:
    """torchaug fit."""
    console.quiet = os.environ.get("LOCAL_RANK", "0") != "0"  # one process of several speaks
    if options.steps is not None and options.minutes is not None:
        raise Misuse("fit: expected --steps or --minutes, got both; pass one of them")
    data = read_samples(options, console)
    kind = SHORT.get(options.kind, options.kind)
    with misuse(), _of_lightning():
        from torchaug.training.fit import FILE, fit

        augment = _augment(vars(options).get("augment"), kind, data)

        file = options.out / FILE
        if file.exists() and not options.resume:
            raise Misuse(f"fit: {file} is already there; go on from it with --resume, or name another --out")
        say(console, f"{described(data)}; kind {kind}")
        seen = [(0, 0)]

        def watched(done: int, total: int, metrics: Mapping[str, float]) -> None:
            seen[0] = (done, total)
            report(done, total, _measured(metrics))

        with (
            bar(console, "training") as report,
            on_interrupt(lambda: _checkpoint_kept(file)),
            _notes(console),
        ):
            fit(
                kind,
                data,
                out=options.out,
                steps=options.steps,
                seconds=60 * options.minutes if options.minutes else None,
                seed=options.seed,
                augment=augment,
                resume=options.resume,
                progress=watched,
                holdout=options.holdout,
                settings=_without_none(options.model),
                trainer=_without_none(options.trainer),
                batch_size=options.batch_size,
            )
    if seen[0][0] < seen[0][1]:
        say(console, f"the training ended at step {seen[0][0]} of {seen[0][1]}, before samples became copies or alike")
    say(console, f"the generator is in {file}, samples beside it; next:")
    amount = "--per-class 100" if data.labels is not None else "--counts 1000"
    say(console, f"  torchaug synthesize --checkpoint {shlex.quote(str(file))} {amount} --out bank")


def _augment(name: str | None, kind: str, data: Any) -> Any:
    """What --augment names."""
    from torchaug.data import TensorWaveforms
    from torchaug.training.arms import default_augment
    from torchaug.training.audio_arms import default_audio_augment

    if name is None:
        name = (
            "default" if kind == "gan" else "none"
        )  # a GAN copies few images without it; others learn what it changes
    if name == "none":
        return None
    if name == "default":
        return default_audio_augment(data.sample_rate) if isinstance(data, TensorWaveforms) else default_augment()
    if not name.endswith(CHAINS):
        raise Misuse(f"fit: --augment must be default, none or a .json or .yaml file, got {name!r}")
    return read_chain(name)


@contextmanager
def _of_lightning() -> Iterator[None]:
    """What Lightning finds wrong with --trainer."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except MisconfigurationException as error:
        raise Misuse(f"fit: --trainer: {error}") from error


def _without_none(options: Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if value is not None}


def _measured(metrics: Mapping[str, float]) -> str:
    """What a progress bar says beside its numbers."""
    shown = {"loss": "loss", "monitor/c2st": "C2ST", "monitor/nearest_neighbour_ratio": "nearest neighbour"}
    return ", ".join(f"{text} {metrics[name]:.3g}" for name, text in shown.items() if name in metrics)


@contextmanager
def _notes(console: Console) -> Iterator[None]:
    """Warnings as lines, when all is done: in the middle they would break the bar."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        say(console, f"note: {text}")


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
        counts = _counts(options, generator.classes)
        settings = (options.set or {}) | ({"given": options.given} if options.given else {})
        kept = f"finished shards in {options.out} are kept, and the same command goes on from them"
        part = f"part {rank} of {world_size}" if world_size > 1 else ""
        with bar(console, f"making samples{part and ', ' + part}") as report, on_interrupt(lambda: kept):
            bank = synthesize(
                generator,
                counts,
                options.out,
                rank=rank,
                world_size=world_size,
                seed=options.seed,
                settings=settings,
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
    if bank.classes:
        table = Table("class", "samples", box=box.SIMPLE)
        for name, count in bank.counts().items():
            table.add_row(escape(name), str(count))
        console.print(table)
    say(console, f"{len(bank)} samples in {options.out}; mix them with real data:")
    say(console, "  from torchaug.data import Bank, MixedDataset, Source")
    say(console, f"  data = MixedDataset([Source.real(your_data), Source.bank(Bank({str(options.out)!r}))])")


def _counts(options: Namespace, classes: Sequence[str]) -> dict[str, int] | int:
    """What was asked for, of classes where there are any."""
    if options.per_class is not None and not classes:
        raise Misuse("synthesize: this generator knows no classes; pass --counts N instead of --per-class")
    if isinstance(options.counts, int) and classes:
        raise Misuse(
            f"synthesize: expected --counts of classes ({', '.join(classes)}), got {options.counts}; or --per-class"
        )
    wanted: dict[str, int] | int = options.counts or dict.fromkeys(classes, options.per_class)
    return wanted
