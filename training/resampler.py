"""SMOTE as a generator: for banks, mixing and the gate."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from torchaug.data.leaks import fingerprint, item_hashes
from torchaug.data.tables import TableDataset
from torchaug.tabular.smote import SMOTE
from torchaug.training.synthesizer import Columns, Synthesizer, check_settings


class Resampler(Synthesizer, nn.Module):
    """A `torchaug.tabular.SMOTE`, or BorderlineSMOTE, that makes samples and banks as other generators do.

    Args:
        smote: made for `table`.
        table: the training set, which banks are marked with.

    >>> from torchaug.data import wine
    >>> made = Resampler(SMOTE(wine()), wine()).sample(3, "class_1")
    >>> made.numeric.shape, made.labels.tolist()
    (torch.Size([3, 13]), [1, 1, 1])
    """

    def __init__(self, smote: SMOTE, table: TableDataset) -> None:
        super().__init__()
        same = smote.numeric.shape == table.numeric.shape and smote.numeric.cpu().allclose(
            table.numeric, equal_nan=True
        )
        if not same:
            raise ValueError(f"Resampler: table must be the one that smote was made for, got {table.name!r}")
        self.smote, self.classes = smote, smote.classes
        self.trained_on, self.trained_items = fingerprint(table), item_hashes(table)
        self._one = table.subset([0])

    @property
    def shares(self) -> list[float] | None:
        return self.smote.shares

    @property
    def device_of_samples(self) -> torch.device:
        return self.smote.numeric.device

    def digest(self) -> str:
        settings = f"{super().digest()} {self.smote!r} {self.smote.decimals}"
        if any(self.smote.grids):  # without them it is the hash that banks of older versions have
            settings += f" {self.smote.grids}"
        return hashlib.sha256(settings.encode()).hexdigest()

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings("Resampler", settings, [])
        return self.smote.make(labels, keys)

    def natural(self, columns: Columns, labels: Tensor) -> TableDataset:
        return self._one.with_table(columns["table"], labels if self.classes else None)
