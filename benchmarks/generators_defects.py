"""G2: GANs of surfaces with defects: what augmenting the discriminator's images is worth where images are few.

Images are those of `textures.py`, so that test images cost nothing. Samples are compared with them by the kernel distance
of features that a classifier has learnt from 200 000 others, and by what they add to real images when a classifier learns
to find defects.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from generators_cells import Cell, Result, Results, interval_row, paired, ratios, values
from generators_gpu import NO_GPU, device, drawn
from rows import Row
from textures import CLASSES, textures
from torch import Tensor, nn

from torchaug.compose import Compose
from torchaug.data import TensorImages
from torchaug.evaluate.utility import SmallCNN, confusion, train_classifier
from torchaug.image import DiffAugment, RandomHorizontalFlip, RandomVerticalFlip
from torchaug.keys import fold_in, integers, sample_keys, uniforms
from torchaug.models.gan_augment import DiscriminatorAugment
from torchaug.models.gan_losses import Augment
from torchaug.models.networks import seeded_weights
from torchaug.training.checkpoints import FiniteLoss
from torchaug.training.data import SynthesisDataModule
from torchaug.training.run import build, train

DEFECTS = "generators_defects:defects"
COUNTS = (100, 500, 5000)
METHODS = ("real", "gan-off", "gan-fixed", "gan-scheduled")
AUGMENT_P = 0.5
"""The chance per image of the fixed augmentation, and that at the end of the scheduled one."""
SIDE, STEPS, TAUGHT_STEPS = 64, 5000, 1000
"""Pixels of a side; steps of a GAN; of a classifier that finds defects."""
TESTED, PRETRAINED, BATCH = 5000, 200_000, 128
"""Images of the test and samples of a GAN; images that the classifier of the features learns from; images at a time."""
_TEST, _FEATURES = 1 << 30, 1 << 31
"""The first items of the test and of the features; those of trainings start at 0."""


def defects(data: str, method: str, seed: int) -> Result:
    """The kernel distance of a GAN's samples and the recall of defects with them; "real" does with training images alone."""
    real, test = surfaces(int(data), 0, seed), surfaces(TESTED, _TEST, seed)
    made = None if method == "real" else sampled(method, real, seed)
    shown = real if made is None else made
    return {
        "KID": kernel_distance(features(test.images), features(shown.images)),
        "recall": defect_recall(real, made, test, seed),
    }


def surfaces(count: int, first: int, seed: int) -> TensorImages:
    """`count` images, each class a fifth of them, of the items from number `first` on."""
    labels = torch.arange(count) % len(CLASSES)
    parts = [textures(first + rows, labels[rows], seed=seed, side=SIDE) for rows in torch.arange(count).split(BATCH)]
    return TensorImages(torch.cat(parts), labels, CLASSES)


class Steady(DiscriminatorAugment):
    """Augments with the same chance from the first step to the last, whatever the schedule of the training says."""

    def __init__(self, transform: Any, p: float) -> None:
        super().__init__(transform, p)
        self.steady = p

    def of(self, keys: Tensor) -> Augment:
        self.p.fill_(self.steady)  # here, since a function whose derivative is taken may change nothing
        return super().of(keys)


def sampled(method: str, real: TensorImages, seed: int) -> TensorImages:
    """Samples of a GAN trained on `real`, as many of each class."""
    # no cutout: what it leaves looks like a defect
    chain = Compose([RandomHorizontalFlip(), RandomVerticalFlip(), DiffAugment("color,translation")])
    data = SynthesisDataModule(real, seed=seed)
    settings = {"augment_p": AUGMENT_P}
    module: Any = build("gan", data, STEPS, settings, None if method == "gan-off" else chain, seed)
    if method == "gan-fixed":
        module.seen_through = Steady(chain, AUGMENT_P)
    train(module, data, Path(), STEPS, [FiniteLoss()], {})
    labels = torch.arange(TESTED) % len(CLASSES)
    return TensorImages(drawn(module, labels, seed, BATCH), labels, CLASSES)


def features(images: Tensor) -> Tensor:
    """What the classifier taught by procedural images sees in images (N, 3, H, W) uint8 before it decides, (N, D)."""
    encoder = copy.deepcopy(pretrained())
    encoder.head = nn.Identity()
    return _applied(encoder, images)


@functools.cache
def pretrained() -> SmallCNN:
    """A classifier of defects that sees each of `PRETRAINED` images once."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.arange(PRETRAINED).split(BATCH):
            labels = (rows % len(CLASSES)).to(device())
            yield textures((_FEATURES + rows).to(device()), labels, side=SIDE).float() / 255, labels

    model = _classifier(seed=0)
    train_classifier(model, batches(), -(-PRETRAINED // BATCH))
    return model


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """The squared maximum mean discrepancy of features (N, D) and (M, D), unbiased, of the kernel (x.y / D + 1)^3.

    About 0, and below as often as above, for two samples of one distribution; the "KID" of arXiv 1801.01401 with other
    features.
    """
    x, y = first.double(), second.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        all_ = kernel(a, a)
        return (all_.sum() - all_.diag().sum()) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def defect_recall(real: TensorImages, made: TensorImages | None, test: TensorImages, seed: int) -> float:
    """The mean recall of the four defects, of a classifier taught by batches of real images, half of them made if given."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        sources = [real, real if made is None else made]
        for step in range(TAUGHT_STEPS):
            keys = fold_in(sample_keys(torch.arange(BATCH // 2), seed=seed, epoch=step), 0)
            rows = [integers(uniforms(fold_in(keys, place), 1)[:, 0], 0, len(s)) for place, s in enumerate(sources)]
            images = torch.cat([s.images[r] for s, r in zip(sources, rows, strict=True)])
            labels = torch.cat([s.labels[r] for s, r in zip(sources, rows, strict=True)])
            yield images.to(device()).float() / 255, labels.to(device())

    model = train_classifier(_classifier(seed), batches(), TAUGHT_STEPS)
    counts = confusion(_applied(model, test.images).argmax(1).cpu(), test.labels, len(CLASSES)).double()
    return float((counts.diag() / counts.sum(1))[1:].mean())


def _classifier(seed: int) -> SmallCNN:
    with seeded_weights(seed):
        return SmallCNN(3, len(CLASSES)).to(device())


@torch.no_grad()
def _applied(model: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([model(part.to(device()).float() / 255) for part in images.split(BATCH)])


def defect_cells(seeds: int, peers: bool) -> list[Cell]:
    return [Cell(DEFECTS, str(count), method, seed) for count in COUNTS for method in METHODS for seed in range(seeds)]


def defect_rows(results: Results) -> list[Row]:
    rows = []
    for count in COUNTS:
        found = {
            metric: {method: values(results, DEFECTS, str(count), method, metric) for method in METHODS}
            for metric in ("KID", "recall")
        }
        for method in METHODS:
            name = f"G2 defects, {count} images: {method}"
            kid, recall = (found[metric][method] for metric in ("KID", "recall"))
            rows.append(interval_row(f"{name}, KID", kid.values(), "", missing=NO_GPU))
            rows.append(interval_row(f"{name}, recall of defects", recall.values(), "share", missing=NO_GPU))
            if method == "real":
                continue
            gain = paired(recall, found["recall"]["real"])
            rows.append(interval_row(f"{name}, recall less that of real ones", gain, "share", missing=NO_GPU))
            if method != "gan-off":
                ratio, limit = ratios(kid, found["KID"]["gan-off"]), 0.5 if count == COUNTS[0] else None
                rows.append(interval_row(f"{name}, KID / gan-off", ratio, "times", at_most=limit, missing=NO_GPU))
    return rows
