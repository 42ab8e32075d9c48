from __future__ import annotations

import csv
import functools
import math
import os
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from fakes import COLUMNS, Fake, rows
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from test_training import SMALL, module, same, shapes, trainer
from torch import Tensor

from torchaug.data import TableDataset
from torchaug.evaluate.features import TableFeatures, features_of, pixels, spectra
from torchaug.evaluate.fidelity import c2st, density_and_coverage, nearest_neighbour_ratio
from torchaug.training.alarm import Alarm, Check
from torchaug.training.callbacks import ReportProgress, SampleGrid
from torchaug.training.checkpoints import FiniteLoss, SaveCheckpoint, save_whole
from torchaug.training.data import SynthesisDataModule
from torchaug.training.fit import FILE, fit
from torchaug.training.load import KINDS, load_generator
from torchaug.training.monitor import Monitor
from torchaug.training.quiet import quiet
from torchaug.training.show import spectrograms, write_rows, write_wav

EARLY = Alarm(after=0)


@pytest.fixture(autouse=True)
def _fake_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "fake", Fake)


def train(lit: L.LightningModule, folder: Path, steps: int, data: Any = None, **options: Any) -> L.Trainer:
    with quiet():
        done = trainer(folder, steps, **options)
        done.fit(lit, data or SynthesisDataModule(rows(), batch_size=8, holdout=0.3))
    return done


def fake(act: str = "well", since: int = 0, steps: int = 20) -> Fake:
    return Fake(["ok", "fraud"], steps, act, since)


# Features


def test_features_of_a_table_are_standardised_numbers_marks_and_one_hots() -> None:
    numeric = torch.tensor([[0.0, 5.0], [2.0, 5.0], [torch.nan, 5.0]], dtype=torch.float64)
    codes = torch.tensor([[0], [1], [1]])
    found = features_of({"numeric": numeric, "categorical": codes}, {})({"table": torch.cat([numeric, codes], 1)})
    assert found[:, 0].tolist() == [-1.0, 1.0, 0.0]  # mean 1, deviation 1; missing: the mean
    assert found[:, 1].tolist() == [0.0, 0.0, 0.0]  # a constant
    assert found[:, 2].tolist() == [0.0, 0.0, 1.0]  # what is missing; the other column has no mark
    assert torch.dist(found[0, 3:], found[1, 3:]) == pytest.approx(1.0)
    far = TableFeatures(numeric, codes)({"table": torch.tensor([[1e9, 5.0, 0.0]])})
    assert far[0, 0] == 6
    assert far.isfinite().all()


def test_a_column_of_thousands_of_categories_stays_narrow() -> None:
    codes = torch.cat([torch.arange(3000), torch.full((10,), 7)])[:, None]
    found = TableFeatures(torch.zeros(3010, 0), codes)(
        {"numeric": torch.zeros(1, 0), "categorical": torch.tensor([[7]])}
    )
    assert found.shape == (1, 50)
    assert found.sum() > 0  # the most common one is among them


def test_features_of_images_keep_small_ones_and_average_large_ones() -> None:
    small = torch.randint(256, (2, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(pixels({"image": small}), small.flatten(1) / 255)
    blocks = torch.rand(2, 1, 22, 22).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert pixels({"image": blocks}).sub(blocks[:, :, ::4, ::4].flatten(1)).abs().max() < 1e-6


def test_features_of_sounds_see_their_pitch_and_their_time() -> None:
    time = torch.arange(8000) / 8000
    low, high = (torch.sin(2 * math.pi * hertz * time)[None, None] for hertz in (200, 2000))
    late = low * (time > 0.5)
    found = spectra(torch.cat([low, high, late])).unflatten(1, (24, 16))
    assert found[0].mean(1).argmax() < found[1].mean(1).argmax()
    assert found[2, :, 0].max() < found[2, :, -1].max() - 2
    both = features_of({"waveform": torch.zeros(1, 1, 9000)}, {"waveform": low})
    assert torch.equal(both({"waveform": low}), both({"waveform": torch.cat([low, high], 2)}))
    assert spectra(torch.zeros(1, 2, 10)).isfinite().all()
    with pytest.raises(ValueError, match="expected images, rows of a table or sounds, got text"):
        features_of({"text": torch.zeros(1)}, {})


# The monitor


def test_the_monitor_measures_what_fidelity_measures(tmp_path: Path) -> None:
    lit, monitor = fake(), Monitor(10)
    done = train(lit, tmp_path, 20, callbacks=[monitor])
    assert [check.step for check in monitor.checks] == [10, 20]
    data = done.datamodule  # type: ignore[attr-defined]
    made = monitor._make(lit, data.holdout.labels)
    features = features_of(data.train.tensors(), made)
    seen, kept, synthetic = (features(part) for part in (data.train.tensors(), data.holdout.tensors(), made))
    last = monitor.checks[-1]
    assert last.c2st == pytest.approx(c2st(kept, synthetic))
    assert last.nearest_neighbour_ratio == pytest.approx(nearest_neighbour_ratio(seen, synthetic, kept))
    assert (last.density, last.coverage) == pytest.approx(density_and_coverage(kept, synthetic))
    assert last.nearest_neighbour_ratio == pytest.approx(1.0, abs=0.4)
    assert last.progress == 1.0
    assert set(last.diversity) == {"ok", "fraud"}
    assert min(last.diversity.values()) > 0.6
    assert monitor.rung is None


def test_the_numbers_reach_loggers_and_progress(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    logger = CSVLogger(tmp_path, name="", version="")
    watch = [Monitor(4), ReportProgress(lambda done, total, metrics: seen.append(metrics), 4)]
    train(fake(), tmp_path, 8, callbacks=watch, logger=logger)
    assert len(seen) == 2
    assert seen[0]["monitor/c2st"] > 0
    with (tmp_path / "metrics.csv").open() as file:
        logged = [row for row in csv.DictReader(file) if row.get("monitor/coverage")]
    assert [int(row["step"]) for row in logged] == [4, 8]


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_watching_changes_nothing_in_the_training(kind: str, tmp_path: Path) -> None:
    alone, watched = module(kind), module(kind)
    data = [SynthesisDataModule(shapes(), batch_size=8, holdout=0.2) for _ in range(2)]
    random = torch.get_rng_state()
    train(alone, tmp_path, 4, data[0])
    monitor = Monitor(2)
    train(watched, tmp_path, 4, data[1], callbacks=[FiniteLoss(), monitor, SampleGrid(2)])
    one, other = (dict(lit.named_parameters()) for lit in (alone, watched))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), random)
    assert [check.step for check in monitor.checks] == [2, 4]
    assert watched.training


def test_the_monitor_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "half.ckpt"
    train(fake(), tmp_path, 6, callbacks=[Monitor(3), SaveCheckpoint(path, 6)])
    monitor = Monitor(3)
    with quiet():
        data = SynthesisDataModule(rows(), batch_size=8, holdout=0.3)
        trainer(tmp_path, 9, callbacks=[monitor]).fit(fake(), data, ckpt_path=path, weights_only=True)
    assert [check.step for check in monitor.checks] == [3, 6, 9]
    assert isinstance(monitor.checks[0], Check)


def test_what_cannot_be_watched_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds 3 rows or more back, got 0; pass holdout=0\.1"):
        train(fake(), tmp_path, 2, SynthesisDataModule(rows(), batch_size=8), callbacks=[Monitor(1)])
    with pytest.raises(ValueError, match="samples must be at least 3, got 2"):
        Monitor(1, samples=2)
    with pytest.raises(ValueError, match="Monitor: every_n_steps must be at least 1, got 0"):
        Monitor(0)


# The alarm


def check(step: int, *, ratio: float = 1.0, coverage: float = 0.9, fraud: float = 1.0, progress: float = 0.1) -> Check:
    return Check(step, progress, 0.5, ratio, 1.0, coverage, 0.97, {"ok": 1.0, "fraud": fraud})


def test_copying_rings_after_some_checks_in_a_row() -> None:
    alarm = Alarm(patience=3, after=0)
    low = [check(step, ratio=0.3) for step in (1, 2, 3)]
    assert alarm.rings(low[:2]) is None
    assert "copying since step 1: samples lie at 0.3 of the distance" in (alarm.rings(low) or "")
    assert alarm.rings([low[0], check(2), low[1], low[2]]) is None
    assert Alarm(after=2).rings(low) is None  # the first is not judged
    assert Alarm(copying=0, after=0).rings(low) is None


def test_a_class_that_collapses_is_named() -> None:
    alarm = Alarm(patience=2, after=0)
    fell = [check(1), check(2, fraud=0.1), check(3, fraud=0.05)]
    assert "collapse of fraud since step 2: its samples differ from each other by 0.05" in (alarm.rings(fell) or "")
    start = [check(step, fraud=0.05) for step in (1, 2, 3)]
    assert alarm.rings(start) is None  # at first all samples look alike
    assert alarm.rings([check(step, fraud=0.15, progress=0.6) for step in (1, 2, 3)]) is None
    late = [check(step, fraud=0.05, progress=0.6) for step in (1, 2, 3)]
    assert "collapse of fraud" in (alarm.rings(late) or "")
    assert Alarm(collapse=0, after=0).rings(fell) is None


def test_coverage_that_falls_rings() -> None:
    alarm = Alarm(patience=2, after=0)
    assert "collapse since step 2: samples cover 0.1 of the held-out data, after 0.8" in (
        alarm.rings([check(1, coverage=0.8), check(2, coverage=0.3), check(3, coverage=0.1)]) or ""
    )
    assert alarm.rings([check(1, coverage=0.1), check(2, coverage=0.01), check(3, coverage=0.01)]) is None


@given(
    st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.0, 1.0), st.floats(0.0, 2.0)), max_size=8), st.integers(1, 4)
)
def test_it_rings_only_for_what_was_wrong_at_every_one_of_the_last_checks(
    values: list[tuple[float, float, float]], patience: int
) -> None:
    checks = [check(step, ratio=r, coverage=c, fraud=f) for step, (r, c, f) in enumerate(values)]
    alarm = Alarm(patience=patience, after=0)
    text = alarm.rings(checks)
    each = [set(alarm.suspects(checks[: n + 1])) for n in range(len(checks))][-patience:]
    lasting = set.intersection(*each) if len(checks) >= patience else set()
    assert (text is not None) == bool(lasting)
    assert all(name in (text or "") for name in lasting)


def test_an_alarm_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"patience must be at least 1, .* got 0, 0.5 and 0.3"):
        Alarm(patience=0)


@pytest.mark.parametrize(
    ("act", "words"), [("copy", "copying since step 8"), ("same", "collapse of fraud since step 8")]
)
def test_the_training_stops_and_the_checkpoint_is_of_before(act: str, words: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 20, "batch_size": 8, "holdout": 0.3, "every": 2, "alarm": EARLY}
    with pytest.warns(UserWarning, match=words):
        fit("fake", rows(), out=tmp_path, settings={"act": act, "since": 8}, **options)
    kept = torch.load(tmp_path / FILE, weights_only=True)
    assert kept["global_step"] == 6
    assert not (tmp_path / "samples-0000014.csv").exists()
    assert (tmp_path / "samples-0000012.csv").exists()  # at 8, 10 and 12: three checks


def test_without_an_alarm_the_training_goes_on(tmp_path: Path) -> None:
    fit("fake", rows(), out=tmp_path, steps=20, holdout=0.3, alarm=None, settings={"act": "copy"}, batch_size=8)
    assert torch.load(tmp_path / FILE, weights_only=True)["global_step"] == 20


def test_an_alarm_before_anything_was_saved_keeps_what_there_is(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="copying since step 2"):
        fit("fake", rows(), out=tmp_path, steps=20, holdout=0.3, settings={"act": "copy"}, batch_size=8, alarm=EARLY)
    assert torch.load(tmp_path / FILE, weights_only=True)["global_step"] == 6


def test_what_was_wrong_at_the_end_is_not_saved_over_what_was_right(tmp_path: Path) -> None:
    """Too late for three checks in a row."""
    options: dict[str, Any] = {"steps": 20, "batch_size": 8, "holdout": 0.3, "every": 6, "alarm": EARLY}
    with pytest.warns(UserWarning, match=r"at the last check copying: samples lie at .* is of a step before; resume"):
        fit("fake", rows(), out=tmp_path, settings={"act": "copy", "since": 19}, **options)
    assert torch.load(tmp_path / FILE, weights_only=True)["global_step"] == 18


def test_there_is_a_check_before_each_saving_and_of_the_last_weights(tmp_path: Path) -> None:
    fit("fake", rows(), out=tmp_path, steps=25, batch_size=8, holdout=0.3, every=5, alarm=EARLY)
    (monitor,) = (
        state
        for name, state in torch.load(tmp_path / FILE, weights_only=True)["callbacks"].items()
        if name.startswith("Monitor")
    )
    assert [check["step"] for check in monitor["checks"]] == [2, 4, 5, 6, 8, 10, 12, 14, 15, 16, 18, 20, 22, 24, 25]


INTERRUPTED = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from lightning.pytorch.strategies import DDPStrategy
from torchaug.training.fit import fit
from test_monitor import rows

def one(done, total, metrics):
    if done == 10:
        os.kill(os.getpid(), signal.SIGINT)  # to rank 0 alone, which reports

strategy = DDPStrategy(timeout=timedelta(seconds=60))
fit("table-vae", rows(), out=sys.argv[1], steps=5000, batch_size=8, every=0, settings={"width": 16, "blocks": 1},
    progress=one, trainer={"accelerator": "cpu", "devices": 2, "strategy": strategy})
"""


@pytest.mark.slow
def test_ctrl_c_that_reaches_one_process_ends_all_after_the_same_step(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
        str(tmp_path),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode != 0
    assert "KeyboardInterrupt" in done.stderr
    step = torch.load(tmp_path / FILE, weights_only=True)["global_step"]
    assert 10 <= step <= 12, "the step under way, and not until the others gave up"


def test_ten_rows_are_trained_on_and_not_watched(tmp_path: Path) -> None:
    fit("fake", rows(10), out=tmp_path, steps=4, holdout=0.2, batch_size=4)
    assert load_generator(tmp_path / FILE).sample(3).numeric.shape == (3, 2)


# What is not finite


def test_a_term_that_is_nan_is_named_with_its_step_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    with pytest.raises(
        FloatingPointError, match=r"spread was not finite at step 8; .*generator.ckpt is of a step before"
    ):
        fit("fake", rows(), out=tmp_path, steps=20, every=3, batch_size=8, settings={"act": "nan", "since": 7})
    kept = torch.load(tmp_path / FILE, weights_only=True)
    assert kept["global_step"] == 6
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_a_term_that_is_nan_at_once_leaves_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="at step 1; nothing was saved yet"):
        fit("fake", rows(), out=tmp_path, steps=20, settings={"act": "nan"}, batch_size=8)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_images_of_a_rate_that_diverges_stop_too(kind: str, tmp_path: Path) -> None:
    settings = {**SMALL, "learning_rate": 1e30}
    with pytest.raises(FloatingPointError, match="a smaller learning_rate often helps"):
        fit(kind, shapes(), out=tmp_path, steps=30, settings=settings, batch_size=8, every=1)


def test_weights_that_are_not_finite_are_never_saved_over_good_ones(tmp_path: Path) -> None:
    lit, path = fake(), tmp_path / "good.ckpt"
    done = train(lit, tmp_path, 2, callbacks=[SaveCheckpoint(path, 2)])
    before = path.read_bytes()
    with torch.no_grad():
        lit.mean[0, 0] = torch.inf
    with pytest.raises(FloatingPointError, match=r"weights are not finite at step 2 \(mean and 0 more\)"):
        save_whole(done, path)
    assert path.read_bytes() == before


def test_a_kill_while_saving_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "good.ckpt"
    done = train(fake(), tmp_path, 2, callbacks=[SaveCheckpoint(path, 2)])
    before = path.read_bytes()

    def torn(file: Path, *_: Any) -> None:
        Path(file).write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(done, "save_checkpoint", torn)
    with pytest.raises(OSError, match="No space left"):
        save_whole(done, path)
    assert path.read_bytes() == before


# Accumulated gradients


def test_accumulated_gradients_are_those_of_a_large_batch(tmp_path: Path) -> None:
    large, small = fake(), fake()
    train(large, tmp_path, 5, SynthesisDataModule(rows(), batch_size=12))
    train(small, tmp_path, 5, SynthesisDataModule(rows(), batch_size=4), accumulate_grad_batches=3)
    assert small.seen == large.seen  # the same noise for the same samples
    assert torch.allclose(large.mean, small.mean, rtol=0, atol=1e-12)


class Gradients(L.Callback):
    def __init__(self) -> None:
        self.of_steps: list[Tensor] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        found = [weight.grad.flatten() for weight in pl_module.parameters() if weight.grad is not None]
        self.of_steps.append(torch.cat(found).clone())


def test_accumulated_gradients_of_a_vae_are_those_of_a_large_batch(tmp_path: Path) -> None:
    images, gradients = [module("vae") for _ in range(2)], [Gradients() for _ in range(2)]
    for lit, seen, size, batches in zip(images, gradients, (12, 4), (1, 3), strict=True):
        data = SynthesisDataModule(shapes(), batch_size=size)
        options: dict[str, Any] = {"precision": "64-true", "accumulate_grad_batches": batches, "callbacks": [seen]}
        train(lit, tmp_path, 3, data, **options)
    one, other = gradients[0].of_steps, gradients[1].of_steps
    assert len(one) == len(other) == 3
    assert torch.allclose(one[0], other[0], rtol=0, atol=1e-10)
    assert torch.dist(one[2], other[2]) < 1e-2 * one[2].norm()  # Adam makes whole steps of the last bits near 0
    assert [lit.ema.seen for lit in images] == [36, 36]


def test_a_training_with_accumulation_is_resumed_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"batch_size": 8, "settings": SMALL, "trainer": {"accumulate_grad_batches": 2}}
    whole = fit("vae", shapes(), out=tmp_path / "whole", steps=6, every=3, **options)

    def kill(done: int, *_: Any) -> None:
        if done == 5:
            raise RuntimeError("killed")

    each = functools.partial(ReportProgress, every_n_steps=1)
    with monkeypatch.context() as patch:
        patch.setattr("torchaug.training.run.ReportProgress", each)
        with pytest.raises(RuntimeError, match="killed"):
            fit("vae", shapes(), out=tmp_path / "cut", steps=6, every=3, progress=kill, **options)
    assert torch.load(tmp_path / "cut" / FILE, weights_only=True)["global_step"] == 3
    cut = fit("vae", shapes(), out=tmp_path / "cut", steps=6, every=3, resume=True, **options)
    assert same(*(torch.load(file, weights_only=True)["state_dict"] for file in (whole, cut)))


def test_watchers_come_once_a_step_where_gradients_are_accumulated(tmp_path: Path) -> None:
    seen: list[int] = []
    watch = ReportProgress(lambda done, *_: seen.append(done), 1)
    train(fake(), tmp_path, 3, callbacks=[watch], accumulate_grad_batches=4)
    assert seen == [1, 2, 3]


def test_the_gan_refuses_accumulation_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gan steps its optimisers itself, expected a larger batch_size"):
        fit("gan", shapes(), out=tmp_path, steps=2, trainer={"accumulate_grad_batches": 2})
    with pytest.raises(ValueError, match="its setting accumulate has a batch computed in parts"):
        fit("gan", shapes(), out=tmp_path, steps=2, trainer={"accumulate_grad_batches": 2})
    with pytest.raises(ValueError, match=r"table-gan steps .* got accumulate_grad_batches$"):  # it has no such setting
        fit("table-gan", rows(), out=tmp_path, steps=2, trainer={"accumulate_grad_batches": 2})


def test_options_that_fit_sets_itself_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected no max_steps for the Trainer"):
        fit("vae", shapes(), out=tmp_path, trainer={"max_steps": 3})
    with pytest.raises(ValueError, match="expected steps where several processes train, got seconds"):
        fit("vae", shapes(), out=tmp_path, seconds=3, trainer={"devices": 2})


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_bf16_trains_on_a_cpu(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 8, "settings": SMALL, "holdout": 0.3, "every": 0}
    path = fit(kind, shapes(40), out=tmp_path, steps=4, trainer={"precision": "bf16-mixed"}, **options)
    assert load_generator(path).sample(2).isfinite().all()


def test_resuming_on_other_samples_is_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"out": tmp_path, "batch_size": 8, "settings": SMALL, "every": 0}
    fit("vae", shapes(30), steps=2, **options)
    with pytest.raises(ValueError, match=r"was trained with samples .* resume with what it was trained with"):
        fit("vae", shapes(30, seed=1), steps=4, resume=True, **options)
    with pytest.raises(ValueError, match="was trained with samples"):
        fit("vae", shapes(30), steps=4, holdout=0.3, resume=True, **options)
    fit("vae", shapes(30), steps=3, holdout=0.2, resume=True, **options)  # of 6 samples none is held out


# What is shown


def test_samples_of_a_table_are_a_csv_of_its_values(tmp_path: Path) -> None:
    train(fake(), tmp_path, 4, callbacks=[SampleGrid(2, per_class=3)])
    with (tmp_path / "samples-0000004.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["label"] for row in found] == ["ok"] * 3 + ["fraud"] * 3
    assert all(row["colour"] in ("blue", "red", "") for row in found)
    assert all(row["age"].lstrip("-").isdecimal() for row in found)
    assert all(len(row["size"].partition(".")[2]) == 1 for row in found)


def test_a_csv_has_gaps_and_commas_as_they_are(tmp_path: Path) -> None:
    numeric = torch.tensor([[torch.nan, 3.0], [0.25, -2.0]], dtype=torch.float64)
    data = TableDataset(numeric, torch.tensor([[2], [0]]), COLUMNS, torch.tensor([1, 0]), ["a,b", 'c "d"'])
    write_rows(data, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        found = list(csv.reader(file))
    assert found == [["label", "size", "age", "colour"], ['c "d"', "", "3", ""], ["a,b", "0.2", "-2", "blue"]]


def test_sounds_are_written_one_after_the_other(tmp_path: Path) -> None:
    sounds = torch.stack([torch.full((1, 100), 0.5), torch.full((1, 100), -2.0)])
    write_wav(sounds, 1000, tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (1, 2, 1000, 600)
        values = torch.frombuffer(bytearray(file.readframes(600)), dtype=torch.int16)
    assert values[:100].unique().tolist() == [16384]
    assert values[100:300].unique().tolist() == [0]
    assert values[300:400].unique().tolist() == [-32767]


def test_a_spectrogram_shows_low_frequencies_below() -> None:
    time = torch.arange(8000) / 8000
    tone = torch.sin(2 * math.pi * 1000 * time)[None, None]
    picture = spectrograms(tone)
    assert picture.shape[:3] == (1, 1, 257)
    brightest = picture[0, 0].mean(1).argmax()
    assert brightest == 256 - 1000 / 8000 * 512
    assert picture.max() == 1
    assert picture.min() >= 0


class Sounds(Fake):
    kind = "sounds"

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> dict[str, Tensor]:
        time = torch.arange(4000) / 8000
        hertz = 300.0 + 600 * labels + keys.remainder(100)
        return {"waveform": torch.sin(2 * math.pi * hertz[:, None] * time)[:, None]}

    @property
    def attributes(self) -> dict[str, Any]:
        return {"sample_rate": 8000}


def test_samples_of_sounds_are_a_picture_and_a_wav(tmp_path: Path) -> None:
    train(Sounds(["low", "high"], 2), tmp_path, 2, callbacks=[SampleGrid(2, per_class=2)])
    with Image.open(tmp_path / "samples-0000002.png") as picture:
        assert picture.size[1] == 2 * 258 + 1
    with wave.open(str(tmp_path / "samples-0000002.wav")) as file:
        assert file.getnframes() == 4 * (4000 + 1600)
