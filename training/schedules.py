"""How rates and weights change in the course of a training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

WARM_UP = 0.05
"""Share of the steps in which a learning rate rises."""


def warmed_up(optimizer: torch.optim.Optimizer, steps: int) -> dict[str, Any]:
    """The optimizer with a rate that rises over the first 5 % of the steps and falls to 0 along a cosine, for Lightning."""

    def factor(step: int) -> float:
        return min((step + 1) / (WARM_UP * steps + 1), cosine(1.0, 0.0, min(1.0, step / steps)))

    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": _Schedule(optimizer, factor), "interval": "step"}}


class _Schedule(LambdaLR):
    """One that goes on with its own rate, which a resumed training may have lowered, and not with that of the checkpoint."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "base_lrs": self.base_lrs})
        groups = zip(self.optimizer.param_groups, self.base_lrs, self.lr_lambdas, strict=True)
        for group, rate, factor in groups:
            group["initial_lr"], group["lr"] = rate, rate * factor(self.last_epoch)


def cosine(start: float, end: float, progress: float) -> float:
    """From `start` to `end` along half a cosine.

    >>> cosine(1.0, 0.0, 0.0), round(cosine(1.0, 0.0, 0.5), 9), cosine(1.0, 0.0, 1.0)
    (1.0, 0.5, 0.0)
    """
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
