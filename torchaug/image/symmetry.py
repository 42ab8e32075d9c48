"""The symmetries of the square: quarter turns, the transposition, and all eight; pixels move unchanged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.image import arguments, matrices
from torchaug.image.warp import Geometric
from torchaug.keys import choice, integers
from torchaug.transform import Sizes


class _Symmetry(Geometric):
    """Axes exchanged or not, each mirrored or not, per sample.

    Images that are not square come out in two sizes: on a square canvas that holds both, at the top left.
    """

    moves = "turns"
    uniforms = 1
    ragged = True

    @abstractmethod
    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        """`swap`, then `flip_x` and `flip_y` of the input's axes: 0 or 1 each, (B,) float."""

    def canvas_after(self, canvas: tuple[int, int]) -> tuple[int, int]:
        return max(canvas), max(canvas)

    def uneven(self, canvas: tuple[int, int]) -> bool:
        return canvas[0] != canvas[1]

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        swapped = (self.drawn(u, size)["swap"] == 1) & chosen
        height, width = torch.where(swapped, size.width, size.height), torch.where(swapped, size.height, size.width)
        return Sizes(height, width, self.canvas_after(size.canvas))

    def matrix(self, u: Tensor, size: Sizes) -> Tensor:
        drawn = self.drawn(u, size)
        swap, flip_x, flip_y = drawn["swap"], drawn["flip_x"], drawn["flip_y"]
        stay, x, y = 1 - swap, 1 - 2 * flip_x, 1 - 2 * flip_y
        return matrices.matrix(
            [[x * stay, x * swap, flip_x * size.width], [y * swap, y * stay, flip_y * size.height], [0.0, 0.0, 1.0]],
            size.width,
        )


class RandomTranspose(_Symmetry):
    """Exchange rows and columns: a mirror at the diagonal from the top left. albumentations' Transpose.

    Images that are not square come out on a square canvas, padded with 0; `Batch.size` has their sizes.

    Args:
        p: chance per sample.

    >>> x = torch.arange(4.0).view(1, 1, 2, 2)
    >>> torch.equal(RandomTranspose(p=1.0)(x), x.mT)
    True
    """

    uniforms = 0

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        one = torch.ones_like(size.width)
        return {"swap": one, "flip_x": 0 * one, "flip_y": 0 * one}


class RandomRotation90(_Symmetry):
    """Turn by quarters, counter-clockwise, as `torch.rot90` of the last two axes.

    Images that are not square come out on a square canvas, padded with 0; `Batch.size` has their sizes.

    Args:
        times: the numbers of quarter turns to choose from, each as likely as the others.
        p: chance per sample.

    >>> x = torch.arange(4.0).view(1, 1, 2, 2)
    >>> torch.equal(RandomRotation90(times=[1], p=1.0)(x), x.rot90(1, (-2, -1)))
    True
    """

    def __init__(self, times: Sequence[int] = (0, 1, 2, 3), p: float = 0.5) -> None:
        super().__init__(p)
        self.times = tuple(arguments.whole_numbers(times))
        if not self.times:
            raise ValueError(f"RandomRotation90: times must be whole numbers, at least one, got {times!r}")

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        picked = integers(u[:, 0], 0, len(self.times))
        options = torch.stack([picked.new_full((), t % 4) for t in self.times])
        times = options[picked]
        flags = {"swap": times % 2 == 1, "flip_x": (times == 1) | (times == 2), "flip_y": times >= 2}
        return {"times": times} | {name: flag.to(size.width.dtype) for name, flag in flags.items()}


class RandomD4(_Symmetry):
    """One of the eight symmetries of the square, each as likely as the others. albumentations' D4.

    Images that are not square come out on a square canvas, padded with 0; `Batch.size` has their sizes.

    Args:
        p: chance per sample.

    >>> RandomD4()(torch.rand(8, 3, 16, 16)).shape
    torch.Size([8, 3, 16, 16])
    """

    uniforms = 3

    def __init__(self, p: float = 1.0) -> None:
        super().__init__(p)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        swap, flip_x, flip_y = choice(u, [1, 1]).to(size.width.dtype).unbind(1)
        return {"swap": swap, "flip_x": flip_x, "flip_y": flip_y}
