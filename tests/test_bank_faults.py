"""Banks that something happened to: changed bytes, missing files, several processes, read-only folders, small memories."""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bank import OPTIONS, files, fill, shard

from torchaug.data import Bank, BankWriter, SampleError
from torchaug.data.bank import damaged

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank with a file of every kind."""
    path = tmp_path_factory.mktemp("whole") / "bank"
    with BankWriter(path, **OPTIONS, shard_size=10, trained_items=torch.tensor([4, 5])) as writer:
        for number in range(2):
            content, labels, ids = shard(number)
            texts = [f"text {index} é" for index in range(10)]
            writer.write(number, content | {"text": texts}, labels, ids, quality=torch.rand(10))
    Bank(path).drop([3, 4], "blurred").drop([0], "a copy")
    assert damaged(path) == []
    return path


KINDS = ["shard-000001.safetensors", "shard-000000.json", "manifest.json", "dropped.jsonl", "trained_items.safetensors"]


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(KINDS), place=st.floats(0, 1, exclude_max=True), head=st.booleans(), bit=st.integers(0, 7))
def test_a_changed_bit_anywhere_is_found_and_is_no_other_error(
    whole: Path, name: str, place: float, head: bool, bit: int
) -> None:
    before = (whole / name).read_bytes()
    header = 8 + int.from_bytes(before[:8], "little") if name.endswith(".safetensors") else len(before)
    changed = bytearray(before)
    at = int(place * (header if head else len(before)))
    changed[at] ^= 1 << bit
    (whole / name).write_bytes(changed)
    try:
        found = damaged(whole)
        assert len(found) == 1
        assert name in found[0]
        with pytest.raises(ValueError, match=rf"{name}|{whole}: labels must be"):
            Bank(whole).verify()
        with contextlib.suppress(ValueError):  # SampleError among them
            bank = Bank(whole)
            for index in range(len(bank)):
                bank[index]
            bank.__getitems__(range(len(bank)))
    finally:
        (whole / name).write_bytes(before)
    Bank(whole).verify()


def test_every_bit_of_the_log_of_dropped_samples_counts(whole: Path) -> None:
    log = whole / "dropped.jsonl"
    before = log.read_bytes()
    for at in range(len(before)):
        log.write_bytes(before[:at] + bytes([before[at] ^ 1 << at % 8]) + before[at + 1 :])
        with pytest.raises(ValueError, match=r"dropped\.jsonl"):
            Bank(whole)
    kept = [Bank(whole).rows.tolist() for at in range(len(before)) if log.write_bytes(before[:at]) == at]
    log.write_bytes(before)
    rows = list(range(20))
    lost = [[row for row in rows if row not in gone] for gone in ([], [3, 4], [0, 3, 4])]
    assert kept[0] == lost[0], "a torn line is as if it had not been written"
    assert kept[-1] == lost[1]
    assert Bank(whole).rows.tolist() == lost[2]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shard-000001.safetensors", "shard-000001.safetensors is missing"),
        ("trained_items.safetensors", "trained_items.safetensors is missing"),
        ("manifest.json", r"expected a bank \(a folder with manifest.json\)"),
    ],
)
def test_a_missing_file_is_found(whole: Path, name: str, words: str) -> None:
    before = (whole / name).read_bytes()
    (whole / name).unlink()
    try:
        with pytest.raises((FileNotFoundError, ValueError), match=words):
            Bank(whole).verify()
        assert len(damaged(whole)) == 1
    finally:
        (whole / name).write_bytes(before)


def test_all_faults_are_listed_also_of_a_bank_that_cannot_be_opened(tmp_path: Path) -> None:
    fill(tmp_path)
    newer = json.loads((tmp_path / "manifest.json").read_text()) | {"version": 7}
    (tmp_path / "manifest.json").write_text(json.dumps(newer))
    (tmp_path / "shard-000000.safetensors").write_bytes(b"short")
    (tmp_path / "shard-000001.safetensors").unlink()
    (tmp_path / "shard-000002.json").write_text("{}")
    words = [
        "version 7",
        "shard-000000.safetensors differs",
        "shard-000001.safetensors is missing",
        "shard-000002.json",
    ]
    steps: list[tuple[int, int]] = []
    found = damaged(tmp_path, lambda *step: steps.append(step), workers=3)
    assert len(found) == 4
    assert all(word in line for word, line in zip(words, found, strict=True))
    assert steps == [(step, 7) for step in range(1, 8)]
    assert damaged(tmp_path) == found


def test_a_sample_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with BankWriter(tmp_path, **(OPTIONS | {"classes": []})) as writer:
        writer.write(0, {"text": ["abc", "def"]}, None, torch.arange(2))
    path = tmp_path / "shard-000000.safetensors"
    path.write_bytes(path.read_bytes().replace(b"abcdef", b"abc\xff\xfe\xfd"))
    bank = Bank(tmp_path)
    assert bank[0]["text"] == "abc"
    for read in (lambda: bank[1], lambda: bank.__getitems__([0, 1])):
        with pytest.raises(SampleError, match="UnicodeDecodeError") as caught:
            read()
        assert (caught.value.index, caught.value.path) == (1, str(path))
    with pytest.raises(IndexError, match=r"\[0, 2\), got 2"):
        bank.__getitems__([0, 2])


def test_other_hashes_of_trained_items_are_another_bank(whole: Path) -> None:
    with pytest.raises(ValueError, match="another trained_items"):
        BankWriter(whole, **OPTIONS, shard_size=10, trained_items=torch.tensor([4, 6]))


NURSERY = """
import json, os, sys, traceback
sys.path[:0] = {paths!r}
from test_bank import *

def run(command, start):
    os.read(start, 1)  # nothing before all of them are there
    try:
        exec(command, dict(globals()))
    except BaseException:
        return traceback.format_exc()
    return ""

for line in sys.stdin:
    start, go = os.pipe()
    children = []
    for command in json.loads(line):
        told, tell = os.pipe()
        if os.fork() == 0:  # a process of its own, which need not import torch again
            os.write(tell, run(command, start).encode()[-60_000:])
            os._exit(0)
        os.close(tell)
        children.append(told)
    os.write(go, b"go"), os.close(start), os.close(go)
    texts = [os.fdopen(told).read() for told in children]
    print(json.dumps([text.strip().rpartition(chr(10))[2] for text in texts]), flush=True)
"""


@pytest.fixture(scope="module")
def at_once() -> Iterator[Callable[..., list[str]]]:
    """Runs programs at the same time, as processes of their own; gives the error that each ended with, or ""."""
    command = [sys.executable, "-c", NURSERY.format(paths=[str(ROOT / "tests"), str(ROOT)])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as nursery:
        stdin, stdout = nursery.stdin, nursery.stdout
        assert stdin is not None
        assert stdout is not None

        def run(*programs: str) -> list[str]:
            stdin.write(json.dumps(programs) + "\n")
            errors: list[str] = json.loads(stdout.readline())
            return errors

        yield run
        stdin.close()


def test_two_processes_write_the_same_bank(tmp_path: Path, at_once: Callable[..., list[str]]) -> None:
    assert at_once(*[f"fill({str(tmp_path / 'bank')!r}, shards=40)"] * 2) == ["", ""]
    fill(tmp_path / "alone", shards=40)
    assert files(tmp_path / "bank") == files(tmp_path / "alone")


def test_of_two_processes_with_different_plans_one_is_refused(
    tmp_path: Path, at_once: Callable[..., list[str]]
) -> None:
    path = str(tmp_path / "bank")
    errors = at_once(*[f"fill({path!r}, shards=20, config={{'seed': {seed}}})" for seed in (1, 2)])
    refused = next(seed for seed, error in enumerate(errors) if error)
    assert "holds a bank with another config" in errors[refused]
    assert errors[1 - refused] == ""
    fill(tmp_path / "alone", shards=20, config={"seed": 2 - refused})
    assert files(tmp_path / "bank") == files(tmp_path / "alone")


def test_no_appended_shard_of_two_processes_is_lost(tmp_path: Path, at_once: Callable[..., list[str]]) -> None:
    fill(tmp_path, shards=1)
    command = f"w = BankWriter.open({str(tmp_path)!r}); [w.append(*shard(n)) for n in range({{}}, {{}} + 15)]"
    assert at_once(command.format(100, 100), command.format(200, 200)) == ["", ""]
    bank = Bank(tmp_path)
    bank.verify()
    firsts = bank.ids.view(-1, 10)[1:, 0].div(10).long().tolist()
    assert sorted(firsts) == [*range(100, 115), *range(200, 215)]
    assert [n for n in firsts if n < 200] == list(range(100, 115)), "each in its own order"
    assert all(torch.equal(bank[10 * i + 10]["image"], shard(n)[0]["image"][0]) for i, n in enumerate(firsts))


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Root may write anywhere: be somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_bank_on_a_read_only_folder_is_read_and_nothing_else() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bank"
        fill(path)
        Path(folder).chmod(0o755)
        path.chmod(0o555)
        with nobody():
            bank = Bank(path)
            assert len(bank) == 40
            bank.verify()
            with pytest.raises(PermissionError, match=r"cannot write .*dropped.jsonl: Permission denied"):
                bank.drop([0], "bad")
            with pytest.raises(PermissionError, match=r"cannot add to .*bank: Permission denied"):
                BankWriter.open(path).append(*shard(9))
            assert len(Bank(path)) == 40
        path.chmod(0o755)


READ = """
import random
bank = Bank({path!r})
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
bank[0], bank.__getitems__([1, 2])
start, most = anonymous(), 0
for number, index in enumerate(random.Random(0).sample(range(len(bank)), len(bank))):
    bank[index]
    most = max(most, anonymous()) if number % 64 == 0 else most
for first in range(0, len(bank), 64):
    bank.__getitems__(range(first, min(first + 64, len(bank))))
    most = max(most, anonymous())
bank.verify()
raise SystemExit((len(bank), max(most, anonymous()) - start))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_stays_flat_over_a_large_bank(tmp_path: Path, at_once: Callable[..., list[str]]) -> None:
    images = torch.randint(256, (256, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with BankWriter(tmp_path, **(OPTIONS | {"classes": []}), shard_size=256) as writer:
        for number in range(12):
            writer.write(number, {"image": images}, None, torch.arange(256))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) > 600e6
    said = re.fullmatch(r"SystemExit: \((\d+), (-?\d+)\)", at_once(READ.format(path=str(tmp_path)))[0])
    assert said
    assert int(said[1]) == 12 * 256
    assert int(said[2]) < 50_000, "kB of 600 MB"


def resident(path: Path) -> float:
    """The share of a file's pages that are in memory."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        flags = (ctypes.c_ubyte * pages)()
        start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        failed = ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(start), ctypes.c_size_t(len(mapped)), flags)
        assert not failed
        return sum(flag & 1 for flag in flags) / pages


@pytest.mark.skipif(sys.platform != "linux", reason="needs mincore")
def test_opening_does_not_read_the_images(tmp_path: Path) -> None:
    images = torch.zeros(256, 3, 256, 256, dtype=torch.uint8)
    with BankWriter(tmp_path, **OPTIONS, shard_size=256) as writer:
        writer.write(0, {"image": images}, torch.zeros(256).long(), torch.arange(256))
    path = tmp_path / "shard-000000.safetensors"
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if resident(path) > 0:
        pytest.skip("a file system that keeps files in memory")
    bank: Any = Bank(path.parent)
    assert len(bank) == 256
    assert resident(path) < 0.1, "what the system reads ahead"
    bank.column("image")
    assert resident(path) == 1.0
