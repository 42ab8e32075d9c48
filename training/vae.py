"""Training of the conditional image VAE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchaug.keys import fold_in
from torchaug.models.ema import EMA
from torchaug.models.latents import latents
from torchaug.models.vae import ImageVAE, Likelihood
from torchaug.training.data import InMemory, SynthesisDataModule
from torchaug.training.generator import KeyedAugment, LitImageGenerator, cosine, images_in
from torchaug.training.images import suited

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""
FITTED = 8192
"""Training images that the aggregated posterior is fitted to, at most."""


class LitVAE(LitImageGenerator):
    """An `ImageVAE` with its optimiser, its averaged weights and its aggregated posterior.

    Train it with a `SynthesisDataModule`, whose images the posterior is fitted to whenever a checkpoint is saved, so
    that every checkpoint can be sampled: `LitVAE.load_from_checkpoint(path).sample(8, "cat")`.

    Args:
        shape: channels, height and width.
        classes: the name of each class.
        steps: optimiser steps; the learning rate falls to 0 on them.
        augment: applied to the training images; not part of the checkpoint.
        latent, preset, likelihood, levels: see `ImageVAE`.
        learning_rate: the highest.
        beta: weight of the divergence after a linear warm-up over the first fifth.
        half_life: of the averaged weights, in samples.
        seed: of the noise and the augmentation.
    """

    kind = "vae"

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: Sequence[str],
        steps: int,
        augment: KeyedAugment | None = None,
        latent: int = 32,
        preset: str = "tiny",
        likelihood: Likelihood = "binomial",
        levels: int = 256,
        learning_rate: float = 2e-3,
        beta: float = 1.0,
        half_life: float = 2000.0,
        seed: int = 0,
    ) -> None:
        super().__init__(augment)
        classes = list(classes)
        self.save_hyperparameters(ignore=["augment"])
        self.vae = ImageVAE(
            *shape, num_classes=len(classes), latent=latent, preset=preset, likelihood=likelihood, levels=levels
        )
        self.ema = EMA(self.vae, half_life)

    @property
    def averaged(self) -> ImageVAE:
        """The VAE with averaged weights."""
        return self.ema.model

    sampling = ("prior",)

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """Settings that suit images of this size and of so many grey levels, on this machine.

        >>> from torchaug.data import digits
        >>> LitVAE.default_settings(digits())
        {'preset': 'tiny', 'levels': 17, 'latent': 16, 'likelihood': 'binomial'}
        """
        preset, levels, side = suited(images_in(data, "LitVAE"))
        latent = 16 if side <= 16 else 64 if side <= 32 else 128
        likelihood = "gaussian" if levels == 256 else "binomial"
        return {"preset": preset, "levels": levels, "latent": latent, "likelihood": likelihood}

    def generate(self, labels: Tensor, keys: Tensor, **settings: Any) -> Tensor:
        """Images of the averaged weights, from the aggregated posterior."""
        return self.averaged.generate(labels, keys, **settings)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch, per pixel, so that the clipping below means the same at any size."""
        images, labels = self.images_of(batch), batch["label"]
        keys = self.step_keys(len(images))
        if self.augment is not None:
            images = self.augment(images, keys=fold_in(keys, 0))
        noise = latents(fold_in(keys, 1), self.vae.latent, images.dtype)
        loss, parts = self.vae.loss(images, labels, noise, self.hparams["beta"] * min(1.0, 5 * self.progress))
        self.log_dict({"loss": loss.detach(), **parts}, batch_size=len(images))
        self._samples = len(images)
        return loss / images[0].numel()

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises over the first 5 % of the steps and falls to 0 along a cosine."""
        rate = self.hparams["learning_rate"]
        optimizer = torch.optim.AdamW(self.vae.parameters(), rate, weight_decay=1e-4, fused=self.fused)
        steps = int(self.hparams["steps"])

        def factor(step: int) -> float:
            return min((step + 1) / (WARM_UP * steps + 1), cosine(1.0, 0.0, min(1.0, step / steps)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        """Clips the norm at 1."""
        self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="norm")

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step of the weights and then of their average: a checkpoint saved after the step has both."""
        super().optimizer_step(*args, **kwargs)
        self.ema.update(self.vae, self.samples_of_step(self._samples))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Fits the aggregated posterior to the training images before it is saved."""
        super().on_save_checkpoint(checkpoint)
        self.prepare_samples()
        fitted = {f"ema.model.{name}": value for name, value in self.averaged.named_buffers()}
        checkpoint["state_dict"].update({name: value.detach().clone() for name, value in fitted.items()})

    def prepare_samples(self) -> None:
        """Fits the aggregated posterior of the averaged weights to the training images of the trainer, if there is one."""
        data = getattr(self._trainer, "datamodule", None)  # `trainer` raises where there is none
        if isinstance(data, SynthesisDataModule):
            chosen = slice(None, None, -(-len(data.train) // FITTED))
            images = self.images_of({"image": data.train.tensors()["image"][chosen].to(self.device)})
            self.averaged.fit_posterior(images, data.train.labels[chosen].to(self.device))
