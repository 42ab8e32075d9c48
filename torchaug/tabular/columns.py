"""What a training set tells about its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

Numbers = TypeVar("Numbers", Tensor, "np.ndarray[Any, Any]")


class Table(Protocol):
    """What is fitted to: a `torchaug.data.TableDataset`, or anything with these attributes."""

    @property
    def numeric(self) -> Tensor:
        """(N, F) float64 numbers, NaN where missing."""

    @property
    def categorical(self) -> Tensor:
        """(N, K) int64 codes of categories."""

    @property
    def columns(self) -> Sequence[Any]:
        """The F numeric columns and then the K categorical ones: `torchaug.data.Column`."""

    @property
    def labels(self) -> Tensor | None:
        """(N,) int64 class numbers."""

    @property
    def classes(self) -> Sequence[str] | None:
        """A name for each class."""


def deviations(table: Table) -> list[float]:
    """The standard deviation of each numeric column, of what is not missing; 0 of one number or none."""
    return [float(known.std(correction=0)) if len(known) else 0.0 for known in _known(table)]


def means(table: Table) -> list[float]:
    """The mean of each numeric column, of what is not missing; 0 where all is missing."""
    return [float(known.mean()) if len(known) else 0.0 for known in _known(table)]


def decimals(table: Table) -> list[int | None]:
    """Digits after the point that each numeric column fits into; None: any."""
    return [getattr(column, "decimals", None) for column in table.columns[: table.numeric.shape[1]]]


def grids(table: Table) -> list[tuple[float, float] | None]:
    """The step and the offset of the grid that each numeric column lies on; None: none coarser than its decimals."""
    return [getattr(column, "grid", None) for column in table.columns[: table.numeric.shape[1]]]


def on_grid(values: Numbers, grid: tuple[float, float]) -> Numbers:
    """Numbers as the nearest multiples of a step, plus an offset.

    >>> on_grid(torch.tensor([160.0, 180.0]), (100.0, 20.0))
    tensor([120., 220.])
    """
    step, offset = grid
    multiples: Numbers = ((values - offset) / step).round()
    return multiples * step + offset


def stand_ins(table: Table) -> list[int]:
    """The code of each categorical column that says the least: that of missing values, or else the most frequent one."""
    codes = []
    for column, values in zip(table.columns[table.numeric.shape[1] :], table.categorical.T, strict=True):
        known = list(column.categories)
        codes.append(known.index(None) if None in known else int(values.bincount().argmax()))
    return codes


def width_of(table: Table) -> int:
    """The number of columns."""
    return table.numeric.shape[1] + table.categorical.shape[1]


def _known(table: Table) -> list[Tensor]:
    return [column[~column.isnan()] for column in table.numeric.to(torch.float64).T]
