"""timm's augmentation policies from its configuration strings, such as "rand-m9-mstd0.5-inc1"."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torchaug.compose import Compose
from torchaug.image import policy_tables as tables
from torchaug.image.augmix import Mixture
from torchaug.image.axes import Interpolation
from torchaug.image.policies import Choice, Policy, SubPolicyChoice, border_of
from torchaug.image.policy_ops import Strength
from torchaug.keys import integers, permutation
from torchaug.transform import Layer

GREY = 128 / 255
"""timm's fill."""

Parsers = Mapping[str, Callable[[str], Any]]


def timm_augment(
    config: str, interpolation: Interpolation = "bilinear", fill: float | Sequence[float] = GREY
) -> Compose:
    """The policy that a configuration string of timm names, per sample and on batches.

    Args:
        config: "rand-...", "original-...", "originalr-...", "v0-...", "v0r-...", "3a-..." or "augmix-...", with the sections
            that `TimmRandAugment`, `TimmAutoAugment` and `TimmAugMix` explain.
        interpolation: "nearest", "bilinear" or "bicubic"; timm draws one of the last two each time, unless told.
        fill: of what was outside the image, in [0, 1]: one value, or one per channel. timm's training script takes the
            data's mean.

    >>> timm_augment("rand-m9-mstd0.5-inc1")(torch.zeros(8, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """
    name = config.split("-")[0]
    if name == "rand":
        policy: Layer = TimmRandAugment(config, interpolation, fill)
    elif name == "augmix":
        policy = TimmAugMix(config, interpolation, fill)
    elif name in tables.TIMM_POLICIES:
        policy = TimmAutoAugment(config, interpolation, fill)
    else:
        known = ", ".join(["rand", "augmix", *tables.TIMM_POLICIES])
        raise ValueError(f"timm_augment: config must start with one of {known}, got {name!r} in {config!r}")
    return Compose([policy])


class TimmRandAugment(Policy):
    """timm's RandAugment. Masks, boxes and keypoints follow where pixels move.

    Cubuk et al. (2019), with timm's operations and ranges; each sample draws its own.

    Args:
        config: "rand" and sections after dashes, in any order: m9 the magnitude (default 10), n2 how many operations,
            p0.5 the chance of each, mstd0.5 the standard deviation of each magnitude (above 100: uniform from 0 to it),
            mmax15 the largest magnitude (default 10), inc1 operations that grow stronger with the magnitude, tweights or
            t3aw weighted ones without repetition, t3a DeiT III's three.
        interpolation: "nearest", "bilinear" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance that a sample is transformed at all.

    >>> TimmRandAugment("rand-m9-n3")(torch.zeros(8, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        config: str = "rand-m9-mstd0.5-inc1",
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = GREY,
        p: float = 1.0,
    ) -> None:
        parsers: Parsers = {"m": _number, "n": _count, "p": _chance, "mstd": _std, "mmax": _number, "inc": _flag}
        found = sections(config, ("rand",), {**parsers, "t": _operations}, "TimmRandAugment")
        border = border_of(interpolation, fill, "TimmRandAugment")
        names = found.get("t", tables.TIMM_INCREASING if found.get("inc") else tables.TIMM_RAND)
        count = found.get("n", 2)
        if isinstance(names, dict) and count > len(names):
            raise ValueError(f"TimmRandAugment: n must be at most {len(names)}, without repetition, got {config!r}")
        everything = tables.timm_operations(border)
        super().__init__({name: everything[name] for name in names}, count, p)
        self.config = config
        self.interpolation, self.fill = border
        self._weights = [names[name] for name in self.names] if isinstance(names, dict) else None
        self._magnitude, self._chance = found.get("m", 10.0), found.get("p", 0.5)
        self._strength = Strength(found.get("mstd", 0.0), found.get("mmax", 10.0))

    @property
    def _races(self) -> int:
        """Columns that choose the operations."""
        return self.slots if self._weights is None else len(self._weights)

    @property
    def columns(self) -> int:
        return 1 + self._races + 3 * self.slots

    def choose(self, u: Tensor) -> list[Choice]:
        gate, noise, sign = u[:, self._races :].unflatten(1, (3, self.slots)).unbind(1)
        which = torch.where(gate < self._chance, self._which(u[:, : self._races]), -1)
        numbers = torch.stack([self._strength.level(self._magnitude, noise), sign], 2)
        return [Choice(*slot) for slot in zip(which.unbind(1), numbers.unbind(1), strict=True)]

    def _which(self, u: Tensor) -> Tensor:
        """(B, slots) operations. Weighted ones come in the order in which clocks ring that run at their weights."""
        if self._weights is None:
            return integers(u, 0, len(self.names))
        waits = -torch.log1p(-u)
        times = [wait / weight for wait, weight in zip(waits.unbind(1), self._weights, strict=True)]
        return permutation(torch.stack(times, 1))[:, : self.slots]


class TimmAutoAugment(SubPolicyChoice):
    """timm's AutoAugment. Masks, boxes and keypoints follow where pixels move.

    Cubuk et al. (2018), with timm's operations and ranges; each sample draws its own sub-policy.

    Args:
        config: a policy, "original" (ImageNet's, of the paper), "v0" (of the TPU's EfficientNet), each with "r" at the end
            where posterisation grows stronger with the magnitude, or "3a" (DeiT III's three); then perhaps mstd0.5 after a
            dash, the standard deviation of each magnitude.
        interpolation: "nearest", "bilinear" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance that a sample is transformed at all.

    >>> TimmAutoAugment("original-mstd0.5")(torch.zeros(8, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        config: str = "original",
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = GREY,
        p: float = 1.0,
    ) -> None:
        found = sections(config, tuple(tables.TIMM_POLICIES), {"mstd": _std}, "TimmAutoAugment")
        border = border_of(interpolation, fill, "TimmAutoAugment")
        policy = tables.subpolicies(tables.TIMM_POLICIES[config.split("-")[0]])
        super().__init__(tables.timm_operations(border), policy, p)
        self.config = config
        self.interpolation, self.fill = border
        self._strength = Strength(found.get("mstd", 0.0))

    def level(self, magnitude: Tensor, noise: Tensor) -> Tensor:
        return self._strength.level(magnitude, noise)


class TimmAugMix(Mixture):
    """timm's AugMix: `AugMix` with timm's operations and ranges. Only the image changes.

    Args:
        config: "augmix" and sections after dashes, in any order: m3 the magnitude, w3 how many chains, d2 operations per
            chain (by default 1, 2 or 3), a1 alpha of the mixing weights, mstd0.5 the standard deviation of each magnitude
            (by default it is uniform from 0 to m). b1, a faster order of the same mixture, changes nothing here.
        interpolation: "nearest", "bilinear" or "bicubic".
        fill: of what was outside the image, in [0, 1]: one value, or one per channel.
        p: chance per sample.

    >>> TimmAugMix("augmix-m5-w4-d2")(torch.zeros(8, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        config: str = "augmix",
        interpolation: Interpolation = "bilinear",
        fill: float | Sequence[float] = GREY,
        p: float = 1.0,
    ) -> None:
        parsers: Parsers = {"m": _number, "w": _count, "d": _count, "a": _number, "mstd": _std, "b": _flag}
        found = sections(config, ("augmix",), parsers, "TimmAugMix")
        border = border_of(interpolation, fill, "TimmAugMix")
        everything = tables.timm_operations(border)
        operations = {name: everything[name] for name in tables.TIMM_AUGMIX}
        super().__init__(operations, found.get("w", 3), found.get("d", -1), found.get("a", 1.0), p)
        self.config = config
        self.interpolation, self.fill = border
        self._magnitude, self._strength = found.get("m", 3.0), Strength(found.get("mstd", math.inf))

    def level(self, u: Tensor) -> Tensor:
        return self._strength.level(self._magnitude, u)


def sections(config: str, heads: Sequence[str], parsers: Parsers, who: str) -> dict[str, Any]:
    """The values of a configuration string's sections by key; errors name the section."""
    head, *rest = config.split("-")
    if head not in heads:
        raise ValueError(f"{who}: config must start with one of {', '.join(heads)}, got {head!r} in {config!r}")
    found: dict[str, Any] = {}
    for section in rest:
        key = max((key for key in parsers if section.startswith(key)), key=len, default=None)
        if key is None:
            known = ", ".join(parsers)
            raise ValueError(f"{who}: a section must start with one of {known}, got {section!r} in {config!r}")
        if key in found:
            raise ValueError(f"{who}: a section may come once, got a second {section!r} in {config!r}")
        try:
            found[key] = parsers[key](section.removeprefix(key))
        except ValueError as error:
            raise ValueError(f"{who}: {key!r} {error}, got {section!r} in {config!r}") from None
    return found


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ValueError("needs a number of at least 0 after it")
    return value


def _std(text: str) -> float:
    value = _number(text)
    return math.inf if value > 100 else value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("needs a whole number of at least 1 after it")
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("needs 0 or 1 after it")
    return text == "1"


def _chance(text: str) -> float:
    value = _number(text)
    if value > 1:
        raise ValueError("needs a chance from 0 to 1 after it")
    return value


def _operations(text: str) -> list[str] | dict[str, float]:
    sets = {"weights": tables.TIMM_WEIGHTS, "3aw": tables.TIMM_THREE_WEIGHTS, "3a": tables.TIMM_THREE}
    if text not in sets:
        raise ValueError(f"needs one of {', '.join(sets)} after it")
    return sets[text]  # type: ignore[return-value]
