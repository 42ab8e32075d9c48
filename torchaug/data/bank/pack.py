"""Tensors as the bytes of a safetensors file, without copying them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.complex64: "C64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64",
}  # fmt: skip
"""What safetensors calls them."""


def pack(tensors: Mapping[str, Tensor]) -> list[bytes | memoryview]:
    """What `safetensors.torch.save` would give, in pieces: a header, and views of the tensors' memory.

    That function makes the whole file in memory first, which takes longer than writing it.

    Args:
        tensors: contiguous, on the CPU.

    Raises:
        ValueError: a dtype that safetensors has not.

    >>> from safetensors.torch import save
    >>> tensors = {"a": torch.zeros(3, dtype=torch.uint8), "b": torch.ones(2, 1)}
    >>> b"".join(pack(tensors)) == save(tensors)
    True
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # all of them aligned
    header, end = {}, 0
    for name, tensor in ordered:
        if tensor.dtype not in NAMES:
            raise ValueError(f"Bank: column {name!r} must be of a dtype that safetensors has, got {tensor.dtype}")
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    views = [tensor.flatten().view(torch.uint8).numpy().data for _, tensor in ordered]
    return [len(text).to_bytes(8, "little") + text, *views]


def checksum(pieces: Sequence[bytes | memoryview]) -> str:
    """The sha256 of a file of these pieces."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
