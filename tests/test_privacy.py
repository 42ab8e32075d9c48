"""Training with differential privacy: what a row may add, the noise, the account, and what must not leak beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import DataLoader

from torchaug.data import Column, MixedSampler, Source, TableDataset, TensorImages, digits
from torchaug.data.bank.media import facts
from torchaug.image import RandomHorizontalFlip
from torchaug.models.accountant import noise_for
from torchaug.models.gan import ImageGAN
from torchaug.models.gan_losses import discriminator_loss
from torchaug.models.privacy import (
    Parameters,
    Privacy,
    add_noise,
    check_private,
    clipped_sum,
    counted_shares,
    poisson_rows,
    private_gradients,
)
from torchaug.models.table_codec import TableCodec
from torchaug.training.fit import fit
from torchaug.training.load import load_generator, read_checkpoint
from torchaug.training.private import PrivateData, resume_private
from torchaug.training.private_images import PrivateGAN, PrivateVAE
from torchaug.training.private_tables import public_table
from torchaug.training.quiet import quiet

IMAGES, TABLES = ["vae", "gan"], ["table-vae", "table-diffusion"]
LOOSE = Privacy(epsilon=200.0, shares=(0.1,) * 10, secret=7)
BOUNDS = {"x": (-9.0, 9.0), "y": (-9.0, 9.0)}


def few(start: int = 0) -> TensorImages:
    return digits().subset(torch.arange(start, start + 60))


def table(seed: int = 0) -> TableDataset:
    """60 rows of two numbers, a category of three and ten classes, those of `few`."""
    random = np.random.default_rng(seed)
    numbers = torch.from_numpy(random.normal(size=(60, 2)))
    columns = [Column.of_numbers(name, numbers[:, place].numpy()) for place, name in enumerate("xy")]
    columns.append(Column("colour", "categorical", ("blue", "green", "red")))
    codes, labels = torch.from_numpy(random.integers(3, size=(60, 1))), torch.from_numpy(random.integers(10, size=60))
    return TableDataset(numbers, codes, columns, labels, digits().classes)


def data_for(kind: str, seed: int = 0) -> Any:
    return table(seed) if kind in TABLES else few(60 * seed)


def trained(kind: str, out: Path, data: Any = None, **options: Any) -> Path:
    chosen: dict[str, Any] = {"steps": 3, "batch_size": 12, "every": 0, "privacy": LOOSE, **options}
    if kind in TABLES:
        chosen["settings"] = {"bounds": BOUNDS, "width": 16} | chosen.get("settings", {})
    return fit(kind, data_for(kind) if data is None else data, out=out, **chosen)


# what a row may add


def linear(parameters: Parameters, row: tuple[Tensor, Tensor]) -> Tensor:
    x, y = row
    return (parameters["w"] @ x + parameters["b"] - y).square()


def linear_rows(count: int, seed: int = 0) -> tuple[Parameters, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    parameters = {"w": torch.randn(3, **draw), "b": torch.randn((), **draw)}  # type: ignore[call-overload]
    return parameters, (torch.randn(count, 3, **draw), 5 * torch.randn(count, **draw))  # type: ignore[call-overload]


def by_hand(parameters: Parameters, rows: tuple[Tensor, Tensor], max_norm: float) -> dict[str, Tensor]:
    """The gradient of (w x + b - y)^2 is 2 (w x + b - y) (x, 1)."""
    total = {"w": torch.zeros(3, dtype=torch.float64), "b": torch.zeros((), dtype=torch.float64)}
    for x, y in zip(*rows, strict=True):
        off = 2 * (parameters["w"] @ x + parameters["b"] - y)
        length = off.abs() * math.sqrt(float(x @ x) + 1)
        factor = min(1.0, max_norm / float(length))
        total["w"] += factor * off * x
        total["b"] += factor * off
    return total


@pytest.mark.parametrize("max_norm", [0.5, 4.0, 1e6])
def test_rows_are_clipped_over_all_parameters_and_summed(max_norm: float) -> None:
    parameters, rows = linear_rows(9)
    found = clipped_sum(linear, parameters, rows, max_norm)
    for name, wanted in by_hand(parameters, rows, max_norm).items():
        torch.testing.assert_close(found[name], wanted)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.01, 10), st.integers(1, 6))
def test_one_row_more_moves_the_sum_by_at_most_max_norm(seed: int, max_norm: float, count: int) -> None:
    parameters, rows = linear_rows(count + 1, seed)
    more = clipped_sum(linear, parameters, rows, max_norm)
    less = by_hand(parameters, (rows[0][:-1], rows[1][:-1]), max_norm)
    moved = math.sqrt(sum(float((more[name] - less[name]).square().sum()) for name in more))
    assert moved <= max_norm * (1 + 1e-9)


def test_a_row_without_a_finite_gradient_adds_nothing() -> None:
    parameters, (x, y) = linear_rows(4)
    x[1], y[2] = torch.inf, torch.nan
    found = clipped_sum(linear, parameters, (x, y), 1.0)
    wanted = by_hand(parameters, (x[[0, 3]], y[[0, 3]]), 1.0)
    torch.testing.assert_close(found["w"], wanted["w"])


def test_gradients_with_r1_and_r2_are_those_of_single_rows() -> None:
    gan = ImageGAN(1, 8, 8, num_classes=3)
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.rand(2, 4, 1, 8, 8, generator=generator)
    labels = torch.tensor([0, 2, 1, 0])

    def loss(parameters: Parameters, row: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        one = [tensor[None] for tensor in row]
        total: Tensor = discriminator_loss(
            lambda images, labels: functional_call(gan.discriminator, parameters, (images, labels)), *one, gamma=0.5
        )[0]
        return total

    parameters = {name: p.detach() for name, p in gan.discriminator.named_parameters()}
    found = clipped_sum(loss, parameters, (real, fake, labels), 0.3)
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for i in range(4):  # the penalties by two passes of autograd
        gan.discriminator.zero_grad()
        pair = [images[i : i + 1].clone().requires_grad_() for images in (real, fake)]
        scores = [gan.discriminator(images, labels[i : i + 1]).sum() for images in pair]
        slopes = [torch.autograd.grad(s, x, create_graph=True)[0] / 2 for s, x in zip(scores, pair, strict=True)]
        penalty = sum(slope.square().sum() for slope in slopes)
        (nn.functional.softplus(scores[1] - scores[0]) + 0.25 * penalty).backward()
        own = {name: p.grad for name, p in gan.discriminator.named_parameters()}
        length = math.sqrt(sum(float(g.square().sum()) for g in own.values() if g is not None))
        for name, gradient in own.items():
            total[name] += min(1.0, 0.3 / length) * (torch.zeros(()) if gradient is None else gradient)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, total[name], atol=1e-5, rtol=1e-3)


# noise


def test_noise_is_normal_and_new_for_every_step_and_parameter() -> None:
    zeros = {"a": torch.zeros(2000), "b": torch.zeros(2000)}
    drawn = torch.stack([torch.stack(list(add_noise(zeros, 3.0, key).values())) for key in range(20)]).flatten(0, 1)
    assert abs(float(drawn.mean())) < 5 * 3 / math.sqrt(drawn.numel())
    assert float(drawn.std()) == pytest.approx(3.0, rel=0.02)
    beyond = float((drawn.abs() > 6.0).double().mean())
    assert beyond == pytest.approx(0.0455, rel=0.1)  # of a normal number, two deviations
    between = torch.corrcoef(drawn) - torch.eye(40)
    assert float(between.abs().max()) < 6 / math.sqrt(2000)


def test_the_noise_is_of_max_norm_and_the_mean_of_rows_expected() -> None:
    def flat(parameters: Parameters, row: Tensor) -> Tensor:
        return 0 * parameters["w"].sum() * row

    options: dict[str, Any] = {"max_norm": 5.0, "noise_multiplier": 2.0, "expected": 10.0, "key": 3}
    for rows in (torch.ones(4), torch.ones(0)):  # also where a step drew nobody
        found = private_gradients(flat, {"w": torch.zeros(5000)}, rows, **options)["w"]
        assert float(found.std()) == pytest.approx(2.0 * 5.0 / 10.0, rel=0.05)


def test_chunks_change_nothing() -> None:
    parameters, rows = linear_rows(7)
    options: dict[str, Any] = {"max_norm": 1.0, "noise_multiplier": 0.5, "expected": 7.0, "key": 3}
    whole = private_gradients(linear, parameters, rows, **options)
    for chunk in (1, 3, 100):
        torch.testing.assert_close(private_gradients(linear, parameters, rows, chunk=chunk, **options), whole)


def test_every_row_is_drawn_by_its_own_chance() -> None:
    drawn = torch.zeros(500, 40)
    for step in range(500):
        drawn[step, poisson_rows(40, 0.2, step)] = 1.0
    assert float(drawn.mean(0).sub(0.2).abs().max()) < 5 * math.sqrt(0.16 / 500)
    assert float(drawn.sum(1).var()) == pytest.approx(40 * 0.16, rel=0.25)  # binomial: a fixed batch would have none
    between = torch.corrcoef(drawn.T) - torch.eye(40)
    assert float(between.abs().max()) < 5 / math.sqrt(500)


def test_classes_are_counted_with_noise() -> None:
    labels = torch.tensor([0] * 300 + [1] * 100)
    counts = torch.tensor([[share * 1 for share in counted_shares(labels, 3, 10.0, key)] for key in range(200)])
    assert float(counts[:, 1].mean()) == pytest.approx(0.25, abs=0.01)
    assert float(counts[:, 1].std()) == pytest.approx(10 * math.sqrt(0.75**2 + 0.25**2 * 2) / 400, rel=0.3)
    assert bool((counts > 0).all())


# the attack that it is for


def advantage(noise: float, steps: int = 3, attempts: int = 150) -> float:
    """How much better than chance one sees from trained weights whether a canary was among the rows."""
    canary = torch.zeros(32)
    canary[5] = 100.0

    def loss(parameters: Parameters, row: Tensor) -> Tensor:
        return -(parameters["w"] * row).sum()

    seen: list[Tensor] = []
    for rows in (torch.zeros(20, 32), torch.cat([torch.zeros(19, 32), canary[None]])):
        scores: list[Tensor] = []
        for attempt in range(attempts):
            total = torch.zeros(())
            for step in range(steps):
                key = 1000 * attempt + 2 * step + 31 * len(seen)
                batch = rows[poisson_rows(20, 0.5, key)]
                options: dict[str, Any] = {"max_norm": 2.0, "noise_multiplier": noise, "expected": 10.0, "key": key + 1}
                total += private_gradients(loss, {"w": torch.zeros(32)}, batch, **options)["w"][5]
            scores.append(-total)
        seen.append(torch.stack(scores))
    without, among = seen
    threshold = torch.cat(seen).sort().values[:, None]
    return float(((among >= threshold).double().mean(1) - (without >= threshold).double().mean(1)).max())


def test_a_canary_is_found_without_privacy_and_hidden_with_it() -> None:
    epsilon, delta = 0.5, 1e-3
    bound = (math.exp(epsilon) - 1 + 2 * delta) / (math.exp(epsilon) + 1)  # of any attack (arXiv 1709.01604, 1311.0776)
    assert advantage(noise=0.0) > 0.8  # with chance 1/8 no step draws it
    assert advantage(noise_for(20.0, delta, 0.5, 3)) > 0.6  # at a large epsilon it is found still
    assert advantage(noise_for(epsilon, delta, 0.5, 3)) < bound + 1.63 * math.sqrt(
        2 / 150
    )  # Kolmogorov and Smirnov, 1 %


# training


def test_the_penalties_of_a_private_gan_weigh_what_was_asked_for_and_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    def loss(*arguments: Any, gamma: float) -> Any:
        seen.append(gamma)
        return discriminator_loss(*arguments, gamma=gamma)

    monkeypatch.setattr("torchaug.training.private_images.discriminator_loss", loss)
    trained("gan", tmp_path, steps=2, settings={"gamma": 7.0})
    middle = 0.7 + (7 - 0.7) / 2  # of a cosine to a tenth, after one of two steps
    assert sorted(set(seen)) == [pytest.approx(middle), 7.0]


@pytest.mark.parametrize("kind", [*IMAGES, *TABLES])
def test_nothing_but_the_noisy_gradients_carries_the_data(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(self: PrivateData, loss: Any, parameters: Parameters, rows: Any, step: int) -> Parameters:
        return {name: torch.zeros_like(p) for name, p in parameters.items()}

    monkeypatch.setattr(PrivateData, "gradients", nothing)
    first, other = data_for(kind), data_for(kind, seed=1)
    assert not torch.equal(first.labels, other.labels)
    made = [read_checkpoint(trained(kind, tmp_path / str(i), data)) for i, data in enumerate((first, other))]
    assert made[0]["torchaug"] == made[1]["torchaug"]
    assert made[0]["hyper_parameters"] == made[1]["hyper_parameters"]
    assert made[0]["state_dict"].keys() == made[1]["state_dict"].keys()
    for name, value in made[0]["state_dict"].items():
        assert torch.equal(value, made[1]["state_dict"][name]), name


@pytest.mark.parametrize("kind", [*IMAGES, *TABLES])
def test_the_cost_is_in_the_checkpoint_the_bank_and_its_samples(kind: str, tmp_path: Path) -> None:
    privacy = Privacy(epsilon=50.0, delta=1e-4)
    data = data_for(kind)
    generator = load_generator(trained(kind, tmp_path, data, privacy=privacy))
    assert generator.privacy is not None
    assert 45 < generator.privacy["epsilon"] <= 50
    assert (generator.privacy["delta"], generator.privacy["steps"]) == (1e-4, 3)
    assert generator.trained_items is None
    assert generator.trained_on is None
    exact = data.labels.bincount(minlength=10) / 60
    assert generator.shares != pytest.approx(exact.tolist(), abs=1e-6)
    bank = generator.synthesize({"3": 2}, tmp_path / "bank")
    assert bank is not None
    assert bank.manifest["made_by"][0]["config"]["privacy"] == generator.privacy
    assert facts(bank, 1)["epsilon"] == generator.privacy["epsilon"]
    assert len(generator.sample(4, "3")) == 4


@pytest.mark.parametrize("kind", [*IMAGES, "table-diffusion"])
def test_a_resumed_training_is_the_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    def stop(done: int, *_: Any) -> None:
        raise KeyboardInterrupt

    whole = read_checkpoint(trained(kind, tmp_path / "a", steps=12, every=6))
    with pytest.raises(KeyboardInterrupt):  # after ten steps, of which six are saved
        trained(kind, tmp_path / "b", steps=12, every=6, progress=stop)
    again = read_checkpoint(trained(kind, tmp_path / "b", steps=12, every=6, resume=True))
    assert again["torchaug"] == whole["torchaug"]
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, again["state_dict"][name]), name


def test_what_is_resumed_keeps_its_privacy(tmp_path: Path) -> None:
    trained("vae", tmp_path)
    for other in (None, Privacy(epsilon=100.0, shares=LOOSE.shares, secret=7)):
        with pytest.raises(ValueError, match=r"was trained with privacy .*epsilon.* and .* was asked for"):
            trained("vae", tmp_path, privacy=other, steps=5, resume=True)


def test_classes_are_not_counted_twice(tmp_path: Path) -> None:
    privacy = Privacy(epsilon=100.0)  # each run has another secret
    before = read_checkpoint(trained("gan", tmp_path, privacy=privacy, steps=2))["torchaug"]
    data = PrivateData(few(), privacy, 2, 12)
    assert data.shares != before["shares"]
    resume_private(before, data, tmp_path / "generator.ckpt")
    assert data.shares == before["shares"]


def test_the_secret_is_nowhere_written(tmp_path: Path) -> None:
    path = trained("vae", tmp_path, privacy=Privacy(epsilon=200.0, shares=(0.1,) * 10, secret=1234567891011))
    checkpoint = read_checkpoint(path)
    assert "1234567891011" not in str({name: value for name, value in checkpoint.items() if name != "state_dict"})


def test_what_cannot_be_private_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="with privacy must be one of vae, gan, table-vae, table-diffusion, got 'tree'"
    ):
        trained("tree", tmp_path)
    with pytest.raises(ValueError, match="expected steps, since the noise depends on them, got seconds"):
        trained("vae", tmp_path, steps=None, seconds=3.0)
    with pytest.raises(ValueError, match="expected no augment"):
        trained("vae", tmp_path, augment=RandomHorizontalFlip())
    with pytest.raises(ValueError, match=r"expected the objective elbo, got wae_mmd"):
        trained("vae", tmp_path, settings={"objective": "wae_mmd"})
    with pytest.raises(ValueError, match=r"got \{'loss': 'hinge', 'lazy': 2\}; the others are not private here"):
        trained("gan", tmp_path, settings={"loss": "hinge", "lazy": 2})
    with pytest.raises(ValueError, match="batch_size must be at most the 60 rows, got 61"):
        trained("vae", tmp_path, batch_size=61)
    for shares in ((1.0,), (0.5, 0.5)):
        with pytest.raises(ValueError, match=rf"shares must be those of the 10 classes, got {len(shares)}"):
            trained("vae", tmp_path, privacy=replace(LOOSE, shares=shares))
    with pytest.warns(UserWarning, match="delta 0.02 is no less than one over the 60 rows"):
        trained("vae", tmp_path / "given", privacy=replace(LOOSE, delta=0.02))
    with pytest.raises(ValueError, match="above 0 and finite, and delta in"):
        Privacy(float("inf"))
    path = trained("table-vae", tmp_path / "few", batch_size=None)
    assert torch.load(path, weights_only=True)["torchaug"]["privacy"]["rate"] == 15 / 60, "a quarter of the rows"
    with pytest.raises(TypeError, match=r"1 is a BatchNorm2d, which mixes the rows of a batch"):
        check_private(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)))
    check_private(nn.Sequential(nn.Conv2d(1, 2, 1), nn.GroupNorm(1, 2)))
    with pytest.raises(ValueError, match="epsilon and max_norm must be above 0"):
        Privacy(epsilon=0.0)
    with pytest.raises(ValueError, match="shares must be at least 0 and sum to 1"):
        Privacy(epsilon=1.0, shares=(0.5, 0.4))


@pytest.mark.parametrize("kind", [*IMAGES, *TABLES])
def test_a_row_is_the_same_whoever_else_is_in_the_step(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[Tensor, ...]] = []

    def remember(self: PrivateData, loss: Any, parameters: Parameters, rows: Any, step: int) -> Parameters:
        found.append(rows)
        return {name: torch.zeros_like(p) for name, p in parameters.items()}

    monkeypatch.setattr(PrivateData, "gradients", remember)
    for number, drawn in enumerate(([3, 7, 9], [3, 9])):
        monkeypatch.setattr("torchaug.training.private.poisson_rows", lambda *_, rows=drawn: torch.tensor(rows))
        trained(kind, tmp_path / str(number), steps=1)
    for more, fewer in zip(*found, strict=True):  # images or encoded rows, labels, noise, times
        torch.testing.assert_close(more[[0, 2]], fewer, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", TABLES)
def test_codecs_without_public_bounds_are_refused(kind: str, tmp_path: Path) -> None:
    for bounds in ({}, {"x": (0, 1)}, {"x": (0, 1), "y": (1, 0)}, {"x": (0, 1), "y": (0, 1), "colour": (0, 1)}):
        with pytest.raises(ValueError, match=r"expected bounds of x, y, lower before upper, .* mixtures tell of rows"):
            trained(kind, tmp_path, settings={"bounds": bounds})
    with pytest.raises(ValueError, match="expected no encoding, given_share, which would look at rows"):
        trained(kind, tmp_path, settings={"encoding": "modes", "given_share": 0.5})


def test_the_grid_of_a_column_is_not_taken_from_private_rows() -> None:
    hundreds = torch.arange(0, 3000, 100, dtype=torch.float64)[:, None]
    column = Column.of_numbers("pay", hundreds[:, 0].numpy())
    assert column.grid is not None
    data = TableDataset(hundreds, torch.zeros(30, 0, dtype=torch.int64), [column])
    assert public_table(data, {"pay": (0, 5000)}).columns[0].grid is None


def test_missing_values_cost_no_part_of_the_bounds() -> None:
    data = table()
    data.numeric[3, 0] = torch.nan
    codec = TableCodec.fit(public_table(data, {"x": (0, 5000), "y": (0, 5000)}), encoding="standard")
    some = torch.tensor([[0.0, 0.0], [1.25, 1.25], [torch.nan, 4.0]], dtype=torch.float64)
    back, _ = codec.decode(codec.encode(some, torch.zeros(3, 1, dtype=torch.int64)))
    torch.testing.assert_close(back, some, equal_nan=True, rtol=0, atol=1e-2)
    assert codec.notes == [], "no column looks like ids"


def test_the_codec_of_private_tables_knows_bounds_alone() -> None:
    first, other = (TableCodec.fit(public_table(table(seed), BOUNDS), encoding="standard") for seed in (0, 1))
    assert first.config == other.config
    for name, value in first.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    far = torch.tensor([[100.0, -100.0]], dtype=torch.float64)
    numbers, _ = first.decode(first.encode(far, torch.tensor([[2]])))
    torch.testing.assert_close(numbers, torch.tensor([[9.0, -9.0]], dtype=torch.float64))


@pytest.mark.parametrize("module", [PrivateVAE, PrivateGAN])
def test_batches_of_exact_shares_are_refused(module: Any, tmp_path: Path) -> None:
    data = few()
    sampler = MixedSampler([Source("real", 40), Source("bank", 20, kind="bank")], 0.25, batch_size=4)
    loader = DataLoader(data, batch_size=4, sampler=sampler)
    trainer = L.Trainer(
        max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu",
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    with quiet(), pytest.raises(TypeError, match="each row is by chance and on its own, got MixedSampler"):
        trainer.fit(module((1, 8, 8), data.classes, 1), loader)


def test_few_rows_at_a_small_epsilon_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="60 rows at epsilon 1: .* expect use from 10,000 rows on"):
        PrivateData(few(), Privacy(epsilon=1.0), steps=5, batch_size=10)
