"""Contact sheets of a study: real, augmented and synthetic images for a reader's eye."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from torchaug.data import Bank, TensorImages
from torchaug.evaluate import neighbours
from torchaug.evaluate.results import Sheet
from torchaug.keys import sample_keys
from torchaug.training.arms import Recipe


def contact_sheets(train: TensorImages, bank: Bank | None, recipe: Recipe, seed: int) -> dict[str, Sheet]:
    """Real, augmented and synthetic images of each class, and beside the synthetic ones the nearest training image."""
    classes = range(len(train.classes))
    real = first_of(train.labels, classes, recipe.shown)
    labels = tuple(train.labels[real].tolist())
    keys = sample_keys(real, seed=seed)
    changed = recipe.augment(train.images[real].float() / 255, keys=keys)
    sheets = {
        "real": Sheet(train.images[real], labels),
        "augmented": Sheet((changed * 255).round().clamp(0, 255).to(torch.uint8), labels),
    }
    if bank is not None:
        made = bank.in_memory()
        rows = first_of(made.labels, classes, recipe.shown)
        images = made.images[rows]
        place, distance = nearest(images, train.images)
        shown = tuple(made.labels[rows].tolist())
        sheets["synthetic"] = Sheet(images, shown, train.images[place], tuple(distance.tolist()))
    return sheets


def nearest(images: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """For each uint8 image the place of the nearest of `among` and the Euclidean distance, pixels in [0, 1].

    >>> nearest(torch.tensor([[[[250]]]], dtype=torch.uint8), torch.tensor([[[[0]]], [[[255]]]], dtype=torch.uint8))[0]
    tensor([1])
    """
    distance, place = neighbours.nearest(*(x.flatten(1).double() / 255 for x in (images, among)))
    return place, distance


def first_of(labels: Tensor, classes: Iterable[int], count: int) -> Tensor:
    """Indices of the first `count` items of each class, or of all where there are fewer.

    >>> first_of(torch.tensor([0, 1, 1, 0, 1]), [1, 0], 2)
    tensor([1, 2, 0, 3])
    """
    return torch.cat([(labels == c).nonzero()[:count, 0] for c in classes])
