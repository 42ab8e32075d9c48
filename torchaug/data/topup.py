"""Class frequencies: how many samples to add, what that does to a classifier's scores, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

EDGE = 1e-6
"""By so much a probability may lie outside [0, 1]: sums of shares do."""

Scores = TypeVar("Scores", Tensor, "np.ndarray[Any, Any]")
Frequencies = Any
"""Of classes: a data set with `labels` and `classes`, {class: count or share}, or one number for each class."""


class TopUp:
    """How many samples of each class to synthesise, so that rare classes are less rare; never fewer than there are.

    Args:
        strategy: what every class is topped up to. "balance": the largest class; "ratio:0.3": 0.3 times the largest, as
            imbalanced-learn's `sampling_strategy=0.3`; "sqrt": the geometric mean of its own size and the largest, so
            that a class of a hundredth becomes one of a tenth.

    Raises:
        ValueError: another strategy, or a ratio outside (0, 1].

    >>> real = {"ok": 900, "dent": 100, "crack": 9}
    >>> TopUp("ratio:0.3").counts(real), TopUp("sqrt").counts(real)
    ({'dent': 170, 'crack': 261}, {'dent': 200, 'crack': 81})
    """

    def __init__(self, strategy: str = "balance") -> None:
        self.strategy = strategy
        self._ratio = _ratio(strategy)

    def counts(self, real: Frequencies) -> dict[Any, int]:
        """Samples to add of each class that lacks some, by name (by number where classes have none): for `synthesize`.

        Classes without a real sample get none: no generator has seen one.
        """
        known = frequencies(real, "TopUp.counts")
        if not all(count.is_integer() for count in known.values()):
            raise ValueError(f"TopUp.counts: expected counts of classes, whole numbers, got {known}")
        most = max(known.values(), default=0)
        extra = {name: self._target(count, most) - round(count) for name, count in known.items() if count}
        return {name: count for name, count in extra.items() if count > 0}

    def prior_shift(self, real: Frequencies) -> Tensor:
        """What training on the topped-up data does to log-odds: `prior_shift` of it from the real data, (C,) float64."""
        known, extra = frequencies(real, "TopUp.prior_shift"), self.counts(real)
        return prior_shift({name: count + extra.get(name, 0) for name, count in known.items()}, known)

    def _target(self, count: float, most: float) -> int:
        return round((count * most) ** 0.5 if self._ratio is None else self._ratio * most)

    def __repr__(self) -> str:
        return f"TopUp({self.strategy!r})"


def _ratio(strategy: str) -> float | None:
    """To the largest class; None for "sqrt"."""
    if strategy in ("balance", "sqrt"):
        return 1.0 if strategy == "balance" else None
    name, _, number = str(strategy).partition(":")
    try:
        ratio = float(number) if name == "ratio" else 0.0
    except ValueError:
        ratio = 0.0
    if not 0 < ratio <= 1:
        raise ValueError(f"TopUp: strategy must be 'balance', 'sqrt' or 'ratio:R' with R in (0, 1], got {strategy!r}")
    return ratio


def prior_shift(trained: Frequencies, true: Frequencies) -> Tensor:
    """By how much each class's logit is too high for a model trained at other class frequencies than it will meet.

    It is log(trained_c / true_c), up to a constant: Bayes' rule has the prior as a factor (Elkan, "The Foundations of
    Cost-Sensitive Learning", 2001; Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a
    Priori Probabilities", 2002). It holds where the classes themselves look alike in both, as far as the synthetic samples
    are like the real ones.

    Args:
        trained: frequencies of the classes in training: counts or shares, such as `MixedSampler.class_shares`.
        true: those where the model is used, in the same order or by the same names.

    Returns:
        (C,) float64; 0 for classes that are in neither.

    Raises:
        ValueError: frequencies of other classes, below 0 or all 0, or a class that is in one of the two alone: nothing can
            be said about it.

    >>> prior_shift([50, 50], [90, 10]).exp()
    tensor([0.5556, 5.0000], dtype=torch.float64)
    """
    known, wanted = frequencies(trained, "prior_shift"), frequencies(true, "prior_shift")
    if known.keys() != wanted.keys():
        raise ValueError(f"prior_shift: expected frequencies of the same classes, got {list(known)} and {list(wanted)}")
    for name in known:
        if (known[name] > 0) != (wanted[name] > 0):
            raise ValueError(
                f"prior_shift: class {name!r} must be in both or in neither, got {known[name]:g} in training and "
                f"{wanted[name]:g} in truth"
            )
    rates = [torch.tensor([each[name] for name in wanted], dtype=torch.float64) for each in (known, wanted)]
    first, second = (torch.where(rate > 0, rate / rate.sum(), 1) for rate in rates)
    return (first / second).log()


def prior_correct(scores: Scores, shift: Tensor | Sequence[float], *, probabilities: bool = False) -> Scores:
    """Scores of a model as they were had it been trained at the true class frequencies: calibration is restored.

    The logit of each class loses its shift: p_c becomes p_c exp(-shift_c) / sum. The order of binary scores stays (ranking,
    AUC and average precision with them), but 0.5 means even odds again.

    Args:
        scores: (..., C) of each class; or, of two classes, (B,) of the second. A tensor or a numpy array of floats.
        shift: (C,), of `prior_shift`, `TopUp.prior_shift` or `MixedSampler.class_shares`.
        probabilities: what scores are: probabilities, or logits (log-odds for (B,)).

    Returns:
        As `scores`: its type, shape and dtype, logits or probabilities.

    Raises:
        ValueError: scores of another number of classes, or probabilities outside [0, 1] by more than rounding (looked at on
            the CPU alone).

    >>> shift = prior_shift([50, 50], [90, 10])
    >>> prior_correct(torch.tensor([[0.5, 0.5]]), shift, probabilities=True)
    tensor([[0.9000, 0.1000]])
    >>> prior_correct(np.array([0.0]), shift).round(4)  # log-odds: log(1 / 9)
    array([-2.1972])
    """
    if isinstance(scores, Tensor):
        return _corrected(scores, torch.as_tensor(shift), probabilities)
    array = np.array(scores)  # a copy: what is read-only cannot be shared
    return _corrected(torch.from_numpy(array), torch.as_tensor(shift), probabilities).numpy()


def _corrected(scores: Tensor, shift: Tensor, probabilities: bool) -> Tensor:
    binary = scores.ndim == 1 and len(shift) == 2
    if not scores.is_floating_point() or not (binary or (scores.ndim > 1 and scores.shape[-1] == len(shift))):
        raise ValueError(
            f"prior_correct: scores must be floating point (..., {len(shift)}), or (B,) of the second of two classes, got "
            f"{scores.dtype} {tuple(scores.shape)}"
        )
    if probabilities and scores.device.type == "cpu" and not bool(((scores >= -EDGE) & (scores <= 1 + EDGE)).all()):
        raise ValueError("prior_correct: probabilities must be in [0, 1], got others; are these logits?")
    shift = shift.to(scores.device, torch.float64)
    values = scores.double().clamp(0, 1) if probabilities else scores.double()
    if binary:
        odds = values.logit() if probabilities else values
        odds = odds - (shift[1] - shift[0])
        return (odds.sigmoid() if probabilities else odds).to(scores.dtype)
    logits = (values.log() if probabilities else values) - shift
    return (logits.softmax(-1) if probabilities else logits).to(scores.dtype)


def frequencies(given: Frequencies, who: str) -> dict[Any, float]:
    """A number for each class, by its name, or its place where there are no names.

    >>> frequencies(torch.tensor([3, 1]), "TopUp")
    {0: 3.0, 1: 1.0}
    """
    if isinstance(labels := getattr(given, "labels", None), Tensor):
        names = list(getattr(given, "classes", None) or range(int(labels.max()) + 1))
        given = dict(zip(names, labels.bincount(minlength=len(names)).tolist(), strict=True))
    elif hasattr(given, "labels"):
        raise ValueError(f"{who}: expected a data set with labels, got a {type(given).__name__} without")
    pairs = given.items() if isinstance(given, Mapping) else enumerate(torch.as_tensor(given).flatten().tolist())
    found = {name: float(number) for name, number in pairs}
    if not found or not all(0 <= number < float("inf") for number in found.values()) or not sum(found.values()):
        raise ValueError(f"{who}: expected counts or shares of classes, 0 or more and not all 0, got {found}")
    return found
