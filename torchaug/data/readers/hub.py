"""Data sets of the Hugging Face library `datasets`, without its network."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

import torch
from PIL import Image
from torch import Tensor

from torchaug.data.decode import check_decoding, mode_of, resize_to, to_tensor
from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.labels import class_numbers


class HubDataset(FileDataset):
    """Rows of a `datasets.Dataset`; see `read_hub`. The path of an item is that of the data set and its row."""

    def __init__(
        self,
        dataset: Any,
        *,
        image: str | None,
        text: str | None,
        label: str | None,
        group: str | None,
        size: tuple[int, int] | None,
        fit: str,
        mode: str,
    ) -> None:
        self.name, self.size, self.fit = _name(dataset), size, fit
        self.paths = _Rows(self.name, len(dataset))
        self._image, self._text = image, text
        if label is not None:
            self.labels, self.classes = self._numbers(dataset, label, "label")
        if group is not None:
            self.groups, self.group_names = self._numbers(dataset, group, "group")
        wanted = dataset.select_columns([name for name in (image, text) if name is not None])
        self._rows = wanted.with_format(None)  # and not what the user's set_transform makes of them
        if image is not None:
            import datasets

            self._rows = self._rows.cast_column(image, datasets.Image(decode=False))
            self.mode = mode_of(self._pictures(image), mode)

    def read(self, index: int) -> Item:
        row = self._rows[index]
        item: Item = {}
        if self._image is not None:
            with Image.open(_file(row[self._image])) as picture:
                image = to_tensor(picture, self.mode)
            item["image"] = image if self.size is None else resize_to(image, self.size, self.fit)
        if self._text is not None:
            item["text"] = row[self._text]
        return item

    def _pictures(self, image: str) -> Iterator[Path | BinaryIO]:
        return (_file(row[image]) for row in self._rows if row[image] is not None)

    def _numbers(self, dataset: Any, name: str, what: str) -> tuple[Tensor, list[str]]:
        """The class numbers of a column, read without the other columns."""
        feature = dataset.features[name]
        values = dataset.select_columns([name]).with_format("arrow")[:].column(name).to_pylist()
        names = getattr(feature, "names", None)
        if names is None:
            return class_numbers(values, "read_hub", f"{what} in column {name!r}", lambda row: f"row {row}")
        bad = [row for row, value in enumerate(values) if value is None or not 0 <= value < len(names)]
        if bad:
            raise ValueError(
                f"read_hub: expected a {what} in [0, {len(names)}) in column {name!r}, got {values[bad[0]]} in row "
                f"{bad[0]} and {len(bad) - 1} more; pass {what}=None if this split has none"
            )
        return torch.tensor(values, dtype=torch.int64), list(names)


class _Rows(Sequence[Path]):
    """The data set and the row of each item, made when asked for."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.size = name, count

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> list[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | list[Path]:
        rows = range(self.size)[index]
        return Path(self.name) / str(rows) if isinstance(rows, int) else [self[row] for row in rows]


def read_hub(
    dataset: Any,
    *,
    image: str | None = "image",
    text: str | None = None,
    label: str | None = "label",
    group: str | None = None,
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    mode: str = "auto",
) -> HubDataset:
    """Rows of a `datasets.Dataset`: items are `{"image", "text", "label", "group", "index"}`.

    Rows stay where they are, on disk and memory-mapped; labels are read without decoding an image. Class names are
    those of a ClassLabel column; else whole numbers are class numbers, and names are classes in sorted order.

    Args:
        dataset: a `datasets.Dataset`, or the folder that its `save_to_disk` wrote.
        image: the column of images; None: none.
        text: the column of texts.
        label: the column of classes; None: unlabelled.
        group: the column of groups, likewise.
        size: height and width that every image gets.
        fit: "crop" covers that size and cuts the middle out; "pad" fits into it and adds black borders.
        mode: "RGB", "L", or "auto": "L" when every image is grey, else "RGB"; images are looked at until one is not grey.

    Raises:
        ImportError: `datasets` is not installed.
        TypeError: another object than a `datasets.Dataset`: one split, not streamed.
        ValueError: no such column, one of another kind, or rows without a label.

    >>> import datasets
    >>> rows = {"image": [Image.new("L", (4, 3))], "label": ["cat"]}
    >>> data = read_hub(datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()))
    >>> data[0]["image"].shape, data.classes
    (torch.Size([1, 3, 4]), ['cat'])
    """
    check_decoding(size, fit, mode, "read_hub")
    found = _opened(dataset)
    _check_columns(found, {"image": image, "text": text, "label": label, "group": group})
    return HubDataset(found, image=image, text=text, label=label, group=group, size=size, fit=fit, mode=mode)


def _opened(dataset: Any) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError("read_hub: needs datasets; pip install 'torchaug-synth[hub]'") from error
    if isinstance(dataset, (str, Path)):
        folder = Path(dataset)
        if not (folder / "state.json").is_file() and not (folder / "dataset_dict.json").is_file():
            raise FileNotFoundError(f"read_hub: expected a folder that datasets' save_to_disk wrote, got {folder}")
        dataset = datasets.load_from_disk(str(folder))
    if isinstance(dataset, datasets.DatasetDict):
        splits = ", ".join(map(repr, dataset))
        raise TypeError(f"read_hub: expected one split, got the splits {splits}; pass dataset['...'] or its folder")
    if not isinstance(dataset, datasets.Dataset):
        raise TypeError(
            f"read_hub: expected a datasets.Dataset, got {type(dataset).__name__}; rows that are streamed cannot be read "
            "at random"
        )
    if not len(dataset):
        raise ValueError("read_hub: expected at least one row, got none")
    return dataset


def _check_columns(dataset: Any, wanted: dict[str, str | None]) -> None:
    import datasets

    if wanted["image"] is None and wanted["text"] is None:
        raise ValueError("read_hub: expected a column image= or text=, got neither")
    for what, name in wanted.items():
        if name is not None and name not in dataset.features:
            have = ", ".join(map(repr, dataset.features))
            raise ValueError(f"read_hub: expected a column {name!r} ({what}=), got {have}; {what}=None is without")
    image, text = wanted["image"], wanted["text"]
    if image is not None and not isinstance(dataset.features[image], datasets.Image):
        raise ValueError(
            f"read_hub: column {image!r} must hold images, got {dataset.features[image]}; use "
            f"dataset.cast_column({image!r}, datasets.Image())"
        )
    if text is not None and getattr(dataset.features[text], "dtype", None) not in ("string", "large_string"):
        raise ValueError(f"read_hub: column {text!r} must hold text, got {dataset.features[text]}")


def _file(cell: Any) -> Path | BinaryIO:
    """The file of an image: in the table, or where the table says it is."""
    if cell is None:
        raise ValueError("expected an image, got none")
    return Path(cell["path"]) if cell["bytes"] is None else io.BytesIO(cell["bytes"])


def _name(dataset: Any) -> str:
    """The folder of the table on disk; one in memory has none."""
    files = dataset.cache_files
    return str(Path(files[0]["filename"]).parent) if files else "datasets.Dataset"
