"""The way to a `Batch` from tensors, tuples, dicts, tv_tensors and PIL images, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, cast

import numpy as np
import torch
from torch import Tensor

from torchaug.batch import FIELDS, Batch
from torchaug.boxes import (
    AS_IT_CAME,
    BoxForm,
    BoxFormat,
    Clamping,
    clamp_boxes,
    clockwise,
    convert_boxes,
    is_rotated,
    rectangle,
)

if TYPE_CHECKING:
    from PIL import Image as PILImage


@dataclass(frozen=True)
class _Place:
    """Where a field of the batch came from in the caller's structure, and how it goes back."""

    field: str
    value: Any

    def restore(self, batch: Batch, single: bool, boxes_on: tuple[int, int] | None, form: BoxForm = AS_IT_CAME) -> Any:
        field = sound_after(self.field, batch)
        value = getattr(batch, field)
        value = value[0] if single else value
        if self.field == "mask" and isinstance(self.value, Tensor) and value.ndim > self.value.ndim:
            value = value.squeeze(-4 if batch.volume is not None else -3)
        if self.field in _CHANNEL_RANK and self.value.ndim + single == _CHANNEL_RANK[self.field]:
            value = value.squeeze({"waveform": -2, "spectrogram": -3}[field])
        if is_pil(self.value):
            return _to_pil(value) if value.dtype == torch.uint8 else value
        kind = _tv_kind(self.value)
        if kind == "BoundingBoxes":
            return _from_internal(value, self.value, boxes_on, form)
        if kind == "KeyPoints":
            return type(self.value)(value, canvas_size=boxes_on)
        if self.field == "boxes":
            return _reformed(value, form)
        return value.as_subclass(type(self.value)) if kind else value


def _tv_kind(value: Any) -> str | None:
    """The name of a tv_tensor's type. One can only be met where torchvision was imported, which takes seconds."""
    tv_tensors = sys.modules.get("torchvision.tv_tensors")
    return type(value).__name__ if tv_tensors is not None and isinstance(value, tv_tensors.TVTensor) else None


def _to_internal(boxes: Any) -> Tensor:
    """tv_tensors.BoundingBoxes of any format as XYXY, or as corners where they are rotated."""
    name = boxes.format.value
    return convert_boxes(boxes.as_subclass(Tensor), name, _internal(is_rotated(name)))


def _form_after(boxes: Any, form: BoxForm) -> tuple[BoxFormat, Clamping]:
    """Format and clamping mode that tv_tensors.BoundingBoxes get."""
    return form.format or boxes.format.value, boxes.clamping_mode if form.clamping == "kept" else form.clamping


def _reformed(boxes: Any, form: BoxForm) -> Any:
    """Boxes that nothing has moved, or that are no tv_tensors, as `form` wants them: themselves where it wants nothing."""
    if form == AS_IT_CAME:
        return boxes
    if _tv_kind(boxes) is None:
        return boxes if form.format is None else convert_boxes(boxes, _internal(boxes.shape[-1] != 4), form.format)
    name, mode = _form_after(boxes, form)
    value = convert_boxes(boxes.as_subclass(Tensor), boxes.format.value, name)
    return type(boxes)(value, format=name, canvas_size=boxes.canvas_size, clamping_mode=mode)


def _internal(rotated: bool) -> BoxFormat:
    return "XYXYXYXY" if rotated else "XYXY"


def _from_internal(value: Tensor, like: Any, canvas: tuple[int, int] | None, form: BoxForm) -> Any:
    """tv_tensors.BoundingBoxes as `form` wants them, or else like those that came in.

    Rotated ones become rectangles and are clamped as torchvision does, but once for a whole chain of transforms; corners
    stay the parallelogram that geometry made of them, in clockwise order.
    """
    name, mode = _form_after(like, form)
    if is_rotated(name):
        value = clockwise(value)
        value = value if like.format.value == "XYXYXYXY" else rectangle(value)
        if canvas is not None:
            value = clamp_boxes(value, *canvas, mode)
    value = convert_boxes(value, _internal(is_rotated(name)), name)
    return type(like)(value, format=name, canvas_size=canvas, clamping_mode=mode)


def is_pil(value: Any) -> TypeGuard[PILImage.Image]:
    """Whether it is a PIL image. One can only be met where PIL was imported, which takes a while."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def _from_pil(image: PILImage.Image, who: str) -> Tensor:
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"{who}: a PIL image must be of mode L or RGB, got {image.mode}; use image.convert('RGB')")
    return torch.from_numpy(np.array(image).reshape(image.height, image.width, -1)).permute(2, 0, 1)


def _to_pil(image: Tensor) -> PILImage.Image:
    from PIL import Image as PILImage

    pixels = image.permute(1, 2, 0).numpy()
    return PILImage.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def sound_after(field: str, batch: Batch) -> str:
    """The field of a batch that comes out where this one came in: a waveform may have become a spectrogram."""
    became = field == "waveform" and batch.waveform is None and batch.spectrogram is not None
    return "spectrogram" if became else field


Unpack = Callable[[Batch], Any]
_WANTED = {
    "image": "an image among the inputs (a tensor of 3 or 4 dimensions, a PIL image, a tv_tensors.Image or a dict with "
    "'image')",
    "table": "a table among the inputs (a floating-point tensor of 1 or 2 dimensions, or a dict with 'table')",
    "waveform": "a waveform among the inputs (a floating-point tensor (B, C, T), (C, T) or (T,), or a dict with 'waveform')",
    "spectrogram": "a spectrogram among the inputs (a floating-point tensor (B, C, F, T), (B, F, T) or (F, T), or a dict with "
    "'spectrogram')",
}


Plain = Literal["image", "table", "waveform", "spectrogram"]
"""What a tensor without a name is taken for."""


def pack(inputs: tuple[Any, ...], who: str, form: BoxForm = AS_IT_CAME, plain: Plain = "image") -> tuple[Batch, Unpack]:
    """A batch of what was passed, and the function that puts a batch back into the same structure, boxes in a `form`.

    Recognised: a `Batch`; tv_tensors by their type; PIL images; dict entries named as the fields of `Batch`; else the
    first tensor of three or more dimensions is the image, or with five, (B, C, D, H, W), the volume; or, for transforms of
    tables, waveforms or spectrograms (`plain`), the first of floating point with as many dimensions as one of these. An
    entry "labels" is `box_labels` where there are boxes, else `label`; so is a tensor (B,) or (B, K) that follows images,
    sounds or a table in a tuple. A list of images (of any sizes) or waveforms (of any lengths) is a batch of them.
    Everything else passes through untouched. One sample, `(C, H, W)` or PIL, a video `(T, C, H, W)`, a dict's "volume"
    `(C, D, H, W)`, a waveform `(C, T)` or `(T,)`, a spectrogram `(F, T)` or a row of a table, is a batch of one.
    """
    structure = inputs[0] if len(inputs) == 1 else inputs
    if isinstance(structure, Batch):
        return structure.check(who), lambda batch: batch
    if isinstance(structure, list) and structure:
        if plain == "waveform" and all(isinstance(item, Tensor) and item.ndim < 3 for item in structure):
            return _pack_waveforms(structure, who)
        if all(_is_image(item) for item in structure):
            return _pack_list(structure, who)
    found: dict[str, _Place] = {}
    template = _find(structure, found, who)
    if found.keys().isdisjoint(_INPUTS):
        template = _find_plain(template, found, plain)
    template = _find_labels(template, found)
    if not found:
        raise TypeError(f"{who}: expected {_WANTED[plain]}, got {_describe(structure)}")
    single = _is_single(found)
    batch = Batch(**{name: _tensor(place, single, who, found) for name, place in found.items()}).check(who)
    _check_form(batch, form, who)

    def unpack(result: Batch) -> Any:
        if single and result.size is not None and batch.size is None:
            result = _cut_to_size(result)
        if single and result.lengths is not None and batch.lengths is None:
            result = _cut_to_length(result)
        image = result.image if result.video is None else result.video
        boxes_on = None if image is None else (image.shape[-2], image.shape[-1])

        def leaf(value: Any, _: Any) -> Any:
            if not isinstance(value, _Place):
                return value
            if value.field == "boxes" and result.boxes is batch.boxes:
                return _reformed(value.value, form)  # never moved: not rounded by way of a third format either
            return value.restore(result, single, boxes_on, form)

        return _walk(template, leaf, naming=lambda key, value: _name_after(key, value, result))

    return batch, unpack


def _check_form(batch: Batch, form: BoxForm, who: str) -> None:
    if batch.boxes is None or form.format is None or is_rotated(form.format) == (batch.boxes.shape[-1] == 8):
        return
    got = "upright" if is_rotated(form.format) else "rotated"
    raise ValueError(
        f"{who}: boxes must be {'rotated' if got == 'upright' else 'upright'} to become {form.format} "
        f"(ConvertBoundingBoxFormat), got {got} ones"
    )


def _cut_to_size(result: Batch) -> Batch:
    """One sample without its padding. Its shape is a value on the device, which is waited for."""
    assert result.size is not None
    height, width = result.size[0].tolist()
    planes = {"image": result.image, "video": result.video, "mask": result.mask}
    return result.replace(size=None, **{n: p[..., :height, :width] for n, p in planes.items() if p is not None})


def _cut_to_length(result: Batch) -> Batch:
    """One sound without its padding. Its length is a value on the device, which is waited for."""
    assert result.lengths is not None
    length = int(result.lengths[0])
    sounds = {"waveform": result.waveform, "spectrogram": result.spectrogram}
    return result.replace(lengths=None, **{n: s[..., :length] for n, s in sounds.items() if s is not None})


def _is_image(value: Any) -> bool:
    return is_pil(value) or (isinstance(value, Tensor) and value.ndim == 3 and _tv_kind(value) != "Mask")


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


def _pack_waveforms(waveforms: list[Tensor], who: str) -> tuple[Batch, Unpack]:
    batch = Batch.from_waveforms(waveforms).check(who)

    def unpack(result: Batch) -> list[Tensor]:
        sound = getattr(result, sound_after("waveform", result))
        same = result.lengths is batch.lengths  # those that came in need not be read back from the device
        lengths = [w.shape[-1] for w in waveforms] if same or result.lengths is None else result.lengths.tolist()
        rows = zip(waveforms, sound, lengths, strict=True)
        return [(row[0] if came.ndim == 1 else row)[..., :length] for came, row, length in rows]

    return batch, unpack


_FIELD_OF = {
    "Image": "image",
    "Video": "video",
    "Mask": "mask",
    "BoundingBoxes": "boxes",
    "KeyPoints": "keypoints",
}


def _name_after(key: Any, value: Any, result: Batch) -> Any:
    """A dict's entry "waveform" that has become a spectrogram says so."""
    return sound_after(key, result) if isinstance(value, _Place) and key == value.field else key


def _walk(
    node: Any,
    leaf: Callable[[Any, Any], Any],
    name: Any = None,
    naming: Callable[[Any, Any], Any] = lambda key, value: key,
) -> Any:
    """The same structure of dicts, tuples and lists, with `leaf(value, its dict key)` for each value."""
    if isinstance(node, dict):
        return {naming(key, value): _walk(value, leaf, key, naming) for key, value in node.items()}
    if isinstance(node, (tuple, list)):
        children = [_walk(child, leaf, naming=naming) for child in node]
        return type(node)(*children) if hasattr(node, "_fields") else type(node)(children)
    return leaf(node, name)


def _find(structure: Any, found: dict[str, _Place], who: str) -> Any:
    """The structure with `_Place`s where a field's value stood, known by type or by a dict entry's name."""

    def leaf(value: Any, name: Any) -> Any:
        kind = "Image" if is_pil(value) else _tv_kind(value)
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


_INPUTS = ("image", "volume", "video", "waveform", "spectrogram", "tokens", "table")
_PLAIN_RANKS: dict[Plain, tuple[int, ...]] = {"table": (1, 2), "waveform": (1, 2, 3), "spectrogram": (2, 3, 4)}


def _find_plain(structure: Any, found: dict[str, _Place], plain: Plain) -> Any:
    """As torchvision has it: without an input by type or name, the first plain tensor is the image, volume, table, ..."""

    def leaf(value: Any, name: Any) -> Any:
        if not isinstance(value, Tensor) or not found.keys().isdisjoint(_INPUTS):
            return value
        if plain == "image":
            if value.ndim < 3:
                return value
        elif value.ndim not in _PLAIN_RANKS[plain] or not value.is_floating_point():
            return value
        field = plain if plain != "image" else "volume" if value.ndim == 5 else "image"
        found[field] = _Place(field, value)
        return found[field]

    return _walk(structure, leaf)


def _find_labels(structure: Any, found: dict[str, _Place]) -> Any:
    """As torchvision has them: an entry "labels" (of the boxes, where there is one for each), or what follows the input."""

    def place(value: Tensor, field: str) -> Any:
        return value if field in found else found.setdefault(field, _Place(field, value))

    def leaf(value: Any, name: Any) -> Any:
        if name != "labels" or not isinstance(value, Tensor) or not value.ndim:
            return value
        boxes = found.get("boxes")
        return place(value, "box_labels" if boxes and value.ndim == boxes.value.ndim - 1 else "label")

    structure = _walk(structure, leaf)
    named = ("image", "video", "waveform", "spectrogram", "table")
    inputs = next((found[name] for name in named if name in found), None)
    if inputs is None or not isinstance(inputs.value, Tensor) or _is_single(found):
        return structure
    if type(structure) not in (tuple, list):
        return structure
    items = list(structure)
    for i, (item, after) in enumerate(pairwise(items)):
        if item is inputs and isinstance(after, Tensor) and after.ndim in (1, 2) and len(after) == len(inputs.value):
            items[i + 1] = place(after, "label")
    return type(structure)(items)


def _is_single(found: dict[str, _Place]) -> bool:
    """Whether one sample was passed and not a batch; the image tells, or else a label's usual rank."""
    if "image" in found:
        image = found["image"].value
        return is_pil(image) or image.ndim <= 3
    for name in ("volume", "video"):
        if name in found:
            return bool(found[name].value.ndim <= 4)
    for name in ("waveform", "spectrogram"):
        if name in found:
            return bool(found[name].value.ndim <= 2)
    ranks = {"mask": 2, "boxes": 2, "keypoints": 2, "tokens": 1, "table": 1}
    return any(name in ranks and place.value.ndim <= ranks[name] for name, place in found.items())


def _tensor(place: _Place, single: bool, who: str, found: dict[str, _Place]) -> Tensor:
    """The field (B, ...) of what was passed, beside the others that were found."""
    value = place.value
    if is_pil(value):
        value = _from_pil(value, who)
    if _tv_kind(value) == "BoundingBoxes":
        value = _to_internal(value)
    value = cast(Tensor, value.as_subclass(Tensor))
    value = value[None] if single else value
    if place.field in _CHANNEL_RANK and value.ndim == _CHANNEL_RANK[place.field]:
        return value[:, None]
    return _with_planes(value, found) if place.field == "mask" else value


_CHANNEL_RANK = {"waveform": 2, "spectrogram": 3}
"""Dimensions of a batch of these that came without an axis of channels."""


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
