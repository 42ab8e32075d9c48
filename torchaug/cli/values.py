"""How the text of arguments becomes values."""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def _from_text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A type for the parser, which also calls it on numbers of a YAML, and on what it returned before."""
    return lambda value: parse(str(value)) if isinstance(value, (str, int, float)) else value


def whole(low: int) -> Callable[[Any], Any]:
    """A whole number of at least `low`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {low}, got {text!r}")
        return int(text)

    return _from_text(parse)


@_from_text
def part(text: str) -> tuple[int, int]:
    """R/W, part R of W."""
    rank, slash, world_size = text.partition("/")
    if not (slash and rank.isdecimal() and world_size.isdecimal() and int(rank) < int(world_size)):
        raise argparse.ArgumentTypeError(f"expected R/W, part R from 0 to W - 1, such as 0/4, got {text!r}")
    return int(rank), int(world_size)


@_from_text
def wholes(text: str) -> list[int]:
    """Whole numbers with commas between."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"expected whole numbers with commas between, such as 0,2,4, got {text!r}")
    return [int(part) for part in parts]


def _positive(what: str) -> Callable[[Any], Any]:
    """A number above 0."""

    def parse(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = 0.0
        if not 0 < found < float("inf"):
            raise argparse.ArgumentTypeError(f"expected {what} above 0, got {text!r}")
        return found

    return _from_text(parse)


minutes, seconds, positive = map(_positive, ("a number of minutes", "a number of seconds", "a number"))


@_from_text
def share(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, got {text!r}")
    return found


def sides(low: int, high: float = float("inf")) -> Callable[[Any], Any]:
    """Pixels, from `low` to `high`: one number, or height x width."""

    def parse(text: str) -> tuple[int, int]:
        height, times, width = text.partition("x")
        found = (height, width if times else height)
        if not all(side.isdecimal() and low <= int(side) <= high for side in found):
            within = f" from {low} to {high}" if high < float("inf") else ""
            raise argparse.ArgumentTypeError(
                f"expected pixels{within} such as 32, or 32x48 for height x width, got {text!r}"
            )
        return int(found[0]), int(found[1])

    return _from_text(parse)


size = sides(1)


@_from_text
def names(text: str) -> list[str]:
    """Names of classes with commas between; one that has a comma itself stands in quotes, as in a CSV."""
    names = [name.strip() for name in _split(text)]
    if not names or not all(names):
        raise argparse.ArgumentTypeError(f"expected class names with commas between, got {text!r}")
    return names


@_from_text
def counts(text: str) -> dict[str, int] | int:
    """CLASS=N with commas between, or a number alone; what has a comma itself stands in quotes, as in a CSV."""
    if text.strip().isdecimal() and int(text) > 0:
        return int(text)
    found = {}
    for name, number in assigned(text, "CLASS=N with commas between, such as 3=100,7=100"):
        if not number.isdecimal():
            raise argparse.ArgumentTypeError(
                f"expected CLASS=N with commas between, such as 3=100,7=100, got {f'{name}={number}'!r}"
            )
        found[name] = int(number)
    return found


@_from_text
def pairs(text: str) -> dict[str, Any]:
    """NAME=VALUE with commas between; numbers, true and false as what they are."""
    return {name: _value(value) for name, value in assigned(text, "NAME=VALUE with commas between")}


@_from_text
def fields(text: str) -> list[str]:
    """Fields with commas between; one that has a comma itself stands in quotes, as in a CSV."""
    return _split(text, spaces=True)


def column(value: Any) -> str:
    """The name of a column; in a YAML also a whole number."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise argparse.ArgumentTypeError(f"expected the name of a column, got {value!r}; put it in quotes")
    return str(value)


def columns(value: Any) -> list[str]:
    """Names of columns with commas between; one that has a comma itself stands in quotes, as in a CSV. A YAML has a list."""
    found = [column(each) for each in value] if isinstance(value, list) else _split(column(value), spaces=True)
    if not found or not all(found):
        raise argparse.ArgumentTypeError(f"expected names of columns with commas between, got {value!r}")
    return found


def of_columns(fields: Sequence[str], columns: Sequence[str]) -> dict[str, str | None]:
    """COLUMN=VALUE of each field as text, None where nothing follows the sign; a column's name may have a sign itself.

    >>> of_columns(["age=7", "a=b=c=d", "job="], ["age", "a=b", "job"])
    {'age': '7', 'a=b': 'c=d', 'job': None}
    """
    found: dict[str, str | None] = {}
    for field in fields:
        names = [field[:place] for place, letter in enumerate(field) if letter == "=" and field[:place] in columns]
        if not names:
            raise ValueError(f"expected COLUMN=VALUE of the columns {', '.join(columns)}, got {field!r}")
        if names[0] in found:
            raise ValueError(f"expected each column once, got {names[0]!r} twice")
        found[names[0]] = field[len(names[0]) + 1 :] or None
    return found


def assigned(text: str, expected: str) -> Iterator[tuple[str, str]]:
    """NAME=VALUE with commas between, each name once; one that has a comma itself stands in quotes, as in a CSV.

    >>> list(assigned('ok=3, "may,be=5"', "CLASS=N"))
    [('ok', '3'), ('may,be', '5')]
    """
    seen = set()
    for part in _split(text) or [""]:
        name, sign, value = (piece.strip() for piece in part.rpartition("="))
        if not (sign and name and value):
            hint = "; what has a comma itself stands in quotes, as in a CSV" if "," in text else ""
            raise argparse.ArgumentTypeError(f"expected {expected}, got {part!r}{hint}")
        if name in seen:
            raise argparse.ArgumentTypeError(f"expected {expected}, each name once, got {name!r} twice")
        seen.add(name)
        yield name, value


def _split(text: str, *, spaces: bool = False) -> list[str]:
    """Fields of a line of a CSV; with `spaces` those after a comma count."""
    try:
        (found,) = csv.reader([text], skipinitialspace=not spaces)
    except csv.Error as error:
        raise argparse.ArgumentTypeError(f"expected what a line of a CSV holds, got {text!r}: {error}") from None
    return found


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text
