"""Generators from elsewhere as `Synthesizer`s: a module of the user's own, and objects of ctgan or sdv."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchaug.data.bank.tables import table_attributes
from torchaug.data.leaks import fingerprint, item_hashes
from torchaug.data.readers.like import read_table_like
from torchaug.data.tables import TableDataset
from torchaug.keys import hash_int
from torchaug.models.latents import latents
from torchaug.training.data import class_shares
from torchaug.training.synthesizer import Columns, Synthesizer, check_settings

Draw = Callable[[int, "str | None"], Any]


class ModuleSynthesizer(Synthesizer, nn.Module):
    """A generator module of the user's own: `module(z, labels)`, or `module(z)` without classes.

    It must treat each row alone, as networks do in `eval()`: then sample 17 is the same in any batch.

    Args:
        module: latents (B, latent) and, with classes, labels (B,) int64 to content (B, ...).
        classes: the name of each class; empty where samples have no labels.
        latent: size of the standard normal latents.
        content: "image", "waveform" or "table", what the module makes.
        value_range: the values of images that stand for black and white.

    Raises:
        ValueError: arguments out of range; samples that are not of the shape of their content, or not finite.

    >>> layer = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Unflatten(1, (3, 2, 2)))
    >>> ModuleSynthesizer(layer, latent=4).sample(5).shape
    torch.Size([5, 3, 2, 2])
    """

    def __init__(
        self,
        module: nn.Module,
        classes: Sequence[str] = (),
        *,
        latent: int,
        content: str = "image",
        value_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        low, high = value_range
        if latent < 1 or content not in _RANKS or not low < high:
            raise ValueError(
                f"ModuleSynthesizer: latent must be at least 1, content one of {', '.join(_RANKS)} and value_range rising, "
                f"got {latent}, {content!r} and {value_range}"
            )
        self.module, self.classes, self.latent = module.eval(), list(classes), latent
        self.content, self.value_range = content, value_range

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings("ModuleSynthesizer.make", settings, ())
        parameter = next(self.module.parameters(), None)
        z = latents(keys, self.latent, torch.float32 if parameter is None else parameter.dtype)
        made = self.module(z, labels) if self.classes else self.module(z)
        rank = _RANKS[self.content]
        if not isinstance(made, Tensor) or made.ndim != rank or len(made) != len(keys):
            got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ValueError(
                f"ModuleSynthesizer: expected the module to make a {self.content} of {rank - 1} dimensions for each of "
                f"{len(keys)} latents, got {got}"
            )
        if not bool(made.isfinite().all()):
            raise ValueError("ModuleSynthesizer: expected finite samples, got NaN or infinity from the module")
        if self.content != "image":
            return {self.content: made.to(torch.float64 if self.content == "table" else torch.float32)}
        low, high = self.value_range
        return {"image": ((made - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8)}


_RANKS = {"image": 4, "waveform": 3, "table": 2}
"""Dimensions of a batch of each content."""


class DrawnTable(Synthesizer):
    """Rows that somebody else's synthesizer draws, by rejection: only rows of the class that was asked for are kept.

    Such synthesizers draw from global random states and in batches; both are set from the keys for the draw and put back
    after it. A bank is the same on every run with the same `shard_size`, but sample 17 depends on its shard.

    Args:
        draw: `draw(n, label)` gives at least one row: a data frame, or what `read_table` takes, with the columns of
            `data`. `label` is the name of the class wanted, or None; other classes may come too.
        data: the table that it was trained on.
        name: what tells this synthesizer from others, such as "ctgan 0.12, 300 epochs, seed 0": the bank's `generator`.
        tries: draws without a single row of a class before it is given up.

    Raises:
        RuntimeError: a class that `tries` draws did not bring; says how many rows there were.
        ValueError: rows that are none of `data`'s.

    >>> from torchaug.data import wine
    >>> data = wine()
    >>> rows = data.to_arrow()
    >>> shuffled = lambda n, label: rows.take(np.random.permutation(len(rows))[:n])
    >>> DrawnTable(shuffled, data, name="the data itself").sample(4, "class_2").labels
    tensor([2, 2, 2, 2])
    """

    rowwise = False

    def __init__(self, draw: Draw, data: TableDataset, *, name: str, tries: int = 100) -> None:
        if tries < 1:
            raise ValueError(f"DrawnTable: tries must be at least 1, got {tries}")
        self.draw, self.data, self.name, self.tries = draw, data, name, tries
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
        with _seeded(hash_int(*keys[:1].tolist(), len(keys))):
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
            table = read_table_like(self.draw(max(count - found, 1), name), self.data)
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

    Classes are asked for, and what comes instead is rejected, since its conditions are soft.

    Args:
        model: fitted.
        data, name, tries: see `DrawnTable`.
    """

    def draw(count: int, label: str | None) -> Any:
        return model.sample(max(count, 64), *(() if label is None else (data.label, label)))

    return DrawnTable(draw, data, name=name, tries=tries)


def from_sdv(synthesizer: Any, data: TableDataset, *, name: str, tries: int = 100) -> DrawnTable:
    """A single-table synthesizer of the package sdv, trained on `data.to_frame()`.

    Args:
        synthesizer: fitted; its `sample(num_rows=...)` is called, and rows of other classes are rejected.
        data, name, tries: see `DrawnTable`.
    """
    return DrawnTable(lambda count, label: synthesizer.sample(num_rows=max(count, 64)), data, name=name, tries=tries)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Sets the global random states of torch and numpy, and puts them back."""
    before = np.random.get_state()  # noqa: NPY002 (what others draw from)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
