"""Randomness as a function of 64-bit keys: one key per sample, one hash, no generator state.

A sample's key is a hash of (seed, epoch, sample id). A counter-based hash turns keys `(B,)` into uniforms `(B, K)`,
and inverse distribution functions turn uniforms into whatever a transform needs. Nothing here reads or writes a
global random state, so sample 17 of epoch 3 is augmented alike on any device, in any batch, on any worker or rank.

The mixing function is the finaliser of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014, with Stafford's variant 13 constants); dense noise uses a 32-bit finaliser of the same form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from torchaug.transfer import for_numpy

Bits = TypeVar("Bits", Tensor, npt.NDArray[np.int64])
"""On the host numpy works on few numbers in a third of the time that torch takes, and the same lines of code do."""

_BITS = 1 << 64
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_A, _MIX_B = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(number: int) -> int:
    """The int64 with the same 64 bits: torch has no arithmetic on uint64."""
    number %= _BITS
    return number - _BITS if number >> 63 else number


def _mix_int(number: int) -> int:
    number %= _BITS
    number = (number ^ (number >> 30)) * _MIX_A % _BITS
    number = (number ^ (number >> 27)) * _MIX_B % _BITS
    return number ^ (number >> 31)


def _mix(bits: Bits) -> Bits:
    """`_mix_int` on int64; the masks make the arithmetic right shift a logical one."""
    bits = _half_mixed(bits)
    return bits ^ ((bits >> 31) & ((1 << 33) - 1))


def _half_mixed(bits: Bits) -> Bits:
    """`_mix` but for its last step, which leaves the upper 31 bits alone."""
    bits = (bits ^ ((bits >> 30) & ((1 << 34) - 1))) * _signed(_MIX_A)
    return (bits ^ ((bits >> 27) & ((1 << 37) - 1))) * _signed(_MIX_B)


def hash_int(*numbers: int) -> int:
    """A signed 64-bit hash of whole numbers; order matters, and (0, 1) and (1, 0) differ.

    >>> hash_int(0, 1) == hash_int(1, 0)
    False
    """
    state = 0
    for number in numbers:
        state = _mix_int(state + _mix_int(number + _GOLDEN) + _GOLDEN)
    return _signed(state)


def sample_keys(ids: Tensor, *, seed: int = 0, epoch: int = 0) -> Tensor:
    """Keys of samples: a hash of (seed, epoch, id).

    Args:
        ids: (B,) whole numbers, one per sample: the index in the data set.
        seed: of the run.
        epoch: a sample gets another key, and so another augmentation, in each epoch.

    Returns:
        (B,) int64, on the device of `ids`.

    >>> ids = torch.arange(4)
    >>> torch.equal(sample_keys(ids, seed=1)[2:], sample_keys(ids[2:], seed=1))
    True
    """
    if ids.ndim != 1 or ids.is_floating_point() or ids.is_complex():
        raise TypeError(f"sample_keys: ids must be whole numbers of shape (B,), got {ids.dtype} {tuple(ids.shape)}")
    return fold_in(ids.to(torch.int64), hash_int(seed, epoch))


def fold_in(keys: Tensor, number: int | Tensor) -> Tensor:
    """Independent keys made of `keys` (B,) and a number (or a number per key): one per crop, per view, per purpose.

    >>> keys = sample_keys(torch.arange(2))
    >>> bool((fold_in(keys, 0) == fold_in(keys, 1)).any())
    False
    """
    if not isinstance(number, int):
        return _mix(_mix(keys + _signed(_GOLDEN)) + _mix(number.to(keys.dtype) + _signed(_GOLDEN)))
    if for_numpy(keys):
        return torch.from_numpy(_folded(keys.numpy(), number))
    return _folded(keys, number)


def _folded(keys: Bits, number: int) -> Bits:
    return _mix(_mix(keys + _signed(_GOLDEN)) + hash_int(number))


def fresh_keys(count: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None) -> Tensor:
    """Keys for samples that have none: one draw seeds the batch, so `torch.manual_seed` works as users expect.

    Args:
        count: how many keys.
        device: where they go.
        generator: drawn from instead of torch's default CPU generator. A CUDA generator is drawn from on its device,
            so nothing waits for it.

    Returns:
        (count,) int64.
    """
    source = "cpu" if generator is None else generator.device
    seed = torch.randint(1 << 62, (1,), generator=generator, device=source)
    ids = torch.arange(count, device=device)
    if seed.device.type == "cpu":
        return fold_in(ids, int(seed))  # a CPU number enters a CUDA kernel as an argument: no copy, no wait
    return fold_in(ids, seed.to(device))


def uniforms(keys: Tensor, count: int) -> Tensor:
    """Uniform numbers of each key.

    Args:
        keys: (B,) int64.
        count: numbers per key, K.

    Returns:
        (B, K) float32, multiples of 2^-24 in [0, 1). Column j does not depend on K.
    """
    if for_numpy(keys):
        bits = _top_bits(keys.numpy()[:, None] + np.arange(1, count + 1) * _signed(_GOLDEN))
        return torch.from_numpy(bits.astype(np.float32) * np.float32(2.0**-24))
    steps = torch.arange(1, count + 1, device=keys.device) * _signed(_GOLDEN)
    return _top_bits(keys[:, None] + steps).to(torch.float32) * 2.0**-24


def _top_bits(bits: Bits) -> Bits:
    """24 mixed bits of each."""
    return (_half_mixed(bits) >> 40) & 0xFFFFFF


def uniform(u: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Uniform in [low, high)."""
    return low + (high - low) * u


def log_uniform(u: Tensor, low: float, high: float) -> Tensor:
    """Uniform in the logarithm, in [low, high); both must be above 0."""
    return torch.exp(uniform(u, math.log(low), math.log(high)))


def integers(u: Tensor, low: int, high: int | Tensor) -> Tensor:
    """Whole numbers low, ..., high - 1, int64, each as likely as the others (to 2^-24).

    `high` may be a tensor, one bound per sample.
    """
    top = high - 1
    drawn = low + torch.floor(u * (high - low)).to(torch.int64)
    # float rounding may lift u * n to n for n above 2^24
    return torch.minimum(drawn, top) if isinstance(top, Tensor) else drawn.clamp(max=top)


def normal(u: Tensor) -> Tensor:
    """Standard normal numbers by the inverse distribution function; at most 5.4 in size, since u has 24 bits."""
    return torch.erfinv((2 * u - 1).clamp(min=-1 + 2.0**-24)) * math.sqrt(2)


def choice(u: Tensor, weights: Sequence[float]) -> Tensor:
    """Index i with chance weights[i] / sum(weights): int64, shape of `u`."""
    *edges, total = accumulate(weights)
    return sum(((u >= edge / total).to(torch.int64) for edge in edges), torch.zeros_like(u, dtype=torch.int64))


def permutation(u: Tensor) -> Tensor:
    """A random order of n things from `u` (B, n): (B, n) int64, each order as likely as the others (ties: 2^-24)."""
    return torch.argsort(u, dim=-1, stable=True)


def beta_quantiles(a: float, b: float, size: int = 4097) -> Tensor:
    """The inverse distribution function of Beta(a, b) at `size` evenly spaced probabilities: (size,) float32.

    Keep it as a buffer and read it with `quantile(u, table)`. Within 1e-3 of the exact function for u in
    [0.001, 0.999] and a, b from 0.1 to 100.

    With s = x^e, e = min(a, 1), the density x^(a-1) (1-x)^(b-1) dx becomes x^(a-e) (1-x)^(b-1) ds / e, bounded at 0;
    the upper half is integrated from its own end in the same way.

    >>> table = beta_quantiles(1.0, 1.0)
    >>> float(quantile(torch.tensor([0.25]), table))
    0.25
    """
    if not (a > 0 and b > 0):
        raise ValueError(f"beta_quantiles: a and b must be above 0, got {a} and {b}")

    def half(a: float, b: float) -> tuple[Tensor, Tensor]:
        e = min(a, 1.0)
        s = torch.linspace(0, 0.5**e, 20001, dtype=torch.float64)
        x = s ** (1 / e)
        density = x ** (a - e) * (1 - x) ** (b - 1) / e
        return x, torch.cat([s.new_zeros(1), torch.cumulative_trapezoid(density, s)])

    (low_x, low_mass), (high_x, high_mass) = half(a, b), half(b, a)
    x = torch.cat([low_x, 1 - high_x.flip(0)[1:]])
    mass = torch.cat([low_mass, low_mass[-1] + high_mass[-1] - high_mass.flip(0)[1:]])
    wanted = torch.linspace(0, 1, size, dtype=torch.float64) * mass[-1]
    right = torch.searchsorted(mass, wanted).clamp(1, len(mass) - 1)
    m0, m1, x0, x1 = mass[right - 1], mass[right], x[right - 1], x[right]
    share = ((wanted - m0) / (m1 - m0).clamp(min=1e-300)).clamp(0, 1)
    return (x0 + (x1 - x0) * share).to(torch.float32)


def quantile(u: Tensor, table: Tensor) -> Tensor:
    """Read a table of quantiles at evenly spaced probabilities (`beta_quantiles`) at `u`, linearly between entries."""
    place = u * (len(table) - 1)
    left = place.floor().clamp(0, len(table) - 2).to(torch.int64)
    return torch.lerp(table[left], table[left + 1], place - left)


def noise(u: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard normal noise, a function of two uniforms per sample and of the place: the same on every device.

    The number at a place does not depend on the shape: a padded image gets the noise that it gets alone.

    Args:
        u: (B, 2) uniforms; their 48 bits seed the sample's field.
        shape: of one sample's field, at most 2^31 numbers.

    Returns:
        (B, *shape) float32, at most 5.3 in size.
    """
    # the top 23 bits as an odd multiple of 2^-23 in (-1, 1): symmetric, never 0 or an end
    odd = (_field(u, shape) >> 9).mul_(2).add_(1).to(torch.float32)
    return odd.mul_(2.0**-23).erfinv_().mul_(math.sqrt(2)).view(len(u), *shape)


def dense_uniforms(u: Tensor, shape: Sequence[int]) -> Tensor:
    """Uniform numbers for places of a field: as `noise` makes normal ones.

    Args:
        u: (B, 2) uniforms; their 48 bits seed the sample's field.
        shape: of one sample's field, at most 2^31 numbers.

    Returns:
        (B, *shape) float32, multiples of 2^-24 in [0, 1). The number at a place does not depend on the shape.

    >>> u = uniforms(sample_keys(torch.arange(2)), 2)
    >>> torch.equal(dense_uniforms(u, (9,))[:, :4], dense_uniforms(u, (4,)))
    True
    """
    return ((_field(u, shape) >> 8) & 0xFFFFFF).to(torch.float32).mul_(2.0**-24).view(len(u), *shape)


def _field(u: Tensor, shape: Sequence[int]) -> Tensor:
    """32 random bits (int32) for each place of a field, (B, places), from (B, 2) uniforms."""
    seeds = (u * 2.0**24).to(torch.int32)  # (B, 2), 24 bits each
    first, second = seeds[:, :1] * -1640531527, seeds[:, 1:] * 668265263  # odd constants spread 24 bits over 32
    return _mix32_(_mix32_(_places(shape, u.device) ^ first).add_(second))


def _places(shape: Sequence[int], device: torch.device) -> Tensor:
    """A number (int32) for each place of a field, flat, whatever the field's extent.

    Rows are multiples of 2^32 over the golden ratio, which keeps them far apart modulo 2^32 (Fibonacci hashing).
    """
    place = torch.zeros((), dtype=torch.int32, device=device)
    stride = 1
    for axis, length in enumerate(reversed(shape)):
        at = torch.arange(length, device=device, dtype=torch.int32) * _signed32(stride)
        place = place + at.view(-1, *[1] * axis)
        stride = stride * 0x9E3779B1 % 2**32
    return place.expand(tuple(shape)).flatten()


def _signed32(number: int) -> int:
    return number - 2**32 if number >> 31 else number


def _mix32_(bits: Tensor) -> Tensor:
    """A 32-bit finaliser, in place: dense fields are bound by memory."""
    bits.bitwise_xor_((bits >> 16).bitwise_and_(0xFFFF)).mul_(0x21F0AAAD)
    bits.bitwise_xor_((bits >> 15).bitwise_and_(0x1FFFF)).mul_(0x735A2D97)
    return bits.bitwise_xor_((bits >> 15).bitwise_and_(0x1FFFF))
