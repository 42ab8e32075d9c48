"""Sources under one index: provenance of each sample, and what must not be mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from torchaug.data import (
    Bank,
    BankWriter,
    MixedDataset,
    SampleError,
    Source,
    TensorImages,
    digits,
    fingerprint,
    item_hashes,
    merge,
)


def images(count: Any, value: int = 0, channels: int = 1) -> Any:
    pixels = torch.arange(count, dtype=torch.uint8).add(value).view(count, 1, 1, 1).expand(-1, channels, 4, 4)
    return TensorImages(pixels.contiguous(), torch.arange(count) % 2, ["a", "b"])


def make_bank(path: Any, data: Any, trained_on: Any = None, **options: Any) -> Any:
    with BankWriter(path, config={}, trained_on=trained_on, generator="g", classes=data.classes, **options) as writer:
        writer.write(0, {"image": data.images}, data.labels, torch.arange(len(data)))
    return Bank(path)


def test_every_item_says_where_it_came_from(tmp_path: Path) -> None:
    real, bank = images(5), make_bank(tmp_path, images(4, value=100))
    data = MixedDataset([Source.real(real), Source.bank(bank)])
    assert len(data) == 9
    assert data.classes == ["a", "b"]
    for index in range(9):
        item, synthetic = data[index], index >= 5
        place = index - 5 * synthetic
        assert torch.equal(item.pop("image"), (bank if synthetic else real)[place]["image"])
        label = place % 2
        assert item == {
            "label": label,
            "index": place,
            "source": int(synthetic),
            "is_synthetic": synthetic,
            "id": index,
        }
    batch = next(iter(DataLoader(data, batch_size=9)))
    assert batch["is_synthetic"].dtype == torch.bool
    assert batch["id"].tolist() == list(range(9))


def test_only_entries_that_all_sources_have_are_kept_and_weights_are_added() -> None:
    class More(Dataset[Any]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: Any) -> Any:
            return {"quality": 0.5, "label": 1, "image": torch.zeros(1, 4, 4, dtype=torch.uint8)}

    data = MixedDataset([Source.real(images(2)), Source("more", More(), kind="bank", loss_weight=0.5)])
    assert data[0].keys() == data[3].keys()
    batch = next(iter(DataLoader(data, batch_size=4)))
    assert batch["weight"].tolist() == [1, 1, 0.5, 0.5]
    assert batch["weight"].dtype == torch.float32
    assert "weight" not in MixedDataset([Source.real(images(2))])[0]


def test_images_of_another_shape_are_refused_at_once_or_named() -> None:
    with pytest.raises(ValueError, match=r"source 'bank': image must be torch.uint8 \(1, 4, 4\) as in source 'real'"):
        MixedDataset([Source.real(images(2)), Source("bank", images(2, channels=3), kind="bank")])

    class Growing(Dataset[Any]):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: Any) -> Any:
            return {"image": torch.zeros(1, 4 + index, 4), "label": 0}

    data = MixedDataset([Source("growing", Growing())])
    with pytest.raises(SampleError, match=r"index=1 source='growing': .* got torch.float32 \(1, 5, 4\)"):
        data[1]


class Broken(Dataset[Any]):
    paths = ("x/0.png", "x/1.png")

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        if index:
            raise OSError("bad jpeg")
        return {"image": torch.zeros(1, 4, 4), "label": 0}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_named_also_from_a_worker(workers: int) -> None:
    data = MixedDataset([Source("scans", Broken())])
    with pytest.raises(SampleError, match="bad jpeg") as caught:
        list(DataLoader(data, batch_size=1, num_workers=workers))
    assert (caught.value.index, caught.value.source, caught.value.path) == (1, "scans", "x/1.png")


def test_a_text_without_a_sample_names_none() -> None:
    error = SampleError("something else")
    assert (error.index, error.source, error.path) == (None, None, None)


def test_synthetic_data_is_no_evaluation_data() -> None:
    sources = [Source.real(images(2)), Source("bank", images(2), kind="bank")]
    with pytest.raises(ValueError, match="data to evaluate on must be real, got bank source 'bank'"):
        MixedDataset(sources, evaluation=True)
    assert len(MixedDataset(sources, evaluation=True, allow_synthetic_eval=True)) == 4
    assert len(MixedDataset(sources[:1], evaluation=True)) == 2


def test_a_generator_trained_on_generated_data_is_refused(tmp_path: Path) -> None:
    source = Source.bank(make_bank(tmp_path, images(2), generation=1))
    with pytest.raises(ValueError, match="source 'bank' is of generation 1"):
        MixedDataset([source])
    assert len(MixedDataset([source], max_generation=1)) == 2


def test_a_generator_trained_on_held_out_data_is_refused(tmp_path: Path) -> None:
    data = digits()
    train, other, both = data.subset(range(20)), data.subset(range(20, 40)), data.subset(range(15, 35))
    known = make_bank(tmp_path / "a", train, fingerprint(train), trained_items=item_hashes(train))
    sources = [Source.real(train), Source.bank(known)]
    assert len(MixedDataset(sources, held_out=[other])) == 40
    with pytest.raises(ValueError, match=r"trained on 5 of the 20 held-out items \(the first at index 0\).*leak"):
        MixedDataset(sources, held_out=[other, both])
    only_hash = Source.bank(make_bank(tmp_path / "b", train, fingerprint(train)))
    with pytest.raises(ValueError, match="trained on the 20 held-out items"):
        MixedDataset([only_hash], held_out=[train.subset(torch.randperm(20))])


def test_a_fingerprint_is_of_the_images_and_not_of_their_order() -> None:
    data = digits().subset(range(30))
    assert fingerprint(data) == fingerprint(data.subset(range(29, -1, -1)))
    changed = TensorImages(data.images.clone(), data.labels, data.classes)
    changed.images[7, 0, 0, 0] ^= 1
    assert fingerprint(data) != fingerprint(changed)
    assert (item_hashes(data) != item_hashes(changed)).nonzero().flatten().tolist() == [7]
    assert len(item_hashes(data).unique()) == 30


def test_a_live_sample_is_a_blank_with_its_draw() -> None:
    data = MixedDataset([Source.real(images(2)), Source.live("gan")])
    item = data[-4]
    assert item["image"].sum() == 0
    assert [item[name] for name in ("label", "index", "source", "is_synthetic", "id")] == [-1, 3, 1, True, -4]
    with pytest.raises(IndexError, match="without a live source, got -1"):
        MixedDataset([Source.real(images(2))])[-1]
    with pytest.raises(IndexError, match=r"in \[0, 2\), got 2"):
        data[2]


class Items(Dataset[Any]):
    """Items as they are given."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(self.items[index])


def test_texts_sounds_and_tables_are_mixed_too(tmp_path: Path) -> None:
    def item(length: int) -> dict[str, Any]:
        return {"text": "x" * length, "waveform": torch.zeros(2, length), "table": torch.ones(3), "label": 0}

    with BankWriter(tmp_path, config={}, trained_on=None, generator="g", classes=["a"]) as writer:
        content: dict[str, Any] = {
            "text": ["", "y"],
            "waveform": [torch.ones(2, 0), torch.ones(2, 5)],
            "table": torch.zeros(2, 3),
        }
        writer.write(0, content, torch.tensor([0, 0]), torch.arange(2))
    data = MixedDataset([Source.real(Items(item(4), item(1))), Source.bank(Bank(tmp_path))])
    assert [(data[i]["text"], data[i]["waveform"].shape[1], data[i]["source"]) for i in range(4)] == [
        ("xxxx", 4, 0),
        ("x", 1, 0),
        ("", 0, 1),
        ("y", 5, 1),
    ]
    live = MixedDataset([Source.real(Items(item(4))), Source.live()])
    with pytest.raises(ValueError, match="live samples must be tensors of one shape, got waveform, text"):
        live[-1]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"table": torch.ones(3)}, "items must hold text as in source 'a', got table from source 'b'"),
        ({"text": torch.ones(3)}, r"text must be str as in source 'a', got torch.float32 \(3,\)"),
        ({"label": 0}, "items must be dicts with content"),
    ],
)
def test_content_of_another_kind_is_refused(other: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        MixedDataset([Source("a", Items({"text": "a"})), Source("b", Items(other))])


def test_images_may_differ_in_size_when_that_is_said() -> None:
    small, large, colour = (torch.zeros(shape, dtype=torch.uint8) for shape in ((1, 2, 2), (1, 3, 5), (3, 2, 2)))
    sources = [Source("a", Items({"image": small}, {"image": large})), Source("b", Items({"image": large}))]
    with pytest.raises(ValueError, match=r"image must be torch.uint8 \(1, 2, 2\)"):
        MixedDataset(sources)
    data = MixedDataset(sources, sizes="any")
    assert [data[index]["image"].shape for index in range(3)] == [small.shape, large.shape, large.shape]
    with pytest.raises(ValueError, match=r"image must be .* got torch.uint8 \(3, 2, 2\)"):
        MixedDataset([*sources, Source("c", Items({"image": colour}))], sizes="any")
    with pytest.raises(ValueError, match="sizes must be 'equal' or 'any', got 'all'"):
        MixedDataset(sources, sizes="all")


class Spoilt(Items):
    """The first items cannot be read."""

    bad = 2

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index < self.bad:
            raise OSError("no such file")
        return super().__getitem__(index)


def test_the_first_items_need_not_be_readable_until_they_are_drawn() -> None:
    spoilt = Spoilt(*[{"text": str(index)} for index in range(5)])
    data = MixedDataset([Source("a", spoilt)])
    assert data[2]["text"] == "2"
    with pytest.raises(SampleError, match="sample index=0 source='a': OSError: no such file"):
        data[0]
    spoilt.bad = 5
    with pytest.raises(SampleError, match="sample index=4 source='a': OSError"):
        MixedDataset([Source("a", spoilt)])


def test_what_stands_in_is_of_the_same_label_and_group() -> None:
    labels, groups = torch.tensor([0, 0, 0, 1, 0, 0]), torch.tensor([1, 0, 1, 1, 1, 1])
    weights = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    rows = Items(*[{"text": str(index)} for index in range(6)])
    data = MixedDataset(
        [Source("a", Items({"text": "x"})), Source("b", rows, labels=labels, groups=groups, weights=weights)]
    )
    assert list(data.instead(1)) == [3, 6]
    assert list(data.instead(4)) == []


def test_a_live_generator_and_a_merged_bank_are_held_to_what_they_were_trained_on(tmp_path: Path) -> None:
    train, other = digits().subset(range(20)), digits().subset(range(20, 40))
    both = digits().subset(range(15, 35))
    live = Source.live(trained_on=fingerprint(train), trained_items=item_hashes(train))
    sources = [Source.real(train), live]
    assert len(MixedDataset(sources, held_out=[other])) == 20
    with pytest.raises(ValueError, match="source 'live' was trained on 5 of the 20 held-out items"):
        MixedDataset(sources, held_out=[both])
    parts = [make_bank(tmp_path / str(n), part, fingerprint(part)) for n, part in enumerate([train, other])]
    merged = Source.bank(merge(parts, tmp_path / "both"))
    for part in (train, other):
        with pytest.raises(ValueError, match="trained on the 20 held-out items"):
            MixedDataset([merged], held_out=[part])


class Pairs(Dataset[Any]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(1), 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixedDataset([]), "at least one source"),
        (lambda: MixedDataset([Source("n", 5)]), "must have a data set, got only its length"),
        (lambda: MixedDataset([Source.live()]), "only empty sources"),
        (lambda: MixedDataset([Source.live("a"), Source.live("b")]), "at most one live"),
        (lambda: MixedDataset([Source("t", Pairs())]), "items must be dicts .* got tuple.*as_images"),
        (lambda: Source("n", 5, kind="fake"), "kind must be one of real, bank, live"),
        (lambda: Source("n", 5, labels=torch.zeros(4).long()), r"labels of 'n' must be \(5,\)"),
        (lambda: Source("n", 2, labels=torch.tensor([0, -1])), "got -1 at index 1"),
        (lambda: Source("n", 2, weights=torch.tensor([1, -1.0])), "got -1.0 at index 1"),
        (lambda: Source("n", 2, weights=torch.tensor([1, torch.nan])), "got nan at index 1"),
        (lambda: Source("n", 2, weights=torch.zeros(2)), "at least one weight"),
        (lambda: Source("n", 2, weights=torch.zeros(3)), r"weights of 'n' must be \(2,\)"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_sources_with_other_labels_have_other_fingerprints() -> None:
    one, two = (Source("n", 3, labels=torch.tensor(labels)) for labels in ([0, 1, 1], [0, 1, 0]))
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint == Source("n", 3, labels=torch.tensor([0, 1, 1])).fingerprint
