"""The data path inside Lightning: nothing is re-sampled, lost on resume, or drawn by two ranks, and nothing is
transformed that is not trained on."""

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
from lightning.pytorch.trainer.connectors.data_connector import warning_cache
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from torchaug.data import DeviceLoader, MixedDataset, MixedSampler, Source, TensorImages, fingerprint
from torchaug.keys import fold_in, sample_keys, uniforms
from torchaug.training.callbacks import BatchTransform
from torchaug.training.mixed import MixedDataModule

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),  # in Lightning itself
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:.*resuming from a checkpoint that ended before the epoch"),
]
BATCH, STEPS = 8, 6


def images(count: int, value: int) -> TensorImages:
    pixels = torch.full((count, 1, 2, 2), value, dtype=torch.uint8)
    return TensorImages(pixels, torch.arange(count) % 2, ["a", "b"])


class Keyed(nn.Module):
    """Stands for a transform of ours: hands its keys on."""

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


# --- a transform as a callback ---


class Watcher(Recorder):
    """Notes training and validation batches, and has a hook of its own."""

    hooked = 0

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.hooked += 1
        return batch | {"hook": torch.tensor(1)}

    def training_step(self, batch: Any, number: int) -> Tensor:
        assert int(batch["hook"]) == 1, "the model's own hook runs first"
        return super().training_step(batch | {"id": batch["index"]}, number)

    def validation_step(self, batch: Any, number: int) -> None:
        assert "key" not in batch
        assert int(batch["hook"]) == 1


class Unhooked(Watcher):
    """As its parent, with Lightning's own hook."""

    on_after_batch_transfer = lightning.LightningModule.on_after_batch_transfer

    def training_step(self, batch: Any, number: int) -> Tensor:
        return super().training_step(batch | {"hook": 1}, number)

    def validation_step(self, batch: Any, number: int) -> None:
        super().validation_step(batch | {"hook": 1}, number)


class Module(lightning.LightningDataModule):
    """Plain loaders."""

    def train_dataloader(self) -> Any:
        return plain()

    def val_dataloader(self) -> Any:
        return plain()


class Hooked(Module):
    """With a hook of its own, which Lightning prefers to the model's."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        assert "key" not in batch
        return batch | {"hook": torch.tensor(1)}


def plain(count: int = 20, batch: int = 8, **options: Any) -> DataLoader[Any]:
    return DataLoader(images(count, 3), batch_size=batch, **options)


@pytest.mark.parametrize("kind", [Watcher, Unhooked])
@pytest.mark.parametrize("data", [None, Module, Hooked])
@pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer` in (both )?`LightningModule`")
def test_a_callback_transforms_what_is_trained_on_and_nothing_else(tmp_path: Path, kind: Any, data: Any) -> None:
    module, callback = kind(tmp_path), BatchTransform(Keyed(), seed=5)
    trainer = make_trainer(max_epochs=2, callbacks=[callback], num_sanity_val_steps=1)
    source = data() if data else None
    loaders: Any = {"datamodule": source} if data else {"train_dataloaders": plain(), "val_dataloaders": plain()}
    trainer.fit(module, **loaders)
    keys = {(epoch, id_): key for epoch, _, ids, keys in module.seen() for id_, key in zip(ids, keys, strict=True)}
    due = [sample_keys(torch.arange(20), seed=5, epoch=epoch).tolist() for epoch in range(2)]
    assert keys == {(epoch, id_): due[epoch][id_] for epoch in range(2) for id_ in range(20)}
    for owner in (module, source):
        assert owner is None or "on_after_batch_transfer" not in vars(owner), "taken out at the end"
    assert (module.hooked > 0) == (kind is Watcher and data is not Hooked)


@pytest.mark.filterwarnings("error:You have overridden")
def test_a_callback_is_no_override(tmp_path: Path) -> None:
    warning_cache.clear()  # else Lightning would have said it before
    trainer = make_trainer(max_epochs=1, callbacks=[BatchTransform(Keyed())])
    trainer.fit(Unhooked(tmp_path), datamodule=Module())


def test_a_callback_leaves_after_an_error_too(tmp_path: Path) -> None:
    class Failing(Watcher):
        def training_step(self, batch: Any, number: int) -> Tensor:
            raise ZeroDivisionError("the step")

    module = Failing(tmp_path)
    own = module.on_after_batch_transfer
    module.on_after_batch_transfer = own  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        make_trainer(max_epochs=1, callbacks=[BatchTransform(Keyed())]).fit(module, plain())
    assert module.on_after_batch_transfer is own


class Nameless(Watcher):
    """Is given batches without ids."""

    def training_step(self, batch: Any, number: int) -> Tensor:
        return super().training_step(batch | {"index": torch.arange(len(batch["key"]))}, number)


def without_index(items: Any) -> Any:
    return {"image": torch.stack([item["image"] for item in items])}


def test_keys_of_a_callback_without_ids_are_of_places_and_resume(tmp_path: Path) -> None:
    save = SaveAt(tmp_path, [2, 3, 4])
    loader = plain(collate_fn=without_index)

    def train(folder: Path, resume: Path | None = None) -> list[Any]:
        folder.mkdir()
        module = Nameless(folder)
        callbacks = [BatchTransform(Keyed(), 1), *([] if resume else [save])]
        make_trainer(max_epochs=2, callbacks=callbacks).fit(module, loader, ckpt_path=resume)
        return module.seen()

    whole = train(tmp_path / "whole")
    assert [row[3] for row in whole] == [
        sample_keys(torch.arange(start, min(start + 8, 20)), seed=1, epoch=epoch).tolist()
        for epoch in range(2)
        for start in (0, 8, 16)
    ]
    for stop in (2, 3, 4):
        rest = train(tmp_path / f"{stop}", tmp_path / f"{stop}.ckpt")
        # a plain loader starts its epoch anew, and Lightning goes on counting: keys are those of the steps left
        assert [row[:2] for row in rest] == [row[:2] for row in whole[stop:]]
        for row, due in zip(rest, whole[stop:], strict=True):
            size = min(len(row[3]), len(due[3]))
            assert row[3][:size] == due[3][:size]


@pytest.mark.parametrize("replacement", [False, True])
def test_a_sample_drawn_again_is_augmented_anew(tmp_path: Path, replacement: bool) -> None:
    data = images(4, 1)
    sampler: Any = RandomSampler(data, replacement=True, num_samples=40, generator=torch.Generator().manual_seed(0))
    if not replacement:
        sampler = MixedSampler(MixedDataset([Source.real(data)]), 0.0, batch_size=4, steps_per_epoch=10)
    module = Unhooked(tmp_path)
    loader = DataLoader(data, batch_size=4, sampler=sampler)
    make_trainer(max_epochs=1, callbacks=[BatchTransform(Keyed())]).fit(module, loader)
    for _, step, ids, keys in module.seen():
        assert keys == fold_in(sample_keys(torch.tensor(ids), epoch=0), step).tolist()


def test_a_batch_is_not_transformed_twice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got a DeviceLoader with a transform"):
        make_trainer(max_epochs=1, callbacks=[BatchTransform(Keyed())]).fit(Recorder(tmp_path), make_loader())


@pytest.mark.slow
def test_ranks_of_a_callback_have_keys_of_their_own(tmp_path: Path) -> None:
    module = Nameless(tmp_path)
    trainer = make_trainer(max_epochs=1, callbacks=[BatchTransform(Keyed(), 2)], devices=2, strategy="ddp_spawn")
    trainer.fit(module, plain(32, 4, collate_fn=without_index))
    for rank in range(2):
        for _, step, _, keys in module.seen(rank):
            place = (step * 2 + rank) * 4
            assert keys == sample_keys(torch.arange(place, place + 4), seed=2).tolist()


# --- the data module ---


class OneCycle(Recorder):
    """Asks how many steps there will be, before Lightning has loaded the state of the loader."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        with open(self.folder / f"val{self.global_rank}.jsonl", "a") as file:
            file.write(json.dumps([batch["index"].tolist(), batch["is_synthetic"].any().item()]) + "\n")


def make_module(batch: int = BATCH, **options: Any) -> MixedDataModule:
    sources = [Source.real(images(150, 1)), Source("bank", images(50, 2), kind="bank")]
    steps = {"steps_per_epoch": STEPS}
    return MixedDataModule(sources, batch_size=batch, transform=Keyed(), sampler=steps, val=images(13, 9), **options)


def fit_module(folder: Path, data: MixedDataModule, resume: Path | None = None, **options: Any) -> OneCycle:
    folder.mkdir(exist_ok=True)
    module = OneCycle(folder)
    make_trainer(max_epochs=2, **options).fit(module, datamodule=data, ckpt_path=resume)
    return module


@pytest.mark.parametrize("workers", [0, 1])
def test_a_module_resumes_though_the_steps_were_asked_for(tmp_path: Path, workers: int) -> None:
    stops = [2, 6, 9] if not workers else [2]
    whole = fit_module(tmp_path / "whole", make_module(num_workers=workers), callbacks=[SaveAt(tmp_path, stops)])
    sampler = MixedSampler(make_module().train, 0.25, batch_size=BATCH, steps_per_epoch=STEPS)
    assert [row[2] for row in whole.seen()] == [sampler.plan(step).index.tolist() for step in range(2 * STEPS)]
    for stop in stops:
        rest = fit_module(tmp_path / f"{stop}", make_module(), tmp_path / f"{stop}.ckpt")
        assert rest.seen() == whole.seen()[stop:], f"resumed after {stop} steps"


def test_a_checkpoint_that_is_only_evaluated_does_not_move_training(tmp_path: Path) -> None:
    whole = fit_module(tmp_path / "whole", make_module(), callbacks=[SaveAt(tmp_path, [4])])
    data, module = make_module(), OneCycle(tmp_path)
    make_trainer().validate(module, datamodule=data, ckpt_path=tmp_path / "4.ckpt", verbose=False)
    again = fit_module(tmp_path / "again", data)
    assert again.seen() == whole.seen()


def test_evaluation_is_in_order_and_real(tmp_path: Path) -> None:
    fit_module(tmp_path, make_module(), num_sanity_val_steps=0)
    rows = [json.loads(line) for line in (tmp_path / "val0.jsonl").read_text().splitlines()]
    assert rows == [[list(range(8)), False], [list(range(8, 13)), False]] * 2
    assert make_module().test_dataloader() == []
    bank = MixedDataset([Source("fakes", images(4, 2), kind="bank")])
    sources = [Source.real(images(150, 1))]
    with pytest.raises(ValueError, match="data to evaluate on must be real, got bank source 'fakes'"):
        MixedDataModule(sources, batch_size=4, test=bank)
    module = MixedDataModule(sources, batch_size=4, test=bank, allow_synthetic_eval=True)
    assert next(iter(module.test_dataloader()))["is_synthetic"].all()


def test_a_generator_that_saw_the_test_data_is_refused() -> None:
    seen = images(6, 1)
    sources = [Source.real(images(9, 5)), Source("bank", images(5, 2), kind="bank", trained_on=fingerprint(seen))]
    with pytest.raises(ValueError, match="trained on the 6 held-out items"):
        MixedDataModule(sources, batch_size=4, test=seen)


@pytest.mark.slow
def test_ranks_of_a_module_share_all_of_its_data(tmp_path: Path) -> None:
    alone = fit_module(tmp_path / "alone", make_module())
    both = fit_module(
        tmp_path / "both", make_module(BATCH // 2), devices=2, strategy="ddp_spawn", num_sanity_val_steps=0
    )
    for one, *ranks in zip(alone.seen(), both.seen(0), both.seen(1), strict=True):
        together = [pair for rank in ranks for pair in zip(rank[2], rank[3], strict=True)]
        assert sorted(together) == sorted(zip(one[2], one[3], strict=True))
    files = [(tmp_path / "both" / f"val{rank}.jsonl").read_text().splitlines() for rank in range(2)]
    read = {index for lines in files for line in lines for index in json.loads(line)[0]}
    assert read == set(range(13))


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
