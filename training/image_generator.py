"""What the Lightning modules of all generators of images share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import Self

from torchaug.data.images import TensorImages
from torchaug.models.networks import at_once
from torchaug.training.data import InMemory
from torchaug.training.generator import KeyedAugment, LitGenerator
from torchaug.training.images import check_levels
from torchaug.training.synthesizer import AT_ONCE, Columns, check_settings


class LitImageGenerator(LitGenerator):
    """A generator of images; hyperparameters hold their "shape" too."""

    @classmethod
    def made_for(cls, data: InMemory, steps: int, augment: KeyedAugment | None, settings: dict[str, Any]) -> Self:
        images = images_in(data, cls.__name__)
        shape = tuple(images.images.shape[1:])
        check_levels(images.images, settings["levels"], cls.__name__)
        given: dict[str, Any] = {"shape": shape, "classes": images.classes, "steps": steps, "augment": augment}
        return cls(**given, **settings)

    @classmethod
    def described(cls, data: InMemory) -> dict[str, Any]:
        shape = tuple(images_in(data, cls.__name__).images.shape[1:])
        return {"shape": shape, **super().described(data)}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.hparams["shape"]
        return channels, height, width

    @property
    def samples_at_once(self) -> int:
        return at_once(self.shape, AT_ONCE)

    sampling: ClassVar[Sequence[str]] = ()
    """The settings of `generate`."""

    @abstractmethod
    def generate(self, labels: Tensor, keys: Tensor, **settings: Any) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of the averaged weights; row i depends on labels[i] and keys[i] alone."""

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings(f"{type(self).__name__}.make", settings, self.sampling)
        images = self.generate(labels, keys, **settings)
        return {"image": (images * 255).round().clamp(0, 255).to(torch.uint8)}

    def to_score(self, content: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Images to judge, in [0, 1], and their labels, on this device.

        Raises:
            ValueError: images of another shape, or labels that are not one for each, of a class there is.
        """
        if content.shape[1:] != self.shape:
            shape = ", ".join(map(str, self.shape))
            raise ValueError(f"{type(self).__name__}.score: expected images (B, {shape}), got {tuple(content.shape)}")
        images = self.images_of({"image": content.to(self.device)})
        return images, self.labels_to_score(labels, len(images))

    def images_of(self, batch: dict[str, Tensor]) -> Tensor:
        """The batch's images, float in [0, 1]."""
        images = batch["image"]
        return images.to(self.dtype) / 255 if images.dtype == torch.uint8 else images.to(self.dtype)


def images_in(data: InMemory, who: str) -> TensorImages:
    """The data as labelled images, or an error."""
    if not isinstance(data, TensorImages):
        raise TypeError(f"{who}: expected labelled images, got a {type(data).__name__}; choose a kind made for these")
    return data
