"""Tables in memory: numbers and categories, what each column is, and the way back to the original values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.errors import SampleError
from torchaug.data.images import check_labels
from torchaug.data.items import Item
from torchaug.tabular.columns import on_grid

MOST_DECIMALS = 6
DIFFERENT = 10  # numbers of which one divisor of all distances is no chance: of nine distances all are even once in 512
EXACT = 2**52  # sums and differences of smaller whole numbers are exact in float64


@dataclass(frozen=True)
class Column:
    """What a column of a table is.

    Args:
        name: its header.
        kind: "numeric" or "categorical".
        categories: the value of each code, as text, in the values' own order (numbers by size, dates by time); the last
            one is None where values are missing.
        decimals: digits after the point that all numbers fit into (0: whole numbers); None: more than 6.
        low, high: the range of the numbers.
        grid: (step, offset) where all are multiples of a step above 1, plus an offset: hundreds, or midnights in seconds.

    >>> Column.of_numbers("size", np.array([1.5, np.nan, 2.25]))
    Column(name='size', kind='numeric', categories=(), decimals=2, low=1.5, high=2.25, grid=None)
    >>> Column.of_numbers("pay", np.arange(1250.0, 3000.0, 100.0)).grid
    (100.0, 50.0)
    """

    name: str
    kind: Literal["numeric", "categorical"]
    categories: tuple[str | None, ...] = ()
    decimals: int | None = None
    low: float = 0.0
    high: float = 0.0
    grid: tuple[float, float] | None = None

    @property
    def integer(self) -> bool:
        """Whether all numbers are whole."""
        return self.decimals == 0

    @classmethod
    def of_numbers(cls, name: str, values: np.ndarray[Any, Any], steps: Sequence[int] = ()) -> Column:
        """A numeric column by its values: (N,) floating point, NaN where missing, not all of them.

        Its grid is that of all distances where ten values or more differ; of fewer ones it has the largest of `steps` that
        fits, such as the seconds of an hour and of a day.
        """
        found = values[~np.isnan(values)]
        decimals = _decimals(found)
        grid = _grid(found, steps) if decimals == 0 else None
        return cls(name, "numeric", (), decimals, float(found.min()), float(found.max()), grid)

    def rounded(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Numbers (N,) float64, as a generator makes them, to the column's decimals and on its grid."""
        rounded = values if self.decimals is None else values.round(self.decimals)
        return rounded if self.grid is None else on_grid(rounded, self.grid)

    def holding(self, values: np.ndarray[Any, Any]) -> Column:
        """The column for other original numbers (N,), which may lie beside its grid."""
        found = values[~np.isnan(values)]
        fits = self.grid is None or np.array_equal(on_grid(found, self.grid), found)
        return self if fits else replace(self, grid=None)


def _grid(values: np.ndarray[Any, Any], steps: Sequence[int]) -> tuple[float, float] | None:
    if np.abs(values).max() >= EXACT:
        return None
    low = values.min()
    step = int(np.gcd.reduce((values - low).astype(np.int64)))
    if step and len(np.unique(values)) < DIFFERENT:
        step = max((each for each in steps if step % each == 0), default=1)
    return (float(step), float(low % step)) if step > 1 else None


def _decimals(values: np.ndarray[Any, Any]) -> int | None:
    with np.errstate(over="ignore", invalid="ignore"):  # rounding shifts the point, and 1e305 out of range
        for digits in range(MOST_DECIMALS + 1):
            if all(np.array_equal(some.round(digits), some) for some in (values[:1000], values)):
                return digits
    return None


class TableDataset(Dataset[Item]):
    """A table in memory: items are `{"table": (F + K,) float32, "index"}`, and "label" and "group" where known.

    An item has the F numbers first, NaN where missing, and then the K codes of categories, as numbers.

    Args:
        numeric: (N, F) float64, NaN where missing: whole numbers to 2**53 and times to the microsecond are exact, which
            float32 would not hold.
        categorical: (N, K) int64 codes.
        columns: the F numeric ones and then the K categorical ones.
        labels: (N,) class numbers in [0, len(classes)), or None.
        classes: a name for each class, or None.
        groups: (N,) group numbers, or None.
        group_names: a name for each group, or None.
        name: for messages.
        label: the header of the labels.
        group: the header of the groups.
        schema: the original columns' order and types, a `pyarrow.Schema`, for `to_arrow`.
        notes: what is remarkable about the columns.

    >>> columns = [Column("size", "numeric", decimals=1, high=9.0), Column("colour", "categorical", ("blue", "red"))]
    >>> numeric, codes = torch.tensor([[1.5], [9.0]], dtype=torch.float64), torch.tensor([[1], [0]])
    >>> data = TableDataset(numeric, codes, columns, torch.tensor([0, 1]), ["ok", "bad"])
    >>> data[0]
    {'table': tensor([1.5000, 1.0000]), 'label': 0, 'index': 0}
    """

    def __init__(
        self,
        numeric: Tensor,
        categorical: Tensor,
        columns: Sequence[Column],
        labels: Tensor | None = None,
        classes: Sequence[str] | None = None,
        groups: Tensor | None = None,
        group_names: Sequence[str] | None = None,
        *,
        name: str = "table",
        label: str = "label",
        group: str = "group",
        schema: Any = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.numeric, self.categorical, self.columns = numeric, categorical, tuple(columns)
        self.classes = None if classes is None else list(map(str, classes))
        self.group_names = None if group_names is None else list(map(str, group_names))
        self.name, self.label, self.group, self.schema, self.notes = name, label, group, schema, list(notes)
        self._check()
        self.labels = self._numbers(labels, self.classes, "labels")
        self.groups = self._numbers(groups, self.group_names, "groups")

    def _check(self) -> None:
        kinds = ["numeric"] * self.numeric.shape[-1] + ["categorical"] * self.categorical.shape[-1]
        if [column.kind for column in self.columns] != kinds or self.numeric.ndim != 2 or self.categorical.ndim != 2:
            raise ValueError(
                f"TableDataset: columns must be those of numeric (N, F) and then of categorical (N, K), got "
                f"{[column.kind for column in self.columns]} for {tuple(self.numeric.shape)} and "
                f"{tuple(self.categorical.shape)}"
            )
        if (self.numeric.dtype, self.categorical.dtype) != (torch.float64, torch.int64):
            raise TypeError(
                f"TableDataset: expected numeric float64 and categorical int64, got {self.numeric.dtype} and "
                f"{self.categorical.dtype}"
            )
        if len(self.numeric) != len(self.categorical) or not len(self.numeric):
            raise ValueError(
                f"TableDataset: expected as many rows of numbers as of codes, at least one, got {len(self.numeric)} and "
                f"{len(self.categorical)}"
            )
        for codes, column in zip(self.categorical.T, self.columns[self.numeric.shape[1] :], strict=True):
            check_labels(codes, [str(name) for name in column.categories], f"TableDataset: column {column.name!r}")

    def _numbers(self, given: Tensor | None, names: list[str] | None, what: str) -> Tensor | None:
        if given is None:
            return None
        if given.shape != (len(self),) or names is None:
            raise ValueError(
                f"TableDataset: {what} must be ({len(self)},) for {len(self)} rows, and have names, got "
                f"{tuple(given.shape)} and names {names}"
            )
        return check_labels(given, names, f"TableDataset: {what}")

    def __len__(self) -> int:
        return len(self.numeric)

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: index must be in [0, {len(self)}), got {index}")
        item: Item = {"table": torch.cat([self.numeric[index].float(), self.categorical[index].float()])}
        if self.labels is not None:
            item["label"] = int(self.labels[index])
        if self.groups is not None:
            item["group"] = int(self.groups[index])
        return item | {"index": index}

    @property
    def types(self) -> dict[str, Any]:
        """The original Arrow type of each column, where these are known."""
        return {} if self.schema is None else {field.name: field.type for field in self.schema}

    @property
    def missing(self) -> dict[str, int]:
        """How many values of each column are missing."""
        numbers = self.numeric.isnan().sum(0).tolist()
        codes = [
            int((code == column.categories.index(None)).sum()) if None in column.categories else 0
            for code, column in zip(self.categorical.T, self.columns[len(numbers) :], strict=True)
        ]
        return {column.name: count for column, count in zip(self.columns, numbers + codes, strict=True)}

    def verify(self, progress: Callable[[int, int], None] | None = None, *, workers: int = 0) -> list[SampleError]:
        """No errors: what cannot be read is refused when a table is opened. As `FileDataset.verify`."""
        if progress is not None:
            progress(len(self), len(self))
        return []

    def subset(self, indices: Tensor | Sequence[int]) -> TableDataset:
        """The rows at `indices`, with all the classes and categories."""
        rows = torch.as_tensor(indices, dtype=torch.int64)
        labels, groups = (None if numbers is None else numbers[rows] for numbers in (self.labels, self.groups))
        return self.with_rows(self.numeric[rows], self.categorical[rows], labels, groups)

    def in_memory(self) -> TableDataset:
        """Itself."""
        return self

    def tensors(self) -> dict[str, Tensor]:
        """The content of all rows: {"numeric": (N, F) float64, "categorical": (N, K) int64}."""
        return {"numeric": self.numeric, "categorical": self.categorical}

    def with_rows(
        self, numeric: Tensor, categorical: Tensor, labels: Tensor | None = None, groups: Tensor | None = None
    ) -> TableDataset:
        """A table of these columns with other rows, as a generator makes them."""
        return TableDataset(
            numeric,
            categorical,
            self.columns,
            labels,
            self.classes,
            groups,
            self.group_names,
            name=self.name,
            label=self.label,
            group=self.group,
            schema=self.schema,
            notes=self.notes,
        )

    def with_table(self, rows: Tensor, labels: Tensor | None = None) -> TableDataset:
        """A table of these columns from rows (N, F + K), numbers and then codes, as a bank holds them."""
        numeric, codes = rows.cpu().tensor_split([self.numeric.shape[1]], dim=1)
        return self.with_rows(numeric.clone(), codes.to(torch.int64), labels)

    def to_arrow(self) -> Any:
        """The original values as a `pyarrow.Table`: numbers to their decimals and grid, names of categories, nulls.

        Raises:
            ImportError: pyarrow is not installed.
            ValueError: a number that its column's original type cannot hold.
        """
        from torchaug.data.arrow import to_arrow

        return to_arrow(self)

    def to_frame(self) -> Any:
        """The original values as a `pandas.DataFrame`; see `to_arrow`.

        Raises:
            ImportError: pyarrow or pandas is not installed.
        """
        try:
            return self.to_arrow().to_pandas()
        except ModuleNotFoundError as error:
            raise ImportError("to_frame: needs pandas; pip install pandas") from error


def breast_cancer() -> TableDataset:
    """Scikit-learn's breast cancer table (Wolberg, Street and Mangasarian 1995, UCI): 569 rows, 30 numbers, 2 classes.

    The set comes with scikit-learn: nothing is downloaded.

    >>> data = breast_cancer()
    >>> data.numeric.shape, data.classes, data.labels.bincount().tolist()
    (torch.Size([569, 30]), ['malignant', 'benign'], [212, 357])
    """
    return _embedded("breast_cancer")


def wine() -> TableDataset:
    """Scikit-learn's wine table (Aeberhard and Forina 1991, UCI): 178 rows, 13 numbers, 3 classes.

    The set comes with scikit-learn: nothing is downloaded.

    >>> data = wine()
    >>> data.numeric.shape, data.labels.bincount().tolist(), data.columns[12].integer
    (torch.Size([178, 13]), [59, 71, 48], True)
    """
    return _embedded("wine")


def _embedded(name: str) -> TableDataset:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(f"{name}: needs scikit-learn; pip install 'torchaug-synth[demo]'") from error
    data = getattr(datasets, f"load_{name}")()
    columns = [Column.of_numbers(str(header), data.data[:, place]) for place, header in enumerate(data.feature_names)]
    numeric = torch.from_numpy(data.data.astype(np.float64))
    codes = torch.zeros(len(numeric), 0, dtype=torch.int64)
    labels = torch.from_numpy(data.target.astype(np.int64))
    return TableDataset(numeric, codes, columns, labels, [str(each) for each in data.target_names], name=name)
