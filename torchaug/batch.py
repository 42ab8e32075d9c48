"""What one training step sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.utils import _pytree


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
        box_weights: (B, N) of each box in the loss; 0 where there is none.
        keypoints: (B, N, 2) x, y in pixels.
        visible: (B, N) bool, which keypoints can be seen.
        waveform: (B, C, T) floating point, in [-1, 1] as files have it.
        spectrogram: (B, C, F, T) floating point: F frequencies, T frames.
        lengths: (B,) int64, samples of each waveform or frames of each spectrogram; what lies behind is padding.
        events: (B, N, 2) floating point begin and end in samples (frames beside a spectrogram); an event without duration is
            none. event_labels: (B, N) whole numbers, the class of each event; -1 where there is none.
        instants: (B, N) floating point, in samples: beats, borders of phones; NaN where there is none.
        frame_labels: (B, N, ...) labels of N equal parts of the padded sound, one after the other.
        tokens: (B, L).
        table: (B, F + K) float32 or float64: F numbers, NaN where missing, and then K codes of categories.
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
    box_weights: Tensor | None = None
    keypoints: Tensor | None = None
    visible: Tensor | None = None
    waveform: Tensor | None = None
    spectrogram: Tensor | None = None
    lengths: Tensor | None = None
    events: Tensor | None = None
    event_labels: Tensor | None = None
    instants: Tensor | None = None
    frame_labels: Tensor | None = None
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
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}

    def __len__(self) -> int:
        return self._any().shape[0]

    @property
    def device(self) -> torch.device:
        """Where the batch is."""
        return self._any().device

    def _any(self) -> Tensor:
        value: Tensor | None
        for name in FIELDS:  # vars(self) is more than torch 2.11 compiles
            value = getattr(self, name)
            if value is not None:
                return value
        raise ValueError("Batch: expected at least one field, got none; pass image=, waveform=, tokens= or table=")

    def replace(self, **changes: Tensor | None) -> Batch:
        """A copy with some fields changed."""
        return Batch(**{**self.present(), **changes})

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
        if self.table is not None:
            _check_table(self.table, who)
        if self.waveform is not None or self.spectrogram is not None:
            _check_sound(self, who)
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

    @staticmethod
    def from_waveforms(waveforms: Sequence[Tensor]) -> Batch:
        """One batch of waveforms (C, T) or (T,) of different lengths: padded with zeros at the end.

        >>> batch = Batch.from_waveforms([torch.rand(1, 300), torch.rand(1, 200)])
        >>> batch.waveform.shape, batch.lengths.tolist()
        (torch.Size([2, 1, 300]), [300, 200])
        """
        if not waveforms:
            raise ValueError("Batch.from_waveforms: expected at least one waveform, got none")
        waveforms = [waveform[None] if waveform.ndim == 1 else waveform for waveform in waveforms]
        first = waveforms[0]
        for i, waveform in enumerate(waveforms):
            if waveform.ndim != 2 or waveform.shape[0] != first.shape[0] or waveform.dtype != first.dtype:
                raise ValueError(
                    "Batch.from_waveforms: waveforms must be (C, T) or (T,) of one dtype and channel count, got "
                    f"{waveform.dtype} {tuple(waveform.shape)} at {i} beside {first.dtype} {tuple(first.shape)} at 0"
                )
        lengths = [waveform.shape[1] for waveform in waveforms]
        stacked = first.new_zeros(len(waveforms), first.shape[0], max(lengths))
        for row, waveform in zip(stacked, waveforms, strict=True):
            row[:, : waveform.shape[1]] = waveform
        return Batch(waveform=stacked, lengths=torch.tensor(lengths, device=first.device))


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


def _check_sound(batch: Batch, who: str) -> None:
    if batch.waveform is not None and batch.spectrogram is not None:
        raise ValueError(f"{who}: expected a waveform or a spectrogram, got both, whose lengths would differ")
    name, sound, shape = (
        ("waveform", batch.waveform, "(B, C, T), or one (C, T) or (T,)")
        if batch.spectrogram is None
        else ("spectrogram", batch.spectrogram, "(B, C, F, T) or (B, F, T), or one (F, T)")
    )
    assert sound is not None
    if sound.ndim != (3 if name == "waveform" else 4):
        raise ValueError(f"{who}: {name} must be {shape}, got {tuple(sound.shape)}")
    if not sound.is_floating_point():
        raise TypeError(f"{who}: {name} must be floating point, got {sound.dtype}; divide 16-bit samples by 32768")
    if batch.lengths is not None:
        _check_lengths(batch.lengths, sound, who)
    ends = {"events": ("(B, N, 2)", 3), "instants": ("(B, N)", 2)}
    for name, (shape, rank) in ends.items():
        value = getattr(batch, name)
        wrong = value is not None and (value.ndim != rank or (name == "events" and value.shape[2] != 2))
        if value is not None and (wrong or not value.is_floating_point()):
            raise ValueError(f"{who}: {name} must be {shape} floating point, got {value.dtype} {tuple(value.shape)}")


def _check_lengths(lengths: Tensor, sound: Tensor, who: str) -> None:
    """Values are looked at where that waits for nothing: on the host. On a GPU lengths above T count as T."""
    if lengths.shape != sound.shape[:1] or lengths.dtype != torch.int64:
        raise ValueError(
            f"{who}: lengths must be int64 ({len(sound)},), one for each sound, got {lengths.dtype} {tuple(lengths.shape)}"
        )
    if lengths.device.type == "cpu" and len(lengths):
        low, high = (int(end) for end in lengths.aminmax())
        if low < 0 or high > sound.shape[-1]:
            raise ValueError(
                f"{who}: lengths must be from 0 to {sound.shape[-1]}, the samples there are, got {lengths.tolist()}"
            )


def _check_table(table: Tensor, who: str) -> None:
    if table.ndim != 2:
        raise ValueError(f"{who}: table must be (B, columns) or one row (columns,), got {tuple(table.shape)}")
    if table.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{who}: table must be float32 or float64, which hold codes of categories exactly, got {table.dtype}; convert it "
            "with table.float()"
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
    for name, of in (("box_labels", batch.boxes), ("box_weights", batch.boxes), ("visible", batch.keypoints)):
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
