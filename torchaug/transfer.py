"""Parameters on their way from the host to a device: many small tensors, one copy; and what of a device can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

T = TypeVar("T")


def moved(tree: T, device: torch.device) -> T:
    """A tree of tensors and other values with all tensors on the device; the host does not wait.

    What is elsewhere goes by one copy of all its bytes: a copy of its own costs a small tensor more than its bytes do.

    Raises:
        RuntimeError: while a CUDA graph is captured, which would keep the numbers of this one call for ever.

    >>> tree = {"angle": torch.rand(4), "chosen": torch.rand(4) < 0.5, "who": "RandomRotation"}
    >>> moved(tree, torch.device("cpu")) is tree
    True
    """
    if torch.compiler.is_compiling():  # in a graph all is on one device: `compile` sees to that
        return tree
    leaves, structure = _pytree.tree_flatten(tree)
    away = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.device != device]
    if not away:
        return tree
    parcel = parcelled([leaves[i] for i in away])
    if device.type == "cuda" and torch.cuda.is_available():
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                "torchaug: numbers on the host cannot enter a CUDA graph; draw with keys on the device before the capture: "
                "layer.draw(batch, keys=keys.to('cuda'))"
            )
        parcel = parcel.pin_memory()  # from other memory the copy may wait for what the device is doing
    # on mps an unfinished copy may be read (pytorch #83015)
    arrived = unparcelled(parcel.to(device, non_blocking=device.type != "mps"), [leaves[i] for i in away])
    for i, leaf in zip(away, arrived, strict=True):
        leaves[i] = leaf
    there: T = _pytree.tree_unflatten(leaves, structure)
    return there


def readable(values: Tensor) -> bool:
    """Whether reading them waits for nothing: on a CPU, outside a graph."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def for_numpy(values: Tensor) -> bool:
    """Whether numpy can take them as they are: readable, no subclass, without gradients, outside of `torch.func`."""
    plain = type(values) is Tensor and not values.requires_grad and readable(values)
    return plain and torch._C._functorch.maybe_current_level() is None


def any_of(values: Tensor) -> bool:
    """Whether any is not 0. Read where that waits for nothing; True elsewhere."""
    return bool(values.any()) if readable(values) else True


def all_of(values: Tensor) -> bool:
    """Whether all are true. Read where that waits for nothing; False elsewhere."""
    return bool(values.all()) if readable(values) else False


def parcelled(tensors: Sequence[Tensor]) -> Tensor:
    """The bytes of tensors, one after the other: those of the widest dtypes first, so that each lies where it may."""
    return torch.cat([tensors[i].contiguous().flatten().view(torch.uint8) for i in _order(tensors)])


def unparcelled(parcel: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The tensors of a parcel, as views of it, given their dtypes and shapes."""
    order = _order(like)
    parts = parcel.split([like[i].numel() * like[i].element_size() for i in order])
    found = {i: part.view(like[i].dtype).view(like[i].shape) for i, part in zip(order, parts, strict=True)}
    return [found[i] for i in range(len(like))]


def _order(tensors: Sequence[Tensor]) -> list[int]:
    return sorted(range(len(tensors)), key=lambda i: -tensors[i].element_size())
