"""Training of the table generators: diffusion, which is the default, and the VAE."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchaug.keys import fold_in, uniforms
from torchaug.models.latents import latents
from torchaug.models.table_codec import TableCodec
from torchaug.models.table_diffusion import TabularDiffusion
from torchaug.models.table_vae import TabularVAE
from torchaug.training.data import InMemory
from torchaug.training.schedules import warmed_up
from torchaug.training.settings import check_ranges
from torchaug.training.table_base import Asked, LitTable, table_in

MANY_ROWS = 8000
"""Of a table whose diffusion may be wide, however few its columns."""


class _OneLoss(LitTable):
    """A table generator that is trained by one loss."""

    @abstractmethod
    def loss(self, asked: Asked, keys: Tensor) -> Tensor:
        """The mean loss of a batch."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        keys = self.step_keys(len(batch["index"]))
        loss = self.loss(self.asked(batch, keys), keys)
        self.log("loss", loss.detach(), batch_size=len(keys))
        self._samples = len(keys)
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises over the first 5 % of the steps and falls to 0 along a cosine."""
        rate = self.hparams["learning_rate"]
        optimizer = torch.optim.AdamW(self.model.parameters(), rate, weight_decay=1e-4, fused=self.fused)
        return warmed_up(optimizer, int(self.hparams["steps"]))

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        """Clips the norm at 10: what a healthy step does not reach."""
        self.clip_gradients(optimizer, gradient_clip_val=10.0, gradient_clip_algorithm="norm")

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step of the weights and then of their average: a checkpoint saved after the step has both."""
        done = self.global_step + 1
        super().optimizer_step(*args, **kwargs)
        self.averaged(self._samples, done)


class LitTableDiffusion(_OneLoss):
    """A `TabularDiffusion` in training; see `LitTable`.

    Args:
        codec: `TableCodec.config`; use `for_data`.
        columns, classes: their names.
        steps: optimiser steps; the learning rate falls to 0 on them.
        width, blocks, sampling_steps: of `TabularDiffusion`.
        learning_rate: the highest.
        half_life: of the averaged weights, in samples.
        given_share: of rows that are drawn by a value of a categorical column and told it.
        novelty: see `LitTable`; 0 for never.
        seed: of the noise.
    """

    kind = "table-diffusion"
    sampling = ("given", "steps")

    def __init__(
        self,
        codec: dict[str, Any],
        columns: Sequence[str],
        classes: Sequence[str],
        steps: int,
        width: int = 256,
        blocks: int = 3,
        sampling_steps: int = 50,
        learning_rate: float = 2e-3,
        half_life: float = 36_000.0,
        given_share: float = 0.5,
        novelty: float = 0.7,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_ranges(type(self).__name__, self.hparams)
        size = {"width": width, "blocks": blocks, "steps": sampling_steps}
        self.take(TabularDiffusion(TableCodec.from_config(codec), max(1, len(classes)), **size))

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """A network as wide as the table needs: 4 units for each number and category, from 128 to 512; 256 for many rows.

        What is wider than a small table needs learns its rare rows by heart, and costs more: docs/decisions/0020.

        >>> from torchaug.data import wine
        >>> LitTableDiffusion.default_settings(wine())
        {'width': 128}
        """
        table = table_in(data, cls.__name__)
        entries = table.numeric.shape[1] + sum(len(c.categories) for c in table.columns if c.kind == "categorical")
        least = 256 if len(table) > MANY_ROWS else 128
        return {"width": min(512, max(least, 4 * entries // 32 * 32))}

    @classmethod
    def default_steps(cls, data: InMemory) -> int:
        """50 times the root of the number of rows, at most 2 a row and 4000 in all, at least 150."""
        rows = len(table_in(data, cls.__name__))
        return max(150, min(4000, int(50 * rows**0.5), 2 * rows))

    def loss(self, asked: Asked, keys: Tensor) -> Tensor:
        """The mean loss at times spread evenly over [0, 1), the first at random."""
        assert isinstance(self.model, TabularDiffusion)
        first, total = self.places(len(keys))
        place = (first + torch.arange(len(keys), device=keys.device)) / total
        t = (uniforms(fold_in(self.step_key, 2), 1)[:, 0] + place) % 1
        noise = latents(fold_in(keys, 3), self.model.codec.width, asked.rows.dtype)
        return self.model.loss(asked.rows, asked.labels, asked.values, t.to(noise), noise).mean()


class LitTableVAE(_OneLoss):
    """A `TabularVAE` in training; see `LitTable`.

    Args:
        codec: `TableCodec.config`; use `for_data`.
        columns, classes: their names.
        steps: optimiser steps; the learning rate falls to 0 on them.
        latent, width, blocks: of `TabularVAE`.
        learning_rate: the highest.
        beta: weight of the divergence after a linear warm-up over the first fifth.
        half_life: of the averaged weights, in samples.
        given_share: of rows that are drawn by a value of a categorical column and told it.
        novelty: see `LitTable`; 0 for never.
        seed: of the noise.
    """

    kind = "table-vae"

    def __init__(
        self,
        codec: dict[str, Any],
        columns: Sequence[str],
        classes: Sequence[str],
        steps: int,
        latent: int | None = None,
        width: int = 256,
        blocks: int = 2,
        learning_rate: float = 2e-3,
        beta: float = 1.0,
        half_life: float = 36_000.0,
        given_share: float = 0.5,
        novelty: float = 0.7,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_ranges(type(self).__name__, self.hparams)
        size: dict[str, Any] = {"latent": latent, "width": width, "blocks": blocks}
        self.take(TabularVAE(TableCodec.from_config(codec), max(1, len(classes)), **size))

    def loss(self, asked: Asked, keys: Tensor) -> Tensor:
        """The negative evidence lower bound."""
        assert isinstance(self.model, TabularVAE)
        noise = latents(fold_in(keys, 2), self.model.latent, asked.rows.dtype)
        beta = self.hparams["beta"] * min(1.0, 5 * self.progress)
        loss, parts = self.model.loss(asked.rows, asked.labels, asked.values, noise, beta)
        self.log_dict(parts, batch_size=len(keys))
        return loss
