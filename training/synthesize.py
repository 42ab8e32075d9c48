"""From a generator to a bank on disk: deterministic, resumable, a few images at a time, on one process or many."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import overload

import torch
from torch import Tensor, nn

from torchaug.data.bank import Bank, BankWriter
from torchaug.data.bank.format import read_notes
from torchaug.models.synthesizer import Synthesizer
from torchaug.training.plan import SynthesisPlan

BATCH = 256
"""Images made at once."""
Counts = Mapping[int, int] | Mapping[str, int] | Mapping[int | str, int]
Progress = Callable[[int, int], None]


@overload
def synthesize(
    generator: Synthesizer,
    counts: Counts,
    path: str | Path,
    *,
    seed: int = 0,
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
    shard_size: int = 1024,
    batch_size: int = BATCH,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> Bank | None:
    """Makes `counts[c]` images of each class c and writes them to a bank; run again, it goes on where it stopped.

    The same generator, counts, seed and shard size give the same bank, byte for byte, whatever the batch size, however
    often it was interrupted, and however many processes made it. Images are computed in float64 for this: in float32
    the last bits of a convolution depend on the batch size, and one pixel in some hundred thousand would round to
    another value. Between a CPU and a GPU even float64 differs in its last bits, which is promised nothing about.

    Several processes share the work when each is given its `rank`: each makes every `world_size`-th shard, and none
    waits for another. Their number may change from one run to the next. They must see one folder.

    Args:
        generator: a module that is a `Synthesizer`, such as `load_generator(path)`; it is not changed.
        counts: images of each class, by number or by name.
        path: folder of the bank.
        rank, world_size: make only this process's part, see `torchaug.training.plan.launched_as`.
        seed: of all samples.
        shard_size: images in a file; a kill loses at most one file.
        batch_size: images made at once.
        dtype: of the computation; float32 is faster, but then only equal batch sizes give equal banks.
        device: to compute on, see `pick_device`; None: where the generator is.
        progress: called with (images done, images in all) of this part after each batch.

    Returns:
        The bank; None when other processes have not made all of theirs yet.

    Raises:
        ValueError: a class that the generator does not know; a count below 0, or none above; a bank of another
            generator, seed or plan in the folder; a device that is not there.
        OSError: the disk is full; what is written stays, and a rerun completes it.
    """
    work = Synthesis(
        generator,
        counts,
        path,
        seed=seed,
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
        shard_size: int = 1024,
        batch_size: int = BATCH,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"synthesize: batch_size must be at least 1, got {batch_size}")
        self.plan = SynthesisPlan.of(generator.classes, counts, seed=seed, shard_size=shard_size)
        self.batch_size, self.dtype = batch_size, dtype
        self.device = None if device is None else pick_device(device)
        named = {name: count for name, count in zip(generator.classes, self.plan.counts, strict=True) if count}
        self.writer = BankWriter(
            path,
            # the model's seed and dtype decide the images; batch size and device do not
            config={"seed": seed, "counts": named, "dtype": str(dtype).removeprefix("torch.")},
            trained_on=getattr(generator, "trained_on", None),
            trained_items=getattr(generator, "trained_items", None),
            generator=generator_hash(generator),
            classes=generator.classes,
            shard_size=shard_size,
            samples=self.plan.samples,
        )
        self._generator = generator
        self._model: Synthesizer | None = None

    def make(self, number: int, progress: Callable[[int], None] | None = None) -> bool:
        """Make one shard and write it, unless it is there and whole; whether it was written now."""
        if self.writer.has(number):
            return False
        self._model = self._model or exact_copy(self._generator, self.dtype, self.device)
        shard = self.plan.shard(number)
        images = make_images(self._model, shard.labels, shard.keys, self.batch_size, progress)
        return self.writer.write(number, {"image": images}, shard.labels, shard.ids)

    def bank(self) -> Bank | None:
        """The bank, when all shards are there."""
        return Bank(self.writer.path) if len(read_notes(self.writer.path)) >= len(self.plan) else None


def exact_copy(generator: Synthesizer, dtype: torch.dtype, device: torch.device | None = None) -> Synthesizer:
    """A copy of a generator that computes in `dtype` on `device`."""
    return deepcopy(_module(generator)).to(device=device, dtype=dtype).eval()  # type: ignore[return-value]


@torch.no_grad()
def make_images(
    model: Synthesizer,
    labels: Tensor,
    keys: Tensor,
    batch_size: int = BATCH,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """The images of labels (n,) and keys (n,), `batch_size` at a time: (n, C, H, W) uint8 on the CPU."""
    device = next(_module(model).parameters()).device
    images: list[Tensor] = []
    for start in range(0, len(labels), batch_size):
        part = slice(start, start + batch_size)
        made = model.sample(labels[part].to(device), keys[part].to(device))
        images.append((made * 255).round().clamp(0, 255).to(torch.uint8).cpu())
        if progress is not None:
            progress(start + len(made))
    return torch.cat(images)


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


def generator_hash(generator: Synthesizer) -> str:
    """The sha256 of a generator's weights, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(_module(generator).state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _module(generator: Synthesizer) -> nn.Module:
    if not isinstance(generator, nn.Module):
        raise TypeError(f"synthesize: expected a generator that is a torch module, got {type(generator).__name__}")
    return generator
