"""Grids of patches: taken from another image of the batch, or put in another order."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.foreign import select
from torchaug.image import arguments
from torchaug.image.mix import Irreversible, Mixture, PairMix, beta, limits, sizes_of
from torchaug.image.resample import in_chunks
from torchaug.keys import beta_quantiles, permutation
from torchaug.transform import Folding, Run, Sizes, Transform


class PatchMix(PairMix):
    """Take random patches of a grid from another image, and mix the labels by area.

    CutMix in pieces, as Liu et al., "TokenMix" (2022), mix the tokens of a vision transformer. See `Mix` for what becomes
    of the labels; masks are pasted as pixels are.

    Args:
        grid: (rows, columns) of patches; sizes that are not multiples give patches that differ by a pixel.
        alpha: of the Beta(alpha, alpha) law of the share of patches that stay, rounded to whole patches.
        num_classes: needed where labels are class numbers.
        min_area: boxes of which less is left, in pixels, are dropped.
        min_visibility: boxes of which a smaller share is left are dropped.
        p: chance per sample.

    Parameters per sample: patches (rows, columns) bool, those that are the partner's; lambda, exactly the part of the
    image outside them. `partners(u)` tells from whom they are.

    >>> images, labels = PatchMix((4, 4), num_classes=10)(torch.rand(8, 3, 32, 32), torch.arange(8))
    >>> images.shape, labels.shape
    (torch.Size([8, 3, 32, 32]), torch.Size([8, 10]))
    """

    def __init__(
        self,
        grid: tuple[int, int] = (4, 4),
        alpha: float = 1.0,
        num_classes: int | None = None,
        min_area: float = 1.0,
        min_visibility: float = 0.1,
        p: float = 1.0,
    ) -> None:
        super().__init__(num_classes, p)
        self.grid = arguments.pair(grid, "PatchMix", "grid")
        self.alpha = arguments.number(alpha, "PatchMix", "alpha", 0, above=True)
        self.min_area, self.min_visibility = limits(min_area, min_visibility, "PatchMix")
        self.uniforms = 3 + self.grid[0] * self.grid[1]
        self.register_buffer("quantiles", beta_quantiles(self.alpha, self.alpha), persistent=False)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        count = self.grid[0] * self.grid[1]
        taken = ((1 - beta(u[:, 2], self.quantiles)) * count).round()
        # a random permutation is as good a ranking as its inverse
        patches = (permutation(u[:, 3:]) < taken[:, None]).unflatten(1, self.grid)
        region = self._region(patches, size.canvas)
        return {"lambda": 1 - region.to(u.dtype).mean((1, 2)), "patches": patches}

    def _region(self, patches: Tensor, canvas: tuple[int, int]) -> Tensor:
        rows, columns = (
            torch.arange(length, device=patches.device) * parts // max(length, 1)
            for length, parts in zip(canvas, self.grid, strict=True)
        )
        return patches[:, rows][:, :, columns]

    def mixture(self, batch: Batch, partner: Tensor, u: Tensor) -> Mixture:
        size = sizes_of(batch, u)
        numbers = self.drawn(u, size)
        return Mixture(numbers["lambda"], region=self._region(numbers["patches"], size.canvas))


class RandomJigsaw(Transform):
    """Cut each image into a grid of patches and put them in a random order, as kornia's transform of this name.

    Noroozi and Favaro (2016). Masks and keypoints follow; boxes, which would fall to pieces, are refused. Rows and columns
    beyond a multiple of the grid stay where they are.

    Args:
        grid: (rows, columns).
        ensure_perm: never leave all patches in place.
        p: chance per sample.

    Parameters per sample: order (rows * columns), the number of the patch that comes to each place, row by row.

    >>> RandomJigsaw((2, 2), p=1.0)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(self, grid: tuple[int, int] = (4, 4), ensure_perm: bool = True, p: float = 0.5) -> None:
        super().__init__(p)
        self.grid = arguments.pair(grid, "RandomJigsaw", "grid")
        self.ensure_perm = ensure_perm
        self.uniforms = self.grid[0] * self.grid[1]
        if ensure_perm and self.uniforms == 1:
            raise ValueError("RandomJigsaw: grid (1, 1) has one order alone; pass ensure_perm=False or a larger grid")

    def run(self, folding: Folding) -> Run:
        return Irreversible(self)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        order = permutation(u)
        if self.ensure_perm:
            still = (order == torch.arange(order.shape[1], device=u.device)).all(1, keepdim=True)
            order = torch.where(still, order.roll(1, 1), order)
        return {"order": order}

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if not self.training:
            return batch
        if batch.boxes is not None:
            raise TypeError("RandomJigsaw: boxes would fall to pieces; leave them out")
        if batch.image is None:
            raise TypeError(f"RandomJigsaw: expected a batch with an image, got {sorted(batch.present())}")
        if batch.size is not None:
            raise ValueError("RandomJigsaw: images must have one size, got padded ones; resize or crop them before")
        size = sizes_of(batch, u)
        order = self.drawn(u, size)["order"]
        changes = {"image": self._shuffled(batch.image, order)}
        if batch.mask is not None:
            changes["mask"] = self._shuffled(batch.mask, order)
        if batch.keypoints is not None:
            changes["keypoints"] = self._moved(batch.keypoints, order, size.canvas)
        return select(chosen, batch.replace(**changes), batch)

    def _shuffled(self, image: Tensor, order: Tensor) -> Tensor:
        (rows, columns), (height, width) = self.grid, image.shape[-2:]
        tall, wide = height // rows, width // columns

        def part(chunk: slice) -> Tensor:
            out = image[chunk].clone()
            grid = out[..., : rows * tall, : columns * wide]
            patches = grid.unflatten(3, (columns, wide)).unflatten(2, (rows, tall)).transpose(3, 4).flatten(2, 3)
            index = order[chunk, None, :, None, None].expand(patches.shape)
            moved = patches.gather(2, index).unflatten(2, self.grid).transpose(3, 4).flatten(4, 5).flatten(2, 3)
            out[..., : rows * tall, : columns * wide] = moved
            return out

        return in_chunks(image, part) if tall and wide else image

    def _moved(self, points: Tensor, order: Tensor, canvas: tuple[int, int]) -> Tensor:
        rows, columns = self.grid
        tall, wide = canvas[0] // rows, canvas[1] // columns
        if not (tall and wide):
            return points
        x, y = (points + 0.5).unbind(-1)
        row, column = (y / tall).floor(), (x / wide).floor()
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        before = (row * columns + column).clamp(0, rows * columns - 1).to(torch.int64)
        after = permutation_inverse(order).gather(1, before)
        shift = torch.stack([(after % columns - column) * wide, (after // columns - row) * tall], -1)
        return torch.where(inside[..., None], points + shift.to(points.dtype), points)


def permutation_inverse(order: Tensor) -> Tensor:
    """For each thing its place in an order: (B, n) int64, each row a permutation."""
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.zeros_like(order).scatter(1, order, places)
