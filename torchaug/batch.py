"""What one training step sees, and the way to it from tensors, tuples, dicts, tv_tensors and PIL images, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor
from torch.utils import _pytree

from torchaug.boxes import clamp_boxes, clockwise, convert_boxes, is_rotated, rectangle


@dataclass(frozen=True)
class Batch:
    """What one training step sees: every field is `(B, ...)` on one device, or None.

    Coordinates: pixel (row i, column j) covers the square from (j, i) to (j + 1, i + 1). Boxes are edges in these
    coordinates, keypoints name pixels by their indices (their centre is at + 0.5), both as torchvision has them.

    Args:
        image: (B, C, H, W), uint8, or floating point in [0, 1].
        size: (B, 2) height and width of each image where they differ and are padded at the right and the bottom.
        volume: (B, C, D, H, W), uint8 or floating point, as `torchaug.volume` takes them.
        video: (B, T, C, H, W) clips of T frames, as `image` otherwise. Labels beside it are the clip's, as beside an image,
            or have T after B, one for each frame: masks (B, T, N, H, W), boxes (B, T, N, 4), ...
        mask: (B, N, H, W) class numbers of any integer dtype, bool or float; N planes, usually one. (B, N, D, H, W)
            beside a volume.
        boxes: (B, N, 4) x0, y0, x1, y1 in pixels, or (B, N, 8) the corners x, y of rotated ones. A box without area is
            none: images with fewer boxes than others are filled up with zeros.
        box_labels: (B, N) whole numbers, the class of each box; -1 where there is none.
        keypoints: (B, N, 2) x, y in pixels.
        visible: (B, N) bool, which keypoints can be seen.
        waveform: (B, C, T); lengths: (B,) samples of each waveform.
        tokens: (B, L); table: (B, F).
        label: (B, ...) class numbers or soft labels; weight: (B,) of the sample in the loss.
        key: (B,) int64, the sample's randomness.
        index: (B,) place in its source; source: (B,) number of the source; is_synthetic: (B,) bool.

    >>> batch = Batch(image=torch.rand(2, 3, 8, 8), label=torch.tensor([0, 1]))
    >>> len(batch), batch.device.type
    (2, 'cpu')
    """

    image: Tensor | None = None
    size: Tensor | None = None
    volume: Tensor | None = None
    video: Tensor | None = None
    mask: Tensor | None = None
    boxes: Tensor | None = None
    box_labels: Tensor | None = None
    keypoints: Tensor | None = None
    visible: Tensor | None = None
    waveform: Tensor | None = None
    lengths: Tensor | None = None
    tokens: Tensor | None = None
    table: Tensor | None = None
    label: Tensor | None = None
    weight: Tensor | None = None
    key: Tensor | None = None
    index: Tensor | None = None
    source: Tensor | None = None
    is_synthetic: Tensor | None = None

    def present(self) -> dict[str, Tensor]:
        """The fields that are there, by name."""
        values = ((name, getattr(self, name)) for name in FIELDS)
        return {name: value for name, value in values if value is not None}

    def __len__(self) -> int:
        return self._any().shape[0]

    @property
    def device(self) -> torch.device:
        """Where the batch is."""
        return self._any().device

    def _any(self) -> Tensor:
        for value in self.present().values():
            return value
        raise ValueError("Batch: expected at least one field, got none; pass image=, waveform=, tokens= or table=")

    def replace(self, **changes: Tensor | None) -> Batch:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """A copy with a function applied to each field."""
        return Batch(**{name: function(value) for name, value in self.present().items()})

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        """The samples at `rows` (a slice or an index tensor), as a batch."""
        return self.map(lambda value: value[rows])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """A copy on `device`."""
        return self.map(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """A copy in pinned memory, which a DataLoader with `pin_memory=True` asks for."""
        return self.map(Tensor.pin_memory)

    def check(self, who: str) -> Batch:
        """Itself, or an error where a shape, dtype or device does not fit the others."""
        count, device = len(self), self.device
        for name, value in self.present().items():
            if value.shape[:1] != (count,) or value.device != device:
                first = next(iter(self.present()))
                raise ValueError(
                    f"{who}: every field must have the same number of samples on one device, got {name} "
                    f"{tuple(value.shape)} on {value.device} beside {first} "
                    f"{tuple(self._any().shape)} on {device}"
                )
        if self.video is not None:
            _check_video(self, who)
            return self
        if self.image is not None:
            _check_image(self.image, who)
            if self.mask is not None and (self.mask.ndim != 4 or self.mask.shape[-2:] != self.image.shape[-2:]):
                raise ValueError(
                    f"{who}: mask must be (B, N, H, W) with the image's H and W, got {tuple(self.mask.shape)} "
                    f"beside image {tuple(self.image.shape)}"
                )
        if self.volume is not None:
            _check_volume(self.volume, None if self.image is not None else self.mask, who)
        for name, points, widths in (("boxes", self.boxes, (4, 8)), ("keypoints", self.keypoints, (2,))):
            if points is not None and (points.ndim != 3 or points.shape[-1] not in widths):
                shapes = " or ".join(f"(B, N, {width})" for width in widths)
                raise ValueError(f"{who}: {name} must be {shapes}, got {tuple(points.shape)}")
        return self

    @staticmethod
    def from_images(images: Sequence[Tensor]) -> Batch:
        """One batch of images (C, H, W) of different sizes: padded with zeros at the right and the bottom.

        >>> batch = Batch.from_images([torch.rand(3, 4, 6), torch.rand(3, 5, 5)])
        >>> batch.image.shape, batch.size.tolist()
        (torch.Size([2, 3, 5, 6]), [[4, 6], [5, 5]])
        """
        if not images:
            raise ValueError("Batch.from_images: expected at least one image, got none")
        first = images[0]
        for i, image in enumerate(images):
            if image.ndim != 3 or image.shape[0] != first.shape[0] or image.dtype != first.dtype:
                raise ValueError(
                    f"Batch.from_images: images must be (C, H, W) of one dtype and channel count, got "
                    f"{image.dtype} {tuple(image.shape)} at {i} beside {first.dtype} {tuple(first.shape)} at 0"
                )
        height, width = max(i.shape[-2] for i in images), max(i.shape[-1] for i in images)
        stacked = first.new_zeros(len(images), first.shape[0], height, width)
        for row, image in zip(stacked, images, strict=True):
            row[:, : image.shape[-2], : image.shape[-1]] = image
        if all(i.shape == first.shape for i in images):
            return Batch(image=stacked)
        return Batch(image=stacked, size=torch.tensor([i.shape[-2:] for i in images], device=first.device))


FIELDS = tuple(field.name for field in fields(Batch))
_pytree.register_dataclass(Batch, field_names=list(FIELDS))


def _check_image(image: Tensor, who: str) -> None:
    if image.ndim != 4:
        raise ValueError(f"{who}: image must be (B, C, H, W) or one (C, H, W), got {tuple(image.shape)}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise TypeError(
            f"{who}: image must be uint8 or floating point in [0, 1], got {image.dtype}; "
            "convert it with torchvision's to_dtype(image, torch.uint8, scale=True)"
        )


def _check_video(batch: Batch, who: str) -> None:
    video = batch.video
    assert video is not None
    if batch.image is not None or batch.volume is not None:
        raise ValueError(f"{who}: expected a video or images, got both; transform them one after the other, same keys")
    if video.ndim != 5:
        raise ValueError(f"{who}: video must be (B, T, C, H, W) or one (T, C, H, W), got {tuple(video.shape)}")
    if video.dtype != torch.uint8 and not video.is_floating_point():
        raise TypeError(f"{who}: video must be uint8 or floating point in [0, 1], got {video.dtype}")
    canvas = tuple(video.shape[-2:])
    for name, value, ends in (
        ("mask", batch.mask, [canvas]),
        ("boxes", batch.boxes, [(4,), (8,)]),
        ("keypoints", batch.keypoints, [(2,)]),
    ):
        if value is None:
            continue
        before = tuple(value.shape[: -1 - len(ends[0])])
        if before not in (video.shape[:1], video.shape[:2]) or value.shape[-len(ends[0]) :] not in ends:
            end = " or ".join(", ".join(map(str, end)) for end in ends)
            raise ValueError(
                f"{who}: {name} beside a video must be (B, N, {end}) for all frames or (B, T, N, {end}) for each, got "
                f"{tuple(value.shape)} beside video {tuple(video.shape)}"
            )
    for name, of in (("box_labels", batch.boxes), ("visible", batch.keypoints)):
        value = getattr(batch, name)
        if value is not None and of is not None and value.shape != of.shape[:-1]:
            raise ValueError(f"{who}: {name} must be {tuple(of.shape[:-1])}, got {tuple(value.shape)}")


def _check_volume(volume: Tensor, mask: Tensor | None, who: str) -> None:
    if volume.ndim != 5:
        raise ValueError(f"{who}: volume must be (B, C, D, H, W) or one (C, D, H, W), got {tuple(volume.shape)}")
    if volume.dtype != torch.uint8 and not volume.is_floating_point():
        raise TypeError(
            f"{who}: volume must be floating point, of any range, or uint8, got {volume.dtype}; "
            "convert it with volume.float(), which keeps Hounsfield units as they are"
        )
    if mask is not None and (mask.ndim != 5 or mask.shape[2:] != volume.shape[2:]):
        raise ValueError(
            f"{who}: mask must be (B, N, D, H, W) with the volume's D, H and W, got {tuple(mask.shape)} "
            f"beside volume {tuple(volume.shape)}"
        )


@dataclass(frozen=True)
class _Place:
    """Where a field of the batch came from in the caller's structure, and how it goes back."""

    field: str
    value: Any

    def restore(self, batch: Batch, single: bool, boxes_on: tuple[int, int] | None) -> Any:
        value = getattr(batch, self.field)
        value = value[0] if single else value
        if self.field == "mask" and isinstance(self.value, Tensor) and value.ndim > self.value.ndim:
            value = value.squeeze(-4 if batch.volume is not None else -3)
        if isinstance(self.value, PILImage.Image):
            return _to_pil(value) if value.dtype == torch.uint8 else value
        kind = _tv_kind(self.value)
        if kind == "BoundingBoxes":
            return _from_internal(value, self.value, boxes_on)
        if kind == "KeyPoints":
            return type(self.value)(value, canvas_size=boxes_on)
        return value.as_subclass(type(self.value)) if kind else value


def _tv_kind(value: Any) -> str | None:
    """The name of a tv_tensor's type. One can only be met where torchvision was imported, which takes seconds."""
    tv_tensors = sys.modules.get("torchvision.tv_tensors")
    return type(value).__name__ if tv_tensors is not None and isinstance(value, tv_tensors.TVTensor) else None


def _to_internal(boxes: Any) -> Tensor:
    """tv_tensors.BoundingBoxes of any format as XYXY, or as corners where they are rotated."""
    name = boxes.format.value
    return convert_boxes(boxes.as_subclass(Tensor), name, "XYXYXYXY" if is_rotated(name) else "XYXY")


def _from_internal(value: Tensor, like: Any, canvas: tuple[int, int] | None) -> Any:
    """tv_tensors.BoundingBoxes in the format of `like`.

    Rotated ones become rectangles and are clamped as torchvision does, but once for a whole chain of transforms; corners
    stay the parallelogram that geometry made of them, in clockwise order.
    """
    name = like.format.value
    if is_rotated(name):
        value = clockwise(value)
        value = value if name == "XYXYXYXY" else rectangle(value)
        if canvas is not None:
            value = clamp_boxes(value, *canvas, like.clamping_mode)
    value = convert_boxes(value, "XYXYXYXY" if is_rotated(name) else "XYXY", name)
    return type(like)(value, format=like.format, canvas_size=canvas, clamping_mode=like.clamping_mode)


def _from_pil(image: PILImage.Image, who: str) -> Tensor:
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"{who}: a PIL image must be of mode L or RGB, got {image.mode}; use image.convert('RGB')")
    return torch.from_numpy(np.array(image).reshape(image.height, image.width, -1)).permute(2, 0, 1)


def _to_pil(image: Tensor) -> PILImage.Image:
    pixels = image.permute(1, 2, 0).numpy()
    return PILImage.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


Unpack = Callable[[Batch], Any]


def pack(inputs: tuple[Any, ...], who: str) -> tuple[Batch, Unpack]:
    """A batch of what was passed, and the function that puts a batch back into the same structure.

    Recognised: a `Batch`; tv_tensors by their type; PIL images; dict entries named as the fields of `Batch`; else the
    first tensor of three or more dimensions is the image, or with five, (B, C, D, H, W), the volume. An entry "labels" is
    `box_labels` where there are boxes, else `label`; so is a tensor (B,) or (B, K) that follows images in a tuple. A list
    of images (of any sizes) is a batch of them. Everything else passes through untouched. One sample, `(C, H, W)` or PIL,
    a video `(T, C, H, W)` or a dict's "volume" `(C, D, H, W)`, is a batch of one.
    """
    structure = inputs[0] if len(inputs) == 1 else inputs
    if isinstance(structure, Batch):
        return structure.check(who), lambda batch: batch
    if isinstance(structure, list) and structure and all(_is_image(item) for item in structure):
        return _pack_list(structure, who)
    found: dict[str, _Place] = {}
    template = _find(structure, found, who)
    if found.keys().isdisjoint(_INPUTS):
        template = _find_plain(template, found)
    template = _find_labels(template, found)
    if not found:
        raise TypeError(
            f"{who}: expected an image among the inputs (a tensor of 3 or 4 dimensions, a PIL image, a tv_tensors.Image"
            f" or a dict with 'image'), got {_describe(structure)}"
        )
    single = _is_single(found)
    batch = Batch(**{name: _tensor(place, single, who, found) for name, place in found.items()}).check(who)

    def unpack(result: Batch) -> Any:
        if single and result.size is not None and batch.size is None:
            result = _cut_to_size(result)
        image = result.image if result.video is None else result.video
        boxes_on = None if image is None else (image.shape[-2], image.shape[-1])

        def leaf(value: Any, _: Any) -> Any:
            if not isinstance(value, _Place):
                return value
            if value.field == "boxes" and result.boxes is batch.boxes:
                return value.value  # never moved: not rounded by way of another format either
            return value.restore(result, single, boxes_on)

        return _walk(template, leaf)

    return batch, unpack


def _cut_to_size(result: Batch) -> Batch:
    """One sample without its padding. Its shape is a value on the device, which is waited for."""
    assert result.size is not None
    height, width = result.size[0].tolist()
    planes = {"image": result.image, "video": result.video, "mask": result.mask}
    return result.replace(size=None, **{n: p[..., :height, :width] for n, p in planes.items() if p is not None})


def _is_image(value: Any) -> bool:
    return isinstance(value, PILImage.Image) or (
        isinstance(value, Tensor) and value.ndim == 3 and _tv_kind(value) != "Mask"
    )


def _pack_list(images: list[Any], who: str) -> tuple[Batch, Unpack]:
    places = [_Place("image", image) for image in images]
    tensors = [_tensor(place, single=True, who=who, found={})[0] for place in places]
    batch = Batch.from_images(tensors).check(who)

    def unpack(result: Batch) -> list[Any]:
        assert result.image is not None
        if result.size is None:
            sizes = [result.image.shape[-2:]] * len(tensors)
        elif result.size is batch.size:  # those that came in, which need not be read back from the device
            sizes = [tensor.shape[-2:] for tensor in tensors]
        else:
            sizes = [torch.Size(size) for size in result.size.tolist()]
        return [
            place.restore(Batch(image=result.image[i : i + 1, :, :h, :w]), single=True, boxes_on=None)
            for i, (place, (h, w)) in enumerate(zip(places, sizes, strict=True))
        ]

    return batch, unpack


_FIELD_OF = {
    "Image": "image",
    "Video": "video",
    "Mask": "mask",
    "BoundingBoxes": "boxes",
    "KeyPoints": "keypoints",
}


def _walk(node: Any, leaf: Callable[[Any, Any], Any], name: Any = None) -> Any:
    """The same structure of dicts, tuples and lists, with `leaf(value, its dict key)` for each value."""
    if isinstance(node, dict):
        return {key: _walk(value, leaf, key) for key, value in node.items()}
    if isinstance(node, (tuple, list)):
        children = [_walk(child, leaf) for child in node]
        return type(node)(*children) if hasattr(node, "_fields") else type(node)(children)
    return leaf(node, name)


def _find(structure: Any, found: dict[str, _Place], who: str) -> Any:
    """The structure with `_Place`s where a field's value stood, known by type or by a dict entry's name."""

    def leaf(value: Any, name: Any) -> Any:
        kind = "Image" if isinstance(value, PILImage.Image) else _tv_kind(value)
        field = _FIELD_OF.get(kind or "")
        if field is None and isinstance(value, Tensor) and name in FIELDS and value.ndim:
            field = name
        if field is None:
            return value
        if field in found:
            raise ValueError(f"{who}: expected one {field} a sample, got two among the inputs")
        found[field] = _Place(field, value)
        return found[field]

    return _walk(structure, leaf)


_INPUTS = ("image", "volume", "video", "waveform", "tokens", "table")


def _find_plain(structure: Any, found: dict[str, _Place]) -> Any:
    """As torchvision has it: without an input by type or name, the first plain tensor is the image, or the volume."""

    def leaf(value: Any, name: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim < 3 or not found.keys().isdisjoint(("image", "volume")):
            return value
        field = "volume" if value.ndim == 5 else "image"
        found[field] = _Place(field, value)
        return found[field]

    return _walk(structure, leaf)


def _find_labels(structure: Any, found: dict[str, _Place]) -> Any:
    """As torchvision has them: an entry "labels" (of the boxes, where there is one for each), or what follows the images."""

    def place(value: Tensor, field: str) -> Any:
        return value if field in found else found.setdefault(field, _Place(field, value))

    def leaf(value: Any, name: Any) -> Any:
        if name != "labels" or not isinstance(value, Tensor) or not value.ndim:
            return value
        boxes = found.get("boxes")
        return place(value, "box_labels" if boxes and value.ndim == boxes.value.ndim - 1 else "label")

    structure = _walk(structure, leaf)
    image = found.get("image", found.get("video"))
    if image is None or not isinstance(image.value, Tensor) or _is_single(found):
        return structure
    if type(structure) not in (tuple, list):
        return structure
    items = list(structure)
    for i, (item, after) in enumerate(pairwise(items)):
        if item is image and isinstance(after, Tensor) and after.ndim in (1, 2) and len(after) == len(image.value):
            items[i + 1] = place(after, "label")
    return type(structure)(items)


def _is_single(found: dict[str, _Place]) -> bool:
    """Whether one sample was passed and not a batch; the image tells, or else a label's usual rank."""
    if "image" in found:
        image = found["image"].value
        return isinstance(image, PILImage.Image) or image.ndim <= 3
    for name in ("volume", "video"):
        if name in found:
            return bool(found[name].value.ndim <= 4)
    ranks = {"mask": 2, "boxes": 2, "keypoints": 2, "waveform": 2, "tokens": 1, "table": 1}
    return any(name in ranks and place.value.ndim <= ranks[name] for name, place in found.items())


def _tensor(place: _Place, single: bool, who: str, found: dict[str, _Place]) -> Tensor:
    """The field (B, ...) of what was passed, beside the others that were found."""
    value = place.value
    if isinstance(value, PILImage.Image):
        value = _from_pil(value, who)
    if _tv_kind(value) == "BoundingBoxes":
        value = _to_internal(value)
    value = cast(Tensor, value.as_subclass(Tensor))
    value = value[None] if single else value
    return _with_planes(value, found) if place.field == "mask" else value


def _with_planes(mask: Tensor, found: dict[str, _Place]) -> Tensor:
    """A mask (B, ...) with its axis of planes, where one plane came without."""
    if "volume" in found:
        return mask[:, None] if mask.ndim == 4 else mask
    if "video" in found and mask.ndim == 4:
        video = found["video"].value.shape[-4]
        return mask[:, :, None] if mask.shape[1] == video else mask
    return mask[:, None] if mask.ndim == 3 else mask


def _describe(structure: Any) -> str:
    if isinstance(structure, Tensor):
        return f"a tensor {tuple(structure.shape)}"
    if isinstance(structure, dict):
        return f"a dict with {sorted(map(str, structure))}"
    if isinstance(structure, (tuple, list)):
        return f"a {type(structure).__name__} of {[type(item).__name__ for item in structure]}"
    return f"{type(structure).__name__}"
