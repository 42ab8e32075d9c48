"""Reading a bank, memory-mapped."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.bank.columns import Column, Fetch, Spec, decode, gather, renumber, select, stored_names
from torchaug.data.bank.format import (
    DROPPED,
    TRAINED,
    Json,
    digest,
    read_dropped,
    read_manifest,
    read_notes,
    read_small,
    read_tensors,
    sealed,
)
from torchaug.data.bank.memory import bank_images, bank_sounds
from torchaug.data.bank.review import read_decisions
from torchaug.data.bank.tables import bank_table, is_table
from torchaug.data.bank.verify import check_whole, damaged, lacking
from torchaug.data.errors import SampleError
from torchaug.data.files import append_line
from torchaug.data.images import check_labels
from torchaug.data.items import Item

MAPPED = 16_384
"""Shards that stay mapped; Linux allows a process 65,530 mappings, and the oldest is mapped again when it is needed."""


class Bank(Dataset[Item]):
    """A bank on disk as a map-style data set: items are its columns, "label" where it has classes, and "index".

    Shards are memory-mapped: nothing is loaded but labels and ids, and a bank may be larger than the memory. Rows of a
    table are float32 in items, as those of a `TableDataset` are; `in_memory` gives them exactly.

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
        self._shards = [note for _, note in sorted(read_notes(self.path).items())]
        self._mapped: dict[int, dict[str, Tensor]] = {}
        self._ends = list(accumulate(note["count"] for note in self._shards))
        check_whole(self.path, self.manifest, self._shards, partial)
        self.rows = self._kept_rows()
        own: list[str] = self.manifest["classes"]
        scored = all(note["quality"] for note in self._shards)
        there = {"label": bool(own), "quality": scored, "group": "group" in self.columns}
        stored = self._stored(["id", *(name for name, known in there.items() if known)])
        self.ids, self.quality = stored["id"], stored.get("quality")
        labels = check_labels(stored["label"], own, f"Bank: {self.path}") if own else None
        self.classes = own if classes is None else list(classes)
        self.labels = labels if classes is None or labels is None else renumber(labels, own, self.classes, self.path)
        makers, counts = (torch.tensor([note[key] for note in self._shards]) for key in ("made_by", "count"))
        self.makers = makers.repeat_interleave(counts)[self.rows]
        self.groups = stored["group"].to(torch.int64) if "group" in stored else None
        self.group_names: list[str] | None = self.attributes.get("groups")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"Bank: index must be in [0, {len(self)}), got {index}")
        shard, place = self._place(int(self.rows[index]))
        try:
            item: Item = {name: decode(name, spec, place, self._fetch(shard)) for name, spec in self.columns.items()}
            item |= {"table": item["table"].float()} if is_table(self) else {}
        except Exception as error:  # what a changed byte leads to is of many kinds
            raise SampleError.of(error, index=index, source=self.path.name, path=self._file(shard)) from error
        for name, numbers in (("label", self.labels), ("group", self.groups)):
            if numbers is not None:
                item[name] = int(numbers[index])
        return item | {"index": index}

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """The items at `indices`, as a DataLoader asks for those of a batch: faster than one after the other."""
        if not indices or not (min(indices) >= 0 and max(indices) < len(self)):
            return [self[index] for index in indices]  # says which is wrong
        places = [self._place(row) for row in self.rows[torch.tensor(indices)].tolist()]
        shards = {shard: self._fetch(shard) for shard, _ in places}
        found = [row for _, row in places], [shards[shard] for shard, _ in places]
        try:
            columns: dict[str, Any] = {name: gather(name, spec, *found) for name, spec in self.columns.items()}
            columns |= {"table": torch.stack(columns["table"]).float().unbind()} if is_table(self) else {}
        except Exception:  # noqa: BLE001 (the one at fault raises it again, and is named)
            return [self[index] for index in indices]
        for name, numbers in (("label", self.labels), ("group", self.groups)):
            if numbers is not None:
                columns[name] = numbers[indices].tolist()
        columns["index"] = indices
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

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
        known = self.manifest["trained_items"] is not None
        return read_tensors(self.path / TRAINED, ["hash"])["hash"] if known else None

    @property
    def identity(self) -> str:
        """A hash of all that was ever in the bank, which a decision about its samples refers to."""
        return digest([self.manifest, [note["sha256"] for note in self._shards]])

    @property
    def fingerprint(self) -> str:
        """A hash of what is in the bank now, and how it is labelled."""
        return digest(
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
        return self._columns([indices], self.columns if names is None else names)

    def column(self, name: str) -> Column:
        """All samples of a column in memory: a tensor (N, ...), or a list of tensors or texts."""
        if name not in self.columns:
            raise KeyError(f"Bank: {self.path} has the columns {', '.join(self.columns)}, got {name!r}")
        return self._columns([indices for indices in self.by_shard() if len(indices)], [name])[name]

    def in_memory(self, progress: Callable[[int, int], None] | None = None) -> Any:
        """All samples in memory: `TensorImages`, `TensorWaveforms`, or the `TableDataset` of a bank of a table.

        Args:
            progress: called with (samples done, samples in all).
        """
        sounds = "waveform" in self.columns
        data = bank_table(self) if is_table(self) else bank_sounds(self) if sounds else bank_images(self)
        if progress is not None:
            progress(len(self), len(self))
        return data

    def verify(self, progress: Callable[[int, int], None] | None = None, *, workers: int = 0) -> None:
        """Read every file and compare its checksum.

        Args:
            progress: called with (files done, files in all).
            workers: threads that read; 0: the calling one.

        Raises:
            ValueError: naming the files that differ from what was written (`damaged` lists all of them).
        """
        bad = damaged(self.path, progress, workers=workers)
        if bad:
            raise ValueError(
                f"Bank: {len(bad)} file{'s' * (len(bad) > 1)} of {self.path} differ from what was written "
                f"({'; '.join(bad[:5])}); run the command that made the bank again to replace shards"
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
        if lacking(self.manifest, self._shards):
            raise ValueError(
                f"Bank: rows of an unfinished bank have no lasting names, so none can be dropped from {self.path}; run the "
                "command that made it again"
            )
        if len(places):
            rows = self.rows[places.unique()].tolist()
            append_line(self.path / DROPPED, sealed({"bank": self.identity, "rows": rows, "reason": reason}))
        return Bank(self.path, classes=self.classes)

    def drop_reviewed(self, path: str | Path) -> Bank:
        """The bank without the samples that a review rejected, which is remembered on disk; unsure ones stay.

        Args:
            path: of the decisions (`read_decisions`).

        Raises:
            ValueError: decisions on another bank, or on a row that the bank never had.
        """
        review = read_decisions(path)
        review.check(self.identity, self._ends[-1])
        places = torch.isin(self.rows, torch.tensor(review.rows("reject"), dtype=torch.int64)).nonzero().flatten()
        return self.drop(places, f"rejected by {review.reviewer}, {review.date}")

    def _kept_rows(self) -> Tensor:
        keep = torch.ones(self._ends[-1], dtype=torch.bool)
        for line in read_dropped(self.path):
            if max(line["rows"], default=-1) >= len(keep):
                raise ValueError(
                    f"Bank: {self.path / DROPPED} drops row {max(line['rows'])} of {len(keep)}; it was changed"
                )
            keep[line["rows"]] = False
        return keep.nonzero().flatten()

    def _place(self, row: int) -> tuple[int, int]:
        shard = bisect_right(self._ends, row)
        return shard, row - (self._ends[shard - 1] if shard else 0)

    def _file(self, shard: int) -> Path:
        return self.path / str(self._shards[shard]["file"])

    def _fetch(self, shard: int) -> Fetch:
        """The columns of a shard, memory-mapped."""
        if shard not in self._mapped:
            if len(self._mapped) >= MAPPED:
                self._mapped.pop(next(iter(self._mapped)))
            names = [part for name, spec in self.columns.items() for part in stored_names(name, spec)]
            self._mapped[shard] = read_tensors(self._file(shard), names)
        return self._mapped[shard].__getitem__

    def _columns(self, parts: Sequence[Tensor], names: Iterable[str]) -> dict[str, Column]:
        """The columns of samples, whose indices are grouped by shard."""
        shards = []
        for indices in parts:
            rows = self.rows[indices]
            shard, first = self._place(start := int(rows[0]))
            shards.append((rows - start + first, self._fetch(shard)))
        return {name: select(name, self.columns[name], shards) for name in names}

    def _stored(self, names: Sequence[str]) -> dict[str, Tensor]:
        """What is stored of each sample besides its content."""
        shards = [read_small(self.path / note["file"], names, note["count"]) for note in self._shards]
        return {name: torch.cat([shard[name] for shard in shards])[self.rows] for name in names}
