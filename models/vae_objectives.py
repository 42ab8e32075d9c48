"""What a variational auto-encoder can be trained to do, and its likelihood by importance sampling.

Each objective is a function of an auto-encoder, a batch and the standard normal noise that the caller drew, so that
training can be repeated exactly. Losses are in nats per image.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

Objective = Literal["elbo", "iwae", "wae_mmd"]
Parts = dict[str, Tensor]


class AutoEncoder(Protocol):
    """A Gaussian encoder, and a decoder with a likelihood."""

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, (B, latent) each."""
        ...

    def log_likelihood(self, z: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """log p(image | z, label): (..., B) of z (..., B, latent), labels (B,) and images (B, ...)."""
        ...


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each latent from the standard normal, in nats; shape of the arguments.

    >>> float(divergence(torch.tensor(2.0), torch.tensor(0.0)))
    2.0
    """
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)


def log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-density of z (..., latent) under independent normals: (...,)."""
    return -0.5 * (log_variance + (z - mean) ** 2 / log_variance.exp() + math.log(2 * math.pi)).sum(-1)


def elbo(
    model: AutoEncoder, images: Tensor, labels: Tensor, noise: Tensor, *, beta: float = 1.0, free_nats: float = 0.05
) -> tuple[Tensor, Parts]:
    """The negative evidence lower bound, with the divergence weighted by `beta`.

    Args:
        model: what is trained.
        images: (B, C, H, W) in [0, 1].
        labels: (B,).
        noise: (B, latent).
        beta: weight of the divergence (arXiv 1804.03599); a warm-up from 0 keeps latents in use.
        free_nats: divergence of a latent that costs nothing (arXiv 1606.04934).

    Returns:
        The loss, and its parts {"reconstruction", "divergence"}, detached.
    """
    mean, log_variance = model.encode(images, labels)
    z = mean + noise * (log_variance / 2).exp()
    reconstruction = -model.log_likelihood(z, labels, images).mean()
    parted = divergence(mean, log_variance).mean(0)  # (latent,)
    loss = reconstruction + beta * parted.clamp(min=free_nats).sum()
    return loss, {"reconstruction": reconstruction.detach(), "divergence": parted.sum().detach()}


def iwae(
    model: AutoEncoder, images: Tensor, labels: Tensor, noise: Tensor, *, beta: float = 1.0
) -> tuple[Tensor, Parts]:
    """The negative importance-weighted bound of k draws (arXiv 1509.00519), with doubly reparametrised gradients.

    The plain gradient of the encoder gets noisier with k. This one (arXiv 1810.04152) has the same mean, but does not:
    the encoder learns through the latents alone, and its share of each draw is weighted by the square of the draw's weight.

    Args:
        model, images, labels: see `elbo`.
        noise: (k, B, latent).
        beta: exponent of p(z) / q(z | image), for a warm-up from 0; the bound is that of beta = 1.

    Returns:
        The loss, and its parts {"reconstruction", "divergence"}: averages over draws by their weights, detached.
    """
    mean, log_variance = model.encode(images, labels)
    z = mean + noise * (log_variance / 2).exp()
    likelihood = model.log_likelihood(z, labels, images)
    zero = torch.zeros_like(mean)
    against = log_normal(z, mean.detach(), log_variance.detach()) - log_normal(z, zero, zero)
    log_weights = likelihood - beta * against
    weights = log_weights.detach().softmax(0)
    if z.requires_grad:
        z.register_hook(lambda gradient: gradient * weights[..., None])
    # its value is the bound, its gradient that of the draws by their weights
    surrogate = (weights * log_weights).sum(0)
    bound = torch.logsumexp(log_weights.detach(), 0) - math.log(len(noise))
    loss = -(surrogate - surrogate.detach() + bound).mean()
    parts = {"reconstruction": -(weights * likelihood).sum(0).mean(), "divergence": (weights * against).sum(0).mean()}
    return loss, {name: part.detach() for name, part in parts.items()}


def wae_mmd(
    model: AutoEncoder, images: Tensor, labels: Tensor, noise: Tensor, prior: Tensor, *, weight: float = 10.0
) -> tuple[Tensor, Parts]:
    """Reconstruction, and the distance of all latents together from the prior (Wasserstein auto-encoder, arXiv 1711.01558).

    No image's own latent is pulled to the prior, so that reconstructions are sharper. The distance is weighted by the
    pixels of an image too, as the reconstruction is a sum over them.

    Args:
        model, images, labels: see `elbo`; at least two images.
        noise: (B, latent), of the encoder.
        prior: (B, latent), standard normal draws.
        weight: of the distance.

    Returns:
        The loss, and its parts {"reconstruction", "distance"}, detached.
    """
    mean, log_variance = model.encode(images, labels)
    z = mean + noise * (log_variance / 2).exp()
    reconstruction = -model.log_likelihood(z, labels, images).mean()
    distance = mmd(z, prior)
    loss = reconstruction + weight * images[0].numel() * distance
    return loss, {"reconstruction": reconstruction.detach(), "distance": distance.detach()}


def mmd(first: Tensor, second: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two samples (N, D) and (M, D), unbiased: 0 on average for one distribution.

    The kernel is the inverse multiquadric C / (C + |x - y|^2), C = 2 D: the mean squared distance of two standard
    normal points.

    >>> same = torch.arange(6.0).view(3, 2)
    >>> bool(mmd(same, same + 100) > 0.5)
    True
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"mmd: expected at least two rows of each, got {len(first)} and {len(second)}")
    scale = 2.0 * first.shape[1]

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return scale / (scale + (a[:, None] - b[None]).square().sum(-1))

    def apart(a: Tensor) -> Tensor:  # the mean over pairs of different rows; a row's kernel with itself is 1
        return (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return apart(first) + apart(second) - 2 * kernel(first, second).mean()


def log_weights(model: AutoEncoder, images: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
    """log p(image, z) / q(z | image) at draws of the encoder: (n, B) of noise (n, B or 1, latent).

    The mean of its exponential is the likelihood of the image; the mean of itself a lower bound of the logarithm.
    """
    mean, log_variance = model.encode(images, labels)
    z = mean + noise * (log_variance / 2).exp()
    zero = torch.zeros_like(mean)
    return model.log_likelihood(z, labels, images) + log_normal(z, zero, zero) - log_normal(z, mean, log_variance)
