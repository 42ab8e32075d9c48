"""What a training may be resumed with: what it was begun with, since the result would be of neither otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchaug.training.data import SynthesisDataModule
from torchaug.training.generator import LitGenerator
from torchaug.training.load import KINDS, check_checkpoint, read_checkpoint
from torchaug.training.private import PrivateData, resume_private
from torchaug.training.unchanged import unchanged

FREE = ("steps", "learning_rate")
"""Settings that may change: a longer training, and a lower rate where a loss was NaN."""


def checkpoint_of(file: Path, kind: str, data: SynthesisDataModule) -> dict[str, Any]:
    """The checkpoint to go on from.

    Raises:
        ValueError: it is of another kind, or of other samples.
    """
    checkpoint: dict[str, Any] = read_checkpoint(file)
    unchanged(f"fit: {file}", {"kind": check_checkpoint(checkpoint, file)}, {"kind": kind})
    label, hyper = checkpoint["torchaug"], checkpoint["hyper_parameters"]
    resume_private(label, data, file)
    # the hyperparameters are those of a module of the same data, or other settings would be asked of it
    unchanged(f"fit: {file}", hyper, KINDS[kind].described(data.train))
    unchanged(f"fit: {file}", {"samples": label["trained_on"]}, {"samples": data.trained_on})
    return checkpoint


def begun_with(checkpoint: Mapping[str, Any], kind: type[LitGenerator], data: SynthesisDataModule) -> dict[str, Any]:
    """The settings of the training that goes on: those that are not given again must not be chosen for another machine."""
    # private tables have settings that are not for anyone to give
    free = [*kind.default_settings(data.train), "learning_rate"] if isinstance(data, PrivateData) else kind.settings()
    before = checkpoint["hyper_parameters"]
    return {name: before[name] for name in free if name in before}


def same_settings(file: Path, checkpoint: Mapping[str, Any], module: LitGenerator) -> None:
    """Refuses to go on with other hyperparameters, or with another augmentation.

    Raises:
        ValueError: with the first that differs.
    """
    before, now, label = checkpoint["hyper_parameters"], module.hparams, checkpoint["torchaug"]
    unchanged(f"fit: {file}", before, {name: now[name] for name in sorted((before.keys() & now.keys()) - {*FREE})})
    if "augment" in label:  # not in checkpoints of before it was noted
        unchanged(f"fit: {file}", label, {"augment": module.augment_text})
