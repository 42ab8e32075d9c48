"""A bank: generated images on disk, written shard by shard so that a kill loses at most one, read memory-mapped.

A bank is a folder of

- `manifest.json`: what made it. Format version, configuration, classes, what the generator was trained on.
- `shard-000000.safetensors`, ...: tensors `image` (n, C, H, W) uint8, `label` (n,) int64, `id` (n,) int64 and, where
  known, `quality` (n,) float32. An id is the sample's place in the plan, and with the seed of the configuration all of
  its randomness.
- `shards.jsonl`: one line for each shard that is whole, with the sha256 of its file.

No pickle anywhere: a bank from a stranger is data, not a program.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.files import append_line, read_lines, replace_file, sha256
from torchaug.data.images import Item, TensorImages, check_labels

VERSION = 1
_MANIFEST, _LINES = "manifest.json", "shards.jsonl"


class BankWriter:
    """Writes a bank; run again after a kill or a full disk, it goes on where it stopped.

    Each shard is written under a temporary name, flushed to the disk, renamed, and only then noted in `shards.jsonl`.
    Several processes may write different shards of one bank at the same time.

    Args:
        path: the bank's folder; made when it is missing.
        config: what the samples depend on, as JSON: a bank continues only under an equal one.
        trained_on: `fingerprint` of the generator's training set.
        generation: 0 when the generator was trained on real data alone, else one more than its training bank's.
        generator: hash of the generator.
        classes: a name for each class.
        shard_size: samples in a shard, the last one perhaps excepted.
        samples: how many the whole bank will have, when that is known: reading an unfinished bank is then an error.
        trained_items: (N,) int64 `item_hashes` of the training set. They let `MixedDataset` find any overlap of the
            validation set with it, not only equality; whoever has an image can then tell whether it was trained on.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with BankWriter(folder, config={"seed": 0}, trained_on=None, generator="3f..", classes=["cat", "dog"]) as bank:
    ...     bank.write(0, torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), torch.arange(2))
    ...     bank.has(0), bank.has(1)
    True
    (True, False)
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
    ) -> None:
        if shard_size < 1 or generation < 0:
            raise ValueError(
                f"BankWriter: shard_size must be at least 1 and generation at least 0, got {shard_size}, {generation}"
            )
        self.path, self.classes, self.shard_size = Path(path), list(classes), shard_size
        manifest = {
            "format": "torchaug-bank",
            "version": VERSION,
            "config": config,
            "trained_on": trained_on,
            "generation": generation,
            "generator": generator,
            "classes": self.classes,
            "shard_size": shard_size,
            "samples": samples,
        }
        self.manifest: dict[str, Any] = json.loads(json.dumps(manifest))  # tuples become lists, as they will be read
        self._open(trained_items)
        self._lines = {int(line["shard"]): line for line in read_lines(self.path / _LINES)}
        self._verified: dict[int, bool] = {}

    def __enter__(self) -> BankWriter:  # noqa: PYI034 (Self is in typing from Python 3.11 on)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is pending between two writes, so there is nothing to close."""

    def has(self, shard: int) -> bool:
        """Whether the shard is there and whole: noted, and its file has the noted sha256."""
        if shard not in self._verified:
            line = self._lines.get(shard)
            self._verified[shard] = line is not None and sha256(self.path / line["file"]) == line["sha256"]
        return self._verified[shard]

    def write(self, shard: int, images: Tensor, labels: Tensor, ids: Tensor, quality: Tensor | None = None) -> bool:
        """Write one shard, unless it is there and whole.

        Args:
            shard: its number, from 0.
            images: (n, C, H, W) uint8, n from 1 to `shard_size`.
            labels: (n,) whole numbers in [0, len(classes)).
            ids: (n,) whole numbers, the samples' places in the plan.
            quality: (n,) float, more is better.

        Returns:
            Whether it was written now.

        Raises:
            OSError: the disk is full, or cannot be written; the shards before are kept.
        """
        if self.has(shard):
            return False
        tensors = self._check(images, labels, ids, quality)
        name, data = f"shard-{shard:06d}.safetensors", save(tensors)
        replace_file(self.path / name, data)
        counts = tensors["label"].bincount(minlength=len(self.classes)).tolist()
        first_and_last = [int(tensors["id"][0]), int(tensors["id"][-1])]
        line = {"shard": shard, "file": name, "sha256": hashlib.sha256(data).hexdigest(), "count": len(images)}
        line |= {
            "shape": list(images.shape[1:]),
            "ids": first_and_last,
            "labels": counts,
            "quality": quality is not None,
        }
        append_line(self.path / _LINES, line)
        self._lines[shard], self._verified[shard] = line, True
        return True

    def _open(self, trained_items: Tensor | None) -> None:
        path = self.path / _MANIFEST
        if path.exists():
            there = _read_manifest(self.path)
            other = sorted(
                key for key in self.manifest.keys() | there.keys() if self.manifest.get(key) != there.get(key)
            )
            if other:
                key = other[0]
                raise ValueError(
                    f"BankWriter: {self.path} holds a bank with another {' and '.join(other)} "
                    f"({key}: {_short(there.get(key))} there, {_short(self.manifest.get(key))} wanted); "
                    "write to another folder, or remove this one"
                )
            return
        self.path.mkdir(parents=True, exist_ok=True)
        if any(self.path.glob("shard*")):
            raise ValueError(f"BankWriter: {self.path} holds shards but no {_MANIFEST}; write to another folder")
        if trained_items is not None:
            replace_file(self.path / "trained_items.safetensors", save({"hash": trained_items.to(torch.int64)}))
        replace_file(path, (json.dumps(self.manifest, indent=1) + "\n").encode())

    def _check(self, images: Tensor, labels: Tensor, ids: Tensor, quality: Tensor | None) -> dict[str, Tensor]:
        count = len(images)
        if images.ndim != 4 or images.dtype != torch.uint8 or not 1 <= count <= self.shard_size:
            raise ValueError(
                f"BankWriter: images must be (n, C, H, W) uint8 with n from 1 to {self.shard_size}, got "
                f"{images.dtype} {tuple(images.shape)}"
            )
        shape = next((line["shape"] for line in self._lines.values()), list(images.shape[1:]))
        if shape != list(images.shape[1:]):
            raise ValueError(f"BankWriter: images must be {tuple(shape)} as before, got {tuple(images.shape[1:])}")
        for name, value in (("labels", labels), ("ids", ids), ("quality", quality)):
            if value is not None and value.shape != (count,):
                raise ValueError(f"BankWriter: {name} must be ({count},) for {count} images, got {tuple(value.shape)}")
        tensors = {
            "image": images,
            "label": check_labels(labels, self.classes, "BankWriter"),
            "id": ids.to(torch.int64),
        }
        if quality is not None:
            tensors["quality"] = quality.to(torch.float32)
        return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


class Bank(Dataset[Item]):
    """A bank on disk as a map-style data set: items are `{"image", "label", "index"}`.

    Shards are memory-mapped: nothing is loaded but labels, and a bank may be larger than the memory.

    Args:
        path: the bank's folder.
        partial: accept a bank that is not finished.

    Attributes:
        labels: (N,) int64.
        ids: (N,) int64, the samples' places in the plan that made them.
        quality: (N,) float32, or None.
        classes: a name for each class.
        manifest: what made it.
    """

    def __init__(self, path: str | Path, *, partial: bool = False) -> None:
        self.path = Path(path)
        self.manifest = _read_manifest(self.path)
        self.classes: list[str] = self.manifest["classes"]
        lines = {int(line["shard"]): line for line in read_lines(self.path / _LINES)}  # of two, the later counts
        self._shards = [lines[number] for number in sorted(lines)]
        for line in self._shards:
            if not (self.path / line["file"]).is_file():
                raise FileNotFoundError(
                    f"Bank: shard {line['file']} of {self.path} is missing; run the command that made the bank again"
                )
        self._ends = list(accumulate(line["count"] for line in self._shards))
        self._mapped: dict[int, Tensor] = {}
        planned = self.manifest.get("samples")
        if not self._shards or (planned is not None and len(self) < planned and not partial):
            wanted = "some" if planned is None else planned
            raise ValueError(
                f"Bank: expected {wanted} samples in {self.path}, got {len(self)}: it is not finished; run the command "
                "that made it again, or pass partial=True"
            )
        self.labels = check_labels(torch.cat(self._columns("label")), self.classes, f"Bank: {self.path}")
        self.ids = torch.cat(self._columns("id"))
        scored = all(line["quality"] for line in self._shards)
        self.quality = torch.cat(self._columns("quality")) if scored else None

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"Bank: index must be in [0, {len(self)}), got {index}")
        shard = bisect_right(self._ends, index)
        row = index - (self._ends[shard - 1] if shard else 0)
        return {"image": self._images(shard)[row].clone(), "label": int(self.labels[index]), "index": index}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": {}}  # a worker maps the files again instead of receiving their content

    @property
    def fingerprint(self) -> str:
        """A hash of what is in the bank."""
        text = json.dumps([self.manifest, [line["sha256"] for line in self._shards]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def trained_items(self) -> Tensor | None:
        """(N,) int64 hashes of the items its generator was trained on, where the bank knows them."""
        path = self.path / "trained_items.safetensors"
        return _tensor(path, "hash") if path.exists() else None

    def images(self) -> Tensor:
        """All images: (N, C, H, W) uint8."""
        return torch.cat([self._images(shard) for shard in range(len(self._shards))])

    def in_memory(self) -> TensorImages:
        """All images and labels in memory."""
        return TensorImages(self.images(), self.labels, self.classes)

    def verify(self) -> None:
        """Read every file and compare its checksum.

        Raises:
            ValueError: naming the shards that differ from what was written.
        """
        bad = [line["file"] for line in self._shards if sha256(self.path / line["file"]) != line["sha256"]]
        if bad:
            raise ValueError(
                f"Bank: {len(bad)} of {len(self._shards)} shards of {self.path} differ from what was written: "
                f"{', '.join(bad[:5])}; run the command that made the bank again to replace them"
            )

    def _images(self, shard: int) -> Tensor:
        if shard not in self._mapped:
            self._mapped[shard] = _tensor(self.path / self._shards[shard]["file"], "image")
        return self._mapped[shard]

    def _columns(self, name: str) -> list[Tensor]:
        return [_tensor(self.path / line["file"], name) for line in self._shards]


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / _MANIFEST
    if not file.is_file():
        raise FileNotFoundError(f"Bank: expected a bank (a folder with {_MANIFEST}) at {path}, got none")
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"Bank: {file} must be JSON, got {error}; this is not a bank") from error
    if not isinstance(manifest, dict) or manifest.get("format") != "torchaug-bank":
        raise ValueError(f"Bank: expected format 'torchaug-bank' in {file}, got another; this is not a bank")
    missing = {"version", "classes", "generation", "trained_on"} - manifest.keys()
    if missing:
        raise ValueError(f"Bank: expected {', '.join(sorted(missing))} in {file}, got none; the file was changed")
    if manifest["version"] > VERSION:
        raise ValueError(
            f"Bank: {path} has version {manifest['version']}, and this torchaug reads up to {VERSION}; update torchaug"
        )
    return manifest


def _tensor(path: Path, name: str) -> Tensor:
    """A tensor of a safetensors file, memory-mapped."""
    try:
        with safe_open(path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"Bank: cannot read {name} of {path}: {error}; run the command that made the bank again"
        ) from error
    return tensor


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
