"""Several data sets as one, in which every sample says where it came from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchaug.data.errors import SampleError, sample_error
from torchaug.data.instead import TRIES, alike
from torchaug.data.items import RAGGED, Item, content_of
from torchaug.data.leaks import refuse_leak
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
        sizes: "equal": images of another shape than the first are an error; "any": sizes may differ, and the DataLoader
            gets `collate_fn=torchaug.data.collate`, which pads them.

    Raises:
        ValueError: a refused source, or content that differs in kind, shape or dtype between sources.
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
        sizes: str = "equal",
    ) -> None:
        if sizes not in ("equal", "any"):
            raise ValueError(f"MixedDataset: sizes must be 'equal' or 'any', got {sizes!r}")
        self.sources = list(sources)
        check_sources(self.sources, max_generation)
        for source in self.sources:
            if source.is_synthetic and evaluation and not allow_synthetic_eval:
                raise ValueError(
                    f"MixedDataset: data to evaluate on must be real, got {source.kind} source {source.name!r}; "
                    "remove it, or pass allow_synthetic_eval=True"
                )
            for data in held_out:
                refuse_leak(source, data)
        self._ends = list(accumulate(source.size for source in self.sources))
        self._any_size = sizes == "any"
        self._entries, self._like, self._first = self._look()
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
        """Flat indices that may stand in for one that cannot be read: of its source, label and group, in the order after it.

        Args:
            index: the flat index.
            min_weight: items of a lower weight, or of none, do not stand in.
        """
        number, place = self.place(index)
        source = self.sources[number]
        fit = None if source.weights is None else (source.weights >= min_weight) & (source.weights > 0)
        if source.groups is not None:
            same = source.groups == source.groups[place]
            fit = same if fit is None else fit & same
        return (index - place + other for other in alike(source.size, place, source.labels, fit))

    def _read(self, source: Source, place: int) -> Item:
        try:
            item: Item = source.data[place]  # type: ignore[index]
            kept = {name: item[name] for name in self._entries}
        except SampleError:
            raise
        except Exception as error:  # whatever the user's data set raises
            raise sample_error(error, source.data, place, source.name) from error
        for name, like in self._like.items():
            if not _fits(kept[name], like, name, self._any_size):
                raise SampleError.of(_differs(name, kept[name], like, self._first), index=place, source=source.name)
        return kept

    def _look(self) -> tuple[list[str], Item, str]:
        """Entries that the items of all sources have, the content that others must fit, and whose it is."""
        entries: list[str] = []
        like: Item = {}
        first = ""
        for source in self.sources:
            if not source.size:
                continue
            if isinstance(source.data, int):
                raise TypeError(f"MixedDataset: source {source.name!r} must have a data set, got only its length")
            item = _first_readable(source)
            content = content_of(item)
            if not content:
                raise TypeError(
                    f"MixedDataset: items must be dicts with content such as a tensor 'image', got {type(item).__name__} "
                    f"from source {source.name!r}; wrap the data set with as_images"
                )
            if like and content.keys() != like.keys():
                raise ValueError(
                    f"MixedDataset: items must hold {', '.join(like)} as in source {first!r}, got {', '.join(content)} "
                    f"from source {source.name!r}"
                )
            for name, wanted in like.items():
                if not _fits(content[name], wanted, name, self._any_size):
                    error = _differs(name, content[name], wanted, first)
                    raise ValueError(f"MixedDataset: source {source.name!r}: {error}")
            entries = [name for name in item if name in entries] if like else list(item)
            like, first = (like, first) if like else (content, source.name)
        if not like:
            raise ValueError("MixedDataset: expected at least one item, got only empty sources")
        return entries, like, first

    def _blank(self) -> Item:
        lacking = [name for name, value in self._like.items() if not isinstance(value, Tensor) or name in RAGGED]
        if lacking:
            raise ValueError(f"MixedDataset: live samples must be tensors of one shape, got {', '.join(lacking)}")
        numbers = {name: -1 for name in ("label", "group") if name == "label" or name in self._entries}
        return {name: torch.zeros_like(value) for name, value in self._like.items()} | numbers


def _first_readable(source: Source) -> Any:
    """The first item, or the next where that cannot be read: whether this is an error is decided when it is drawn."""
    data: Any = source.data
    for index in range(min(TRIES, source.size)):
        try:
            return data[index]
        except Exception as error:  # noqa: PERF203 (whatever the user's data set raises; free from Python 3.11 on)
            if index + 1 == min(TRIES, source.size):
                raise sample_error(error, data, index, source.name) from error
    raise AssertionError("a source with items has a first one")


def _fits(value: Any, like: Any, name: str, any_size: bool) -> bool:
    """Whether an entry can be in a batch with another."""
    if not (isinstance(value, Tensor) and isinstance(like, Tensor)):
        return isinstance(value, Tensor) == isinstance(like, Tensor)
    if value.dtype != like.dtype or value.ndim != like.ndim:
        return False
    if name in RAGGED:
        return value.shape[:-1] == like.shape[:-1]
    return value.shape[:1] == like.shape[:1] if any_size else value.shape == like.shape


def _differs(name: str, value: Any, like: Any, first: str) -> ValueError:
    advice = "; read both with one size= and mode=" if name == "image" else ""
    return ValueError(f"{name} must be {_form(like)} as in source {first!r}, got {_form(value)}{advice}")


def _form(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
