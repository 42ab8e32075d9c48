"""A conditional variational auto-encoder for images (Kingma and Welling, arXiv 1312.6114; Sohn et al., NeurIPS 2015)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from torchaug.keys import fold_in, sample_keys, uniforms
from torchaug.models.aggregated import AggregatedPosterior, stands_for
from torchaug.models.fitted import FittedToImages
from torchaug.models.gan_condition import Condition, ConditionKind
from torchaug.models.latents import latents, on_circle, way
from torchaug.models.likelihoods import Likelihood, PixelLikelihood
from torchaug.models.networks import PRESETS, Decoder, Encoder, at_once, check_sizes, in_parts, preset_named
from torchaug.models.vae_objectives import divergence, elbo, log_weights

Prior = Literal["aggregated", "normal"]
AT_ONCE = 4096
"""Images decoded at once where many draws are made of each, at most."""


class ImageVAE(FittedToImages):
    """Encodes an image of a known class into a latent, and decodes a latent and a class into an image.

    Train it with one of `torchaug.models.vae_objectives`.

    Args:
        channels, height, width: of the images.
        num_classes: labels are 0 to num_classes - 1; 1 for images without labels, which are all of class 0. For other
            conditions: how many labels or numbers an image has.
        latent: size of the latent vector.
        preset: size of the networks, "tiny", "small" or "base".
        likelihood: of a pixel given the latent, "binomial", "bernoulli", "gaussian" or "logistic": see `PixelLikelihood`.
        levels: how many values a channel can take; samples are rounded to them.
        components, bic: Gaussians of a class in the aggregated posterior, at most, and whether a criterion chooses how
            many; see `AggregatedPosterior`.
        condition: "class"; "multi-label": labels are (B, num_classes) of 0 and 1; "continuous": (B, num_classes) numbers
            of about unit variance. For these two, all images share one aggregated posterior.

    Shape: images (B, channels, height, width), float in [0, 1]; labels (B,) int64; latents (B, latent).

    >>> vae = ImageVAE(1, 8, 8, num_classes=3, latent=4, levels=17)
    >>> images, labels = torch.rand(2, 1, 8, 8), torch.tensor([0, 2])
    >>> loss, parts = vae.loss(images, labels, noise=torch.zeros(2, 4))
    >>> sorted(parts), vae.generate(labels, keys=torch.tensor([7, 8]), prior="normal").shape
    (['divergence', 'reconstruction'], torch.Size([2, 1, 8, 8]))
    """

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
        components: int = 1,
        bic: bool = True,
        condition: ConditionKind = "class",
    ) -> None:
        super().__init__()
        check_sizes("ImageVAE", (channels, height, width), num_classes, latent, levels)
        self.shape, self.num_classes, self.latent, self.levels = (channels, height, width), num_classes, latent, levels
        size = preset_named(PRESETS, preset)
        self.condition = Condition(condition, num_classes, size.width)
        self.encoder = Encoder(channels, height, width, size.width, size)
        self.posterior = nn.Linear(self.encoder.features, 2 * latent)
        self.decoder = Decoder(latent, channels, height, width, size.width, size)
        self.pixels = PixelLikelihood(likelihood, channels, levels)
        self.aggregated = AggregatedPosterior(num_classes if condition == "class" else 1, latent, components, bic=bic)

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, (B, latent) each."""
        features = self.encoder(2 * images - 1, self.condition(labels))
        mean, log_variance = self.posterior(features).to(images.dtype).chunk(2, dim=1)  # not in half precision
        return mean, log_variance.clamp(-8, 4)

    def decode(self, z: Tensor, labels: Tensor) -> Tensor:
        """The expected image of each latent, in [0, 1], not rounded."""
        return self._logits(z, labels).sigmoid()

    def _logits(self, z: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self.decoder(z, self.condition(labels)).to(z.dtype)
        return logits

    def log_likelihood(self, z: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """log p(image | z, label) in nats: (..., B) of z (..., B, latent), labels (B,) and images (B, C, H, W)."""
        wanted = labels.expand(*z.shape[:-2], *labels.shape).flatten(0, z.ndim - 2)
        logits = self._logits(z.reshape(-1, self.latent), wanted)
        found: Tensor = self.pixels(logits.view(*z.shape[:-1], *self.shape), images)
        return found

    def loss(
        self, images: Tensor, labels: Tensor, noise: Tensor, beta: float = 1.0, free_nats: float = 0.05
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The usual loss, `torchaug.models.vae_objectives.elbo`, in nats per image, and its parts."""
        return elbo(self, images, labels, noise, beta=beta, free_nats=free_nats)

    @torch.no_grad()
    def fit_posterior_to(
        self, parts: Iterable[tuple[Tensor, Tensor]], pooling: float | None = None, counts: Tensor | None = None
    ) -> None:
        means, variances, squares, groups, start = [], [], [], [], 0
        for images, labels in parts:
            mean, log_variance = self.encode(images, labels)
            means.append(mean)
            variances.append(log_variance.exp())
            groups.append(self._group(labels))
            keys = sample_keys(torch.arange(start, start + len(mean), device=mean.device))
            z = mean + latents(keys, self.latent, mean.dtype) * (log_variance / 2).exp()
            squares.append((self.decode(z, labels) - images).square().mean((1, 2, 3)))
            start += len(mean)
        group = torch.cat(groups)
        self.aggregated.fit(torch.cat(means), torch.cat(variances), group, pooling, counts)
        self.pixels.fit_variance(torch.cat(squares) * stands_for(group, counts))

    @torch.no_grad()
    def generate(self, labels: Tensor, keys: Tensor, prior: Prior = "aggregated", truncation: float = 1.0) -> Tensor:
        """An image for each label, a function of the label and the key alone.

        Args:
            labels, keys: (B,) int64.
            prior: of the latents, "aggregated" (what `fit_posterior` found; the standard normal before) or "normal".
            truncation: times which the latents' distance from their center is taken, at least 0; below 1 images are more
                typical and less varied.
        """
        self._check("generate", labels, keys, prior, truncation)
        center, off = self._drawn(labels, keys, truncation * latents(keys, self.latent, self.dtype), prior)
        return self._rounded(center + off, labels)

    @torch.no_grad()
    def interpolate(
        self,
        labels: Tensor,
        first: Tensor,
        second: Tensor,
        steps: int = 8,
        prior: Prior = "aggregated",
        truncation: float = 1.0,
    ) -> Tensor:
        """Images on the way between the samples of two keys, along the arc of their latents: (B, steps, C, H, W).

        Args:
            labels: (B,) int64, of a whole row of images.
            first, second: (B,) int64 keys; the ends are the samples of these keys.
            steps: images of a row, at least 2.
            prior, truncation: see `generate`.
        """
        ends = []
        for keys in (first, second):
            self._check("interpolate", labels, keys, prior, truncation)
            z = latents(keys, self.latent, self.dtype)
            ends.append((z, self._drawn(labels, keys, z, prior)[0]))
        (z_first, from_center), (z_second, to_center) = ends
        rows = []
        for share in way("ImageVAE.interpolate", steps):
            z = truncation * on_circle(z_first, z_second, share)
            off = z if prior == "normal" else self.aggregated.spread(z, self._group(labels))
            rows.append(self._rounded(torch.lerp(from_center, to_center, share) + off, labels))
        return torch.stack(rows, 1)

    def posterior_mix(self, images: Tensor, labels: Tensor, keys: Tensor, amount: float = 0.5) -> Tensor:
        """Variations of real images (`blended`), functions of their keys (B,).

        Args:
            images, labels, amount: see `blended`.
            keys: (B,) int64.
        """
        self.condition.check("ImageVAE.posterior_mix", labels, keys)
        if not 0 <= amount <= 1:
            raise ValueError(f"ImageVAE.posterior_mix: amount must be in [0, 1], got {amount}")
        return self.blended(images, labels, latents(keys, self.latent, self.dtype), amount)

    @torch.no_grad()
    def blended(self, images: Tensor, labels: Tensor, z: Tensor, amount: float = 0.5) -> Tensor:
        """Variations of real images: their latents, blended with draws from the aggregated posterior, decoded.

        Args:
            images: (B, C, H, W) in [0, 1].
            labels: (B,) int64.
            z: (B, latent) standard normal: what is drawn.
            amount: in [0, 1]; 0 gives reconstructions, 1 samples about the class's center that is nearest to the image;
                the spread is kept between.
        """
        mean, _ = self.encode(images, labels)
        group = self._group(labels)
        center = self.aggregated.nearest(mean, group)
        mixed = center + math.sqrt(1 - amount**2) * (mean - center) + amount * self.aggregated.spread(z, group)
        return self._rounded(mixed, labels)

    @torch.no_grad()
    def log_prob(self, images: Tensor, labels: Tensor, n: int = 200, seed: int = 0) -> Tensor:
        """log p(image | label) in nats, (B,), by importance sampling with `n` draws of the encoder.

        On average a lower bound, which rises with n to the true value (arXiv 1509.00519). With the standard normal as
        prior, as trained. A Gaussian likelihood is a density of pixels in [0, 1]; the others are probabilities of
        images whose pixels have `levels` values ("bernoulli": 0 and 1), and of no others.

        Args:
            images: (B, C, H, W) in [0, 1].
            labels: (B,) int64.
            n: draws, the same for each image, so that an image's number does not depend on the others.
            seed: of the draws; the first of n draws are those of a smaller n.
        """
        self.check_values(images)
        noise = self._draws(n, seed, images)

        def found(images: Tensor, labels: Tensor) -> Tensor:
            return torch.logsumexp(log_weights(self, images, labels, noise), 0) - math.log(n)

        return in_parts(found, self._rows(n), images, labels)

    @torch.no_grad()
    def score(self, images: Tensor, labels: Tensor, n: int = 8) -> Tensor:
        """The evidence lower bound of each image in nats, (B,), by `n` draws: more is better, quicker than `log_prob`."""
        noise = self._draws(n, 0, images)

        def found(images: Tensor, labels: Tensor) -> Tensor:
            mean, log_variance = self.encode(images, labels)
            z = mean + noise * (log_variance / 2).exp()
            return self.log_likelihood(z, labels, images).mean(0) - divergence(mean, log_variance).sum(1)

        return in_parts(found, self._rows(n), images, labels)

    def _rows(self, n: int) -> int:
        """Images of which n draws each are decoded at once."""
        return max(1, at_once(self.shape, AT_ONCE) // n)

    def check_values(self, images: Tensor) -> None:
        """Refuses images whose pixels have values that the likelihood gives no probability to."""
        if self.pixels.name == "gaussian" or images.device.type != "cpu" or not images.numel():
            return
        top = 1 if self.pixels.name == "bernoulli" else self.levels - 1
        off = float((images * top - (images * top).round()).abs().max()) / top
        if off > 0.1 / top:
            raise ValueError(
                f"ImageVAE.log_prob: {self.pixels.name} pixels must be multiples of 1/{top} in [0, 1], got one {off:.3g} "
                "away; round the images, or train with the number of levels that they have"
            )

    def _draws(self, n: int, seed: int, images: Tensor) -> Tensor:
        """Noise of n draws, the same for all images, (n, 1, latent)."""
        if n < 1:
            raise ValueError(f"ImageVAE: the number of draws must be at least 1, got {n}")
        keys = sample_keys(torch.arange(n, device=images.device), seed=seed)
        return latents(keys, self.latent, images.dtype)[:, None]

    def _drawn(self, labels: Tensor, keys: Tensor, z: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
        """Centers of latents, and the way from there."""
        if prior == "normal":
            return torch.zeros_like(z), z
        u = uniforms(fold_in(keys, 1), 1)[:, 0]
        group = self._group(labels)
        return self.aggregated.center(group, u), self.aggregated.spread(z, group)

    def _group(self, labels: Tensor) -> Tensor:
        """Whose aggregated posterior: the class's, or that of all."""
        return labels if self.condition.kind == "class" else labels.new_zeros(len(labels), dtype=torch.int64)

    def _check(self, who: str, labels: Tensor, keys: Tensor, prior: str, truncation: float) -> None:
        self.condition.check(f"ImageVAE.{who}", labels, keys)
        if prior not in get_args(Prior):
            raise ValueError(f"ImageVAE.{who}: prior must be one of {', '.join(get_args(Prior))}, got {prior!r}")
        if not truncation >= 0:
            raise ValueError(f"ImageVAE.{who}: truncation must be at least 0, got {truncation}")

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.aggregated.means.dtype

    def _rounded(self, z: Tensor, labels: Tensor) -> Tensor:
        top = self.levels - 1
        return (self.decode(z, labels) * top).round() / top
