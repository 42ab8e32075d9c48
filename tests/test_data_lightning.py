"""The exact mixture inside Lightning: nothing is re-sampled, lost on resume, or drawn by two ranks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from torchaug.data import DeviceLoader, MixedDataset, MixedSampler, Source, TensorImages
from torchaug.keys import uniforms

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),  # in Lightning itself
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*resuming from a checkpoint that ended before the epoch"),
]
BATCH, STEPS = 8, 6


def images(count: int, value: int) -> TensorImages:
    pixels = torch.full((count, 1, 2, 2), value, dtype=torch.uint8)
    return TensorImages(pixels, torch.arange(count) % 2, ["a", "b"])


class Keyed(nn.Module):
    """Stands for a transform of ours: hands its keys on."""

    def draw(self) -> None:
        """What tells the loader to pass keys."""

    def forward(self, batch: dict[str, Tensor], *, keys: Tensor) -> dict[str, Tensor]:
        return batch | {"key": keys}


def make_loader(batch: int = BATCH, workers: int = 0) -> DeviceLoader:
    data = MixedDataset([Source.real(images(150, 1)), Source("bank", images(50, 2), kind="bank")])
    sampler = MixedSampler(data, 0.25, batch_size=batch, steps_per_epoch=STEPS)
    return DeviceLoader(DataLoader(data, batch_size=batch, sampler=sampler, num_workers=workers), Keyed())


class Recorder(lightning.LightningModule):
    """Learns nothing, and notes what it is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.folder = folder

    def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
        row = [self.current_epoch, number, batch["id"].tolist(), batch["key"].tolist()]
        with open(self.folder / f"rank{self.global_rank}.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        return self.weight * batch["image"].float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def seen(self, rank: int = 0) -> list[Any]:
        return [json.loads(line) for line in (self.folder / f"rank{rank}.jsonl").read_text().splitlines()]


def make_trainer(**options: Any) -> lightning.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(accelerator="cpu", **(quiet | {"enable_checkpointing": False} | options))


def run(folder: Path, loader: Any = None, resume: Path | None = None, **options: Any) -> tuple[Any, lightning.Trainer]:
    folder.mkdir(exist_ok=True)
    module, trainer = Recorder(folder), make_trainer(**options)
    trainer.fit(module, make_loader() if loader is None else loader, ckpt_path=resume)
    return module, trainer


class Learner(Recorder):
    """Learns by SGD, and notes its losses too."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.weight = nn.Parameter(torch.tensor([0.3, -0.2]))

    def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
        super().training_step({**batch, "image": torch.zeros(1)}, number)
        u = uniforms(batch["key"], 3)
        loss = (u[:, :2] @ self.weight - u[:, 2]).square().mean()
        with open(self.folder / f"loss{self.global_rank}.jsonl", "a") as file:
            file.write(f"{loss.item()!r}\n")
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)

    def losses(self, rank: int = 0) -> Tensor:
        lines = (self.folder / f"loss{rank}.jsonl").read_text().splitlines()
        return torch.tensor([float(line) for line in lines], dtype=torch.float64)


class SaveAt(lightning.Callback):
    """Saves a checkpoint after each of some steps, as `ModelCheckpoint(every_n_train_steps=...)` does."""

    def __init__(self, folder: Path, steps: list[int]) -> None:
        self.folder, self.steps = folder, steps

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step in self.steps:
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


@pytest.mark.parametrize(("workers", "stops"), [(0, [1, 4, 5, 6, 8, 12]), (2, [4, 6])])
def test_a_run_resumed_by_lightning_sees_what_an_unbroken_one_sees(
    tmp_path: Path, workers: int, stops: list[int]
) -> None:
    save = SaveAt(tmp_path, stops)
    whole, _ = run(tmp_path / "whole", make_loader(workers=workers), max_epochs=3, callbacks=[save])
    assert len(whole.seen()) == 3 * STEPS
    for stop in stops:
        rest, _ = run(tmp_path / f"{stop}", make_loader(workers=workers), tmp_path / f"{stop}.ckpt", max_epochs=3)
        assert rest.seen() == whole.seen()[stop:], f"resumed after {stop} steps"


def test_fewer_batches_of_each_epoch_are_its_first_ones(tmp_path: Path) -> None:
    short, _ = run(tmp_path / "short", max_epochs=3, limit_train_batches=2)
    whole, _ = run(tmp_path / "whole", max_epochs=3)
    assert short.seen() == [row for row in whole.seen() if row[1] < 2]


def test_a_plain_data_loader_keeps_its_mixed_sampler(tmp_path: Path) -> None:
    class Plain(Recorder):
        def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
            return super().training_step(batch | {"key": batch["id"]}, number)

    module = Plain(tmp_path)
    make_trainer(max_epochs=2).fit(module, make_loader().loader)
    whole, _ = run(tmp_path / "whole", max_epochs=2)
    assert [row[:3] for row in module.seen()] == [row[:3] for row in whole.seen()]


@pytest.mark.slow
def test_two_ranks_share_the_stream_of_one(tmp_path: Path) -> None:
    alone, _ = run(tmp_path / "alone", max_epochs=2)
    loader = make_loader(BATCH // 2)
    both, _ = run(tmp_path / "both", loader, max_epochs=2, devices=2, strategy="ddp_spawn")
    for one, *ranks in zip(alone.seen(), both.seen(0), both.seen(1), strict=True):
        together = [pair for rank in ranks for pair in zip(rank[2], rank[3], strict=True)]
        assert sorted(together) == sorted(zip(one[2], one[3], strict=True))
        assert [sum(i >= 150 for i in rank[2]) for rank in ranks] == [1, 1]


DIES = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from lightning.pytorch.strategies import DDPStrategy
from test_data_lightning import BATCH, Learner, SaveAt, make_loader, make_trainer

class Dies(Learner):
    def training_step(self, batch, number):
        if self.global_rank == 1 and self.trainer.global_step == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(batch, number)

folder = Path(sys.argv[1])
trainer = make_trainer(
    max_epochs=3, devices=2, strategy=DDPStrategy(timeout=timedelta(seconds=60)), callbacks=[SaveAt(folder, [4, 8])]
)
trainer.fit(Dies(folder), make_loader(BATCH // 2))
"""


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_run_and_one_rank_goes_on_with_exactly_the_rest(tmp_path: Path) -> None:
    script, folder = tmp_path / "dies.py", tmp_path / "both"
    script.write_text(DIES)
    folder.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    answer = subprocess.run(
        [*command, script, folder], env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    ended = time.time()
    assert answer.returncode != 0
    assert re.search(r"Root Cause[^=]*rank +: 1[^=]*SIGKILL", answer.stderr), answer.stderr
    both, alone = Learner(folder), Learner(tmp_path / "alone")
    died = (folder / "rank0.jsonl").stat().st_mtime
    assert ended - died < 60, "seconds from the last step to the end of all processes"
    assert len(both.seen(1)) == 9

    (tmp_path / "alone").mkdir()
    make_trainer(max_epochs=3).fit(alone, make_loader())
    for one, *ranks in zip(alone.seen(), both.seen(0), both.seen(1), strict=False):
        assert sorted(ranks[0][2] + ranks[1][2]) == sorted(one[2])
    torch.testing.assert_close((both.losses(0)[:9] + both.losses(1)) / 2, alone.losses()[:9], rtol=0, atol=1e-5)
    assert alone.losses()[:9].diff().abs().min() > 1e-4, "losses differ from step to step"

    rest = Learner(tmp_path / "rest")
    rest.folder.mkdir()
    make_trainer(max_epochs=3).fit(rest, make_loader(), ckpt_path=folder / "8.ckpt", weights_only=True)
    assert rest.seen() == alone.seen()[8:]
    torch.testing.assert_close(rest.losses(), alone.losses()[8:], rtol=0, atol=1e-5)
