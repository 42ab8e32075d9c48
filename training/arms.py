"""The ways to train a classifier that a study compares, and one training of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from torchaug.compose import Compose
from torchaug.data import Bank, MixedDataset, MixedSampler, Source, TensorImages
from torchaug.evaluate.utility import Scores, SmallCNN, score_classifier, train_classifier
from torchaug.image import ColorJitter, GaussianNoise, RandomAffine
from torchaug.keys import fold_in, sample_keys
from torchaug.models.networks import seeded_weights
from torchaug.training.generator import KeyedAugment


@dataclass(frozen=True)
class Arm:
    """One way to train the classifier.

    Args:
        name: in tables.
        text: a sentence for a reader.
        weighted: the loss weighs each class by the inverse of its count.
        oversampled: real images are drawn so that every class comes equally often.
        augmented: all training images pass the augmentation.
        synthetic: rare classes are filled up from a bank.
    """

    name: str
    text: str
    weighted: bool = False
    oversampled: bool = False
    augmented: bool = False
    synthetic: bool = False


ARMS = (
    Arm("real", "The training images as they are."),
    Arm("real + class weights", "Rare classes weigh more in the loss.", weighted=True),
    Arm("real + oversampling", "Images of rare classes are drawn more often.", oversampled=True),
    Arm("real + augmentation", "Every image is changed a little each time it is drawn.", augmented=True),
    Arm(
        "real + oversampling + augmentation",
        "Images of rare classes are drawn more often, and every image is changed a little.",
        oversampled=True,
        augmented=True,
    ),
    Arm("real + synthetic", "Rare classes are filled up with generated images.", synthetic=True),
    Arm(
        "real + augmentation + synthetic",
        "Rare classes are filled up with generated images, and every image is changed a little.",
        augmented=True,
        synthetic=True,
    ),
)


def default_augment() -> Compose:
    """Small changes that keep the meaning of most images, text and digits among them: no flips."""
    return Compose(
        [
            RandomAffine(12, translate=(0.1, 0.1), scale=(0.87, 1.15), shear=8, interpolation="bilinear"),
            ColorJitter(brightness=0.2),
            GaussianNoise(sigma=0.05),
        ]
    )


@dataclass(frozen=True)
class Recipe:
    """How everything in a study is trained.

    Args:
        steps: optimiser steps of the classifier, the same in every arm.
        batch_size: of the classifier and of the generator.
        share: of synthetic images in a batch, where an arm has any; None: as many as would balance the classes, at
            most half.
        kind: of generator, "vae" or "gan".
        generator_steps: optimiser steps of the generator.
        augment: of the augmented arms.
        shown: images of each class on a contact sheet.
    """

    steps: int = 600
    batch_size: int = 64
    share: float | None = None
    kind: str = "vae"
    generator_steps: int = 400
    augment: KeyedAugment = field(default_factory=default_augment)
    shown: int = 8


def train_arm(
    arm: Arm, train: TensorImages, test: TensorImages, bank: Bank | None, rare: Sequence[int], recipe: Recipe, seed: int
) -> Scores:
    """Trains the classifier in one way and scores it on the test set."""
    classes = len(train.classes)
    with seeded_weights(seed):
        model = SmallCNN(train.images.shape[1], classes)
    weights = None
    if arm.weighted:
        counts = train.labels.bincount(minlength=classes)
        weights = len(train) / (classes * counts.clamp(min=1))
    train_classifier(model, batches(arm, train, test, bank, recipe, seed), recipe.steps, class_weights=weights)
    return score_classifier(model, test.images.float() / 255, test.labels, rare, classes)


def batches(
    arm: Arm, train: TensorImages, test: TensorImages, bank: Bank | None, recipe: Recipe, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an arm: real images, or real and synthetic ones by `MixedSampler`; float in [0, 1]."""
    sources = [Source.real(train)] if bank is None else [Source.real(train), Source.bank(bank)]
    mixed = MixedDataset(sources, held_out=[test])  # refuses a bank whose generator saw the test set
    sampler = MixedSampler(
        mixed,
        share_of(train, recipe) if bank is not None else 0.0,
        batch_size=recipe.batch_size,
        steps_per_epoch=recipe.steps,
        classes="fill" if bank is not None else None,
        real_classes="balanced" if arm.oversampled else None,
        seed=seed,
    )
    parts = [train] if bank is None else [train, bank.in_memory()]
    images, labels = (torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels"))
    for plan in sampler.plans(0, recipe.steps):
        shown = images[plan.index].float() / 255
        if arm.augmented:
            shown = recipe.augment(shown, keys=fold_in(sample_keys(plan.index, seed=seed), plan.use))
        yield shown, labels[plan.index]


def share_of(train: TensorImages, recipe: Recipe) -> float:
    """The share of synthetic images in a batch: by default what balances the classes, at most a half."""
    if recipe.share is not None:
        return recipe.share
    counts = train.labels.bincount(minlength=len(train.classes))
    lacking = int((counts.max() - counts).sum())
    return min(0.5, lacking / (lacking + len(train))) if lacking else 0.25
