"""Networks of the table generators: residual perceptrons, and the embeddings of a time and of what is asked of a row."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + Linear(SiLU(Linear(LayerNorm(x + condition)))), (B, width) to the same; it starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """The block's output."""
        out: Tensor = x + self.second(F.silu(self.first(self.norm(x + condition))))
        return out


class ResMLP(nn.Module):
    """A residual perceptron under a condition: (B, inputs) and (B, width) to (B, outputs).

    >>> network = ResMLP(5, 2, width=8, blocks=3)
    >>> network(torch.zeros(4, 5), torch.zeros(4, 8)).shape
    torch.Size([4, 2])
    """

    def __init__(self, inputs: int, outputs: int, *, width: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """The network's output."""
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, condition)
        out: Tensor = self.leave(F.silu(self.norm(h + condition)))
        return out


class TimeEmbedding(nn.Module):
    """Times (B,) in [0, 1] to (B, width), by sines and cosines of 1 to 100 half turns.

    >>> TimeEmbedding(8)(torch.tensor([0.0, 0.5])).shape
    torch.Size([2, 8])
    """

    frequencies: Tensor

    def __init__(self, width: int, waves: int = 32) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * torch.logspace(0, 2, waves), persistent=False)
        self.project = nn.Linear(2 * waves, width)

    def forward(self, t: Tensor) -> Tensor:
        """The embedding of each time."""
        angles = t[:, None] * self.frequencies
        out: Tensor = self.project(torch.cat([angles.sin(), angles.cos()], dim=1))
        return out


class ConditionEmbedding(nn.Module):
    """What is asked of a row, its class and at most one value of a categorical column, to (B, width).

    Args:
        num_classes: labels are 0 to num_classes - 1.
        values: of all categorical columns together; a given value is 1 to `values`, and 0 stands for none.
        width: of the embedding.

    >>> ConditionEmbedding(2, 5, width=8)(torch.tensor([0, 1]), torch.tensor([0, 5])).shape
    torch.Size([2, 8])
    """

    def __init__(self, num_classes: int, values: int, width: int) -> None:
        super().__init__()
        self.label, self.value = nn.Embedding(num_classes, width), nn.Embedding(values + 1, width, padding_idx=0)

    def forward(self, labels: Tensor, values: Tensor) -> Tensor:
        """The embedding of each condition."""
        out: Tensor = self.label(labels) + self.value(values)
        return out


def gumbel(noise: Tensor) -> Tensor:
    """Standard Gumbel numbers of standard normal ones: log-shares plus these are largest as often as the shares say.

    >>> gumbel(torch.tensor([0.0]))
    tensor([0.3665])
    """
    u: Tensor = torch.special.ndtr(noise).clamp(2.0**-25, 1 - 2.0**-24)
    return -(-u.log()).log()
