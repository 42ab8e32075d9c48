"""A conditional GAN for table rows: relativistic pairing with R1 and R2 (Huang et al., arXiv 2501.05441), no norms in D."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchaug.image.arguments import number
from torchaug.models.gan_losses import discriminator_terms, generator_terms, score_and_norm
from torchaug.models.table_codec import TableCodec
from torchaug.models.table_model import Draw, TableModel
from torchaug.models.table_networks import ConditionEmbedding, ResMLP, gumbel

Critic = Callable[[Tensor], Tensor]
SLOPE = 0.2


class RowDiscriminator(nn.Module):
    """How real a row is for what was asked: a perceptron with a projection on the condition (arXiv 1802.05637).

    Shape: rows (B, inputs), labels and values (B,) to scores (B,), known up to a constant.
    """

    def __init__(self, inputs: int, num_classes: int, values: int, *, width: int, blocks: int) -> None:
        super().__init__()
        sizes = [inputs] + [width] * blocks
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.features = nn.Linear(width, width)
        self.condition = ConditionEmbedding(num_classes, values, width)

    def forward(self, rows: Tensor, labels: Tensor, values: Tensor) -> Tensor:
        """The score of each row."""
        for layer in self.layers:
            rows = F.leaky_relu(layer(rows), SLOPE)
        score: Tensor = (self.features(rows) * self.condition(labels, values)).sum(1)
        return score / math.sqrt(self.features.out_features)


class TabularGAN(TableModel):
    """A generator of rows and its discriminator.

    Args:
        codec: of the training table.
        num_classes: labels are 0 to num_classes - 1.
        latent: size of the latent.
        width, blocks: of both networks.
        temperature: of the softmax whose gradient choices have (straight-through Gumbel, arXiv 1611.01144).

    >>> from torchaug.data import Column, TableDataset
    >>> numbers = torch.arange(6, dtype=torch.float64)[:, None]
    >>> table = TableDataset(numbers, torch.zeros(6, 0, dtype=torch.int64), [Column.of_numbers("x", numbers.numpy()[:, 0])])
    >>> model = TabularGAN(TableCodec.fit(table), num_classes=1, width=16)
    >>> model.generate(torch.zeros(2, dtype=torch.int64), torch.tensor([7, 8]))[0].shape
    torch.Size([2, 1])
    """

    def __init__(
        self,
        codec: TableCodec,
        num_classes: int,
        *,
        latent: int = 64,
        width: int = 128,
        blocks: int = 2,
        temperature: float = 0.2,
    ) -> None:
        super().__init__(codec, num_classes)
        self.check_sizes(latent=latent, width=width, blocks=blocks)
        self.latent = latent
        self.temperature = number(temperature, type(self).__name__, "temperature", 0, above=True)
        self.condition = ConditionEmbedding(num_classes, self.values, width)
        self.generator = ResMLP(latent, codec.width, width=width, blocks=blocks)
        self.discriminator = RowDiscriminator(codec.width, num_classes, self.values, width=width, blocks=blocks)

    def fake(self, z: Tensor, labels: Tensor, values: Tensor, noise: Tensor) -> Tensor:
        """Rows as the discriminator sees them, choices with a straight-through gradient.

        Args:
            z: (B, latent), standard normal.
            labels, values: (B,), what is asked of each.
            noise: (B, width), standard normal, of the choices.
        """
        outputs = self.generator(z, self.condition(labels, values))
        parts = []
        for block in self.codec.blocks:
            part = outputs[:, block.start : block.start + block.size]
            if block.kind == "choice":
                scores = part + gumbel(noise[:, block.start : block.start + block.size])
                part = 2 * one_hot(scores, self.temperature) - 1
            parts.append(part)
        return torch.cat(parts, 1)

    @torch.no_grad()
    def score(self, encoded: Tensor, labels: Tensor) -> Tensor:
        """The discriminator's score of each row, (B,)."""
        rows = self.centred(encoded.to(self.dtype))
        score: Tensor = self.discriminator(rows, labels, torch.zeros_like(labels))
        return score

    def rows(self, labels: Tensor, values: Tensor, draw: Draw, **settings: Any) -> Tensor:
        """Rows of latents from the standard normal."""
        return self.fake(draw(0, self.latent), labels, values, draw(1, self.codec.width))


def one_hot(scores: Tensor, temperature: float) -> Tensor:
    """One-hot of the largest score (B, size), with the gradient of softmax(scores / temperature)."""
    soft = (scores / temperature).softmax(1)
    hard = F.one_hot(soft.argmax(1), soft.shape[1]).to(soft)
    return hard + soft - soft.detach()


def discriminator_loss(critic: Critic, real: Tensor, fake: Tensor, gamma: float) -> tuple[Tensor, dict[str, Tensor]]:
    """softplus(D(fake) - D(real)) + gamma / 2 (R1 + R2), the mean over pairs of one condition.

    Args:
        critic: rows (B, width) to scores (B,), for row i's condition.
        real, fake: (B, width) rows, one-hots as -1 and 1.
        gamma: weight of the squared norms of the critic's gradient at real and fake rows.

    Returns:
        The loss, and its parts {"advantage": D(real) - D(fake), "r1", "r2"}, detached means.
    """
    precise = torch.promote_types(real.dtype, torch.float32)
    with torch.autocast(real.device.type, enabled=False):
        real_score, real_norm = score_and_norm(critic, real.to(precise))
        fake_score, fake_norm = score_and_norm(critic, fake.detach().to(precise))
        r1, r2 = real_norm.mean(), fake_norm.mean()
        loss = discriminator_terms("relativistic", real_score, fake_score).mean() + gamma / 2 * (r1 + r2)
    parts = {"advantage": (real_score - fake_score).mean(), "r1": r1, "r2": r2}
    return loss, {name: part.detach() for name, part in parts.items()}


def generator_loss(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """softplus(D(real) - D(fake)), the mean over pairs of one condition."""
    return generator_terms("relativistic", critic(real), critic(fake)).mean()
