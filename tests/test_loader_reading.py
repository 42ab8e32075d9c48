"""What reads the batches: transforms in workers, samples that cannot be read, workers that die, and errors with names."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, get_worker_info

from torchaug import image as T
from torchaug.batch import Batch
from torchaug.compose import Compose
from torchaug.data import DeviceLoader, MixedDataset, MixedSampler, SampleError, Source, TensorImages
from torchaug.data.instead import alike

pytestmark = pytest.mark.filterwarnings("ignore:MixedSampler. .* of a batch is synthetic")


def images(count: int, value: int = 0) -> TensorImages:
    pixels = (torch.arange(count) * 7 + value).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 6, 6)
    return TensorImages(pixels.contiguous(), torch.arange(count) % 3, ["a", "b", "c"])


class Keyed(nn.Module):
    """Stands for a transform of ours: hands its keys on."""

    def forward(self, batch: Any, *, keys: Any) -> Any:
        return batch | {"key": keys, "process": torch.tensor(os.getpid())}


class Faulty(TensorImages):
    """Images of which some cannot be read."""

    bad: tuple[int, ...] = ()

    def __getitem__(self, index: int) -> Any:
        if index in self.bad:
            raise OSError(f"bad jpeg {index}")
        return super().__getitem__(index)


def faulty(count: int, *bad: int, value: int = 0) -> Faulty:
    source = images(count, value)
    data = Faulty(source.images, source.labels, source.classes)
    data.bad = bad
    return data


def mixed_loader(
    workers: int = 0, transform: Any = None, real: Any = None, bank: Any = None, context: Any = None, **options: Any
) -> DeviceLoader:
    real = images(40) if real is None else real
    data = MixedDataset([Source.real(real), Source("bank", bank or images(13, 100), kind="bank")])
    sampler = MixedSampler(data, 0.25, batch_size=8, steps_per_epoch=5, real_classes="balanced")
    loader = DataLoader(data, batch_size=8, sampler=sampler, num_workers=workers, multiprocessing_context=context)
    return DeviceLoader(loader, transform or Keyed(), device="cpu", seed=4, **options)


CHAIN = Compose([T.RandomHorizontalFlip(), T.RandomAffine(degrees=20), T.GaussianNoise(sigma=0.1)])


class Floats(Dataset[Any]):
    """Images as a `Batch` wants them, with places as their ids, or with none."""

    def __init__(self, ids: bool) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return 21

    def __getitem__(self, index: int) -> Any:
        image = torch.arange(64.0).view(1, 8, 8) * (index + 1) / 64 / 22
        return {"image": image, "index": index} if self.ids else {"image": image}


# --- where the transform runs ---


@pytest.mark.parametrize(
    ("context", "ids"), [("fork", True), ("fork", False), pytest.param("spawn", True, marks=pytest.mark.slow)]
)
def test_transforms_in_workers_give_what_they_give_on_the_device(context: str, ids: bool) -> None:
    def run(where: str, workers: int) -> Any:
        context_or_none = context if workers else None
        loader = DataLoader(
            Floats(ids),
            batch_size=4,
            num_workers=workers,
            multiprocessing_context=context_or_none,
            persistent_workers=workers > 0,
        )
        own = DeviceLoader(loader, CHAIN, device="cpu", where=where, seed=9)
        return torch.cat([batch["image"] for _ in range(2) for batch in own])

    here = run("device", 0)
    assert len(here) == 42
    assert not torch.equal(here[:21], here[21:]), "each epoch has augmentations of its own"
    assert torch.equal(run("worker", 2 if context == "fork" else 1), here)
    if context == "fork":
        assert torch.equal(run("worker", 0), here)


def test_workers_have_the_keys_of_the_plan() -> None:
    there, here = list(mixed_loader(2, where="worker")), list(mixed_loader())
    for one, other in zip(there, here, strict=True):
        assert torch.equal(one["key"], other["key"])
        assert torch.equal(one["id"], other["id"])
        assert torch.equal(one["image"], other["image"])
    assert os.getpid() not in {int(batch["process"]) for batch in there}
    assert {int(batch["process"]) for batch in here} == {os.getpid()}


def test_auto_is_workers_where_there_are_any_and_the_device_is_the_host() -> None:
    assert int(next(iter(mixed_loader(1, where="auto")))["process"]) != os.getpid()
    assert int(next(iter(mixed_loader(0, where="auto")))["process"]) == os.getpid()
    stream = DataLoader(Endless(), batch_size=2, num_workers=1)
    assert int(next(iter(DeviceLoader(stream, Keyed(), device="cpu", where="auto")))["process"]) == os.getpid()
    loader = mixed_loader(1, where="auto")
    assert loader._away(loader._open())
    loader._open().device = torch.device("cuda")
    assert not loader._away(loader._lane)  # type: ignore[arg-type]


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return ({"image": torch.zeros(1, 2, 2), "index": i} for i in range(1000))


class Own(DataLoader[Any]):
    """A loader with an iteration of its own, as torchdata's and Accelerate's are."""

    def __iter__(self) -> Any:
        return (batch | {"own": True} for batch in super().__iter__())


class Preset(DataLoader[Any]):
    """A loader with options of its own, and torch's iteration."""

    def __init__(self, data: Any) -> None:
        super().__init__(data, batch_size=3)


def test_loaders_with_an_iteration_of_their_own_keep_it() -> None:
    batches = list(DeviceLoader(Own(images(8), batch_size=4), Keyed(), device="cpu"))
    assert [batch["own"] for batch in batches] == [True, True]
    assert torch.equal(torch.cat([batch["key"] for batch in batches]), torch.cat([b["key"] for b in plain(images(8))]))
    with pytest.raises(SampleError, match="index=1 source='Faulty'"):
        list(DeviceLoader(Preset(faulty(6, 1)), device="cpu"))


def plain(data: Any, workers: int = 0, batch: int = 4, **options: Any) -> DeviceLoader:
    return DeviceLoader(DataLoader(data, batch_size=batch, num_workers=workers), Keyed(), device="cpu", **options)


@pytest.mark.parametrize("option", [{"where": "worker"}, {"on_error": "skip_and_replace"}])
def test_what_only_a_reader_can_do_is_refused_elsewhere(option: Any) -> None:
    ways = {
        "has an iterable data set": DataLoader(Endless(), batch_size=2),
        "has batch_size=None": DataLoader(images(4), batch_size=None),
        "is a Own with an iteration of its own": Own(images(4), batch_size=2),
    }
    for why, loader in ways.items():
        with pytest.raises(ValueError, match=f"{next(iter(option))}=.* needs a torch DataLoader of batches.* {why}"):
            DeviceLoader(loader, **option)
    with pytest.raises(ValueError, match=f"{next(iter(option))} must be one of .*, got 'nowhere'"):
        DeviceLoader(DataLoader(images(4)), **{name: "nowhere" for name in option})  # type: ignore[arg-type]


def test_live_samples_are_not_for_workers() -> None:
    data = MixedDataset([Source.real(images(40)), Source.live("gan")])
    sampler = MixedSampler(data, 0.3, batch_size=8, steps_per_epoch=2, classes={1: 1.0})
    loader = DataLoader(data, batch_size=8, sampler=sampler)
    with pytest.raises(ValueError, match="expected where='device' beside fill=, got where='worker'"):
        DeviceLoader(loader, fill=lambda draws, labels: draws, where="worker")


@pytest.mark.parametrize("where", ["device", "worker"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_is_resumed_wherever_it_stopped_and_however_it_goes_on(where: str, workers: int) -> None:
    whole = [(b["id"].tolist(), b["key"].tolist()) for loader in [mixed_loader()] for _ in range(2) for b in loader]
    for stop in (0, 3, 5, 7) if not workers else (3,):
        loader = mixed_loader(workers, where=where)
        taken = list(islice((batch for _ in range(2) for batch in loader), stop))
        state = json.loads(json.dumps(loader.state_dict()))
        for other, count in (("device", 0), ("worker", 0), (where, workers)):
            resumed = mixed_loader(count, where=other)
            resumed.load_state_dict(state)
            rest = [(b["id"].tolist(), b["key"].tolist()) for _ in range(2) for b in resumed]
            assert rest[: 10 - stop] == whole[len(taken) :], f"{stop} {other} {count}"


def test_a_plain_order_is_resumed_without_reading_what_comes_before() -> None:
    def make(data: Any) -> DeviceLoader:
        sampler: Any = DistributedSampler(images(20), num_replicas=1, rank=0, seed=1)
        return DeviceLoader(DataLoader(data, batch_size=4, sampler=sampler), Keyed(), device="cpu")

    loader = make(images(20))
    taken = [batch["index"].tolist() for batch in islice(loader, 2)]
    state, order = loader.state_dict(), list(loader.sampler)
    loader.set_epoch(0)
    rest = [batch["index"].tolist() for batch in loader][2:]
    resumed = make(faulty(20, *chain(*taken)))  # reading them would be an error
    resumed.load_state_dict(state)
    assert [batch["index"].tolist() for batch in resumed] == rest
    assert sorted(chain(*taken, *rest)) == sorted(order)


@pytest.mark.parametrize("where", ["device", "worker"])
def test_workers_that_stay_serve_epoch_after_epoch(where: str) -> None:
    loader = DataLoader(images(12), batch_size=4, num_workers=1, persistent_workers=True)
    own = DeviceLoader(loader, Keyed(), device="cpu", where=where)
    whole = plain(images(12))
    workers = set()
    for epoch in range(3):
        batches = list(islice(own, 1 if epoch == 1 else 3))  # the second epoch is left early
        for batch, due in zip(batches, list(whole), strict=epoch != 1):
            assert torch.equal(batch["key"], due["key"])
        workers.add(own._feed._inner._iterator._workers[0].pid)  # type: ignore[union-attr]
    assert len(workers) == 1
    worker = own._feed._inner._iterator._workers[0]  # type: ignore[union-attr]
    assert worker.is_alive()
    own.close()
    worker.join(10)
    assert not worker.is_alive()
    assert len(list(own)) == 3
    own.close()


def test_gradients_are_not_recorded_in_workers() -> None:
    scale = nn.Parameter(torch.ones(()))
    loader = DataLoader(images(4), batch_size=2)
    own = DeviceLoader(loader, lambda batch: batch["image"] * scale, device="cpu", where="worker")
    assert not any(batch.requires_grad for batch in own)


def test_the_sampler_counts_what_is_drawn() -> None:
    loader = mixed_loader()
    list(islice(loader, 3))
    assert loader.sampler.state_dict()["step"] == 3
    assert len(list(loader)) == 5
    assert (loader.sampler.epoch, loader.sampler.state_dict()["step"]) == (1, 5)


@pytest.mark.parametrize("where", ["device", "worker"])
def test_empty_and_short_ones(where: str) -> None:
    nothing: Any = []
    assert list(plain(nothing, where=where)) == []
    assert [len(batch["key"]) for batch in plain(images(10), 1, where=where)] == [4, 4, 2]


def test_values_are_checked_in_workers_too() -> None:
    def spoil(batch: Any) -> Any:
        image = batch["image"].float()
        image[batch["index"] == 6] = torch.nan
        return batch | {"image": image}

    loader = DataLoader(images(10), batch_size=4)
    with pytest.raises(ValueError, match=r"NaN or infinity after the transform, batch 1 of epoch 0, .*id \[6\]"):
        list(DeviceLoader(loader, spoil, device="cpu", where="worker", check="finite"))
    loader = DataLoader(Floats(True), batch_size=4, collate_fn=_brighter)
    with pytest.raises(ValueError, match=r"outside \[0, 1\] .* batch 0 of epoch 0, samples with id \[1, 2"):
        list(DeviceLoader(loader, CHAIN, device="cpu", where="worker", check="range"))


def _brighter(items: Any) -> Any:
    batch = torch.utils.data.default_collate(items)
    return batch | {"image": batch["image"] + batch["index"].view(-1, 1, 1, 1)}


def test_a_loader_with_work_in_workers_pickles() -> None:
    loader = mixed_loader(where="worker")
    first = [batch["key"] for batch in loader]
    other = pickle.loads(pickle.dumps(loader))
    other.set_epoch(0)
    assert all(map(torch.equal, first, (batch["key"] for batch in other)))


def _note_seed(worker: int) -> None:
    info: Any = get_worker_info()
    info.dataset.images = torch.full_like(info.dataset.images, 50 + worker)


def test_workers_know_the_data_set_of_the_user() -> None:
    loader = DataLoader(images(8), batch_size=4, num_workers=2, worker_init_fn=_note_seed)
    first = [int(batch["image"].unique()) for batch in DeviceLoader(loader, device="cpu")]
    assert first == [50, 51]


class Together(Dataset[Any]):
    """Reads many items at once, and has no way to read one."""

    def __init__(self, *bad: int) -> None:
        self.bad, self.asked = bad, list[Any]()

    def __len__(self) -> int:
        return 8

    def __getitems__(self, indices: list[int]) -> Any:
        self.asked.append(indices)
        if bad := [index for index in indices if index in self.bad]:
            raise OSError(f"no rows {bad}")
        return {"index": torch.tensor(indices)}


def _same(batch: Any) -> Any:
    return batch


def test_items_are_read_together_where_the_data_set_can() -> None:
    data = Together()
    loader = DeviceLoader(DataLoader(data, batch_size=4, collate_fn=_same), device="cpu")
    assert [batch["index"].tolist() for batch in loader] == data.asked == [[0, 1, 2, 3], [4, 5, 6, 7]]
    bad = DataLoader(Together(5), batch_size=4, collate_fn=_same)
    with pytest.raises(SampleError, match=r"index=5 source='Together': OSError: no rows \[5\]"):
        list(DeviceLoader(bad, device="cpu"))
    loader = DeviceLoader(bad, device="cpu", on_error="skip_and_replace")
    with pytest.warns(UserWarning, match="sample index=5"):
        assert [batch["index"].tolist() for batch in loader] == [[0, 1, 2, 3], [4, 6, 6, 7]]


# --- samples that cannot be read ---


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_of_any_data_set_is_named(workers: int) -> None:
    data: Any = faulty(16, 9)
    data.paths = [Path(f"scans/{i}.png") for i in range(16)]
    seen: list[Any] = []
    with pytest.raises(SampleError, match="OSError: bad jpeg 9") as caught:
        seen.extend(batch["index"].tolist() for batch in plain(data, workers))
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (caught.value.index, caught.value.source, caught.value.path) == (9, "Faulty", "scans/9.png")


class Shrinking(Dataset[Any]):
    """A list that loses its end while it is read."""

    def __init__(self) -> None:
        self.items = [{"index": i} for i in range(12)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        if index == 5:
            del self.items[7:]
        return self.items[index]


@pytest.mark.parametrize("on_error", ["raise", "skip_and_replace"])
def test_a_data_set_that_shrinks_is_told_of(on_error: str) -> None:
    message = "sample index=7 source='Shrinking': IndexError: .*there are 7 items now: did the data set shrink"
    with pytest.raises(SampleError, match=message):
        list(DeviceLoader(DataLoader(Shrinking(), batch_size=4), device="cpu", on_error=on_error))


def test_a_source_of_a_mixture_that_shrinks_is_told_of() -> None:
    data = MixedDataset([Source.real(images(3), "first"), Source.real(_Short(), "short")])
    with pytest.raises(SampleError, match=r"index=3 source='short': IndexError: .*there are 3 items now"):
        list(DeviceLoader(DataLoader(data, batch_size=8), device="cpu"))


class _Short(Dataset[Any]):
    """Says at first that it has more items than later."""

    def __init__(self) -> None:
        self.size, self.asked = 5, 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        self.size = 5 if self.asked < 2 else 3
        self.asked += 1
        if index >= self.size:
            raise IndexError("no such row")
        return {"image": torch.zeros(1, 6, 6, dtype=torch.uint8), "label": 0}


def test_items_that_do_not_fit_together_are_named() -> None:
    class Sizes(Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return torch.zeros(index // 3 + 1)

    with pytest.raises(RuntimeError, match=r"cannot make batch 1 of epoch 0 of samples \[2, 3\].*equal size"):
        list(DeviceLoader(DataLoader(Sizes(), batch_size=2), device="cpu"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_sample_is_replaced_by_the_next_of_its_label(workers: int) -> None:
    loader = plain(faulty(13, 2, 5, 9), workers, on_error="skip_and_replace")
    with pytest.warns(UserWarning, match="sample index=2 source='Faulty': OSError: bad jpeg 2") as warned:
        batches = list(loader)
    own = [warning for warning in warned if "multi-threaded" not in str(warning.message)]  # Python 3.12, of forks
    assert len(own) == 1
    assert [batch["index"].tolist() for batch in batches] == [[0, 1, 8, 3], [4, 8, 6, 7], [8, 12, 10, 11], [12]]
    for batch in batches:  # everything is of the sample that was read
        assert torch.equal(batch["image"][:, 0, 0, 0].long(), batch["index"] * 7 % 256)
        assert torch.equal(batch["label"], batch["index"] % 3)
    keys = torch.cat([batch["key"] for batch in plain(images(13))])
    assert torch.equal(torch.cat([batch["key"] for batch in batches]), keys), "a key belongs to a slot"
    assert loader.replaced == 3
    assert loader.skipped == {
        ("Faulty", i): f"sample index={i} source='Faulty': OSError: bad jpeg {i}" for i in (2, 5, 9)
    }
    list(loader)
    assert loader.replaced == 6


@pytest.mark.parametrize(("workers", "where"), [(0, "device"), (1, "worker")])
def test_a_mixture_replaces_within_source_and_label_and_keeps_its_plan(workers: int, where: str) -> None:
    bad_real, bad_bank = (3, 4, 6, 17, 39), (1, 2, 5, 8, 12)
    loader = mixed_loader(
        workers,
        real=faulty(40, *bad_real),
        bank=faulty(13, *bad_bank, value=100),
        on_error="skip_and_replace",
        where=where,
    )
    replaced = 0
    with pytest.warns(UserWarning, match="sample index="):
        batches = list(loader)
    for batch, due in zip(batches, list(mixed_loader()), strict=True):
        assert torch.equal(batch["key"], due["key"])
        for name in ("label", "source", "is_synthetic"):
            assert torch.equal(batch[name], due[name])
        for index, wanted, synthetic in zip(batch["id"], due["id"], due["is_synthetic"], strict=True):
            first, size, bad = (40, 13, bad_bank) if synthetic else (0, 40, bad_real)
            places = [(int(wanted) - first + 3 * k) for k in range(size)]  # labels go round by threes
            places = [p % 3 + 3 * (p // 3 % len(range(p % 3, size, 3))) for p in places]
            assert int(index) == first + next(place for place in places if place not in bad)
            replaced += int(index) != int(wanted)
    assert loader.replaced == replaced > 0
    assert {source for source, _ in loader.skipped} == {"real", "bank"}
    assert {index for source, index in loader.skipped if source == "bank"} <= set(bad_bank)


def test_samples_that_weigh_too_little_do_not_stand_in() -> None:
    bank = faulty(8, 1)
    weights = torch.tensor([1.0, 1, 1, 1, 0, 1, 1, 0.2])  # of label 1: places 1, 4 and 7
    data = MixedDataset([Source.real(images(8)), Source("bank", bank, weights=weights, kind="bank")])
    assert list(data.instead(9)) == [15]
    assert list(data.instead(9, 0.5)) == []
    sampler = MixedSampler(data, 0.5, batch_size=8, min_weight=0.5, steps_per_epoch=4)
    loader = DeviceLoader(DataLoader(data, batch_size=8, sampler=sampler), device="cpu", on_error="skip_and_replace")
    with pytest.raises(SampleError, match=r"index=1 source='bank': .*nor could the 0 samples tried in its place"):
        list(loader)


def test_too_many_bad_ones_in_a_row_are_the_first_error() -> None:
    loader = plain(faulty(99, *range(3, 99, 3)), on_error="skip_and_replace")
    message = "index=3 source='Faulty': OSError: bad jpeg 3; nor could the 16 samples tried .*bad jpeg 51"
    with pytest.raises(SampleError, match=message) as caught:
        list(loader)
    assert caught.value.index == 3
    assert isinstance(caught.value.__cause__, OSError)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_alike_is_every_other_of_the_label_in_order(labels: list[int], data: Any) -> None:
    index = data.draw(st.integers(0, len(labels) - 1))
    around = [*range(index + 1, len(labels)), *range(index)]
    assert list(alike(len(labels), index)) == around
    due = [place for place in around if labels[place] == labels[index]]
    assert list(alike(len(labels), index, torch.tensor(labels))) == due
    fit = torch.tensor([data.draw(st.booleans()) for _ in labels])
    assert list(alike(len(labels), index, torch.tensor(labels), fit)) == [place for place in due if fit[place]]


def test_alike_looks_as_far_as_it_must() -> None:
    labels = torch.zeros(20_000, dtype=torch.int64)
    labels[[5, 9_000, 19_999]] = 1
    assert list(alike(20_000, 9_000, labels)) == [19_999, 5]


# --- workers that die ---


class Deadly(TensorImages):
    """One of its items ends the process that reads it, as the kernel does when memory is short."""

    def __getitem__(self, index: int) -> Any:
        if index == 9 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


@pytest.mark.parametrize("where", ["device", "worker"])
def test_a_worker_that_is_killed_is_told_of(where: str) -> None:
    source = images(16)
    data = Deadly(source.images, source.labels, source.classes)
    loader = DataLoader(data, batch_size=4, num_workers=1, prefetch_factor=1, persistent_workers=True)
    own, seen = DeviceLoader(loader, Keyed(), device="cpu", where=where), list[Any]()
    with pytest.raises(RuntimeError, match=r"expected batch \d of epoch 0, got the death of a worker") as caught:
        seen.extend(batch["index"].tolist() for batch in own)
    # the signal may arrive while the batch before is on its way
    assert seen in ([[0, 1, 2, 3]], [[0, 1, 2, 3], [4, 5, 6, 7]])
    assert f"expected batch {len(seen)} " in str(caught.value)
    assert own.state_dict()["step"] == len(seen)
    assert re.search(r"fewer workers, a smaller batch .*shared memory", str(caught.value))
    loader.dataset.__class__ = TensorImages  # new workers serve what is left
    own.load_state_dict(own.state_dict())
    assert [batch["index"].tolist()[0] for batch in own] == list(range(4 * len(seen), 16, 4))
    own.close()


@pytest.mark.parametrize("where", ["device", "worker"])
def test_a_step_that_fails_leaves_a_loader_that_works(where: str) -> None:
    loader = plain(images(12), 1, where=where)
    with pytest.raises(ZeroDivisionError):
        sum(1 / batch["index"][0].item() for batch in loader)
    loader.set_epoch(0)
    assert [len(batch["key"]) for batch in loader] == [4, 4, 4]


# --- transforms that fail ---


def refuse(batch: Any, bad: tuple[int, ...]) -> Any:
    if hit := [int(i) for i in batch["index"] if int(i) in bad]:
        raise ZeroDivisionError(f"no such sample {hit}")
    return batch


@pytest.mark.parametrize("where", ["device", "worker"])
def test_the_sample_that_a_transform_cannot_take_is_named(where: str) -> None:
    loader = DataLoader(images(12), batch_size=4)
    own, seen = DeviceLoader(loader, partial(refuse, bad=(5, 7)), device="cpu", where=where), list[Any]()
    message = (
        r"index=5 source='TensorImages': ZeroDivisionError: no such sample \[5, 7\]; in the transform, "
        r"batch 1 of epoch 0: the sample fails alone, too, as do samples \[7\]"
    )
    with pytest.raises(SampleError, match=message) as caught:
        seen.extend(own)
    assert len(seen) == 1
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_sample_of_a_mixture_is_named_by_its_source() -> None:
    def bad_bank(batch: Any) -> Any:
        if batch["is_synthetic"].any() and bool((batch["index"][batch["is_synthetic"]] == 4).any()):
            raise ArithmeticError("image 4 of the bank")
        return batch

    with pytest.raises(SampleError, match="index=4 source='bank': ArithmeticError"):
        list(mixed_loader(transform=bad_bank))


@pytest.mark.parametrize("where", ["device", "worker"])
def test_a_transform_that_always_fails_blames_no_sample(where: str) -> None:
    def broken(batch: Any) -> Any:
        raise KeyError("nothing")

    with pytest.raises(KeyError, match="the transform failed in batch 0 of epoch 0") as caught:
        list(DeviceLoader(DataLoader(images(12), batch_size=4), broken, device="cpu", where=where))
    assert isinstance(caught.value.__cause__, KeyError)

    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(one, two)

    def odd(batch: Any) -> Any:
        raise Odd(1, 2)

    with pytest.raises(RuntimeError, match=r"the transform failed in batch 0.*Odd"):
        list(DeviceLoader(DataLoader(images(4), batch_size=4), odd, device="cpu", where=where))


class Picky(Keyed):
    """Fails for some keys."""

    def forward(self, batch: Any, *, keys: Any) -> Any:
        if bool((keys % 8 == 0).any()):
            raise ZeroDivisionError("this draw")
        return super().forward(batch, keys=keys)


@pytest.mark.parametrize("form", ["dict", "batch", "tuple", "list of names"])
def test_culprits_are_sought_with_the_keys_they_had(form: str) -> None:
    wrap: Any = {
        "dict": _same,
        "batch": lambda batch: Batch(image=batch["image"], index=batch["index"]),
        "tuple": lambda batch: (batch["image"], batch["label"]),
        "list of names": lambda batch: batch | {"name": [str(i) for i in batch["index"].tolist()]},
    }[form]

    class Formed(Picky):
        def forward(self, batch: Any, *, keys: Any) -> Any:
            rows = len(batch[0]) if isinstance(batch, tuple) else len(batch["image"] if form != "batch" else batch)
            assert rows == len(keys)
            if isinstance(batch, dict) and "name" in batch:
                assert len(batch["name"]) == rows
            super().forward({}, keys=keys)
            return keys

    keys = torch.cat([batch["key"] for batch in plain(images(64), batch=64)])
    guilty = (keys % 8 == 0).nonzero()[:, 0].tolist()
    assert 1 < len(guilty) < 64
    loader = DataLoader(images(64), batch_size=64, collate_fn=lambda items: wrap(_collate(items)))
    with pytest.raises(SampleError, match="this draw") as caught:
        list(DeviceLoader(loader, Formed(), device="cpu"))
    assert caught.value.index == guilty[0]
    assert f"as do samples {guilty[1:9]}" in str(caught.value)


_collate = torch.utils.data.default_collate


def test_where_a_loader_is_iterated_as_it_is_ids_name_the_culprit() -> None:
    loader = Own(images(8), batch_size=4)
    with pytest.raises(SampleError, match="index=6 source='TensorImages'"):
        list(DeviceLoader(loader, partial(refuse, bad=(6,)), device="cpu"))

    def bright(batch: Any) -> Any:
        if bool((batch["image"] == 42).any()):
            raise ZeroDivisionError("too bright")
        return batch

    nameless = Own(images(8), batch_size=4, collate_fn=lambda items: {"image": _collate(items)["image"]})
    with pytest.raises(ZeroDivisionError, match=r"batch 1 of epoch 0, at places \[2\], which fail alone"):
        list(DeviceLoader(nameless, bright, device="cpu"))


# --- ranks of other launchers ---


def test_shards_of_a_sampler_partition_the_stream_of_one() -> None:
    data = MixedDataset([Source.real(images(40)), Source("bank", images(13, 100), kind="bank")])

    def run(rank: int, world: int) -> list[list[tuple[int, int]]]:
        sampler = MixedSampler(data, 0.25, batch_size=8 // world, steps_per_epoch=5).shard(rank, world)
        loader = DataLoader(data, batch_size=8 // world, sampler=sampler)
        batches = DeviceLoader(loader, Keyed(), device="cpu", sharded=True)
        return [list(zip(b["id"].tolist(), b["key"].tolist(), strict=True)) for b in batches]

    for one, first, second in zip(run(0, 1), run(0, 2), run(1, 2), strict=True):
        assert sorted(first + second) == sorted(one)
