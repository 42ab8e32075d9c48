"""A conditional auto-encoder for images whose latents are codes (VQ-VAE, arXiv 1711.00937), with a prior over the codes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from torchaug.keys import uniforms
from torchaug.models.aggregated import stands_for
from torchaug.models.fitted import FITTED_AT_ONCE, FittedToImages
from torchaug.models.latents import check_request
from torchaug.models.likelihoods import Likelihood, PixelLikelihood
from torchaug.models.networks import PRESETS, Decoder, Encoder, at_once, check_sizes, in_parts, preset_named, sizes
from torchaug.models.quantizer import CodePrior, Quantizer

COMMITMENT = 0.25


class ImageVQVAE(FittedToImages):
    """Encodes an image of a known class into a grid of codes, learns which codes come together, and decodes them.

    The grid is that of the smallest stage of the networks, at most 4 x 4. All parts are trained by one loss; the prior
    over codes is recurrent, in reading order, and learns from them without changing them.

    Args:
        channels, height, width, num_classes, preset, likelihood, levels: see `ImageVAE`.
        codes: how many there are.
        code_size: numbers in the vector of a code.

    Shape: images (B, channels, height, width), float in [0, 1]; labels (B,) int64; codes (B, places) int64.

    >>> vae = ImageVQVAE(1, 8, 8, num_classes=3, levels=17)
    >>> images, labels, keys = torch.rand(2, 1, 8, 8), torch.tensor([0, 2]), torch.tensor([7, 8])
    >>> loss, parts = vae.loss(images, labels, keys)
    >>> sorted(parts), vae.generate(labels, keys).shape
    (['commitment', 'prior', 'reconstruction', 'used'], torch.Size([2, 1, 8, 8]))
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        num_classes: int,
        *,
        codes: int = 128,
        code_size: int = 8,
        preset: str = "tiny",
        likelihood: Likelihood = "binomial",
        levels: int = 256,
    ) -> None:
        super().__init__()
        check_sizes("ImageVQVAE", (channels, height, width), num_classes, code_size, levels)
        self.shape, self.num_classes, self.levels = (channels, height, width), num_classes, levels
        size, grid = preset_named(PRESETS, preset), sizes(height, width)[-1]
        places = grid[0] * grid[1]
        self.embedding = nn.Embedding(num_classes, size.width)
        self.encoder = Encoder(channels, height, width, size.width, size)
        self.to_code = nn.Linear(self.encoder.features // places, code_size)
        self.quantizer = Quantizer(codes, code_size)
        self.prior = CodePrior(codes, places, num_classes)
        self.decoder = Decoder(places * code_size, channels, height, width, size.width, size)
        self.pixels = PixelLikelihood(likelihood, channels, levels)

    def vectors(self, images: Tensor, labels: Tensor) -> Tensor:
        """The vector of each place before it is replaced by that of a code, (B, places, code_size)."""
        features = self.encoder(2 * images - 1, self.embedding(labels))
        found: Tensor = self.to_code(features.unflatten(1, (-1, self.prior.places)).transpose(1, 2))
        return found.to(images.dtype)  # not in half precision

    def encode(self, images: Tensor, labels: Tensor) -> Tensor:
        """Codes of each image, (B, places)."""
        return self.quantizer.nearest(self.vectors(images, labels))

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """The expected image of codes (B, places), in [0, 1], not rounded."""
        return self._logits(self.quantizer.vectors(codes), labels).sigmoid()

    def _logits(self, vectors: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self.decoder(vectors.flatten(1), self.embedding(labels)).to(vectors.dtype)
        return logits

    def loss(self, images: Tensor, labels: Tensor, keys: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Nats per image of pixels and codes, and how far vectors are from their codes; in training moves the codes, too.

        Args:
            images: (B, C, H, W) in [0, 1].
            labels: (B,).
            keys: (B,); where dead codes go is a function of them.

        Returns:
            The loss, and its parts {"reconstruction", "commitment", "prior", "used"}, detached; used: the share of codes
            that this batch has.
        """
        vectors = self.vectors(images, labels)
        flat = vectors.detach().flatten(0, 1)
        codes = self.quantizer.nearest(vectors.detach())
        chosen = self.quantizer.vectors(codes).clone()  # the codebook moves before the backward pass
        straight = vectors + (chosen - vectors).detach()
        reconstruction = -self.pixels(self._logits(straight, labels), images).mean()
        commitment = (vectors - chosen).square().sum((1, 2)).mean()
        prior = -self.prior.log_prob(codes, labels).mean()
        if self.training:
            self.quantizer.update(flat, codes.flatten(), keys)
        used = codes.flatten().bincount(minlength=self.prior.codes).gt(0).to(images.dtype).mean()
        parts = {"reconstruction": reconstruction, "commitment": commitment, "prior": prior, "used": used}
        loss = reconstruction + COMMITMENT * commitment + prior
        return loss, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def fit_posterior_to(
        self, parts: Iterable[tuple[Tensor, Tensor]], pooling: float | None = None, counts: Tensor | None = None
    ) -> None:
        squares, classes = [], []
        for images, labels in parts:
            decoded = self.decode(self.encode(images, labels), labels)
            squares.append((decoded - images).square().mean((1, 2, 3)))
            classes.append(labels)
        self.pixels.fit_variance(torch.cat(squares) * stands_for(torch.cat(classes), counts))

    @torch.no_grad()
    def generate(self, labels: Tensor, keys: Tensor, temperature: float = 1.0) -> Tensor:
        """An image for each label, a function of the label and the key alone; codes are drawn from the prior.

        Args:
            labels, keys: (B,) int64.
            temperature: of the prior, above 0; below 1 images are more typical and less varied.
        """
        check_request("ImageVQVAE.generate", labels, keys, self.num_classes)
        if not temperature > 0:
            raise ValueError(f"ImageVQVAE.generate: temperature must be above 0, got {temperature}")
        codes = self.prior.sample(labels, uniforms(keys, self.prior.places), temperature)
        top = self.levels - 1
        return (self.decode(codes, labels) * top).round() / top

    @torch.no_grad()
    def score(self, images: Tensor, labels: Tensor) -> Tensor:
        """A lower bound of log p(image | label), (B,) nats: that of its codes, and of its pixels given these."""

        def found(images: Tensor, labels: Tensor) -> Tensor:
            codes = self.encode(images, labels)
            pixels: Tensor = self.pixels(self._logits(self.quantizer.vectors(codes), labels), images)
            return pixels + self.prior.log_prob(codes, labels)

        return in_parts(found, at_once(self.shape, FITTED_AT_ONCE), images, labels)
