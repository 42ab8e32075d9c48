"""Where the time of a batch goes: stages that are slow on purpose are found, and the recommendation follows the numbers."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from torchaug import Compose
from torchaug import image as T
from torchaug.data import digits
from torchaug.data.measure import Cost, LoaderReport, Setting, Trial, measure_loader

CPU = torch.device("cpu")


class Slow(Dataset[Any]):
    """Decoding takes a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        time.sleep(self.seconds)
        return {"image": torch.zeros(1, 2, 2), "index": index}


class Pause:
    """A transform, step or collate function that takes a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, batch: Any) -> Any:
        time.sleep(self.seconds)
        return batch


@pytest.mark.parametrize(
    ("item", "transform", "step", "slowest"),
    [(0.02, 0.0, 0.0, "decode"), (0.0, 0.08, 0.0, "transform"), (0.0, 0.0, 0.08, "step")],
)
def test_the_slowest_stage_is_named(item: float, transform: float, step: float, slowest: str) -> None:
    report = measure_loader(Slow(item), Pause(transform), Pause(step), batch_size=4, workers=(0,), seconds=0.4)
    assert [cost.name for cost in report.stages] == ["decode", "collate", "copy", "transform", "step"]
    assert report.bottleneck == slowest
    costs = {cost.name: cost.seconds for cost in report.stages}
    assert costs[slowest] >= 0.08, "four items of 0.02 s, or one pause of 0.08 s"
    assert report.best.rate <= 4 / 0.08
    assert slowest in report.advice()[0]


@pytest.mark.slow
def test_workers_are_recommended_where_decoding_is_slow() -> None:
    report = measure_loader(Slow(0.02), Pause(0.0), batch_size=4, workers=(0, 2), seconds=4)
    assert {trial.setting for trial in report.trials} == {
        Setting("device", 0, 2),
        Setting("device", 2, 2),
        Setting("worker", 2, 2),
    }
    assert report.best.setting == Setting("device", 2, 2), "workers that read; the transform costs nothing anywhere"
    rates = {trial.setting.workers: trial.rate for trial in report.trials if trial.setting.where == "device"}
    assert rates[2] > 1.5 * rates[0]


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
