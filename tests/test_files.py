"""Files that are whole or not there, whoever writes them at the same time."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from torchaug.data.files import append_line, create_file, locked, read_lines, replace_file


def test_what_a_kill_left_behind_is_overwritten_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    (tmp_path / "a.json.tmp").write_bytes(b"a longer text that a killed process left behind")
    replace_file(file, b"short")
    assert file.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_created_once(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    assert create_file(file, b"first")
    assert not create_file(file, b"second")
    assert file.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [file]


def test_of_writers_at_the_same_time_one_creates_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    start = threading.Barrier(8)
    results: list[bool] = []

    def write(number: int) -> None:
        start.wait()
        results.append(create_file(file, str(number).encode() * 1000))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(True) == 1
    assert len(set(file.read_bytes())) == 1
    assert len(file.read_bytes()) == 1000


def test_who_waits_for_a_renamed_file_locks_the_one_of_that_name(tmp_path: Path) -> None:
    """Else two writers would each believe to be alone."""
    file, log = tmp_path / "a.tmp", []

    def second() -> None:
        with locked(file) as descriptor:
            log.append(os.path.samestat(os.fstat(descriptor), file.stat()))

    with locked(file):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.1)
        file.rename(tmp_path / "a")
        assert log == []
    waiting.join()
    assert log == [True]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_is_dropped_and_written_again(tmp_path: Path, cut: int) -> None:
    log = tmp_path / "log.jsonl"
    for number in range(4):
        append_line(log, {"rows": [number], "reason": "x"})
    whole = log.read_bytes()
    log.write_bytes(whole[:-cut])
    kept = read_lines(log)
    assert kept == [{"rows": [number], "reason": "x"} for number in range(4)][: len(kept)]
    assert len(kept) == whole[:-cut].count(b"\n")
    append_line(log, {"rows": [9]})
    assert read_lines(log) == [*kept, {"rows": [9]}]


def test_a_line_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"{}x\n{}\n")
    with pytest.raises(ValueError, match="one JSON object a line"):
        read_lines(log)
