"""A GPU that is none: tensors that say they are on it, and refuse company from the CPU as CUDA's would.

Their numbers are on the CPU, and so are the kernels: what is tested is that everything is where it should be. Kernels, streams and
numerics are for the tests marked "gpu".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

GPU = torch.device("cuda:0")
CPU = torch.device("cpu")
_MOVES = {"copy_", "to", "cpu", "cuda", "set_", "type", "double", "float", "half", "bfloat16", "long", "int", "bool"}
_WAITS = {
    "item",
    "tolist",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
    "nonzero",
    "unique",
    "masked_select",
    "equal",
}
_READS = {
    "__deepcopy__",
    "__reduce_ex__",
    "__get__",
    "__set__",
    "size",
    "stride",
    "dim",
    "numel",
    "shape",
    "__len__",
    "_has_compatible_shallow_copy_type",
}


class OnGPU(Tensor):
    """A tensor that says it is on the GPU."""

    def as_subclass(self, cls: Any) -> Any:
        """Itself for what would be plain on a GPU; torch hands this method to no mode."""
        return self if cls is Tensor else Tensor.as_subclass(self, cls)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            copied = Tensor.as_subclass(self.detach(), Tensor).clone().as_subclass(OnGPU)
            learnt = isinstance(self, nn.Parameter)
            memo[id(self)] = nn.Parameter(copied, self.requires_grad) if learnt else copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """In a file as a tensor like any other: one that is loaded is on the CPU."""
        return Tensor.as_subclass(self.detach(), Tensor).__reduce_ex__(protocol)


class PretendGPU(TorchFunctionMode):
    """While this is entered, `device="cuda:0"` is a device, and what is on it must not meet what is not.

    >>> with PretendGPU():
    ...     x = torch.arange(3, device="cuda:0")
    ...     (x + 1).device, x.cpu().device
    (device(type='cuda', index=0), device(type='cpu'))
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Literal["default", "error"] = "default"
        """As `torch.cuda.set_sync_debug_mode` takes it."""

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        kwargs = dict(kwargs or {})
        if name == "__get__" and isinstance(args[0], OnGPU):
            owner = getattr(function, "__self__", None)
            if owner is Tensor.device:
                return GPU
            if owner is Tensor.is_cuda:
                return True
            if owner is Tensor.is_cpu:
                return False
        asked, args, kwargs = _asked(name, args, kwargs)
        tensors: list[Tensor] = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [leaf for leaf in tensors if isinstance(leaf, OnGPU)]
        if name == "numpy" and there:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if there and name not in _MOVES | _READS:
            _check(name, args, tensors)
        if there and self.waits == "error" and (name in _WAITS or (asked == CPU and name in _MOVES)):
            raise RuntimeError(f"called a synchronizing CUDA operation: {name} of {tuple(there[0].shape)}")
        result = function(*args, **kwargs)
        device = asked or (GPU if _lives_there(name, args, there) else CPU)
        if isinstance(result, torch.Size):
            return result
        return tree_map_only(Tensor, lambda found: _as(found, device, args), result)


def _asked(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[torch.device | None, Any, dict[str, Any]]:
    """The device that is asked for, and the arguments with the CPU in its place."""
    asked: torch.device | None = None

    def replaced(value: Any) -> Any:
        nonlocal asked
        if isinstance(value, torch.device) or (isinstance(value, str) and value.partition(":")[0] in ("cuda", "cpu")):
            asked = torch.device(value)
            return CPU
        return value

    if "device" in kwargs and kwargs["device"] is not None:
        kwargs["device"] = replaced(kwargs["device"])
    if name == "to":
        args = tuple(replaced(value) for value in args)
        others = [value for value in args[1:] if isinstance(value, Tensor)]
        if others:
            asked = GPU if isinstance(others[0], OnGPU) else CPU
    if name == "cpu":
        asked = CPU
    return asked, args, kwargs


def _check(name: str, args: Any, tensors: list[Tensor]) -> None:
    others = [leaf for leaf in tensors if not isinstance(leaf, OnGPU) and leaf.ndim and not _neutral(leaf)]
    if name in ("__getitem__", "__setitem__", "index_put_", "index_put") and isinstance(args[0], OnGPU):
        return  # indices may be on the CPU
    if others:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but got {name} of {[tuple(t.shape) for t in tensors]}, of "
            f"which {[tuple(t.shape) for t in others]} on the CPU"
        )


def _neutral(tensor: Tensor) -> bool:
    """What torch.func wraps has lost its class."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _lives_there(name: str, args: Any, there: Sequence[Tensor]) -> bool:
    if name in ("copy_", "__setitem__"):
        return isinstance(args[0], OnGPU)
    return bool(there)


def _as(found: Tensor, device: torch.device, args: Any) -> Tensor:
    if any(found is each for each in tree_leaves(args)):  # in place
        if (device.type == "cuda") == isinstance(found, OnGPU):
            return found
        found = found.detach().clone() if not found.requires_grad else found.clone()
    if _neutral(found):
        return found
    if device.type == "cuda":
        return found if isinstance(found, OnGPU) else found.as_subclass(OnGPU)
    return Tensor.as_subclass(found, Tensor) if isinstance(found, OnGPU) else found


@contextmanager
def pretended_gpu() -> Iterator[PretendGPU]:
    """The mode, for modules too: `module.to(GPU)` moves their weights."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    functions = {name: getattr(torch.func, name) for name in ("grad", "vmap")}
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    for name, function in functions.items():
        setattr(torch.func, name, _back(function))
    try:
        with PretendGPU() as mode:
            yield mode
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
        for name, function in functions.items():
            setattr(torch.func, name, function)


def _back(transform: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.func.grad` or `vmap`, whose results, plain when they come out, are where the arguments are."""

    def transformed(*options: Any, **others: Any) -> Callable[..., Any]:
        function = transform(*options, **others)

        def called(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            there = any(isinstance(leaf, OnGPU) for leaf in tree_leaves((args, kwargs)))
            return tree_map_only(Tensor, lambda found: _as(found, GPU if there else CPU, ()), result)

        return called

    return transformed
