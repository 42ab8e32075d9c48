"""What the Lightning modules of all generators share: keyed randomness, augmentation, labelled checkpoints."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Protocol

import lightning.pytorch as L
import torch
from torch import Tensor, nn

from torchaug.keys import sample_keys
from torchaug.models.synthesizer import Synthesizer
from torchaug.training.data import SynthesisDataModule
from torchaug.training.plan import Shard
from torchaug.training.synthesize import exact_copy, make_images

FORMAT = 1


class KeyedAugment(Protocol):
    """Images (B, C, H, W) in [0, 1] and keys (B,) to images, such as a `torchaug.compose.Compose`."""

    def __call__(self, images: Tensor, /, *, keys: Tensor) -> Tensor:
        """The augmented images."""
        ...


class LitGenerator(L.LightningModule, ABC):
    """A generator in training; a `Synthesizer` when loaded from its checkpoint.

    Every number that training draws is a function of the seed and the step, so k steps, a checkpoint and k more end in
    the same bits as 2k steps.
    """

    kind: str
    """What the checkpoint says it is."""

    def __init__(self, augment: KeyedAugment | None) -> None:
        super().__init__()
        self._augment = (augment,)  # in a tuple, so that it is no submodule and not in the checkpoint
        self._exact: tuple[Synthesizer, ...] = ()
        self.trained_on: str | None = None
        """`fingerprint` of the training images, of a generator loaded from a checkpoint that knows them."""
        self.trained_items: Tensor | None = None
        """Their hashes, (N,) int64."""

    @property
    def augment(self) -> KeyedAugment | None:
        """What training images pass through; sampling does not need it."""
        return self._augment[0]

    def on_fit_start(self) -> None:
        """Takes the augmentation along to the device."""
        if isinstance(self.augment, nn.Module):
            self.augment.to(self.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.hparams["shape"]
        return channels, height, width

    @property
    def classes(self) -> list[str]:
        """The name of each class."""
        return list(self.hparams["classes"])

    @abstractmethod
    def sample(self, labels: Tensor, keys: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of the averaged weights; row i depends on labels[i] and keys[i] alone."""

    def prepare_samples(self) -> None:
        """Whatever must be done before `sample` while training goes on: nothing, for most generators."""

    def step_keys(self, count: int) -> Tensor:
        """Keys of this step's samples on this process, (count,) int64."""
        first = self.global_rank * count
        ids = torch.arange(first, first + count, device=self.device)
        return sample_keys(ids, seed=self.hparams["seed"], epoch=self.global_step)

    def on_predict_start(self) -> None:
        """Makes the copy that computes the images of a bank: as exactly as `synthesize`, whatever the precision here."""
        self._exact = (exact_copy(self, torch.float64),)

    def on_predict_end(self) -> None:
        """Forgets the copy: it would not follow a training."""
        self._exact = ()

    def predict_step(self, batch: Shard, batch_idx: int) -> Tensor:
        """The images of a shard (`torchaug.training.predict.PlannedShards`), (n, C, H, W) uint8 on the CPU."""
        return make_images(self._exact[0], batch.labels, batch.keys)

    def images_of(self, batch: dict[str, Tensor]) -> Tensor:
        """The batch's images, float in [0, 1]."""
        images = batch["image"]
        return images.to(self.dtype) / 255 if images.dtype == torch.uint8 else images.to(self.dtype)

    @property
    def progress(self) -> float:
        """Share of the planned steps that is done, in [0, 1]."""
        return min(1.0, self.global_step / int(self.hparams["steps"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Says what the checkpoint holds, and what it was trained on."""
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, SynthesisDataModule):
            self.trained_on, self.trained_items = data.trained_on, data.trained_items
        checkpoint["torchaug"] = {
            "format": FORMAT,
            "kind": self.kind,
            "trained_on": self.trained_on,
            "trained_items": self.trained_items,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remembers what it was trained on; a checkpoint of another kind is refused."""
        kind = checkpoint.get("torchaug", {}).get("kind")
        if kind != self.kind:
            raise ValueError(
                f"{type(self).__name__}: expected a checkpoint of kind {self.kind}, got {kind}; load_generator takes any"
            )
        self.trained_on = checkpoint["torchaug"]["trained_on"]
        self.trained_items = checkpoint["torchaug"]["trained_items"]


def cosine(start: float, end: float, progress: float) -> float:
    """From `start` to `end` along half a cosine.

    >>> cosine(1.0, 0.0, 0.0), round(cosine(1.0, 0.0, 0.5), 9), cosine(1.0, 0.0, 1.0)
    (1.0, 0.5, 0.0)
    """
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
