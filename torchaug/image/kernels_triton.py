"""What `kernels` launches on a GPU. It needs triton, so only the operators there import it, when they first run.

A program makes a tile of one sample: BC channels, BY rows and BX columns. Numbers of a sample are read, and weights worked out,
inside it; channels share them. Offsets have 64 bits, since a batch may hold more than 2^31 pixels, and places along an axis are
floats, exact up to 2^24. Sizes, and where numbers lie, are not specialised for, so that another batch is no other kernel.
"""
# Python's syntax, and not its types.
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

_SIZES = ["height", "height_in", "width_in", "channels"]
_STEPS = ["step_b", "step_c", "step_y", "fill_step"]
_AXES = [
    f"{axis}_{what}{step}" for axis in "yx" for what in ("scale", "shift", "low", "high") for step in ("", "_step")
]
_TAPS = ["kernels", "own", "chosen", "taps", "before", "kernel_step", "own_step", "chosen_step"]
# what differs from batch to batch; numbers lie where a copy of all of them put them, and tuples would hide that from triton


@triton.jit
def _tile(height, width, channels, BC: tl.constexpr, BY: tl.constexpr, BX: tl.constexpr):
    """The number of the sample, and the channels (BC,), rows (BY,) and columns (BX,) that this program makes."""
    place = tl.program_id(0)
    across, down, deep = tl.cdiv(width, BX), tl.cdiv(height, BY), tl.cdiv(channels, BC)
    columns = (place % across) * BX + tl.arange(0, BX)
    rows = (place // across % down) * BY + tl.arange(0, BY)
    depth = (place // across // down % deep) * BC + tl.arange(0, BC)
    return (place // across // down // deep).to(tl.int64), depth, rows, columns


@triton.jit
def _offsets(sample, depth, rows, columns, height, width, channels):
    """Where the tile lies in a contiguous output (BC, BY, BX), and which of it exists."""
    row = (sample * channels + depth)[:, None, None] * height + rows[None, :, None]
    exists = (depth < channels)[:, None, None] & (rows < height)[None, :, None] & (columns < width)[None, None, :]
    return row * width + columns[None, None, :], exists


@triton.jit
def _number(numbers, sample, step):
    """What belongs to a sample, of numbers that lie `step` apart."""
    return tl.load(numbers + sample * step).to(tl.float32)


@triton.jit
def _folded(at, low, high, BORDER: tl.constexpr):
    """`axes.folded`: coordinates outside [low, high] brought inside it."""
    if BORDER == "reflect":
        last = high - low - 1
        period = tl.maximum(2 * last, 1.0)
        turned = at - low - 0.5
        turned = turned - tl.floor(tl.div_rn(turned, period)) * period
        at = low + tl.maximum(tl.minimum(tl.minimum(turned, period - turned), last), 0.0) + 0.5
    if BORDER == "symmetric":
        period = 2 * (high - low)
        turned = at - low
        turned = turned - tl.floor(tl.div_rn(turned, period)) * period
        at = low + tl.minimum(turned, period - turned)
    if BORDER == "symmetric" or BORDER == "edge":
        at = tl.minimum(tl.maximum(at, low + 0.5), high - 0.5)
    return at


@triton.jit
def _index(at, limit):
    """The pixel that holds a coordinate, among those that exist; 0 where the coordinate is no number."""
    # what is no number equals nothing; not all of triton's maxima drop it
    at = tl.where(at == at, tl.floor(at), 0.0)  # noqa: PLR0124
    return tl.minimum(tl.maximum(at, 0.0), limit - 1.0).to(tl.int32).to(tl.int64)


@triton.jit
def _weight(distance, CUBIC: tl.constexpr, SHARP: tl.constexpr):
    """`axes.kernel`."""
    d = tl.abs(distance)
    if CUBIC:
        near = ((SHARP + 2) * d - (SHARP + 3)) * d * d + 1
        far = ((d - 5) * d + 8) * (d * SHARP) - 4 * SHARP
        weight = tl.where(d < 1, near, tl.where(d < 2, far, 0.0))
    else:
        weight = tl.maximum(1 - d, 0.0)
    return weight


@triton.jit
def _span(scale, low, at, limit, CUBIC: tl.constexpr, ANTIALIAS: tl.constexpr):
    """How wide the filter is, the first pixel that each place (n,) reads, and how many they read: never more than exist."""
    radius: tl.constexpr = 2.0 if CUBIC else 1.0
    wide = tl.maximum(tl.abs(scale), 1.0) if ANTIALIAS else 1.0
    first = tl.ceil(at - radius * wide - 0.5)
    if ANTIALIAS:
        first = tl.maximum(first, tl.maximum(tl.ceil(low - 0.5), 0.0))
        count = tl.minimum(tl.ceil(2 * radius * wide), limit + 0.0).to(tl.int32)
    else:
        count = 4 if CUBIC else 2
    return wide, first, count


@triton.jit
def _tap(pixel, at, shown, wide, low, high, limit, CUBIC: tl.constexpr, ANTIALIAS: tl.constexpr):
    """The weight of a pixel for each place (n,), and its number among those that exist."""
    if ANTIALIAS:
        weight = _weight((pixel + 0.5 - at) / wide, CUBIC, -0.5)
        shown = shown & (pixel + 0.5 > low) & (pixel + 0.5 < high)
    else:  # beyond the last pixel that is seen, that one
        weight = _weight(pixel + 0.5 - at, CUBIC, -0.75)
        pixel = tl.minimum(tl.maximum(pixel, tl.ceil(low - 0.5)), tl.ceil(high - 0.5) - 1)
    return tl.where(shown, weight, 0.0), _index(pixel, limit)


@triton.jit
def _level(value):
    """Rounded to a level of 255."""
    return tl.minimum(tl.maximum(tl.floor(value + 0.5), 0.0), 255.0)


@triton.jit
def _cast(value, out):
    """Floats as what `out` points to."""
    if out.dtype.element_ty == tl.uint8:
        value = _level(value)
    return value.to(out.dtype.element_ty)


@triton.jit(do_not_specialize=[*_SIZES, *_STEPS, *_AXES, "fill"])
def resampled(
    image, out, fill, y_scale, y_shift, y_low, y_high, x_scale, x_shift, x_low, x_high, y_scale_step, y_shift_step, y_low_step,
    y_high_step, x_scale_step, x_shift_step, x_low_step, x_high_step, height, width, height_in, width_in, channels, step_b,
    step_c, step_y, step_x, fill_step, DOWN: tl.constexpr, ACROSS: tl.constexpr, CUBIC: tl.constexpr, ANTIALIAS: tl.constexpr,
    BC: tl.constexpr, BY: tl.constexpr, BX: tl.constexpr,
):  # fmt: skip
    """`resample.resize` of columns (ACROSS), rows (DOWN) or both, in this order; the way down fills.

    Levels are rounded between the two, as torch's own kernels do on a CPU: there an overshoot of a cubic is clamped.
    """
    sample, depth, rows, columns = _tile(height, width, channels, BC, BY, BX)
    y_scale, y_shift = _number(y_scale, sample, y_scale_step), _number(y_shift, sample, y_shift_step)
    x_scale, x_shift = _number(x_scale, sample, x_scale_step), _number(x_shift, sample, x_shift_step)
    y_low, y_high = _number(y_low, sample, y_low_step), _number(y_high, sample, y_high_step)
    x_low, x_high = _number(x_low, sample, x_low_step), _number(x_high, sample, x_high_step)
    y_at = y_scale * (rows + 0.5) + y_shift
    x_at = x_scale * (columns + 0.5) + x_shift
    y_shown = (y_at > y_low) & (y_at < y_high) & (rows < height)
    x_shown = (x_at > x_low) & (x_at < x_high) & (columns < width)
    x_count, y_count = 1, 1
    total_x, total_y = tl.zeros([BX], tl.float32), tl.zeros([BY], tl.float32)
    if ACROSS:
        x_wide, x_first, x_count = _span(x_scale, x_low, x_at, width_in, CUBIC, ANTIALIAS)
        for i in range(x_count):
            total_x += _tap(x_first + i, x_at, x_shown, x_wide, x_low, x_high, width_in, CUBIC, ANTIALIAS)[0]
        total_x = tl.where(tl.abs(total_x) < 1e-6, 1.0, total_x)
    if DOWN:
        y_wide, y_first, y_count = _span(y_scale, y_low, y_at, height_in, CUBIC, ANTIALIAS)
    plane = image + sample * step_b + (depth * step_c.to(tl.int64))[:, None, None]
    value = tl.zeros([BC, BY, BX], tl.float32)
    for j in range(y_count):
        if DOWN:
            down, row = _tap(y_first + j, y_at, y_shown, y_wide, y_low, y_high, height_in, CUBIC, ANTIALIAS)
            total_y += down
        else:
            down, row = tl.where(rows < height, 1.0, 0.0), rows.to(tl.int64)
        line = tl.zeros([BC, BY, BX], tl.float32)
        for i in range(x_count):
            if ACROSS:
                across, column = _tap(x_first + i, x_at, x_shown, x_wide, x_low, x_high, width_in, CUBIC, ANTIALIAS)
                across = across / total_x
            else:
                across, column = tl.where(x_shown, 1.0, 0.0), columns.to(tl.int64)
            place = plane + (row * step_y)[None, :, None] + (column * step_x)[None, None, :]
            counts = (depth < channels)[:, None, None] & (down != 0)[None, :, None] & (across != 0)[None, None, :]
            pixel = tl.load(place, mask=counts, other=0).to(tl.float32)
            line = tl.fma(pixel, tl.broadcast_to(across[None, None, :], (BC, BY, BX)), line)
        if image.dtype.element_ty == tl.uint8 and ACROSS and DOWN:
            line = _level(line)
        value = tl.fma(line, tl.broadcast_to(down[None, :, None], (BC, BY, BX)), value)
    if DOWN:
        value = value / tl.where(tl.abs(total_y) < 1e-6, 1.0, total_y)[None, :, None]
        outside = tl.load(fill + depth * fill_step, mask=depth < channels, other=0).to(tl.float32)
        value = tl.where(y_shown[None, :, None] & x_shown[None, None, :], value, outside[:, None, None])
    offset, exists = _offsets(sample, depth, rows, columns, height, width, channels)
    tl.store(out + offset, _cast(value, out), mask=exists)


@triton.jit(do_not_specialize=[*_SIZES, *_STEPS, *_AXES, "fill"])
def moved(
    image, out, fill, y_scale, y_shift, y_low, y_high, x_scale, x_shift, x_low, x_high, y_scale_step, y_shift_step, y_low_step,
    y_high_step, x_scale_step, x_shift_step, x_low_step, x_high_step, height, width, height_in, width_in, channels, step_b,
    step_c, step_y, step_x, fill_step, BORDER: tl.constexpr, BC: tl.constexpr, BY: tl.constexpr, BX: tl.constexpr,
):  # fmt: skip
    """`resample.move_pixels`: the pixel under each place, bit for bit."""
    sample, depth, rows, columns = _tile(height, width, channels, BC, BY, BX)
    y_scale, y_shift = _number(y_scale, sample, y_scale_step), _number(y_shift, sample, y_shift_step)
    x_scale, x_shift = _number(x_scale, sample, x_scale_step), _number(x_shift, sample, x_shift_step)
    y_low, y_high = _number(y_low, sample, y_low_step), _number(y_high, sample, y_high_step)
    x_low, x_high = _number(x_low, sample, x_low_step), _number(x_high, sample, x_high_step)
    y_at = y_scale * (rows + 0.5) + y_shift
    x_at = x_scale * (columns + 0.5) + x_shift
    row = _index(_folded(y_at, y_low, y_high, BORDER), height_in)
    column = _index(_folded(x_at, x_low, x_high, BORDER), width_in)
    offset, exists = _offsets(sample, depth, rows, columns, height, width, channels)
    plane = image + sample * step_b + (depth * step_c.to(tl.int64))[:, None, None]
    place = plane + (row * step_y)[None, :, None] + (column * step_x)[None, None, :]
    if BORDER == "constant":
        y_shown, x_shown = (y_at > y_low) & (y_at < y_high), (x_at > x_low) & (x_at < x_high)
        seen = y_shown[None, :, None] & x_shown[None, None, :]
        outside = tl.load(fill + depth * fill_step, mask=depth < channels, other=0)[:, None, None]
        value = tl.where(seen, tl.load(place, mask=exists & seen, other=0), outside)
    else:
        value = tl.load(place, mask=exists, other=0)
    tl.store(out + offset, value, mask=exists)


@triton.jit
def _taps(kernel, step, taps, BT: tl.constexpr):
    """The first and the last tap that counts: what is below a billionth of the largest is nothing to a float32."""
    tap = tl.arange(0, BT)
    size = tl.abs(tl.load(kernel + tap * step, mask=tap < taps, other=0).to(tl.float32))
    counts = size > 1e-9 * tl.max(size, 0)
    return tl.min(tl.where(counts, tap, BT), 0), tl.max(tl.where(counts, tap, -1), 0)


@triton.jit
def _beside(places, shift, own, limit, on, BORDER: tl.constexpr):
    """Which pixels lie `shift` from `places` (n,) along an axis, and whether they are seen."""
    at = places + shift + 0.5
    seen = (at > 0) & (at < limit)
    if BORDER != "none":
        if BORDER == "constant":
            seen = seen & ((at < own) | (on == 0))
        at = tl.where(on != 0, _folded(at, 0.0, own, BORDER), at)
        if BORDER != "constant":
            seen = places < limit
    return _index(at, limit), seen


@triton.jit(do_not_specialize=[*_SIZES, *_TAPS])
def correlated(
    image, out, kernels, own, chosen, taps, before, height, width, height_in, width_in, channels, step_b, step_c, step_y,
    step_x, kernel_step, tap_step, own_step, chosen_step, DOWN: tl.constexpr, BORDER: tl.constexpr, RAGGED: tl.constexpr,
    PICKS: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr, BY: tl.constexpr, BX: tl.constexpr,
):  # fmt: skip
    """Correlation along the rows' axis (DOWN) or along columns with a kernel per sample; those not chosen are copied."""
    sample, depth, rows, columns = _tile(height, width, channels, BC, BY, BX)
    kernel = kernels + sample * kernel_step
    first, last = _taps(kernel, tap_step, taps, BT)
    on = 1
    if PICKS:
        on = tl.load(chosen + sample * chosen_step).to(tl.int32)
        first, last = tl.where(on != 0, first, before), tl.where(on != 0, last, before)
    limit = height_in if DOWN else width_in
    length = tl.load(own + sample * own_step).to(tl.float32) if RAGGED else limit + 0.0
    plane = image + sample * step_b + (depth * step_c.to(tl.int64))[:, None, None]
    row, column = rows.to(tl.int64), columns.to(tl.int64)
    offset, exists = _offsets(sample, depth, rows, columns, height, width, channels)
    value = tl.zeros([BC, BY, BX], tl.float32)
    for tap in range(first, last + 1):
        weight = tl.load(kernel + tap * tap_step).to(tl.float32)
        if PICKS:
            weight = tl.where(on != 0, weight, 1.0)
        if DOWN:
            row, there = _beside(rows, tap - before, length, limit, on, BORDER)
            seen = exists & there[None, :, None]
        else:
            column, there = _beside(columns, tap - before, length, limit, on, BORDER)
            seen = exists & there[None, None, :]
        place = plane + (row * step_y)[None, :, None] + (column * step_x)[None, None, :]
        value += tl.load(place, mask=seen, other=0).to(tl.float32) * weight
    tl.store(out + offset, _cast(value, out), mask=exists)
