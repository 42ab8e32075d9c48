"""Likelihoods of pixels: log p(image | latent) in nats, each with its normalising constant."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Likelihood = Literal["binomial", "bernoulli", "gaussian", "logistic"]


class PixelLikelihood(nn.Module):
    """The log-probability of images given what a decoder says of them; pixels are independent given the latent.

    The expected value of a pixel is the sigmoid of the decoder's output ("logit") under each of them:

    - "binomial": `levels` - 1 coin throws a pixel; for images of few grey levels.
    - "bernoulli": one throw; a log-probability for pixels of 0 and 1, a cross-entropy for grey ones.
    - "gaussian": a density, with one variance for all pixels: in training the batch's best (sigma-VAE, arXiv 2006.13202),
      in evaluation what `fit_variance` found.
    - "logistic": a logistic distribution, cut into `levels` steps, with a learned scale per channel (arXiv 1701.05517).

    Args:
        name: one of these.
        channels: of the images.
        levels: how many values, evenly spaced in [0, 1], a channel can take.

    Shape: logits (..., C, H, W) and images that broadcast with them, float in [0, 1], to (...,).

    >>> one_pixel = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    >>> probabilities = PixelLikelihood("binomial", channels=1, levels=3)(torch.zeros(1, 1, 1, 1), one_pixel).exp()
    >>> [round(float(p), 4) for p in probabilities]
    [0.25, 0.5, 0.25]
    """

    variance: Tensor

    def __init__(self, name: Likelihood, channels: int, levels: int) -> None:
        super().__init__()
        if name not in get_args(Likelihood):
            raise ValueError(f"likelihood: expected one of {', '.join(get_args(Likelihood))}, got {name!r}")
        self.name, self.levels = name, levels
        self.log_scale = nn.Parameter(torch.full((channels, 1, 1), -2.0)) if name == "logistic" else None
        if name == "gaussian":
            self.register_buffer("variance", torch.tensor(0.01))

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Nats of each image."""
        if self.name == "gaussian":
            squares = (logits.sigmoid() - images).square()
            variance = squares.detach().mean().clamp(min=1e-6) if self.training else self.variance
            pixels = -(squares / variance + variance.log() + math.log(2 * math.pi)) / 2
        elif self.name == "logistic":
            assert self.log_scale is not None
            pixels = logistic_log_probability(logits.sigmoid(), self.log_scale, images, self.levels)
        else:
            pixels = binomial_log_probability(logits, images, self.levels - 1 if self.name == "binomial" else 1)
        return pixels.flatten(-3).sum(-1)

    @torch.no_grad()
    def fit_variance(self, squares: Tensor) -> None:
        """Takes the mean of these squared errors of pixels as the variance of a Gaussian; else does nothing."""
        if self.name == "gaussian":
            self.variance.copy_(squares.mean().clamp(min=1e-6))

    def extra_repr(self) -> str:
        return f"{self.name}, levels={self.levels}"


def binomial_log_probability(logits: Tensor, images: Tensor, throws: int) -> Tensor:
    """Log-probability of each pixel, the share of `throws` coin throws that came up heads.

    >>> float(binomial_log_probability(torch.zeros(1), torch.ones(1), throws=1).exp())
    0.5
    """
    images, logits = torch.broadcast_tensors(images, logits)
    log_probability = -throws * F.binary_cross_entropy_with_logits(logits, images, reduction="none")
    if throws == 1:
        return log_probability
    heads = throws * images
    ways = math.lgamma(throws + 1) - torch.lgamma(heads + 1) - torch.lgamma(throws - heads + 1)
    return log_probability + ways


def logistic_log_probability(mean: Tensor, log_scale: Tensor, images: Tensor, levels: int) -> Tensor:
    """Log-probability of each pixel of `levels` values under a discretised logistic; mean and images in [0, 1].

    The lowest and the highest value have all that lies beyond them, so the probabilities of the values sum to 1.

    >>> values = torch.linspace(0, 1, 5)
    >>> probabilities = logistic_log_probability(torch.tensor(0.4), torch.tensor(-1.0), values, levels=5).exp()
    >>> round(float(probabilities.sum()), 5)
    1.0
    """
    half = 0.5 / (levels - 1)
    off, scale = images - mean, log_scale.exp()
    upper, lower = (off + half) / scale, (off - half) / scale
    # sigmoid(upper) - sigmoid(lower), whose difference is lost to rounding far from the mean
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half / scale))
    ends = torch.where(images < half, F.logsigmoid(upper), inside)
    return torch.where(images > 1 - half, F.logsigmoid(-lower), ends)
