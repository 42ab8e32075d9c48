"""The kernels for CUDA: their numbers by an interpreter, compiled for GPUs that are not here, and what they save."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from torchaug import Batch, Compose
from torchaug import image as T
from torchaug.image import filters, kernels, resample
from torchaug.image.axes import Axis, Filter, PaddingMode
from torchaug.keys import sample_keys

needs_triton = pytest.mark.skipif(not kernels._launchable(), reason="no triton, or no C compiler for it")

CHAIN = [
    T.RandomResizedCrop(224),
    T.RandomHorizontalFlip(),
    T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    T.RandomGrayscale(0.2),
    T.GaussianBlur(23),
    T.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
]


def old_interpreter() -> bool:
    """Triton 3.6, which comes with torch 2.11, makes a number of an array in a way that NumPy 2.4 refuses."""
    version = metadata.version("triton") if find_spec("triton") else "0"
    return tuple(map(int, version.split(".")[:2])) < (3, 7)


@needs_triton
@pytest.mark.slow
@pytest.mark.skipif(old_interpreter(), reason="this triton's interpreter runs no loops with NumPy 2.4")
def test_an_interpreter_finds_the_numbers_of_torch() -> None:
    interpreted = Path(__file__).with_name("interpreted_kernels.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(interpreted)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, env=environment | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


def test_triton_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, torchaug.image; from torchaug.image import kernels; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


class Warmed:
    """A kernel that is compiled and not launched."""

    def __init__(self, kernel: Any) -> None:
        self.kernel, self.made = kernel, list[Any]()

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return lambda *args, **flags: self.made.append(self.kernel.warmup(*args, grid=grid, **flags))


@pytest.fixture(params=[80, 90])
def warmed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Warmed]:
    """The kernels, for a GPU of a compute capability that need not be here."""
    pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    from torchaug.image import kernels_triton

    class Driver:
        def get_current_device(self) -> int:
            return 1000 + int(request.param)  # what is compiled is kept by this number, which no real GPU has

        def get_current_stream(self, device: int) -> int:
            return 0

        def get_current_target(self) -> object:
            return GPUTarget("cuda", request.param, 32)

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(driver, "_active", Driver())
    kinds = {name: Warmed(getattr(kernels_triton, name)) for name in ("resampled", "moved", "correlated")}
    for name, kind in kinds.items():
        monkeypatch.setattr(kernels_triton, name, kind)
    return kinds


def axes(count: int) -> tuple[Axis, Axis]:
    """As a run makes them: each number of the samples behind the one before, wherever that is."""
    parts = torch.cat([torch.ones(count), torch.zeros(2 * count), torch.full((count,), 99.0)] * 2).split(count)
    y, x = Axis(parts[0], *parts[1:4]), Axis(parts[4], *parts[5:])
    return y, x


@needs_triton
def test_kernels_are_compiled_for_gpus_once_for_all_batches(warmed: dict[str, Warmed]) -> None:
    """Whatever the batch, the sizes and the numbers: recompiling would stop training for a second."""
    for count, side in ((1, 256), (2, 256), (5, 300), (16, 333)):
        y, x = axes(count)
        image = torch.zeros(count, 3, side, side - 7, dtype=torch.uint8)
        fill = image.new_zeros(1, 1, 1, 1)
        kernels.resample(image, y, x, (224, 224), fill, Filter("bilinear", True))
        kernels.resample(image, y, x, (24, 24), fill, Filter("bicubic", True))  # columns, then rows
        kernels.resample(image, y, x, (224, 224), fill, Filter("bicubic", False))
        kernels.move(image, y, x, (224, 224), fill, "constant")
        kernels.move(image.long(), y, x, (224, 224), fill, "reflect")
        real, weights, own = torch.zeros(count, 3, 224, 224), torch.zeros(count, 23), torch.full((count, 2), 9.0)
        chosen = torch.ones(count, dtype=torch.bool)
        kernels.correlate(real, weights, weights, (own[:, 0], own[:, 1]), "reflect", chosen)
        kernels.correlate(real, weights, weights, None, "none")
    for name, variants in (("resampled", 4), ("moved", 2), ("correlated", 4)):
        made = warmed[name].made
        assert all(len(kernel.asm["cubin"]) > 1000 for kernel in made)
        assert len({kernel.hash for kernel in made}) == variants


class Calls(TorchDispatchMode):
    """The names of the operators called that make at least so many elements."""

    def __init__(self, least: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.least = least
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.numel() >= self.least:
            self.names.append(func._schema.name.split("::")[1])
        return out


def calls() -> list[str]:
    """What SimCLR's chain calls on a GPU that has shapes and no values."""
    with FakeTensorMode(), Calls(2 * 224 * 224) as made:
        image = torch.empty(2, 3, 256, 256, dtype=torch.uint8, device="cuda")
        Compose(CHAIN, color="folded")(Batch(image=image, key=torch.empty(2, dtype=torch.int64, device="cuda")))
    names: list[str] = made.names
    return names


@needs_triton
def test_a_resize_is_one_launch_and_a_blur_two_on_a_gpu() -> None:
    names = calls()
    assert (names.count("resample_axes"), names.count("correlate_axis")) == (1, 2)
    assert not {"bmm", "scatter_add", "where", "clone"} & set(names)


def test_without_triton_torch_s_own_operators_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "DEVICES", ())
    names = calls()
    assert not {"resample_axes", "correlate_axis"} & set(names)
    assert names.count("bmm") == 4


def test_what_the_kernels_do_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "DEVICES", ("cpu",))
    (y, x), weights = axes(2), torch.rand(2, 3)
    real = torch.rand(2, 3, 5, 5)
    assert kernels.resamples(real, y, x)
    assert kernels.moves(real.double(), y, x)
    assert kernels.correlates(real, weights, weights[:1])
    assert not kernels.resamples(real.double(), y, x)
    assert not kernels.resamples(real.long(), y, x)
    assert not kernels.moves(real.to(torch.complex64), y, x)
    assert not kernels.correlates(real.to(torch.uint8), weights, weights)
    assert not kernels.correlates(real[:1], weights, weights)  # more kernels than images
    assert not kernels.correlates(real, weights.requires_grad_(), weights)
    assert not kernels.resamples(real.requires_grad_(), y, x)
    with torch.no_grad():
        assert kernels.resamples(real, y, x)


def photographs(dtype: torch.dtype, shape: tuple[int, ...] = (5, 3, 256, 300)) -> Tensor:
    image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image = image.contiguous(memory_format=torch.channels_last)
    return image if dtype == torch.uint8 else image.to(dtype) / 255


GEOMETRY = {
    "resized_crop": T.RandomResizedCrop(224),
    "bicubic": T.RandomResizedCrop(224, interpolation="bicubic"),
    "aliased": T.Resize((100, 320), antialias=False),
    "thumbnail": T.Resize((16, 20)),
    "nearest": T.Resize((100, 320), interpolation="nearest"),
    "crop": T.RandomCrop(250, padding=9, padding_mode="reflect"),
    "flipped": Compose([T.RandomHorizontalFlip(), T.RandomVerticalFlip(), T.RandomCrop(200)]),
}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("name", GEOMETRY)
def test_geometry_on_a_gpu_equals_that_of_a_cpu(name: str, dtype: torch.dtype) -> None:
    image, keys = photographs(dtype), sample_keys(torch.arange(5))
    ours = GEOMETRY[name](image.cuda(), keys=keys.cuda()).cpu()
    expected = GEOMETRY[name](image, keys=keys)
    tolerance = 0.0 if name in ("crop", "flipped") else 1.0 if dtype == torch.uint8 else 5e-5
    if name == "nearest":
        assert (ours != expected).float().mean() < 1e-3  # at a pixel's very edge
    else:
        torch.testing.assert_close(ours.double(), expected.double(), rtol=0, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("border", ["constant", "edge", "reflect", "symmetric"])
def test_a_correlation_on_a_gpu_equals_that_of_a_cpu(border: PaddingMode) -> None:
    image, sigma = photographs(torch.float32), torch.tensor([0.1, 0.5, 1.0, 2.0, 6.0])
    down, across = filters.gaussian(sigma, 23), filters.gaussian(sigma.flip(0), 41)
    chosen = torch.tensor([True, True, False, True, True])
    expected = filters.blurred(image, None, down, across, border, chosen)
    ours = filters.blurred(image.cuda(), None, down.cuda(), across.cuda(), border, chosen.cuda()).cpu()
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    assert torch.equal(ours[2], image[2])


@pytest.mark.gpu
def test_a_sample_on_a_gpu_does_not_depend_on_its_batch() -> None:
    chain = Compose([T.RandomResizedCrop(224), T.GaussianBlur(23, p=0.5)])
    image, keys = photographs(torch.uint8).cuda(), sample_keys(torch.arange(5)).cuda()
    together = chain(image, keys=keys)
    for i in (0, 3):
        assert torch.equal(chain(image[i : i + 1], keys=keys[i : i + 1])[0], together[i])
    assert torch.equal(chain(image.flip(0), keys=keys.flip(0)), together.flip(0))


@pytest.mark.gpu
def test_more_pixels_than_32_bits_count_are_reached_on_a_gpu() -> None:
    if torch.cuda.mem_get_info()[0] < 12 << 30:
        pytest.skip("needs 12 GB")
    image = torch.zeros(45, 3, 4096, 4096, dtype=torch.uint8, device="cuda")
    image[-1] = 7
    y, x = (Axis(*(n.cuda() for n in (a.scale, a.shift, a.low, a.high * 1000))) for a in axes(45))
    for out in (
        kernels.move(image, y, x, (4096, 4096), image.new_zeros(1, 1, 1, 1), "constant"),
        kernels.resample(image, y, x, (4096, 4096), image.new_zeros(1, 1, 1, 1), Filter("bilinear", True)),
    ):
        assert (out[-1] == 7).all()
        assert (out[-2] == 0).all()


@pytest.mark.gpu
@pytest.mark.parametrize("canvas", [(224, 224), (30, 40)])
def test_the_kernels_agree_with_matrix_products_on_a_gpu(canvas: tuple[int, int]) -> None:
    image = photographs(torch.float32).cuda()
    scale = torch.tensor([0.5, -1.0, 1.3, 4.0, -7.5], device="cuda")
    low, high = torch.full_like(scale, 10), torch.full_like(scale, 240)
    shift = torch.where(scale > 0, low, high)
    y, x = Axis(scale, shift, low, high), Axis(scale.flip(0), shift.flip(0), low, high)
    hows = [Filter("bilinear", True), Filter("bilinear", False), Filter("bicubic", True), Filter("bicubic", False)]
    fill = resample.per_channel([0.1, 0.2, 0.3], image)
    for how in hows:
        ours = kernels.resample(image, y, x, canvas, fill, how)
        expected = resample.resize(image.double(), y, x, canvas, fill.double(), how)
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=1e-5)
