"""The invariants of the exact mixture, against definitions in whole numbers, and what is refused.

I1, I2   the share of each batch of a rank, and of each prefix over ranks, steps and epochs
I3       items are used equally often at every moment
I4       ranks partition the stream, whatever their number
I5       a resumed run goes on as if never stopped: again and again, with workers, with another world size
I6       the seed decides, no two epochs of any seeds are alike, and no global generator is touched
I7       class shares hold at every prefix, and a pass fills classes up to the water level
I8       weights hold in each pass to less than one use, and exactly on average
I9       the plan says what the batch holds
I10      shares of 0 and 1, one item, no bank, batches of one
I11      400 million items in a few megabytes
I12      the length stays
I13      without a share the batches are those without a bank

tests/test_cells.py has them with classes, groups and weights together.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import tracemalloc
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from torchaug.data import Constant, Cosine, Linear, MixedSampler, Piecewise, Source
from torchaug.data.classes import ClassStream, water_level
from torchaug.data.permutation import fold, permute, shuffles

UNIT = Fraction(1, 2**32)
pytestmark = pytest.mark.filterwarnings("ignore:MixedSampler. .* of a batch is synthetic")


@dataclass(frozen=True)
class Config:
    """A mixture small enough to look at every slot of three epochs."""

    real: int
    bank: int
    batch: int
    world: int
    steps: int
    share: Any
    seed: int
    interleave: str = "shuffle"

    def sampler(self, rank: int = 0, **changes: Any) -> Any:
        options: dict[str, Any] = {
            "batch_size": self.batch,
            "steps_per_epoch": self.steps,
            "epochs": 2,
            "seed": self.seed,
        }
        options |= {"interleave": self.interleave, "rank": rank, "world_size": self.world} | changes
        sources = [Source("real", self.real), Source("bank", self.bank, kind="bank")]
        return MixedSampler(sources, self.share, **options)

    def batches(self, epochs: int = 3, **changes: Any) -> Any:
        """(steps, world, batch) flat indices."""
        runs = [self.sampler(rank, **changes) for rank in range(self.world)]
        rows = [[list(run) for _ in range(epochs)] for run in runs]
        return np.array(rows).reshape(self.world, epochs * self.steps, self.batch).transpose(1, 0, 2)

    def share_at(self, step: Any) -> Any:
        """The share of a step of the run, as an exact number."""
        total = 2 * self.steps
        progress = min(step, total - 1) / max(1, total - 1)
        share = self.share if isinstance(self.share, float) else float(self.share(np.array([progress]))[0])
        return round(share * 2**32) * UNIT


shares = st.one_of(
    st.sampled_from([0.0, 1.0, 0.25, 1 / 3, 0.5, 0.999]),
    st.floats(0, 1, width=32),
    st.sampled_from([Linear(0.5, 0.0), Cosine(0.0, 1.0), Piecewise({0: 0.5, 0.8: 0.0}), Constant(0.1)]),
)
configs = st.builds(
    Config,
    real=st.integers(1, 97),
    bank=st.integers(1, 97),
    batch=st.integers(1, 16),
    world=st.integers(1, 4),
    steps=st.integers(1, 12),
    share=shares,
    seed=st.integers(0, 2**31),
    interleave=st.sampled_from(["shuffle", "even", "block"]),
)


def assert_exact_share(synthetic: Any, share_at: Any) -> None:
    """I1 and I2: `synthetic` (steps, world, batch) flags hold the share in each rank's batch and at each prefix."""
    drawn, due = 0, Fraction(0)
    for step, ranks in enumerate(synthetic):
        share = share_at(step)
        for flags in ranks:
            assert abs(int(flags.sum()) - len(flags) * share) < 1
            drawn, due = drawn + int(flags.sum()), due + len(flags) * share
            assert abs(drawn - due) <= Fraction(1, 2)


def assert_fair(indices: Any, items: Any) -> None:
    """I3: at every batch of (n, batch) indices, uses of any two of the items differ by at most one."""
    uses = np.zeros(items.stop - items.start, dtype=int)
    for batch in indices:
        mine = batch[(batch >= items.start) & (batch < items.stop)]
        np.add.at(uses, mine - items.start, 1)
        assert uses.max() - uses.min() <= 1


@given(configs)
def test_every_batch_and_every_prefix_holds_the_share(config: Config) -> None:
    """I1 and I2."""
    assert_exact_share(config.batches() >= config.real, config.share_at)


@given(configs)
def test_slots_follow_the_definition_in_whole_numbers(config: Config) -> None:
    """I2, slot by slot."""
    flags = (config.batches(interleave="even") >= config.real).reshape(-1)
    per_step = config.batch * config.world
    mass = Fraction(0)
    for slot, flag in enumerate(flags):
        after = mass + config.share_at(slot // per_step)
        assert flag == (math.floor(after + Fraction(1, 2)) > math.floor(mass + Fraction(1, 2)))
        mass = after


@given(configs)
def test_items_are_used_equally_often_at_every_moment(config: Config) -> None:
    """I3."""
    indices = config.batches().reshape(-1, config.batch)
    assert_fair(indices, range(config.real))
    assert_fair(indices, range(config.real, config.real + config.bank))


def test_the_helpers_see_a_planted_fault() -> None:
    config = Config(real=30, bank=20, batch=8, world=2, steps=6, share=0.25, seed=1)
    indices = config.batches()
    flags = indices >= 30
    flags[5, 1, np.flatnonzero(~flags[5, 1])[0]] = True
    with pytest.raises(AssertionError):
        assert_exact_share(flags, config.share_at)
    flat = indices.reshape(-1, 8)
    first, last = np.argwhere(flat < 30)[0], np.argwhere((flat < 30) & (flat != flat[flat < 30][0]))[20]
    flat[tuple(last)] = flat[tuple(first)]
    with pytest.raises(AssertionError):
        assert_fair(flat, range(30))


@given(configs, st.data())
def test_ranks_partition_the_stream_of_one_process(config: Config, data: Any) -> None:
    """I4."""
    together = config.batches()
    global_batch = config.batch * config.world
    world = data.draw(st.sampled_from([w for w in range(1, global_batch + 1) if global_batch % w == 0]))
    other = replace(config, world=world, batch=global_batch // world).batches()
    for ours, theirs in zip(together, other, strict=True):
        assert Counter(ours.flatten().tolist()) == Counter(theirs.flatten().tolist())


@given(configs, st.data())
def test_a_run_resumed_three_times_goes_on_as_if_never_stopped(config: Config, data: Any) -> None:
    """I5, at any steps of three epochs."""
    whole = config.batches()[:, 0].flatten().tolist()
    stops = sorted(data.draw(st.lists(st.integers(0, 3 * config.steps), min_size=3, max_size=3)))
    seen: list[int] = []
    state = config.sampler().state_dict()
    for stop in [*stops, 3 * config.steps]:
        sampler = config.sampler()
        sampler.load_state_dict(json.loads(json.dumps(state)))
        sampler.set_epoch(sampler.position[0])  # Lightning tells the epoch after loading
        while len(seen) < stop * config.batch:
            sampler.set_epoch(sampler.position[0])  # and at the start of each
            seen += itertools.islice(sampler, stop * config.batch - len(seen))
        state = sampler.state_dict()
    assert seen == whole


@given(configs, st.data())
def test_a_run_resumed_with_another_world_size_draws_the_same_at_each_step(config: Config, data: Any) -> None:
    """I5."""
    global_batch = config.batch * config.world
    world = data.draw(st.sampled_from([w for w in range(1, global_batch + 1) if global_batch % w == 0]))
    step = data.draw(st.integers(0, config.steps - 1))
    state = config.sampler().state_dict((1, step))
    rest = []
    for rank in range(world):
        sampler = replace(config, world=world, batch=global_batch // world).sampler(rank)
        sampler.load_state_dict(state)
        rest.append(np.array(list(sampler)).reshape(-1, global_batch // world))
    expected = config.batches(epochs=2)[config.steps + step :]
    for ours, theirs in zip(np.stack(rest, 1), expected, strict=True):
        assert sorted(ours.flatten()) == sorted(theirs.flatten())


class Numbers(Dataset[Any]):
    def __len__(self) -> int:
        return 200

    def __getitem__(self, index: Any) -> Any:
        return index


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_data_loader_keep_the_share_and_resume_three_times(workers: int) -> None:
    """I5: states are of the batches that were used, which workers that draw ahead do not count."""

    def loader(state: Any = None) -> Any:
        sources = [Source("real", 150), Source("bank", 50, kind="bank")]
        sampler = MixedSampler(sources, 0.25, batch_size=8, steps_per_epoch=6)
        if state is not None:
            sampler.load_state_dict(state)
        return DataLoader(Numbers(), batch_size=8, sampler=sampler, num_workers=workers)

    whole = loader()
    batches = [batch.tolist() for _ in range(2) for batch in whole]
    assert all(sum(index >= 150 for index in batch) == 2 for batch in batches)
    seen: list[Any] = []
    state = whole.sampler.state_dict((0, 0))
    for stop in (1, 4, 5, 6):
        resumed = loader(state)
        seen += [batch.tolist() for batch in itertools.islice(resumed, stop - len(seen))]
        state = resumed.sampler.state_dict((0, stop))
    assert seen + [batch.tolist() for batch in loader(state)] == batches


@pytest.mark.parametrize("interleave", ["shuffle", "even"])
def test_the_same_seed_gives_the_same_run_and_no_other_does(interleave: str) -> None:
    """I6; without a shuffle of the batch it is the items alone that the seed decides."""
    config = Config(real=50, bank=20, batch=10, world=1, steps=5, share=0.3, seed=0, interleave=interleave)
    assert (config.batches() == config.batches()).all()
    runs = {(seed, epoch): tuple(row) for seed in range(20) for epoch, row in enumerate(_epochs(config, seed))}
    assert len(set(runs.values())) == len(runs), "seed + epoch must not decide: (0, 1) and (1, 0) differ"
    batches = {tuple(sorted(row[:10])) for row in runs.values()}
    assert len(batches) == len(runs), "the seed decides what a batch holds, not only its order"


def _epochs(config: Any, seed: Any) -> Any:
    sampler = config.sampler(seed=seed)
    return [list(sampler) for _ in range(3)]


def test_each_pass_has_an_order_of_its_own() -> None:
    sampler = MixedSampler([Source("real", 40)], 0.0, batch_size=40, interleave="even")
    passes = [tuple(sampler) for _ in range(20)]
    assert len(set(passes)) == 20
    assert {tuple(sorted(drawn)) for drawn in passes} == {tuple(range(40))}
    assert max(sum(a == b for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(passes)) < 8


def test_no_global_random_state_is_read_or_touched() -> None:
    """I6."""
    config = Config(real=50, bank=20, batch=10, world=2, steps=5, share=0.3, seed=0)
    torch.manual_seed(1)
    random.seed(1)
    first = config.batches()
    torch.manual_seed(2)
    random.seed(2)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    assert (config.batches() == first).all()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert str(np.random.get_state()) == before[2]  # noqa: NPY002


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any))
def test_every_prefix_of_a_class_stream_is_within_one_of_its_shares(counts: Any) -> None:
    """I7."""
    stream = ClassStream(dict(enumerate(counts)))
    slots = np.arange(2 * sum(counts) + 3)
    chosen, number = stream.at(slots)
    drawn = np.zeros(len(counts), dtype=int)
    for slot in slots:
        assert number[slot] == drawn[chosen[slot]]
        drawn[chosen[slot]] += 1
        assert (np.abs(drawn * sum(counts) - np.array(counts) * (slot + 1)) < sum(counts)).all()


@settings(max_examples=15)
@given(st.lists(st.floats(1e-7, 1), min_size=2, max_size=40))
def test_shares_of_no_short_denominator_are_rounded_and_none_is_lost(shares: Any) -> None:
    counts = np.array(ClassStream(dict(enumerate(shares))).counts)
    assert (counts >= 1).all()
    wanted = np.array(shares) / sum(shares)
    assert np.abs(counts / counts.sum() - wanted).max() <= len(shares) / 65536


@given(st.lists(st.integers(0, 500), min_size=1, max_size=8), st.integers(1, 3000))
def test_filling_up_makes_a_level_floor_and_uses_all(counts: Any, amount: int) -> None:
    extra = water_level(dict(enumerate(counts)), amount)
    assert sum(extra.values()) == amount
    filled = {extra[c] + counts[c] for c in extra if extra[c] > 0}
    assert len(filled) == 1
    assert all(counts[c] >= max(filled) for c in extra if extra[c] == 0)


def test_fill_ends_a_pass_with_the_level_of_the_filled_classes() -> None:
    """I7."""
    counts = [500, 90, 12, 4]
    real = torch.arange(4).repeat_interleave(torch.tensor(counts))
    bank = torch.arange(4).repeat_interleave(60)
    share = 100 / 706  # as many synthetic samples as fill to (12 + 4 + 100) / 2 = 58
    sources = [Source("real", 606, labels=real), Source("bank", 240, labels=bank, kind="bank")]
    labels = torch.cat([real, bank])
    sampler = MixedSampler(sources, share, batch_size=1, steps_per_epoch=706, classes="fill", interleave="even")
    drawn = labels[list(sampler)].bincount(minlength=4)
    assert all(abs(int(had) - max(count, 58)) <= 1 for had, count in zip(drawn, counts, strict=True))


def test_class_shares_hold_at_every_prefix_of_the_synthetic_stream() -> None:
    """I7."""
    labels = torch.arange(3).repeat_interleave(torch.tensor([50, 30, 20]))
    sources = [Source("real", 100, labels=labels), Source("bank", 100, labels=labels, kind="bank")]
    sampler = MixedSampler(sources, 0.5, batch_size=10, classes={0: 0.1, 2: 0.2, 1: 0.7}, interleave="even")
    indices = np.array([i for _ in range(3) for i in sampler])
    synthetic = labels.numpy()[indices[indices >= 100] - 100]
    for length in range(1, len(synthetic)):
        had = np.bincount(synthetic[:length], minlength=3)
        assert (np.abs(had - np.array([0.1, 0.7, 0.2]) * length) < 1 + 1e-9).all()
    real = indices[indices < 100]
    assert sorted(real[:100]) == list(range(100)), "class shares of synthetic samples leave the real ones alone"


def test_balanced_real_classes_are_oversampled_exactly() -> None:
    labels = torch.arange(3).repeat_interleave(torch.tensor([80, 5, 5]))
    sampler = MixedSampler([Source("real", 90, labels=labels)], 0.0, batch_size=9, real_classes="balanced")
    indices = np.array(list(sampler)).reshape(-1, 9)
    assert (np.stack([np.bincount(labels.numpy()[batch], minlength=3) for batch in indices]) == 3).all()
    for items in (range(80), range(80, 85), range(85, 90)):
        assert_fair(indices, items)


def test_proportional_classes_follow_the_real_data() -> None:
    real, bank = torch.tensor([0] * 60 + [1] * 20), torch.tensor([0] * 10 + [1] * 90)
    sources = [Source("real", 80, labels=real), Source("bank", 100, labels=bank, kind="bank")]
    sampler = MixedSampler(sources, 0.5, batch_size=16, steps_per_epoch=20, classes="proportional")
    drawn = torch.cat([real, bank])[[i for i in sampler if i >= 80]].bincount()
    assert drawn.tolist() == [120, 40]


weights = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.0, 3.2, 7.0]), min_size=1, max_size=40).filter(any)


@given(weights, st.integers(0, 1000))
def test_a_weighted_pass_uses_each_item_the_floor_or_the_ceiling_of_its_due(weights: list[float], seed: int) -> None:
    """I8."""
    size = len(weights)
    sources = [Source("real", 0), Source("bank", size, weights=torch.tensor(weights), kind="bank")]
    sampler = MixedSampler(sources, 1.0, batch_size=size, steps_per_epoch=5, seed=seed)
    stored = [Fraction(weight) for weight in torch.tensor(weights).tolist()]
    due = [weight * size / sum(stored) for weight in stored]
    for batch in np.array(list(sampler)).reshape(5, size):
        uses = np.bincount(batch, minlength=size)
        assert all(math.floor(m) <= n <= math.ceil(m) for n, m in zip(uses, due, strict=True))


def test_weights_are_met_on_average_within_each_class() -> None:
    """I8."""
    weights = torch.tensor([0.0, 0.5, 1.0, 1.0, 3.2, 7.0, 1.0, 2.0])
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    sources = [Source("real", 0), Source("bank", 8, labels=labels, weights=weights, kind="bank")]
    sampler = MixedSampler(sources, 1.0, batch_size=100, steps_per_epoch=400, classes={0: 0.75, 1: 0.25})
    drawn = np.bincount(list(sampler), minlength=8) / 40_000
    wanted = torch.cat([weights[:6] / weights[:6].sum() * 0.75, weights[6:] / 3 * 0.25]).numpy()
    assert np.abs(drawn - wanted).max() < 0.003
    light = MixedSampler(sources, 1.0, batch_size=100, steps_per_epoch=10, min_weight=1.0)
    assert set(light) == {2, 3, 4, 5, 6, 7}


@given(configs)
def test_the_plan_says_what_the_batch_holds(config: Config) -> None:
    """I9."""
    sampler = config.sampler()
    for step, batch in enumerate(np.array(list(config.sampler())).reshape(-1, config.batch)):
        plan = sampler.plan(step)
        assert plan.index.tolist() == batch.tolist()
        assert torch.equal(plan.is_synthetic, plan.index >= config.real)


def assert_uses_differ(plans: Any) -> None:
    uses = torch.cat([torch.stack([plan.index, plan.use], dim=1) for plan in plans])
    assert len(uses.unique(dim=0)) == len(uses)


@given(configs)
def test_no_use_of_an_item_is_numbered_like_another(config: Config) -> None:
    sampler = config.sampler()
    assert_uses_differ(sampler.plans(0, 3 * config.steps))


def test_uses_of_weighted_items_are_numbered_apart_too() -> None:
    sources = [Source("real", 3, weights=torch.tensor([5.0, 1.0, 0.0]))]
    sampler = MixedSampler(sources, 0.0, batch_size=4, steps_per_epoch=20)
    assert_uses_differ(sampler.plans(0, 40))


@pytest.mark.parametrize("batch", [1, 5])
def test_the_edges_work(batch: int) -> None:
    """I10; a bank that is missing or empty is refused below."""
    only = [Source("real", 1)]
    assert list(MixedSampler(only, 0.0, batch_size=batch, steps_per_epoch=2)) == [0] * (2 * batch)
    both = [Source("real", 1), Source("bank", 1, kind="bank")]
    assert list(MixedSampler(both, 1.0, batch_size=batch, steps_per_epoch=2)) == [1] * (2 * batch)
    assert sum(MixedSampler(both, 0.5, batch_size=batch, steps_per_epoch=10)) == 5 * batch


@given(configs)
def test_without_a_share_batches_are_those_of_real_data_alone(config: Config) -> None:
    """I13."""
    alone = [MixedSampler([Source("real", config.real)], 0.0, **_options(config, rank)) for rank in range(config.world)]
    expected = np.array([[list(run) for _ in range(3)] for run in alone])
    ours = replace(config, share=0.0).batches()
    assert (ours == expected.reshape(config.world, -1, config.batch).transpose(1, 0, 2)).all()


def _options(config: Any, rank: Any) -> Any:
    options = {"batch_size": config.batch, "steps_per_epoch": config.steps, "seed": config.seed}
    return options | {"interleave": config.interleave, "rank": rank, "world_size": config.world}


def test_four_hundred_million_items_need_no_memory() -> None:
    """I11."""
    sources = [Source("real", 10**8), Source("bank", 3 * 10**8, kind="bank")]
    tracemalloc.start()
    sampler = MixedSampler(sources, 0.25, batch_size=256, steps_per_epoch=2_000_000)
    sampler.load_state_dict(sampler.state_dict((0, 1_000_000)))
    stream = iter(sampler)
    drawn = [next(stream) for _ in range(256 * 70)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert len(set(drawn)) == len(drawn)
    assert max(drawn) > 3.9e8
    assert len(json.dumps(sampler.state_dict())) < 1000


@given(configs)
def test_the_length_stays_while_the_share_changes(config: Config) -> None:
    """I12."""
    sampler = config.sampler()
    lengths = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        lengths += [len(sampler), len(list(sampler))]
    assert set(lengths) == {config.steps * config.batch}


@pytest.mark.parametrize(("share", "steps"), [(0.0, 10), (0.5, 20), (0.25, 14), (Linear(0.5, 0.0), 14)])
def test_an_epoch_of_real_length_draws_every_real_item_about_once(share: Any, steps: int) -> None:
    sources = [Source("real", 80), Source("bank", 20, kind="bank")]
    sampler = MixedSampler(sources, share, batch_size=4, rank=0, world_size=2, epochs=4)
    assert sampler.steps_per_epoch == steps
    assert sampler.expected_share == pytest.approx(0.25 if isinstance(share, Linear) else share, abs=1e-9)


def test_an_epoch_of_all_draws_every_stored_item() -> None:
    sampler = MixedSampler(
        [Source("real", 80), Source("bank", 300, kind="bank")], 0.25, batch_size=8, steps_per_epoch="all"
    )
    assert set(sampler) == set(range(380))


def test_interleaving_spreads_or_separates_the_synthetic_samples() -> None:
    sources = [Source("real", 80), Source("bank", 20, kind="bank")]
    even = MixedSampler(sources, 0.25, batch_size=16, interleave="even")
    assert all(sum(i >= 80 for i in part) == 1 for part in np.array(list(even)).reshape(-1, 4))
    block = MixedSampler(sources, 0.25, batch_size=16, interleave="block")
    assert all((batch >= 80).tolist() == [False] * 12 + [True] * 4 for batch in np.array(list(block)).reshape(-1, 16))


def test_live_samples_are_negative_and_number_their_draws() -> None:
    labels = torch.tensor([0] * 30 + [1] * 10)
    sources = [Source("real", 40, labels=labels), Source.live("gan")]
    sampler = MixedSampler(sources, 0.25, batch_size=8, steps_per_epoch=10, classes="fill")
    plans = list(sampler.plans(0, 10))
    draws = sorted(-1 - i for plan in plans for i in plan.index.tolist() if i < 0)
    assert draws == list(range(20))
    assert all(bool(((plan.index < 0) == plan.is_synthetic).all()) for plan in plans)
    assert {int(c) for plan in plans for c in plan.label[plan.is_synthetic]} == {1}


def test_a_live_source_makes_the_classes_that_the_bank_lacks() -> None:
    real, bank = torch.tensor([0] * 30 + [1, 1, 2, 2]), torch.tensor([1] * 9)
    sources = [Source("real", 34, labels=real), Source("bank", 9, labels=bank, kind="bank"), Source.live()]
    sampler = MixedSampler(sources, 0.5, batch_size=8, steps_per_epoch=10, classes={1: 1, 2: 1})
    for plan in sampler.plans(0, 10):
        assert torch.equal(plan.index < 0, plan.label == 2)
        assert torch.equal((plan.index >= 34) & (plan.index < 43), plan.label == 1)


def test_sources_that_do_not_lie_together_are_one_side() -> None:
    sources = [Source("a", 10), Source("bank", 10, kind="bank"), Source("b", 10)]
    sampler = MixedSampler(sources, 0.2, batch_size=5, steps_per_epoch=5)
    drawn = list(sampler)
    assert sorted(i for i in drawn if not 10 <= i < 20) == [*range(10), *range(20, 30)]


def test_it_is_a_distributed_sampler_that_finds_its_rank_when_it_begins() -> None:
    sampler = MixedSampler([Source("real", 80), Source("bank", 20, kind="bank")], 0.25, batch_size=4)
    assert isinstance(sampler, DistributedSampler)
    halves = [sampler.shard(rank, 2) for rank in range(2)]
    together = np.concatenate([np.array(list(half)).reshape(-1, 4) for half in halves], axis=1)
    assert sorted(together[0]) == sorted(MixedSampler(sampler.sources, 0.25, batch_size=8).plan(0).index.tolist())


def test_an_abandoned_epoch_is_followed_by_the_next_one() -> None:
    config = Config(real=50, bank=20, batch=5, world=1, steps=6, share=0.2, seed=3)
    whole = [list(run) for run in [config.sampler()] for _ in range(3)]
    sampler = config.sampler()
    stream = iter(sampler)
    next(stream)
    assert list(sampler) == whole[1]
    sampler.set_epoch(0)
    assert list(sampler) == whole[0]
    sampler.set_epoch(2)
    assert list(sampler) == whole[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sources": []}, "at least one source"),
        ({"sources": [Source("real", 5)]}, "expected synthetic data for a share above 0, got none"),
        ({"sources": [Source("real", 5), Source("bank", 0, kind="bank")]}, "expected synthetic data"),
        ({"sources": [Source("bank", 5, kind="bank")], "steps_per_epoch": 3}, "expected real data for a share below 1"),
        ({"sources": [Source("bank", 5, kind="bank")]}, "steps_per_epoch must be a number without real data"),
        ({"sources": [Source("real", 5)], "share": lambda p: 0.1 * (p == 1), "epochs": 9}, "expected synthetic data"),
        ({"sources": [Source("a", 5), Source("a", 5, kind="bank")]}, "names of sources must differ"),
        ({"share": -0.1}, r"share must be in \[0, 1\], got -0.1"),
        ({"share": float("nan")}, r"share must be in \[0, 1\], got nan"),
        ({"share": lambda progress: progress * 2, "epochs": 1}, "got 1.0.* at progress 0.5"),
        ({"share": Linear(0.5, 0)}, "needs epochs="),
        ({"batch_size": 0}, "batch_size must be a whole number above 0, got 0"),
        ({"steps_per_epoch": "bank"}, "steps_per_epoch must be"),
        ({"interleave": "random"}, "interleave must be"),
        ({"rank": 2, "world_size": 2}, "rank must be in"),
        ({"world_size": 2}, "both given or none, got None, 2"),
        ({"classes": "fill"}, "source 'real' must have labels|needs the labels"),
        ({"classes": "balanced"}, "classes must be None, 'proportional', 'fill'"),
        ({"real_classes": "fill"}, "real_classes must be None, 'balanced'"),
    ],
)
def test_misuse_is_refused_with_a_reason(arguments: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {
        "sources": [Source("real", 50), Source("bank", 20, kind="bank")],
        "share": 0.25,
        "batch_size": 8,
    }
    with pytest.raises((ValueError, TypeError), match=message):
        MixedSampler(**(options | arguments))


def test_a_wanted_class_that_the_bank_lacks_is_named() -> None:
    class Named(Numbers):
        classes = ("scratch", "dent", "crack")
        labels = torch.tensor([0] * 150 + [1] * 30 + [2] * 20)

    bank = Source("bank", 10, labels=torch.ones(10, dtype=torch.int64), kind="bank")
    with pytest.raises(ValueError, match=r"class 2 \('crack'\), which is wanted, got none"):
        MixedSampler([Source.real(Named()), bank], 0.5, batch_size=8, classes="fill")
    with pytest.raises(ValueError, match=r"class 0 \('scratch'\)"):
        MixedSampler([Source.real(Named()), bank], 0.5, batch_size=8, classes={"scratch": 1})
    rejected = Source("bank", 10, labels=bank.labels, kind="bank", weights=torch.full((10,), 0.1))
    with pytest.raises(ValueError, match=r"class 1 \('dent'\).*enough weight"):
        MixedSampler([Source.real(Named()), rejected], 0.5, batch_size=8, classes={"dent": 1}, min_weight=0.5)
    with pytest.raises(TypeError, match="got 'rust'"):
        MixedSampler([Source.real(Named()), bank], 0.5, batch_size=8, classes={"rust": 1})


REAL, BANK = Source("real", 50), Source("bank", 20, kind="bank")
CHANGED = [
    ({"seed": 1}, [REAL, BANK], "differs: seed 0 then, 1 now; make"),
    ({"batch_size": 4}, [REAL, BANK], "global batch size 8 then, 4 now"),
    ({"rank": 1, "world_size": 2}, [REAL, BANK], "global batch size 8 then, 16 now"),
    ({"steps_per_epoch": 6}, [REAL, BANK], "steps_per_epoch 5 then, 6 now"),
    ({}, [REAL, Source("bank", 19, kind="bank")], "differs: source 'bank' had 20 items then, has 19 now; make"),
    (
        {},
        [REAL, Source("bank", 20, kind="bank", fingerprint="0123456789")],
        "'bank' has other .* then, 01234567... now",
    ),
    ({"share": 0.0}, [REAL], "source 'bank' then only"),
    ({}, [REAL, BANK, Source("more", 1, kind="bank")], "source 'more' now only"),
    ({}, [BANK, REAL], "sources in the order real, bank then, bank, real now"),
]


@pytest.mark.parametrize(("options", "sources", "message"), CHANGED)
def test_a_state_of_another_run_is_refused(options: Any, sources: Any, message: str) -> None:
    same: Any = {"share": 0.25, "batch_size": 8, "steps_per_epoch": 5}
    state = MixedSampler([REAL, BANK], **same).state_dict((0, 3))
    other = MixedSampler(sources, **(same | options))
    with pytest.raises(ValueError, match=rf"{message}.*strict=False") as caught:
        other.load_state_dict(state)
    assert str(caught.value).count(";") == 1, "what is the same is not named"
    assert other.position == (0, 0), "a state that is refused changes nothing"
    other.load_state_dict(state, strict=False)
    assert other.position == (0, 3)


def test_a_state_of_another_version_is_refused() -> None:
    sampler = MixedSampler([REAL, BANK], 0.25, batch_size=8, steps_per_epoch=5)
    with pytest.raises(ValueError, match="version 1, got 2"):
        sampler.load_state_dict(sampler.state_dict((0, 3)) | {"v": 2}, strict=False)


def test_resuming_far_into_a_run_takes_no_longer_than_at_its_start() -> None:
    sampler = MixedSampler([REAL, BANK], 0.25, batch_size=8, steps_per_epoch=5)
    far = 10**12
    state = sampler.state_dict((far, 3))
    assert len(json.dumps(state)) < 1000
    sampler.load_state_dict(state)
    first = list(itertools.islice(sampler, 8))
    assert first == sampler.plan(5 * far + 3).index.tolist()
    assert sum(index >= 50 for index in first) == 2


@pytest.mark.filterwarnings("default")
def test_more_than_half_synthetic_draws_a_warning() -> None:
    with pytest.warns(UserWarning, match="60% of a batch is synthetic"):
        MixedSampler([Source("real", 50), Source("bank", 20, kind="bank")], 0.6, batch_size=8)


@given(st.integers(1, 5000), st.integers(0, 2**62))
def test_a_permutation_hits_every_place_once(size: int, key: int) -> None:
    assert sorted(permute(np.arange(size), size, key).tolist()) == list(range(size))


def test_permutations_of_few_things_are_equally_likely() -> None:
    keys = fold(7, np.arange(24_000))
    orders = permute(np.tile(np.arange(4), 24_000), 4, np.repeat(keys, 4)).reshape(-1, 4)
    counts = np.array(list(Counter(map(tuple, orders.tolist())).values()))
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 53  # chi-square with 23 degrees of freedom: p = 0.0004


def test_permutations_of_many_things_put_neighbours_anywhere() -> None:
    size, keys = 50, fold(9, np.arange(4000))
    places = permute(np.tile(np.arange(2), 4000), size, np.repeat(keys, 2)).reshape(-1, 2)
    pairs = np.bincount(places[:, 0] * size + places[:, 1], minlength=size**2).reshape(size, size)
    due = 4000 / (size * (size - 1))
    others = pairs[~np.eye(size, dtype=bool)]
    assert np.trace(pairs) == 0
    freedom = size * (size - 1) - 1
    assert ((others - due) ** 2 / due).sum() < freedom + 4 * math.sqrt(2 * freedom)


def test_shuffles_differ_by_key_and_hold_every_place() -> None:
    orders = shuffles(fold(3, np.arange(100)), 30)
    assert (np.sort(orders, axis=1) == np.arange(30)).all()
    assert len({tuple(order) for order in orders.tolist()}) == 100
