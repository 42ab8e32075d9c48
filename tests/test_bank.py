"""Banks: what is written is read, a kill at any moment loses at most one shard, and nothing wrong goes unnoticed."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from torchaug.data import Bank, BankWriter

CLASSES = ["cat", "dog", "eel"]
OPTIONS: dict[str, Any] = {
    "config": {"seed": 1, "sizes": (8, 8)},
    "trained_on": "af12",
    "generator": "3f00",
    "classes": CLASSES,
}


def shard(number: int, size: int = 10) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The content of a shard, a function of its number."""
    generator = torch.Generator().manual_seed(number)
    images = torch.randint(256, (size, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return images, torch.arange(size) % 3, torch.arange(size) + 10 * number


def fill(path: Any, shards: int = 4, quality: Any = None, **changes: Any) -> Any:
    with BankWriter(path, **(OPTIONS | {"shard_size": 10} | changes)) as bank:
        return [bank.write(number, *shard(number), quality=quality) for number in range(shards)]


def files(path: Any) -> Any:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    quality = torch.linspace(0, 1, 10)
    assert fill(tmp_path, quality=quality, samples=40, trained_items=torch.tensor([5, 6])) == [True] * 4
    bank = Bank(tmp_path)
    images = torch.cat([shard(number)[0] for number in range(4)])
    assert torch.equal(bank.images(), images)
    assert torch.equal(bank.labels, torch.cat([torch.arange(10) % 3] * 4))
    assert bank.ids.tolist() == list(range(40))
    assert bank.quality is not None
    assert torch.equal(bank.quality, quality.repeat(4))
    assert (bank.classes, bank.manifest["trained_on"], bank.manifest["generation"]) == (CLASSES, "af12", 0)
    assert bank.trained_items is not None
    assert bank.trained_items.tolist() == [5, 6]
    for index in (0, 9, 10, 39):
        item = bank[index]
        assert torch.equal(item["image"], images[index])
        assert (item["label"], item["index"]) == (index % 10 % 3, index)
    bank.verify()
    assert torch.equal(bank.in_memory().images, images)
    with pytest.raises(IndexError, match=r"in \[0, 40\), got 40"):
        bank[40]


def test_files_are_plain_safetensors_and_json(tmp_path: Path) -> None:
    fill(tmp_path, shards=1)
    assert torch.equal(load_file(tmp_path / "shard-000000.safetensors")["image"], shard(0)[0])
    assert json.loads((tmp_path / "manifest.json").read_text())["format"] == "torchaug-bank"
    (line,) = (tmp_path / "shards.jsonl").read_text().splitlines()
    assert json.loads(line) | {"sha256": ""} == {
        "shard": 0,
        "file": "shard-000000.safetensors",
        "sha256": "",
        "count": 10,
        "shape": [3, 8, 8],
        "ids": [0, 9],
        "labels": [4, 3, 3],
        "quality": False,
    }


def test_an_item_is_a_copy_and_workers_map_the_files_themselves(tmp_path: Path) -> None:
    fill(tmp_path)
    bank = Bank(tmp_path)
    bank[0]["image"].fill_(0)
    assert torch.equal(bank[0]["image"], shard(0)[0][0])
    assert len(pickle.dumps(bank)) < 5000
    for workers in (0, 2):
        batches = [batch["image"] for batch in DataLoader(bank, batch_size=7, num_workers=workers)]
        assert torch.equal(torch.cat(batches), bank.images())


def test_a_rerun_writes_only_what_is_missing(tmp_path: Path) -> None:
    fill(tmp_path)
    before = files(tmp_path)
    (tmp_path / "shard-000002.safetensors").unlink()
    damaged = bytearray(before["shard-000001.safetensors"])
    damaged[-1] ^= 1
    (tmp_path / "shard-000001.safetensors").write_bytes(damaged)
    assert fill(tmp_path) == [False, True, True, False]
    after = files(tmp_path)
    assert {name: data for name, data in after.items() if name != "shards.jsonl"} == {
        name: data for name, data in before.items() if name != "shards.jsonl"
    }
    Bank(tmp_path).verify()


def test_shards_may_come_in_any_order_and_from_several_writers(tmp_path: Path) -> None:
    one, two = (BankWriter(tmp_path, **OPTIONS, shard_size=10) for _ in range(2))
    for writer, number in ((two, 3), (one, 0), (two, 1), (one, 2)):
        writer.write(number, *shard(number))
    assert Bank(tmp_path).ids.tolist() == list(range(40))


@pytest.mark.parametrize("cut", range(1, 200, 13))
def test_a_torn_last_line_is_dropped_and_written_again(tmp_path: Path, cut: int) -> None:
    fill(tmp_path)
    whole = files(tmp_path)
    log = tmp_path / "shards.jsonl"
    log.write_bytes(log.read_bytes()[:-cut])
    assert len(Bank(tmp_path)) == 40 - 10 * (1 + (cut > len(whole["shards.jsonl"].splitlines()[-1])))
    assert sum(fill(tmp_path)) == 1
    assert files(tmp_path) == whole


WRITER = """
import os, pathlib, sys
sys.path.insert(0, os.path.dirname({file!r}))
from test_bank import fill
for path in sys.stdin:  # a child for each: it need not import torch again
    child = os.fork()
    if child == 0:
        fill(pathlib.Path(path.strip()), shards=150)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


def test_a_killed_writer_loses_at_most_one_shard(tmp_path: Path) -> None:
    bank, reference = tmp_path / "bank", tmp_path / "reference"
    fill(reference, shards=150)
    pauses, lines = random.Random(4), 0
    command = [sys.executable, "-c", WRITER.format(file=__file__)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(8):
            nursery.stdin.write(f"{bank}\n")
            child = int(nursery.stdout.readline())
            _wait_for_a_line(bank)
            time.sleep(pauses.random() * 0.02)
            os.kill(child, signal.SIGKILL)
            nursery.stdout.readline()
            before, lines = lines, (bank / "shards.jsonl").read_bytes().count(b"\n")
            assert lines > before
            assert 0 <= len(list(bank.glob("shard-*.safetensors"))) - lines <= 1, "the one that was not yet noted"
            half = Bank(bank)
            half.verify()
            assert len(half) == 10 * lines
    assert lines < 150, "the writer was killed at work"
    fill(bank, shards=150)
    left = {name: data for name, data in files(bank).items() if not name.endswith(".tmp")}
    assert left == files(reference)


def _wait_for_a_line(bank: Any) -> Any:
    """Until the writer has noted one more shard."""
    log = bank / "shards.jsonl"
    before = log.stat().st_size if log.exists() else 0
    for _ in range(10_000):
        if log.exists() and log.stat().st_size > before:
            return
        time.sleep(0.001)
    raise AssertionError("the writer wrote nothing in ten seconds")


def test_a_full_disk_is_a_clear_error_and_a_rerun_completes(tmp_path: Path) -> None:
    fill(tmp_path, shards=2)
    (tmp_path / "shard-000002.safetensors.tmp").symlink_to("/dev/full")  # every write there fails with ENOSPC
    with pytest.raises(OSError, match=r"cannot write .*shard-000002.safetensors: No space left.*run again") as caught:
        fill(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "shard-000002.safetensors.tmp").exists()
    bank = Bank(tmp_path)
    bank.verify()
    assert len(bank) == 20
    assert fill(tmp_path) == [False, False, True, True]
    assert len(Bank(tmp_path)) == 40


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
def test_data_reach_the_disk_before_their_name_and_the_name_before_the_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, shards=0)
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        events.append(f"flush {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        events.append(f"rename {source.name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    fill(tmp_path, shards=1)
    temporary = "shard-000000.safetensors.tmp"
    assert events == [f"flush {temporary}", f"rename {temporary}", f"flush {tmp_path.name}", "flush shards.jsonl"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"seed": 2}}, r"another config \(config: .*1.* there, .*2.* wanted\)"),
        ({"trained_on": "00"}, "another trained_on"),
        ({"classes": ["cat"]}, "another classes"),
        ({"shard_size": 20, "generator": "ff"}, "another generator and shard_size"),
        ({"generation": 1}, "another generation"),
    ],
)
def test_another_bank_in_the_folder_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    fill(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ValueError, match=message):
        fill(tmp_path, **changes)
    assert files(tmp_path) == before


def test_shards_without_a_manifest_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "shard-000000.safetensors").write_bytes(b"precious")
    with pytest.raises(ValueError, match="holds shards but no manifest"):
        fill(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "ids", "message"),
    [
        (torch.zeros(2, 3, 8, 8), torch.zeros(2).long(), torch.arange(2), "uint8 .* got torch.float32"),
        (torch.zeros(11, 3, 8, 8).byte(), torch.zeros(11).long(), torch.arange(11), "n from 1 to 10"),
        (torch.zeros(2, 1, 8, 8).byte(), torch.zeros(2).long(), torch.arange(2), r"must be \(3, 8, 8\) as before"),
        (torch.zeros(2, 3, 8, 8).byte(), torch.tensor([0, 3]), torch.arange(2), "got 3 at index 1"),
        (torch.zeros(2, 3, 8, 8).byte(), torch.zeros(3).long(), torch.arange(2), r"labels must be \(2,\)"),
        (torch.zeros(2, 3, 8, 8).byte(), torch.zeros(2).long(), torch.arange(3), r"ids must be \(2,\)"),
    ],
)
def test_a_shard_that_does_not_fit_is_refused(tmp_path: Path, images: Any, labels: Any, ids: Any, message: str) -> None:
    fill(tmp_path, shards=1)
    with pytest.raises(ValueError, match=message), BankWriter(tmp_path, **OPTIONS, shard_size=10) as bank:
        bank.write(1, images, labels, ids)


def test_what_is_no_bank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a bank .* got none"):
        Bank(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{")
    with pytest.raises(ValueError, match="must be JSON"):
        Bank(tmp_path)
    manifest.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="not a bank"):
        Bank(tmp_path)
    manifest.unlink()
    fill(tmp_path)
    newer = json.loads(manifest.read_text()) | {"version": 2}
    manifest.write_text(json.dumps(newer))
    with pytest.raises(ValueError, match=r"version 2, .* reads up to 1; update"):
        Bank(tmp_path)


def test_an_unfinished_bank_is_read_only_when_asked(tmp_path: Path) -> None:
    fill(tmp_path, shards=3, samples=40)
    with pytest.raises(ValueError, match=r"expected 40 samples .* got 30: it is not finished"):
        Bank(tmp_path)
    assert len(Bank(tmp_path, partial=True)) == 30
    fill(tmp_path, shards=4, samples=40)
    assert len(Bank(tmp_path)) == 40


def test_an_empty_bank_is_not_finished(tmp_path: Path) -> None:
    fill(tmp_path, shards=0)
    with pytest.raises(ValueError, match=r"expected some samples .* got 0"):
        Bank(tmp_path)


def test_a_missing_a_damaged_and_a_torn_shard_are_found(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "shard-000001.safetensors"
    whole = path.read_bytes()
    for place in (-1, len(whole) // 2):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"1 of 4 shards .* differ .*: shard-000001"):
            Bank(tmp_path).verify()
    path.write_bytes(whole[:100])
    with pytest.raises(ValueError, match=r"cannot read label of .*shard-000001"):
        Bank(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-000001.* is missing; run the command"):
        Bank(tmp_path)


def test_a_changed_log_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path)
    log = tmp_path / "shards.jsonl"
    log.write_bytes(b"{}x\n" + log.read_bytes())
    with pytest.raises(ValueError, match="one JSON object a line"):
        Bank(tmp_path)
