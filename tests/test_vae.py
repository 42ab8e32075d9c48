from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor, nn

from torchaug.compose import Compose
from torchaug.image import RandomHorizontalFlip
from torchaug.keys import sample_keys
from torchaug.models.aggregated import AggregatedPosterior, best_mixture
from torchaug.models.latents import latents, on_circle
from torchaug.models.likelihoods import PixelLikelihood, logistic_log_probability
from torchaug.models.networks import seeded_weights
from torchaug.models.posterior_mix import PosteriorMix
from torchaug.models.vae import ImageVAE
from torchaug.models.vae_objectives import elbo, iwae, log_weights, mmd, wae_mmd

LABELS, KEYS = torch.tensor([0, 1, 2, 1, 0]), sample_keys(torch.arange(5))
F64 = torch.float64


def tiny_vae(**options: object) -> ImageVAE:
    with seeded_weights(0):
        return ImageVAE(1, 8, 8, num_classes=3, **{"latent": 4, "levels": 17, **options})  # type: ignore[arg-type]


def images(count: int = 5, seed: int = 0, levels: int | None = None) -> Tensor:
    pixels = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return pixels if levels is None else (pixels * (levels - 1)).round() / (levels - 1)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


class Linear(nn.Module):
    """x = W z + b + noise of deviation s, z standard normal, with a Gaussian encoder that is not quite the posterior."""

    def __init__(self, pixels: int = 3, latent: int = 2, off: float = 0.0, widen: float = 1.0) -> None:
        super().__init__()
        self.w, self.b, self.s = nn.Parameter(normals(pixels, latent)), nn.Parameter(normals(pixels, seed=1)), 0.7
        precision = torch.eye(latent, dtype=F64) + self.w.detach().T @ self.w.detach() / self.s**2
        self.gain = nn.Parameter(torch.linalg.solve(precision, self.w.detach().T) / self.s**2)
        self.log_variance = nn.Parameter((widen / precision.diagonal()).log())
        self.off = off

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        mean = (images - self.b) @ self.gain.T + self.off
        return mean, self.log_variance.expand_as(mean)

    def log_likelihood(self, z: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        found: Tensor = torch.distributions.Normal(z @ self.w.T + self.b, self.s).log_prob(images).sum(-1)
        return found

    def exact(self, images: Tensor) -> Tensor:
        covariance = self.w @ self.w.T + self.s**2 * torch.eye(len(self.b), dtype=F64)
        found: Tensor = torch.distributions.MultivariateNormal(self.b, covariance).log_prob(images)
        return found.detach()


# The likelihoods, against scipy: log-probabilities with all their constants


def test_binomial_likelihood_is_that_of_scipy() -> None:
    throws = torch.randint(0, 17, (5, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    logits = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    found = PixelLikelihood("binomial", 1, 17)(logits, throws / 16)
    reference = scipy.stats.binom.logpmf(throws.numpy(), 16, logits.sigmoid().double().numpy())
    np.testing.assert_allclose(found.numpy(), reference.reshape(5, -1).sum(1), rtol=1e-5)


def test_bernoulli_likelihood_is_that_of_scipy_whatever_the_levels() -> None:
    logits, pixels = torch.randn(5, 1, 8, 8), (images() > 0.5).float()
    found = PixelLikelihood("bernoulli", 1, 256)(logits, pixels)
    reference = scipy.stats.bernoulli.logpmf(pixels.numpy(), logits.sigmoid().double().numpy())
    np.testing.assert_allclose(found.numpy(), reference.reshape(5, -1).sum(1), rtol=1e-5)
    torch.testing.assert_close(found, PixelLikelihood("binomial", 1, 2)(logits, pixels))


def test_gaussian_likelihood_has_the_best_variance_in_training_and_a_fitted_one_in_evaluation() -> None:
    logits, pixels, likelihood = torch.randn(5, 1, 8, 8), images(), PixelLikelihood("gaussian", 1, 256)
    off = (pixels - logits.sigmoid()).double().numpy()
    best = math.sqrt((off**2).mean())
    found = likelihood(logits, pixels)
    reference = scipy.stats.norm.logpdf(off, scale=best).reshape(5, -1).sum(1)
    np.testing.assert_allclose(found.numpy(), reference, rtol=1e-5)
    for other in (0.9, 1.1):  # no other variance makes the batch likelier
        assert scipy.stats.norm.logpdf(off, scale=best * other).sum() < reference.sum()
    likelihood.eval().fit_variance(torch.tensor([0.1, 0.3]))
    reference = scipy.stats.norm.logpdf(off, scale=math.sqrt(0.2)).reshape(5, -1).sum(1)
    np.testing.assert_allclose(likelihood(logits, pixels).numpy(), reference, rtol=1e-5)


@pytest.mark.parametrize("log_scale", [-6.0, -2.5, 0.0, 2.0])
def test_logistic_likelihood_sums_to_one_and_is_that_of_scipy(log_scale: float) -> None:
    values = torch.linspace(0, 1, 17, dtype=F64)[:, None]
    mean = torch.tensor([0.03, 0.5, 0.9], dtype=F64)
    found = logistic_log_probability(mean, torch.tensor(log_scale, dtype=F64), values, 17)
    torch.testing.assert_close(found.exp().sum(0), torch.ones(3, dtype=F64))
    logistic = scipy.stats.logistic(mean.numpy(), math.exp(log_scale))
    above, below = values.numpy() + 1 / 32, values.numpy() - 1 / 32
    expected = np.where(
        values.numpy() > mean.numpy(),
        logistic.sf(below) - logistic.sf(above),
        logistic.cdf(above) - logistic.cdf(below),
    )
    np.testing.assert_allclose(found[1:-1].exp().numpy(), expected[1:-1], rtol=1e-6, atol=1e-300)
    np.testing.assert_allclose(found[0].numpy(), logistic.logcdf(1 / 32), rtol=1e-9)
    np.testing.assert_allclose(found[-1].numpy(), logistic.logsf(31 / 32), rtol=1e-9)
    assert found.isfinite().all()


@pytest.mark.parametrize("name", ["binomial", "bernoulli", "logistic"])
def test_every_pixel_likelihood_sums_to_one_over_the_images_there_can_be(name: Any) -> None:
    levels = 2 if name == "bernoulli" else 3
    every = torch.tensor(list(itertools.product(range(levels), repeat=4)), dtype=F64).view(-1, 1, 2, 2) / (levels - 1)
    likelihood = PixelLikelihood(name, 1, levels).double()
    assert likelihood(normals(1, 1, 2, 2), every).exp().sum().item() == pytest.approx(1, rel=1e-9)


def test_an_unknown_likelihood_is_refused() -> None:
    with pytest.raises(ValueError, match="one of binomial, bernoulli, gaussian, logistic, got 'poisson'"):
        tiny_vae(likelihood="poisson")


# The objectives


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


def test_the_elbo_of_a_linear_vae_with_its_own_posterior_is_the_likelihood() -> None:
    toy, x = Linear(pixels=3, latent=1), normals(4, 3, seed=5)
    zeros = torch.zeros(4, dtype=torch.int64)
    draws = log_weights(toy, x, zeros, normals(500, 4, 1, seed=6))  # every draw has the same weight then
    torch.testing.assert_close(draws, toy.exact(x).expand(500, 4))
    loss, _ = elbo(toy, x, zeros, normals(20_000, 1, 1, seed=7), free_nats=0.0)
    assert -loss.item() == pytest.approx(toy.exact(x).mean().item(), abs=0.03)


def test_importance_sampling_comes_to_the_likelihood_of_a_linear_vae_from_below() -> None:
    toy, x, zeros = Linear(off=0.4, widen=2.0), normals(8, 3, seed=5), torch.zeros(8, dtype=torch.int64)
    draws = log_weights(toy, x, zeros, normals(100_000, 8, 2, seed=6)).detach()
    exact = toy.exact(x)
    torch.testing.assert_close(torch.logsumexp(draws, 0) - math.log(len(draws)), exact, atol=0.03, rtol=0)
    bounds = [(torch.logsumexp(draws.view(-1, k, 8), 1) - math.log(k)).mean().item() for k in (1, 5, 25)]
    assert bounds[0] + 0.02 < bounds[1] < bounds[1] + 0.005 < bounds[2] < exact.mean().item() + 0.01


def test_iwae_is_the_bound_of_its_draws_and_of_one_draw_the_elbo() -> None:
    toy, x, zeros, noise = Linear(off=0.5), normals(4, 3, seed=5), torch.zeros(4, dtype=torch.int64), normals(7, 4, 2)
    draws = log_weights(toy, x, zeros, noise)
    loss, parts = iwae(toy, x, zeros, noise)
    torch.testing.assert_close(loss, -(torch.logsumexp(draws, 0) - math.log(7)).mean())
    torch.testing.assert_close(loss.detach() * 0 + iwae(toy, x, zeros, noise[:1])[0], -draws[:1].mean())
    assert sorted(parts) == ["divergence", "reconstruction"]


def encoder_gradient(toy: Linear, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [toy.gain, toy.log_variance], retain_graph=True)])


def test_the_doubly_reparametrised_gradient_has_the_mean_of_the_plain_one_and_less_noise() -> None:
    toy, x, zeros = Linear(off=0.5, widen=1.5), normals(1, 3, seed=5), torch.zeros(1, dtype=torch.int64)
    ours, plain = [], []
    for seed in range(300):
        noise = normals(8, 1, 2, seed=seed)
        ours.append(encoder_gradient(toy, iwae(toy, x, zeros, noise)[0]))
        bound = -(torch.logsumexp(log_weights(toy, x, zeros, noise), 0) - math.log(8)).mean()
        plain.append(encoder_gradient(toy, bound))
    a, b = torch.stack(ours), torch.stack(plain)
    error = ((a.var(0) + b.var(0)) / 300).sqrt()
    assert ((a.mean(0) - b.mean(0)).abs() < 4 * error).all()
    assert a.mean(0).norm() > 4 * error.norm()  # else any two gradients would agree
    assert (a.var(0).sum() < 0.5 * b.var(0).sum()).item()


def test_the_decoder_gets_the_plain_gradient_of_the_bound() -> None:
    toy, x, zeros, noise = Linear(off=0.5), normals(4, 3, seed=5), torch.zeros(4, dtype=torch.int64), normals(7, 4, 2)
    (found,) = torch.autograd.grad(iwae(toy, x, zeros, noise)[0], toy.w)
    toy.gain.requires_grad_(False)
    toy.log_variance.requires_grad_(False)
    toy.b.requires_grad_(False)
    bound = -(torch.logsumexp(log_weights(toy, x, zeros, noise), 0) - math.log(7)).mean()
    torch.testing.assert_close(found, torch.autograd.grad(bound, toy.w)[0])


def test_mmd_is_that_of_loops_and_tells_distributions_apart() -> None:
    a, b = normals(6, 3), normals(4, 3, seed=1) + 1

    def kernel(x: Tensor, y: Tensor) -> float:
        return float(6 / (6 + ((x - y) ** 2).sum()))

    def mean(pairs: Any) -> float:
        return float(np.mean([kernel(x, y) for x, y in pairs]))

    expected = (
        mean(itertools.permutations(a, 2)) + mean(itertools.permutations(b, 2)) - 2 * mean(itertools.product(a, b))
    )
    assert mmd(a, b).item() == pytest.approx(expected, rel=1e-9)
    same = [mmd(normals(50, 3, seed=i), normals(50, 3, seed=1000 + i)).item() for i in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(40)  # unbiased: 0 on average
    assert mmd(normals(50, 3), 0.3 * normals(50, 3, seed=1)).item() > 5 * np.std(same)
    with pytest.raises(ValueError, match="at least two rows of each, got 1 and 4"):
        mmd(a[:1], b)


def test_wae_adds_the_weighted_distance_to_the_reconstruction() -> None:
    vae, pixels, noise, prior = tiny_vae(), images(levels=17), torch.randn(5, 4), torch.randn(5, 4)
    loss, parts = wae_mmd(vae, pixels, LABELS, noise, prior, weight=3.0)
    mean, log_variance = vae.encode(pixels, LABELS)
    z = mean + noise * (log_variance / 2).exp()
    torch.testing.assert_close(parts["distance"], mmd(z, prior).detach())
    torch.testing.assert_close(loss, parts["reconstruction"] + 3 * 64 * parts["distance"])


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


# log_prob of the whole model


def small(likelihood: Any, levels: int, **options: Any) -> ImageVAE:
    with seeded_weights(1):
        vae = ImageVAE(1, 2, 2, 2, latent=1, likelihood=likelihood, levels=levels, **options).double().eval()
    with torch.no_grad():
        vae.decoder.start.weight.mul_(4)  # else the latent hardly matters
    return vae


@pytest.mark.parametrize(
    ("likelihood", "levels"), [("bernoulli", 2), ("binomial", 3), ("logistic", 3), ("gaussian", 256)]
)
def test_log_prob_is_the_integral_over_the_latent(likelihood: Any, levels: int) -> None:
    vae, labels = small(likelihood, levels), torch.tensor([0, 1, 1])
    pixels = torch.tensor([[0.0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]], dtype=F64).view(3, 1, 2, 2)
    z = torch.linspace(-8, 8, 801, dtype=F64)
    with torch.no_grad():
        joint = vae.log_likelihood(z.view(-1, 1, 1).expand(-1, 3, 1), labels, pixels).exp()
    weighted = joint.numpy() * scipy.stats.norm.pdf(z.numpy())[:, None]
    expected = np.log(scipy.integrate.simpson(weighted, x=z.numpy(), axis=0))
    found = vae.log_prob(pixels, labels, n=4000)
    np.testing.assert_allclose(found.numpy(), expected, atol=0.03)
    assert expected.std() > 0.05
    lower = vae.score(pixels, labels, n=500)
    assert (lower.numpy() < expected + 0.03).all()


def test_probabilities_of_all_images_sum_to_one() -> None:
    vae = small("bernoulli", 2)
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=F64).view(-1, 1, 2, 2)
    found = vae.log_prob(every, torch.ones(16, dtype=torch.int64), n=2000).exp()
    assert found.sum().item() == pytest.approx(1, abs=0.01)


def test_log_prob_and_score_of_an_image_depend_on_it_alone() -> None:
    vae, pixels = tiny_vae().double(), images(levels=17).double()
    for method in (vae.log_prob, vae.score):
        together = method(pixels, LABELS, n=9)
        torch.testing.assert_close(method(pixels[3:4], LABELS[3:4], n=9)[0], together[3])
        torch.testing.assert_close(method(pixels.flip(0), LABELS.flip(0), n=9).flip(0), together)
    assert not torch.equal(vae.log_prob(pixels, LABELS, n=9, seed=1), vae.log_prob(pixels, LABELS, n=9))
    assert vae.log_prob(pixels[:0], LABELS[:0]).shape == (0,)


def test_log_prob_refuses_pixels_without_a_probability() -> None:
    pixels = torch.full((1, 1, 8, 8), 0.4)
    with pytest.raises(ValueError, match=r"binomial pixels must be multiples of 1/16 in \[0, 1\], got one 0.025 away"):
        tiny_vae().log_prob(pixels, LABELS[:1])
    with pytest.raises(ValueError, match="bernoulli pixels must be multiples of 1/1"):
        tiny_vae(likelihood="bernoulli").log_prob(pixels, LABELS[:1])
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        tiny_vae(likelihood="gaussian").score(pixels, LABELS[:1], n=0)


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
        np.testing.assert_allclose(vae.aggregated.means[c, 0].numpy(), mean[members].mean(0), rtol=1e-6)
    pooled = (own[0] + own[1]) / 43
    expected = (own[1] + 10 * pooled) / 13 + 1e-5 * np.eye(4)
    np.testing.assert_allclose((vae.aggregated.factors[1] @ vae.aggregated.factors[1].T).numpy(), expected)
    assert vae.aggregated.fitted.tolist() == [True, True, False]
    assert torch.equal(vae.aggregated.means[2], torch.zeros(1, 4, dtype=F64))


def test_a_class_of_which_some_images_are_given_counts_as_with_all() -> None:
    mean, variance, labels = normals(20, 4), normals(20, 4, seed=1).exp(), torch.tensor([0] * 12 + [1] * 8)
    rows = torch.cat([torch.arange(12).repeat(5), torch.arange(12, 20)])
    some, whole = (AggregatedPosterior(3, 4, components=1).double() for _ in range(2))
    some.fit(mean, variance, labels, 10.0, counts=torch.tensor([60, 8, 0]))
    whole.fit(mean[rows], variance[rows], labels[rows], 10.0)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(some.state_dict()[name], value)
    some.fit(mean, variance, labels, 10.0)
    assert not torch.allclose(some.factors, whole.factors)


def test_a_gaussian_likelihood_is_fitted_to_what_the_decoder_gets_wrong() -> None:
    vae, pixels = tiny_vae(likelihood="gaussian").double(), images(20).double()
    vae.fit_posterior(pixels, torch.arange(20) % 3, batch_size=6)
    mean, log_variance = vae.encode(pixels, torch.arange(20) % 3)
    z = mean + latents(sample_keys(torch.arange(20)), 4, F64) * (log_variance / 2).exp()
    expected = (vae.decode(z, torch.arange(20) % 3) - pixels).square().mean()
    torch.testing.assert_close(vae.pixels.variance, expected.detach())


def drawn(posterior: AggregatedPosterior, label: int, count: int) -> Tensor:
    keys, labels = sample_keys(torch.arange(count)), torch.full((count,), label)
    u = torch.rand(count, generator=torch.Generator().manual_seed(0))
    found: Tensor = posterior(latents(keys, posterior.means.shape[2], F64), labels, u)
    return found


def test_draws_have_the_mean_and_covariance_of_the_class() -> None:
    vae = tiny_vae().double()
    vae.fit_posterior(images(30).double(), torch.arange(30) % 2)
    factor = vae.aggregated.factors[1]
    z = drawn(vae.aggregated, 1, 20_000)
    spread = (factor @ factor.T).diagonal().max().sqrt()
    assert (z.mean(0) - vae.aggregated.means[1, 0]).abs().max() < 0.05 * spread
    assert (torch.cov(z.T) - factor @ factor.T).abs().max() < 0.05 * spread**2


def two_heaps(count: int) -> Tensor:
    points = 0.3 * normals(count, 3)
    points[: count // 4, 0] += 4
    return points


def test_a_class_of_two_heaps_gets_two_gaussians_and_one_of_one_heap_gets_one() -> None:
    points = torch.cat([two_heaps(80), 0.3 * normals(80, 3, seed=3)])
    labels = torch.tensor([0] * 80 + [1] * 80)
    posterior = AggregatedPosterior(num_classes=3, latent=3, components=4).double()
    posterior.fit(points, torch.full_like(points, 0.01), labels, pooling=0.0)
    assert (posterior.weights > 0).sum(1).tolist() == [2, 1, 1]
    torch.testing.assert_close(posterior.weights[0].max(), torch.tensor(0.75, dtype=F64), atol=1e-3, rtol=0)
    z = drawn(posterior, 0, 20_000)
    assert (z[:, 0] > 2).double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert ((z[:, 0] > 1) & (z[:, 0] < 3)).double().mean().item() < 0.02  # nothing between the heaps
    assert z[:, 1].std().item() == pytest.approx(math.sqrt(0.09 + 0.01), rel=0.15)


def test_the_mixture_is_as_likely_as_that_of_sklearn() -> None:
    from sklearn.mixture import GaussianMixture

    points = two_heaps(80)
    reference = GaussianMixture(2, covariance_type="tied", n_init=3, random_state=0).fit(points.numpy())
    centers, weights, scatter, _ = best_mixture(points, torch.zeros_like(points), 2)
    order, theirs = centers[:, 0].argsort(), reference.means_[:, 0].argsort()
    np.testing.assert_allclose(centers[order].numpy(), reference.means_[theirs], atol=1e-3)
    np.testing.assert_allclose(weights[order].numpy(), reference.weights_[theirs], atol=1e-3)
    np.testing.assert_allclose((scatter / 80).numpy(), reference.covariances_, atol=1e-3)


def test_without_the_criterion_a_class_gets_as_many_gaussians_as_its_images_allow() -> None:
    curve = torch.linspace(-2, 2, 84, dtype=F64)
    arc = torch.stack([curve, curve**2, 0 * curve], 1) + 0.1 * normals(84, 3)
    few = 5 + 0.1 * normals(5, 3, seed=1)
    labels = torch.tensor([0] * 84 + [1] * 5)
    posterior = AggregatedPosterior(num_classes=2, latent=3, components=12, bic=False).double()
    posterior.fit(torch.cat([arc, few]), torch.full((89, 3), 1e-4, dtype=F64), labels, pooling=3.0)
    assert (posterior.weights > 0).sum(1).tolist() == [12, 1]
    z = drawn(posterior, 0, 4000)
    off = (z[:, 1] - z[:, 0] ** 2).abs().median()  # one Gaussian would leave the curve
    assert off < 0.3
    # the class of one center borrows from the spread of whole classes, not from what is left about many centers
    whole = torch.cat([arc - arc.mean(0), few - few.mean(0)])
    pooled = (whole.T @ whole) / 89 + 1e-4 * torch.eye(3, dtype=F64)
    own = (whole[84:].T @ whole[84:]) + 5e-4 * torch.eye(3, dtype=F64)
    expected = (own + 3 * pooled) / 8 + 1e-5 * torch.eye(3, dtype=F64)
    torch.testing.assert_close(posterior.factors[1] @ posterior.factors[1].T, expected)


def test_a_class_of_one_image_can_be_drawn() -> None:
    posterior = AggregatedPosterior(num_classes=1, latent=3, components=4).double()
    posterior.fit(torch.ones(1, 3, dtype=F64), torch.zeros(1, 3, dtype=F64), torch.zeros(1, dtype=torch.int64))
    torch.testing.assert_close(drawn(posterior, 0, 5), torch.ones(5, 3, dtype=F64), atol=0.05, rtol=0)
    with pytest.raises(ValueError, match="components must be at least 1, got 0"):
        AggregatedPosterior(1, 3, components=0)


# Samples, and ways between them


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("prior", ["aggregated", "normal"])
def test_a_sample_is_a_function_of_its_row(prior: Any, components: int) -> None:
    vae = tiny_vae(components=components).double()
    vae.aggregated.means.copy_(normals(3, components, 4))
    vae.aggregated.weights.fill_(1 / components)
    together = vae.generate(LABELS, KEYS, prior=prior)
    for i in range(5):
        assert torch.equal(vae.generate(LABELS[i : i + 1], KEYS[i : i + 1], prior=prior)[0], together[i])
    assert len(together.flatten(1).unique(dim=0)) == 5


def test_truncation_draws_samples_to_the_center() -> None:
    vae = tiny_vae(levels=256).double()
    vae.fit_posterior(images(30).double(), torch.arange(30) % 3)
    center = (vae.decode(vae.aggregated.means[LABELS, 0], LABELS) * 255).round() / 255
    assert torch.equal(vae.generate(LABELS, KEYS, truncation=0.0), center)
    off = [(vae.generate(LABELS, KEYS, truncation=t) - center).norm() for t in (0.5, 1.0)]
    assert 0 < off[0] < off[1]
    with pytest.raises(ValueError, match="truncation must be at least 0, got -1"):
        vae.generate(LABELS, KEYS, truncation=-1)
    with pytest.raises(ValueError, match="one of aggregated, normal, got 'uniform'"):
        vae.generate(LABELS, KEYS, prior="uniform")  # type: ignore[arg-type]


@pytest.mark.parametrize("prior", ["aggregated", "normal"])
def test_an_interpolation_starts_and_ends_at_the_samples(prior: Any) -> None:
    vae, labels = tiny_vae(components=3, levels=256).double(), torch.tensor([1, 1])
    vae.fit_posterior(images(30).double(), torch.arange(30) % 3)
    way = vae.interpolate(labels[:1], KEYS[:1], KEYS[1:2], steps=9, prior=prior)
    ends = vae.generate(labels, KEYS[:2], prior=prior)
    assert way.shape == (1, 9, 1, 8, 8)
    torch.testing.assert_close(way[0, [0, -1]], ends, atol=1 / 255, rtol=0)
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        vae.interpolate(labels, KEYS[:2], KEYS[:2], steps=1)


def test_the_arc_between_latents_keeps_their_length() -> None:
    a, b = normals(1, 16), normals(1, 16, seed=1)
    a, b = a / a.norm(), b / b.norm()
    arc = torch.cat([on_circle(a, b, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)])
    torch.testing.assert_close(arc.norm(dim=1), torch.ones(5, dtype=F64))
    torch.testing.assert_close(arc[[0, -1]], torch.cat([a, b]))
    angles = torch.cosine_similarity(arc[:-1], arc[1:], dim=1).acos()
    torch.testing.assert_close(angles, angles[:1].expand(4))


@pytest.mark.parametrize("condition", ["multi-label", "continuous"])
def test_other_conditions_than_classes_train_and_sample(condition: Any) -> None:
    vae = tiny_vae(condition=condition)
    wanted = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]])
    pixels = images(levels=17)
    loss, _ = vae.loss(pixels, wanted, torch.zeros(5, 4))
    loss.backward()
    assert all(weight.grad is not None for weight in vae.condition.parameters())
    vae.fit_posterior(pixels, wanted)
    assert vae.aggregated.means.shape == (1, 1, 4)
    vae = vae.double()
    with torch.no_grad():
        for weight in vae.parameters():  # first weights of the condition's way in are 0: make it count
            weight.add_(0.1 * normals(*weight.shape))
    made = vae.generate(wanted, KEYS)
    assert torch.equal(vae.generate(wanted[3:4], KEYS[3:4])[0], made[3])
    assert not torch.equal(vae.generate(wanted.flip(0), KEYS), made)
    assert vae.log_prob(pixels.double(), wanted, n=3).shape == vae.score(pixels.double(), wanted).shape == (5,)
    with pytest.raises(ValueError, match=r"labels must be \(B, 3\) for a"):
        vae.generate(LABELS, KEYS)


def test_one_class_is_an_unconditional_vae() -> None:
    vae = ImageVAE(3, 5, 9, num_classes=1, latent=2)
    zeros = torch.zeros(4, dtype=torch.int64)
    vae.fit_posterior(torch.rand(4, 3, 5, 9), zeros)
    assert vae.generate(zeros, KEYS[:4]).shape == (4, 3, 5, 9)


# Variations of real images


def test_posterior_mix_goes_from_the_reconstruction_to_the_sample() -> None:
    vae, pixels, z = tiny_vae().double(), images().double(), latents(KEYS, 4, F64)
    vae.fit_posterior(images(30).double(), torch.arange(30) % 3)
    top = vae.levels - 1
    same = (vae.decode(vae.encode(pixels, LABELS)[0], LABELS) * top).round() / top
    assert torch.equal(vae.posterior_mix(pixels, LABELS, KEYS, amount=0.0), same)
    assert torch.equal(vae.posterior_mix(pixels, LABELS, KEYS, amount=1.0), vae.generate(LABELS, KEYS))
    assert torch.equal(vae.posterior_mix(pixels, LABELS, KEYS, 0.3), vae.blended(pixels, LABELS, z, 0.3))
    with pytest.raises(ValueError, match=r"amount must be in \[0, 1\], got 2"):
        vae.posterior_mix(pixels, LABELS, KEYS, amount=2.0)


def test_posterior_mix_keeps_the_spread_of_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    vae, labels = tiny_vae(levels=256).double(), torch.zeros(4000, dtype=torch.int64)
    own = normals(4000, 4) @ torch.diag(torch.tensor([1.0, 2, 1, 1], dtype=F64)) + 3
    vae.aggregated.fit(own, torch.full_like(own, 1e-4), labels, pooling=0.0)
    mixed: list[Tensor] = []
    monkeypatch.setattr(vae, "encode", lambda *_: (own, own))
    monkeypatch.setattr(vae, "decode", lambda z, labels: mixed.append(z) or z)  # type: ignore[func-returns-value]
    vae.posterior_mix(own, labels, sample_keys(torch.arange(4000)), amount=0.6)
    torch.testing.assert_close(mixed[0].std(0), own.std(0), rtol=0.05, atol=0)
    joint = torch.corrcoef(torch.stack([mixed[0][:, 1], own[:, 1]]))[0, 1]
    assert joint.item() == pytest.approx(0.8, abs=0.03)  # the square root of 1 - 0.6^2


def test_posterior_mix_is_a_keyed_transform_of_labelled_images() -> None:
    vae = tiny_vae()
    vae.fit_posterior(images(30), torch.arange(30) % 3)
    batch = {"image": (images(64) * 255).to(torch.uint8), "label": torch.arange(64) % 3}
    keys = sample_keys(torch.arange(64))
    chain = Compose([PosteriorMix(vae, amount=0.5, p=0.5), RandomHorizontalFlip(p=0.0)])
    out = chain(batch, keys=keys)
    assert out["image"].dtype == torch.uint8
    assert torch.equal(out["label"], batch["label"])
    changed = (out["image"] != batch["image"]).flatten(1).any(1)
    assert 20 <= int(changed.sum()) <= 44
    assert not any(weight.requires_grad for weight in chain.parameters())
    part = chain({name: value[40:] for name, value in batch.items()}, keys=keys[40:])
    assert (part["image"].int() - out["image"][40:].int()).abs().max() <= 16  # one level, by float32 rounding
    assert torch.equal(chain.eval()(batch, keys=keys)["image"], batch["image"])


def test_posterior_mix_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"amount must be in \[0, 1\], got 2"):
        PosteriorMix(tiny_vae(), amount=2.0)
    mix = PosteriorMix(tiny_vae(), p=1.0)
    with pytest.raises(ValueError, match=r"class numbers \(B,\) int64 as labels, got labels none"):
        mix(images(), keys=KEYS)
    with pytest.raises(ValueError, match=r"images must be \(1, 8, 8\), got \(1, 9, 8\)"):
        mix({"image": torch.zeros(5, 1, 9, 8), "label": LABELS}, keys=KEYS)
