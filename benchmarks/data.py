"""What does the data path cost: the mixture of sources, and banks? Run by `scripts/bench data`."""

from __future__ import annotations

import argparse

import torch
from data_bank import bank_rows
from data_sampler import sampler_rows
from rows import write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--items", type=float, nargs="+", default=[1e7, 1e8], help="of the mixtures; 1e8 need 6 GB")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = sampler_rows([int(items) for items in arguments.items], arguments.rounds)
    rows += bank_rows()
    write("data", rows, ("torch", "numpy", "safetensors"))


if __name__ == "__main__":
    main()
