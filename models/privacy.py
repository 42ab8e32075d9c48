"""Gradients of which no row can be told: clipped row by row, summed, and noised (DP-SGD, arXiv 1607.00133).

Whatever is computed from such gradients, and from nothing else of the data, is as private as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from torchaug.keys import fold_in, hash_int, noise, uniforms

Parameters = dict[str, Tensor]
RowLoss = Callable[[Parameters, Any], Tensor]
"""Parameters and one row, each tensor of it without its batch dimension, to a number."""


@dataclass(frozen=True)
class Privacy:
    """What a training must keep to: (epsilon, delta) differential privacy of rows.

    Two trainings, with and without any one row, end in the same generator with chances that differ by a factor of at
    most e^epsilon, but for a chance of delta.

    Args:
        epsilon: above 0. To 1 is strong, to 10 what is used in practice; above it little is promised.
        delta: in (0, 1), well below one over the number of rows.
        max_norm: what a row's gradient is clipped to. The noise grows with it, so rather too small than too large.
        shares: the share of each class where that is public; None: classes are counted with noise, which is paid for.
        secret: of the noise and of who is in which step; None for one of the operating system, never written down. Who
            knows it can subtract the noise: give one to repeat a run, in tests.

    >>> Privacy(epsilon=8.0).delta
    1e-05
    """

    epsilon: float
    delta: float = 1e-5
    max_norm: float = 1.0
    shares: tuple[float, ...] | None = None
    secret: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.epsilon < math.inf and 0 < self.delta < 1 and 0 < self.max_norm < math.inf):
            raise ValueError(
                f"Privacy: epsilon and max_norm must be above 0 and finite, and delta in (0, 1), got {self.epsilon}, "
                f"{self.max_norm} and {self.delta}"
            )
        if self.shares is not None and (min(self.shares) < 0 or not math.isclose(sum(self.shares), 1, abs_tol=1e-3)):
            raise ValueError(f"Privacy: shares must be at least 0 and sum to 1, got {self.shares}")


def private_gradients(
    loss: RowLoss,
    parameters: Parameters,
    rows: Any,
    *,
    max_norm: float,
    noise_multiplier: float,
    expected: float,
    key: int,
    chunk: int | None = None,
) -> Parameters:
    """The noised mean of the gradients of rows, each clipped at `max_norm`.

    Args:
        loss: of one row, `loss(parameters, row)`; it must not look at other rows, and may hold `torch.func.grad`, as R1 does.
        parameters: what the gradients are of.
        rows: tensors (B, ...), or a tuple or dict of them; B is 0 where the step drew none.
        max_norm: of a row's gradient over all parameters.
        noise_multiplier: deviation of the noise over `max_norm`; 0: none, and nothing is private.
        expected: rows expected of a step, rate times rows. Not B, which would tell how many there were.
        key: of the noise, secret and another for each step.
        chunk: rows whose gradients are in memory at once; None: all.

    Returns:
        A gradient for each parameter.

    >>> rows = torch.tensor([3.0, -0.5])
    >>> private_gradients(
    ...     lambda p, x: p["w"] * x, {"w": torch.zeros(())}, rows, max_norm=1.0, noise_multiplier=0.0, expected=2, key=0
    ... )
    {'w': tensor(0.2500)}
    """
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for part in _parts(rows, chunk):
        for name, gradient in clipped_sum(loss, parameters, part, max_norm).items():
            total[name] += gradient
    noised = add_noise(total, noise_multiplier * max_norm, key) if noise_multiplier else total
    return {name: gradient / expected for name, gradient in noised.items()}


def clipped_sum(loss: RowLoss, parameters: Parameters, rows: Any, max_norm: float) -> Parameters:
    """The sum of the gradients of rows, at least one, each over all parameters at most `max_norm` long."""
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, rows)
    squares = sum(gradient.reshape(len(gradient), -1).square().sum(1) for gradient in each.values())
    assert isinstance(squares, Tensor)
    # a row without a number as gradient counts as none: else it would tell of itself
    factor = torch.nan_to_num((max_norm / squares.sqrt().clamp(min=1e-12)).clamp(max=1.0), nan=0.0)
    kept = {name: torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0) for name, gradient in each.items()}
    return {name: torch.einsum("b,b...->...", factor.to(gradient), gradient) for name, gradient in kept.items()}


def _parts(rows: Any, chunk: int | None) -> Iterator[Any]:
    """Rows, at most `chunk` at a time; nothing where there are none."""
    count = len(tree_leaves(rows)[0])
    for start in range(0, count, chunk or max(count, 1)):
        yield tree_map(lambda tensor, start=start: tensor[start : start + (chunk or count)], rows)


def add_noise(gradients: Mapping[str, Tensor], deviation: float, key: int) -> Parameters:
    """Gradients with normal noise, a function of the key and of the place of a parameter among them.

    >>> torch.equal(add_noise({"w": torch.zeros(3)}, 1.0, key=5)["w"], add_noise({"w": torch.zeros(3)}, 1.0, key=5)["w"])
    True
    """
    noised = {}
    for number, (name, gradient) in enumerate(gradients.items()):
        u = uniforms(torch.tensor([hash_int(key, number)], device=gradient.device), 2)
        noised[name] = gradient + deviation * noise(u, gradient.shape)[0].to(gradient)
    return noised


def poisson_rows(count: int, rate: float, key: int) -> Tensor:
    """Which of `count` rows a step takes, each with chance `rate` and independent of the others: (n,) int64.

    >>> 80 < len(poisson_rows(1000, 0.1, key=0)) < 120
    True
    """
    u = uniforms(fold_in(torch.arange(count), key), 1)[:, 0]
    return (u < rate).nonzero()[:, 0]


def counted_shares(labels: Tensor, classes: int, deviation: float, key: int) -> list[float]:
    """The share of each class by its count with normal noise; never 0, so that every class can be asked for."""
    counts = labels.bincount(minlength=classes).double()
    noisy = add_noise({"counts": counts}, deviation, key)["counts"].clamp(min=1.0)
    shares: list[float] = (noisy / noisy.sum()).tolist()
    return shares


def check_private(module: nn.Module) -> None:
    """Refuses networks in which a row's output depends on other rows: batch norms.

    Raises:
        TypeError: the layer is named.

    >>> check_private(nn.GroupNorm(2, 4))
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise TypeError(
                f"privacy: {name or 'the network'} is a {type(layer).__name__}, which mixes the rows of a batch; "
                "expected norms of single rows, such as GroupNorm or LayerNorm"
            )
