"""What a `DeviceLoader` refuses, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.data import DataLoader, DistributedSampler

from torchaug.data.live import Fill
from torchaug.data.reader import unreadable
from torchaug.data.sampler import MixedSampler, process

CHOICES = {
    "check": ("off", "finite", "range"),
    "where": ("device", "worker", "auto"),
    "on_error": ("raise", "skip_and_replace"),
}
_BY_READER = {"where": "worker", "on_error": "skip_and_replace"}  # what only a `Reader` can do


def check_options(loader: DataLoader[Any], depth: int, options: Mapping[str, str], fill: Fill | None) -> None:
    """Refuse unknown options, and those that do not fit the DataLoader or `fill`."""
    for name, value in options.items():
        if value not in CHOICES[name]:
            raise ValueError(f"DeviceLoader: {name} must be one of {', '.join(CHOICES[name])}, got {value!r}")
    if depth < 0:
        raise ValueError(f"DeviceLoader: depth must be 0 or more, got {depth}")
    asked = [f"{name}={value!r}" for name, value in _BY_READER.items() if options[name] == value]
    why = unreadable(loader)
    if asked and why:
        raise ValueError(
            f"DeviceLoader: {' and '.join(asked)} needs a torch DataLoader of batches of a map-style data set, got one "
            f"that {why}; leave it out, or change the DataLoader"
        )
    if options["where"] == "worker" and fill is not None:
        raise ValueError(
            "DeviceLoader: live samples are made on the device, before the transform: expected where='device' beside "
            "fill=, got where='worker'"
        )


def check_mixture(sampler: Any, batch_size: int | None, fill: Fill | None) -> None:
    """Refuse a batch size that is not the sampler's, and a live source and `fill` that do not go together."""
    live = isinstance(sampler, MixedSampler) and sampler.has_live
    if isinstance(sampler, MixedSampler) and sampler.batch_size != batch_size:
        raise ValueError(
            f"DeviceLoader: the DataLoader must have the batch size of its MixedSampler, {sampler.batch_size}, got "
            f"{batch_size}"
        )
    if live != (fill is not None):
        raise ValueError(
            f"DeviceLoader: fill= and a MixedSampler with a live source go together, got {'only' if live else 'no'} "
            f"live source{'' if live else ' for fill='}"
        )
    if live and getattr(fill, "needs_labels", False) and not sampler.plans_labels:
        raise ValueError(
            "DeviceLoader: fill= makes samples of classes, and the MixedSampler plans none; pass it "
            "classes='proportional', 'fill' or shares of classes"
        )


def check_ranks(sampler: Any, sharded: bool) -> None:
    """Refuse several ranks that would all read the same."""
    world = process()[1]
    if world > 1 and not sharded and not isinstance(sampler, DistributedSampler):
        raise ValueError(
            f"DeviceLoader: each of the {world} ranks would read all the data: expected a DistributedSampler or a "
            f"MixedSampler, got {type(sampler).__name__}; pass one to the DataLoader, or sharded=True if it "
            "takes care of ranks itself"
        )
