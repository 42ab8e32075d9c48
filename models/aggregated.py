"""The aggregated posterior: where the latents of each class's images lie, as a mixture of Gaussians to draw from."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

ITERATIONS = 30
JITTER = 1e-5
SHARE = 7
"""Images of a class for each of its Gaussians, at least: one of fewer would copy them."""


class AggregatedPosterior(nn.Module):
    """A mixture of Gaussians per class; the standard normal before it is fitted, and for classes without images.

    Args:
        num_classes, latent: how many classes, and how long a latent is.
        components: Gaussians of a class, at most, and at most one for seven of its images.
        bic: take fewer where that lowers the Bayesian information criterion. It finds what is well apart; more than it
            asks for follow a class of one curved heap better.

    Shape: z (B, latent) standard normal, labels (B,) and u (B,) uniform in [0, 1) to latents (B, latent).

    >>> posterior = AggregatedPosterior(num_classes=2, latent=3)
    >>> z, u = torch.zeros(1, 3), torch.zeros(1)
    >>> posterior(z, torch.tensor([1]), u).tolist()
    [[0.0, 0.0, 0.0]]
    >>> posterior.fit(torch.ones(8, 3), torch.zeros(8, 3), torch.ones(8, dtype=torch.int64))
    >>> posterior(z, torch.tensor([1]), u).tolist()
    [[1.0, 1.0, 1.0]]
    """

    means: Tensor
    weights: Tensor
    factors: Tensor
    fitted: Tensor

    def __init__(self, num_classes: int, latent: int, components: int = 1, *, bic: bool = True) -> None:
        super().__init__()
        self.bic = bic
        if components < 1:
            raise ValueError(f"AggregatedPosterior: components must be at least 1, got {components}")
        self.register_buffer("means", torch.zeros(num_classes, components, latent))
        self.register_buffer("weights", torch.eye(components)[:1].repeat(num_classes, 1))
        self.register_buffer("factors", torch.eye(latent).repeat(num_classes, 1, 1))
        self.register_buffer("fitted", torch.zeros(num_classes, dtype=torch.bool))

    def forward(self, z: Tensor, labels: Tensor, u: Tensor) -> Tensor:
        """Latents of the classes."""
        return self.center(labels, u) + self.spread(z, labels)

    def spread(self, z: Tensor, labels: Tensor) -> Tensor:
        """Standard normal z with the covariance that a class has about each of its centers."""
        return (self.factors[labels] @ z[:, :, None])[:, :, 0]

    def center(self, labels: Tensor, u: Tensor) -> Tensor:
        """A center for each label, drawn by the weights with a uniform number (B,)."""
        edges = self.weights[labels].cumsum(1)[:, :-1]
        return self.means[labels, (u[:, None] >= edges).sum(1)]

    def nearest(self, z: Tensor, labels: Tensor) -> Tensor:
        """The center of its class that each latent is closest to."""
        squares = (z[:, None] - self.means[labels]).square().sum(2)
        return self.means[labels, squares.masked_fill(self.weights[labels] == 0, math.inf).argmin(1)]

    @torch.no_grad()
    def fit(
        self,
        mean: Tensor,
        variance: Tensor,
        labels: Tensor,
        pooling: float | None = None,
        counts: Tensor | None = None,
    ) -> None:
        """Fits it to the posteriors of images.

        A class of n images has its own centers; its covariance about them is (n own + k pooled) / (n + k), where pooled
        is that of all classes and k is `pooling`. So a class of five images, which has one center, borrows the ways in
        which images of the other classes vary about theirs; classes of several centers pool what is left about these.

        Args:
            mean, variance: (N, latent), of the posterior of each image.
            labels: (N,).
            pooling: k, in images; None for four times the size of the latent.
            counts: (num_classes,), n of each class, where only some of its images are given; None: all are.
        """
        classes, components, latent = self.means.shape
        given = torch.bincount(labels, minlength=classes).to(mean.dtype)
        counts = given if counts is None else counts.to(given)
        each = (counts / given.clamp(min=1))[:, None, None]  # images of its class that one of those given stands for
        means, weights = torch.zeros_like(self.means), torch.zeros_like(self.weights)
        about_mean, about = torch.zeros_like(self.factors), torch.zeros_like(self.factors)  # scatter matrices
        weights[:, 0] = 1
        for label in labels.unique().tolist():
            rows = labels == label
            about_mean[label] = mixture(mean[rows], variance[rows], 1).scatter
            found = best_mixture(mean[rows], variance[rows], components, self.bic)
            own = slice(len(found.centers))
            means[label, own], weights[label, own], about[label] = found.centers, found.weights, found.scatter
        about, about_mean = about * each, about_mean * each
        one, several = torch.eye(latent).to(mean), ((weights > 0).sum(1) > 1)[:, None, None]
        narrow = (about * several).sum(0) / (counts * several[:, 0, 0]).sum().clamp(min=1)
        pooled = torch.where(several, narrow, about_mean.sum(0) / counts.sum())
        k = 4.0 * latent if pooling is None else pooling
        covariance = (about + k * pooled) / (counts + k).clamp(min=1e-6)[:, None, None]
        covariance = torch.where((given > 0)[:, None, None], covariance, one) + JITTER * one
        self.means.copy_(means)
        self.weights.copy_(weights)
        self.factors.copy_(torch.linalg.cholesky(covariance))
        self.fitted.copy_(given > 0)


def stands_for(labels: Tensor, counts: Tensor | None) -> Tensor | float:
    """By how much each image, of a class (N,), weighs in a mean over all, `counts` of each class, of which these are some.

    >>> stands_for(torch.tensor([0, 0, 1]), torch.tensor([10, 1])).tolist()
    [1.3636363744735718, 1.3636363744735718, 0.27272728085517883]
    """
    if counts is None:
        return 1.0
    counts = counts.to(labels.device)
    each = (counts / labels.bincount(minlength=len(counts)))[labels]
    return each / each.mean()


class Mixture(NamedTuple):
    """Centers (K, latent), weights (K,), scatter about the centers (latent, latent): size times the covariance.

    The log-likelihood is that which draws from the points have on average.
    """

    centers: Tensor
    weights: Tensor
    scatter: Tensor
    log_likelihood: float


def best_mixture(mean: Tensor, variance: Tensor, components: int, bic: bool = True) -> Mixture:
    """The mixture of at most so many components with the lowest Bayesian criterion, or of as many as points allow."""
    size, latent = mean.shape
    most = max(1, min(components, size // SHARE))
    if not bic:
        return mixture(mean, variance, most)

    def criterion(found: Mixture) -> float:
        k = len(found.centers)
        free = k * latent + latent * (latent + 1) / 2 + k - 1
        return free * math.log(size) - 2 * found.log_likelihood

    return min((mixture(mean, variance, k) for k in range(1, most + 1)), key=criterion)


def mixture(mean: Tensor, variance: Tensor, k: int) -> Mixture:
    """k Gaussians of one covariance by expectation-maximisation, of points that are Gaussians themselves.

    It starts with centers far from each other, so that it needs no random numbers.
    """
    own, size = torch.diag(variance.sum(0)), len(mean)
    shares = torch.zeros(size, k).to(mean)
    shares.scatter_(1, _apart(mean, k).argmin(1, keepdim=True), 1.0)
    log_likelihood = 0.0
    for _ in range(1 if k == 1 else ITERATIONS):
        weights = shares.mean(0)
        centers = (shares.T @ mean) / (shares.sum(0) + 1e-9)[:, None]
        off = mean[:, None] - centers  # (N, k, latent)
        scatter = own + torch.einsum("nk,nki,nkj->ij", shares, off, off)
        factor = torch.linalg.cholesky(scatter / size + JITTER * torch.eye(mean.shape[1]).to(mean))
        white = torch.linalg.solve_triangular(factor, off.transpose(1, 2), upper=False)
        inner = variance @ torch.cholesky_inverse(factor).diagonal()
        log_volume = factor.diagonal().log().sum() + mean.shape[1] / 2 * math.log(2 * math.pi)
        joint = weights.clamp(min=1e-12).log() - log_volume - white.square().sum(1) / 2 - inner[:, None] / 2
        shares, log_likelihood = joint.softmax(1), float(joint.logsumexp(1).sum())
    return Mixture(centers, weights, scatter, log_likelihood)


def _apart(points: Tensor, k: int) -> Tensor:
    """Squared distances (N, k) to k points, each as far as possible from those before; the first is the outermost."""
    squares = (points - points.mean(0)).square().sum(1, keepdim=True)
    found: list[Tensor] = []
    for _ in range(k):
        chosen = points[squares.min(1).values.argmax()]
        found.append((points - chosen).square().sum(1))
        squares = torch.stack(found, 1)
    return squares
