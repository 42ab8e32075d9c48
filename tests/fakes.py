"""Small generators that do on purpose what the watchers of a training look for."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from torchaug.data import Column, TableDataset
from torchaug.keys import normal, sample_keys, uniforms
from torchaug.training.generator import LitGenerator
from torchaug.training.synthesizer import Columns, check_settings

COLUMNS = [
    Column("size", "numeric", decimals=1, low=-9.0, high=9.0),
    Column("age", "numeric", decimals=0, low=-50.0, high=50.0),
    Column("colour", "categorical", ("blue", "red", None)),
]


def rows(count: int = 120, seed: int = 0) -> TableDataset:
    """Two classes of numbers and a colour; a size is missing now and then. The second class is a quarter."""
    keys = sample_keys(torch.arange(count), seed=seed)
    labels = (torch.arange(count) % 4 == 3).long()
    numeric = normal(uniforms(keys, 2)).double() * torch.tensor([1.0, 10.0]) + 2 * labels[:, None]
    numeric = torch.stack([numeric[:, 0].mul(10).round() / 10, numeric[:, 1].round()], 1)
    numeric[::10, 0] = torch.nan
    return TableDataset(numeric, torch.arange(count)[:, None] % 3, COLUMNS, labels, ["ok", "fraud"])


class Fake(LitGenerator):
    """A normal distribution for each class of a table, whose means are learnt; `act` says what goes wrong, and when.

    "well": nothing. "copy": from step `since` on it returns training rows. "same": all samples of class 1 are alike from then
    on. "nan": the term "spread" is NaN at that step.
    """

    kind: ClassVar[str] = "fake"

    def __init__(
        self, classes: list[str], steps: int, act: str = "well", since: int = 0, rate: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.mean = nn.Parameter(torch.zeros(len(classes), 2, dtype=torch.float64))
        self.seen: list[int] = []

    @classmethod
    def made_for(cls, data: Any, steps: int, augment: Any, settings: dict[str, Any]) -> Fake:
        if not isinstance(data, TableDataset):
            raise TypeError(f"Fake: expected a table, got a {type(data).__name__}; choose a kind made for these")
        return cls(list(data.classes or []), steps, **settings)

    @classmethod
    def default_settings(cls, data: Any) -> dict[str, Any]:
        return {}

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.hparams["rate"])

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        keys = self.step_keys(len(batch["label"]))
        self.seen += keys.tolist()
        known = batch["numeric"].nan_to_num(0.0) + 0.1 * normal(uniforms(keys, 2)).double()
        spread = (self.mean[batch["label"]] - known).square().mean()
        if self.hparams["act"] == "nan" and self.global_step == self.hparams["since"]:
            spread = spread * torch.nan
        size = self.mean.square().mean()
        self.log_dict({"loss": spread + size, "spread": spread, "size": size})
        loss: Tensor = spread + 1e-3 * size
        return loss

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings("Fake", settings, ["given"])
        noise = normal(uniforms(keys, 2)).double() * torch.tensor([1.0, 10.0], device=keys.device)
        numeric = 2.0 * labels[:, None] + noise
        numeric = torch.stack([numeric[:, 0].mul(10).round() / 10, numeric[:, 1].round()], 1)
        codes = keys.remainder(3).double()
        table = torch.cat([numeric, codes[:, None]], 1)
        act, late = self.hparams["act"], self.global_step >= self.hparams["since"]
        if act == "copy" and late:
            data: Any = self.trainer.datamodule.train  # type: ignore[attr-defined]
            chosen = data.subset(keys.cpu().remainder(len(data)))
            table = torch.cat([chosen.numeric, chosen.categorical.double()], 1)
        if act == "same" and late:
            table = torch.where(labels[:, None] == 1, torch.ones_like(table), table)
        return {"table": table}

    def natural(self, columns: Columns, labels: Tensor) -> TableDataset:
        table = columns["table"]
        return TableDataset(table[:, :2], table[:, 2:].long(), COLUMNS, labels, self.classes)
