"""Files that are whole or not there, and logs of lines that survive a kill between any two bytes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all: temporary name, flush to the disk, rename, flush the folder."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _named(error, path) from error


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Add one JSON line and flush it to the disk; a torn line before it, left by a kill, is dropped."""
    line = (json.dumps(record) + "\n").encode()
    try:
        with _locked(path) as file:
            os.ftruncate(file, _whole_bytes(path))
            os.lseek(file, 0, os.SEEK_END)
            written = os.write(file, line)
            if written < len(line):  # the disk is full: the next write says so
                os.write(file, line[written:])
            os.fsync(file)
    except OSError as error:
        raise _named(error, path) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole JSON lines of a log: a torn last line is left out, a missing file has none."""
    if not path.exists():
        return []
    lines = path.read_bytes()[: _whole_bytes(path)].splitlines()
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise ValueError(f"{path}: expected one JSON object a line, got {error}; the file was changed") from error


def sha256(path: Path) -> str:
    """The checksum of a file in hexadecimal; "" where there is none."""
    if not path.is_file():
        return ""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _whole_bytes(path: Path) -> int:
    """Length up to the last line's end."""
    return path.read_bytes().rfind(b"\n") + 1


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, open for writing by this process alone."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:  # not on Windows: one writer at a time there
            pass
        yield file
    finally:
        os.close(file)  # gives the lock back too


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there; the rename is journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _named(error: OSError, path: Path) -> OSError:
    """The same kind of error, saying which file and what now."""
    return OSError(error.errno, f"cannot write {path}: {error.strerror}; what was written before is kept: run again")
