"""Adaptive discriminator augmentation for GANs: Karras et al., "Training Generative Adversarial Networks with Limited Data",
2020, after the algorithm of its appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.batch import Batch
from torchaug.image import arguments, matrices
from torchaug.image.filters import blurred
from torchaug.image.pointwise import apply_matrix, pick
from torchaug.image.resample import as_dtype, as_float, in_chunks
from torchaug.image.wavelets import band_kernel, identity, warped
from torchaug.keys import integers, noise, normal, uniform
from torchaug.transfer import any_of
from torchaug.transform import Call, Sizes, Transform, probability

BLIT = ("xflip", "rotate90", "xint")
GEOMETRY = (*BLIT, "scale", "rotate", "aniso", "xfrac")
COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
SWITCHES = (*GEOMETRY, *COLOR, "imgfilter", "noise", "cutout")
POLICIES = {
    "blit": BLIT,
    "geom": GEOMETRY[3:],
    "color": COLOR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": GEOMETRY,
    "bgc": GEOMETRY + COLOR,
    "bgcf": (*GEOMETRY, *COLOR, "imgfilter"),
    "bgcfn": (*GEOMETRY, *COLOR, "imgfilter", "noise"),
    "bgcfnc": SWITCHES,
}
"""What the paper's experiments switch on."""

BANDS = 4
# gate and values of each switch: rotation has a gate before and after `aniso`, the filter a gate and a gain per band
_COLUMNS = {"xint": 3, "rotate": 4, "xfrac": 3, "imgfilter": 2 * BANDS, "noise": 4, "cutout": 3}


class ADA(Transform):
    """The augmentations of adaptive discriminator augmentation, for real and generated images alike.

    Each of 15 switches acts on a sample with probability p, independently:

    - xflip, rotate90, xint (whole pixels, up to 1/8 of the image); scale and aniso (lognormal, 0.2 octaves), rotate (any
      angle, before and after aniso), xfrac (normal, 1/8 of the image). All are one matrix and one resampling: the image,
      continued by its mirror images, is upsampled twice by the sym6 wavelet's low-pass, read bilinearly, and downsampled.
    - brightness (normal, 0.2), contrast (lognormal, 0.5 octaves), lumaflip (mirrored at the luma axis), hue (any turn about
      the luma axis), saturation (lognormal, 1 octave). All are one matrix.
    - imgfilter: four frequency bands amplified (lognormal, 1 octave), total power kept for natural images.
    - noise (sigma half-normal, 0.1), cutout (half the height and width, anywhere, to mid-level).

    Strengths are the paper's, for values in [-1, 1]. Floating point images are not clamped. Twice differentiable. Samples on
    which nothing acts come out bit-equal.

    Images of one channel have no hue and no saturation: those switches leave them as they are. With other channel counts
    than 1 and 3, hue must be off, and the luma axis is the mean of the channels.

    Masks, boxes and keypoints cannot follow the geometry into mirror images: with them it raises a TypeError.

    Args:
        policy: which switches: "blit", "geom", "color", "filter", "noise", "cutout", or the paper's cumulative sets "bg",
            "bgc" (its default), "bgcf", "bgcfn", "bgcfnc".
        strengths: multipliers of p by the name of the switch, in [0, 1], for switches of the policy or others.
        value_range: the values of floating point images that stand for black and white; (-1, 1) for many generators.
        p: chance of each switch. It is a buffer: `AdaptiveP` changes it in place, and nothing is compiled again.

    >>> augment = ADA("bgc", strengths={"rotate90": 0, "cutout": 1}, p=0.4)
    >>> augment(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    uniforms = sum(_COLUMNS.get(name, 2) for name in SWITCHES)
    p: Tensor  # type: ignore[assignment]

    def __init__(
        self,
        policy: str = "bgc",
        strengths: Mapping[str, float] | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        p: float = 1.0,
    ) -> None:
        super().__init__()
        if policy not in POLICIES:
            raise ValueError(f"ADA: policy must be one of {[*POLICIES]}, got {policy!r}")
        if unknown := sorted(set(strengths or {}) - set(SWITCHES)):
            raise ValueError(f"ADA: strengths must name switches among {[*SWITCHES]}, got {unknown}")
        self.policy, self.strengths = policy, dict(strengths or {})
        self.value_range = arguments.rising(value_range, "ADA", "value_range")
        self.multipliers = {name: 1.0 for name in POLICIES[policy]}
        self.multipliers |= {name: probability(m, f"ADA: strengths[{name!r}]") for name, m in self.strengths.items()}
        del self.p
        self.register_buffer("p", torch.tensor(probability(float(p) if isinstance(p, Tensor) else p, "ADA")))

    def route(self, u: Tensor, chosen: Tensor) -> list[Call]:
        """All samples: p is the chance of each switch, not of the whole."""
        return [Call(u[:, 1:], chosen if self.training else torch.zeros_like(chosen))]

    def _on(self, *names: str) -> bool:
        return any(self.multipliers.get(name, 0) > 0 for name in names)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        """The parameters of the switches that can act; where one does not act on a sample, those that change nothing."""
        found: dict[str, Tensor] = {}
        start = 0
        for name in SWITCHES:
            columns = u[:, start : start + _COLUMNS.get(name, 2)]
            start += columns.shape[1]
            if self._on(name):
                chance = self.p * self.multipliers[name]
                found |= _PARAMETERS[name](columns, chance, size)
        return found

    def transform(self, batch: Batch, u: Tensor, chosen: Tensor) -> Batch:
        image = batch.image
        if image is None:
            raise TypeError(f"ADA: expected a batch with an image, got {[*batch.present()]}")
        if self._on(*GEOMETRY):
            refuse_labels(batch, "ADA")
        size = Sizes.of((image.shape[-2], image.shape[-1]), batch.size, u)
        drawn = {name: value.to(u.dtype) for name, value in self.drawn(u, size).items()}

        def apply(rows: slice) -> Tensor:
            x = as_float(image[rows])
            part, numbers = size.rows(rows), {name: value[rows] for name, value in drawn.items()}
            low, high = (0.0, 1.0) if image.dtype == torch.uint8 else self.value_range
            half, middle = (high - low) / 2, (high + low) / 2
            y = self._augmented((x - middle) / half, numbers, part, None if batch.size is None else part)
            acts = self._acts(numbers, chosen[rows])
            return as_dtype(pick(acts, y * half + middle, x), image.dtype)

        with torch.autocast(image.device.type, enabled=False):  # matrices in half precision would move the image
            return batch.replace(image=in_chunks(image, apply))

    def _augmented(self, x: Tensor, numbers: dict[str, Tensor], size: Sizes, ragged: Sizes | None) -> Tensor:
        """Images in [-1, 1], in the paper's order."""
        if self._on(*GEOMETRY):
            m = geometry_matrix(numbers, size)
            moves = ~identity(m)
            if any_of(moves):
                x = pick(moves, warped(x, m, size, ragged is not None), x)
        if self._on(*COLOR):
            x = apply_matrix(x, self._color_matrix(numbers, x)[:, :-1])
        if self._on("imgfilter"):
            kernel = band_kernel(numbers["gains"]).to(x.dtype)
            x = blurred(x, ragged, kernel, kernel)
        if self._on("noise"):
            field = noise(numbers["noise_seeds"], x.shape[1:]).to(x.dtype)
            x = x + field * numbers["noise"][:, None, None, None].to(x.dtype)
        if self._on("cutout"):
            x = x * ~_cut(numbers["cutout"], size)[:, None]
        return x

    def _color_matrix(self, numbers: dict[str, Tensor], x: Tensor) -> Tensor:
        channels = x.shape[1]
        if channels not in (1, 3) and self._on("hue"):
            raise ValueError(
                f"ADA: hue needs images of 1 or 3 channels, got {channels}; turn it off with strengths={{'hue': 0}}"
            )
        return color_matrix(numbers, channels, x)

    @staticmethod
    def _acts(numbers: dict[str, Tensor], chosen: Tensor) -> Tensor:
        """(B,) bool: samples on which some switch acts."""
        acts = torch.zeros_like(chosen)
        for name, value in numbers.items():
            changes = value != _IDLE.get(name, 0.0)
            if name != "noise_seeds":
                acts = acts | (changes if changes.ndim == 1 else changes.any(1))
        return acts & chosen


def geometry_matrix(numbers: dict[str, Tensor], size: Sizes) -> Tensor:
    """Output -> input (B, 3, 3), about each image's centre: the inverses of the steps, in their order."""
    x, y = size.width / 2, size.height / 2
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    quarters = numbers.get("rotate90", zero)
    # exact sines of quarter turns
    cos, sin = (1 - quarters) * (quarters % 2 == 0), (2 - quarters) * (quarters % 2 == 1)
    scale, aniso = (1 / numbers.get(name, one) for name in ("scale", "aniso"))
    total: Tensor = matrices.about(_linear(1 - 2 * numbers.get("xflip", zero), zero, zero, one), x, y)
    total = total @ matrices.about(_linear(cos, -sin, sin, cos), x, y) @ _translation(numbers.get("xint"), one)
    total = total @ matrices.about(_linear(scale, zero, zero, scale), x, y)
    total = total @ matrices.about(_rotation(numbers.get("pre_rotation", zero)), x, y)
    total = total @ matrices.about(_linear(aniso, zero, zero, 1 / aniso), x, y)
    total = total @ matrices.about(_rotation(numbers.get("post_rotation", zero)), x, y)
    return total @ _translation(numbers.get("xfrac"), one)


def _linear(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([a, b, c, d], 1).view(-1, 2, 2)


def _rotation(angle: Tensor) -> Tensor:
    return _linear(angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def _translation(shift: Tensor | None, like: Tensor) -> Tensor:
    """Backwards by `shift` (B, 2) as x, y."""
    if shift is None:
        return matrices.identity(len(like), like)
    return matrices.matrix([[1.0, 0.0, -shift[:, 0]], [0.0, 1.0, -shift[:, 1]], [0.0, 0.0, 1.0]], like)


def color_matrix(numbers: dict[str, Tensor], channels: int, like: Tensor) -> Tensor:
    """(B, C + 1, C + 1) on (channels, 1): brightness, contrast, luma flip, hue and saturation in this order.

    With the projection V on the luma axis, all but brightness keep V and 1 - V apart, so they are one closed form.
    """
    zero = like.new_zeros(len(like))
    one = zero + 1
    found = {name: value.to(like.dtype) for name, value in numbers.items() if name in COLOR}
    contrast, saturation = (found.get(name, one) for name in ("contrast", "saturation"))
    along = contrast * (1 - 2 * found.get("lumaflip", zero))
    hue = found.get("hue", zero)
    eye = torch.eye(channels, device=like.device, dtype=like.dtype)
    luma = torch.full_like(eye, 1 / channels)
    turn = (eye.roll(1, 0) - eye.roll(-1, 0)) / math.sqrt(3)  # for three channels: the cross product with the luma axis
    beside, across = (contrast * saturation * part for part in (hue.cos(), hue.sin()))
    parts = torch.stack([along, beside, across], 1)
    linear = torch.einsum("bk,kij->bij", parts, torch.stack([luma, eye - luma, turn]))
    offset = (along * found.get("brightness", zero))[:, None, None].expand(-1, channels, 1)
    return F.pad(torch.cat([linear, offset], 2), (0, 0, 0, 1))


def refuse_labels(batch: Batch, who: str) -> None:
    """Raise an error where a batch has labels that would have to move with the pixels."""
    labels = [name for name in ("mask", "boxes", "keypoints") if getattr(batch, name) is not None]
    if labels:
        raise TypeError(
            f"{who}: expected an image without labels that move with its pixels, got {labels}; it is made for GANs: leave "
            "them out, or choose a policy without geometry"
        )


_IDLE = {"scale": 1.0, "aniso": 1.0, "contrast": 1.0, "saturation": 1.0, "gains": 1.0}
"""Values of parameters that change nothing, where they are not 0."""


def _gated(u: Tensor, chance: Tensor, value: Tensor, idle: float = 0.0) -> Tensor:
    """`value` (B, ...) where the gate `u` (B,) is open, else `idle`."""
    gate = (u < chance).view(-1, *[1] * (value.ndim - 1))
    return torch.where(gate, value, idle)


def _lognormal(u: Tensor, octaves: float) -> Tensor:
    factor: Tensor = torch.exp2(normal(u) * octaves)
    return factor


def _rotations(u: Tensor, chance: Tensor, size: Sizes) -> dict[str, Tensor]:
    """The chance of each of the two, such that either happens with the chance of the switch."""
    each = 1 - torch.sqrt(1 - chance)
    first, last = (_gated(u[:, i], each, uniform(u[:, i + 1], -math.pi, math.pi)) for i in (0, 2))
    return {"pre_rotation": first, "post_rotation": last}


def _whole_shift(u: Tensor, chance: Tensor, size: Sizes) -> dict[str, Tensor]:
    shift = (uniform(u[:, 1:], -0.125, 0.125) * torch.stack([size.width, size.height], 1)).round()
    return {"xint": _gated(u[:, 0], chance, shift)}


def _shift(u: Tensor, chance: Tensor, size: Sizes) -> dict[str, Tensor]:
    shift = normal(u[:, 1:]) * 0.125 * torch.stack([size.width, size.height], 1)
    return {"xfrac": _gated(u[:, 0], chance, shift)}


def _gains(u: Tensor, chance: Tensor, size: Sizes) -> dict[str, Tensor]:
    """The gain of each band: amplified one after the other, the expected power of a natural image (1/f) kept."""
    gains = u.new_ones(len(u), BANDS)
    first = torch.arange(BANDS, device=u.device) == 0
    power = torch.where(first, 10 / 13, 1 / 13).to(u.dtype)
    for i in range(BANDS):
        one = torch.arange(BANDS, device=u.device) == i
        amplified = torch.where(one, _gated(u[:, i], chance, _lognormal(u[:, BANDS + i], 1.0), 1.0)[:, None], 1.0)
        scale = (power * amplified.square()).sum(1, keepdim=True).sqrt()
        gains = torch.where((u[:, i] < chance)[:, None], gains * amplified / scale, gains)
    return {"gains": gains}


def _noise(u: Tensor, chance: Tensor, size: Sizes) -> dict[str, Tensor]:
    return {"noise": _gated(u[:, 0], chance, normal(u[:, 1]).abs() * 0.1), "noise_seeds": u[:, 2:]}


def _cutout(u: Tensor, chance: Tensor, size: Sizes) -> dict[str, Tensor]:
    """Left, top, right, bottom in whole pixels; all 0 where nothing is cut."""
    centre = u[:, 1:]
    full = torch.stack([size.width, size.height], 1)
    corners = torch.cat([((centre - 0.25) * full).round(), ((centre + 0.25) * full).round()], 1)
    return {"cutout": _gated(u[:, 0], chance, corners)}


def _cut(corners: Tensor, size: Sizes) -> Tensor:
    """(B, H, W) bool: pixels inside the rectangles."""
    rows, columns = (torch.arange(n, device=corners.device) for n in size.canvas)
    left, top, right, bottom = corners[:, :, None].unbind(1)
    across, down = (columns >= left) & (columns < right), (rows >= top) & (rows < bottom)
    return down[:, :, None] & across[:, None, :]


_PARAMETERS = {
    "xflip": lambda u, p, size: {"xflip": _gated(u[:, 0], p, integers(u[:, 1], 0, 2), 0)},
    "rotate90": lambda u, p, size: {"rotate90": _gated(u[:, 0], p, integers(u[:, 1], 0, 4), 0)},
    "xint": _whole_shift,
    "scale": lambda u, p, size: {"scale": _gated(u[:, 0], p, _lognormal(u[:, 1], 0.2), 1.0)},
    "rotate": _rotations,
    "aniso": lambda u, p, size: {"aniso": _gated(u[:, 0], p, _lognormal(u[:, 1], 0.2), 1.0)},
    "xfrac": _shift,
    "brightness": lambda u, p, size: {"brightness": _gated(u[:, 0], p, normal(u[:, 1]) * 0.2)},
    "contrast": lambda u, p, size: {"contrast": _gated(u[:, 0], p, _lognormal(u[:, 1], 0.5), 1.0)},
    "lumaflip": lambda u, p, size: {"lumaflip": _gated(u[:, 0], p, integers(u[:, 1], 0, 2), 0)},
    "hue": lambda u, p, size: {"hue": _gated(u[:, 0], p, uniform(u[:, 1], -math.pi, math.pi))},
    "saturation": lambda u, p, size: {"saturation": _gated(u[:, 0], p, _lognormal(u[:, 1], 1.0), 1.0)},
    "imgfilter": _gains,
    "noise": _noise,
    "cutout": _cutout,
}
