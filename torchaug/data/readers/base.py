"""What every reader of files shares: items that are read when asked for, errors that name the file, and `verify`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from torchaug.data.errors import SampleError
from torchaug.data.images import TensorImages
from torchaug.data.items import Item
from torchaug.data.waveforms import TensorWaveforms

Progress = Callable[[int, int], None]  # (done, total)


class FileDataset(Dataset[Item], ABC):
    """A map-style data set whose items are read from files when they are asked for.

    An item is `read(index)` and "index", and "label" and "group" where those are known. A file that cannot be read
    raises a `SampleError` with its index and path, in a worker process too.

    Attributes:
        name: for messages.
        paths: the file of each item.
        labels: (N,) int64 class numbers, or None.
        classes: a name for each class, or None.
        groups: (N,) int64 group numbers (site, device, sex, ...), or None.
        group_names: a name for each group, or None.
        sample_rate: of all waveforms, or None.
        tag_names: a name for each tag of tokens, or None.
    """

    name: str
    paths: Sequence[Path]
    labels: Tensor | None = None
    classes: list[str] | None = None
    groups: Tensor | None = None
    group_names: list[str] | None = None
    sample_rate: int | None = None
    tag_names: list[str] | None = None

    @abstractmethod
    def read(self, index: int) -> Item:
        """The content of an item: "image", "volume", "waveform", "text" or "table", and what belongs to it."""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: index must be in [0, {len(self)}), got {index}")
        try:
            item = self.read(index)
        except SampleError:
            raise
        except Exception as error:  # decoders raise many kinds, SyntaxError and struct.error among them
            raise SampleError.of(error, index=index, source=self.name, path=self.paths[index]) from error
        if self.labels is not None:
            item["label"] = int(self.labels[index])
        if self.groups is not None:
            item["group"] = int(self.groups[index])
        return item | {"index": index}

    def verify(self, progress: Progress | None = None, *, workers: int = 0) -> list[SampleError]:
        """Read every item; the errors of those that cannot be read, each with its `index` and `path`.

        Args:
            progress: called with (items done, items in all).
            workers: processes that read.
        """
        bad: list[SampleError] = []
        own = torch.Generator()  # else the loader draws from torch's
        loader = DataLoader(_Attempts(self), batch_size=None, num_workers=workers, generator=own)
        for done, error in enumerate(loader, start=1):
            if error:
                bad.append(SampleError(error))
            if progress is not None:
                progress(done, len(self))
        return bad

    def subset(self, indices: Tensor | Sequence[int]) -> Selection:
        """The items at `indices`, in that order, with all the classes."""
        return Selection(self, indices)

    def without(self, errors: Iterable[SampleError]) -> Selection:
        """All items but those that `errors`, the result of `verify`, are about."""
        bad = {error.index for error in errors}
        return self.subset([index for index in range(len(self)) if index not in bad])

    def in_memory(self, progress: Progress | None = None) -> TensorImages | TensorWaveforms:
        """Every item decoded into one tensor: images, or sounds filled up to the longest.

        Raises:
            ValueError: items that are neither sounds nor images of one size with labels.
        """
        if self.sample_rate is not None:
            return self._sounds(progress)
        return self._images(progress)

    def _sounds(self, progress: Progress | None) -> TensorWaveforms:
        waveforms: list[Tensor] = []
        for index in range(len(self)):
            waveforms.append(self[index]["waveform"])
            if len(waveforms[-1]) != len(waveforms[0]):
                raise ValueError(
                    f"{self.name}: sounds must have one number of channels, got {len(waveforms[-1])} in "
                    f"{self.paths[index]} beside {len(waveforms[0])} in {self.paths[0]}; pass mono=True"
                )
            if progress is not None:
                progress(index + 1, len(self))
        assert self.sample_rate is not None
        return TensorWaveforms.of(waveforms, self.labels, self.classes, sample_rate=self.sample_rate)

    def _images(self, progress: Progress | None) -> TensorImages:
        if self.labels is None or self.classes is None:
            raise ValueError(f"{self.name}: expected labels to load images and labels into memory, got none")
        images: list[Tensor] = []
        for index in range(len(self)):
            image = self[index].get("image")
            if image is None:
                raise ValueError(f"{self.name}: expected items with an 'image', got none in {self.paths[index]}")
            if images and image.shape != images[0].shape:
                raise ValueError(
                    f"{self.name}: images must have one size to be stacked, got {_sides(image)} in "
                    f"{self.paths[index]} beside {_sides(images[0])} in {self.paths[0]}; pass size=(height, width)"
                )
            images.append(image)
            if progress is not None:
                progress(index + 1, len(self))
        return TensorImages(torch.stack(images), self.labels, self.classes)


class Selection(FileDataset):
    """Some items of a data set of files, with their labels, groups and paths; "index" is the place in the selection.

    Args:
        data: of which they are.
        indices: which, in this order.

    Raises:
        IndexError: an index that the data set does not have.
    """

    def __init__(self, data: FileDataset, indices: Tensor | Sequence[int]) -> None:
        self.data, self.indices = data, torch.as_tensor(indices, dtype=torch.int64)
        bad = ((self.indices < 0) | (self.indices >= len(data))).nonzero()
        if len(bad):
            raise IndexError(
                f"Selection: indices must be in [0, {len(data)}) for {data.name}, got {int(self.indices[bad[0, 0]])}"
            )
        self.name, self.classes, self.group_names = data.name, data.classes, data.group_names
        self.sample_rate, self.tag_names = data.sample_rate, data.tag_names
        self.paths = [data.paths[index] for index in self.indices.tolist()]
        self.labels = None if data.labels is None else data.labels[self.indices]
        self.groups = None if data.groups is None else data.groups[self.indices]

    def read(self, index: int) -> Item:
        return self.data.read(int(self.indices[index]))


class _Attempts(Dataset[str]):
    """For each item the error that reading it gives, or ""."""

    def __init__(self, data: FileDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> str:
        try:
            self.data[index]
        except SampleError as error:
            return str(error)
        return ""


def _sides(image: Tensor) -> str:
    return f"{image.shape[-2]} x {image.shape[-1]}"
