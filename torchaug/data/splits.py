"""An imbalanced training set and a balanced test set from one data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

from torchaug.data.images import TensorImages
from torchaug.data.readers.base import FileDataset
from torchaug.data.waveforms import TensorWaveforms
from torchaug.keys import hash_int

Data = TypeVar("Data", TensorImages, TensorWaveforms)


@overload
def imbalanced_split(
    dataset: Data, *, rare: Sequence[int], n_rare: int | None, n_common: int | None, seed: int
) -> tuple[Data, Data]: ...


@overload
def imbalanced_split(
    dataset: FileDataset, *, rare: Sequence[int], n_rare: int | None, n_common: int | None, seed: int
) -> tuple[Any, Any]: ...


def imbalanced_split(
    dataset: TensorImages | TensorWaveforms | FileDataset,
    *,
    rare: Sequence[int],
    n_rare: int | None,
    n_common: int | None,
    seed: int,
) -> tuple[Any, Any]:
    """A training set with few samples of some classes, and a fixed, balanced test set that no seed touches.

    The test set takes half of the smallest class and as many samples of each other class, always the same ones.
    The training set is drawn, by `seed`, from what remains.

    Args:
        dataset: images or sounds, with labels.
        rare: the numbers of the rare classes.
        n_rare: training samples of each rare class; None: all that remain.
        n_common: training samples of each other class; None: all that remain.
        seed: of the draw.

    Returns:
        The training set and the test set, both with all the classes.

    >>> from torchaug.data import digits
    >>> train, test = imbalanced_split(digits(), rare=[3, 7], n_rare=5, n_common=80, seed=0)
    >>> train.labels.bincount().tolist(), test.labels.bincount().tolist()[:2]
    ([80, 80, 80, 5, 80, 80, 80, 5, 80, 80], [87, 87])
    """
    data = dataset.in_memory()
    labels, names = data.labels, data.classes
    if labels is None or names is None:
        raise ValueError("imbalanced_split: expected samples with labels, got none")
    unknown = [number for number in rare if not 0 <= number < len(names)]
    if unknown:
        raise ValueError(f"imbalanced_split: rare classes must be in [0, {len(names)}), got {unknown[0]}")
    counts = labels.bincount(minlength=len(names))
    if int(counts.min()) < 2:
        small = int(counts.argmin())
        raise ValueError(
            f"imbalanced_split: every class needs 2 samples or more, one to train and one to test, got "
            f"{int(counts[small])} of class {names[small]!r}"
        )
    held = int(counts.min()) // 2
    train, test = [], []
    for number, name in enumerate(names):
        members = (labels == number).nonzero().flatten()
        members = members[_order(len(members), hash_int(number))]  # fixed: no seed
        test.append(members[:held])
        wanted = n_rare if number in rare else n_common
        train.append(_draw(members[held:], wanted, hash_int(seed, number), name))
    return data.subset(torch.cat(train)), data.subset(torch.cat(test))


def _draw(members: Tensor, wanted: int | None, key: int, name: str) -> Tensor:
    wanted = len(members) if wanted is None else wanted
    if not 1 <= wanted <= len(members):
        raise ValueError(
            f"imbalanced_split: expected from 1 to {len(members)} training samples of class {name!r} (the rest is "
            f"held out to test), got {wanted}"
        )
    return members[_order(len(members), key)[:wanted]]


def _order(count: int, key: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(key))
