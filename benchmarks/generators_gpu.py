"""What the studies for a GPU share; at a small scale they run on a CPU, too."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.keys import sample_keys
from torchaug.training.image_generator import LitImageGenerator

NO_GPU = "not measured: no GPU"
"""Why a study that needs a GPU has no number."""


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@torch.no_grad()
def drawn(generator: LitImageGenerator, labels: Tensor, seed: int, batch: int) -> Tensor:
    """An image (N, C, H, W) uint8 of each label (N,), on the CPU, made on the device so many at a time."""
    generator.to(device())
    parts = []
    for rows in torch.arange(len(labels)).split(batch):
        keys = sample_keys(rows, seed=seed).to(device())
        parts.append(generator.make(labels[rows].to(device()), keys)["image"].cpu())
    return torch.cat(parts)
