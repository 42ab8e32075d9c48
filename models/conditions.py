"""Training-by-sampling: rows of a table drawn by a value of one of its columns, so that rare values are seen often enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from torchaug.data.images import check_labels
from torchaug.keys import uniforms


class Drawn(NamedTuple):
    """Rows, and what each was drawn by: all (B,) int64."""

    row: Tensor
    column: Tensor
    category: Tensor


class ConditionSampler(nn.Module):
    """Draws a column, a category of it, and a row of that category, for each key (training-by-sampling, Xu et al. 2019).

    All columns are as likely as each other, and so are all rows of a category. A batch takes a dozen operations whatever
    its size, on the device where the sampler is, and the host waits for none of them.

    Args:
        codes: (N, K) int64, the categories of N rows in K >= 1 columns; labels may be one of the columns.
        levels: how many categories each column has.
        frequency: how likely a category is: "log", in proportion to log(count + 1), or "true", to its count. A category
            without rows is never drawn.

    Raises:
        ValueError: no rows or columns, or codes outside [0, levels).

    >>> codes = torch.tensor([[0, 1], [0, 1], [0, 0], [1, 1]])
    >>> row, column, category = ConditionSampler(codes, [2, 2]).sample(torch.arange(100))
    >>> bool((codes[row, column] == category).all())
    True
    """

    edges: Tensor
    first_level: Tensor
    first_row: Tensor
    counts: Tensor
    rows: Tensor

    def __init__(self, codes: Tensor, levels: Sequence[int], *, frequency: Literal["log", "true"] = "log") -> None:
        super().__init__()
        if codes.ndim != 2 or not codes.numel() or len(levels) != codes.shape[1]:
            raise ValueError(
                f"ConditionSampler: codes must be (N, K) of at least one row and column, and levels K numbers, got "
                f"{tuple(codes.shape)} and {len(levels)} levels"
            )
        if frequency not in ("log", "true"):
            raise ValueError(f"ConditionSampler: frequency must be 'log' or 'true', got {frequency!r}")
        for place, (column, count) in enumerate(zip(codes.T, levels, strict=True)):
            check_labels(column, [""] * count, f"ConditionSampler: column {place}")
        narrow = torch.int32 if codes.numel() < 1 << 31 else torch.int64
        counts = [column.bincount(minlength=count) for column, count in zip(codes.T, levels, strict=True)]
        weights = [count.double() if frequency == "true" else count.double().log1p() for count in counts]
        flat = torch.cat(counts)
        # column j lies in [j, j + 1): one search finds the category, whatever the column
        edges = [place + weight.cumsum(0) / weight.cumsum(0)[-1] for place, weight in enumerate(weights)]
        for name, value in {
            "edges": torch.cat(edges),
            "first_level": torch.tensor([0, *levels[:-1]], device=codes.device).cumsum(0),
            "first_row": flat.cumsum(0) - flat,
            "counts": flat,
            "rows": torch.cat([column.argsort(stable=True).to(narrow) for column in codes.T]),
        }.items():
            self.register_buffer(name, value, persistent=False)  # the table has it all

    def sample(self, keys: Tensor) -> Drawn:
        """A row for each key (B,) int64, with the column and the category that it was drawn by."""
        u = uniforms(keys, 4).double()
        columns = len(self.first_level)
        column = (u[:, 0] * columns).long()
        place = torch.searchsorted(self.edges, column + u[:, 1], right=True)
        among = u[:, 2] + u[:, 3] * 2.0**-24  # 48 bits: every row of a large table has its chance
        row = self.rows[self.first_row[place] + (among * self.counts[place]).long()]
        return Drawn(row.long(), column, place - self.first_level[column])
