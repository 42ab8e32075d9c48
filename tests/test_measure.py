"""Where the time of a batch goes: stages that are slow on purpose are found, and the recommendation follows the numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from torchaug import Compose
from torchaug import image as T
from torchaug.data import digits
from torchaug.data.measure import Cost, LoaderReport, Setting, Trial, _stretches, measure_loader

CPU = torch.device("cpu")


class Slow(Dataset[Any]):
    """Decoding takes a while."""

    def __init__(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self.seconds, self.sleep = seconds, sleep

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        self.sleep(self.seconds)
        return {"image": torch.zeros(1, 2, 2), "index": index}


class Clock:
    """In place of the module `time`: a clock that only those who sleep put forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pause(self, seconds: float) -> Callable[[Any], Any]:
        """A transform or step that takes a while."""

        def passed_on(batch: Any) -> Any:
            self.sleep(seconds)
            return batch

        return passed_on


@pytest.mark.parametrize(
    ("item", "transform", "step", "slowest"),
    [(0.02, 0.01, 0.03, "decode"), (0.001, 0.08, 0.03, "transform"), (0.001, 0.03, 0.08, "step")],
)
def test_the_slowest_stage_is_named(
    item: float, transform: float, step: float, slowest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("torchaug.data.measure.time", clock)
    data, pauses = Slow(item, clock.sleep), (clock.pause(transform), clock.pause(step))
    report = measure_loader(data, *pauses, batch_size=4, workers=(0,), seconds=4.0)
    assert {cost.name: cost.seconds for cost in report.stages} == pytest.approx(
        {"decode": 4 * item, "collate": 0, "copy": 0, "transform": transform, "step": step}
    )
    assert report.best.rate == pytest.approx(4 / (4 * item + transform + step))
    assert report.bottleneck == slowest
    assert slowest in report.advice()[0]


@pytest.mark.slow
def test_workers_are_recommended_where_decoding_is_slow() -> None:
    report = measure_loader(Slow(0.05), torch.nn.Identity(), batch_size=4, workers=(0, 2), seconds=6)
    assert {trial.setting for trial in report.trials} == {
        Setting("device", 0, 2),
        Setting("device", 2, 2),
        Setting("worker", 2, 2),
    }
    assert report.best.setting.workers == 2, "two that sleep at the same time"


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_batches_that_come_in_bursts_are_rated_as_a_whole(workers: int, lost: int) -> None:
    """All workers end at the same time, and begin again; the run may end in the middle of a burst."""
    marks = [float(burst) for burst in range(40) for _ in range(workers)]
    assert _stretches(marks[: len(marks) - lost], workers) == [pytest.approx(1 / workers)] * 8


def test_a_run_of_less_than_a_burst_is_one_stretch() -> None:
    assert _stretches([0.0, 1.0, 4.0], 8) == [2.0]
    assert _stretches([0.0, 1.0, 4.0], 0) == [1.0, 3.0]


def test_a_transform_of_ours_is_called_with_keys() -> None:
    chain = Compose([T.RandomHorizontalFlip(), T.RandomResizedCrop(6)])
    report = measure_loader(digits(), chain, batch_size=8, workers=(0,), seconds=0.3)
    assert [cost.name for cost in report.stages] == ["decode", "collate", "copy", "transform"]
    assert "step" not in report.shares
    assert len(report.advice()) == 2


def report(costs: dict[str, float], rates: dict[Setting, float]) -> LoaderReport:
    trials = tuple(Trial(setting, rate, rate, rate) for setting, rate in rates.items())
    return LoaderReport(10, CPU, tuple(Cost(name, value, value, value) for name, value in costs.items()), trials)


COSTS = {"decode": 0.4, "collate": 0.02, "copy": 0.01, "transform": 0.3, "step": 0.15}


def test_of_settings_that_are_as_fast_the_plainest_is_recommended() -> None:
    plain, many = Setting("device", 1, 2), Setting("device", 4, 2)
    assert report(COSTS, {many: 100.0, plain: 96.0}).best.setting == plain
    assert report(COSTS, {many: 100.0, plain: 94.0}).best.setting == many
    here, there = Setting("device", 2, 2), Setting("worker", 2, 2)
    assert report(COSTS, {there: 100.0, here: 96.0}).best.setting == here
    assert report(COSTS, {there: 100.0, here: 94.0}).best.setting == there


def test_what_workers_do_is_divided_among_them() -> None:
    there = report(COSTS, {Setting("worker", 4, 2): 60.0})
    assert there.shares == pytest.approx(COSTS | {"decode": 0.1, "collate": 0.005, "transform": 0.075})
    assert there.bottleneck == "step"
    here = report(COSTS, {Setting("device", 4, 2): 30.0})
    assert here.bottleneck == "transform"
    assert here.advice() == [
        "bottleneck: transform, 300 ms of a batch; what helps: compose.compile(), cheaper steps, or a GPU",
        'recommended: where="device", num_workers=4, depth=2 (30 samples a second)',
        "the step alone would take 66.67 samples a second: 45% of that is reached",
    ]


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"workers": ()}, {"depths": ()}, {"dataset": []}])
def test_nothing_to_measure_is_refused(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"dataset": digits(), "seconds": 1.0, "workers": (0,), "depths": (2,)} | wrong
    with pytest.raises(ValueError, match="measure_loader: expected a data set with items, workers, depths"):
        measure_loader(arguments.pop("dataset"), **arguments)
