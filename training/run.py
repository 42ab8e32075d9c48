"""One run of Lightning's Trainer on a generator: what is built, what looks on, and what is saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L

from torchaug.models.networks import seeded_weights
from torchaug.training.alarm import Alarm
from torchaug.training.callbacks import Progress, ReportProgress, SampleGrid
from torchaug.training.checkpoints import FiniteLoss, SaveCheckpoint, SaveOnInterrupt, save_whole
from torchaug.training.data import SynthesisDataModule
from torchaug.training.generator import KeyedAugment, LitGenerator
from torchaug.training.load import KINDS
from torchaug.training.monitor import Monitor
from torchaug.training.private import PrivateData
from torchaug.training.private_tables import PRIVATE
from torchaug.training.quiet import interruptible, quiet

FEWEST, CHECKS = 8, 10
"""Held-out samples below which a training is not watched, and how often it is."""


class Watch:
    """What looks on while a generator is trained, in the order in which it must."""

    def __init__(
        self,
        file: Path,
        data: SynthesisDataModule,
        steps: int,
        every: int,
        alarm: Alarm | None,
        progress: Progress | None,
    ) -> None:
        self.file = file
        few = data.holdout is None or len(data.holdout) < FEWEST
        self.monitor = None if few else Monitor(max(1, min(every or steps, steps // CHECKS)), alarm=alarm)
        self.callbacks: list[L.Callback] = [FiniteLoss()]  # before anything is saved
        if self.monitor is not None:
            self.callbacks.append(self.monitor)
        if progress is not None:
            self.callbacks.append(ReportProgress(progress))
        if every:
            self.callbacks += [SampleGrid(every), SaveCheckpoint(file, every, self.monitor)]

    @property
    def rung(self) -> str | None:
        """What the alarm rang for."""
        return self.monitor.rung if self.monitor is not None else None

    @property
    def keeps(self) -> bool:
        """Whether the checkpoint that is there is better than the weights at the end."""
        return (self.rung is not None or self.suspicion is not None) and self.file.exists()

    @property
    def suspicion(self) -> str | None:
        """What was wrong at the last check, in a line."""
        return self.monitor.suspicion if self.monitor is not None else None


def build(
    kind: str,
    data: SynthesisDataModule,
    steps: int,
    settings: Mapping[str, Any] | None,
    augment: KeyedAugment | None,
    seed: int,
) -> LitGenerator:
    """A generator to train on the data's training part, its first weights a function of the seed."""
    kinds = PRIVATE if isinstance(data, PrivateData) else KINDS
    with seeded_weights(seed):
        return kinds[kind].for_data(data.train, steps, augment=augment, seed=seed, settings=settings)


def train(
    module: LitGenerator,
    data: SynthesisDataModule,
    out: Path,
    steps: int,
    callbacks: list[L.Callback],
    options: Mapping[str, Any],
    resume: bool = False,
    watch: Watch | None = None,
) -> None:
    """Trains a generator, watched by the callbacks and, where it is given, by `watch`, which also says where it is saved."""
    if int(options.get("accumulate_grad_batches", 1)) > 1 and not module.automatic_optimization:
        parts = "; where memory is short, its setting accumulate has a batch computed in parts"
        raise ValueError(
            f"fit: {module.kind} steps its optimisers itself, expected a larger batch_size, got accumulate_grad_batches"
            + (parts if "accumulate" in module.hparams else "")
        )
    file = None if watch is None else watch.file
    interrupt = SaveOnInterrupt(file)
    chosen = {"devices": 1, "logger": False} | dict(options)
    with quiet(), interrupt.listening():
        trainer = L.Trainer(
            max_steps=steps,
            callbacks=[*callbacks, interrupt],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=out,
            **chosen,
        )
        with interruptible():
            trainer.fit(module, data, ckpt_path=file if resume else None, weights_only=True)
        if watch is not None and not watch.keeps:
            save_whole(trainer, watch.file)
    if interrupt.asked:  # after the last step: everything is saved
        raise KeyboardInterrupt
