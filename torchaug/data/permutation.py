"""Permutations with random access: place o of a shuffle of n things in O(1) memory, for any n and any o at once.

A Feistel network over Z_a x Z_b with a * b barely above n, made to stay below n by walking along its cycles (Black and
Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Everything is a function of a 64-bit key, so a pass
over 10^8 items needs no table, and any place of any pass is there at once: that is what makes resuming O(1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_C = 0x94D049BB133111EB
_MIX_A, _MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(_C)
_TURNS = [(np.uint64(2 * turn * _C % 2**64), np.uint64((2 * turn + 1) * _C % 2**64)) for turn in range(3)]
_SMALL = 16  # things up to which sorting is as cheap


def mix(bits: Words) -> Words:
    """The finaliser of splitmix64, as in `torchaug.keys`."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_A
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_B
    return bits ^ (bits >> np.uint64(31))


def fold(keys: npt.ArrayLike, numbers: npt.ArrayLike) -> Words:
    """Independent 64-bit keys made of keys and whole numbers."""
    a, b = _words(keys), _words(numbers)
    return mix(mix(a + _GOLDEN) + mix(b + _GOLDEN))


def unit(keys: Words) -> npt.NDArray[np.float64]:
    """A number in (0, 1) of each key, an odd multiple of 2^-21: never 0, and exact when added to a number below 2^31."""
    return ((keys >> np.uint64(44)).astype(np.float64) + 0.5) * 2.0**-20


def shuffles(keys: Words, count: int) -> Ints:
    """A shuffle of `count` things for each key: (len(keys), count), by sorting hashes."""
    return np.argsort(_hashes(keys, count), axis=1)


def _hashes(keys: Words, count: int) -> Words:
    return mix(keys[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)


def permute(offsets: npt.ArrayLike, sizes: npt.ArrayLike, keys: npt.ArrayLike) -> Ints:
    """Where a shuffle of `sizes` things puts the places `offsets`; the three are one-dimensional and broadcast.

    Args:
        offsets: whole numbers in [0, size).
        sizes: whole numbers from 1 to 2^40.
        keys: 64-bit keys, one shuffle each.

    >>> sorted(permute(np.arange(7), 7, 12345).tolist())
    [0, 1, 2, 3, 4, 5, 6]
    """
    offset, size, key = _words(offsets), _words(sizes), _words(keys)
    shape = np.broadcast_shapes(offset.shape, size.shape, key.shape)
    small = np.broadcast_to(size <= _SMALL, shape)
    value = np.broadcast_to(offset, shape).copy()
    if small.any():
        value[small] = _rank(*(np.broadcast_to(x, shape)[small] for x in (offset, size, key)))
    _walk(value, np.flatnonzero(~small), size, key)
    return value.view(np.int64)


def _rank(offset: Words, size: Words, key: Words) -> Words:
    """Few things: sort them by a hash. Every order is equally likely, where a Feistel network's few orders are not."""
    hashes = _hashes(key, _SMALL)
    hashes[np.arange(_SMALL, dtype=np.uint64) >= size[:, None]] = np.iinfo(np.uint64).max
    order = np.argsort(hashes, axis=1)
    return np.take_along_axis(order, offset[:, None].view(np.int64), axis=1)[:, 0].view(np.uint64)


def _walk(value: Words, rest: npt.NDArray[np.intp], size: Words, key: Words) -> None:
    """Permute the `rest` of `value` in place, again where the result is not below its size."""
    a = np.ceil(np.sqrt(size)).astype(np.uint64)
    b = (size + a - np.uint64(1)) // a
    while rest.size:
        value[rest] = _feistel(value[rest], *(x if x.size == 1 else x[rest] for x in (a, b, key)))
        rest = rest[value[rest] >= (size if size.size == 1 else size[rest])]


def _feistel(value: Words, a: Words, b: Words, key: Words) -> Words:
    left = value // b
    right = value - left * b
    for first, second in _TURNS:
        left = _shift(left, right, a, key + first)
        right = _shift(right, left, b, key + second)
    return left * b + right


def _shift(value: Words, other: Words, modulus: Words, key: Words) -> Words:
    """`value` plus a hash of the other half, modulo: a bijection of `value` for each `other`."""
    bits = (other + key) * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(29))) * _MIX_A
    moved = value + ((bits >> np.uint64(32)) * modulus >> np.uint64(32))  # the hash is uniform in [0, modulus)
    return moved - modulus * (moved >= modulus)


def _words(numbers: npt.ArrayLike) -> Words:
    array = np.atleast_1d(np.asarray(numbers))  # not a scalar: numpy warns when one overflows
    return array if array.dtype == np.uint64 else array.astype(np.int64).view(np.uint64)
