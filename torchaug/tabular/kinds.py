"""The kind of transforms of tables, and what they have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image.arguments import finite, is_one, number
from torchaug.transform import Transform


class Rows(Transform):
    """A transform of the rows of a table, whose labels stay. A concrete one writes `rows`.

    >>> class Clip(Rows):
    ...     def rows(self, table, u):
    ...         return table.clamp(max=1.0)
    >>> Clip()(torch.tensor([[0.5, 3.0]]))
    tensor([[0.5000, 1.0000]])

    Args:
        p: chance per sample.
    """

    takes = "table"
    width: int | None = None
    """Columns that a table must have; None: any number."""

    @abstractmethod
    def rows(self, table: Tensor, u: Tensor) -> Tensor:
        """The transformed rows (B, F + K), in their dtype, from `u` (B, uniforms). Samples that are not chosen stay."""

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        table = table_of(batch, self, self.width)
        return batch.replace(table=torch.where(chosen[:, None], self.rows(table, u), table))


def table_of(batch: Batch, step: Transform, columns: int | None = None, least: int = 0) -> Tensor:
    """The batch's table, or an error that names the step.

    Args:
        batch: with a table.
        step: that wants it.
        columns: that it must have; None: any number.
        least: columns that it must have at least.
    """
    who, table = type(step).__name__, batch.table
    if table is None:
        raise TypeError(
            f"{who}: expected a table: a tensor (B, columns), or a dict with 'table', (columns,) for one sample; got "
            f"{[*batch.present()]}"
        )
    found = table.shape[1]
    if found < least or columns not in (None, found):
        wanted = f"at least {least}" if columns is None else str(columns)
        raise ValueError(
            f"{who}: table must have {wanted} columns, as the one it was made for, got {found}; fit it to this table"
        )
    return table


def there(values: Tensor, like: Tensor) -> Tensor:
    """Numbers of a module's buffer beside `like`, in its dtype. Where the module was not moved to the device the copy is
    small and waits for nothing.
    """
    return values.to(like.device, like.dtype, non_blocking=True)


Chance = float | tuple[float, ...]
"""One for all columns, or one for each."""


def chance_of(value: float | Sequence[float], who: str, columns: int) -> Chance:
    """A chance for all of the columns, or one for each."""
    if is_one(value):
        return number(value, who, "chance", 0, 1)  # type: ignore[arg-type]
    values = finite(value)
    if len(values) != columns or not all(0 <= each <= 1 for each in values):
        raise ValueError(f"{who}: chance must be in [0, 1], one or {columns}, one for each column, got {value!r}")
    return tuple(float(each) for each in values)


def chances(chance: Chance, columns: int) -> Tensor:
    """(columns,) float32."""
    return torch.tensor(chance if isinstance(chance, tuple) else [chance] * columns)


def blend(own: Tensor, other: Tensor, share: Tensor, u: Tensor) -> Tensor:
    """Numbers (B, F) between two rows; where one of them is missing, either is taken, by its share.

    Args:
        own, other: (B, F), NaN where missing.
        share: (B, 1), of its own.
        u: (B, F) uniforms.
    """
    mixed = own * share + other * (1 - share)
    missing = own.isnan() | other.isnan() | (share == 1)  # all its own: bit-equal, infinities too
    return torch.where(missing, torch.where(u < share, own, other), mixed)
