"""What must be as it was in a training that goes on: the result would be of neither otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def unchanged(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to go on where what is asked for now differs from what a checkpoint says.

    Args:
        what: who asks, and the checkpoint, for the message.
        before: what it says.
        now: what is asked for; each name is one of `before`.

    Raises:
        ValueError: with the first name whose values differ.

    >>> unchanged("fit: a.ckpt", {"seed": 1, "latent": (2, 3)}, {"latent": [2, 3]})
    """
    for name, value in now.items():
        if _plain(before[name]) != _plain(value):
            raise ValueError(
                f"{what} was trained with {name} {before[name]}, and {value} was asked for; resume with what it was "
                "trained with, or train into another folder"
            )


def _plain(value: Any) -> str:
    """A value as text that equal ones share: a list is as good as a tuple, and NaN is itself."""
    return json.dumps(value, sort_keys=True, default=repr)
