"""SMOTE: synthetic rows between a row and one of its nearest neighbours of the same class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from torchaug.image.arguments import whole
from torchaug.keys import dense_uniforms, integers, uniforms
from torchaug.tabular.columns import Table, decimals, grids, on_grid
from torchaug.tabular.kinds import blend
from torchaug.tabular.neighbours import Points, as_points, category_gap, nearest


class Neighbourhood(NamedTuple):
    """Where synthetic rows of a class come from, as places in the training set."""

    rows: Tensor
    """(n,) int64: rows to start from."""
    neighbours: Tensor
    """(n, k) int64: the neighbours of each, nearest first."""


class SMOTE(nn.Module):
    """Synthetic rows of a training set (Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", 2002).

    A row of the wanted class and one of its nearest neighbours in that class are drawn, and a place on the segment between
    them, all by the sample's key. Categories are those that most of the row's neighbours have (SMOTE-NC); where several are
    as frequent, one of them is drawn. A number that one of the two rows lacks is the other's or missing, by their shares.
    Numbers are rounded to their column's decimals and grid. Every synthetic row lies close to real ones: it is a baseline for
    generators, and no way to keep data private. `torchaug.training.resampler.Resampler` makes banks with it.

    Neighbours are found when a class is first asked for, where the table is or on `device`, in time that grows with the
    square of the class.

    Args:
        table: the training set, a `torchaug.data.TableDataset` or the like (`Table`). Without labels it is one class.
        k_neighbors: how many neighbours are drawn from; all others where a class has fewer.
        standardize: distances in units of each column's standard deviation; False: in the numbers' own.
        device: to work on; None: where the table is.

    Attributes:
        classes: names of the classes; [] without labels.
        shares: the share of each class in the training set; None without labels.

    Shape: `make`: labels and keys (B,) int64 to (B, F + K) float64.

    >>> from torchaug.data import wine
    >>> rows = SMOTE(wine()).make(torch.tensor([2, 0]), torch.tensor([5, 7]))["table"]
    >>> rows.shape, rows.dtype
    (torch.Size([2, 13]), torch.float64)
    """

    numeric: Tensor
    categorical: Tensor
    row_labels: Tensor

    def __init__(
        self,
        table: Table,
        *,
        k_neighbors: int = 5,
        standardize: bool = True,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__()
        self.k_neighbors = whole(k_neighbors, type(self).__name__, "k_neighbors", 1)
        self.standardize = standardize
        labels = table.labels
        self.classes = [] if labels is None else list(table.classes or [])
        device = table.numeric.device if device is None else torch.device(device)
        self.register_buffer("numeric", table.numeric.to(device, torch.float64))
        self.register_buffer("categorical", table.categorical.to(device))
        none = torch.zeros(len(self.numeric), dtype=torch.int64)
        self.register_buffer("row_labels", (none if labels is None else labels).to(device))
        self.shares = None if labels is None else (labels.bincount(minlength=len(self.classes)) / len(labels)).tolist()
        self.decimals, self.grids = decimals(table), grids(table)
        self._found: dict[int, Neighbourhood] = {}

    def make(self, labels: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Rows of labels (B,) and keys (B,), both int64: {"table": (B, F + K) float64}. Row i depends on row i alone.

        Raises:
            ValueError: labels and keys of another form, or a class that does not exist or has too few rows.
        """
        if labels.ndim != 1 or keys.shape != labels.shape or not labels.dtype == keys.dtype == torch.int64:
            raise ValueError(
                f"{self._who}: labels and keys must be int64 of shape (B,), got {labels.dtype} {tuple(labels.shape)} and "
                f"{keys.dtype} {tuple(keys.shape)}"
            )
        made = self.numeric.new_empty(len(labels), self.numeric.shape[1] + self.categorical.shape[1])
        for number in labels.unique().tolist():
            rows = (labels == number).nonzero()[:, 0]
            made[rows] = self._made(number, keys[rows])
        return {"table": made}

    def neighbourhood(self, label: int) -> Neighbourhood:
        """The rows of a class that synthetic ones start from, and the neighbours of each.

        >>> from torchaug.data import wine
        >>> SMOTE(wine(), k_neighbors=3).neighbourhood(2).neighbours.shape
        torch.Size([48, 3])
        """
        if not 0 <= label < max(1, len(self.classes)):
            raise ValueError(f"{self._who}: labels must be 0 to {max(1, len(self.classes)) - 1}, got {label}")
        found = self._found.get(label)
        if found is None or found.rows.device != self.numeric.device:
            points = as_points(self.numeric, self.categorical, self.standardize)
            own = (self.row_labels == label).nonzero()[:, 0]
            found = self._find(points, own, label) if len(own) > 1 else Neighbourhood(own[:0], own[:0, None])
            if not len(found.rows):
                raise ValueError(self._nothing(self.classes[label] if self.classes else "the table"))
            self._found[label] = found
        return found

    @property
    def _who(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        return f"k_neighbors={self.k_neighbors}, standardize={self.standardize}"

    def _find(self, points: Points, own: Tensor, label: int) -> Neighbourhood:
        """The neighbourhood of a class with the rows `own` (n,), at least two."""
        pool = points.at(own)
        places = torch.arange(len(own), device=own.device)
        near = nearest(pool, places, pool, min(self.k_neighbors, len(own) - 1), category_gap(pool.numbers))
        return Neighbourhood(own, own[near])

    def _made(self, label: int, keys: Tensor) -> Tensor:
        """Rows of a class, (n, F + K) float64."""
        rows, neighbours = self.neighbourhood(label)
        u = uniforms(keys, 5)
        place = integers(u[:, 0], 0, len(rows))
        around = neighbours[place]
        other = around.gather(1, integers(u[:, 1], 0, around.shape[1])[:, None])[:, 0]
        step = self._step(u[:, 2].double(), label, other)[:, None]
        first = self.numeric.shape[1]
        coins = dense_uniforms(u[:, 3:], (first + around.shape[1] * self.categorical.shape[1],))
        numbers = blend(self.numeric[rows[place]], self.numeric[other], 1 - step, coins[:, :first])
        return torch.cat([self._rounded(numbers), self._vote(around, coins[:, first:]).double()], 1)

    def _step(self, u: Tensor, label: int, other: Tensor) -> Tensor:
        """How far (B,) from the row to its neighbour `other` (B,)."""
        return u

    def _vote(self, around: Tensor, ties: Tensor) -> Tensor:
        """(B, K) the most frequent codes among neighbours (B, k)."""
        codes = self.categorical[around]  # (B, k, K)
        votes = (codes[:, :, None] == codes[:, None]).sum(2)  # of each neighbour's code
        best = (votes + ties.view(votes.shape)).argmax(1, keepdim=True)  # as many chances as votes: ties are fair
        return codes.gather(1, best)[:, 0]

    def _rounded(self, numbers: Tensor) -> Tensor:
        columns = [
            column if digits is None else column.round(decimals=digits)
            for column, digits in zip(numbers.T, self.decimals, strict=True)
        ]
        columns = [
            column if grid is None else on_grid(column, grid) for column, grid in zip(columns, self.grids, strict=True)
        ]
        return torch.stack(columns, 1) if columns else numbers

    def _nothing(self, name: str) -> str:
        return f"{self._who}: expected at least two rows of {name!r} in the training set to lie between, got fewer"
