"""A conditional variational auto-encoder for table rows (Kingma and Welling, arXiv 1312.6114; Xu et al., arXiv 1907.00503)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchaug.models.table_codec import TableCodec
from torchaug.models.table_model import Draw, TableModel
from torchaug.models.table_networks import ConditionEmbedding, ResMLP, gumbel


class TabularVAE(TableModel):
    """Numbers are Gaussian with a deviation learned for each class and column, choices categorical; samples have noise.

    Args:
        codec: of the training table.
        num_classes: labels are 0 to num_classes - 1.
        latent: size of the latent; None for that of an encoded row, from 4 to 32.
        width, blocks: of both networks.

    >>> from torchaug.data import Column, TableDataset
    >>> numbers = torch.arange(6, dtype=torch.float64)[:, None]
    >>> table = TableDataset(numbers, torch.zeros(6, 0, dtype=torch.int64), [Column.of_numbers("x", numbers.numpy()[:, 0])])
    >>> model = TabularVAE(TableCodec.fit(table), num_classes=1, width=16)
    >>> model.generate(torch.zeros(2, dtype=torch.int64), torch.tensor([7, 8]))[0].shape
    torch.Size([2, 1])
    """

    def __init__(
        self, codec: TableCodec, num_classes: int, *, latent: int | None = None, width: int = 256, blocks: int = 2
    ) -> None:
        super().__init__(codec, num_classes)
        self.latent = min(32, max(4, codec.width)) if latent is None else latent
        self.check_sizes(latent=self.latent, width=width, blocks=blocks)
        self.numbers = [block.start for block in codec.blocks if block.kind == "number"]
        self.encoder_condition = ConditionEmbedding(num_classes, self.values, width)
        self.decoder_condition = ConditionEmbedding(num_classes, self.values, width)
        self.encoder = ResMLP(codec.width, 2 * self.latent, width=width, blocks=blocks)
        self.decoder = ResMLP(self.latent, codec.width, width=width, blocks=blocks)
        self.log_deviation = nn.Parameter(torch.zeros(num_classes, len(self.numbers)))

    def encode(self, encoded: Tensor, labels: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, (B, latent) each."""
        moments = self.encoder(self.centred(encoded), self.encoder_condition(labels, values))
        mean, log_variance = moments.chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)

    def decode(self, z: Tensor, labels: Tensor, values: Tensor) -> Tensor:
        """The means of numbers and the logits of choices, (B, width)."""
        outputs: Tensor = self.decoder(z, self.decoder_condition(labels, values))
        return outputs

    def loss(
        self, encoded: Tensor, labels: Tensor, values: Tensor, noise: Tensor, beta: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative evidence lower bound, in nats per row up to a constant, with the divergence weighted by `beta`.

        Args:
            encoded: (B, width) rows.
            labels, values: (B,), what is asked of each.
            noise: (B, latent), standard normal.
            beta: weight of the divergence.

        Returns:
            The mean over rows, and its parts {"reconstruction", "divergence"}, detached.
        """
        reconstruction, divergence = self._parts(encoded, labels, values, noise)
        parts = {"reconstruction": reconstruction.mean(), "divergence": divergence.mean()}
        loss = parts["reconstruction"] + beta * parts["divergence"]
        return loss, {name: part.detach() for name, part in parts.items()}

    def _parts(self, encoded: Tensor, labels: Tensor, values: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encode(encoded, labels, values)
        outputs = self.decode(mean + noise * (log_variance / 2).exp(), labels, values)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return self._negative_log_likelihood(outputs, encoded, labels), divergence

    def _negative_log_likelihood(self, outputs: Tensor, encoded: Tensor, labels: Tensor) -> Tensor:
        log_deviation = self._log_deviation(labels)
        off = (encoded - outputs)[:, self.numbers] * (-log_deviation).exp()
        nats = (off.square() / 2 + log_deviation).sum(1)
        for block in self.codec.blocks:
            if block.kind == "choice":
                places = slice(block.start, block.start + block.size)
                nats = nats + F.cross_entropy(outputs[:, places], encoded[:, places].argmax(1), reduction="none")
        return nats

    def _log_deviation(self, labels: Tensor) -> Tensor:
        return self.log_deviation[labels].clamp(-3, 1)

    @torch.no_grad()
    def score(self, encoded: Tensor, labels: Tensor) -> Tensor:
        """The evidence lower bound at the latent's mean, (B,) nats up to a constant."""
        noise = torch.zeros(len(encoded), self.latent, dtype=self.dtype, device=encoded.device)
        reconstruction, divergence = self._parts(encoded.to(self.dtype), labels, torch.zeros_like(labels), noise)
        return -reconstruction - divergence

    def rows(self, labels: Tensor, values: Tensor, draw: Draw, **settings: Any) -> Tensor:
        """Rows of latents from the standard normal, with the noise of numbers and of choices."""
        outputs = self.decode(draw(0, self.latent), labels, values)
        rows = outputs + gumbel(draw(1, self.codec.width))
        noise = draw(2, len(self.numbers)) * self._log_deviation(labels).exp()
        rows[:, self.numbers] = outputs[:, self.numbers] + noise
        return rows
