"""Losses of GANs as pure functions of a critic and two batches, with the penalties that keep them from diverging.

Penalties are written with `torch.func.grad`, whose derivative `torch.compile` can take, and computed in float32 or
better, whatever the precision around them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor, Tensor], Tensor]
Augment = Callable[[Tensor], Tensor]
Loss = Literal["relativistic", "non-saturating", "hinge", "least-squares", "wasserstein"]
Penalty = Literal["r1", "r2", "interpolates"]

PENALTIES: dict[str, tuple[Penalty, ...]] = {
    "relativistic": ("r1", "r2"),
    "non-saturating": ("r1",),
    "hinge": ("r1",),
    "least-squares": ("r1",),
    "wasserstein": ("interpolates",),
}
"""What each loss is regularised by."""


def check_loss(loss: str) -> None:
    """Refuses a loss that is not known."""
    if loss not in PENALTIES:
        raise ValueError(f"loss: expected one of {', '.join(PENALTIES)}, got {loss!r}")


def discriminator_terms(loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """The loss of each pair of scores, without penalties.

    - relativistic: softplus(fake - real) (arXiv 1807.00734, 2501.05441)
    - non-saturating: softplus(-real) + softplus(fake) (arXiv 1406.2661)
    - hinge: max(0, 1 - real) + max(0, 1 + fake) (arXiv 1705.02894)
    - least-squares: ((real - 1)^2 + fake^2) / 2 (arXiv 1611.04076)
    - wasserstein: fake - real (arXiv 1701.07875)

    >>> discriminator_terms("wasserstein", torch.tensor([3.0]), torch.tensor([1.0]))
    tensor([-2.])
    """
    check_loss(loss)
    if loss == "relativistic":
        return F.softplus(fake - real)
    if loss == "non-saturating":
        return F.softplus(-real) + F.softplus(fake)
    if loss == "hinge":
        return F.relu(1 - real) + F.relu(1 + fake)
    if loss == "least-squares":
        return ((real - 1).square() + fake.square()) / 2
    return fake - real


def generator_terms(loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """The generator's loss of each pair of scores; only the relativistic one looks at `real`.

    Relativistic: softplus(real - fake). Non-saturating: softplus(-fake). Least squares: (fake - 1)^2 / 2. Hinge and
    Wasserstein: -fake.

    >>> generator_terms("hinge", torch.tensor([3.0]), torch.tensor([1.0]))
    tensor([-1.])
    """
    check_loss(loss)
    if loss == "relativistic":
        return F.softplus(real - fake)
    if loss == "non-saturating":
        return F.softplus(-fake)
    if loss == "least-squares":
        return (fake - 1).square() / 2
    return -fake


def discriminator_loss(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    labels: Tensor,
    *,
    gamma: float | Tensor | None,
    loss: Loss = "relativistic",
    share: Tensor | None = None,
    augment: Augment | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean of `discriminator_terms` over pairs of one label, + gamma / 2 (the sum of the loss's `PENALTIES`).

    R1 and R2 are squared norms of the critic's gradient g with respect to the image before augmentation, at real and at
    fake images (arXiv 1801.04406); "interpolates" is (|g| - 1)^2 between the two (arXiv 1704.00028). Pixel values are
    taken from -1 to 1 for this, the scale of published weights.

    Args:
        critic: images and labels to scores (B,).
        real, fake: (B, C, H, W) in [0, 1]; row i of both is of labels[i].
        labels: (B, ...).
        gamma: weight of the penalties; None: no penalties, and their cost saved, for steps between lazy ones.
        loss: which loss.
        share: (B,) in [0, 1], how much of the real image is in each interpolate; "wasserstein" needs it.
        augment: images to images, differentiable twice; it decides alone what it draws. It sees the real images first,
            then the fake ones, then interpolates.

    Returns:
        The loss, and its parts, detached means: {"advantage": D(real) - D(fake)} and each penalty by name.
    """
    if gamma is None:
        real_score, fake_score = _scores(critic, (real, fake.detach()), labels, augment)
        parts = {"advantage": (real_score - fake_score).mean().detach()}
        return discriminator_terms(loss, real_score, fake_score).mean(), parts
    precise = torch.promote_types(real.dtype, torch.float32)
    with torch.autocast(real.device.type, enabled=False):
        pair = (real.to(precise), fake.detach().to(precise))
        (real_score, fake_score), penalties = _scores_and_penalties(critic, pair, labels, loss, share, augment)
        total = discriminator_terms(loss, real_score, fake_score).mean() + gamma / 2 * sum(penalties.values())
    parts = {"advantage": (real_score - fake_score).mean(), **penalties}
    return total, {name: part.detach() for name, part in parts.items()}


def generator_loss(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    labels: Tensor,
    *,
    loss: Loss = "relativistic",
    augment: Augment | None = None,
) -> Tensor:
    """The mean of `generator_terms` over pairs of one label."""
    if loss == "relativistic":
        real_score, fake_score = _scores(critic, (real, fake), labels, augment)
    else:
        (fake_score,) = _scores(critic, (fake,), labels, augment)
        real_score = fake_score
    return generator_terms(loss, real_score, fake_score).mean()


def _scores(critic: Critic, images: tuple[Tensor, ...], labels: Tensor, augment: Augment | None) -> list[Tensor]:
    return [critic(x if augment is None else augment(x), labels) for x in images]


def _scores_and_penalties(
    critic: Critic,
    pair: tuple[Tensor, Tensor],
    labels: Tensor,
    loss: Loss,
    share: Tensor | None,
    augment: Augment | None,
) -> tuple[list[Tensor], dict[str, Tensor]]:
    wanted = PENALTIES.get(loss, ())
    scores: list[Tensor] = []
    penalties: dict[str, Tensor] = {}
    for images, name in zip(pair, ("r1", "r2"), strict=True):
        if name in wanted:
            score, norm = _score_and_norm(critic, images, labels, augment)
            penalties[name] = norm.mean()
        else:
            (score,) = _scores(critic, (images,), labels, augment)
        scores.append(score)
    if "interpolates" in wanted:
        if share is None:
            raise ValueError(
                'discriminator_loss: "wasserstein" needs share, (B,) in [0, 1], got None; draw it uniformly'
            )
        between = torch.lerp(pair[1], pair[0], share.to(pair[0].dtype)[:, None, None, None])
        _, norm = _score_and_norm(critic, between, labels, augment)
        # the root has no slope at 0, where a critic starts that ignores its input
        penalties["interpolates"] = ((norm + 1e-12).sqrt() - 1).square().mean()
    return scores, penalties


def _score_and_norm(critic: Critic, images: Tensor, labels: Tensor, augment: Augment | None) -> tuple[Tensor, Tensor]:
    """Scores (B,) and squared norms (B,) of their gradients by pixel values from -1 to 1."""

    def seen(pixels: Tensor) -> Tensor:
        shown = (pixels + 1) / 2
        return critic(shown if augment is None else augment(shown), labels)

    return score_and_norm(seen, 2 * images - 1)


def score_and_norm(critic: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B,) of x (B, ...), and the squared norms (B,) of their gradients by it.

    >>> score_and_norm(lambda x: 3 * x.sum(1), torch.ones(1, 2))
    (tensor([6.]), tensor([18.]))
    """

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        score = critic(x)
        return score.sum(), score

    gradient, score = torch.func.grad(total, has_aux=True)(x)
    return score, gradient.square().flatten(1).sum(1)
