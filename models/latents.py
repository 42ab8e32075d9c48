"""What all generators share: latents that are functions of keys, and requests that make sense."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.keys import normal, uniforms


def latents(keys: Tensor, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal latents (B, size) of keys (B,): sample 17 has the same latent in any batch.

    >>> keys = torch.tensor([3, 5])
    >>> torch.equal(latents(keys, 4)[1:], latents(keys[1:], 4))
    True
    """
    return normal(uniforms(keys, size).to(dtype))


def on_circle(a: Tensor, b: Tensor, share: float | Tensor) -> Tensor:
    """The vectors (B, D) at `share`, a number or (B, 1), of the way from a to b, turned at an even pace (spherical interpolation).

    Between vectors of one length it keeps the length, as a straight line would not. Parallel vectors are joined by a
    straight line.

    >>> on_circle(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 0.5)
    tensor([[0.7071, 0.7071]])
    """
    cosine = torch.cosine_similarity(a, b, dim=1).clamp(-1, 1)[:, None]
    angle = cosine.acos()
    straight = angle.sin().abs() < 1e-4
    safe = torch.where(straight, torch.ones_like(angle), angle)
    turned = (((1 - share) * safe).sin() * a + (share * safe).sin() * b) / safe.sin()
    return torch.where(straight, torch.lerp(a, b, share), turned)


def way(who: str, steps: int) -> list[float]:
    """Shares from 0 to 1 at an even pace, both ends included: the `steps` of an interpolation.

    >>> way("interpolate", 3)
    [0.0, 0.5, 1.0]
    """
    if steps < 2:
        raise ValueError(f"{who}: steps must be at least 2, got {steps}")
    return [step / (steps - 1) for step in range(steps)]


def check_request(who: str, labels: Tensor, keys: Tensor, num_classes: int) -> None:
    """Refuses labels and keys that are not one int64 pair per image, and labels of classes that do not exist.

    Values are looked at on the CPU alone: on another device the host would have to wait for them.
    """
    if labels.ndim != 1 or keys.shape != labels.shape or not labels.dtype == keys.dtype == torch.int64:
        raise ValueError(
            f"{who}: labels and keys must be int64 of shape (B,), got {labels.dtype} {tuple(labels.shape)} "
            f"and {keys.dtype} {tuple(keys.shape)}"
        )
    if labels.device.type != "cpu":
        return
    outside = ((labels < 0) | (labels >= num_classes)).nonzero()
    if len(outside):
        place = int(outside[0])
        raise ValueError(f"{who}: labels must be 0 to {num_classes - 1}, got {int(labels[place])} at {place}")
