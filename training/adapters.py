"""Generators from elsewhere as `Synthesizer`s: a module of the user's own, and objects of ctgan or sdv."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from torchaug.data.bank.tables import table_attributes
from torchaug.data.leaks import fingerprint, item_hashes
from torchaug.data.readers.like import read_table_like
from torchaug.data.tables import TableDataset
from torchaug.keys import hash_int
from torchaug.training.data import class_shares
from torchaug.training.own_module import ModuleSynthesizer
from torchaug.training.seeded import seeded
from torchaug.training.synthesizer import Columns, Synthesizer, check_settings

__all__ = ["DrawnTable", "ModuleSynthesizer", "from_ctgan", "from_sdv"]

Draw = Callable[[int, "str | None"], Any]
MOST_AT_ONCE = 10_000
"""Rows of a draw, where a class is rare and more than were asked for are drawn."""


class DrawnTable(Synthesizer):
    """Rows that somebody else's synthesizer draws, by rejection: only rows of the class that was asked for are kept.

    Such synthesizers draw in batches, from the global random states of torch and numpy or from states of their own. Both
    are set from the keys for the draw and put back after it: a bank is the same on every run with the same `shard_size`,
    but sample 17 depends on its shard.

    Args:
        draw: `draw(n, label)` gives at least one row: a data frame, or what `read_table` takes, with the columns of
            `data`. `label` is the name of the class wanted, or None; other classes may come too.
        data: the table that it was trained on.
        name: what tells this synthesizer from others, such as "ctgan 0.12, 300 epochs, seed 0": the bank's `generator`.
        tries: draws without a single row of a class before it is given up.
        model: what `draw` draws with. Where it has ctgan's `set_random_state` and `random_states`, these are set and put
            back; a model whose state nobody can set makes other rows each time.

    Raises:
        RuntimeError: a class that `tries` draws did not bring; says how many rows there were.
        ValueError: rows that are none of `data`'s.

    >>> import numpy as np
    >>> from torchaug.data import wine
    >>> data = wine()
    >>> rows = data.to_arrow()
    >>> shuffled = lambda n, label: rows.take(np.random.permutation(len(rows))[:n])
    >>> DrawnTable(shuffled, data, name="the data itself").sample(4, "class_2").labels
    tensor([2, 2, 2, 2])
    """

    rowwise = False

    def __init__(self, draw: Draw, data: TableDataset, *, name: str, tries: int = 100, model: Any = None) -> None:
        if tries < 1:
            raise ValueError(f"DrawnTable: tries must be at least 1, got {tries}")
        self.draw, self.data, self.name, self.tries, self.model = draw, data, name, tries, model
        self.classes = list(data.classes or [])
        self.trained_on, self.trained_items = fingerprint(data), item_hashes(data)

    @property
    def attributes(self) -> dict[str, Any]:
        return table_attributes(self.data)

    @property
    def shares(self) -> list[float] | None:
        return class_shares(self.data) if self.classes else None

    def digest(self) -> str:
        return self.name

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings("DrawnTable.make", settings, ())
        width = len(self.data.columns)
        rows = torch.zeros(len(labels), width, dtype=torch.float64)
        seed = hash_int(*keys[:1].tolist(), len(keys))
        with seeded(seed), _own_state(self.model, seed):
            for label in labels.unique().tolist():
                places = (labels == label).nonzero()[:, 0]
                rows[places] = self._rows(label, len(places))
        return {"table": rows}

    def natural(self, columns: Columns, labels: Tensor) -> TableDataset:
        return self.data.with_table(columns["table"], labels if self.classes else None)

    def _rows(self, label: int, count: int) -> Tensor:
        """`count` rows of a class."""
        name = self.classes[label] if self.classes else None
        kept: list[Tensor] = []
        found = barren = drawn = 0
        while found < count and barren < self.tries:
            wanted = count - found
            wanted = max(wanted, min(wanted * drawn // found, MOST_AT_ONCE)) if found else wanted
            table = read_table_like(self.draw(wanted, name), self.data)
            rows = torch.cat([table.numeric, table.categorical.double()], 1)
            if self.classes:
                if table.labels is None:
                    raise ValueError(f"DrawnTable: expected rows with a column {self.data.label!r}, got none")
                rows = rows[table.labels == label]
            drawn, found, barren = drawn + len(table), found + len(rows), 0 if len(rows) else barren + 1
            kept.append(rows)
        if found < count:
            raise RuntimeError(
                f"DrawnTable: expected {count} rows of {name!r} from {self.name}, got {found} among {drawn}; raise tries=, "
                "or train it on more rows of that class"
            )
        return torch.cat(kept)[:count]


def from_ctgan(model: Any, data: TableDataset, *, name: str, tries: int = 100) -> DrawnTable:
    """A `CTGAN` or `TVAE` of the package ctgan, trained on `data.to_frame()`.

    Rows are drawn without a condition, and those of other classes rejected. TVAE takes none, and of CTGAN 0.12.1 a
    condition has been measured to bring fewer rows of a rare class than no condition
    (docs/decisions/0017-one-protocol-for-generators.md).

    Args:
        model: fitted; its random state is set for each draw and put back.
        data, name, tries: see `DrawnTable`.
    """
    return DrawnTable(lambda count, label: model.sample(max(count, 64)), data, name=name, tries=tries, model=model)


def from_sdv(synthesizer: Any, data: TableDataset, *, name: str, tries: int = 100) -> DrawnTable:
    """A single-table synthesizer of the package sdv, trained on `data.to_frame()`.

    Of sdv 1 and later no public call sets the random state: such a synthesizer goes on in a stream of its own, whatever
    the seed here. Equal calls differ, and a copy of it in another process begins the same stream. So make a bank of it in
    one process and one run, after `synthesizer.reset_sampling()` where it is to be the same again; parts (`rank=`) and a
    run that goes on with a bank would hold the same rows twice.

    Args:
        synthesizer: fitted; its `sample(num_rows=...)` is called, and rows of other classes are rejected.
        data, name, tries: see `DrawnTable`.
    """

    def draw(count: int, label: str | None) -> Any:
        rows = synthesizer.sample(num_rows=max(count, 64))
        if not isinstance(rows, Mapping):
            return rows
        if len(rows) != 1:  # sdv 2 gives a dict of tables
            raise ValueError(f"from_sdv: expected rows of one table, got {len(rows)}: {', '.join(map(str, rows))}")
        return next(iter(rows.values()))

    return DrawnTable(draw, data, name=name, tries=tries, model=synthesizer)


@contextmanager
def _own_state(model: Any, seed: int) -> Iterator[None]:
    """Sets the random state that a model keeps itself, as those of ctgan do, and puts it back."""
    if not hasattr(model, "set_random_state"):
        yield
        return
    before = model.random_states
    model.set_random_state(seed % 2**32)
    try:
        yield
    finally:
        model.set_random_state(before)
