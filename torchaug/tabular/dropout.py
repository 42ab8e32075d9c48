"""Values of tables that go missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image.arguments import finite, is_one
from torchaug.keys import dense_uniforms
from torchaug.tabular.columns import Table, means, stand_ins
from torchaug.tabular.kinds import Rows, chance_of, chances, there
from torchaug.transform import Sizes


class FeatureDropout(Rows):
    """Replace some values by what stands for a missing one, each with a chance of its own.

    Args:
        fill: for each of the F + K columns what dropped values become: a number, a code, or None for NaN.
        chance: that a value is dropped; one for all columns, or one for each.
        p: chance per sample.

    Parameters per sample: which columns are dropped.

    >>> FeatureDropout(fill=[None, 2], chance=1.0)(torch.tensor([[0.5, 1.0]]))
    tensor([[nan, 2.]])
    """

    uniforms = 2

    def __init__(self, fill: Sequence[float | None], chance: float | Sequence[float] = 0.1, p: float = 1.0) -> None:
        super().__init__(p)
        if isinstance(fill, str) or not fill or not all(each is None or is_one(each) for each in fill):
            raise ValueError(
                f"FeatureDropout: fill must be a finite number or None for each column, got {fill!r}; "
                "FeatureDropout.fit(table) finds it"
            )
        self.fill = tuple(fill)
        self.width = len(self.fill)
        self.chance = chance_of(chance, "FeatureDropout", len(self.fill))
        values = [math.nan if each is None else each for each in self.fill]
        self.register_buffer("_fill", torch.tensor(values, dtype=torch.float64), persistent=False)
        self.register_buffer("_chance", chances(self.chance, len(self.fill)), persistent=False)

    _fill: Tensor
    _chance: Tensor

    @classmethod
    def fit(
        cls, table: Table, fill: str | float = "missing", chance: float | Sequence[float] = 0.1, p: float = 1.0
    ) -> FeatureDropout:
        """For tables like this training set.

        Args:
            table: the training set.
            fill: what numbers become: "missing" (NaN), "mean" (of the column), or a number. Categories become the code of
                missing values, or the most frequent one where the column has none.
            chance: see the class.
            p: see the class.

        >>> from torchaug.data import wine
        >>> round(FeatureDropout.fit(wine(), fill="mean").fill[0], 2)
        13.0
        """
        count = table.numeric.shape[1]
        if fill == "missing":
            numbers: list[float | None] = [None] * count
        elif fill == "mean":
            numbers = [*means(table)]
        elif is_one(fill):
            numbers = finite(fill) * count  # type: ignore[assignment]
        else:
            raise ValueError(f"FeatureDropout.fit: fill must be 'missing', 'mean' or a number, got {fill!r}")
        return cls([*numbers, *stand_ins(table)], chance, p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"dropped": self._dropped(u)}

    def _dropped(self, u: Tensor) -> Tensor:
        gate = dense_uniforms(u, (len(self.fill),))
        return gate < there(self._chance, gate)

    def rows(self, table: Tensor, u: Tensor) -> Tensor:
        return torch.where(self._dropped(u), there(self._fill, table), table)
