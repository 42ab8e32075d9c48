from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import torch
import torchvision
from conformance import Case
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from torchaug import Batch, Compose, Transform
from torchaug import image as T
from torchaug.boxes import BoxFormat, Clamping, convert_boxes
from torchaug.image.labels import ClampBoundingBoxes, ClampKeyPoints, SanitizeBoundingBoxes, SanitizeKeyPoints
from torchaug.transform import Layer

HEIGHT, WIDTH = 32, 36
UPRIGHT: tuple[BoxFormat, ...] = ("XYXY", "XYWH", "CXCYWH")
ROUNDED = 1e-5 if torchvision.__version__.startswith("0.26.") else 0.0
"""Between upright formats; torchvision 0.26 takes another way there than later ones, which ours equals to the last bit."""
ROTATED: tuple[BoxFormat, ...] = ("XYWHR", "CXCYWHR", "XYXYXYXY")


def boxes_of(
    name: BoxFormat,
    count: int = 200,
    spread: float = 1.4,
    turns: tuple[float, float] = (-175, 175),
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Random boxes about the middle of the canvas, some of them partly or wholly outside where `spread` is above 0.5."""
    generator = torch.Generator().manual_seed(7)
    middle = torch.tensor([WIDTH / 2, HEIGHT / 2])
    centre = middle + (torch.rand(count, 2, generator=generator) - 0.5) * spread * 2 * middle
    size = 0.5 + torch.rand(count, 2, generator=generator) * 13
    angle = turns[0] + (turns[1] - turns[0]) * torch.rand(count, 1, generator=generator)
    if name in UPRIGHT:
        return convert_boxes(torch.cat([centre, size], 1), "CXCYWH", name).to(dtype)
    return convert_boxes(torch.cat([centre, size, angle], 1), "CXCYWHR", name)


def largest(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a.double().cpu() - b.double().cpu()).abs().max())


def turned(name: BoxFormat, boxes: Tensor) -> Tensor:
    """Angles where 180 and -180 degrees are neighbours: as cosine and sine, in the size of a pixel."""
    if name not in ("XYWHR", "CXCYWHR"):
        return boxes
    turn = torch.deg2rad(boxes[..., 4:].double())
    return torch.cat([boxes[..., :4].double(), turn.cos(), turn.sin()], -1)


def tolerance(name: BoxFormat, dtype: torch.dtype) -> float:
    """In pixels."""
    return 1e-4 if name not in UPRIGHT else ROUNDED if dtype.is_floating_point else 0.0


def conversions() -> Iterator[Case]:
    def case(old: BoxFormat, new: BoxFormat, dtype: torch.dtype) -> Case:
        def error(device: torch.device) -> float:
            boxes = boxes_of(old, dtype=dtype)
            expected = tvf.convert_bounding_box_format(
                boxes, old_format=tv_tensors.BoundingBoxFormat[old], new_format=tv_tensors.BoundingBoxFormat[new]
            )
            return largest(turned(new, convert_boxes(boxes.to(device), old, new)), turned(new, expected))

        return Case(f"convert_boxes({old}, {new})", "torchvision, pixels", dtype, tolerance(old, dtype), error)

    for formats in (UPRIGHT, ROTATED):
        for old, new in permutations(formats, 2):
            yield case(old, new, torch.float32)
            if formats is UPRIGHT:
                yield case(old, new, torch.int64)


def formed() -> Iterator[Case]:
    """tv_tensors in another format and with another mode, as transforms give them back."""

    def largest_of(ours: Layer, theirs: v2.Transform, boxes: tv_tensors.BoundingBoxes) -> float:
        sample = {"image": torch.zeros(1, HEIGHT, WIDTH, device=boxes.device), "boxes": boxes}
        got, expected = ours(sample)["boxes"], theirs(sample)["boxes"]
        meta = [(b.format, b.canvas_size, b.clamping_mode) for b in (got, expected)]
        assert meta[0] == meta[1]
        return largest(*(turned(got.format.value, b.as_subclass(Tensor)) for b in (got, expected)))

    def tv_boxes(name: BoxFormat, device: torch.device, dtype: torch.dtype) -> tv_tensors.BoundingBoxes:
        return tv_tensors.BoundingBoxes(
            boxes_of(name, dtype=dtype).to(device), format=name, canvas_size=(HEIGHT, WIDTH)
        )

    def converted(new: BoxFormat, dtype: torch.dtype) -> Case:
        formats = UPRIGHT if new in UPRIGHT else ROTATED

        def error(device: torch.device) -> float:
            ours, theirs = T.ConvertBoundingBoxFormat(new), v2.ConvertBoundingBoxFormat(new)
            return max(largest_of(ours, theirs, tv_boxes(old, device, dtype)) for old in formats)

        name, oracle = f"ConvertBoundingBoxFormat(format={new!r})", f"torchvision, {', '.join(formats)}"
        return Case(name, oracle, dtype, tolerance(new, dtype), error)

    def clamped_by(mode: Clamping) -> Case:
        def error(device: torch.device) -> float:
            ours, theirs = T.SetClampingMode(mode), v2.SetClampingMode(mode)
            crop, cut = Compose([ours, T.CenterCrop(20)]), v2.Compose([v2.SetClampingMode(mode), v2.CenterCrop(20)])
            alone = [largest_of(ours, theirs, tv_boxes(n, device, torch.float32)) for n in UPRIGHT + ROTATED]
            return max(*alone, *(largest_of(crop, cut, tv_boxes(n, device, torch.float32)) for n in UPRIGHT))

        reference = "torchvision: alone, all six formats, and before a crop, upright ones"
        return Case(f"SetClampingMode(clamping_mode={mode!r})", reference, torch.float32, 1e-5, error)

    for new in UPRIGHT + ROTATED:
        yield converted(new, torch.float32)
        if new in UPRIGHT:
            yield converted(new, torch.int64)
    modes: tuple[Clamping, ...] = ("soft", "hard", None)
    for mode in modes:
        yield clamped_by(mode)


def on_batch(transform: Transform, boxes: Tensor, device: torch.device) -> Tensor:
    image = torch.zeros(1, 1, HEIGHT, WIDTH, device=device)
    out: Tensor = transform(Batch(image=image, boxes=boxes[None].to(device))).boxes[0]
    return out


def clamped() -> Iterator[Case]:
    def case(dtype: torch.dtype) -> Case:
        def error(device: torch.device) -> float:
            boxes = boxes_of("XYXY", dtype=dtype)
            expected = tvf.clamp_bounding_boxes(
                boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(HEIGHT, WIDTH), clamping_mode="soft"
            )
            return largest(on_batch(ClampBoundingBoxes(), boxes, device), expected)

        return Case("ClampBoundingBoxes()", "torchvision, XYXY", dtype, 0.0, error)

    def rotated(device: torch.device) -> float:
        boxes = boxes_of("XYXYXYXY", 1000, spread=0.6)
        expected = tvf.clamp_bounding_boxes(
            boxes, format=tv_tensors.BoundingBoxFormat.XYXYXYXY, canvas_size=(HEIGHT, WIDTH), clamping_mode="soft"
        )
        ours = on_batch(ClampBoundingBoxes(), boxes, device).cpu()
        starts = torch.stack([(ours - expected.roll(2 * i, -1)).abs().amax(-1) for i in range(4)])
        return float(starts.amin(0).quantile(0.95))  # 5 %: nearly upright boxes, of which torchvision makes zeros

    yield from (case(torch.float32), case(torch.int64))
    reference = "torchvision, corners, whichever comes first, 95 % of boxes"
    yield Case("ClampBoundingBoxes(clamping_mode='soft')", reference, torch.float32, 1e-2, rotated)

    def points(device: torch.device) -> float:
        at = (torch.rand(200, 2, generator=torch.Generator().manual_seed(3)) - 0.25) * 60
        image = torch.zeros(1, 1, HEIGHT, WIDTH, device=device)
        ours = ClampKeyPoints()(Batch(image=image, keypoints=at[None].to(device))).keypoints
        return largest(ours[0], tvf.clamp_keypoints(at, canvas_size=(HEIGHT, WIDTH)))

    yield Case("ClampKeyPoints()", "torchvision", torch.float32, 0.0, points)


def sanitised() -> Iterator[Case]:
    def case(name: BoxFormat, reference: Callable[[Tensor], Tensor], what: str) -> Case:
        def error(device: torch.device) -> float:
            boxes = boxes_of(name, spread=0.8)
            valid = reference(boxes)
            ours = on_batch(SanitizeBoundingBoxes(2.5, 30.0, compact=True), boxes, device)
            assert 20 < valid.sum() < 180
            return largest(ours, torch.cat([boxes[valid], torch.zeros_like(boxes[~valid])]))

        return Case("SanitizeBoundingBoxes(2.5, 30, compact=True)", what, torch.float32, 0.0, error)

    def upright(boxes: Tensor) -> Tensor:
        canvas = (HEIGHT, WIDTH)
        valid: Tensor
        _, valid = tvf.sanitize_bounding_boxes(boxes, tv_tensors.BoundingBoxFormat.XYXY, canvas, 2.5, 30.0)
        return valid

    def rotated(boxes: Tensor) -> Tensor:
        """By torchvision's conversion: its own test takes the height of x and y of different corners."""
        size = tvf.convert_bounding_box_format(
            boxes.double(),
            old_format=tv_tensors.BoundingBoxFormat.XYXYXYXY,
            new_format=tv_tensors.BoundingBoxFormat.XYWHR,
        )[:, 2:4]
        x, y = boxes[:, 0::2], boxes[:, 1::2]
        within = ((x >= 0) & (x <= WIDTH) & (y >= 0) & (y <= HEIGHT)).all(1)
        large: Tensor = (size >= 2.5).all(1) & (size.prod(1) >= 30)
        return within & large

    def points(device: torch.device) -> float:
        at = (torch.rand(200, 2, generator=torch.Generator().manual_seed(3)) - 0.25) * 60
        image = torch.zeros(1, 1, HEIGHT, WIDTH, device=device)
        out = SanitizeKeyPoints()(Batch(image=image, keypoints=at[None].to(device)))
        kept, valid = tvf.sanitize_keypoints(at, canvas_size=(HEIGHT, WIDTH))
        return largest(out.visible[0], valid) + largest(out.keypoints[0].cpu()[valid], kept)

    yield case("XYXY", upright, "torchvision, XYXY")
    yield case("XYXYXYXY", rotated, "definition, corners")
    yield Case("SanitizeKeyPoints()", "torchvision", torch.float32, 0.0, points)


Reference = Callable[[tv_tensors.BoundingBoxes], tv_tensors.BoundingBoxes]


def moved() -> Iterator[Case]:
    """tv_tensors of rotated boxes there and back, against torchvision's kernels, without clamping.

    The boxes are turned so that none of torchvision's differences of two angles passes 180 degrees: there its rectangle
    around a parallelogram is too small.
    """

    def case(name: BoxFormat, transform: Transform, reference: Reference, what: str) -> Case:
        def error(device: torch.device) -> float:
            boxes = tv_tensors.BoundingBoxes(
                boxes_of(name, spread=0.3, turns=(-30, 140)).to(device),
                format=name,
                canvas_size=(HEIGHT, WIDTH),
                clamping_mode=None,
            )
            image = torch.zeros(1, HEIGHT, WIDTH, device=device)
            ours = Compose([transform])({"image": image, "boxes": boxes})["boxes"]
            expected = reference(boxes)
            assert (ours.format, ours.canvas_size) == (expected.format, expected.canvas_size)
            plain, other = (turned(name, value.as_subclass(Tensor)) for value in (ours, expected))
            return largest(plain, other)

        return Case(f"{type(transform).__name__}, {name} boxes", what, torch.float32, 1e-3, error)

    affine = T.RandomAffine((25, 25), scale=(0.8, 0.8), shear=(12, 12, 0, 0))
    for name in ROTATED:
        yield case(name, T.RandomHorizontalFlip(p=1.0), tvf.horizontal_flip, "torchvision horizontal_flip")
        yield case(name, T.RandomVerticalFlip(p=1.0), tvf.vertical_flip, "torchvision vertical_flip")
        yield case(name, T.CenterCrop(20), v2.CenterCrop(20), "torchvision center_crop")
        yield case(name, T.RandomRotation((37, 37)), lambda boxes: tvf.rotate(boxes, 37.0), "torchvision rotate")
    for name in ("XYWHR", "CXCYWHR"):  # of corners torchvision makes a rectangle, we keep the parallelogram
        yield case(name, T.Resize((50, 30)), v2.Resize((50, 30)), "torchvision resize")
        yield case(
            name,
            affine,
            lambda boxes: tvf.affine(boxes, 25.0, [0, 0], 0.8, [12.0, 0.0]),
            "torchvision affine",
        )


CASES: list[Case] = [*conversions(), *formed(), *clamped(), *sanitised(), *moved()]
