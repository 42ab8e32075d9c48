"""What a sample shall be, as a vector that both networks of a GAN read."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchaug.models.latents import check_request

ConditionKind = Literal["class", "multi-label", "continuous"]


class Condition(nn.Module):
    """Labels to vectors of about unit variance.

    Args:
        kind: what labels are. "class": (B,) int64, 0 to size - 1; one class makes a network unconditional.
            "multi-label": (B, size) of 0 and 1, any number of them 1, or in between for a doubtful one. "continuous":
            (B, size) numbers of about unit variance.
        size: classes, labels or numbers.
        width: of the vectors.

    Shape: labels to (B, width).

    >>> Condition("multi-label", size=3, width=8)(torch.tensor([[1.0, 0.0, 1.0]])).shape
    torch.Size([1, 8])
    """

    def __init__(self, kind: ConditionKind, size: int, width: int) -> None:
        super().__init__()
        if kind not in get_args(ConditionKind):
            raise ValueError(f"Condition: kind must be one of {', '.join(get_args(ConditionKind))}, got {kind!r}")
        self.kind, self.size = kind, size
        self.embedding = nn.Embedding(size + (kind == "multi-label"), width) if kind != "continuous" else None
        self.hidden = nn.Linear(size, width) if kind == "continuous" else None
        self.out = nn.Linear(width, width) if kind == "continuous" else None
        for layer, fan_in in ((self.hidden, size + 1), (self.out, width / 2)):
            if layer is not None:
                nn.init.normal_(layer.weight, std=1 / math.sqrt(fan_in))
                nn.init.normal_(layer.bias, std=1 / math.sqrt(fan_in))

    def forward(self, labels: Tensor) -> Tensor:
        """The vector of each label."""
        if self.embedding is None:
            assert self.hidden is not None
            assert self.out is not None
            vectors: Tensor = self.out(F.relu(self.hidden(labels.to(self.hidden.weight.dtype))))
            return vectors
        table = self.embedding.weight
        if self.kind == "class":
            return self.embedding(labels)  # type: ignore[no-any-return]
        on = labels.to(table.dtype)
        # the last row is always there, so that a sample without any label has a vector, too
        return (on @ table[:-1] + table[-1]) / (1 + on.square().sum(1, keepdim=True)).sqrt()

    def zeroed(self) -> Condition:
        """Itself, with vectors that are 0 at first: for what labels change, and do not make."""
        for layer in (self.embedding, self.out):
            for weight in () if layer is None else layer.parameters():
                nn.init.zeros_(weight)
        return self

    def check(self, who: str, labels: Tensor, keys: Tensor) -> None:
        """Refuses labels and keys that are not one pair per sample, and labels that cannot be.

        Raises:
            ValueError: another shape or dtype; a class that does not exist; a number that is not finite, or not in
                [0, 1] for "multi-label". Values are looked at on the CPU alone.
        """
        if self.kind == "class":
            return check_request(who, labels, keys, self.size)
        if keys.ndim != 1 or keys.dtype != torch.int64 or labels.shape != (len(keys), self.size):
            raise ValueError(
                f"{who}: labels must be (B, {self.size}) for a {self.kind} condition and keys int64 of shape (B,), got "
                f"{labels.dtype} {tuple(labels.shape)} and {keys.dtype} {tuple(keys.shape)}"
            )
        if labels.device.type != "cpu":
            return
        low, high = (0.0, 1.0) if self.kind == "multi-label" else (-math.inf, math.inf)
        wrong = ~(labels.isfinite() & (labels >= low) & (labels <= high)).all(1)
        if wrong.any():
            place = int(wrong.nonzero()[0])
            wanted = "in [0, 1]" if self.kind == "multi-label" else "finite"
            raise ValueError(f"{who}: labels must be {wanted}, got {labels[place].tolist()} at {place}")
