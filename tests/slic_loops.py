"""SLIC as Achanta et al. have it, in loops, with the whole-number distances of `torchaug.image.superpixels`."""

from __future__ import annotations

import numpy as np

AROUND = [(0, 0), (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def slic(image: np.ndarray, rows: int, columns: int, compactness: float, rounds: int = 10) -> np.ndarray:
    """Achanta's algorithm for one image (C, H, W) uint8, pixel by pixel and cell by cell: labels (H, W)."""
    channels, height, width = image.shape
    side = np.float32(np.sqrt(np.float32(height * width / (rows * columns))))
    scale = np.float32(compactness / 100 * 255 * 16 * np.sqrt(channels) / side)
    y, x = (np.rint(np.arange(n, dtype=np.float32) * scale).astype(np.int64) for n in (height, width))
    points = np.stack([*(image.astype(np.int64) * 16), *np.meshgrid(y, x, indexing="ij")])
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    label: np.ndarray = row[:, None] * columns + column
    centre: dict[int, np.ndarray] = {}
    for turn in range(rounds + 1):
        for i, j in np.ndindex(height, width) if turn else ():
            near = [
                min(max(row[i] + dy, 0), rows - 1) * columns + min(max(column[j] + dx, 0), columns - 1)
                for dy, dx in AROUND
            ]
            label[i, j] = min(near, key=lambda k: int(((points[:, i, j] - centre[k]) ** 2).sum()))
        for k in range(rows * columns):
            members = points[:, label == k]
            if members.size:
                centre[k] = (2 * members.sum(1) + members.shape[1]) // (2 * members.shape[1])
    return label
