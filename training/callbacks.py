"""What to watch while a generator trains, and a transform for the batches of any training."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torchvision.utils import make_grid, save_image

from torchaug.data.loader import DeviceLoader
from torchaug.data.sampler import MixedSampler
from torchaug.data.stage import Stage, Visit, ids_of
from torchaug.keys import sample_keys
from torchaug.training.generator import LitImageGenerator

_HOOK = "on_after_batch_transfer"
Progress = Callable[[int, int, dict[str, float]], None]


class SampleGrid(L.Callback):
    """Writes a grid of samples, a row for each class, to `samples-0001000.png` in the trainer's log folder.

    One every so many steps and one at the end. The latents are the same each time, so that pictures can be compared. The logger gets the grid too
    when its experiment has `add_image` (TensorBoard). Rank zero only.

    Args:
        every_n_steps: steps between two grids.
        per_class: samples of each class.
    """

    def __init__(self, every_n_steps: int = 500, per_class: int = 8) -> None:
        if every_n_steps < 1 or per_class < 1:
            raise ValueError(
                f"SampleGrid: every_n_steps and per_class must be at least 1, got {every_n_steps} and {per_class}"
            )
        self.every_n_steps, self.per_class = every_n_steps, per_class

    @rank_zero_only
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Draws a grid when it is time."""
        if trainer.global_step % self.every_n_steps == 0:
            self._draw(trainer, pl_module)

    @rank_zero_only
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the last grid."""
        if trainer.global_step % self.every_n_steps:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not isinstance(pl_module, LitImageGenerator):
            raise TypeError(f"SampleGrid: expected a generator of images in training, got {type(pl_module).__name__}")
        grid, step = self.grid(pl_module), trainer.global_step
        folder = Path(trainer.log_dir or trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_image(grid, folder / f"samples-{step:07d}.png")
        for logger in trainer.loggers:
            add_image = getattr(getattr(logger, "experiment", None), "add_image", None)
            if add_image is not None:
                add_image("samples", grid, step)

    def grid(self, generator: LitImageGenerator) -> Tensor:
        """The picture, (C or 3, H, W) in [0, 1]."""
        generator.prepare_samples()
        labels = torch.arange(len(generator.classes), device=generator.device).repeat_interleave(self.per_class)
        keys = sample_keys(torch.arange(len(labels), device=generator.device))
        images = generator.generate(labels, keys).float().cpu()
        picture: Tensor = make_grid(images, nrow=self.per_class, padding=1)
        return picture


class ReportProgress(L.Callback):
    """Calls `report(done, total, metrics)` after every `every_n_steps` steps and at the end; rank zero only."""

    def __init__(self, report: Progress, every_n_steps: int = 10) -> None:
        self.report, self.every_n_steps = report, every_n_steps

    @rank_zero_only
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Reports when it is time."""
        step, total = trainer.global_step, int(trainer.max_steps)
        if step % self.every_n_steps == 0 or step == total:
            self.report(step, total, {name: float(value) for name, value in trainer.callback_metrics.items()})


class SaveCheckpoint(L.Callback):
    """Saves to one file after every `every_n_steps` steps, so that a kill loses at most so many."""

    def __init__(self, path: Path, every_n_steps: int) -> None:
        self.path, self.every_n_steps = path, every_n_steps

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Saves when it is time."""
        if trainer.global_step % self.every_n_steps == 0:
            trainer.save_checkpoint(self.path)


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
