"""Training of a generator in one call: quiet, resumable, and leaving a checkpoint and pictures, no more."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from torchaug.models.privacy import Privacy
from torchaug.training.alarm import Alarm
from torchaug.training.callbacks import Progress, ReportProgress
from torchaug.training.data import Balance, Loadable, SynthesisDataModule
from torchaug.training.gamma import find_gamma
from torchaug.training.generator import KeyedAugment
from torchaug.training.load import KINDS
from torchaug.training.plan import launched_as
from torchaug.training.private import PrivateData
from torchaug.training.private_tables import PRIVATE
from torchaug.training.resume import begun_with, checkpoint_of, same_settings
from torchaug.training.run import FEWEST, Watch, build, train
from torchaug.training.settings import plain

FILE = "generator.ckpt"
PRIVATE_STEPS = 1000
"""Of a training with privacy, where nothing else is asked for."""
_PROBED = 6
"""Steps by whose time a training of so many seconds is planned; the first is left out."""
OWN = (
    "max_steps",
    "max_epochs",
    "max_time",
    "min_steps",
    "min_epochs",
    "callbacks",
    "default_root_dir",
    "enable_checkpointing",
    "enable_progress_bar",
    "enable_model_summary",
)
"""Options of the Trainer that `fit` sets itself."""


def fit(
    kind: str,
    dataset: Loadable,
    *,
    out: str | Path,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    balance: Balance = "sqrt",
    augment: KeyedAugment | None = None,
    settings: Mapping[str, Any] | None = None,
    privacy: Privacy | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    every: int = 500,
    holdout: float = 0.0,
    alarm: Alarm | None = Alarm(),  # noqa: B008
    trainer: Mapping[str, Any] | None = None,
) -> Path:
    """Trains a generator and returns its checkpoint, `out/generator.ckpt`.

    Load it with `load_generator(path)`. Ctrl-C saves the checkpoint after the step under way; `resume` goes on from it
    and loses nothing. A second Ctrl-C does not wait. The same data, seed, steps and settings give the same generator on a CPU.

    Args:
        kind: "vae" or "gan" for images; "table-diffusion", "table-vae" or "table-gan" for tables; "audio-vae" for sounds.
        dataset: what to learn from.
        out: folder of the checkpoint; made when it is missing.
        steps: batches to train on; what suits the kind and the data when `seconds` is None too.
        seconds: about how long to train instead; the first steps are timed, and the steps planned by them.
        seed: of everything.
        batch_size: samples of a step; None for what suits the kind and the number of samples.
        balance: how classes are weighted, see `class_weights`.
        augment: applied to the training samples; for a GAN before the discriminator, for real and generated ones.
        settings: of the kind's module (`LitVAE`, `LitGAN`, ...), where they should differ from its `default_settings`. A
            GAN's "gamma" may be "auto": it is found by three short trainings first, see `torchaug.training.gamma.find_gamma`.
        privacy: the differential privacy to keep to; `balance` is then none, and `batch_size` that of a step on average.
        resume: go on from the checkpoint in `out`, if there is one; with the seed, augmentation, balance and samples of a step
            that it was trained with, and with as many steps or more. Settings are those that it was trained with; of those
            that are given again only the learning rate may be another.
        progress: called with (steps done, steps in all, metrics) now and then; from 0 on again after a search for gamma.
        every: steps between two savings of the checkpoint and two files of samples, `out/samples-0000500.png` or so; 0:
            the checkpoint at the end and no samples.
        holdout: share of each class to keep from training, on which a `Monitor` measures the samples at least ten
            times in a training, and before each checkpoint; where that is fewer than 8 samples in all, all are
            trained on and none does.
        alarm: when that stops the training, and warns; the checkpoint stays one from before. None: never.
        trainer: options for Lightning's `Trainer`, such as precision="bf16-mixed", devices=2, strategy="ddp",
            accumulate_grad_batches=4.

    Raises:
        ValueError: an unknown kind, data that it is not made for, a checkpoint in `out` that `resume` cannot go on from.
        FileExistsError: a checkpoint in `out`, and `resume` is not given.
        FloatingPointError: a term of the loss became NaN or infinite; the text says which and when, and the last good
            checkpoint stays.
    """
    out, file = Path(out), Path(out) / FILE
    steps, seed, every = plain(steps), plain(seed), plain(every)
    kinds, settings = KINDS if privacy is None else PRIVATE, dict(settings or {})
    _check_asked(kind, kinds, steps, seconds, privacy, holdout)
    if file.exists() and not resume:
        raise FileExistsError(f"fit: {file} is already there; pass resume=True to go on from it, or remove it")
    searched = kind == "gan" and settings.get("gamma") == "auto"
    options = _checked_options(trainer or {}, seconds, privacy, searched)
    if privacy is None:
        fewest = 0 if settings.get("adaptive") else FEWEST  # below which nobody would look at them
        data = _batches(kind, dataset, batch_size, holdout=holdout, seed=seed, balance=balance, fewest=fewest)
    else:
        size = _private_batch(kind, len(dataset.in_memory())) if batch_size is None else batch_size
        data = PrivateData(dataset, privacy, steps or PRIVATE_STEPS, size, seed)
    before = checkpoint_of(file, kind, data) if file.exists() else None
    if searched and before is None:
        search: dict[str, Any] = {"seed": seed, "batch_size": data.batch_size, "balance": balance, "augment": augment}
        settings["gamma"] = find_gamma(dataset, settings=settings, progress=progress, **search).gamma
    elif searched:
        del settings["gamma"]  # it was found before
    if before is not None:
        settings = begun_with(before, kinds[kind], data) | settings
    if seconds is not None and before is not None:
        steps = before["hyper_parameters"]["steps"]  # as it was planned at first
    elif seconds is not None:
        steps = max(1, int(seconds / _seconds_per_step(kind, data, settings, augment, options)))
    elif steps is None:
        steps = KINDS[kind].default_steps(data.train) if privacy is None else PRIVATE_STEPS
    module = build(kind, data, steps, settings, augment, seed)
    if before is not None:
        same_settings(file, before, module)
        if before["global_step"] >= steps:
            return file
    out.mkdir(parents=True, exist_ok=True)
    watch = Watch(file, data, steps, every, alarm, progress)
    try:
        train(module, data, out, steps, watch.callbacks, options, before is not None, watch)
    except (FloatingPointError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]  # or nearly so
        kept = f"{file} is of a step before" if file.exists() else "nothing was saved yet"
        raise FloatingPointError(f"{error}; {kept}; a smaller learning_rate often helps") from error
    if watch.rung is not None:
        warnings.warn(
            f"fit: stopped early: {watch.rung}; {file} is of a step before, where there was one", stacklevel=2
        )
    elif watch.keeps:
        warnings.warn(
            f"fit: at the last check {watch.suspicion}; {file} is of a step before; resume=True trains on from it",
            stacklevel=2,
        )
    return file


def _check_asked(
    kind: str,
    kinds: Mapping[str, Any],
    steps: int | None,
    seconds: float | None,
    privacy: Privacy | None,
    holdout: float,
) -> None:
    """Refuses what cannot be asked for, or not together."""
    if kind not in kinds:
        with_privacy = "" if privacy is None else " with privacy"
        raise ValueError(f"fit: kind{with_privacy} must be one of {', '.join(kinds)}, got {kind!r}")
    if privacy is not None and seconds is not None:
        raise ValueError("fit: with privacy expected steps, since the noise depends on them, got seconds")
    if privacy is not None and holdout:
        raise ValueError("fit: with privacy expected holdout=0, since its checks would look at training samples")
    if (steps is not None and seconds is not None) or not all(x is None or 0 < x < math.inf for x in (steps, seconds)):
        raise ValueError(f"fit: expected steps or seconds, one of them and above 0, got {steps} and {seconds}")


def _batches(kind: str, dataset: Loadable, batch_size: int | None, **settings: Any) -> SynthesisDataModule:
    """Batches of the size that is asked for, or that suits the samples."""
    data = SynthesisDataModule(dataset, 1 if batch_size is None else batch_size, **settings)
    if batch_size is None:
        data.batch_size = KINDS[kind].default_batch_size(data.train)
    return data


def _private_batch(kind: str, rows: int) -> int:
    """A quarter of the rows at most: the fewer of them a step sees, the less it tells."""
    return max(1, min(KINDS[kind].batch_size, rows // 4))


def _checked_options(
    options: Mapping[str, Any], seconds: float | None, privacy: Privacy | None, searched: bool
) -> dict[str, Any]:
    """The options of a Trainer, without those that are not for a user to give."""
    own = [name for name in options if name in OWN]
    if own:
        raise ValueError(
            f"fit: expected no {', '.join(own)} for the Trainer, fit sets it itself; use fit's own arguments"
        )
    one = options.get("devices", 1) in (1, "1", [0]) and options.get("num_nodes", 1) == 1 and launched_as()[1] == 1
    if not one and seconds is not None:
        raise ValueError(
            "fit: expected steps where several processes train, got seconds; each would plan another number"
        )
    if not one and searched:
        raise ValueError(
            "fit: expected a number for gamma where several processes train, got auto; find_gamma(data).gamma is one, "
            "which each would find for itself"
        )
    if searched and privacy is not None:
        raise ValueError("fit: with privacy expected a number for gamma, since 'auto' looks at training samples")
    if not one and privacy is not None:
        raise ValueError("fit: with privacy expected one process, since each would take steps of its own, got several")
    return dict(options)


def seconds_per_step(
    kind: str, dataset: Loadable, batch_size: int | None = None, settings: Mapping[str, Any] | None = None
) -> float:
    """How long a step of training takes here, by a few that are thrown away."""
    data = _batches(kind, dataset, batch_size)
    return _seconds_per_step(kind, data, settings, None, {})


def _seconds_per_step(
    kind: str,
    data: SynthesisDataModule,
    settings: Mapping[str, Any] | None,
    augment: KeyedAugment | None,
    options: Mapping[str, Any],
) -> float:
    times: list[float] = []
    watch = ReportProgress(lambda *_: times.append(time.perf_counter()), every_n_steps=1)
    silent = {**options, "logger": False}
    train(build(kind, data, _PROBED, settings, augment, seed=0), data, Path(), _PROBED, [watch], silent)
    return (times[-1] - times[0]) / (len(times) - 1)
