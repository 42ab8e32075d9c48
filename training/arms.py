"""The ways to train a classifier that a study compares, and one training of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from torchaug.compose import Compose
from torchaug.data import Bank, MixedDataset, MixedSampler, Source
from torchaug.evaluate.utility import Scores, score_classifier, train_classifier
from torchaug.image import ColorJitter, GaussianNoise, RandomAffine
from torchaug.keys import fold_in, sample_keys
from torchaug.models.networks import seeded_weights
from torchaug.training.generator import KeyedAugment
from torchaug.training.samples import Samples, classifier, content, labelled, seen


@dataclass(frozen=True)
class Arm:
    """One way to train the classifier.

    Args:
        name: in tables.
        text: a sentence for a reader.
        weighted: the loss weighs each class by the inverse of its count.
        oversampled: real samples are drawn so that every class comes equally often.
        augmented: all training samples pass the augmentation.
        synthetic: rare classes are filled up from a bank.
    """

    name: str
    text: str
    weighted: bool = False
    oversampled: bool = False
    augmented: bool = False
    synthetic: bool = False


ARMS = (
    Arm("real", "The training samples as they are."),
    Arm("real + class weights", "Rare classes weigh more in the loss.", weighted=True),
    Arm("real + oversampling", "Samples of rare classes are drawn more often.", oversampled=True),
    Arm("real + augmentation", "Every sample is changed a little each time it is drawn.", augmented=True),
    Arm(
        "real + oversampling + augmentation",
        "Samples of rare classes are drawn more often, and every sample is changed a little.",
        oversampled=True,
        augmented=True,
    ),
    Arm("real + synthetic", "Rare classes are filled up with generated samples.", synthetic=True),
    Arm(
        "real + augmentation + synthetic",
        "Rare classes are filled up with generated samples, and every sample is changed a little.",
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
        kind: of generator, "vae" or "gan"; of sounds "audio-vae".
        generator_steps: optimiser steps of the generator.
        settings: of the generator, where they should differ from its defaults.
        augment: of the augmented arms.
        shown: samples of each class on a contact sheet.
        surplus: how many times what a class lacks is generated of it.
    """

    steps: int = 600
    batch_size: int = 64
    share: float | None = None
    kind: str = "vae"
    generator_steps: int = 400
    settings: Mapping[str, Any] = field(default_factory=dict)
    augment: KeyedAugment = field(default_factory=default_augment)
    shown: int = 8
    surplus: int = 4


def train_arm(
    arm: Arm, train: Samples, test: Samples, bank: Bank | None, rare: Sequence[int], recipe: Recipe, seed: int
) -> Scores:
    """Trains the classifier in one way and scores it on the test set."""
    labels, names = labelled(train)
    with seeded_weights(seed):
        model = classifier(train)
    weights = None
    if arm.weighted:
        counts = labels.bincount(minlength=len(names))
        weights = len(train) / (len(names) * counts.clamp(min=1))
    train_classifier(model, batches(arm, train, test, bank, recipe, seed), recipe.steps, class_weights=weights)
    return score_classifier(model, seen(content(test)), labelled(test)[0], rare, len(names))


def batches(
    arm: Arm, train: Samples, test: Samples, bank: Bank | None, recipe: Recipe, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an arm: real samples, or real and synthetic ones by `MixedSampler`; images float in [0, 1]."""
    sources = [Source.real(train)] if bank is None else [Source.real(train), Source.bank(bank)]
    mixed = MixedDataset(sources, held_out=[test], sizes="any")  # refuses a bank whose generator saw the test set
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
    every, labels = torch.cat([content(part) for part in parts]), torch.cat([labelled(part)[0] for part in parts])
    for plan in sampler.plans(0, recipe.steps):
        shown = seen(every[plan.index])
        if arm.augmented:
            shown = recipe.augment(shown, keys=fold_in(sample_keys(plan.index, seed=seed), plan.use))
        yield shown, labels[plan.index]


def share_of(train: Samples, recipe: Recipe) -> float:
    """The share of synthetic samples in a batch: by default what balances the classes, at most a half."""
    if recipe.share is not None:
        return recipe.share
    labels, classes = labelled(train)
    counts = labels.bincount(minlength=len(classes))
    lacking = int((counts.max() - counts).sum())
    return min(0.5, lacking / (lacking + len(train))) if lacking else 0.25
