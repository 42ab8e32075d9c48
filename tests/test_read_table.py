"""Tables: kinds of columns, what they are as numbers and codes, the way back, and what is refused."""

from __future__ import annotations

import csv
import datetime
import math
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from torchaug.data import Column, TableDataset, breast_cancer, read_table, read_table_like, wine
from torchaug.data.readers import typed
from torchaug.data.readers.table import read_labels

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: dict[str, tuple[st.SearchStrategy[Any], pyarrow.DataType]] = {
    "whole": (st.integers(-(2**53), 2**53), pyarrow.int64()),
    "small": (st.integers(-128, 127), pyarrow.int8()),
    "float": (st.floats(allow_nan=False, allow_infinity=False), pyarrow.float64()),
    "single": (st.floats(allow_nan=False, allow_infinity=False, width=32), pyarrow.float32()),
    "money": (st.decimals(-999, 999, places=2), pyarrow.decimal128(5, 2)),
    "flag": (st.booleans(), pyarrow.bool_()),
    "text": (TEXT, pyarrow.string()),
    "kind": (TEXT, pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
    "day": (st.dates(), pyarrow.date32()),
    "time": (st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2255, 1, 1)), pyarrow.timestamp("us")),
    "clock": (st.times(), pyarrow.time64("us")),
    "span": (st.timedeltas(datetime.timedelta(-9999), datetime.timedelta(9999)), pyarrow.duration("us")),
}


@st.composite
def tables(draw: Any) -> Any:
    rows = draw(st.integers(1, 25))
    columns = {}
    for name in draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4, unique=True)):
        values, kind = VALUES[name]
        drawn = draw(st.lists(values | st.none(), min_size=rows, max_size=rows).filter(any_there))
        columns[name] = pyarrow.array(drawn, kind)
    return pyarrow.table(columns)


def any_there(values: list[Any]) -> bool:
    return any(value is not None for value in values)


@given(table=tables(), data=st.data())
def test_a_table_comes_back_as_it_was(table: Any, data: Any) -> None:
    codable = [name for name in table.column_names if name not in ("clock", "span")]
    categorical = data.draw(st.lists(st.sampled_from(codable), unique=True)) if codable else []
    read = read_table(table, label=None, categorical=categorical)
    back = read.to_arrow()
    assert back.schema.remove_metadata() == table.schema
    assert back.to_pylist() == table.to_pylist()
    rows = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1))
    assert read.subset(rows).to_arrow().to_pylist() == [table.to_pylist()[row] for row in rows]
    assert sum(read.missing.values()) == sum(column.null_count for column in table.columns)


@given(table=tables())
def test_numbers_and_codes_are_those_of_the_values(table: Any) -> None:
    read = read_table(table, label=None)
    for place, column in enumerate(read.columns):
        values = table.column(column.name).to_pylist()
        if column.kind == "categorical":
            codes = read.categorical[:, place - read.numeric.shape[1]].tolist()
            names = [column.categories[code] for code in codes]
            assert [name is None for name in names] == [value is None for value in values]
            there = {value for value in values if value is not None}
            ordered = sorted(there, key=lambda value: value.encode() if isinstance(value, str) else value)
            assert codes == [len(there) if value is None else ordered.index(value) for value in values]
        elif column.name in ("whole", "small", "float", "single", "money"):
            got = read.numeric[:, place].tolist()
            assert [None if math.isnan(value) else value for value in got] == [
                None if value is None else float(value) for value in values
            ]
            assert (column.low, column.high) == (np.nanmin(got), np.nanmax(got))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    rows = [
        ("age", "job", "wage", "member", "since", "zip", "label", "site"),
        ("31", "cook", "2.5", "1", "2024-05-31", "01234", "yes", "b"),
        ("47", "", "NA", "0", "1969-12-31", "90210", "no", "a"),
        ("NA", 'smith, "black"', "1e3", "1", "", "00001", "no", "b"),
    ]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_csv_file_has_columns_of_kinds(people: Path) -> None:
    data = read_table(people, group="site")
    assert [(column.name, column.kind) for column in data.columns] == [
        *[(name, "numeric") for name in ("age", "wage", "since")],
        *[(name, "categorical") for name in ("job", "member", "zip")],
    ]
    nan = math.nan
    wanted = torch.tensor([[31, 2.5, 19874], [47, nan, -1], [nan, 1000, nan]], dtype=torch.float64)
    assert torch.equal(data.numeric.nan_to_num(-5), wanted.nan_to_num(-5))
    assert data.categorical.tolist() == [[0, 1, 1], [2, 0, 2], [1, 1, 0]]
    assert data.columns[3].categories == ("cook", 'smith, "black"', None)
    assert data.columns[5].categories == ("00001", "01234", "90210")
    assert (data.columns[0].integer, data.columns[1].integer) == (True, False)
    assert (data.columns[1].decimals, data.columns[1].low, data.columns[1].high) == (1, 2.5, 1000)
    assert (data.classes, data.group_names) == (["no", "yes"], ["a", "b"])
    item = data[0]
    assert item.pop("table").tolist() == [31, 2.5, 19874, 0, 1, 1]
    assert item == {"label": 1, "group": 1, "index": 0}
    assert data.missing == {"age": 1, "wage": 1, "since": 1, "job": 1, "member": 0, "zip": 0}
    assert "column 'job': 1 of 3 values are missing" in data.notes
    assert data.to_arrow().to_pylist()[2] == {
        "age": None,
        "job": 'smith, "black"',
        "wage": 1000.0,
        "member": 1,
        "since": None,
        "zip": "00001",
        "label": "no",
        "site": "b",
    }


def test_kinds_can_be_chosen(people: Path) -> None:
    data = read_table(
        people, numeric=["member", "zip"], categorical=["age"], drop=["since", "site"], classes=["yes", "no"]
    )
    assert [column.name for column in data.columns] == ["wage", "member", "zip", "age", "job"]
    assert data.columns[3].categories == ("31", "47", None)
    assert data.numeric[:, 2].tolist() == [1234, 90210, 1]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 1]
    assert data.to_arrow().column_names == ["age", "job", "wage", "member", "zip", "label"]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "pandas", "dict", "tsv"])
def test_every_source_gives_the_same_table(people: Path, tmp_path: Path, kind: str) -> None:
    wanted = read_table(people)
    table = wanted.to_arrow()
    source: Any = {"arrow": table, "dict": {name: table[name] for name in table.column_names}}.get(kind)
    if kind == "pandas":
        source = wanted.to_frame()
        source["age"] = source["age"].astype("Int64")
    if kind == "parquet":
        source = tmp_path / "people.parquet"
        pyarrow.parquet.write_table(table, source)
    if kind == "tsv":
        with open(people, newline="") as file:
            rows = list(csv.reader(file))
        source = tmp_path / "people.tsv"
        with open(source, "w", newline="") as file:
            csv.writer(file, delimiter="\t").writerows(rows)
    got = read_table(source)
    assert got.columns == wanted.columns
    assert got.to_arrow().to_pylist() == table.to_pylist()
    assert got.name == ("people" if kind in ("parquet", "tsv") else "table")


CSV_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@given(rows=st.lists(st.tuples(st.integers(-999, 999), CSV_TEXT, st.floats(-1e9, 1e9)), min_size=1))
def test_csv_comes_back_as_the_csv_module_wrote_it(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("a", "b", "c"), *rows, (5, "x y", 0.5)])
    back = read_table(path, label=None, categorical=["b"]).to_arrow()
    assert back["a"].to_pylist()[:-1] == [a for a, _, _ in rows]
    assert back["c"].to_pylist()[:-1] == [c for _, _, c in rows]
    # "x y" is no number, and so b is text; where nearly all others are, spaces and missing ones do not count
    got = back["b"].to_pylist()[:-1]
    assert got in ([b for _, b, _ in rows], [b.strip() or None for _, b, _ in rows], [spelled(b) for _, b, _ in rows])


def spelled(text: str) -> str | None:
    return None if text.strip() in ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None") else text.strip()


def column(values: Any, name: str = "x") -> Any:
    return {name: values, "label": ["a"] * len(values)}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1, 1, 0], "categorical"),
        ([1, 2, 1, 2], "numeric"),
        ([1, 2, 3] * 10, "categorical"),
        ([1, 2, 3] * 9, "numeric"),
        (list(range(10)) * 10, "categorical"),
        (list(range(11)) * 20, "numeric"),
        ([0.5, 1.5] * 50, "numeric"),
        ([0.0, 1.0, None], "categorical"),
        ([7] * 50, "numeric"),
        ([True, False], "categorical"),
        (["1", "2"], "categorical"),
        ([datetime.date(2024, 1, 1)] * 50, "numeric"),
    ],
)
def test_the_rule_of_kinds(values: list[Any], kind: str) -> None:
    assert read_table(column(values)).columns[0].kind == kind


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([1.0, 2.0], 0),
        ([1.5, 2.25, None], 2),
        ([0.1 + 0.2], None),
        ([1e300, 0.25], 2),
        ([0.123456], 6),
        ([1 / 3], None),
        ([1.0] * 1500 + [0.5], 1),
    ],
)
def test_decimals_are_counted(values: list[float], decimals: int | None) -> None:
    assert read_table(column(values)).columns[0].decimals == decimals


DAYS = np.datetime64("2024-05-31") - np.arange(19_500, 19_540).astype("timedelta64[D]")  # before 1970 too
SECONDS = DAYS + np.random.default_rng(0).integers(0, 86400, 40).astype("timedelta64[s]")


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        (pyarrow.array(DAYS.astype("datetime64[us]")), (86400e6, 0)),
        (pyarrow.array(DAYS.astype("datetime64[ns]")), (86400e6, 0)),
        (pyarrow.array(DAYS[:3].astype("datetime64[ms]") + np.timedelta64(90, "m")), (86400e3, 5400e3)),
        (pyarrow.array(DAYS[:3].astype("datetime64[D]")).cast(pyarrow.date64()), (86400e3, 0)),
        (pyarrow.array(DAYS), None),
        (pyarrow.array(SECONDS.astype("datetime64[us]")), (1e6, 0)),
        (pyarrow.array(SECONDS.astype("datetime64[s]")), None),
        (pyarrow.array(np.arange(5).astype("timedelta64[h]").astype("timedelta64[us]")), (3600e6, 0)),
        (pyarrow.array([datetime.time(8, 15), datetime.time(8, 45), None]), (60e6, 0)),
        ([-50, 150, 250, 350, 450, 550, 650, 750, 850, 950], (100, 50)),
        ([50, 150, 250, 350, 450, 550, 650, 750, 850], None),
        ([*range(100, 2000, 100), 1.5], None),
        ([2.0**60 + 1e6 * number for number in range(20)], None),
        ([100] * 20, None),
    ],
)
def test_the_grid_of_times_and_whole_numbers_is_found(values: Any, grid: Any) -> None:
    data = read_table({"x": values}, label=None, numeric=["x"])
    assert data.columns[0].grid == grid
    back = data.to_arrow()["x"].to_pylist()
    assert back == (values if isinstance(values, list) else values.to_pylist())


def test_rows_of_a_generator_lie_on_the_grid_of_their_column() -> None:
    data = read_table({"at": pyarrow.array(DAYS.astype("datetime64[us]")), "pay": range(1050, 5050, 100)}, label=None)
    noise = torch.from_numpy(np.random.default_rng(0).random((40, 2)) - 0.5) * torch.tensor([8e10, 90.0]).double()
    made = data.with_rows(data.numeric + noise, data.categorical)
    assert made.to_arrow().equals(data.to_arrow())


def test_original_values_beside_the_grid_of_another_table_stay() -> None:
    train = read_table({"pay": range(1050, 5050, 100)}, label=None)
    test = read_table_like({"pay": [1250, 1300]}, train)
    assert (test.columns[0].grid, test.to_arrow()["pay"].to_pylist()) == (None, [1250, 1300])
    assert read_table_like({"pay": [1250, 9950]}, train).columns == train.columns


def test_missing_values_are_counted() -> None:
    data = read_table({"x": ["a", "a", None, "b"], "y": [1.5, math.nan, None, None], "z": [1, 2, 3, 4]}, label=None)
    assert data.missing == {"y": 3, "z": 0, "x": 1}
    assert data.subset([0, 2]).missing == {"y": 1, "z": 0, "x": 1}


def test_rows_of_a_generator_get_decimals_categories_and_order() -> None:
    table = {"size": [1.25, 2.5, 4.0], "kind": ["a", None, "b"], "count": [3, 4, 5], "label": ["x", "y", "y"]}
    data = read_table(table)
    made = data.with_rows(
        torch.tensor([[1.7512, 3.4]], dtype=torch.float64), torch.tensor([[2]]), labels=torch.tensor([1])
    )
    assert made.to_arrow().to_pylist() == [{"size": 1.75, "kind": None, "count": 3, "label": "y"}]
    assert (made.columns, made.classes) == (data.columns, data.classes)
    assert data.with_rows(data.numeric, data.categorical).to_arrow().column_names == ["size", "kind", "count"]


NUMBERS = [str(number) for number in range(95)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {}, "expected a column 'label' for label=, got 'a', 'b'"),
        ("a,label\n1,2\n", {"drop": ["c"]}, "expected a column 'c' for drop=, got 'a', 'label'"),
        ("a,label\n1,2\n", {"drop": ["a"]}, "a column beside those for label=, group= and drop="),
        ("a,label\n1,2\n", {"numeric": ["a"], "categorical": ["a"]}, "'a' in numeric= and categorical="),
        ("a,a,label\n1,2,3\n", {}, "columns with different names in .*, got 'a' twice"),
        ("a,label\n", {}, "at least one row of values"),
        ("a,label\n1,x\n2\n", {}, "expected 2 fields as in the header, got 1 in line 3"),
        ("a,label\n,x\nNA,y\n", {}, "column 'a': expected values, got none in any row"),
        ("a,label\nnan,x\nnan,y\n", {"missing": [""]}, "column 'a': expected values, got none in any row"),
        ("a,label\n1.5,x\n-inf,y\n", {}, "column 'a': expected finite numbers, got -inf in row 2"),
        ("a,label\n1,x\n2,\n", {}, "expected a label for every item, got none in row 2"),
        ("a,label\n1,x\n", {"classes": ["y"]}, "a label must be one of 'y', or its number, got 'x' in row 1"),
        ("a,label\n1,x\nq,y\n", {"numeric": ["a"]}, "column 'a': expected numbers, got 'q' in row 2"),
        ("\n".join(["a,label", *(f"{n},x" for n in NUMBERS), "?,x"]), {}, r"numbers in 99.0% .* and '\?' in row 96"),
        (
            "\n".join(["a,label", *(f"n{n},x" for n in range(1001))]),
            {},
            "at most 1000 categories, got 1001 in 1001 rows",
        ),
        ("\n".join(["a,label", *(f"{n},{n}x" for n in range(1001))]), {}, "at most 1000 values of 'label', got 1001"),
        (b"a,label\n1,x\n\xff,x\n", {}, "expected UTF-8 in .*, got byte 0xff in line 3"),
        (b"a,label\n1,\0\n", {}, "got a NUL byte in line 2"),
        (b"", {}, "got an empty file"),
        (
            "a;job;label\n1,5;x;y\n",
            {},
            r"expected ',' between the fields of .*, got ';' in .* 'a;job;label'; save it with ','",
        ),
        ("a\tlabel\n1\ty\n", {}, r"got '\\t' in its header .*pandas.read_csv\('a.csv', sep='\\t'\)"),
        ('a,label\n"1,x\n', {}, "expected quoted fields that end"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_refused(tmp_path: Path, text: Any, options: Any, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_table(path, **options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pyarrow.array([None, None], pyarrow.float64()), "expected values, got none in any row"),
        (pyarrow.array([math.nan, math.nan]), "expected values, got none in any row"),
        (pyarrow.nulls(3), "expected values, got none in any row"),
        (pyarrow.array([1.0, math.inf]), "expected finite numbers, got inf in row 2"),
        (pyarrow.array([2**53 + 1, 1]), "expected numbers that float64 holds, got Integer value 9007199254740993"),
        (pyarrow.array([1, 1001], pyarrow.timestamp("ns")), "expected numbers that float64 holds, got Casting .* lose"),
        (pyarrow.array([[1], [2]]), r"expected numbers, text, truth values or times, got list<.*>; pass it in drop="),
        (pyarrow.array([b"a"]), "expected numbers, text, truth values or times, got binary"),
    ],
)
def test_columns_that_cannot_be_used_are_named(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"column 'x': {message}"):
        read_table({"x": values}, label=None)


@pytest.mark.parametrize("kind", [pyarrow.float16(), pyarrow.float32(), pyarrow.float64()])
def test_nan_and_negative_zero_are_no_categories(kind: Any) -> None:
    """NaN that is not null, as polars writes it."""
    values = pyarrow.array(np.array([0, -0.0, 1, math.nan] * 5, np.float32)).cast(kind)
    data = read_table({"x": values, "label": ["a"] * 20})
    assert data.columns[0] == Column("x", "categorical", ("0", "1", None))
    assert (data.missing, data.categorical[:4, 0].tolist()) == ({"x": 5}, [0, 0, 1, 2])
    assert data.notes[0] == "column 'x': 5 of 20 values are missing"
    assert data.to_arrow().schema.field("x").type == kind
    assert read_table_like({"x": values}, data).categorical.tolist() == data.categorical.tolist()


@pytest.mark.parametrize("options", [{}, {"categorical": ["x"]}, {"numeric": ["x"]}])
def test_infinity_is_refused_whatever_the_kind(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="column 'x': expected finite numbers, got -inf in row 3"):
        read_table({"x": [0.0, 1.0, -math.inf] * 5}, label=None, **options)
    data = read_table({"x": [0.0, 1.0, 1.0] * 5}, label=None)
    with pytest.raises(ValueError, match="read_table_like: column 'x': expected finite numbers, got inf in row 2"):
        read_table_like({"x": [0.0, math.inf]}, data)


def test_a_label_that_is_nan_is_missing() -> None:
    with pytest.raises(ValueError, match="expected a label for every item, got none in row 2"):
        read_table({"x": [1.5, 2.5], "label": pyarrow.array([1.0, math.nan])})


def test_times_of_day_are_no_categories() -> None:
    with pytest.raises(ValueError, match="column 'x': expected times of day and durations to be numbers"):
        read_table({"x": [datetime.time(8), datetime.time(9)]}, label=None, categorical=["x"])


def test_times_of_csv_files_reach_to_the_year_9999(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("s,us\n9999-12-31 23:59:59,1999-12-31T23:59:59.123456\n1970-01-01 00:00:01,\n")
    data = read_table(tmp_path / "a.csv", label=None)
    assert data.numeric[:, 0].tolist() == [253402300799, 1]
    assert data.to_arrow().to_pylist()[0] == {
        "s": datetime.datetime(9999, 12, 31, 23, 59, 59),
        "us": datetime.datetime(1999, 12, 31, 23, 59, 59, 123456),
    }


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["2024-01-01T00:00:00Z", "", "2024-01-01T12:00:00Z"], [1704067200, 1704110400]),
        (["2024-01-01 02:00:00+02:00", "NA", "2024-01-01 13:00:00+0100"], [1704067200, 1704110400]),
        (["2024-01-01T00:00:00.25Z", "", "2024-01-01T12:00Z"], [1704067200.25, 1704110400]),
        (["2024-01-01 00:00:00.000000000", "", "2024-01-01 12:00:00.250000000"], [1704067200, 1704110400.25]),
    ],
)
def test_times_with_a_zone_or_nanoseconds_are_times(tmp_path: Path, texts: list[str], seconds: list[float]) -> None:
    rows = [[texts[number % 3], number] for number in range(1200)]  # as texts they would be too many, or "names"
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([("at", "x"), *rows])
    data = read_table(tmp_path / "a.csv", label=None)
    at = data.to_arrow()["at"]
    assert (data.columns[0].kind, at.type.tz) == ("numeric", None if texts[0].endswith("000") else "UTC")
    found = at.cast(pyarrow.timestamp("us", at.type.tz)).cast(pyarrow.int64()).to_pylist()[:3]
    assert [found[0] / 1e6, found[1], found[2] / 1e6] == [seconds[0], None, seconds[1]]


@pytest.mark.parametrize(
    "day", ["31.05.2024", "05/31/2024", "31/05/2024", "2024/05/31", "31-05-2024", "20240531T000000Z"]
)
def test_other_forms_of_dates_stay_text(tmp_path: Path, day: str) -> None:
    (tmp_path / "a.csv").write_text(f"at,x\n{day},1.5\n{day},2.5\n")
    assert read_table(tmp_path / "a.csv", label=None).columns[1].categories == (day,)


def test_data_frames_with_faults_are_named() -> None:
    mixed = pandas.DataFrame({"x": pandas.Series([1, math.nan, None, "a"], dtype=object)})
    with pytest.raises(ValueError, match="column 'x': expected values of one type, got int and, in row 4, str"):
        read_table(mixed, label=None)
    for values, kind in [
        (np.arange(4) + 1j, "complex128"),
        (pandas.arrays.SparseArray([1.0, 0, 0, 2]), r"Sparse\[float64, nan\]"),
        (pandas.cut(np.arange(4.0), 2), r"dictionary<values=extension<pandas.interval.*>"),
        ([object()] * 4, "object"),
    ]:
        frame = pandas.DataFrame({"x": values, "y": [1.5, 2, 3, 4]})
        with pytest.raises(
            ValueError,
            match=rf"column 'x': expected numbers, text, .*, got {kind}.*; pass it in drop= .*, or convert it",
        ):
            read_table(frame, label=None)
    with pytest.raises(ValueError, match=r"a x must be a name or a whole number, got .*interval.*; convert it"):
        read_table(pandas.DataFrame({"x": pandas.cut(np.arange(4.0), 2), "y": [1.5, 2, 3, 4]}), label="x")
    twice = pandas.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(ValueError, match="columns with different names, got 'x' twice"):
        read_table(twice, label=None)
    indexed = pandas.DataFrame({"x": [1.5, 2.5], 7: ["a", "b"]}, index=[8, 9])
    assert [column.name for column in read_table(indexed, label=None).columns] == ["x", "7"]


def test_one_column_may_have_any_name(tmp_path: Path) -> None:
    for name, value in [("left;right", "1.5"), ('"x,y"', '"a,b"')]:
        (tmp_path / "a.csv").write_text(f"{name}\n{value}\n{value}\n")
        assert read_table(tmp_path / "a.csv", label=None).columns[0].name == name.strip('"')


@pytest.mark.parametrize("like", ["frame", "a.csv", "a.parquet", "R.csv"])
@pytest.mark.parametrize("source", ["frame", "a.csv", "a.parquet", "R.csv"])
def test_truth_values_match_however_they_are_spelled(tmp_path: Path, like: str, source: str) -> None:
    frame = pandas.DataFrame({"sold": [True, False, True], "x": [1.5, 2, 3], "label": [False, False, True]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    spelled = {name: frame[name].map({True: "TRUE", False: "FALSE"}) for name in ("sold", "label")}
    frame.assign(**spelled).to_csv(tmp_path / "R.csv", index=False)
    known, given = (
        read_table(frame if each == "frame" else tmp_path / each, group="label", label=None) for each in (like, source)
    )
    path: Any = frame if source == "frame" else tmp_path / source
    again = read_table_like(path, known)
    assert (again.columns, again.group_names) == (known.columns, known.group_names)
    assert again.categorical.equal(given.categorical)
    labelled = read_table(frame if like == "frame" else tmp_path / like)
    found = read_table_like(path, labelled)
    assert (found.classes, found.labels.tolist()) == (labelled.classes, [0, 0, 1])  # type: ignore[union-attr]


def test_words_that_are_no_truth_values_are_told_apart() -> None:
    data = read_table({"x": ["true", "false", "maybe"]}, label=None)
    with pytest.raises(ValueError, match="expected a value that is known, got 'True' in row 2"):
        read_table_like({"x": ["true", "True"]}, data)
    both = read_table({"x": ["true", "True", "false"]}, label=None)
    assert read_table_like({"x": ["True", "true"]}, both).categorical[:, 0].tolist() == [0, 2]
    with pytest.raises(ValueError, match="expected a value that is known, got 'TRUE' in row 1"):
        read_table_like({"x": ["TRUE"]}, both)


def test_columns_that_are_left_out_may_be_anything() -> None:
    junk = {"junk": [1, "a", 2.5], "many": np.arange(3) + 1j, "cut": pandas.cut(np.arange(3.0), 2)}
    frame = pandas.DataFrame({**junk, "x": [1.5, 2.5, 3.5], "label": ["yes", "no", "no"]})
    data = read_table(frame, drop=list(junk))
    assert ([column.name for column in data.columns], data.classes) == (["x"], ["no", "yes"])
    assert data.to_arrow().column_names == ["x", "label"]
    assert read_table_like(frame, data).numeric.equal(data.numeric)
    assert read_labels(frame)[0].tolist() == [1, 0, 0]
    with pytest.raises(
        ValueError, match=r"column 'junk': expected values of one type, got int and, in row 2, str; .*drop="
    ):
        read_table(frame)


def test_labels_of_other_types() -> None:
    for values, classes in [
        ([2, 0], ["0", "1", "2"]),
        ([1.0, 0.0], ["0", "1"]),
        ([True, False], ["false", "true"]),
        (pyarrow.array(["b", "a"]).dictionary_encode(), ["a", "b"]),
    ]:
        data = read_table({"x": [1.5, 2.5], "label": values})
        assert data.classes == classes
        assert data.to_arrow()["label"].to_pylist() == (values if isinstance(values, list) else values.to_pylist())
    with pytest.raises(ValueError, match=r"a label must be a name or a whole number, .*; pass label=None"):
        read_table({"x": [1, 2], "label": [0.5, 1.0]})


def test_constant_columns_are_kept_and_noted() -> None:
    data = read_table({"x": [3, 3], "y": ["a", "a"], "z": ["b", None]}, label=None)
    assert [column.name for column in data.columns] == ["x", "y", "z"]
    assert data.notes[:2] == ["column 'x': all values are 3", "column 'y': all values are 'a'"]
    assert "column 'z': all values are 'b'" in data.notes


def test_many_categories_are_taken_where_they_are_asked_for() -> None:
    names = [f"n{number}" for number in range(1500)]
    data = read_table({"x": names}, label=None, categorical=["x"])
    assert len(data.columns[0].categories) == 1500


def test_a_file_is_parsed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed, "BLOCK", 64)
    rows = [(number, f"a\nb{number % 7}") for number in range(500)]
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([("x", "y"), *rows])
    back = read_table(tmp_path / "a.csv", label=None).to_arrow()
    assert list(zip(back["x"].to_pylist(), back["y"].to_pylist(), strict=True)) == rows


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match="got a folder there"):
        read_table(tmp_path)
    (tmp_path / "a.parquet").write_text("no table")
    with pytest.raises(ValueError, match=r"expected CSV .* or Parquet in .*a\.parquet, got neither"):
        read_table(tmp_path / "a.parquet")
    with pytest.raises(TypeError, match=r"numeric must be a list of names, got 'x'; pass \['x'\]"):
        read_table({"x": [1]}, label=None, numeric="x")


def test_without_pyarrow_the_extra_is_named(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = breast_cancer()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (lambda: read_table(people), data.to_arrow, data.to_frame):
        with pytest.raises(ImportError, match=r"pip install 'torchaug-synth\[tabular\]'"):
            call()


def test_a_table_dataset_checks_what_it_is_given() -> None:
    numeric, codes = torch.zeros(2, 1, dtype=torch.float64), torch.tensor([[0], [1]])
    columns = [Column("x", "numeric"), Column("y", "categorical", ("a", "b"))]
    assert len(TableDataset(numeric, codes, columns)) == 2
    with pytest.raises(ValueError, match="columns must be those of numeric"):
        TableDataset(numeric, codes, columns[::-1])
    with pytest.raises(TypeError, match=r"numeric float64 and categorical int64, got torch.float32"):
        TableDataset(numeric.float(), codes, columns)
    with pytest.raises(ValueError, match="at least one, got 2 and 1"):
        TableDataset(numeric, codes[:1], columns)
    with pytest.raises(ValueError, match=r"column 'y': labels must be in \[0, 2\).* got 2 at index 1"):
        TableDataset(numeric, codes * 2, columns)
    with pytest.raises(ValueError, match=r"labels must be \(2,\) for 2 rows"):
        TableDataset(numeric, codes, columns, torch.zeros(3, dtype=torch.int64), ["a"])
    with pytest.raises(ValueError, match=r"labels must be in \[0, 1\).* got 1 at index 1"):
        TableDataset(numeric, codes, columns, torch.tensor([0, 1]), ["a"])


def test_items_are_copies_and_batches_are_made(people: Path) -> None:
    data = read_table(people)
    data[0]["table"].fill_(9)
    assert data[0]["table"][0] == 31
    batch = next(iter(DataLoader(data, batch_size=3)))
    assert (batch["table"].shape, batch["table"].dtype, batch["label"].tolist()) == ((3, 7), torch.float32, [1, 0, 0])
    with pytest.raises(IndexError, match=r"people: index must be in \[0, 3\), got 3"):
        data[3]
    seen = []
    assert data.verify(lambda done, total: seen.append((done, total))) == []
    assert seen == [(3, 3)]


@pytest.mark.parametrize(
    ("make", "shape", "counts"), [(breast_cancer, (569, 30), [212, 357]), (wine, (178, 13), [59, 71, 48])]
)
def test_embedded_tables_are_those_of_scikit_learn(make: Any, shape: Any, counts: list[int]) -> None:
    from sklearn import datasets

    data, wanted = make(), getattr(datasets, f"load_{make.__name__}")()
    assert np.array_equal(data.numeric.numpy(), wanted.data)
    assert [column.name for column in data.columns] == list(wanted.feature_names)
    assert (data.numeric.shape, data.labels.bincount().tolist()) == (shape, counts)
    assert data.classes == wanted.target_names.tolist()
    back = data.to_arrow()
    assert np.array_equal(np.stack([back[name].to_numpy() for name in wanted.feature_names], 1), wanted.data)


def test_a_frame_comes_back(people: Path) -> None:
    frame = read_table(people).to_frame()
    assert frame["job"].tolist()[0] == "cook"
    assert frame["job"].isna().tolist() == [False, True, False]
    assert frame["member"].tolist() == [1, 0, 1]


def test_money_keeps_its_type() -> None:
    table = pyarrow.table({"x": pyarrow.array([Decimal("1.10"), Decimal("2.35"), None])})
    assert read_table(table, label=None).to_arrow()["x"].to_pylist() == [Decimal("1.10"), Decimal("2.35"), None]
