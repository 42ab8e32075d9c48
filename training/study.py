"""Does synthetic data help? The same small classifier trained in several ways at equal steps, on paired seeds."""

from __future__ import annotations

import math
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from torchaug.data import Bank, TensorImages, imbalanced_split
from torchaug.evaluate.results import METRICS, ArmResult, Difference, Sheet, StudyResult
from torchaug.evaluate.utility import Scores, mean_interval, paired_difference
from torchaug.training.arms import ARMS, Arm, Recipe, train_arm
from torchaug.training.fit import fit, seconds_per_step
from torchaug.training.load import load_generator
from torchaug.training.sheets import contact_sheets
from torchaug.training.synthesize import synthesize

__all__ = ["ARMS", "Arm", "ImbalancedDraw", "Provider", "Recipe", "Report", "SeedResult", "affordable", "run_study"]

Provider = Callable[[int], tuple[TensorImages, TensorImages]]
"""A seed to a training set and a test set; a module's function or an instance, since it goes to other processes."""
Report = Callable[[int, int, str], None]
"""Called with (parts done, parts in all, what was done)."""
_MOST = 1000
"""Synthetic images of a class, at most; more would be used about once."""
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
"""Besides every arm with the first; where both balance the classes, the difference is what synthetic images add."""


@dataclass(frozen=True)
class ImbalancedDraw:
    """A `Provider`: a fixed balanced test half, and a training set drawn by the seed (`imbalanced_split`)."""

    dataset: TensorImages
    rare: tuple[int, ...]
    n_rare: int | None = 5
    n_common: int | None = 80

    def __call__(self, seed: int) -> tuple[TensorImages, TensorImages]:
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

    In one seed all arms share the training set, the classifier's first weights, the stream of real images and the
    number of optimiser steps; the test set is the same everywhere.

    Args:
        provider: seed to training set and test set.
        rare: numbers of the rare classes.
        seeds: of the paired runs.
        recipe: how things are trained.
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
    recipe = recipe or Recipe()
    if not seeds or not arms or workers < 1:
        raise ValueError(
            f"run_study: expected seeds, arms and at least 1 worker, got {len(seeds)} seeds, {len(arms)} arms and "
            f"{workers} workers"
        )
    start = time.monotonic()
    train, test = provider(seeds[0])
    _check_rare(rare, train)
    if seconds is not None:
        rounds = -(-min(3, len(seeds)) // workers)
        recipe = affordable(recipe, arms, (train, test), rare, (seconds - _START) / rounds)
        seconds -= time.monotonic() - start
    with tempfile.TemporaryDirectory() as scratch:
        job = _Job(provider, tuple(rare), recipe, tuple(arms), Path(out or scratch), seeds[0])
        parts = len(seeds) * (len(arms) + 1)
        if workers == 1 or len(seeds) == 1:
            results = _run_here(job, seeds, seconds, parts, progress)
        else:
            results = _run_apart(job, seeds, seconds, parts, progress, workers)
    return _summary(results, train, tuple(rare), recipe, arms, data, time.monotonic() - start, len(seeds))


@dataclass(frozen=True)
class _Job:
    provider: Provider
    rare: tuple[int, ...]
    recipe: Recipe
    arms: tuple[Arm, ...]
    out: Path
    shown_seed: int

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
        sheets = contact_sheets(train, bank, recipe, seed) if seed == self.shown_seed else {}
        counts = [tuple(part.labels.bincount(minlength=len(part.classes)).tolist()) for part in (train, test)]
        return SeedResult(seed, scores, counts[0], counts[1], sheets, time.monotonic() - start)

    def _bank(self, train: TensorImages, seed: int) -> Bank:
        """A generator trained on the training images, and what it makes: several times what each class lacks."""
        folder = self.out / f"seed-{seed}"
        recipe = self.recipe
        path = fit(
            recipe.kind,
            train,
            out=folder,
            steps=recipe.generator_steps,
            seed=seed,
            batch_size=recipe.batch_size,
            resume=True,
            every=0,
        )
        counts = train.labels.bincount(minlength=len(train.classes))
        wanted = (4 * (counts.max() - counts)).clamp(4 * recipe.shown, _MOST).tolist()
        return synthesize(load_generator(path), dict(enumerate(wanted)), folder / "bank", seed=seed)


def affordable(
    recipe: Recipe, arms: Sequence[Arm], split: tuple[TensorImages, TensorImages], rare: Sequence[int], seconds: float
) -> Recipe:
    """The recipe, or one of fewer steps where by a short trial a seed would take longer than `seconds`."""
    with _one_thread():  # as in the study's processes
        step = {changed: _trial(recipe, changed, split, rare) for changed in {arm.augmented for arm in arms}}
        cost = recipe.steps * sum(step[arm.augmented] for arm in arms)
        if any(arm.synthetic for arm in arms):
            cost += recipe.generator_steps * seconds_per_step(recipe.kind, split[0], recipe.batch_size)
    scale = min(1.0, _SPENT * seconds / cost)
    return replace(
        recipe, steps=max(1, int(scale * recipe.steps)), generator_steps=max(1, int(scale * recipe.generator_steps))
    )


def _trial(recipe: Recipe, augmented: bool, split: tuple[TensorImages, TensorImages], rare: Sequence[int]) -> float:
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


def _check_rare(rare: Sequence[int], train: TensorImages) -> None:
    unknown = [c for c in rare if not 0 <= c < len(train.classes)]
    if unknown or not rare:
        raise ValueError(
            f"run_study: rare classes must be among 0 to {len(train.classes) - 1}, got {unknown or 'none'}"
        )


def _fits(start: float, seconds: float | None, longest: float) -> bool:
    return seconds is None or time.monotonic() - start + longest <= seconds


def _run_here(
    job: _Job, seeds: Sequence[int], seconds: float | None, parts: int, progress: Report | None
) -> list[SeedResult]:
    start, done = time.monotonic(), 0
    results: list[SeedResult] = []

    def report(text: str) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, parts, text)

    for seed in seeds:
        if not results or _fits(start, seconds, max(result.seconds for result in results)):
            results.append(job(seed, report))
    return results


class _TimeIsUp(Exception):
    pass


_outbox: SimpleQueue[str]


def _enter_worker(outbox: SimpleQueue[str]) -> None:
    global _outbox
    _outbox = outbox
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)


def _work(job: _Job, seed: int) -> SeedResult:
    return job(seed, _outbox.put)


def _run_apart(
    job: _Job, seeds: Sequence[int], seconds: float | None, parts: int, progress: Report | None, workers: int
) -> list[SeedResult]:
    """Each seed in one of several processes; they say what is done through a queue."""
    context = multiprocessing.get_context("spawn")  # a forked child would share torch's threads, and hang
    outbox: SimpleQueue[str] = context.SimpleQueue()
    start, done, waiting = time.monotonic(), 0, list(seeds)
    end = math.inf if seconds is None else start + seconds
    running: set[Future[SeedResult]] = set()
    results: list[SeedResult] = []
    with (
        suppress(_TimeIsUp),  # what was under way is left out, as if it had not been started
        ProcessPoolExecutor(workers, context, _enter_worker, (outbox,)) as pool,
        _ending_children(),
    ):
        while running or waiting:
            if results and time.monotonic() > end:
                raise _TimeIsUp
            if results and not _fits(start, seconds, max(result.seconds for result in results)):
                waiting.clear()
            while waiting and len(running) < workers:
                running.add(pool.submit(_work, job, waiting.pop(0)))
            finished, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            while not outbox.empty():
                done, text = done + 1, outbox.get()
                if progress is not None:
                    progress(done, parts, text)
            results += [future.result() for future in finished]
    return sorted(results, key=lambda result: list(seeds).index(result.seed))


@contextmanager
def _ending_children() -> Iterator[None]:
    """On an error, or Ctrl-C, ends the processes started since: the pool would wait for their work."""
    before = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise


def _summary(
    results: Sequence[SeedResult],
    train: TensorImages,
    rare: tuple[int, ...],
    recipe: Recipe,
    arms: Sequence[Arm],
    data: str,
    seconds: float,
    wanted: int,
) -> StudyResult:
    values = {
        arm.name: {metric: tuple(getattr(r.scores[arm.name], metric) for r in results) for metric in METRICS}
        for arm in arms
    }
    shown = [
        ArmResult(
            arm.name, arm.text, **{m: mean_interval(v) for m, v in values[arm.name].items()}, values=values[arm.name]
        )
        for arm in arms
    ]
    pairs = [(arm.name, arms[0].name) for arm in arms[1:]]
    pairs += [pair for pair in COMPARED if set(pair) <= values.keys()]
    differences = [
        Difference(arm, base, metric, *paired_difference(values[arm][metric], values[base][metric]))
        for arm, base in pairs
        for metric in METRICS
    ]
    notes = [f"Each seed took {max(result.seconds for result in results):.0f} seconds or less."]
    if len(results) < wanted:
        notes.append(f"{len(results)} of {wanted} seeds fitted the time.")
    first = results[0]
    return StudyResult(
        data=data,
        classes=tuple(train.classes),
        rare=rare,
        train_counts=first.train_counts,
        test_counts=first.test_counts,
        arms=tuple(shown),
        differences=tuple(differences),
        seeds=tuple(result.seed for result in results),
        steps=recipe.steps,
        seconds=seconds,
        sheets=first.sheets,
        versions={name: version(name) for name in ("torch", "torchvision", "lightning", "torchaug-synth")},
        notes=tuple(notes),
    )
