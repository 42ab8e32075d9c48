"""PyTorch-native augmentation on whole batches, and generators for data that are small, imbalanced or sensitive.

`import torchaug` loads nothing heavy: the names below are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchaug.batch import Batch
    from torchaug.compose import Compose, OneOf, RandomApply, RandomOrder, SomeOf
    from torchaug.foreign import Lambda, PerSample
    from torchaug.transform import Params, Transform

__all__ = [
    "Batch",
    "Compose",
    "Lambda",
    "OneOf",
    "Params",
    "PerSample",
    "RandomApply",
    "RandomOrder",
    "SomeOf",
    "Transform",
]

_HOMES = {
    "Batch": "batch",
    "Lambda": "foreign",
    "PerSample": "foreign",
    "Params": "transform",
    "Transform": "transform",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'torchaug' has no attribute {name!r}")
    return getattr(import_module(f"torchaug.{_HOMES.get(name, 'compose')}"), name)
