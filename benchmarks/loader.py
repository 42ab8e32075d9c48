"""What does `DeviceLoader` cost on a CPU, and how much of the work does it hide on a GPU? Run by `scripts/bench loader`.

On a CPU: a loop over a `DeviceLoader` without a transform against the loop over its DataLoader, epochs in turns.
On a GPU: how much of the shorter of (copy + augmentation) and (training step) is hidden, by events, and whether memory stays
flat over 20 epochs.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from rows import Row, row, write
from torch import nn
from torch.utils.data import DataLoader, default_collate
from torchvision.models import resnet18

from torchaug import Compose
from torchaug import image as T
from torchaug.data import DeviceLoader, MixedDataset, MixedSampler, Source, TensorImages, collate


def images(count: int, side: int) -> TensorImages:
    pixels = torch.randint(
        0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return TensorImages(pixels, torch.arange(count) % 10, [str(number) for number in range(10)])


def plain(side: int, batches: int, batch: int, workers: int) -> DataLoader[Any]:
    return DataLoader(images(batch * batches, side), batch, num_workers=workers, persistent_workers=workers > 0)


def mixed(side: int, batches: int, batch: int, workers: int) -> DataLoader[Any]:
    real, made = images(batch * batches, side), images(batch * 4, side)
    data = MixedDataset([Source.real(real), Source("bank", made, kind="bank")])
    sampler = MixedSampler(data, 0.25, batch_size=batch, steps_per_epoch=batches, classes="fill")
    return DataLoader(data, batch, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)


def seconds(loader: Iterable[Any], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    for _ in loader:
        pass
    return clock() - start


def fixed_cost(rounds: int = 200) -> list[float]:
    """Microseconds a batch that the loader adds, by the CPU's clock, where a batch costs next to nothing."""
    items = [{"image": torch.zeros(3, 4, 4, dtype=torch.uint8), "label": 1, "index": 0}] * 1000
    bare, wrapped = DataLoader(items, batch_size=2), DeviceLoader(DataLoader(items, batch_size=2), device="cpu")
    seconds(bare), seconds(wrapped)
    return [2000 * (seconds(wrapped, time.process_time) - seconds(bare, time.process_time)) for _ in range(rounds)]


def overhead(make: Callable[..., DataLoader[Any]], side: int, batches: int, workers: int, budget: float) -> list[float]:
    """Per cent that the epoch takes longer, for each pair of epochs; who goes first alternates.

    Without workers by the CPU's clock, which other programs disturb less.
    """
    clock = time.perf_counter if workers else time.process_time
    bare = make(side, batches, 64, workers)
    wrapped = DeviceLoader(make(side, batches, 64, workers), device="cpu")
    seconds(bare), seconds(wrapped)
    longer: list[float] = []
    deadline = time.perf_counter() + budget
    while time.perf_counter() < deadline:
        turn = len(longer)
        order = [bare, wrapped] if turn % 2 else [wrapped, bare]
        times = {id(loader): seconds(loader, clock) for loader in order}
        longer.append(100 * (times[id(wrapped)] / times[id(bare)] - 1))
    return longer


def collating(rounds: int = 200) -> list[float]:
    """Seconds of torch's collate over those of ours, for 64 images of one size."""
    items: list[dict[str, Any]] = [
        {"image": torch.zeros(3, 128, 128, dtype=torch.uint8), "label": 1, "index": 0} for _ in range(64)
    ]

    def taken(function: Callable[[list[dict[str, Any]]], Any]) -> float:
        start = time.process_time()
        for _ in range(5):
            function(items)
        return time.process_time() - start

    taken(collate)
    return [taken(default_collate) / taken(collate) for _ in range(rounds)]


def cpu_rows(budget: float) -> list[Row]:
    rows = [row("what a batch costs more, warm, no workers", fixed_cost(), "us")]
    rows.append(row("speed of our collate over torch's, 64 images of 128 px", collating(), "x", at_least=0.9))
    for name, make in (("DataLoader", plain), ("DataLoader, MixedSampler", mixed)):
        for side, batches in ((32, 100), (224, 20)):
            for workers in (0, 2):
                longer = overhead(make, side, batches, workers, budget)
                what = f"identity over a plain loop: {name}, {side} px, {workers} workers"
                rows.append(row(what, longer, "%", at_most=3))
    return rows


def gpu_rows(rounds: int) -> list[Row]:
    """(step + make - both) / min(step, make): 1 where the shorter one is hidden whole."""
    data, batch = images(2048, 256), 128
    chain = Compose([T.RandomResizedCrop(224), T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4, 0.4, 0.1)]).cuda()
    model = resnet18().cuda()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def step(inputs: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    def loader(depth: int) -> DeviceLoader:
        return DeviceLoader(DataLoader(data, batch, num_workers=4, pin_memory=True), chain, device="cuda", depth=depth)

    ahead, ready = loader(2), next(iter(loader(0)))
    pinned = [batch["image"].pin_memory() for batch in DataLoader(data, batch)]
    keys = torch.arange(batch)

    def making() -> None:
        for image in pinned:
            chain(image.to("cuda", non_blocking=True), keys=keys)

    def stepping() -> None:
        for _ in pinned:
            step(ready["image"], ready["label"])

    def both() -> None:
        for one in ahead:
            step(one["image"], one["label"])

    times: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for work in (making, stepping, both):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            torch.cuda.synchronize()
            if turn:
                times.setdefault(work.__name__, []).append(start.elapsed_time(end))
    hidden = [
        (m + s - b) / min(m, s) for m, s, b in zip(*(times[k] for k in ("making", "stepping", "both")), strict=True)
    ]
    rows = [row(f"GPU: {name}, 16 batches of {batch}", values, "ms") for name, values in times.items()]
    return [*rows, row("GPU: share of the shorter that is hidden", hidden, "", at_least=0.8), flat(ahead, both)]


def flat(loader: DeviceLoader, epoch: Callable[[], None]) -> Row:
    epoch()
    torch.cuda.reset_peak_memory_stats()
    first = torch.cuda.memory_reserved()
    for _ in range(20):
        epoch()
    return row(
        "GPU: memory after 20 epochs over that after one", [torch.cuda.memory_reserved() / first], "x", at_most=1.0
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15, help="of each row on the CPU")
    parser.add_argument("--rounds", type=int, default=15, help="on a GPU")
    parser.add_argument("--suffix", default="", help="of the name of the results, such as -h100")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*suggested max number of worker.*")
    torch.set_num_threads(1)
    rows = cpu_rows(options.seconds)
    if torch.cuda.is_available():
        rows += gpu_rows(options.rounds)
    write("loader", rows, ("torch", "torchvision"), options.suffix)


if __name__ == "__main__":
    main()
