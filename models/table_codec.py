"""Tables as rows of numbers that a model can learn, and back to the values that the table had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from torchaug.data import Column, TableDataset
from torchaug.data.arrow import library
from torchaug.data.bank.tables import make_table, table_attributes, table_columns
from torchaug.data.images import check_labels
from torchaug.data.spellings import places_of
from torchaug.models.table_columns import ChoiceColumn, NumberColumn

Encoding = Literal["auto", "quantile", "modes", "standard"]
ENCODINGS: tuple[str, ...] = get_args(Encoding)
_IDS = 20  # rows from which on a column without any repeated value is remarkable


@dataclass(frozen=True)
class Block:
    """A piece of an encoded row.

    Args:
        name: of the column that it belongs to.
        kind: "number": one, of about unit variance; "choice": a one-hot.
        start: where it begins.
        size: how many places it has.
    """

    name: str
    kind: Literal["number", "choice"]
    start: int
    size: int

    @property
    def slice(self) -> slice:
        """Its places in a row."""
        return slice(self.start, self.start + self.size)


class TableCodec(nn.Module):
    """Encodes the rows of one table, and decodes what a generator makes.

    An encoded row is a run of blocks: those of the numeric columns and then of the categorical ones, in the table's
    order. Labels and groups are not in it. See `NumberColumn` and `ChoiceColumn` for what a column becomes.

    What comes back: categories, whole numbers, missing values and atoms exactly; of other numbers those that are
    knots (in columns of up to 1001 different values all but what is clipped) exactly, others as near as float32 lets
    them, at worst 2e-5 of the distance between two knots or 1e-6 of a mode's deviation, and then rounded to the
    column's decimals and grid. So whole numbers and decimals are exact where that is less than half a step.
    Numbers outside the range that was fitted become its ends.

    Args:
        config: as an other codec's `config` gives it; the fitted numbers come with `load_state_dict`. Use `fit`.

    Attributes:
        config: the columns, their encodings and sizes, as JSON.
        blocks: of an encoded row.
        width: numbers of an encoded row.
        choices: of each categorical column the places that spell its category: one block, or where there are more than
            50 categories the run of several (`spell`).
        columns: of the table.
        notes: what is remarkable about them.

    >>> columns = [Column("size", "numeric", decimals=1, high=9.0), Column("colour", "categorical", ("blue", "red"))]
    >>> numeric, codes = torch.tensor([[1.5], [4.0], [9.0]], dtype=torch.float64), torch.tensor([[1], [0], [0]])
    >>> codec = TableCodec.fit(TableDataset(numeric, codes, columns))
    >>> [(block.name, block.kind, block.size) for block in codec.blocks]
    [('size', 'number', 1), ('colour', 'choice', 2)]
    >>> codec.encode(numeric, codes)[0]
    tensor([-0.9674,  0.0000,  1.0000])
    >>> codec.decode(torch.tensor([[9.0, 0.7, 0.4]]))
    (tensor([[9.]], dtype=torch.float64), tensor([[0]]))
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.notes: list[str] = list(config["notes"])
        self.numeric = nn.ModuleList(NumberColumn(each) for each in config["numeric"])
        self.categorical = nn.ModuleList(ChoiceColumn(each) for each in config["categorical"])
        self.columns = table_columns(config["table"])
        self.blocks, self.choices, self._widths = self._lay_out()
        self.width = sum(self._widths)

    @classmethod
    def fit(cls, data: TableDataset, *, encoding: str | Mapping[str, str] = "auto") -> TableCodec:
        """The codec of a table. Nothing is random.

        Args:
            data: the training set.
            encoding: of the numeric columns, or {name: encoding} of some of them, the others being "auto": "quantile",
                "modes", "standard" (`NumberColumn`), or "auto": "modes" where a column of 400 values or more has three
                or more peaks well apart, else "quantile".

        Raises:
            ValueError: infinite numbers, an encoding or a column that there is not, or no column whose values differ.
        """
        wanted = _encodings(data, encoding)
        numbers = [NumberColumn.fit(column, values, wanted[column.name]) for column, values in _numeric(data)]
        categories = [ChoiceColumn.fit(column, codes) for column, codes in _categorical(data)]
        config = {
            "numeric": [each.config for each in numbers],
            "categorical": [each.config for each in categories],
            "table": table_attributes(data),
            "notes": _notes(data),
        }
        codec = cls(config)
        codec.numeric, codec.categorical = nn.ModuleList(numbers), nn.ModuleList(categories)
        if not codec.width:
            raise ValueError(f"TableCodec: expected a column whose values differ in {data.name!r}, got constant ones")
        return codec

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TableCodec:
        """A codec like the one whose `config` this is; `load_state_dict` makes it equal."""
        return cls(config)

    def encode(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Rows of the table as a model sees them.

        Args:
            numeric: (B, F) float64, NaN where missing.
            categorical: (B, K) int64 codes.

        Returns:
            (B, width) float32.

        Raises:
            ValueError: shapes of another table; on the CPU, where looking at values stops nothing, also infinite numbers,
                a missing one in a column where none was missing, and codes of no category.
        """
        self._check(numeric, categorical)
        parts = [each.encode(values) for each, values in zip(self._numbers, numeric.T, strict=True)]
        parts += [each.encode(codes) for each, codes in zip(self._categories, categorical.T, strict=True)]
        return torch.cat(parts, 1)

    def decode(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (B, width) of floats as numbers (B, F) float64 and codes (B, K) int64 of the table.

        Of a choice the place with the highest number counts, so logits, shares and one-hots decode alike.
        """
        if encoded.ndim != 2 or encoded.shape[1] != self.width:
            raise ValueError(f"TableCodec: encoded rows must be (B, {self.width}), got {tuple(encoded.shape)}")
        parts = encoded.split(self._widths, 1)
        count, rows = len(self.numeric), len(encoded)
        numbers = [each.decode(part) for each, part in zip(self._numbers, parts[:count], strict=True)]
        codes = [each.decode(part) for each, part in zip(self._categories, parts[count:], strict=True)]
        numeric = torch.stack(numbers, 1) if numbers else encoded.new_zeros(rows, 0, dtype=torch.float64)
        return numeric, torch.stack(codes, 1) if codes else encoded.new_zeros(rows, 0, dtype=torch.int64)

    def code(self, name: str, value: Any) -> int:
        """The code of a category of which the table had rows, None being the one of missing values.

        Numbers and truth values stand for their text: 1 for "1", True for "true".

        Raises:
            ValueError: a column or a category that the table did not have, or a category that none of its rows had.
        """
        column = next((each for each in self.columns if each.name == name and each.kind == "categorical"), None)
        if column is None:
            raise ValueError(f"TableCodec: expected a column of {', '.join(self.choices) or 'none'}, got {name!r}")
        unseen = self._column(name).unseen
        found = [place for place in places_of(_spellings(value), column.categories) if place is not None]
        if not found or found[0] in unseen:
            seen = [each for code, each in enumerate(column.categories) if code not in unseen]
            known = ", ".join(map(repr, seen[:10])) + ", ..." * (len(seen) > 10)
            raise ValueError(
                f"TableCodec: column {name!r} must be one of {known}, got {value!r}, which was not trained on"
            )
        return found[0]

    def spell(self, name: str, codes: Tensor) -> Tensor:
        """What stands at `choices[name]` of rows with these codes (B,) of a categorical column: (B, size) float32.

        Put there before `decode`, it makes the category exactly that, and it serves as a condition: it is a one-hot, or,
        of a column of more than 50 categories, several one after the other.
        """
        return self._column(name).encode(codes)

    def table(self, numeric: Tensor, categorical: Tensor, labels: Tensor | None = None) -> TableDataset:
        """Decoded rows as a table with the original headers, categories, classes and types; labels (B,) int64."""
        return make_table(
            self.config["table"], numeric.cpu(), categorical.cpu(), None if labels is None else labels.cpu()
        )

    @property
    def _numbers(self) -> list[NumberColumn]:
        return [each for each in self.numeric if isinstance(each, NumberColumn)]

    @property
    def _categories(self) -> list[ChoiceColumn]:
        return [each for each in self.categorical if isinstance(each, ChoiceColumn)]

    def _column(self, name: str) -> ChoiceColumn:
        for each in self._categories:
            if each.name == name:
                return each
        raise ValueError(f"TableCodec: expected a column of {', '.join(self.choices) or 'none'}, got {name!r}")

    def _lay_out(self) -> tuple[tuple[Block, ...], dict[str, Block], list[int]]:
        """The blocks, those of categorical columns, and the width of each column."""
        blocks: list[Block] = []
        choices: dict[str, Block] = {}
        widths: list[int] = []
        start = 0
        for each in (*self._numbers, *self._categories):
            first = start
            kinds: list[tuple[Literal["number", "choice"], int]] = [("number", 1)] * each.numbers
            for kind, size in kinds + [("choice", size) for size in each.sizes]:
                blocks.append(Block(each.name, kind, start, size))
                start += size
            widths.append(start - first)
            if isinstance(each, ChoiceColumn):
                choices[each.name] = Block(each.name, "choice", first, start - first)
        return tuple(blocks), choices, widths

    def _check(self, numeric: Tensor, categorical: Tensor) -> None:
        for what, given, count, kind in (
            ("numeric", numeric, len(self.numeric), torch.float64),
            ("categorical", categorical, len(self.categorical), torch.int64),
        ):
            if given.ndim != 2 or given.shape[1] != count or given.dtype != kind or len(given) != len(numeric):
                raise ValueError(
                    f"TableCodec: {what} must be (B, {count}) {kind}, got {tuple(given.shape)} {given.dtype}"
                )
        if numeric.device.type != "cpu":
            return
        for number, values in zip(self._numbers, numeric.T, strict=True):
            _check_numbers(number.name, values, number.missing)
        for choice, codes in zip(self._categories, categorical.T, strict=True):
            check_labels(codes, [choice.name] * choice.levels, f"TableCodec: column {choice.name!r}")


def _spellings(value: Any) -> list[str | None]:
    """A value as a category may be written: text as it is; True as "true" too, and 1.0 as "1"."""
    if value is None or isinstance(value, str):
        return [value]
    return [str(value), str(value).lower(), str(value).removesuffix(".0")]


def _check_numbers(name: str, values: Tensor, missing: bool) -> None:
    bad = (values.isinf() if missing else ~values.isfinite()).nonzero()
    if len(bad):
        row = int(bad[0])
        advice = (
            "missing values, which the table that was fitted did not have in it" if values[row].isnan() else "infinity"
        )
        raise ValueError(
            f"TableCodec: column {name!r}: expected finite numbers{' or NaN' * missing}, got {float(values[row])} at index "
            f"{row}; {advice}"
        )


def _numeric(data: TableDataset) -> list[tuple[Column, Tensor]]:
    return list(zip(data.columns, data.numeric.T, strict=False))


def _categorical(data: TableDataset) -> list[tuple[Column, Tensor]]:
    return list(zip(data.columns[data.numeric.shape[1] :], data.categorical.T, strict=True))


def _encodings(data: TableDataset, encoding: str | Mapping[str, str]) -> dict[str, str]:
    names = [column.name for column, _ in _numeric(data)]
    given = dict.fromkeys(names, encoding) if isinstance(encoding, str) else dict(encoding)
    for name, way in given.items():
        if name not in names or way not in ENCODINGS:
            raise ValueError(
                f"TableCodec: encoding must be one of {', '.join(ENCODINGS)}, or such of numeric columns ({', '.join(names)}), "
                f"got {name!r}: {way!r}"
            )
    for column, values in _numeric(data):
        _check_numbers(column.name, values, missing=True)
    return {name: given.get(name, "auto") for name in names}


def _notes(data: TableDataset) -> list[str]:
    """Columns that tell the rows apart: nothing can be learned from them, and what is made of them means nothing."""
    notes, types = [], data.types
    for column, values in [*_numeric(data), *_categorical(data)]:
        there = values[~values.isnan()] if column.kind == "numeric" else values
        if column.name in types and library().types.is_temporal(types[column.name]):
            continue  # no two things happen in one microsecond
        if (column.integer or column.kind == "categorical") and _IDS <= len(there) == len(there.unique()):
            notes.append(
                f"column {column.name!r}: each of {len(there)} values occurs once, as in an id; perhaps drop it"
            )
    return notes
