"""Spans of time in users' units, whole numbers drawn between tensors, and fades at the joins."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.transform import Sizes

Unit = Literal["fraction", "samples", "seconds"]


def unit(value: Unit, who: str, name: str) -> Unit:
    """ "fraction" (of a sound's own length), "samples" or "seconds"."""
    return arguments.one_of(value, who, name, get_args(Unit))


def lengths_in(size: Sizes) -> Tensor:
    """(B,) int64 lengths of the sounds that numbers are drawn for, or an error where there are none."""
    if size.lengths is None:
        raise TypeError("describe: expected params that were drawn for a batch with a waveform")
    return size.lengths


def whole_between(u: Tensor, low: Tensor | int, high: Tensor | int) -> Tensor:
    """Whole numbers low, ..., high (both in), int64, each as likely as the others; low where high is below it."""
    count = (high - low + torch.ones_like(u, dtype=torch.int64)).clamp(min=1)
    return low + torch.floor(u.to(torch.float64) * count).to(torch.int64)


def drawn_samples(u: Tensor, low: float, high: float, unit: Unit, lengths: Tensor, sample_rate: int) -> Tensor:
    """(B,) int64 samples between `low` and `high`, each in `unit`, both rounded to whole samples."""
    scale = lengths.to(torch.float64) if unit == "fraction" else float(sample_rate) if unit == "seconds" else 1.0
    ends = [torch.round(torch.ones_like(u, dtype=torch.float64) * end * scale).to(torch.int64) for end in (low, high)]
    return whole_between(u, ends[0], ends[1])


def written(waveform: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """(B, C, T) with `values` (B, C, K) at the places `at` (B, K) that it has, none twice: to the rounding of the dtype.

    In the memory of the waveform, which is no longer what it was, unless derivatives need it.
    """
    if not waveform.shape[-1]:
        return waveform
    there = ((at >= 0) & (at < waveform.shape[-1]))[:, None]
    at = at.clamp(0, waveform.shape[-1] - 1)[:, None].expand_as(values)
    # what is missing is added: a place that it lacks can add 0 anywhere, where writing would need a place for it
    missing = torch.where(there, values - waveform.gather(2, at), 0)
    return waveform.scatter_add(2, at, missing) if missing.requires_grad else waveform.scatter_add_(2, at, missing)


def fade(distance: Tensor, width: Tensor | int) -> Tensor:
    """How far a fade of `width` samples has come at a distance (in samples) behind its begin: half a cosine from 0 to 1.

    >>> fade(torch.tensor([-1.0, 0.0, 2.0, 4.0, 9.0]), 4)
    tensor([0.0000, 0.0000, 0.5000, 1.0000, 1.0000])
    """
    share = (distance / (width.clamp(min=1) if isinstance(width, Tensor) else max(1, width))).clamp(0, 1)
    return torch.sin(share * (math.pi / 2)).square()
