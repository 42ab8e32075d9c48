"""Training of the conditional image GAN."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from torchaug.keys import fold_in, uniforms
from torchaug.models.ema import EMA
from torchaug.models.gan import Augment, ImageGAN, default_gamma, discriminator_loss, generator_loss
from torchaug.models.latents import latents
from torchaug.training.data import InMemory
from torchaug.training.generator import KeyedAugment, LitImageGenerator, cosine, images_in
from torchaug.training.images import suited


class LitGAN(LitImageGenerator):
    """An `ImageGAN` with its two optimisers and the averaged weights of its generator.

    One step of the trainer is one batch: a discriminator step and a generator step. Sample from a checkpoint with
    `LitGAN.load_from_checkpoint(path).sample(8, "cat")`; the discriminator is in it too, to train on.

    Args:
        shape: channels, height and width.
        classes: the name of each class.
        steps: batches; schedules run over them.
        augment: what the discriminator sees real and fake images through, differentiable twice for float images; not
            part of the checkpoint.
        augment_p: chance per image at the end of training; it rises from 0 along a cosine, since an augmentation that
            is always there is learnt (arXiv 2006.06676).
        latent, preset, levels: see `ImageGAN`.
        learning_rate: at the start; it falls to a quarter along a cosine.
        gamma: weight of R1 and R2 at the start, falling to a tenth; None for `default_gamma`.
        half_life: of the averaged weights, in samples.
        seed: of the noise and the augmentation.
    """

    kind = "gan"

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: Sequence[str],
        steps: int,
        augment: KeyedAugment | None = None,
        augment_p: float = 0.5,
        latent: int = 64,
        preset: str = "tiny",
        levels: int = 256,
        learning_rate: float = 2e-3,
        gamma: float | None = None,
        half_life: float = 10_000.0,
        seed: int = 0,
    ) -> None:
        super().__init__(augment)
        classes = list(classes)
        self.save_hyperparameters(ignore=["augment"])
        self.automatic_optimization = False
        self.gan = ImageGAN(*shape, num_classes=len(classes), latent=latent, preset=preset, levels=levels)
        self.ema = EMA(self.gan.generator, half_life)

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """Settings that suit images of this size and of so many grey levels, on this machine.

        >>> from torchaug.data import digits
        >>> LitGAN.default_settings(digits())
        {'preset': 'tiny', 'levels': 17, 'learning_rate': 0.003}
        """
        preset, levels, _ = suited(images_in(data, "LitGAN"))
        rate = {"tiny": 3e-3, "small": 2e-3, "base": 5e-4}[preset]
        return {"preset": preset, "levels": levels, "learning_rate": rate}

    def generate(self, labels: Tensor, keys: Tensor, **settings: Any) -> Tensor:
        """Images of the averaged generator."""
        return self.ema.model.generate(labels, keys)

    def on_fit_start(self) -> None:
        """Refuses strategies under which training would fail later, or go wrong."""
        super().on_fit_start()
        strategy = self.trainer.strategy
        if isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.get("find_unused_parameters", False):
            raise ValueError(
                "LitGAN: under DDP each half of a step leaves the other network unused, expected "
                'strategy="ddp_find_unused_parameters_true", got plain DDP; pass that to the Trainer'
            )
        if str(self.trainer.precision) == "16-mixed":
            raise ValueError("LitGAN: expected precision 32-true or bf16-mixed, got 16-mixed; R1 and R2 overflow in it")

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """A discriminator step, then a generator step, with the same real images and labels."""
        real, labels, keys = self.images_of(batch), batch["label"], self.step_keys(len(batch["label"]))
        # only the generator's step is counted, so that trainer.global_step is the number of batches
        generator_optimizer = cast("list[Any]", self.optimizers())[0]
        discriminator_optimizer = cast("list[Any]", self.optimizers(use_pl_optimizer=False))[1]
        self._schedule(generator_optimizer, discriminator_optimizer)

        self.toggle_optimizer(discriminator_optimizer)
        with torch.no_grad():
            fake = self.gan.generator(self._noise(keys, 0), labels)
        loss, parts = discriminator_loss(
            self.gan.discriminator, real, fake, labels, gamma=self._gamma(), augment=self._seen_through(keys, 1)
        )
        discriminator_optimizer.zero_grad()
        self.manual_backward(loss)
        discriminator_optimizer.step()
        self.untoggle_optimizer(discriminator_optimizer)

        self.toggle_optimizer(generator_optimizer)
        fake = self.gan.generator(self._noise(keys, 3), labels)
        fooled = generator_loss(self.gan.discriminator, real, fake, labels, augment=self._seen_through(keys, 4))
        generator_optimizer.zero_grad()
        self.manual_backward(fooled)
        generator_optimizer.step()
        self.untoggle_optimizer(generator_optimizer)

        self.ema.update(self.gan.generator, len(labels) * self.trainer.world_size)
        logged = {"loss": loss.detach(), "generator_loss": fooled.detach(), **parts}
        self.log_dict(logged, batch_size=len(labels))

    def _noise(self, keys: Tensor, purpose: int) -> Tensor:
        return latents(fold_in(keys, purpose), self.gan.generator.latent, self.gan.generator.start.dtype)

    def _gamma(self) -> float:
        gamma = self.hparams["gamma"]
        start = default_gamma(*self.shape[1:]) if gamma is None else gamma
        return cosine(start, start / 10, self.progress)

    def _seen_through(self, keys: Tensor, purpose: int) -> Augment | None:
        """The augmentation of this step."""
        augment, p = self.augment, self.hparams["augment_p"] * (1 - cosine(1.0, 0.0, self.progress))
        if augment is None or p == 0:
            return None
        calls = itertools.count()  # real images first, then fake ones: each call draws anew

        def augmented(images: Tensor) -> Tensor:
            fresh = fold_in(fold_in(keys, purpose), next(calls))
            chosen = uniforms(fresh, 1)[:, :, None, None] < p
            return torch.where(chosen, augment(images, keys=fold_in(fresh, 0)), images)

        return augmented

    def _schedule(self, *optimizers: Any) -> None:
        start = self.hparams["learning_rate"]
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = cosine(start, start / 4, self.progress)

    def configure_optimizers(self) -> Any:
        """Adam without momentum for both."""
        rate = self.hparams["learning_rate"]
        networks = (self.gan.generator, self.gan.discriminator)
        return [torch.optim.Adam(network.parameters(), rate, betas=(0.0, 0.99), fused=True) for network in networks]
