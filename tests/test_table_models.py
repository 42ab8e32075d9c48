"""Table generators as plain modules: formulae against other sources, and requests that are kept exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, Normal, kl_divergence

from torchaug.data import Column, TableDataset
from torchaug.keys import fold_in, sample_keys
from torchaug.models.latents import latents
from torchaug.models.table_codec import TableCodec
from torchaug.models.table_diffusion import TabularDiffusion, _towards_clean, _variance
from torchaug.models.table_gan import TabularGAN, discriminator_loss, generator_loss, one_hot
from torchaug.models.table_model import TableModel
from torchaug.models.table_networks import gumbel
from torchaug.models.table_vae import TabularVAE

SMALL: dict[str, Any] = {"width": 16, "blocks": 1}
MODELS: list[type[TableModel]] = [TabularDiffusion, TabularVAE, TabularGAN]
JOBS = ("cook", "nurse", "pilot", None)
TOWNS = tuple(f"town {number}" for number in range(70))


def people(rows: int = 60) -> TableDataset:
    """Two numbers, one of them sometimes missing, a column of four categories and one of seventy."""
    random = np.random.default_rng(0)
    age, pay = random.normal(40, 9, rows), random.lognormal(1, 0.5, rows)
    pay[::7] = np.nan
    codes = np.stack([random.integers(4, size=rows), random.integers(70, size=rows)], 1)
    columns = [Column.of_numbers("age", age), Column.of_numbers("pay", pay)]
    columns += [Column("job", "categorical", JOBS), Column("town", "categorical", TOWNS)]
    numbers = torch.from_numpy(np.stack([age, pay], 1))
    return TableDataset(numbers, torch.from_numpy(codes), columns, torch.arange(rows) % 3, ["a", "b", "c"])


def of(kind: type[TableModel], **options: Any) -> Any:
    torch.manual_seed(0)
    model = kind(TableCodec.fit(people()), 3, **SMALL, **options)
    for parameter in model.parameters():  # no layer at 0, as the blocks' last are at first
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def request(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    return torch.arange(count) % 3, sample_keys(torch.arange(count), seed=seed)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("asked", [{"job": "nurse"}, {"job": None}, {"town": "town 69"}, {"town": "town 0"}])
def test_what_is_given_is_in_every_row(kind: type[TableModel], asked: dict[str, str | None]) -> None:
    model, (labels, keys) = of(kind), request(40)
    _, codes = model.generate(labels, keys, given=asked)
    ((name, value),) = asked.items()
    place, names = (0, JOBS) if name == "job" else (1, TOWNS)
    assert {names[code] for code in codes[:, place].tolist()} == {value}


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_given_is_told_to_the_network(kind: type[TableModel]) -> None:
    model, (labels, keys) = of(kind), request(20)
    cook, _ = model.generate(labels, keys, given={"job": "cook"})
    pilot, _ = model.generate(labels, keys, given={"job": "pilot"})
    free, _ = model.generate(labels, keys)
    assert (cook[:, 0] != pilot[:, 0]).any()  # the other column has NaN, which differs from itself
    assert (cook[:, 0] != free[:, 0]).any()


@pytest.mark.parametrize("kind", MODELS)
def test_a_row_is_a_function_of_its_label_and_key(kind: type[TableModel]) -> None:
    model, (labels, keys) = of(kind).double(), request(12)
    numeric, codes = model.generate(labels, keys, given={"job": "cook"})
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    for chosen in (order, torch.tensor([7])):
        some_numeric, some_codes = model.generate(labels[chosen], keys[chosen], given={"job": "cook"})
        assert torch.allclose(some_numeric, numeric[chosen], atol=1e-6, equal_nan=True)
        assert torch.equal(some_codes, codes[chosen])
    other, _ = model.generate(labels, request(12, seed=1)[1])
    assert not torch.equal(other[:, 0], numeric[:, 0])
    changed, _ = model.generate((labels + 1) % 3, keys, given={"job": "cook"})
    assert (changed[:, 0] != numeric[:, 0]).any()


@pytest.mark.parametrize("kind", MODELS)
def test_between_two_rows_are_both_of_them(kind: type[TableModel]) -> None:
    model, labels = of(kind).double(), torch.ones(5, dtype=torch.int64)
    first, second = (sample_keys(torch.full((5,), place)) for place in (3, 4))
    way, _ = model.between(labels, first, second, torch.linspace(0, 1, 5, dtype=torch.float64))
    ends = [model.generate(labels[:1], keys[:1])[0] for keys in (first, second)]
    assert torch.allclose(way[[0, -1]], torch.cat(ends), atol=1e-5, equal_nan=True)
    assert len(way[:, 0].unique()) == 5


@pytest.mark.parametrize("kind", MODELS)
def test_requests_that_make_no_sense(kind: type[TableModel]) -> None:
    model, (labels, keys) = of(kind), request(3)
    with pytest.raises(ValueError, match=r"must be one of 'cook'.*got 'dentist'"):
        model.generate(labels, keys, given={"job": "dentist"})
    with pytest.raises(ValueError, match="expected a column of job, town, got 'age'"):
        model.generate(labels, keys, given={"age": "40"})
    with pytest.raises(ValueError, match="the value of one column, beside the class, got job, town"):
        model.generate(labels, keys, given={"job": "cook", "town": "town 1"})
    with pytest.raises(ValueError, match="labels must be 0 to 2, got 3 at 1"):
        model.generate(torch.tensor([0, 3, 1]), keys)
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        kind(model.codec, 0)


def test_one_hots_are_shown_as_minus_one_and_one() -> None:
    model, data = of(TabularGAN), people()
    encoded = model.codec.encode(data.numeric, data.categorical)
    shown = model.centred(encoded)
    for block in model.codec.blocks:
        places = slice(block.start, block.start + block.size)
        wanted = encoded[:, places] if block.kind == "number" else 2 * encoded[:, places] - 1
        assert torch.equal(shown[:, places], wanted)


def test_every_value_of_every_column_has_a_number_of_its_own() -> None:
    model = of(TabularGAN)
    column = torch.tensor([0] * 4 + [1] * 70)
    numbers = model.value_numbers(column, torch.cat([torch.arange(4), torch.arange(70)]))
    assert sorted(numbers.tolist()) == list(range(1, 75))
    assert model.condition.value.weight.shape[0] == 75


@given(t=st.floats(0.02, 1.0), gone=st.floats(0.01, 0.99), x=st.floats(-3, 3), clean=st.floats(-3, 3))
def test_a_step_of_diffusion_is_the_posterior(t: float, gone: float, x: float, clean: float) -> None:
    """Of x at an earlier time, given x at t and the clean row: by conditioning a bivariate normal."""
    after = t * (1 - gone)
    c_t, s_t = math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t)
    c_u, s_u = math.cos(math.pi / 2 * after), math.sin(math.pi / 2 * after)
    # given the clean row: x_u = c_u clean + s_u e, x_t = (c_t / c_u) x_u + independent noise, var(x_t) = s_t^2
    slope = c_t / c_u * s_u**2 / s_t**2
    mean = c_u * clean + slope * (x - c_t * clean)
    variance = s_u**2 - slope * c_t / c_u * s_u**2
    v = (c_t * x - clean) / s_t  # the v that means this clean row: clean = c_t x - s_t v
    found = _towards_clean(torch.tensor([x]).double(), torch.tensor([v]).double(), t, after)
    assert float(found) == pytest.approx(mean, abs=1e-6)
    assert _variance(t, after) == pytest.approx(variance, abs=1e-9)


def test_diffusion_with_the_true_velocity_draws_the_true_normal() -> None:
    model = of(TabularDiffusion).double()
    mean, deviation = 1.5, 0.4

    def velocity(x: Tensor, condition: Tensor) -> Tensor:
        c, s = clock[0]
        noisy = c**2 * deviation**2 + s**2
        clean = mean + c * deviation**2 / noisy * (x - c * mean)  # E[clean | x], all numbers being normal
        return (c * x - clean) / s

    clock = [(0.0, 1.0)]

    def time(t: Tensor) -> Tensor:
        clock[0] = (math.cos(math.pi / 2 * float(t[0])), math.sin(math.pi / 2 * float(t[0])))
        return torch.zeros(len(t), SMALL["width"], dtype=t.dtype)

    model.network.forward, model.time.forward = velocity, time
    labels, _ = request(1000)
    draws: dict[int, Tensor] = {}

    def draw(number: int, size: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        draws[number] = torch.randn(1000, size, generator=generator, dtype=torch.float64)
        return draws[number]

    rows = model.rows(labels, torch.zeros_like(labels), draw, steps=100)
    assert sorted(draws) == list(range(100))
    assert abs(float(rows.mean()) - mean) < 0.01
    assert abs(float(rows.std()) - deviation) < 0.02


def test_the_velocity_that_diffusion_learns_is_the_derivative_in_the_angle() -> None:
    model, data = of(TabularDiffusion).double(), people()
    clean = model.centred(model.codec.encode(data.numeric, data.categorical).double())
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t, h = torch.linspace(0.05, 0.95, len(clean), dtype=torch.float64), 1e-6
    seen: list[Tensor] = []

    def network(x: Tensor, condition: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    model.network.forward = network
    encoded, labels = model.codec.encode(data.numeric, data.categorical).double(), data.labels
    assert labels is not None
    loss = model.loss(encoded, labels, torch.zeros_like(labels), t, noise)
    for at in (t - h, t + h):
        model.loss(encoded, labels, torch.zeros_like(labels), at, noise)
    derivative = (seen[2] - seen[1]) / (2 * h) * 2 / math.pi
    assert torch.allclose(loss, derivative.square().mean(1), rtol=1e-5)
    start = model.loss(encoded, labels, torch.zeros_like(labels), torch.zeros_like(t), noise)
    assert torch.allclose(seen[-1], clean)
    assert torch.allclose(start, noise.square().mean(1))


@torch.no_grad()
def test_the_bound_of_the_vae_is_that_of_torch_distributions() -> None:
    model, data = of(TabularVAE, latent=5).double(), people()
    encoded, labels = model.codec.encode(data.numeric, data.categorical).double(), data.labels
    assert labels is not None
    values = torch.arange(len(labels)) % 75
    noise = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, log_variance = model.encode(encoded, labels, values)
    outputs = model.decode(mean + noise * (log_variance / 2).exp(), labels, values)
    wanted = torch.zeros(len(labels), dtype=torch.float64)
    numbers = 0
    for block in model.codec.blocks:
        part, output = (all_[:, block.start : block.start + block.size] for all_ in (encoded, outputs))
        if block.kind == "choice":
            wanted -= Categorical(logits=output).log_prob(part.argmax(1))
        else:
            deviation = model.log_deviation[labels, numbers].clamp(-3, 1).exp()
            wanted -= Normal(output[:, 0], deviation).log_prob(part[:, 0]) + 0.5 * math.log(2 * math.pi)
            numbers += 1
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    loss, parts = model.loss(encoded, labels, values, noise, beta=0.3)
    assert numbers == 2
    assert float(parts["reconstruction"]) == pytest.approx(float(wanted.mean()))
    assert float(parts["divergence"]) == pytest.approx(float(divergence.mean()))
    assert float(loss) == pytest.approx(float((wanted + 0.3 * divergence).mean()))


@torch.no_grad()
def test_rows_of_the_vae_have_the_noise_that_it_learnt() -> None:
    model = of(TabularVAE).double()
    outputs = torch.linspace(-1, 1, model.codec.width, dtype=torch.float64)
    model.decoder.forward = lambda z, condition: outputs.expand(len(z), -1)
    labels = torch.full((20_000,), 2)
    keys = sample_keys(torch.arange(20_000))
    rows = model.rows(labels, labels * 0, lambda number, size: latents(fold_in(keys, number), size, torch.float64))
    for place, start in enumerate(model.numbers):
        deviation = float(model.log_deviation[2, place].clamp(-3, 1).exp())
        assert float(rows[:, start].mean()) == pytest.approx(float(outputs[start]), abs=4 * deviation / 141)
        assert float(rows[:, start].std()) == pytest.approx(deviation, rel=0.03)
    block = model.codec.choices["job"]
    places = slice(block.start, block.start + block.size)
    shares = rows[:, places].argmax(1).bincount(minlength=4) / 20_000
    assert torch.allclose(shares.double(), outputs[places].softmax(0), atol=0.015)


def test_gumbel_numbers_have_their_distribution() -> None:
    noise = torch.linspace(-3, 3, 13, dtype=torch.float64)
    share = torch.special.ndtr(noise)
    assert torch.allclose((-(-gumbel(noise)).exp()).exp(), share)  # the distribution function, exp(-exp(-x))
    assert gumbel(torch.tensor([-40.0, 40.0])).isfinite().all()


@settings(max_examples=20)
@given(scores=st.lists(st.floats(-2, 2, width=16), min_size=2, max_size=5, unique=True), temperature=st.floats(0.2, 2))
def test_straight_through_is_hard_forward_and_soft_backward(scores: list[float], temperature: float) -> None:
    x = torch.tensor([scores], dtype=torch.float64, requires_grad=True)
    hard = one_hot(x, temperature)
    assert torch.allclose(hard, torch.nn.functional.one_hot(x.argmax(1), len(scores)).double())
    weights = torch.arange(len(scores), dtype=torch.float64)
    (found,) = torch.autograd.grad((hard * weights).sum(), x)
    (wanted,) = torch.autograd.grad(((x / temperature).softmax(1) * weights).sum(), x)
    assert torch.allclose(found, wanted)


def test_the_losses_of_the_gan() -> None:
    torch.manual_seed(0)
    weights, real, fake = torch.randn(4).double(), torch.randn(6, 4).double(), torch.randn(6, 4).double()

    def critic(rows: Tensor) -> Tensor:
        return (rows @ weights) ** 3

    loss, parts = discriminator_loss(critic, real, fake, gamma=0.7)
    score_real, score_fake = ((rows.numpy() @ weights.numpy()) ** 3 for rows in (real, fake))
    r1, r2 = (  # the gradient is 3 (w x)^2 w
        np.mean(9 * (rows.numpy() @ weights.numpy()) ** 4) * float(weights.square().sum()) for rows in (real, fake)
    )
    wanted = np.mean(np.log1p(np.exp(score_fake - score_real))) + 0.35 * (r1 + r2)
    assert float(loss) == pytest.approx(wanted)
    assert float(parts["r1"]) == pytest.approx(r1)
    assert float(parts["r2"]) == pytest.approx(r2)
    assert float(parts["advantage"]) == pytest.approx(np.mean(score_real - score_fake))
    fooled = generator_loss(critic, real, fake)
    assert float(fooled) == pytest.approx(np.mean(np.log1p(np.exp(score_real - score_fake))))


def test_the_penalty_is_trained_through() -> None:
    model = of(TabularGAN)
    labels, rows = torch.arange(6) % 3, torch.randn(6, model.codec.width)
    loss, _ = discriminator_loss(lambda x: model.discriminator(x, labels, labels), rows, rows, gamma=1.0)
    loss.backward()
    first = model.discriminator.layers[0].weight
    assert first.grad is not None
    assert float(first.grad.abs().max()) > 0  # real and fake are equal: all of it is the penalty's


@pytest.mark.parametrize("kind", MODELS)
def test_scores_know_rows_that_a_model_was_trained_on(kind: type[TableModel]) -> None:
    model, data = of(kind), people()
    assert data.labels is not None
    encoded = model.codec.encode(data.numeric, data.categorical)
    scores = model.score(encoded, data.labels)
    assert scores.shape == (60,)
    assert scores.isfinite().all()
    assert torch.allclose(scores[5:6], model.score(encoded[5:6], data.labels[5:6]), atol=1e-4)
