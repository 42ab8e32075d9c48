"""How good are the generators, and what do they cost? Run by `scripts/bench generators`.

C1 trains on synthetic rows and tests on real ones, C2 tops up a rare class, C3 counts modes, C4 asks for what it wants,
C5 measures speed, and "images" are the generators of digits. All of it takes hours; the results of what was measured
are kept in the folder `--cache`, and a run that was interrupted goes on from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from generators_cells import Cell, Results, kept, measure
from generators_images import image_cells, image_rows
from generators_modes import c3_cells, c3_rows, c4_cells, c4_rows
from generators_rare import c2_cells, c2_rows
from generators_speed import speed_rows
from generators_tables import c1_cells, c1_rows
from rows import Row, write

STUDIES: dict[str, tuple[Callable[[int, bool], list[Cell]], Callable[[Results], list[Row]]]] = {
    "C1": (c1_cells, c1_rows),
    "C2": (c2_cells, c2_rows),
    "C3": (c3_cells, c3_rows),
    "C4": (c4_cells, c4_rows),
    "images": (image_cells, image_rows),
}
PACKAGES = ("torch", "lightning", "numpy", "scikit-learn", "ctgan", "imbalanced-learn", "pandas")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="studies, such as C1,C5,images; all by default")
    parser.add_argument("--methods", help="of the studies, such as real,CTGAN,table-vae; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15, help="of C5")
    parser.add_argument("--cache", type=Path, default=Path("build/bench-generators"), help="folder of results")
    parser.add_argument("--cached", action="store_true", help="measure no cell: rows of what --cache has")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    only = arguments.only.split(",") if arguments.only else [*STUDIES, "C5"]
    methods = arguments.methods.split(",") if arguments.methods else None
    cells = [cell for name in only if name in STUDIES for cell in STUDIES[name][0](arguments.seeds, arguments.peers)]
    cells = [cell for cell in cells if methods is None or cell.method in methods]
    results = kept(cells, arguments.cache) if arguments.cached else measure(cells, arguments.cache, arguments.processes)
    rows = [row for name in only if name in STUDIES for row in STUDIES[name][1](results)]
    if "C5" in only:
        rows += speed_rows(arguments.rounds, arguments.peers)
    write("generators", rows, PACKAGES, suffix="" if arguments.only is methods is None else "-part")


if __name__ == "__main__":
    main()
