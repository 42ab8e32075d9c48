"""The rows of `MixedSampler`: time per batch, construction, memory, state and resume, and torch's sampler beside it."""

from __future__ import annotations

import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from rows import Row, interleaved, row
from torch import Tensor
from torch.utils.data import WeightedRandomSampler

from torchaug.data import MixedSampler, Source

BATCH, SHARE, CLASSES, GROUPS = 256, 0.25, 10, 4
BATCHES = 1024  # that are timed together: batches are planned many at a time


def sampler_rows(items: Sequence[int], rounds: int) -> list[Row]:
    """Rows for mixtures of so many items; the bounds hold for 10^8."""
    rows = []
    for count in items:
        rows += _at_scale(count, rounds)
    return [*rows, *_against_torch(10**6, rounds)]


def _at_scale(items: int, rounds: int) -> list[Row]:
    where = f"{items:.0e} items".replace("e+0", "e")
    numbers = _numbers(items)
    sources, reading = _timed(lambda: _sources(*numbers), rounds)
    sampler, making = _timed(lambda: _sampler(sources), rounds)
    both, making_both = _timed(lambda: _sampler(sources, real_classes="balanced"), rounds)
    peak, kept = _memory(lambda: _sampler(sources, real_classes="balanced"))
    rows = [
        row(f"sampler: sources, which read and hash the labels, {where}", reading, "s"),
        row(f"sampler: construction, classes='fill', {where}", making, "s", at_most=1.0),
        row(f"sampler: construction, real ones balanced too, {where}", making_both, "s", at_most=1.0),
        row(f"sampler: memory kept, {where}", [kept / items], "B/item", at_most=4.1),
        row(f"sampler: memory at most while it is made, {where}", [peak / items], "B/item"),
    ]
    by_cell, making = _timed(lambda: _sampler(sources, real_classes="balanced", by="class_group"), rounds)
    rows.append(row(f"sampler: construction, both sides by classes x groups, {where}", making, "s"))
    plain = MixedSampler(sources, SHARE, batch_size=BATCH)
    weighted = _sampler(_sources(*numbers, weighted=True))
    samplers = {
        "classes='fill'": sampler,
        "real ones balanced too": both,
        "both sides by classes x groups": by_cell,
        "classes=None": plain,
    }
    times = interleaved({name: _batches(each) for name, each in samplers.items()}, rounds)
    times["classes='fill', with plans"] = interleaved({"plans": _plans(sampler)}, rounds)["plans"]
    for name, seconds in times.items():
        rows.append(row(f"sampler: a batch of {BATCH}, {name}, {where}", _per_batch(seconds), "ms", at_most=0.15))
    slower = interleaved({"weighted": _batches(weighted)}, rounds)["weighted"]
    rows.append(row(f"sampler: a batch of {BATCH}, classes='fill' and weights, {where}", _per_batch(slower), "ms"))
    return [*rows, *_resume(sampler, rounds, where)]


def _resume(sampler: MixedSampler, rounds: int, where: str) -> list[Row]:
    steps = sampler.steps_per_epoch
    state = json.dumps(sampler.state_dict(divmod(10**6, steps)))

    def resume() -> None:
        sampler.load_state_dict(json.loads(state))
        next(iter(sampler))

    seconds = interleaved({"resume": resume}, max(rounds, 9))["resume"]
    return [
        row(f"sampler: state, {where}", [len(state)], "B", at_most=1024),
        row(f"sampler: resume at step 10^6 to its first index, {where}", [1e3 * s for s in seconds], "ms", at_most=10),
    ]


def _against_torch(items: int, rounds: int) -> list[Row]:
    """The same share by torch's sampler: on average alone."""
    real = items - items // 4
    weights = torch.cat([torch.full((real,), (1 - SHARE) / real), torch.full((items - real,), SHARE / (items - real))])
    generator = torch.Generator().manual_seed(0)
    theirs = WeightedRandomSampler(weights.double(), items, generator=generator)  # type: ignore[arg-type]
    ours = MixedSampler(
        [Source("real", real), Source("bank", items - real, kind="bank")],
        SHARE,
        batch_size=BATCH,
        steps_per_epoch=items // BATCH,
    )
    rows = []
    seconds = interleaved({"ours": lambda: list(ours), "torch's": lambda: list(theirs)}, rounds, warmup=1)
    for name, sampler in (("ours", ours), ("torch's WeightedRandomSampler", theirs)):
        drawn = torch.tensor(list(sampler))
        shares = (drawn[: items // BATCH * BATCH].view(-1, BATCH) >= real).double().mean(1).tolist()
        exact = {"at_most": 0.0} if name == "ours" else {}
        rows += [
            row(f"sampler: standard deviation of a batch's share, {name}", [statistics.pstdev(shares)], "", **exact),
            row(f"sampler: different items among as many draws, {name}", [len(drawn.unique()) / len(drawn)], ""),
        ]
    for name, times in seconds.items():
        rows.append(row(f"sampler: a batch of {BATCH} of 1e6 items, {name}", _per_batch(times, items // BATCH), "ms"))
    return rows


def _numbers(items: int) -> tuple[Tensor, Tensor, Tensor]:
    """Labels of real items, in which class 9 is 20 times as rare as class 0, of synthetic ones, and groups of all."""
    generator = torch.Generator().manual_seed(0)
    bank = items // 4
    some = torch.multinomial(torch.linspace(1, 0.05, CLASSES), 10**6, replacement=True, generator=generator)
    real = some.repeat(-(-(items - bank) // 10**6))[: items - bank]
    groups = torch.randint(0, GROUPS, (items,), generator=generator, dtype=torch.uint8)
    return real, torch.randint(0, CLASSES, (bank,), generator=generator), groups


def _sources(real: Tensor, bank: Tensor, groups: Tensor, weighted: bool = False) -> list[Source]:
    weights = 0.5 + torch.arange(len(bank)) % 3 if weighted else None
    return [
        Source("real", len(real), labels=real, groups=groups[: len(real)]),
        Source("bank", len(bank), labels=bank, groups=groups[len(real) :], weights=weights, kind="bank"),
    ]


def _sampler(sources: Sequence[Source], **options: Any) -> MixedSampler:
    return MixedSampler(sources, SHARE, batch_size=BATCH, classes="fill", **options)


def _timed(make: Callable[[], Any], rounds: int) -> tuple[Any, list[float]]:
    seconds = []
    for _ in range(max(2, rounds // 3)):
        start = time.perf_counter()
        made = make()
        seconds.append(time.perf_counter() - start)
    return made, seconds


def _memory(make: Callable[[], object]) -> tuple[int, int]:
    """Bytes at most while something is made, and those that it keeps."""
    tracemalloc.start()
    made = make()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return peak, kept


def _batches(sampler: MixedSampler) -> Callable[[], object]:
    """Goes on in the epoch that was begun, and begins the next where there is one."""
    indices = _endless(sampler)
    return lambda: list(islice(indices, BATCHES * BATCH))


def _endless(sampler: MixedSampler) -> Iterator[int]:
    while True:
        yield from sampler


def _plans(sampler: MixedSampler) -> Callable[[], object]:
    return lambda: list(sampler.plans(0, BATCHES))


def _per_batch(seconds: list[float], batches: int = BATCHES) -> list[float]:
    return [1e3 * s / batches for s in seconds]
