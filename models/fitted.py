"""What image models share that are fitted to the training images after training, part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from torchaug.models.networks import at_once

FITTED_AT_ONCE = 512
"""Images encoded at once to fit to them or to score them, at most."""


class FittedToImages(nn.Module, ABC):
    """A model with an aggregated posterior, or only a variance of its likelihood, that is fitted to images."""

    shape: tuple[int, int, int]

    @torch.no_grad()
    def fit_posterior(
        self,
        images: Tensor,
        labels: Tensor,
        pooling: float | None = None,
        batch_size: int | None = None,
        counts: Tensor | None = None,
    ) -> None:
        """Fits the aggregated posterior, where there is one, and the variance of a Gaussian likelihood to the training images.

        Args:
            images: (N, C, H, W) in [0, 1].
            labels: (N,).
            pooling: in images, how much a class's covariance borrows from the others, see `AggregatedPosterior.fit`; of codes
                there is nothing to pool.
            batch_size: images encoded at once; None for as many as memory usually has room for.
            counts: images of each class, where `images` are only some of them, see `AggregatedPosterior.fit`.
        """
        size = at_once(self.shape, FITTED_AT_ONCE) if batch_size is None else batch_size
        self.fit_posterior_to(zip(images.split(size), labels.split(size), strict=True), pooling, counts)

    @abstractmethod
    def fit_posterior_to(
        self, parts: Iterable[tuple[Tensor, Tensor]], pooling: float | None = None, counts: Tensor | None = None
    ) -> None:
        """`fit_posterior`, given images and labels part by part: only one part needs to be in memory."""
