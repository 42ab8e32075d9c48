"""torchaug bench-loader."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich import box
from rich.console import Console
from rich.table import Table

from torchaug.cli.progress import bar, say
from torchaug.cli.reading import CHAINS, read_chain
from torchaug.cli.terminal import Misuse, misuse

if TYPE_CHECKING:
    import torch

    from torchaug.data.measure import LoaderReport


def bench_loader(options: Namespace, console: Console) -> None:
    """torchaug bench-loader."""
    with misuse():
        import torch

        from torchaug.data import collate, load
        from torchaug.data.measure import measure_loader

        data: Any = load(options.data, size=options.size)
        device = _device(options.device)
        image = data[0].get("image")
        transform = _transform(options.transform, image)
        step = _step(options.step, image, max(2, len(getattr(data, "classes", None) or ())), device)
    if isinstance(transform, torch.nn.Module):
        transform.to(device)
    say(console, f"{options.data}: {len(data)} items, batches of {options.batch_size}, on {device}")
    with bar(console, "measuring") as report:
        measured = measure_loader(
            data,
            transform,
            step,
            batch_size=options.batch_size,
            collate=collate,
            device=device,
            workers=options.workers or _workers(),
            depths=options.depth,
            seconds=options.seconds,
            progress=report,
        )
    _show(console, measured)


def _show(console: Console, report: LoaderReport) -> None:
    table = Table("stage", "ms a batch", "quartiles", "share", box=box.SIMPLE)
    whole = sum(cost.seconds for cost in report.stages)
    for cost in report.stages:
        spread = f"{1000 * cost.low:.3g} to {1000 * cost.high:.3g}"
        table.add_row(cost.name, f"{1000 * cost.seconds:.3g}", spread, f"{cost.seconds / whole:.0%}")
    console.print(table)
    table = Table("where", "workers", "depth", "samples a second", "quartiles", box=box.SIMPLE)
    for trial in report.trials:
        setting, style = trial.setting, "bold" if trial is report.best else None
        spread = f"{trial.low:.4g} to {trial.high:.4g}"
        numbers = (str(setting.workers), str(setting.depth), f"{trial.rate:.4g}", spread)
        table.add_row(setting.where, *numbers, style=style)
    console.print(table)
    for line in report.advice():
        say(console, line)
    best = report.best.setting
    pinned = ", pin_memory=True" if report.device.type == "cuda" else ""
    loader = f"DataLoader(data, batch_size={report.batch_size}, num_workers={best.workers}{pinned})"
    say(console, f'  DeviceLoader({loader}, transform, where="{best.where}", depth={best.depth})')


def _workers() -> list[int]:
    """None, and powers of two up to the number of processors."""
    return [0, *(1 << power for power in range((os.cpu_count() or 1).bit_length()))]


def _device(name: str) -> torch.device:
    import torch

    from torchaug.data.streams import accelerator

    if name == "auto":
        return accelerator()
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"bench-loader: --device must be one that is here, got {name!r}: {error}") from error
    return torch.device(name)


def _transform(name: str, image: Any) -> Callable[..., Any] | None:
    """The chain that --transform names; by default one for images."""
    import torch

    from torchaug import Compose, recipes
    from torchaug import image as T

    if name == "none" or (name == "default" and image is None):
        return None
    side = 224 if image is None else min(224, *image.shape[-2:])
    if name == "default":
        return Compose(
            [
                T.RandomResizedCrop(side),
                T.RandomHorizontalFlip(),
                T.ColorJitter(0.4, 0.4, 0.4),
                T.ToDtype(torch.float32, scale=True),
            ]
        )
    if name.endswith(CHAINS):
        return read_chain(name)
    if name not in recipes.RECIPES:
        raise ValueError(
            f"bench-loader: --transform must be a recipe ({', '.join(recipes.RECIPES)}), a .json or .yaml file, or none, got "
            f"{name!r}"
        )
    if image is None:
        raise Misuse(f"bench-loader: the recipe {name} is for images, and the data have none; leave --transform out")
    return recipes.RECIPES[name](side)


def _step(name: str, image: Any, classes: int, device: torch.device) -> Callable[[Any], object] | None:
    """What --step names: a network of torchvision that is trained, or a function."""
    from torchaug.data.readers.load import find_attribute

    if name == "none" or (name == "resnet18" and image is None):
        return None
    module, colon, attribute = name.partition(":")
    if colon:
        step: Callable[[Any], object] = find_attribute(module, attribute, "bench-loader")
        if not callable(step):
            raise ValueError(
                f"bench-loader: --step must be module:attribute of a function, got {name!r}, a {type(step).__name__}"
            )
        return step
    return _training(name, classes, device)


def _training(name: str, classes: int, device: torch.device) -> Callable[[Any], object]:
    """A training step of a classifier with random weights."""
    import torch
    from torchvision import models

    if name not in models.list_models(models):
        raise Misuse(f"bench-loader: --step must be a classifier of torchvision, such as resnet18, got {name!r}")
    with torch.random.fork_rng():
        model = models.get_model(name, weights=None, num_classes=classes).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step(batch: Any) -> None:
        batch = batch[0] if isinstance(batch, list) else batch  # of several views the first
        image, label = (batch["image"], batch.get("label")) if isinstance(batch, dict) else (batch, None)
        image = image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image
        image = image / 255 if image.dtype == torch.uint8 else image
        output = model(image.float())
        if label is None or label.ndim != 1:
            label = torch.zeros(len(image), dtype=torch.int64, device=device)
        torch.nn.functional.cross_entropy(output, label).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
