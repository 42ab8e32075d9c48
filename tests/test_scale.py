"""One bank by many: whoever makes which shard, however often they are killed, the files are those of one process."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchaug.cli import main
from torchaug.data import Bank, digits
from torchaug.keys import fold_in, sample_keys, uniforms
from torchaug.training.fit import fit
from torchaug.training.load import load_generator
from torchaug.training.plan import SynthesisPlan, launched_as
from torchaug.training.predict import PlannedShards, WriteShards
from torchaug.training.synthesize import make_columns, pick_device, synthesize
from torchaug.training.synthesizer import Synthesizer

COUNTS: dict[str, int] = {"3": 21, "7": 10, "8": 9}
OPTIONS: dict[str, Any] = {"seed": 5, "shard_size": 8}  # 40 images in 5 shards
ROOT = Path(__file__).parent.parent


class Dots(Synthesizer, nn.Module):
    """A generator that costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = ["ant", "bee", "cow"]
        self.weight = nn.Parameter(torch.tensor(0.5))

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> dict[str, Tensor]:
        pixels: Tensor = self.weight * (uniforms(keys, 4) + labels[:, None] / 2)
        return {"image": (pixels * 255).to(torch.uint8).reshape(-1, 1, 2, 2)}


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit("vae", digits(), out=tmp_path_factory.mktemp("generator"), steps=3, every=0)


@pytest.fixture(scope="module")
def alone(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a bank that one process made without a break."""
    path = tmp_path_factory.mktemp("banks") / "alone"
    synthesize(load_generator(checkpoint), COUNTS, path, **OPTIONS)
    return files(path)


# The plan


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any), st.integers(1, 12), st.integers(0, 99))
def test_a_plan_holds_what_was_asked_for_in_order(counts: list[int], size: int, seed: int) -> None:
    plan = SynthesisPlan(tuple(counts), seed, size)
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    numbers = [number for count in counts for number in range(count)]
    shards = [plan.shard(number) for number in range(len(plan))]
    assert [shard.number for shard in shards] == list(range(len(plan)))
    assert torch.cat([shard.labels for shard in shards]).tolist() == labels
    assert torch.cat([shard.ids for shard in shards]).tolist() == list(range(len(labels)))
    assert [len(shard.ids) for shard in shards] == [plan.size(number) for number in range(len(plan))]
    assert {len(shard.ids) for shard in shards[:-1]} <= {size}
    keys = fold_in(sample_keys(torch.tensor(numbers), seed=seed), torch.tensor(labels))
    assert torch.equal(torch.cat([shard.keys for shard in shards]), keys)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 9))
def test_parts_are_a_partition_and_as_equal_as_can_be(samples: int, size: int, world: int) -> None:
    plan = SynthesisPlan((samples,), 0, size)
    parts = [list(plan.part(rank, world)) for rank in range(world)]
    assert sorted(number for part in parts for number in part) == list(range(len(plan)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_plan_of_a_billion_is_a_few_numbers() -> None:
    plan = SynthesisPlan((10**9, 0, 5 * 10**8), 0, 1000)
    last = plan.shard(len(plan) - 1)
    assert (last.ids[-1].item(), last.labels.unique().tolist()) == (1_499_999_999, [2])
    assert plan.shard(10**6).labels.unique().tolist() == [2]
    assert plan.shard(10**6 - 1).labels.unique().tolist() == [0]
    with pytest.raises(IndexError, match="shards are 0 to 1499999, got 1500000"):
        plan.shard(1_500_000)


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_part_that_is_none_is_refused(rank: int, world: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"rank must be in \[0, world_size\), got {rank} and {world}"):
        synthesize(Dots(), {0: 3}, tmp_path, rank=rank, world_size=world)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "3"}, (1, 3)),
        ({"RANK": "3", "WORLD_SIZE": "3"}, None),
        ({"RANK": "1"}, None),
        ({"WORLD_SIZE": "2"}, None),
        ({"RANK": "one", "WORLD_SIZE": "2"}, None),
    ],
)
def test_the_launcher_says_which_process_this_is(
    said: dict[str, str], expected: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    if expected is not None:
        assert launched_as() == expected
    else:
        with pytest.raises(ValueError, match=r"expected RANK in \[0, WORLD_SIZE\) in the environment"):
            launched_as()


def test_each_process_of_a_machine_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for local, gpu in (("0", 0), ("1", 1), ("3", 1)):
        monkeypatch.setenv("LOCAL_RANK", local)
        assert pick_device("auto") == torch.device("cuda", gpu)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="one of 2 CUDA devices here, got 'cuda:2'"):
        pick_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda or cuda:N, got 'gpu'"):
        pick_device("gpu")


# One process after the other


def run_part(path: Path, rank: int, world: int, stop: int | None = None, **options: Any) -> Bank | None:
    """One process's part of a bank of five shards; interrupted after `stop` calls of the progress."""
    calls = 0

    def interrupt(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt

    options = OPTIONS | {"batch_size": 3} | options
    return synthesize(
        Dots(), dict(enumerate(COUNTS.values())), path, rank=rank, world_size=world, progress=interrupt, **options
    )


@settings(max_examples=25)
@given(
    cut=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(1, 12)), max_size=4),
    world=st.integers(1, 7),
    batch=st.integers(1, 9),
)
def test_the_bank_is_the_same_whoever_made_it_and_whatever_was_interrupted(
    cut: list[tuple[int, int, int]], world: int, batch: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, many = Path(folder, "one"), Path(folder, "many")
        assert run_part(one, 0, 1) is not None
        for before, rank, stop in cut:  # runs of other world sizes that did not come to their end
            with contextlib.suppress(KeyboardInterrupt):
                run_part(many, rank % before, before, stop)
        results = [run_part(many, rank, world, batch_size=batch) for rank in reversed(range(world))]
        assert files(many) == files(one)
        assert results[-1] is not None
        assert len(results[-1]) == 40


def test_a_process_that_is_done_before_the_others_does_not_fail(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert run_part(tmp_path, 6, 7) is None, "no shard for it"
    options: dict[str, Any] = {"rank": 1, "world_size": 2, "shard_size": 8, "batch_size": 4}
    assert synthesize(Dots(), {0: 20}, tmp_path / "other", progress=lambda *done: seen.append(done), **options) is None
    assert seen == [(4, 8), (8, 8), (8, 8)]
    with pytest.raises(ValueError, match="got no shard 0"):
        Bank(tmp_path / "other")


def test_parts_made_in_folders_of_their_own_are_the_bank_when_copied_together(tmp_path: Path) -> None:
    for rank in range(2):
        run_part(tmp_path / f"{rank}", rank, 2)
        shutil.copytree(tmp_path / f"{rank}", tmp_path / "all", dirs_exist_ok=True)
    run_part(tmp_path / "one", 0, 1)
    assert files(tmp_path / "all") == files(tmp_path / "one")


# On the command line


@pytest.fixture
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def arguments(checkpoint: Path, out: Path) -> list[str]:
    counts = ",".join(f"{name}={count}" for name, count in COUNTS.items())
    words = ["synthesize", "--checkpoint", str(checkpoint), "--counts", counts, "--out", str(out)]
    return [*words, "--seed", "5", "--shard-size", "8", "--device", "cpu"]


@pytest.mark.usefixtures("_quiet_environment")
def test_parts_of_a_job_array_and_ranks_of_torchrun_make_one_bank(
    checkpoint: Path,
    alone: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = arguments(checkpoint, tmp_path / "bank")
    assert main([*command, "--part", "1/3"]) == 0
    text = capsys.readouterr().out
    assert "making samples, part 1 of 3: 16 of 16" in text
    assert f"part 1 of 3 is done\n{tmp_path / 'bank'} is not whole yet" in text
    assert sorted(name for name in files(tmp_path / "bank") if name.endswith(".json")) == [
        "manifest.json",
        "shard-000001.json",
        "shard-000004.json",
    ]
    sizes: list[int] = []

    def noting(model: Any, labels: Tensor, keys: Tensor, batch_size: int, report: Any, given: Any) -> Any:
        sizes.append(batch_size)
        return make_columns(model, labels, keys, batch_size, report, given)

    monkeypatch.setattr("torchaug.training.synthesize.make_columns", noting)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):  # in another number than before
        monkeypatch.setenv("RANK", rank)
        assert main([*command, "--batch-size", "3"]) == 0
    text = capsys.readouterr().out
    assert text.count("is not whole yet") == 1
    assert "part 0 of 2 is done" in text
    assert "40 samples in" in text
    assert sizes == [3, 3, 3], "shards 0, 2 and 3, three images at once"
    assert files(tmp_path / "bank") == alone


DIES = """
import os, signal, sys
from torchaug.cli import main
from torchaug.data import files

write, shards = files._write, []

def killed_write(file, data):
    if data[8:9] == b"{" and b'"image"' in data[:500]:
        shards.append(file)
    if os.environ["RANK"] == "1" and len(shards) == 2:
        write(file, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(file, data)

files._write = killed_write
sys.exit(main(sys.argv[1:]))
"""


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *words]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)


@pytest.mark.slow
@pytest.mark.usefixtures("_quiet_environment")
def test_a_killed_rank_ends_torchrun_and_a_rerun_completes_the_bank(
    checkpoint: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    command = arguments(checkpoint, tmp_path / "bank")
    answer = torchrun(str(tmp_path / "dies.py"), *command)
    assert answer.returncode != 0
    assert "SIGKILL" in answer.stderr
    left = files(tmp_path / "bank")
    assert left["shard-000001.safetensors"] == alone["shard-000001.safetensors"], "what was written is not lost"
    assert 0 < len(left["shard-000003.safetensors.tmp"]) < len(alone["shard-000003.safetensors"])
    answer = torchrun("-m", "torchaug", *command)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("is done") == 2
    assert "40 samples in" in answer.stdout
    assert files(tmp_path / "bank") == alone


# By Lightning


class NoteRanks(L.Callback):
    """Notes which rank made which shard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_predict_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        (self.folder / f"{trainer.global_rank} {batch.number}").touch()

    def seen(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir())


def predict(checkpoint: Path, path: Path, *callbacks: L.Callback, **options: Any) -> Any:
    generator = load_generator(checkpoint)
    shards = PlannedShards(generator, COUNTS, path, **OPTIONS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")  # in Lightning itself
        trainer = L.Trainer(
            accelerator="cpu",
            callbacks=[WriteShards(shards), *callbacks],
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            default_root_dir=path,
            **options,
        )
        trainer.predict(generator, shards, return_predictions=False)
    return generator


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
def test_lightning_predicts_the_bank_of_synthesize_in_any_precision(
    precision: Any, checkpoint: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    run = load_generator(checkpoint)
    synthesize(run, COUNTS, tmp_path / "bank", rank=1, world_size=2, **OPTIONS)
    generator = predict(checkpoint, tmp_path / "bank", devices=1, precision=precision)
    assert files(tmp_path / "bank") == alone
    assert generator._exact == ()


@pytest.mark.slow
def test_two_processes_of_lightning_make_the_bank_of_one(
    checkpoint: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "ranks").mkdir()
    ranks = NoteRanks(tmp_path / "ranks")
    predict(checkpoint, tmp_path / "bank", ranks, devices=2, strategy="ddp_spawn")
    assert files(tmp_path / "bank") == alone
    assert ranks.seen() == ["0 0", "0 2", "0 4", "1 1", "1 3"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_lightning_bears_a_process_that_has_nothing_left_to_do(
    checkpoint: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    synthesize(load_generator(checkpoint), COUNTS, tmp_path / "bank", rank=1, world_size=2, **OPTIONS)
    (tmp_path / "ranks").mkdir()
    ranks = NoteRanks(tmp_path / "ranks")
    predict(checkpoint, tmp_path / "bank", ranks, devices=2, strategy="ddp_fork")
    assert files(tmp_path / "bank") == alone
    assert ranks.seen() == ["0 0", "0 2", "0 4"]
