"""Tar archives in webdataset's layout: samples at random, and archives that are damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from torchaug.data import SampleError, collate, load, read_tar
from torchaug.data.readers.shards import read_index


def png(value: int, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, (value, 1, 2) if mode == "RGB" else value).save(file, "png")
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archive(path: Path, files: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            head = tarfile.TarInfo(name)
            head.size = len(data)
            tar.addfile(head, io.BytesIO(data))
    return path


def shards(folder: Path, count: int = 3) -> list[Path]:
    return [
        archive(
            folder / f"s-{shard}.tar",
            [
                file
                for number in range(3 * shard, 3 * shard + 3)
                for file in ((f"{number:03}.png", png(number)), (f"{number:03}.cls", str(number % 2).encode()))
            ],
        )
        for shard in range(count)
    ]


def test_samples_of_several_archives(tmp_path: Path) -> None:
    shards(tmp_path)
    data = read_tar(f"{tmp_path}/s-*.tar")
    assert data.labels is not None
    assert (len(data), data.labels.tolist(), data.classes) == (9, [n % 2 for n in range(9)], ["0", "1"])
    for index in (7, 0, 4):
        item = data[index]
        assert item["image"][:, 0, 0].tolist() == [index, 1, 2]
        assert (item["label"], item["index"], data.keys[index]) == (index % 2, index, f"{index:03}")
    assert data.paths[4] == tmp_path / "s-1.tar" / "004"
    assert pickle.loads(pickle.dumps(data))[8]["image"][0, 0, 0] == 8
    loader = DataLoader(data, batch_size=3, num_workers=2, collate_fn=collate)
    assert torch.cat([batch["image"][:, 0, 0, 0] for batch in loader]).tolist() == list(range(9))
    assert load(tmp_path / "s-1.tar", size=(2, 2))[0]["image"].shape == (3, 2, 2)
    assert len(load(f"{tmp_path}/s-*.tar")) == 9
    with pytest.raises(FileNotFoundError, match=r"expected tar archives at .*t-\*.tar, got none"):
        read_tar(f"{tmp_path}/t-*.tar")


def test_every_kind_of_part(tmp_path: Path) -> None:
    sound = io.BytesIO()
    wave = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    soundfile.write(sound, wave, 8000, format="WAV", subtype="FLOAT")
    numbers = np.arange(24, dtype=np.uint8).reshape(4, 6)
    mask = io.BytesIO()
    Image.fromarray(numbers).save(mask, "png")
    volume = np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4)
    first = [("a.jpg.PNG", png(5)), ("a.seg.png", mask.getvalue()), ("a.json", b'{"kind": "ant", "site": 3}')]
    second = [("b.wav", sound.getvalue()), ("b.txt", "größe".encode()), ("b.json", b'{"kind": "bee", "site": 0}')]
    third = [("c.npy", npy(np.array([1, 2.5]))), ("c.json", b'{"kind": "ant", "site": 1}')]
    fourth = [("d.npy", npy(volume)), ("d.json", b'{"kind": "ant", "site": 1}')]
    path = archive(tmp_path / "s.tar", first + second + third + fourth)
    data = read_tar(path, label="json.kind", group="json.site", mask="seg.png")
    assert data.labels is not None
    assert data.groups is not None
    assert (data.labels.tolist(), data.classes, data.groups.tolist()) == ([0, 1, 0, 0], ["ant", "bee"], [3, 0, 1, 1])
    assert torch.equal(data[0]["mask"][0], torch.from_numpy(numbers))
    assert data[0]["image"][0, 0, 0] == 5
    assert torch.equal(data[1]["waveform"], torch.from_numpy(wave.T))
    assert (data[1]["text"], data[1]["sample_rate"]) == ("größe", 8000)
    assert (data[2]["table"].tolist(), data[2]["table"].dtype) == ([1, 2.5], torch.float32)
    assert torch.equal(data[3]["volume"], torch.from_numpy(volume.astype(np.float32)))
    small = read_tar(path, label=None, mask="seg.png", size=(2, 3))
    assert small[0]["mask"].tolist() == [numbers[1::2, 1::2].tolist()]
    with pytest.raises(SampleError, match=r"path='.*s.tar/a'.*expected one of jpg.png, seg.png in a sample"):
        read_tar(path, label=None)[0]


def reference(names: list[str]) -> dict[str, set[str]]:
    """How webdataset's documentation groups names: all up to the first dot of the last part of the path is the key."""
    groups: dict[str, set[str]] = {}
    for name in names:
        match = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", name)
        hidden = name.rpartition("/")[2].startswith(".")  # webdataset gives a/._b.jpg of a Mac the key "a/"
        if match and match[2] and not hidden and not re.match(r"__[^/]*__($|/)", name):
            groups.setdefault(match[1], set()).add(match[2].lower())
    return groups


@example({"__/a.b", "___/a.b", "____/a.b", "__a__.b", "c__/a.b"})
@given(
    st.sets(
        st.text("ab./_", min_size=1, max_size=8).filter(lambda n: not n.startswith("/") and n.strip("./")), max_size=9
    )
)
def test_names_are_grouped_as_webdataset_groups_them(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    ordered = sorted(name for name in names if not name.endswith("/"))
    path = archive(tmp_path_factory.mktemp("t") / "s.tar", [(name, name.encode()) for name in ordered])
    wanted = reference(ordered)
    if not wanted:
        with pytest.raises(ValueError, match=r"expected files like 000.jpg and 000.cls"):
            read_index(path)
        return
    found = read_index(path)
    assert {sample.key: set(sample.parts) for sample in found} == wanted
    for sample in found:
        for part in sample.parts:
            assert sample.read(part).decode() == f"{sample.key}.{part}"


def test_long_names_folders_and_links(tmp_path: Path) -> None:
    long = "x" * 150 + "/" + "y" * 120
    path = tmp_path / "s.tar"
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(path, "w", format=kind) as tar:
            tar.addfile(tarfile.TarInfo("__meta__"))
            folder = tarfile.TarInfo("folder.d")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            link = tarfile.TarInfo("a.link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
            head = tarfile.TarInfo(f"{long}.txt")
            head.size = 3
            tar.addfile(head, io.BytesIO(b"abc"))
        assert [(sample.key, sample.read("txt")) for sample in read_index(path)] == [(long, b"abc")]


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    path = shards(tmp_path, 1)[0]
    whole = path.read_bytes()
    ends = [index for index in range(0, len(whole), 512)]
    cut = tmp_path / "cut.tar"
    last = max(sample.parts["cls"][0] for sample in read_index(path)) + 512
    for length in [*range(1, last, 171), *(end for end in ends if end <= last)]:
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut.tar"):
            read_tar(cut)
    broken = bytearray(whole)
    broken[1024 + 5] ^= 0x55  # in the name of the second file
    cut.write_bytes(broken)
    with pytest.raises(ValueError, match=r"end mark of the tar archive .*cut.tar at byte 1024, got other bytes"):
        read_tar(cut)
    for junk in (b"", b"\0" * 300, b"not a tar" * 200, png(3)):
        cut.write_bytes(junk)
        with pytest.raises(ValueError, match=r"cut.tar"):
            read_tar(cut)


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    path = shards(tmp_path, 1)[0]
    for pack, kind in ((gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")):
        (tmp_path / "packed.tar").write_bytes(pack(path.read_bytes()))
        with pytest.raises(ValueError, match=rf"packed.tar is compressed by {kind}, so that"):
            read_tar(tmp_path / "packed.tar")
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        read_tar(tmp_path / "none.tar")
    with pytest.raises(FileNotFoundError, match="got a folder there"):
        read_tar(tmp_path)
    with pytest.raises(FileNotFoundError, match="got none"):
        read_tar([])
    twice = archive(tmp_path / "twice.tar", [("a.txt", b"1"), ("b.txt", b"2"), ("a.txt", b"3")])
    with pytest.raises(ValueError, match=r"twice.tar holds a.txt twice"):
        read_tar(twice)


def test_labels_that_are_missing_or_unreadable_are_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "s.tar", [("a.txt", b"x"), ("a.cls", b"1"), ("b.txt", b"y"), ("b.json", b'{"k": [}')])
    with pytest.raises(ValueError, match=r"a label in cls for every item, got none in .*s.tar/b$"):
        read_tar(path)
    with pytest.raises(ValueError, match=r"cannot read .json.k of .*s.tar/b: "):
        read_tar(path, label="json.k")
    assert read_tar(path, label=None).labels is None
    assert read_tar(archive(tmp_path / "u.tar", [("a.txt", b"x")])).labels is None
    assert json.dumps(read_tar(path, label=None)[1]["text"]) == '"y"'


def test_unreadable_samples_are_listed(tmp_path: Path) -> None:
    files = [
        ("0.png", png(1)),
        ("1.png", png(1)[:40]),
        ("2.npy", npy(np.array(["x"], dtype=object))),
        ("3.npy", npy(np.zeros((2, 2)))),
        ("4.bin", b"1"),
        ("5.png", png(1)),
        ("6.png", png(1)),
        ("6.seg.png", png(1, (3, 3), "L")),
        ("7.wav", b"RIFFjunk"),
    ]
    data = read_tar(archive(tmp_path / "s.tar", files))
    errors = {error.index: str(error) for error in data.verify()}
    assert list(errors) == [1, 2, 3, 4, 6, 7]
    assert all(f"s.tar/{index}'" in text for index, text in errors.items())
    assert "pickle" in errors[2]
    assert "table (F,) or a volume (C, D, H, W), got float64 (2, 2)" in errors[3]
    assert "got bin" in errors[4]
    data = read_tar(tmp_path / "s.tar", mask="seg.png")
    assert "expected a file .seg.png, got .png" in str(data.verify()[0])
    os.truncate(tmp_path / "s.tar", 600)
    assert "the archive has shrunk" in str(data.verify()[-1])
