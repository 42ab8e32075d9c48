"""What a transform was made with: constructor arguments, read back from the attributes of the same names."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def constructor_arguments(layer: Any) -> dict[str, Any]:
    """The arguments that differ from their defaults, as the object holds them: `type(layer)(**arguments)` is its equal.

    Constructors bring arguments into one form (a number becomes a range): whether one is at its default is told from an
    object made with the defaults.

    Raises:
        TypeError: where the object keeps no attribute of an argument's name.

    >>> class Blur:
    ...     def __init__(self, size, sigma=1.0, edge="reflect"):
    ...         self.size, self.sigma, self.edge = size, (sigma, sigma) if isinstance(sigma, float) else sigma, edge
    >>> constructor_arguments(Blur(3, edge="zeros"))
    {'size': 3, 'edge': 'zeros'}
    """
    held, missing = _held(layer)
    if missing:
        raise TypeError(
            f"{type(layer).__name__}: expected its constructor's arguments as attributes of the same names, got none for "
            f"{', '.join(missing)}; keep each one in __init__"
        )
    return held


def arguments_text(layer: Any) -> str:
    """The arguments as in a call, for a repr: "size=(224, 224), p=0.1"; those that were not kept are left out."""
    return ", ".join(f"{name}={_text(value)}" for name, value in _held(layer)[0].items())


def _held(layer: Any) -> tuple[dict[str, Any], list[str]]:
    """Arguments that are not at their defaults, and the names of those that the object does not hold."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [p for p in inspect.signature(type(layer)).parameters.values() if p.kind not in kinds]
    missing = [p.name for p in parameters if not hasattr(layer, p.name)]
    held = {p.name: getattr(layer, p.name) for p in parameters if hasattr(layer, p.name)}
    required = {p.name: held[p.name] for p in parameters if p.default is p.empty and p.name in held}
    usual = _made(type(layer), required)
    optional = {p.name: p.default for p in parameters if p.default is not p.empty and p.name in held}
    for name, default in optional.items():
        if same(held[name], default) or (usual is not None and same(held[name], getattr(usual, name))):
            del held[name]
    return held, missing


def _made(kind: type, required: dict[str, Any]) -> Any:
    """An object with the required arguments alone; None where they cannot stand alone."""
    try:
        return kind(**required)
    except (TypeError, ValueError):
        return None


def same(a: Any, b: Any) -> bool:
    """Whether two arguments are equal: tensors by their values, lists and tuples alike by their items."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        alike = isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype == b.dtype and a.device == b.device
        return a is b or (alike and bool(torch.equal(a, b)))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def _text(value: Any) -> str:
    if isinstance(value, Tensor):
        return repr(value.item()) if value.ndim == 0 else f"<tensor {tuple(value.shape)}>"
    if isinstance(value, Sequence) and not isinstance(value, str):
        opening, closing = ("(", ")") if isinstance(value, tuple) else ("[", "]")
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return opening + ", ".join(map(_text, value)) + comma + closing
    return repr(value)
