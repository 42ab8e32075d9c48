"""Diffusion of table rows: v-prediction on numbers and one-hots alike (Salimans and Ho, arXiv 2202.00512)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from torchaug.models.latents import latents
from torchaug.models.table_codec import TableCodec
from torchaug.models.table_model import Draw, TableModel
from torchaug.models.table_networks import ConditionEmbedding, ResMLP, TimeEmbedding


class TabularDiffusion(TableModel):
    """Learns to take noise out of rows: x_t = cos(pi t / 2) x + sin(pi t / 2) noise, t from 0 to 1.

    The network predicts v = cos noise - sin x, whose scale is the same at all t. One-hots are numbers -1 and 1 like
    the others; of the outcome the largest counts.

    Args:
        codec: of the training table.
        num_classes: labels are 0 to num_classes - 1.
        width, blocks: of the network.
        steps: from noise to a row, unless `generate` is told otherwise.

    >>> from torchaug.data import Column, TableDataset
    >>> numbers = torch.arange(6, dtype=torch.float64)[:, None]
    >>> table = TableDataset(numbers, torch.zeros(6, 0, dtype=torch.int64), [Column.of_numbers("x", numbers.numpy()[:, 0])])
    >>> model = TabularDiffusion(TableCodec.fit(table), num_classes=1, width=16)
    >>> model.generate(torch.zeros(2, dtype=torch.int64), torch.tensor([7, 8]))[0].shape
    torch.Size([2, 1])
    """

    def __init__(
        self, codec: TableCodec, num_classes: int, *, width: int = 256, blocks: int = 3, steps: int = 50
    ) -> None:
        super().__init__(codec, num_classes)
        self.check_sizes(width=width, blocks=blocks, steps=steps)
        self.steps = steps
        self.time = TimeEmbedding(width)
        self.condition = ConditionEmbedding(num_classes, self.values, width)
        self.network = ResMLP(codec.width, codec.width, width=width, blocks=blocks)

    def loss(self, encoded: Tensor, labels: Tensor, values: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The squared error of v of each row, (B,), the mean over columns.

        Args:
            encoded: (B, width) rows.
            labels, values: (B,), what is asked of each.
            t: (B,) in [0, 1].
            noise: (B, width), standard normal; the caller draws it, so that training can be repeated exactly.
        """
        clean = self.centred(encoded)
        share, rest = torch.cos(math.pi / 2 * t)[:, None], torch.sin(math.pi / 2 * t)[:, None]
        v = self.network(share * clean + rest * noise, self.time(t) + self.condition(labels, values))
        loss: Tensor = (v - (share * noise - rest * clean)).square().mean(1)
        return loss

    def rows(self, labels: Tensor, values: Tensor, draw: Draw, **settings: Any) -> Tensor:
        """Rows by ancestral sampling (arXiv 2006.11239), with a draw for each step.

        Args:
            labels, values: (B,), what is asked of each.
            draw: the noise.
            settings: "steps", how many, at least 1.
        """
        steps = int(settings.get("steps", self.steps))
        if steps < 1:  # what came out would be the noise
            raise ValueError(f"TabularDiffusion: steps must be at least 1, got {steps}")
        condition = self.condition(labels, values)
        x = draw(0, self.codec.width)
        for step in range(steps):
            t, after = 1 - step / steps, 1 - (step + 1) / steps
            v = self.network(x, self.time(torch.full_like(condition[:, 0], t)) + condition)
            x = _towards_clean(x, v, t, after)
            if step < steps - 1:
                x = x + math.sqrt(_variance(t, after)) * draw(step + 1, self.codec.width)
        return x

    @torch.no_grad()
    def score(self, encoded: Tensor, labels: Tensor) -> Tensor:
        """Minus the squared error of v, the mean over 16 times with the same noise for all rows, (B,)."""
        levels, encoded = 16, encoded.to(self.dtype)
        errors = torch.zeros_like(encoded[:, 0])
        for level, key in enumerate(torch.arange(levels, device=encoded.device)):
            noise = latents(key[None], self.codec.width, encoded.dtype).expand_as(encoded)
            t = torch.full_like(errors, (level + 0.5) / levels)
            errors += self.loss(encoded, labels, torch.zeros_like(labels), t, noise) / levels
        return -errors


def _variance(t: float, after: float) -> float:
    """Of x at `after`, given x at t and the clean row: (1 - a_t^2 / a_after^2) s_after^2 / s_t^2."""
    ratio = math.cos(math.pi / 2 * t) / math.cos(math.pi / 2 * after)
    return (1 - ratio**2) * (math.sin(math.pi / 2 * after) / math.sin(math.pi / 2 * t)) ** 2


def _towards_clean(x: Tensor, v: Tensor, t: float, after: float) -> Tensor:
    """The mean of x at `after`, given x at t and the clean row that v means."""
    share, rest = math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t)
    clean, noise = share * x - rest * v, rest * x + share * v
    kept = math.sin(math.pi / 2 * after) ** 2 - _variance(t, after)
    return math.cos(math.pi / 2 * after) * clean + math.sqrt(max(0.0, kept)) * noise
