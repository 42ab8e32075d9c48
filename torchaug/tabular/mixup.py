"""Rows of a table mixed in pairs, and their labels."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image.arguments import number, whole
from torchaug.image.mix import Mix, beta
from torchaug.keys import beta_quantiles, dense_uniforms
from torchaug.tabular.columns import Table
from torchaug.tabular.kinds import blend, table_of
from torchaug.transform import Sizes


class MixUp(Mix):
    """Mix each row and its label with another's (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017).

    Numbers are lambda times their own and 1 - lambda times the other's; a category is its own with chance lambda, or else the
    other's, and so is a number that one of the two rows lacks. Labels are mixed by lambda: class numbers (B,) become soft
    labels (B, num_classes), for samples that are not chosen too; floating-point labels, soft ones or targets of a
    regression, are mixed as they are, and `weight` likewise. As in `torchaug.image.Mix`, partners are drawn by key.

    Args:
        numeric: F, the number of numeric columns; those after them are categories.
        alpha: of the Beta(alpha, alpha) law of lambda.
        num_classes: needed where labels are class numbers.
        p: chance per sample.

    Parameters per sample: lambda. `partners(u)` tells with whom.

    >>> table, label = MixUp(numeric=2, num_classes=3)(torch.rand(4, 3), torch.tensor([0, 1, 2, 0]))
    >>> table.shape, label.shape
    (torch.Size([4, 3]), torch.Size([4, 3]))
    """

    uniforms = 5
    takes = "table"

    def __init__(self, numeric: int, alpha: float = 1.0, num_classes: int | None = None, p: float = 1.0) -> None:
        super().__init__(num_classes, p)
        self.numeric = whole(numeric, "MixUp", "numeric", 0)
        self.alpha = number(alpha, "MixUp", "alpha", 0, above=True)
        self.register_buffer("quantiles", beta_quantiles(self.alpha, self.alpha), persistent=False)

    @classmethod
    def fit(cls, table: Table, alpha: float = 1.0, p: float = 1.0) -> MixUp:
        """For tables with the columns and classes of this one.

        >>> from torchaug.data import wine
        >>> MixUp.fit(wine(), alpha=0.4)
        MixUp(numeric=13, alpha=0.4, num_classes=3)
        """
        return cls(table.numeric.shape[1], alpha, None if table.classes is None else len(table.classes), p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"lambda": beta(u[:, 2], self.quantiles)}

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if not self.training:
            return batch
        table = table_of(batch, self, least=self.numeric)
        partner = self.partners(u)
        own = torch.arange(len(partner), device=partner.device)
        share = torch.where(chosen & (partner != own), beta(u[:, 2], self.quantiles), 1)
        coins = dense_uniforms(u[:, 3:], table.shape[1:])
        return batch.replace(
            table=self._mixed(table, table[partner], share[:, None], coins),
            **self.labels(batch, [(own, share), (partner, 1 - share)]),
        )

    def _mixed(self, own: Tensor, other: Tensor, share: Tensor, coins: Tensor) -> Tensor:
        split = self.numeric
        codes = torch.where(coins[:, split:] < share, own[:, split:], other[:, split:])
        numbers = blend(own[:, :split], other[:, :split], share.to(own.dtype), coins[:, :split])
        return torch.cat([numbers, codes], 1)
