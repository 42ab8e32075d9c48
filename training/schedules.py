"""How rates and weights change in the course of a training."""

from __future__ import annotations

import math
from typing import Any

import torch

WARM_UP = 0.05
"""Share of the steps in which a learning rate rises."""


def warmed_up(optimizer: torch.optim.Optimizer, steps: int) -> dict[str, Any]:
    """The optimizer with a rate that rises over the first 5 % of the steps and falls to 0 along a cosine, for Lightning."""

    def factor(step: int) -> float:
        return min((step + 1) / (WARM_UP * steps + 1), cosine(1.0, 0.0, min(1.0, step / steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def cosine(start: float, end: float, progress: float) -> float:
    """From `start` to `end` along half a cosine.

    >>> cosine(1.0, 0.0, 0.0), round(cosine(1.0, 0.0, 0.5), 9), cosine(1.0, 0.0, 1.0)
    (1.0, 0.5, 0.0)
    """
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
