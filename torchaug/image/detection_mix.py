"""Mixing for detection and segmentation: objects of several images in one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments, mix_labels
from torchaug.image.mix import Mixture, PairMix, beta, limits, sizes_of
from torchaug.keys import beta_quantiles, noise
from torchaug.transform import Sizes


class DetectionMixUp(PairMix):
    """Blend each image with another's and keep the boxes of both (Zhang et al., "Bag of Freebies for Object Detection", 2019).

    `MixUp` with lambda near a half, so that both images' objects are seen, as YOLOX and Ultralytics' YOLO draw it. Boxes
    (B, N, 4) become (B, 2N, 4), and their weights, where the batch has `box_weights`, are weighed by lambda and 1 -
    lambda, as GluonCV weighs each box's loss. See `Mix` for the other labels.

    Args:
        alpha: of the Beta(alpha, alpha) law of lambda.
        num_classes: needed where there are labels of whole images and these are class numbers.
        p: chance per sample.

    Parameters per sample: lambda, the weight of its own pixels. `partners(u)` tells with whom.

    >>> batch = Batch(image=torch.rand(2, 3, 8, 8), boxes=torch.tensor([[[0.0, 0, 4, 4]], [[2, 2, 8, 6]]]))
    >>> DetectionMixUp()(batch).boxes.tolist()
    [[[0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 8.0, 6.0]], [[2.0, 2.0, 8.0, 6.0], [0.0, 0.0, 4.0, 4.0]]]
    """

    uniforms = 3

    def __init__(self, alpha: float = 32.0, num_classes: int | None = None, p: float = 1.0) -> None:
        super().__init__(num_classes, p)
        self.alpha = arguments.number(alpha, "DetectionMixUp", "alpha", 0, above=True)
        self.register_buffer("quantiles", beta_quantiles(self.alpha, self.alpha), persistent=False)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"lambda": beta(u[:, 2], self.quantiles)}

    def mixture(self, batch: Batch, partner: Tensor, u: Tensor) -> Mixture:
        if batch.boxes is None:
            raise TypeError(f"DetectionMixUp: expected a batch with boxes, got {sorted(batch.present())}; use MixUp")
        share = self.drawn(u, sizes_of(batch, u))["lambda"]
        return Mixture(share, blend=share)


class CopyPaste(PairMix):
    """Paste random objects of another image (Ghiasi et al., "Simple Copy-Paste", 2021), without its jitter of scale.

    What an object is: with masks of instances, bool (B, N, H, W), plane i its pixels (that of box i, where there are
    boxes): then masks become (B, 2N, H, W), and boxes are those of what is still seen. With a mask of class numbers
    (B, 1, H, W), the pixels in its box that are not 0. Without a mask, its box. Label and weight stay. See `Mix` for boxes
    and keypoints. Videos are refused: their objects move.

    Args:
        chance: of each object to be pasted.
        min_area: boxes of which less is left, in pixels, are dropped.
        min_visibility: boxes of which a smaller share is left are dropped.
        p: chance per sample.

    `instances(u, N)` tells which of the N objects of its partner `partners(u)` each sample gets.

    >>> batch = Batch(image=torch.rand(4, 3, 16, 16), boxes=torch.tensor([[2.0, 2, 9, 9]]).repeat(4, 1, 1))
    >>> CopyPaste()(batch).boxes.shape
    torch.Size([4, 2, 4])
    """

    uniforms = 4
    clips = "refused"
    mixes_label = False

    def __init__(self, chance: float = 0.5, min_area: float = 1.0, min_visibility: float = 0.1, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.chance = arguments.number(chance, "CopyPaste", "chance", 0, 1)
        self.min_area, self.min_visibility = limits(min_area, min_visibility, "CopyPaste")

    def instances(self, u: Tensor, count: int) -> Tensor:
        """(B, count) bool: which of its partner's objects each sample gets."""
        return 0.5 * (1 + torch.erf(noise(u[:, 2:4], (count,)) / math.sqrt(2))) < self.chance

    def mixture(self, batch: Batch, partner: Tensor, u: Tensor) -> Mixture:
        mask, boxes = batch.mask, batch.boxes
        if mask is not None and mask.dtype == torch.bool:
            if boxes is not None and boxes.shape[1] != mask.shape[1]:
                raise ValueError(
                    f"CopyPaste: masks of instances must have one plane per box, got {tuple(mask.shape)} beside boxes "
                    f"{tuple(boxes.shape)}"
                )
            pasted = mask[partner] & self.instances(u, mask.shape[1])[..., None, None]
            return Mixture(torch.ones_like(u[:, 0]), region=pasted.any(1), pasted=pasted)
        if boxes is None:
            raise TypeError(
                f"CopyPaste: expected a batch with boxes or bool masks of instances, got {sorted(batch.present())}"
            )
        region = _covered(boxes[partner], self.instances(u, boxes.shape[1]), sizes_of(batch, u).canvas)
        if mask is not None:
            region = region & (mask[partner, 0] != 0)
        return Mixture(torch.ones_like(u[:, 0]), region=region)

    def follow(self, batch: Batch, partner: Tensor, mixture: Mixture, mixes: Tensor) -> dict[str, Tensor]:
        if mixture.pasted is None or batch.mask is None:
            return super().follow(batch, partner, mixture, mixes)
        unboxed = batch.replace(mask=None, boxes=None, box_labels=None, box_weights=None)
        changes = super().follow(unboxed, partner, mixture, mixes)
        left = batch.mask & ~mixture.pasted.any(1, keepdim=True)
        if batch.boxes is None:
            return changes | {"mask": torch.cat([left, mixture.pasted], 1)}
        tight, share = mix_labels.boxes_around(batch.boxes, batch.mask, left)
        kept = (share == 1) | mix_labels.large_enough(tight, share, self.min_area, self.min_visibility)
        boxes = mix_labels.boxes_of(batch)
        theirs = boxes.of(partner)
        parts = [boxes.kept(tight, kept), theirs.kept(theirs.boxes, mixture.pasted.any(3).any(2))]
        changes["mask"] = torch.cat([left & kept[..., None, None], mixture.pasted], 1)
        return changes | mix_labels.joined(parts).fields()


def _covered(boxes: Tensor, picked: Tensor, canvas: tuple[int, int]) -> Tensor:
    """(B, H, W) bool: the pixels that any picked (B, N) box (B, N, 4) touches."""
    picked = picked & ((boxes[..., 2:] - boxes[..., :2]) > 0).all(-1)
    rows, columns = (torch.arange(length, device=boxes.device) for length in canvas)
    (left, top), (right, bottom) = boxes[..., :2, None].floor().unbind(2), boxes[..., 2:, None].ceil().unbind(2)
    down = (rows >= top) & (rows < bottom) & picked[..., None]  # (B, N, H)
    across = (columns >= left) & (columns < right)
    return torch.matmul(down.mT.to(torch.float32), across.to(torch.float32)) > 0


class RandomTransplantation(PairMix):
    """Paste the pixels of one class of another image's mask, as kornia's transform of this name.

    Sellner et al., "Semantic segmentation of surgical hyperspectral images under geometric domain shifts" (2023). The class
    is drawn evenly from those that the partner's mask has. Masks must be class numbers (B, 1, H, W). Label and weight
    stay. See `Mix` for boxes and keypoints. Videos are refused: their objects move.

    Args:
        num_classes: of the mask; other numbers (255 for unknown, say) are never drawn.
        excluded_labels: classes that are never drawn, such as the background.
        p: chance per sample.

    `partners(u)` tells from whom the pixels are. A sample stays as it is where its partner has no class to draw.

    >>> batch = Batch(image=torch.rand(4, 3, 16, 16), mask=torch.randint(0, 3, (4, 1, 16, 16)))
    >>> RandomTransplantation(num_classes=3, excluded_labels=[0], p=1.0)(batch).mask.shape
    torch.Size([4, 1, 16, 16])
    """

    uniforms = 3
    clips = "refused"
    mixes_label = False

    def __init__(self, num_classes: int, excluded_labels: Sequence[int] = (), p: float = 0.5) -> None:
        super().__init__(num_classes, p)
        self.num_classes: int = num_classes
        self.excluded_labels = tuple(arguments.whole_numbers(excluded_labels))
        if len(self.excluded_labels) != len(excluded_labels) or not all(
            0 <= label < num_classes for label in self.excluded_labels
        ):
            raise ValueError(
                f"RandomTransplantation: excluded_labels must be class numbers below {num_classes}, got {excluded_labels!r}"
            )

    def mixture(self, batch: Batch, partner: Tensor, u: Tensor) -> Mixture:
        mask = batch.mask
        if mask is None or mask.shape[1] != 1 or mask.is_floating_point():
            got = "none" if mask is None else f"{mask.dtype} {tuple(mask.shape)}"
            raise TypeError(f"RandomTransplantation: expected a mask of class numbers (B, 1, H, W), got {got}")
        donor = mask[partner, 0].to(torch.int64)
        drawn, some = self._drawn(donor, u[:, 2])
        return Mixture(torch.ones_like(u[:, 0]), region=(donor == drawn[:, None, None]) & some[:, None, None])

    def _drawn(self, donor: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """A class (B,) of those that are in each mask (B, H, W), and whether there is any."""
        classes = self.num_classes
        known = torch.where((donor >= 0) & (donor < classes), donor, classes).flatten(1)
        there = torch.zeros(len(donor), classes + 1, dtype=torch.int64, device=donor.device).scatter(1, known, 1)
        there = torch.stack(
            [torch.zeros_like(row) if i in self.excluded_labels else row for i, row in enumerate(there.unbind(1)[:-1])],
            1,
        )
        count = there.sum(1)
        wanted = (u * count).floor().to(torch.int64)
        return (there.cumsum(1) > wanted[:, None]).to(torch.int64).argmax(1), count > 0
