from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchaug.keys import sample_keys
from torchaug.models.ema import EMA
from torchaug.models.gan import ImageGAN
from torchaug.models.latents import latents
from torchaug.models.networks import seeded_weights, sizes
from torchaug.models.vae import ImageVAE, logistic_log_probability

LABELS, KEYS = torch.tensor([0, 1, 2, 1, 0]), sample_keys(torch.arange(5))


def tiny_vae(**options: object) -> ImageVAE:
    with seeded_weights(0):
        return ImageVAE(1, 8, 8, num_classes=3, **{"latent": 4, "levels": 17, **options})  # type: ignore[arg-type]


def tiny_gan(**options: object) -> ImageGAN:
    with seeded_weights(0):
        return ImageGAN(1, 8, 8, num_classes=3, **{"latent": 4, "levels": 17, **options})  # type: ignore[arg-type]


def images(count: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@given(channels=st.integers(1, 4), height=st.integers(1, 40), width=st.integers(8, 40), gan=st.booleans())
@settings(max_examples=15)
def test_any_channel_count_and_size_goes_in_and_comes_out(channels: int, height: int, width: int, gan: bool) -> None:
    model = (ImageGAN if gan else ImageVAE)(channels, height, width, num_classes=2)
    labels = torch.tensor([0, 1])
    made = model.generate(labels, KEYS[:2])
    assert made.shape == (2, channels, height, width)
    assert 0 <= made.min() <= made.max() <= 1
    if isinstance(model, ImageGAN):
        assert model.discriminator(made, labels).shape == (2,)
    else:
        assert model.encode(made, labels)[0].shape == (2, 32)


@given(height=st.integers(1, 128), width=st.integers(1, 128))
def test_doubling_a_grid_always_covers_the_next_one(height: int, width: int) -> None:
    grids = sizes(height, width)
    assert grids[0] == (height, width)
    assert max(grids[-1]) <= 4
    for large, small in itertools.pairwise(grids):
        assert all(2 * s - 1 <= big <= 2 * s for big, s in zip(large, small, strict=True))


def test_seeded_weights_leave_the_callers_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    with seeded_weights(5):
        first = nn.Linear(3, 3).weight
    assert torch.equal(before, torch.get_rng_state())
    with seeded_weights(6):
        assert not torch.equal(first, nn.Linear(3, 3).weight)


@pytest.mark.parametrize("make", [tiny_vae, tiny_gan])
def test_a_sample_depends_on_its_own_label_and_key_alone(make: type) -> None:
    model = make().double()
    together = model.generate(LABELS, KEYS)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(model.generate(LABELS[order], KEYS[order]), together[order])
    for i in range(5):
        assert torch.equal(model.generate(LABELS[i : i + 1], KEYS[i : i + 1])[0], together[i])


@pytest.mark.parametrize("make", [tiny_vae, tiny_gan])
def test_samples_lie_on_the_grid_of_levels_and_draw_no_global_random_numbers(make: type) -> None:
    before = torch.get_rng_state()
    levels = make().generate(LABELS, KEYS) * 16
    assert torch.allclose(levels, levels.round(), atol=1e-5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("make", [tiny_vae, tiny_gan])
@pytest.mark.parametrize(
    ("labels", "keys", "text"),
    [
        (torch.tensor([0, 3]), KEYS[:2], r"labels must be 0 to 2, got 3 at 1"),
        (torch.tensor([0, -1]), KEYS[:2], r"labels must be 0 to 2, got -1 at 1"),
        (torch.tensor([0.0]), KEYS[:1], r"must be int64 of shape \(B,\), got torch.float32"),
        (torch.tensor([0]), KEYS[:2], r"must be int64 of shape \(B,\)"),
    ],
)
def test_a_label_that_does_not_exist_is_refused(make: type, labels: Tensor, keys: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make().generate(labels, keys)


@pytest.mark.parametrize("model", [ImageVAE, ImageGAN])
def test_sizes_that_cannot_be_are_refused(model: type) -> None:
    with pytest.raises(ValueError, match="must be at least 1 and levels at least 2"):
        model(1, 8, 8, num_classes=0)
    with pytest.raises(ValueError, match=r"expected one of tiny, small, base.*, got 'huge'"):
        model(1, 8, 8, num_classes=2, preset="huge")


def test_latents_are_standard_normal_and_keyed() -> None:
    z = latents(sample_keys(torch.arange(4000)), 3)
    assert all(scipy.stats.kstest(column, "norm").pvalue > 1e-3 for column in z.T.numpy())
    assert torch.equal(latents(KEYS, 8)[:, :3], latents(KEYS, 3))


# The likelihoods, against scipy


def test_binomial_likelihood_is_that_of_scipy_up_to_its_coefficient() -> None:
    throws = torch.randint(0, 17, (5, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    logits = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    found = tiny_vae()._negative_log_likelihood(logits, throws / 16)
    reference = scipy.stats.binom.logpmf(throws.numpy(), 16, logits.sigmoid().double().numpy())
    coefficient = np.log(scipy.special.comb(16, throws.numpy()))
    expected = (coefficient - reference).reshape(5, -1).sum(1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_bernoulli_likelihood_is_binomial_with_one_throw() -> None:
    logits, pixels = torch.randn(5, 1, 8, 8), (images() > 0.5).float()
    one, two = tiny_vae(likelihood="bernoulli"), tiny_vae(levels=2)
    assert torch.equal(one._negative_log_likelihood(logits, pixels), two._negative_log_likelihood(logits, pixels))


def test_gaussian_likelihood_has_the_variance_that_fits_best() -> None:
    logits, pixels = torch.randn(5, 1, 8, 8), images()
    found = tiny_vae(likelihood="gaussian")._negative_log_likelihood(logits, pixels)
    off = (pixels - logits.sigmoid()).double().numpy()
    reference = -scipy.stats.norm.logpdf(off, scale=np.sqrt((off**2).mean())) - math.log(2 * math.pi) / 2
    np.testing.assert_allclose(found.numpy(), reference.reshape(5, -1).sum(1), rtol=1e-5)


def test_logistic_likelihood_sums_to_one_and_is_that_of_scipy() -> None:
    values = torch.linspace(0, 1, 17, dtype=torch.float64)[:, None]
    mean, log_scale = torch.tensor([0.03, 0.5, 0.9], dtype=torch.float64), torch.tensor(-2.5, dtype=torch.float64)
    probability = logistic_log_probability(mean, log_scale, values, 17).exp()
    torch.testing.assert_close(probability.sum(0), torch.ones(3, dtype=torch.float64))
    logistic = scipy.stats.logistic(mean.numpy(), math.exp(-2.5))
    expected = logistic.cdf(values.numpy() + 1 / 32) - logistic.cdf(values.numpy() - 1 / 32)
    np.testing.assert_allclose(probability[1:-1].numpy(), expected[1:-1], rtol=1e-9)


def test_divergence_is_that_of_torch_distributions_and_free_nats_are_free() -> None:
    vae = tiny_vae()
    mean, log_variance = vae.encode(images(), LABELS)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    noise = torch.zeros(5, 4)
    loss, parts = vae.loss(images(), LABELS, noise, beta=2.0, free_nats=0.0)
    torch.testing.assert_close(parts["divergence"], expected.detach())
    torch.testing.assert_close(loss, parts["reconstruction"] + 2 * parts["divergence"])
    free, _ = vae.loss(images(), LABELS, noise, beta=1.0, free_nats=100.0)
    torch.testing.assert_close(free, parts["reconstruction"] + 400)


def test_an_unknown_likelihood_is_refused() -> None:
    with pytest.raises(ValueError, match="one of binomial, bernoulli, gaussian, logistic, got 'poisson'"):
        tiny_vae(likelihood="poisson")


def test_the_vae_learns_to_tell_two_images_apart() -> None:
    vae, pixels = tiny_vae(), (images(2) > 0.5).float()
    labels, optimizer = torch.tensor([0, 0]), torch.optim.Adam(vae.parameters(), 1e-2)
    for step in range(150):
        noise = latents(sample_keys(torch.arange(2), epoch=step), 4)
        loss, _ = vae.loss(pixels, labels, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    decoded = vae.decode(vae.encode(pixels, labels)[0], labels)
    assert ((decoded > 0.5) == (pixels > 0.5)).float().mean() > 0.95


# The aggregated posterior


def test_a_small_class_keeps_its_mean_and_borrows_the_spread_of_the_others() -> None:
    vae, labels = tiny_vae().double(), torch.tensor([0] * 40 + [1] * 3)
    pixels = images(43).double()
    vae.fit_posterior(pixels, labels, pooling=10.0, batch_size=7)
    mean, log_variance = (part.detach().numpy() for part in vae.encode(pixels, labels))
    own = []
    for c, members in ((0, slice(0, 40)), (1, slice(40, 43))):
        off = mean[members] - mean[members].mean(0)
        own.append(off.T @ off + np.diag(np.exp(log_variance[members]).sum(0)))
        np.testing.assert_allclose(vae.means[c].numpy(), mean[members].mean(0))
    pooled = (own[0] + own[1]) / 43
    expected = (own[1] + 10 * pooled) / 13 + 1e-5 * np.eye(4)
    np.testing.assert_allclose((vae.factors[1] @ vae.factors[1].T).numpy(), expected)
    assert vae.fitted.tolist() == [True, True, False]
    assert torch.equal(vae.means[2], torch.zeros(4, dtype=torch.float64))


def test_samples_of_the_aggregated_posterior_have_its_mean_and_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = tiny_vae(levels=256).double()
    vae.fit_posterior(images(30).double(), torch.arange(30) % 2)
    drawn: list[Tensor] = []

    def decode(z: Tensor, labels: Tensor) -> Tensor:
        drawn.append(z)
        return z

    monkeypatch.setattr(vae, "decode", decode)
    vae.generate(torch.ones(20_000, dtype=torch.int64), sample_keys(torch.arange(20_000)))
    covariance = vae.factors[1] @ vae.factors[1].T
    spread = covariance.diagonal().max().sqrt()
    assert (drawn[0].mean(0) - vae.means[1]).abs().max() < 0.05 * spread
    assert (torch.cov(drawn[0].T) - covariance).abs().max() < 0.05 * spread**2


def test_posterior_mix_goes_from_the_reconstruction_to_the_sample() -> None:
    vae, pixels = tiny_vae().double(), images().double()
    vae.fit_posterior(images(30).double(), torch.arange(30) % 3)
    top = vae.levels - 1
    same = (vae.decode(vae.encode(pixels, LABELS)[0], LABELS) * top).round() / top
    assert torch.equal(vae.posterior_mix(pixels, LABELS, KEYS, amount=0.0), same)
    assert torch.equal(vae.posterior_mix(pixels, LABELS, KEYS, amount=1.0), vae.generate(LABELS, KEYS))
    with pytest.raises(ValueError, match=r"amount must be in \[0, 1\], got 2"):
        vae.posterior_mix(pixels, LABELS, KEYS, amount=2.0)
    with pytest.raises(ValueError, match="one of aggregated, normal, got 'uniform'"):
        vae.generate(LABELS, KEYS, prior="uniform")  # type: ignore[arg-type]


# The moving average


class Counter(nn.Module):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("count", torch.tensor(64))


def test_after_its_half_life_the_average_is_half_way() -> None:
    model = Counter()
    ema = EMA(model, half_life=100, ramp=1e9)
    with torch.no_grad():
        model.weight.add_(1)
    for _ in range(4):
        ema.update(model, samples=25)
    assert ema.model.weight.item() == pytest.approx(0.5, abs=1e-6)
    assert ema.seen == 100


def test_a_young_average_forgets_its_first_weights_soon() -> None:
    model = Counter()
    ema = EMA(model, half_life=10_000, ramp=0.05)
    with torch.no_grad():
        model.weight.add_(1)
    for _ in range(10):
        ema.update(model, samples=10)
    assert ema.model.weight.item() > 0.99


def test_integer_buffers_are_copied_and_not_averaged() -> None:
    model = Counter()
    ema = EMA(model, half_life=100)
    model.count.fill_(56)
    ema.update(model, samples=1)
    assert ema.model.count.item() == 56
    assert ema.model.count.dtype == torch.int64


def test_the_average_stays_frozen_and_in_evaluation() -> None:
    ema = EMA(nn.Sequential(nn.Linear(1, 1), nn.Dropout()), half_life=1)
    ema.train()
    assert not any(module.training for module in ema.model.modules())
    assert not any(weight.requires_grad for weight in ema.parameters())
    with pytest.raises(ValueError, match="half_life and ramp must be above 0, got 0"):
        EMA(nn.Linear(1, 1), half_life=0)
