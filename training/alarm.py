"""What the checks of a training mean: copying, and collapse, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """What `Monitor` found at a step, by samples and held-out rows; see `torchaug.evaluate.fidelity`.

    Args:
        step: of the training.
        progress: share of the training that is done, in [0, 1].
        c2st: 0.5 is best, 1 is worst.
        nearest_neighbour_ratio: 1 is usual, below 0.5 is copying.
        density: 1 is best.
        coverage: `expected_coverage` is best.
        expected_coverage: of samples from the distribution of the held-out rows.
        diversity: of each class, the mean distance of two samples divided by that of two training rows; 1 is best.
    """

    step: int
    progress: float
    c2st: float
    nearest_neighbour_ratio: float
    density: float
    coverage: float
    expected_coverage: float
    diversity: Mapping[str, float]

    def metrics(self) -> dict[str, float]:
        """The numbers to log; of the diversities the smallest."""
        names = ("c2st", "nearest_neighbour_ratio", "density", "coverage")
        found = {name: float(getattr(self, name)) for name in names}
        return found | ({"diversity": min(self.diversity.values())} if self.diversity else {})

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"diversity": dict(self.diversity)}


@dataclass(frozen=True)
class Alarm:
    """When to stop a training: something is wrong at `patience` checks in a row.

    Copying: the nearest-neighbour ratio is below `copying`. Collapse of a class: the diversity of its samples is below
    `collapse` after it was twice as much, or below a third of `collapse` in the second half of the training (at first
    all samples look alike). Collapse of all: the coverage is below half of its highest.

    Args:
        copying: 0 never rings.
        collapse: 0 never rings.
        patience: checks in a row, at least 1.
        after: checks before this step are not judged: what has just begun is not wrong yet.

    >>> checks = [Check(step, 0.1, 0.5, 0.2, 1.0, 0.9, 0.97, {}) for step in (500, 600, 700)]
    >>> Alarm().rings(checks)
    'copying since step 500: samples lie at 0.2 of the distance of held-out data to the training data (alarm below 0.5)'
    """

    copying: float = 0.5
    collapse: float = 0.3
    patience: int = 3
    after: int = 300

    def __post_init__(self) -> None:
        if self.patience < 1 or not 0 <= self.copying < 1 or not 0 <= self.collapse < 1:
            raise ValueError(
                "Alarm: patience must be at least 1, and copying and collapse in [0, 1), got "
                f"{self.patience}, {self.copying} and {self.collapse}"
            )

    def suspects(self, checks: Sequence[Check]) -> dict[str, str]:
        """What is wrong at the last of the checks: its name, and what was measured."""
        found: dict[str, str] = {}
        if not checks or checks[-1].step < self.after:
            return found
        last, before = checks[-1], checks[:-1]
        if last.nearest_neighbour_ratio < self.copying:
            found["copying"] = (
                f"samples lie at {last.nearest_neighbour_ratio:.2g} of the distance of held-out data to the training "
                f"data (alarm below {self.copying:g})"
            )
        for name, now in last.diversity.items():
            was = max((check.diversity.get(name, 0.0) for check in before), default=0.0)
            fell = now < self.collapse and was >= 2 * self.collapse
            if fell or (3 * now < self.collapse and last.progress >= 0.5):
                found[f"collapse of {name}"] = f"its samples differ from each other by {now:.2g} of what the data do"
        best = max((check.coverage for check in before), default=0.0)
        if self.collapse and best >= 0.2 and last.coverage < best / 2:
            found["collapse"] = f"samples cover {last.coverage:.2g} of the held-out data, after {best:.2g}"
        return found

    def rings(self, checks: Sequence[Check]) -> str | None:
        """What has been wrong for `patience` checks, in a sentence; None where nothing has."""
        if len(checks) < self.patience:
            return None
        recent = [self.suspects(checks[: len(checks) - back]) for back in range(self.patience)]
        lasting = [name for name in recent[0] if all(name in each for each in recent)]
        since = checks[-self.patience].step
        return "; ".join(f"{name} since step {since}: {recent[0][name]}" for name in lasting) or None
