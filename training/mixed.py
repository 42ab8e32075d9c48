"""A Lightning data module over an exact mixture of real and synthetic data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as L
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from torchaug.data.bank import Bank
from torchaug.data.collate import collate
from torchaug.data.items import Item
from torchaug.data.live import Fill
from torchaug.data.loader import DeviceLoader
from torchaug.data.mixed import MixedDataset
from torchaug.data.sampler import MixedSampler
from torchaug.data.schedule import Schedule
from torchaug.data.source import Source
from torchaug.data.streams import accelerator


class MixedDataModule(L.LightningDataModule):
    """Trains on a mixture of real and synthetic data, evaluates on real data alone, and resumes in mid-epoch.

    Loaders are `DeviceLoader`s on the trainer's device. Under DDP the training data are shared out by the
    `MixedSampler`, and evaluation data by a `DistributedSampler`. The place in the run is in the checkpoint of this
    module too: Lightning loses that of the loader when `configure_optimizers` asks for
    `trainer.estimated_stepping_batches`.

    Args:
        sources: to train on; a generator that was trained on `val` or `test` is refused.
        batch_size: of one process.
        share: of synthetic samples, as `MixedSampler` takes it.
        transform: of training batches.
        eval_transform: of the batches of `val` and `test`; it should not be random.
        fill: makes the live samples, where a source is live.
        val, test: data sets of items as dicts. Synthetic ones, a `Bank` or a `MixedDataset` that has some, are refused.
        allow_synthetic_eval: accept them all the same.
        sizes: "equal", or "any" where images may differ in size: batches are then padded (`torchaug.data.collate`).
        num_workers: of each loader; they stay from epoch to epoch.
        seed: of the order and the augmentation.
        sampler: further options of `MixedSampler`, by name.
        loader: further options of the training `DeviceLoader`, by name.

    >>> from torchaug.data import digits
    >>> data = digits()
    >>> module = MixedDataModule([Source.real(data), Source("copy", data, kind="bank")], batch_size=8, val=data)
    >>> next(iter(module.train_dataloader()))["is_synthetic"].sum()
    tensor(2)
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        batch_size: int,
        share: float | Schedule = 0.25,
        transform: Callable[..., Any] | None = None,
        eval_transform: Callable[..., Any] | None = None,
        fill: Fill | None = None,
        val: Dataset[Item] | None = None,
        test: Dataset[Item] | None = None,
        allow_synthetic_eval: bool = False,
        sizes: str = "equal",
        num_workers: int = 0,
        seed: int = 0,
        sampler: Mapping[str, Any] | None = None,
        loader: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.batch_size, self.share, self.num_workers, self.seed = batch_size, share, num_workers, seed
        self.transform, self.eval_transform, self.fill = transform, eval_transform, fill
        self._sampler, self._loader = dict(sampler or {}), dict(loader or {})
        self.val, self.test = (
            _evaluation(data, name, allow_synthetic_eval, sizes) for data, name in ((val, "val"), (test, "test"))
        )
        self.train = MixedDataset(sources, held_out=[data for data in (val, test) if data is not None], sizes=sizes)
        self._train_loader: DeviceLoader | None = None
        self._state: dict[str, Any] | None = None

    def train_dataloader(self) -> DeviceLoader:
        """The mixture, from the place that a checkpoint was taken at."""
        size, seed = self.batch_size, self.seed
        sampler = MixedSampler(self.train, self.share, batch_size=size, seed=seed, **self._sampler)
        options = {"fill": self.fill, "seed": seed} | self._loader
        loader = self._on_device(self._read(self.train, sampler), self.transform, **options)
        if self._state is not None:
            loader.load_state_dict(self._state)
            self._state = None
        self._train_loader = loader
        return loader

    def val_dataloader(self) -> DeviceLoader | list[Any]:
        """The validation data in order, or nothing."""
        return self._evaluated(self.val)

    def test_dataloader(self) -> DeviceLoader | list[Any]:
        """The test data in order, or nothing."""
        return self._evaluated(self.test)

    def state_dict(self) -> dict[str, Any]:
        """Where training stands."""
        state = self._state if self._train_loader is None else self._train_loader.state_dict()
        return {} if state is None else {"loader": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next training begin there; a checkpoint that is only evaluated says nothing about training."""
        if self.trainer is None or self.trainer.state.fn == "fit":
            self._state = state_dict["loader"]

    def _evaluated(self, data: MixedDataset | None) -> DeviceLoader | list[Any]:
        if data is None:
            return []
        trainer = self.trainer
        sampler: DistributedSampler[Item] | None = None
        if trainer is not None and trainer.world_size > 1:
            sampler = DistributedSampler(data, trainer.world_size, trainer.global_rank, shuffle=False)
        return self._on_device(self._read(data, sampler), self.eval_transform)

    def _read(self, data: MixedDataset, sampler: Any) -> DataLoader[Any]:
        return DataLoader(
            data,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self._device().type == "cuda",
            generator=torch.Generator().manual_seed(self.seed),  # else it draws from torch's, for its workers
        )

    def _on_device(self, loader: DataLoader[Any], transform: Callable[..., Any] | None, **options: Any) -> DeviceLoader:
        return DeviceLoader(loader, transform, **({"device": self._device()} | options))

    def _device(self) -> torch.device:
        if self.trainer is not None:
            return self.trainer.strategy.root_device
        return accelerator()


def _evaluation(data: Dataset[Item] | None, name: str, allow: bool, sizes: str) -> MixedDataset | None:
    """The data as a mixture that is checked for synthetic sources."""
    if data is None:
        return None
    if isinstance(data, MixedDataset):
        sources = data.sources
    else:
        sources = [Source.bank(data, name) if isinstance(data, Bank) else Source.real(data, name)]
    return MixedDataset(sources, evaluation=True, allow_synthetic_eval=allow, max_generation=sys.maxsize, sizes=sizes)
