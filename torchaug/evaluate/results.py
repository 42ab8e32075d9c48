"""What a study found, as plain frozen data: the training side fills it in, the report and the command line read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

Verdict = Literal["helped", "hurt", "no measurable difference"]


@dataclass(frozen=True)
class Metric:
    """What is measured.

    Args:
        name: in JSON.
        title: in tables and sentences.
        short: after "Rare classes are found best with ...:".
        less: whether less is better.
    """

    name: str
    title: str
    short: str = ""
    less: bool = False


IMAGE_METRICS = (
    Metric("accuracy", "accuracy"),
    Metric("macro_f1", "macro F1"),
    Metric("rare_recall", "rare-class recall", "recall"),
)
TABLE_METRICS = (
    Metric("average_precision", "average precision", "average precision"),
    Metric("recall", "recall at 5 % false alarms"),
    Metric("f1", "F1"),
    Metric("brier", "Brier score", less=True),
)


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95 % interval; of one seed there is none, and `low` and `high` are nan.

    >>> Interval(0.9, 0.85, 0.95).to_json()
    {'mean': 0.9, 'low': 0.85, 'high': 0.95}
    """

    mean: float
    low: float = math.nan
    high: float = math.nan

    def to_json(self) -> dict[str, float | None]:
        """As JSON has it: nan becomes null."""
        return {"mean": _finite(self.mean), "low": _finite(self.low), "high": _finite(self.high)}


@dataclass(frozen=True)
class ArmResult:
    """One way to train, over all seeds.

    Args:
        name: such as "real + augmentation".
        text: what was done, in a sentence for a reader.
        intervals: of each metric.
        values: of each metric, one number per seed, in the order of the study's seeds.
    """

    name: str
    text: str
    intervals: Mapping[str, Interval]
    values: Mapping[str, tuple[float, ...]]

    def interval(self, metric: str) -> Interval:
        """Of one metric, by name."""
        if metric not in self.intervals:
            raise ValueError(f"ArmResult.interval: expected one of {', '.join(self.intervals)}, got {metric!r}")
        return self.intervals[metric]

    def to_json(self) -> dict[str, Any]:
        """Metric -> mean, low, high and each seed's value."""
        return {
            metric: {**interval.to_json(), "values": list(self.values.get(metric, ()))}
            for metric, interval in self.intervals.items()
        }


@dataclass(frozen=True)
class Difference:
    """One arm minus another on the same seeds, in one metric: the mean of the paired differences."""

    arm: str
    baseline: str
    metric: str
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Sheet:
    """Images for a reader's eye, or pictures of sounds and the sounds for the ear.

    Args:
        images: (N, C, H, W) uint8.
        labels: the class number of each.
        nearest: (N, C, H, W) uint8, the training image closest to each, or None.
        distances: pixel L2 distance of each to its nearest, values in [0, 1]; empty without `nearest`.
        sounds: (N, C, T) floating point in [-1, 1], what each image is a picture of, or None.
        nearest_sounds: the same of `nearest`.
        sample_rate: of the sounds, in Hz.
    """

    images: Tensor
    labels: tuple[int, ...]
    nearest: Tensor | None = None
    distances: tuple[float, ...] = ()
    sounds: Tensor | None = None
    nearest_sounds: Tensor | None = None
    sample_rate: int = 0


@dataclass(frozen=True)
class ColumnSheet:
    """One column of a table, real and synthetic rows of the rare class side by side.

    Args:
        name: its header.
        bins: what each bar stands for.
        real, synthetic: the share of rows in each bin.
    """

    name: str
    bins: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]


@dataclass(frozen=True)
class RowSheet:
    """Rows for a reader's eye: synthetic ones, and for each the training row that is closest.

    Args:
        columns: the headers.
        rows: synthetic rows, as text.
        nearest: the closest training row of each.
        distances: in standard deviations of the numbers, a category that differs counting 1.
        ratio: median distance of synthetic rows to the training rows, over that of test rows; well below 1 is copying.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    nearest: tuple[tuple[str, ...], ...]
    distances: tuple[float, ...]
    ratio: float


@dataclass(frozen=True)
class StudyResult:
    """A finished study.

    Args:
        data: what the user named, such as "digits" or a folder.
        classes: names by class number.
        rare: numbers of the rare classes.
        train_counts, test_counts: samples of each class, of the first seed.
        arms: in the order they are shown; the first is the baseline.
        differences: paired, of any two arms in any metric.
        sheets: "real", "augmented" and "synthetic", of the first seed.
        seeds: that were run.
        steps: optimiser steps of the classifier, the same in every arm; 0 where it has none.
        seconds: wall clock of the whole.
        versions: library -> version.
        notes: sentences on what limits the result, shown as they are.
        caution: a sentence without which the result would mislead, shown before it; empty where there is none.
        metrics: what was measured.
        main: the name of the one that decides.
        unit: what a sample is, "image", "row" or "clip".
        columns: of a table.
        rows: of a table.
    """

    data: str
    classes: tuple[str, ...]
    rare: tuple[int, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    arms: tuple[ArmResult, ...]
    differences: tuple[Difference, ...]
    seeds: tuple[int, ...]
    steps: int
    seconds: float
    sheets: Mapping[str, Sheet] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    caution: str = ""
    metrics: tuple[Metric, ...] = IMAGE_METRICS
    main: str = "rare_recall"
    unit: str = "image"
    columns: tuple[ColumnSheet, ...] = ()
    rows: RowSheet | None = None

    def metric(self, name: str = "") -> Metric:
        """The metric of that name; the main one by default."""
        return next(metric for metric in self.metrics if metric.name == (name or self.main))

    def arm(self, name: str) -> ArmResult:
        """The arm of that name."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ValueError(f"StudyResult.arm: expected one of {[arm.name for arm in self.arms]}, got {name!r}")

    def best(self, metric: str = "") -> ArmResult:
        """The arm with the best mean in a metric, the main one by default; of equal ones the first."""
        sign = -1 if self.metric(metric).less else 1
        return max(self.arms, key=lambda arm: sign * arm.interval(metric or self.main).mean)

    def difference(self, arm: str, baseline: str, metric: str = "") -> Difference | None:
        """The comparison of these two in a metric, the main one by default, or None where it was not made."""
        wanted = (arm, baseline, metric or self.main)
        return next((d for d in self.differences if (d.arm, d.baseline, d.metric) == wanted), None)

    def to_json(self) -> dict[str, Any]:
        """Everything but images, sounds and rows; "verdicts" are those on the main metric."""
        differences: dict[str, dict[str, Any]] = {}
        for d in self.differences:
            row = {**d.interval.to_json(), "verdict": d.verdict}
            differences.setdefault(f"{d.arm} vs {d.baseline}", {})[d.metric] = row
        return {
            "data": self.data,
            "arms": {arm.name: arm.to_json() for arm in self.arms},
            "differences": differences,
            "verdicts": {f"{d.arm} vs {d.baseline}": d.verdict for d in self.differences if d.metric == self.main},
            "classes": list(self.classes),
            "rare": [self.classes[c] for c in self.rare],
            "train_counts": list(self.train_counts),
            "test_counts": list(self.test_counts),
            "seeds": list(self.seeds),
            "steps": self.steps,
            "seconds": self.seconds,
            "versions": dict(self.versions),
            "notes": list(self.notes),
            "caution": self.caution,
        }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
