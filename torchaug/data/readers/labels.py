"""From labels as people write them, names or numbers, to class numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchaug.data.readers.rows import some

MOST = 1_000_000  # above it a number is no place among classes, but a name
SPARSE = 1000  # and from it on where fewer than a tenth of the numbers below are there


def class_numbers(
    values: Sequence[Any], who: str, what: str, at: Callable[[int], str], classes: Sequence[str] | None = None
) -> tuple[Tensor, list[str]]:
    """Class numbers, and the names of the classes.

    Without `classes`, whole numbers are class numbers as they are, "0" up to the largest, and names are classes in
    sorted order. -1 and 1, and whole numbers of 1000 and more with gaps nearly everywhere, such as years, are names too,
    sorted as numbers. With `classes`, values are looked up among those names; if they are not all there, they must be whole
    numbers below `len(classes)`.

    Args:
        values: text or numbers; None or "" is missing, and an error.
        who: for messages.
        what: what they are, as "label".
        at: where the value of an index came from, for messages.
        classes: names of the classes in order.

    Returns:
        (N,) int64 class numbers, and a name for each class.

    >>> class_numbers(["dog", "cat", "dog"], "here", "label", str)
    (tensor([1, 0, 1]), ['cat', 'dog'])
    >>> class_numbers(["2", "0"], "here", "label", str)
    (tensor([2, 0]), ['0', '1', '2'])
    >>> class_numbers(["1", "-1"], "here", "label", str)
    (tensor([1, 0]), ['-1', '1'])
    """
    missing = [index for index, value in enumerate(values) if value is None or value == ""]
    if missing:
        raise ValueError(f"{who}: expected a {what} for every item, got none in {some(map(at, missing))}")
    numbers = [_number(value) for value in values]
    names = [str(value) for value in values]
    if classes is not None:
        return _among(names, numbers, list(classes), who, what, at), list(classes)
    if any(number is None for number in numbers) or not values:
        found = sorted(set(names))
        return _places(names, found), found
    whole = torch.tensor(numbers, dtype=torch.float64)
    different, highest = whole.unique().tolist(), int(whole.max())
    signs = different == [-1, 1]
    bad = ((whole < (-1 if signs else 0)) | (whole % 1 != 0)).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"{who}: a {what} must be a name, a whole number from 0, or one of -1 and 1, got {names[bad[0]]!r} in "
            f"{at(bad[0])}"
        )
    if signs or (highest >= SPARSE and len(different) < highest / 10):
        found = [str(int(number)) for number in different]
        return _places([str(int(number)) for number in whole.tolist()], found), found
    return whole.long(), [str(number) for number in range(highest + 1)]


def _places(names: Sequence[str], classes: Sequence[str]) -> Tensor:
    """The place of each name among the classes, (N,) int64."""
    places = {name: number for number, name in enumerate(classes)}
    return torch.tensor([places[name] for name in names], dtype=torch.int64)


def _among(
    names: list[str],
    numbers: list[float | None],
    classes: list[str],
    who: str,
    what: str,
    at: Callable[[int], str],
) -> Tensor:
    places = {name: number for number, name in enumerate(classes)}
    if len(places) < len(classes):
        raise ValueError(f"{who}: classes must differ, got {some(map(repr, classes))}")
    unknown = [index for index, name in enumerate(names) if name not in places]
    if not unknown:
        return _places(names, classes)
    bad = [index for index, number in enumerate(numbers) if number not in range(len(classes))]
    if not bad:
        return torch.tensor(numbers).long()
    bad = [index for index in bad if names[index] not in places] or unknown
    raise ValueError(
        f"{who}: a {what} must be one of {some(map(repr, classes))}, or its number, got {names[bad[0]]!r} in "
        f"{some(map(at, bad))}"
    )


def _number(value: Any) -> float | None:
    """A number, or text that is one; text with a leading 0, and what no count of classes reaches, is a name."""
    if isinstance(value, bool):
        return None  # False and True are names
    if isinstance(value, str) and not re.fullmatch(r"-?(0|[1-9][0-9]*)([.][0-9]+)?", value):
        return None
    number = float(value)
    return number if math.isfinite(number) and abs(number) < MOST else None
