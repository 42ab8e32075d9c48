"""Borderline-SMOTE: SMOTE that starts from the rows near other classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from torchaug.image.arguments import whole
from torchaug.tabular.columns import Table
from torchaug.tabular.neighbours import Points, category_gap, nearest
from torchaug.tabular.smote import SMOTE, Neighbourhood


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
    >>> len(smote.neighbourhood(1).rows), smote.make(torch.tensor([1]), torch.tensor([5]))["table"].shape
    (30, torch.Size([1, 13]))
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
        super().__init__(table, k_neighbors=k_neighbors, standardize=standardize, device=device)
        if table.labels is None:
            raise ValueError("BorderlineSMOTE: table must have labels, got none; use SMOTE")
        if kind not in ("borderline-1", "borderline-2"):
            raise ValueError(f"BorderlineSMOTE: kind must be 'borderline-1' or 'borderline-2', got {kind!r}")
        self.m_neighbors = whole(m_neighbors, "BorderlineSMOTE", "m_neighbors", 1)
        self.kind = kind

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, m_neighbors={self.m_neighbors}, kind={self.kind!r}"

    def _find(self, points: Points, own: Tensor, label: int) -> Neighbourhood:
        queries = points.at(own)
        gap = category_gap(queries.numbers)
        near = nearest(queries, own, points, min(self.m_neighbors, len(self.row_labels) - 1), gap)
        others = (self.row_labels[near] != label).sum(1)
        danger = ((2 * others >= near.shape[1]) & (others < near.shape[1])).nonzero()[:, 0]
        every = torch.arange(len(self.row_labels), device=own.device) if self.kind == "borderline-2" else own
        places = own[danger] if self.kind == "borderline-2" else danger
        near = nearest(queries.at(danger), places, points.at(every), min(self.k_neighbors, len(every) - 1), gap)
        return Neighbourhood(own[danger], every[near])

    def _step(self, u: Tensor, label: int, other: Tensor) -> Tensor:
        return torch.where(self.row_labels[other] == label, u, u / 2)

    def _nothing(self, name: str) -> str:
        return (
            f"BorderlineSMOTE: expected rows of {name!r} with half of their neighbours or more, but not all, of other classes, "
            "got none; use SMOTE"
        )
