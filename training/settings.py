"""What a generator can be told besides what it is trained on: read from the signature of its class."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

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
