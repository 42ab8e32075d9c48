"""Transforms of pixel values, and the run that applies neighbours in one pass over float images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments
from torchaug.image.resample import (
    as_dtype,
    as_float,
    in_chunks,
    own_pixels,
    per_channel,
    stacked,
)
from torchaug.memory import Room
from torchaug.transfer import all_of, any_of, moved
from torchaug.transform import Call, Folding, Run, Sizes, Transform, WritingRun, full_precision, holds_tensors

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601), as torchvision has them."""


Planes = list[Tensor]


class Frame(NamedTuple):
    """What is known of the images that a step sees."""

    size: Sizes
    own: Tensor | None
    """(B, H, W) bool where images of different sizes are padded: True on their own pixels."""
    whole: bool
    """The images hold whole levels of 255 (they are uint8 to the caller): then torchvision's formulae for levels hold."""


class Pixels(Transform):
    """A transform of pixel values, which may look at neighbouring pixels. A concrete one writes `pixels`.

    Neighbours share one conversion to float and back; on a CPU they work on a piece of the batch that stays in cache.
    """

    together: int = 1
    """How many channels a CPU is to work on together, as far as whole images go: its kernels for convolutions take 16."""

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        """What `pixels` needs of a batch, (B, ...) each, made once: `u` is (B, uniforms), `chosen` (B,) bool.

        Where "chosen" is among them, the step is skipped for a piece of the batch in which no sample has chosen it.
        """
        return ({} if self.always else {"chosen": chosen}) | self.drawn(u, size)

    @abstractmethod
    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        """The transformed images; samples that are not chosen come out bit-equal (`pick`).

        Args:
            image: (B, C, H, W) float; in [0, 1] unless normalised before.
            numbers: from `numbers`.
            frame: sizes, and what kind of values these are.
        """

    def dtype_after(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype of what comes out, given that of what goes in."""
        return dtype

    def levels(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """Scale and shift where it only scales and shifts each channel, so that it can join a folded colour matrix."""
        return None

    def run(self, folding: Folding) -> Run:
        return PixelRun(self, folding)

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        return PixelRun(self, Folding()).apply(batch, [Call(u, chosen)])


class Pointwise(Pixels):
    """A transform of each pixel, given its place and the sample's numbers. A concrete one writes `map`.

    Compiled, neighbours are one pass over memory.
    """

    alike: bool = False
    """Whether it does the same to each value, whatever the channel and the place: then all channels are one plane to it."""

    @abstractmethod
    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        """The transformed channels; samples that are not chosen come out bit-equal (`pick_planes`).

        Args:
            planes: C tensors (B, H, W) float; in [0, 1] unless normalised before. Channels are apart so that a compiler
                keeps them in registers from one step to the next.
            numbers: from `numbers`.
            frame: sizes, and what kind of values these are.
        """

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        return torch.stack(self.map(list(image.unbind(1)), numbers, frame), 1)


def pick(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """The samples of `new` (B, ...) where `chosen` (B,), else those of `old`."""
    if all_of(chosen):
        return new
    return torch.where(chosen.view(-1, *[1] * (new.ndim - 1)), new, old)


def pick_planes(chosen: Tensor, new: Planes, old: Planes) -> Planes:
    """`pick` for each channel."""
    if all_of(chosen):
        return new
    return [pick(chosen, *planes) for planes in zip(new, old, strict=True)]


class Color(Pointwise):
    """A pointwise transform that is affine in the channels: it also writes `matrix`, so that neighbours can fold."""

    @abstractmethod
    def matrix(self, u: Tensor, channels: int) -> Tensor:
        """(B, C, 2 C + 1) on (channels, their means over the image, 1), from `u` (B, uniforms)."""


def affine(linear: Tensor, offset: Tensor) -> Tensor:
    """(B, C, 2 C + 1) of a linear map (B, C, C) and an offset (B, C), which do not look at the means."""
    return torch.cat([linear, torch.zeros_like(linear), offset[:, :, None]], 2)


class _Plan(NamedTuple):
    """What a run needs besides the image, worked out before it is looked at."""

    folded: tuple[Tensor, Tensor, Tensor] | None
    """Of the head: (B, C, 2 C + 1) on (channels, means, 1), and the bounds (1, C, 1, 1) of what comes out."""
    numbers: list[dict[str, Tensor]]
    """Of each step of the tail."""
    size: Sizes


class PixelRun(WritingRun):
    """Neighbouring steps on pixel values: one conversion to float and back, and few passes when compiled.

    With color="folded" the colour steps at its head, and the normalisation after them, are one matrix, clamped once.
    """

    def __init__(self, first: Pixels, folding: Folding) -> None:
        super().__init__([first])
        self.folding = folding

    @property
    def pixelwise(self) -> list[Pixels]:
        """The steps, all of which act on pixel values."""
        return self.steps  # type: ignore[return-value]

    @property
    def head(self) -> int:
        """How many steps at the start are one matrix."""
        if self.folding.color != "folded":
            return 0
        colors = 0
        while colors < len(self.steps) and isinstance(self.steps[colors], Color):
            colors += 1
        follows = 0 < colors < len(self.steps) and self.pixelwise[colors].levels() is not None
        return colors + follows

    def refuses(self, step: Transform) -> str | None:
        if not isinstance(step, Pixels):
            return f"{type(step).__name__} is no step on pixel values"
        if isinstance(step, Color) and self.folding.color == "folded" and not isinstance(self.steps[-1], Color):
            return f"{type(step).__name__} becomes a matrix"
        last = self.pixelwise[-1]
        if last.dtype_after(torch.float32) == torch.uint8:
            return f"{type(last).__name__} rounds to uint8"
        return None

    def summary(self) -> str:
        head, steps = self.head, self.steps
        if head == len(steps):
            return "1 pass, one matrix, clamped once"
        looking = list(dict.fromkeys(type(step).__name__ for step in steps if not isinstance(step, Pointwise)))
        colors = sum(isinstance(step, Color) for step in steps)
        text = "1 pass when compiled" + (f", besides those of {', '.join(looking)}" if looking else "")
        if head:
            return f"{text}, {head} steps in one matrix"
        return text + (f", {colors} colour step{'s' * (colors > 1)}, clamped after each" if colors else "")

    def plans_apart(self, batch: Batch) -> bool:
        return batch.size is None and not any(step.dense or holds_tensors(step) for step in self.steps)

    def apply(self, batch: Batch, calls: Sequence[Call]) -> Batch:
        image, work, dtype = self._prepared(batch, calls)
        return batch.replace(image=in_chunks(image, work, dtype, self._least(image)))

    def _least(self, image: Tensor) -> int:
        """How many images to work on at a time at least: all, where one pass over floats is all that there is to do."""
        step = self.pixelwise[0]
        light = len(self.steps) == 1 and isinstance(step, Pointwise) and (step.alike or step.levels() is not None)
        if light and image.is_floating_point():
            return len(image)
        return max(step.together for step in self.pixelwise) // max(1, image.shape[1])

    def write(self, batch: Batch, calls: Sequence[Call], room: Room) -> Batch:
        with full_precision(batch):
            _, work, dtype = self._prepared(batch, calls)
            made = work(slice(None))
            if isinstance(made, Tensor):  # which the compiler has written somewhere, or would
                return batch.replace(image=as_dtype(made, dtype))
            for place, plane in zip(room.planes, made, strict=True):
                place.copy_(as_dtype(plane, dtype))
        return batch.replace(image=None)

    def _prepared(
        self, batch: Batch, calls: Sequence[Call]
    ) -> tuple[Tensor, Callable[[slice], Tensor | Planes], torch.dtype]:
        """The images, what makes float images of some of them, and the dtype that comes out."""
        image, own, size = _image_of(batch, self.steps[0], calls[0].u)
        head, tail = self.head, self.pixelwise[self.head :]
        folded = self._folded(image.shape[1], calls[:head]) if head else None
        made = [step.numbers(*call, size) for step, call in zip(tail, calls[head:], strict=True)]
        if torch.compiler.is_compiling() and image.device.type == "cpu":
            made = _worked_out(made)
        plan = _Plan(folded, made, size)
        folded, numbers, size = plan if calls[0].u.device == image.device else moved(plan, image.device)
        matrix = None if folded is None else _with_means(folded[0], image, own)
        dtypes = [_dtype_after(self.pixelwise[:i], image.dtype) for i in range(head, len(self.steps) + 1)]

        def work(rows: slice) -> Tensor | Planes:
            part, mine = size.rows(rows), None if own is None else own[rows]
            real = as_float(image[rows])
            if folded is not None and matrix is not None:
                real = apply_matrix(real, matrix[rows]).clamp_(*folded[1:])
            planes: Tensor | Planes = real
            for step, values, dtype in zip(tail, numbers, dtypes[:-1], strict=True):
                frame = Frame(part, mine, dtype == torch.uint8)
                planes = _step(step, planes, {name: value[rows] for name, value in values.items()}, frame)
            return planes

        return image, work, dtypes[-1]

    def _folded(self, channels: int, calls: Sequence[Call]) -> tuple[Tensor, Tensor, Tensor]:
        """The head as one map and its bounds: see `_Plan`."""
        like = calls[0].u
        eye = torch.eye(2 * channels + 1, device=like.device, dtype=like.dtype)
        low, high, total = like.new_zeros(1, channels, 1, 1), like.new_ones(1, channels, 1, 1), eye
        for step, (u, chosen) in zip(self.pixelwise, calls, strict=False):
            if isinstance(step, Color):
                total = torch.where(chosen[:, None, None], _with_its_means(step.matrix(u, channels)), eye) @ total
            elif (levels := levels_of(step, channels)) is not None:
                scale, shift = (per_channel(values, like) for values in levels)
                low, high = low * scale + shift, high * scale + shift
                total = _with_its_means(affine(scale.flatten().diag()[None], shift.view(1, channels))) @ total
        return total[:, :channels], low, high


def _with_its_means(m: Tensor) -> Tensor:
    """A map (B, C, 2 C + 1) to the channels, as one to (channels, means, 1): (B, 2 C + 1, 2 C + 1).

    The mean of an affine map is the affine map of the mean, so one reduction serves a whole run.
    """
    channels = m.shape[1]
    linear, of_mean, offset = m.split([channels, channels, 1], 2)
    means = torch.cat([torch.zeros_like(linear), linear + of_mean, offset], 2)
    last = F.pad(torch.zeros_like(m[:, :1, :-1]), (0, 1), value=1.0)
    return torch.cat([m, means, last], 1)


def _with_means(m: Tensor, image: Tensor, own: Tensor | None) -> Tensor:
    """(B, C, C + 1) on (channels, 1), of a map (B, C, 2 C + 1) and the images whose means it looks at."""
    mine: Callable[[slice], Tensor | None] = (lambda rows: None) if own is None else own.__getitem__
    mean = in_chunks(image, lambda rows: channel_means(image[rows], mine(rows)))
    linear, of_mean, offset = m.split([m.shape[1], m.shape[1], 1], 2)
    return torch.cat([linear, torch.baddbmm(offset, of_mean, mean[:, :, None])], 2)


def _worked_out(numbers: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Numbers as they are, but joined: a compiler would else work them out again for each few pixels of its loop."""
    small = [(i, n) for i, step in enumerate(numbers) for n, v in step.items() if v.dtype == torch.float32 and v.ndim]
    if not small:
        return numbers
    flat = [v.flatten(1) if v.ndim > 1 else v[:, None] for v in (numbers[i][name] for i, name in small)]
    joined, start = torch.cat(flat, 1), 0
    kept = [dict(step) for step in numbers]
    for (i, name), part in zip(small, flat, strict=True):
        kept[i][name] = joined.narrow(1, start, part.shape[1]).reshape(numbers[i][name].shape)
        start += part.shape[1]
    return kept


def levels_of(step: Pixels, channels: int) -> tuple[Sequence[float], ...] | None:
    """A step's `levels`, one for each channel."""
    levels = step.levels()
    if levels is None:
        return None
    return tuple(arguments.colored(values, channels, type(step).__name__, "mean") for values in levels)


def _step(step: Pixels, planes: Tensor | Planes, numbers: dict[str, Tensor], frame: Frame) -> Tensor | Planes:
    """One step of a run; channels stay apart between pointwise steps."""
    if "chosen" in numbers and not any_of(numbers["chosen"]):
        return planes
    levels = levels_of(step, planes.shape[1]) if isinstance(planes, Tensor) else None
    if isinstance(planes, Tensor) and levels is not None:
        scale, shift = (per_channel(values, planes) for values in levels)
        if not torch.compiler.is_compiling():
            return torch.addcmul(shift, planes, scale)  # one pass, where channels apart would be three
        # compiled, by rows: so it joins the loop of a blur before it, whose rows know no channels
        scale, shift = (values.expand(-1, -1, planes.shape[2], 1).flatten(1, 2) for values in (scale, shift))
        return torch.addcmul(shift, planes.flatten(1, 2), scale).view(planes.shape)
    if isinstance(step, Pointwise) and step.alike and isinstance(planes, Tensor) and planes.is_contiguous():
        return step.map([planes.flatten(1, 2)], numbers, frame)[0].view(planes.shape)
    if isinstance(step, Pointwise):
        return step.map(list(planes.unbind(1)) if isinstance(planes, Tensor) else planes, numbers, frame)
    return step.pixels(stacked(planes), numbers, frame)


def _image_of(batch: Batch, step: Transform, like: Tensor) -> tuple[Tensor, Tensor | None, Sizes]:
    image = batch.image
    if image is None:
        raise TypeError(f"{type(step).__name__}: expected a batch with an image, got {[*batch.present()]}")
    own = None if batch.size is None else own_pixels(image, batch.size)[:, 0]
    return image, own, Sizes.of((image.shape[-2], image.shape[-1]), batch.size, like)


def _dtype_after(steps: Sequence[Pixels], dtype: torch.dtype) -> torch.dtype:
    for step in steps:
        dtype = step.dtype_after(dtype)
    return dtype


def apply_matrix(image: Tensor, matrix: Tensor) -> Tensor:
    """An affine map (B, C, C + 1) of the channels of an image (B, C, H, W)."""
    matrix = matrix.to(image.dtype)
    linear, offset = matrix[:, :, :-1], matrix[:, :, -1:]
    if torch.compiler.is_compiling():  # written out, it fuses with its neighbours; a matrix product does not
        planes = [linear[:, :, c, None, None] * image[:, c : c + 1] for c in range(image.shape[1])]
        return sum(planes, start=offset[..., None])
    with torch.autocast(image.device.type, enabled=False):
        return torch.baddbmm(offset, linear, image.flatten(2)).view(image.shape)


def channel_means(image: Tensor, own: Tensor | None) -> Tensor:
    """(B, C) float32 means over each image's own pixels, on [0, 1] for uint8."""
    if own is None and image.dtype == torch.uint8:
        return image.mean((2, 3), dtype=torch.float32) * (1 / 255)
    if own is None:
        return image.mean((2, 3)).to(torch.float32)
    image = as_float(image)
    return ((image * own[:, None]).sum((2, 3)) / own.sum((1, 2)).clamp(min=1)[:, None]).to(torch.float32)


def gray(planes: Planes) -> Tensor:
    """(B, H, W): torchvision's grey value of three channels, or else the mean of the channels."""
    if len(planes) != 3:
        return planes[0] if len(planes) == 1 else torch.stack(planes).mean(0)
    red, green, blue = planes
    return red.mul(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
