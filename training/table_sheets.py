"""What a reader sees of synthetic rows: each column beside the real one, and rows beside their nearest training rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchaug.data.tables import Column, TableDataset
from torchaug.evaluate.neighbours import nearest
from torchaug.evaluate.results import ColumnSheet, RowSheet

BINS, COLUMNS, ROWS = 12, 24, 8


def column_sheets(real: TableDataset, synthetic: TableDataset) -> tuple[ColumnSheet, ...]:
    """The shares of rows in the bins of each column, of the first 24 columns: equal steps of numbers, categories."""
    numbers = real.numeric.shape[1]
    sheets = []
    for place, column in enumerate(real.columns[:COLUMNS]):
        if column.kind == "numeric":
            edges = torch.linspace(column.low, column.high, BINS + 1, dtype=torch.float64)
            names = tuple(_number(float(low), column) for low in edges[:-1])
            binned = [_binned(data.numeric[:, place], edges) for data in (real, synthetic)]
        else:
            codes = [data.categorical[:, place - numbers] for data in (real, synthetic)]
            most = codes[0].bincount(minlength=len(column.categories)).argsort(descending=True, stable=True)[:BINS]
            names = tuple(str(column.categories[code]) for code in most.tolist())
            binned = [code.bincount(minlength=len(column.categories))[most] / len(code) for code in codes]
        real_shares, made_shares = (tuple(shares.tolist()) for shares in binned)
        sheets.append(ColumnSheet(column.name, names, real_shares, made_shares))
    return tuple(sheets)


def _binned(values: Tensor, edges: Tensor) -> Tensor:
    """The share of values in each bin; those outside go to the ends, missing ones to none."""
    known = values[~values.isnan()]
    place = (torch.searchsorted(edges, known, right=True) - 1).clamp(0, len(edges) - 2)
    return place.bincount(minlength=len(edges) - 1) / len(values)


def row_sheet(synthetic: TableDataset, train: TableDataset, test: TableDataset) -> RowSheet:
    """The synthetic rows that are closest to training rows, and by how much closer all are than test rows."""
    place, distance = nearest_rows(synthetic, train)
    _, scale = nearest_rows(test, train)
    closest = distance.argsort(stable=True)[:ROWS]
    return RowSheet(
        tuple(column.name for column in train.columns),
        tuple(_text(synthetic, row) for row in closest.tolist()),
        tuple(_text(train, row) for row in place[closest].tolist()),
        tuple(distance[closest].tolist()),
        float(distance.median() / scale.median().clamp(min=1e-9)),
    )


def nearest_rows(rows: TableDataset, among: TableDataset) -> tuple[Tensor, Tensor]:
    """For each row the place of the nearest of `among`, and the distance.

    Distances are Euclidean: numbers in standard deviations of `among`, each category that differs counting 1; a missing
    number is the mean, and differs by 1 from one that is not missing.
    """
    distance, place = nearest(_points(rows, among), _points(among, among))
    return place, distance


def _points(data: TableDataset, like: TableDataset) -> Tensor:
    mean = like.numeric.nanmean(0)
    scale = (like.numeric - mean).square().nanmean(0).sqrt()
    numbers = (data.numeric - mean) / torch.where(scale > 0, scale, 1.0)
    codes = [
        torch.nn.functional.one_hot(codes, len(column.categories)).double() / 2**0.5
        for codes, column in zip(data.categorical.T, like.columns[like.numeric.shape[1] :], strict=True)
    ]
    return torch.cat([numbers.nan_to_num(0.0), data.numeric.isnan().double(), *codes], 1)


def _text(data: TableDataset, row: int) -> tuple[str, ...]:
    numbers = data.numeric.shape[1]
    values = [_number(value, column) for value, column in zip(data.numeric[row].tolist(), data.columns, strict=False)]
    codes = zip(data.categorical[row].tolist(), data.columns[numbers:], strict=True)
    return (*values, *(str(column.categories[code] or "") for code, column in codes))


def _number(value: float, column: Column) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.4g}" if column.decimals is None or column.decimals > 4 else f"{value:.{column.decimals}f}"
