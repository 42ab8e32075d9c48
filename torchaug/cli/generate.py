"""torchaug fit and torchaug synthesize."""

from __future__ import annotations

import os
import shlex
import warnings
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torchaug.cli import values
from torchaug.cli.bounds import in_numbers
from torchaug.cli.fit_arguments import SHORT
from torchaug.cli.progress import bar, say
from torchaug.cli.reading import CHAINS, class_counts, described, read_chain, read_samples
from torchaug.cli.terminal import Misuse, check_folder, misuse, on_interrupt

if TYPE_CHECKING:
    from torchaug.models.privacy import Privacy
    from torchaug.training.synthesizer import Synthesizer

HOLDOUT = 0.1
"""Share of the data that a training is watched by."""


def fit(options: Namespace, console: Console) -> None:
    """torchaug fit."""
    console.quiet = os.environ.get("LOCAL_RANK", "0") != "0"  # one process of several speaks
    if options.steps is not None and options.minutes is not None:
        raise Misuse("fit: expected --steps or --minutes, got both; pass one of them")
    check_folder(options.out, "fit")
    privacy = _privacy(options)
    data = read_samples(options, console)
    kind = SHORT.get(options.kind, options.kind)
    with misuse(), _of_lightning():
        from torchaug.training.fit import FILE, fit

        augment = _augment(_augmented_by(options, kind), data)

        file = options.out / FILE
        if file.exists() and not options.resume:
            raise Misuse(f"fit: {file} is already there; go on from it with --resume, or name another --out")
        say(console, f"{described(data)}; kind {kind}")
        for note in getattr(data, "notes", []):
            say(console, f"note: {note}")
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
                holdout=_held_out(options),
                settings=_settings(options, data),
                trainer=_without_none(options.trainer),
                batch_size=options.batch_size,
                privacy=privacy,
            )
    if seen[0][0] < seen[0][1]:
        say(console, f"the training ended at step {seen[0][0]} of {seen[0][1]}, before samples became copies or alike")
    if privacy is not None:
        say(console, _cost(file))
    say(console, f"the generator is in {file}, samples beside it; next:")
    amount = "--per-class 100" if data.labels is not None else "--counts 1000"
    say(console, f"  torchaug synthesize --checkpoint {shlex.quote(str(file))} {amount} --out bank")


def _privacy(options: Namespace) -> Privacy | None:
    """What --epsilon and the options beside it ask for."""
    given = {name: getattr(options, name) for name in ("epsilon", "delta", "max_norm") if getattr(options, name)}
    if options.epsilon is None:
        beside = [*given, *(["bounds"] if vars(options).get("bounds") else [])]
        if beside:
            name = beside[0].replace("_", "-")
            raise Misuse(f"fit: --{name} is for differential privacy; pass --epsilon too, or leave it out")
        return None
    if options.minutes is not None:
        raise Misuse("fit: with --epsilon expected --steps, since the noise depends on them, got --minutes")
    with misuse():
        from torchaug.models.privacy import Privacy

        return Privacy(**given)


def _held_out(options: Namespace) -> float:
    """The share to watch a training by; with privacy nothing may look at the data but the training."""
    by_default = HOLDOUT if options.epsilon is None else 0.0
    found: float = by_default if options.holdout is None else options.holdout
    return found


def _settings(options: Namespace, data: Any) -> dict[str, Any]:
    """What differs from the settings that suit the data."""
    bounds = vars(options).get("bounds")
    return _without_none(options.model) | ({"bounds": in_numbers(bounds, data)} if bounds else {})


def _cost(file: Path) -> str:
    """What a training with differential privacy has cost, as its checkpoint says it."""
    from torchaug.training.load import read_checkpoint

    found = read_checkpoint(file)["torchaug"]["privacy"]
    return f"differential privacy of rows: epsilon {found['epsilon']:.4g} at delta {found['delta']:.3g}"


def _augmented_by(options: Namespace, kind: str) -> str:
    """The name of --augment. A GAN copies few images without one; others learn what it changes; privacy allows none."""
    by_default = "default" if kind == "gan" and options.epsilon is None else "none"
    return vars(options).get("augment") or by_default


def _augment(name: str, data: Any) -> Any:
    """What --augment names."""
    from torchaug.data import TensorWaveforms
    from torchaug.training.arms import default_augment
    from torchaug.training.audio_arms import default_audio_augment

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
    shown = {
        "gamma": "tried gamma",
        "loss": "loss",
        "monitor/c2st": "C2ST",
        "monitor/nearest_neighbour_ratio": "nearest neighbour",
    }
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
    ways = [options.counts, options.per_class, options.top_up]
    if sum(way is not None for way in ways) != 1:
        raise Misuse("synthesize: expected one of --counts, --per-class and --top-up; pass one of them")
    if (options.top_up is None) != (options.data is None) or (options.label and not options.data):
        raise Misuse("synthesize: --top-up needs --data, the real data; --data and --label are for --top-up alone")
    check_folder(options.out, "synthesize")
    with misuse():
        from torchaug.training.load import load_generator
        from torchaug.training.plan import launched_as
        from torchaug.training.synthesize import synthesize

        rank, world_size = options.part or launched_as()
        generator = load_generator(options.checkpoint)
        counts = _counts(options, generator, console)
        settings = (options.set or {}) | ({"given": _given(options.given, generator)} if options.given else {})
        _try(generator, settings)
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
    if options.top_up is not None:
        say(console, "what a classifier trained on both says is too high for the classes with more; take it back with")
        say(console, f"  prior_correct(scores, TopUp({options.top_up!r}).prior_shift(your_data)), of torchaug.data")


def _given(fields: list[str], generator: Synthesizer) -> Mapping[str, Any]:
    """What --given asks for: text of a table's columns; of other generators whatever it looks like."""
    table = generator.attributes.get("table")
    try:
        if table is not None:
            return values.of_columns(fields, [column["name"] for column in table["columns"]])
        found: dict[str, Any] = values.pairs(",".join(fields))
        return found
    except (ValueError, ArgumentTypeError) as error:
        raise Misuse(f"synthesize: --given: {error}") from None


def _try(generator: Synthesizer, settings: Mapping[str, Any]) -> None:
    """Refuses what the generator does not take before a bank is begun, which would then want the same settings again."""
    try:
        generator.sample(1, **settings)
    except (ValueError, TypeError) as error:
        raise Misuse(f"synthesize: --set or --given do not fit: {error}") from error


def _counts(options: Namespace, generator: Synthesizer, console: Console) -> dict[str, int] | int:
    """What was asked for, of classes where there are any."""
    classes, seen = generator.classes, generator.trained_classes
    if options.counts is None and not classes:
        way = "--per-class" if options.per_class is not None else "--top-up"
        raise Misuse(f"synthesize: this generator knows no classes; pass --counts N instead of {way}")
    if options.top_up is not None:
        return _lacking(options, "table" in generator.attributes)
    if isinstance(options.counts, int) and classes:
        raise Misuse(
            f"synthesize: expected --counts of classes ({', '.join(classes)}), got {options.counts}; or --per-class"
        )
    if options.counts is None and len(seen) < len(classes):
        others = ", ".join(name for name in classes if name not in seen)
        say(console, f"note: left out are classes that the training data had no sample of: {others}")
    wanted: dict[str, int] | int = options.counts or dict.fromkeys(seen, options.per_class)
    return wanted


def _lacking(options: Namespace, table: bool) -> dict[str, int]:
    """What --top-up adds to the classes of --data."""
    from torchaug.data import TopUp

    wanted = TopUp(options.top_up)  # a word that it does not know is said before the data are looked at
    real = class_counts(options, table)
    lacking = wanted.counts(real)
    if not lacking:
        have = ", ".join(f"{name} {count}" for name, count in real.items())
        raise Misuse(f"synthesize: --top-up {options.top_up} has nothing to add to {options.data} ({have})")
    return lacking
