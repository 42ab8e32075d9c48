"""Reading images: folders, embedded sets, the user's own data sets, and what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset

from torchaug.data import (
    BankWriter,
    ImageFolderDataset,
    SampleError,
    TensorImages,
    as_images,
    digits,
    imbalanced_split,
    load,
    read_folder,
)
from torchaug.data.decode import resize_to, to_tensor
from torchaug.data.items import content_of


def save(path: Any, mode: str = "RGB", size: Any = (6, 4), value: int = 128) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "1", "I;16", "I") else (value, 2 * value % 256, 7)).save(path)


@pytest.fixture
def folder(tmp_path: Any) -> Any:
    for name, count in (("dog", 2), ("cat", 3)):
        for number in range(count):
            save(tmp_path / name / f"{number}.png", value=10 * number)
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_a_folder_is_read_in_sorted_order(folder: Path) -> None:
    data = read_folder(folder)
    assert isinstance(data, ImageFolderDataset)
    assert data.classes == ["cat", "dog"]
    assert data.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.labels.dtype == torch.int64
    assert [path.name for path in data.paths] == ["0.png", "1.png", "2.png", "0.png", "1.png"]
    item = data[2]
    assert item["image"].shape == (3, 4, 6)
    assert item["image"][:, 0, 0].tolist() == [20, 40, 7]
    assert (item["label"], item["index"]) == (0, 2)
    assert torch.equal(data.in_memory().tensors()["image"][2], item["image"])


def test_labels_are_known_without_opening_an_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("an image was opened"))
    assert len(read_folder(folder, mode="RGB").labels) == 5


def test_grey_images_of_every_depth_become_one_channel(tmp_path: Path) -> None:
    for number, (mode, value) in enumerate([("1", 1), ("L", 100), ("I;16", 25700), ("LA", 100)]):
        path = tmp_path / "a" / f"{number}.png"
        if mode == "LA":
            path.parent.mkdir(exist_ok=True)
            Image.new("LA", (6, 4), (100, 5)).save(path)
        else:
            save(path, mode, value=value)
    save(tmp_path / "b" / "0.png", "L", value=7)
    data = read_folder(tmp_path)
    assert data.mode == "L"
    assert [int(data[i]["image"][0, 0, 0]) for i in range(5)] == [255, 100, 100, 100, 7]
    save(tmp_path / "b" / "1.png", "RGB")
    mixed = read_folder(tmp_path)
    assert mixed.mode == "RGB"
    assert {mixed[i]["image"].shape for i in range(6)} == {(3, 4, 6)}


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (4, 4), (200, 100, 0)).convert(mode)
    pixel = to_tensor(image, "RGB")[:, 0, 0].int()
    assert (pixel - torch.tensor([200, 100, 0])).abs().max() <= 26  # a web palette has steps of 51


def test_a_lying_photograph_is_set_upright(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        assert to_tensor(stored, "L")[0].tolist() == [[3, 0], [4, 1], [5, 2]]


def test_mixed_sizes_become_one_size_or_are_named(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", size=(6, 4))
    save(tmp_path / "b" / "0.png", size=(5, 9))
    with pytest.raises(ValueError, match=r"9 x 5 in .*b/0.png beside 4 x 6 in .*a/0.png; pass size="):
        read_folder(tmp_path).in_memory()
    assert read_folder(tmp_path, size=(8, 8)).in_memory().tensors()["image"].shape == (2, 3, 8, 8)


def test_cropping_fills_and_padding_keeps_everything() -> None:
    image = torch.arange(8, dtype=torch.uint8).expand(1, 4, 8) * 30
    cropped, padded = resize_to(image, (4, 4), "crop"), resize_to(image, (4, 4), "pad")
    assert cropped[0, 0].tolist() == [60, 90, 120, 150]
    assert padded[0, 0].sum() == 0
    assert padded[0, 1].tolist() == padded[0, 2].tolist()
    assert padded[0, 1].float().mean() == pytest.approx(image.float().mean(), abs=4)
    assert resize_to(image, (4, 8)) is image


def test_an_unreadable_image_is_named_by_its_path(folder: Path) -> None:
    bad = folder / "dog" / "1.png"
    bad.write_bytes(bad.read_bytes()[:45])
    data = read_folder(folder)
    with pytest.raises(SampleError, match=r"sample index=4 source='.*' path='.*dog/1.png': "):
        data[4]
    seen = []
    errors = data.verify(lambda done, total: seen.append((done, total)))
    assert [(error.index, error.path) for error in errors] == [(4, str(bad))]
    assert seen == [(done, 5) for done in range(1, 6)]
    assert [str(error) for error in data.verify(workers=2)] == [str(error) for error in errors]
    rest = data.without(errors)
    assert rest.verify() == []
    assert (len(rest), rest.classes) == (4, data.classes)
    with pytest.raises(SampleError, match=r"dog/1.png"):
        data.in_memory()


def test_a_selection_has_the_labels_and_paths_of_its_items(folder: Path) -> None:
    data = read_folder(folder)
    some = data.subset([3, 0, 3])
    assert some.labels is not None
    assert some.labels.tolist() == [int(data[3]["label"]), int(data[0]["label"]), int(data[3]["label"])]
    assert list(some.paths) == [data.paths[3], data.paths[0], data.paths[3]]
    assert torch.equal(some[2]["image"], data[3]["image"])
    assert [some[index]["index"] for index in range(3)] == [0, 1, 2]
    assert some.subset([1]).paths == [data.paths[0]]
    assert torch.equal(some.in_memory().tensors()["image"][1], data[0]["image"])
    with pytest.raises(IndexError, match=r"in \[0, 5\) for .*, got 5"):
        data.subset([0, 5])
    with pytest.raises(IndexError, match=r"in \[0, 3\), got 3"):
        some[3]


def test_folders_that_hold_no_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        read_folder(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="got a file there"):
        read_folder(tmp_path / "file")
    with pytest.raises(ValueError, match="got no folder in"):
        read_folder(tmp_path)
    save(tmp_path / "cat" / "0.png")
    with pytest.raises(ValueError, match=r"at least 2 classes, got 1 \(cat\)"):
        read_folder(tmp_path)
    assert len(read_folder(tmp_path, min_classes=1)) == 1
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match=r"no image .* in .*dog"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mode": "HSV"}, "mode must be"), ({"fit": "stretch"}, "fit must be"), ({"size": (0, 4)}, "size must be")],
)
def test_options_are_checked_before_anything_is_read(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_folder(folder, **options)


def test_digits_keep_their_levels() -> None:
    data = digits()
    assert (data.images.shape, data.images.dtype) == ((1797, 1, 8, 8), torch.uint8)
    assert sorted(data.images.unique().tolist()) == [round(level * 255 / 16) for level in range(17)]
    assert data.classes == [str(number) for number in range(10)]
    assert data.labels.bincount().min() == 174


def test_tensor_images_check_shapes_and_labels() -> None:
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"got 5 at index 1"):
        TensorImages(images, torch.tensor([0, 5, -1]), ["a", "b"])
    with pytest.raises(ValueError, match=r"must be \(3,\) for 3 images, got \(2,\)"):
        TensorImages(images, torch.tensor([0, 1]), ["a", "b"])
    with pytest.raises(ValueError, match=r"uint8, got torch.float32"):
        TensorImages(images.float(), torch.tensor([0, 1, 0]), ["a", "b"])
    with pytest.raises(TypeError, match=r"whole numbers, got torch.float32"):
        TensorImages(images, torch.tensor([0.0, 1, 0]), ["a", "b"])
    with pytest.raises(ValueError, match="at least one image"):
        TensorImages(images[:0], torch.tensor([], dtype=torch.int64), ["a"])


def test_an_item_is_a_copy() -> None:
    data = TensorImages(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.tensor([0]), ["a"])
    data[0]["image"].fill_(9)
    assert data.images.sum() == 0


class Own(Dataset[Any]):
    """A user's data set, with items of any kind."""

    classes = ("x", "y")

    def __init__(self, items: Any = ()) -> None:
        self.items = items or [(Image.new("L", (4, 4), 7), 0), (Image.new("RGB", (4, 4)), 1)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (5, 4), 51),
        torch.full((1, 4, 5), 51, dtype=torch.uint8),
        torch.full((4, 5), 0.2),
        np.full((4, 5), 51, dtype=np.uint8),
        np.full((4, 5, 1), 51, dtype=np.uint8),
    ],
)
@pytest.mark.parametrize("label", [1, np.int64(1), torch.tensor(1)])
@pytest.mark.parametrize("form", [lambda i, y: (i, y), lambda i, y: {"image": i, "label": y}])
def test_images_and_labels_of_every_kind_are_taken(image: Any, label: Any, form: Any) -> None:
    data = as_images(Own([form(image, label)]))
    assert (data.images == torch.full((1, 1, 4, 5), 51)).all()
    assert data.labels.tolist() == [1]
    assert data.classes == ["x", "y"]


def test_grey_becomes_colour_beside_colour_and_names_come_through_a_subset() -> None:
    data = as_images(Subset(Own(), [0, 1]))
    assert data.images.shape == (2, 3, 4, 4)
    assert data.classes == ["x", "y"]
    assert as_images(Own(), size=(2, 2)).images.shape == (2, 3, 2, 2)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((torch.rand(3, 4, 4), 0.5), "item 1: expected a class number, got 0.5"),
        ((torch.rand(3, 4, 4), 9), r"labels must be in \[0, 2\).*got 9 at index 1"),
        ((torch.rand(3, 5, 4), 0), r"got \(3, 5, 4\) at index 1"),
        ((torch.rand(3, 4, 4) * 2 + 1, 0), r"item 1: expected float pixels in \[0, 1\]"),
        ((torch.rand(2, 3, 4, 4), 0), r"item 1: expected an image \(C, H, W\)"),
        ((torch.zeros(3, 4, 4, dtype=torch.int64), 0), "item 1: expected uint8 or float"),
        (("a.png", 0), "item 1: expected a PIL image, a tensor or an array, got str"),
        ({"picture": 1}, r"item 1: expected \(image, label\).*got \['picture'\]"),
    ],
)
def test_a_bad_item_is_named_by_its_index(item: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        as_images(Own([(torch.rand(3, 4, 4), 0), item]))


def test_data_sets_of_another_kind_are_refused() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(())

    with pytest.raises(TypeError, match="map-style data set"):
        as_images(Stream())
    with pytest.raises(ValueError, match="empty Subset"):
        as_images(Subset(Own(), []))


def test_load_knows_folders_names_and_attributes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(str(folder)).classes == ["cat", "dog"]
    assert load(folder, size=(8, 8))[0]["image"].shape == (3, 8, 8)
    assert load("digits", size=(16, 16))[0]["image"].shape == (1, 16, 16)
    assert load("wine").classes == ["class_0", "class_1", "class_2"]
    text = (
        "from torchaug.data import digits\ndef make():\n    return digits().subset([0, 1])\ndata = make()\nnumber = 3\n"
    )
    (tmp_path / "my_own_data.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    paths = list(sys.path)
    assert len(load("my_own_data:make")) == len(load("my_own_data:data")) == 2
    assert sys.path == paths
    with pytest.raises(ValueError, match="module 'my_own_data' has no attribute 'nothing'"):
        load("my_own_data:nothing")
    with pytest.raises(TypeError, match=r"map-style data set .* got int"):
        load("my_own_data:number")
    with pytest.raises(ValueError, match="cannot import 'no_such_module'"):
        load("no_such_module:data")


def test_load_tells_sounds_texts_tables_and_banks_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("hum", "hiss"):
        Path("sounds", name).mkdir(parents=True)
        soundfile.write(Path("sounds", name, "a.wav"), [0.0, 0.5, -0.5], 8000)
    Path("sounds.csv").write_text("path,label\nsounds/hum/a.wav,x\n")
    Path("texts.csv").write_text("text,label\ngood,1\n")
    Path("texts.jsonl").write_text('{"text": "good", "label": 1}\n')
    Path("table.csv").write_text("age,label\n3.5,a\n4.5,b\n")
    Path("notes").mkdir()
    Path("notes", "a.txt").write_text("good")
    Path("own.py").write_text("data = [{'text': 'good', 'label': 0}]\n")
    with BankWriter("bank", config={}, trained_on=None, generator="g", classes=[]) as writer:
        writer.write(0, {"table": torch.ones(2, 3)}, None, torch.arange(2))
    sources = ("sounds", "sounds.csv", "texts.csv", "texts.jsonl", "table.csv", "notes", "own:data", "bank")
    kinds = [next(iter(content_of(load(source)[0]))) for source in sources]
    assert kinds == ["waveform", "waveform", "text", "text", "table", "text", "text", "table"]
    for source in sources:
        words = "no size= for a bank, whose samples keep theirs" if source == "bank" else "size= is for images"
        with pytest.raises(ValueError, match=rf"{words}, got \(8, 8\) for {source}"):
            load(source, size=(8, 8))


@pytest.mark.parametrize("source", ["digit", "no/such/folder", ":x", "a b:c"])
def test_load_says_what_it_takes(source: Any) -> None:
    with pytest.raises(
        ValueError, match=r"expected an existing folder .* a named set \(digits, .*\) or module:attribute"
    ):
        load(source)


def test_the_test_half_is_balanced_and_no_seed_touches_it() -> None:
    data = digits()
    splits = [imbalanced_split(data, rare=[3, 5, 8], n_rare=5, n_common=80, seed=seed) for seed in range(3)]
    for train, test in splits:
        assert train.labels.bincount().tolist() == [80, 80, 80, 5, 80, 5, 80, 80, 5, 80]
        assert test.labels.bincount().tolist() == [87] * 10
        assert torch.equal(test.images, splits[0][1].images)
    assert not torch.equal(splits[0][0].images, splits[1][0].images)
    again = imbalanced_split(data, rare=[3, 5, 8], n_rare=5, n_common=80, seed=0)
    assert torch.equal(again[0].images, splits[0][0].images)


def test_no_test_image_is_in_a_training_set() -> None:
    marked = TensorImages(torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1), torch.arange(40) % 2, ["a", "b"])
    for seed in range(5):
        train, test = imbalanced_split(marked, rare=[1], n_rare=3, n_common=None, seed=seed)
        assert not set(train.images.flatten().tolist()) & set(test.images.flatten().tolist())
        assert train.labels.bincount().tolist() == [10, 3]


def test_splits_that_cannot_be_made_are_refused() -> None:
    data = digits()
    with pytest.raises(ValueError, match=r"from 1 to 87 training samples of class '8'"):
        imbalanced_split(data, rare=[8], n_rare=100, n_common=80, seed=0)
    with pytest.raises(ValueError, match=r"rare classes must be in \[0, 10\), got 10"):
        imbalanced_split(data, rare=[10], n_rare=5, n_common=80, seed=0)
    few = TensorImages(data.images[:3], torch.tensor([0, 0, 1]), ["a", "b"])
    with pytest.raises(ValueError, match=r"2 samples or more, .* got 1 of class 'b'"):
        imbalanced_split(few, rare=[1], n_rare=1, n_common=1, seed=0)
