"""Work ahead of the consumer: on a side stream of a CUDA device, or at once where there are no streams."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

Make = Callable[[], Any]
T = TypeVar("T")


def accelerator() -> torch.device:
    """The accelerator of this process as it is now, or the CPU."""
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        return torch.device("cpu")
    return torch.device(device.type, torch.accelerator.current_device_index())


@dataclass
class Staged:
    """A result that a device may still be working on, with the event that says when it is ready."""

    result: Any
    ready: Any
    origin: Any


class Direct:
    """No streams: what is staged is ready. Working ahead would gain nothing, so nothing is."""

    ahead = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def enter(self) -> None:
        """Nothing to prepare."""

    def leave(self) -> None:
        """Nothing is at work."""

    def stage(self, make: Make, origin: Any) -> Staged:
        """Make the result now."""
        return Staged(make(), None, None)

    def take(self, staged: Staged) -> Any:
        """The result."""
        return staged.result

    def read(self, flag: Tensor) -> Callable[[bool], Tensor | None]:
        """A function that returns the flag."""
        return lambda wait: flag


class SideStream:
    """One side stream for a loader's whole life: memory cached for a stream that is gone cannot be used again.

    Args:
        device: a CUDA device.
        ahead: results that are made before they are wanted.
        cuda: `torch.cuda`, or a stand-in that records what happens in which order.
    """

    def __init__(self, device: torch.device, ahead: int, cuda: Any = torch.cuda) -> None:
        self.device, self.ahead, self._cuda = device, ahead, cuda
        self._side = cuda.Stream(device)
        self._origins: deque[tuple[Any, Any]] = deque()

    def enter(self) -> None:
        """What the consumer's stream was given before, such as the transform's own tensors, is done first."""
        self._side.wait_stream(self._cuda.current_stream(self.device))

    def leave(self) -> None:
        """What the consumer's stream does next, such as renewing a generator's weights, is done after what is at work."""
        self._cuda.current_stream(self.device).wait_stream(self._side)

    def stage(self, make: Make, origin: Any) -> Staged:
        """Have the side stream make a result; `origin`, the pinned memory that it reads, is kept until it is ready."""
        with self._cuda.stream(self._side):
            result = make()
            ready = self._cuda.Event()
            ready.record(self._side)
        return Staged(result, ready, origin)

    def take(self, staged: Staged) -> Any:
        """Hand over to the stream that is current now: it waits for the result, and the host does not."""
        current = self._cuda.current_stream(self.device)
        current.wait_event(staged.ready)
        for tensor in _pytree.tree_leaves(staged.result):
            if isinstance(tensor, Tensor) and tensor.device.type == self.device.type:
                tensor.record_stream(current)  # its memory is reused only when this stream is done with it
        self._origins.append((staged.ready, staged.origin))
        while self._origins and self._origins[0][0].query():
            self._origins.popleft()
        return staged.result

    def read(self, flag: Tensor) -> Callable[[bool], Tensor | None]:
        """A function that returns the flag on the host, or None while the device has not got there and it may not wait.

        Call it where the flag was made, with the side stream current.
        """
        copy = torch.empty(flag.shape, dtype=flag.dtype, pin_memory=flag.is_cuda)
        copy.copy_(flag, non_blocking=True)
        there = self._cuda.Event()
        there.record(self._cuda.current_stream(self.device))

        def look(wait: bool) -> Tensor | None:
            if wait:
                there.synchronize()
            return copy if there.query() else None

        return look


@dataclass
class _Failure:
    error: Exception


def look_ahead(source: Iterator[T], ahead: int) -> Iterator[T]:
    """The items of `source`, of which `ahead` more are made before each is handed out.

    An error is raised in its place, after the items that were made before it.

    >>> list(look_ahead(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    if not ahead:  # nothing to keep, and nothing to pay for
        yield from source
        return
    made: deque[T | _Failure | None] = deque()
    for outcome in chain(_outcomes(source), [None] * ahead):
        made.append(outcome)
        if len(made) > ahead:
            first = made.popleft()
            if isinstance(first, _Failure):
                raise first.error
            if first is not None:
                yield first


def _outcomes(source: Iterator[T]) -> Iterator[T | _Failure]:
    try:
        yield from source
    except Exception as error:  # noqa: BLE001 (it is raised in its turn)
        yield _Failure(error)
