"""Global random states, set for a while: for code of others that draws from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[Callable[[], bool]]:
    """Sets the global random states of torch and numpy, and puts them back.

    Args:
        seed: any whole number.
        device: a GPU whose state is set as well.

    Yields:
        A function that says whether anything was drawn from these states meanwhile.

    >>> with seeded(0) as drawn:
    ...     drawn(), torch.rand(1).item() < 1, drawn()
    (False, True, True)
    """
    gpu = device if device is not None and device.type == "cuda" else None
    before = np.random.get_state()  # noqa: NPY002 (what others draw from)
    with torch.random.fork_rng(devices=[] if gpu is None else [gpu]):
        torch.default_generator.manual_seed(seed)
        if gpu is not None:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        start = _states(gpu)
        try:
            yield lambda: any(not torch.equal(a, b) for a, b in zip(start, _states(gpu), strict=True))
        finally:
            np.random.set_state(before)  # noqa: NPY002


def _states(gpu: torch.device | None) -> list[Tensor]:
    """What changes when somebody draws."""
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    assert isinstance(state, dict)
    place = torch.tensor([state["state"]["pos"], state["has_gauss"]])
    mine = [torch.get_rng_state(), torch.from_numpy(state["state"]["key"].astype(np.int64)), place]
    return mine if gpu is None else [*mine, torch.cuda.get_rng_state(gpu)]
