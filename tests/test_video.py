"""Videos: every frame gets what its clip drew, labels of clips and of frames follow, and clips are mixed with clips."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, index, arg-type, no-any-return"
from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf
from zoo import EVERY, images

from torchaug import Batch, Compose, Lambda, PerSample, Transform
from torchaug import image as T
from torchaug.clips import LEADERS, each_frame
from torchaug.image.survival import label_survival
from torchaug.keys import sample_keys
from torchaug.transform import Layer

CLIPS, FRAMES, HEIGHT, WIDTH = 3, 4, 32, 36
MIXES: dict[str, Layer] = {
    "mixup": T.MixUp(num_classes=4),
    "cutmix": T.CutMix(num_classes=4),
    "switch": T.SwitchMix(num_classes=4),
    "patches": T.PatchMix(num_classes=4),
    "mosaic": T.Mosaic((40, 30), num_classes=4, p=1.0),
    "detection": T.DetectionMixUp(num_classes=4),
}
ADVERSARIAL: dict[str, Layer] = {"ada": T.ADA("bgc", p=0.8), "diffaugment": T.DiffAugment(), "jigsaw": T.RandomJigsaw()}


def clips(dtype: torch.dtype = torch.uint8) -> Tensor:
    frames = images(CLIPS * FRAMES, HEIGHT, WIDTH).unflatten(0, (CLIPS, FRAMES))
    return frames if dtype == torch.uint8 else (frames / 255).to(dtype)


def labelled(mask: bool = True) -> Batch:
    """Labels for each frame: no two frames have the same."""
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(CLIPS, FRAMES, 2, 2, generator=generator) * 12
    return Batch(
        video=clips(),
        mask=torch.randint(0, 4, (CLIPS, FRAMES, 1, HEIGHT, WIDTH), generator=generator) if mask else None,
        boxes=torch.cat([corner, corner + 4 + torch.rand(CLIPS, FRAMES, 2, 2, generator=generator) * 14], -1),
        box_labels=torch.arange(CLIPS * FRAMES * 2).view(CLIPS, FRAMES, 2),
        keypoints=torch.rand(CLIPS, FRAMES, 6, 2, generator=generator) * 30,
        visible=torch.rand(CLIPS, FRAMES, 6, generator=generator) < 0.8,
        label=torch.tensor([0, 3, 1]),
        weight=torch.tensor([1.0, 2.0, 3.0]),
        key=sample_keys(torch.arange(CLIPS), seed=3),
    )


def frame(batch: Batch, number: int) -> Batch:
    """One frame of each clip as a batch of images, with the clips' keys."""
    of_frames = {n: v[:, number] for n, v in batch.present().items() if n in LEADERS and each_frame(batch, n)}
    return batch.replace(image=batch.video[:, number], video=None, **of_frames)


def assert_frames_are_images(transform: Layer, batch: Batch, frames: int = FRAMES, atol: float = 1e-6) -> None:
    """Each frame of what comes out is what the same keys make of the frame as an image."""
    together = transform(batch)
    for number in range(frames):
        expected, got = transform(frame(batch, number)), frame(together, number)
        assert got.present().keys() == expected.present().keys()
        for name, value in expected.present().items():
            other = got.present()[name]
            assert (value.shape, value.dtype) == (other.shape, other.dtype), name
            exact = 0 if not value.is_floating_point() else atol
            gap = (value.double() - other.double()).abs()
            assert gap.numel() == 0 or gap.max() <= exact, f"{name} of frame {number}: differs by {gap.max()}"


def guided(transform: Layer) -> bool:
    return any(getattr(leaf, "guided", False) for leaf in transform.leaves())


def noisy(transform: Layer) -> bool:
    return any(leaf.fresh is not None for leaf in transform.leaves())


@pytest.mark.parametrize("transform", EVERY.values(), ids=EVERY)
def test_every_frame_gets_what_its_clip_drew(transform: Layer) -> None:
    if guided(transform):
        pytest.skip("looks at the labels of all frames: see below")
    assert_frames_are_images(transform, labelled(), frames=1 if noisy(transform) else FRAMES)


@pytest.mark.parametrize("transform", MIXES.values(), ids=MIXES)
def test_clips_are_mixed_with_clips(transform: Layer) -> None:
    """The label is the clip's, mixed once, and every frame is mixed with that of the same partner in the same way."""
    assert_frames_are_images(transform, labelled(mask=False))
    together = transform(labelled(mask=False))
    assert together.label.shape == (CLIPS, 4)
    torch.testing.assert_close(together.label.sum(1), torch.ones(CLIPS))
    assert not torch.equal(together.video, labelled().video)


@pytest.mark.parametrize("transform", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_transforms_of_images_alone_take_clips(transform: Layer) -> None:
    assert_frames_are_images(transform, Batch(video=clips(torch.float32), key=labelled().key), atol=1e-5)


def test_the_check_finds_frames_that_are_mixed_with_frames_and_frames_that_draw_for_themselves() -> None:
    mix = T.MixUp(num_classes=4)
    mix.clips = "frames"
    with pytest.raises(AssertionError):
        assert_frames_are_images(mix, labelled(mask=False))
    shift = T.RandomAffine(0, (0.3, 0.3))
    shift.fresh = slice(0, 5)
    with pytest.raises(AssertionError, match="of frame 1"):
        assert_frames_are_images(shift, labelled())


NOISES: list[Transform] = [
    T.GaussianNoise(),
    T.SpeckleNoise(),
    T.ShotNoise(p=1.0),
    T.SaltAndPepper(0.3, p=1.0),
    T.ISONoise(p=1.0),
    T.MultiplicativeNoise(elementwise=True, p=1.0),
]


@pytest.mark.parametrize("transform", NOISES, ids=repr)
def test_the_noise_of_a_sensor_is_new_in_each_frame(transform: Transform) -> None:
    still = clips(torch.float32)[:, :1].expand(-1, FRAMES, -1, -1, -1)
    out = transform(Batch(video=still, key=labelled().key)).video
    alone = transform(Batch(image=still[:, 0], key=labelled().key)).image
    assert torch.equal(out[:, 0], alone)
    fields = (out - still).flatten(2).flatten(0, 1)
    assert torch.corrcoef(fields).fill_diagonal_(0).abs().max() < 0.1  # 3456 numbers: six standard deviations
    longer = transform(Batch(video=still[:, :1].expand(-1, 9, -1, -1, -1), key=labelled().key)).video
    assert torch.equal(longer[:, :FRAMES], out)  # a frame's noise does not depend on how many there are


def test_strength_of_the_noise_is_the_clips() -> None:
    noise, video = T.GaussianNoise(sigma=(0.01, 0.5), clip=False), torch_video(torch.zeros(CLIPS, FRAMES, 3, 40, 40))
    out = noise(video, keys=sample_keys(torch.arange(CLIPS)))
    spread = out.as_subclass(Tensor).flatten(2).std(2)
    assert ((spread / spread.mean(1, keepdim=True) - 1).abs() < 0.05).all()
    assert spread.mean(1).std() > 0.03


def torch_video(video: Tensor) -> tv_tensors.Video:
    return tv_tensors.Video(video)


# crops that look at labels


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_crop_for_boxes_is_one_crop_that_holds_those_of_all_frames(rate: float) -> None:
    batch = labelled()
    before = batch.boxes[..., 2:] - batch.boxes[..., :2]
    out = T.BBoxSafeRandomCrop(rate)(batch)
    if rate == 0:
        torch.testing.assert_close(out.boxes[..., 2:] - out.boxes[..., :2], before, rtol=0, atol=1e-3)
    assert out.size.shape == (CLIPS, 2)
    moved = (out.boxes - batch.boxes)[..., :2][(out.boxes[..., 0] > 0) & (out.boxes[..., 1] > 0)]
    assert len(moved) > 0
    for clip, shifts in zip(out.boxes - batch.boxes, out.boxes, strict=True):
        inside = (shifts[..., :2] > 0).all(-1)
        assert (clip[inside][:, :2] - clip[inside][:1, :2]).abs().max() < 1e-4


def test_a_crop_by_overlap_drops_the_boxes_of_each_frame() -> None:
    batch = labelled()
    out = T.RandomIoUCrop(sampler_options=[0.5])(batch)
    gone = (out.boxes == 0).all(-1)
    assert gone.any()
    assert not gone.all()
    assert torch.equal(out.box_labels, torch.where(gone, -1, batch.box_labels))
    assert out.mask.shape == batch.mask.shape


def test_a_crop_for_the_mask_sees_all_frames() -> None:
    mask = torch.zeros(1, FRAMES, 1, HEIGHT, WIDTH, dtype=torch.int64)
    mask[:, 2, :, 30, 3] = 1
    crop = T.CropNonEmptyMaskIfExists(8, 8)
    for seed in range(5):
        out = crop(Batch(video=clips()[:1], mask=mask, key=sample_keys(torch.arange(1), seed=seed)))
        assert out.mask.sum() == 1
        assert out.mask[:, 2].sum() == 1
    with pytest.raises(TypeError, match="CropNonEmptyMaskIfExists: expected images, got a video"):
        T.CropNonEmptyMaskIfExists(8, 8, ignore_channels=[0])(Batch(video=clips()[:1], mask=mask))


# torchvision


def describe(transform: Transform, video: Tensor, keys: Tensor) -> list[dict[str, float]]:
    params = transform.draw(Batch(video=video, key=keys))
    return [transform.describe(params, i)[0] for i in range(len(video))]


def test_clips_come_out_as_torchvision_makes_them() -> None:
    """torchvision's kernels on tv_tensors.Video, clip by clip, with the parameters that the clip drew."""
    video, keys = clips(torch.float32), labelled().key
    crop = T.RandomResizedCrop((20, 24))
    for got, clip, r in zip(crop(torch_video(video), keys=keys), video, describe(crop, video, keys), strict=True):
        box = [int(r[name]) for name in ("top", "left", "height", "width")]
        expected = tvf.resized_crop(torch_video(clip), *box, size=[20, 24], antialias=True)
        torch.testing.assert_close(torch_video(got), expected, rtol=0, atol=1e-5)
    contrast = T.ColorJitter(contrast=0.5)
    for got, clip, r in zip(
        contrast(torch_video(video), keys=keys), video, describe(contrast, video, keys), strict=True
    ):
        expected = tvf.adjust_contrast(torch_video(clip), r["contrast"])
        torch.testing.assert_close(torch_video(got), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 16, 61])
@pytest.mark.parametrize("frames", [1, 2, 7, 30, 33, 64])
def test_subsampling_takes_torchvisions_frames(count: int, frames: int) -> None:
    video = torch.arange(frames, dtype=torch.float32).view(1, frames, 1, 1, 1).expand(2, -1, 3, 2, 2)
    out = T.UniformTemporalSubsample(count)(torch_video(video))
    assert isinstance(out, tv_tensors.Video)
    assert torch.equal(out, v2.UniformTemporalSubsample(count)(torch_video(video)))
    assert torch.equal(out, tvf.uniform_temporal_subsample(torch_video(video), count))


def test_labels_of_frames_are_subsampled_with_them() -> None:
    batch = labelled().replace(boxes=labelled().boxes[:, 0], box_labels=labelled().box_labels[:, 0])
    out = Compose([T.UniformTemporalSubsample(2), T.RandomHorizontalFlip(p=1.0)])(batch)
    kept = torch.tensor([0, FRAMES - 1])
    assert torch.equal(out.video, batch.video[:, kept].flip(-1))
    assert torch.equal(out.mask, batch.mask[:, kept].flip(-1))
    assert torch.equal(out.visible, batch.visible[:, kept])
    assert out.boxes.shape == (CLIPS, 2, 4)  # the clip's own stay
    assert torch.equal(out.box_labels, batch.box_labels)


def test_a_compiled_subsampling_takes_the_same_frames() -> None:
    """Inductor rounds the 11 frames of 64 another way than torch does."""
    video = torch.arange(64.0).view(1, 64, 1, 1, 1).expand(1, -1, 1, 2, 2)
    chosen = Compose([T.UniformTemporalSubsample(11)])
    expected = chosen(torch_video(video))
    assert torch.equal(chosen.compile(backend="eager", options=None)(torch_video(video)), expected)


@pytest.mark.parametrize(("number", "message"), [(0, "at least 1, got 0"), (2.5, "got 2.5"), ("2", "got '2'")])
def test_wrong_numbers_of_frames_are_refused(number: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"UniformTemporalSubsample: num_samples must be a whole number.*{message}"):
        T.UniformTemporalSubsample(number)


def test_only_videos_have_frames_to_keep() -> None:
    for wrong in (torch.rand(4, 3, 8, 8), torch_video(torch.rand(0, 3, 8, 8))):
        with pytest.raises(TypeError, match="UniformTemporalSubsample: expected a video with at least one frame"):
            T.UniformTemporalSubsample(2)(wrong)


# what goes in and comes out

FLIP = T.RandomHorizontalFlip(p=1.0)


def test_single_and_batched_videos_keep_their_types() -> None:
    video = clips()
    for given in (torch_video(video), torch_video(video[0])):
        out = FLIP(given)
        assert isinstance(out, tv_tensors.Video)
        assert torch.equal(out, given.flip(-1))
    assert torch.equal(FLIP({"video": video, "fps": 25})["video"], video.flip(-1))
    assert torch.equal(FLIP(Batch(video=video)).video, video.flip(-1))


def test_a_label_that_follows_videos_is_theirs() -> None:
    out, label = T.MixUp(num_classes=4)(torch_video(clips()), torch.tensor([0, 3, 1]))
    assert isinstance(out, tv_tensors.Video)
    assert label.shape == (CLIPS, 4)
    _, label = FLIP(torch_video(clips()[0]), torch.arange(FRAMES))
    assert torch.equal(label, torch.arange(FRAMES))


def test_labels_beside_a_single_video_follow() -> None:
    batch = labelled()
    sample = {
        "video": tv_tensors.Video(batch.video[0]),
        "mask": tv_tensors.Mask(batch.mask[0, :, 0]),
        "boxes": tv_tensors.BoundingBoxes(batch.boxes[0, 0], format="XYXY", canvas_size=(HEIGHT, WIDTH)),
        "labels": batch.box_labels[0, 0],
        "keypoints": tv_tensors.KeyPoints(batch.keypoints[0], canvas_size=(HEIGHT, WIDTH)),
    }
    ours, theirs = FLIP(sample), v2.RandomHorizontalFlip(p=1.0)(sample)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert type(ours[name]) is type(value)
        torch.testing.assert_close(ours[name].as_subclass(Tensor), value.as_subclass(Tensor), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (FRAMES, HEIGHT, WIDTH), (FRAMES, 2, HEIGHT, WIDTH)])
def test_masks_beside_videos_may_be_the_clips_or_the_frames(shape: tuple[int, ...]) -> None:
    mask = torch.randint(0, 9, (CLIPS, *shape))
    for video, given in ((clips(), mask), (clips()[0], mask[0])):
        out = T.RandomVerticalFlip(p=1.0)({"video": video, "mask": given})["mask"]
        assert torch.equal(out, given.flip(-2))


def test_labels_of_the_clip_move_once() -> None:
    """(B, N, ...) beside a video: as they would beside an image."""
    batch = labelled()
    of_clip = batch.replace(
        mask=batch.mask[:, 0],
        boxes=batch.boxes[:, 0],
        box_labels=batch.box_labels[:, 0],
        keypoints=batch.keypoints[:, 0],
        visible=None,
    )
    for transform in (T.RandomRotation(40, "bilinear"), T.SanitizeKeyPoints(), T.RandomIoUCrop()):
        out = transform(of_clip)
        expected = transform(of_clip.replace(image=batch.video[:, 0], video=None))
        for name in LEADERS:
            torch.testing.assert_close(getattr(out, name), getattr(expected, name))


def test_videos_of_different_sizes_are_padded_and_keep_to_their_own_pixels() -> None:
    size = torch.tensor([[HEIGHT, WIDTH], [20, 30], [32, 11]])
    batch = Batch(video=clips(), size=size, key=labelled().key)
    out = T.RandomResizedCrop(16)(batch)
    assert out.size is None
    for i, (height, width) in enumerate(size.tolist()):
        alone = Batch(video=batch.video[i : i + 1, ..., :height, :width], key=batch.key[i : i + 1])
        torch.testing.assert_close(out.video[i : i + 1], T.RandomResizedCrop(16)(alone).video, rtol=0, atol=1)


def test_one_video_that_changes_its_size_comes_back_without_padding() -> None:
    out = T.RandomRotation((30, 30), expand=True)(torch_video(clips()[0]))
    assert out.shape == (FRAMES, 3, *tvf.rotate(clips()[0], 30, expand=True).shape[-2:])


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (1, 1)])
def test_empty_videos_and_those_of_one_frame(shape: tuple[int, int]) -> None:
    for transform in (
        Compose([T.RandomResizedCrop(8), T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.GaussianNoise()]),
        T.MixUp(),
    ):
        out = transform(torch_video(torch.rand(*shape, 3, 16, 16)))
        assert out.shape[:2] == shape


def test_a_plain_tensor_of_five_dimensions_is_a_volume() -> None:
    with pytest.raises(TypeError, match=r"expected a batch with an image or a mask, got .'volume'"):
        FLIP(torch.rand(2, 3, 4, 8, 8))


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({"video": torch.rand(3, 8, 8)}, ValueError, r"video must be \(B, T, C, H, W\) or one \(T, C, H, W\)"),
        ({"video": torch.zeros(2, 4, 3, 8, 8, dtype=torch.int64)}, TypeError, "video must be uint8 or floating point"),
        (
            {"video": torch.rand(2, 4, 3, 8, 8), "image": torch.rand(2, 3, 8, 8)},
            ValueError,
            "a video or images, got both",
        ),
        (
            {"video": torch.rand(2, 4, 3, 8, 8), "mask": torch.zeros(2, 3, 1, 8, 8)},
            ValueError,
            r"mask beside a video must be \(B, N, 8, 8\) for all frames or \(B, T, N, 8, 8\) for each, got \(2, 3, 1, 8, 8\)",
        ),
        ({"video": torch.rand(2, 4, 3, 8, 8), "mask": torch.zeros(2, 4, 9, 8)}, ValueError, "mask beside a video"),
        (
            {"video": torch.rand(2, 4, 3, 8, 8), "boxes": torch.zeros(2, 4, 5, 3)},
            ValueError,
            r"boxes beside a video must be \(B, N, 4 or 8\)",
        ),
        ({"video": torch.rand(2, 4, 3, 8, 8), "boxes": torch.zeros(2, 3, 5, 4)}, ValueError, "boxes beside a video"),
        (
            {"video": torch.rand(2, 4, 3, 8, 8), "boxes": torch.zeros(2, 4, 5, 4), "box_labels": torch.zeros(2, 5)},
            ValueError,
            r"box_labels must be \(2, 4, 5\), got \(2, 5\)",
        ),
        ([torch_video(torch.rand(4, 3, 8, 8))] * 2, ValueError, "one video a sample, got two"),
    ],
)
def test_bad_videos_are_named(inputs: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"RandomHorizontalFlip: .*{message}"):
        FLIP(inputs)


def test_keys_are_those_of_clips() -> None:
    video = torch_video(clips())
    assert torch.equal(T.RandomCrop(9)(video, keys=labelled().key), T.RandomCrop(9)(video, keys=labelled().key))
    with pytest.raises(ValueError, match=rf"keys must be int64 of shape \({CLIPS},\)"):
        T.RandomCrop(9)(video, keys=sample_keys(torch.arange(CLIPS * FRAMES)))


def test_what_mixes_moving_objects_and_counts_pixels_refuses_videos() -> None:
    with pytest.raises(TypeError, match="CopyPaste: expected images, got a video; pass its frames"):
        T.CopyPaste()(labelled())
    with pytest.raises(TypeError, match="RandomTransplantation: expected images, got a video"):
        T.RandomTransplantation(4, p=1.0)(labelled())
    with pytest.raises(TypeError, match="label_survival: expected images, got a video"):
        label_survival(FLIP, FLIP.draw(labelled()), labelled())
    with pytest.raises(ValueError, match=r"Mosaic: fill has 3 numbers, the image 12 channels \(of all frames"):
        T.Mosaic(32, fill=(0.1, 0.2, 0.3))(torch_video(clips()))


# containers


def test_params_of_clips_are_drawn_applied_described_and_taken_back() -> None:
    chain = Compose([T.RandomAffine(20, (0.1, 0.1), interpolation="bilinear"), T.RandomHorizontalFlip()])
    batch = labelled().replace(video=clips(torch.float32))
    params = chain.draw(batch)
    assert params.u.shape[0] == CLIPS
    assert params.canvas == (HEIGHT, WIDTH)
    out = chain.apply(batch, params)
    assert [record["transform"] for record in chain.describe(params, 2)] == ["RandomAffine", "RandomHorizontalFlip"]
    back = chain.inverse(out, params)
    torch.testing.assert_close(back.keypoints, batch.keypoints, rtol=0, atol=1e-3)
    gap = back.present()["video"] - clips(torch.float32)
    assert gap[..., 10:-10, 10:-10].abs().mean() < 0.03  # resampled twice
    for number in range(FRAMES):
        expected = chain.inverse(frame(out, number), params).image
        torch.testing.assert_close(back.video[:, number], expected, rtol=0, atol=1e-6)


def test_ragged_clips_are_taken_back() -> None:
    chain = Compose([T.RandomRotation(40, "bilinear", expand=True)])
    batch = Batch(video=clips(torch.float32), size=torch.tensor([[32, 36], [30, 20], [25, 36]]), key=labelled().key)
    params = chain.draw(batch)
    out = chain.apply(batch, params)
    back = chain.inverse(out, params)
    assert torch.equal(back.size, batch.size)
    for number in range(FRAMES):
        expected = chain.inverse(frame(out, number), params).image
        torch.testing.assert_close(back.video[:, number], expected, rtol=0, atol=1e-6)


def test_functions_of_batches_get_the_video_and_functions_of_images_its_frames() -> None:
    seen: list[tuple[int, ...]] = []

    def look(image: Tensor) -> Tensor:
        seen.append(tuple(image.shape))
        return image + torch.rand(())

    out = Compose([Lambda(lambda batch: batch.replace(video=batch.video / 2)), PerSample(look)])(
        torch_video(torch.zeros(CLIPS, FRAMES, 3, 8, 8))
    )
    assert seen == [(3, 8, 8)] * CLIPS * FRAMES
    shifts = out.flatten(2).mean(2)
    assert (shifts - shifts[:, :1]).abs().max() < 1e-6  # the clip's seed for each frame
    assert shifts[:, 0].std() > 1e-3


COMPILED: dict[str, Layer] = {
    "chain": Compose([T.RandomAffine(20, interpolation="bilinear"), T.ColorJitter(0.4), T.GaussianNoise(), T.CutMix()]),
    "ragged": T.RandomRotation(30, "bilinear", expand=True),
    "crop": T.RandomIoUCrop(),
    "mix": T.MixUp(num_classes=4),
    "frames": Compose([T.UniformTemporalSubsample(2), T.RandomHorizontalFlip()]),
}


@pytest.mark.parametrize("transform", COMPILED.values(), ids=COMPILED)
def test_the_graph_of_clips_is_whole_equal_to_eager_and_made_once(transform: Layer) -> None:
    batch = labelled(mask=False).replace(video=clips(torch.float32), label=torch.rand(CLIPS, 4))
    Compose([transform]).plan()
    torch._dynamo.reset()
    compiled = torch.compile(transform.play, fullgraph=True, backend="eager")
    for seed in range(2):
        params = transform.draw(batch, keys=sample_keys(torch.arange(CLIPS), seed=seed))
        with torch._dynamo.config.patch(error_on_recompile=seed > 0):
            result, expected = compiled(batch, params), transform.play(batch, params)
        for name, value in expected.present().items():
            torch.testing.assert_close(result.present()[name], value, rtol=0, atol=1e-4)


@pytest.mark.parametrize("transform", COMPILED.values(), ids=COMPILED)
def test_nothing_waits_for_the_device(transform: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchaug.image.warp.any_of", lambda values: True)  # fake numbers of the host cannot be read
    batch = labelled(mask=False).replace(label=torch.rand(CLIPS, 4))
    with FakeTensorMode(allow_non_fake_inputs=True):
        fields = {n: torch.empty(v.shape, dtype=v.dtype, device="cuda") for n, v in batch.present().items()}
        for keys in (fields["key"], torch.empty(CLIPS, dtype=torch.int64)):  # those of the host are worked out there
            assert transform(Batch(**fields), keys=keys).video.device.type == "cuda"


@pytest.mark.gpu
@pytest.mark.parametrize("transform", COMPILED.values(), ids=COMPILED)
def test_cpu_and_cuda_agree(transform: Layer) -> None:
    batch = labelled(mask=False).replace(video=clips(torch.float32), label=torch.rand(CLIPS, 4))
    transform.to("cuda")
    out = transform(batch.to("cuda"))
    transform.to("cpu")
    for name, value in transform(batch).present().items():
        torch.testing.assert_close(out.present()[name].cpu(), value, rtol=0, atol=1e-3)
