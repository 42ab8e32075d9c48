"""Test sets from a user's own data, and which of their classes are rare."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from torchaug.data import TableDataset, TensorImages, TensorWaveforms
from torchaug.keys import hash_int

Data = TypeVar("Data", TensorImages, TableDataset, TensorWaveforms)


def holdout(dataset: Data, seed: int, share: float = 0.3) -> tuple[Data, Data]:
    """A stratified split: `share` of each class to test, at least one, and at least one to train.

    Args:
        dataset: images, rows of a table or sounds, with labels.
        seed: another seed holds out other samples.
        share: of each class, in (0, 1).

    Returns:
        The training set and the test set, both with all the classes.

    >>> from torchaug.data import digits
    >>> train, test = holdout(digits(), seed=0)
    >>> len(train), len(test)
    (1258, 539)
    """
    if not 0 < share < 1:
        raise ValueError(f"holdout: share must be above 0 and below 1, got {share}")
    labels, classes = dataset.labels, dataset.classes
    if labels is None or classes is None:
        raise ValueError("holdout: expected samples with labels, got none; name their column with label=")
    train, test = [], []
    for number, name in enumerate(classes):
        members = (labels == number).nonzero().flatten()
        if len(members) < 2:
            raise ValueError(
                f"holdout: every class needs 2 samples or more, one to train and one to test, got {len(members)} of "
                f"class {name!r}; add samples or remove the class"
            )
        order = torch.randperm(len(members), generator=torch.Generator().manual_seed(hash_int(seed, number)))
        held = min(max(round(share * len(members)), 1), len(members) - 1)
        test.append(members[order[:held]])
        train.append(members[order[held:]])
    return dataset.subset(torch.cat(train)), dataset.subset(torch.cat(test))


def rarest(labels: Tensor, num_classes: int) -> list[int]:
    """The classes with at most half as many samples as the median class; where none is so small, the smallest one.

    >>> rarest(torch.tensor([0] * 9 + [1] * 8 + [2] * 3), 3)
    [2]
    """
    counts = labels.bincount(minlength=num_classes)
    few = (2 * counts <= counts.median()).nonzero().flatten().tolist()
    return few or [int(counts.argmin())]
