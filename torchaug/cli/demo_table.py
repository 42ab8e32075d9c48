"""torchaug demo --modality table."""

from __future__ import annotations

import csv
import io
import shlex
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jsonargparse import Namespace
from rich.console import Console

from torchaug.cli.demo import rare_classes, show_study, studying
from torchaug.cli.progress import say
from torchaug.cli.reading import columns_of, read_table_of
from torchaug.cli.terminal import Misuse, misuse

if TYPE_CHECKING:
    from torchaug.data import TableDataset

NOTE = (
    "Each seed holds out another {:.0%} of each class to test. The training sets of different seeds overlap, which makes the "
    "intervals somewhat too narrow."
)
SHARE = 0.5  # of the rows to test: of a rare class, fewer would make the scores a matter of luck


def demo_table(options: Namespace, console: Console) -> None:
    """Does synthetic data help to find rare rows? Seven ways to train, compared, and a report."""
    start = time.monotonic()
    options.data = options.data or "transactions"
    if options.size is not None or options.seconds is not None:
        raise Misuse("demo: --size is for images and --seconds for sounds; leave them out with --modality table")
    data = read_table_of(options)
    with misuse():
        from torchaug.evaluate.holdout import holdout
        from torchaug.training.table_arms import TABLE_ARMS
        from torchaug.training.table_study import check_lacking, check_smote, run_table_study

        classes, labels = list(data.classes or []), data.labels
        if labels is None or len(classes) < 2:
            raise Misuse(f"demo: expected a table with labels of two classes or more, got {options.data}; see --label")
        rare = rare_classes(options, classes, labels)
        split = partial(holdout, data, share=SHARE)
        train, _ = split(0)  # what cannot be split or studied is known before anything is trained
        check_lacking(train, rare, TABLE_ARMS)
        check_smote(train, rare, TABLE_ARMS)
        options.out.mkdir(parents=True, exist_ok=True)
    say(console, f"{options.data}: {len(data)} rows of {len(classes)} classes, {shape_of(data)}")
    say(console, f"rare classes: {', '.join(classes[c] for c in rare)}")
    with studying(options, console, f"{len(TABLE_ARMS)} ways to train", start) as plan:
        result = run_table_study(split, rare=rare, **plan)
    show_study(console, replace(result, notes=(*result.notes, NOTE.format(SHARE))), options.out)
    say(console, "next, a generator to keep:")
    say(console, f"  torchaug fit table --data {shlex.quote(options.data)}{_as_given(options)} --out generator")


def _as_given(options: Namespace) -> str:
    """How the table is read, as options."""
    texts = {} if options.label is None else {"label": options.label}  # one column, and no line of a CSV
    for name, names in columns_of(options).items():
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(names)
        texts[name] = line.getvalue()
    return "".join(f" --{name} {shlex.quote(text)}" for name, text in texts.items())


def shape_of(data: TableDataset) -> str:
    """What the columns are, in words."""
    return f"{data.numeric.shape[1]} numbers and {data.categorical.shape[1]} categories a row"
