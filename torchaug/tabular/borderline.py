"""Borderline-SMOTE: SMOTE that starts from the rows near other classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from torchaug.image.arguments import whole
from torchaug.tabular.columns import Table
from torchaug.tabular.neighbours import Points, category_gap, nearest
from torchaug.tabular.smote import SMOTE


class BorderlineSMOTE(SMOTE):
    """SMOTE from the rows in danger (Han, Wang and Mao, "Borderline-SMOTE", 2005).

    A row is in danger where at least half of its m nearest neighbours are of other classes, but not all of them: then it is
    taken for noise. Rows, categories and keys are as in `SMOTE`.

    Args:
        table: the training set, with labels.
        k_neighbors: how many neighbours are drawn from.
        m_neighbors: how many neighbours tell whether a row is in danger.
        kind: "borderline-1": neighbours to draw from are of the row's class; "borderline-2": of any class, and the way to
            those of another is gone half at most.
        standardize: distances in units of each column's standard deviation; False: in the numbers' own.
        device: to work on; None: where the table is.

    >>> from torchaug.data import wine
    >>> smote = BorderlineSMOTE(wine(), standardize=False)
    >>> smote.counts.tolist(), smote.make(torch.tensor([1]), torch.tensor([5]))["table"].shape
    ([12, 30, 32], torch.Size([1, 13]))
    """

    def __init__(
        self,
        table: Table,
        *,
        k_neighbors: int = 5,
        m_neighbors: int = 10,
        kind: Literal["borderline-1", "borderline-2"] = "borderline-1",
        standardize: bool = True,
        device: str | torch.device | None = None,
    ) -> None:
        if table.labels is None:
            raise ValueError("BorderlineSMOTE: table must have labels, got none; use SMOTE")
        if kind not in ("borderline-1", "borderline-2"):
            raise ValueError(f"BorderlineSMOTE: kind must be 'borderline-1' or 'borderline-2', got {kind!r}")
        self.m_neighbors = whole(m_neighbors, "BorderlineSMOTE", "m_neighbors", 1)
        self.kind = kind  # before `SMOTE.__init__`, which looks for the neighbours
        super().__init__(table, k_neighbors=k_neighbors, standardize=standardize, device=device)

    def _of_class(self, points: Points, number: int) -> tuple[Tensor, Tensor]:
        own = (self.row_labels == number).nonzero()[:, 0]
        if len(own) < 2:
            return own[:0], own[:0, None].expand(0, 0)
        queries = points.at(own)
        gap = category_gap(queries.numbers)
        near = nearest(queries, own, points, min(self.m_neighbors, len(self.row_labels) - 1), gap)
        others = (self.row_labels[near] != number).sum(1)
        danger = ((2 * others >= near.shape[1]) & (others < near.shape[1])).nonzero()[:, 0]
        if self.kind == "borderline-2":
            return own[danger], nearest(queries.at(danger), own[danger], points, self._k(len(self.row_labels)), gap)
        return own[danger], own[nearest(queries.at(danger), danger, queries, self._k(len(own)), gap)]

    def _step(self, u: Tensor, labels: Tensor, other: Tensor) -> Tensor:
        return torch.where(self.row_labels[other] == labels, u, u / 2)

    def _nothing(self, name: str) -> str:
        return (
            f"BorderlineSMOTE: expected rows of {name!r} with half of their neighbours or more, but not all, of other classes, "
            "got none; use SMOTE"
        )
