"""What the Lightning modules of GANs share: two optimisers that take turns, and what they cannot be trained under."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from torchaug.training.generator import LitGenerator
from torchaug.training.schedules import cosine

PRECISIONS = ("32-true", "bf16-mixed", "64-true")
"""What penalties on gradients can be computed under."""


class TwoPlayers(LitGenerator):
    """A generator trained against a discriminator; mix it in before the module of its content.

    One step of the trainer is one batch: a step of the discriminator and one of the generator.
    """

    slowing: ClassVar[float]
    """The learning rate at the start over that at the end; between them it falls along a cosine."""

    def on_fit_start(self) -> None:
        """Refuses strategies and precisions under which training would fail later, or go wrong."""
        super().on_fit_start()
        precision = str(self.trainer.precision)
        if precision not in PRECISIONS:
            raise ValueError(
                f"{type(self).__name__}: expected precision {' or '.join(PRECISIONS)}, got {precision}; "
                "R1 and R2 overflow or vanish in it"
            )
        strategy = self.trainer.strategy
        if isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.get("find_unused_parameters", False):
            raise ValueError(
                f"{type(self).__name__}: under DDP each half of a step leaves the other network unused, expected "
                'strategy="ddp_find_unused_parameters_true", got plain DDP; pass that to the Trainer'
            )

    def players(self) -> tuple[Any, Any]:
        """The optimisers of the generator and of the discriminator, with the learning rate of this step.

        Only the generator's steps are counted, so that trainer.global_step is the number of batches.
        """
        generator = cast("list[Any]", self.optimizers())[0]
        discriminator = cast("list[Any]", self.optimizers(use_pl_optimizer=False))[1]
        start = self.hparams["learning_rate"]
        for optimizer in (generator, discriminator):
            for group in optimizer.param_groups:
                group["lr"] = cosine(start, start / self.slowing, self.progress)
        return generator, discriminator

    def without_momentum(self, *networks: Iterable[nn.Parameter]) -> list[torch.optim.Optimizer]:
        """Adam without momentum for each network."""
        rate = self.hparams["learning_rate"]
        return [torch.optim.Adam(list(network), rate, betas=(0.0, 0.99), fused=True) for network in networks]
