"""Do synthetic samples help? The studies of docs/benchmarks.md, at full length. Run by `scripts/bench studies`.

Images: digits, two choices of rare classes, with seeds that served no choice. Tables and sounds: those of `torchaug demo`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from rows import Row, write

from torchaug.data import load
from torchaug.evaluate.holdout import holdout
from torchaug.evaluate.results import Difference, StudyResult
from torchaug.training.study import ImbalancedDraw, run_study
from torchaug.training.table_study import run_table_study

BEATEN = {
    ("real + synthetic", "real + oversampling"),
    ("real + augmentation + synthetic", "real + augmentation"),
}
"""What synthetic samples were asked to be better than, with an interval above 0."""
PACKAGES = ("torch", "lightning", "numpy", "scikit-learn")


def payments(workers: int) -> StudyResult:
    return run_table_study(
        partial(holdout, load("transactions"), share=0.5), rare=(1,), seeds=range(5), workers=workers
    )


def drawn(data: str, rare: tuple[int, ...], counts: tuple[int, int], seeds: range, workers: int) -> StudyResult:
    """Images or sounds, `counts` of each rare and of each other class to train on."""
    return run_study(ImbalancedDraw(load(data), rare, *counts), rare=rare, seeds=seeds, workers=workers)


STUDIES: dict[str, Callable[[int], StudyResult]] = {
    "digits, rare 3 7 8": partial(drawn, "digits", (3, 7, 8), (5, 80), range(10, 15)),
    "digits, rare 1 4 9": partial(drawn, "digits", (1, 4, 9), (5, 80), range(20, 25)),
    "payments": payments,
    "vowels": partial(drawn, "vowels", (1, 4), (8, 60), range(3)),
}


def rows(name: str, result: StudyResult, metrics: tuple[str, ...]) -> list[Row]:
    """Each arm, and each difference that the study looks at besides those to real samples alone."""
    arms = [
        Row(f"{name}: {arm.name}, {metric}", (found := arm.interval(metric)).mean, "mean", found.low, found.high)
        for arm in result.arms
        for metric in metrics
    ]
    first = result.arms[0].name
    compared = [d for d in result.differences if d.metric in metrics and d.baseline != first]
    return arms + [_difference(name, difference) for difference in compared]


def _difference(name: str, difference: Difference) -> Row:
    asked = (difference.arm, difference.baseline) in BEATEN and difference.metric == "rare_recall"
    interval = difference.interval
    return Row(
        f"{name}: {difference.arm} against {difference.baseline}, {difference.metric}",
        interval.mean,
        "difference",
        interval.low,
        interval.high,
        target="low > 0" if asked else None,
        met=interval.low > 0 if asked else None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(STUDIES), help="one of the studies; all by default")
    parser.add_argument("--workers", type=int, default=2, help="seeds at the same time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: list[Row] = []
    for name in [arguments.only] if arguments.only else STUDIES:
        result = STUDIES[name](arguments.workers)
        metrics = ("average_precision", "f1", "brier") if name == "payments" else ("rare_recall", "accuracy")
        found += rows(name, result, metrics)
        print(f"{name}: {result.seconds:.0f} s", flush=True)
    write("studies", found, PACKAGES, suffix="-part" if arguments.only else "")


if __name__ == "__main__":
    main()
