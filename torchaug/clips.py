"""Videos as transforms of images see them, and back: one key for a clip, so that its frames stay together."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.keys import fold_in, uniforms

Clips = Literal["frames", "channels", "whole", "refused"]
"""What a transform gets of a video (B, T, C, H, W): (B T, C, H, W) images, each with the numbers of its clip; (B, T C, H,
W), one image per clip with the channels of all its frames; the video itself; or an error."""

LEADERS = {
    "mask": "mask",
    "boxes": "boxes",
    "box_labels": "boxes",
    "box_weights": "boxes",
    "keypoints": "keypoints",
    "visible": "keypoints",
}
"""The labels that each frame may have for itself, and the label that tells whether it has."""
_RANKS = {"mask": 5, "boxes": 4, "keypoints": 4}


def each_frame(batch: Batch, name: str) -> bool:
    """Whether a label of a video is (B, T, ...), one for each frame, and not (B, ...), the clip's."""
    leader = getattr(batch, LEADERS[name])
    return leader is not None and leader.ndim == _RANKS[LEADERS[name]]


def as_frames(batch: Batch) -> Batch:
    """The frames as images (B T, ...), with their labels; what is the clip's alone (`label`, `key`, ...) is left out."""
    assert batch.video is not None
    frames = batch.video.shape[1]
    fields: dict[str, Tensor] = {"image": batch.video.flatten(0, 1)}
    for name, value in batch.present().items():
        if name in LEADERS and each_frame(batch, name):
            fields[name] = value.flatten(0, 1)
        elif name in LEADERS or name == "size":
            fields[name] = repeated(value, frames)
    return Batch(**fields)


def from_frames(after: Batch, before: Batch, clips: Batch) -> Batch:
    """`clips` after its frames have become `after`; `before` is what `as_frames` gave of it. What stayed is kept as it was."""
    assert clips.video is not None
    count, frames = clips.video.shape[:2]
    changes: dict[str, Tensor | None] = {}
    for name in ("image", "size", *LEADERS):
        value = getattr(after, name)
        if value is getattr(before, name):
            continue
        if value is not None:
            value = value.unflatten(0, (count, frames))
            if name == "size" or (name in LEADERS and not each_frame(clips, name)):
                value = value[:, 0]  # the same for all frames
        changes["video" if name == "image" else name] = value
    return clips.replace(**changes)


def as_channels(batch: Batch) -> Batch:
    """Each clip as one image (B, T C, H, W), with the labels of all frames side by side."""
    assert batch.video is not None
    flat = {name: batch.present()[name].flatten(1, 2) for name in batch.present() if _flattens(batch, name)}
    return batch.replace(video=None, image=batch.video.flatten(1, 2), **flat)


def from_channels(after: Batch, clips: Batch) -> Batch:
    """The clips of what `as_channels` gave of `clips`, where each may have got the labels of several clips."""
    assert clips.video is not None
    frames, channels = clips.video.shape[1:3]
    image = after.present()["image"]
    changes: dict[str, Tensor | None] = {"image": None, "video": image.unflatten(1, (frames, channels))}
    for name, value in after.present().items():
        if name in LEADERS and _flattens(clips, name):
            places = clips.present()[name].shape[2]
            several = value.shape[1] // max(1, frames * places)  # (several, T, N) are side by side
            changes[name] = value.unflatten(1, (several, frames, places)).transpose(1, 2).flatten(2, 3)
    return after.replace(**changes)


def _flattens(batch: Batch, name: str) -> bool:
    return name in LEADERS and each_frame(batch, name)


def repeated(values: Tensor, frames: int) -> Tensor:
    """(B, ...) of clips as (B T, ...) of their frames."""
    return values[:, None].expand(-1, frames, *values.shape[1:]).flatten(0, 1)


def frame_draws(u: Tensor, frames: int, fresh: slice | None) -> Tensor:
    """Uniforms (B, K) of clips as those of their frames (B T, K): the same, but for the columns `fresh`.

    Those seed fields of noise: each frame gets numbers of its own there, made of the first two of them; the first frame
    keeps the clip's.
    """
    same = repeated(u, frames)
    if fresh is None:
        return same
    high, low = (same[:, fresh][:, :2] * 2.0**24).to(torch.int64).unbind(1)
    number = torch.arange(frames, device=u.device).repeat(len(u))
    new = uniforms(fold_in((high << 24) | low, number), same[:, fresh].shape[1])
    columns = list(same.split(1, dim=1))
    columns[fresh] = torch.where(number[:, None] == 0, same[:, fresh], new).split(1, dim=1)
    return torch.cat(columns, 1)
