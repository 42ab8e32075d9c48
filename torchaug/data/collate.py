"""Items of different sizes as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from torchaug.data.items import Item

FREE = {
    "image": (1, 2),
    "volume": (1, 2, 3),
    "mask": (0, 1, 2, 3),
    "waveform": (1,),
    "boxes": (0,),
    "box_labels": (0,),
    "box_weights": (0,),
    "keypoints": (0,),
    "visible": (0,),
}
"""The axes along which the items of a batch may differ."""
NONE = {"box_labels": -1}
"""What fills up an entry, where it is not 0."""


def collate(items: Sequence[Item]) -> dict[str, Any]:
    """Items as one batch, for `DataLoader(collate_fn=collate)`: as torch's own, but what differs in size is filled up.

    - "image", "mask" and "volume": zeros at the right, the bottom and the back; where images differ, "size" (B, 2) int64
      holds the height and width of each, and for volumes "volume_size" (B, 3) depth, height and width;
    - "waveform": zeros at the end, and "lengths" (B,) int64;
    - "boxes": boxes without area, "box_labels" -1, "box_weights" 0; and masks get planes of zeros;
    - "keypoints": zeros, and "visible" (B, N) bool is False there.

    Text and paths become lists; numbers and tensors of one shape are stacked.

    Args:
        items: dicts with the same entries.

    Raises:
        TypeError: an item that is no dict, or an entry that cannot be stacked.
        ValueError: an entry that some items lack, or tensors that differ where they must not; with the item and, where
            it has one, its "index".

    >>> boxes = [torch.zeros(2, 4), torch.zeros(0, 4)]
    >>> images = [torch.rand(3, 4, 6), torch.rand(3, 5, 5)]
    >>> batch = collate([{"image": image, "boxes": box} for image, box in zip(images, boxes)])
    >>> batch["image"].shape, batch["size"].tolist(), batch["boxes"].shape
    (torch.Size([2, 3, 5, 6]), [[4, 6], [5, 5]], torch.Size([2, 2, 4]))
    """
    return {
        name: value
        for entry, values in _columns(items).items()
        for name, value in _joined(entry, values, items).items()
    }


def _columns(items: Sequence[Item]) -> dict[str, list[Any]]:
    """The values of each entry; the same entries in every item, without comparing all names where all is well."""
    try:
        columns = {name: [item[name] for item in items] for name in items[0]}
        if all(len(item) == len(columns) for item in items):
            return columns
    except (KeyError, TypeError, IndexError):
        pass  # said below
    raise _no_columns(items)


def _joined(name: str, values: list[Any], items: Sequence[Item]) -> dict[str, Any]:
    first = values[0]
    if isinstance(first, (str, bytes, Path)):
        return {name: values}
    if not isinstance(first, Tensor):
        return {name: _stacked(name, values)}
    try:
        if len({value.dtype for value in values}) == 1:  # else torch would convert them
            return {name: default_collate(values)}
    except (AttributeError, RuntimeError):
        if _are_alike(values):
            raise
    _check_alike(name, values, items)
    return _filled_up(name, values)


def _are_alike(values: list[Any]) -> bool:
    return all(isinstance(value, Tensor) and value.shape == values[0].shape for value in values)


def _filled_up(name: str, values: list[Tensor]) -> dict[str, Tensor]:
    """The entry, and how much of it is each item's own."""
    shapes = torch.tensor([value.shape for value in values])
    whole = values[0].new_full((len(values), *shapes.amax(dim=0).tolist()), NONE.get(name, 0)).as_subclass(Tensor)
    for row, value in zip(whole, values, strict=True):
        row[tuple(slice(side) for side in value.shape)] = value
    batch = {name: whole}
    if name == "image":
        batch["size"] = shapes[:, 1:].contiguous()
    if name == "volume":
        batch["volume_size"] = shapes[:, 1:].contiguous()
    if name == "waveform":
        batch["lengths"] = shapes[:, 1].contiguous()
    if name == "keypoints":
        batch["visible"] = torch.arange(whole.shape[1]) < shapes[:, :1]
    return batch


def _stacked(name: str, values: list[Any]) -> Any:
    try:
        return default_collate(values)
    except (TypeError, RuntimeError, ValueError) as error:
        kinds = sorted({type(value).__name__ for value in values})
        raise TypeError(f"collate: cannot stack '{name}' of {', '.join(kinds)}: {error}") from error


def _no_columns(items: Sequence[Item]) -> Exception:
    """What keeps items from having the same entries."""
    if not items:
        return ValueError("collate: expected at least one item, got none")
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            return TypeError(f"collate: expected items as dicts, got {type(item).__name__} at {place}")
    for name in dict.fromkeys(name for item in items for name in item):
        without = [place for place, item in enumerate(items) if name not in item]
        if without:
            break
    return ValueError(
        f"collate: every item of a batch must have '{name}' or none, got {_which(without[0], items)} and "
        f"{len(without) - 1} more of {len(items)} without"
    )


def _check_alike(name: str, values: list[Any], items: Sequence[Item]) -> None:
    """Tensors of one dtype that differ along the free axes alone."""
    first, free = values[0], FREE.get(name, ())
    for place, value in enumerate(values):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"collate: '{name}' must be a tensor in every item, got {type(value).__name__} in {_which(place, items)}"
            )
        fixed = [axis for axis in range(first.ndim) if axis not in free]
        same = value.ndim == first.ndim and all(value.shape[axis] == first.shape[axis] for axis in fixed)
        if not same or value.dtype != first.dtype:
            raise ValueError(
                f"collate: '{name}' must have one dtype and shape{_but(free)}, got {value.dtype} {tuple(value.shape)} in "
                f"{_which(place, items)} beside {first.dtype} {tuple(first.shape)} in {_which(0, items)}"
            )


def _but(free: tuple[int, ...]) -> str:
    return f" but for the axes {', '.join(map(str, free))}" if free else ""


def _which(place: int, items: Sequence[Item]) -> str:
    index = items[place].get("index")
    return f"item {place}" if index is None else f"item {place} (index {index})"
