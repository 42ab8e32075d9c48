"""Checkpoints that are worth going on from: written whole, of finite weights, and not while the alarm suspects them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch

from torchaug.training.callbacks import EveryNSteps, check_weights, step_done
from torchaug.training.monitor import PREFIX, Monitor


def save_whole(trainer: L.Trainer, path: Path) -> None:
    """Saves a checkpoint under another name first: a kill leaves the one that was there before.

    Raises:
        FloatingPointError: a weight is NaN or infinite; what was there before stays.
    """
    check_weights(trainer)
    part = path.with_name(path.name + ".part")
    trainer.save_checkpoint(part)
    if trainer.is_global_zero:
        os.replace(part, path)


class SaveCheckpoint(EveryNSteps):
    """Saves to one file after every `every_n_steps` steps, so that a kill loses at most so many.

    Nothing is saved over a better checkpoint: not weights that are NaN or infinite, nor those that the monitor's last
    check found something wrong with.

    Args:
        path: of the file.
        every_n_steps: steps between two savings.
        monitor: whose word counts; before this in the trainer's list of callbacks.
    """

    needs_weights = False  # `save_whole` looks at them

    def __init__(self, path: Path, every_n_steps: int, monitor: Monitor | None = None) -> None:
        super().__init__(every_n_steps)
        self.path, self.monitor = path, monitor
        self.step: int | None = None
        """Of the checkpoint that was saved last."""

    def at(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves, after a look at what is saved."""
        if self.monitor is not None:
            self.monitor.at(trainer, pl_module)
        if self.monitor is None or self.monitor.suspicion is None:
            save_whole(trainer, self.path)
            self.step = trainer.global_step


class FiniteLoss(L.Callback):
    """Stops a training whose loss, or any logged part of it, becomes NaN or infinite, and says which, and at which step.

    It looks at everything that the module logs; on a GPU, without waiting for it, and reads what it saw every
    `every_n_steps` steps.

    Args:
        every_n_steps: steps between two readings on a GPU.

    Raises:
        FloatingPointError: while training.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        self.every_n_steps = every_n_steps
        self._names: tuple[str, ...] = ()
        self._first = torch.empty(0)  # of each term the first step at which it was not finite, else infinite

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        """Looks at the batch's terms."""
        terms = {name: value for name, value in trainer.callback_metrics.items() if not name.startswith(PREFIX)}
        if not terms:
            return
        values = torch.stack([value.detach().to(pl_module.device, torch.float64) for value in terms.values()])
        if self._names != tuple(terms):
            self._names, self._first = tuple(terms), torch.full_like(values, torch.inf)
        step = trainer.global_step
        self._first = torch.where(values.isfinite(), self._first, self._first.clamp(max=float(step)))
        on_cpu = pl_module.device.type == "cpu"
        if (on_cpu or step % self.every_n_steps == 0 or step == trainer.max_steps) and step_done(trainer):
            self._read(trainer)

    def _read(self, trainer: L.Trainer) -> None:
        first = dict(zip(self._names, self._first.tolist(), strict=True))
        step = min(first.values())
        bad = [name for name, at in first.items() if at == step and step < torch.inf]
        if trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
            # the sum is bad whenever a part is: say the part
            named = [name for name in bad if name != "loss"] or bad
            what = f"{', '.join(named)} was not finite" if bad else "a loss of another process was not finite"
            raise FloatingPointError(f"training: {what} at step {trainer.global_step if not bad else int(step)}")


class SaveOnInterrupt(L.Callback):
    """On Ctrl-C saves after the step under way, since only whole steps can be resumed, and interrupts then.

    A second Ctrl-C interrupts at once. Where Ctrl-C has another meaning, or none, it is left alone.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.asked = path, False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, Ctrl-C is heard."""
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.path is None or not usual or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _ask(self, *_: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Saves and interrupts."""
        if self.path is not None and step_done(trainer) and self._asked_anywhere(trainer):
            save_whole(trainer, self.path)
            raise KeyboardInterrupt

    def _asked_anywhere(self, trainer: L.Trainer) -> bool:
        """Of several processes all must stop after the same step, or one would wait for the others' gradients for ever."""
        if trainer.world_size > 1:
            return trainer.strategy.reduce_boolean_decision(self.asked, all=False)
        return self.asked
