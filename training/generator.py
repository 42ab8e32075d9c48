"""What the Lightning modules of all generators share: keyed randomness, augmentation, labelled checkpoints."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from typing_extensions import Self

from torchaug.data.images import check_labels
from torchaug.keys import sample_keys
from torchaug.models.augment_checks import check_apart
from torchaug.training.data import InMemory, SynthesisDataModule
from torchaug.training.plan import Shard
from torchaug.training.settings import plain, settings_of
from torchaug.training.synthesize import make_columns
from torchaug.training.synthesizer import Columns, Synthesizer, check_settings

FORMAT = 2


class KeyedAugment(Protocol):
    """Images (B, C, H, W) in [0, 1], or waveforms (B, C, T), and keys (B,) to such, as a `torchaug.compose.Compose` does."""

    def __call__(self, samples: Tensor, /, *, keys: Tensor) -> Tensor:
        """The augmented samples."""
        ...


class LitGenerator(L.LightningModule, Synthesizer):
    """A generator in training; a `Synthesizer` when loaded from its checkpoint.

    Every number that training draws is a function of the seed and the step, so k steps, a checkpoint and k more end in
    the same bits as 2k steps. Hyperparameters hold at least "classes", "steps" and "seed".
    """

    kind: ClassVar[str]
    """What the checkpoint says it is."""
    batch_size: ClassVar[int] = 64
    """Samples of a step, where nothing else is asked for and they are not few."""

    def __init__(self, augment: KeyedAugment | None = None) -> None:
        super().__init__()
        check_apart(augment, type(self).__name__)
        self._augment = (augment,)  # in a tuple, so that it is no submodule and not in the checkpoint
        self._exact: tuple[Synthesizer, ...] = ()
        self._shares: list[float] | None = None
        self.trained_on: str | None = None
        """`fingerprint` of the training samples, after training on a `SynthesisDataModule` or from a checkpoint."""
        self.trained_items: Tensor | None = None
        """Their hashes, (N,) int64."""
        self.privacy: dict[str, Any] | None = None
        """Of a generator trained with differential privacy what that has cost, see `torchaug.training.private`."""

    @classmethod
    def for_data(
        cls,
        data: InMemory,
        steps: int,
        *,
        augment: KeyedAugment | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        """A generator to train on these samples for so many steps.

        Args:
            data: the training samples.
            steps: batches.
            augment: what training samples pass through.
            seed: of the noise.
            settings: where they should differ from `default_settings`; their names are those of `settings`.

        Raises:
            TypeError, ValueError: samples that it cannot be trained on, or a setting that it does not have.
        """
        given = plain(dict(settings or {}))
        check_settings(cls.__name__, given, list(cls.settings()))
        chosen = cls.chosen_settings(data, given)
        return cls.made_for(data, plain(steps), augment, {**chosen, "seed": plain(seed)})

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """The name and the type of each setting that `for_data` takes."""
        return settings_of(cls)

    @classmethod
    @abstractmethod
    def made_for(cls, data: InMemory, steps: int, augment: KeyedAugment | None, settings: dict[str, Any]) -> Self:
        """`for_data`, given all settings, the seed among them."""

    @classmethod
    @abstractmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """Settings that suit these samples, on this machine."""

    @classmethod
    def chosen_settings(cls, data: InMemory, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that are given, and `default_settings` for the others; here those can be made to suit the given ones."""
        return {**cls.default_settings(data), **given}

    @classmethod
    def default_steps(cls, data: InMemory) -> int:
        """How many steps suit these samples."""
        return 1000

    @classmethod
    def default_batch_size(cls, data: InMemory) -> int:
        """How many samples of these a step should see."""
        return cls.batch_size

    @classmethod
    def described(cls, data: InMemory) -> dict[str, Any]:
        """What the hyperparameters say of these samples: a training is resumed on equal ones alone."""
        return {"classes": list(data.classes or [])}

    @property
    def augment(self) -> KeyedAugment | None:
        """What training samples pass through; making samples does not need it."""
        return self._augment[0]

    @property
    def augment_text(self) -> str | None:
        """The same in a line; of functions nobody knows which are the same."""
        if isinstance(self.augment, nn.Module):
            text = re.sub(r" at 0x[0-9a-f]+", "", repr(self.augment))  # where a function in it lies is of this process
            return " ".join(text.split())
        return None if self.augment is None else "by a function"

    def on_fit_start(self) -> None:
        """Takes the augmentation along to the device."""
        if isinstance(self.augment, nn.Module):
            self.augment.to(self.device)

    @property
    def classes(self) -> list[str]:  # type: ignore[override]
        """The name of each class."""
        return list(self.hparams["classes"])

    @property
    def shares(self) -> list[float] | None:
        return self._shares

    def prepare_samples(self) -> None:
        """Whatever must be done before samples are made while training goes on: nothing, for most generators."""

    def examples(self) -> Sequence[Mapping[str, Any]]:
        """Settings of `make` with which a few samples show what there is: none, where the classes say it all."""
        return [{}]

    def labels_to_score(self, labels: Tensor | None, count: int) -> Tensor:
        """The labels (count,) of samples to judge, on this device: all 0 where they are left out and there is one class.

        Raises:
            ValueError: not so many labels, or one of no class.
        """
        who = f"{type(self).__name__}.score"
        if labels is None and len(self.classes) <= 1:
            labels = torch.zeros(count, dtype=torch.int64)
        if labels is None or len(labels) != count:
            got = "none" if labels is None else tuple(labels.shape)
            raise ValueError(f"{who}: expected labels of {count} samples, got {got}")
        if self.classes:
            check_labels(labels, self.classes, who)
        return labels.to(self.device)

    def step_keys(self, count: int) -> Tensor:
        """Keys of this batch's samples on this process, (count,) int64: of all samples of a step each has its own."""
        first, _ = self.places(count)
        ids = torch.arange(first, first + count, device=self.device)
        return sample_keys(ids, seed=self.hparams["seed"], epoch=self.global_step)

    @property
    def step_key(self) -> Tensor:
        """The key of what all samples of a step share, on all processes, (1,) int64: that of the first of them."""
        return sample_keys(
            torch.zeros(1, dtype=torch.int64, device=self.device), seed=self.hparams["seed"], epoch=self.global_step
        )

    def places(self, count: int) -> tuple[int, int]:
        """The place of this batch's first sample among those of the optimiser step, and how many these are.

        A step has one batch on each process, or several where gradients are accumulated; `count` is that of each.
        """
        trainer = self.trainer
        ready = trainer.fit_loop.epoch_loop.batch_progress.current.ready  # this batch is counted
        batch = (ready - 1) % trainer.accumulate_grad_batches
        first = (batch * trainer.world_size + self.global_rank) * count
        return first, self.samples_of_step(count)

    def samples_of_step(self, count: int) -> int:
        """Samples that an optimiser step sees, where a batch of a process has so many."""
        return count * self.trainer.world_size * self.trainer.accumulate_grad_batches

    @property
    def fused(self) -> bool:
        """Whether optimisers may be fused ones: Lightning clips no gradients of those in mixed precision."""
        return not str(self.trainer.precision).endswith("mixed")

    def on_predict_start(self) -> None:
        """Makes the copy that computes a bank: as exactly as `synthesize`, whatever the precision here."""
        self._exact = (self.exact(torch.float64),)

    def on_predict_end(self) -> None:
        """Forgets the copy: it would not follow a training."""
        self._exact = ()

    def predict_step(self, batch: Shard, batch_idx: int) -> Columns:
        """The samples of a shard (`torchaug.training.predict.PlannedShards`), as columns on the CPU."""
        return make_columns(self._exact[0], batch.labels, batch.keys)

    @property
    def progress(self) -> float:
        """Share of the planned steps that is done, in [0, 1]."""
        return min(1.0, self.global_step / int(self.hparams["steps"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Says what the checkpoint holds, and what it was trained on."""
        self._remember()
        checkpoint["torchaug"] = {
            "format": FORMAT,
            "kind": self.kind,
            "trained_on": self.trained_on,
            "trained_items": self.trained_items,
            "shares": self._shares,
            "augment": self.augment_text,
        }
        # what was given by a user's numpy would make it unreadable
        checkpoint.update({name: plain(value) for name, value in checkpoint.items() if name != "state_dict"})

    def on_train_end(self) -> None:
        """Makes it ready to sample, as one that is loaded from a checkpoint is."""
        self._remember()
        self.prepare_samples()

    def _remember(self) -> None:
        """Notes what it is trained on, and what privacy that has cost."""
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, SynthesisDataModule):
            self.trained_on, self.trained_items, self._shares = data.trained_on, data.trained_items, data.shares
        card = getattr(data, "card", None)  # of private data
        if card is not None:
            self.privacy = card(self.global_step)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remembers what it was trained on; a checkpoint of another kind or format is refused."""
        label = checkpoint.get("torchaug", {})
        if label.get("kind") != self.kind:
            raise ValueError(
                f"{type(self).__name__}: expected a checkpoint of kind {self.kind}, got {label.get('kind')}; "
                "load_generator takes any"
            )
        check_format(label.get("format"), type(self).__name__, "the checkpoint")
        self.trained_on = checkpoint["torchaug"]["trained_on"]
        self.trained_items = checkpoint["torchaug"]["trained_items"]
        self._shares = checkpoint["torchaug"]["shares"]
        self.privacy = checkpoint["torchaug"].get("privacy")


def check_format(number: Any, who: str, where: object) -> None:
    """Refuses a checkpoint whose format another version of torchaug wrote."""
    if number != FORMAT:
        newer = isinstance(number, int) and number > FORMAT
        advice = "update torchaug" if newer else "it is of an older torchaug: train it anew, or load it there"
        raise ValueError(f"{who}: expected format {FORMAT} in {where}, found {number}; {advice}")
