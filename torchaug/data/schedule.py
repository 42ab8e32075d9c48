"""How the share of synthetic samples changes over a run. A schedule is a function of progress, from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ONE = 1 << 32  # a share is a whole number of 2^-32, so that sums over a run are exact


@dataclass(frozen=True)
class Constant:
    """The same share from the first step to the last."""

    share: float

    def __call__(self, progress: Floats) -> Floats:
        """The share at each progress in [0, 1]."""
        return np.full_like(progress, self.share)


@dataclass(frozen=True)
class Linear:
    """From `start` to `end` in a straight line.

    >>> Linear(0.5, 0.0)(np.array([0.0, 0.5, 1.0])).tolist()
    [0.5, 0.25, 0.0]
    """

    start: float
    end: float

    def __call__(self, progress: Floats) -> Floats:
        """The share at each progress in [0, 1]."""
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True)
class Cosine:
    """From `start` to `end` along half a cosine: slow at both ends.

    >>> Cosine(0.5, 0.0)(np.array([0.0, 0.5, 1.0])).round(6).tolist()
    [0.5, 0.25, 0.0]
    """

    start: float
    end: float

    def __call__(self, progress: Floats) -> Floats:
        """The share at each progress in [0, 1]."""
        return self.end + (self.start - self.end) * (1 + np.cos(np.pi * progress)) / 2


@dataclass(frozen=True)
class Piecewise:
    """Constant shares, each from its progress on: `{0: 0.25, 0.8: 0}` trains the last fifth on real data alone, so that
    the model ends on the distribution that it will meet.

    >>> Piecewise({0: 0.25, 0.8: 0})(np.array([0.0, 0.79, 0.8, 1.0])).tolist()
    [0.25, 0.25, 0.0, 0.0]
    """

    shares: Mapping[float, float]

    def __post_init__(self) -> None:
        if not self.shares or min(self.shares) != 0 or max(self.shares) > 1:
            raise ValueError(
                f"Piecewise: expected progress from 0 to 1, the first 0, mapped to shares, got {dict(self.shares)}"
            )

    def __call__(self, progress: Floats) -> Floats:
        """The share at each progress in [0, 1]."""
        starts = sorted(self.shares)
        values = np.array([self.shares[start] for start in starts], dtype=np.float64)
        return values[np.searchsorted(starts, progress, side="right") - 1]


Schedule = Constant | Linear | Cosine | Piecewise | Callable[[float], float]


class Mass:
    """How many of a run's slots are synthetic, exactly: sums of the scheduled shares in whole numbers of 2^-32.

    Args:
        schedule: a share, or a function of progress. Beyond the run it keeps its last value.
        steps: of the run, which progress is measured by; 1 for a constant share.
    """

    def __init__(self, schedule: float | Schedule, steps: int) -> None:
        self._shares = _whole(schedule, np.arange(steps) / max(1, steps - 1))
        self._sums = np.concatenate([[0], self._shares.cumsum()])

    @property
    def mean(self) -> float:
        """The mean share over the run."""
        return float(self._shares.mean()) / ONE

    @property
    def lowest(self) -> float:
        """The lowest share of the run."""
        return int(self._shares.min()) / ONE

    @property
    def highest(self) -> float:
        """The highest share of the run."""
        return int(self._shares.max()) / ONE

    def share(self, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The share at each step, in units of 2^-32."""
        shares: npt.NDArray[np.int64] = self._shares[np.minimum(steps, len(self._shares) - 1)]
        return shares

    def before(self, step: int) -> int:
        """The sum of the shares before a step, in units of 2^-32: a Python integer, which cannot overflow."""
        inside = min(step, len(self._shares))
        return int(self._sums[inside]) + (step - inside) * int(self._shares[-1])


def mean_share(schedule: float | Schedule) -> float:
    """The mean share over a run of many steps."""
    return float(_whole(schedule, (np.arange(1000) + 0.5) / 1000).mean()) / ONE


def _whole(schedule: float | Schedule, progress: Floats) -> npt.NDArray[np.int64]:
    if not callable(schedule):
        schedule = Constant(float(schedule))
    if isinstance(schedule, (Constant, Linear, Cosine, Piecewise)):
        shares = schedule(progress)
    else:
        shares = np.array([float(schedule(float(at))) for at in progress])
    bad = np.flatnonzero(~((shares >= 0) & (shares <= 1)))  # so written, NaN is bad too
    if len(bad):
        raise ValueError(
            f"MixedSampler: share must be in [0, 1], got {shares[bad[0]]:g} at progress {progress[bad[0]]:.3g}"
        )
    return np.rint(shares * ONE).astype(np.int64)
