"""SMOTE and Borderline-SMOTE against their formulae, in numpy, and against imbalanced-learn; and as generators of banks."""

# mypy: disable-error-code="arg-type, union-attr"
from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from zoo_tabular import COLUMNS, DATA, NUMBERS, table

from torchaug import tabular as T
from torchaug.data import Bank, Column, TableDataset, wine
from torchaug.data.leaks import fingerprint
from torchaug.keys import sample_keys
from torchaug.tabular import neighbours
from torchaug.training.resampler import Resampler

Array = np.ndarray[Any, Any]


def mixed(count: int = 80, seed: int = 0, missing: bool = False) -> TableDataset:
    """Three numbers of any precision, of different sizes, and two categories; two classes that overlap."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(count) % 4 == 0).long()
    numbers = torch.randn(count, 3, generator=generator, dtype=torch.float64) + 1.5 * labels[:, None]
    numbers = numbers * torch.tensor([5.0, 1.0, 0.2], dtype=torch.float64) + 7
    if missing:
        numbers[::5, 1] = math.nan
    codes = torch.stack([torch.randint(0, n, (count,), generator=generator) for n in (4, 2)], 1)
    columns = [Column(f"number {i}", "numeric") for i in range(3)]
    return TableDataset(numbers, codes, [*columns, *COLUMNS[NUMBERS:]], labels, ["ok", "fraud"])


def numbers_alone(count: int = 80, seed: int = 0) -> TableDataset:
    data = mixed(count, seed)
    none = torch.zeros(count, 0, dtype=torch.int64)
    return TableDataset(data.numeric, none, data.columns[:3], data.labels, data.classes)


def make(smote: T.SMOTE, label: int, count: int, seed: int = 0) -> Tensor:
    return smote.make(torch.full((count,), label), sample_keys(torch.arange(count), seed=seed))["table"]


def distances(data: TableDataset, label: int, standardize: bool, everywhere: bool = False) -> Array:
    """Of the rows of a class to each other, or to all rows, by the formula, one pair after the other; inf to itself."""
    x = data.numeric.numpy()
    x = np.where(np.isnan(x), np.nanmean(x, 0), x) / (np.nanstd(x, 0) if standardize else 1.0)
    own = np.flatnonzero(data.labels.numpy() == label)
    gap = np.median(x[own].std(0)) if x.shape[1] else 1.0
    others = np.arange(len(x)) if everywhere else own
    codes = data.categorical.numpy()
    out = np.empty((len(own), len(others)))
    for i, a in enumerate(own):
        for j, b in enumerate(others):
            square = ((x[a] - x[b]) ** 2).sum() + gap**2 * (codes[a] != codes[b]).sum()
            out[i, j] = np.inf if a == b else math.sqrt(square)
    return out


def steps_between(made: Array, starts: Array, ends: Array) -> Array:
    """How far from a start to an end (pairs, F) each synthetic row (M, F) lies: (M, pairs), NaN where it lies elsewhere."""
    way = ends - starts
    off = made[:, None] - starts
    step = (off * way).sum(-1) / (way * way).sum(-1)
    near = np.abs(off - step[..., None] * way).max(-1) < 1e-9
    return np.where(near & (step >= -1e-9) & (step <= 1 + 1e-9), step, np.nan)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("data", [numbers_alone(), mixed()], ids=["numbers", "mixed"])
def test_neighbours_are_the_nearest_by_the_formula(data: TableDataset, standardize: bool) -> None:
    smote = T.SMOTE(data, standardize=standardize)
    for label in (0, 1):
        own = np.flatnonzero(data.labels.numpy() == label)
        expected = own[distances(data, label, standardize).argsort(1, kind="stable")[:, :5]]
        found = smote.neighbourhood(label)
        assert found.rows.tolist() == own.tolist()
        assert found.neighbours.tolist() == expected.tolist()


@pytest.mark.parametrize("label", [0, 1])
def test_a_sample_lies_between_a_row_and_one_of_its_neighbours(label: int) -> None:
    """Each row and neighbour as often as the others, and each place; two rows that are each other's have two chances."""
    data = numbers_alone()
    own = np.flatnonzero(data.labels.numpy() == label)
    nearest = distances(data, label, standardize=True).argsort(1)[:, :5]
    pairs = np.array([(i, j) for i, near in enumerate(nearest) for j in near])
    made = make(T.SMOTE(data), label, 3000).numpy()
    steps = steps_between(made, *data.numeric.numpy()[own[pairs.T]])
    assert (~np.isnan(steps)).any(1).all()
    assert stats.kstest(steps[~np.isnan(steps)], "uniform").pvalue > 1e-3
    between = {frozenset(pair): place for place, pair in reversed(list(enumerate(pairs.tolist())))}
    seen = np.bincount((~np.isnan(steps)).argmax(1), minlength=len(pairs))
    chances = np.array([sum(frozenset(other) == set(pair) for other in pairs.tolist()) for pair in between])
    found = np.array([seen[place] for place in between.values()])
    assert stats.chisquare(found, chances / len(pairs) * len(made)).pvalue > 1e-3


def test_neighbours_are_those_of_imbalanced_learn() -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    for data, theirs in (
        (numbers_alone(), over_sampling.SMOTE(sampling_strategy={1: 60})),
        (mixed(), over_sampling.SMOTENC([3, 4], sampling_strategy={1: 60})),
    ):
        x = np.concatenate([data.numeric.numpy(), data.categorical.numpy()], 1)
        theirs.fit_resample(x, data.labels.numpy())
        expected = theirs.nn_k_.kneighbors(return_distance=False, n_neighbors=5)  # places in the class, without itself
        smote = T.SMOTE(data, standardize=False)
        own = np.flatnonzero(data.labels.numpy() == 1)
        ours = smote.neighbourhood(1).neighbours.numpy()
        if data.categorical.shape[1]:  # ties between categories may come in any order
            exact = distances(data, 1, standardize=False)
            ranked = (np.take_along_axis(exact, np.searchsorted(own, ours), 1), np.take_along_axis(exact, expected, 1))
            np.testing.assert_allclose(*ranked, rtol=1e-9)
        else:
            assert (ours == own[expected]).all()


@pytest.mark.parametrize("kind", ["smote", "smotenc", "borderline-1"])
def test_samples_have_the_law_of_imbalanced_learn(kind: str) -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    data = mixed(200) if kind == "smotenc" else numbers_alone(200)
    count, x = 3000, np.concatenate([data.numeric.numpy(), data.categorical.numpy()], 1)
    own = int((data.labels == 1).sum())
    wanted = {"sampling_strategy": {1: own + count}, "random_state": 0}
    if kind == "smotenc":
        theirs = over_sampling.SMOTENC([3, 4], **wanted)
    elif kind == "smote":
        theirs = over_sampling.SMOTE(**wanted)
    else:
        theirs = over_sampling.BorderlineSMOTE(kind=kind, **wanted)
    expected = theirs.fit_resample(x, data.labels.numpy())[0][len(x) :].astype(float)
    ours = (
        T.BorderlineSMOTE(data, kind=kind, standardize=False) if "border" in kind else T.SMOTE(data, standardize=False)
    )
    made = make(ours, 1, count, seed=1).numpy()
    assert made.shape == expected.shape
    for a, b in zip(made.T[:3], expected.T[:3], strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-3
    np.testing.assert_allclose(np.corrcoef(made.T[:3]), np.corrcoef(expected.T[:3]), atol=0.07)
    for a, b in zip(made.T[3:], expected.T[3:], strict=True):
        shares = [np.bincount(codes.astype(int), minlength=4) / count for codes in (a, b)]
        np.testing.assert_allclose(shares[0], shares[1], atol=0.05)


def test_categories_are_voted_for_by_the_neighbours() -> None:
    data = mixed(120)
    made = make(T.SMOTE(data), 1, 3000).numpy()
    own = np.flatnonzero(data.labels.numpy() == 1)
    nearest = distances(data, 1, standardize=True).argsort(1, kind="stable")[:, :5]
    pairs = np.array([(i, j) for i, near in enumerate(nearest) for j in near])
    fits = ~np.isnan(steps_between(made[:, :3], *data.numeric.numpy()[own[pairs.T]]))
    codes = data.categorical.numpy()[own]
    votes = np.stack([(codes[nearest] == code).sum(1) for code in range(4)], -1)  # of each row: (n, K, codes)
    winners = votes == votes.max(-1, keepdims=True)
    fair = []
    for row, fit in zip(made, fits, strict=True):
        rows = set(pairs[fit, 0].tolist())  # two, where each is the other's neighbour
        chosen = row[3:].astype(int)
        assert any(winners[i, [0, 1], chosen].all() for i in rows)
        if len(rows) == 1:
            tied = winners[rows.pop()]
            fair += [chosen[k] == tied[k].argmax() for k in (0, 1) if tied[k].sum() == 2]
    assert len(fair) > 200
    assert stats.binomtest(sum(fair), len(fair)).pvalue > 1e-3


@pytest.mark.parametrize("data", [wine(), numbers_alone(300, seed=2)], ids=["wine", "numbers"])
@pytest.mark.parametrize("m_neighbors", [10, 7])
def test_the_rows_in_danger_are_those_of_imbalanced_learn(data: TableDataset, m_neighbors: int) -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    labels = data.labels.numpy()
    more = {int(c): int((labels == c).sum()) + 1 for c in np.unique(labels)}
    theirs = over_sampling.BorderlineSMOTE(sampling_strategy=more, m_neighbors=m_neighbors)
    theirs.fit_resample(data.numeric.numpy(), labels)
    ours = T.BorderlineSMOTE(data, m_neighbors=m_neighbors, standardize=False)
    for c, most in more.items():
        rows = ours.neighbourhood(c).rows.tolist()
        assert 0 < len(rows) < most
        assert rows == theirs.in_danger_indices[c].tolist()


def test_the_rows_in_danger_are_those_of_the_formula_with_categories() -> None:
    data = mixed(150)
    smote = T.BorderlineSMOTE(data, m_neighbors=8)
    for label in (0, 1):
        near = distances(data, label, standardize=True, everywhere=True).argsort(1, kind="stable")[:, :8]
        others = (data.labels.numpy()[near] != label).sum(1)
        danger = np.flatnonzero(data.labels.numpy() == label)[(others >= 4) & (others < 8)]
        assert smote.neighbourhood(label).rows.tolist() == danger.tolist()


def test_borderline_2_goes_half_the_way_to_another_class_at_most() -> None:
    data = numbers_alone(200)
    smote = T.BorderlineSMOTE(data, kind="borderline-2")
    made, x, labels = make(smote, 1, 3000).numpy(), data.numeric.numpy(), data.labels.numpy()
    around = zip(*(places.tolist() for places in smote.neighbourhood(1)), strict=True)
    pairs = np.array([(i, j) for i, near in around for j in near])
    steps = steps_between(made, *x[pairs.T])
    to_others = labels[pairs[:, 1]] != 1
    assert (~np.isnan(steps)).any(1).all()
    own, other = (steps[:, where][~np.isnan(steps[:, where])] for where in (~to_others, to_others))
    assert min(len(own), len(other)) > 200
    assert stats.kstest(own, "uniform").pvalue > 1e-3
    assert stats.kstest(other, "uniform", (0, 0.5)).pvalue > 1e-3


def test_a_row_depends_on_its_label_and_key_alone() -> None:
    for smote in (T.SMOTE(mixed()), T.BorderlineSMOTE(mixed(), kind="borderline-2")):
        labels, keys = torch.arange(40) % 2, sample_keys(torch.arange(40))
        together = smote.make(labels, keys)["table"]
        order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
        assert torch.equal(smote.make(labels[order], keys[order])["table"], together[order])
        assert torch.equal(smote.make(labels[7:8], keys[7:8])["table"], together[7:8])
        assert smote.make(labels[:0], keys[:0])["table"].shape == (0, 5)
        assert len(together[:, 0].unique()) == 40


def test_distances_in_pieces_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = T.BorderlineSMOTE(mixed()).neighbourhood(0)
    monkeypatch.setattr(neighbours, "CHUNK_BYTES", 5000)
    for places, expected in zip(T.BorderlineSMOTE(mixed()).neighbourhood(0), whole, strict=True):
        assert torch.equal(places, expected)


def test_a_missing_number_is_the_other_rows_or_missing() -> None:
    data = mixed(missing=True)
    made = make(T.SMOTE(data), 1, 3000)
    own = data.numeric[data.labels == 1]
    share = float(own[:, 1].isnan().double().mean())
    assert not made[:, [0, 2]].isnan().any()
    assert abs(float(made[:, 1].isnan().double().mean()) - share) < 0.1
    known = made[:, 1][~made[:, 1].isnan()]
    assert known.min() >= own[:, 1].nan_to_num(math.inf).min()
    assert known.max() <= own[:, 1].nan_to_num(-math.inf).max()


def test_numbers_keep_the_decimals_of_their_columns() -> None:
    made = make(T.SMOTE(DATA), 1, 500)
    for column, digits in ((0, 2), (1, 0), (3, 0)):
        known = made[:, column][~made[:, column].isnan()].numpy()
        assert (known == known.round(digits)).all()
    assert (made[:, 2] != made[:, 2].round(decimals=2)).any()


def test_numbers_lie_on_the_grid_of_their_columns() -> None:
    pay = torch.arange(150.0, 4150.0, 100.0, dtype=torch.float64)[:, None]
    column = Column.of_numbers("pay", pay[:, 0].numpy())
    data = TableDataset(pay, torch.zeros(40, 0, dtype=torch.int64), [column])
    made = make(T.SMOTE(data), 0, 300)
    assert (made % 100).unique().tolist() == [50]
    assert len(made.unique()) > 20
    plain = TableDataset(pay, data.categorical, [replace(column, grid=None)])
    assert Resampler(T.SMOTE(data), data).digest() != Resampler(T.SMOTE(plain), plain).digest()


def test_small_classes() -> None:
    data = numbers_alone(9).subset([0, 1, 2, 3, 4])  # two of class 1, three of class 0
    smote = T.SMOTE(data)
    assert [smote.neighbourhood(label).neighbours.shape[1] for label in (0, 1)] == [2, 1]
    for label, rows in ((0, [1, 2, 3]), (1, [0, 4])):
        made, own = make(smote, label, 200), data.numeric[rows]
        assert (made >= own.min(0).values - 1e-12).all()
        assert (made <= own.max(0).values + 1e-12).all()
    one = T.SMOTE(data.subset([0, 1, 2]))
    with pytest.raises(ValueError, match="SMOTE: expected at least two rows of 'fraud'"):
        make(one, 1, 3)
    assert make(one, 0, 3).shape == (3, 3)


def test_rows_that_occur_twice_have_each_other_for_neighbours() -> None:
    data = numbers_alone(20)
    twice = data.subset([*range(20), *range(20)])
    rows, near = T.SMOTE(twice, k_neighbors=1).neighbourhood(0)
    assert torch.equal(near[:, 0] % 20, rows % 20)
    assert (near[:, 0] != rows).all()


def test_categories_alone_and_a_table_without_labels() -> None:
    codes = mixed().categorical
    data = TableDataset(torch.zeros(80, 0, dtype=torch.float64), codes, COLUMNS[NUMBERS:])
    smote = T.SMOTE(data)
    assert (smote.classes, smote.shares) == ([], None)
    assert make(smote, 0, 50).shape == (50, 2)
    with pytest.raises(ValueError, match="must have labels, got none; use SMOTE"):
        T.BorderlineSMOTE(data)


def test_misuse_is_told() -> None:
    smote = T.SMOTE(mixed())
    with pytest.raises(ValueError, match="labels must be 0 to 1, got 2"):
        make(smote, 2, 3)
    with pytest.raises(ValueError, match=r"labels and keys must be int64 of shape \(B,\)"):
        smote.make(torch.zeros(3, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="k_neighbors must be"):
        T.SMOTE(mixed(), k_neighbors=0)
    with pytest.raises(ValueError, match="kind must be"):
        T.BorderlineSMOTE(mixed(), kind="borderline")
    apart = numbers_alone(40)
    apart.numeric[apart.labels == 1] += 1000
    with pytest.raises(ValueError, match="BorderlineSMOTE: expected rows of 'fraud' with half of their neighbours"):
        make(T.BorderlineSMOTE(apart), 1, 3)


def test_a_resampler_makes_tables_and_banks(tmp_path: Path) -> None:
    data = table()
    resampler = Resampler(T.SMOTE(data), data)
    made = resampler.sample(30, "fraud", seed=1)
    assert isinstance(made, TableDataset)
    assert made.labels.tolist() == [1] * 30
    assert made.columns == data.columns
    assert resampler.shares == pytest.approx([2 / 3, 1 / 3])
    banks = [
        resampler.synthesize({"ok": 3, "fraud": 40}, tmp_path / str(size), seed=1, batch_size=size) for size in (7, 64)
    ]
    for bank in banks:
        assert isinstance(bank, Bank)
        assert bank.labels.bincount().tolist() == [3, 40]
        assert bank.trained_on == (fingerprint(data),)
        torch.testing.assert_close(bank[3]["table"].double(), _row(made, 0), rtol=0, atol=0, equal_nan=True)
    assert banks[0].fingerprint == banks[1].fingerprint
    assert (
        Resampler(T.SMOTE(data, k_neighbors=4), data).digest()
        != resampler.digest()
        == Resampler(T.SMOTE(data), data).digest()
    )
    with pytest.raises(TypeError, match="no settings"):
        resampler.sample(3, "fraud", truncation=0.5)
    with pytest.raises(ValueError, match="must be the one that smote was made for"):
        Resampler(T.SMOTE(data), table(seed=1))


def _row(data: TableDataset, row: int) -> Tensor:
    return torch.cat([data.numeric[row], data.categorical[row].double()])


@pytest.mark.gpu
def test_a_gpu_finds_the_same_neighbours() -> None:
    for kind in (T.SMOTE, T.BorderlineSMOTE):
        here, there = kind(mixed(400)), kind(mixed(400), device="cuda")
        assert torch.equal(here.neighbourhood(1).rows, there.neighbourhood(1).rows.cpu())
        labels, keys = torch.arange(40) % 2, sample_keys(torch.arange(40))
        made = there.make(labels.cuda(), keys.cuda())["table"].cpu()
        torch.testing.assert_close(made, here.make(labels, keys)["table"], rtol=0, atol=1e-9)
