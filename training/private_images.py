"""Image generators trained with differential privacy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from torchaug.keys import choice, fold_in, uniforms
from torchaug.models.gan_losses import discriminator_loss
from torchaug.models.latents import latents
from torchaug.models.privacy import Parameters
from torchaug.models.vae import ImageVAE
from torchaug.models.vae_objectives import elbo
from torchaug.training.data import InMemory
from torchaug.training.gan import LitGAN
from torchaug.training.private_steps import OneNoisyLoss, PrivateSteps, private_data
from torchaug.training.vae import LitVAE


class PrivateVAE(OneNoisyLoss, LitVAE):
    """A `LitVAE` whose every step is noisy; samples come from the standard normal prior.

    The aggregated posterior would be fitted to the training images and tell of them, so it is left out. Nothing that was
    measured on them is logged, but what the training has cost so far. Checkpoints load as `LitVAE`.
    """

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """As of `LitVAE`, but with the whole divergence: samples come from the prior that it pulls latents to."""
        return super().default_settings(data) | {"beta": 1.0}

    def on_train_start(self) -> None:
        """Refuses to train on what it could not account for."""
        if not isinstance(self.vae, ImageVAE) or self.hparams["objective"] != "elbo":
            raise ValueError(
                f"PrivateVAE: expected the objective elbo, got {self.hparams['objective']}; the others are not private here"
            )
        self.account(self.vae, _nats_per_pixel)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The noisy gradients of the loss per pixel."""
        images, keys = self.images_of(batch), fold_in(self.row_keys(batch), 1)
        noise = latents(keys, self.vae.latent, images.dtype)  # type: ignore[arg-type]
        beta = self.hparams["beta"] * min(1.0, 5 * self.progress)
        return self.noisy((images, batch["label"], noise), beta)

    def prepare_samples(self) -> None:
        """Nothing: the prior stays the standard normal."""


def _nats_per_pixel(vae: ImageVAE, images: Tensor, labels: Tensor, noise: Tensor, beta: float) -> Tensor:
    return elbo(vae, images, labels, noise, beta=beta)[0] / images[0].numel()


class PrivateGAN(PrivateSteps, LitGAN):
    """A `LitGAN` whose discriminator takes noisy steps and whose generator never meets a real image.

    A row's loss is that of the pair of a real image and a generated one of its class, with R1 and R2. The relativistic
    loss of the generator would look at real images too, so here it raises the scores of its own; the classes that it is
    asked for come from the shares, not from the batch. Checkpoints load as `LitGAN`.
    """

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """As of `LitGAN`, but with penalties in each step, whose gradients are clipped and made noisy with the others."""
        return super().default_settings(data) | {"lazy": 1}

    def on_train_start(self) -> None:
        """Refuses to train on what it could not account for."""
        offered = {"loss": "relativistic", "condition": "class", "lazy": 1, "accumulate": 1, "adaptive": False}
        other = {name: self.hparams[name] for name, value in offered.items() if self.hparams[name] != value}
        if other:
            raise ValueError(f"PrivateGAN: expected {offered}, got {other}; the others are not private here")
        self._data = private_data(self, self.gan.discriminator)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """A noisy step of the discriminator, then a step of the generator."""
        generator, discriminator = self.players()
        self._judge_privately(self.images_of(batch), batch["label"], self.row_keys(batch))
        discriminator.step()

        self.toggle_optimizer(generator)
        keys = self.step_keys(self._data.batch_size)
        labels = choice(uniforms(fold_in(keys, 2), 1)[:, 0], self._data.shares)  # not the batch's
        fake = self.gan.generator(self._latents(fold_in(keys, 3)), labels)
        generator.zero_grad()
        self.manual_backward(-self.gan.discriminator(fake, labels).mean())
        generator.step()
        self.untoggle_optimizer(generator)
        self.ema.update(self.gan.generator, len(labels))
        self.log("epsilon", self._data.epsilon(self.global_step), batch_size=1)

    def _judge_privately(self, real: Tensor, labels: Tensor, keys: Tensor) -> None:
        gamma, network = self.weight_of_penalties, self.gan.discriminator
        with torch.no_grad():
            fake = self.gan.generator(self._latents(fold_in(keys, 0)), labels)

        def loss(parameters: Parameters, row: tuple[Tensor, Tensor, Tensor]) -> Tensor:
            def critic(images: Tensor, labels: Tensor) -> Tensor:
                scores: Tensor = functional_call(network, parameters, (images, labels))
                return scores

            one_real, one_fake, label = (tensor[None] for tensor in row)
            return discriminator_loss(critic, one_real, one_fake, label, gamma=gamma)[0]

        parameters = {name: p.detach() for name, p in network.named_parameters()}
        found = self._data.gradients(loss, parameters, (real, fake, labels), self.global_step)
        for name, parameter in network.named_parameters():
            parameter.grad = found[name]

    def _latents(self, keys: Tensor) -> Tensor:
        return latents(keys, self.gan.generator.latent, self.gan.generator.start.dtype)
