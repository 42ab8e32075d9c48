from __future__ import annotations

from torchaug.image.labels import (
    ClampBoundingBoxes,
    ClampKeyPoints,
    ConvertBoundingBoxFormat,
    SanitizeBoundingBoxes,
    SanitizeKeyPoints,
    SetClampingMode,
)
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {
    "clamp_boxes": ClampBoundingBoxes(),
    "clamp_boxes_hard": ClampBoundingBoxes("hard"),
    "clamp_keypoints": ClampKeyPoints(),
    "sanitize_boxes": SanitizeBoundingBoxes(2.0, 9.0),
    "sanitize_boxes_compact": SanitizeBoundingBoxes(18.0, 9.0, compact=True),
    "sanitize_keypoints": SanitizeKeyPoints(),
    "convert_boxes": ConvertBoundingBoxFormat("CXCYWH"),
    "set_clamping_mode": SetClampingMode(None),
}
