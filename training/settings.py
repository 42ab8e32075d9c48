"""What a generator can be told besides what it is trained on: read from the signature of its class, and within which bounds."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, get_type_hints

import numpy as np

from torchaug.image.arguments import number, whole

_GIVEN = ("self", "classes", "steps", "augment", "seed")  # by the data, or by arguments of `fit`
_LEAST = {
    "steps": 1,
    "latent": 1,
    "width": 1,
    "blocks": 1,
    "sampling_steps": 1,
    "components": 1,
    "draws": 1,
    "codes": 2,  # of one code nothing can be told
    "code_size": 1,
    "lazy": 1,
    "accumulate": 1,
}
"""Of whole numbers."""
_ABOVE = ("learning_rate", "half_life", "temperature", "adaptive_kimg")
"""Numbers above 0."""
_AT_LEAST = {"beta": math.inf, "free_nats": math.inf, "mmd_weight": math.inf, "gamma": math.inf, "pooling": math.inf}
_AT_LEAST |= {"novelty": math.inf, "given_share": 1.0, "augment_p": 1.0}
"""Numbers of at least 0, and what they may be at most."""
_BY_DEFAULT = ("latent", "gamma", "pooling")
"""None is what suits the data, where a class has None for them."""


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


def check_ranges(who: str, settings: Mapping[str, Any]) -> None:
    """Refuses settings that cannot be, of those that several kinds have by the same names.

    >>> check_ranges("LitTableVAE", {"width": 64, "given_share": 0.5})
    >>> check_ranges("LitTableVAE", {"width": 64, "given_share": 2})
    Traceback (most recent call last):
    ValueError: LitTableVAE: given_share must be a number in [0, 1], got 2
    """
    for name, value in settings.items():
        if value is None and name in _BY_DEFAULT:
            continue
        if name in _LEAST:
            whole(value, who, name, _LEAST[name])
        elif name in _ABOVE:
            number(value, who, name, 0, above=True)
        elif name in _AT_LEAST:
            number(value, who, name, 0, _AT_LEAST[name])


def plain(value: Any) -> Any:
    """Numbers, text and arrays of numpy as Python's own, those in dicts, lists and tuples too: a checkpoint with others is
    not read with `weights_only`, and JSON has none. Anything else is as it was.

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
