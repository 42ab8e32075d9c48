"""Several data sets as one, in which every sample says where it came from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

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
            item = source.data[0]
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
        numbers = {name: -1 for name in ("label", "group") if name in {*self._entries, "label"}}
        return {name: torch.zeros_like(value) for name, value in self._like.items()} | numbers


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
