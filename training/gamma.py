"""The weight of a GAN's penalties, found by short trainings instead of guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.data.images import TensorImages
from torchaug.evaluate.fidelity import c2st
from torchaug.keys import sample_keys
from torchaug.models.gan import default_gamma
from torchaug.models.networks import in_parts
from torchaug.training.callbacks import Progress, ReportProgress
from torchaug.training.data import Balance, Loadable, SynthesisDataModule
from torchaug.training.gan import LitGAN
from torchaug.training.generator import KeyedAugment
from torchaug.training.image_generator import images_in
from torchaug.training.run import build, train

HELD_OUT = 0.2
NEIGHBOURS = 5
LOOKED_AT = 16
"""Pixels of a side, at most, of the images that are compared."""


class GammaSearch(NamedTuple):
    """The best gamma, and how far each was from 0.5, the accuracy at which real and generated cannot be told apart."""

    gamma: float
    scores: dict[float, float]


def find_gamma(
    dataset: Loadable,
    *,
    steps: int = 300,
    factors: Sequence[float] = (0.3, 1.0, 3.0),
    seed: int = 0,
    batch_size: int = 64,
    balance: Balance = "sqrt",
    augment: KeyedAugment | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> GammaSearch:
    """Trains a short GAN with each of a few gammas, and takes the one whose samples look most like images held out.

    A fifth of each class is held out. Samples with the same labels are compared with it by nearest neighbours in pixels
    and labels (`torchaug.evaluate.fidelity.c2st`). It costs as much as `len(factors) * steps` steps of training, and sees
    what differs early on: a gamma by which training diverges, or learns nothing.

    Args:
        dataset: labelled images.
        steps: of each short training.
        factors: gammas tried, by their ratio to `default_gamma`.
        seed, batch_size, balance, augment, settings: as `torchaug.training.fit.fit` takes them.
        progress: called with (steps done, those of all short trainings, metrics) now and then; "gamma" is one of them.

    Raises:
        ValueError: too few images to hold any out, or no factor.

    >>> from torchaug.data import digits
    >>> found = find_gamma(digits().subset(torch.arange(200)), steps=2)
    >>> found.gamma in found.scores
    True
    """
    if not factors or steps < 1:
        raise ValueError(f"find_gamma: expected factors and at least 1 step, got {list(factors)} and {steps}")
    data = SynthesisDataModule(dataset, batch_size, holdout=HELD_OUT, seed=seed, balance=balance)
    real = images_in(data.train, "find_gamma")
    if data.holdout is None:
        raise ValueError(
            f"find_gamma: expected a class of at least 5 images, got {len(real)} in all; pass gamma=0.5, say"
        )
    settings = {**(settings or {})}
    start = default_gamma(real.images.shape[2], real.images.shape[3], settings.get("loss", "relativistic"))
    scores: dict[float, float] = {}
    for number, factor in enumerate(factors):
        gamma = factor * start

        def report(done: int, _: int, metrics: dict[str, float], number: int = number, gamma: float = gamma) -> None:
            if progress is not None:
                progress(number * steps + done, len(factors) * steps, {**metrics, "gamma": gamma})

        generator = _trained(data, steps, {**settings, "gamma": gamma}, augment, seed, report)
        scores[gamma] = distance(data.holdout, generator, seed)
    return GammaSearch(min(scores, key=lambda gamma: scores[gamma]), scores)


def _trained(
    data: SynthesisDataModule,
    steps: int,
    settings: Mapping[str, Any],
    augment: KeyedAugment | None,
    seed: int,
    report: Progress,
) -> LitGAN:
    module = cast(LitGAN, build("gan", data, steps, settings, augment, seed))
    train(module, data, Path(), steps, [ReportProgress(report)], {})
    return module


def distance(real: TensorImages, generator: LitGAN, seed: int = 0) -> float:
    """How far nearest neighbours are from guessing which are real, in [0, 0.5]; a generator that diverged: 0.5."""
    keys = sample_keys(torch.arange(len(real)), seed=seed)
    device = generator.device_of_samples
    with torch.no_grad():
        made = in_parts(
            lambda labels, keys: generator.generate(labels.to(device), keys.to(device)).float().cpu(),
            generator.samples_at_once,
            real.labels,
            keys,
        )
    if not made.isfinite().all():
        return 0.5
    shown = real.images.float() / 255 if real.images.dtype == torch.uint8 else real.images.float()
    seen, drawn = (features_of(images, real.labels, len(real.classes)) for images in (shown, made))
    return abs(c2st(seen, drawn, k=min(NEIGHBOURS, 2 * len(real) - 1)) - 0.5)


def features_of(images: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Pixels, averaged where they are many, beside labels: another label is as far as a third of all levels in each pixel."""
    height, width = (min(LOOKED_AT, side) for side in images.shape[2:])
    pixels = F.adaptive_avg_pool2d(images, (height, width)).flatten(1)
    return torch.cat([pixels, F.one_hot(labels, classes) * pixels.shape[1] ** 0.5 / (3 * 2**0.5)], 1)
