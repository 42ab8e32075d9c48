"""Tables on the command line: how demo, fit and verify read them, and what they answer where they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
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
