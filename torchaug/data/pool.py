"""The items of one side of a mixture, real or synthetic, as endless streams without replacement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from torchaug.data.cells import ANY, Cell, Cells
from torchaug.data.classes import ClassStream
from torchaug.data.permutation import Ints, fold, mix, permute, unit
from torchaug.data.source import Source
from torchaug.keys import hash_int

_NO_CELL = np.zeros(1, dtype=np.int64)


class Pool:
    """Cells of items, each an endless stream with random access: draw d of a cell of n is place d % n of pass d // n.

    A pass is a shuffle, so uses within a cell differ by at most one at every moment. With weights, a pass uses item i
    floor(m_i) or ceil(m_i) times, m_i = n w_i / sum(w), on average m_i: systematic sampling with one offset a pass.

    Args:
        sources: with the flat index of the first item of each.
        cells: of these sources.
        wanted: the cells to draw from, or None: one cell of everything.
        seed: of the shuffles.
        min_weight: items that weigh less are never drawn.
    """

    def __init__(
        self,
        sources: Sequence[tuple[int, Source]],
        cells: Cells,
        wanted: Sequence[Cell] | None,
        seed: int,
        min_weight: float,
    ) -> None:
        sizes = np.array([source.size for _, source in sources], dtype=np.int64)
        self._ends: Ints = sizes.cumsum()  # of the sources, counted on this side alone
        self._shifts: Ints = np.array([start for start, _ in sources], dtype=np.int64) - (self._ends - sizes)
        weights = _weights(sources, min_weight)
        self._index: npt.NDArray[np.integer[npt.NBitBase]] | None = None
        if wanted is None:
            self.sizes = np.array([sizes.sum()])
        else:
            self.sizes = np.array([cells.counts.get(cell, 0) for cell in wanted])
            self._index = cells.index(wanted)
            weights = None if weights is None else weights[self._index]
        self._starts = np.concatenate([[0], self.sizes.cumsum()[:-1]])
        names = [(ANY, ANY)] if wanted is None else wanted
        self._keys = np.array([_key(seed, cell) for cell in names]).view(np.uint64)
        self._stretches = None if weights is None else self._stretch(weights)

    def draw(self, cells: Ints, draws: Ints) -> tuple[Ints, Ints]:
        """The flat index of each draw, and a number that no other use of the same item has."""
        size, start = self.sizes[cells], self._starts[cells]
        turn, offset = np.divmod(draws, size)
        key = fold(self._keys[cells], turn)
        slot = permute(offset, size, key)
        if self._stretches is None:
            return self._flat(start + slot), turn
        # slot j holds the item in whose stretch of [0, n) the point j + 1 - offset lies
        place = np.searchsorted(self._stretches, start + slot + 1 - unit(mix(key)))
        return self._flat(place), turn * size + slot

    def _flat(self, places: Ints) -> Ints:
        if self._index is not None:
            places = self._index[places].astype(np.int64)
        if len(self._shifts) == 1:
            return places + self._shifts
        source: Ints = self._ends.searchsorted(places, "right")
        return places + self._shifts[source]

    def _stretch(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The right end of each item's stretch, in place of its weight; a cell's stretches fill its n places."""
        for cell, (start, size) in enumerate(zip(self._starts, self.sizes, strict=True)):
            ends = weights[start : start + size]
            ends.cumsum(out=ends)
            if size and ends[-1] > 0:
                ends /= ends[-1]
                ends *= size  # in this order, so that the last one ends at the size exactly
            else:
                self.sizes[cell] = 0  # nothing in it may be drawn
            ends += start
        return weights


class Side:
    """One side of a mixture as a stream of flat indices: which cell by its `ClassStream`, which item by its `Pool`.

    Args:
        pool: with a cell for each wanted one, or one cell.
        stream: of cells, or None.
        cells: the class and the group of each cell of the stream; `ANY` without one.
        live: whether what the pool lacks is made live: flat index -1 - place.
    """

    def __init__(self, pool: Pool, stream: ClassStream | None, cells: Sequence[Cell], live: bool) -> None:
        self._pool, self._stream, self._live = pool, stream, live
        self.cells = [(ANY, ANY)] if stream is None else list(cells)

    @property
    def has_classes(self) -> bool:
        """Whether a class is drawn before an item."""
        return self._stream is not None

    def class_rates(self) -> dict[int, float]:
        """How often each class is drawn, up to a common factor; empty where items are drawn as they come."""
        rates: dict[int, float] = {}
        for (number, _), count in zip(self.cells, self._stream.counts if self._stream else (), strict=False):
            rates[number] = rates.get(number, 0.0) + count
        return rates

    def at(self, places: Ints) -> tuple[Ints, Ints, Ints]:
        """Flat index, number of the use, and place in `cells` at each place of the stream."""
        cells, draws = (_NO_CELL, places) if self._stream is None else self._stream.at(places)
        stored = np.broadcast_to(self._pool.sizes[cells] > 0, places.shape) if self._live else slice(None)
        flat, uses = -1 - places, np.zeros_like(places)
        chosen = cells if cells.size == 1 else cells[stored]
        flat[stored], uses[stored] = self._pool.draw(chosen, draws[stored])
        return flat, uses, cells


def _key(seed: int, cell: Cell) -> int:
    return hash_int(seed, cell[0]) if cell[1] == ANY else hash_int(seed, *cell)


def _weights(sources: Sequence[tuple[int, Source]], min_weight: float) -> npt.NDArray[np.float64] | None:
    if all(source.weights is None for _, source in sources):
        return None
    parts = [
        np.ones(source.size) if source.weights is None else source.weights.double().cpu().numpy()
        for _, source in sources
    ]
    weights = np.concatenate(parts)
    weights[weights < min_weight] = 0
    return weights
