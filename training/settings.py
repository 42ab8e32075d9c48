"""What a generator can be told besides what it is trained on: read from the signature of its class."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import numpy as np

_GIVEN = ("self", "classes", "steps", "augment", "seed")  # by the data, or by arguments of `fit`


def settings_of(kind: type) -> dict[str, Any]:
    """The settings of a generator's class that have a default, with their types; also those it passes to its parent.

    >>> class Small:
    ...     def __init__(self, classes: list[str], latent: int = 8, seed: int = 0) -> None: ...
    >>> settings_of(Small)
    {'latent': <class 'int'>}
    """
    found: dict[str, Any] = {}
    for each in kind.__mro__:
        if "__init__" not in vars(each):
            continue
        hints = get_type_hints(each.__init__)  # type: ignore[misc]
        parameters = inspect.signature(each.__init__).parameters  # type: ignore[misc]
        for name, parameter in parameters.items():
            if name not in _GIVEN and parameter.default is not parameter.empty and name in hints:
                found.setdefault(name, hints[name])
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return found


def plain(value: Any) -> Any:
    """Numbers, text and arrays of numpy as Python's own, those in dicts, lists and tuples too: a checkpoint with others is
    not read with `weights_only`. Anything else is as it was.

    >>> plain({"latent": np.int64(8), "classes": (np.str_("a"), None)}), plain(np.array([0.5]))
    ({'latent': 8, 'classes': ('a', None)}, [0.5])
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value
