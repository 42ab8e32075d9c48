"""Live samples come from a frozen copy of the generator, which changes only when it is told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from torchaug.data import DeviceLoader, MixedDataset, MixedSampler, Snapshot, Source, TensorImages
from torchaug.training.fit import fit
from torchaug.training.gan import LitGAN
from torchaug.training.load import load_generator
from torchaug.training.vae import LitVAE

STEPS = 5


class Noisy(nn.Module):
    """Makes images of its weight and the label; dropout shows whether it is in eval()."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(0.5)
        self.trained_on = "ab"

    def make(self, labels: Tensor, keys: Tensor) -> dict[str, Tensor]:
        level: Tensor = self.dropout(self.weight.expand(len(labels))) + labels / 100 + (keys % 7) / 1000
        return {"image": level.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)}


class Rows(Dataset[Any]):
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def make_loader(fill: Any, **options: Any) -> DeviceLoader:
    real = TensorImages(torch.zeros(40, 1, 2, 2, dtype=torch.uint8), torch.arange(40) % 2, ["a", "b"])
    data = MixedDataset([Source.real(real), Source.live(trained_on="ab")])
    options = {"classes": "proportional"} | options
    sampler = MixedSampler(data, 0.25, batch_size=8, steps_per_epoch=STEPS, **options)
    return DeviceLoader(DataLoader(data, batch_size=8, sampler=sampler), fill=fill, device="cpu")


def live_of(loader: DeviceLoader) -> Tensor:
    return torch.cat([batch["image"][batch["is_synthetic"]] for batch in loader])


def test_a_generator_that_trains_on_changes_nothing_until_the_copy_is_renewed() -> None:
    generator = Noisy().train()
    fill = Snapshot(generator)
    before = live_of(make_loader(fill))
    with torch.no_grad():
        generator.weight.fill_(0.9)
    assert torch.equal(live_of(make_loader(fill)), before)
    assert generator.training
    fill.refresh()
    after = live_of(make_loader(fill))
    assert (after.int() - before.int() > 90).all(), "0.4 of 255 more"
    assert not any(parameter.requires_grad for parameter in fill._copy.parameters())


def test_every_live_sample_says_of_which_version_it_is() -> None:
    fill = Snapshot(Noisy())
    loader = make_loader(fill)
    for version in (0, 1):
        for batch in loader:
            assert torch.equal(batch["version"], torch.where(batch["is_synthetic"], version, -1))
        fill.refresh()


def test_rows_of_tables_are_made_live_too() -> None:
    table = [{"table": torch.zeros(3), "label": row % 2} for row in range(40)]
    data = MixedDataset([Source("real", Rows(table), labels=torch.arange(40) % 2), Source.live()])
    sampler = MixedSampler(data, 0.25, batch_size=8, steps_per_epoch=STEPS, classes="proportional")

    def fill(draws: Tensor, labels: Tensor) -> Tensor:
        return (10 + labels).float()[:, None].expand(-1, 3)

    for batch in DeviceLoader(DataLoader(data, batch_size=8, sampler=sampler), fill=fill, device="cpu"):
        wanted = torch.where(batch["is_synthetic"], 10.0 + batch["label"], 0.0)
        assert torch.equal(batch["table"], wanted[:, None].expand(-1, 3))


def test_samples_are_functions_of_seed_draw_and_label() -> None:
    generator = Noisy()
    draws, labels = torch.arange(20), torch.arange(20) % 2
    made = Snapshot(generator, seed=1)(draws, labels)
    order = torch.randperm(20)
    assert torch.equal(Snapshot(generator, seed=1)(draws[order], labels[order]), made[order])
    assert not torch.equal(Snapshot(generator, seed=2)(draws, labels), made)
    assert Snapshot(generator).trained_on == "ab"
    assert Snapshot(generator).trained_items is None


def test_a_class_that_the_generator_was_not_trained_on_is_refused(tmp_path: Path) -> None:
    real = TensorImages(torch.zeros(12, 1, 8, 8, dtype=torch.uint8), torch.arange(12) % 3, ["a", "b", "c"])
    some = real.subset([0, 1, 3, 4])  # none of c
    settings = {"latent": 4}
    generator = load_generator(fit("vae", some, out=tmp_path, steps=1, batch_size=4, settings=settings, every=0))
    fill = Snapshot(generator)

    def loader(data: TensorImages) -> DeviceLoader:
        mixed = MixedDataset([Source.real(data), Source.live(trained_on=fill.trained_on)])
        sampler = MixedSampler(mixed, 0.5, batch_size=8, steps_per_epoch=STEPS, classes="proportional")
        return DeviceLoader(DataLoader(mixed, batch_size=8, sampler=sampler), fill=fill, device="cpu")

    assert len(list(loader(some))) == STEPS
    with pytest.raises(ValueError, match=r"trained on \(a, b\), got 'c', of which"):
        list(loader(real))


def test_a_plan_without_classes_does_not_fit_a_generator_that_needs_them() -> None:
    with pytest.raises(ValueError, match=r"fill= makes samples of classes.*classes='proportional'"):
        make_loader(Snapshot(Noisy()), classes=None)
    with pytest.raises(TypeError, match=r"a module with make\(labels, keys\).* got Linear"):
        Snapshot(nn.Linear(1, 1))


@pytest.mark.parametrize("kind", [LitGAN, LitVAE])
def test_generators_in_training_can_be_copied(kind: Any) -> None:
    generator = kind((1, 8, 8), ["a", "b"], steps=4)
    fill = Snapshot(generator)
    state = torch.get_rng_state()
    made = fill(torch.arange(4), torch.tensor([0, 1, 0, 1]))
    assert made.shape == (4, 1, 8, 8)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(fill(torch.arange(4), torch.tensor([0, 1, 0, 1])), made)
