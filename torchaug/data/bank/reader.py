"""Reading a bank, memory-mapped."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.bank.columns import Column, Spec, decode, join, select
from torchaug.data.bank.format import DROPPED, TRAINED, Json, read_manifest, read_notes, read_tensor
from torchaug.data.files import append_line, read_lines, sha256
from torchaug.data.images import TensorImages, check_labels
from torchaug.data.items import Item


class Bank(Dataset[Item]):
    """A bank on disk as a map-style data set: items are its columns, "label" where it has classes, and "index".

    Shards are memory-mapped: nothing is loaded but labels and ids, and a bank may be larger than the memory.

    Args:
        path: the bank's folder.
        partial: accept a bank that is not finished.
        classes: the classes by which labels are to be numbered, such as those of the real data; every class of the bank
            must be among them.

    Attributes:
        labels: (N,) int64, or None.
        ids: (N,) int64, the samples' places in the plan that made them.
        rows: (N,) int64, the samples' places in the bank, dropped ones counted: names that stay when others are dropped.
        makers: (N,) int64, which entry of `manifest["made_by"]` made each.
        quality: (N,) float32, or None.
        groups: (N,) int64, where there is a column "group"; group_names: of `attributes["groups"]`.
        classes: a name for each class.
        manifest: what made it.

    Raises:
        FileNotFoundError: no bank, or a shard that is missing.
        ValueError: a damaged, a newer or an unfinished bank; a class that `classes` lacks.
    """

    def __init__(self, path: str | Path, *, partial: bool = False, classes: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        notes = read_notes(self.path)
        self._shards = [notes[number] for number in sorted(notes)]
        self._mapped: dict[tuple[int, str], Tensor] = {}
        self._ends = list(accumulate(note["count"] for note in self._shards))
        self._check_whole(partial)
        self.rows = self._kept_rows()
        self.ids = self._stored("id")[self.rows]
        own: list[str] = self.manifest["classes"]
        labels = check_labels(self._stored("label"), own, f"Bank: {self.path}")[self.rows] if own else None
        self.classes = own if classes is None else list(classes)
        self.labels = labels if classes is None or labels is None else renumber(labels, own, self.classes, self.path)
        makers = torch.tensor([note["made_by"] for note in self._shards])
        self.makers = makers.repeat_interleave(torch.tensor([note["count"] for note in self._shards]))[self.rows]
        scored = all(note["quality"] for note in self._shards)
        self.quality = self._stored("quality")[self.rows] if scored else None
        self.groups = self._stored("group")[self.rows] if "group" in self.columns else None
        self.group_names: list[str] | None = self.attributes.get("groups")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"Bank: index must be in [0, {len(self)}), got {index}")
        shard, place = self._place(int(self.rows[index]))
        item: Item = {name: decode(name, spec, place, self._fetch(shard)) for name, spec in self.columns.items()}
        for name, numbers in (("label", self.labels), ("group", self.groups)):
            if numbers is not None:
                item[name] = int(numbers[index])
        return item | {"index": index}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": {}}  # a worker maps the files again instead of receiving their content

    @property
    def columns(self) -> dict[str, Spec]:
        """The columns, and how each is stored."""
        columns: dict[str, Spec] = self._shards[0]["columns"]
        return columns

    @property
    def attributes(self) -> Json:
        """What all samples share, such as a sample rate."""
        attributes: Json = self.manifest["attributes"]
        return attributes

    @property
    def trained_on(self) -> tuple[str, ...]:
        """`fingerprint` of each data set that a generator of this bank was trained on, where it is known."""
        return tuple(dict.fromkeys(m["trained_on"] for m in self.manifest["made_by"] if m["trained_on"] is not None))

    @property
    def generation(self) -> int:
        """0 where all its generators were trained on real data alone, else more."""
        return max(int(maker["generation"]) for maker in self.manifest["made_by"])

    @property
    def trained_items(self) -> Tensor | None:
        """(N,) int64 hashes of the items its generators were trained on, where the bank knows them."""
        path = self.path / TRAINED
        return read_tensor(path, "hash") if path.exists() else None

    @property
    def identity(self) -> str:
        """A hash of all that was ever in the bank, which a decision about its samples refers to."""
        return _hash([self.manifest, [note["sha256"] for note in self._shards]])

    @property
    def fingerprint(self) -> str:
        """A hash of what is in the bank now, and how it is labelled."""
        return _hash(
            [self.identity, self.classes, len(self.rows), hashlib.sha256(self.rows.numpy().tobytes()).hexdigest()]
        )

    def counts(self) -> dict[str, int]:
        """How many samples there are of each class."""
        if self.labels is None:
            return {}
        return dict(zip(self.classes, self.labels.bincount(minlength=len(self.classes)).tolist(), strict=True))

    def by_shard(self) -> list[Tensor]:
        """The indices of the samples in each shard."""
        edges = torch.searchsorted(self.rows, torch.tensor([0, *self._ends])).tolist()
        return [torch.arange(first, last) for first, last in pairwise(edges)]

    def take(self, indices: Tensor, names: Sequence[str] | None = None) -> dict[str, Column]:
        """The columns of the samples at `indices`, all of one shard: a tensor, or a list of tensors or texts."""
        shard, first = self._place(int(self.rows[indices[0]]))
        places = self.rows[indices] - int(self.rows[indices[0]]) + first
        wanted = {name: self.columns[name] for name in (self.columns if names is None else names)}
        return {name: select(name, spec, places, self._fetch(shard)) for name, spec in wanted.items()}

    def column(self, name: str) -> Column:
        """All samples of a column in memory: a tensor (N, ...), or a list of tensors or texts."""
        if name not in self.columns:
            raise KeyError(f"Bank: {self.path} has the columns {', '.join(self.columns)}, got {name!r}")
        return join([self.take(indices, [name])[name] for indices in self.by_shard() if len(indices)])

    def in_memory(self, progress: Callable[[int, int], None] | None = None) -> TensorImages:
        """All images and labels in memory; `progress` is called with (images done, images in all)."""
        images = self.column("image")
        if not isinstance(images, Tensor) or self.labels is None:
            raise ValueError(f"Bank: expected images of one size with labels in {self.path}, got others")
        if progress is not None:
            progress(len(self), len(self))
        return TensorImages(images, self.labels, self.classes)

    def verify(self) -> None:
        """Read every file and compare its checksum.

        Raises:
            ValueError: naming the shards that differ from what was written.
        """
        bad = [note["file"] for note in self._shards if sha256(self.path / note["file"]) != note["sha256"]]
        if bad:
            raise ValueError(
                f"Bank: {len(bad)} of {len(self._shards)} shards of {self.path} differ from what was written: "
                f"{', '.join(bad[:5])}; run the command that made the bank again to replace them"
            )

    def drop(self, indices: Tensor | Sequence[int], reason: str) -> Bank:
        """The bank without the samples at `indices`, which is remembered on disk; the samples stay in the shards.

        `merge([bank], path)` writes a bank that does not hold them any more.

        Raises:
            IndexError: an index that the bank does not have.
        """
        places = torch.as_tensor(indices, dtype=torch.int64)
        bad = places[(places < 0) | (places >= len(self))]
        if len(bad):
            raise IndexError(f"Bank: indices to drop must be in [0, {len(self)}), got {int(bad[0])}")
        if self._lacking():
            raise ValueError(
                f"Bank: rows of an unfinished bank have no lasting names, so none can be dropped from {self.path}; run the "
                "command that made it again"
            )
        if len(places):
            rows = self.rows[places.unique()].tolist()
            append_line(self.path / DROPPED, {"bank": self.identity, "rows": rows, "reason": reason})
        return Bank(self.path, classes=self.classes)

    def _check_whole(self, partial: bool) -> None:
        for note in self._shards:
            if not (self.path / note["file"]).is_file():
                raise FileNotFoundError(
                    f"Bank: shard {note['file']} of {self.path} is missing; run the command that made the bank again"
                )
        lacking = self._lacking()
        if lacking and not (partial and self._shards):
            raise ValueError(
                f"Bank: expected a finished bank in {self.path}, got {lacking}; run the command that made it again"
                f"{', or pass partial=True' if self._shards else ''}"
            )
        odd = next((note for note in self._shards if note["columns"] != self.columns), None)
        if odd is not None:
            raise ValueError(
                f"Bank: columns must be {self.columns}, got {odd['columns']} in {odd['file']} of {self.path}"
            )

    def _lacking(self) -> str:
        """What an unfinished bank has; "" for a finished one."""
        numbers, planned = [note["shard"] for note in self._shards], self.manifest["samples"]
        if not numbers:
            return "no shard"
        gap = next((place for place, number in enumerate(numbers) if place != number), None)
        if gap is not None:
            return f"no shard {gap}"
        return f"{self._ends[-1]} of {planned} samples" if planned and self._ends[-1] < planned else ""

    def _kept_rows(self) -> Tensor:
        keep = torch.ones(self._ends[-1], dtype=torch.bool)
        for line in read_lines(self.path / DROPPED):
            if max(line["rows"], default=-1) >= len(keep):
                raise ValueError(
                    f"Bank: {self.path / DROPPED} drops row {max(line['rows'])} of {len(keep)}; it was changed"
                )
            keep[line["rows"]] = False
        return keep.nonzero().flatten()

    def _place(self, row: int) -> tuple[int, int]:
        shard = bisect_right(self._ends, row)
        return shard, row - (self._ends[shard - 1] if shard else 0)

    def _fetch(self, shard: int) -> Any:
        return lambda name: self._tensor(shard, name)

    def _tensor(self, shard: int, name: str) -> Tensor:
        key = shard, name
        if key not in self._mapped:
            self._mapped[key] = read_tensor(self.path / self._shards[shard]["file"], name)
        return self._mapped[key]

    def _stored(self, name: str) -> Tensor:
        return torch.cat([read_tensor(self.path / note["file"], name) for note in self._shards])


def renumber(labels: Tensor, names: Sequence[str], classes: Sequence[str], path: Path) -> Tensor:
    """Labels of the classes `names` as places among `classes`.

    Raises:
        ValueError: a class that is wanted there and is not here.
    """
    used = labels.unique().tolist()
    lacking = [names[label] for label in used if names[label] not in classes]
    if lacking:
        raise ValueError(
            f"Bank: expected samples of the classes {', '.join(classes)} in {path}, got {', '.join(lacking)} too"
        )
    places = torch.tensor([classes.index(name) if name in classes else -1 for name in names])
    return places[labels]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
