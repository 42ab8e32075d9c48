"""What the Lightning modules of all table generators share: the codec, conditions, and the guard against copying."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from typing_extensions import Self

from torchaug.data.tables import Column, TableDataset
from torchaug.keys import fold_in, sample_keys, uniforms
from torchaug.models.conditions import ConditionSampler
from torchaug.models.ema import EMA
from torchaug.models.latents import way
from torchaug.models.table_codec import Encoding, TableCodec
from torchaug.models.table_model import TableModel
from torchaug.training.data import InMemory, SynthesisDataModule
from torchaug.training.generator import KeyedAugment, LitGenerator
from torchaug.training.novelty import Distance, Novelty
from torchaug.training.plan import class_keys
from torchaug.training.synthesizer import Columns, check_settings

CHECKS = 10
"""How often, in the course of training, rows are compared with the training rows,"""
APART = 50
"""and how many steps lie between two comparisons at least."""
JUDGED = 128
"""Rows made for such a comparison."""


class Asked(NamedTuple):
    """A batch: encoded rows (B, width), and what is asked of each: labels and values, (B,) int64."""

    rows: Tensor
    labels: Tensor
    values: Tensor


class _Table(NamedTuple):
    """The training table on the device."""

    rows: Tensor
    labels: Tensor
    sampler: ConditionSampler | None
    novelty: Novelty


class LitTable(LitGenerator):
    """A generator of table rows with its codec and its averaged weights.

    Ten times in the course of training, rows are made and their distances to the nearest training row compared with
    those between training rows (`torchaug.training.novelty`). Where the ratio of the medians falls below `novelty`, and not by
    chance, the generator begins to copy: training stops, and the weights of the comparison before are kept.

    Hyperparameters, besides those of the model: "codec", the codec's `config`; "columns", their names; "classes";
    "steps"; "learning_rate"; "half_life" of the averaged weights, in samples; "given_share", the share of rows that are
    drawn by a value of a categorical column and told it; "novelty"; "seed".
    """

    model: TableModel
    kept: TableModel
    stopped: Tensor
    batch_size: ClassVar[int] = 256
    sampling: ClassVar[tuple[str, ...]] = ("given",)
    """The settings of `make`."""

    def take(self, model: TableModel) -> None:
        """Makes this the model to train."""
        self.model = model
        self.ema = EMA(model, self.hparams["half_life"], ramp=0.2)
        self.kept = deepcopy(self.ema.model)
        self.ema.model.codec = self.model.codec = model.codec  # one for all: it is not averaged
        self.register_buffer("stopped", torch.zeros((), dtype=torch.bool))
        self._table: tuple[_Table, ...] = ()  # in a tuple, so that the sampler is no submodule

    @property
    def sampled(self) -> TableModel:
        """The averaged weights that samples are made with: the last ones, or those from before copying began."""
        return self.kept if bool(self.stopped) else self.ema.model

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """Those of the module, and "encoding", see `TableCodec.fit`."""
        return super().settings() | {"encoding": Encoding | dict[str, Encoding]}

    @classmethod
    def made_for(cls, data: InMemory, steps: int, augment: KeyedAugment | None, settings: dict[str, Any]) -> Self:
        table = table_in(data, cls.__name__)
        if augment is not None:
            raise ValueError(
                f"{cls.__name__}: expected no augment, which generators of tables do not take; leave it out"
            )
        codec = TableCodec.fit(table, encoding=settings.pop("encoding", "auto"))
        for note in codec.notes:
            warnings.warn(f"{cls.__name__}: {note}", stacklevel=2)
        names = [column.name for column in table.columns]
        given: dict[str, Any] = {"codec": codec.config, "columns": names, "classes": list(table.classes or [])}
        module = cls(**given, **{"steps": steps, **settings})
        module.model.codec.load_state_dict(codec.state_dict())
        return module

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        return {}

    @classmethod
    def default_steps(cls, data: InMemory) -> int:
        """30 times the root of the number of rows, at most 1.5 a row and 4000 in all, at least 150.

        More is learnt by heart: on a table of 3000 rows, 90 of them rare, 4000 steps in place of 1500 undid all that rows
        made of the rare class added to a classifier.
        """
        rows = len(table_in(data, cls.__name__))
        return max(150, min(4000, int(30 * rows**0.5), int(1.5 * rows)))

    @classmethod
    def default_batch_size(cls, data: InMemory) -> int:
        """7 times the root of the number of rows, as a power of two of 64 to 256: what is larger costs time and teaches no more.

        >>> from torchaug.data import wine
        >>> LitTable.default_batch_size(wine())
        64
        """
        return min(cls.batch_size, 1 << max(64, int(7 * len(data) ** 0.5)).bit_length() - 1)

    @classmethod
    def described(cls, data: InMemory) -> dict[str, Any]:
        columns = [column.name for column in table_in(data, cls.__name__).columns]
        return {"columns": columns, **super().described(data)}

    @property
    def attributes(self) -> dict[str, Any]:
        """What the columns are, so that a bank can be read as a table."""
        return dict(self.model.codec.config["table"])

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings(f"{type(self).__name__}.make", settings, self.sampling)
        return _as_columns(self.sampled.generate(labels, keys, **settings))

    def natural(self, columns: Columns, labels: Tensor) -> TableDataset:
        """The rows as a table with the original headers, categories, classes and types."""
        codec = self.model.codec
        numeric, codes = columns["table"].split([len(codec.numeric), len(codec.categorical)], 1)
        return codec.table(numeric.contiguous(), codes.long(), labels if self.classes else None)

    def interpolate(
        self, first: int, second: int, steps: int = 8, *, labels: int | str = 0, seed: int = 0, **settings: Any
    ) -> TableDataset:
        """Rows on the way between two of a class, as their noise turns from that of the one to that of the other."""
        who = f"{type(self).__name__}.interpolate"
        check_settings(who, settings, self.sampling)
        shares = torch.tensor(way(who, steps), device=self.device_of_samples)
        number = torch.full((steps,), self.class_of(labels))
        start, end = (
            class_keys(number, torch.full((steps,), place), seed).to(self.device_of_samples)
            for place in (first, second)
        )
        return self.natural(
            _as_columns(self.sampled.between(number.to(shares.device), start, end, shares, **settings)), number
        )

    def score(self, content: Tensor | TableDataset, labels: Tensor | None = None) -> Tensor:
        """How well rows fit what was learnt, (B,), more is better.

        Args:
            content: a table as `sample` or `read_table_like` give it, with the columns of the training table; or its rows
                (B, F + K) float64, numbers and then codes.
            labels: (B,) int64; None for a table's own, and where there are no classes.

        Raises:
            ValueError: other columns or classes than those of the training table, or labels that are not one for each row.
        """
        codec = self.model.codec
        if isinstance(content, TableDataset):
            check_like(content, codec.columns, self.classes, f"{type(self).__name__}.score")
            labels = content.labels if labels is None else labels
            content = torch.cat([content.numeric, content.categorical.double()], 1)
        content = content.to(self.device, torch.float64)
        numeric, codes = content.split([len(codec.numeric), len(codec.categorical)], 1)
        rows = codec.encode(numeric.contiguous(), codes.long())
        return self.sampled.score(rows, self.labels_to_score(labels, len(rows)))

    def on_fit_start(self) -> None:
        """Encodes the training table, once."""
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, SynthesisDataModule):
            raise TypeError(
                f"{type(self).__name__}: expected a SynthesisDataModule to train on, got {type(data).__name__}"
            )
        table, codec = table_in(data.train, type(self).__name__), self.model.codec
        rows = codec.encode(table.numeric.to(self.device), table.categorical.to(self.device))
        labels = torch.zeros(len(rows), dtype=torch.int64) if table.labels is None else table.labels
        levels = [len(column.categories) for column in table.columns if column.kind == "categorical"]
        sampler = ConditionSampler(table.categorical, levels).to(self.device) if levels else None
        novelty = Novelty(table, codec, rows)
        self._table = (_Table(rows, labels.to(self.device), sampler, novelty),)

    def on_fit_end(self) -> None:
        """Forgets the training table."""
        self._table = ()

    def on_train_start(self) -> None:
        """Does not go on where copying has begun."""
        if bool(self.stopped):
            self.trainer.should_stop = True

    def asked(self, batch: dict[str, Tensor], keys: Tensor) -> Asked:
        """The batch's rows, of which a share gives way to others, drawn by a value that is then asked for."""
        (table,) = self._table
        rows, values = batch["index"], torch.zeros_like(batch["index"])
        if table.sampler is not None:
            drawn = table.sampler.sample(fold_in(keys, 0))
            chosen = uniforms(fold_in(keys, 1), 1)[:, 0] < self.hparams["given_share"]
            rows = torch.where(chosen, drawn.row, rows)
            values = torch.where(chosen, self.model.value_numbers(drawn.column, drawn.category), values)
        return Asked(table.rows[rows].to(self.dtype), table.labels[rows], values)

    def averaged(self, count: int, done: int) -> None:
        """After a step on `count` samples: the averaged weights follow, and now and then copying is looked for."""
        self.ema.update(self.model, self.samples_of_step(count))
        steps = int(self.hparams["steps"])
        every = max(APART, steps // CHECKS)
        if done % every and (done != steps or steps < APART):
            return
        found = self._distance(done)
        if found is None or not found.copies(self.hparams["novelty"]) or done <= every:
            self.kept.load_state_dict(self.ema.model.state_dict())
        else:
            self.stopped.fill_(True)
            self.trainer.should_stop = True

    def _distance(self, done: int) -> Distance | None:
        """How near made rows are to training rows; None where nobody asks, or nothing can be said."""
        (table,) = self._table
        if self.hparams["novelty"] <= 0:
            return None
        keys = sample_keys(torch.arange(JUDGED, device=self.device), seed=self.hparams["seed"], epoch=done)
        labels = table.labels[(uniforms(keys, 1)[:, 0] * len(table.labels)).long()]
        found = table.novelty.of(*self.ema.model.generate(labels, keys))
        if found is not None:
            self.log("novelty", found.ratio, batch_size=JUDGED)
        return found


def table_in(data: Any, who: str) -> TableDataset:
    """The data as a table, or an error."""
    if not isinstance(data, TableDataset):
        raise TypeError(f"{who}: expected a TableDataset, got a {type(data).__name__}; choose a kind made for these")
    return data


def check_like(data: TableDataset, columns: Sequence[Column], classes: Sequence[str], who: str) -> None:
    """Refuses a table whose numbers would be read as something else: other columns, categories or classes."""
    wanted, found = ([(each.name, each.kind, each.categories) for each in those] for those in (columns, data.columns))
    if wanted != found or (data.labels is not None and list(data.classes or []) != list(classes)):
        names = ", ".join(each.name for each in data.columns)
        raise ValueError(
            f"{who}: expected the columns {', '.join(each.name for each in columns)} with the categories and classes of the "
            f"training table, got {names}; read_table_like(rows, training_table) reads rows as such"
        )


def _as_columns(made: tuple[Tensor, Tensor]) -> Columns:
    numeric, codes = made
    return {"table": torch.cat([numeric, codes.double()], 1)}
