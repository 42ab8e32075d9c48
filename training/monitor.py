"""Whether a training goes well, measured on held-out data while it runs, and stopped where it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor

from torchaug.evaluate.features import Content, features_of
from torchaug.evaluate.fidelity import c2st, density_and_coverage, diversity, expected_coverage, nearest_neighbour_ratio
from torchaug.keys import sample_keys
from torchaug.training.alarm import Alarm, Check
from torchaug.training.callbacks import EveryNSteps, check_weights
from torchaug.training.data import InMemory, SynthesisDataModule
from torchaug.training.generator import LitGenerator

PREFIX = "monitor/"
"""Of its numbers in logs."""
_SEED = -1  # of the samples that are judged: not those of any bank
_PER_CLASS, _CLASSES = 12, 64


class Monitor(EveryNSteps):
    """Measures samples against held-out data every so many steps: C2ST, nearest-neighbour ratio, density and coverage.

    The numbers are logged as "monitor/c2st" and so on, are in `checks`, and survive a resume. They need no network: see
    `features_of`. They change nothing in the training, whose random numbers come from its own keys. Where the alarm
    rings, the training ends after the step, and `rung` says why. Rank zero measures.

    Args:
        every_n_steps: steps between two checks.
        samples: held-out rows and samples that are compared, at most; of training rows forty times as many.
        alarm: when to stop; None: never.

    Raises:
        TypeError, ValueError: when training starts, without a `LitGenerator`, or without a `SynthesisDataModule` that
            holds 3 rows or more back.
    """

    def __init__(self, every_n_steps: int = 500, samples: int = 500, alarm: Alarm | None = Alarm()) -> None:  # noqa: B008
        super().__init__(every_n_steps)
        if samples < 3:
            raise ValueError(f"Monitor: samples must be at least 3, got {samples}")
        self.samples, self.alarm = samples, alarm
        self.checks: list[Check] = []
        self.rung: str | None = None
        """What the alarm rang for."""
        self._features: Callable[[Content], Tensor] | None = None

    @property
    def suspicion(self) -> str | None:
        """What was wrong at the last check, if anything: then is no time to save a checkpoint over a better one."""
        found = {} if self.alarm is None else self.alarm.suspects(self.checks)
        return "; ".join(f"{name}: {what}" for name, what in found.items()) or None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says what is missing before anything is trained."""
        self._features = None
        _data_of(trainer, pl_module)

    def at(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A check, where there was none after this step."""
        if self.checks and self.checks[-1].step == trainer.global_step:
            return
        named = self._measure(trainer, pl_module)
        pl_module.log_dict(named, logger=False, batch_size=1)
        for logger in trainer.loggers:
            logger.log_metrics(named, trainer.global_step)
        trainer.should_stop = trainer.should_stop or self.rung is not None

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A check of the last weights, which are about to be saved; Lightning logs nothing here."""
        if self.checks and self.checks[-1].step != trainer.global_step:
            check_weights(trainer)
            self._measure(trainer, pl_module)

    def _measure(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, float]:
        """A check more, and what it says to the alarm; the numbers, by the names under which they are logged."""
        generator, data = _data_of(trainer, pl_module)
        with torch.no_grad():
            found = self.check(generator, data, trainer.global_step) if trainer.is_global_zero else None
        check = trainer.strategy.broadcast(found)
        assert check is not None
        self.checks.append(check)
        self.rung = self.alarm.rings(self.checks) if self.alarm is not None else None
        return {PREFIX + name: value for name, value in check.metrics().items()}

    def check(self, generator: LitGenerator, data: SynthesisDataModule, step: int) -> Check:
        """Measures a generator in training."""
        generator.prepare_samples()
        train, holdout = _some(data.train, 40 * self.samples), _some(data.holdout, self.samples)
        numbers = torch.zeros(len(holdout), dtype=torch.int64) if holdout.labels is None else holdout.labels
        made = self._make(generator, numbers)
        self._features = self._features or features_of(train.tensors(), made)
        contents = (train.tensors(), holdout.tensors(), made)
        seen, kept, fake = (self._features(rows).to(generator.device) for rows in contents)
        k = min(5, len(kept) - 1)
        density, coverage = density_and_coverage(kept, fake, k)
        return Check(
            step,
            generator.progress,
            c2st(kept, fake),
            nearest_neighbour_ratio(seen, fake, kept),
            density,
            coverage,
            expected_coverage(len(kept), len(fake), k),
            self._diversity(generator, train, seen),
        )

    def _diversity(self, generator: LitGenerator, train: InMemory, seen: Tensor) -> dict[str, float]:
        """Of each class (of the first 64) with two different training rows."""
        names = (train.classes or [])[:_CLASSES] if train.labels is not None else []
        labels = torch.arange(max(1, len(names))).repeat_interleave(_PER_CLASS)
        assert self._features is not None
        made = self._features(self._make(generator, labels, first=10**6)).to(generator.device)
        found = {}
        for number, name in enumerate(names or ["all"]):
            rows = seen[train.labels == number] if names and train.labels is not None else seen
            usual = diversity(rows[:200]) if len(rows) > 1 else 0.0
            if usual > 0:
                found[name] = diversity(made[labels == number]) / usual
        return found

    def _make(self, generator: LitGenerator, labels: Tensor, first: int = 0) -> Content:
        keys = sample_keys(torch.arange(first, first + len(labels)), seed=_SEED)
        columns = generator.make(labels.to(generator.device), keys.to(generator.device))
        return {name: column.cpu() for name, column in columns.items()}

    def state_dict(self) -> dict[str, Any]:
        """The checks, for a checkpoint."""
        return {"checks": [check.to_dict() for check in self.checks]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from the checks of a checkpoint."""
        self.checks = [Check(**check) for check in state_dict["checks"]]


def _some(data: Any, most: int) -> Any:
    """Rows evenly from all of a data set, at most so many."""
    step = -(-len(data) // most)
    return data if step == 1 else data.subset(torch.arange(0, len(data), step))


def _data_of(trainer: L.Trainer, module: L.LightningModule) -> tuple[LitGenerator, SynthesisDataModule]:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(module, LitGenerator):
        raise TypeError(f"Monitor: expected a generator of torchaug in training, got {type(module).__name__}")
    if not isinstance(data, SynthesisDataModule) or data.holdout is None or len(data.holdout) < 3:
        raise ValueError(
            "Monitor: expected a SynthesisDataModule that holds 3 rows or more back, got "
            f"{type(data).__name__ if not isinstance(data, SynthesisDataModule) else len(data.holdout or ())}; pass "
            "holdout=0.1, or leave the monitor out where there are too few rows"
        )
    return module, data
