"""The kinds of transforms that join each image with others of its batch, and every label with it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.clips import Clips
from torchaug.image import arguments, mix_labels
from torchaug.image.resample import as_dtype, as_float, in_chunks
from torchaug.keys import quantile
from torchaug.transform import Alone, Call, Sizes, Transform


class Mixture(NamedTuple):
    """How each sample of a batch is joined with its partner."""

    share: Tensor
    """(B,) the part of a label that stays the sample's own: lambda."""
    blend: Tensor | None = None
    """(B,) the weight of own pixels outside the region; None where it is 1 for all."""
    region: Tensor | None = None
    """(B, H, W) bool: the pixels that are the partner's; None for none."""
    pasted: Tensor | None = None
    """(B, N, H, W) bool: the pixels of each of the partner's instances that make up the region, where it has masks of them."""

    def only(self, mixes: Tensor) -> Mixture:
        """Nothing joined but where `mixes` (B,)."""
        blend = None if self.blend is None else torch.where(mixes, self.blend, 1)
        region = None if self.region is None else self.region & mixes[:, None, None]
        pasted = None if self.pasted is None else self.pasted & mixes[:, None, None, None]
        return Mixture(torch.where(mixes, self.share, 1), blend, region, pasted)


class Mix(Transform):
    """A transform that joins each sample with others of its batch.

    The samples are put in a random cyclic order by their keys, and each is joined with the one before it (or more of them):
    never with itself unless it is alone, then it stays as it is. So what a sample becomes depends on which others are in
    its batch, but not on their order.

    Labels: class numbers (B,) become soft labels (B, num_classes) that sum to 1, for samples that are not chosen too; soft
    labels are mixed as they are; `weight` (B,) likewise. Masks follow the pixels (class numbers cannot be blended).
    Boxes, box labels, keypoints and `visible` of all images are joined: (B, N, ...) becomes (B, 2N, ...), boxes shrunk
    to what is seen of them; zeros and -1 where there is none, and points that are covered are not visible. `box_weights`
    are joined too, times the share of their image where two are blended; what is pasted keeps its weight.
    Other fields stay the sample's own. In evaluation nothing is changed: class numbers stay class numbers.

    Of videos whole clips are mixed, every frame of one with that of the other, in the same way.

    Laws that need a table hold it as a buffer: move the module to the device before a CUDA graph is captured.

    Args:
        num_classes: needed where labels are class numbers.
        p: chance per sample.
    """

    quantiles: Tensor
    """Of lambda's law, where it has one: a buffer."""
    clips: Clips = "channels"
    mixes_label = True
    """Whether label and weight are mixed, or stay."""
    smoothing = 0.0
    """Of soft labels, before they are mixed."""
    min_area = 1.0
    """Boxes of which less is left, in pixels, are dropped."""
    min_visibility = 0.1
    """Boxes of which a smaller share is left are dropped."""

    def __init__(self, num_classes: int | None = None, p: float = 1.0) -> None:
        super().__init__(p)
        self.num_classes = arguments.optional_whole(num_classes, type(self).__name__, "num_classes", 1)

    def partners(self, u: Tensor) -> Tensor:
        """(B,) int64: with which sample each one is joined. The first two columns of `u` order the batch."""
        return behind(ranked(u), 1)

    def labels(self, batch: Batch, parts: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Label and weight, mixed of `parts`: whose (B,), and with which share (B,)."""
        changes: dict[str, Tensor] = {}
        if self.mixes_label and batch.label is not None:
            label = mix_labels.soft(batch.label, self.num_classes, type(self).__name__)
            label = mix_labels.smooth(label, self.smoothing, type(self).__name__) if self.smoothing else label
            changes["label"] = mix_labels.mixed(label, parts)
        if self.mixes_label and batch.weight is not None:
            changes["weight"] = mix_labels.mixed(batch.weight, parts)
        return changes


class PairMix(Mix):
    """A `Mix` of two: a concrete one writes `mixture`."""

    @abstractmethod
    def mixture(self, batch: Batch, partner: Tensor, u: Tensor) -> Mixture:
        """How each sample is joined with `partner` (B,), from `u` (B, uniforms), the first two of which order the batch."""

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        if not self.training:
            return batch
        image = mix_labels.check(batch, type(self).__name__)
        partner = self.partners(u)
        own = torch.arange(len(partner), device=partner.device)
        mixes = chosen & (partner != own)
        mixture = self.mixture(batch, partner, u).only(mixes)
        changes = {"image": mix_pixels(image, partner, mixture)}
        changes |= self.labels(batch, [(own, mixture.share), (partner, 1 - mixture.share)])
        return batch.replace(**changes, **self.follow(batch, partner, mixture, mixes))

    def follow(self, batch: Batch, partner: Tensor, mixture: Mixture, mixes: Tensor) -> dict[str, Tensor]:
        """Masks, boxes and keypoints of both images, as far as their pixels are seen."""
        changes: dict[str, Tensor | None] = {}
        if batch.mask is not None:
            changes["mask"] = self._mask(batch.mask, partner, mixture)
        if batch.boxes is None and batch.keypoints is None:
            return _there(changes)
        own, other = _seen(batch, mixture)
        if batch.boxes is not None:
            boxes, blend = mix_labels.boxes_of(batch), mixture.blend
            stay = self._boxes(boxes, own, mixes).weighing(blend)
            added = self._boxes(boxes.of(partner), other, None)
            added = added.weighing(None if blend is None else torch.where(blend < 1, 1 - blend, 1))
            changes |= mix_labels.joined([stay, added]).fields()
        if batch.keypoints is not None and batch.visible is not None:
            points = batch.keypoints, batch.keypoints[partner]
            shown = batch.visible & (mix_labels.visible_points(points[0], own) | ~mixes[:, None])
            added_shown = batch.visible[partner] & mix_labels.visible_points(points[1], other)
            changes["keypoints"], changes["visible"] = torch.cat(points, 1), torch.cat([shown, added_shown], 1)
        return _there(changes)

    def _mask(self, mask: Tensor, partner: Tensor, mixture: Mixture) -> Tensor:
        if mixture.blend is not None and not mask.is_floating_point():
            raise TypeError(
                f"{type(self).__name__}: masks of class numbers cannot be blended, got {mask.dtype}; pass one plane of "
                "0 and 1 per class (one_hot(mask).float()), or use CutMix"
            )
        return mix_pixels(mask, partner, mixture)

    def _boxes(self, boxes: mix_labels.Boxes, seen: Tensor, mixes: Tensor | None) -> mix_labels.Boxes:
        """What is left of boxes; bit-equal but where `mixes`."""
        tight, share = mix_labels.visible_boxes(boxes.boxes, seen)
        kept = mix_labels.large_enough(tight, share, self.min_area, self.min_visibility)
        if mixes is not None:
            tight, kept = torch.where(mixes[:, None, None], tight, boxes.boxes), kept | ~mixes[:, None]
        return boxes.kept(tight, kept)


def _there(changes: dict[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: value for name, value in changes.items() if value is not None}


def _seen(batch: Batch, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """(B, H, W) bool each: where a sample's own pixels are seen, and where its partner's are."""
    assert batch.image is not None
    shape = batch.image.shape[:1] + batch.image.shape[2:]
    none = torch.zeros(shape, dtype=torch.bool, device=batch.image.device)
    region = none if mixture.region is None else mixture.region
    other = region if mixture.blend is None else region | (mixture.blend < 1)[:, None, None]
    return ~region, other


class Irreversible(Alone):
    """The run of a step that moves pixels in ways that cannot be taken back."""

    def undo(self, batch: Batch, calls: Sequence[Call], canvas: tuple[int, int], size: Tensor | None) -> Batch:
        raise ValueError(
            f"inverse: {type(self.steps[0]).__name__} cannot be taken back; leave it out of a Compose that is to be inverted"
        )


def ranked(u: Tensor) -> Tensor:
    """The samples in a random order, (B,) int64, by the 48 bits of the first two columns of `u`."""
    high, low = (u[:, :2] * 2.0**24).to(torch.int64).unbind(1)
    return torch.argsort((high << 24) | low, stable=True)


def behind(order: Tensor, steps: int) -> Tensor:
    """(B,) int64: for each sample, the one `steps` places before it in a cyclic order."""
    return torch.zeros_like(order).scatter(0, order, order.roll(steps))


def mix_pixels(image: Tensor, partner: Tensor, mixture: Mixture) -> Tensor:
    """Images or masks (B, C, H, W) joined with those of their partners; bit-equal where nothing is joined."""

    def part(rows: slice) -> Tensor:
        out, other = image[rows], image[partner[rows]]
        if mixture.blend is not None:
            weight = mixture.blend[rows, None, None, None]
            both = as_float(out) * weight + as_float(other) * (1 - weight)
            out = torch.where(weight == 1, out, as_dtype(both, image.dtype))  # 0 times NaN is NaN
        return out if mixture.region is None else torch.where(mixture.region[rows, None], other, out)

    return in_chunks(image, part)


def rectangle(box: Tensor, canvas: tuple[int, int]) -> Tensor:
    """(B, H, W) bool: the pixels in a box (B, 4) of whole pixels."""
    rows, columns = (torch.arange(length, device=box.device) for length in canvas)
    x0, y0, x1, y1 = box[:, :, None].unbind(1)
    return ((rows >= y0) & (rows < y1))[:, :, None] & ((columns >= x0) & (columns < x1))[:, None]


def beta(u: Tensor, table: Tensor) -> Tensor:
    """Beta-distributed numbers from uniforms and a table of `beta_quantiles`.

    The table is a module's buffer. Where the module was not moved to the device the copy is small and waits for nothing.
    """
    return quantile(u, table.to(u.device, u.dtype, non_blocking=True))


def limits(min_area: float, min_visibility: float, who: str) -> tuple[float, float]:
    """What is left at least of a box that is kept: pixels, and a share."""
    return arguments.number(min_area, who, "min_area", 0), arguments.number(min_visibility, who, "min_visibility", 0, 1)


def sizes_of(batch: Batch, like: Tensor) -> Sizes:
    """Heights and widths of the images, in the dtype of `like`."""
    assert batch.image is not None
    height, width = batch.image.shape[-2:]
    return Sizes.of((height, width), batch.size, like)
