"""Where things are on a GPU, tested without one: what would meet in CUDA must be on one device, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_volume
import torch
import zoo_volume
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from pretend import GPU, pretended_gpu
from torch import nn

from torchaug.data import digits, transactions, vowels
from torchaug.image import DiffAugment, RandomAffine
from torchaug.models.privacy import Privacy
from torchaug.training.fit import fit
from torchaug.training.load import KINDS, load_generator

MISMATCH = "Expected all tensors to be on the same device"


@pytest.fixture(autouse=True)
def _without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's need a driver; an interpreter tests them (tests/test_kernels.py)."""
    monkeypatch.setattr("torchaug.image.kernels.DEVICES", ())


# The pretence


def test_what_is_on_two_devices_does_not_meet() -> None:
    with pretended_gpu():
        here, there = torch.arange(3), torch.arange(3, device=GPU)
        meetings: list[Callable[[], Any]] = [
            lambda: here + there,
            lambda: torch.cat([there, here]),
            lambda: here[there],
            lambda: torch.where(there > 1, there, here),
            lambda: nn.Linear(3, 1).to(GPU)(here.float()),
            lambda: torch.searchsorted(here, there),
        ]
        for meeting in meetings:
            with pytest.raises(RuntimeError, match=MISMATCH):
                meeting()
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            there.numpy()


def test_what_may_meet_on_a_gpu_does() -> None:
    with pretended_gpu():
        there = torch.arange(3, device=GPU)
        results = [
            there + torch.tensor(2),
            there[torch.tensor([0])],
            there.double(),
            torch.zeros_like(there),
            there.new_ones(2),
        ]
        results += [torch.ones(2).to(GPU), torch.ones(2).to(there), there.clone().copy_(torch.zeros(3))]
        assert {result.device for result in results} == {GPU}
        assert {result.device.type for result in (there.cpu(), there.to("cpu"), torch.ones(2))} == {"cpu"}
        assert there.is_cuda


def test_modules_learn_there() -> None:
    with pretended_gpu():
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).to(GPU)
        optimizer = torch.optim.Adam(model.parameters())
        before = next(model.parameters()).detach().cpu().clone()
        model(torch.randn(5, 3, device=GPU)).sum().backward()
        optimizer.step()
        assert {value.device for value in model.state_dict().values()} == {GPU}
        assert not torch.equal(next(model.parameters()).cpu(), before)


def test_waits_are_told_where_they_are_not_wanted() -> None:
    with pretended_gpu() as mode:
        there = torch.arange(3, device=GPU)
        waits: list[Callable[[], Any]] = [
            there.sum().item,
            there.tolist,
            there.nonzero,
            there.cpu,
            lambda: bool(there[0]),
        ]
        for wait in waits:
            wait()
            mode.waits = "error"
            with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
                wait()
            mode.waits = "default"


# Transforms of volumes: those of images, rows and sounds are followed by torch's fake tensors where they are tested


@pytest.mark.parametrize("name", zoo_volume.EVERY)
def test_volumes_are_transformed_there_as_here_without_a_wait(name: str) -> None:
    transform, batch = zoo_volume.EVERY[name], test_volume.labelled(dtype=torch.float32)
    expected = transform(batch).present()
    with pretended_gpu() as mode:
        there = batch.to(GPU)
        for keys in (there.key, batch.key):  # there, and on the host
            transform(there, keys=keys)  # what is made once
            mode.waits = "error"
            found = transform(there, keys=keys).present()
            mode.waits = "default"
            assert found.keys() == expected.keys()
            for field, value in found.items():
                assert value.device == GPU, field
                torch.testing.assert_close(value.cpu(), expected[field], rtol=0, atol=1e-3, equal_nan=True)


# Generators


class _Anywhere(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Nothing: the device is pretended."""


DATA: dict[str, Callable[[], Any]] = {"vae": digits, "gan": digits, "audio-vae": lambda: vowels(8, seconds=0.2)}
AUGMENT = {"vae": RandomAffine(10), "gan": DiffAugment("color,translation")}
PRIVACY = [("vae", {}), ("gan", {}), ("table-vae", {"width": 16}), ("table-diffusion", {"width": 16})]


def trained_there(kind: str, out: Path, steps: int, **options: Any) -> Path:
    strategy = SingleDeviceStrategy(device="cuda:0", accelerator=_Anywhere())
    data = DATA.get(kind, lambda: transactions(200))()
    with pretended_gpu():
        return fit(kind, data, out=out, steps=steps, batch_size=16, trainer={"strategy": strategy}, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_generators_are_trained_watched_saved_and_resumed_there(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"every": 4, "holdout": 0.2, "augment": AUGMENT.get(kind)}
    trained_there(kind, tmp_path, 8, **options)
    path = trained_there(kind, tmp_path, 12, resume=True, **options)
    generator, data = load_generator(path), DATA.get(kind, lambda: transactions(200))()
    some, name = data.subset(torch.arange(3)), data.classes[0]
    content = some if kind.startswith("table-") else next(iter(some.tensors().values()))
    here = generator.score(content, some.labels)
    with pretended_gpu():
        generator.to(GPU)
        generator.sample(3, name)
        generator.interpolate(0, 1, 3, labels=name)
        bank = generator.synthesize({name: 3}, tmp_path / "bank")
        there = generator.score(content, some.labels)
        assert there.device == GPU
        assert bank is not None
        assert len(bank) == 3
        torch.testing.assert_close(there.cpu(), here.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "settings"), PRIVACY)
def test_private_generators_are_trained_there(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    if kind.startswith("table-"):
        names = [column.name for column in transactions(200).columns if column.kind == "numeric"]
        settings = {**settings, "bounds": dict.fromkeys(names, (0.0, 100.0))}
    privacy = Privacy(epsilon=200.0, delta=1e-4, secret=1)
    trained_there(kind, tmp_path, 2, every=0, settings=settings, privacy=privacy)


def test_a_table_left_on_the_host_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pretence is for: a codec that is on the GPU given rows that are not."""
    from torchaug.training.table_base import LitTable

    usual = LitTable.on_fit_start

    def careless(self: LitTable) -> None:
        data: Any = self.trainer.datamodule.train  # type: ignore[attr-defined]
        self.model.codec.encode(data.numeric, data.categorical)
        usual(self)

    monkeypatch.setattr(LitTable, "on_fit_start", careless)
    with pytest.raises(RuntimeError, match=MISMATCH):
        trained_there("table-vae", tmp_path, 2)
