"""A table of card payments with rare fraud, made on the spot: to try things on without downloading anything."""

from __future__ import annotations

import numpy as np
import torch

from torchaug.data.tables import Column, TableDataset

SHOPS = ("clothes", "electronics", "food", "fuel", "games", "gifts", "pharmacy", "travel")
CHANNELS = ("chip", "contactless", "online", "phone")
_FRAUD = {
    # share among frauds, and what is typical of them: the middle of log(amount), hour, km from home, payments that day
    "stolen card": (0.45, 4.6, 15.0, 30.0, 5.0),
    "stolen number": (0.40, 5.2, 3.0, 900.0, 2.0),
    "account takeover": (0.15, 6.4, 11.0, 5.0, 1.0),
}


def transactions(count: int = 6000, share: float = 0.03, seed: int = 0) -> TableDataset:
    """Simulated card payments: 5 numbers, 3 categories and the label fraud, "no" or "yes".

    Honest payments follow daily habits; frauds are of three kinds, each a cluster of its own that overlaps with honest
    payments, and one in ten is labelled wrongly as honest, as in life. The same arguments give the same table.

    Args:
        count: rows, at least 20.
        share: of fraud, in (0, 0.5]; at least two rows are.
        seed: of all random numbers.

    >>> data = transactions(1000, share=0.05)
    >>> data.classes, data.labels.bincount().tolist(), [column.name for column in data.columns][:3]
    (['no', 'yes'], [950, 50], ['amount', 'hour', 'distance_km'])
    """
    if count < 20 or not 0 < share <= 0.5:
        raise ValueError(f"transactions: count must be at least 20 and share in (0, 0.5], got {count} and {share}")
    random = np.random.default_rng(seed)
    frauds = max(2, round(share * count))
    hidden = frauds // 9  # frauds that nobody noticed, labelled "no"
    honest = _honest(random, count - frauds - hidden)
    table = np.concatenate([honest, _frauds(random, frauds + hidden)])
    labels = np.zeros(count, dtype=np.int64)
    labels[len(table) - frauds :] = 1
    order = random.permutation(count)
    table, labels = table[order], labels[order]
    names = ("amount", "hour", "distance_km", "payments_today", "card_age_days")
    columns = [Column.of_numbers(name, table[:, place]) for place, name in enumerate(names)]
    columns += [
        Column("shop", "categorical", SHOPS),
        Column("channel", "categorical", CHANNELS),
        Column("abroad", "categorical", ("no", "yes")),
    ]
    numbers, codes = torch.from_numpy(table[:, :5].copy()), torch.from_numpy(table[:, 5:].astype(np.int64))
    return TableDataset(
        numbers, codes, columns, torch.from_numpy(labels), ["no", "yes"], name="transactions", label="fraud"
    )


def _honest(random: np.random.Generator, count: int) -> np.ndarray:
    shop = random.choice(8, count, p=[0.12, 0.07, 0.4, 0.14, 0.05, 0.06, 0.1, 0.06])
    amount = random.lognormal(np.array([3.8, 4.9, 3.1, 3.9, 3.2, 3.6, 2.9, 5.4])[shop], 0.6)
    hour = random.choice([9.0, 13.0, 18.0], count, p=[0.25, 0.35, 0.4]) + random.normal(0, 2, count)
    distance = random.lognormal(np.where(shop == 7, 5.5, 1.6), 1.0)
    today = random.poisson(1.2, count) + 1
    age = random.gamma(2.0, 500.0, count)
    channel = np.where(random.random(count) < 0.3, 2, random.choice(4, count, p=[0.3, 0.6, 0.07, 0.03]))
    abroad = random.random(count) < np.where(distance > 300, 0.5, 0.01)
    return _rows(amount, hour, distance, today, age, shop, channel, abroad)


def _frauds(random: np.random.Generator, count: int) -> np.ndarray:
    share, amount, hour, distance, today = (np.array(values) for values in zip(*_FRAUD.values(), strict=True))
    kind = random.choice(3, count, p=share)
    shops = np.array([[0.1, 0.3, 0.1, 0.25, 0.02, 0.18, 0.03, 0.02], [0.1, 0.35, 0, 0, 0.3, 0.15, 0, 0.1], [1 / 8] * 8])
    shop = np.array([random.choice(8, p=shops[k]) for k in kind])
    channel = np.array(
        [random.choice(4, p=([0.2, 0.75, 0.04, 0.01], [0, 0, 0.8, 0.2], [0, 0, 0.5, 0.5])[k]) for k in kind]
    )
    abroad = random.random(count) < np.array([0.1, 0.6, 0.05])[kind]
    return _rows(
        random.lognormal(amount[kind], 0.5),
        hour[kind] + random.normal(0, 2.5, count),
        random.lognormal(np.log(distance[kind]), 0.9),
        random.poisson(today[kind]) + 1,
        random.gamma(1.2, 600.0, count),
        shop,
        channel,
        abroad,
    )


def _rows(
    amount: np.ndarray,
    hour: np.ndarray,
    distance: np.ndarray,
    today: np.ndarray,
    age: np.ndarray,
    shop: np.ndarray,
    channel: np.ndarray,
    abroad: np.ndarray,
) -> np.ndarray:
    numbers = (amount.round(2), (hour % 24).round(1), distance.round(1), today, age.round())
    return np.stack([*numbers, shop, channel, abroad], 1).astype(np.float64)
