"""The files of a bank, and how they are read and written so that a kill at any byte loses at most one shard.

A bank is a folder of

- `manifest.json`: format version, classes, attributes (a sample rate, the columns of a table), `made_by`: for each
  generator its hash, configuration, generation and what it was trained on, and the sha256 of `trained_items`.
- `shard-000000.safetensors`, ...: the columns (`torchaug.data.bank.columns`), `id` (n,) int64, and where known `label`
  (n,) int64 and `quality` (n,) float32. An id is the sample's place in the plan, and with the seed of the
  configuration all of its randomness.
- `shard-000000.json`, ...: a note for each shard that is whole, with the sha256 of its file. It is written last, so a
  shard without a note is none; and a note for each shard, rather than one log of them, needs no lock, and is the same
  whoever wrote which shard when.
- `dropped.jsonl`: what was dropped since, a line for each time. Shards are never changed.
- `trained_items.safetensors`: where known, hashes of what the generators were trained on.

Whatever is JSON holds a checksum of itself, and the rest has its sha256 there, so that no changed byte goes unnoticed.
No pickle anywhere: a bank from a stranger is data, not a program.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from torchaug.data.bank.pack import checksum, pack
from torchaug.data.files import create_file, read_lines, replace_file, sha256

VERSION = 2
HEADER = 100_000_000
"""Bytes that a safetensors header has at most."""
MANIFEST, DROPPED, TRAINED = "manifest.json", "dropped.jsonl", "trained_items.safetensors"
BEGUN = (MANIFEST, TRAINED, ".")
"""Beginnings of the names in a folder that may become a bank: those that a writer writes first, and hidden ones."""
SMALL = {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "U8": torch.uint8, "F32": torch.float32}
"""Kinds of what is stored of each sample besides its content, as safetensors calls them."""
Json = dict[str, Any]


class ShardStore:
    """The shards of a bank that is being written.

    Args:
        path: the bank's folder; made when it is missing.
        manifest: of the bank; a bank continues only under an equal one.
        trained_items: (N,) int64 hashes, or None.

    Raises:
        ValueError: another bank is in the folder.
    """

    def __init__(self, path: Path, manifest: Json, trained_items: Tensor | None) -> None:
        self.path = path
        items = [] if trained_items is None else pack({"hash": trained_items.to(torch.int64).contiguous().cpu()})
        known = {"trained_items": checksum(items)} if items else {}
        self.manifest = plain({"trained_items": None} | manifest | known)
        self.notes: dict[int, Json] = {}
        self._verified: set[int] = set()
        self._open(items)
        self.read()

    def read(self) -> None:
        """Take note of the shards that are there now, those of other writers too."""
        self.notes |= read_notes(self.path, self.notes)

    def has(self, shard: int) -> bool:
        """Whether the shard is there and whole, by now: noted, and its file has the noted sha256."""
        if shard not in self._verified:
            file = self.path / f"shard-{shard:06d}.json"
            if file.exists():  # perhaps another writer's, since
                self.notes[shard] = read_note(file)
            note = self.notes.get(shard)
            if note is not None and sha256(self.path / note["file"]) == note["sha256"]:
                self._verified.add(shard)
        return shard in self._verified

    def put(self, shard: int, tensors: dict[str, Tensor], note: Json) -> None:
        """Write a shard, then its note."""
        name, data = f"shard-{shard:06d}", pack(tensors)
        with ThreadPoolExecutor(1) as pool:  # beside the disk, which takes about as long
            digest = pool.submit(checksum, data)
            replace_file(self.path / f"{name}.safetensors", *data)
        facts = {"shard": shard, "file": f"{name}.safetensors", "sha256": digest.result()}
        self.notes[shard] = facts | note
        replace_file(self.path / f"{name}.json", (json.dumps(sealed(self.notes[shard])) + "\n").encode())
        self._verified.add(shard)

    def _open(self, trained_items: Sequence[bytes | memoryview]) -> None:
        file = self.path / MANIFEST
        if not file.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = next((each.name for each in self.path.iterdir() if not each.name.startswith(BEGUN)), None)
            if foreign is not None and not file.exists():  # another writer may have begun meanwhile
                raise ValueError(
                    f"BankWriter: {self.path} holds {foreign} but no {MANIFEST}: it is no bank; write to another folder"
                )
            if trained_items:
                replace_file(self.path / TRAINED, *trained_items)
            if create_file(file, (json.dumps(sealed(self.manifest), indent=1) + "\n").encode()):
                return  # else another writer was faster: it must be writing the same bank
        there, wanted = _flat(read_manifest(self.path)), _flat(self.manifest)
        other = [key for key in dict.fromkeys([*wanted, *there]) if wanted.get(key) != there.get(key)]
        if other:
            old, new = (_short(facts.get(other[0])) for facts in (there, wanted))
            raise ValueError(
                f"BankWriter: {self.path} holds a bank with another {' and '.join(other)} ({other[0]}: {old} there, {new} "
                "wanted); write to another folder, or remove this one"
            )


def plain(record: Json) -> Json:
    """A record as JSON gives it back: tuples are lists, and keys are strings."""
    found: Json = json.loads(json.dumps(record))
    return found


def digest(value: Any) -> str:
    """A hash of a value that is JSON, whatever the order of its keys.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def sealed(record: Json) -> Json:
    """A record with a checksum of itself.

    >>> unsealed(sealed({"rows": (1, 2)}), Path("dropped.jsonl"))
    {'rows': [1, 2]}
    """
    record = plain(record)
    return record | {"checksum": digest(record)}


def unsealed(record: Json, file: Path, then: str = "bring back a copy of it") -> Json:
    """A record without its checksum.

    Args:
        record: as it was read.
        file: it was read from.
        then: what to do when it was changed.

    Raises:
        ValueError: the checksum is another one.
    """
    rest = {name: value for name, value in record.items() if name != "checksum"}
    if record.get("checksum") != digest(rest):
        raise ValueError(f"Bank: {file} differs from what was written, by its checksum; {then}")
    return rest


def read_note(file: Path) -> Json:
    """The note of a shard.

    Raises:
        ValueError: it is no JSON, or was changed.
    """
    return unsealed(_read_json(file), file, "remove it, and run the command that made the bank again")


def read_notes(path: Path, known: Container[int] = ()) -> dict[int, Json]:
    """The notes of the shards that are whole, by number, without those that are known.

    Raises:
        ValueError: a note that is no JSON, or was changed.
    """
    notes = (read_note(file) for file in sorted(path.glob("shard-*.json"), key=str) if _number(file) not in known)
    return {int(note["shard"]): note for note in notes}


def read_manifest(path: Path) -> Json:
    """The manifest of the bank in a folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no manifest, one of another version, or was changed.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(f"Bank: expected a bank (a folder with {MANIFEST}) at {path}, got none")
    manifest = _read_json(file)
    if manifest.get("format") != "torchaug-bank":
        raise ValueError(f"Bank: expected format 'torchaug-bank' in {file}, got another; this is not a bank")
    version = manifest.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ValueError(
            f"Bank: {file} has version {version}, and this torchaug reads up to {VERSION}; update torchaug"
        )
    if isinstance(version, int) and version < VERSION:
        raise ValueError(
            f"Bank: {file} has version {version}, of a torchaug before its first release; make the bank again"
        )
    return unsealed(manifest, file)


def read_dropped(path: Path) -> list[Json]:
    """What was dropped from the bank in a folder, time by time.

    Raises:
        ValueError: a line that is no JSON, or was changed.
    """
    return [unsealed(line, path / DROPPED) for line in read_lines(path / DROPPED)]


def read_tensors(path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Tensors of a safetensors file, memory-mapped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or lacks one of them.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Bank: {path} is missing; run the command that made the bank again")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"Bank: cannot read {', '.join(names)} of {path}: {error}; run the command that made the bank again"
        ) from error


def read_small(path: Path, names: Sequence[str], count: int) -> dict[str, Tensor]:
    """Small tensors (count,) of a safetensors file, read past the large ones.

    Mapped, they would come with megabytes that the system reads ahead, and take three times as long: see
    docs/decisions/0015-a-note-for-each-shard.md.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or lacks one of them.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            if start > HEADER:
                raise ValueError(f"expected a header of at most {HEADER} bytes, got {start}")
            facts = json.loads(file.read(start - 8))
            end = start + max(entry["data_offsets"][1] for entry in facts.values())
            if (size := os.fstat(file.fileno()).st_size) != end:
                raise ValueError(f"expected {end} bytes, got {size}")
            found = {}
            for name in names:
                file.seek(start + facts[name]["data_offsets"][0])
                dtype = SMALL[facts[name]["dtype"]]
                found[name] = torch.frombuffer(bytearray(file.read(count * dtype.itemsize)), dtype=dtype, count=count)
            return found
    except FileNotFoundError as error:
        raise FileNotFoundError(f"Bank: {path} is missing; run the command that made the bank again") from error
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise ValueError(
            f"Bank: cannot read {', '.join(names)} of {path}: {type(error).__name__}: {error}; run the command that made "
            "the bank again"
        ) from error


def _read_json(file: Path) -> Json:
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"Bank: {file} must be JSON, got {error}; the file was changed, or is of no bank") from error
    if not isinstance(found, dict):
        raise ValueError(f"Bank: {file} must be a JSON object, got a {type(found).__name__}; this is not a bank")  # noqa: TRY004
    return found


def _number(note: Path) -> int:
    digits = note.stem.removeprefix("shard-")
    return int(digits) if digits.isdecimal() else -1


def _flat(manifest: Json) -> Json:
    """A manifest with what a single maker says at the top, where a message can name it."""
    makers = manifest["made_by"]
    return manifest | makers[0] | {"made_by": len(makers)} if len(makers) == 1 else manifest


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
