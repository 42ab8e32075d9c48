"""--bounds: the ends of columns, from text to the numbers that a table holds."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timezone
from functools import partial
from typing import Any

from torchaug.cli.values import assigned

End = float | str
"""A number, or a date or time as ISO 8601 writes it."""
EXPECTED = "COLUMN=LOW:HIGH with commas between, such as age=0:120,day=2024-01-01:2024-12-31"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
_DAY = rf"\d{{4}}-\d\d-\d\d([T ]{_CLOCK}(Z|[+-]\d\d:\d\d)?)?"


def bounds(value: Any) -> Any:
    """COLUMN=LOW:HIGH with commas between, or what a YAML has: {COLUMN: (LOW, HIGH)}."""
    if isinstance(value, str):
        return {name: _parted(name, ends) for name, ends in assigned(value, EXPECTED)}
    if not isinstance(value, Mapping):
        return value
    return {str(name): _pair(str(name), ends) for name, ends in value.items()}


def in_numbers(bounds: Mapping[str, tuple[End, End]], data: Any) -> dict[str, tuple[Any, Any]]:
    """Bounds as the columns of a table hold them: of dates and times the count of their unit."""
    types = getattr(data, "types", {})  # of tables
    numeric = [column.name for column in getattr(data, "columns", ()) if column.kind == "numeric"]
    return {name: _held(name, ends, types.get(name)) if name in numeric else ends for name, ends in bounds.items()}


def _parted(name: str, text: str) -> tuple[End, End]:
    """LOW and HIGH, which may hold the sign between them in times: the one place that leaves two ends of a kind."""
    halves = [(text[:place], text[place + 1 :]) for place, letter in enumerate(text) if letter == ":"]
    found = [half for half in halves if (kind := _kind(half[0])) and kind == _kind(half[1])]
    if len(found) > 1:
        raise argparse.ArgumentTypeError(
            f"expected times that can be told apart, got {f'{name}={text}'!r}; write both to the second, as 08:30:00:12:10:10"
        )
    if not found:
        raise argparse.ArgumentTypeError(f"expected {EXPECTED}, got {f'{name}={text}'!r}")
    return _pair(name, found[0])


def _pair(name: str, ends: Any) -> tuple[End, End]:
    """Two ends of a kind, numbers finite and texts as ISO writes dates and times."""
    texts = [str(end) for end in ends] if isinstance(ends, (list, tuple)) else []
    kinds = {_kind(text) for text in texts}
    if len(texts) != 2 or len(kinds) != 1 or not all(kinds):
        raise argparse.ArgumentTypeError(f"expected two numbers, dates or times as bounds of {name!r}, got {ends!r}")
    low, high = (float(text) if kinds == {"number"} else text for text in texts)
    if not all(isinstance(end, str) or math.isfinite(end) for end in (low, high)):
        raise argparse.ArgumentTypeError(
            f"expected finite bounds, known beforehand, got {f'{name}={low}:{high}'!r}; noise is as wide as they are apart"
        )
    return low, high


def _kind(text: str) -> str:
    """ "number", "day", "clock", or nothing where it is none of these."""
    try:
        float(text)
    except ValueError:
        return "day" if re.fullmatch(_DAY, text) else "clock" if re.fullmatch(_CLOCK, text) else ""
    return "number"


def _held(name: str, ends: tuple[End, End], kind: Any) -> tuple[float, float]:
    """Ends as a column of an Arrow type holds them."""
    from torchaug.data.arrow import library, to_numbers

    read, such = _reader(kind)
    try:
        found = [read(str(end)) for end in ends]
        if read is not float:
            found = to_numbers(library().chunked_array([library().array(found, kind)])).tolist()
    except (ValueError, TypeError) as error:
        raise ValueError(f"fit: --bounds of column {name!r} must be {such}, got {ends[0]} and {ends[1]}") from error
    if found[0] >= found[1]:
        raise ValueError(f"fit: --bounds of column {name!r} must be lower before upper, got {ends[0]} and {ends[1]}")
    return found[0], found[1]


def _reader(kind: Any) -> tuple[Callable[[str], Any], str]:
    """What reads an end of a column of an Arrow type, None where it has none, and what such ends are."""
    from torchaug.data.arrow import library

    types = library().types
    if kind is not None and types.is_date(kind):
        return date.fromisoformat, "dates, such as 2024-01-01:2024-12-31"
    if kind is not None and types.is_timestamp(kind):
        return partial(_moment, zone=kind.tz), "times, such as 2024-01-01T08:30:2024-01-31T17:00"
    if kind is not None and types.is_time(kind):
        return time.fromisoformat, "times of day, such as 08:30:17:00"
    return float, "numbers, such as 0:120"


def _moment(text: str, zone: str | None) -> datetime:
    """A time, in UTC where a column that has a zone is asked for without one."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.tzinfo is not None and zone is None:
        raise ValueError(f"expected a time without a zone, as in the column, got {text}")
    return found.replace(tzinfo=found.tzinfo or timezone.utc) if zone is not None else found
