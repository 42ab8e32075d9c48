"""Colour: torchvision's jitter and greyscale, exact (clamped between steps, hue in HSV) or folded into one matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.pointwise import LUMA, Color, Frame, Planes, affine, channel_means, gray, pick, pick_planes
from torchaug.image.resample import per_channel
from torchaug.keys import permutation, uniform
from torchaug.transfer import any_of
from torchaug.transform import Sizes

Mean = Callable[[Tensor], Tensor]
"""From grey values (B, H, W) to (B,)."""


class ColorJitter(Color):
    """Change brightness, contrast, saturation and hue in an order drawn per sample, as torchvision's transform.

    Args:
        brightness: the factor is uniform in [max(0, 1 - v), 1 + v], or in a range (low, high).
        contrast: likewise; contrast blends with the mean grey value of the image as it is at that step.
        saturation: likewise; blends with the grey image.
        hue: the shift, in turns of the colour circle, is uniform in [-v, v] or (low, high), within [-0.5, 0.5].
        p: chance per sample.

    Images of one channel have no saturation and no hue: those steps leave them as they are. With other channel counts
    than 1 and 3 only brightness and contrast are possible, and grey is the mean of the channels.

    >>> ColorJitter(0.4, 0.4, 0.4, 0.1)(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = 8  # four parameters, four places in the order

    def __init__(
        self,
        brightness: float | tuple[float, float] | None = None,
        contrast: float | tuple[float, float] | None = None,
        saturation: float | tuple[float, float] | None = None,
        hue: float | tuple[float, float] | None = None,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.brightness = arguments.factor(brightness, "ColorJitter", "brightness")
        self.contrast = arguments.factor(contrast, "ColorJitter", "contrast")
        self.saturation = arguments.factor(saturation, "ColorJitter", "saturation")
        self.hue = None if hue is None or hue == 0 else arguments.symmetric(hue, "ColorJitter", "hue", 0.5)

    def _ops(self) -> dict[str, tuple[float, float]]:
        """The steps that do something, with their ranges."""
        ranges = {
            "brightness": self.brightness,
            "contrast": self.contrast,
            "saturation": self.saturation,
            "hue": self.hue,
        }
        return {name: bounds for name, bounds in ranges.items() if bounds is not None}

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        drawn = {name: uniform(u[:, i], *bounds) for i, (name, bounds) in enumerate(self._ops().items())}
        return drawn | {"rank": self._ranks(u)}

    def _ranks(self, u: Tensor) -> Tensor:
        """(B, ops): the place of each op in the sample's order."""
        return permutation(u[:, 4 : 4 + len(self._ops())])

    def _coefficients(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """(B, ops, 3) keep, grey, level of each blend (a hue step keeps), and (B,) the turn of the hue."""
        keeps, turn = [], torch.zeros_like(u[:, 0])
        for i, (name, bounds) in enumerate(self._ops().items()):
            value = uniform(u[:, i], *bounds)
            zero, one = torch.zeros_like(value), torch.ones_like(value)
            if name == "hue":
                keeps.append(torch.stack([one, zero, zero], 1))
                turn = value
            else:
                grey = 1 - value if name == "saturation" else zero
                level = 1 - value if name == "contrast" else zero
                keeps.append(torch.stack([value, grey, level], 1))
        return torch.stack(keeps, 1), turn

    def numbers(self, u: Tensor, chosen: Tensor, size: Sizes) -> dict[str, Tensor]:
        """The slots; for a graph, those of the steps before contrast too, whose result it takes the mean of."""
        ops = list(self._ops())
        if not ops:
            return {}
        ranks, (blends, turn) = self._ranks(u), self._coefficients(u)
        idle = _idle(blends)
        blends, turn = torch.where(chosen[:, None, None], blends, idle), torch.where(chosen, turn, 0)
        made = {"slots": _slots(ops, ranks, blends), "turn": turn}
        if torch.compiler.is_compiling() and "contrast" in ops and len(ops) > 1:
            made |= self._before_contrast(ops, ranks, blends, turn)
        return made

    @staticmethod
    def _before_contrast(ops: list[str], ranks: Tensor, blends: Tensor, turn: Tensor) -> dict[str, Tensor]:
        """The slots of the steps whose result contrast takes the mean of."""
        contrast = ops.index("contrast")
        earlier = ranks < ranks[:, contrast, None]
        others = [i for i in range(len(ops)) if i != contrast]
        seen = torch.where(earlier[:, :, None], blends, _idle(blends))[:, others]
        ranks = (ranks - (ranks > ranks[:, contrast, None]).to(ranks.dtype))[:, others]
        names = [ops[i] for i in others]
        turn = torch.where(earlier[:, ops.index("hue")], turn, 0) if "hue" in ops else turn
        return {"earlier_slots": _slots(names, ranks, seen), "earlier_turn": turn}

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        if not numbers:
            return planes
        self._check_channels(len(planes))
        slots, turn = numbers["slots"], numbers["turn"]
        if self.contrast is None or not torch.compiler.is_compiling():
            return self._jitter(planes, slots, turn, lambda luma: _mean(luma, frame))
        # In a graph a mean for each place that contrast may have would be as many passes: one goes as far as contrast.
        before = planes
        if "earlier_slots" in numbers:
            before = self._jitter(planes, numbers["earlier_slots"], numbers["earlier_turn"])
        mean = _mean(gray(before), frame)[:, None, None]
        return self._jitter(planes, torch.cat([slots[..., :2], slots[..., 2:] * mean], 2), turn)

    def _jitter(self, planes: Planes, slots: Tensor, turn: Tensor, mean: Mean | None = None) -> Planes:
        """Blends, a hue step, blends. `mean` is taken as contrast comes up; without, it is in the levels already."""
        before = slots.shape[1] // 2 if self.hue is not None else slots.shape[1]
        for slot in slots[:, :before].unbind(1):
            planes = _blend(planes, slot, mean)
        if self.hue is not None and len(planes) == 3 and any_of(turn):
            planes = shift_hue(planes, turn, max(map(abs, self.hue)))
        for slot in slots[:, before:].unbind(1):
            planes = _blend(planes, slot, mean)
        return planes

    def _check_channels(self, channels: int) -> None:
        if channels not in (1, 3) and (self.saturation is not None or self.hue is not None):
            raise ValueError(
                f"ColorJitter: saturation and hue need images of 1 or 3 channels, got {channels}; leave them out"
            )

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        """Each step as a map of (x, mean of x) to itself: then contrast is linear too, and the steps multiply.

        Hue turns about the grey axis here (Rodrigues), which is affine; in HSV it is not.
        """
        ops = list(self._ops())
        self._check_channels(channels)
        if not ops:
            return affine(torch.eye(channels, device=u.device).expand(len(u), -1, -1), u.new_zeros(len(u), channels))
        coefficients, turn = self._coefficients(u)
        angle = 2 * math.pi * (turn if channels == 3 else torch.zeros_like(turn))
        basis = _basis(channels, u)
        steps = torch.einsum("bok,kij->boij", coefficients, basis[:3])
        if "hue" in ops:
            parts = torch.stack([angle.cos(), 1 - angle.cos(), angle.sin()], 1)
            rotation = torch.einsum("bk,kij->bij", parts, torch.cat([basis[:1], basis[3:]]))
            steps = torch.cat([steps[:, :-1], rotation[:, None]], 1)  # hue is the last of the ops
        order = self._ranks(u).argsort(1)
        steps = steps.gather(1, order[:, :, None, None].expand_as(steps))
        total = steps[:, 0]
        for i in range(1, len(ops)):
            total = steps[:, i] @ total
        return F.pad(total[:, :channels], (0, 1))


def _idle(like: Tensor) -> Tensor:
    """The coefficients of a step that does nothing, in the shape of `like` (B, ops, 3)."""
    return torch.cat([torch.ones_like(like[:, :, :1]), torch.zeros_like(like[:, :, 1:])], 2)


def _slots(ops: Sequence[str], ranks: Tensor, blends: Tensor) -> Tensor:
    """A jitter in a form without branches: (B, slots, 3) keep, grey, level of blends before and after the hue step.

    A blend is x -> clamp(keep * x + grey * gray(x) + level * mean, 0, 1): brightness, contrast and saturation alike.
    Each op of each sample sits in the slot that its rank gives it; the other slots are idle.
    """
    which = [i for i, name in enumerate(ops) if name != "hue"]
    if not which:
        return blends[:, :0]
    count = len(which)
    if "hue" in ops:
        hue = ranks[:, ops.index("hue"), None]
        ranks, count = torch.where(ranks < hue, ranks, ranks - 1 - hue + count), 2 * count
    place = torch.arange(count, device=ranks.device)
    sits = (ranks[:, which, None] == place)[..., None]  # (B, blends, slots, 1)
    used, idle = blends[:, which, None], _idle(blends[:, :1])[:, :, None]
    return idle[:, 0] + (sits * (used - idle)).sum(1)  # at most one op a slot


def _mean(luma: Tensor, frame: Frame) -> Tensor:
    """(B,) of grey values (B, H, W)."""
    return channel_means(luma[:, None], frame.own)[:, 0].to(luma.dtype)


def _blend(planes: Planes, slot: Tensor, mean: Mean | None) -> Planes:
    keep, grey, level = slot[:, :, None, None].unbind(1)
    if torch.compiler.is_compiling():  # clamped from both sides as in `unit`, of which the first difference is free
        rest = (1 - level) - grey * gray(planes)
        return [(1 - (rest - keep * plane).relu()).relu() for plane in planes]
    shifts = any_of(level)
    if not shifts and not any_of(grey):
        return [unit(keep * plane) for plane in planes] if any_of(keep - 1) else planes
    luma = gray(planes)
    if mean is not None and shifts:
        level = level * mean(luma)[:, None, None]
    other = torch.addcmul(level, grey, luma) if any_of(grey) else level
    return [unit(torch.addcmul(other, keep, plane)) for plane in planes]


def unit(values: Tensor) -> Tensor:
    """Values clamped to [0, 1].

    In a CPU's compiled code `relu` costs one instruction and a clamp from above four (for NaN): there it is two of them.
    """
    return (1 - (1 - values).relu()).relu() if torch.compiler.is_compiling() else values.clamp(0, 1)


def shift_hue(planes: Planes, turn: Tensor, widest: float = 0.5) -> Planes:
    """Shift the hue of red, green and blue (B, H, W) in [0, 1] by `turn` (B,) of the colour circle, as HSV has it.

    A third of the circle moves each channel to the next, so only turns of up to a sixth are left. Then every channel is
    a ramp in the place of the hue between its neighbours (Smith, "Color gamut transform pairs", 1978); measured in units
    of the chroma, that place takes no division. A turn of 0 leaves the image bit-equal, in compiled code within rounding.

    Args:
        planes: red, green and blue.
        turn: in [-0.5, 0.5].
        widest: the largest size of a turn, known from a constructor.
    """
    shifted, rest = planes, turn
    if widest > 1 / 6:
        thirds = torch.round(3 * turn)
        shifted, rest = _moved_on(planes, thirds.remainder(3)), turn - thirds / 3
    shifted = _turned(shifted, 6 * rest[:, None, None])
    if torch.compiler.is_compiling() or not any_of(turn == 0):
        return shifted
    return pick_planes(turn != 0, shifted, planes)


def _moved_on(planes: Planes, places: Tensor) -> Planes:
    """Red, green and blue moved on by 0, 1 or 2 `places` (B,): by 1, what was red is green."""
    by_one, by_two = (places == n for n in (1, 2))
    return [pick(by_two, planes[i - 2], pick(by_one, planes[i - 1], planes[i])) for i in range(3)]


def _turned(planes: Planes, sixths: Tensor) -> Planes:
    """Planes whose hue moves on by at most one sixth of the circle, (B, 1, 1) in [-1, 1]."""
    red, green, blue = planes
    most, least = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    chroma, is_red, is_green = most - least, red == most, green == most
    gap = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    gap = gap + sixths * chroma  # from the greatest channel to the hue, in chroma: within 2 either way
    own = most - (gap.abs() - chroma).relu()
    after, before = (least + torch.minimum(side.relu(), chroma) for side in (gap, -gap))
    return [
        torch.where(is_red, own, torch.where(is_green, before, after)),
        torch.where(is_red, after, torch.where(is_green, own, before)),
        torch.where(is_red, before, torch.where(is_green, after, own)),
    ]


def hue_of(planes: Planes) -> tuple[Tensor, Tensor, Tensor]:
    """The hue of red, green and blue in sixths of the colour circle, 0 for red, and their maximum and minimum.

    The hue of a grey pixel is some finite number.
    """
    red, green, blue = planes
    most, least = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    inverse = 1 / (most - least + 1e-12)
    hue = torch.where(
        most == red,
        (green - blue) * inverse,
        torch.where(most == green, (blue - red) * inverse + 2, (red - green) * inverse + 4),
    )
    return hue, most, least


def from_hue(hue: Tensor, most: Tensor, chroma: Tensor) -> Planes:
    """Red, green and blue of a hue in sixths of the colour circle, their maximum, and maximum less minimum.

    A channel is most - chroma clamp(2 - d, 0, 1), where d is the distance on the circle from the hue to the channel's
    complement: 3, 5, 1 for red, green, blue (Smith, "Color gamut transform pairs", 1978, in closed form).
    """
    channels = []
    for complement in (3.0, 5.0, 1.0):
        off = hue - complement
        distance = (off - 6 * torch.round(off * (1 / 6))).abs()
        channels.append(most - chroma * unit(2 - distance))
    return channels


def _basis(channels: int, like: Tensor) -> Tensor:
    """(5, 2C, 2C) on (x, mean of x): identity, grey of x, grey of the mean, and the two parts of a turn of the hue."""
    eye, pair = (torch.eye(n, device=like.device, dtype=like.dtype) for n in (channels, 2))
    weights = LUMA if channels == 3 else (1 / channels,) * channels
    luma = per_channel(weights, like).view(1, channels).expand(channels, channels)
    axis = torch.full_like(eye, 1 / channels)
    cross = (eye.roll(1, 0) - eye.roll(-1, 0)) / math.sqrt(3)  # the cross product with the grey axis
    of_mean = pair[1].expand(2, 2)  # reads the mean, adds to both
    parts = [(pair, eye), (pair, luma), (of_mean, luma), (pair, axis), (pair, cross)]
    return torch.stack([torch.kron(outer, inner) for outer, inner in parts])


class RandomGrayscale(Color):
    """Make an image grey, keeping its number of channels, as torchvision's transform of this name.

    Args:
        p: chance per sample.

    Images of one channel are grey already; other channel counts than 1 and 3 are an error.

    >>> grey = RandomGrayscale(p=1.0)(torch.rand(8, 3, 32, 32))
    >>> torch.equal(grey[:, 0], grey[:, 2])
    True
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def map(self, planes: Planes, numbers: dict[str, Tensor], frame: Frame) -> Planes:
        self._check_channels(len(planes))
        grey = gray(planes)
        return pick_planes(numbers["chosen"], [grey] * len(planes), planes)

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        self._check_channels(channels)
        weights = LUMA if channels == 3 else (1.0,)
        columns = [u.new_full((len(u), channels), w) for w in weights]
        return affine(torch.stack(columns, 2), u.new_zeros(len(u), channels))

    def _check_channels(self, channels: int) -> None:
        if channels not in (1, 3):
            raise ValueError(f"RandomGrayscale: image must have 1 or 3 channels, got {channels}")
