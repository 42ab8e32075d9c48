"""Training of generators with differential privacy: noisy steps of whatever sees real rows, and a ledger of their cost."""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from torchaug.keys import hash_int
from torchaug.models.accountant import noise_for, spent
from torchaug.models.privacy import (
    Parameters,
    Privacy,
    RowLoss,
    counted_shares,
    poisson_rows,
    private_gradients,
)
from torchaug.training.data import Loadable, SynthesisDataModule
from torchaug.training.unchanged import unchanged

COUNTING = 20.0
"""Classes are counted with noise of this over epsilon: about a hundredth of the training's noise pays for it."""
CHUNK = 64
"""Rows whose gradients are in memory at once."""
FEW_ROWS, SMALL_EPSILON = 10_000, 3.0
_RESOLUTION = 2.0**24
"""Of the uniforms that say which rows a step takes."""


class PoissonSteps(IterableDataset[dict[str, Tensor]]):
    """The batch of each step without an end: every row with chance `rate`, none of them sometimes."""

    def __init__(self, tensors: dict[str, Tensor], rate: float, secret: int, start: int) -> None:
        self.tensors, self.rate, self.secret, self.start = tensors, rate, secret, start

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        count, step = len(next(iter(self.tensors.values()))), self.start
        while True:
            rows = poisson_rows(count, self.rate, hash_int(self.secret, step, 0))
            yield {name: tensor[rows] for name, tensor in self.tensors.items()} | {"index": rows}
            step += 1


class PrivateData(SynthesisDataModule):
    """Batches for a training with differential privacy, and what it costs.

    Public, and so not protected: how many rows there are, their shape, the names of classes, the number of grey levels.

    Args:
        dataset: what to learn from; it is held in memory.
        privacy: what to keep to.
        steps: of the whole training; the noise is the least that keeps them within `privacy`.
        batch_size: rows of a step on average.
        seed: of nothing that is secret.

    Attributes:
        rate: chance of a row to be in a step.
        noise: deviation of the noise over `privacy.max_norm`.

    Raises:
        ValueError: an epsilon that no noise reaches; more rows in a step than there are.
    """

    def __init__(
        self,
        dataset: Loadable,
        privacy: Privacy,
        steps: int,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(dataset, batch_size, 0.0, seed, "none")
        self.privacy, self.steps, self.count = privacy, steps, len(self.train)
        if batch_size > self.count:
            raise ValueError(f"PrivateData: batch_size must be at most the {self.count} rows, got {batch_size}")
        classes = 1 if self.train.labels is None else len(self.train.classes)
        if privacy.shares is not None and len(privacy.shares) != classes:
            raise ValueError(
                f"PrivateData: shares must be those of the {classes} classes, got {len(privacy.shares)}: {privacy.shares}"
            )
        self.rate = math.ceil(batch_size / self.count * _RESOLUTION) / _RESOLUTION
        self.secret = secrets.randbits(62) if privacy.secret is None else privacy.secret
        public = self.train.labels is None or privacy.shares is not None
        self.counted = None if public else COUNTING / privacy.epsilon
        self.noise = noise_for(privacy.epsilon, privacy.delta, self.rate, steps, counted=self.counted)
        if privacy.delta >= 1 / self.count:
            warnings.warn(
                f"PrivateData: delta {privacy.delta:g} is no less than one over the {self.count} rows: who gives away a row at "
                "random would keep to it; pass one well below",
                stacklevel=2,
            )
        if self.count < FEW_ROWS and privacy.epsilon <= SMALL_EPSILON:
            warnings.warn(
                f"PrivateData: {self.count} rows at epsilon {privacy.epsilon:g}: the noise is {self.noise:.1f} times what "
                "a row may add, and samples will show little more than averages; expect use from 10,000 rows on",
                stacklevel=2,
            )

    def epsilon(self, step: int) -> float:
        """What the first `step` steps have cost."""
        return spent(self.noise, self.rate, step, self.privacy.delta, counted=self.counted)

    def card(self, step: int) -> dict[str, Any]:
        """What a checkpoint and its banks say of the privacy, as JSON."""
        return {
            "epsilon": self.epsilon(step),
            "delta": self.privacy.delta,
            "target": self.privacy.epsilon,
            "max_norm": self.privacy.max_norm,
            "noise": self.noise,
            "rate": self.rate,
            "steps": self.steps,
        }

    @cached_property
    def trained_items(self) -> Any:
        """None: hashes of rows would tell who is among them."""
        return None

    @cached_property
    def trained_on(self) -> Any:
        """None: so would a hash of all of them, to who knows the others."""
        return None

    @cached_property
    def shares(self) -> list[float]:
        """The share of each class: public, or counted with noise."""
        if self.train.labels is None:
            return [1.0]
        if self.privacy.shares is not None:
            return list(self.privacy.shares)
        assert self.counted is not None
        return counted_shares(self.train.labels, len(self.train.classes), self.counted, hash_int(self.secret, -1))

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Poisson-sampled batches without an end, from the step that the trainer has reached."""
        tensors = self.train.tensors() | ({} if self.train.labels is None else {"label": self.train.labels})
        done = 0 if self.trainer is None else self.trainer.global_step
        return DataLoader(PoissonSteps(tensors, self.rate, self.secret, done), batch_size=None)

    def gradients(self, loss: RowLoss, parameters: Parameters, rows: Any, step: int) -> Parameters:
        """The gradients of a step, at the one cost that `epsilon` counts for it: call it once a step."""
        return private_gradients(
            loss,
            parameters,
            rows,
            max_norm=self.privacy.max_norm,
            noise_multiplier=self.noise,
            expected=self.rate * self.count,
            key=hash_int(self.secret, step, 1),
            chunk=CHUNK,
        )


def resume_private(label: dict[str, Any], data: SynthesisDataModule, file: Path) -> None:
    """Refuses to go on from a checkpoint of other privacy, and takes over what was counted: to count again would cost.

    Args:
        label: what the checkpoint says of itself.
        data: what the training goes on with.
        file: of the checkpoint, for messages.
    """
    before, now = label.get("privacy"), data.card(0) if isinstance(data, PrivateData) else None
    planned = [None if card is None else {**card, "epsilon": None} for card in (before, now)]
    unchanged(f"fit: {file}", {"privacy": planned[0]}, {"privacy": planned[1]})
    if isinstance(data, PrivateData):
        data.shares = label["shares"]
