"""A bank made by Lightning: `trainer.predict` on any strategy that predicts without talking, such as DDP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as L

from torchaug.training.generator import LitGenerator
from torchaug.training.plan import Counts, Shard, launched_as
from torchaug.training.synthesize import Synthesis
from torchaug.training.synthesizer import Columns


class PlannedShards:
    """What `trainer.predict` is to go through: the shards of this process that are not written yet.

        shards = PlannedShards(generator, {"cat": 5000}, "bank")
        trainer = Trainer(devices=8, strategy="ddp", callbacks=[WriteShards(shards)])
        trainer.predict(generator, shards, return_predictions=False)

    The bank is the one that `synthesize` makes with its usual `dtype`, byte for byte, on as many processes as there are.

    It is no DataLoader, since Lightning makes those of a prediction anew, with samplers of its own that repeat or drop;
    and it has no length, by which Lightning would refuse a process that has nothing left to do.

    Args:
        generator: what will predict.
        counts, path, seed, shard_size: as for `synthesize`.

    Raises:
        ValueError: as `synthesize`.

    >>> import tempfile
    >>> from torchaug.training.vae import LitVAE
    >>> generator = LitVAE((1, 8, 8), ["cat", "dog"], steps=1, latent=4)
    >>> shards = PlannedShards(generator, {"dog": 5}, tempfile.mkdtemp(), shard_size=2)
    >>> [shard.ids.tolist() for shard in shards]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self, generator: LitGenerator, counts: Counts, path: str | Path, *, seed: int = 0, shard_size: int = 1024
    ) -> None:
        work = Synthesis(generator, counts, path, seed=seed, shard_size=shard_size)
        self.work, self.plan, self.writer = work, work.plan, work.writer

    def __iter__(self) -> Iterator[Shard]:
        for number in self.plan.part(*launched_as()):
            if not self.writer.has(number):
                yield self.plan.shard(number)


class WriteShards(L.Callback):
    """Writes each shard when it is predicted, on the process that predicted it; see `PlannedShards`.

    What is written comes from the batch: nothing depends on how Lightning counts batches, or gathers predictions.
    """

    def __init__(self, shards: PlannedShards) -> None:
        self.work = shards.work

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Columns,
        batch: Shard,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Writes a shard."""
        self.work.write(batch, outputs)
