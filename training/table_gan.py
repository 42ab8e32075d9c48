"""Training of the table GAN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchaug.keys import fold_in
from torchaug.models.latents import latents
from torchaug.models.table_codec import TableCodec
from torchaug.models.table_gan import TabularGAN, discriminator_loss, generator_loss
from torchaug.training.adversarial import TwoPlayers
from torchaug.training.settings import check_ranges
from torchaug.training.table_base import Asked, LitTable


class LitTableGAN(TwoPlayers, LitTable):
    """A `TabularGAN` in training, with its two optimisers; see `LitTable`.

    One step of the trainer is one batch: a discriminator step and a generator step.

    Args:
        codec: `TableCodec.config`; use `for_data`.
        columns, classes: their names.
        steps: batches; the learning rate falls to a quarter on them.
        latent, width, blocks, temperature: of `TabularGAN`.
        learning_rate: at the start.
        gamma: weight of R1 and R2.
        half_life: of the averaged weights, in samples.
        given_share: of rows that are drawn by a value of a categorical column and told it.
        novelty: see `LitTable`; 0 for never.
        seed: of the noise.
    """

    kind = "table-gan"
    slowing = 4
    model: TabularGAN

    def __init__(
        self,
        codec: dict[str, Any],
        columns: Sequence[str],
        classes: Sequence[str],
        steps: int,
        latent: int = 64,
        width: int = 128,
        blocks: int = 2,
        temperature: float = 0.2,
        learning_rate: float = 1e-3,
        gamma: float = 1.0,
        half_life: float = 36_000.0,
        given_share: float = 0.5,
        novelty: float = 0.7,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_ranges(type(self).__name__, self.hparams)
        self.automatic_optimization = False
        size: dict[str, Any] = {"latent": latent, "width": width, "blocks": blocks, "temperature": temperature}
        self.take(TabularGAN(TableCodec.from_config(codec), max(1, len(classes)), **size))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """A discriminator step, then a generator step, with the same real rows and conditions."""
        keys, done = self.step_keys(len(batch["index"])), self.global_step + 1
        asked = self.asked(batch, keys)
        real = self.model.centred(asked.rows)
        generator_optimizer, discriminator_optimizer = self.players()

        self.toggle_optimizer(discriminator_optimizer)
        with torch.no_grad():
            fake = self._fake(asked, fold_in(keys, 2))
        loss, parts = discriminator_loss(lambda rows: self._critic(rows, asked), real, fake, self.hparams["gamma"])
        discriminator_optimizer.zero_grad()
        self.manual_backward(loss)
        discriminator_optimizer.step()
        self.untoggle_optimizer(discriminator_optimizer)

        self.toggle_optimizer(generator_optimizer)
        fooled = generator_loss(lambda rows: self._critic(rows, asked), real, self._fake(asked, fold_in(keys, 3)))
        generator_optimizer.zero_grad()
        self.manual_backward(fooled)
        generator_optimizer.step()
        self.untoggle_optimizer(generator_optimizer)

        self.averaged(len(keys), done)
        self.log_dict({"loss": loss.detach(), "generator_loss": fooled.detach(), **parts}, batch_size=len(keys))

    def _fake(self, asked: Asked, keys: Tensor) -> Tensor:
        noise = latents(keys, self.model.latent + self.model.codec.width, asked.rows.dtype)
        z, noise = noise.split([self.model.latent, self.model.codec.width], 1)
        return self.model.fake(z, asked.labels, asked.values, noise)

    def _critic(self, rows: Tensor, asked: Asked) -> Tensor:
        score: Tensor = self.model.discriminator(rows, asked.labels, asked.values)
        return score

    def configure_optimizers(self) -> Any:
        """Adam without momentum for both."""
        model = self.model
        generator = [*model.condition.parameters(), *model.generator.parameters()]
        return self.without_momentum(generator, model.discriminator.parameters())
