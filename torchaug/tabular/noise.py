"""Noise for tables: normal numbers added, and values of other rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image.arguments import finite, whole, within
from torchaug.image.mix import ranked
from torchaug.keys import dense_uniforms, noise, uniform
from torchaug.tabular.columns import Table, deviations, width_of
from torchaug.tabular.kinds import Rows, chance_of, chances, table_of, there
from torchaug.transform import Sizes


class GaussianNoise(Rows):
    """Add normal noise to numbers, in proportion to each column's standard deviation. Categories stay, NaN stays NaN.

    Args:
        std: of each of the F numeric columns in the training set; the columns after them are categories.
        sigma: noise of a sample in standard deviations: a number, or (low, high) to draw from uniformly.
        p: chance per sample.

    Parameters per sample: sigma.

    >>> GaussianNoise(std=[10.0, 0.0], sigma=0.1, p=0.0)(torch.tensor([[5.0, 1.0, 3.0]]))
    tensor([[5., 1., 3.]])
    """

    uniforms = 3

    def __init__(self, std: Sequence[float], sigma: float | Sequence[float] = 0.1, p: float = 1.0) -> None:
        super().__init__(p)
        found = finite(std)
        if len(found) != len(std) or min(found, default=0) < 0:
            raise ValueError(f"GaussianNoise: std must be finite and at least 0 for each numeric column, got {std!r}")
        self.std = tuple(map(float, found))
        self.sigma = within(sigma, "GaussianNoise", "sigma", 0)
        self.register_buffer("_std", torch.tensor(self.std, dtype=torch.float64), persistent=False)

    _std: Tensor

    @classmethod
    def fit(cls, table: Table, sigma: float | Sequence[float] = 0.1, p: float = 1.0) -> GaussianNoise:
        """For tables like this training set.

        >>> from torchaug.data import wine
        >>> len(GaussianNoise.fit(wine(), sigma=0.05).std)
        13
        """
        return cls(deviations(table), sigma, p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"sigma": uniform(u[:, 0], *self.sigma)}

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        table_of(batch, self, least=len(self.std))
        return super().transform(batch, u, chosen)

    def rows(self, table: Tensor, u: Tensor) -> Tensor:
        numbers, codes = table.tensor_split([len(self.std)], dim=1)
        scale = uniform(u[:, :1], *self.sigma).to(table.dtype) * there(self._std, table)
        return torch.cat([numbers + noise(u[:, 1:], numbers.shape[1:]) * scale, codes], 1)


class SwapNoise(Rows):
    """Replace some values by those that another row of the batch, drawn for each, has in the same column.

    The noise of denoising autoencoders for tables, which keeps each column's own distribution, of numbers and categories
    alike. Rows are told apart by their keys: what a sample becomes depends on which others are in its batch, but not on
    their order. Alone in its batch a sample stays as it is.

    Args:
        width: of the table, the number of its columns, F + K.
        chance: that a value is replaced; one for all columns, or one for each.
        p: chance per sample.

    Parameters per sample: which columns are swapped.

    >>> table = torch.arange(8.0).view(4, 2)
    >>> swapped = SwapNoise(width=2, chance=0.5)(table)
    >>> bool((swapped % 2 == torch.tensor([0.0, 1.0])).all())
    True
    """

    uniforms = 4

    def __init__(self, width: int, chance: float | Sequence[float] = 0.15, p: float = 1.0) -> None:
        super().__init__(p)
        self.width = whole(width, "SwapNoise", "width", 1)
        self.chance = chance_of(chance, "SwapNoise", self.width)
        self.register_buffer("_chance", chances(self.chance, self.width), persistent=False)

    _chance: Tensor

    @classmethod
    def fit(cls, table: Table, chance: float | Sequence[float] = 0.15, p: float = 1.0) -> SwapNoise:
        """For tables with the columns of this one.

        >>> from torchaug.data import wine
        >>> SwapNoise.fit(wine(), chance=0.1)
        SwapNoise(width=13, chance=0.1)
        """
        return cls(width_of(table), chance, p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"swapped": self._fields(u)[0]}

    def _fields(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Which values are swapped, and a uniform for the partner of each: (B, columns)."""
        gate, partner = dense_uniforms(u[:, 2:], (len(self._chance), 2)).unbind(-1)
        return gate < there(self._chance, gate), partner

    def rows(self, table: Tensor, u: Tensor) -> Tensor:
        swapped, partner = self._fields(u)
        count = max(len(table), 1)
        order = ranked(u)
        place = torch.zeros_like(order).scatter(0, order, torch.arange(len(order), device=order.device))
        steps = 1 + (partner * (count - 1)).to(torch.int64)  # never a whole turn, but where it is alone
        return torch.where(swapped, table.gather(0, order[(place[:, None] + steps) % count]), table)
