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


def spherical(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Latents on the arc from `first` (share 0) to `second` (share 1), whose length changes evenly: (steps, size).

    A straight line between two normal latents passes nearer to 0 than such latents are.

    Args:
        first, second: (size,).
        share: (steps, 1) in [0, 1].

    >>> share = torch.tensor([[0.0], [0.5], [1.0]])
    >>> arc = spherical(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), share)
    >>> [[round(x, 4) for x in point] for point in arc.tolist()]
    [[1.0, 0.0], [0.7071, 0.7071], [0.0, 1.0]]
    """
    lengths = torch.lerp(first.norm(), second.norm(), share)
    a, b = first / first.norm(), second / second.norm()
    angle = torch.acos((a * b).sum().clamp(-1, 1))
    if angle.sin() < 1e-4:  # one direction: the arc is the line
        return torch.lerp(first, second, share)
    arc = (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
    found: Tensor = lengths * arc
    return found


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
