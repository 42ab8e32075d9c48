"""Files that are whole or not there, and logs of lines that survive a kill between any two bytes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def replace_file(path: Path, *data: bytes | memoryview) -> None:
    """Write a file that is there whole or not at all: temporary name, flush to the disk, rename, flush the folder.

    The temporary name is always the same, so that what a kill left behind is used again, and locked, so that a second
    writer of the file waits for the first.

    Args:
        path: of the file.
        data: its content, perhaps in pieces.
    """
    _put(path, data, replace=True)


def create_file(path: Path, data: bytes) -> bool:
    """Write a file as `replace_file` does, unless there is one by then; whether it was written."""
    return _put(path, [data], replace=False)


def _put(path: Path, data: Sequence[bytes | memoryview], replace: bool) -> bool:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with locked(temporary) as file:
            if not replace and path.exists():
                temporary.unlink()
                return False
            if os.fstat(file).st_size:  # what a kill left behind
                os.ftruncate(file, 0)
            for piece in data:
                _write(file, piece)
            os.fsync(file)
            os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _named(error, path) from error
    return True


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Add one JSON line and flush it to the disk; a torn line before it, left by a kill, is dropped."""
    line = (json.dumps(record) + "\n").encode()
    try:
        with locked(path) as file:
            os.ftruncate(file, _whole_bytes(path))
            os.lseek(file, 0, os.SEEK_END)
            _write(file, line)
            os.fsync(file)
    except OSError as error:
        raise _named(error, path) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole JSON lines of a log: a torn last line is left out, a missing file has none.

    Raises:
        ValueError: what no kill leaves behind: a line that is no JSON object, or a whole one with another byte than the
            end of a line behind it.
    """
    if not path.exists():
        return []
    *lines, torn = path.read_bytes().split(b"\n")
    try:
        found = [json.loads(line) for line in lines]
    except ValueError as error:
        raise ValueError(f"{path}: expected one JSON object a line, got {error}; the file was changed") from error
    if not all(isinstance(line, dict) for line in found) or _is_json(torn[:-1]):
        raise ValueError(f"{path}: expected one JSON object a line, got another; the file was changed")
    return found


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


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _write(file: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:  # a full disk takes a part, and its next write says so
        rest = rest[os.write(file, rest) :]


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The file, open for writing by this process alone; a process that is killed gives its lock back.

    Where there is no `fcntl` (Windows), only one writer at a time is safe.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(file)
            if _is_at(file, path):
                yield file
                return
        finally:
            os.close(file)  # gives the lock back too


def _lock(file: int) -> None:
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: int, path: Path) -> bool:
    """Whether the open file is still the one of that name: while this process waited, it may have been renamed."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


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
