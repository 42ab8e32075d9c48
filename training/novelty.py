"""Whether a generator of tables begins to copy: made rows against training rows, by distances."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.data.tables import TableDataset
from torchaug.evaluate.features import TableFeatures
from torchaug.keys import normal, sample_keys, uniforms
from torchaug.models.table_codec import TableCodec

LOOKED_AT = 1000
"""Training rows whose distance to the others says what is usual, at most."""
SURPRISING = 3.0
"""Standard deviations by which made rows must be nearer than usual: of few rows and columns the medians say little."""


class Distance(NamedTuple):
    """How near made rows are to training rows.

    Args:
        ratio: the median distance to the nearest one over what is usual: about 1 where rows are new, 0 where they are copies.
        deviations: how much more often than half the time a made row is the nearer one, in standard deviations of the
            Wilcoxon-Mann-Whitney statistic.
    """

    ratio: float
    deviations: float

    def copies(self, novelty: float) -> bool:
        """Whether rows are so near that it is no chance."""
        return self.ratio < novelty and self.deviations > SURPRISING


class Novelty:
    """Measures rows that are made against the rows of a training table.

    In values as they are, standardised: the ranks that a codec may encode lie on a grid, on which training rows are further
    from each other than any fresh row is from them.

    Usual is the distance of a training row to the nearest other one, which is that of a fresh row; or, where it is less, that
    of rows whose columns are drawn for themselves: of a single column no better could be made than what lies between the
    values there are.

    Args:
        table: the training rows.
        codec: of the generator.
        encoded: the training rows as it encodes them, (N, width), where rows will be made.

    >>> from torchaug.data import breast_cancer
    >>> data = breast_cancer()
    >>> train, fresh = data.subset(torch.arange(0, 569, 2)), data.subset(torch.arange(1, 569, 2))
    >>> codec = TableCodec.fit(train)
    >>> novelty = Novelty(train, codec, codec.encode(train.numeric, train.categorical))
    >>> [round(novelty.of(rows.numeric, rows.categorical).ratio, 1) for rows in (fresh, train)]
    [1.0, 0.0]
    """

    def __init__(self, table: TableDataset, codec: TableCodec, encoded: Tensor) -> None:
        self._features = TableFeatures(table.numeric, table.categorical)
        self._rows = self._features(table.tensors()).to(encoded.device)
        some = self._rows[:: -(-len(self._rows) // LOOKED_AT)]
        fresh = distances(some, self._rows).kthvalue(min(2, len(self._rows)), dim=1).values
        apart = self._nearest(*drawn_apart(codec, encoded, len(some)))
        self._usual = min(fresh, apart, key=lambda found: float(found.median()))

    def of(self, numeric: Tensor, categorical: Tensor) -> Distance | None:
        """The distance of rows (B, F) and (B, K); None where half of the training rows are there more than once."""
        usual, made = self._usual, self._nearest(numeric, categorical)
        if not float(usual.median()):
            return None
        nearer = (made[:, None] < usual).double() + (made[:, None] == usual).double() / 2
        count, others = nearer.shape
        deviation = ((count + others + 1) / (12 * count * others)) ** 0.5
        return Distance(float(made.median() / usual.median()), float(nearer.mean() - 0.5) / deviation)

    def _nearest(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Of each row the distance to the nearest training row."""
        return distances(self._features({"numeric": numeric, "categorical": categorical}), self._rows).amin(1)


def drawn_apart(codec: TableCodec, encoded: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Rows (count, F) and (count, K) that a generator would make which knows each column and nothing of the others.

    Args:
        codec: of the training rows.
        encoded: these, (N, width).
        count: of rows.
    """
    names = list(dict.fromkeys(block.name for block in codec.blocks))
    u = uniforms(sample_keys(torch.arange(count, device=encoded.device)), len(codec.blocks) + len(names))
    rows = (u[:, len(codec.blocks) :] * len(encoded)).long()  # of each column another
    parts = [
        normal(u[:, place, None])
        if block.kind == "number"
        else encoded[rows[:, names.index(block.name)]][:, block.slice]
        for place, block in enumerate(codec.blocks)
    ]
    return codec.decode(torch.cat(parts, 1))


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Between each two rows; not by way of products, which lose small ones."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
