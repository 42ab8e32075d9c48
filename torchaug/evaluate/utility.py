"""Did it help? A small classifier trained on each way of making data, and the intervals of paired runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchaug.evaluate.results import Interval, Verdict

LARGEST, GRID = 16, 4


class SmallCNN(nn.Module):
    """A classifier of small images: four convolutions and a linear layer on a 4 x 4 grid.

    The first convolution sees the image at full size; what is then above 16 pixels is pooled, so that the time for
    larger images stays within a few times that for small ones.

    Shape: (B, channels, H, W), float in [0, 1], to logits (B, num_classes).

    >>> SmallCNN(1, 10)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, channels: int, num_classes: int, width: int = 24) -> None:
        super().__init__()
        self.first = _stage(channels, width)
        self.body = nn.Sequential(
            _stage(width, width),
            _stage(width, 2 * width, stride=2),
            _stage(2 * width, 2 * width),
        )
        self.head = nn.Linear(2 * width * GRID * GRID, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each image."""
        features: Tensor = self.first(2 * images - 1)
        while max(features.shape[-2:]) > LARGEST:
            features = F.max_pool2d(features, 2, ceil_mode=True)
        features = self.body(features)
        if features.shape[-2:] != (GRID, GRID):  # pooling to the size that is there costs as much as a convolution
            features = F.adaptive_avg_pool2d(features, GRID)
        logits: Tensor = self.head(features.flatten(1))
        return logits


def _stage(width_in: int, width: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def train_classifier(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    steps: int,
    *,
    learning_rate: float = 5e-3,
    weight_decay: float = 1e-2,
    class_weights: Tensor | None = None,
) -> nn.Module:
    """Trains for exactly `steps` optimiser steps (AdamW, a one-cycle rate) and returns the model in `eval()`.

    Args:
        model: images to logits; changed in place.
        batches: (images (B, C, H, W) float in [0, 1], labels (B,)); at least `steps` of them.
        steps: how many batches are used.
        learning_rate: the highest.
        weight_decay: of AdamW.
        class_weights: (num_classes,) weight of each class in the loss.
    """
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=max(steps, 2))
    model.train()
    done = 0
    for images, labels in batches:
        loss = F.cross_entropy(model(images), labels, weight=class_weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        done += 1
        if done == steps:
            break
    if done < steps:
        raise ValueError(f"train_classifier: expected {steps} batches, got {done}; pass an endless iterator")
    return model.eval()


def confusion(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts (num_classes, num_classes), int64: row the true class, column the predicted one.

    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    if predicted.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"confusion: predicted and labels must be (N,), got {tuple(predicted.shape)} and {tuple(labels.shape)}"
        )
    both = torch.stack([predicted, labels])
    if len(labels) and not (both.min() >= 0 and both.max() < num_classes):
        raise ValueError(
            f"confusion: classes must be 0 to {num_classes - 1}, got {int(both.min())} to {int(both.max())}"
        )
    return torch.bincount(labels * num_classes + predicted, minlength=num_classes**2).view(num_classes, num_classes)


class Scores(NamedTuple):
    """How good a classifier is on a test set; all in [0, 1]."""

    accuracy: float
    macro_f1: float
    rare_recall: float


def scores(counts: Tensor, rare: Sequence[int]) -> Scores:
    """Accuracy, macro F1 and the mean recall of the rare classes, from a confusion matrix.

    Macro F1 is the mean over classes that occur, as true or as predicted, of 2 hits / (true + predicted).

    >>> scores(torch.tensor([[8, 2], [1, 1]]), rare=[1]).rare_recall
    0.5
    """
    hits, true, predicted = counts.diag().double(), counts.sum(1).double(), counts.sum(0).double()
    if counts.sum() == 0:
        raise ValueError("scores: expected at least one test sample, got none")
    absent = [c for c in rare if true[c] == 0]
    if absent or not rare:
        raise ValueError(
            f"scores: every rare class needs test samples, got none of classes {absent or '(no rare class was named)'}"
        )
    seen = (true + predicted) > 0
    f1 = (2 * hits / (true + predicted).clamp(min=1))[seen].mean()
    recall = (hits / true.clamp(min=1))[list(rare)].mean()
    return Scores(float(hits.sum() / true.sum()), float(f1), float(recall))


@torch.no_grad()
def score_classifier(
    model: nn.Module, images: Tensor, labels: Tensor, rare: Sequence[int], num_classes: int, batch_size: int = 1024
) -> Scores:
    """Scores of a classifier on test images (N, C, H, W), float in [0, 1], and labels (N,)."""
    predicted = torch.cat([model(images[i : i + batch_size]).argmax(1) for i in range(0, len(images), batch_size)])
    return scores(confusion(predicted, labels, num_classes), rare)


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of independent runs and its t interval; of a single run the interval is nan.

    >>> mean_interval([0.8, 0.9, 1.0]).mean
    0.9
    """
    if not values:
        raise ValueError("mean_interval: expected at least one value, got none")
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1))
    half = student_quantile((1 + level) / 2, count - 1) * deviation / math.sqrt(count)
    return Interval(mean, mean - half, mean + half)


def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution with `freedom` degrees of freedom, for probabilities of at least 0.5.

    The distribution function for whole degrees of freedom is a finite sum (Abramowitz and Stegun 26.7.3, 26.7.4).

    >>> round(student_quantile(0.975, 4), 3)
    2.776
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(
            f"student_quantile: expected a probability in [0.5, 1) and freedom of at least 1, got {probability} "
            f"and {freedom}"
        )
    low, high = 0.0, math.pi / 2  # of the angle atan(t / sqrt(freedom))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_probability(middle, freedom) < probability else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _student_probability(angle: float, freedom: int) -> float:
    """P(T < t) where t = sqrt(freedom) tan(angle) >= 0."""
    odd = freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    for k in range(2 + odd, freedom, 2):
        term *= (k - 1) / k * math.cos(angle) ** 2
        total += term
    if not odd:
        return 0.5 + 0.5 * math.sin(angle) * total
    return 0.5 + (angle + (math.sin(angle) * total if freedom > 1 else 0.0)) / math.pi


def paired_difference(
    values: Sequence[float], baseline: Sequence[float], *, less: bool = False
) -> tuple[Interval, Verdict]:
    """How far `values` are above `baseline` on the same seeds, and whether that is more than chance.

    "helped" and "hurt" need at least three seeds and a 95 % interval of the paired differences that leaves out 0. Two
    seeds may differ by the same amount by chance, and their interval then has no width: fewer than three prove nothing. Where `less` is
    better, being above hurts.

    >>> paired_difference([0.9, 0.8], [0.9, 0.8])[1]
    'no measurable difference'
    """
    if len(values) != len(baseline):
        raise ValueError(f"paired_difference: expected one baseline a value, got {len(values)} and {len(baseline)}")
    interval = mean_interval([v - b for v, b in zip(values, baseline, strict=True)])
    if len(values) >= 3 and interval.low > 0:
        return interval, "hurt" if less else "helped"
    if len(values) >= 3 and interval.high < 0:
        return interval, "helped" if less else "hurt"
    return interval, "no measurable difference"
