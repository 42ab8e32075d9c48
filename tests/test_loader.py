"""The loader that augments: one key per use of a sample, resume, errors in their place, and the order on streams."""

from __future__ import annotations

import json
import pickle
import random
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler, WeightedRandomSampler

from torchaug import image as T
from torchaug.batch import Batch
from torchaug.compose import Compose
from torchaug.data import DeviceLoader, MixedDataset, MixedSampler, SampleError, Source, TensorImages
from torchaug.data.streams import SideStream, look_ahead
from torchaug.keys import fold_in, sample_keys

pytestmark = pytest.mark.filterwarnings("ignore:MixedSampler. .* of a batch is synthetic")


def images(count: Any, value: int = 0) -> Any:
    pixels = (torch.arange(count) * 7 + value).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    return TensorImages(pixels.contiguous(), torch.arange(count) % 3, ["a", "b", "c"])


class Keyed(nn.Module):
    """Stands for a transform of ours: hands its keys on."""

    def forward(self, batch: Any, *, keys: Any) -> Any:
        return batch | {"key": keys} if isinstance(batch, dict) else (batch, keys)


def mixed_loader(
    batch: int = 8,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    transform: Any = None,
    steps: int = 6,
    sources: Any = None,
    **options: Any,
) -> Any:
    sources = sources or [Source.real(images(40)), Source("bank", images(13, 100), kind="bank")]
    data = MixedDataset(sources)
    sampler = MixedSampler(
        data, 0.25, batch_size=batch, steps_per_epoch=steps, rank=rank, world_size=world, real_classes="balanced"
    )
    loader = DataLoader(data, batch_size=batch, sampler=sampler, num_workers=workers)
    return DeviceLoader(loader, transform or Keyed(), device="cpu", **options)


def by_step(loaders: Any, epochs: int = 2) -> Any:
    """For each step of the run: {id and key of each sample of all ranks}."""
    runs = [[batch for _ in range(epochs) for batch in loader] for loader in loaders]
    return [
        sorted(pair for batch in ranks for pair in zip(batch["id"].tolist(), batch["key"].tolist(), strict=True))
        for ranks in zip(*runs, strict=True)
    ]


def test_keys_are_of_the_sample_and_its_use() -> None:
    loader = mixed_loader(seed=5)
    sampler = loader.sampler
    for step, batch in enumerate(batch for _ in range(2) for batch in loader):
        plan = sampler.plan(step)
        assert torch.equal(batch["id"], plan.index)
        assert torch.equal(batch["key"], fold_in(sample_keys(plan.index, seed=5), plan.use))


def test_a_rare_sample_is_augmented_anew_each_time_it_is_drawn() -> None:
    rare = TensorImages(torch.zeros(30, 1, 4, 4, dtype=torch.uint8), torch.tensor([0] * 28 + [1] * 2), ["a", "b"])
    loader = mixed_loader(sources=[Source.real(rare), Source("bank", rare, kind="bank")])
    pairs = [pair for step in by_step([loader], epochs=3) for pair in step]
    assert len({pair[0] for pair in pairs}) < len(pairs) / 2
    assert len({pair[1] for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(("batch", "world", "workers"), [(4, 2, 0), (2, 4, 0), (8, 1, 2)])
def test_keys_do_not_depend_on_ranks_or_workers(batch: int, world: int, workers: int) -> None:
    loaders = [mixed_loader(batch, workers, rank, world) for rank in range(world)]
    assert by_step(loaders) == by_step([mixed_loader()])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_resumed_at_any_step_goes_on_as_if_never_stopped(workers: int) -> None:
    whole = by_step([mixed_loader()], epochs=3)
    for stop in range(13):
        loader, seen = mixed_loader(workers=workers if stop % 4 == 1 else 0), []
        batches = (batch for _ in range(3) for batch in loader)
        seen = [next(batches)["id"] for _ in range(stop)]
        state = json.loads(json.dumps(loader.state_dict()))
        assert (state["epoch"], state["step"]) == (max(0, stop - 1) // 6, stop - max(0, stop - 1) // 6 * 6)
        resumed = mixed_loader(workers=workers if stop % 4 == 2 else 0)
        resumed.load_state_dict(state)
        rest = by_step([resumed], epochs=3 - len(seen) // 6)
        assert rest == whole[stop:]


def test_a_plain_loader_has_keys_of_seed_epoch_and_index() -> None:
    loader = DeviceLoader(DataLoader(images(10), batch_size=4), Keyed(), seed=3, device="cpu")
    for epoch in range(2):
        batches = list(loader)
        assert [len(batch["key"]) for batch in batches] == [4, 4, 2]
        keys = torch.cat([batch["key"] for batch in batches])
        assert torch.equal(keys, sample_keys(torch.arange(10), seed=3, epoch=epoch))
    loader.set_epoch(0)
    assert torch.equal(next(iter(loader))["key"], sample_keys(torch.arange(4), seed=3, epoch=0))


@pytest.mark.parametrize("form", [lambda x: x, lambda x: (x, x[:, 0, 0, 0]), lambda x: Batch(image=x)])
def test_a_batch_without_ids_has_keys_of_its_places_in_the_epoch(form: Any) -> None:
    class Pixels(TensorImages):
        def __getitem__(self, index: Any) -> Any:
            return self.images[index]

    source = images(10)
    data = Pixels(source.images, source.labels, source.classes)
    loader = DataLoader(data, batch_size=4, collate_fn=lambda items: form(torch.stack(items)))
    keys = torch.cat([keys for _, keys in DeviceLoader(loader, Keyed(), device="cpu")])
    assert torch.equal(keys, sample_keys(torch.arange(10)))


def test_a_batch_that_brings_keys_keeps_them() -> None:
    keys = torch.arange(4)
    loader = DataLoader(images(4), batch_size=4, collate_fn=lambda _: Batch(image=torch.zeros(4, 1, 2, 2), key=keys))
    assert next(iter(DeviceLoader(loader, Keyed(), device="cpu")))[1] is keys


def test_a_sample_drawn_with_replacement_differs_from_itself() -> None:
    sampler = WeightedRandomSampler([1.0] * 4, 200, generator=torch.Generator().manual_seed(0))
    loader = DeviceLoader(DataLoader(images(4), batch_size=1, sampler=sampler), Keyed(), device="cpu")
    assert len({int(batch["key"]) for batch in loader}) == 200


def test_a_real_transform_gives_a_sample_the_same_augmentation_in_any_batch() -> None:
    chain = Compose([T.RandomHorizontalFlip(), T.GaussianNoise(sigma=0.1)])
    noisy = []
    for size in (3, 10):
        loader = DataLoader(images(10), batch_size=size, collate_fn=_as_float)
        noisy.append(torch.cat([batch["image"] for batch in DeviceLoader(loader, chain, device="cpu")]))
    assert torch.equal(*noisy)
    assert (noisy[0] != images(10).images / 255).any()


def _as_float(items: Any) -> Any:
    batch = torch.utils.data.default_collate(items)
    return batch | {"image": batch["image"] / 255}


def test_no_global_random_state_is_touched_and_none_decides() -> None:
    def run(seed: Any) -> Any:
        torch.manual_seed(seed)
        random.seed(seed)
        before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
        steps = by_step([mixed_loader()])
        assert random.getstate() == before[1]
        assert str(np.random.get_state()) == before[2]  # noqa: NPY002
        return steps, before[0]

    (first, _), (second, before) = run(1), run(2)
    assert first == second
    torch.set_rng_state(before)
    # a DataLoader itself draws one number for its workers at each start, and so does ours: no other
    torch.empty((), dtype=torch.int64).random_()
    torch.empty((), dtype=torch.int64).random_()
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    by_step([mixed_loader()])
    assert torch.equal(torch.get_rng_state(), after)


def test_a_transform_of_others_is_called_with_the_batch_alone() -> None:
    loader = DeviceLoader(DataLoader(images(4), batch_size=2), lambda batch: batch["label"] + 1, device="cpu")
    assert torch.cat(list(loader)).tolist() == [1, 2, 3, 1]
    plain = DeviceLoader(DataLoader(images(4), batch_size=2), device="cpu")
    assert torch.cat([batch["label"] for batch in plain]).tolist() == [0, 1, 2, 0]


def test_gradients_are_not_recorded() -> None:
    scale = nn.Parameter(torch.ones(()))
    loader = DeviceLoader(DataLoader(images(4), batch_size=2), lambda batch: batch["image"] * scale, device="cpu")
    assert not any(batch.requires_grad for batch in loader)


def test_it_looks_like_its_loader_and_pickles() -> None:
    loader = mixed_loader()
    inner = loader.loader
    assert (len(loader), loader.batch_size, loader.num_workers) == (6, 8, 0)
    assert loader.sampler is inner.sampler
    assert loader.dataset is inner.dataset
    list(loader)
    copy = pickle.loads(pickle.dumps(loader))
    assert by_step([copy], epochs=1) == by_step([loader], epochs=1)


def test_an_empty_loader_gives_nothing() -> None:
    nothing: Any = []
    assert list(DeviceLoader(DataLoader(nothing, batch_size=4), Keyed(), device="cpu")) == []


def test_an_abandoned_epoch_is_followed_by_the_next_one() -> None:
    whole, loader = by_step([mixed_loader()], epochs=3), mixed_loader()
    for batch in loader:
        assert len(batch["id"]) == 8
        break
    assert by_step([loader], epochs=1) == whole[6:12]
    loader.set_epoch(0)
    assert by_step([loader], epochs=1) == whole[:6]


def test_a_stream_data_set_works_without_a_length() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(images(5)[i] for i in range(5))

    loader = DeviceLoader(DataLoader(Stream(), batch_size=2), Keyed(), device="cpu")
    keys = torch.cat([batch["key"] for _ in range(2) for batch in loader])
    assert torch.equal(keys, torch.cat([sample_keys(torch.arange(5), epoch=epoch) for epoch in (0, 1)]))


def test_an_epoch_told_to_the_sampler_counts_for_the_keys() -> None:
    sampler: Any = DistributedSampler(images(8), num_replicas=1, rank=0, shuffle=False)
    loader = DeviceLoader(DataLoader(images(8), batch_size=8, sampler=sampler), Keyed(), device="cpu")
    assert torch.equal(next(iter(loader))["key"], sample_keys(torch.arange(8), epoch=0))
    loader.sampler.set_epoch(7)  # as Lightning does
    assert torch.equal(next(iter(loader))["key"], sample_keys(torch.arange(8), epoch=7))
    assert torch.equal(next(iter(loader))["key"], sample_keys(torch.arange(8), epoch=8))


def test_a_repeatable_order_is_resumed_by_reading_up_to_it() -> None:
    def make() -> Any:
        sampler: Any = DistributedSampler(images(20), num_replicas=1, rank=0, seed=1)
        return DeviceLoader(DataLoader(images(20), batch_size=4, sampler=sampler), Keyed(), device="cpu")

    def epoch(loader: Any, number: Any) -> Any:
        loader.set_epoch(number)
        return [(batch["index"].tolist(), batch["key"].tolist()) for batch in loader]

    whole, loader = epoch(make(), 1), make()
    loader.set_epoch(1)
    batches = iter(loader)
    next(batches), next(batches)
    state, resumed = loader.state_dict(), make()
    resumed.load_state_dict(state)
    assert epoch(resumed, 1) == whole[2:]


def test_an_order_that_cannot_be_repeated_is_refused() -> None:
    loader = DeviceLoader(DataLoader(images(8), batch_size=2, sampler=RandomSampler(images(8))), device="cpu")
    batches = iter(loader)
    next(batches)
    with pytest.raises(ValueError, match="order of a RandomSampler cannot be repeated to resume at step 1"):
        loader.load_state_dict(loader.state_dict())
    loader.load_state_dict(loader.state_dict() | {"step": 0})
    with pytest.raises(ValueError, match="loader with a RandomSampler, got version 1 with the state"):
        loader.load_state_dict(mixed_loader().state_dict())
    with pytest.raises(ValueError, match="got version None without"):
        mixed_loader().load_state_dict({})


class Broken(TensorImages):
    def __getitem__(self, index: Any) -> Any:
        if index == 9:
            raise OSError("bad jpeg")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])  # torch takes 5 seconds to end each worker that raised
def test_a_bad_sample_is_named_after_the_batches_before_it(workers: int) -> None:
    data = images(16)
    broken = MixedDataset([Source("scans", Broken(data.images, data.labels, data.classes))])
    loader = DeviceLoader(DataLoader(broken, batch_size=4, num_workers=workers), device="cpu")
    seen: list[Any] = []
    with pytest.raises(SampleError, match="bad jpeg") as caught:
        seen.extend(batch["index"].tolist() for batch in loader)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (caught.value.index, caught.value.source) == (9, "scans")


def test_values_that_are_not_finite_are_named() -> None:
    def spoil(batch: Any) -> Any:
        image = batch["image"].float()
        image[batch["index"] == 6] = torch.nan
        return batch | {"image": image}

    loader = DeviceLoader(DataLoader(images(10), batch_size=4), spoil, device="cpu", check="finite")
    with pytest.raises(ValueError, match=r"NaN or infinity after the transform, batch 1 of epoch 0, .*id \[6\]"):
        list(loader)
    assert len(list(DeviceLoader(DataLoader(images(10), batch_size=4), spoil, device="cpu"))) == 3


def test_values_out_of_range_are_named() -> None:
    loader = DataLoader(images(10), batch_size=4, collate_fn=lambda items: {"image": torch.full((4, 1, 2, 2), 1.5)})
    assert len(list(DeviceLoader(loader, device="cpu", check="finite"))) == 3
    with pytest.raises(ValueError, match=r"outside \[0, 1\] .* batch 0 of epoch 0, places \[0, 1, 2, 3\]"):
        list(DeviceLoader(loader, device="cpu", check="range"))
    assert len(list(DeviceLoader(DataLoader(images(10), batch_size=4), device="cpu", check="range"))) == 3


def test_each_rank_needs_its_own_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchaug.data.checks.process", lambda: (1, 2))
    loader = DataLoader(images(8), batch_size=2)
    with pytest.raises(ValueError, match=r"each of the 2 ranks would read all the data.* got SequentialSampler"):
        next(iter(DeviceLoader(loader, device="cpu")))
    assert len(list(DeviceLoader(loader, device="cpu", sharded=True))) == 4
    sampler: Any = DistributedSampler(images(8), num_replicas=2, rank=1)
    assert len(list(DeviceLoader(DataLoader(images(8), batch_size=2, sampler=sampler), device="cpu"))) == 2


def test_loaders_that_do_not_fit_are_refused() -> None:
    loader = mixed_loader().loader
    with pytest.raises(ValueError, match="batch size of its MixedSampler, 8, got 4"):
        DeviceLoader(DataLoader(loader.dataset, batch_size=4, sampler=loader.sampler))
    with pytest.raises(ValueError, match="check must be one of off, finite, range, got 'nan'"):
        DeviceLoader(loader, check="nan")
    with pytest.raises(ValueError, match="depth must be 0 or more, got -1"):
        DeviceLoader(loader, depth=-1)
    with pytest.raises(ValueError, match="got no live source for fill="):
        DeviceLoader(loader, fill=lambda draws, labels: draws)


def test_a_batch_that_is_not_the_planned_one_is_refused() -> None:
    loader = mixed_loader().loader
    reverse = DataLoader(
        loader.dataset, batch_size=8, sampler=loader.sampler, collate_fn=lambda items: _collate(items[::-1])
    )
    with pytest.raises(ValueError, match="batch 0 must hold the samples that its MixedSampler planned"):
        list(DeviceLoader(reverse, Keyed(), device="cpu"))


_collate = torch.utils.data.default_collate


def live_loader(batch: int = 8, rank: int = 0, world: int = 1, made: Any = None, **options: Any) -> Any:
    data = MixedDataset([Source.real(images(40)), Source.live("gan")])
    sampler = MixedSampler(
        data, 0.3, batch_size=batch, steps_per_epoch=10, classes={1: 0.5, 2: 0.5}, rank=rank, world_size=world
    )

    def fill(draws: Any, labels: Any) -> Any:
        made.append((draws, labels)) if made is not None else None
        return ((draws % 100 + 100) / 255).view(-1, 1, 1, 1).expand(-1, 1, 4, 4) + labels.view(-1, 1, 1, 1) / 255

    return DeviceLoader(DataLoader(data, batch_size=batch, sampler=sampler), fill=fill, device="cpu", **options)


def test_live_samples_are_made_where_the_plan_wants_them() -> None:
    made: list[Any] = []
    for batch in live_loader(made=made):
        live = batch["id"] < 0
        assert torch.equal(live, batch["is_synthetic"])
        assert batch["image"].dtype == torch.uint8
        value = batch["image"][:, 0, 0, 0].long()
        assert torch.equal(value[live], (batch["index"] % 100 + 100 + batch["label"])[live])
        assert torch.equal(value[~live], batch["index"][~live] * 7 % 256)
        assert set(batch["label"][live].tolist()) <= {1, 2}
    assert {len(draws) for draws, _ in made} == {3}, "one shape for each batch, whatever it needs"
    assert all(labels.min() >= 0 for _, labels in made)


def test_live_samples_do_not_depend_on_ranks() -> None:
    def pairs(loaders: Any) -> Any:
        runs = [[(b["id"], b["image"][:, 0, 0, 0], b["label"]) for b in loader] for loader in loaders]
        return [
            sorted(row for part in step for row in zip(*map(Tensor.tolist, part), strict=True))
            for step in zip(*runs, strict=True)
        ]

    assert pairs([live_loader()]) == pairs([live_loader(4, rank, 2) for rank in range(2)])


def test_a_live_source_needs_a_generator_of_the_right_shape() -> None:
    loader = live_loader().loader
    with pytest.raises(ValueError, match="got only live source"):
        DeviceLoader(loader)
    with pytest.raises(ValueError, match=r"fill must make samples \(1, 4, 4\) as in the batch, got \(1, 8, 8\)"):
        list(DeviceLoader(loader, fill=lambda draws, labels: torch.zeros(len(draws), 1, 8, 8), device="cpu"))


# --- the order of work on streams, without a device ---


class FakeCuda:
    """Stands for torch.cuda: streams have vector clocks, so that "happens before" can be asked."""

    def __init__(self) -> None:
        self.now = self.main = FakeStream("main")
        self.events: list[Any] = []

    def Stream(self, device: Any) -> Any:
        return FakeStream("side")

    def Event(self) -> Any:
        self.events.append(FakeEvent())
        return self.events[-1]

    def current_stream(self, device: Any) -> Any:
        return self.now

    @contextmanager
    def stream(self, stream: Any) -> Any:
        before, self.now = self.now, stream
        yield
        self.now = before


class FakeStream:
    def __init__(self, name: Any) -> None:
        self.name = name
        self.clock: dict[str, int] = {}

    def work(self) -> Any:
        """Do something on this stream; when it is done, as a point in time."""
        self.clock[self.name] = self.clock.get(self.name, 0) + 1
        return self.name, self.clock[self.name]

    def knows(self, moment: Any) -> Any:
        """Whether what was done at `moment` is surely done before the next work on this stream."""
        return self.clock.get(moment[0], 0) >= moment[1]

    def wait_stream(self, other: Any) -> Any:
        self.clock = {name: max(self.clock.get(name, 0), other.clock.get(name, 0)) for name in self.clock | other.clock}

    def wait_event(self, event: Any) -> Any:
        self.wait_stream(event)


class FakeEvent:
    def __init__(self) -> None:
        self.clock: dict[str, int] = {}
        self.over = False

    def record(self, stream: Any) -> Any:
        self.clock = dict(stream.clock)

    def query(self) -> Any:
        return self.over

    def synchronize(self) -> Any:
        self.over = True


class Recorded(Tensor):
    """A tensor that notes the streams that use it."""

    def record_stream(self, stream: Any) -> Any:
        self.streams = [*getattr(self, "streams", []), stream.name]


def consume(lane: Any, cuda: Any, stream: Any) -> Any:
    """Stage and take a batch; whether the consumer's stream surely reads what the side stream wrote."""
    moments = []

    def make() -> Any:
        moments.append(cuda.now.work())
        return {"image": torch.zeros(2).as_subclass(Recorded), "name": "a"}

    staged = lane.stage(make, origin="pinned")
    with cuda.stream(stream):
        batch = lane.take(staged)
        return batch, moments[0][0] == "side" and stream.knows(moments[0])


def test_the_consumer_waits_for_the_side_stream_whichever_stream_it_is_on() -> None:
    cuda = FakeCuda()
    lane = SideStream(torch.device("cpu"), 2, cuda)
    for stream in (cuda.main, FakeStream("another")):
        batch, safe = consume(lane, cuda, stream)
        assert safe
        assert batch["image"].streams == [stream.name]


def test_a_hand_over_that_does_not_wait_is_seen() -> None:
    class Hasty(SideStream):
        def take(self, staged: Any) -> Any:
            return staged.result

    cuda = FakeCuda()
    _, safe = consume(Hasty(torch.device("cpu"), 2, cuda), cuda, cuda.main)
    assert not safe


def test_the_side_stream_begins_after_what_the_consumer_did_before() -> None:
    cuda = FakeCuda()
    lane = SideStream(torch.device("cpu"), 2, cuda)
    weights = cuda.main.work()
    lane.enter()
    assert lane._side.knows(weights)
    assert not lane._side.knows(cuda.main.work())


def test_the_consumer_goes_on_after_what_the_side_stream_still_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop is left early, and then the weights are renewed that batches made ahead are still being made with."""
    cuda = FakeCuda()
    lane = SideStream(torch.device("cpu"), 2, cuda)
    recorded = DataLoader(images(32), batch_size=4)
    loader = DeviceLoader(recorded, lambda batch: batch["image"].as_subclass(Recorded), device="cpu")
    monkeypatch.setattr(loader, "_open", lambda: lane)
    for _ in loader:
        break
    at_work = lane._side.work()
    assert not cuda.main.knows(at_work)
    lane.leave()
    assert cuda.main.knows(at_work)
    left: list[bool] = []
    monkeypatch.setattr(lane, "leave", lambda: left.append(True))
    for _ in loader:
        break
    assert left == [True]


def test_pinned_memory_is_kept_until_it_was_read() -> None:
    cuda = FakeCuda()
    lane = SideStream(torch.device("cpu"), 2, cuda)
    for _ in range(3):
        consume(lane, cuda, cuda.main)
    assert len(lane._origins) == 3
    for event in cuda.events[:2]:
        event.over = True
    consume(lane, cuda, cuda.main)
    assert len(lane._origins) == 2


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_batches_are_made_ahead_and_come_in_order(depth: int) -> None:
    cuda, made = FakeCuda(), []

    def note(batch: Any) -> Any:
        made.append(batch["index"].tolist())
        return batch

    loader: Any = DeviceLoader(DataLoader(images(12), batch_size=2), note, device="cpu")
    loader._open = lambda: SideStream(torch.device("cpu"), depth, cuda)
    seen = []
    for batch in _without_recording(loader):
        seen.append(batch["index"].tolist())
        assert len(made) == min(6, len(seen) + depth)
        assert loader.state_dict()["step"] == len(seen), "what was made ahead does not count"
    assert seen == made == [[i, i + 1] for i in range(0, 12, 2)]


def _without_recording(loader: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
        yield from loader


def test_bad_values_are_told_late_but_surely_on_a_stream() -> None:
    cuda = FakeCuda()
    loader = DataLoader(images(12), batch_size=2)
    device: Any = DeviceLoader(loader, lambda b: b | {"image": b["image"] / 0}, device="cpu", check="finite")
    device._open = lambda: SideStream(torch.device("cpu"), 1, cuda)
    seen = []
    with pytest.raises(ValueError, match=r"NaN or infinity .* batch 0 of epoch 0"):
        seen.extend(_without_recording(device))
    assert len(seen) == 6, "no event was over, so nothing was waited for before the end"


def test_an_error_is_raised_after_what_was_made_before_it() -> None:
    def source() -> Any:
        yield from "abc"
        raise OSError("torn")

    for ahead in range(5):
        seen: list[str] = []
        with pytest.raises(OSError, match="torn"):
            seen.extend(look_ahead(source(), ahead))
        assert seen == ["a", "b", "c"]


# --- on a device ---


def cuda_loader(data: Any, batch: int = 64, transform: Any = None, **options: Any) -> Any:
    return DeviceLoader(DataLoader(data, batch_size=batch, pin_memory=True), transform, device="cuda", **options)


@pytest.mark.gpu
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_batches_on_the_device_are_those_of_the_host(depth: int) -> None:
    data = images(1000)
    chain = Compose([T.RandomHorizontalFlip(), T.RandomAffine(degrees=20)])
    host = [batch["image"] for batch in DeviceLoader(DataLoader(data, batch_size=64), chain, device="cpu")]
    kept = [batch["image"] for batch in cuda_loader(data, transform=chain, depth=depth)]
    for ours, theirs in zip(kept, host, strict=True):
        assert (ours.cpu().int() - theirs.int()).abs().max() <= 1


@pytest.mark.gpu
def test_a_slow_consumer_on_any_stream_reads_whole_batches() -> None:
    data = TensorImages(torch.randint(256, (512, 3, 64, 64), dtype=torch.uint8), torch.zeros(512).long(), ["a"])
    due = [part.double().sum().item() for part in data.images.split(64)]
    own = torch.cuda.Stream()
    for stream in (torch.cuda.current_stream(), own):
        with torch.cuda.stream(stream):
            sums = []
            for batch in cuda_loader(data, transform=lambda b: b["image"].double(), depth=3):
                torch.cuda._sleep(20_000_000)
                sums.append(batch.sum())
                del batch
            assert [float(total) for total in sums] == due


@pytest.mark.gpu
def test_the_host_never_waits_for_the_device() -> None:
    chain = Compose([T.RandomHorizontalFlip(), T.RandomAffine(degrees=20)])
    loader = cuda_loader(images(1000), transform=chain, check="finite")
    list(loader)
    batches = iter(loader)
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(8):
            next(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_memory_stays_flat_over_epochs() -> None:
    loader, used = cuda_loader(images(2000), transform=lambda b: b["image"].float()), []
    for _ in range(20):
        for batch in loader:
            batch.mul_(2)
        torch.cuda.synchronize()
        used.append(torch.cuda.memory_reserved())
    assert used[-1] == used[2]


@pytest.mark.gpu
def test_unpinned_memory_draws_a_warning() -> None:
    with pytest.warns(UserWarning, match="pin_memory=False"):
        next(iter(DeviceLoader(DataLoader(images(8), batch_size=4), device="cuda")))
