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
from torchaug.data.bank.memory import bank_sounds
from torchaug.data.bank.tables import bank_table
from torchaug.data.leaks import fingerprint
from torchaug.training.adapters import DrawnTable, ModuleSynthesizer, from_ctgan, from_sdv
from torchaug.training.plan import class_keys


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


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_is_left_in_the_mode_in_which_it_was(fails: bool) -> None:
    module = Own()
    module.embedding.eval()
    before = {name: part.training for name, part in module.named_modules()}
    own = ModuleSynthesizer(module, ["cat", "dog"], latent=3 if fails else 6)
    if fails:
        with pytest.raises(RuntimeError):
            own.sample(2)
    else:
        own.sample(2)
        assert module.norm.num_batches_tracked == 0  # it was in eval() meanwhile
    assert {name: part.training for name, part in module.named_modules()} == before
    assert module.training


@pytest.mark.parametrize("source", ["torch", "numpy"])
def test_noise_of_a_modules_own_is_a_function_of_the_key(source: str, tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            noise = torch.rand(len(z), 2) if source == "torch" else torch.from_numpy(np.random.rand(len(z), 2))  # noqa: NPY002
            return torch.cat([z, noise.to(z.dtype)], 1).view(-1, 1, 1, 4)

    own = ModuleSynthesizer(Noisy(), latent=2)
    states: list[Any] = [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()]  # type: ignore[index] # noqa: NPY002
    first = own.sample(6, seed=3)
    assert states == [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()]  # type: ignore[index] # noqa: NPY002
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002
    assert torch.equal(own.sample(6, seed=3), first)
    assert torch.equal(own.sample(4, seed=3), first[:4])
    assert len(first[:, 0, 0, 2].unique()) == 6
    banks = [own.synthesize(7, tmp_path / str(size), batch_size=size) for size in (2, 7)]
    columns = [bank.column("image") for bank in banks if bank is not None]
    assert isinstance(columns[0], Tensor)
    assert isinstance(columns[1], Tensor)
    assert torch.equal(columns[0], columns[1])


def test_between_two_samples_latents_turn() -> None:
    class Show(nn.Module):
        def forward(self, z: Tensor, labels: Tensor) -> Tensor:
            return torch.cat([z, labels[:, None].float()], 1).view(-1, 1, 5)

    own = ModuleSynthesizer(Show(), ["a", "b"], latent=4, content="waveform", sample_rate=8000)
    way = own.interpolate(0, 3, steps=3, labels="b", seed=2)[:, 0]
    ends = own.make(torch.ones(2).long(), class_keys(torch.ones(2).long(), torch.tensor([0, 3]), 2))["waveform"][:, 0]
    assert torch.allclose(way[[0, 2]], ends, atol=1e-6)
    a, b, half = ends[0, :4], ends[1, :4], way[1, :4]
    angle = torch.arccos(torch.cosine_similarity(a, b, dim=0))
    assert torch.allclose(half, (a + b) / (2 * (angle / 2).cos()), atol=1e-5)
    assert way[:, 4].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        own.interpolate(0, 3, steps=1)


def test_sounds_of_a_module_are_read_from_their_bank(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Unflatten(1, (1, 50)))
    own = ModuleSynthesizer(module, latent=4, content="waveform", sample_rate=8000)
    bank = own.synthesize(5, tmp_path / "bank")
    assert bank is not None
    sounds = bank_sounds(bank)
    assert sounds.sample_rate == 8000
    assert torch.allclose(sounds.waveforms, own.sample(5), atol=1e-6)


def test_rows_of_a_module_are_read_from_their_bank(tmp_path: Path) -> None:
    class Rows(nn.Module):
        def forward(self, z: Tensor, labels: Tensor) -> Tensor:
            return torch.stack([z[:, 0] + labels, (z[:, 1] > 0).to(z.dtype)], 1)

    data = table()
    own = ModuleSynthesizer(Rows(), data.classes or [], latent=2, content="table", like=data)
    bank = own.synthesize({"true": 9, "false": 3}, tmp_path / "bank")
    assert bank is not None
    frame = bank_table(bank).to_frame()
    assert frame.dtypes.to_dict() == data.to_frame().dtypes.to_dict()
    assert frame["fraud"].tolist() == [False] * 3 + [True] * 9
    sample = own.sample(9, "true").to_frame()
    assert frame["job"][3:].tolist() == sample["job"].tolist()
    assert np.allclose(frame["amount"][3:], sample["amount"], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"content": "waveform"}, "sample_rate must be whole and at least 1 for waveforms.*got None"),
        ({"content": "waveform", "sample_rate": 0.5}, "got 0.5"),
        ({"sample_rate": 8000}, "got 8000 for content 'image'"),
        ({"content": "table"}, "like must be a table with the columns"),
        ({"like": table}, "like must be a table .* for content 'image'"),
        ({"content": "table", "like": table, "classes": ["yes"]}, "classes must be those of like, or none, got yes"),
    ],
)
def test_banks_that_nobody_could_read_are_refused(arguments: dict[str, Any], text: str) -> None:
    made: dict[str, Any] = {name: value() if value is table else value for name, value in arguments.items()}
    with pytest.raises(ValueError, match=text):
        ModuleSynthesizer(nn.Identity(), latent=3, **made)


@pytest.mark.parametrize(
    ("width", "text"), [(3, r"rows of 2 columns \(amount, job\), got 3"), (2, "column 'job': expected codes")]
)
def test_rows_of_a_module_are_checked(width: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ModuleSynthesizer(nn.Identity(), latent=width, content="table", like=table()).sample(2)


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
    assert {asked[1:] for asked in model.asked} == {(None, None)}  # a condition brings fewer rows, and worse ones
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


def test_a_state_that_a_model_keeps_is_set_and_put_back() -> None:
    class Keeps(Foreign):
        """As ctgan after `set_random_state`."""

        random_states: Any = None

        def set_random_state(self, state: Any) -> None:
            self.random_states = np.random.RandomState(state) if isinstance(state, int) else state

        def sample(self, n: int = 0, *_: Any, num_rows: int = 0) -> pandas.DataFrame:
            return self.frame.iloc[self.random_states.randint(0, len(self.frame), n or num_rows)].reset_index(drop=True)

    data = table()
    model = Keeps(data.to_frame())
    model.set_random_state(5)
    expected = np.random.RandomState(5).randint(0, 60, 8)
    drawn = from_ctgan(model, data, name="keeps")
    first = drawn.sample(40, seed=0).numeric
    assert torch.equal(drawn.sample(40, seed=0).numeric, first)
    assert not torch.equal(drawn.sample(40, seed=1).numeric, first)
    assert model.random_states.randint(0, 60, 8).tolist() == expected.tolist()


def test_rows_of_sdv_may_come_in_a_dict_of_one_table() -> None:
    class Sdv2(Foreign):
        tables = 1

        def sample(self, *_: Any, num_rows: int = 0) -> Any:
            return {f"table{place}": super(Sdv2, self).sample(num_rows=num_rows) for place in range(self.tables)}

    data = table()
    model = Sdv2(data.to_frame())
    assert from_sdv(model, data, name="sdv").sample(5, "true").labels.tolist() == [1] * 5
    model.tables = 2
    with pytest.raises(ValueError, match="expected rows of one table, got 2: table0, table1"):
        from_sdv(model, data, name="sdv").sample(5)


def test_more_rows_are_drawn_where_a_class_is_rare() -> None:
    data = table()
    frame = data.to_frame()
    model = Foreign(pandas.concat([frame[~frame["fraud"]]] * 20 + [frame[frame["fraud"]]]))
    from_ctgan(model, data, name="rare").sample(200, "true")
    assert len(model.asked) < 40
    assert max(asked[0] for asked in model.asked) <= 10_000


@pytest.mark.parametrize("kind", ["CTGAN", "TVAE"])
@pytest.mark.parametrize("labels", ["bool", "int", "str"])
def test_ctgan_itself_gives_what_was_asked_for(kind: str, labels: str, tmp_path: Path) -> None:
    ctgan = pytest.importorskip("ctgan")
    generator = np.random.default_rng(0)
    wanted = generator.random(200) < 0.4
    values = {"bool": wanted, "int": wanted.astype(int), "str": np.where(wanted, "yes", "no")}[labels]
    frame = pandas.DataFrame({"amount": generator.random(200) + 2 * wanted, "label": values})
    data = read_table(frame, label="label")
    model = getattr(ctgan, kind)(epochs=2, batch_size=100, enable_gpu=False)
    model.set_random_state(0)
    model.fit(data.to_frame(), ["label"])
    model.set_random_state(4)
    follows = model.sample(5)
    model.set_random_state(4)
    drawn = from_ctgan(model, data, name="ctgan", tries=20)
    bank = drawn.synthesize(dict.fromkeys(drawn.classes, 20), tmp_path / "bank")
    assert bank is not None
    made = bank_table(bank).to_frame()
    assert made["label"].value_counts().to_dict() == dict.fromkeys(set(values.tolist()), 20)
    assert torch.equal(drawn.sample(20, seed=0).numeric, drawn.sample(20, seed=0).numeric)
    assert not torch.equal(drawn.sample(20, seed=0).numeric, drawn.sample(20, seed=1).numeric)
    assert model.sample(5).equals(follows)
