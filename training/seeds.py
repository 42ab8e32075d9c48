"""Paired runs: the same work for each of several seeds, here or in processes, within a time, and what they came to."""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from importlib.metadata import version
from multiprocessing.queues import SimpleQueue
from typing import Any, Protocol, TypeVar

import torch

from torchaug.evaluate.results import ArmResult, Difference, Metric, StudyResult
from torchaug.evaluate.utility import mean_interval, paired_difference

Report = Callable[[int, int, str], None]
"""Called with (parts done, parts in all, what was done)."""


class Timed(Protocol):
    """What one seed came to."""

    @property
    def seed(self) -> int:
        """Which one."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


class Scored(Timed, Protocol):
    """What one seed of a study came to."""

    @property
    def scores(self) -> Mapping[str, Any]:
        """Of each arm, with an attribute for each metric."""
        ...

    @property
    def train_counts(self) -> tuple[int, ...]:
        """Training samples of each class."""
        ...

    @property
    def test_counts(self) -> tuple[int, ...]:
        """Test samples of each class."""
        ...


class Named(Protocol):
    """An arm, whatever it does."""

    @property
    def name(self) -> str:
        """In tables."""
        ...

    @property
    def text(self) -> str:
        """A sentence for a reader."""
        ...


Result = TypeVar("Result", bound=Timed)
Job = Callable[[int, Callable[[str], None]], Result]
"""Everything for one seed; it says each part that is done. It goes to other processes."""


def run_seeds(
    job: Job[Result],
    seeds: Sequence[int],
    *,
    parts: int,
    seconds: float | None = None,
    workers: int = 1,
    progress: Report | None = None,
) -> list[Result]:
    """The results of a job on seeds, in their order.

    Args:
        job: what is done for a seed.
        seeds: of the paired runs.
        parts: how many parts all seeds have together.
        seconds: a seed is started only if it will probably be done by then; the first one always is.
        workers: seeds that run at the same time, each in a process of its own with one thread; 1 runs them here.
        progress: called as parts are done.
    """
    if workers == 1 or len(seeds) == 1:
        return _run_here(job, seeds, seconds, parts, progress)
    return _run_apart(job, seeds, seconds, parts, progress, workers)


def study_result(
    results: Sequence[Scored],
    arms: Sequence[Named],
    metrics: tuple[Metric, ...],
    pairs: Sequence[tuple[str, str]],
    *,
    wanted: int,
    notes: Sequence[str] = (),
    **rest: Any,
) -> StudyResult:
    """The results of all seeds as those of a study.

    Args:
        results: of the seeds.
        arms: in the order they are shown.
        metrics: that were measured.
        pairs: see `compared`.
        wanted: seeds that were asked for.
        notes: on what limits the result, besides those on time.
        rest: of `StudyResult`.
    """
    values = {
        arm.name: {m.name: tuple(getattr(r.scores[arm.name], m.name) for r in results) for m in metrics} for arm in arms
    }
    shown, differences = compared(metrics, [(arm.name, arm.text) for arm in arms], values, pairs)
    return StudyResult(
        train_counts=results[0].train_counts,
        test_counts=results[0].test_counts,
        arms=shown,
        differences=differences,
        seeds=tuple(result.seed for result in results),
        versions=versions(),
        notes=(*seed_notes(results, wanted), *notes),
        metrics=metrics,
        **rest,
    )


def compared(
    metrics: Sequence[Metric],
    arms: Sequence[tuple[str, str]],
    values: Mapping[str, Mapping[str, tuple[float, ...]]],
    pairs: Sequence[tuple[str, str]],
) -> tuple[tuple[ArmResult, ...], tuple[Difference, ...]]:
    """The arms with their intervals, and the paired differences of every arm to the first, and of `pairs`.

    Args:
        metrics: that were measured.
        arms: name and text of each.
        values: arm -> metric -> one value a seed.
        pairs: arm and baseline; those that were not run are left out.
    """
    shown = [
        ArmResult(name, text, {m: mean_interval(v) for m, v in values[name].items()}, values[name])
        for name, text in arms
    ]
    first = arms[0][0]
    wanted = [(name, first) for name, _ in arms[1:]] + [pair for pair in pairs if set(pair) <= values.keys()]
    differences = [
        Difference(arm, base, m.name, *paired_difference(values[arm][m.name], values[base][m.name], less=m.less))
        for arm, base in dict.fromkeys(wanted)
        for m in metrics
    ]
    return tuple(shown), tuple(differences)


def seed_notes(results: Sequence[Timed], wanted: int) -> list[str]:
    """Sentences on how long seeds took, and how many were left out."""
    notes = [f"Each seed took {max(result.seconds for result in results):.0f} seconds or less."]
    if len(results) < wanted:
        notes.append(f"{len(results)} of {wanted} seeds fitted the time.")
    return notes


def versions() -> dict[str, str]:
    """What a result depends on."""
    return {name: version(name) for name in ("torch", "torchvision", "lightning", "torchaug-synth")}


def _fits(start: float, seconds: float | None, longest: float) -> bool:
    return seconds is None or time.monotonic() - start + longest <= seconds


def _run_here(
    job: Job[Result], seeds: Sequence[int], seconds: float | None, parts: int, progress: Report | None
) -> list[Result]:
    start, done = time.monotonic(), 0
    results: list[Result] = []

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


def _work(job: Job[Result], seed: int) -> Result:
    return job(seed, _outbox.put)


def _run_apart(
    job: Job[Result], seeds: Sequence[int], seconds: float | None, parts: int, progress: Report | None, workers: int
) -> list[Result]:
    """Each seed in one of several processes; they say what is done through a queue."""
    context = multiprocessing.get_context("spawn")  # a forked child would share torch's threads, and hang
    outbox: SimpleQueue[str] = context.SimpleQueue()
    start, done, waiting = time.monotonic(), 0, list(seeds)
    end = math.inf if seconds is None else start + seconds
    running: set[Future[Result]] = set()
    results: list[Result] = []
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
