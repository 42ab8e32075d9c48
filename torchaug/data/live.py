"""Live samples: made on the device when a batch needs them, and put where the plan wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchaug.data.items import content_of
from torchaug.data.sampler import Plan
from torchaug.transfer import moved

Fill = Callable[[Tensor, Tensor], Tensor]
"""`fill(draws, labels) -> content`: draws (n,) int64 number the live samples of the whole run, and are to be all their
randomness (`torchaug.keys.sample_keys(draws, seed=...)`); labels (n,) int64 are the classes wanted, -1 for any.
Images are (n, C, H, W), uint8 or float in [0, 1]; tables (n, F). n is the same for each batch, so that a compiled generator has one
shape; surplus images are thrown away. On CUDA it runs while the step before is at work, so a generator that is in
training must be a frozen copy: `torchaug.data.Snapshot` is one. A fill with `needs_labels` is refused where the plan asks
for no class; one with `check(labels)` is asked on the host, before it makes anything, whether it takes these; the `version` of
one that has it is noted for each live sample, -1 for the others."""


def fill_live(batch: dict[str, Any], plan: Plan, fill: Fill, most: int) -> dict[str, Any]:
    """The batch with its live samples.

    Args:
        batch: with "image" (B, C, H, W), or another content of one shape, and "label" (B,), blank where a sample is live.
        plan: of the batch.
        fill: makes the content.
        most: live samples that a batch can have.
    """
    name = next(iter(content_of(batch)))
    image, label = batch[name], batch["label"]
    live = plan.index < 0
    rows = live.nonzero().flatten()
    check = getattr(fill, "check", None)
    if check is not None:
        check(plan.label[rows])
    surplus = most - len(rows)
    draws = torch.cat([-1 - plan.index[rows], torch.zeros(surplus, dtype=torch.int64)])
    wanted = torch.cat([plan.label[rows], plan.label[live][:1].expand(surplus) if len(rows) else draws])
    places = torch.cat([rows, torch.full((surplus,), len(image))])  # surplus goes into a row that is cut off
    draws, wanted, places, live, planned = moved((draws, wanted, places, live, plan.label), image.device)
    filled = torch.cat([image, image[:1]]).index_copy(0, places, _as(fill(draws, wanted), image))[:-1]
    out = batch | {name: filled, "label": torch.where(live, planned, label)}
    version = getattr(fill, "version", None)
    return out if version is None else out | {"version": torch.where(live, version, -1)}


def _as(made: Tensor, image: Tensor) -> Tensor:
    """Images in the dtype of the others."""
    if made.shape[1:] != image.shape[1:]:
        raise ValueError(
            f"DeviceLoader: fill must make samples {tuple(image.shape[1:])} as in the batch, got {tuple(made.shape[1:])}"
        )
    if made.is_floating_point() and image.dtype == torch.uint8:
        return (made * 255).round().clamp(0, 255).to(torch.uint8)
    if made.dtype == torch.uint8 and image.is_floating_point():
        return made.to(image.dtype) / 255
    return made.to(image.dtype)
