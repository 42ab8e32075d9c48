"""Automatic augmentation policies: per sample, a few operations chosen from a list, with a magnitude each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from torchaug.compose import Container, OneOf
from torchaug.image import arguments
from torchaug.image.axes import Interpolation
from torchaug.image.blur import GaussianBlur
from torchaug.image.color import ColorJitter, RandomGrayscale
from torchaug.image.policy_ops import Border
from torchaug.image.policy_tables import POLICIES, RAND, WIDE, Step, SubPolicies, subpolicies
from torchaug.image.tone import RandomSolarize
from torchaug.image.warp import Geometric
from torchaug.keys import integers
from torchaug.transform import Call, Transform, probability


class Choice(NamedTuple):
    """What a slot of a policy does."""

    which: Tensor
    """(B,) int64: the place of the operation in the policy's `names`; one that is not there does nothing."""
    u: Tensor
    """(B, 2): the operation's uniforms, for the level and the sign of its magnitude."""


class Policy(Container):
    """A layer of slots, one after the other, in each of which a sample gets one of the operations or none.

    All operations are gated per sample, without a branch on data: those of a slot that move pixels are one resampling,
    the others one pass. On a CPU an operation that no sample of a piece of the batch has chosen costs nothing; on a GPU
    and in a compiled graph every operation is computed, so on a CPU a policy is faster eager.

    Args:
        operations: by name.
        slots: how many.
        p: chance that a sample is transformed at all.
    """

    def __init__(self, operations: Mapping[str, Transform], slots: int, p: float) -> None:
        self.names = sorted(operations, key=lambda name: not isinstance(operations[name], Geometric))
        super().__init__([operations[name] for name in self.names])
        self.slots, self.p = slots, probability(p, type(self).__name__)

    @abstractmethod
    def choose(self, u: Tensor) -> list[Choice]:
        """What each slot does, from `u` (B, columns - 1)."""

    def _order(self, slot: int) -> list[int]:
        """In every other slot geometry comes last, so that it meets the next slot's: only one of a slot's steps acts."""
        places = list(range(len(self.names)))
        return places[::-1] if slot % 2 else places

    def leaves(self) -> list[Transform]:
        return [self.transforms[i] for slot in range(self.slots) for i in self._order(slot)]  # type: ignore[misc]

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        gate = chosen & (u[:, 0] < self.p) if self.training else torch.zeros_like(chosen)
        choices = enumerate(self.choose(u[:, 1:]))
        return [Call(c.u, gate & (c.which == i)) for slot, c in choices for i in self._order(slot)]


def bin_level(place: Tensor, count: int) -> Tensor:
    """The uniform that falls into bin `place` of `count`."""
    return (place + 0.5) / count


def without(operations: Mapping[str, Transform], *names: str) -> dict[str, Transform]:
    """The operations but some."""
    return {name: operation for name, operation in operations.items() if name not in names}


class RandAugment(Policy):
    """A few operations with one magnitude, each drawn from 14, as torchvision's transform of this name.

    Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space" (2019). Each sample
    draws its own operations. Masks, boxes and keypoints follow those that move pixels.

    Args:
        num_ops: how many operations, one after the other; the same one may come again.
        magnitude: the bin of the magnitude, below `num_magnitude_bins`.
        num_magnitude_bins: of each operation's range.
        interpolation: "nearest" (torchvision's default), "bilinear" or "bicubic": folds with neighbours that have the same.
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance that a sample is transformed at all.

    Images of 1 or 3 channels as torchvision; others too, with the mean of the channels as grey.

    >>> RandAugment()(torch.zeros(8, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] = 0.0,
        p: float = 1.0,
    ) -> None:
        border = border_of(interpolation, fill, "RandAugment")
        bins = arguments.whole(num_magnitude_bins, "RandAugment", "num_magnitude_bins", 2)
        arguments.whole(num_ops, "RandAugment", "num_ops", 1)
        arguments.whole(magnitude, "RandAugment", "magnitude", 0, bins - 1)
        super().__init__(without(RAND.operations(bins, border), "Invert"), num_ops, p)
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, bins
        self.interpolation, self.fill = border

    @property
    def columns(self) -> int:
        return 1 + 2 * self.num_ops

    def choose(self, u: Tensor) -> list[Choice]:
        level = bin_level(torch.full_like(u[:, 0], self.magnitude), self.num_magnitude_bins)
        count = len(self.names) + 1  # one more: the identity
        slots = zip(u[:, ::2].unbind(1), u[:, 1::2].unbind(1), strict=True)
        return [Choice(integers(which, 0, count), torch.stack([level, sign], 1)) for which, sign in slots]


class TrivialAugmentWide(Policy):
    """One operation of 14 with a random magnitude, as torchvision's transform of this name.

    Mueller and Hutter, "TrivialAugment: Tuning-free yet state-of-the-art data augmentation" (2021). Each sample draws its
    own. Masks, boxes and keypoints follow where pixels move.

    Args:
        num_magnitude_bins: of each operation's range; each is as likely.
        interpolation: "nearest" (torchvision's default), "bilinear" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance that a sample is transformed at all.

    >>> TrivialAugmentWide()(torch.zeros(8, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] = 0.0,
        p: float = 1.0,
    ) -> None:
        border = border_of(interpolation, fill, "TrivialAugmentWide")
        self.num_magnitude_bins = arguments.whole(num_magnitude_bins, "TrivialAugmentWide", "num_magnitude_bins", 2)
        super().__init__(without(WIDE.operations(num_magnitude_bins, border), "Invert"), 1, p)
        self.interpolation, self.fill = border

    @property
    def columns(self) -> int:
        return 4

    def choose(self, u: Tensor) -> list[Choice]:
        return [Choice(integers(u[:, 0], 0, len(self.names) + 1), u[:, 1:])]


class SubPolicyChoice(Policy):
    """A policy that draws one of several sub-policies per sample: AutoAugment's form.

    Args:
        operations: by name.
        policy: its sub-policies, at most 30, all of the same length, with names of `operations`.
        p: chance that a sample is transformed at all.
    """

    def __init__(self, operations: Mapping[str, Transform], policy: SubPolicies, p: float) -> None:
        used = {step.name for steps in policy for step in steps}
        super().__init__({name: operation for name, operation in operations.items() if name in used}, len(policy[0]), p)
        self._policy = policy

    @property
    def columns(self) -> int:
        return 2 + 3 * self.slots

    @abstractmethod
    def level(self, magnitude: Tensor, noise: Tensor) -> Tensor:
        """The first of the operation's uniforms, from the sub-policy's magnitude (B,) and a uniform (B,)."""

    def choose(self, u: Tensor) -> list[Choice]:
        drawn = integers(u[:, 0], 0, len(self._policy))
        return [
            self._choice([steps[slot] for steps in self._policy], drawn, u, 1 + 3 * slot) for slot in range(self.slots)
        ]

    def _choice(self, steps: Sequence[Step], drawn: Tensor, u: Tensor, first: int) -> Choice:
        gate, sign, noise = u[:, first : first + 3].unbind(1)
        which = look_up([self.names.index(step.name) for step in steps], drawn)
        acts = gate * 10 < look_up([step.tenths for step in steps], drawn)
        magnitude = look_up([step.magnitude for step in steps], drawn)
        return Choice(torch.where(acts, which, -1), torch.stack([self.level(magnitude, noise), sign], 1))


def look_up(table: Sequence[int], index: Tensor) -> Tensor:
    """Entries of a table of numbers below 16, at most 30 of them, at `index` (B,) int64.

    The table travels as bits of two whole numbers: a tensor made on the host would have to be copied to the device.
    """
    low, high = (sum(entry << 4 * i for i, entry in enumerate(half)) for half in (table[:15], table[15:30]))
    return torch.where(index < 15, low >> 4 * index, high >> 4 * (index - 15).clamp(min=0)) & 15


class AutoAugment(SubPolicyChoice):
    """One of 25 pairs of operations that a search found, as torchvision's transform of this name.

    Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data" (2018). Each sample draws its own pair; each
    operation has a chance and a magnitude of its own. Masks, boxes and keypoints follow where pixels move.

    Args:
        policy: "imagenet", "cifar10" or "svhn": what it was found on; torchvision's enum is fine too.
        interpolation: "nearest" (torchvision's default), "bilinear" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance that a sample is transformed at all.

    >>> AutoAugment("cifar10")(torch.zeros(8, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    bins = 10

    def __init__(
        self,
        policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet",
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] = 0.0,
        p: float = 1.0,
    ) -> None:
        border = border_of(interpolation, fill, "AutoAugment")
        name = getattr(policy, "value", policy)
        if name not in POLICIES:
            raise ValueError(f"AutoAugment: policy must be one of {', '.join(POLICIES)}, got {policy!r}")
        super().__init__(RAND.operations(self.bins, border), subpolicies(POLICIES[name]), p)
        self.policy = name
        self.interpolation, self.fill = border

    def level(self, magnitude: Tensor, noise: Tensor) -> Tensor:
        return bin_level(magnitude, self.bins)


class ThreeAugment(Container):
    """DeiT III's augmentation: one of greyscale, solarisation and Gaussian blur, then colour jitter.

    Touvron, Cord and Jegou, "DeiT III: Revenge of the ViT" (2022), section 4.2. It follows a crop and a flip there. Each
    sample draws its own, each of the three as likely.

    Args:
        color_jitter: of brightness, contrast and saturation, as `ColorJitter` takes them; None for none.
        threshold: of the solarisation, in [0, 1].
        sigma: range of the blur's standard deviation, in pixels.

    Images of 1 or 3 channels.

    >>> ThreeAugment()(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        color_jitter: float | None = 0.3,
        threshold: float = 128 / 255,
        sigma: tuple[float, float] = (0.1, 2.0),
    ) -> None:
        three = [RandomGrayscale(p=1.0), RandomSolarize(threshold, p=1.0), GaussianBlur(sigma=sigma)]
        super().__init__([OneOf(three), ColorJitter(color_jitter, color_jitter, color_jitter)])
        self.color_jitter, self.threshold, self.sigma = color_jitter, threshold, sigma

    @property
    def columns(self) -> int:
        return sum(self.children_columns)

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        parts = u.split(self.children_columns, dim=1)
        return [call for child, part in zip(self._layers(), parts, strict=True) for call in child.route(part, chosen)]


def border_of(interpolation: Interpolation, fill: float | Sequence[float], who: str) -> Border:
    """Checked."""
    return Border(arguments.interpolation(interpolation, who), arguments.fill(fill, who))
