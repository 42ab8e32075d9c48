"""Writing a bank, shard by shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from torchaug.data.bank.columns import Column, encode
from torchaug.data.bank.format import MANIFEST, VERSION, Json, ShardStore, read_manifest
from torchaug.data.files import locked
from torchaug.data.images import check_labels


class BankWriter:
    """Writes a bank; run again after a kill or a full disk, it goes on where it stopped.

    A shard is there whole or not at all. Several processes may write different shards of one bank at the same time, and
    also the same ones, as long as what they write is the same.

    Args:
        path: the bank's folder; made when it is missing.
        config: what the samples depend on, as JSON: a bank continues only under an equal one.
        trained_on: `fingerprint` of the generator's training set.
        generator: hash of the generator.
        classes: a name for each class; empty for samples without labels.
        generation: 0 when the generator was trained on real data alone, else one more than its training bank's.
        shard_size: samples in a shard, the last one perhaps excepted.
        samples: how many the whole bank will have at least, when that is known: reading an unfinished one is then an error.
        trained_items: (N,) int64 `item_hashes` of the training set. They let `MixedDataset` find any overlap of the
            validation set with it, not only equality; whoever has an image can then tell whether it was trained on.
        attributes: what all samples share, as JSON: {"sample_rate": 16000}.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with BankWriter(folder, config={"seed": 0}, trained_on=None, generator="3f..", classes=["cat", "dog"]) as bank:
    ...     images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    ...     bank.write(0, {"image": images}, torch.tensor([0, 1]), torch.arange(2)), bank.has(0), bank.has(1)
    (True, True, False)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        config: dict[str, Any],
        trained_on: str | None,
        generator: str,
        classes: Sequence[str],
        generation: int = 0,
        shard_size: int = 1024,
        samples: int | None = None,
        trained_items: Tensor | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        if shard_size < 1 or generation < 0:
            raise ValueError(
                f"BankWriter: shard_size must be at least 1 and generation at least 0, got {shard_size}, {generation}"
            )
        maker = {"generator": generator, "config": config, "trained_on": trained_on, "generation": generation}
        self._bind(Path(path), make_manifest(classes, [maker], shard_size, samples, attributes or {}), trained_items)

    @classmethod
    def open(cls, path: str | Path) -> BankWriter:
        """A writer that adds to the bank in a folder, as the generator that made it.

        Raises:
            FileNotFoundError, ValueError: no bank, or one that was merged from several: write a new one, and merge.
        """
        manifest = read_manifest(Path(path))
        if len(manifest["made_by"]) > 1:
            raise ValueError(
                f"BankWriter: {path} was made by {len(manifest['made_by'])} generators, so nothing can be added to it; "
                "write a new bank, and merge both"
            )
        writer = cls.__new__(cls)
        writer._bind(Path(path), manifest, None)
        return writer

    def _bind(self, path: Path, manifest: Json, trained_items: Tensor | None) -> None:
        self.path, self.classes, self.shard_size = path, list(manifest["classes"]), int(manifest["shard_size"])
        self._store = ShardStore(path, manifest, trained_items)

    def __enter__(self) -> BankWriter:  # noqa: PYI034 (Self is in typing from Python 3.11 on)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is pending between two writes, so there is nothing to close."""

    @property
    def manifest(self) -> Json:
        """What the bank says about itself."""
        return self._store.manifest

    def has(self, shard: int) -> bool:
        """Whether the shard is there and whole: its file has the sha256 that was noted."""
        return self._store.has(shard)

    def write(
        self,
        shard: int,
        content: Mapping[str, Column],
        labels: Tensor | None,
        ids: Tensor,
        quality: Tensor | None = None,
    ) -> bool:
        """Write one shard, unless it is there and whole.

        Args:
            shard: its number, from 0.
            content: n samples, by column: {"image": (n, C, H, W) uint8}, {"table": (n, F) float}; or of different
                lengths, {"waveform": n tensors (C, T)} and {"text": n strings}. n is from 1 to `shard_size`. A column
                "group", (n,) int64, holds the samples' groups.
            labels: (n,) whole numbers in [0, len(classes)); None where there are no classes.
            ids: (n,) whole numbers, the samples' places in the plan.
            quality: (n,) float, more is better.

        Returns:
            Whether it was written now.

        Raises:
            ValueError, TypeError: columns that do not fit each other, or the shards before.
            OSError: the disk is full, or cannot be written; the shards before are kept.
        """
        if self.has(shard):
            return False
        count = len(ids)
        if not 1 <= count <= self.shard_size:
            raise ValueError(f"BankWriter: a shard must hold 1 to {self.shard_size} samples, got {count}")
        tensors, specs = encode(content, count)
        before = next((note["columns"] for note in self._store.notes.values()), specs)
        if before != specs:
            raise ValueError(f"BankWriter: columns must be {before} as before, got {specs}")
        tensors |= self._check(labels, ids, quality)
        self._store.put(shard, tensors, make_note(tensors, specs, 0))
        return True

    def append(
        self, content: Mapping[str, Column], labels: Tensor | None, ids: Tensor, quality: Tensor | None = None
    ) -> int:
        """Write a shard after those that are there, for samples that no plan numbers; the number that it got.

        Arguments are those of `write`. What two writers append at the same time gets two numbers.
        """
        try:
            with locked(self.path / MANIFEST):
                self._store.read()
                number = max(self._store.notes, default=-1) + 1
                self.write(number, content, labels, ids, quality)
        except OSError as error:
            raise OSError(error.errno, f"BankWriter: cannot add to {self.path}: {error.strerror}") from error
        return number

    def _check(self, labels: Tensor | None, ids: Tensor, quality: Tensor | None) -> dict[str, Tensor]:
        if (labels is None) != (not self.classes):
            wanted = f"labels of the {len(self.classes)} classes" if self.classes else "no labels without classes"
            raise ValueError(f"BankWriter: expected {wanted}, got {'none' if labels is None else 'labels'}")
        for name, value in (("labels", labels), ("ids", ids), ("quality", quality)):
            if value is not None and value.shape != (len(ids),):
                raise ValueError(f"BankWriter: {name} must be ({len(ids)},) as there are ids, got {tuple(value.shape)}")
        tensors = {"id": ids.to(torch.int64)}
        if labels is not None:
            tensors["label"] = check_labels(labels, self.classes, "BankWriter")
        if quality is not None:
            tensors["quality"] = quality.to(torch.float32)
        return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def make_manifest(
    classes: Sequence[str],
    made_by: Sequence[Json],
    shard_size: int,
    samples: int | None,
    attributes: Mapping[str, Any],
) -> Json:
    """What a bank says about itself."""
    return {
        "format": "torchaug-bank",
        "version": VERSION,
        "classes": list(classes),
        "shard_size": shard_size,
        "samples": samples,
        "attributes": dict(attributes),
        "made_by": list(made_by),
    }


def make_note(tensors: Mapping[str, Tensor], specs: Mapping[str, Json], maker: int) -> Json:
    """What is noted of a shard besides its file: for whoever opens the bank, and for people."""
    labels = tensors.get("label")
    return {
        "count": len(tensors["id"]),
        "ids": [int(tensors["id"][0]), int(tensors["id"][-1])],
        "labels": None if labels is None else labels.bincount().tolist(),
        "quality": "quality" in tensors,
        "columns": dict(specs),
        "made_by": maker,
    }
