"""Does synthetic data help to find rare rows of a table? The same classifier trained in several ways, on paired seeds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from torchaug.data.tables import TableDataset
from torchaug.evaluate.rare import RareScores
from torchaug.evaluate.results import TABLE_METRICS, ColumnSheet, RowSheet, StudyResult
from torchaug.tabular import SMOTE
from torchaug.training.fit import fit, seconds_per_step
from torchaug.training.load import KINDS, load_generator
from torchaug.training.resampler import Resampler
from torchaug.training.seeds import Report, run_seeds, study_result
from torchaug.training.table_arms import TABLE_ARMS, TableArm, is_rare, rows_to_add, train_table_arm
from torchaug.training.table_sheets import column_sheets, row_sheet

Split = Callable[[int], tuple[TableDataset, TableDataset]]
"""A seed to a training table and a test table; a module's function or an instance, since it goes to other processes."""
COMPARED = (
    ("real + synthetic", "real + oversampling"),
    ("real + synthetic", "real + SMOTE"),
    ("real + some synthetic", "real + SMOTE"),
    ("real + SMOTE", "real + oversampling"),
)
"""Besides every arm with the first."""
CORRECTED = (
    "Where class frequencies were changed, by weights or by added rows, probabilities are corrected for it before F1 and the "
    "Brier score: without that, every way of balancing looks better or worse at a threshold of a half than it is."
)
TREES = "The classifier is gradient-boosted trees. Linear models often gain nothing from balancing, or lose."
TOO_SHORT = (
    "The time allowed the generator {} of its {} steps: too few to judge by, and synthetic rows look worse here than they "
    "are."
)
NOTHING_ADDED = (
    "{} added nothing {}, and was trained on the real rows alone: rare rows are {:.2g} times as many as others already."
)
MADE = ("smote", "synthetic")
"""What is added by arms and made beforehand, once for all of them."""
_SPENT = 0.5
"""Share of the time that generators may take."""


@dataclass(frozen=True)
class TableSeedResult:
    """What one seed gave."""

    seed: int
    scores: dict[str, RareScores]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    columns: tuple[ColumnSheet, ...]
    rows: RowSheet | None
    seconds: float


def run_table_study(
    split: Split,
    *,
    rare: Sequence[int],
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    kind: str = "table-diffusion",
    steps: int | None = None,
    seconds: float | None = None,
    arms: Sequence[TableArm] = TABLE_ARMS,
    data: str = "",
    progress: Report | None = None,
    workers: int = 2,
) -> StudyResult:
    """Trains every arm on every seed, and compares.

    In one seed all arms share the training and test rows and the classifier: gradient-boosted trees, rare rows against all
    others. What is added to the training rows is made from them alone. An arm that has nothing to add, since rare rows are as
    frequent already as it would make them, is trained on the real rows alone, and a note says so.

    Args:
        split: seed to training and test rows.
        rare: numbers of the rare classes.
        seeds: of the paired runs.
        kind: of generator.
        steps: of the generator; None: the kind's default, or fewer where `seconds` are short.
        seconds: time for all of it.
        arms: the first is the baseline.
        data: what the data are called in the result.
        progress: called as parts are done.
        workers: seeds that run at the same time, each in a process of its own with one thread; 1 runs them here.

    Raises:
        ValueError: no seeds or arms, no labels, a rare class that does not exist, or one of which a single row is to train on;
            rare classes that are no rarer than the others together, so that no arm has anything to add.
    """
    start = time.monotonic()
    train, _ = split(seeds[0]) if seeds else (None, None)
    classes = [] if train is None else list(train.classes or [])
    if train is None or not arms or not rare or not set(rare) < set(range(len(classes))):
        raise ValueError(
            f"run_table_study: expected seeds, arms and some of the {len(classes)} classes as rare, got {len(seeds)} seeds, "
            f"{len(arms)} arms and rare classes {list(rare)}"
        )
    check_lacking(train, rare, arms)
    check_smote(train, rare, arms)
    caution = ""
    if seconds is not None:
        rounds = -(-min(3, len(seeds)) // workers)
        steps, caution = _affordable(kind, train, steps, _SPENT * seconds / rounds)
        seconds -= time.monotonic() - start
    with tempfile.TemporaryDirectory() as folder:
        job = _Job(split, tuple(rare), kind, steps, tuple(arms), Path(folder))
        parts = len(seeds) * (len(arms) + 1)
        results = run_seeds(job, seeds, parts=parts, seconds=seconds, workers=workers, progress=progress)
    idle = _nothing_added(results, rare, arms)
    return study_result(
        results,
        [
            replace(arm, text=f"{arm.text} Nothing was added {idle[arm.name][0]}.") if arm.name in idle else arm
            for arm in arms
        ],
        TABLE_METRICS,
        [pair for pair in COMPARED if not idle.keys() & set(pair)],
        wanted=len(seeds),
        notes=(*(NOTHING_ADDED.format(name, *found) for name, found in idle.items()), CORRECTED, TREES),
        caution=caution,
        data=data,
        classes=tuple(classes),
        rare=tuple(rare),
        steps=0,
        seconds=time.monotonic() - start,
        main="average_precision",
        unit="row",
        columns=results[0].columns,
        rows=results[0].rows,
    )


def check_lacking(train: TableDataset, rare: Sequence[int], arms: Sequence[TableArm]) -> None:
    """Refuses rare classes that no arm has a row to add to, where arms are there to add some.

    Raises:
        ValueError: with how many rows there are.
    """
    others, own = _others_and_rare(_counts(train), rare)
    adding = [arm for arm in arms if arm.added]
    if adding and not any(rows_to_add(arm, others, own) for arm in adding):
        names = ", ".join((train.classes or [])[number] for number in rare)
        raise ValueError(
            f"run_table_study: expected fewer rows of the rare classes ({names}) than of others to train on, got {own} and "
            f"{others}: there is nothing to add to them; name rarer ones (rare=, --rare), or leave out the arms that add rows"
        )


def check_smote(train: TableDataset, rare: Sequence[int], arms: Sequence[TableArm]) -> None:
    """Refuses rare classes in which SMOTE has no two rows to lie between.

    Raises:
        ValueError: with the class and the rows that there are.
    """
    counts = _counts(train)
    lone = [number for number in rare if counts[number] < 2]
    if lone and any(arm.added == "smote" for arm in arms):
        raise ValueError(
            f"run_table_study: expected at least 2 rows of each rare class to train on, since SMOTE's lie between two, got "
            f"{counts[lone[0]]} of {(train.classes or [])[lone[0]]!r}; add rows, or leave SMOTE out of the arms"
        )


def _nothing_added(
    results: Sequence[TableSeedResult], rare: Sequence[int], arms: Sequence[TableArm]
) -> dict[str, tuple[str, float]]:
    """Arms that had nothing to add in some seed: in which, and how many rare rows there were for each other one."""
    sizes = [_others_and_rare(result.train_counts, rare) for result in results]
    found = {}
    for arm in arms:
        idle = [own / others for others, own in sizes if arm.added and not rows_to_add(arm, others, own)]
        if idle:
            where = "here" if len(idle) == len(sizes) else f"in {len(idle)} of {len(sizes)} seeds"
            found[arm.name] = (where, min(idle))
    return found


def _others_and_rare(counts: Sequence[int], rare: Sequence[int]) -> tuple[int, int]:
    own = sum(counts[number] for number in rare)
    return sum(counts) - own, own


def _affordable(kind: str, train: TableDataset, steps: int | None, seconds: float) -> tuple[int, str]:
    """The steps of a generator that fit the time, and what a reader must know where these are fewer than they should be."""
    most = max(1, int(seconds / seconds_per_step(kind, train)))
    usual = KINDS[kind].default_steps(train) if steps is None else steps
    return min(usual, most), TOO_SHORT.format(most, usual) if most < usual else ""


@dataclass(frozen=True)
class _Job:
    split: Split
    rare: tuple[int, ...]
    kind: str
    steps: int | None
    arms: tuple[TableArm, ...]
    out: Path

    def __call__(self, seed: int, report: Callable[[str], None]) -> TableSeedResult:
        """Everything for one seed."""
        start = time.monotonic()
        train, test = self.split(seed)
        extra = self._extra(train, seed)
        report(f"seed {seed}: generator")
        scores = {}
        for arm in self.arms:
            scores[arm.name] = train_table_arm(arm, train, test, extra, self.rare, seed)
            report(f"seed {seed}: {arm.name}")
        shown: dict[str, Any] = {"columns": (), "rows": None}
        if "synthetic" in extra:  # of every seed: which ones fit the time is not known yet
            own = [data.subset(is_rare(data, self.rare).nonzero()[:, 0]) for data in (train, test)]
            shown["columns"] = column_sheets(own[0], extra["synthetic"])
            shown["rows"] = row_sheet(extra["synthetic"], *own)
        counts = [tuple(_counts(data)) for data in (train, test)]
        return TableSeedResult(seed, scores, counts[0], counts[1], **shown, seconds=time.monotonic() - start)

    def _extra(self, train: TableDataset, seed: int) -> dict[str, TableDataset]:
        """Rows of the rare classes, in the shares that these have, as many as balance."""
        counts = _counts(train)
        own = torch.tensor(counts)[list(self.rare)]
        sizes = _others_and_rare(counts, self.rare)
        lacking = rows_to_add(TableArm("", "", added="all"), *sizes)
        wanted = {arm.added for arm in self.arms if arm.added in MADE and rows_to_add(arm, *sizes)}
        share = torch.arange(lacking) % int(own.sum())  # each real row of the rare classes as often as any other
        labels = torch.tensor(list(self.rare))[torch.searchsorted(own.cumsum(0), share, right=True)]
        made: dict[str, TableDataset] = {}
        if "smote" in wanted:
            made["smote"] = Resampler(SMOTE(train), train).sample(lacking, labels, seed=seed)
        if "synthetic" in wanted:
            folder = self.out / f"seed-{seed}"
            path = fit(self.kind, train, out=folder, steps=self.steps, seed=seed, every=0)
            made["synthetic"] = load_generator(path).sample(lacking, labels, seed=seed)
        return made


def _counts(data: TableDataset) -> list[int]:
    assert data.labels is not None
    counts: list[int] = data.labels.bincount(minlength=len(data.classes or [])).tolist()
    return counts
