"""Training of table generators: repeated exactly, kept from copying, on any table, and asked only for what it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torchaug.data import Column, TableDataset, TensorImages, read_table
from torchaug.keys import sample_keys
from torchaug.models.networks import seeded_weights
from torchaug.models.privacy import Privacy
from torchaug.training.data import SynthesisDataModule
from torchaug.training.fit import FILE, fit
from torchaug.training.load import KINDS, load_generator
from torchaug.training.quiet import quiet
from torchaug.training.table import LitTableDiffusion
from torchaug.training.table_base import LitTable

SMALL: dict[str, Any] = {"width": 16, "blocks": 1}
TABLES = ["table-diffusion", "table-vae", "table-gan"]
JOBS = ("cook", "nurse", "pilot")
SHIFT = torch.tensor([-3.0, 0.0, 3.0], dtype=torch.float64)


def people(rows: int = 60, labels: bool = True, seed: int = 0) -> TableDataset:
    """A number that the job shifts by 3, a whole number, and the job, of which pilots are rare."""
    random = np.random.default_rng(seed)
    jobs = torch.from_numpy(random.choice(3, rows, p=[0.5, 0.4, 0.1]))
    pay = torch.from_numpy(random.normal(0, 0.3, rows)) + SHIFT[jobs]
    age = torch.from_numpy(random.integers(20, 60, rows).astype(float))
    columns = [Column.of_numbers("pay", pay.numpy()), Column.of_numbers("age", age.numpy())]
    columns += [Column("job", "categorical", JOBS)]
    names = {"labels": torch.arange(rows) % 2, "classes": ["left", "right"]} if labels else {}
    return TableDataset(torch.stack([pay, age], 1), jobs[:, None], columns, **names)  # type: ignore[arg-type]


def numbers(values: np.ndarray[Any, Any]) -> TableDataset:
    """A table of numeric columns without labels."""
    columns = [
        Column("none", "numeric", decimals=0) if np.isnan(each).all() else Column.of_numbers(f"x{place}", each)
        for place, each in enumerate(values.T)
    ]
    return TableDataset(torch.from_numpy(values), torch.zeros(len(values), 0, dtype=torch.int64), columns)


def lit(kind: str, data: TableDataset, steps: int = 8, **settings: Any) -> Any:
    with seeded_weights(0):
        return KINDS[kind].for_data(data, steps, settings={**SMALL, **settings})


def train(module: Any, data: TableDataset, folder: Path, steps: int, after: Path | None = None) -> L.Trainer:
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with quiet():
        trainer = L.Trainer(
            max_steps=steps, accelerator="cpu", enable_model_summary=False, default_root_dir=folder, **options
        )
        trainer.fit(module, SynthesisDataModule(data, batch_size=16), ckpt_path=after, weights_only=True)
    return trainer


def same(first: nn.Module, second: nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[name]) for name, value in first.state_dict().items())


def equal(first: TableDataset, second: TableDataset) -> bool:
    return torch.equal(first.numeric.nan_to_num(-9), second.numeric.nan_to_num(-9)) and torch.equal(
        first.categorical, second.categorical
    )


@pytest.mark.parametrize("kind", TABLES)
def test_resumed_training_ends_in_the_same_bits(kind: str, tmp_path: Path) -> None:
    data = people()
    through, half = lit(kind, data), lit(kind, data)
    train(through, data, tmp_path, 8)
    train(half, data, tmp_path, 4).save_checkpoint(tmp_path / "half.ckpt")
    assert not same(through, half)
    rest = lit(kind, data)
    train(rest, data, tmp_path, 8, after=tmp_path / "half.ckpt")
    assert same(through, rest)


@pytest.mark.parametrize("kind", TABLES)
def test_a_checkpoint_is_all_that_is_needed(kind: str, tmp_path: Path) -> None:
    data = people()
    generator = load_generator(fit(kind, data, out=tmp_path, steps=3, settings=SMALL, every=0))
    torch.load(tmp_path / FILE, weights_only=True)
    assert generator.kind == kind
    assert generator.classes == ["left", "right"]
    assert generator.shares == [0.5, 0.5]
    made = generator.sample(20, "right", seed=3, given={"job": "pilot"})
    assert isinstance(made, TableDataset)
    assert made.columns == data.columns
    assert made.labels is not None
    assert made.labels.tolist() == [1] * 20
    assert made.categorical[:, 0].tolist() == [2] * 20
    assert torch.equal(made.numeric[:, 1], made.numeric[:, 1].round())
    assert (made.numeric[:, 1] >= 20).all()  # as in the table: the codec has come along
    settings: dict[str, Any] = {"given": {"job": "pilot"}}
    bank = generator.synthesize({"right": 20}, tmp_path / "bank", seed=3, settings=settings)
    again = generator.synthesize({"right": 20}, tmp_path / "again", seed=3, settings=settings, batch_size=7)
    assert bank is not None
    assert again is not None
    table = bank.in_memory()
    assert isinstance(table, TableDataset)
    assert torch.allclose(table.numeric, made.numeric, atol=1e-3)
    assert equal(table, again.in_memory())
    free, free_again = (
        generator.synthesize({"left": 20}, tmp_path / f"free{size}", batch_size=size) for size in (20, 7)
    )
    assert free is not None
    assert free_again is not None
    assert equal(free.in_memory(), free_again.in_memory())
    scores = generator.score(torch.cat([made.numeric, made.categorical.double()], 1), made.labels)
    assert scores.shape == (20,)
    assert torch.equal(generator.score(made), scores)
    assert not torch.equal(generator.score(made, torch.zeros(20, dtype=torch.int64)), scores)
    way = generator.interpolate(0, 1, 3, labels="right", seed=3, given={"job": "pilot"})
    assert torch.allclose(way.numeric[[0, 2]], made.numeric[:2], atol=1e-3)
    with pytest.raises(ValueError, match="interpolate: steps must be at least 2, got 1"):
        generator.interpolate(0, 1, 1, labels="right")
    if kind == "table-diffusion":
        with pytest.raises(ValueError, match="TabularDiffusion: steps must be at least 1, got 0"):
            generator.sample(1, "right", steps=0)


@pytest.mark.parametrize("kind", [*TABLES[:2], pytest.param("table-gan", marks=pytest.mark.slow)])
def test_conditions_are_learnt(kind: str, tmp_path: Path) -> None:
    data = people(300)
    settings = {"width": 64, "blocks": 2, "learning_rate": 3e-3, "half_life": 3000.0}
    steps = 300 if kind == "table-gan" else 150
    generator = load_generator(fit(kind, data, out=tmp_path, steps=steps, settings=settings, batch_size=64, every=0))
    for job, shift in zip(JOBS, SHIFT.tolist(), strict=True):  # the rare one too
        made = generator.sample(60, given={"job": job})
        assert abs(float(made.numeric[:, 0].median()) - shift) < 1, job
    free = generator.sample(300)
    shares = free.categorical[:, 0].bincount(minlength=3) / 300
    assert torch.allclose(shares, data.categorical[:, 0].bincount(minlength=3) / 300, atol=0.12)


def test_rows_that_are_drawn_by_a_value_have_it(tmp_path: Path) -> None:
    data = people()
    module = lit("table-vae", data, given_share=0.5)
    seen: list[Any] = []
    asked = module.asked

    def watched(batch: dict[str, Tensor], keys: Tensor) -> Any:
        seen.append((batch, asked(batch, keys)))
        return seen[-1][1]

    module.asked = watched
    train(module, data, tmp_path, 8)
    block = module.model.codec.choices["job"]
    told = 0
    assert data.labels is not None
    for batch, (rows, labels, values) in seen:
        codes = rows[:, block.start : block.start + block.size].argmax(1)
        assert torch.equal(codes[values > 0], values[values > 0] - 1)
        free = values == 0
        wanted = module.model.codec.encode(data.numeric, data.categorical)[batch["index"]]
        assert torch.equal(rows[free], wanted[free])
        assert torch.equal(labels[free], data.labels[batch["index"]][free])
        told += int((values > 0).sum())
    assert 0.35 < told / (8 * 16) < 0.65
    pilots = sum(int((values == 3).sum()) for _, (_, _, values) in seen)
    assert pilots / told > 0.15  # of 10 % in the table


def test_copying_is_noticed_and_the_weights_before_it_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchaug.training.novelty.SURPRISING", -1e9)
    data = people()
    module = lit(
        "table-vae", data, steps=110, novelty=1e6
    )  # nothing is so new: from the second comparison on, all copies
    trainer = train(module, data, tmp_path, 110)
    assert trainer.global_step == 100
    assert bool(module.stopped)
    before = lit("table-vae", data, steps=110, novelty=0)
    train(before, data, tmp_path, 50)
    assert same(module.kept, before.ema.model)
    assert not same(module.kept, module.ema.model)
    keys = sample_keys(torch.arange(5))
    assert equal_columns(module.make(keys * 0, keys), before.make(keys * 0, keys))
    trainer.save_checkpoint(tmp_path / "stopped.ckpt")
    again = lit("table-vae", data, steps=110, novelty=1e6)
    assert train(again, data, tmp_path, 110, after=tmp_path / "stopped.ckpt").global_step == 100
    assert same(module, again)


def equal_columns(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("kind", TABLES)
def test_any_table(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    ten = people(10)
    odd = random.normal(size=(30, 4))
    odd[:, 1], odd[:, 2] = 7.25, np.nan
    odd[::3, 3] = np.nan
    same_rows = numbers(np.repeat(random.normal(size=(2, 2)), 10, 0))
    one_class = TableDataset(ten.numeric, ten.categorical, ten.columns, torch.zeros(10).long(), ["only"])
    for place, data in enumerate([ten, one_class, people(20, labels=False), numbers(odd), same_rows]):
        out = tmp_path / f"{place}"
        steps = 52 if place == 4 else 2  # those are compared with the training rows, whose distances are 0
        made = load_generator(fit(kind, data, out=out, steps=steps, settings=SMALL, batch_size=16, every=0)).sample(12)
        assert len(made) == 12
        assert made.classes == data.classes
        assert (made.labels is None) == (data.labels is None)
    odd_made = load_generator(tmp_path / "3" / FILE).sample(40).numeric
    assert (odd_made[:, 1] == 7.25).all()
    assert odd_made[:, 2].isnan().all()
    assert not odd_made[:, 0].isnan().any()


def test_what_cannot_be_trained_or_asked_for(tmp_path: Path) -> None:
    data = people()
    generator = load_generator(fit("table-vae", data, out=tmp_path, steps=2, settings=SMALL, every=0))
    with pytest.raises(ValueError, match=r"expected a class the generator knows \(left, right\), got 'middle'"):
        generator.sample(2, "middle")
    with pytest.raises(ValueError, match="column 'job' must be one of 'cook', 'nurse', 'pilot', got 'dentist'"):
        generator.sample(2, "left", given={"job": "dentist"})
    with pytest.raises(TypeError, match=r"LitTableVAE.make: expected given, got truncation"):
        generator.sample(2, "left", truncation=0.5)
    images = TensorImages(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), ["a", "b"])
    with pytest.raises(TypeError, match="LitTableVAE: expected a TableDataset, got a TensorImages"):
        fit("table-vae", images, out=tmp_path / "images", steps=2)
    with pytest.raises(ValueError, match="LitTableVAE: expected no augment"):
        fit("table-vae", data, out=tmp_path / "augment", steps=2, augment=lambda images, keys: images)
    other = numbers(np.random.default_rng(0).normal(size=(20, 2)))
    with pytest.raises(ValueError, match=r"with columns \['pay', 'age', 'job'\], and \['x0', 'x1'\] was asked for"):
        fit("table-vae", other, out=tmp_path, steps=4, settings=SMALL, resume=True)
    with pytest.raises(TypeError, match="expected a SynthesisDataModule to train on, got NoneType"):
        L.Trainer(max_steps=1, logger=False, enable_checkpointing=False, accelerator="cpu").fit(
            lit("table-vae", data), torch.utils.data.DataLoader(people())
        )


def test_defaults_suit_the_table() -> None:
    kinds = [KINDS[kind] for kind in TABLES]
    assert all(issubclass(kind, LitTable) and kind.batch_size == 256 for kind in kinds)
    for kind in kinds:
        assert kind.default_steps(people()) == 150
        assert kind.default_steps(people(400)) == (800 if kind.kind == "table-diffusion" else 600)
        assert kind.default_steps(people(90_000)) == 4000


@pytest.mark.parametrize(("rows", "size"), [(10, 64), (334, 64), (400, 128), (1337, 128), (1338, 256), (90_000, 256)])
def test_a_step_of_few_rows_sees_fewer(rows: int, size: int) -> None:
    assert KINDS["table-vae"].default_batch_size(people(rows)) == size


def test_a_training_sees_as_many_as_suit_its_table(tmp_path: Path) -> None:
    fit("table-vae", people(400), out=tmp_path, steps=3, settings=SMALL, every=0)
    assert torch.load(tmp_path / FILE, weights_only=True)["state_dict"]["ema.seen"] == 3 * 128


def test_a_diffusion_is_as_wide_as_its_table_needs() -> None:
    def width(rows: int, numbers: int) -> int:
        columns = [Column(f"n{place}", "numeric") for place in range(numbers)]
        table = TableDataset(torch.zeros(rows, numbers).double(), torch.zeros(rows, 0, dtype=torch.int64), columns)
        found: int = LitTableDiffusion.default_settings(table)["width"]
        return found

    assert [width(100, 12), width(100, 64), width(100, 500), width(9000, 2)] == [128, 256, 512, 256]


def test_fit_takes_the_defaults_of_the_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vae = KINDS["table-vae"]
    monkeypatch.setattr(vae, "batch_size", 8)
    monkeypatch.setattr(vae, "default_steps", lambda data: 3 if len(data) == 60 else 0)
    done: list[int] = []
    fit("table-vae", people(), out=tmp_path, settings=SMALL, every=0, progress=lambda *step: done.append(step[1]))
    assert set(done) == {3}
    generator = load_generator(tmp_path / FILE)
    assert isinstance(generator, LitTable)
    assert int(generator.ema.seen) == 24


def test_the_encoding_is_a_setting(tmp_path: Path) -> None:
    generator = load_generator(
        fit("table-vae", people(), out=tmp_path, steps=1, settings={**SMALL, "encoding": {"pay": "standard"}}, every=0)
    )
    assert isinstance(generator, LitTable)
    assert [each["encoding"] for each in generator.model.codec.config["numeric"]] == ["standard", "quantile"]


def test_a_class_and_a_category_without_training_rows_cannot_be_asked_for(tmp_path: Path) -> None:
    data = people()
    rows = ((data.labels == 1) & (data.categorical[:, 0] != 2)).nonzero()[:, 0]
    generator = load_generator(fit("table-vae", data.subset(rows), out=tmp_path, steps=2, settings=SMALL, every=0))
    assert (generator.classes, generator.trained_classes, generator.shares) == (
        ["left", "right"],
        ["right"],
        [0.0, 1.0],
    )
    never = r"a class the generator was trained on \(right\), got 'left', of which the training data had no sample"
    for label in ("left", 0, torch.tensor([1, 0])):
        with pytest.raises(ValueError, match=never):
            generator.sample(2, label)
    with pytest.raises(ValueError, match=never):
        generator.interpolate(0, 1, labels="left")
    with pytest.raises(ValueError, match=never):
        generator.synthesize({"right": 1, "left": 2}, tmp_path / "bank")
    assert not (tmp_path / "bank").exists()
    assert len(generator.synthesize({"right": 1, "left": 0}, tmp_path / "bank") or ()) == 1
    with pytest.raises(ValueError, match="'job' must be one of 'cook', 'nurse', got 'pilot', which was not trained on"):
        generator.sample(2, given={"job": "pilot"})
    assert generator.sample(9).labels.tolist() == [1] * 9
    generator._shares = None
    assert len(generator.sample(2, "left")) == 2  # nobody knows


def test_tables_of_other_columns_categories_or_classes_have_no_score(tmp_path: Path) -> None:
    data = people()
    generator = load_generator(fit("table-vae", data, out=tmp_path, steps=2, settings=SMALL, every=0))
    others = [Column("job", "categorical", ("nurse", "cook", "pilot"))]  # the same codes would be other jobs
    swapped = TableDataset(data.numeric, data.categorical, [*data.columns[:2], *others], data.labels, data.classes)
    turned = TableDataset(data.numeric, data.categorical, data.columns, data.labels, ["right", "left"])
    for other in (swapped, turned, numbers(np.zeros((3, 2)))):
        with pytest.raises(
            ValueError, match=r"LitTableVAE.score: expected the columns pay, age, job with .* read_table_like"
        ):
            generator.score(other)
    bare = TableDataset(data.numeric, data.categorical, data.columns)
    with pytest.raises(ValueError, match="expected labels of 60 samples, got none"):
        generator.score(bare)
    with pytest.raises(ValueError, match=r"expected labels of 60 samples, got \(59,\)"):
        generator.score(bare, torch.zeros(59, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"labels must be in \[0, 2\)"):
        generator.score(bare, torch.full((60,), 2))
    free = load_generator(
        fit("table-vae", people(labels=False), out=tmp_path / "free", steps=2, settings=SMALL, every=0)
    )
    assert free.score(bare).shape == (60,)


def test_a_column_of_ids_is_told_and_one_of_times_or_with_privacy_is_not(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    ids, seconds = list(range(30)), pyarrow.array(range(30), pyarrow.timestamp("s"))
    data = read_table(pyarrow.table({"id": ids, "time": seconds, "pay": [n / 7 for n in ids]}), label=None)
    with pytest.warns(UserWarning, match="column 'id': each of 30 values occurs once, as in an id") as told:
        fit("table-vae", data, out=tmp_path, steps=2, settings=SMALL, every=0)
    assert len(told) == 1
    bounds = {"id": (0, 50), "time": (0, 50), "pay": (0, 9)}
    fit(
        "table-vae",
        data,
        out=tmp_path / "private",
        steps=2,
        batch_size=4,
        settings={**SMALL, "bounds": bounds},
        every=0,
        privacy=Privacy(epsilon=50.0, delta=1e-3),
    )


def test_numbers_and_truth_values_may_be_asked_for_as_such(tmp_path: Path) -> None:
    names = {"zero": ("0", "1"), "grade": ("3", "3.5"), "flag": ("false", "true", None)}
    codes = torch.stack([torch.arange(30) % len(each) for each in names.values()], 1)
    columns = [Column(name, "categorical", each) for name, each in names.items()]
    data = TableDataset(torch.zeros(30, 0, dtype=torch.float64), codes, columns)
    generator = load_generator(fit("table-vae", data, out=tmp_path, steps=2, settings=SMALL, every=0))
    asked: list[tuple[str, Any, int]] = [("zero", 1, 1), ("zero", np.int64(0), 0), ("grade", 3.5, 1), ("grade", 3.0, 0)]
    asked += [("flag", True, 1), ("flag", np.bool_(False), 0), ("flag", None, 2), ("flag", "true", 1)]
    for place, (name, value, code) in enumerate(asked):
        made = generator.sample(3, given={name: value}).categorical[:, list(names).index(name)]
        assert made.tolist() == [code] * 3, place
    with pytest.raises(ValueError, match="'zero' must be one of '0', '1', got 2, which"):
        generator.sample(3, given={"zero": 2})
    settings: dict[str, Any] = {"given": {"zero": np.int64(1)}}
    bank = generator.synthesize(4, tmp_path / "bank", settings=settings)
    assert bank is not None
    assert bank.manifest["made_by"][0]["config"]["settings"] == {"given": {"zero": 1}}
    again = generator.synthesize(4, tmp_path / "bank", settings={"given": {"zero": 1}})
    assert again is not None
    assert again.fingerprint == bank.fingerprint
    with pytest.raises(TypeError, match="settings must be text, numbers or truth values"):
        generator.synthesize(4, tmp_path / "other", settings={"given": {"zero": 1j}})
