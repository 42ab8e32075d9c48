"""AugMix: an image mixed with a few copies of itself, each through a chain of operations of its own."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments
from torchaug.image.axes import Interpolation
from torchaug.image.pointwise import pick
from torchaug.image.policies import Choice, Policy, bin_level, border_of, without
from torchaug.image.policy_tables import MIX
from torchaug.image.resample import as_float
from torchaug.keys import integers
from torchaug.transfer import any_of
from torchaug.transform import Params, Sizes, Transform

MAX_DEPTH = 3
"""Of a chain of random depth."""


class Chain(Policy):
    """The slots of one of AugMix' chains. Its numbers are no uniforms: AugMix has drawn which operation comes."""

    @property
    def columns(self) -> int:
        return 1 + 3 * self.slots

    def choose(self, u: Tensor) -> list[Choice]:
        return [Choice(part[:, 0].to(torch.int64), part[:, 1:]) for part in u.split(3, dim=1)]


class Mixture(Transform):
    """AugMix with some operations and some law of their magnitudes.

    Args:
        operations: by name.
        width: how many chains.
        depth: operations per chain; below 1 for 1, 2 or 3, each as likely, drawn per chain.
        alpha: of the Dirichlet and Beta laws of the mixing weights.
        p: chance per sample.
    """

    def __init__(self, operations: Mapping[str, Transform], width: int, depth: int, alpha: float, p: float) -> None:
        super().__init__(p)
        who = type(self).__name__
        self.width = arguments.whole(width, who, "mixture_width", 1)
        self.depth = arguments.whole(depth, who, "chain_depth")
        self.alpha = arguments.number(alpha, who, "alpha", 0, above=True)
        self.chain = Chain(operations, depth if depth > 0 else MAX_DEPTH, 1.0)
        self.uniforms = 2 + width * (2 + 3 * self.chain.slots)

    @abstractmethod
    def level(self, u: Tensor) -> Tensor:
        """The first of an operation's uniforms, from a uniform, for any shape."""

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        """The original's share, the chains' weights, and (B, chains, slots) what each slot does (-1: nothing)."""
        weights, rest = u[:, 2 : 2 + self.width], u[:, 2 + self.width :].unflatten(1, (self.width, -1))
        slots = self.chain.slots
        depth = integers(rest[:, :, :1], 1, slots + 1) if self.depth < 1 else slots
        which, level, sign = rest[:, :, 1:].unflatten(2, (slots, 3)).unbind(-1)
        acts = torch.arange(slots, device=u.device) < depth
        return {
            "share": dirichlet(u[:, :2], self.alpha)[:, 0],
            "weights": dirichlet(weights, self.alpha),
            "which": torch.where(acts, integers(which, 0, len(self.chain.names)), -1),
            "level": self.level(level),
            "sign": sign,
        }

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if batch.image is None:
            raise TypeError(f"{type(self).__name__}: expected a batch with an image, got {[*batch.present()]}")
        if not any_of(chosen):
            return batch
        image = batch.image
        drawn = self.drawn(u, Sizes.of((image.shape[-2], image.shape[-1]), batch.size, u))
        mixed = _mix(image, self._augmented(image, batch.size, drawn), drawn["share"], drawn["weights"])
        return batch.replace(image=pick(chosen, mixed, image))

    def _augmented(self, image: Tensor, size: Tensor | None, drawn: dict[str, Tensor]) -> Tensor:
        """(chains, B, C, H, W): the copies, all of them one batch of the chain's plan."""
        numbers = torch.stack([drawn["which"].to(drawn["sign"].dtype), drawn["level"], drawn["sign"]], -1)
        gate = numbers.new_zeros(*numbers.shape[:2], 1)
        numbers = torch.cat([gate, numbers.flatten(2)], 2).transpose(0, 1).flatten(0, 1)
        copies = Batch(image=self._copied(image), size=None if size is None else self._copied(size))
        return self.chain.play(copies, Params(numbers)).present()["image"].reshape(self.width, *image.shape)

    def _copied(self, values: Tensor) -> Tensor:
        return values.expand(self.width, *values.shape).flatten(0, 1)


def _mix(image: Tensor, augmented: Tensor, share: Tensor, weights: Tensor) -> Tensor:
    """Levels are mixed as they are and cut to whole ones, as torchvision does."""
    whole = image.dtype == torch.uint8
    mixed = _scaled(image.to(torch.float32) if whole else as_float(image), share)
    for copy, weight in zip(augmented, weights.unbind(1), strict=True):
        mixed = mixed + _scaled(copy.to(mixed.dtype), weight * (1 - share))
    return mixed.to(image.dtype)


def _scaled(image: Tensor, factor: Tensor) -> Tensor:
    return image * factor.to(image.dtype)[:, None, None, None]


def dirichlet(u: Tensor, alpha: float) -> Tensor:
    """Weights (B, n) above 0 that sum to 1, of the symmetric Dirichlet law, from uniforms (B, n).

    They are Gamma(alpha) numbers over their sum, as logarithms, which small alpha needs. For alpha other than 1 the
    inverse of the distribution function is found by bisection, to 1e-5.
    """
    u = u.clamp(min=2.0**-25)
    if alpha == 1:
        return torch.softmax(torch.log(-torch.log1p(-u)), 1)
    # P(x) is about x^alpha / Gamma(alpha + 1) for small x; float32 ends at e^-87
    low = torch.full_like(u, max(-87.0, (math.log(2.0**-25) + math.lgamma(alpha + 1)) / alpha - 1))
    high = torch.full_like(u, math.log(alpha + 8 * math.sqrt(alpha) + 20))
    shape = torch.full_like(u, alpha)
    for _ in range(32):
        middle = (low + high) / 2
        below = torch.special.gammainc(shape, middle.exp()) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return torch.softmax((low + high) / 2, 1)


class AugMix(Mixture):
    """Mix an image with a few copies of itself that went through chains of operations, as torchvision's transform.

    Hendrycks et al., "AugMix: A simple data processing method to improve robustness and uncertainty" (2019). Each sample
    draws its own chains and weights. Only the image changes: masks, boxes and keypoints stay, since the mixture shows the
    scene in several places, the original one among them. Neighbouring geometry of a chain is one resampling.

    Args:
        severity: how strong, 1 to 10: magnitudes are drawn from so many of 10 bins.
        mixture_width: how many chains.
        chain_depth: operations per chain; -1 for 1, 2 or 3, each as likely, drawn per chain.
        alpha: of the Dirichlet law of the chains' weights and the Beta law of the original's share; uniform for 1.
        all_ops: with brightness, contrast, colour and sharpness, which overlap with the corruptions of ImageNet-C.
        interpolation: "nearest", "bilinear" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    Parameters per sample: share of the original, weights of the chains, and for each slot of each chain which operation
    (its place in `chain.names`, or -1), the level of its magnitude, and its sign (negative below 0.5).

    >>> AugMix()(torch.zeros(8, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    bins = 10

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = 0.0,
        p: float = 1.0,
    ) -> None:
        border = border_of(interpolation, fill, "AugMix")
        operations = MIX.operations(self.bins, border)
        left_out = ("Invert",) if all_ops else ("Invert", "Brightness", "Color", "Contrast", "Sharpness")
        super().__init__(without(operations, *left_out), mixture_width, chain_depth, alpha, p)
        self.severity = arguments.whole(severity, "AugMix", "severity", 1, self.bins)
        self.mixture_width, self.chain_depth = mixture_width, chain_depth
        self.all_ops = all_ops
        self.interpolation, self.fill = border

    def level(self, u: Tensor) -> Tensor:
        return bin_level(integers(u, 0, self.severity), self.bins)
