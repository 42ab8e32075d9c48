"""From a generator to a bank on disk: deterministic, resumable, a few samples at a time, on one process or many."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from torchaug.data.bank import Bank, BankWriter
from torchaug.data.bank.format import read_notes
from torchaug.training.plan import Counts, Shard, SynthesisPlan
from torchaug.training.settings import plain
from torchaug.training.synthesizer import AT_ONCE, Columns, Synthesizer

BATCH = AT_ONCE
"""Samples made at once."""
Progress = Callable[[int, int], None]


@overload
def synthesize(
    generator: Synthesizer,
    counts: Counts,
    path: str | Path,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    shard_size: int = 1024,
    batch_size: int = BATCH,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> Bank: ...


@overload
def synthesize(
    generator: Synthesizer,
    counts: Counts,
    path: str | Path,
    *,
    rank: int,
    world_size: int,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    shard_size: int = 1024,
    batch_size: int = BATCH,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> Bank | None: ...


def synthesize(
    generator: Synthesizer,
    counts: Counts,
    path: str | Path,
    *,
    rank: int = 0,
    world_size: int = 1,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    shard_size: int = 1024,
    batch_size: int = BATCH,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> Bank | None:
    """Makes `counts[c]` samples of each class c and writes them to a bank; run again, it goes on where it stopped.

    The same generator, counts, seed and shard size give the same bank, byte for byte, whatever the batch size, however
    often it was interrupted, and however many processes made it. Samples are computed in float64 for this: in float32
    the last bits of a convolution depend on the batch size, and one pixel in some hundred thousand would round to
    another value. Between a CPU and a GPU even float64 differs in its last bits, which is promised nothing about.

    Several processes share the work when each is given its `rank`: each makes every `world_size`-th shard, and none
    waits for another. Their number may change from one run to the next. They must see one folder.

    Args:
        generator: such as `load_generator(path)`; it is not changed.
        counts: samples of each class, by number or by name; or how many, where there are no classes.
        path: folder of the bank.
        rank, world_size: make only this process's part, see `torchaug.training.plan.launched_as`.
        seed: of all samples.
        settings: of the generator, see its `make`; the bank remembers them.
        shard_size: samples in a file; a kill loses at most one file.
        batch_size: samples made at once.
        dtype: of the computation; float32 is faster, but then only equal batch sizes give equal banks.
        device: to compute on, see `pick_device`; None: where the generator is.
        progress: called with (samples done, samples in all) of this part after each batch.

    Returns:
        The bank; None when other processes have not made all of theirs yet.

    Raises:
        ValueError: a class that the generator does not know or was trained on no sample of; a count that is no whole
            number, one below 0, or none above; a bank of another generator, seed or plan in the folder; a device that is not
            there.
        OSError: the disk is full; what is written stays, and a rerun completes it.
    """
    work = Synthesis(
        generator,
        counts,
        path,
        seed=seed,
        settings=settings,
        shard_size=shard_size,
        batch_size=batch_size,
        dtype=dtype,
        device=device,
    )
    mine = work.plan.part(rank, world_size)
    done, total = 0, sum(map(work.plan.size, mine))

    def report(made: int) -> None:
        if progress is not None:
            progress(done + made, total)

    for number in mine:
        work.make(number, report)
        done += work.plan.size(number)
        report(0)
    return work.bank()


class Synthesis:
    """A bank in the making: what is planned, what makes it, and where it goes. Arguments are those of `synthesize`."""

    def __init__(
        self,
        generator: Synthesizer,
        counts: Counts,
        path: str | Path,
        *,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        shard_size: int = 1024,
        batch_size: int = BATCH,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"synthesize: batch_size must be at least 1, got {batch_size}")
        shares, classes = generator.shares, generator.classes
        self.plan = SynthesisPlan.of(classes, counts, seed=seed, shard_size=shard_size, shares=shares)
        self.batch_size, self.dtype, self.settings = batch_size, dtype, dict(settings or {})
        self.device = None if device is None else pick_device(device)
        named = {name: count for name, count in zip(generator.classes, self.plan.counts, strict=False) if count}
        config: dict[str, Any] = {"seed": seed, "counts": named or self.plan.samples}
        config["dtype"] = str(dtype).removeprefix(
            "torch."
        )  # the seed and the dtype decide; batch size and device do not
        self.writer = BankWriter(
            path,
            config=config | ({"settings": _as_json(self.settings)} if self.settings else {}) | _privacy(generator),
            trained_on=getattr(generator, "trained_on", None),
            trained_items=getattr(generator, "trained_items", None),
            generator=generator.digest(),
            classes=generator.classes,
            shard_size=shard_size,
            samples=self.plan.samples,
            attributes=generator.attributes,
        )
        self._generator = generator
        self._model: Synthesizer | None = None

    def make(self, number: int, progress: Callable[[int], None] | None = None) -> bool:
        """Make one shard and write it, unless it is there and whole; whether it was written now."""
        if self.writer.has(number):
            return False
        self._model = self._model or self._generator.exact(self.dtype, self.device)
        shard = self.plan.shard(number)
        columns = make_columns(self._model, shard.labels, shard.keys, self.batch_size, progress, self.settings)
        return self.write(shard, columns)

    def write(self, shard: Shard, columns: Columns) -> bool:
        """Write a shard that was made; whether it was written now."""
        labels = shard.labels if self.writer.classes else None
        return self.writer.write(shard.number, columns, labels, shard.ids)

    def bank(self) -> Bank | None:
        """The bank, when all shards are there."""
        return Bank(self.writer.path) if len(read_notes(self.writer.path)) >= len(self.plan) else None


def _as_json(settings: Mapping[str, Any]) -> Any:
    """Settings as a bank remembers them."""
    try:
        return json.loads(json.dumps(plain(dict(settings)), default=lambda value: value.tolist()))  # of a tensor
    except (AttributeError, TypeError, ValueError) as error:
        raise TypeError(
            f"synthesize: settings must be text, numbers or truth values, since the bank remembers them, got {settings!r}"
        ) from error


def _privacy(generator: Synthesizer) -> dict[str, Any]:
    """What a bank says of a generator that was trained with differential privacy: its samples are as private."""
    found = getattr(generator, "privacy", None)
    return {} if found is None else {"privacy": found}


@torch.no_grad()
def make_columns(
    model: Synthesizer,
    labels: Tensor,
    keys: Tensor,
    batch_size: int = BATCH,
    progress: Callable[[int], None] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Columns:
    """The samples of labels (n,) and keys (n,), `batch_size` at a time, as columns on the CPU."""
    device, made = model.device_of_samples, []
    batch_size = batch_size if model.rowwise else len(labels)
    for start in range(0, len(labels), batch_size):
        part = slice(start, start + batch_size)
        columns = model.make(labels[part].to(device), keys[part].to(device), **(settings or {}))
        made.append({name: column.cpu() for name, column in columns.items()})
        if progress is not None:
            progress(min(len(labels), start + batch_size))
    return {name: torch.cat([columns[name] for columns in made]) for name in made[0]}


def pick_device(name: str | torch.device) -> torch.device:
    """The device of that name; "auto": this process's GPU, or the CPU where there is none.

    Processes that torchrun starts on one machine take a GPU each, by LOCAL_RANK; more of them than GPUs share.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % count) if count else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"synthesize: device must be auto, cpu, cuda or cuda:N, got {str(name)!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"synthesize: expected one of {torch.cuda.device_count()} CUDA devices here, got {str(name)!r}"
        )
    return device
