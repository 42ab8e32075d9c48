"""What to watch while a generator trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torchvision.utils import make_grid, save_image

from torchaug.keys import sample_keys
from torchaug.training.generator import LitGenerator

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
        if not isinstance(pl_module, LitGenerator):
            raise TypeError(f"SampleGrid: expected LitVAE or LitGAN in training, got {type(pl_module).__name__}")
        grid, step = self.grid(pl_module), trainer.global_step
        folder = Path(trainer.log_dir or trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_image(grid, folder / f"samples-{step:07d}.png")
        for logger in trainer.loggers:
            add_image = getattr(getattr(logger, "experiment", None), "add_image", None)
            if add_image is not None:
                add_image("samples", grid, step)

    def grid(self, generator: LitGenerator) -> Tensor:
        """The picture, (C or 3, H, W) in [0, 1]."""
        generator.prepare_samples()
        labels = torch.arange(len(generator.classes), device=generator.device).repeat_interleave(self.per_class)
        keys = sample_keys(torch.arange(len(labels), device=generator.device))
        images = generator.sample(labels, keys).float().cpu()
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
