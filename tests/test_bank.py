"""Banks: what is written is read, a kill at any moment loses at most one shard, and nothing wrong goes unnoticed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file, save
from torch.utils.data import DataLoader

from torchaug.data import Bank, BankWriter, merge
from torchaug.data.bank.format import sealed
from torchaug.data.bank.pack import pack

CLASSES = ["cat", "dog", "eel"]
OPTIONS: dict[str, Any] = {
    "config": {"seed": 1, "sizes": (8, 8)},
    "trained_on": "af12",
    "generator": "3f00",
    "classes": CLASSES,
}


def shard(number: int, size: int = 10) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """The content of a shard, a function of its number."""
    generator = torch.Generator().manual_seed(number)
    images = torch.randint(256, (size, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return {"image": images}, torch.arange(size) % 3, torch.arange(size) + 10 * number


def fill(path: Any, shards: int = 4, quality: Any = None, **changes: Any) -> Any:
    with BankWriter(path, **(OPTIONS | {"shard_size": 10} | changes)) as bank:
        return [bank.write(number, *shard(number), quality=quality) for number in range(shards)]


def files(path: Any) -> Any:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    quality = torch.linspace(0, 1, 10)
    assert fill(tmp_path, quality=quality, samples=40, trained_items=torch.tensor([5, 6])) == [True] * 4
    bank = Bank(tmp_path)
    images = torch.cat([shard(number)[0]["image"] for number in range(4)])
    assert torch.equal(bank.in_memory().images, images)
    assert torch.equal(bank.in_memory().labels, torch.cat([torch.arange(10) % 3] * 4))
    assert bank.ids.tolist() == list(range(40))
    assert bank.quality is not None
    assert torch.equal(bank.quality, quality.repeat(4))
    assert (bank.classes, bank.trained_on, bank.generation) == (CLASSES, ("af12",), 0)
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
    assert torch.equal(load_file(tmp_path / "shard-000000.safetensors")["image"], shard(0)[0]["image"])
    assert json.loads((tmp_path / "manifest.json").read_text())["format"] == "torchaug-bank"
    sha256 = hashlib.sha256((tmp_path / "shard-000000.safetensors").read_bytes()).hexdigest()
    note = json.loads((tmp_path / "shard-000000.json").read_text())
    checksum = note.pop("checksum")
    assert checksum == hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:32]
    assert note == {
        "shard": 0,
        "file": "shard-000000.safetensors",
        "sha256": sha256,
        "count": 10,
        "ids": [0, 9],
        "labels": [4, 3, 3],
        "quality": False,
        "columns": {"image": {"kind": "stacked", "dtype": "uint8", "shape": [3, 8, 8]}},
        "made_by": 0,
    }


def test_an_item_is_a_copy_and_workers_map_the_files_themselves(tmp_path: Path) -> None:
    fill(tmp_path)
    bank = Bank(tmp_path)
    bank[0]["image"].fill_(0)
    for item in bank.__getitems__([0, 11, 1]):
        item["image"].fill_(0)
    assert torch.equal(bank[0]["image"], shard(0)[0]["image"][0])
    assert torch.equal(bank[11]["image"], shard(1)[0]["image"][1])
    assert len(pickle.dumps(bank)) < 5000
    for workers in (0, 2):
        batches = [batch["image"] for batch in DataLoader(bank, batch_size=7, num_workers=workers)]
        assert torch.equal(torch.cat(batches), bank.in_memory().images)


def test_a_rerun_writes_only_what_is_missing(tmp_path: Path) -> None:
    fill(tmp_path)
    before = files(tmp_path)
    (tmp_path / "shard-000002.safetensors").unlink()
    damaged = bytearray(before["shard-000001.safetensors"])
    damaged[-1] ^= 1
    (tmp_path / "shard-000001.safetensors").write_bytes(damaged)
    assert fill(tmp_path) == [False, True, True, False]
    assert files(tmp_path) == before
    Bank(tmp_path).verify()


def test_shards_may_come_in_any_order_and_from_several_writers(tmp_path: Path) -> None:
    one, two = (BankWriter(tmp_path / "bank", **OPTIONS, shard_size=10) for _ in range(2))
    for writer, number in ((two, 3), (one, 0), (two, 1), (one, 2), (two, 0)):
        writer.write(number, *shard(number))
    assert Bank(tmp_path / "bank").ids.tolist() == list(range(40))
    fill(tmp_path / "alone")
    assert files(tmp_path / "bank") == files(tmp_path / "alone")


def test_a_writer_sees_what_another_wrote_since_it_was_opened(tmp_path: Path) -> None:
    writer = BankWriter(tmp_path, **OPTIONS, shard_size=10)
    assert not writer.has(1)
    fill(tmp_path, shards=2)
    assert writer.has(1)
    assert writer.write(1, *shard(1)) is False


def test_a_writer_joins_a_bank_that_another_began_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def later(self: Path, *arguments: Any, **options: Any) -> None:
        monkeypatch.undo()  # after this writer found no bank, the other makes one
        fill(tmp_path / "bank", shards=2)
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", later)
    assert fill(tmp_path / "bank") == [False, False, True, True]


@pytest.mark.parametrize("rows", [[2, 3, 4], [1, 3, 2, 4], [0], [9, 8], [5, 5, 7]])
def test_samples_are_taken_in_the_order_that_is_asked_for(tmp_path: Path, rows: list[int]) -> None:
    fill(tmp_path)
    content = shard(2)[0]["image"]
    taken: Any = Bank(tmp_path).take(torch.tensor(rows) + 20)["image"]
    assert torch.equal(taken, content[rows])
    less = Bank(tmp_path).drop([20, 22], "bad")
    column: Any = less.column("image")
    assert torch.equal(column[20:28], content[[1, 3, 4, 5, 6, 7, 8, 9]])
    batch = less.__getitems__([21, 0, 27])
    assert [item["index"] for item in batch] == [21, 0, 27]
    assert torch.equal(batch[0]["image"], content[3])
    assert [item["label"] for item in batch] == [3 % 3, 0, 9 % 3]


def test_only_so_many_shards_stay_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    monkeypatch.setattr("torchaug.data.bank.reader.MAPPED", 2)
    bank = Bank(tmp_path)
    for index in (0, 10, 20, 0, 39, 25):
        assert torch.equal(bank[index]["image"], shard(index // 10)[0]["image"][index % 10])
        assert len(bank._mapped) <= 2


class Killed(BaseException):
    """What stands for SIGKILL: nothing may catch it."""


class Disk:
    """Does what the operating system does, until the process is killed after so many bytes or names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, units: int) -> None:
        self.left, write, replace, unlink = units, os.write, os.replace, os.unlink

        def spend(amount: int) -> int:
            granted = min(amount, self.left)
            self.left -= granted
            return granted

        def killed_write(file: int, data: Any) -> int:
            part = spend(len(data))
            write(file, data[:part])
            if part < len(data):
                raise Killed
            return part

        def killed_replace(source: Path, target: Path) -> None:
            if not spend(1):
                raise Killed
            replace(source, target)

        monkeypatch.setattr(os, "write", killed_write)
        monkeypatch.setattr(os, "replace", killed_replace)
        monkeypatch.setattr(os, "unlink", unlink)


@settings(max_examples=60, deadline=None)
@given(kills=st.lists(st.integers(0, 15_000), max_size=4))
def test_a_kill_at_any_byte_loses_at_most_one_shard(kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bank, reference = Path(folder) / "bank", Path(folder) / "reference"
        fill(reference)
        for units in kills:
            with pytest.MonkeyPatch.context() as monkeypatch, contextlib.suppress(Killed):
                Disk(monkeypatch, units)
                fill(bank)
            notes = list(bank.glob("shard-*.json"))
            assert 0 <= len(list(bank.glob("shard-*.safetensors"))) - len(notes) <= 1
            if notes:
                half = Bank(bank)
                half.verify()
                assert len(half) == 10 * len(notes)
        fill(bank)
        assert files(bank) == files(reference)


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
    pauses, notes = random.Random(4), 0
    command = [sys.executable, "-c", WRITER.format(file=__file__)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(8):
            nursery.stdin.write(f"{bank}\n")
            child = int(nursery.stdout.readline())
            _wait_for_a_note(bank, notes)
            time.sleep(pauses.random() * 0.02)
            os.kill(child, signal.SIGKILL)
            nursery.stdout.readline()
            before, notes = notes, len(list(bank.glob("shard-*.json")))
            assert notes > before
            assert 0 <= len(list(bank.glob("shard-*.safetensors"))) - notes <= 1, "the one that was not yet noted"
            half = Bank(bank)
            half.verify()
            assert len(half) == 10 * notes
    assert notes < 150, "the writer was killed at work"
    fill(bank, shards=150)
    assert files(bank) == files(reference)


def _wait_for_a_note(bank: Path, notes: int) -> None:
    """Until the writer has noted one more shard."""
    for _ in range(10_000):
        if len(list(bank.glob("shard-*.json"))) > notes:
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
    names = [f"shard-000000.{ending}.tmp" for ending in ("safetensors", "json")]
    assert events == [e for name in names for e in (f"flush {name}", f"rename {name}", f"flush {tmp_path.name}")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"seed": 2}}, r"another config \(config: .*1.* there, .*2.* wanted\)"),
        ({"trained_on": "00"}, r'another trained_on \(trained_on: "af12" there, "00" wanted'),
        ({"classes": ["cat"]}, "another classes"),
        ({"shard_size": 20, "generator": "ff"}, r"another shard_size and generator \(shard_size: 10 there, 20 wanted"),
        ({"generation": 1}, r"another generation \(generation: 0 there, 1 wanted"),
        ({"attributes": {"sample_rate": 8000}}, "another attributes"),
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
    with pytest.raises(ValueError, match=r"holds shard-\S+ but no manifest.json: it is no bank"):
        fill(tmp_path)


def images(*shape: int) -> dict[str, torch.Tensor]:
    return {"image": torch.zeros(shape, dtype=torch.uint8)}


@pytest.mark.parametrize(
    ("content", "labels", "ids", "message"),
    [
        ({"image": torch.zeros(2, 3, 8, 8)}, [0, 0], 2, "columns must be .*uint8.* as before, got .*float32"),
        (images(2, 1, 8, 8), [0, 0], 2, r"columns must be .*3, 8, 8.* as before, got .*1, 8, 8"),
        (images(11, 3, 8, 8), [0] * 11, 11, "must hold 1 to 10 samples, got 11"),
        (images(2, 3, 8, 8), [0, 3], 2, "got 3 at index 1"),
        (images(2, 3, 8, 8), [0] * 3, 2, r"labels must be \(2,\)"),
        (images(2, 3, 8, 8), [0, 0], 3, r"'image' must hold 3 samples, as there are ids, got 2"),
        ({}, [0, 0], 2, "expected at least one column"),
        (images(2, 3, 8, 8) | {"label": torch.zeros(2)}, [0, 0], 2, "none of label, .* got 'label'"),
        (torch.zeros(2, 3, 8, 8), [0, 0], 2, "expected samples by column, .* got a Tensor"),
        ({"text": ["a", "\ud800"]}, [0, 0], 2, "texts that UTF-8 has, got"),
        ({"text": ["a", torch.zeros(1)]}, [0, 0], 2, "column 'text' must be .* got a mixture"),
        ({"waveform": [torch.zeros(1, 3), torch.zeros(2, 3)]}, [0, 0], 2, r"\(2, 3\) at 1 beside .* \(1, 3\) at 0"),
    ],
)
def test_a_shard_that_does_not_fit_is_refused(
    tmp_path: Path, content: Any, labels: list[int], ids: int, message: str
) -> None:
    fill(tmp_path, shards=1)
    before = files(tmp_path)
    with BankWriter(tmp_path, **OPTIONS, shard_size=10) as bank, pytest.raises((ValueError, TypeError), match=message):
        bank.write(1, content, torch.tensor(labels), torch.arange(ids))
    assert files(tmp_path) == before


def test_labels_and_classes_go_together(tmp_path: Path) -> None:
    fill(tmp_path / "classes", shards=1)
    with pytest.raises(ValueError, match="expected labels of the 3 classes, got none"):
        BankWriter(tmp_path / "classes", **OPTIONS, shard_size=10).write(1, images(1, 3, 8, 8), None, torch.arange(1))
    plain = BankWriter(tmp_path / "none", **(OPTIONS | {"classes": []}))
    with pytest.raises(ValueError, match="expected no labels without classes, got labels"):
        plain.write(0, images(1, 3, 8, 8), torch.zeros(1).long(), torch.arange(1))
    plain.write(0, images(1, 3, 8, 8), None, torch.arange(1))
    bank = Bank(tmp_path / "none")
    assert bank.labels is None
    assert set(bank[0]) == {"image", "index"}


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.bool]
DTYPES += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64]


@given(st.dictionaries(st.text("abé_", min_size=1), st.tuples(st.sampled_from(DTYPES), st.integers(0, 5)), min_size=1))
def test_shards_are_what_safetensors_reads_and_writes(columns: dict[str, tuple[torch.dtype, int]]) -> None:
    tensors = {name: torch.arange(2 * size).view(size, 2).to(dtype) for name, (dtype, size) in columns.items()}
    found = load_bytes(b"".join(pack(tensors)))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    usual = {
        name: tensor for name, tensor in tensors.items() if tensor.dtype in (torch.int64, torch.float32, torch.bool)
    }
    assert b"".join(pack(usual)) == save(usual), "widths that one dtype alone has, as safetensors orders others by name"


def test_a_dtype_that_safetensors_lacks_is_named(tmp_path: Path) -> None:
    with BankWriter(tmp_path, **OPTIONS) as writer, pytest.raises(ValueError, match=r"'table' must be .*complex128"):
        writer.write(0, {"table": torch.ones(1, 2, dtype=torch.complex128)}, torch.tensor([0]), torch.arange(1))
    assert not list(tmp_path.glob("shard-*"))


TEXTS = st.lists(st.text(max_size=5), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, seed=st.integers(0, 99), dtype=st.sampled_from([torch.float32, torch.int16, torch.bool]))
def test_texts_and_tensors_of_any_length_come_back(texts: list[str], seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 5, (len(texts),), generator=generator).tolist()
    waves = [torch.randint(0, 2, (2, length), generator=generator).to(dtype) for length in lengths]
    rows = torch.randn(len(texts), 3, generator=generator, dtype=torch.float64)
    content: dict[str, Any] = {"text": texts, "waveform": waves, "table": rows}
    with tempfile.TemporaryDirectory() as folder:
        with BankWriter(folder, **(OPTIONS | {"classes": []}), attributes={"sample_rate": 16000}) as writer:
            writer.write(0, content, None, torch.arange(len(texts)))
            writer.write(1, {name: values[:1] for name, values in content.items()}, None, torch.arange(1))
        bank = Bank(folder)
        assert bank.attributes == {"sample_rate": 16000}
        for index in range(len(texts) + 1):
            item, place = bank[index], index % len(texts)
            assert item["text"] == texts[place]
            assert torch.equal(item["waveform"], waves[place])
            assert item["waveform"].dtype == dtype
            assert torch.equal(item["table"], rows[place])
        assert bank.column("text") == [*texts, texts[0]]
        assert torch.equal(torch.as_tensor(bank.column("table")), torch.cat([rows, rows[:1]]))


def test_groups_are_a_column(tmp_path: Path) -> None:
    groups = torch.tensor([2, 0, 1])
    with BankWriter(tmp_path, **OPTIONS, attributes={"groups": ["a", "b", "c"]}) as writer:
        writer.write(0, images(3, 3, 8, 8) | {"group": groups}, torch.tensor([0, 1, 2]), torch.arange(3))
    bank = Bank(tmp_path).drop([1], "bad")
    assert bank.groups is not None
    assert bank.groups.tolist() == [2, 1]
    assert bank.group_names == ["a", "b", "c"]
    assert [bank[index]["group"] for index in range(2)] == [2, 1]


def test_what_is_appended_goes_behind_what_is_there(tmp_path: Path) -> None:
    fill(tmp_path, shards=2)
    writer, other = BankWriter.open(tmp_path), BankWriter.open(tmp_path)
    assert [w.append(*shard(number)) for number, w in ((2, writer), (3, other), (4, writer))] == [2, 3, 4]
    bank = Bank(tmp_path)
    assert bank.ids.tolist() == list(range(50))
    bank.verify()
    with pytest.raises(FileNotFoundError, match="expected a bank"):
        BankWriter.open(tmp_path / "none")


def test_dropped_samples_are_left_out_and_remembered(tmp_path: Path) -> None:
    fill(tmp_path, quality=torch.linspace(0, 1, 10))
    whole = Bank(tmp_path)
    less = whole.drop([0, 39, 5], "blurred").drop(torch.tensor([0]), "a copy")
    gone = {0, 5, 39, 1}
    kept = [row for row in range(40) if row not in gone]
    for bank in (less, Bank(tmp_path)):
        assert bank.rows.tolist() == kept
        assert bank.ids.tolist() == kept
        assert len(bank) == 36
        assert all(torch.equal(bank[i]["image"], whole[row]["image"]) for i, row in enumerate(kept))
        assert bank.in_memory().labels.tolist() == [row % 10 % 3 for row in kept]
        assert bank.fingerprint != whole.fingerprint
        assert bank.identity == whole.identity
    lines = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert [(line["rows"], line["reason"]) for line in lines] == [([0, 5, 39], "blurred"), ([1], "a copy")]
    with pytest.raises(IndexError, match=r"in \[0, 36\), got 36"):
        less.drop([36], "none")
    assert fill(tmp_path, quality=torch.linspace(0, 1, 10)) == [False] * 4
    assert len(Bank(tmp_path)) == 36
    (tmp_path / "dropped.jsonl").write_text(json.dumps(sealed({"rows": [40]})) + "\n")
    with pytest.raises(ValueError, match="drops row 40 of 40; it was changed"):
        Bank(tmp_path)


def test_nothing_is_dropped_from_an_unfinished_bank(tmp_path: Path) -> None:
    fill(tmp_path, shards=3, samples=40)
    with pytest.raises(ValueError, match="none can be dropped from"):
        Bank(tmp_path, partial=True).drop([1], "bad")


def test_merged_banks_keep_their_samples_and_makers(tmp_path: Path) -> None:
    fill(tmp_path / "a", shards=2, trained_items=torch.tensor([1, 2]))
    other = {"classes": ["dog", "fox"], "generator": "77", "trained_on": "bb", "generation": 2}
    with BankWriter(tmp_path / "b", **(OPTIONS | other), trained_items=torch.tensor([2, 3])) as writer:
        writer.write(0, images(2, 3, 8, 8), torch.tensor([1, 0]), torch.tensor([7, 8]))
    banks = [Bank(tmp_path / "a").drop([0, 19], "bad"), Bank(tmp_path / "b")]
    steps: list[tuple[int, int]] = []
    both = merge(banks, tmp_path / "both", progress=lambda *step: steps.append(step))
    assert steps == [(9, 20), (18, 20), (20, 20)]
    assert both.classes == ["cat", "dog", "eel", "fox"]
    assert both.counts() == {"cat": 6, "dog": 7, "eel": 6, "fox": 1}
    assert both.ids.tolist() == [*range(1, 19), 7, 8]
    assert both.in_memory().labels.tolist()[-2:] == [3, 1]
    assert [both.manifest["made_by"][maker]["generator"] for maker in both.makers[[0, -1]]] == ["3f00", "77"]
    assert (both.trained_on, both.generation) == (("af12", "bb"), 2)
    assert both.trained_items is not None
    assert both.trained_items.tolist() == [1, 2, 3]
    for index, (bank, place) in enumerate([(banks[0], i) for i in range(18)] + [(banks[1], 0), (banks[1], 1)]):
        assert torch.equal(both[index]["image"], bank[place]["image"])
    before = files(tmp_path / "both")
    (tmp_path / "both" / "shard-000001.json").unlink()
    assert files(merge(banks, tmp_path / "both").path) == before
    both.verify()
    with pytest.raises(ValueError, match="made by 2 generators, so nothing can be added"):
        BankWriter.open(tmp_path / "both")


def test_banks_that_do_not_fit_are_not_merged(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    with BankWriter(tmp_path / "b", **OPTIONS) as writer:
        writer.write(0, images(2, 1, 8, 8), torch.tensor([1, 0]), torch.tensor([7, 8]))
    with pytest.raises(ValueError, match=r"columns must be those of .*a, .* in .*b"):
        merge([Bank(tmp_path / "a"), Bank(tmp_path / "b")], tmp_path / "both")
    with pytest.raises(ValueError, match="at least one sample to write"):
        merge([], tmp_path / "both")
    with pytest.raises(ValueError, match="holds a bank with another"):
        merge([Bank(tmp_path / "a")], tmp_path / "a")


def test_labels_are_numbered_by_the_classes_that_are_asked_for(tmp_path: Path) -> None:
    fill(tmp_path)
    bank = Bank(tmp_path, classes=["dog", "ant", "eel", "cat"])
    names = [CLASSES[label] for label in Bank(tmp_path).in_memory().labels]
    assert [bank.classes[item] for item in bank.in_memory().labels] == names
    assert bank.classes[bank[3]["label"]] == names[3]
    with pytest.raises(ValueError, match=r"samples of the classes dog, cat .* got eel too"):
        Bank(tmp_path, classes=["dog", "cat"])


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
    newer = json.loads(manifest.read_text()) | {"version": 3}
    manifest.write_text(json.dumps(newer))
    with pytest.raises(ValueError, match=r"version 3, .* reads up to 2; update"):
        Bank(tmp_path)
    manifest.write_text(json.dumps(newer | {"version": 1}))
    with pytest.raises(ValueError, match="before its first release; make the bank again"):
        Bank(tmp_path)


def test_an_unfinished_bank_is_read_only_when_asked(tmp_path: Path) -> None:
    fill(tmp_path, shards=3, samples=40)
    with pytest.raises(ValueError, match=r"expected a finished bank .* got 30 of 40 samples"):
        Bank(tmp_path)
    assert len(Bank(tmp_path, partial=True)) == 30
    fill(tmp_path, shards=4, samples=40)
    assert len(Bank(tmp_path)) == 40


def test_an_empty_bank_is_not_finished(tmp_path: Path) -> None:
    fill(tmp_path, shards=0)
    with pytest.raises(ValueError, match=r"got no shard; run the command that made it again$"):
        Bank(tmp_path)


def test_a_missing_a_damaged_and_a_torn_shard_are_found(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "shard-000001.safetensors"
    whole = path.read_bytes()
    for place in (-1, len(whole) // 2):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"1 file of .* differ .*shard-000001.safetensors"):
            Bank(tmp_path).verify()
    path.write_bytes(whole[:100])
    with pytest.raises(ValueError, match=r"cannot read id, label of .*shard-000001"):
        Bank(tmp_path)
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=rf"cannot read .*shard-000001.*expected {len(whole)} bytes, got"):
        Bank(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-000001.* is missing; run the command"):
        Bank(tmp_path)
    (tmp_path / "shard-000001.json").unlink()
    with pytest.raises(ValueError, match="got no shard 1;"):
        Bank(tmp_path)


def test_a_changed_note_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path)
    note = tmp_path / "shard-000001.json"
    for text, message in (
        ("{", "must be JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "differs from what was written"),
    ):
        note.write_text(text)
        with pytest.raises(ValueError, match=message):
            Bank(tmp_path)
    fill(tmp_path / "again", shards=2)
    note = tmp_path / "again" / "shard-000001.json"
    changed = json.loads(note.read_text().replace("[3, 8, 8]", "[3, 8, 9]"))
    del changed["checksum"]
    note.write_text(json.dumps(sealed(changed)))
    with pytest.raises(ValueError, match=r"columns must be .* in shard-000001"):
        Bank(tmp_path / "again")
