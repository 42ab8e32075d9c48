"""What makes rows: our generators, the peers, and the simplest methods, all with the same three calls."""

from __future__ import annotations

import tempfile
import time
from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from torchaug.data.tables import TableDataset

OURS = ("table-diffusion", "table-vae", "table-gan")
DEFAULT = "table-diffusion"
"""The generator that the bounds are for: the one this package recommends. The others are reported."""
PEERS = ("CTGAN", "TVAE", "SMOTE")
Array = np.ndarray[Any, Any]


class Maker(Protocol):
    """A fitted generator of rows."""

    def rows(self) -> TableDataset:
        """As many rows as it was trained on, with labels in the same shares (the peers': about)."""
        ...

    def of_class(self, label: int, count: int) -> TableDataset | None:
        """Rows of one class; fewer than `count`, or None, where the generator makes too few of it."""
        ...


def fitted(method: str, train: TableDataset, seed: int) -> tuple[Maker, float]:
    """The fitted method, and the CPU seconds that took."""
    start = time.process_time()
    if method in OURS:
        made: Maker = Ours(method, train, seed)
    else:
        made = {"CTGAN": Ctgan, "TVAE": Tvae, "SMOTE": Smote, "Gaussian": Gaussian}[method](train, seed)
    return made, time.process_time() - start


class Ours:
    """A generator of this package, with its defaults."""

    def __init__(self, kind: str, train: TableDataset, seed: int, steps: int | None = None) -> None:
        from torchaug.training.fit import fit
        from torchaug.training.load import load_generator

        self.train, self.seed = train, seed
        with tempfile.TemporaryDirectory() as out:
            self.generator: Any = load_generator(fit(kind, train, out=out, steps=steps, seed=seed, every=0))

    def rows(self) -> TableDataset:
        made: TableDataset = self.generator.sample(len(self.train), self.train.labels, seed=self.seed)
        return made

    def of_class(self, label: int, count: int) -> TableDataset:
        made: TableDataset = self.generator.sample(count, torch.full((count,), label), seed=self.seed)
        return made

    def given(self, column: str, value: str, count: int) -> TableDataset:
        made: TableDataset = self.generator.sample(count, seed=self.seed, given={column: value})
        return made


class _Frames(ABC):
    """The peers of the ctgan package: data frames in and out, its defaults, its public calls alone."""

    ROUNDS = 20

    def __init__(self, train: TableDataset, seed: int) -> None:
        self.train = train
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  the package draws from it
        self.model: Any = self.build()
        self.model.set_random_state(seed)
        self.model.fit(to_frame(train), discrete(train))

    @abstractmethod
    def build(self) -> Any: ...

    def rows(self) -> TableDataset:
        return from_frame(self.model.sample(len(self.train)), self.train)

    def of_class(self, label: int, count: int) -> TableDataset | None:
        """By rejection: asking for a class is not offered (TVAE) or not kept to (CTGAN)."""
        parts: list[TableDataset] = []
        for _ in range(self.ROUNDS):
            made = from_frame(self.model.sample(5000), self.train)
            right = (made.labels == label).nonzero()[:, 0]
            parts += [made.subset(right)] if len(right) else []
            if sum(map(len, parts)) >= count:
                break
        return first(joined(parts), count) if parts else None

    def given(self, column: str, value: str, count: int) -> TableDataset:
        return from_frame(self.model.sample(count, condition_column=column, condition_value=value), self.train)


class Ctgan(_Frames):
    def build(self) -> Any:
        from ctgan import CTGAN

        return CTGAN(enable_gpu=False)


class Tvae(_Frames):
    def build(self) -> Any:
        from ctgan import TVAE

        return TVAE(enable_gpu=False)


class Smote:
    """Rows between neighbours of a class (imbalanced-learn), used as a generator."""

    def __init__(self, train: TableDataset, seed: int) -> None:
        self.train, self.seed = train, seed

    def rows(self) -> TableDataset:
        return self._made(self.train.labels.bincount().tolist())

    def of_class(self, label: int, count: int) -> TableDataset:
        wanted = [0] * len(self.train.classes)
        wanted[label] = count
        return self._made(wanted)

    def _made(self, wanted: list[int]) -> TableDataset:
        from imblearn.over_sampling import SMOTE, SMOTENC

        train, numbers = self.train, self.train.numeric.shape[1]
        there = train.labels.bincount(minlength=len(wanted)).tolist()
        options: dict[str, Any] = {
            "sampling_strategy": {label: there[label] + more for label, more in enumerate(wanted) if more},
            "random_state": self.seed,
            "k_neighbors": min(5, min(there[label] for label, more in enumerate(wanted) if more) - 1),
        }
        values = np.concatenate([train.numeric.numpy(), train.categorical.numpy().astype(float)], 1)
        mixed = train.categorical.shape[1] > 0
        smote = SMOTENC(list(range(numbers, values.shape[1])), **options) if mixed else SMOTE(**options)
        made, labels = (all_[len(train) :] for all_ in smote.fit_resample(values, train.labels.numpy()))
        numeric, codes = torch.from_numpy(made[:, :numbers]), torch.from_numpy(made[:, numbers:].astype(np.int64))
        return train.with_rows(numeric.contiguous(), codes, torch.from_numpy(labels))


class Gaussian:
    """A normal distribution for each class; categories from their frequencies, independent of all else."""

    def __init__(self, train: TableDataset, seed: int) -> None:
        self.train, self.random = train, np.random.default_rng(seed)

    def rows(self) -> TableDataset:
        return joined([self.of_class(label, n) for label, n in enumerate(self.train.labels.bincount().tolist()) if n])

    def of_class(self, label: int, count: int) -> TableDataset:
        own = self.train.subset((self.train.labels == label).nonzero()[:, 0])
        numeric = own.numeric.numpy()
        made = self.random.multivariate_normal(
            numeric.mean(0), np.cov(numeric.T) + 1e-9 * np.eye(numeric.shape[1]), count
        )
        codes = own.categorical[torch.from_numpy(self.random.integers(len(own), size=count))]
        for column in range(codes.shape[1]):  # independent of each other too
            codes[:, column] = codes[torch.from_numpy(self.random.permutation(count)), column]
        return own.with_rows(torch.from_numpy(made), codes, torch.full((count,), label))


def halves(data: TableDataset, seed: int, test: float) -> tuple[TableDataset, TableDataset]:
    """Training and test rows, each class in its share."""
    from sklearn.model_selection import train_test_split

    labels = data.labels.numpy()
    train, held = train_test_split(np.arange(len(data)), test_size=test, stratify=labels, random_state=seed)
    return data.subset(train.tolist()), data.subset(held.tolist())


def joined(tables: list[TableDataset]) -> TableDataset:
    """The rows of all tables, one after the other."""
    labels = None if tables[0].labels is None else torch.cat([t.labels for t in tables])
    return tables[0].with_rows(
        torch.cat([t.numeric for t in tables]), torch.cat([t.categorical for t in tables]), labels
    )


def first(data: TableDataset, count: int) -> TableDataset:
    """The first rows, at most `count`."""
    return data.subset(torch.arange(min(count, len(data))))


def discrete(data: TableDataset) -> list[str]:
    """The names of the discrete columns, the label's among them."""
    return [c.name for c in data.columns if c.kind == "categorical"] + ([data.label] if data.classes else [])


def to_frame(data: TableDataset) -> Any:
    """The rows as a `pandas.DataFrame`: numbers, and names of categories and classes as text."""
    import pandas

    numbers = data.numeric.shape[1]
    columns = {c.name: data.numeric[:, place].numpy() for place, c in enumerate(data.columns[:numbers])}
    for place, column in enumerate(data.columns[numbers:]):
        columns[column.name] = np.array(column.categories, str)[data.categorical[:, place].numpy()]
    if data.classes:
        columns[data.label] = np.array(data.classes)[data.labels.numpy()]
    return pandas.DataFrame(columns)


def from_frame(frame: Any, like: TableDataset) -> TableDataset:
    """The way back from `to_frame`."""
    numbers = like.numeric.shape[1]
    numeric = np.stack([frame[c.name].to_numpy(float) for c in like.columns[:numbers]], 1)
    codes = [_codes(frame[c.name], [str(name) for name in c.categories]) for c in like.columns[numbers:]]
    labels = _codes(frame[like.label], like.classes) if like.classes else None
    return like.with_rows(
        torch.from_numpy(numeric),
        torch.stack(codes, 1) if codes else torch.zeros(len(frame), 0, dtype=torch.int64),
        labels,
    )


def _codes(values: Any, names: list[str]) -> Tensor:
    place = {name: code for code, name in enumerate(names)}
    return torch.tensor([place[str(value)] for value in values])


def on_grid(data: TableDataset) -> TableDataset:
    """The rows with numbers rounded to the decimals of their column: else that alone would tell them from real ones."""
    numeric = data.numeric.clone()
    for place, column in enumerate(data.columns[: numeric.shape[1]]):
        if column.decimals is not None:
            numeric[:, place] = numeric[:, place].round(decimals=column.decimals)
    return data.with_rows(numeric, data.categorical, data.labels)
