"""The controller of adaptive discriminator augmentation: how much of it the discriminator needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torchaug.image import arguments
from torchaug.image.ada import ADA


class AdaptiveP(nn.Module):
    """Sets the p of an `ADA` during training so that the discriminator overfits neither more nor less than wanted.

    Its sign on real training images, r = E[sign(D(real))], tells how far it overfits: 0 not at all, 1 wholly (section 3 of
    the paper). Every few minibatches p goes up a step where r is above the target, else down, within [0, 1].

    Args:
        augment: the transform whose p is set, in place: on its device, without a wait.
        target: of r, in [-1, 1].
        kimg: thousands of real images after which p would come from 0 to 1.
        interval: minibatches between two steps.

    Over several processes, pass `update` the signs of all of them, so that all have the same p.

    >>> augment = ADA("bgc", p=0.0)
    >>> control = AdaptiveP(augment, kimg=1, interval=1)
    >>> control.update(torch.ones(100))  # the discriminator's outputs for 100 real images, or their signs
    >>> round(augment.p.item(), 3)
    0.1
    """

    total: Tensor
    count: Tensor

    def __init__(self, augment: ADA, target: float = 0.6, kimg: float = 500.0, interval: int = 4) -> None:
        super().__init__()
        self.augment = augment
        self.target = arguments.number(target, "AdaptiveP", "target", -1, 1)
        self.kimg = arguments.number(kimg, "AdaptiveP", "kimg", 0, above=True)
        self.interval = arguments.whole(interval, "AdaptiveP", "interval", 1)
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
        self.total += signs.sum()
        self.count += signs.numel()
        self.batches += 1
        if self.batches % self.interval == 0:
            step = torch.sign(self.total - self.target * self.count) * self.count / (1000 * self.kimg)
            p = self.augment.p
            p.add_(step.to(p.dtype)).clamp_(0, 1)
            self.total.zero_()
            self.count.zero_()
