"""G3: what a step of the discriminator with R1 and R2 costs in three forms, two precisions, and with lazy penalties."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from generators_cells import interval_row
from generators_gpu import NO_GPU
from generators_speed import Judged, d_step, judged
from rows import Row, interleaved, row
from torch import Tensor

from torchaug.models.gan_losses import Critic, discriminator_loss

FORMS = ("autograd", "func", "compiled func")
"""`torch.autograd.grad` with a graph, as R3GAN's trainer has it; `torch.func.grad`, as ours; and that compiled."""
PRECISIONS = ("float32", "bf16")
"""In bf16 ours computes steps with penalties in float32, as ever, and only those between lazy ones in bf16."""
LAZY = (1, 4)
"""Steps from one with penalties to the next, which are as many times as heavy."""
RATIOS = (("compiled func", "func", 0.7), ("compiled func", "autograd", None), ("func", "autograd", None))
"""Two forms, and what the first may take of the time of the second."""
GAMMA = 0.5


def perf_rows(rounds: int, device: str = "cuda") -> list[Row]:
    """Milliseconds of a step, and ratios of them; without such a device rows that say so."""
    variants = list(product(FORMS, PRECISIONS, LAZY))
    if device == "cuda" and not torch.cuda.is_available():
        rows = [Row(_name(*variant, "cuda"), None, NO_GPU) for variant in variants]
        return [
            *rows,
            *(interval_row(name, [], "", at_most=most, missing=NO_GPU) for name, *_, most in _ratios("cuda")),
        ]
    on = judged(device)
    names = {_name(*variant, on.where): variant for variant in variants}
    taken = interleaved({name: steps(on, *variant) for name, variant in names.items()}, rounds, warmup=3)
    ms = {name: [1e3 * s / names[name][2] for s in seconds] for name, seconds in taken.items()}
    return [
        *(row(name, times, "ms") for name, times in ms.items()),
        *(
            row(name, [a / b for a, b in zip(ms[first], ms[second], strict=True)], "times", at_most=most)
            for name, first, second, most in _ratios(on.where)
        ),
    ]


def steps(on: Judged, form: str, precision: str, lazy: int) -> Callable[[], None]:
    """A step with penalties and `lazy` - 1 without, forward and backward."""
    heavy, light = (d_step(on.gan, loss_of(on, form, precision, gamma)) for gamma in (lazy * GAMMA, None))

    def run() -> None:
        heavy()
        for _ in range(lazy - 1):
            light()

    return run


def loss_of(on: Judged, form: str, precision: str, gamma: float | None) -> Callable[[], Tensor]:
    """The relativistic loss of the discriminator with penalties of that weight, or None, as a function of nothing."""

    def loss() -> Tensor:
        with torch.autocast(on.real.device.type, torch.bfloat16, enabled=precision == "bf16"):
            if form == "autograd":
                return autograd_loss(on.gan.discriminator, on.real, on.fake, on.labels, gamma)
            return discriminator_loss(on.gan.discriminator, on.real, on.fake, on.labels, gamma=gamma)[0]

    return torch.compile(loss, fullgraph=True) if form == "compiled func" else loss


def autograd_loss(critic: Critic, real: Tensor, fake: Tensor, labels: Tensor, gamma: float | None) -> Tensor:
    """`discriminator_loss` with R1 and R2, its penalties by `torch.autograd.grad` and in whatever precision is around."""
    images = [x.detach().requires_grad_(gamma is not None) for x in (real, fake)]
    real_score, fake_score = (critic(x, labels) for x in images)
    loss = F.softplus(fake_score - real_score).mean()
    if gamma is None:
        return loss
    for score, x in zip((real_score, fake_score), images, strict=True):
        (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        loss = loss + gamma / 2 * gradient.square().flatten(1).sum(1).mean() / 4  # pixels from -1 to 1, not from 0
    return loss


def _name(form: str, precision: str, lazy: int, where: str) -> str:
    return f"G3 D step, {form}, {precision}, penalties in each of {lazy}, {where}".replace("each of 1,", "each,")


def _ratios(where: str) -> list[tuple[str, str, str, float | None]]:
    """The name of each ratio, the names of the two times, and the bound."""
    found = []
    for (first, second, most), precision, lazy in product(RATIOS, PRECISIONS, LAZY):
        name = _name(f"{first} / {second}", precision, lazy, where)
        found.append((name, _name(first, precision, lazy, where), _name(second, precision, lazy, where), most))
    return found
