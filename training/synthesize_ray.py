"""A bank made by the actors of a Ray cluster (extra `ray`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchaug.data.bank import Bank
from torchaug.training.load import load_generator
from torchaug.training.plan import Counts
from torchaug.training.synthesize import BATCH, Synthesis

_BLOCKS = 16
"""Portions of an actor's work that Ray hands out one by one, so that all end at about the same time."""


def synthesize_with_ray(
    checkpoint: str | Path,
    counts: Counts,
    path: str | Path,
    *,
    seed: int = 0,
    shard_size: int = 1024,
    batch_size: int = BATCH,
    actors: int = 2,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
) -> Bank:
    """Makes the bank that `synthesize` makes, byte for byte, with the actors of the Ray that this process is part of.

    Ray gives an actor a shard at a time, and a shard of an actor that dies to another. Whatever is done twice changes
    nothing. Call `ray.init(...)` before, with what the cluster needs; else Ray starts one of its own on this machine.

    Args:
        checkpoint: of the generator; each actor loads it. It, and `path`, must be the same file on every node.
        counts, path, seed, shard_size, batch_size: as for `synthesize`.
        actors: how many, at least 1.
        num_cpus, num_gpus: what an actor takes; with a GPU, or a part of one, it computes there.

    Returns:
        The bank, whole.

    Raises:
        ImportError: Ray is not installed.
        ValueError: as `synthesize`; fewer than one actor.
        FileNotFoundError: no such checkpoint.
        ray.exceptions.RayError: an actor failed, and not because it died: its error is named.
    """
    try:
        import ray.data
    except ImportError as error:
        raise ImportError("synthesize_with_ray needs ray; pip install 'torchaug-synth[ray]'") from error
    if actors < 1:
        raise ValueError(f"synthesize_with_ray: actors must be at least 1, got {actors}")
    order: dict[str, Any] = {"checkpoint": Path(checkpoint).resolve(), "counts": counts, "path": Path(path).resolve()}
    order |= {"seed": seed, "shard_size": shard_size, "batch_size": batch_size}
    work = ShardMaker(**order).work  # what is wrong with the order is said here, and not by actors
    missing = [{"shard": number} for number in range(len(work.plan)) if not work.writer.has(number)]
    if missing:
        # from items: to read a range, Ray would need a CPU besides those of the actors, and wait for it for ever
        shards = ray.data.from_items(missing, override_num_blocks=min(len(missing), _BLOCKS * actors))
        shards.map_batches(
            ShardMaker,
            fn_constructor_kwargs=order | {"device": "cuda" if num_gpus else None},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(actors, len(missing))),
            num_cpus=num_cpus,
            num_gpus=num_gpus,
        ).materialize()
    return Bank(path)


class ShardMaker:
    """An actor: one generator, loaded once, and a shard for each call."""

    def __init__(self, checkpoint: Path, counts: Counts, path: Path, **options: Any) -> None:
        self.work = Synthesis(load_generator(checkpoint), counts, path, **options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Makes the shards of those numbers, and says which of them it had to make."""
        return batch | {"made": [self.work.make(int(number)) for number in batch["shard"]]}
