"""A table with the columns of another has its codes, whatever is in it."""

from __future__ import annotations

from typing import Any

import pandas
import pyarrow as pa
import pytest
import torch

from torchaug.data import TableDataset, read_table, read_table_like


def train() -> TableDataset:
    return read_table(
        pa.table(
            {
                "job": ["cook", None, "smith", "cook"],
                "age": [31.5, 47.0, None, 20.25],
                "rooms": [1, 2, 3, 4],
                "site": ["b", "a", "b", "a"],
                "label": ["yes", "no", "no", "yes"],
            }
        ),
        group="site",
        categorical=["rooms"],
    )


def frame(**columns: Any) -> pandas.DataFrame:
    return pandas.DataFrame({"age": [1.0], "job": ["smith"], "rooms": [3], "site": ["b"], "label": ["no"]} | columns)


def test_a_table_is_itself_when_it_is_read_like_itself() -> None:
    data = train()
    again = read_table_like(data.to_arrow(), data)
    assert torch.equal(again.categorical, data.categorical)
    assert torch.equal(again.numeric.nan_to_num(-1), data.numeric.nan_to_num(-1))
    assert data.labels is not None
    assert data.groups is not None
    assert again.labels is not None
    assert again.groups is not None
    assert torch.equal(again.labels, data.labels)
    assert torch.equal(again.groups, data.groups)


def test_codes_are_those_of_the_other_table() -> None:
    read = read_table_like(frame(surplus=[9]), train())
    names = [column.name for column in read.columns]
    values = dict(zip(names, [*read.numeric[0].tolist(), *read.categorical[0].tolist()], strict=True))
    assert values == {"age": 1.0, "job": 1, "rooms": 2}
    assert (read.labels, read.groups) == (torch.tensor([0]), torch.tensor([1]))


def test_missing_values_and_whole_numbers_that_pandas_made_floats_are_found() -> None:
    given = frame(age=[None, 2.0], job=[None, "cook"], rooms=[1.0, 2.0], site=["a", "b"], label=["no", "no"])
    read = read_table_like(given, train())
    assert read.missing == {"age": 1, "job": 1, "rooms": 0}
    assert read.categorical.tolist() == [[2, 0], [0, 1]]


def test_labels_may_be_unknown() -> None:
    read = read_table_like(frame().drop(columns=["label", "site"]), train())
    assert (read.labels, read.groups) == (None, None)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"job": ["king"]}, "column 'job': expected a value that is known, got 'king' in row 1"),
        ({"rooms": [None]}, "column 'rooms': expected a value that is known, got None in row 1"),
        ({"age": [float("inf")]}, "column 'age': expected finite numbers, got inf in row 1"),
        ({"age": ["old"]}, "column 'age': expected numbers, got 'old' in row 1"),
        ({"label": ["maybe"]}, "must be one of 'no', 'yes', or its number, got 'maybe'"),
    ],
)
def test_what_has_no_code_is_refused_by_name(columns: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_table_like(frame(**columns), train())


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="expected the columns of table, got none called age, job"):
        read_table_like(frame().drop(columns=["age", "job"]), train())
