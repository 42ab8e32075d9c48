"""Boxes in torchvision's six formats: conversions, rectangles around sheared boxes, clamping, areas.

Upright: "XYXY", "XYWH", "CXCYWH", four numbers. Rotated: "XYWHR" and "CXCYWHR" with the angle in degrees, counter-clockwise,
five numbers; "XYXYXYXY", the corners clockwise from the one that is top left without rotation, eight numbers. Inside a
`Batch` boxes are XYXY or corners.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

BoxFormat = Literal["XYXY", "XYWH", "CXCYWH", "XYWHR", "CXCYWHR", "XYXYXYXY"]
Clamping = Literal["soft", "hard"] | None


class BoxForm(NamedTuple):
    """What boxes are given back as."""

    format: BoxFormat | None = None
    """None: the format they came in."""
    clamping: Clamping | Literal["kept"] = "kept"
    """The mode of tv_tensors; "kept": theirs."""

    def then(self, later: BoxForm) -> BoxForm:
        """What a later step wants, and this where it wants nothing."""
        return BoxForm(later.format or self.format, self.clamping if later.clamping == "kept" else later.clamping)


AS_IT_CAME = BoxForm()

_NUMBERS: dict[str, int] = {"XYXY": 4, "XYWH": 4, "CXCYWH": 4, "XYWHR": 5, "CXCYWHR": 5, "XYXYXYXY": 8}
_TINY = 1e-30


def convert_boxes(boxes: Tensor, old: BoxFormat, new: BoxFormat) -> Tensor:
    """Boxes in another format, as torchvision's `convert_bounding_box_format`.

    Args:
        boxes: (..., 4), (..., 5) or (..., 8), as `old` has it; whole numbers too where they are upright (a half is rounded
            as torchvision rounds it).
        old: "XYXY", "XYWH", "CXCYWH", "XYWHR", "CXCYWHR" or "XYXYXYXY".
        new: likewise; rotated where `old` is.

    Raises:
        ValueError: for an unknown format, another number of columns, or a change between upright and rotated.

    >>> convert_boxes(torch.tensor([[2.0, 3.0, 10.0, 4.0]]), "XYWH", "XYXY")
    tensor([[ 2.,  3., 12.,  7.]])
    """
    for name in (old, new):
        if name not in _NUMBERS:
            raise ValueError(f"convert_boxes: format must be one of {', '.join(_NUMBERS)}, got {name!r}")
    if boxes.shape[-1:] != (_NUMBERS[old],):
        raise ValueError(f"convert_boxes: {old} boxes must be (..., {_NUMBERS[old]}), got {tuple(boxes.shape)}")
    if is_rotated(old) != is_rotated(new):
        raise ValueError(f"convert_boxes: cannot convert between upright and rotated boxes, got {old} to {new}")
    if old == new:
        return boxes
    if not is_rotated(old):
        return _from_xywh(_to_xywh(boxes, old), new)
    if not boxes.is_floating_point():
        raise ValueError(f"convert_boxes: rotated boxes must be floating point, got {boxes.dtype}")
    wide = boxes if boxes.dtype == torch.float64 else boxes.to(torch.float32)
    return _from_xywhr(_to_xywhr(wide, old), new).to(boxes.dtype)


def is_rotated(name: BoxFormat) -> bool:
    """Whether boxes of a format have an angle."""
    return _NUMBERS[name] != 4


def _to_xywh(boxes: Tensor, old: str) -> Tensor:
    at, size = boxes.split(2, -1)
    if old == "XYXY":
        return torch.cat([at, size - at], -1)
    if old == "XYWH":
        return boxes
    if boxes.is_floating_point():
        return torch.cat([at - size / 2, size], -1)
    low = at - size / 2  # float, cut to whole numbers at both ends, as torchvision does
    high = (low + size).to(boxes.dtype)
    low = low.to(boxes.dtype)
    return torch.cat([low, high - low], -1)


def _from_xywh(boxes: Tensor, new: str) -> Tensor:
    at, size = boxes.split(2, -1)
    if new == "XYXY":
        return torch.cat([at, at + size], -1)
    if new == "XYWH":
        return boxes
    half = size / 2 if boxes.is_floating_point() else size.div(2, rounding_mode="floor")
    return torch.cat([at + half, size], -1)


def _axes(angle: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors along width and height, (..., 2) each, of boxes turned by an angle (..., 1) in degrees."""
    turn = torch.deg2rad(angle)
    cos, sin = turn.cos(), turn.sin()
    return torch.cat([cos, -sin], -1), torch.cat([sin, cos], -1)


def _to_xywhr(boxes: Tensor, old: str) -> Tensor:
    if old == "XYWHR":
        return boxes
    if old == "XYXYXYXY":
        first, second, third, _ = boxes.split(2, -1)
        across, down = second - first, third - second
        angle = torch.rad2deg(torch.atan2(-across[..., 1:], across[..., :1]))
        return torch.cat([first, across.norm(dim=-1, keepdim=True), down.norm(dim=-1, keepdim=True), angle], -1)
    centre, width, height, angle = boxes.split([2, 1, 1, 1], -1)
    u, v = _axes(angle)
    return torch.cat([centre - width / 2 * u - height / 2 * v, boxes[..., 2:]], -1)


def _from_xywhr(boxes: Tensor, new: str) -> Tensor:
    if new == "XYWHR":
        return boxes
    first, width, height, angle = boxes.split([2, 1, 1, 1], -1)
    u, v = _axes(angle)
    u, v = width * u, height * v
    if new == "XYXYXYXY":
        return torch.cat([first, first + u, first + u + v, first + v], -1)
    return torch.cat([first + u / 2 + v / 2, boxes[..., 2:]], -1)


def clockwise(corners: Tensor) -> Tensor:
    """Corners (..., 8) in clockwise order: a mirror image of a box changes places of its left and right corners."""
    a, b, c, d = corners.split(2, -1)
    mirrored = _cross(c - a, d - b) < 0
    return torch.where(mirrored, torch.cat([b, a, d, c], -1), corners)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """(..., 1): the area that two vectors (..., 2) span, above 0 where the second is clockwise of the first."""
    return a[..., :1] * b[..., 1:] - a[..., 1:] * b[..., :1]


def rectangle(corners: Tensor) -> Tensor:
    """The smallest rectangle along the longer side of a parallelogram, about its centre: corners (..., 8).

    It is what torchvision makes of a rotated box after a shear or an uneven resize.

    >>> rectangle(torch.tensor([0.0, 0, 8, 0, 9, 4, 1, 4])).tolist()
    [0.0, 0.0, 9.0, 0.0, 9.0, 4.0, 0.0, 4.0]
    """
    a, b, c, d = corners.split(2, -1)
    across, down = b - a, d - a
    wide, tall = across.norm(dim=-1, keepdim=True), down.norm(dim=-1, keepdim=True)
    lying = wide >= tall
    length = torch.maximum(wide, tall)
    along = torch.where(lying, across, torch.cat([down[..., 1:], -down[..., :1]], -1)) / length.clamp(min=_TINY)
    long = length + (across * down).sum(-1, keepdim=True).abs() / length.clamp(min=_TINY)
    short = _cross(across, down).abs() / length.clamp(min=_TINY)
    u = along * torch.where(lying, long, short) / 2
    v = torch.cat([-along[..., 1:], along[..., :1]], -1) * torch.where(lying, short, long) / 2
    centre = (a + c) / 2
    return torch.cat([centre - u - v, centre + u - v, centre + u + v, centre - u + v], -1)


def clamp_boxes(boxes: Tensor, height: float | Tensor, width: float | Tensor, mode: Clamping = "soft") -> Tensor:
    """Boxes kept within their images, as torchvision's `clamp_bounding_boxes`.

    A rotated box keeps its angle. Boxes within their image stay bit-equal; rotated ones outside become zeros.

    Args:
        boxes: (..., N, 4) XYXY, or (..., N, 8) corners of rectangles or parallelograms.
        height: of the images: a number, or a tensor (..., 1).
        width: likewise.
        mode: for rotated boxes: "soft": the smallest box around what lies within; "hard": the largest box within, cut at
            one side of the image after the other; None leaves all boxes as they are.

    >>> clamp_boxes(torch.tensor([[-3.0, 2.0, 5.0, 9.0]]), height=8, width=8)
    tensor([[0., 2., 5., 8.]])
    """
    if mode not in ("soft", "hard", None):
        raise ValueError(f"clamp_boxes: mode must be 'soft', 'hard' or None, got {mode!r}")
    if mode is None:
        return boxes
    if boxes.shape[-1] == 4:
        limits = (width, height, width, height)
        return torch.stack([_clamp(edge, limit) for edge, limit in zip(boxes.unbind(-1), limits, strict=True)], -1)
    return _clamp_corners(boxes, height, width, mode)


def _clamp(values: Tensor, limit: float | Tensor) -> Tensor:
    low = values.clamp(min=0)
    return torch.minimum(low, limit.to(values.dtype)) if isinstance(limit, Tensor) else low.clamp(max=limit)


def _clamp_corners(corners: Tensor, height: float | Tensor, width: float | Tensor, mode: str) -> Tensor:
    """In the box's own coordinates s, t in [0, 1], along its sides from its first corner."""
    at = corners if corners.dtype == torch.float64 else corners.to(torch.float32)
    origin, second, _, fourth = at.split(2, -1)
    u, v = second - origin, fourth - origin
    span, lost = _span_within(at, height, width)
    if mode == "hard":
        for sign, axis, limit in ((1, 0, 0.0), (1, 1, 0.0), (-1, 0, width), (-1, 1, height)):
            span = _inscribed(span, sign * u[..., axis], sign * v[..., axis], sign * (limit - origin[..., axis]))
    s0, s1, t0, t1 = (value[..., None] for value in span)
    kept = torch.cat([origin + s * u + t * v for s, t in ((s0, t0), (s1, t0), (s1, t1), (s0, t1))], -1)
    kept = torch.where(lost[..., None], 0, kept).to(corners.dtype)
    x, y = at[..., 0::2], at[..., 1::2]
    stays = ((x == _clamp(x, _beside(width))) & (y == _clamp(y, _beside(height)))).all(-1, keepdim=True)
    return torch.where(stays, corners, kept)


def _span_within(corners: Tensor, height: float | Tensor, width: float | Tensor) -> tuple[list[Tensor], Tensor]:
    """Where a box's part within the image starts and ends along its sides: s0, s1, t0, t1; and whether there is none.

    The part is convex: its vertices are among the corners of the box and of the image, and the places where their edges
    meet.
    """
    start = corners.unflatten(-1, (4, 2))
    step = start.roll(-1, -2) - start
    meets = start[..., None, :] + _crossings(start, step, height, width)[..., None] * step[..., None, :]
    zero = torch.zeros_like(corners[..., 0])
    wide, tall = zero + width, zero + height
    edges = torch.stack([zero, zero, wide, zero, wide, tall, zero, tall], -1).unflatten(-1, (4, 2))
    points = torch.cat([start, edges, meets.flatten(-3, -2)], -2)  # (..., 24, 2)
    u, v = step[..., :1, :], -step[..., 3:, :]
    away = points - start[..., :1, :]
    whole = _cross(u, v)
    whole = torch.where(whole == 0, _TINY, whole)
    s, t = (_cross(away, v) / whole)[..., 0], (_cross(u, away) / whole)[..., 0]
    x, y = points.unbind(-1)
    within = _between(s * u.norm(dim=-1), u.norm(dim=-1)) & _between(t * v.norm(dim=-1), v.norm(dim=-1))
    within = within & _between(x, wide[..., None]) & _between(y, tall[..., None])
    ends = [torch.where(within, value, value.new_ones(())).amin(-1).clamp(0, 1) for value in (s, t)]
    tops = [torch.where(within, value, value.new_zeros(())).amax(-1).clamp(0, 1) for value in (s, t)]
    return [ends[0], tops[0], ends[1], tops[1]], ~within.any(-1)


def _between(values: Tensor, limit: Tensor) -> Tensor:
    """Within [0, limit], give or take a thousandth of a pixel: float32 has no better on a large image."""
    return (values > -1e-3) & (values < limit + 1e-3)


def _crossings(start: Tensor, step: Tensor, height: float | Tensor, width: float | Tensor) -> Tensor:
    """(..., 4, 4): how far along each edge of boxes (..., 4, 2) it meets the lines x = 0, y = 0, x = width, y = height.

    0 is the edge's start, 1 its end; an edge along a line meets it far away.
    """
    meets = []
    for axis, limit in ((0, 0.0), (1, 0.0), (0, _beside(width)), (1, _beside(height))):
        along = step[..., axis]
        meets.append((limit - start[..., axis]) / torch.where(along == 0, _TINY, along))
    return torch.stack(meets, -1)


def _beside(limit: float | Tensor) -> float | Tensor:
    return limit[..., None] if isinstance(limit, Tensor) else limit


def _inscribed(span: list[Tensor], a: Tensor, b: Tensor, c: Tensor) -> list[Tensor]:
    """The span of the largest part of a box where a s + b t >= c.

    From the corner farthest outside, which lacks d, the sides lead inwards by p and q. Of all parts whose own such corner
    lies on the line, that with (p + q - d) / 2 left of both has the largest area.
    """
    s0, s1, t0, t1 = span
    p, q = a.abs() * (s1 - s0), b.abs() * (t1 - t0)
    d = (c - torch.minimum(a * s0, a * s1) - torch.minimum(b * t0, b * t1)).clamp(min=0)
    left_p = torch.minimum(torch.maximum((p + q - d) / 2, p - d), p)
    off_p, off_q = p - left_p, d - (p - left_p)
    off_s = torch.minimum(off_p / a.abs().clamp(min=_TINY), s1 - s0)
    off_t = torch.minimum(off_q / b.abs().clamp(min=_TINY), t1 - t0)
    return [
        torch.where(a > 0, s0 + off_s, s0),
        torch.where(a > 0, s1, s1 - off_s),
        torch.where(b > 0, t0 + off_t, t0),
        torch.where(b > 0, t1, t1 - off_t),
    ]


def sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Widths and heights (..., N) of XYXY boxes or of corners (..., N, 8)."""
    if boxes.shape[-1] == 4:
        x0, y0, x1, y1 = boxes.unbind(-1)
        return x1 - x0, y1 - y0
    a, b, c, _ = (boxes if boxes.is_floating_point() else boxes.to(torch.float32)).split(2, -1)
    return (b - a).norm(dim=-1), (c - b).norm(dim=-1)
