"""Networks of the table generators: residual multilayer perceptrons and the embedding of what a row must satisfy."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    """A residual multilayer perceptron under a condition, (B, inputs) and (B, width) to (B, outputs).

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
    """Times (B,) in [0, 1] to (B, width), by sines and cosines of 1 to 1000 half turns."""

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
    """What is asked of a row, its class and at most one value of a discrete column, to (B, width).

    Args:
        num_classes: labels are 0 to num_classes - 1.
        values: how many values all discrete columns have together; a given value is 1 to `values`, and 0 stands for none.
        width: of the embedding.
    """

    def __init__(self, num_classes: int, values: int, width: int) -> None:
        super().__init__()
        self.label, self.value = nn.Embedding(num_classes, width), nn.Embedding(values + 1, width, padding_idx=0)

    def forward(self, labels: Tensor, given: Tensor) -> Tensor:
        """The embedding of each condition."""
        out: Tensor = self.label(labels) + self.value(given)
        return out


def mean_square(error: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean over columns of squared errors (B, width), (B,)."""
    return error.square() @ (weights / weights.sum())


def one_hot_straight_through(logits: Tensor, temperature: float) -> Tensor:
    """One-hot of the largest logit (B, size), with the gradient of softmax(logits / temperature)."""
    soft = (logits / temperature).softmax(1)
    hard = F.one_hot(soft.argmax(1), logits.shape[1]).to(soft.dtype)
    return hard + soft - soft.detach()


def widths_of(sizes: Sequence[int]) -> int:
    return sum(sizes)
