"""What every benchmark shares: interleaved timing, operator counts, and rows with their targets as JSON."""

from __future__ import annotations

import ctypes
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

RESULTS = Path(__file__).parent / "results"
VIEWS = {
    "view", "_unsafe_view", "expand", "slice", "select", "unsqueeze", "squeeze", "permute", "transpose", "t", "detach",
    "alias", "split", "split_with_sizes", "unbind", "as_strided", "_reshape_alias", "lift_fresh", "unfold", "empty",
    "empty_strided", "new_empty", "empty_like", "diagonal", "device",
}  # fmt: skip


FRESH = {"new_full", "new_zeros", "new_ones", "zeros_like", "ones_like", "full_like"}
"""What takes only shape and dtype from its input."""


@dataclass(frozen=True)
class Row:
    """One measured number; `target` is the bound it was asked to meet, `met` whether it does.

    Without a value, `unit` says why there is none, such as "not installed" of a peer.
    """

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    target: str | None = None
    met: bool | None = None


def row(
    name: str, values: list[float], unit: str, *, at_least: float | None = None, at_most: float | None = None
) -> Row:
    """The median of repeated measurements with their quartiles, against a bound."""
    middle = statistics.median(values)
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (middle,) * 3
    target = met = None
    if at_least is not None:
        target, met = f">= {at_least}", middle >= at_least
    if at_most is not None:
        target, met = f"<= {at_most}", middle <= at_most
    return Row(name, middle, unit, low, high, target, met)


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2) -> dict[str, list[float]]:
    """Seconds of each call, the functions taking turns, so that a slow moment of the machine hits all alike."""
    for function in functions.values():
        for _ in range(warmup):
            function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            _wait()
            start = time.perf_counter()
            function()
            _wait()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def keep_memory() -> bool:
    """Let the C library keep freed memory for the next allocation, as a loop over reused buffers does.

    By default glibc returns blocks above 32 MB to the system, and each new one costs a page fault every 4 KB: up to four
    times the cost of filling it. True where that could be set.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    most = 2**31 - 1
    mmap_threshold, trim_threshold = -3, -1
    return bool(mallopt(mmap_threshold, 1 << 30)) and bool(mallopt(trim_threshold, most))


class Traffic(TorchDispatchMode):
    """Counts operator calls and the bytes that they read and write; views cost nothing, broadcasts count once."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        if name not in VIEWS:
            self.calls += 1
            read = {id(t): t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
            made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
            tensors = made if name in FRESH else [*read.values(), *made]
            self.bytes += sum(map(_bytes, tensors))
        return out


def _bytes(tensor: torch.Tensor) -> int:
    elements = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= length if stride else 1
    return elements * tensor.element_size()


def write(topic: str, rows: list[Row], packages: tuple[str, ...], suffix: str = "") -> Path:
    """Rows and what they were measured with, as `benchmarks/results/TOPIC.json`; the table goes to the terminal."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    meta = {
        "topic": topic,
        "commit": _git("rev-parse", "--short", "HEAD") + ("+changes" if _git("status", "--porcelain") else ""),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "device": device,
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{topic}{suffix}.json"
    path.write_text(json.dumps({"meta": meta, "rows": [asdict(r) for r in rows]}, indent=1) + "\n")
    for r in rows:
        verdict = "" if r.met is None else ("  met" if r.met else "  NOT MET")
        spread = "" if r.low is None or r.low == r.high else f"  [{r.low:.4g}, {r.high:.4g}]"
        value = " " * 10 if r.value is None else f"{r.value:10.4g}"
        print(f"{r.name:62s} {value} {r.unit:10s}{spread:22s} {r.target or ''}{verdict}")
    print(f"wrote {path.relative_to(path.parent.parent.parent)}")
    return path


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=RESULTS.parent)
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
