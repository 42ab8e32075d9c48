"""Controllers of the discriminator's augmentation in a GAN: how much of it the discriminator needs."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from torchaug.image import arguments


class HasP(Protocol):
    """What can be controlled: a module whose chance is a buffer, such as `ADA`."""

    p: Tensor


class AdaptiveP(nn.Module):
    """Sets the p of an `ADA` during training so that the discriminator overfits neither more nor less than wanted.

    Its sign on real training images, r = E[sign(D(real))], tells how far it overfits: 0 not at all, 1 wholly (section 3 of
    the paper, arXiv 2006.06676). Every few minibatches p goes up a step where r is above the target, else down. A loss of
    the difference of two scores alone, as relativistic pairing is, says nothing of signs: see `HoldoutP`.

    Args:
        augment: the transform whose p is set, in place: on its device, without a wait.
        target: of r, in [-1, 1].
        kimg: thousands of real images after which p would come from 0 to 1.
        interval: minibatches between two steps.
        highest: p stays within [0, highest].

    Over several processes, pass `update` the signs of all of them, so that all have the same p.

    >>> from torchaug.image import ADA
    >>> augment = ADA("bgc", p=0.0)
    >>> control = AdaptiveP(augment, kimg=1, interval=1)
    >>> control.update(torch.ones(100))  # the discriminator's outputs for 100 real images, or their signs
    >>> round(augment.p.item(), 3)
    0.1
    """

    total: Tensor
    count: Tensor

    def __init__(
        self, augment: HasP, target: float = 0.6, kimg: float = 500.0, interval: int = 4, highest: float = 1.0
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.augment = augment
        self.target = arguments.number(target, who, "target", -1, 1)
        self.kimg = arguments.number(kimg, who, "kimg", 0, above=True)
        self.interval = arguments.whole(interval, who, "interval", 1)
        self.highest = arguments.number(highest, who, "highest", 0, 1)
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("count", torch.zeros(()))
        self.batches = 0

    @torch.no_grad()
    def update(self, signs: Tensor) -> None:
        """Take in a minibatch.

        Args:
            signs: the discriminator's outputs for (augmented) real images, any shape, positive for real; or their signs.
        """
        signs = signs.detach().sign().to(self.total.dtype)
        self.total += signs.sum() - self.target * signs.numel()
        self._count(signs.numel())

    def _count(self, images: int) -> None:
        """Ends a minibatch of so many real images; `total` is above 0 where p is too low."""
        self.count += images
        self.batches += 1
        if self.batches % self.interval == 0:
            step = torch.sign(self.total) * self.count / (1000 * self.kimg)
            p = self.augment.p
            p.add_(step.to(p.dtype)).clamp_(0, self.highest)
            self.total.zero_()
            self.count.zero_()

    def get_extra_state(self) -> dict[str, int]:
        """The minibatches seen, for a checkpoint."""
        return {"batches": self.batches}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Goes on after so many minibatches."""
        self.batches = state["batches"]


class HoldoutP(AdaptiveP):
    """Sets p by how much better the discriminator likes its training images than real images it never saw.

    r = (E D(train) - E D(held out)) / (E D(train) - E D(fake)) is 0 where it likes both alike, and 1 where images held out
    look as false to it as generated ones (equation 1 of arXiv 2006.06676). A constant added to all scores changes
    nothing, so it serves relativistic losses, too, where the three have the same labels.

    Args:
        augment, kimg, interval, highest: see `AdaptiveP`.
        target: of r, in [-1, 1].

    >>> from torchaug.image import ADA
    >>> augment = ADA("bgc", p=0.0)
    >>> control = HoldoutP(augment, kimg=1, interval=1)
    >>> control.update_scores(torch.full((100,), 5.0), torch.full((100,), 2.0), torch.full((100,), 1.0))  # r = 3 / 4
    >>> round(augment.p.item(), 3)
    0.1
    """

    def __init__(
        self, augment: HasP, target: float = 0.5, kimg: float = 500.0, interval: int = 4, highest: float = 0.8
    ) -> None:
        super().__init__(augment, target, kimg, interval, highest)

    def update(self, signs: Tensor) -> None:
        """Refused: signs alone do not say enough."""
        raise TypeError("HoldoutP: expected scores of three kinds of images; call update_scores(train, holdout, fake)")

    @torch.no_grad()
    def update_scores(self, train: Tensor, holdout: Tensor, fake: Tensor) -> None:
        """Take in a minibatch: the discriminator's outputs, any shapes, for images that passed the augmentation.

        Args:
            train: for real images that it is trained on.
            holdout: for real images that it is not.
            fake: for generated images.
        """
        train_mean, holdout_mean, fake_mean = (x.detach().to(self.total.dtype).mean() for x in (train, holdout, fake))
        # r above the target, without a division by what may be next to nothing or of either sign
        span = train_mean - fake_mean
        self.total += (train_mean - holdout_mean - self.target * span) * train.numel()
        self._count(train.numel())
