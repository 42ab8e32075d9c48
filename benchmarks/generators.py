"""How good are the generators, and what do they cost? Run by `scripts/bench generators`.

C1 trains on synthetic rows and tests on real ones, C2 tops up a rare class, C3 counts modes, C4 asks for what it wants,
C5 measures speed, and "images" are the generators of digits. All of it takes hours; the results of what was measured
are kept in the folder `--cache`, and a run that was interrupted goes on from there.

Three studies are for a GPU, about ten hours of one, and without it their rows say so: "stacked" (G1) counts the modes of
stacked digits, "defects" (G2) augments GANs of few images of surfaces, "perf" (G3) times a step of the discriminator. Alone
(`--only stacked,defects,perf`) they are written as generators-gpu.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from generators_cells import Cell, Results, kept, measure
from generators_defects import defect_cells, defect_rows
from generators_images import image_cells, image_rows
from generators_modes import c3_cells, c3_rows, c4_cells, c4_rows
from generators_perf import perf_rows
from generators_rare import c2_cells, c2_rows
from generators_speed import speed_rows
from generators_stacked import stacked_cells, stacked_rows
from generators_tables import c1_cells, c1_rows
from rows import Row, write

STUDIES: dict[str, tuple[Callable[[int, bool], list[Cell]], Callable[[Results], list[Row]]]] = {
    "C1": (c1_cells, c1_rows),
    "C2": (c2_cells, c2_rows),
    "C3": (c3_cells, c3_rows),
    "C4": (c4_cells, c4_rows),
    "images": (image_cells, image_rows),
    "stacked": (stacked_cells, stacked_rows),
    "defects": (defect_cells, defect_rows),
}
GPU = ("stacked", "defects", "perf")
PACKAGES = ("torch", "lightning", "numpy", "scikit-learn", "ctgan", "imbalanced-learn", "pandas")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="studies, such as C1,C5,images; all by default")
    parser.add_argument("--methods", help="of the studies, such as real,CTGAN,table-vae; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15, help="of C5 and perf")
    parser.add_argument(
        "--perf-device", default="cuda", choices=("cuda", "cpu"), help="of perf; a CPU where it is asked for"
    )
    parser.add_argument("--cache", type=Path, default=Path("build/bench-generators"), help="folder of results")
    parser.add_argument("--cached", action="store_true", help="measure no cell: rows of what --cache has")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    only = arguments.only.split(",") if arguments.only else [*STUDIES, "C5", "perf"]
    methods = arguments.methods.split(",") if arguments.methods else None
    results = {
        **results_of([name for name in only if name not in GPU], methods, arguments),
        **results_of([name for name in only if name in GPU], methods, arguments),
    }
    rows = [row for name in only if name in STUDIES for row in STUDIES[name][1](results)]
    if "C5" in only:
        rows += speed_rows(arguments.rounds, arguments.peers)
    if "perf" in only:
        rows += perf_rows(arguments.rounds, arguments.perf_device)
    suffix = "" if arguments.only is methods is None else "-gpu" if set(only) == set(GPU) and not methods else "-part"
    write("generators", rows, PACKAGES, suffix)


def results_of(studies: list[str], methods: list[str] | None, arguments: argparse.Namespace) -> Results:
    """What the cells of these studies measure, or measured; those for a GPU take turns, since they share it."""
    cells = [c for name in studies if name in STUDIES for c in STUDIES[name][0](arguments.seeds, arguments.peers)]
    cells = [cell for cell in cells if methods is None or cell.method in methods]
    shared = not set(studies).isdisjoint(GPU)
    if arguments.cached or (shared and not torch.cuda.is_available()):
        return kept(cells, arguments.cache)
    return measure(cells, arguments.cache, 1 if shared else arguments.processes)


if __name__ == "__main__":
    main()
