"""Training of a generator in one call: quiet, resumable, and leaving a checkpoint and pictures, no more."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as L

from torchaug.models.networks import seeded_weights
from torchaug.training.callbacks import Progress, ReportProgress, SampleGrid, SaveCheckpoint
from torchaug.training.data import Balance, Loadable, SynthesisDataModule
from torchaug.training.gamma import find_gamma
from torchaug.training.generator import KeyedAugment, LitGenerator, LitImageGenerator
from torchaug.training.load import KINDS, check_checkpoint, read_checkpoint

FILE = "generator.ckpt"
_PROBED = 6
"""Steps by whose time a training of so many seconds is planned; the first is left out."""


def fit(
    kind: str,
    dataset: Loadable,
    *,
    out: str | Path,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    batch_size: int = 64,
    balance: Balance = "sqrt",
    augment: KeyedAugment | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    every: int = 500,
) -> Path:
    """Trains a generator and returns its checkpoint, `out/generator.ckpt`.

    Load it with `load_generator(path)`. Ctrl-C saves the checkpoint after the step under way; `resume` goes on from it
    and loses nothing. A second Ctrl-C does not wait. The same data, seed, steps and settings give the same generator on a CPU.

    Args:
        kind: "vae" or "gan" for images.
        dataset: what to learn from.
        out: folder of the checkpoint; made when it is missing.
        steps: batches to train on; 1000 when `seconds` is None too.
        seconds: about how long to train instead; the first steps are timed, and the steps planned by them.
        seed: of everything.
        batch_size: samples of a step.
        balance: how classes are weighted, see `class_weights`.
        augment: applied to the training samples; for a GAN before the discriminator, for real and generated ones.
        settings: of the kind's module (`LitVAE`, `LitGAN`, ...), where they should differ from its `default_settings`. A
            GAN's "gamma" may be "auto": it is found by three short trainings, see `torchaug.training.gamma.find_gamma`.
        resume: go on from the checkpoint in `out`, if there is one.
        progress: called with (steps done, steps in all, metrics) now and then.
        every: steps between two savings of the checkpoint and two sample grids, `out/samples-0000500.png`; 0: the
            checkpoint at the end and no grids.

    Raises:
        ValueError: an unknown kind, data that it is not made for, a checkpoint in `out` that `resume` cannot go on from.
        FileExistsError: a checkpoint in `out`, and `resume` is not given.
    """
    out, file = Path(out), Path(out) / FILE
    if kind not in KINDS:
        raise ValueError(f"fit: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if (steps is not None and seconds is not None) or min(steps or 1, seconds or 1) <= 0:
        raise ValueError(f"fit: expected steps or seconds, one of them and above 0, got {steps} and {seconds}")
    if file.exists() and not resume:
        raise FileExistsError(f"fit: {file} is already there; pass resume=True to go on from it, or remove it")
    data = SynthesisDataModule(dataset, batch_size, seed=seed, balance=balance)
    before = _checkpoint(file, kind, data) if file.exists() else None
    if kind == "gan" and (settings or {}).get("gamma") == "auto":
        settings = {**(settings or {}), "gamma": _gamma(dataset, before, seed, batch_size, balance, augment, settings)}
    if seconds is not None and before is not None:
        steps = before["hyper_parameters"]["steps"]  # as it was planned at first
    elif seconds is not None:
        steps = max(1, int(seconds / _seconds_per_step(kind, data, settings, augment)))
    steps = 1000 if steps is None else steps
    if before is not None and before["global_step"] >= steps:
        return file
    out.mkdir(parents=True, exist_ok=True)
    module = build(kind, data, steps, settings, augment, seed)
    callbacks: list[L.Callback] = []
    if progress is not None:
        callbacks.append(ReportProgress(progress))
    if every:
        callbacks += [SaveCheckpoint(file, every)]
        if isinstance(module, LitImageGenerator):
            callbacks.insert(0, SampleGrid(every))
    train(module, data, out, steps, callbacks, checkpoint=file if before is not None else None, save=file)
    return file


def _gamma(
    dataset: Loadable,
    before: Mapping[str, Any] | None,
    seed: int,
    batch_size: int,
    balance: Balance,
    augment: KeyedAugment | None,
    settings: Mapping[str, Any] | None,
) -> float:
    """The gamma that suits the data; a resumed training keeps its own."""
    if before is not None:
        return float(before["hyper_parameters"]["gamma"])
    found = find_gamma(dataset, seed=seed, batch_size=batch_size, balance=balance, augment=augment, settings=settings)
    return found.gamma


def build(
    kind: str,
    data: SynthesisDataModule,
    steps: int,
    settings: Mapping[str, Any] | None,
    augment: KeyedAugment | None,
    seed: int,
) -> LitGenerator:
    """A generator to train on the data's training part, its first weights a function of the seed."""
    with seeded_weights(seed):
        return KINDS[kind].for_data(data.train, steps, augment=augment, seed=seed, settings=settings)


def train(
    module: LitGenerator,
    data: SynthesisDataModule,
    out: Path,
    steps: int,
    callbacks: list[L.Callback],
    checkpoint: Path | None = None,
    save: Path | None = None,
) -> None:
    """Trains a generator, from a `checkpoint` if one is given, and saves it where `save` says."""
    interrupt = _SaveOnInterrupt(save)
    with quiet(), interrupt.listening():
        trainer = L.Trainer(
            max_steps=steps,
            devices=1,
            callbacks=[*callbacks, interrupt],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=out,
        )
        with interruptible():
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        if save is not None:
            trainer.save_checkpoint(save)
    if interrupt.asked:  # after the last step: everything is saved
        raise KeyboardInterrupt


class _SaveOnInterrupt(L.Callback):
    """On Ctrl-C saves after the step under way, since only whole steps can be resumed, and interrupts then.

    A second Ctrl-C interrupts at once. Where Ctrl-C has another meaning, or none, it is left alone.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.asked = path, False

    @contextmanager
    def listening(self) -> Iterator[None]:
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
        if self.asked and self.path is not None:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


def seconds_per_step(kind: str, dataset: Loadable, batch_size: int = 64) -> float:
    """How long a step of training takes here, by a few that are thrown away."""
    data = SynthesisDataModule(dataset, batch_size)
    return _seconds_per_step(kind, data, None, None)


def _seconds_per_step(
    kind: str, data: SynthesisDataModule, settings: Mapping[str, Any] | None, augment: KeyedAugment | None
) -> float:
    times: list[float] = []
    watch = ReportProgress(lambda *_: times.append(time.perf_counter()), every_n_steps=1)
    train(build(kind, data, _PROBED, settings, augment, seed=0), data, Path(), _PROBED, [watch])
    return (times[-1] - times[0]) / (len(times) - 1)


def _checkpoint(file: Path, kind: str, data: SynthesisDataModule) -> dict[str, Any]:
    """The checkpoint to go on from, or an error where it is of something else."""
    checkpoint: dict[str, Any] = read_checkpoint(file)
    found = {"kind": check_checkpoint(checkpoint, file)}
    if found["kind"] == kind:  # the same settings are asked of a module of these data as of that of the checkpoint
        hyper, wanted = checkpoint["hyper_parameters"], KINDS[kind].described(data.train)
        found |= {name: hyper[name] for name in wanted}
    else:
        wanted = {}
    for name, value in ({"kind": kind} | wanted).items():
        if found[name] != value:
            raise ValueError(
                f"fit: {file} has {name} {found[name]}, and {value} was asked for; resume with what it was trained on, "
                "or train into another folder"
            )
    return checkpoint


_EXPECTED = (
    r".*LeafSpec.*",  # Lightning 2.6 on torch 2.9 and later
    r"Found \d+ module\(s\) in eval mode.*",  # the averaged weights
    r"The '\w+' does not have many workers.*",  # the data are in memory
    r".*GPU available but not used.*",
    r"You're resuming from a checkpoint that ended before the epoch ended.*",  # the stream is resumed by its step
    r"Checkpoint directory .* exists and is not empty.*",
)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets Ctrl-C through as KeyboardInterrupt; Lightning makes an exit of it and ignores the signal ever after."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as leaving:
        if not isinstance(leaving.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Lightning's tips, and those of its warnings that are expected here; others are shown as ever."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logger.setLevel(level)
