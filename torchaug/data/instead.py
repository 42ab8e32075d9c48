"""Samples that stand in for others that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchaug.data.errors import SampleError, is_past_end, sample_error

TRIES = 16
_WINDOW = 1 << 12  # places looked at together: a rare label may be far away, and most are not


class Replaced(NamedTuple):
    """A sample of a batch that stands in for another one.

    Args:
        row: place in the batch.
        wanted: index of the sample that could not be read.
        read: index of the one that was read in its place.
        errors: of the one wanted, and of those tried in its place.
    """

    row: int
    wanted: int
    read: int
    errors: list[str]


def alike(size: int, index: int, labels: Tensor | None = None, fit: Tensor | None = None) -> Iterator[int]:
    """The places after `index`, then those before it, that have its label and are fit: none is drawn by chance.

    Args:
        size: number of places.
        index: one of them, left out.
        labels: (size,) or None.
        fit: (size,) bool, which places may be given, or None: all.

    >>> list(alike(6, 2, torch.tensor([1, 0, 1, 0, 1, 1])))
    [4, 5, 0]
    """
    for start in range(1, size, _WINDOW):
        places = (torch.arange(start, min(start + _WINDOW, size)) + index) % size
        if labels is not None:
            places = places[labels[places] == labels[index]]
        if fit is not None:
            places = places[fit[places]]
        yield from places.tolist()


def read_instead(
    data: Any, index: Any, error: Exception, read: Callable[[Any], Any], min_weight: float
) -> tuple[Any, int, list[str]]:
    """The item that stands in for one whose reading gave `error`: the next alike that can be read.

    Args:
        data: the data set; a mixture says by `instead` what is alike, and others by their `labels`.
        index: of the item that cannot be read.
        error: why not.
        read: of an index, its item.
        min_weight: of the items of a mixture.

    Returns:
        The item, its index, and the errors of those before it.

    Raises:
        SampleError: the first one, where the data set has shrunk or 16 in a row cannot be read.
    """
    first = sample_error(error, data, index) if not isinstance(error, SampleError) else error
    if is_past_end(error, data, index) or not isinstance(index, int) or not hasattr(data, "__len__"):
        raise first from error
    errors = [str(first)]
    for other in islice(_candidates(data, index, min_weight), TRIES):
        try:
            return read(other), other, errors
        except Exception as failed:  # noqa: PERF203, BLE001 (it is one more that cannot be read)
            errors.append(str(failed if isinstance(failed, SampleError) else sample_error(failed, data, other)))
    raise SampleError(
        f"{first}; nor could the {len(errors) - 1} samples tried in its place be read, the last: {errors[-1]}"
    ) from error


def _candidates(data: Any, index: int, min_weight: float) -> Iterator[int]:
    if hasattr(data, "instead"):
        found: Iterator[int] = data.instead(index, min_weight)
        return found
    size, labels = len(data), getattr(data, "labels", None)
    usable = isinstance(labels, Tensor) and labels.shape == (size,)
    return alike(size, index, labels if usable else None)
