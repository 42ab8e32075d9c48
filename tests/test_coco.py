"""COCO's JSON: boxes and masks beside their images, and what is wrong in such files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from torchaug.data import SampleError, load, read_coco
from torchaug.data.readers.segments import segment

SQUARE = [[2, 1, 6, 1, 6, 4, 2, 4]]  # 4 wide, 3 high


def box(number: int, image: int, category: int, bbox: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "segmentation": SQUARE} | more


def write(folder: Path, annotations: list[Any], **changes: Any) -> Path:
    images = [
        {"id": 70, "file_name": "a.png", "width": 10, "height": 6},
        {"id": 7, "file_name": "b.png", "width": 8, "height": 8},
        {"id": 9, "file_name": "c.png", "width": 4, "height": 4},
    ]
    for image in images:
        Image.new("RGB", (image["width"], image["height"]), (9, 8, 7)).save(folder / str(image["file_name"]))  # type: ignore[arg-type]
    categories = [{"id": 18, "name": "dog"}, {"id": 3, "name": "cat"}]
    found = {"images": images, "annotations": annotations, "categories": categories} | changes
    path = folder / "instances.json"
    path.write_text(json.dumps(found))
    return path


def test_boxes_of_each_image(tmp_path: Path) -> None:
    objects = [
        box(1, 7, 18, [1, 2, 3, 4]),
        box(2, 70, 3, [0.5, 0, 9, 5.25]),
        box(3, 7, 3, [-2, 6, 12, 5]),  # reaches over three edges
        box(4, 7, 3, [0, 0, 8, 8], iscrowd=1),
    ]
    data = read_coco(write(tmp_path, objects), tmp_path)
    assert (data.classes, data.category_ids, data.image_ids) == (["cat", "dog"], [3, 18], [70, 7, 9])
    assert (data.labels, data.clipped, data.dropped) == (None, 1, 0)
    first, second, third = (data[index] for index in range(3))
    assert (first["boxes"].tolist(), first["box_labels"].tolist()) == ([[0.5, 0, 9.5, 5.25]], [0])
    assert second["boxes"].tolist() == [[1, 2, 4, 6], [0, 6, 8, 8]]
    assert (second["box_labels"].tolist(), second["boxes"].dtype) == ([1, 0], torch.float32)
    assert (third["boxes"].shape, third["box_labels"].shape, third["box_labels"].dtype) == ((0, 4), (0,), torch.int64)
    assert first["image"].shape == (3, 6, 10)
    assert "mask" not in first
    assert len(read_coco(write(tmp_path, objects), tmp_path, crowds=True)[1]["boxes"]) == 3
    second["boxes"].zero_()
    assert data[1]["boxes"][0].tolist() == [1, 2, 4, 6]
    assert len(load(f"{tmp_path}/instances.json:{tmp_path}", size=(5, 5))[1]["boxes"]) == 2
    with pytest.raises(ValueError, match=r"instances.json needs the folder of its images: .*instances.json:FOLDER"):
        load(tmp_path / "instances.json")


def test_boxes_without_area_are_left_out_and_counted(tmp_path: Path) -> None:
    objects = [box(1, 7, 18, [1, 2, 0, 4]), box(2, 7, 3, [9, 9, 3, 3]), box(3, 7, 3, [1, 1, 2, 2])]
    with pytest.warns(UserWarning, match=r"2 of 3 boxes of .* left out: annotation 1, annotation 2"):
        data = read_coco(write(tmp_path, objects), tmp_path, masks=True)
    assert data.dropped == 2
    assert data[1]["boxes"].tolist() == [[1, 1, 3, 3]]
    assert data[1]["mask"].shape == (1, 8, 8)


def test_polygons_and_run_lengths_become_planes(tmp_path: Path) -> None:
    plain = {"size": [8, 8], "counts": [1, 2, 61]}
    packed = {"size": [8, 8], "counts": "123"}
    plane = np.zeros((8, 8), dtype=np.uint8)
    plane[1:4, 2:6] = 1
    data = read_coco(
        write(tmp_path, [box(1, 7, 3, [2, 1, 4, 3]), box(2, 7, 3, [0, 1, 1, 2], segmentation=plain)]),
        tmp_path,
        masks=True,
    )
    mask = data[1]["mask"]
    assert (mask.shape, mask.dtype) == ((2, 8, 8), torch.uint8)
    assert mask[0].tolist() == plane.tolist()
    assert mask[1].nonzero().tolist() == [[1, 0], [2, 0]]
    assert data[2]["mask"].shape == (0, 4, 4)
    broken = [box(5, 7, 3, [2, 1, 4, 3], segmentation=packed), box(6, 70, 3, [2, 1, 4, 3], segmentation=plain)]
    data = read_coco(write(tmp_path, broken), tmp_path, masks=True)
    errors = data.verify()
    assert [error.index for error in errors] == [0, 1]
    assert "annotation 6: run lengths must be for an image of 6 x 10, got size [8, 8]" in str(errors[0])
    assert "annotation 5: run lengths must sum to 8 x 8 pixels, got 6" in str(errors[1])


# made with pycocotools 2.0.11: mask.encode of the arrays beside them
STRIPES = np.zeros((7, 9), dtype=np.uint8)
STRIPES[2:5, 3:8] = 1
STRIPES[6, 0] = 1
DISC = np.fromfunction(lambda y, x: (y - 30) ** 2 + (x - 40) ** 2 < 500, (60, 80)).astype(np.uint8)
"""Long enough runs for several characters, and for differences below 0."""


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ("61`02D00000005", STRIPES),
        ("cR17a18J4L4L4M2N2N2N2N2O0O2O0O2O0O2O00000O2O000000000001N1000001N101N101N101N2N2N2N2N3L4L4L6HUo0", DISC),
    ],
)
def test_compressed_run_lengths_are_those_of_pycocotools(counts: str, wanted: Any) -> None:
    for text in (counts, counts.encode()):
        assert np.array_equal(segment({"size": list(wanted.shape), "counts": text}, *wanted.shape), wanted)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "expected a segmentation of polygons"),
        ([[1, 2, 3, 4]], "expected a segmentation of polygons"),
        ([[1, 2, 3, 4, 5, 6, 7]], "expected a segmentation of polygons"),
        ({"counts": [3]}, "expected a segmentation of polygons"),
        (None, "expected a segmentation of polygons"),
        ({"size": [3, 2], "counts": [6]}, r"must be for an image of 2 x 3, got size \[3, 2\]"),
        ({"size": [2, 3], "counts": [7]}, "must sum to 2 x 3 pixels, got 7"),
        ({"size": [2, 3], "counts": [8, -2]}, "must sum to"),
        ({"size": [2, 3], "counts": "z"}, "hold the characters '0' to 'o', got 'z'"),
        ({"size": [2, 3], "counts": "P"}, "end in the middle of a number"),
    ],
)
def test_segmentations_that_are_none_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segment(given, 2, 3)


def crossings(points: list[tuple[float, float]], x: float, y: float) -> bool:
    """Whether a point is inside a polygon: a ray to the left of it crosses an odd number of edges."""
    odd = False
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 > y) != (y1 > y) and x > x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            odd = not odd
    return odd


@given(st.lists(st.tuples(st.floats(-3, 12, width=16), st.floats(-3, 12, width=16)), min_size=3, max_size=6))
def test_pixels_whose_centre_is_inside_are_in_the_mask(points: list[tuple[float, float]]) -> None:
    points = [(x + 0.0123, y + 0.0317) for x, y in points]  # no centre lies on an edge's end
    mask = segment([[number for point in points for number in point]], 8, 9)
    wanted = [[int(crossings(points, x + 0.5, y + 0.5)) for x in range(9)] for y in range(8)]
    assert mask.tolist() == wanted


def test_several_polygons_are_one_object() -> None:
    mask = segment([[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 4, 1, 4, 3, 1, 3]], 4, 5)
    wanted = np.zeros((4, 5), dtype=int)
    wanted[0:2, 0:2] = wanted[1:3, 1:4] = 1
    assert mask.tolist() == wanted.tolist()


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_image_boxes_and_masks_are_resized_together(tmp_path: Path, fit: str) -> None:
    """A white rectangle is the object: after resizing, its box and mask are where the white is."""
    path = write(tmp_path, [])
    canvas = np.zeros((60, 100), dtype=np.uint8)
    canvas[10:30, 40:60] = 255
    Image.fromarray(canvas).convert("RGB").save(tmp_path / "a.png")
    corners = [[40, 10, 60, 10, 60, 30, 40, 30]]
    entry = {"id": 70, "file_name": "a.png", "width": 100, "height": 60}
    objects = [box(1, 70, 3, [40, 10, 20, 20], segmentation=corners), box(2, 70, 18, [0, 0, 10, 10])]
    path = write(tmp_path, objects, images=[entry])
    Image.fromarray(canvas).convert("RGB").save(tmp_path / "a.png")
    item = read_coco(path, tmp_path, size=(30, 30), fit=fit, masks=True)[0]
    # pad: 100 x 60 becomes 30 x 18, 6 rows above; crop: 50 x 30, of which 10 columns on the left go
    wanted = [[12, 9, 18, 15], [0, 6, 3, 9]] if fit == "pad" else [[10, 5, 20, 15]]
    assert item["boxes"].tolist() == pytest.approx(np.array(wanted), abs=1e-4)
    assert item["box_labels"].tolist() == [0, 1][: len(wanted)]
    x0, y0, x1, y1 = wanted[0]
    plane = torch.zeros(30, 30)
    plane[y0:y1, x0:x1] = 1
    assert torch.equal(item["mask"][0].float(), plane)
    assert item["mask"].shape == (len(wanted), 30, 30)
    white = item["image"][0] > 127
    assert torch.equal(white, plane.bool())


def test_a_lying_photograph_is_read_as_its_boxes_have_it(tmp_path: Path) -> None:
    write(tmp_path, [])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).save(tmp_path / "a.png", exif=exif)
    for width, height in ((6, 4), (4, 6)):
        entry = {"id": 70, "file_name": "a.png", "width": width, "height": height}
        path = tmp_path / "instances.json"
        path.write_text(json.dumps({"images": [entry], "annotations": [], "categories": [{"id": 1, "name": "x"}]}))
        image = read_coco(path, tmp_path)[0]["image"][0]
        assert image.shape == (height, width)
        assert image[0, 0] == (0 if width == 6 else 18)


@pytest.mark.parametrize(
    ("annotations", "changes", "message"),
    [
        ([box(1, 8, 3, [0, 0, 1, 1])], {}, r"annotation 1 of .* is about image_id 8, which the file does not list"),
        ([box(1, 7, 4, [0, 0, 1, 1])], {}, r"annotation 1 of .* is about category_id 4, which"),
        ([{"id": 5, "image_id": 7, "caption": "a dog"}], {}, r"annotation 5 of .* has no category_id, bbox; expected"),
        ([{"image_id": 7}], {}, r"annotation at place 0 of .* has no id"),
        ([box(1, 7, 3, [0, 0, 1])], {}, r"annotation 1 of .*: bbox must be \[x, y, width, height\]"),
        ([box(1, 7, 3, [0, 0, 1, float("nan")])], {}, r"bbox must be .* got \[0, 0, 1, nan\]"),
        ([], {"images": []}, r"at least one of the images in .*, got none"),
        ([], {"categories": {}}, r"expected lists images, annotations, categories in"),
        ([], {"categories": [{"id": 1, "name": "x"}] * 2}, r"ids must differ in .*, got category 1 twice"),
        ([], {"categories": [{"name": "x"}]}, r"an id for each category in .*, got none at place 0"),
        ([], {"images": [{"id": 3, "file_name": "a.png"}]}, r"image 3 of .* has no width, height"),
        (
            [],
            {"images": [{"id": 3, "file_name": "a.png", "width": None, "height": 3}]},
            r"image 3 of .* sides above 0, got 3 x None",
        ),
    ],
)
def test_mistakes_in_the_json_are_named(
    tmp_path: Path, annotations: list[Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_coco(write(tmp_path, annotations, **changes), tmp_path)


def test_files_that_are_missing_or_broken(tmp_path: Path) -> None:
    path = write(tmp_path, [])
    with pytest.raises(FileNotFoundError, match=r"3 of 3 images of .* missing in .*none: .*none/a.png"):
        read_coco(path, tmp_path / "none")
    (tmp_path / "c.png").unlink()
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:50])
    Image.new("RGB", (10, 7)).save(tmp_path / "a.png")
    data = read_coco(path, tmp_path, check_paths=False)
    assert [error.index for error in data.verify()] == [0, 1, 2]
    with pytest.raises(SampleError, match=r"path='.*a.png'.* for an image of 6 x 10, got one of 7 x 10"):
        data[0]
    assert data.without(data.verify()[1:]).verify()[0].index == 0
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r"expected JSON in .*instances.json, got: "):
        read_coco(path, tmp_path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match=r"expected lists .*, got list"):
        read_coco(path, tmp_path)
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        read_coco(tmp_path / "none.json", tmp_path)
