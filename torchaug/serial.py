"""Transforms as plain dicts, JSON and YAML, and back: what `Compose([...])` says in Python, in a file.

    version: 1
    transform: Compose
    transforms:
    - {transform: RandomResizedCrop, size: [224, 224]}
    - {transform: RandomHorizontalFlip}

Only arguments that differ from their defaults are written. Names stand for the public transforms of torchaug; a file never
makes Python import anything. Whether an object was in evaluation mode or compiled is not part of it.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from torchaug.signature import constructor_arguments
from torchaug.transform import Layer

VERSION = 1
"""Of the form of the document; one of a later form is refused."""

Names = Mapping[str, type[Layer]]


@runtime_checkable
class Written(Protocol):
    """An argument that a file cannot hold, but may hold what it was made of."""

    def written(self) -> Any:
        """What the constructor takes in its place; None where there is no such thing."""


def to_dict(layer: Layer, extra: Names | None = None) -> dict[str, Any]:
    """A transform, or a container of them, as a dict of plain values.

    Args:
        layer: of torchaug's transforms.
        extra: your own transforms by the names to give them; `from_dict` needs the same.

    Raises:
        TypeError: for a function or a tensor among the arguments (`Lambda`, `PerSample`), or an unknown transform; the
            message has the place in the document.

    >>> from torchaug import Compose
    >>> from torchaug.image import Normalize, RandomHorizontalFlip
    >>> to_dict(Compose([RandomHorizontalFlip(p=0.25), Normalize([0.5], [0.2])]))["transforms"]
    [{'transform': 'RandomHorizontalFlip', 'p': 0.25}, {'transform': 'Normalize', 'mean': [0.5], 'std': [0.2]}]
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"to_dict: layer must be a transform of torchaug, got {type(layer).__name__}")
    return {"version": VERSION} | _plain_layer(layer, "layer", _names(extra))


def from_dict(document: Mapping[str, Any], extra: Names | None = None) -> Layer:
    """The transform that a dict of `to_dict` describes.

    Args:
        document: as `to_dict` makes it, or written by hand.
        extra: your own transforms by their names in the document.

    Raises:
        TypeError: for a document that is no mapping.
        ValueError: for an unknown name or argument, or values that a transform refuses; the message has the place in the
            document.

    >>> from_dict({"version": 1, "transform": "RandomRotation", "degrees": 30}).degrees
    (-30.0, 30.0)
    """
    if not isinstance(document, Mapping):
        raise TypeError(f"from_dict: document must be a mapping with 'transform', got {type(document).__name__}")
    version = document.get("version", VERSION)
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ValueError(
            f"from_dict: version must be from 1 to {VERSION}, got {version!r}; a later torchaug may read it"
        )
    return _layer({key: value for key, value in document.items() if key != "version"}, "layer", _names(extra))


def to_json(layer: Layer, extra: Names | None = None) -> str:
    """`to_dict` as JSON text.

    >>> from torchaug.image import RandomVerticalFlip
    >>> print(to_json(RandomVerticalFlip()))
    {
      "version": 1,
      "transform": "RandomVerticalFlip"
    }
    """
    return json.dumps(to_dict(layer, extra), indent=2)


def from_json(text: str, extra: Names | None = None) -> Layer:
    """The transform that a JSON text describes; see `from_dict`."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"from_json: expected JSON, got {error}") from error
    return from_dict(document, extra)


def to_yaml(layer: Layer, extra: Names | None = None) -> str:
    """`to_dict` as YAML text.

    >>> from torchaug.image import RandomVerticalFlip
    >>> print(to_yaml(RandomVerticalFlip(p=0.1)), end="")
    {version: 1, transform: RandomVerticalFlip, p: 0.1}
    """
    import yaml

    text: str = yaml.safe_dump(to_dict(layer, extra), sort_keys=False, default_flow_style=None, width=120)
    return text


def from_yaml(text: str, extra: Names | None = None) -> Layer:
    """The transform that a YAML text describes; see `from_dict`."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"from_yaml: expected YAML, got {error}") from error
    return from_dict(document, extra)


def _names(extra: Names | None) -> dict[str, type[Layer]]:
    """The transforms by name: public ones, those of volumes, tables and sounds as "volume.Name", "tabular.Name" and "audio.Name"
    where an image's has the name, and `extra`.
    """
    names: dict[str, type[Layer]] = {}
    for module in ("torchaug", "torchaug.image", "torchaug.volume", "torchaug.tabular", "torchaug.audio"):
        if find_spec(module) is None:
            continue
        exports = import_module(module)
        for name in getattr(exports, "__all__", ()):
            kind = getattr(exports, name)
            if inspect.isclass(kind) and issubclass(kind, Layer) and not inspect.isabstract(kind):
                known = names.setdefault(name, kind)
                if known is not kind:
                    names[f"{module.rpartition('.')[2]}.{name}"] = kind
    return names | dict(extra or {})


def _plain(value: Any, path: str, names: Names) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Layer):
        return _plain_layer(value, path, names)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, (list, tuple, nn.ModuleList)):
        return [_plain(item, f"{path}[{i}]", names) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{path}.{key}", names) for key, item in value.items()}
    if isinstance(value, Tensor) and value.ndim == 0:
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Written) and (made_of := value.written()) is not None:
        return _plain(made_of, path, names)
    what = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__}"
    raise TypeError(
        f"to_dict: {path} must be numbers, text, a dtype or transforms, got {what}, which no file can hold; "
        "put such a step in when you have read the file"
    )


def _plain_layer(layer: Layer, path: str, names: Names) -> dict[str, Any]:
    name = next((known for known, kind in names.items() if kind is type(layer)), None)
    if name is None:
        kind = type(layer).__name__
        raise TypeError(f"to_dict: {path} is a {kind}, which is none of torchaug's; pass extra={{'{kind}': {kind}}}")
    return {"transform": name} | {
        argument: _plain(value, f"{_inside(path)}{argument}", names)
        for argument, value in constructor_arguments(layer).items()
    }


def _inside(path: str) -> str:
    return "" if path == "layer" else f"{path}."


def _layer(node: Mapping[str, Any], path: str, names: Names) -> Layer:
    name = node.get("transform")
    if name is None:
        raise ValueError(f"from_dict: {path} must have a 'transform' name, got {sorted(map(str, node))}")
    if name not in names:
        hint = "; pass your own as extra={'MyTransform': MyTransform}"
        raise ValueError(f"from_dict: {path}: unknown transform {name!r}{_close(name, names)}{hint}")
    parameters = inspect.signature(names[name]).parameters
    arguments = {}
    for argument, value in node.items():
        if argument == "transform":
            continue
        if argument not in parameters:
            raise ValueError(f"from_dict: {path}: {name} has no argument {argument!r}{_close(argument, parameters)}")
        is_dtype = "dtype" in str(parameters[argument].annotation)
        arguments[argument] = _value(value, f"{_inside(path)}{argument}", names, is_dtype)
    try:
        return names[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"from_dict: {path}: {error}") from error


def _value(value: Any, path: str, names: Names, is_dtype: bool = False) -> Any:
    """An argument as constructors take it: lists of numbers as tuples, dicts with "transform" as transforms."""
    if isinstance(value, Mapping):
        if "transform" in value:
            return _layer(value, path, names)
        return {key: _value(item, f"{path}.{key}", names) for key, item in value.items()}
    if isinstance(value, list):
        items = [_value(item, f"{path}[{i}]", names) for i, item in enumerate(value)]
        return items if any(isinstance(item, Layer) for item in items) or path.endswith("transforms") else tuple(items)
    if is_dtype and isinstance(value, str):
        dtype = getattr(torch, value.removeprefix("torch."), None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"from_dict: {path} must be a dtype such as float32, got {value!r}")
        return dtype
    return value


def _close(name: object, known: Mapping[str, Any]) -> str:
    matches = difflib.get_close_matches(str(name), known, n=3)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""
