"""Containers: they draw once for all their transforms, gate them per sample, fold neighbours and show their plan."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from torchaug.batch import Batch
from torchaug.boxes import AS_IT_CAME, BoxForm
from torchaug.foreign import Foreign, PerSample
from torchaug.keys import choice, permutation
from torchaug.memory import Room
from torchaug.transfer import moved
from torchaug.transform import (
    Call,
    Folding,
    Layer,
    Params,
    Run,
    Sizes,
    Transform,
    WritingRun,
    plan,
    probability,
)


class Container(Layer):
    """A layer made of layers, applied by one plan of folded runs."""

    folding = Folding()

    def __init__(self, transforms: Sequence[Layer | Callable[..., Any]]) -> None:
        super().__init__()
        if not isinstance(transforms, (list, tuple, nn.ModuleList)):
            raise TypeError(f"{type(self).__name__}: transforms must be a list, got {type(transforms).__name__}")
        for i, item in enumerate(transforms):
            if not callable(item):
                raise TypeError(f"{type(self).__name__}: transforms must be callable, got {item!r} at {i}")
        self.transforms = nn.ModuleList(item if isinstance(item, Layer) else PerSample(item) for item in transforms)
        self._runs: tuple[list[Transform], list[Run]] | None = None
        self._results: dict[tuple[torch.Size, torch.dtype], tuple[torch.Size, torch.dtype]] = {}
        self._compiled: Callable[[Batch, Params], Batch] | None = None

    @property
    def children_columns(self) -> list[int]:
        """Columns of each child."""
        return [child.columns for child in self._layers()]

    def _layers(self) -> list[Layer]:
        return list(self.transforms)  # type: ignore[arg-type]

    def leaves(self) -> list[Transform]:
        return [leaf for child in self._layers() for leaf in child.leaves()]

    @property
    def box_form(self) -> BoxForm:
        for child in self._layers():
            if child.box_form != AS_IT_CAME:
                raise ValueError(
                    f"{type(self).__name__}: steps that set the form of boxes must stand in a Compose, since a batch has one "
                    f"for all samples, got {type(child).__name__}"
                )
        return AS_IT_CAME

    def runs(self) -> list[Run]:
        """The plan: neighbouring leaves grouped into runs. Made anew where the leaves changed."""
        leaves = [leaf for leaf in self.leaves() if leaf.acts]
        if self._runs is None or not _same(self._runs[0], leaves):
            self._runs, self._results = (leaves, plan(leaves, self.folding)), {}
        return self._runs[1]

    def plan(self) -> None:
        """Plan its own runs and those of containers inside its steps (AugMix has one).

        Called before a graph is made: a plan made inside it would hold for the first call alone.
        """
        for module in self.modules():
            if isinstance(module, Container):
                module.runs()

    def play(self, batch: Batch, params: Params) -> Batch:
        if self._compiled is not None:
            return self._compiled(batch, params)
        return self._play(batch, params.u)

    def _play(self, batch: Batch, u: Tensor, room: Room | None = None) -> Batch:
        """The batch after all runs; where there is `room` for its images, they are there and not in the batch."""
        calls = self._calls(u)
        for run in self.runs():
            mine, calls = calls[: len(run.steps)], calls[len(run.steps) :]
            if room is not None and not calls and isinstance(run, WritingRun):
                batch = run.write(batch, mine, room)
            else:
                batch = run.play(batch, mine)
        return batch

    def _calls(self, u: Tensor) -> list[Call]:
        """What each leaf of the plan gets."""
        calls = self.route(u, u.new_ones(len(u), dtype=torch.bool))
        return [call for leaf, call in zip(self.leaves(), calls, strict=True) if leaf.acts]

    def apply(self, batch: Any, params: Params | None = None) -> Any:
        """Apply what `draw` gave: the same batch and the same params always give the same result.

        >>> from torchaug.image import RandomHorizontalFlip
        >>> flip, batch = Compose([RandomHorizontalFlip()]), Batch(image=torch.rand(4, 3, 8, 8))
        >>> params = flip.draw(batch)
        >>> torch.equal(flip.apply(batch, params).image, flip.apply(batch, params).image)
        True
        """
        if params is None:
            return super().apply(batch)  # nn.Module.apply(function), as model.apply(init_weights) calls it
        batch.check(type(self).__name__)
        if params.u.shape != (len(batch), self.columns):
            raise ValueError(
                f"{type(self).__name__}.apply: params must have u of shape ({len(batch)}, {self.columns}) for this "
                f"batch, got {tuple(params.u.shape)}; draw them with this object's draw(batch)"
            )
        return self.play(batch, params)

    def inverse(self, batch: Batch, params: Params) -> Batch:
        """Take a batch back through the geometry that `params` describe: test-time augmentation.

        Images, masks, boxes and keypoints (of a model's prediction, say) on the transformed canvas come back to the
        original one, with one resampling; what was cropped away is filled with 0. Colour, noise and erasing stay.

        >>> from torchaug.image import RandomHorizontalFlip
        >>> flip, batch = Compose([RandomHorizontalFlip()]), Batch(image=torch.rand(4, 3, 8, 8))
        >>> params = flip.draw(batch)
        >>> torch.equal(flip.inverse(flip.apply(batch, params), params).image, batch.image)
        True
        """
        batch.check(f"{type(self).__name__}.inverse")
        if params.canvas is None:
            raise ValueError(f"{type(self).__name__}.inverse: params must come from a batch with an image or a mask")
        calls = self._calls(moved(params.u, batch.device))
        canvas, size, stages = params.canvas, params.size, []
        for run in self.runs():
            mine, calls = calls[: len(run.steps)], calls[len(run.steps) :]
            stages.append((run, mine, canvas, size))
            for step, call in zip(run.steps, mine, strict=True):
                canvas, size = _after(step, call, canvas, size)
        for stage in reversed(stages):
            batch = stage[0].play_back(batch, *stage[1:])
        return batch

    def explain(self) -> str:
        """The plan in words: each run, its cost, and why it ended."""
        steps = sum(len(run.steps) for run in self.runs())
        lines = [f"{type(self).__name__}: {steps} steps in {len(self.runs())} runs"]
        for i, run in enumerate(self.runs(), 1):
            names = " + ".join(type(step).__name__ for step in run.steps)
            lines.append(f"{i}. {names}: {run.summary()}; ended: {run.ended}")
        return "\n".join(lines)

    def compile(self, **options: Any) -> Container:  # type: ignore[override]
        """Compile the pure part with `torch.compile` and return the container itself.

        The graph is whole (`fullgraph=True`) unless a foreign callable is among the steps. Compilation happens at the
        first call. Where no compiler is found there is one warning, and the container goes on uncompiled.

        Args:
            options: passed to `torch.compile`.
        """
        opaque = any(leaf.opaque for leaf in self.leaves() if isinstance(leaf, Foreign))
        settings: dict[str, Any] = {"fullgraph": not opaque, "options": _INDUCTOR} | options
        compiled: Callable[[Batch, Tensor, Room | None], Batch] = torch.compile(_own_code(self._play), **settings)

        def play(batch: Batch, params: Params) -> Batch:
            self.plan()
            try:
                room = None if opaque else self._room(batch, params.u)
                result = compiled(batch, moved(params.u, batch.device), room)
                return result if room is None or result.image is not None else result.replace(image=room.whole)
            except Exception as error:
                if not _compiler_is_missing(error):
                    raise
                warnings.warn(
                    f"{type(self).__name__}.compile: no working compiler was found, running uncompiled "
                    f"({type(error).__name__}); install g++ or clang for a CPU, or triton for a GPU",
                    RuntimeWarning,
                    stacklevel=2,
                )
                self._compiled = None
                return self.play(batch, params)

        self._compiled = play
        return self

    def _room(self, batch: Batch, u: Tensor) -> Room | None:
        """Memory of ours for the images that come out on a CPU, where the last run can write to it.

        Its shape is what one sample shows, uncompiled, the first time that there are images of this shape.
        """
        image, runs = batch.image, self.runs()
        if image is None or image.device.type != "cpu" or not len(image) or not runs:
            return None
        if not isinstance(runs[-1], WritingRun) or (image.requires_grad and torch.is_grad_enabled()):
            return None
        kind = image.shape[1:], image.dtype
        if kind not in self._results:
            one = self._play(batch[:1], u[:1]).present()["image"]
            self._results[kind] = one.shape[1:], one.dtype
        shape, dtype = self._results[kind]
        return Room.of((len(image), *shape), dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled code and the plan, which are made again where they are needed."""
        return self.__dict__ | {"_compiled": None, "_runs": None, "_results": {}}


def _own_code(method: Any) -> Any:
    """The method with a code object of its own.

    torch.compile counts recompilations by code object: all containers of a process would share one limit of eight.
    """
    function = method.__func__
    code = function.__code__.replace(co_name="_play_compiled")
    return types.MethodType(types.FunctionType(code, function.__globals__, "_play_compiled"), method.__self__)


_INDUCTOR = {"cpp.enable_floating_point_contract_flag": "fast"}
"""On a CPU, multiply and add in one instruction, as a GPU does."""


def _same(before: list[Transform], now: list[Transform]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


def _compiler_is_missing(error: BaseException) -> bool:
    """Whether torch.compile failed for want of a C++ compiler or of triton, however deep it says so."""
    names = {"InvalidCxxCompiler", "TritonMissing"}
    while True:
        if type(error).__name__ in names or any(name in str(error) for name in names):
            return True
        following = error.__cause__ or error.__context__
        if following is None:
            return False
        error = following


def _after(
    step: Transform, call: Call, canvas: tuple[int, int], size: Tensor | None
) -> tuple[tuple[int, int], Tensor | None]:
    """The canvas and the sizes (B, 2) of images, None where they fill it, after a step."""
    uneven = size is not None or step.uneven(canvas)
    after = step.sizes(*call, Sizes.of(canvas, size, call.u))
    return step.canvas_after(canvas), after.stacked().to(torch.int64) if uneven and not step.resizes else None


class Compose(Container):
    """Apply transforms one after the other, as one plan.

    Args:
        transforms: ours, containers of ours, or any callable, which is applied sample by sample (`PerSample`).
        geometry: "folded" (default): a run of geometric steps becomes one matrix and one resampling, sharper and
            faster than resampling again and again, and a crop after a rotation still sees what lies outside earlier
            crops; "sequential": one resampling per step, as torchvision does.
        color: "exact" (default): torchvision's order of colour steps, clamped between them, hue in HSV; "folded": one
            matrix, clamped once, hue about the grey axis, for speed.

    >>> from torchaug.image import ColorJitter, Normalize, RandomHorizontalFlip, RandomResizedCrop
    >>> augment = Compose([RandomResizedCrop(32), RandomHorizontalFlip(), ColorJitter(0.4, 0.4, 0.4, 0.1)])
    >>> augment(torch.randint(0, 256, (8, 3, 64, 48), dtype=torch.uint8)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        transforms: Sequence[Layer | Callable[..., Any]],
        *,
        geometry: Literal["folded", "sequential"] = "folded",
        color: Literal["exact", "folded"] = "exact",
    ) -> None:
        if geometry not in ("folded", "sequential"):
            raise ValueError(f"Compose: geometry must be 'folded' or 'sequential', got {geometry!r}")
        if color not in ("exact", "folded"):
            raise ValueError(f"Compose: color must be 'exact' or 'folded', got {color!r}")
        super().__init__(transforms)
        self.geometry, self.color = geometry, color
        self.folding = Folding(geometry, color)

    @property
    def columns(self) -> int:
        return sum(self.children_columns)

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        parts = u.split(self.children_columns, dim=1)
        return [call for child, part in zip(self._layers(), parts, strict=True) for call in child.route(part, chosen)]

    @property
    def box_form(self) -> BoxForm:
        form = AS_IT_CAME
        for child in self._layers():
            form = form.then(child.box_form)
        return form


class RandomApply(Container):
    """Apply all of the transforms, in order, with chance `p` per sample.

    Args:
        transforms: see `Compose`.
        p: chance, one draw per sample for all of them together.

    >>> from torchaug.image import ColorJitter
    >>> RandomApply([ColorJitter(0.4)], p=0.8)(torch.rand(4, 3, 8, 8)).shape
    torch.Size([4, 3, 8, 8])
    """

    def __init__(self, transforms: Sequence[Layer | Callable[..., Any]], p: float = 0.5) -> None:
        super().__init__(transforms)
        self.p = probability(p, "RandomApply")

    @property
    def columns(self) -> int:
        return 1 + sum(self.children_columns)

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        gate = chosen & (u[:, 0] < self.p) if self.training else torch.zeros_like(chosen)
        parts = u[:, 1:].split(self.children_columns, dim=1)
        return [call for child, part in zip(self._layers(), parts, strict=True) for call in child.route(part, gate)]


class SomeOf(Container):
    """Apply `n` of the transforms, chosen per sample without replacement, in the order of the list.

    All of them are computed for the whole batch and gated, without a branch on data.

    Args:
        transforms: see `Compose`.
        n: how many, at most as many as there are.
        p: chance that a sample is transformed at all.

    >>> from torchaug.image import GaussianNoise, RandomGrayscale, RandomHorizontalFlip
    >>> SomeOf([RandomHorizontalFlip(p=1.0), RandomGrayscale(p=1.0), GaussianNoise()], n=2)(torch.rand(4, 3, 8, 8)).shape
    torch.Size([4, 3, 8, 8])
    """

    def __init__(self, transforms: Sequence[Layer | Callable[..., Any]], n: int, p: float = 1.0) -> None:
        super().__init__(transforms)
        if not 1 <= n <= len(self.transforms):
            raise ValueError(f"SomeOf: n must be from 1 to the {len(self.transforms)} transforms given, got {n}")
        self.n, self.p = n, probability(p, "SomeOf")

    @property
    def columns(self) -> int:
        return 1 + len(self.transforms) + sum(self.children_columns)

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        count = len(self.transforms)
        gate = chosen & (u[:, 0] < self.p) if self.training else torch.zeros_like(chosen)
        rank = permutation(u[:, 1 : 1 + count])  # a random permutation is as good a ranking as its inverse
        parts = u[:, 1 + count :].split(self.children_columns, dim=1)
        return [
            call
            for i, (child, part) in enumerate(zip(self._layers(), parts, strict=True))
            for call in child.route(part, gate & (rank[:, i] < self.n))
        ]


class OneOf(Container):
    """Apply one of the transforms, chosen per sample.

    All of them are computed for the whole batch and gated, without a branch on data.

    Args:
        transforms: see `Compose`.
        weights: chance of each, up to a common factor; equal by default.
        p: chance that a sample is transformed at all.

    >>> from torchaug.image import GaussianNoise, RandomErasing
    >>> OneOf([GaussianNoise(), RandomErasing(p=1.0)], weights=[3, 1])(torch.rand(4, 3, 8, 8)).shape
    torch.Size([4, 3, 8, 8])
    """

    def __init__(
        self,
        transforms: Sequence[Layer | Callable[..., Any]],
        *,
        weights: Sequence[float] | None = None,
        p: float = 1.0,
    ) -> None:
        super().__init__(transforms)
        weights = [1.0] * len(self.transforms) if weights is None else list(weights)
        if len(weights) != len(self.transforms) or not weights or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(
                f"OneOf: weights must be {len(self.transforms)} numbers of at least 0, one per transform, not all 0, "
                f"got {weights}"
            )
        self.weights, self.p = weights, probability(p, "OneOf")

    @property
    def columns(self) -> int:
        return 2 + sum(self.children_columns)

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        gate = chosen & (u[:, 0] < self.p) if self.training else torch.zeros_like(chosen)
        which = choice(u[:, 1], self.weights)
        parts = u[:, 2:].split(self.children_columns, dim=1)
        return [
            call
            for i, (child, part) in enumerate(zip(self._layers(), parts, strict=True))
            for call in child.route(part, gate & (which == i))
        ]


class RandomOrder(Container):
    """Apply all of the transforms in an order drawn per sample.

    With n transforms the plan has n slots of n gated steps each, so the cost grows with n squared: keep n small.

    Args:
        transforms: see `Compose`.

    >>> from torchaug.image import GaussianNoise, RandomErasing
    >>> RandomOrder([GaussianNoise(), RandomErasing(p=1.0)])(torch.rand(4, 3, 8, 8)).shape
    torch.Size([4, 3, 8, 8])
    """

    @property
    def columns(self) -> int:
        return len(self.transforms) + sum(self.children_columns)

    def leaves(self) -> list[Transform]:
        return [leaf for _ in self.transforms for child in self._layers() for leaf in child.leaves()]

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        count = len(self.transforms)
        slot_of = permutation(u[:, :count])
        if not self.training:
            slot_of = torch.arange(count, device=u.device).expand_as(slot_of)
        parts = u[:, count:].split(self.children_columns, dim=1)
        return [
            call
            for slot in range(count)
            for i, (child, part) in enumerate(zip(self._layers(), parts, strict=True))
            for call in child.route(part, chosen & (slot_of[:, i] == slot))
        ]
