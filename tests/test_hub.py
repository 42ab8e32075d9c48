"""Data sets of the library datasets, in memory and on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from torchaug.data import SampleError, load, read_hub

datasets.disable_progress_bars()
FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["7", "3", "cat"]),
        "site": datasets.Value("string"),
        "caption": datasets.Value("string"),
    }
)


def rows(**changes: Any) -> Any:
    columns = {
        "image": [Image.new("RGB", (6, 4), (number, 1, 2)) for number in range(5)],
        "label": [0, 2, 1, 2, 2],
        "site": ["north", "south", "north", "north", "south"],
        "caption": list("vwxyz"),
    }
    return datasets.Dataset.from_dict(columns | changes, features=FEATURES)


def test_rows_become_items() -> None:
    data = read_hub(rows(), text="caption", group="site")
    assert data.labels is not None
    assert data.groups is not None
    assert (data.labels.tolist(), data.classes) == ([0, 2, 1, 2, 2], ["7", "3", "cat"])
    assert (data.groups.tolist(), data.group_names) == ([0, 1, 0, 0, 1], ["north", "south"])
    item = data[3]
    assert item["image"][:, 3, 5].tolist() == [3, 1, 2]
    assert (item["text"], item["label"], item["group"], item["index"]) == ("y", 2, 0, 3)
    assert data.in_memory().tensors()["image"].shape == (5, 3, 4, 6)
    assert read_hub(rows(), size=(2, 2))[0]["image"].shape == (3, 2, 2)
    assert read_hub(rows(), image=None, text="caption")[1] == {"text": "w", "label": 2, "index": 1}


def test_selections_and_formats_of_the_user_hold() -> None:
    chosen = rows().select([4, 0]).with_format("torch")
    chosen.set_transform(lambda batch: pytest.fail("the user's transform ran"))
    data = read_hub(chosen)
    assert data.labels is not None
    assert data.labels.tolist() == [2, 0]
    assert [int(data[index]["image"][0, 0, 0]) for index in range(2)] == [4, 0]


def test_labels_are_read_without_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    table = rows()
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("an image was opened"))
    assert read_hub(table, mode="RGB").labels is not None


def test_a_folder_of_save_to_disk_is_mapped_and_read_in_workers(tmp_path: Path) -> None:
    rows().save_to_disk(tmp_path / "saved")
    data = load(tmp_path / "saved", size=(4, 4))
    assert data.classes == ["7", "3", "cat"]
    values = [int(batch["image"][0, 0, 0, 0]) for batch in DataLoader(data, num_workers=2)]
    assert values == [0, 1, 2, 3, 4]
    assert str(data.paths[2]) == str(tmp_path / "saved" / "2")  # type: ignore[union-attr]
    assert [path.name for path in data.subset([3, 1]).paths] == ["3", "1"]  # type: ignore[union-attr]
    datasets.DatasetDict({"train": rows(), "test": rows()}).save_to_disk(tmp_path / "both")
    with pytest.raises(TypeError, match=r"expected one split, got the splits 'train', 'test'"):
        load(tmp_path / "both")
    assert len(load(tmp_path / "both" / "train")) == 5
    with pytest.raises(FileNotFoundError, match="that datasets' save_to_disk wrote, got"):
        read_hub(tmp_path)


def test_grey_sets_have_one_channel() -> None:
    grey = rows(image=[Image.new("L", (3, 3), 9)] * 5)
    assert read_hub(grey)[0]["image"].tolist() == [[[9] * 3] * 3]
    mixed = rows(image=[Image.new("L", (3, 3), 9)] * 4 + [Image.new("RGB", (3, 3))])
    assert read_hub(mixed)[0]["image"].shape == (3, 3, 3)


def test_labels_of_other_kinds() -> None:
    def of(values: Any, feature: Any) -> Any:
        features = datasets.Features({"caption": datasets.Value("string"), "label": feature})
        columns = {"caption": ["x"] * len(values), "label": values}
        return read_hub(datasets.Dataset.from_dict(columns, features=features), image=None, text="caption")

    assert of(["b", "a"], datasets.Value("string")).classes == ["a", "b"]
    assert of([2, 0], datasets.Value("int64")).labels.tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"a label in column 'label' for every item, got none in row 1$"):
        of([2, None], datasets.Value("int64"))
    with pytest.raises(
        ValueError, match=r"a label in \[0, 2\) in column 'label', got -1 in row 0 and 1 more; pass label"
    ):
        of([-1, -1, 0], datasets.ClassLabel(names=["a", "b"]))
    with pytest.raises(ValueError, match=r"got None in row 1 and 0 more"):
        of([1, None], datasets.ClassLabel(names=["a", "b"]))


def test_broken_rows_are_listed() -> None:
    whole = rows().cast_column("image", datasets.Image(decode=False))
    cells = whole["image"][:]
    cells[1] = {"bytes": cells[1]["bytes"][:40], "path": None}
    cells[2] = {"bytes": None, "path": "/no/such/file.png"}
    cells[3] = None
    data = read_hub(
        datasets.Dataset.from_dict({"image": cells, "label": whole["label"][:]}, features=None).cast_column(
            "image", datasets.Image()
        )
    )
    errors = data.verify()
    assert [error.index for error in errors] == [1, 2, 3]
    assert "no/such/file.png" in str(errors[1])
    assert "expected an image, got none" in str(errors[2])
    assert [error.index for error in data.verify(workers=1)] == [1, 2, 3]
    with pytest.raises(SampleError, match=r"path='datasets.Dataset/1'"):
        data[1]


def test_what_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"expected a datasets.Dataset, got IterableDataset; rows that are streamed"):
        read_hub(rows().to_iterable_dataset())
    with pytest.raises(ValueError, match=r"a column 'img' \(image=\), got 'image', 'label', 'site', 'caption'"):
        read_hub(rows(), image="img")
    with pytest.raises(ValueError, match=r"column 'caption' must hold images, got Value.*cast_column\('caption'"):
        read_hub(rows(), image="caption")
    with pytest.raises(ValueError, match=r"column 'label' must hold text"):
        read_hub(rows(), text="label")
    with pytest.raises(ValueError, match="got neither"):
        read_hub(rows(), image=None)
    with pytest.raises(ValueError, match="at least one row"):
        read_hub(rows().select([]))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'torchaug-synth\[hub\]'"):
        read_hub("x")


def test_torch_sees_a_map_style_data_set() -> None:
    assert isinstance(read_hub(rows()), torch.utils.data.Dataset)
