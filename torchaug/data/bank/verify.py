"""Comparing the files of a bank with what was written, and with what was planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from torchaug.data.bank.format import MANIFEST, TRAINED, Json, read_dropped, read_manifest, read_note
from torchaug.data.files import sha256


def damaged(path: str | Path, progress: Callable[[int, int], None] | None = None, *, workers: int = 0) -> list[str]:
    """Reads every file of a bank, one that cannot be opened too; for each that is not as it was written, what is wrong.

    Args:
        path: the bank's folder.
        progress: called with (files done, files in all).
        workers: threads that read; 0: the calling one.

    >>> damaged("no bank")
    ['Bank: expected a bank (a folder with manifest.json) at no bank, got none']
    """
    path = Path(path)
    notes = sorted(path.glob("shard-*.json"))
    checks: list[Callable[[], object]] = [partial(read_manifest, path), partial(read_dropped, path)]
    checks += [partial(_check_trained, path), *(partial(_check_shard, note) for note in notes)]
    found = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for done, error in enumerate(pool.map(_error, checks) if workers else map(_error, checks), start=1):
            found += [error] if error else []
            if progress is not None:
                progress(done, len(checks))
    return found


def is_bank(path: str | Path) -> bool:
    """Whether there is a bank in a folder, a damaged one too."""
    return (Path(path) / MANIFEST).is_file() or any(Path(path).glob("shard-*.safetensors"))


def check_whole(path: Path, manifest: Json, notes: Sequence[Json], partial: bool) -> None:
    """Refuse a bank of which a shard is missing, unless `partial`, or has other columns than the rest."""
    missing = lacking(manifest, notes)
    if missing and not (partial and notes):
        raise ValueError(
            f"Bank: expected a finished bank in {path}, got {missing}; run the command that made it again"
            f"{', or pass partial=True' if notes else ''}"
        )
    odd = next((note for note in notes if note["columns"] != notes[0]["columns"]), None)
    if odd is not None:
        raise ValueError(
            f"Bank: columns must be {notes[0]['columns']}, got {odd['columns']} in {odd['file']} of {path}"
        )


def lacking(manifest: Json, notes: Sequence[Json]) -> str:
    """What an unfinished bank has; "" for a finished one."""
    numbers, planned = [note["shard"] for note in notes], manifest["samples"]
    if not numbers:
        return "no shard"
    gap = next((place for place, number in enumerate(numbers) if place != number), None)
    if gap is not None:
        return f"no shard {gap}"
    count = sum(note["count"] for note in notes)
    return f"{count} of {planned} samples" if planned and count < planned else ""


def _error(check: Callable[[], object]) -> str:
    try:
        check()
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def _check_shard(note: Path) -> None:
    facts = read_note(note)
    _compare(note.parent / facts["file"], facts["sha256"])


def _check_trained(path: Path) -> None:
    try:
        expected = read_manifest(path)["trained_items"]
    except (ValueError, OSError):
        return  # has a line of its own
    if expected is not None:
        _compare(path / TRAINED, expected)


def _compare(path: Path, expected: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"Bank: {path} is missing")
    if sha256(path) != expected:
        raise ValueError(f"Bank: {path} differs from what was written, by its sha256")
