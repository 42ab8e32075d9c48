"""Decisions of a reviewer, and what they do to a bank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_bank import fill, shard

from torchaug.data import Bank, BankWriter, merge, read_decisions


def write(path: Path, of: Bank, /, **changes: Any) -> Path:
    """A file of decisions on a bank."""
    review = {
        "format": "torchaug-review",
        "version": 1,
        "bank": of.identity,
        "reviewer": "Ada",
        "date": "2026-01-31",
        "decisions": {"39": "reject", "0": "keep", "7": "unsure", "12": "reject"},
    }
    path.write_text(json.dumps(review | changes))
    return path


def test_rejected_samples_are_dropped_and_no_others(tmp_path: Path) -> None:
    fill(tmp_path / "bank")
    bank = Bank(tmp_path / "bank")
    file = write(tmp_path / "decisions.json", bank)
    less = bank.drop([12, 20], "blurred").drop_reviewed(file)
    assert less.rows.tolist() == [row for row in range(40) if row not in (12, 20, 39)]
    assert Bank(tmp_path / "bank").rows.tolist() == less.rows.tolist()
    assert less.drop_reviewed(file).rows.tolist() == less.rows.tolist()
    lines = [json.loads(line) for line in (tmp_path / "bank" / "dropped.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["blurred", "rejected by Ada, 2026-01-31"]
    assert read_decisions(file).decisions == {39: "reject", 0: "keep", 7: "unsure", 12: "reject"}


def test_rows_are_places_in_this_bank_and_not_in_a_plan(tmp_path: Path) -> None:
    fill(tmp_path / "bank")
    both = merge([Bank(tmp_path / "bank")] * 2, tmp_path / "both")
    less = both.drop_reviewed(write(tmp_path / "decisions.json", both, decisions={"41": "reject", "2": "keep"}))
    assert sorted({*range(80)} - {*less.rows.tolist()}) == [41]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "must hold .*torchaug-review.* got something else"),
        ({"version": 2}, "version 2, expected 1; update torchaug"),
        ({"bank": 3}, "got bank 3"),
        ({"reviewer": None}, "got reviewer None"),
        ({"decisions": ["1"]}, r"got decisions \['1'\]"),
        ({"decisions": {"1": "maybe"}}, "expected keep, reject, unsure for row 1 of .*, got 'maybe'"),
        ({"decisions": {"1": 1}}, "got 1; decide again"),
        ({"decisions": {"1": ["reject"]}}, r"got \['reject'\]"),
        ({"decisions": {"01": "keep"}}, "whole numbers from 0, got '01'"),
        ({"decisions": {"-1": "keep"}}, "whole numbers from 0, got '-1'"),
        ({"decisions": {"²": "keep"}}, "whole numbers from 0, got '²'"),
        ({"decisions": {"40": "keep"}}, r"rows must be in \[0, 40\), got 40"),
        ({"bank": "ab"}, "expected decisions on the bank .*, got some on ab"),
    ],
)
def test_decisions_that_do_not_fit_drop_nothing(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    fill(tmp_path / "bank")
    bank = Bank(tmp_path / "bank")
    with pytest.raises(ValueError, match=words):
        bank.drop_reviewed(write(tmp_path / "decisions.json", bank, **changes))
    assert not (tmp_path / "bank" / "dropped.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "must be JSON"),
        ("[]", "got something else"),
        ("\xff", "must be JSON"),
        ('{"format": "torchaug-review", "decisions": {"1": "keep", "1": "reject"}}', "every name once, got '1' twice"),
        ('{"bank": "a", "bank": "b"}', "got 'bank' twice"),
    ],
)
def test_a_file_that_is_no_decisions_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "decisions.json").write_text(text, encoding="latin1")
    with pytest.raises(ValueError, match=words):
        read_decisions(tmp_path / "decisions.json")
    with pytest.raises(FileNotFoundError, match="expected a file of decisions at"):
        read_decisions(tmp_path / "none.json")


def test_decisions_on_a_bank_that_was_added_to_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "bank", shards=2)
    file = write(tmp_path / "decisions.json", Bank(tmp_path / "bank"), decisions={"1": "reject"})
    BankWriter.open(tmp_path / "bank").append(*shard(2))
    with pytest.raises(ValueError, match="added to since; review this one"):
        Bank(tmp_path / "bank").drop_reviewed(file)
