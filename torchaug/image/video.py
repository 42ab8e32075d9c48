"""What is done to videos alone."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.batch import Batch
from torchaug.clips import LEADERS, each_frame
from torchaug.image import arguments
from torchaug.transform import Transform


class UniformTemporalSubsample(Transform):
    """Keep evenly spaced frames of videos, the first and the last among them, as torchvision's transform of this name.

    Masks, boxes and keypoints of each frame follow. Frames come several times where more are asked for than there are.

    Args:
        num_samples: frames that are kept, at least 1.

    >>> from torchvision.tv_tensors import Video
    >>> UniformTemporalSubsample(4)(Video(torch.rand(10, 3, 8, 8))).shape
    torch.Size([4, 3, 8, 8])
    """

    always = True
    clips = "whole"

    def __init__(self, num_samples: int) -> None:
        super().__init__()
        self.num_samples = arguments.whole(num_samples, "UniformTemporalSubsample", "num_samples", 1)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        video = batch.video
        if video is None or video.shape[1] == 0:
            raise TypeError(
                "UniformTemporalSubsample: expected a video with at least one frame (a tv_tensors.Video, or a dict with "
                f"'video'), got {sorted(batch.present()) if video is None else 'none'}"
            )
        kept = frame_numbers(video, self.num_samples)
        labels = (name for name in batch.present() if name in LEADERS and each_frame(batch, name))
        return batch.replace(**{name: batch.present()[name].index_select(1, kept) for name in ("video", *labels)})


@torch.library.custom_op("torchaug::frame_numbers", mutates_args=())
def frame_numbers(video: Tensor, count: int) -> Tensor:
    """(count,) int64: evenly spaced frames of a video (B, T, ...), by torchvision's rounding.

    An operator of its own, since compilers round `linspace` another way, and a frame is the next one then.
    """
    return torch.linspace(0, video.shape[1] - 1, count, device=video.device).long()


@frame_numbers.register_fake
def _(video: Tensor, count: int) -> Tensor:
    return video.new_empty(count, dtype=torch.int64)
