"""Decisions on the samples of a bank that a person looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 1
VERDICTS = ("keep", "reject", "unsure")
FORM = (
    '{"format": "torchaug-review", "version": 1, "bank": identity, "reviewer": name, "date": day, '
    '"decisions": {row: "keep", "reject" or "unsure"}}'
)


@dataclass(frozen=True)
class Review:
    """What a reviewer decided.

    Args:
        bank: `Bank.identity` of the bank that was looked at.
        reviewer: who looked.
        date: when.
        decisions: "keep", "reject" or "unsure" for each `Bank.rows` that was looked at.

    >>> Review("af12", "Ada", "2026-01-31", {4: "reject", 7: "keep", 1: "reject"}).rows("reject")
    [1, 4]
    """

    bank: str
    reviewer: str
    date: str
    decisions: dict[int, str]

    def rows(self, verdict: str) -> list[int]:
        """The rows with that verdict, in order."""
        return sorted(row for row, given in self.decisions.items() if given == verdict)

    def check(self, bank: str, rows: int) -> None:
        """Refuse a bank of another identity, or of fewer rows than were looked at."""
        if self.bank != bank:
            raise ValueError(
                f"Review: expected decisions on the bank {bank}, got some on {self.bank}: another one, or one that was "
                "added to since; review this one"
            )
        last = max(self.decisions, default=-1)
        if last >= rows:
            raise ValueError(f"Review: rows must be in [0, {rows}), got {last}; the decisions were changed")


def read_decisions(path: str | Path) -> Review:
    """The decisions in a JSON file.

    The file holds `{"format": "torchaug-review", "version": 1, "bank": identity, "reviewer": name, "date": day,
    "decisions": {row: verdict}}`, with a verdict of "keep", "reject" or "unsure" for each row (`Bank.rows`) that was looked
    at. Other entries are left alone.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another format, a newer version, an unknown verdict, a row that is no number, or one given twice.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "decisions.json"
    >>> head = '{"format": "torchaug-review", "version": 1, "bank": "af12", "reviewer": "Ada", "date": "2026-01-31", '
    >>> _ = file.write_text(head + '"decisions": {"4": "reject", "7": "keep"}}')
    >>> read_decisions(file).decisions
    {4: 'reject', 7: 'keep'}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_decisions: expected a file of decisions at {path}, got none")
    try:
        found = json.loads(path.read_bytes(), object_pairs_hook=_once)
    except ValueError as error:
        raise ValueError(f"read_decisions: {path} must be JSON, {FORM}: {error}") from error
    if not isinstance(found, dict) or found.get("format") != "torchaug-review":
        raise ValueError(f"read_decisions: {path} must hold {FORM}, got something else")
    if found.get("version") != VERSION:
        raise ValueError(
            f"read_decisions: {path} has version {found.get('version')}, expected {VERSION}; update torchaug"
        )
    for name, kind in (("bank", str), ("reviewer", str), ("date", str), ("decisions", dict)):
        if not isinstance(found.get(name), kind):
            raise ValueError(f"read_decisions: {path} must hold {FORM}, got {name} {found.get(name)!r}")  # noqa: TRY004
    decisions = {_row(row, path): _verdict(verdict, row, path) for row, verdict in found["decisions"].items()}
    return Review(found["bank"], found["reviewer"], found["date"], decisions)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; one name with two values could mean either."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"expected every name once, got {twice!r} twice")
    return found


def _row(text: str, path: Path) -> int:
    if not (text.isascii() and text.isdecimal() and str(int(text)) == text):
        raise ValueError(f"read_decisions: rows in {path} must be whole numbers from 0, got {text!r}")
    return int(text)


def _verdict(verdict: Any, row: str, path: Path) -> str:
    if verdict not in VERDICTS:
        raise ValueError(
            f"read_decisions: expected {', '.join(VERDICTS)} for row {row} of {path}, got {verdict!r}; decide again"
        )
    return str(verdict)
