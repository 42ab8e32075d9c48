"""Table generators trained with differential privacy, on a codec that knows public bounds and no row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from torchaug.data.tables import Column, TableDataset
from torchaug.keys import fold_in, uniforms
from torchaug.models.latents import latents
from torchaug.models.table_vae import TabularVAE
from torchaug.training.data import InMemory
from torchaug.training.generator import KeyedAugment, LitGenerator
from torchaug.training.private_images import PrivateGAN, PrivateVAE
from torchaug.training.private_steps import OneNoisyLoss
from torchaug.training.table import LitTableDiffusion, LitTableVAE
from torchaug.training.table_base import LitTable, table_in

Bounds = Mapping[str, tuple[float, float]]
ROWS = 1001


def public_table(data: TableDataset, bounds: Bounds) -> TableDataset:
    """Rows that tell of no row of `data`: numbers evenly spaced between bounds, each category in turn, all of it twice.

    Once, the numbers would look like ids.

    Public, and so taken from the table: names, categories, decimals, and which columns may be missing values. Not whether
    whole numbers are all hundreds, or times all midnights: one row can change that.

    Args:
        data: the private table.
        bounds: lowest and highest value of each numeric column, known without looking at the rows. Values outside count
            as the ends.

    Raises:
        ValueError: a column without bounds, or bounds that are none.

    >>> numbers = torch.tensor([[31.0], [90.0]], dtype=torch.float64)
    >>> age = Column.of_numbers("age", numbers[:, 0].numpy())
    >>> data = TableDataset(numbers, torch.zeros(2, 0, dtype=torch.int64), [age])
    >>> public_table(data, {"age": (0, 120)}).columns[0].high
    120.0
    """
    count = data.numeric.shape[1]
    numeric, others = data.columns[:count], data.columns[count:]
    names = {column.name for column in numeric}
    if names != set(bounds) or not all(low < high for low, high in bounds.values()):
        raise ValueError(
            f"privacy: expected bounds of {', '.join(sorted(names))}, lower before upper, got {dict(bounds)}; quantiles and "
            "mixtures tell of rows, so pass settings={'bounds': {column: (low, high)}}, or --bounds, with values known beforehand"
        )
    rows = max([ROWS, *(len(column.categories) for column in others)])
    spread = [_spread(column, *bounds[column.name], rows) for column in numeric]
    codes = [torch.arange(rows) % len(column.categories) for column in others]
    columns = [replace(c, low=float(bounds[c.name][0]), high=float(bounds[c.name][1]), grid=None) for c in numeric]
    numbers = (torch.stack(spread, 1) if spread else torch.zeros(rows, 0, dtype=torch.float64)).repeat(2, 1)
    numbers[0, data.numeric.isnan().any(0)] = torch.nan  # the lowest value is there once more
    return TableDataset(
        numbers,
        (torch.stack(codes, 1) if codes else torch.zeros(rows, 0, dtype=torch.int64)).repeat(2, 1),
        [*columns, *others],
        classes=data.classes,
        name=data.name,
        label=data.label,
        group=data.group,
        schema=data.schema,
    )


def _spread(column: Column, low: float, high: float, rows: int) -> Tensor:
    values = torch.from_numpy(np.linspace(low, high, rows))
    return values if column.decimals is None else values.round(decimals=column.decimals)


class PrivateTable(OneNoisyLoss, LitTable):
    """What private table generators share: public bounds, every row as it was drawn, and no look at how near samples are.

    `settings` must have "bounds", see `public_table`. Values are not asked for by column, since that would draw rows by
    their values: samples are of a class alone.
    """

    @classmethod
    def for_data(
        cls,
        data: InMemory,
        steps: int,
        *,
        augment: KeyedAugment | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        """A generator to train on this table, whose codec is that of `public_table`."""
        chosen = dict(settings or {})
        public = public_table(table_in(data, cls.__name__), chosen.pop("bounds", {}))
        fixed = {"encoding": "standard", "given_share": 0.0, "novelty": 0.0}
        other = [name for name in fixed if name in chosen]
        if other:
            raise ValueError(
                f"{cls.__name__}: expected no {', '.join(other)}, which would look at rows beside the account"
            )
        return super().for_data(public, steps, augment=augment, seed=seed, settings={**chosen, **fixed})

    def on_fit_start(self) -> None:
        """Nothing: the table is not looked at as a whole."""

    def rows_of(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Encoded rows, their labels and that no value is asked for."""
        rows = self.model.codec.encode(batch["numeric"], batch["categorical"]).to(self.dtype)
        nothing = torch.zeros_like(batch["index"])
        return rows, batch.get("label", nothing), nothing

    def averaged(self, count: int, done: int) -> None:
        """The averaged weights follow."""
        self.ema.update(self.model, count)


class PrivateTableVAE(PrivateTable, LitTableVAE):
    """A `LitTableVAE` whose every step is noisy; checkpoints load as that."""

    def on_train_start(self) -> None:
        """Refuses to train on what it could not account for."""
        self.account(self.model, lambda model, *rows: model.loss(*rows)[0])

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The noisy gradients of the loss."""
        assert isinstance(self.model, TabularVAE)
        rows = self.rows_of(batch)
        noise = latents(fold_in(self.row_keys(batch), 2), self.model.latent, rows[0].dtype)
        return self.noisy((*rows, noise), self.hparams["beta"] * min(1.0, 5 * self.progress))


class PrivateTableDiffusion(PrivateTable, LitTableDiffusion):
    """A `LitTableDiffusion` whose every step is noisy; checkpoints load as that."""

    def on_train_start(self) -> None:
        """Refuses to train on what it could not account for."""
        self.account(self.model, lambda model, *rows: model.loss(*rows).mean())

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The noisy gradients of the loss, each row at a time of its own."""
        rows, keys = self.rows_of(batch), self.row_keys(batch)
        noise = latents(fold_in(keys, 3), self.model.codec.width, rows[0].dtype)
        return self.noisy((*rows, uniforms(fold_in(keys, 2), 1)[:, 0].to(noise), noise))


PRIVATE: dict[str, type[LitGenerator]] = {
    module.kind: module for module in (PrivateVAE, PrivateGAN, PrivateTableVAE, PrivateTableDiffusion)
}
"""The kinds that can be trained with privacy."""
