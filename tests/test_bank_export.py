"""Exports of banks, read back by programs that know nothing of banks."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
import struct
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from PIL import Image
from test_bank import CLASSES, OPTIONS, fill
from test_bank import shard as make

from torchaug.data import Bank, BankWriter, export, load, merge

GONE = [0, 15, 39]


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """40 images in shards of 10, of two makers, three of them dropped."""
    fill(tmp_path / "a", shards=2, quality=torch.linspace(0, 1, 10))
    fill(tmp_path / "b", shards=2, quality=torch.linspace(0, 1, 10), generator="77", config={"seed": 9})
    return merge([Bank(tmp_path / "a"), Bank(tmp_path / "b")], tmp_path / "bank").drop(GONE, "bad")


KEPT = [row for row in range(40) if row not in GONE]


def pixels(row: int) -> np.ndarray[Any, Any]:
    """What the row was made of, (H, W, C)."""
    return make(row // 10 % 2)[0]["image"][row % 10].permute(1, 2, 0).numpy()


def about(row: int) -> dict[str, Any]:
    quality = float(torch.linspace(0, 1, 10)[row % 10])
    identity = {"id": row % 10 + 10 * (row // 10 % 2), "row": row, "generator": "3f00" if row < 20 else "77"}
    return {"label": CLASSES[row % 10 % 3], **identity, "quality": quality}


def of_texts(path: Path, content: dict[str, Any], count: int, **attributes: Any) -> Bank:
    """A bank without classes."""
    with BankWriter(path, **(OPTIONS | {"classes": []}), attributes=attributes) as writer:
        writer.write(0, content, None, torch.arange(count))
    return Bank(path)


def tree(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file()
    }


def test_a_folder_of_images(bank: Bank, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    path = export(bank, tmp_path / "out", progress=lambda *step: steps.append(step))
    with open(path / "samples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == KEPT
    for row in rows:
        wanted = about(int(row["row"]))
        assert row["file"] == f"{wanted['label']}/{int(row['row']):08d}.png"
        assert float(row.pop("quality")) == wanted.pop("quality")
        assert {name: row[name] for name in wanted} == {name: str(value) for name, value in wanted.items()}
        with Image.open(path / row["file"]) as picture:
            assert np.array_equal(np.asarray(picture), pixels(int(row["row"])))
    assert len(list(path.rglob("*.png"))) == len(KEPT)
    facts = json.loads((path / "bank.json").read_text())
    assert (facts["bank"], facts["samples"]) == (bank.identity, 37)
    assert [maker["generator"] for maker in facts["manifest"]["made_by"]] == ["3f00", "77"]
    assert steps == [(9, 37), (18, 37), (28, 37), (37, 37)]
    assert sorted(load(path).classes or []) == CLASSES


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_images_of_any_channels_are_the_same_as_png(tmp_path: Path, channels: int, mode: str) -> None:
    image = torch.randint(256, (1, channels, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    path = export(of_texts(tmp_path / "bank", {"image": image}, 1), tmp_path / "out")
    with Image.open(path / "00000000.png") as picture:
        assert picture.mode == mode
        assert np.array_equal(np.asarray(picture).reshape(5, 7, channels), image[0].permute(1, 2, 0).numpy())


def test_sounds_are_not_rounded(tmp_path: Path) -> None:
    noise = torch.Generator().manual_seed(0)
    waves = [3 * torch.randn(channels, 50 + channels, generator=noise) for channels in (2, 2, 2)]
    waves[1] = waves[1][:, :7]
    path = export(of_texts(tmp_path / "bank", {"waveform": waves}, 3, sample_rate=16000), tmp_path / "out")
    for row, wave in enumerate(waves):
        values, rate = soundfile.read(path / f"{row:08d}.wav", dtype="float32", always_2d=True)
        assert rate == 16000
        assert np.array_equal(values.T, wave.numpy())
        data = (path / f"{row:08d}.wav").read_bytes()
        assert struct.unpack("<4sI4s", data[:12]) == (b"RIFF", len(data) - 8, b"WAVE")
        assert soundfile.info(path / f"{row:08d}.wav").subtype == "FLOAT"


def test_texts_keep_every_character(tmp_path: Path) -> None:
    texts = ["a\r\nb", "", "é 猫 \x00", "  "]
    path = export(of_texts(tmp_path / "bank", {"text": texts}, 4), tmp_path / "out")
    assert [(path / f"{row:08d}.txt").read_bytes().decode() for row in range(4)] == texts


def test_a_table_becomes_parquet_with_names(tmp_path: Path) -> None:
    values = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    names = ["age", "weight (kg)", "income"]
    with BankWriter(tmp_path / "bank", **OPTIONS, attributes={"columns": names}) as writer:
        writer.write(0, {"table": values}, torch.tensor([2, 0, 1, 1, 0]), torch.arange(5))
    bank = Bank(tmp_path / "bank").drop([1], "bad")
    found = pq.read_table(export(bank, tmp_path / "out", "parquet")).to_pydict()
    assert list(found) == [*names, "label", "id", "row", "generator"]
    assert [found[name] for name in names] == values[[0, 2, 3, 4]].T.tolist()
    assert found["label"] == ["eel", "dog", "dog", "cat"]
    assert (found["row"], found["generator"]) == ([0, 2, 3, 4], ["3f00"] * 4)
    with pytest.raises(ValueError, match="export tables with to='parquet'"):
        export(bank, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    plain = of_texts(tmp_path / "plain", {"table": values.float()}, 5)
    table = pq.read_table(export(plain, tmp_path / "plain_out", "parquet"))
    assert table.column_names[:3] == ["table_0", "table_1", "table_2"]
    assert np.array_equal(table["table_2"].to_numpy(), values[:, 2].float().numpy())


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "b"], ["a", "b", "id"], ["a", "b", 3]])
def test_columns_need_names_that_fit(tmp_path: Path, names: list[Any]) -> None:
    bank = of_texts(tmp_path / "bank", {"table": torch.zeros(2, 3)}, 2, columns=names)
    with pytest.raises(ValueError, match="must be 3 different names and none of"):
        export(bank, tmp_path / "out", "parquet")


def test_hugging_face_reads_the_images(bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    path = export(bank, tmp_path / "out", "parquet", per_file=15)
    assert sorted(file.name for file in path.iterdir()) == [f"part-{number:05d}.parquet" for number in range(3)]
    found = datasets.load_dataset("parquet", data_dir=str(path), cache_dir=str(tmp_path / "cache"), split="train")
    assert isinstance(found.features["image"], datasets.Image)
    assert found["row"][:] == KEPT
    for item in found:
        wanted = about(item["row"])
        assert np.array_equal(np.asarray(item.pop("image")), pixels(item["row"]))
        assert item == wanted
    metadata = json.loads(pq.read_schema(path / "part-00002.parquet").metadata[b"torchaug"])
    assert metadata["manifest"]["made_by"][1]["config"] == {"seed": 9}


def test_parquet_holds_sounds_texts_and_anything_else(tmp_path: Path) -> None:
    waves, masks = [torch.rand(1, 9), torch.rand(1, 4)], torch.randint(9, (2, 3, 4))
    content: dict[str, Any] = {"waveform": waves, "text": ["x", "é"], "mask": masks, "note": ["", "b"]}
    bank = of_texts(tmp_path / "bank", content, 2, sample_rate=8000)
    path = export(bank, tmp_path / "out", "parquet")
    found = pq.read_table(path).to_pylist()
    for row, item in enumerate(found):
        values, rate = soundfile.read(io.BytesIO(item["waveform"]["bytes"]), dtype="float32", always_2d=True)
        assert (rate, item["waveform"]["path"]) == (8000, f"{row:08d}.wav")
        assert np.array_equal(values.T, waves[row].numpy())
        assert (item["text"], item["note"]) == (content["text"][row], content["note"][row])
        assert np.array_equal(np.load(io.BytesIO(item["mask"])), masks[row].numpy())
    features = json.loads(pq.read_schema(path / "part-00000.parquet").metadata[b"huggingface"])["info"]["features"]
    assert features["waveform"] == {"sampling_rate": 8000, "_type": "Audio"}
    assert list(features) == pq.read_table(path).column_names


def test_webdataset_tars_hold_each_sample_once_and_are_always_the_same(bank: Bank, tmp_path: Path) -> None:
    path = export(bank, tmp_path / "out", "webdataset", per_file=10)
    rows = []
    for number in range(4):
        with tarfile.open(path / f"bank-{number:05d}.tar") as tar:
            names = tar.getnames()
            assert len({name.partition(".")[0] for name in names}) == (10 if number < 3 else 7)
            read = {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
            assert {(entry.mtime, entry.uid, entry.uname) for entry in tar.getmembers()} == {(0, 0, "")}
        for first in range(0, len(names), 3):
            key = names[first].partition(".")[0]
            assert names[first : first + 3] == [f"{key}.{ending}" for ending in ("png", "cls", "json")]
            row, facts = int(key), json.loads(read[f"{key}.json"])
            rows.append(row)
            assert facts == about(row) | {"seed": 1 if row < 20 else 9}
            assert int(read[f"{key}.cls"]) == CLASSES.index(facts["label"])
            with Image.open(io.BytesIO(read[f"{key}.png"])) as picture:
                assert np.array_equal(np.asarray(picture), pixels(row))
    assert rows == KEPT
    time.sleep(1.1)  # a time of day within would be another one now
    assert tree(export(bank, tmp_path / "again", "webdataset", per_file=10)) == tree(path)


def test_groups_are_named_as_labels_are(tmp_path: Path) -> None:
    content = {"text": ["a", "b"], "group": torch.tensor([1, 0])}
    bank = of_texts(tmp_path / "bank", content, 2, groups=["north", "south"])
    with open(export(bank, tmp_path / "out") / "samples.csv", newline="") as file:
        assert [row["group"] for row in csv.DictReader(file)] == ["south", "north"]
    assert pq.read_table(export(bank, tmp_path / "table", "parquet")).to_pydict()["group"] == ["south", "north"]
    with tarfile.open(export(bank, tmp_path / "tars", "webdataset") / "bank-00000.tar") as tar:
        assert tar.getnames() == [f"0000000{row}.{end}" for row in (0, 1) for end in ("txt", "json")]
        facts: Any = tar.extractfile("00000000.json")
        assert json.loads(facts.read())["group"] == "south"


def test_other_columns_are_files_beside(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "image": torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
        "boxes": [torch.rand(4, 3), torch.rand(4, 0)],
    }
    bank = of_texts(tmp_path / "bank", content | {"text": ["a", "b"], "caption": ["c", "d"]}, 2)
    wanted = {f"0000000{row}.{end}" for row in (0, 1) for end in ("png", "boxes.npy", "txt", "caption.txt")}
    path = export(bank, tmp_path / "out")
    assert {file.name for file in path.iterdir()} == wanted | {"samples.csv", "bank.json"}
    assert np.array_equal(np.load(path / "00000000.boxes.npy"), content["boxes"][0].numpy())
    with tarfile.open(export(bank, tmp_path / "tars", "webdataset") / "bank-00000.tar") as tar:
        assert set(tar.getnames()) == wanted | {f"0000000{row}.json" for row in (0, 1)}


@pytest.mark.parametrize("name", ["a/b", "..", "", "samples.csv", "a:b"])
def test_a_class_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with BankWriter(tmp_path / "bank", **(OPTIONS | {"classes": [name]})) as writer:
        writer.write(0, {"text": ["x"]}, torch.tensor([0]), torch.arange(1))
    bank = Bank(tmp_path / "bank")
    with pytest.raises(ValueError, match="names of classes must be names of folders"):
        export(bank, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["bank"]
    assert pq.read_table(export(bank, tmp_path / "out", "parquet")).to_pydict()["label"] == [name]


def test_what_is_there_is_kept(bank: Bank, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(FileExistsError, match=r"expected nothing at .*out, got something; name another"):
        export(bank, tmp_path / "out")
    assert tree(tmp_path / "out").keys() == {"mine"}
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "mine").write_text("precious")
    with pytest.raises(FileExistsError, match=r"expected nothing at .*new.partial, got something that no export left"):
        export(bank, tmp_path / "new")
    assert tree(tmp_path / "new.partial").keys() == {"mine"}
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize(
    ("content", "to", "words"),
    [
        ({"image": torch.zeros(1, 3, 4, 4)}, "folder", "images must be .* uint8 with 1 to 4 channels"),
        ({"image": torch.zeros(1, 5, 4, 4, dtype=torch.uint8)}, "webdataset", r"got torch.uint8 \(5, 4, 4\)"),
        ({"waveform": torch.zeros(1, 1, 4)}, "folder", "expected attributes with a 'sample_rate'"),
        ({"text": ["x"]}, "zip", "to must be one of folder, parquet, csv, webdataset"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path, content: Any, to: str, words: str) -> None:
    bank = of_texts(tmp_path / "bank", content, 1)
    with pytest.raises(ValueError, match=words):
        export(bank, tmp_path / "out", to)
    assert sorted(os.listdir(tmp_path)) == ["bank"]


def test_a_full_disk_is_a_clear_error(bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"export: cannot write .*out: No space left on device; nothing is there"):
        export(bank, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "bank"]


def test_the_folder_gets_its_name_at_once_and_last(bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, renamed = os.rename, []

    def watched(source: Path, target: Path) -> None:
        renamed.append((source.name, target.name, target.exists(), len(list(source.rglob("*.png")))))
        rename(source, target)

    monkeypatch.setattr(os, "rename", watched)
    export(bank, tmp_path / "out")
    assert renamed == [("out.partial", "out", False, 37)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("to", ["folder", "parquet", "webdataset"])
def test_killed_at_any_step_and_run_again_it_is_whole(bank: Bank, tmp_path: Path, to: str) -> None:
    reference = tree(export(bank, tmp_path / "reference", to, per_file=10))
    for steps in (1, 3, 4):
        child = os.fork()
        if child == 0:
            left = [steps]

            def count(done: int, total: int, left: list[int] = left) -> None:
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

            export(bank, tmp_path / "out", to, per_file=10, progress=count)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert not (tmp_path / "out").exists()
        assert (tmp_path / "out.partial").exists()
    assert tree(export(bank, tmp_path / "out", to, per_file=10)) == reference
    assert not list(tmp_path.glob("out.*"))
