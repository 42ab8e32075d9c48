"""The contract of a transform: numbers are drawn outside, `transform` is pure, neighbours fold into runs.

`Layer` is anything that can be called on data: one `Transform`, or a container of them (`torchaug.compose`).
A layer expands into a fixed list of transforms ("leaves"); each leaf owns some columns of the uniforms `u`. Containers
only gate their leaves (which samples a leaf acts on), so a per-sample choice costs no branch on data and still folds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from torchaug.batch import Batch
from torchaug.boxes import AS_IT_CAME, BoxForm, Clamping
from torchaug.clips import Clips, as_channels, as_frames, frame_draws, from_channels, from_frames, repeated
from torchaug.keys import fresh_keys, uniforms
from torchaug.memory import Room
from torchaug.packing import Plain, pack
from torchaug.signature import arguments_text
from torchaug.transfer import moved

Canvas = tuple[int, int]
"""Height and width of images. For volumes it is depth, height and width, which only their own kinds look at."""


class Call(NamedTuple):
    """What one leaf gets: its uniforms (B, uniforms) and the samples it acts on (B,) bool."""

    u: Tensor
    chosen: Tensor


@dataclass(frozen=True)
class Params:
    """What was drawn for a batch: enough to apply the same again, to invert it and to say what happened.

    Args:
        u: (B, columns) uniforms of a layer's leaves, where the keys were: numbers of the host are worked out there and
            go to the device of the batch by one copy a run, in place of hundreds of small kernels.
        canvas: height and width of the image (or mask) they were drawn for; None without one.
        size: (B, 2) sizes of the images where they differ.
        lengths: (B,) samples of the waveforms, or frames of the spectrograms; None without them.
        bins: frequencies of the spectrograms; None without them.
        channels: of the waveforms or spectrograms; None without them.
    """

    u: Tensor
    canvas: Canvas | None = None
    size: Tensor | None = None
    lengths: Tensor | None = None
    bins: int | None = None
    channels: int | None = None


_pytree.register_dataclass(Params, field_names=["u", "canvas", "size", "lengths", "bins", "channels"])


@dataclass(frozen=True)
class Folding:
    """How a Compose folds its runs.

    Args:
        geometry: "folded": neighbouring steps become one matrix and one resampling; "sequential": one resampling each.
        color: "exact": each step clamps as torchvision does; "folded": one matrix, clamped once.
        clamping: None where geometry leaves upright boxes unclamped; set by the steps of a list (`Transform.folding_after`).
    """

    geometry: Literal["folded", "sequential"] = "folded"
    color: Literal["exact", "folded"] = "exact"
    clamping: Clamping = "soft"


class Layer(nn.Module, ABC):
    """Anything that can be called on data, with torchvision v2's calling convention.

    Shape: image (B, C, H, W) or one (C, H, W) or PIL, uint8 or floating point in [0, 1]; labels as in `Batch`. A video
    (B, T, C, H, W) or one (T, C, H, W) has one key, and so one set of numbers, for all its frames.
    """

    @property
    @abstractmethod
    def columns(self) -> int:
        """Uniform numbers that one sample needs, gates included."""

    @abstractmethod
    def leaves(self) -> list[Transform]:
        """The transforms it expands into, in order."""

    @abstractmethod
    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        """What each leaf gets of `u` (B, columns), where `chosen` (B,) tells which samples come here at all."""

    @abstractmethod
    def play(self, batch: Batch, params: Params) -> Batch:
        """Apply what was drawn. Pure: draws nothing, keeps nothing, never waits for the device."""

    @property
    def box_form(self) -> BoxForm:
        """What boxes are given back as."""
        return AS_IT_CAME

    @property
    def plain(self) -> Plain:
        """What a tensor without a name is taken for: what the first of its steps takes that says so."""
        return next((leaf.takes for leaf in self.leaves() if leaf.takes != "image"), "image")

    def forward(self, *inputs: Any, keys: Tensor | None = None, generator: torch.Generator | None = None) -> Any:
        """Transform the inputs and return the same structure.

        Args:
            inputs: a tensor, PIL image, tv_tensor, `Batch`, list of images, or tuples and dicts of these; what is
                neither an image, video, sound or table nor its mask, boxes, keypoints, events or label passes through.
            keys: (B,) int64, the randomness of each sample (`torchaug.keys.sample_keys`), on the host (less work for a
                GPU) or beside the batch; by default the batch's own `key`, or else one draw from `generator`, or else
                from torch's default generator.
            generator: see `keys`.
        """
        batch, unpack = pack(inputs, type(self).__name__, self.box_form, self.plain)
        return unpack(self.play(batch, self.draw(batch, keys=keys, generator=generator)))

    def draw(self, batch: Batch, *, keys: Tensor | None = None, generator: torch.Generator | None = None) -> Params:
        """The random numbers for a batch: columns of `uniforms(keys)`, once for the whole layer."""
        if keys is None:
            keys = batch.key if batch.key is not None and generator is None else None
        if keys is None:
            keys = fresh_keys(len(batch), "cpu" if generator is None else generator.device, generator)
        elif keys.shape != (len(batch),) or keys.dtype != torch.int64:
            raise ValueError(
                f"{type(self).__name__}: keys must be int64 of shape ({len(batch)},), one per sample, got {keys.dtype} "
                f"{tuple(keys.shape)}; make them with torchaug.keys.sample_keys(ids, seed=..., epoch=...)"
            )
        sound = sound_of(batch)
        bins = None if batch.spectrogram is None else batch.spectrogram.shape[-2]
        channels = None if sound is None else sound.shape[1]
        return Params(uniforms(keys, self.columns), canvas_of(batch), batch.size, lengths_of(batch), bins, channels)

    def describe(self, params: Params, i: int) -> list[dict[str, Any]]:
        """What happened to sample i: for each leaf its name, whether it was applied, and its drawn parameters.

        Numbers are read back from the device: for people, logs and review, not for the hot path.
        """
        row = slice(i, i + 1) if i >= 0 else slice(len(params.u) + i, len(params.u) + i + 1)
        u = params.u[row]
        if len(u) != 1:
            raise IndexError(f"{type(self).__name__}.describe: sample must be below {len(params.u)}, got {i}")
        own = None if params.size is None else params.size[row].to(u.device)
        lengths = None if params.lengths is None else params.lengths[row].to(u.device)
        size = Sizes.of(params.canvas or (0, 0), own, u)._replace(
            lengths=lengths, bins=params.bins, channels=params.channels
        )
        records = []
        for leaf, (numbers, chosen) in zip(self.leaves(), self.route(u, u.new_ones(1, dtype=torch.bool)), strict=True):
            drawn = leaf.drawn(numbers, size)
            records.append(
                {"transform": type(leaf).__name__, "applied": bool(chosen)}
                | {name: value[0].tolist() for name, value in drawn.items()}
            )
            size = leaf.sizes(numbers, chosen, size)
        return records


class Sizes(NamedTuple):
    """Heights and widths of the images of a batch, (B,) float each, and the canvas (H, W) that holds them all.

    Beside waveforms or spectrograms, also their lengths (B,) int64 and number of channels; beside spectrograms their number
    of frequencies.
    """

    height: Tensor
    width: Tensor
    canvas: Canvas
    lengths: Tensor | None = None
    bins: int | None = None
    channels: int | None = None

    @staticmethod
    def of(canvas: Canvas, size: Tensor | None, like: Tensor) -> Sizes:
        """Of images that fill their canvas, or have `size` (B, 2); in the dtype of `like` (B, ...), on its device.

        Nothing is copied from the host.
        """
        if size is not None:
            height, width = size.to(like.dtype).unbind(1)
            return Sizes(height, width, canvas)
        return Sizes(like.new_full(like.shape[:1], canvas[-2]), like.new_full(like.shape[:1], canvas[-1]), canvas)

    def stacked(self) -> Tensor:
        """(B, 2) heights and widths."""
        return torch.stack([self.height, self.width], 1)

    def rows(self, rows: slice) -> Sizes:
        """Of some samples."""
        lengths = None if self.lengths is None else self.lengths[rows]
        return self._replace(height=self.height[rows], width=self.width[rows], lengths=lengths)


def canvas_of(batch: Batch) -> Canvas | None:
    """Height and width that geometry acts on, the image's or else the mask's; or depth, height and width of volumes."""
    if batch.volume is not None:
        return cast(Canvas, tuple(batch.volume.shape[2:]))
    planes = (batch.image, batch.video, batch.mask)
    plane = next((plane for plane in planes if plane is not None), None)
    return None if plane is None else (plane.shape[-2], plane.shape[-1])


def sound_of(batch: Batch) -> Tensor | None:
    """The waveform, or else the spectrogram."""
    return batch.waveform if batch.waveform is not None else batch.spectrogram


def lengths_of(batch: Batch) -> Tensor | None:
    """(B,) int64: samples of each waveform, or frames of each spectrogram; None where there is neither."""
    sound = sound_of(batch)
    if sound is None:
        return None
    if batch.lengths is not None:
        return batch.lengths.clamp(0, sound.shape[-1])
    return torch.full(sound.shape[:1], sound.shape[-1], dtype=torch.int64, device=sound.device)


def full_precision(batch: Batch) -> AbstractContextManager[object]:
    """No automatic casts: in half precision a coordinate of 300 pixels is off by one."""
    if not torch.is_autocast_enabled(batch.device.type):
        return nullcontext()
    return torch.autocast(batch.device.type, enabled=False)


class Transform(Layer):
    """One operation on a batch. A class is abstract or final: wrap a transform to change it, do not extend it.

    A kind (`Geometric`, `Color`, ...) implements `transform` once; a concrete transform writes only its own part. To write
    one from scratch, say how many `uniforms` a sample needs and implement `transform`:

    >>> class Invert(Transform):
    ...     uniforms = 0
    ...     def transform(self, batch, u, chosen):
    ...         flipped = 1 - batch.image
    ...         return batch.replace(image=torch.where(chosen[:, None, None, None], flipped, batch.image))
    >>> Invert(p=1.0)(torch.zeros(2, 3, 4, 4)).mean().item()
    1.0

    Args:
        p: chance that a sample is transformed, independent of the others.
    """

    uniforms: int = 0
    """Numbers in [0, 1) that one sample needs, besides its gate."""
    always: bool = False
    """True where it does the same in training and in evaluation and has no chance `p`: Resize, Normalize, ToDtype."""
    dense: bool = False
    """Whether it works out numbers for each pixel from what was drawn: these are made where the images are."""
    takes: Plain = "image"
    """What a tensor without a name is: a transform of tables takes a table."""
    resizes: bool = False
    """True where every image comes out with the size of `canvas_after`."""
    differentiable: Literal[0, 1, 2] = 2
    """How often what comes out can be differentiated by the input (with probability one): adversarial training needs it
    once, the gradient penalties of a GAN twice."""
    clips: Clips = "frames"
    """How it sees a video: `torchaug.clips.Clips`."""
    fresh: slice | None = None
    """The columns of `u`, two or more, that each frame of a video draws anew: those that seed the noise of a sensor."""

    def __init__(self, p: float = 1.0) -> None:
        super().__init__()
        self.p = probability(p, type(self).__name__)

    @abstractmethod
    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        """Transform the `chosen` (B,) samples of a batch with the numbers `u` (B, uniforms).

        Pure: draws nothing, stores nothing, writes to no input, never waits for the device.
        """

    def apply(self, batch: Any, u: Tensor | None = None, chosen: Tensor | None = None) -> Any:
        """`transform`, called from outside; with a function alone it is `nn.Module.apply`.

        A model that holds a transform and calls `model.apply(init_weights)` reaches it here.
        """
        if u is None or chosen is None:
            return super().apply(batch)
        return seen([self], lambda images, calls: self.transform(images, *calls[0]), batch, [Call(u, chosen)])

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        """The drawn parameters by name, (B, ...) each, from `u` (B, uniforms) and the images' sizes."""
        return {}

    def extra_repr(self) -> str:
        return arguments_text(self)

    @property
    def acts(self) -> bool:
        """Whether it does anything: in evaluation a random transform that keeps the size does not."""
        return self.training or self.always or self.resizes

    def canvas_after(self, canvas: Canvas) -> Canvas:
        """Height and width of what comes out. Known from constructors and shapes alone, never from values."""
        return canvas

    def sizes(self, u: Tensor, chosen: Tensor, size: Sizes) -> Sizes:
        """Height and width of each image that comes out, on a canvas of `canvas_after`."""
        return Sizes.of(self.canvas_after(size.canvas), None, size.height) if self.resizes else size

    def uneven(self, canvas: Canvas) -> bool:
        """Whether images of one size come out in different sizes, padded at the right and the bottom."""
        return False

    def run(self, folding: Folding) -> Run:
        """A new run that starts with this transform; neighbours may join it."""
        return Alone(self)

    def folding_after(self, before: Folding) -> Folding:
        """How the runs after it fold, given how those before it do."""
        return before

    @property
    def columns(self) -> int:
        return 0 if self.always else 1 + self.uniforms

    def leaves(self) -> list[Transform]:
        return [self]

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        if self.always:
            return [Call(u, chosen)]
        if not self.training:
            return [Call(u[:, 1:], torch.zeros_like(chosen))]
        return [Call(u[:, 1:], chosen if self.p == 1 else chosen & (u[:, 0] < self.p))]

    def play(self, batch: Batch, params: Params) -> Batch:
        if not self.acts:
            return batch
        (call,) = self.route(params.u, params.u.new_ones(len(params.u), dtype=torch.bool))
        return self.run(Folding()).play(batch, [call])


def seen(
    steps: Sequence[Transform], apply: Callable[[Batch, Sequence[Call]], Batch], batch: Batch, calls: Sequence[Call]
) -> Batch:
    """`apply` of a batch and calls of `steps`; of a video as these see it (`Transform.clips`), and put together again."""
    way = steps[0].clips
    if batch.video is None or way == "whole":
        return apply(batch, calls)
    if way == "refused":
        raise TypeError(
            f"{type(steps[0]).__name__}: expected images, got a video; pass its frames as a batch of images"
        )
    if way == "channels":
        return from_channels(apply(as_channels(batch), calls), batch)
    frames, images = batch.video.shape[1], as_frames(batch)
    calls = [
        Call(frame_draws(call.u, frames, step.fresh), repeated(call.chosen, frames))
        for step, call in zip(steps, calls, strict=True)
    ]
    return from_frames(apply(images, calls), images, batch)


@dataclass
class Run(ABC):
    """Neighbouring transforms that are applied together."""

    steps: list[Transform]
    ended: str = field(default="end of the list", init=False)
    """Why the run ended, for `explain`."""

    def play(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        """`apply`, in full precision whatever torch.autocast says, with what was drawn elsewhere taken to the batch."""
        with full_precision(batch):
            return seen(self.steps, self.apply_there, batch, calls)

    def apply_there(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        """`apply`, with what was drawn elsewhere taken to the batch."""
        here = calls[0].u.device == batch.device or self.plans_apart(batch)
        return self.apply(batch, calls if here else moved(list(calls), batch.device))

    def plans_apart(self, batch: Batch) -> bool:
        """Whether `apply` takes calls on another device than the batch's, and moves only what it works out of them."""
        return False

    def play_back(self, batch: Batch, calls: Sequence[Call], canvas: Canvas, size: Tensor | None) -> Batch:
        """`undo`, in full precision; of a video frame by frame."""

        def undo(images: Batch, calls: Sequence[Call]) -> Batch:
            before = size
            if before is not None and len(calls[0].u) != len(before):
                before = repeated(before, len(calls[0].u) // len(before))
            return self.undo(images, calls, canvas, before)

        with full_precision(batch):
            return seen(self.steps, undo, batch, calls)

    @abstractmethod
    def refuses(self, step: Transform) -> str | None:
        """None where the next step may join, or else why not."""

    @abstractmethod
    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        """Apply all steps at once. Pure."""

    def undo(self, batch: Batch, calls: Sequence[Call], canvas: Canvas, size: Tensor | None) -> Batch:
        """Take a batch back through the run's geometry, to the canvas and sizes (B, 2) that it started from."""
        return batch

    @abstractmethod
    def summary(self) -> str:
        """What it costs, in words."""


class WritingRun(Run):
    """A run that can put the images that come out where it is told."""

    @abstractmethod
    def write(self, batch: Batch, calls: Sequence[Call], room: Room) -> Batch:
        """`play`, with the images written to `room`, and then not in the batch; or, as they come, in the batch."""


class Alone(Run):
    """A step that folds with nothing."""

    def __init__(self, step: Transform) -> None:
        super().__init__([step])

    def refuses(self, step: Transform) -> str | None:
        return f"{type(self.steps[0]).__name__} folds with nothing"

    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        return self.steps[0].transform(batch, *calls[0])

    def summary(self) -> str:
        return "a step of its own"


def holds_tensors(step: Transform) -> bool:
    """Whether it has tensors of its own, which are on the device that it was taken to."""
    return next(step.buffers(), None) is not None or next(step.parameters(), None) is not None


def plan(leaves: Sequence[Transform], folding: Folding) -> list[Run]:
    """Neighbouring leaves grouped into runs."""
    runs: list[Run] = []
    for leaf in leaves:
        reason = runs[-1].refuses(leaf) if runs else None
        if runs and reason is None:
            runs[-1].steps.append(leaf)
        else:
            if runs:
                runs[-1].ended = reason or ""
            runs.append(leaf.run(folding))
        folding = leaf.folding_after(folding)
    return runs


def probability(p: float, who: str) -> float:
    """`p` itself, or an error where it is none."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ValueError(f"{who}: p must be a chance in [0, 1], got {p!r}")
    return float(p)
