"""Banks of tables, and tables as files: what comes back is what was generated, in original values."""

from __future__ import annotations

import csv
import datetime
import json
import math
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_read_table import tables
from torch.utils.data import DataLoader

from torchaug.cli import main
from torchaug.data import (
    Bank,
    BankWriter,
    Column,
    DeviceLoader,
    MixedDataset,
    MixedSampler,
    Source,
    TableDataset,
    breast_cancer,
    export,
    merge,
    read_table,
    read_table_like,
    write_table,
)
from torchaug.data.bank.tables import bank_table, make_table, table_attributes

DIGITS = "0123456789+-.N n"  # what texts begin with that may be read as numbers, or as missing ones
DAY = datetime.date(2024, 5, 31)
ROWS: dict[str, list[Any]] = {
    "age": [31, None, 47, 31, 2],
    "income": [1234.5, 0.1, None, 99.25, 1e-7],
    "since": [DAY, DAY.replace(year=1969), None, DAY, DAY],
    "job": ["cook", None, 'sm,it"h', "línea\n2", "cook"],
    "zip": ["01234", "99999", "01234", "00000", "99999"],
    "label": ["yes", "no", "no", "yes", "no"],
    "site": ["b", "a", "b", "b", "a"],
}


def people() -> TableDataset:
    types = [("age", pyarrow.int16()), ("income", pyarrow.float64()), ("since", pyarrow.date32())]
    types += [(name, pyarrow.string()) for name in ("job", "zip", "label", "site")]
    return read_table(pyarrow.table(ROWS, schema=pyarrow.schema(types)), group="site")


def same(one: TableDataset, other: TableDataset) -> bool:
    """Whether two tables are equal in all they hold, NaN beside NaN, bit for bit."""
    tensors = ("numeric", "categorical", "labels", "groups")
    return (
        all(_equal(getattr(one, name), getattr(other, name)) for name in tensors)
        and one.columns == other.columns
        and (one.classes, one.group_names, one.label, one.group) == (
            other.classes, other.group_names, other.label, other.group
        )
    )  # fmt: skip


def _equal(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and torch.equal(one.nan_to_num(-7.5), other.nan_to_num(-7.5))


def write_bank(path: Path, data: TableDataset, *, shard_size: int = 3, **options: Any) -> Bank:
    """A bank of the rows of a table."""
    settings: dict[str, Any] = {"config": {"seed": 4}, "trained_on": None, "generator": "3f", "shard_size": shard_size}
    content = {"table": torch.cat([data.numeric, data.categorical.double()], 1)}
    if data.groups is not None:
        content["group"] = data.groups
    about = table_attributes(data)
    with BankWriter(path, classes=data.classes or [], attributes=about, **settings | options) as writer:
        for shard, rows in enumerate(torch.arange(len(data)).split(shard_size)):
            labels = None if data.labels is None else data.labels[rows]
            writer.write(shard, {name: column[rows] for name, column in content.items()}, labels, rows)
    return Bank(path)


def test_a_bank_gives_back_its_table(tmp_path: Path) -> None:
    data = people()
    bank = write_bank(tmp_path / "bank", data)
    table = bank.in_memory()
    assert same(table, data)
    assert table.to_arrow().equals(data.to_arrow())
    assert same(bank_table(bank.drop([1, 3], "bad")), data.subset([0, 2, 4]))
    job = table.to_frame()["job"]
    assert job.astype(object).where(job.notna(), None).tolist() == ROWS["job"]  # NaN in pandas 3


def test_a_bank_keeps_grids_and_may_be_without(tmp_path: Path) -> None:
    data = read_table({"pay": range(1050, 5050, 100), "x": [0.5, 1.5] * 20}, label=None)
    assert write_bank(tmp_path / "bank", data).in_memory().columns == data.columns
    attributes = json.loads(json.dumps(table_attributes(data)))
    assert attributes["table"]["columns"][0].pop("grid") == [100, 50]
    assert "grid" not in attributes["table"]["columns"][1]
    old = make_table(attributes, data.numeric, data.categorical)  # as an older version wrote it
    assert [column.grid for column in old.columns] == [None, None]
    assert old.to_arrow().equals(data.to_arrow())


@given(table=tables(), data=st.data())
def test_any_columns_survive_json(table: Any, data: st.DataObject) -> None:
    can_label = table.num_columns > 1 and "text" in table.column_names and not table["text"].null_count
    label = "text" if can_label and data.draw(st.booleans()) else None
    made = read_table(table, label=label)
    attributes = json.loads(json.dumps(table_attributes(made)))
    again = make_table(attributes, made.numeric, made.categorical, made.labels, made.groups)
    assert same(again, made)
    assert again.to_arrow().equals(made.to_arrow())
    assert attributes["columns"] == [column.name for column in made.columns]


def test_items_are_those_of_the_table(tmp_path: Path) -> None:
    data = people()
    bank = write_bank(tmp_path / "bank", data)
    for place, batched in enumerate(bank.__getitems__([0, 1, 2, 3, 4])):
        wanted = data[place]
        for item in (bank[place], batched):
            assert item.keys() == wanted.keys()
            assert item["table"].dtype == torch.float32
            assert torch.equal(item.pop("table").nan_to_num(), wanted["table"].nan_to_num())
            assert item == {name: value for name, value in wanted.items() if name != "table"}


def test_real_and_synthetic_rows_mix(tmp_path: Path) -> None:
    data = breast_cancer()
    bank = write_bank(tmp_path / "bank", data.subset(torch.arange(100)), shard_size=40)
    mixed = MixedDataset([Source.real(data), Source.bank(bank)])
    sampler = MixedSampler(mixed, 0.25, batch_size=16, steps_per_epoch=6)
    loader = DataLoader(mixed, batch_size=16, sampler=sampler)
    seen = 0
    for batch in DeviceLoader(loader, None, device="cpu"):
        assert batch["table"].shape == (16, 30)
        assert batch["table"].dtype == torch.float32
        assert torch.equal(batch["table"], data.numeric[batch["index"]].float())  # the bank has the table's first rows
        assert torch.equal(batch["label"], data.labels[batch["index"]])  # type: ignore[index]
        seen += int(batch["is_synthetic"].sum())
    assert seen == 24


def test_tables_of_other_columns_do_not_mix(tmp_path: Path) -> None:
    data = people()
    columns = list(data.columns)
    columns[3] = Column("job", "categorical", (*columns[3].categories[:2], "baker", None))
    other = TableDataset(data.numeric, data.categorical, columns, data.labels, data.classes)
    bank = write_bank(tmp_path / "bank", other)
    with pytest.raises(
        ValueError, match="source 'bank' must be those of source 'real', with the same categories, got an"
    ):
        MixedDataset([Source.real(data), Source.bank(bank)])
    wider = write_bank(tmp_path / "wider", unlabelled(breast_cancer().subset([0, 400])))
    with pytest.raises(ValueError, match=r"another at 0: 'mean radius' beside 'age'; read tables alike"):
        MixedDataset([Source.real(unlabelled(data)), Source.bank(wider)])


def unlabelled(data: TableDataset) -> TableDataset:
    return TableDataset(data.numeric, data.categorical, data.columns)


def test_merged_banks_are_one_table(tmp_path: Path) -> None:
    data = people()
    banks = [write_bank(tmp_path / str(number), data, generator=str(number)) for number in range(2)]
    both = merge([banks[0].drop([0], "bad"), banks[1]], tmp_path / "both")
    assert same(both.in_memory(), data.subset([1, 2, 3, 4, 0, 1, 2, 3, 4]))


def test_parquet_holds_the_original_values(tmp_path: Path) -> None:
    data = people()
    bank = write_bank(tmp_path / "bank", data).drop([3], "bad")
    path = export(bank, tmp_path / "out", "parquet", per_file=2)
    assert sorted(file.name for file in path.iterdir()) == ["_samples.csv", "part-00000.parquet", "part-00001.parquet"]
    found = pyarrow.parquet.read_table(path)
    assert found.to_pydict() == {name: [*values[:3], values[4]] for name, values in ROWS.items()}
    assert found.schema.remove_metadata() == data.schema
    manifest = json.loads(found.schema.metadata[b"torchaug"])["manifest"]
    assert manifest["made_by"][0]["config"] == {"seed": 4}
    with open(path / "_samples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["label"], row["generator"], row["group"]) for row in rows] == [
        ("0", "yes", "3f", "b"), ("1", "no", "3f", "a"), ("2", "no", "3f", "b"), ("4", "no", "3f", "a"),
    ]  # fmt: skip


def test_csv_holds_the_original_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bank(tmp_path / "bank", people())
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--bank", "bank", "--to", "csv", "--out", "out"]) == 0
    assert sorted(file.name for file in Path("out").iterdir()) == ["bank.json", "samples.csv", "table.csv"]
    with open("out/table.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == list(ROWS)
    assert rows == [
        ["31", "1234.5", "2024-05-31", "cook", "01234", "yes", "b"],
        ["", "0.1", "1969-05-31", "", "99999", "no", "a"],
        ["47", "", "", 'sm,it"h', "01234", "no", "b"],
        ["31", "99.25", "2024-05-31", "línea\n2", "00000", "yes", "b"],
        ["2", "1e-7", "2024-05-31", "cook", "99999", "no", "a"],
    ]
    assert same(read_table("out/table.csv", group="site"), people())


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@settings(max_examples=50)
@given(table=tables())
def test_a_table_that_was_written_is_read_as_it_was(tmp_path_factory: Any, ending: str, table: Any) -> None:
    made = read_table(table, label=None)
    path = tmp_path_factory.mktemp("tables") / f"x{ending}"
    refused = error_of_writing(made, path)
    if refused:
        texts = [text for name in ("text", "kind") for text in column(table, name)]
        odd = [text for text in texts if text is not None and is_odd(text)]
        assert (ending, bool(odd), path.exists()) == (".csv", True, False), refused
        return
    again = read_table_like(path, made)
    assert _equal(again.categorical, made.categorical)
    assert _equal(again.numeric, made.numeric)
    if ending == ".parquet":
        assert read_table(path, label=None).to_arrow().equals(made.to_arrow())


def is_odd(text: str) -> bool:
    """Whether CSV may not keep a text: spaces around it, nothing, NUL, or what begins as a number or a missing one."""
    return text.strip() != text or not text or text[0] in DIGITS or "\0" in text


def error_of_writing(data: TableDataset, path: Path) -> str:
    try:
        write_table(data, path)
    except ValueError as error:
        return str(error)
    return ""


def column(table: Any, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else []


def test_csv_holds_the_exact_value_of_a_float32(tmp_path: Path) -> None:
    data = read_table(pyarrow.table({"x": pyarrow.array([0.1, 70551008.0, 3.0], pyarrow.float32())}), label=None)
    assert _equal(read_table_like(write_table(data, tmp_path / "x.csv"), data).numeric, data.numeric)


def test_times_of_csv_count_in_the_other_tables_unit(tmp_path: Path) -> None:
    times = pyarrow.array([datetime.datetime(2024, 5, 31, 12)], pyarrow.timestamp("us"))
    data = read_table(pyarrow.table({"at": times}), label=None)
    (tmp_path / "x.csv").write_text("at\n2024-05-31 12:00:00\n")
    assert _equal(read_table_like(tmp_path / "x.csv", data).numeric, data.numeric)


MOMENTS = [datetime.datetime(2024, 12, 6), datetime.datetime(1900, 3, 1, 23, 59, 59), None]
ODD = [*MOMENTS, datetime.datetime(2024, 6, 6, 1, 2, 3, 450_000)]
ZONES = [None, "UTC", "Europe/Berlin", "+05:30"]


@pytest.mark.parametrize("moments", [MOMENTS, ODD])
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["numeric", "categorical", "label"])
def test_times_of_any_type_come_back_from_csv(tmp_path: Path, kind: str, unit: str, zone: str, moments: Any) -> None:
    times = pyarrow.array(moments, pyarrow.timestamp(unit)).cast(pyarrow.timestamp(unit, zone))
    rows = pyarrow.table({"at": times, "x": [0.5] * len(moments)})
    options: Any = {"label": {"label": "at"}, "categorical": {"label": None, "categorical": ["at"]}}.get(
        kind, {"label": None}
    )
    data = read_table(rows.filter(rows["at"].is_valid()) if kind == "label" else rows, **options)
    path = write_table(data, tmp_path / "x.csv")
    again = read_table_like(path, data)
    assert same(again, data)
    assert again.to_arrow().equals(data.to_arrow())
    if kind == "numeric":
        plain = read_table(path, label=None)
        assert plain.columns[0].kind == "numeric"
        assert plain.to_arrow()["at"].cast(times.type).to_pylist() == times.to_pylist()


def test_times_of_day_durations_and_early_years_come_back_from_csv(tmp_path: Path) -> None:
    rows = {
        "clock": pyarrow.array([datetime.time(8, 30), None, datetime.time(23, 59, 59, 5)], pyarrow.time64("ns")),
        "second": pyarrow.array([datetime.time(8, 30), None, datetime.time(23, 59, 59)], pyarrow.time32("s")),
        "span": pyarrow.array([5000, None, -7_000_000_000], pyarrow.duration("ns")),
        "day": pyarrow.array([datetime.date(1, 2, 3), None, datetime.date(9999, 1, 1)]),
    }
    data = read_table(pyarrow.table(rows), label=None)
    assert same(read_table_like(write_table(data, tmp_path / "x.csv"), data), data)


def test_csv_refuses_times_that_it_cannot_hold(tmp_path: Path) -> None:
    far = pyarrow.array([datetime.datetime(2024, 1, 1), None], pyarrow.timestamp("s"))
    data = read_table({"at": far, "x": [1.5, 2]}, label=None)
    numeric = data.numeric.clone()
    numeric[1, 0] = 10**12  # the year 33658
    with pytest.raises(ValueError, match=r"CSV would change values \(read_table_like: column 'at': .*write \.parquet"):
        write_table(data.with_rows(numeric, data.categorical), tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_times_that_the_other_table_cannot_hold_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("at\n2024-05-31 12:00:00\n2024-05-31 12:00:01\n")
    data = read_table(tmp_path / "x.csv", label=None)
    (tmp_path / "x.csv").write_text("at\n2024-05-31 12:00:00.5\n")
    with pytest.raises(ValueError, match=r"read_table_like: column 'at': expected times as timestamp\[s\] holds them"):
        read_table_like(tmp_path / "x.csv", data)


def test_banks_of_older_versions_spell_times_with_zeros(tmp_path: Path) -> None:
    times = pyarrow.array([DAY, DAY.replace(month=1), DAY]).cast(pyarrow.timestamp("ns"))
    data = read_table({"at": times, "x": [1.5, 2, 3], "label": times}, categorical=["at"])
    assert data.columns[1].categories == ("2024-01-31 00:00:00", "2024-05-31 00:00:00") == tuple(data.classes or ())
    attributes = json.loads(json.dumps(table_attributes(data)).replace(" 00:00:00", " 00:00:00.000000000"))
    old = make_table(attributes, data.numeric, data.categorical, data.labels)
    assert old.to_arrow().equals(data.to_arrow())
    assert same(read_table_like(data.to_arrow(), old), old)
    assert same(read_table_like(write_table(old, tmp_path / "x.csv"), old), old)


def test_one_column_with_missing_values_keeps_its_rows(tmp_path: Path) -> None:
    data = read_table({"x": [1.5, None, None, 2.25]}, label=None)
    assert read_table(write_table(data, tmp_path / "x.csv"), label=None).to_arrow().to_pydict() == {
        "x": [1.5, None, None, 2.25]
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["", "a", None], "CSV would change values"),
        (["1", "1.0", "2"], "column 'job'"),
        ([" 1", "2", "3"], "CSV would change values"),
        (["NA", "2", "3"], "column 'job'"),
    ],
)
def test_csv_refuses_texts_that_it_would_change(tmp_path: Path, values: list[str], words: str) -> None:
    data = read_table({"job": values, "x": [1.5, 2, 3]}, label=None)
    file = tmp_path / "x.csv"
    file.write_text("what was there")
    with pytest.raises(ValueError, match=words) as error:
        write_table(data, file)
    assert "write .parquet" in str(error.value)
    assert file.read_text() == "what was there"
    assert read_table(write_table(data, tmp_path / "x.parquet"), label=None).to_arrow().equals(data.to_arrow())


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a path ending in .csv or .parquet, got x.xls"):
        write_table(people(), "x.xls")
    blank = TableDataset(
        torch.ones(1, 1).double(), torch.zeros(1, 0).long(), people().columns[:1], torch.tensor([0]), [""]
    )
    with pytest.raises(ValueError, match=r"column 'label': CSV cannot tell '' from a missing value; write .parquet"):
        write_table(blank, tmp_path / "x.csv")
    with BankWriter(tmp_path / "plain", config={}, trained_on=None, generator="3f", classes=[]) as writer:
        writer.write(0, {"table": torch.zeros(2, 3)}, None, torch.arange(2))
    plain = Bank(tmp_path / "plain")
    with pytest.raises(
        ValueError, match=r"expected rows of a table, and attributes of table_attributes, .* attributes none"
    ):
        bank_table(plain)
    with pytest.raises(ValueError, match="expected rows of a table"):
        export(plain, tmp_path / "out", "csv")
    assert not (tmp_path / "out").exists()
    assert math.isclose(float(plain[0]["table"].sum()), 0)


def test_a_bank_without_rows_is_exported_as_nothing(tmp_path: Path) -> None:
    bank = write_bank(tmp_path / "bank", people()).drop([0, 1, 2, 3, 4], "bad")
    assert [file.name for file in export(bank, tmp_path / "out", "parquet").iterdir()] == ["_samples.csv"]
