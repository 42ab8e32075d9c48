"""Tables on the command line: how demo, fit and verify read them, and what they answer where they cannot."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from test_bank import fill
from test_cli import Capture, error_of

from torchaug.cli import main
from torchaug.data import Bank
from torchaug.training import table_study
from torchaug.training.load import load_generator

QUOTED, UTC = '"may,be"', timezone.utc


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., Any] = table_study.run_table_study

    def few(split: Any, **options: Any) -> Any:
        return original(split, **{**options, "steps": 2, "workers": 1, "seconds": None})

    monkeypatch.setattr(table_study, "run_table_study", few)


def rows(path: str, header: str, row: Callable[[int], str], count: int = 40) -> None:
    """A CSV."""
    Path(path).write_text(header + "\n" + "".join(f"{row(number)}\n" for number in range(count)))


@pytest.mark.usefixtures("_few_steps")
def test_a_demo_says_which_way_to_train_had_nothing_to_add(capsys: Capture) -> None:
    rows("frequent.csv", "size,label", lambda n: f"{n % 17},{'ab'[n % 3 == 0]}")
    assert main(["demo", "--modality", "table", "--data", "frequent.csv", "--seeds", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    words = "real + some synthetic added nothing here, and was trained on the real rows alone: rare rows are 0.54 times"
    assert words in said
    assert words in Path("demo/report.html").read_text()
    arms = json.loads(Path("demo/results.json").read_text())["arms"]
    assert arms["real + some synthetic"] == arms["real"]


@pytest.mark.usefixtures("_few_steps")
def test_the_command_that_a_demo_prints_reads_the_same_table(capsys: Capture) -> None:
    rows("odd.csv", '"ok, or not","a, ""b""",id,size', lambda n: f"{'xy'[n % 4 == 0]},{n % 3},A{n},{n % 17}")
    options = ["--label", "ok, or not", "--drop", 'id,"a, ""b"""']
    assert main(["demo", "--modality", "table", "--data", "odd.csv", "--seeds", "1", *options]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words[:3] == ["torchaug", "fit", "table"]
    assert main([*words[1:], "--steps", "1"]) == 0
    table = load_generator("generator/generator.ckpt").sample(2)
    assert ([column.name for column in table.columns], table.label) == (["size"], "ok, or not")


def test_a_demo_of_balanced_classes_is_refused_before_it_begins(capsys: Capture) -> None:
    rows("even.csv", "size,label", lambda n: f"{n / 7:.2f},{'ab'[n % 2]}")
    assert main(["demo", "--modality", "table", "--data", "even.csv"]) == 2
    assert "fewer rows of the rare classes (a) than of others to train on, got 10 and 10" in error_of(capsys)
    assert not Path("demo").exists()


def test_a_demo_finds_a_table_as_fit_does(capsys: Capture) -> None:
    rows("claims.csv", "size,verdict", lambda n: f"{n},{'ab'[n % 4 == 0]}")
    assert main(["demo", "--modality", "table", "--data", "claims.csv"]) == 2
    assert "demo: expected --label COLUMN of claims.csv (size, verdict), got none" in error_of(capsys)
    rows("even.csv", "path,text,size,label", lambda n: f"p{n % 3},t{n % 2},{n},{'ab'[n % 2]}")
    assert main(["demo", "--modality", "table", "--data", "even.csv"]) == 2
    assert "fewer rows of the rare classes (a)" in error_of(capsys)  # so it was read
    assert main(["demo", "--modality", "table", "--data", "even.csv", "--label", "none"]) == 2
    assert "expected a table with labels of two classes or more, got even.csv; see --label" in error_of(capsys)


def test_a_top_up_asks_for_the_label(capsys: Capture) -> None:
    rows("claims.csv", "size,verdict", lambda n: f"{n},{'ab'[n % 4 == 0]}")
    assert main(["fit", "table-vae", "--data", "claims.csv", "--label", "verdict", "--steps", "1"]) == 0
    top_up = ["synthesize", "--checkpoint", "generator/generator.ckpt", "--top-up", "sqrt", "--data", "claims.csv"]
    capsys.readouterr()
    assert main(top_up) == 2
    assert "synthesize: expected --label COLUMN of claims.csv (size, verdict), got none" in error_of(capsys)
    assert main([*top_up, "--label", "verdict"]) == 0


def test_a_table_is_verified_whatever_its_columns_are_called(capsys: Capture) -> None:
    rows("claims.csv", "id,size,verdict", lambda n: f"{n},{n / 7:.2f},{'ab'[n % 2]}")
    verify = ["verify", "--data", "claims.csv"]
    assert main(verify) == 2
    assert "expected --label COLUMN of claims.csv (id, size, verdict), or --label none, got" in error_of(capsys)
    for options in (["--label", "verdict"], ["--label", "none"], ["--label", "verdict", "--drop", "id"]):
        assert main([*verify, *options]) == 0
        assert "all of claims.csv can be read" in capsys.readouterr().out
    assert main([*verify, "--label", "verdict", "--drop", "it"]) == 2
    assert "expected a column 'it' for drop=" in error_of(capsys)
    assert main(["verify", "--data", "digits", "--label", "verdict"]) == 2
    assert "--label names a column of a table" in error_of(capsys)
    rows("texts.csv", "text,label", lambda n: f"t{n % 3},{'ab'[n % 2]}")
    assert main(["verify", "--data", "texts.csv"]) == 0
    fill(Path("bank"))
    assert main(["verify", "--data", "bank", "--label", "verdict"]) == 2
    assert "verify: --label is for tables, got it for the bank bank; leave it out" in error_of(capsys)


def test_a_table_that_was_exported_is_verified(capsys: Capture) -> None:
    rows("claims.csv", "size,verdict", lambda n: f"{n},{'ab'[n % 4 == 0]}")
    assert main(["fit", "table-vae", "--data", "claims.csv", "--label", "verdict", "--steps", "1"]) == 0
    assert main(["synthesize", "--checkpoint", "generator/generator.ckpt", "--per-class", "3"]) == 0
    assert main(["export", "--bank", "bank", "--to", "csv", "--out", "out"]) == 0
    assert main(["verify", "--data", "out/table.csv", "--label", "verdict"]) == 0


def test_a_class_with_a_comma_is_asked_for_in_quotes(capsys: Capture) -> None:
    rows("claims.csv", "size,label", lambda n: f"{n},{'ok' if n % 4 else QUOTED}")
    assert main(["fit", "table-vae", "--data", "claims.csv", "--steps", "1"]) == 0
    make = ["synthesize", "--checkpoint", "generator/generator.ckpt", "--counts"]
    capsys.readouterr()
    assert main([*make, "may,be=5"]) == 2
    assert "got 'may'; what has a comma itself stands in quotes, as in a CSV" in error_of(capsys)
    assert main([*make, '"may,be=5",ok=2']) == 0
    assert Bank("bank").counts() == {"may,be": 5, "ok": 2}
    assert main(["demo", "--modality", "table", "--data", "claims.csv", "--rare", f"{QUOTED},ok"]) == 2
    assert "some of the classes may,be, ok, got all of them" in error_of(capsys)  # so both were found


def test_bounds_are_written_as_the_column_is(capsys: Capture) -> None:
    days = [date(2024, 5, 1 + number % 28) for number in range(40)]
    moments = [datetime(2024, 5, 1, 8, number) for number in range(40)]
    columns = {
        "size, m": pyarrow.array([0.5 * number for number in range(40)]),
        "day": pyarrow.array(days),
        "at": pyarrow.array(moments, pyarrow.timestamp("ms")),
        "zoned": pyarrow.array([each.replace(tzinfo=UTC) for each in moments], pyarrow.timestamp("ms", "Asia/Tokyo")),
        "clock": pyarrow.array([time(number % 24, 15) for number in range(40)], pyarrow.time32("ms")),
        "label": ["a", "b"] * 20,
    }
    parquet.write_table(pyarrow.table(columns), "claims.parquet")
    fit = ["fit", "table", "--data", "claims.parquet", "--steps", "1", "--batch-size", "16", "--epsilon", "8"]
    ends = {
        "day": "2024-01-01:2024-12-31",
        "at": "2024-01-01:2024-05-02T08:30",
        "zoned": "2024-05-01T10:00+02:00:2024-05-01T09:00",
        "clock": "06:30:00:18:00:15",
    }
    text = ",".join(['"size, m=0:50"', *(f"{name}={end}" for name, end in ends.items())])
    assert main([*fit, "--bounds", text, "--print_config"]) == 0
    Path("x.yaml").write_text(capsys.readouterr().out)
    for options in (["--bounds", text], ["--config", "x.yaml", "--out", "other"]):
        assert main([*fit, *options]) == 0
    for folder in ("generator", "other"):
        found = {each.name: each for each in load_generator(f"{folder}/generator.ckpt").sample(2).columns}
        assert {name: (column.low, column.high) for name, column in found.items()} == {
            "size, m": (0.0, 50.0),
            "day": (19723.0, 20088.0),
            "at": tuple(
                1000 * each.replace(tzinfo=UTC).timestamp()
                for each in (datetime(2024, 1, 1), datetime(2024, 5, 2, 8, 30))
            ),
            "zoned": tuple(1000 * datetime(2024, 5, 1, hour, tzinfo=UTC).timestamp() for hour in (8, 9)),
            "clock": (23_400_000.0, 64_815_000.0),
        }
    capsys.readouterr()
    for name, end, words in (
        ("day", "5:10", "column 'day' must be dates, such as 2024-01-01:2024-12-31, got 5.0 and 10.0"),
        ("day", "2024-01-01T08:30:2024-01-02T08:30", "column 'day' must be dates"),
        ("day", "2024-02-30:2024-03-01", "column 'day' must be dates"),
        ("day", "2024-12-31:2024-01-01", "must be lower before upper, got 2024-12-31 and 2024-01-01"),
        ("at", "2024-01-01T08:30Z:2024-01-02T08:30Z", "column 'at' must be times, such as"),
        ("clock", "08:30:12:10:10", "--bounds: expected times that can be told apart, got 'clock=08:30:12:10:10'"),
        ("clock", "2024-01-01:12:00", "--bounds: expected COLUMN=LOW:HIGH"),
        ("size", "2024-01-01:2024-12-31", "column 'size, m' must be numbers, such as 0:120, got 2024-01-01"),
        ("size", "-inf:inf", "--bounds: expected finite bounds, known beforehand, got 'size, m=-inf:inf'"),
        ("size", "0:nan", "--bounds: expected finite bounds"),
    ):
        given = {"size": "0:50"} | ends | {name: end}
        text = ",".join(f'"size, m={given[each]}"' if each == "size" else f"{each}={given[each]}" for each in given)
        assert main([*fit, "--bounds", text, "--out", "third"]) == 2
        assert words in error_of(capsys)
    assert not Path("third").exists()


@pytest.mark.parametrize("ends", ["5", "[1]", "[1, 2, 3]", "[1, 2024-01-01]", "[.inf, 1]"])
def test_bounds_of_a_yaml_that_are_none_are_refused(ends: str, capsys: Capture) -> None:
    Path("x.yaml").write_text(f"bounds:\n  size: {ends}\n")
    assert main(["fit", "table", "--data", "wine", "--epsilon", "8", "--config", "x.yaml"]) == 2
    assert "--config: expected" in error_of(capsys)


def test_a_printed_configuration_keeps_names_that_look_like_numbers(capsys: Capture) -> None:
    names = ["1e3", "5", "1_0", "true", "2024-01-01", ".5", "a: b", "0x1F", "1:30", "null"]
    rows("odd.csv", ",".join([*names, "size"]), lambda n: ",".join([str(n % 3)] * len(names) + [str(n)]))
    fit = ["fit", "table-vae", "--data", "odd.csv", "--steps", "1"]
    for label, drop in (("1e3", names[1:]), ("5", names[:1] + names[2:])):
        assert main([*fit, "--label", label, "--drop", ",".join(drop), "--print_config"]) == 0
        Path("x.yaml").write_text(capsys.readouterr().out)
        assert main(["fit", "table-vae", "--config", "x.yaml", "--out", label]) == 0
        table = load_generator(f"{label}/generator.ckpt").sample(2)
        assert ([column.name for column in table.columns], table.label) == (["size"], label)
        capsys.readouterr()


def test_whole_numbers_of_a_yaml_name_columns(capsys: Capture) -> None:
    rows("odd.csv", "1,2,5,size", lambda n: f"{n},{n},{n % 2},{n}")
    for text in ("label: 5\ndrop: [1, 2]\n", "label: 5\ndrop: 1\ncategorical: 2\n"):
        Path("x.yaml").write_text(text)
        out = f"out{len(text)}"
        assert main(["fit", "table-vae", "--data", "odd.csv", "--steps", "1", "--config", "x.yaml", "--out", out]) == 0
        assert load_generator(f"{out}/generator.ckpt").sample(2).label == "5"
    capsys.readouterr()
    for text, got in (("label: 1e3", "1000.0"), ("drop: [true]", "True"), ("numeric: [2, 1.5]", "1.5")):
        Path("x.yaml").write_text(text)
        assert main(["fit", "table-vae", "--data", "odd.csv", "--config", "x.yaml"]) == 2
        assert f"expected the name of a column, got {got}; put it in quotes" in error_of(capsys)
