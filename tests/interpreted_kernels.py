"""The kernels' numbers, on a CPU by triton's interpreter; `test_kernels` runs this file in a process that sets it up.

TRITON_INTERPRET=1 must be there before triton is imported, and would slow everything else down.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms.v2 import functional as tvf

from torchaug import Batch, Compose
from torchaug import image as T
from torchaug.image import filters, kernels, resample, warp
from torchaug.image.axes import Axis, Filter, Interpolation, PaddingMode
from torchaug.image.resample import as_dtype, as_float, per_channel
from torchaug.image.resize_cpu import resize_on_cpu
from torchaug.keys import sample_keys
from torchaug.transform import Sizes

SHAPES = [(1, 1, 1), (3, 1, 7), (5, 9, 2), (3, 21, 34)]
COUNT = 3
BORDERS: tuple[PaddingMode, ...] = ("constant", "edge", "reflect", "symmetric")


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels take what torch's own kernels for a CPU would."""
    monkeypatch.setattr(kernels, "DEVICES", ("cpu",))
    monkeypatch.setattr(warp, "_has_cpu_kernels", lambda image: False)


def close(ours: Tensor, expected: Tensor) -> None:
    """Within 1e-5, or a level; of the same shape and dtype."""
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    tolerance = 1.0 if ours.dtype == torch.uint8 else 1e-5
    torch.testing.assert_close(ours.double(), expected.double(), rtol=0, atol=tolerance)


def test_a_wrong_answer_is_noticed() -> None:
    with pytest.raises(AssertionError):
        close(torch.zeros(3), torch.full((3,), 2e-5))
    with pytest.raises(AssertionError):
        close(torch.zeros(3, dtype=torch.uint8), torch.full((3,), 2, dtype=torch.uint8))


def images(shape: tuple[int, int, int], dtype: torch.dtype, generator: torch.Generator, count: int = COUNT) -> Tensor:
    """Noise in one of three layouts: contiguous, channels last, or a window of larger images."""
    c, h, w = shape
    whole = torch.randint(0, 256, (count, c, h + 2, w + 3), dtype=torch.uint8, generator=generator)
    layout = int(torch.randint(3, (), generator=generator))
    window = whole[:, :, 1 : h + 1, 2 : w + 2]
    image = (window.contiguous(), window.contiguous(memory_format=torch.channels_last), window)[layout]
    return image if dtype == torch.uint8 else image.to(dtype) / 255


def axis(length: int, canvas: int, generator: torch.Generator, count: int = COUNT, most: float = 8) -> Axis:
    """A window of an axis, shrunk at most `most` times or enlarged, maybe flipped, and moved partly off the canvas."""

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    low = (between(0, length) * (torch.rand(count, generator=generator) < 0.5)).floor()
    high = torch.maximum(low + 1, torch.where(torch.rand(count, generator=generator) < 0.5, length, between(0, length)))
    scale = (high - low) / canvas * 2 ** between(-2, 2)
    scale = scale.clamp(max=most) * torch.where(torch.rand(count, generator=generator) < 0.5, -1, 1)
    moved = between(-0.3, 0.3) * canvas * (torch.rand(count, generator=generator) < 0.5)
    shift = torch.where(scale > 0, low, high) + moved * scale
    return Axis(*torch.stack([scale, shift, low, high.ceil()], 1).unbind(1))  # entries that lie four apart


def by_products(image: Tensor, y: Axis, x: Axis, canvas: tuple[int, int], fill: Tensor, how: Filter) -> Tensor:
    """By matrix products: columns, then rows, rounded in between where the images have levels."""
    height, width = image.shape[2], canvas[1]
    one, none = torch.ones(len(image)), torch.zeros(len(image))
    zero = torch.zeros(1, 1, 1, 1)
    columns = resample.resize(as_float(image), Axis(one, none, none, one * height), x, (height, width), zero, how)
    columns = as_float(as_dtype(columns, image.dtype))
    rows = resample.resize(columns, y, Axis(one, none, none, one * width), canvas, zero, how)
    shown = y.inside(canvas[0])[:, None, :, None] & x.inside(canvas[1])[:, None, None, :]
    return as_dtype(torch.where(shown, rows, as_float(fill)), image.dtype)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_resampling_equals_matrix_products(dtype: torch.dtype, interpolation: Interpolation, antialias: bool) -> None:
    for seed, shape in enumerate(SHAPES):
        generator = torch.Generator().manual_seed(seed)
        image = images(shape, dtype, generator)
        canvas = tuple(torch.randint(1, 20, (2,), generator=generator).tolist())
        most = 8 if interpolation == "bilinear" else 2  # taps of both axes multiply, and the interpreter is slow
        y, x = (axis(length, side, generator, most=most) for length, side in zip(shape[1:], canvas, strict=True))
        fill = per_channel([3 if dtype == torch.uint8 else 0.3] * (shape[0] if seed % 2 else 1), image)
        how = Filter(interpolation, antialias)
        ours = kernels.resample(image, y, x, canvas, fill, how)
        close(ours, by_products(image, y, x, canvas, fill, how))
        if dtype != torch.uint8:
            close(ours, resample.resize(image, y, x, canvas, fill, how))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_columns_and_rows_apart_equal_both_at_once(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    image = images((3, 40, 31), dtype, generator)
    y, x, fill = axis(40, 5, generator), axis(31, 9, generator), per_channel([1, 0, 1], image)
    how = Filter("bilinear", True)
    apart = kernels.resample(image, y, x, (5, 9), fill, how)
    monkeypatch.setattr(kernels, "STEEP", 100.0)
    both = kernels.resample(image, y, x, (5, 9), fill, how)
    torch.testing.assert_close(apart, both, rtol=0, atol=1e-3 if dtype == torch.float16 else 1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("canvas", [(9, 30), (33, 17)])
def test_levels_equal_those_of_torch_s_kernels_for_a_cpu(canvas: tuple[int, int], interpolation: Interpolation) -> None:
    image = images((3, 27, 40), torch.uint8, torch.Generator().manual_seed(0), 2)
    ones = torch.ones(2)
    y, x = (Axis(ones * n / m, ones * 0, ones * 0, ones * n) for n, m in zip((27, 40), canvas, strict=True))
    given = (image, y, x, canvas, image.new_zeros(1, 1, 1, 1), Filter(interpolation, True))
    close(kernels.resample(*given), resize_on_cpu(*given))


@pytest.mark.parametrize("canvas", [(7, 9), (20, 61), (40, 33), (1, 1)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resampling_equals_torch(canvas: tuple[int, int], mode: Interpolation) -> None:
    image = torch.rand(2, 3, 27, 40, generator=torch.Generator().manual_seed(1))
    ones = torch.ones(1)
    y, x = (Axis(ones * n / m, ones * 0, ones * 0, ones * n) for n, m in zip((27, 40), canvas, strict=True))
    ours = kernels.resample(image, y, x, canvas, image.new_zeros(1, 1, 1, 1), Filter(mode, True))
    close(ours, F.interpolate(image, canvas, mode=mode, antialias=True))


@pytest.mark.parametrize("padding", BORDERS)
@pytest.mark.parametrize("dtype", kernels.COPIED)
def test_pixels_are_moved_bit_for_bit(
    dtype: torch.dtype, padding: PaddingMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, shape in enumerate(SHAPES):
        generator = torch.Generator().manual_seed(seed)
        image = images(shape, torch.uint8, generator).to(dtype)
        y, x = axis(shape[1], 12, generator), axis(shape[2], 15, generator)
        fill = per_channel([1.0], image)
        monkeypatch.setattr(kernels, "DEVICES", ("cpu",))
        ours = resample.move_pixels(image, y, x, (12, 15), fill, padding)
        monkeypatch.setattr(kernels, "DEVICES", ())
        expected = resample.move_pixels(image, y, x, (12, 15), fill, padding)
        assert ours.dtype == expected.dtype
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("border", BORDERS)
def test_a_correlation_equals_matrix_products(border: PaddingMode, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, shape in enumerate(SHAPES):
        generator = torch.Generator().manual_seed(seed)
        image = images(shape, torch.float32, generator)
        down, across = (torch.rand(n, taps, generator=generator) - 0.3 for n, taps in ((COUNT, 9), (1, 5)))
        size = None
        if seed % 2:
            height, width = (1 + torch.rand(COUNT, generator=generator) * (n - 1) for n in shape[1:])
            size = Sizes(height.floor(), width.floor(), shape[1:])
        monkeypatch.setattr(kernels, "DEVICES", ("cpu",))
        ours = filters.blurred(image, size, down, across, border)
        monkeypatch.setattr(kernels, "DEVICES", ())
        expected = filters.blurred(image, size, down, across.expand(COUNT, -1), border)
        for i in range(COUNT):
            own = shape[1:] if size is None else tuple(int(n[i]) for n in size[:2])
            close(ours[i, :, : own[0], : own[1]], expected[i, :, : own[0], : own[1]])


def test_a_correlation_without_a_border_is_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    image, down, across = torch.rand(3, 2, 19, 40), torch.rand(3, 4), torch.rand(3, 7)
    ours = filters.convolve_separable(image, down, across)
    monkeypatch.setattr(kernels, "DEVICES", ())
    torch.testing.assert_close(ours, filters.convolve_separable(image, down, across))


def test_a_blur_equals_torchvision_and_spares_who_is_not_chosen() -> None:
    image = torch.rand(4, 3, 30, 41, generator=torch.Generator().manual_seed(0))
    sigma, chosen = torch.tensor([0.1, 0.7, 2.0, 1.0]), torch.tensor([True, True, True, False])
    size = Sizes(torch.full((4,), 30.0), torch.tensor([41.0, 41, 41, 20]), (30, 41))
    weights = filters.gaussian(sigma, 23)
    ours = filters.blurred(image, size, weights, weights, chosen=chosen)
    for i in range(3):
        close(ours[i], tvf.gaussian_blur(image[i], [23, 23], [float(sigma[i])] * 2))
    assert torch.equal(ours[3], image[3])


def test_half_precision_is_calculated_in_full() -> None:
    image = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    weights = filters.gaussian(torch.tensor([0.5, 2.0]), 5)
    for dtype in (torch.float16, torch.bfloat16):
        ours = filters.blurred(image.to(dtype), None, weights, weights)
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.float(), filters.blurred(image, None, weights, weights), rtol=0, atol=0.02)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_that_are_no_numbers_stop_nothing() -> None:
    """Loops end whatever a matrix holds, and an infinite pixel that a crop has cut off stays out."""
    image = torch.rand(3, 1, 6, 6)
    image[:, :, 0] = torch.inf
    bad, low, high = torch.tensor([torch.nan, torch.inf, 1.0]), torch.ones(3), torch.full((3,), 6.0)
    y = Axis(bad, torch.zeros(3), low, high)
    out = kernels.resample(image, y, y, (6, 6), torch.zeros(1, 1, 1, 1), Filter("bilinear", True))
    assert torch.isfinite(out[2]).all()
    kernels.move(image, y, y, (6, 6), torch.zeros(1, 1, 1, 1), "reflect")


def test_an_empty_batch_launches_nothing() -> None:
    image, none = torch.zeros(0, 3, 5, 6), torch.zeros(0)
    y = Axis(none, none, none, none)
    fill = torch.zeros(1, 1, 1, 1)
    assert kernels.resample(image, y, y, (4, 7), fill, Filter("bilinear", True)).shape == (0, 3, 4, 7)
    assert kernels.move(image, y, y, (4, 7), fill, "edge").shape == (0, 3, 4, 7)
    assert kernels.correlate(image, torch.zeros(0, 3), torch.zeros(0, 5), None, "none").shape == (0, 3, 3, 2)


class Launched(TorchDispatchMode):
    """The names of our operators that were called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        namespace, name = func._schema.name.split("::")
        self.names += [name] if namespace == "torchaug" else []
        return func(*args, **(kwargs or {}))


def batch(dtype: torch.dtype = torch.uint8) -> Batch:
    image = images((3, 36, 40), dtype, torch.Generator().manual_seed(3), 3)
    size = torch.tensor([[36, 40], [20, 33], [36, 11]])
    return Batch(image=image, mask=(image[:, :1] * 3).long(), size=size, key=sample_keys(torch.arange(3)))


CHAIN = [T.RandomResizedCrop(24), T.RandomHorizontalFlip(), T.RandomGrayscale(0.5), T.GaussianBlur(9, p=0.5)]
WHOLE = {
    "chain": (Compose(CHAIN), ["resample_axes", "move_axes", "correlate_axis", "correlate_axis"]),
    "crop": (T.RandomCrop(32, padding=4, padding_mode="reflect"), ["move_axes", "move_axes"]),
    "nearest": (T.Resize((17, 23), interpolation="nearest"), ["move_axes", "move_axes"]),
    "thumbnail": (T.Resize((6, 8)), ["resample_axes", "resample_axes", "move_axes"]),
    "box": (T.BoxBlur((3, 7), p=0.5), ["correlate_axis", "correlate_axis"]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_transform_comes_out_as_without_the_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transform, expected = WHOLE[name]
    for dtype in (torch.uint8, torch.float32):
        monkeypatch.setattr(kernels, "DEVICES", ("cpu",))
        with Launched() as launched:
            ours = transform(batch(dtype))
        assert launched.names == expected
        monkeypatch.setattr(kernels, "DEVICES", ())
        theirs = transform(batch(dtype))
        close(ours.present()["image"], theirs.present()["image"])
        assert torch.equal(ours.present()["mask"], theirs.present()["mask"])


def test_gradients_take_torch_s_own_way() -> None:
    image = torch.rand(2, 3, 20, 20, requires_grad=True)
    with Launched() as launched:
        out = Compose(CHAIN)(image)
    assert not launched.names
    out.sum().backward()
    assert image.grad is not None
    with torch.no_grad(), Launched() as launched:
        Compose(CHAIN)(image)
    assert launched.names


def test_operators_say_what_they_return_and_trace() -> None:
    generator = torch.Generator().manual_seed(0)
    image = images((3, 9, 8), torch.uint8, generator, 2)
    y, x = (kernels._of(axis(n, 6, generator, 2)) for n in (9, 8))
    fill, weights = image.new_zeros(1, 3, 1, 1), torch.rand(2, 3)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(
        kernels.resample_axes, (image, y, x, fill, False, True, 5, 6, "rows", torch.float32), test_utils=checks
    )
    torch.library.opcheck(kernels.move_axes, (image, y, x, fill, 5, 6, "edge"), test_utils=checks)
    for border in ("reflect", "none"):
        given = (image.float(), weights, None, torch.tensor([True, False]), border, True)
        torch.library.opcheck(kernels.correlate_axis, given, test_utils=checks)
    chain = Compose([CHAIN[0], CHAIN[3]])
    params = chain.draw(batch())
    compiled = torch.compile(chain.play, fullgraph=True, backend="eager")
    traced, eager = (play(batch(), params).present()["image"] for play in (compiled, chain.play))
    assert torch.equal(traced, eager)
