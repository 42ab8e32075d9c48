"""Memory for large results on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor on the CPU, in large pages where the system has them.

    The first touch of a fresh page costs as much as writing it several times; numpy asks the system for pages of 2 MiB in
    place of 4 KiB, torch does not. Measured in docs/decisions/0013-memory-for-results.md.

    >>> empty((2, 3), torch.bfloat16).shape
    torch.Size([2, 3])
    """
    numpys = _SAME_WIDTH[dtype.itemsize]
    return torch.from_numpy(np.empty(tuple(shape), numpys)).view(dtype)


class Room(NamedTuple):
    """Memory for images: as a whole, (B, C, H, W), and as C planes (B, H, W) on the same memory.

    A compiler takes each for a place of its own, and so writes the channels of a pixel in one pass.
    """

    whole: Tensor
    planes: list[Tensor]

    @staticmethod
    def of(shape: Sequence[int], dtype: torch.dtype) -> Room:
        """For images of a shape."""
        whole = empty(shape, dtype)
        values = whole.view(getattr(torch, _SAME_WIDTH[dtype.itemsize])).numpy()
        return Room(whole, [torch.from_numpy(values[:, c]).view(dtype) for c in range(shape[1])])


_SAME_WIDTH = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
"""Dtypes that numpy has too, by width: it has no bfloat16."""
