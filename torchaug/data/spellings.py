"""One value, as different programs spell it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?")
_TRUTH = {"true", "false"}


def places_of(values: Sequence[str | None], names: Sequence[str | None]) -> list[int | None]:
    """The place of each value among names that differ, None where it is not there.

    Where a name is not spelled as the value is, one that means the same counts: of truth values True is true, and of times
    zeros behind the point, "T" and a colon in an offset make no difference.

    >>> places_of(["False", "True"], ["false", "true"])
    [0, 1]
    >>> places_of(["2024-05-31 00:00:00", "noon"], ["2024-05-31 00:00:00.000000000"])
    [0, None]
    """
    places = {name: place for place, name in enumerate(names)}
    are_true = {str(name).lower() for name in names if name is not None} <= _TRUTH
    meanings = [_meaning(name, are_true) for name in names]
    often = Counter(meanings)
    alike = {meaning: place for place, meaning in enumerate(meanings) if often[meaning] == 1}
    return [places[value] if value in places else alike.get(_meaning(value, are_true)) for value in values]


def _meaning(text: str | None, is_truth: bool) -> str | None:
    if text is None:
        return None
    if is_truth and str(text).lower() in _TRUTH:
        return str(text).lower()
    if not (time := _TIME.fullmatch(str(text))):
        return text
    day, clock, fraction, zone = (part or "" for part in time.groups())
    return f"{day} {clock}.{fraction.rstrip('0')}{zone.replace(':', '').replace('Z', '+0000')}"
