"""An exponential moving average of a model's weights, kept in a submodule so that every checkpoint has it."""

from __future__ import annotations

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)
_Pairs = dict[Tensor | None, Tensor | None]
"""Tensors of the average and those that they follow; one that two modules share is there once."""


class EMA(nn.Module, Generic[Model]):
    """A frozen copy of a model whose weights follow those of the model.

    Parameters are averaged; buffers (counters, fitted statistics) are copied, since an average of counters means
    nothing.

    Args:
        model: what is followed; it is copied, not kept.
        half_life: in training samples: what a weight was so many samples ago counts half.
        ramp: the half-life is at most this share of the samples seen, so that the first weights are soon forgotten.

    >>> layer = nn.Linear(1, 1)
    >>> ema = EMA(layer, half_life=100)
    >>> ema.update(layer, samples=10)
    >>> int(ema.seen)
    10
    """

    model: Model
    seen: Tensor

    def __init__(self, model: Model, half_life: float, ramp: float = 0.05) -> None:
        super().__init__()
        if not (half_life > 0 and ramp > 0):
            raise ValueError(f"EMA: half_life and ramp must be above 0, got {half_life} and {ramp}")
        self.model = deepcopy(model).requires_grad_(False).eval()
        self.half_life, self.ramp = half_life, ramp
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> EMA[Model]:
        """Does nothing: the average is never trained."""
        return self

    @torch.no_grad()
    def update(self, model: Model, samples: int) -> None:
        """Moves the average towards `model` after a step on `samples` samples."""
        self.seen += samples
        half_life = (self.ramp * self.seen).clamp(max=self.half_life)
        share = 1 - torch.exp2(-samples / half_life)  # a tensor: nothing waits for the device
        weights: _Pairs = {}
        buffers: _Pairs = {}
        for mine, theirs in zip(self.model.modules(), model.modules(), strict=True):  # half the time of four walks
            if mine is not theirs:  # one for both: a fitted codec
                weights.update(zip(mine._parameters.values(), theirs._parameters.values(), strict=True))
                buffers.update(zip(mine._buffers.values(), theirs._buffers.values(), strict=True))
        for average, weight in weights.items():
            if average is not None and weight is not None:
                average.lerp_(weight, share.to(average.dtype))
        for kept, buffer in buffers.items():
            if kept is not None and buffer is not None:
                kept.copy_(buffer)
