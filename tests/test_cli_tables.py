"""Tables on the command line: how demo, fit and verify read them, and what they answer where they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_bank import fill
from test_cli import Capture, error_of

from torchaug.cli import main
from torchaug.training import table_study


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
