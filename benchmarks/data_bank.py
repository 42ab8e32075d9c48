"""How fast banks are read and written, against torch.load and a plain file of the same bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from rows import Row, interleaved, row
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from torchaug.data import Bank, BankWriter

SHARDS, SIZE, SHAPE = 8, 1024, (3, 64, 64)
ROUNDS = 15


class Loaded(Dataset[dict[str, object]]):
    """What torch.load gave, as items that share its memory."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, object]:
        return {"image": self.images[index], "label": int(self.labels[index]), "index": index}


def bank_rows() -> list[Row]:
    """Reading and writing 100 MB of images of 64 x 64, the files in the system's cache; opening 1,000 and 10,000 shards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = torch.randint(256, (SIZE, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return [*_write_rows(folder, images), *_read_rows(folder, images), *_open_rows(folder)]


def _write_rows(folder: Path, images: Tensor) -> list[Row]:
    megabytes = SHARDS * images.numel() / 1e6
    plain = images.numpy().tobytes()

    def bank() -> None:
        _fill(folder / "bank", images, SHARDS)

    def files() -> None:
        for old in folder.glob("plain-*"):
            old.unlink()  # as before a bank: a new file takes longer than an old one's place
        for number in range(SHARDS):
            with open(folder / f"plain-{number}", "wb") as file:
                file.write(plain)
                file.flush()
                os.fsync(file.fileno())

    seconds = interleaved({"bank": bank, "files": files}, ROUNDS)
    rates = [megabytes / value for value in seconds["bank"]]
    return [
        row("bank: writing, with checksums and fsync", rates, "MB/s", at_least=200),
        row("bank: plain files of the same bytes, with fsync", [megabytes / v for v in seconds["files"]], "MB/s"),
        row("bank: writing, of the speed of plain files", _ratios(seconds["files"], seconds["bank"]), "ratio"),
    ]


def _read_rows(folder: Path, images: Tensor) -> list[Row]:
    raw = folder / "raw.pt"
    torch.save({"image": images.repeat(SHARDS, 1, 1, 1), "label": torch.zeros(SHARDS * SIZE).long()}, raw)
    loaded = torch.load(raw)
    data = {"bank": Bank(folder / "bank"), "loaded": Loaded(loaded["image"], loaded["label"])}
    rows = _against(
        "bank: opening and in_memory(), of the speed of torch.load",
        {"bank": lambda: Bank(folder / "bank").in_memory(), "loaded": lambda: torch.load(raw)},
    )
    for words, shuffle in (("in order", False), ("shuffled", True)):
        rows += _against(
            f"bank: DataLoader of 64, {words}, of the speed of tensors in memory",
            {name: _pass(dataset, shuffle) for name, dataset in data.items()},
        )
    items = {name: _items(dataset) for name, dataset in data.items()}
    return rows + _against("bank: item by item, copied, of the speed of views in memory", items, at_least=None)


def _pass(data: Dataset[dict[str, object]], shuffle: bool) -> Callable[[], None]:
    def run() -> None:
        for _ in DataLoader(data, batch_size=64, shuffle=shuffle, generator=torch.Generator()):
            pass

    return run


def _items(data: Dataset[dict[str, object]]) -> Callable[[], None]:
    def run() -> None:
        for index in range(SHARDS * SIZE):
            data[index]

    return run


def _against(name: str, functions: dict[str, Callable[[], object]], at_least: float | None = 0.8) -> list[Row]:
    seconds = interleaved(functions, ROUNDS)
    return [row(name, _ratios(seconds["loaded"], seconds["bank"]), "ratio", at_least=at_least)]


def _open_rows(folder: Path) -> list[Row]:
    small = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    rows = []
    for shards, rounds in ((1000, 9), (10_000, 3)):
        path = folder / f"shards-{shards}"
        _fill(path, small, shards)
        seconds = interleaved({"open": lambda path=path: Bank(path)}, rounds, warmup=1)
        rows.append(row(f"bank: opening {shards} shards", seconds["open"], "s"))
    return rows


def _fill(path: Path, images: Tensor, shards: int) -> None:
    """A new bank where one may have been."""
    for old in path.glob("*"):
        old.unlink()
    labels = torch.zeros(len(images)).long()
    with BankWriter(
        path, config={}, trained_on=None, generator="none", classes=["a"], shard_size=len(images)
    ) as writer:
        for number in range(shards):
            writer.write(number, {"image": images}, labels, torch.arange(len(images)))


def _ratios(theirs: list[float], ours: list[float]) -> list[float]:
    return [a / b for a, b in zip(theirs, ours, strict=True)]
