"""torchaug demo."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich import box
from rich.console import Console
from rich.table import Table

from torchaug.cli.progress import bar, say
from torchaug.cli.reading import COLUMNS, read_images, read_sounds, shape_of
from torchaug.cli.terminal import Misuse, check_folder, misuse, on_interrupt

if TYPE_CHECKING:
    from torch import Tensor

    from torchaug.evaluate.results import Interval, StudyResult
    from torchaug.training.study import Provider

DEMO_SIDE = 16  # larger images are shrunk to this in a demo: a study of them would take hours on a CPU
DEMO_SECONDS, DEMO_RATE = 1.0, 16000  # and sounds, for the same reason
KINDS, UNITS = {"image": "vae", "audio": "audio"}, {"image": "images", "audio": "sounds"}
MADE_RARE = {  # of the named sets that are made imbalanced: which classes, and samples of these and of others to train on
    "digits": ([3, 7, 8], 5, 80),
    "vowels": ([1, 4], 8, 60),
    "spoken_digits": ([3, 7, 8], 5, 30),
}
MINUTES, QUICK_SECONDS = 5.0, 56.0
END_SECONDS = 5.0  # of the time, kept for ending the processes and for the report
TOO_SHORT = (
    "The time allowed {} of the usual {} optimiser steps, and as small a share of the generator's: too few to judge by. "
    "Augmentation and synthetic data, which need more of them, look worse here than they are."
)


def demo(options: Namespace, console: Console) -> None:
    """torchaug demo."""
    if options.quick and options.minutes is not None:
        raise Misuse("demo: expected --quick or --minutes, got both; pass one of them")
    check_folder(options.out, "demo")
    if options.modality == "table":
        from torchaug.cli.demo_table import demo_table

        demo_table(options, console)
        return
    start = time.monotonic()
    named = {"image": "digits", "audio": "vowels"}[options.modality]
    options.data = options.data or named
    data = _read(options, console)
    with misuse():
        import torch

        from torchaug.training.samples import labelled
        from torchaug.training.study import ARMS, recipe_for, run_study

        torch.set_num_threads(1)  # the study's processes have one each, and its plan is timed in this one
        labels, classes = labelled(data)
        rare = rare_classes(options, classes, labels)
        provider, note = _provider(options, data, rare)
        provider(0)  # a split that cannot be made is known before anything is trained
        options.out.mkdir(parents=True, exist_ok=True)
    say(console, f"{options.data}: {len(data)} {UNITS[options.modality]} of {len(classes)} classes, {shape_of(data)}")
    say(console, f"rare classes: {', '.join(classes[c] for c in rare)}")
    with studying(options, console, f"{len(ARMS)} ways to train at equal steps", start) as plan:
        result = run_study(provider, rare=rare, **plan)
    usual = recipe_for(data).steps
    caution = TOO_SHORT.format(result.steps, usual) if result.steps < usual else ""
    show_study(console, replace(result, notes=(*result.notes, note), caution=caution), options.out)
    if options.data == named:
        modality = "" if options.modality == "image" else f"--modality {options.modality} "
        say(
            console, f"next, the same with your own {UNITS[options.modality]}:\n  torchaug demo {modality}--data FOLDER"
        )
    else:
        say(console, "next, a generator to keep:")
        say(console, f"  torchaug fit {KINDS[options.modality]} --data {shlex.quote(options.data)} --out generator")


def _read(options: Namespace, console: Console) -> Any:
    """The images or sounds to study."""
    for other in ("seconds" if options.modality == "image" else "size", "label", *COLUMNS):
        if getattr(options, other) is not None:
            raise Misuse(f"demo: --{other} is not for {UNITS[options.modality]}; leave it out")
    if options.modality == "image":
        return read_images(options, console, largest=DEMO_SIDE)
    return read_sounds(options, console, DEMO_SECONDS, DEMO_RATE)


@contextmanager
def studying(options: Namespace, console: Console, ways: str, start: float) -> Iterator[dict[str, Any]]:
    """Says what a study will do, and yields how: its seeds, the time left since `start`, and where it reports."""
    seconds = QUICK_SECONDS if options.quick else 60 * (options.minutes or MINUTES)
    say(console, f"{ways}, up to {options.seeds} seeds, {seconds / 60:.3g} minutes")
    kept = f"a study is whole or nothing, and what {options.out} held before is unchanged"
    with bar(console, "training") as report, on_interrupt(lambda: kept):
        left = max(1.0, seconds - END_SECONDS - (time.monotonic() - start))
        yield {"seeds": range(options.seeds), "seconds": left, "data": options.data, "progress": report}


def show_study(console: Console, result: StudyResult, out: Path) -> None:
    """Writes a study down, the numbers first, and prints it."""
    from torchaug.data.files import replace_file
    from torchaug.explore.report import headline, verdicts, write_report

    replace_file(out / "results.json", (json.dumps(result.to_json(), indent=1) + "\n").encode())
    base = result.arms[0].name
    table = Table("trained on", *(metric.title for metric in result.metrics), f"against {base}", box=box.SIMPLE)
    styles = {"helped": "green", "hurt": "red", "no measurable difference": "dim"}
    for arm in result.arms:
        difference = result.difference(arm.name, base)
        verdict = difference.verdict if difference else ""
        cells = (_cell(interval) for interval in arm.intervals.values())
        table.add_row(arm.name, *cells, verdict, style="bold" if arm is result.best() else styles.get(verdict))
    console.print(table)
    say(console, f"mean ± half of the 95 % interval, {len(result.seeds)} paired seeds, {result.seconds:.0f} seconds")
    for line in ("", headline(result), *(f"- {verdict}" for verdict in verdicts(result)), "", *result.notes, ""):
        console.print(line, markup=False)
    report = write_report(result, out / "report.html")
    say(console, f"report: {report}\nnumbers: {out / 'results.json'}")


def _cell(interval: Interval) -> str:
    half = (interval.high - interval.low) / 2
    return f"{interval.mean:.3f}" if math.isnan(half) else f"{interval.mean:.3f} ± {half:.3f}"


def rare_classes(options: Namespace, classes: Sequence[str], labels: Tensor) -> list[int]:
    """The numbers of the rare classes."""
    from torchaug.evaluate.holdout import rarest

    unknown = [name for name in options.rare or [] if name not in classes]
    if unknown or (options.rare and len(set(options.rare)) == len(classes)):
        got = repr(unknown[0]) if unknown else "all of them"
        raise Misuse(f"demo: --rare must name some of the classes {', '.join(classes)}, got {got}")
    if options.rare:
        return sorted({list(classes).index(name) for name in options.rare})
    return MADE_RARE[options.data][0] if options.data in MADE_RARE else rarest(labels, len(classes))


def _provider(options: Namespace, data: Any, rare: list[int]) -> tuple[Provider, str]:
    """What a seed trains and tests on, and what a reader should know about it."""
    from torchaug.evaluate.holdout import holdout
    from torchaug.training.study import ImbalancedDraw

    if options.data in MADE_RARE:
        return ImbalancedDraw(data, tuple(rare), *MADE_RARE[options.data][1:]), (
            f"The intervals cover what changes from seed to seed: the draw of training {UNITS[options.modality]} and the "
            f"training itself. The test {UNITS[options.modality]} are the same in every seed, so they say little about other "
            "data."
        )
    return partial(holdout, data), (
        "Each seed holds out another 30 % of each class to test. The training sets of different seeds overlap, which "
        "makes the intervals somewhat too narrow."
    )
