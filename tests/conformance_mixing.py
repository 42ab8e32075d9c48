"""Mix operations against torchvision, timm's formulae written out, and provenance of every pixel."""

# fields of a Batch that the case itself has set
# mypy: disable-error-code="union-attr, arg-type, index, return-value, operator"
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from conformance import Case, difference
from torch import Tensor
from torchvision.transforms import v2
from zoo import images

from torchaug import Batch
from torchaug.image.detection_mix import CopyPaste, DetectionMixUp, RandomTransplantation
from torchaug.image.mix import Mix
from torchaug.image.mixing import CutMix, LabelSmoothing, MixUp, SwitchMix
from torchaug.image.mosaic import Mosaic
from torchaug.image.patches import PatchMix, RandomJigsaw
from torchaug.keys import sample_keys
from torchaug.transform import Sizes, Transform

COUNT, CLASSES, CANVAS = 8, 5, (32, 36)
Numbers = dict[str, Tensor]
Expected = Callable[[Batch, Numbers, Tensor], tuple[Tensor, Tensor | None]]
"""From a batch with one-hot labels, the drawn numbers (B, ...) and the partners (B,): images and labels."""


def batch_of(dtype: torch.dtype, count: int = COUNT) -> Batch:
    image = images(count, *CANVAS)
    generator = torch.Generator().manual_seed(2)
    corner = torch.randint(0, 16, (count, 3, 2), generator=generator)
    return Batch(
        image=image if dtype == torch.uint8 else (image.double() / 255).to(dtype),
        mask=torch.randint(0, 4, (count, 1, *CANVAS), generator=generator),
        boxes=torch.cat([corner, corner + 12], -1).float(),
        label=torch.arange(count) % CLASSES,
        key=sample_keys(torch.arange(count), seed=5),
    )


def rows(
    transform: Transform, reference: str, expected: Expected, *, tolerance: float = 1e-6, uint8_tolerance: float = 0
) -> list[Case]:
    """Cases of images (float32, uint8) and labels against `expected`."""

    def run(device: torch.device, dtype: torch.dtype) -> tuple[Batch, tuple[Tensor, Tensor | None]]:
        batch = batch_of(dtype)
        if isinstance(transform, (MixUp, SwitchMix, DetectionMixUp, RandomJigsaw)):
            batch = batch.replace(mask=None)
        if not isinstance(transform, (CopyPaste, DetectionMixUp)):
            batch = batch.replace(boxes=None)
        out = transform(batch.to(device)).to("cpu")
        u = transform.draw(batch).u[:, 1:]
        numbers = transform.drawn(u, Sizes.of(CANVAS, None, u))
        if isinstance(transform, SwitchMix):
            numbers = {name: value[transform.leaders(u)] for name, value in numbers.items()}
        if isinstance(transform, CopyPaste):
            numbers["picked"] = transform.instances(u, 3)
        partner = transform.partners(u) if isinstance(transform, Mix) else torch.arange(COUNT)
        batch = batch.replace(label=torch.nn.functional.one_hot(batch.label, CLASSES).float())
        return out, expected(batch, numbers, partner)

    def image_error(dtype: torch.dtype) -> Callable[[torch.device], float]:
        def error(device: torch.device) -> float:
            out, (image, _) = run(device, dtype)
            return difference(out.image, image)

        return error

    def label_error(device: torch.device) -> float:
        out, (_, label) = run(device, torch.float32)
        assert label is not None
        return float((out.label - label).abs().max())

    name = repr(transform)
    cases = [
        Case(name, reference, torch.float32, tolerance, image_error(torch.float32)),
        Case(name, reference, torch.uint8, uint8_tolerance, image_error(torch.uint8)),
    ]
    if isinstance(transform, LabelSmoothing):
        cases = []
    if transform.mixes_label if isinstance(transform, Mix) else isinstance(transform, LabelSmoothing):
        cases.append(Case(f"{name}, labels", reference, torch.float32, 1e-6, label_error))
    return cases


def level(image: Tensor, like: Tensor) -> Tensor:
    """Float images in the dtype of `like`."""
    return (image * 255).round().to(torch.uint8) if like.dtype == torch.uint8 else image.to(like.dtype)


def real(image: Tensor) -> Tensor:
    return image.double() / 255 if image.dtype == torch.uint8 else image


def torchvision_mixup(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, Tensor]:
    """torchvision's own, on each pair: of two samples its partner is the other one."""
    mixup: Any = v2.MixUp(num_classes=CLASSES)
    out, labels = [], []
    for i, j in enumerate(partner.tolist()):
        label = batch.label[[i, j]].argmax(1)
        params = {"lam": float(numbers["lambda"][i]), "labels": label, "batch_size": 2}
        out.append(level(mixup.transform(real(batch.image[[i, j]]), params)[0], batch.image))
        labels.append(mixup.transform(label, params)[0])
    return torch.stack(out), torch.stack(labels)


def torchvision_cutmix(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, Tensor]:
    cutmix: Any = v2.CutMix(num_classes=CLASSES)
    out, labels = [], []
    for i, j in enumerate(partner.tolist()):
        x0, y0, x1, y1 = (int(v) for v in numbers["box"][i])
        label = batch.label[[i, j]].argmax(1)
        share = 1 - (x1 - x0) * (y1 - y0) / math.prod(CANVAS)
        params = {"box": (x0, y0, x1, y1), "lam_adjusted": share, "labels": label, "batch_size": 2}
        out.append(cutmix.transform(batch.image[[i, j]], params)[0])
        labels.append(cutmix.transform(label, params)[0])
    return torch.stack(out), torch.stack(labels)


def timm_mixup(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, Tensor]:
    """timm's `Mixup`, written out for each element (in pairs and batches elements have the same numbers)."""
    out, lam = batch.image.clone(), numbers["lambda"].double()
    for i, j in enumerate(partner.tolist()):
        if numbers["cuts"][i]:
            x0, y0, x1, y1 = (int(v) for v in numbers["box"][i])
            out[i][:, y0:y1, x0:x1] = batch.image[j][:, y0:y1, x0:x1]
            lam[i] = 1 - (y1 - y0) * (x1 - x0) / math.prod(CANVAS)
        else:
            out[i] = level(real(batch.image[i]) * lam[i] + real(batch.image[j]) * (1 - lam[i]), batch.image)
    off = 0.1 / CLASSES
    on = 1 - 0.1 + off
    hard = torch.where(batch.label == 1, on, off).double()
    return out, (hard * lam[:, None] + hard[partner] * (1 - lam[:, None])).float()


def smoothed(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, Tensor]:
    """The distribution that torch's own label smoothing fits: its loss is linear in the logarithms of the classes."""
    rows = []
    for label in batch.label.argmax(1):
        log = torch.zeros(CLASSES, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(log[None], label[None], label_smoothing=0.3)
        (gradient,) = torch.autograd.grad(loss, log)
        rows.append(1 / CLASSES - gradient)  # softmax of zeros, less the gradient
    return batch.image, torch.stack(rows)


def by_patches(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, Tensor]:
    out, label = batch.image.clone(), batch.label.clone()
    for i, j in enumerate(partner.tolist()):
        taken = 0
        for y in range(CANVAS[0]):
            for x in range(CANVAS[1]):
                if numbers["patches"][i, y * 3 // CANVAS[0], x * 5 // CANVAS[1]]:
                    out[i, :, y, x] = batch.image[j, :, y, x]
                    taken += 1
        share = 1 - taken / math.prod(CANVAS)
        label[i] = batch.label[i] * share + batch.label[j] * (1 - share)
    return out, label


def by_blocks(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Cut out of four images side by side, two by two."""
    (height, width), out, labels = (24, 28), [], []
    for i in range(COUNT):
        four = [i]
        for _ in range(3):
            four.append(int(partner[four[-1]]))
        a, b, c, d = batch.image[four]
        canvas = torch.cat([torch.cat([a, b], 2), torch.cat([c, d], 2)], 1)
        x, y = int(numbers["center_x"][i]), int(numbers["center_y"][i])
        out.append(canvas[:, CANVAS[0] - y :, CANVAS[1] - x :][:, :height, :width])
        areas = torch.tensor([y * x, y * (width - x), (height - y) * x, (height - y) * (width - x)])
        labels.append((batch.label[four] * (areas / (height * width))[:, None]).sum(0))
    return torch.stack(out), torch.stack(labels)


def by_boxes(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, None]:
    """Pixels of classes above 0 in the boxes that were picked."""
    out = batch.image.clone()
    for i, j in enumerate(partner.tolist()):
        for n in range(3):
            if numbers["picked"][i, n]:
                x0, y0, x1, y1 = (int(v) for v in batch.boxes[j, n])
                part = torch.where(batch.mask[j] > 0, batch.image[j], out[i])
                out[i][:, y0:y1, x0:x1] = part[:, y0:y1, x0:x1]
    return out, None


def by_class(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, None]:
    """Class 2, the only one that is not excluded."""
    return torch.where(batch.mask[partner] == 2, batch.image[partner], batch.image), None


def by_order(batch: Batch, numbers: Numbers, partner: Tensor) -> tuple[Tensor, None]:
    out = batch.image.clone()
    for i in range(COUNT):
        for place, patch in enumerate(numbers["order"][i].tolist()):
            (row, column), (r, c) = divmod(place, 5), divmod(patch, 5)
            out[i, :, row * 10 : row * 10 + 10, column * 7 : column * 7 + 7] = batch.image[
                i, :, r * 10 : r * 10 + 10, c * 7 : c * 7 + 7
            ]
    return out, None


CASES: list[Case] = [
    *rows(MixUp(num_classes=CLASSES), "torchvision MixUp of each pair", torchvision_mixup, uint8_tolerance=1),
    *rows(MixUp(0.2, CLASSES), "torchvision MixUp of each pair", torchvision_mixup, uint8_tolerance=1),
    *rows(DetectionMixUp(num_classes=CLASSES), "torchvision MixUp of each pair", torchvision_mixup, uint8_tolerance=1),
    *rows(CutMix(num_classes=CLASSES), "torchvision CutMix of each pair", torchvision_cutmix),
    *rows(SwitchMix(num_classes=CLASSES), "timm Mixup, elem, written out", timm_mixup, uint8_tolerance=1),
    *rows(SwitchMix(mode="pair", num_classes=CLASSES), "timm Mixup, pair, written out", timm_mixup, uint8_tolerance=1),
    *rows(
        SwitchMix(mode="batch", num_classes=CLASSES), "timm Mixup, batch, written out", timm_mixup, uint8_tolerance=1
    ),
    *rows(LabelSmoothing(0.3, CLASSES), "torch cross_entropy(label_smoothing)", smoothed),
    *rows(PatchMix((3, 5), num_classes=CLASSES), "pixel by pixel", by_patches, tolerance=0),
    *rows(Mosaic((24, 28), num_classes=CLASSES, p=1.0), "a crop of four images side by side", by_blocks, tolerance=0),
    *rows(CopyPaste(), "pixels of picked objects, one by one", by_boxes, tolerance=0),
    *rows(RandomTransplantation(4, (0, 1, 3), p=1.0), "pixels of the one class allowed", by_class, tolerance=0),
    *rows(RandomJigsaw((3, 5), p=1.0), "slices put in the drawn order", by_order, tolerance=0),
]
