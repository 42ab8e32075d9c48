"""The items of one side of a mixture, real or synthetic, as endless streams without replacement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from torchaug.data.classes import ClassStream
from torchaug.data.permutation import Ints, fold, mix, permute, unit
from torchaug.data.source import Source
from torchaug.keys import hash_int

_NO_CLASS = np.zeros(1, dtype=np.int64)


class Pool:
    """Cells of items, each an endless stream with random access: draw d of a cell of n is place d % n of pass d // n.

    A pass is a shuffle, so uses within a cell differ by at most one at every moment. With weights, a pass uses item i
    floor(m_i) or ceil(m_i) times, m_i = n w_i / sum(w), on average m_i: systematic sampling with one offset a pass.

    Args:
        sources: with the flat index of the first item of each.
        classes: a cell for each of these class numbers, or None: one cell of everything.
        seed: of the shuffles.
        min_weight: items that weigh less are never drawn.
    """

    def __init__(
        self, sources: Sequence[tuple[int, Source]], classes: Sequence[int] | None, seed: int, min_weight: float
    ) -> None:
        self._ids: Ints | None = None
        self._first = sources[0][0] if sources else 0
        total = sum(source.size for _, source in sources)
        if any(start != self._first + sum(s.size for _, s in sources[:i]) for i, (start, _) in enumerate(sources)):
            self._ids = np.concatenate([start + np.arange(source.size) for start, source in sources])
        weights = _weights(sources, min_weight)
        if classes is None:
            self.sizes = np.array([total])
        else:
            labels = _labels(sources)
            narrow = labels.astype(np.min_scalar_type(labels.max(initial=0)))  # up to 16 bits numpy sorts by radix
            by_label = np.argsort(narrow, kind="stable")
            edges = np.searchsorted(labels[by_label], [[number, number + 1] for number in classes])
            self.sizes = edges[:, 1] - edges[:, 0]
            order = np.concatenate([by_label[first:last] for first, last in edges])
            self._ids = self._flat(order)
            weights = None if weights is None else weights[order]
        self._starts = np.concatenate([[0], self.sizes.cumsum()[:-1]])
        names = [-1] if classes is None else classes
        self._keys = np.array([hash_int(seed, number) for number in names]).view(np.uint64)
        self._ends = None if weights is None else self._cumulate(weights)

    def draw(self, cells: Ints, draws: Ints) -> tuple[Ints, Ints]:
        """The flat index of each draw, and a number that no other use of the same item has."""
        size, start = self.sizes[cells], self._starts[cells]
        turn, offset = np.divmod(draws, size)
        key = fold(self._keys[cells], turn)
        slot = permute(offset, size, key)
        if self._ends is None:
            return self._flat(start + slot), turn
        # slot j holds the item in whose stretch of [0, n) the point j + 1 - offset lies
        place = np.searchsorted(self._ends, start + slot + 1 - unit(mix(key)))
        return self._flat(place), turn * size + slot

    def _flat(self, places: Ints) -> Ints:
        return places + self._first if self._ids is None else self._ids[places]

    def _cumulate(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The right end of each item's stretch; a cell's stretches fill its n places."""
        ends = np.empty(len(weights))
        for cell, (start, size) in enumerate(zip(self._starts, self.sizes, strict=True)):
            sums = weights[start : start + size].cumsum()
            if size and sums[-1] > 0:
                ends[start : start + size] = start + sums / sums[-1] * size
            else:
                self.sizes[cell] = 0  # nothing in it may be drawn
                ends[start : start + size] = start
        return ends


class Side:
    """One side of a mixture as a stream of flat indices: which class by its `ClassStream`, which item by its `Pool`.

    Args:
        pool: with a cell for each class, or one cell.
        stream: of classes, or None.
        classes: the number of each class of the stream.
        live: whether what the pool lacks is made live: flat index -1 - place.
    """

    def __init__(self, pool: Pool, stream: ClassStream | None, classes: Sequence[int], live: bool) -> None:
        self._pool, self._stream, self._live = pool, stream, live
        self._classes = np.array(classes, dtype=np.int64)

    @property
    def has_classes(self) -> bool:
        """Whether a class is drawn before an item."""
        return self._stream is not None

    def at(self, places: Ints) -> tuple[Ints, Ints, Ints]:
        """Flat index, number of the use, and class number (-1: any) at each place of the stream."""
        cells, draws = (_NO_CLASS, places) if self._stream is None else self._stream.at(places)
        labels = np.full(len(places), -1) if self._stream is None else self._classes[cells]
        stored = np.broadcast_to(self._pool.sizes[cells] > 0, places.shape) if self._live else slice(None)
        flat, uses = -1 - places, np.zeros_like(places)
        chosen = cells if cells.size == 1 else cells[stored]
        flat[stored], uses[stored] = self._pool.draw(chosen, draws[stored])
        return flat, uses, labels


def _weights(sources: Sequence[tuple[int, Source]], min_weight: float) -> npt.NDArray[np.float64] | None:
    if all(source.weights is None for _, source in sources):
        return None
    parts = [
        np.ones(source.size) if source.weights is None else source.weights.double().cpu().numpy()
        for _, source in sources
    ]
    weights = np.concatenate(parts)
    return np.where(weights >= min_weight, weights, 0.0)


def _labels(sources: Sequence[tuple[int, Source]]) -> Ints:
    for _, source in sources:
        if source.labels is None and source.size:
            raise ValueError(
                f"MixedSampler: source {source.name!r} must have labels to be drawn by class, got none; pass labels="
            )
    parts = [source.labels.cpu().numpy() for _, source in sources if source.labels is not None]
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, dtype=np.int64)
