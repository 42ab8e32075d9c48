"""Neighbourhoods: images with a border around them, and convolutions with a kernel for each sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from torchaug.image import kernels
from torchaug.image.axes import PaddingMode, folded
from torchaug.image.pointwise import Frame, pick
from torchaug.image.resample import take, take_along
from torchaug.transform import Sizes

_PAD_MODE = {"reflect": "reflect", "edge": "replicate", "constant": "constant"}


def bordered(
    image: Tensor, size: Sizes | None, margin_y: int, margin_x: int, mode: PaddingMode = "reflect", value: float = 0.0
) -> Tensor:
    """Images with a margin around them; where images are padded, the border follows their own last row and column.

    Args:
        image: (B, C, H, W) float.
        size: of the images where they differ (`ragged(frame)`), None where each fills the canvas.
        margin_y: rows added above and below. It may exceed the image: reflections repeat.
        margin_x: columns added at the left and the right.
        mode: "reflect" (without the last pixel: dcb|abcd|cba), "symmetric" (with it), "edge" or "constant".
        value: of a constant border.

    Returns:
        (B, C, H + 2 margin_y, W + 2 margin_x), twice differentiable.

    >>> bordered(torch.arange(3.0).view(1, 1, 1, 3), None, 0, 4).flatten().tolist()
    [0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0]
    """
    height, width = image.shape[-2:]
    fits = mode != "reflect" or (margin_y < height and margin_x < width)
    if size is None and mode in _PAD_MODE and fits:
        margins = (margin_x, margin_x, margin_y, margin_y)
        return F.pad(image, margins, mode=_PAD_MODE[mode], value=value if mode == "constant" else None)
    heights = image.new_full((1,), height) if size is None else size.height
    widths = image.new_full((1,), width) if size is None else size.width
    rows, y_inside = border_indices(height, margin_y, heights, mode)
    columns, x_inside = border_indices(width, margin_x, widths, mode)
    out = take(image, rows, columns)
    if mode == "constant":
        return torch.where(y_inside[:, None, :, None] & x_inside[:, None, None, :], out, value)
    return out


def ragged(frame: Frame) -> Sizes | None:
    """The sizes of images that differ, None where each fills the canvas."""
    return None if frame.own is None else frame.size


def border_indices(length: int, margin: int, own: Tensor, mode: PaddingMode) -> tuple[Tensor, Tensor]:
    """What each of `length + 2 margin` places reads of an axis: (B, places) indices, and whether it lies inside.

    Args:
        length: of the canvas.
        margin: on both sides.
        own: (B,) lengths of the images.
        mode: of the border.
    """
    limit = own.to(torch.float32)[:, None]
    centres = torch.arange(-margin, length + margin, device=own.device)[None] + 0.5
    inside = (centres > 0) & (centres < limit)
    at = folded(centres, torch.zeros_like(limit), limit, "edge" if mode == "constant" else mode)
    return at.floor().clamp(min=0).to(torch.int64), inside


def convolve(image: Tensor, kernels: Tensor) -> Tensor:
    """Correlate each image with its own kernel, where it fits.

    Args:
        image: (B, C, H + h - 1, W + w - 1) float, `bordered`.
        kernels: (B, h, w).

    Returns:
        (B, C, H, W)
    """
    b, c = image.shape[:2]
    high, wide = (image.shape[i + 2] - kernels.shape[i + 1] + 1 for i in (0, 1))
    if b == 0:
        return image[:, :, :high, :wide]
    weight = kernels.to(image.dtype).repeat_interleave(c, 0)[:, None]
    with torch.autocast(image.device.type, enabled=False):
        return F.conv2d(image.flatten(0, 1)[None], weight, groups=b * c).view(b, c, high, wide)


def convolve_separable(image: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """`convolve` with the kernel `down` (B, h) times `across` (B, w), one axis after the other."""
    down, across = down.to(image.dtype), across.to(image.dtype)
    if not _fuses(down, across) and kernels.correlates(image, down, across):
        return kernels.correlate(image, down, across, None, "none")
    if _fuses(down, across):
        return _tapped(_tapped(image, down, 2), across, 3)
    with torch.autocast(image.device.type, enabled=False):
        return _banded(_banded(image, down).mT, across).mT


def _fuses(*kernels: Tensor) -> bool:
    """Whether they are short enough to be written out in compiled code."""
    return torch.compiler.is_compiling() and all(kernel.shape[1] <= MAX_TAPS for kernel in kernels)


MAX_TAPS = 31
"""Longest kernel that is written out as a sum of shifted images in compiled code, where it fuses into one pass."""
BLOCK = 32
"""Rows that one banded matrix makes: measured best of 16, 32, 56 and all rows; a fifth of a grouped convolution's time."""


def _tapped(image: Tensor, kernels: Tensor, axis: int) -> Tensor:
    """Correlation along an axis as a sum of shifted images."""
    taps = kernels.shape[1]
    length = image.shape[axis] - taps + 1
    total = kernels[:, 0, None, None, None] * image.narrow(axis, 0, length)
    for tap in range(1, taps):
        total = total + kernels[:, tap, None, None, None] * image.narrow(axis, tap, length)
    return total


def _banded(image: Tensor, kernels: Tensor) -> Tensor:
    """Correlation along the rows' axis as products with a banded matrix, for blocks of rows."""
    taps = kernels.shape[1]
    length = image.shape[2] - taps + 1
    blocks = -(-length // BLOCK)
    block = -(-length // blocks)
    spans = F.pad(image, (0, 0, 0, blocks * block - length)).unfold(
        2, block + taps - 1, block
    )  # (B, C, blocks, W, span)
    row = torch.arange(block, device=image.device)[:, None]
    offset = torch.arange(block + taps - 1, device=image.device) - row
    band = torch.where((offset >= 0) & (offset < taps), kernels[:, offset.clamp(0, taps - 1)], 0)
    return torch.matmul(band[:, None, None], spans.mT).flatten(2, 3)[:, :, :length]


def gaussian(sigma: Tensor, taps: int) -> Tensor:
    """(B, taps) normalised Gaussian weights of standard deviation `sigma` (B,) in pixels, above 0."""
    at = torch.arange(taps, device=sigma.device, dtype=sigma.dtype) - (taps - 1) / 2
    return torch.softmax(-0.5 * (at / sigma[:, None]).square(), 1)


def blurred(
    image: Tensor,
    size: Sizes | None,
    down: Tensor,
    across: Tensor,
    mode: PaddingMode = "reflect",
    chosen: Tensor | None = None,
) -> Tensor:
    """Images convolved with odd kernels `down` (B, h) and `across` (B, w), with a border: (B, C, H, W).

    Samples that are not `chosen` (B,) come out as they are.
    """
    down, across = down.to(image.dtype), across.to(image.dtype)
    if not _fuses(down, across) and kernels.correlates(image, down, across):
        return kernels.correlate(image, down, across, None if size is None else (size.height, size.width), mode, chosen)
    if chosen is not None and mode != "constant" and _fuses(down, across):  # so that the image is not read once more
        down, across = (torch.where(chosen[:, None], kernel, _still(kernel)) for kernel in (down, across))
        return _blurred(image, size, down, across, mode)
    out = _blurred(image, size, down, across, mode)
    return out if chosen is None else pick(chosen, out, image)


def _still(kernels: Tensor) -> Tensor:
    """A kernel (1, taps) of an odd length that leaves images as they are."""
    place = torch.arange(kernels.shape[1], device=kernels.device)
    return (place == kernels.shape[1] // 2).to(kernels.dtype)[None]


def _blurred(image: Tensor, size: Sizes | None, down: Tensor, across: Tensor, mode: PaddingMode) -> Tensor:
    """`blurred` by torch's own operators."""
    if image.device.type != "cpu" and not torch.compiler.is_compiling() and mode != "constant":
        return _dense(image, size, down, across, mode)
    margins = down.shape[1] // 2, across.shape[1] // 2
    if mode != "constant" and _fuses(down, across):
        own, margin, width = None if size is None else size.height, margins[1], image.shape[3]
        if size is None and mode == "reflect" and 0 < margin < width:
            # Three pieces that a compiler writes side by side, where a border around one would be a pass of its own.
            sides = image[..., 1 : margin + 1].flip(3), image[..., width - margin - 1 : -1].flip(3)
            pieces = [_tapped_inside(piece, down, own, mode) for piece in (sides[0], image, sides[1])]
            return _tapped(torch.cat(pieces, 3), across, 3)
        return _tapped(bordered(_tapped_inside(image, down, own, mode), size, 0, margin, mode), across, 3)
    return convolve_separable(bordered(image, size, *margins, mode), down, across)


def _tapped_inside(image: Tensor, kernels: Tensor, own: Tensor | None, mode: PaddingMode) -> Tensor:
    """`_tapped` of images without a border: rows beyond it are read where it says, and no larger image is written."""
    taps, length = kernels.shape[1], image.shape[2]
    own = kernels.new_full((1,), length) if own is None else own
    places = border_indices(length, taps // 2, own, mode)[0]
    total = torch.zeros_like(image)
    for tap in range(taps):
        total = total + kernels[:, tap, None, None, None] * take_along(image, places[:, tap : tap + length], 2)
    return total


def _dense(image: Tensor, size: Sizes | None, down: Tensor, across: Tensor, mode: PaddingMode) -> Tensor:
    """`blurred` as two matrix products that hold the border too: on a GPU the fewest kernels and passes over memory."""
    sizes = (None, None) if size is None else (size.height, size.width)
    rows, columns = (
        _band(kernel.to(image.dtype), length, own, mode)
        for kernel, length, own in zip((down, across), image.shape[2:], sizes, strict=True)
    )
    with torch.autocast(image.device.type, enabled=False):
        return torch.matmul(rows[:, None], torch.matmul(image, columns[:, None].mT))


def _band(kernels: Tensor, length: int, own: Tensor | None, mode: PaddingMode) -> Tensor:
    """(B, length, length): what each output pixel reads of an axis, its border folded in."""
    count, taps = kernels.shape
    own = kernels.new_full((1,), length) if own is None else own
    places = border_indices(length, taps // 2, own, mode)[0].unfold(1, taps, 1).expand(count, -1, -1)
    return kernels.new_zeros(count, length, length).scatter_add(2, places, kernels[:, None].expand_as(places))


def filtered(image: Tensor, size: Sizes | None, kernels: Tensor, mode: PaddingMode = "reflect") -> Tensor:
    """Images correlated with odd kernels (B, h, w), with a border: (B, C, H, W)."""
    margins = kernels.shape[1] // 2, kernels.shape[2] // 2
    return convolve(bordered(image, size, *margins, mode), kernels)


def bilinear(image: Tensor, size: Sizes, y: Tensor, x: Tensor) -> Tensor:
    """Values between pixels, twice differentiable by the image; beyond the border its nearest pixel.

    Args:
        image: (B, C, H, W) float.
        size: of the images.
        y: (B, H', W') rows to read, whole numbers at the centres of pixels.
        x: (B, H', W') columns.

    Returns:
        (B, C, H', W')
    """
    y = torch.minimum(y.clamp(min=0), size.height[:, None, None] - 1)
    x = torch.minimum(x.clamp(min=0), size.width[:, None, None] - 1)
    above, before = y.floor(), x.floor()
    down, right = (y - above)[:, None].to(image.dtype), (x - before)[:, None].to(image.dtype)
    below = torch.minimum(above + 1, size.height[:, None, None] - 1)
    after = torch.minimum(before + 1, size.width[:, None, None] - 1)
    top = torch.lerp(nearest(image, above, before), nearest(image, above, after), right)
    bottom = torch.lerp(nearest(image, below, before), nearest(image, below, after), right)
    return torch.lerp(top, bottom, down)


def nearest(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The pixels in rows `y` and columns `x`, (B, H', W') whole numbers inside the images: (B, C, H', W')."""
    place = (y * image.shape[3] + x).to(torch.int64).flatten(1)[:, None].expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, place).view(*image.shape[:2], *y.shape[1:])
