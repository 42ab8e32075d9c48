"""Samples of a bank as what other programs read: PNG, WAV, text and NumPy files, as bytes that are always the same."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from torchaug.data.bank.format import Json

if TYPE_CHECKING:
    from torchaug.data.bank.reader import Bank

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def parts(bank: Bank, size: int) -> Iterator[tuple[int, Tensor]]:
    """The indices of all samples, each time of one shard and one file, with the number of the file.

    Args:
        bank: whose samples.
        size: samples in a file.
    """
    for indices in bank.by_shard():
        while len(indices):
            number = int(indices[0]) // size
            room = (number + 1) * size - int(indices[0])
            yield number, indices[:room]
            indices = indices[room:]


def samples(bank: Bank, indices: Tensor) -> Iterator[tuple[Json, dict[str, bytes]]]:
    """Of each sample at `indices`, all of one shard, what is known about it, and its files by their endings.

    A column "image" becomes `png`, "waveform" `wav`, "text" `txt`; any other `NAME.txt` or `NAME.npy`.
    """
    columns = bank.take(indices, content_columns(bank))
    for place, index in enumerate(indices.tolist()):
        yield facts(bank, index), dict(as_file(bank, name, column[place]) for name, column in columns.items())


def content_columns(bank: Bank) -> list[str]:
    """The columns that are content: a group is known of a sample, as its label is."""
    return [name for name in bank.columns if name != "group"]


def facts(bank: Bank, index: int) -> Json:
    """Where a sample comes from, and what it is called: its row is a name that stays when others are dropped."""
    maker: Json = bank.manifest["made_by"][int(bank.makers[index])]
    return {
        "label": None if bank.labels is None else bank.classes[int(bank.labels[index])],
        **_group(bank, index),
        **_epsilon(maker),
        "id": int(bank.ids[index]),
        "row": int(bank.rows[index]),
        "generator": maker["generator"],
        "seed": maker["config"].get("seed"),
        "quality": None if bank.quality is None else float(bank.quality[index]),
    }


def _group(bank: Bank, index: int) -> Json:
    if bank.groups is None:
        return {}
    number = int(bank.groups[index])
    return {"group": str(number) if bank.group_names is None else bank.group_names[number]}


def _epsilon(maker: Json) -> Json:
    """What a generator's differential privacy has cost, of one that was trained with it."""
    privacy = maker["config"].get("privacy")
    return {} if privacy is None else {"epsilon": privacy["epsilon"]}


def as_file(bank: Bank, name: str, value: Tensor | str) -> tuple[str, bytes]:
    """The ending and the bytes of the file that an entry of a sample becomes."""
    if isinstance(value, str):
        return ("txt" if name == "text" else f"{name}.txt"), value.encode()
    if name == "image":
        return "png", png(value)
    if name == "waveform":
        return "wav", wav(value, sample_rate(bank))
    return f"{name}.npy", npy(value)


def sample_rate(bank: Bank) -> int:
    """Samples per second of the bank's sounds."""
    rate = bank.attributes.get("sample_rate")
    if not isinstance(rate, int) or rate < 1:
        raise ValueError(
            f"Bank: expected attributes with a 'sample_rate' of whole samples per second in {bank.path}, got {rate!r}; "
            "write sounds with BankWriter(..., attributes={'sample_rate': 16000})"
        )
    return rate


def png(image: Tensor) -> bytes:
    """An image (C, H, W) uint8 with 1 to 4 channels (grey, or red, green and blue; then opacity) as PNG.

    >>> png(torch.zeros(3, 2, 2, dtype=torch.uint8))[:4]
    b'\\x89PNG'
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) not in MODES:
        raise ValueError(
            f"export: images must be (C, H, W) uint8 with 1 to 4 channels to become PNG, got {image.dtype} "
            f"{tuple(image.shape)}"
        )
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def wav(waveform: Tensor, rate: int) -> bytes:
    """A sound (C, T) float32 as WAV of 32-bit floats: nothing is rounded or clipped.

    Not by libsndfile, which writes the time of day into such files.

    >>> wav(torch.zeros(1, 3), 8000)[:4]
    b'RIFF'
    """
    if waveform.dtype != torch.float32 or waveform.ndim != 2:
        raise ValueError(
            f"export: waveforms must be (C, T) float32 to become WAV, got {waveform.dtype} {tuple(waveform.shape)}"
        )
    channels, length = waveform.shape
    frames = waveform.T.contiguous().numpy().astype("<f4", copy=False).tobytes()
    if len(frames) > 2**32 - 100:
        raise ValueError(f"export: a WAV file holds at most 4 GB, got a waveform of {len(frames)} bytes")
    ieee_float, width = 3, 4
    form = struct.pack("<HHIIHHH", ieee_float, channels, rate, rate * channels * width, channels * width, 8 * width, 0)
    chunks = [(b"fmt ", form), (b"fact", struct.pack("<I", length)), (b"data", frames)]
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(data)) + data for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def npy(value: Tensor) -> bytes:
    """A tensor as a NumPy file."""
    file = io.BytesIO()
    np.save(file, value.numpy(), allow_pickle=False)
    return file.getvalue()


def provenance(bank: Bank) -> Json:
    """What made the bank, for whoever gets the export alone."""
    return {
        "format": "torchaug-export",
        "bank": bank.identity,
        "fingerprint": bank.fingerprint,
        "samples": len(bank),
        "classes": bank.classes,
        "manifest": bank.manifest,
    }
