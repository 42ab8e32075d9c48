"""Where the time of a batch goes, and which way to load it is the fastest: measured, not guessed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, default_collate

from torchaug.data.loader import DeviceLoader
from torchaug.data.stage import put, takes_keys
from torchaug.keys import sample_keys

Step = Callable[[Any], object]
Progress = Callable[[int, int, str], None]
PLAIN = 0.05  # a setting must be faster by so much to be worth more processes or batches ahead


@dataclass(frozen=True)
class Cost:
    """What one part of the work costs, in seconds a batch: the median, and the quartiles."""

    name: str
    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class Setting:
    """A way to load: where the transform runs, how many worker processes there are, and batches made ahead."""

    where: str
    workers: int
    depth: int

    def __str__(self) -> str:
        return f'where="{self.where}", num_workers={self.workers}, depth={self.depth}'


@dataclass(frozen=True)
class Trial:
    """What a setting gave, in samples a second: the median over stretches of the run, and the quartiles."""

    setting: Setting
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class LoaderReport:
    """Stages and trials of a data set, a transform and a step.

    Args:
        batch_size: of all measurements.
        device: where the step ran.
        stages: decode, collate, copy, transform and step, one after the other in this process.
        trials: whole loops, in the order in which they were run.
    """

    batch_size: int
    device: torch.device
    stages: tuple[Cost, ...]
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The recommended trial: of those within 5 % of the fastest, the one that asks for least."""
        fastest = max(trial.rate for trial in self.trials)
        near = [trial for trial in self.trials if trial.rate >= fastest * (1 - PLAIN)]
        return min(near, key=lambda trial: (trial.setting.workers, trial.setting.depth, trial.setting.where))

    @property
    def shares(self) -> dict[str, float]:
        """Seconds of each stage in a loop with the recommended setting: what workers do is divided among them."""
        setting = self.best.setting
        shared = {"decode", "collate"} | ({"transform"} if setting.where == "worker" else set())
        return {
            stage.name: stage.seconds / max(1, setting.workers if stage.name in shared else 1) for stage in self.stages
        }

    @property
    def bottleneck(self) -> str:
        """The stage that takes longest there."""
        shares = self.shares
        return max(shares, key=lambda name: shares[name])

    def advice(self) -> list[str]:
        """What the numbers say, in sentences."""
        shares, best = self.shares, self.best
        name = self.bottleneck
        cost = f"{1000 * shares[name]:.3g} ms of a batch{_among(name, best.setting)}"
        lines = [
            f"bottleneck: {name}, {cost}; what helps: {_REMEDIES[name]}",
            f"recommended: {best.setting} ({best.rate:.4g} samples a second)",
        ]
        if shares.get("step"):
            alone = self.batch_size / shares["step"]
            lines.append(
                f"the step alone would take {alone:.4g} samples a second: {min(1.0, best.rate / alone):.0%} of that is reached"
            )
        return lines


_REMEDIES = {
    "decode": "more workers, smaller files, or images that are kept in memory",
    "collate": "larger batches of equal sizes, or a data set with __getitems__",
    "copy": "uint8 images instead of float, and pin_memory=True",
    "transform": "compose.compile(), cheaper steps, or a GPU",
    "step": "nothing in the loader, which keeps up",
}


def _among(name: str, setting: Setting) -> str:
    shared = name in ("decode", "collate") or (name == "transform" and setting.where == "worker")
    return f" divided among {setting.workers} workers" if shared and setting.workers > 1 else ""


def measure_loader(
    dataset: Dataset[Any],
    transform: Callable[..., Any] | None = None,
    step: Step | None = None,
    *,
    batch_size: int = 64,
    collate: Callable[[list[Any]], Any] = default_collate,
    device: str | torch.device = "cpu",
    workers: Sequence[int] = (0, 1, 2),
    depths: Sequence[int] = (2,),
    seconds: float = 30.0,
    progress: Progress | None = None,
) -> LoaderReport:
    """Measures the stages of a batch, then whole loops in all settings that make sense.

    Args:
        dataset: map-style.
        transform: of a batch, as `DeviceLoader` takes it.
        step: what the training does with a batch; it may be None.
        batch_size: samples of a batch.
        collate: of the DataLoader.
        device: where batches go.
        workers: numbers of worker processes to try.
        depths: batches ahead to try; on a CPU, where nothing is made ahead, only the first is.
        seconds: for all of it; each setting gets a part.
        progress: called with (settings done, settings in all, what is next).

    Raises:
        ValueError: an empty data set, no number of workers or depth, or a time that is not above 0.

    >>> from torchaug.data import digits
    >>> report = measure_loader(digits(), batch_size=32, workers=(0,), seconds=0.5)
    >>> [stage.name for stage in report.stages], report.best.setting.workers
    (['decode', 'collate', 'copy'], 0)
    """
    device = torch.device(device)
    if not len(cast("Sized", dataset)) or seconds <= 0 or not workers or not depths:
        raise ValueError(
            f"measure_loader: expected a data set with items, workers, depths and a time above 0, got "
            f"{len(cast('Sized', dataset))} items, {list(workers)}, {list(depths)} and {seconds} seconds"
        )
    settings = _settings(transform is not None, device, workers, depths)
    part = seconds / (len(settings) + 1)
    stages = _stages(dataset, transform, step, batch_size, collate, device, part)
    trials = []
    for done, setting in enumerate(settings):
        if progress is not None:
            progress(done, len(settings), str(setting))
        loader = _loader(dataset, transform, setting, batch_size, collate, device)
        trials.append(_trial(loader, step, setting, batch_size, device, part))
    if progress is not None:
        progress(len(settings), len(settings), "")
    return LoaderReport(batch_size, device, tuple(stages), tuple(trials))


def _settings(transforms: bool, device: torch.device, workers: Sequence[int], depths: Sequence[int]) -> list[Setting]:
    """Each setting that differs in what happens."""
    ahead = depths if device.type == "cuda" else depths[:1]
    found = [Setting("device", count, depth) for count in workers for depth in ahead]
    if transforms:
        found += [Setting("worker", count, depth) for count in workers for depth in ahead if count]
    return found


def _loader(
    dataset: Dataset[Any],
    transform: Callable[..., Any] | None,
    setting: Setting,
    batch_size: int,
    collate: Callable[[list[Any]], Any],
    device: torch.device,
) -> DeviceLoader:
    own = torch.Generator().manual_seed(0)
    endless = RandomSampler(cast("Sized", dataset), replacement=True, num_samples=1 << 40, generator=own)
    loader = DataLoader(
        dataset,
        batch_size,
        sampler=endless,
        num_workers=setting.workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        generator=own,
    )
    return DeviceLoader(loader, transform, device=device, where=setting.where, depth=setting.depth)


def _trial(
    loader: DeviceLoader, step: Step | None, setting: Setting, batch_size: int, device: torch.device, seconds: float
) -> Trial:
    """A loop for some seconds; what came before the first batch, such as starting the workers, does not count."""
    marks: list[float] = []
    batches = iter(loader)
    for batch in batches:
        if step is not None:
            step(batch)
        _wait(device)
        marks.append(time.perf_counter())
        if marks[-1] - marks[0] > seconds and len(marks) > 2:
            break
    batches.close()  # type: ignore[attr-defined]
    return Trial(setting, *_quartiles([batch_size / seconds for seconds in _stretches(marks, setting.workers)]))


def _stretches(marks: list[float], workers: int, most: int = 8) -> list[float]:
    """Seconds a batch in stretches of the run, each of as many batches from every worker: they come in bursts.

    In a run that is shorter than one burst, all of it is one stretch.
    """
    burst = min(max(1, workers), len(marks) - 1)
    bursts = (len(marks) - 1) // burst
    parts = min(most, bursts)
    edges = [burst * round(part * bursts / parts) for part in range(parts + 1)]
    return [(marks[b] - marks[a]) / (b - a) for a, b in pairwise(edges)]


def _stages(
    dataset: Dataset[Any],
    transform: Callable[..., Any] | None,
    step: Step | None,
    batch_size: int,
    collate: Callable[[list[Any]], Any],
    device: torch.device,
    seconds: float,
) -> list[Cost]:
    size, times = len(cast("Sized", dataset)), dict[str, list[float]]()
    order = torch.Generator().manual_seed(1)
    deadline, rounds = time.perf_counter() + seconds, 0

    def timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments)
        _wait(device)
        if rounds:  # the first batch pays for what is made once
            times.setdefault(name, []).append(time.perf_counter() - start)
        return result

    while rounds < 3 or time.perf_counter() < deadline:
        ids = torch.randint(size, (batch_size,), generator=order)
        batch = timed("collate", collate, timed("decode", _items, dataset, ids))
        batch = timed("copy", put, batch, device)
        if transform is not None:
            batch = timed("transform", _transformed, transform, batch, ids)
        if step is not None:
            timed("step", step, batch)
        rounds += 1
    return [Cost(name, *_quartiles(values)) for name, values in times.items()]


def _items(dataset: Dataset[Any], ids: Tensor) -> list[Any]:
    many = getattr(dataset, "__getitems__", None)  # as a DataLoader asks for them
    return cast("list[Any]", many(ids.tolist())) if many else [dataset[index] for index in ids.tolist()]


def _transformed(transform: Callable[..., Any], batch: Any, ids: Tensor) -> Any:
    with torch.no_grad():
        return transform(batch, keys=sample_keys(ids)) if takes_keys(transform) else transform(batch)


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    """Median and quartiles."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def _wait(device: torch.device) -> None:
    """For the step, and not for the batches that are made ahead of it."""
    if device.type != "cpu":
        torch.accelerator.current_stream(device).synchronize()
