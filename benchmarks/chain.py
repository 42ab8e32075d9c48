"""How fast is the SimCLR-like chain on 64 uint8 images of 256 x 256, with parameters of its own for each sample?

RandomResizedCrop(224) -> flip -> ColorJitter(.4, .4, .4, .1) -> RandomGrayscale(.2) -> Normalize, float32 out, by us and
by the peers, in one process and in turns. Run by `scripts/bench chain`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

import albumentations as A
import kornia.augmentation as K
import numpy as np
import torch
from rows import Row, Traffic, interleaved, keep_memory, row, write
from torchvision.transforms import v2

from torchaug import Compose
from torchaug import image as T

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
JITTER = (0.4, 0.4, 0.4, 0.1)
BATCH, SIZE = 64, 224


def ours(color: str = "exact", output: torch.dtype = torch.float32) -> Compose:
    steps = [
        T.RandomResizedCrop(SIZE),
        T.RandomHorizontalFlip(),
        T.ColorJitter(*JITTER),
        T.RandomGrayscale(0.2),
        T.Normalize(MEAN, STD),
    ]
    return Compose(steps, color=color)


def decoded(count: int) -> torch.Tensor:
    """uint8 images as decoders leave them: (count, 3, 256, 256) with the channels of a pixel side by side."""
    images = torch.randint(0, 256, (count, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=torch.channels_last)


def contenders(images: torch.Tensor) -> dict[str, Callable[[], object]]:
    real = images.float() / 255
    arrays = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in images.cpu()]
    vision = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(*JITTER),
            v2.RandomGrayscale(0.2),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    album = A.Compose(
        [
            A.RandomResizedCrop((SIZE, SIZE)),
            A.HorizontalFlip(),
            A.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1), p=1),
            A.ToGray(p=0.2),
            A.Normalize(MEAN, STD),
            A.ToTensorV2(),
        ]
    )
    korn = K.AugmentationSequential(
        K.RandomResizedCrop((SIZE, SIZE)),
        K.RandomHorizontalFlip(),
        K.ColorJitter(*JITTER),
        K.RandomGrayscale(p=0.2),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        data_keys=["input"],
    )
    exact, folded = ours(), ours("folded")
    compiled, compiled_folded, compiled_planar = ours().compile(), ours("folded").compile(), ours().compile()
    planar = images.contiguous()
    return {
        "ours, eager exact": lambda: exact(images),
        "ours, eager folded": lambda: folded(images),
        "ours, compiled exact": lambda: compiled(images),
        "ours, compiled folded": lambda: compiled_folded(images),
        "ours, compiled exact, planar input": lambda: compiled_planar(planar),
        "kornia": lambda: korn(real),
        "torchvision v2 per sample": lambda: torch.stack([vision(image) for image in images]),
        "albumentations": lambda: torch.stack([album(image=image)["image"] for image in arrays]),
    }


BOUNDS = {
    ("ours, compiled exact", "albumentations"): 1.3,
    ("ours, compiled exact", "torchvision v2 per sample"): 6.0,
    ("ours, eager folded", "torchvision v2 per sample"): 3.5,
}


def speed(rounds: int) -> list[Row]:
    """Images per second and ratios, with fresh output memory in each call and with memory that is kept."""
    rows: list[Row] = []
    images = decoded(BATCH)
    functions = {threads: contenders(images) for threads in dict.fromkeys((1, os.cpu_count() or 1))}
    for suffix in ("", ", memory kept"):
        if suffix and not keep_memory():
            break
        for threads, ours_and_theirs in functions.items():
            torch.set_num_threads(threads)
            seconds = interleaved(ours_and_theirs, rounds)
            label = f"{threads} thread" + ("s" if threads > 1 else "") + suffix
            rows += compared(seconds, label, BOUNDS if threads == 1 else {})
    return rows


def compared(seconds: dict[str, list[float]], label: str, bounds: dict[tuple[str, str], float]) -> list[Row]:
    rows = [row(f"{name}, {label}", [BATCH / s for s in times], "images/s") for name, times in seconds.items()]
    for name in [n for n in seconds if n.startswith("ours")]:
        for peer in [n for n in seconds if not n.startswith("ours")]:
            ratios = [p / o for p, o in zip(seconds[peer], seconds[name], strict=True)]
            rows.append(row(f"{name} / {peer}, {label}", ratios, "times", at_least=bounds.get((name, peer))))
    return rows


def cost() -> list[Row]:
    """Operator calls and passes over memory (bytes moved over one read and one write of the float batch)."""
    rows = []
    for batch in (8, 64):
        images = decoded(batch)
        unit = 2 * batch * 3 * SIZE * SIZE * 4
        for name, function in contenders(images).items():
            if "compiled" in name or "albumentations" in name:
                continue  # compiled code and OpenCV are no operators of torch
            with Traffic() as traffic:
                function()
            rows.append(Row(f"{name}, operator calls, B={batch}", traffic.calls, "calls"))
            rows.append(Row(f"{name}, memory traffic, B={batch}", traffic.bytes / unit, "passes"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    np.random.seed(0)  # noqa: NPY002  albumentations' own generators are seeded by their construction
    rows = cost() + speed(arguments.rounds)
    write("chain", rows, ("torch", "torchvision", "kornia", "albumentations", "opencv-python-headless", "numpy"))


if __name__ == "__main__":
    main()
