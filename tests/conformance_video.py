from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from conformance import Case, Record, difference
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf
from zoo import images

from torchaug import Batch, Transform
from torchaug import image as T
from torchaug.keys import sample_keys

CLIPS, FRAMES = 4, 3
Oracle = Callable[[tv_tensors.Video, Record], Tensor]


def of_clips(transform: Transform, oracle: Oracle, reference: str, tolerance: float) -> Case:
    """Clips as tv_tensors.Video, against torchvision's kernel for videos with what each clip drew."""

    def error(device: torch.device) -> float:
        video = (images(CLIPS * FRAMES) / 255).unflatten(0, (CLIPS, FRAMES))
        keys = sample_keys(torch.arange(CLIPS, device=device), seed=5)
        params = transform.draw(Batch(video=video.to(device), key=keys))
        out = transform(tv_tensors.Video(video.to(device)), keys=keys)
        assert isinstance(out, tv_tensors.Video)
        worst = 0.0
        for i, clip in enumerate(video):
            (record,) = transform.describe(params, i)
            expected = oracle(tv_tensors.Video(clip), record) if record["applied"] else clip
            worst = max(worst, difference(out[i].as_subclass(Tensor).cpu(), expected.as_subclass(Tensor)))
        return worst

    return Case(f"{transform!r} of a Video", reference, torch.float32, tolerance, error)


def cases() -> Iterator[Case]:
    crop, turn, blur = T.RandomResizedCrop((24, 28)), T.RandomRotation(40, "bilinear"), T.GaussianBlur(5)
    yield of_clips(
        crop,
        lambda clip, r: tvf.resized_crop(
            clip, *(int(r[n]) for n in ("top", "left", "height", "width")), size=[24, 28], antialias=True
        ),
        "torchvision resized_crop, per clip",
        1e-5,
    )
    yield of_clips(
        turn,
        lambda clip, r: tvf.rotate(clip, r["angle"], tvf.InterpolationMode.BILINEAR),
        "torchvision rotate, per clip",
        1e-5,
    )
    yield of_clips(
        T.ColorJitter(contrast=0.5),
        lambda clip, r: tvf.adjust_contrast(clip, r["contrast"]),
        "torchvision adjust_contrast, per clip",
        1e-5,
    )
    yield of_clips(
        blur,
        lambda clip, r: tvf.gaussian_blur(clip, [5, 5], [r["sigma"]] * 2),
        "torchvision gaussian_blur, per clip",
        1e-5,
    )

    def subsampled(device: torch.device) -> float:
        worst = 0.0
        for frames in range(1, 40):
            video = torch.arange(float(frames)).view(1, frames, 1, 1, 1).expand(2, -1, 3, 2, 2).to(device)
            for count in range(1, 40):
                ours = T.UniformTemporalSubsample(count)(tv_tensors.Video(video))
                worst = max(worst, difference(ours, tvf.uniform_temporal_subsample(video, count)))
        return worst

    reference = "torchvision uniform_temporal_subsample"
    yield Case("UniformTemporalSubsample, 1 to 39 of 1 to 39 frames", reference, torch.float32, 0, subsampled)


CASES = list(cases())
