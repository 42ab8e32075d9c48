"""Looks at images on the device for NaN, infinity and values out of range, without making anyone wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.data.streams import Direct, SideStream

_WORDS = ("outside [0, 1] (or NaN) before the transform", "NaN or infinity after the transform")


class Watch:
    """Notes for each batch which samples are bad, and raises once the device has told.

    Args:
        check: "off", "finite" or "range", as `DeviceLoader` has it.
        lane: where the batches are made.
    """

    def __init__(self, check: str, lane: Direct | SideStream) -> None:
        self._check, self._lane = check, lane
        self._pending: deque[tuple[Callable[[bool], Tensor | None], str, Tensor | None]] = deque()

    @property
    def looks(self) -> bool:
        """Whether it looks at anything."""
        return self._check != "off"

    def note(self, before: Any, after: Any, where: object, ids: Tensor | None) -> None:
        """Look at a batch before and after the transform; call it where the batch is made."""
        if not self.looks:
            return
        image = image_of(after)
        flags = [None, None if image is None else _not_finite(image)]
        if self._check == "range" and (image := image_of(before)) is not None:
            flags[0] = _outside(image)
        for words, flag in zip(_WORDS, flags, strict=True):
            if flag is not None:
                text = f"DeviceLoader: images must be finite, and in [0, 1] as they come in; got {words}, {where}"
                self._pending.append((self._lane.read(flag), text, ids))

    def examine(self, wait: bool = False) -> None:
        """Raise for a bad sample that is known by now; `wait`: until all are known."""
        while self._pending:
            look, text, ids = self._pending[0]
            bad = look(wait)
            if bad is None:
                return
            self._pending.popleft()
            if bad.any():
                rows = bad.nonzero().flatten().cpu()
                names = rows if ids is None else ids[rows]
                raise ValueError(
                    f"{text}, {'places' if ids is None else 'samples with id'} {names[:8].tolist()}; look at them with "
                    "the transform left out"
                )


def image_of(batch: Any) -> Tensor | None:
    """The images of a batch of any form."""
    if isinstance(batch, Batch):
        return batch.image
    if isinstance(batch, dict):
        batch = batch.get("image")
    if isinstance(batch, (tuple, list)):
        batch = next((part for part in batch if isinstance(part, Tensor)), None)
    return batch if isinstance(batch, Tensor) else None


def _not_finite(image: Tensor) -> Tensor | None:
    return ~torch.isfinite(image).flatten(1).all(1) if image.is_floating_point() else None


def _outside(image: Tensor) -> Tensor | None:
    return ~((image >= 0) & (image <= 1)).flatten(1).all(1) if image.is_floating_point() else None
