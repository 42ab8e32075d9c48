"""Mixing for classification: images and labels of two samples joined, and labels smoothed."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments, mix_labels
from torchaug.image.mix import (
    Mixture,
    PairMix,
    behind,
    beta,
    limits,
    ranked,
    rectangle,
    sizes_of,
)
from torchaug.keys import beta_quantiles
from torchaug.transform import Sizes, Transform


class MixUp(PairMix):
    """Blend each image and its labels with another's (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017).

    As torchvision's transform of this name, but with a weight and a partner of its own for each sample. See `Mix` for what
    becomes of the labels; floating-point masks are blended, masks of class numbers refused; boxes and keypoints of both
    images are joined.

    Args:
        alpha: of the Beta(alpha, alpha) law of lambda.
        num_classes: needed where labels are class numbers.
        p: chance per sample.

    Parameters per sample: lambda, the weight of its own pixels and label. `partners(u)` tells with whom.

    >>> images, labels = MixUp(num_classes=10)(torch.rand(8, 3, 32, 32), torch.arange(8))
    >>> images.shape, labels.shape
    (torch.Size([8, 3, 32, 32]), torch.Size([8, 10]))
    """

    uniforms = 3

    def __init__(self, alpha: float = 1.0, num_classes: int | None = None, p: float = 1.0) -> None:
        super().__init__(num_classes, p)
        self.alpha = arguments.number(alpha, "MixUp", "alpha", 0, above=True)
        self.register_buffer("quantiles", beta_quantiles(self.alpha, self.alpha), persistent=False)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"lambda": beta(u[:, 2], self.quantiles)}

    def mixture(self, batch: Batch, partner: Tensor, u: Tensor) -> Mixture:
        share = self.drawn(u, sizes_of(batch, u))["lambda"]
        return Mixture(share, blend=share)


def cut_box(share: Tensor, u: Tensor, size: Sizes) -> Tensor:
    """Rectangles about uniform centres with an area of `1 - share` before they are clipped to the image (Yun et al., 2019).

    Args:
        share: (B,) the part of the image that stays.
        u: (B, 2) uniforms, down and across.
        size: of the images.

    Returns:
        (B, 4) x0, y0, x1, y1, whole pixels.
    """
    half = (1 - share).clamp(min=0).sqrt() / 2
    edges = []
    for length, at in ((size.width, u[:, 1]), (size.height, u[:, 0])):
        centre, reach = (at * length).floor(), (half * length).floor()
        edges.append(((centre - reach).clamp(min=0), torch.minimum(centre + reach, length)))
    (x0, x1), (y0, y1) = edges
    return torch.stack([x0, y0, x1, y1], 1)


def box_share(box: Tensor, size: Sizes) -> Tensor:
    """(B,) the part of the image outside a box (B, 4)."""
    return 1 - (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) / (size.height * size.width)


class CutMix(PairMix):
    """Paste a rectangle of another image, and mix the labels by area (Yun et al., "CutMix", 2019).

    As torchvision's transform of this name, but with a rectangle and a partner of its own for each sample. See `Mix` for
    what becomes of the labels; masks are pasted as pixels are.

    Args:
        alpha: of the Beta(alpha, alpha) law of the share that stays, before the rectangle is clipped to the image.
        num_classes: needed where labels are class numbers.
        min_area: boxes of which less is left, in pixels, are dropped.
        min_visibility: boxes of which a smaller share is left are dropped.
        p: chance per sample.

    Parameters per sample: box (x0, y0, x1, y1), in whole pixels; lambda, exactly the part of the image outside it.
    `partners(u)` tells from whom it is.

    >>> images, labels = CutMix(num_classes=10)(torch.rand(8, 3, 32, 32), torch.arange(8))
    >>> images.shape, labels.shape
    (torch.Size([8, 3, 32, 32]), torch.Size([8, 10]))
    """

    uniforms = 5

    def __init__(
        self,
        alpha: float = 1.0,
        num_classes: int | None = None,
        min_area: float = 1.0,
        min_visibility: float = 0.1,
        p: float = 1.0,
    ) -> None:
        super().__init__(num_classes, p)
        self.alpha = arguments.number(alpha, "CutMix", "alpha", 0, above=True)
        self.min_area, self.min_visibility = limits(min_area, min_visibility, "CutMix")
        self.register_buffer("quantiles", beta_quantiles(self.alpha, self.alpha), persistent=False)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        box = cut_box(beta(u[:, 2], self.quantiles), u[:, 3:], size)
        return {"lambda": box_share(box, size), "box": box}

    def mixture(self, batch: Batch, partner: Tensor, u: Tensor) -> Mixture:
        size = sizes_of(batch, u)
        numbers = self.drawn(u, size)
        return Mixture(numbers["lambda"], region=rectangle(numbers["box"], size.canvas))


Mode = Literal["elem", "pair", "batch"]


class SwitchMix(PairMix):
    """MixUp or CutMix, by chance, with label smoothing: timm's `Mixup`.

    Partners are random, where timm takes the batch in reverse. See `Mix` for what becomes of the labels.

    Args:
        mixup_alpha: of the Beta law of MixUp's lambda; 0 for CutMix alone.
        cutmix_alpha: of that of CutMix; 0 for MixUp alone.
        prob: chance that a sample (a pair, a batch, by `mode`) is mixed at all.
        switch_prob: chance of CutMix, where both are on.
        mode: "elem": each sample has numbers of its own; "pair": two samples are each other's partners and share them (an
            odd one stays); "batch": one set of numbers for all.
        correct_lam: lambda of CutMix is the area after clipping, and not the one drawn.
        label_smoothing: share of each label that is spread evenly over the classes.
        num_classes: needed where labels are class numbers.

    Parameters per sample: lambda, cuts (whether CutMix) and its box. Those of a pair are drawn for `leaders(u)`, whose
    numbers all its followers take.

    >>> images, labels = SwitchMix(num_classes=10)(torch.rand(8, 3, 32, 32), torch.arange(8))
    >>> images.shape, labels.shape
    (torch.Size([8, 3, 32, 32]), torch.Size([8, 10]))
    """

    uniforms = 7
    mixup_quantiles: Tensor
    cutmix_quantiles: Tensor

    def __init__(
        self,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: Mode = "elem",
        correct_lam: bool = True,
        label_smoothing: float = 0.1,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(num_classes)
        if mixup_alpha == 0 and cutmix_alpha == 0:
            raise ValueError("SwitchMix: mixup_alpha or cutmix_alpha must be above 0, got 0 for both")
        self.mixup_alpha = arguments.number(mixup_alpha, "SwitchMix", "mixup_alpha", 0)
        self.cutmix_alpha = arguments.number(cutmix_alpha, "SwitchMix", "cutmix_alpha", 0)
        self.prob = arguments.number(prob, "SwitchMix", "prob", 0, 1)
        self.switch_prob = arguments.number(switch_prob, "SwitchMix", "switch_prob", 0, 1)
        self.mode = arguments.one_of(mode, "SwitchMix", "mode", ("elem", "pair", "batch"))
        self.correct_lam = correct_lam
        self.label_smoothing = self.smoothing = arguments.number(label_smoothing, "SwitchMix", "label_smoothing", 0, 1)
        for name, alpha in (("mixup_quantiles", self.mixup_alpha), ("cutmix_quantiles", self.cutmix_alpha)):
            self.register_buffer(name, beta_quantiles(alpha or 1.0, alpha or 1.0), persistent=False)

    def partners(self, u: Tensor) -> Tensor:
        order = ranked(u)
        if self.mode != "pair":
            return behind(order, 1)
        place = torch.arange(len(order), device=order.device)
        mate = place ^ 1
        return torch.zeros_like(order).scatter(0, order, order[torch.where(mate < len(order), mate, place)])

    def leaders(self, u: Tensor) -> Tensor:
        """(B,) int64: whose numbers each sample takes: its own, its pair's, or those of the first of the batch."""
        order = ranked(u)
        place = torch.arange(len(order), device=order.device)
        first = {"elem": place, "pair": place & ~1, "batch": torch.zeros_like(place)}[self.mode]
        return torch.zeros_like(order).scatter(0, order, order[first])

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        chance = self.switch_prob if self.mixup_alpha and self.cutmix_alpha else float(self.cutmix_alpha > 0)
        cuts = u[:, 3] < chance
        share = torch.where(cuts, beta(u[:, 4], self.cutmix_quantiles), beta(u[:, 4], self.mixup_quantiles))
        share = torch.where(u[:, 2] < self.prob, share, 1)
        box = cut_box(torch.where(cuts, share, 1), u[:, 5:], size)
        if self.correct_lam:
            share = torch.where(cuts, box_share(box, size), share)
        return {"lambda": share, "cuts": cuts, "box": box}

    def mixture(self, batch: Batch, partner: Tensor, u: Tensor) -> Mixture:
        size = sizes_of(batch, u)
        numbers = self.drawn(u[self.leaders(u)], size)
        share = numbers["lambda"]
        blend = torch.where(numbers["cuts"], 1, share) if self.mixup_alpha else None
        region = rectangle(numbers["box"], size.canvas) if self.cutmix_alpha else None
        return Mixture(share, blend, region)


class LabelSmoothing(Transform):
    """Spread a share of each label evenly over all classes (Szegedy et al., "Rethinking the Inception Architecture", 2015).

    Class numbers (B,) become soft labels (B, num_classes). In evaluation nothing is changed.

    Args:
        smoothing: the share, in [0, 1].
        num_classes: needed where labels are class numbers.
        p: chance per sample; the others become soft labels of 0 and 1.

    >>> _, labels = LabelSmoothing(0.2, num_classes=4)(torch.rand(2, 3, 8, 8), torch.tensor([0, 3]))
    >>> labels
    tensor([[0.8500, 0.0500, 0.0500, 0.0500],
            [0.0500, 0.0500, 0.0500, 0.8500]])
    """

    clips = "whole"

    def __init__(self, smoothing: float = 0.1, num_classes: int | None = None, p: float = 1.0) -> None:
        super().__init__(p)
        self.smoothing = arguments.number(smoothing, "LabelSmoothing", "smoothing", 0, 1)
        self.num_classes = arguments.optional_whole(num_classes, "LabelSmoothing", "num_classes", 1)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if not self.training:
            return batch
        if batch.label is None:
            raise TypeError(f"LabelSmoothing: expected a batch with a label, got {sorted(batch.present())}")
        label = mix_labels.soft(batch.label, self.num_classes, "LabelSmoothing")
        smoothed = mix_labels.smooth(label, self.smoothing, "LabelSmoothing")
        return batch.replace(label=torch.where(chosen[:, None], smoothed, label))
