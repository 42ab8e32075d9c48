"""One data set of a mixture, with what is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.bank import Bank
from torchaug.data.bank.tables import is_table, table_columns
from torchaug.data.items import Item
from torchaug.data.tables import Column, TableDataset

KINDS = ("real", "bank", "live")
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True, eq=False)
class Source:
    """One data set of a mixture.

    Args:
        name: for messages and reports.
        data: the data set, or only its length; 0 for a live source.
        labels: (n,) class numbers, whole numbers of any type; `data.labels` where that is there.
        groups: (n,) group numbers (site, device, sex, ...), the same way; `data.groups` where that is there.
        weights: (n,) how often to draw each item relative to the others; 0 is never. Equal when None.
        kind: "real"; "bank", stored synthetic samples; or "live", made on the device when a batch needs them.
        fingerprint: what tells this source from another when a run is resumed; of its name, length, labels and groups
            when "".
        trained_on: for synthetic ones, `fingerprint` of the data set, or data sets, that the generator was trained on.
        trained_items: (N,) int64 `item_hashes` of it, which find an overlap and not only equality.
        generation: 0 for real data, and for a generator trained on real data alone.
        loss_weight: weight of each sample in the loss, handed on as the item's "weight" when any source has one.

    >>> Source("real", 100, labels=torch.arange(100) % 2).size
    100
    """

    name: str
    data: Dataset[Item] | int
    labels: Tensor | None = None
    groups: Tensor | None = None
    weights: Tensor | None = None
    kind: str = "real"
    fingerprint: str = ""
    trained_on: str | Sequence[str] | None = None
    trained_items: Tensor | None = None
    generation: int = 0
    loss_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Source: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        for what in ("labels", "groups"):
            if getattr(self, what) is None and isinstance(found := getattr(self.data, what, None), Tensor):
                object.__setattr__(self, what, found)
            self._check_numbers(what)
        self._check_weights()
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", self._hash())

    @classmethod
    def real(cls, data: Dataset[Item], name: str = "real", *, weights: Tensor | None = None) -> Source:
        """Real data: any map-style data set of items as dicts, with `.labels` and `.groups` where those matter."""
        return cls(name, data, weights=weights)

    @classmethod
    def bank(cls, bank: Bank, name: str = "bank", *, weights: Tensor | None = None, loss_weight: float = 1.0) -> Source:
        """A bank of generated samples, with what its manifest says about it."""
        return cls(
            name,
            bank,
            weights=weights,
            kind="bank",
            fingerprint=bank.fingerprint,
            trained_on=bank.trained_on,
            trained_items=bank.trained_items,
            generation=bank.generation,
            loss_weight=loss_weight,
        )

    @classmethod
    def live(
        cls,
        name: str = "live",
        *,
        trained_on: str | None = None,
        trained_items: Tensor | None = None,
        generation: int = 0,
    ) -> Source:
        """Samples made when they are needed: `DeviceLoader(fill=...)` makes them."""
        return cls(name, 0, kind="live", trained_on=trained_on, trained_items=trained_items, generation=generation)

    @property
    def size(self) -> int:
        """How many items there are."""
        return self.data if isinstance(self.data, int) else len(self.data)  # type: ignore[arg-type]

    @property
    def is_synthetic(self) -> bool:
        """Whether a generator made it."""
        return self.kind != "real"

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes, where the data set has them."""
        return getattr(self.data, "classes", None)

    @property
    def group_names(self) -> list[str] | None:
        """Names of the groups, where the data set has them."""
        return getattr(self.data, "group_names", None)

    def _check_numbers(self, what: str) -> None:
        numbers = getattr(self, what)
        if numbers is None:
            return
        if not isinstance(numbers, Tensor):
            kind = type(numbers).__name__
            raise TypeError(
                f"Source: {what} of {self.name!r} must be a tensor, got {kind}; pass torch.as_tensor({what})"
            )
        if numbers.shape != (self.size,) or numbers.dtype not in WHOLE:
            raise ValueError(
                f"Source: {what} of {self.name!r} must be ({self.size},) whole numbers, got {numbers.dtype} "
                f"{tuple(numbers.shape)}"
            )
        if self.size and int(numbers.min()) < 0:
            raise ValueError(
                f"Source: {what} of {self.name!r} must be 0 or more, got {int(numbers.min())} at index "
                f"{int(numbers.argmin())}"
            )

    def _check_weights(self) -> None:
        if self.weights is None:
            return
        weights = self.weights
        if weights.shape != (self.size,):
            raise ValueError(f"Source: weights of {self.name!r} must be ({self.size},), got {tuple(weights.shape)}")
        bad = (~(weights >= 0) | weights.isinf()).nonzero()
        if len(bad):
            index = int(bad[0])
            raise ValueError(
                f"Source: weights of {self.name!r} must be finite and 0 or more, got {weights[index].item()} at index "
                f"{index}"
            )
        if not bool((weights > 0).any()):
            raise ValueError(f"Source: at least one weight of {self.name!r} must be above 0, got none")

    def _hash(self) -> str:
        digest = hashlib.sha256(f"{self.name} {self.size}".encode())
        for numbers in (self.labels, self.groups):
            if numbers is not None and self.size:
                narrow = np.min_scalar_type(int(numbers.max()))  # the same for equal numbers, whatever their type was
                digest.update(narrow.str.encode())
                for part in numbers.split(1 << 18):
                    digest.update(part.cpu().numpy().astype(narrow).data)
        return digest.hexdigest()[:32]


def check_sources(sources: Sequence[Source], max_generation: int = 0) -> None:
    """Refuse an empty list, two sources of one name, two live ones, a generation too far from real data, and classes or
    groups of which the sources do not mean the same.
    """
    if not sources:
        raise ValueError("MixedDataset: expected at least one source, got none")
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ValueError(f"MixedDataset: names of sources must differ, got {', '.join(names)}")
    if sum(source.kind == "live" for source in sources) > 1:
        raise ValueError("MixedDataset: expected at most one live source, got more")
    for source in sources:
        if source.generation > max_generation:
            raise ValueError(
                f"MixedDataset: source {source.name!r} is of generation {source.generation}: its generator was trained "
                f"on generated data; make it from real data, or pass max_generation={source.generation}"
            )
    _check_names(sources, "labels", "classes")
    _check_names(sources, "groups", "group_names")
    _check_tables(sources)


def _check_names(sources: Sequence[Source], numbers: str, names: str) -> None:
    """A number must mean the same in all sources: two banks may well have sorted their classes in different ways."""
    first = next((source for source in sources if getattr(source, names)), None)
    if first is None:
        return
    known = list(getattr(first, names))
    for source in sources:
        own = getattr(source, names)
        if own and list(own) != known:
            raise ValueError(_differ(first, known, source, list(own), names))
        found = getattr(source, numbers)
        if found is not None and source.size and int(found.max()) >= len(known):
            raise ValueError(
                f"MixedDataset: {numbers} of source {source.name!r} must be below {len(known)}, the number of {names} of "
                f"source {first.name!r}, got {int(found.max())} at index {int(found.argmax())}; number them alike"
            )


def _check_tables(sources: Sequence[Source]) -> None:
    """A code of a table's column must mean the same in all sources, as a label must."""
    tables = [(source.name, [(c.name, c.categories) for c in _columns(source.data)]) for source in sources]
    (first, known), *others = [table for table in tables if table[1]] or [("", [])]
    for name, own in others:
        if own != known:
            place = next(
                (i for i, (a, b) in enumerate(zip(known, own, strict=False)) if a != b), min(len(known), len(own))
            )
            there, here = (each[place][0] if place < len(each) else "none" for each in (known, own))
            raise ValueError(
                f"MixedDataset: columns of source {name!r} must be those of source {first!r}, with the same categories, got "
                f"another at {place}: {here!r} beside {there!r}; read tables alike with read_table_like"
            )


def _columns(data: Dataset[Item] | int) -> tuple[Column, ...]:
    if isinstance(data, TableDataset):
        return data.columns
    return table_columns(data.attributes) if isinstance(data, Bank) and is_table(data) else ()


def _differ(first: Source, known: list[str], source: Source, own: list[str], names: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(known, own, strict=False)) if a != b), min(len(known), len(own)))
    there, here = (f"{found[place]!r}" if place < len(found) else "missing" for found in (known, own))
    advice = "give all sources the same, in the same order"
    if names == "classes" and isinstance(source.data, Bank):
        advice = (
            f"open the bank as Bank(path, classes=...) with the classes of {first.name!r}, which numbers its labels so"
        )
    return (
        f"MixedDataset: {names} of source {source.name!r} must be those of source {first.name!r}, got another at "
        f"{place}: {here}, where {first.name!r} has {there}; {advice}"
    )
