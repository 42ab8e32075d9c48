"""Training of the conditional image VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from torchaug.keys import fold_in
from torchaug.models.augment_checks import check_size
from torchaug.models.ema import EMA
from torchaug.models.fitted import FITTED_AT_ONCE
from torchaug.models.latents import latents
from torchaug.models.likelihoods import Likelihood
from torchaug.models.networks import at_once
from torchaug.models.vae import ImageVAE
from torchaug.models.vae_objectives import elbo, iwae, wae_mmd
from torchaug.models.vq import ImageVQVAE
from torchaug.training.data import InMemory, SynthesisDataModule
from torchaug.training.generator import KeyedAugment
from torchaug.training.image_generator import LitImageGenerator, images_in
from torchaug.training.images import suited
from torchaug.training.plan import class_keys
from torchaug.training.schedules import warmed_up
from torchaug.training.settings import check_ranges

Objective = Literal["elbo", "iwae", "wae_mmd", "vq"]
FITTED = 8192
"""Training images that the aggregated posterior is fitted to, at most, but for so many of each class:"""
OF_CLASS = 16


class LitVAE(LitImageGenerator):
    """An `ImageVAE` (or `ImageVQVAE`) with its optimiser, its averaged weights and its aggregated posterior.

    Train it with a `SynthesisDataModule`, whose images the posterior is fitted to at the end and whenever a checkpoint is
    saved, so that every checkpoint can be sampled: `LitVAE.load_from_checkpoint(path).sample(8, "cat")`. With a DataLoader
    of your own, call `prepare_from` with images before sampling; samples come from the standard normal else.

    Args:
        shape: channels, height and width.
        classes: the name of each class; none for images without labels.
        steps: optimiser steps; the learning rate falls to 0 on them.
        augment: applied to the training images; not part of the checkpoint.
        objective: "elbo"; "iwae", a tighter bound by several draws an image; "wae_mmd", which pulls all latents together
            to the prior and none alone; "vq", discrete codes and a recurrent prior over them.
        latent, preset, likelihood, levels, components, bic: see `ImageVAE`.
        learning_rate: the highest.
        beta: weight of the divergence after a linear warm-up over the first fifth; "elbo" and "iwae".
        free_nats: divergence of a latent that costs nothing; "elbo".
        draws: of each image; "iwae".
        mmd_weight: of the distance from the prior; "wae_mmd".
        codes, code_size: see `ImageVQVAE`; "vq".
        pooling: in images, how much a class borrows of the others' variation; see `AggregatedPosterior.fit`.
        half_life: of the averaged weights, in samples.
        seed: of the noise and the augmentation.
    """

    kind = "vae"
    content: ClassVar[str] = "image"
    """What samples are called in a batch."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: Sequence[str],
        steps: int,
        augment: KeyedAugment | None = None,
        objective: Objective = "elbo",
        latent: int = 32,
        preset: str = "tiny",
        likelihood: Likelihood = "binomial",
        levels: int = 256,
        components: int = 1,
        bic: bool = True,
        learning_rate: float = 2e-3,
        beta: float = 1.0,
        free_nats: float = 0.05,
        draws: int = 5,
        mmd_weight: float = 10.0,
        codes: int = 128,
        code_size: int = 8,
        pooling: float | None = None,
        half_life: float = 2000.0,
        seed: int = 0,
    ) -> None:
        super().__init__(augment)
        classes = list(classes)
        self.save_hyperparameters(ignore=["augment"])
        if objective not in get_args(Objective):
            raise ValueError(f"LitVAE: objective must be one of {', '.join(get_args(Objective))}, got {objective!r}")
        check_ranges(type(self).__name__, self.hparams)
        common: dict[str, Any] = {"preset": preset, "likelihood": likelihood, "levels": levels}
        number = max(1, len(classes))
        self.vae: ImageVAE | ImageVQVAE
        if objective == "vq":
            self.vae = ImageVQVAE(*shape, number, codes=codes, code_size=code_size, **common)
        else:
            self.vae = ImageVAE(*shape, number, latent=latent, components=components, bic=bic, **common)
        self.ema = EMA(self.vae, half_life)

    @property
    def averaged(self) -> ImageVAE | ImageVQVAE:
        """The VAE with averaged weights."""
        return self.ema.model

    @property
    def sampling(self) -> Sequence[str]:  # type: ignore[override]
        return ("temperature",) if self.hparams["objective"] == "vq" else ("prior", "truncation")

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """Settings that suit images of this size and of so many grey levels, on this machine.

        >>> from torchaug.data import digits
        >>> settings = LitVAE.default_settings(digits())
        >>> settings["latent"], settings["levels"], settings["likelihood"]
        (16, 17, 'binomial')
        """
        preset, levels, side = suited(images_in(data, "LitVAE"))
        return {
            "preset": preset,
            "levels": levels,
            "latent": 16 if side <= 16 else 64 if side <= 32 else 128,
            "likelihood": "gaussian" if levels == 256 else "binomial",
            "beta": 0.5 if side <= 16 else 1.0,
            "components": 12,  # what is made trains classifiers better than with one (digits: 0.951 for 0.934)
            "bic": False,
        }

    @classmethod
    def chosen_settings(cls, data: InMemory, given: Mapping[str, Any]) -> dict[str, Any]:
        """As ever, but with the likelihood that suits the levels that are given."""
        found = cls.default_settings(data)
        if "levels" in given:
            found["likelihood"] = "gaussian" if given["levels"] == 256 else found["likelihood"]
        return {**found, **given}

    def generate(self, labels: Tensor, keys: Tensor, **settings: Any) -> Tensor:
        """Images of the averaged weights; settings are "prior" and "truncation", or "temperature" for codes."""
        return self.averaged.generate(labels, keys, **settings)

    def interpolate(
        self, first: int, second: int, steps: int = 8, *, labels: int | str = 0, seed: int = 0, **settings: Any
    ) -> Tensor:
        """Images on the way between two of a class, from sample number `first` to number `second`, (steps, C, H, W).

        Raises:
            TypeError: codes have nothing between them ("vq").
        """
        images = self._between(first, second, steps, labels, seed, settings)
        return (images * 255).round().clamp(0, 255) / 255  # the ends are those samples, as `make` rounds them

    def _between(
        self, first: int, second: int, steps: int, label: int | str, seed: int, settings: dict[str, Any]
    ) -> Tensor:
        vae = self.averaged
        if not isinstance(vae, ImageVAE):
            raise TypeError("LitVAE.interpolate: codes have nothing between them; train with another objective than vq")
        return vae.interpolate(*self._ends(first, second, label, seed), steps, **settings)[0]

    def _ends(self, first: int, second: int, label: int | str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """The class and the keys of two samples, (1,) each."""
        numbers = torch.full((2,), self.class_of(label))
        keys = class_keys(numbers, torch.tensor([first, second]), seed).to(self.device)
        return numbers[:1].to(self.device), keys[:1], keys[1:]

    @torch.no_grad()
    def score(self, content: Tensor, labels: Tensor | None = None) -> Tensor:
        """A lower bound of log p(image | label) in nats, (B,), of images (B, C, H, W), uint8 or float in [0, 1]."""
        return self.averaged.score(*self.to_score(content, labels))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch, per pixel, so that the clipping below means the same at any size."""
        keys = self.step_keys(len(batch[self.content]))
        images = self.augmented(batch, fold_in(keys, 0))
        labels = batch["label"] if "label" in batch else torch.zeros_like(keys)
        loss, parts = self._loss(images, labels, keys)
        self.log_dict({"loss": loss.detach(), **parts}, batch_size=len(images))
        self._samples = len(images)
        return loss / images[0].numel()

    def augmented(self, batch: dict[str, Tensor], keys: Tensor) -> Tensor:
        """The batch's images, augmented where something does."""
        images = self.images_of(batch)
        if self.augment is None:
            return images
        augmented = self.augment(images, keys=keys)
        check_size(images, augmented, type(self).__name__)
        return augmented

    def _loss(self, images: Tensor, labels: Tensor, keys: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        vae, hparams = self.vae, self.hparams
        if isinstance(vae, ImageVQVAE):
            return vae.loss(images, labels, fold_in(keys, 1))
        beta, draws = hparams["beta"] * min(1.0, 5 * self.progress), hparams["draws"]
        if hparams["objective"] == "iwae":
            noise = latents(fold_in(keys, 1), draws * vae.latent, images.dtype).view(-1, draws, vae.latent)
            return iwae(vae, images, labels, noise.transpose(0, 1), beta=beta)
        noise = latents(fold_in(keys, 1), vae.latent, images.dtype)
        if hparams["objective"] == "wae_mmd":
            prior = latents(fold_in(keys, 2), vae.latent, images.dtype)
            return wae_mmd(vae, images, labels, noise, prior, weight=hparams["mmd_weight"])
        return elbo(vae, images, labels, noise, beta=beta, free_nats=hparams["free_nats"])

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises over the first 5 % of the steps and falls to 0 along a cosine."""
        rate = self.hparams["learning_rate"]
        optimizer = torch.optim.AdamW(self.vae.parameters(), rate, weight_decay=1e-4, fused=self.fused)
        return warmed_up(optimizer, int(self.hparams["steps"]))

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
        """Takes what samples are made of from the training images of the trainer, if there is one."""
        data = getattr(self._trainer, "datamodule", None)  # `trainer` raises where there is none
        if isinstance(data, SynthesisDataModule):
            self.prepare_from(data.train)

    def prepare_from(self, train: InMemory) -> None:
        """Fits the aggregated posterior of the averaged weights to training images."""
        labels = labels_of(train)
        counts = labels.bincount(minlength=max(1, len(self.classes)))
        rows = some_of_each(labels, FITTED, OF_CLASS).split(at_once(self.shape, FITTED_AT_ONCE))
        parts = (self._training_images(train, part) for part in rows)
        self.averaged.fit_posterior_to(parts, self.hparams["pooling"], counts)

    def _training_images(self, train: InMemory, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The images and labels of some training samples."""
        parts = {name: tensor[rows].to(self.device) for name, tensor in train.tensors().items()}
        return self.images_of(parts), labels_of(train)[rows].to(self.device)


def some_of_each(labels: Tensor, most: int, of_class: int = 1) -> Tensor:
    """The places of at most so many samples, rising: all of the small classes, and as many of each larger one, evenly.

    Args:
        labels: (N,) class numbers.
        most: samples in all, where that leaves `of_class` of each class that has them.
        of_class: samples of a class that are never too many.

    >>> some_of_each(torch.tensor([0, 0, 0, 0, 0, 0, 1, 0, 0, 0]), most=4).tolist()
    [0, 3, 6, 7]
    """
    counts = labels.bincount()
    low, high = of_class, max(of_class, most)
    while low < high:  # the highest quota that is kept to
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(counts.clamp(max=middle).sum()) <= most else (low, middle - 1)
    rows = []
    for label in counts.nonzero()[:, 0].tolist():
        members = (labels == label).nonzero()[:, 0]
        taken = min(low, len(members))
        rows.append(members[torch.arange(taken) * len(members) // taken])
    return torch.cat(rows).sort().values


def labels_of(train: InMemory) -> Tensor:
    """The class number of each sample; 0 without classes."""
    return torch.zeros(len(train), dtype=torch.int64) if train.labels is None else train.labels
