"""Images that a table lists: what is read, and how mistakes are named."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional as tvf

from torchaug.data import SampleError, load, read_manifest
from torchaug.data.decode import resize_boxes_to, resize_mask_to, resize_to
from torchaug.data.readers.labels import class_numbers

ROWS = [
    ("a.png", "dog", "north", "am.png", "train"),
    ("sub/b.png", "cat", "south", "bm.png", "test"),
    ("c, d.png", "eel", "north", "cm.png", "train"),
]
NAMES = ("path", "label", "site", "mask", "fold")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for number, (path, _, _, mask, _) in enumerate(ROWS):
        Image.new("RGB", (6, 4), (number, 2, 3)).save(tmp_path / path)
        Image.fromarray(np.full((4, 6), 10 + number, dtype=np.uint8)).save(tmp_path / mask)
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([NAMES, *ROWS])
    table = pa.table({name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)})
    pq.write_table(table, tmp_path / "list.parquet")
    return tmp_path


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_a_manifest_gives_what_its_rows_say(folder: Path, name: str) -> None:
    data = read_manifest(folder / name, group="site", mask="mask")
    assert (len(data), data.classes, data.group_names) == (3, ["cat", "dog", "eel"], ["north", "south"])
    for index, (path, label, site, _, _) in enumerate(ROWS):
        item = data[index]
        assert data.paths[index] == folder / path
        assert item["image"][:, 3, 5].tolist() == [index, 2, 3]
        assert item["mask"].shape == (1, 4, 6)
        assert item["mask"].unique().tolist() == [10 + index]
        assert (["cat", "dog", "eel"][item["label"]], ["north", "south"][item["group"]]) == (label, site)
        assert item["index"] == index
    assert pickle.loads(pickle.dumps(data))[1]["label"] == 0
    assert data.in_memory().tensors()["image"].shape == (3, 3, 4, 6)
    assert load(folder / name, size=(2, 2))[0]["image"].shape == (3, 2, 2)


def test_a_split_has_the_class_numbers_of_all_rows(folder: Path) -> None:
    train = read_manifest(folder / "list.csv", group="site", split=("fold", "train"))
    test = read_manifest(folder / "list.csv", group="site", split=("fold", "test"))
    assert train.classes == test.classes == ["cat", "dog", "eel"]
    assert train.labels is not None
    assert test.groups is not None
    assert (train.labels.tolist(), test.groups.tolist()) == ([1, 2], [1])
    assert [path.name for path in train.paths] == ["a.png", "c, d.png"]
    with pytest.raises(ValueError, match=r"rows with 'val' in column 'fold' of .*list.csv, got only 'test', 'train'"):
        read_manifest(folder / "list.csv", split=("fold", "val"))


def test_unlabelled_and_named_classes_and_a_root(folder: Path) -> None:
    assert read_manifest(folder / "list.csv", label=None).labels is None
    assert "label" not in read_manifest(folder / "list.csv", label=None)[0]
    named = read_manifest(folder / "list.csv", classes=["eel", "dog", "cat", "fox"])
    assert named.labels is not None
    assert (named.labels.tolist(), named.classes) == ([1, 2, 0], ["eel", "dog", "cat", "fox"])
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "m.csv").write_text("path;label\na.png;1\n")
    assert read_manifest(folder / "elsewhere" / "m.csv", root=folder, delimiter=";")[0]["label"] == 1
    (folder / "m.tsv").write_text("path\tlabel\na.png\t1\n")
    assert load(folder / "m.tsv")[0]["label"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected a header and rows in .*, got an empty file"),
        ("path,label\n", r"expected rows below the header in .*, got none"),
        ("\n\npath,label\n\n", r"expected rows below the header in .*, got none"),
        ("file,label\na.png,1\n", r"a column 'path' in .*m.csv, got 'file', 'label'"),
        ("path,path,label\na.png,a.png,1\n", r"columns with different names in .*, got 'path' twice"),
        ("path,label\na.png,1\n\n,2\n , 3\n", r"path in column 'path' of .*, got none in line 4, line 5$"),
        ("path,label\na.png,1\nsub/b.png,\n", r"a label for every item, got none in line 3$"),
        ("path,label\na.png,1\nsub/b.png\n", r"expected 2 fields as in the header, got 1 in line 3"),
        ("path,label\na.png,1,2\n", r"expected 2 fields as in the header, got 3 in line 2"),
        ('path,label\n"a.png,1\nsub/b.png,2\n', r"got unexpected end of data in line 2"),
        ('path,label\n"a\nb.png",\n"c\n', r"got unexpected end of data in line 4"),
        (
            "path,label\na.png,0.5\nsub/b.png,2\n",
            r"a name, a whole number from 0, or one of -1 and 1, got '0.5' in line 2",
        ),
        (
            "path,label\na.png,2\nsub/b.png,-1\n",
            r"a name, a whole number from 0, or one of -1 and 1, got '-1' in line 3",
        ),
        ("path,label\na.png,1\nsub/../a.png,1\n", r"once in .*, got again in line 3 \(.*a.png, as line 2\)"),
        ("path,label\na.png,1\na\0.png,2\n", r"got a NUL byte in line 3"),
        ("path,label\n" + "".join(f"{n}.png,1\n" for n in range(9)), r"9 of the files .*line 6: .*4.png and 4 more;"),
    ],
)
def test_mistakes_are_named_with_their_line(folder: Path, text: str, message: str) -> None:
    (folder / "m.csv").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_manifest(folder / "m.csv")


def test_encodings(folder: Path) -> None:
    path = folder / "m.csv"
    path.write_bytes(b"\xef\xbb\xbfpath,label\r\na.png,x\r\n")
    assert read_manifest(path).classes == ["x"]
    path.write_bytes("path,label\na.png,ok\nsub/b.png,größe\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"expected UTF-8 in .*, got byte 0xf6 in line 3; save it as UTF-8"):
        read_manifest(path)
    path.write_text("path,label\na.png,x\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"got UTF-16; save it as UTF-8"):
        read_manifest(path)
    path.write_bytes(bytes(range(128)) * 4)
    with pytest.raises(ValueError, match="got a NUL byte in line 1"):
        read_manifest(path)


def test_what_is_no_manifest_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        read_manifest(folder / "none.csv")
    with pytest.raises(FileNotFoundError, match="got a folder there"):
        read_manifest(folder / "sub")
    whole = (folder / "list.parquet").read_bytes()
    for cut in (whole[:50], b"junk", b""):
        (folder / "cut.parquet").write_bytes(cut)
        with pytest.raises(ValueError, match=r"expected a Parquet file at .*cut.parquet"):
            read_manifest(folder / "cut.parquet")
    with pytest.raises(ValueError, match="fit must be"):
        read_manifest(folder / "list.csv", fit="stretch")
    (folder / "table.csv").write_text("age,kind\n3,1\n")
    with pytest.raises(ValueError, match=r"load: expected a column 'path', 'text' or 'label' in .*, got 'age', 'kind'"):
        load(folder / "table.csv")


def test_duplicates_across_splits_are_refused_or_accepted(folder: Path) -> None:
    (folder / "m.csv").write_text("path,label,fold\na.png,1,train\na.png,1,test\n")
    with pytest.raises(ValueError, match=r"again in line 3 .*duplicates=True"):
        read_manifest(folder / "m.csv", split=("fold", "train"))
    assert len(read_manifest(folder / "m.csv", split=("fold", "train"), duplicates=True)) == 1
    assert len(read_manifest(folder / "m.csv", duplicates=True)) == 2


def test_missing_files_are_errors_of_their_items_if_wanted(folder: Path) -> None:
    (folder / "m.csv").write_text("path,label,mask\na.png,1,am.png\ngone.png,0,am.png\n")
    with pytest.raises(FileNotFoundError, match=r"1 of the files .*line 3: .*gone.png; relative paths"):
        read_manifest(folder / "m.csv")
    data = read_manifest(folder / "m.csv", check_paths=False)
    assert [(error.index, error.path) for error in data.verify()] == [(1, str(folder / "gone.png"))]
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:40])
    seen: list[Any] = []
    errors = data.verify(lambda done, total: seen.append((done, total)), workers=1)
    assert [error.index for error in errors] == [0, 1]
    assert seen == [(1, 2), (2, 2)]
    (folder / "m.csv").write_text("path,label,mask\nsub/b.png,1,gone.png\n")
    with pytest.raises(FileNotFoundError, match=r"line 2: .*gone.png"):
        read_manifest(folder / "m.csv", mask="mask")


def test_masks_are_class_numbers_bit_for_bit(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (4, 6)).astype(np.uint8)
    Image.new("L", (6, 4)).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("path,mask\na.png,m.png\n")

    def read() -> torch.Tensor:
        mask: torch.Tensor = read_manifest(tmp_path / "m.csv", label=None, mask="mask")[0]["mask"]
        return mask

    Image.fromarray(numbers).save(tmp_path / "m.png")
    assert (read().dtype, read()[0].tolist()) == (torch.uint8, numbers.tolist())
    palette = Image.fromarray(numbers)
    palette.putpalette(list(range(255, -1, -1)) * 3)
    palette.save(tmp_path / "m.png")
    assert read()[0].tolist() == numbers.tolist()
    deep = numbers.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "m.png")
    assert (read().dtype, read()[0].tolist()) == (torch.int32, deep.tolist())
    Image.fromarray(numbers > 9).save(tmp_path / "m.png")
    assert read()[0].tolist() == (numbers > 9).astype(int).tolist()
    Image.new("RGB", (6, 4)).save(tmp_path / "m.png")
    with pytest.raises(SampleError, match=r"m.png must hold class numbers in one channel .* got mode RGB"):
        read()
    Image.new("L", (4, 6)).save(tmp_path / "m.png")
    with pytest.raises(SampleError, match=r"m.png must have the image's height and width, \(4, 6\), got \(6, 4\)"):
        read()


def test_masks_follow_their_images(tmp_path: Path) -> None:
    """An image that holds its own mask's numbers, in blocks that survive the interpolation away from edges."""
    blocks = np.kron(np.random.default_rng(1).integers(0, 5, (6, 9)) * 50, np.ones((8, 8))).astype(np.uint8)
    Image.fromarray(blocks).save(tmp_path / "a.png")
    Image.fromarray(blocks // 50).save(tmp_path / "m.png")
    (tmp_path / "m.csv").write_text("path,mask\na.png,m.png\n")
    for fit in ("crop", "pad"):
        for size in ((60, 60), (40, 97), (24, 36)):
            item = read_manifest(tmp_path / "m.csv", label=None, mask="mask", size=size, fit=fit)[0]
            assert item["mask"].shape == (1, *size)
            assert set(item["mask"].unique().tolist()) <= {0, 1, 2, 3, 4}
            near = (item["image"].int() - 50 * item["mask"].int()).abs() < 20
            assert near.float().mean() > 0.75


def test_parquet_numbers_and_gaps(folder: Path) -> None:
    def write(**columns: Any) -> Path:
        pq.write_table(pa.table({"path": ["a.png", "sub/b.png", "c, d.png"], **columns}), folder / "m.parquet")
        return folder / "m.parquet"

    data = read_manifest(write(label=[2, 0, 0]))
    assert data.labels is not None
    assert (data.labels.tolist(), data.classes) == ([2, 0, 0], ["0", "1", "2"])
    assert read_manifest(write(label=[2.0, 0.0, 1.0])).classes == ["0", "1", "2"]
    assert read_manifest(write(label=[True, False, True])).classes == ["False", "True"]
    for gap in (None, float("nan")):
        with pytest.raises(ValueError, match=r"got none in row 2$"):
            read_manifest(write(label=[2.0, gap, 1.0]))
    with pytest.raises(ValueError, match=r"got '0.5' in row 3"):
        read_manifest(write(label=[2.0, 1.0, 0.5]))


def test_signs_and_numbers_with_gaps_nearly_everywhere_are_names() -> None:
    def of(*values: Any) -> tuple[list[int], list[str]]:
        numbers, classes = class_numbers(values, "x", "label", str)
        return numbers.tolist(), classes

    assert of(1, -1, 1) == ([1, 0, 1], ["-1", "1"])
    assert of("1.0", "-1.0") == ([1, 0], ["-1", "1"])
    assert of(2020, 2019, 2020) == ([1, 0, 1], ["2019", "2020"])
    assert of("1990", "999") == ([1, 0], ["999", "1990"])
    numbers, classes = of(*range(0, 1001, 9))  # as many as that are class numbers with gaps
    assert (numbers[:3], len(classes)) == ([0, 9, 18], 1000)
    assert of(999, 3)[1][-1] == "999"
    assert len(of(999, 3)[1]) == 1000
    with pytest.raises(ValueError, match=r"one of -1 and 1, got '-1' in 1"):
        of(0, -1, 1)


def test_class_numbers_with_classes_take_names_first() -> None:
    def numbers(values: list[Any], classes: list[str]) -> list[int]:
        return class_numbers(values, "x", "label", str, classes)[0].tolist()

    assert numbers(["3", "7"], ["7", "3"]) == [1, 0]
    assert numbers([0, 1], ["cat", "dog"]) == [0, 1]
    with pytest.raises(ValueError, match=r"a label must be one of 'cat', 'dog', or its number, got 'fox' in 1"):
        numbers(["cat", "fox"], ["cat", "dog"])
    with pytest.raises(ValueError, match=r"got '2' in 1"):
        numbers([0, 2], ["cat", "dog"])
    with pytest.raises(ValueError, match="classes must differ"):
        numbers(["a"], ["a", "a"])


@given(st.lists(st.text("ab,\"\n'ü ;\t", min_size=1, max_size=6).map(str.strip).filter(bool), min_size=1, max_size=8))
def test_any_label_that_csv_can_hold_comes_back(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    with open(folder / "m.csv", "w", newline="", encoding="utf-8") as file:
        rows = [(f"{number}.png", label) for number, label in enumerate(labels)]
        csv.writer(file).writerows([("path", "label"), *rows])
    data = read_manifest(folder / "m.csv", check_paths=False, mode="L")
    assert data.classes == sorted(set(labels))
    assert data.labels is not None
    assert [data.classes[number] for number in data.labels.tolist()] == labels


SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(SIDES, SIDES, st.sampled_from(["crop", "pad"]))
def test_masks_are_resized_as_torchvision_resizes_to_the_nearest(
    sides: tuple[int, int], size: tuple[int, int], fit: str
) -> None:
    mask = torch.arange(1, 1 + sides[0] * sides[1], dtype=torch.int32).view(1, *sides)
    ratios = [new / old for new, old in zip(size, sides, strict=True)]
    scale = max(ratios) if fit == "crop" else min(ratios)
    near = [max(1, round(side * scale)) for side in sides]
    rows, columns = (
        [int((2 * i + 1) * old // (2 * new)) for i in range(new)] for old, new in zip(sides, near, strict=True)
    )
    wanted = tvf.center_crop(mask[:, rows][:, :, columns], list(size))
    assert torch.equal(resize_mask_to(mask, size, fit), mask if sides == size else wanted)


@given(SIDES, SIDES, st.sampled_from(["crop", "pad"]), st.data())
def test_boxes_follow_the_pixels(sides: tuple[int, int], size: tuple[int, int], fit: str, data: st.DataObject) -> None:
    """A box of whole pixels, painted white: where the resized image is brightest is inside the resized box."""
    y, x = (data.draw(st.integers(0, side - 1)) for side in sides)
    image = torch.zeros(1, *sides, dtype=torch.uint8)
    image[:, y:, x:] = 255
    box = resize_boxes_to(torch.tensor([[x, y, sides[1], sides[0]]], dtype=torch.float32), sides, size, fit)[0]
    assert ((box >= 0) & (box <= torch.tensor([size[1], size[0]] * 2))).all()
    white = (resize_to(image, size, fit)[0] > 160).nonzero()
    if len(white):
        low, high = white.amin(0), white.amax(0) + 1
        assert (low.flip(0) >= box[:2] - 0.7).all()
        assert (high.flip(0) <= box[2:] + 0.7).all()
