"""Images with boxes, and masks of objects, from COCO's instances JSON."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor

from torchaug.data.decode import check_decoding, mode_of, resize_boxes_to, resize_mask_to, resize_to, to_tensor
from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.rows import some
from torchaug.data.readers.segments import segment


class CocoDataset(FileDataset):
    """Images with the boxes of their objects; see `read_coco`.

    Attributes:
        image_ids: COCO's id of each image, for evaluation.
        category_ids: COCO's id of each class.
        clipped: boxes that reached over an edge of their image and were cut there.
        dropped: boxes that had no area within their image and were left out.
    """

    classes: list[str]

    def __init__(
        self,
        path: Path,
        folder: Path,
        *,
        size: tuple[int, int] | None,
        fit: str,
        mode: str,
        masks: bool,
        crowds: bool,
        check_paths: bool,
    ) -> None:
        self.name, self.size, self.fit = path.name, size, fit
        found = _read_json(path)
        categories = _by_id(found["categories"], ("name",), "category", path)
        images = _by_id(found["images"], ("file_name", "width", "height"), "image", path)
        self.category_ids, self.image_ids = sorted(categories), list(images)
        self.classes = [str(categories[number]["name"]) for number in self.category_ids]
        self.paths = [folder / image["file_name"] for image in images.values()]
        self._sides = [_sides(image, path) for image in images.values()]
        if check_paths:
            _check_files(self.paths, path, folder)
        objects = [one for one in found["annotations"] if crowds or not one.get("iscrowd")]
        self._keep_objects(objects, path, masks)
        self.mode = mode_of(self.paths, mode)

    def read(self, index: int) -> Item:
        image = self._image(index)
        rows = slice(int(self._starts[index]), int(self._starts[index + 1]))
        item = {"image": image, "boxes": self._boxes[rows].clone(), "box_labels": self._box_labels[rows].clone()}
        if self._segments is not None:
            item["mask"] = self._planes(self._segments[rows], index)
        return item if self.size is None else self._resized(item, index, self.size)

    def _image(self, index: int) -> Tensor:
        """The image as its boxes have it: upright, or as it is stored, whichever has the height and width of the JSON."""
        height, width = self._sides[index]
        with Image.open(self.paths[index]) as picture:
            upright = ImageOps.exif_transpose(picture).size
            if (width, height) not in (upright, picture.size):
                raise ValueError(
                    f"the annotations are for an image of {height} x {width}, got one of {upright[1]} x {upright[0]}"
                )
            return to_tensor(picture, self.mode, upright=(width, height) == upright)

    def _planes(self, segments: Sequence[tuple[int, Any]], index: int) -> Tensor:
        height, width = self._sides[index]
        planes = [_plane(given, number, height, width) for number, given in segments]
        return torch.stack(planes) if planes else torch.zeros(0, height, width, dtype=torch.uint8)

    def _resized(self, item: Item, index: int, size: tuple[int, int]) -> Item:
        """All together; objects that the cut leaves nothing of go."""
        boxes = resize_boxes_to(item["boxes"], self._sides[index], size, self.fit)
        kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        out = {
            "image": resize_to(item["image"], size, self.fit),
            "boxes": boxes[kept],
            "box_labels": item["box_labels"][kept],
        }
        if "mask" in item:
            out["mask"] = resize_mask_to(item["mask"][kept], size, self.fit)
        return out

    def _keep_objects(self, objects: list[Any], path: Path, masks: bool) -> None:
        """The boxes of all images in one tensor, in the order of the images."""
        places = {number: place for place, number in enumerate(self.image_ids)}
        classes = {number: place for place, number in enumerate(self.category_ids)}
        _check_objects(objects, places, classes, path, masks)
        objects = sorted(objects, key=lambda one: places[one["image_id"]])
        owners = torch.tensor([places[one["image_id"]] for one in objects], dtype=torch.int64)
        corners = torch.tensor([one["bbox"] for one in objects], dtype=torch.float64).view(-1, 4)
        corners[:, 2:] += corners[:, :2]
        limits = torch.tensor(self._sides, dtype=torch.float64).view(-1, 2)[owners].flip(1).repeat(1, 2)
        boxes = corners.clamp(min=0).minimum(limits).to(torch.float32)
        kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        self.dropped = int((~kept).sum())
        self.clipped = int(((corners < 0) | (corners > limits)).any(dim=1)[kept].sum())
        if self.dropped:
            lost = (f"annotation {objects[row]['id']}" for row in (~kept).nonzero().flatten().tolist())
            warnings.warn(
                f"read_coco: {self.dropped} of {len(objects)} boxes of {path} have no area within their image and are "
                f"left out: {some(lost)}",
                stacklevel=4,
            )
        rows = kept.nonzero().flatten()
        self._boxes = boxes[rows]
        self._box_labels = torch.tensor([classes[one["category_id"]] for one in objects], dtype=torch.int64)[rows]
        counts = owners[rows].bincount(minlength=len(self.image_ids))
        self._starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        self._segments: list[tuple[int, Any]] | None = None
        if masks:
            self._segments = [(objects[row]["id"], objects[row]["segmentation"]) for row in rows.tolist()]


def read_coco(
    path: str | Path,
    folder: str | Path,
    *,
    size: tuple[int, int] | None = None,
    fit: str = "pad",
    mode: str = "auto",
    masks: bool = False,
    crowds: bool = False,
    check_paths: bool = True,
) -> CocoDataset:
    """Images with boxes from COCO's instances JSON: items are `{"image", "boxes", "box_labels", "index"}`.

    Boxes (N, 4) are float32 XYXY in pixels, cut at the edges of the image, in the order of the file; `box_labels` (N,)
    count the categories from 0, in the order of their ids. Images without annotations have 0 boxes. With `masks` there
    is "mask" (N, H, W) uint8, one plane for each box: 1 where a pixel's centre is inside the polygons.

    Args:
        path: the JSON file.
        folder: what its file names are relative to.
        size: height and width that every image gets, its boxes and masks with it; objects outside the cut go.
        fit: "pad" fits into that size and adds black borders; "crop" covers it and cuts the middle out.
        mode: "RGB", "L", or "auto": "L" when every image is grey, else "RGB"; files are opened until one is not grey.
        masks: read segmentations, polygons and run lengths.
        crowds: keep annotations with "iscrowd", regions of many objects.
        check_paths: whether all images must exist now, at one look each; else a missing one is an error of its item.

    Raises:
        FileNotFoundError: no JSON file, or images that it lists are missing.
        ValueError: what is wrong in the JSON, with the id at fault.

    Warns:
        UserWarning: boxes without area, which are left out; how many and which.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (8, 6)).save(folder / "a.png")
    >>> box = {"id": 1, "image_id": 5, "category_id": 3, "bbox": [1, 2, 4, 3]}
    >>> image = {"id": 5, "file_name": "a.png", "width": 8, "height": 6}
    >>> text = json.dumps({"images": [image], "annotations": [box], "categories": [{"id": 3, "name": "cat"}]})
    >>> _ = (folder / "instances.json").write_text(text)
    >>> item = read_coco(folder / "instances.json", folder)[0]
    >>> item["boxes"].tolist(), item["box_labels"].tolist()
    ([[1.0, 2.0, 5.0, 5.0]], [0])
    """
    check_decoding(size, fit, mode, "read_coco")
    return CocoDataset(
        Path(path),
        Path(folder),
        size=size,
        fit=fit,
        mode=mode,
        masks=masks,
        crowds=crowds,
        check_paths=check_paths,
    )


def _read_json(path: Path) -> dict[str, list[Any]]:
    if not path.is_file():
        raise FileNotFoundError(
            f"read_coco: expected COCO's JSON file at {path}, got {'a folder' if path.exists() else 'nothing'} there"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # UnicodeDecodeError among them
        raise ValueError(f"read_coco: expected JSON in {path}, got: {error}") from error
    parts = ("images", "annotations", "categories")
    if not isinstance(found, dict) or not all(isinstance(found.get(part), list) for part in parts):
        got = ", ".join(sorted(map(str, found))) if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"read_coco: expected lists {', '.join(parts)} in {path}, got {got or 'none'}")
    for part in ("images", "categories"):
        if not found[part]:
            raise ValueError(f"read_coco: expected at least one of the {part} in {path}, got none")
    return found


def _by_id(entries: list[Any], needed: tuple[str, ...], what: str, path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or "id" not in entry:
            raise ValueError(f"read_coco: expected an id for each {what} in {path}, got none at place {place}")
        missing = [name for name in needed if name not in entry]
        if missing:
            raise ValueError(f"read_coco: {what} {entry['id']} of {path} has no {', '.join(missing)}")
        if entry["id"] in found:
            raise ValueError(f"read_coco: ids must differ in {path}, got {what} {entry['id']} twice")
        found[entry["id"]] = entry
    return found


def _sides(image: Any, path: Path) -> tuple[int, int]:
    height, width = image["height"], image["width"]
    if not all(isinstance(side, int) and side > 0 for side in (height, width)):
        raise ValueError(
            f"read_coco: image {image['id']} of {path} must have sides above 0, got {height!r} x {width!r}"
        )
    return height, width


def _plane(given: Any, number: int, height: int, width: int) -> Tensor:
    try:
        return torch.from_numpy(segment(given, height, width))
    except ValueError as error:
        raise ValueError(f"annotation {number}: {error}") from error


def _check_objects(
    objects: list[Any], images: dict[Any, int], classes: dict[Any, int], path: Path, masks: bool
) -> None:
    needed = ("id", "image_id", "category_id", "bbox", *(("segmentation",) if masks else ()))
    for place, one in enumerate(objects):
        missing = [name for name in needed if name not in one]
        if missing:
            raise ValueError(
                f"read_coco: annotation {one.get('id', f'at place {place}')} of {path} has no {', '.join(missing)}; "
                "expected COCO's instances, not captions or keypoints"
            )
        who = f"read_coco: annotation {one['id']} of {path}"
        for name, known in (("image_id", images), ("category_id", classes)):
            if one[name] not in known:
                raise ValueError(f"{who} is about {name} {one[name]}, which the file does not list")
        box = one["bbox"]
        if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(number) for number in box):
            raise ValueError(f"{who}: bbox must be [x, y, width, height] in pixels, got {box!r}")


def _is_finite(number: Any) -> bool:
    return isinstance(number, (int, float)) and math.isfinite(number)


def _check_files(paths: Sequence[Path], json_path: Path, folder: Path) -> None:
    missing = [str(path) for path in paths if not os.path.isfile(path)]
    if missing:
        raise FileNotFoundError(
            f"read_coco: {len(missing)} of {len(paths)} images of {json_path} are missing in {folder}: {some(missing)}"
        )
