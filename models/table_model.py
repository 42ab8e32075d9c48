"""What the generators of tables share: the codec, exact conditions, and how choices look to a network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from torchaug.image.arguments import whole
from torchaug.keys import fold_in
from torchaug.models.latents import check_request, latents
from torchaug.models.table_codec import TableCodec

Given = Mapping[str, "str | float | None"]
Draw = Callable[[int, int], Tensor]
"""The noise of rows: which of its draws, and how many numbers, to (B, numbers), standard normal."""


class TableModel(nn.Module, ABC):
    """A generator of encoded rows, with the codec that makes a table of them.

    A row is asked for by its class and, if wanted, by the value of one categorical column: a number from 1 on among the
    values of all columns (`value_numbers`), or 0.

    Args:
        codec: of the training table.
        num_classes: labels are 0 to num_classes - 1; 1 where there are no labels.
    """

    centre: Tensor
    firsts: Tensor

    def __init__(self, codec: TableCodec, num_classes: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"{type(self).__name__}: num_classes must be at least 1, got {num_classes}")
        self.codec, self.num_classes = codec, num_classes
        is_choice = torch.zeros(codec.width)
        for block in codec.blocks:
            if block.kind == "choice":
                is_choice[block.start : block.start + block.size] = 1.0
        levels = [len(column.categories) for column in codec.columns if column.kind == "categorical"]
        self.values = sum(levels)
        self.register_buffer("centre", is_choice / 2, persistent=False)
        self.register_buffer("firsts", torch.tensor([0, *accumulate(levels)]) + 1, persistent=False)

    def check_sizes(self, **sizes: int) -> None:
        """Refuses sizes that no network can have."""
        for name, size in sizes.items():
            whole(size, type(self).__name__, name, 1)

    def value_numbers(self, column: Tensor, category: Tensor) -> Tensor:
        """The numbers of values, (B,) int64: of the place of a categorical column among these, and of a code."""
        return self.firsts[column] + category

    def centred(self, encoded: Tensor) -> Tensor:
        """Encoded rows as networks see them: one-hots of -1 and 1 instead of 0 and 1."""
        return encoded * (1 + 2 * self.centre) - 2 * self.centre

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, in which rows are computed."""
        return next(self.parameters()).dtype

    @torch.no_grad()
    def generate(
        self, labels: Tensor, keys: Tensor, given: Given | None = None, **settings: Any
    ) -> tuple[Tensor, Tensor]:
        """A row for each label, a function of the label, the key and what is given alone.

        Args:
            labels, keys: (B,) int64.
            given: the value of one categorical column, {"job": "cook"}, that all rows get; see `TableCodec.code`.
            settings: of this generator.

        Returns:
            Numbers (B, F) float64, NaN where missing, and codes (B, K) int64.

        Raises:
            ValueError: an unknown class or column, a category that was not trained on, or more than one column.
        """
        check_request(f"{type(self).__name__}.generate", labels, keys, self.num_classes)
        return self._decoded(
            labels, lambda number, size: latents(fold_in(keys, number), size, self.dtype), given, **settings
        )

    @torch.no_grad()
    def between(
        self, labels: Tensor, first: Tensor, second: Tensor, shares: Tensor, given: Given | None = None, **settings: Any
    ) -> tuple[Tensor, Tensor]:
        """Rows on the way between two: their noise is turned from that of the one to that of the other.

        Args:
            labels: (B,).
            first, second: (B,) keys.
            shares: (B,) of the way that is gone, in [0, 1].
            given, settings: as for `generate`.
        """
        angles = (shares.to(self.dtype) * math.pi / 2)[:, None]

        def draw(number: int, size: int) -> Tensor:
            start, end = (latents(fold_in(keys, number), size, self.dtype) for keys in (first, second))
            return angles.cos() * start + angles.sin() * end  # two independent draws: the variance stays 1

        return self._decoded(labels, draw, given, **settings)

    def _decoded(self, labels: Tensor, draw: Draw, given: Given | None, **settings: Any) -> tuple[Tensor, Tensor]:
        """Rows as float32, whatever they were computed in: the last bits of float64 depend on the batch size."""
        if not given:
            return self.codec.decode(self.rows(labels, torch.zeros_like(labels), draw, **settings).float())
        name, code = self._asked(given)
        codes = torch.full_like(labels, code)
        values = self.value_numbers(torch.full_like(labels, list(self.codec.choices).index(name)), codes)
        rows, block = self.rows(labels, values, draw, **settings), self.codec.choices[name]
        rows[:, block.start : block.start + block.size] = self.codec.spell(name, codes).to(rows)
        return self.codec.decode(rows.float())

    def _asked(self, given: Given) -> tuple[str, int]:
        if len(given) > 1:
            raise ValueError(
                f"{type(self).__name__}: given must be the value of one column, beside the class, got {', '.join(given)}"
            )
        ((name, value),) = given.items()
        return name, self.codec.code(name, value)

    @abstractmethod
    def rows(self, labels: Tensor, values: Tensor, draw: Draw, **settings: Any) -> Tensor:
        """Encoded rows (B, width): numbers, and scores of choices; row i depends on row i of the arguments alone."""

    @abstractmethod
    def score(self, encoded: Tensor, labels: Tensor) -> Tensor:
        """How well encoded rows fit what was learnt, (B,), more is better; without noise of its own."""
