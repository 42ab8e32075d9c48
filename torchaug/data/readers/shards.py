"""Where the files of each sample are in a tar archive."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 512  # bytes; a header is one, and an archive ends with two of zeros
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
NOTES = re.compile(r"__[^/]*__(/|$)")


@dataclass(frozen=True)
class Sample:
    """The files of a tar archive whose names begin alike.

    Attributes:
        shard: the archive.
        key: what their names have in common: the folder and the name up to its first dot.
        parts: by the rest of the name, in lower case: where the content begins in the archive, and its bytes.
    """

    shard: Path
    key: str
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def read(self, part: str) -> bytes:
        """The content of one file. The archive is opened for it: nothing is shared between processes."""
        if part not in self.parts:
            raise ValueError(f"expected a file .{part}, got {', '.join(f'.{name}' for name in self.parts)}")
        start, size = self.parts[part]
        with open(self.shard, "rb") as file:
            file.seek(start)
            data = file.read(size)
        if len(data) < size:
            raise ValueError(f"expected {size} bytes of .{part} at {start}, got {len(data)}; the archive has shrunk")
        return data


def read_index(shard: Path) -> list[Sample]:
    """The samples of an archive in the order of their first files, from its headers alone.

    As webdataset has it, names without a dot and those like `__this__` belong to no sample; nor do hidden files. Files of
    one sample need not follow each other.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no tar archive, a compressed or damaged one, one without samples, or with the same file twice.
    """
    _check_head(shard)
    samples: dict[str, Sample] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                key, part = _split(member.name)
                if not member.isreg() or not key:
                    continue
                parts = samples.setdefault(key, Sample(shard, key)).parts
                if part in parts:
                    raise ValueError(f"read_tar: {shard} holds {member.name} twice")
                parts[part] = member.offset_data, member.size
            end = archive.offset
    except tarfile.TarError as error:
        raise ValueError(f"read_tar: expected a whole tar archive at {shard}, got: {error}; make it again") from error
    _check_end(shard, end)
    if not samples:
        raise ValueError(f"read_tar: expected files like 000.jpg and 000.cls in {shard}, got none")
    return list(samples.values())


def _split(name: str) -> tuple[str, str]:
    """The key of a file, "" where it has none, and the rest of its name."""
    folder, slash, base = name.rpartition("/")
    stem, _, rest = base.partition(".")
    if not stem or not rest or NOTES.match(name):
        return "", ""
    return folder + slash + stem, rest.lower()


def _check_head(shard: Path) -> None:
    if not shard.is_file():
        what = "a folder" if shard.exists() else "nothing"
        raise FileNotFoundError(f"read_tar: expected a tar archive at {shard}, got {what} there")
    with open(shard, "rb") as file:
        head = file.read(6)
    for magic, kind in PACKED.items():
        if head.startswith(magic):
            raise ValueError(
                f"read_tar: {shard} is compressed by {kind}, so that no sample can be read without all before it; "
                "unpack it (images inside are compressed already)"
            )


def _check_end(shard: Path, end: int) -> None:
    """tarfile takes a damaged header, or the end of the file, for the end of the archive: samples would be lost."""
    with open(shard, "rb") as file:
        file.seek(end)
        block = file.read(BLOCK)
    if block != bytes(BLOCK):
        what = "other bytes" if block else "the end of the file"
        raise ValueError(
            f"read_tar: expected the end mark of the tar archive {shard} at byte {end}, got {what}; it was cut short or "
            "damaged: make it again"
        )
