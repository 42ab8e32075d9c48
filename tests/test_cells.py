"""The invariants of the exact mixture with classes, groups and weights, against definitions of their own."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchaug.data import Constant, Linear, MixedDataset, MixedSampler, Piecewise, Source, TensorImages
from torchaug.data.cells import Cells

pytestmark = pytest.mark.filterwarnings("ignore:MixedSampler. .* of a batch is synthetic")
CLASSES, GROUPS = 3, 2
CELLS = [(c, g) for c in range(CLASSES) for g in range(GROUPS)]


class Images(TensorImages):
    """Images with groups."""

    def __init__(self, labels: Any, groups: Any) -> None:
        pixels = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
        super().__init__(pixels, labels, ["ok", "scratch", "dent"])
        self.groups, self.group_names = groups, ["site A", "site B"]


@dataclass(frozen=True)
class Mix:
    """A mixture with classes and groups, small enough to look at every sample of it."""

    real: tuple[int, ...]  # items of each of CELLS
    bank: tuple[int, ...]
    share: Any
    batch: int
    world: int
    steps: int
    seed: int
    by: str
    classes: Any
    real_classes: Any
    weighted: bool
    interleave: str

    def data(self, kind: str) -> Any:
        """The class and the group of each item, in an order that says nothing."""
        counts = torch.tensor(self.real if kind == "real" else self.bank)
        cells = torch.arange(len(CELLS)).repeat_interleave(counts)
        cells = cells[torch.randperm(len(cells), generator=torch.Generator().manual_seed(self.seed))]
        return Images(cells // GROUPS, cells % GROUPS)

    def source(self, kind: str) -> Any:
        data = self.data(kind)
        weights = 0.5 + (torch.arange(len(data)) * 7 % 5) if self.weighted else None
        return Source(kind, data, weights=weights, kind=kind)

    def sampler(self, rank: int = 0, kinds: Any = ("real", "bank"), mixed: bool = False) -> Any:
        sources: Any = [self.source(kind) for kind in kinds]
        options: Any = {"batch_size": self.batch, "steps_per_epoch": self.steps, "epochs": 2, "seed": self.seed}
        options |= {"rank": rank, "world_size": self.world, "interleave": self.interleave}
        if self.classes is not None or self.real_classes is not None:
            options |= {"classes": self.classes, "real_classes": self.real_classes, "by": self.by}
        return MixedSampler(MixedDataset(sources) if mixed else sources, self.share, **options)

    def batches(self, **options: Any) -> Any:
        """(steps, world, batch) flat indices of two epochs."""
        runs = [self.sampler(rank, **options) for rank in range(self.world)]
        rows = [[list(run) for _ in range(2)] for run in runs]
        return np.array(rows).reshape(self.world, 2 * self.steps, self.batch).transpose(1, 0, 2)

    def cells(self) -> Any:
        """(items, 2) class and group of each flat index."""
        parts = [self.data(kind) for kind in ("real", "bank")]
        return np.concatenate([np.stack([part.labels, part.groups], 1) for part in parts])

    def cell_of(self) -> Any:
        """What the shares are about, of each flat index: a class, or a class of a group."""
        cells = self.cells()
        return cells[:, 0] * GROUPS + cells[:, 1] if self.by == "class_group" else cells[:, 0]


def _mapping(by: str) -> Any:
    keys = st.sampled_from(CELLS) if by == "class_group" else st.integers(0, CLASSES - 1)
    return st.dictionaries(keys, st.integers(1, 9), min_size=1)


@st.composite
def mixes(draw: Any, /, **fixed: Any) -> Mix:
    by = fixed.get("by", draw(st.sampled_from(["class", "class_group"])))
    options: Any = {
        "real": tuple(draw(st.lists(st.integers(1, 12), min_size=len(CELLS), max_size=len(CELLS)))),
        "bank": tuple(draw(st.lists(st.integers(1, 6), min_size=len(CELLS), max_size=len(CELLS)))),
        "share": draw(st.sampled_from([0.25, 1 / 3, 0.5, 0.1, 1.0, Linear(0.5, 0.0), Piecewise({0: 0.25, 0.8: 0})])),
        "batch": draw(st.integers(1, 12)),
        "world": draw(st.integers(1, 3)),
        "steps": draw(st.integers(1, 8)),
        "seed": draw(st.integers(0, 2**31)),
        "by": by,
        "classes": draw(st.one_of(st.sampled_from([None, "fill", "proportional"]), _mapping(by))),
        "real_classes": draw(st.one_of(st.sampled_from([None, None, "balanced"]), _mapping(by))),
        "weighted": draw(st.booleans()),
        "interleave": draw(st.sampled_from(["shuffle", "even", "block"])),
    }
    return Mix(**(options | fixed))


@settings(max_examples=40)
@given(mixes(weighted=False))
def test_i3_items_of_a_cell_are_used_equally_often_at_every_moment(mix: Mix) -> None:
    indices, cells, real = mix.batches().reshape(-1, mix.batch), mix.cell_of(), sum(mix.real)
    for side, shares in ((range(real), mix.real_classes), (range(real, len(cells)), mix.classes)):
        uses = np.zeros(len(cells), dtype=int)
        for batch in indices:
            np.add.at(uses, batch, 1)
            for cell in np.unique(cells) if shares is not None else [None]:
                of_cell = [i for i in side if cell is None or cells[i] == cell]
                assert uses[of_cell].max() - uses[of_cell].min() <= 1


@settings(max_examples=40)
@given(mixes(), st.data())
def test_i4_and_i5_ranks_and_resumes_do_not_change_what_a_step_draws(mix: Mix, data: Any) -> None:
    whole = mix.batches()
    global_batch = mix.batch * mix.world
    world = data.draw(st.sampled_from([w for w in range(1, global_batch + 1) if global_batch % w == 0]))
    step = data.draw(st.integers(0, mix.steps - 1))
    other = replace(mix, world=world, batch=global_batch // world)
    state = json.loads(json.dumps(mix.sampler().state_dict((1, step))))
    rest = []
    for rank in range(world):
        sampler = other.sampler(rank)
        sampler.load_state_dict(state)
        rest.append(np.array(list(sampler)).reshape(-1, other.batch))
    for ours, theirs in zip(np.stack(rest, 1), whole[mix.steps + step :], strict=True):
        assert Counter(ours.flatten().tolist()) == Counter(theirs.flatten().tolist())


def level(counts: Any, amount: int) -> Fraction:
    """The water level: the lowest of those that the k lowest cells alone would have."""
    ordered = sorted(counts)
    return min(Fraction(amount + sum(ordered[:k]), k) for k in range(1, len(ordered) + 1))


def wanted_shares(mix: Mix, amount: int) -> dict[Any, Fraction]:
    """The share of each cell among the synthetic samples."""
    real = Counter(mix.cell_of()[: sum(mix.real)].tolist())
    if isinstance(mix.classes, dict):
        weights = {(c if isinstance(c, int) else c[0] * GROUPS + c[1]): q for c, q in mix.classes.items()}
    elif mix.classes == "proportional":
        weights = dict(real)
    else:
        weights = {cell: max(Fraction(0), level(real.values(), amount) - n) for cell, n in real.items()}
    return {cell: Fraction(weight) / sum(weights.values()) for cell, weight in weights.items()}


shared = st.one_of(
    mixes(share=0.5, classes="fill", real_classes=None, batch=8),
    mixes(share=0.25, classes="proportional", real_classes=None, batch=8),
    mixes(share=0.25, classes={0: 1, 2: 5}, by="class", batch=8),
    mixes(share=0.25, classes={(0, 1): 1, (2, 0): 5, (1, 1): 3}, by="class_group", batch=8),
)


@settings(max_examples=40)
@given(shared)
def test_i7_every_prefix_of_the_synthetic_stream_holds_the_shares_of_the_cells(mix: Mix) -> None:
    indices = replace(mix, interleave="even").batches().flatten()
    cells = mix.cell_of()[indices[indices >= sum(mix.real)]]
    shares = wanted_shares(mix, amount=sum(mix.real))  # as many as real ones at a share of one half
    for cell in set(cells.tolist()) | set(shares):
        had = (cells == cell).cumsum()
        due = np.arange(1, len(cells) + 1) * float(shares.get(cell, Fraction(0)))
        assert np.abs(had - due).max() < 1 + 1e-9


@settings(max_examples=40)
@given(mixes(classes="fill", real_classes=None, weighted=False, interleave="even"), st.integers(1, 200))
def test_i7_a_pass_fills_the_cells_up_to_the_level(mix: Mix, amount: int) -> None:
    total = sum(mix.real) + amount
    whole = replace(mix, share=amount / total, batch=1, world=1, steps=total)
    indices = np.array(list(whole.sampler()))
    cells = mix.cell_of()
    real = Counter(cells[: sum(mix.real)].tolist())
    drawn = Counter(cells[indices].tolist())
    assert (indices >= sum(mix.real)).sum() == amount
    for cell, count in real.items():
        assert abs(drawn[cell] - max(Fraction(count), level(real.values(), amount))) <= 1


@settings(max_examples=15)
@given(mixes(weighted=True, share=1.0, batch=10, world=1, classes={(1, 0): 1}, by="class_group"))
def test_i8_weights_are_met_on_average_in_a_cell_of_a_group(mix: Mix) -> None:
    passes = 400
    whole = replace(mix, steps=math.ceil(passes * mix.bank[2] / 10), interleave="even")
    indices = np.array(list(whole.sampler()))[: passes * mix.bank[2]] - sum(mix.real)
    source = mix.source("bank")
    mine = ((source.labels == 1) & (source.groups == 0)).numpy()
    due = np.where(mine, source.weights, 0) / source.weights.numpy()[mine].sum() * mix.bank[2]
    assert np.abs(np.bincount(indices, minlength=len(due)) / passes - due).max() < 0.15  # six standard errors


@settings(max_examples=40)
@given(mixes())
def test_i9_the_plan_names_class_and_group_of_what_is_drawn(mix: Mix) -> None:
    cells, real = torch.from_numpy(mix.cells()), sum(mix.real)
    for plan in mix.sampler().plans(0, 2 * mix.steps):
        assert torch.equal(plan.is_synthetic, plan.index >= real)
        for side, shares in ((~plan.is_synthetic, mix.real_classes), (plan.is_synthetic, mix.classes)):
            drawn = cells[plan.index[side]]
            asked = torch.stack([plan.label[side], plan.group[side]], 1)
            by_group = mix.by == "class_group"
            drawn[:, 0] = drawn[:, 0] if shares is not None else -1
            drawn[:, 1] = drawn[:, 1] if shares is not None and by_group else -1
            assert torch.equal(asked, drawn)


def test_i13_classes_of_no_samples_ask_for_nothing() -> None:
    unlabelled = [Source("real", 5)]
    sampler = MixedSampler(unlabelled, 0.0, batch_size=2, classes="fill", by="class_group")
    assert list(sampler) == list(MixedSampler(unlabelled, 0.0, batch_size=2))


zeros = st.sampled_from([0.0, Constant(0.0), Linear(0.0, 0.0), Piecewise({0: 0.0})])


@settings(max_examples=40)
@given(mixes(), zeros, st.booleans())
def test_i13_without_a_share_batches_are_those_without_a_bank(mix: Mix, zero: Any, mixed: bool) -> None:
    none = replace(mix, share=zero)
    assert (none.batches(mixed=mixed) == none.batches(kinds=["real"])).all()


@settings(max_examples=40)
@given(mixes(interleave="even").filter(lambda mix: mix.share != 1), st.booleans())
def test_i13_real_samples_come_in_the_order_without_a_bank_also_when_the_share_ends_at_0(mix: Mix, mixed: bool) -> None:
    drawn = mix.batches(mixed=mixed).flatten()
    alone = replace(mix, share=0.0).batches(kinds=["real"]).flatten()
    real = drawn[drawn < sum(mix.real)]
    assert (real == alone[: len(real)]).all()
    if isinstance(mix.share, Piecewise) and mix.steps > 2:
        last = mix.batches()[math.ceil(0.8 * (2 * mix.steps - 1)) :]
        assert (last < sum(mix.real)).all()


@given(st.data())
def test_the_index_of_cells_is_a_stable_sort(data: Any) -> None:
    top = data.draw(st.sampled_from([0, 2, 300, 70_000, 2**40]))
    numbers = data.draw(st.lists(st.lists(st.integers(0, top), max_size=30), min_size=1, max_size=3))
    sources = [Source(str(i), len(part), labels=torch.tensor(part).long()) for i, part in enumerate(numbers)]
    labels = np.array([number for part in numbers for number in part], dtype=np.int64)
    cells = Cells(sources, by_group=False)
    assert cells.counts == {(n, -1): c for n, c in sorted(Counter(labels.tolist()).items())}
    wanted = data.draw(st.permutations([*sorted(set(labels.tolist())), top + 1]))[:5]
    index = cells.index([(number, -1) for number in wanted])
    assert index.dtype == np.int32
    assert index.tolist() == [place for number in wanted for place in np.flatnonzero(labels == number)]


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("classes", [10, 400, 70_000])
def test_the_index_of_more_items_than_are_sorted_at_a_time(classes: int, by_group: bool) -> None:
    size, cut = 700_000, 100_001
    generator = torch.Generator().manual_seed(0)
    labels, groups = (torch.randint(0, top, (size,), generator=generator) for top in (classes, 3))
    sources = [
        Source("a", cut, labels=labels[:cut].int(), groups=groups[:cut]),
        Source("b", size - cut, labels=labels[cut:], groups=groups[cut:].to(torch.uint8)),
    ]
    wanted = [(number, 2 if by_group else -1) for number in range(0, classes, max(1, classes // 1000))]
    fit = torch.isin(labels, torch.tensor(wanted)[:, 0]) & ((groups == 2) | (not by_group))
    places = fit.nonzero().flatten()
    expected = places[labels[places].argsort(stable=True)]
    assert (Cells(sources, by_group).index(wanted) == expected.numpy()).all()


def cell_sources(real: Any, bank: Any, **options: Any) -> Any:
    """Sources of data with a class and a group for each item: [(class, group), ...]."""
    made = [Images(*torch.tensor(cells).T) for cells in (real, bank)]
    return [Source.real(made[0]), Source("bank", made[1], kind="bank", **options)]


EVERY = [*CELLS, *CELLS[:4], *CELLS[:2]]  # class 2 is rare
REFUSED = [
    (
        {"classes": "fill"},
        r"synthetic samples of class 2 \('dent'\) of group 1 \('site B'\), which is wanted, got none",
    ),
    ({"classes": {("dent", "site B"): 1}}, r"class 2 \('dent'\) of group 1 \('site B'\)"),
    ({"classes": {(2, 1): 1, (0, 0): 1}}, r"class 2 \('dent'\) of group 1 \('site B'\)"),
    ({"real_classes": {(2, 5): 1}}, r"real samples of class 2 \('dent'\) of group 5, which is wanted"),
    ({"classes": {"dent": 1}}, "classes must be of pairs of a class and a group.*'site A'.*got 'dent'"),
    ({"classes": {(0, "site C"): 1}}, "got .0, 'site C'."),
    ({"classes": {(0, -1): 1}}, r"got \(0, -1\)"),
    ({"classes": {(0, 1, 2): 1}}, r"got \(0, 1, 2\)"),
    ({"classes": {(0, 0): 1}, "by": "class"}, r"classes must be of classes.*got \(0, 0\)"),
    ({"classes": {("ok", 0): 1, (0, 0): 2}}, r"must name class 0 \('ok'\) of group 0 \('site A'\) once"),
    ({"classes": {(0, 0): -1}}, r"got -1 for class 0 \('ok'\) of group 0"),
    ({"classes": {(0, 0): 0}}, "must have a share above 0"),
    ({}, "by='class_group' is about classes= and real_classes=, got neither"),
    ({"by": "group"}, "by must be 'class' or 'class_group', got 'group'"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_cells_cannot_be_is_refused_by_name(options: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        MixedSampler(cell_sources(EVERY, CELLS[:5]), **({"batch_size": 4, "by": "class_group"} | options))


def test_a_cell_whose_items_weigh_too_little_is_named() -> None:
    sources = cell_sources(EVERY, CELLS, weights=torch.tensor([1, 1, 1, 1, 1, 0.2]))
    options: Any = {"batch_size": 4, "by": "class_group", "classes": "fill"}
    assert MixedSampler(sources, **options)
    with pytest.raises(ValueError, match=r"class 2 \('dent'\) of group 1 \('site B'\).*enough weight"):
        MixedSampler(sources, **options, min_weight=0.5)


def test_cells_need_groups_and_stored_samples() -> None:
    labels = torch.arange(6) % 2
    real = Source("real", 6, labels=labels, groups=labels.flip(0))
    options: Any = {"batch_size": 4, "by": "class_group", "classes": "fill"}
    with pytest.raises(ValueError, match="source 'bank' must have groups to be drawn by class and group, got none"):
        MixedSampler([real, Source("bank", 6, labels=labels, kind="bank")], **options)
    with pytest.raises(ValueError, match="source 'plain' must have groups"):
        MixedSampler([real, Source("plain", 6, labels=labels), Source("bank", 6, kind="bank")], **options)
    with pytest.raises(ValueError, match=r"needs stored synthetic samples, got a live source.*by='class'"):
        MixedSampler([real, Source.live()], **options)
    assert MixedSampler([real, Source.live()], batch_size=4, by="class_group", real_classes="balanced")


def test_cells_that_occur_are_filled_and_no_others() -> None:
    real = [(0, 0)] * 8 + [(0, 1)] * 2 + [(1, 0)] * 4  # class 1 of group 1 occurs nowhere: it may well be impossible
    sources = cell_sources(real, [(0, 0), (0, 1), (1, 0)])
    sampler = MixedSampler(sources, 6 / 20, batch_size=20, steps_per_epoch=1, by="class_group", classes="fill")
    plan = sampler.plan(0)
    asked = list(zip(plan.label.tolist(), plan.group.tolist(), strict=True))
    assert Counter(asked) == {(-1, -1): 14, (0, 1): 4, (1, 0): 2}  # both up to 6


def test_balanced_groups_of_classes_come_equally_often() -> None:
    real = [(0, 0)] * 30 + [(0, 1)] * 3 + [(1, 1)] * 2
    sampler = MixedSampler(cell_sources(real, CELLS), 0.0, batch_size=6, by="class_group", real_classes="balanced")
    drawn = np.array(real)[list(sampler)]
    assert set(Counter(map(tuple, drawn.tolist())).values()) == {len(drawn) // 3}
