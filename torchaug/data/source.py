"""One data set of a mixture, with what is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.bank import Bank
from torchaug.data.items import Item

KINDS = ("real", "bank", "live")


@dataclass(frozen=True, eq=False)
class Source:
    """One data set of a mixture.

    Args:
        name: for messages and reports.
        data: the data set, or only its length; 0 for a live source.
        labels: (n,) class numbers; `data.labels` where that is there.
        weights: (n,) how often to draw each item relative to the others; 0 is never. Equal when None.
        kind: "real"; "bank", stored synthetic samples; or "live", made on the device when a batch needs them.
        fingerprint: what tells this source from another when a run is resumed; of its name, length and labels when "".
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
        if self.labels is None and isinstance(found := getattr(self.data, "labels", None), Tensor):
            object.__setattr__(self, "labels", found)
        self._check_labels()
        self._check_weights()
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", self._hash())

    @classmethod
    def real(cls, data: Dataset[Item], name: str = "real", *, weights: Tensor | None = None) -> Source:
        """Real data: any map-style data set of items as dicts, with `.labels` where classes matter."""
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

    def _check_labels(self) -> None:
        if self.labels is None:
            return
        labels = self.labels
        if labels.shape != (self.size,) or labels.is_floating_point() or labels.dtype == torch.bool:
            raise ValueError(
                f"Source: labels of {self.name!r} must be ({self.size},) whole numbers, got {labels.dtype} "
                f"{tuple(labels.shape)}"
            )
        if self.size and int(labels.min()) < 0:
            raise ValueError(
                f"Source: labels of {self.name!r} must be 0 or more, got {int(labels.min())} at index "
                f"{int(labels.argmin())}"
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
        if self.labels is not None:
            digest.update(self.labels.to(torch.int64).contiguous().numpy().data)
        return digest.hexdigest()[:32]


def check_sources(sources: Sequence[Source], max_generation: int = 0) -> None:
    """Refuse an empty list, two sources of one name, two live ones, or a generation too far from real data."""
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
