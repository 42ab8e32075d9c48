"""How much work is the SimCLR chain, how fast is it, and where do single transforms beat kornia and where not?

Cost: passes over memory and launches of RandomResizedCrop(224) -> flip -> ColorJitter(.4, .4, .4, .1) ->
RandomGrayscale(.2) -> GaussianBlur(23) -> Normalize, which depend on no clock. Speed: the chain of `scripts/bench chain` (the
same without the blur), by us and by the peers, in turns. Single transforms: float images of 224 x 224, each sample with its
own parameters, by us (eager, exact) and by kornia, in turns. Run by `scripts/bench image`.

An operator of our own (`torchaug.image.kernels`) counts as the one kernel that it launches, its inputs as read once and its
output as written once. What takes two launches is two operators: the image between them is counted as well.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import chain
import kornia.augmentation as K
import numpy as np
import torch
from rows import FRESH, VIEWS, Row, Traffic, interleaved, row, write
from torch._inductor import metrics
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from torchaug import Batch, Compose
from torchaug import image as T

SIZE, COUNT = 224, 16
PIXELS = SIZE * SIZE


def simclr(color: str = "exact") -> Compose:
    """The chain whose cost is counted."""
    steps = [
        T.RandomResizedCrop(SIZE),
        T.RandomHorizontalFlip(),
        T.ColorJitter(*chain.JITTER),
        T.RandomGrayscale(0.2),
        T.GaussianBlur(23),
        T.Normalize(chain.MEAN, chain.STD),
    ]
    return Compose(steps, color=color)


class Launches(TorchDispatchMode):
    """Counts kernels and copies on the device, and operators on the host, which work out parameters there."""

    device = host = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        if name not in VIEWS:
            touched = out if name in FRESH else (args, kwargs, out)
            on_device = any(t.is_cuda for t in tree_leaves(touched) if isinstance(t, torch.Tensor))
            self.device, self.host = self.device + on_device, self.host + (not on_device)
        return out


def on_fake_gpu(batch: int) -> Batch:
    """A batch on a device that has shapes and no values: the same operators run as on a GPU. Its keys are the host's."""
    image = torch.empty(batch, 3, 256, 256, dtype=torch.uint8, device="cuda")
    return Batch(image=image)


def eager_cost() -> list[Row]:
    """Launches and passes of the eager chain as a GPU runs it; a pass is one read and one write of the float batch."""
    rows = []
    for batch in (8, 64):
        unit = 2 * batch * 3 * PIXELS * 4
        for color in ("folded", "exact"):
            with FakeTensorMode():
                images, chain_, keys = on_fake_gpu(batch), simclr(color), torch.empty(batch, dtype=torch.int64)
                with Launches() as counted:
                    chain_(images, keys=keys)
                with Traffic() as moved:
                    chain_(images, keys=keys)
            name, folded = f"SimCLR chain, eager {color}, B={batch}", color == "folded"
            rows.append(_bounded(f"{name}, launches on the device", counted.device, "launches", 40 if folded else None))
            rows.append(Row(f"{name}, operators on the host", counted.host, "calls"))
            rows.append(_bounded(f"{name}, memory traffic", moved.bytes / unit, "passes", 8.0 if folded else None))
    return rows


def kornia_cost(batch: int = 8) -> list[Row]:
    """The same of kornia, on the CPU, since it waits for values that a fake device has not."""
    korn = K.AugmentationSequential(
        K.RandomResizedCrop((SIZE, SIZE)),
        K.RandomHorizontalFlip(),
        K.ColorJitter(*chain.JITTER),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((23, 23), (0.1, 2.0), p=1.0),
        K.Normalize(torch.tensor(chain.MEAN), torch.tensor(chain.STD)),
        data_keys=["input"],
    )
    images = chain.decoded(batch).float() / 255
    with Traffic() as moved:
        korn(images)
    passes = moved.bytes / (2 * batch * 3 * PIXELS * 4)
    return [
        Row(f"SimCLR chain, kornia, B={batch}, operator calls", moved.calls, "calls"),
        Row(f"SimCLR chain, kornia, B={batch}, memory traffic", passes, "passes"),
    ]


def compiled_cost(batch: int = 8) -> list[Row]:
    """Passes of the compiled chain on the CPU: by the compiler's own account, and the resizing operator's bytes."""
    rows, unit = [], 2 * batch * 3 * PIXELS * 4
    resized = batch * 3 * (256 * 256 + PIXELS)  # uint8 in and out
    logger = logging.getLogger("torch._inductor.compile_fx.__inductor_metrics")
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.INFO)  # only then does it count
    try:
        for color in ("folded", "exact"):
            metrics.reset()
            torch._dynamo.reset()
            with torch._inductor.config.patch(fx_graph_cache=False):
                simclr(color).compile()(chain.decoded(batch))
            passes = (metrics.num_bytes_accessed + resized) / unit
            rows.append(_bounded(f"SimCLR chain, compiled {color}, B={batch}, memory traffic", passes, "passes", 4.5))
    finally:
        logger.setLevel(level)
    return rows


def _bounded(name: str, value: float, unit: str, at_most: float | None = None) -> Row:
    if at_most is None:
        return Row(name, value, unit)
    return Row(name, value, unit, target=f"<= {at_most}", met=value <= at_most)


def chain_speed(rounds: int) -> list[Row]:
    """The chain of `scripts/bench chain`, one thread, with this issue's bounds."""
    names = ["ours, eager exact", "ours, eager folded", "ours, compiled exact", "ours, compiled folded", "kornia"]
    names += ["torchvision v2 per sample", "albumentations"]
    torch.set_num_threads(1)
    contenders = chain.contenders(chain.decoded(chain.BATCH))
    seconds = interleaved({name: contenders[name] for name in names}, rounds)
    bounds = {
        ("ours, compiled exact", "albumentations"): 1.7,
        ("ours, compiled exact", "torchvision v2 per sample"): 6.0,
        ("ours, compiled exact", "kornia"): 12.0,
        ("ours, eager exact", "torchvision v2 per sample"): 1.3,
    }
    return chain.compared(seconds, "1 thread", bounds)


def singles() -> dict[str, tuple[torch.nn.Module, Callable[[torch.Tensor], object]]]:
    """Pairs of ours and kornia's with like parameters, every sample transformed."""
    one = {"p": 1.0}
    return {
        "horizontal flip": (T.RandomHorizontalFlip(**one), K.RandomHorizontalFlip(**one)),
        "vertical flip": (T.RandomVerticalFlip(**one), K.RandomVerticalFlip(**one)),
        "rotation 90": (T.RandomRotation90((1, 2, 3), **one), K.RandomRotation90((1, 3), **one)),
        "resize": (T.Resize((160, 160)), K.Resize((160, 160), antialias=True)),
        "resized crop": (T.RandomResizedCrop(SIZE), K.RandomResizedCrop((SIZE, SIZE))),
        "crop": (T.RandomCrop(192), K.RandomCrop((192, 192))),
        "centre crop": (T.CenterCrop(192), K.CenterCrop((192, 192))),
        "rotation": (T.RandomRotation(30, "bilinear"), K.RandomRotation(30.0, **one)),
        "affine": (
            T.RandomAffine(15, (0.1, 0.1), (0.8, 1.2), 5, "bilinear"),
            K.RandomAffine(15.0, (0.1, 0.1), (0.8, 1.2), 5.0, **one),
        ),
        "perspective": (T.RandomPerspective(**one), K.RandomPerspective(**one)),
        "elastic": (T.ElasticTransform(), K.RandomElasticTransform(**one)),
        "thin-plate spline": (T.ThinPlateSpline(**one), K.RandomThinPlateSpline(**one)),
        "fisheye": (
            T.Fisheye((-0.3, 0.3), (-0.3, 0.3), (0.9, 1.0), **one),
            K.RandomFisheye(torch.tensor([-0.3, 0.3]), torch.tensor([-0.3, 0.3]), torch.tensor([0.9, 1.0]), **one),
        ),
        "colour jitter": (T.ColorJitter(*chain.JITTER), K.ColorJitter(*chain.JITTER, **one)),
        "greyscale": (T.RandomGrayscale(**one), K.RandomGrayscale(**one)),
        "gamma": (T.RandomGamma((0.7, 1.3), **one), K.RandomGamma((0.7, 1.3), (1.0, 1.0), **one)),
        "invert": (T.RandomInvert(**one), K.RandomInvert(**one)),
        "posterize": (T.RandomPosterize(4, **one), K.RandomPosterize(4, **one)),
        "solarize": (T.RandomSolarize(0.5, **one), K.RandomSolarize(0.1, 0.0, **one)),
        "equalize": (T.RandomEqualize(**one), K.RandomEqualize(**one)),
        "autocontrast": (T.RandomAutocontrast(**one), K.RandomAutoContrast(**one)),
        "sharpness": (T.RandomAdjustSharpness(2.0, **one), K.RandomSharpness(2.0, **one)),
        "CLAHE": (T.CLAHE((1.0, 4.0), **one), K.RandomClahe((1.0, 4.0), **one)),
        "channel permutation": (T.RandomChannelPermutation(), K.RandomChannelShuffle(**one)),
        "Planckian jitter": (T.PlanckianJitter(**one), K.RandomPlanckianJitter(**one)),
        "RGB shift": (T.RGBShift(**one), K.RandomRGBShift(**one)),
        "Gaussian blur": (T.GaussianBlur(23), K.RandomGaussianBlur((23, 23), (0.1, 2.0), **one)),
        "box blur": (T.BoxBlur(5, **one), K.RandomBoxBlur((5, 5), **one)),
        "median blur": (T.MedianBlur(5, **one), K.RandomMedianBlur((5, 5), **one)),
        "motion blur": (T.MotionBlur(7, 35.0, 0.5, **one), K.RandomMotionBlur(7, 35.0, 0.5, **one)),
        "Gaussian noise": (T.GaussianNoise(), K.RandomGaussianNoise(0.0, 0.1, **one)),
        "salt and pepper": (T.SaltAndPepper(**one), K.RandomSaltAndPepperNoise(**one)),
        "erasing": (T.RandomErasing(**one), K.RandomErasing(**one)),
        "JPEG": (T.JPEG((50, 90)), K.RandomJPEG((50.0, 90.0), **one)),
        "plasma shadow": (T.RandomPlasmaShadow(**one), K.RandomPlasmaShadow(**one)),
        "linear illumination": (T.RandomLinearIllumination(**one), K.RandomLinearIllumination(**one)),
        "Gaussian illumination": (T.RandomGaussianIllumination(**one), K.RandomGaussianIllumination(**one)),
        "snow": (T.RandomSnow(**one), K.RandomSnow(**one)),
        "rain": (T.RandomRain(**one), K.RandomRain(**one)),
        "jigsaw": (T.RandomJigsaw((4, 4), **one), K.RandomJigsaw((4, 4), **one)),
    }


def single_speed(rounds: int) -> list[Row]:
    """Our time under kornia's for single transforms, one thread."""
    torch.set_num_threads(1)
    image = chain.decoded(COUNT)[:, :, :SIZE, :SIZE].float().contiguous() / 255
    rows = []
    for name, (ours, theirs) in singles().items():
        seconds = interleaved({"ours": lambda t=ours: t(image), "kornia": lambda t=theirs: t(image)}, rounds)
        ratios = [k / o for o, k in zip(seconds["ours"], seconds["kornia"], strict=True)]
        rows.append(row(f"{name}, ours / kornia, eager, 1 thread", ratios, "times", at_least=1.0))
    return rows


def gpu_speed(rounds: int) -> list[Row]:
    """The chain on a GPU at B=256, and over the time to read the input and write the output once."""
    images = chain.decoded(256).to("cuda")
    contenders = chain.contenders(images)
    ours = {name: f for name, f in contenders.items() if name.startswith("ours") or name == "kornia"}
    bounds = {("ours, eager exact", "kornia"): 10.0, ("ours, compiled exact", "kornia"): 10.0}
    seconds = interleaved(ours, rounds, warmup=4)
    rows = chain.compared(seconds, "B=256, CUDA", bounds)
    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    copies = interleaved({"copy": lambda: target.copy_(source)}, rounds)["copy"]
    bandwidth = 2 * source.numel() * 4 / sorted(copies)[len(copies) // 2]
    floor = (images.numel() + 256 * 3 * PIXELS * 4) / bandwidth
    ratios = [s / floor for s in seconds["ours, compiled exact"]]
    return [*rows, row("ours, compiled exact, over the memory floor, B=256, CUDA", ratios, "times", at_most=2.0)]


def import_time(rounds: int = 5) -> list[Row]:
    """Seconds that torchaug.image takes to import once torch is there."""
    code = "import time, torch; s = time.perf_counter(); import torchaug.image; print(time.perf_counter() - s)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(rounds)
    ]
    return [row("import torchaug.image beyond torch", times, "seconds", at_most=0.3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    np.random.seed(0)  # noqa: NPY002  albumentations' own generators are seeded by their construction
    rows = import_time() + eager_cost() + kornia_cost() + compiled_cost()
    rows += chain_speed(arguments.rounds) + single_speed(arguments.rounds)
    if torch.cuda.is_available():
        rows += gpu_speed(arguments.rounds)
    write("image", rows, ("torch", "torchvision", "kornia", "albumentations", "opencv-python-headless", "numpy"))


if __name__ == "__main__":
    main()
