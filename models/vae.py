"""A conditional variational auto-encoder for images (Kingma and Welling, arXiv 1312.6114; Sohn et al., NeurIPS 2015)."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchaug.models.latents import check_request, latents
from torchaug.models.networks import Decoder, Encoder, check_sizes, preset_named

Likelihood = Literal["binomial", "bernoulli", "gaussian", "logistic"]
Prior = Literal["aggregated", "normal"]


class ImageVAE(nn.Module):
    """Encodes an image of a known class into a latent, and decodes a latent and a class into an image.

    Args:
        channels, height, width: of the images.
        num_classes: labels are 0 to num_classes - 1.
        latent: size of the latent vector.
        preset: size of the networks, "tiny", "small" or "base".
        likelihood: of a pixel given the latent. "binomial": `levels` - 1 coin throws a pixel, for images of few grey
            levels; "bernoulli": one throw; "gaussian": one variance, the batch's optimum (sigma-VAE, arXiv 2006.13202);
            "logistic": a discretised logistic with a learned scale per channel (arXiv 1701.05517).
        levels: how many values a channel can take; samples are rounded to them.

    Shape: images (B, channels, height, width), float in [0, 1]; labels (B,) int64; latents (B, latent).

    >>> vae = ImageVAE(1, 8, 8, num_classes=3, latent=4, levels=17)
    >>> images, labels = torch.rand(2, 1, 8, 8), torch.tensor([0, 2])
    >>> loss, parts = vae.loss(images, labels, noise=torch.zeros(2, 4))
    >>> sorted(parts), vae.generate(labels, keys=torch.tensor([7, 8]), prior="normal").shape
    (['divergence', 'reconstruction'], torch.Size([2, 1, 8, 8]))
    """

    means: Tensor
    factors: Tensor
    fitted: Tensor

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        num_classes: int,
        *,
        latent: int = 32,
        preset: str = "tiny",
        likelihood: Likelihood = "binomial",
        levels: int = 256,
    ) -> None:
        super().__init__()
        if likelihood not in get_args(Likelihood):
            raise ValueError(
                f"ImageVAE: likelihood must be one of {', '.join(get_args(Likelihood))}, got {likelihood!r}"
            )
        check_sizes("ImageVAE", (channels, height, width), num_classes, latent, levels)
        self.shape, self.num_classes, self.latent = (channels, height, width), num_classes, latent
        self.likelihood, self.levels = likelihood, levels
        size = preset_named(preset)
        self.embedding = nn.Embedding(num_classes, size.width)
        self.encoder = Encoder(channels, height, width, size.width, size)
        self.posterior = nn.Linear(self.encoder.features, 2 * latent)
        self.decoder = Decoder(latent, channels, height, width, size.width, size)
        self.log_scale = nn.Parameter(torch.full((channels, 1, 1), -2.0)) if likelihood == "logistic" else None
        self.register_buffer("means", torch.zeros(num_classes, latent))
        self.register_buffer("factors", torch.eye(latent).repeat(num_classes, 1, 1))
        self.register_buffer("fitted", torch.zeros(num_classes, dtype=torch.bool))

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, (B, latent) each."""
        features = self.encoder(2 * images - 1, self.embedding(labels))
        mean, log_variance = self.posterior(features).chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)

    def decode(self, z: Tensor, labels: Tensor) -> Tensor:
        """The expected image of each latent, in [0, 1], not rounded."""
        return self._logits(z, labels).sigmoid()

    def _logits(self, z: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self.decoder(z, self.embedding(labels))
        return logits

    def loss(
        self, images: Tensor, labels: Tensor, noise: Tensor, beta: float = 1.0, free_nats: float = 0.05
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative evidence lower bound, in nats per image, with the divergence weighted by `beta`.

        Args:
            images: (B, C, H, W) in [0, 1].
            labels: (B,).
            noise: (B, latent), standard normal; the caller draws it, so that training can be repeated exactly.
            beta: weight of the divergence (arXiv 1804.03599); a warm-up from 0 keeps latents in use.
            free_nats: divergence of a latent that costs nothing (arXiv 1606.04934).

        Returns:
            The loss, and its parts {"reconstruction", "divergence"}, detached.
        """
        mean, log_variance = self.encode(images, labels)
        logits = self._logits(mean + noise * (log_variance / 2).exp(), labels)
        reconstruction = self._negative_log_likelihood(logits, images).mean()
        divergence = (0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)).mean(0)  # (latent,)
        loss = reconstruction + beta * divergence.clamp(min=free_nats).sum()
        return loss, {"reconstruction": reconstruction.detach(), "divergence": divergence.sum().detach()}

    def _negative_log_likelihood(self, logits: Tensor, images: Tensor) -> Tensor:
        """Nats of each image, (B,), up to a constant that does not depend on the model."""
        if self.likelihood in ("binomial", "bernoulli"):
            throws = self.levels - 1 if self.likelihood == "binomial" else 1
            return throws * F.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)
        if self.likelihood == "gaussian":
            squares = (logits.sigmoid() - images).square().flatten(1)
            variance = squares.detach().mean().clamp(min=1e-6)
            return squares.sum(1) / (2 * variance) + 0.5 * squares.shape[1] * variance.log()
        assert self.log_scale is not None
        return -logistic_log_probability(logits.sigmoid(), self.log_scale, images, self.levels).flatten(1).sum(1)

    @torch.no_grad()
    def fit_posterior(
        self, images: Tensor, labels: Tensor, pooling: float | None = None, batch_size: int = 512
    ) -> None:
        """Fits the aggregated posterior: a Gaussian per class over the latents of its images.

        A class of n images keeps its own mean; its covariance is (n own + k pooled) / (n + k), where pooled is the
        covariance within classes over all of them and k is `pooling`. So a class of five images borrows the ways in
        which images of the other classes vary.

        Args:
            images: (N, C, H, W) in [0, 1], the training images.
            labels: (N,).
            pooling: k, in images; None for four times the size of the latent.
            batch_size: images encoded at once.
        """
        parts = [
            self.encode(images[i : i + batch_size], labels[i : i + batch_size])
            for i in range(0, len(images), batch_size)
        ]
        mean, variance = torch.cat([m for m, _ in parts]), torch.cat([v for _, v in parts]).exp()
        counts = torch.bincount(labels, minlength=self.num_classes).to(mean.dtype)
        sums = torch.zeros_like(self.means).index_add_(0, labels, mean)
        means = sums / counts.clamp(min=1)[:, None]
        off = mean - means[labels]
        own = torch.zeros_like(self.factors)
        own.index_add_(0, labels, off[:, :, None] * off[:, None, :] + torch.diag_embed(variance))  # scatter matrices
        pooled = own.sum(0) / len(labels)
        k = 4.0 * self.latent if pooling is None else pooling
        covariance = (own + k * pooled) / (counts + k).clamp(min=1e-6)[:, None, None]
        covariance = torch.where((counts > 0)[:, None, None], covariance, torch.eye(self.latent).to(covariance))
        covariance += 1e-5 * torch.eye(self.latent).to(covariance)
        self.means.copy_(means)
        self.factors.copy_(torch.linalg.cholesky(covariance))
        self.fitted.copy_(counts > 0)

    @torch.no_grad()
    def generate(self, labels: Tensor, keys: Tensor, prior: Prior = "aggregated") -> Tensor:
        """An image for each label, a function of the label and the key alone.

        Args:
            labels, keys: (B,) int64.
            prior: of the latents, "aggregated" (what `fit_posterior` found; the standard normal before) or "normal".
        """
        check_request("ImageVAE.generate", labels, keys, self.num_classes)
        if prior not in get_args(Prior):
            raise ValueError(f"ImageVAE.generate: prior must be one of {', '.join(get_args(Prior))}, got {prior!r}")
        z = latents(keys, self.latent, self.means.dtype)
        return self._rounded(self._aggregated(z, labels) if prior == "aggregated" else z, labels)

    @torch.no_grad()
    def posterior_mix(self, images: Tensor, labels: Tensor, keys: Tensor, amount: float = 0.5) -> Tensor:
        """Variations of real images: their latents, blended with draws from the aggregated posterior, decoded.

        Args:
            images: (B, C, H, W) in [0, 1].
            labels, keys: (B,) int64.
            amount: 0 gives reconstructions, 1 samples that know nothing of the images; the spread is kept between.
        """
        check_request("ImageVAE.posterior_mix", labels, keys, self.num_classes)
        if not 0 <= amount <= 1:
            raise ValueError(f"ImageVAE.posterior_mix: amount must be in [0, 1], got {amount}")
        mean, _ = self.encode(images, labels)
        center = self.means[labels]
        off = self._aggregated(latents(keys, self.latent, mean.dtype), labels) - center
        return self._rounded(center + math.sqrt(1 - amount**2) * (mean - center) + amount * off, labels)

    def _aggregated(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.means[labels] + (self.factors[labels] @ z[:, :, None])[:, :, 0]

    def _rounded(self, z: Tensor, labels: Tensor) -> Tensor:
        top = self.levels - 1
        return (self.decode(z, labels) * top).round() / top


def logistic_log_probability(mean: Tensor, log_scale: Tensor, images: Tensor, levels: int) -> Tensor:
    """Log-probability of each pixel of `levels` values under a discretised logistic; mean and images in [0, 1]."""
    half = 0.5 / (levels - 1)
    off, scale = images - mean, log_scale.exp()
    upper, lower = (off + half) / scale, (off - half) / scale
    inside = (torch.sigmoid(upper) - torch.sigmoid(lower)).clamp(min=1e-12).log()
    ends = torch.where(images < half, F.logsigmoid(upper), inside)
    return torch.where(images > 1 - half, F.logsigmoid(-lower), ends)
