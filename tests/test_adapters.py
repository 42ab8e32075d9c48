"""Generators from elsewhere: their samples go into banks, by class, and the same on every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from torch import Tensor, nn

from torchaug.data import TableDataset, read_table
from torchaug.data.bank.tables import bank_table
from torchaug.data.leaks import fingerprint
from torchaug.training.adapters import DrawnTable, ModuleSynthesizer, from_ctgan, from_sdv


class Own(nn.Module):
    """A user's generator, with a norm that would mix rows were it in training."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm, self.out = nn.Embedding(2, 6), nn.BatchNorm1d(6), nn.Linear(6, 12)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        out: Tensor = torch.tanh(self.out(self.norm(z + self.embedding(labels)))).view(-1, 3, 2, 2)
        return out


def table() -> TableDataset:
    generator = np.random.default_rng(0)
    label = generator.random(60) < 0.2
    return read_table(
        pandas.DataFrame(
            {"amount": generator.random(60) + label, "job": generator.choice(["a", "b"], 60), "fraud": label}
        ),
        label="fraud",
    )


class Foreign:
    """Draws rows of the data from numpy's global state, as ctgan does, whatever class is asked for."""

    def __init__(self, frame: pandas.DataFrame) -> None:
        self.frame, self.asked = frame, list[Any]()

    def sample(self, n: int = 0, column: str | None = None, value: Any = None, num_rows: int = 0) -> pandas.DataFrame:
        self.asked.append((n or num_rows, column, value))
        rows = np.random.randint(0, len(self.frame), n or num_rows)  # noqa: NPY002
        return self.frame.iloc[rows].reset_index(drop=True)


def test_a_module_of_the_users_makes_a_bank_row_by_row(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = ModuleSynthesizer(Own(), ["cat", "dog"], latent=6)
    labels, keys = torch.tensor([0, 1, 1, 0]), torch.tensor([5, 6, 7, 5])
    images = own.make(labels, keys)["image"]
    assert (images.dtype, images.shape) == (torch.uint8, (4, 3, 2, 2))
    assert torch.equal(images[0], images[3])
    assert torch.equal(own.make(labels[1:2], keys[1:2])["image"][0], images[1])
    banks = [own.synthesize({"dog": 7}, tmp_path / str(size), batch_size=size) for size in (2, 7)]
    assert banks[0] is not None
    assert banks[1] is not None
    assert torch.equal(banks[0].in_memory().images, banks[1].in_memory().images)
    assert banks[0].counts() == {"cat": 0, "dog": 7}


def test_values_of_a_module_span_the_levels() -> None:
    class Ends(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return torch.tensor([-1.0, 0.0, 1.0, 3.0]).expand(len(z), 1, 1, 4)

    assert ModuleSynthesizer(Ends(), latent=1).make(torch.zeros(1).long(), torch.zeros(1).long())[
        "image"
    ].flatten().tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.Identity(), r"a image of 3 dimensions for each of 2 latents, got \(2, 3\)"),
        (nn.Sequential(nn.Unflatten(1, (3, 1, 1)), nn.Threshold(9, float("nan"))), "got NaN or infinity"),
    ],
)
def test_what_a_module_makes_is_checked(module: nn.Module, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ModuleSynthesizer(module, latent=3).sample(2)


@pytest.mark.parametrize("make", [from_ctgan, from_sdv])
def test_rows_of_other_classes_are_rejected(make: Any, tmp_path: Path) -> None:
    data = table()
    model = Foreign(data.to_frame())
    drawn: DrawnTable = make(model, data, name="foreign")
    made = drawn.sample(50, "true")
    assert made.labels.tolist() == [1] * 50
    amounts = data.numeric[data.labels == 1]
    assert bool(torch.isin(made.numeric, amounts).all())
    if make is from_ctgan:
        assert model.asked[0][1:] == ("fraud", "true")
    bank = drawn.synthesize({"true": 30, "false": 10}, tmp_path / "bank", shard_size=16)
    assert bank is not None
    assert bank_table(bank).to_frame()["fraud"].value_counts().to_dict() == {True: 30, False: 10}
    assert bank.trained_on == (fingerprint(data),)


def test_a_draw_is_repeated_and_leaves_global_states_alone() -> None:
    data = table()
    drawn = from_ctgan(Foreign(data.to_frame()), data, name="foreign")
    before: Any = np.random.get_state()  # noqa: NPY002
    torch_before = torch.get_rng_state()
    first = drawn.sample(40, seed=1)
    after: Any = np.random.get_state()  # noqa: NPY002
    assert (before[1] == after[1]).all()
    assert before[2:] == after[2:]
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.random.random(3)  # noqa: NPY002
    assert torch.equal(drawn.sample(40, seed=1).numeric, first.numeric)
    assert not torch.equal(drawn.sample(40, seed=2).numeric, first.numeric)


def test_a_class_that_never_comes_is_given_up_with_a_count() -> None:
    data = table()
    frame = data.to_frame()
    barren = Foreign(frame[~frame["fraud"]])
    with pytest.raises(RuntimeError, match="expected 5 rows of 'true' from barren, got 0 among 192"):
        from_ctgan(barren, data, name="barren", tries=3).sample(5, "true")
