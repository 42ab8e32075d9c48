"""Does synthetic data help? The same small classifier trained in several ways at equal steps, on paired seeds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic

import torch
from torch import Tensor

from torchaug.data import Bank, TensorImages, imbalanced_split
from torchaug.evaluate.results import IMAGE_METRICS, Sheet, StudyResult
from torchaug.evaluate.utility import Scores
from torchaug.training.arms import ARMS, Arm, Recipe, train_arm
from torchaug.training.audio_arms import audio_recipe
from torchaug.training.fit import fit, seconds_per_step
from torchaug.training.load import load_generator
from torchaug.training.samples import Data, Samples, labelled
from torchaug.training.seeds import Report, run_seeds, study_result
from torchaug.training.sheets import contact_sheets
from torchaug.training.sound_sheets import seconds_of_waveforms, sound_sheets
from torchaug.training.synthesize import synthesize

__all__ = [
    "ARMS",
    "Arm",
    "ImbalancedDraw",
    "Provider",
    "Recipe",
    "Report",
    "SeedResult",
    "affordable",
    "recipe_for",
    "run_study",
]

Split = tuple[Samples, Samples]
Provider = Callable[[int], Split]
"""A seed to a training set and a test set; a module's function or an instance, since it goes to other processes."""
_MOST = 1000
"""Synthetic samples of a class, at most; more would be used about once."""
_TRIAL = 24
"""Steps of the classifier by whose time a study is planned."""
_START = 7.0
"""Seconds that processes take to start."""
_SPENT = 0.8
"""Share of the rest that is planned, since processes share a machine; steps of a trial take a little longer than later
ones, which is in reserve too."""


COMPARED = (
    ("real + augmentation + synthetic", "real + oversampling + augmentation"),
    ("real + synthetic", "real + oversampling"),
    ("real + augmentation + synthetic", "real + augmentation"),
    ("real + augmentation + synthetic", "real + synthetic"),
)
"""Besides every arm with the first; where both balance the classes, the difference is what synthetic samples add."""


@dataclass(frozen=True)
class ImbalancedDraw(Generic[Data]):
    """A `Provider`: a fixed balanced test half, and a training set drawn by the seed (`imbalanced_split`)."""

    dataset: Data
    rare: tuple[int, ...]
    n_rare: int | None = 5
    n_common: int | None = 80

    def __call__(self, seed: int) -> tuple[Data, Data]:
        """The training set and the test set."""
        return imbalanced_split(self.dataset, rare=self.rare, n_rare=self.n_rare, n_common=self.n_common, seed=seed)


@dataclass(frozen=True)
class SeedResult:
    """What one seed gave: the scores of each arm, and for the reader's eye three sheets."""

    seed: int
    scores: dict[str, Scores]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    sheets: dict[str, Sheet]
    seconds: float


def run_study(
    provider: Provider,
    *,
    rare: Sequence[int],
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    recipe: Recipe | None = None,
    seconds: float | None = None,
    arms: Sequence[Arm] = ARMS,
    data: str = "",
    out: str | Path | None = None,
    progress: Report | None = None,
    workers: int = 2,
) -> StudyResult:
    """Trains every arm on every seed, and compares.

    In one seed all arms share the training set, the classifier's first weights, the stream of real samples and the
    number of optimiser steps; the test set is the same everywhere.

    Args:
        provider: seed to training set and test set.
        rare: numbers of the rare classes.
        seeds: of the paired runs.
        recipe: how things are trained; None: `recipe_for` the training set.
        seconds: time for all of it: a seed is started only if it will probably be done by then, one that is not is left
            out, and where not even three would fit, steps are cut. On a fast machine it changes nothing.
        arms: the first is the baseline.
        data: what the data are called in the result.
        out: folder that keeps generators and banks; None for a temporary one.
        progress: called as parts are done.
        workers: seeds that run at the same time, each in a process of its own with one thread; 1 runs them here.

    Raises:
        ValueError: no seeds or arms, or a rare class that does not exist.
    """
    if not seeds or not arms or workers < 1:
        raise ValueError(
            f"run_study: expected seeds, arms and at least 1 worker, got {len(seeds)} seeds, {len(arms)} arms and "
            f"{workers} workers"
        )
    start = time.monotonic()
    train, test = provider(seeds[0])
    _check_rare(rare, train)
    recipe = recipe or recipe_for(train)
    if seconds is not None:
        rounds = -(-min(3, len(seeds)) // workers)
        recipe = affordable(recipe, arms, (train, test), rare, (seconds - _START) / rounds)
        seconds -= time.monotonic() - start
    with tempfile.TemporaryDirectory() as scratch:
        job = _Job(provider, tuple(rare), recipe, tuple(arms), Path(out or scratch))
        parts = len(seeds) * (len(arms) + 1)
        results = run_seeds(job, seeds, parts=parts, seconds=seconds, workers=workers, progress=progress)
    return study_result(
        results,
        arms,
        IMAGE_METRICS,
        COMPARED,
        wanted=len(seeds),
        data=data,
        classes=tuple(labelled(train)[1]),
        rare=tuple(rare),
        steps=recipe.steps,
        seconds=time.monotonic() - start,
        sheets=results[0].sheets,
        unit="image" if isinstance(train, TensorImages) else "clip",
    )


@dataclass(frozen=True)
class _Job:
    provider: Provider
    rare: tuple[int, ...]
    recipe: Recipe
    arms: tuple[Arm, ...]
    out: Path

    def __call__(self, seed: int, report: Callable[[str], None]) -> SeedResult:
        """Everything for one seed."""
        start, recipe = time.monotonic(), self.recipe
        train, test = self.provider(seed)
        bank = None
        if any(arm.synthetic for arm in self.arms):
            bank = self._bank(train, seed)
            report(f"seed {seed}: generator")
        scores = {}
        for arm in self.arms:
            scores[arm.name] = train_arm(arm, train, test, bank if arm.synthetic else None, self.rare, recipe, seed)
            report(f"seed {seed}: {arm.name}")
        sheets = _sheets(
            train, bank, self.rare, recipe, seed
        )  # of every seed: which ones fit the time is not known yet
        counts = [tuple(_counts(part).tolist()) for part in (train, test)]
        return SeedResult(seed, scores, counts[0], counts[1], sheets, time.monotonic() - start)

    def _bank(self, train: Samples, seed: int) -> Bank:
        """A generator trained on the training samples, and what it makes: several times what each class lacks."""
        folder = self.out / f"seed-{seed}"
        recipe = self.recipe
        path = fit(
            recipe.kind,
            train,
            out=folder,
            steps=recipe.generator_steps,
            seed=seed,
            batch_size=recipe.batch_size,
            settings=recipe.settings,
            resume=True,
            every=0,
        )
        return synthesize(load_generator(path), _wanted(train, recipe), folder / "bank", seed=seed)


def recipe_for(train: Samples) -> Recipe:
    """The usual recipe of images, or of sounds."""
    return Recipe() if isinstance(train, TensorImages) else audio_recipe(train.sample_rate)


def _counts(data: Samples) -> Tensor:
    labels, classes = labelled(data)
    return labels.bincount(minlength=len(classes))


def _wanted(train: Samples, recipe: Recipe) -> dict[int, int]:
    """How many synthetic samples are made of each class: none where the generator has seen none."""
    counts = _counts(train)
    wanted = (recipe.surplus * (counts.max() - counts)).clamp(4 * recipe.shown, _MOST)
    return dict(enumerate(torch.where(counts > 0, wanted, 0).tolist()))


def _sheets(train: Samples, bank: Bank | None, rare: Sequence[int], recipe: Recipe, seed: int) -> dict[str, Sheet]:
    if isinstance(train, TensorImages):
        return contact_sheets(train, bank, recipe, seed)
    return sound_sheets(train, bank, rare, recipe, seed)


def affordable(recipe: Recipe, arms: Sequence[Arm], split: Split, rare: Sequence[int], seconds: float) -> Recipe:
    """The recipe, or one of fewer steps where by a short trial a seed would take longer than `seconds`."""
    with _one_thread():  # as in the study's processes
        step = {changed: _trial(recipe, changed, split, rare) for changed in {arm.augmented for arm in arms}}
        cost = recipe.steps * sum(step[arm.augmented] for arm in arms)
        left = _SPENT * seconds
        if any(arm.synthetic for arm in arms):
            each = seconds_per_step(recipe.kind, split[0], recipe.batch_size, recipe.settings)
            cost += recipe.generator_steps * each
            left -= sum(_wanted(split[0], recipe).values()) * seconds_of_waveforms(split[0], recipe)
    scale = min(1.0, max(0.0, left) / cost)
    return replace(
        recipe, steps=max(1, int(scale * recipe.steps)), generator_steps=max(1, int(scale * recipe.generator_steps))
    )


def _trial(recipe: Recipe, augmented: bool, split: Split, rare: Sequence[int]) -> float:
    """Seconds that a step of the classifier takes, by what more steps take longer than few: scoring is left out."""
    arm, times = Arm("trial", "", augmented=augmented), []
    for steps in (2, 2, 2 + _TRIAL):  # the first warms up
        start = time.perf_counter()
        train_arm(arm, *split, None, rare, replace(recipe, steps=steps), seed=0)
        times.append(time.perf_counter() - start)
    return max(times[2] - times[1], 0.1 * times[2]) / _TRIAL


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _check_rare(rare: Sequence[int], train: Samples) -> None:
    classes = len(labelled(train)[1])
    unknown = [c for c in rare if not 0 <= c < classes]
    if unknown or not rare:
        raise ValueError(f"run_study: rare classes must be among 0 to {classes - 1}, got {unknown or 'none'}")
