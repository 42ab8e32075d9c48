"""SMOTE: synthetic rows between a row and one of its nearest neighbours of the same class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torchaug.image.arguments import whole
from torchaug.keys import dense_uniforms, integers, uniforms
from torchaug.tabular.columns import Table, decimals
from torchaug.tabular.kinds import blend
from torchaug.tabular.neighbours import Points, as_points, category_gap, nearest


class SMOTE(nn.Module):
    """Synthetic rows of a training set (Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", 2002).

    A row of the wanted class and one of its nearest neighbours in that class are drawn, and a place on the segment between
    them, all by the sample's key. Categories are those that most of the row's neighbours have (SMOTE-NC); where several are
    as frequent, one of them is drawn. A number that one of the two rows lacks is the other's or missing, by their shares.
    Numbers are rounded to their column's decimals. Every synthetic row lies close to real ones: it is a baseline for
    generators, and no way to keep data private. `torchaug.training.resampler.Resampler` makes banks with it.

    Neighbours are found once, where the table is or on `device`, in time and memory that grow with the square of the class
    and with its size.

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
    base: Tensor  # (M,) rows to start from, class by class
    neighbours: Tensor  # (M, k) rows
    starts: Tensor  # (C,) the first place of each class in `base`
    counts: Tensor  # (C,) how many places it has
    reach: Tensor  # (C,) how many neighbours its rows have

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
        self.shares = None if labels is None else (self._sizes() / len(labels)).tolist()
        self._decimals = decimals(table)
        self._find()

    def make(self, labels: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Rows of labels (B,) and keys (B,), both int64: {"table": (B, F + K) float64}. Row i depends on row i alone.

        Raises:
            ValueError: labels and keys of another form, or a class that does not exist or has too few rows.
        """
        self._check(labels, keys)
        u = uniforms(keys, 5)
        place = self.starts[labels] + integers(u[:, 0], 0, self.counts[labels])
        rows, around = self.base[place], self.neighbours[place]
        other = around.gather(1, integers(u[:, 1], 0, self.reach[labels])[:, None])[:, 0]
        step = self._step(u[:, 2].double(), labels, other)[:, None]
        coins = dense_uniforms(u[:, 3:], (self.numeric.shape[1] + self.k_neighbors * self.categorical.shape[1],))
        numbers, ties = coins.tensor_split([self.numeric.shape[1]], dim=1)
        made = blend(self.numeric[rows], self.numeric[other], 1 - step, numbers)
        codes = self._vote(around, self.reach[labels], ties)
        return {"table": torch.cat([self._rounded(made), codes.double()], 1)}

    @property
    def _who(self) -> str:
        return type(self).__name__

    def _sizes(self) -> Tensor:
        """(C,) rows of each class."""
        return self.row_labels.bincount(minlength=max(1, len(self.classes)))

    def _find(self) -> None:
        """Find the rows to start from and their neighbours."""
        points = as_points(self.numeric, self.categorical, self.standardize)
        parts = [self._of_class(points, number) for number in range(len(self._sizes()))]
        counts = torch.tensor([len(base) for base, _ in parts])
        found = {
            "base": torch.cat([base for base, _ in parts]),
            "neighbours": torch.cat(
                [nn.functional.pad(near, (0, self.k_neighbors - near.shape[1])) for _, near in parts]
            ),
            "starts": counts.cumsum(0) - counts,
            "counts": counts,
            "reach": torch.tensor([near.shape[1] for _, near in parts]),
        }
        for name, values in found.items():
            self.register_buffer(name, values.to(self.numeric.device))

    def _of_class(self, points: Points, number: int) -> tuple[Tensor, Tensor]:
        """The rows of a class to start from (n,), and the neighbours of each (n, at most k): none where it is too small."""
        own = (self.row_labels == number).nonzero()[:, 0]
        if len(own) < 2:
            return own[:0], own[:0, None].expand(0, 0)
        pool = points.at(own)
        near = nearest(
            pool, torch.arange(len(own), device=own.device), pool, self._k(len(own)), category_gap(pool.numbers)
        )
        return own, own[near]

    def _k(self, rows: int) -> int:
        return min(self.k_neighbors, rows - 1)

    def _step(self, u: Tensor, labels: Tensor, other: Tensor) -> Tensor:
        """How far (B,) from the row to its neighbour `other` (B,)."""
        return u

    def _vote(self, around: Tensor, reach: Tensor, ties: Tensor) -> Tensor:
        """(B, K) the most frequent codes among neighbours (B, k), of which the first `reach` (B,) count."""
        codes = self.categorical[around]  # (B, k, K)
        counts = (torch.arange(self.k_neighbors, device=reach.device) < reach[:, None])[:, :, None]
        votes = ((codes[:, :, None] == codes[:, None]) & counts[:, None]).sum(2)  # (B, k, K): of each neighbour's code
        score = torch.where(counts, votes + ties.view(votes.shape), -1)  # as many chances as votes: ties are fair
        return codes.gather(1, score.argmax(1, keepdim=True))[:, 0]

    def _rounded(self, numbers: Tensor) -> Tensor:
        columns = [
            column if digits is None else column.round(decimals=digits)
            for column, digits in zip(numbers.T, self._decimals, strict=True)
        ]
        return torch.stack(columns, 1) if columns else numbers

    def _check(self, labels: Tensor, keys: Tensor) -> None:
        if labels.ndim != 1 or keys.shape != labels.shape or not labels.dtype == keys.dtype == torch.int64:
            raise ValueError(
                f"{self._who}: labels and keys must be int64 of shape (B,), got {labels.dtype} {tuple(labels.shape)} and "
                f"{keys.dtype} {tuple(keys.shape)}"
            )
        for number in labels.unique().tolist():
            if not 0 <= number < len(self.counts):
                raise ValueError(f"{self._who}: labels must be 0 to {len(self.counts) - 1}, got {number}")
            if not self.counts[number]:
                raise ValueError(self._nothing(self.classes[number] if self.classes else "the table"))

    def _nothing(self, name: str) -> str:
        return f"{self._who}: expected at least two rows of {name!r} in the training set to lie between, got fewer"
