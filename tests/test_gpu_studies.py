"""The benchmarks for a GPU, at a small scale on a CPU: what they count, compare and train is what they say."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from torchaug.data import digits
from torchaug.models.gan_losses import discriminator_loss

FOLDER = Path(__file__).parent.parent / "benchmarks"
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="what it says where there is no GPU")


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)


def module(name: str) -> Any:
    """A module of the benchmarks, which are no package."""
    return importlib.import_module(name)


def test_real_stacked_digits_have_all_modes_in_their_shares() -> None:
    stacked = module("generators_stacked")
    data, modes = stacked.stacked_digits(25_600, seed=3)
    assert data.images.shape == (25_600, 3, 24, 24)
    found = stacked.coverage(modes)
    assert found["modes"] == 1000
    assert found["KL"] == pytest.approx(999 / 2 / 25_600, rel=0.2), "of samples of the very distribution"
    assert (stacked.modes_of(data.images[:300]) == modes[:300]).double().mean() > 0.97


def test_modes_that_are_missing_show() -> None:
    stacked = module("generators_stacked")
    shares = digits().labels.bincount() / len(digits())
    found = stacked.coverage(torch.full((50,), 777))
    assert found["modes"] == 1
    assert found["KL"] == pytest.approx(-3 * math.log(shares[7]), rel=1e-5)
    half = stacked.coverage(torch.arange(500).repeat(4))
    assert half["modes"] == 500
    assert half["KL"] == pytest.approx(math.log(2), rel=0.02), "half of the modes, each twice as often"


@pytest.mark.parametrize("name", ["generators_stacked", "generators_defects"])
def test_the_same_seed_makes_the_same_images(name: str) -> None:
    study = module(name)

    def make(count: int, seed: int) -> Any:
        return study.stacked_digits(count, seed)[0] if "stacked" in name else study.surfaces(count, 0, seed)

    one, more, other = make(10, 1), make(15, 1), make(10, 2)
    assert torch.equal(one.images, more.images[:10])
    assert not torch.equal(one.images, other.images)


def test_a_defect_changes_a_part_of_its_surface_alone() -> None:
    textures = module("textures")
    ids = torch.arange(60)
    good = textures.textures(ids, torch.zeros(60, dtype=torch.int64))
    assert good.shape == (60, 3, 64, 64)
    assert good.double().std((2, 3)).min() > 4, "a surface, not one colour"
    for number, name in enumerate(textures.CLASSES[1:], 1):
        other = textures.textures(ids, torch.full((60,), number))
        changed = (other.int() - good.int()).abs().amax(1) > 8
        share = changed.double().mean((1, 2))
        assert share.min() > 0.001, name
        assert share.max() < 0.3, name
    half = textures.textures(ids[:8], torch.arange(8) % 5, side=32)
    assert half.shape == (8, 3, 32, 32)


def test_the_kernel_distance_is_that_of_all_pairs() -> None:
    distance = module("generators_defects").kernel_distance
    x, y = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return (float(a.double() @ b.double()) / 4 + 1) ** 3

    within = [sum(kernel(a[i], a[j]) for i in range(7) for j in range(7) if i != j) / 42 for a in (x, y)]
    between = sum(kernel(a, b) for a in x for b in y) / 49
    assert distance(x, y) == pytest.approx(sum(within) - 2 * between)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The study of defects with few and small images, and few steps."""
    study = module("generators_defects")
    for name, value in {"SIDE": 16, "STEPS": 2, "TAUGHT_STEPS": 3, "TESTED": 40, "PRETRAINED": 64, "BATCH": 32}.items():
        monkeypatch.setattr(study, name, value)
    study.pretrained.cache_clear()
    yield study
    study.pretrained.cache_clear()


@pytest.mark.slow
def test_defects_are_learnt_and_features_tell_surfaces_from_noise(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "SIDE", 32)
    monkeypatch.setattr(small, "PRETRAINED", 6400)
    monkeypatch.setattr(small, "TAUGHT_STEPS", 60)
    first, second = small.surfaces(300, 0, 1), small.surfaces(300, 1000, 1)
    a, b = small.features(first.images), small.features(second.images)
    noise = small.features(torch.randint(0, 256, (300, 3, 32, 32), dtype=torch.uint8))
    assert a.shape[0] == 300
    assert abs(small.kernel_distance(a, b)) < 0.05 * small.kernel_distance(a, noise)
    assert small.defect_recall(small.surfaces(1000, 5000, 1), None, second, seed=0) > 0.4, "a guess finds 0.2"


@pytest.mark.parametrize("method", ["real", "gan-off", "gan-fixed", "gan-scheduled"])
def test_the_study_of_defects_runs_and_repeats_itself(small: Any, method: str) -> None:
    cell = module("generators_cells").Cell(small.DEFECTS, "20", method, 0)
    result = cell.run()
    assert set(result) == {"KID", "recall"}
    assert math.isfinite(result["KID"])
    assert cell.run() == result


def test_a_fixed_augmentation_is_there_from_the_first_step_on(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    of = small.DiscriminatorAugment.of

    def spy(self: Any, keys: Any) -> Any:
        seen.append(float(self.p))
        return of(self, keys)

    monkeypatch.setattr(small.DiscriminatorAugment, "of", spy)
    real = small.surfaces(20, 0, 0)
    small.sampled("gan-fixed", real, 0)
    assert set(seen) == {0.5}
    seen.clear()
    small.sampled("gan-scheduled", real, 0)
    assert seen[0] == 0 < seen[-1] < 0.5


def test_the_study_of_stacked_digits_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    stacked = module("generators_stacked")
    monkeypatch.setattr(stacked, "SECONDS", 0.3)
    monkeypatch.setattr(stacked, "SAMPLES", 100)
    for method in stacked.METHODS:
        result = stacked.stacked("digits", method, 0)
        assert 1 <= result["modes"] <= 100
        assert result["KL"] >= 0


@pytest.mark.parametrize("gamma", [0.5, None])
def test_the_forms_of_a_step_have_the_same_gradients(gamma: float | None) -> None:
    perf, speed = module("generators_perf"), module("generators_speed")
    on = speed.judged("cpu")
    found = []
    for loss in (
        lambda: perf.autograd_loss(on.gan.discriminator, on.real, on.fake, on.labels, gamma),
        lambda: discriminator_loss(on.gan.discriminator, on.real, on.fake, on.labels, gamma=gamma)[0],
    ):
        speed.d_step(on.gan, loss)()
        found.append([p.grad for p in on.gan.discriminator.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_perf_measures_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    perf = module("generators_perf")
    compiled: list[bool] = []

    def compile_(function: Any, **_: Any) -> Any:
        compiled.append(True)
        return function

    monkeypatch.setattr(torch, "compile", compile_)  # it takes a minute, and is torch's to test
    rows = perf.perf_rows(2, "cpu")
    times = [row for row in rows if row.unit == "ms"]
    assert len(times) == 12
    assert len(compiled) == 8, "heavy and light steps of two precisions, with and without lazy penalties"
    assert {row.target for row in rows if "compiled func / func" in row.name} == {"<= 0.7"}
    values = {row.name: row.value for row in times}
    every, lazy = (
        values[f"G3 D step, func, float32, penalties in each{n}, 1x8x8, batch 64, cpu"] for n in ("", " of 4")
    )
    assert lazy < every, "three of four steps have no penalties"


@without_gpu
def test_without_a_gpu_rows_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program, rows_module = module("generators"), module("rows")
    monkeypatch.setattr(rows_module, "RESULTS", tmp_path / "benchmarks" / "results")
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(program, "measure", lambda cells, *_: pytest.fail(f"measured {cells}") if cells else {})
    arguments = ["generators.py", "--only", "stacked,defects,perf", "--cache", str(tmp_path / "none")]
    monkeypatch.setattr(sys, "argv", arguments)
    program.main()
    rows = json.loads((tmp_path / "benchmarks" / "results" / "generators-gpu.json").read_text())["rows"]
    assert {row["name"][:2] for row in rows} == {"G1", "G2", "G3"}
    assert {row["unit"] for row in rows} == {"not measured: no GPU"}
    assert all(row["value"] is None for row in rows)
    asked = {row["target"] for row in rows if row["target"]}
    assert asked == {">= 990", "<= 0.1", "<= 600", "<= 0.5", "<= 0.7"}
