"""What a study found, as plain frozen data: the training side fills it in, the report and the command line read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

Verdict = Literal["helped", "hurt", "no measurable difference"]
METRICS = ("accuracy", "macro_f1", "rare_recall")


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
        accuracy, macro_f1, rare_recall: in [0, 1]; rare_recall is the mean recall of the rare classes.
        values: of each metric, one number per seed, in the order of the study's seeds.
    """

    name: str
    text: str
    accuracy: Interval
    macro_f1: Interval
    rare_recall: Interval
    values: Mapping[str, tuple[float, ...]]

    def interval(self, metric: str) -> Interval:
        """Of one of `METRICS`."""
        if metric not in METRICS:
            raise ValueError(f"ArmResult.interval: expected one of {', '.join(METRICS)}, got {metric!r}")
        interval: Interval = getattr(self, metric)
        return interval

    def to_json(self) -> dict[str, Any]:
        """Metric -> mean, low, high and each seed's value."""
        return {
            metric: {**self.interval(metric).to_json(), "values": list(self.values.get(metric, ()))}
            for metric in METRICS
        }


@dataclass(frozen=True)
class Difference:
    """How much better one arm was than another on the same seeds, in one metric: mean of the paired differences."""

    arm: str
    baseline: str
    metric: str
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Sheet:
    """Images for a reader's eye.

    Args:
        images: (N, C, H, W) uint8.
        labels: the class number of each.
        nearest: (N, C, H, W) uint8, the training image closest to each, or None.
        distances: pixel L2 distance of each to its nearest, values in [0, 1]; empty without `nearest`.
    """

    images: Tensor
    labels: tuple[int, ...]
    nearest: Tensor | None = None
    distances: tuple[float, ...] = ()


@dataclass(frozen=True)
class StudyResult:
    """A finished study.

    Args:
        data: what the user named, such as "digits" or a folder.
        classes: names by class number.
        rare: numbers of the rare classes.
        train_counts, test_counts: images of each class, of the first seed.
        arms: in the order they are shown; the first is the baseline.
        differences: paired, of any two arms in any metric.
        sheets: "real", "augmented" and "synthetic", of the first seed.
        seeds: that were run.
        steps: optimiser steps of the classifier, the same in every arm.
        seconds: wall clock of the whole.
        versions: library -> version.
        notes: sentences on what limits the result, shown as they are.
        caution: a sentence without which the result would mislead, shown before it; empty where there is none.
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

    def arm(self, name: str) -> ArmResult:
        """The arm of that name."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ValueError(f"StudyResult.arm: expected one of {[arm.name for arm in self.arms]}, got {name!r}")

    def best(self, metric: str = "rare_recall") -> ArmResult:
        """The arm with the largest mean; of equal ones the first."""
        return max(self.arms, key=lambda arm: arm.interval(metric).mean)

    def difference(self, arm: str, baseline: str, metric: str = "rare_recall") -> Difference | None:
        """The comparison of these two, or None where it was not made."""
        wanted = (arm, baseline, metric)
        return next((d for d in self.differences if (d.arm, d.baseline, d.metric) == wanted), None)

    def to_json(self) -> dict[str, Any]:
        """Everything but the images; "verdicts" are those on rare-class recall."""
        differences: dict[str, dict[str, Any]] = {}
        for d in self.differences:
            row = {**d.interval.to_json(), "verdict": d.verdict}
            differences.setdefault(f"{d.arm} vs {d.baseline}", {})[d.metric] = row
        return {
            "data": self.data,
            "arms": {arm.name: arm.to_json() for arm in self.arms},
            "differences": differences,
            "verdicts": {f"{d.arm} vs {d.baseline}": d.verdict for d in self.differences if d.metric == "rare_recall"},
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
