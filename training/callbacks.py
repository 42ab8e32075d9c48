"""What to watch while a generator trains, and a transform for the batches of any training."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from torchaug.data.loader import DeviceLoader
from torchaug.data.sampler import MixedSampler
from torchaug.data.stage import Stage, Visit, ids_of
from torchaug.training.generator import LitGenerator
from torchaug.training.show import draw, make_few

_HOOK = "on_after_batch_transfer"
Progress = Callable[[int, int, dict[str, float]], None]


def step_done(trainer: L.Trainer) -> bool:
    """Whether the batch that ended was the last of an optimiser step: with accumulated gradients most are not."""
    ready: int = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return ready % trainer.accumulate_grad_batches == 0


def check_weights(trainer: L.Trainer) -> None:
    """Refuses weights from which nothing good can be made, nor saved.

    Raises:
        FloatingPointError: on every process, when a weight of any is NaN or infinite.
    """
    assert trainer.lightning_module is not None
    values = trainer.lightning_module.state_dict().items()
    bad = [name for name, value in values if isinstance(value, Tensor) and not bool(value.isfinite().all())]
    if trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
        where = f"{bad[0]} and {len(bad) - 1} more" if bad else "those of another process"
        raise FloatingPointError(f"training: the weights are not finite at step {trainer.global_step} ({where})")


class EveryNSteps(L.Callback, ABC):
    """Does something after every `every_n_steps` optimiser steps."""

    needs_weights: ClassVar[bool] = True
    """Whether it cannot be done with weights that are NaN or infinite."""

    def __init__(self, every_n_steps: int) -> None:
        if every_n_steps < 1:
            raise ValueError(f"{type(self).__name__}: every_n_steps must be at least 1, got {every_n_steps}")
        self.every_n_steps = every_n_steps

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Does it when it is time."""
        if trainer.global_step % self.every_n_steps == 0 and step_done(trainer):
            if self.needs_weights:
                check_weights(trainer)
            self.at(trainer, pl_module)

    @abstractmethod
    def at(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What is done."""


class SampleGrid(EveryNSteps):
    """Writes some samples of each class to the trainer's log folder, as `samples-0001000.png` or the like.

    One file every so many steps and one at the end; what it holds depends on what is generated, see
    `torchaug.training.show.draw`: a picture, a picture and a sound, or a table. The latents are the same each time, so that
    the files can be compared. The logger gets pictures too when its experiment has `add_image` (TensorBoard). What cannot
    be drawn or written is a warning and stops no training. Rank zero only.

    Args:
        every_n_steps: steps between two files.
        per_class: samples of each class.
        given: what is asked of the samples, a row for each, such as [{"red": 1.0}, {"red": 1.0, "large": 1.0}] of a GAN
            whose condition is not a class. None: one label or number after the other at 1, the others at 0.

    Raises:
        TypeError, ValueError: when training starts, where the generator does not know what is asked of it.
    """

    def __init__(self, every_n_steps: int = 500, per_class: int = 8, given: Sequence[Any] | None = None) -> None:
        super().__init__(every_n_steps)
        if per_class < 1 or (given is not None and not given):
            raise ValueError(
                f"SampleGrid: per_class must be at least 1 and given hold a condition or be None, got {per_class} and {given}"
            )
        self.per_class = per_class
        self.settings = None if given is None else [{"given": each} for each in given]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks for samples once, so that what cannot be asked for is said before anything is trained."""
        if self.settings is not None:
            make_few(_generator(pl_module), 1, self.settings)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the last one."""
        if trainer.global_step % self.every_n_steps:
            self.at(trainer, pl_module)

    def at(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws one."""
        generator, step = _generator(pl_module), trainer.global_step
        folder = Path(trainer.log_dir or trainer.default_root_dir)  # all processes ask: Lightning broadcasts it
        if not trainer.is_global_zero:
            return
        few = make_few(generator, self.per_class, self.settings)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            picture = draw(generator, few, folder / f"samples-{step:07d}")
            for logger in trainer.loggers:
                add_image = getattr(getattr(logger, "experiment", None), "add_image", None)
                if picture is not None and add_image is not None:
                    add_image("samples", picture, step)
        except Exception as error:  # noqa: BLE001 - of whatever kind: a full disk is worth no hours of training
            warnings.warn(
                f"SampleGrid: the samples of step {step} could not be shown ({type(error).__name__}: {error}); "
                "training goes on",
                stacklevel=2,
            )


def _generator(module: L.LightningModule) -> LitGenerator:
    if not isinstance(module, LitGenerator):
        raise TypeError(f"SampleGrid: expected a generator of torchaug in training, got {type(module).__name__}")
    return module


class ReportProgress(EveryNSteps):
    """Calls `report(done, total, metrics)` after every `every_n_steps` steps and at the end; rank zero only."""

    needs_weights = False

    def __init__(self, report: Progress, every_n_steps: int = 10) -> None:
        super().__init__(every_n_steps)
        self.report = report

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reports the end."""
        if trainer.global_step % self.every_n_steps:
            self.at(trainer, pl_module)

    @rank_zero_only
    def at(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reports."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.report(trainer.global_step, int(trainer.max_steps), metrics)


class BatchTransform(L.Callback):
    """Transforms the batches that a model is trained on, after they came to its device, and no others.

    For the simple case, with any loader; a `DeviceLoader` does the same ahead of the step. It runs after the model's, or
    the data module's, own `on_after_batch_transfer`. A sample's key is a hash of (seed, epoch, id), the id being "id" or
    "index" of the batch, or of the place in the epoch, counting the batches of all ranks: the same after a resume. Where
    the loader's sampler may draw a sample twice in an epoch, the step counts too.

    Args:
        transform: one of torchaug's (called with `keys=`), or any callable of a batch.
        seed: of the augmentation.

    Raises:
        ValueError: when training starts, beside a `DeviceLoader` that transforms the batches already.

    >>> from torchaug.image import RandomHorizontalFlip
    >>> trainer = L.Trainer(callbacks=[BatchTransform(RandomHorizontalFlip())], logger=False, accelerator="cpu")
    """

    def __init__(self, transform: Callable[..., Any], seed: int = 0) -> None:
        self.transform, self.seed = transform, seed
        self._restore: Callable[[], None] | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Puts itself behind the hook that Lightning will call: the data module's where it has one, else the model's."""
        data: Any = getattr(trainer, "datamodule", None)
        owner: Any = data if is_overridden(_HOOK, data) else pl_module
        own, is_its_own = getattr(owner, _HOOK), _HOOK in vars(owner)

        @wraps(own)  # so that Lightning does not take it for an override of the model beside a data module
        def both(batch: Any, dataloader_idx: int) -> Any:
            batch = own(batch, dataloader_idx)
            return self.apply(batch, trainer) if trainer.training else batch

        setattr(owner, _HOOK, both)
        self._restore = (lambda: setattr(owner, _HOOK, own)) if is_its_own else (lambda: delattr(owner, _HOOK))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuses to transform twice."""
        loader = trainer.train_dataloader
        if isinstance(loader, DeviceLoader) and loader.transform is not None:
            raise ValueError(
                "BatchTransform: expected a loader whose batches are not transformed yet, got a DeviceLoader with a "
                "transform; leave one of them out"
            )

    def apply(self, batch: Any, trainer: L.Trainer) -> Any:
        """The batch that the trainer is about to train on, transformed."""
        step = trainer.fit_loop.epoch_loop.batch_progress.current.ready  # as saved: also right after a resume
        visit = Visit(trainer.current_epoch, step, step * trainer.world_size + trainer.global_rank)
        loader = trainer.train_dataloader
        sampler, size = getattr(loader, "sampler", None), getattr(loader, "batch_size", None)
        repeats = isinstance(sampler, MixedSampler) or getattr(sampler, "replacement", False)
        stage = Stage(self.transform, self.seed, size, repeats, getattr(loader, "dataset", None))
        with torch.no_grad():
            return stage.run(batch, stage.keys(batch, (), visit), visit, names=ids_of(batch))

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Takes itself out again."""
        self._leave()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Takes itself out again: Lightning calls no `teardown` then."""
        self._leave()

    def _leave(self) -> None:
        if self._restore is not None:
            self._restore()
        self._restore = None
