"""Several data sets as one, in which every sample says where it came from."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.bank import Bank
from torchaug.data.errors import SampleError, sample_error
from torchaug.data.images import Item
from torchaug.data.instead import alike
from torchaug.data.source import Source, check_sources


class MixedDataset(Dataset[Item]):
    """Sources one after the other under one flat index, as `MixedSampler` draws from them.

    An item is what its source gives, kept to the entries that all sources have, and
    `{"index": place in its source, "source": number of the source, "is_synthetic": bool, "id": flat index}`,
    and "weight" where a source has a `loss_weight`. A negative index is a live sample: a blank that `DeviceLoader`
    fills.

    Args:
        sources: real ones first, then synthetic ones.
        held_out: validation and test data. A source whose generator was trained on any of it is refused, since the
            test would leak through the generator.
        evaluation: whether this data set is there to evaluate: synthetic sources are then refused.
        allow_synthetic_eval: accept them all the same.
        max_generation: sources of a later generation are refused: a generator trained on generated data loses the
            tails of the distribution (Shumailov et al., Nature 631, 2024).

    Raises:
        ValueError: a refused source, or images that differ in shape or dtype between sources.
        SampleError: from an item that its source cannot read.

    >>> from torchaug.data import TensorImages
    >>> data = TensorImages(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1, 1]), ["a", "b"])
    >>> mixed = MixedDataset([Source.real(data), Source("copy", data, kind="bank")])
    >>> [mixed[4][name] for name in ("label", "index", "source", "is_synthetic", "id")]
    [1, 1, 1, True, 4]
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        held_out: Sequence[Dataset[Item]] = (),
        evaluation: bool = False,
        allow_synthetic_eval: bool = False,
        max_generation: int = 0,
    ) -> None:
        self.sources = list(sources)
        check_sources(self.sources, max_generation)
        for source in self.sources:
            if source.is_synthetic and evaluation and not allow_synthetic_eval:
                raise ValueError(
                    f"MixedDataset: data to evaluate on must be real, got {source.kind} source {source.name!r}; "
                    "remove it, or pass allow_synthetic_eval=True"
                )
            for data in held_out:
                _refuse_leak(source, data)
        self._ends = list(accumulate(source.size for source in self.sources))
        self._entries, self._image, self._first = self._look()
        weighted = any(source.loss_weight != 1 for source in self.sources)
        self._weights = [torch.tensor(source.loss_weight) for source in self.sources] if weighted else None

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes, of the first source that has them."""
        return next((source.classes for source in self.sources if source.classes is not None), None)

    def __getitem__(self, index: int) -> Item:
        number, place = self.place(index)
        source = self.sources[number]
        item = self._blank() if index < 0 else self._read(source, place)
        item |= {"index": place, "source": number, "is_synthetic": source.is_synthetic, "id": index}
        if self._weights is not None:
            item["weight"] = self._weights[number]
        return item

    def place(self, index: int) -> tuple[int, int]:
        """The number of the source of a flat index, and the place in it (for a live one, the number of its draw)."""
        if index < 0:
            live = [number for number, source in enumerate(self.sources) if source.kind == "live"]
            if not live:
                raise IndexError(f"MixedDataset: index must be in [0, {len(self)}) without a live source, got {index}")
            return live[0], -1 - index
        if index >= len(self):
            raise IndexError(f"MixedDataset: index must be in [0, {len(self)}), got {index}")
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)

    def origin(self, index: int) -> tuple[Any, str, int]:
        """The data set of a flat index, its name, and the place in it."""
        number, place = self.place(index)
        return self.sources[number].data, self.sources[number].name, place

    def instead(self, index: int, min_weight: float = 0.0) -> Iterator[int]:
        """Flat indices that may stand in for one that cannot be read: of its source and label, in the order after it.

        Args:
            index: the flat index.
            min_weight: items of a lower weight, or of none, do not stand in.
        """
        number, place = self.place(index)
        source = self.sources[number]
        fit = None if source.weights is None else (source.weights >= min_weight) & (source.weights > 0)
        return (index - place + other for other in alike(source.size, place, source.labels, fit))

    def _read(self, source: Source, place: int) -> Item:
        try:
            item: Item = source.data[place]  # type: ignore[index]
            kept = {name: item[name] for name in self._entries}
        except SampleError:
            raise
        except Exception as error:  # whatever the user's data set raises
            raise sample_error(error, source.data, place, source.name) from error
        image = kept["image"]
        if (image.shape, image.dtype) != self._image:
            raise SampleError.of(_differs(image, self._image, self._first), index=place, source=source.name)
        return kept

    def _look(self) -> tuple[list[str], tuple[torch.Size, torch.dtype], str]:
        """Entries that the items of all sources have, and the shape that their images must have."""
        entries: list[str] | None = None
        image: tuple[torch.Size, torch.dtype] | None = None
        first = ""
        for source in self.sources:
            if not source.size:
                continue
            if isinstance(source.data, int):
                raise TypeError(f"MixedDataset: source {source.name!r} must have a data set, got only its length")
            item = source.data[0]
            if not isinstance(item, dict) or not isinstance(item.get("image"), Tensor):
                raise TypeError(
                    f"MixedDataset: items must be dicts with a tensor 'image', got {type(item).__name__} from source "
                    f"{source.name!r}; wrap the data set with as_images"
                )
            shape = item["image"].shape, item["image"].dtype
            if image is not None and shape != image:
                raise ValueError(f"MixedDataset: source {source.name!r}: {_differs(item['image'], image, first)}")
            image, first = (shape, source.name) if image is None else (image, first)
            entries = [name for name in item if entries is None or name in entries]
        if image is None or entries is None:
            raise ValueError("MixedDataset: expected at least one item, got only empty sources")
        return entries, image, first

    def _blank(self) -> Item:
        shape, dtype = self._image
        return {"image": torch.zeros(shape, dtype=dtype), "label": -1}


def item_hashes(dataset: Dataset[Any]) -> Tensor:
    """A 64-bit hash of each item's image: (N,) int64. Equal images have equal hashes, whatever their label."""
    size = len(dataset)  # type: ignore[arg-type]
    hashes = [hashlib.blake2b(_bytes(dataset[index]["image"]), digest_size=8).digest() for index in range(size)]
    return torch.frombuffer(bytearray(b"".join(hashes)), dtype=torch.int64)


def fingerprint(dataset: Dataset[Any]) -> str:
    """A hash of a data set's images, whatever their order: what `trained_on` of a bank holds.

    >>> from torchaug.data import digits
    >>> fingerprint(digits().subset([0, 1])) == fingerprint(digits().subset([1, 0]))
    True
    """
    return _fingerprint(item_hashes(dataset))


def _fingerprint(hashes: Tensor) -> str:
    return hashlib.sha256(hashes.sort().values.numpy().tobytes()).hexdigest()[:32]


def _bytes(image: Tensor) -> bytes:
    return f"{image.dtype} {tuple(image.shape)} ".encode() + image.contiguous().numpy().tobytes()


def _refuse_leak(source: Source, held_out: Dataset[Any]) -> None:
    if source.trained_on is None:
        return
    hashes = item_hashes(held_out)
    items = source.data.trained_items if isinstance(source.data, Bank) else None
    shared = torch.isin(hashes, items) if items is not None else torch.zeros(0, dtype=torch.bool)
    equal = source.trained_on == _fingerprint(hashes)
    if equal or shared.any():
        what = f"{int(shared.sum())} of the" if shared.any() else "the"
        first = f" (the first at index {int(shared.nonzero()[0])})" if shared.any() else ""
        raise ValueError(
            f"MixedDataset: the generator of source {source.name!r} was trained on {what} {len(hashes)} held-out items"
            f"{first}: the evaluation would leak through the generator; train it on the training split alone"
        )


def _differs(image: Tensor, wanted: tuple[torch.Size, torch.dtype], first: str) -> ValueError:
    return ValueError(
        f"images must be {wanted[1]} {tuple(wanted[0])} as in source {first!r}, got {image.dtype} {tuple(image.shape)}; "
        "read both with one size= and mode="
    )
