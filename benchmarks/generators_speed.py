"""C5: a batch of training-by-sampling against CTGAN's sampler, and what R1 and R2 cost a step of the discriminator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from generators_cells import installed
from generators_methods import discrete, to_frame
from generators_rare import BINNED, BINS, rare_table
from rows import Row, interleaved, row
from torch import Tensor

from torchaug.keys import sample_keys
from torchaug.models.gan import ImageGAN
from torchaug.models.gan_losses import discriminator_loss

BATCH, CALLS = 500, 50


def speed_rows(rounds: int, peers: bool) -> list[Row]:
    return [*sampler_rows(rounds, peers), *step_rows(rounds, "cpu"), *(step_rows(rounds, "cuda") if _gpu() else [])]


def sampler_rows(rounds: int, peers: bool) -> list[Row]:
    """Milliseconds of a batch of rows that have the values drawn for them."""
    functions = {"ours": _ours()}
    if peers and installed("CTGAN"):
        functions["CTGAN"] = _theirs()
    seconds = interleaved(functions, rounds)
    rows = [
        row(f"C5 training-by-sampling, a batch of {BATCH}, {name}", [1e3 * s / CALLS for s in times], "ms")
        for name, times in seconds.items()
    ]
    name = "C5 training-by-sampling, CTGAN / ours"
    if "CTGAN" not in seconds:
        return [*rows, Row(name, None, "not installed" if peers else "not measured", target=">= 5.0", met=False)]
    times = [c / o for c, o in zip(seconds["CTGAN"], seconds["ours"], strict=True)]
    return [*rows, row(name, times, "times", at_least=5.0)]


def _ours() -> Callable[[], None]:
    from torchaug.models.conditions import ConditionSampler
    from torchaug.models.table_codec import TableCodec

    data = rare_table(binned=True)
    encoded = TableCodec.fit(data).encode(data.numeric, data.categorical)
    sampler = ConditionSampler(data.categorical, [BINS] * BINNED)
    keys = sample_keys(torch.arange(BATCH))

    def run() -> None:
        for _ in range(CALLS):
            rows, _, _ = sampler.sample(keys)
            encoded[rows]

    return run


def _theirs() -> Callable[[], None]:
    """The two calls of CTGAN's sampler that its training makes for each batch."""
    from ctgan.data_sampler import DataSampler
    from ctgan.data_transformer import DataTransformer

    data = rare_table(binned=True)
    frame = to_frame(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the mixtures it fits
        transformer = DataTransformer()
        transformer.fit(frame, discrete(data))
        values: Any = transformer.transform(frame)
    sampler = DataSampler(values, transformer.output_info_list, True)

    def run() -> None:
        for _ in range(CALLS):
            _, _, columns, options = sampler.sample_condvec(BATCH)
            order = np.random.permutation(BATCH)  # noqa: NPY002  as its training does
            sampler.sample_data(values, BATCH, columns[order], options[order])

    return run


class Judged(NamedTuple):
    """What a step of a discriminator is measured on, and in words."""

    gan: ImageGAN
    real: Tensor
    fake: Tensor
    labels: Tensor
    where: str


def judged(device: str) -> Judged:
    """Small images for a CPU, larger ones and more for a GPU."""
    shape, batch = ((1, 8, 8), 64) if device == "cpu" else ((3, 32, 32), 128)
    gan = ImageGAN(*shape, num_classes=10, preset="tiny" if device == "cpu" else "small").to(device)
    real, fake = torch.rand(2, batch, *shape, device=device)
    labels = torch.arange(batch, device=device) % 10
    return Judged(gan, real, fake, labels, f"{'x'.join(map(str, shape))}, batch {batch}, {device}")


def step_rows(rounds: int, device: str) -> list[Row]:
    """A step of the discriminator, forward and backward: without penalties, with R1 and R2, and that compiled."""
    gan, real, fake, labels, where = judged(device)

    def penalised() -> Tensor:
        return discriminator_loss(gan.discriminator, real, fake, labels, gamma=0.5)[0]

    def plain() -> Tensor:
        score = gan.discriminator(fake, labels) - gan.discriminator(real, labels)
        return torch.nn.functional.softplus(score).mean()

    losses = {
        "no penalty, eager": plain,
        "R1 and R2, eager": penalised,
        "R1 and R2, compiled": torch.compile(penalised),
    }
    seconds = interleaved({name: d_step(gan, loss) for name, loss in losses.items()}, rounds, warmup=3)
    rows = [row(f"C5 D step, {name}, {where}", [1e3 * s for s in times], "ms") for name, times in seconds.items()]
    eager, first, compiled = (
        seconds[name] for name in ("R1 and R2, eager", "no penalty, eager", "R1 and R2, compiled")
    )
    return [
        *rows,
        row(f"C5 D step, cost of R1 and R2, {where}", [a / b for a, b in zip(eager, first, strict=True)], "times"),
        row(f"C5 D step, compiled / eager, {where}", [a / b for a, b in zip(compiled, eager, strict=True)], "times"),
    ]


def d_step(gan: ImageGAN, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Gradients of the loss by the weights; what Adam adds is left out."""

    def run() -> None:
        gan.zero_grad(set_to_none=True)
        loss().backward()

    return run


def _gpu() -> bool:
    return torch.cuda.is_available()
