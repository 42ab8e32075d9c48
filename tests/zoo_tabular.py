"""Every public transform of tables, once or more: what tests/test_tabular.py runs over."""

from __future__ import annotations

import math

import torch

from torchaug import Compose, OneOf, RandomApply, RandomOrder, SomeOf
from torchaug import tabular as T
from torchaug.data import Column, TableDataset
from torchaug.transform import Layer

NUMBERS = 4
COLUMNS = (
    Column("amount", "numeric", decimals=2),
    Column("age", "numeric", decimals=0),
    Column("score", "numeric"),
    Column("constant", "numeric", decimals=0),
    Column("job", "categorical", ("cook", "smith", "tailor", None)),
    Column("site", "categorical", ("north", "south")),
)


def table(count: int = 60, seed: int = 0) -> TableDataset:
    """Four numbers of different sizes, some missing, and two categories; two classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(count) % 3 == 0).long()
    numbers = torch.randn(count, NUMBERS, generator=generator, dtype=torch.float64) + labels[:, None]
    numbers *= torch.tensor([100.0, 20.0, 0.01, 0.0], dtype=torch.float64)
    numbers = torch.stack([numbers[:, 0].round(decimals=2), numbers[:, 1].round(), *numbers[:, 2:].T], 1)
    numbers[::7, 0] = math.nan
    codes = torch.stack([torch.randint(0, n, (count,), generator=generator) for n in (4, 2)], 1)
    return TableDataset(numbers, codes, COLUMNS, labels, ["ok", "fraud"])


DATA = table()

ALONE: dict[str, Layer] = {
    "noise": T.GaussianNoise.fit(DATA),
    "noise_range": T.GaussianNoise(std=[3.0, 1.0, 0.5, 0.0], sigma=(0.05, 0.5), p=0.7),
    "noise_half": T.GaussianNoise(std=[3.0, 1.0]),
    "dropout": T.FeatureDropout.fit(DATA, chance=0.4),
    "dropout_mean": T.FeatureDropout.fit(DATA, fill="mean", chance=(0.5, 0.0, 0.2, 1.0, 0.3, 0.9), p=0.5),
}
MIXING: dict[str, Layer] = {
    "swap": T.SwapNoise.fit(DATA, chance=0.5),
    "swap_some": T.SwapNoise(6, chance=(0.5, 0.0, 0.2, 1.0, 0.3, 0.9), p=0.5),
    "mixup": T.MixUp.fit(DATA, alpha=0.4),
    "mixup_some": T.MixUp(4, num_classes=2, p=0.5),
}
CHAINS: dict[str, Layer] = {
    "chain": Compose([ALONE["noise"], ALONE["dropout"]]),
    "one_of": OneOf([ALONE["noise_range"], ALONE["dropout_mean"]], weights=[2, 1]),
    "some_of": SomeOf([ALONE["noise"], ALONE["dropout"], ALONE["noise_half"]], n=2),
    "random_apply": RandomApply([ALONE["noise"], ALONE["dropout"]], p=0.5),
    "random_order": RandomOrder([ALONE["noise"], ALONE["dropout"]]),
}
MIXING_CHAINS: dict[str, Layer] = {
    "mixing_chain": Compose([MIXING["swap"], ALONE["noise"], MIXING["mixup"], ALONE["dropout"]])
}
STANDING_ALONE = ALONE | CHAINS
EVERY = STANDING_ALONE | MIXING | MIXING_CHAINS


def rows(count: int = 6, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Rows of a table (count, 6)."""
    data = table(count, seed=3)
    return torch.cat([data.numeric, data.categorical.double()], 1).to(dtype)
