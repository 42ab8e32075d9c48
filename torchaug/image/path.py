"""The way of coordinates through a run of geometry: matrices and displacements, there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import _pytree

from torchaug.image import matrices
from torchaug.transform import Sizes

Numbers = dict[str, Tensor]
Displacement = Callable[[Tensor, Tensor, Numbers, Sizes], tuple[Tensor, Tensor]]

REFINED = 1.5
"""From which shrinking on an output pixel takes several samples: below, a bilinear one, two pixels wide, is enough."""
ROUNDS = 24
"""Of the fixed-point iteration that inverts a displacement; each shrinks the error by the displacement's slope."""


@dataclass(frozen=True)
class Bend:
    """A displacement of coordinates (B, P) that no matrix can express, for the samples `chosen`."""

    forth: Displacement
    back: Displacement
    numbers: Numbers
    size: Sizes
    chosen: Tensor

    def rows(self, rows: slice) -> Bend:
        """Of some samples."""
        numbers = {name: value[rows] for name, value in self.numbers.items()}
        return Bend(self.forth, self.back, numbers, self.size.rows(rows), self.chosen[rows])

    def to_input(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Output coordinates -> input coordinates."""
        dx, dy = self.forth(x, y, self.numbers, self.size)
        return x + self._gated(dx), y + self._gated(dy)

    def to_output(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Input coordinates -> output coordinates."""
        dx, dy = self.back(x, y, self.numbers, self.size)
        return x + self._gated(dx), y + self._gated(dy)

    def _gated(self, values: Tensor) -> Tensor:
        return torch.where(self.chosen[:, None], values, 0)


def turned_back(forth: Displacement, x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> tuple[Tensor, Tensor]:
    """How far from input coordinates the output is: p = input - displacement(p), iterated.

    It stays near the canvas: where a displacement is too steep to be inverted, the iteration must not run away.
    """
    at_x, at_y = x, y
    for _ in range(ROUNDS):
        dx, dy = forth(at_x, at_y, numbers, size)
        at_x = (x - dx).clamp(-size.canvas[1], 2 * size.canvas[1])
        at_y = (y - dy).clamp(-size.canvas[0], 2 * size.canvas[0])
    return at_x - x, at_y - y


_pytree.register_dataclass(Bend, field_names=["forth", "back", "numbers", "size", "chosen"])


@dataclass(frozen=True)
class Path:
    """Links from the input (first) to the output (last): matrices (B, 3, 3), output -> input, and bends."""

    links: tuple[Tensor | Bend, ...]
    projective: bool = False

    def then(self, link: Tensor | Bend) -> Path:
        """With one more step; neighbouring matrices become one."""
        last = self.links[-1] if self.links else None
        if isinstance(link, Tensor) and isinstance(last, Tensor):
            return Path((*self.links[:-1], last @ link), self.projective)
        return Path((*self.links, link), self.projective)

    def rows(self, rows: slice) -> Path:
        """Of some samples."""
        if rows == slice(None):
            return self
        return Path(tuple(k[rows] if isinstance(k, Tensor) else k.rows(rows) for k in self.links), self.projective)

    @property
    def matrix(self) -> Tensor | None:
        """The whole way where it is one matrix."""
        return self.links[0] if len(self.links) == 1 and isinstance(self.links[0], Tensor) else None

    def linear(self) -> Tensor | None:
        """(B, 3, 3): the matrices alone, without the bends; None where there are none."""
        total = None
        for link in self.links:
            if isinstance(link, Tensor):
                total = link if total is None else total @ link
        return total

    def to_input(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Output coordinates (B, P) -> input coordinates."""
        for link in reversed(self.links):
            x, y = matrices.transform(x, y, link, self.projective) if isinstance(link, Tensor) else link.to_input(x, y)
        return x, y

    def to_output(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Input coordinates (B, P) -> output coordinates."""
        for link in self.links:
            if isinstance(link, Tensor):
                x, y = matrices.transform(x, y, matrices.inverse(link), self.projective)
            else:
                x, y = link.to_output(x, y)
        return x, y

    def inverted(self) -> Path:
        """The way back: input and output exchanged."""

        def turned(link: Tensor | Bend) -> Tensor | Bend:
            if isinstance(link, Tensor):
                return matrices.inverse(link)
            ways: tuple[Displacement, Displacement] = (_offset(link.to_output), _offset(link.to_input))
            return Bend(*ways, {}, link.size, torch.ones_like(link.chosen))

        return Path(tuple(turned(link) for link in reversed(self.links)), self.projective)

    def still(self) -> Tensor:
        """(B,) bool: the samples that it leaves where they are."""
        flags = [
            (link == matrices.identity(len(link), link)).flatten(1).all(1) if isinstance(link, Tensor) else ~link.chosen
            for link in self.links
        ]
        return torch.stack(flags).all(0)


_pytree.register_dataclass(Path, field_names=["links", "projective"])


def _offset(move: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Displacement:
    def displacement(x: Tensor, y: Tensor, numbers: Numbers, size: Sizes) -> tuple[Tensor, Tensor]:
        moved_x, moved_y = move(x, y)
        return moved_x - x, moved_y - y

    return displacement


def points(path: Path, canvas: tuple[int, int], finer: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Input coordinates x, y of `finer` samples per output pixel and axis: (B, H finer, W finer) each.

    They spread over what the pixel covers beyond one input pixel, since the bilinear sample itself covers one. An image
    that shrinks by less than REFINED takes them all at the centre, whatever others of its batch do.
    """
    linear = path.linear()
    if linear is None or finer == 1:
        widths = [like.new_zeros(len(like), 1)] * 2
    else:
        shrinks = (linear[:, :2, axis].norm(dim=1)[:, None] for axis in (0, 1))
        widths = [torch.where(shrink < REFINED, 0, 1 - 1 / shrink.clamp(min=1)) for shrink in shrinks]
    xs, ys = (_spread(length, finer, width) for length, width in zip(reversed(canvas), widths, strict=True))
    if (m := path.matrix) is not None and not path.projective:  # separable: fewer operations than point by point
        e = m[:, :, :, None, None]
        xs, ys = xs[:, None, :], ys[:, :, None]
        return e[:, 0, 0] * xs + (e[:, 0, 1] * ys + e[:, 0, 2]), e[:, 1, 0] * xs + (e[:, 1, 1] * ys + e[:, 1, 2])
    shape = (len(like), canvas[0] * finer, canvas[1] * finer)
    x, y = (axis.expand(shape).flatten(1) for axis in (xs[:, None, :], ys[:, :, None]))
    x, y = path.to_input(x, y)
    return x.view(shape), y.view(shape)


def _spread(length: int, finer: int, width: Tensor) -> Tensor:
    """Centres of pixels, `finer` of each spread over `width` (B, 1) of it: (B, length * finer)."""
    at = torch.arange(length * finer, device=width.device)
    inside = (at % finer + 0.5) / finer - 0.5
    return (at // finer).to(width.dtype) + 0.5 + inside * width
