"""Steps that are not ours: functions of batches, and functions of single images such as torchvision's transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.clips import Clips
from torchaug.transform import Alone, Call, Folding, Run, Transform, seen


class Foreign(Transform):
    """A step that is not ours: it ends a run, and a graph where it is opaque.

    Nothing is known of its derivatives; who knows them says so: `step.differentiable = 2`.
    """

    opaque = True
    always = True
    differentiable: Literal[0, 1, 2] = 0

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        if not callable(function):
            raise TypeError(f"{type(self).__name__}: function must be callable, got {function!r}")
        self.function = function

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))

    def run(self, folding: Folding) -> Run:
        return _ForeignRun(self)


class _ForeignRun(Alone):
    def play(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        return seen(self.steps, self.apply_there, batch, calls)  # a function that is not ours may want torch.autocast

    def undo(self, batch: Batch, calls: Sequence[Call], canvas: tuple[int, int], size: Tensor | None) -> Batch:
        raise ValueError(
            f"inverse: {type(self.steps[0]).__name__} may move pixels in ways unknown here; leave it out of a Compose "
            "that is to be inverted"
        )


class Lambda(Foreign):
    """Any function of a `Batch` as a step of a Compose.

    Args:
        function: takes and returns a `Batch`; gates of containers do not reach inside it: they select afterwards.

    >>> from torchaug import Compose
    >>> halve = Lambda(lambda batch: batch.replace(image=batch.image / 2))
    >>> Compose([halve])(torch.ones(2, 3, 4, 4)).mean().item()
    0.5
    """

    clips: Clips = "whole"

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return select(chosen, self.function(batch), batch)


class PerSample(Foreign):
    """Any function of one image (C, H, W), torchvision's transforms among them, as a step of a Compose.

    Each image is passed by itself, so the images must come out alike in shape and dtype. The sample's key seeds torch's
    CPU generator around the call, and the generator's state is put back afterwards: torchvision's random transforms
    then give the same sample, or each frame of a video, the same augmentation, whatever the batch. Masks, boxes and keypoints are not passed.

    Args:
        function: takes and returns a tensor (C, H, W).

    >>> from torchaug import Compose
    >>> from torchvision.transforms import v2
    >>> Compose([PerSample(v2.RandomInvert(p=1.0))])(torch.zeros(2, 3, 4, 4)).mean().item()
    1.0
    """

    @property
    def columns(self) -> int:
        return 2

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        return [Call(u, chosen)]

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if batch.image is None:
            raise TypeError("PerSample: expected a batch with an image, got none")
        if batch.size is not None:
            raise ValueError("PerSample: images must have one size, got padded ones; resize or crop them before")
        seeds = (u.double() @ u.new_tensor([2.0**24, 2.0**48], dtype=torch.float64)).long().tolist()
        images = [self._one(image, seed) for image, seed in zip(batch.image, seeds, strict=True)]
        return select(chosen, batch.replace(image=torch.stack(images)), batch)

    def _one(self, image: Tensor, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            result: Tensor = self.function(image)
        return result


def select(chosen: Tensor, then: Batch, otherwise: Batch) -> Batch:
    """The samples of one batch where `chosen` (B,), else those of the other; where shapes differ, the first alone."""
    fields = {}
    before = otherwise.present()
    for name, value in then.present().items():
        old = before.get(name)
        if old is value or old is None or old.shape != value.shape or old.dtype != value.dtype:
            fields[name] = value
        else:
            fields[name] = torch.where(chosen.view(-1, *[1] * (value.ndim - 1)), value, old)
    return Batch(**fields)
