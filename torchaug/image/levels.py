"""What torchvision does to the values of an image, with parameters per sample: plain functions, for transforms to share.

Planes are C tensors (B, H, W) in [0, 1], and parameters are (B,). Where `frame.whole` says that the values are levels of
255 (the image is uint8 to the caller), the results are torchvision's for uint8 to the last bit: it truncates after a
blend where a float image keeps fractions. Each function acts on all samples; `pick_planes` keeps those not chosen.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.image.pointwise import LUMA, Frame, Planes, channel_means, gray


def invert(planes: Planes) -> Planes:
    """The negative."""
    return [1 - plane for plane in planes]


def brightness(planes: Planes, factor: Tensor, frame: Frame) -> Planes:
    """Blend with black: factor 1 changes nothing, 0 is black, above 1 is brighter."""
    factor = _wide(factor.to(planes[0].dtype))
    if not frame.whole:
        return [(plane * factor).clamp(0, 1) for plane in planes]
    return [_truncated(to_levels(plane) * factor) for plane in planes]


def contrast(planes: Planes, factor: Tensor, frame: Frame) -> Planes:
    """Blend with the mean grey value of each image's own pixels: 1 changes nothing, 0 is grey."""
    if not frame.whole:
        return _blend(planes, _mean(gray(planes), frame), factor, frame)
    return _blend(planes, _mean(_gray_levels([to_levels(plane) for plane in planes]), frame), factor, frame)


def saturation(planes: Planes, factor: Tensor, frame: Frame) -> Planes:
    """Blend with the grey image: 1 changes nothing, 0 is grey. One channel has none and stays as it is.

    With other channel counts than 1 and 3, grey is the mean of the channels.
    """
    if len(planes) == 1:
        return planes
    if not frame.whole:
        return _blend(planes, gray(planes), factor, frame)
    return _blend(planes, _gray_levels([to_levels(plane) for plane in planes]), factor, frame)


def sharpness(image: Tensor, factor: Tensor, frame: Frame) -> Tensor:
    """Blend an image (B, C, H, W) with its smoothed copy: 1 changes nothing, 0 is smooth, above 1 is sharper.

    The smoothing is PIL's: weights 5 in the middle and 1 at the eight neighbours. Border pixels stay as they are.
    """
    if min(image.shape[-2:]) <= 2:
        return image
    values = to_levels(image) if frame.whole else image
    rows = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    inner = values[:, :, 1:-1, 1:-1]
    smooth = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner) * (1 / 13)
    change = F.pad((smooth.round() if frame.whole else smooth) - inner, (1, 1, 1, 1))
    if frame.own is not None:
        change = torch.where(_inside(frame.own)[:, None], change, 0)
    sharp = torch.addcmul(values, change, (1 - factor).to(image.dtype)[:, None, None, None])
    return _truncated(sharp) if frame.whole else sharp.clamp(0, 1)


def posterize(planes: Planes, bits: Tensor, frame: Frame) -> Planes:
    """Keep the `bits` (B,) int64 highest bits of eight, 0 to 8."""
    one = torch.ones_like(bits)
    if frame.whole:
        step = _wide(one << (8 - bits)).to(planes[0].dtype)
        return [from_levels(torch.floor(to_levels(plane) / step) * step) for plane in planes]
    count = _wide(one << bits).to(planes[0].dtype)
    return [torch.minimum(torch.floor(plane * count), count - 1) / count for plane in planes]


def solarize(planes: Planes, threshold: Tensor, frame: Frame) -> Planes:
    """Invert the values that are at least `threshold`, in [0, 1]."""
    threshold = _threshold(threshold, frame)
    return [torch.where(plane >= threshold, 1 - plane, plane) for plane in planes]


def solarize_add(planes: Planes, addition: Tensor, threshold: Tensor, frame: Frame) -> Planes:
    """Add to the values below `threshold`, at most up to 1; both in [0, 1]."""
    addition, threshold = _wide(addition), _threshold(threshold, frame)
    return [torch.where(plane < threshold, (plane + addition).clamp(max=1), plane) for plane in planes]


def gamma(planes: Planes, power: Tensor, gain: Tensor, frame: Frame) -> Planes:
    """gain * x^power, clamped; uint8 images come to torchvision's levels, of 256 equal parts."""
    power, gain = _wide(power), _wide(gain)
    if torch.is_grad_enabled() and planes[0].requires_grad:
        # the slope of a root at 0 is infinite: there the value is 0 and has no slope
        powers = [torch.where(x > 0, x.clamp(min=1e-30) ** power, 0) for x in planes]
    else:
        powers = [x.clamp(min=0).pow_(power) for x in planes]
    values = [(x * gain).clamp_(0, 1) for x in powers]
    return [from_levels((x * (256 - 1e-3)).floor()) for x in values] if frame.whole else values


def autocontrast(planes: Planes, frame: Frame) -> Planes:
    """Stretch each channel to [0, 1] by its least and its greatest own value; a channel of one value stays."""
    return [_stretched(plane, frame) for plane in planes]


def equalize(planes: Planes, frame: Frame) -> Planes:
    """Make each channel's histogram flat, with PIL's rule on 256 levels; floats become levels first."""
    levels = torch.stack([level_index(plane, frame) for plane in planes], 1)  # (B, C, H, W)
    histogram = histograms(levels, frame.own)
    own = levels if frame.own is None else levels * frame.own[:, None]
    last = histogram.gather(2, own.amax((2, 3))[:, :, None])  # how many have the greatest value
    step = (histogram.sum(2, keepdim=True) - last) // 255
    below = F.pad(histogram.cumsum(2), (1, 0))[:, :, :-1]
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.where(step == 0, torch.arange(256, device=table.device), table)
    return list(from_levels(look_up(table, levels).to(planes[0].dtype)).unbind(1))


def histograms(levels: Tensor, own: Tensor | None) -> Tensor:
    """(B, C, 256) int64: how often each level of `levels` (B, C, H, W) int64 occurs, among own pixels (B, H, W)."""
    flat = levels.flatten(2)
    ones = torch.ones_like(flat) if own is None else own.flatten(1)[:, None].expand_as(flat).to(torch.int64)
    return flat.new_zeros(*flat.shape[:2], 256).scatter_add_(2, flat, ones)


def look_up(table: Tensor, levels: Tensor) -> Tensor:
    """`table` (B, C, 256) at `levels` (B, C, H, W) int64."""
    return table.gather(2, levels.flatten(2)).view(levels.shape)


def to_levels(values: Tensor) -> Tensor:
    """Whole levels of 255, as float."""
    return (values * 255).round()


def from_levels(levels: Tensor) -> Tensor:
    """Levels of 255 in [0, 1]."""
    return levels * (1 / 255)


def level_index(values: Tensor, frame: Frame) -> Tensor:
    """int64 levels 0 to 255: those that the values are, or else, as torchvision converts floats, the 256 equal parts."""
    levels = to_levels(values) if frame.whole else values * (256 - 1e-3)
    return levels.to(torch.int64).clamp(0, 255)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None]


def _threshold(threshold: Tensor, frame: Frame) -> Tensor:
    """A threshold on a level, divided by 255 and rounded, must not miss that level."""
    return _wide(threshold) - (2e-5 if frame.whole else 0)


def _truncated(levels: Tensor) -> Tensor:
    """Levels cut to whole ones, as a conversion to uint8 does, in [0, 1]."""
    return from_levels(levels.clamp(0, 255).floor())


def _blend(planes: Planes, other: Tensor, factor: Tensor, frame: Frame) -> Planes:
    """`factor` of the planes and the rest of `other`, which is in levels where the planes are.

    `addcmul` rounds once, as torchvision's `add` with a scalar does: to truncate alike it must round alike.
    """
    ratio, rest = (_wide(share.to(planes[0].dtype)) for share in (factor, 1 - factor))
    if not frame.whole:
        return [torch.addcmul(plane * ratio, other, rest).clamp(0, 1) for plane in planes]
    return [_truncated(torch.addcmul(to_levels(plane) * ratio, other, rest)) for plane in planes]


def _gray_levels(levels: Planes) -> Tensor:
    if len(levels) != 3:
        return gray(levels)
    red, green, blue = levels
    return torch.add(torch.add(red * LUMA[0], green, alpha=LUMA[1]), blue, alpha=LUMA[2]).floor()


def _mean(grey: Tensor, frame: Frame) -> Tensor:
    return channel_means(grey[:, None], frame.own)[:, :, None].to(grey.dtype)


def _inside(own: Tensor) -> Tensor:
    """(B, H, W) bool: own pixels whose eight neighbours are own too."""
    ringed = F.pad(own, (1, 1, 1, 1))
    rows = ringed[:, :-2] & ringed[:, 1:-1] & ringed[:, 2:]
    return rows[..., :-2] & rows[..., 1:-1] & rows[..., 2:]


def _stretched(plane: Tensor, frame: Frame) -> Tensor:
    values = to_levels(plane) if frame.whole else plane
    low = high = values
    if frame.own is not None:
        low, high = torch.where(frame.own, values, torch.inf), torch.where(frame.own, values, -torch.inf)
    least, most = low.amin((1, 2), keepdim=True), high.amax((1, 2), keepdim=True)
    flat = most == least
    least = torch.where(flat, 0, least)
    if not frame.whole:
        return ((plane - least) / torch.where(flat, 1, most - least)).clamp(0, 1)
    return _truncated((values - least) / torch.where(flat, 1, (most - least) * (1 / 255)))
