"""One measurement of a study of generators: what it measures, where its result is kept, and how many run at once."""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import fmean

import torch
from rows import Row

from torchaug.evaluate.utility import mean_interval

ROOT = Path(__file__).parent.parent
PACKAGES = {"CTGAN": "ctgan", "TVAE": "ctgan", "SMOTE": "imbalanced-learn"}
"""The package of each peer."""
OF_IMAGES = ("gan", "vae", "vq", "quantizer", "likelihoods", "aggregated", "posterior", "images", "networks")
OF_TABLES = ("table", "mixture", "conditions", "resampler")
OF_NEITHER = (
    "audio", "spectrogram", "phase", "private", "privacy", "accountant", "study", "arms", "seeds", "show", "sheets",
    "samples", "sound", "table_study", "table_arms", "table_sheets",
)  # fmt: skip
"""How the names of modules begin that a generator of tables, one of images, and both do without."""
Result = dict[str, float]


@dataclass(frozen=True)
class Cell:
    """One method on one data set with one seed; `study` is the module and function that measures it."""

    study: str
    data: str
    method: str
    seed: int

    @property
    def file(self) -> str:
        """The name of the file of its result."""
        return "-".join([self.study.split(":")[1], self.data, self.method, str(self.seed)]).replace(" ", "_") + ".json"

    def run(self) -> Result:
        """Measures; imported by name because a cell is sent to another process."""
        module, function = self.study.split(":")
        measure: Callable[[str, str, int], Result] = getattr(importlib.import_module(module), function)
        return measure(self.data, self.method, self.seed)


Results = dict[Cell, Result]


def installed(method: str) -> bool:
    """Whether a peer's package is there; what is no peer always is."""
    try:
        return bool(metadata.version(PACKAGES[method])) if method in PACKAGES else True
    except metadata.PackageNotFoundError:
        return False


def measure(cells: Iterable[Cell], cache: Path, processes: int) -> Results:
    """The results of all cells, those in `cache` taken from there if what they measured has not changed since.

    Seeds come in their order, so that an interrupted run leaves whole rounds. A cell that fails is reported, left out
    and tried again in the next run.
    """
    cache.mkdir(parents=True, exist_ok=True)
    cells = sorted(cells, key=lambda cell: cell.seed)
    results = kept(cells, cache)
    todo = [cell for cell in cells if cell not in results]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _one_thread) as pool:
        waiting = {pool.submit(cell.run): cell for cell in todo}
        for number, done in enumerate(as_completed(waiting), 1):
            cell, error = waiting[done], done.exception()
            if error is not None:  # one method that fails must not take the others' results along
                print(f"FAILED {cell}\n{''.join(traceback.format_exception(error))}", flush=True)
                continue
            results[cell] = done.result()
            _keep(cell, results[cell], cache)
            print(f"{number}/{len(todo)} {cell.file} {json.dumps(results[cell])}", flush=True)
    return results


def kept(cells: Iterable[Cell], cache: Path) -> Results:
    """What `cache` has of cells, where what they measured has not changed since."""
    return {cell: result for cell in cells if (result := _kept(cell, cache)) is not None}


def _one_thread() -> None:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # read by what is imported later, scikit-learn among them


def _kept(cell: Cell, cache: Path) -> Result | None:
    path = cache / cell.file
    found = json.loads(path.read_text()) if path.exists() else {}
    return found["result"] if found.get("of") == _measured(cell.method) else None


def _keep(cell: Cell, result: Result, cache: Path) -> None:
    partial = cache / f"{cell.file}.{os.getpid()}"
    partial.write_text(json.dumps({"of": _measured(cell.method), "result": result}))
    partial.replace(cache / cell.file)


def _measured(method: str) -> str:
    """What a result is of: the version of a peer, the state of our generators' code."""
    if method in PACKAGES:
        return metadata.version(PACKAGES[method]) if installed(method) else "not installed"
    if "-" not in method and method not in ("vae", "gan"):
        return ""
    others = OF_IMAGES if method.startswith("table") else OF_TABLES
    files = sorted(file for folder in ("models", "training") for file in (ROOT / folder).glob("*.py"))
    read = [file.read_bytes() for file in files if not file.name.startswith((*others, *OF_NEITHER))]
    return hashlib.sha256(b"".join(read)).hexdigest()[:16]


def values(results: Results, study: str, data: str, method: str, metric: str) -> dict[int, float]:
    """A metric by seed."""
    return {
        cell.seed: result[metric]
        for cell, result in results.items()
        if (cell.study, cell.data, cell.method) == (study, data, method) and metric in result
    }


def interval_row(
    name: str,
    numbers: Iterable[float],
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    missing: str = "not measured",
) -> Row:
    """The mean over seeds with its 95 % interval, against a bound; where there are none, no value, and why."""
    numbers = list(numbers)
    target = f">= {at_least}" if at_least is not None else f"<= {at_most}" if at_most is not None else None
    if not numbers:
        return Row(name, None, missing, target=target, met=None if target is None else False)
    mean, interval = fmean(numbers), mean_interval(numbers)
    met = mean >= at_least if at_least is not None else mean <= at_most if at_most is not None else None
    low, high = (interval.low, interval.high) if len(numbers) > 1 else (None, None)
    return Row(name, mean, unit, low, high, target, met)


def paired(first: dict[int, float], second: dict[int, float]) -> list[float]:
    """First minus second, of the seeds that both have."""
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def ratios(first: dict[int, float], second: dict[int, float]) -> list[float]:
    """First over second, of the seeds that both have."""
    return [first[seed] / max(second[seed], 1e-9) for seed in sorted(first.keys() & second.keys())]
